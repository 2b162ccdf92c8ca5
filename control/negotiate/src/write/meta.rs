//! The description for WhatsApp: our own, with no line of the other side's.
//!
//! Meta's validator refuses a description with a surplus line and does not name the line. So this writes only lines that are
//! known to be accepted: one audio stream, one BUNDLE group, one fingerprint, one candidate, one SSRC, two formats.

use super::{Draft, Frame, family, formats};
use crate::party::SdpTemplate;
use trestle_sdp::fingerprint::sha256_text;

pub(super) fn write(frame: &Frame<'_>, draft: &Draft, out: &mut SdpTemplate) {
    let Frame { party, address, .. } = frame;
    let mid = frame.mid.unwrap_or("audio");
    out.line("v=0");
    // The session id is ours and constant, the version rises with the text (RFC 3264 section 8).
    let (id, version) = (party.secrets.session_id, party.sent_sdp.version());
    out.line(&format!("o=- {id} {version} IN {} {address}", family(*address)));
    out.line("s=-");
    out.line("t=0 0");
    out.line(&format!("a=group:BUNDLE {mid}"));
    frame.reject_before(draft, out);
    out.line(&frame.media(draft));
    out.line(&frame.connection());
    if draft.is_dtls() {
        out.line(&frame.candidate());
        out.line("a=end-of-candidates");
        out.line(&format!("a=ice-ufrag:{}", party.secrets.ice.ufrag));
        out.line(&format!("a=ice-pwd:{}", party.secrets.ice.pwd.as_str()));
        out.line(&format!("a=fingerprint:sha-256 {}", sha256_text(frame.fingerprint)));
        if let Some(setup) = draft.setup {
            out.line(&format!("a=setup:{}", setup.as_str()));
        }
    }
    out.line(&format!("a=mid:{mid}"));
    // A hold of the other side never appears here.
    out.line("a=sendrecv");
    out.line("a=rtcp-mux");
    if let Some(crypto) = draft.cryptos.first() {
        out.line(&format!("a=crypto:{crypto}"));
    }
    formats(&draft.formats, out);
    out.line("a=maxptime:20");
    out.line("a=ptime:20");
    out.line(&format!("a=ssrc:{} cname:{}", party.secrets.ssrc.0, party.secrets.cname));
    frame.reject_after(draft, out);
}
