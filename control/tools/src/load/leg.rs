//! The two RTP streams of a leg: it sends the payloads of a [`SpeechLoop`] again and again, and identifies the packets that it
//! receives.

use std::sync::Arc;

use trestle_srtp::{KeyingMaterial, OVERHEAD_MAX, SrtpContext};
use trestle_wire::rtp::{Header, Pt, RtpPacket, Ssrc};
use trestle_wire::{RtpTime, Seq};

use super::arrivals::Window;
use super::speech::SpeechLoop;
use super::workload::LoadCodec;

/// A mark, in each payload that is to be forwarded: these four bytes, the number of the sending leg and the number of the frame (both
/// 32 bits, big-endian).
const MAGIC: [u8; 4] = *b"Tmk1";
const MARK_BYTES: usize = 12;
/// Bytes of a buffer for one packet. No packet of the load is longer.
pub const PACKET_ROOM: usize = 512;

/// The stream that a leg sends.
#[derive(Debug)]
pub struct MediaSender {
    /// The payloads, encoded with `codec`.
    pub speech: Arc<SpeechLoop>,
    /// The first frame of `speech` that is sent.
    pub offset: u64,
    /// Codec of the stream.
    pub codec: LoadCodec,
    /// Payload type of the audio.
    pub pt: u8,
    /// SSRC of the stream.
    pub ssrc: u32,
    /// Encrypts the packets; `None` for plain RTP, and until the keys are known.
    pub srtp: Option<SrtpContext>,
    /// True if each payload has a mark. Only payloads that are forwarded can have one; transcoding would destroy it.
    pub marked: bool,
    /// Number of the first frame that was sent; `None` before that.
    pub first: Option<u64>,
}

impl MediaSender {
    /// Writes the packet of frame `frame` of leg `leg` to `buf`. Returns its length, or `None` if it does not fit or cannot be encrypted.
    pub fn write(&mut self, leg: usize, frame: u64, buf: &mut [u8]) -> Option<usize> {
        let marker = self.first.is_none();
        let n = frame - *self.first.get_or_insert(frame);
        let header = Header {
            marker,
            pt: Pt::new(self.pt)?,
            seq: Seq(n as u16),
            time: RtpTime((n as u32).wrapping_mul(self.codec.frame_ticks())),
            ssrc: Ssrc(self.ssrc),
        };
        buf[..Header::LEN].copy_from_slice(&header.write());
        let payload = self.speech.frame(self.offset + n);
        let mut end = Header::LEN + payload.len();
        buf.get_mut(Header::LEN..end)?.copy_from_slice(payload);
        if self.marked {
            // The mark replaces the end of the payload: the first bytes of an Opus packet must stay valid, the rest is not decoded.
            let at = (end - MARK_BYTES.min(payload.len())).max(Header::LEN + 4);
            end = end.max(at + MARK_BYTES);
            let mark = buf.get_mut(at..at + MARK_BYTES)?;
            mark[..4].copy_from_slice(&MAGIC);
            mark[4..8].copy_from_slice(&(leg as u32).to_be_bytes());
            mark[8..].copy_from_slice(&(frame as u32).to_be_bytes());
        }
        match &mut self.srtp {
            Some(srtp) => srtp.protect_rtp(buf.get_mut(..end + OVERHEAD_MAX)?, end).ok(),
            None => Some(end),
        }
    }

    /// Sets the SRTP keys.
    pub fn secure(&mut self, key: &KeyingMaterial) {
        self.srtp = Some(SrtpContext::new(key));
    }
}

/// The stream that a leg receives.
#[derive(Debug)]
pub struct MediaReceiver {
    /// Decrypts the packets; `None` for plain RTP, and until the keys are known.
    pub srtp: Option<SrtpContext>,
    /// Payload type of the audio.
    pub pt: u8,
    /// Codec of the stream.
    pub codec: LoadCodec,
    /// The packets of the last second. Only used for packets without marks.
    pub window: Window,
    /// The last RTP timestamp, extended to 64 bits (it does not wrap around).
    time: Option<i64>,
}

/// The kind of a received datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceivedFrame {
    /// Audio with a mark: the number of the sending leg, and the number of the frame.
    Marked(usize, u64),
    /// Audio without a mark: the RTP timestamp in frames.
    Numbered(i64),
    /// RTP with another payload type, or without the mark that was expected.
    Other,
    /// Not authentic, or not RTP.
    Bad,
}

impl MediaReceiver {
    /// A receiver without packets.
    pub fn new(codec: LoadCodec) -> Self {
        Self { srtp: None, pt: codec.pt(), codec, window: Window::default(), time: None }
    }

    /// Handles an RTP packet. `marked` is true if the payload must have a mark.
    pub fn take(&mut self, datagram: &mut [u8], marked: bool) -> ReceivedFrame {
        let len = match &mut self.srtp {
            Some(srtp) => match srtp.unprotect_rtp(datagram) {
                Ok(plain) => plain.len,
                Err(_) => return ReceivedFrame::Bad,
            },
            None => datagram.len(),
        };
        let Ok(packet) = RtpPacket::parse(&datagram[..len]) else { return ReceivedFrame::Bad };
        if packet.header.pt.get() != self.pt {
            return ReceivedFrame::Other;
        }
        if marked {
            return mark(&datagram[packet.payload])
                .map_or(ReceivedFrame::Other, |(leg, frame)| ReceivedFrame::Marked(leg, frame));
        }
        let time = packet.header.time.0;
        let unrolled = match self.time {
            Some(last) => last + i64::from(time.wrapping_sub(last as u32) as i32),
            None => i64::from(time),
        };
        self.time = Some(unrolled);
        ReceivedFrame::Numbered(unrolled.div_euclid(i64::from(self.codec.frame_ticks())))
    }

    /// Sets the SRTP keys.
    pub fn secure(&mut self, key: &KeyingMaterial) {
        self.srtp = Some(SrtpContext::new(key));
    }
}

/// The leg and the frame of the mark in `payload`; `None` if there is no mark.
fn mark(payload: &[u8]) -> Option<(usize, u64)> {
    let mark: &[u8; MARK_BYTES] = payload.last_chunk()?;
    let number = |at: usize| u32::from_be_bytes([mark[at], mark[at + 1], mark[at + 2], mark[at + 3]]);
    mark.starts_with(&MAGIC).then(|| (number(4) as usize, u64::from(number(8))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(codec: LoadCodec, marked: bool) -> MediaSender {
        let speech = Arc::new(SpeechLoop::encode(codec, 0.5).unwrap());
        MediaSender { speech, offset: 90, codec, pt: codec.pt(), ssrc: 5, srtp: None, marked, first: None }
    }

    #[test]
    fn a_mark_is_read_back_from_each_payload_with_and_without_encryption() {
        let key = KeyingMaterial::from_key_and_salt(super::super::sdp::SUITE, &[3; 30]).unwrap();
        for codec in [LoadCodec::Opus, LoadCodec::Pcma] {
            for secured in [false, true] {
                let (mut out, mut incoming) = (outgoing(codec, true), MediaReceiver::new(codec));
                if secured {
                    out.secure(&key);
                    incoming.secure(&key);
                }
                let mut buf = [0; PACKET_ROOM];
                for frame in 7_000..7_200 {
                    let len = out.write(33, frame, &mut buf).unwrap();
                    assert_eq!(incoming.take(&mut buf[..len], true), ReceivedFrame::Marked(33, frame), "{codec:?}");
                }
                assert_eq!(
                    incoming.take(&mut [0x80; 40], true),
                    if secured { ReceivedFrame::Bad } else { ReceivedFrame::Other }
                );
            }
        }
    }

    #[test]
    fn packets_without_marks_are_numbered_across_a_wrap_around_of_the_timestamp() {
        let (mut out, mut incoming) = (outgoing(LoadCodec::Pcma, false), MediaReceiver::new(LoadCodec::Pcma));
        let mut buf = [0; PACKET_ROOM];
        let mut numbers = Vec::new();
        for frame in 0..4u32 {
            let len = out.write(0, frame.into(), &mut buf).unwrap();
            let time = (u32::MAX - 160).wrapping_add(frame * 160);
            buf[4..8].copy_from_slice(&time.to_be_bytes());
            let ReceivedFrame::Numbered(number) = incoming.take(&mut buf[..len], false) else { panic!("no number") };
            numbers.push(number);
        }
        let steps: Vec<i64> = numbers.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(steps, [1, 1, 1]);
        buf[1] = 101;
        assert_eq!(incoming.take(&mut buf[..172], false), ReceivedFrame::Other, "a digit");
    }
}
