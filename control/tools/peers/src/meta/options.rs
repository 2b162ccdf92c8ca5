//! What a fake Meta is like.

use std::net::SocketAddr;

use crate::{EventStyle, Voice};

/// Which of the two ways Meta secures media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// ICE-lite and DTLS-SRTP.
    WebRtc,
    /// SRTP with keys from the SDP.
    Sdes,
}

/// The `a=setup` of Meta's answer, and the DTLS role that Meta takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SetupAnswer {
    /// `active`, as in its documents: it sends the ClientHello.
    #[default]
    Active,
    /// `passive`: it waits for one.
    Passive,
    /// `active`, and then it waits for a ClientHello all the same.
    ActiveThenPassive,
    /// `actpass`, against RFC 5763, and then it sends the ClientHello.
    ActpassThenActive,
    /// `actpass`, against RFC 5763, and then it waits for one.
    ActpassThenPassive,
}

/// What this Meta is like.
#[derive(Debug, Clone)]
pub struct MetaOptions {
    /// Its addresses, each with a socket; the first is in `c=` and `m=`. SDES uses the first only.
    pub locals: Vec<SocketAddr>,
    /// Candidates on which no agent listens.
    pub dead_candidates: Vec<SocketAddr>,
    /// How media is secured.
    pub flavour: Flavour,
    /// Who sends the ClientHello when it answers.
    pub setup: SetupAnswer,
    /// An `ice-pwd` of 24 characters that ends with `==`, as base64 has it and RFC 8445 has not.
    pub padded_pwd: bool,
    /// G.711 is enabled for the number: Meta offers PCMA and PCMU behind Opus.
    pub g711: bool,
    /// How its digits look.
    pub event_style: EventStyle,
    /// The audio that the WhatsApp user sends, at 16 kHz.
    pub voice: Voice,
    /// Sends no RTP until [`crate::Meta::set_silent`].
    pub silent: bool,
    /// Of everything random but what str0m draws.
    pub seed: u64,
}

impl MetaOptions {
    /// Meta at `local`, as its current samples show it, with a caller that sends silence.
    pub fn new(local: SocketAddr, flavour: Flavour) -> Self {
        Self {
            locals: vec![local],
            dead_candidates: Vec::new(),
            flavour,
            setup: SetupAnswer::Active,
            padded_pwd: false,
            g711: false,
            event_style: EventStyle::AudioLine,
            voice: Voice::Silence,
            silent: false,
            seed: 1,
        }
    }
}
