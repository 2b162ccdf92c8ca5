//! The DTLS certificate of this process, and the settings of every association.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;

/// dimpl's clock is stopped (see [`super::dtls`]): these are its retransmit timers in a time of their own, which begins so
/// small that doubling stays within the ten years that a handshake may take.
const MACHINE_RTO: Duration = Duration::from_nanos(1);
const MACHINE_RETRIES: usize = 56;
pub(super) const MACHINE_TIMEOUT: Duration = Duration::from_secs(3_650 * 24 * 3_600);

/// The DTLS certificate of this process (ECDSA P-256, self-signed) and the settings of its associations. Made once per
/// process and shared by every leg.
#[derive(Clone)]
pub struct DtlsIdentity {
    pub(super) certificate: dimpl::DtlsCertificate,
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
    /// Makes a new self-signed certificate. Draws from the entropy of the crypto library, so only the edge calls it:
    /// docs/decisions/0011.
    ///
    /// # Errors
    /// If the crypto library makes no key or no certificate, or refuses the settings.
    #[expect(clippy::disallowed_methods, reason = "the one place that makes a certificate; only the edge calls it")]
    pub fn generate() -> Result<Self, IdentityError> {
        let certificate =
            dimpl::certificate::generate_self_signed_certificate().map_err(|e| IdentityError(e.to_string()))?;
        config(0).map_err(|e| IdentityError(e.to_string()))?;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest::digest(&digest::SHA256, &certificate.certificate).as_ref());
        Ok(Self { certificate, fingerprint })
    }

    /// The settings of one association. With the same `seed` and at the same instant its ClientHello is the same.
    ///
    /// The seed makes the random fields of hellos and the explicit nonces, which are public. Keys and signatures are drawn from the
    /// crypto library whatever it is.
    pub(super) fn config(&self, seed: u64) -> Arc<dimpl::Config> {
        Arc::new(config(seed).expect("the same settings as in DtlsIdentity::generate"))
    }

    /// SHA-256 of the certificate, for `a=fingerprint` (RFC 8122 section 5).
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}

fn config(seed: u64) -> Result<dimpl::Config, dimpl::Error> {
    dimpl::Config::builder()
        // ICE proves that the peer can be reached before DTLS starts; a cookie would cost one more round trip.
        .use_server_cookie(false)
        .flight_start_rto(MACHINE_RTO)
        .flight_retries(MACHINE_RETRIES)
        .handshake_timeout(MACHINE_TIMEOUT)
        .dangerously_set_rng_seed(seed)
        .build()
}
