//! JSON to the same tree of values as bencode, and back.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::value::{DEPTH_MAX, Dict, ELEMENTS_MAX, Value};

/// Not JSON, with the place of the error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotJson(String);

/// Reads an object. Members whose value is `null` count as not sent.
pub fn read(body: &[u8]) -> Result<Dict, NotJson> {
    let mut elements = 0;
    let mut from = serde_json::Deserializer::from_slice(body);
    let seed = Seed { depth: 1, elements: &mut elements };
    let value = seed.deserialize(&mut from).map_err(|error| NotJson(error.to_string()))?;
    from.end().map_err(|error| NotJson(error.to_string()))?;
    match value {
        Some(Value::Dict(dict)) => Ok(dict),
        _ => Err(NotJson("not an object".to_owned())),
    }
}

/// Reads one value; counts and measures before it goes deeper.
struct Seed<'a> {
    depth: usize,
    elements: &'a mut usize,
}

impl Seed<'_> {
    fn check<E: Error>(&self) -> Result<(), E> {
        if self.depth > DEPTH_MAX { Err(E::custom(format_args!("more than {DEPTH_MAX} levels"))) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        *self.elements += 1;
        if *self.elements > ELEMENTS_MAX {
            return Err(D::Error::custom(format_args!("more than {ELEMENTS_MAX} values")));
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(Value::Integer(value.into())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(Value::Integer(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(Value::Integer(value as i64)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        self.check()?;
        let mut list = Vec::new();
        while let Some(value) = from.next_element_seed(Seed { depth: self.depth + 1, elements: self.elements })? {
            list.extend(value);
        }
        Ok(Some(Value::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        self.check()?;
        let mut pairs = Vec::new();
        while let Some(key) = from.next_key::<String>()? {
            let value = from.next_value_seed(Seed { depth: self.depth + 1, elements: self.elements })?;
            pairs.extend(value.map(|value| (key.into_bytes(), value)));
        }
        Ok(Some(Value::Dict(Dict(pairs))))
    }
}

/// Writes an object, members in the order in which they stand. Bytes that are not UTF-8 become U+FFFD.
pub fn write(dict: &Dict) -> Vec<u8> {
    // Fails only if a key is no string or a writer fails; neither can be.
    serde_json::to_vec(dict).unwrap_or_default()
}

impl Serialize for Dict {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(&String::from_utf8_lossy(key), value)?;
        }
        map.end()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Integer(number) => to.serialize_i64(*number),
            Self::Bytes(bytes) => to.serialize_str(&String::from_utf8_lossy(bytes)),
            Self::List(list) => to.collect_seq(list),
            Self::Dict(dict) => dict.serialize(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_and_numbers_are_integers_and_null_is_absent() {
        let dict =
            read(br#"{"a":true,"b":false,"c":1.9,"d":-3,"e":null,"f":[null,"x"],"g":18446744073709551615}"#).unwrap();
        let expected = Dict::default()
            .with("a", Value::Integer(1))
            .with("b", Value::Integer(0))
            .with("c", Value::Integer(1))
            .with("d", Value::Integer(-3))
            .with("f", vec!["x".into()])
            .with("g", Value::Integer(i64::MAX));
        assert_eq!(dict, expected);
    }

    #[test]
    fn order_and_duplicates_are_kept() {
        let dict = read(br#"{"z":"1","a":"2","z":"3"}"#).unwrap();
        assert_eq!(write(&dict), br#"{"z":"1","a":"2","z":"3"}"#);
        assert_eq!(dict.get("z"), Some(&"1".into()));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let deep = |n: usize| format!("{{\"x\":{}{}}}", "[".repeat(n - 1), "]".repeat(n - 1)).into_bytes();
        assert!(read(&deep(DEPTH_MAX)).is_ok());
        let many = format!("{{\"x\":[{}0]}}", "0,".repeat(ELEMENTS_MAX)).into_bytes();
        let bad: Vec<Vec<u8>> = vec![
            b"{".to_vec(),
            b"{}x".to_vec(),
            b"{\"a\":}".to_vec(),
            b"{\"a\":1e999}".to_vec(),
            b"{\"a\":\"\xff\"}".to_vec(),
            b"{\"a\":\"\0\"}".to_vec(),
            b"\xef\xbb\xbf{}".to_vec(),
            b"[]".to_vec(),
            b"null".to_vec(),
            b"{a:1}".to_vec(),
            b"{\"a\":\"\\ud800\"}".to_vec(),
            deep(DEPTH_MAX + 1),
            deep(10_000),
            b"{\"a\":".repeat(10_000),
            many,
        ];
        for body in bad {
            assert!(read(&body).is_err(), "{}", String::from_utf8_lossy(&body[..body.len().min(60)]));
        }
    }
}
