//! One tree of values for both encodings.

/// How deep lists and dictionaries may nest, the outermost counted. The deepest real message has 4.
pub const DEPTH_MAX: usize = 32;

/// Values in one message. The largest real ones have under 200.
pub const ELEMENTS_MAX: usize = 2_048;

/// A value of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number; JSON's `true` and `false` are 1 and 0.
    Integer(i64),
    /// A string, in whatever encoding the sender used.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Self>),
    /// A dictionary.
    Dict(Dict),
}

impl Value {
    /// The bytes of a string.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A string's text, or a number's digits: callers do not agree on which of the two a number is.
    /// `None` for lists, dictionaries and strings that are not UTF-8.
    pub fn to_text(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::Integer(n) => Some(n.to_string().into()),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(Into::into),
            _ => None,
        }
    }

    /// A number, or a string of decimal digits.
    pub fn to_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(n) => Some(*n),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.trim().parse().ok(),
            _ => None,
        }
    }

    /// `true`, a number other than 0, or the words `yes`, `on`, `true`, `1`.
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Integer(n) => *n != 0,
            Self::Bytes(bytes) => {
                [&b"yes"[..], b"on", b"true", b"1"].iter().any(|word| bytes.trim_ascii().eq_ignore_ascii_case(word))
            }
            Self::List(_) | Self::Dict(_) => false,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }
}

impl From<u64> for Value {
    /// Saturates: no counter gets that far.
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<Dict> for Value {
    fn from(dict: Dict) -> Self {
        Self::Dict(dict)
    }
}

impl From<Vec<Self>> for Value {
    fn from(list: Vec<Self>) -> Self {
        Self::List(list)
    }
}

/// A dictionary as sent: pairs in order, duplicates kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dict(pub Vec<(Vec<u8>, Value)>);

impl Dict {
    /// The first value of that name. Upper and lower case, and space, `_` and `-`, are the same in a name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| same_name(key, name.as_bytes())).map(|(_, value)| value)
    }

    /// Pairs in the order in which they were sent.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Value)> {
        self.0.iter().map(|(key, value)| (key.as_slice(), value))
    }

    /// Appends a pair, for building replies.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.push(name, value);
        self
    }

    /// Appends a pair, for building replies.
    pub fn push(&mut self, name: &str, value: impl Into<Value>) {
        self.0.push((name.as_bytes().to_vec(), value.into()));
    }
}

/// A name as all tables write it: lower case, with `-` for space and `_`. Keeps its length.
pub fn normalised(name: &str) -> String {
    name.bytes().map(|byte| char::from(normalised_byte(byte))).collect()
}

fn normalised_byte(byte: u8) -> u8 {
    match byte {
        b' ' | b'_' => b'-',
        // Anything else outside ASCII is in no table; keep one byte per byte so that offsets stay true.
        0x80.. => b'?',
        _ => byte.to_ascii_lowercase(),
    }
}

fn same_name(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| normalised_byte(*a) == normalised_byte(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_name_are_one_and_the_first_duplicate_counts() {
        let dict = Dict::default().with("Call ID", "a").with("call-id", "b");
        for name in ["call-id", "CALL_ID", "call id"] {
            assert_eq!(dict.get(name), Some(&"a".into()), "{name}");
        }
        assert_eq!(dict.get("callid"), None);
    }

    #[test]
    fn numbers_and_words_replace_each_other() {
        assert_eq!(Value::from("184").to_integer(), Some(184));
        assert_eq!(Value::Integer(-1).to_text().as_deref(), Some("-1"));
        assert_eq!(Value::from("18x").to_integer(), None);
        assert!(Value::from("Yes").is_truthy() && Value::Integer(1).is_truthy());
        assert!(!Value::from("off").is_truthy() && !Value::List(vec![]).is_truthy());
    }
}
