//! What the controller knows of one call.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use trestle_core::report::CallReport;
use trestle_core::{CallId, LegId, LegPorts};
use trestle_negotiate::{GateState, Party, Session};
use trestle_ng::command::Verb;

use super::in_flight::InFlight;
use super::progress::CallProgress;
use super::reply_to::ReplyTo;
use crate::diagnosis::{CallHistory, CallVerdict};
use crate::ended::EndedBy;
use crate::leg_map::LegMap;

/// Requests that may wait for one call. A proxy sends one at a time per dialogue.
const QUEUE_MAX: usize = 16;

/// `delete` requests that may wait beside them: one for each of [`BRANCHES_MAX`] branches.
const DELETES_MAX: usize = 64;

/// Branches remembered per call; a fork to more destinations loses the oldest.
const BRANCHES_MAX: usize = 64;

/// A call. At most one command is in the engine for it; requests that come meanwhile wait.
#[derive(Debug)]
pub(super) struct CallRecord {
    pub(super) id: CallId,
    /// The Call-ID.
    pub(super) name: String,
    pub(super) shard: usize,
    pub(super) created: Instant,
    /// When the engine applied the last offer or answer.
    pub(super) last_signal: Instant,
    pub(super) state: CallLifecycle,
    /// Written by [`CallRecord::commit_session`] and [`CallRecord::remove_links`] only.
    session: Session,
    /// What the engine is doing for the call.
    pub(super) in_flight: Option<InFlight>,
    pub(super) waiting: WaitingWork,
    pub(super) branches: Branches,
    pub(super) legs: LegMap<LegRecord>,
    pub(super) history: CallHistory,
    pub(super) progress: CallProgress,
    /// When the next timer of the call is due. Written by the table.
    pub(super) due: Option<Instant>,
    /// Until when a shut gate may stay shut. Written by the table.
    pub(super) gate_due: Option<Instant>,
}

/// The life of a call.
///
/// ```text
/// Opening -> Ringing -> Answered -> Ended
///    |          |___________________^
///    +-> removed, if the engine refuses the first offer
/// ```
#[derive(Debug)]
pub(super) enum CallLifecycle {
    /// The engine has not confirmed the first offer.
    Opening,
    /// Offered, not answered.
    Ringing,
    /// An answer was applied.
    Answered,
    /// Ended in the engine; kept for `query`, `list` and a second `delete`.
    Ended(Box<EndedCall>),
}

/// What remains of a call that has ended.
#[derive(Debug)]
pub(super) struct EndedCall {
    /// Its last report; `None` if the engine lost the call.
    pub(super) report: Option<Box<CallReport>>,
    /// `None` if the call never opened.
    pub(super) verdict: Option<Arc<CallVerdict>>,
    /// Ended calls are numbered in the order of their ends. Written by the table.
    pub(super) number: u64,
}

/// What is to be done as soon as nothing is in flight.
#[derive(Debug, Default)]
pub(super) struct WaitingWork {
    /// Requests, oldest first.
    requests: VecDeque<(ReplyTo, Verb)>,
    /// The call is to end by a `delete` when no request waits any more.
    ends_after_requests: bool,
    /// Legs of links to other calls that are to be removed.
    pub(super) removed_links: Vec<LegId>,
    /// The call is to end.
    pub(super) end: Option<EndedBy>,
}

/// What has become of a request for a busy call.
#[derive(Debug)]
pub(super) enum Enqueued {
    /// It waits.
    Waits,
    /// Too many wait.
    Refused(ReplyTo),
    /// A `delete`, and too many of them wait. The call ends when the waiting requests are done.
    CallEnds(ReplyTo),
}

impl WaitingWork {
    /// The requests that wait, oldest first.
    pub(super) fn take_requests(&mut self) -> VecDeque<(ReplyTo, Verb)> {
        std::mem::take(&mut self.requests)
    }

    /// True, once, if the call is to end by a `delete` and no request waits any more.
    pub(super) fn take_end_after_requests(&mut self) -> bool {
        self.requests.is_empty() && std::mem::take(&mut self.ends_after_requests)
    }
}

/// What is known of one leg.
#[derive(Debug, Default)]
pub(super) struct LegRecord {
    /// Where it is bound; `None` until the engine has opened it.
    pub(super) ports: Option<LegPorts>,
    /// Its peer has not announced that it will not send.
    pub(super) receiving: bool,
}

/// SIP branches of a call: an offer that a proxy forks has one per destination.
#[derive(Debug, Default)]
pub(super) struct Branches {
    /// Branches that were not deleted, oldest first.
    live: VecDeque<String>,
    answered: Option<String>,
}

/// Effect of a `delete` for one branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BranchDelete {
    /// No offer or answer had this branch.
    Unknown,
    /// The call goes on with its other branches.
    OthersRemain,
    /// The call ends.
    Last,
}

impl Branches {
    /// Remembers the branch of an offer or an answer.
    pub(super) fn add(&mut self, branch: &str) {
        if !self.live.iter().any(|known| known == branch) {
            if self.live.len() >= BRANCHES_MAX {
                self.live.pop_front();
            }
            self.live.push_back(branch.to_owned());
        }
    }

    /// The branch of an answer.
    pub(super) fn answered_by(&mut self, branch: String) {
        self.answered = Some(branch);
    }

    /// Removes a branch, unless the call ends with it: the only one, or the one that answered.
    pub(super) fn delete(&mut self, branch: &str) -> BranchDelete {
        if self.live.is_empty() {
            return BranchDelete::Last;
        }
        let Some(index) = self.live.iter().position(|known| known == branch) else { return BranchDelete::Unknown };
        if self.live.len() == 1 || self.answered.as_deref() == Some(branch) {
            return BranchDelete::Last;
        }
        self.live.remove(index);
        BranchDelete::OthersRemain
    }
}

impl CallRecord {
    pub(super) fn new(id: CallId, name: String, shard: usize, now: Instant) -> Self {
        Self {
            id,
            name,
            shard,
            created: now,
            last_signal: now,
            state: CallLifecycle::Opening,
            session: Session::default(),
            in_flight: None,
            waiting: WaitingWork::default(),
            branches: Branches::default(),
            legs: LegMap::default(),
            history: CallHistory::default(),
            progress: CallProgress::default(),
            due: None,
            gate_due: None,
        }
    }

    /// True while the engine is doing something for the call.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight.is_some()
    }

    /// True until the call has ended in the engine.
    pub(super) fn is_live(&self) -> bool {
        self.ended().is_none()
    }

    /// True once the engine has confirmed the first offer.
    pub(super) fn is_opened(&self) -> bool {
        !matches!(self.state, CallLifecycle::Opening)
    }

    pub(super) fn is_answered(&self) -> bool {
        matches!(self.state, CallLifecycle::Answered)
    }

    pub(super) fn ended(&self) -> Option<&EndedCall> {
        match &self.state {
            CallLifecycle::Ended(ended) => Some(ended),
            CallLifecycle::Opening | CallLifecycle::Ringing | CallLifecycle::Answered => None,
        }
    }

    /// The report of a call that has ended.
    pub(super) fn last_report(&self) -> Option<&CallReport> {
        self.ended()?.report.as_deref()
    }

    /// True if no peer is to send, so that silence is no reason to end the call soon.
    pub(super) fn is_held(&self) -> bool {
        !self.legs.iter().any(|(_, leg)| leg.receiving)
    }

    /// Puts a request behind the command in flight, and behind the requests that wait.
    pub(super) fn enqueue(&mut self, reply_to: ReplyTo, verb: Verb) -> Enqueued {
        let is_delete = |verb: &Verb| matches!(verb, Verb::Delete(_));
        let requests = &mut self.waiting.requests;
        let of_this_kind = requests.iter().filter(|(_, waiting)| is_delete(waiting) == is_delete(&verb)).count();
        match is_delete(&verb) {
            true if of_this_kind >= DELETES_MAX => {
                self.waiting.ends_after_requests = true;
                return Enqueued::CallEnds(reply_to);
            }
            false if of_this_kind >= QUEUE_MAX => return Enqueued::Refused(reply_to),
            _ => {}
        }
        requests.push_back((reply_to, verb));
        Enqueued::Waits
    }

    /// What negotiation knows of the call.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Replaces the session by one that the engine has applied. Returns the previous one.
    pub(super) fn commit_session(&mut self, session: Session) -> Session {
        std::mem::replace(&mut self.session, session)
    }

    /// Removes legs of links to other calls; returns those that were there.
    pub(super) fn remove_links(&mut self, mut legs: Vec<LegId>) -> Vec<LegId> {
        legs.retain(|leg| self.session.is_link(*leg));
        legs.iter().for_each(|leg| self.session.remove_leg(*leg));
        legs
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

    /// The state of a party's gate; `None` if it has none.
    pub(super) fn gate(&self, leg: LegId) -> Option<GateState> {
        self.session.gates().find(|(gated, _)| *gated == leg).map(|(_, state)| state)
    }
}
