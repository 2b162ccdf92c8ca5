//! Events for applications: made here, of what the engine and the controller see, and handed to whoever listens.

use std::sync::Arc;
use std::time::Instant;

use trestle_core::report::CallReport;
use trestle_core::{CallId, Event, EventKind, LegId};

use super::call::{Call, ReplyTo};
use super::{Controller, Output};
use crate::diagnosis::CallVerdict;
use crate::ended::EndedBy;
use crate::events::{CallEvent, Ended, EndedLeg, Kind, PartyName};
use trestle_negotiate::Party;
use trestle_ng::command::Subscribe;
use trestle_ng::{Dict, Reply};

impl Controller {
    /// Tells of what has happened to a call, or to the party of one of its legs.
    pub(super) fn emit(&mut self, now: Instant, id: CallId, leg: Option<LegId>, kind: Kind) {
        let Some(call) = self.table.get_mut(id) else { return };
        // What a leg into another call goes through is told by that call.
        if leg.is_some_and(|leg| call.session.is_trunk(leg)) {
            return;
        }
        let after = now.saturating_duration_since(call.created);
        call.notes.take(after, leg, &kind);
        self.counters.events.add(kind.name());
        self.subscribers.forget(now);
        if !self.config.publish_events && self.subscribers.is_empty() {
            return;
        }
        self.last_event += 1;
        let event = CallEvent {
            id: self.last_event,
            unix: self.epoch.unix_at(now),
            after,
            call_id: call.name.clone(),
            party: leg.map(|leg| party_name(call.party(leg))),
            kind,
        };
        let line: Arc<str> = event.line().into();
        for (listener, peer) in self.subscribers.of(&event.call_id) {
            let bytes = line.as_bytes().to_vec();
            self.outputs.push_back(Output::Transmit { listener, peer, bytes });
        }
        if self.config.publish_events {
            self.outputs.push_back(Output::Publish(line));
        }
    }

    /// Tells what there is to tell of an event of the engine.
    pub(super) fn emit_engine_event(&mut self, now: Instant, event: &Event) {
        let id = event.call;
        let told = match event.kind {
            EventKind::Milestone { leg, milestone } => {
                if let Some(kind) = Kind::of_milestone(milestone) {
                    self.emit(now, id, Some(leg), kind);
                }
                self.watch(now, id, leg, |watch| watch.reached(milestone));
                None
            }
            EventKind::Digit { leg, digit, duration, volume, .. } => {
                Some((leg, Kind::Digit { digit, duration, volume }))
            }
            EventKind::LegFailed { leg, reason } => Some((leg, Kind::LegFailed { failure: reason })),
            EventKind::AtRisk { leg, risk, lasted, reached } => {
                self.at_risk(now, id, leg, risk, lasted, reached);
                None
            }
            EventKind::Recovered { leg, risk } => {
                self.recovered(now, id, leg, risk);
                None
            }
            // Told when the call ends for it.
            EventKind::MediaTimeout | EventKind::CallFailed => None,
        };
        if let Some((leg, kind)) = told {
            self.emit(now, id, Some(leg), kind);
        }
    }

    /// Tells of the end of a call.
    pub(super) fn emit_end(&mut self, now: Instant, id: CallId, cause: EndedBy) {
        if matches!(cause, EndedBy::MediaTimeout | EndedBy::SilentTimeout) {
            self.emit(now, id, None, Kind::MediaTimeout);
        }
        self.close_gates(now, id);
        let Some(call) = self.table.get(id).filter(|call| call.opened) else { return };
        let legs = ended_legs(call, call.report.as_deref());
        let ended = Ended { cause, legs, verdict: call.verdict.as_deref().map(CallVerdict::headline) };
        self.emit(now, id, None, Kind::Ended(ended));
    }

    /// `subscribe events`
    pub(super) fn subscribe(&mut self, now: Instant, reply_to: ReplyTo, subscribe: Subscribe) {
        if reply_to.listener == super::NOT_A_SOCKET {
            let text = "events go as datagrams to where the request came from; ask over UDP, or use listen-events or event-webhook";
            return self.answer(reply_to, Reply::error(text));
        }
        let seconds = subscribe.expires.as_secs();
        let reply = match self.subscribers.take(now, reply_to.listener, reply_to.peer, subscribe) {
            true => Reply::ok(Dict::default().with("expires", seconds)),
            false => Reply::error("Too many subscribers"),
        };
        self.answer(reply_to, reply);
    }
}

fn party_name(party: Option<&Party>) -> PartyName {
    PartyName {
        tag: party.and_then(|party| party.tags().first()).cloned(),
        label: party.and_then(Party::label).map(str::to_owned),
    }
}

fn ended_legs(call: &Call, report: Option<&CallReport>) -> Vec<EndedLeg> {
    let legs = report.into_iter().flat_map(|report| &report.legs).filter(|leg| !call.session.is_trunk(leg.leg));
    legs.map(|leg| EndedLeg {
        party: party_name(call.party(leg.leg)),
        packets_in: leg.rtp_in.packets,
        packets_out: leg.rtp_out.packets,
        packets_lost: leg.lost,
        concealed_frames: leg.concealed_frames,
        filled_frames: leg.filled_frames,
        preroll: leg.preroll,
    })
    .collect()
}
