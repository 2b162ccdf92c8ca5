//! Commands to the engine: their request ids, and which call each awaited reply belongs to.

use std::collections::BTreeMap;

use trestle_core::{CallId, Command, CommandError, EngineReply, RequestId};
use trestle_ng::Reply;

use super::{ControllerOutput, Outbox};

const CALL_FAILED: &str = "Internal error: the call has failed";
const MAILBOX_FULL: &str = "Load limit exceeded";

/// What a command led to.
pub(super) type EngineResult = Result<EngineReply, Failure>;

/// Why a command had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The engine refused it.
    Refused(CommandError),
    /// The shard's mailbox was full, so the command did not reach the engine.
    MailboxFull,
    /// The engine lost the call to a bug while the command was pending.
    CallLost,
}

impl Failure {
    /// The error reply; `refused` writes the one for an error of the engine.
    pub(super) fn reply(self, refused: impl FnOnce(CommandError) -> Reply) -> Reply {
        match self {
            Self::Refused(error) => refused(error),
            Self::MailboxFull => Reply::error(MAILBOX_FULL),
            Self::CallLost => Reply::error(CALL_FAILED),
        }
    }
}

/// Numbers commands and remembers which call awaits which reply.
#[derive(Debug, Default)]
pub(super) struct EngineLink {
    last_id: u64,
    awaited: BTreeMap<RequestId, CallId>,
}

impl EngineLink {
    /// Sends a command. `owner` is the call that awaits the reply.
    pub(super) fn request(&mut self, owner: CallId, shard: usize, command: Command, outbox: &mut Outbox) {
        let id = self.post(shard, command, outbox);
        self.awaited.insert(id, owner);
    }

    /// Sends a command whose reply no call awaits.
    pub(super) fn post(&mut self, shard: usize, command: Command, outbox: &mut Outbox) -> RequestId {
        self.last_id += 1;
        let id = RequestId(self.last_id);
        outbox.push_back(ControllerOutput::Engine { shard, id, command });
        id
    }

    /// The call that awaits the reply to `id`. Known once.
    pub(super) fn take_owner(&mut self, id: RequestId) -> Option<CallId> {
        self.awaited.remove(&id)
    }

    /// No reply is awaited for this call any more.
    pub(super) fn forget(&mut self, owner: CallId) {
        self.awaited.retain(|_, call| *call != owner);
    }

    /// True if no call awaits a reply.
    pub(super) fn awaits_nothing(&self) -> bool {
        self.awaited.is_empty()
    }
}
