//! How the picture of the node changes: by committed records, by what libvirt was seen to have, by jobs.

use super::events;
use crate::model::{
    DesiredPower, Event, Freshness, Job, JobStatus, ObservedVm, PowerState, ResourceKey, ResourceType, Snapshot, StateReason, Timestamp,
    VerbKind, Vm, VmRecord, VmStatus,
};
use crate::port::Write;
use std::sync::Arc;
use uuid::Uuid;

/// Applies a record write to the picture. Jobs, operations, accounts and tokens do not stand in it.
pub(crate) fn apply(snapshot: &mut Snapshot, write: &Write) {
    match write {
        Write::PutVm(record) => {
            let maker = maker_of(snapshot, record.vm_uuid);
            change_vm(snapshot, record.vm_uuid, |vm| match vm {
                Some(vm) => vm.record = Some(record.clone()),
                None => *vm = Some(Vm { job: maker, ..Vm::from_record(record.clone()) }),
            });
        }
        Write::DeleteVm(uuid) => {
            forget_reservations(snapshot, *uuid);
            change_vm(snapshot, *uuid, |vm| {
                if let Some(vm) = vm {
                    vm.record = None;
                }
            });
        }
        Write::PutVolume(volume) => {
            snapshot.volumes.insert(volume.volume_uuid, volume.clone());
        }
        Write::DeleteVolume(uuid) => {
            snapshot.volumes.remove(uuid);
        }
        Write::PutImage(image) => {
            let before = snapshot.images.get(&image.image_uuid).map(|i| i.status);
            if before != Some(image.status) {
                snapshot.event_drafts.push(events::image_status(image, before));
            }
            snapshot.images.insert(image.image_uuid, image.clone());
        }
        Write::DeleteImage(uuid) => {
            if let Some(image) = snapshot.images.remove(uuid) {
                snapshot.event_drafts.push(events::image_gone(&image));
            }
        }
        Write::PutSpecification(specification) => {
            snapshot.specifications.insert(specification.specification_uuid, specification.clone());
        }
        Write::DeleteSpecification(uuid) => {
            snapshot.specifications.remove(uuid);
        }
        Write::PutHostSettings(settings) => snapshot.settings = Arc::new(settings.clone()),
        Write::PutJob(_)
        | Write::PutOperation(_)
        | Write::PutAccount(_)
        | Write::DeleteAccount(_)
        | Write::PutToken(_)
        | Write::DeleteToken(_)
        | Write::PutDialectRecord(_)
        | Write::DeleteDialectRecord(_)
        | Write::PutEvent(_)
        | Write::AdvanceEvents(_)
        | Write::Prune { .. } => {}
    }
}

/// The job that makes a VM which is not in the picture yet, so that already its first event says whose doing it is.
fn maker_of(snapshot: &Snapshot, vm_uuid: Uuid) -> Option<Arc<Job>> {
    if snapshot.vms.contains_key(&vm_uuid) {
        return None;
    }
    let key = ResourceKey { kind: ResourceType::Vm, uuid: vm_uuid };
    snapshot.open_jobs.values().find(|job| job.resource == key).cloned()
}

/// A VM that is gone has given its addresses back: the next one may have them before the networks are read again.
fn forget_reservations(snapshot: &mut Snapshot, vm_uuid: Uuid) {
    let Some(record) = snapshot.vms.get(&vm_uuid).and_then(|vm| vm.record.clone()) else { return };
    for nic in &record.nics {
        let Some(network) = snapshot.networks.get_mut(&nic.network_uuid) else { continue };
        if let Some(subnet) = &mut Arc::make_mut(network).ipv4 {
            subnet.reservations.retain(|reservation| reservation.mac_address != nic.mac_address);
        }
    }
}

/// The write that puts back what `write` is about to replace.
pub(crate) fn inverse(snapshot: &Snapshot, write: &Write) -> Option<Write> {
    match write {
        Write::PutVm(record) => {
            let before = snapshot.vms.get(&record.vm_uuid).and_then(|vm| vm.record.clone());
            Some(before.map_or(Write::DeleteVm(record.vm_uuid), Write::PutVm))
        }
        Write::PutVolume(volume) => {
            let before = snapshot.volumes.get(&volume.volume_uuid).cloned();
            Some(before.map_or(Write::DeleteVolume(volume.volume_uuid), Write::PutVolume))
        }
        Write::PutImage(image) => {
            let before = snapshot.images.get(&image.image_uuid).cloned();
            Some(before.map_or(Write::DeleteImage(image.image_uuid), Write::PutImage))
        }
        Write::PutSpecification(specification) => {
            let uuid = specification.specification_uuid;
            let before = snapshot.specifications.get(&uuid).cloned();
            Some(before.map_or(Write::DeleteSpecification(uuid), Write::PutSpecification))
        }
        Write::DeleteVm(uuid) => snapshot.vms.get(uuid).and_then(|vm| vm.record.clone()).map(Write::PutVm),
        Write::DeleteVolume(uuid) => snapshot.volumes.get(uuid).cloned().map(Write::PutVolume),
        Write::DeleteImage(uuid) => snapshot.images.get(uuid).cloned().map(Write::PutImage),
        Write::DeleteSpecification(uuid) => snapshot.specifications.get(uuid).cloned().map(Write::PutSpecification),
        _ => None,
    }
}

/// Shows a job that has not ended, on the node and on its VM.
pub(crate) fn show_job(snapshot: &mut Snapshot, job: &Arc<Job>) {
    snapshot.open_jobs.insert(job.job_uuid, job.clone());
    if job.resource.kind == ResourceType::Vm {
        change_vm(snapshot, job.resource.uuid, |vm| {
            if let Some(vm) = vm {
                // A job that waits for its turn does not hide the one that runs.
                let shown = vm.job.as_ref().map(|j| j.job_uuid);
                if shown.is_none() || shown == Some(job.job_uuid) {
                    vm.job = Some(job.clone());
                }
            }
        });
    }
}

/// Takes an ended job away.
pub(crate) fn hide_job(snapshot: &mut Snapshot, job: &Job) {
    snapshot.open_jobs.remove(&job.job_uuid);
    if job.resource.kind == ResourceType::Vm {
        change_vm(snapshot, job.resource.uuid, |vm| {
            if let Some(vm) = vm {
                vm.job.take_if(|shown| shown.job_uuid == job.job_uuid);
                if job.status == JobStatus::Succeeded
                    && let Some(wanted) = wanted_power(job.verb, vm.record.as_deref())
                {
                    // Something else may have happened to it since; only what was not read again yet is believed.
                    let is_so = vm.freshness != Freshness::Fresh || vm.observed.as_ref().is_some_and(|o| o.power == wanted);
                    vm.requested_power = is_so.then_some(wanted);
                }
            }
        });
    }
}

/// What a VM does once the verb has succeeded, if the verb decides that. `record` is that of the VM afterwards.
fn wanted_power(verb: VerbKind, record: Option<&VmRecord>) -> Option<PowerState> {
    match verb {
        VerbKind::StartVm | VerbKind::ResumeVm | VerbKind::RebootVm | VerbKind::ResetVm => Some(PowerState::Running),
        VerbKind::PauseVm => Some(PowerState::Paused),
        VerbKind::StopVm => Some(PowerState::Off),
        VerbKind::CreateVm => record.map(|record| match record.desired_power {
            DesiredPower::On => PowerState::Running,
            DesiredPower::Off => PowerState::Off,
        }),
        // What is off was off before.
        VerbKind::ResizeVm | VerbKind::RevertResize => {
            record.filter(|record| record.desired_power == DesiredPower::On).map(|_| PowerState::Running)
        }
        _ => None,
    }
}

/// What libvirt has of one VM, just read.
pub(crate) fn observe(snapshot: &mut Snapshot, vm_uuid: Uuid, observed: Option<ObservedVm>, now: Timestamp) {
    change_vm(snapshot, vm_uuid, |vm| match (vm.as_mut(), observed) {
        (Some(vm), observed) => {
            vm.has_host_restarted &= observed.as_ref().is_none_or(|o| o.power == PowerState::Off);
            vm.has_panicked &= observed.as_ref().is_some_and(|o| o.power != PowerState::Running);
            vm.requested_power.take_if(|requested| observed.as_ref().is_none_or(|o| o.power != *requested));
            // The record in the definition is for the day when ours is lost: a third of what a VM takes in memory.
            let has_record = vm.record.is_some();
            let observed = observed.map(|observed| if has_record { ObservedVm { metadata: None, ..observed } } else { observed });
            // A listing finds most VMs as they were: what is known stays where it lies in memory.
            if vm.observed.as_deref() != observed.as_ref() {
                vm.observed = observed.map(Arc::new);
            }
            vm.observed_time = now;
            vm.freshness = Freshness::Fresh;
        }
        (None, Some(observed)) => *vm = Some(Vm::from_observed(Arc::new(observed), now)),
        (None, None) => {}
    });
}

/// Takes from the last event of a VM that was stored whether a start of the host ended it. Its definition does not say that.
pub(crate) fn note_host_restart(snapshot: &mut Snapshot, last: &Event) {
    let Some(key) = last.resource else { return };
    let is_told = last.reason == StateReason::HostRestart.word() && last.new == VmStatus::Stopped.word();
    if is_told || events::was_on_before_boot(last, snapshot.facts.boot_time) {
        change_vm(snapshot, key.uuid, |vm| {
            if let Some(vm) = vm {
                vm.has_host_restarted = true;
            }
        });
    }
}

/// Marks everything seen so far as stale: libvirt does not answer any more.
pub(crate) fn mark_stale(snapshot: &mut Snapshot) {
    let uuids: Vec<Uuid> = snapshot.vms.keys().copied().collect();
    for uuid in uuids {
        mark_vm_stale(snapshot, uuid);
    }
}

/// Marks what was seen of one VM as stale: it could not be read again.
pub(crate) fn mark_vm_stale(snapshot: &mut Snapshot, vm_uuid: Uuid) {
    if snapshot.vms.get(&vm_uuid).is_none_or(|vm| vm.freshness != Freshness::Fresh) {
        return;
    }
    change_vm(snapshot, vm_uuid, |vm| {
        if let Some(vm) = vm {
            vm.freshness = Freshness::Stale;
        }
    });
}

/// Changes one VM of the picture and settles it; a VM with neither record nor observation left is taken out.
pub(crate) fn change_vm(snapshot: &mut Snapshot, vm_uuid: Uuid, change: impl FnOnce(&mut Option<Vm>)) {
    let before = snapshot.vms.get(&vm_uuid).cloned();
    let mut vm = before.as_deref().cloned();
    change(&mut vm);
    match vm {
        Some(mut vm) if vm.record.is_some() || vm.observed.is_some() => {
            vm.settle();
            events::compare_vms(&mut snapshot.event_drafts, before.as_deref(), Some(&vm));
            snapshot.vms.insert(vm_uuid, Arc::new(vm));
        }
        _ => {
            events::compare_vms(&mut snapshot.event_drafts, before.as_deref(), None);
            snapshot.vms.remove(&vm_uuid);
        }
    }
}
