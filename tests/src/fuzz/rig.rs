//! A whole Trestle without sockets, threads or peers: a controller, a shard, and ports that exist in name only.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use trestle_calls::controller::{self, Controller, ControllerConfig, LoadBounds};
use trestle_core::report::Totals;
use trestle_core::{
    Command, CommandError, DtlsIdentity, Epoch, InterfaceId, LegPorts, Output, PortPair, Reply, RequestId, Shard,
    ShardConfig, SocketId, limits,
};
use trestle_negotiate::{Address, Environment, Interface, PresencePolicy};

/// Port pairs per address family: two calls and a half, so that inputs run into their end.
const PAIRS: u16 = 5;

/// Requests from here on are the rig's own, not the controller's.
const OWN: u64 = 1 << 62;

/// A datagram that Trestle has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) at: Duration,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// See the module.
pub(super) struct Rig {
    pub(super) now: Instant,
    start: Instant,
    shard: Shard,
    pub(super) controller: Controller,
    ids: BTreeMap<SocketAddr, SocketId>,
    addresses: BTreeMap<SocketId, SocketAddr>,
    free: Vec<PortPair>,
    /// Media datagrams, in order.
    pub(super) sent: Vec<Sent>,
    /// Replies to ng requests, in order.
    pub(super) replies: Vec<(SocketAddr, Vec<u8>)>,
    answer: Option<Result<Reply, CommandError>>,
}

impl Rig {
    /// The same Trestle every time.
    pub(super) fn new() -> Self {
        let start = instant_zero();
        let epoch = Epoch { instant: start, unix: Duration::from_secs(1_800_000_000) };
        let identity = identity();
        let ips: [IpAddr; 2] = [[203, 0, 113, 10].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10].into()];
        let [v4, v6] = ips.map(|ip| Some(Address { local: ip, advertised: ip }));
        let environment = Environment {
            interfaces: vec![Interface { name: None, v4, v6 }],
            fingerprint: identity.fingerprint(),
            default_tos: None,
            presence: PresencePolicy::default(),
        };
        let config = ControllerConfig {
            shards: 1,
            max_sessions: Some(10),
            load: LoadBounds::default(),
            timeout: Duration::from_secs(60),
            silent_timeout: Duration::from_secs(3_600),
            offer_timeout: Duration::from_secs(180),
            delete_delay: Duration::from_secs(30),
            dtmf_log_dest: None,
            publish_events: true,
        };
        let shard = Shard::new(ShardConfig {
            seed: [7; 32],
            epoch,
            identity: identity.clone(),
            interfaces: vec![(InterfaceId(0), false), (InterfaceId(0), true)],
            media_timeout: Duration::from_secs(60),
        });
        let mut rig = Self {
            now: start,
            start,
            shard,
            controller: Controller::new(config, environment, epoch, ChaCha12Rng::seed_from_u64(1)),
            ids: BTreeMap::new(),
            addresses: BTreeMap::new(),
            free: Vec::new(),
            sent: Vec::new(),
            replies: Vec::new(),
            answer: None,
        };
        for (family, ip) in ips.into_iter().enumerate() {
            for n in (0..PAIRS).rev() {
                rig.bind(family as u32, ip, n);
            }
        }
        rig.drain();
        rig
    }

    fn bind(&mut self, family: u32, ip: IpAddr, n: u16) {
        let id = 2 * (family * u32::from(PAIRS) + u32::from(n));
        let [rtp_addr, rtcp_addr] = [0, 1].map(|more| SocketAddr::new(ip, 20_000 + 2 * n + more));
        let pair = PortPair { rtp: SocketId(id), rtcp: SocketId(id + 1), rtp_addr, rtcp_addr };
        for (socket, address) in [(pair.rtp, rtp_addr), (pair.rtcp, rtcp_addr)] {
            self.ids.insert(address, socket);
            self.addresses.insert(socket, address);
        }
        self.free.push(pair);
    }

    /// Time since the rig began.
    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Lets time pass, doing what falls due on the way.
    pub(super) fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.poll_timeout().filter(|at| *at <= until) {
            // A deadline in the past is due now.
            self.now = at.max(self.now);
            self.shard.handle_timeout(self.now);
            self.controller.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    fn poll_timeout(&self) -> Option<Instant> {
        trestle_core::time::soonest(self.shard.poll_timeout(), self.controller.poll_timeout())
    }

    /// A datagram arrives on one of our media ports.
    pub(super) fn receive(&mut self, at: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        let socket = self.ids[&at];
        self.shard.handle_datagram(self.now, socket, from, &mut bytes.to_vec());
        self.drain();
    }

    /// Gives the shard a command and returns its reply.
    pub(super) fn command(&mut self, command: Command) -> Result<Reply, CommandError> {
        self.shard.handle_command(self.now, RequestId(OWN), command);
        self.drain();
        self.answer.take().expect("every command is answered at once")
    }

    /// Opens legs and returns their ports.
    pub(super) fn apply(&mut self, command: Command) -> Vec<LegPorts> {
        match self.command(command) {
            Ok(Reply::Applied(ports)) => ports.into_iter().map(|(_, ports)| ports).collect(),
            other => panic!("a good plan is not applied: {other:?}"),
        }
    }

    pub(super) fn totals(&mut self) -> Totals {
        match self.command(Command::Totals) {
            Ok(Reply::Totals(totals)) => *totals,
            other => panic!("no totals but {other:?}"),
        }
    }

    /// A datagram arrives on the ng port. Gives what was sent back, to whom.
    pub(super) fn ng(&mut self, peer: SocketAddr, bytes: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        self.replies.clear();
        self.controller.handle_datagram(self.now, 0, peer, bytes);
        self.drain();
        std::mem::take(&mut self.replies)
    }

    /// Pairs of ports that are neither free nor in the shard's stock.
    pub(super) fn pairs_in_use(&self) -> usize {
        let wanted: usize = self.shard.ports_wanted().map(|(_, _, pairs)| pairs).sum();
        let stocked = 2 * limits::PORT_STOCK - wanted;
        2 * usize::from(PAIRS) - self.free.len() - stocked
    }

    fn drain(&mut self) {
        loop {
            self.stock_ports();
            let mut idle = true;
            loop {
                match self.controller.poll_output() {
                    // To a subscriber: no reply, and nobody's cookie.
                    controller::Output::Transmit { bytes, .. } if bytes.starts_with(b"{\"event\":\"call.") => {}
                    controller::Output::Transmit { peer, bytes, .. } => self.replies.push((peer, bytes)),
                    controller::Output::Engine { id, command, .. } => {
                        idle = false;
                        self.shard.handle_command(self.now, id, command);
                    }
                    controller::Output::Publish(event) => {
                        assert!(event.starts_with('{') && !event.contains('\n'), "one line: {event}");
                    }
                    controller::Output::DigitFeed { .. } => panic!("a feed that nobody has configured"),
                    controller::Output::Timeout(_) => break,
                }
            }
            loop {
                match self.shard.poll_output() {
                    Output::Transmit(transmit) => self.sent.push(Sent {
                        at: self.now - self.start,
                        from: self.addresses[&transmit.socket],
                        to: transmit.remote,
                        bytes: transmit.bytes.to_vec(),
                    }),
                    Output::Reply(answer) => {
                        idle = false;
                        let (id, result) = *answer;
                        match id {
                            RequestId(OWN) => self.answer = Some(result),
                            id => self.controller.handle_reply(self.now, id, result),
                        }
                    }
                    Output::Event(event) => {
                        idle = false;
                        self.controller.handle_event(self.now, event);
                    }
                    Output::Release(pair) => self.free.push(pair),
                    Output::Timeout(_) => break,
                }
            }
            if idle {
                return;
            }
        }
    }

    /// Binds ports ahead of need, as the edge does.
    fn stock_ports(&mut self) {
        let wanted: Vec<_> = self.shard.ports_wanted().collect();
        for (interface, ipv6, pairs) in wanted {
            for _ in 0..pairs {
                let Some(at) = self.free.iter().rposition(|pair| pair.rtp_addr.is_ipv6() == ipv6) else { break };
                let pair = self.free.remove(at);
                self.shard.add_port_pair(interface, ipv6, pair);
            }
        }
    }
}

/// The instant from which virtual time counts, one for the whole process.
#[expect(clippy::disallowed_methods, reason = "virtual time counts from one real instant")]
pub(super) fn instant_zero() -> Instant {
    static ZERO: OnceLock<Instant> = OnceLock::new();
    *ZERO.get_or_init(Instant::now)
}

/// One certificate for all inputs: making one takes longer than most inputs do.
fn identity() -> &'static DtlsIdentity {
    static IDENTITY: OnceLock<DtlsIdentity> = OnceLock::new();
    IDENTITY.get_or_init(|| DtlsIdentity::generate().expect("a certificate"))
}
