//! A call that went well, and the changes that tests make to it.

use std::time::Duration;

use trestle_core::plan::Codec;
use trestle_core::report::{CallReport, Count, LegReport, Preroll};
use trestle_core::{LegId, Milestone};
use trestle_wire::Ssrc;

use super::super::*;
use crate::events::{EventBody, PartyName, RiskName};
use trestle_negotiate::GateState;
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::Security;

pub(super) const WA: usize = 0;
pub(super) const SIP: usize = 1;

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A call of a WhatsApp user (leg 0) with a phone (leg 1). Answered after 4 s, ended after 64 s, nothing wrong with it.
pub(super) struct SimulatedCall {
    pub(super) parties: Vec<PartyFacts>,
    pub(super) legs: Vec<LegReport>,
    pub(super) history: CallHistory,
    pub(super) age: Duration,
    pub(super) ended: Option<EndedBy>,
    pub(super) lost: bool,
}

pub(super) fn leg(n: u16, timeline: &[(Milestone, u64)]) -> LegReport {
    let packets = Count { packets: 3_000, bytes: 516_000 };
    LegReport {
        leg: LegId(n),
        description: String::new(),
        local: ([192, 0, 2, 1], 20_000).into(),
        remote: None,
        remote_ssrc: None,
        local_ssrc: Ssrc(7),
        timeline: timeline.iter().map(|(milestone, at)| (*milestone, ms(*at))).collect(),
        rtp_in: packets,
        rtp_out: packets,
        rtcp_in: Count::default(),
        rtcp_out: Count::default(),
        discards: Vec::new(),
        lost: 3,
        jitter: ms(4),
        round_trip: Some(ms(60)),
        remote_fraction_lost: Some(0),
        concealed_frames: 3,
        playout_delay: ms(12),
        preroll: Preroll::default(),
        filled_frames: 0,
        digits_in: String::new(),
        digits_out: String::new(),
    }
}

pub(super) fn party(n: u16, tag: &str, profile: ProfileName, security: Security, codec: Codec) -> PartyFacts {
    PartyFacts {
        leg: LegId(n),
        name: PartyName { tag: Some(tag.to_owned()), label: None },
        profile,
        security,
        answered: true,
        sends: true,
        source: Some(LegId(1 - n)),
        codec_in: Some(codec),
        codec_out: Some((codec, ms(20))),
        gate: (profile == ProfileName::Whatsapp).then_some(GateState::Open),
    }
}

impl SimulatedCall {
    pub(super) fn new() -> Self {
        use Milestone::*;
        let whatsapp = [
            (Opened, 0),
            (RemoteKnown, 0),
            (FirstCheck, 1),
            (IceConnected, 4_210),
            (DtlsConnected, 4_320),
            (FirstMediaOut, 4_330),
            (FirstMediaIn, 4_600),
        ];
        let sip = [(Opened, 0), (RemoteKnown, 4_000), (FirstMediaIn, 4_100), (FirstMediaOut, 4_620)];
        let mut history = CallHistory::default();
        history.note(ms(4_000), None, &EventBody::Answered);
        history.deleted_by = Some(LegId(0));
        Self {
            parties: vec![
                party(0, "whatsapp", ProfileName::Whatsapp, Security::Dtls, Codec::Opus),
                party(1, "agent", ProfileName::Sip, Security::Plain, Codec::Pcma),
            ],
            legs: vec![leg(0, &whatsapp), leg(1, &sip)],
            history,
            age: ms(64_000),
            ended: Some(EndedBy::Deleted),
            lost: false,
        }
    }

    /// Sets the time of the end, after the answer.
    pub(super) fn lasts(&mut self, after_answer_ms: u64) {
        self.age = ms(4_000 + after_answer_ms);
    }

    /// `last` is the last milestone of WhatsApp's leg.
    pub(super) fn gets_to(&mut self, last: Milestone) {
        self.legs[WA].timeline.retain(|(milestone, _)| *milestone <= last);
        self.silence(WA);
        self.gets_nothing(WA);
    }

    pub(super) fn silence(&mut self, n: usize) {
        self.legs[n].rtp_in = Count::default();
        self.legs[n].lost = 0;
        self.legs[n].timeline.retain(|(milestone, _)| *milestone != Milestone::FirstMediaIn);
    }

    pub(super) fn gets_nothing(&mut self, n: usize) {
        self.legs[n].rtp_out = Count::default();
        self.legs[n].timeline.retain(|(milestone, _)| *milestone != Milestone::FirstMediaOut);
    }

    pub(super) fn reached(&mut self, n: usize, milestone: Milestone, at: u64) {
        self.legs[n].timeline.retain(|(known, _)| *known != milestone);
        self.legs[n].timeline.push((milestone, ms(at)));
    }

    pub(super) fn risk(&mut self, n: u16, risk: RiskName, since: u64) {
        let at_risk = EventBody::AtRisk { risk, stage: Milestone::Opened, lasted: ms(10_000), reason: String::new() };
        self.history.note(ms(since + 10_000), Some(LegId(n)), &at_risk);
    }

    pub(super) fn verdict(&self) -> CallVerdict {
        let report = CallReport { age: self.age, last_media: None, legs: self.legs.clone() };
        CallVerdict::of(&CallFacts {
            parties: self.parties.clone(),
            report: Some(&report).filter(|_| !self.lost),
            history: &self.history,
            age: self.age,
            ended: self.ended,
        })
    }
}
