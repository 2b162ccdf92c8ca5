//! What everybody else is told: the other side's description with its transport taken out and ours put in, in the order
//! that rtpengine's users know. Lines that mean nothing to us stay where they were.

use std::net::IpAddr;
use trestle_ng::command::Switch;

use trestle_core::plan::Codec;

use super::description::{Description, RTCP_PORT, RTP_PORT};
use super::party::Party;
use trestle_ng::command::Flags;
use trestle_ng::command::flags::ProfileName;
use trestle_sdp::fingerprint::sha256_text;
use trestle_sdp::{Direction, Format, Line, MediaDescription, Setup};
use trestle_sdp::{Remote, Security};

/// Everything that a description is made of, but for the ports.
pub(crate) struct Draft<'a> {
    /// Whose SDP is being handed on.
    pub(crate) base: &'a Remote,
    /// Who gets it.
    pub(crate) party: &'a Party,
    /// Our address as that party is told it.
    pub(crate) address: IpAddr,
    /// SHA-256 of our certificate.
    pub(crate) fingerprint: &'a [u8; 32],
    pub(crate) formats: &'a [Format],
    pub(crate) direction: Direction,
    pub(crate) setup: Option<Setup>,
    /// Values of our `a=crypto` lines.
    pub(crate) cryptos: Vec<String>,
    pub(crate) ptime_ms: Option<u32>,
    /// Write `a=rtcp-mux`.
    pub(crate) rtcp_mux: bool,
    pub(crate) mid: Option<String>,
    /// Write `a=group:BUNDLE`.
    pub(crate) bundle: bool,
    pub(crate) flags: &'a Flags,
}

/// Attributes that belong to the transport or the stream between that peer and us, or that we write ourselves.
const OURS: [&str; 35] = [
    "candidate",
    "crypto",
    "end-of-candidates",
    "extmap",
    "extmap-allow-mixed",
    "fingerprint",
    "fmtp",
    "group",
    "ice-lite",
    "ice-mismatch",
    "ice-options",
    "ice-pacing",
    "ice-pwd",
    "ice-ufrag",
    "identity",
    "inactive",
    "maxptime",
    "mid",
    "msid",
    "msid-semantic",
    "ptime",
    "recvonly",
    "remote-candidates",
    "rid",
    "rtcp",
    "rtcp-fb",
    "rtcp-mux",
    "rtcp-mux-only",
    "rtcp-rsize",
    "rtpmap",
    "sendonly",
    "sendrecv",
    "setup",
    "simulcast",
    "tls-id",
];

/// More of the same, which come in families.
const OURS_TOO: [&str; 4] = ["ssrc", "ssrc-group", "rtcp-xr", "key-mgmt"];

fn is_ours(line: &Line) -> bool {
    match line.attribute() {
        Some(attribute) => OURS.contains(&attribute.name) || OURS_TOO.contains(&attribute.name),
        // A key in the clear (RFC 8866 5.12); obsolete.
        None => line.letter == 'k',
    }
}

pub(crate) fn write(draft: &Draft<'_>) -> Description {
    let mut out = Description::new(draft.party.leg);
    draft.session(&mut out);
    draft.rejected_media_before(&mut out);
    draft.audio(&mut out);
    draft.rejected_media_after(&mut out);
    out
}

impl Draft<'_> {
    fn session(&self, out: &mut Description) {
        let session = &self.base.sdp.session;
        let replace = self.flags.replace;
        let mut grouped = !self.bundle;
        let group = |out: &mut Description| {
            if let Some(mid) = &self.mid {
                out.line(&format!("a=group:BUNDLE {mid}"));
            }
        };
        for line in session.iter().filter(|line| !is_ours(line)) {
            if line.letter == 'a' && !grouped {
                group(out);
                grouped = true;
            }
            match line.letter {
                'o' => out.line(&self.origin(&line.value)),
                's' if replace.session_name => out.line("s=-"),
                'c' => out.line(&self.connection()),
                letter => out.line(&format!("{letter}={}", line.value)),
            }
        }
        if !grouped {
            group(out);
        }
    }

    fn origin(&self, value: &str) -> String {
        let replace = self.flags.replace;
        let fields: Vec<&str> = value.split_ascii_whitespace().collect();
        let [user, id, version, net, kind, address] = fields.as_slice() else { return format!("o={value}") };
        let own = self.party.secrets.session_id.to_string();
        let own_version = self.party.version.to_string();
        let user = if replace.username || replace.origin_full { "-" } else { user };
        let id = if replace.origin_full { own.as_str() } else { id };
        let counted = replace.origin_full || replace.sdp_version || replace.force_increment_sdp_version;
        let version = if counted { own_version.as_str() } else { version };
        if replace.origin || replace.origin_full {
            format!("o={user} {id} {version} IN {} {}", family(self.address), self.address)
        } else {
            format!("o={user} {id} {version} {net} {kind} {address}")
        }
    }

    fn connection(&self) -> String {
        format!("c=IN {} {}", family(self.address), self.address)
    }

    fn audio(&self, out: &mut Description) {
        let (party, media) = (self.party, self.base.media());
        let web = party.profile != ProfileName::Sip;
        let pts: Vec<String> = self.formats.iter().map(|format| format.pt.get().to_string()).collect();
        out.line(&format!("m=audio {RTP_PORT} {} {}", party.protocol.as_str(), pts.join(" ")));
        let at_session = self.base.sdp.session.iter().any(|line| line.letter == 'c');
        let mut connected = at_session && !media.lines.iter().any(|line| line.letter == 'c');
        for line in media.lines.iter().filter(|line| !is_ours(line)) {
            if line.letter == 'a' && !connected {
                out.line(&self.connection());
                connected = true;
            }
            match line.letter {
                'c' if connected => {}
                'c' => {
                    out.line(&self.connection());
                    connected = true;
                }
                letter => out.line(&format!("{letter}={}", line.value)),
            }
        }
        if !connected {
            out.line(&self.connection());
        }
        if let Some(mid) = &self.mid {
            out.line(&format!("a=mid:{mid}"));
        }
        for format in self.formats {
            out.line(&format!("a=rtpmap:{} {}", format.pt.get(), format.rtpmap()));
            if let Some(fmtp) = &format.fmtp {
                out.line(&format!("a=fmtp:{} {fmtp}", format.pt.get()));
            }
        }
        out.line(&format!("a={}", self.direction.as_str()));
        if !party.rtcp_mux && !self.flags.has(Switch::NoRtcpAttribute) {
            if self.flags.has(Switch::FullRtcpAttribute) {
                out.line(&format!("a=rtcp:{RTCP_PORT} IN {} {}", family(self.address), self.address));
            } else {
                out.line(&format!("a=rtcp:{RTCP_PORT}"));
            }
        }
        if self.rtcp_mux {
            out.line("a=rtcp-mux");
        }
        for crypto in &self.cryptos {
            out.line(&format!("a=crypto:{crypto}"));
        }
        if party.security == Security::Dtls {
            if let Some(setup) = self.setup {
                out.line(&format!("a=setup:{}", setup.as_str()));
            }
            out.line(&format!("a=fingerprint:sha-256 {}", sha256_text(self.fingerprint)));
        }
        if web && self.formats.iter().any(|format| format.codec() == Some(Codec::Opus)) {
            // Whom nobody has called WhatsApp may be it all the same, and WhatsApp wants both lines and no longer packets,
            // whatever the other side's phone prefers. To a browser it says no more than what it does anyway.
            let ptime = party.ptime_ms.unwrap_or(20);
            out.line(&format!("a=ptime:{ptime}"));
            out.line(&format!("a=maxptime:{ptime}"));
        } else if let Some(ptime) = self.ptime_ms {
            out.line(&format!("a=ptime:{ptime}"));
        }
        if party.security == Security::Dtls {
            out.line(&format!("a=ice-ufrag:{}", party.secrets.ice.ufrag));
            out.line(&format!("a=ice-pwd:{}", party.secrets.ice.pwd));
            out.line(&candidate_line(self.address));
            out.line("a=end-of-candidates");
        }
        if self.flags.has(Switch::LoopProtect) {
            out.line(&format!("a={}", loop_mark(self.fingerprint)));
        }
        if web {
            // The truth about our one stream; receivers that drop what was not announced need it.
            let (ssrc, cname) = (party.secrets.ssrc.0, &party.secrets.cname);
            out.line(&format!("a=msid:{cname} audio"));
            out.line(&format!("a=ssrc:{ssrc} cname:{cname}"));
        }
    }

    /// Other streams of the party that gets this, refused: as many `m=` lines as it has, in their order (RFC 3264 section 6).
    pub(crate) fn rejected_media_before(&self, out: &mut Description) {
        if let Some(remote) = &self.party.remote {
            remote.sdp.media[..remote.audio].iter().for_each(|media| self.reject(out, media));
        }
    }

    /// The same for those after the audio.
    pub(crate) fn rejected_media_after(&self, out: &mut Description) {
        if let Some(remote) = &self.party.remote {
            remote.sdp.media[remote.audio + 1..].iter().for_each(|media| self.reject(out, media));
        }
    }

    fn reject(&self, out: &mut Description, media: &MediaDescription) {
        out.line(&format!("m={} 0 {} {}", media.media, media.proto, media.formats.join(" ")));
        if !self.base.sdp.session.iter().any(|line| line.letter == 'c') || self.party.profile != ProfileName::Sip {
            out.line(&self.connection());
        }
        if let Ok(Some(mid)) = media.mid() {
            out.line(&format!("a=mid:{mid}"));
        }
    }
}

/// The attribute by which this process knows its own descriptions: rtpengine's name, and as long as the process lives the
/// same value.
pub(crate) fn loop_mark(fingerprint: &[u8; 32]) -> String {
    let [a, b, c, d, e, f, g, h, ..] = *fingerprint;
    format!("rtpengine:{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

/// Our one host candidate. Priority as RFC 8445 5.1.2.1 computes it for a host with one address, component 1.
pub(crate) fn candidate_line(address: IpAddr) -> String {
    format!("a=candidate:1 1 udp 2130706431 {address} {RTP_PORT} typ host")
}

pub(crate) fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IP4" } else { "IP6" }
}
