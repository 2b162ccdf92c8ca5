//! SDP as Meta writes it, line by line as in its samples.

use std::net::SocketAddr;

use crate::Codec;

/// What varies from call to call.
pub(crate) struct MetaSdp<'a> {
    /// Milliseconds of its clock: the session id.
    pub(crate) session_id: u64,
    pub(crate) stream_id: &'a str,
    pub(crate) mid: &'a str,
    pub(crate) address: SocketAddr,
    /// Advertised, `address` among them. Empty without ICE.
    pub(crate) candidates: &'a [SocketAddr],
    pub(crate) security: SdpSecurity<'a>,
    pub(crate) codecs: &'a [(u8, Codec)],
    pub(crate) event_pt: u8,
    pub(crate) ssrc: u32,
}

/// The lines that tell how media is secured.
pub(crate) enum SdpSecurity<'a> {
    WebRtc { ufrag: &'a str, pwd: &'a str, fingerprint: &'a str, setup: &'a str },
    Sdes { crypto: &'a str },
}

impl MetaSdp<'_> {
    pub(crate) fn write(&self) -> String {
        let family = |address: &SocketAddr| if address.is_ipv6() { "IP6" } else { "IP4" };
        let (mid, stream, address) = (self.mid, self.stream_id, &self.address);
        let webrtc = matches!(self.security, SdpSecurity::WebRtc { .. });
        let profile = if webrtc { "UDP/TLS/RTP/SAVPF" } else { "RTP/SAVP" };
        let pts: String = self.codecs.iter().map(|(pt, _)| format!("{pt} ")).collect();
        let mut lines = vec![
            "v=0".to_owned(),
            format!("o=- {} 2 IN IP4 127.0.0.1", self.session_id),
            "s=-".to_owned(),
            "t=0 0".to_owned(),
            format!("a=group:BUNDLE {mid}"),
            format!("a=msid-semantic: WMS {stream}"),
        ];
        if webrtc {
            lines.push("a=ice-lite".to_owned());
        }
        lines.push(format!("m=audio {} {profile} {pts}{}", address.port(), self.event_pt));
        lines.push(format!("c=IN {} {}", family(address), address.ip()));
        lines.push("a=rtcp:9 IN IP4 0.0.0.0".to_owned());
        if let SdpSecurity::WebRtc { ufrag, pwd, fingerprint, setup } = self.security {
            for (n, candidate) in self.candidates.iter().enumerate() {
                // IPv6 has the higher priority.
                let priority = if candidate.is_ipv6() { 2_122_262_783u32 } else { 2_122_260_223 };
                let (foundation, ip, port) = (1_775_469_887 + n, candidate.ip(), candidate.port());
                lines.push(format!(
                    "a=candidate:{foundation} 1 udp {priority} {ip} {port} typ host generation 0 network-cost 50 ufrag {ufrag}"
                ));
            }
            lines.push(format!("a=ice-ufrag:{ufrag}"));
            lines.push(format!("a=ice-pwd:{pwd}"));
            lines.push(format!("a=fingerprint:sha-256 {fingerprint}"));
            lines.push(format!("a=setup:{setup}"));
        }
        lines.push(format!("a=mid:{mid}"));
        lines.push("a=sendrecv".to_owned());
        lines.push(format!("a=msid:{stream} WhatsAppTrack1"));
        lines.push("a=rtcp-mux".to_owned());
        if let SdpSecurity::Sdes { crypto } = self.security {
            lines.push(format!("a={crypto}"));
        }
        for (pt, codec) in self.codecs {
            lines.push(format!("a=rtpmap:{pt} {}", codec.rtpmap()));
            if *codec == Codec::Opus {
                if webrtc {
                    lines.push(format!("a=rtcp-fb:{pt} transport-cc"));
                }
                lines.push(format!(
                    "a=fmtp:{pt} maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1"
                ));
            }
        }
        lines.push(format!("a=rtpmap:{} telephone-event/8000", self.event_pt));
        lines.push("a=maxptime:20".to_owned());
        lines.push("a=ptime:20".to_owned());
        lines.push(format!("a=ssrc:{} cname:WhatsAppAudioStream1", self.ssrc));
        lines.iter().map(|line| format!("{line}\r\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_those_of_the_samples() {
        let with_crlf = |text: &str| text.replace("\r\n", "\n").replace('\n', "\r\n");
        let sample =
            with_crlf(include_str!("../../../../../tests/vectors/meta/user_initiated.sip_sdes.meta_offer.sdp"));
        let text = MetaSdp {
            session_id: 1_746_659_966_980,
            stream_id: "07092115-d151-427e-8722-26c70936b104",
            mid: "audio",
            address: "157.240.19.130:3480".parse().unwrap(),
            candidates: &[],
            security: SdpSecurity::Sdes {
                crypto: "crypto:1 AES_CM_128_HMAC_SHA1_80 inline:KcGyiedSIZWzYuRPVOBUcLaa0gVAq2ChigXlv2lR",
            },
            codecs: &[(111, Codec::Opus)],
            event_pt: 126,
            ssrc: 1_615_009_994,
        };
        assert_eq!(text.write(), sample);

        let sample =
            with_crlf(include_str!("../../../../../tests/vectors/meta/user_initiated.sip_webrtc.meta_offer.sdp"));
        let v4 = "57.144.135.35:3480".parse().unwrap();
        let text = MetaSdp {
            session_id: 1_741_113_186_367,
            stream_id: "632a909f-1060-4369-96a4-7bd03e291ee7",
            address: v4,
            candidates: &[v4, "[2a03:2880:f343:131:face:b00c:0:699c]:3480".parse().unwrap()],
            security: SdpSecurity::WebRtc {
                ufrag: "RmDDkfzkwbexPfbC",
                pwd: "yg3yyVqhRMHQ/y/zyPln/cHen",
                fingerprint: "CA:0D:F2:C9:5A:A1:44:C1:D0:FF:2F:F3:C8:F9:67:FD:C1:DE:9E:F0:C4:12:0B:37:26:41:67:01:B5:19:D6:19",
                setup: "actpass",
            },
            ssrc: 849_255_537,
            ..text
        };
        // The sample from SIP lacks the `ufrag` that candidates in web-hooks have; foundations are drawn.
        let plain = |text: &str| -> Vec<String> {
            let line = |l: &str| l.split(" ufrag ").next().unwrap_or(l).to_owned();
            let shorten =
                |l: String| if l.starts_with("a=candidate:") { l.split_once(' ').unwrap().1.to_owned() } else { l };
            text.lines().map(line).map(shorten).collect()
        };
        assert_eq!(plain(&text.write()), plain(&sample));
    }
}
