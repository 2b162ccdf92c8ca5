//! From facts to a cause, with the evidence. Each check looks for one cause; the first that finds it is right, because what comes
//! earlier in a call explains what comes later.

use std::time::Duration;

use trestle_core::report::LegReport;
use trestle_core::{Discard, LegFailure, LegId, Milestone};

use super::cause::{EndCause, Hint, MetaCode};
use super::facts::{CallFacts, PartyFacts};
use super::text::span;
use crate::ended::EndedBy;
use crate::events::RiskName;
use trestle_negotiate::GateState;
use trestle_sdp::Security;

/// WhatsApp ends a call 20 s after its beginning without media, and after 30 s without in the middle of it. What we know of the
/// beginning is a second or two off.
const WHATSAPP_PATIENCE: Duration = Duration::from_secs(18);
const WHATSAPP_PATIENCE_LATER: Duration = Duration::from_secs(28);

/// A call that WhatsApp had given up before the first media ends soon after it.
const SOON: Duration = Duration::from_secs(10);

/// Checks succeed within a round trip, as soon as the peer has our description, which can take a second or two.
const ICE_TIME: Duration = Duration::from_secs(3);

/// A handshake takes two round trips.
const DTLS_TIME: Duration = Duration::from_secs(2);

/// Phones send from the first moment. Shorter than this and a silent one is no riddle.
const FIRST_MEDIA_TIME: Duration = Duration::from_secs(5);

/// When SIP gives up a 200 without ACK: 64 * T1 (RFC 3261 section 13.3.1.4), and what the BYE takes.
const ACK_TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_secs(30)..=Duration::from_secs(34);

/// Media that begins later than this after the answer is late for whoever listens.
const SLOW_SETUP: Duration = Duration::from_secs(3);

/// Discards that are worth a word; fewer are noise.
const MANY: u64 = 25;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) cause: EndCause,
    /// The leg that it was found at.
    pub(super) about: Option<LegId>,
    pub(super) evidence: Vec<String>,
}

impl Finding {
    fn new(cause: EndCause, about: Option<LegId>, evidence: impl IntoIterator<Item = String>) -> Option<Self> {
        Some(Self { cause, about, evidence: evidence.into_iter().collect() })
    }
}

type Check = fn(&CallFacts<'_>) -> Option<Finding>;

const CHECKS: [Check; 12] =
    [lost, unanswered, mistaken, no_path, no_keys, gated, consent, unsent, late, stopped, unheard, silent];

pub(super) fn find(facts: &CallFacts<'_>) -> Finding {
    let found = CHECKS.iter().find_map(|check| check(facts));
    found.unwrap_or_else(|| Finding { cause: uneventful(facts), about: None, evidence: Vec::new() })
}

/// Nothing stands out.
fn uneventful(facts: &CallFacts<'_>) -> EndCause {
    match facts.ended {
        None => EndCause::Running,
        Some(EndedBy::SilentTimeout) => EndCause::HeldTooLong,
        Some(EndedBy::MediaTimeout) => EndCause::NoMedia,
        Some(_) if facts.live().any(|(party, leg)| party.speaks && leg.rtp_in.packets == 0) => EndCause::TooShort,
        Some(_) => EndCause::Normal,
    }
}

fn lost(facts: &CallFacts<'_>) -> Option<Finding> {
    let broken = facts.ended == Some(EndedBy::Failed) || facts.ended.is_some() && facts.report.is_none();
    if broken { Finding::new(EndCause::InternalError, None, ["the engine has lost the call".to_owned()]) } else { None }
}

fn unanswered(facts: &CallFacts<'_>) -> Option<Finding> {
    if facts.history.answered.is_some() {
        return None;
    }
    let cause = if facts.ended.is_some() { EndCause::Unanswered } else { EndCause::Running };
    Finding::new(cause, None, [format!("no `answer` came within {}", span(facts.age))])
}

fn failure(facts: &CallFacts<'_>, party: &PartyFacts) -> Option<(Duration, LegFailure)> {
    facts.history.leg(party.leg)?.failure
}

fn mistaken(facts: &CallFacts<'_>) -> Option<Finding> {
    facts.live().find_map(|(party, _)| {
        let (at, _) = failure(facts, party).filter(|(_, failure)| *failure == LegFailure::FingerprintMismatch)?;
        let who = facts.who(party.leg);
        let text =
            format!("{} after the offer {who} showed a certificate that is not the one of its a=fingerprint", span(at));
        Finding::new(EndCause::FingerprintMismatch, Some(party.leg), [text])
    })
}

fn no_path(facts: &CallFacts<'_>) -> Option<Finding> {
    let answered = facts.history.answered?;
    let mut with_ice = facts.live().filter(|(party, _)| party.security == Security::Dtls);
    let (party, leg) = with_ice.find(|(party, _)| facts.at(party.leg, Milestone::IceConnected).is_none())?;
    let began = answered.max(facts.at(party.leg, Milestone::RemoteKnown).unwrap_or_default());
    if facts.since(began) < ICE_TIME || leg.rtp_in.packets > 0 {
        return None;
    }
    let who = facts.who(party.leg);
    let checks = match facts.at(party.leg, Milestone::FirstCheck) {
        Some(at) => format!("the first connectivity check was sent to {who} {} after the offer", span(at)),
        None => format!("no connectivity check could be sent to {who}: its SDP has no address that we can use"),
    };
    let text = format!("none has succeeded in {}", span(facts.since(began)));
    Finding::new(
        EndCause::IceNeverConnected,
        Some(party.leg),
        [checks, text].into_iter().chain(refused(facts, party.leg)),
    )
}

fn no_keys(facts: &CallFacts<'_>) -> Option<Finding> {
    facts.live().filter(|(party, _)| party.security == Security::Dtls).find_map(|(party, _)| {
        let connected = facts.at(party.leg, Milestone::IceConnected)?;
        let began = connected.max(facts.history.answered?);
        let failed = failure(facts, party).is_some_and(|(_, failure)| failure == LegFailure::DtlsFailed);
        if facts.at(party.leg, Milestone::DtlsConnected).is_some() || !failed && facts.since(began) < DTLS_TIME {
            return None;
        }
        let who = facts.who(party.leg);
        let path = format!("ICE with {who} was connected {} after the offer", span(connected));
        let keys = format!("the DTLS handshake did not end in the {} after that", span(facts.since(connected)));
        Finding::new(EndCause::DtlsStuck, Some(party.leg), [path, keys].into_iter().chain(refused(facts, party.leg)))
    })
}

fn gated(facts: &CallFacts<'_>) -> Option<Finding> {
    facts.ended?;
    facts.whatsapp().find_map(|(party, leg)| {
        let gate = party.gate?;
        let answered = facts.history.answered?;
        if let Some(opened) = facts.at(party.leg, Milestone::GateOpened) {
            let waited = opened.saturating_sub(answered);
            if waited < WHATSAPP_PATIENCE || facts.since(opened) > SOON {
                return None;
            }
            let text = format!(
                "the gate was opened {} after the answer, and {} later the call ended",
                span(waited),
                span(facts.since(opened))
            );
            return Finding::new(EndCause::GateOpenedLate, Some(party.leg), [text]);
        }
        if gate == GateState::Open || leg.rtp_out.packets > 0 {
            return None;
        }
        let notes = facts.history.leg(party.leg);
        let stood = match notes.and_then(|notes| notes.gate_closed.or(notes.gate_timed_out)) {
            _ if gate == GateState::Shut => {
                format!("the gate was still shut {} after the answer", span(facts.since(answered)))
            }
            Some(at) if gate == GateState::Closed => {
                format!("the application closed the gate {} after the offer", span(at))
            }
            Some(at) => format!("the time of the gate ran out {} after the offer", span(at)),
            None => "the gate was never opened".to_owned(),
        };
        let talked = match leg.rtp_in.packets {
            0 => "WhatsApp sent no media either, so the call may never have been accepted".to_owned(),
            n => format!("WhatsApp sent {n} packets of media, so the call was accepted"),
        };
        Finding::new(EndCause::GateNeverOpened, Some(party.leg), [stood, talked])
    })
}

fn consent(facts: &CallFacts<'_>) -> Option<Finding> {
    facts.live().find_map(|(party, leg)| {
        let (at, _) = failure(facts, party).filter(|(_, failure)| *failure == LegFailure::IceDisconnected)?;
        let who = facts.who(party.leg);
        let text = format!(
            "{who} answered no connectivity check any more, and was given up {} after the offer (RFC 7675)",
            span(at)
        );
        let heard = match facts.history.lasting(party.leg, RiskName::FellSilent) {
            Some(since) => format!(
                "the last of its {} packets came {} before the end",
                leg.rtp_in.packets,
                span(facts.since(since))
            ),
            None => format!("{} packets had come from it", leg.rtp_in.packets),
        };
        Finding::new(EndCause::ConsentLost, Some(party.leg), [text, heard])
    })
}

fn unsent(facts: &CallFacts<'_>) -> Option<Finding> {
    let (party, _) = facts.whatsapp().find(|(_, leg)| leg.rtp_out.packets == 0)?;
    let from = facts.ready(party.leg)?.max(facts.accepted(party.leg)?);
    let shut = party.gate.is_some_and(|gate| gate != GateState::Open);
    if shut || facts.since(from) < FIRST_MEDIA_TIME {
        return None;
    }
    let text = format!(
        "there was a path to WhatsApp and its gate was open for {}, and no packet was sent",
        span(facts.since(from))
    );
    Finding::new(EndCause::NoMediaToWhatsapp, Some(party.leg), [text])
}

fn late(facts: &CallFacts<'_>) -> Option<Finding> {
    facts.ended?;
    facts.whatsapp().find_map(|(party, _)| {
        let first = facts.at(party.leg, Milestone::FirstMediaOut)?;
        let waited = first.saturating_sub(facts.accepted(party.leg)?);
        if waited < WHATSAPP_PATIENCE || facts.since(first) > SOON {
            return None;
        }
        let text = format!("the first media went to WhatsApp {} after the answer", span(waited));
        let end = format!("{} later the call ended", span(facts.since(first)));
        Finding::new(EndCause::MediaToWhatsappLate, Some(party.leg), [text, end])
    })
}

fn stopped(facts: &CallFacts<'_>) -> Option<Finding> {
    facts.whatsapp().find_map(|(party, leg)| {
        let since = facts.history.lasting(party.leg, RiskName::NothingSent).filter(|_| leg.rtp_out.packets > 0)?;
        let text = format!("for the last {} no media was sent to WhatsApp", span(facts.since(since)));
        Finding::new(EndCause::MediaToWhatsappStopped, Some(party.leg), [text])
    })
}

/// Somebody who should speak was never heard.
fn unheard(facts: &CallFacts<'_>) -> Option<Finding> {
    let accepted = |party: &PartyFacts| party.gate.is_none_or(|gate| gate == GateState::Open);
    let speakers = || facts.live().filter(|(party, _)| party.speaks && accepted(party));
    let is_unheard = |party: &PartyFacts, packets: u64| {
        packets == 0 && facts.ready(party.leg).is_some_and(|ready| facts.since(ready) >= FIRST_MEDIA_TIME)
    };
    let silent: Vec<LegId> =
        speakers().filter(|(party, leg)| is_unheard(party, leg.rtp_in.packets)).map(|(party, _)| party.leg).collect();
    // A SIP side that is silent beside a silent WhatsApp is not the riddle.
    let is_whatsapp = |leg: &&LegId| facts.parties.iter().any(|party| party.leg == **leg && party.is_whatsapp());
    let about = *silent.iter().find(is_whatsapp).or(silent.first())?;
    let count = speakers().count();
    let cause = match about {
        _ if count > 1 && silent.len() == count => EndCause::NoMedia,
        leg if is_whatsapp(&&leg) => EndCause::NoMediaFromWhatsapp,
        _ => EndCause::OneWay,
    };
    let ready = facts.ready(about).unwrap_or_default();
    let who = facts.who(about);
    let text = match cause {
        EndCause::NoMedia => format!("no packet of media was taken from anybody in {}", span(facts.since(ready))),
        _ => format!("no packet of media was taken from {who} in {}", span(facts.since(ready))),
    };
    let others = facts.live().filter(|(party, leg)| party.leg != about && leg.rtp_in.packets > 0);
    let others =
        others.map(|(party, leg)| format!("{} sent {} packets meanwhile", facts.who(party.leg), leg.rtp_in.packets));
    let refused = silent.iter().flat_map(|leg| refused(facts, *leg));
    let ungated = is_whatsapp(&&about) && facts.at(about, Milestone::GateOpened).is_none();
    let unsure = "the gate was not used, so that nobody has told whether WhatsApp ever accepted the call".to_owned();
    let unsure = ungated.then_some(unsure);
    Finding::new(cause, Some(about), [text].into_iter().chain(others).chain(refused).chain(unsure))
}

/// Somebody who was heard fell silent, and was so at the end. Whoever did so first.
fn silent(facts: &CallFacts<'_>) -> Option<Finding> {
    let risks = [RiskName::FellSilent, RiskName::SipGone];
    let standing = facts.live().flat_map(|(party, leg)| {
        let since = risks.into_iter().filter_map(|risk| facts.history.lasting(party.leg, risk)).min();
        since.map(|since| (since, party, leg.rtp_in.packets))
    });
    let (since, party, packets) = standing.min_by_key(|(since, ..)| *since)?;
    let cause = match party {
        party if party.is_whatsapp() => EndCause::WhatsappFellSilent,
        party if party.security == Security::Dtls => EndCause::OneWay,
        _ => EndCause::SipSideGone,
    };
    let who = facts.who(party.leg);
    let text = format!("{who} sent {packets} packets, the last of them {} before the end", span(facts.since(since)));
    Finding::new(cause, Some(party.leg), [text])
}

/// Packets of a leg that came and were not taken, if that is why it was not heard.
fn refused(facts: &CallFacts<'_>, leg: LegId) -> Option<String> {
    let telling = |reason: Discard| {
        Some(match reason {
            Discard::ForeignSource => "from an address that is not believed",
            Discard::AuthFailed => "whose SRTP tag is wrong, so the keys are not those of this call",
            Discard::UnknownPt => "of a payload type that was not agreed",
            Discard::HandshakeRefused => "that ICE or DTLS did not accept",
            Discard::NotConnected => "of a kind that the leg does not speak, or before its keys were there",
            Discard::NotReceiving => "although its SDP says that it does not send",
            Discard::ForeignSsrc => "of more streams than one",
            _ => return None,
        })
    };
    let discards = facts.leg(leg)?.discards.iter().filter_map(|(reason, n)| Some((*n, telling(*reason)?)));
    let (n, why) = discards.max_by_key(|(n, _)| *n)?;
    Some(format!("{n} datagrams of {} were discarded that came {why}", facts.who(leg)))
}

/// What WhatsApp would call it. `None` if it would not have ended the call, or nobody can know.
pub(super) fn code(facts: &CallFacts<'_>, finding: &Finding) -> Option<MetaCode> {
    let about = finding.about.filter(|leg| facts.parties.iter().any(|party| party.leg == *leg && party.is_whatsapp()));
    let since = |at: Option<Duration>| at.map_or(Duration::ZERO, |at| facts.since(at));
    let waited = since(about.and_then(|leg| facts.accepted(leg)));
    match finding.cause {
        _ if facts.ended.is_none() => None,
        EndCause::IceNeverConnected
        | EndCause::DtlsStuck
        | EndCause::FingerprintMismatch
        | EndCause::NoMediaToWhatsapp => {
            about?;
            Some(if waited >= WHATSAPP_PATIENCE { MetaCode::MediaReceiveTimeout } else { MetaCode::NoMediaSignals })
        }
        EndCause::GateOpenedLate | EndCause::MediaToWhatsappLate => Some(MetaCode::MediaReceiveTimeout),
        EndCause::GateNeverOpened => {
            let accepted = about.and_then(|leg| facts.leg(leg)).is_some_and(|leg| leg.rtp_in.packets > 0);
            (accepted && waited >= WHATSAPP_PATIENCE).then_some(MetaCode::MediaReceiveTimeout)
        }
        EndCause::MediaToWhatsappStopped => {
            let since = since(facts.history.lasting(about?, RiskName::NothingSent));
            (since >= WHATSAPP_PATIENCE_LATER).then_some(MetaCode::MediaReceiveTimeout)
        }
        EndCause::ConsentLost => {
            // Consent takes its time to expire; the path was gone when the last media came.
            let given_up = facts.history.leg(about?)?.failure.map(|(at, _)| at);
            let lost = facts.history.lasting(about?, RiskName::FellSilent).or(given_up);
            (since(lost) >= WHATSAPP_PATIENCE).then_some(MetaCode::MediaReceiveTimeout)
        }
        // The relay was there, but its other end was not; later, it was and sent nothing.
        EndCause::NoMediaFromWhatsapp if waited < WHATSAPP_PATIENCE => Some(MetaCode::RelayConnectionFailed),
        EndCause::NoMediaFromWhatsapp | EndCause::WhatsappFellSilent => Some(MetaCode::MediaTransmitTimeout),
        EndCause::NoMedia => about.map(|_| MetaCode::NoMediaSignals),
        _ => None,
    }
}

/// What else is worth knowing.
pub(super) fn hints(facts: &CallFacts<'_>, finding: &Finding) -> Vec<Hint> {
    let discarded = |reason: Discard| {
        facts.live().any(|(_, leg)| leg.discards.iter().any(|(other, n)| *other == reason && *n >= MANY))
    };
    let talked = facts.live().all(|(_, leg)| leg.rtp_in.packets > 0 && leg.rtp_out.packets > 0);
    let ack = finding.cause == EndCause::Normal
        && facts.ended == Some(EndedBy::Deleted)
        && talked
        && facts.history.answered.is_some_and(|answered| ACK_TIMEOUT.contains(&facts.since(answered)));
    let slow = facts.whatsapp().any(|(party, _)| {
        let first = facts.at(party.leg, Milestone::FirstMediaOut);
        let times = first.zip(facts.accepted(party.leg));
        times.is_some_and(|(first, accepted)| first.saturating_sub(accepted) > SLOW_SETUP)
    });
    let is_interrupted = |leg: LegId| {
        let risks = facts.history.leg(leg).into_iter().flat_map(|notes| &notes.risks);
        let stops = [RiskName::FellSilent, RiskName::SipGone, RiskName::NothingSent];
        risks.into_iter().any(|note| stops.contains(&note.risk) && note.over.is_some())
    };
    // A pause is counted as loss, but is no such thing.
    let lossy = facts
        .live()
        .any(|(party, leg)| leg.rtp_in.packets >= 100 && super::loss_permille(leg) > 30 && !is_interrupted(party.leg));
    let clipped = |leg: &LegReport| leg.rtp_out.packets > 0 && leg.preroll.clipped >= Duration::from_millis(20);
    let table = [
        (Hint::SipAckTimeoutSuspected, ack),
        (Hint::SlowMediaSetup, slow),
        (Hint::Clipped, facts.live().any(|(_, leg)| clipped(leg))),
        (Hint::MediaInterrupted, facts.live().any(|(party, _)| is_interrupted(party.leg))),
        (Hint::PacketLoss, lossy),
        (Hint::WrongKeys, discarded(Discard::AuthFailed)),
        (Hint::ForeignSource, discarded(Discard::ForeignSource)),
        (Hint::UnknownPayloadType, discarded(Discard::UnknownPt)),
    ];
    table.into_iter().filter(|(_, is_so)| *is_so).map(|(hint, _)| hint).collect()
}
