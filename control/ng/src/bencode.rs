//! Bencode as Kamailio and OpenSIPS practise it: keys in any order, duplicates kept, bytes behind the end ignored, the last `e` of a
//! message optional.

use super::value::{DEPTH_MAX, Dict, ELEMENTS_MAX, Value};

/// Characters of a number, its sign and the end of it among them: more than any 64-bit number has.
pub(super) const LENGTH_DIGITS_MAX: usize = 21;

/// Not bencode, or nested too deep, or too many values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a bencode dictionary within {DEPTH_MAX} levels and {ELEMENTS_MAX} values")]
pub struct NotBencode;

/// Reads the dictionary at the start of `body`.
pub fn read(body: &[u8]) -> Result<Dict, NotBencode> {
    match (Reader { rest: body, elements: 0 }).value(1)? {
        Value::Dict(dict) => Ok(dict),
        _ => Err(NotBencode),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    elements: usize,
}

impl<'a> Reader<'a> {
    /// Recursion ends at `DEPTH_MAX`, whatever is sent.
    fn value(&mut self, depth: usize) -> Result<Value, NotBencode> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX || depth > DEPTH_MAX + 1 {
            return Err(NotBencode);
        }
        match self.rest.first().ok_or(NotBencode)? {
            b'i' => {
                self.rest = &self.rest[1..];
                self.decimal(b'e').map(Value::Integer)
            }
            b'0'..=b'9' => self.string().map(|bytes| Value::Bytes(bytes.to_vec())),
            b'l' if depth <= DEPTH_MAX => {
                self.rest = &self.rest[1..];
                let mut list = Vec::new();
                while !self.at_end()? {
                    list.push(self.value(depth + 1)?);
                }
                Ok(Value::List(list))
            }
            b'd' if depth <= DEPTH_MAX => {
                self.rest = &self.rest[1..];
                let mut pairs = Vec::new();
                loop {
                    // OpenSIPS 3.2 leaves out the last `e` of a message: the datagram ends the outermost dictionary.
                    let message_ends = depth == 1 && self.rest.is_empty() && !pairs.is_empty();
                    if message_ends || self.at_end()? {
                        break;
                    }
                    let key = self.string()?.to_vec();
                    pairs.push((key, self.value(depth + 1)?));
                }
                Ok(Value::Dict(Dict(pairs)))
            }
            _ => Err(NotBencode),
        }
    }

    /// Steps over the `e` of a list or dictionary, if it is there.
    fn at_end(&mut self) -> Result<bool, NotBencode> {
        let ends = *self.rest.first().ok_or(NotBencode)? == b'e';
        if ends {
            self.rest = &self.rest[1..];
        }
        Ok(ends)
    }

    fn string(&mut self) -> Result<&'a [u8], NotBencode> {
        if !self.rest.first().is_some_and(u8::is_ascii_digit) {
            return Err(NotBencode);
        }
        let length = usize::try_from(self.decimal(b':')?).map_err(|_| NotBencode)?;
        let (string, rest) = self.rest.split_at_checked(length).ok_or(NotBencode)?;
        self.rest = rest;
        Ok(string)
    }

    /// Decimal digits up to `end`.
    fn decimal(&mut self, end: u8) -> Result<i64, NotBencode> {
        let length = self.rest.iter().take(LENGTH_DIGITS_MAX).position(|byte| *byte == end).ok_or(NotBencode)?;
        let digits = std::str::from_utf8(&self.rest[..length]).map_err(|_| NotBencode)?;
        if digits.starts_with('+') {
            return Err(NotBencode);
        }
        let number = digits.parse().map_err(|_| NotBencode)?;
        self.rest = &self.rest[length + 1..];
        Ok(number)
    }
}

/// Writes a dictionary, keys in the order in which they stand.
pub fn write(dict: &Dict) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    write_dict(dict, &mut out);
    out
}

fn write_dict(dict: &Dict, out: &mut Vec<u8>) {
    out.push(b'd');
    for (key, value) in dict.iter() {
        write_string(key, out);
        write_value(value, out);
    }
    out.push(b'e');
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Integer(number) => out.extend_from_slice(format!("i{number}e").as_bytes()),
        Value::Bytes(bytes) => write_string(bytes, out),
        Value::List(list) => {
            out.push(b'l');
            list.iter().for_each(|value| write_value(value, out));
            out.push(b'e');
        }
        Value::Dict(dict) => write_dict(dict, out),
    }
}

fn write_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{}:", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(levels: usize) -> Vec<u8> {
        [&b"d1:x"[..], &b"l".repeat(levels - 1), &b"e".repeat(levels - 1), b"e"].concat()
    }

    #[test]
    fn a_message_reads_back_as_written() {
        let dict = Dict::default()
            .with("sdp", "v=0\r\n")
            .with("n", Value::Integer(-7))
            .with("flags", vec!["a".into(), Value::List(vec![]), Dict::default().with("k", "v").into()]);
        let bytes = write(&dict);
        assert_eq!(bytes, b"d3:sdp5:v=0\r\n1:ni-7e5:flagsl1:aled1:k1:veee");
        assert_eq!(read(&bytes), Ok(dict));
    }

    #[test]
    fn the_last_end_of_a_message_is_optional_and_no_other() {
        assert_eq!(read(b"d7:command4:ping"), read(b"d7:command4:pinge"));
        assert_eq!(read(b"d1:ad1:bl1:ceee"), read(b"d1:ad1:bl1:cee"));
        for cut in
            ["d7:command", "d7:command4:pin", "d7:command4:", "d7:comma", "d1:al1:b", "d1:ad1:b1:c", "d1:ai1", "d", ""]
        {
            assert_eq!(read(cut.as_bytes()), Err(NotBencode), "{cut}");
        }
    }

    #[test]
    fn order_duplicates_and_trailing_bytes_are_no_error() {
        let dict = read(b"d7:command4:ping7:command4:liste and more").unwrap();
        assert_eq!(dict.0.len(), 2);
        assert_eq!(dict.get("command"), Some(&"ping".into()));
        assert_eq!(read(b"d1:bi02e1:ai-0ee").unwrap().get("b"), Some(&Value::Integer(2)));
    }

    #[test]
    fn what_is_not_bencode_is_refused() {
        let bad: &[&[u8]] = &[
            b"",
            b"d",
            b"le",
            b"i1e",
            b"4:ping",
            b"d7:command-4:pinge",
            b"d-1:xi1ee",
            b"d+1:xi1ee",
            b"d1:xi+1ee",
            b"d1:xiee",
            b"d1:xi--1ee",
            b"d1:xi1.5ee",
            b"d1:xi18446744073709551616ee",
            b"d1:xi1",
            b"d1:x99999999999999999999:ae",
            b"d1:x18446744073709551615:ae",
            b"d1:x9223372036854775807:ae",
            b"d1:x4294967295:ae",
            b"di1e1:xe",
            b"dl1:xe1:ae",
            b"d1:xe",
            b"d1:x:e",
            b"d 1:xi1ee",
        ];
        for bytes in bad {
            let name = String::from_utf8_lossy(bytes);
            assert_eq!(read(bytes), Err(NotBencode), "{name}");
        }
    }

    #[test]
    fn thirty_two_levels_are_read_and_one_more_is_not() {
        assert!(read(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(read(&nested(DEPTH_MAX + 1)), Err(NotBencode));
        assert_eq!(read(&[&b"d1:x"[..], &b"l".repeat(60_000)].concat()), Err(NotBencode));
        assert_eq!(read(&b"d1:x".repeat(15_000)), Err(NotBencode));
    }

    #[test]
    fn many_small_values_are_refused() {
        let list = |n: usize| [&b"d1:xl"[..], &b"le".repeat(n), b"ee"].concat();
        assert!(read(&list(ELEMENTS_MAX - 2)).is_ok());
        assert_eq!(read(&list(ELEMENTS_MAX - 1)), Err(NotBencode));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_and_what_is_read_can_be_written(bytes in proptest::collection::vec(
            proptest::sample::select(&b"dlie0123456789:-ax\xff"[..]), 0..200)) {
            if let Ok(dict) = read(&bytes) {
                proptest::prop_assert_eq!(read(&write(&dict)), Ok(dict));
            }
        }
    }
}
