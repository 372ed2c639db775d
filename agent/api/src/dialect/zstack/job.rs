//! Jobs as this API shows them. A change of the engine is its own job; a change of records alone is kept as a record with its result.

use super::call::Reply;
use super::errors::Fault;
use super::table::{self, Act};
use super::{DIALECT, date, identity::hex, inventory};
use crate::context::ApiContext;
use crate::records::value_of;
use hvnode_core::model::{Job, JobStatus, Timestamp};
use hvnode_core::{AgentError, Result, at, fail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::time::Duration;
use uuid::Uuid;

/// Kind of the records that hold results.
const KIND: &str = "job";
/// How long a result is kept at least.
const KEPT: Duration = Duration::from_secs(3600);
/// Most old results that one new one removes.
const REMOVED_AT_ONCE: usize = 16;

/// A job on its way to the client.
#[derive(Debug)]
pub(super) struct Posted {
    uuid: Option<Uuid>,
    create_time: Timestamp,
    finish_time: Option<Timestamp>,
    result: Option<String>,
    /// What it is counted as.
    pub(super) code: u32,
}

impl Posted {
    /// Ended with its own answer.
    pub(super) fn done(create_time: Timestamp, result: String) -> Self {
        Self { uuid: None, create_time, finish_time: Some(Timestamp::now()), result: Some(result), code: 0 }
    }

    /// To be asked for.
    pub(super) fn processing(uuid: Uuid, create_time: Timestamp) -> Self {
        Self { uuid: Some(uuid), create_time, finish_time: None, result: None, code: 0 }
    }

    pub(super) fn body(&self) -> Value {
        let mut body = Map::new();
        if let Some(uuid) = self.uuid {
            body.insert("uuid".into(), hex(uuid).into());
        }
        body.insert("state".into(), if self.result.is_some() { "Done" } else { "Processing" }.into());
        body.insert("createdDate".into(), date::show(self.create_time).into());
        if let (Some(time), Some(result)) = (self.finish_time, &self.result) {
            body.insert("finishedDate".into(), date::show(time).into());
            body.insert("result".into(), result.as_str().into());
        }
        Value::Object(body)
    }
}

/// `{"<class>": {…, "success": …}}` as text.
pub(super) fn result_text(class: &str, outcome: std::result::Result<Reply, &Fault>) -> String {
    let content = match outcome {
        Ok(mut reply) => {
            reply.insert("success".into(), true.into());
            reply
        }
        Err(fault) => Map::from_iter([("success".to_owned(), false.into()), ("error".to_owned(), fault.body())]),
    };
    Value::Object(Map::from_iter([(class.to_owned(), Value::Object(content))])).to_string()
}

/// The result of a change of records.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    result: String,
}

/// Keeps a result over restarts of the daemon, to be asked for.
pub(super) async fn keep(context: &ApiContext, result: String) -> Result<Posted> {
    forget_old(context).await?;
    let uuid = Uuid::now_v7();
    let record = context.records.put(DIALECT, KIND, &hex(uuid), &Kept { result }).await.map_err(at!())?;
    Ok(Posted::processing(uuid, record.create_time))
}

async fn forget_old(context: &ApiContext) -> Result<()> {
    let now = Timestamp::now();
    // By id is by age: version 7 sorts by creation.
    let old = context.records.list(DIALECT, KIND).into_iter().take(REMOVED_AT_ONCE);
    for record in old.filter(|record| now.since(record.create_time) > KEPT) {
        context.records.delete(DIALECT, KIND, &record.key.id).await.map_err(at!())?;
    }
    Ok(())
}

/// The job with this uuid.
///
/// # Errors
/// `JobNotExist`, `StoreFailed`.
pub(super) async fn find(context: &ApiContext, text: &str) -> Result<Posted> {
    let uuid = Uuid::try_parse(text).map_err(|_| fail!(JobNotExist))?;
    if let Some(record) = context.records.get(DIALECT, KIND, &hex(uuid)) {
        let kept: Kept = value_of(&record).ok_or_else(|| fail!(JobNotExist))?;
        let time = record.create_time;
        return Ok(Posted { uuid: Some(uuid), create_time: time, finish_time: Some(time), result: Some(kept.result), code: 0 });
    }
    let job = context.engine.job(uuid).await.map_err(at!())?;
    if job.caller.dialect != DIALECT {
        return Err(fail!(JobNotExist));
    }
    let outcome = outcome_of(&job);
    let code = outcome.as_ref().and_then(|outcome| outcome.as_ref().err()).map_or(0, |error| error.code().number());
    let result = match outcome {
        Some(outcome) => Some(engine_result(context, &job, outcome).await?),
        None => None,
    };
    Ok(Posted { uuid: Some(uuid), create_time: job.create_time, finish_time: job.finish_time, result, code })
}

fn outcome_of(job: &Job) -> Option<std::result::Result<(), AgentError>> {
    let error = || job.error.clone().map(AgentError::from);
    match job.status {
        JobStatus::Queued | JobStatus::Running => None,
        JobStatus::Succeeded => Some(Ok(())),
        JobStatus::Canceled => Some(Err(error().unwrap_or_else(|| fail!(JobCanceled)))),
        JobStatus::Failed => Some(Err(error().unwrap_or_else(|| fail!(Internal, "the job failed"; "任务失败")))),
    }
}

/// Which message it was stands in the operation log; what it gave is the object as it is now.
async fn engine_result(context: &ApiContext, job: &Job, outcome: std::result::Result<(), AgentError>) -> Result<String> {
    let operation = context.engine.operation(job.operation_uuid).await;
    let message = operation.ok().and_then(|operation| table::find(&operation.action)).ok_or_else(|| fail!(JobNotExist))?;
    let class = message.reply_class();
    if let Err(error) = outcome {
        return Ok(result_text(&class, Err(&Fault::from(error))));
    }
    let mut reply = Map::new();
    if let Act::Change(_, _, shown) = message.act
        && shown
    {
        let present = inventory::object(context, job.resource.kind, job.resource.uuid);
        // It may be gone by now: then what is left of it is its name.
        let value = present.unwrap_or_else(|| json!({"uuid": hex(job.resource.uuid), "name": job.resource_name}));
        reply.insert("inventory".into(), value);
    }
    Ok(result_text(&class, Ok(reply)))
}
