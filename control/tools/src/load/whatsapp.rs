//! WhatsApp's end of a WebRTC leg at the least cost: an ICE-lite agent that answers every check (RFC 8445 section 2.5), and
//! DTLS (RFC 6347) until it has given the SRTP keys (RFC 5764). It does not check the engine; `trestle meta-sim` does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use aws_lc_rs::{digest, hmac};
use dimpl::{Dtls, Output, SrtpProfile};
use trestle_srtp::{KeyingMaterial, Profile};
use trestle_wire::demux::DatagramKind;
use trestle_wire::stun::{Class, Head};

use super::pace::Ns;

/// First repeat of a lost flight.
const FLIGHT_RTO: Duration = Duration::from_millis(100);
const RECORD_BYTES_MAX: usize = 2_048;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USERNAME: u16 = 0x0006;

/// One certificate (ECDSA P-256) for all calls.
#[derive(Clone)]
pub struct LoadCertificate {
    certificate: dimpl::DtlsCertificate,
    config: Arc<dimpl::Config>,
    fingerprint: Arc<str>,
}

impl LoadCertificate {
    /// A fresh one.
    ///
    /// # Errors
    /// The crypto library refuses.
    pub fn generate() -> anyhow::Result<Self> {
        let certificate = dimpl::certificate::generate_self_signed_certificate()
            .map_err(|error| anyhow!("no certificate: {error}"))?;
        let config = dimpl::Config::builder()
            .use_server_cookie(false)
            .flight_start_rto(FLIGHT_RTO)
            .build()
            .map_err(|error| anyhow!("no DTLS: {error}"))?;
        let digest = digest::digest(&digest::SHA256, &certificate.certificate);
        let pairs: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        Ok(Self { certificate, config: Arc::new(config), fingerprint: pairs.join(":").into() })
    }

    /// For `a=fingerprint:sha-256`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl std::fmt::Debug for LoadCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// The SRTP keys of a leg: for sending, for receiving.
pub type Keys = (KeyingMaterial, KeyingMaterial);

/// One leg.
pub struct WhatsApp {
    /// `a=ice-ufrag`.
    pub ufrag: String,
    /// `a=ice-pwd`.
    pub pwd: String,
    identity: LoadCertificate,
    dtls: Option<Box<Dtls>>,
    /// The random of the ClientHello that the handshake began with. Some engines start anew once they have the answer.
    hello: Option<[u8; 32]>,
    connected: bool,
    wake_at: Option<Instant>,
}

impl std::fmt::Debug for WhatsApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WhatsApp")
            .field("ufrag", &self.ufrag)
            .field("connected", &self.connected)
            .finish_non_exhaustive()
    }
}

impl WhatsApp {
    /// A leg of call number `call`; `secret` makes the password.
    pub fn new(identity: &LoadCertificate, call: u64, secret: u64) -> Self {
        Self {
            ufrag: format!("load{call:08x}"),
            pwd: format!("{secret:016x}{call:016x}"),
            identity: identity.clone(),
            dtls: None,
            hello: None,
            connected: false,
            wake_at: None,
        }
    }

    /// The engine's answer is there; `client` if we are to send the ClientHello.
    pub fn start(&mut self, now: Instant, client: bool) {
        if client {
            self.dtls = Some(self.machine(now, true));
            self.wake_at = Some(now);
        }
    }

    /// Takes a STUN or DTLS datagram. What is to be sent back goes to `out`.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: (u32, u16),
        bytes: &[u8],
        out: &mut Vec<Vec<u8>>,
    ) -> Option<Keys> {
        match DatagramKind::of(bytes) {
            Some(DatagramKind::Stun) => out.extend(self.answer_check(from, bytes)),
            Some(DatagramKind::Dtls) => return self.handle_dtls(now, bytes, out),
            _ => {}
        }
        None
    }

    /// Repeats what was lost.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) -> Option<Keys> {
        if self.wake_at.is_none_or(|at| at > now) {
            return None;
        }
        // A handshake that has failed shows in the call, which does not come up.
        let _: Result<(), dimpl::Error> = self.dtls.as_mut()?.handle_timeout(now);
        self.drain(out)
    }

    fn handle_dtls(&mut self, now: Instant, bytes: &[u8], out: &mut Vec<Vec<u8>>) -> Option<Keys> {
        if let Some(random) = client_hello(bytes)
            && !self.connected
            && self.hello != Some(random)
        {
            self.hello = Some(random);
            self.dtls = Some(self.machine(now, false));
        }
        let dtls = self.dtls.as_mut()?;
        let _: Result<(), dimpl::Error> = dtls.handle_timeout(now);
        // Whatever is wrong with it, the peer will send it again.
        let _: Result<(), dimpl::Error> = dtls.handle_packet(bytes);
        self.drain(out)
    }

    fn machine(&self, now: Instant, client: bool) -> Box<Dtls> {
        let mut machine = Dtls::new_12(Arc::clone(&self.identity.config), self.identity.certificate.clone(), now);
        machine.set_active(client);
        // The machine has to know the time before it is given anything.
        let _: Result<(), dimpl::Error> = machine.handle_timeout(now);
        Box::new(machine)
    }

    fn drain(&mut self, out: &mut Vec<Vec<u8>>) -> Option<Keys> {
        let dtls = self.dtls.as_mut()?;
        let mut keys = None;
        let mut buffer = [0; RECORD_BYTES_MAX];
        loop {
            match dtls.poll_output(&mut buffer) {
                Output::Packet(record) => out.push(record.to_vec()),
                Output::KeyingMaterial(exported, profile) => {
                    let profile = match profile {
                        SrtpProfile::AES128_CM_SHA1_80 => Profile::AesCm128HmacSha1_80,
                        SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
                        SrtpProfile::AEAD_AES_256_GCM => Profile::AeadAes256Gcm,
                        _ => continue,
                    };
                    keys = KeyingMaterial::from_dtls(profile, exported.as_ref(), dtls.is_active());
                    self.connected = keys.is_some();
                }
                Output::Timeout(at) => {
                    self.wake_at = Some(at).filter(|_| !self.connected);
                    return keys;
                }
                Output::Connected | Output::PeerCert(_) | Output::ApplicationData(_) => {}
                _ => return keys,
            }
        }
    }

    /// A success response (RFC 8489 section 6.3.1); `None` for anything but a check.
    fn answer_check(&self, (ip, port): (u32, u16), request: &[u8]) -> Option<Vec<u8>> {
        let head = Head::parse(request).ok().filter(|head| head.class == Class::Request)?;
        let mut response = Vec::with_capacity(64);
        response.extend_from_slice(&[0x01, 0x01, 0, 0]);
        response.extend_from_slice(&MAGIC_COOKIE);
        response.extend_from_slice(&head.transaction.0);
        // XOR-MAPPED-ADDRESS: family 1, port and address each XORed with the cookie (RFC 8489 section 14.2).
        response.extend_from_slice(&[0x00, 0x20, 0, 8, 0, 1]);
        response.extend_from_slice(&(port ^ 0x2112).to_be_bytes());
        response.extend_from_slice(&(ip ^ u32::from_be_bytes(MAGIC_COOKIE)).to_be_bytes());
        // MESSAGE-INTEGRITY covers a length that includes itself (RFC 8489 section 14.5), FINGERPRINT likewise.
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.pwd.as_bytes());
        set_length(&mut response, 24);
        let tag = hmac::sign(&key, &response);
        response.extend_from_slice(&[0x00, 0x08, 0, 20]);
        response.extend_from_slice(tag.as_ref());
        set_length(&mut response, 8);
        let crc = crc32(&response) ^ 0x5354_554e;
        response.extend_from_slice(&[0x80, 0x28, 0, 4]);
        response.extend_from_slice(&crc.to_be_bytes());
        Some(response)
    }
}

/// The ufrag that a check is addressed to: the first half of its USERNAME (RFC 8445 section 7.2.2).
pub fn wanted_ufrag(datagram: &[u8]) -> Option<&str> {
    let mut attributes = datagram.get(20..)?;
    while let Some((head, rest)) = attributes.split_first_chunk::<4>() {
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if u16::from_be_bytes([head[0], head[1]]) == USERNAME {
            return std::str::from_utf8(rest.get(..len)?).ok()?.split(':').next();
        }
        attributes = rest.get(len.next_multiple_of(4)..)?;
    }
    None
}

/// Writes the length as it will be with `more` bytes of attributes.
fn set_length(message: &mut [u8], more: usize) {
    let length = (message.len() - 20 + more) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

/// The random of a ClientHello: handshake (22), type 1 (RFC 6347 sections 4.1 and 4.3.2).
fn client_hello(record: &[u8]) -> Option<[u8; 32]> {
    let is = record.first() == Some(&22) && record.get(13) == Some(&1);
    is.then(|| record.get(27..59)?.try_into().ok())?
}

/// As in ITU-T V.42 (RFC 8489 section 14.7).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// When, for machines that know the system's own monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// On the clock of the load.
    pub ns: Ns,
    /// On the machines' own.
    pub instant: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ufrag: &str) -> Vec<u8> {
        let mut request = vec![0, 1, 0, 0];
        request.extend_from_slice(&MAGIC_COOKIE);
        request.extend_from_slice(&[9; 12]);
        let name = format!("{ufrag}:them");
        request.extend_from_slice(&[0, 6, 0, name.len() as u8]);
        request.extend_from_slice(name.as_bytes());
        request.resize(request.len().next_multiple_of(4), 0);
        set_length(&mut request, 0);
        request
    }

    #[test]
    fn a_check_is_answered_with_where_it_came_from_under_our_password() {
        let leg = WhatsApp::new(&LoadCertificate::generate().unwrap(), 0x1f, 5);
        let request = check(&leg.ufrag);
        assert_eq!(wanted_ufrag(&request), Some("load0000001f"));
        let response = leg.answer_check((0x7f00_0001, 30_000), &request).unwrap();
        let head = Head::parse(&response).unwrap();
        assert_eq!((head.class, head.transaction.0), (Class::Success, [9; 12]));
        let mapped: Vec<u8> =
            response[26..32].iter().zip([0x21, 0x12, 0x21, 0x12, 0xa4, 0x42]).map(|(a, b)| a ^ b).collect();
        assert_eq!(mapped, [&30_000u16.to_be_bytes()[..], &[127, 0, 0, 1]].concat());
        // MESSAGE-INTEGRITY is computed as if the message ended with it, FINGERPRINT over everything before.
        let (mut signed, crc) = (response[..32].to_vec(), &response[60..]);
        set_length(&mut signed, 24);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, leg.pwd.as_bytes());
        assert!(hmac::verify(&key, &signed, &response[36..56]).is_ok());
        assert_eq!(crc, (crc32(&response[..56]) ^ 0x5354_554e).to_be_bytes());
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert!(leg.answer_check((0, 0), &response).is_none(), "an answer is no check");
    }

    #[test]
    fn a_check_without_a_user_name_is_ignored() {
        assert_eq!(wanted_ufrag(&check("a")[..20]), None);
        assert_eq!(wanted_ufrag(&[0; 3]), None);
        let mut lying = check("a");
        lying[23] = 200;
        assert_eq!(wanted_ufrag(&lying), None);
    }

    #[test]
    fn a_handshake_gives_both_the_same_keys_even_if_the_client_begins_anew() {
        #[allow(clippy::disallowed_methods, reason = "a test has to begin some time")]
        let now = Instant::now();
        let identity = LoadCertificate::generate().unwrap();
        let mut server = WhatsApp::new(&identity, 1, 1);
        let hello = |client: &mut WhatsApp| {
            let mut out = Vec::new();
            client.start(now, true);
            assert!(client.handle_timeout(now, &mut out).is_none());
            out
        };
        // A client that is gone, and its ClientHello with it.
        let early = hello(&mut WhatsApp::new(&identity, 2, 2));
        assert!(!early.is_empty());
        for record in &early {
            server.handle_datagram(now, (0, 0), record, &mut Vec::new());
        }
        let mut client = WhatsApp::new(&identity, 3, 3);
        let mut to_server = hello(&mut client);
        let (mut ours, mut theirs) = (None, None);
        for _ in 0..10 {
            let mut to_client = Vec::new();
            for record in std::mem::take(&mut to_server) {
                ours = server.handle_datagram(now, (0, 0), &record, &mut to_client).or(ours);
            }
            for record in to_client {
                theirs = client.handle_datagram(now, (0, 0), &record, &mut to_server).or(theirs);
            }
        }
        let ((sends, receives), (sent, received)) = (ours.unwrap(), theirs.unwrap());
        assert!(sends == received && receives == sent && sends != receives);
    }
}
