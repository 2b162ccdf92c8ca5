//! Checks of the session part, of the envelope's `sdp_type`, of the number of streams, and of BUNDLE.

use super::Rule;
use super::envelope::Opened;
use super::run::LintRun;
use crate::{Attribute, MediaDescription};

/// Compares the `sdp_type` of the envelope with the role that its action or event requires.
pub(super) fn check_sdp_type(run: &mut LintRun<'_>, opened: &Opened) {
    match (opened.role, opened.named_role) {
        (Some(needed), Some(given)) if needed != given => {
            let what = format!("`sdp_type` is \"{}\", but an {} is required here", given.name(), needed.name());
            run.report(Rule::SdpType, None, what);
        }
        (_, None) if opened.lacks_sdp_type => run.report(Rule::SdpType, None, "`sdp_type` is missing"),
        _ => {}
    }
}

/// Checks the session part and the number of `m=` lines. False if there is no audio, so that nothing else can be checked.
pub(super) fn check(run: &mut LintRun<'_>) -> bool {
    let session = &run.sdp.session;
    let letters: Vec<char> = session.iter().map(|line| line.letter).filter(|l| "vost".contains(*l)).collect();
    if letters != ['v', 'o', 's', 't'] {
        let missing: Vec<String> =
            ['s', 't'].iter().filter(|l| !letters.contains(l)).map(|letter| format!("{letter}=")).collect();
        let what = match missing.is_empty() {
            true => "v=, o=, s= and t= must occur once each, in this order".to_owned(),
            false => format!("{} is missing", missing.join(" and ")),
        };
        run.report(Rule::SessionLines, None, what);
    }
    for line in session {
        let number = |word: Option<&str>| word.is_some_and(|word| word.parse::<u64>().is_ok());
        let mut words = line.value.split_ascii_whitespace().skip(1);
        match line.letter {
            'o' if line.value.split_ascii_whitespace().count() != 6 => {
                let what = "o= must have six fields: user, id, version, IN, IP4 or IP6, address";
                run.report(Rule::Readable, Some(line), what);
            }
            'o' if !(number(words.next()) && number(words.next())) => {
                run.report(Rule::Origin, Some(line), "the session id or the version is not a 64-bit number");
            }
            't' if line.value.trim() != "0 0" => run.report(Rule::Time, Some(line), "the line is not t=0 0"),
            _ => {}
        }
    }
    let Some(audio) = run.audio else {
        run.report(Rule::OneMedia, run.sdp.media.first().map(|media| &media.line), "there is no audio");
        return false;
    };
    for other in run.sdp.media.iter().filter(|media| !std::ptr::eq(*media, audio) && media.port != 0) {
        run.report(Rule::OneMedia, Some(&other.line), format!("there is an m={} beside the audio", other.media));
    }
    check_bundle(run, audio);
    true
}

fn check_bundle<'a>(run: &mut LintRun<'a>, audio: &'a MediaDescription) {
    let groups: Vec<Attribute<'_>> =
        run.all("group").into_iter().filter(|a| a.value.is_some_and(|v| v.starts_with("BUNDLE"))).collect();
    let mid = match audio.mid() {
        Ok(mid) => mid,
        Err(error) => {
            let line = audio.attribute("mid").map(|mid| mid.line);
            return run.report(Rule::Bundle, line, error.reason);
        }
    };
    match (groups.as_slice(), mid) {
        ([], _) | (_, None) if !run.is_dtls() => {}
        ([], _) => run.report(Rule::Bundle, None, "there is no a=group:BUNDLE"),
        (_, None) => run.report(Rule::Bundle, None, "there is no a=mid"),
        ([group], Some(mid)) => {
            let named = group.value.unwrap_or_default().split_ascii_whitespace().skip(1).any(|word| word == mid);
            if !named {
                run.report(
                    Rule::Bundle,
                    Some(group.line),
                    format!("the group does not contain the audio (a=mid:{mid})"),
                );
            }
        }
        ([_, second, ..], Some(_)) => run.report(Rule::Bundle, Some(second.line), "this is a second a=group:BUNDLE"),
    }
}
