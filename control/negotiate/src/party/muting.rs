//! What of a party's media the other parties do not get (`block ...`, `silence ...`).

use trestle_ng::command::MediaKind;

/// The media of one party, or of all parties, that is not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MutedMedia {
    digits: bool,
    media: bool,
    audio: bool,
}

impl MutedMedia {
    pub(crate) fn set(&mut self, kind: MediaKind, muted: bool) {
        match kind {
            MediaKind::Digits => self.digits = muted,
            MediaKind::AudioAndDigits => self.media = muted,
            MediaKind::Audio => self.audio = muted,
        }
    }

    /// What is muted by this or by `other`.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { digits: self.digits || other.digits, media: self.media || other.media, audio: self.audio || other.audio }
    }

    /// Digits are not forwarded.
    pub(crate) fn mutes_digits(self) -> bool {
        self.digits || self.media
    }

    /// Nothing is forwarded (`block media`).
    pub(crate) fn mutes_media(self) -> bool {
        self.media
    }

    /// Silence replaces audio (`silence media`).
    pub(crate) fn mutes_audio(self) -> bool {
        self.audio
    }
}
