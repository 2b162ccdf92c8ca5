//! Lines as they should be, made from lines as they are.

use super::{Finding, Rule};
use crate::SdpError;

/// A text that [`crate::Sdp::parse`] has nothing against, as far as the form of lines goes.
pub(super) struct Cleaned {
    pub(super) text: String,
    /// Number in the original of each line.
    numbers: Vec<usize>,
}

impl Cleaned {
    /// The number that a line had before.
    pub(super) fn original(&self, line: usize) -> usize {
        line.checked_sub(1).and_then(|index| self.numbers.get(index)).copied().unwrap_or(line)
    }
}

/// A line as it may be shown: no keys, not endless.
pub(super) fn shown(text: &str) -> String {
    SdpError::at(0, text, "").text
}

pub(super) fn clean(text: &str, findings: &mut Vec<Finding>) -> Cleaned {
    ends(text, findings);
    if let Some((index, line)) = text.split('\n').enumerate().find(|(_, line)| !line.is_ascii()) {
        let what = "has characters that are not ASCII".to_owned();
        findings.push(Finding { rule: Rule::Ascii, line: Some(index + 1), text: shown(line.trim_end()), what });
    }
    let body = text.trim_start_matches('\u{feff}').trim_end();
    let mut cleaned = Cleaned { text: String::with_capacity(body.len() + 64), numbers: Vec::new() };
    // Each kind of malformed line is reported once: a file that is indented is so on every line.
    let mut faults: [Option<(usize, String, usize)>; 3] = [const { None }; 3];
    let mut fault = |kind: usize, number: usize, raw: &str| match &mut faults[kind] {
        Some((_, _, more)) => *more += 1,
        none => *none = Some((number, shown(raw), 0)),
    };
    // A lone CR ends a line too, for those who have it.
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
    let words = ["an empty line", "white space before the letter", "no letter and \"=\" at the beginning"];
    for (found, word) in faults.into_iter().zip(words) {
        if let Some((number, text, more)) = found {
            let what = if more == 0 { word.to_owned() } else { format!("{word}, and so on {more} more lines") };
            findings.push(Finding { rule: Rule::LineForm, line: Some(number), text, what });
        }
    }
    cleaned
}

fn ends(text: &str, findings: &mut Vec<Finding>) {
    let pairs = text.matches("\r\n").count();
    let (feeds, returns) = (text.matches('\n').count(), text.matches('\r').count());
    let what = match () {
        () if returns > pairs => "has CR without LF".to_owned(),
        () if feeds > pairs && pairs == 0 => "lines end with LF alone".to_owned(),
        () if feeds > pairs => format!("{} of {feeds} lines end with LF alone", feeds - pairs),
        () if !text.ends_with('\n') => "the last line has no end".to_owned(),
        () => return,
    };
    findings.push(Finding { rule: Rule::LineEnds, line: None, text: String::new(), what });
}
