//! What came over the wire as one JSON object: the body of a POST, the query of a GET. Nothing is guessed and nothing is dropped.

use crate::strict;
use bytes::Bytes;
use http::{HeaderMap, header};
use hvnode_core::{Result, fail};
use serde_json::{Map, Value};

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

/// Is the body declared as bytes?
///
/// # Errors
/// `ParseParameter` naming the right content type.
pub(super) fn check_is_bytes(headers: &HeaderMap) -> Result<()> {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if text.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/octet-stream") {
        return Ok(());
    }
    Err(
        fail!(ParseParameter, "the header Content-Type must be application/octet-stream"; "请求头 Content-Type 必须是 application/octet-stream"),
    )
}

fn content_type_error() -> hvnode_core::AgentError {
    fail!(ParseParameter, "the header Content-Type must be application/json"; "请求头 Content-Type 必须是 application/json")
}

/// Reads the body of a POST.
///
/// # Errors
/// `ParseParameter` where it is not one JSON object.
pub(super) fn body_object(body: &Bytes) -> Result<Map<String, Value>> {
    strict::json_object(body)
}

/// Reads the query of a GET. A parameter that stands several times becomes a list.
///
/// # Errors
/// `ParseParameter` where it is not a valid query.
pub(super) fn query_object(query: Option<&str>) -> Result<Map<String, Value>> {
    let mut object = Map::new();
    let Some(query) = query else { return Ok(object) };
    for (key, value) in strict::query_pairs(query, QUERY_PARAMETERS_MAX)? {
        let value = Value::String(value);
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
