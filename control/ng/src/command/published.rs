//! The lists that documents publish, made of the rows of [`super::flag_table`]: the words of `schema/ng.schema.json` and
//! the index of docs/FLAGS.md.

use std::fmt::Write as _;

use super::flag_table::{KEYS, KeyEffect, WORDS, WordEffect};

/// The command that writes the lists, for those who find them stale.
pub const COMMAND: &str = "cargo run --example write_schema";

const INDEX_BEGIN: &str = "<!-- Written by `cargo run --example write_schema` from here -->\n";
const INDEX_END: &str = "<!-- to here -->\n";

/// `schema` (ng.schema.json) with its lists of words and its pattern of keys in one word brought up to date.
///
/// # Errors
/// A definition that is missing in the schema.
pub fn schema(schema: &str) -> Result<String, String> {
    let acts = |effect: &WordEffect| matches!(effect, WordEffect::On(_) | WordEffect::Off(_) | WordEffect::Apply(_));
    let idle = |effect: &WordEffect| matches!(effect, WordEffect::AsAlways | WordEffect::NotSupported);
    let schema = with_enum(schema, "word", &names(acts))?;
    let schema = with_enum(&schema, "idle-word", &names(idle))?;
    let affixes: Vec<&str> = KEYS.iter().filter(|key| key.in_one_word).map(|key| key.name).collect();
    let (before, rest) =
        schema.split_once("\"pattern\": \"^(address-family").ok_or("no pattern of keys in one word")?;
    let (_, after) = rest.split_once(")-\"").ok_or("no end of that pattern")?;
    let mut sorted = affixes;
    sorted.sort_unstable_by_key(|name| name.to_ascii_lowercase());
    Ok(format!("{before}\"pattern\": \"^({})-\"{after}", sorted.join("|")))
}

fn names(of: impl Fn(&WordEffect) -> bool) -> Vec<&'static str> {
    let mut names: Vec<&str> = WORDS.iter().filter(|word| of(&word.effect)).map(|word| word.name).collect();
    names.sort_unstable_by_key(|name| name.to_ascii_lowercase());
    names
}

/// The text with the `enum` of a definition replaced.
fn with_enum(schema: &str, definition: &str, names: &[&str]) -> Result<String, String> {
    let missing = || format!("the schema has no enum \"{definition}\"");
    let start = schema.find(&format!("    \"{definition}\": {{")).ok_or_else(missing)?;
    let open = start + schema[start..].find("\"enum\": [").ok_or_else(missing)? + "\"enum\": [".len();
    let close = open + schema[open..].find(']').ok_or_else(missing)?;
    let mut list = String::new();
    let mut column = usize::MAX;
    for (n, name) in names.iter().enumerate() {
        if column > 110 {
            list.push_str("\n        ");
            column = 8;
        } else {
            list.push(' ');
        }
        let comma = if n + 1 == names.len() { "" } else { "," };
        let _ = write!(list, "\"{name}\"{comma}");
        column += name.len() + 4;
    }
    Ok(format!("{}{list}\n      {}", &schema[..open], &schema[close..]))
}

/// `document` (docs/FLAGS.md) with its index brought up to date.
///
/// # Errors
/// The marks around the index are missing.
pub fn flags_document(document: &str) -> Result<String, String> {
    let missing = || format!("the document lacks the lines {INDEX_BEGIN} and {INDEX_END}");
    let (before, rest) = document.split_once(INDEX_BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(INDEX_END).ok_or_else(missing)?;
    let mut index = String::from("\n| name | form | effect |\n|---|---|---|\n");
    let mut rows: Vec<(String, String)> = WORDS
        .iter()
        .map(|word| {
            let effect = match word.effect {
                WordEffect::On(_) | WordEffect::Off(_) | WordEffect::Apply(_) if word.doc.is_empty() => {
                    "acts, see above"
                }
                WordEffect::On(_) | WordEffect::Off(_) | WordEffect::Apply(_) => word.doc.trim(),
                WordEffect::Part(_) => "part of a value that several words make",
                WordEffect::AsAlways => "as always",
                WordEffect::NotSupported => "not supported",
            };
            (word.name.to_ascii_lowercase(), format!("| {} | word | {effect} |\n", word.name))
        })
        .collect();
    rows.extend(KEYS.iter().map(|key| {
        let effect = match key.effect {
            KeyEffect::Read(_) => "acts, see above".to_owned(),
            KeyEffect::Argument => "argument of a verb".to_owned(),
            KeyEffect::AsAlways => "as always".to_owned(),
            KeyEffect::NotSupported => "not supported".to_owned(),
            KeyEffect::NotSupportedBut(done) => format!("not supported; as always with {}", done.join(", ")),
        };
        let form = if key.in_one_word { "key, or in one word" } else { "key" };
        (key.name.to_ascii_lowercase(), format!("| {} | {form} | {effect} |\n", key.name))
    }));
    rows.sort();
    rows.iter().for_each(|(_, row)| index.push_str(row));
    Ok(format!("{before}{INDEX_BEGIN}{index}\n{INDEX_END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_lists_the_words_of_the_table() {
        let published = include_str!("../../schema/ng.schema.json");
        assert!(schema(published).unwrap() == published, "ng.schema.json is stale; run {COMMAND}");
    }

    #[test]
    fn the_index_of_the_document_lists_the_rows_of_the_table() {
        let published = include_str!("../../../../docs/FLAGS.md");
        assert!(flags_document(published).unwrap() == published, "docs/FLAGS.md is stale; run {COMMAND}");
    }

    #[test]
    fn a_name_has_one_row_in_each_table() {
        for table in [WORDS.iter().map(|word| word.name).collect::<Vec<_>>(), KEYS.iter().map(|key| key.name).collect()]
        {
            let mut names: Vec<String> = table.iter().map(|name| name.to_ascii_lowercase()).collect();
            names.sort();
            names.windows(2).for_each(|pair| assert_ne!(pair[0], pair[1]));
        }
    }

    #[test]
    fn of_two_keys_in_one_word_the_longer_comes_first() {
        let affixes: Vec<&str> = KEYS.iter().filter(|key| key.in_one_word).map(|key| key.name).collect();
        for (n, short) in affixes.iter().enumerate() {
            let shadowed = affixes[n + 1..].iter().find(|long| long.starts_with(&format!("{short}-")));
            assert_eq!(shadowed, None, "{short} comes before it");
        }
    }
}
