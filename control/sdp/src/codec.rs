//! Formats of an audio `m=` line: payload types with their `a=rtpmap` and `a=fmtp`.

use trestle_audio::{CODECS, Codec, CodecInfo};
use trestle_core::plan::OpusSettings;
use trestle_wire::{ClockRate, Pt};

use super::{MediaDescription, SdpError, Skipped};

/// How Trestle uses a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormatKind {
    /// A codec that Trestle supports.
    Audio(Codec),
    /// telephone-event (RFC 4733) with this clock rate.
    Event(ClockRate),
    /// Comfort noise (RFC 3389). Trestle does not negotiate it.
    ComfortNoise,
    /// Another format. Trestle does not negotiate it.
    Other,
}

/// One payload type of an `m=` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// Payload type.
    pub pt: Pt,
    /// How Trestle uses it.
    pub kind: FormatKind,
    /// Encoding name as written.
    pub name: String,
    /// RTP clock rate, Hz.
    pub clock_hz: u32,
    /// Channels; 1 if not written.
    pub channels: u8,
    /// The text after `a=fmtp:PT `.
    pub fmtp: Option<String>,
}

impl Format {
    /// A format of a codec that Trestle supports.
    pub fn audio(pt: Pt, codec: Codec, fmtp: Option<&str>) -> Self {
        let CodecInfo { name, clock, channels, .. } = *codec.info();
        Self {
            pt,
            kind: FormatKind::Audio(codec),
            name: name.to_owned(),
            clock_hz: clock.hz(),
            channels,
            fmtp: fmtp.map(str::to_owned),
        }
    }

    /// telephone-event at 8000 Hz.
    pub fn event(pt: Pt, fmtp: Option<&str>) -> Self {
        let kind = FormatKind::Event(ClockRate::HZ_8000);
        let (name, fmtp) = ("telephone-event".to_owned(), fmtp.map(str::to_owned));
        Self { pt, kind, name, clock_hz: 8_000, channels: 1, fmtp }
    }

    /// The text after `a=rtpmap:PT `.
    pub fn rtpmap(&self) -> String {
        match self.channels {
            1 => format!("{}/{}", self.name, self.clock_hz),
            channels => format!("{}/{}/{channels}", self.name, self.clock_hz),
        }
    }

    /// The codec, if Trestle supports it.
    pub fn codec(&self) -> Option<Codec> {
        match self.kind {
            FormatKind::Audio(codec) => Some(codec),
            _ => None,
        }
    }

    /// The clock rate of telephone-event; `None` for another format.
    pub fn event_clock(&self) -> Option<ClockRate> {
        match self.kind {
            FormatKind::Event(clock) => Some(clock),
            _ => None,
        }
    }

    /// The value of the parameter `name` of `a=fmtp`; upper and lower case are the same. Words without `=` are ignored, since Janus
    /// writes a `0` before the first parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let text = self.fmtp.as_deref()?;
        text.split([';', ' '])
            .filter_map(|part| part.split_once('='))
            .find_map(|(key, value)| key.trim().eq_ignore_ascii_case(name).then(|| value.trim()))
    }

    /// The settings of an Opus encoder that sends to the writer of this format (RFC 7587 section 6.1). Without `a=fmtp` they are the
    /// defaults.
    pub fn opus_settings(&self) -> OpusSettings {
        let defaults = OpusSettings::default();
        if self.fmtp.is_none() {
            return defaults;
        }
        let number = |name: &str| self.parameter(name).and_then(|value| value.parse::<u32>().ok());
        let flag = |name: &str| self.parameter(name) == Some("1");
        OpusSettings {
            bitrate_bps: number("maxaveragebitrate").map_or(defaults.bitrate_bps, |bps| bps.clamp(6_000, 510_000)),
            inband_fec: flag("useinbandfec"),
            dtx: flag("usedtx"),
            max_playback_hz: number("maxplaybackrate").map_or(defaults.max_playback_hz, |hz| hz.clamp(8_000, 48_000)),
        }
    }
}

impl MediaDescription {
    /// The formats in the order of the `m=` line.
    ///
    /// `known` has the formats that Trestle offered. A dynamic payload type without `a=rtpmap` (some phones omit it in answers) is
    /// looked up there; if it is not found, it is [`FormatKind::Other`]. A word that is no payload type, and a malformed `a=rtpmap`,
    /// go to `skipped`.
    pub fn audio_formats(&self, known: &[Format], skipped: &mut Skipped) -> Vec<Format> {
        let mut formats: Vec<Format> = Vec::with_capacity(self.formats.len());
        for word in &self.formats {
            let Some(pt) = word.parse::<u8>().ok().and_then(Pt::new) else {
                skipped.add(self.line.error(format!("{word} is not a payload type from 0 to 127")));
                continue;
            };
            if formats.iter().any(|format| format.pt == pt) {
                continue;
            }
            let mut format = skipped
                .take(self.mapped(pt))
                .or_else(|| statically_known(pt))
                .or_else(|| known.iter().find(|format| format.pt == pt).cloned())
                .unwrap_or_else(|| unknown(pt));
            format.fmtp = self.fmtp(pt).map(str::to_owned);
            formats.push(format);
        }
        formats
    }

    /// The format that `a=rtpmap:PT NAME/CLOCK[/CHANNELS]` defines for `pt` (RFC 8866 section 6.6); `None` without such a line.
    /// Without a clock the name decides, if Trestle knows it.
    ///
    /// # Errors
    ///
    /// The line for `pt` is malformed.
    fn mapped(&self, pt: Pt) -> Result<Option<Format>, SdpError> {
        for attribute in self.attributes().filter(|attribute| attribute.name == "rtpmap") {
            let (number, map) = split_pt(attribute.value.unwrap_or_default().trim());
            if number != Some(pt.get()) {
                continue;
            }
            let line = attribute.line;
            let mut parts = map.split('/').map(str::trim);
            let (name, clock, channels) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
            let token = |byte: u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            if name.is_empty() || name.len() > 40 || !name.bytes().all(token) {
                return Err(line.error("expected PT NAME/CLOCK"));
            }
            let Some(clock) = clock.filter(|clock| !clock.is_empty()) else {
                let format = named(pt, name);
                return format.map(Some).ok_or_else(|| line.error("expected PT NAME/CLOCK: the clock rate is missing"));
            };
            let clock = clock.parse().ok().and_then(ClockRate::new);
            let clock = clock.ok_or_else(|| line.error("the clock rate is not a number from 1 to 384000"))?;
            let channels = match channels {
                None | Some("") => 1,
                Some(channels) => {
                    channels.parse().map_err(|_| line.error("the number of channels is not a number from 0 to 255"))?
                }
            };
            let kind = kind_of(pt, name, clock, channels);
            let name = name.to_owned();
            return Ok(Some(Format { pt, kind, name, clock_hz: clock.hz(), channels, fmtp: None }));
        }
        Ok(None)
    }

    fn fmtp(&self, pt: Pt) -> Option<&str> {
        self.attributes().filter(|attribute| attribute.name == "fmtp").find_map(|attribute| {
            let (number, parameters) = split_pt(attribute.value?.trim());
            (number == Some(pt.get()) && !parameters.is_empty()).then_some(parameters)
        })
    }
}

/// `111 opus/48000/2` to `(111, opus/48000/2)`.
fn split_pt(value: &str) -> (Option<u8>, &str) {
    let (number, rest) = value.split_once(' ').unwrap_or((value, ""));
    (number.parse().ok(), rest.trim())
}

fn kind_of(pt: Pt, name: &str, clock: ClockRate, channels: u8) -> FormatKind {
    // With rtcp-mux, RTP packets with these payload types and the marker bit cannot be distinguished from RTCP (RFC 5761 section 4).
    if (64..=95).contains(&pt.get()) {
        return FormatKind::Other;
    }
    if let Some(info) = CodecInfo::by_name(name, clock, channels) {
        return FormatKind::Audio(info.codec);
    }
    match name.to_ascii_lowercase().as_str() {
        "telephone-event" => FormatKind::Event(clock),
        "cn" => FormatKind::ComfortNoise,
        _ => FormatKind::Other,
    }
}

/// The format of a name without a clock rate: a codec of Trestle, or telephone-event at 8000 Hz.
fn named(pt: Pt, name: &str) -> Option<Format> {
    if name.eq_ignore_ascii_case("telephone-event") {
        return Some(Format::event(pt, None));
    }
    let info = CODECS.iter().find(|info| info.name.eq_ignore_ascii_case(name))?;
    let kind = kind_of(pt, name, info.clock, info.channels);
    Some(Format { kind, ..Format::audio(pt, info.codec, None) })
}

/// The format of a static payload type (RFC 3551 section 6), which needs no `a=rtpmap`: a codec of Trestle, or comfort noise.
fn statically_known(pt: Pt) -> Option<Format> {
    if pt == Pt::COMFORT_NOISE {
        return Some(Format { kind: FormatKind::ComfortNoise, name: "CN".to_owned(), clock_hz: 8_000, ..unknown(pt) });
    }
    CodecInfo::by_static_pt(pt).map(|info| Format::audio(pt, info.codec, None))
}

fn unknown(pt: Pt) -> Format {
    Format { pt, kind: FormatKind::Other, name: String::new(), clock_hz: 0, channels: 1, fmtp: None }
}
