//! ICE and DTLS of one leg.

use std::sync::Arc;

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
            .flight_start_rto(std::time::Duration::from_millis(50))
            .build()
            .map_err(|e| IdentityError(e.to_string()))?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &certificate.certificate);
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest.as_ref());
        Ok(Self { certificate, config: Arc::new(config), fingerprint })
    }

    /// SHA-256 of the certificate, for `a=fingerprint`.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}
