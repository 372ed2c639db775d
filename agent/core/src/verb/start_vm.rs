//! Switch a VM on.

use super::{Outputs, PlanView, Planned, Step, StepContext, Verb, VmOnlyInput, check};
use crate::Result;
use crate::model::{DesiredPower, ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind, Verdict, VmRecord};
use crate::port::Write;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// The plan of a start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StartVm {
    vm_uuid: Uuid,
}

pub(super) fn plan(input: &VmOnlyInput, view: PlanView<'_>) -> Result<Planned> {
    let target = check::vm(&view, input.vm_uuid, VerbKind::StartVm)?;
    super::check_capacity(&view, input.vm_uuid, target.record.cpu_cores, target.record.memory_bytes)?;
    let is_so = target.verdict == Verdict::AlreadySo;
    Ok(Planned::new(StartVm { vm_uuid: input.vm_uuid }, target.vm.name()).already_so(is_so))
}

#[async_trait]
impl Verb for StartVm {
    fn kind(&self) -> VerbKind {
        VerbKind::StartVm
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Vm, uuid: self.vm_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        const { &[Step::start("start")] }
    }

    async fn run(&self, _step: &'static str, context: &StepContext) -> Result<Value> {
        context.hypervisor.ensure_started(self.vm_uuid).await?;
        Ok(Value::Null)
    }

    async fn undo(&self, _step: &'static str, context: &StepContext) -> Result<()> {
        context.hypervisor.ensure_destroyed(self.vm_uuid).await
    }

    fn succeed(&self, snapshot: &Snapshot, _outputs: &Outputs, now: Timestamp) -> Vec<Write> {
        with_start_time(snapshot, self.vm_uuid, now)
    }
}

/// The VM's record with a new start time, as one that should run; what went wrong before is over.
pub(super) fn with_start_time(snapshot: &Snapshot, vm_uuid: Uuid, now: Timestamp) -> Vec<Write> {
    let Some(record) = snapshot.vms.get(&vm_uuid).and_then(|vm| vm.record.as_ref()) else { return Vec::new() };
    let mut record = VmRecord::clone(record);
    record.start_time = Some(now);
    record.desired_power = DesiredPower::On;
    record.error = None;
    vec![Write::PutVm(Arc::new(record))]
}
