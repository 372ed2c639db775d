//! From path, query and body to checked parameters, with errors that name the field and say what would be right.

use super::field::{Field, Kind, Place};
use crate::strict::shown;
use hvnode_core::model::redact_url;
use hvnode_core::{Result, fail};
use serde_json::{Map, Value, json};
use std::net::Ipv4Addr;
use uuid::Uuid;

/// Checked parameters. What was not sent, or sent as null, is absent; so is an optional one other than free text that was sent empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Input(Map<String, Value>);

impl Input {
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    pub(super) fn whole(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    /// True where it was sent as 1 or true.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| value.as_bool() == Some(true) || value.as_u64() == Some(1))
    }

    pub(super) fn uuid(&self, name: &str) -> Option<Uuid> {
        self.text(name).and_then(|text| Uuid::try_parse(text).ok())
    }

    /// One that the table declares required.
    ///
    /// # Errors
    /// `ParameterMissing`.
    pub(super) fn required_uuid(&self, name: &str) -> Result<Uuid> {
        self.uuid(name).ok_or_else(|| fail!(ParameterMissing, "{name}"))
    }

    pub(super) fn address(&self, name: &str) -> Option<Ipv4Addr> {
        self.text(name).and_then(|text| text.parse().ok())
    }

    /// The entries of a list, which are objects.
    pub(super) fn list(&self, name: &str) -> Vec<Self> {
        let items = self.0.get(name).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|item| item.as_object().cloned().map(Self)).collect()
    }

    pub(super) fn object(&self, name: &str) -> Option<Self> {
        self.0.get(name).and_then(Value::as_object).cloned().map(Self)
    }
}

/// Checks what came against what a route takes. `path` are the parameters in the path; all of them are uuids.
///
/// # Errors
/// `ParseParameter` (wrong type), `ParameterMissing`, `ParameterInvalid`.
pub(super) fn read(fields: &[Field], path: &[(&str, &str)], query: Vec<(String, String)>, body: &Map<String, Value>) -> Result<Input> {
    let mut input = object(fields, Place::Body, "", body)?;
    let mut asked = Map::new();
    for (name, value) in query {
        let name_shown = shown(&name);
        if asked.insert(name, value.into()).is_some() {
            return Err(fail!(ParseParameter, "{name_shown} must stand only once"));
        }
    }
    input.0.extend(object(fields, Place::Query, "", &asked)?.0);
    for (name, value) in path {
        let uuid = Uuid::try_parse(value).map_err(|_| fail!(ParameterInvalid, "{name} must be a uuid"))?;
        input.0.insert((*name).to_owned(), uuid.to_string().into());
    }
    Ok(input)
}

fn object(fields: &[Field], place: Place, prefix: &str, sent: &Map<String, Value>) -> Result<Input> {
    let known = || fields.iter().filter(|field| field.place == place);
    if let Some(name) = sent.keys().find(|name| !known().any(|field| field.name == *name)) {
        return Err(unknown(prefix, name, &known().map(|field| field.name).collect::<Vec<_>>()));
    }
    let mut read = Map::new();
    for field in known() {
        let path = format!("{prefix}{}", field.name);
        let value = sent.get(field.name).unwrap_or(&Value::Null);
        match checked(field, &path, value)? {
            Some(value) => drop(read.insert(field.name.to_owned(), value)),
            None if field.is_required => return Err(fail!(ParameterMissing, "{path}")),
            None => {}
        }
    }
    Ok(Input(read))
}

fn unknown(prefix: &str, name: &str, known: &[&str]) -> hvnode_core::AgentError {
    let name = shown(name);
    let known = known.join(", ");
    if known.is_empty() {
        return fail!(ParameterInvalid, "{prefix}{name} is not known here: there are no parameters");
    }
    fail!(ParameterInvalid, "{prefix}{name} is not known here; known are {known}")
}

/// The value as handlers read it; `None` where nothing was said.
fn checked(field: &Field, path: &str, value: &Value) -> Result<Option<Value>> {
    let is_free_text = matches!(field.kind, Kind::Text(_));
    let is_silent = value.is_null() || (!is_free_text && !field.is_required && value.as_str() == Some(""));
    if is_silent { Ok(None) } else { one(field, path, value).map(Some) }
}

fn one(field: &Field, path: &str, value: &Value) -> Result<Value> {
    let text = || value.as_str().ok_or_else(|| fail!(ParseParameter, "{path} must be text"));
    match field.kind {
        Kind::Text(most) => free_text(path, text()?, most).map(Value::from),
        Kind::Name => name(path, text()?).map(Value::from),
        Kind::Secret(most) => secret(path, text()?, most).map(Value::from),
        Kind::Uuid => {
            let uuid = Uuid::try_parse(text()?).map_err(|_| fail!(ParameterInvalid, "{path} must be a uuid"))?;
            Ok(uuid.to_string().into())
        }
        Kind::Whole(least, most) => whole(field.place, path, value, least, most).map(Value::from),
        Kind::Flag => whole(field.place, path, value, 0, 1).map(Value::from),
        Kind::Truth => truth(field.place, path, value).map(Value::from),
        Kind::Address => {
            let address: Ipv4Addr = text()?.parse().map_err(|_| fail!(AddressInvalid, "{path} must be an IPv4 address"))?;
            Ok(address.to_string().into())
        }
        Kind::Word(words) => {
            let text = text()?;
            let known = words.join(", ");
            if words.contains(&text) { Ok(text.into()) } else { Err(fail!(ParameterInvalid, "{path} must be one of {known}")) }
        }
        Kind::Object(fields) => {
            let sent = value.as_object().ok_or_else(|| fail!(ParseParameter, "{path} must be an object"))?;
            Ok(Value::Object(object(fields, Place::Body, &format!("{path}."), sent)?.0))
        }
        Kind::List(fields, most) => list(fields, path, value, most),
    }
}

fn list(fields: &[Field], path: &str, value: &Value, most: usize) -> Result<Value> {
    let items = value.as_array().ok_or_else(|| fail!(ParseParameter, "{path} must be a list"))?;
    if items.len() > most {
        return Err(fail!(ParameterInvalid, "{path} must have at most {most} entries"));
    }
    let read = |(index, item): (usize, &Value)| {
        let path = format!("{path}[{index}]");
        let sent = item.as_object().ok_or_else(|| fail!(ParseParameter, "{path} must be an object"))?;
        Ok(Value::Object(object(fields, Place::Body, &format!("{path}."), sent)?.0))
    };
    items.iter().enumerate().map(read).collect::<Result<Vec<_>>>().map(Value::from)
}

fn free_text(path: &str, text: &str, most: usize) -> Result<String> {
    if text.chars().count() <= most && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Ok(text.to_owned());
    }
    Err(fail!(ParameterInvalid, "{path} must have at most {most} characters and no control characters"))
}

fn name(path: &str, text: &str) -> Result<String> {
    let is_allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    if (2..=64).contains(&text.chars().count()) && text.chars().all(is_allowed) && !text.starts_with('-') {
        return Ok(text.to_owned());
    }
    Err(fail!(ParameterInvalid, "{path} must have 2 to 64 letters, digits, '-' and '_', and not start with '-'"))
}

fn secret(path: &str, text: &str, most: usize) -> Result<String> {
    if !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(fail!(ParameterInvalid, "{path} must have 1 to {most} bytes on one line"))
}

fn whole(place: Place, path: &str, value: &Value, least: u64, most: u64) -> Result<u64> {
    let number = match (place, value) {
        (Place::Body, Value::Number(number)) => number.as_u64().map(i128::from).or_else(|| number.as_i64().map(i128::from)),
        (Place::Query, Value::String(text)) => text.parse::<i128>().ok(),
        _ => None,
    };
    let number = number.ok_or_else(|| fail!(ParseParameter, "{path} must be a whole number"))?;
    let number = u64::try_from(number).ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| fail!(ParameterInvalid, "{path} must be from {least} to {most}"))
}

fn truth(place: Place, path: &str, value: &Value) -> Result<bool> {
    match (place, value) {
        (Place::Body, Value::Bool(truth)) => Ok(*truth),
        (Place::Query, Value::String(text)) if text == "true" || text == "false" => Ok(text == "true"),
        _ => Err(fail!(ParseParameter, "{path} must be true or false")),
    }
}

/// What the operation log may hold of a request, understood or not: fields this route knows, secrets replaced.
pub(super) fn logged(fields: &[Field], sent: &Map<String, Value>) -> Value {
    let row = |field: &Field| Some((field.name.to_owned(), logged_value(field, sent.get(field.name).filter(|value| !value.is_null())?)));
    Value::Object(fields.iter().filter_map(row).collect())
}

fn logged_value(field: &Field, value: &Value) -> Value {
    match (field.kind, value) {
        (Kind::Secret(_), _) => json!("***"),
        (Kind::Object(fields), Value::Object(object)) => logged(fields, object),
        (Kind::List(fields, most), Value::Array(items)) => {
            items.iter().take(most).filter_map(Value::as_object).map(|item| logged(fields, item)).collect()
        }
        (Kind::Object(_) | Kind::List(..), _) => json!("…"),
        (_, Value::String(text)) if field.name.ends_with("url") => redact_url(&cut(text)).into(),
        (_, Value::String(text)) => cut(text).into(),
        (_, Value::Number(_) | Value::Bool(_)) => value.clone(),
        _ => json!("…"),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(1024).collect()
}

#[cfg(test)]
mod tests {
    use super::super::field::{body, query};
    use super::*;
    use proptest::prelude::*;

    const INNER: &[Field] = &[body("size", Kind::Whole(1 << 20, 1 << 40)).required(), body("password", Kind::Secret(8))];
    const FIELDS: &[Field] = &[
        body("name", Kind::Name).required(),
        body("image_uuid", Kind::Uuid),
        body("ip", Kind::Address),
        body("kind", Kind::Word(&["a", "b"])),
        body("primary", Kind::Flag),
        body("volumes", Kind::List(INNER, 2)),
        body("install_url", Kind::Text(64)),
        body("cdrom", Kind::Object(INNER)),
        query("force_del", Kind::Truth),
    ];

    fn take(body: &Value, query: &[(&str, &str)]) -> Result<Input> {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        read(FIELDS, &[], query, body.as_object().unwrap())
    }

    #[test]
    fn every_fault_is_named_with_its_place() {
        for (body, words) in [
            (json!({}), "Parameter missing: name"),
            (json!({"name": "a"}), "name must have 2 to 64"),
            (json!({"name": "a b"}), "name must have 2 to 64"),
            (json!({"name": 1}), "name must be text"),
            (json!({"name": "ab", "nam": 1}), "nam is not known here; known are name, image_uuid"),
            (json!({"name": "ab", "image_uuid": "x"}), "image_uuid must be a uuid"),
            (json!({"name": "ab", "ip": "1.2.3"}), "ip must be an IPv4 address"),
            (json!({"name": "ab", "kind": "c"}), "kind must be one of a, b"),
            (json!({"name": "ab", "primary": 2}), "primary must be from 0 to 1"),
            (json!({"name": "ab", "primary": "1"}), "primary must be a whole number"),
            (json!({"name": "ab", "volumes": {}}), "volumes must be a list"),
            (json!({"name": "ab", "volumes": [1]}), "volumes[0] must be an object"),
            (json!({"name": "ab", "volumes": [{"size": 10}]}), "volumes[0].size must be from 1048576"),
            (json!({"name": "ab", "volumes": [{"size": -1}]}), "volumes[0].size must be from 1048576"),
            (json!({"name": "ab", "volumes": [{"size": 1e30}]}), "volumes[0].size must be a whole number"),
            (json!({"name": "ab", "volumes": [{}, {}, {}]}), "volumes must have at most 2 entries"),
            (json!({"name": "ab", "volumes": [{"size": 1 << 20}, {}]}), "Parameter missing: volumes[1].size"),
            (json!({"name": "ab", "cdrom": {"sise": 1}}), "cdrom.sise is not known here"),
            (json!({"name": "ab", "force_del": true}), "force_del is not known here"),
        ] {
            let error = take(&body, &[]).unwrap_err().message();
            assert!(error.contains(words), "{body}: {error}");
        }
        let error = take(&json!({"name": "ab"}), &[("force_del", "1")]).unwrap_err().message();
        assert!(error.contains("force_del must be true or false"), "{error}");
    }

    #[test]
    fn what_is_sent_empty_or_as_null_was_not_sent() {
        let input = take(&json!({"name": "ab", "image_uuid": "", "ip": null, "kind": ""}), &[]).unwrap();
        assert_eq!(input.0.keys().collect::<Vec<_>>(), ["name"]);
    }

    #[test]
    fn the_log_shows_that_a_secret_was_sent_and_not_what_it_was() {
        let sent = json!({"name": "ab", "volumes": [{"password": "p1"}], "cdrom": {"password": ["p2"]}, "install_url": "http://u:p3@h/x?p4",
            "secret": "p5", "kind": {"x": "p6"}});
        let text = logged(FIELDS, sent.as_object().unwrap()).to_string();
        assert!(text.contains("***") && text.contains("http://h/x") && !(1..=6).any(|n| text.contains(&format!("p{n}"))), "{text}");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(name in ".*", other in ".*") {
            let _ = take(&json!({"name": name.clone(), "ip": other.clone(), "install_url": other, (name): 1}), &[]);
        }
    }
}
