//! Holds real answers against the OpenAPI document of their dialect: a documented status, exactly the documented fields, of their types.
//!
//! The tests of every dialect that has a document share it. It reads the part of JSON Schema that our documents use, and refuses any
//! other keyword: nothing in a document can be silently unchecked.

use http::Method;
use serde_json::{Map, Value};
use uuid::Uuid;

/// A document and the schema of answers to what it does not know (an unknown route or method).
#[derive(Debug)]
pub(crate) struct Document {
    root: Value,
    /// Name of that schema; none where each service has its own and the caller checks it.
    stranger: Option<&'static str>,
}

/// Keywords that say something to people or to request generators only.
const NOTES: [&str; 9] = ["description", "default", "title", "example", "examples", "writeOnly", "pattern", "propertyNames", "deprecated"];
/// Keywords that are checked.
const CHECKED: [&str; 19] = [
    "$ref",
    "type",
    "const",
    "enum",
    "format",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
    "allOf",
    "anyOf",
];

impl Document {
    pub(crate) fn new(root: Value, stranger: Option<&'static str>) -> Self {
        Self { root, stranger }
    }

    /// Checks an answer. `minor` is the negotiated version where the API has versions; `body` is null where there is none.
    pub(crate) fn check_answer(&self, method: &Method, path: &str, status: u16, body: &Value, minor: Option<u16>) {
        let place = format!("{method} {path} {status}");
        let Some(operation) = self.operation(method, path) else {
            if let Some(name) = self.stranger {
                let schema = &self.root["components"]["schemas"][name];
                self.assert_fits(schema, body, &place, minor);
            }
            return;
        };
        let responses = &operation["responses"];
        let response = responses.get(status.to_string()).unwrap_or_else(|| panic!("{place}: this status is not documented: {body}"));
        let response = self.resolved(response);
        match response.pointer("/content/application~1json/schema") {
            Some(_) if *method == Method::HEAD => {}
            Some(schema) => self.assert_fits(schema, body, &place, minor),
            None => assert!(body.is_null(), "{place}: no body is documented: {body}"),
        }
    }

    fn assert_fits(&self, schema: &Value, body: &Value, place: &str, minor: Option<u16>) {
        let faults = Checker { document: self, minor }.faults(schema, body, "");
        assert!(faults.is_empty(), "{place} is not as documented:\n  {}\n{body}", faults.join("\n  "));
    }

    /// The operation of a path as it is written in a request.
    pub(crate) fn operation(&self, method: &Method, path: &str) -> Option<&Value> {
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let names: Vec<&str> = template.split('/').collect();
            names.len() == parts.len() && names.iter().zip(&parts).all(|(name, part)| name == part || name.starts_with('{'))
        };
        let paths = self.root["paths"].as_object()?;
        let mut found: Vec<&String> = paths.keys().filter(|template| fits(template)).collect();
        // As the router: a word goes before a name.
        found.sort_by_key(|template| template.split('/').map(|part| part.starts_with('{')).collect::<Vec<_>>());
        let word = |method: &Method| method.as_str().to_lowercase();
        let item = &paths[found.first()?.as_str()];
        item.get(word(method)).or_else(|| (*method == Method::HEAD).then(|| item.get("get")).flatten())
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self.root.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference} leads nowhere")),
            None => value,
        }
    }
}

struct Checker<'a> {
    document: &'a Document,
    minor: Option<u16>,
}

impl Checker<'_> {
    /// Everything wrong with a value.
    fn faults(&self, schema: &Value, value: &Value, place: &str) -> Vec<String> {
        let schema = self.document.resolved(schema);
        let Some(keywords) = schema.as_object() else { return Vec::new() };
        for keyword in keywords.keys() {
            let is_known = NOTES.contains(&keyword.as_str()) || CHECKED.contains(&keyword.as_str()) || keyword.starts_with("x-");
            assert!(is_known || keyword == "oneOf", "{place}: this checker does not know the keyword {keyword}");
        }
        let fault = |what: String| vec![format!("{place}: {what}")];
        if let Some(right) = schema.get("const") {
            return if value == right { Vec::new() } else { fault(format!("{value} is not {right}")) };
        }
        if let Some(all) = schema["allOf"].as_array() {
            return all.iter().flat_map(|one| self.faults(one, value, place)).collect();
        }
        if let Some(any) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
            return self.fits_any(any, value, place);
        }
        if !is_of_type(&schema["type"], value) {
            return fault(format!("{value} is not {}", schema["type"]));
        }
        if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
            return fault(format!("{value} is not one of {}", schema["enum"]));
        }
        match value {
            Value::String(text) => text_fault(schema, text).map_or_else(Vec::new, fault),
            Value::Number(number) => number_fault(schema, number.as_f64().unwrap_or_default()).map_or_else(Vec::new, fault),
            Value::Array(items) => self.list_faults(schema, items, place),
            Value::Object(object) => self.object_faults(schema, object, place),
            Value::Null | Value::Bool(_) => Vec::new(),
        }
    }

    /// Where none fits, the faults of the one that comes nearest.
    fn fits_any(&self, any: &[Value], value: &Value, place: &str) -> Vec<String> {
        let itself = format!("{place}: ");
        let found = any.iter().map(|one| self.faults(one, value, place));
        found.min_by_key(|faults| (faults.iter().any(|fault| fault.starts_with(&itself)), faults.len())).unwrap_or_default()
    }

    fn list_faults(&self, schema: &Value, items: &[Value], place: &str) -> Vec<String> {
        let bound = |name: &str| schema[name].as_u64().map(|bound| usize::try_from(bound).unwrap_or(usize::MAX));
        let mut faults = Vec::new();
        if bound("maxItems").is_some_and(|most| items.len() > most) || bound("minItems").is_some_and(|least| items.len() < least) {
            faults.push(format!("{place}: {} entries are too many or too few", items.len()));
        }
        if let Some(schema) = schema.get("items") {
            faults.extend(items.iter().enumerate().flat_map(|(index, item)| self.faults(schema, item, &format!("{place}[{index}]"))));
        }
        faults
    }

    fn object_faults(&self, schema: &Value, object: &Map<String, Value>, place: &str) -> Vec<String> {
        if schema.get("type").is_none() && schema.get("properties").is_none() {
            return Vec::new();
        }
        let empty = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        let mut faults = Vec::new();
        let count = object.len() as u64;
        if schema["minProperties"].as_u64().is_some_and(|least| count < least)
            || schema["maxProperties"].as_u64().is_some_and(|most| count > most)
        {
            faults.push(format!("{place}: {count} fields are too many or too few"));
        }
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        faults.extend(required.filter(|name| !object.contains_key(*name)).map(|name| format!("{place}.{name} is missing")));
        for (name, property) in properties {
            faults.extend(self.version_fault(name, property, object).map(|fault| format!("{place}.{name} {fault}")));
        }
        for (name, value) in object {
            let place = format!("{place}.{name}");
            match (properties.get(name), schema.get("additionalProperties")) {
                (Some(property), _) => faults.extend(self.faults(property, value, &place)),
                (None, Some(Value::Bool(true))) => {}
                // Strict beyond JSON Schema: what is not said to be open is closed.
                (None, None | Some(Value::Bool(false))) => faults.push(format!("{place} is not documented")),
                (None, Some(property)) => faults.extend(self.faults(property, value, &place)),
            }
        }
        faults
    }

    /// A field that came with a version, or went with one, is there exactly from it or until it.
    fn version_fault(&self, name: &str, property: &Value, object: &Map<String, Value>) -> Option<&'static str> {
        let minor = self.minor?;
        let bound = |keyword: &str| property[keyword].as_u64().map(|bound| u16::try_from(bound).unwrap_or(u16::MAX));
        let (since, until) = (bound("x-since"), bound("x-until"));
        if since.is_none() && until.is_none() {
            return None;
        }
        let is_there = object.contains_key(name);
        let should = since.is_none_or(|since| minor >= since) && until.is_none_or(|until| minor <= until);
        match (is_there, should) {
            (true, false) => Some("is not in this version"),
            (false, true) if property["x-optional"] != true => Some("is missing in this version"),
            _ => None,
        }
    }
}

fn is_of_type(kinds: &Value, value: &Value) -> bool {
    let is = |kind: &str| match value {
        Value::Null => kind == "null",
        Value::Bool(_) => kind == "boolean",
        Value::Number(number) => kind == "number" || (kind == "integer" && !number.is_f64()),
        Value::String(_) => kind == "string",
        Value::Array(_) => kind == "array",
        Value::Object(_) => kind == "object",
    };
    match kinds {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

fn text_fault(schema: &Value, text: &str) -> Option<String> {
    let length = text.chars().count() as u64;
    if schema["maxLength"].as_u64().is_some_and(|most| length > most) || schema["minLength"].as_u64().is_some_and(|least| length < least) {
        return Some(format!("{length} characters are too many or too few"));
    }
    let is_right = match schema["format"].as_str() {
        Some("uuid") => Uuid::try_parse(text).is_ok_and(|uuid| uuid.to_string() == text),
        Some("date-time") => text.parse::<jiff::Timestamp>().is_ok(),
        Some("ipv4") => text.parse::<std::net::Ipv4Addr>().is_ok(),
        Some("uri") => text.contains("://"),
        _ => true,
    };
    (!is_right).then(|| format!("{text:?} is no {}", schema["format"]))
}

fn number_fault(schema: &Value, number: f64) -> Option<String> {
    let is_within =
        schema["minimum"].as_f64().is_none_or(|least| number >= least) && schema["maximum"].as_f64().is_none_or(|most| number <= most);
    (!is_within).then(|| format!("{number} is out of bounds"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults(schema: &Value, value: &Value, minor: Option<u16>) -> Vec<String> {
        let document = Document::new(json!({}), None);
        Checker { document: &document, minor }.faults(schema, value, "")
    }

    #[test]
    fn what_is_missing_what_is_more_and_what_is_of_another_type_is_told() {
        let schema = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"], "format": "uuid"}}});
        assert_eq!(faults(&schema, &json!({"a": 1, "b": null}), None), Vec::<String>::new());
        assert_eq!(faults(&schema, &json!({"b": "x"}), None), [".a is missing", ".b: \"x\" is no \"uuid\""]);
        assert_eq!(faults(&schema, &json!({"a": 1.5}), None), [".a: 1.5 is not \"integer\""]);
        assert_eq!(faults(&schema, &json!({"a": 1, "c": 1}), None), [".c is not documented"]);
    }

    #[test]
    fn of_several_forms_the_nearest_is_told() {
        let form = |name: &str| json!({"type": "object", "required": [name], "properties": {name: {"const": 1}}});
        let schema = json!({"anyOf": [form("a"), form("b"), {"type": "null"}]});
        assert!(faults(&schema, &json!({"b": 1}), None).is_empty() && faults(&schema, &Value::Null, None).is_empty());
        assert_eq!(faults(&schema, &json!({"b": 2}), None), [".b: 2 is not 1"]);
    }

    #[test]
    fn a_field_of_a_version_is_there_from_that_version_on() {
        let schema = || json!({"type": "object", "properties": {"new": {"x-since": 9}, "old": {"x-until": 9}}});
        assert!(faults(&schema(), &json!({"old": 1}), Some(8)).is_empty() && faults(&schema(), &json!({"new": 1}), Some(10)).is_empty());
        assert_eq!(faults(&schema(), &json!({"old": 1, "new": 1}), Some(8)), [".new is not in this version"]);
        assert_eq!(faults(&schema(), &json!({}), Some(9)), [".new is missing in this version", ".old is missing in this version"]);
    }

    #[test]
    #[should_panic(expected = "does not know the keyword patternProperties")]
    fn a_keyword_that_would_not_be_checked_is_no_keyword() {
        faults(&json!({"patternProperties": {}}), &Value::Null, None);
    }
}
