//! Replies. On success the command's own keys come first and `result` last; on errors `result` comes first.

use super::frame::Encoding;
use super::value::{Dict, Value};

/// Bytes of a reply without `verbose`: one packet on any path, cookie included.
pub const REPLY_BYTES: usize = 1_200;

/// Bytes of any reply without an SDP, asked for or not.
pub const REPLY_BYTES_MAX: usize = 8 * 1024;

/// What a request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    outcome: Outcome,
    keys: Dict,
    warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Pong,
    Ok,
    Error(String),
    LoadLimit(String),
}

impl Reply {
    /// To `ping`.
    pub fn pong() -> Self {
        Self { outcome: Outcome::Pong, keys: Dict::default(), warnings: Vec::new() }
    }

    /// To `ping` while no new calls are accepted any more. Proxies compare only `result`; with another one than `pong` they would
    /// no longer send requests for existing calls.
    pub fn pong_while_draining() -> Self {
        Self { keys: Dict::default().with("draining", 1u64), ..Self::pong() }
    }

    /// Done; `keys` are the command's own.
    pub fn ok(keys: Dict) -> Self {
        Self { outcome: Outcome::Ok, keys, warnings: Vec::new() }
    }

    /// Refused.
    pub fn error(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Error(reason.into()), keys: Dict::default(), warnings: Vec::new() }
    }

    /// Refused, with keys of the command's own.
    pub fn error_with(reason: impl Into<String>, keys: Dict) -> Self {
        Self { outcome: Outcome::Error(reason.into()), keys, warnings: Vec::new() }
    }

    /// No new calls now, for callers that sent `supports: ["load limit"]`; they try the next node.
    pub fn load_limit(message: impl Into<String>) -> Self {
        Self { outcome: Outcome::LoadLimit(message.into()), keys: Dict::default(), warnings: Vec::new() }
    }

    /// Adds what was not understood. Only JSON callers get it: proxies do not read it, and it may cost a fragment.
    #[must_use]
    pub fn with_warnings(mut self, warnings: impl IntoIterator<Item = String>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    /// True for `ok` and `pong`.
    pub fn is_success(&self) -> bool {
        matches!(self.outcome, Outcome::Pong | Outcome::Ok)
    }

    /// The body of the reply.
    pub fn write(&self, encoding: Encoding) -> Vec<u8> {
        let mut dict = Dict::default();
        match &self.outcome {
            Outcome::Pong | Outcome::Ok => dict = self.keys.clone(),
            Outcome::Error(reason) => {
                dict.push("result", "error");
                dict.push("error-reason", reason.as_str());
                dict.0.extend(self.keys.0.iter().cloned());
            }
            Outcome::LoadLimit(message) => {
                dict.push("result", "load limit");
                dict.push("message", message.as_str());
            }
        }
        if encoding == Encoding::Json && !self.warnings.is_empty() {
            let warnings = self.warnings.iter().map(|warning| Value::from(warning.as_str())).collect::<Vec<_>>();
            dict.push("warnings", warnings);
        }
        match self.outcome {
            Outcome::Pong => dict.push("result", "pong"),
            Outcome::Ok => dict.push("result", "ok"),
            Outcome::Error(_) | Outcome::LoadLimit(_) => {}
        }
        encoding.write(&dict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_byte_for_byte_what_proxies_expect() {
        let warning = Dict::default().with("warning", "Call-ID not found or tags didn't match");
        let table: [(Reply, &str); 7] = [
            (Reply::pong(), "d6:result4:ponge"),
            (Reply::pong_while_draining(), "d8:drainingi1e6:result4:ponge"),
            (Reply::ok(Dict::default()), "d6:result2:oke"),
            (Reply::ok(warning), "d7:warning38:Call-ID not found or tags didn't match6:result2:oke"),
            (Reply::error("Unknown call-id"), "d6:result5:error12:error-reason15:Unknown call-ide"),
            (
                Reply::load_limit("Parallel session limit reached"),
                "d6:result10:load limit7:message30:Parallel session limit reachede",
            ),
            (
                Reply::error("Parallel session limit reached").with_warnings(["unseen".to_owned()]),
                "d6:result5:error12:error-reason30:Parallel session limit reachede",
            ),
        ];
        for (reply, bytes) in table {
            assert_eq!(String::from_utf8_lossy(&reply.write(Encoding::Bencode)), bytes);
        }
    }

    #[test]
    fn json_replies_name_what_was_not_understood() {
        let reply = Reply::ok(Dict::default().with("sdp", "v=0\r\n")).with_warnings(["unknown flag `x`".to_owned()]);
        let expected = r#"{"sdp":"v=0\r\n","warnings":["unknown flag `x`"],"result":"ok"}"#;
        assert_eq!(String::from_utf8_lossy(&reply.write(Encoding::Json)), expected);
        assert_eq!(Reply::pong().write(Encoding::Json), br#"{"result":"pong"}"#);
    }
}
