//! Changes: one request body becomes one job; the answer waits for it as long as the caller wants.

use super::call::{Call, Failure, Outcome};
use super::envelope::Data;
use super::resource::Resource;
use super::{audit, batch, check, decode, dry_run, redact};
use hvnode_core::engine::{ChangeRequest, Snapshot};
use hvnode_core::model::{Job, JobStatus, VerbKind};
use hvnode_core::verb::ChangeInput;
use hvnode_core::{AgentError, Result, at, fail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use uuid::Uuid;

/// Names of the parameters in [`ChangeOptions`].
pub(super) const CHANGE_FIELDS: [&str; 2] = ["wait_seconds", "request_uuid"];
/// Seconds that an answer waits for its job where the caller does not say.
const WAIT_SECONDS_DEFAULT: u64 = 60;
/// Most seconds that an answer waits for its job.
const WAIT_SECONDS_MAX: u64 = 300;

/// The body of a change.
pub(super) trait ChangeBody: DeserializeOwned + ToSchema + Send + 'static {
    /// What it changes.
    const RESOURCE: &'static Resource;
    /// How.
    const VERB: VerbKind;

    /// Checks the shape of every field.
    ///
    /// # Errors
    /// `ParameterInvalid`, `ParameterMissing`, `NotSupported`, naming the field.
    fn into_change(self) -> Result<ChangeInput>;

    /// For a create: the new object as `inspect` shows it.
    fn created(_snapshot: &Snapshot, _uuid: Uuid) -> Option<Result<Value>> {
        None
    }
}

/// Parameters of every change.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeOptions {
    /// Seconds to wait for the end of the job, 0-300.
    #[schema(maximum = 300, default = 60)]
    pub(super) wait_seconds: Option<u64>,
    /// Makes the request idempotent for 24 hours: sent again, it is answered with the job of the first.
    #[schema(format = Uuid)]
    pub(super) request_uuid: Option<String>,
}

/// Runs one change, or a batch of them where the body is `{"list": […]}`.
pub(super) async fn run<B: ChangeBody>(call: Call, object: Map<String, Value>) -> Outcome {
    if object.contains_key(batch::LIST_FIELD) {
        return batch::run::<B>(&call, &object).await;
    }
    let echo = one::<B>(&call, object, None).await?;
    Ok(Data::of(&echo)?)
}

/// Runs one change. `gate` bounds how many of a batch are handed in at the same time.
pub(super) async fn one<B: ChangeBody>(
    call: &Call,
    object: Map<String, Value>,
    gate: Option<&Semaphore>,
) -> std::result::Result<Value, Failure> {
    let (request, wait) = match prepare::<B>(call, &object) {
        Ok((request, _)) if dry_run::is_asked::<B>(&object) => return dry_run::run(call, &request.change).await,
        Ok(prepared) => prepared,
        Err(error) if dry_run::is_asked::<B>(&object) => return Err(Failure::recorded(error)),
        Err(error) => {
            audit::record(call, Some(B::RESOURCE), &object, Some(&error)).await;
            return Err(Failure::recorded(error));
        }
    };
    let job = submit(call, request, gate).await?;
    let job = if job.status.is_ended() || wait.is_zero() {
        job
    } else {
        let waited = call.context.engine.wait_for_job(job.job_uuid, wait).await;
        waited.map_err(at!()).map_err(|error| Failure::of_job(error, job.job_uuid))?
    };
    answer::<B>(call, &object, &job)
}

fn prepare<B: ChangeBody>(call: &Call, object: &Map<String, Value>) -> Result<(ChangeRequest, Duration)> {
    let mut fields = object.clone();
    let names = dry_run::option_names::<B>();
    let options = names.iter().filter_map(|name| fields.remove_entry(*name)).collect();
    let options = dry_run::options::<B>(&options).map_err(at!())?;
    let wait = check::within("wait_seconds", options.wait_seconds.unwrap_or(WAIT_SECONDS_DEFAULT), 0, WAIT_SECONDS_MAX)?;
    let request_uuid = check::optional_uuid("request_uuid", options.request_uuid.as_deref())?;
    let body: B = decode::from_body_beside(&fields, names).map_err(at!())?;
    check_spoken_names("", &fields)?;
    let resource_name = fields.get(B::RESOURCE.name_field).and_then(Value::as_str);
    let request = ChangeRequest {
        caller: call.caller.clone(),
        request_uuid,
        action: call.path.to_owned(),
        resource_name: resource_name.map(str::to_owned),
        request: redact::for_log(&fields),
        change: body.into_change().map_err(at!())?,
    };
    Ok((request, Duration::from_secs(wait)))
}

/// Names decide nothing, but they stand in the operation log: each must be one that a line can hold.
fn check_spoken_names(path: &str, fields: &Map<String, Value>) -> Result<()> {
    for (field, value) in fields {
        match value {
            Value::String(text) if field.ends_with("_name") => check::spoken_name(&format!("{path}{field}"), text)?,
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate().filter_map(|(index, item)| Some((index, item.as_object()?))) {
                    check_spoken_names(&format!("{path}{field}[{index}]."), item)?;
                }
            }
            // An object (metadata) is the caller's own; its keys mean nothing here.
            _ => {}
        }
    }
    Ok(())
}

async fn submit(call: &Call, request: ChangeRequest, gate: Option<&Semaphore>) -> std::result::Result<Arc<Job>, Failure> {
    let _permit = match gate {
        Some(gate) => gate.acquire().await.ok(),
        None => None,
    };
    // The engine has written a refusal into the operation log.
    let accepted = call.context.engine.submit(request).await.map_err(at!()).map_err(Failure::recorded)?;
    Ok(accepted.job)
}

pub(super) fn answer<B: ChangeBody>(call: &Call, object: &Map<String, Value>, job: &Job) -> std::result::Result<Value, Failure> {
    let job_uuid = job.job_uuid;
    let error = match job.status {
        JobStatus::Succeeded | JobStatus::Queued | JobStatus::Running => None,
        JobStatus::Canceled => Some(job_error(job).unwrap_or_else(|| fail!(JobCanceled))),
        JobStatus::Failed => Some(job_error(job).unwrap_or_else(|| fail!(Internal, "the job failed"; "任务失败"))),
    };
    if let Some(error) = error {
        return Err(Failure::of_job(error, job_uuid));
    }
    let is_ended = job.status.is_ended();
    let created = is_ended.then(|| B::created(&call.snapshot(), job.resource.uuid)).flatten().transpose()?;
    let mut data = match created {
        Some(view) => Map::from_iter([(B::RESOURCE.word.to_owned(), view)]),
        None => redact::for_echo(object),
    };
    data.insert("job_uuid".into(), job_uuid.to_string().into());
    if !is_ended {
        data.insert("job_status".into(), "running".into());
        data.insert(B::RESOURCE.uuid_field.into(), job.resource.uuid.to_string().into());
    }
    Ok(Value::Object(data))
}

fn job_error(job: &Job) -> Option<AgentError> {
    job.error.clone().map(AgentError::from)
}
