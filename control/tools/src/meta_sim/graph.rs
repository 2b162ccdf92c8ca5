//! The shapes of Meta's signalling: web hooks of the field `calls`, requests to `POST /{phone-number-id}/calls`, and their
//! answers. Values only; nothing is sent here.

use serde_json::{Value, json};

/// The direction of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalDirection {
    /// A WhatsApp user calls the business.
    UserInitiated,
    /// The business calls a WhatsApp user.
    BusinessInitiated,
}

impl SignalDirection {
    /// As web hooks write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::UserInitiated => "USER_INITIATED",
            Self::BusinessInitiated => "BUSINESS_INITIATED",
        }
    }
}

/// The two ends of every call of a sim: which business number, which user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneNumbers {
    /// The number's id, which is part of the URL.
    pub phone_number_id: String,
    /// The business number.
    pub business: String,
    /// The user's number.
    pub user: String,
}

impl PhoneNumbers {
    /// One delivery with this `value`.
    pub fn hook(&self, value: &Value) -> Value {
        let mut value = value.clone();
        value["messaging_product"] = json!("whatsapp");
        value["metadata"] = json!({"display_phone_number": self.business, "phone_number_id": self.phone_number_id});
        let entry = json!([{"id": "366634483210360", "changes": [{"value": value, "field": "calls"}]}]);
        json!({"object": "whatsapp_business_account", "entry": entry})
    }

    /// A user calls: Meta's offer. `at_s` is the time of the event, in seconds of Unix time.
    pub fn offered(&self, at_s: u64, call_id: &str, sdp: &str) -> Value {
        json!({"contacts": [{"profile": {"name": "A User"}, "wa_id": self.user}], "calls": [{
            "id": call_id, "to": self.business, "from": self.user, "event": "connect",
            "direction": SignalDirection::UserInitiated.name(), "timestamp": at_s.to_string(),
            "session": {"sdp_type": "offer", "sdp": sdp}
        }]})
    }

    /// WhatsApp's answer to a call that the business makes.
    pub fn answered(&self, at_s: u64, call_id: &str, sdp: &str) -> Value {
        json!({"calls": [{
            "id": call_id, "to": self.user, "from": self.business, "event": "connect",
            "direction": SignalDirection::BusinessInitiated.name(), "timestamp": at_s.to_string(),
            "session": {"sdp_type": "answer", "sdp": sdp}
        }]})
    }

    /// `RINGING`, `ACCEPTED` or `REJECTED`, on a call that the business makes.
    pub fn status(&self, at_s: u64, call_id: &str, status: &str) -> Value {
        json!({"statuses": [{
            "id": call_id, "type": "call", "status": status, "timestamp": at_s.to_string(), "recipient_id": self.user
        }]})
    }

    /// The call is over. `failure` is the code of what ended it, if it did not end well.
    pub fn terminated(&self, at_s: u64, call_id: &str, direction: SignalDirection, failure: Option<u32>) -> Value {
        let (from, to) = match direction {
            SignalDirection::UserInitiated => (&self.user, &self.business),
            SignalDirection::BusinessInitiated => (&self.business, &self.user),
        };
        let status = if failure.is_some() { "FAILED" } else { "COMPLETED" };
        let mut value = json!({"calls": [{
            "id": call_id, "to": to, "from": from, "event": "terminate", "direction": direction.name(),
            "timestamp": at_s.to_string(), "status": status
        }]});
        if let Some(code) = failure {
            value["errors"] = json!([{"code": code, "message": title(code)}]);
        }
        value
    }
}

/// What Meta calls an error.
fn title(code: u32) -> &'static str {
    match code {
        100 => "Invalid parameter",
        138_006 => "No approved call permission found",
        138_007 => "Connect Timeout error",
        138_008 => "SDP Validation error",
        138_021 => "Media receive timeout",
        138_023 => "Call accepted but terminated with no media signals",
        190 => "Invalid OAuth access token",
        _ => "Unknown error",
    }
}

/// A request that Graph refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Meta's code.
    pub code: u32,
    /// What exactly is wrong.
    pub details: String,
}

impl Refusal {
    /// Something in the request is not as it must be.
    pub fn parameter(details: impl Into<String>) -> Self {
        Self { status: 400, code: 100, details: details.into() }
    }

    /// The description is refused. The details are those of the SDP doctor; Meta's are shorter.
    pub fn sdp(details: impl Into<String>) -> Self {
        Self { status: 400, code: 138_008, details: details.into() }
    }

    /// The body of the answer.
    pub fn body(&self) -> Value {
        let mut error = json!({
            "message": format!("(#{}) {}", self.code, title(self.code)), "type": "OAuthException", "code": self.code,
            "error_data": {"messaging_product": "whatsapp", "details": self.details}, "fbtrace_id": "meta-sim"
        });
        if self.code == 138_008 {
            error["error_subcode"] = 2_593_093.into();
        }
        json!({ "error": error })
    }
}

/// The body of a successful request.
pub fn success() -> Value {
    json!({"messaging_product": "whatsapp", "success": true})
}

/// The body that gives the id of a call that the business makes.
pub fn ringing(call_id: &str) -> Value {
    json!({"messaging_product": "whatsapp", "calls": [{"id": call_id}]})
}

/// A request to the `calls` endpoint, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphRequest {
    /// Here is the answer; do not open the call yet.
    PreAccept {
        /// Which call.
        call_id: String,
        /// The answer.
        sdp: String,
    },
    /// The business picks up.
    Accept {
        /// Which call.
        call_id: String,
        /// The answer, the same as before.
        sdp: String,
    },
    /// The business does not pick up.
    Reject {
        /// Which call.
        call_id: String,
    },
    /// The business hangs up.
    Terminate {
        /// Which call.
        call_id: String,
    },
    /// The business calls.
    Connect {
        /// The user's number.
        to: String,
        /// The offer.
        sdp: String,
    },
}

impl GraphRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// What Graph answers.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        let body: Value = serde_json::from_slice(body)
            .map_err(|error| Refusal::parameter(format!("the body is not JSON: {error}")))?;
        if body["messaging_product"] != "whatsapp" {
            return Err(Refusal::parameter("messaging_product must be \"whatsapp\""));
        }
        let word = |key: &str| body[key].as_str().filter(|word| !word.is_empty()).map(str::to_owned);
        let need = |key: &str| word(key).ok_or_else(|| Refusal::parameter(format!("{key} is missing")));
        let session = |sdp_type: &str| {
            let session = &body["session"];
            if session["sdp_type"] != sdp_type {
                return Err(Refusal::parameter(format!(
                    "session.sdp_type must be \"{sdp_type}\", not {}",
                    session["sdp_type"]
                )));
            }
            let sdp = session["sdp"].as_str().ok_or_else(|| Refusal::parameter("session.sdp is missing"))?;
            Ok(sdp.to_owned())
        };
        match need("action")?.as_str() {
            "pre_accept" => Ok(Self::PreAccept { call_id: need("call_id")?, sdp: session("answer")? }),
            "accept" => Ok(Self::Accept { call_id: need("call_id")?, sdp: session("answer")? }),
            "reject" => Ok(Self::Reject { call_id: need("call_id")? }),
            "terminate" => Ok(Self::Terminate { call_id: need("call_id")? }),
            "connect" => Ok(Self::Connect { to: need("to")?, sdp: session("offer")? }),
            other => Err(Refusal::parameter(format!("no action {other:?}"))),
        }
    }
}
