//! The limit of open files, raised before there are threads.

use std::collections::BTreeSet;

use trestle_io::files::{self, FILES_PER_CALL, FileLimit};

use crate::config::Config;

/// Open files beside media ports: the program, listeners and pollers, connections over TCP and HTTP.
const OTHER_FILES: u64 = 640;

/// How many open files the configuration needs, and how many calls ports and files are enough for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileBudget {
    /// Files that are open when every port is.
    needed: u64,
    /// Calls of two legs that the ports carry.
    by_ports: u64,
    /// The same by the limit of open files.
    by_files: u64,
}

impl FileBudget {
    fn of(config: &Config, limit: u64) -> Self {
        let interfaces = config.interfaces.iter().flat_map(|interface| [interface.v4, interface.v6]).flatten();
        // Interfaces may share an address, and an address has each port once.
        let addresses = interfaces.map(|address| address.local).collect::<BTreeSet<_>>().len();
        let ports = 2 * (config.ports.pairs() * addresses) as u64;
        let by_files = limit.saturating_sub(OTHER_FILES) / FILES_PER_CALL;
        Self { needed: ports + OTHER_FILES, by_ports: ports / FILES_PER_CALL, by_files }
    }
}

/// Raises the limit of open files, allocates the table of open files at its full length, and logs for how many calls that is
/// enough. Call it while the process has one thread: growing the table later would delay the other threads.
pub fn raise_file_limit(config: &Config) {
    let FileLimit { before, now } = files::raise_limit();
    let FileBudget { needed, by_ports, by_files } = FileBudget::of(config, now);
    if by_files < by_ports {
        tracing::warn!(
            limit = now,
            needed,
            "the limit of open files is reached at about {by_files} calls, the ports would carry {by_ports}; raise the hard \
             limit (LimitNOFILE= in a systemd unit, ulimit -Hn)"
        );
    } else {
        tracing::info!(limit = now, before, "open files and ports are enough for about {by_ports} calls");
    }
    if let Err(error) = files::grow_table(needed.min(now)) {
        tracing::warn!(%error, "cannot grow the table of open files now; media can be delayed when it grows later");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MediaSettings, Settings};

    #[test]
    fn a_call_takes_two_pairs_and_four_files() {
        let budget = |interfaces: &[&str], limit| {
            let interface = interfaces.iter().map(|spec| (*spec).to_owned()).collect();
            let media = MediaSettings {
                interface,
                port_min: 20_000,
                port_max: 20_999,
                num_threads: Some(1),
                ..Default::default()
            };
            let settings = Settings { media, ..Settings::default() };
            FileBudget::of(&Config::new(settings).unwrap(), limit)
        };
        let one = budget(&["127.0.0.1"], 1_040);
        assert_eq!(one, FileBudget { needed: 1_640, by_ports: 250, by_files: 100 });
        assert_eq!(budget(&["wa/127.0.0.1!192.0.2.1", "sip/127.0.0.1"], 1_040), one, "one address under two names");
        assert_eq!(
            budget(&["wa/127.0.0.1", "sip/127.0.0.2"], 640),
            FileBudget { needed: 2_640, by_ports: 500, by_files: 0 }
        );
        assert_eq!(budget(&["127.0.0.1"], 100).by_files, 0);
    }
}
