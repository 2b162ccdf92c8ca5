//! One end of a call: WhatsApp's or a phone's, with all that is its own.

use std::net::SocketAddrV4;
use std::sync::Arc;

use trestle_srtp::KeyingMaterial;

use super::leg::{MediaReceiver, MediaSender};
use super::pace::Ns;
use super::sdp::{EngineSdp, Ours, SUITE};
use super::speech::SpeechLoop;
use super::whatsapp::{LoadCertificate, WhatsApp};
use super::workload::{LoadCodec, NgStyle, SideSecurity, Workload};

/// The state of a leg.
#[derive(Debug, Clone, Copy)]
pub struct EndAddress {
    /// The socket it uses.
    pub socket: usize,
    /// That socket's address.
    pub address: SocketAddrV4,
}

/// What a run needs.
#[derive(Debug, Clone)]
pub struct Setting {
    /// What the calls are.
    pub work: Workload,
    /// How the engine is spoken to.
    pub manner: NgStyle,
    /// Number of the socket for ng, and the engine's address.
    pub ng: (usize, SocketAddrV4),
    /// Where RTCP is wanted that does not come with the media.
    pub rtcp_port: u16,
    /// Two for each call.
    pub places: Vec<EndAddress>,
    /// Opus and PCMA.
    pub speech: [Arc<SpeechLoop>; 2],
    /// WhatsApp's certificate.
    pub identity: LoadCertificate,
    /// Makes call-ids, keys and SSRCs differ from those of other runs.
    pub seed: u64,
    /// Calls are deleted so long after they came up; `None` if they stay.
    pub hold_ns: Option<Ns>,
}

/// One end of one call.
#[derive(Debug)]
pub struct CallEnd {
    /// The engine's media address, once it is known.
    pub remote: Option<SocketAddrV4>,
    /// How its media is secured.
    pub security: SideSecurity,
    /// Its own key, if keys come from the SDP.
    pub key: KeyingMaterial,
    /// What it sends.
    pub out: MediaSender,
    /// The received stream.
    pub incoming: MediaReceiver,
    /// Its handshakes, if it is WhatsApp.
    pub whatsapp: Option<Box<WhatsApp>>,
}

impl CallEnd {
    /// The end number `number`: even ones offer, odd ones answer.
    pub fn new(setting: &Setting, number: usize) -> Self {
        let side = setting.work.sides()[number % 2];
        let secret = mix(setting.seed, number as u64);
        let mut bytes = [0; 32];
        for (n, chunk) in bytes.chunks_exact_mut(8).enumerate() {
            chunk.copy_from_slice(&mix(secret, n as u64 + 1).to_be_bytes());
        }
        let key =
            KeyingMaterial::from_key_and_salt(SUITE, &bytes[..30]).expect("30 bytes are the suite's key and salt");
        let speech = match side.codec {
            LoadCodec::Opus => &setting.speech[0],
            LoadCodec::Pcma => &setting.speech[1],
        };
        let webrtc = side.security == SideSecurity::Dtls;
        Self {
            remote: None,
            security: side.security,
            key,
            out: MediaSender {
                speech: Arc::clone(speech),
                // Not all say the same at once.
                offset: (number * 37) as u64,
                codec: side.codec,
                pt: side.codec.pt(),
                ssrc: secret as u32 | 1,
                srtp: None,
                marked: !setting.work.transcodes(),
                first: None,
            },
            incoming: MediaReceiver::new(side.codec),
            whatsapp: webrtc.then(|| Box::new(WhatsApp::new(&setting.identity, number as u64 / 2, secret))),
        }
    }

    /// Its description: an offer, or the answer to `theirs`.
    pub fn describe(&self, setting: &Setting, number: usize, theirs: Option<&EngineSdp>) -> String {
        let tag = theirs.and_then(|theirs| theirs.key.as_ref()).map_or(1, |(tag, _)| *tag);
        let ice = self.whatsapp.as_ref();
        let ours = Ours {
            address: setting.places[number].address,
            rtcp_port: setting.rtcp_port,
            security: self.security,
            codec: (self.out.codec, theirs.map_or(self.out.pt, |theirs| theirs.pt)),
            event_pt: theirs.and_then(|theirs| theirs.event_pt),
            key: (self.security == SideSecurity::Sdes).then_some((tag, &self.key)),
            ice: ice.map(|ice| (ice.ufrag.as_str(), ice.pwd.as_str(), setting.identity.fingerprint())),
            ssrc: self.out.ssrc,
        };
        ours.write()
    }
}

/// One number of many from a seed (splitmix64). Keys of a load protect nothing.
fn mix(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
