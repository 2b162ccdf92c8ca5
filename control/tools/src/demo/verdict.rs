//! Whether the bridge is good, and if not, what is wrong and where to look.

use std::time::Duration;

use trestle_peers::{Flavour, MetaReport, ReceivedDigit};

use super::hearing::{Hearing, Speech};
use super::scene::{DemoParty, ScriptedPress};

/// Under this similarity it is not the same speech. G.711 and Opus at 20 kbit/s keep 0.95.
const SIMILARITY_MIN: f64 = 0.9;
/// The same on a network that loses packets: the peers conceal nothing.
const SIMILARITY_MIN_LOSSY: f64 = 0.7;
/// What the bridge may change in loudness.
const LEVEL_CHANGE_MAX_DB: f64 = 3.0;
/// Speech is placed to 5 ms; a 10 ms window decides where a word begins.
const FIRST_WORD_SLACK_MS: f64 = 15.0;
/// One packet more or less.
const DIGIT_SLACK_MS: f64 = 20.0;
/// An RTP clock farther from the wall clock has slipped by more than the one frame by which a stream that begins with silence,
/// or with what was kept, may be ahead.
const SLIP_MAX_MS: f64 = 30.0;
/// The same for a digit, which is one packet and may be delayed by a busy machine.
const DIGIT_OFF_LINE_MAX_MS: f64 = 60.0;
/// A longer pause between two packets is audible.
const GAP_MAX: Duration = Duration::from_millis(150);
/// What a lost packet takes with it.
const FRAME_MS: u32 = 20;
/// A hole of that length is audible.
const HOLE_MAX_MS: u32 = 20;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) what: String,
    /// Where in Trestle to look.
    pub(crate) look: &'static str,
}

/// Faults of the call as a whole and of what each side received; none means that the bridge is good.
pub(crate) fn judge(failure: Option<&str>, meta: &MetaReport, flavour: Flavour, hearings: &[Hearing]) -> Vec<Fault> {
    if let Some(failure) = failure {
        let look = "the reason above; `trestle serve --log-level=debug` prints more";
        return vec![Fault { what: failure.to_owned(), look }];
    }
    let mut faults = Faults::default();
    faults.signalling(meta, flavour);
    for hearing in hearings {
        faults.listener = match hearing.listener {
            DemoParty::Phone => "the phone",
            DemoParty::WhatsApp => "WhatsApp",
        };
        faults.speech(hearing);
        faults.stream(hearing);
        faults.digits(&hearing.pressed, &hearing.report.digits);
    }
    faults.found
}

#[derive(Default)]
struct Faults {
    listener: &'static str,
    found: Vec<Fault>,
}

impl Faults {
    fn check(&mut self, good: bool, look: &'static str, what: impl FnOnce(&str) -> String) {
        if !good {
            self.found.push(Fault { what: what(self.listener), look });
        }
    }

    fn signalling(&mut self, meta: &MetaReport, flavour: Flavour) {
        for remark in &meta.sdp_remarks {
            self.check(false, "SDP towards WhatsApp: negotiate", |_| format!("SDP not as WhatsApp asks: {remark}"));
        }
        self.check(meta.ssrc_as_signalled != Some(false), "SSRC: negotiate and stream/tx", |_| {
            "WhatsApp received another SSRC than a=ssrc announced".to_owned()
        });
        let Some(ice) = meta.ice.as_ref().filter(|_| flavour == Flavour::WebRtc) else { return };
        let look = "ICE: leg/webrtc/ice";
        self.check(ice.controlling == Some(true), look, |_| "Trestle did not take the controlling role".to_owned());
        self.check(ice.regular_nomination == Some(true), look, |_| "nomination was not regular".to_owned());
        self.check(ice.switches == 0, look, |_| format!("the ICE pair was switched {} times", ice.switches));
        self.check(ice.media_before_nomination == 0, look, |_| {
            format!("{} packets before the nomination", ice.media_before_nomination)
        });
        self.check(ice.consent_gaps == 0, look, |_| format!("consent was missed {} times", ice.consent_gaps));
    }

    fn speech(&mut self, hearing: &Hearing) {
        let look = "the route between the legs, then discards in `trestle ctl query`";
        if hearing.report.packets == 0 {
            return self.check(false, look, |who| format!("{who} received nothing at all"));
        }
        let Some(speech) = hearing.speech else {
            return self.check(false, look, |who| format!("{who} did not receive the speech"));
        };
        let Speech { similarity, missing_ms, first_word_ms, said_dbov, heard_dbov, hole_ms, .. } = speech;
        let least = if hearing.lost_on_the_way == 0 { SIMILARITY_MIN } else { SIMILARITY_MIN_LOSSY };
        self.check(similarity >= least, look, |who| {
            format!("what {who} received is only {similarity:.2} like the sent audio")
        });
        self.check((heard_dbov - said_dbov).abs() <= LEVEL_CHANGE_MAX_DB, "codecs: audio", |who| {
            format!("{who} received {heard_dbov:.0} dBov of {said_dbov:.0} dBov")
        });
        let clipped_ms = missing_ms - first_word_ms;
        self.check(clipped_ms <= FIRST_WORD_SLACK_MS, "time to voice: the timeline above", |who| {
            format!("{who} missed the first {clipped_ms:.0} ms of the first word")
        });
        // Nor is there anything between equal codecs that could conceal them; the peers' own decoders do not try.
        let excused_ms = u32::try_from(hearing.lost_on_the_way).unwrap_or(u32::MAX).saturating_mul(FRAME_MS);
        self.check(hole_ms < HOLE_MAX_MS.saturating_add(excused_ms), "jitter buffer and concealment", |who| {
            format!("{who} received {hole_ms} ms of silence where there was speech")
        });
        let peaks = hearing.clipped_peaks;
        self.check(peaks == 0, "levels: audio", |who| format!("{who} received {peaks} clipped peaks"));
    }

    fn stream(&mut self, hearing: &Hearing) {
        let Hearing { report, lost_on_the_way, slip_ms, .. } = hearing;
        let look = "numbering: stream/tx";
        let mut none = |count: u64, what: &str| {
            self.check(count == 0, look, |who| format!("{what} at {who}: {count}"));
        };
        // Between equal codecs the numbering shows the losses of the path before.
        none(report.lost.saturating_sub(*lost_on_the_way), "sequence numbers missing");
        none(report.duplicates, "packets that came twice");
        none(report.reordered, "packets out of order");
        none(report.unknown_pt, "packets of a payload type not agreed on");
        none(report.ptime_violations, "packets not as long as agreed");
        none(report.undecodable, "packets that cannot be decoded");
        none(report.auth_failures, "packets that did not authenticate");
        none(report.strays, "datagrams from elsewhere or of no known kind");
        let ssrcs = report.ssrcs.len();
        self.check(ssrcs <= 1, look, |who| format!("{who} saw {ssrcs} SSRCs"));
        self.check(slip_ms.abs() <= SLIP_MAX_MS, look, |who| {
            format!("RTP clock and wall clock are {slip_ms:+.0} ms apart at {who}")
        });
        let gap = report.longest_gap;
        self.check(gap <= GAP_MAX, "playout, or a busy machine", |who| {
            format!("{who} received nothing for {} ms", gap.as_millis())
        });
    }

    fn digits(&mut self, pressed: &[ScriptedPress], received: &[ReceivedDigit]) {
        let look = "digits: dtmf and the agreed telephone-event";
        let word = |digits: &mut dyn Iterator<Item = char>| {
            let word: String = digits.collect();
            if word.is_empty() { "none".to_owned() } else { word }
        };
        let (sent, came) =
            (word(&mut pressed.iter().map(|press| press.digit)), word(&mut received.iter().map(|digit| digit.digit)));
        if sent != came {
            return self.check(false, look, |who| format!("{who} should receive the digits {sent}, received {came}"));
        }
        for (press, digit) in pressed.iter().zip(received) {
            let (name, heard_ms, pressed_ms) = (digit.digit, digit.duration_ms, press.length.as_secs_f64() * 1e3);
            self.check((heard_ms - pressed_ms).abs() <= DIGIT_SLACK_MS, look, |who| {
                format!("{who} received digit {name} for {heard_ms:.0} ms, pressed for {pressed_ms:.0} ms")
            });
            let off = digit.off_line_ms;
            self.check(off.abs() <= DIGIT_OFF_LINE_MAX_MS, look, |who| {
                format!("digit {name} at {who} is {off:+.0} ms off the time line of the audio")
            });
            self.check(digit.ends > 0, look, |who| format!("digit {name} never ended at {who}"));
        }
    }
}

#[cfg(test)]
mod tests;
