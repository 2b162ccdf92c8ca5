//! Hostile datagrams among those of a call: bytes from anywhere, spoilt copies of packets that were seen, and what we
//! sent thrown back at us. Who has not the keys, or on a plain leg not the address, changes nothing but counters.
//!
//! Legs without ICE are run twice, with and without the hostile datagrams, and must send the same bytes at the same
//! instants to the same addresses. A WebRTC leg draws dice of its own, so that there packets are counted.

mod twins;
mod webrtc;

pub(super) use twins::idle_webrtc_plan;

use std::net::SocketAddr;

use trestle_wire::rtp::Header;
use trestle_wire::{Pt, RtpTime, Seq, Ssrc};

use super::input::{Input, mutate};

/// The first byte chooses the kind of call, one in eight with a WebRTC handshake; then come operations until the input
/// ends.
pub fn leg_preauth(data: &[u8]) -> usize {
    let mut input = Input::new(data);
    match input.below(8) {
        7 => webrtc::run(&mut input),
        _ => twins::run(&mut input),
    }
}

/// A WhatsApp call from its first connectivity check on, with hostile datagrams at each stage of the handshake: it completes,
/// and audio flows.
pub fn dtls_glue(data: &[u8]) -> usize {
    webrtc::run(&mut Input::new(data))
}

/// How far back a stranger remembers what it has seen.
const BACK_MAX: usize = 16;

/// What a stranger sends.
#[derive(Debug, Clone)]
enum Junk<'a> {
    /// Bytes of its own.
    Bytes(&'a [u8]),
    /// What an attacker makes that knows the protocols and guesses the rest.
    Forged(Vec<u8>),
    /// A copy of one of the last packets that a peer sent, spoilt as the input decides, or not at all.
    Copy { back: usize, spoil: Option<Input<'a>> },
    /// The same with what we sent to a peer.
    Reflection { back: usize, spoil: Option<Input<'a>> },
}

impl<'a> Junk<'a> {
    fn read(input: &mut Input<'a>) -> Self {
        let spoil = |input: &mut Input<'a>| (input.below(4) != 0).then(|| Input::new(input.take(12)));
        match input.below(4) {
            0 => {
                let len = input.below(64);
                Self::Bytes(input.take(len))
            }
            1 => Self::Forged(forged(input)),
            2 => Self::Copy { back: input.below(2 * BACK_MAX), spoil: spoil(input) },
            _ => Self::Reflection { back: input.below(BACK_MAX), spoil: spoil(input) },
        }
    }

    /// The datagram, given what was seen on the wire so far.
    fn datagram(&self, seen: &[Vec<u8>], sent: &[Vec<u8>]) -> Vec<u8> {
        let (of, back, spoil) = match self {
            Self::Bytes(bytes) => return bytes.to_vec(),
            Self::Forged(bytes) => return bytes.clone(),
            Self::Copy { back, spoil } => (seen, *back, spoil),
            Self::Reflection { back, spoil } => (sent, *back, spoil),
        };
        let mut bytes = of.iter().rev().nth(back).cloned().unwrap_or_default();
        if let Some(mut spoil) = spoil.clone() {
            mutate(&mut spoil, &mut bytes);
        }
        bytes
    }
}

fn forged(input: &mut Input<'_>) -> Vec<u8> {
    let ssrc = input.u32().to_be_bytes();
    match input.below(6) {
        0 | 1 => {
            // Audio or a digit.
            let pt = Pt::new(input.one_of(&[8, 101, 111, 126])).expect("7 bits");
            let ssrc = Ssrc(u32::from_be_bytes(ssrc));
            let header = Header { marker: false, pt, seq: Seq(input.u16()), time: RtpTime(input.u32()), ssrc };
            [&header.write()[..], input.take(20)].concat()
        }
        // A goodbye, behind the report that it needs.
        2 => [&[0x80, 201, 0, 1], &ssrc[..], &[0x81, 203, 0, 1], &ssrc].concat(),
        // A fatal alert, as it may come before there are keys.
        3 => vec![21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, input.byte(), 0, 2, 2, 40],
        // The head of a ClientHello, and whatever follows.
        4 => {
            let body = input.take(40);
            let len = [0, 12 + body.len() as u8];
            [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1][..], &len, &[1, 0, 0, len[1], 0, 0, 0, 0, 0, 0, 0, len[1]], body]
                .concat()
        }
        // A connectivity check that nominates, without MESSAGE-INTEGRITY; or its answer.
        _ => {
            let kind = input.one_of(&[0, 1]);
            [&[kind, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12], &[0, 0x25, 0, 0]].concat()
        }
    }
}

/// An address that no party of the call has.
pub(super) fn stranger(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 60 + n % 4], 1_024 + 4 * u16::from(n)))
}

/// Holds for every datagram of ours: it goes to a party of the call.
fn assert_no_stranger(to: SocketAddr) {
    assert!((0..=255).all(|n| stranger(n) != to), "sent to the stranger {to}");
}
