//! What this API knows of a server and the engine does not: key name, tags, access addresses; and servers that could not be made.

use super::super::DIALECT;
use super::super::call::Call;
use super::super::errors::Fault;
use super::super::serve::Shared;
use crate::records::{Records, value_of};
use hvnode_core::error::ErrorRecord;
use hvnode_core::model::{DialectRecord, Freshness, Job, JobStatus, Timestamp, Vm, VmPhase, VmRecord, VmStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const SERVER: &str = "server";
const FAILED_SERVER: &str = "failed_server";
/// Longest time that a create is watched.
const WATCH: Duration = Duration::from_secs(24 * 3600);
/// How old a record without a server must be before it is swept away: its server may not have been accepted yet.
const SWEEP_AGE: Duration = Duration::from_secs(600);

/// What only this API knows of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in super::super) struct Extras {
    pub(in super::super) key_name: Option<String>,
    pub(in super::super) tags: Vec<String>,
    pub(in super::super) access_ipv4: String,
    pub(in super::super) access_ipv6: String,
    pub(in super::super) has_config_drive: bool,
    /// `OS-DCF:diskConfig` is MANUAL.
    pub(in super::super) is_manual_disk: bool,
    /// Data volumes go with the server.
    pub(in super::super) deletes_volumes: bool,
    /// Shared by servers that one request made.
    pub(in super::super) reservation_id: Option<String>,
}

impl Extras {
    pub(in super::super) fn of(records: &Records, vm_uuid: Uuid) -> Self {
        records.get(DIALECT, SERVER, &vm_uuid.to_string()).and_then(|record| value_of(&record)).unwrap_or_default()
    }

    pub(in super::super) async fn put(&self, records: &Records, vm_uuid: Uuid) -> Result<(), Fault> {
        records.put(DIALECT, SERVER, &vm_uuid.to_string(), self).await?;
        Ok(())
    }
}

/// The extras of all servers, read in place.
#[derive(Debug, Default)]
pub(in super::super) struct AllExtras(HashMap<String, Arc<DialectRecord>>);

impl AllExtras {
    pub(in super::super) fn load(records: &Records) -> Self {
        Self(records.list(DIALECT, SERVER).into_iter().map(|record| (record.key.id.clone(), record)).collect())
    }

    pub(in super::super) fn of(&self, vm_uuid: Uuid) -> ExtrasView<'_> {
        if self.0.is_empty() {
            return ExtrasView(None);
        }
        ExtrasView(self.0.get(&vm_uuid.to_string()).map(|record| &record.value))
    }
}

/// [`Extras`] as they are stored.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct ExtrasView<'a>(Option<&'a Value>);

impl<'a> ExtrasView<'a> {
    pub(in super::super) fn text(self, name: &str) -> &'a str {
        self.0.and_then(|value| value.get(name)).and_then(Value::as_str).unwrap_or("")
    }

    pub(in super::super) fn is(self, name: &str) -> bool {
        self.0.and_then(|value| value.get(name)).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(in super::super) fn tags(self) -> &'a [Value] {
        self.0.and_then(|value| value.get("tags")).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// Forgets what belongs to a server that is gone.
pub(in super::super) async fn forget(records: &Records, vm_uuid: Uuid) -> Result<(), Fault> {
    records.delete(DIALECT, SERVER, &vm_uuid.to_string()).await?;
    Ok(())
}

/// Forgets what belongs to servers that went another way than through this API; a few at a time.
pub(in super::super) async fn sweep(call: &Call) {
    let records = &call.shared.context.records;
    let snapshot = call.snapshot();
    let now = Timestamp::now();
    let is_left = |record: &Arc<DialectRecord>| {
        let uuid = Uuid::try_parse(&record.key.id).unwrap_or_default();
        now.since(record.update_time) > SWEEP_AGE && !snapshot.vms.contains_key(&uuid)
    };
    for record in records.list(DIALECT, SERVER).into_iter().filter(is_left).take(16) {
        if records.delete(DIALECT, SERVER, &record.key.id).await.is_err() {
            return;
        }
    }
}

/// Keeps a server that cannot be made as one in error, until it is deleted: that is how clients learn what went wrong.
pub(in super::super) fn watch_create(shared: &Arc<Shared>, job: &Job) {
    // The plan of a create holds the record that it makes; the one in the picture may be gone already.
    let Ok(record) = VmRecord::deserialize(&job.input["plan"]["record"]).map(Arc::new) else { return };
    let (shared, job_uuid) = (shared.clone(), job.job_uuid);
    shared.creating.lock().insert(record.vm_uuid, record.clone());
    tokio::spawn(async move {
        let job = shared.context.engine.wait_for_job(job_uuid, WATCH).await;
        if let Ok(job) = job
            && job.status == JobStatus::Failed
            && !shared.context.engine.snapshot().vms.contains_key(&record.vm_uuid)
        {
            keep_failed(&shared.context.records, &record, &job).await;
        }
        shared.creating.lock().remove(&record.vm_uuid);
    });
}

async fn keep_failed(records: &Records, record: &VmRecord, job: &Job) {
    let mut failed = record.clone();
    failed.phase = VmPhase::Ready;
    failed.error = job.error.clone().map(Box::new);
    failed.update_time = job.finish_time.unwrap_or(failed.update_time);
    let id = failed.vm_uuid.to_string();
    if let Err(error) = records.put(DIALECT, FAILED_SERVER, &id, &failed).await {
        tracing::warn!(vm_uuid = id, error = %error.chain(), "a server that could not be made cannot be shown");
    }
}

/// Servers that could not be made.
pub(in super::super) fn failed(records: &Records) -> Vec<Vm> {
    records.list(DIALECT, FAILED_SERVER).iter().filter_map(|record| as_vm(record)).collect()
}

/// One of them, also while it is about to become one.
pub(in super::super) fn failed_one(shared: &Shared, vm_uuid: Uuid) -> Option<Vm> {
    let ending = shared.creating.lock().get(&vm_uuid).cloned().map(Vm::from_record);
    let failed = shared.context.records.get(DIALECT, FAILED_SERVER, &vm_uuid.to_string());
    failed.as_deref().and_then(as_vm).or(ending)
}

/// Forgets one. False where there was none.
pub(in super::super) async fn forget_failed(records: &Records, vm_uuid: Uuid) -> Result<bool, Fault> {
    Ok(records.delete(DIALECT, FAILED_SERVER, &vm_uuid.to_string()).await?)
}

fn as_vm(record: &DialectRecord) -> Option<Vm> {
    let record: VmRecord = value_of(record)?;
    let mut vm = Vm::from_record(Arc::new(record));
    vm.status = VmStatus::Error;
    vm.freshness = Freshness::Unavailable;
    Some(vm)
}

/// The words of an error in a server's fault.
pub(in super::super) fn fault_of(error: &ErrorRecord) -> (u16, String) {
    let error = hvnode_core::AgentError::from(error.clone());
    (super::super::errors::status_of(error.code()), error.message())
}
