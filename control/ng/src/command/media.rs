//! Requests about the media of a call that is there: whose, and what.

use std::net::IpAddr;
use std::time::Duration;

use trestle_wire::telephone_event::Digit;

use super::request::{OpError, name};
use super::{Flags, Switch};
use crate::value::normalised;
use crate::{Dict, Value};

/// How long a played digit sounds if the request does not say; and what it may say.
const DURATION_MS: i64 = 250;
const DURATION_MS_MIN: i64 = 100;
const DURATION_MS_MAX: i64 = 5_000;
/// Power of a played digit in -dBm0 if the request does not say.
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

/// What of a party's media can be kept from the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// `block DTMF`: digits, as telephone-events.
    Digits,
    /// `block media`: audio and digits.
    Media,
    /// `silence media`: audio, with silence in its place.
    Audio,
}

/// `block ...`, `unblock ...`, `silence ...`, `unsilence ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The call.
    pub call_id: String,
    /// Whose media.
    pub target: TargetParty,
    /// What of it.
    pub subject: Subject,
    /// Keep it from the others, or let it through again.
    pub on: bool,
}

/// `play DTMF`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayDigit {
    /// The call.
    pub call_id: String,
    /// The party as which the key is pressed; the other side receives it.
    pub target: TargetParty,
    /// If given, only this party receives it.
    pub to_tag: Option<String>,
    /// The digit.
    pub digit: Digit,
    /// How long it sounds.
    pub duration: Duration,
    /// Power in -dBm0.
    pub volume: u8,
}

/// `connect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The call.
    pub call_id: String,
    /// The call of the other party, if it is another one.
    pub to_call_id: Option<String>,
    /// One party.
    pub from_tag: String,
    /// The other.
    pub to_tag: String,
}

/// `gate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateRequest {
    /// The call.
    pub call_id: String,
    /// Whose gate; all gates of the call if no party is named.
    pub target: TargetParty,
    /// Open it; or else close it for good.
    pub open: bool,
    /// Opening, throw away what was kept.
    pub drop_pre_roll: bool,
}

pub(super) fn gate(dict: &Dict, flags: &Flags) -> Result<GateRequest, OpError> {
    let call_id = name(dict, "call-id")?.ok_or(OpError::NoCallId)?;
    let word = |key| dict.get(key).map(|value| value.to_text().map(|text| normalised(&text)).unwrap_or_default());
    let open = match word("op").as_deref() {
        Some("open") => true,
        Some("close") => false,
        _ => return Err(OpError::BadGateOp),
    };
    let drop_pre_roll = match word("pre-roll").as_deref() {
        Some("keep") | None => false,
        Some("drop") => true,
        Some(_) => return Err(OpError::BadPreRoll),
    };
    Ok(GateRequest { call_id, target: target(dict, flags)?, open, drop_pre_roll })
}

pub(super) fn block(dict: &Dict, flags: &Flags, subject: Subject, on: bool) -> Result<Block, OpError> {
    let call_id = name(dict, "call-id")?.ok_or(OpError::NoCallId)?;
    Ok(Block { call_id, target: target(dict, flags)?, subject, on })
}

pub(super) fn play_digit(dict: &Dict, flags: &Flags) -> Result<PlayDigit, OpError> {
    let call_id = name(dict, "call-id")?.ok_or(OpError::NoCallId)?;
    let target = target(dict, flags)?;
    if target == TargetParty::All {
        return Err(OpError::NoParty);
    }
    let digit = dict.get("code").or_else(|| dict.get("digit")).and_then(digit).ok_or(OpError::BadCode)?;
    let number = |key: &str, default: i64| dict.get(key).and_then(Value::to_integer).unwrap_or(default);
    let duration_ms = number("duration", DURATION_MS).clamp(DURATION_MS_MIN, DURATION_MS_MAX);
    // Written with or without the minus of its unit.
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

pub(super) fn connect(dict: &Dict) -> Result<Connect, OpError> {
    let call_id = name(dict, "call-id")?.ok_or(OpError::NoCallId)?;
    let to_call_id = name(dict, "to-call-id")?.filter(|other| *other != call_id);
    let from_tag = name(dict, "from-tag")?.ok_or(OpError::NoFromTag)?;
    let to_tag = name(dict, "to-tag")?.ok_or(OpError::NoToTag)?;
    Ok(Connect { call_id, to_call_id, from_tag, to_tag })
}

/// Proxies send from-tag for these only when they mean that one party.
fn target(dict: &Dict, flags: &Flags) -> Result<TargetParty, OpError> {
    if flags.has(Switch::All) {
        return Ok(TargetParty::All);
    }
    if let Some(label) = &flags.call.label {
        return Ok(TargetParty::Label(label.clone()));
    }
    if let Some(address) = name(dict, "address")? {
        let address = address.trim().trim_matches(['[', ']']);
        return address.parse().map(TargetParty::Address).map_err(|_| OpError::BadAddress);
    }
    Ok(name(dict, "from-tag")?.map_or(TargetParty::All, TargetParty::Tag))
}

/// The key's name, or the number of its event: `"*"`, `10`, `"10"`.
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
    use super::super::{Op, Request};
    use super::*;

    fn request(command: &str) -> Dict {
        Dict::default().with("command", command).with("call-id", "c")
    }

    fn play(dict: Dict) -> Result<PlayDigit, OpError> {
        Request::read(&dict).map(|request| match request.op {
            Op::PlayDigit(play) => play,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_digit_comes_as_its_name_or_its_number() {
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
                assert_eq!(read.map(|play| play.digit.to_char()), digit.ok_or(OpError::BadCode), "{code:?}");
            }
        }
        assert_eq!(play(request("play DTMF").with("from-tag", "a")), Err(OpError::BadCode));
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
    fn a_party_is_named_by_label_address_or_tag_in_this_order() {
        let all = || request("block media").with("label", "l").with("address", "192.0.2.1").with("from-tag", "a");
        let target = |dict: Dict| match Request::read(&dict).map(|request| request.op) {
            Ok(Op::Block(block)) => Ok(block.target),
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
        assert_eq!(target(request("block media").with("address", "here")), Err(OpError::BadAddress));
        assert_eq!(play(request("play DTMF").with("code", "1")), Err(OpError::NoParty));
    }

    #[test]
    fn every_verb_is_what_it_is_called() {
        for (verb, subject, on) in [
            ("block DTMF", Subject::Digits, true),
            ("unblock DTMF", Subject::Digits, false),
            ("block media", Subject::Media, true),
            ("unblock media", Subject::Media, false),
            ("silence media", Subject::Audio, true),
            ("unsilence media", Subject::Audio, false),
        ] {
            let op = Request::read(&request(verb)).unwrap().op;
            let expected = Block { call_id: "c".to_owned(), target: TargetParty::All, subject, on };
            assert_eq!((op.name(), &op), (verb, &Op::Block(expected)));
            assert!(Op::NAMES.contains(&verb));
        }
    }

    #[test]
    fn nothing_that_a_media_request_can_say_is_called_unknown() {
        let dict = request("play DTMF").with("from-tag", "a").with("to-tag", "b").with("code", "1");
        let dict = dict.with("duration", "200").with("volume", "-10").with("address", "192.0.2.1");
        let dict = dict.with("flags", vec!["directional".into(), "all".into()]).with("label", "x");
        assert_eq!(super::super::words::read(&dict).warnings, [""; 0]);
    }

    #[test]
    fn connect_names_two_parties_of_one_call_or_of_two() {
        let both = || request("connect").with("from-tag", "a").with("to-tag", "b");
        let other = |dict: Dict| Request::read(&dict).unwrap().op.other_call_id().map(str::to_owned);
        assert_eq!(other(both()), None);
        assert_eq!(other(both().with("to-call-id", "c")), None, "the same call");
        assert_eq!(other(both().with("to-call-id", "d")).as_deref(), Some("d"));
        assert_eq!(Request::read(&request("connect").with("from-tag", "a")), Err(OpError::NoToTag));
        assert_eq!(Request::read(&request("connect").with("to-tag", "a")), Err(OpError::NoFromTag));
    }
}
