//! What came over the wire as one JSON object: the body of a POST, the query of a GET. Nothing is guessed and nothing is dropped.

use super::decode::shown;
use bytes::Bytes;
use http::{HeaderMap, header};
use hvnode_core::{Result, fail};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Most parameters of one query.
const QUERY_PARAMETERS_MAX: usize = 1100;

/// Is the body declared as JSON? An empty body without a declaration counts as `{}`.
///
/// # Errors
/// `ParseParameter` naming the right content type.
pub(super) fn check_content_type(headers: &HeaderMap, is_empty: bool) -> Result<()> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return if is_empty { Ok(()) } else { Err(content_type_error()) };
    };
    let text = value.to_str().unwrap_or("");
    let kind = text.split(';').next().unwrap_or("").trim();
    if kind.eq_ignore_ascii_case("application/json") { Ok(()) } else { Err(content_type_error()) }
}

fn content_type_error() -> hvnode_core::AgentError {
    fail!(ParseParameter, "the header Content-Type must be application/json"; "请求头 Content-Type 必须是 application/json")
}

/// Reads the body of a POST.
///
/// # Errors
/// `ParseParameter` where it is not one JSON object.
pub(super) fn body_object(body: &Bytes) -> Result<Map<String, Value>> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice::<Strict>(body) {
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

/// Reads the query of a GET. A parameter that stands several times becomes a list.
///
/// # Errors
/// `ParseParameter` where it is not a valid query.
pub(super) fn query_object(query: Option<&str>) -> Result<Map<String, Value>> {
    let mut object = Map::new();
    let Some(query) = query else { return Ok(object) };
    for (count, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        if count == QUERY_PARAMETERS_MAX {
            return Err(
                fail!(ParseParameter, "a query may have at most {QUERY_PARAMETERS_MAX} parameters"; "查询参数最多 {QUERY_PARAMETERS_MAX} 个"),
            );
        }
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (unescaped(key)?, Value::String(unescaped(value)?));
        match object.get_mut(&key) {
            None => {
                object.insert(key, value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Ok(object)
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

fn query_error() -> hvnode_core::AgentError {
    fail!(ParseParameter, "the query is not valid percent-encoded UTF-8"; "查询字符串不是合法的百分号编码 UTF-8")
}

const TWICE: &str = "twice: ";

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
                return Err(A::Error::custom(format!("{TWICE}{}", shown(&key))));
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
    use serde_json::json;

    fn fault(body: &'static str) -> String {
        let error = body_object(&Bytes::from_static(body.as_bytes())).unwrap_err();
        assert_eq!(error.code().number(), 10001);
        error.detail().en.clone()
    }

    #[test]
    fn a_body_that_is_no_json_object_says_where_it_breaks() {
        assert_eq!(fault("{\"a\": }"), "the body is not valid JSON at line 1, column 7");
        assert_eq!(fault("[]"), "the body must be a JSON object");
        assert_eq!(fault("null"), "the body must be a JSON object");
        assert_eq!(fault("{} {}"), "the body is not valid JSON at line 1, column 4");
        assert_eq!(fault("\u{feff}{}"), "the body is not valid JSON at line 1, column 1");
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_at_any_depth() {
        assert_eq!(fault(r#"{"vm_uuid":"a","vm_uuid":"b"}"#), "vm_uuid must stand only once in its object");
        assert_eq!(fault(r#"{"list":[{"force":true,"force":false}]}"#), "force must stand only once in its object");
    }

    #[test]
    fn a_bottomless_body_is_refused_and_does_not_overflow_the_stack() {
        let body = Bytes::from(format!("{}{}", "{\"a\":".repeat(100_000), "1"));
        assert_eq!(body_object(&body).unwrap_err().code().number(), 10001);
    }

    #[test]
    fn a_query_is_unescaped_and_repeated_names_become_a_list() {
        let object = query_object(Some("name=a%20b+c&vm_uuid=1&vm_uuid=2&flag&&x=%E4%B8%AD")).unwrap();
        assert_eq!(Value::Object(object), json!({"name": "a b c", "vm_uuid": ["1", "2"], "flag": "", "x": "中"}));
        for broken in ["a=%", "a=%4", "a=%zz", "%ff=1"] {
            assert_eq!(query_object(Some(broken)).unwrap_err().code().number(), 10001, "{broken}");
        }
    }

    #[test]
    fn only_json_is_a_content_type() {
        let check = |text: &str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, text.parse().unwrap())]);
            check_content_type(&headers, false).is_ok()
        };
        assert!(check("application/json") && check("Application/JSON; charset=utf-8"));
        assert!(!check("text/plain") && !check("application/jsonx") && !check(""));
        assert!(check_content_type(&HeaderMap::new(), true).is_ok() && check_content_type(&HeaderMap::new(), false).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes: Vec<u8>, query in ".*") {
            let _ = body_object(&Bytes::from(bytes));
            let _ = query_object(Some(&query));
        }
    }
}
