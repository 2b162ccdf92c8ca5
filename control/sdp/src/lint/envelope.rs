//! Takes the description out of the JSON around it: a web hook or request of Graph, an ng reply, the session description object
//! of a browser, or a JSON string.

use serde_json::Value;

use super::{Finding, Role, Rule, Writer};

/// A description without its envelope, and what the envelope states about it.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) sdp: String,
    /// The value of `sdp_type` (Graph) or `type` (browser).
    pub(super) named_role: Option<Role>,
    /// There is a `session` object without a valid `sdp_type`.
    pub(super) lacks_sdp_type: bool,
    /// The role that the action or event of the envelope requires.
    pub(super) role: Option<Role>,
    /// The writer that follows from the action or event.
    pub(super) writer: Option<Writer>,
}

/// Takes the description out of `text`. Text that is not JSON is the description itself.
pub(super) fn open(text: &str, findings: &mut Vec<Finding>) -> Opened {
    let trimmed = text.trim_start_matches('\u{feff}').trim();
    let looks_like_json = trimmed.starts_with(['{', '[', '"']);
    let parsed: Option<Value> = looks_like_json.then(|| serde_json::from_str(trimmed).ok()).flatten();
    let mut opened = match &parsed {
        Some(Value::String(sdp)) => Opened { sdp: sdp.clone(), ..Opened::default() },
        Some(value) => find(value, findings).unwrap_or_default(),
        None => Opened { sdp: text.to_owned(), ..Opened::default() },
    };
    if opened.sdp.contains("\\n") {
        findings.push(Finding {
            rule: Rule::Escaped,
            line: None,
            text: String::new(),
            what: "line ends are written as the four characters \"\\r\\n\"".to_owned(),
        });
        opened.sdp = opened.sdp.replace("\\r\\n", "\r\n").replace("\\n", "\r\n");
    }
    opened
}

/// The description in the first object that has one, at any depth.
fn find(value: &Value, findings: &mut Vec<Finding>) -> Option<Opened> {
    match value {
        Value::Array(items) => items.iter().find_map(|item| find(item, findings)),
        Value::Object(object) => {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            if let Some(sdp) = value["session"].get("sdp").and_then(text) {
                return Some(read(value, &value["session"], sdp));
            }
            if let Some(sdp) = value.get("sdp").and_then(text) {
                return Some(Opened { lacks_sdp_type: false, ..read(value, value, sdp) });
            }
            if let Some(sdp) = value["connection"]["webrtc"].get("sdp").and_then(text) {
                let what = "the description is in `connection.webrtc.sdp` alone".to_owned();
                findings.push(Finding { rule: Rule::SessionSdp, line: None, text: String::new(), what });
                return Some(Opened { lacks_sdp_type: false, ..read(value, &value["connection"]["webrtc"], sdp) });
            }
            object.values().find_map(|item| find(item, findings))
        }
        _ => None,
    }
}

fn read(around: &Value, session: &Value, sdp: String) -> Opened {
    let word = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let types = [word(session, "sdp_type"), word(session, "type")];
    let named_role = types.iter().find_map(|word| Role::parse(word));
    let (role, writer) =
        match (word(around, "action").as_str(), word(around, "event").as_str(), word(around, "direction").as_str()) {
            ("pre_accept" | "accept", _, _) => (Some(Role::Answer), Some(Writer::Us)),
            ("connect", _, _) => (Some(Role::Offer), Some(Writer::Us)),
            (_, "connect", "USER_INITIATED") => (Some(Role::Offer), Some(Writer::Meta)),
            (_, "connect", "BUSINESS_INITIATED") => (Some(Role::Answer), Some(Writer::Meta)),
            (_, "connect", _) => (named_role, Some(Writer::Meta)),
            _ => (named_role, None),
        };
    Opened { sdp, named_role, lacks_sdp_type: named_role.is_none(), role, writer }
}
