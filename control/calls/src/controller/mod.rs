//! The controller: ng requests in, engine commands out, and back. A machine of the engine's shape, without clock or socket.
//!
//! ```text
//! handle_datagram(now, origin, bytes)   handle_reply(now, id, result)   handle_refused(now, id)
//! handle_event(now, event)   handle_load(now, load)   handle_timeout(now)
//! poll_output() -> Transmit | NoReply | Engine | DigitFeed | Publish | Timeout(Option<Instant>)
//! ```
//!
//! After any `handle_*`, drain `poll_output` until it returns [`ControllerOutput::Timeout`].
//!
//! The parts and what each owns:
//!
//! ```text
//! ng           frames, replies, the cache for retransmits       calls       all calls and their timers
//! negotiator   addresses of this machine, random generator      engine      request ids, who awaits which reply
//! admission    limit of sessions, load of the machine           events      subscribers, numbers of events
//! statistics   requests that wait for shards                    verdicts    verdicts on ended calls
//! ```
//!
//! An offer takes this way: frame, retransmit cache, dictionary, [`Verb`], negotiation (pure), [`Command::Apply`]; and with the
//! ports in the engine's reply: SDP, reply, cache. A call has one command in the engine at a time (`in_flight`); requests
//! that come meanwhile wait, so that each works on the state that the one before has left.

mod admission;
mod call;
mod connect;
mod counters;
mod digit_feed;
mod drain;
mod ending;
mod engine_link;
mod event_feed;
mod gate;
mod half_open;
mod in_flight;
mod media;
mod negotiator;
mod ng_door;
mod ng_endpoint;
mod overload;
mod port_search;
mod progress;
mod query;
mod refusal_log;
mod reply_to;
mod report;
mod risks;
mod sdp_anomalies;
mod setup;
mod signal;
mod statistics;
mod subscribers;
mod supervision;
mod table;
mod verdicts;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;
use trestle_core::time::soonest;
use trestle_core::{CallId, Command, CommandError, EngineReply, Epoch, Event, EventKind, LegId, RequestId};
use trestle_negotiate::{Environment, GatePolicy, Session};
use trestle_ng::command::Verb;
use trestle_ng::{Cookie, Dict, Reply};

use crate::ended::EndedBy;
use crate::events::{Dbm0, EventBody};
use admission::Admission;
use call::Enqueued;
pub use counters::{ControllerCounters, DroppedRequest, Tally};
use drain::DrainState;
pub use drain::ServiceState;
use engine_link::{EngineLink, EngineResult, Failure};
use event_feed::EventFeed;
use in_flight::InFlight;
use negotiator::Negotiator;
use ng_door::NgDoor;
pub use ng_door::{SignaturePolicy, UnsignedSource};
use ng_endpoint::NgEndpoint;
pub use overload::{Hundredths, LOAD_EVERY, Limit, Load, LoadBounds};
pub use refusal_log::RefusalLog;
pub use reply_to::Origin;
use reply_to::ReplyTo;
pub use setup::{SetupStage, SetupTimes};
use statistics::{Collected, StatisticsRequests};
use table::CallTable;
pub use verdicts::VerdictCounts;
use verdicts::VerdictHistory;

/// The operator's settings for calls.
#[derive(Debug, Clone)]
pub struct ControllerConfig {
    /// Media threads.
    pub shards: usize,
    /// Calls at which an offer for a new one is refused; `None` for no limit but the engine's.
    pub max_sessions: Option<usize>,
    /// Legs of calls without an answer, all together; beyond it such calls are ended. `None` for no limit.
    pub half_open_legs: Option<usize>,
    /// Load of the machine at which an offer for a new call is refused.
    pub load: LoadBounds,
    /// An answered call whose peers should be sending and do not is ended after this long.
    pub timeout: Duration,
    /// The same for a call that is on hold on every side.
    pub silent_timeout: Duration,
    /// A call that is never answered is ended this long after its last offer.
    pub offer_timeout: Duration,
    /// How long a deleted call can be queried if `delete` gives no time.
    pub delete_delay: Duration,
    /// How long calls are waited for after SIGTERM, or a `drain` without a time.
    pub grace: Duration,
    /// Where each digit is reported.
    pub dtmf_log_dest: Option<SocketAddr>,
    /// The edge takes events: emit [`ControllerOutput::Publish`].
    pub publish_events: bool,
    /// Requests must be signed; `None`: no request is.
    pub signatures: Option<SignaturePolicy>,
}

impl Default for ControllerConfig {
    /// One shard, no limits, no outlet for digits or events; the times are the daemon's defaults.
    fn default() -> Self {
        Self {
            shards: 1,
            max_sessions: None,
            half_open_legs: None,
            load: LoadBounds::default(),
            timeout: Duration::from_secs(60),
            silent_timeout: Duration::from_secs(3_600),
            offer_timeout: Duration::from_secs(240),
            delete_delay: Duration::from_secs(30),
            grace: Duration::from_secs(2),
            dtmf_log_dest: None,
            publish_events: false,
            signatures: None,
        }
    }
}

/// What the edge is to do for the controller.
#[derive(Debug)]
pub enum ControllerOutput {
    /// Send a reply, or an event to a subscriber.
    Transmit {
        /// The origin of the request or of the subscription.
        to: Origin,
        /// The whole datagram or message.
        bytes: Vec<u8>,
    },
    /// A request over a connection gets no reply: close the connection.
    NoReply {
        /// The origin of the request.
        to: Origin,
        /// Its cookie.
        cookie: Cookie,
    },
    /// Give a command to a shard. If its mailbox is full, call [`Controller::handle_refused`].
    Engine {
        /// The shard, below [`ControllerConfig::shards`].
        shard: usize,
        /// Comes back with the reply.
        id: RequestId,
        /// The command.
        command: Command,
    },
    /// Send one digit's JSON.
    DigitFeed {
        /// The receiver.
        addr: SocketAddr,
        /// The whole datagram.
        bytes: Vec<u8>,
    },
    /// Send one event's JSON, a line without its end, to the event outputs.
    Publish(Arc<str>),
    /// Nothing more to do until this instant, or until something arrives.
    Timeout(Option<Instant>),
}

/// What the operator asks for by signals, or changes on the machine.
#[derive(Debug, Clone)]
pub enum OperatorCommand {
    /// Refuse new calls and wait for the others, for [`ControllerConfig::grace`].
    Drain,
    /// End every call now.
    EndCalls,
    /// Take other settings.
    Reconfigure(Box<RunTimeSettings>),
    /// The machine has these addresses from now on, each with its network. The edge informs the shards
    /// ([`Command::SetMachineAddresses`]).
    MachineAddresses(Vec<IpNet>),
    /// The wall clock was set: this is its time now. Times of calls remain as they are.
    WallClock(Epoch),
}

/// Settings that can change while calls are active.
#[derive(Debug, Clone)]
pub struct RunTimeSettings {
    /// Of it: limits, and the times but `timeout`.
    pub controller: ControllerConfig,
    /// Applied to parties of later offers.
    pub gate_policy: GatePolicy,
    /// The same.
    pub default_tos: Option<u8>,
}

type Outbox = VecDeque<ControllerOutput>;

/// The controller of all calls.
#[derive(Debug)]
pub struct Controller {
    config: ControllerConfig,
    epoch: Epoch,
    ng: NgEndpoint,
    negotiator: Negotiator,
    admission: Admission,
    statistics: StatisticsRequests,
    calls: CallTable,
    engine: EngineLink,
    events: EventFeed,
    verdicts: VerdictHistory,
    drain: DrainState,
    /// Counters that no other part owns.
    counters: ControllerCounters,
    outbox: Outbox,
}

/// Error of `answer` and `query`; media requests of other engines write it with a capital D.
const UNKNOWN_CALL: &str = "Unknown call-id";

impl Controller {
    /// A controller without calls. `environment` is what negotiation knows of this machine; `rng` draws keys, ICE
    /// credentials and SSRCs.
    pub fn new(config: ControllerConfig, environment: Environment, epoch: Epoch, rng: ChaCha12Rng) -> Self {
        // Of another stream, so that the values of the first one are as without it.
        let mut token_rng = rng.clone();
        token_rng.set_stream(1);
        let mut token_secret = [0; 32];
        token_rng.fill_bytes(&mut token_secret);
        let mut door = NgDoor::new(epoch);
        door.reconfigure(epoch.instant, config.signatures.clone());
        Self {
            epoch,
            ng: NgEndpoint::new(door),
            negotiator: Negotiator::new(environment, rng),
            admission: Admission::new(&config),
            statistics: StatisticsRequests::default(),
            calls: CallTable::new(config.shards),
            engine: EngineLink::default(),
            events: EventFeed::new(epoch, config.publish_events, &token_secret),
            verdicts: VerdictHistory::default(),
            drain: DrainState::default(),
            counters: ControllerCounters::default(),
            outbox: VecDeque::new(),
            config,
        }
    }

    /// True while a command of the controller is in an engine.
    pub fn awaits_engine(&self) -> bool {
        !self.engine.awaits_nothing()
    }

    /// Counters since the start, and the number of calls at present.
    pub fn counters(&self) -> ControllerCounters {
        ControllerCounters {
            calls: self.calls.live(),
            rejected: self.admission.rejected.clone(),
            overloaded: self.admission.overloaded(),
            draining: self.admission.is_draining,
            load: self.admission.load(),
            requests: self.ng.understood.clone(),
            errors: self.ng.errors.clone(),
            retransmits: self.ng.retransmits,
            dropped: self.ng.dropped.clone(),
            events: self.events.counts.clone(),
            verdicts: self.verdicts.counts.clone(),
            ..self.counters.clone()
        }
    }

    /// What becomes of an offer for a new call at present.
    pub fn service_state(&self) -> ServiceState {
        drain::state(self)
    }

    /// Takes a command of the operator.
    pub fn handle_operator(&mut self, now: Instant, command: OperatorCommand) {
        match command {
            OperatorCommand::Drain => drain::start(self, now, self.config.grace, "signal"),
            OperatorCommand::EndCalls => drain::end_calls(self),
            OperatorCommand::WallClock(epoch) => {
                self.ng.door.set_wall_clock(epoch);
                self.events.set_wall_clock(epoch);
            }
            OperatorCommand::MachineAddresses(machine) => self.negotiator.set_machine_addresses(machine),
            OperatorCommand::Reconfigure(settings) => {
                let RunTimeSettings { controller, gate_policy, default_tos } = *settings;
                self.admission.reconfigure(&controller);
                self.negotiator.reconfigure(gate_policy, default_tos);
                self.ng.door.reconfigure(now, controller.signatures.clone());
                // What is fixed at the start stays.
                let ControllerConfig { shards, timeout, dtmf_log_dest, publish_events, .. } = self.config;
                self.config = ControllerConfig { shards, timeout, dtmf_log_dest, publish_events, ..controller };
            }
        }
    }

    /// Counts a message that the edge has dropped.
    pub fn count_dropped(&mut self, reason: DroppedRequest) {
        self.ng.dropped.add(reason);
    }

    /// Takes a request from a proxy or an application.
    pub fn handle_datagram(&mut self, now: Instant, origin: Origin, bytes: &[u8]) {
        if let Some((reply_to, verb)) = self.ng.receive(now, origin, bytes, &mut self.outbox) {
            self.dispatch(now, reply_to, verb);
        }
    }

    /// Executes a request, or puts it behind the command in flight of its call, or of one of its two.
    fn dispatch(&mut self, now: Instant, reply_to: ReplyTo, verb: Verb) {
        let names = [verb.call_id(), verb.other_call_id()].into_iter().flatten();
        let busy = names.filter_map(|name| self.calls.by_name(name)).find(|call| call.is_busy()).map(|call| call.id);
        if let Some(call) = busy.and_then(|id| self.calls.get_mut(id)) {
            match call.enqueue(reply_to, verb) {
                Enqueued::Waits => {}
                Enqueued::Refused(reply_to) => {
                    self.reply(reply_to, Reply::error("Busy: too many requests for this call"))
                }
                Enqueued::CallEnds(reply_to) => {
                    let warning = "many deletes of this call wait; the call ends after them";
                    self.reply(reply_to, Reply::ok(Dict::default().with("warning", warning)));
                }
            }
            return;
        }
        match verb {
            Verb::Ping if self.admission.is_draining => self.reply(reply_to, Reply::pong_while_draining()),
            Verb::Ping => self.reply(reply_to, Reply::pong()),
            Verb::Offer(offer) => signal::offer(self, now, reply_to, *offer),
            Verb::Answer(answer) => signal::answer(self, reply_to, &answer),
            Verb::Create(offer) => signal::create(self, now, reply_to, &offer),
            Verb::CreateAnswer(answer) => signal::create_answer(self, reply_to, &answer),
            Verb::Delete(delete) => ending::delete(self, reply_to, &delete),
            Verb::Query(query) => query::query(self, reply_to, &query),
            Verb::List { limit } => {
                let reply = report::list(&self.calls, limit, &reply_to);
                self.reply(reply_to, reply);
            }
            Verb::Statistics => statistics::statistics(self, reply_to),
            Verb::PlayDigit(play) => media::play_digit(self, reply_to, &play),
            Verb::Block(block) => media::block(self, now, reply_to, &block),
            Verb::Connect(connect) => media::connect(self, now, reply_to, &connect),
            Verb::Gate(gate) => gate::gate(self, now, reply_to, &gate),
            Verb::Drain(drain) => drain::request(self, now, reply_to, drain),
            Verb::Subscribe(subscribe) => event_feed::subscribe(self, now, reply_to, subscribe),
        }
    }

    /// Each request is looked up by its call-id again: the call may be removed by now, replaced, or busy with the first.
    fn dispatch_all(&mut self, now: Instant, waiting: VecDeque<(ReplyTo, Verb)>) {
        for (reply_to, verb) in waiting {
            self.dispatch(now, reply_to, verb);
        }
    }

    /// Takes the engine's reply to a command.
    pub fn handle_reply(&mut self, now: Instant, id: RequestId, result: Result<EngineReply, CommandError>) {
        self.finish(now, id, result.map_err(Failure::Refused));
    }

    /// The shard's mailbox was full: the command did not reach it.
    pub fn handle_refused(&mut self, now: Instant, id: RequestId) {
        self.finish(now, id, Err(Failure::MailboxFull));
    }

    fn finish(&mut self, now: Instant, id: RequestId, result: EngineResult) {
        match self.statistics.collect(id, result.as_ref().ok()) {
            Collected::Complete(reply_to, totals) => {
                let tree = statistics::tree(&self.counters(), &totals);
                return self.reply(reply_to, Reply::ok(Dict::default().with("statistics", tree)));
            }
            Collected::Waiting => return,
            Collected::NotAwaited => {}
        }
        let Some(call_id) = self.engine.take_owner(id) else { return };
        let Some(in_flight) = self.calls.get_mut(call_id).and_then(|call| call.in_flight.take()) else { return };
        if matches!(result, Err(Failure::MailboxFull)) {
            self.counters.mailbox_full += 1;
        }
        let Some(in_flight) = port_search::begin(self, now, call_id, in_flight, &result) else { return };
        in_flight.finish(self, now, call_id, result);
        self.proceed(now, call_id);
    }

    /// After a command: ends the call if that is due, else executes the requests that waited.
    fn proceed(&mut self, now: Instant, call_id: CallId) {
        let Some(call) = self.calls.get_mut(call_id).filter(|call| !call.is_busy()) else { return };
        if let Some(cause) = call.waiting.end.take()
            && call.is_live()
        {
            return ending::end(self, call_id, cause);
        }
        if call.is_live() && call.waiting.take_end_after_requests() {
            return ending::end(self, call_id, EndedBy::Deleted);
        }
        let waiting = call.waiting.take_requests();
        let has_waited = !waiting.is_empty();
        connect::remove_idle_links(self, call_id);
        self.dispatch_all(now, waiting);
        if has_waited {
            // None of them may have a command in the engine now.
            self.proceed(now, call_id);
        }
    }

    /// Takes an event of the engine.
    pub fn handle_event(&mut self, now: Instant, event: Event) {
        let Some(call) = self.calls.get(event.call) else { return };
        let (id, name) = (event.call, call.name.clone());
        match event.kind {
            EventKind::Digit { leg, digit, duration, volume, source } => {
                self.emit(now, id, Some(leg), EventBody::Digit { digit, duration, volume: Dbm0(volume) });
                digit_feed::feed(self, now, id, &digit_feed::FeedDigit { leg, digit, duration, volume, source });
            }
            EventKind::Milestone { leg, milestone } => {
                tracing::info!(call_id = ?name, leg = leg.0, ?milestone, after = ?self.calls.age(now, id), "milestone");
                if let Some(body) = EventBody::of_milestone(milestone) {
                    self.emit(now, id, Some(leg), body);
                }
                setup::note_milestone(self, now, id, leg, milestone);
            }
            EventKind::MediaTimeout => {
                // A call that rings or is held on every side may have no media; its own timers supervise it.
                if self.calls.get(id).is_some_and(|call| call.is_answered() && !call.is_held()) {
                    ending::end(self, id, EndedBy::MediaTimeout);
                }
            }
            EventKind::LegFailed { leg, reason } => {
                self.counters.legs_failed += 1;
                tracing::warn!(call_id = ?name, leg = leg.0, %reason, "leg failed");
                self.emit(now, id, Some(leg), EventBody::LegFailed { failure: reason });
            }
            EventKind::AtRisk { leg, risk, lasted, reached } => {
                tracing::warn!(call_id = ?name, leg = leg.0, ?risk, ?lasted, ?reached, "at risk");
                risks::at_risk(self, now, id, leg, risk, lasted, reached);
            }
            EventKind::Recovered { leg, risk } => {
                tracing::info!(call_id = ?name, leg = leg.0, ?risk, "recovered");
                risks::recovered(self, now, id, leg, risk);
            }
            EventKind::CallFailed => ending::call_lost(self, now, id),
        }
    }

    /// Takes the load of the machine, every [`LOAD_EVERY`]. Past a bound, offers for new calls are refused until all values have
    /// been well below their bounds for two seconds. Requests for existing calls are never refused for load.
    pub fn handle_load(&mut self, now: Instant, load: Load) {
        self.admission.handle_load(now, load, self.calls.live());
    }

    /// The instant of the last [`ControllerOutput::Timeout`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.ng.expire(now);
        gate::time_out_gates(self, now);
        drain::time_out(self, now);
        while let Some(call_id) = self.calls.next_due(now) {
            supervision::call_due(self, now, call_id);
        }
    }

    /// What to do next; [`ControllerOutput::Timeout`] is always the last.
    pub fn poll_output(&mut self) -> ControllerOutput {
        self.outbox.pop_front().unwrap_or_else(|| ControllerOutput::Timeout(self.poll_timeout()))
    }

    /// When [`Controller::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        soonest(soonest(self.calls.poll_timeout(), drain::poll_timeout(self)), self.ng.poll_timeout())
    }

    fn reply(&mut self, reply_to: ReplyTo, reply: Reply) {
        self.ng.reply(reply_to, reply, &mut self.outbox);
    }

    fn emit(&mut self, now: Instant, id: CallId, leg: Option<LegId>, body: EventBody) {
        if let Some(call) = self.calls.get_mut(id) {
            self.events.emit(now, call, leg, body, (&self.ng.door, &mut self.outbox));
        }
    }

    /// Gives a command for a call to its shard. The call must not be busy.
    fn submit(&mut self, id: CallId, command: Command, in_flight: InFlight) {
        let Some(shard) = self.calls.get(id).map(|call| call.shard) else { return };
        self.submit_to(shard, id, command, in_flight);
    }

    /// The same for a command to another shard than the call's.
    fn submit_to(&mut self, shard: usize, owner: CallId, command: Command, in_flight: InFlight) {
        let Some(call) = self.calls.get_mut(owner) else { return };
        call.in_flight = Some(in_flight);
        self.engine.request(owner, shard, command, &mut self.outbox);
    }

    /// Gives a command to a shard whose reply no call awaits.
    fn post(&mut self, shard: usize, command: Command) -> RequestId {
        self.engine.post(shard, command, &mut self.outbox)
    }

    /// Removes legs in the engine.
    fn remove_legs(&mut self, id: CallId, legs: &[LegId]) {
        let Some(shard) = self.calls.get(id).map(|call| call.shard) else { return };
        for leg in legs {
            self.post(shard, Command::RemoveLeg { call: id, leg: *leg });
        }
    }

    /// Makes a session that the engine has applied the call's own, and emits an event for each gate that changed by it.
    fn commit_session(&mut self, now: Instant, id: CallId, session: Session, timed_out: bool) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let before = call.commit_session(session);
        let exits = gate::exits(&before, call, timed_out);
        match (call.session().gate_timeout(), call.gate_due) {
            (Some(timeout), None) => self.calls.wake_gate(id, Some(now + timeout)),
            (None, Some(_)) => self.calls.wake_gate(id, None),
            _ => {}
        }
        for (leg, body) in exits {
            self.emit(now, id, Some(leg), body);
        }
    }
}
