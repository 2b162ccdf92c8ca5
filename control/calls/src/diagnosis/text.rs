//! A verdict as text for the operator.

use std::time::Duration;

use trestle_core::plan::Codec;

use super::cause::EndCause;
use super::legs::LegSummary;
use super::{CallVerdict, Grade};
use crate::ended::EndedBy;

/// A duration with its unit: `330 ms`, `27.4 s`, `3 min 5 s`, `1 h 2 min`.
pub(super) fn span(time: Duration) -> String {
    let ms = time.as_millis();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

impl CallVerdict {
    /// What happened, in one sentence without its period.
    pub fn summary(&self) -> String {
        let party = self.about.as_deref().unwrap_or("a party");
        let lasted = span(self.answered.map_or(self.age, |answered| self.age.saturating_sub(answered)));
        let quality = match self.quality {
            Some(quality) => format!(", estimated MOS {quality}"),
            None => String::new(),
        };
        match self.cause {
            EndCause::Running if self.answered.is_none() => format!("ringing for {lasted}"),
            EndCause::Running => format!("active for {lasted}{quality}"),
            EndCause::Unanswered => format!("the call was not answered within {lasted}"),
            EndCause::TooShort => {
                format!("the call ended {lasted} after the answer, before media was received from both sides")
            }
            EndCause::Normal => format!("the call ended normally {lasted} after the answer{quality}"),
            EndCause::IceNeverConnected => {
                format!("no connectivity check with {party} succeeded, so it had no media path")
            }
            EndCause::DtlsStuck => format!("the DTLS handshake with {party} did not complete, so it had no SRTP keys"),
            EndCause::FingerprintMismatch => {
                format!("the certificate of {party} does not match the fingerprint in its SDP")
            }
            EndCause::GateNeverOpened => "WhatsApp received no media, because its gate was not opened".to_owned(),
            EndCause::GateOpenedLate => {
                "WhatsApp received its first media too late, because its gate was opened late".to_owned()
            }
            EndCause::MediaToWhatsappLate => "WhatsApp received its first media after its timeout".to_owned(),
            EndCause::NoMediaToWhatsapp => "no media was sent to WhatsApp, although the path was up".to_owned(),
            EndCause::MediaToWhatsappStopped => "media to WhatsApp stopped".to_owned(),
            EndCause::NoMediaFromWhatsapp => "one-way audio: no media was received from WhatsApp".to_owned(),
            EndCause::WhatsappFellSilent => "media from WhatsApp stopped and did not come back".to_owned(),
            EndCause::ConsentLost => format!("the media path to {party} was lost"),
            EndCause::OneWay => format!("one-way audio: no media was received from {party}"),
            EndCause::SipSideGone => "media from the SIP side stopped without a hold and did not come back".to_owned(),
            EndCause::NoMedia => "no media was received from any party".to_owned(),
            EndCause::HeldTooLong => format!("the call was on hold for too long and ended {lasted} after the answer"),
            EndCause::InternalError => "the call was lost to a bug in Trestle".to_owned(),
        }
    }

    /// The whole explanation: what happened, the evidence, Meta's error code, the media of each party, and what to do.
    pub fn paragraph(&self) -> String {
        let mut text = vec![self.opening()];
        if !self.evidence.is_empty() {
            text.push(format!("{}.", capital(&self.evidence.join("; "))));
        }
        if let Some(code) = self.code {
            let sip = code.sip_status().map(|status| format!(", in SIP {status} \"RTP Timeout\"")).unwrap_or_default();
            text.push(format!("This matches Meta's error {} \"{}\"{sip}.", code.number(), code.title()));
        }
        text.extend(self.setup());
        text.extend(self.legs.iter().map(media));
        text.extend(self.digits());
        text.extend(self.hints.iter().map(|hint| hint.sentence().to_owned()));
        text.extend(self.cause.advice().map(str::to_owned));
        text.join(" ")
    }

    fn opening(&self) -> String {
        let by = match self.ended {
            None if self.cause == EndCause::Running => return format!("The call is {}.", self.summary()),
            None => return format!("The call is active, with a fault: {}.", self.summary()),
            Some(EndedBy::Deleted) => match &self.ended_by {
                Some(party) => format!("The signalling ended it (`delete` with the tag of {party})"),
                None => "The signalling ended it (`delete`)".to_owned(),
            },
            Some(EndedBy::OfferTimeout) => "Trestle ended it, because no answer came within `offer-timeout`".to_owned(),
            Some(EndedBy::MediaTimeout) => "Trestle ended it, because no media was received for `timeout`".to_owned(),
            Some(EndedBy::SilentTimeout) => "Trestle ended it, because it was on hold for `silent-timeout`".to_owned(),
            Some(EndedBy::Shutdown) => "Trestle ended it, because Trestle was stopped".to_owned(),
            Some(EndedBy::Failed) => "The engine lost it".to_owned(),
            Some(EndedBy::HalfOpenLimit) => {
                "Trestle ended it, because too many calls were not answered (`max-half-open`)".to_owned()
            }
        };
        let when = match (self.cause, self.answered) {
            (EndCause::Unanswered | EndCause::TooShort | EndCause::Normal | EndCause::HeldTooLong, _) => String::new(),
            (_, Some(answered)) => format!(", {} after the answer", span(self.age.saturating_sub(answered))),
            (_, None) => format!(", {} after the offer", span(self.age)),
        };
        let grade = match self.grade {
            Grade::Good => "Good",
            Grade::Fair => "Fair",
            Grade::Bad => "Bad",
            Grade::None => "Not graded",
        };
        format!("{grade}: {}. {by}{when}.", self.summary())
    }

    /// The set-up of the first leg with ICE that was sent media.
    fn setup(&self) -> Option<String> {
        let leg = self.legs.iter().find(|leg| leg.first_media_after.is_some() && leg.ice_after.is_some())?;
        let stages = match (leg.ice_after, leg.dtls_after) {
            (Some(Duration::ZERO), Some(dtls)) => format!(" (ICE before the answer, DTLS {} after ICE)", span(dtls)),
            (Some(ice), Some(dtls)) => format!(" (ICE {} after the answer, DTLS {} after ICE)", span(ice), span(dtls)),
            _ => String::new(),
        };
        let kept = match (leg.preroll.kept.is_zero(), leg.preroll.clipped.is_zero()) {
            (true, true) => String::new(),
            (false, true) => {
                format!("; {} of early audio were kept and played, none was lost", span(leg.preroll.kept))
            }
            (_, false) => format!("; {} of early audio were lost", span(leg.preroll.clipped)),
        };
        let from = if leg.gated { "its gate was opened" } else { "the answer" };
        let first = match leg.first_media_after? {
            Duration::ZERO if leg.gated => "when its gate was opened".to_owned(),
            Duration::ZERO => "immediately after the answer".to_owned(),
            after => format!("{} after {from}", span(after)),
        };
        Some(format!("{} received its first media {first}{stages}{kept}.", capital(&leg.who)))
    }

    fn digits(&self) -> Option<String> {
        let pressed = self.legs.iter().filter(|leg| !leg.digits_in.is_empty());
        let pressed: Vec<String> = pressed
            .map(|leg| {
                let number = leg.digits_in.len();
                format!("{} pressed {number} {}", leg.who, if number == 1 { "digit" } else { "digits" })
            })
            .collect();
        (!pressed.is_empty()).then(|| format!("{}.", capital(&pressed.join("; "))))
    }
}

/// The media of one party: what was received from it and sent to it, and the quality of what it received.
fn media(leg: &LegSummary) -> String {
    let mut text = format!("{}: {} packets received", capital(&leg.who), leg.packets_in);
    if leg.packets_in > 0 {
        let jitter = leg.jitter.as_millis();
        text += &format!(" ({}.{} % lost, jitter {jitter} ms)", leg.loss_permille / 10, leg.loss_permille % 10);
    }
    let codec = match leg.codec {
        Some(Codec::Opus) => "Opus ".to_owned(),
        Some(codec) => format!("{codec} "),
        None => String::new(),
    };
    text += &format!(", {} {codec}packets sent", leg.packets_out);
    if leg.concealed_frames > 0 && leg.packets_out > 0 {
        text += &format!(" ({} frames concealed)", leg.concealed_frames);
    }
    if let Some(percent) = leg.remote_loss_percent.filter(|percent| *percent > 0) {
        text += &format!(", {percent} % lost by its last report");
    }
    if let Some(quality) = leg.quality {
        text += &format!(", estimated MOS {quality} (E-model)");
    }
    text + "."
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
