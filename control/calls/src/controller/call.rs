//! One call as the controller knows it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trestle_core::report::CallReport;
use trestle_core::{CallId, LegId, LegPorts};

use super::connect::Connecting;
use super::gate::GateChange;
use super::risks::Watch;
use super::setup::Setup;
use crate::diagnosis::{CallHistory, CallVerdict};
use crate::ended::EndedBy;
use crate::leg_map::LegMap;
use trestle_negotiate::{Party, Session, Step};
use trestle_ng::command::Op;
use trestle_ng::{Cookie, Encoding};

/// Requests that may wait for one call. A proxy sends one at a time per dialogue.
const QUEUE_MAX: usize = 16;

/// Branches remembered per call; a fork to more destinations loses the oldest.
const BRANCHES_MAX: usize = 16;

/// Whom to answer, and how.
#[derive(Debug)]
pub(super) struct ReplyTo {
    pub(super) listener: usize,
    pub(super) peer: SocketAddr,
    pub(super) cookie: Cookie,
    pub(super) encoding: Encoding,
    pub(super) warnings: Vec<String>,
    pub(super) verbose: bool,
    /// Name of the operation, for the counters.
    pub(super) verb: &'static str,
}

impl ReplyTo {
    pub(super) fn new(listener: usize, peer: SocketAddr, cookie: Cookie, encoding: Encoding) -> Self {
        Self { listener, peer, cookie, encoding, warnings: Vec::new(), verbose: false, verb: "" }
    }
}

/// What the engine is doing for a call, and what is to follow.
#[derive(Debug)]
pub(super) enum Work {
    /// An offer or an answer.
    Apply(Box<Apply>),
    /// A `query`; for the verdict alone, or for everything.
    Query { reply_to: ReplyTo, verdict: bool },
    /// Something about the media of a call that stands. The session is as it will be.
    Media { reply_to: ReplyTo, session: Option<Box<Session>> },
    /// `connect` with a party of another call; the work of both.
    Connect(Box<Connecting>),
    /// The other call of that.
    ConnectFarEnd,
    /// The gates.
    Gate(Box<GateChange>),
    /// Our own look at whether media still flows.
    Check,
    /// The end.
    Delete(Delete),
}

/// A negotiated step that the engine has not yet confirmed.
#[derive(Debug)]
pub(super) struct Apply {
    pub(super) reply_to: ReplyTo,
    pub(super) step: Step,
    pub(super) is_answer: bool,
    /// Nobody is told an SDP.
    pub(super) is_silent: bool,
    /// This is what opens the call; if it fails there is none.
    pub(super) creates: bool,
    pub(super) via_branch: Option<String>,
    pub(super) load_limit: bool,
}

/// A call on its way out.
#[derive(Debug)]
pub(super) struct Delete {
    /// `None` if a timer ends the call.
    pub(super) reply_to: Option<ReplyTo>,
    pub(super) cause: EndedBy,
    pub(super) fast: bool,
    /// How long it can still be queried.
    pub(super) keep: Duration,
}

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: CallId,
    /// The Call-ID.
    pub(super) name: String,
    pub(super) shard: usize,
    pub(super) session: Session,
    pub(super) created: Instant,
    pub(super) last_signal: Instant,
    /// The engine has confirmed the first offer.
    pub(super) opened: bool,
    pub(super) answered: bool,
    /// Ended in the engine; kept for `query`.
    pub(super) ended: bool,
    /// Its last report, once ended.
    pub(super) report: Option<Box<CallReport>>,
    /// What is remembered for the verdict.
    pub(super) notes: CallHistory,
    /// The verdict, once ended.
    pub(super) verdict: Option<Arc<CallVerdict>>,
    /// Which legs' peers have not said that they will not send.
    pub(super) receiving: LegMap<bool>,
    /// Where legs are bound.
    pub(super) ports: LegMap<LegPorts>,
    /// Branches that have not been deleted, oldest first.
    pub(super) branches: Vec<String>,
    /// The branch that answered.
    pub(super) answered_branch: Option<String>,
    pub(super) work: Option<Work>,
    /// `work` is the end of the call, and the engine had no room for it yet.
    pub(super) unsent: bool,
    /// What waits for `work` to be done.
    pub(super) queue: VecDeque<(ReplyTo, Op)>,
    /// Ends of trunks to be taken out as soon as `work` is done.
    pub(super) cuts: Vec<LegId>,
    /// To be ended as soon as `work` is done.
    pub(super) end: Option<EndedBy>,
    /// Until when a shut gate may stay so.
    pub(super) gate_due: Option<Instant>,
    /// Which legs' peers are heard.
    pub(super) watch: Watch,
    /// How far its legs have come.
    pub(super) setup: Setup,
    /// When the table wakes us for this call. KeptVerdict by the table.
    pub(super) due: Option<Instant>,
}

impl Call {
    pub(super) fn new(id: CallId, name: String, shard: usize, session: Session, now: Instant) -> Self {
        Self {
            id,
            name,
            shard,
            session,
            created: now,
            last_signal: now,
            opened: false,
            answered: false,
            ended: false,
            report: None,
            notes: CallHistory::default(),
            verdict: None,
            receiving: LegMap::default(),
            ports: LegMap::default(),
            branches: Vec::new(),
            answered_branch: None,
            work: None,
            unsent: false,
            queue: VecDeque::new(),
            cuts: Vec::new(),
            end: None,
            gate_due: None,
            watch: Watch::default(),
            setup: Setup::default(),
            due: None,
        }
    }

    /// The engine has something in work for it.
    pub(super) fn is_busy(&self) -> bool {
        self.work.is_some()
    }

    /// Not ended.
    pub(super) fn is_live(&self) -> bool {
        !self.ended
    }

    /// No peer is to send: silence is no reason to end it soon.
    pub(super) fn is_held(&self) -> bool {
        !self.receiving.iter().any(|(_, receiving)| *receiving)
    }

    /// Puts a request behind the present one; gives it back if too many wait.
    pub(super) fn enqueue(&mut self, reply_to: ReplyTo, op: Op) -> Result<(), ReplyTo> {
        if self.queue.len() == QUEUE_MAX {
            return Err(reply_to);
        }
        self.queue.push_back((reply_to, op));
        Ok(())
    }

    pub(super) fn parties(&self) -> &[Party] {
        self.session.parties()
    }

    pub(super) fn has_tag(&self, tag: &str) -> bool {
        self.session.party_by_tag(tag).is_some()
    }

    pub(super) fn party(&self, leg: LegId) -> Option<&Party> {
        self.session.party(leg)
    }

    /// Remembers a branch as live.
    pub(super) fn add_branch(&mut self, branch: &str) {
        if !self.branches.iter().any(|known| known == branch) {
            if self.branches.len() == BRANCHES_MAX {
                self.branches.remove(0);
            }
            self.branches.push(branch.to_owned());
        }
    }
}
