//! One direction of a secured leg.

use trestle_wire::Ssrc;

use crate::KeyingMaterial;

/// One direction of a secured leg.
pub struct Context {
    material: KeyingMaterial,
    mki_len: usize,
}

/// Why a packet was not protected. Nothing may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtectError {
    /// Not an RTP or RTCP packet, or no room for the tag behind it.
    #[error("not a packet, or no room for its tag")]
    Malformed,
    /// The index was used under this key before (RFC 3711 9.1): encrypting again would reveal both payloads.
    #[error("packet index was used before")]
    IndexReused,
    /// 2^48 SRTP or 2^31 SRTCP packets were protected (RFC 3711 9.2). A new key is needed.
    #[error("all packet indices of this key are used up")]
    KeyExhausted,
    /// More streams than one direction may carry.
    #[error("too many SSRCs")]
    TooManySsrcs,
}

/// Why a packet was not believed. It goes no further, and nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnprotectError {
    /// Not an SRTP or SRTCP packet.
    #[error("not an SRTP packet")]
    Malformed,
    /// The tag is wrong.
    #[error("authentication failed")]
    AuthFailed,
    /// The index was seen before, or is older than the replay window.
    #[error("replayed")]
    Replay,
    /// Authentic, but of one stream more than one direction may carry.
    #[error("too many SSRCs")]
    TooManySsrcs,
}

impl Context {
    /// A context for one direction.
    pub fn new(material: &KeyingMaterial) -> Self {
        Self { material: material.clone(), mki_len: 0 }
    }

    /// Takes packets with a master key identifier of `mki_len` bytes before the tag (RFC 3711 3.1).
    pub fn with_mki_len(mut self, mki_len: usize) -> Self {
        self.mki_len = mki_len;
        self
    }

    /// Protects the RTP packet `buf[..len]` in place and gives the length of the SRTP packet.
    pub fn protect_rtp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, ProtectError> {
        let _ = (buf, len, &self.material, self.mki_len);
        Err(ProtectError::Malformed)
    }

    /// Authenticates and decrypts an SRTP packet in place and gives the length of the RTP packet.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, UnprotectError> {
        let _ = packet;
        Err(UnprotectError::Malformed)
    }

    /// Protects the compound RTCP packet `buf[..len]` in place and gives the length of the SRTCP packet.
    pub fn protect_rtcp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, ProtectError> {
        let _ = (buf, len);
        Err(ProtectError::Malformed)
    }

    /// Authenticates and decrypts an SRTCP packet in place and gives the length of the RTCP packet.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, UnprotectError> {
        let _ = packet;
        Err(UnprotectError::Malformed)
    }

    /// The highest SRTP index of `ssrc` so far.
    pub fn rtp_index(&self, ssrc: Ssrc) -> Option<u64> {
        let _ = ssrc;
        None
    }

    /// Continues `ssrc` after `index`.
    pub fn set_rtp_index(&mut self, ssrc: Ssrc, index: u64) {
        let _ = (ssrc, index);
    }

    /// The next SRTCP index to send.
    pub fn srtcp_index(&self) -> u32 {
        0
    }

    /// Continues sending SRTCP at `index`.
    pub fn set_srtcp_index(&mut self, index: u32) {
        let _ = index;
    }
}
