//! Restart a VM: through its guest, or with the reset button.

use super::{Outputs, PlanView, Planned, RebootVmInput, Step, StepContext, Verb, VmOnlyInput, check, start_vm};
use crate::Result;
use crate::model::{ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind};
use crate::port::Write;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// How long a reset may take to be seen.
const RESET_SEEN_WITHIN: Duration = Duration::from_secs(2);

/// The plan of a reboot through the guest; a guest that does not answer in time is reset.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RebootVm {
    vm_uuid: Uuid,
    is_forced: bool,
}

/// The plan of a reset.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResetVm {
    vm_uuid: Uuid,
}

pub(super) fn plan_reboot(input: &RebootVmInput, view: PlanView<'_>) -> Result<Planned> {
    let target = check::vm(&view, input.vm_uuid, VerbKind::RebootVm)?;
    Ok(Planned::new(RebootVm { vm_uuid: input.vm_uuid, is_forced: input.is_forced }, target.vm.name()))
}

pub(super) fn plan_reset(input: &VmOnlyInput, view: PlanView<'_>) -> Result<Planned> {
    let target = check::vm(&view, input.vm_uuid, VerbKind::ResetVm)?;
    Ok(Planned::new(ResetVm { vm_uuid: input.vm_uuid }, target.vm.name()))
}

fn reset_count(snapshot: &Snapshot, vm_uuid: Uuid) -> u32 {
    snapshot.vms.get(&vm_uuid).map_or(0, |vm| vm.reset_count)
}

/// Waits a moment for the reset to be seen, so that it is not taken for the guest's own.
async fn reset(vm_uuid: Uuid, context: &StepContext) -> Result<Value> {
    let before = reset_count(&context.world.load(), vm_uuid);
    context.hypervisor.reset(vm_uuid).await?;
    if !context.world.wait_until(RESET_SEEN_WITHIN, |s| reset_count(s, vm_uuid) != before).await {
        tracing::debug!(%vm_uuid, "A reset was not seen");
    }
    Ok(Value::Null)
}

#[async_trait]
impl Verb for RebootVm {
    fn kind(&self) -> VerbKind {
        VerbKind::RebootVm
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Vm, uuid: self.vm_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        const { &[Step::start("reboot")] }
    }

    async fn run(&self, _step: &'static str, context: &StepContext) -> Result<Value> {
        if !self.is_forced {
            let before = reset_count(&context.world.load(), self.vm_uuid);
            context.hypervisor.request_reboot(self.vm_uuid).await?;
            let timeout = context.settings.reboot_timeout;
            let is_done = tokio::select! {
                done = context.world.wait_until(timeout, |s| reset_count(s, self.vm_uuid) != before) => done,
                () = context.cancel.wait() => false,
            };
            if is_done {
                return Ok(Value::Null);
            }
            context.check_cancel()?;
        }
        reset(self.vm_uuid, context).await
    }

    fn succeed(&self, snapshot: &Snapshot, _outputs: &Outputs, now: Timestamp) -> Vec<Write> {
        start_vm::with_start_time(snapshot, self.vm_uuid, now)
    }

    fn is_cancelable(&self) -> bool {
        !self.is_forced
    }
}

#[async_trait]
impl Verb for ResetVm {
    fn kind(&self) -> VerbKind {
        VerbKind::ResetVm
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Vm, uuid: self.vm_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        const { &[Step::start("reset")] }
    }

    async fn run(&self, _step: &'static str, context: &StepContext) -> Result<Value> {
        reset(self.vm_uuid, context).await
    }

    fn succeed(&self, snapshot: &Snapshot, _outputs: &Outputs, now: Timestamp) -> Vec<Write> {
        start_vm::with_start_time(snapshot, self.vm_uuid, now)
    }
}
