//! The grammar of flag strings (`rtpp-flags`): `word key=value key=[a b] codec=[strip=[all] offer=[PCMA]]`.

use crate::{Dict, Value};

/// How deep brackets may nest. `sdp-attr` needs 3.
const BRACKETS_MAX: usize = 8;

/// One piece of a flag string.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FlagToken<'a> {
    /// A word on its own.
    Word(&'a str),
    /// `key=value`. A bracket makes a list, or a dictionary if it holds pairs.
    Pair(&'a str, Value),
    /// A bracket without a key.
    Bare(Value),
}

/// Splits a flag string. A bracket that is never closed ends with the string; a `]` too many is skipped.
pub(super) fn flag_tokens(text: &str) -> Vec<FlagToken<'_>> {
    FlagStringReader { rest: text }.flag_tokens(0)
}

struct FlagStringReader<'a> {
    rest: &'a str,
}

impl<'a> FlagStringReader<'a> {
    /// Tokens up to the end of this bracket. Every turn of the loop takes at least one character.
    fn flag_tokens(&mut self, brackets: usize) -> Vec<FlagToken<'a>> {
        let mut flag_tokens = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() {
                return flag_tokens;
            }
            if self.step(']') {
                if brackets > 0 {
                    return flag_tokens;
                }
            } else if self.step('[') {
                flag_tokens.push(FlagToken::Bare(self.bracket(brackets)));
            } else {
                let name = self.take(" \t=[]");
                flag_tokens.push(if self.step('=') {
                    FlagToken::Pair(name, self.value(brackets))
                } else {
                    FlagToken::Word(name)
                });
            }
        }
    }

    fn value(&mut self, brackets: usize) -> Value {
        if self.step('[') {
            return self.bracket(brackets);
        }
        self.take(if brackets == 0 { " \t" } else { " \t]" }).into()
    }

    fn bracket(&mut self, brackets: usize) -> Value {
        if brackets == BRACKETS_MAX {
            return "[".into();
        }
        let flag_tokens = self.flag_tokens(brackets + 1);
        if flag_tokens.iter().any(|token| matches!(token, FlagToken::Pair(..))) {
            let pairs = flag_tokens.into_iter().map(|token| match token {
                FlagToken::Word(word) => (word.as_bytes().to_vec(), "".into()),
                FlagToken::Pair(key, value) => (key.as_bytes().to_vec(), value),
                FlagToken::Bare(value) => (Vec::new(), value),
            });
            return Dict(pairs.collect()).into();
        }
        let values = flag_tokens.into_iter().map(|token| match token {
            FlagToken::Word(word) => word.into(),
            FlagToken::Pair(_, value) | FlagToken::Bare(value) => value,
        });
        Value::List(values.collect())
    }

    fn step(&mut self, over: char) -> bool {
        let rest = self.rest.strip_prefix(over);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take(&mut self, ends: &str) -> &'a str {
        let (taken, rest) = self.rest.split_at(self.rest.find(|c| ends.contains(c)).unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_pairs_lists_and_dictionaries() {
        let list = |items: &[&str]| Value::List(items.iter().map(|item| (*item).into()).collect());
        let codec = Dict::default().with("strip", list(&["all"])).with("offer", list(&["PCMA", "opus/48000/2"]));
        assert_eq!(
            flag_tokens(
                "trust-address  ICE=force label=a=b direction=[priv pub] codec=[strip=[all] offer=[PCMA opus/48000/2]] end"
            ),
            [
                FlagToken::Word("trust-address"),
                FlagToken::Pair("ICE", "force".into()),
                FlagToken::Pair("label", "a=b".into()),
                FlagToken::Pair("direction", list(&["priv", "pub"])),
                FlagToken::Pair("codec", codec.into()),
                FlagToken::Word("end"),
            ]
        );
    }

    #[test]
    fn crooked_brackets_end_somewhere() {
        assert_eq!(flag_tokens("a=[b c").len(), 1);
        assert_eq!(flag_tokens("] a ]").len(), 1);
        assert_eq!(flag_tokens("=x"), [FlagToken::Pair("", "x".into())]);
        assert!(!flag_tokens(&"[".repeat(10_000)).is_empty());
        assert!(!flag_tokens(&"a=[".repeat(10_000)).is_empty());
    }
}
