//! What comes over the wire as JSON objects and queries, read strictly: nothing is guessed, nothing is dropped, no name stands twice.

use hvnode_core::{AgentError, Result, fail};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Most characters of a caller's text that an answer repeats.
pub const SHOWN_MAX: usize = 64;
const TWICE: &str = "twice: ";

/// Reads one JSON object; nothing counts as `{}`.
///
/// # Errors
/// `ParseParameter` with the place of the fault.
pub fn json_object(bytes: &[u8]) -> Result<Map<String, Value>> {
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice::<Strict>(bytes) {
        Ok(Strict(Value::Object(object))) => Ok(object),
        Ok(_) => Err(fail!(ParseParameter, "the body must be a JSON object"; "请求体必须是 JSON 对象")),
        Err(error) if error.is_data() => {
            let text = error.to_string();
            let name = text.strip_prefix(TWICE).map(|rest| rest.rsplit_once(" at line").map_or(rest, |(name, _)| name)).unwrap_or("");
            Err(fail!(ParseParameter, "{name} must stand only once in its object"; "{name} 在同一对象中只能出现一次"))
        }
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            Err(
                fail!(ParseParameter, "the body is not valid JSON at line {line}, column {column}"; "请求体不是合法的 JSON，第 {line} 行第 {column} 列"),
            )
        }
    }
}

/// The pairs of a query, percent-decoded, in their order.
///
/// # Errors
/// `ParseParameter` where it is not a valid query or has more than `pairs_max` pairs.
pub fn query_pairs(query: &str, pairs_max: usize) -> Result<Vec<(String, String)>> {
    let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).take(pairs_max + 1).collect();
    if pairs.len() > pairs_max {
        return Err(fail!(ParseParameter, "a query may have at most {pairs_max} parameters"; "查询参数最多 {pairs_max} 个"));
    }
    let decoded = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((unescaped(name)?, unescaped(value)?))
    };
    pairs.into_iter().map(decoded).collect()
}

/// A text from outside for a message: cut, control characters made visible.
pub fn shown(text: &str) -> String {
    if text.is_empty() { "''".to_owned() } else { text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect() }
}

/// Takes `%41` and `+` back.
fn unescaped(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex_pair(rest.next(), rest.next()).ok_or_else(query_error)?,
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| query_error())
}

fn hex_pair(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn query_error() -> AgentError {
    fail!(ParseParameter, "the query is not valid percent-encoded UTF-8"; "查询字符串不是合法的百分号编码 UTF-8")
}

/// A JSON value in which no object has a name twice: two readers of the same text must not see two different values.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> std::result::Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_i64<E>(self, number: i64) -> std::result::Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> std::result::Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> std::result::Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> std::result::Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> std::result::Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> std::result::Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("{TWICE}{}", shown(&key))));
            }
            let Strict(value) = access.next_value()?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_object_that_says_a_name_twice_is_refused_by_that_name() {
        let error = json_object(br#"{"a": {"b": 1, "b": 2}}"#).unwrap_err();
        assert_eq!(error.detail().en, "b must stand only once in its object");
    }

    #[test]
    fn what_is_no_object_is_refused_and_nothing_is_an_empty_one() {
        assert_eq!(json_object(b"").unwrap(), Map::new());
        for body in ["[]", "1", "null", "{", "{\"a\":}", "\u{feff}{}", "{}{}"] {
            assert_eq!(json_object(body.as_bytes()).unwrap_err().code().number(), 10001, "{body}");
        }
        assert!(json_object("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn a_query_is_decoded_and_bounded() {
        assert_eq!(query_pairs("a=%41+b&&c", 9).unwrap(), [("a".into(), "A b".into()), ("c".into(), String::new())]);
        assert!(query_pairs("a=1&b=2", 1).is_err() && query_pairs("a=%4", 9).is_err() && query_pairs("a=%ff", 9).is_err());
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_readers(text in ".*") {
            let _ = json_object(text.as_bytes());
            let _ = query_pairs(&text, 100);
        }
    }
}
