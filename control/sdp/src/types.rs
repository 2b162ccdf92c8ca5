//! A description as its lines, and what the lines say.

use std::net::{IpAddr, SocketAddr};

/// One line: its letter, what follows the `=`, and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Line number, from 1.
    pub number: usize,
    /// The letter before the `=`.
    pub letter: char,
    /// Everything after the `=`.
    pub value: String,
}

impl Line {
    /// The line as an attribute, if it is an `a=` line.
    pub fn attribute(&self) -> Option<Attribute<'_>> {
        (self.letter == 'a').then(|| {
            let (name, value) = match self.value.split_once(':') {
                Some((name, value)) => (name, Some(value)),
                None => (self.value.as_str(), None),
            };
            Attribute { name, value, line: self }
        })
    }

    /// An error about this line.
    pub fn error(&self, reason: impl Into<String>) -> SdpError {
        SdpError::at(self.number, &format!("{}={}", self.letter, self.value), reason)
    }
}

/// An `a=` line taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The part before the first `:`.
    pub name: &'a str,
    /// The part after it; `None` for a flag such as `a=rtcp-mux`.
    pub value: Option<&'a str>,
    /// The whole line.
    pub line: &'a Line,
}

impl<'a> Attribute<'a> {
    /// The value without white space around it; an error if there is none.
    pub fn required(&self) -> Result<&'a str, SdpError> {
        match self.value.map(str::trim) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(self.line.error(format!("a={} needs a value", self.name))),
        }
    }
}

/// A session description: the session's lines, then each `m=` line with its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sdp {
    /// Lines before the first `m=`.
    pub session: Vec<Line>,
    /// The `m=` lines in order.
    pub media: Vec<MediaDescription>,
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
    /// Transport protocol, e.g. `RTP/AVP`.
    pub proto: String,
    /// Formats as written; payload types for RTP.
    pub formats: Vec<String>,
    /// The lines below, up to the next `m=`.
    pub lines: Vec<Line>,
}

/// A description that cannot be used: the line, its text, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SdpError {
    /// Line number from 1; `None` if the fault is in no single line.
    pub line: Option<usize>,
    /// The line, cut to 100 bytes; control characters are shown escaped, keys and passwords not at all.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl SdpError {
    /// Longest excerpt of a line in an error.
    const TEXT_BYTES_MAX: usize = 100;

    /// About a line.
    pub fn at(number: usize, text: &str, reason: impl Into<String>) -> Self {
        // Errors go to logs and to callers; keys do not (RFC 4568 section 7.1).
        let shown = ["a=crypto:", "a=ice-pwd:", "k="].iter().find(|secret| text.starts_with(**secret));
        let text = match shown {
            Some(secret) => format!("{secret}..."),
            None => text.chars().take(Self::TEXT_BYTES_MAX).flat_map(char::escape_default).collect(),
        };
        Self { line: Some(number), text, reason: reason.into() }
    }

    /// About the whole.
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

/// `a=sendrecv` and its kin (RFC 8866 6.7), from the view of its writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Both ways; also without an attribute.
    #[default]
    SendRecv,
    /// It sends and does not listen: hold with music.
    SendOnly,
    /// It listens and does not send.
    RecvOnly,
    /// Neither: hold.
    Inactive,
}

impl Direction {
    /// From what is sent and what is received.
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

    /// What an answer to an offer of `offered` may say at most (RFC 3264 6.1).
    pub fn within(self, offered: Self) -> Self {
        Self::of(self.sends() && offered.receives(), self.receives() && offered.sends())
    }

    /// As an attribute's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// From an attribute's name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive].into_iter().find(|d| d.as_str() == name)
    }
}

/// `a=setup` (RFC 4145 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setup {
    /// DTLS client.
    Active,
    /// DTLS server.
    Passive,
    /// Either, as the other side likes; only in offers.
    ActPass,
}

impl Setup {
    /// As the attribute's value.
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
    /// IPv4 or IPv6 literal. Unspecified (`0.0.0.0`) means hold, or that ICE will tell.
    pub address: IpAddr,
}

impl Connection {
    /// Reads `IN IP4 192.0.2.1`. Names are refused: a media engine that asks the DNS on behalf of a peer can be made to
    /// ask anything. Multicast is refused: a call has one receiver.
    pub fn parse(line: &Line) -> Result<Self, SdpError> {
        let mut words = line.value.split_ascii_whitespace();
        let (Some("IN"), Some(family), Some(address), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(line.error("expected \"IN IP4 ADDRESS\" or \"IN IP6 ADDRESS\""));
        };
        let address: IpAddr =
            address.parse().map_err(|_| line.error("the address must be an IP literal, without a name or a TTL"))?;
        match (family, address.is_ipv4()) {
            ("IP4", true) | ("IP6", false) => {}
            _ => return Err(line.error("the address is not of the family named before it")),
        }
        if address.is_multicast() || address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
            return Err(line.error("a multicast or broadcast address cannot be a peer"));
        }
        Ok(Self { address })
    }
}

impl Sdp {
    /// Attributes of the session part.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        self.session.iter().filter_map(Line::attribute)
    }

    /// The first attribute of this name, at `media`'s level or else the session's.
    pub fn attribute<'a>(&'a self, media: &'a MediaDescription, name: &str) -> Option<Attribute<'a>> {
        media.attribute(name).or_else(|| self.attributes().find(|attribute| attribute.name == name))
    }

    /// All attributes of this name at `media`'s level, or if there is none there, at the session's.
    pub fn attributes_of<'a>(&'a self, media: &'a MediaDescription, name: &str) -> Vec<Attribute<'a>> {
        let own: Vec<_> = media.attributes().filter(|attribute| attribute.name == name).collect();
        if own.is_empty() { self.attributes().filter(|attribute| attribute.name == name).collect() } else { own }
    }

    /// The `c=` line that holds for `media` (RFC 8866 5.7).
    pub fn connection(&self, media: &MediaDescription) -> Result<Connection, SdpError> {
        let own = media.lines.iter().find(|line| line.letter == 'c');
        match own.or_else(|| self.session.iter().find(|line| line.letter == 'c')) {
            Some(line) => Connection::parse(line),
            None => Err(media.line.error("no c= line holds for this media")),
        }
    }

    /// `a=sendrecv` and its kin; the media's own before the session's.
    pub fn direction(&self, media: &MediaDescription) -> Direction {
        let own = media.attributes().filter_map(|attribute| Direction::parse(attribute.name)).last();
        own.or_else(|| self.attributes().filter_map(|attribute| Direction::parse(attribute.name)).last())
            .unwrap_or_default()
    }

    /// `a=setup`. `None` without the attribute; `holdconn` is an error, as there is nothing to hold.
    pub fn setup(&self, media: &MediaDescription) -> Result<Option<Setup>, SdpError> {
        let Some(attribute) = self.attribute(media, "setup") else { return Ok(None) };
        match attribute.required()? {
            "active" => Ok(Some(Setup::Active)),
            "passive" => Ok(Some(Setup::Passive)),
            "actpass" => Ok(Some(Setup::ActPass)),
            _ => Err(attribute.line.error("expected active, passive or actpass")),
        }
    }

    /// `a=ice-ufrag` or `a=ice-pwd` by name.
    ///
    /// RFC 8839 5.4 allows letters, digits, `+` and `/`. Meta writes base64 with its padding, others `-` and `_`: taken.
    pub fn ice_credential(&self, media: &MediaDescription, name: &str) -> Result<Option<String>, SdpError> {
        let Some(attribute) = self.attribute(media, name) else { return Ok(None) };
        let value = attribute.required()?;
        if value.len() > super::limits::ICE_CREDENTIAL_BYTES_MAX {
            return Err(attribute.line.error("longer than 256 characters"));
        }
        if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte)) {
            return Err(attribute.line.error("has characters that no ICE credential has"));
        }
        Ok(Some(value.to_owned()))
    }

    /// `a=ice-lite`, at either level.
    pub fn ice_lite(&self, media: &MediaDescription) -> bool {
        self.attribute(media, "ice-lite").is_some()
    }

    /// Where RTCP goes if not multiplexed: `a=rtcp` (RFC 3605), else the next port. Port 9 is a dummy and counts as
    /// there is none.
    pub fn rtcp_address(&self, media: &MediaDescription, rtp: SocketAddr) -> Result<SocketAddr, SdpError> {
        let next = SocketAddr::new(rtp.ip(), rtp.port().checked_add(1).unwrap_or(rtp.port()));
        let Some(attribute) = media.attribute("rtcp") else { return Ok(next) };
        let value = attribute.required()?;
        let (port, rest) = value.split_once(' ').unwrap_or((value, ""));
        let port: u16 = port.parse().map_err(|_| attribute.line.error("the port is no number"))?;
        let ip = match rest {
            "" => rtp.ip(),
            rest => {
                let line = Line { value: rest.to_owned(), ..attribute.line.clone() };
                Connection::parse(&line).map_err(|error| attribute.line.error(error.reason))?.address
            }
        };
        Ok(if port == 9 || port == 0 || ip.is_unspecified() { next } else { SocketAddr::new(ip, port) })
    }
}

impl MediaDescription {
    /// Attributes in order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        self.lines.iter().filter_map(Line::attribute)
    }

    /// The first attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        self.attributes().find(|attribute| attribute.name == name)
    }

    /// `a=rtcp-mux` (RFC 5761).
    pub fn rtcp_mux(&self) -> bool {
        self.attribute("rtcp-mux").is_some()
    }

    /// `a=mid`, if it is a token (RFC 5888).
    pub fn mid(&self) -> Result<Option<&str>, SdpError> {
        let Some(attribute) = self.attribute("mid") else { return Ok(None) };
        let mid = attribute.required()?;
        if mid.len() > 32 || !mid.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(attribute.line.error("a=mid must be one word of at most 32 characters"));
        }
        Ok(Some(mid))
    }

    /// A packet time attribute, `ptime` or `maxptime`, in whole milliseconds.
    pub fn milliseconds(&self, name: &str) -> Result<Option<u32>, SdpError> {
        let Some(attribute) = self.attribute(name) else { return Ok(None) };
        let value = attribute.required()?;
        // RFC 8866 6.4 allows a fraction; no codec of ours has any.
        let whole = value.split('.').next().unwrap_or(value);
        match whole.parse::<u32>() {
            Ok(ms @ 1..=1_000) => Ok(Some(ms)),
            _ => Err(attribute.line.error("expected 1 to 1000 milliseconds")),
        }
    }
}
