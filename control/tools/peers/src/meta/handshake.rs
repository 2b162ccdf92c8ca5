//! DTLS of the fake Meta: str0m's own, but its resend times are drawn alike in every run. The only file that names dimpl.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use str0m::crypto::dtls::{
    DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion,
};
use str0m::crypto::{CryptoError, CryptoProvider, from_feature_flags};

/// What str0m is to use: everything as always, but [`SeededDtls`].
pub(super) fn crypto() -> CryptoProvider {
    CryptoProvider { dtls_provider: &SeededDtls, ..from_feature_flags() }
}

/// A handshake that loses the same datagrams takes the same time in every run.
#[derive(Debug)]
struct SeededDtls;

/// Any number; keys do not come from it.
const SEED: u64 = 20;

/// Checking a configuration takes longer than a handshake: it is made once.
static CONFIG: OnceLock<Arc<dimpl::Config>> = OnceLock::new();

fn config() -> Result<Arc<dimpl::Config>, CryptoError> {
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let built = dimpl::Config::builder().use_server_cookie(false).dangerously_set_rng_seed(SEED).build();
    let config = Arc::new(built.map_err(|error| CryptoError::Other(error.to_string()))?);
    Ok(Arc::clone(CONFIG.get_or_init(|| config)))
}

impl DtlsProvider for SeededDtls {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        _version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let certificate =
            dimpl::DtlsCertificate { certificate: cert.certificate.clone(), private_key: cert.private_key.clone() };
        Ok(Box::new(Seeded(dimpl::Dtls::new_12(config()?, certificate, now))))
    }
}

struct Seeded(dimpl::Dtls);

impl std::fmt::Debug for Seeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seeded")
    }
}

impl DtlsInstance for Seeded {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buf)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
