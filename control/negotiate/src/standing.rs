//! What is changed in a call that stands, without an SDP: what of a party's media the others get, and who hears whom.

use trestle_core::LegId;
use trestle_core::plan::{AudioMuting, LegPlan, Muting, Source};

use super::party::Party;
use super::session::Session;
use trestle_ng::command::flags::ProfileName;
use trestle_ng::command::{Block, Connect, PlayDigit, Subject, Whom};

/// What of somebody's media is kept from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Blocked {
    pub(crate) digits: bool,
    pub(crate) media: bool,
    pub(crate) audio: bool,
}

impl Blocked {
    fn set(&mut self, subject: Subject, on: bool) {
        match subject {
            Subject::Digits => self.digits = on,
            Subject::Media => self.media = on,
            Subject::Audio => self.audio = on,
        }
    }
}

/// A call as it is to be, and the plans that make it so.
#[derive(Debug)]
pub struct Change {
    /// The session from now on, provided that the engine takes the plans.
    pub session: Session,
    /// Plans that differ from what they were.
    pub legs: Vec<(LegId, LegPlan)>,
}

/// Why a party or its listeners cannot be found. The texts are the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StandingError {
    /// `label`
    #[error("No monologue matching the given label")]
    UnknownLabel,
    /// `address`
    #[error("Failed to match address to any tag")]
    UnknownAddress,
    /// `from-tag`
    #[error("From-tag given, but no such tag exists")]
    UnknownFromTag,
    /// `to-tag`
    #[error("To-tag not found")]
    UnknownToTag,
    /// Nobody hears the party, or nobody's format is known yet.
    #[error("There is no sink media capable of DTMF playback")]
    NoSink,
    /// Nobody in the call has a gate.
    #[error("No gate in this call: neither party is WhatsApp")]
    NoGate,
    /// The named party has none.
    #[error("No gate: that party is not WhatsApp")]
    NotGated,
    /// It was closed before.
    #[error("Gate is closed: nothing will leave on this call any more; use another call-id for another call")]
    GateClosed,
    /// Both tags are names of one party.
    #[error("from-tag and to-tag name the same party")]
    SameParty,
    /// One of them has not answered yet.
    #[error("a party that has not answered cannot be connected")]
    NotAnswered,
    /// No room for a leg that reaches into the other call.
    #[error("the call has too many parties")]
    TooManyParties,
}

impl Session {
    /// `block ...`, `silence ...` and their opposites. Said of everybody it holds for parties to come as well, and taking
    /// it back from everybody takes it back from each.
    pub fn block(&self, block: &Block) -> Result<Change, StandingError> {
        let mut session = self.clone();
        match self.find(&block.whom)? {
            Some(index) => session.parties[index].blocked.set(block.subject, block.on),
            None => {
                session.blocked.set(block.subject, block.on);
                if !block.on {
                    session.parties.iter_mut().for_each(|party| party.blocked.set(block.subject, false));
                }
            }
        }
        Ok(self.change_to(session))
    }

    /// `connect` within a call: the two hear each other from now on, and nobody else hears or is heard by either.
    pub fn connect(&self, connect: &Connect) -> Result<Change, StandingError> {
        let from = self.index_of_tag(&connect.from_tag).ok_or(StandingError::UnknownFromTag)?;
        let to = self.index_of_tag(&connect.to_tag).ok_or(StandingError::UnknownToTag)?;
        if from == to {
            return Err(StandingError::SameParty);
        }
        let mut session = self.clone();
        if !(session.parties[from].answered && session.parties[to].answered) {
            return Err(StandingError::NotAnswered);
        }
        session.join(session.parties[from].leg, session.parties[to].leg);
        Ok(self.change_to(session))
    }

    /// Two legs hear each other, and nobody else hears or is heard by either.
    pub(super) fn join(&mut self, one: LegId, other: LegId) {
        for party in &mut self.parties {
            if party.leg == one || party.leg == other {
                let heard = if party.leg == one { other } else { one };
                (party.hears, party.peer) = (Source::Leg(heard), Some(heard));
                party.joined = true;
            } else if matches!(party.hears, Source::Leg(leg) if leg == one || leg == other) {
                party.hears = Source::Nothing;
            }
        }
    }

    /// Whom `connect` has given to this party, while the two have nobody else.
    pub(super) fn joined_to(&self, party: &Party) -> Option<LegId> {
        let Source::Leg(leg) = party.hears else { return None };
        let other = self.party(leg)?;
        (party.joined && other.joined && other.hears == Source::Leg(party.leg)).then_some(leg)
    }

    /// The legs whose peers get a digit that is played for a party.
    pub fn digit_sinks(&self, play: &PlayDigit) -> Result<Vec<LegId>, StandingError> {
        let Some(from) = self.find(&play.whom)? else { return Err(StandingError::NoSink) };
        let leg = self.parties[from].leg;
        let to = match &play.to_tag {
            Some(tag) => Some(self.index_of_tag(tag).ok_or(StandingError::UnknownToTag)?),
            None => None,
        };
        let takes_it = |index: usize, party: &Party| {
            party.hears == Source::Leg(leg) && party.send.is_some() && to.is_none_or(|to| to == index)
        };
        let parties = self.parties.iter().enumerate();
        let sinks: Vec<LegId> = parties.filter(|(i, party)| takes_it(*i, party)).map(|(_, party)| party.leg).collect();
        if sinks.is_empty() { Err(StandingError::NoSink) } else { Ok(sinks) }
    }

    /// The plan for a party's leg as things stand.
    pub(super) fn plan(&self, party: &Party) -> LegPlan {
        let mut plan = party.plan();
        plan.send.muting = self.muting(party);
        plan
    }

    /// What a party is not sent of its source. A stream towards WhatsApp or a browser never stops, so there silence replaces
    /// blocked media; SIP phones are sent no packets, as `block media` requires.
    fn muting(&self, listener: &Party) -> Muting {
        let Source::Leg(leg) = listener.hears else { return Muting::default() };
        let own = self.party(leg).map_or_else(Blocked::default, |speaker| speaker.blocked);
        let media = own.media || self.blocked.media;
        let audio = match (media, listener.profile) {
            (true, ProfileName::Sip) => AudioMuting::NoPackets,
            (true, ProfileName::Whatsapp | ProfileName::Webrtc) => AudioMuting::Silence,
            (false, _) if own.audio || self.blocked.audio => AudioMuting::Silence,
            (false, _) => AudioMuting::Off,
        };
        Muting { audio, digits: self.withholds_digits(leg) }
    }

    /// True if the digits of a leg's peer are kept from the others.
    pub fn withholds_digits(&self, leg: LegId) -> bool {
        let own = self.party(leg).map_or_else(Blocked::default, |speaker| speaker.blocked);
        own.digits || own.media || self.blocked.digits || self.blocked.media
    }

    pub(super) fn change_to(&self, session: Self) -> Change {
        let before = |leg: LegId| self.party(leg).map(|party| self.plan(party));
        let plans = session.parties.iter().map(|party| (party.leg, session.plan(party)));
        let legs = plans.filter(|(leg, plan)| before(*leg).as_ref() != Some(plan)).collect();
        Change { session, legs }
    }

    pub(super) fn find(&self, whom: &Whom) -> Result<Option<usize>, StandingError> {
        let position = |is: &dyn Fn(&Party) -> bool| self.parties.iter().position(is);
        match whom {
            Whom::Everybody => return Ok(None),
            Whom::Label(label) => {
                position(&|party| party.label.as_ref() == Some(label)).ok_or(StandingError::UnknownLabel)
            }
            Whom::Address(address) => {
                let said = |party: &Party| party.remote.as_ref().is_some_and(|remote| remote.rtp.ip() == *address);
                position(&said).ok_or(StandingError::UnknownAddress)
            }
            Whom::Tag(tag) => self.index_of_tag(tag).ok_or(StandingError::UnknownFromTag),
        }
        .map(Some)
    }
}
