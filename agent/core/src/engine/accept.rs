//! From a request to an accepted, durable job: everything up to the acknowledgement.

use super::api::{Accepted, ChangeRequest};
use super::queue::{ChangeTraits, Decision, Entry};
use super::runner::{self, Assignment, Mode};
use super::{Inner, events, inventory};
use crate::model::{Caller, Job, JobStatus, Operation, ResourceKey, Role, Snapshot};
use crate::port::{Durability, Write};
use crate::verb::{self, Cancel, Change, ChangeInput, CreateImageInput, ImageSource, Outputs, PlanView, Planned, busy_detail, plan};
use crate::{AgentError, ErrorCode, Result, at, fail, here};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::sync::watch;
use uuid::Uuid;

/// Would the change be accepted now? Every reason against it; nothing changes and nothing is logged.
pub(super) fn assess(inner: &Inner, caller: &Caller, change: &ChangeInput) -> (Vec<AgentError>, Option<Change>) {
    let mut errors: Vec<AgentError> = check_role(caller).err().into_iter().collect();
    let snapshot = inner.world.load();
    if let Some(target) = target_of(change) {
        let decision = inner.lanes.lock().decide(target, ChangeTraits::of(change));
        errors.extend(check_lane(&decision, target, &snapshot).err());
    }
    let view = PlanView { snapshot: &snapshot, settings: &inner.verb_settings, now: inner.now(), caller };
    let (more, planned) = verb::assess(change, view);
    errors.extend(more);
    (errors, planned.map(|planned| planned.change))
}

/// Refuses callers that may only read.
pub(super) fn check_role(caller: &Caller) -> Result<()> {
    if caller.role >= Role::Operator {
        return Ok(());
    }
    Err(fail!(PermissionDenied, "changes need the role operator or admin"; "变更操作需要 operator 或 admin 角色"))
}

/// What was taken in memory for a job that is not committed yet.
struct Reserved {
    job: Arc<Job>,
    operation: Arc<Operation>,
    change: Change,
    cancel: Cancel,
    /// Everything to commit.
    writes: Vec<Write>,
    /// What puts the picture back if the commit fails.
    inverses: Vec<Write>,
    /// True if the job ended with its acceptance: nothing to run.
    is_ended: bool,
}

/// Accepts or refuses; logs both. Runs in a task of its own, so that a client that goes away leaves nothing half accepted.
pub(super) async fn submit(inner: Arc<Inner>, request: ChangeRequest) -> Result<Accepted> {
    let result = accept(&inner, &request).await;
    if let Err(error) = &result
        && is_worth_a_row(error)
    {
        let operation = refused_operation(&inner, &request, error);
        if let Err(log_error) = inner.ports.store.commit(vec![Write::PutOperation(Arc::new(operation))], Durability::Relaxed).await {
            tracing::warn!(error = %log_error.chain(), "A refused request could not be written to the operation log");
        }
    }
    result
}

/// A refusal for want of room is told at once and leaves nothing: a flood must not fill the log, and a store that fails cannot take a row.
fn is_worth_a_row(error: &AgentError) -> bool {
    !matches!(error.code(), ErrorCode::TooManyRequests | ErrorCode::StoreFailed)
}

async fn accept(inner: &Arc<Inner>, request: &ChangeRequest) -> Result<Accepted> {
    check_role(&request.caller)?;
    if inner.is_stopping() {
        return Err(fail!(ResourceBusy, "the daemon is shutting down, try again"; "守护进程正在停止，请重试"));
    }
    let fingerprint = fingerprint(request);
    let _turn = match request.request_uuid {
        Some(key) => Some(KeyTurn::take(inner, key).await),
        None => None,
    };
    if let Some(key) = request.request_uuid
        && let Some(replay) = earlier_answer(inner, key, &fingerprint).await?
    {
        return Ok(replay);
    }
    if let ChangeInput::CreateImage(CreateImageInput { source: ImageSource::Url(url), .. }) = &request.change {
        inner.ports.images.check_url(url).map_err(at!())?;
    }
    let reserved = reserve(inner, request, &fingerprint).map_err(at!())?;
    if let Err(error) = inner.ports.store.commit(reserved.writes.clone(), Durability::Durable).await {
        match error.code() {
            ErrorCode::Timeout => drop(tokio::spawn(withdraw(inner.clone(), reserved, error.clone()))),
            _ => release(inner, &reserved),
        }
        return Err(error.passing(here!()));
    }
    inner.events.poke();
    let Reserved { job, operation, change, cancel, is_ended, .. } = reserved;
    if !is_ended {
        let (operation, carried) = (Some(operation), request.change.carried());
        runner::spawn(inner, Assignment { job: job.clone(), operation, change, cancel, carried, mode: Mode::Run });
    }
    Ok(Accepted { job, is_replay: false })
}

/// Tells a retry from another request under the same key: who, what, and the body without secrets.
fn fingerprint(request: &ChangeRequest) -> String {
    let mut hash = Sha256::new();
    for part in [request.caller.user_uuid.to_string(), request.caller.dialect.clone(), request.action.clone(), request.request.to_string()]
    {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn earlier_answer(inner: &Inner, key: Uuid, fingerprint: &str) -> Result<Option<Accepted>> {
    let window = i64::try_from(inner.config.idempotency_window.as_nanos()).unwrap_or(i64::MAX);
    let since = crate::model::Timestamp(inner.now().0.saturating_sub(window));
    let Some(job) = inner.ports.store.job_by_request(key, since).await.map_err(at!())? else { return Ok(None) };
    if job.request_hash.as_deref() != Some(fingerprint) {
        return Err(fail!(RequestUuidReused, "{key}"));
    }
    Ok(Some(Accepted { job: Arc::new(job), is_replay: true }))
}

/// One request per key at a time: the second waits for the first and then finds its job.
struct KeyTurn<'a> {
    inner: &'a Inner,
    key: Uuid,
    _done: watch::Sender<()>,
}

impl<'a> KeyTurn<'a> {
    async fn take(inner: &'a Inner, key: Uuid) -> Self {
        loop {
            let (done, receiver) = watch::channel(());
            let other = {
                let mut keys = inner.keys.lock();
                match keys.get(&key) {
                    Some(other) => Some(other.clone()),
                    None => {
                        keys.insert(key, receiver);
                        None
                    }
                }
            };
            match other {
                None => return Self { inner, key, _done: done },
                // Ends when the other request's turn is dropped.
                Some(mut other) => while other.changed().await.is_ok() {},
            }
        }
    }
}

impl Drop for KeyTurn<'_> {
    fn drop(&mut self) {
        self.inner.keys.lock().remove(&self.key);
    }
}

/// Plans the change against the picture and takes its place in it, all in one turn.
fn reserve(inner: &Inner, request: &ChangeRequest, fingerprint: &str) -> Result<Reserved> {
    inner.world.update(|snapshot| {
        let mut lanes = inner.lanes.lock();
        let traits = ChangeTraits::of(&request.change);
        if let Some(target) = target_of(&request.change) {
            check_lane(&lanes.decide(target, traits), target, snapshot)?;
        }
        let view = PlanView { snapshot, settings: &inner.verb_settings, now: inner.now(), caller: &request.caller };
        let planned = plan(&request.change, view)?;
        let resource = planned.change.verb().resource();
        check_lane(&lanes.decide(resource, traits), resource, snapshot)?;
        let is_ended = planned.is_already_so || planned.change.verb().steps().is_empty();
        let (job, operation) = describe(inner, request, fingerprint, &planned, is_ended)?;
        let mut records = planned.writes;
        if is_ended && !planned.is_already_so {
            records.extend(planned.change.verb().succeed(snapshot, &Outputs::new(), inner.now()));
        }
        let inverses: Vec<Write> = records.iter().rev().filter_map(|write| inventory::inverse(snapshot, write)).collect();
        if !is_ended {
            // Before its records: what they change or make belongs to it.
            inventory::show_job(snapshot, &job);
        }
        for write in &records {
            inventory::apply(snapshot, write);
        }
        let cancel = Cancel::default();
        if !is_ended {
            lanes.enter(resource, Entry { job_uuid: job.job_uuid, traits, cancel: cancel.clone() });
            inner.waiting.lock().insert(job.job_uuid, watch::Sender::new(job.clone()));
        }
        let mut writes = records;
        writes.push(Write::PutJob(job.clone()));
        writes.push(Write::PutEvent(Arc::new(events::job_status(&job, "", inner.now()))));
        let operation = Arc::new(operation);
        writes.push(Write::PutOperation(operation.clone()));
        Ok(Reserved { job, operation, change: planned.change, cancel, writes, inverses, is_ended })
    })
}

/// The resource a change is about, where it exists already.
fn target_of(change: &ChangeInput) -> Option<ResourceKey> {
    use crate::model::ResourceType as R;
    let (kind, uuid) = match change {
        ChangeInput::CreateVm(_) | ChangeInput::CreateImage(_) | ChangeInput::CreateSpecification(_) => return None,
        ChangeInput::StartVm(i)
        | ChangeInput::ResetVm(i)
        | ChangeInput::PauseVm(i)
        | ChangeInput::ResumeVm(i)
        | ChangeInput::ConfirmResize(i)
        | ChangeInput::RevertResize(i)
        | ChangeInput::RecoverVm(i)
        | ChangeInput::ExpungeVm(i)
        | ChangeInput::ReleaseVm(i) => (R::Vm, i.vm_uuid),
        ChangeInput::AdoptVm(i) => (R::Vm, i.vm_uuid),
        ChangeInput::StopVm(i) => (R::Vm, i.vm_uuid),
        ChangeInput::RebootVm(i) => (R::Vm, i.vm_uuid),
        ChangeInput::UpdateVm(i) => (R::Vm, i.vm_uuid),
        ChangeInput::ResizeVm(i) => (R::Vm, i.vm_uuid),
        ChangeInput::DeleteVm(i) => (R::Vm, i.vm_uuid),
        ChangeInput::UpdateImage(i) => (R::Image, i.image_uuid),
        ChangeInput::DeleteImage(i) => (R::Image, i.image_uuid),
        ChangeInput::UpdateSpecification(i) => (R::Specification, i.specification_uuid),
        ChangeInput::DeleteSpecification(i) => (R::Specification, i.specification_uuid),
        ChangeInput::DeleteVolume(i) => (R::Volume, i.volume_uuid),
    };
    Some(ResourceKey { kind, uuid })
}

fn check_lane(decision: &Decision, resource: ResourceKey, snapshot: &Snapshot) -> Result<()> {
    match decision {
        Decision::Run | Decision::Preempt(_) => Ok(()),
        Decision::Full => {
            Err(fail!(TooManyRequests, "as many jobs are open as this node takes, try again"; "未完成的任务已达上限，请重试"))
        }
        Decision::Busy(job_uuid) => {
            let detail = match snapshot.open_jobs.get(job_uuid) {
                Some(job) => busy_detail(job),
                None => crate::error::Detail::from(job_uuid.to_string()),
            };
            let code = if resource.kind == crate::model::ResourceType::Vm { ErrorCode::VmBusy } else { ErrorCode::ResourceBusy };
            Err(AgentError::at(here!(), code, detail))
        }
    }
}

/// The rows of an accepted change.
fn describe(inner: &Inner, request: &ChangeRequest, fingerprint: &str, planned: &Planned, is_ended: bool) -> Result<(Arc<Job>, Operation)> {
    let now = inner.now();
    let (job_uuid, operation_uuid) = (Uuid::now_v7(), Uuid::now_v7());
    let verb = planned.change.verb();
    let input = if is_ended {
        Value::Null
    } else {
        serde_json::to_value(&planned.change).map_err(|e| fail!(Internal, "the plan cannot be stored"; "无法保存任务计划").caused_by(e))?
    };
    let job = Job {
        job_uuid,
        verb: verb.kind(),
        resource: verb.resource(),
        resource_name: planned.resource_name.clone(),
        input,
        caller: request.caller.clone(),
        request_uuid: request.request_uuid,
        request_hash: request.request_uuid.map(|_| fingerprint.to_owned()),
        operation_uuid,
        status: if is_ended { JobStatus::Succeeded } else { JobStatus::Queued },
        progress_percent: if is_ended { 100 } else { 0 },
        steps: Vec::new(),
        is_cancel_requested: false,
        is_after_restart: false,
        error: None,
        result: None,
        create_time: now,
        start_time: is_ended.then_some(now),
        finish_time: is_ended.then_some(now),
    };
    let operation = Operation {
        operation_uuid,
        caller: request.caller.clone(),
        action: request.action.clone(),
        resource_type: Some(job.resource.kind),
        resource_uuid: Some(job.resource.uuid),
        resource_name: request.resource_name.clone().unwrap_or_else(|| planned.resource_name.clone()),
        request: request.request.clone(),
        error: None,
        job_uuid: Some(job_uuid),
        create_time: now,
        finish_time: is_ended.then_some(now),
    };
    Ok((Arc::new(job), operation))
}

fn refused_operation(inner: &Inner, request: &ChangeRequest, error: &AgentError) -> Operation {
    let target = target_of(&request.change);
    let stored_name = || inner.world.load().name_of(target?.kind, target?.uuid);
    Operation {
        operation_uuid: Uuid::now_v7(),
        caller: request.caller.clone(),
        action: request.action.clone(),
        resource_type: Some(request.change.kind().resource_type()),
        resource_uuid: target.map(|t| t.uuid),
        resource_name: request.resource_name.clone().or_else(stored_name).unwrap_or_default(),
        request: request.request.clone(),
        error: Some(error.record()),
        job_uuid: None,
        create_time: inner.now(),
        finish_time: Some(inner.now()),
    }
}

/// Ends a job whose commit may or may not have been written, in the store first: a journal must not hold a job that nobody runs. Until
/// then the job keeps its place, so that nothing else is planned on what may still come.
async fn withdraw(inner: Arc<Inner>, reserved: Reserved, error: AgentError) {
    let now = inner.now();
    let mut job = Job::clone(&reserved.job);
    let before = job.status.word();
    (job.status, job.finish_time, job.error, job.input) = (JobStatus::Failed, Some(now), Some(error.record()), Value::Null);
    let mut writes = reserved.inverses.clone();
    let ended = Operation { error: job.error.clone(), finish_time: Some(now), ..Operation::clone(&reserved.operation) };
    writes.push(Write::PutOperation(Arc::new(ended)));
    writes.push(Write::PutEvent(Arc::new(events::job_status(&job, before, now))));
    writes.push(Write::PutJob(Arc::new(job)));
    runner::commit_at_last(&inner, writes).await;
    inner.events.poke();
    release(&inner, &reserved);
}

/// Puts the picture back after a failed commit.
fn release(inner: &Inner, reserved: &Reserved) {
    inner.world.update(|snapshot| {
        for write in &reserved.inverses {
            inventory::apply(snapshot, write);
        }
        inventory::hide_job(snapshot, &reserved.job);
        inner.lanes.lock().leave(reserved.job.resource, reserved.job.job_uuid);
        inner.waiting.lock().remove(&reserved.job.job_uuid);
    });
}
