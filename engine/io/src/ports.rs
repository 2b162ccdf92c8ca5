//! Which ports are free for all workers, which a worker has bound, and when a used port may be used again.

#![expect(
    clippy::disallowed_types,
    reason = "workers share the ports that none has bound; locked when a port is bound, never for a packet"
)]

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trestle_core::{InterfaceId, PortPair, SocketId};

use crate::poller::Poller;

/// How long the ports of an ended leg stay bound without a leg (quarantine), so that a peer that does not know of the end yet
/// does not send into the next call. A lost BYE is sent again after 0.5, 1 and 2 s (RFC 3261 timer E); after the third
/// attempt and its round trip a connected peer has stopped.
pub const QUARANTINE: Duration = Duration::from_secs(5);

/// The quarantine when the range has no other ports: packets in flight at the end of the call have arrived. The default
/// range of 5000 pairs is then enough for 25,000 calls of two legs a second that end at once.
pub const QUARANTINE_MIN: Duration = Duration::from_millis(100);

/// Pairs of one address that stay bound for later calls after their quarantine. To bind and close a pair costs as much as ten
/// packets; pairs beyond these are opened and closed only in a burst.
const RESTED_MAX: usize = 256;

/// With fewer than this many, a pair is bound on another port of the range: a call should not get the port of the call before
/// it, to which a peer that missed the end may still be sending.
const RESTED_MIN: usize = 64;

/// Ports of the range tried for one pair, until the next command: another program may use many of them, and each attempt
/// takes time from media.
const BIND_TRIES_MAX: usize = 16;

/// Even ports and their odd neighbours (RFC 3550 section 11), `port-min` to `port-max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    min: u16,
    max: u16,
}

impl PortRange {
    /// The range of ports from `min` to `max`, both included; `None` if it holds no pair.
    pub fn new(min: u16, max: u16) -> Option<Self> {
        let range = Self { min, max };
        (min > 0 && range.rtp_ports().next().is_some()).then_some(range)
    }

    /// The lowest and the highest port.
    pub fn bounds(self) -> (u16, u16) {
        (self.min, self.max)
    }

    /// The even ports of all pairs.
    pub(crate) fn rtp_ports(self) -> impl Iterator<Item = u16> {
        (self.min..self.max).filter(|port| port % 2 == 0)
    }

    /// Number of pairs.
    pub fn pairs(self) -> usize {
        self.rtp_ports().count()
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

/// Local addresses of a logical interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfacePorts {
    /// The interface that these addresses belong to.
    pub interface: InterfaceId,
    /// Its IPv4 address.
    pub v4: Option<IpAddr>,
    /// Its IPv6 address.
    pub v6: Option<IpAddr>,
}

impl InterfacePorts {
    /// The address of one family.
    pub fn address(&self, ipv6: bool) -> Option<IpAddr> {
        if ipv6 { self.v6 } else { self.v4 }
    }
}

/// With fewer unbound ports of an address than this, workers bind only what a command needs: what one worker keeps bound in
/// advance, a leg on another thread may lack.
const SCARCE: usize = 128;

/// The ports that no worker has bound. All workers take them from here and give them back, so that a leg on any thread can
/// have any free port of the range. Locked for some instructions, when a port is bound or closed, never for a packet (decision 0018).
#[derive(Debug, Clone)]
pub struct PortPool(Arc<Mutex<Vec<UnboundPorts>>>);

/// The even ports of one local address. Two interfaces may share an address, so the range belongs to the address.
#[derive(Debug)]
struct UnboundPorts {
    address: IpAddr,
    rtp_ports: Vec<u16>,
}

impl PortPool {
    /// All ports of `range` on each address of `interfaces`.
    pub fn new(interfaces: &[InterfacePorts], range: PortRange) -> Self {
        let mut unbound: Vec<UnboundPorts> = Vec::new();
        for address in interfaces.iter().flat_map(|of| [of.address(false), of.address(true)]).flatten() {
            if unbound.iter().all(|known| known.address != address) {
                unbound.push(UnboundPorts { address, rtp_ports: range.rtp_ports().collect() });
            }
        }
        Self(Arc::new(Mutex::new(unbound)))
    }

    /// True if an address has few unbound ports.
    pub(crate) fn is_scarce(&self) -> bool {
        self.lock().iter().any(|of| of.rtp_ports.len() < SCARCE)
    }

    /// Takes a port of `address`: the one that `random` chooses.
    fn take(&self, address: IpAddr, random: u32) -> Option<u16> {
        let mut unbound = self.lock();
        let ports = &mut unbound.iter_mut().find(|of| of.address == address)?.rtp_ports;
        let chosen = (random as usize).checked_rem(ports.len())?;
        Some(ports.swap_remove(chosen))
    }

    fn give(&self, address: IpAddr, ports: impl IntoIterator<Item = u16>) {
        if let Some(of) = self.lock().iter_mut().find(|of| of.address == address) {
            of.rtp_ports.extend(ports);
        }
    }

    /// No operation under the lock can leave the list half changed, so a panic of another thread is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, Vec<UnboundPorts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ports of one worker.
#[derive(Debug)]
pub(crate) struct Ports {
    pool: PortPool,
    /// Bound, and out of quarantine.
    rested: Vec<PortPair>,
    /// Released pairs, the oldest first.
    quarantine: VecDeque<(Instant, PortPair)>,
    /// A pair was needed and there was none.
    starved: bool,
}

impl Ports {
    /// No port is bound yet.
    pub(crate) fn new(pool: PortPool) -> Self {
        Self { pool, rested: Vec::new(), quarantine: VecDeque::new(), starved: false }
    }

    /// True if few ports are left for all workers.
    pub(crate) fn is_scarce(&self) -> bool {
        self.pool.is_scarce()
    }

    /// A bound pair of `address`: one after its quarantine if there are many, else one on a random free port (so that a port is hard
    /// to guess), else any after its quarantine, else the one that has been in quarantine longest.
    ///
    /// # Errors
    /// `AddrInUse` if no free port was found, or the error of the system (too many open files, unknown address).
    pub(crate) fn bind(
        &mut self,
        now: Instant,
        poller: &mut Poller,
        address: IpAddr,
        mut random: impl FnMut() -> io::Result<u32>,
    ) -> io::Result<PortPair> {
        let rested = self.rested.iter().filter(|pair| pair.rtp_addr.ip() == address).count();
        if rested >= RESTED_MIN {
            let chosen = random()? as usize % rested;
            return self
                .take_rested(address, chosen)
                .map(|pair| reuse(poller, pair))
                .ok_or(io::ErrorKind::NotFound.into());
        }
        self.open(poller, address, random).or_else(|error| {
            let pair = self.take_unused(now, address).ok_or(error)?;
            Ok(reuse(poller, pair))
        })
    }

    /// Closes up to so many pairs of each address that no leg uses, for other workers: those out of quarantine first, then those
    /// that have rested for [`QUARANTINE_MIN`].
    pub(crate) fn give_up(&mut self, now: Instant, poller: &mut Poller, addresses: &[IpAddr], pairs: usize) {
        for &address in addresses {
            for _ in 0..pairs {
                let Some(pair) = self.take_unused(now, address) else { break };
                self.close(poller, pair);
            }
        }
    }

    /// Closes a pair; any worker may bind its ports.
    pub(crate) fn close(&mut self, poller: &mut Poller, pair: PortPair) {
        poller.close(pair.rtp);
        poller.close(pair.rtcp);
        self.pool.give(pair.rtp_addr.ip(), [pair.rtp_addr.port()]);
    }

    fn take_rested(&mut self, address: IpAddr, number: usize) -> Option<PortPair> {
        let mut of_address = self.rested.iter().enumerate().filter(|(_, pair)| pair.rtp_addr.ip() == address);
        let index = of_address.nth(number).map(|(index, _)| index)?;
        Some(self.rested.swap_remove(index))
    }

    /// A bound pair of `address` that no leg uses and that has rested long enough.
    fn take_unused(&mut self, now: Instant, address: IpAddr) -> Option<PortPair> {
        if let Some(pair) = self.take_rested(address, 0) {
            return Some(pair);
        }
        let of_address = |(_, pair): &(Instant, PortPair)| pair.rtp_addr.ip() == address;
        let oldest = self.quarantine.iter().position(of_address)?;
        let long_enough = self.quarantine[oldest].0 + QUARANTINE_MIN <= now;
        if long_enough { self.quarantine.remove(oldest).map(|(_, pair)| pair) } else { None }
    }

    /// Opens a pair on a random unbound port of the range.
    fn open(
        &self,
        poller: &mut Poller,
        address: IpAddr,
        mut random: impl FnMut() -> io::Result<u32>,
    ) -> io::Result<PortPair> {
        // Ports that another program uses are given back when the attempts are over, and tried again another time.
        let mut taken = Vec::new();
        let mut opened = Err(io::ErrorKind::AddrInUse.into());
        while taken.len() < BIND_TRIES_MAX {
            let Some(port) = random().map(|random| self.pool.take(address, random)).transpose() else { break };
            let port = port?;
            match open_pair(poller, address, port) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken.push(port),
                Err(error) => {
                    taken.push(port);
                    opened = Err(error);
                    break;
                }
                Ok(pair) => {
                    opened = Ok(pair);
                    break;
                }
            }
        }
        self.pool.give(address, taken);
        opened
    }

    /// Keeps a released pair bound for a while.
    pub(crate) fn release(&mut self, now: Instant, poller: &mut Poller, pair: PortPair) {
        poller.quarantine(pair.rtp);
        poller.quarantine(pair.rtcp);
        self.quarantine.push_back((now, pair));
    }

    /// Sets whether a pair is needed and there is none; this shortens the quarantine.
    pub(crate) fn set_starved(&mut self, starved: bool) {
        self.starved = starved;
    }

    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }

    /// Ends the quarantine of pairs that were in it for long enough. True if there was any.
    pub(crate) fn handle_timeout(&mut self, now: Instant, poller: &mut Poller) -> bool {
        let before = self.quarantine.len();
        while self.poll_timeout().is_some_and(|end| end <= now) {
            let Some((_, pair)) = self.quarantine.pop_front() else { break };
            let is_of_address = |rested: &&PortPair| rested.rtp_addr.ip() == pair.rtp_addr.ip();
            if self.rested.iter().filter(is_of_address).count() < RESTED_MAX {
                self.rested.push(pair);
            } else {
                self.close(poller, pair);
            }
        }
        self.quarantine.len() < before
    }

    /// When the next pair leaves quarantine.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let (released, _) = self.quarantine.front()?;
        Some(*released + if self.starved { QUARANTINE_MIN } else { QUARANTINE })
    }
}

/// Takes a pair out of quarantine.
fn reuse(poller: &mut Poller, pair: PortPair) -> PortPair {
    poller.reuse(pair.rtp);
    poller.reuse(pair.rtcp);
    pair
}

fn open_pair(poller: &mut Poller, address: IpAddr, rtp_port: u16) -> io::Result<PortPair> {
    let (rtp, rtp_addr) = poller.open(SocketAddr::new(address, rtp_port))?;
    let rtcp: io::Result<(SocketId, SocketAddr)> = poller.open(SocketAddr::new(address, rtp_port + 1));
    match rtcp {
        Ok((rtcp, rtcp_addr)) => Ok(PortPair { rtp, rtcp, rtp_addr, rtcp_addr }),
        Err(error) => {
            poller.close(rtp);
            Err(error)
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
