//! Checks of codecs, telephone-event, packet time and RTCP feedback.

use std::collections::BTreeSet;

use trestle_core::plan::Codec;

use super::Rule;
use super::run::LintRun;
use crate::{Format, FormatKind, Line, MediaDescription, Skipped};

pub(super) fn check(run: &mut LintRun<'_>) {
    let Some(audio) = run.audio else { return };
    let mut skipped = Skipped::default();
    let formats = audio.audio_formats(&[], &mut skipped);
    for error in skipped.iter() {
        let mut lines = std::iter::once(&audio.line).chain(&audio.lines);
        let line = lines.find(|line| Some(line.number) == error.line);
        run.report(Rule::Readable, line, error.reason.clone());
    }
    let mapped = |format: &Format| line_of(audio, "rtpmap", format).unwrap_or(&audio.line);
    let has = |kind: fn(&FormatKind) -> bool| formats.iter().any(|format| kind(&format.kind));
    for format in &formats {
        let pt = format.pt.get();
        match format.kind {
            FormatKind::Audio(Codec::Opus) if format.channels != 2 => {
                run.report(Rule::OpusClock, Some(mapped(format)), format!("Opus is declared as {}", format.rtpmap()));
            }
            FormatKind::Audio(_) => {}
            FormatKind::Event(clock) if clock.hz() == 8_000 => {}
            _ if format.name.is_empty() && pt > 95 => {
                run.report(Rule::Rtpmap, Some(&audio.line), format!("no a=rtpmap defines payload type {pt}"));
            }
            _ if format.name.eq_ignore_ascii_case("opus") => {
                run.report(Rule::OpusClock, Some(mapped(format)), format!("Opus is declared as {}", format.rtpmap()));
            }
            _ => {
                let name = if format.name.is_empty() { "an unknown format".to_owned() } else { format.rtpmap() };
                run.report(Rule::CodecList, Some(mapped(format)), format!("payload type {pt} is {name}"));
            }
        }
    }
    let opus_by_name = formats.iter().any(|format| format.name.eq_ignore_ascii_case("opus"));
    if !has(|kind| matches!(kind, FormatKind::Audio(_))) && !opus_by_name {
        run.report(Rule::Codecs, Some(&audio.line), "there is neither Opus nor G.711");
    } else if !opus_by_name {
        run.report(Rule::Opus, Some(&audio.line), "G.711 is the only codec");
    }
    if !has(|kind| matches!(kind, FormatKind::Event(clock) if clock.hz() == 8_000)) {
        run.report(Rule::TelephoneEvent, Some(&audio.line), "there is no telephone-event/8000");
    }
    if let Some(opus) = formats.iter().find(|format| format.codec() == Some(Codec::Opus))
        && opus.parameter("useinbandfec") != Some("1")
    {
        let line = line_of(audio, "fmtp", opus).unwrap_or_else(|| mapped(opus));
        run.report(Rule::OpusFec, Some(line), "useinbandfec=1 is missing");
    }
    check_packet_time(run, audio);
}

fn check_packet_time(run: &mut LintRun<'_>, audio: &MediaDescription) {
    let of = |name| (audio.milliseconds(name), audio.attribute(name).map(|attribute| attribute.line));
    let ((ptime, ptime_line), (maxptime, maxptime_line)) = (of("ptime"), of("maxptime"));
    match (&ptime, &maxptime) {
        (Err(error), _) => run.report(Rule::Ptime, ptime_line, error.reason.clone()),
        (_, Err(error)) => run.report(Rule::Ptime, maxptime_line, error.reason.clone()),
        (Ok(Some(ms)), _) if *ms != 20 => run.report(Rule::Ptime, ptime_line, format!("a=ptime is {ms} ms, not 20 ms")),
        (_, Ok(Some(ms))) if *ms < 20 => {
            run.report(Rule::Ptime, maxptime_line, format!("a=maxptime is {ms} ms, less than 20 ms"));
        }
        (Ok(None), _) => run.report(Rule::PtimeExplicit, None, "there is no a=ptime"),
        (_, Ok(None)) => run.report(Rule::PtimeExplicit, None, "there is no a=maxptime"),
        (Ok(Some(_)), Ok(Some(ms))) if *ms != 20 => {
            run.report(Rule::PtimeExplicit, maxptime_line, format!("a=maxptime is {ms} ms, not 20 ms"));
        }
        _ => {}
    }
    let extension = run.all("extmap").iter().any(|a| a.value.is_some_and(|v| v.contains("transport-wide-cc")));
    let surplus = audio.attributes().find(|attribute| {
        let word = attribute.value.and_then(|value| value.split_ascii_whitespace().nth(1)).unwrap_or_default();
        attribute.name == "rtcp-fb" && !(word == "transport-cc" && extension)
    });
    if let Some(surplus) = surplus {
        run.report(Rule::RtcpFb, Some(surplus.line), "a=rtcp-fb announces feedback that is not sent");
    }
}

/// The first attribute `name` whose value begins with the payload type of `format`.
pub(super) fn line_of<'a>(audio: &'a MediaDescription, name: &str, format: &Format) -> Option<&'a Line> {
    let pt = format.pt.get().to_string();
    let about = |value: &str| value.split_ascii_whitespace().next() == Some(pt.as_str());
    audio.attributes().find(|a| a.name == name && a.value.is_some_and(about)).map(|attribute| attribute.line)
}

/// The parameters of `a=fmtp` as pairs of name (lower case) and value.
pub(super) fn parameters(format: &Format) -> BTreeSet<(String, String)> {
    let text = format.fmtp.as_deref().unwrap_or_default();
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
    };
    text.split(';').filter_map(pair).collect()
}
