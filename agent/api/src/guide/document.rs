//! An OpenAPI document as a page: a section for each route, a table for each object.

use super::schema::{Row, Schemas};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Reads one document.
#[derive(Debug)]
pub(super) struct Reader(Value);

/// One method of one path.
struct Operation<'a> {
    method: String,
    path: &'a str,
    item: &'a Value,
    value: &'a Value,
}

const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];

impl Reader {
    pub(super) fn new(document: Value) -> Self {
        Self(document)
    }

    fn schemas(&self) -> Schemas<'_> {
        Schemas(&self.0)
    }

    fn operations(&self) -> impl Iterator<Item = Operation<'_>> {
        self.0["paths"].as_object().into_iter().flatten().flat_map(|(path, item)| {
            let of_method = move |method: &&str| Some(Operation { method: method.to_uppercase(), path, item, value: item.get(*method)? });
            METHODS.iter().filter_map(of_method)
        })
    }

    /// What answers, by subject.
    pub(super) fn routes(&self) -> String {
        let mut by_tag: BTreeMap<&str, Vec<Operation<'_>>> = BTreeMap::new();
        let is_shown = |operation: &Operation<'_>| operation.value["x-not-supported"] != true && operation.value["x-same-as"].is_null();
        for operation in self.operations().filter(is_shown) {
            by_tag.entry(operation.value["tags"][0].as_str().unwrap_or("")).or_default().push(operation);
        }
        let mut text = String::new();
        for (tag, operations) in by_tag {
            let _ = writeln!(text, "## {tag}");
            operations.iter().for_each(|operation| self.write(operation, &mut text));
        }
        text
    }

    /// What is known and always refused.
    pub(super) fn missing(&self) -> String {
        let mut text = String::new();
        for Operation { method, path, value, .. } in
            self.operations().filter(|operation| operation.value["x-not-supported"] == true && operation.value["x-same-as"].is_null())
        {
            let _ = writeln!(text, "- {method} `{path}`: {}", value["summary"].as_str().unwrap_or_default());
        }
        text
    }

    fn write(&self, operation: &Operation<'_>, text: &mut String) {
        let Operation { method, path, item, value } = operation;
        let _ = writeln!(text, "### {method} {path}\n{}.", value["summary"].as_str().unwrap_or_default().trim_end_matches('.'));
        let role = value["x-role"].as_str().unwrap_or("reader");
        let verb = value["x-verb"].as_str().map(|verb| format!(" Verb `{verb}`.")).unwrap_or_default();
        let _ = writeln!(text, "Needs: {role}.{verb}\n");
        let parameters = item["parameters"].as_array().into_iter().chain(value["parameters"].as_array()).flatten();
        let mut rows: Vec<(Row, String)> = parameters.map(|parameter| self.parameter_row(parameter)).collect();
        rows.extend(self.body_rows(value));
        if !rows.is_empty() {
            text.push_str("| parameter | in | type | |\n|---|---|---|---|\n");
            for (Row { path, kind, is_required, text: words }, place) in rows {
                let star = if is_required { "*" } else { "" };
                let _ = writeln!(text, "| `{path}`{star} | {place} | {} | {} |", cell(&kind), cell(&words));
            }
            text.push('\n');
        }
        let answers = self.answers(value);
        if !answers.is_empty() {
            let _ = writeln!(text, "Answer: {answers}\n");
        }
    }

    fn parameter_row(&self, parameter: &Value) -> (Row, String) {
        let parameter = self.schemas().resolved_owned(parameter);
        let row = Row {
            path: parameter["name"].as_str().unwrap_or_default().to_owned(),
            kind: self.schemas().kind_owned(&parameter["schema"]),
            is_required: parameter["required"] == true,
            text: parameter["description"].as_str().unwrap_or_default().to_owned(),
        };
        (row, parameter["in"].as_str().unwrap_or_default().to_owned())
    }

    fn body_rows<'a>(&'a self, operation: &'a Value) -> Vec<(Row, String)> {
        let Some((kind, content)) = operation["requestBody"]["content"].as_object().and_then(|content| content.iter().next()) else {
            return Vec::new();
        };
        if !kind.contains("json") {
            let row = Row { path: "body".into(), kind: kind.clone(), is_required: true, text: "The bytes as they are.".into() };
            return vec![(row, "body".into())];
        }
        let schema = self.schemas().resolved(&content["schema"]);
        // Where a list of bodies is taken too, the single one comes first.
        let single = schema["oneOf"].get(0).unwrap_or(schema);
        self.schemas().rows(single, false).into_iter().map(|row| (row, "body".to_owned())).collect()
    }

    /// The documented successes: status and what they hold.
    fn answers(&self, operation: &Value) -> String {
        let mut parts = Vec::new();
        for (status, response) in operation["responses"].as_object().into_iter().flatten().filter(|(status, _)| status.as_str() < "400") {
            let schema = &response["content"]["application/json"]["schema"];
            if let Some(stream) = response.pointer("/content/text~1event-stream/schema") {
                parts.push(format!("{status}, events of {}", self.schemas().kind_owned(stream)));
                continue;
            }
            let shape = if schema.is_null() { "no body".to_owned() } else { self.shape(schema) };
            parts.push(format!("{status}, {shape}"));
        }
        parts.join("; ")
    }

    /// The forms of an answer on one line, envelopes left out.
    fn shape(&self, schema: &Value) -> String {
        let forms = schema["anyOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
        let mut shown: Vec<String> = Vec::new();
        for form in &forms {
            let form = self.schemas().resolved_owned(form);
            let inner = ["data", "result"].iter().map(|key| &form["properties"][*key]).find(|inner| !inner.is_null());
            let Some(inner) = inner else {
                shown.push(self.one_line(&form, 0));
                continue;
            };
            match inner["anyOf"].as_array() {
                _ if inner["type"] == "null" => {}
                Some(several) => shown.extend(several.iter().map(|one| self.one_line(one, 0))),
                None => shown.push(self.one_line(inner, 0)),
            }
        }
        if shown.is_empty() { "always a refusal".to_owned() } else { shown.join(" or ") }
    }

    fn one_line(&self, schema: &Value, depth: usize) -> String {
        let schemas = self.schemas();
        if schema["$ref"].is_string() || !schema["properties"].is_object() || depth > 3 {
            return schemas.kind_owned(schema);
        }
        let required = |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name));
        let fields = schema["properties"].as_object().into_iter().flatten().map(|(name, field)| {
            let mark = if required(name) { "" } else { "?" };
            if field["properties"].is_object() {
                return format!("{name}{mark}: {}", self.one_line(field, depth + 1));
            }
            if field["items"]["properties"].is_object() {
                return format!("{name}{mark}: list of {}", self.one_line(&field["items"], depth + 1));
            }
            match schemas.kind_owned(field) {
                kind if kind.contains("](#") => format!("{name}{mark}: {kind}"),
                _ => format!("{name}{mark}"),
            }
        });
        format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
    }

    /// A table for each object that answers refer to.
    pub(super) fn objects(&self) -> String {
        let mut text = String::new();
        for (name, schema) in self.0["components"]["schemas"].as_object().into_iter().flatten() {
            let is_shown = schema["properties"].is_object() && self.is_answered(name);
            if !is_shown {
                continue;
            }
            let _ = writeln!(text, "### {name}\n{}\n", schema["description"].as_str().unwrap_or_default().replace('\n', " "));
            text.push_str("| field | type | |\n|---|---|---|\n");
            for Row { path, kind, is_required, text: words } in self.schemas().rows(schema, true) {
                let mark = if is_required { "" } else { "?" };
                let _ = writeln!(text, "| `{path}`{mark} | {} | {} |", cell(&kind), cell(&words));
            }
            text.push('\n');
        }
        text
    }

    /// Is an object part of an answer? Bodies are shown with their routes.
    fn is_answered(&self, name: &str) -> bool {
        let reference = format!("#/components/schemas/{name}");
        let is_body = self.operations().any(|operation| {
            let body = &operation.value["requestBody"];
            contains(body, &reference)
        });
        !is_body
    }
}

fn contains(value: &Value, reference: &str) -> bool {
    match value {
        Value::String(text) => text == reference,
        Value::Array(items) => items.iter().any(|item| contains(item, reference)),
        Value::Object(object) => object.values().any(|value| contains(value, reference)),
        _ => false,
    }
}

/// A text as a table can hold it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

impl Schemas<'_> {
    /// [`Schemas::resolved`] for a value that is not part of the document.
    fn resolved_owned(self, schema: &Value) -> Value {
        let found = schema["$ref"].as_str().and_then(|reference| self.0.pointer(reference.trim_start_matches('#')));
        found.unwrap_or(schema).clone()
    }

    /// [`Schemas::kind`] for a value that is not part of the document.
    fn kind_owned(self, schema: &Value) -> String {
        kind_of(self.0, schema)
    }
}

/// The lifetimes of document and schema made one.
fn kind_of<'a>(document: &'a Value, schema: &'a Value) -> String {
    Schemas(document).kind(schema, true)
}
