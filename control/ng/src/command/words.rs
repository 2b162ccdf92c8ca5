//! Reads flags in each of their three spellings: keys of their own (Kamailio), words in the list `flags` (OpenSIPS),
//! and one string (`rtpp-flags`). All end in the same two functions, `FlagReader::key` and `FlagReader::word`.

mod choices;
pub mod presence;
mod values;

use std::time::Duration;

use super::flag_string::{Token, tokens};
use super::flags::{Flags, IceFlag, Protocol, Tos};
use super::{NAME_BYTES_MAX, word_tables};
use crate::value::normalised;
use crate::{Dict, Value};
use values::for_each;

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
            "dtmf-security" => self.but_for(key, value, &["drop", "silence"]),
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
            "detect-dtmf" => flags.detect_dtmf = true,
            "block-dtmf" => flags.block_dtmf = true,
            "all" => flags.all = true,
            "new-branch" => flags.new_branch = true,
            "reject-ice" => flags.reject_ice = true,
            "pad-crypto" => flags.sdes.pad = true,
            "verbose" => flags.verbose = true,
            "verdict" => flags.verdict = true,
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
