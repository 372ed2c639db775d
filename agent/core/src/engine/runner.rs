//! Runs one job: waits for its turn, makes its steps so one after the other, takes them back if one fails, writes down how it ended.
//!
//! ```text
//!   queued ──turn──▶ running ──every step──▶ succeeded
//!                     ▲ │ │ a step fails, or cancel between steps
//!        libvirt back │ │ └──▶ undo, last step first ──▶ failed | canceled
//!                     └─┘ libvirt went away in the middle of a step
//! ```
//! A step says what is to be so, not what is to be done, and may be half done: it is made so again once libvirt is back.

use super::{Inner, events, inventory, observer};
use crate::error::ErrorRecord;
use crate::model::{Event, Job, JobStatus, Operation, ResourceType, Snapshot, StepRecord, StepStatus};
use crate::port::{ConnectionState, Durability, TransferControl, Write};
use crate::verb::{Cancel, Carried, Change, Outputs, Step, StepContext, Weight};
use crate::{AgentError, ErrorCode, Result, fail};
use futures_util::FutureExt;
use serde_json::Value;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::SemaphorePermit;
use uuid::Uuid;

/// Longer than any wait that makes sense; a job waits for its turn, and after a restart for libvirt, as long as that takes.
const AS_LONG_AS_IT_TAKES: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How often the progress of a long step is looked at.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
/// First and longest pause before something that must succeed is tried again.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A step that is told so often in a row that libvirt cannot be reached, while the connection stands, is refused for another reason.
const TRIES_WHILE_UP_MAX: u32 = 8;

/// What a job is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Its steps, from the first.
    Run,
    /// Its steps again, after a restart.
    Resume,
    /// Only its undo, after a restart.
    Undo,
}

/// An accepted job, to be run.
pub(super) struct Assignment {
    pub(super) job: Arc<Job>,
    /// Its row in the operation log; read from the store at the end where it is not at hand.
    pub(super) operation: Option<Arc<Operation>>,
    pub(super) change: Change,
    pub(super) cancel: Cancel,
    pub(super) carried: Carried,
    pub(super) mode: Mode,
}

/// Starts the task of an accepted job.
pub(super) fn spawn(inner: &Arc<Inner>, assignment: Assignment) {
    let inner = inner.clone();
    let Assignment { job, operation, change, cancel, carried, mode } = assignment;
    let span = tracing::info_span!("job", job_uuid = %job.job_uuid, verb = job.verb.word(), request_id = %job.caller.request_id);
    let task = async move {
        let context = StepContext {
            hypervisor: inner.ports.hypervisor.clone(),
            images: inner.ports.images.clone(),
            world: inner.world.clone(),
            settings: inner.verb_settings.clone(),
            cancel,
            transfer: Arc::new(TransferControl::default()),
            carried,
        };
        let job = Job::clone(&job);
        let outage = Outage::new(inner.config.hypervisor_patience);
        Run { inner, job, operation, change, context, mode, outage, told: Vec::new() }.whole().await;
    };
    tokio::spawn(tracing::Instrument::instrument(task, span));
}

struct Run {
    inner: Arc<Inner>,
    job: Job,
    operation: Option<Arc<Operation>>,
    change: Change,
    context: StepContext,
    mode: Mode,
    outage: Outage,
    /// Events that go with the next commit.
    told: Vec<Event>,
}

/// How a job bears that libvirt is away.
#[derive(Debug, Clone, Copy)]
struct Outage {
    /// Waiting that is left to the job. Only waiting uses it up: a job may do long steps in between.
    patience: Duration,
    pause: Duration,
    tries_while_up: u32,
}

impl Outage {
    fn new(patience: Duration) -> Self {
        Self { patience, pause: RETRY_PAUSES.0, tries_while_up: 0 }
    }

    /// The next step begins with all its tries, the patience is the job's.
    fn is_over(&mut self) {
        *self = Self::new(self.patience);
    }
}

impl Run {
    async fn whole(mut self) {
        // What may have begun in a former run is past the point.
        let may_have_begun = self.mode != Mode::Run && self.pass_the_point();
        self.wait_for_turn().await;
        let is_begun = may_have_begun || self.pass_the_point();
        // A former run may have told that it began.
        if self.job.status == JobStatus::Queued {
            self.job.status = JobStatus::Running;
            self.told.push(events::job_status(&self.job, JobStatus::Queued.word(), self.inner.now()));
        }
        self.job.start_time = Some(self.job.start_time.unwrap_or_else(|| self.inner.now()));
        self.job.is_after_restart |= self.mode != Mode::Run;
        self.publish();
        tracing::info!(resource = %self.job.resource.uuid, name = %self.job.resource_name, after_restart = self.job.is_after_restart, "Job started");
        let outcome = match self.mode {
            Mode::Undo => Err(restarted_error(&self.job)),
            _ if !is_begun => Err(fail!(JobCanceled)),
            _ => self.forward().await,
        };
        match outcome {
            Ok(outputs) => self.succeed(&outputs).await,
            Err(error) => self.fail(error).await,
        }
    }

    /// A verb that cannot be canceled is canceled before its first step or never. False where it was.
    fn pass_the_point(&self) -> bool {
        self.change.verb().is_cancelable() || self.context.cancel.seal()
    }

    async fn wait_for_turn(&self) {
        let (resource, job_uuid) = (self.job.resource, self.job.job_uuid);
        let inner = &self.inner;
        inner.world.wait_until(AS_LONG_AS_IT_TAKES, |_| inner.lanes.lock().is_running(resource, job_uuid)).await;
        if self.mode != Mode::Run && matches!(resource.kind, ResourceType::Vm | ResourceType::Volume) {
            inner.world.wait_until(AS_LONG_AS_IT_TAKES, |snapshot| snapshot.connection == ConnectionState::Up).await;
        }
    }

    async fn forward(&mut self) -> Result<Outputs> {
        let steps = self.change.verb().steps();
        let mut outputs = Outputs::new();
        for (number, step) in steps.iter().enumerate() {
            if self.change.verb().is_cancelable() {
                self.context.check_cancel()?;
            }
            // The plan alone, committed before, suffices to resume or undo: the step need not wait for the journal.
            let note = self.note(step.name, StepStatus::Started);
            let (untold, value) = tokio::join!(note, self.run_step(step, number, steps.len()));
            self.told.extend(untold);
            outputs.insert(step.name, value?);
            self.mark(step.name, StepStatus::Done);
        }
        Ok(outputs)
    }

    async fn run_step(&mut self, step: &Step, number: usize, count: usize) -> Result<Value> {
        loop {
            match self.try_step(step, number, count).await {
                Err(error) if self.is_hypervisor_away(&error) => self.wait_for_hypervisor(step.name, error).await?,
                result => {
                    self.outage.is_over();
                    return result;
                }
            }
        }
    }

    /// A call past its deadline says nothing while the connection stands: then one VM is stuck, not libvirt.
    fn is_hypervisor_away(&self, error: &AgentError) -> bool {
        let is_up = self.inner.world.load().connection == ConnectionState::Up;
        error.code() == ErrorCode::HypervisorUnavailable || (error.code() == ErrorCode::Timeout && !is_up)
    }

    /// Returns once the step may run again; else fails: with `error` when the patience is over, as canceled when somebody asks for that.
    async fn wait_for_hypervisor(&mut self, step: &'static str, error: AgentError) -> Result<()> {
        let start = tokio::time::Instant::now();
        let Outage { patience, pause, tries_while_up } = self.outage;
        if patience.is_zero() || tries_while_up == TRIES_WHILE_UP_MAX {
            return Err(error);
        }
        tracing::warn!(step, error = %error.chain(), ?patience, "libvirt does not answer; the step runs again once it does");
        self.journal(step, StepStatus::Waiting).await;
        let world = self.inner.world.clone();
        let is_up = |snapshot: &Snapshot| snapshot.connection == ConnectionState::Up;
        let wait = async {
            // The call may know before the connection does.
            tokio::time::sleep(pause.min(patience)).await;
            let was_up = is_up(&world.load());
            (world.wait_until(patience.saturating_sub(start.elapsed()), is_up).await, was_up)
        };
        let (is_back, was_up) = tokio::select! {
            waited = wait => waited,
            () = self.context.cancel.wait(), if self.change.verb().is_cancelable() => return Err(fail!(JobCanceled)),
        };
        self.outage = Outage {
            patience: patience.saturating_sub(start.elapsed()),
            pause: (pause * 2).min(RETRY_PAUSES.1),
            tries_while_up: if was_up { tries_while_up + 1 } else { 0 },
        };
        if !is_back {
            return Err(error);
        }
        tracing::info!(step, waited = ?start.elapsed(), "libvirt answers again");
        self.journal(step, StepStatus::Started).await;
        Ok(())
    }

    async fn try_step(&mut self, step: &Step, number: usize, count: usize) -> Result<Value> {
        let inner = self.inner.clone();
        let change = self.change.clone();
        let context = self.context.clone();
        let name = step.name;
        let weight = step.weight;
        let work = async move {
            let _slot = slot(&inner, weight, &context).await?;
            change.verb().run(name, &context).await
        };
        // A bug in one step must end that job, not the lane.
        let mut work = std::pin::pin!(AssertUnwindSafe(work).catch_unwind());
        let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
        loop {
            tokio::select! {
                done = &mut work => {
                    return done.unwrap_or_else(|_| Err(fail!(Internal, "step {name} panicked"; "步骤 {name} 异常终止")));
                }
                _ = ticks.tick() => self.show_progress(number, count),
                // Long transfers look at their own flag.
                () = self.context.cancel.wait(), if !self.context.transfer.is_canceled.load(Ordering::Relaxed) => {
                    self.context.transfer.is_canceled.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    fn show_progress(&mut self, number: usize, count: usize) {
        let inside = usize::from(self.context.transfer.percent());
        let percent = u8::try_from((number * 100 + inside) / count.max(1)).unwrap_or(99).min(99);
        if percent > self.job.progress_percent {
            self.job.progress_percent = percent;
            self.publish();
        }
    }

    /// Marks a step and writes it down.
    async fn journal(&mut self, name: &'static str, status: StepStatus) {
        let untold = self.note(name, status).await;
        self.told.extend(untold);
    }

    /// Marks a step. The future writes it down, with the events that wait for a commit, and gives those that still wait; kernel-durable
    /// is enough.
    fn note(&mut self, name: &'static str, status: StepStatus) -> impl Future<Output = Vec<Event>> + use<> {
        self.mark(name, status);
        let told = std::mem::take(&mut self.told);
        let mut writes = vec![Write::PutJob(Arc::new(self.job.clone()))];
        writes.extend(told.iter().cloned().map(|event| Write::PutEvent(Arc::new(event))));
        let inner = self.inner.clone();
        async move {
            match inner.ports.store.commit(writes, Durability::Relaxed).await {
                Ok(()) => {
                    inner.events.poke();
                    Vec::new()
                }
                Err(error) => {
                    tracing::warn!(error = %error.chain(), step = name, "A step could not be written to the journal");
                    told
                }
            }
        }
    }

    fn mark(&mut self, name: &'static str, status: StepStatus) {
        let time = self.inner.now();
        match self.job.steps.iter_mut().find(|s| s.name == name) {
            Some(step) => (step.status, step.time) = (status, time),
            None => self.job.steps.push(StepRecord { name: name.to_owned(), status, time }),
        }
        self.publish();
    }

    async fn succeed(mut self, outputs: &Outputs) {
        let now = self.inner.now();
        let writes = self.change.verb().succeed(&self.inner.world.load(), outputs, now);
        self.job.status = JobStatus::Succeeded;
        self.job.progress_percent = 100;
        tracing::info!("Job succeeded");
        self.end(writes).await;
    }

    async fn fail(mut self, error: AgentError) {
        tracing::warn!(error = %error.chain(), "Job fails, its steps are undone");
        let mut record = error.record();
        let not_undone = self.undo().await;
        let (snapshot, now) = (self.inner.world.load(), self.inner.now());
        let writes = if not_undone.is_empty() {
            self.change.verb().fail(&snapshot, &record, now)
        } else {
            let names = not_undone.join(", ");
            record.detail.en.push_str(&format!(" (not undone: {names})"));
            record.detail.cn.push_str(&format!(" (未能撤销: {names})"));
            self.change.verb().fail_incompletely(&snapshot, &record, now)
        };
        self.job.status = if error.code() == ErrorCode::JobCanceled { JobStatus::Canceled } else { JobStatus::Failed };
        self.job.error = Some(record);
        self.end(writes).await;
    }

    /// Takes back every step that may have run, last first. Names of those that could not be.
    async fn undo(&mut self) -> Vec<&'static str> {
        let steps = self.change.verb().steps();
        let mut not_undone = Vec::new();
        for step in steps.iter().rev() {
            // After a restart the journal may lag behind by one step, so everything is taken back; that does no harm.
            let may_have_run = self.mode != Mode::Run || self.job.steps.iter().any(|s| s.name == step.name);
            if !may_have_run {
                continue;
            }
            match self.undo_step(step.name).await {
                Ok(()) => self.mark(step.name, StepStatus::Undone),
                Err(error) => {
                    tracing::error!(step = step.name, error = %error.chain(), "A step could not be undone");
                    not_undone.push(step.name);
                }
            }
        }
        not_undone
    }

    /// With patience: as long as libvirt does not answer, the undo waits for it.
    async fn undo_step(&self, name: &'static str) -> Result<()> {
        let deadline = tokio::time::Instant::now() + self.inner.config.hypervisor_patience;
        let mut pause = RETRY_PAUSES.0;
        let mut tries_left = 3u32;
        loop {
            let attempt = AssertUnwindSafe(self.change.verb().undo(name, &self.context)).catch_unwind().await;
            let error = match attempt {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => return Err(fail!(Internal, "the undo of step {name} panicked"; "步骤 {name} 的撤销异常终止")),
            };
            if !error.code().is_retryable() {
                tries_left -= 1;
            }
            if tries_left == 0 || tokio::time::Instant::now() >= deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_PAUSES.1);
        }
    }

    /// Writes the end down, shows it, lets the next job of the lane run, wakes whoever waits.
    async fn end(mut self, writes: Vec<Write>) {
        self.job.finish_time = Some(self.inner.now());
        self.job.input = Value::Null;
        self.told.push(events::job_status(&self.job, JobStatus::Running.word(), self.inner.now()));
        let job = Arc::new(self.job);
        let mut all = writes.clone();
        all.extend(self.told.into_iter().map(|event| Write::PutEvent(Arc::new(event))));
        all.push(Write::PutJob(job.clone()));
        let record = async {
            if let Some(operation) = ended_operation(&self.inner, self.operation, &job).await {
                all.push(Write::PutOperation(Arc::new(operation)));
            }
            commit_at_last(&self.inner, all).await;
        };
        // Read your own writes: whoever waited for this job sees what it did.
        tokio::join!(record, refresh(&self.inner, &job));
        self.inner.events.poke();
        let inner = &self.inner;
        inner.world.update(|snapshot| {
            for write in &writes {
                inventory::apply(snapshot, write);
            }
            inventory::hide_job(snapshot, &job);
            inner.lanes.lock().leave(job.resource, job.job_uuid);
            // A job that waited for its turn is shown from now on.
            let next = snapshot.open_jobs.values().find(|j| j.resource == job.resource).cloned();
            if let Some(next) = next {
                inventory::show_job(snapshot, &next);
            }
        });
        let waiters = inner.waiting.lock().remove(&job.job_uuid);
        if let Some(waiters) = waiters {
            waiters.send_replace(job);
        }
    }

    /// Shows the job as it is now to readers and waiters.
    fn publish(&self) {
        let job = Arc::new(self.job.clone());
        self.inner.world.update(|snapshot| inventory::show_job(snapshot, &job));
        if let Some(waiters) = self.inner.waiting.lock().get(&job.job_uuid) {
            waiters.send_replace(job);
        }
    }
}

/// A place among the heavy steps; none is needed for light ones.
async fn slot<'a>(inner: &'a Inner, weight: Weight, context: &StepContext) -> Result<Option<SemaphorePermit<'a>>> {
    let slots = match weight {
        Weight::Light => return Ok(None),
        Weight::Disk => &inner.disk_slots,
        Weight::Start => &inner.start_slots,
    };
    tokio::select! {
        permit = slots.acquire() => permit.map(Some).map_err(|e| fail!(Internal, "no slots").caused_by(e)),
        () = context.cancel.wait() => Err(fail!(JobCanceled)),
    }
}

fn restarted_error(job: &Job) -> AgentError {
    let code = match job.verb.resource_type() {
        ResourceType::Vm => ErrorCode::VmCreateFailed,
        ResourceType::Image => ErrorCode::ImageDownloadFailed,
        _ => ErrorCode::Internal,
    };
    let detail = crate::error::Detail::both(
        "the daemon was restarted before it was done, and it was undone; ask again",
        "任务完成前守护进程重启，已撤销，请重新请求",
    );
    AgentError::at(crate::here!(), code, detail)
}

/// Reads what a job's VM is now.
async fn refresh(inner: &Inner, job: &Job) {
    if job.resource.kind == ResourceType::Vm {
        observer::refresh(inner, job.resource.uuid).await;
    }
}

async fn ended_operation(inner: &Inner, at_hand: Option<Arc<Operation>>, job: &Job) -> Option<Operation> {
    let accepted = match at_hand {
        Some(operation) => Some(Arc::unwrap_or_clone(operation)),
        None => inner.ports.store.operation(job.operation_uuid).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error.chain(), "The operation row of a job cannot be read");
            None
        }),
    };
    accepted.map(|operation| Operation { error: job.error.clone(), finish_time: job.finish_time, ..operation })
}

/// Commits until it is done: what happened cannot be taken back any more, so a full disk only delays its record.
pub(super) async fn commit_at_last(inner: &Inner, writes: Vec<Write>) {
    let mut pause = RETRY_PAUSES.0;
    while let Err(error) = inner.ports.store.commit(writes.clone(), Durability::Durable).await {
        tracing::error!(error = %error.chain(), "The end of a job cannot be written, trying again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_PAUSES.1);
    }
}

/// For jobs of a former run whose plan cannot be read: they end as failed, whatever they left is for an operator.
pub(super) async fn end_unreadable(inner: &Inner, job: Job, error: &AgentError) {
    let mut job = job;
    job.status = JobStatus::Failed;
    job.is_after_restart = true;
    job.finish_time = Some(inner.now());
    job.error = Some(ErrorRecord::clone(&error.record()));
    job.input = Value::Null;
    commit_at_last(inner, vec![Write::PutJob(Arc::new(job))]).await;
}

/// The cancel flag of a job taken up after a restart.
pub(super) fn entry_of(job: &Job) -> (super::queue::Entry, Cancel) {
    let cancel = Cancel::default();
    let traits = super::queue::ChangeTraits { verb: job.verb, is_forced: false };
    (super::queue::Entry { job_uuid: job.job_uuid, traits, cancel: cancel.clone() }, cancel)
}

/// Job uuids are version 7: their order is the order of acceptance.
pub(super) fn in_order(mut jobs: Vec<Job>) -> Vec<Job> {
    jobs.sort_by_key(|job: &Job| -> Uuid { job.job_uuid });
    jobs
}
