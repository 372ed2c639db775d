//! What a route answers, as a schema: the envelope of a success with exactly its data, or that of a failure.

use super::super::batch::BatchData;
use super::super::dry_run::DryRunData;
use super::super::redact;
use super::super::resource::Resource;
use super::super::route::{Reply, Route, TypeSchema};
use super::{named_reference, reference, with_common};
use hvnode_core::ErrorCode;
use serde_json::{Map, Value, json};
use utoipa::PartialSchema;

/// Name of the schema of a failure.
pub(super) const FAILURE: &str = "Failure";
/// Name of the schema of what every answer has, whatever its data.
const ENVELOPE: &str = "Envelope";

/// Fields and their schemas; which of them are always there.
#[derive(Debug, Clone, Default)]
struct Fields {
    properties: Map<String, Value>,
    required: Vec<String>,
}

impl Fields {
    fn with(mut self, name: &str, schema: Value, is_required: bool) -> Self {
        if is_required && !self.required.iter().any(|known| known == name) {
            self.required.push(name.to_owned());
        }
        self.properties.insert(name.to_owned(), schema);
        self
    }

    fn object(self) -> Value {
        let Self { properties, required } = self;
        json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
    }
}

/// The one answer of a route: HTTP 200.
pub(super) fn response(route: &Route) -> Value {
    if let Reply::Stream(kind) = route.reply {
        return stream(kind);
    }
    let data = data(route);
    let mut forms = vec![named_reference(FAILURE)];
    if !data.is_empty() {
        forms.insert(0, success(any_of(data)));
    }
    let headers = json!({
        "x-job-uuid": {
            "description": "Where an accepted change failed: its job.",
            "required": false,
            "schema": uuid(),
        }
    });
    let mut response = json!({
        "description": "Success or failure, told by status_code",
        "content": { "application/json": { "schema": any_of(forms) } },
    });
    if route.takes_batches() {
        response["headers"] = headers;
    }
    response
}

/// Every form that the data of a success may have.
fn data(route: &Route) -> Vec<Value> {
    let mut forms = match route.reply {
        Reply::Object(kind) => vec![reference(kind)],
        Reply::Keyed(key, kind) => vec![Fields::default().with(key, reference(kind), true).object()],
        Reply::List(kind) => vec![list(kind)],
        Reply::OneOrList(kind) => vec![reference(kind), list(kind)],
        Reply::Created(..) | Reply::Echo => changed(route).into_iter().map(Fields::object).collect(),
        Reply::Stream(_) | Reply::Never => Vec::new(),
    };
    if route.takes_dry_runs() {
        forms.push(named_reference("DryRun"));
    }
    if let (true, Some(resource)) = (route.takes_batches(), route.resource) {
        forms.push(batch(route, resource));
    }
    forms
}

fn list(kind: TypeSchema) -> Value {
    let list = json!({ "type": "array", "items": reference(kind) });
    Fields::default().with("total_count", count(), true).with("list", list, true).object()
}

/// The data of one change: what was made, or the request again; each with its job.
fn changed(route: &Route) -> Vec<Fields> {
    let echo = echo(route).with("job_uuid", uuid(), true);
    let echo = echo.with("job_status", json!({ "const": "running", "description": "Only where the job has not ended yet." }), false);
    match route.reply {
        Reply::Created(key, kind) => vec![Fields::default().with(key, reference(kind), true).with("job_uuid", uuid(), true), echo],
        _ => vec![echo],
    }
}

/// The fields of a request as an answer repeats them: no secrets, texts as they came.
fn echo(route: &Route) -> Fields {
    let sent = serde_json::to_value(with_common(route)).unwrap_or_default();
    let is_shown = |name: &str| !redact::is_secret(name);
    let mut fields = Fields::default();
    let required: Vec<&str> = sent["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, schema) in sent["properties"].as_object().into_iter().flatten().filter(|(name, _)| is_shown(name)) {
        let mut schema = schema.clone();
        if let Some(schema) = schema.as_object_mut() {
            // An uuid may have come without its dashes.
            schema.remove("format");
        }
        fields = fields.with(name, schema, required.contains(&name.as_str()));
    }
    match route.resource {
        // The one field that an answer has although the request may not: what a running create makes.
        Some(resource) if !fields.properties.contains_key(resource.uuid_field) => fields.with(resource.uuid_field, uuid(), false),
        _ => fields,
    }
}

/// The answer to a batch: an envelope for each entry, which always names its object.
fn batch(route: &Route, resource: &Resource) -> Value {
    let named = |fields: Fields| fields.with(resource.uuid_field, json!({ "type": "string" }), true);
    let tried = route.takes_dry_runs().then(|| fields_of(&serde_json::to_value(DryRunData::schema()).unwrap_or_default()));
    let entries = changed(route).into_iter().chain(tried).map(|fields| success(named(fields).object()));
    let failed = named(Fields::default()).with("job_uuid", uuid(), false).object();
    let mut failure = failure();
    failure["properties"]["data"] = failed;
    let mut schema = serde_json::to_value(BatchData::schema()).unwrap_or_default();
    schema["properties"]["results"]["items"] = any_of(entries.chain([failure]).collect());
    schema["additionalProperties"] = false.into();
    schema
}

/// The fields of an object's schema.
fn fields_of(schema: &Value) -> Fields {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    Fields { properties: schema["properties"].as_object().cloned().unwrap_or_default(), required }
}

fn any_of(mut forms: Vec<Value>) -> Value {
    if forms.len() == 1 { forms.remove(0) } else { json!({ "anyOf": forms }) }
}

fn success(data: Value) -> Value {
    let mut envelope = envelope();
    envelope["properties"]["status_code"] = json!({ "const": 0 });
    envelope["properties"]["stack"] = json!({ "type": "null" });
    envelope["properties"]["data"] = data;
    envelope
}

/// Every failure: its number is one of the table, and it tells where it was made.
pub(super) fn failure() -> Value {
    let numbers: Vec<u32> = ErrorCode::ALL.iter().map(|code| code.number()).collect();
    let line = r"^ip:[^, ]*,pid:\d+,bin:[^, ]+,code:\d+,filename:[^, ]+,func:[^, ]+,line:\d+$";
    let mut envelope = envelope();
    envelope["properties"]["status_code"] = json!({ "type": "integer", "enum": numbers });
    envelope["properties"]["stack"] =
        json!({ "type": "array", "minItems": 1, "maxItems": 16, "items": { "type": "string", "pattern": line } });
    envelope["properties"]["data"] = json!({ "type": "null" });
    envelope
}

/// What every answer has.
fn envelope() -> Value {
    let mut schema = serde_json::to_value(super::Envelope::schema()).unwrap_or_default();
    schema["additionalProperties"] = false.into();
    for name in ["status_code", "message", "message_en", "message_cn", "stack", "data"] {
        if let Some(field) = schema["properties"][name].as_object_mut() {
            field.remove("description");
        }
    }
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("description");
    }
    schema
}

/// A stream, or the envelope of a refusal.
fn stream(kind: TypeSchema) -> Value {
    let description = "Server-sent events: `id` is the cursor, `event` the kind, `data` this object. An event `gap` with data \
        {next_cursor} says that events before it are not kept any more. A refusal is the usual envelope.";
    let content =
        json!({ "text/event-stream": { "schema": reference(kind) }, "application/json": { "schema": named_reference(ENVELOPE) } });
    json!({ "description": description, "content": content })
}

fn uuid() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}
