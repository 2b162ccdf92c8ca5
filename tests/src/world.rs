//! Trestle and everybody around it, stepped from one instant to the next.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Value, json};
use trestle_calls::controller::{self, Controller, ControllerConfig};
use trestle_core::report::Totals;
use trestle_core::{
    Command, DtlsIdentity, Epoch, Event, EventKind, InterfaceId, Output, PortPair, Reply, RequestId, Shard,
    ShardConfig, SocketId,
};
use trestle_negotiate::{Address, Environment, Interface, PresencePolicy};
use trestle_peers::{Meta, Phone};

use crate::net::{Datagram, Link, Net};

/// Trestle's addresses.
pub const TRESTLE_V4: &str = "203.0.113.10";
/// The same for IPv6.
pub const TRESTLE_V6: &str = "2001:db8::10";
/// No port from here on.
const PORTS_END: u16 = 40_000;
/// Where the signalling client sends from.
const CLIENT: &str = "192.0.2.250:5000";

/// A peer or stranger in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActorId(usize);

enum Actor {
    Meta(Box<Meta>),
    Phone(Box<Phone>),
    /// Sends what a test tells it to, and keeps what it gets.
    Stranger(SocketAddr, Vec<Datagram>),
}

type Wire = Box<dyn FnMut(&mut Datagram) -> bool>;

/// See the module.
pub struct World {
    now: Instant,
    start: Instant,
    controller: Controller,
    shard: Shard,
    net: Net,
    actors: Vec<Actor>,
    sockets: BTreeMap<SocketAddr, SocketId>,
    addresses: BTreeMap<SocketId, SocketAddr>,
    next_port: u16,
    /// Ports that calls have given back; bound again when there are no fresh ones.
    free_ports: VecDeque<u16>,
    next_socket: u32,
    cookie: u64,
    replies: Vec<Vec<u8>>,
    /// Everything Trestle has sent and been sent, if the test asked for it.
    captured: Option<Vec<(Instant, Datagram)>>,
    received: Vec<(Instant, Datagram)>,
    /// What happens to datagrams on their way; false loses one.
    wire: Option<Wire>,
    /// Events of the engine, with their time since the start.
    pub events: Vec<(Duration, Event)>,
    /// Digits of the JSON feed.
    pub feed: Vec<Value>,
    /// Events for applications.
    pub published: Vec<Value>,
    /// Every SDP that Trestle has written in answer to [`World::ng`].
    pub written: Vec<String>,
    /// The last SDP that [`World::ng`] has shown Trestle, by call-id and the tag of who says it.
    pub said: BTreeMap<(String, String), String>,
}

impl World {
    /// A world without peers. `seed` decides all that Trestle and the network draw.
    pub fn new(seed: u64) -> Self {
        Self::with_ports(seed, 20_000)
    }

    /// The same, with ports up from `first_port` to 40,000 only.
    #[expect(clippy::disallowed_methods, reason = "virtual time counts from one real instant")]
    pub fn with_ports(seed: u64, first_port: u16) -> Self {
        println!("seed {seed}");
        let now = Instant::now();
        let epoch = Epoch { instant: now, unix: Duration::from_secs(1_800_000_000) };
        let identity = DtlsIdentity::generate().expect("a certificate");
        let address = |text: &str| {
            let ip: IpAddr = text.parse().expect("an address");
            Some(Address { local: ip, advertised: ip })
        };
        let environment = Environment {
            interfaces: vec![Interface { name: None, v4: address(TRESTLE_V4), v6: address(TRESTLE_V6) }],
            fingerprint: identity.fingerprint(),
            default_tos: None,
            presence: PresencePolicy::default(),
        };
        let config = ControllerConfig {
            shards: 1,
            max_sessions: None,
            load: controller::LoadBounds::default(),
            timeout: Duration::from_secs(60),
            silent_timeout: Duration::from_secs(3_600),
            offer_timeout: Duration::from_secs(180),
            delete_delay: Duration::from_secs(30),
            dtmf_log_dest: Some("192.0.2.251:9000".parse().expect("an address")),
            publish_events: true,
        };
        let shard = Shard::new(ShardConfig {
            seed: [seed as u8; 32],
            epoch,
            identity,
            interfaces: vec![(InterfaceId(0), false), (InterfaceId(0), true)],
            media_timeout: Duration::from_secs(60),
        });
        let mut world = Self {
            now,
            start: now,
            controller: Controller::new(config, environment, epoch, ChaCha12Rng::seed_from_u64(seed)),
            shard,
            net: Net::new(seed),
            actors: Vec::new(),
            sockets: BTreeMap::new(),
            addresses: BTreeMap::new(),
            next_port: first_port,
            free_ports: VecDeque::new(),
            next_socket: 0,
            cookie: 0,
            replies: Vec::new(),
            captured: None,
            received: Vec::new(),
            wire: None,
            events: Vec::new(),
            feed: Vec::new(),
            published: Vec::new(),
            written: Vec::new(),
            said: BTreeMap::new(),
        };
        world.stock_ports();
        world
    }

    /// The present.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Milliseconds since the start of the world.
    pub fn elapsed_ms(&self) -> u64 {
        (self.now - self.start).as_millis() as u64
    }

    /// Puts WhatsApp's relay into the world.
    pub fn add_meta(&mut self, meta: Meta) -> ActorId {
        self.add(Actor::Meta(Box::new(meta)))
    }

    /// Puts a phone into the world.
    pub fn add_phone(&mut self, phone: Phone) -> ActorId {
        self.add(Actor::Phone(Box::new(phone)))
    }

    /// Puts a host into the world that has no part in any call.
    pub fn add_stranger(&mut self, at: SocketAddr) -> ActorId {
        self.add(Actor::Stranger(at, Vec::new()))
    }

    /// Gives the peer at `ip` this link.
    pub fn set_link(&mut self, ip: IpAddr, link: Link) {
        self.net.set_link(ip, link);
    }

    /// WhatsApp's relay.
    pub fn meta(&mut self, id: ActorId) -> &mut Meta {
        match &mut self.actors[id.0] {
            Actor::Meta(meta) => meta,
            Actor::Phone(_) | Actor::Stranger(..) => panic!("{id:?} is no Meta"),
        }
    }

    /// A phone.
    pub fn phone(&mut self, id: ActorId) -> &mut Phone {
        match &mut self.actors[id.0] {
            Actor::Phone(phone) => phone,
            Actor::Meta(_) | Actor::Stranger(..) => panic!("{id:?} is no phone"),
        }
    }

    /// What a stranger has been sent.
    pub fn strangers_mail(&self, id: ActorId) -> &[Datagram] {
        match &self.actors[id.0] {
            Actor::Stranger(_, mail) => mail,
            Actor::Meta(_) | Actor::Phone(_) => panic!("{id:?} is no stranger"),
        }
    }

    /// Sends a datagram from wherever a test likes to claim it comes from.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.net.send(self.now, Datagram { from, to, bytes: bytes.to_vec() });
    }

    /// From now on `wire` sees every datagram that Trestle and the peers send, and may change it, or lose it by saying
    /// false. What tests inject passes untouched.
    pub fn set_wire(&mut self, wire: impl FnMut(&mut Datagram) -> bool + 'static) {
        self.wire = Some(Box::new(wire));
    }

    fn send(&mut self, mut datagram: Datagram) {
        if self.wire.as_mut().is_none_or(|wire| wire(&mut datagram)) {
            self.net.send(self.now, datagram);
        }
    }

    /// From now on everything Trestle sends and is sent is kept.
    pub fn capture(&mut self) {
        self.captured = Some(Vec::new());
    }

    /// What Trestle has sent.
    pub fn captured(&self) -> &[(Instant, Datagram)] {
        self.captured.as_deref().unwrap_or(&[])
    }

    /// What has arrived at Trestle's ports since [`World::capture`].
    pub fn received(&self) -> &[(Instant, Datagram)] {
        &self.received
    }

    /// Every media port that is bound, those in stock among them.
    pub fn media_ports(&self) -> Vec<SocketAddr> {
        self.sockets.keys().copied().collect()
    }

    /// Sends a JSON command over ng and gives the reply.
    pub fn ng(&mut self, request: &Value) -> Value {
        self.cookie += 1;
        let cookie = format!("w_{}", self.cookie);
        let reply = self.ng_raw(format!("{cookie} {request}").as_bytes()).expect("a reply");
        let body = reply.strip_prefix(format!("{cookie} ").as_bytes()).expect("our cookie");
        let reply: Value = serde_json::from_slice(body).expect("JSON");
        self.written.extend(reply["sdp"].as_str().map(str::to_owned));
        let speaker = if request["command"] == "answer" { "to-tag" } else { "from-tag" };
        if let (Some(call), Some(tag), Some(sdp)) =
            (request["call-id"].as_str(), request[speaker].as_str(), request["sdp"].as_str())
        {
            self.said.insert((call.to_owned(), tag.to_owned()), sdp.to_owned());
        }
        reply
    }

    /// Sends raw bytes to the ng port and gives the reply, if there is one.
    pub fn ng_raw(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.ng_from(CLIENT.parse().expect("an address"), bytes)
    }

    /// The same from any address.
    pub fn ng_from(&mut self, client: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        self.replies.clear();
        self.controller.handle_datagram(self.now, 0, client, bytes);
        self.drain();
        self.replies.pop()
    }

    /// The shard's counters.
    pub fn totals(&mut self) -> Totals {
        let id = RequestId(u64::MAX);
        self.shard.handle_command(self.now, id, Command::Totals);
        loop {
            match self.shard.poll_output() {
                Output::Reply(answer) => match answer.1 {
                    Ok(Reply::Totals(totals)) => return *totals,
                    _ => unreachable!("the only command in work"),
                },
                Output::Timeout(_) => unreachable!("Totals are answered at once"),
                Output::Transmit(_) | Output::Event(_) | Output::Release(_) => {}
            }
        }
    }

    /// Sockets that calls hold, the stock not counted.
    pub fn ports_in_use(&mut self) -> usize {
        self.addresses.len() - 2 * self.stocked()
    }

    fn stocked(&self) -> usize {
        let wanted: usize = self.shard.ports_wanted().map(|(_, _, pairs)| pairs).sum();
        2 * trestle_core::limits::PORT_STOCK - wanted
    }

    /// Lets `ms` milliseconds pass.
    pub fn run_for_ms(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while self.step(until) {}
    }

    /// Lets time pass until `done`, at most `ms` milliseconds. True if it came to that.
    pub fn run_until(&mut self, ms: u64, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let until = self.now + Duration::from_millis(ms);
        loop {
            if done(self) {
                return true;
            }
            if !self.step(until) {
                return false;
            }
        }
    }

    /// Goes to the next instant at which something happens, but not beyond `until`. False if that was reached.
    fn step(&mut self, until: Instant) -> bool {
        let mut next = [self.net.next(), self.shard.poll_timeout(), self.controller.poll_timeout()]
            .into_iter()
            .flatten()
            .fold(until, Instant::min);
        for actor in &mut self.actors {
            next = actor.poll_timeout().map_or(next, |at| next.min(at));
        }
        // A deadline in the past is due now; the clock never runs backwards.
        self.now = next.max(self.now);
        if self.now >= until {
            self.now = until;
            return false;
        }
        while let Some(datagram) = self.net.arrive(self.now) {
            self.deliver(datagram);
        }
        if self.shard.poll_timeout().is_some_and(|at| at <= self.now) {
            self.shard.handle_timeout(self.now);
        }
        if self.controller.poll_timeout().is_some_and(|at| at <= self.now) {
            self.controller.handle_timeout(self.now);
        }
        for actor in &mut self.actors {
            if actor.poll_timeout().is_some_and(|at| at <= self.now) {
                actor.handle_timeout(self.now);
            }
        }
        self.drain();
        true
    }

    fn add(&mut self, actor: Actor) -> ActorId {
        self.actors.push(actor);
        ActorId(self.actors.len() - 1)
    }

    fn deliver(&mut self, mut datagram: Datagram) {
        if let Some(socket) = self.sockets.get(&datagram.to) {
            if self.captured.is_some() {
                self.received.push((self.now, datagram.clone()));
            }
            self.shard.handle_datagram(self.now, *socket, datagram.from, &mut datagram.bytes);
            self.drain();
            return;
        }
        let owner = self.actors.iter_mut().find(|actor| actor.is_at(datagram.to));
        if let Some(actor) = owner {
            actor.handle_datagram(self.now, datagram);
        }
    }

    /// Carries what everybody has to say to where it goes, until nobody says anything more.
    fn drain(&mut self) {
        loop {
            let mut idle = true;
            loop {
                match self.controller.poll_output() {
                    controller::Output::Transmit { bytes, .. } => self.replies.push(bytes),
                    controller::Output::Engine { id, command, .. } => {
                        idle = false;
                        self.shard.handle_command(self.now, id, command);
                    }
                    controller::Output::DigitFeed { bytes, .. } => {
                        self.feed.push(serde_json::from_slice(&bytes).expect("JSON"));
                    }
                    controller::Output::Publish(event) => {
                        self.published.push(serde_json::from_str(&event).expect("JSON"));
                    }
                    controller::Output::Timeout(_) => break,
                }
            }
            loop {
                match self.shard.poll_output() {
                    Output::Transmit(transmit) => {
                        let from = self.addresses[&transmit.socket];
                        let mut datagram = Datagram { from, to: transmit.remote, bytes: transmit.bytes.to_vec() };
                        if let Some(captured) = &mut self.captured {
                            captured.push((self.now, datagram.clone()));
                        }
                        if self.wire.as_mut().is_none_or(|wire| wire(&mut datagram)) {
                            self.net.send(self.now, datagram);
                        }
                    }
                    Output::Reply(answer) => {
                        idle = false;
                        let (id, result) = *answer;
                        self.controller.handle_reply(self.now, id, result);
                    }
                    Output::Event(event) => {
                        idle = false;
                        assert!(!matches!(event.kind, EventKind::CallFailed), "a panic in the engine cost a call");
                        self.events.push((self.now - self.start, event.clone()));
                        self.controller.handle_event(self.now, event);
                    }
                    Output::Release(pair) => {
                        for socket in [pair.rtp, pair.rtcp] {
                            let address = self.addresses.remove(&socket).expect("a bound socket");
                            self.sockets.remove(&address);
                        }
                        self.free_ports.push_back(pair.rtp_addr.port());
                    }
                    Output::Timeout(_) => break,
                }
            }
            self.stock_ports();
            for n in 0..self.actors.len() {
                while let Some((from, to, bytes)) = self.actors[n].poll_transmit() {
                    self.send(Datagram { from, to, bytes });
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
            let ip: IpAddr = (if ipv6 { TRESTLE_V6 } else { TRESTLE_V4 }).parse().expect("an address");
            for _ in 0..pairs {
                let Some(port) = self.free_port() else { return };
                let pair = PortPair {
                    rtp: SocketId(self.next_socket),
                    rtcp: SocketId(self.next_socket + 1),
                    rtp_addr: SocketAddr::new(ip, port),
                    rtcp_addr: SocketAddr::new(ip, port + 1),
                };
                for (socket, address) in [(pair.rtp, pair.rtp_addr), (pair.rtcp, pair.rtcp_addr)] {
                    self.sockets.insert(address, socket);
                    self.addresses.insert(socket, address);
                }
                self.next_socket += 2;
                self.shard.add_port_pair(interface, ipv6, pair);
            }
        }
    }

    /// An even port, fresh if there is one: a port that a call has just given back rests as long as can be.
    fn free_port(&mut self) -> Option<u16> {
        if self.next_port >= PORTS_END {
            return self.free_ports.pop_front();
        }
        self.next_port += 2;
        Some(self.next_port - 2)
    }
}

impl Actor {
    fn is_at(&self, address: SocketAddr) -> bool {
        match self {
            Self::Meta(meta) => meta.locals().contains(&address),
            Self::Phone(phone) => phone.locals().contains(&address),
            Self::Stranger(at, _) => *at == address,
        }
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        match self {
            Self::Meta(meta) => meta.handle_datagram(now, datagram.to, datagram.from, &datagram.bytes),
            Self::Phone(phone) => phone.handle_datagram(now, datagram.to, datagram.from, &datagram.bytes),
            Self::Stranger(_, mail) => mail.push(datagram),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Meta(meta) => meta.handle_timeout(now),
            Self::Phone(phone) => phone.handle_timeout(now),
            Self::Stranger(..) => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Meta(meta) => meta.poll_timeout(),
            Self::Phone(phone) => phone.poll_timeout(),
            Self::Stranger(..) => None,
        }
    }

    fn poll_transmit(&mut self) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        let transmit = match self {
            Self::Meta(meta) => meta.poll_transmit(),
            Self::Phone(phone) => phone.poll_transmit(),
            Self::Stranger(..) => None,
        }?;
        Some((transmit.local, transmit.remote, transmit.bytes))
    }
}

/// A delete request for a call.
pub fn delete(call_id: &str) -> Value {
    json!({"command": "delete", "call-id": call_id})
}
