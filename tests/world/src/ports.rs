//! Simulated media ports: addresses and socket numbers without sockets.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use trestle_core::{PortPair, Shard, SocketId, limits};

use crate::setup::{TRESTLE_V4, TRESTLE_V6};

/// Binds ports ahead of need, as the edge does, and closes those that the shard releases.
#[derive(Debug)]
pub(crate) struct Ports {
    sockets: BTreeMap<SocketAddr, SocketId>,
    addresses: BTreeMap<SocketId, SocketAddr>,
    /// The next port that was never bound, and the end of the range.
    next_port: u16,
    end: u16,
    /// Released ports, bound again when no fresh ones are left.
    released: VecDeque<u16>,
    next_socket: u32,
}

impl Ports {
    pub(crate) fn new([first, end]: [u16; 2]) -> Self {
        Self {
            sockets: BTreeMap::new(),
            addresses: BTreeMap::new(),
            next_port: first,
            end,
            released: VecDeque::new(),
            next_socket: 0,
        }
    }

    pub(crate) fn socket(&self, at: SocketAddr) -> Option<SocketId> {
        self.sockets.get(&at).copied()
    }

    pub(crate) fn address(&self, socket: SocketId) -> SocketAddr {
        self.addresses[&socket]
    }

    pub(crate) fn bound(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.sockets.keys().copied()
    }

    /// Pairs that legs hold: bound and not in the shard's stock.
    pub(crate) fn pairs_in_use(&self, shard: &Shard) -> usize {
        let wanted: usize = shard.ports_wanted().map(|(_, _, pairs)| pairs).sum();
        let stocked = 2 * limits::PORT_STOCK - wanted;
        self.addresses.len() / 2 - stocked
    }

    pub(crate) fn release(&mut self, pair: PortPair) {
        for socket in [pair.rtp, pair.rtcp] {
            let address = self.addresses.remove(&socket).expect("a bound socket");
            self.sockets.remove(&address);
        }
        self.released.push_back(pair.rtp_addr.port());
    }

    /// Fills the shard's stock as far as there are ports, one pair for each address family in turn.
    pub(crate) fn stock(&mut self, shard: &mut Shard) {
        loop {
            let wanted: Vec<_> = shard.ports_wanted().filter(|(_, _, pairs)| *pairs > 0).collect();
            if wanted.is_empty() {
                return;
            }
            for (interface, ipv6, _) in wanted {
                let Some(port) = self.free_port() else { return };
                let pair = self.bind(if ipv6 { TRESTLE_V6 } else { TRESTLE_V4 }, port);
                shard.add_port_pair(interface, ipv6, pair);
            }
        }
    }

    fn bind(&mut self, ip: IpAddr, port: u16) -> PortPair {
        let [rtp_addr, rtcp_addr] = [port, port + 1].map(|port| SocketAddr::new(ip, port));
        let [rtp, rtcp] = [0, 1].map(|more| SocketId(self.next_socket + more));
        self.next_socket += 2;
        for (socket, address) in [(rtp, rtp_addr), (rtcp, rtcp_addr)] {
            self.sockets.insert(address, socket);
            self.addresses.insert(socket, address);
        }
        PortPair { rtp, rtcp, rtp_addr, rtcp_addr }
    }

    /// An even port: a fresh one if there is one, else the one that was released first.
    fn free_port(&mut self) -> Option<u16> {
        if self.next_port >= self.end {
            return self.released.pop_front();
        }
        self.next_port += 2;
        Some(self.next_port - 2)
    }
}
