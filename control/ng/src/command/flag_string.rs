//! The grammar of flag strings (`rtpp-flags`): `word key=value key=[a b] codec=[strip=[all] offer=[PCMA]]`.

use crate::{Dict, Value};

/// How deep brackets may nest. `sdp-attr` needs 3.
const BRACKETS_MAX: usize = 8;

/// One piece of a flag string.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A word on its own.
    Word(&'a str),
    /// `key=value`. A bracket makes a list, or a dictionary if it holds pairs.
    Pair(&'a str, Value),
    /// A bracket without a key.
    Bare(Value),
}

/// Splits a flag string. A bracket that is never closed ends with the string; a `]` too many is skipped.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    Reader { rest: text }.tokens(0)
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Tokens up to the end of this bracket. Every turn of the loop takes at least one character.
    fn tokens(&mut self, brackets: usize) -> Vec<Token<'a>> {
        let mut tokens = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() {
                return tokens;
            }
            if self.step(']') {
                if brackets > 0 {
                    return tokens;
                }
            } else if self.step('[') {
                tokens.push(Token::Bare(self.bracket(brackets)));
            } else {
                let name = self.take(" \t=[]");
                tokens.push(if self.step('=') { Token::Pair(name, self.value(brackets)) } else { Token::Word(name) });
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
        let tokens = self.tokens(brackets + 1);
        if tokens.iter().any(|token| matches!(token, Token::Pair(..))) {
            let pairs = tokens.into_iter().map(|token| match token {
                Token::Word(word) => (word.as_bytes().to_vec(), "".into()),
                Token::Pair(key, value) => (key.as_bytes().to_vec(), value),
                Token::Bare(value) => (Vec::new(), value),
            });
            return Dict(pairs.collect()).into();
        }
        let values = tokens.into_iter().map(|token| match token {
            Token::Word(word) => word.into(),
            Token::Pair(_, value) | Token::Bare(value) => value,
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
            tokens(
                "trust-address  ICE=force label=a=b direction=[priv pub] codec=[strip=[all] offer=[PCMA opus/48000/2]] end"
            ),
            [
                Token::Word("trust-address"),
                Token::Pair("ICE", "force".into()),
                Token::Pair("label", "a=b".into()),
                Token::Pair("direction", list(&["priv", "pub"])),
                Token::Pair("codec", codec.into()),
                Token::Word("end"),
            ]
        );
    }

    #[test]
    fn crooked_brackets_end_somewhere() {
        assert_eq!(tokens("a=[b c").len(), 1);
        assert_eq!(tokens("] a ]").len(), 1);
        assert_eq!(tokens("=x"), [Token::Pair("", "x".into())]);
        assert!(!tokens(&"[".repeat(10_000)).is_empty());
        assert!(!tokens(&"a=[".repeat(10_000)).is_empty());
    }
}
