//! Hold a VM's processors, and let them run again.

use super::{Outputs, PlanView, Planned, Step, StepContext, Verb, VmOnlyInput, check, stop_vm};
use crate::Result;
use crate::model::{DesiredPower, ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind, Verdict};
use crate::port::Write;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The plan of a pause.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PauseVm {
    vm_uuid: Uuid,
}

/// The plan of a resume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResumeVm {
    vm_uuid: Uuid,
}

pub(super) fn plan_pause(input: &VmOnlyInput, view: PlanView<'_>) -> Result<Planned> {
    let target = check::vm(&view, input.vm_uuid, VerbKind::PauseVm)?;
    let is_so = target.verdict == Verdict::AlreadySo;
    Ok(Planned::new(PauseVm { vm_uuid: input.vm_uuid }, target.vm.name()).already_so(is_so))
}

pub(super) fn plan_resume(input: &VmOnlyInput, view: PlanView<'_>) -> Result<Planned> {
    let target = check::vm(&view, input.vm_uuid, VerbKind::ResumeVm)?;
    let is_so = target.verdict == Verdict::AlreadySo;
    Ok(Planned::new(ResumeVm { vm_uuid: input.vm_uuid }, target.vm.name()).already_so(is_so))
}

#[async_trait]
impl Verb for PauseVm {
    fn kind(&self) -> VerbKind {
        VerbKind::PauseVm
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Vm, uuid: self.vm_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        const { &[Step::light("pause")] }
    }

    async fn run(&self, _step: &'static str, context: &StepContext) -> Result<Value> {
        context.hypervisor.ensure_paused(self.vm_uuid).await?;
        Ok(Value::Null)
    }

    fn succeed(&self, _snapshot: &Snapshot, _outputs: &Outputs, _now: Timestamp) -> Vec<Write> {
        Vec::new()
    }
}

#[async_trait]
impl Verb for ResumeVm {
    fn kind(&self) -> VerbKind {
        VerbKind::ResumeVm
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Vm, uuid: self.vm_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        const { &[Step::light("resume")] }
    }

    async fn run(&self, _step: &'static str, context: &StepContext) -> Result<Value> {
        context.hypervisor.ensure_resumed(self.vm_uuid).await?;
        Ok(Value::Null)
    }

    fn succeed(&self, snapshot: &Snapshot, _outputs: &Outputs, _now: Timestamp) -> Vec<Write> {
        stop_vm::with_desired_power(snapshot, self.vm_uuid, DesiredPower::On)
    }
}
