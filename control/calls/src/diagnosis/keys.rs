//! A verdict as keys of replies and events.

use std::time::Duration;

use super::CallVerdict;
use super::legs::LegSummary;
use super::timeline::TimelineEntry;
use trestle_ng::command::flags::ProfileName;
use trestle_ng::{Dict, Value};

impl CallVerdict {
    /// The keys that fit into any reply.
    pub fn brief(&self) -> Dict {
        let mut dict = Dict::default().with("grade", self.grade.name()).with("cause", self.cause.name());
        if let Some(quality) = self.quality {
            dict.push("mos-x10", u64::from(quality.mos_x10));
        }
        if let Some(code) = self.code {
            dict.push("meta-code", u64::from(code.number()));
            if let Some(status) = code.sip_status() {
                dict.push("sip-code", u64::from(status));
            }
        }
        if !self.hints.is_empty() {
            dict.push("hints", self.hints.iter().map(|hint| hint.name().into()).collect::<Vec<Value>>());
        }
        dict
    }

    /// The brief keys and the summary.
    pub fn headline(&self) -> Dict {
        self.brief().with("summary", self.summary())
    }

    /// All keys.
    pub fn full(&self) -> Dict {
        let strings = |list: &[String]| list.iter().map(|text| text.as_str().into()).collect::<Vec<Value>>();
        let mut dict = self.headline();
        if let Some(answered) = self.answered {
            dict.push("answered-ms", ms(answered));
        }
        dict.push("age-ms", ms(self.age));
        if let Some(ended) = self.ended {
            dict.push("ended", ended.name());
        }
        if let Some(who) = &self.ended_by {
            dict.push("ended-by", who.as_str());
        }
        dict.push("evidence", strings(&self.evidence));
        if let Some(advice) = self.cause.advice() {
            dict.push("advice", advice);
        }
        dict.push("explanation", self.paragraph());
        dict.push("legs", self.legs.iter().map(|leg| leg.dict().into()).collect::<Vec<Value>>());
        dict.with("timeline", self.timeline.iter().map(|entry| entry.dict().into()).collect::<Vec<Value>>())
    }
}

impl LegSummary {
    fn dict(&self) -> Dict {
        let mut dict = Dict::default();
        for (key, name) in [("tag", &self.name.tag), ("label", &self.name.label)] {
            if let Some(name) = name {
                dict.push(key, name.as_str());
            }
        }
        let profile = match self.profile {
            ProfileName::Whatsapp => "whatsapp",
            ProfileName::Sip => "sip",
            ProfileName::Webrtc => "webrtc",
        };
        dict.push("profile", profile);
        if let Some(codec) = self.codec {
            dict.push("codec", codec.to_string());
        }
        if let Some(quality) = self.quality {
            dict.push("mos-x10", u64::from(quality.mos_x10));
            dict.push("r", u64::from(quality.r));
        }
        for (key, number) in [
            ("packets-in", self.packets_in),
            ("packets-out", self.packets_out),
            ("loss-permille", self.loss_permille.into()),
            ("jitter-ms", ms(self.jitter)),
            ("concealed-frames", self.concealed_frames),
            ("filled-frames", self.filled_frames),
            ("pre-roll-ms", ms(self.preroll.kept)),
            ("clipped-ms", ms(self.preroll.clipped)),
        ] {
            dict.push(key, number);
        }
        for (key, time) in [
            ("caught-up-ms", self.preroll.caught_up),
            ("round-trip-ms", self.round_trip),
            ("first-media-after-ms", self.first_media_after),
        ] {
            if let Some(time) = time {
                dict.push(key, ms(time));
            }
        }
        if let Some(percent) = self.remote_loss_percent {
            dict.push("remote-loss-percent", u64::from(percent));
        }
        for (key, digits) in [("digits-in", &self.digits_in), ("digits-out", &self.digits_out)] {
            if !digits.is_empty() {
                dict.push(key, digits.as_str());
            }
        }
        dict
    }
}

impl TimelineEntry {
    fn dict(&self) -> Dict {
        let mut dict = Dict::default().with("ms", ms(self.at));
        if let Some(who) = &self.who {
            dict.push("who", who.as_str());
        }
        dict.with("what", self.what.as_str())
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
