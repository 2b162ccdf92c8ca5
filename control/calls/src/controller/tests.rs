//! The controller against an engine that only hands out ports. Negotiation is the real one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use trestle_core::plan::LegPlan;
use trestle_core::report::{CallReport, Count, LegReport, Preroll, Totals};
use trestle_core::{
    CallId, Command, CommandError, Epoch, Event, EventKind, LegId, LegPorts, Reply as EngineReply, RequestId,
};
use trestle_wire::Ssrc;
use trestle_wire::telephone_event::Digit;

use super::*;
use trestle_negotiate::{Address, GatePolicy, Interface};
use trestle_ng::{Value, bencode, frame};

#[path = "../../../ng/src/command/captured.rs"]
mod captured;
mod connect;
mod ending;
mod events;
mod exchange;
mod flags;
mod gate;
mod hostile;
mod media;
#[path = "../../../../tests/vectors/meta/samples.rs"]
mod meta_samples;
mod sdp_anomalies;
mod verdicts;

const SDP: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 41000 RTP/AVP 8\r\n";
const META: &str = include_str!("../../../../tests/vectors/meta/user_initiated.graph_webrtc.meta_offer.sdp");

/// A controller, its engine, and one proxy.
struct World {
    now: Instant,
    controller: Controller,
    engine: Engine,
    /// Replies not yet returned.
    replies: Vec<(SocketAddr, Vec<u8>)>,
    digits: Vec<Vec<u8>>,
    /// Events for applications.
    published: Vec<serde_json::Value>,
    next_cookie: u32,
}

/// Gives each new leg the next pair of ports.
#[derive(Default)]
struct Engine {
    calls: BTreeMap<CallId, BTreeMap<LegId, LegPorts>>,
    next_port: u16,
    /// The error of every `Apply`.
    refuse: Option<CommandError>,
    /// Commands stay in the mailbox.
    asleep: bool,
    /// The mailbox is full.
    full: bool,
    mailbox: Vec<(RequestId, Command)>,
    /// Time since the last packet, in reports.
    last_media: Option<Duration>,
    applied: usize,
    /// The latest plan of each leg, of any call.
    plans: BTreeMap<LegId, LegPlan>,
    /// The same by call.
    applied_plans: BTreeMap<(CallId, LegId), LegPlan>,
    /// Digits played.
    played: Vec<(LegId, Digit, Duration, u8)>,
}

impl Engine {
    fn run(&mut self, command: Command) -> Result<EngineReply, CommandError> {
        match command {
            Command::Apply { call, legs } => {
                if let Some(error) = self.refuse {
                    return Err(error);
                }
                self.applied += 1;
                let known = self.calls.entry(call).or_default();
                let next_port = &mut self.next_port;
                let ports = legs.into_iter().map(|(leg, plan)| {
                    self.applied_plans.insert((call, leg), plan.clone());
                    self.plans.insert(leg, plan);
                    let ports = *known.entry(leg).or_insert_with(|| {
                        *next_port += 2;
                        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
                        LegPorts { rtp: at(20_000 + *next_port), rtcp: at(20_001 + *next_port) }
                    });
                    (leg, ports)
                });
                Ok(EngineReply::Applied(ports.collect()))
            }
            Command::RemoveLeg { call, leg } => {
                let legs = self.calls.get_mut(&call).ok_or(CommandError::UnknownCall)?;
                legs.remove(&leg).ok_or(CommandError::UnknownLeg).map(|_| EngineReply::Done)
            }
            Command::Delete { call } => {
                let report = self.report(call)?;
                self.calls.remove(&call);
                Ok(EngineReply::Deleted(report))
            }
            Command::Query { call } => self.report(call).map(EngineReply::Report),
            Command::PlayDigit { leg, digit, duration, volume, .. } => {
                self.played.push((leg, digit, duration, volume));
                Ok(EngineReply::Done)
            }
            Command::Totals => {
                let calls = self.calls.len() as u64;
                Ok(EngineReply::Totals(Box::new(Totals { calls, digits: 3, ..Totals::default() })))
            }
        }
    }

    fn report(&self, call: CallId) -> Result<Box<CallReport>, CommandError> {
        let legs = self.calls.get(&call).ok_or(CommandError::UnknownCall)?;
        let legs = legs.iter().map(|(leg, ports)| LegReport {
            leg: *leg,
            description: "plain PCMA".to_owned(),
            local: ports.rtp,
            remote: Some(SocketAddr::from(([192, 0, 2, 1], 4_000))),
            remote_ssrc: Some(Ssrc(u32::MAX)),
            local_ssrc: Ssrc(7),
            timeline: Vec::new(),
            rtp_in: Count { packets: 500, bytes: 86_000 },
            rtp_out: Count { packets: 490, bytes: 84_280 },
            rtcp_in: Count { packets: 2, bytes: 100 },
            rtcp_out: Count::default(),
            discards: Vec::new(),
            lost: 0,
            jitter: Duration::ZERO,
            round_trip: None,
            remote_fraction_lost: None,
            concealed_frames: 0,
            preroll: Preroll::default(),
            filled_frames: 0,
            playout_delay: Duration::ZERO,
            digits_in: String::new(),
            digits_out: String::new(),
        });
        Ok(Box::new(CallReport { age: Duration::ZERO, last_media: self.last_media, legs: legs.collect() }))
    }

    fn ports_in_use(&self) -> usize {
        self.calls.values().map(BTreeMap::len).sum()
    }
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut ControllerConfig)) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a fixed start of virtual time")]
        let now = Instant::now();
        let mut config = ControllerConfig {
            shards: 2,
            max_sessions: None,
            load: LoadBounds::default(),
            timeout: Duration::from_secs(60),
            silent_timeout: Duration::from_secs(3_600),
            offer_timeout: Duration::from_secs(180),
            delete_delay: Duration::from_secs(30),
            dtmf_log_dest: Some(SocketAddr::from(([127, 0, 0, 1], 9_999))),
            publish_events: true,
        };
        change(&mut config);
        let local = IpAddr::from([127, 0, 0, 1]);
        let address = Address { local, advertised: local };
        let names = [None, Some("priv".to_owned()), Some("pub".to_owned())];
        let interfaces = names.map(|name| Interface { name, v4: Some(address), v6: None }).to_vec();
        let environment =
            Environment { interfaces, fingerprint: [7; 32], default_tos: None, gate_policy: GatePolicy::default() };
        let epoch = Epoch { instant: now, unix: Duration::from_secs(1_795_310_851) };
        let controller = Controller::new(config, environment, epoch, ChaCha12Rng::from_seed([1; 32]));
        let engine = Engine { last_media: Some(Duration::ZERO), ..Engine::default() };
        Self { now, controller, engine, replies: Vec::new(), digits: Vec::new(), published: Vec::new(), next_cookie: 0 }
    }

    fn peer() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 5_060))
    }

    /// Sends a whole datagram. Returns the reply.
    fn send(&mut self, datagram: impl AsRef<[u8]>) -> Option<String> {
        self.send_from(Self::peer(), datagram)
    }

    fn send_from(&mut self, peer: SocketAddr, datagram: impl AsRef<[u8]>) -> Option<String> {
        self.controller.handle_datagram(self.now, Origin::Udp { listener: 0, peer }, datagram.as_ref());
        self.drain();
        self.reply()
    }

    /// Sends a request under a new cookie; the reply comes without it.
    fn request(&mut self, dict: &Dict) -> Option<String> {
        self.next_cookie += 1;
        let cookie = format!("c{} ", self.next_cookie);
        let reply = self.send([cookie.as_bytes(), &bencode::write(dict)].concat())?;
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

    fn drain(&mut self) {
        loop {
            match self.controller.poll_output() {
                ControllerOutput::Transmit { to, bytes } => self.replies.push((to.peer(), bytes)),
                ControllerOutput::DigitFeed { bytes, .. } => self.digits.push(bytes),
                ControllerOutput::Publish(event) => self.published.push(serde_json::from_str(&event).expect("JSON")),
                ControllerOutput::Engine { id, .. } if self.engine.full => {
                    self.controller.handle_refused(self.now, id);
                }
                ControllerOutput::Engine { id, command, .. } => self.engine.mailbox.push((id, command)),
                ControllerOutput::Timeout(_) if self.engine.mailbox.is_empty() || self.engine.asleep => return,
                ControllerOutput::Timeout(_) => {
                    let (id, command) = self.engine.mailbox.remove(0);
                    let result = self.engine.run(command);
                    self.controller.handle_reply(self.now, id, result);
                }
            }
        }
    }

    /// Lets the engine execute the commands in its mailbox.
    fn wake_engine(&mut self) {
        self.engine.asleep = false;
        self.drain();
    }

    /// Advances the time; the controller is called at each of its deadlines.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.controller.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.controller.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn event(&mut self, call: u64, kind: EventKind) {
        self.controller.handle_event(self.now, Event { call: CallId(call), kind });
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
