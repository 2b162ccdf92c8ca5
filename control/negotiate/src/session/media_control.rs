//! Requests that change a call without an SDP: `block`, `silence`, `connect`, `gate`, and the targets of `play DTMF`.

use trestle_core::LegId;
use trestle_core::plan::{AudioMuting, LegPlan, Muting, Source};

use super::{Session, routing};
use crate::party::{GateState, Party, PartyGate};
use trestle_ng::command::flags::ProfileName;
use trestle_ng::command::{BlockRequest, Connect, GateRequest, PlayDigit, TargetParty};

/// A change of a call, to be committed once the engine has applied its plans.
#[derive(Debug)]
pub struct SessionChange {
    /// The session after the change.
    pub session: Session,
    /// Plans that differ from what they were.
    pub legs: Vec<(LegId, LegPlan)>,
}

/// Why a request about media fails. The texts are part of the ng protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartyLookupError {
    /// `label` names no party.
    #[error("No monologue matching the given label")]
    UnknownLabel,
    /// `address` is the media address of no party.
    #[error("Failed to match address to any tag")]
    UnknownAddress,
    /// `from-tag` names no party.
    #[error("From-tag given, but no such tag exists")]
    UnknownFromTag,
    /// `to-tag` names no party.
    #[error("To-tag not found")]
    UnknownToTag,
    /// The party is the source of no leg whose format is agreed.
    #[error("There is no sink media capable of DTMF playback")]
    NoSink,
    /// No party of the call has a gate.
    #[error("No gate in this call: neither party is WhatsApp")]
    NoGate,
    /// The named party has no gate.
    #[error("No gate: that party is not WhatsApp")]
    NotGated,
    /// The gate was closed before.
    #[error("Gate is closed: nothing will leave on this call any more; use another call-id for another call")]
    GateClosed,
    /// Both tags name the same party.
    #[error("from-tag and to-tag name the same party")]
    SameParty,
    /// One of the two parties has not answered.
    #[error("a party that has not answered cannot be connected")]
    NotAnswered,
    /// The call has no room for the leg of a link.
    #[error("the call has too many parties")]
    TooManyParties,
}

impl Session {
    /// `block ...`, `silence ...` and their opposites. For all parties it also holds for parties to come; its opposite for all
    /// parties also ends what was set for one.
    ///
    /// # Errors
    ///
    /// The request names no party of the call.
    pub fn block(&self, block: &BlockRequest) -> Result<SessionChange, PartyLookupError> {
        let mut session = self.clone();
        match find(self, &block.target)? {
            Some(index) => session.parties[index].muted.set(block.media, block.block),
            None => {
                session.muted.set(block.media, block.block);
                if !block.block {
                    session.parties.iter_mut().for_each(|party| party.muted.set(block.media, false));
                }
            }
        }
        Ok(self.change_to(session))
    }

    /// `connect` within a call: from now on the two are each other's source, and the source of no other party.
    ///
    /// # Errors
    ///
    /// The tags do not name two parties that have answered.
    pub fn connect(&self, connect: &Connect) -> Result<SessionChange, PartyLookupError> {
        let from = self.index_of_tag(&connect.from_tag).ok_or(PartyLookupError::UnknownFromTag)?;
        let to = self.index_of_tag(&connect.to_tag).ok_or(PartyLookupError::UnknownToTag)?;
        if from == to {
            return Err(PartyLookupError::SameParty);
        }
        let mut session = self.clone();
        if !(session.parties[from].answered() && session.parties[to].answered()) {
            return Err(PartyLookupError::NotAnswered);
        }
        let legs = (session.parties[from].leg(), session.parties[to].leg());
        routing::join(&mut session.parties, legs.0, legs.1);
        Ok(self.change_to(session))
    }

    /// The legs whose peers get a digit that is played for a party.
    ///
    /// # Errors
    ///
    /// The request names no party of the call, or its party is the source of no leg.
    pub fn digit_sinks(&self, play: &PlayDigit) -> Result<Vec<LegId>, PartyLookupError> {
        let Some(from) = find(self, &play.target)? else { return Err(PartyLookupError::NoSink) };
        let leg = self.parties[from].leg();
        let to = match &play.to_tag {
            Some(tag) => Some(self.index_of_tag(tag).ok_or(PartyLookupError::UnknownToTag)?),
            None => None,
        };
        let is_sink = |index: usize, party: &Party| {
            party.routing.has_source(leg) && party.send_format().is_some() && to.is_none_or(|to| to == index)
        };
        let parties = self.parties.iter().enumerate();
        let sinks: Vec<LegId> =
            parties.filter(|(index, party)| is_sink(*index, party)).map(|(_, party)| party.leg()).collect();
        if sinks.is_empty() { Err(PartyLookupError::NoSink) } else { Ok(sinks) }
    }

    /// True if the digits of a leg's peer are not forwarded.
    pub fn mutes_digits_of(&self, leg: LegId) -> bool {
        self.party(leg).map_or(self.muted, |source| source.muted.or(self.muted)).mutes_digits()
    }

    /// `gate`: opens or closes.
    ///
    /// # Errors
    ///
    /// The request names no party with a gate, or opens gates that are all closed.
    pub fn change_gate(&self, to: &GateRequest) -> Result<SessionChange, PartyLookupError> {
        let one = find(self, &to.target)?;
        let mut session = self.clone();
        let named = session.parties.iter_mut().enumerate().filter(|(index, _)| one.is_none_or(|one| one == *index));
        let mut gates: Vec<&mut PartyGate> = named.filter_map(|(_, party)| party.gate.as_mut()).collect();
        if gates.is_empty() {
            return Err(if to.target == TargetParty::All {
                PartyLookupError::NoGate
            } else {
                PartyLookupError::NotGated
            });
        }
        if to.open && gates.iter().all(|gate| gate.state() == GateState::Closed) {
            return Err(PartyLookupError::GateClosed);
        }
        for gate in &mut gates {
            if to.open { gate.open(to.drop_pre_roll) } else { gate.close() }
        }
        Ok(self.change_to(session))
    }

    /// The shut gates of parties that have answered were not opened in time.
    pub fn time_out_gates(&self) -> SessionChange {
        let mut session = self.clone();
        let answered = session.parties.iter_mut().filter(|party| party.answered());
        answered.filter_map(|party| party.gate.as_mut()).for_each(PartyGate::time_out);
        self.change_to(session)
    }
}

/// What a party does not get of its source. A stream towards WhatsApp or a browser never stops, so there silence replaces
/// media that is blocked; SIP phones get no packets.
pub(super) fn muting(session: &Session, party: &Party) -> Muting {
    let Source::Leg(leg) = party.source() else { return Muting::default() };
    let muted = session.party(leg).map_or(session.muted, |source| source.muted.or(session.muted));
    let audio = match (muted.mutes_media(), party.profile()) {
        (true, ProfileName::Sip) => AudioMuting::NoPackets,
        (true, ProfileName::Whatsapp | ProfileName::Webrtc) => AudioMuting::Silence,
        (false, _) if muted.mutes_audio() => AudioMuting::Silence,
        (false, _) => AudioMuting::Off,
    };
    Muting { audio, digits: muted.mutes_digits() }
}

/// The party that a request names; `None` for all parties.
fn find(session: &Session, target: &TargetParty) -> Result<Option<usize>, PartyLookupError> {
    let position = |is: &dyn Fn(&Party) -> bool| session.parties.iter().position(is);
    match target {
        TargetParty::All => return Ok(None),
        TargetParty::Label(label) => {
            position(&|party| party.label() == Some(label)).ok_or(PartyLookupError::UnknownLabel)
        }
        TargetParty::Address(address) => {
            let has_address =
                |party: &Party| party.remote().is_some_and(|remote| remote.addresses.rtp.ip() == *address);
            position(&has_address).ok_or(PartyLookupError::UnknownAddress)
        }
        TargetParty::Tag(tag) => session.index_of_tag(tag).ok_or(PartyLookupError::UnknownFromTag),
    }
    .map(Some)
}
