//! Which listeners other machines can reach, and the warnings about those that have no protection.

use std::net::SocketAddr;

use crate::config::Config;

/// Logs a warning for each listener that is open to every machine that can reach it, and for each that is open to none. `listening` has
/// the key and the address of each.
pub(crate) fn warn(config: &Config, listening: &[(&'static str, SocketAddr)]) {
    for (key, address) in listening {
        match exposure(config, key, *address) {
            Exposure::Protected => {}
            Exposure::Unprotected => tracing::warn!(
                %address,
                key,
                "this address is open to other machines and ng has NO PASSWORD: each machine that can reach this port can listen to, \
                 redirect and end every call. Set ng-allow to the addresses of your proxies, or ng-secret-file, or use a loopback \
                 address"
            ),
            Exposure::UnprotectedEvents => tracing::warn!(
                %address,
                key,
                "this address is open to other machines and has NO PASSWORD: each machine that can reach this port receives every event \
                 and every digit. Set ng-allow to the addresses of your applications, or use a loopback address"
            ),
            Exposure::Closed => tracing::warn!(
                %address,
                key,
                "no source can reach this address: ng-allow has no loopback network. Add 127.0.0.0/8 (or ::1) to it"
            ),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exposure {
    /// On loopback, or with a list of sources, or for signed requests only.
    Protected,
    Unprotected,
    UnprotectedEvents,
    /// On loopback, with a list without loopback.
    Closed,
}

fn exposure(config: &Config, key: &str, address: SocketAddr) -> Exposure {
    let allow = &config.settings.listen.ng_allow;
    let is_loopback = address.ip().to_canonical().is_loopback();
    if is_loopback {
        let has_loopback = allow.iter().any(|net| net.addr().is_loopback() || net.contains(&address.ip()));
        return if allow.is_empty() || has_loopback { Exposure::Protected } else { Exposure::Closed };
    }
    match key {
        _ if !allow.is_empty() => Exposure::Protected,
        "listen-events" => Exposure::UnprotectedEvents,
        _ if config.signatures().is_some_and(|policy| policy.has_no_open_network()) => Exposure::Protected,
        _ => Exposure::Unprotected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn a_listener_that_other_machines_reach_without_a_list_is_unprotected() {
        let config = |allow: &[&str]| {
            let mut settings = Settings::default();
            settings.media.interface = vec!["192.0.2.1".to_owned()];
            settings.listen.ng_allow = allow.iter().map(|net| net.parse().unwrap()).collect();
            Config::new(settings).unwrap()
        };
        let of = |allow, key, address: &str| exposure(&config(allow), key, address.parse().unwrap());
        let (none, some): (&[&str], &[&str]) = (&[], &["192.0.2.0/24"]);
        assert_eq!(of(none, "listen-ng", "127.0.0.1:2223"), Exposure::Protected);
        assert_eq!(of(none, "listen-http", "[::1]:80"), Exposure::Protected);
        assert_eq!(of(none, "listen-ng", "0.0.0.0:2223"), Exposure::Unprotected);
        assert_eq!(of(none, "listen-tcp-ng", "[2001:db8::1]:2223"), Exposure::Unprotected);
        assert_eq!(of(none, "listen-events", "192.0.2.1:2225"), Exposure::UnprotectedEvents);
        assert_eq!(of(some, "listen-ng", "0.0.0.0:2223"), Exposure::Protected);
        assert_eq!(of(some, "listen-events", "0.0.0.0:2225"), Exposure::Protected);
        assert_eq!(of(some, "listen-ng", "127.0.0.1:2223"), Exposure::Closed);
        assert_eq!(of(&["127.0.0.0/8"], "listen-ng", "127.0.0.1:2223"), Exposure::Protected);
    }
}
