//! Signed messages, for ng across a network: `COOKIE SP hmac1:TIME:MAC SP DICT`.
//!
//! MAC is the HMAC-SHA-256 (RFC 2104, FIPS 180-4) of `request COOKIE TIME DICT`, `reply COOKIE TIME DICT` or `event TIME DICT`, with the
//! shared secret as its key. TIME is in milliseconds since the Unix epoch; that of a reply is that of its request. A cookie has no
//! space and TIME has only digits, so no two messages have the same text.
//!
//! [`Doorkeeper`] decides about requests. A request is good for [`AGE_MAX`] before and after its TIME, and once: the MACs of all requests
//! that were good are kept for as long. A request of the same bytes from the same source is a retransmit; from another source it is a
//! replay.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::hmac;

/// By how much TIME may differ from the clock of the receiver. Clocks that are set by NTP differ by less than a second, and a client
/// repeats a request for some seconds.
pub const AGE_MAX: Duration = Duration::from_secs(30);

/// Shortest secret, in bytes: the length of the MAC (RFC 2104 section 3).
pub const SECRET_BYTES_MIN: usize = 32;

/// NgSecrets at a time: the present one, the next one, and two more for those who share a Trestle.
pub const SECRETS_MAX: usize = 4;

/// Requests remembered. At 5,000 requests a second these are the last 26 seconds; older ones are then refused as late.
const KNOWN_MAX: usize = 131_072;

/// How a signature begins.
pub(crate) const SCHEME: &[u8] = b"hmac1:";
const MAC_BYTES: usize = 32;
/// Until the year 2286 a time has 13 digits.
const TIME_DIGITS_MAX: usize = 14;
/// Longest signature and the space behind it.
pub const SIGNATURE_BYTES_MAX: usize = SCHEME.len() + TIME_DIGITS_MAX + 1 + 2 * MAC_BYTES + 1;

type Mac = [u8; MAC_BYTES];

/// The shared secrets. A request may be signed with any of them; its reply is signed with the same.
#[derive(Clone, Default)]
pub struct NgSecrets(Vec<hmac::Key>);

/// Why a text has no usable secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// No line with text.
    #[error("there is no secret in it; write one line of at least {SECRET_BYTES_MIN} random characters")]
    Empty,
    /// A line is shorter than [`SECRET_BYTES_MIN`].
    #[error(
        "line {0} is too short; a secret has at least {SECRET_BYTES_MIN} characters, e.g. those of `openssl rand -hex 32`"
    )]
    Short(usize),
    /// More than [`SECRETS_MAX`] lines.
    #[error("there are more than {SECRETS_MAX} secrets in it")]
    TooMany,
}

/// Which secret a message was signed with, and its TIME. The reply to it is signed alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    secret: usize,
    time_ms: u64,
}

/// What a message is; its name is the first word of the text that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind<'a> {
    Request(&'a [u8]),
    Reply(&'a [u8]),
    Event,
}

impl NgSecrets {
    /// Reads secrets: one a line, without the spaces at its ends. Empty lines are skipped.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn read(text: &[u8]) -> Result<Self, SecretError> {
        let mut keys = Vec::new();
        for (number, line) in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate() {
            match line.len() {
                0 => {}
                1..SECRET_BYTES_MIN => return Err(SecretError::Short(number + 1)),
                _ if keys.len() == SECRETS_MAX => return Err(SecretError::TooMany),
                _ => keys.push(hmac::Key::new(hmac::HMAC_SHA256, line)),
            }
        }
        if keys.is_empty() { Err(SecretError::Empty) } else { Ok(Self(keys)) }
    }

    /// The signature of a request, with the first secret: `hmac1:TIME:MAC`. `None` if there is no secret.
    pub fn sign_request(&self, unix: Duration, cookie: &[u8], dict: &[u8]) -> Option<String> {
        self.sign(Signed { secret: 0, time_ms: milliseconds(unix) }, Kind::Request(cookie), dict)
    }

    /// The signature of the reply to a request.
    pub fn sign_reply(&self, request: Signed, cookie: &[u8], dict: &[u8]) -> Option<String> {
        self.sign(request, Kind::Reply(cookie), dict)
    }

    /// The signature of an event for a subscriber whose request was signed.
    pub fn sign_event(&self, subscription: Signed, unix: Duration, dict: &[u8]) -> Option<String> {
        self.sign(Signed { time_ms: milliseconds(unix), ..subscription }, Kind::Event, dict)
    }

    /// True if `signature` is that of the reply `dict` to the request of this cookie that [`NgSecrets::sign_request`] has signed as
    /// `request`.
    pub fn is_reply(&self, request: &str, signature: &[u8], cookie: &[u8], dict: &[u8]) -> bool {
        let time = |text: &[u8]| read(text).map(|(time_ms, _)| time_ms);
        time(request.as_bytes()).is_some()
            && time(request.as_bytes()) == time(signature)
            && self.verify(Kind::Reply(cookie), signature, dict).is_some()
    }

    fn sign(&self, signed: Signed, kind: Kind<'_>, dict: &[u8]) -> Option<String> {
        let mut context = hmac::Context::with_key(self.0.get(signed.secret)?);
        feed(&mut context, kind, signed.time_ms, dict);
        let mac: String = context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(format!("hmac1:{}:{mac}", signed.time_ms))
    }

    /// The secret and the time of a signature, and its MAC, if it is right.
    fn verify(&self, kind: Kind<'_>, signature: &[u8], dict: &[u8]) -> Option<(Signed, Mac)> {
        let (time_ms, mac) = read(signature)?;
        let mut text = Vec::with_capacity(dict.len() + 128);
        write_text(&mut text, kind, time_ms);
        text.extend_from_slice(dict);
        // Compares in constant time.
        let secret = self.0.iter().position(|key| hmac::verify(key, &text, &mac).is_ok())?;
        Some((Signed { secret, time_ms }, mac))
    }
}

impl fmt::Debug for NgSecrets {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NgSecrets({})", self.0.len())
    }
}

/// Splits what follows the cookie into signature and dictionary. A message without a signature has an empty one.
pub fn split(body: &[u8]) -> (&[u8], &[u8]) {
    if !body.starts_with(SCHEME) {
        return (&[], body);
    }
    match body.iter().take(SIGNATURE_BYTES_MAX).position(|byte| *byte == b' ') {
        Some(space) => (&body[..space], &body[space + 1..]),
        None => (&[], body),
    }
}

/// Why a request has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureRefusal {
    /// It has no signature.
    Unsigned,
    /// The signature is not that of this message with any of the secrets.
    BadSignature,
    /// It was signed too long ago, or in the future, by so many milliseconds (negative: ahead of this clock).
    Late(i64, Signed),
    /// It has been received before, from another source; or so long ago that its reply is not kept.
    Replayed,
}

/// A request that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// For the signature of the reply.
    pub signed: Signed,
    /// It has been received before, from the same source. It must not be executed again.
    pub is_repetition: bool,
}

/// Decides which requests have an effect, if there is a secret.
#[derive(Debug)]
pub struct Doorkeeper {
    secrets: NgSecrets,
    /// The good requests of the last [`AGE_MAX`], by TIME and MAC, with their sources.
    known: BTreeMap<(u64, Mac), SocketAddr>,
    /// Requests of this TIME and earlier ones are refused, unless they are known.
    floor_ms: u64,
}

impl Doorkeeper {
    /// Knows no request yet. Requests that were signed before `unix` are refused: a Trestle that ran before may have executed them.
    pub fn new(secrets: NgSecrets, unix: Duration) -> Self {
        Self { secrets, known: BTreeMap::new(), floor_ms: milliseconds(unix) }
    }

    /// The secrets, for signatures.
    pub fn secrets(&self) -> &NgSecrets {
        &self.secrets
    }

    /// Takes other secrets.
    pub fn set_secrets(&mut self, secrets: NgSecrets) {
        self.secrets = secrets;
    }

    /// Decides about a request from `peer` at `unix`.
    ///
    /// # Errors
    /// [`SignatureRefusal`]: it has no effect.
    pub fn check(
        &mut self,
        unix: Duration,
        peer: SocketAddr,
        cookie: &[u8],
        signature: &[u8],
        dict: &[u8],
    ) -> Result<Passed, SignatureRefusal> {
        if signature.is_empty() {
            return Err(SignatureRefusal::Unsigned);
        }
        let verified = self.secrets.verify(Kind::Request(cookie), signature, dict);
        let (signed, mac) = verified.ok_or(SignatureRefusal::BadSignature)?;
        let (now, age_max) = (milliseconds(unix), milliseconds(AGE_MAX));
        self.expire(now, age_max);
        let age = i64::try_from(now).unwrap_or(i64::MAX).saturating_sub_unsigned(signed.time_ms);
        if age.unsigned_abs() > age_max {
            return Err(SignatureRefusal::Late(age, signed));
        }
        match self.known.get(&(signed.time_ms, mac)) {
            Some(source) if *source == peer => return Ok(Passed { signed, is_repetition: true }),
            Some(_) => return Err(SignatureRefusal::Replayed),
            None if signed.time_ms <= self.floor_ms => return Err(SignatureRefusal::Late(age, signed)),
            None => {}
        }
        self.known.insert((signed.time_ms, mac), peer);
        if self.known.len() > KNOWN_MAX
            && let Some(((time_ms, _), _)) = self.known.pop_first()
        {
            self.floor_ms = self.floor_ms.max(time_ms);
        }
        Ok(Passed { signed, is_repetition: false })
    }

    fn expire(&mut self, now: u64, age_max: u64) {
        let oldest = now.saturating_sub(age_max);
        if self.known.first_key_value().is_some_and(|((time_ms, _), _)| *time_ms < oldest) {
            self.known = self.known.split_off(&(oldest, [0; MAC_BYTES]));
        }
        // The clock was set back: without this, every request would be refused until it has caught up.
        if self.floor_ms > now.saturating_add(age_max) {
            self.floor_ms = now;
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn write_text(text: &mut Vec<u8>, kind: Kind<'_>, time_ms: u64) {
    match kind {
        Kind::Request(cookie) => text.extend([b"request ", cookie, b" "].concat()),
        Kind::Reply(cookie) => text.extend([b"reply ", cookie, b" "].concat()),
        Kind::Event => text.extend(b"event "),
    }
    text.extend(format!("{time_ms} ").bytes());
}

fn feed(context: &mut hmac::Context, kind: Kind<'_>, time_ms: u64, dict: &[u8]) {
    let mut text = Vec::new();
    write_text(&mut text, kind, time_ms);
    context.update(&text);
    context.update(dict);
}

/// TIME and MAC of a signature. `None` if it has another form; each has one form only.
fn read(signature: &[u8]) -> Option<(u64, Mac)> {
    let rest = signature.strip_prefix(SCHEME)?;
    let colon = rest.iter().position(|byte| *byte == b':')?;
    let (time, hex) = (&rest[..colon], &rest[colon + 1..]);
    let is_number =
        (1..=TIME_DIGITS_MAX).contains(&time.len()) && time.iter().all(u8::is_ascii_digit) && time[0] != b'0';
    let time_ms = std::str::from_utf8(time).ok().filter(|_| is_number)?.parse().ok()?;
    if hex.len() != 2 * MAC_BYTES {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut mac = [0; MAC_BYTES];
    for (byte, pair) in mac.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some((time_ms, mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    const DICT: &[u8] = br#"{"command":"ping"}"#;
    const START: Duration = Duration::from_secs(1_795_920_000);

    fn secrets() -> NgSecrets {
        NgSecrets::read(SECRET).unwrap()
    }

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn check(door: &mut Doorkeeper, after_ms: u64, peer: SocketAddr, message: &str) -> Result<bool, SignatureRefusal> {
        let (cookie, body) = message.split_once(' ').unwrap();
        let (signature, dict) = split(body.as_bytes());
        let unix = START + Duration::from_millis(after_ms);
        door.check(unix, peer, cookie.as_bytes(), signature, dict).map(|passed| passed.is_repetition)
    }

    fn signed(after_ms: u64, cookie: &str) -> String {
        let unix = START + Duration::from_millis(after_ms);
        let signature = secrets().sign_request(unix, cookie.as_bytes(), DICT).unwrap();
        format!("{cookie} {signature} {}", String::from_utf8_lossy(DICT))
    }

    fn door() -> Doorkeeper {
        Doorkeeper::new(secrets(), START)
    }

    #[test]
    fn a_request_passes_once_and_its_retransmits_are_known() {
        let mut door = door();
        let message = signed(10, "a");
        assert_eq!(check(&mut door, 20, peer(1), &message), Ok(false));
        for after_ms in [21, 1_000, 30_010] {
            assert_eq!(check(&mut door, after_ms, peer(1), &message), Ok(true));
            assert_eq!(check(&mut door, after_ms, peer(2), &message), Err(SignatureRefusal::Replayed));
        }
        assert!(matches!(check(&mut door, 30_011, peer(1), &message), Err(SignatureRefusal::Late(30_001, _))));
        assert_eq!(check(&mut door, 30_011, peer(2), &signed(30_011, "a")), Ok(false));
    }

    #[test]
    fn any_change_of_a_signed_request_is_refused() {
        let message = signed(10, "cookie");
        for at in 0..message.len() {
            for flip in [1, 0x20, 0x80] {
                let mut bytes = message.clone().into_bytes();
                bytes[at] ^= flip;
                let Some((cookie, body)) = crate::frame::split(&bytes) else { continue };
                let (signature, dict) = split(body);
                let unix = START + Duration::from_millis(10);
                let verdict = door().check(unix, peer(1), cookie.as_bytes(), signature, dict);
                assert!(verdict.is_err(), "{}", String::from_utf8_lossy(&bytes));
            }
        }
        let other = NgSecrets::read(b"1123456789abcdef0123456789abcdef").unwrap();
        let foreign = other.sign_request(START, b"a", DICT).unwrap();
        let verdict = door().check(START, peer(1), b"a", foreign.as_bytes(), DICT);
        assert_eq!(verdict, Err(SignatureRefusal::BadSignature));
        // A reply or an event is no request.
        let of_time = Signed { secret: 0, time_ms: milliseconds(START) + 1 };
        for signature in [secrets().sign_reply(of_time, b"a", DICT), secrets().sign_event(of_time, START, DICT)] {
            let verdict = door().check(START, peer(1), b"a", signature.unwrap().as_bytes(), DICT);
            assert_eq!(verdict, Err(SignatureRefusal::BadSignature));
        }
    }

    #[test]
    fn a_request_is_refused_before_and_after_its_time_and_if_signed_before_the_start() {
        for (signed_ms, now_ms, passes) in
            [(1, 30_001, true), (1, 30_002, false), (40_000, 10_000, true), (40_001, 10_000, false), (0, 5, false)]
        {
            let verdict = check(&mut door(), now_ms, peer(1), &signed(signed_ms, "a"));
            assert_eq!(verdict.is_ok(), passes, "{signed_ms} {now_ms} {verdict:?}");
        }
        assert_eq!(check(&mut door(), 1, peer(1), r#"a {"command":"ping"}"#), Err(SignatureRefusal::Unsigned));
        // After the clock was set back by an hour, requests pass again.
        let mut ahead = Doorkeeper::new(secrets(), START + Duration::from_secs(3_600));
        assert!(check(&mut ahead, 1, peer(1), &signed(1, "a")).is_err(), "its time is not after the present one");
        assert_eq!(check(&mut ahead, 3, peer(1), &signed(2, "b")), Ok(false));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_forgotten_does_not_pass() {
        let mut door = door();
        let first = signed(1, "first");
        assert_eq!(check(&mut door, 1, peer(1), &first), Ok(false));
        for n in 0..KNOWN_MAX as u64 {
            let mac: Mac = std::array::from_fn(|at| (n >> (8 * (at % 8))) as u8);
            door.known.insert((milliseconds(START) + 2 + n / 1_000, mac), peer(1));
        }
        assert_eq!(check(&mut door, 1_000, peer(1), &signed(1_000, "last")), Ok(false));
        assert_eq!(door.known.len(), KNOWN_MAX + 1, "one is forgotten for each that is new");
        let verdict = check(&mut door, 1_000, peer(1), &first);
        assert!(matches!(verdict, Err(SignatureRefusal::Late(999, _))), "{verdict:?}");
        assert_eq!(check(&mut door, 40_000, peer(1), &signed(40_000, "later")), Ok(false));
        assert_eq!(door.known.len(), 1);
    }

    #[test]
    fn each_secret_of_the_file_is_accepted_and_signs_its_own_replies() {
        let text = [SECRET, b"\r\n\n  ffffffffffffffffffffffffffffffff  \n"].concat();
        let both = NgSecrets::read(&text).unwrap();
        let second = NgSecrets::read(&b"f".repeat(32)).unwrap();
        let mut door = Doorkeeper::new(both, START);
        let unix = START + Duration::from_millis(1);
        let request = second.sign_request(unix, b"a", DICT).unwrap();
        let passed = door.check(unix, peer(1), b"a", request.as_bytes(), DICT).unwrap();
        let reply = door.secrets().sign_reply(passed.signed, b"a", b"{}").unwrap();
        assert!(second.is_reply(&request, reply.as_bytes(), b"a", b"{}"));
        assert!(!secrets().is_reply(&request, reply.as_bytes(), b"a", b"{}"));
        assert!(!second.is_reply(&request, reply.as_bytes(), b"b", b"{}"));
        let of_another_time = second.sign_request(START, b"a", DICT).unwrap();
        assert!(!second.is_reply(&of_another_time, reply.as_bytes(), b"a", b"{}"));
        door.set_secrets(secrets());
        assert_eq!(door.check(unix, peer(1), b"a", request.as_bytes(), DICT), Err(SignatureRefusal::BadSignature));
    }

    #[test]
    fn a_text_without_good_secrets_is_refused_with_its_line() {
        assert_eq!(NgSecrets::read(b"\n \n").unwrap_err(), SecretError::Empty);
        assert_eq!(NgSecrets::read(&b"x".repeat(31)).unwrap_err(), SecretError::Short(1));
        let [good, short] = [32, 5].map(|len| "x".repeat(len));
        assert_eq!(NgSecrets::read(format!("{good}\n{short}").as_bytes()).unwrap_err(), SecretError::Short(2));
        assert_eq!(NgSecrets::read([good.as_str(); 5].join("\n").as_bytes()).unwrap_err(), SecretError::TooMany);
        assert_eq!(format!("{:?}", secrets()), "NgSecrets(1)");
    }

    #[test]
    fn the_messages_of_the_document_have_the_right_signatures() {
        let document = include_str!("../../../docs/PROTOCOL.md");
        let section = document.split("### Signed messages").nth(1).unwrap().split("\n### ").next().unwrap();
        let lines = || section.lines().filter_map(|line| line.strip_prefix("    "));
        let secret = lines().find_map(|line| line.strip_prefix("secret ")).unwrap();
        let secrets = NgSecrets::read(secret.as_bytes()).unwrap();
        let (mut door, mut checked) = (Doorkeeper::new(secrets.clone(), Duration::ZERO), 0);
        let mut request: Option<&str> = None;
        for line in lines() {
            let (kind, message) = line.split_once(' ').unwrap_or_default();
            let (cookie, signed) = message.trim_start().split_once(' ').unwrap_or_default();
            match kind {
                "request" => {
                    let (signature, dict) = split(signed.as_bytes());
                    let unix = Duration::from_millis(read(signature).unwrap().0);
                    let passed = door.check(unix, peer(1), cookie.as_bytes(), signature, dict);
                    assert!(passed.is_ok_and(|passed| !passed.is_repetition), "{line}");
                    request = signed.split(' ').next();
                    assert_eq!(secrets.sign_request(unix, cookie.as_bytes(), dict).as_deref(), request);
                }
                "reply" => {
                    let (signature, dict) = split(signed.as_bytes());
                    let request = request.take().unwrap();
                    assert!(secrets.is_reply(request, signature, cookie.as_bytes(), dict), "{line}");
                }
                "event" => {
                    let (time_ms, _) = read(cookie.as_bytes()).unwrap();
                    let signed_with = Signed { secret: 0, time_ms: 0 };
                    let right = secrets.sign_event(signed_with, Duration::from_millis(time_ms), signed.as_bytes());
                    assert_eq!(right.as_deref(), Some(cookie));
                }
                _ => continue,
            }
            checked += 1;
        }
        assert_eq!(checked, 5);
    }
}
