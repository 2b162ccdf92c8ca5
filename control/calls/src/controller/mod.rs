//! The controller: ng datagrams in, engine commands out, and back. The second machine of the engine's shape.
//!
//! ```text
//! handle_datagram(now, listener, peer, bytes)   handle_reply(now, id, result)   handle_refused(now, id)
//! handle_event(now, event)   handle_load(now, load)   handle_timeout(now)
//! poll_output() -> Transmit | Engine | DigitFeed | Timeout(Option<Instant>)
//! ```
//!
//! After any `handle_*`, drain `poll_output` until it says [`Output::Timeout`].
//!
//! One offer goes: frame, retransmit cache, dictionary, [`Op`], negotiation (pure), [`Command::Apply`]; and when the
//! engine has said its ports: SDP, reply, cache. A call has one command in the engine at a time; what comes for it
//! meanwhile waits, so that every request sees the call as the one before has left it.

mod call;
mod connect;
mod counters;
mod digit_feed;
mod ending;
mod events;
mod gate;
mod media;
mod overload;
mod report;
mod risks;
mod sdp_anomalies;
mod setup;
mod signal;
mod statistics;
mod subscribers;
mod table;
mod verdicts;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trestle_core::{CallId, Command, CommandError, Epoch, Event, EventKind, Reply as EngineReply, RequestId};

use rand_chacha::ChaCha12Rng;

use crate::ended::EndedBy;
use call::{ReplyTo, Work};
pub use counters::Counters;
use overload::Overload;
pub use overload::{Hundredths, LOAD_EVERY, Limit, Load, LoadBounds};
pub use setup::{BOUNDS_MS, Histogram, SetupTimes, Stage};
use statistics::Collection;
use subscribers::Subscribers;
use table::Table;
use trestle_negotiate::Environment;
use trestle_ng::command::{Op, OpError, Query, Request};
use trestle_ng::value::{Dict, Value};
use trestle_ng::{Encoding, FrameError, Replay, Reply, Seen, frame};
use verdicts::VerdictHistory;
pub use verdicts::{MOS_BOUNDS_X10, MosHistogram, VerdictCounts};

/// What the operator says about calls.
#[derive(Debug, Clone)]
pub struct ControllerConfig {
    /// Media threads.
    pub shards: usize,
    /// Calls at which an offer for a new one is refused; `None` for no limit but the engine's.
    pub max_sessions: Option<usize>,
    /// How busy the machine may be.
    pub load: LoadBounds,
    /// An answered call whose peers should be sending and do not is ended after this long.
    pub timeout: Duration,
    /// The same for a call that is on hold on every side.
    pub silent_timeout: Duration,
    /// A call that is never answered is ended this long after its last offer.
    pub offer_timeout: Duration,
    /// How long a deleted call can be queried if `delete` does not say.
    pub delete_delay: Duration,
    /// Where each digit is reported.
    pub dtmf_log_dest: Option<SocketAddr>,
    /// Somebody reads what [`Output::Publish`] says.
    pub publish_events: bool,
}

impl Default for ControllerConfig {
    /// One shard, the daemon's default timeouts, no limits, no outlet for digits or events.
    fn default() -> Self {
        Self {
            shards: 1,
            max_sessions: None,
            load: LoadBounds::default(),
            timeout: Duration::from_secs(60),
            silent_timeout: Duration::from_secs(3_600),
            offer_timeout: Duration::from_secs(180),
            delete_delay: Duration::from_secs(30),
            dtmf_log_dest: None,
            publish_events: false,
        }
    }
}

/// The listener of requests that came over a stream: only their answers go back there.
pub const NOT_A_SOCKET: usize = usize::MAX;

/// What the controller wants done.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram from the socket on which its request came.
    Transmit {
        /// The socket, as numbered by the edge.
        listener: usize,
        /// Where to.
        peer: SocketAddr,
        /// The whole datagram.
        bytes: Vec<u8>,
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
        /// Where to.
        addr: SocketAddr,
        /// The whole datagram.
        bytes: Vec<u8>,
    },
    /// Give one event's JSON, a line without its end, to whoever listens.
    Publish(Arc<str>),
    /// Nothing more to do until this instant, or until something arrives.
    Timeout(Option<Instant>),
}

/// See the module.
#[derive(Debug)]
pub struct Controller {
    config: ControllerConfig,
    environment: Environment,
    epoch: Epoch,
    rng: ChaCha12Rng,
    replay: Replay,
    table: Table,
    /// Calls whose command is in the engine.
    in_engine: BTreeMap<RequestId, CallId>,
    /// `statistics` requests that wait for shards.
    collections: Vec<Collection>,
    next_request: u64,
    /// When shut gates have been so for too long.
    gates_due: BTreeSet<(Instant, CallId)>,
    subscribers: Subscribers,
    last_event: u64,
    verdict_history: VerdictHistory,
    overload: Overload,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl Controller {
    /// A controller without calls. `environment` is what negotiation knows of this machine; `rng` draws keys, ICE
    /// credentials and SSRCs.
    pub fn new(config: ControllerConfig, environment: Environment, epoch: Epoch, rng: ChaCha12Rng) -> Self {
        let (table, overload) = (Table::new(config.shards), Overload::new(config.load));
        Self {
            config,
            environment,
            epoch,
            rng,
            replay: Replay::default(),
            table,
            in_engine: BTreeMap::new(),
            collections: Vec::new(),
            next_request: 0,
            gates_due: BTreeSet::new(),
            subscribers: Subscribers::default(),
            // Numbers go on rising after a restart, unless there were more than a million events a second.
            last_event: u64::try_from(epoch.unix.as_micros()).unwrap_or_default(),
            verdict_history: VerdictHistory::default(),
            overload,
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// What has happened so far, and how many calls there are.
    pub fn counters(&self) -> Counters {
        Counters {
            calls: self.table.live(),
            overloaded: self.overload.refusing(),
            load: self.overload.load,
            ..self.counters.clone()
        }
    }

    /// A datagram from a proxy or an application.
    pub fn handle_datagram(&mut self, now: Instant, listener: usize, peer: SocketAddr, bytes: &[u8]) {
        let Some((cookie, body)) = frame::split(bytes) else {
            self.counters.without_cookie += 1;
            return;
        };
        let encoding = Encoding::of(body).unwrap_or_default();
        let reply_to = ReplyTo::new(listener, peer, cookie, encoding);
        if body.len() > frame::DATAGRAM_BYTES_MAX {
            // Not worth hashing for the cache: the answer is the same every time.
            return self.transmit(&reply_to, &Reply::error(FrameError::TooLong.to_string()));
        }
        match self.replay.begin(now, peer, &reply_to.cookie, body) {
            Seen::New => {}
            Seen::InWork => return self.counters.retransmits += 1,
            Seen::Done(reply) => {
                let bytes = reply_to.cookie.frame(reply);
                self.counters.retransmits += 1;
                return self.outputs.push_back(Output::Transmit { listener, peer, bytes });
            }
            Seen::Reused => return self.transmit(&reply_to, &Reply::error("cookie-reused")),
        }
        match frame::read(body) {
            Ok((_, dict)) => self.handle_request(now, reply_to, &dict),
            Err(FrameError::Json(detail)) => {
                let reply = Reply::error(FrameError::Json(detail.clone()).to_string());
                self.answer(reply_to, reply.with_warnings([detail.to_string()]));
            }
            Err(error) => self.answer(reply_to, Reply::error(error.to_string())),
        }
    }

    fn handle_request(&mut self, now: Instant, mut reply_to: ReplyTo, dict: &Dict) {
        match Request::read(dict) {
            Ok(request) => {
                reply_to.warnings = request.warnings;
                reply_to.verbose = request.verbose;
                reply_to.verb = request.op.name();
                self.counters.requests.add(reply_to.verb);
                self.dispatch(now, reply_to, request.op);
            }
            Err(OpError::UnknownCommand) => {
                let command = dict.get("command").and_then(Value::to_text).unwrap_or_default();
                let command: String = command.chars().take(40).collect();
                let known = Op::NAMES.join(", ");
                let reply = Reply::error(OpError::UnknownCommand.to_string());
                self.answer(reply_to, reply.with_warnings([format!("unknown command `{command}`; known are {known}")]));
            }
            Err(error) => self.answer(reply_to, Reply::error(error.to_string())),
        }
    }

    /// Runs an operation, or puts it behind the one that its call, or one of its two, is busy with.
    fn dispatch(&mut self, now: Instant, reply_to: ReplyTo, op: Op) {
        let calls = [op.call_id(), op.other_call_id()].into_iter().flatten();
        let busy = calls.filter_map(|name| self.table.by_name(name)).find(|call| call.is_busy()).map(|call| call.id);
        if let Some(call) = busy.and_then(|id| self.table.get_mut(id)) {
            if let Err(reply_to) = call.enqueue(reply_to, op) {
                self.answer(reply_to, Reply::error("Busy: too many requests for this call"));
            }
            return;
        }
        match op {
            Op::Ping => self.answer(reply_to, Reply::pong()),
            Op::Offer(signal) => self.offer(now, reply_to, *signal),
            Op::Answer(signal) => self.answer_signal(reply_to, *signal),
            Op::Create(signal) => self.create(now, reply_to, *signal),
            Op::CreateAnswer(signal) => self.create_answer(reply_to, *signal),
            Op::Delete(delete) => self.delete(now, reply_to, &delete),
            Op::Query(query) => self.query(now, reply_to, &query),
            Op::List { limit } => {
                let reply = report::list(&self.table, limit, &reply_to);
                self.answer(reply_to, reply);
            }
            Op::Statistics => self.statistics(reply_to),
            Op::PlayDigit(play) => self.play_digit(reply_to, &play),
            Op::Block(block) => self.block(reply_to, &block),
            Op::Connect(connect) => self.connect(reply_to, &connect),
            Op::Gate(gate) => self.gate(now, reply_to, &gate),
            Op::Subscribe(subscribe) => self.subscribe(now, reply_to, subscribe),
        }
    }

    /// The engine's reply to a command.
    pub fn handle_reply(&mut self, now: Instant, id: RequestId, result: EngineResult) {
        if self.collect(id, result.as_ref().ok()) {
            return;
        }
        let Some(call_id) = self.in_engine.remove(&id) else { return };
        let Some(work) = self.table.get_mut(call_id).and_then(|call| call.work.take()) else { return };
        match work {
            Work::Apply(apply) => self.applied(now, call_id, *apply, result),
            Work::Query { reply_to, verdict } => self.queried(now, call_id, reply_to, verdict, result),
            Work::Media { reply_to, session } => self.media_done(call_id, reply_to, session, result),
            Work::Connect(connecting) => self.tied(now, *connecting, result),
            Work::Gate(change) => self.gate_changed(now, call_id, *change, result),
            // Nothing of its own is in the engine.
            Work::ConnectFarEnd => {}
            Work::Check => self.checked(now, call_id, result),
            Work::Delete(delete) => self.deleted(now, call_id, delete, result),
        }
        self.proceed(now, call_id);
    }

    /// The shard's mailbox was full: the command did not reach it.
    pub fn handle_refused(&mut self, now: Instant, id: RequestId) {
        if self.collect(id, None) {
            return;
        }
        let Some(call_id) = self.in_engine.remove(&id) else { return };
        let Some(work) = self.table.get_mut(call_id).and_then(|call| call.work.take()) else { return };
        self.counters.refused += 1;
        match work {
            Work::Apply(apply) => self.apply_refused(now, call_id, *apply),
            Work::Query { reply_to, .. } | Work::Media { reply_to, .. } => {
                self.answer(reply_to, Reply::error("Load limit exceeded"));
            }
            Work::Connect(connecting) => self.connect_failed(now, *connecting, Reply::error("Load limit exceeded")),
            Work::Gate(change) => self.gates_refused(now, call_id, *change),
            Work::ConnectFarEnd => {}
            Work::Check => self.check_later(now, call_id, Duration::from_secs(1)),
            Work::Delete(delete) => self.delete_refused(now, call_id, delete),
        }
        self.proceed(now, call_id);
    }

    /// After a command: end the call if that is due, else go on with what waited.
    fn proceed(&mut self, now: Instant, call_id: CallId) {
        let Some(call) = self.table.get_mut(call_id) else { return };
        if call.is_busy() {
            return;
        }
        if let Some(cause) = call.end.take()
            && call.is_live()
        {
            return self.end(call_id, cause);
        }
        let waiting = std::mem::take(&mut call.queue);
        self.cut_idle_trunks(call_id);
        self.dispatch_all(now, waiting);
    }

    /// Each goes by its call-id again: the call may be gone by now, or replaced, or busy with the first of them.
    fn dispatch_all(&mut self, now: Instant, waiting: VecDeque<(ReplyTo, Op)>) {
        for (reply_to, op) in waiting {
            self.dispatch(now, reply_to, op);
        }
    }

    /// Something happened in the engine.
    pub fn handle_event(&mut self, now: Instant, event: Event) {
        self.emit_engine_event(now, &event);
        let Some(call) = self.table.get(event.call) else { return };
        match event.kind {
            // It was told by the call that the digit came from.
            EventKind::Digit { leg, .. } if call.session.is_trunk(leg) => {}
            EventKind::Digit { leg, digit, duration, volume, source } => {
                self.counters.digits += 1;
                // Digits are blocked while a card is paid with; whoever asked for them gets them, a log is read by anybody.
                let shown = if call.session.withholds_digits(leg) { '-' } else { digit.to_char() };
                tracing::info!(call_id = ?call.name, %source, digit = %shown, ?duration, "digit");
                if let Some(addr) = self.config.dtmf_log_dest {
                    let digit = digit_feed::Digit { leg, digit, duration, volume, source };
                    let bytes = digit_feed::json(call, &digit, self.epoch.unix_at(now));
                    self.outputs.push_back(Output::DigitFeed { addr, bytes });
                }
            }
            EventKind::Milestone { leg, milestone } => {
                let after = now.saturating_duration_since(call.created);
                tracing::info!(call_id = ?call.name, leg = leg.0, ?milestone, ?after, "milestone");
                self.count_setup(now, event.call, leg, milestone);
            }
            // A call that rings or is held on every side has no media by right; our own clock looks after it.
            EventKind::MediaTimeout if call.answered && !call.is_held() => self.end(event.call, EndedBy::MediaTimeout),
            EventKind::MediaTimeout => {}
            EventKind::LegFailed { leg, reason } => {
                self.counters.legs_failed += 1;
                tracing::warn!(call_id = ?call.name, leg = leg.0, %reason, "leg failed");
            }
            EventKind::AtRisk { leg, risk, lasted, reached } => {
                tracing::warn!(call_id = ?call.name, leg = leg.0, ?risk, ?lasted, ?reached, "at risk");
            }
            EventKind::Recovered { leg, risk } => tracing::info!(call_id = ?call.name, leg = leg.0, ?risk, "recovered"),
            EventKind::CallFailed => self.failed(now, event.call),
        }
    }

    /// The instant of the last [`Output::Timeout`] has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.replay.expire(now);
        self.time_out_gates(now);
        while let Some(call_id) = self.table.next_due(now) {
            self.due(now, call_id);
        }
    }

    /// What to do next; [`Output::Timeout`] is always the last.
    pub fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Timeout(self.poll_timeout()))
    }

    /// When [`Controller::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let gates = self.gates_due.first().map(|(at, _)| *at);
        trestle_core::time::soonest(
            gates,
            trestle_core::time::soonest(self.table.poll_timeout(), self.replay.poll_timeout()),
        )
    }

    /// Gives a command for a call to its shard. The call must not be busy.
    fn engine(&mut self, call_id: CallId, command: Command, work: Work) {
        let id = self.next_request_id();
        let Some(call) = self.table.get_mut(call_id) else { return };
        call.work = Some(work);
        let shard = call.shard;
        self.in_engine.insert(id, call_id);
        self.outputs.push_back(Output::Engine { shard, id, command });
    }

    fn next_request_id(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    /// The one reply to a request, kept for its retransmits.
    fn answer(&mut self, reply_to: ReplyTo, reply: Reply) {
        if !reply.is_success() {
            self.counters.errors.add(reply_to.verb);
        }
        let reply = reply.with_warnings(reply_to.warnings.iter().cloned());
        let body = reply.write(reply_to.encoding);
        self.replay.finish(reply_to.peer, &reply_to.cookie, &body);
        let bytes = reply_to.cookie.frame(&body);
        self.outputs.push_back(Output::Transmit { listener: reply_to.listener, peer: reply_to.peer, bytes });
    }

    /// A reply that is not kept.
    fn transmit(&mut self, reply_to: &ReplyTo, reply: &Reply) {
        self.counters.errors.add(reply_to.verb);
        let bytes = reply_to.cookie.frame(&reply.write(reply_to.encoding));
        self.outputs.push_back(Output::Transmit { listener: reply_to.listener, peer: reply_to.peer, bytes });
    }

    fn query(&mut self, now: Instant, mut reply_to: ReplyTo, query: &Query) {
        let known = self.table.by_name(&query.call_id);
        let Some(call) = known.filter(|call| call.is_live() || !query.verdict) else {
            if query.verdict {
                return self.explain(reply_to, &query.call_id);
            }
            return self.answer(reply_to, Reply::error(UNKNOWN_CALL));
        };
        for tag in [&query.from_tag, &query.to_tag].into_iter().flatten().filter(|tag| !call.has_tag(tag)) {
            reply_to.warnings.push(format!("the call has no tag {tag:?}"));
        }
        let id = call.id;
        if call.is_live() {
            return self.engine(id, Command::Query { call: id }, Work::Query { reply_to, verdict: query.verdict });
        }
        let reply = self.report_reply(now, call, None, &reply_to);
        self.answer(reply_to, reply);
    }

    fn queried(&mut self, now: Instant, call_id: CallId, reply_to: ReplyTo, verdict: bool, result: EngineResult) {
        let Some(call) = self.table.get(call_id) else { return };
        let reply = match result {
            Ok(EngineReply::Report(report)) if verdict => self.verdict_reply(now, call, &report, &reply_to),
            Ok(EngineReply::Report(report)) => self.report_reply(now, call, Some(&report), &reply_to),
            Ok(_) | Err(_) => Reply::error(UNKNOWN_CALL),
        };
        self.answer(reply_to, reply);
    }
}

/// To `answer` and `query`; media commands of other engines write it with a capital D.
const UNKNOWN_CALL: &str = "Unknown call-id";

type EngineResult = Result<EngineReply, CommandError>;
