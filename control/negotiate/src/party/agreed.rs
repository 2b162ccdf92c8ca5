//! The outcome of a complete offer/answer exchange on a leg.

use trestle_core::plan::{ReceiveFormat, SendFormat};
use trestle_sdp::Format;
use trestle_wire::{ClockRate, Pt};

use super::proposal::PeerTerms;

/// Payload type in which Meta sends its telephone-events, at 8000 Hz, even where its answer has none.
const META_EVENT_PT: u8 = 126;

/// What drives the media of a leg once an exchange is complete. Replaced as a whole by the next answer.
#[derive(Debug, Clone)]
pub(crate) struct Agreed {
    /// `None` for a leg of a cross-call link, which has no SDP.
    pub(crate) terms: Option<PeerTerms>,
    /// Formats of Trestle's own description in that exchange.
    pub(crate) local_formats: Vec<Format>,
    pub(crate) send: SendFormat,
    pub(crate) receive: ReceiveFormats,
    pub(crate) stream: StreamState,
}

/// Whether the exchange has left an audio stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamState {
    Live,
    /// One of the two descriptions has port 0. Formats and keys stay for the offer that begins it again.
    Ended,
}

/// Payload types that a peer may send.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ReceiveFormats {
    pub(crate) audio: Vec<ReceiveFormat>,
    /// telephone-event (RFC 4733) with its clock rate.
    pub(crate) events: Vec<(Pt, ClockRate)>,
}

impl ReceiveFormats {
    /// Payload types of `described`, which the peer is to use (RFC 3264 6.1), then those of `own`, which some peers use.
    pub(crate) fn new(described: &[Format], own: &[Format], whatsapp: bool) -> Self {
        let mut formats = Self::default();
        formats.add(described);
        formats.add(own);
        if let Some(pt) = Pt::new(META_EVENT_PT).filter(|pt| whatsapp && formats.is_free(*pt)) {
            formats.events.push((pt, ClockRate::HZ_8000));
        }
        formats
    }

    /// Adds formats whose payload types have no meaning yet; a known payload type keeps its meaning.
    pub(crate) fn add(&mut self, formats: &[Format]) {
        for format in formats {
            if !self.is_free(format.pt) {
                continue;
            }
            if let Some(codec) = format.codec() {
                self.audio.push(ReceiveFormat { pt: format.pt, codec });
            } else if let Some(clock) = format.event_clock() {
                self.events.push((format.pt, clock));
            }
        }
    }

    fn is_free(&self, pt: Pt) -> bool {
        !self.audio.iter().any(|format| format.pt == pt) && !self.events.iter().any(|(event, _)| *event == pt)
    }
}
