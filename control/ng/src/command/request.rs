//! From a dictionary to a [`Request`]: the table of verbs, and the keys that name the call and its parties.

use std::net::IpAddr;

use super::media::{self, MediaKind};
use super::{Delete, Flags, NAME_BYTES_MAX, Query, SDP_BYTES_MAX, Signal, Switch, Verb, drain, subscribe, words};
use crate::{Dict, Value};

/// Call-ids that `list` returns if the request has no `limit`.
const LIST_LIMIT: usize = 32;

/// A request: the verb, and what concerns the reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The value of `command`.
    pub verb_name: &'static str,
    /// The verb with its arguments.
    pub verb: Verb,
    /// Unknown and unsupported keys, flags and values, one sentence each; for the reply.
    pub warnings: Vec<String>,
    /// The reply may be long: the request has the flag `verbose` or `verdict`, or a `limit`.
    pub verbose: bool,
}

/// Why a dictionary is not a request. The texts are rtpengine's where rtpengine has the error; proxies compare them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no `command`.
    #[error("Dictionary contains no key \"command\"")]
    NoCommand,
    /// `command` is not the name of a verb. Upper and lower case differ.
    #[error("Unrecognized command")]
    UnknownCommand,
    /// There is no `sdp`.
    #[error("No SDP body in message")]
    NoSdp,
    /// There is no `call-id`.
    #[error("No call-id in message")]
    NoCallId,
    /// There is no `from-tag`.
    #[error("No from-tag in message")]
    NoFromTag,
    /// There is no `to-tag`.
    #[error("No to-tag in message")]
    NoToTag,
    /// The value of this key is longer than [`NAME_BYTES_MAX`].
    #[error("{0} is longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong(&'static str),
    /// The value of this key is not UTF-8. Trestle returns names in JSON, which has only UTF-8.
    #[error("{0} is not UTF-8 text")]
    NameNotText(&'static str),
    /// `sdp` is longer than [`SDP_BYTES_MAX`].
    #[error("Failed to parse SDP: longer than {SDP_BYTES_MAX} bytes")]
    SdpTooLong,
    /// `limit` of `list` is negative or not a number.
    #[error("invalid limit, must be >= 0")]
    InvalidLimit,
    /// `play DTMF` has no digit, or a value that is not a digit.
    #[error("Out of range 'code' specified")]
    BadCode,
    /// `play DTMF` does not name the party that presses the key.
    #[error("No participant party specified")]
    NoParty,
    /// `address` is not an IP address.
    #[error("Failed to parse network address")]
    BadAddress,
    /// `op` of `gate` is missing or unknown.
    #[error("op of gate must be open or close")]
    BadGateOp,
    /// `pre-roll` of `gate` is unknown.
    #[error("pre-roll of gate must be keep or drop")]
    BadPreRoll,
    /// `expires` of `subscribe events` is not a number of seconds.
    #[error("expires must be a number of seconds")]
    BadExpires,
    /// `op` of `drain` is unknown.
    #[error("op of drain must be start or stop")]
    BadDrainOp,
    /// `grace` of `drain` is not a number of seconds.
    #[error("grace must be a number of seconds")]
    BadGrace,
}

type VerbReader = fn(&Dict, Flags) -> Result<Verb, RequestError>;

/// Every verb: its name, and the function that reads its arguments.
const VERBS: &[(&str, VerbReader)] = &[
    ("ping", |_, _| Ok(Verb::Ping)),
    ("offer", |dict, flags| Ok(Verb::Offer(signal(dict, flags, BodyRequirement::Sdp)?))),
    ("answer", |dict, flags| Ok(Verb::Answer(signal(dict, flags, BodyRequirement::SdpAndToTag)?))),
    ("delete", delete),
    ("query", query),
    ("list", list),
    ("statistics", |_, _| Ok(Verb::Statistics)),
    ("play DTMF", |dict, flags| Ok(Verb::PlayDigit(media::play_digit(dict, &flags)?))),
    ("block DTMF", |dict, flags| media::block(dict, &flags, MediaKind::Digits, true)),
    ("unblock DTMF", |dict, flags| media::block(dict, &flags, MediaKind::Digits, false)),
    ("block media", |dict, flags| media::block(dict, &flags, MediaKind::AudioAndDigits, true)),
    ("unblock media", |dict, flags| media::block(dict, &flags, MediaKind::AudioAndDigits, false)),
    ("silence media", |dict, flags| media::block(dict, &flags, MediaKind::Audio, true)),
    ("unsilence media", |dict, flags| media::block(dict, &flags, MediaKind::Audio, false)),
    ("connect", |dict, _| Ok(Verb::Connect(media::connect(dict)?))),
    ("create", |dict, flags| Ok(Verb::Create(signal(dict, flags, BodyRequirement::Nothing)?))),
    ("create answer", |dict, flags| Ok(Verb::CreateAnswer(signal(dict, flags, BodyRequirement::Sdp)?))),
    ("gate", |dict, flags| Ok(Verb::Gate(media::gate(dict, &flags)?))),
    ("drain", |dict, _| Ok(Verb::Drain(drain::drain(dict)?))),
    ("subscribe events", |dict, _| Ok(Verb::Subscribe(subscribe::subscribe(dict)?))),
];

/// The name of every verb.
pub fn verb_names() -> impl Iterator<Item = &'static str> {
    VERBS.iter().map(|(name, _)| *name)
}

impl Request {
    /// Reads a request. If a key is repeated, the first value counts for `command` and the keys that name the call and its
    /// parties, the last one for flags.
    ///
    /// # Errors
    ///
    /// The dictionary has no known `command`, or the keys of that verb are missing, too long, or not of the expected kind.
    /// Unknown keys and flags are not errors: they are in [`Request::warnings`].
    pub fn read(dict: &Dict) -> Result<Self, RequestError> {
        let command = dict.get("command").and_then(Value::as_bytes).ok_or(RequestError::NoCommand)?;
        let flags = words::read(dict);
        let (verb_name, read_verb) =
            *VERBS.iter().find(|(name, _)| name.as_bytes() == command).ok_or(RequestError::UnknownCommand)?;
        let warnings = flags.warnings.clone();
        let mut verbose = flags.has(Switch::Verbose);
        let verb = read_verb(dict, flags)?;
        match &verb {
            // A full verdict is long.
            Verb::Query(query) => verbose |= query.verdict,
            Verb::List { .. } => verbose |= dict.get("limit").is_some(),
            _ => {}
        }
        Ok(Self { verb_name, verb, warnings, verbose })
    }
}

fn delete(dict: &Dict, flags: Flags) -> Result<Verb, RequestError> {
    Ok(Verb::Delete(Delete {
        call_id: name(dict, "call-id")?.ok_or(RequestError::NoCallId)?,
        from_tag: name(dict, "from-tag")?,
        to_tag: name(dict, "to-tag")?.filter(|_| flags.has(Switch::ToTag)),
        via_branch: name(dict, "via-branch")?,
        delay: flags.call.delete_delay,
        fatal: flags.has(Switch::Fatal),
        fast: flags.has(Switch::Fast),
    }))
}

fn query(dict: &Dict, flags: Flags) -> Result<Verb, RequestError> {
    let verdict = flags.has(Switch::Verdict);
    Ok(Verb::Query(Query {
        call_id: name(dict, "call-id")?.ok_or(RequestError::NoCallId)?,
        from_tag: name(dict, "from-tag")?,
        to_tag: name(dict, "to-tag")?,
        verbose: verdict || flags.has(Switch::Verbose),
        verdict,
    }))
}

fn list(dict: &Dict, _: Flags) -> Result<Verb, RequestError> {
    let Some(limit) = dict.get("limit") else { return Ok(Verb::List { limit: LIST_LIMIT }) };
    let limit = limit.to_integer().and_then(|limit| usize::try_from(limit).ok());
    Ok(Verb::List { limit: limit.ok_or(RequestError::InvalidLimit)? })
}

/// Which keys a request about an SDP must have beside `call-id` and `from-tag`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyRequirement {
    Nothing,
    Sdp,
    SdpAndToTag,
}

/// The error names the first missing key in rtpengine's order: `sdp`, `call-id`, `from-tag`, `to-tag`.
fn signal(dict: &Dict, flags: Flags, requirement: BodyRequirement) -> Result<Box<Signal>, RequestError> {
    let sdp = match requirement {
        BodyRequirement::Nothing => &[],
        _ => dict.get("sdp").and_then(Value::as_bytes).filter(|sdp| !sdp.is_empty()).ok_or(RequestError::NoSdp)?,
    };
    let call_id = name(dict, "call-id")?.ok_or(RequestError::NoCallId)?;
    let from_tag = name(dict, "from-tag")?.ok_or(RequestError::NoFromTag)?;
    let to_tag = name(dict, "to-tag")?;
    if requirement == BodyRequirement::SdpAndToTag && to_tag.is_none() {
        return Err(RequestError::NoToTag);
    }
    if sdp.len() > SDP_BYTES_MAX {
        return Err(RequestError::SdpTooLong);
    }
    Ok(Box::new(Signal {
        call_id,
        from_tag,
        to_tag,
        via_branch: name(dict, "via-branch")?,
        // Old phones write names in Latin-1. The call goes on with replacement characters in them.
        sdp: String::from_utf8_lossy(sdp).into_owned(),
        flags,
        received_from: dict.get("received-from").and_then(address),
    }))
}

/// The text of a key that names a call or a party. An empty text counts as absent.
pub(super) fn name(dict: &Dict, key: &'static str) -> Result<Option<String>, RequestError> {
    let Some(value) = dict.get(key) else { return Ok(None) };
    let text = value.to_text().ok_or(RequestError::NameNotText(key))?;
    if text.len() > NAME_BYTES_MAX {
        return Err(RequestError::NameTooLong(key));
    }
    Ok(Some(text.into_owned()).filter(|text| !text.is_empty()))
}

/// `["IP4", "192.0.2.1"]`, `IP4 192.0.2.1` or `192.0.2.1`.
fn address(value: &Value) -> Option<IpAddr> {
    let text = match value {
        Value::List(members) => members.last()?.to_text()?,
        _ => value.to_text()?,
    };
    text.split_whitespace().last()?.trim_matches(['[', ']']).parse().ok()
}
