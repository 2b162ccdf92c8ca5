//! Compares an answer with its offer.

use trestle_core::plan::Codec;

use super::Rule;
use super::formats::{line_of, parameters};
use super::run::LintRun;
use crate::{Format, MediaDescription, Sdp, Setup, Skipped};

pub(super) fn check(run: &mut LintRun<'_>, offer: &Sdp) {
    let (Some(audio), true) = (run.audio, run.is_answer()) else { return };
    let Some(offered) = offer.media.iter().find(|media| media.media == "audio") else { return };
    if offer.media.len() != run.sdp.media.len() {
        let what = format!("the answer has {} m= lines, the offer {}", run.sdp.media.len(), offer.media.len());
        run.report(Rule::AnswerShape, Some(&audio.line), what);
    } else if offered.proto != audio.proto {
        run.report(Rule::AnswerShape, Some(&audio.line), format!("the protocol of the offer is {}", offered.proto));
    }
    if let (Ok(Some(theirs)), Ok(ours)) = (offered.mid(), audio.mid()) {
        match ours {
            Some(ours) if ours != theirs => {
                let line = audio.attribute("mid").map(|mid| mid.line);
                run.report(Rule::MidEcho, line, format!("the offer has a=mid:{theirs}"));
            }
            // Meta has accepted answers with SDES and without a=mid.
            None if run.is_dtls() => run.report(Rule::MidEcho, None, format!("the offer has a=mid:{theirs}")),
            _ => {}
        }
    }
    let formats = |media: &MediaDescription| media.audio_formats(&[], &mut Skipped::default());
    let (theirs, ours) = (formats(offered), formats(audio));
    for format in &ours {
        let same = |other: &Format| other.name.eq_ignore_ascii_case(&format.name) && other.clock_hz == format.clock_hz;
        let line = line_of(audio, "rtpmap", format).unwrap_or(&audio.line);
        let pt = format.pt.get();
        match theirs.iter().find(|other| other.pt == format.pt) {
            None => run.report(Rule::AnswerFormats, Some(line), format!("payload type {pt} is not in the offer")),
            Some(other) if !same(other) => {
                run.report(
                    Rule::AnswerFormats,
                    Some(line),
                    format!("payload type {pt} is {} in the offer", other.rtpmap()),
                );
            }
            Some(_) => {}
        }
    }
    // Withdraws two findings if Meta's offer is the reason: no Opus, if the offer has G.711 (so the number has it enabled), and
    // a=setup:passive, if the offer has a=setup:active.
    let g711 = |format: &Format| matches!(format.codec(), Some(Codec::Pcma | Codec::Pcmu));
    let enabled = theirs.iter().any(g711);
    let active = matches!(offer.setup(offered), Ok(Some(Setup::Active)));
    run.findings
        .retain(|finding| !(enabled && finding.rule == Rule::Opus || active && finding.rule == Rule::DtlsClient));
    let opus = |formats: &[Format]| formats.iter().find(|format| format.codec() == Some(Codec::Opus)).cloned();
    if let (Some(theirs), Some(ours)) = (opus(&theirs), opus(&ours)) {
        let (given, known) = (parameters(&ours), parameters(&theirs));
        let differs = given.iter().find(|(name, value)| known.iter().any(|(n, v)| n == name && v != value));
        if let Some((name, value)) = differs {
            let line = line_of(audio, "fmtp", &ours);
            run.report(Rule::OpusFmtp, line, format!("{name}={value} differs from the offer"));
        }
    }
    let known: Vec<&str> = offered
        .attributes()
        .chain(offer.attributes())
        .filter(|a| a.name == "extmap")
        .filter_map(|a| a.value)
        .filter_map(|v| v.split_ascii_whitespace().nth(1))
        .collect();
    let surplus = run.all("extmap").into_iter().find(|attribute| {
        let uri = attribute.value.and_then(|value| value.split_ascii_whitespace().nth(1));
        uri.is_some_and(|uri| !known.contains(&uri))
    });
    if let Some(surplus) = surplus {
        run.report(Rule::AnswerExtmap, Some(surplus.line), "this a=extmap is not in the offer");
    }
}
