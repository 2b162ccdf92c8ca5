//! One datagram: `COOKIE SP DICT`.

use super::value::Dict;
use super::{bencode, json};

/// Longest cookie, in bytes. Kamailio's and OpenSIPS's have about 20.
pub const COOKIE_BYTES_MAX: usize = 64;

/// Longest datagram, in bytes: the longest SDP and as much again for everything else.
pub const DATAGRAM_BYTES_MAX: usize = 32 * 1024;

/// What ties a reply to its request: 1 to [`COOKIE_BYTES_MAX`] printable ASCII characters without a space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cookie(Vec<u8>);

impl Cookie {
    /// The bytes as sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A datagram: the cookie, a space, the body.
    pub fn frame(&self, body: &[u8]) -> Vec<u8> {
        [&self.0, &b" "[..], body].concat()
    }
}

/// How a dictionary is written. A reply comes in the encoding of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// What Kamailio and OpenSIPS speak; also for errors before the encoding is known.
    #[default]
    Bencode,
    /// What applications speak.
    Json,
}

impl Encoding {
    /// What a body claims to be by its first byte.
    pub fn of(body: &[u8]) -> Option<Self> {
        match body.first()? {
            b'd' => Some(Self::Bencode),
            b'{' => Some(Self::Json),
            _ => None,
        }
    }

    /// Writes a dictionary.
    pub fn write(self, dict: &Dict) -> Vec<u8> {
        match self {
            Self::Bencode => bencode::write(dict),
            Self::Json => json::write(dict),
        }
    }
}

/// Splits a datagram at its first space. `None` if there is no cookie that a reply could carry: no space, nothing
/// before it, more than [`COOKIE_BYTES_MAX`], or a byte that is not printable ASCII. Such a datagram is not answered.
///
/// Each proxy and client sends printable cookies. A datagram of another protocol does not have one: RTP, RTCP and DTLS begin with a byte
/// above 0x7e or below 0x21, STUN too.
pub fn split(datagram: &[u8]) -> Option<(Cookie, &[u8])> {
    let space = datagram.iter().take(COOKIE_BYTES_MAX + 1).position(|byte| !byte.is_ascii_graphic())?;
    (space > 0 && datagram[space] == b' ').then(|| (Cookie(datagram[..space].to_vec()), &datagram[space + 1..]))
}

/// Why a body is no request. The texts are the protocol's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Over [`DATAGRAM_BYTES_MAX`].
    #[error("Message too long")]
    TooLong,
    /// Nothing behind the cookie.
    #[error("Invalid data (no payload)")]
    Empty,
    /// Neither `d` nor `{`.
    #[error("Invalid NG data format")]
    UnknownEncoding,
    /// See [`bencode::read`].
    #[error("Could not decode bencode dictionary")]
    Bencode,
    /// See [`json::read`].
    #[error("Failed to parse JSON document")]
    Json(json::NotJson),
}

/// Reads the body of a datagram.
pub fn read(body: &[u8]) -> Result<(Encoding, Dict), FrameError> {
    if body.len() > DATAGRAM_BYTES_MAX {
        return Err(FrameError::TooLong);
    }
    if body.is_empty() {
        return Err(FrameError::Empty);
    }
    let encoding = Encoding::of(body).ok_or(FrameError::UnknownEncoding)?;
    let dict = match encoding {
        Encoding::Bencode => bencode::read(body).map_err(|_| FrameError::Bencode)?,
        Encoding::Json => json::read(body).map_err(FrameError::Json)?,
    };
    Ok((encoding, dict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_without_a_usable_cookie_has_no_answer() {
        let long = [&b"c".repeat(COOKIE_BYTES_MAX + 1)[..], b" d7:command4:pinge"].concat();
        for datagram in [&b""[..], b"nospace", b" d7:command4:pinge", &long, &b"x".repeat(50_000)] {
            assert_eq!(split(datagram), None);
        }
        // RTP, DTLS, STUN; then each byte that is no printable character, within an otherwise good cookie.
        for head in [&b"\x80\x08\x00\x01\x00\x00\x00\xa0\x00\x00\x00\x01"[..], b"\x16\xfe\xfd", b"\x00\x01"] {
            assert_eq!(split(&[head, b" {\"command\":\"ping\"}"].concat()), None);
        }
        for byte in (0..0x20).chain(0x7f..=0xff) {
            assert_eq!(split(&[b"ab", &[byte][..], b"cd {}"].concat()), None, "{byte:#x}");
        }
        for byte in 0x21..=0x7e {
            assert!(split(&[b"ab", &[byte][..], b"cd {}"].concat()).is_some(), "{byte:#x}");
        }
        let (cookie, body) = split(&long[1..]).expect("64 bytes");
        assert_eq!((cookie.as_bytes().len(), body), (64, &b"d7:command4:pinge"[..]));
        assert_eq!(cookie.frame(body), &long[1..]);
    }

    #[test]
    fn each_kind_of_rubbish_has_its_own_text() {
        let table: [(&[u8], &str); 9] = [
            (b"", "Invalid data (no payload)"),
            (b" d7:command4:pinge", "Invalid NG data format"),
            (b"null", "Invalid NG data format"),
            (b"[1]", "Invalid NG data format"),
            (b"\xef\xbb\xbf{}", "Invalid NG data format"),
            (b"d7:command", "Could not decode bencode dictionary"),
            (b"d1:x4294967295:ae", "Could not decode bencode dictionary"),
            (b"{\"command\":", "Failed to parse JSON document"),
            (&[b'l'; 40_000], "Message too long"),
        ];
        for (body, text) in table {
            assert_eq!(read(body).unwrap_err().to_string(), text);
        }
    }
}
