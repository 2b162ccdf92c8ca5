//! How each party fared, and what happened when.

use std::time::Duration;

use trestle_core::plan::Codec;
use trestle_core::report::{LegReport, Preroll};
use trestle_core::{LegId, Milestone};

use super::facts::{CallFacts, PartyFacts};
use super::loss_permille;
use super::quality::{Quality, Stretch, Way};
use crate::ended::EndedBy;
use crate::events::{PartyName, RiskName};
use trestle_ng::command::flags::ProfileName;

/// Packets heard before their quality is worth a figure: two seconds.
const PACKETS_MIN: u64 = 100;

/// How one party fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegSummary {
    /// Its leg.
    pub leg: LegId,
    /// As a sentence says it.
    pub who: String,
    /// What it is called.
    pub name: PartyName,
    /// Whose rules apply to it.
    pub profile: ProfileName,
    /// What it is sent.
    pub codec: Option<Codec>,
    /// Media taken from it.
    pub packets_in: u64,
    /// Media sent to it.
    pub packets_out: u64,
    /// Of a thousand of its packets, those that never came.
    pub loss_permille: u32,
    /// Of a hundred of ours, those of which it has last said that they never came.
    pub remote_loss_percent: Option<u32>,
    /// Of its packets (RFC 3550 A.8).
    pub jitter: Duration,
    /// To it and back.
    pub round_trip: Option<Duration>,
    /// Frames made up for lost ones on the way to it.
    pub concealed_frames: u64,
    /// Frames that it got because there was nothing to pass on.
    pub filled_frames: u64,
    /// What was kept for it before it could be sent.
    pub preroll: Preroll,
    /// What it heard; `None` if that was too little to tell.
    pub hears: Option<Quality>,
    /// Keys that it pressed.
    pub digits_in: String,
    /// Keys that were sent to it.
    pub digits_out: String,
    /// Its gate was shut at first.
    pub gated: bool,
    /// From the answer, or from when its gate was opened, until it got media.
    pub first_media_after: Option<Duration>,
    /// From the answer until ICE was connected, if that was later.
    pub ice_after: Option<Duration>,
    /// From ICE until DTLS.
    pub dtls_after: Option<Duration>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    /// Since the call was opened.
    pub at: Duration,
    /// Whose leg; `None` for the call.
    pub who: Option<String>,
    /// For people.
    pub what: String,
}

pub(super) fn legs(facts: &CallFacts<'_>) -> Vec<LegSummary> {
    facts.live().map(|(party, leg)| story(facts, party, leg)).collect()
}

fn story(facts: &CallFacts<'_>, party: &PartyFacts, leg: &LegReport) -> LegSummary {
    let at = |milestone| facts.at(leg.leg, milestone);
    let between = |from: Option<Duration>, to: Option<Duration>| Some(to?.saturating_sub(from?));
    LegSummary {
        leg: leg.leg,
        who: facts.who(leg.leg),
        name: party.name.clone(),
        profile: party.profile,
        codec: party.codec_out.map(|(codec, _)| codec),
        packets_in: leg.rtp_in.packets,
        packets_out: leg.rtp_out.packets,
        loss_permille: loss_permille(leg),
        remote_loss_percent: leg.remote_fraction_lost.map(|lost| u32::from(lost) * 100 / 256),
        jitter: leg.jitter,
        round_trip: leg.round_trip,
        concealed_frames: leg.concealed_frames,
        filled_frames: leg.filled_frames,
        preroll: leg.preroll,
        hears: hears(facts, party, leg),
        digits_in: leg.digits_in.clone(),
        digits_out: leg.digits_out.clone(),
        gated: at(Milestone::GateOpened).is_some(),
        first_media_after: between(facts.accepted(leg.leg), at(Milestone::FirstMediaOut)),
        ice_after: between(facts.history.answered, at(Milestone::IceConnected)),
        dtls_after: between(at(Milestone::IceConnected), at(Milestone::DtlsConnected)),
    }
}

/// The quality of what a party hears of the one that it listens to.
fn hears(facts: &CallFacts<'_>, party: &PartyFacts, leg: &LegReport) -> Option<Quality> {
    let source = facts.leg(party.hears?)?;
    let (codec_out, ptime) = party.codec_out?;
    // One that stands for another call is no party; it sends what the listener gets.
    let talker = facts.parties.iter().find(|talker| talker.leg == source.leg);
    let codec_in = talker.and_then(|talker| talker.codec_in).unwrap_or(codec_out);
    if source.rtp_in.packets < PACKETS_MIN || leg.rtp_out.packets < PACKETS_MIN {
        return None;
    }
    // What we decode we conceal, and know what could not be recovered. What we forward the listener conceals.
    let loss = if codec_in == codec_out {
        f64::from(loss_permille(source)) / 1_000.0
    } else {
        leg.concealed_frames as f64 / leg.rtp_out.packets as f64
    };
    let remote = f64::from(leg.remote_fraction_lost.unwrap_or(0)) / 256.0;
    Some(Quality::at_the_end_of(&Way {
        from_talker: Stretch { codec: codec_in, loss, round_trip: source.round_trip },
        to_listener: Stretch { codec: codec_out, loss: remote, round_trip: leg.round_trip },
        held: ptime + leg.playout_delay,
    }))
}

pub(super) fn timeline(facts: &CallFacts<'_>) -> Vec<TimelineEntry> {
    let mut moments = vec![TimelineEntry { at: Duration::ZERO, who: None, what: "the offer was taken".to_owned() }];
    let mut add = |at: Duration, leg: Option<LegId>, what: &str| {
        moments.push(TimelineEntry { at, who: leg.map(|leg| facts.who(leg)), what: what.to_owned() });
    };
    if let Some(at) = facts.history.answered {
        add(at, None, "the answer was taken");
    }
    for (party, leg) in facts.live() {
        for (milestone, at) in &leg.timeline {
            if let Some(what) = reached(*milestone) {
                add(*at, Some(party.leg), what);
            }
        }
        let Some(notes) = facts.history.leg(party.leg) else { continue };
        for note in &notes.risks {
            add(note.since, Some(party.leg), began(note.risk));
            if let Some(over) = note.over {
                add(over, Some(party.leg), passed(note.risk));
            }
        }
        if let Some((at, failure)) = notes.failure {
            add(at, Some(party.leg), &failure.to_string());
        }
        if let Some(at) = notes.gate_timed_out {
            add(at, Some(party.leg), "nobody has opened the gate in time");
        }
        if let Some(at) = notes.gate_closed {
            add(at, Some(party.leg), "the gate was closed");
        }
    }
    if let Some(ended) = facts.ended {
        let what = match ended {
            EndedBy::Deleted => "the call ended: `delete`",
            EndedBy::OfferTimeout => "the call ended: no answer came in time (offer-timeout)",
            EndedBy::MediaTimeout => "the call ended: no media from anybody for too long (timeout)",
            EndedBy::SilentTimeout => "the call ended: on hold for too long (silent-timeout)",
            EndedBy::Failed => "the call ended: internal error",
        };
        add(facts.age, None, what);
    }
    moments.sort_by_key(|moment| moment.at);
    moments
}

fn reached(milestone: Milestone) -> Option<&'static str> {
    Some(match milestone {
        Milestone::Opened => return None,
        Milestone::RemoteKnown => "its SDP is known",
        Milestone::FirstCheck => "first connectivity check sent",
        Milestone::IceConnected => "ICE connected",
        Milestone::DtlsConnected => "DTLS connected",
        Milestone::Latched => "its address is learnt from its packets",
        Milestone::FirstMediaIn => "first media from it",
        Milestone::FirstMediaOut => "first media to it",
        Milestone::GateOpened => "gate opened",
        Milestone::CaughtUp => "what was kept for it has been played, the delay is normal",
    })
}

fn began(risk: RiskName) -> &'static str {
    match risk {
        RiskName::NothingSent => "from here on it gets no media",
        RiskName::NothingReceived => "from here on it should send, and nothing comes",
        RiskName::FellSilent | RiskName::SipGone => "its media stops",
        RiskName::IceStuck => "from here on no connectivity check succeeds",
        RiskName::DtlsStuck => "from here on DTLS does not get on",
        RiskName::OneWay => "from here on the other side is heard and it is not",
    }
}

fn passed(risk: RiskName) -> &'static str {
    match risk {
        RiskName::NothingSent => "it gets media again",
        RiskName::NothingReceived => "it is heard",
        RiskName::FellSilent | RiskName::SipGone => "its media comes again",
        RiskName::IceStuck => "there is a path again",
        RiskName::DtlsStuck => "DTLS gets on",
        RiskName::OneWay => "both sides are heard, or neither",
    }
}
