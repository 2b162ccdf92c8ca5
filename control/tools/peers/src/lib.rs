//! The peers that Trestle is shown and tested with: [`Meta`], WhatsApp's media relay, and [`Phone`], a SIP-side phone.
//!
//! Both are sans-IO machines of the same four verbs: `handle_datagram`, `handle_timeout`, `poll_transmit`,
//! `poll_timeout`. Time is an argument and everything random comes from a seed (str0m's own draws excepted), so that a
//! whole call runs in virtual time; the demo drives the same machines over real sockets.
//!
//! They share no SDP, jitter buffer or DTMF code with the engine and control, so that the two sides check each other.
//! A peer's [`Report`] describes the other side's stream; [`ear`] analyses a recording.

mod codec;
pub mod ear;
mod judgement;
mod listener;
mod meta;
mod network;
mod patience;
mod phone;
mod recent;
mod report;
mod rtcp;
mod rtp;
mod rules;
mod sdp;
pub mod speech;
mod srtp;
mod stun;
mod talker;
#[cfg(test)]
mod wire;

use std::net::SocketAddr;

use rand_chacha::rand_core::Rng;

pub use codec::Codec;
pub use judgement::Violation;
pub use meta::{Flavour, Meta, MetaOptions, SetupAnswer};
pub use network::{Loss, Network, NetworkOptions};
pub use patience::{GaveUp, Patience};
pub use phone::{Phone, PhoneOptions};
pub use report::{Arrival, IceReport, MetaReport, ReceivedDigit, Report};
pub use sdp::SdpError;
pub use talker::{EventStyle, Voice};

/// A datagram that a peer sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// The peer's own address that it leaves from.
    pub local: SocketAddr,
    /// Where it goes.
    pub remote: SocketAddr,
    /// UDP payload.
    pub bytes: Vec<u8>,
}

/// `len` characters of the base64 alphabet, which is what ICE user names and passwords are made of (RFC 8445 5.3).
fn ice_chars(rng: &mut impl Rng, len: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..len).map(|_| char::from(ALPHABET[(rng.next_u32() % 64) as usize])).collect()
}
