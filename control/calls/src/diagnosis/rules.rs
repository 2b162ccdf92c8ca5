//! Rules that find the cause of a call's end, with the evidence. Each rule looks for one cause; the first that applies is used,
//! because an earlier fault in a call explains a later one.

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

/// WhatsApp ends a call after 20 s without media at its beginning, and after 30 s in the middle of it. Trestle uses 2 s less,
/// because it does not know exactly when WhatsApp's timers started.
const WHATSAPP_TIMEOUT: Duration = Duration::from_secs(18);
const WHATSAPP_TIMEOUT_LATER: Duration = Duration::from_secs(28);

/// A call whose first media came after WhatsApp's timeout ends within this time of it.
const SOON: Duration = Duration::from_secs(10);

/// Connectivity checks succeed within a round trip once the peer has our SDP, which can take a second or two.
const ICE_TIME: Duration = Duration::from_secs(3);

/// A handshake takes two round trips.
const DTLS_TIME: Duration = Duration::from_secs(2);

/// Phones send immediately. A leg without media for a shorter time than this is not a fault.
const FIRST_MEDIA_TIME: Duration = Duration::from_secs(5);

/// Time after which SIP gives up a 200 without ACK: 64 * T1 (RFC 3261 section 13.3.1.4), and the time of the BYE.
const ACK_TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_secs(30)..=Duration::from_secs(34);

/// Media that begins later than this after the answer is noticeably late.
const SLOW_SETUP: Duration = Duration::from_secs(3);

/// Discards of one reason from which a hint is given.
const MANY: u64 = 25;

/// The cause that a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundCause {
    pub(super) cause: EndCause,
    /// The leg that the cause is about.
    pub(super) about: Option<LegId>,
    pub(super) evidence: Vec<String>,
}

impl FoundCause {
    fn new(cause: EndCause, about: Option<LegId>, evidence: impl IntoIterator<Item = String>) -> Option<Self> {
        Some(Self { cause, about, evidence: evidence.into_iter().collect() })
    }
}

type Rule = fn(&CallFacts<'_>) -> Option<FoundCause>;

const RULES: [Rule; 12] = [
    engine_lost_call,
    unanswered,
    wrong_certificate,
    ice_not_connected,
    dtls_not_connected,
    gate_not_opened,
    consent_lost,
    nothing_sent,
    first_media_late,
    sending_stopped,
    nothing_received,
    media_stopped,
];

pub(super) fn find(facts: &CallFacts<'_>) -> FoundCause {
    let found = RULES.iter().find_map(|rule| rule(facts));
    found.unwrap_or_else(|| FoundCause { cause: without_fault(facts), about: None, evidence: Vec::new() })
}

/// The cause if no rule applies.
fn without_fault(facts: &CallFacts<'_>) -> EndCause {
    match facts.ended {
        None => EndCause::Running,
        Some(EndedBy::SilentTimeout) => EndCause::HeldTooLong,
        Some(EndedBy::MediaTimeout) => EndCause::NoMedia,
        Some(_) if facts.live().any(|(party, leg)| party.sends && leg.rtp_in.packets == 0) => EndCause::TooShort,
        Some(_) => EndCause::Normal,
    }
}

fn engine_lost_call(facts: &CallFacts<'_>) -> Option<FoundCause> {
    let broken = facts.ended == Some(EndedBy::Failed) || facts.ended.is_some() && facts.report.is_none();
    if broken { FoundCause::new(EndCause::InternalError, None, ["the engine lost the call".to_owned()]) } else { None }
}

fn unanswered(facts: &CallFacts<'_>) -> Option<FoundCause> {
    if facts.history.answered.is_some() {
        return None;
    }
    let cause = if facts.ended.is_some() { EndCause::Unanswered } else { EndCause::Running };
    FoundCause::new(cause, None, [format!("no `answer` was received within {}", span(facts.age))])
}

fn failure(facts: &CallFacts<'_>, party: &PartyFacts) -> Option<(Duration, LegFailure)> {
    facts.history.leg(party.leg)?.failure
}

fn wrong_certificate(facts: &CallFacts<'_>) -> Option<FoundCause> {
    facts.live().find_map(|(party, _)| {
        let (at, _) = failure(facts, party).filter(|(_, failure)| *failure == LegFailure::FingerprintMismatch)?;
        let who = facts.who(party.leg);
        let text =
            format!("{} after the offer {who} presented a certificate that does not match its a=fingerprint", span(at));
        FoundCause::new(EndCause::FingerprintMismatch, Some(party.leg), [text])
    })
}

fn ice_not_connected(facts: &CallFacts<'_>) -> Option<FoundCause> {
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
        None => format!("no connectivity check could be sent to {who}: its SDP has no usable address"),
    };
    let text = format!("none succeeded within {}", span(facts.since(began)));
    FoundCause::new(
        EndCause::IceNeverConnected,
        Some(party.leg),
        [checks, text].into_iter().chain(discarded(facts, party.leg)),
    )
}

fn dtls_not_connected(facts: &CallFacts<'_>) -> Option<FoundCause> {
    facts.live().filter(|(party, _)| party.security == Security::Dtls).find_map(|(party, _)| {
        let connected = facts.at(party.leg, Milestone::IceConnected)?;
        let began = connected.max(facts.history.answered?);
        let failed = failure(facts, party).is_some_and(|(_, failure)| failure == LegFailure::DtlsFailed);
        if facts.at(party.leg, Milestone::DtlsConnected).is_some() || !failed && facts.since(began) < DTLS_TIME {
            return None;
        }
        let who = facts.who(party.leg);
        let path = format!("ICE with {who} was connected {} after the offer", span(connected));
        let keys = format!("the DTLS handshake did not complete within {} after that", span(facts.since(connected)));
        FoundCause::new(
            EndCause::DtlsStuck,
            Some(party.leg),
            [path, keys].into_iter().chain(discarded(facts, party.leg)),
        )
    })
}

fn gate_not_opened(facts: &CallFacts<'_>) -> Option<FoundCause> {
    facts.ended?;
    facts.whatsapp().find_map(|(party, leg)| {
        let gate = party.gate?;
        let answered = facts.history.answered?;
        if let Some(opened) = facts.at(party.leg, Milestone::GateOpened) {
            let waited = opened.saturating_sub(answered);
            if waited < WHATSAPP_TIMEOUT || facts.since(opened) > SOON {
                return None;
            }
            let text = format!(
                "the gate was opened {} after the answer, and {} later the call ended",
                span(waited),
                span(facts.since(opened))
            );
            return FoundCause::new(EndCause::GateOpenedLate, Some(party.leg), [text]);
        }
        if gate == GateState::Open || leg.rtp_out.packets > 0 {
            return None;
        }
        let history = facts.history.leg(party.leg);
        let gate = match history.and_then(|history| history.gate_closed.or(history.gate_timed_out)) {
            _ if gate == GateState::Shut => {
                format!("the gate was still shut {} after the answer", span(facts.since(answered)))
            }
            Some(at) if gate == GateState::Closed => {
                format!("the application closed the gate {} after the offer", span(at))
            }
            Some(at) => format!("gate-timeout expired {} after the offer", span(at)),
            None => "the gate was never opened".to_owned(),
        };
        let media = match leg.rtp_in.packets {
            0 => "no media was received from WhatsApp, so the call may not have been accepted".to_owned(),
            n => format!("{n} media packets were received from WhatsApp, so the call was accepted"),
        };
        FoundCause::new(EndCause::GateNeverOpened, Some(party.leg), [gate, media])
    })
}

fn consent_lost(facts: &CallFacts<'_>) -> Option<FoundCause> {
    facts.live().find_map(|(party, leg)| {
        let (at, _) = failure(facts, party).filter(|(_, failure)| *failure == LegFailure::IceDisconnected)?;
        let who = facts.who(party.leg);
        let text = format!(
            "{who} stopped answering connectivity checks; consent expired {} after the offer (RFC 7675)",
            span(at)
        );
        let received = match facts.history.lasting(party.leg, RiskName::FellSilent) {
            Some(since) => format!(
                "the last of its {} packets was received {} before the end",
                leg.rtp_in.packets,
                span(facts.since(since))
            ),
            None => format!("{} packets were received from it", leg.rtp_in.packets),
        };
        FoundCause::new(EndCause::ConsentLost, Some(party.leg), [text, received])
    })
}

fn nothing_sent(facts: &CallFacts<'_>) -> Option<FoundCause> {
    let (party, _) = facts.whatsapp().find(|(_, leg)| leg.rtp_out.packets == 0)?;
    let from = facts.ready(party.leg)?.max(facts.accepted(party.leg)?);
    let shut = party.gate.is_some_and(|gate| gate != GateState::Open);
    if shut || facts.since(from) < FIRST_MEDIA_TIME {
        return None;
    }
    let text = format!(
        "the path to WhatsApp was up and its gate open for {}, and no packet was sent",
        span(facts.since(from))
    );
    FoundCause::new(EndCause::NoMediaToWhatsapp, Some(party.leg), [text])
}

fn first_media_late(facts: &CallFacts<'_>) -> Option<FoundCause> {
    facts.ended?;
    facts.whatsapp().find_map(|(party, _)| {
        let first = facts.at(party.leg, Milestone::FirstMediaOut)?;
        let waited = first.saturating_sub(facts.accepted(party.leg)?);
        if waited < WHATSAPP_TIMEOUT || facts.since(first) > SOON {
            return None;
        }
        let text = format!("the first media was sent to WhatsApp {} after the answer", span(waited));
        let end = format!("the call ended {} later", span(facts.since(first)));
        FoundCause::new(EndCause::MediaToWhatsappLate, Some(party.leg), [text, end])
    })
}

fn sending_stopped(facts: &CallFacts<'_>) -> Option<FoundCause> {
    facts.whatsapp().find_map(|(party, leg)| {
        let since = facts.history.lasting(party.leg, RiskName::NothingSent).filter(|_| leg.rtp_out.packets > 0)?;
        let text = format!("no media was sent to WhatsApp for the last {}", span(facts.since(since)));
        FoundCause::new(EndCause::MediaToWhatsappStopped, Some(party.leg), [text])
    })
}

/// No media was ever received from a party that is to send.
fn nothing_received(facts: &CallFacts<'_>) -> Option<FoundCause> {
    let accepted = |party: &PartyFacts| party.gate.is_none_or(|gate| gate == GateState::Open);
    let senders = || facts.live().filter(|(party, _)| party.sends && accepted(party));
    let is_silent = |party: &PartyFacts, packets: u64| {
        packets == 0 && facts.ready(party.leg).is_some_and(|ready| facts.since(ready) >= FIRST_MEDIA_TIME)
    };
    let silent: Vec<LegId> =
        senders().filter(|(party, leg)| is_silent(party, leg.rtp_in.packets)).map(|(party, _)| party.leg).collect();
    // If WhatsApp is silent too, the cause is about WhatsApp.
    let is_whatsapp = |leg: &&LegId| facts.parties.iter().any(|party| party.leg == **leg && party.is_whatsapp());
    let about = *silent.iter().find(is_whatsapp).or(silent.first())?;
    let count = senders().count();
    let cause = match about {
        _ if count > 1 && silent.len() == count => EndCause::NoMedia,
        leg if is_whatsapp(&&leg) => EndCause::NoMediaFromWhatsapp,
        _ => EndCause::OneWay,
    };
    let ready = facts.ready(about).unwrap_or_default();
    let who = facts.who(about);
    let text = match cause {
        EndCause::NoMedia => format!("no media packet was received from any party in {}", span(facts.since(ready))),
        _ => format!("no media packet was received from {who} in {}", span(facts.since(ready))),
    };
    let others = facts.live().filter(|(party, leg)| party.leg != about && leg.rtp_in.packets > 0);
    let others =
        others.map(|(party, leg)| format!("{} sent {} packets meanwhile", facts.who(party.leg), leg.rtp_in.packets));
    let discarded = silent.iter().flat_map(|leg| discarded(facts, *leg));
    let ungated = is_whatsapp(&&about) && facts.at(about, Milestone::GateOpened).is_none();
    let unsure = "the gate was not used, so it is unknown whether WhatsApp accepted the call".to_owned();
    let unsure = ungated.then_some(unsure);
    FoundCause::new(cause, Some(about), [text].into_iter().chain(others).chain(discarded).chain(unsure))
}

/// Media of a party stopped and did not come back. Of several parties, the first.
fn media_stopped(facts: &CallFacts<'_>) -> Option<FoundCause> {
    let risks = [RiskName::FellSilent, RiskName::SipGone];
    let silent = facts.live().flat_map(|(party, leg)| {
        let since = risks.into_iter().filter_map(|risk| facts.history.lasting(party.leg, risk)).min();
        since.map(|since| (since, party, leg.rtp_in.packets))
    });
    let (since, party, packets) = silent.min_by_key(|(since, ..)| *since)?;
    let cause = match party {
        party if party.is_whatsapp() => EndCause::WhatsappFellSilent,
        party if party.security == Security::Dtls => EndCause::OneWay,
        _ => EndCause::SipSideGone,
    };
    let who = facts.who(party.leg);
    let text =
        format!("{packets} packets were received from {who}, the last {} before the end", span(facts.since(since)));
    FoundCause::new(cause, Some(party.leg), [text])
}

/// The most frequent reason for which packets of a leg were discarded.
fn discarded(facts: &CallFacts<'_>, leg: LegId) -> Option<String> {
    let describe = |reason: Discard| {
        Some(match reason {
            Discard::ForeignSource => "from an address that the SDP does not name",
            Discard::AuthFailed => "with a wrong SRTP tag, so the keys are not those of this call",
            Discard::UnknownPt => "with a payload type that was not negotiated",
            Discard::HandshakeRefused => "that ICE or DTLS did not accept",
            Discard::NotConnected => "of a kind that the leg does not use, or before its keys were known",
            Discard::NotReceiving => "although its SDP announces that it does not send",
            Discard::ForeignSsrc => "of a second stream",
            Discard::OverBudget => "because there were more than a call has",
            Discard::Ring => "because Trestle itself had sent them",
            _ => return None,
        })
    };
    let discards = facts.leg(leg)?.discards.iter().filter_map(|(reason, n)| Some((*n, describe(*reason)?)));
    let (n, why) = discards.max_by_key(|(n, _)| *n)?;
    Some(format!("{n} datagrams of {} were discarded: {why}", facts.who(leg)))
}

/// The matching error code of Meta. `None` if WhatsApp would not have ended the call, or if the code cannot be determined.
pub(super) fn code(facts: &CallFacts<'_>, found: &FoundCause) -> Option<MetaCode> {
    let about = found.about.filter(|leg| facts.parties.iter().any(|party| party.leg == *leg && party.is_whatsapp()));
    let since = |at: Option<Duration>| at.map_or(Duration::ZERO, |at| facts.since(at));
    let waited = since(about.and_then(|leg| facts.accepted(leg)));
    match found.cause {
        _ if facts.ended.is_none() => None,
        EndCause::IceNeverConnected
        | EndCause::DtlsStuck
        | EndCause::FingerprintMismatch
        | EndCause::NoMediaToWhatsapp => {
            about?;
            Some(if waited >= WHATSAPP_TIMEOUT { MetaCode::MediaReceiveTimeout } else { MetaCode::NoMediaSignals })
        }
        EndCause::GateOpenedLate | EndCause::MediaToWhatsappLate => Some(MetaCode::MediaReceiveTimeout),
        EndCause::GateNeverOpened => {
            let accepted = about.and_then(|leg| facts.leg(leg)).is_some_and(|leg| leg.rtp_in.packets > 0);
            (accepted && waited >= WHATSAPP_TIMEOUT).then_some(MetaCode::MediaReceiveTimeout)
        }
        EndCause::MediaToWhatsappStopped => {
            let since = since(facts.history.lasting(about?, RiskName::NothingSent));
            (since >= WHATSAPP_TIMEOUT_LATER).then_some(MetaCode::MediaReceiveTimeout)
        }
        EndCause::ConsentLost => {
            // Consent expires late; the path was lost when the last media was received.
            let expired = facts.history.leg(about?)?.failure.map(|(at, _)| at);
            let lost = facts.history.lasting(about?, RiskName::FellSilent).or(expired);
            (since(lost) >= WHATSAPP_TIMEOUT).then_some(MetaCode::MediaReceiveTimeout)
        }
        // Early: the relay was reachable, its other end was not. Later: the other end was connected and sent nothing.
        EndCause::NoMediaFromWhatsapp if waited < WHATSAPP_TIMEOUT => Some(MetaCode::RelayConnectionFailed),
        EndCause::NoMediaFromWhatsapp | EndCause::WhatsappFellSilent => Some(MetaCode::MediaTransmitTimeout),
        EndCause::NoMedia => about.map(|_| MetaCode::NoMediaSignals),
        _ => None,
    }
}

/// Further findings.
pub(super) fn hints(facts: &CallFacts<'_>, found: &FoundCause) -> Vec<Hint> {
    let many_discarded = |reason: Discard| {
        facts.live().any(|(_, leg)| leg.discards.iter().any(|(other, n)| *other == reason && *n >= MANY))
    };
    let both_ways = facts.live().all(|(_, leg)| leg.rtp_in.packets > 0 && leg.rtp_out.packets > 0);
    let ack = found.cause == EndCause::Normal
        && facts.ended == Some(EndedBy::Deleted)
        && both_ways
        && facts.history.answered.is_some_and(|answered| ACK_TIMEOUT.contains(&facts.since(answered)));
    let slow = facts.whatsapp().any(|(party, _)| {
        let first = facts.at(party.leg, Milestone::FirstMediaOut);
        let times = first.zip(facts.accepted(party.leg));
        times.is_some_and(|(first, accepted)| first.saturating_sub(accepted) > SLOW_SETUP)
    });
    let is_interrupted = |leg: LegId| {
        let risks = facts.history.leg(leg).into_iter().flat_map(|notes| &notes.risks);
        let stops = [RiskName::FellSilent, RiskName::SipGone, RiskName::NothingSent];
        risks.into_iter().any(|period| stops.contains(&period.risk) && period.over.is_some())
    };
    // A pause is counted as loss too, but is not loss.
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
        (Hint::WrongKeys, many_discarded(Discard::AuthFailed)),
        (Hint::ForeignSource, many_discarded(Discard::ForeignSource)),
        (Hint::UnknownPayloadType, many_discarded(Discard::UnknownPt)),
    ];
    table.into_iter().filter(|(_, is_so)| *is_so).map(|(hint, _)| hint).collect()
}
