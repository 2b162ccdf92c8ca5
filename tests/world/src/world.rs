//! Trestle, its signalling client, its peers and the network, stepped from one instant to the next.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trestle_core::Event;
use trestle_core::report::Totals;
use trestle_peers::{Meta, Phone};

use crate::actor::{ActorId, Actors};
use crate::net::{Datagram, Link, Net};
use crate::setup::TrestleSetup;
use crate::trestle::SimulatedTrestle;
use crate::wiretap::Wiretap;

/// Where the signalling client sends from.
const CLIENT: &str = "192.0.2.250:5000";

/// A [`SimulatedTrestle`] with peers, a network, and a signalling client that speaks JSON.
pub struct World {
    trestle: SimulatedTrestle,
    net: Net,
    actors: Actors,
    wiretap: Wiretap,
    cookie: u64,
    /// Events of the engine, with their time since the start.
    pub events: Vec<(Duration, Event)>,
    /// Digits of the JSON feed.
    pub feed: Vec<Value>,
    /// Events for applications.
    pub published: Vec<Value>,
    /// Every SDP that Trestle has written in reply to [`World::ng`].
    pub written: Vec<String>,
    /// The last SDP that [`World::ng`] has sent to Trestle, by call-id and the tag of the party that made it.
    pub signalled: BTreeMap<(String, String), String>,
}

impl World {
    /// A world without peers. `seed` decides all that Trestle and the network draw.
    pub fn new(seed: u64) -> Self {
        let mut setup = TrestleSetup::new(seed);
        setup.controller.dtmf_log_dest = Some(SocketAddr::from(([192, 0, 2, 251], 9_000)));
        Self::with(setup)
    }

    /// A world without peers whose Trestle is set up as given.
    pub fn with(setup: TrestleSetup) -> Self {
        println!("seed {}", setup.seed);
        Self {
            net: Net::new(setup.seed),
            trestle: SimulatedTrestle::new(setup),
            actors: Actors::default(),
            wiretap: Wiretap::default(),
            cookie: 0,
            events: Vec::new(),
            feed: Vec::new(),
            published: Vec::new(),
            written: Vec::new(),
            signalled: BTreeMap::new(),
        }
    }

    /// The present.
    pub fn now(&self) -> Instant {
        self.trestle.now
    }

    /// Milliseconds since the start of the world.
    pub fn elapsed_ms(&self) -> u64 {
        self.trestle.elapsed().as_millis() as u64
    }

    /// Puts WhatsApp's relay into the world.
    pub fn add_meta(&mut self, meta: Meta) -> ActorId {
        self.actors.add_meta(meta)
    }

    /// Puts a phone into the world.
    pub fn add_phone(&mut self, phone: Phone) -> ActorId {
        self.actors.add_phone(phone)
    }

    /// Puts a host into the world that has no part in any call.
    pub fn add_stranger(&mut self, at: SocketAddr) -> ActorId {
        self.actors.add_stranger(at)
    }

    /// Gives the peer at `ip` this link.
    pub fn set_link(&mut self, ip: IpAddr, link: Link) {
        self.net.set_link(ip, link);
    }

    /// WhatsApp's relay.
    pub fn meta(&mut self, id: ActorId) -> &mut Meta {
        self.actors.meta(id)
    }

    /// A phone.
    pub fn phone(&mut self, id: ActorId) -> &mut Phone {
        self.actors.phone(id)
    }

    /// What a stranger has received.
    pub fn strangers_mail(&self, id: ActorId) -> &[Datagram] {
        self.actors.mail(id)
    }

    /// Sends a datagram from any address.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        self.net.send(self.trestle.now, Datagram { from, to, bytes: bytes.to_vec() });
    }

    /// From now on `wire` gets every datagram that Trestle and the peers send. It may change it, or lose it by returning
    /// false. What tests inject passes untouched.
    pub fn set_wire(&mut self, wire: impl FnMut(&mut Datagram) -> bool + 'static) {
        self.wiretap.tamper(wire);
    }

    /// From now on everything Trestle sends and receives is kept.
    pub fn capture(&mut self) {
        self.wiretap.capture();
    }

    /// What Trestle has sent since [`World::capture`].
    pub fn captured(&self) -> &[(Instant, Datagram)] {
        &self.wiretap.sent
    }

    /// What has arrived at Trestle's ports since [`World::capture`].
    pub fn received(&self) -> &[(Instant, Datagram)] {
        &self.wiretap.received
    }

    /// Every media port that is bound, those in stock among them.
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

    /// The same from any address.
    pub fn ng_from(&mut self, client: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
        let reply = self.trestle.ng(client, bytes).pop();
        self.collect();
        reply.map(|(_, bytes)| bytes)
    }

    /// The shard's counters.
    pub fn totals(&mut self) -> Totals {
        let totals = self.trestle.totals();
        self.collect();
        totals
    }

    /// Sockets that calls hold, the stock not counted.
    pub fn ports_in_use(&self) -> usize {
        2 * self.trestle.pairs_in_use()
    }

    /// Lets `ms` milliseconds pass.
    pub fn run_for_ms(&mut self, ms: u64) {
        let until = self.now() + Duration::from_millis(ms);
        while self.step(until) {}
    }

    /// Lets time pass until `done`, at most `ms` milliseconds. True if it came to that.
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

    /// Goes to the next instant at which something happens, but not beyond `until`. False if that was reached.
    fn step(&mut self, until: Instant) -> bool {
        let due = [self.net.next(), self.trestle.poll_timeout(), self.actors.poll_timeout()];
        let next = due.into_iter().flatten().fold(until, Instant::min);
        // A deadline in the past is due now; the clock never runs backwards.
        let now = next.max(self.now());
        if now >= until {
            self.trestle.now = until;
            return false;
        }
        self.trestle.now = now;
        while let Some(datagram) = self.net.arrive(now) {
            self.deliver(datagram);
        }
        self.trestle.handle_timeout(now);
        self.actors.handle_timeout(now);
        self.collect();
        true
    }

    fn deliver(&mut self, datagram: Datagram) {
        if self.trestle.is_bound(datagram.to) {
            self.wiretap.note_received(self.trestle.now, &datagram);
            self.trestle.receive(datagram.to, datagram.from, &datagram.bytes);
            self.collect();
        } else {
            self.actors.handle_datagram(self.trestle.now, datagram);
        }
    }

    /// Takes what Trestle and the peers have given out: datagrams go onto the network, the rest into the lists.
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
