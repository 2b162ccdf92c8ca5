//! Which media ports this process has bound at present, for the control thread.
//!
//! Audio that a peer sends must not become a command: a datagram that comes from one of our own media sockets is no request. The range
//! of ports alone does not show that, because other programs on this machine may use ports of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

/// The bound ports of each media address. Workers write it when they open and close sockets, not for packets.
#[derive(Debug, Default)]
pub struct BoundPorts {
    addresses: Vec<(IpAddr, Box<[AtomicU64]>)>,
}

/// Ports in one word.
const WORD_BITS: usize = u64::BITS as usize;

impl BoundPorts {
    /// No port is bound yet on any of `addresses`.
    pub fn new(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let words = || (0..=usize::from(u16::MAX) / WORD_BITS).map(|_| AtomicU64::new(0)).collect();
        Self { addresses: addresses.into_iter().map(|address| (address, words())).collect() }
    }

    /// True if this process has bound `address` for media.
    pub fn contains(&self, address: SocketAddr) -> bool {
        let (index, bit) = place(address.port());
        self.words(address.ip()).any(|words| words[index].load(Ordering::Relaxed) & bit != 0)
    }

    /// Notes that `address` is bound.
    pub fn insert(&self, address: SocketAddr) {
        let (index, bit) = place(address.port());
        self.words(address.ip()).for_each(|words| {
            words[index].fetch_or(bit, Ordering::Relaxed);
        });
    }

    /// Notes that `address` is closed.
    pub fn remove(&self, address: SocketAddr) {
        let (index, bit) = place(address.port());
        self.words(address.ip()).for_each(|words| {
            words[index].fetch_and(!bit, Ordering::Relaxed);
        });
    }

    fn words(&self, ip: IpAddr) -> impl Iterator<Item = &[AtomicU64]> {
        self.addresses.iter().filter(move |(address, _)| *address == ip).map(|(_, words)| &**words)
    }
}

fn place(port: u16) -> (usize, u64) {
    let port = usize::from(port);
    (port / WORD_BITS, 1 << (port % WORD_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_ports_that_are_open_are_bound() {
        let (ours, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let bound = BoundPorts::new([ours]);
        for port in [0, 1, 63, 64, 30_000, u16::MAX] {
            let address = SocketAddr::new(ours, port);
            assert!(!bound.contains(address));
            bound.insert(address);
            assert!(bound.contains(address) && !bound.contains(SocketAddr::new(other, port)));
            assert!(!bound.contains(SocketAddr::new(ours, port ^ 2)));
            bound.remove(address);
            assert!(!bound.contains(address));
        }
    }
}
