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
    pub(super) config: Arc<dimpl::Config>,
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

    /// SHA-256 of the certificate, for `a=fingerprint` (RFC 8122 section 5).
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}
