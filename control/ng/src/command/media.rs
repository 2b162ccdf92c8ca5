//! The arguments of requests about the media of an existing call: `play DTMF`, `block ...`, `silence ...`, `connect`, `gate`.

use std::net::IpAddr;
use std::time::Duration;

use trestle_wire::telephone_event::Digit;

use super::request::{RequestError, name};
use super::{Flags, Switch, Verb};
use crate::value::normalised;
use crate::{Dict, Value};

/// Duration of a played digit, in milliseconds: the default, and the range that a request may set.
const DURATION_MS: i64 = 250;
const DURATION_MS_MIN: i64 = 100;
const DURATION_MS_MAX: i64 = 5_000;
/// Power of a played digit in -dBm0: the default, and the highest value (the lowest power).
const VOLUME: i64 = 8;
const VOLUME_MAX: i64 = 63;

/// The party that a request names, strongest key first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetParty {
    /// All parties of the call: the flag `all`, or no key that names one.
    All,
    /// `label`
    Label(String),
    /// `address`: the media address in the party's SDP.
    Address(IpAddr),
    /// `from-tag`
    Tag(String),
}

/// Which media of a party a request blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// `block DTMF`: digits, as telephone-events.
    Digits,
    /// `block media`: audio and digits.
    AudioAndDigits,
    /// `silence media`: audio; the other parties receive silence in its place.
    Audio,
}

/// The arguments of `block ...`, `unblock ...`, `silence ...` and `unsilence ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRequest {
    /// The call.
    pub call_id: String,
    /// The party that sends the media.
    pub target: TargetParty,
    /// Which of its media.
    pub media: MediaKind,
    /// Block, or unblock.
    pub block: bool,
}

/// The arguments of `play DTMF`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayDigit {
    /// The call.
    pub call_id: String,
    /// The party in whose name the digit is played. The other parties receive it.
    pub target: TargetParty,
    /// If present, only this party receives the digit.
    pub to_tag: Option<String>,
    /// The digit.
    pub digit: Digit,
    /// Its duration.
    pub duration: Duration,
    /// Power in -dBm0.
    pub volume: u8,
}

/// The arguments of `connect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The call.
    pub call_id: String,
    /// The call of `to_tag`, if it is another one.
    pub to_call_id: Option<String>,
    /// The first party.
    pub from_tag: String,
    /// The second party.
    pub to_tag: String,
}

/// The arguments of `gate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateRequest {
    /// The call.
    pub call_id: String,
    /// The party with the gate; all gates of the call if no party is named.
    pub target: TargetParty,
    /// Open it, or close it for the rest of the call.
    pub open: bool,
    /// When it opens, discard the audio buffered for the party.
    pub drop_pre_roll: bool,
}

pub(super) fn gate(dict: &Dict, flags: &Flags) -> Result<GateRequest, RequestError> {
    let call_id = name(dict, "call-id")?.ok_or(RequestError::NoCallId)?;
    let word = |key| dict.get(key).map(|value| value.to_text().map(|text| normalised(&text)).unwrap_or_default());
    let open = match word("op").as_deref() {
        Some("open") => true,
        Some("close") => false,
        _ => return Err(RequestError::BadGateOp),
    };
    let drop_pre_roll = match word("pre-roll").as_deref() {
        Some("keep") | None => false,
        Some("drop") => true,
        Some(_) => return Err(RequestError::BadPreRoll),
    };
    Ok(GateRequest { call_id, target: target(dict, flags)?, open, drop_pre_roll })
}

pub(super) fn block(dict: &Dict, flags: &Flags, media: MediaKind, block: bool) -> Result<Verb, RequestError> {
    let call_id = name(dict, "call-id")?.ok_or(RequestError::NoCallId)?;
    Ok(Verb::Block(BlockRequest { call_id, target: target(dict, flags)?, media, block }))
}

pub(super) fn play_digit(dict: &Dict, flags: &Flags) -> Result<PlayDigit, RequestError> {
    let call_id = name(dict, "call-id")?.ok_or(RequestError::NoCallId)?;
    let target = target(dict, flags)?;
    if target == TargetParty::All {
        return Err(RequestError::NoParty);
    }
    let digit = dict.get("code").or_else(|| dict.get("digit")).and_then(digit).ok_or(RequestError::BadCode)?;
    let number = |key: &str, default: i64| dict.get(key).and_then(Value::to_integer).unwrap_or(default);
    let duration_ms = number("duration", DURATION_MS).clamp(DURATION_MS_MIN, DURATION_MS_MAX);
    // With or without the minus sign of -dBm0.
    let volume = number("volume", VOLUME).saturating_abs().min(VOLUME_MAX);
    Ok(PlayDigit {
        call_id,
        target,
        to_tag: name(dict, "to-tag")?,
        digit,
        duration: Duration::from_millis(duration_ms as u64),
        volume: volume as u8,
    })
}

pub(super) fn connect(dict: &Dict) -> Result<Connect, RequestError> {
    let call_id = name(dict, "call-id")?.ok_or(RequestError::NoCallId)?;
    let to_call_id = name(dict, "to-call-id")?.filter(|other| *other != call_id);
    let from_tag = name(dict, "from-tag")?.ok_or(RequestError::NoFromTag)?;
    let to_tag = name(dict, "to-tag")?.ok_or(RequestError::NoToTag)?;
    Ok(Connect { call_id, to_call_id, from_tag, to_tag })
}

/// The party that the request names. Proxies send `from-tag` with these verbs only to name one party.
fn target(dict: &Dict, flags: &Flags) -> Result<TargetParty, RequestError> {
    if flags.has(Switch::All) {
        return Ok(TargetParty::All);
    }
    if let Some(label) = &flags.call.label {
        return Ok(TargetParty::Label(label.clone()));
    }
    if let Some(address) = name(dict, "address")? {
        let address = address.trim().trim_matches(['[', ']']);
        return address.parse().map(TargetParty::Address).map_err(|_| RequestError::BadAddress);
    }
    Ok(name(dict, "from-tag")?.map_or(TargetParty::All, TargetParty::Tag))
}

/// A digit as its character, or as the number of its event (RFC 4733): `"*"`, `10`, `"10"`.
fn digit(value: &Value) -> Option<Digit> {
    let text = value.to_text()?;
    let text = text.trim();
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(char), None) => Digit::from_char(char),
        _ => text.parse().ok().and_then(Digit::from_event),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Request, verb_names};
    use super::*;

    fn request(command: &str) -> Dict {
        Dict::default().with("command", command).with("call-id", "c")
    }

    fn play(dict: Dict) -> Result<PlayDigit, RequestError> {
        Request::read(&dict).map(|request| match request.verb {
            Verb::PlayDigit(play) => play,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_digit_is_read_as_a_character_or_as_an_event_number() {
        let table: [(Value, Option<char>); 14] = [
            ("5".into(), Some('5')),
            (Value::Integer(5), Some('5')),
            ("*".into(), Some('*')),
            ("#".into(), Some('#')),
            ("d".into(), Some('D')),
            (Value::Integer(10), Some('*')),
            ("15".into(), Some('D')),
            (Value::Integer(16), None),
            (Value::Integer(-1), None),
            ("E".into(), None),
            ("12a".into(), None),
            ("".into(), None),
            ("\u{660}".into(), None),
            (Value::List(vec![]), None),
        ];
        for (code, digit) in table {
            for key in ["code", "digit"] {
                let read = play(request("play DTMF").with("from-tag", "a").with(key, code.clone()));
                assert_eq!(read.map(|play| play.digit.to_char()), digit.ok_or(RequestError::BadCode), "{code:?}");
            }
        }
        assert_eq!(play(request("play DTMF").with("from-tag", "a")), Err(RequestError::BadCode));
    }

    #[test]
    fn duration_and_volume_have_defaults_and_bounds() {
        let read = |key: &str, value: i64| {
            let dict = request("play DTMF").with("from-tag", "a").with("code", "1").with(key, Value::Integer(value));
            play(dict).map(|play| (play.duration.as_millis(), play.volume)).unwrap()
        };
        assert_eq!(read("pause", 100), (250, 8));
        assert_eq!([1, 700, i64::MAX].map(|ms| read("duration", ms).0), [100, 700, 5_000]);
        assert_eq!([-12, 12, i64::MIN, 0].map(|dbm0| read("volume", dbm0).1), [12, 12, 63, 0]);
    }

    #[test]
    fn the_target_is_the_label_then_the_address_then_the_tag() {
        let all = || request("block media").with("label", "l").with("address", "192.0.2.1").with("from-tag", "a");
        let target = |dict: Dict| match Request::read(&dict).map(|request| request.verb) {
            Ok(Verb::Block(block)) => Ok(block.target),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        };
        let without = |names: &[&str]| {
            let kept = all().0.into_iter().filter(|(key, _)| !names.iter().any(|name| name.as_bytes() == key));
            Dict(kept.collect())
        };
        assert_eq!(target(all()), Ok(TargetParty::Label("l".to_owned())));
        assert_eq!(target(without(&["label"])), Ok(TargetParty::Address(IpAddr::from([192, 0, 2, 1]))));
        assert_eq!(target(without(&["label", "address"])), Ok(TargetParty::Tag("a".to_owned())));
        assert_eq!(target(without(&["label", "address", "from-tag"])), Ok(TargetParty::All));
        assert_eq!(target(all().with("flags", "all")), Ok(TargetParty::All));
        assert_eq!(target(request("block media").with("address", "here")), Err(RequestError::BadAddress));
        assert_eq!(play(request("play DTMF").with("code", "1")), Err(RequestError::NoParty));
    }

    #[test]
    fn each_block_verb_has_its_media_and_effect() {
        for (name, media, block) in [
            ("block DTMF", MediaKind::Digits, true),
            ("unblock DTMF", MediaKind::Digits, false),
            ("block media", MediaKind::AudioAndDigits, true),
            ("unblock media", MediaKind::AudioAndDigits, false),
            ("silence media", MediaKind::Audio, true),
            ("unsilence media", MediaKind::Audio, false),
        ] {
            let read = Request::read(&request(name)).unwrap();
            let expected = BlockRequest { call_id: "c".to_owned(), target: TargetParty::All, media, block };
            assert_eq!((read.verb_name, read.verb), (name, Verb::Block(expected)));
            assert!(verb_names().any(|known| known == name));
        }
    }

    #[test]
    fn each_key_of_a_media_request_is_known() {
        let dict = request("play DTMF").with("from-tag", "a").with("to-tag", "b").with("code", "1");
        let dict = dict.with("duration", "200").with("volume", "-10").with("address", "192.0.2.1");
        let dict = dict.with("flags", vec!["directional".into(), "all".into()]).with("label", "x");
        assert_eq!(super::super::words::read(&dict).warnings, [""; 0]);
    }

    #[test]
    fn connect_reads_two_parties_of_one_call_or_of_two_calls() {
        let both = || request("connect").with("from-tag", "a").with("to-tag", "b");
        let other = |dict: Dict| Request::read(&dict).unwrap().verb.other_call_id().map(str::to_owned);
        assert_eq!(other(both()), None);
        assert_eq!(other(both().with("to-call-id", "c")), None, "the same call");
        assert_eq!(other(both().with("to-call-id", "d")).as_deref(), Some("d"));
        assert_eq!(Request::read(&request("connect").with("from-tag", "a")), Err(RequestError::NoToTag));
        assert_eq!(Request::read(&request("connect").with("to-tag", "a")), Err(RequestError::NoFromTag));
    }
}
