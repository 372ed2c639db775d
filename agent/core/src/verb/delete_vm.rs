//! Remove a VM with its root disk. Only goes forward: a failed delete keeps the record, so that it can be asked again.

use super::create_vm::seed_file_name;
use super::stop_vm::{is_off, shut_down, with_desired_power};
use super::trash_vm::TrashVm;
use super::{DeleteVmInput, Outputs, PlanView, Planned, Step, StepContext, Verb, VmOnlyInput, check};
use crate::error::ErrorRecord;
use crate::model::{
    DesiredPower, DhcpReservation, ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind, VmPhase, VmRecord, Volume, VolumeStatus,
};
use crate::port::{VOLUMES_POOL, Write};
use crate::{ErrorCode, Result, fail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Longest time in the trash.
const KEEP_DAYS_MAX: u32 = 3650;

/// The plan of a removal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteVm {
    /// Delete, or expunge from the trash.
    kind: VerbKind,
    /// What it was before, for a delete that fails.
    phase_before: VmPhase,
    #[serde(default)]
    desired_before: DesiredPower,
    record: Arc<VmRecord>,
    /// Disks that go with it.
    removed: Vec<Arc<Volume>>,
    /// Disks that stay and become available.
    released: Vec<Arc<Volume>>,
    is_forced: bool,
}

/// A delete puts into the trash where something is to be kept, else it removes.
pub(super) fn plan_delete(input: &DeleteVmInput, view: PlanView<'_>) -> Result<Planned> {
    let keep_days = input.keep_days.unwrap_or(view.settings.trash_keep_days);
    if keep_days > KEEP_DAYS_MAX {
        return Err(fail!(ParameterInvalid, "keep_days must be 0 to {KEEP_DAYS_MAX}"; "keep_days 须为 0 到 {KEEP_DAYS_MAX}"));
    }
    let target = check::vm(&view, input.vm_uuid, VerbKind::DeleteVm)?;
    // What libvirt has lost cannot be kept: it goes at once, which is how one gets out of `error`.
    if keep_days == 0 || target.vm.observed.is_none() {
        return plan_removal(input, view, &target, VerbKind::DeleteVm);
    }
    let expire_time = view.now.plus(Duration::from_secs(u64::from(keep_days) * 86_400));
    let writes = with_desired_power(view.snapshot, input.vm_uuid, DesiredPower::Off);
    Ok(Planned::new(TrashVm::new(target.record, expire_time, input.is_forced, view.now), target.vm.name()).with_writes(writes))
}

/// Removes what is in the trash, disks included.
pub(super) fn plan_expunge(input: &VmOnlyInput, view: PlanView<'_>) -> Result<Planned> {
    let target = check::vm(&view, input.vm_uuid, VerbKind::ExpungeVm)?;
    if target.record.phase != VmPhase::Trashed {
        let (word, word_cn) = (target.vm.status.word(), target.vm.status.word_cn());
        return Err(fail!(VmStateNotAllowed, "{word}: only a deleted vm can be expunged"; "{word_cn}: 只能清除已删除的虚拟机"));
    }
    let input = DeleteVmInput { vm_uuid: input.vm_uuid, is_forced: true, is_deleting_volumes: true, keep_days: Some(0) };
    plan_removal(&input, view, &target, VerbKind::ExpungeVm)
}

fn plan_removal(input: &DeleteVmInput, view: PlanView<'_>, target: &check::Target<'_>, kind: VerbKind) -> Result<Planned> {
    let volumes = view.snapshot.volumes.values().filter(|v| v.vm_uuid == Some(input.vm_uuid)).cloned();
    // A root disk that is older than its VM was given to it, and is no more the VM's own than a data disk.
    let is_own_root = |volume: &Volume| volume.is_root && volume.create_time >= target.record.create_time;
    let (removed, released): (Vec<_>, Vec<_>) = volumes.partition(|v| is_own_root(v) || input.is_deleting_volumes);
    let mut record = VmRecord::clone(target.record);
    record.phase = VmPhase::Deleting;
    record.desired_power = DesiredPower::Off;
    let record = Arc::new(record);
    let writes = vec![Write::PutVm(record.clone())];
    let change = DeleteVm {
        kind,
        record,
        phase_before: target.record.phase,
        desired_before: target.record.desired_power,
        removed,
        released,
        is_forced: input.is_forced,
    };
    Ok(Planned::new(change, target.vm.name()).with_writes(writes))
}

/// What a VM should do once a delete is canceled before it began: a wish to run comes back.
pub(super) fn wished_again(now: DesiredPower, before: DesiredPower) -> DesiredPower {
    if before == DesiredPower::On { before } else { now }
}

/// Whose guest, and whether it is asked at all.
pub(super) struct GraceInput {
    pub(super) vm_uuid: Uuid,
    pub(super) is_forced: bool,
}

/// Gives the guest its time to shut down, unless forced, then switches off.
pub(super) async fn shut_down_or_switch_off(input: &GraceInput, context: &StepContext) -> Result<()> {
    if !input.is_forced {
        ask_to_shut_down(input.vm_uuid, context).await?;
    }
    context.hypervisor.ensure_destroyed(input.vm_uuid).await
}

async fn ask_to_shut_down(vm_uuid: Uuid, context: &StepContext) -> Result<()> {
    if !is_off(&context.world.load(), vm_uuid) {
        shut_down(vm_uuid, context.settings.delete_grace, context).await?;
    }
    Ok(())
}

/// Removes the definition. A domain that is on, or may be, is switched off before.
pub(super) async fn remove_domain(vm_uuid: Uuid, context: &StepContext) -> Result<()> {
    if is_off(&context.world.load(), vm_uuid) {
        match context.hypervisor.ensure_undefined(vm_uuid).await {
            // Somebody has switched it on since.
            Err(error) if error.code() == ErrorCode::VmStateNotAllowed => {}
            other => return other,
        }
    }
    context.hypervisor.ensure_destroyed(vm_uuid).await?;
    context.hypervisor.ensure_undefined(vm_uuid).await
}

const SHUTDOWN: Step = Step::light("shutdown");
const UNDEFINE: Step = Step::light("undefine");
const DISKS: Step = Step::disk("remove_disks");
const RELEASE: Step = Step::light("release_addresses");

#[async_trait]
impl Verb for DeleteVm {
    fn kind(&self) -> VerbKind {
        self.kind
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Vm, uuid: self.record.vm_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        if self.is_forced { &[UNDEFINE, DISKS, RELEASE] } else { &[SHUTDOWN, UNDEFINE, DISKS, RELEASE] }
    }

    async fn run(&self, step: &'static str, context: &StepContext) -> Result<Value> {
        let vm_uuid = self.record.vm_uuid;
        if step == SHUTDOWN.name {
            ask_to_shut_down(vm_uuid, context).await?;
        } else if step == UNDEFINE.name {
            remove_domain(vm_uuid, context).await?;
        } else if step == DISKS.name {
            for volume in &self.removed {
                context.hypervisor.remove_volume(&volume.pool_name, &volume.file_name).await?;
            }
            if self.record.has_seed {
                context.hypervisor.remove_volume(VOLUMES_POOL, &seed_file_name(vm_uuid)).await?;
            }
        } else if step == RELEASE.name {
            for nic in &self.record.nics {
                let Some(ip_address) = nic.ip_address else { continue };
                let reservation = DhcpReservation { mac_address: nic.mac_address, ip_address, host_name: String::new() };
                context.hypervisor.remove_reservation(nic.network_uuid, &reservation).await?;
            }
        }
        Ok(Value::Null)
    }

    fn succeed(&self, _snapshot: &Snapshot, _outputs: &Outputs, now: Timestamp) -> Vec<Write> {
        let mut writes = vec![Write::DeleteVm(self.record.vm_uuid)];
        writes.extend(self.removed.iter().map(|v| Write::DeleteVolume(v.volume_uuid)));
        writes.extend(self.released.iter().map(|volume| {
            let mut volume = Volume::clone(volume);
            volume.status = VolumeStatus::Available;
            volume.vm_uuid = None;
            volume.is_root = false;
            volume.device = String::new();
            volume.update_time = now;
            Write::PutVolume(Arc::new(volume))
        }));
        writes
    }

    fn fail(&self, snapshot: &Snapshot, error: &ErrorRecord, now: Timestamp) -> Vec<Write> {
        // A change that this one cut short may have written since.
        let current = snapshot.vms.get(&self.record.vm_uuid).and_then(|vm| vm.record.as_ref()).unwrap_or(&self.record);
        let mut record = VmRecord::clone(current);
        record.phase = self.phase_before;
        record.update_time = now;
        match error.code {
            ErrorCode::JobCanceled => record.desired_power = wished_again(record.desired_power, self.desired_before),
            _ => record.error = Some(Box::new(error.clone())),
        }
        vec![Write::PutVm(Arc::new(record))]
    }
}
