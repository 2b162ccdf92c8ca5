//! The one description of what an operator can set. Each field is one row: its doc comment is the help text, its attribute
//! holds the default value and the check. The name of the field in kebab-case is the flag and the key in the file; with
//! `TRESTLE_` before it and in capitals it is the environment variable.
//!
//! `docs/SETTINGS.md` repeats the rows as a table; a test compares the two.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use clap::ArgAction;
use ipnet::IpNet;
use tracing::level_filters::LevelFilter;
use trestle_calls::controller::{ControllerConfig, Hundredths, LoadBounds, UnsignedSource};
use trestle_core::plan::{Filler, Gate};
use trestle_negotiate::GatePolicy;

use super::values;
use super::webhook::Secret;

/// The options of `trestle serve`. The default of each group and of the whole is the default of each row.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Settings {
    /// Listening addresses.
    #[command(flatten)]
    pub listen: ListenSettings,
    /// Media addresses, ports and threads.
    #[command(flatten)]
    pub media: MediaSettings,
    /// Timeouts of calls.
    #[command(flatten)]
    pub calls: CallSettings,
    /// Limits above which offers for new calls are refused.
    #[command(flatten)]
    pub limits: LimitSettings,
    /// Media towards WhatsApp before and between the audio of a call.
    #[command(flatten)]
    pub gate: GateSettings,
    /// Outputs of events and digits.
    #[command(flatten)]
    pub events: EventSettings,
    /// The log.
    #[command(flatten)]
    pub log: LogSettings,
    /// Privileges of the process.
    #[command(flatten)]
    pub process: ProcessSettings,
}

/// Listening addresses.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Control")]
pub struct ListenSettings {
    /// Address for ng commands over UDP, repeatable. Every program that can reach this port controls all calls, unless ng-allow or
    /// ng-secret-file is set. A port without an IP address is on 127.0.0.1.
    #[arg(long, value_name = "[IP:]PORT", default_value = "127.0.0.1:2223", value_parser = values::listen_address)]
    pub listen_ng: Vec<SocketAddr>,

    /// Address for ng commands over TCP, repeatable. As for listen-ng, it is open without ng-allow or ng-secret-file.
    #[arg(long, value_name = "[IP:]PORT", value_parser = values::listen_address)]
    pub listen_tcp_ng: Vec<SocketAddr>,

    /// Address for /metrics, /ping and ng over HTTP. As for listen-ng, it is open without ng-allow or ng-secret-file.
    #[arg(long, value_name = "[IP:]PORT", value_parser = values::listen_address)]
    pub listen_http: Option<SocketAddr>,

    /// Unix socket for ng commands, e.g. /run/trestle/ng.sock. Only the user and the group of Trestle can connect to it (mode 0660).
    #[arg(long, value_name = "PATH")]
    pub listen_ng_unix: Option<PathBuf>,

    /// Whether Trestle listens for ng over UDP, on the addresses of listen-ng. With `no`, set listen-ng-unix or another listener.
    #[arg(long, value_name = "yes|no", default_value = "yes", value_parser = values::yes_or_no, action = ArgAction::Set)]
    pub ng_udp: bool,

    /// Network from which the listeners for ng, HTTP and events take requests and connections; they drop all others, and count them.
    /// Repeatable. Without it, all are taken. It holds for loopback too: add 127.0.0.0/8 for programs on this machine.
    #[arg(long, value_name = "NETWORK", value_parser = values::network)]
    pub ng_allow: Vec<IpNet>,

    /// File with the shared secret of ng clients, with mode 0600: one line of at least 32 characters; further lines are other secrets that
    /// are accepted. Requests without a good signature then have no effect, on each listener for ng.
    #[arg(long, value_name = "FILE")]
    pub ng_secret_file: Option<PathBuf>,

    /// Source whose requests need no signature although ng-secret-file is set: a network, e.g. 127.0.0.0/8 for a proxy on this machine, or
    /// `unix` for listen-ng-unix. Repeatable.
    #[arg(long, value_name = "NETWORK|unix", value_parser = values::unsigned_source)]
    pub ng_unsigned: Vec<UnsignedSource>,
}

/// Media addresses, ports and threads.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Media")]
pub struct MediaSettings {
    /// Address for media, repeatable; required. `direction` in a command refers to NAME. ADVERTISED is written into SDP in
    /// place of LOCAL. One IPv4 and one IPv6 address per name.
    #[arg(long, value_name = "[NAME/]LOCAL[!ADVERTISED]")]
    pub interface: Vec<String>,

    /// Lowest media port.
    #[arg(long, value_name = "PORT", default_value = "30000", value_parser = values::port)]
    pub port_min: u16,

    /// Highest media port.
    #[arg(long, value_name = "PORT", default_value = "40000", value_parser = values::port)]
    pub port_max: u16,

    /// Network of peers to which Trestle sends although its kind of address is refused: loopback, link-local, reserved. Repeatable. Of
    /// two networks of media-allow and media-deny the one with the longer prefix decides.
    #[arg(long, value_name = "NETWORK", value_parser = values::network)]
    pub media_allow: Vec<IpNet>,

    /// Network of peers to which Trestle never sends, e.g. your own servers. Repeatable.
    #[arg(long, value_name = "NETWORK", value_parser = values::network)]
    pub media_deny: Vec<IpNet>,

    /// TOS byte of media packets: the whole byte, 184 for EF. Without it, packets are not marked.
    #[arg(long, value_name = "0-255", value_parser = values::byte)]
    pub tos: Option<u8>,

    /// How long a peer without ICE is sent media before any valid packet has come from it. Then it gets one packet a second until
    /// its first packet. Not for a peer whose SDP is `recvonly`; 0 for no limit.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = values::seconds_or_zero)]
    pub probe_time: Duration,

    /// Media threads, from 1 to 256. Without it, one per processor.
    #[arg(long, value_name = "N", value_parser = values::threads)]
    pub num_threads: Option<usize>,
}

/// Timeouts of calls.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Calls")]
pub struct CallSettings {
    /// A call without media for this long is ended.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = values::seconds)]
    pub timeout: Duration,

    /// The same for a call that is on hold on every side.
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = values::seconds)]
    pub silent_timeout: Duration,

    // A SIP proxy lets a phone ring for a little over three minutes (RFC 3261 timer C); after that no answer comes.
    /// An offer without an answer is discarded after this long.
    #[arg(long, value_name = "SECONDS", default_value = "240", value_parser = values::seconds)]
    pub offer_timeout: Duration,

    /// How long a deleted call can be queried if `delete` has no `delete-delay`.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = values::seconds_or_zero)]
    pub delete_delay: Duration,

    // Short: service managers and containers send SIGKILL some seconds after SIGTERM, and a call lasts for minutes in any case.
    /// After SIGTERM or the command `drain`, how long Trestle waits for its calls before it ends them.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = values::seconds_or_zero)]
    pub grace: Duration,
}

/// Limits above which offers for new calls are refused.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitSettings {
    /// Number of calls at which further calls are refused. Without it, only the engine's own limit applies.
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub max_sessions: Option<usize>,

    /// Share of the media ports, and of max-sessions, that calls without an answer may have; beyond it the oldest such call of the
    /// caller with the most of them is ended. 100 for no limit.
    #[arg(long, value_name = "PERCENT", default_value = "50", value_parser = values::percent)]
    pub max_half_open: u8,

    /// Use of all processors, over half a second and twice in a row, above which further calls are refused until it has been
    /// well below for two seconds; 0 for no limit.
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = values::hundredths)]
    pub max_cpu: Hundredths,

    /// The same for the system's load average of the last minute; 0 for no limit.
    #[arg(long, value_name = "LOAD", default_value = "0", value_parser = values::hundredths)]
    pub max_load: Hundredths,

    /// The same for the mean delay of a media thread, of its timers and of packets that wait; 0 for no limit.
    #[arg(long, value_name = "MS", default_value = "20", value_parser = values::milliseconds)]
    pub max_lateness_ms: Duration,
}

/// Media towards WhatsApp before and between the audio of a call.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Media towards WhatsApp")]
pub struct GateSettings {
    /// State of the gate towards WhatsApp if a message has no `gate`. With `shut`, Trestle sends no media to WhatsApp until the
    /// command `gate` opens it.
    #[arg(long, value_name = "open|shut", default_value = "open", value_parser = values::gate)]
    pub gate: Gate,

    /// How long a gate may stay shut once offer and answer are done, at most 3600.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = values::gate_timeout)]
    pub gate_timeout: Duration,

    /// State of a gate that no command has opened in that time.
    #[arg(long, value_name = "open|shut", default_value = "shut", value_parser = values::gate)]
    pub gate_on_timeout: Gate,

    /// How much audio is kept for WhatsApp before it can be sent, at most 10000; 0 keeps none.
    #[arg(long, value_name = "MS", default_value = "3000", value_parser = values::pre_roll)]
    pub pre_roll: Duration,

    /// What Trestle sends to WhatsApp when there is no audio to forward: `comfort-noise`, `silence`, `hold-tone` or `none`.
    #[arg(long, value_name = "FILLER", default_value = "comfort-noise", value_parser = values::filler)]
    pub filler: Filler,
}

/// Outputs of events and digits.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Events")]
pub struct EventSettings {
    /// Address for readers of events over TCP: one JSON line for each event, with digits. There is no password: set ng-allow if other
    /// machines can reach it.
    #[arg(long, value_name = "[IP:]PORT", value_parser = values::listen_address)]
    pub listen_events: Option<SocketAddr>,

    /// URL to which every event is posted.
    #[arg(long, value_name = "URL", value_parser = values::web_hook_url)]
    pub event_webhook: Option<Uri>,

    /// Key of the signature of these posts (HMAC-SHA-256). Write it into the file: other users of this machine can see flags.
    #[arg(long, value_name = "SECRET")]
    pub event_webhook_secret: Option<Secret>,

    /// Address to which each digit is sent as one JSON datagram.
    #[arg(long, value_name = "IP:PORT", value_parser = values::socket_address)]
    pub dtmf_log_dest: Option<SocketAddr>,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Log")]
pub struct LogSettings {
    /// error, warn, info, debug or trace; or a syslog number from 0 to 7.
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = values::log_level)]
    pub log_level: LevelFilter,
}

/// Privileges of the process.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Process")]
pub struct ProcessSettings {
    /// User that Trestle becomes when it has been started as root and its listening addresses are bound. It then has no
    /// privileges. Not needed with a systemd unit that has `User=`.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,

    /// Whether the system may write the memory of Trestle to a file if it crashes, and show it to debuggers. It contains keys
    /// of calls.
    #[arg(long, value_name = "yes|no", default_value = "no", value_parser = values::yes_or_no, action = ArgAction::Set)]
    pub core_dumps: bool,
}

impl CallSettings {
    /// Writes these timeouts into the controller's configuration.
    pub(crate) fn apply(&self, config: &mut ControllerConfig) {
        config.timeout = self.timeout;
        config.silent_timeout = self.silent_timeout;
        config.offer_timeout = self.offer_timeout;
        config.delete_delay = self.delete_delay;
        config.grace = self.grace;
    }
}

impl LimitSettings {
    /// Writes these limits into the controller's configuration.
    /// `port_pairs` is the number of media port pairs.
    pub(crate) fn apply(&self, config: &mut ControllerConfig, port_pairs: usize) {
        config.max_sessions = self.max_sessions;
        config.half_open_legs = self.half_open_legs(port_pairs);
        config.load = LoadBounds {
            lateness: Some(self.max_lateness_ms).filter(|bound| !bound.is_zero()),
            cpu: Some(self.max_cpu).filter(|bound| bound.0 > 0),
            average: Some(self.max_load).filter(|bound| bound.0 > 0),
        };
    }
}

impl LimitSettings {
    /// Legs that calls without an answer may have: at least those of one call.
    fn half_open_legs(&self, port_pairs: usize) -> Option<usize> {
        let legs = self.max_sessions.map_or(port_pairs, |sessions| port_pairs.min(sessions.saturating_mul(2)));
        let share = usize::from(self.max_half_open);
        (share < 100).then(|| (legs.saturating_mul(share) / 100).max(2))
    }
}

impl GateSettings {
    /// The same as negotiation takes it.
    pub(crate) fn policy(&self) -> GatePolicy {
        GatePolicy {
            gate: self.gate,
            gate_timeout: self.gate_timeout,
            gate_on_timeout: self.gate_on_timeout,
            pre_roll: self.pre_roll,
            filler: self.filler,
        }
    }
}

/// A value of `T` in which each row has its default.
fn defaults<T: clap::Args>() -> T {
    let command = T::augment_args(clap::Command::new("serve").no_binary_name(true));
    command
        .try_get_matches_from(std::iter::empty::<&str>())
        .and_then(|matches| T::from_arg_matches(&matches))
        .expect("each default passes its own check")
}

macro_rules! default_from_rows {
    ($($group:ty),*) => {$(
        impl Default for $group {
            fn default() -> Self {
                defaults()
            }
        }
    )*};
}

default_from_rows!(
    Settings,
    ListenSettings,
    MediaSettings,
    CallSettings,
    LimitSettings,
    GateSettings,
    EventSettings,
    LogSettings,
    ProcessSettings
);
