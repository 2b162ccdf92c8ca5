//! Reads flags in each of their three spellings: keys of their own (Kamailio), words in the list `flags` (OpenSIPS),
//! and one string (`rtpp-flags`). All end in the same two functions, `FlagReader::key` and `FlagReader::word`.

pub mod presence;

use std::borrow::Cow;
use std::time::Duration;

use super::flag_string::{Token, tokens};
use super::flags::{AddressFamily, DtlsFlag, EndpointLearning, Flags, IceFlag, ProfileName, Protocol, Tos};
use super::{NAME_BYTES_MAX, word_tables};
use crate::ng::value::normalised;
use crate::ng::{Dict, Value};

/// Longest time for which a deleted call can be kept.
const DELETE_DELAY_MAX: Duration = Duration::from_secs(3_600);

/// Reads every flag of a message. Unknown keys, flags and values are no errors; they end in [`Flags::warnings`].
pub fn read(dict: &Dict) -> Flags {
    let mut reader = FlagReader::default();
    for (key, value) in dict.iter() {
        reader.key(&String::from_utf8_lossy(key), value);
    }
    reader.finish()
}

#[derive(Default)]
pub(super) struct FlagReader {
    pub(super) flags: Flags,
    /// Secure, feedback, DTLS: as the bare words `SRTP`, `AVPF`, `DTLS` add up.
    protocol_bits: Option<(bool, bool, bool)>,
    /// Interfaces in order of appearance, from `direction=a direction=b`, `internal`, `external`.
    direction: Vec<String>,
    from_interface: Option<String>,
    to_interface: Option<String>,
}

impl FlagReader {
    /// One `key: value`, or `key=value` of a flag string. The last one wins.
    pub(super) fn key(&mut self, key: &str, value: &Value) {
        let name = normalised(key);
        match name.as_str() {
            "flags" => self.each(key, value, |this, word| this.word_or_pair(word)),
            "rtpp-flags" => {
                if let Some(text) = self.text(key, value) {
                    self.flag_string(&text);
                }
            }
            "transport-protocol" => self.transport_protocol(key, value),
            "ice" => self.each(key, value, Self::ice),
            "ice-lite" => self.each(key, value, |this, word| {
                if !matches!(normalised(word).as_str(), "off" | "no" | "disable") {
                    this.flags.warn("`ICE-lite` is not done: Trestle is a full ICE agent");
                }
            }),
            "dtls" => self.each(key, value, Self::dtls),
            "dtls-fingerprint" => {
                self.flags.dtls_fingerprint = self.name(key, value).map(|name| name.to_ascii_lowercase())
            }
            "sdes" => self.each(key, value, Self::sdes),
            "rtcp-mux" => self.each(key, value, Self::rtcp_mux),
            "bundle" => self.each(key, value, Self::bundle),
            "replace" => self.each(key, value, Self::replace),
            "codec" => self.codecs(key, value),
            "profile" => self.each(key, value, Self::profile),
            "ptime" => self.flags.ptime_ms = self.number(key, value),
            "ptime-reverse" => self.flags.ptime_reverse_ms = self.number(key, value),
            "direction" => {
                let mut names = Vec::new();
                self.each(key, value, |_, name| names.push(name.to_owned()));
                if names.len() > 1 {
                    self.direction.clear();
                }
                self.direction.extend(names.into_iter().filter(|name| name.len() <= NAME_BYTES_MAX).take(2));
            }
            "interface" => self.flags.interface = self.name(key, value),
            "from-interface" => self.from_interface = self.name(key, value),
            "to-interface" => self.to_interface = self.name(key, value),
            "address-family" => self.each(key, value, Self::address_family),
            "media-address" => {
                if let Some(text) = self.text(key, value) {
                    match text.trim().parse() {
                        Ok(address) => self.flags.media_address = Some(address),
                        Err(_) => self.unknown_value(key, &text),
                    }
                }
            }
            "endpoint-learning" => self.each(key, value, Self::endpoint_learning),
            "label" | "from-label" | "set-label" => self.flags.label = self.name(key, value),
            "to-label" => self.flags.to_label = self.name(key, value),
            "tos" => match value.to_integer() {
                Some(..0) => self.flags.tos = Tos::Keep,
                Some(tos) => self.flags.tos = u8::try_from(tos).map_or(Tos::Default, Tos::Byte),
                None => self.unreadable(key),
            },
            "delete-delay" => match value.to_integer() {
                Some(seconds) => {
                    self.flags.delete_delay =
                        u64::try_from(seconds).ok().map(|s| Duration::from_secs(s).min(DELETE_DELAY_MAX));
                }
                None => self.unreadable(key),
            },
            "drop-traffic" => self.each(key, value, |this, word| match normalised(word).as_str() {
                "start" => this.flags.drop_traffic = Some(true),
                "stop" => this.flags.drop_traffic = Some(false),
                _ => this.unknown_value("drop-traffic", word),
            }),
            // On these, only what differs from what is done anyway is worth a word.
            "dtmf-security" => self.but_for(key, value, &["drop"]),
            "generate-rtcp" => self.but_for(key, value, &["on", "yes", "true", "1"]),
            "record-call" => self.but_for(key, value, &["off", "no", "false", "0"]),
            "sdp-media-remove" => self.but_for(key, value, &["video", "image", "text", "message", "application"]),
            "supports" => self.each(key, value, |this, what| {
                this.flags.supports_load_limit |= normalised(what) == "load-limit";
            }),
            _ => self.other_key(key, &name, value),
        }
    }

    /// A key that is not done, unless it asks for one of `done`.
    fn but_for(&mut self, key: &str, value: &Value, done: &[&str]) {
        self.each(key, value, |this, word| {
            if !done.contains(&normalised(word).as_str()) {
                this.flags.warn(format!("`{key}={word}` is not supported and was ignored"));
            }
        });
    }

    fn other_key(&mut self, key: &str, name: &str, value: &Value) {
        if self.presence(name, key, value) {
            return;
        }
        if word_tables::IDENTITY_KEYS.contains(&name) || word_tables::SILENT_KEYS.contains(&name) {
            return;
        }
        if let Some(list) = name.strip_prefix("codec-").and_then(|list| self.codec_list(list)) {
            let mut bad = Vec::new();
            for_each(value, |entry| {
                if !list.add(entry) {
                    bad.push(entry.to_owned());
                }
            });
            bad.iter().for_each(|entry| self.unknown_value(key, entry));
        } else if word_tables::KEYS_NOT_DONE.contains(&name) {
            self.flags.warn(format!("`{key}` is not supported and was ignored"));
        } else if word_tables::is_word(name) {
            // `generate-mid=yes`, `"verbose": true`: a flag written as a key.
            if value.is_truthy() {
                self.word(key);
            }
        } else {
            self.flags.warn(format!("unknown key `{key}` ignored"));
        }
    }

    /// A member of the list `flags`; may hold a pair if the proxy did not unpack it.
    fn word_or_pair(&mut self, word: &str) {
        if word.contains('=') { self.flag_string(word) } else { self.word(word) }
    }

    fn flag_string(&mut self, text: &str) {
        for token in tokens(text) {
            match token {
                Token::Word(word) => self.word(word),
                // The string must not carry another string: that would make the nesting as deep as the sender likes.
                Token::Pair(key, value) if normalised(key) != "rtpp-flags" && normalised(key) != "flags" => {
                    self.key(key, &value)
                }
                Token::Pair(key, _) => self.flags.warn(format!("unknown key `{key}` ignored")),
                Token::Bare(_) => self.flags.warn("a bracket without a key was ignored"),
            }
        }
    }

    /// One word of the list `flags` or of a flag string.
    pub(super) fn word(&mut self, word: &str) {
        let word = word.trim();
        let name = normalised(word);
        if word_tables::SILENT_WORDS.contains(&name.as_str()) || name.is_empty() {
        } else if word_tables::WORDS_NOT_DONE.contains(&name.as_str()) {
            self.flags.warn(format!("flag `{word}` is not supported and was ignored"));
        } else if !self.plain_word(&name) && !self.prefixed_word(word, &name) {
            if let Some(protocol) = Protocol::parse(word) {
                self.flags.transport_protocol = Some(protocol);
            } else {
                self.flags.warn(format!("unknown flag `{word}` ignored"));
            }
        }
    }

    fn plain_word(&mut self, name: &str) -> bool {
        let flags = &mut self.flags;
        match name {
            "trust-address" => flags.sip_source_address = false,
            "sip-source-address" => flags.sip_source_address = true,
            "symmetric" => flags.asymmetric = false,
            "asymmetric" => flags.asymmetric = true,
            "generate-mid" => flags.generate_mid = true,
            "no-rtcp-attribute" => flags.no_rtcp_attribute = true,
            "full-rtcp-attribute" => flags.full_rtcp_attribute = true,
            "original-sendrecv" => flags.original_sendrecv = true,
            "loop-protect" => flags.loop_protect = true,
            "always-transcode" => {
                flags.always_transcode = true;
                flags.codec.accept.all = true;
            }
            "single-codec" => flags.single_codec = true,
            "reuse-codecs" | "no-codec-renegotiation" => flags.reuse_codecs = true,
            "inject-dtmf" => flags.inject_dtmf = true,
            "block-dtmf" => flags.block_dtmf = true,
            "all" => flags.all = true,
            "new-branch" => flags.new_branch = true,
            "reject-ice" => flags.reject_ice = true,
            "pad-crypto" => flags.sdes.pad = true,
            "verbose" => flags.verbose = true,
            "fatal" => flags.fatal = true,
            "fast" => flags.fast = true,
            "to-tag" => flags.to_tag = true,
            "webrtc" => {
                flags.transport_protocol = Some(Protocol::UdpTlsRtpSavpf);
                flags.ice = IceFlag::Force;
                flags.rtcp_mux.offer = true;
                flags.rtcp_mux.require = true;
                flags.no_rtcp_attribute = true;
                flags.sdes.off = true;
                flags.generate_mid = true;
            }
            "rtp" => self.protocol_bit(|bits| bits.0 = false),
            "srtp" => self.protocol_bit(|bits| bits.0 = true),
            "avp" => self.protocol_bit(|bits| bits.1 = false),
            "avpf" => self.protocol_bit(|bits| bits.1 = true),
            "dtls" => self.protocol_bit(|bits| bits.2 = true),
            "internal" | "external" => self.direction.push(name.to_owned()),
            _ => return false,
        }
        true
    }

    /// `SDES-off`, `codec-mask-opus`, `transcode-PCMA`: a key and one value in a word.
    fn prefixed_word(&mut self, word: &str, name: &str) -> bool {
        if let Some(codec) = name.strip_prefix("transcode-") {
            // Normalising keeps lengths, so the codec's own spelling is the tail of the word.
            let entry = &word[word.len() - codec.len()..];
            if !self.flags.codec.transcode.add(entry) {
                self.unknown_value("transcode", entry);
            }
            return true;
        }
        if let Some((list, entry)) = name.strip_prefix("codec-").and_then(|rest| rest.split_once('-')) {
            let entry = &word[word.len() - entry.len()..];
            let Some(list) = self.codec_list(list) else { return false };
            if !list.add(entry) {
                self.unknown_value(&name[..name.len() - entry.len() - 1], entry);
            }
            return true;
        }
        for prefix in word_tables::PREFIXES {
            if let Some(value) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')) {
                self.key(prefix, &Value::from(&word[word.len() - value.len()..]));
                return true;
            }
        }
        false
    }

    fn protocol_bit(&mut self, set: impl FnOnce(&mut (bool, bool, bool))) {
        let mut bits = self.protocol_bits.unwrap_or_default();
        set(&mut bits);
        self.protocol_bits = Some(bits);
        self.flags.transport_protocol = Some(Protocol::of(bits.0, bits.1, bits.2));
    }

    fn transport_protocol(&mut self, key: &str, value: &Value) {
        let Some(text) = self.text(key, value) else { return };
        match Protocol::parse(text.trim()) {
            Some(protocol) => self.flags.transport_protocol = Some(protocol),
            None => self.unknown_value(key, &text),
        }
    }

    fn ice(&mut self, word: &str) {
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

    fn dtls(&mut self, word: &str) {
        self.flags.dtls = match normalised(word).as_str() {
            "off" | "no" | "disable" => DtlsFlag::Off,
            "passive" => DtlsFlag::Passive,
            "active" => DtlsFlag::Active,
            _ => return self.unknown_value("DTLS", word),
        };
    }

    fn sdes(&mut self, word: &str) {
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

    fn rtcp_mux(&mut self, word: &str) {
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

    fn bundle(&mut self, word: &str) {
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

    fn replace(&mut self, word: &str) {
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

    fn profile(&mut self, word: &str) {
        self.flags.profile = match normalised(word).as_str() {
            "whatsapp" => Some(ProfileName::Whatsapp),
            "sip" => Some(ProfileName::Sip),
            "webrtc" => Some(ProfileName::Webrtc),
            _ => return self.unknown_value("profile", word),
        };
    }

    fn address_family(&mut self, word: &str) {
        self.flags.address_family = match normalised(word).as_str() {
            "ip4" | "ipv4" => Some(AddressFamily::Ip4),
            "ip6" | "ipv6" => Some(AddressFamily::Ip6),
            _ => return self.unknown_value("address family", word),
        };
    }

    fn endpoint_learning(&mut self, word: &str) {
        self.flags.endpoint_learning = match normalised(word).as_str() {
            "delayed" => EndpointLearning::Delayed,
            "immediate" => EndpointLearning::Immediate,
            "heuristic" => EndpointLearning::Heuristic,
            "off" | "no" => EndpointLearning::Off,
            _ => return self.unknown_value("endpoint-learning", word),
        };
    }

    /// `codec: {mask: [opus], transcode: [PCMA]}`.
    fn codecs(&mut self, key: &str, value: &Value) {
        let Value::Dict(lists) = value else { return self.unreadable(key) };
        for (name, entries) in lists.iter() {
            let name = String::from_utf8_lossy(name);
            match self.codec_list(&normalised(&name)) {
                Some(_) => self.other_key(&format!("codec-{name}"), &format!("codec-{}", normalised(&name)), entries),
                None => self.unknown_value("codec", &name),
            }
        }
    }

    fn codec_list(&mut self, name: &str) -> Option<&mut super::CodecList> {
        let codec = &mut self.flags.codec;
        Some(match name {
            "strip" => &mut codec.strip,
            "except" => &mut codec.except,
            "offer" => &mut codec.offer,
            "transcode" => &mut codec.transcode,
            "mask" => &mut codec.mask,
            "consume" => &mut codec.consume,
            "accept" => &mut codec.accept,
            "ignore" => &mut codec.ignore,
            "set" => &mut codec.set,
            _ => return None,
        })
    }

    /// Calls `take` with every member of a list, or of a string split at its commas.
    fn each(&mut self, key: &str, value: &Value, mut take: impl FnMut(&mut Self, &str)) {
        if !for_each(value, |member| take(self, member)) {
            self.unreadable(key);
        }
    }

    fn text<'a>(&mut self, key: &str, value: &'a Value) -> Option<Cow<'a, str>> {
        let text = value.to_text();
        if text.is_none() {
            self.unreadable(key);
        }
        text
    }

    /// A name that will be kept: not empty, not longer than names may be.
    fn name(&mut self, key: &str, value: &Value) -> Option<String> {
        let text = self.text(key, value)?;
        if text.len() > NAME_BYTES_MAX {
            self.unreadable(key);
            return None;
        }
        Some(text.into_owned()).filter(|name| !name.is_empty())
    }

    fn number(&mut self, key: &str, value: &Value) -> Option<u32> {
        let number = value.to_integer().and_then(|number| u32::try_from(number).ok());
        if number.is_none() {
            self.unreadable(key);
        }
        number
    }

    fn unknown_value(&mut self, key: &str, value: &str) {
        self.flags.warn(format!("unknown value `{value}` of `{key}` ignored"));
    }

    fn unreadable(&mut self, key: &str) {
        self.flags.warn(format!("value of `{key}` is not of the expected kind; ignored"));
    }

    pub(super) fn finish(mut self) -> Flags {
        let mut direction = self.direction.into_iter();
        self.flags.direction = match (direction.next(), direction.next()) {
            (Some(from), Some(to)) => Some([from, to]),
            (Some(_), None) => {
                self.flags.warn("`direction` names one interface; it takes two");
                None
            }
            _ => None,
        };
        if let (Some(from), Some(to)) = (self.from_interface, self.to_interface) {
            self.flags.direction = Some([from, to]);
        }
        self.flags
    }
}

/// False if the value, or a member of it, is no text.
fn for_each(value: &Value, mut take: impl FnMut(&str)) -> bool {
    match value {
        Value::List(members) => members.iter().fold(true, |good, member| match member.to_text() {
            Some(text) => {
                take(&text);
                good
            }
            None => false,
        }),
        _ => value.to_text().is_some_and(|text| {
            text.split(',').map(str::trim).filter(|member| !member.is_empty()).for_each(take);
            true
        }),
    }
}
