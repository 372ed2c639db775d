//! Changes as this API shows them: the operation in flight, the last one that ended, and the tasks of an object.

use super::call::Call;
use super::resource::time;
use futures_util::{StreamExt, TryStreamExt};
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{Job, JobStatus, VerbKind};
use hvnode_core::port::{JobFilter, Page, SortOrder};
use hvnode_core::{Result, at};
use serde_json::{Value, json};
use uuid::Uuid;

/// Most tasks that an object shows.
const TASKS_MAX: u64 = 20;
/// Questions to the store at a time.
const READS_AT_A_TIME: usize = 8;

/// `create`, `start`, …
fn operation_name(verb: VerbKind) -> &'static str {
    verb.word().split('_').next().unwrap_or_default()
}

/// `Creating`, `Stopping`, …
fn doing(verb: VerbKind) -> String {
    let name = operation_name(verb);
    let stem = match name.strip_suffix('e') {
        Some(stem) => stem.to_owned(),
        None if name.ends_with("op") || name == "reset" => name.chars().chain(name.chars().last()).collect(),
        None => name.to_owned(),
    };
    let (first, rest) = stem.split_at(stem.len().min(1));
    format!("{}{rest}ing", first.to_uppercase())
}

/// What identifies the request behind a job. Other APIs have other forms of it.
fn request_id(job: &Job) -> String {
    Uuid::try_parse(&job.caller.request_id).unwrap_or(job.job_uuid).to_string()
}

/// The change in flight, or nothing.
pub(super) fn operation(job: Option<&Job>) -> String {
    job.map(|job| format!("{}#{}", doing(job.verb), request_id(job))).unwrap_or_default()
}

/// The change of an object in flight.
pub(super) fn open_job(snapshot: &Snapshot, uuid: Uuid) -> Option<&Job> {
    snapshot.open_jobs.values().find(|job| job.resource.uuid == uuid).map(AsRef::as_ref)
}

/// The newest tasks of an object.
pub(super) async fn tasks(call: &Call, uuid: Uuid) -> Result<Vec<Value>> {
    let filter = JobFilter { resource_uuid: Some(uuid), ..JobFilter::default() };
    let page = Page { offset: 0, limit: TASKS_MAX, order: SortOrder::Descending };
    let jobs = call.context.engine.list_jobs(filter, page).await.map_err(at!())?;
    Ok(jobs.rows.iter().map(|job| task(call, job)).collect())
}

fn task(call: &Call, job: &Job) -> Value {
    let kind = job.resource.kind.word();
    let name = operation_name(job.verb);
    json!({
        "uuid": job.job_uuid,
        "request_id": request_id(job),
        "operation_name": name,
        "description": format!("{name}-{kind}-flowchain"),
        "resource_type": kind,
        "resource_uuid": job.resource.uuid,
        "state": call.options.states.task(job.status),
        "created_at": time(job.create_time),
        "updated_at": time(job.finish_time.or(job.start_time).unwrap_or(job.create_time)),
        "finished_at": job.finish_time.map(time),
    })
}

/// The last change of an object that ended.
pub(super) async fn last_ended(call: &Call, uuid: Uuid) -> Result<Option<Job>> {
    let status = vec![JobStatus::Succeeded, JobStatus::Failed, JobStatus::Canceled];
    let filter = JobFilter { status, resource_uuid: Some(uuid), ..JobFilter::default() };
    let page = Page { offset: 0, limit: 1, order: SortOrder::Descending };
    Ok(call.context.engine.list_jobs(filter, page).await.map_err(at!())?.rows.pop())
}

/// Fills in the last change of each entry of a page.
pub(super) async fn fill_last_operations(call: &Call, elements: Vec<Value>) -> Result<Vec<Value>> {
    let fill = |mut element: Value| async move {
        let uuid = element["uuid"].as_str().and_then(|text| Uuid::try_parse(text).ok()).unwrap_or_default();
        if let Some(job) = last_ended(call, uuid).await? {
            element["last_operation_name"] = operation_name(job.verb).into();
            element["last_operation_state"] = call.options.states.task(job.status).into();
            element["last_operation_created_at"] = time(job.create_time);
            element["last_operation_finished_at"] = job.finish_time.map(time).into();
        }
        Ok(element)
    };
    futures_util::stream::iter(elements).map(fill).buffered(READS_AT_A_TIME).try_collect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_word_for_being_done() {
        let words: Vec<_> = VerbKind::ALL.iter().map(|verb| doing(*verb)).collect();
        for (verb, word) in VerbKind::ALL.iter().zip(&words) {
            assert!(word.ends_with("ing") && word.starts_with(char::is_uppercase) && word.len() > 5, "{verb:?} {word}");
        }
        for word in ["Creating", "Starting", "Stopping", "Rebooting", "Resetting", "Pausing", "Deleting", "Updating"] {
            assert!(words.iter().any(|found| found == word), "{word}: {words:?}");
        }
    }
}
