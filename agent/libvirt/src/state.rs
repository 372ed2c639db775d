//! The one table from libvirt's state and reason to ours.

use hvnode_core::model::{PowerState, StateReason};
use virt_sys as sys;

/// A domain's state and reason as libvirt numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawState {
    /// `VIR_DOMAIN_RUNNING`, …
    pub(crate) state: u32,
    /// Its meaning depends on `state`.
    pub(crate) reason: u32,
}

impl RawState {
    /// True while a QEMU process exists.
    pub(crate) fn is_active(self) -> bool {
        !matches!(self.state, sys::VIR_DOMAIN_SHUTOFF | sys::VIR_DOMAIN_CRASHED)
    }

    /// True while its QEMU exists and was not let go yet. A libvirtd that is started anew ends such a domain.
    pub(crate) fn is_starting(self) -> bool {
        self.state == sys::VIR_DOMAIN_PAUSED && self.reason == sys::VIR_DOMAIN_PAUSED_STARTING_UP
    }

    /// What the domain does and why. `has_saved_memory` is libvirt's managed save image.
    ///
    /// A number that this libvirt knows and we do not keeps its state and gets the reason `Unknown`. A state we do not know counts as
    /// running: whoever believes a VM to be off may delete its disks.
    pub(crate) fn power(self, has_saved_memory: bool) -> (PowerState, StateReason) {
        if has_saved_memory && !self.is_active() {
            return (PowerState::Saved, StateReason::Saved);
        }
        match self.state {
            sys::VIR_DOMAIN_RUNNING | sys::VIR_DOMAIN_BLOCKED => (PowerState::Running, self.running_reason()),
            sys::VIR_DOMAIN_PAUSED => (PowerState::Paused, self.paused_reason()),
            // The guest put itself to sleep; it holds its memory and its processors stand still.
            sys::VIR_DOMAIN_PMSUSPENDED => (PowerState::Paused, StateReason::Unknown),
            sys::VIR_DOMAIN_SHUTDOWN => (PowerState::ShuttingDown, StateReason::GuestShutdown),
            sys::VIR_DOMAIN_SHUTOFF => self.off(),
            sys::VIR_DOMAIN_CRASHED if self.reason == sys::VIR_DOMAIN_CRASHED_PANICKED => (PowerState::Crashed, StateReason::GuestPanic),
            sys::VIR_DOMAIN_CRASHED => (PowerState::Crashed, StateReason::QemuDied),
            _ => (PowerState::Running, StateReason::Unknown),
        }
    }

    fn running_reason(self) -> StateReason {
        if self.state == sys::VIR_DOMAIN_BLOCKED {
            return StateReason::Unknown;
        }
        match self.reason {
            sys::VIR_DOMAIN_RUNNING_BOOTED
            | sys::VIR_DOMAIN_RUNNING_RESTORED
            | sys::VIR_DOMAIN_RUNNING_FROM_SNAPSHOT
            | sys::VIR_DOMAIN_RUNNING_UNPAUSED
            | sys::VIR_DOMAIN_RUNNING_SAVE_CANCELED
            | sys::VIR_DOMAIN_RUNNING_WAKEUP => StateReason::Booted,
            sys::VIR_DOMAIN_RUNNING_MIGRATED
            | sys::VIR_DOMAIN_RUNNING_MIGRATION_CANCELED
            | sys::VIR_DOMAIN_RUNNING_POSTCOPY
            | sys::VIR_DOMAIN_RUNNING_POSTCOPY_FAILED => StateReason::Migration,
            sys::VIR_DOMAIN_RUNNING_CRASHED => StateReason::GuestPanic,
            _ => StateReason::Unknown,
        }
    }

    fn paused_reason(self) -> StateReason {
        match self.reason {
            sys::VIR_DOMAIN_PAUSED_USER
            | sys::VIR_DOMAIN_PAUSED_DUMP
            | sys::VIR_DOMAIN_PAUSED_FROM_SNAPSHOT
            | sys::VIR_DOMAIN_PAUSED_SNAPSHOT => StateReason::Paused,
            // QEMU exists and its processors have not been let go yet.
            sys::VIR_DOMAIN_PAUSED_STARTING_UP => StateReason::Booted,
            sys::VIR_DOMAIN_PAUSED_MIGRATION | sys::VIR_DOMAIN_PAUSED_POSTCOPY | sys::VIR_DOMAIN_PAUSED_POSTCOPY_FAILED => {
                StateReason::Migration
            }
            sys::VIR_DOMAIN_PAUSED_SAVE => StateReason::Saved,
            sys::VIR_DOMAIN_PAUSED_IOERROR => StateReason::IoError,
            sys::VIR_DOMAIN_PAUSED_WATCHDOG => StateReason::Watchdog,
            sys::VIR_DOMAIN_PAUSED_SHUTTING_DOWN => StateReason::GuestShutdown,
            sys::VIR_DOMAIN_PAUSED_CRASHED => StateReason::GuestPanic,
            _ => StateReason::Unknown,
        }
    }

    fn off(self) -> (PowerState, StateReason) {
        match self.reason {
            sys::VIR_DOMAIN_SHUTOFF_SHUTDOWN => (PowerState::Off, StateReason::GuestShutdown),
            sys::VIR_DOMAIN_SHUTOFF_DESTROYED => (PowerState::Off, StateReason::Destroyed),
            // QEMU's monitor closed without a word, or the guest panicked under on_crash=destroy: the panic comes as an event before.
            sys::VIR_DOMAIN_SHUTOFF_CRASHED => (PowerState::Crashed, StateReason::QemuDied),
            sys::VIR_DOMAIN_SHUTOFF_MIGRATED => (PowerState::Off, StateReason::Migration),
            // The memory image would be there; without it (checked above) there is nothing left to wake up from.
            sys::VIR_DOMAIN_SHUTOFF_SAVED => (PowerState::Off, StateReason::Saved),
            sys::VIR_DOMAIN_SHUTOFF_FAILED => (PowerState::Off, StateReason::StartFailed),
            sys::VIR_DOMAIN_SHUTOFF_DAEMON => (PowerState::Off, StateReason::HypervisorRestart),
            _ => (PowerState::Off, StateReason::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power(state: u32, reason: u32) -> (PowerState, StateReason) {
        RawState { state, reason }.power(false)
    }

    #[test]
    fn each_way_to_be_off_has_its_own_reason() {
        assert_eq!(power(sys::VIR_DOMAIN_SHUTOFF, sys::VIR_DOMAIN_SHUTOFF_SHUTDOWN), (PowerState::Off, StateReason::GuestShutdown));
        assert_eq!(power(sys::VIR_DOMAIN_SHUTOFF, sys::VIR_DOMAIN_SHUTOFF_DESTROYED), (PowerState::Off, StateReason::Destroyed));
        assert_eq!(power(sys::VIR_DOMAIN_SHUTOFF, sys::VIR_DOMAIN_SHUTOFF_CRASHED), (PowerState::Crashed, StateReason::QemuDied));
        assert_eq!(power(sys::VIR_DOMAIN_SHUTOFF, sys::VIR_DOMAIN_SHUTOFF_FAILED), (PowerState::Off, StateReason::StartFailed));
        assert_eq!(power(sys::VIR_DOMAIN_SHUTOFF, sys::VIR_DOMAIN_SHUTOFF_UNKNOWN), (PowerState::Off, StateReason::Unknown));
    }

    #[test]
    fn saved_memory_counts_only_while_the_vm_is_off() {
        let off = RawState { state: sys::VIR_DOMAIN_SHUTOFF, reason: sys::VIR_DOMAIN_SHUTOFF_SAVED };
        assert_eq!(off.power(true), (PowerState::Saved, StateReason::Saved));
        let on = RawState { state: sys::VIR_DOMAIN_RUNNING, reason: sys::VIR_DOMAIN_RUNNING_BOOTED };
        assert_eq!(on.power(true), (PowerState::Running, StateReason::Booted));
    }

    #[test]
    fn a_pause_after_a_disk_error_says_so() {
        assert_eq!(power(sys::VIR_DOMAIN_PAUSED, sys::VIR_DOMAIN_PAUSED_IOERROR), (PowerState::Paused, StateReason::IoError));
    }

    #[test]
    fn no_number_is_taken_for_off_unless_it_means_off() {
        for state in 0..64 {
            for reason in 0..64 {
                let raw = RawState { state, reason };
                let is_off = matches!(raw.power(false).0, PowerState::Off | PowerState::Crashed | PowerState::Saved);
                assert_eq!(is_off, !raw.is_active(), "{raw:?}");
            }
        }
    }
}
