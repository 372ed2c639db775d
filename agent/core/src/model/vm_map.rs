//! Every VM of a picture, and what they take together: a start must not look at all VMs to see whether there is room.

use super::{DesiredPower, PowerState, VerbKind, Vm};
use imbl::OrdMap;
use std::ops::Deref;
use std::sync::Arc;
use uuid::Uuid;

/// Memory a QEMU process takes beside its guest's.
pub const QEMU_OVERHEAD_BYTES: u64 = 64 << 20;

/// What is promised to guests that run, or are about to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Promised {
    /// Bytes, QEMU's own included. Wide enough for any sum, so that what was added can be taken off again.
    memory_bytes: u128,
    cpu_cores: u64,
}

impl Promised {
    /// By this VM: as it is, or while it changes, the more of what it has and of what it was promised.
    pub fn by(vm: &Vm) -> Self {
        if !takes_room(vm) {
            return Self::default();
        }
        let (observed, record) = (vm.observed.as_ref(), vm.record.as_ref());
        let memory_bytes = taken(vm, observed.map(|o| o.memory_bytes), record.map(|r| r.memory_bytes));
        let cpu_cores = taken(vm, observed.map(|o| o.cpu_cores), record.map(|r| r.cpu_cores));
        Self { memory_bytes: u128::from(memory_bytes) + u128::from(QEMU_OVERHEAD_BYTES), cpu_cores: u64::from(cpu_cores) }
    }

    /// Bytes of memory, QEMU's own included.
    pub fn memory_bytes(self) -> u64 {
        u64::try_from(self.memory_bytes).unwrap_or(u64::MAX)
    }

    /// Virtual processors.
    pub fn cpu_cores(self) -> u64 {
        self.cpu_cores
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { memory_bytes: self.memory_bytes + other.memory_bytes, cpu_cores: self.cpu_cores + other.cpu_cores }
    }

    /// What is left without `part`, which is in it.
    #[must_use]
    pub fn minus(self, part: Self) -> Self {
        Self { memory_bytes: self.memory_bytes.saturating_sub(part.memory_bytes), cpu_cores: self.cpu_cores.saturating_sub(part.cpu_cores) }
    }
}

fn takes_room(vm: &Vm) -> bool {
    let is_on = vm.observed.as_ref().is_some_and(|o| !matches!(o.power, PowerState::Off | PowerState::Crashed | PowerState::Saved));
    is_on || vm.job.as_ref().is_some_and(|job| is_about_to_run(vm, job.verb))
}

fn is_about_to_run(vm: &Vm, verb: VerbKind) -> bool {
    match verb {
        VerbKind::CreateVm | VerbKind::StartVm => true,
        // Off for a moment, and running again where it should run.
        VerbKind::ResizeVm | VerbKind::RevertResize => vm.record.as_ref().is_some_and(|r| r.desired_power == DesiredPower::On),
        _ => false,
    }
}

fn taken<T: Ord + Default>(vm: &Vm, observed: Option<T>, promised: Option<T>) -> T {
    let taken = if vm.job.is_some() { observed.max(promised) } else { observed.or(promised) };
    taken.unwrap_or_default()
}

/// Every VM by its identity, and the sum of what they are promised. Read as any map; changed only by what keeps the sum true.
#[derive(Debug, Clone, Default)]
pub struct VmMap {
    map: OrdMap<Uuid, Arc<Vm>>,
    promised: Promised,
}

impl VmMap {
    /// Puts a VM in the place of the one with this identity, if there is one.
    pub fn insert(&mut self, vm_uuid: Uuid, vm: Arc<Vm>) {
        self.promised = self.promised.plus(Promised::by(&vm));
        if let Some(before) = self.map.insert(vm_uuid, vm) {
            self.promised = self.promised.minus(Promised::by(&before));
        }
    }

    /// Takes a VM out.
    pub fn remove(&mut self, vm_uuid: &Uuid) {
        if let Some(before) = self.map.remove(vm_uuid) {
            self.promised = self.promised.minus(Promised::by(&before));
        }
    }

    /// What all guests are promised together.
    pub fn promised(&self) -> Promised {
        debug_assert_eq!(self.promised, self.sum());
        self.promised
    }

    /// The same, made anew: what the sum that is kept is held against.
    fn sum(&self) -> Promised {
        self.map.values().map(|vm| Promised::by(vm)).fold(Promised::default(), Promised::plus)
    }
}

impl Deref for VmMap {
    type Target = OrdMap<Uuid, Arc<Vm>>;

    fn deref(&self) -> &Self::Target {
        &self.map
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Firmware, ObservedVm, StateReason, Timestamp};
    use proptest::prelude::*;

    fn vm(vm_uuid: Uuid, power: PowerState, cpu_cores: u32, memory_bytes: u64) -> Arc<Vm> {
        let observed = ObservedVm {
            vm_uuid,
            domain_name: "".into(),
            power,
            reason: StateReason::Unknown,
            is_persistent: true,
            auto_start: false,
            cpu_cores,
            memory_bytes,
            architecture: "x86_64".into(),
            firmware: Firmware::Bios,
            disks: Vec::new(),
            nics: Vec::new(),
            metadata: None,
            metadata_is_broken: false,
        };
        Arc::new(Vm::from_observed(Arc::new(observed), Timestamp::default()))
    }

    #[test]
    fn a_guest_that_is_off_takes_no_room_and_one_that_is_paused_does() {
        let uuid = Uuid::from_u128(1);
        let mut map = VmMap::default();
        map.insert(uuid, vm(uuid, PowerState::Paused, 2, 1 << 30));
        assert_eq!((map.promised().cpu_cores(), map.promised().memory_bytes()), (2, (1 << 30) + QEMU_OVERHEAD_BYTES));
        map.insert(uuid, vm(uuid, PowerState::Off, 2, 1 << 30));
        assert_eq!(map.promised(), Promised::default());
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_all_vms_after_any_changes(
            script in proptest::collection::vec((0u128..6, any::<bool>(), 0usize..3, 0u32..100, any::<u64>()), 0..100)
        ) {
            let mut map = VmMap::default();
            for (number, is_removed, power, cpu_cores, memory_bytes) in script {
                let uuid = Uuid::from_u128(number);
                if is_removed {
                    map.remove(&uuid);
                } else {
                    let power = [PowerState::Running, PowerState::Off, PowerState::Paused][power];
                    map.insert(uuid, vm(uuid, power, cpu_cores, memory_bytes));
                }
                prop_assert_eq!(map.promised(), map.sum());
            }
            let uuids: Vec<Uuid> = map.keys().copied().collect();
            uuids.iter().for_each(|uuid| map.remove(uuid));
            prop_assert_eq!(map.promised(), Promised::default());
        }
    }
}
