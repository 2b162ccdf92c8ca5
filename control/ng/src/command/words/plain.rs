//! Keys whose value is a text, a name, a number or a list of them.

use std::time::Duration;

use super::super::NAME_BYTES_MAX;
use super::super::flags::Tos;
use super::FlagReader;
use crate::Value;
use crate::value::normalised;

/// Longest time for which a deleted call can be kept.
const DELETE_DELAY_MAX: Duration = Duration::from_secs(3_600);

pub(crate) fn flag_list(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.each(key, value, |reader, word| reader.word_or_pair(word));
}

pub(crate) fn rtpp_flags(reader: &mut FlagReader, key: &str, value: &Value) {
    if let Some(text) = reader.text(key, value) {
        reader.flag_string(&text);
    }
}

pub(crate) fn dtls_fingerprint(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.flags.dtls.fingerprint = reader.name(key, value).map(|name| name.to_ascii_lowercase());
}

/// `codec: {mask: [opus], transcode: [PCMA]}`.
pub(crate) fn codecs(reader: &mut FlagReader, key: &str, value: &Value) {
    let Value::Dict(lists) = value else { return reader.unreadable(key) };
    for (name, entries) in lists.iter() {
        let name = String::from_utf8_lossy(name);
        let normal = normalised(&name);
        match reader.flags.codec.list_mut(&normal) {
            Some(_) => reader.key_without_row(&format!("codec-{name}"), &format!("codec-{normal}"), entries),
            None => reader.unknown_value("codec", &name),
        }
    }
}

pub(crate) fn ptime(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.flags.media.ptime_ms = reader.number(key, value);
}

pub(crate) fn ptime_reverse(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.flags.media.ptime_reverse_ms = reader.number(key, value);
}

pub(crate) fn direction(reader: &mut FlagReader, key: &str, value: &Value) {
    let mut names = Vec::new();
    reader.each(key, value, |_, name| names.push(name.to_owned()));
    if names.len() > 1 {
        reader.direction.clear();
    }
    reader.direction.extend(names.into_iter().filter(|name| name.len() <= NAME_BYTES_MAX).take(2));
}

pub(crate) fn interface(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.flags.routing.interface = reader.name(key, value);
}

pub(crate) fn from_interface(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.from_interface = reader.name(key, value);
}

pub(crate) fn to_interface(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.to_interface = reader.name(key, value);
}

pub(crate) fn media_address(reader: &mut FlagReader, key: &str, value: &Value) {
    if let Some(text) = reader.text(key, value) {
        match text.trim().parse() {
            Ok(address) => reader.flags.routing.media_address = Some(address),
            Err(_) => reader.unknown_value(key, &text),
        }
    }
}

pub(crate) fn label(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.flags.call.label = reader.name(key, value);
}

pub(crate) fn to_label(reader: &mut FlagReader, key: &str, value: &Value) {
    reader.flags.call.to_label = reader.name(key, value);
}

pub(crate) fn tos(reader: &mut FlagReader, key: &str, value: &Value) {
    match value.to_integer() {
        Some(..0) => reader.flags.media.tos = Tos::Keep,
        Some(tos) => reader.flags.media.tos = u8::try_from(tos).map_or(Tos::Default, Tos::Byte),
        None => reader.unreadable(key),
    }
}

pub(crate) fn delete_delay(reader: &mut FlagReader, key: &str, value: &Value) {
    match value.to_integer() {
        Some(seconds) => {
            let delay = u64::try_from(seconds).ok().map(|s| Duration::from_secs(s).min(DELETE_DELAY_MAX));
            reader.flags.call.delete_delay = delay;
        }
        None => reader.unreadable(key),
    }
}
