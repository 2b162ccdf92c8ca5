//! A whole Trestle without sockets, threads or peers: a controller, an engine, and simulated ports.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::Value;
use trestle_calls::controller::{Controller, ControllerOutput, Origin};
use trestle_core::plan::Transport;
use trestle_core::report::{CallReport, Totals};
use trestle_core::{
    CallId, Command, CommandError, EngineReply, Epoch, Event, EventKind, LegPorts, Output, RequestId, Shard,
    ShardConfig,
};

use crate::checks::Checks;
use crate::fake_engine::FakeEngine;
use crate::ports::Ports;
use crate::setup::{TrestleSetup, identity, instant_zero, shard_config};

/// Names the commands of the test itself; the controller counts its own up from 0.
const OWN: RequestId = RequestId(u64::MAX);

/// Virtual time between two looks at the counters of all calls.
const AUDIT_EVERY: Duration = Duration::from_secs(1);

/// A media datagram that Trestle has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Time since the start.
    pub at: Duration,
    /// The local address.
    pub from: SocketAddr,
    /// The destination.
    pub to: SocketAddr,
    /// UDP payload.
    pub bytes: Vec<u8>,
}

/// A shard, its ports, and the invariants that hold for what goes in and comes out.
#[derive(Debug)]
struct SimulatedShard {
    shard: Shard,
    ports: Ports,
    checks: Checks,
    /// When the calls are reported on again.
    audit_at: Instant,
}

/// What carries out the controller's commands.
#[derive(Debug)]
enum SimulatedEngine {
    Shard(Box<SimulatedShard>),
    Fake(Box<FakeEngine>),
}

/// A controller with its engine in virtual time, and all that came out of them. Tests take from the lists what they need.
#[derive(Debug)]
pub struct SimulatedTrestle {
    /// The present.
    pub now: Instant,
    start: Instant,
    /// The controller.
    pub controller: Controller,
    engine: SimulatedEngine,
    /// Media datagrams, in order.
    pub sent: Vec<Sent>,
    /// Datagrams from the ng port (replies, events for subscribers) with their destinations, in order.
    pub replies: Vec<(SocketAddr, Vec<u8>)>,
    /// What left the ng port between requests, before the last one.
    pub(crate) late_replies: Vec<(SocketAddr, Vec<u8>)>,
    /// Datagrams of the DTMF feed.
    pub digits: Vec<Vec<u8>>,
    /// Events for applications.
    pub published: Vec<Value>,
    /// Events of the shard, with their time since the start.
    pub events: Vec<(Duration, Event)>,
    own_reply: Option<Result<EngineReply, CommandError>>,
    /// The mailbox of the shard is full: it gets no command of the controller.
    pub(crate) is_mailbox_full: bool,
}

impl SimulatedTrestle {
    /// A Trestle with a real shard.
    pub fn new(setup: TrestleSetup) -> Self {
        let epoch = Epoch { instant: instant_zero(), unix: setup.unix };
        let shard = Shard::new(ShardConfig {
            addresses: setup.environment.addresses.clone(),
            ..shard_config(setup.shard_seed, epoch, identity().clone(), &[false, true])
        });
        let simulated = SimulatedShard {
            shard,
            ports: Ports::new(setup.ports),
            checks: Checks::default(),
            audit_at: instant_zero() + AUDIT_EVERY,
        };
        let mut trestle = Self::with(setup, SimulatedEngine::Shard(Box::new(simulated)));
        trestle.drain();
        trestle
    }

    /// A controller with a [`FakeEngine`] that hands out ports and does nothing else.
    pub fn with_fake_engine(setup: TrestleSetup) -> Self {
        Self::with(setup, SimulatedEngine::Fake(Box::default()))
    }

    fn with(setup: TrestleSetup, engine: SimulatedEngine) -> Self {
        let start = instant_zero();
        let rng = ChaCha12Rng::seed_from_u64(setup.seed);
        let epoch = Epoch { instant: start, unix: setup.unix };
        Self {
            now: start,
            start,
            controller: Controller::new(setup.controller, setup.environment, epoch, rng),
            engine,
            sent: Vec::new(),
            replies: Vec::new(),
            late_replies: Vec::new(),
            digits: Vec::new(),
            published: Vec::new(),
            events: Vec::new(),
            own_reply: None,
            is_mailbox_full: false,
        }
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// The fake engine of [`SimulatedTrestle::with_fake_engine`].
    pub fn engine(&self) -> &FakeEngine {
        match &self.engine {
            SimulatedEngine::Fake(fake) => fake,
            SimulatedEngine::Shard(_) => panic!("the engine is a real shard"),
        }
    }

    /// The same, to change it.
    pub fn engine_mut(&mut self) -> &mut FakeEngine {
        match &mut self.engine {
            SimulatedEngine::Fake(fake) => fake,
            SimulatedEngine::Shard(_) => panic!("the engine is a real shard"),
        }
    }

    fn shard(&self) -> &SimulatedShard {
        match &self.engine {
            SimulatedEngine::Shard(shard) => shard,
            SimulatedEngine::Fake(_) => panic!("the engine is a fake one"),
        }
    }

    fn shard_mut(&mut self) -> &mut SimulatedShard {
        match &mut self.engine {
            SimulatedEngine::Shard(shard) => shard,
            SimulatedEngine::Fake(_) => panic!("the engine is a fake one"),
        }
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let shard = match &self.engine {
            SimulatedEngine::Shard(shard) => shard.shard.poll_timeout(),
            SimulatedEngine::Fake(_) => None,
        };
        trestle_core::time::soonest(shard, self.controller.poll_timeout())
    }

    /// Goes to `now` and does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if let SimulatedEngine::Shard(shard) = &mut self.engine
            && shard.shard.poll_timeout().is_some_and(|at| at <= now)
        {
            shard.shard.handle_timeout(now);
        }
        if self.controller.poll_timeout().is_some_and(|at| at <= now) {
            self.controller.handle_timeout(now);
        }
        self.drain();
        self.audit();
        let deadline = self.poll_timeout();
        if let SimulatedEngine::Shard(shard) = &mut self.engine {
            shard.checks.stepped(now, deadline).unwrap_or_else(violated);
        }
    }

    /// Has the counters of every call checked, now and then.
    fn audit(&mut self) {
        let now = self.now;
        let SimulatedEngine::Shard(shard) = &mut self.engine else { return };
        if now < shard.audit_at {
            return;
        }
        shard.audit_at = now + AUDIT_EVERY;
        for call in shard.checks.calls() {
            if let Ok(EngineReply::Report(report)) = self.command(Command::Query { call }) {
                self.shard().checks.report(call, &report).unwrap_or_else(violated);
            }
        }
    }

    /// Lets time pass; does what falls due on the way.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.poll_timeout().filter(|at| *at <= until) {
            // A deadline in the past is due now; the clock never runs backwards.
            self.handle_timeout(at.max(self.now));
        }
        self.now = until;
    }

    /// A datagram arrives at a media port. False if the port is not bound.
    pub fn receive(&mut self, at: SocketAddr, from: SocketAddr, bytes: &[u8]) -> bool {
        self.receive_waiting(Duration::ZERO, at, from, bytes)
    }

    /// The same for a datagram that has waited for `waited` in the queue of its socket.
    pub fn receive_waiting(&mut self, waited: Duration, at: SocketAddr, from: SocketAddr, bytes: &[u8]) -> bool {
        let now = self.now;
        let SimulatedShard { shard, ports, checks, .. } = self.shard_mut();
        let Some(socket) = ports.socket(at) else { return false };
        checks.received(now, at, from, bytes);
        shard.handle_waiting_datagram(now, waited, socket, from, &mut bytes.to_vec());
        self.drain();
        true
    }

    /// A datagram arrives at the ng port. Returns what was sent from there.
    pub fn ng(&mut self, peer: SocketAddr, bytes: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        self.late_replies.append(&mut self.replies);
        self.controller.handle_datagram(self.now, Origin::Udp { listener: 0, local: None, peer }, bytes);
        self.drain();
        std::mem::take(&mut self.replies)
    }

    /// Takes what has left the ng port since the last request.
    pub(crate) fn take_replies(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        std::mem::take(&mut self.replies)
    }

    /// Gives the shard a command and returns its reply.
    pub fn command(&mut self, command: Command) -> Result<EngineReply, CommandError> {
        let now = self.now;
        self.shard_mut().handle_command(now, OWN, command);
        self.drain();
        self.own_reply.take().expect("every command is answered at once")
    }

    /// Opens legs and returns their ports.
    pub fn apply(&mut self, command: Command) -> Vec<LegPorts> {
        match self.command(command) {
            Ok(EngineReply::Applied(ports)) => ports.into_iter().map(|(_, ports)| ports).collect(),
            other => panic!("a good plan is refused: {other:?}"),
        }
    }

    /// The shard's counters.
    pub fn totals(&mut self) -> Totals {
        match self.command(Command::Totals) {
            Ok(EngineReply::Totals(totals)) => *totals,
            other => panic!("no totals but {other:?}"),
        }
    }

    /// Port pairs that legs hold, those in stock not counted.
    pub fn pairs_in_use(&self) -> usize {
        let shard = self.shard();
        shard.ports.pairs_in_use(&shard.shard)
    }

    /// Every media port that is bound, those in stock among them.
    pub fn media_ports(&self) -> Vec<SocketAddr> {
        self.shard().ports.bound().collect()
    }

    /// True if `at` is one of the bound media ports.
    pub fn is_bound(&self, at: SocketAddr) -> bool {
        self.shard().ports.socket(at).is_some()
    }

    /// The call that has the leg with this port.
    pub(crate) fn owner(&self, port: SocketAddr) -> Option<CallId> {
        self.shard().checks.owner(port)
    }

    /// The transport of the leg with this port.
    pub(crate) fn transport(&self, port: SocketAddr) -> Option<Transport> {
        self.shard().checks.transport(port)
    }

    /// The ports of all legs.
    pub(crate) fn leg_ports(&self) -> Vec<SocketAddr> {
        self.shard().checks.ports()
    }

    /// The state of a call.
    pub(crate) fn report(&mut self, call: CallId) -> Option<CallReport> {
        match self.command(Command::Query { call }) {
            Ok(EngineReply::Report(report)) => Some(*report),
            _ => None,
        }
    }

    /// A call is lost to a panic, as far as the controller can see it.
    pub(crate) fn lose(&mut self, call: CallId) {
        if self.command(Command::Delete { call }).is_ok() {
            self.controller.handle_event(self.now, Event { call, kind: EventKind::CallFailed });
            self.drain();
        }
    }

    /// Sets the complexity of Opus encoders.
    pub(crate) fn set_opus_complexity(&mut self, complexity: u8) {
        self.shard_mut().shard.set_opus_complexity(complexity);
    }

    /// Has the engine's holdings checked: calls, legs and ports.
    pub(crate) fn check_held(&mut self) {
        let now = self.now;
        self.shard_mut().check_held(now);
    }

    /// Carries outputs to where they go until neither machine has any left.
    pub fn drain(&mut self) {
        loop {
            let mut idle = self.drain_controller();
            idle &= match &mut self.engine {
                SimulatedEngine::Shard(_) => self.drain_shard(),
                SimulatedEngine::Fake(fake) => match fake.run_next() {
                    Some((id, result)) => {
                        self.controller.handle_reply(self.now, id, result);
                        false
                    }
                    None => true,
                },
            };
            if idle {
                return;
            }
        }
    }

    /// True if nothing came out that the other side has to handle.
    fn drain_controller(&mut self) -> bool {
        let mut idle = true;
        loop {
            match self.controller.poll_output() {
                ControllerOutput::Transmit { to, bytes } => self.replies.push((to.peer(), bytes)),
                // There are no connections here.
                ControllerOutput::NoReply { .. } => {}
                ControllerOutput::Engine { shard: owner, id, command } => {
                    idle = false;
                    match &mut self.engine {
                        SimulatedEngine::Shard(_) if self.is_mailbox_full => {
                            self.controller.handle_refused(self.now, id);
                        }
                        SimulatedEngine::Shard(shard) => {
                            shard.handle_command(self.now, id, command);
                            return false;
                        }
                        SimulatedEngine::Fake(fake) if fake.full || fake.full_shard == Some(owner) => {
                            self.controller.handle_refused(self.now, id)
                        }
                        SimulatedEngine::Fake(fake) => fake.post(owner, id, command),
                    }
                }
                ControllerOutput::DigitFeed { bytes, .. } => self.digits.push(bytes),
                ControllerOutput::Publish(event) => {
                    assert!(!event.contains('\n'), "an event is one line: {event}");
                    self.published.push(serde_json::from_str(&event).expect("JSON"));
                }
                ControllerOutput::Timeout(_) => return idle,
            }
        }
    }

    /// True if nothing came out that the other side has to handle.
    fn drain_shard(&mut self) -> bool {
        let SimulatedEngine::Shard(simulated) = &mut self.engine else { return true };
        let SimulatedShard { shard, ports, checks, .. } = &mut **simulated;
        let (mut idle, mut is_anything_gone, mut first) = (true, false, self.sent.len());
        loop {
            match shard.poll_output() {
                Output::Transmit(transmit) => self.sent.push(Sent {
                    at: self.now - self.start,
                    from: ports.address(transmit.socket),
                    to: transmit.remote,
                    bytes: transmit.bytes.to_vec(),
                }),
                Output::Reply(reply) => {
                    idle = false;
                    let (id, result) = *reply;
                    if matches!(result, Ok(EngineReply::Deleted(_))) {
                        // The last report counts what was sent before.
                        for sent in &self.sent[first..] {
                            checks.sent(self.now, sent).unwrap_or_else(violated);
                        }
                        first = self.sent.len();
                    }
                    is_anything_gone |=
                        checks.reply(self.now, &result).unwrap_or_else(|violation| panic!("{violation}"));
                    if id == OWN {
                        self.own_reply = Some(result);
                    } else {
                        self.controller.handle_reply(self.now, id, result);
                    }
                }
                Output::Event(event) => {
                    idle = false;
                    assert!(!matches!(event.kind, EventKind::CallFailed), "a panic in the engine cost a call");
                    self.events.push((self.now - self.start, event.clone()));
                    self.controller.handle_event(self.now, event);
                }
                Output::Release(pair) => ports.release(pair),
                Output::Timeout(_) => break,
            }
        }
        ports.stock(shard);
        // What was sent follows from the last command, so it is judged by the plan of that command.
        for sent in &self.sent[first..] {
            checks.sent(self.now, sent).unwrap_or_else(violated);
        }
        if is_anything_gone {
            simulated.check_held(self.now);
        }
        idle
    }
}

impl SimulatedShard {
    fn handle_command(&mut self, now: Instant, id: RequestId, command: Command) {
        self.checks.command(&command);
        self.shard.handle_command(now, id, command);
    }

    /// A call or a leg is gone: nothing of it may be left. The shard has no other output.
    fn check_held(&mut self, now: Instant) {
        self.shard.handle_command(now, OWN, Command::Totals);
        while let Output::Reply(reply) = self.shard.poll_output() {
            if let Ok(EngineReply::Totals(totals)) = reply.1 {
                let held = [totals.calls as usize, totals.legs as usize, self.ports.pairs_in_use(&self.shard)];
                self.checks.check_held(held).unwrap_or_else(violated);
            }
        }
    }
}

/// Fails the test.
fn violated(violation: String) {
    panic!("an invariant is violated: {violation}");
}
