//! What ended a call: a request or a timer. The diagnosis ([`crate::diagnosis::EndCause`]) is another fact.

/// What ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndedBy {
    /// A `delete` request.
    Deleted,
    /// The call was not answered within `offer-timeout`.
    OfferTimeout,
    /// No media was received for `timeout`.
    MediaTimeout,
    /// The call was on hold on every side for `silent-timeout`.
    SilentTimeout,
    /// Trestle has ended, and this call was left after its grace time.
    Shutdown,
    /// A bug in the engine.
    Failed,
    /// Too many calls were not answered (`max-half-open`).
    HalfOpenLimit,
}

impl EndedBy {
    /// Every value, in the order of the event schema.
    pub const ALL: [Self; 7] = [
        Self::Deleted,
        Self::OfferTimeout,
        Self::MediaTimeout,
        Self::SilentTimeout,
        Self::Shutdown,
        Self::Failed,
        Self::HalfOpenLimit,
    ];

    /// Name in events, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::OfferTimeout => "offer_timeout",
            Self::MediaTimeout => "media_timeout",
            Self::SilentTimeout => "silent_timeout",
            Self::Shutdown => "shutdown",
            Self::Failed => "failed",
            Self::HalfOpenLimit => "half_open_limit",
        }
    }
}
