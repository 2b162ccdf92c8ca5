use std::net::IpAddr;

use clap::Parser;

use super::*;
use trestle_negotiate::Address;

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    serve: ServeArgs,
}

fn settings(flags: &[&str]) -> Settings {
    CommandLine::try_parse_from(["trestle"].iter().chain(flags)).unwrap().serve.settings
}

fn config(flags: &[&str]) -> Result<Config, ConfigError> {
    Config::new(settings(flags))
}

fn error(flags: &[&str]) -> String {
    config(flags).unwrap_err().to_string()
}

#[test]
fn one_interface_is_all_that_must_be_said() {
    let config = config(&["--interface=127.0.0.1"]).unwrap();
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let address = Some(Address { local, advertised: local });
    assert_eq!(config.interfaces, [Interface { name: None, v4: address, v6: None }]);
    assert_eq!(config.listen_ng, ["127.0.0.1:2223".parse().unwrap()]);
    assert_eq!(config.listen_http, None);
    assert_eq!(config.ports, PortRange::new(30_000, 40_000).unwrap());
    assert_eq!(
        (config.timeout.as_secs(), config.offer_timeout.as_secs(), config.delete_delay.as_secs()),
        (60, 240, 30)
    );
    assert_eq!(config.log_level, LevelFilter::INFO);
    assert!(config.num_threads > 0);
}

#[test]
fn several_interfaces_may_stand_in_one_value() {
    let config =
        config(&["--interface=pub/10.0.0.5!203.0.113.9;priv/192.168.0.1", "--interface", "pub/2001:db8::5"]).unwrap();
    let [public, private] = &config.interfaces[..] else { panic!("{:?}", config.interfaces) };
    assert_eq!((public.name.as_deref(), private.name.as_deref()), (Some("pub"), Some("priv")));
    assert_eq!(public.v4.unwrap().advertised.to_string(), "203.0.113.9");
    assert_eq!(public.v6.unwrap().local.to_string(), "2001:db8::5");
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file: Settings = toml::from_str(
        "interface = ['a/10.0.0.1', 'b/10.0.0.2']\nlisten-ng = 2300\nport-min = 20000\ntimeout = 90\nlog-level = 7\ntos = 184",
    )
    .unwrap();
    let config = Config::new(settings(&["--interface=127.0.0.1", "--timeout=30"]).over(file)).unwrap();
    assert_eq!(config.interfaces.len(), 1);
    assert_eq!(config.timeout.as_secs(), 30);
    assert_eq!(config.listen_ng, ["127.0.0.1:2300".parse().unwrap()]);
    assert_eq!(config.ports, PortRange::new(20_000, 40_000).unwrap());
    assert_eq!((config.log_level, config.tos), (LevelFilter::DEBUG, Some(184)));
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
    ] {
        let error = error(flags);
        assert!(error.starts_with(expected), "{flags:?}: {error}");
    }
}

#[test]
fn gates_are_open_unless_said_otherwise_and_secrets_are_not_shown() {
    use trestle_core::plan::{Filler, Gate};
    let default = config(&["--interface=127.0.0.1"]).unwrap();
    assert_eq!((default.presence, default.event_webhook), (PresencePolicy::default(), None));
    let text = "interface = '127.0.0.1'\ngate = 'shut'\ngate-timeout = 30\ngate-on-timeout = 'open'\npre-roll = 0\n\
                filler = 'hold_tone'\nlisten-events = 9181\nevent-webhook = 'https://app.example/hook'\n\
                event-webhook-secret = 'quiet'";
    let file: Settings = toml::from_str(text).unwrap();
    assert!(!format!("{file:?}").contains("quiet"));
    let config = Config::new(file).unwrap();
    let policy = PresencePolicy {
        gate: Gate::Shut,
        gate_timeout: Duration::from_secs(30),
        gate_on_timeout: Gate::Open,
        pre_roll: Duration::ZERO,
        filler: Filler::HoldTone,
    };
    assert_eq!((config.presence, config.listen_events), (policy, Some("127.0.0.1:9181".parse().unwrap())));
    let webhook = config.event_webhook.unwrap();
    assert_eq!((webhook.url.host(), webhook.secret.unwrap().as_bytes()), (Some("app.example"), &b"quiet"[..]));
}

#[test]
fn a_misspelt_key_in_the_file_is_an_error_that_names_it() {
    let error = toml::from_str::<Settings>("interfaces = '127.0.0.1'").unwrap_err().to_string();
    assert!(error.contains("unknown field `interfaces`") && error.contains("`interface`"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_an_error_that_names_it() {
    let args = ServeArgs { config: Some("/nonexistent/trestle.toml".into()), settings: Settings::default() };
    assert!(args.load().unwrap_err().to_string().starts_with("config: cannot read /nonexistent/trestle.toml: "));
}
