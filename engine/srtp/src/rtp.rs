//! SRTP packets (RFC 3711 3.1, RFC 7714 8).
//!
//! ```text
//! AES-CM   header | encrypted payload | MKI | tag       tag over header, encrypted payload and ROC
//! AES-GCM  header | encrypted payload | tag | MKI       tag over header and payload
//! ```
//! The header, with CSRCs and extension, is not encrypted.

use trestle_wire::rtp::{header_len, read_header};

use crate::cipher::{Cipher, Gcm};
use trestle_wire::Ssrc;

use crate::context::{PACKET_BYTES_MAX, ProtectError, SrtpContext, UnprotectError, Unprotected};
use crate::index::roc;

/// GCM cannot authenticate a packet without decrypting it, so a guess of the index that may be wrong decrypts to here. For
/// packets longer than this, one guess is made.
const SCRATCH_BYTES: usize = 2_048;

impl SrtpContext {
    /// Protects the RTP packet `buf[..len]` in place; returns the length of the SRTP packet. `buf` needs
    /// [`crate::OVERHEAD_MAX`] spare bytes after the packet. The sequence number in the header determines the index.
    ///
    /// # Errors
    /// [`ProtectError`]; nothing may be sent then, whatever `buf` contains.
    pub fn protect_rtp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, ProtectError> {
        let packet = buf.get(..len).ok_or(ProtectError::Malformed)?;
        let end = len + self.profile.rtp_tag_len();
        let header = read_header(packet).map_err(|_| ProtectError::Malformed)?;
        let payload_start = header_len(packet).map_err(|_| ProtectError::Malformed)?;
        if end > buf.len() || end > PACKET_BYTES_MAX {
            return Err(ProtectError::Malformed);
        }

        let index = self.take_rtp_index(header.ssrc, header.seq)?;
        match &self.rtp {
            Cipher::Cm(cm) => {
                cm.apply(header.ssrc, index, &mut buf[payload_start..len]);
                let tag = cm.sign([&buf[..len], &roc(index).to_be_bytes()]);
                buf[len..end].copy_from_slice(&tag.as_ref()[..end - len]);
            }
            Cipher::Gcm(gcm) => {
                let (aad, payload) = buf[..len].split_at_mut(payload_start);
                let tag = gcm.seal(header.ssrc, index, aad, payload);
                buf[len..end].copy_from_slice(&tag);
            }
        }
        Ok(end)
    }

    /// Authenticates and decrypts an SRTP packet in place; the RTP packet is then at its start.
    ///
    /// # Errors
    /// [`UnprotectError`]; the packet's content must not be used then, and nothing in the context has changed.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<Unprotected, UnprotectError> {
        let trailer_len = self.profile.rtp_tag_len() + self.mki_len;
        let len = packet.len().checked_sub(trailer_len).ok_or(UnprotectError::Malformed)?;
        let header = read_header(&packet[..len]).map_err(|_| UnprotectError::Malformed)?;
        let payload_start = header_len(&packet[..len]).map_err(|_| UnprotectError::Malformed)?;
        if packet.len() > PACKET_BYTES_MAX {
            return Err(UnprotectError::Malformed);
        }

        let candidates = self.rtp_candidates(header.ssrc, header.seq)?;
        let (body, trailer) = packet.split_at_mut(len);
        let index = match &self.rtp {
            Cipher::Cm(cm) => {
                let tag = &trailer[self.mki_len..];
                let index = candidates.into_iter().find(|index| cm.verify([body, &roc(*index).to_be_bytes()], tag));
                let index = index.ok_or(UnprotectError::AuthFailed)?;
                cm.apply(header.ssrc, index, &mut body[payload_start..]);
                index
            }
            Cipher::Gcm(gcm) => {
                let tag = &trailer[..self.profile.rtp_tag_len()];
                let (aad, payload) = body.split_at_mut(payload_start);
                let index = match candidates.as_slice() {
                    [only] => *only,
                    several => {
                        let proved = several.iter().find(|index| proves(gcm, header.ssrc, **index, aad, tag, payload));
                        // None if the packet is too long to try, or not authentic under this index: the last attempt returns the error.
                        *proved.or(several.first()).ok_or(UnprotectError::AuthFailed)?
                    }
                };
                if !gcm.open(header.ssrc, index, aad, tag, payload) {
                    return Err(UnprotectError::AuthFailed);
                }
                index
            }
        };
        let is_newest = self.streams.commit_rtp(header.ssrc, index);
        Ok(Unprotected { len, ssrc: header.ssrc, index, is_newest })
    }

    /// SSRC and index of an SRTP packet that [`SrtpContext::unprotect_rtp`] has refused as a replay, if it is a true copy of a
    /// packet within the replay window. Nothing changes. `None` also for a packet too long to authenticate here.
    pub fn replayed_rtp(&self, packet: &[u8]) -> Option<(Ssrc, u64)> {
        let trailer_len = self.profile.rtp_tag_len() + self.mki_len;
        let (body, trailer) = packet.split_at_checked(packet.len().checked_sub(trailer_len)?)?;
        let header = read_header(body).ok()?;
        let payload_start = header_len(body).ok()?;
        let index = self.streams.replayed_rtp_index(header.ssrc, header.seq)?;
        let is_authentic = match &self.rtp {
            Cipher::Cm(cm) => cm.verify([body, &roc(index).to_be_bytes()], &trailer[self.mki_len..]),
            Cipher::Gcm(gcm) => {
                let (aad, payload) = body.split_at(payload_start);
                proves(gcm, header.ssrc, index, aad, &trailer[..self.profile.rtp_tag_len()], payload)
            }
        };
        is_authentic.then_some((header.ssrc, index))
    }
}

/// True if `payload` is authentic under `index`; `payload` does not change.
pub(crate) fn proves(gcm: &Gcm, ssrc: Ssrc, index: u64, aad: &[u8], tag: &[u8], payload: &[u8]) -> bool {
    let mut scratch = zeroize::Zeroizing::new([0; SCRATCH_BYTES]);
    gcm.verify(ssrc, index, aad, tag, payload, scratch.as_mut())
}
