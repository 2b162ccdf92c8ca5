//! Events for applications: numbered, written, and sent to subscribers and to the edge. What an event means is in
//! [`crate::events`].

use std::sync::Arc;
use std::time::Instant;

use trestle_core::report::CallReport;
use trestle_core::{Epoch, LegId};
use trestle_negotiate::Party;
use trestle_ng::command::Subscribe;
use trestle_ng::{Dict, Reply};

use super::call::CallRecord;
use super::counters::Tally;
use super::ng_door::NgDoor;
use super::reply_to::{Origin, ReplyTo};
use super::subscribers::{Subscribers, TokenKey};
use super::{Controller, ControllerOutput, Outbox};
use crate::events::{CallEvent, EndedLeg, EventBody, PartyName};

/// Numbers events and sends them.
#[derive(Debug)]
pub(super) struct EventFeed {
    epoch: Epoch,
    /// Events go to the edge too.
    publish: bool,
    subscribers: Subscribers,
    tokens: TokenKey,
    last_id: u64,
    /// Events by name, whether or not they were sent.
    pub(super) counts: Tally<&'static str>,
}

impl EventFeed {
    /// No subscriber yet. `secret` is the key of the tokens of subscribers.
    pub(super) fn new(epoch: Epoch, publish: bool, secret: &[u8; 32]) -> Self {
        Self {
            epoch,
            publish,
            subscribers: Subscribers::default(),
            tokens: TokenKey::new(secret),
            // Numbers go on rising after a restart, unless there were more than a million events a second.
            last_id: u64::try_from(epoch.unix.as_micros()).unwrap_or_default(),
            counts: Tally::default(),
        }
    }

    /// Events have the time of this clock from now on. Their numbers go on rising.
    pub(super) fn set_wall_clock(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// Notes an event in the history of its call and sends it. `leg` is the leg of the party that it is about.
    pub(super) fn emit(
        &mut self,
        now: Instant,
        call: &mut CallRecord,
        leg: Option<LegId>,
        body: EventBody,
        (door, outbox): (&NgDoor, &mut Outbox),
    ) {
        let after = now.saturating_duration_since(call.created);
        call.history.note(after, leg, &body);
        // The events of a leg that links another call are emitted by that call.
        if leg.is_some_and(|leg| call.session().is_link(leg)) {
            return;
        }
        self.counts.add(body.name());
        self.subscribers.expire(now);
        if !self.publish && self.subscribers.is_empty() {
            return;
        }
        self.last_id += 1;
        let event = CallEvent {
            id: self.last_id,
            unix: self.epoch.unix_at(now),
            after,
            call_id: call.name.clone(),
            party: leg.map(|leg| party_name(call.party(leg))),
            body,
        };
        let line: Arc<str> = event.line().into();
        for (to, signed) in self.subscribers.of(&event.call_id) {
            outbox.push_back(ControllerOutput::Transmit { to, bytes: door.event(now, signed, line.as_bytes()) });
        }
        if self.publish {
            outbox.push_back(ControllerOutput::Publish(line));
        }
    }
}

/// `subscribe events`
pub(super) fn subscribe(controller: &mut Controller, now: Instant, reply_to: ReplyTo, subscribe: Subscribe) {
    let origin @ Origin::Udp { peer, .. } = reply_to.origin else {
        let text = "events are sent as datagrams to the sender of the request; use UDP, listen-events or event-webhook";
        return controller.reply(reply_to, Reply::error(text));
    };
    let unix = controller.epoch.unix_at(now);
    if !controller.events.tokens.is_confirmed(unix, peer, subscribe.token.as_deref()) {
        let token = controller.events.tokens.token(unix, peer);
        let reason = "Confirmation required: send this request again with the token";
        return controller.reply(reply_to, Reply::error_with(reason, Dict::default().with("token", token)));
    }
    let seconds = subscribe.expires.as_secs();
    let reply = match controller.events.subscribers.add(now, origin, reply_to.signed, subscribe) {
        true => Reply::ok(Dict::default().with("expires", seconds)),
        false => Reply::error("Too many subscribers"),
    };
    controller.reply(reply_to, reply);
}

fn party_name(party: Option<&Party>) -> PartyName {
    PartyName {
        tag: party.and_then(|party| party.tags().first()).cloned(),
        label: party.and_then(Party::label).map(str::to_owned),
    }
}

/// What the end event states of each party.
pub(super) fn ended_legs(call: &CallRecord, report: Option<&CallReport>) -> Vec<EndedLeg> {
    let legs = report.into_iter().flat_map(|report| &report.legs).filter(|leg| !call.session().is_link(leg.leg));
    legs.map(|leg| {
        let PartyName { tag, label } = party_name(call.party(leg.leg));
        EndedLeg {
            tag,
            label,
            packets_in: leg.rtp_in.packets,
            packets_out: leg.rtp_out.packets,
            packets_lost: leg.lost,
            concealed_frames: leg.concealed_frames,
            filled_frames: leg.filled_frames,
            preroll: leg.preroll.kept,
            clipped: leg.preroll.clipped,
            caught_up: leg.preroll.caught_up,
        }
    })
    .collect()
}
