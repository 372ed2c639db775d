//! What was done to a server: its jobs.

use super::super::call::{Call, Outcome, Reply};
use super::super::convert::{host_id, micro, project_id, request_id, simple};
use super::super::errors::Fault;
use super::super::paging::{limit, next_links};
use super::super::state::action_word;
use super::super::version::since;
use super::{find, no_server};
use hvnode_core::model::{Job, JobStatus};
use hvnode_core::port::{JobFilter, Page, SortOrder};
use serde_json::{Value, json};
use uuid::Uuid;

/// Most jobs that are looked at.
const JOBS_MAX: u64 = 1000;

async fn jobs(call: &Call) -> Result<Vec<Job>, Fault> {
    let uuid = match find(call, &call.snapshot()) {
        Ok(vm) => vm.uuid(),
        // What was done to it outlives a server.
        Err(_) => call.uuid(0).ok_or_else(|| no_server(call.param(0)))?,
    };
    let filter = JobFilter { resource_uuid: Some(uuid), ..JobFilter::default() };
    let page = Page { offset: 0, limit: JOBS_MAX, order: SortOrder::Descending };
    let jobs = call.shared.context.engine.list_jobs(filter, page).await?.rows;
    if jobs.is_empty() && !call.snapshot().vms.contains_key(&uuid) {
        return Err(no_server(call.param(0)));
    }
    Ok(jobs)
}

fn request_of(job: &Job) -> String {
    if job.caller.request_id.is_empty() { format!("req-{}", job.job_uuid) } else { request_id(&job.caller.request_id) }
}

fn user_of(call: &Call, uuid: Uuid) -> String {
    if uuid.is_nil() { call.caller.user_uuid.simple().to_string() } else { simple(uuid) }
}

fn view(call: &Call, job: &Job) -> Value {
    let is_bad = matches!(job.status, JobStatus::Failed | JobStatus::Canceled);
    let mut action = json!({
        "action": action_word(job.verb),
        "instance_uuid": job.resource.uuid,
        "request_id": request_of(job),
        "user_id": user_of(call, job.caller.user_uuid),
        "project_id": project_id(),
        "start_time": micro(job.create_time),
        "message": if is_bad { Some("Error") } else { None },
    });
    if call.version >= since::ACTION_UPDATED {
        action["updated_at"] = micro(job.finish_time.or(job.start_time).unwrap_or(job.create_time)).into();
    }
    action
}

pub(in super::super) async fn list(call: Call) -> Outcome {
    let jobs = jobs(&call).await?;
    let mut actions: Vec<Value> = jobs.iter().map(|job| view(&call, job)).collect();
    let mut links = None;
    if call.version >= since::ACTION_UPDATED {
        if let Some(marker) = call.query("marker") {
            let at = actions.iter().position(|action| action["request_id"] == marker);
            let at = at.ok_or_else(|| Fault::bad_request("marker not found"))?;
            actions.drain(..=at);
        }
        if let Some(limit) = limit(&call)?.filter(|limit| *limit > 0 && *limit < actions.len()) {
            actions.truncate(limit);
            let marker = actions.last().and_then(|action| action["request_id"].as_str()).unwrap_or("").to_owned();
            let url = format!("{}/servers/{}/os-instance-actions", call.compute_url(), call.param(0));
            links = Some(next_links(&call, &url, &marker));
        }
    }
    let mut body = json!({ "instanceActions": actions });
    if let Some(links) = links {
        body["links"] = links;
    }
    Reply::ok(&body)
}

pub(in super::super) async fn show(call: Call) -> Outcome {
    let jobs = jobs(&call).await?;
    let shown: String = call.param(1).chars().take(64).collect();
    let job = jobs.iter().find(|job| request_of(job) == call.param(1));
    let job = job.ok_or_else(|| Fault::not_found(format!("Action for request_id {shown} on instance {} not found", call.param(0))))?;
    let mut action = view(&call, job);
    action["events"] = vec![event(&call, job)].into();
    Reply::ok(&json!({ "instanceAction": action }))
}

fn event(call: &Call, job: &Job) -> Value {
    let result = match job.status {
        JobStatus::Succeeded => Some("Success"),
        JobStatus::Failed | JobStatus::Canceled => Some("Error"),
        JobStatus::Queued | JobStatus::Running => None,
    };
    let mut event = json!({
        "event": format!("compute_{}", action_word(job.verb)),
        "start_time": micro(job.start_time.unwrap_or(job.create_time)),
        "finish_time": job.finish_time.map(micro),
        "result": result,
    });
    if call.version < since::ACTION_EVENTS || call.caller.role == hvnode_core::model::Role::Admin {
        event["traceback"] = Value::Null;
    }
    if call.version >= since::ACTION_HOST {
        let host_name = call.snapshot().facts.host_name.clone();
        event["hostId"] = host_id(&host_name).into();
        event["host"] = host_name.into();
    }
    event
}
