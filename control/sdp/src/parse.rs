//! Text to [`Sdp`].

use std::borrow::Cow;

use super::limits::{FORMATS_MAX, LINE_BYTES_MAX, LINES_MAX, MEDIA_MAX, SDP_BYTES_MAX};
use super::{Line, MediaDescription, Sdp, SdpError, Skipped};

impl Sdp {
    /// Parses a description. Lines end with CR LF or LF. All lines that have the form of a line are kept, also those that Trestle
    /// does not know. Empty lines are ignored; other malformed lines, and those beyond a limit, go to [`Sdp::skipped`].
    ///
    /// # Errors
    ///
    /// The text is not SDP: it does not begin with `v=0`, has a second description, or an `m=` line that cannot be answered; or it
    /// is longer than [`SDP_BYTES_MAX`] or has more than [`MEDIA_MAX`] `m=` lines. The error has the line and the reason.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > SDP_BYTES_MAX {
            return Err(SdpError::whole(format!("longer than {SDP_BYTES_MAX} bytes")));
        }
        let mut sdp = Self { session: Vec::new(), media: Vec::new(), skipped: Skipped::default() };
        let mut kept = 0;
        for (index, raw) in text.split('\n').enumerate() {
            let raw = raw.strip_suffix('\r').unwrap_or(raw);
            if raw.trim().is_empty() {
                continue;
            }
            match read_line(index + 1, raw) {
                Ok(line) if kept == LINES_MAX && line.letter != 'm' => {
                    sdp.skipped.add(line.error(format!("more than {LINES_MAX} lines")));
                }
                Ok(line) => kept += usize::from(sdp.push(line)?),
                Err(error) if kept == 0 => return Err(error),
                Err(error) => sdp.skipped.add(error),
            }
        }
        if kept == 0 {
            return Err(SdpError::whole("the description has no lines"));
        }
        Ok(sdp)
    }

    /// False if the line is skipped.
    fn push(&mut self, line: Line) -> Result<bool, SdpError> {
        let is_first = self.session.is_empty();
        match line.letter {
            'v' if is_first && line.value.trim() == "0" => {}
            _ if is_first => return Err(line.error("the first line must be v=0")),
            'v' => return Err(line.error("this is a second v= line")),
            'o' if !self.media.is_empty() || self.session.iter().any(|other| other.letter == 'o') => {
                self.skipped.add(line.error("o= must occur once, before the first m= line"));
                return Ok(false);
            }
            'm' => {
                if self.media.len() == MEDIA_MAX {
                    return Err(line.error(format!("more than {MEDIA_MAX} m= lines")));
                }
                let media = MediaDescription::parse(line, &mut self.skipped)?;
                self.media.push(media);
                return Ok(true);
            }
            _ => {}
        }
        self.media.last_mut().map_or(&mut self.session, |media| &mut media.lines).push(line);
        Ok(true)
    }
}

fn read_line(number: usize, raw: &str) -> Result<Line, SdpError> {
    if raw.len() > LINE_BYTES_MAX {
        return Err(SdpError::at(number, raw, format!("longer than {LINE_BYTES_MAX} bytes")));
    }
    // Between words a tab is read as a space.
    let raw = if raw.contains('\t') { Cow::Owned(raw.replace('\t', " ")) } else { Cow::Borrowed(raw) };
    if raw.chars().any(char::is_control) {
        return Err(SdpError::at(number, &raw, "the line has a control character"));
    }
    match raw.split_at_checked(2) {
        Some((head, value)) if head.as_bytes()[0].is_ascii_lowercase() && head.as_bytes()[1] == b'=' => {
            Ok(Line { number, letter: char::from(head.as_bytes()[0]), value: value.to_owned() })
        }
        _ => Err(SdpError::at(number, &raw, "a line must be a lower-case letter, \"=\" and a value")),
    }
}

impl MediaDescription {
    /// `m=audio 49170 RTP/AVP 0 8 101`, or `m=audio 49170/2 RTP/AVP 0`: then the first port is used (RFC 8866 section 5.14).
    ///
    /// # Errors
    ///
    /// The line has no media type or no port, so that no answer to it can be written.
    fn parse(line: Line, skipped: &mut Skipped) -> Result<Self, SdpError> {
        let mut words = line.value.split_ascii_whitespace();
        let (Some(media), Some(ports)) = (words.next(), words.next()) else {
            return Err(line.error("m= must have a media type, a port, a protocol and formats"));
        };
        let (port, count) = ports.split_once('/').map_or((ports, None), |(port, count)| (port, Some(count)));
        let port: u16 = port.parse().map_err(|_| line.error("the port is not a number from 0 to 65535"))?;
        if count.is_some_and(|count| count != "1") {
            skipped.add(line.error("of several ports the first is used"));
        }
        let proto = words.next().unwrap_or_default().to_owned();
        let mut formats: Vec<String> = words.map(str::to_owned).collect();
        if formats.len() > FORMATS_MAX {
            skipped.add(line.error(format!("more than {FORMATS_MAX} formats")));
            formats.truncate(FORMATS_MAX);
        }
        Ok(Self { media: media.to_owned(), port, proto, formats, lines: Vec::new(), line })
    }
}
