//! Calls of two legs on one shard, with a peer for each leg.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trestle_core::{CallId, Command, DtlsIdentity, LegId, SocketId};

use crate::side::Ends;
use crate::{Engine, Meter, PACKET_TIME, Peer, Script, Security, Side, Work, unmetered};

/// A handshake is over within this.
const HANDSHAKE_MAX: Duration = Duration::from_secs(2);
/// Handshakes go on in steps of this.
const HANDSHAKE_STEP: Duration = Duration::from_millis(5);

/// Calls of two legs, and their peers.
#[derive(Debug)]
pub struct Calls {
    engine: Engine,
    sides: [Side; 2],
    peers: Vec<[Peer; 2]>,
    now: Instant,
}

/// A datagram of a peer, ready for the engine.
#[derive(Debug, Clone)]
pub struct Prepared {
    at: Instant,
    socket: SocketId,
    source: SocketAddr,
    bytes: Vec<u8>,
}

impl Calls {
    /// An empty shard, whose time begins at `now`.
    pub fn new(now: Instant, sides: [Side; 2]) -> Self {
        let identity = DtlsIdentity::generate().expect("a certificate");
        Self { engine: Engine::new(now, 10, identity), sides, peers: Vec::new(), now }
    }

    /// The time that has come.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.peers.len()
    }

    /// The shard.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Opens `count` calls, and takes them to where media can flow. The engine's work is metered, the peers' is not.
    pub fn open(&mut self, count: usize, meter: &mut Meter<'_>) {
        let speech = self.sides.map(|side| Peer::speech(side.codec, false));
        let first = self.peers.len();
        let identity = DtlsIdentity::generate().expect("a certificate");
        for call in first..first + count {
            let ours = self.engine.identity().clone();
            let pairs = [2 * call, 2 * call + 1];
            let peers = [0, 1].map(|leg| {
                let address = self.engine.address(pairs[leg]);
                Peer::new(self.now, self.sides[leg], name(call, leg), address, [&ours, &identity], speech[leg].clone())
            });
            let legs = [0, 1].map(|leg: usize| {
                let ends =
                    Ends { name: name(call, leg), peer: peers[leg].address(), peer_identity: &identity, ours: true };
                (LegId(leg as u16), self.sides[leg].plan(leg, &ends))
            });
            let mut apply = Some(Command::Apply { call: CallId(call as u64), legs: legs.to_vec() });
            drop(legs);
            let (engine, now) = (&mut self.engine, self.now);
            meter(&mut || {
                apply.take().into_iter().for_each(|apply| {
                    engine.command(now, apply);
                });
                Work::Handshake
            });
            self.peers.push(peers);
        }
        if self.sides.iter().any(|side| side.security == Security::Dtls) {
            let end = self.now + HANDSHAKE_MAX;
            while self.now < end {
                self.now += HANDSHAKE_STEP;
                self.step(first, meter);
            }
        }
    }

    /// Every call ends.
    pub fn close(&mut self) {
        for call in 0..self.peers.len() {
            self.engine.command(self.now, Command::Delete { call: CallId(call as u64) });
        }
        self.peers.clear();
    }

    /// What the peers of every call do from now on, by leg.
    pub fn follow(&mut self, scripts: [Script; 2]) {
        for leg in 0..2 {
            let dtx = scripts[leg].suppresses_silence;
            let speech = dtx.then(|| Peer::speech(self.sides[leg].codec, true));
            for peers in &mut self.peers {
                peers[leg].follow(scripts[leg]);
                if let Some(speech) = &speech {
                    peers[leg].set_audio(speech.clone());
                }
            }
        }
    }

    /// Lets a packet time pass on every call.
    pub fn tick(&mut self, meter: &mut Meter<'_>) {
        self.now += PACKET_TIME;
        self.step(0, meter);
    }

    /// Makes what the peers of all calls send in the next `ticks` packet times, for [`Calls::run`]. Trestle's answers in STUN and
    /// DTLS reach the peers before each of them.
    pub fn prepare(&mut self, ticks: usize) -> Vec<Prepared> {
        let mut prepared = Vec::new();
        for _ in 0..ticks {
            self.now += PACKET_TIME;
            self.answer_handshakes();
            for (call, peers) in self.peers.iter_mut().enumerate() {
                for (leg, peer) in peers.iter_mut().enumerate() {
                    prepared.extend(peer.datagrams(self.now).into_iter().map(|datagram| Prepared {
                        at: self.now,
                        socket: Engine::socket(2 * call + leg, datagram.to_rtcp),
                        source: peer.source(&datagram),
                        bytes: datagram.bytes,
                    }));
                }
            }
        }
        prepared
    }

    /// Gives the engine prepared datagrams, and does what falls due on the way. Returns how many RTP packets left.
    pub fn run(&mut self, prepared: &mut [Prepared]) -> usize {
        let before = self.engine.sent().rtp;
        for Prepared { at, socket, source, bytes } in prepared {
            while self.engine.is_due(*at) {
                self.engine.wake(*at);
            }
            self.engine.take(*at, *socket, *source, bytes);
        }
        self.engine.sent().rtp - before
    }

    /// Changes what the peers of a leg send to `payloads`, for which each call starts at another place.
    pub fn set_audio(&mut self, leg: usize, payloads: &[Vec<u8>]) {
        for (call, peers) in self.peers.iter_mut().enumerate() {
            let mut rotated = payloads.to_vec();
            rotated.rotate_left(call * 37 % payloads.len());
            peers[leg].set_audio(rotated.into());
        }
    }

    /// Lets packet times pass without looking.
    pub fn pass(&mut self, ticks: usize) {
        (0..ticks).for_each(|_| self.tick(&mut unmetered));
    }

    /// One turn of the calls from `first` on: what their peers send, what is due, and the answers to STUN and DTLS.
    fn step(&mut self, first: usize, meter: &mut Meter<'_>) {
        let Self { engine, peers, now, .. } = self;
        let now = *now;
        while engine.is_due(now) {
            meter(&mut || {
                let handshakes = engine.sent().handshakes;
                engine.wake(now);
                if engine.sent().handshakes == handshakes { Work::Timer } else { Work::Handshake }
            });
        }
        for (call, peers) in peers.iter_mut().enumerate().skip(first) {
            for (leg, peer) in peers.iter_mut().enumerate() {
                for mut datagram in peer.datagrams(now) {
                    let socket = Engine::socket(2 * call + leg, datagram.to_rtcp);
                    let source = peer.source(&datagram);
                    meter(&mut || {
                        engine.take(now, socket, source, &mut datagram.bytes);
                        datagram.work
                    });
                }
            }
        }
        self.answer_handshakes();
    }

    /// STUN and DTLS of Trestle reach the peers.
    fn answer_handshakes(&mut self) {
        let Self { engine, peers, now, .. } = self;
        engine.take_kept(|socket, source, bytes| {
            let pair = socket.0 as usize / 2;
            peers[pair / 2][pair % 2].receive(*now, source, bytes);
        });
    }
}

fn name(call: usize, leg: usize) -> u32 {
    (2 * call + leg) as u32
}
