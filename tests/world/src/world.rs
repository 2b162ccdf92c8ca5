//! Trestle, its signalling client, its peers and the network in virtual time, which goes from one event to the next.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trestle_calls::controller::OperatorCommand;
use trestle_core::report::Totals;
use trestle_core::{Command, Event};
use trestle_peers::{Meta, Phone};

use crate::actor::{ActorId, Actors};
use crate::net::{Datagram, Link, Net};
use crate::setup::TrestleSetup;
use crate::trestle::SimulatedTrestle;
use crate::wiretap::Wiretap;

/// Address of the signalling client.
const CLIENT: &str = "192.0.2.250:5000";

/// A [`SimulatedTrestle`] with peers, a network, and a signalling client that sends JSON.
pub struct World {
    trestle: SimulatedTrestle,
    net: Net,
    actors: Actors,
    wiretap: Wiretap,
    cookie: u64,
    /// Until then Trestle does nothing; what arrives waits.
    stalled_until: Option<Instant>,
    /// What has arrived meanwhile, and when.
    waiting: Vec<(Instant, Datagram)>,
    /// Whose datagrams are copied, by which address, until when.
    copied: Option<(IpAddr, SocketAddr, Instant)>,
    /// Events of the engine, with their time since the start.
    pub events: Vec<(Duration, Event)>,
    /// Messages of the digit feed (`dtmf-log-dest`).
    pub feed: Vec<Value>,
    /// Events that Trestle has published for applications.
    pub published: Vec<Value>,
    /// Every SDP that Trestle has written in reply to [`World::ng`].
    pub written: Vec<String>,
    /// The last SDP that [`World::ng`] has sent to Trestle, by call-id and the tag of the party that made it.
    pub signalled: BTreeMap<(String, String), String>,
}

impl World {
    /// A world without peers. All random values of Trestle and of the network follow from `seed`.
    pub fn new(seed: u64) -> Self {
        let mut setup = TrestleSetup::new(seed);
        setup.controller.dtmf_log_dest = Some(SocketAddr::from(([192, 0, 2, 251], 9_000)));
        Self::with(setup)
    }

    /// A world without peers. Trestle has the settings of `setup`.
    pub fn with(setup: TrestleSetup) -> Self {
        println!("seed {}", setup.seed);
        Self::unannounced(setup)
    }

    /// The same without a line on standard output.
    pub(crate) fn unannounced(setup: TrestleSetup) -> Self {
        Self {
            net: Net::new(setup.seed),
            trestle: SimulatedTrestle::new(setup),
            actors: Actors::default(),
            wiretap: Wiretap::default(),
            cookie: 0,
            stalled_until: None,
            waiting: Vec::new(),
            copied: None,
            events: Vec::new(),
            feed: Vec::new(),
            published: Vec::new(),
            written: Vec::new(),
            signalled: BTreeMap::new(),
        }
    }

    /// The current virtual time.
    pub fn now(&self) -> Instant {
        self.trestle.now
    }

    /// Milliseconds since the start of the world.
    pub fn elapsed_ms(&self) -> u64 {
        self.trestle.elapsed().as_millis() as u64
    }

    /// Adds a relay of WhatsApp.
    pub fn add_meta(&mut self, meta: Meta) -> ActorId {
        self.actors.add_meta(meta)
    }

    /// Adds a phone.
    pub fn add_phone(&mut self, phone: Phone) -> ActorId {
        self.actors.add_phone(phone)
    }

    /// Adds a host that takes part in no call and keeps the datagrams that it receives.
    pub fn add_stranger(&mut self, at: SocketAddr) -> ActorId {
        self.actors.add_stranger(at)
    }

    /// Sets the network link (delay, jitter, loss) of the peer at `ip`.
    pub fn set_link(&mut self, ip: IpAddr, link: Link) {
        self.net.set_link(ip, link);
    }

    /// The relay of WhatsApp with this id.
    pub fn meta(&mut self, id: ActorId) -> &mut Meta {
        self.actors.meta(id)
    }

    /// The phone with this id.
    pub fn phone(&mut self, id: ActorId) -> &mut Phone {
        self.actors.phone(id)
    }

    /// The datagrams that the stranger with this id has received.
    pub fn received_by_stranger(&self, id: ActorId) -> &[Datagram] {
        self.actors.mail(id)
    }

    /// Sends a datagram from the address `from`, which needs no actor.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.net.send(self.trestle.now, Datagram { from, to, bytes: bytes.to_vec() });
    }

    /// A datagram arrives now, without a network. How many datagrams Trestle has sent for it.
    pub(crate) fn hit(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> usize {
        self.trestle.receive(to, from, bytes);
        let sent = self.trestle.sent.len();
        self.collect();
        sent
    }

    /// Does what is due at the present.
    pub(crate) fn settle(&mut self) {
        let now = self.trestle.now;
        while self.trestle.poll_timeout().is_some_and(|at| at <= now) {
            self.trestle.handle_timeout(now);
        }
        self.collect();
    }

    /// Trestle itself, for what a peer or a client cannot do.
    pub(crate) fn trestle(&mut self) -> &mut SimulatedTrestle {
        &mut self.trestle
    }

    /// For `ms` milliseconds from now, a copy of each datagram that a peer at `ip` sends comes from `copier`, and before
    /// the original if their links are alike.
    pub fn copy(&mut self, ip: IpAddr, copier: SocketAddr, ms: u64) {
        self.copied = Some((ip, copier, self.now() + Duration::from_millis(ms)));
    }

    /// Stops Trestle for `ms` milliseconds from now, as `SIGSTOP` does. Datagrams wait in its sockets; peers go on.
    pub fn stall(&mut self, ms: u64) {
        self.stalled_until = Some(self.now() + Duration::from_millis(ms));
    }

    /// Sends a datagram from any address, `ms` milliseconds from now.
    pub fn inject_after(&mut self, ms: u64, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let at = self.trestle.now + Duration::from_millis(ms);
        self.net.send(at, Datagram { from, to, bytes: bytes.to_vec() });
    }

    /// From now on `filter` is called with each datagram that Trestle and the peers send. It may change the datagram. If it
    /// returns false, the datagram is lost. Injected datagrams are not filtered.
    pub fn set_filter(&mut self, filter: impl FnMut(&mut Datagram) -> bool + 'static) {
        self.wiretap.tamper(filter);
    }

    /// From now on all datagrams that Trestle sends and receives are kept.
    pub fn capture(&mut self) {
        self.wiretap.capture();
    }

    /// The datagrams that Trestle has sent since [`World::capture`], with their times.
    pub fn captured(&self) -> &[(Instant, Datagram)] {
        &self.wiretap.sent
    }

    /// The datagrams that have arrived at Trestle's media ports since [`World::capture`], with their times.
    pub fn received(&self) -> &[(Instant, Datagram)] {
        &self.wiretap.received
    }

    /// All media ports that are bound, also those that no call uses yet.
    pub fn media_ports(&self) -> Vec<SocketAddr> {
        self.trestle.media_ports()
    }

    /// Sends a JSON command over ng and returns the reply.
    pub fn ng(&mut self, request: &Value) -> Value {
        self.cookie += 1;
        let cookie = format!("w_{}", self.cookie);
        let reply = self.ng_raw(format!("{cookie} {request}").as_bytes()).expect("a reply");
        let body = reply.strip_prefix(format!("{cookie} ").as_bytes()).expect("our cookie");
        let reply: Value = serde_json::from_slice(body).expect("JSON");
        self.written.extend(reply["sdp"].as_str().map(str::to_owned));
        let author = if request["command"] == "answer" { "to-tag" } else { "from-tag" };
        if let (Some(call), Some(tag), Some(sdp)) =
            (request["call-id"].as_str(), request[author].as_str(), request["sdp"].as_str())
        {
            self.signalled.insert((call.to_owned(), tag.to_owned()), sdp.to_owned());
        }
        reply
    }

    /// Sends raw bytes to the ng port and returns the reply, if there is one.
    pub fn ng_raw(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.ng_from(CLIENT.parse().expect("an address"), bytes)
    }

    /// Like [`World::ng_raw`], from the address `client`.
    pub fn ng_from(&mut self, client: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        self.ng_all(client, bytes).pop().map(|(_, bytes)| bytes)
    }

    /// The same; gives every datagram that leaves the ng port, with its destination.
    pub(crate) fn ng_all(&mut self, client: SocketAddr, bytes: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        let replies = self.trestle.ng(client, bytes);
        self.collect();
        replies
    }

    /// The shard's counters.
    pub fn totals(&mut self) -> Totals {
        let totals = self.trestle.totals();
        self.collect();
        totals
    }

    /// The machine has these addresses from now on, each with its network (`192.0.2.1/24`).
    pub fn set_machine_addresses(&mut self, networks: &[&str]) {
        let machine: Vec<_> = networks.iter().map(|text| text.parse().expect("a network")).collect();
        let now = self.trestle.now;
        self.trestle.controller.handle_operator(now, OperatorCommand::MachineAddresses(machine.clone()));
        self.trestle.command(Command::SetMachineAddresses(machine)).expect("no reason to refuse it");
        self.collect();
    }

    /// Number of media ports that calls use. Bound ports that no call uses are not counted.
    pub fn ports_in_use(&self) -> usize {
        2 * self.trestle.pairs_in_use()
    }

    /// Lets `ms` milliseconds pass.
    pub fn run_for_ms(&mut self, ms: u64) {
        let until = self.now() + Duration::from_millis(ms);
        while self.step(until) {}
    }

    /// Lets time pass until `done` returns true, at most `ms` milliseconds. Returns false if `done` did not return true in that time.
    pub fn run_until(&mut self, ms: u64, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let until = self.now() + Duration::from_millis(ms);
        loop {
            if done(self) {
                return true;
            }
            if !self.step(until) {
                return false;
            }
        }
    }

    /// Stops Trestle for `ms` milliseconds, and lets them pass. Then it reads what has arrived meanwhile.
    pub fn stall_for_ms(&mut self, ms: u64) {
        self.stall(ms);
        self.run_for_ms(ms + 1);
    }

    /// Advances the time to the next event, but not beyond `until`. Returns false if `until` is reached.
    fn step(&mut self, until: Instant) -> bool {
        let trestle = self.stalled_until.or_else(|| self.trestle.poll_timeout());
        let due = [self.net.next(), trestle, self.actors.poll_timeout()];
        let next = due.into_iter().flatten().fold(until, Instant::min);
        // A deadline in the past is due now: the time does not go back.
        let now = next.max(self.now());
        if now >= until {
            self.trestle.now = until;
            return false;
        }
        self.trestle.now = now;
        if self.stalled_until.is_some_and(|until| until <= now) {
            self.stalled_until = None;
            for (at, datagram) in std::mem::take(&mut self.waiting) {
                self.deliver_waiting(now - at, datagram);
            }
        }
        while let Some(datagram) = self.net.arrive(now) {
            self.deliver(datagram);
        }
        if self.stalled_until.is_none() {
            self.trestle.handle_timeout(now);
        }
        self.actors.handle_timeout(now);
        self.collect();
        true
    }

    fn deliver(&mut self, datagram: Datagram) {
        if self.stalled_until.is_some() && self.trestle.is_bound(datagram.to) {
            self.waiting.push((self.trestle.now, datagram));
        } else {
            self.deliver_waiting(Duration::ZERO, datagram);
        }
    }

    /// Delivers a datagram that has waited for `waited`.
    fn deliver_waiting(&mut self, waited: Duration, datagram: Datagram) {
        if self.trestle.is_bound(datagram.to) {
            self.wiretap.note_received(self.trestle.now, &datagram);
            self.trestle.receive_waiting(waited, datagram.to, datagram.from, &datagram.bytes);
            self.collect();
        } else {
            self.actors.handle_datagram(self.trestle.now, datagram);
        }
    }

    /// Takes the output of Trestle and of the peers: datagrams go to the network, events and digits into the lists.
    fn collect(&mut self) {
        let now = self.trestle.now;
        for sent in self.trestle.sent.drain(..) {
            let mut datagram = Datagram { from: sent.from, to: sent.to, bytes: sent.bytes };
            self.wiretap.note_sent(now, &datagram);
            if self.wiretap.passes(&mut datagram) {
                self.net.send(now, datagram);
            }
        }
        while let Some(mut datagram) = self.actors.poll_transmit() {
            if let Some((ip, copier, until)) = self.copied
                && ip == datagram.from.ip()
                && now < until
            {
                self.net.send(now, Datagram { from: copier, ..datagram.clone() });
            }
            if self.wiretap.passes(&mut datagram) {
                self.net.send(now, datagram);
            }
        }
        self.events.append(&mut self.trestle.events);
        self.published.append(&mut self.trestle.published);
        self.feed.extend(self.trestle.digits.drain(..).map(|bytes| serde_json::from_slice(&bytes).expect("JSON")));
    }
}

/// A delete request for a call.
pub fn delete(call_id: &str) -> Value {
    json!({"command": "delete", "call-id": call_id})
}
