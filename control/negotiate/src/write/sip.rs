//! The description for SIP phones and browsers: the other side's, with its transport removed and ours inserted, in
//! rtpengine's order of lines. Lines that pass stay where they were.

use super::{Draft, Frame, family, formats, loop_mark};
use crate::party::{RTCP_PORT, SdpTemplate, StreamState};
use trestle_core::plan::Codec;
use trestle_ng::command::Switch;
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::Line;
use trestle_sdp::fingerprint::sha256_text;

/// Attributes of the other side that pass, each with the reason. All others belong to the leg between that peer and Trestle, which
/// ends there: keys (also `acap`, `key-mgmt`), ICE, DTLS, RTCP, header extensions, SSRCs, capability negotiation (RFC 5939: `tcap`,
/// `pcfg`, `csup`, ...), bandwidth. Trestle writes those of its own leg.
const PASSED: [&str; 17] = [
    // What the application shows or selects a stream by (RFC 8866 section 6, RFC 4574, RFC 4796).
    "cat",
    "charset",
    "content",
    "keywds",
    "label",
    "lang",
    "quality",
    "sdplang",
    "tool",
    "type",
    // Human language of the stream (RFC 8373).
    "hlang-recv",
    "hlang-send",
    // Preconditions are agreed between the parties (RFC 3312).
    "conf",
    "curr",
    "des",
    // Silence suppression of the sender's encoder (RFC 3108). Asterisk writes it.
    "silenceSupp",
    // The marks of media proxies, by which each recognises a call that passes it twice.
    "rtpengine",
];

/// Lines of the other side that pass: they name the session and its times (RFC 8866 section 5). Not `b=`: it limits what the writer
/// receives, in the codec of its leg. Not `k=`: a key in the clear.
const PASSED_LETTERS: [char; 9] = ['v', 's', 'i', 'u', 'e', 'p', 't', 'r', 'z'];

/// True if the line may be written for another peer. `c=` and `o=` are written anew.
fn passes(line: &Line) -> bool {
    match line.attribute() {
        Some(attribute) => PASSED.contains(&attribute.name),
        None => PASSED_LETTERS.contains(&line.letter) || matches!(line.letter, 'c' | 'o'),
    }
}

pub(super) fn write(frame: &Frame<'_>, draft: &Draft, out: &mut SdpTemplate) {
    session(frame, draft, out);
    frame.reject_before(draft, out);
    audio(frame, draft, out);
    frame.reject_after(draft, out);
}

/// The lines before the first `m=`.
fn session(frame: &Frame<'_>, draft: &Draft, out: &mut SdpTemplate) {
    let session = &draft.base.sdp.session;
    let mut grouped = !frame.bundle;
    let group = |out: &mut SdpTemplate| {
        if let Some(mid) = &frame.mid {
            out.line(&format!("a=group:BUNDLE {mid}"));
        }
    };
    for line in session.iter().filter(|line| passes(line)) {
        if line.letter == 'a' && !grouped {
            group(out);
            grouped = true;
        }
        match line.letter {
            'v' if !session.iter().any(|line| line.letter == 'o') => {
                out.line("v=0");
                out.line(&origin(frame, ""));
            }
            'o' => out.line(&origin(frame, &line.value)),
            's' if frame.flags.replace.session_name => out.line("s=-"),
            'c' => out.line(&frame.connection()),
            letter => out.line(&format!("{letter}={}", line.value)),
        }
    }
    if !grouped {
        group(out);
    }
}

/// `o=` of the other side, with the fields that the flags replace. Our own if that of the other side is malformed or missing.
fn origin(frame: &Frame<'_>, value: &str) -> String {
    let replace = frame.flags.replace;
    let fields: Vec<&str> = value.split_ascii_whitespace().collect();
    let own = frame.party.secrets.session_id.to_string();
    let own_version = frame.party.sent_sdp.version().to_string();
    let [user, id, version, net, kind, address] = fields.as_slice() else {
        return format!("o=- {own} {own_version} IN {} {}", family(frame.address), frame.address);
    };
    let user = if replace.username || replace.origin_full { "-" } else { user };
    let id = if replace.origin_full { own.as_str() } else { id };
    let counted = replace.origin_full || replace.sdp_version || replace.force_increment_sdp_version;
    let version = if counted { own_version.as_str() } else { version };
    if replace.origin || replace.origin_full {
        format!("o={user} {id} {version} IN {} {}", family(frame.address), frame.address)
    } else {
        format!("o={user} {id} {version} {net} {kind} {address}")
    }
}

/// The audio stream.
fn audio(frame: &Frame<'_>, draft: &Draft, out: &mut SdpTemplate) {
    let (party, flags) = (frame.party, frame.flags);
    if draft.stream == StreamState::Ended {
        return ended(frame, draft, out);
    }
    out.line(&frame.media(draft));
    passed_on(frame, draft, out);
    if let Some(mid) = frame.mid {
        out.line(&format!("a=mid:{mid}"));
    }
    formats(&draft.formats, out);
    out.line(&format!("a={}", draft.direction.as_str()));
    if draft.rtcp_port && !flags.has(Switch::NoRtcpAttribute) {
        if flags.has(Switch::FullRtcpAttribute) {
            out.line(&format!("a=rtcp:{RTCP_PORT} IN {} {}", family(frame.address), frame.address));
        } else {
            out.line(&format!("a=rtcp:{RTCP_PORT}"));
        }
    }
    if draft.rtcp_mux {
        out.line("a=rtcp-mux");
    }
    for crypto in &draft.cryptos {
        out.line(&format!("a=crypto:{crypto}"));
    }
    if draft.is_dtls() {
        if let Some(setup) = draft.setup {
            out.line(&format!("a=setup:{}", setup.as_str()));
        }
        out.line(&format!("a=fingerprint:sha-256 {}", sha256_text(frame.fingerprint)));
    }
    let web = draft.kind.profile != ProfileName::Sip;
    if web && draft.formats.iter().any(|format| format.codec() == Some(Codec::Opus)) {
        // Without `profile` Trestle cannot distinguish a browser from WhatsApp, and Meta requires both lines, with packets no
        // longer than this. A browser sends such packets in any case.
        let ptime = party.preferences.ptime_ms.unwrap_or(20);
        out.line(&format!("a=ptime:{ptime}"));
        out.line(&format!("a=maxptime:{ptime}"));
    } else if let Some(ptime) = draft.ptime_ms {
        out.line(&format!("a=ptime:{ptime}"));
    }
    if draft.is_dtls() {
        out.line(&format!("a=ice-ufrag:{}", party.secrets.ice.ufrag));
        out.line(&format!("a=ice-pwd:{}", party.secrets.ice.pwd.as_str()));
        out.line(&frame.candidate());
        out.line("a=end-of-candidates");
    }
    if flags.has(Switch::LoopProtect) {
        out.line(&format!("a={}", loop_mark(frame.fingerprint)));
    }
    if web {
        // Receivers that drop streams which were not announced need our one stream here.
        let (ssrc, cname) = (party.secrets.ssrc.0, &party.secrets.cname);
        out.line(&format!("a=msid:{cname} audio"));
        out.line(&format!("a=ssrc:{ssrc} cname:{cname}"));
    }
}

/// An audio stream that has ended, or is refused: port 0, and none of the attributes (RFC 3264 sections 6 and 8.2). An answer repeats
/// protocol and formats of the offer.
fn ended(frame: &Frame<'_>, draft: &Draft, out: &mut SdpTemplate) {
    match &draft.own {
        Some(own) if !draft.offering => frame.reject(draft, out, own.media()),
        _ => {
            let pts: Vec<String> = draft.formats.iter().map(|format| format.pt.get().to_string()).collect();
            out.line(&format!("m=audio 0 {} {}", draft.kind.protocol.as_str(), pts.join(" ")));
            out.line(&frame.connection());
            if let Some(mid) = frame.mid {
                out.line(&format!("a=mid:{mid}"));
            }
            formats(&draft.formats, out);
            out.line("a=inactive");
        }
    }
}

/// Lines of the other side's audio that are not about transport, and `c=` before their first attribute.
fn passed_on(frame: &Frame<'_>, draft: &Draft, out: &mut SdpTemplate) {
    let media = draft.base.media();
    let at_session = draft.base.sdp.session.iter().any(|line| line.letter == 'c');
    let mut connected = at_session && !media.lines.iter().any(|line| line.letter == 'c');
    for line in media.lines.iter().filter(|line| passes(line)) {
        if line.letter == 'a' && !connected {
            out.line(&frame.connection());
            connected = true;
        }
        match line.letter {
            'c' if connected => {}
            'c' => {
                out.line(&frame.connection());
                connected = true;
            }
            letter => out.line(&format!("{letter}={}", line.value)),
        }
    }
    if !connected {
        out.line(&frame.connection());
    }
}
