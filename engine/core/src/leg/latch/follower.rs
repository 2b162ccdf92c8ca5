//! Follows one flow of a secured peer to another address.
//!
//! A packet that is authentic was made by the peer, but an observer may have copied it, or held it back, and sent it from an
//! address of its own. So an authentic packet does not show where the peer is. What shows it is the comparison of two addresses:
//! a copy arrives from both, and a packet of a peer that has moved arrives only from the new address.
//!
//! The learnt address is *alive* with each packet that has a higher index than all packets from there before. That includes
//! replays: if a copy was faster, the original is a replay. A packet that was recorded earlier and is sent again with the source
//! address forged shows nothing, as its index is not higher.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trestle_wire::Ssrc;

/// An address is followed after this many packets with rising indexes from there ...
const MOVE_PACKETS: u8 = 3;
/// ... if the learnt address is not alive for this time ...
const MOVE_SILENCE: Duration = Duration::from_millis(300);
/// ... and this time after the first packet from the new address. An original that was copied arrives within this time.
const COPY_LEAD_MAX: Duration = Duration::from_millis(100);

/// What a packet of the peer shows about its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Novelty {
    /// Its index is the highest of its SSRC.
    Newest,
    /// Its index is lower than another one, and had not arrived before.
    Late,
    /// It has arrived before.
    Replay,
}

/// A packet that was authenticated with the peer's key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SecuredPacket {
    pub(crate) is_rtcp: bool,
    pub(crate) ssrc: Ssrc,
    pub(crate) index: u64,
    pub(crate) novelty: Novelty,
}

/// The addresses of one flow.
#[derive(Debug, Clone)]
pub(super) struct Follower {
    signalled: Option<SocketAddr>,
    learnt: Option<SocketAddr>,
    /// When the learnt address was alive.
    alive_at: Option<Instant>,
    /// Of the learnt address.
    delivered: Marks,
    /// Of all sources.
    newest: Marks,
    challenger: Option<Challenger>,
    /// The signalled address, if another one was learnt and packets arrive from it.
    returning: Option<Challenger>,
}

/// An address that may replace the learnt one.
#[derive(Debug, Clone)]
struct Challenger {
    source: SocketAddr,
    since: Instant,
    /// Packets with rising indexes.
    packets: u8,
    /// New packets from further addresses since its last one. After [`MOVE_PACKETS`] it gives way.
    missed: u8,
    /// Indexes up to these show nothing: they were received before the first packet from here, or have been counted.
    delivered: Marks,
}

/// The highest index of SRTP and of SRTCP, each with the SSRC in use.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    rtp: Option<(Ssrc, u64)>,
    rtcp: Option<(Ssrc, u64)>,
}

impl Marks {
    fn note(&mut self, packet: SecuredPacket) {
        let mark = if packet.is_rtcp { &mut self.rtcp } else { &mut self.rtp };
        *mark = Some((packet.ssrc, packet.index));
    }

    fn of(&self, packet: SecuredPacket) -> Option<(Ssrc, u64)> {
        if packet.is_rtcp { self.rtcp } else { self.rtp }
    }

    /// True if `packet` belongs to the SSRC in use.
    fn is_of_stream(&self, packet: SecuredPacket) -> bool {
        self.of(packet).is_some_and(|(ssrc, _)| ssrc == packet.ssrc)
    }

    /// True if `packet` is none of those noted, nor an earlier one.
    fn is_below(&self, packet: SecuredPacket) -> bool {
        self.of(packet).is_none_or(|(ssrc, index)| ssrc != packet.ssrc || index < packet.index)
    }
}

impl Follower {
    pub(super) fn new(signalled: Option<SocketAddr>) -> Self {
        Self {
            signalled,
            learnt: None,
            alive_at: None,
            delivered: Marks::default(),
            newest: Marks::default(),
            challenger: None,
            returning: None,
        }
    }

    pub(super) fn signalled(&self) -> Option<SocketAddr> {
        self.signalled
    }

    pub(super) fn learnt(&self) -> Option<SocketAddr> {
        self.learnt
    }

    /// Follows `source` at once, without comparison with other addresses.
    pub(super) fn learn(&mut self, now: Instant, source: SocketAddr) {
        self.learnt = Some(source);
        self.alive_at = Some(now);
    }

    /// Notes a packet without authentication from the learnt address.
    pub(super) fn note_alive(&mut self, now: Instant) {
        self.alive_at = Some(now);
    }

    /// True if nothing came from the learnt address for this time.
    pub(super) fn is_silent(&self, now: Instant, time: Duration) -> bool {
        self.alive_at.is_none_or(|alive_at| now.duration_since(alive_at) >= time)
    }

    /// Indexes so far are no longer comparable with those of coming packets.
    pub(super) fn forget_indexes(&mut self) {
        (self.delivered, self.newest) = (Marks::default(), Marks::default());
        (self.challenger, self.returning) = (None, None);
    }

    /// True if [`Follower::observe`] uses replays from `source`. Only these are authenticated.
    pub(super) fn needs_replay(&self, source: SocketAddr) -> bool {
        let challenges = |challenger: &Challenger| challenger.source == source || self.learnt == Some(source);
        self.challenger.as_ref().is_some_and(challenges) || self.returns(source)
    }

    /// Notes a packet of the peer from `source`.
    pub(super) fn observe(&mut self, now: Instant, source: SocketAddr, packet: SecuredPacket) {
        if self.learnt != Some(source) {
            self.observe_other(now, source, packet);
            return;
        }
        if packet.novelty == Novelty::Newest {
            self.newest.note(packet);
        } else if !self.newest.is_of_stream(packet) || !self.delivered.is_below(packet) {
            return;
        }
        self.delivered.note(packet);
        self.alive_at = Some(now);
        self.challenger = None;
    }

    #[cold]
    fn observe_other(&mut self, now: Instant, source: SocketAddr, packet: SecuredPacket) {
        if packet.novelty == Novelty::Newest {
            self.newest.note(packet);
        }
        if self.returns(source) {
            if self.learnt.is_none() {
                let mut delivered = Marks::default();
                delivered.note(packet);
                self.follow(now, source, delivered);
                return;
            }
            let Some(returning) = &mut self.returning else {
                self.returning = Some(Challenger::new(now, source, packet, self.newest));
                return;
            };
            if returning.observe(packet, &self.newest) {
                let delivered = returning.delivered;
                self.follow(now, source, delivered);
            }
            return;
        }
        let is_near = |at: SocketAddr| self.signalled.is_some_and(|signalled| signalled.ip() == at.ip());
        match &mut self.challenger {
            Some(challenger) if challenger.source == source => {
                let is_proved = challenger.observe(packet, &self.newest);
                let has_led = now.saturating_duration_since(challenger.since) >= COPY_LEAD_MAX;
                let is_silent = self.alive_at.is_none_or(|at| now.saturating_duration_since(at) >= MOVE_SILENCE);
                if is_proved && (self.learnt.is_none() || has_led && is_silent) {
                    let delivered = challenger.delivered;
                    self.follow(now, source, delivered);
                }
            }
            // A copy that is slower than another one decides nothing.
            _ if packet.novelty != Novelty::Newest => {}
            // The ports of a NAT change more often than its address: an address on the signalled host has precedence.
            Some(challenger)
                if (is_near(challenger.source) || !is_near(source)) && challenger.missed < MOVE_PACKETS =>
            {
                challenger.missed += 1;
            }
            _ => self.challenger = Some(Challenger::new(now, source, packet, self.newest)),
        }
    }

    fn follow(&mut self, now: Instant, source: SocketAddr, delivered: Marks) {
        (self.learnt, self.alive_at, self.delivered) = (Some(source), Some(now), delivered);
        (self.challenger, self.returning) = (None, None);
    }

    /// True if `source` is the signalled address and not the learnt one: the application has named it, so it is preferred to an
    /// address that delivers the same packets.
    fn returns(&self, source: SocketAddr) -> bool {
        self.signalled == Some(source) && self.learnt != Some(source)
    }
}

impl Challenger {
    /// `newest` is of all sources, `packet` included.
    fn new(now: Instant, source: SocketAddr, packet: SecuredPacket, newest: Marks) -> Self {
        let packets = u8::from(packet.novelty == Novelty::Newest);
        Self { source, since: now, packets, missed: 0, delivered: newest }
    }

    /// Notes another packet from its source; true if it has sent enough.
    fn observe(&mut self, packet: SecuredPacket, newest: &Marks) -> bool {
        let is_live =
            packet.novelty == Novelty::Newest || newest.is_of_stream(packet) && self.delivered.is_below(packet);
        if is_live {
            self.delivered.note(packet);
            self.packets = self.packets.saturating_add(1);
            self.missed = 0;
        }
        is_live && self.packets >= MOVE_PACKETS
    }
}
