//! Descriptions as text: for WhatsApp one of our own, for other peers the other side's with our transport.

mod meta;
mod sip;

use std::net::IpAddr;
use std::sync::Arc;

use trestle_ng::command::Flags;
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::{Direction, Format, MediaDescription, PeerDescription, Security, Setup};

use crate::party::{Party, PartyKind, RTP_PORT, SdpTemplate, StreamState};

/// What an exchange decides about a description.
pub(crate) struct Draft {
    /// What the leg is once this description is agreed.
    pub(crate) kind: PartyKind,
    /// With [`StreamState::Ended`] the audio is written with port 0.
    pub(crate) stream: StreamState,
    /// The other side's description, whose lines are passed on.
    pub(crate) base: Arc<PeerDescription>,
    /// The receiver's own description: the offer that this answers, or the one in force. Its `m=` lines set ours.
    pub(crate) own: Option<Arc<PeerDescription>>,
    pub(crate) formats: Vec<Format>,
    /// Values of our `a=crypto` lines.
    pub(crate) cryptos: Vec<String>,
    pub(crate) direction: Direction,
    /// Written for DTLS legs only.
    pub(crate) setup: Option<Setup>,
    /// Write `a=rtcp-mux`.
    pub(crate) rtcp_mux: bool,
    /// Write `a=rtcp:PORT`: the receiver may send RTCP to a port of its own.
    pub(crate) rtcp_port: bool,
    /// An offer, not an answer.
    pub(crate) offering: bool,
    pub(crate) ptime_ms: Option<u32>,
}

/// What a description has from its party, the machine and the flags. The ports are placeholders.
pub(crate) struct Frame<'a> {
    /// The receiver.
    pub(crate) party: &'a Party,
    /// Our address for the receiver.
    pub(crate) address: IpAddr,
    /// SHA-256 of our certificate.
    pub(crate) fingerprint: &'a [u8; 32],
    pub(crate) mid: Option<&'a str>,
    /// Write `a=group:BUNDLE`.
    pub(crate) bundle: bool,
    pub(crate) flags: &'a Flags,
}

/// Writes a description in the form that the receiver's profile requires.
pub(crate) fn write(frame: &Frame<'_>, draft: &Draft) -> SdpTemplate {
    let mut out = SdpTemplate::new(frame.party.leg());
    match draft.kind.profile {
        ProfileName::Whatsapp => meta::write(frame, draft, &mut out),
        ProfileName::Sip | ProfileName::Webrtc => sip::write(frame, draft, &mut out),
    }
    out
}

impl Frame<'_> {
    fn connection(&self) -> String {
        format!("c=IN {} {}", family(self.address), self.address)
    }

    /// Our one host candidate. Its priority is that of a host with one address, component 1 (RFC 8445 5.1.2.1).
    fn candidate(&self) -> String {
        format!("a=candidate:1 1 udp 2130706431 {} {RTP_PORT} typ host", self.address)
    }

    /// `m=` line of the audio.
    fn media(&self, draft: &Draft) -> String {
        let pts: Vec<String> = draft.formats.iter().map(|format| format.pt.get().to_string()).collect();
        format!("m=audio {RTP_PORT} {} {}", draft.kind.protocol.as_str(), pts.join(" "))
    }

    /// Refuses the receiver's other streams before its audio: an answer has as many `m=` lines as the offer, in the same order
    /// (RFC 3264 section 6).
    fn reject_before(&self, draft: &Draft, out: &mut SdpTemplate) {
        if let Some(own) = &draft.own {
            own.sdp.media[..own.audio].iter().for_each(|media| self.reject(draft, out, media));
        }
    }

    /// Refuses the receiver's streams after its audio.
    fn reject_after(&self, draft: &Draft, out: &mut SdpTemplate) {
        if let Some(own) = &draft.own {
            own.sdp.media[own.audio + 1..].iter().for_each(|media| self.reject(draft, out, media));
        }
    }

    fn reject(&self, draft: &Draft, out: &mut SdpTemplate, media: &MediaDescription) {
        let words =
            [media.media.as_str(), "0", &media.proto].into_iter().chain(media.formats.iter().map(String::as_str));
        out.line(&format!("m={}", words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")));
        if !draft.base.sdp.session.iter().any(|line| line.letter == 'c') || draft.kind.profile != ProfileName::Sip {
            out.line(&self.connection());
        }
        if let Ok(Some(mid)) = media.mid() {
            out.line(&format!("a=mid:{mid}"));
        }
    }
}

impl Draft {
    fn is_dtls(&self) -> bool {
        self.kind.security == Security::Dtls
    }
}

/// `a=rtpmap` and `a=fmtp` of each format.
fn formats(formats: &[Format], out: &mut SdpTemplate) {
    for format in formats {
        out.line(&format!("a=rtpmap:{} {}", format.pt.get(), format.rtpmap()));
        if let Some(fmtp) = &format.fmtp {
            out.line(&format!("a=fmtp:{} {fmtp}", format.pt.get()));
        }
    }
}

/// The attribute by which this process recognises its own descriptions (`loop-protect`): rtpengine's name, and one value for
/// the life of the process.
pub(crate) fn loop_mark(fingerprint: &[u8; 32]) -> String {
    let [a, b, c, d, e, f, g, h, ..] = *fingerprint;
    format!("rtpengine:{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

/// Address type of `o=` and `c=`.
pub(crate) fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IP4" } else { "IP6" }
}
