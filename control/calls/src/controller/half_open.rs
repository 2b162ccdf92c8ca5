//! Calls that are offered and not answered, and their share of the media ports. An offer costs its sender one datagram; without a limit,
//! offers that are never answered take every port, and each good call is refused until they expire (decision 0017).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use trestle_core::CallId;
use trestle_negotiate::NegotiationStep;
use trestle_ng::command::Signal;

use super::reply_to::Origin;
use super::{Controller, ending};
use crate::ended::EndedBy;

/// Calls without an answer, by the address of the party that offers.
#[derive(Debug, Default)]
pub(super) struct HalfOpenCalls {
    calls: BTreeMap<CallId, HalfOpenCall>,
    callers: BTreeMap<IpAddr, CallerShare>,
    legs: usize,
}

#[derive(Debug)]
struct HalfOpenCall {
    caller: IpAddr,
    legs: usize,
    /// A packet of a party has been accepted.
    has_media: bool,
}

#[derive(Debug, Default)]
struct CallerShare {
    legs: usize,
    /// In the order in which they make room: those without a packet first, of these the oldest.
    calls: BTreeSet<(bool, CallId)>,
}

impl HalfOpenCalls {
    /// Adds a call.
    pub(super) fn add(&mut self, id: CallId, caller: IpAddr, legs: usize) {
        self.remove(id);
        self.insert(id, HalfOpenCall { caller, legs, has_media: false });
    }

    /// Removes a call that was answered or has ended.
    pub(super) fn remove(&mut self, id: CallId) -> bool {
        self.take(id).is_some()
    }

    /// Sets the number of legs of a call, if it is half open.
    pub(super) fn set_legs(&mut self, id: CallId, legs: usize) {
        if let Some(call) = self.take(id) {
            self.insert(id, HalfOpenCall { legs, ..call });
        }
    }

    /// Notes that a packet of a party of this call was accepted.
    pub(super) fn note_media(&mut self, id: CallId) {
        if let Some(call) = self.take(id) {
            self.insert(id, HalfOpenCall { has_media: true, ..call });
        }
    }

    /// Legs of a call, 0 if it is not half open.
    fn legs_of(&self, id: CallId) -> usize {
        self.calls.get(&id).map_or(0, |call| call.legs)
    }

    /// The call to end, so that `legs` more fit below `limit`, but not `except`: one of the caller with the most legs. `None` if they
    /// fit, or if there is no call to end.
    fn surplus(&self, legs: usize, limit: usize, except: Option<CallId>) -> Option<CallId> {
        if self.legs + legs <= limit {
            return None;
        }
        let first = |share: &CallerShare| share.calls.iter().find(|(_, id)| Some(*id) != except).copied();
        let candidates = self.callers.values().filter_map(|share| Some((share.legs, first(share)?)));
        candidates.max_by_key(|(legs, call)| (*legs, std::cmp::Reverse(*call))).map(|(_, (_, id))| id)
    }

    fn insert(&mut self, id: CallId, call: HalfOpenCall) {
        let share = self.callers.entry(call.caller).or_default();
        share.legs += call.legs;
        share.calls.insert((call.has_media, id));
        self.legs += call.legs;
        self.calls.insert(id, call);
    }

    fn take(&mut self, id: CallId) -> Option<HalfOpenCall> {
        let call = self.calls.remove(&id)?;
        self.legs -= call.legs;
        if let Some(share) = self.callers.get_mut(&call.caller) {
            share.legs -= call.legs;
            share.calls.remove(&(call.has_media, id));
            if share.calls.is_empty() {
                self.callers.remove(&call.caller);
            }
        }
        Some(call)
    }
}

/// Who offers a call: the sender of the signalling message if the proxy names it, else the address of its media, else the proxy. A
/// network of IPv6 addresses that one subscriber has (64 bits) counts as one.
pub(super) fn caller(signal: &Signal, step: &NegotiationStep, origin: Origin) -> IpAddr {
    let media = step.caller.filter(|address| !address.is_unspecified() && !address.is_loopback());
    match signal.received_from.or(media).unwrap_or_else(|| origin.peer().ip()) {
        IpAddr::V6(address) => IpAddr::from((u128::from(address) >> 64 << 64).to_be_bytes()),
        address => address,
    }
}

/// Ends half-open calls until an offer that needs `legs` has room. `call` is the call of the offer, if it exists already.
pub(super) fn make_room(controller: &mut Controller, call: Option<CallId>, legs: usize) {
    let Some(limit) = controller.config.half_open_legs else { return };
    let more = legs.saturating_sub(call.map_or(0, |id| controller.calls.half_open.legs_of(id)));
    if more == 0 {
        return;
    }
    while let Some(id) = controller.calls.half_open.surplus(more, limit, call) {
        // Counted as ended at once: the engine ends it later.
        controller.calls.half_open.remove(id);
        if let Some(call) = controller.calls.get(id) {
            tracing::warn!(call_id = ?call.name, "too many calls without an answer; the oldest of its caller is ended");
        }
        ending::end(controller, id, EndedBy::HalfOpenLimit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn the_caller_with_the_most_legs_loses_its_oldest_call_without_a_packet() {
        let mut half_open = HalfOpenCalls::default();
        half_open.add(CallId(1), address(1), 2);
        for id in 2..=5 {
            half_open.add(CallId(id), address(9), 2);
        }
        half_open.note_media(CallId(2));
        assert_eq!(half_open.surplus(2, 12, None), None, "there is room");
        for (id, kept) in [(3, 1), (4, 1), (5, 1)] {
            assert_eq!(half_open.surplus(2, 10, None), Some(CallId(id)));
            half_open.remove(CallId(id));
            half_open.add(CallId(10 + id), address(2), 2);
            assert_eq!(half_open.legs_of(CallId(kept)), 2);
        }
        // Of equal shares the oldest call; but one without a packet before one with.
        half_open.remove(CallId(14));
        half_open.remove(CallId(15));
        assert_eq!(half_open.surplus(9, 10, None), Some(CallId(1)));
        assert_eq!(half_open.surplus(9, 10, Some(CallId(1))), Some(CallId(13)), "not the call of the offer");
    }

    #[test]
    fn an_answer_or_an_end_gives_the_share_back() {
        let mut half_open = HalfOpenCalls::default();
        half_open.add(CallId(1), address(1), 2);
        half_open.set_legs(CallId(1), 5);
        half_open.set_legs(CallId(7), 5);
        assert_eq!((half_open.legs, half_open.callers.len()), (5, 1));
        assert!(half_open.remove(CallId(1)) && !half_open.remove(CallId(1)));
        assert_eq!((half_open.legs, half_open.calls.len(), half_open.callers.len()), (0, 0, 0));
        assert_eq!(half_open.surplus(2, 0, None), None, "a limit of none ends no call that does not exist");
    }
}
