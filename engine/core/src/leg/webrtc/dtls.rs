//! DTLS of one leg: the handshake that yields its SRTP keys (RFC 6347, RFC 5764). The only engine file that names dimpl.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use dimpl::{Dtls as Machine, Output, SrtpProfile};
use trestle_srtp::{KeyingMaterial, Profile};

use super::flight::Flight;
use crate::LegFailure;
use crate::plan::{DtlsRole, Fingerprint};
use crate::time::soonest;

/// dimpl's clock stands still (see [`Dtls::clock`]): these are its retransmit timers in a time of its own, which begins so
/// small that doubling stays within the ten years that it allows a handshake.
const MACHINE_RTO: Duration = Duration::from_nanos(1);
const MACHINE_RETRIES: usize = 56;
const MACHINE_TIMEOUT: Duration = Duration::from_secs(3_650 * 24 * 3_600);
/// How long a handshake may take from our first datagram.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long after a valid pair the ClientHello of a lite peer that is to send one is waited for before we send ours as well.
/// Meta says `active` and has been seen to wait for us.
const HEDGE_AFTER: Duration = Duration::from_millis(300);
/// A peer sends its ClientHello when it has been nominated, so that it comes along with the answer to the nomination: by that
/// much later at most, or lost and repeated. Ours could be the end of the handshake for a peer that is about to send its own
/// (a client that expects a ServerHello), so this is waited for on paths longer than [`HEDGE_AFTER`], and if it is open who
/// is the client.
const HELLO_GRACE: Duration = Duration::from_millis(50);
/// Fresh handshakes after a failed one, on the same pair.
const RESTARTS_MAX: u8 = 1;
/// While the peer has not said a word of DTLS: two minutes in all. It may be waiting for its user to pick up.
const UNANSWERED_RESTARTS_MAX: u8 = 7;

/// Our DTLS certificate (ECDSA P-256) and settings, made once per process and shared by every leg.
#[derive(Clone)]
pub struct DtlsIdentity {
    certificate: dimpl::DtlsCertificate,
    config: Arc<dimpl::Config>,
    fingerprint: [u8; 32],
}

impl std::fmt::Debug for DtlsIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DtlsIdentity").finish_non_exhaustive()
    }
}

/// Why no identity could be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a DTLS certificate: {0}")]
pub struct IdentityError(String);

impl DtlsIdentity {
    /// Makes a fresh self-signed certificate. Draws from the crypto library's own entropy, so call it at the edge.
    pub fn generate() -> Result<Self, IdentityError> {
        let certificate =
            dimpl::certificate::generate_self_signed_certificate().map_err(|e| IdentityError(e.to_string()))?;
        let config = dimpl::Config::builder()
            // ICE proves that the peer can be reached before DTLS starts; a cookie would cost one more round trip.
            .use_server_cookie(false)
            .flight_start_rto(MACHINE_RTO)
            .flight_retries(MACHINE_RETRIES)
            .handshake_timeout(MACHINE_TIMEOUT)
            .build()
            .map_err(|e| IdentityError(e.to_string()))?;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest::digest(&digest::SHA256, &certificate.certificate).as_ref());
        Ok(Self { certificate, config: Arc::new(config), fingerprint })
    }

    /// SHA-256 of the certificate, for `a=fingerprint`.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}

/// The DTLS association of a leg. It runs only while ICE has a pair; until then nothing is polled from it.
pub(super) struct Dtls {
    machine: Machine,
    /// The time that the machine believes it is. It moves only when a flight is to be sent again, to the machine's own next
    /// deadline: when that is, [`Flight`] says.
    clock: Instant,
    /// The machine's next deadline, on its clock.
    machine_wake_at: Instant,
    flight: Flight,
    identity: DtlsIdentity,
    role: DtlsRole,
    expected: Option<Fingerprint>,
    /// The certificate that the peer has shown in this handshake, in DER. It is judged when it comes and again when the keys
    /// do: what is expected of it may have been signalled anew in between.
    shown: Option<Vec<u8>>,
    /// The peer has sent a ClientHello: it is the client.
    heard_hello: bool,
    connected: bool,
    /// The peer has sent something that belongs to a handshake.
    answered: bool,
    restarts: u8,
    /// When this handshake is given up, from its first datagram on.
    give_up_at: Option<Instant>,
    /// When the pair became valid.
    valid_at: Option<Instant>,
    /// When we stop waiting for the peer's ClientHello and send ours.
    hello_at: Option<Instant>,
    /// We have sent our ClientHello although the peer was to send one.
    hedged: bool,
    wake_at: Option<Instant>,
    failed: Option<LegFailure>,
    /// The last attempt has failed. The machine keeps its expired timers armed and must not be asked again.
    dead: bool,
}

/// Something the handshake has to say.
pub(super) enum DtlsOutput {
    /// Send these bytes of the buffer to the selected pair.
    Transmit(usize),
    /// The handshake is over, the certificate is the announced one: encrypt with the first key, decrypt with the second.
    Keys(Box<(KeyingMaterial, KeyingMaterial)>),
    /// The association is dead.
    Failed(LegFailure),
}

impl Dtls {
    pub(super) fn new(now: Instant, identity: &DtlsIdentity, role: DtlsRole) -> Self {
        Self {
            machine: fresh(now, identity, role == DtlsRole::Client),
            clock: now,
            machine_wake_at: now,
            flight: Flight::default(),
            identity: identity.clone(),
            role,
            expected: None,
            shown: None,
            heard_hello: false,
            connected: false,
            answered: false,
            restarts: 0,
            give_up_at: None,
            valid_at: None,
            hello_at: None,
            hedged: false,
            wake_at: None,
            failed: None,
            dead: false,
        }
    }

    /// The role and fingerprint of the peer's SDP. Ignored once the handshake is over: keys are never renegotiated.
    pub(super) fn set_remote(&mut self, now: Instant, role: DtlsRole, fingerprint: &Fingerprint) {
        if self.connected {
            return;
        }
        let known = self.expected.replace(fingerprint.clone());
        let corrected = self.dead && known.as_ref() != Some(fingerprint);
        if corrected || self.role != role {
            self.role = role;
            self.hedged = false;
            self.renew(now, role == DtlsRole::Client);
        }
    }

    /// A handshake from its beginning. Nothing that the last one has shown counts for it.
    fn renew(&mut self, now: Instant, client: bool) {
        self.machine = fresh(now, &self.identity, client);
        self.clock = now;
        self.machine_wake_at = now;
        self.flight.stop();
        self.give_up_at = None;
        self.shown = None;
        self.dead = false;
        self.failed = None;
        self.wake_at = Some(now);
    }

    /// ICE has a valid pair: the handshake begins.
    pub(super) fn start(&mut self, now: Instant) {
        self.valid_at.get_or_insert(now);
        self.handle_timeout(now);
    }

    /// The peer has answered the nomination. From here on a ClientHello of its own is due, if it is to send one.
    pub(super) fn expect_hello(&mut self, now: Instant, lite: bool) {
        if self.connected || self.heard_hello || self.machine.is_active() {
            return;
        }
        let soon = now + HELLO_GRACE;
        self.hello_at = match self.role {
            DtlsRole::Client => None,
            DtlsRole::Either => Some(soon),
            DtlsRole::Server if lite => Some(self.valid_at.map_or(soon, |at| soon.max(at + HEDGE_AFTER))),
            DtlsRole::Server => None,
        };
    }

    /// True once there are keys.
    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// True once we have sent a ClientHello although the peer was to send one.
    pub(super) fn is_role_hedged(&self) -> bool {
        self.hedged
    }

    /// Takes a DTLS datagram from a valid pair. Whatever is wrong with it is not an error of the association: anybody on
    /// the path can forge a plaintext alert.
    pub(super) fn handle_datagram(&mut self, now: Instant, bytes: &[u8]) -> Result<(), ()> {
        if self.dead {
            return Err(());
        }
        if is_client_hello(bytes) && self.machine.is_active() {
            // Both ends believe to be the client. If the peer answered `actpass`, or was to be the client, its ClientHello
            // settles it; else it is at fault, or forged, and must not reach a machine that would take it for the end of the
            // handshake.
            if self.connected || self.role == DtlsRole::Client {
                return Err(());
            }
            self.renew(now, false);
        }
        if is_client_hello(bytes) {
            self.heard_hello = true;
            self.hello_at = None;
        }
        if self.connected {
            // The last flight is asked for again (RFC 6347 4.2.4). The machine repeats it once in each of its intervals.
            self.let_machine_wake();
        }
        self.handle_timeout(now);
        let taken = self.machine.handle_packet(bytes);
        if taken.is_ok() && !self.answered && !self.connected {
            // The peer is there at last: from here on the handshake has its time.
            self.answered = true;
            self.restarts = 0;
            self.give_up_at = Some(now + HANDSHAKE_TIMEOUT);
        }
        self.wake_at = Some(now);
        taken.map_err(|error| tracing::debug!(%error, "DTLS datagram refused"))
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.dead {
            return;
        }
        if self.hello_at.is_some_and(|at| at <= now) {
            self.hello_at = None;
            if self.role == DtlsRole::Server {
                self.hedged = true;
                tracing::warn!("dtls_role_hedged: the peer is to send a ClientHello and has not; ours is sent");
            }
            self.machine.set_active(true);
        }
        if self.flight.take_due(now) {
            self.let_machine_wake();
        }
        let given_up = self.give_up_at.is_some_and(|at| at <= now);
        if (self.machine.handle_timeout(self.clock).is_err() || given_up) && !self.connected && self.failed.is_none() {
            if self.restarts < if self.answered { RESTARTS_MAX } else { UNANSWERED_RESTARTS_MAX } {
                self.restarts += 1;
                self.renew(now, self.machine.is_active());
            } else {
                self.failed = Some(LegFailure::DtlsFailed);
                self.dead = true;
            }
        }
    }

    /// Moves the machine's clock to its next deadline, if it has one of a flight: the end of the handshake is farther away.
    fn let_machine_wake(&mut self) {
        if self.machine_wake_at.saturating_duration_since(self.clock) < MACHINE_TIMEOUT / 2 {
            self.clock = self.clock.max(self.machine_wake_at);
        }
    }

    /// Notes a datagram that leaves.
    fn sent(&mut self, now: Instant, datagram: &[u8]) {
        if !self.connected {
            self.flight.sent(now, datagram);
            self.give_up_at.get_or_insert(now + HANDSHAKE_TIMEOUT);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.hello_at, self.flight.poll_timeout(), self.give_up_at].into_iter().fold(self.wake_at, soonest)
    }

    /// The next thing to do; a record is written to the front of `buf`.
    pub(super) fn poll_output(&mut self, now: Instant, buf: &mut [u8]) -> Option<DtlsOutput> {
        if self.dead {
            self.wake_at = None;
            self.hello_at = None;
            self.give_up_at = None;
            self.flight.stop();
            return self.failed.take().map(DtlsOutput::Failed);
        }
        loop {
            match self.machine.poll_output(buf) {
                Output::Packet(datagram) => {
                    let len = datagram.len();
                    self.sent(now, &buf[..len]);
                    return Some(DtlsOutput::Transmit(len));
                }
                Output::PeerCert(certificate) => {
                    self.shown = Some(certificate.to_vec());
                    if !self.is_expected() {
                        return self.die(LegFailure::FingerprintMismatch);
                    }
                }
                Output::KeyingMaterial(exported, profile) => {
                    if !self.is_expected() {
                        return self.die(LegFailure::FingerprintMismatch);
                    }
                    let exported = exported.as_ref();
                    let keys = srtp_profile(profile)
                        .and_then(|profile| KeyingMaterial::from_dtls(profile, exported, self.machine.is_active()));
                    let Some(keys) = keys else { return self.die(LegFailure::DtlsFailed) };
                    self.connected = true;
                    self.flight.stop();
                    self.give_up_at = None;
                    self.shown = None;
                    return Some(DtlsOutput::Keys(Box::new(keys)));
                }
                Output::CloseNotify => return Some(DtlsOutput::Failed(LegFailure::DtlsClosed)),
                // Keys were verified above; there is no application data in DTLS-SRTP.
                Output::Connected | Output::ApplicationData(_) => {}
                Output::Timeout(at) => {
                    self.machine_wake_at = at;
                    // It wants to be called at once, or by its own clock, which we move.
                    self.wake_at = (at <= self.clock).then_some(now);
                    return None;
                }
                // A record larger than the largest datagram we send cannot be one of ours.
                _ => return self.die(LegFailure::DtlsFailed),
            }
        }
    }

    fn is_expected(&self) -> bool {
        let both = self.expected.as_ref().zip(self.shown.as_deref());
        both.is_some_and(|(expected, shown)| matches(expected, shown))
    }

    /// Ends the handshake for good: the machine would go on, and say the same again.
    fn die(&mut self, reason: LegFailure) -> Option<DtlsOutput> {
        self.dead = true;
        Some(DtlsOutput::Failed(reason))
    }
}

impl std::fmt::Debug for Dtls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dtls").field("role", &self.role).field("connected", &self.connected).finish_non_exhaustive()
    }
}

fn fresh(now: Instant, identity: &DtlsIdentity, client: bool) -> Machine {
    let mut machine = Machine::new_12(identity.config.clone(), identity.certificate.clone(), now);
    machine.set_active(client);
    machine
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
