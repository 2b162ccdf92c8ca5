//! `subscribe events`.

use std::time::Duration;

use super::request::{OpError, name};
use crate::Dict;

/// Duration of a subscription by default, and at most. A subscriber that is gone costs a datagram per event until then.
const EXPIRES: Duration = Duration::from_secs(300);
const EXPIRES_MAX: Duration = Duration::from_secs(3_600);

/// `subscribe events`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Only events of this call.
    pub call_id: Option<String>,
    /// For how long; zero ends it.
    pub expires: Duration,
}

pub(super) fn subscribe(dict: &Dict) -> Result<Subscribe, OpError> {
    let expires = match dict.get("expires") {
        None => EXPIRES,
        Some(value) => {
            let seconds =
                value.to_integer().and_then(|seconds| u64::try_from(seconds).ok()).ok_or(OpError::BadExpires)?;
            Duration::from_secs(seconds).min(EXPIRES_MAX)
        }
    };
    Ok(Subscribe { call_id: name(dict, "call-id")?, expires })
}

#[cfg(test)]
mod tests {
    use super::super::{Op, Request};
    use super::*;
    use crate::Value;

    #[test]
    fn a_subscription_lasts_as_long_as_it_says_within_bounds() {
        let read = |expires: Option<Value>| {
            let dict = Dict::default().with("command", "subscribe events");
            let dict = expires.into_iter().fold(dict, |dict, expires| dict.with("expires", expires));
            Request::read(&dict).map(|request| match request.op {
                Op::Subscribe(subscribe) => subscribe.expires.as_secs(),
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(read(None), Ok(300));
        for (given, seconds) in [(Value::Integer(0), 0), ("60".into(), 60), (Value::Integer(i64::MAX), 3_600)] {
            assert_eq!(read(Some(given)), Ok(seconds));
        }
        assert_eq!(read(Some(Value::Integer(-1))), Err(OpError::BadExpires));
        assert_eq!(read(Some("soon".into())), Err(OpError::BadExpires));
    }
}
