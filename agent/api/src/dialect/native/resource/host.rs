//! The host: this node and no other.

use super::super::call::Call;
use super::super::check;
use super::super::envelope::Data;
use super::super::listing::{ListOptions, Row};
use super::Nothing;
use super::repository::pool;
use super::vm::{row, statuses};
use super::vm_view::VmView;
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{ConnectionState, Readings, Timestamp, VmStatus};
use hvnode_core::port::VOLUMES_POOL;
use hvnode_core::verb::promised_cpu_cores;
use hvnode_core::{Result, fail};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

const STATUSES: [&str; 4] = ["up", "degraded", "down", "maintenance"];

/// The host. What is not known is null; it becomes known once the hypervisor was reached.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Host)]
pub(in super::super) struct HostView<'a> {
    host_uuid: Uuid,
    host_name: &'a str,
    description: &'a str,
    /// up; degraded: the hypervisor was not reached yet; down: it does not answer; maintenance.
    status: &'static str,
    ip_address: &'a str,
    hypervisor_type: Option<&'a str>,
    hypervisor_version: Option<&'a str>,
    libvirt_version: Option<&'a str>,
    /// kvm, or qemu where guests are emulated.
    virtualization_type: Option<&'static str>,
    /// Why guests are emulated, where they are.
    emulation_reason: Option<&'a str>,
    architecture: Option<&'a str>,
    cpu_model: Option<&'a str>,
    cpu_sockets: Option<u32>,
    cpu_cores: Option<u32>,
    cpu_threads: Option<u32>,
    /// Virtual processors of VMs that are not off.
    used_cpu_cores: u64,
    /// Virtual processors promised per hardware thread, at most.
    cpu_ratio: f64,
    /// Bytes.
    memory_size: u64,
    /// Bytes in use on the host; null until measured.
    used_memory_size: Option<u64>,
    /// Bytes a new program could get; null until measured.
    available_memory_size: Option<u64>,
    /// Bytes kept for the host itself.
    reserved_memory_size: u64,
    /// Bytes of guest memory promised per byte of host memory, at most.
    memory_ratio: f64,
    /// Bytes of the pool that disks are made in.
    storage_size: Option<u64>,
    /// Bytes free in it.
    available_storage_size: Option<u64>,
    vm_count: usize,
    vm_running_count: usize,
    kernel_version: &'a str,
    /// Unix seconds.
    boot_time: i64,
    create_time: Option<i64>,
    update_time: Option<i64>,
}

impl<'a> HostView<'a> {
    pub(super) fn of(snapshot: &'a Snapshot, readings: &Readings) -> Self {
        let (facts, settings) = (&snapshot.facts, &snapshot.settings);
        let capabilities = snapshot.capabilities.as_deref();
        let usage = readings.host_point();
        let disks = pool(snapshot, VOLUMES_POOL);
        Self {
            host_uuid: snapshot.host_uuid(),
            host_name: &facts.host_name,
            description: &settings.description,
            status: status_word(snapshot),
            ip_address: &facts.ip_address,
            hypervisor_type: capabilities.map(|c| c.hypervisor_type.as_str()),
            hypervisor_version: capabilities.map(|c| c.hypervisor_version.as_str()),
            libvirt_version: capabilities.map(|c| c.libvirt_version.as_str()),
            virtualization_type: capabilities.map(|c| if c.virt_type == hvnode_core::model::VirtType::Kvm { "kvm" } else { "qemu" }),
            emulation_reason: capabilities.and_then(|c| c.emulation_reason.as_deref()),
            architecture: capabilities.map(|c| c.architecture.as_str()),
            cpu_model: capabilities.map(|c| c.cpu_model.as_str()),
            cpu_sockets: capabilities.map(|c| c.cpu_sockets),
            cpu_cores: capabilities.map(|c| c.cpu_cores),
            cpu_threads: capabilities.map(|c| c.cpu_threads),
            used_cpu_cores: promised_cpu_cores(snapshot),
            cpu_ratio: settings.cpu_ratio,
            memory_size: facts.memory_bytes,
            used_memory_size: usage.and_then(|point| point.memory_used_bytes),
            available_memory_size: usage.and_then(|point| point.memory_available_bytes),
            reserved_memory_size: settings.reserved_memory_bytes,
            memory_ratio: settings.memory_ratio,
            storage_size: disks.map(|pool| pool.capacity_bytes),
            available_storage_size: disks.map(|pool| pool.available_bytes),
            vm_count: snapshot.vms.len(),
            vm_running_count: snapshot.vms.values().filter(|vm| vm.status == VmStatus::Running).count(),
            kernel_version: &facts.kernel_version,
            boot_time: facts.boot_time.seconds(),
            create_time: None,
            update_time: None,
        }
    }
}

fn status_word(snapshot: &Snapshot) -> &'static str {
    match snapshot.connection {
        ConnectionState::Up => "up",
        ConnectionState::Connecting => "degraded",
        ConnectionState::Down(_) => "down",
    }
}

/// The host asked for: this one where none is named, `None` where it is another.
///
/// # Errors
/// `ParameterInvalid`.
pub(super) fn check_host(snapshot: &Snapshot, host_uuid: Option<&str>) -> Result<Option<Uuid>> {
    let this = snapshot.host_uuid();
    Ok(check::optional_uuid("host_uuid", host_uuid)?.map_or(Some(this), |uuid| (uuid == this).then_some(this)))
}

/// [`check_host`] where another host is an error.
///
/// # Errors
/// `ParameterInvalid`, `HostNotExist`.
pub(super) fn this_host(snapshot: &Snapshot, host_uuid: Option<&str>) -> Result<Uuid> {
    check_host(snapshot, host_uuid)?.ok_or_else(|| fail!(HostNotExist))
}

/// Which host; this one if absent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct HostTarget {
    #[schema(format = Uuid)]
    host_uuid: Option<String>,
}

pub(in super::super) async fn list(call: Call, options: ListOptions, _: Nothing) -> Result<Data> {
    let plan = options.plan(Some(&STATUSES))?;
    let snapshot = call.snapshot();
    let name = snapshot.facts.host_name.as_str();
    let is_wanted = plan.admits(name, status_word(&snapshot));
    let row = Row { create_time: Timestamp::default(), name, uuid: snapshot.host_uuid(), item: () };
    let rows = is_wanted.then_some(row).into_iter().collect();
    Data::of(&plan.page(rows, |()| HostView::of(&snapshot, &call.readings())))
}

pub(in super::super) async fn inspect(call: Call, target: HostTarget) -> Result<Data> {
    let snapshot = call.snapshot();
    this_host(&snapshot, target.host_uuid.as_deref())?;
    Data::of(&InspectedHost { host: HostView::of(&snapshot, &call.readings()) })
}

#[derive(Debug, Serialize)]
struct InspectedHost<'a> {
    host: HostView<'a>,
}

/// VMs of one host.
pub(in super::super) async fn list_vms(call: Call, options: ListOptions, target: HostTarget) -> Result<Data> {
    let snapshot = call.snapshot();
    let plan = options.plan(Some(&statuses()))?;
    this_host(&snapshot, target.host_uuid.as_deref())?;
    let rows = snapshot.vms.values().filter(|vm| plan.admits(vm.name(), vm.status.word())).map(|vm| row(vm)).collect();
    Data::of(&plan.page(rows, |vm| VmView::of(&snapshot, vm)))
}
