//! Text to [`Sdp`].

use super::limits::{CANDIDATES_MAX, CRYPTO_MAX, FORMATS_MAX, LINE_BYTES_MAX, LINES_MAX, MEDIA_MAX, SDP_BYTES_MAX};
use super::{Line, MediaDescription, Sdp, SdpError};

impl Sdp {
    /// Parses a description. Lines end with CR LF or LF; empty lines at the end are ignored. All other lines are kept, also those
    /// that Trestle does not know.
    ///
    /// # Errors
    ///
    /// The text is not SDP, or exceeds a limit of [`super::limits`]. The error has the line and the reason.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > SDP_BYTES_MAX {
            return Err(SdpError::whole(format!("longer than {SDP_BYTES_MAX} bytes")));
        }
        let body = text.trim_end_matches(['\r', '\n']);
        if body.is_empty() {
            return Err(SdpError::whole("the description has no lines"));
        }
        let mut sdp = Self { session: Vec::new(), media: Vec::new() };
        for (index, raw) in body.split('\n').enumerate() {
            let number = index + 1;
            if number > LINES_MAX {
                return Err(SdpError::whole(format!("more than {LINES_MAX} lines")));
            }
            let line = read_line(number, raw.strip_suffix('\r').unwrap_or(raw))?;
            sdp.push(line)?;
        }
        if !sdp.session.iter().any(|line| line.letter == 'o') {
            return Err(SdpError::whole("there is no o= line"));
        }
        Ok(sdp)
    }

    fn push(&mut self, line: Line) -> Result<(), SdpError> {
        match (line.number, line.letter) {
            (1, 'v') if line.value.trim_end() == "0" => {}
            (1, _) => return Err(line.error("the first line must be v=0")),
            (_, 'v') => return Err(line.error("this is a second v= line")),
            (_, 'o') if !self.media.is_empty() || self.session.iter().any(|other| other.letter == 'o') => {
                return Err(line.error("o= must occur once, before the first m= line"));
            }
            (_, 'o') if line.value.split_ascii_whitespace().count() != 6 => {
                return Err(line.error("o= must have six fields: user, id, version, IN, IP4 or IP6, address"));
            }
            (_, 'm') => {
                if self.media.len() == MEDIA_MAX {
                    return Err(line.error(format!("more than {MEDIA_MAX} m= lines")));
                }
                self.media.push(MediaDescription::parse(line)?);
                return Ok(());
            }
            _ => {}
        }
        let (lines, limited) = match self.media.last_mut() {
            Some(media) => (&mut media.lines, true),
            None => (&mut self.session, false),
        };
        if limited && let Some(attribute) = line.attribute() {
            let limit = match attribute.name {
                "candidate" => CANDIDATES_MAX,
                "crypto" => CRYPTO_MAX,
                _ => usize::MAX,
            };
            let known = |other: &&Line| other.attribute().is_some_and(|other| other.name == attribute.name);
            if limit != usize::MAX && lines.iter().filter(known).count() == limit {
                return Err(line.error(format!("more than {limit} a={} lines", attribute.name)));
            }
        }
        lines.push(line);
        Ok(())
    }
}

fn read_line(number: usize, raw: &str) -> Result<Line, SdpError> {
    if raw.len() > LINE_BYTES_MAX {
        return Err(SdpError::at(number, raw, format!("longer than {LINE_BYTES_MAX} bytes")));
    }
    if raw.chars().any(char::is_control) {
        return Err(SdpError::at(number, raw, "the line has a control character"));
    }
    if raw.is_empty() {
        return Err(SdpError::at(number, raw, "the line is empty"));
    }
    match raw.split_at_checked(2) {
        Some((head, value)) if head.as_bytes()[0].is_ascii_lowercase() && head.as_bytes()[1] == b'=' => {
            Ok(Line { number, letter: char::from(head.as_bytes()[0]), value: value.to_owned() })
        }
        _ => Err(SdpError::at(number, raw, "a line must be a lower-case letter, \"=\" and a value")),
    }
}

impl MediaDescription {
    /// `m=audio 49170 RTP/AVP 0 8 101` (RFC 8866 5.14).
    fn parse(line: Line) -> Result<Self, SdpError> {
        let mut words = line.value.split_ascii_whitespace();
        let (Some(media), Some(port), Some(proto)) = (words.next(), words.next(), words.next()) else {
            return Err(line.error("m= must have a media type, a port, a protocol and formats"));
        };
        if port.contains('/') {
            return Err(line.error("a number of ports (PORT/COUNT) is not supported"));
        }
        let port: u16 = port.parse().map_err(|_| line.error("the port is not a number from 0 to 65535"))?;
        let formats: Vec<String> = words.map(str::to_owned).collect();
        if formats.is_empty() {
            return Err(line.error("m= has no format"));
        }
        if formats.len() > FORMATS_MAX {
            return Err(line.error(format!("more than {FORMATS_MAX} formats")));
        }
        Ok(Self { media: media.to_owned(), port, proto: proto.to_owned(), formats, lines: Vec::new(), line })
    }
}
