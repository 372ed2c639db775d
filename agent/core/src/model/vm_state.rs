//! The one state table of VMs.
//!
//! ```text
//!                    create                start
//!   (nothing) ──▶ creating ──▶ stopped ◀──────────▶ starting ──▶ running ◀─▶ paused
//!                                 ▲  ▲    stop / guest poweroff      │ │  pausing, resuming
//!                      resizing ◀─┘  └────────── stopping ◀──────────┘ └─▶ rebooting, resizing with a restart
//!   crashed: QEMU died           error: record and libvirt contradict each other
//!   stopped after a start of the host: ended by it (`host_restart`) or off before, as asked (`requested`)
//!   unknown: libvirt not reached yet            deleting ──▶ (nothing)
//! ```
//! A transitional state is never stored: it is the running job seen through [`status_of`].

use super::{DesiredPower, VerbKind, VmPhase};
use serde::{Deserialize, Serialize};

/// What the hypervisor says a domain does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerState {
    /// Its processors run.
    Running,
    /// Its processors are held.
    Paused,
    /// A guest shutdown is in progress.
    ShuttingDown,
    /// Not running.
    Off,
    /// Not running because QEMU died.
    Crashed,
    /// Not running, its memory saved to disk.
    Saved,
}

/// Why a VM is in its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateReason {
    /// Not known.
    Unknown,
    /// A change through this node.
    Requested,
    /// Started outside this node, or before it.
    Booted,
    /// The guest powered itself off.
    GuestShutdown,
    /// The guest's kernel panicked.
    GuestPanic,
    /// Switched off without asking the guest, by somebody else or before this run of the daemon.
    Destroyed,
    /// Paused, by somebody else or before this run of the daemon.
    Paused,
    /// The QEMU process died.
    QemuDied,
    /// QEMU could not be started.
    StartFailed,
    /// A disk write failed and QEMU stopped the processors.
    IoError,
    /// The watchdog device fired.
    Watchdog,
    /// Moved away or being moved.
    Migration,
    /// Saved to disk.
    Saved,
    /// The daemon of the hypervisor lost it.
    HypervisorRestart,
    /// It was on when the host went down, and was not started with the host.
    HostRestart,
    /// Our record has no domain in libvirt.
    DomainMissing,
    /// Domain and record contradict each other.
    Contradiction,
}

impl PowerState {
    /// Whether a VM that is found so, and of which nothing else is known, should run.
    pub fn as_desired(self) -> DesiredPower {
        match self {
            Self::Running | Self::Paused | Self::Crashed => DesiredPower::On,
            Self::ShuttingDown | Self::Off | Self::Saved => DesiredPower::Off,
        }
    }
}

impl StateReason {
    /// The word in APIs and events.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Requested => "requested",
            Self::Booted => "booted",
            Self::GuestShutdown => "guest_shutdown",
            Self::GuestPanic => "guest_panic",
            Self::Destroyed => "destroyed",
            Self::Paused => "paused",
            Self::QemuDied => "qemu_died",
            Self::StartFailed => "start_failed",
            Self::IoError => "io_error",
            Self::Watchdog => "watchdog",
            Self::Migration => "migration",
            Self::Saved => "saved",
            Self::HypervisorRestart => "hypervisor_restart",
            Self::HostRestart => "host_restart",
            Self::DomainMissing => "domain_missing",
            Self::Contradiction => "contradiction",
        }
    }

    /// Something went wrong in the VM itself: that is never hidden behind what was asked for.
    pub fn is_fault(self) -> bool {
        matches!(self, Self::IoError | Self::Watchdog | Self::GuestPanic | Self::QemuDied)
    }
}

/// The state every dialect translates from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmStatus {
    /// Being made.
    Creating,
    /// Off.
    Stopped,
    /// Being started.
    Starting,
    /// On.
    Running,
    /// Being stopped.
    Stopping,
    /// Being rebooted or reset.
    Rebooting,
    /// Being paused.
    Pausing,
    /// Processors held.
    Paused,
    /// Being resumed.
    Resuming,
    /// Saved to disk.
    Suspended,
    /// Being resized.
    Resizing,
    /// Being deleted.
    Deleting,
    /// Deleted, in the trash.
    Deleted,
    /// QEMU died.
    Crashed,
    /// Needs a person.
    Error,
    /// libvirt has not been reached yet.
    Unknown,
}

impl VmStatus {
    /// Every state.
    pub const ALL: [Self; 16] = [
        Self::Creating,
        Self::Stopped,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Rebooting,
        Self::Pausing,
        Self::Paused,
        Self::Resuming,
        Self::Suspended,
        Self::Resizing,
        Self::Deleting,
        Self::Deleted,
        Self::Crashed,
        Self::Error,
        Self::Unknown,
    ];

    /// Its QEMU is there and is to stay.
    pub fn is_on(self) -> bool {
        matches!(self, Self::Running | Self::Rebooting | Self::Pausing | Self::Paused | Self::Resuming)
    }

    /// The word in the native API, in events and in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Rebooting => "rebooting",
            Self::Pausing => "pausing",
            Self::Paused => "paused",
            Self::Resuming => "resuming",
            Self::Suspended => "suspended",
            Self::Resizing => "resizing",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
            Self::Crashed => "crashed",
            Self::Error => "error",
            Self::Unknown => "unknown",
        }
    }

    /// The Chinese word, for messages.
    pub fn word_cn(self) -> &'static str {
        match self {
            Self::Creating => "创建中",
            Self::Stopped => "已停止",
            Self::Starting => "启动中",
            Self::Running => "运行中",
            Self::Stopping => "停止中",
            Self::Rebooting => "重启中",
            Self::Pausing => "暂停中",
            Self::Paused => "已暂停",
            Self::Resuming => "恢复中",
            Self::Suspended => "已挂起",
            Self::Resizing => "调整规格中",
            Self::Deleting => "删除中",
            Self::Deleted => "已删除",
            Self::Crashed => "已崩溃",
            Self::Error => "错误",
            Self::Unknown => "未知",
        }
    }
}

/// The state of a VM from what is known: the running job first, then the hypervisor, then the record's own phase.
pub fn status_of(job: Option<VerbKind>, power: Option<PowerState>, phase: Option<VmPhase>, is_contradictory: bool) -> VmStatus {
    let settled = match power {
        Some(PowerState::Running) => VmStatus::Running,
        Some(PowerState::Paused) => VmStatus::Paused,
        Some(PowerState::ShuttingDown) => VmStatus::Stopping,
        Some(PowerState::Off | PowerState::Crashed | PowerState::Saved) if phase == Some(VmPhase::Trashed) => VmStatus::Deleted,
        Some(PowerState::Off) => VmStatus::Stopped,
        Some(PowerState::Crashed) => VmStatus::Crashed,
        Some(PowerState::Saved) => VmStatus::Suspended,
        None => match phase {
            Some(VmPhase::Creating) => VmStatus::Creating,
            Some(VmPhase::Deleting) => VmStatus::Deleting,
            _ => VmStatus::Unknown,
        },
    };
    match job {
        Some(VerbKind::CreateVm) => VmStatus::Creating,
        Some(VerbKind::StartVm) => VmStatus::Starting,
        Some(VerbKind::StopVm) => VmStatus::Stopping,
        Some(VerbKind::RebootVm | VerbKind::ResetVm) => VmStatus::Rebooting,
        Some(VerbKind::PauseVm) => VmStatus::Pausing,
        Some(VerbKind::ResumeVm) => VmStatus::Resuming,
        Some(VerbKind::ResizeVm | VerbKind::RevertResize) => VmStatus::Resizing,
        Some(VerbKind::DeleteVm | VerbKind::ExpungeVm) => VmStatus::Deleting,
        _ if is_contradictory => VmStatus::Error,
        _ => settled,
    }
}

/// What the table says about a verb in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Do it.
    Allowed,
    /// It is so already: succeed without doing anything.
    AlreadySo,
    /// Not in this state.
    Refused,
}

/// Which verbs are legal in which settled state. Transitional states never reach this table: the queue rules answer "busy" first.
pub fn verdict(verb: VerbKind, status: VmStatus) -> Verdict {
    use Verdict::{Allowed, AlreadySo, Refused};
    use VmStatus as S;
    match (verb, status) {
        (VerbKind::StartVm, S::Stopped | S::Crashed | S::Suspended) => Allowed,
        // Stopping and rebooting: a forced stop cuts a graceful one short.
        (VerbKind::StopVm, S::Running | S::Paused | S::Stopping | S::Rebooting | S::Suspended) => Allowed,
        (VerbKind::RebootVm | VerbKind::ResetVm, S::Running) => Allowed,
        (VerbKind::PauseVm, S::Running) => Allowed,
        (VerbKind::ResumeVm, S::Paused) => Allowed,
        (VerbKind::ResumeVm, S::Running) | (VerbKind::PauseVm, S::Paused) => AlreadySo,
        // Running: only with a restart. Whether there is a resize to confirm or revert stands in the record, not in the state.
        (VerbKind::ResizeVm | VerbKind::RevertResize, S::Stopped | S::Crashed | S::Running) => Allowed,
        (VerbKind::UpdateVm | VerbKind::ConfirmResize, S::Stopped | S::Running | S::Paused | S::Crashed | S::Suspended | S::Stopping) => {
            Allowed
        }
        (VerbKind::RecoverVm | VerbKind::ExpungeVm, S::Deleted) => Allowed,
        // Somebody may have started a VM that is in the trash; the verb itself looks whether it is there.
        (VerbKind::ExpungeVm, S::Running | S::Paused | S::Stopping | S::Error) => Allowed,
        (VerbKind::ReleaseVm, S::Stopped | S::Running | S::Paused | S::Stopping | S::Crashed | S::Suspended | S::Error) => Allowed,
        // A VM that lost its domain can still be deleted: that is how an operator gets out of `error`.
        (VerbKind::DeleteVm, S::Creating | S::Deleted | S::Unknown) => Refused,
        (VerbKind::DeleteVm, _) => Allowed,
        _ => Refused,
    }
}

/// The settled states in which a verb does something, for messages.
pub fn legal_states(verb: VerbKind) -> impl Iterator<Item = VmStatus> {
    let is_settled = |status: &VmStatus| {
        matches!(
            status,
            VmStatus::Stopped
                | VmStatus::Deleted
                | VmStatus::Running
                | VmStatus::Paused
                | VmStatus::Suspended
                | VmStatus::Crashed
                | VmStatus::Error
        )
    };
    VmStatus::ALL.into_iter().filter(is_settled).filter(move |status| verdict(verb, *status) == Verdict::Allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_job_decides_the_state_before_the_hypervisor_does() {
        assert_eq!(status_of(Some(VerbKind::StopVm), Some(PowerState::Running), None, false), VmStatus::Stopping);
        assert_eq!(status_of(None, Some(PowerState::Running), None, false), VmStatus::Running);
        assert_eq!(status_of(Some(VerbKind::UpdateVm), Some(PowerState::Off), None, false), VmStatus::Stopped);
    }

    #[test]
    fn a_vm_nobody_has_seen_is_unknown_and_not_stopped() {
        assert_eq!(status_of(None, None, Some(VmPhase::Ready), false), VmStatus::Unknown);
    }

    #[test]
    fn nothing_is_legal_on_a_vm_in_an_unknown_state() {
        for verb in VerbKind::ALL {
            assert_eq!(verdict(verb, VmStatus::Unknown), Verdict::Refused, "{verb:?}");
        }
    }

    #[test]
    fn a_vm_in_error_can_only_be_deleted_or_released() {
        for verb in VerbKind::ALL {
            let leaves = matches!(verb, VerbKind::DeleteVm | VerbKind::ExpungeVm | VerbKind::ReleaseVm);
            let expected = if leaves { Verdict::Allowed } else { Verdict::Refused };
            assert_eq!(verdict(verb, VmStatus::Error), expected, "{verb:?}");
        }
    }

    #[test]
    fn every_verb_on_vms_can_name_a_state_it_is_legal_in() {
        // These two begin with a VM that is not ours, so the table of our states does not know them.
        let is_outside = |verb: VerbKind| matches!(verb, VerbKind::CreateVm | VerbKind::AdoptVm);
        for verb in VerbKind::ALL {
            if verb.resource_type() == crate::model::ResourceType::Vm && !is_outside(verb) {
                assert!(legal_states(verb).count() > 0, "{verb:?}");
            }
        }
    }

    #[test]
    fn words_are_unique() {
        let mut words: Vec<_> = VmStatus::ALL.iter().map(|s| s.word()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), VmStatus::ALL.len());
    }
}
