//! Which ports a worker may bind, and when a used port may be used again.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
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

/// Ports of one local address that this worker may bind and has not bound. Two interfaces may share an address, so the range
/// belongs to the address.
#[derive(Debug)]
struct Free {
    address: IpAddr,
    rtp_ports: Vec<u16>,
    /// Bound, and out of quarantine.
    rested: Vec<PortPair>,
}

/// The ports of one worker.
#[derive(Debug)]
pub(crate) struct Ports {
    free: Vec<Free>,
    /// Released pairs, the oldest first.
    quarantine: VecDeque<(Instant, PortPair)>,
    /// A pair was needed and there was none.
    starved: bool,
}

impl Ports {
    /// Workers share the range pair by pair: the kernel delivers by port, so a port belongs to one thread.
    pub(crate) fn new(interfaces: &[InterfacePorts], range: PortRange, worker: usize, workers: usize) -> Self {
        let mut free: Vec<Free> = Vec::new();
        for address in interfaces.iter().flat_map(|of| [of.address(false), of.address(true)]).flatten() {
            if free.iter().all(|known| known.address != address) {
                free.push(Free {
                    address,
                    rtp_ports: range.rtp_ports().skip(worker).step_by(workers.max(1)).collect(),
                    rested: Vec::new(),
                });
            }
        }
        Self { free, quarantine: VecDeque::new(), starved: false }
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
        let free = self.free.iter_mut().find(|free| free.address == address).ok_or(io::ErrorKind::AddrNotAvailable)?;
        if free.rested.len() >= RESTED_MIN {
            let chosen = random()? as usize % free.rested.len();
            return Ok(reuse(poller, free.rested.swap_remove(chosen)));
        }
        free.open(poller, random).or_else(|error| {
            if let Some(pair) = free.rested.pop() {
                return Ok(reuse(poller, pair));
            }
            let of_address = |(_, pair): &(Instant, PortPair)| pair.rtp_addr.ip() == address;
            let oldest = self.quarantine.iter().position(of_address).ok_or(error.kind())?;
            let long_enough = self.quarantine[oldest].0 + QUARANTINE_MIN <= now;
            let pair = if long_enough { self.quarantine.remove(oldest) } else { None };
            pair.map(|(_, pair)| reuse(poller, pair)).ok_or(error)
        })
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
            let Some(free) = self.free.iter_mut().find(|free| free.address == pair.rtp_addr.ip()) else { continue };
            if free.rested.len() < RESTED_MAX {
                free.rested.push(pair);
            } else {
                poller.close(pair.rtp);
                poller.close(pair.rtcp);
                free.rtp_ports.push(pair.rtp_addr.port());
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

impl Free {
    /// Opens a pair on a random free port.
    fn open(&mut self, poller: &mut Poller, mut random: impl FnMut() -> io::Result<u32>) -> io::Result<PortPair> {
        // Ports that another program uses are moved behind the candidates and stay in the list for the next time.
        let mut candidates = self.rtp_ports.len();
        for _ in 0..BIND_TRIES_MAX.min(candidates) {
            let chosen = random()? as usize % candidates;
            match open_pair(poller, self.address, self.rtp_ports[chosen]) {
                Ok(pair) => {
                    self.rtp_ports.swap_remove(chosen);
                    return Ok(pair);
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    candidates -= 1;
                    self.rtp_ports.swap(chosen, candidates);
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
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
