//! What WhatsApp is told: a description of our own, with nothing of the other side in it.
//!
//! Meta's validator answers a surplus line with a refusal that names none, so this writes what is known to be taken and no
//! more: one audio stream, one BUNDLE group, one fingerprint, one candidate, one SSRC, two formats.

use super::description::{Description, RTP_PORT};
use super::write_sip::{Draft, candidate_line, family};
use trestle_sdp::Security;
use trestle_sdp::fingerprint::sha256_text;

pub(crate) fn write(draft: &Draft<'_>) -> Description {
    let Draft { party, formats, address, .. } = draft;
    let mut out = Description::new(party.leg);
    let mid = draft.mid.as_deref().unwrap_or("audio");
    out.line("v=0");
    // The session id is ours and never changes, the version rises with the text (RFC 3264 section 8).
    out.line(&format!("o=- {} {} IN {} {address}", party.secrets.session_id, party.version, family(*address)));
    out.line("s=-");
    out.line("t=0 0");
    out.line(&format!("a=group:BUNDLE {mid}"));
    draft.rejected_media_before(&mut out);
    let pts: Vec<String> = formats.iter().map(|format| format.pt.get().to_string()).collect();
    out.line(&format!("m=audio {RTP_PORT} {} {}", party.protocol.as_str(), pts.join(" ")));
    out.line(&format!("c=IN {} {address}", family(*address)));
    if party.security == Security::Dtls {
        out.line(&candidate_line(*address));
        out.line("a=end-of-candidates");
        out.line(&format!("a=ice-ufrag:{}", party.secrets.ice.ufrag));
        out.line(&format!("a=ice-pwd:{}", party.secrets.ice.pwd));
        out.line(&format!("a=fingerprint:sha-256 {}", sha256_text(draft.fingerprint)));
        if let Some(setup) = draft.setup {
            out.line(&format!("a=setup:{}", setup.as_str()));
        }
    }
    out.line(&format!("a=mid:{mid}"));
    // Hold happens behind this leg, never on it.
    out.line("a=sendrecv");
    out.line("a=rtcp-mux");
    if let Some(crypto) = draft.cryptos.first() {
        out.line(&format!("a=crypto:{crypto}"));
    }
    for format in *formats {
        out.line(&format!("a=rtpmap:{} {}", format.pt.get(), format.rtpmap()));
        if let Some(fmtp) = &format.fmtp {
            out.line(&format!("a=fmtp:{} {fmtp}", format.pt.get()));
        }
    }
    out.line("a=maxptime:20");
    out.line("a=ptime:20");
    out.line(&format!("a=ssrc:{} cname:{}", party.secrets.ssrc.0, party.secrets.cname));
    draft.rejected_media_after(&mut out);
    out
}
