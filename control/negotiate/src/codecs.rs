//! Which formats go into which description.

use trestle_core::plan::{Codec, OpusSettings, ReceiveFormat, SendFormat};
use trestle_ng::command::Switch;
use trestle_wire::{ClockRate, Pt, Ptime};

use super::NegotiationError;
use super::error::unbridgeable;
use super::party::Party;
use trestle_ng::command::CodecSpec;
use trestle_ng::command::flags::{CodecFlags, Flags, ProfileName};
use trestle_sdp::Format;
use trestle_sdp::Remote;

/// Opus as Meta describes its own.
const OPUS_FMTP: &str =
    "maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1";

/// RFC 4733 2.4.1: the sixteen keys. Meta writes no `a=fmtp` for its events, and gets none.
const EVENT_FMTP: &str = "0-15";

const OPUS_PT: u8 = 111;
const EVENT_PT_META: u8 = 126;
const EVENT_PT_SIP: u8 = 101;

/// True if a list takes a format off: it names it, or says all and nothing makes an exception of it.
fn takes(list: &trestle_ng::command::CodecList, flags: &CodecFlags, format: &Format) -> bool {
    let (name, clock, channels) = (format.name.as_str(), format.clock_hz, format.channels);
    let excepted = flags.except.contains(name, clock, channels) || flags.offer.contains(name, clock, channels);
    list.find(name, clock, channels).is_some() || (list.contains(name, clock, channels) && !excepted)
}

/// The formats that the receiver of an offer is told, given the sender's.
pub(crate) fn for_receiver(
    sender: &Remote,
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
        // G.711 only for numbers that have it enabled, so only if asked for by name.
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
        let reason = "the codec flags take every codec off and transcode to none";
        return Err(NegotiationError::Flags(reason.to_owned()));
    }
    if receiver == ProfileName::Whatsapp {
        // Our numbers, not the sender's, so that they are the same whoever calls; Opus first, as Meta transcodes the rest.
        formats.sort_by_key(|format| format.codec() != Some(Codec::Opus));
        for format in &mut formats {
            let canonical = format.codec().map(|codec| Format::audio(canonical_pt(codec), codec, None));
            let fmtp = (format.codec() == Some(Codec::Opus)).then(|| OPUS_FMTP.to_owned());
            *format = Format { fmtp, ..canonical.unwrap_or_else(|| format.clone()) };
        }
    }
    formats.extend(event_for_receiver(sender, sender_profile, receiver, codec, event_wanted, &formats));
    Ok(formats)
}

/// telephone-event for a receiver: one line, at 8000 Hz.
fn event_for_receiver(
    sender: &Remote,
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
        // May be WhatsApp too, if the caller gave no profile.
        (ProfileName::Webrtc, _) if sender_profile == ProfileName::Sip => {
            Some(Format::event(free_pt(EVENT_PT_META, taken), None))
        }
        // The sender's own, unless Meta's lack of a=fmtp would leave a phone guessing.
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

fn add(formats: &mut Vec<Format>, codec: Codec, fmtp: Option<&str>, sender: &Remote) {
    if formats.iter().any(|format| format.codec() == Some(codec)) {
        return;
    }
    // A number that the sender uses for something else would only confuse readers of traces.
    let taken = |pt: u8| {
        formats.iter().any(|format| format.pt.get() == pt)
            || sender.formats.iter().any(|format| format.pt.get() == pt && format.codec() != Some(codec))
    };
    let pt = match codec {
        Codec::Opus => free_pt(OPUS_PT, taken),
        Codec::Pcma | Codec::Pcmu => canonical_pt(codec),
    };
    let own = (codec == Codec::Opus).then_some(OPUS_FMTP);
    formats.push(Format::audio(pt, codec, fmtp.or(own)));
}

fn canonical_pt(codec: Codec) -> Pt {
    match codec {
        Codec::Pcmu => Pt::PCMU,
        Codec::Pcma => Pt::PCMA,
        Codec::Opus => free_pt(OPUS_PT, |_| false),
    }
}

/// `preferred`, or the first dynamic number that is free. At most 32 are taken, so one always is.
fn free_pt(preferred: u8, taken: impl Fn(u8) -> bool) -> Pt {
    let pt = std::iter::once(preferred).chain(96..=127).find(|pt| !taken(*pt)).unwrap_or(preferred);
    Pt::new(pt).unwrap_or(Pt::PCMU)
}

fn codec_of(spec: &CodecSpec) -> Option<Codec> {
    [Codec::Opus, Codec::Pcma, Codec::Pcmu].into_iter().find(|codec| {
        let format = Format::audio(Pt::PCMU, *codec, None);
        spec.name.eq_ignore_ascii_case(&format.name) && spec.clock_hz.is_none_or(|hz| hz == format.clock_hz)
    })
}

/// The offerer's codecs that an answer may use. `strip` takes them off there as well, unless that leaves nothing: an
/// answer must pick from the offer.
pub(crate) fn answerable(sender: &Remote, flags: &Flags, warnings: &mut Vec<String>) -> Vec<Format> {
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

/// What an answer settles.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Formats of the answer to the offerer, its numbers, its order.
    pub(crate) answer: Vec<Format>,
    /// What we send to the offerer: one of `answer`.
    pub(crate) to_offerer: Format,
    /// What we send to the answerer.
    pub(crate) to_answerer: Format,
}

/// Settles the codecs of both legs: one that both have, else one each and transcoding between.
pub(crate) fn choose(
    offerer: &Party,
    answerer: &Party,
    remote: &Remote,
    flags: &Flags,
) -> Result<Choice, NegotiationError> {
    let offered = |codec: Codec| answerer.told_formats.iter().any(|format| format.codec() == Some(codec));
    let mut accepted: Vec<Format> = remote.codecs().into_iter().filter(|f| f.codec().is_some_and(offered)).collect();
    let ignored = |format: &Format| takes(&flags.codec.ignore, &flags.codec, format);
    if !accepted.iter().all(ignored) {
        accepted.retain(|format| !ignored(format));
    }
    let Some(first) = accepted.first() else {
        return Err(no_common_codec(&answerer.told_formats, remote));
    };
    // WhatsApp was answered before: what it was told stands, and the other side adapts.
    let told: Vec<Format> = offerer.told_formats.iter().filter(|format| format.codec().is_some()).cloned().collect();
    let usable = if offerer.is_fixed() && !told.is_empty() { told } else { offerer.answerable.clone() };
    let both = |format: &Format| accepted.iter().find(|other| other.codec() == format.codec());
    let kept = |format: &&Format| {
        let accept = &flags.codec.accept;
        both(format).is_some()
            || flags.has(Switch::AlwaysTranscode)
            || accept.contains(&format.name, format.clock_hz, format.channels)
    };
    let in_use = offerer.send.map(|send| send.codec).filter(|_| flags.has(Switch::ReuseCodecs));
    let reused = usable.iter().find(|format| format.codec() == in_use && both(format).is_some());
    let common = reused.or_else(|| usable.iter().find(|format| both(format).is_some()));
    let Some(to_offerer) = common.or(usable.first()).cloned() else {
        return Err(NegotiationError::OutOfPlace("the offerer's codecs are not known".to_owned()));
    };
    let mut answer: Vec<Format> = match common {
        Some(_) => usable.iter().filter(kept).cloned().collect(),
        None => vec![to_offerer.clone()],
    };
    if flags.has(Switch::SingleCodec) || offerer.profile == ProfileName::Whatsapp {
        answer = vec![to_offerer.clone()];
    }
    let to_answerer = both(&to_offerer).unwrap_or(first).clone();
    for format in &mut answer {
        // What the other peer said of its decoder holds for the offerer too if packets pass as they are; Meta gets its own
        // words back.
        if offerer.profile != ProfileName::Whatsapp && format.codec() == Some(Codec::Opus) {
            format.fmtp = match both(format) {
                Some(other) => other.fmtp.clone(),
                None => Some(OPUS_FMTP.to_owned()),
            };
        }
    }
    answer.extend(event_for_offerer(offerer, &to_offerer));
    Ok(Choice { answer, to_offerer, to_answerer })
}

/// The answerer's first codec that it was offered.
pub(crate) fn first_accepted(told: &[Format], remote: &Remote) -> Result<Format, NegotiationError> {
    let offered = |format: &Format| told.iter().any(|told| told.codec() == format.codec());
    remote.codecs().into_iter().find(offered).ok_or_else(|| no_common_codec(told, remote))
}

fn no_common_codec(told: &[Format], remote: &Remote) -> NegotiationError {
    let names: Vec<&str> = told.iter().filter(|f| f.codec().is_some()).map(|f| f.name.as_str()).collect();
    unbridgeable(remote.media(), format!("answers with no codec that was offered ({})", names.join(", ")))
}

/// What we send an answerer, whose answer `remote` is, and what it may send.
pub(crate) fn settle_answerer(party: &mut Party, remote: &Remote, format: &Format, set: &CodecFlags) {
    let whatsapp = party.profile == ProfileName::Whatsapp;
    let event = remote.events().find(|event| event.clock_hz == 8_000).or_else(|| remote.events().next()).cloned();
    // Meta takes digits even where its answer does not say so.
    let event = event.or_else(|| {
        let offered = party.told_formats.iter().find(|format| format.event_clock().is_some());
        offered.filter(|_| whatsapp).cloned()
    });
    party.send = Some(send_format(party, remote, format, event.as_ref(), set));
    (party.receive, party.receive_events) = receive(&party.told_formats, &remote.formats, whatsapp);
    party.answerable = remote.codecs();
}

/// telephone-event in an answer: the offerer's line at 8000 Hz, else its first. Whether the other side takes events does not
/// matter: else it gets tones.
///
/// Beside Opus a browser counts the durations of its events at 48000 Hz whatever their line says, so that it is held to
/// the line that says so (RFC 4733 2.1 wants the audio's clock anyway).
fn event_for_offerer(offerer: &Party, to_offerer: &Format) -> Option<Format> {
    let remote = offerer.remote.as_ref()?;
    let at = |clock: ClockRate| remote.events().find(|event| event.event_clock() == Some(clock));
    let in_opus_clock = offerer.profile == ProfileName::Webrtc && to_offerer.codec() == Some(Codec::Opus);
    let exact = at(ClockRate::HZ_48000).filter(|_| in_opus_clock);
    exact.or_else(|| at(ClockRate::HZ_8000)).or_else(|| remote.events().next()).cloned()
}

/// What we send a peer whose format `format` is, and whose events `events` are.
pub(crate) fn send_format(
    party: &Party,
    remote: &Remote,
    format: &Format,
    event: Option<&Format>,
    set: &CodecFlags,
) -> SendFormat {
    let whatsapp = party.profile == ProfileName::Whatsapp;
    let opus = if format.codec() == Some(Codec::Opus) { format.opus_settings() } else { OpusSettings::default() };
    let encoder = set.set.find(&format.name, format.clock_hz, format.channels).and_then(|spec| spec.bitrate_bps);
    // A maxaveragebitrate of the peer is a limit (RFC 7587 6.1); the operator may go below it.
    let limit = if format.parameter("maxaveragebitrate").is_some() { opus.bitrate_bps } else { 510_000 };
    let bitrate_bps = encoder.map_or(opus.bitrate_bps, |bps| bps.clamp(6_000, limit));
    SendFormat {
        pt: format.pt,
        codec: format.codec().unwrap_or(Codec::Pcma),
        ptime: if whatsapp { Ptime::MS_20 } else { ptime(party.ptime_ms.or(remote.ptime_ms)) },
        strict_ptime: whatsapp || party.ptime_ms.is_some(),
        opus: OpusSettings { bitrate_bps, ..opus },
        event: event.and_then(|event| Some((event.pt, event.event_clock()?))),
    }
}

/// The packet time that we can make nearest to what is asked for, not above it.
fn ptime(ms: Option<u32>) -> Ptime {
    let ms = ms.unwrap_or(20).clamp(10, 60);
    Ptime::new(ms - ms % 10).unwrap_or(Ptime::MS_20)
}

/// What the peer may send. It should use the numbers that we told it (RFC 3264 6.1), but some use their own.
pub(crate) fn receive(told: &[Format], own: &[Format], whatsapp: bool) -> (Vec<ReceiveFormat>, Vec<(Pt, ClockRate)>) {
    let mut audio: Vec<ReceiveFormat> = Vec::new();
    let mut events: Vec<(Pt, ClockRate)> = Vec::new();
    let free = |audio: &[ReceiveFormat], events: &[(Pt, ClockRate)], pt: Pt| {
        !audio.iter().any(|format| format.pt == pt) && !events.iter().any(|(event, _)| *event == pt)
    };
    for format in told.iter().chain(own) {
        if !free(&audio, &events, format.pt) {
            continue;
        }
        if let Some(codec) = format.codec() {
            audio.push(ReceiveFormat { pt: format.pt, codec });
        } else if let Some(clock) = format.event_clock() {
            events.push((format.pt, clock));
        }
    }
    // Meta sends its digits as 126 at 8000 Hz even where its answer does not say so.
    let meta = free_pt(EVENT_PT_META, |_| false);
    if whatsapp && free(&audio, &events, meta) {
        events.push((meta, ClockRate::HZ_8000));
    }
    (audio, events)
}
