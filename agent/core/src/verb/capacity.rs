//! Is there room on this node? One answer for real requests and for dry runs.

use super::PlanView;
use crate::model::{DesiredPower, PowerState, Snapshot, VerbKind, Vm};
use crate::port::VOLUMES_POOL;
use crate::{Result, fail};
use uuid::Uuid;

/// Memory a QEMU process takes beside its guest's.
pub const QEMU_OVERHEAD_BYTES: u64 = 64 << 20;

/// Guests that run, or are about to, without `except`.
fn guests(snapshot: &Snapshot, except: Option<Uuid>) -> impl Iterator<Item = &Vm> {
    let takes_room = |vm: &&Vm| {
        let is_on = vm.observed.as_ref().is_some_and(|o| !matches!(o.power, PowerState::Off | PowerState::Crashed | PowerState::Saved));
        is_on || vm.job.as_ref().is_some_and(|job| is_about_to_run(vm, job.verb))
    };
    snapshot.vms.iter().filter(move |(uuid, _)| Some(**uuid) != except).map(|(_, vm)| vm.as_ref()).filter(takes_room)
}

fn is_about_to_run(vm: &Vm, verb: VerbKind) -> bool {
    match verb {
        VerbKind::CreateVm | VerbKind::StartVm => true,
        // Off for a moment, and running again where it should run.
        VerbKind::ResizeVm | VerbKind::RevertResize => vm.record.as_ref().is_some_and(|r| r.desired_power == DesiredPower::On),
        _ => false,
    }
}

/// What a guest takes: as it is, or while it changes, the more of what it has and of what it was promised.
fn taken<T: Ord + Default>(vm: &Vm, observed: Option<T>, promised: Option<T>) -> T {
    let taken = if vm.job.is_some() { observed.max(promised) } else { observed.or(promised) };
    taken.unwrap_or_default()
}

/// What guests take together.
#[derive(Debug, Default)]
struct Taken {
    /// Bytes, QEMU's own included.
    memory_bytes: u64,
    /// Virtual processors.
    cpu_cores: u64,
}

impl Taken {
    /// By all guests but `except`. One pass: each start looks at every VM of the node.
    fn by(snapshot: &Snapshot, except: Option<Uuid>) -> Self {
        guests(snapshot, except).fold(Self::default(), |sum, vm| {
            let (observed, record) = (vm.observed.as_ref(), vm.record.as_ref());
            let memory_bytes = taken(vm, observed.map(|o| o.memory_bytes), record.map(|r| r.memory_bytes));
            let cpu_cores = taken(vm, observed.map(|o| o.cpu_cores), record.map(|r| r.cpu_cores));
            Self {
                memory_bytes: sum.memory_bytes.saturating_add(memory_bytes).saturating_add(QEMU_OVERHEAD_BYTES),
                cpu_cores: sum.cpu_cores + u64::from(cpu_cores),
            }
        })
    }
}

/// Memory promised to guests that run or are about to, bytes, QEMU's own included.
pub fn promised_memory_bytes(snapshot: &Snapshot) -> u64 {
    Taken::by(snapshot, None).memory_bytes
}

/// Virtual processors promised to guests that run or are about to.
pub fn promised_cpu_cores(snapshot: &Snapshot) -> u64 {
    Taken::by(snapshot, None).cpu_cores
}

/// Refuses a VM that does not fit beside those that run: memory and processors, each with its ratio, memory also with its reservation.
///
/// # Errors
/// `HostInsufficient` with what is asked and what is free.
pub fn check_capacity(view: &PlanView<'_>, vm_uuid: Uuid, cpu_cores: u32, memory_bytes: u64) -> Result<()> {
    let snapshot = view.snapshot;
    let settings = &snapshot.settings;
    let host_bytes = snapshot.facts.memory_bytes.saturating_sub(settings.reserved_memory_bytes);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // a ratio of bytes; `as` saturates
    let allowed_bytes = (host_bytes as f64 * settings.memory_ratio) as u64;
    let others = Taken::by(snapshot, Some(vm_uuid));
    let free_bytes = allowed_bytes.saturating_sub(others.memory_bytes);
    let asked_bytes = memory_bytes.saturating_add(QEMU_OVERHEAD_BYTES);
    if asked_bytes > free_bytes {
        return Err(fail!(HostInsufficient,
            "memory: {asked_bytes} bytes are needed with {QEMU_OVERHEAD_BYTES} of overhead, {free_bytes} are free";
            "内存: 需要 {asked_bytes} 字节 (含 {QEMU_OVERHEAD_BYTES} 开销)，可用 {free_bytes} 字节"));
    }
    let Some(capabilities) = &snapshot.capabilities else { return Ok(()) };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
    let allowed = ((f64::from(capabilities.cpu_threads) * settings.cpu_ratio) as u64).max(1);
    let free = allowed.saturating_sub(others.cpu_cores);
    if u64::from(cpu_cores) > free {
        return Err(fail!(HostInsufficient,
            "cpu_cores: {cpu_cores} are asked for, {free} of {allowed} are free";
            "CPU: 请求 {cpu_cores} 核，{allowed} 核中可用 {free} 核"));
    }
    Ok(())
}

/// Refuses disks that do not fit: what is promised in all stays within the pool's size times its ratio, and there is some space now.
///
/// # Errors
/// `HostInsufficient` with what is asked and what is free.
pub fn check_storage(view: &PlanView<'_>, asked_bytes: u64) -> Result<()> {
    let pool = view.snapshot.pools.iter().find(|pool| pool.pool_name == VOLUMES_POOL);
    let Some(pool) = pool.filter(|_| asked_bytes > 0) else { return Ok(()) };
    let promised_bytes = view.snapshot.volumes.values().map(|v| v.storage_bytes).fold(0, u64::saturating_add);
    let allowed_bytes = u128::from(pool.capacity_bytes) * u128::from(view.settings.storage_percent_max) / 100;
    let free_bytes = u64::try_from(allowed_bytes).unwrap_or(u64::MAX).saturating_sub(promised_bytes);
    if asked_bytes > free_bytes {
        return Err(fail!(HostInsufficient,
            "disk: {asked_bytes} bytes are asked for, {free_bytes} may still be promised"; "磁盘: 请求 {asked_bytes} 字节，还可分配 {free_bytes} 字节"));
    }
    let (least, available_bytes) = (view.settings.storage_bytes_min, pool.available_bytes);
    if available_bytes < least {
        return Err(fail!(HostInsufficient,
            "disk: {available_bytes} bytes are free in the pool, at least {least} must be"; "磁盘: 存储池剩余 {available_bytes} 字节，至少需要 {least} 字节"));
    }
    Ok(())
}
