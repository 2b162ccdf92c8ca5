//! A description as its lines, and the values of the lines.

use std::net::{IpAddr, SocketAddr};

use crate::Skipped;

/// One line of a description. `Debug` shows no key and no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// Line number, from 1.
    pub number: usize,
    /// The letter before the `=`.
    pub letter: char,
    /// Everything after the `=`.
    pub value: String,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.number, SdpError::shown(&format!("{}={}", self.letter, self.value)))
    }
}

impl Line {
    /// The line as an attribute, if it is an `a=` line.
    pub fn attribute(&self) -> Option<Attribute<'_>> {
        (self.letter == 'a').then(|| {
            let (name, value) = match self.value.split_once(':') {
                Some((name, value)) => (name, Some(value)),
                None => (self.value.as_str(), None),
            };
            // Some stacks write a space behind the name of an attribute.
            let name = name.trim_end();
            Attribute { name, value, line: self }
        })
    }

    /// An error at this line.
    pub fn error(&self, reason: impl Into<String>) -> SdpError {
        SdpError::at(self.number, &format!("{}={}", self.letter, self.value), reason)
    }
}

/// The name and value of an `a=` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The part before the first `:`.
    pub name: &'a str,
    /// The part after the first `:`; `None` if there is no `:`, as in `a=rtcp-mux`.
    pub value: Option<&'a str>,
    /// The whole line.
    pub line: &'a Line,
}

impl<'a> Attribute<'a> {
    /// The value without white space around it.
    ///
    /// # Errors
    ///
    /// There is no value, or it is empty.
    pub fn required(&self) -> Result<&'a str, SdpError> {
        match self.value.map(str::trim) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(self.line.error(format!("a={} needs a value", self.name))),
        }
    }
}

/// A session description: the lines of the session part, then each `m=` line with the lines below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sdp {
    /// Lines before the first `m=`.
    pub session: Vec<Line>,
    /// The `m=` lines with the lines below them, in order.
    pub media: Vec<MediaDescription>,
    /// Lines that are malformed or beyond a limit. They are in neither part.
    pub skipped: Skipped,
}

/// An `m=` line and the lines below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaDescription {
    /// The `m=` line itself.
    pub line: Line,
    /// `audio`, `video`, ...
    pub media: String,
    /// Port; 0 means that the stream is refused or ended (RFC 3264 section 6).
    pub port: u16,
    /// Transport protocol, for example `RTP/AVP`. Empty if the line ends before it.
    pub proto: String,
    /// Formats as written; payload types for RTP. None for the refused streams of some stacks: `m=application 0 *`.
    pub formats: Vec<String>,
    /// The lines below, up to the next `m=`.
    pub lines: Vec<Line>,
}

/// Why a description cannot be used: the line, its text, and the fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SdpError {
    /// Line number, from 1; `None` if the fault concerns the whole description.
    pub line: Option<usize>,
    /// The first 100 characters of the line, without keys and passwords. Characters that are not printable ASCII are escaped.
    pub text: String,
    /// The fault.
    pub reason: String,
}

impl SdpError {
    /// Characters of a line that an error shows, before they are escaped.
    const TEXT_CHARS_MAX: usize = 100;

    /// An error at line `number` with the text `text`.
    pub fn at(number: usize, text: &str, reason: impl Into<String>) -> Self {
        Self { line: Some(number), text: Self::shown(text), reason: reason.into() }
    }

    /// The beginning of a line without keys and passwords: errors go to logs and to callers; keys do not (RFC 4568 section 7.1).
    /// They are recognised in malformed lines, too.
    pub(crate) fn shown(text: &str) -> String {
        let lower = text.to_ascii_lowercase();
        let names = ["crypto:", "ice-pwd:", "key-mgmt:", "inline:"];
        let named = names.iter().filter_map(|name| lower.find(name).map(|at| at + name.len())).min();
        let secret = if lower.starts_with("k=") { Some(2) } else { named };
        let (shown, rest) = secret.map_or((text, ""), |end| (&text[..end], "..."));
        let escaped = shown.chars().take(Self::TEXT_CHARS_MAX).flat_map(char::escape_default).collect::<String>();
        escaped + rest
    }

    /// An error of the whole description.
    pub fn whole(reason: impl Into<String>) -> Self {
        Self { line: None, text: String::new(), reason: reason.into() }
    }
}

impl std::fmt::Display for SdpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line} \"{}\": {}", self.text, self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// `a=sendrecv`, `a=sendonly`, `a=recvonly`, `a=inactive` (RFC 8866 section 6.7), as seen by the writer of the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// The writer sends and receives. This is the default without an attribute.
    #[default]
    SendRecv,
    /// The writer sends and does not receive, for example hold with music.
    SendOnly,
    /// The writer receives and does not send.
    RecvOnly,
    /// The writer neither sends nor receives, for example hold.
    Inactive,
}

impl Direction {
    /// The direction of a writer that `sends` and `receives`.
    pub fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// True if the writer sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// True if the writer receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// This direction, limited to what an answer to an offer with `offered` may contain (RFC 3264 section 6.1).
    pub fn within(self, offered: Self) -> Self {
        Self::of(self.sends() && offered.receives(), self.receives() && offered.sends())
    }

    /// The name of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The direction of an attribute with this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive].into_iter().find(|d| d.as_str() == name)
    }
}

/// `a=setup` (RFC 4145 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setup {
    /// The writer is the DTLS client.
    Active,
    /// The writer is the DTLS server.
    Passive,
    /// The other side chooses; only in offers.
    ActPass,
}

impl Setup {
    /// The value of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
        }
    }
}

/// The address of a `c=` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// IPv4 or IPv6 address. The unspecified address (`0.0.0.0`) means hold (RFC 3264 section 8.4), or that ICE candidates contain the
    /// address.
    pub address: IpAddr,
}

impl Connection {
    /// Parses `IN IP4 192.0.2.1`. Negotiation judges the address ([`trestle_core::AddressPolicy`]).
    ///
    /// # Errors
    ///
    /// The value has another form, or the address is a host name: a peer must not be able to cause DNS queries of Trestle.
    pub fn parse(line: &Line) -> Result<Self, SdpError> {
        let mut words = line.value.split_ascii_whitespace();
        let (Some("IN"), Some(family), Some(address), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(line.error("expected \"IN IP4 ADDRESS\" or \"IN IP6 ADDRESS\""));
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| line.error("the address must be an IP literal without a TTL; host names are not supported"))?;
        match (family, address.is_ipv4()) {
            ("IP4", true) | ("IP6", false) => {}
            _ => return Err(line.error("the address does not belong to the family before it (IP4 or IP6)")),
        }
        Ok(Self { address })
    }
}

impl Sdp {
    /// Attributes of the session part.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        self.session.iter().filter_map(Line::attribute)
    }

    /// The first attribute with this name: of `media`, else of the session part.
    pub fn attribute<'a>(&'a self, media: &'a MediaDescription, name: &str) -> Option<Attribute<'a>> {
        media.attribute(name).or_else(|| self.attributes().find(|attribute| attribute.name == name))
    }

    /// All attributes with this name: of `media`; if it has none, of the session part.
    pub fn attributes_of<'a>(&'a self, media: &'a MediaDescription, name: &str) -> Vec<Attribute<'a>> {
        let own: Vec<_> = media.attributes().filter(|attribute| attribute.name == name).collect();
        if own.is_empty() { self.attributes().filter(|attribute| attribute.name == name).collect() } else { own }
    }

    /// The address of the `c=` line of `media`, else of the session part (RFC 8866 section 5.7).
    ///
    /// # Errors
    ///
    /// There is no `c=` line, or [`Connection::parse`] refuses it.
    pub fn connection(&self, media: &MediaDescription) -> Result<Connection, SdpError> {
        let own = media.lines.iter().find(|line| line.letter == 'c');
        match own.or_else(|| self.session.iter().find(|line| line.letter == 'c')) {
            Some(line) => Connection::parse(line),
            None => Err(media.line.error("there is no c= line for this media")),
        }
    }

    /// The last direction attribute of `media`, else of the session part, else `sendrecv`.
    pub fn direction(&self, media: &MediaDescription) -> Direction {
        let own = media.attributes().filter_map(|attribute| Direction::parse(attribute.name)).last();
        own.or_else(|| self.attributes().filter_map(|attribute| Direction::parse(attribute.name)).last())
            .unwrap_or_default()
    }

    /// `a=setup`; `None` without the attribute.
    ///
    /// # Errors
    ///
    /// The value is not active, passive or actpass. Trestle does not support `holdconn`.
    pub fn setup(&self, media: &MediaDescription) -> Result<Option<Setup>, SdpError> {
        let Some(attribute) = self.attribute(media, "setup") else { return Ok(None) };
        match attribute.required()? {
            value if value.eq_ignore_ascii_case("active") => Ok(Some(Setup::Active)),
            value if value.eq_ignore_ascii_case("passive") => Ok(Some(Setup::Passive)),
            value if value.eq_ignore_ascii_case("actpass") => Ok(Some(Setup::ActPass)),
            _ => Err(attribute.line.error("expected active, passive or actpass")),
        }
    }

    /// The value of the attribute `name`: `ice-ufrag` or `ice-pwd`.
    ///
    /// RFC 8839 section 5.4 allows letters, digits, `+` and `/`. Trestle also accepts `=` (Meta writes padded base64), `-` and `_`.
    ///
    /// # Errors
    ///
    /// The value is empty, too long, or has another character.
    pub fn ice_credential(&self, media: &MediaDescription, name: &str) -> Result<Option<String>, SdpError> {
        let Some(attribute) = self.attribute(media, name) else { return Ok(None) };
        let value = attribute.required()?;
        if value.len() > super::limits::ICE_CREDENTIAL_BYTES_MAX {
            return Err(attribute.line.error("the value is longer than 256 characters"));
        }
        if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte)) {
            return Err(attribute.line.error("the value has a character other than letters, digits, + / = - _"));
        }
        Ok(Some(value.to_owned()))
    }

    /// True if `media` or the session part has `a=ice-lite`.
    pub fn ice_lite(&self, media: &MediaDescription) -> bool {
        self.attribute(media, "ice-lite").is_some()
    }

    /// Where the peer receives RTCP without rtcp-mux: the address of `a=rtcp` (RFC 3605), else the port above that of RTP. An
    /// `a=rtcp` with port 0, port 9 (a placeholder) or an unspecified address is ignored. Of an `a=rtcp` with a host name, which
    /// Trestle does not resolve, the port is used, with the address of RTP.
    ///
    /// A malformed `a=rtcp` goes to `skipped`.
    pub fn rtcp_address(&self, media: &MediaDescription, rtp: SocketAddr, skipped: &mut Skipped) -> SocketAddr {
        let next = SocketAddr::new(rtp.ip(), rtp.port().checked_add(1).unwrap_or(rtp.port()));
        let Some(attribute) = media.attribute("rtcp") else { return next };
        let mut words = attribute.value.unwrap_or_default().split_ascii_whitespace();
        let Some(port) = words.next().and_then(|port| port.parse::<u16>().ok()) else {
            skipped.add(attribute.line.error("expected a port from 0 to 65535"));
            return next;
        };
        let rest: Vec<&str> = words.collect();
        let ip = match rest.as_slice() {
            [] => rtp.ip(),
            rest => match Connection::parse(&Line { value: rest.join(" "), ..attribute.line.clone() }) {
                Ok(connection) => connection.address,
                Err(error) => {
                    skipped.add(attribute.line.error(error.reason));
                    rtp.ip()
                }
            },
        };
        if port == 9 || port == 0 || ip.is_unspecified() { next } else { SocketAddr::new(ip, port) }
    }
}

impl MediaDescription {
    /// All attributes, in order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        self.lines.iter().filter_map(Line::attribute)
    }

    /// The first attribute with this name.
    pub fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        self.attributes().find(|attribute| attribute.name == name)
    }

    /// True if there is an `a=rtcp-mux` (RFC 5761).
    pub fn rtcp_mux(&self) -> bool {
        self.attribute("rtcp-mux").is_some()
    }

    /// `a=mid` (RFC 5888).
    ///
    /// # Errors
    ///
    /// The value is not one word of at most 32 characters.
    pub fn mid(&self) -> Result<Option<&str>, SdpError> {
        let Some(attribute) = self.attribute("mid") else { return Ok(None) };
        let mid = attribute.required()?;
        if mid.len() > 32 || !mid.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(attribute.line.error("a=mid must be one word of at most 32 characters"));
        }
        Ok(Some(mid))
    }

    /// The value of `a=ptime` or `a=maxptime` in milliseconds, rounded down.
    ///
    /// # Errors
    ///
    /// The value is not a number from 1 to 1000.
    pub fn milliseconds(&self, name: &str) -> Result<Option<u32>, SdpError> {
        let Some(attribute) = self.attribute(name) else { return Ok(None) };
        let value = attribute.required()?;
        // RFC 8866 section 6.4 allows a fraction. No supported codec needs one.
        let whole = value.split('.').next().unwrap_or(value);
        match whole.parse::<u32>() {
            Ok(ms @ 1..=1_000) => Ok(Some(ms)),
            _ => Err(attribute.line.error("expected 1 to 1000 milliseconds")),
        }
    }
}
