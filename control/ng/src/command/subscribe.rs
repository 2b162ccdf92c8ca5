//! The arguments of `subscribe events`.

use std::time::Duration;

use super::request::{RequestError, name};
use crate::Dict;

/// How long a subscription lasts: the default, and the maximum. A subscriber that no longer exists costs one datagram per
/// event for this time.
const EXPIRES: Duration = Duration::from_secs(300);
const EXPIRES_MAX: Duration = Duration::from_secs(3_600);

/// The arguments of `subscribe events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// If present, only events of this call are sent.
    pub call_id: Option<String>,
    /// Duration of the subscription; zero ends it.
    pub expires: Duration,
    /// What a refusal of this request contained: it shows that the sender receives what is sent to its address.
    pub token: Option<String>,
}

pub(super) fn subscribe(dict: &Dict) -> Result<Subscribe, RequestError> {
    let expires = match dict.get("expires") {
        None => EXPIRES,
        Some(value) => {
            let seconds =
                value.to_integer().and_then(|seconds| u64::try_from(seconds).ok()).ok_or(RequestError::BadExpires)?;
            Duration::from_secs(seconds).min(EXPIRES_MAX)
        }
    };
    Ok(Subscribe { call_id: name(dict, "call-id")?, expires, token: name(dict, "token")? })
}

#[cfg(test)]
mod tests {
    use super::super::{Request, Verb};
    use super::*;
    use crate::Value;

    #[test]
    fn expires_has_a_default_and_a_maximum() {
        let read = |expires: Option<Value>| {
            let dict = Dict::default().with("command", "subscribe events");
            let dict = expires.into_iter().fold(dict, |dict, expires| dict.with("expires", expires));
            Request::read(&dict).map(|request| match request.verb {
                Verb::Subscribe(subscribe) => subscribe.expires.as_secs(),
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(read(None), Ok(300));
        for (expires, seconds) in [(Value::Integer(0), 0), ("60".into(), 60), (Value::Integer(i64::MAX), 3_600)] {
            assert_eq!(read(Some(expires)), Ok(seconds));
        }
        assert_eq!(read(Some(Value::Integer(-1))), Err(RequestError::BadExpires));
        assert_eq!(read(Some("soon".into())), Err(RequestError::BadExpires));
    }
}
