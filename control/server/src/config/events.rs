//! Keys about events and gates.

use std::time::Duration;

use axum::http::Uri;

use super::{ConfigError, Settings, wrong};
use trestle_negotiate::PresencePolicy;
use trestle_ng::command::words::gate::{self, GATE_TIMEOUT_MAX, PRE_ROLL_MAX};

/// Where events are posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// `http://` or `https://`.
    pub url: Uri,
    /// What requests are signed with.
    pub secret: Option<Secret>,
}

/// Something that is not to be shown.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(from = "String")]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

pub(super) fn webhook(settings: &Settings) -> Result<Option<Webhook>, ConfigError> {
    let Some(text) = &settings.event_webhook else {
        return match settings.event_webhook_secret {
            Some(_) => wrong("event-webhook-secret", "without event-webhook there is nothing to sign".to_owned()),
            None => Ok(None),
        };
    };
    let url: Option<Uri> = text.parse().ok();
    let good = |url: &Uri| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
    };
    let Some(url) = url.filter(good) else {
        return wrong("event-webhook", format!("{text:?} is no URL, e.g. https://app.example/trestle-events"));
    };
    let secret = settings.event_webhook_secret.clone();
    if secret.as_ref().is_some_and(|secret| secret.0.is_empty()) {
        return wrong("event-webhook-secret", "it is empty; leave it out, or write a long random text".to_owned());
    }
    Ok(Some(Webhook { url, secret }))
}

pub(super) fn presence(settings: &Settings) -> Result<PresencePolicy, ConfigError> {
    let default = PresencePolicy::default();
    let gate = |key, text: &Option<String>, default| match text {
        None => Ok(default),
        Some(text) => {
            gate::gate_named(text).map_or_else(|| wrong(key, format!("{text:?} is neither open nor shut")), Ok)
        }
    };
    let filler = match &settings.filler {
        None => default.filler,
        Some(text) => match gate::filler_named(text) {
            Some(filler) => filler,
            None => {
                let reason = format!("{text:?} is none of none, silence, comfort-noise and hold-tone");
                return wrong("filler", reason);
            }
        },
    };
    let gate_timeout =
        settings.gate_timeout.map_or(default.gate_timeout, |seconds| Duration::from_secs(seconds.into()));
    if gate_timeout.is_zero() || gate_timeout > GATE_TIMEOUT_MAX {
        return wrong("gate-timeout", format!("must be from 1 to {} seconds", GATE_TIMEOUT_MAX.as_secs()));
    }
    let pre_roll = settings.pre_roll.map_or(default.pre_roll, |ms| Duration::from_millis(ms.into()));
    if pre_roll > PRE_ROLL_MAX {
        return wrong("pre-roll", format!("at most {} ms are kept", PRE_ROLL_MAX.as_millis()));
    }
    Ok(PresencePolicy {
        gate: gate("gate", &settings.gate, default.gate)?,
        gate_timeout,
        gate_on_timeout: gate("gate-on-timeout", &settings.gate_on_timeout, default.gate_on_timeout)?,
        pre_roll,
        filler,
    })
}
