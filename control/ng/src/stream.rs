//! Messages out of a byte stream (TCP): `COOKIE SP DICT`, one behind the other, in segments of any size.
//!
//! A dictionary ends by its own syntax: bencode by its last `e`, JSON by the brace that closes it. Line ends and spaces
//! between messages are skipped, so that JSON may be sent a line at a time.

use super::bencode::LENGTH_DIGITS_MAX;
use super::frame::{COOKIE_BYTES_MAX, DATAGRAM_BYTES_MAX};
use super::signature::{SCHEME, SIGNATURE_BYTES_MAX};
use super::value::DEPTH_MAX;

/// Longest message of a stream, with cookie and signature.
pub const MESSAGE_BYTES_MAX: usize = COOKIE_BYTES_MAX + 1 + SIGNATURE_BYTES_MAX + DATAGRAM_BYTES_MAX;

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub struct Framer {
    /// The message so far.
    message: Vec<u8>,
    state: State,
    /// Messages may have no cookie.
    takes_plain: bool,
}

/// The stream cannot be read further: the start of the next message is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// No space within the bytes that a cookie may have, or a byte that no cookie has.
    #[error("no cookie")]
    NoCookie,
    /// The message, as far as it has come, is none: its error is that of a datagram of the same bytes.
    #[error("not a message")]
    NoMessage,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Between,
    Cookie,
    Body {
        is_signed: bool,
    },
    /// Bytes of the signature so far.
    Signature(usize),
    Bencode {
        depth: usize,
        token: Token,
    },
    Json {
        depth: usize,
        text: Text,
    },
}

#[derive(Debug, Clone, Copy)]
enum Token {
    Start,
    /// Characters of a number so far.
    Integer(usize),
    /// Of a string's length: the value and its digits.
    Length(usize, usize),
    /// Bytes of a string to come.
    String(usize),
}

#[derive(Debug, Clone, Copy)]
enum Text {
    Outside,
    Inside,
    /// Behind a backslash.
    Escape,
}

/// True for a message without a cookie: its first bytes are those of a JSON object, or of a bencode dictionary with its first key. No
/// client has such a cookie.
pub fn is_plain(message: &[u8]) -> bool {
    match message {
        [b'{', ..] => true,
        [b'd', rest @ ..] => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (1..=LENGTH_DIGITS_MAX).contains(&digits) && rest.get(digits) == Some(&b':')
        }
        _ => false,
    }
}

impl Framer {
    /// Takes messages without a cookie too (`is_plain`).
    pub fn with_plain() -> Self {
        Self { takes_plain: true, ..Self::default() }
    }

    /// Takes the next bytes of the stream. Gives a message as soon as it is whole, and how many of the bytes it took;
    /// call again with the rest. `None`: all were taken and more are needed.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, StreamError> {
        for (n, byte) in bytes.iter().enumerate() {
            if self.step(*byte)? {
                self.state = State::Between;
                return Ok(Some((std::mem::take(&mut self.message), n + 1)));
            }
        }
        Ok(None)
    }

    /// True if no message has begun since the last one.
    pub fn is_between(&self) -> bool {
        matches!(self.state, State::Between)
    }

    /// The part of an abandoned message that has arrived. Its cookie is in it, unless the error is about the cookie.
    pub fn into_rest(self) -> Vec<u8> {
        self.message
    }

    /// True if the byte ends a message.
    fn step(&mut self, byte: u8) -> Result<bool, StreamError> {
        if matches!(self.state, State::Between) && byte.is_ascii_whitespace() {
            return Ok(false);
        }
        self.message.push(byte);
        if self.message.len() > MESSAGE_BYTES_MAX {
            return Err(StreamError::NoMessage);
        }
        if self.takes_plain && matches!(self.state, State::Between | State::Cookie) && is_plain(&self.message) {
            self.state = match byte {
                b'{' => State::Json { depth: 1, text: Text::Outside },
                _ => State::Bencode { depth: 1, token: key_of(&self.message) },
            };
            return Ok(false);
        }
        match &mut self.state {
            State::Cookie if byte == b' ' => self.state = State::Body { is_signed: false },
            State::Between | State::Cookie if !byte.is_ascii_graphic() => return Err(StreamError::NoCookie),
            State::Between => self.state = State::Cookie,
            State::Cookie if self.message.len() > COOKIE_BYTES_MAX => return Err(StreamError::NoCookie),
            State::Cookie => {}
            State::Body { is_signed } => {
                self.state = match byte {
                    b'd' => State::Bencode { depth: 1, token: Token::Start },
                    b'{' => State::Json { depth: 1, text: Text::Outside },
                    _ if byte == SCHEME[0] && !*is_signed => State::Signature(1),
                    _ => return Err(StreamError::NoMessage),
                }
            }
            State::Signature(len) if SCHEME.get(*len).is_some_and(|wanted| byte != *wanted) => {
                return Err(StreamError::NoMessage);
            }
            State::Signature(_) if byte == b' ' => self.state = State::Body { is_signed: true },
            State::Signature(len) if byte.is_ascii_graphic() && *len < SIGNATURE_BYTES_MAX => *len += 1,
            State::Signature(_) => return Err(StreamError::NoMessage),
            State::Bencode { depth, token } => return bencode(byte, depth, token),
            State::Json { depth, text } => return Ok(json(byte, depth, text)),
        }
        Ok(false)
    }
}

/// What follows `dLENGTH:`.
fn key_of(message: &[u8]) -> Token {
    let digits = &message[1..message.len() - 1];
    let length = digits.iter().fold(0_usize, |length, digit| length.saturating_mul(10) + usize::from(digit - b'0'));
    if length == 0 { Token::Start } else { Token::String(length.min(DATAGRAM_BYTES_MAX + 1)) }
}

fn bencode(byte: u8, depth: &mut usize, token: &mut Token) -> Result<bool, StreamError> {
    *token = match (*token, byte) {
        (Token::Start, b'd' | b'l') if *depth <= DEPTH_MAX => {
            *depth += 1;
            Token::Start
        }
        (Token::Start, b'e') => {
            *depth -= 1;
            Token::Start
        }
        (Token::Start, b'i') => Token::Integer(0),
        (Token::Start, b'0'..=b'9') => Token::Length(usize::from(byte - b'0'), 1),
        (Token::Integer(_), b'e') => Token::Start,
        (Token::Integer(digits), b'0'..=b'9' | b'-') if digits < LENGTH_DIGITS_MAX => Token::Integer(digits + 1),
        (Token::Length(0, _), b':') => Token::Start,
        (Token::Length(length, _), b':') => Token::String(length),
        (Token::Length(length, digits), b'0'..=b'9') if digits < LENGTH_DIGITS_MAX => {
            // Whatever is too long for a message is; it need not be exact.
            let length = length.saturating_mul(10).saturating_add(usize::from(byte - b'0'));
            Token::Length(length.min(DATAGRAM_BYTES_MAX + 1), digits + 1)
        }
        (Token::String(1), _) => Token::Start,
        (Token::String(left), _) => Token::String(left - 1),
        _ => return Err(StreamError::NoMessage),
    };
    Ok(*depth == 0)
}

fn json(byte: u8, depth: &mut usize, text: &mut Text) -> bool {
    *text = match (*text, byte) {
        (Text::Inside, b'\\') => Text::Escape,
        (Text::Inside, b'"') => Text::Outside,
        (Text::Outside, b'"') | (Text::Inside | Text::Escape, _) => Text::Inside,
        (Text::Outside, _) => {
            match byte {
                b'{' | b'[' => *depth += 1,
                b'}' | b']' => *depth -= 1,
                _ => {}
            }
            Text::Outside
        }
    };
    *depth == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All messages of a stream that comes in segments of `size` bytes.
    fn messages(stream: &[u8], size: usize) -> Result<Vec<String>, StreamError> {
        let mut framer = Framer::default();
        let mut found = Vec::new();
        for mut segment in stream.chunks(size) {
            while let Some((message, taken)) = framer.push(segment)? {
                found.push(String::from_utf8_lossy(&message).into_owned());
                segment = &segment[taken..];
            }
        }
        Ok(found)
    }

    const STREAM: &str = "1 d7:command4:pinge2 d1:ai-7e1:bld1:c0:eee\r\n3 {\"a\":\"}\\\"{\",\"b\":[{}]}\n\n  s hmac1:17:ab d2:{}0:e4 d4:e1:23:ee 4:list1:xe5 {}";

    #[test]
    fn messages_are_found_whatever_segments_they_come_in() {
        let expected = [
            "1 d7:command4:pinge",
            "2 d1:ai-7e1:bld1:c0:eee",
            "3 {\"a\":\"}\\\"{\",\"b\":[{}]}",
            "s hmac1:17:ab d2:{}0:e",
            "4 d4:e1:23:ee 4:list1:xe",
            "5 {}",
        ];
        for size in 1..STREAM.len() {
            assert_eq!(messages(STREAM.as_bytes(), size).as_deref(), Ok(&expected.map(str::to_owned)[..]), "{size}");
        }
    }

    #[test]
    fn a_message_of_the_greatest_length_passes_and_a_longer_one_does_not() {
        let of = |length: usize| {
            let digits = (length - 5).to_string().len();
            let text = length - 5 - digits - 1;
            format!("c d1:x{text}:{}e", "y".repeat(text))
        };
        let longest = of(DATAGRAM_BYTES_MAX);
        assert_eq!(longest.len() - 2, DATAGRAM_BYTES_MAX);
        assert_eq!(messages(longest.as_bytes(), 1_400).map(|found| found.len()), Ok(1));
        let endless = format!("c {{\"x\":\"{}", "y".repeat(MESSAGE_BYTES_MAX));
        assert_eq!(messages(endless.as_bytes(), 1_400), Err(StreamError::NoMessage));
    }

    #[test]
    fn what_can_be_no_message_is_given_up_at_once() {
        let long = "c".repeat(COOKIE_BYTES_MAX + 1);
        for (stream, error) in [
            (long.as_str(), StreamError::NoCookie),
            ("c x", StreamError::NoMessage),
            ("c  d", StreamError::NoMessage),
            ("c hello", StreamError::NoMessage),
            ("c hmac1:1:2\n{}", StreamError::NoMessage),
            ("c hmac1:1:2  {}", StreamError::NoMessage),
            (&format!("c hmac1:{}", "a".repeat(SIGNATURE_BYTES_MAX)), StreamError::NoMessage),
            ("c hmac1:1:2 hmac1:", StreamError::NoMessage),
            ("c dx", StreamError::NoMessage),
            ("c d99999999999999999999999", StreamError::NoMessage),
            ("c d1:xi99999999999999999999999", StreamError::NoMessage),
            ("c d1:xi1.", StreamError::NoMessage),
            ("c d-1:", StreamError::NoMessage),
        ] {
            assert_eq!(messages(stream.as_bytes(), 7), Err(error), "{stream}");
        }
        let deep = format!("c d1:x{}", "l".repeat(DEPTH_MAX + 1));
        assert_eq!(messages(deep.as_bytes(), 7), Err(StreamError::NoMessage));
        let mut framer = Framer::default();
        assert_eq!(framer.push(b"1 d7:command4:pinge c d1:x-"), Ok(Some((b"1 d7:command4:pinge".to_vec(), 19))));
        assert_eq!(framer.push(b" c d1:x-"), Err(StreamError::NoMessage));
        assert_eq!(framer.into_rest(), b"c d1:x-");
    }

    #[test]
    fn a_framer_that_takes_plain_messages_finds_them_between_others() {
        let stream =
            "d7:command4:pinge{\"a b\":1} {\"c\": \"}\"}\nd7 d0:4:xxxxe 8_1 {} d10:0123456789lee dab1 de d:1 {}";
        let expected = [
            "d7:command4:pinge",
            "{\"a b\":1}",
            "{\"c\": \"}\"}",
            "d7 d0:4:xxxxe",
            "8_1 {}",
            "d10:0123456789lee",
            "dab1 de",
            "d:1 {}",
        ];
        for size in 1..stream.len() {
            let (mut framer, mut found) = (Framer::with_plain(), Vec::new());
            for mut segment in stream.as_bytes().chunks(size) {
                while let Some((message, taken)) = framer.push(segment).unwrap() {
                    found.push(String::from_utf8(message).unwrap());
                    segment = &segment[taken..];
                }
            }
            assert_eq!(found, expected, "{size}");
        }
        let plain: Vec<&str> = expected.into_iter().filter(|message| is_plain(message.as_bytes())).collect();
        assert_eq!(plain, [expected[0], expected[1], expected[2], expected[5]]);
    }

    proptest! {
        #[test]
        fn any_stream_is_cut_or_given_up_alike_in_any_segments(
            stream in proptest::collection::vec(proptest::sample::select(&b"d{}[]l\"\\ei019:- cx\n"[..]), 0..300),
            size in 1usize..20,
        ) {
            prop_assert_eq!(messages(&stream, size), messages(&stream, 300));
        }
    }
}
