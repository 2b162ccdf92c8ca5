//! SRTCP packets (RFC 3711 3.4, RFC 7714 9).
//!
//! ```text
//! AES-CM   8 bytes | encrypted rest | E + index | MKI | tag       tag over all before the MKI
//! AES-GCM  8 bytes | encrypted rest | tag | E + index | MKI       tag over all but the MKI
//! ```
//! The first 8 bytes of the compound packet, up to the sender's SSRC, are not encrypted.
//!
//! The E flag means "encrypted". It is always set in sent packets and required in received ones: `UNENCRYPTED_SRTCP`
//! is never agreed to, so a cleared flag is an error or an attack, and must not switch encryption off.

use trestle_wire::Ssrc;

use crate::cipher::{Cipher, GCM_TAG_LEN};
use crate::context::{PACKET_BYTES_MAX, ProtectError, SrtpContext, UnprotectError, Unprotected};
use crate::rtp::proves;

/// Bytes without encryption: the first header and the sender's SSRC.
const CLEAR_LEN: usize = 8;

/// Bytes of the E flag and index.
const INDEX_LEN: usize = 4;

const E_FLAG: u32 = 1 << 31;

impl SrtpContext {
    /// Protects the compound RTCP packet `buf[..len]` in place; returns the length of the SRTCP packet. `buf` needs
    /// [`crate::OVERHEAD_MAX`] spare bytes after the packet.
    ///
    /// # Errors
    /// [`ProtectError`]; nothing may be sent then.
    pub fn protect_rtcp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, ProtectError> {
        let ssrc = buf.get(..len).and_then(sender).ok_or(ProtectError::Malformed)?;
        let end = len + INDEX_LEN + self.profile.rtcp_tag_len();
        if end > buf.len() || end > PACKET_BYTES_MAX {
            return Err(ProtectError::Malformed);
        }

        let index = self.take_rtcp_index()?;
        let word = (E_FLAG | index).to_be_bytes();
        let (packet, trailer) = buf[..end].split_at_mut(len);
        let (clear, secret) = packet.split_at_mut(CLEAR_LEN);
        match &self.rtcp {
            Cipher::Cm(cm) => {
                cm.apply(ssrc, u64::from(index), secret);
                let tag = cm.sign([packet, &word]);
                let (word_out, tag_out) = trailer.split_at_mut(INDEX_LEN);
                word_out.copy_from_slice(&word);
                tag_out.copy_from_slice(&tag.as_ref()[..tag_out.len()]);
            }
            Cipher::Gcm(gcm) => {
                let tag = gcm.seal(ssrc, u64::from(index), &aad(clear, word), secret);
                let (tag_out, word_out) = trailer.split_at_mut(GCM_TAG_LEN);
                tag_out.copy_from_slice(&tag);
                word_out.copy_from_slice(&word);
            }
        }
        Ok(end)
    }

    /// Authenticates and decrypts an SRTCP packet in place; the RTCP packet is then at its start.
    ///
    /// # Errors
    /// [`UnprotectError`]; the packet's content must not be used then, and nothing in the context has changed.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<Unprotected, UnprotectError> {
        let trailer_len = INDEX_LEN + self.profile.rtcp_tag_len() + self.mki_len;
        let len = packet.len().checked_sub(trailer_len).ok_or(UnprotectError::Malformed)?;
        let ssrc = sender(&packet[..len]).ok_or(UnprotectError::Malformed)?;
        if packet.len() > PACKET_BYTES_MAX {
            return Err(UnprotectError::Malformed);
        }

        let (body, trailer) = packet.split_at_mut(len);
        let (word, tag) = read_trailer(&self.rtcp, self.mki_len, trailer);
        let index = index(word).ok_or(UnprotectError::Malformed)?;
        self.streams.check_rtcp(ssrc, index)?;

        match &self.rtcp {
            Cipher::Cm(cm) => {
                if !cm.verify([body, &word], tag) {
                    return Err(UnprotectError::AuthFailed);
                }
                cm.apply(ssrc, u64::from(index), &mut body[CLEAR_LEN..]);
            }
            Cipher::Gcm(gcm) => {
                let (clear, secret) = body.split_at_mut(CLEAR_LEN);
                if !gcm.open(ssrc, u64::from(index), &aad(clear, word), tag, secret) {
                    return Err(UnprotectError::AuthFailed);
                }
            }
        }
        let is_newest = self.streams.commit_rtcp(ssrc, index);
        Ok(Unprotected { len, ssrc, index: u64::from(index), is_newest })
    }

    /// SSRC and index of an SRTCP packet that [`SrtpContext::unprotect_rtcp`] has refused as a replay, if it is a true copy of a
    /// packet within the replay window. Nothing changes.
    pub fn replayed_rtcp(&self, packet: &[u8]) -> Option<(Ssrc, u64)> {
        let trailer_len = INDEX_LEN + self.profile.rtcp_tag_len() + self.mki_len;
        let (body, trailer) = packet.split_at_checked(packet.len().checked_sub(trailer_len)?)?;
        let ssrc = sender(body)?;
        let (word, tag) = read_trailer(&self.rtcp, self.mki_len, trailer);
        let index = index(word).filter(|index| self.streams.is_replayed_rtcp(ssrc, *index))?;
        let is_authentic = match &self.rtcp {
            Cipher::Cm(cm) => cm.verify([body, &word], tag),
            Cipher::Gcm(gcm) => {
                let (clear, secret) = body.split_at(CLEAR_LEN);
                proves(gcm, ssrc, u64::from(index), &aad(clear, word), tag, secret)
            }
        };
        is_authentic.then_some((ssrc, u64::from(index)))
    }
}

/// The word with E flag and index, and the tag.
fn read_trailer<'a>(cipher: &Cipher, mki_len: usize, trailer: &'a [u8]) -> ([u8; INDEX_LEN], &'a [u8]) {
    let (word, tag) = match cipher {
        Cipher::Cm(_) => {
            let (word, rest) = trailer.split_at(INDEX_LEN);
            (word, &rest[mki_len..])
        }
        Cipher::Gcm(_) => {
            let (tag, rest) = trailer.split_at(GCM_TAG_LEN);
            (&rest[..INDEX_LEN], tag)
        }
    };
    ([word[0], word[1], word[2], word[3]], tag)
}

/// The index in the word before or behind the tag; `None` if the packet is not encrypted.
fn index(word: [u8; INDEX_LEN]) -> Option<u32> {
    let value = u32::from_be_bytes(word);
    (value & E_FLAG != 0).then_some(value & !E_FLAG)
}

/// The SSRC of the sender of a compound packet; `None` if it is not RTCP.
fn sender(packet: &[u8]) -> Option<Ssrc> {
    let clear: &[u8; CLEAR_LEN] = packet.first_chunk()?;
    (clear[0] >> 6 == 2).then(|| Ssrc(u32::from_be_bytes([clear[4], clear[5], clear[6], clear[7]])))
}

/// What GCM authenticates without encrypting (RFC 7714 9.2).
fn aad(clear: &[u8], word: [u8; INDEX_LEN]) -> [u8; CLEAR_LEN + INDEX_LEN] {
    let mut aad = [0; CLEAR_LEN + INDEX_LEN];
    aad[..CLEAR_LEN].copy_from_slice(clear);
    aad[CLEAR_LEN..].copy_from_slice(&word);
    aad
}
