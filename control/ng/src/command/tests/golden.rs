//! Each known word and key, in each spelling, has the effect that `golden.txt` lists.

use super::*;

/// What differs from the defaults, as `name=value` pairs; warnings last.
fn facts(flags: &Flags) -> String {
    let (given, default) = (named(flags), named(&Flags::default()));
    let mut facts: Vec<String> = given
        .into_iter()
        .zip(default)
        .filter(|(given, default)| given != default)
        .map(|((name, value), _)| format!("{name}={value}"))
        .collect();
    facts.extend(flags.warnings.iter().map(|warning| format!("warns: {warning}")));
    facts.join("; ")
}

fn named(flags: &Flags) -> Vec<(&'static str, String)> {
    macro_rules! named {
        ($($name:literal: $value:expr),* $(,)?) => { vec![$(($name, format!("{:?}", $value))),*] };
    }
    named!(
        "profile": flags.profile,
        "transport-protocol": flags.transport_protocol,
        "ice": flags.ice,
        "reject-ice": flags.has(Switch::RejectIce),
        "dtls": flags.dtls.mode,
        "dtls-fingerprint": flags.dtls.fingerprint,
        "sdes": flags.sdes,
        "rtcp-mux": flags.rtcp_mux,
        "bundle": flags.bundle,
        "codec": lists(&flags.codec),
        "replace": flags.replace,
        "direction": flags.routing.direction,
        "interface": flags.routing.interface,
        "address-family": flags.routing.address_family,
        "media-address": flags.routing.media_address,
        "sip-source-address": flags.has(Switch::SipSourceAddress),
        "asymmetric": flags.has(Switch::Asymmetric),
        "strict-source": flags.has(Switch::StrictSource),
        "endpoint-learning": flags.routing.endpoint_learning,
        "label": flags.call.label,
        "to-label": flags.call.to_label,
        "ptime": flags.media.ptime_ms,
        "ptime-reverse": flags.media.ptime_reverse_ms,
        "tos": flags.media.tos,
        "delete-delay": flags.call.delete_delay,
        "generate-mid": flags.has(Switch::GenerateMid),
        "no-rtcp-attribute": flags.has(Switch::NoRtcpAttribute),
        "full-rtcp-attribute": flags.has(Switch::FullRtcpAttribute),
        "original-sendrecv": flags.has(Switch::OriginalSendrecv),
        "loop-protect": flags.has(Switch::LoopProtect),
        "always-transcode": flags.has(Switch::AlwaysTranscode),
        "single-codec": flags.has(Switch::SingleCodec),
        "reuse-codecs": flags.has(Switch::ReuseCodecs),
        "inject-dtmf": flags.has(Switch::InjectDtmf),
        "detect-dtmf": flags.has(Switch::DetectDtmf),
        "block-dtmf": flags.has(Switch::BlockDtmf),
        "gate": (flags.gate.gate, flags.gate.gate_timeout, flags.gate.gate_on_timeout),
        "pre-roll": flags.gate.pre_roll,
        "filler": flags.gate.filler,
        "drop-traffic": flags.media.drop_traffic,
        "all": flags.has(Switch::All),
        "new-branch": flags.has(Switch::NewBranch),
        "load-limit": flags.call.supports_load_limit,
        "verbose": flags.has(Switch::Verbose),
        "verdict": flags.has(Switch::Verdict),
        "fatal": flags.has(Switch::Fatal),
        "fast": flags.has(Switch::Fast),
        "to-tag": flags.has(Switch::ToTag),
    )
}

/// The lists that are not empty.
fn lists(codec: &CodecFlags) -> Vec<String> {
    let mut codec = codec.clone();
    let names = ["strip", "except", "offer", "transcode", "mask", "consume", "accept", "ignore", "set"];
    let lists = names.map(|name| (name, codec.list_mut(name).expect("a list").clone()));
    let filled = lists.into_iter().filter(|(_, list)| *list != CodecList::default());
    filled.map(|(name, list)| format!("{name} {list:?}")).collect()
}

const WORDS: &str = "all always-transcode asymmetric block-DTMF detect-DTMF fast fatal full-rtcp-attribute generate-mid inject-DTMF \
    loop-protect new-branch no-codec-renegotiation no-rtcp-attribute original-sendrecv pad-crypto reject-ICE reuse-codecs \
    single-codec SIP-source-address symmetric to-tag trust-address verbose verdict WebRTC rtp SRTP AVP avpf DTLS internal external \
    allow-asymmetric-codecs allow-transcoding asymmetric-codecs debug directional discard-recording exclude-recording force \
    generate-RTCP no-passthrough no-player no-redis-update no-tls-id port-latching provisional record-call-off recrypt \
    reorder-codecs session-connection skip-recording-db strict-source strip-extmap symmetric-codecs trickle-ICE unidirectional \
    allow-no-codec-media audio-player bidirectional block-egress block-short early-media egress force-transcoding fragment \
    inactive media-handover mix NAT-wait no-jitter-buffer no-port-latching passthrough pierce-NAT record-call \
    recording-announcement reset RTCP-mirror SIPREC static-codecs unsubscribe RTP/SAVP UDP/TLS/RTP/SAVPF unheard-of";

const KEYS: &str = "command call-id from-tag to-tag to-call-id via-branch sdp received-from limit code digit duration volume address op \
    expires sip-message-type sip-code repacketize instance alias-key extmap audio-player delay-buffer dtls-reverse dtmf-delay \
    dtmf-log-dest dtmf-security-trigger dtmf-security-trigger-end frequency from-tags inbound-peer media-echo metadata moh osrtp \
    outbound-peer pause peer recording-dir recording-file recording-pattern sdp-attr t.38 t38 template trigger trigger-end \
    trigger-end-digits trigger-end-time xmlrpc-callback transport-protocol ice ice-lite dtls dtls-fingerprint sdes rtcp-mux bundle \
    replace codec profile ptime ptime-reverse direction interface from-interface to-interface address-family media-address \
    endpoint-learning label from-label set-label to-label tos delete-delay drop-traffic dtmf-security generate-rtcp record-call \
    sdp-media-remove supports gate gate-on-timeout gate-timeout pre-roll filler codec-strip codec-mask unheard-of";

const VALUES: &str = "20 -1 off force passive offer origin sip RTP/SAVP a,b IP4 192.0.2.1 immediate start drop opus open comfort-noise \
    load-limit prefer no-AES_CM_128_HMAC_SHA1_80 order:A;B";

fn golden() -> String {
    let mut lines = Vec::new();
    let rejected = |line: &str| line.contains("warns: unknown value") || line.contains("is not of the expected kind");
    for word in WORDS.split_whitespace() {
        lines.push(format!("flags [{word}] -> {}", facts(&listed(&[word]))));
        lines.push(format!("{word} -> {}", facts(&string(word))));
        for value in ["yes", "0"] {
            lines.push(format!("key {word}: {value} -> {}", facts(&words::read(&Dict::default().with(word, value)))));
        }
    }
    for key in KEYS.split_whitespace() {
        for value in VALUES.split_whitespace() {
            lines.push(format!("key {key}: {value} -> {}", facts(&words::read(&Dict::default().with(key, value)))));
            lines.push(format!("{key}-{value} -> {}", facts(&string(&format!("{key}-{value}")))));
        }
    }
    lines.retain(|line| !rejected(line));
    // A key that is not supported is so with every value: its first two lines are enough.
    let mut kept = 0;
    lines.retain(|line| {
        kept = if line.contains("is not supported and was ignored") || line.contains("unknown") { kept + 1 } else { 0 };
        kept <= 2
    });
    lines.join("\n") + "\n"
}

#[test]
fn every_word_and_key_has_its_effect_in_every_spelling() {
    let golden = golden();
    // A new row changes the list: `TRESTLE_WRITE_GOLDEN=1 cargo test -p trestle-ng golden` writes it; read the difference.
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/command/tests/golden.txt");
    if std::env::var_os("TRESTLE_WRITE_GOLDEN").is_some() {
        std::fs::write(file, &golden).unwrap();
    }
    for (line, wanted) in golden.lines().zip(include_str!("golden.txt").lines()) {
        assert_eq!(line, wanted);
    }
    assert_eq!(golden.lines().count(), include_str!("golden.txt").lines().count());
}
