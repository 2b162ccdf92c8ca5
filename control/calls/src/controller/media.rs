//! Requests about the media of a call: `play DTMF`, `block ...`, `silence ...`, `connect` within the call.

use std::time::Instant;

use trestle_core::limits::DIGITS_WAITING_MAX;
use trestle_core::{CallId, Command, CommandError, EngineReply};
use trestle_negotiate::{PartyLookupError, Session, SessionChange};
use trestle_ng::command::{BlockRequest, Connect, PlayDigit};
use trestle_ng::{Dict, Reply};

use super::engine_link::EngineResult;
use super::in_flight::InFlight;
use super::reply_to::ReplyTo;
use super::{Controller, connect};

/// With a capital D in all requests of this file, as in other engines.
pub(super) const UNKNOWN_CALL: &str = "Unknown call-ID";

/// A request about media that the engine is executing.
#[derive(Debug)]
pub(super) struct MediaChange {
    reply_to: ReplyTo,
    /// The session after it; `None` if it does not change.
    session: Option<Box<Session>>,
}

/// `play DTMF`
pub(super) fn play_digit(controller: &mut Controller, reply_to: ReplyTo, play: &PlayDigit) {
    let Some(call) = controller.calls.live_by_name(&play.call_id) else {
        return controller.reply(reply_to, Reply::error(UNKNOWN_CALL));
    };
    let (id, shard) = (call.id, call.shard);
    let mut sinks = match call.session().digit_sinks(play) {
        Ok(sinks) => sinks.into_iter(),
        Err(error) => return controller.reply(reply_to, Reply::error(error.to_string())),
    };
    let command = |leg| {
        let PlayDigit { digit, duration, volume, .. } = *play;
        Command::PlayDigit { call: id, leg, digit, duration, volume }
    };
    let Some(first) = sinks.next() else { return };
    // Only a party with forks has more than one leg; the reply waits for the first alone.
    for leg in sinks {
        controller.post(shard, command(leg));
    }
    let change = MediaChange { reply_to, session: None };
    controller.submit(id, command(first), InFlight::Media(change));
}

/// `block ...`, `unblock ...`, `silence ...`
pub(super) fn block(controller: &mut Controller, now: Instant, reply_to: ReplyTo, block: &BlockRequest) {
    change(controller, now, reply_to, &block.call_id, |session| session.block(block));
}

/// `connect`
pub(super) fn connect(controller: &mut Controller, now: Instant, reply_to: ReplyTo, request: &Connect) {
    match &request.to_call_id {
        None => change(controller, now, reply_to, &request.call_id, |session| session.connect(request)),
        Some(to_call_id) => connect::connect_calls(controller, reply_to, request, to_call_id),
    }
}

fn change(
    controller: &mut Controller,
    now: Instant,
    reply_to: ReplyTo,
    call_id: &str,
    change: impl FnOnce(&Session) -> Result<SessionChange, PartyLookupError>,
) {
    let Some(call) = controller.calls.live_by_name(call_id) else {
        return controller.reply(reply_to, Reply::error(UNKNOWN_CALL));
    };
    let id = call.id;
    match change(call.session()) {
        Err(error) => controller.reply(reply_to, Reply::error(error.to_string())),
        // No leg changes: it applies to later parties only, or is in effect already.
        Ok(SessionChange { session, legs }) if legs.is_empty() => {
            controller.commit_session(now, id, session, false);
            controller.reply(reply_to, Reply::ok(Dict::default()));
        }
        Ok(SessionChange { session, legs }) => {
            let change = MediaChange { reply_to, session: Some(Box::new(session)) };
            controller.submit(id, Command::Apply { call: id, legs }, InFlight::Media(change));
        }
    }
}

impl MediaChange {
    /// The engine has executed it, or not; then the call stays as it was.
    pub(super) fn finish(self, controller: &mut Controller, now: Instant, id: CallId, result: EngineResult) {
        let reply = match result {
            Ok(EngineReply::Applied(_) | EngineReply::Done) => {
                if let Some(session) = self.session {
                    controller.commit_session(now, id, *session, false);
                }
                Reply::ok(Dict::default())
            }
            Ok(_) => Reply::error("Internal error: an unexpected reply of the engine"),
            Err(failure) => failure.reply(|error| match error {
                CommandError::GateShut => Reply::error("Gate is shut: nothing reaches WhatsApp before it is opened"),
                CommandError::DigitQueueFull => Reply::error(format!(
                    "Busy: digits of {} s wait for this party already; play further digits later",
                    DIGITS_WAITING_MAX.as_secs()
                )),
                CommandError::NoFormat => Reply::error(PartyLookupError::NoSink.to_string()),
                CommandError::UnknownCall => Reply::error(UNKNOWN_CALL),
                error => Reply::error(format!("Internal error: {error}")),
            }),
        };
        controller.reply(self.reply_to, reply);
    }
}
