//! Keys whose value is one of a few words.

use super::super::flags::{AddressFamily, DtlsFlag, EndpointLearning, IceFlag, ProfileName};
use super::FlagReader;
use crate::Value;
use crate::value::normalised;
use trestle_sdp::Protocol;

pub(crate) fn transport_protocol(reader: &mut FlagReader, key: &str, value: &Value) {
    let Some(text) = reader.text(key, value) else { return };
    match Protocol::parse(text.trim()) {
        Some(protocol) => reader.flags.transport_protocol = Some(protocol),
        None => reader.unknown_value(key, &text),
    }
}

pub(crate) fn ice(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.each(key, value, ice_word);
}

fn ice_word(reader: &mut FlagReader, word: &str) {
    match normalised(word).as_str() {
        "remove" => reader.flags.ice = IceFlag::Remove,
        "force" | "force-relay" => reader.flags.ice = IceFlag::Force,
        "default" => reader.flags.ice = IceFlag::Default,
        "optional" => reader.flags.ice = IceFlag::Optional,
        // All our candidates are in every SDP, and peers that trickle are found by their checks.
        "trickle" => {}
        _ => reader.unknown_value("ICE", word),
    }
}

pub(crate) fn dtls(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.each(key, value, dtls_word);
}

fn dtls_word(reader: &mut FlagReader, word: &str) {
    reader.flags.dtls.mode = match normalised(word).as_str() {
        "off" | "no" | "disable" => DtlsFlag::Off,
        "passive" => DtlsFlag::Passive,
        "active" => DtlsFlag::Active,
        _ => return reader.unknown_value("DTLS", word),
    };
}

pub(crate) fn sdes(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.each(key, value, sdes_word);
}

fn sdes_word(reader: &mut FlagReader, word: &str) {
    let name = normalised(word);
    let sdes = &mut reader.flags.sdes;
    // Suites are written with `_`, which normalising takes away; the word's own tail keeps it.
    let tail = |prefix: usize| word[prefix..].to_ascii_uppercase();
    let suites = |prefix: usize| {
        tail(prefix).split(';').map(str::trim).filter(|suite| !suite.is_empty()).map(str::to_owned).collect()
    };
    match name.as_str() {
        "off" | "no" | "disable" | "disabled" => sdes.off = true,
        "prefer" => sdes.prefer = true,
        "nonew" => sdes.nonew = true,
        "pad" => sdes.pad = true,
        "lifetime" => sdes.lifetime = true,
        // A suite that is in use stays in use.
        "static" => {}
        _ if name.starts_with("no-") => sdes.no.push(tail("no-".len())),
        _ if name.starts_with("only-") => sdes.only.push(tail("only-".len())),
        _ if name.starts_with("order:") => sdes.order = suites("order:".len()),
        _ if name.starts_with("offerer-pref:") => sdes.offerer_pref = suites("offerer_pref:".len()),
        _ => reader.unknown_value("SDES", word),
    }
}

pub(crate) fn rtcp_mux(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.each(key, value, rtcp_mux_word);
}

fn rtcp_mux_word(reader: &mut FlagReader, word: &str) {
    let mux = &mut reader.flags.rtcp_mux;
    match normalised(word).as_str() {
        "offer" => mux.offer = true,
        "require" => mux.require = true,
        "demux" => mux.demux = true,
        "accept" => mux.accept = true,
        "reject" => mux.reject = true,
        _ => reader.unknown_value("rtcp-mux", word),
    }
}

pub(crate) fn bundle(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.each(key, value, bundle_word);
}

fn bundle_word(reader: &mut FlagReader, word: &str) {
    let bundle = &mut reader.flags.bundle;
    match normalised(word).as_str() {
        // What we do anyway: a group is answered, and one audio stream breaks no rule.
        "accept" | "strict" => {}
        "offer" => bundle.offer = true,
        "require" => bundle.require = true,
        "reject" => bundle.reject = true,
        _ => reader.unknown_value("bundle", word),
    }
}

pub(crate) fn replace(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.each(key, value, replace_word);
}

fn replace_word(reader: &mut FlagReader, word: &str) {
    let replace = &mut reader.flags.replace;
    match normalised(word).as_str() {
        "origin" => replace.origin = true,
        "origin-full" => replace.origin_full = true,
        "session-name" => replace.session_name = true,
        "username" => replace.username = true,
        "sdp-version" => replace.sdp_version = true,
        "force-increment-sdp-ver" => replace.force_increment_sdp_version = true,
        // `c=` is always rewritten.
        "session-connection" | "zero-address" => {}
        _ => reader.unknown_value("replace", word),
    }
}

pub(crate) fn profile(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.each(key, value, profile_word);
}

fn profile_word(reader: &mut FlagReader, word: &str) {
    reader.flags.profile = match normalised(word).as_str() {
        "whatsapp" => Some(ProfileName::Whatsapp),
        "sip" => Some(ProfileName::Sip),
        "webrtc" => Some(ProfileName::Webrtc),
        _ => return reader.unknown_value("profile", word),
    };
}

pub(crate) fn address_family(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.each(key, value, address_family_word);
}

fn address_family_word(reader: &mut FlagReader, word: &str) {
    reader.flags.routing.address_family = match normalised(word).as_str() {
        "ip4" | "ipv4" => Some(AddressFamily::Ip4),
        "ip6" | "ipv6" => Some(AddressFamily::Ip6),
        _ => return reader.unknown_value("address family", word),
    };
}

pub(crate) fn endpoint_learning(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.each(key, value, endpoint_learning_word);
}

fn endpoint_learning_word(reader: &mut FlagReader, word: &str) {
    reader.flags.routing.endpoint_learning = match normalised(word).as_str() {
        "delayed" => EndpointLearning::Delayed,
        "immediate" => EndpointLearning::Immediate,
        "heuristic" => EndpointLearning::Heuristic,
        "off" | "no" => EndpointLearning::Off,
        _ => return reader.unknown_value("endpoint-learning", word),
    };
}

pub(crate) fn drop_traffic(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.each(key, value, |reader, word| match normalised(word).as_str() {
        "start" => reader.flags.media.drop_traffic = Some(true),
        "stop" => reader.flags.media.drop_traffic = Some(false),
        _ => reader.unknown_value("drop-traffic", word),
    });
}

pub(crate) fn supports(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.each(key, value, |reader, what| {
        if normalised(what) == "load-limit" {
            reader.flags.call.supports_load_limit = true;
        }
    });
}
