//! How callers name codecs: `opus`, `opus/48000/2`, `telephone-event/8000`, `all`.

/// One codec as a caller names it: `name/clock/channels/bitrate/ptime/fmtp`, all but the name optional.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CodecSpec {
    /// Encoding name as in `a=rtpmap`, as written by the caller; compares without case.
    pub name: String,
    /// RTP clock rate.
    pub clock_hz: Option<u32>,
    /// Channels.
    pub channels: Option<u8>,
    /// Encoder's bit rate.
    pub bitrate_bps: Option<u32>,
    /// Packet time.
    pub ptime_ms: Option<u32>,
    /// Format parameters, as after `a=fmtp:PT `.
    pub fmtp: Option<String>,
}

impl CodecSpec {
    /// Reads the slash-separated form. `None` if there is no name, or a number is none.
    /// As `=` and spaces have no place in a flag string, `--` and `..` stand for them in `fmtp`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(7, '/').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?.to_owned();
        let clock_hz = number(parts.next())?.map(|hz| hz.min(384_000));
        let channels = number(parts.next())?.map(|n| n.min(255) as u8);
        let bitrate_bps = number(parts.next())?;
        let ptime_ms = number(parts.next())?;
        let fmtp = parts.next().filter(|fmtp| !fmtp.is_empty()).map(|fmtp| fmtp.replace("--", "=").replace("..", " "));
        Some(Self { name, clock_hz, channels, bitrate_bps, ptime_ms, fmtp })
    }

    /// True if this names a codec of an SDP: a part that is absent matches anything.
    /// No channel count in an `a=rtpmap` means one (RFC 8866 6.6).
    pub fn matches(&self, name: &str, clock_hz: u32, channels: u8) -> bool {
        self.name.eq_ignore_ascii_case(name)
            && self.clock_hz.is_none_or(|hz| hz == clock_hz)
            && self.channels.is_none_or(|n| n == channels)
    }
}

/// An absent or empty part is no number; anything else must be one.
fn number(part: Option<&str>) -> Option<Option<u32>> {
    match part {
        None | Some("") => Some(None),
        Some(digits) => digits.parse().ok().map(Some),
    }
}

/// A list of codecs that may also say `all`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CodecList {
    /// `all` (or `any`): every codec; telephone-event and comfort noise, being no codecs, stay as they are.
    pub all: bool,
    /// `full`: every codec and telephone-event and comfort noise as well.
    pub full: bool,
    /// The codecs named, in the caller's order.
    pub specs: Vec<CodecSpec>,
}

impl CodecList {
    /// True if nothing was named.
    pub fn is_empty(&self) -> bool {
        !self.all && !self.full && self.specs.is_empty()
    }

    /// The first entry that names the codec outright; `all` and `full` do not count.
    pub fn find(&self, name: &str, clock_hz: u32, channels: u8) -> Option<&CodecSpec> {
        self.specs.iter().find(|spec| spec.matches(name, clock_hz, channels))
    }

    /// True if the codec is named, or covered by `all` or `full`.
    pub fn contains(&self, name: &str, clock_hz: u32, channels: u8) -> bool {
        let supplemental = name.eq_ignore_ascii_case("telephone-event") || name.eq_ignore_ascii_case("CN");
        self.full || (self.all && !supplemental) || self.find(name, clock_hz, channels).is_some()
    }

    /// Adds one entry. False if it cannot be read.
    pub fn add(&mut self, text: &str) -> bool {
        match text.trim().to_ascii_lowercase().as_str() {
            "all" | "any" => self.all = true,
            "full" => self.full = true,
            _ => match CodecSpec::parse(text) {
                Some(spec) if self.specs.contains(&spec) => {}
                Some(spec) => self.specs.push(spec),
                None => return false,
            },
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_sets_what_it_names_and_leaves_the_rest_open() {
        let spec = CodecSpec::parse("opus/48000/2/20000/20/useinbandfec--1;..stereo--0").unwrap();
        assert_eq!(
            (spec.clock_hz, spec.channels, spec.bitrate_bps, spec.ptime_ms),
            (Some(48_000), Some(2), Some(20_000), Some(20))
        );
        assert_eq!(spec.fmtp.as_deref(), Some("useinbandfec=1; stereo=0"));
        assert!(spec.matches("OPUS", 48_000, 2) && !spec.matches("opus", 48_000, 1));
        assert!(CodecSpec::parse("PCMA").unwrap().matches("pcma", 8_000, 1));
        assert_eq!(CodecSpec::parse("opus//2").unwrap().clock_hz, None);
    }

    #[test]
    fn a_spec_without_a_name_or_with_words_for_numbers_is_none() {
        for bad in ["", "/8000", "PCMA/fast", "PCMA/-1", "PCMA/99999999999"] {
            assert_eq!(CodecSpec::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn all_spares_telephone_event_and_full_does_not() {
        let (mut all, mut full) = (CodecList::default(), CodecList::default());
        assert!(all.add("all") && full.add("full"));
        assert!(all.contains("PCMA", 8_000, 1) && !all.contains("telephone-event", 8_000, 1));
        assert!(full.contains("telephone-event", 8_000, 1));
    }
}
