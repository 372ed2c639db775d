//! What came over the wire, read strictly: every key is known, every value has its type, and what is wrong is named.

use super::errors::Fault;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A value as it may be shown in a message.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 80 { text } else { text.chars().take(79).chain(['…']).collect() }
}

fn invalid(path: &str, value: &Value, why: &str) -> Fault {
    let shown = shown(value);
    Fault::bad_request(format!("Invalid input for field/attribute {path}. Value: {shown}. {shown} {why}"))
}

/// One JSON object that is read key by key. Null counts as absent.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    path: String,
    object: &'a Map<String, Value>,
    known: Vec<&'a str>,
}

impl<'a> Fields<'a> {
    /// The object under the one key of a body. Other keys beside it are refused, but for those in `beside`.
    ///
    /// # Errors
    /// 400.
    pub(super) fn wrapped(body: &'a Value, name: &'a str, beside: &[&str]) -> Result<Self, Fault> {
        let object =
            body.as_object().ok_or_else(|| Fault::bad_request(format!("The body must be a JSON object with the key '{name}'.")))?;
        let mut outer = Fields {
            path: String::new(),
            object,
            known: beside.iter().filter_map(|key| object.get_key_value(*key)).map(|(key, _)| key.as_str()).collect(),
        };
        let inner = outer.object(name)?.ok_or_else(|| Fault::bad_request(format!("'{name}' is a required property")))?;
        outer.end()?;
        Ok(inner)
    }

    /// An object at a place of a body.
    ///
    /// # Errors
    /// 400 where it is none.
    pub(super) fn of(path: &str, value: &'a Value) -> Result<Self, Fault> {
        let object = value.as_object().ok_or_else(|| invalid(path, value, "is not of type 'object'"))?;
        Ok(Self { path: path.to_owned(), object, known: Vec::new() })
    }

    fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// True where the key stands there, null included.
    pub(super) fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    /// Any value but null.
    pub(super) fn value(&mut self, name: &'a str) -> Option<&'a Value> {
        self.known.push(name);
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// Names that are taken and not looked at.
    pub(super) fn ignore(&mut self, names: &[&'a str]) {
        self.known.extend(names);
    }

    pub(super) fn text(&mut self, name: &'a str) -> Result<Option<&'a str>, Fault> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| invalid(&self.at(name), value, "is not of type 'string'"))
    }

    pub(super) fn required(&mut self, name: &'a str) -> Result<&'a str, Fault> {
        self.text(name)?.ok_or_else(|| self.missing(name))
    }

    pub(super) fn missing(&self, name: &str) -> Fault {
        let place = if self.path.is_empty() { String::new() } else { format!(" of {}", self.path) };
        Fault::bad_request(format!("Invalid input: '{name}' is a required property{place}"))
    }

    /// A whole number from `least` to `most`, also written as a text.
    pub(super) fn integer(&mut self, name: &'a str, least: i64, most: i64) -> Result<Option<i64>, Fault> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let number = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        let number = number.ok_or_else(|| invalid(&self.at(name), value, "is not of type 'integer'"))?;
        if number < least {
            return Err(invalid(&self.at(name), value, &format!("is less than the minimum of {least}")));
        }
        if number > most {
            return Err(invalid(&self.at(name), value, &format!("is greater than the maximum of {most}")));
        }
        Ok(Some(number))
    }

    pub(super) fn boolean(&mut self, name: &'a str) -> Result<Option<bool>, Fault> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let truth = match value {
            Value::Bool(truth) => Some(*truth),
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Some(true),
                "false" | "no" | "off" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        };
        truth.map(Some).ok_or_else(|| invalid(&self.at(name), value, "is not of type 'boolean'"))
    }

    pub(super) fn list(&mut self, name: &'a str) -> Result<Option<&'a [Value]>, Fault> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.as_array().map(|list| Some(list.as_slice())).ok_or_else(|| invalid(&self.at(name), value, "is not of type 'array'"))
    }

    pub(super) fn object(&mut self, name: &'a str) -> Result<Option<Fields<'a>>, Fault> {
        let Some(value) = self.value(name) else { return Ok(None) };
        Fields::of(&self.at(name), value).map(Some)
    }

    pub(super) fn uuid(&mut self, name: &'a str) -> Result<Option<Uuid>, Fault> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        Uuid::try_parse(text).map(Some).map_err(|_| invalid(&self.at(name), &text.into(), "is not a 'uuid'"))
    }

    /// An object of texts.
    pub(super) fn pairs(&mut self, name: &'a str) -> Result<Option<BTreeMap<String, String>>, Fault> {
        let Some(value) = self.value(name) else { return Ok(None) };
        pairs(&self.at(name), value).map(Some)
    }

    /// Something about this key is wrong.
    pub(super) fn wrong(&self, name: &str, why: &str) -> Fault {
        let value = self.object.get(name).cloned().unwrap_or_default();
        invalid(&self.at(name), &value, why)
    }

    /// Refuses keys that nobody asked for.
    ///
    /// # Errors
    /// 400 naming the first.
    pub(super) fn end(self) -> Result<(), Fault> {
        match self.object.keys().find(|key| !self.known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                let key: String = key.chars().take(64).collect();
                let place = if self.path.is_empty() { "the body".to_owned() } else { self.path };
                Err(Fault::bad_request(format!(
                    "Invalid input for field/attribute {place}. Additional properties are not allowed ('{key}' was unexpected)"
                )))
            }
        }
    }
}

/// An object of texts.
pub(super) fn pairs(path: &str, value: &Value) -> Result<BTreeMap<String, String>, Fault> {
    let object = value.as_object().ok_or_else(|| invalid(path, value, "is not of type 'object'"))?;
    let text = |(key, value): (&String, &Value)| match value {
        Value::String(text) => Ok((key.clone(), text.clone())),
        other => Err(invalid(&format!("{path}.{key}"), other, "is not of type 'string'")),
    };
    object.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_unknown_key_is_named_with_its_place() {
        let body = json!({"server": {"name": "a", "nmae": 1}});
        let mut fields = Fields::wrapped(&body, "server", &[]).unwrap();
        assert_eq!(fields.required("name").unwrap(), "a");
        let fault = fields.end().unwrap_err();
        assert_eq!(
            fault.message,
            "Invalid input for field/attribute server. Additional properties are not allowed ('nmae' was unexpected)"
        );
    }

    #[test]
    fn a_wrong_type_and_a_wrong_range_are_named() {
        let body = json!({"flavor": {"ram": "x", "vcpus": 0, "disk": "10", "public": "maybe"}});
        let mut fields = Fields::wrapped(&body, "flavor", &[]).unwrap();
        assert_eq!(
            fields.integer("ram", 1, 9).unwrap_err().message,
            "Invalid input for field/attribute flavor.ram. Value: \"x\". \"x\" is not of type 'integer'"
        );
        assert!(fields.integer("vcpus", 1, 9).unwrap_err().message.ends_with("0 is less than the minimum of 1"));
        assert!(fields.boolean("public").is_err());
        assert_eq!(fields.integer("disk", 1, 90).unwrap(), Some(10));
        assert!(Fields::wrapped(&json!([]), "flavor", &[]).is_err() && Fields::wrapped(&json!({"x": {}}), "flavor", &[]).is_err());
    }
}
