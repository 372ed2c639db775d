//! Holds every answer of every test against the OpenAPI document: exactly its fields, of its types, under a documented status.

use super::super::openapi;
use serde_json::Value;
use std::sync::LazyLock;
use uuid::Uuid;

static DOCUMENT: LazyLock<Value> = LazyLock::new(openapi);

/// Checks an answer, unless the route or the method does not exist: that is a 404 in the same envelope.
pub(super) fn check_answer(method: &http::Method, path: &str, status: u16, body: &Value) {
    let schema = operation(method, path).map_or_else(
        || DOCUMENT.pointer("/components/schemas/Failure"),
        |operation| {
            let response = resolved(operation["responses"].get(status.to_string()).unwrap_or_else(|| panic!("{method} {path}: {status}")));
            response.pointer("/content/application~1json/schema")
        },
    );
    check(schema.unwrap_or_else(|| panic!("{method} {path} {status} has no schema")), body, &format!("{method} {path} {status}"));
}

fn operation(method: &http::Method, path: &str) -> Option<&'static Value> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let names: Vec<&str> = template.split('/').collect();
        names.len() == parts.len() && names.iter().zip(&parts).all(|(name, part)| name == part || name.starts_with('{'))
    };
    let paths = DOCUMENT["paths"].as_object()?;
    let mut found: Vec<&String> = paths.keys().filter(|template| fits(template)).collect();
    found.sort_by_key(|template| template.matches('{').count());
    let item = &paths[found.first()?.as_str()];
    item.get(if method == http::Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() })
}

fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

fn check(schema: &'static Value, value: &Value, place: &str) {
    let schema = resolved(schema);
    if let Some(right) = schema.get("const") {
        return assert_eq!(value, right, "{place}");
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() || kinds.contains(&"number") => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(kinds.contains(&kind), "{place}: {value} is no {kinds:?}");
    match value {
        Value::String(text) => check_format(schema["format"].as_str(), text, place),
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                items.iter().enumerate().for_each(|(index, item)| check(schema, item, &format!("{place}[{index}]")));
            }
        }
        Value::Object(object) => {
            let properties = schema["properties"].as_object().unwrap_or_else(|| panic!("{place}: an object without fields"));
            let names = |keys: Vec<&String>| keys.into_iter().cloned().collect::<std::collections::BTreeSet<_>>();
            assert_eq!(names(object.keys().collect()), names(properties.keys().collect()), "{place}");
            properties.iter().for_each(|(name, schema)| check(schema, &object[name], &format!("{place}.{name}")));
        }
        _ => {}
    }
}

fn check_format(format: Option<&str>, text: &str, place: &str) {
    match format {
        Some("uuid") => assert!(Uuid::try_parse(text).is_ok_and(|uuid| uuid.to_string() == text), "{place}: {text}"),
        Some("date-time") => assert!(text.parse::<jiff::Timestamp>().is_ok(), "{place}: {text}"),
        _ => {}
    }
}
