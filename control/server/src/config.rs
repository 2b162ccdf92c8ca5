//! What the operator wants: flags and one TOML file with the same names, rtpengine's where it has them.
//!
//! [`Settings`] is what was written, [`Config`] is what it means. A flag wins over the file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tracing::level_filters::LevelFilter;
use trestle_io::PortRange;

use trestle_calls::controller::{Hundredths, LoadBounds};
use trestle_negotiate::{Environment, Interface, PresencePolicy};

mod events;

pub use events::{Secret, Webhook};

/// The options of `trestle serve`, as written on the command line or in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Address for media, repeatable. NAME is what `direction` in a command refers to, ADVERTISED is
    /// written into SDP in place of LOCAL. One IPv4 and one IPv6 address per name.
    #[arg(long, value_name = "[NAME/]LOCAL[!ADVERTISED]")]
    #[serde(deserialize_with = "one_or_many")]
    pub interface: Vec<String>,

    /// Where ng commands are taken (UDP), repeatable [default: 127.0.0.1:2223].
    /// ng has no password: whoever reaches this port commands all calls.
    #[arg(long, value_name = "[IP:]PORT")]
    #[serde(deserialize_with = "one_or_many")]
    pub listen_ng: Vec<String>,

    /// Where ng commands are taken over TCP, repeatable [default: nowhere].
    #[arg(long, value_name = "[IP:]PORT")]
    #[serde(deserialize_with = "one_or_many")]
    pub listen_tcp_ng: Vec<String>,

    /// Where /metrics, /ping and ng are served over HTTP [default: nowhere].
    /// As for listen-ng: whoever reaches this port commands all calls.
    #[arg(long, value_name = "[IP:]PORT")]
    #[serde(deserialize_with = "number_or_text")]
    pub listen_http: Option<String>,

    /// Lowest media port [default: 30000].
    #[arg(long, value_name = "PORT")]
    pub port_min: Option<u16>,

    /// Highest media port [default: 40000].
    #[arg(long, value_name = "PORT")]
    pub port_max: Option<u16>,

    /// A call without media for this long is ended [default: 60].
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u32>,

    /// The same for a call that is on hold on every side [default: 3600].
    #[arg(long, value_name = "SECONDS")]
    pub silent_timeout: Option<u32>,

    /// An offer that nobody answers is forgotten after this long [default: 240].
    #[arg(long, value_name = "SECONDS")]
    pub offer_timeout: Option<u32>,

    /// How long a deleted call lives on if `delete` does not say [default: 30].
    #[arg(long, value_name = "SECONDS")]
    pub delete_delay: Option<u32>,

    /// Marking of media packets: the whole byte, 184 for EF [default: none].
    #[arg(long, value_name = "0-255")]
    pub tos: Option<u8>,

    /// error, warn, info, debug or trace; or a syslog number from 0 to 7 [default: info].
    #[arg(long, value_name = "LEVEL")]
    #[serde(deserialize_with = "number_or_text")]
    pub log_level: Option<String>,

    /// Where each digit is reported as one JSON datagram [default: nowhere].
    #[arg(long, value_name = "IP:PORT")]
    pub dtmf_log_dest: Option<String>,

    /// How the gate towards WhatsApp stands if a message does not say: `open` or `shut` [default: open].
    /// With `shut`, WhatsApp gets nothing until the verb `gate` opens it.
    #[arg(long, value_name = "open|shut")]
    pub gate: Option<String>,

    /// How long a gate may stay shut once offer and answer are done [default: 60].
    #[arg(long, value_name = "SECONDS")]
    pub gate_timeout: Option<u32>,

    /// How a gate stands that nobody has opened in time [default: shut].
    #[arg(long, value_name = "open|shut")]
    pub gate_on_timeout: Option<String>,

    /// How much audio is kept for WhatsApp before it can be sent, at most 10000; 0 keeps none [default: 3000].
    #[arg(long, value_name = "MS")]
    pub pre_roll: Option<u32>,

    /// What WhatsApp gets when there is nothing to pass on: `comfort-noise`, `silence`, `hold-tone`
    /// or `none` [default: comfort-noise].
    #[arg(long, value_name = "WHAT")]
    pub filler: Option<String>,

    /// Where every event is written, one JSON line each, to whoever connects (TCP) [default: nowhere].
    /// There is no password, and digits are among them.
    #[arg(long, value_name = "[IP:]PORT")]
    #[serde(deserialize_with = "number_or_text")]
    pub listen_events: Option<String>,

    /// Where every event is posted [default: nowhere].
    #[arg(long, value_name = "URL")]
    pub event_webhook: Option<String>,

    /// What the posts are signed with (HMAC-SHA-256). Better in the file: other users of this machine see flags.
    #[arg(long, value_name = "SECRET")]
    pub event_webhook_secret: Option<Secret>,

    /// Media threads [default: one per processor].
    #[arg(long, value_name = "N")]
    pub num_threads: Option<usize>,

    /// With this many calls no further one is taken [default: no limit but the engine's own].
    #[arg(long, value_name = "N")]
    pub max_sessions: Option<usize>,

    /// With the processors busier than this over half a second, twice in a row, no further call is taken until they have been
    /// well below it for two seconds; 0 for no limit, which is the default.
    #[arg(long, value_name = "PERCENT")]
    pub max_cpu: Option<Hundredths>,

    /// The same with the system's load average of the last minute; 0 for no limit, which is the default.
    #[arg(long, value_name = "LOAD")]
    pub max_load: Option<Hundredths>,

    /// The same with media threads that are later than this on average: timers after their time, packets that wait; 0 for no
    /// limit [default: 20].
    #[arg(long, value_name = "MS")]
    pub max_lateness_ms: Option<u32>,
}

/// What `trestle serve` takes on its command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct ServeArgs {
    /// TOML file with the same names as the flags; a flag wins over the file.
    #[arg(long, value_name = "FILE", visible_alias = "config-file")]
    pub config: Option<PathBuf>,

    /// The options.
    #[command(flatten)]
    pub settings: Settings,
}

/// The configuration of a running Trestle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Logical interfaces; the first is the default. [`trestle_core::InterfaceId`] is the position.
    pub interfaces: Vec<Interface>,
    /// Where ng commands are taken.
    pub listen_ng: Vec<SocketAddr>,
    /// Where ng commands are taken over TCP.
    pub listen_tcp_ng: Vec<SocketAddr>,
    /// Where HTTP is served.
    pub listen_http: Option<SocketAddr>,
    /// Media ports.
    pub ports: PortRange,
    /// A call without media for this long is ended.
    pub timeout: Duration,
    /// The same for a call that is on hold on every side.
    pub silent_timeout: Duration,
    /// An offer without an answer is forgotten after this long.
    pub offer_timeout: Duration,
    /// How long a deleted call lives on if `delete` does not say.
    pub delete_delay: Duration,
    /// Marking of media packets.
    pub tos: Option<u8>,
    /// What is logged.
    pub log_level: LevelFilter,
    /// Where digits are reported.
    pub dtmf_log_dest: Option<SocketAddr>,
    /// What holds for WhatsApp parties if a message does not say.
    pub presence: PresencePolicy,
    /// Where events are written to whoever connects.
    pub listen_events: Option<SocketAddr>,
    /// Where events are posted.
    pub event_webhook: Option<Webhook>,
    /// Media threads.
    pub num_threads: usize,
    /// Calls at which an offer for a new one is refused.
    pub max_sessions: Option<usize>,
    /// How busy the machine may be before the same happens.
    pub load: LoadBounds,
}

/// What is wrong with the settings: which key, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("config: cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// The file is not TOML, or has a key that does not exist.
    #[error("config: {path}: {reason}")]
    Syntax {
        /// The file.
        path: String,
        /// Line, column and reason.
        reason: String,
    },
    /// The value of a key makes no sense.
    #[error("{key}: {reason}")]
    Value {
        /// The key, as in the file and (with two dashes) on the command line.
        key: &'static str,
        /// Why, and what to write.
        reason: String,
    },
}

fn wrong<T>(key: &'static str, reason: String) -> Result<T, ConfigError> {
    Err(ConfigError::Value { key, reason })
}

impl ServeArgs {
    /// Reads the file, if one is named, and puts the flags on top.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(self) -> Result<Config, ConfigError> {
        let file = match &self.config {
            Some(path) => Settings::read(path)?,
            None => Settings::default(),
        };
        Config::new(self.settings.over(file))
    }
}

impl Settings {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Unreadable { path: shown.clone(), reason: error.to_string() })?;
        toml::from_str(&text)
            .map_err(|error| ConfigError::Syntax { path: shown, reason: error.to_string().trim_end().to_owned() })
    }

    /// These settings, and for whatever they leave open, those of `below`.
    fn over(self, below: Self) -> Self {
        let many = |above: Vec<String>, below| if above.is_empty() { below } else { above };
        Self {
            interface: many(self.interface, below.interface),
            listen_ng: many(self.listen_ng, below.listen_ng),
            listen_tcp_ng: many(self.listen_tcp_ng, below.listen_tcp_ng),
            listen_http: self.listen_http.or(below.listen_http),
            port_min: self.port_min.or(below.port_min),
            port_max: self.port_max.or(below.port_max),
            timeout: self.timeout.or(below.timeout),
            silent_timeout: self.silent_timeout.or(below.silent_timeout),
            offer_timeout: self.offer_timeout.or(below.offer_timeout),
            delete_delay: self.delete_delay.or(below.delete_delay),
            tos: self.tos.or(below.tos),
            log_level: self.log_level.or(below.log_level),
            dtmf_log_dest: self.dtmf_log_dest.or(below.dtmf_log_dest),
            gate: self.gate.or(below.gate),
            gate_timeout: self.gate_timeout.or(below.gate_timeout),
            gate_on_timeout: self.gate_on_timeout.or(below.gate_on_timeout),
            pre_roll: self.pre_roll.or(below.pre_roll),
            filler: self.filler.or(below.filler),
            listen_events: self.listen_events.or(below.listen_events),
            event_webhook: self.event_webhook.or(below.event_webhook),
            event_webhook_secret: self.event_webhook_secret.or(below.event_webhook_secret),
            num_threads: self.num_threads.or(below.num_threads),
            max_sessions: self.max_sessions.or(below.max_sessions),
            max_cpu: self.max_cpu.or(below.max_cpu),
            max_load: self.max_load.or(below.max_load),
            max_lateness_ms: self.max_lateness_ms.or(below.max_lateness_ms),
        }
    }
}

impl Config {
    /// Makes sense of the settings.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first value that makes none.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        let (min, max) = (settings.port_min.unwrap_or(30_000), settings.port_max.unwrap_or(40_000));
        let Some(ports) = PortRange::new(min, max) else {
            return wrong("port-max", format!("{min} to {max} holds no even port and its neighbour; widen the range"));
        };
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        // Threads share the range pair by pair.
        let num_threads = threads(settings.num_threads.unwrap_or_else(processors))?;
        if ports.pairs() < num_threads {
            let reason =
                format!("{ports} has fewer port pairs than there are media threads ({num_threads}); widen the range");
            return wrong("port-max", reason);
        }
        Ok(Self {
            interfaces: interfaces(&settings.interface)?,
            listen_ng: listen_ng(&settings.listen_ng)?,
            listen_tcp_ng: listen_all("listen-tcp-ng", &settings.listen_tcp_ng)?,
            listen_http: settings.listen_http.as_deref().map(|text| listen("listen-http", text)).transpose()?,
            ports,
            timeout: seconds("timeout", settings.timeout, 60)?,
            silent_timeout: seconds("silent-timeout", settings.silent_timeout, 3600)?,
            // A SIP proxy lets a phone ring for three minutes and a bit (RFC 3261 timer C); after that no answer comes.
            offer_timeout: seconds("offer-timeout", settings.offer_timeout, 240)?,
            delete_delay: Duration::from_secs(settings.delete_delay.unwrap_or(30).into()),
            tos: settings.tos,
            log_level: log_level(settings.log_level.as_deref().unwrap_or("info"))?,
            dtmf_log_dest: settings.dtmf_log_dest.as_deref().map(dtmf_log_dest).transpose()?,
            presence: events::presence(&settings)?,
            listen_events: settings.listen_events.as_deref().map(|text| listen("listen-events", text)).transpose()?,
            event_webhook: events::webhook(&settings)?,
            num_threads,
            max_sessions: settings.max_sessions,
            load: LoadBounds {
                lateness: Some(settings.max_lateness_ms.unwrap_or(20))
                    .filter(|ms| *ms > 0)
                    .map(|ms| Duration::from_millis(ms.into())),
                cpu: settings.max_cpu.filter(|bound| bound.0 > 0),
                average: settings.max_load.filter(|bound| bound.0 > 0),
            },
        })
    }
}

/// Several in one value are separated by `;`, as in rtpengine's file.
fn interfaces(texts: &[String]) -> Result<Vec<Interface>, ConfigError> {
    let specs: Vec<_> = split(texts).collect();
    if specs.is_empty() {
        return wrong("interface", "missing; name the address for media, e.g. --interface=192.0.2.10".to_owned());
    }
    let interfaces = Environment::read_interfaces(&specs).or_else(|reason| wrong("interface", reason))?;
    for address in interfaces.iter().flat_map(|interface| [interface.v4, interface.v6]).flatten() {
        if address.local.is_unspecified() || address.local.is_multicast() {
            let reason = format!("{} is not an address of this machine; media needs one", address.local);
            return wrong("interface", reason);
        }
    }
    Ok(interfaces)
}

fn split(texts: &[String]) -> impl Iterator<Item = &str> {
    texts.iter().flat_map(|text| text.split(';')).map(str::trim).filter(|text| !text.is_empty())
}

fn listen_ng(texts: &[String]) -> Result<Vec<SocketAddr>, ConfigError> {
    let addresses = listen_all("listen-ng", texts)?;
    Ok(if addresses.is_empty() { vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 2223))] } else { addresses })
}

fn listen_all(key: &'static str, texts: &[String]) -> Result<Vec<SocketAddr>, ConfigError> {
    split(texts).map(|text| listen(key, text)).collect()
}

/// `IP:PORT`, or a port alone, which is then on the loopback address: what is open to the world is written out.
fn listen(key: &'static str, text: &str) -> Result<SocketAddr, ConfigError> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse().or_else(|_| wrong(key, format!("{text:?} is not [IP:]PORT, e.g. 127.0.0.1:2223 or [::1]:2223")))
}

fn dtmf_log_dest(text: &str) -> Result<SocketAddr, ConfigError> {
    text.parse().or_else(|_| wrong("dtmf-log-dest", format!("{text:?} is not IP:PORT, e.g. 127.0.0.1:2224")))
}

fn seconds(key: &'static str, value: Option<u32>, default: u32) -> Result<Duration, ConfigError> {
    match value.unwrap_or(default) {
        0 => wrong(key, "0 would end every call at once; write a number of seconds".to_owned()),
        seconds => Ok(Duration::from_secs(seconds.into())),
    }
}

fn threads(threads: usize) -> Result<usize, ConfigError> {
    match threads {
        1..=256 => Ok(threads),
        _ => wrong("num-threads", format!("{threads} is not between 1 and 256; one per processor is right")),
    }
}

fn log_level(text: &str) -> Result<LevelFilter, ConfigError> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "off" => LevelFilter::OFF,
        "error" | "0" | "1" | "2" | "3" => LevelFilter::ERROR,
        "warn" | "warning" | "4" => LevelFilter::WARN,
        "info" | "notice" | "5" | "6" => LevelFilter::INFO,
        "debug" | "7" => LevelFilter::DEBUG,
        "trace" | "8" => LevelFilter::TRACE,
        _ => return wrong("log-level", format!("{text:?} is none of error, warn, info, debug, trace or 0 to 7")),
    })
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a string or a number")]
enum NumberOrText {
    Number(u16),
    Text(String),
}

impl From<NumberOrText> for String {
    fn from(value: NumberOrText) -> Self {
        match value {
            NumberOrText::Number(number) => number.to_string(),
            NumberOrText::Text(text) => text,
        }
    }
}

fn number_or_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Some(NumberOrText::deserialize(deserializer)?.into()))
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a string or a list of strings")]
    enum OneOrMany {
        One(NumberOrText),
        Many(Vec<NumberOrText>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one.into()],
        OneOrMany::Many(many) => many.into_iter().map(String::from).collect(),
    })
}

#[cfg(test)]
mod tests;
