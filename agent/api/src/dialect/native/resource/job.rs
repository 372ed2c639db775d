//! Jobs: how far changes got and how they ended.

use super::super::call::Call;
use super::super::check;
use super::super::envelope::{Data, SUCCESS, SUCCESS_CN, stack};
use super::super::listing::{ListData, ListOptions};
use super::kind_word;
use crate::context::NodeIdentity;
use hvnode_core::model::{Job, JobStatus, Timestamp};
use hvnode_core::port::JobFilter;
use hvnode_core::{AgentError, Result, at};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

const STATUSES: [(&str, JobStatus); 5] = [
    ("queued", JobStatus::Queued),
    ("running", JobStatus::Running),
    ("succeeded", JobStatus::Succeeded),
    ("failed", JobStatus::Failed),
    ("canceled", JobStatus::Canceled),
];

/// A change on its way, or its end.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(in super::super) struct JobView<'a> {
    job_uuid: Uuid,
    /// create_vm, start_vm, …
    action: &'static str,
    resource_type: &'static str,
    resource_uuid: Uuid,
    resource_name: &'a str,
    /// queued, running, succeeded, failed or canceled.
    status: &'static str,
    /// 0-100.
    progress: u8,
    /// 0 unless it failed or was canceled.
    status_code: u32,
    /// Null until it has ended.
    message: Option<String>,
    /// Null until it has ended.
    message_cn: Option<String>,
    stack: Option<Vec<String>>,
    /// What it gave, for jobs that give something.
    result: Option<&'a Value>,
    user_name: &'a str,
    request_uuid: Option<Uuid>,
    /// True where a later run of the daemon finished or undid it.
    after_restart: bool,
    /// Unix seconds.
    create_time: i64,
    /// Unix seconds.
    start_time: Option<i64>,
    /// Unix seconds.
    finish_time: Option<i64>,
}

impl<'a> JobView<'a> {
    fn of(job: &'a Job, node: &NodeIdentity) -> Self {
        let error = job.error.clone().map(AgentError::from);
        let number = error.as_ref().map_or(0, |error| error.code().number());
        Self {
            job_uuid: job.job_uuid,
            action: job.verb.word(),
            resource_type: kind_word(job.resource.kind),
            resource_uuid: job.resource.uuid,
            resource_name: &job.resource_name,
            status: job.status.word(),
            progress: job.progress_percent,
            status_code: number,
            message: end_message(error.as_ref(), job.status == JobStatus::Succeeded, AgentError::message, SUCCESS),
            message_cn: end_message(error.as_ref(), job.status == JobStatus::Succeeded, AgentError::message_cn, SUCCESS_CN),
            stack: error.map(|error| stack(error.places(), number, node)),
            result: job.result.as_ref(),
            user_name: &job.caller.user_name,
            request_uuid: job.request_uuid,
            after_restart: job.is_after_restart,
            create_time: job.create_time.seconds(),
            start_time: job.start_time.map(Timestamp::seconds),
            finish_time: job.finish_time.map(Timestamp::seconds),
        }
    }
}

/// How something ended, in one language; `None` where it has not.
pub(super) fn end_message(
    error: Option<&AgentError>,
    is_success: bool,
    message: impl FnOnce(&AgentError) -> String,
    success: &str,
) -> Option<String> {
    error.map(message).or_else(|| is_success.then(|| success.to_owned()))
}

/// Which jobs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct JobListQuery {
    /// Only changes of this.
    #[schema(format = Uuid)]
    resource_uuid: Option<String>,
}

pub(in super::super) async fn list(call: Call, options: ListOptions, query: JobListQuery) -> Result<Data> {
    let plan = options.plan(Some(&STATUSES.map(|(word, _)| word)))?;
    let page = plan.log_page()?;
    let filter = JobFilter {
        status: STATUSES.iter().filter(|(word, _)| plan.status() == Some(*word)).map(|(_, status)| *status).collect(),
        resource_uuid: check::optional_uuid("resource_uuid", query.resource_uuid.as_deref())?,
        verb: None,
        name: plan.name(),
    };
    if plan.is_other_tenant() {
        return Data::of(&ListData::<JobView<'_>>::whole(Vec::new()));
    }
    let listing = call.context.engine.list_jobs(filter, page).await.map_err(at!())?;
    let list = listing.rows.iter().map(|job| JobView::of(job, &call.context.node)).collect();
    Data::of(&ListData { total_count: listing.total_count, list })
}

/// Which job.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct JobTarget {
    #[schema(format = Uuid)]
    job_uuid: String,
}

pub(in super::super) async fn inspect(call: Call, target: JobTarget) -> Result<Data> {
    let uuid = check::uuid("job_uuid", &target.job_uuid)?;
    let job = call.context.engine.job(uuid).await.map_err(at!())?;
    Data::of(&InspectedJob { job: JobView::of(&job, &call.context.node) })
}

#[derive(Debug, Serialize)]
struct InspectedJob<'a> {
    job: JobView<'a>,
}

/// Stop a job at its next safe point.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct CancelJob {
    #[schema(format = Uuid)]
    job_uuid: String,
    /// For the operation log only.
    job_name: Option<String>,
}

/// The answer to a cancel: the job may still need a moment to end.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct CanceledJob {
    job_uuid: Uuid,
    /// State of the job now.
    job_status: &'static str,
}

pub(in super::super) async fn cancel(call: Call, target: CancelJob) -> Result<Data> {
    let uuid = check::uuid("job_uuid", &target.job_uuid)?;
    if let Some(name) = &target.job_name {
        check::spoken_name("job_name", name)?;
    }
    let job = call.context.engine.cancel_job(&call.caller, uuid).await.map_err(at!())?;
    Data::of(&CanceledJob { job_uuid: uuid, job_status: job.status.word() })
}
