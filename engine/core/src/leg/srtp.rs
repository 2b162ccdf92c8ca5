//! The SRTP contexts of a secured leg: the key that Trestle encrypts with, and the keys of the peer that are tried.
//!
//! ```text
//!              offer              answer              next answer, then 32 s, or 2 s after its first packet
//!   (unknown) -------> proposed --------> in use ----------------> replaced -------------> kept, not tried
//! ```
//!
//! The peer learns which of its keys is agreed later than Trestle, and some peers use a new key from their offer on
//! (RFC 4568 7.1). So the proposed key, the one in use and the replaced one are tried, in the order in use, proposed, replaced.
//! The two others cost an authentication each, for packets that the key in use does not open, while there are such keys.

use std::time::{Duration, Instant};

use arrayvec::ArrayVec;
use trestle_srtp::{KeyingMaterial, SrtpContext, UnprotectError, Unprotected};
use trestle_wire::Ssrc;
use trestle_wire::demux::DatagramKind;

use crate::{Discard, limits};

/// How long after an answer the peer may go on under its key before: until then SIP repeats a lost 200 (RFC 3261 13.3.1.4: 64 x T1).
const REPLACED_MAX: Duration = Duration::from_secs(32);

/// How long after the first packet under the new key an older one may arrive that was overtaken.
const OVERTAKEN_MAX: Duration = Duration::from_secs(2);

/// Keys of one direction that are kept. We use one per crypto suite, six at most, so none of ours is ever dropped; a peer that
/// changes its key more often loses only the replay window of the oldest.
const KEYS_MAX: usize = 16;

/// The SRTP contexts of a secured leg. A key that returns after others continues with its own context: roll-over counters and
/// replay windows stay (RFC 3711 3.3.1), and no index is encrypted twice under a key.
#[derive(Debug, Default)]
pub(crate) struct Srtp {
    send: Keyring,
    receive: Keyring,
    /// A key of the peer that no answer has confirmed.
    proposed: Option<KeyedContext>,
    /// The key before the one in use is tried too.
    replaced: Option<Replaced>,
}

/// The state of the key under which a packet was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyState {
    InUse,
    /// Proposed or replaced.
    NotInUse,
}

/// A packet that was decrypted.
#[derive(Debug)]
pub(crate) struct OpenedPacket {
    pub(crate) packet: Unprotected,
    pub(crate) by: KeyState,
}

/// A key with its context.
#[derive(Debug)]
struct KeyedContext {
    material: KeyingMaterial,
    context: Box<SrtpContext>,
}

/// The keys of one direction; the last one is in use, and the one before it is the one that it replaced.
#[derive(Debug, Default)]
struct Keyring(Vec<KeyedContext>);

/// How long the replaced key is tried.
#[derive(Debug, Clone, Copy)]
struct Replaced {
    until: Instant,
    /// The stream that goes on under the key in use. From its first packet on, the replaced key is good for earlier packets of it
    /// only: the other streams of that key are those of an agent that the call has left.
    followed_by: Option<Ssrc>,
}

impl Keyring {
    fn current(&mut self) -> Option<&mut SrtpContext> {
        self.0.last_mut().map(|key| &mut *key.context)
    }

    fn before(&mut self) -> Option<&mut SrtpContext> {
        let before = self.0.len().checked_sub(2)?;
        Some(&mut *self.0[before].context)
    }

    /// Makes `material` the current key; true if another one was. A new key gets the context that `make` derives from the
    /// context in use before.
    fn activate(
        &mut self,
        material: &KeyingMaterial,
        make: impl FnOnce(Option<&SrtpContext>) -> Box<SrtpContext>,
    ) -> bool {
        if let Some(position) = self.position(material) {
            self.0[position..].rotate_left(1);
            return position + 1 < self.0.len();
        }
        let context = make(self.0.last().map(|key| &*key.context));
        if self.0.len() == KEYS_MAX {
            self.0.remove(0);
        }
        self.0.push(KeyedContext { material: material.clone(), context });
        true
    }

    fn position(&self, material: &KeyingMaterial) -> Option<usize> {
        self.0.iter().position(|known| known.material == *material)
    }

    /// Keeps a key that is not in use as the oldest one, if packets were received under it.
    fn keep(&mut self, key: KeyedContext) {
        if key.context.ssrcs().next().is_some() && self.0.len() < KEYS_MAX {
            self.0.insert(0, key);
        }
    }
}

impl Srtp {
    pub(crate) fn set_send_key(&mut self, key: &KeyingMaterial) {
        self.send.activate(key, |_| Box::new(SrtpContext::new(key)));
    }

    /// The peer's key is agreed, with MKI of `mki_len` octets in its packets. True if another one was in use.
    pub(crate) fn set_receive_key(&mut self, now: Instant, key: &KeyingMaterial, mki_len: u8) -> bool {
        let had_key = self.receive.current().is_some();
        // Its context has the packets that were received before the answer, if there were any.
        let proposed = self.proposed.take_if(|proposed| proposed.material == *key);
        let proposed = proposed.filter(|proposed| proposed.context.ssrcs().next().is_some());
        let is_other = self.receive.activate(key, |before| match proposed {
            Some(proposed) => proposed.context,
            None => receive_context(key, before),
        });
        if let Some(context) = self.receive.current() {
            context.set_mki_len(usize::from(mki_len));
        }
        if is_other && had_key {
            self.replaced = Some(Replaced { until: now + REPLACED_MAX, followed_by: None });
        }
        is_other
    }

    /// The peer has offered this key; `None` if it has offered no other than the one in use.
    pub(crate) fn propose_receive_key(&mut self, key: Option<&(KeyingMaterial, u8)>) {
        let is_same = |known: &KeyedContext| key.is_some_and(|(key, _)| *key == known.material);
        if self.proposed.as_ref().is_some_and(is_same) {
            return;
        }
        if let Some(unanswered) = self.proposed.take() {
            self.receive.keep(unanswered);
        }
        let Some((key, mki_len)) = key else { return };
        let (known, was_replaced) = match self.receive.position(key) {
            Some(position) if position + 1 == self.receive.0.len() => return,
            Some(position) => (Some(self.receive.0.remove(position)), position + 1 == self.receive.0.len()),
            None => (None, false),
        };
        if was_replaced {
            self.replaced = None;
        }
        let current = self.receive.current().map(|context| &*context);
        let mut proposed =
            known.unwrap_or_else(|| KeyedContext { material: key.clone(), context: receive_context(key, current) });
        proposed.context.set_mki_len(usize::from(*mki_len));
        self.proposed = Some(proposed);
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.send.0.is_empty()
    }

    /// Decrypts a packet in place, with the key in use or one that is not in use yet or any more.
    #[inline]
    pub(crate) fn unprotect(
        &mut self,
        now: Instant,
        kind: DatagramKind,
        datagram: &mut [u8],
    ) -> Result<OpenedPacket, Discard> {
        if self.proposed.is_some() || self.replaced.is_some() {
            return self.unprotect_by_any(now, kind, datagram);
        }
        let context = self.receive.current().ok_or(Discard::NotConnected)?;
        Ok(OpenedPacket { packet: open(context, kind, datagram)?, by: KeyState::InUse })
    }

    #[cold]
    fn unprotect_by_any(
        &mut self,
        now: Instant,
        kind: DatagramKind,
        datagram: &mut [u8],
    ) -> Result<OpenedPacket, Discard> {
        // An attempt with the wrong key may overwrite the payload (GCM).
        self.replaced.take_if(|replaced| replaced.until <= now);
        let sealed: ArrayVec<u8, { limits::DATAGRAM_BYTES_MAX }> =
            datagram.iter().copied().take(limits::DATAGRAM_BYTES_MAX).collect();
        let context = self.receive.current().ok_or(Discard::NotConnected)?;
        match open(context, kind, datagram) {
            Err(Discard::AuthFailed) if sealed.len() == datagram.len() => {}
            other => {
                let packet = other?;
                self.note_in_use(now, kind, packet.ssrc);
                return Ok(OpenedPacket { packet, by: KeyState::InUse });
            }
        }
        let by = KeyState::NotInUse;
        if let Some(proposed) = &mut self.proposed {
            datagram.copy_from_slice(&sealed);
            if let Ok(packet) = open(&mut proposed.context, kind, datagram) {
                return Ok(OpenedPacket { packet, by });
            }
        }
        if let Some(replaced) = self.replaced
            && let Some(context) = self.receive.before()
        {
            datagram.copy_from_slice(&sealed);
            if let Ok(packet) = open(context, kind, datagram)
                && replaced.followed_by.is_none_or(|ssrc| ssrc == packet.ssrc)
            {
                return Ok(OpenedPacket { packet, by });
            }
        }
        Err(Discard::AuthFailed)
    }

    /// A packet under the key in use has arrived.
    fn note_in_use(&mut self, now: Instant, kind: DatagramKind, ssrc: Ssrc) {
        if let Some(replaced) = &mut self.replaced
            && kind == DatagramKind::Rtp
            && replaced.followed_by.is_none()
        {
            *replaced = Replaced { until: replaced.until.min(now + OVERTAKEN_MAX), followed_by: Some(ssrc) };
        }
    }

    /// SSRC and index of a replayed packet, if it is a true copy of one of the last packets.
    pub(crate) fn replayed(&mut self, kind: DatagramKind, datagram: &[u8]) -> Option<(Ssrc, u64)> {
        let context = self.receive.current()?;
        match kind {
            DatagramKind::Rtcp => context.replayed_rtcp(datagram),
            _ => context.replayed_rtp(datagram),
        }
    }

    pub(crate) fn protect(&mut self, kind: DatagramKind, buf: &mut [u8], len: usize) -> Option<usize> {
        let context = self.send.current()?;
        let protected = match kind {
            DatagramKind::Rtcp => context.protect_rtcp(buf, len),
            _ => context.protect_rtp(buf, len),
        };
        // Only a bug in Trestle leads here (an index used twice, a buffer too small): the packet is not sent.
        protected.inspect_err(|error| tracing::error!(%error, "packet not encrypted, not sent")).ok()
    }
}

/// A context for a new key of the peer. Some peers keep their roll-over counter under a new key.
fn receive_context(key: &KeyingMaterial, before: Option<&SrtpContext>) -> Box<SrtpContext> {
    let context = SrtpContext::new(key);
    let highest = before.and_then(|old| old.ssrcs().filter_map(|ssrc| old.rtp_index(ssrc)).max());
    Box::new(match highest {
        Some(index) => context.with_roc_hint((index >> 16) as u32),
        None => context,
    })
}

fn open(context: &mut SrtpContext, kind: DatagramKind, datagram: &mut [u8]) -> Result<Unprotected, Discard> {
    let plain = match kind {
        DatagramKind::Rtcp => context.unprotect_rtcp(datagram),
        _ => context.unprotect_rtp(datagram),
    };
    plain.map_err(|error| match error {
        UnprotectError::Malformed => Discard::Malformed,
        UnprotectError::AuthFailed => Discard::AuthFailed,
        UnprotectError::Replay => Discard::Replay,
        UnprotectError::TooManySsrcs => Discard::ForeignSsrc,
    })
}

/// The contexts of a link that was replaced by one of another kind: its peer goes on with it until it has the answer.
#[derive(Debug)]
pub(crate) struct RetiredSrtp {
    srtp: Srtp,
    until: Instant,
}

/// Decrypts a packet under the keys of the link before, if there are any. `None` if it is none; `datagram` is then as it was.
#[inline]
pub(crate) fn open_retired(
    retired: &mut Option<Box<RetiredSrtp>>,
    now: Instant,
    kind: DatagramKind,
    datagram: &mut [u8],
) -> Option<usize> {
    let srtp = retired.as_deref_mut()?;
    let opened = srtp.open(now, kind, datagram);
    if srtp.is_over(now) {
        *retired = None;
    }
    opened
}

impl RetiredSrtp {
    pub(crate) fn new(now: Instant, srtp: Srtp) -> Self {
        Self { srtp, until: now + REPLACED_MAX }
    }

    #[cold]
    fn open(&mut self, now: Instant, kind: DatagramKind, datagram: &mut [u8]) -> Option<usize> {
        let mut copy = ArrayVec::<u8, { limits::DATAGRAM_BYTES_MAX }>::new();
        copy.try_extend_from_slice(datagram).ok()?;
        match self.srtp.unprotect(now, kind, &mut copy) {
            Ok(OpenedPacket { packet, .. }) => {
                datagram.copy_from_slice(&copy);
                Some(packet.len)
            }
            Err(_) => {
                // Packets of the new link arrive.
                self.until = self.until.min(now + OVERTAKEN_MAX);
                None
            }
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.until <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trestle_srtp::Profile;

    const PROFILES: [Profile; 2] = [Profile::AesCm128HmacSha1_80, Profile::AeadAes128Gcm];

    fn key(profile: Profile, byte: u8) -> KeyingMaterial {
        let len = profile.key_len() + profile.salt_len();
        KeyingMaterial::from_key_and_salt(profile, &vec![byte; len]).unwrap()
    }

    /// A packet of `ssrc` with 20 octets of payload, and room for a tag.
    fn plain(ssrc: u8, seq: u16) -> Vec<u8> {
        let mut buf = [0x80, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, ssrc].to_vec();
        buf[2..4].copy_from_slice(&seq.to_be_bytes());
        buf.extend_from_slice(&[7; 20 + trestle_srtp::OVERHEAD_MAX]);
        buf
    }

    fn sealed(peer: &mut SrtpContext, ssrc: u8, seq: u16) -> Vec<u8> {
        let mut buf = plain(ssrc, seq);
        let len = peer.protect_rtp(&mut buf, 32).unwrap();
        buf.truncate(len);
        buf
    }

    fn receive(srtp: &mut Srtp, now: Instant, packet: &[u8]) -> Result<KeyState, Discard> {
        let mut datagram = packet.to_vec();
        let opened = srtp.unprotect(now, DatagramKind::Rtp, &mut datagram)?;
        assert_eq!(datagram[12..opened.packet.len], [7; 20]);
        Ok(opened.by)
    }

    #[test]
    fn a_key_that_comes_back_goes_on_where_it_was_left() {
        let [one, two] = [1, 2].map(|byte| key(PROFILES[0], byte));
        let mut srtp = Srtp::default();
        let send = |srtp: &mut Srtp, seq: u16| srtp.protect(DatagramKind::Rtp, &mut plain(1, seq), 32);
        srtp.set_send_key(&one);
        assert!(send(&mut srtp, 5).is_some());
        srtp.set_send_key(&two);
        assert!(send(&mut srtp, 6).is_some());
        srtp.set_send_key(&one);
        assert!(send(&mut srtp, 5).is_none(), "this index was encrypted under this key before");
        assert!(send(&mut srtp, 7).is_some());
    }

    #[test]
    fn between_offer_and_answer_the_old_key_and_the_proposed_one_are_both_taken() {
        for profile in PROFILES {
            let now = Instant::now();
            let [old, new] = [1, 2].map(|byte| key(profile, byte));
            let [mut by_old, mut by_new] = [&old, &new].map(SrtpContext::new);
            let mut srtp = Srtp::default();
            srtp.set_receive_key(now, &old, 0);
            assert_eq!(receive(&mut srtp, now, &sealed(&mut by_old, 1, 1)), Ok(KeyState::InUse));
            srtp.propose_receive_key(Some(&(new.clone(), 0)));
            // The same offer again is no other one.
            srtp.propose_receive_key(Some(&(new.clone(), 0)));
            let early = sealed(&mut by_new, 1, 3);
            assert_eq!(receive(&mut srtp, now, &early), Ok(KeyState::NotInUse));
            assert_eq!(receive(&mut srtp, now, &sealed(&mut by_old, 1, 2)), Ok(KeyState::InUse));
            assert_eq!(
                receive(&mut srtp, now, &sealed(&mut SrtpContext::new(&key(profile, 3)), 1, 4)),
                Err(Discard::AuthFailed)
            );
            srtp.set_receive_key(now, &new, 0);
            srtp.propose_receive_key(None);
            assert_eq!(receive(&mut srtp, now, &early), Err(Discard::Replay), "its window goes on");
            assert_eq!(receive(&mut srtp, now, &sealed(&mut by_new, 1, 5)), Ok(KeyState::InUse));
        }
    }

    #[test]
    fn a_proposed_key_without_an_answer_is_forgotten_with_the_next_offer() {
        let now = Instant::now();
        let [old, new, other] = [1, 2, 3].map(|byte| key(PROFILES[0], byte));
        let mut srtp = Srtp::default();
        srtp.set_receive_key(now, &old, 0);
        srtp.propose_receive_key(Some(&(new.clone(), 0)));
        srtp.propose_receive_key(Some(&(other, 0)));
        assert_eq!(receive(&mut srtp, now, &sealed(&mut SrtpContext::new(&new), 1, 1)), Err(Discard::AuthFailed));
        assert_eq!(receive(&mut srtp, now, &sealed(&mut SrtpContext::new(&old), 1, 1)), Ok(KeyState::InUse));
    }

    #[test]
    fn a_key_that_is_proposed_again_goes_on_with_its_window() {
        let now = Instant::now();
        let [old, new] = [1, 2].map(|byte| key(PROFILES[0], byte));
        let [mut by_old, mut by_new] = [&old, &new].map(SrtpContext::new);
        let mut srtp = Srtp::default();
        srtp.set_receive_key(now, &old, 0);
        let recorded = sealed(&mut by_old, 1, 1);
        assert_eq!(receive(&mut srtp, now, &recorded), Ok(KeyState::InUse));
        srtp.set_receive_key(now, &new, 0);
        assert_eq!(receive(&mut srtp, now, &sealed(&mut by_new, 1, 2)), Ok(KeyState::InUse));
        for _ in 0..2 {
            srtp.propose_receive_key(Some(&(old.clone(), 0)));
            assert_eq!(receive(&mut srtp, now, &recorded), Err(Discard::AuthFailed));
            srtp.propose_receive_key(None);
        }
        srtp.propose_receive_key(Some(&(old.clone(), 0)));
        assert_eq!(receive(&mut srtp, now, &sealed(&mut by_old, 1, 3)), Ok(KeyState::NotInUse));
        srtp.set_receive_key(now, &old, 0);
        assert_eq!(receive(&mut srtp, now, &recorded), Err(Discard::Replay));
        assert_eq!(receive(&mut srtp, now, &sealed(&mut by_new, 1, 4)), Ok(KeyState::NotInUse));
    }

    #[test]
    fn after_the_answer_the_replaced_key_is_taken_until_the_new_one_is_in_use() {
        for profile in PROFILES {
            let start = Instant::now();
            let [old, new] = [1, 2].map(|byte| key(profile, byte));
            let [mut by_old, mut by_new] = [&old, &new].map(SrtpContext::new);
            let mut srtp = Srtp::default();
            srtp.set_receive_key(start, &old, 0);
            assert_eq!(receive(&mut srtp, start, &sealed(&mut by_old, 1, 1)), Ok(KeyState::InUse));
            srtp.set_receive_key(start, &new, 0);
            let overtaken = sealed(&mut by_old, 1, 30);
            let first = start + Duration::from_secs(20);
            assert_eq!(receive(&mut srtp, first, &sealed(&mut by_old, 1, 29)), Ok(KeyState::NotInUse));
            assert_eq!(receive(&mut srtp, first, &sealed(&mut by_new, 1, 31)), Ok(KeyState::InUse));
            assert_eq!(receive(&mut srtp, first, &overtaken), Ok(KeyState::NotInUse));
            assert_eq!(
                receive(&mut srtp, first, &sealed(&mut by_old, 9, 1)),
                Err(Discard::AuthFailed),
                "another agent"
            );
            let later = first + OVERTAKEN_MAX;
            assert_eq!(receive(&mut srtp, later, &sealed(&mut by_new, 1, 33)), Ok(KeyState::InUse));
            assert_eq!(receive(&mut srtp, later, &sealed(&mut by_old, 1, 32)), Err(Discard::AuthFailed));
        }
    }

    #[test]
    fn a_replaced_key_ends_even_if_nothing_comes_under_the_new_one() {
        let start = Instant::now();
        let [old, new] = [1, 2].map(|byte| key(PROFILES[0], byte));
        let mut by_old = SrtpContext::new(&old);
        let mut srtp = Srtp::default();
        srtp.set_receive_key(start, &old, 0);
        srtp.set_receive_key(start, &new, 0);
        let end = start + REPLACED_MAX;
        assert_eq!(receive(&mut srtp, start, &sealed(&mut by_old, 1, 1)), Ok(KeyState::NotInUse));
        assert_eq!(receive(&mut srtp, end, &sealed(&mut by_old, 1, 2)), Err(Discard::AuthFailed));
    }

    #[test]
    fn another_length_of_mki_under_the_same_key_is_taken_up() {
        let now = Instant::now();
        let old = key(PROFILES[0], 1);
        let mut by_old = SrtpContext::new(&old);
        let mut srtp = Srtp::default();
        srtp.set_receive_key(now, &old, 0);
        assert!(receive(&mut srtp, now, &sealed(&mut by_old, 1, 1)).is_ok());
        srtp.set_receive_key(now, &old, 4);
        let mut with_mki = sealed(&mut by_old, 1, 2);
        let tag_at = with_mki.len() - 10;
        with_mki.splice(tag_at..tag_at, [0, 0, 0, 1]);
        assert_eq!(receive(&mut srtp, now, &with_mki), Ok(KeyState::InUse));
    }

    #[test]
    fn a_link_of_another_kind_takes_packets_of_the_one_before_for_a_while() {
        let start = Instant::now();
        let old = key(PROFILES[1], 1);
        let mut by_old = SrtpContext::new(&old);
        let mut srtp = Srtp::default();
        srtp.set_receive_key(start, &old, 0);
        let mut retired = RetiredSrtp::new(start, srtp);
        let mut open = |now: Instant, mut datagram: Vec<u8>| {
            let before = datagram.clone();
            let opened = retired.open(now, DatagramKind::Rtp, &mut datagram);
            assert!(opened.is_some() || datagram == before);
            (opened, retired.is_over(now))
        };
        assert_eq!(open(start, sealed(&mut by_old, 1, 1)), (Some(32), false));
        assert_eq!(open(start, plain(1, 2)), (None, false), "of the new link");
        assert_eq!(open(start, sealed(&mut by_old, 1, 3)), (Some(32), false));
        assert!(open(start + OVERTAKEN_MAX, plain(1, 4)).1);
    }
}
