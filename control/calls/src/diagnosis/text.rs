//! A verdict in words.

use std::time::Duration;

use super::cause::EndCause;
use super::legs::LegSummary;
use super::{CallVerdict, Grade};
use crate::ended::EndedBy;

/// A time as people say it.
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
    /// One sentence: what happened.
    pub fn summary(&self) -> String {
        let who = self.about.as_deref().unwrap_or("a party");
        let talked = span(self.answered.map_or(self.age, |answered| self.age.saturating_sub(answered)));
        let sound = match self.quality {
            Some(quality) => format!(", MOS {quality}"),
            None => String::new(),
        };
        match self.cause {
            EndCause::Running if self.answered.is_none() => format!("ringing for {talked}"),
            EndCause::Running => format!("going on for {talked}{sound}"),
            EndCause::Unanswered => format!("nobody answered within {talked}"),
            EndCause::TooShort => format!("it ended {talked} after the answer, before everybody had been heard"),
            EndCause::Normal => format!("it ended normally {talked} after the answer{sound}"),
            EndCause::IceNeverConnected => format!("no path to {who}, as no connectivity check succeeded"),
            EndCause::DtlsStuck => format!("no keys with {who}, as the DTLS handshake did not end"),
            EndCause::FingerprintMismatch => {
                format!("{who} is not who its SDP says, as its certificate does not match")
            }
            EndCause::GateNeverOpened => "WhatsApp got no media, because nobody opened its gate".to_owned(),
            EndCause::GateOpenedLate => {
                "WhatsApp got its first media too late, because its gate was opened late".to_owned()
            }
            EndCause::MediaToWhatsappLate => "WhatsApp got its first media when it had given up waiting".to_owned(),
            EndCause::NoMediaToWhatsapp => "WhatsApp got no media, although there was a path".to_owned(),
            EndCause::MediaToWhatsappStopped => "WhatsApp got no media any more".to_owned(),
            EndCause::NoMediaFromWhatsapp => "audio went one way only, as WhatsApp was never heard".to_owned(),
            EndCause::WhatsappFellSilent => "WhatsApp fell silent and was so until the end".to_owned(),
            EndCause::ConsentLost => format!("the path to {who} was lost"),
            EndCause::OneWay => format!("audio went one way only, as {who} was not heard"),
            EndCause::SipSideGone => "the SIP side fell silent without saying so, and was so until the end".to_owned(),
            EndCause::NoMedia => "no media from anybody".to_owned(),
            EndCause::HeldTooLong => format!("it was on hold for too long and ended {talked} after the answer"),
            EndCause::InternalError => "lost to a bug in Trestle".to_owned(),
        }
    }

    /// What a support engineer would write: what happened, how that is known, what WhatsApp calls it, how everybody fared, and
    /// what to do.
    pub fn paragraph(&self) -> String {
        let mut text = vec![self.opening()];
        if !self.evidence.is_empty() {
            text.push(format!("{}.", capital(&self.evidence.join("; "))));
        }
        if let Some(code) = self.code {
            let sip = code.sip_status().map(|status| format!(", in SIP {status} \"RTP Timeout\"")).unwrap_or_default();
            text.push(format!("That fits Meta's error {} \"{}\"{sip}.", code.number(), code.title()));
        }
        text.extend(self.setup());
        text.extend(self.legs.iter().map(fared));
        text.extend(self.digits());
        text.extend(self.hints.iter().map(|hint| hint.sentence().to_owned()));
        text.extend(self.cause.advice().map(str::to_owned));
        text.join(" ")
    }

    fn opening(&self) -> String {
        let by = match self.ended {
            None if self.cause == EndCause::Running => return format!("The call is {}.", self.summary()),
            None => return format!("The call goes on, but something is wrong: {}.", self.summary()),
            Some(EndedBy::Deleted) => match &self.ended_by {
                Some(who) => format!("The signalling ended it (`delete`, naming {who})"),
                None => "The signalling ended it (`delete`)".to_owned(),
            },
            Some(EndedBy::OfferTimeout) => "Trestle ended it, because no answer came in time".to_owned(),
            Some(EndedBy::MediaTimeout) => "Trestle ended it, because no media came from anybody".to_owned(),
            Some(EndedBy::SilentTimeout) => "Trestle ended it, because it was on hold for too long".to_owned(),
            Some(EndedBy::Failed) => "It was lost".to_owned(),
        };
        let when = match (self.cause, self.answered) {
            (EndCause::Unanswered | EndCause::TooShort | EndCause::Normal | EndCause::HeldTooLong, _) => String::new(),
            (_, Some(answered)) => format!(", {} after the answer", span(self.age.saturating_sub(answered))),
            (_, None) => format!(", {} after the offer", span(self.age)),
        };
        let grade = match self.grade {
            Grade::Good => "This was a good call",
            Grade::Fair => "This call worked, but somebody may complain",
            Grade::Bad => "This was a bad call",
            Grade::None => "There is little to judge in this call",
        };
        format!("{grade}: {}. {by}{when}.", self.summary())
    }

    /// How the legs with stages of set-up came up.
    fn setup(&self) -> Option<String> {
        let leg = self.legs.iter().find(|leg| leg.first_media_after.is_some() && leg.ice_after.is_some())?;
        let stages = match (leg.ice_after, leg.dtls_after) {
            (Some(Duration::ZERO), Some(dtls)) => format!(" (ICE was there before, DTLS {} after ICE)", span(dtls)),
            (Some(ice), Some(dtls)) => format!(" (ICE {} after the answer, DTLS {} after ICE)", span(ice), span(dtls)),
            _ => String::new(),
        };
        let kept = match (leg.preroll.kept.is_zero(), leg.preroll.clipped.is_zero()) {
            (true, true) => String::new(),
            (false, true) => {
                format!("; {} that came too early were kept and played, nothing was clipped", span(leg.preroll.kept))
            }
            (_, false) => format!("; {} that came too early were clipped", span(leg.preroll.clipped)),
        };
        let from = if leg.gated { "its gate was opened" } else { "the answer" };
        let first = match leg.first_media_after? {
            Duration::ZERO if leg.gated => "the moment its gate was opened".to_owned(),
            Duration::ZERO => "at once".to_owned(),
            after => format!("{} after {from}", span(after)),
        };
        Some(format!("{} got its first media {first}{stages}{kept}.", capital(&leg.who)))
    }

    fn digits(&self) -> Option<String> {
        let pressed = self.legs.iter().filter(|leg| !leg.digits_in.is_empty());
        let pressed: Vec<String> = pressed.map(|leg| format!("{} pressed {}", leg.who, leg.digits_in)).collect();
        (!pressed.is_empty()).then(|| format!("{}.", capital(&pressed.join("; "))))
    }
}

fn fared(leg: &LegSummary) -> String {
    let who = capital(&leg.who);
    let codec = leg.codec.map(|codec| format!(" of {codec}")).unwrap_or_default();
    let mut text = format!("{who} sent {} packets", leg.packets_in);
    if leg.packets_in > 0 {
        let jitter = leg.jitter.as_millis();
        text += &format!(" ({}.{} % lost, jitter {jitter} ms)", leg.loss_permille / 10, leg.loss_permille % 10);
    }
    text += &format!(" and was sent {}{codec}", leg.packets_out);
    if leg.concealed_frames > 0 && leg.packets_out > 0 {
        text += &format!(", {} of them made up for lost ones", leg.concealed_frames);
    }
    if let Some(percent) = leg.remote_loss_percent.filter(|percent| *percent > 0) {
        text += &format!(", of which it last reported {percent} % as lost");
    }
    if let Some(quality) = leg.hears {
        text += &format!("; what it heard is worth MOS {quality}");
    }
    text + "."
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
