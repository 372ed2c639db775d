//! Rows of the operation log: for what the engine does not see, and without secrets.

use super::call::Call;
use super::fields::Fields;
use hvnode_core::AgentError;
use hvnode_core::model::{Operation, Timestamp, redact_url};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Most bytes of a request that a row keeps.
const REQUEST_BYTES_MAX: usize = 16 << 10;
/// Most characters of a name that a row keeps.
const NAME_LENGTH_MAX: usize = 128;
/// A field whose name holds one of these is a secret.
const SECRET_WORDS: [&str; 5] = ["password", "secret", "token", "userdata", "session"];
/// Tags that begin so hold a secret.
const SECRET_TAGS: [&str; 2] = ["userdata::", "rootpassword::"];
const REDACTED: &str = "***";

/// Writes one row. A store that cannot write is told in the log; the answer stays what it is.
pub(super) async fn record(call: &Call, fields: &Fields, error: Option<&AgentError>) {
    if error.is_some_and(|error| !call.context.accounts.may_have_row(&call.caller, error)) {
        return;
    }
    let now = Timestamp::now();
    let operation = Operation {
        operation_uuid: Uuid::now_v7(),
        caller: call.caller.clone(),
        action: call.class.to_owned(),
        resource_type: None,
        resource_uuid: fields.uuid("uuid").ok().flatten(),
        resource_name: spoken_name(fields).unwrap_or_default(),
        request: request(fields),
        error: error.map(AgentError::record),
        job_uuid: None,
        create_time: now,
        finish_time: Some(now),
    };
    if let Err(failure) = call.context.engine.record_operation(operation).await {
        tracing::warn!(request_id = %call.caller.request_id, error = %failure.chain(), "the operation log could not be written");
    }
}

/// The name that the caller sent.
pub(super) fn spoken_name(fields: &Fields) -> Option<String> {
    let name = fields.text("name").ok().flatten()?;
    Some(name.chars().filter(|c| !c.is_control()).take(NAME_LENGTH_MAX).collect())
}

/// The message for the log.
pub(super) fn request(fields: &Fields) -> Value {
    let shown = shown_object(&fields.0);
    let length = shown.to_string().len();
    if length <= REQUEST_BYTES_MAX { shown } else { json!({ "omitted_bytes": length }) }
}

fn shown_object(object: &Map<String, Value>) -> Value {
    let entries = object.iter().filter(|(name, _)| *name != "session");
    Value::Object(entries.map(|(name, value)| (name.clone(), shown(name, value))).collect())
}

fn shown(name: &str, value: &Value) -> Value {
    let lower = name.to_ascii_lowercase();
    match value {
        Value::Null => Value::Null,
        _ if SECRET_WORDS.iter().any(|word| lower.contains(word)) => REDACTED.into(),
        Value::Object(object) => shown_object(object),
        Value::Array(items) => items.iter().map(|item| shown(name, item)).collect(),
        Value::String(text) if lower.ends_with("url") => redact_url(text).into(),
        Value::String(text) => shown_text(text),
        other => other.clone(),
    }
}

fn shown_text(text: &str) -> Value {
    let lower = text.trim_start().to_ascii_lowercase();
    match SECRET_TAGS.iter().find(|tag| lower.contains(*tag)) {
        Some(tag) => format!("{tag}{REDACTED}").into(),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_gets_into_the_log() {
        let fields = json!({
            "name": "a", "password": "p1", "session": {"uuid": "p2"}, "sessionUuid": "p3", "url": "http://u:p4@h/x?sig=p5",
            "systemTags": ["userdata::p6", "hostname::h", "USERDATA::p7"], "deep": {"apiToken": "p8"},
        });
        let text = request(&Fields(fields.as_object().unwrap().clone())).to_string();
        assert!(!(1..=8).any(|n| text.contains(&format!("p{n}"))), "{text}");
        assert!(text.contains("hostname::h") && text.contains("http://h/x"), "{text}");
    }
}
