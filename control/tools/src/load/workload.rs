//! The kinds of calls: the codec of each side, and the ng flags that an engine needs for them.

use serde_json::{Value, json};

/// What is sent as audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadCodec {
    /// G.711 A-law.
    Pcma,
    /// Opus.
    Opus,
}

impl LoadCodec {
    /// RTP ticks of 20 ms.
    pub fn frame_ticks(self) -> u32 {
        match self {
            Self::Pcma => 160,
            Self::Opus => 960,
        }
    }

    /// The payload type that is offered.
    pub fn pt(self) -> u8 {
        match self {
            Self::Pcma => 8,
            Self::Opus => 111,
        }
    }

    /// What follows the payload type in `a=rtpmap`.
    pub fn rtpmap(self) -> &'static str {
        match self {
            Self::Pcma => "PCMA/8000",
            Self::Opus => "opus/48000/2",
        }
    }
}

/// How a side secures its media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SideSecurity {
    /// Not at all.
    Rtp,
    /// SRTP with keys from the SDP (RFC 4568).
    Sdes,
    /// ICE-lite and DTLS-SRTP, as WhatsApp has it.
    Dtls,
}

impl SideSecurity {
    /// The protocol of the `m=` line.
    pub fn profile(self) -> &'static str {
        match self {
            Self::Rtp => "RTP/AVP",
            Self::Sdes => "RTP/SAVP",
            Self::Dtls => "UDP/TLS/RTP/SAVPF",
        }
    }
}

/// One side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallSide {
    /// Keys.
    pub security: SideSecurity,
    /// Audio.
    pub codec: LoadCodec,
}

/// What the calls are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// PCMA, forwarded, without encryption
    RtpRtp,
    /// PCMA, forwarded, SDES-SRTP on one side
    SdesRtp,
    /// PCMA, forwarded, SDES-SRTP on both sides
    SdesSdes,
    /// Opus, forwarded, DTLS-SRTP (WhatsApp) to SDES-SRTP
    DtlsSdes,
    /// Opus to PCMA and back, without encryption
    Transcode,
    /// The main job: DTLS-SRTP with Opus (WhatsApp) to SDES-SRTP with PCMA
    Bridge,
    /// How many calls of `rtp-rtp` a second can be set up and deleted
    SetUp,
    /// How many calls of `bridge` a second can be set up, DTLS included, and deleted
    SetUpBridge,
    /// No calls: what Opus alone costs on this machine
    Codecs,
}

impl Workload {
    /// All that carry media.
    pub const MEDIA: [Self; 6] =
        [Self::RtpRtp, Self::SdesRtp, Self::SdesSdes, Self::DtlsSdes, Self::Transcode, Self::Bridge];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::RtpRtp => "rtp-rtp",
            Self::SdesRtp => "sdes-rtp",
            Self::SdesSdes => "sdes-sdes",
            Self::DtlsSdes => "dtls-sdes",
            Self::Transcode => "transcode",
            Self::Bridge => "bridge",
            Self::SetUp => "set-up",
            Self::SetUpBridge => "set-up-bridge",
            Self::Codecs => "codecs",
        }
    }

    /// The side that offers, and the side that answers.
    pub fn sides(self) -> [CallSide; 2] {
        use LoadCodec::{Opus, Pcma};
        use SideSecurity::{Dtls, Rtp, Sdes};
        let side = |security, codec| CallSide { security, codec };
        match self {
            Self::RtpRtp | Self::SetUp => [side(Rtp, Pcma), side(Rtp, Pcma)],
            Self::SdesRtp => [side(Sdes, Pcma), side(Rtp, Pcma)],
            Self::SdesSdes => [side(Sdes, Pcma), side(Sdes, Pcma)],
            Self::DtlsSdes => [side(Dtls, Opus), side(Sdes, Opus)],
            Self::Transcode => [side(Rtp, Opus), side(Rtp, Pcma)],
            Self::Bridge | Self::SetUpBridge | Self::Codecs => [side(Dtls, Opus), side(Sdes, Pcma)],
        }
    }

    /// The two sides speak different codecs.
    pub fn transcodes(self) -> bool {
        let [a, b] = self.sides();
        a.codec != b.codec
    }

    /// It is about setting up only.
    pub fn is_set_up(self) -> bool {
        matches!(self, Self::SetUp | Self::SetUpBridge)
    }
}

/// What is the same in all commands of a run.
#[derive(Debug, Clone, Default)]
pub struct NgStyle {
    /// Names of the engine's interfaces for the two sides.
    pub direction: Option<[String; 2]>,
    /// Further `flags`.
    pub flags: Vec<String>,
}

impl NgStyle {
    /// The `offer` of call `id`.
    pub fn offer(&self, work: Workload, id: &str, sdp: &str) -> Value {
        let [a, b] = work.sides();
        let mut request = self.message("offer", id, sdp, b.security);
        if let Some([from, to]) = &self.direction {
            request["direction"] = json!([from, to]);
        }
        if a.security == SideSecurity::Dtls {
            request["rtcp-mux"] = json!(["demux"]);
        }
        if work.transcodes() {
            request["codec"] = json!({"mask": ["opus"], "transcode": ["PCMA"]});
        }
        request
    }

    /// The `answer` of call `id`.
    pub fn answer(&self, work: Workload, id: &str, sdp: &str) -> Value {
        let [a, _] = work.sides();
        let mut request = self.message("answer", id, sdp, a.security);
        request["to-tag"] = "b".into();
        if a.security == SideSecurity::Dtls {
            request["rtcp-mux"] = json!(["require"]);
        }
        request
    }

    /// The `delete` of call `id`.
    pub fn delete(&self, id: &str) -> Value {
        json!({"command": "delete", "call-id": id, "from-tag": "a", "delete-delay": 0})
    }

    /// `towards` is how the side secures its media that the rewritten description goes to.
    fn message(&self, command: &str, id: &str, sdp: &str, towards: SideSecurity) -> Value {
        let webrtc = towards == SideSecurity::Dtls;
        let mut request = json!({
            "command": command, "call-id": id, "from-tag": "a", "sdp": sdp, "replace": ["origin"],
            "transport-protocol": towards.profile(), "ICE": if webrtc { "force" } else { "remove" },
        });
        if !webrtc {
            request["DTLS"] = "off".into();
        }
        if !self.flags.is_empty() {
            request["flags"] = json!(self.flags);
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn a_work_is_called_what_the_command_line_calls_it() {
        for work in Workload::value_variants() {
            assert_eq!(work.to_possible_value().unwrap().get_name(), work.name());
        }
    }

    #[test]
    fn the_bridge_gets_requests_that_any_ng_engine_understands() {
        let manner = NgStyle { direction: Some(["wa".to_owned(), "sip".to_owned()]), flags: Vec::new() };
        let offer = manner.offer(Workload::Bridge, "c", "v=0");
        assert_eq!(offer["transport-protocol"], "RTP/SAVP");
        assert_eq!((&offer["ICE"], &offer["DTLS"]), (&json!("remove"), &json!("off")));
        assert_eq!(offer["codec"]["transcode"], json!(["PCMA"]));
        assert_eq!(offer["direction"], json!(["wa", "sip"]));
        let answer = manner.answer(Workload::Bridge, "c", "v=0");
        assert_eq!((&answer["transport-protocol"], &answer["ICE"]), (&json!("UDP/TLS/RTP/SAVPF"), &json!("force")));
        assert_eq!(answer.get("DTLS"), None);
        assert_eq!(NgStyle::default().offer(Workload::RtpRtp, "c", "v=0").get("codec"), None);
    }
}
