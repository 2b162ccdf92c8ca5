//! Requests about the media of a call that stands: `play DTMF`, `block ...`, `silence ...`, `connect`.

use trestle_core::{CallId, Command, CommandError, Reply as EngineReply};

use super::call::{ReplyTo, Work};
use super::{Controller, EngineResult, Output};
use trestle_negotiate::{Change, Session, StandingError};
use trestle_ng::command::{Block, Connect, PlayDigit};
use trestle_ng::{Dict, Reply};

/// With a capital D in all requests of this file, as proxies know it.
pub(super) const UNKNOWN_CALL: &str = "Unknown call-ID";

impl Controller {
    pub(super) fn play_digit(&mut self, reply_to: ReplyTo, play: &PlayDigit) {
        let Some(call) = self.table.by_name(&play.call_id).filter(|call| call.is_live()) else {
            return self.answer(reply_to, Reply::error(UNKNOWN_CALL));
        };
        let (id, shard) = (call.id, call.shard);
        let mut sinks = match call.session.digit_sinks(play) {
            Ok(sinks) => sinks.into_iter(),
            Err(error) => return self.answer(reply_to, Reply::error(error.to_string())),
        };
        let command = |leg| {
            let PlayDigit { digit, duration, volume, .. } = *play;
            Command::PlayDigit { call: id, leg, digit, duration, volume }
        };
        let Some(first) = sinks.next() else { return };
        // Only forks of a party make more than one; what becomes of these is not waited for.
        for leg in sinks {
            let request = self.next_request_id();
            self.outputs.push_back(Output::Engine { shard, id: request, command: command(leg) });
        }
        self.engine(id, command(first), Work::Media { reply_to, session: None });
    }

    pub(super) fn block(&mut self, reply_to: ReplyTo, block: &Block) {
        self.change(reply_to, &block.call_id, |session| session.block(block));
    }

    pub(super) fn connect(&mut self, reply_to: ReplyTo, connect: &Connect) {
        match &connect.to_call_id {
            None => self.change(reply_to, &connect.call_id, |session| session.connect(connect)),
            Some(to_call_id) => self.connect_calls(reply_to, connect, to_call_id),
        }
    }

    fn change(
        &mut self,
        reply_to: ReplyTo,
        call_id: &str,
        change: impl FnOnce(&Session) -> Result<Change, StandingError>,
    ) {
        let Some(call) = self.table.by_name_mut(call_id).filter(|call| call.is_live()) else {
            return self.answer(reply_to, Reply::error(UNKNOWN_CALL));
        };
        let id = call.id;
        match change(&call.session) {
            Err(error) => self.answer(reply_to, Reply::error(error.to_string())),
            // Remembered for parties to come, or already so.
            Ok(Change { session, legs }) if legs.is_empty() => {
                call.session = session;
                self.answer(reply_to, Reply::ok(Dict::default()));
            }
            Ok(Change { session, legs }) => {
                let work = Work::Media { reply_to, session: Some(Box::new(session)) };
                self.engine(id, Command::Apply { call: id, legs }, work);
            }
        }
    }

    /// The engine has done it, or not; then the call stays as it was.
    pub(super) fn media_done(
        &mut self,
        id: CallId,
        reply_to: ReplyTo,
        session: Option<Box<Session>>,
        result: EngineResult,
    ) {
        let reply = match result {
            Ok(EngineReply::Applied(_) | EngineReply::Done) => {
                if let (Some(session), Some(call)) = (session, self.table.get_mut(id)) {
                    call.session = *session;
                }
                Reply::ok(Dict::default())
            }
            Err(CommandError::GateShut) => Reply::error("Gate is shut: nothing reaches WhatsApp before it is opened"),
            Err(CommandError::NoFormat) => Reply::error(StandingError::NoSink.to_string()),
            Err(CommandError::UnknownCall) => Reply::error(UNKNOWN_CALL),
            Ok(_) => Reply::error("Internal error: an unexpected reply of the engine"),
            Err(error) => Reply::error(format!("Internal error: {error}")),
        };
        self.answer(reply_to, reply);
    }
}
