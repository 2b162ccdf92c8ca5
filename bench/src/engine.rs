//! A shard with bound ports, and what leaves it.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use trestle_core::{
    Command, DtlsIdentity, EngineReply, Epoch, InterfaceId, LegPorts, Output, PortPair, RequestId, Shard, SocketId,
};
use trestle_wire::demux::DatagramKind;
use trestle_world::shard_config;

/// A shard.
#[derive(Debug)]
pub struct Engine {
    shard: Shard,
    identity: DtlsIdentity,
    sent: Sent,
    pairs: u32,
    host: u8,
}

/// What has left: counts, and copies of STUN and DTLS (or of everything, if asked for).
#[derive(Debug)]
pub struct Sent {
    /// RTP packets.
    pub rtp: usize,
    /// RTCP packets.
    pub rtcp: usize,
    /// STUN and DTLS.
    pub handshakes: usize,
    /// Events.
    pub events: usize,
    keep_media: bool,
    bytes: Vec<u8>,
    kept: Vec<(SocketId, Range<usize>)>,
}

/// Ports of a machine begin here.
const PORT_MIN: u32 = 20_000;
/// Port pairs per address: 203.0.113.10, then .11 and so on.
const PAIRS_PER_HOST: u32 = 20_000;

impl Engine {
    /// An empty one whose address ends in `host` and whose time begins at `now`, wall time at a fixed date.
    pub fn new(now: Instant, host: u8, identity: DtlsIdentity) -> Self {
        let epoch = Epoch { instant: now, unix: Duration::from_secs(1_700_000_000) };
        let shard = Shard::new(shard_config([7; 32], epoch, identity.clone(), &[false]));
        // So much that no measured packet makes it grow.
        let sent = Sent {
            rtp: 0,
            rtcp: 0,
            handshakes: 0,
            events: 0,
            keep_media: false,
            bytes: Vec::with_capacity(1 << 20),
            kept: Vec::with_capacity(1 << 12),
        };
        Self { shard, identity, sent, pairs: 0, host }
    }

    /// Keeps what leaves, media too.
    pub fn keep_media(&mut self) {
        self.sent.keep_media = true;
    }

    /// Its certificate.
    pub fn identity(&self) -> &DtlsIdentity {
        &self.identity
    }

    /// Where its `pair`th leg listens.
    pub fn address(&self, pair: usize) -> SocketAddr {
        address(self.host, pair as u32)
    }

    /// The socket of its `pair`th leg.
    pub fn socket(pair: usize, rtcp: bool) -> SocketId {
        SocketId(2 * pair as u32 + u32::from(rtcp))
    }

    /// Does a command that must succeed; gives the ports of its legs.
    pub fn command(&mut self, now: Instant, command: Command) -> Vec<LegPorts> {
        if let Command::Apply { legs, .. } = &command {
            for _ in legs {
                let rtp_addr = self.address(self.pairs as usize);
                let rtcp_addr = SocketAddr::new(rtp_addr.ip(), rtp_addr.port() + 1);
                let [rtp, rtcp] = [false, true].map(|rtcp| Self::socket(self.pairs as usize, rtcp));
                self.shard.add_port_pair(InterfaceId(0), false, PortPair { rtp, rtcp, rtp_addr, rtcp_addr });
                self.pairs += 1;
            }
        }
        self.shard.handle_command(now, RequestId(1), command);
        let mut ports = Vec::new();
        loop {
            match self.shard.poll_output() {
                Output::Reply(answer) => match answer.1 {
                    Ok(EngineReply::Applied(applied)) => ports = applied.into_iter().map(|(_, ports)| ports).collect(),
                    Ok(_) => {}
                    Err(error) => panic!("refused: {error}"),
                },
                Output::Transmit(transmit) => self.sent.note(&transmit),
                Output::Event(_) | Output::Release(_) => {}
                Output::Timeout(_) => return ports,
            }
        }
    }

    /// Takes a datagram and lets everything leave that follows from it.
    pub fn take(&mut self, now: Instant, socket: SocketId, source: SocketAddr, bytes: &mut [u8]) {
        self.shard.handle_datagram(now, socket, source, bytes);
        self.drain();
    }

    /// True if something is due at `now`.
    pub fn is_due(&self, now: Instant) -> bool {
        self.shard.poll_timeout().is_some_and(|at| at <= now)
    }

    /// Does what is due.
    pub fn wake(&mut self, now: Instant) {
        self.shard.handle_timeout(now);
        self.drain();
    }

    /// What has left so far.
    pub fn sent(&self) -> &Sent {
        &self.sent
    }

    /// What was kept of it, given to `each` with the socket it left by and that one's address, and forgotten.
    pub fn take_kept(&mut self, mut each: impl FnMut(SocketId, SocketAddr, &mut [u8])) {
        for (socket, range) in self.sent.kept.drain(..) {
            each(socket, address(self.host, socket.0 / 2), &mut self.sent.bytes[range]);
        }
        self.sent.bytes.clear();
    }

    fn drain(&mut self) {
        loop {
            match self.shard.poll_output() {
                Output::Transmit(transmit) => self.sent.note(&transmit),
                Output::Event(_) => self.sent.events += 1,
                Output::Reply(_) | Output::Release(_) => {}
                Output::Timeout(_) => return,
            }
        }
    }
}

fn address(host: u8, pair: u32) -> SocketAddr {
    let (more, pair) = (pair / PAIRS_PER_HOST, pair % PAIRS_PER_HOST);
    SocketAddr::from(([203, 0, 113, host + more as u8], (PORT_MIN + 2 * pair) as u16))
}

impl Sent {
    fn note(&mut self, transmit: &trestle_core::Transmit<'_>) {
        let kind = DatagramKind::of(transmit.bytes);
        match kind {
            Some(DatagramKind::Rtp) => self.rtp += 1,
            Some(DatagramKind::Rtcp) => self.rtcp += 1,
            Some(DatagramKind::Stun | DatagramKind::Dtls) => self.handshakes += 1,
            None => {}
        }
        if self.keep_media || matches!(kind, Some(DatagramKind::Stun | DatagramKind::Dtls)) {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(transmit.bytes);
            self.kept.push((transmit.socket, start..self.bytes.len()));
        }
    }
}
