//! The arguments of `drain`.

use std::time::Duration;

use super::request::RequestError;
use crate::Dict;
use crate::value::normalised;

/// Longest time that calls are waited for: a day.
const GRACE_MAX: Duration = Duration::from_secs(86_400);

/// The arguments of `drain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// Refuse offers for new calls, wait for the others, then end.
    Start {
        /// How long calls are waited for; `None` for the configured time.
        grace: Option<Duration>,
    },
    /// Accept new calls again.
    Stop,
}

pub(super) fn drain(dict: &Dict) -> Result<Drain, RequestError> {
    match dict.get("op").map(|value| value.to_text().map(|text| normalised(&text)).unwrap_or_default()).as_deref() {
        None | Some("start") => {}
        Some("stop") => return Ok(Drain::Stop),
        Some(_) => return Err(RequestError::BadDrainOp),
    }
    let Some(value) = dict.get("grace") else { return Ok(Drain::Start { grace: None }) };
    let seconds = value.to_integer().and_then(|seconds| u64::try_from(seconds).ok()).ok_or(RequestError::BadGrace)?;
    Ok(Drain::Start { grace: Some(Duration::from_secs(seconds).min(GRACE_MAX)) })
}

#[cfg(test)]
mod tests {
    use super::super::{Request, Verb};
    use super::*;
    use crate::Value;

    #[test]
    fn a_drain_starts_with_a_time_or_without_and_can_be_stopped() {
        let read = |keys: &[(&str, Value)]| {
            let dict = Dict::default().with("command", "drain");
            let dict = keys.iter().fold(dict, |dict, (key, value)| dict.with(key, value.clone()));
            Request::read(&dict).map(|request| match request.verb {
                Verb::Drain(drain) => drain,
                other => panic!("{other:?}"),
            })
        };
        let start = |grace: Option<u64>| Ok(Drain::Start { grace: grace.map(Duration::from_secs) });
        assert_eq!(read(&[]), start(None));
        assert_eq!(read(&[("op", "start".into()), ("grace", Value::Integer(0))]), start(Some(0)));
        assert_eq!(read(&[("grace", "60".into())]), start(Some(60)));
        assert_eq!(read(&[("grace", Value::Integer(i64::MAX))]), start(Some(86_400)));
        assert_eq!(read(&[("op", "stop".into())]), Ok(Drain::Stop));
        assert_eq!(read(&[("op", "now".into())]), Err(RequestError::BadDrainOp));
        assert_eq!(read(&[("grace", Value::Integer(-1))]), Err(RequestError::BadGrace));
        assert_eq!(read(&[("grace", "soon".into())]), Err(RequestError::BadGrace));
    }
}
