//! What the engine under load costs: processor time and memory, as the kernel counts them for its process.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its id.
    pub pid: u32,
}

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Memory {
    /// Resident, as `ps` shows it.
    pub rss: u64,
    /// Of that, what is the process's own and no file's.
    pub anonymous: u64,
}

impl Target {
    /// The process that has a UDP socket on `ng`. `None` if it runs elsewhere, or is another user's.
    pub fn listening(ng: SocketAddr) -> Option<Self> {
        let table = fs::read_to_string("/proc/net/udp").ok()?;
        let inode = inode_of(&table, ng)?;
        let wanted = format!("socket:[{inode}]");
        let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
        let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let pid = pids.find(|pid: &u32| {
            let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(Result::ok);
            files.filter_map(|file| fs::read_link(file.path()).ok()).any(|link| link.to_str() == Some(&wanted))
        })?;
        Some(Self { pid })
    }

    /// Its name.
    pub fn name(self) -> String {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default();
        name.trim_end().to_owned()
    }

    /// Processor time of all its threads, user and system, in seconds. To the nanosecond where the kernel counts so finely
    /// (`schedstat`; of living threads only, but media threads do not die), else in steps of 10 ms (`stat`).
    pub fn cpu_s(self) -> Option<f64> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).ok()?.filter_map(Result::ok);
        let times = threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
        let ns: u64 = times.filter_map(|times| times.split(' ').next()?.parse::<u64>().ok()).sum();
        if ns > 0 {
            return Some(ns as f64 / 1e9);
        }
        cpu_ticks(&fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?).map(|ticks| ticks as f64 / 100.0)
    }

    /// Its memory.
    pub fn memory(self) -> Option<Memory> {
        memory(&fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?)
    }

    /// Its threads.
    pub fn threads(self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.pid)).map_or(0, Iterator::count)
    }
}

/// Datagrams that this machine threw away because a receiver's buffer was full, of all processes together.
pub fn buffer_drops() -> Option<u64> {
    drops(&fs::read_to_string("/proc/net/snmp").ok()?)
}

/// The inode of the socket on `address`, or on its port at any address, in `/proc/net/udp`.
fn inode_of(table: &str, address: SocketAddr) -> Option<u64> {
    let SocketAddr::V4(address) = address else { return None };
    let written = |ip: Ipv4Addr| format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port());
    let find = |local: String| {
        let mut rows = table.lines().skip(1).map(|line| line.split_ascii_whitespace());
        rows.find_map(|mut words| (words.nth(1)? == local).then(|| words.nth(7)?.parse().ok())?)
    };
    find(written(*address.ip())).or_else(|| find(written(Ipv4Addr::UNSPECIFIED)))
}

/// `utime` and `stime` of `/proc/PID/stat`. The name in parentheses may contain anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    Some(user + fields.next()?.parse::<u64>().ok()?)
}

fn memory(status: &str) -> Option<Memory> {
    let bytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1_024)
    };
    Some(Memory { rss: bytes("VmRSS:")?, anonymous: bytes("RssAnon:")? })
}

fn drops(snmp: &str) -> Option<u64> {
    let mut rows = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (rows.next()?, rows.next()?);
    let at = names.split(' ').position(|name| name == "RcvbufErrors")?;
    values.split(' ').nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100 1000 10";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks(""), None);
    }

    #[test]
    fn a_socket_is_found_by_its_address_or_by_any() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             12: 0100007F:08AF 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 777 2 0 0\n\
             13: 00000000:08B0 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 778 2 0 0\n";
        assert_eq!(inode_of(table, "127.0.0.1:2223".parse().unwrap()), Some(777));
        assert_eq!(inode_of(table, "127.0.0.1:2224".parse().unwrap()), Some(778));
        assert_eq!(inode_of(table, "127.0.0.2:2223".parse().unwrap()), None);
    }

    #[test]
    fn memory_and_drops_are_read_by_name() {
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nRssAnon:\t    1024 kB\n";
        assert_eq!(memory(status), Some(Memory { rss: 2 << 20, anonymous: 1 << 20 }));
        let snmp = "Ip: a\nIp: 1\nUdp: InDatagrams NoPorts RcvbufErrors\nUdp: 5 6 7\n";
        assert_eq!(drops(snmp), Some(7));
    }

    #[test]
    fn this_process_has_used_some_memory() {
        let own = Target { pid: std::process::id() };
        assert!(own.memory().unwrap().rss > 0 && own.cpu_s().is_some() && own.threads() > 0 && !own.name().is_empty());
        assert!(buffer_drops().is_some());
    }
}
