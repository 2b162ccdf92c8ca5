//! Reads flags in each of their three spellings: keys of their own (Kamailio), words in the list `flags` (OpenSIPS),
//! and one string (`rtpp-flags`). All end in `FlagReader::key` and `FlagReader::word`, which look the name up in
//! [`super::flag_table`].

pub(super) mod choices;
pub mod gate;
pub(super) mod plain;
mod values;

use super::flag_string::{FlagToken, flag_tokens};
use super::flag_table::{self, KEYS, KeyEffect, Switch, WordEffect};
use super::flags::Flags;
use crate::value::normalised;
use crate::{Dict, Value};
use trestle_sdp::Protocol;
use values::for_each;

/// Reads the value of a key into the flags of the reader.
pub type KeyReader = fn(&mut FlagReader, &str, &Value);

/// Reads every flag of a message. Unknown keys, flags and values are no errors; they end in [`Flags::warnings`].
pub fn read(dict: &Dict) -> Flags {
    let mut reader = FlagReader::default();
    for (key, value) in dict.iter() {
        reader.key(&String::from_utf8_lossy(key), value);
    }
    reader.finish()
}

/// The flags of one message, while it is read.
#[derive(Debug, Default)]
pub struct FlagReader {
    pub(super) flags: Flags,
    protocol_parts: Option<ProtocolParts>,
    /// Interfaces in order of appearance, from `direction=a direction=b`, `internal`, `external`.
    direction: Vec<String>,
    from_interface: Option<String>,
    to_interface: Option<String>,
}

/// A transport protocol, as the bare words `SRTP`, `AVPF`, `DTLS` add up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ProtocolParts {
    pub(super) secure: bool,
    pub(super) feedback: bool,
    pub(super) dtls: bool,
}

impl FlagReader {
    /// One `key: value`, or `key=value` of a flag string. The last one wins.
    pub(super) fn key(&mut self, key: &str, value: &Value) {
        let name = normalised(key);
        let Some(row) = flag_table::key_named(&name) else { return self.key_without_row(key, &name, value) };
        match row.effect {
            KeyEffect::Read(read) => read(self, key, value),
            KeyEffect::Argument | KeyEffect::AsAlways => {}
            KeyEffect::NotSupported => self.flags.warn(format!("`{key}` is not supported and was ignored")),
            KeyEffect::NotSupportedBut(done) => self.each(key, value, |this, word| {
                if !done.contains(&normalised(word).as_str()) {
                    this.flags.warn(format!("`{key}={word}` is not supported and was ignored"));
                }
            }),
        }
    }

    /// `codec-LIST`, or a word written as a key: `generate-mid=yes`, `"verbose": true`.
    fn key_without_row(&mut self, key: &str, name: &str, value: &Value) {
        if let Some(list) = name.strip_prefix("codec-").and_then(|list| self.flags.codec.list_mut(list)) {
            let mut bad = Vec::new();
            for_each(value, |entry| {
                if !list.add(entry) {
                    bad.push(entry.to_owned());
                }
            });
            bad.iter().for_each(|entry| self.unknown_value(key, entry));
        } else if flag_table::word(name).is_some_and(|word| !matches!(word.effect, WordEffect::Part(_))) {
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
        for token in flag_tokens(text) {
            match token {
                FlagToken::Word(word) => self.word(word),
                // A flag string must not carry another one: the sender would choose how deep the nesting is.
                FlagToken::Pair(key, value) if normalised(key) != "rtpp-flags" && normalised(key) != "flags" => {
                    self.key(key, &value)
                }
                FlagToken::Pair(key, _) => self.flags.warn(format!("unknown key `{key}` ignored")),
                FlagToken::Bare(_) => self.flags.warn("a bracket without a key was ignored"),
            }
        }
    }

    /// One word of the list `flags` or of a flag string.
    pub(super) fn word(&mut self, word: &str) {
        let word = word.trim();
        let name = normalised(word);
        if name.is_empty() {
            return;
        }
        match flag_table::word(&name).map(|row| row.effect) {
            Some(WordEffect::On(switch)) => {
                self.flags.switches.set(switch, true);
                // `always-transcode` is `codec-accept-all` by another name.
                self.flags.codec.accept.all |= switch == Switch::AlwaysTranscode;
            }
            Some(WordEffect::Off(switch)) => self.flags.switches.set(switch, false),
            Some(WordEffect::Apply(apply)) => apply(&mut self.flags),
            Some(WordEffect::Part(add)) => add(self),
            Some(WordEffect::AsAlways) => {}
            Some(WordEffect::NotSupported) => {
                self.flags.warn(format!("flag `{word}` is not supported and was ignored"));
            }
            None if self.key_in_one_word(word, &name) => {}
            None => match Protocol::parse(word) {
                Some(protocol) => self.flags.transport_protocol = Some(protocol),
                None => self.flags.warn(format!("unknown flag `{word}` ignored")),
            },
        }
    }

    /// `SDES-off`, `codec-mask-opus`, `transcode-PCMA`: a key and one value in a word.
    fn key_in_one_word(&mut self, word: &str, name: &str) -> bool {
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
            let Some(list) = self.flags.codec.list_mut(list) else { return false };
            if !list.add(entry) {
                self.unknown_value(&name[..name.len() - entry.len() - 1], entry);
            }
            return true;
        }
        for key in KEYS.iter().filter(|key| key.in_one_word) {
            let rest = name.get(key.name.len()..).and_then(|rest| rest.strip_prefix('-'));
            if let Some(value) = rest.filter(|_| name[..key.name.len()].eq_ignore_ascii_case(key.name)) {
                self.key(&name[..key.name.len()], &Value::from(&word[word.len() - value.len()..]));
                return true;
            }
        }
        false
    }

    /// Adds a bare word to the transport protocol.
    pub(super) fn protocol_part(&mut self, add: impl FnOnce(&mut ProtocolParts)) {
        let parts = self.protocol_parts.get_or_insert_default();
        add(parts);
        self.flags.transport_protocol = Some(Protocol::of(parts.secure, parts.feedback, parts.dtls));
    }

    /// Adds the next interface of `direction`.
    pub(super) fn direction_name(&mut self, name: &str) {
        self.direction.push(name.to_owned());
    }

    fn finish(mut self) -> Flags {
        let mut direction = self.direction.into_iter();
        self.flags.routing.direction = match (direction.next(), direction.next()) {
            (Some(from), Some(to)) => Some([from, to]),
            (Some(_), None) => {
                self.flags.warn("`direction` names one interface; it takes two");
                None
            }
            _ => None,
        };
        if let (Some(from), Some(to)) = (self.from_interface, self.to_interface) {
            self.flags.routing.direction = Some([from, to]);
        }
        self.flags
    }
}
