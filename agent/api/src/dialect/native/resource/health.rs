//! `/v1/host/health/inspect`: what `hvctl doctor` asks, beyond what other routes tell.

use super::super::call::Call;
use super::super::envelope::Data;
use super::Nothing;
use hvnode_core::Result;
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{ConnectionState, Timestamp, VmStatus};
use serde::Serialize;
use utoipa::ToSchema;

/// Whether the daemon can do its work.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HostHealth)]
pub(in super::super) struct HealthView<'a> {
    /// Of hvnoded.
    version: &'static str,
    /// The node's clock, Unix milliseconds.
    time_milliseconds: i64,
    /// Start of this run of hvnoded, Unix seconds.
    start_time: i64,
    /// up, connecting or down: whether libvirt answers.
    connection: &'static str,
    /// Why libvirt does not answer; null where it does.
    connection_message: Option<&'a str>,
    /// Storage pools of the node; empty until libvirt was reached.
    pools: Vec<PoolView<'a>>,
    /// VMs whose record and libvirt contradict each other, quarantined ones included.
    vm_error_count: usize,
    vm_crashed_count: usize,
    /// Jobs that have not ended.
    open_job_count: usize,
}

/// Space of a pool.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HostHealthPool)]
pub(in super::super) struct PoolView<'a> {
    pool_name: &'a str,
    path: &'a str,
    /// Bytes.
    storage_size: u64,
    /// Bytes.
    available_storage_size: u64,
}

impl<'a> HealthView<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let (connection, connection_message) = match &snapshot.connection {
            ConnectionState::Up => ("up", None),
            ConnectionState::Connecting => ("connecting", None),
            ConnectionState::Down(reason) => ("down", Some(reason.as_str())),
        };
        let count = |status| snapshot.vms.values().filter(|vm| vm.status == status).count();
        let pools = snapshot.pools.iter().map(|pool| PoolView {
            pool_name: &pool.pool_name,
            path: &pool.path,
            storage_size: pool.capacity_bytes,
            available_storage_size: pool.available_bytes,
        });
        Self {
            version: env!("CARGO_PKG_VERSION"),
            time_milliseconds: Timestamp::now().0 / 1_000_000,
            start_time: snapshot.daemon_start_time.seconds(),
            connection,
            connection_message,
            pools: pools.collect(),
            vm_error_count: count(VmStatus::Error),
            vm_crashed_count: count(VmStatus::Crashed),
            open_job_count: snapshot.open_jobs.len(),
        }
    }
}

pub(in super::super) async fn inspect(call: Call, _: Nothing) -> Result<Data> {
    Data::of(&InspectedHealth { health: HealthView::of(&call.snapshot()) })
}

#[derive(Debug, Serialize)]
struct InspectedHealth<'a> {
    health: HealthView<'a>,
}
