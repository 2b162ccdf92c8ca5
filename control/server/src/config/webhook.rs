//! The web hook for events: its URL and the key of its signatures.

use axum::http::Uri;

use super::{ConfigError, EventSettings};

/// Where events are posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// An `http` or `https` URL.
    pub url: Uri,
    /// Key of the signature of each post; `None` for posts without a signature.
    pub secret: Option<Secret>,
}

/// A text that is never printed or logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The bytes of the text (UTF-8).
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

impl Webhook {
    pub(super) fn new(settings: &EventSettings) -> Result<Option<Self>, ConfigError> {
        let secret = settings.event_webhook_secret.clone();
        let Some(url) = settings.event_webhook.clone() else {
            return match secret {
                Some(_) => {
                    let reason = "without event-webhook there is nothing to sign; set event-webhook, or remove this";
                    Err(ConfigError::value("event-webhook-secret", reason.to_owned()))
                }
                None => Ok(None),
            };
        };
        if secret.as_ref().is_some_and(|secret| secret.0.is_empty()) {
            let reason = "it is empty; leave it out, or write a long random text";
            return Err(ConfigError::value("event-webhook-secret", reason.to_owned()));
        }
        Ok(Some(Self { url, secret }))
    }
}
