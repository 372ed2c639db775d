//! Schemas in words.

use serde_json::Value;

/// A field of a body or an answer, with the path to it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) path: String,
    pub(super) kind: String,
    pub(super) is_required: bool,
    pub(super) text: String,
}

/// Deepest level of fields that is shown under its parent.
const DEPTH_MAX: usize = 4;

/// Reads schemas of one document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schemas<'a>(pub(super) &'a Value);

impl<'a> Schemas<'a> {
    /// What a reference leads to.
    pub(super) fn resolved(self, schema: &'a Value) -> &'a Value {
        schema["$ref"].as_str().and_then(|reference| self.0.pointer(reference.trim_start_matches('#'))).unwrap_or(schema)
    }

    /// The name of a referred object that has its own table.
    pub(super) fn object_name(self, schema: &'a Value) -> Option<&'a str> {
        let name = schema["$ref"].as_str()?.rsplit('/').next()?;
        self.resolved(schema)["properties"].is_object().then_some(name)
    }

    /// The one form beside null, where there is one.
    fn without_null(self, schema: &'a Value) -> (&'a Value, bool) {
        let forms = ["oneOf", "anyOf"].iter().find_map(|key| schema[*key].as_array());
        let Some(forms) = forms else { return (schema, false) };
        let is_silent = |word: &Value| word.is_null() || word == "";
        let is_null = |form: &&Value| form["type"] == "null" || form["enum"].as_array().is_some_and(|words| words.iter().all(is_silent));
        let mut real = forms.iter().filter(|form| !is_null(form));
        let says_null = |form: &Value| form["type"] == "null" || form["enum"].as_array().is_some_and(|words| words.contains(&Value::Null));
        match (real.next(), real.next(), forms.iter().any(|form| is_null(&form))) {
            (Some(one), None, true) => (one, forms.iter().any(says_null)),
            _ => (schema, false),
        }
    }

    /// A type in a few words. Only answers say null, and refer to objects that have a table.
    pub(super) fn kind(self, schema: &'a Value, is_answer: bool) -> String {
        let (form, mut can_be_null) = self.without_null(schema);
        can_be_null |= form["type"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "null"));
        let words = self.plain_kind(form, is_answer);
        if can_be_null && is_answer { format!("{words} or null") } else { words }
    }

    fn plain_kind(self, schema: &'a Value, has_links: bool) -> String {
        if let Some(name) = self.object_name(schema).filter(|_| has_links) {
            return format!("[{name}](#{})", name.to_lowercase());
        }
        let schema = self.resolved(schema);
        if let Some(words) = schema["enum"].as_array() {
            return words.iter().map(|word| format!("`{}`", plain(word))).collect::<Vec<_>>().join(", ");
        }
        if let Some(word) = schema.get("const") {
            return format!("`{}`", plain(word));
        }
        let forms = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array());
        if let Some(forms) = forms.filter(|_| schema["type"].is_null()) {
            let mut kinds: Vec<String> = forms.iter().map(|form| self.plain_kind(form, has_links)).collect();
            kinds.dedup();
            return kinds.join(" or ");
        }
        let kinds: Vec<&str> = match &schema["type"] {
            Value::String(kind) => vec![kind],
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect(),
            _ => return "anything".to_owned(),
        };
        let name = match (kinds.first().copied().unwrap_or("null"), schema["format"].as_str()) {
            ("string", Some(format @ ("uuid" | "ipv4" | "date-time" | "uri"))) => format.to_owned(),
            ("string", _) => "text".to_owned(),
            ("array", _) => return self.list(schema, has_links),
            ("object", _) if schema["additionalProperties"].is_object() => {
                return format!("object of {}", self.plain_kind(&schema["additionalProperties"], has_links));
            }
            (kind, _) => kind.to_owned(),
        };
        let others: String = kinds.iter().skip(1).map(|kind| format!(" or {kind}")).collect();
        format!("{name}{others}{}", bounds(schema))
    }

    fn list(self, schema: &'a Value, has_links: bool) -> String {
        let most = schema["maxItems"].as_u64().map(|most| format!(", at most {most}")).unwrap_or_default();
        match schema.get("items") {
            Some(items) => format!("list of {}{most}", self.plain_kind(items, has_links)),
            None => format!("list{most}"),
        }
    }

    /// Every field of an object; those of objects that have no table of their own stand under their parent.
    pub(super) fn rows(self, schema: &'a Value, is_answer: bool) -> Vec<Row> {
        let mut rows = Vec::new();
        self.add_rows(self.resolved(schema), "", is_answer, 0, &mut rows);
        rows
    }

    fn add_rows(self, schema: &'a Value, prefix: &str, is_answer: bool, depth: usize, rows: &mut Vec<Row>) {
        let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{prefix}{name}");
            let text = [version(field), field["description"].as_str().unwrap_or_default().replace('\n', " ")];
            let text = text.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" ");
            rows.push(Row { kind: self.kind(field, is_answer), is_required: required.contains(&name.as_str()), text, path: path.clone() });
            let (form, _) = self.without_null(field);
            let (inner, dot) = if form["items"].is_object() { (&form["items"], "[].") } else { (form, ".") };
            if depth < DEPTH_MAX && !(is_answer && self.object_name(inner).is_some()) {
                self.add_rows(self.resolved(inner), &format!("{path}{dot}"), is_answer, depth + 1, rows);
            }
        }
    }
}

/// From and until which version a field is there.
fn version(field: &Value) -> String {
    let word = field["x-major"].as_str().unwrap_or("2");
    match (field["x-since"].as_u64(), field["x-until"].as_u64()) {
        (Some(since), Some(until)) => format!("{word}.{since} to {word}.{until}."),
        (Some(since), None) => format!("From {word}.{since}."),
        (None, Some(until)) => format!("Until {word}.{until}."),
        (None, None) => String::new(),
    }
}

/// Limits and default.
fn bounds(schema: &Value) -> String {
    let number = |key: &str| schema.get(key).filter(|value| value.is_number()).map(Value::to_string);
    let mut text = match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) if least != "0" => format!(", from {least}"),
        (None, Some(most)) => format!(", at most {most}"),
        _ => String::new(),
    };
    if let Some(most) = number("maxLength") {
        text.push_str(&format!(", at most {most} characters"));
    }
    if let Some(default) = schema.get("default").filter(|value| !value.is_null()) {
        text.push_str(&format!(", {} if absent", plain(default)));
    }
    text
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
