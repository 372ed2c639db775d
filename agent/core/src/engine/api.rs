//! The engine's face: what dialects call.

use super::{Engine, accept};
use crate::model::{Caller, Event, ImageStatus, Job, JobStatus, Operation, PowerState, Snapshot};
use crate::port::{ConnectionState, DisplayAddress, Durability, ImageReader, JobFilter, Listing, OperationFilter, Page, Write};
use crate::verb::{Change, ChangeInput};
use crate::{AgentError, Result, at, fail};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Most bytes of a console log that are read at once.
const CONSOLE_BYTES_MAX: u64 = 1 << 20;

/// A change as a dialect hands it in.
#[derive(Debug, Clone)]
pub struct ChangeRequest {
    /// Who asks.
    pub caller: Caller,
    /// For what.
    pub change: ChangeInput,
    /// Idempotency key.
    pub request_uuid: Option<Uuid>,
    /// Path or action of the dialect, for the operation log.
    pub action: String,
    /// Name of the resource as the caller sent it; the stored one is logged if absent. Never decides the target.
    pub resource_name: Option<String>,
    /// The request for the operation log, secrets already replaced. With the key it also tells a retry from another request.
    pub request: Value,
}

/// An accepted change.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Its job; ended already if the same request was accepted before.
    pub job: Arc<Job>,
    /// True if an earlier request with the same key is answered again.
    pub is_replay: bool,
}

/// What a dry run says.
#[derive(Debug)]
pub struct DryRun {
    /// Every reason against the change; none if it would be accepted now.
    pub problems: Vec<AgentError>,
    /// The definition it would give to the hypervisor, where it gives one.
    pub domain_xml: Option<String>,
}

/// A part of the event stream.
#[derive(Debug, Clone)]
pub struct EventPage {
    /// Events in order.
    pub events: Vec<Arc<Event>>,
    /// Where to go on.
    pub next_cursor: u64,
    /// True if there were events after the asked cursor that are not kept any more, or the cursor is not of this stream: look at
    /// everything once, then go on from `next_cursor`.
    pub has_gap: bool,
}

impl Engine {
    /// Would the change be accepted now? Nothing changes and nothing is logged.
    ///
    /// # Errors
    /// `HypervisorUnavailable` and the like where the definition cannot be rendered.
    pub async fn dry_run(&self, caller: &Caller, change: &ChangeInput) -> Result<DryRun> {
        let (problems, planned) = accept::assess(&self.inner, caller, change);
        let domain = planned.filter(|_| problems.is_empty()).and_then(|change| change.domain(&self.snapshot()));
        let domain_xml = match domain {
            Some(spec) => Some(self.inner.ports.hypervisor.render(&spec).await.map_err(at!())?),
            None => None,
        };
        Ok(DryRun { problems, domain_xml })
    }

    /// Events after `cursor`, at most `limit`; where there are none yet, waits at most `wait` for one.
    ///
    /// # Errors
    /// `StoreFailed`.
    pub async fn events(&self, cursor: u64, limit: usize, wait: Duration) -> Result<EventPage> {
        let feed = &self.inner.events;
        if cursor > feed.last() {
            return Ok(EventPage { events: Vec::new(), next_cursor: feed.last(), has_gap: true });
        }
        let mut stopping = self.inner.stopping.subscribe();
        tokio::select! {
            () = feed.wait_for_more(cursor, wait) => {}
            _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
        }
        let events = match feed.recent(cursor, limit) {
            Some(events) => events,
            None => self.stored_events(cursor, limit).await?,
        };
        // Asked after the rows: a prune in between may report a gap that is none, never hide one.
        let (first, _) = self.inner.ports.store.event_bounds().await.map_err(at!())?;
        let next_cursor = events.last().map_or(cursor, |event| event.cursor);
        Ok(EventPage { events, next_cursor, has_gap: cursor > 0 && cursor + 1 < first })
    }

    async fn stored_events(&self, cursor: u64, limit: usize) -> Result<Vec<Arc<Event>>> {
        let last = self.inner.events.last();
        let events = self.inner.ports.store.list_events(cursor, limit as u64).await.map_err(at!())?;
        // What the store has numbered and the feed has not shown yet comes with the next call, in order.
        Ok(events.into_iter().filter(|event| event.cursor <= last).map(Arc::new).collect())
    }

    /// Cursor of the newest event.
    pub fn last_event_cursor(&self) -> u64 {
        self.inner.events.last()
    }

    /// The current picture of the node. Never blocks.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.world.load()
    }

    /// True until [`Engine::shutdown`] is called.
    pub fn is_accepting(&self) -> bool {
        !self.inner.is_stopping()
    }

    /// Waits until libvirt was reached and everything was read once. False if that took longer than `timeout`.
    pub async fn wait_until_ready(&self, timeout: Duration) -> bool {
        self.inner.world.wait_until(timeout, |snapshot| snapshot.connection == ConnectionState::Up).await
    }

    /// Waits until `is_so` holds of the picture, at most `timeout`. True if it does.
    pub async fn wait_until(&self, timeout: Duration, is_so: impl FnMut(&Snapshot) -> bool) -> bool {
        self.inner.world.wait_until(timeout, is_so).await
    }

    /// Accepts a change durably, or refuses it with a reason and changes nothing. Refusals are logged as operations too.
    /// Checks, in order: role, idempotency key, busy, fields, targets, locks, state, names, capacity.
    ///
    /// # Errors
    /// Any code; the detail names the field and what would be right.
    pub async fn submit(&self, request: ChangeRequest) -> Result<Accepted> {
        // A task of its own: a client that goes away must leave nothing half accepted.
        let task = tokio::spawn(accept::submit(self.inner.clone(), request));
        task.await.map_err(|e| fail!(Internal, "the request was not taken").caused_by(e))?.map_err(at!())
    }

    /// Waits until the job has ended, `timeout` is over or the daemon is to stop, and gives the job as it is then.
    ///
    /// # Errors
    /// `JobNotExist`, `StoreFailed`.
    pub async fn wait_for_job(&self, job_uuid: Uuid, timeout: Duration) -> Result<Arc<Job>> {
        let receiver = self.inner.waiting.lock().get(&job_uuid).map(tokio::sync::watch::Sender::subscribe);
        let Some(mut receiver) = receiver else { return self.job(job_uuid).await };
        // However the wait ends, the last value sent is the job as it is.
        let mut stopping = self.inner.stopping.subscribe();
        tokio::select! {
            _ = tokio::time::timeout(timeout, receiver.wait_for(|job| job.status.is_ended())) => {}
            _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
        }
        let job = receiver.borrow().clone();
        Ok(job)
    }

    /// One job.
    ///
    /// # Errors
    /// `JobNotExist`, `StoreFailed`.
    pub async fn job(&self, job_uuid: Uuid) -> Result<Arc<Job>> {
        if let Some(job) = self.snapshot().open_jobs.get(&job_uuid) {
            return Ok(job.clone());
        }
        self.inner.ports.store.job(job_uuid).await.map_err(at!())?.map(Arc::new).ok_or_else(|| fail!(JobNotExist))
    }

    /// Jobs, newest first unless asked otherwise.
    ///
    /// # Errors
    /// `StoreFailed`.
    pub async fn list_jobs(&self, filter: JobFilter, page: Page) -> Result<Listing<Job>> {
        self.inner.ports.store.list_jobs(filter, page).await.map_err(at!())
    }

    /// Asks a job to stop at its next safe point. `caller` must be operator.
    ///
    /// # Errors
    /// `PermissionDenied`, `JobNotExist`, `JobNotCancelable` (ended, or past the point).
    pub async fn cancel_job(&self, caller: &Caller, job_uuid: Uuid) -> Result<Arc<Job>> {
        accept::check_role(caller)?;
        let job = self.job(job_uuid).await?;
        if job.status.is_ended() {
            return Err(fail!(JobNotCancelable));
        }
        // Whatever waits for its turn can be canceled; what runs only if its verb says so.
        let is_cancelable = job.status == JobStatus::Queued || Change::from_job(&job)?.verb().is_cancelable();
        let cancel = self.inner.lanes.lock().cancel_of(job_uuid);
        match cancel {
            // It may have begun since it was looked at.
            Some(cancel) if is_cancelable && cancel.set() => Ok(job),
            _ => Err(fail!(JobNotCancelable)),
        }
    }

    /// Writes an operation row for a request that leads to no job (log-in, cancel, refused before it reached the engine, …).
    ///
    /// # Errors
    /// `StoreFailed`.
    pub async fn record_operation(&self, operation: Operation) -> Result<()> {
        self.inner.ports.store.commit(vec![Write::PutOperation(Arc::new(operation))], Durability::Relaxed).await.map_err(at!())
    }

    /// One operation row.
    ///
    /// # Errors
    /// `OperationNotExist`, `StoreFailed`.
    pub async fn operation(&self, operation_uuid: Uuid) -> Result<Operation> {
        self.inner.ports.store.operation(operation_uuid).await.map_err(at!())?.ok_or_else(|| fail!(OperationNotExist))
    }

    /// Operation rows, newest first unless asked otherwise.
    ///
    /// # Errors
    /// `StoreFailed`.
    pub async fn list_operations(&self, filter: OperationFilter, page: Page) -> Result<Listing<Operation>> {
        self.inner.ports.store.list_operations(filter, page).await.map_err(at!())
    }

    /// The last `line_count` lines of a VM's serial console (at most 1 MiB of them), not valid UTF-8 replaced.
    ///
    /// # Errors
    /// `VmNotExist`, `VmConsoleUnavailable`, `HypervisorUnavailable`.
    pub async fn console_log(&self, vm_uuid: Uuid, line_count: usize) -> Result<String> {
        if !self.snapshot().vms.contains_key(&vm_uuid) {
            return Err(fail!(VmNotExist));
        }
        let bytes = self.inner.ports.hypervisor.console_log(vm_uuid, CONSOLE_BYTES_MAX).await.map_err(at!())?;
        Ok(last_lines(&String::from_utf8_lossy(&bytes), line_count).to_owned())
    }

    /// The bytes of an image that is ready, from `offset` on.
    ///
    /// # Errors
    /// `ImageNotExist`, `ImageNotReady`, `TooManyRequests`, `ImageDownloadFailed`.
    pub async fn read_image(&self, image_uuid: Uuid, offset: u64) -> Result<ImageReader> {
        let snapshot = self.snapshot();
        let image = snapshot.images.get(&image_uuid).ok_or_else(|| fail!(ImageNotExist))?;
        if image.status != ImageStatus::Ready {
            return Err(fail!(ImageNotReady));
        }
        self.inner.ports.images.read(&image.path, offset).await.map_err(at!())
    }

    /// Where the screen of a running VM is.
    ///
    /// # Errors
    /// `VmNotExist`, `VmStateNotAllowed`, `VmConsoleUnavailable`, `HypervisorUnavailable`.
    pub async fn display(&self, vm_uuid: Uuid) -> Result<DisplayAddress> {
        let snapshot = self.snapshot();
        let vm = snapshot.vms.get(&vm_uuid).ok_or_else(|| fail!(VmNotExist))?;
        let power = vm.observed.as_ref().map(|o| o.power);
        if !matches!(power, Some(PowerState::Running | PowerState::Paused | PowerState::ShuttingDown)) {
            let (word, word_cn) = (vm.status.word(), vm.status.word_cn());
            return Err(fail!(VmStateNotAllowed, "{word}; only a VM that is on has a screen"; "{word_cn}；仅已开机的虚拟机有屏幕"));
        }
        self.inner.ports.hypervisor.display(vm_uuid).await.map_err(at!())
    }
}

/// The last `line_count` lines of a text; a last line without end counts too.
fn last_lines(text: &str, line_count: usize) -> &str {
    if line_count == 0 {
        return "";
    }
    let body = text.strip_suffix('\n').unwrap_or(text);
    let start = body.rmatch_indices('\n').nth(line_count - 1).map_or(0, |(at, _)| at + 1);
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::last_lines;

    #[test]
    fn the_last_lines_are_counted_from_the_end() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(last_lines("a\nb\nc", 1), "c");
        assert_eq!(last_lines("a\n", 9), "a\n");
        assert_eq!(last_lines("", 9), "");
        assert_eq!(last_lines("a\nb", 0), "");
    }
}
