//! Remove a disk that no VM owns.

use super::{DeleteVolumeInput, Outputs, PlanView, Planned, Step, StepContext, Verb, check};
use crate::error::ErrorRecord;
use crate::model::{ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind, Volume, VolumeStatus};
use crate::port::Write;
use crate::{ErrorCode, Result, fail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteVolume {
    volume: Arc<Volume>,
}

pub(super) fn plan(input: &DeleteVolumeInput, view: PlanView<'_>) -> Result<Planned> {
    let volume = view.snapshot.volumes.get(&input.volume_uuid).ok_or_else(|| fail!(VolumeNotExist))?;
    if let Some(vm_uuid) = volume.vm_uuid {
        let name = view.snapshot.vms.get(&vm_uuid).map_or_else(|| vm_uuid.to_string(), |vm| vm.name().to_owned());
        return Err(fail!(VolumeAttached, "vm {name}"; "虚拟机 {name}"));
    }
    let is_open = |vm: &crate::model::Vm| vm.observed.as_ref().is_some_and(|o| o.disks.iter().any(|d| d.path == volume.path));
    if let Some(vm) = view.snapshot.vms.values().find(|vm| is_open(vm)) {
        let name = vm.name();
        return Err(fail!(VolumeAttached, "vm {name} uses its file"; "虚拟机 {name} 正在使用其文件"));
    }
    check::hypervisor_is_up(&view)?;
    let mut deleting = Volume::clone(volume);
    deleting.status = VolumeStatus::Deleting;
    let writes = vec![Write::PutVolume(Arc::new(deleting))];
    Ok(Planned::new(DeleteVolume { volume: volume.clone() }, &volume.volume_name).with_writes(writes))
}

#[async_trait]
impl Verb for DeleteVolume {
    fn kind(&self) -> VerbKind {
        VerbKind::DeleteVolume
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Volume, uuid: self.volume.volume_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        const { &[Step::disk("remove_file")] }
    }

    async fn run(&self, _step: &'static str, context: &StepContext) -> Result<Value> {
        context.hypervisor.remove_volume(&self.volume.pool_name, &self.volume.file_name).await?;
        Ok(Value::Null)
    }

    fn succeed(&self, _snapshot: &Snapshot, _outputs: &Outputs, _now: Timestamp) -> Vec<Write> {
        vec![Write::DeleteVolume(self.volume.volume_uuid)]
    }

    fn fail(&self, _snapshot: &Snapshot, error: &ErrorRecord, now: Timestamp) -> Vec<Write> {
        if error.code == ErrorCode::JobCanceled {
            return vec![Write::PutVolume(self.volume.clone())];
        }
        let mut volume = Volume::clone(&self.volume);
        volume.status = VolumeStatus::Error;
        volume.update_time = now;
        vec![Write::PutVolume(Arc::new(volume))]
    }
}
