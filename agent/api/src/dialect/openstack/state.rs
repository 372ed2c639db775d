//! The one table of server states.

use hvnode_core::model::{DesiredPower, Job, PowerState, VerbKind, Vm, VmPhase, VmStatus};

/// A server's state in the four words of this API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ServerState {
    pub(super) status: &'static str,
    pub(super) vm_state: &'static str,
    pub(super) task_state: Option<&'static str>,
    /// 0 none, 1 running, 3 paused, 4 shut down, 6 crashed, 7 suspended.
    pub(super) power_state: u8,
}

const fn state(status: &'static str, vm_state: &'static str, power_state: u8) -> ServerState {
    ServerState { status, vm_state, task_state: None, power_state }
}

impl ServerState {
    /// The state of a server, settled or on its way.
    pub(super) fn of(vm: &Vm) -> Self {
        let before = settled(vm);
        let doing = |task_state: &'static str| Self { task_state: Some(task_state), ..before };
        match vm.status {
            VmStatus::Creating => {
                let task_state = Some(vm.job.as_deref().map_or("scheduling", creating));
                Self { task_state, ..state("BUILD", "building", 0) }
            }
            VmStatus::Starting => doing("powering-on"),
            VmStatus::Stopping => doing("powering-off"),
            VmStatus::Rebooting if is_doing(vm, VerbKind::ResetVm) => Self { status: "HARD_REBOOT", ..doing("rebooting_hard") },
            VmStatus::Rebooting => Self { status: "REBOOT", ..doing("rebooting") },
            VmStatus::Pausing => doing("pausing"),
            VmStatus::Resuming => doing("unpausing"),
            VmStatus::Resizing if is_doing(vm, VerbKind::RevertResize) => {
                Self { status: "REVERT_RESIZE", vm_state: "resized", ..doing("resize_reverting") }
            }
            VmStatus::Resizing => Self { status: "RESIZE", ..doing("resize_migrating") },
            VmStatus::Deleting => doing("deleting"),
            VmStatus::Error => state("ERROR", "error", before.power_state),
            _ if vm.resized_from().is_some() => Self { status: "VERIFY_RESIZE", vm_state: "resized", ..before },
            VmStatus::Running
            | VmStatus::Paused
            | VmStatus::Stopped
            | VmStatus::Crashed
            | VmStatus::Suspended
            | VmStatus::Deleted
            | VmStatus::Unknown => before,
        }
    }

    /// True where Nova shows how far it is.
    pub(super) fn has_progress(&self) -> bool {
        matches!(self.status, "ACTIVE" | "BUILD" | "REBUILD" | "RESIZE" | "VERIFY_RESIZE" | "MIGRATING")
    }
}

fn is_doing(vm: &Vm, verb: VerbKind) -> bool {
    vm.job.as_ref().is_some_and(|job| job.verb == verb)
}

/// What it was before the change in flight, which the hypervisor still says.
fn settled(vm: &Vm) -> ServerState {
    match vm.observed.as_ref().map(|observed| observed.power) {
        Some(PowerState::Running) => state("ACTIVE", "active", 1),
        Some(PowerState::ShuttingDown) => ServerState { task_state: Some("powering-off"), ..state("ACTIVE", "active", 1) },
        Some(PowerState::Paused) => state("PAUSED", "paused", 3),
        Some(PowerState::Off) => state("SHUTOFF", "stopped", 4),
        Some(PowerState::Crashed) if vm.status == VmStatus::Crashed => state("SHUTOFF", "stopped", 6),
        Some(PowerState::Crashed) => state("SHUTOFF", "stopped", 4),
        Some(PowerState::Saved) => state("SUSPENDED", "suspended", 4),
        // libvirt was not reached yet: what the record says should be.
        None => match vm.record.as_ref().map(|record| (record.phase, record.desired_power)) {
            Some((VmPhase::Creating, _)) => state("BUILD", "building", 0),
            Some((_, DesiredPower::On)) => state("ACTIVE", "active", 0),
            Some((_, DesiredPower::Off)) => state("SHUTOFF", "stopped", 0),
            None => state("UNKNOWN", "stopped", 0),
        },
    }
}

/// How far a create is, by the step that runs.
fn creating(job: &Job) -> &'static str {
    match job.steps.last().map(|step| step.name.as_str()) {
        None => "scheduling",
        Some("reserve_addresses") => "networking",
        Some("create_disks") => "block_device_mapping",
        Some(_) => "spawning",
    }
}

/// The word of a change in the list of what was done to a server.
pub(super) fn action_word(verb: VerbKind) -> &'static str {
    match verb {
        VerbKind::CreateVm => "create",
        VerbKind::StartVm => "start",
        VerbKind::StopVm => "stop",
        VerbKind::RebootVm | VerbKind::ResetVm => "reboot",
        VerbKind::PauseVm => "pause",
        VerbKind::ResumeVm => "unpause",
        VerbKind::ResizeVm => "resize",
        VerbKind::ConfirmResize => "confirmResize",
        VerbKind::RevertResize => "revertResize",
        VerbKind::DeleteVm | VerbKind::ExpungeVm => "delete",
        VerbKind::RecoverVm => "restore",
        other => other.word(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hvnode_core::model::StateReason;

    fn vm(power: Option<PowerState>, status: VmStatus) -> Vm {
        let observed = hvnode_core::model::ObservedVm {
            vm_uuid: uuid::Uuid::nil(),
            domain_name: "a".into(),
            power: power.unwrap_or(PowerState::Off),
            reason: StateReason::Unknown,
            is_persistent: true,
            auto_start: false,
            cpu_cores: 1,
            memory_bytes: 1,
            architecture: Default::default(),
            firmware: Default::default(),
            disks: Vec::new(),
            nics: Vec::new(),
            metadata: None,
            metadata_is_broken: false,
        };
        let mut vm = Vm::from_observed(observed.into(), Default::default());
        if power.is_none() {
            vm.observed = None;
        }
        vm.status = status;
        vm
    }

    #[test]
    fn settled_states_have_no_task() {
        let words = |power, status| {
            let state = ServerState::of(&vm(Some(power), status));
            (state.status, state.vm_state, state.task_state, state.power_state)
        };
        assert_eq!(words(PowerState::Running, VmStatus::Running), ("ACTIVE", "active", None, 1));
        assert_eq!(words(PowerState::Paused, VmStatus::Paused), ("PAUSED", "paused", None, 3));
        assert_eq!(words(PowerState::Off, VmStatus::Stopped), ("SHUTOFF", "stopped", None, 4));
        assert_eq!(words(PowerState::Crashed, VmStatus::Crashed), ("SHUTOFF", "stopped", None, 6));
        assert_eq!(words(PowerState::Saved, VmStatus::Suspended), ("SUSPENDED", "suspended", None, 4));
        assert_eq!(words(PowerState::Off, VmStatus::Error), ("ERROR", "error", None, 4));
    }

    #[test]
    fn a_change_in_flight_shows_as_a_task_over_what_was_before() {
        let words = |power, status| {
            let state = ServerState::of(&vm(power, status));
            (state.status, state.vm_state, state.task_state)
        };
        assert_eq!(words(None, VmStatus::Creating), ("BUILD", "building", Some("scheduling")));
        assert_eq!(words(Some(PowerState::Off), VmStatus::Starting), ("SHUTOFF", "stopped", Some("powering-on")));
        assert_eq!(words(Some(PowerState::Running), VmStatus::Stopping), ("ACTIVE", "active", Some("powering-off")));
        assert_eq!(words(Some(PowerState::Running), VmStatus::Rebooting), ("REBOOT", "active", Some("rebooting")));
        assert_eq!(words(Some(PowerState::Paused), VmStatus::Resuming), ("PAUSED", "paused", Some("unpausing")));
        assert_eq!(words(Some(PowerState::Running), VmStatus::Deleting), ("ACTIVE", "active", Some("deleting")));
    }
}
