//! Remove a VM with its root disk. Only goes forward: a failed delete keeps the record, so that it can be asked again.

use super::create_vm::seed_file_name;
use super::stop_vm::{is_off, shut_down};
use super::{DeleteVmInput, Outputs, PlanView, Planned, Step, StepContext, Verb, check};
use crate::Result;
use crate::error::ErrorRecord;
use crate::model::{DhcpReservation, ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind, VmPhase, VmRecord, Volume, VolumeStatus};
use crate::port::{VOLUMES_POOL, Write};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The plan of a delete.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteVm {
    record: Arc<VmRecord>,
    /// Disks that go with it.
    removed: Vec<Arc<Volume>>,
    /// Disks that stay and become available.
    released: Vec<Arc<Volume>>,
    is_forced: bool,
}

pub(super) fn plan(input: &DeleteVmInput, view: PlanView<'_>) -> Result<Planned> {
    let target = check::vm(&view, input.vm_uuid, VerbKind::DeleteVm)?;
    let volumes = view.snapshot.volumes.values().filter(|v| v.vm_uuid == Some(input.vm_uuid)).cloned();
    // A root disk that is older than its VM was given to it, and is no more the VM's own than a data disk.
    let is_own_root = |volume: &Volume| volume.is_root && volume.create_time >= target.record.create_time;
    let (removed, released): (Vec<_>, Vec<_>) = volumes.partition(|v| is_own_root(v) || input.is_deleting_volumes);
    let mut record = VmRecord::clone(target.record);
    record.phase = VmPhase::Deleting;
    let record = Arc::new(record);
    let writes = vec![Write::PutVm(record.clone())];
    let change = DeleteVm { record, removed, released, is_forced: input.is_forced };
    Ok(Planned::new(change, target.vm.name()).with_writes(writes))
}

const SHUTDOWN: Step = Step::light("shutdown");
const UNDEFINE: Step = Step::light("undefine");
const DISKS: Step = Step::disk("remove_disks");
const RELEASE: Step = Step::light("release_addresses");

#[async_trait]
impl Verb for DeleteVm {
    fn kind(&self) -> VerbKind {
        VerbKind::DeleteVm
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
            if !is_off(&context.world.load(), vm_uuid) {
                shut_down(vm_uuid, context.settings.delete_grace, context).await?;
            }
        } else if step == UNDEFINE.name {
            context.hypervisor.ensure_destroyed(vm_uuid).await?;
            context.hypervisor.ensure_undefined(vm_uuid).await?;
        } else if step == DISKS.name {
            for volume in &self.removed {
                context.hypervisor.remove_volume(&volume.pool_name, &volume.file_name).await?;
            }
            context.hypervisor.remove_volume(VOLUMES_POOL, &seed_file_name(vm_uuid)).await?;
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

    fn fail(&self, _snapshot: &Snapshot, error: &ErrorRecord, now: Timestamp) -> Vec<Write> {
        let mut record = VmRecord::clone(&self.record);
        record.phase = VmPhase::Ready;
        record.update_time = now;
        record.error = Some(error.clone());
        vec![Write::PutVm(Arc::new(record))]
    }
}
