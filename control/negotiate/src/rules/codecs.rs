//! Which formats go into which description, and what is sent.

use trestle_audio::{CODECS, CodecInfo, PtAssignment};
use trestle_core::plan::{Codec, OpusSettings, SendFormat};
use trestle_ng::command::Switch;
use trestle_wire::{ClockRate, Pt, Ptime};

use crate::NegotiationError;
use crate::error::{FlagsError, OutOfPlace, unbridgeable};
use crate::party::Party;
use trestle_ng::command::CodecSpec;
use trestle_ng::command::flags::{CodecFlags, Flags, ProfileName};
use trestle_sdp::Format;
use trestle_sdp::PeerDescription;

/// Opus as Meta describes its own.
const OPUS_FMTP: &str =
    "maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1";

/// The sixteen keys (RFC 4733 2.4.1). Meta writes no `a=fmtp` for its events, and gets none.
const EVENT_FMTP: &str = "0-15";

const EVENT_PT_META: u8 = 126;
const EVENT_PT_SIP: u8 = 101;

/// True if a list removes a format: the list names it, or it is `all` and no other list makes an exception.
fn takes(list: &trestle_ng::command::CodecList, flags: &CodecFlags, format: &Format) -> bool {
    let (name, clock, channels) = (format.name.as_str(), format.clock_hz, format.channels);
    let excepted = flags.except.contains(name, clock, channels) || flags.offer.contains(name, clock, channels);
    list.find(name, clock, channels).is_some() || (list.contains(name, clock, channels) && !excepted)
}

/// The formats that the receiver is offered, given the sender's.
pub(crate) fn for_receiver(
    sender: &PeerDescription,
    sender_profile: ProfileName,
    receiver: ProfileName,
    flags: &Flags,
    warnings: &mut Vec<String>,
) -> Result<Vec<Format>, NegotiationError> {
    let codec = &flags.codec;
    let hidden = |format: &Format| {
        [&codec.strip, &codec.ignore, &codec.mask, &codec.consume].into_iter().any(|list| takes(list, codec, format))
    };
    let mut formats: Vec<Format> = sender.codecs().into_iter().filter(|format| !hidden(format)).collect();
    if receiver == ProfileName::Whatsapp {
        // Only numbers that have G.711 enabled take it, so it is offered only if a flag names it.
        formats.retain(|format| {
            let named = |spec: &CodecSpec| spec.matches(&format.name, format.clock_hz, format.channels);
            format.codec() == Some(Codec::Opus) || codec.offer.specs.iter().chain(&codec.except.specs).any(named)
        });
    }
    formats.sort_by_key(|format| {
        let named = |spec: &CodecSpec| spec.matches(&format.name, format.clock_hz, format.channels);
        codec.offer.specs.iter().position(named).unwrap_or(usize::MAX)
    });

    let mut event_wanted = flags.has(Switch::InjectDtmf);
    for spec in &codec.transcode.specs {
        match codec_of(spec) {
            Some(wanted) => {
                let fmtp = spec.fmtp.as_deref().filter(|fmtp| !fmtp.contains(char::is_control));
                add(&mut formats, wanted, fmtp, sender);
            }
            None if spec.name.eq_ignore_ascii_case("telephone-event") => event_wanted = true,
            None => warnings.push(format!("cannot transcode to {}", spec.name.escape_debug())),
        }
    }
    if *codec == CodecFlags::default() && receiver == ProfileName::Sip && sender_profile != ProfileName::Sip {
        add(&mut formats, Codec::Pcma, None, sender);
        add(&mut formats, Codec::Pcmu, None, sender);
    }
    if receiver != ProfileName::Sip && (*codec == CodecFlags::default() || formats.is_empty()) {
        add(&mut formats, Codec::Opus, None, sender);
    }
    if formats.is_empty() {
        return Err(NegotiationError::Flags(FlagsError::NoCodec));
    }
    if receiver == ProfileName::Whatsapp {
        // Our payload types, not the sender's, so that all callers get the same; Opus first, because Meta transcodes the rest.
        formats.sort_by_key(|format| format.codec() != Some(Codec::Opus));
        for format in &mut formats {
            let canonical = format.codec().map(|codec| Format::audio(codec.info().pt.preferred(), codec, None));
            let fmtp = (format.codec() == Some(Codec::Opus)).then(|| OPUS_FMTP.to_owned());
            *format = Format { fmtp, ..canonical.unwrap_or_else(|| format.clone()) };
        }
    }
    formats.extend(event_for_receiver(sender, sender_profile, receiver, codec, event_wanted, &formats));
    Ok(formats)
}

/// telephone-event for a receiver: one line, at 8000 Hz.
fn event_for_receiver(
    sender: &PeerDescription,
    sender_profile: ProfileName,
    receiver: ProfileName,
    flags: &CodecFlags,
    wanted: bool,
    formats: &[Format],
) -> Option<Format> {
    let eight = sender.events().find(|event| event.event_clock() == Some(ClockRate::HZ_8000));
    let any = eight.or_else(|| sender.events().next());
    let stripped = flags.strip.full || flags.strip.find("telephone-event", 8_000, 1).is_some();
    if stripped && !wanted && receiver != ProfileName::Whatsapp {
        return None;
    }
    let taken = |pt: u8| formats.iter().any(|format| format.pt.get() == pt);
    match (receiver, eight) {
        (ProfileName::Whatsapp, _) => Some(Format::event(free_pt(EVENT_PT_META, taken), None)),
        // May be WhatsApp, if the message has no `profile`.
        (ProfileName::Webrtc, _) if sender_profile == ProfileName::Sip => {
            Some(Format::event(free_pt(EVENT_PT_META, taken), None))
        }
        // The sender's own. Meta's has no a=fmtp; a phone gets one, so that it knows the digits.
        (_, Some(event)) if !taken(event.pt.get()) => {
            let fmtp = event
                .fmtp
                .as_deref()
                .or((sender_profile != receiver && receiver == ProfileName::Sip).then_some(EVENT_FMTP));
            Some(Format::event(event.pt, fmtp))
        }
        (ProfileName::Webrtc, _) => Some(Format::event(free_pt(EVENT_PT_META, taken), None)),
        (ProfileName::Sip, _) if wanted || any.is_some() || sender_profile == ProfileName::Whatsapp => {
            Some(Format::event(free_pt(EVENT_PT_SIP, taken), Some(EVENT_FMTP)))
        }
        (ProfileName::Sip, _) => None,
    }
}

fn add(formats: &mut Vec<Format>, codec: Codec, fmtp: Option<&str>, sender: &PeerDescription) {
    if formats.iter().any(|format| format.codec() == Some(codec)) {
        return;
    }
    // A payload type with another meaning for the sender would confuse readers of traces.
    let taken = |pt: u8| {
        formats.iter().any(|format| format.pt.get() == pt)
            || sender.formats.iter().any(|format| format.pt.get() == pt && format.codec() != Some(codec))
    };
    let pt = match codec.info().pt {
        PtAssignment::Static(pt) => pt,
        PtAssignment::Dynamic(preferred) => free_pt(preferred.get(), taken),
    };
    let own = (codec == Codec::Opus).then_some(OPUS_FMTP);
    formats.push(Format::audio(pt, codec, fmtp.or(own)));
}

/// `preferred`, or the first free dynamic payload type. At most 32 are taken, so there is one.
fn free_pt(preferred: u8, taken: impl Fn(u8) -> bool) -> Pt {
    let pt = std::iter::once(preferred).chain(96..=127).find(|pt| !taken(*pt)).unwrap_or(preferred);
    Pt::new(pt).unwrap_or(Pt::PCMU)
}

fn codec_of(spec: &CodecSpec) -> Option<Codec> {
    let is_meant = |info: &&CodecInfo| {
        spec.name.eq_ignore_ascii_case(info.name) && spec.clock_hz.is_none_or(|hz| hz == info.clock.hz())
    };
    CODECS.iter().find(is_meant).map(|info| info.codec)
}

/// The offerer's codecs that an answer may use. `strip` removes codecs here as well, unless none would be left: an answer
/// must choose from the offer (RFC 3264 6.1).
pub(crate) fn answerable(sender: &PeerDescription, flags: &Flags, warnings: &mut Vec<String>) -> Vec<Format> {
    let all = sender.codecs();
    let gone = |format: &&Format| {
        takes(&flags.codec.strip, &flags.codec, format) || takes(&flags.codec.ignore, &flags.codec, format)
    };
    let kept: Vec<Format> = all.iter().filter(|format| !gone(format)).cloned().collect();
    if kept.is_empty() {
        warnings.push("codec-strip leaves the offerer no codec; read as codec-mask".to_owned());
        return all;
    }
    kept
}

/// The codecs of an answer.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Formats of the answer to the offerer, with the offerer's payload types and in its order.
    pub(crate) answer: Vec<Format>,
    /// What is sent to the offerer: one of `answer`.
    pub(crate) to_offerer: Format,
    /// What is sent to the answerer.
    pub(crate) to_answerer: Format,
}

/// Chooses the codecs of both legs: one that both have, else one each with transcoding between. `offered` are the formats of
/// the offer to the answerer, whose answer is `remote`.
pub(crate) fn choose(
    offerer: &Party,
    offered: &[Format],
    remote: &PeerDescription,
    flags: &Flags,
) -> Result<Choice, NegotiationError> {
    let is_offered = |codec: Codec| offered.iter().any(|format| format.codec() == Some(codec));
    let mut accepted: Vec<Format> =
        remote.codecs().into_iter().filter(|format| format.codec().is_some_and(is_offered)).collect();
    let ignored = |format: &Format| takes(&flags.codec.ignore, &flags.codec, format);
    if !accepted.iter().all(ignored) {
        accepted.retain(|format| !ignored(format));
    }
    let Some(first) = accepted.first() else {
        return Err(no_common_codec(offered, remote));
    };
    let usable = usable(offerer);
    let both = |format: &Format| accepted.iter().find(|other| other.codec() == format.codec());
    let kept = |format: &&Format| {
        let accept = &flags.codec.accept;
        both(format).is_some()
            || flags.has(Switch::AlwaysTranscode)
            || accept.contains(&format.name, format.clock_hz, format.channels)
    };
    let in_use = offerer.send_format().map(|send| send.codec).filter(|_| flags.has(Switch::ReuseCodecs));
    let reused = usable.iter().find(|format| format.codec() == in_use && both(format).is_some());
    let common = reused.or_else(|| usable.iter().find(|format| both(format).is_some()));
    let Some(to_offerer) = common.or(usable.first()).cloned() else {
        return Err(NegotiationError::OutOfPlace(OutOfPlace::NothingOffered));
    };
    let mut answer: Vec<Format> = match common {
        Some(_) => usable.iter().filter(kept).cloned().collect(),
        None => vec![to_offerer.clone()],
    };
    if flags.has(Switch::SingleCodec) || offerer.profile() == ProfileName::Whatsapp {
        answer = vec![to_offerer.clone()];
    }
    let to_answerer = both(&to_offerer).unwrap_or(first).clone();
    for format in &mut answer {
        // Packets may be forwarded as they are, so the decoder of the other peer limits the offerer too. Meta gets its own
        // parameters back.
        if offerer.profile() != ProfileName::Whatsapp && format.codec() == Some(Codec::Opus) {
            format.fmtp = match both(format) {
                Some(other) => other.fmtp.clone(),
                None => Some(OPUS_FMTP.to_owned()),
            };
        }
    }
    answer.extend(event_for_offerer(offerer, &to_offerer));
    Ok(Choice { answer, to_offerer, to_answerer })
}

/// Codecs that an answer to the offerer may use. WhatsApp was answered before and keeps the codecs of that answer: the other
/// side adapts.
fn usable(offerer: &Party) -> Vec<Format> {
    let agreed =
        offerer.negotiation.agreed().filter(|_| offerer.is_fixed()).map_or(&[][..], |agreed| &agreed.local_formats);
    let agreed: Vec<Format> = agreed.iter().filter(|format| format.codec().is_some()).cloned().collect();
    if !agreed.is_empty() {
        return agreed;
    }
    offerer.negotiation.incoming().map(|offer| offer.answerable.clone()).unwrap_or_default()
}

/// The answerer's first codec that it was offered.
pub(crate) fn first_accepted(offered: &[Format], remote: &PeerDescription) -> Result<Format, NegotiationError> {
    let is_offered = |format: &Format| offered.iter().any(|offered| offered.codec() == format.codec());
    remote.codecs().into_iter().find(is_offered).ok_or_else(|| no_common_codec(offered, remote))
}

fn no_common_codec(offered: &[Format], remote: &PeerDescription) -> NegotiationError {
    let names: Vec<&str> = offered.iter().filter(|f| f.codec().is_some()).map(|f| f.name.as_str()).collect();
    unbridgeable(remote.media(), format!("answers with no codec that was offered ({})", names.join(", ")))
}

/// What is sent to an answerer whose answer is `remote`. `format` is the codec chosen, `offered` are the formats of the offer.
pub(crate) fn send_to_answerer(
    party: &Party,
    remote: &PeerDescription,
    format: &Format,
    offered: &[Format],
    set: &CodecFlags,
) -> SendFormat {
    let event = remote.events().find(|event| event.clock_hz == 8_000).or_else(|| remote.events().next());
    // Meta takes digits even if its answer has no telephone-event.
    let metas = || offered.iter().find(|format| format.event_clock().is_some());
    let event = event.or_else(|| metas().filter(|_| party.profile() == ProfileName::Whatsapp));
    send_format(party, remote, format, event, set)
}

/// telephone-event in an answer: the offerer's line at 8000 Hz, else its first. Whether the other side takes events does not
/// matter: without them it gets tones.
///
/// Beside Opus a browser counts the durations of its events at 48000 Hz, whatever their a=rtpmap is, so the answer has the
/// line at 48000 Hz (RFC 4733 2.1 requires the clock rate of the audio).
fn event_for_offerer(offerer: &Party, to_offerer: &Format) -> Option<Format> {
    let offer = offerer.negotiation.incoming()?;
    let remote = &offer.terms.remote;
    let at = |clock: ClockRate| remote.events().find(|event| event.event_clock() == Some(clock));
    let in_opus_clock = offer.kind.profile == ProfileName::Webrtc && to_offerer.codec() == Some(Codec::Opus);
    let exact = at(ClockRate::HZ_48000).filter(|_| in_opus_clock);
    exact.or_else(|| at(ClockRate::HZ_8000)).or_else(|| remote.events().next()).cloned()
}

/// What is sent to a peer in `format`, with digits as `event`.
pub(crate) fn send_format(
    party: &Party,
    remote: &PeerDescription,
    format: &Format,
    event: Option<&Format>,
    set: &CodecFlags,
) -> SendFormat {
    let whatsapp = party.profile() == ProfileName::Whatsapp;
    let opus = if format.codec() == Some(Codec::Opus) { format.opus_settings() } else { OpusSettings::default() };
    let encoder = set.set.find(&format.name, format.clock_hz, format.channels).and_then(|spec| spec.bitrate_bps);
    // A maxaveragebitrate of the peer is a limit (RFC 7587 6.1); the flags may ask for less.
    let limit = if format.parameter("maxaveragebitrate").is_some() { opus.bitrate_bps } else { 510_000 };
    let bitrate_bps = encoder.map_or(opus.bitrate_bps, |bps| bps.clamp(6_000, limit));
    SendFormat {
        pt: format.pt,
        codec: format.codec().unwrap_or(Codec::Pcma),
        ptime: if whatsapp { Ptime::MS_20 } else { ptime(party.preferences.ptime_ms.or(remote.ptime_ms)) },
        strict_ptime: whatsapp || party.preferences.ptime_ms.is_some(),
        opus: OpusSettings { bitrate_bps, ..opus },
        event: event.and_then(|event| Some((event.pt, event.event_clock()?))),
    }
}

/// The longest packet time that Trestle can make and that is not above `ms`.
fn ptime(ms: Option<u32>) -> Ptime {
    let ms = ms.unwrap_or(20).clamp(10, 60);
    Ptime::new(ms - ms % 10).unwrap_or(Ptime::MS_20)
}
