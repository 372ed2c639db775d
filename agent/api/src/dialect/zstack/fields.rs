//! The fields of a message. Clients send every scalar as text; each is read as what it is to be, and what does not fit names its field.

use hvnode_core::{Result, fail};
use serde_json::{Map, Value};
use std::str::FromStr;
use uuid::Uuid;

/// Most characters of a name.
const NAME_LENGTH_MAX: usize = 255;
/// Most characters of a description.
const DESCRIPTION_LENGTH_MAX: usize = 2048;
/// Most items of a list.
const ITEMS_MAX: usize = 1000;
/// Most characters of a value that a refusal repeats.
const SHOWN_MAX: usize = 64;

/// The fields of one message. Unknown ones are ignored, null is absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(pub(super) Map<String, Value>);

impl Fields {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Was it sent?
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A text without the white space around it; never empty.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        self.get(name).map(|value| scalar(name, value)).transpose()
    }

    pub(super) fn need_text(&self, name: &str) -> Result<String> {
        self.text(name)?.ok_or_else(|| missing(name))
    }

    /// `name` of an object.
    pub(super) fn name(&self) -> Result<Option<String>> {
        bounded("name", self.text("name")?, NAME_LENGTH_MAX)
    }

    pub(super) fn need_name(&self) -> Result<String> {
        self.name()?.ok_or_else(|| missing("name"))
    }

    /// `description` of an object; may be empty.
    pub(super) fn description(&self) -> Result<Option<String>> {
        if self.get("description").and_then(Value::as_str).is_some_and(|text| text.trim().is_empty()) {
            return Ok(Some(String::new()));
        }
        bounded("description", self.text("description")?, DESCRIPTION_LENGTH_MAX)
    }

    /// A whole number.
    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let parsed = text.parse().map(Some);
        parsed.map_err(|_| fault(name, &text, "a whole number, not negative", "非负整数"))
    }

    pub(super) fn need_number<T: FromStr>(&self, name: &str) -> Result<T> {
        self.number(name)?.ok_or_else(|| missing(name))
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        match self.text(name)? {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(fault(name, &text, "true or false", "true 或 false")),
        }
    }

    pub(super) fn uuid(&self, name: &str) -> Result<Option<Uuid>> {
        self.text(name)?.map(|text| as_uuid(name, &text)).transpose()
    }

    pub(super) fn need_uuid(&self, name: &str) -> Result<Uuid> {
        self.uuid(name)?.ok_or_else(|| missing(name))
    }

    /// A list of texts; one text with commas is a list too.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let texts: Vec<String> = match value {
            Value::Array(items) => items.iter().map(|item| scalar(name, item)).collect::<Result<_>>()?,
            Value::String(text) => text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            _ => return Err(fail!(ParameterInvalid, "{name} must be a list"; "{name} 须为列表")),
        };
        if texts.len() > ITEMS_MAX {
            return Err(fail!(ParameterInvalid, "{name} must have at most {ITEMS_MAX} items"; "{name} 最多 {ITEMS_MAX} 项"));
        }
        Ok(Some(texts))
    }

    pub(super) fn uuids(&self, name: &str) -> Result<Option<Vec<Uuid>>> {
        self.texts(name)?.map(|texts| texts.iter().map(|text| as_uuid(name, text)).collect()).transpose()
    }

    /// One of a few words.
    pub(super) fn word(&self, name: &str, words: &[&'static str]) -> Result<Option<&'static str>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let known = words.iter().find(|word| word.eq_ignore_ascii_case(&text)).copied();
        let all = words.join(", ");
        known.map(Some).ok_or_else(|| fault(name, &text, &format!("one of {all}"), &format!("{all} 之一")))
    }

    pub(super) fn need_word(&self, name: &str, words: &[&'static str]) -> Result<&'static str> {
        self.word(name, words)?.ok_or_else(|| missing(name))
    }

    /// Refuses the first of these fields that was sent.
    pub(super) fn refuse(&self, names: &[&str]) -> Result<()> {
        match names.iter().find(|name| self.has(name)) {
            None => Ok(()),
            Some(name) => Err(fail!(NotSupported, "{name} cannot be set on this node"; "本节点不支持设置 {name}")),
        }
    }
}

/// The error of a field that must be there.
pub(super) fn missing(name: &str) -> hvnode_core::AgentError {
    fail!(ParameterMissing, "{name} is mandatory"; "{name} 为必填项")
}

/// The error of a value that is not what its field takes.
pub(super) fn fault(name: &str, value: &str, right: &str, right_cn: &str) -> hvnode_core::AgentError {
    let shown: String = value.chars().take(SHOWN_MAX).collect::<String>().escape_debug().to_string();
    fail!(ParameterInvalid, "{name} must be {right}, not '{shown}'"; "{name} 须为{right_cn}，不能是 '{shown}'")
}

fn scalar(name: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) if text.trim().is_empty() => Err(fail!(ParameterInvalid, "{name} must not be empty"; "{name} 不能为空")),
        Value::String(text) => Ok(text.trim().to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(fail!(ParameterInvalid, "{name} must be a single value"; "{name} 须为单个值")),
    }
}

fn as_uuid(name: &str, text: &str) -> Result<Uuid> {
    Uuid::try_parse(text).map_err(|_| fault(name, text, "a uuid of 32 hexadecimal digits", "32 位十六进制 uuid"))
}

fn bounded(name: &str, text: Option<String>, most: usize) -> Result<Option<String>> {
    if text.as_ref().is_some_and(|text| text.chars().count() > most) {
        return Err(fail!(ParameterInvalid, "{name} must have at most {most} characters"; "{name} 最多 {most} 个字符"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: &Value) -> Fields {
        Fields(value.as_object().unwrap().clone())
    }

    #[test]
    fn scalars_may_come_as_text_or_as_themselves() {
        for value in [json!({"n": 7, "b": true}), json!({"n": " 7 ", "b": "True"})] {
            let fields = fields(&value);
            assert_eq!(fields.number::<u64>("n").unwrap(), Some(7));
            assert!(fields.flag("b").unwrap());
        }
        let uuid = Uuid::from_u128(9);
        for text in [uuid.to_string(), uuid.simple().to_string(), uuid.simple().to_string().to_uppercase()] {
            assert_eq!(fields(&json!({ "u": text })).uuid("u").unwrap(), Some(uuid));
        }
    }

    #[test]
    fn lists_may_come_as_one_text() {
        for value in [json!({"l": ["a", "b"]}), json!({"l": "a, b"})] {
            assert_eq!(fields(&value).texts("l").unwrap().unwrap(), ["a", "b"]);
        }
        assert_eq!(fields(&json!({"l": []})).texts("l").unwrap(), Some(Vec::new()));
        assert_eq!(fields(&json!({"l": null})).texts("l").unwrap(), None);
    }

    #[test]
    fn what_does_not_fit_names_its_field() {
        let fields = fields(&json!({"n": -1, "b": "maybe", "u": "x", "t": " ", "o": {}, "l": 3, "big": "99999999999999999999999"}));
        let errors = [
            fields.number::<u64>("n").unwrap_err(),
            fields.number::<u64>("big").unwrap_err(),
            fields.flag("b").unwrap_err(),
            fields.uuid("u").unwrap_err(),
            fields.text("t").unwrap_err(),
            fields.text("o").unwrap_err(),
            fields.texts("l").unwrap_err(),
            fields.need_text("gone").unwrap_err(),
        ];
        for (error, name) in errors.iter().zip(["n", "big", "b", "u", "t", "o", "l", "gone"]) {
            assert!(error.detail().en.starts_with(&format!("{name} ")), "{error}");
        }
    }
}
