//! What Meta demands of the SDP it is handed.
//!
//! [`faults`] are what makes it answer "SDP Validation error" (138008) or leaves it without media; [`remarks`] are what
//! its documents ask for and its own texts keep, where nothing is known to break at once.

use std::net::SocketAddr;

use crate::Codec;
use crate::meta::Flavour;
use crate::sdp::PeerSdp;

/// Every rule that `text` breaks so that the call cannot come up.
pub(crate) fn faults(description: &PeerSdp, flavour: Flavour) -> Vec<String> {
    let mut faults = Vec::new();
    let mut rule = |kept: bool, fault: &str| {
        if !kept {
            faults.push(fault.to_owned());
        }
    };
    rule(description.media_lines == 1, "exactly one m= line");
    rule(!description.codecs().is_empty(), "no codec that Meta has");
    let fingerprints: Vec<&str> = description.all("fingerprint").collect();
    let cryptos = description.all("crypto").count();
    match flavour {
        Flavour::WebRtc => {
            rule(description.proto == "UDP/TLS/RTP/SAVPF", "the profile is not UDP/TLS/RTP/SAVPF");
            rule(fingerprints.len() == 1, "exactly one a=fingerprint line");
            rule(fingerprints.iter().all(|f| f.starts_with("sha-256 ")), "the fingerprint is not sha-256");
            rule(cryptos == 0, "a=crypto beside a=fingerprint");
            rule(description.has("ice-ufrag") && description.has("ice-pwd"), "no ICE credentials");
            rule(!description.has("ice-lite"), "two ICE-lite agents never connect");
        }
        Flavour::Sdes => {
            rule(description.proto == "RTP/SAVP", "the profile is not RTP/SAVP");
            rule(cryptos > 0, "no a=crypto line");
            rule(fingerprints.is_empty(), "a=fingerprint beside a=crypto");
        }
    }
    faults
}

/// Every custom that `text` does not keep. `answers` holds the `mid` of Meta's offer, if `text` answers one.
pub(crate) fn remarks(text: &str, description: &PeerSdp, flavour: Flavour, answers: Option<&str>) -> Vec<String> {
    let mut remarks = Vec::new();
    let mut custom = |kept: bool, remark: &str| {
        if !kept {
            remarks.push(remark.to_owned());
        }
    };
    custom(text.ends_with("\r\n") && !text.replace("\r\n", "").contains(['\r', '\n']), "lines end with CRLF");
    custom(text.is_ascii(), "ASCII only");
    custom(description.strange_formats().is_empty(), "no format but Opus, G.711 and telephone-event/8000");
    custom(!description.events().is_empty(), "telephone-event/8000 is there");
    let opus = description.codecs().into_iter().find(|(_, codec)| *codec == Codec::Opus);
    let fec = |pt| description.fmtp(pt).is_some_and(|fmtp| fmtp.contains("useinbandfec=1"));
    custom(opus.is_none_or(|(pt, _)| fec(pt)), "a=fmtp of Opus has useinbandfec=1");
    custom(description.first("ptime").as_deref() == Some("20"), "a=ptime:20");
    custom(description.first("maxptime").as_deref() == Some("20"), "a=maxptime:20");
    custom(description.sends() && description.receives() || description.port == 9, "a=sendrecv");
    custom(description.ssrcs().len() == 1, "exactly one SSRC");
    let mid = description.first("mid");
    if let Some(offered) = answers {
        custom(mid.as_deref() == Some(offered), "the offered mid is echoed");
    }
    if flavour == Flavour::Sdes {
        custom(description.all("crypto").count() == 1, "exactly one a=crypto line");
        return remarks;
    }
    custom(description.has("rtcp-mux"), "a=rtcp-mux");
    let group = format!("BUNDLE {}", mid.as_deref().unwrap_or_default());
    custom(description.first("group").as_deref() == Some(group.as_str()), "a=group:BUNDLE names the mid");
    let setup = if answers.is_some() { "active" } else { "actpass" };
    custom(description.first("setup").as_deref() == Some(setup), "a=setup is active in an answer, actpass in an offer");
    let fingerprint = description.first("fingerprint").unwrap_or_default();
    let digits = fingerprint.split(' ').nth(1).unwrap_or_default();
    custom(!digits.contains(|c: char| c.is_ascii_lowercase()), "the fingerprint is in capitals");
    let candidates: Vec<SocketAddr> = description.all("candidate").filter_map(candidate).collect();
    custom(candidates.len() == description.all("candidate").count(), "candidates are of type host, UDP, component 1");
    custom(candidates.iter().filter(|c| c.is_ipv4()).count() <= 1, "one IPv4 candidate");
    custom(candidates.iter().filter(|c| c.is_ipv6()).count() <= 1, "one IPv6 candidate");
    let main = description.rtp().ok().flatten();
    custom(candidates.is_empty() || main.is_some_and(|main| candidates.contains(&main)), "c= and m= name a candidate");
    remarks
}

/// The address of a host candidate for component 1 over UDP.
pub(crate) fn candidate(value: &str) -> Option<SocketAddr> {
    let words: Vec<&str> = value.split_whitespace().collect();
    let [_, "1", transport, _, ip, port, "typ", "host", ..] = words[..] else { return None };
    transport.eq_ignore_ascii_case("udp").then_some(())?;
    Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str, flavour: Flavour, answers: Option<&str>) -> (Vec<String>, Vec<String>) {
        let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
        let description = PeerSdp::read(&text).unwrap();
        (faults(&description, flavour), remarks(&text, &description, flavour, answers))
    }

    #[test]
    fn metas_own_text_would_do_but_for_ice_lite() {
        let text = include_str!("../../../../tests/vectors/meta/user_initiated.sip_webrtc.meta_offer.sdp");
        let (faults, remarks) = judge(text, Flavour::WebRtc, None);
        assert_eq!(faults, ["two ICE-lite agents never connect"]);
        assert!(remarks.is_empty() || remarks == ["one IPv6 candidate"], "{remarks:?}");
        let text = include_str!("../../../../tests/vectors/meta/user_initiated.sip_sdes.meta_offer.sdp");
        assert_eq!(judge(text, Flavour::Sdes, None), (vec![], vec![]));
    }

    #[test]
    fn answers_that_were_taken_have_no_fault() {
        let text = include_str!("../../../../tests/vectors/meta/user_initiated.graph_webrtc.partner_answer.sdp");
        assert!(judge(text, Flavour::WebRtc, Some("audio")).0.is_empty());
        let text = include_str!("../../../../tests/vectors/meta/user_initiated.sip_sdes.partner_answer.sdp");
        assert!(judge(text, Flavour::Sdes, Some("audio")).0.is_empty());
    }

    #[test]
    fn a_second_fingerprint_is_refused() {
        let text = include_str!("../../../../tests/vectors/meta/user_initiated.graph_webrtc.partner_answer.sdp");
        let line = text.lines().find(|line| line.starts_with("a=fingerprint")).unwrap();
        let twice = text.replace(line, &format!("{line}\n{}", line.replace("sha-256", "sha-512")));
        let (faults, _) = judge(&twice, Flavour::WebRtc, Some("audio"));
        assert_eq!(faults, ["exactly one a=fingerprint line", "the fingerprint is not sha-256"]);
    }
}
