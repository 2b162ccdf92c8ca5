//! From a dictionary to an operation.

use std::net::IpAddr;

use super::media::{self, Subject};
use super::{Delete, Flags, NAME_BYTES_MAX, Op, Query, SDP_BYTES_MAX, Signal, Switch, subscribe, words};
use crate::{Dict, Value};

/// Call-ids that `list` returns without a limit.
const LIST_LIMIT: usize = 32;

/// A request as far as everything but its operation goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub op: Op,
    /// What was not understood; for the reply.
    pub warnings: Vec<String>,
    /// The caller asked for a long reply: flag `verbose`, or a `limit`.
    pub verbose: bool,
}

/// Why a dictionary is no operation. The texts are the protocol's where it has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// No `command`.
    #[error("Dictionary contains no key \"command\"")]
    NoCommand,
    /// Case counts.
    #[error("Unrecognized command")]
    UnknownCommand,
    /// No `sdp`.
    #[error("No SDP body in message")]
    NoSdp,
    /// No `call-id`.
    #[error("No call-id in message")]
    NoCallId,
    /// No `from-tag`.
    #[error("No from-tag in message")]
    NoFromTag,
    /// No `to-tag`.
    #[error("No to-tag in message")]
    NoToTag,
    /// See [`NAME_BYTES_MAX`].
    #[error("{0} is longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong(&'static str),
    /// Names are kept and given back in JSON, which has only UTF-8.
    #[error("{0} is not UTF-8 text")]
    NameNotText(&'static str),
    /// See [`SDP_BYTES_MAX`].
    #[error("Failed to parse SDP: longer than {SDP_BYTES_MAX} bytes")]
    SdpTooLong,
    /// `list` with a negative limit.
    #[error("invalid limit, must be >= 0")]
    InvalidLimit,
    /// `play DTMF` without a digit, or with something that is none.
    #[error("Out of range 'code' specified")]
    BadCode,
    /// `play DTMF` that does not say who presses.
    #[error("No participant party specified")]
    NoParty,
    /// `address` is no IP address.
    #[error("Failed to parse network address")]
    BadAddress,
    /// `op` of `gate`.
    #[error("op of gate must be open or close")]
    BadGateOp,
    /// `pre-roll` of `gate`.
    #[error("pre-roll of gate must be keep or drop")]
    BadPreRoll,
    /// `expires` of `subscribe events`.
    #[error("expires must be a number of seconds")]
    BadExpires,
}

impl Request {
    /// Reads a request. Of keys that name the call and the command the first one counts, of flags the last.
    pub fn read(dict: &Dict) -> Result<Self, OpError> {
        let command = dict.get("command").and_then(Value::as_bytes).ok_or(OpError::NoCommand)?;
        let mut flags = words::read(dict);
        let warnings = flags.warnings.clone();
        let mut verbose = flags.has(Switch::Verbose);
        let op = match command {
            b"ping" => Op::Ping,
            b"offer" => Op::Offer(Box::new(signal(dict, flags, SdpBody::Offer)?)),
            b"answer" => Op::Answer(Box::new(signal(dict, flags, SdpBody::Answer)?)),
            b"delete" => Op::Delete(Delete {
                call_id: name(dict, "call-id")?.ok_or(OpError::NoCallId)?,
                from_tag: name(dict, "from-tag")?,
                to_tag: name(dict, "to-tag")?.filter(|_| flags.has(Switch::ToTag)),
                via_branch: name(dict, "via-branch")?,
                delay: flags.call.delete_delay.take(),
                fatal: flags.has(Switch::Fatal),
                fast: flags.has(Switch::Fast),
            }),
            b"query" => {
                // A verdict in full is long.
                verbose |= flags.has(Switch::Verdict);
                Op::Query(Query {
                    call_id: name(dict, "call-id")?.ok_or(OpError::NoCallId)?,
                    from_tag: name(dict, "from-tag")?,
                    to_tag: name(dict, "to-tag")?,
                    verbose,
                    verdict: flags.has(Switch::Verdict),
                })
            }
            b"list" => {
                let limit = dict.get("limit").map(Value::to_integer);
                verbose |= limit.is_some();
                let limit = limit.unwrap_or(Some(LIST_LIMIT as i64)).ok_or(OpError::InvalidLimit)?;
                Op::List { limit: usize::try_from(limit).map_err(|_| OpError::InvalidLimit)? }
            }
            b"statistics" => Op::Statistics,
            b"play DTMF" => Op::PlayDigit(media::play_digit(dict, &flags)?),
            b"block DTMF" => Op::Block(media::block(dict, &flags, Subject::Digits, true)?),
            b"unblock DTMF" => Op::Block(media::block(dict, &flags, Subject::Digits, false)?),
            b"block media" => Op::Block(media::block(dict, &flags, Subject::Media, true)?),
            b"unblock media" => Op::Block(media::block(dict, &flags, Subject::Media, false)?),
            b"silence media" => Op::Block(media::block(dict, &flags, Subject::Audio, true)?),
            b"unsilence media" => Op::Block(media::block(dict, &flags, Subject::Audio, false)?),
            b"create" => Op::Create(Box::new(signal(dict, flags, SdpBody::Nothing)?)),
            b"create answer" => Op::CreateAnswer(Box::new(signal(dict, flags, SdpBody::Offer)?)),
            b"gate" => Op::Gate(media::gate(dict, &flags)?),
            b"subscribe events" => Op::Subscribe(subscribe::subscribe(dict)?),
            b"connect" => Op::Connect(media::connect(dict)?),
            _ => return Err(OpError::UnknownCommand),
        };
        Ok(Self { op, warnings, verbose })
    }
}

/// What a message must have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SdpBody {
    /// No SDP.
    Nothing,
    /// An SDP.
    Offer,
    /// An SDP and a to-tag.
    Answer,
}

/// What lacks is named in the order that rtpengine has: SDP, call-id, from-tag, to-tag.
fn signal(dict: &Dict, flags: Flags, body: SdpBody) -> Result<Signal, OpError> {
    let sdp = match body {
        SdpBody::Nothing => &[],
        _ => dict.get("sdp").and_then(Value::as_bytes).filter(|sdp| !sdp.is_empty()).ok_or(OpError::NoSdp)?,
    };
    let call_id = name(dict, "call-id")?.ok_or(OpError::NoCallId)?;
    let from_tag = name(dict, "from-tag")?.ok_or(OpError::NoFromTag)?;
    let to_tag = name(dict, "to-tag")?;
    if body == SdpBody::Answer && to_tag.is_none() {
        return Err(OpError::NoToTag);
    }
    if sdp.len() > SDP_BYTES_MAX {
        return Err(OpError::SdpTooLong);
    }
    Ok(Signal {
        call_id,
        from_tag,
        to_tag,
        via_branch: name(dict, "via-branch")?,
        // Old phones write names in Latin-1; that is no reason to lose the call.
        sdp: String::from_utf8_lossy(sdp).into_owned(),
        flags,
        received_from: dict.get("received-from").and_then(address),
    })
}

/// A name; an empty one counts as absent.
pub(super) fn name(dict: &Dict, key: &'static str) -> Result<Option<String>, OpError> {
    let Some(value) = dict.get(key) else { return Ok(None) };
    let text = value.to_text().ok_or(OpError::NameNotText(key))?;
    if text.len() > NAME_BYTES_MAX {
        return Err(OpError::NameTooLong(key));
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
