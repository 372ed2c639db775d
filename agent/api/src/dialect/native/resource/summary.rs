//! `/v1/statistics/summary/inspect`: the node in numbers.

use super::super::call::Call;
use super::super::envelope::Data;
use super::Nothing;
use super::repository::pool;
use hvnode_core::Result;
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{Readings, VmStatus};
use hvnode_core::port::VOLUMES_POOL;
use hvnode_core::verb::promised_cpu_cores;
use serde::Serialize;
use utoipa::ToSchema;

/// Counts and sizes over the whole node.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Summary {
    vm_count: usize,
    vm_running_count: usize,
    vm_stopped_count: usize,
    /// In state error or crashed.
    vm_error_count: usize,
    image_count: usize,
    usd_count: usize,
    /// Hardware threads.
    cpu_cores: Option<u32>,
    /// Virtual processors of VMs that are not off.
    used_cpu_cores: u64,
    /// Bytes.
    memory_size: u64,
    /// Bytes in use on the host; null until measured.
    used_memory_size: Option<u64>,
    /// Bytes of the pool that disks are made in.
    storage_size: Option<u64>,
    /// Bytes free in it.
    available_storage_size: Option<u64>,
}

impl Summary {
    fn of(snapshot: &Snapshot, readings: &Readings) -> Self {
        let count = |statuses: &[VmStatus]| snapshot.vms.values().filter(|vm| statuses.contains(&vm.status)).count();
        let disks = pool(snapshot, VOLUMES_POOL);
        Self {
            vm_count: snapshot.vms.len(),
            vm_running_count: count(&[VmStatus::Running]),
            vm_stopped_count: count(&[VmStatus::Stopped]),
            vm_error_count: count(&[VmStatus::Error, VmStatus::Crashed]),
            image_count: snapshot.images.len(),
            usd_count: snapshot.volumes.len(),
            cpu_cores: snapshot.capabilities.as_ref().map(|capabilities| capabilities.cpu_threads),
            used_cpu_cores: promised_cpu_cores(snapshot),
            memory_size: snapshot.facts.memory_bytes,
            used_memory_size: readings.host_point().and_then(|point| point.memory_used_bytes),
            storage_size: disks.map(|pool| pool.capacity_bytes),
            available_storage_size: disks.map(|pool| pool.available_bytes),
        }
    }
}

pub(in super::super) async fn inspect(call: Call, _: Nothing) -> Result<Data> {
    Data::of(&InspectedSummary { summary: Summary::of(&call.snapshot(), &call.readings()) })
}

#[derive(Debug, Serialize)]
struct InspectedSummary {
    summary: Summary,
}
