use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use clap::Parser;
use tracing::level_filters::LevelFilter;
use trestle_calls::controller::ControllerConfig;

use super::*;
use trestle_core::MediaAddress;
use trestle_negotiate::GatePolicy;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    serve: ServeArgs,
}

fn config(flags: &[&str]) -> Result<Config, ConfigError> {
    from_all(None, &[], flags)
}

/// The configuration from the text of a file, environment variables, and flags.
fn from_all(file: Option<&str>, variables: &[(&str, &str)], flags: &[&str]) -> Result<Config, ConfigError> {
    let path = file.map(write);
    let path_flag = path.as_ref().map(|path| format!("--config={}", path.display()));
    let words = ["trestle"].into_iter().chain(path_flag.as_deref()).chain(flags.iter().copied());
    let args = CommandLine::try_parse_from(words).unwrap().serve;
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let result = args.load_with(variables);
    if let Some(path) = path {
        std::fs::remove_file(path).unwrap();
    }
    result
}

/// Writes a file that no other test uses.
fn write(text: &str) -> std::path::PathBuf {
    static FILES: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = FILES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("trestle-config-{}-{number}.toml", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

fn error(flags: &[&str]) -> String {
    config(flags).unwrap_err().to_string()
}

#[test]
fn one_interface_is_the_only_required_setting() {
    let config = config(&["--interface=127.0.0.1"]).unwrap();
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let address = Some(MediaAddress { local, advertised: local });
    assert_eq!(config.interfaces, [Interface { name: None, v4: address, v6: None }]);
    assert_eq!(config.settings.listen.listen_ng, ["127.0.0.1:2223".parse().unwrap()]);
    assert_eq!(config.settings.listen.listen_http, None);
    assert_eq!(config.ports, PortRange::new(30_000, 40_000).unwrap());
    let CallSettings { timeout, silent_timeout, offer_timeout, delete_delay, grace } = config.settings.calls;
    let seconds = [timeout, silent_timeout, offer_timeout, delete_delay, grace].map(|duration| duration.as_secs());
    assert_eq!(seconds, [60, 3_600, 240, 30, 2]);
    assert_eq!(config.settings.log.log_level, LevelFilter::INFO);
    assert!(config.num_threads > 0);
    let controller = config.controller();
    let times = |of: &ControllerConfig| [of.timeout, of.silent_timeout, of.offer_timeout, of.delete_delay, of.grace];
    assert_eq!(times(&controller), times(&ControllerConfig::default()), "the defaults have one value");
    let load = controller.load;
    assert_eq!((load.lateness, load.cpu, load.average), (Some(Duration::from_millis(20)), None, None));
}

#[test]
fn one_value_can_hold_several_interfaces() {
    let config =
        config(&["--interface=pub/10.0.0.5!203.0.113.9;priv/192.168.0.1", "--interface", "pub/2001:db8::5"]).unwrap();
    let [public, private] = &config.interfaces[..] else { panic!("{:?}", config.interfaces) };
    assert_eq!((public.name.as_deref(), private.name.as_deref()), (Some("pub"), Some("priv")));
    assert_eq!(public.v4.unwrap().advertised.to_string(), "203.0.113.9");
    assert_eq!(public.v6.unwrap().local.to_string(), "2001:db8::5");
}

#[test]
fn a_flag_wins_over_a_variable_a_variable_over_the_file_and_the_file_over_the_default() {
    let file = "interface = ['a/10.0.0.1', 'b/10.0.0.2']\nlisten-ng = 2300\nport-min = 20000\ntimeout = 90\n\
                log-level = 7\ntos = 184\nmax-cpu = 87.5\nsilent-timeout = 100";
    let variables = [
        ("TRESTLE_TIMEOUT", "40"),
        ("TRESTLE_SILENT_TIMEOUT", "50"),
        ("TRESTLE_LISTEN_TCP_NG", "2301;10.0.0.1:2302"),
        ("TRESTLE_FILLER", ""),
    ];
    let config = from_all(Some(file), &variables, &["--interface=127.0.0.1", "--timeout=30"]).unwrap();
    assert_eq!(config.interfaces.len(), 1);
    let settings = &config.settings;
    assert_eq!((settings.calls.timeout.as_secs(), settings.calls.silent_timeout.as_secs()), (30, 50));
    assert_eq!(settings.listen.listen_ng, ["127.0.0.1:2300".parse().unwrap()]);
    assert_eq!(settings.listen.listen_tcp_ng, ["127.0.0.1:2301", "10.0.0.1:2302"].map(|text| text.parse().unwrap()));
    assert_eq!(config.ports, PortRange::new(20_000, 40_000).unwrap());
    assert_eq!((settings.log.log_level, settings.media.tos), (LevelFilter::DEBUG, Some(184)));
    assert_eq!(settings.limits.max_cpu.0, 8_750);
}

#[test]
fn a_reload_takes_what_can_change_while_calls_are_active_and_names_the_rest() {
    let load = |file: &str, flags: &[&str]| from_all(Some(file), &[], flags).unwrap();
    let before = "interface = '127.0.0.1'\nmax-sessions = 5\ntimeout = 90\nlog-level = 'warn'\nfiller = 'silence'";
    let after = "interface = '127.0.0.1'\nmax-sessions = 7\ntimeout = 80\nlog-level = 'debug'\nport-min = 20000\ngrace = 0\ntos = 1";
    let mut config = load(before, &["--log-level=error"]);
    let new = load(after, &["--log-level=error"]);
    let changes = config.take_run_time(&new);
    assert_eq!(changes.applied, ["filler", "grace", "max-sessions", "tos"]);
    assert_eq!(changes.need_restart, ["port-min", "timeout"]);
    let run_time = config.run_time();
    let ControllerConfig { max_sessions, timeout, grace, .. } = run_time.controller;
    assert_eq!((max_sessions, timeout.as_secs(), grace.as_secs()), (Some(7), 90, 0));
    assert_eq!((run_time.default_tos, run_time.gate_policy), (Some(1), GateSettings::default().policy()));
    assert_eq!(config.settings.log.log_level, LevelFilter::ERROR, "the flag wins again");

    let again = config.take_run_time(&new);
    assert_eq!((again.applied, again.need_restart), (vec![], vec!["port-min".to_owned(), "timeout".to_owned()]));
}

#[test]
fn a_variable_can_name_the_file() {
    let path = write("interface = '10.0.0.1'");
    let variables = [("TRESTLE_CONFIG".to_owned(), path.display().to_string())];
    let config = ServeArgs::default().load_with(variables).unwrap();
    std::fs::remove_file(path).unwrap();
    assert_eq!(config.interfaces[0].v4.unwrap().local, IpAddr::from([10, 0, 0, 1]));
}

#[test]
fn a_bad_value_is_named_with_its_key_and_a_way_out() {
    let ok = "--interface=127.0.0.1";
    for (flags, expected) in [
        (&[][..], "interface: missing; name the address for media, e.g. --interface=192.0.2.10"),
        (&["--interface=eth0"], "interface: interface \"eth0\": \"eth0\" is no IP address"),
        (&["--interface=0.0.0.0!192.0.2.1"], "interface: 0.0.0.0 is not an address of this machine"),
        (&[ok, "--listen-ng=proxy:2223"], "listen-ng: \"proxy:2223\" is not [IP:]PORT"),
        (&[ok, "--listen-http=x"], "listen-http: \"x\" is not [IP:]PORT"),
        (&[ok, "--port-min=30001", "--port-max=30002"], "port-max: 30001 to 30002 holds no even port"),
        (&[ok, "--port-min=65536"], "port-min: \"65536\" is not a whole number from 0 to 65535"),
        (
            &[ok, "--port-min=30000", "--port-max=30003", "--num-threads=3"],
            "port-max: 30000-30003 has fewer port pairs than there are media threads (3)",
        ),
        (&[ok, "--timeout=0"], "timeout: 0 would end every call at once"),
        (&[ok, "--num-threads=0"], "num-threads: 0 is not between 1 and 256"),
        (&[ok, "--log-level=loud"], "log-level: \"loud\" is none of"),
        (&[ok, "--gate=ajar"], "gate: \"ajar\" is neither open nor shut"),
        (&[ok, "--gate-on-timeout=x"], "gate-on-timeout: \"x\" is neither open nor shut"),
        (&[ok, "--gate-timeout=0"], "gate-timeout: must be from 1 to 3600 seconds"),
        (&[ok, "--pre-roll=10001"], "pre-roll: at most 10000 ms are kept"),
        (&[ok, "--filler=music"], "filler: \"music\" is none of none, silence, comfort-noise and hold-tone"),
        (&[ok, "--event-webhook=app.example/x"], "event-webhook: \"app.example/x\" is no URL"),
        (&[ok, "--event-webhook=ftp://app.example/"], "event-webhook: \"ftp://app.example/\" is no URL"),
        (&[ok, "--event-webhook-secret=x"], "event-webhook-secret: without event-webhook"),
        (&[ok, "--event-webhook=http://h/", "--event-webhook-secret="], "event-webhook-secret: it is empty"),
        (&[ok, "--dtmf-log-dest=2224"], "dtmf-log-dest: \"2224\" is not IP:PORT"),
        (&[ok, "--max-cpu=-1"], "max-cpu: \"-1\" is not a number from 0 up"),
    ] {
        let error = error(flags);
        assert!(error.starts_with(expected), "{flags:?}: {error}");
        assert!(flags.is_empty() || error.ends_with(" (on the command line)"), "{flags:?}: {error}");
    }
}

#[test]
fn a_bad_value_is_named_with_its_source() {
    let file = "interface = '127.0.0.1'\ntimeout = 0";
    let error = from_all(Some(file), &[], &[]).unwrap_err().to_string();
    assert!(error.starts_with("timeout: 0 would end every call at once") && error.contains(" (in /"), "{error}");
    let error = from_all(Some(file), &[("TRESTLE_TIMEOUT", "soon")], &[]).unwrap_err().to_string();
    assert!(error.starts_with("timeout: \"soon\" is not a whole number"), "{error}");
    assert!(error.ends_with(" (from the variable TRESTLE_TIMEOUT)"), "{error}");
    let error = from_all(None, &[("TRESTLE_INTERFACE", "eth0")], &[]).unwrap_err().to_string();
    assert!(error.ends_with("\"eth0\" is no IP address (from the variable TRESTLE_INTERFACE)"), "{error}");
    for (file, expected) in [
        ("timeout = [1, 2]", "timeout: takes one value, not 2 (in /"),
        ("timeout = { seconds = 1 }", "timeout: is neither a text, a number nor a list of these (in /"),
    ] {
        let error = from_all(Some(file), &[], &[]).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn gates_are_open_by_default_and_secrets_are_not_shown() {
    use trestle_core::plan::{Filler, Gate};
    let default = config(&["--interface=127.0.0.1"]).unwrap();
    assert_eq!((default.settings.gate.policy(), default.event_webhook), (GatePolicy::default(), None));
    let text = "interface = '127.0.0.1'\ngate = 'shut'\ngate-timeout = 30\ngate-on-timeout = 'open'\npre-roll = 0\n\
                filler = 'hold_tone'\nlisten-events = 9181\nevent-webhook = 'https://app.example/hook'\n\
                event-webhook-secret = 'quiet'";
    let config = from_all(Some(text), &[], &[]).unwrap();
    assert!(!format!("{config:?}").contains("quiet"));
    let args = CommandLine::try_parse_from(["trestle", "--event-webhook-secret=quiet"]).unwrap().serve;
    assert!(!format!("{args:?}").contains("quiet"));
    let policy = GatePolicy {
        gate: Gate::Shut,
        gate_timeout: Duration::from_secs(30),
        gate_on_timeout: Gate::Open,
        pre_roll: Duration::ZERO,
        filler: Filler::HoldTone,
    };
    let listen_events = config.settings.events.listen_events;
    assert_eq!((config.settings.gate.policy(), listen_events), (policy, Some("127.0.0.1:9181".parse().unwrap())));
    let webhook = config.event_webhook.unwrap();
    assert_eq!((webhook.url.host(), webhook.secret.unwrap().as_bytes()), (Some("app.example"), &b"quiet"[..]));
}

#[test]
fn an_unknown_key_is_an_error_with_the_nearest_known_one() {
    for (key, expected) in [
        ("interfaces", "unknown key `interfaces`; did you mean `interface`?"),
        ("port-mim", "unknown key `port-mim`; did you mean `port-min`?"),
        ("port_min", "unknown key `port_min`; did you mean `port-min`?"),
        ("qqq", "unknown key `qqq`; `trestle serve --help` lists what there is"),
    ] {
        let error = from_all(Some(&format!("{key} = '1'")), &[], &[]).unwrap_err().to_string();
        assert!(error.starts_with("config: /") && error.ends_with(expected), "{error}");
    }
    let error = from_all(None, &[("TRESTLE_PORT_MIM", "1")], &[]).unwrap_err().to_string();
    assert_eq!(error, "environment: unknown variable `TRESTLE_PORT_MIM`; did you mean `TRESTLE_PORT_MIN`?");
    let flag = CommandLine::try_parse_from(["trestle", "--port-mim=1"]).err().unwrap().to_string();
    assert!(flag.contains("'--port-min'"), "{flag}");
}

#[test]
fn variables_of_clients_and_of_kubernetes_are_ignored() {
    let foreign = ["TRESTLE_NG", "TRESTLE_PORT", "TRESTLE_SERVICE_HOST", "TRESTLE_PORT_2223_UDP_ADDR", "OTHER"];
    let variables = foreign.map(|name| (name, "udp://10.0.0.1:2223"));
    assert!(from_all(None, &variables, &["--interface=127.0.0.1"]).is_ok());
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_that_names_it() {
    let error = error(&["--config=/nonexistent/trestle.toml"]);
    assert!(error.starts_with("config: cannot read /nonexistent/trestle.toml: "), "{error}");
    let error = from_all(Some("interface ="), &[], &[]).unwrap_err().to_string();
    assert!(error.starts_with("config: /") && error.contains("line 1"), "{error}");
}
