//! The engine's face: what dialects call.

use super::Snapshot;
use crate::Result;
use crate::model::{Caller, Job, Operation};
use crate::port::{DisplayAddress, JobFilter, Listing, OperationFilter, Page};
use crate::verb::ChangeInput;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

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

/// Cheap to clone; all clones are the same engine.
#[derive(Debug, Clone)]
pub struct Engine {}

impl Engine {
    /// The current picture of the node. Never blocks.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        unreachable!()
    }

    /// Accepts a change durably, or refuses it with a reason and changes nothing. Refusals are logged as operations too.
    /// Checks, in order: role, fields, targets, locks, busy, state, names, capacity.
    ///
    /// # Errors
    /// Any code; the detail names the field and what would be right.
    pub async fn submit(&self, _request: ChangeRequest) -> Result<Accepted> {
        unreachable!()
    }

    /// Waits until the job has ended or `timeout` is over and gives it as it is then.
    ///
    /// # Errors
    /// `JobNotExist`, `StoreFailed`.
    pub async fn wait_for_job(&self, _job_uuid: Uuid, _timeout: Duration) -> Result<Arc<Job>> {
        unreachable!()
    }

    /// One job.
    ///
    /// # Errors
    /// `JobNotExist`, `StoreFailed`.
    pub async fn job(&self, _job_uuid: Uuid) -> Result<Arc<Job>> {
        unreachable!()
    }

    /// Jobs, newest first unless asked otherwise.
    ///
    /// # Errors
    /// `StoreFailed`.
    pub async fn list_jobs(&self, _filter: JobFilter, _page: Page) -> Result<Listing<Job>> {
        unreachable!()
    }

    /// Asks a job to stop at its next safe point. `caller` must be operator.
    ///
    /// # Errors
    /// `PermissionDenied`, `JobNotExist`, `JobNotCancelable` (ended, or past the point).
    pub async fn cancel_job(&self, _caller: &Caller, _job_uuid: Uuid) -> Result<Arc<Job>> {
        unreachable!()
    }

    /// Writes an operation row for a request that leads to no job (log-in, cancel, refused before it reached the engine, …).
    ///
    /// # Errors
    /// `StoreFailed`.
    pub async fn record_operation(&self, _operation: Operation) -> Result<()> {
        unreachable!()
    }

    /// One operation row.
    ///
    /// # Errors
    /// `OperationNotExist`, `StoreFailed`.
    pub async fn operation(&self, _operation_uuid: Uuid) -> Result<Operation> {
        unreachable!()
    }

    /// Operation rows, newest first unless asked otherwise.
    ///
    /// # Errors
    /// `StoreFailed`.
    pub async fn list_operations(&self, _filter: OperationFilter, _page: Page) -> Result<Listing<Operation>> {
        unreachable!()
    }

    /// The last `line_count` lines of a VM's serial console (at most 1 MiB of them), not valid UTF-8 replaced.
    ///
    /// # Errors
    /// `VmNotExist`, `VmConsoleUnavailable`, `HypervisorUnavailable`.
    pub async fn console_log(&self, _vm_uuid: Uuid, _line_count: usize) -> Result<String> {
        unreachable!()
    }

    /// Where the screen of a running VM is.
    ///
    /// # Errors
    /// `VmNotExist`, `VmStateNotAllowed`, `VmConsoleUnavailable`, `HypervisorUnavailable`.
    pub async fn display(&self, _vm_uuid: Uuid) -> Result<DisplayAddress> {
        unreachable!()
    }
}
