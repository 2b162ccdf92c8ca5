//! Keys and flags whose value is one of a few words.

use super::super::flags::{AddressFamily, DtlsFlag, EndpointLearning, IceFlag, ProfileName, Protocol};
use super::FlagReader;
use crate::Value;
use crate::value::normalised;

impl FlagReader {
    pub(super) fn transport_protocol(&mut self, key: &str, value: &Value) {
        let Some(text) = self.text(key, value) else { return };
        match Protocol::parse(text.trim()) {
            Some(protocol) => self.flags.transport_protocol = Some(protocol),
            None => self.unknown_value(key, &text),
        }
    }

    pub(super) fn ice(&mut self, word: &str) {
        match normalised(word).as_str() {
            "remove" => self.flags.ice = IceFlag::Remove,
            "force" | "force-relay" => self.flags.ice = IceFlag::Force,
            "default" => self.flags.ice = IceFlag::Default,
            "optional" => self.flags.ice = IceFlag::Optional,
            // All our candidates are in every SDP, and peers that trickle are found by their checks.
            "trickle" => {}
            _ => self.unknown_value("ICE", word),
        }
    }

    pub(super) fn dtls(&mut self, word: &str) {
        self.flags.dtls = match normalised(word).as_str() {
            "off" | "no" | "disable" => DtlsFlag::Off,
            "passive" => DtlsFlag::Passive,
            "active" => DtlsFlag::Active,
            _ => return self.unknown_value("DTLS", word),
        };
    }

    pub(super) fn sdes(&mut self, word: &str) {
        let name = normalised(word);
        let sdes = &mut self.flags.sdes;
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
            _ => self.unknown_value("SDES", word),
        }
    }

    pub(super) fn rtcp_mux(&mut self, word: &str) {
        let mux = &mut self.flags.rtcp_mux;
        match normalised(word).as_str() {
            "offer" => mux.offer = true,
            "require" => mux.require = true,
            "demux" => mux.demux = true,
            "accept" => mux.accept = true,
            "reject" => mux.reject = true,
            _ => self.unknown_value("rtcp-mux", word),
        }
    }

    pub(super) fn bundle(&mut self, word: &str) {
        let bundle = &mut self.flags.bundle;
        match normalised(word).as_str() {
            // What we do anyway: a group is answered, and one audio stream breaks no rule.
            "accept" | "strict" => {}
            "offer" => bundle.offer = true,
            "require" => bundle.require = true,
            "reject" => bundle.reject = true,
            _ => self.unknown_value("bundle", word),
        }
    }

    pub(super) fn replace(&mut self, word: &str) {
        let replace = &mut self.flags.replace;
        match normalised(word).as_str() {
            "origin" => replace.origin = true,
            "origin-full" => replace.origin_full = true,
            "session-name" => replace.session_name = true,
            "username" => replace.username = true,
            "sdp-version" => replace.sdp_version = true,
            "force-increment-sdp-ver" => replace.force_increment_sdp_version = true,
            // `c=` is always rewritten, whatever it said.
            "session-connection" | "zero-address" => {}
            _ => self.unknown_value("replace", word),
        }
    }

    pub(super) fn profile(&mut self, word: &str) {
        self.flags.profile = match normalised(word).as_str() {
            "whatsapp" => Some(ProfileName::Whatsapp),
            "sip" => Some(ProfileName::Sip),
            "webrtc" => Some(ProfileName::Webrtc),
            _ => return self.unknown_value("profile", word),
        };
    }

    pub(super) fn address_family(&mut self, word: &str) {
        self.flags.address_family = match normalised(word).as_str() {
            "ip4" | "ipv4" => Some(AddressFamily::Ip4),
            "ip6" | "ipv6" => Some(AddressFamily::Ip6),
            _ => return self.unknown_value("address family", word),
        };
    }

    pub(super) fn endpoint_learning(&mut self, word: &str) {
        self.flags.endpoint_learning = match normalised(word).as_str() {
            "delayed" => EndpointLearning::Delayed,
            "immediate" => EndpointLearning::Immediate,
            "heuristic" => EndpointLearning::Heuristic,
            "off" | "no" => EndpointLearning::Off,
            _ => return self.unknown_value("endpoint-learning", word),
        };
    }
}
