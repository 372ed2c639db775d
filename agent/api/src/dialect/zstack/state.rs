//! The one table of state words.

use hvnode_core::model::{ImageStatus, PowerState, VerbKind, Vm, VmStatus, VolumeStatus};

/// State of a VM.
pub(super) fn vm_state(vm: &Vm) -> &'static str {
    match vm.status {
        VmStatus::Creating => "Created",
        VmStatus::Stopped | VmStatus::Suspended => "Stopped",
        VmStatus::Starting => "Starting",
        VmStatus::Running => "Running",
        VmStatus::Stopping => "Stopping",
        VmStatus::Rebooting => "Rebooting",
        VmStatus::Pausing => "Pausing",
        VmStatus::Paused => "Paused",
        VmStatus::Resuming => "Resuming",
        VmStatus::Resizing if is_on(vm) => "Running",
        VmStatus::Resizing => "Stopped",
        VmStatus::Deleting if vm.job.as_ref().is_some_and(|job| job.verb == VerbKind::ExpungeVm) => "Expunging",
        VmStatus::Deleting => "Destroying",
        VmStatus::Deleted => "Destroyed",
        VmStatus::Crashed => "Crashed",
        VmStatus::Error => "Error",
        VmStatus::Unknown => "Unknown",
    }
}

/// Does it hold processors of a host now?
pub(super) fn is_on(vm: &Vm) -> bool {
    let power = vm.observed.as_ref().map(|observed| observed.power);
    matches!(power, Some(PowerState::Running | PowerState::Paused | PowerState::ShuttingDown))
}

/// Status of an image.
pub(super) fn image_status(status: ImageStatus) -> &'static str {
    match status {
        ImageStatus::Creating => "Creating",
        ImageStatus::Downloading => "Downloading",
        ImageStatus::Ready => "Ready",
        ImageStatus::Error => "Error",
        ImageStatus::Deleting => "Deleted",
    }
}

/// State and status of a disk.
pub(super) fn volume_state(status: VolumeStatus) -> (&'static str, &'static str) {
    match status {
        VolumeStatus::Creating => ("Enabled", "Creating"),
        VolumeStatus::Available | VolumeStatus::InUse => ("Enabled", "Ready"),
        VolumeStatus::Deleting => ("Enabled", "Deleted"),
        VolumeStatus::Error => ("Disabled", "NotInstantiated"),
    }
}
