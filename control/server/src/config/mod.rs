//! The configuration: [`Settings`] describes what can be set, [`ServeArgs`] merges the sources, [`Config`] is the checked
//! result with what follows from it.

mod error;
mod reload;
mod secret_file;
mod settings;
mod sources;
mod values;
mod webhook;

#[cfg(test)]
mod table_test;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::Path;

use ipnet::IpNet;
use trestle_calls::controller::{ControllerConfig, RunTimeSettings, SignaturePolicy};
use trestle_core::{AddressPolicy, InterfaceId, MediaAddress, OwnSsrcs};
use trestle_io::{InterfacePorts, PortRange};
use trestle_negotiate::{Environment, Interface, OwnKeys};
use trestle_ng::NgSecrets;

pub use error::ConfigError;
pub use reload::SettingChanges;
use reload::WrittenValues;
pub use settings::{
    CallSettings, EventSettings, GateSettings, LimitSettings, ListenSettings, LogSettings, MediaSettings,
    ProcessSettings, Settings,
};
pub use sources::{ServeArgs, SettingSource};
pub use webhook::{Secret, Webhook};

/// Reads a file of shared secrets for ng (`ng-secret-file`), as a server and its clients on the same machine do.
///
/// # Errors
/// A sentence: the file cannot be read, other users can read it, or it has no good secret.
pub fn read_ng_secrets(path: &Path) -> Result<NgSecrets, String> {
    secret_file::read(path, None).map(|(_, secrets)| secrets)
}

/// The configuration of a running Trestle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The settings from which the rest was derived.
    pub settings: Settings,
    /// Logical interfaces; the first is the default. [`InterfaceId`] is the position.
    pub interfaces: Vec<Interface>,
    /// Media ports.
    pub ports: PortRange,
    /// Media threads.
    pub num_threads: usize,
    /// Where events are posted.
    pub event_webhook: Option<Webhook>,
    /// The text of `ng-secret-file`.
    ng_secret: Option<Secret>,
    written: WrittenValues,
}

impl Config {
    /// Checks what no row can check alone, and derives the rest.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first key whose value cannot be used.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        let media = &settings.media;
        let (min, max) = (media.port_min, media.port_max);
        let Some(ports) = PortRange::new(min, max) else {
            let reason = format!("{min} to {max} holds no even port and its neighbour; widen the range");
            return Err(ConfigError::value("port-max", reason));
        };
        // More than 256 processors are not used, unless threads are asked for.
        let processors = || std::thread::available_parallelism().map_or(1, usize::from).min(256);
        let num_threads = media.num_threads.unwrap_or_else(processors);
        // Threads share the range pair by pair.
        if ports.pairs() < num_threads {
            let reason =
                format!("{ports} has fewer port pairs than there are media threads ({num_threads}); widen the range");
            return Err(ConfigError::value("port-max", reason));
        }
        let interfaces = interfaces(&media.interface)?;
        let event_webhook = Webhook::new(&settings.events)?;
        let ng_secret = secret_file::of_settings(&settings.listen)?;
        let ListenSettings { ng_udp, listen_ng_unix, listen_tcp_ng, listen_http, .. } = &settings.listen;
        if !ng_udp && listen_ng_unix.is_none() && listen_tcp_ng.is_empty() && listen_http.is_none() {
            let reason = "there would be no listener for ng; set listen-ng-unix, or remove this".to_owned();
            return Err(ConfigError::value("ng-udp", reason));
        }
        let written = WrittenValues::default();
        Ok(Self { settings, interfaces, ports, num_threads, event_webhook, ng_secret, written })
    }

    /// True if events have an output of their own, beside `subscribe events`.
    pub(crate) fn has_event_output(&self) -> bool {
        self.settings.events.listen_events.is_some() || self.event_webhook.is_some()
    }

    /// What the controller takes from it.
    pub(crate) fn controller(&self) -> ControllerConfig {
        let mut config = ControllerConfig {
            shards: self.num_threads,
            dtmf_log_dest: self.settings.events.dtmf_log_dest,
            publish_events: self.has_event_output(),
            signatures: self.signatures(),
            ..ControllerConfig::default()
        };
        self.settings.calls.apply(&mut config);
        self.settings.limits.apply(&mut config, self.port_pairs());
        config
    }

    /// Which requests must be signed; `None` without a secret.
    pub(crate) fn signatures(&self) -> Option<SignaturePolicy> {
        let secrets = NgSecrets::read(self.ng_secret.as_ref()?.as_bytes()).ok()?;
        Some(SignaturePolicy { secrets, unsigned: self.settings.listen.ng_unsigned.clone() })
    }

    /// What can change while calls are active.
    pub(crate) fn run_time(&self) -> RunTimeSettings {
        RunTimeSettings {
            controller: self.controller(),
            gate_policy: self.settings.gate.policy(),
            default_tos: self.settings.media.tos,
        }
    }

    /// Pairs of media ports of all local addresses of one family.
    fn port_pairs(&self) -> usize {
        let addresses = |ipv6: bool| {
            let of_family = self.interfaces.iter().filter_map(|interface| interface.address(ipv6));
            of_family.map(|address| address.local).collect::<std::collections::BTreeSet<_>>().len()
        };
        self.ports.pairs().saturating_mul(addresses(false).max(addresses(true)))
    }

    /// Which addresses of peers are accepted. `listeners` are the bound addresses of all listeners, `machine` the addresses of
    /// this machine, each with its network.
    pub(crate) fn address_policy(&self, listeners: Vec<SocketAddr>, machine: Vec<IpNet>) -> AddressPolicy {
        // A listener may be bound to the IPv4-mapped form; addresses in SDP are compared in the IPv4 form.
        let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        AddressPolicy {
            listeners: listeners.into_iter().map(plain).collect(),
            media: self.media_addresses().collect(),
            media_ports: self.ports.bounds(),
            machine,
            allow: self.settings.media.media_allow.clone(),
            deny: self.settings.media.media_deny.clone(),
        }
    }

    /// The addresses of all interfaces.
    pub(crate) fn media_addresses(&self) -> impl Iterator<Item = MediaAddress> {
        self.interfaces.iter().flat_map(|interface| [interface.v4, interface.v6]).flatten()
    }

    /// What negotiation takes from it. `fingerprint` is the SHA-256 of the DTLS certificate.
    pub(crate) fn environment(
        &self,
        fingerprint: [u8; 32],
        own_ssrcs: OwnSsrcs,
        own_keys: OwnKeys,
        addresses: AddressPolicy,
    ) -> Environment {
        Environment {
            interfaces: self.interfaces.clone(),
            addresses,
            fingerprint,
            default_tos: self.settings.media.tos,
            gate_policy: self.settings.gate.policy(),
            own_ssrcs,
            own_keys,
        }
    }

    /// What the media threads take from it.
    pub(crate) fn interface_ports(&self) -> Vec<InterfacePorts> {
        let of = |(index, interface): (usize, &Interface)| InterfacePorts {
            interface: InterfaceId(index as u16),
            v4: interface.v4.map(|address| address.local),
            v6: interface.v6.map(|address| address.local),
        };
        self.interfaces.iter().enumerate().map(of).collect()
    }
}

fn interfaces(specs: &[String]) -> Result<Vec<Interface>, ConfigError> {
    let wrong = |reason| ConfigError::value("interface", reason);
    if specs.is_empty() {
        return Err(wrong("missing; name the address for media, e.g. --interface=192.0.2.10".to_owned()));
    }
    let interfaces = Environment::read_interfaces(specs).map_err(wrong)?;
    for address in interfaces.iter().flat_map(|interface| [interface.v4, interface.v6]).flatten() {
        if address.local.is_unspecified() || address.local.is_multicast() {
            return Err(wrong(format!("{} is not an address of this machine; media needs one", address.local)));
        }
    }
    Ok(interfaces)
}
