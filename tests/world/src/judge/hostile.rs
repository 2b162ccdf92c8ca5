//! Hostile datagrams: of strangers, forged, mutated and replayed. Those that Trestle can recognise change one counter and
//! nothing else.

use std::net::SocketAddr;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use trestle_core::discard::Discards;
use trestle_core::plan::Transport;
use trestle_core::report::CallReport;
use trestle_core::{CallId, Milestone};
use trestle_wire::demux::DatagramKind;

use crate::actor::ActorId;
use crate::net::Datagram;
use crate::world::World;

/// Copies are of datagrams that arrived or left not longer ago than so many.
const BACK_MAX: usize = 40;

/// A host that has no part in any call.
#[derive(Debug)]
pub(super) struct Stranger {
    at: SocketAddr,
    actor: ActorId,
}

impl Stranger {
    pub(super) fn new(world: &mut World) -> Self {
        let at = SocketAddr::from(([192, 0, 2, 66], 6_000));
        Self { at, actor: world.add_stranger(at) }
    }

    pub(super) fn at(&self) -> SocketAddr {
        self.at
    }

    pub(super) fn actor(&self) -> ActorId {
        self.actor
    }

    /// Sends `times` hostile datagrams. Gives how many of them were recognised and counted.
    pub(super) fn attack(&self, world: &mut World, seed: u64, times: u8) -> u64 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..times).map(|_| u64::from(self.hit(world, &mut rng))).sum()
    }

    /// One hostile datagram. True if it had to be, and was, discarded without a trace but a counter.
    fn hit(&self, world: &mut World, rng: &mut ChaCha8Rng) -> bool {
        let mut ports = world.trestle().leg_ports();
        if rng.next_u32().is_multiple_of(16) || ports.is_empty() {
            ports = world.media_ports();
        }
        let to = ports[rng.next_u32() as usize % ports.len()];
        let Some((bytes, is_copy)) = datagram(world, rng) else { return false };
        let owner = world.trestle().owner(to);
        let transport = world.trestle().transport(to);
        let kind = DatagramKind::of(&bytes);
        // A peer's own address on the datagram: a secured leg recognises it all the same, unless it is DTLS, which answers a
        // repeated flight with its own.
        let is_secured = matches!(transport, Some(Transport::Sdes { .. } | Transport::WebRtc(_)));
        let media = matches!(kind, Some(DatagramKind::Rtp | DatagramKind::Rtcp));
        let spoofed = spoofed_source(world, to).filter(|_| is_secured && media && rng.next_u32().is_multiple_of(2));
        let from = spoofed.unwrap_or(self.at);
        if is_copy && owner.is_some() {
            // It is authentic: where it comes from may be all that is wrong with it. Then the other checks judge it.
            if spoofed.is_none() && matches!(transport, Some(Transport::WebRtc(_))) && media {
                self.judge(world, owner, Datagram { from, to, bytes });
                return true;
            }
            return false;
        }
        self.judge(world, owner, Datagram { from, to, bytes });
        true
    }

    fn judge(&self, world: &mut World, owner: Option<CallId>, datagram: Datagram) {
        let Datagram { from, to, bytes } = datagram;
        world.settle();
        let before = (owner.and_then(|call| world.trestle().report(call)), world.totals().discards);
        let sent = world.hit(from, to, &bytes);
        let after = (owner.and_then(|call| world.trestle().report(call)), world.totals().discards);
        let what = || format!("{} bytes {:02x?} from {from} to {to}", bytes.len(), &bytes[..bytes.len().min(16)]);
        assert_eq!(sent, 0, "Trestle answers a hostile datagram: {}", what());
        assert_eq!(state(before.0.as_ref()), state(after.0.as_ref()), "a hostile datagram changes a call: {}", what());
        let count = |discards: &Discards| discards.nonzero().iter().map(|(_, n)| n).sum::<u64>();
        assert_eq!(count(&after.1), count(&before.1) + 1, "a hostile datagram is not counted: {}", what());
    }
}

/// All of a report but the counters of what was discarded.
fn state(report: Option<&CallReport>) -> String {
    let mut report = report.cloned();
    if let Some(report) = &mut report {
        for leg in &mut report.legs {
            leg.discards.clear();
            // It is noted at the next datagram, whatever it is.
            leg.timeline.retain(|(milestone, _)| *milestone != Milestone::CaughtUp);
        }
    }
    format!("{report:?}")
}

/// Where the peer of the leg at `to` has sent from last.
fn spoofed_source(world: &World, to: SocketAddr) -> Option<SocketAddr> {
    world.received().iter().rev().take(400).find(|(_, datagram)| datagram.to == to).map(|(_, datagram)| datagram.from)
}

/// A hostile datagram, and whether it is an exact copy of one that is authentic somewhere.
fn datagram(world: &World, rng: &mut ChaCha8Rng) -> Option<(Vec<u8>, bool)> {
    let ssrc = rng.next_u32().to_be_bytes();
    let made = match rng.next_u32() % 8 {
        0 => {
            let mut bytes = vec![0; rng.next_u32() as usize % 300];
            rng.fill_bytes(&mut bytes);
            bytes
        }
        1 | 2 => {
            let pt = [0, 8, 101, 111, 126, 96][rng.next_u32() as usize % 6];
            let mut bytes = vec![0x80, pt];
            bytes.extend_from_slice(&rng.next_u64().to_be_bytes()[..6]);
            bytes.extend_from_slice(&ssrc);
            bytes.resize(12 + rng.next_u32() as usize % 180, 0x55);
            bytes
        }
        3 => [&[0x80, 201, 0, 1], &ssrc[..], &[0x81, 203, 0, 1], &ssrc].concat(),
        4 => match rng.next_u32() % 3 {
            0 => vec![21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, rng.next_u32() as u8, 0, 2, 2, 40],
            1 => [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 14][..], &[1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0]]
                .concat(),
            _ => {
                let kind = [0, 1][rng.next_u32() as usize % 2];
                [&[kind, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12], &[0, 0x25, 0, 0]].concat()
            }
        },
        which => {
            let of = if which == 5 { world.captured() } else { world.received() };
            let original = &of.iter().rev().nth(rng.next_u32() as usize % BACK_MAX)?.1.bytes;
            let mut bytes = original.clone();
            if !rng.next_u32().is_multiple_of(3) && !bytes.is_empty() {
                for _ in 0..=rng.next_u32() % 3 {
                    let at = rng.next_u32() as usize % bytes.len();
                    match rng.next_u32() % 4 {
                        0 if at > 0 => bytes.truncate(at),
                        _ => bytes[at] ^= 1 << (rng.next_u32() % 8),
                    }
                }
            }
            // What follows MESSAGE-INTEGRITY may differ in an authentic check.
            let is_copy = bytes == *original || DatagramKind::of(original) == Some(DatagramKind::Stun);
            return Some((bytes, is_copy));
        }
    };
    Some((made, false))
}
