//! The machine, as far as SDP shows it: interfaces, certificate, defaults.

use std::net::IpAddr;

use trestle_core::{AddressPolicy, InterfaceId, MediaAddress, OwnSsrcs};

use crate::GatePolicy;
use crate::error::FlagsError;
use crate::own_keys::OwnKeys;

/// What negotiation uses of the machine and the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Logical interfaces in the order of the configuration; [`InterfaceId`] counts them.
    pub interfaces: Vec<Interface>,
    /// Which addresses of peers are accepted.
    pub addresses: AddressPolicy,
    /// SHA-256 of our DTLS certificate.
    pub fingerprint: [u8; 32],
    /// DSCP byte of outgoing packets if the message names none.
    pub default_tos: Option<u8>,
    /// Defaults of the gates of WhatsApp parties.
    pub gate_policy: GatePolicy,
    /// The SSRCs of this process, as the shards know them.
    pub own_ssrcs: OwnSsrcs,
    /// The SRTP keys of this process.
    pub own_keys: OwnKeys,
}

/// A logical interface: one name, an address per family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name in `direction`; `None` for the one that was configured without.
    pub name: Option<String>,
    /// Its IPv4 address.
    pub v4: Option<MediaAddress>,
    /// Its IPv6 address.
    pub v6: Option<MediaAddress>,
}

impl Interface {
    /// The address of a family.
    pub fn address(&self, ipv6: bool) -> Option<MediaAddress> {
        if ipv6 { self.v6 } else { self.v4 }
    }
}

impl Environment {
    /// Reads interfaces as configured, each `[NAME/]LOCAL[!ADVERTISED]` with IP literals. One name may occur twice, with
    /// an IPv4 and an IPv6 address.
    ///
    /// # Errors
    ///
    /// A sentence for the operator.
    pub fn read_interfaces<S: AsRef<str>>(specs: &[S]) -> Result<Vec<Interface>, String> {
        let mut interfaces: Vec<Interface> = Vec::new();
        for spec in specs.iter().map(AsRef::as_ref) {
            let (name, addresses) = match spec.split_once('/') {
                Some((name, addresses)) => (Some(name), addresses),
                None => (None, spec),
            };
            if name.is_some_and(|name| name.is_empty() || name.len() > 64) {
                return Err(format!("interface \"{spec}\": the name is empty or longer than 64 bytes"));
            }
            let (local, advertised) = addresses.split_once('!').unwrap_or((addresses, addresses));
            let read = |text: &str| {
                let text = text.trim_matches(['[', ']']);
                text.parse::<IpAddr>().map_err(|_| format!("interface \"{spec}\": \"{text}\" is no IP address"))
            };
            let address = MediaAddress { local: read(local)?, advertised: read(advertised)? };
            if address.local.is_ipv4() != address.advertised.is_ipv4() {
                return Err(format!("interface \"{spec}\": the two addresses are not of one family"));
            }
            if address.advertised.is_unspecified() {
                return Err(format!("interface \"{spec}\": peers cannot reach {}", address.advertised));
            }
            let index = interfaces.iter().position(|interface| interface.name.as_deref() == name);
            let interface = match index {
                Some(index) => &mut interfaces[index],
                None => {
                    interfaces.push(Interface { name: name.map(str::to_owned), v4: None, v6: None });
                    let last = interfaces.len() - 1;
                    &mut interfaces[last]
                }
            };
            let slot = if address.local.is_ipv4() { &mut interface.v4 } else { &mut interface.v6 };
            if slot.replace(address).is_some() {
                return Err(format!("interface \"{spec}\": the name has an address of this family already"));
            }
        }
        Ok(interfaces)
    }

    /// True if this is a description that this process has marked (`loop-protect`).
    pub fn has_written(&self, sdp: &str) -> bool {
        let mark = crate::write::loop_mark(&self.fingerprint);
        sdp.lines().any(|line| line.strip_prefix("a=").is_some_and(|value| value.trim_end() == mark))
    }

    /// The interface of this name; the first one if no name is given.
    pub(crate) fn interface(&self, name: Option<&str>) -> Result<InterfaceId, FlagsError> {
        let index = match name {
            None if self.interfaces.is_empty() => return Err(FlagsError::NoInterface),
            None => Some(0),
            Some(name) => self.interfaces.iter().position(|interface| interface.name.as_deref() == Some(name)),
        };
        let unknown = || FlagsError::UnknownInterface {
            name: name.unwrap_or_default().to_owned(),
            known: self
                .interfaces
                .iter()
                .map(|known| known.name.as_deref().unwrap_or("(unnamed)").to_owned())
                .collect(),
        };
        index.and_then(|index| u16::try_from(index).ok()).map(InterfaceId).ok_or_else(unknown)
    }

    /// The address in SDP for this interface and family.
    pub(crate) fn advertised(&self, interface: InterfaceId, ipv6: bool) -> Option<IpAddr> {
        Some(self.address(interface, ipv6)?.advertised)
    }

    /// The address of this interface and family.
    pub(crate) fn address(&self, interface: InterfaceId, ipv6: bool) -> Option<MediaAddress> {
        self.interfaces.get(usize::from(interface.0))?.address(ipv6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_read_as_rtpengine_writes_them() {
        let specs = ["wa/10.0.0.5!203.0.113.9", "sip/192.0.2.1", "wa/2001:db8::5", "127.0.0.1"];
        let read = Environment::read_interfaces(&specs).unwrap();
        assert_eq!(read.len(), 3);
        assert_eq!(read[0].v4.unwrap().advertised, "203.0.113.9".parse::<IpAddr>().unwrap());
        assert_eq!(read[0].v6.unwrap().local, "2001:db8::5".parse::<IpAddr>().unwrap());
        assert_eq!(read[2].name, None);
    }

    #[test]
    fn interfaces_that_cannot_work_are_refused() {
        for bad in ["eth0", "a/", "/192.0.2.1", "a/192.0.2.1!2001:db8::1", "0.0.0.0", "a/192.0.2.1!host"] {
            assert!(Environment::read_interfaces(&[bad]).is_err(), "{bad}");
        }
        assert!(Environment::read_interfaces(&["a/192.0.2.1", "a/192.0.2.2"]).is_err());
    }
}
