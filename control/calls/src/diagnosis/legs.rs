//! The media of each party: counts, times of set-up, and quality.

use std::time::Duration;

use trestle_core::plan::Codec;
use trestle_core::report::{LegReport, Preroll};
use trestle_core::{LegId, Milestone};

use super::facts::{CallFacts, PartyFacts};
use super::loss_permille;
use super::quality::{AudioPath, PathSegment, Quality};
use crate::events::PartyName;
use trestle_ng::command::flags::ProfileName;

/// Packets below which no quality is estimated: two seconds of audio.
const PACKETS_MIN: u64 = 100;

/// The media of one party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegSummary {
    /// Its leg.
    pub leg: LegId,
    /// The party as named in a sentence.
    pub who: String,
    /// Its tag and label.
    pub name: PartyName,
    /// Its profile.
    pub profile: ProfileName,
    /// Codec of what it is sent.
    pub codec: Option<Codec>,
    /// Media packets received from it.
    pub packets_in: u64,
    /// Media packets sent to it.
    pub packets_out: u64,
    /// Lost packets of its stream, per thousand.
    pub loss_permille: u32,
    /// Lost packets of our stream by its last receiver report, percent.
    pub remote_loss_percent: Option<u32>,
    /// Interarrival jitter of its stream (RFC 3550 A.8).
    pub jitter: Duration,
    /// Round-trip time to it.
    pub round_trip: Option<Duration>,
    /// Frames concealed on the way to it, in place of lost ones.
    pub concealed_frames: u64,
    /// Frames of filler sent to it, because there was nothing to forward.
    pub filled_frames: u64,
    /// Audio that came before it could be sent.
    pub preroll: Preroll,
    /// Quality of what it received; `None` if that was too little to estimate.
    pub quality: Option<Quality>,
    /// Digits received from it.
    pub digits_in: String,
    /// Digits sent to it.
    pub digits_out: String,
    /// It had a gate that was shut and then opened.
    pub gated: bool,
    /// From the answer, or from when its gate was opened, until the first media was sent to it.
    pub first_media_after: Option<Duration>,
    /// From the answer until ICE was connected, if that was later.
    pub ice_after: Option<Duration>,
    /// From ICE until DTLS was connected.
    pub dtls_after: Option<Duration>,
}

pub(super) fn summaries(facts: &CallFacts<'_>) -> Vec<LegSummary> {
    facts.live().map(|(party, leg)| summary(facts, party, leg)).collect()
}

fn summary(facts: &CallFacts<'_>, party: &PartyFacts, leg: &LegReport) -> LegSummary {
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
        quality: quality(facts, party, leg),
        digits_in: masked_digits(&leg.digits_in),
        digits_out: masked_digits(&leg.digits_out),
        gated: at(Milestone::GateOpened).is_some(),
        first_media_after: between(facts.accepted(leg.leg), at(Milestone::FirstMediaOut)),
        ice_after: between(facts.history.answered, at(Milestone::IceConnected)),
        dtls_after: between(at(Milestone::IceConnected), at(Milestone::DtlsConnected)),
    }
}

/// The quality of what a party receives from its source.
fn quality(facts: &CallFacts<'_>, party: &PartyFacts, leg: &LegReport) -> Option<Quality> {
    let source = facts.leg(party.source?)?;
    let (codec_out, ptime) = party.codec_out?;
    // A leg that links another call has no party; it sends in the codec of the receiver.
    let sender = facts.parties.iter().find(|sender| sender.leg == source.leg);
    let codec_in = sender.and_then(|sender| sender.codec_in).unwrap_or(codec_out);
    if source.rtp_in.packets < PACKETS_MIN || leg.rtp_out.packets < PACKETS_MIN {
        return None;
    }
    // If Trestle transcodes, it conceals losses itself and counts them. If it forwards, the receiver conceals.
    let loss = if codec_in == codec_out {
        f64::from(loss_permille(source)) / 1_000.0
    } else {
        leg.concealed_frames as f64 / leg.rtp_out.packets as f64
    };
    let remote = f64::from(leg.remote_fraction_lost.unwrap_or(0)) / 256.0;
    Some(Quality::of_path(&AudioPath {
        inbound: PathSegment { codec: codec_in, loss, round_trip: source.round_trip },
        outbound: PathSegment { codec: codec_out, loss: remote, round_trip: leg.round_trip },
        added_delay: ptime + leg.playout_delay,
    }))
}

/// The quality of the stream that a peer sends in `codec`, where Trestle receives it; `None` if it was too short to estimate. Besides it
/// the loss, in packets per thousand.
pub(crate) fn stream_quality(leg: &LegReport, codec: Codec) -> Option<(Quality, u32)> {
    let loss_permille = loss_permille(leg);
    let segment = PathSegment { codec, loss: f64::from(loss_permille) / 1_000.0, round_trip: leg.round_trip };
    (leg.rtp_in.packets >= PACKETS_MIN).then(|| (Quality::of_stream(segment), loss_permille))
}

/// How many digits there were: a `-` for each. Which ones is sent in events only, since callers enter card numbers and passwords.
pub(crate) fn masked_digits(digits: &str) -> String {
    "-".repeat(digits.len())
}
