//! Changes: from a `ChangeInput` to an accepted job, and the rows of the operation log for what the engine does not see.

use super::call::Call;
use super::errors::Fault;
use crate::context::ApiContext;
use hvnode_core::engine::ChangeRequest;
use hvnode_core::model::{Caller, Job, JobStatus, Operation, Timestamp, redact_url};
use hvnode_core::verb::ChangeInput;
use hvnode_core::{AgentError, fail};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long an answer waits for a change that this API shows as done at once.
const WAIT: Duration = Duration::from_secs(60);
/// Most bytes of a request that a row keeps.
const REQUEST_BYTES_MAX: usize = 16 << 10;
/// A key whose name holds one of these is a secret.
const SECRET_WORDS: [&str; 6] = ["password", "adminpass", "secret", "token", "user_data", "private_key"];
/// What stands in the place of a secret.
const REDACTED: &str = "***";

impl Call {
    /// Hands a change in. The engine writes the operation log, refusals included.
    ///
    /// # Errors
    /// Whatever the engine says.
    pub(super) async fn submit(&self, change: ChangeInput) -> Result<Arc<Job>, Fault> {
        self.submit_as(&self.action, change).await
    }

    /// The same under another name in the operation log.
    pub(super) async fn submit_as(&self, action: &str, change: ChangeInput) -> Result<Arc<Job>, Fault> {
        let request = ChangeRequest {
            caller: self.caller.clone(),
            change,
            request_uuid: None,
            action: action.to_owned(),
            resource_name: None,
            request: for_log(&self.body),
        };
        let accepted = self.shared.context.engine.submit(request).await;
        accepted.map(|accepted| accepted.job).map_err(|error| Fault::from(error).recorded())
    }

    /// Hands a change in and waits for its end.
    ///
    /// # Errors
    /// Whatever the engine says, or what the job failed with.
    pub(super) async fn submit_and_wait(&self, change: ChangeInput) -> Result<Arc<Job>, Fault> {
        let job = self.submit(change).await?;
        let job = if job.status.is_ended() { job } else { self.shared.context.engine.wait_for_job(job.job_uuid, WAIT).await? };
        match job.status {
            JobStatus::Succeeded => Ok(job),
            JobStatus::Failed | JobStatus::Canceled => {
                let error = job.error.clone().map_or_else(|| fail!(JobCanceled), AgentError::from);
                Err(Fault::from(error).recorded())
            }
            JobStatus::Queued | JobStatus::Running => Err(Fault::new(504, "The change goes on; it did not end in time.").recorded()),
        }
    }

    /// Writes a row for a change that only this dialect knows of.
    pub(super) async fn record(&self) {
        Note::of(self).record(&self.shared.context, None).await;
    }
}

/// What a row of the operation log says of a request.
#[derive(Debug)]
pub(super) struct Note {
    caller: Caller,
    action: String,
    request: Value,
    resource_uuid: Option<Uuid>,
    resource_name: String,
}

impl Note {
    pub(super) fn of(call: &Call) -> Self {
        let name = if call.uuid(0).is_some() { "" } else { call.param(0) };
        Self {
            caller: call.caller.clone(),
            action: call.action.clone(),
            request: for_log(&call.body),
            resource_uuid: call.uuid(0),
            resource_name: name.chars().take(128).collect(),
        }
    }

    /// Writes the row. A store that cannot write is told in the log; the answer stays what it is.
    pub(super) async fn record(self, context: &ApiContext, error: Option<&AgentError>) {
        if error.is_some_and(|error| !context.accounts.may_have_row(&self.caller, error)) {
            return;
        }
        let now = Timestamp::now();
        let request_id = self.caller.request_id.clone();
        let operation = Operation {
            operation_uuid: Uuid::now_v7(),
            caller: self.caller,
            action: self.action,
            resource_type: None,
            resource_uuid: self.resource_uuid,
            resource_name: self.resource_name,
            request: self.request,
            error: error.map(AgentError::record),
            job_uuid: None,
            create_time: now,
            finish_time: Some(now),
        };
        if let Err(failure) = context.engine.record_operation(operation).await {
            tracing::warn!(request_id, error = %failure.chain(), "the operation log could not be written");
        }
    }
}

/// A request as the operation log keeps it: bounded, secrets replaced.
pub(super) fn for_log(body: &Value) -> Value {
    let request = redacted("", body);
    let length = request.to_string().len();
    if length <= REQUEST_BYTES_MAX { request } else { json!({ "omitted_bytes": length }) }
}

fn redacted(name: &str, value: &Value) -> Value {
    let lower = name.to_ascii_lowercase();
    match value {
        Value::Null => Value::Null,
        // An object of that name (auth.identity.password) says who; what is secret in it has such a name itself.
        Value::Object(object) => {
            Value::Object(object.iter().map(|(key, value)| (key.clone(), inside(&lower, key, value))).collect::<Map<_, _>>())
        }
        _ if SECRET_WORDS.iter().any(|word| lower.contains(word)) => REDACTED.into(),
        Value::Array(items) => items.iter().map(|item| redacted(name, item)).collect(),
        Value::String(text) if text.contains("://") => redact_url(text).into(),
        other => other.clone(),
    }
}

/// `token: {id}` is a secret as a whole.
fn inside(outer: &str, key: &str, value: &Value) -> Value {
    if outer == "token" && key == "id" { REDACTED.into() } else { redacted(key, value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_reaches_the_operation_log() {
        let body = json!({
            "server": {"name": "a", "adminPass": "p1", "user_data": "p2", "metadata": {"db_password": "p3"}},
            "auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "u", "password": "p4"}}, "token": {"id": "p5"}}},
            "method": {"uri": "https://me:p6@host/x?sig=p7"},
        });
        let text = for_log(&body).to_string();
        assert!((1..=7).all(|n| !text.contains(&format!("p{n}"))), "{text}");
        assert!(text.contains("\"name\":\"u\"") && text.contains("https://host/x"), "{text}");
    }

    #[test]
    fn a_huge_request_is_not_kept() {
        assert!(for_log(&json!({"a": "x".repeat(100_000)})).to_string().len() < 100);
    }
}
