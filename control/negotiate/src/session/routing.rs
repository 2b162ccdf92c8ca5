//! Which party takes its audio from which, after an offer, an answer or `connect`.

use trestle_core::LegId;
use trestle_core::plan::Source;

use crate::party::Party;

/// An offer or an answer makes the parties at `one` and `other` each other's peers. Returns the legs that have no source any
/// more.
///
/// An answer sets the source of both. Other parties whose source was one of the two have none then: after a transfer the party
/// that transferred the call receives nothing of it. An offer only fills an empty source, and only from a party that is not in
/// a conversation with another one.
///
/// Nor does an offer change the peer of a party that is in a conversation.
///
/// Two parties that `connect` has joined are separated only by an exchange with a party that is new. A party that was left
/// behind may re-offer (session timers, RFC 4028) without effect on them.
pub(crate) fn pair(parties: &mut [Party], one: usize, other: usize, answered: bool) -> Vec<LegId> {
    let (first, second) = (&parties[one], &parties[other]);
    let joined_elsewhere = |party: &Party, to: &Party| connected_to(parties, party).is_some_and(|leg| leg != to.leg());
    let is_new = !(first.answered() && second.answered());
    if !is_new && (joined_elsewhere(first, second) || joined_elsewhere(second, first)) {
        return Vec::new();
    }
    let talks_to = |party: &Party| match party.source() {
        Source::Leg(leg) => by_leg(parties, leg).filter(|source| source.answered()).map(Party::leg),
        Source::Nothing => None,
    };
    let fills = |listener: &Party, source: &Party| {
        talks_to(listener).is_none() && talks_to(source).is_none_or(|leg| leg == listener.leg())
    };
    let changes =
        [(one, second.leg(), answered || fills(first, second)), (other, first.leg(), answered || fills(second, first))];
    for (listener, source, forwards) in changes {
        let talks = parties[listener].peer().and_then(|leg| by_leg(parties, leg)).is_some_and(Party::answered);
        let routing = &mut parties[listener].routing;
        if answered || !talks {
            routing.set_peer(source);
        }
        if forwards {
            routing.forward_from(source);
        }
    }
    if !answered {
        return Vec::new();
    }
    let pair = [changes[1].1, changes[0].1];
    let mut left = Vec::new();
    for party in parties.iter_mut().filter(|party| !pair.contains(&party.leg())) {
        if pair.iter().any(|leg| party.routing.has_source(*leg)) {
            party.routing.disconnect();
            left.push(party.leg());
        }
    }
    left
}

/// `connect`: two legs are each other's source, and the source of no other party.
pub(super) fn join(parties: &mut [Party], one: LegId, other: LegId) {
    for party in parties {
        match party.leg() {
            leg if leg == one => party.routing.connect_to(other),
            leg if leg == other => party.routing.connect_to(one),
            _ if party.routing.has_source(one) || party.routing.has_source(other) => party.routing.disconnect(),
            _ => {}
        }
    }
}

/// The leg that `connect` has joined to this party, while the two are each other's source.
fn connected_to(parties: &[Party], party: &Party) -> Option<LegId> {
    let Source::Leg(leg) = party.source() else { return None };
    let other = by_leg(parties, leg)?;
    let both = party.routing.is_connected() && other.routing.is_connected();
    (both && other.routing.has_source(party.leg())).then_some(leg)
}

fn by_leg(parties: &[Party], leg: LegId) -> Option<&Party> {
    parties.iter().find(|party| party.leg() == leg)
}
