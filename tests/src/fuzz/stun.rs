//! STUN to a leg with ICE, from addresses without credentials: no reply, one counter, and a reader that stays within the
//! datagram.

use trestle_core::{CallId, Command, LegId};
use trestle_wire::demux::DatagramKind;
use trestle_wire::stun::Head;

use super::input::{Input, mutate};
use super::leg_preauth::{idle_webrtc_plan, stranger};
use super::trestle;

const OPS_MAX: usize = 64;
/// Request, success, error, indication.
const TYPES: [u16; 4] = [0x0001, 0x0101, 0x0111, 0x0011];
/// USERNAME, MESSAGE-INTEGRITY, ERROR-CODE, XOR-MAPPED-ADDRESS, PRIORITY, USE-CANDIDATE, FINGERPRINT, ICE-CONTROLLED,
/// ICE-CONTROLLING, and one that must be understood and is not.
const ATTRIBUTES: [u16; 10] = [0x06, 0x08, 0x09, 0x20, 0x24, 0x25, 0x8028, 0x8029, 0x802a, 0x7777];
/// RFC 5769 section 2.1: a request with integrity, of another session.
const RFC_5769_REQUEST: [u8; 108] =
    *b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
    \x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\
    \x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\
    \x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\x80\x28\x00\x04\xe5\x7a\x3b\xcf";

/// Each operation is one datagram. Gives the number of datagrams.
pub fn stun(data: &[u8]) -> usize {
    let mut input = Input::new(data);
    let mut trestle = trestle();
    let legs = vec![(LegId(0), idle_webrtc_plan())];
    let at = trestle.apply(Command::Apply { call: CallId(1), legs })[0].rtp;
    let discarded =
        |totals: &trestle_core::report::Totals| totals.discards.nonzero().iter().map(|(_, n)| n).sum::<u64>();
    let before = discarded(&trestle.totals());
    let mut count = 0;
    while !input.is_empty() && count < OPS_MAX {
        let mut bytes = match input.below(4) {
            0 => RFC_5769_REQUEST.to_vec(),
            1 => input.bytes().to_vec(),
            _ => message(&mut input),
        };
        if input.flag() {
            mutate(&mut input, &mut bytes);
        }
        if let Ok(head) = Head::parse(&bytes) {
            assert_eq!(DatagramKind::of(&bytes), Some(DatagramKind::Stun), "{head:?}");
            assert_eq!(bytes.len(), 20 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), "{head:?}");
        }
        let from = stranger(input.byte());
        let sent = trestle.sent.len();
        trestle.receive(at, from, &bytes);
        assert_eq!(trestle.sent.len(), sent, "a reply to {bytes:02x?}");
        count += 1;
    }
    assert!(trestle.sent.iter().all(|sent| sent.to == std::net::SocketAddr::from(([198, 51, 100, 99], 7_000))));
    assert_eq!(discarded(&trestle.totals()) - before, count as u64, "each datagram is counted");
    count
}

/// A message of attributes, with the names of the session and without its passwords.
fn message(input: &mut Input<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..input.below(6) {
        let kind = input.one_of(&ATTRIBUTES);
        let value = match kind {
            0x06 if input.flag() => b"us:them".to_vec(),
            0x08 => input.take(20).iter().copied().chain(std::iter::repeat(7)).take(20).collect(),
            _ => {
                let len = input.below(40);
                input.take(len).to_vec()
            }
        };
        body.extend_from_slice(&kind.to_be_bytes());
        body.extend_from_slice(&(value.len() as u16).to_be_bytes());
        body.extend_from_slice(&value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut bytes = input.one_of(&TYPES).to_be_bytes().to_vec();
    bytes.extend_from_slice(&(body.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
    bytes.extend_from_slice(&input.u64().to_be_bytes());
    bytes.extend_from_slice(&[1, 2, 3, 4]);
    bytes.extend_from_slice(&body);
    bytes
}
