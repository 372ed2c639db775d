//! Is there room on this node? One answer for real requests and for dry runs.

use super::PlanView;
use crate::model::{Promised, QEMU_OVERHEAD_BYTES, Snapshot};
use crate::port::VOLUMES_POOL;
use crate::{Result, fail};
use uuid::Uuid;

/// Memory promised to guests that run or are about to, bytes, QEMU's own included.
pub fn promised_memory_bytes(snapshot: &Snapshot) -> u64 {
    snapshot.vms.promised().memory_bytes()
}

/// Virtual processors promised to guests that run or are about to.
pub fn promised_cpu_cores(snapshot: &Snapshot) -> u64 {
    snapshot.vms.promised().cpu_cores()
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
    let own = snapshot.vms.get(&vm_uuid).map_or_else(Promised::default, |vm| Promised::by(vm));
    let others = snapshot.vms.promised().minus(own);
    let free_bytes = allowed_bytes.saturating_sub(others.memory_bytes());
    let asked_bytes = memory_bytes.saturating_add(QEMU_OVERHEAD_BYTES);
    if asked_bytes > free_bytes {
        return Err(fail!(HostInsufficient,
            "memory: {asked_bytes} bytes are needed with {QEMU_OVERHEAD_BYTES} of overhead, {free_bytes} are free";
            "内存: 需要 {asked_bytes} 字节 (含 {QEMU_OVERHEAD_BYTES} 开销)，可用 {free_bytes} 字节"));
    }
    let Some(capabilities) = &snapshot.capabilities else { return Ok(()) };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
    let allowed = ((f64::from(capabilities.cpu_threads) * settings.cpu_ratio) as u64).max(1);
    let free = allowed.saturating_sub(others.cpu_cores());
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
