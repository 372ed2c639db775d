//! Counts.

use super::host::{capacity, pool_space, running_count, shown_vms};
use crate::dialect::chimestack::call::{Call, Outcome};
use crate::dialect::chimestack::input::Input;
use hvnode_core::model::{ConnectionState, ImageStatus, VmStatus, VolumeStatus};
use hvnode_core::verb::{promised_cpu_cores, promised_memory_bytes};
use serde_json::json;

pub(in super::super) async fn vms(call: Call, _: Input) -> Outcome {
    use VmStatus as S;
    let count = |wanted: &[VmStatus]| shown_vms(&call.snapshot).filter(|vm| wanted.contains(&vm.status)).count();
    Ok(json!({
        "total": shown_vms(&call.snapshot).count(),
        "running": count(&[S::Running, S::Stopping, S::Rebooting, S::Pausing]),
        "stopped": count(&[S::Stopped, S::Starting, S::Suspended, S::Resizing, S::Deleting]),
        "paused": count(&[S::Paused, S::Resuming]),
        "creating": count(&[S::Creating]),
        "error": count(&[S::Error, S::Crashed]),
        "unknown": count(&[S::Unknown]),
    }))
}

pub(in super::super) async fn volumes(call: Call, _: Input) -> Outcome {
    let count = |wanted: VolumeStatus| call.snapshot.volumes.values().filter(|volume| volume.status == wanted).count();
    Ok(json!({
        "total": call.snapshot.volumes.len(),
        "available": count(VolumeStatus::Available) + count(VolumeStatus::Deleting),
        "attached": count(VolumeStatus::InUse),
        "creating": count(VolumeStatus::Creating),
        "error": count(VolumeStatus::Error),
    }))
}

/// Every NIC belongs to a VM here.
pub(in super::super) async fn nics(call: Call, _: Input) -> Outcome {
    let count = |is_creating: bool| {
        let vms = shown_vms(&call.snapshot).filter(|vm| (vm.status == VmStatus::Creating) == is_creating);
        vms.map(super::network::nic_count).sum::<usize>()
    };
    let (creating, attached) = (count(true), count(false));
    Ok(json!({ "total": creating + attached, "available": 0, "attached": attached, "creating": creating, "error": 0 }))
}

pub(in super::super) async fn images(call: Call, _: Input) -> Outcome {
    let count = |wanted: ImageStatus| call.snapshot.images.values().filter(|image| image.status == wanted).count();
    Ok(json!({
        "total": call.snapshot.images.len(),
        "available": count(ImageStatus::Ready) + count(ImageStatus::Deleting),
        "creating": count(ImageStatus::Creating) + count(ImageStatus::Downloading),
        "error": count(ImageStatus::Error),
    }))
}

pub(in super::super) async fn hosts(call: Call, _: Input) -> Outcome {
    let (total_vcpus, total_memory) = capacity(&call.snapshot);
    Ok(json!({
        "total": 1,
        "healthy": u64::from(call.snapshot.connection == ConnectionState::Up),
        "total_vcpus": total_vcpus,
        "used_vcpus": promised_cpu_cores(&call.snapshot),
        "total_memory": total_memory,
        "used_memory": promised_memory_bytes(&call.snapshot),
        "vm_count": shown_vms(&call.snapshot).count(),
        "vm_running_count": running_count(&call.snapshot),
    }))
}

pub(in super::super) async fn pools(call: Call, _: Input) -> Outcome {
    let space = pool_space(&call.snapshot);
    Ok(json!({
        "total": usize::from(space.is_some()),
        "total_size": space.map_or(0, |space| space.capacity_bytes),
        "used_size": space.map_or(0, |space| space.capacity_bytes.saturating_sub(space.available_bytes)),
    }))
}
