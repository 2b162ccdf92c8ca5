//! The controller against an engine that only hands out ports. Negotiation is the real one.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use trestle_calls::controller::*;
use trestle_calls::ended::EndedBy;
use trestle_core::{AddressPolicy, CallId, CommandError, Event, EventKind, LegId, MediaAddress};
use trestle_negotiate::{Environment, Interface};
use trestle_ng::{Dict, Value, bencode, frame};
use trestle_wire::telephone_event::Digit;
use trestle_world::{SimulatedTrestle, TrestleSetup, environment};

#[path = "../../../ng/src/command/captured.rs"]
mod captured;
mod connect;
mod drain;
mod ending;
mod events;
mod exchange;
mod flags;
mod gate;
mod half_open;
mod hostile;
mod media;
#[path = "../../../../tests/vectors/meta/samples.rs"]
mod meta_samples;
mod sdp_anomalies;
mod signatures;
mod verdicts;

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 41000 RTP/AVP 8\r\n";
const META: &str = include_str!("../../../../tests/vectors/meta/user_initiated.graph_webrtc.meta_offer.sdp");

/// A controller with a fake engine, and one proxy.
struct World {
    trestle: SimulatedTrestle,
    next_cookie: u32,
    call_ids: BTreeMap<String, CallId>,
}

impl Deref for World {
    type Target = SimulatedTrestle;

    fn deref(&self) -> &Self::Target {
        &self.trestle
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.trestle
    }
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut ControllerConfig)) -> Self {
        let mut controller = ControllerConfig {
            shards: 2,
            dtmf_log_dest: Some(SocketAddr::from(([127, 0, 0, 1], 9_999))),
            ..TrestleSetup::new(1).controller
        };
        change(&mut controller);
        let local = IpAddr::from([127, 0, 0, 1]);
        let address = MediaAddress { local, advertised: local };
        let names = [None, Some("priv".to_owned()), Some("pub".to_owned())];
        let interfaces = names.map(|name| Interface { name, v4: Some(address), v6: None }).to_vec();
        let usual = environment([7; 32]);
        let addresses = AddressPolicy { media: vec![address], ..usual.addresses.clone() };
        let environment = Environment { interfaces, addresses, ..usual };
        let unix = Duration::from_secs(1_795_310_851);
        let setup = TrestleSetup { controller, environment, unix, ..TrestleSetup::new(1) };
        Self { trestle: SimulatedTrestle::with_fake_engine(setup), next_cookie: 0, call_ids: BTreeMap::new() }
    }

    fn peer() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 5_060))
    }

    /// Sends a whole datagram. Returns the reply.
    fn send(&mut self, datagram: impl AsRef<[u8]>) -> Option<String> {
        self.send_from(Self::peer(), datagram)
    }

    fn send_from(&mut self, peer: SocketAddr, datagram: impl AsRef<[u8]>) -> Option<String> {
        self.trestle.controller.handle_datagram(
            self.trestle.now,
            Origin::Udp { listener: 0, local: None, peer },
            datagram.as_ref(),
        );
        self.drain();
        self.reply()
    }

    /// Sends a request under a new cookie; the reply comes without it.
    fn request(&mut self, dict: &Dict) -> Option<String> {
        self.next_cookie += 1;
        let cookie = format!("c{} ", self.next_cookie);
        let known: BTreeSet<CallId> = self.engine().calls.keys().copied().collect();
        let reply = self.send([cookie.as_bytes(), &bencode::write(dict)].concat());
        let new = self.engine().calls.keys().copied().find(|id| !known.contains(id));
        if let (Some(name), Some(id)) = (dict.get("call-id").and_then(Value::to_text), new) {
            self.call_ids.insert(name.into_owned(), id);
        }
        let reply = reply?;
        Some(reply.strip_prefix(&cookie).expect("the request's cookie").to_owned())
    }

    fn done(&mut self, dict: &Dict) -> Dict {
        let reply = self.request(dict).expect("a reply");
        let dict = bencode::read(reply.as_bytes()).expect("bencode");
        assert_eq!(dict.get("result"), Some(&"ok".into()), "{reply}");
        dict
    }

    fn error(&mut self, dict: &Dict) -> String {
        let reply = self.request(dict).expect("a reply");
        let dict = bencode::read(reply.as_bytes()).expect("bencode");
        assert_eq!(dict.get("result"), Some(&"error".into()), "{reply}");
        dict.get("error-reason").and_then(Value::to_text).expect("a reason").into_owned()
    }

    /// The SDP in the reply to an offer or answer that is taken.
    fn sdp(&mut self, dict: &Dict) -> String {
        self.done(dict).get("sdp").and_then(Value::to_text).expect("an SDP").into_owned()
    }

    fn reply(&mut self) -> Option<String> {
        // Events for subscribers begin with a brace, replies with a cookie.
        let mut replies = self.replies.extract_if(.., |(_, bytes)| bytes.first() != Some(&b'{'));
        let reply = replies.next().map(|(_, bytes)| String::from_utf8(bytes).expect("text"));
        assert_eq!(replies.count(), 0, "one request has one reply");
        reply
    }

    /// Lets the engine execute the commands in its mailbox.
    fn wake_engine(&mut self) {
        self.engine_mut().asleep = false;
        self.drain();
    }

    /// Advances the time; the controller is called at each of its deadlines.
    fn pass(&mut self, time: Duration) {
        self.trestle.advance(time);
    }

    /// The id by which the engine knows a call.
    fn call_id(&self, name: &str) -> CallId {
        self.call_ids[name]
    }

    fn event(&mut self, call: u64, kind: EventKind) {
        self.trestle.controller.handle_event(self.trestle.now, Event { call: CallId(call), kind });
        self.drain();
    }

    fn listed(&mut self) -> Vec<String> {
        match self.done(&Dict::default().with("command", "list")).get("calls") {
            Some(Value::List(calls)) => calls.iter().map(|call| call.to_text().expect("text").into_owned()).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Offer and answer between two plain phones.
    fn talk(&mut self, call_id: &str) {
        self.sdp(&offer(call_id));
        self.sdp(&answer(call_id));
    }
}

fn offer(call_id: &str) -> Dict {
    command("offer", call_id).with("sdp", SDP).with("from-tag", "a")
}

fn answer(call_id: &str) -> Dict {
    command("answer", call_id).with("sdp", SDP.replace("41000", "42000")).with("from-tag", "a").with("to-tag", "b")
}

fn command(command: &str, call_id: &str) -> Dict {
    Dict::default().with("command", command).with("call-id", call_id)
}

/// The port of the first audio line.
fn port(sdp: &str) -> u16 {
    let line = sdp.lines().find_map(|line| line.strip_prefix("m=audio ")).expect("audio");
    line.split(' ').next().and_then(|port| port.parse().ok()).expect("a port")
}
