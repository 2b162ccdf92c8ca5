//! DTLS of one leg: the handshake that makes its SRTP keys (RFC 6347, RFC 5764). Only this file and `dtls_identity.rs` name
//! dimpl.
//!
//! dimpl has retransmit timers of its own. They are not used: its clock is stopped, and [`ClockedMachine`] advances it to
//! dimpl's next deadline when a [`Flight`] is to be sent again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use dimpl::{Dtls as Machine, Output, SrtpProfile};
use trestle_srtp::{KeyingMaterial, Profile};

use super::dtls_identity::{DtlsIdentity, MACHINE_TIMEOUT};
use super::flight::Flight;
use super::peer_flight::{PeerFlight, clear_message_type};
use crate::LegFailure;
use crate::plan::{DtlsRole, Fingerprint};
use crate::time::soonest;

/// How long a handshake may take from our first datagram.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// A lite peer that is to send the ClientHello has so long after a valid pair, then we send ours as well. Meta answers
/// `active` and has been observed to wait for us.
const HEDGE_AFTER: Duration = Duration::from_millis(300);
/// A peer sends its ClientHello when its pair is nominated, so that it arrives together with the answer to the nomination:
/// later by this at most, or it is lost and repeated. Ours could end the handshake of a peer that is about to send its own
/// (a client that expects a ServerHello), so we wait for this time on paths longer than [`HEDGE_AFTER`], and if it is not
/// settled which end is the client.
const HELLO_GRACE: Duration = Duration::from_millis(50);
/// New handshakes after a failed one, on the same pair.
const RESTARTS_MAX: u8 = 1;
/// The same while the peer has sent no DTLS: two minutes in all. It may wait for its user to accept the call.
const UNANSWERED_RESTARTS_MAX: u8 = 7;

/// The DTLS association of a leg. It runs only while ICE has a pair; until then nothing is polled from it.
pub(super) struct Dtls {
    machine: ClockedMachine,
    identity: DtlsIdentity,
    hello: HelloPolicy,
    certificate: PeerCertificate,
    /// While we are the client and the peer's first flight is not complete.
    peer_flight: PeerFlight,
    connected: bool,
    /// The peer has sent a datagram that belongs to a handshake.
    answered: bool,
    restarts: u8,
    /// When this handshake fails, from its first datagram on.
    give_up_at: Option<Instant>,
    wake_at: Option<Instant>,
    failed: Option<LegFailure>,
    /// The last attempt has failed. dimpl keeps its expired timers armed and must not be polled again.
    dead: bool,
}

/// dimpl with a clock that only [`Flight`] advances.
struct ClockedMachine {
    machine: Machine,
    config: Arc<dimpl::Config>,
    /// When the handshake began: dimpl's hello contains it.
    began: Instant,
    /// The time that dimpl is given. It moves only when a flight is to be sent again, to dimpl's own next deadline.
    clock: Instant,
    /// dimpl's next deadline, on its clock.
    wake_at: Instant,
    flight: Flight,
}

/// Which end sends the ClientHello, and when we send ours instead of waiting for the peer's.
struct HelloPolicy {
    role: DtlsRole,
    /// The peer has sent a ClientHello: it is the client.
    received: bool,
    /// When the pair became valid.
    valid_at: Option<Instant>,
    /// When we send our ClientHello if the peer's has not arrived.
    due_at: Option<Instant>,
    /// We have sent our ClientHello although the peer was to send one.
    hedged: bool,
}

/// The peer's certificate: what its SDP announced, and what it has sent.
#[derive(Default)]
struct PeerCertificate {
    /// Digests of which it must have one; none before the peer's SDP.
    expected: Vec<Fingerprint>,
    /// The certificate of this handshake, in DER. It is compared when it arrives and again when the keys are made: the
    /// peer's SDP may have changed in between.
    received: Option<Vec<u8>>,
}

/// A result of [`Dtls::poll_output`].
pub(super) enum DtlsOutput {
    /// Send these bytes of the buffer to the selected pair.
    Transmit(usize),
    /// The handshake is complete and the certificate is the announced one: encrypt with the first key, decrypt with the second.
    Keys(Box<(KeyingMaterial, KeyingMaterial)>),
    /// The association has failed.
    Failed(LegFailure),
}

impl ClockedMachine {
    fn new(now: Instant, identity: &DtlsIdentity, config: Arc<dimpl::Config>, client: bool) -> Self {
        let mut machine = Machine::new_12(config.clone(), identity.certificate.clone(), now);
        machine.set_active(client);
        Self { machine, config, began: now, clock: now, wake_at: now, flight: Flight::default() }
    }

    /// Begins the same handshake again as the client: the ClientHello is the same, and the flight is repeated when it was due.
    fn begin_again(&mut self, identity: &DtlsIdentity) {
        let flight = std::mem::take(&mut self.flight);
        *self = Self { flight, ..Self::new(self.began, identity, self.config.clone(), true) };
        self.handle_timeout();
    }

    /// True if we are the client and the peer's first flight is not complete.
    fn awaits_first_flight(&self) -> bool {
        self.machine.is_active() && self.flight.is_first()
    }

    /// Advances dimpl's clock to its next deadline, if that is one of a flight: the end of the handshake is farther away.
    fn resend_flight(&mut self) {
        if self.wake_at.saturating_duration_since(self.clock) < MACHINE_TIMEOUT / 2 {
            self.clock = self.clock.max(self.wake_at);
        }
    }

    /// False if dimpl has failed.
    fn handle_timeout(&mut self) -> bool {
        self.machine.handle_timeout(self.clock).is_ok()
    }

    /// Notes dimpl's next deadline; gives true if dimpl is to be called at once. Its other deadlines are on its own clock,
    /// which [`ClockedMachine::resend_flight`] moves.
    fn note_deadline(&mut self, at: Instant) -> bool {
        self.wake_at = at;
        at <= self.clock
    }
}

impl HelloPolicy {
    fn new(role: DtlsRole) -> Self {
        Self { role, received: false, valid_at: None, due_at: None, hedged: false }
    }

    /// ICE is established: from now on the peer's ClientHello is due, if the peer is to send one.
    fn expect(&mut self, now: Instant, lite: bool) {
        let soon = now + HELLO_GRACE;
        self.due_at = match self.role {
            DtlsRole::Client => None,
            DtlsRole::Either => Some(soon),
            DtlsRole::Server if lite => Some(self.valid_at.map_or(soon, |at| soon.max(at + HEDGE_AFTER))),
            DtlsRole::Server => None,
        };
    }

    /// True once, when our ClientHello is to be sent instead of the peer's.
    fn take_due(&mut self, now: Instant) -> bool {
        if self.due_at.take_if(|at| *at <= now).is_none() {
            return false;
        }
        if self.role == DtlsRole::Server {
            self.hedged = true;
            tracing::warn!("dtls_role_hedged: the peer is to send a ClientHello and has not; ours is sent");
        }
        true
    }
}

impl PeerCertificate {
    /// True if the received certificate is an announced one.
    fn is_expected(&self) -> bool {
        let matches = |received: &[u8]| self.expected.iter().any(|expected| matches(expected, received));
        self.received.as_deref().is_some_and(matches)
    }
}

impl Dtls {
    /// `seed` is different for each leg.
    pub(super) fn new(now: Instant, identity: &DtlsIdentity, seed: u64, role: DtlsRole) -> Self {
        Self {
            machine: ClockedMachine::new(now, identity, identity.config(seed), role == DtlsRole::Client),
            identity: identity.clone(),
            hello: HelloPolicy::new(role),
            certificate: PeerCertificate::default(),
            peer_flight: PeerFlight::default(),
            connected: false,
            answered: false,
            restarts: 0,
            give_up_at: None,
            wake_at: None,
            failed: None,
            dead: false,
        }
    }

    /// Sets the role and the fingerprints of the peer's SDP. Ignored once the handshake is complete: keys are never
    /// renegotiated.
    pub(super) fn set_remote(&mut self, now: Instant, role: DtlsRole, fingerprints: &[Fingerprint]) {
        if self.connected {
            return;
        }
        let corrected = self.dead && self.certificate.expected != fingerprints;
        self.certificate.expected = fingerprints.to_vec();
        if corrected || self.hello.role != role {
            self.hello.role = role;
            self.hello.hedged = false;
            self.restart(now, role == DtlsRole::Client);
        }
    }

    /// Starts a new handshake. No certificate or failure of the last one counts for it.
    fn restart(&mut self, now: Instant, client: bool) {
        self.machine = ClockedMachine::new(now, &self.identity, self.machine.config.clone(), client);
        self.peer_flight.clear();
        self.give_up_at = None;
        self.certificate.received = None;
        self.dead = false;
        self.failed = None;
        self.wake_at = Some(now);
    }

    /// ICE has a valid pair: the handshake begins.
    pub(super) fn start(&mut self, now: Instant) {
        self.hello.valid_at.get_or_insert(now);
        self.handle_timeout(now);
    }

    /// The peer has answered the nomination. From now on its ClientHello is due, if it is to send one.
    pub(super) fn expect_hello(&mut self, now: Instant, lite: bool) {
        if !(self.connected || self.hello.received || self.machine.machine.is_active()) {
            self.hello.expect(now, lite);
        }
    }

    /// True once there are keys.
    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// True once we have sent a ClientHello although the peer was to send one.
    pub(super) fn is_role_hedged(&self) -> bool {
        self.hello.hedged
    }

    /// Takes a DTLS datagram from a valid pair. A fault in it is not an error of the association: any host on the path can
    /// forge a plaintext alert.
    ///
    /// # Errors
    /// If the association has failed, or the datagram is refused.
    pub(super) fn handle_datagram(&mut self, now: Instant, bytes: &[u8]) -> Result<(), ()> {
        if self.dead {
            return Err(());
        }
        let is_hello = is_client_hello(bytes);
        if is_hello && self.machine.machine.is_active() {
            // Both ends act as the client. If the peer answered `actpass`, or was to be the client, its ClientHello settles it.
            // Otherwise the peer is at fault or the packet is forged, and dimpl would take it for the end of the handshake.
            if self.connected || self.hello.role == DtlsRole::Client {
                return Err(());
            }
            self.restart(now, false);
        }
        if is_hello {
            self.hello.received = true;
            self.hello.due_at = None;
        }
        if self.connected {
            // The peer asks for the last flight again (RFC 6347 4.2.4). dimpl repeats it once in each of its intervals.
            self.machine.resend_flight();
        }
        // A flight that is due again waits: after a stall of this thread, the datagram is its answer.
        self.handle_deadlines(now);
        let is_first_flight = !self.connected && self.machine.awaits_first_flight();
        if is_first_flight && !self.peer_flight.take(now, bytes) {
            self.wake_at = Some(now);
            return Ok(());
        }
        let taken = self.machine.machine.handle_packet(bytes);
        if taken.is_err() && is_first_flight && clear_message_type(bytes).is_some() {
            self.retry(now);
        }
        if taken.is_ok() && !self.answered && !self.connected {
            // The peer answers for the first time: the timeout of the handshake begins here.
            self.answered = true;
            self.restarts = 0;
            self.give_up_at = Some(now + HANDSHAKE_TIMEOUT);
        }
        self.wake_at = Some(now);
        taken.map_err(|error| tracing::debug!(%error, "DTLS datagram refused"))
    }

    /// Takes the peer's first flight again, without a datagram that it may not have sent.
    fn retry(&mut self, now: Instant) {
        while let Some(datagrams) = self.peer_flight.next_attempt(now) {
            tracing::debug!(
                "the DTLS handshake does not go on; the peer's flight is taken again without one of its datagrams"
            );
            self.machine.begin_again(&self.identity);
            self.certificate.received = None;
            let machine = &mut self.machine.machine;
            if datagrams.map(|datagram| machine.handle_packet(datagram)).all(|taken| taken.is_ok()) {
                break;
            }
        }
        self.wake_at = Some(now);
    }

    /// Does what is due for the peer's first flight.
    fn watch_peer_flight(&mut self, now: Instant) {
        if self.connected || !self.machine.awaits_first_flight() {
            self.peer_flight.clear();
            return;
        }
        if let Some(hello_verify) = self.peer_flight.take_hello_verify(now) {
            // The result does not matter: the peer repeats it.
            let _ = self.machine.machine.handle_packet(&hello_verify);
            self.wake_at = Some(now);
        }
        if self.peer_flight.is_retry_due(now) {
            self.retry(now);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if !self.dead && self.machine.flight.take_due(now) {
            self.machine.resend_flight();
        }
        self.handle_deadlines(now);
    }

    /// Processes deadlines up to `now`, but the repetition of a flight.
    fn handle_deadlines(&mut self, now: Instant) {
        if self.dead {
            return;
        }
        if self.peer_flight.poll_timeout().is_some() {
            self.watch_peer_flight(now);
        }
        if self.hello.take_due(now) {
            self.machine.machine.set_active(true);
        }
        let given_up = self.give_up_at.is_some_and(|at| at <= now);
        if (!self.machine.handle_timeout() || given_up) && !self.connected && self.failed.is_none() {
            if self.restarts < if self.answered { RESTARTS_MAX } else { UNANSWERED_RESTARTS_MAX } {
                self.restarts += 1;
                self.restart(now, self.machine.machine.is_active());
            } else {
                self.failed = Some(LegFailure::DtlsFailed);
                self.dead = true;
            }
        }
    }

    /// Queues close_notify, if the handshake is complete. It is sent once (RFC 6347 4.2.7).
    pub(super) fn close(&mut self, now: Instant) {
        if self.connected && !self.dead {
            if let Err(error) = self.machine.machine.close() {
                tracing::debug!(%error, "no close_notify");
            }
            self.wake_at = Some(now);
        }
    }

    /// Notes a datagram that is sent.
    fn sent(&mut self, now: Instant, datagram: &[u8]) {
        if !self.connected {
            self.machine.flight.sent(now, datagram);
            self.give_up_at.get_or_insert(now + HANDSHAKE_TIMEOUT);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let flights = soonest(self.machine.flight.poll_timeout(), self.peer_flight.poll_timeout());
        [self.hello.due_at, flights, self.give_up_at].into_iter().fold(self.wake_at, soonest)
    }

    /// The next thing to do; a record is written to the front of `buf`.
    pub(super) fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Option<DtlsOutput> {
        if self.dead {
            self.wake_at = None;
            self.hello.due_at = None;
            self.give_up_at = None;
            self.machine.flight.stop();
            self.peer_flight.clear();
            return self.failed.take().map(DtlsOutput::Failed);
        }
        loop {
            match self.machine.machine.poll_output(buf) {
                Output::Packet(datagram) => {
                    let len = datagram.len();
                    self.sent(now, &buf[..len]);
                    return Some(DtlsOutput::Transmit(len));
                }
                Output::PeerCert(certificate) => {
                    self.certificate.received = Some(certificate.to_vec());
                    if !self.certificate.is_expected() {
                        return self.fail(LegFailure::FingerprintMismatch);
                    }
                }
                Output::KeyingMaterial(exported, profile) => {
                    if !self.certificate.is_expected() {
                        return self.fail(LegFailure::FingerprintMismatch);
                    }
                    let (exported, is_client) = (exported.as_ref(), self.machine.machine.is_active());
                    let keys = srtp_profile(profile)
                        .and_then(|profile| KeyingMaterial::from_dtls(profile, exported, is_client));
                    let Some(keys) = keys else { return self.fail(LegFailure::DtlsFailed) };
                    self.connected = true;
                    self.machine.flight.stop();
                    self.peer_flight.clear();
                    self.give_up_at = None;
                    self.certificate.received = None;
                    return Some(DtlsOutput::Keys(Box::new(keys)));
                }
                Output::CloseNotify => return Some(DtlsOutput::Failed(LegFailure::DtlsClosed)),
                // The certificate was verified above; there is no application data in DTLS-SRTP.
                Output::Connected | Output::ApplicationData(_) => {}
                Output::Timeout(at) => {
                    self.wake_at = self.machine.note_deadline(at).then_some(now);
                    return None;
                }
                // A record larger than the largest datagram that we send cannot be one of ours.
                _ => return self.fail(LegFailure::DtlsFailed),
            }
        }
    }

    /// Ends the association: dimpl would continue, and repeat its output.
    fn fail(&mut self, reason: LegFailure) -> Option<DtlsOutput> {
        self.dead = true;
        Some(DtlsOutput::Failed(reason))
    }
}

impl std::fmt::Debug for Dtls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dtls")
            .field("role", &self.hello.role)
            .field("connected", &self.connected)
            .finish_non_exhaustive()
    }
}

/// Handshake record (22), first message a ClientHello (1): RFC 6347 4.1, 4.3.2.
pub(super) fn is_client_hello(bytes: &[u8]) -> bool {
    bytes.first() == Some(&22) && bytes.get(13) == Some(&1)
}

fn srtp_profile(profile: SrtpProfile) -> Option<Profile> {
    match profile {
        SrtpProfile::AES128_CM_SHA1_80 => Some(Profile::AesCm128HmacSha1_80),
        SrtpProfile::AEAD_AES_128_GCM => Some(Profile::AeadAes128Gcm),
        SrtpProfile::AEAD_AES_256_GCM => Some(Profile::AeadAes256Gcm),
        _ => None,
    }
}

/// RFC 8122 section 5: the digest of the certificate's DER form.
fn matches(expected: &Fingerprint, certificate: &[u8]) -> bool {
    let (algorithm, bytes): (&digest::Algorithm, &[u8]) = match expected {
        Fingerprint::Sha1(bytes) => (&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes),
        Fingerprint::Sha256(bytes) => (&digest::SHA256, bytes),
        Fingerprint::Sha384(bytes) => (&digest::SHA384, bytes),
        Fingerprint::Sha512(bytes) => (&digest::SHA512, bytes),
    };
    digest::digest(algorithm, certificate).as_ref() == bytes
}
