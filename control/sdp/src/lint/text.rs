//! Repairs the form of lines (line ends, white space, empty lines), and reports each repair.

use super::{Finding, Rule};
use crate::SdpError;

/// A text in which each line has the form that [`crate::Sdp::parse`] requires.
pub(super) struct Cleaned {
    pub(super) text: String,
    /// For each line, its number in the original text.
    numbers: Vec<usize>,
}

impl Cleaned {
    /// The number in the original text of line `line`; both count from 1.
    pub(super) fn original(&self, line: usize) -> usize {
        line.checked_sub(1).and_then(|index| self.numbers.get(index)).copied().unwrap_or(line)
    }
}

/// A line as it may be shown: without keys and passwords, and not longer than 100 characters.
pub(super) fn shown(text: &str) -> String {
    SdpError::at(0, text, "").text
}

pub(super) fn clean(text: &str, findings: &mut Vec<Finding>) -> Cleaned {
    ends(text, findings);
    if let Some((index, line)) = text.split('\n').enumerate().find(|(_, line)| !line.is_ascii()) {
        let what = "the line has characters that are not ASCII".to_owned();
        findings.push(Finding { rule: Rule::Ascii, line: Some(index + 1), text: shown(line.trim_end()), what });
    }
    let body = text.trim_start_matches('\u{feff}').trim_end();
    let mut cleaned = Cleaned { text: String::with_capacity(body.len() + 64), numbers: Vec::new() };
    // Each kind of malformed line is reported once: in an indented file every line is malformed.
    let mut faults: [Option<(usize, String, usize)>; 3] = [const { None }; 3];
    let mut fault = |kind: usize, number: usize, raw: &str| match &mut faults[kind] {
        Some((_, _, more)) => *more += 1,
        none => *none = Some((number, shown(raw), 0)),
    };
    // A CR without LF also ends a line.
    let normalised = body.replace("\r\n", "\n").replace('\r', "\n");
    for (index, raw) in normalised.split('\n').enumerate() {
        let number = index + 1;
        let line = raw.trim_start();
        if line.is_empty() {
            fault(0, number, raw);
            continue;
        }
        if line.len() < raw.len() {
            fault(1, number, raw);
        }
        let mut bytes = line.bytes();
        if !(bytes.next().is_some_and(|byte| byte.is_ascii_lowercase()) && bytes.next() == Some(b'=')) {
            fault(2, number, raw);
            continue;
        }
        cleaned.text.push_str(line);
        cleaned.text.push_str("\r\n");
        cleaned.numbers.push(number);
    }
    let words = [
        "the line is empty",
        "there is white space before the letter",
        "the line does not begin with a lower-case letter and \"=\"",
    ];
    for (found, word) in faults.into_iter().zip(words) {
        if let Some((number, text, more)) = found {
            let what = if more == 0 { word.to_owned() } else { format!("{word} (and {more} more lines)") };
            findings.push(Finding { rule: Rule::LineForm, line: Some(number), text, what });
        }
    }
    cleaned
}

fn ends(text: &str, findings: &mut Vec<Finding>) {
    let pairs = text.matches("\r\n").count();
    let (feeds, returns) = (text.matches('\n').count(), text.matches('\r').count());
    let what = match () {
        () if returns > pairs => "a line ends with CR alone".to_owned(),
        () if feeds > pairs && pairs == 0 => "lines end with LF alone".to_owned(),
        () if feeds > pairs => format!("{} of {feeds} lines end with LF alone", feeds - pairs),
        () if !text.ends_with('\n') => "the last line does not end with CR LF".to_owned(),
        () => return,
    };
    findings.push(Finding { rule: Rule::LineEnds, line: None, text: String::new(), what });
}
