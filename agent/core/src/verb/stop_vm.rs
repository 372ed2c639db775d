//! Switch a VM off: ask the guest, wait, then switch off without asking.

use super::{Outputs, PlanView, Planned, Step, StepContext, StopVmInput, Verb, check};
use crate::model::{PowerState, ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind, VmStatus};
use crate::port::Write;
use crate::{ErrorCode, Result, fail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// Longest time a guest may be given.
const TIMEOUT_SECONDS_MAX: u32 = 3600;
/// A guest that is still booting misses the first request, so it is repeated.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The plan of a stop.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StopVm {
    vm_uuid: Uuid,
    is_forced: bool,
    timeout_seconds: u64,
}

pub(super) fn plan(input: &StopVmInput, view: PlanView<'_>) -> Result<Planned> {
    if input.timeout_seconds.is_some_and(|s| s == 0 || s > TIMEOUT_SECONDS_MAX) {
        return Err(
            fail!(ParameterInvalid, "timeout_seconds must be 1 to {TIMEOUT_SECONDS_MAX}"; "timeout_seconds 须为 1 到 {TIMEOUT_SECONDS_MAX}"),
        );
    }
    let target = check::vm(&view, input.vm_uuid, VerbKind::StopVm)?;
    if target.vm.status == VmStatus::Paused && !input.is_forced {
        return Err(fail!(VmStateNotAllowed,
            "paused: its guest cannot answer; resume it first or stop it with force"; "已暂停: 客户机无法响应；请先恢复或强制停止"));
    }
    let timeout_seconds = input.timeout_seconds.map_or(view.settings.stop_timeout.as_secs(), u64::from);
    Ok(Planned::new(StopVm { vm_uuid: input.vm_uuid, is_forced: input.is_forced, timeout_seconds }, target.vm.name()))
}

const SHUTDOWN: Step = Step::light("shutdown");
const SWITCH_OFF: Step = Step::light("switch_off");

#[async_trait]
impl Verb for StopVm {
    fn kind(&self) -> VerbKind {
        VerbKind::StopVm
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Vm, uuid: self.vm_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        if self.is_forced { &[SWITCH_OFF] } else { &[SHUTDOWN, SWITCH_OFF] }
    }

    async fn run(&self, step: &'static str, context: &StepContext) -> Result<Value> {
        if step == SHUTDOWN.name {
            let is_off = shut_down(self.vm_uuid, Duration::from_secs(self.timeout_seconds), context).await?;
            return Ok(json!({ "guest_answered": is_off }));
        }
        context.check_cancel()?;
        context.hypervisor.ensure_destroyed(self.vm_uuid).await?;
        Ok(Value::Null)
    }

    fn succeed(&self, _snapshot: &Snapshot, _outputs: &Outputs, _now: Timestamp) -> Vec<Write> {
        Vec::new()
    }

    fn is_cancelable(&self) -> bool {
        !self.is_forced
    }
}

/// True for a VM that the hypervisor says is off.
pub(super) fn is_off(snapshot: &Snapshot, vm_uuid: Uuid) -> bool {
    let power = snapshot.vms.get(&vm_uuid).and_then(|vm| vm.observed.as_ref()).map(|o| o.power);
    matches!(power, None | Some(PowerState::Off | PowerState::Crashed | PowerState::Saved))
}

/// Asks the guest to shut down, again and again, until it is off or `timeout` is over. True if it is off.
pub(super) async fn shut_down(vm_uuid: Uuid, timeout: Duration, context: &StepContext) -> Result<bool> {
    let deadline = tokio::time::Instant::now() + timeout;
    loop {
        context.check_cancel()?;
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        match context.hypervisor.request_shutdown(vm_uuid).await {
            // Off already, or gone: the next step sees to the rest.
            Err(e) if matches!(e.code(), ErrorCode::VmStateNotAllowed | ErrorCode::VmNotExist) => return Ok(true),
            other => other?,
        }
        let is_done = tokio::select! {
            is_off = context.world.wait_until(left.min(ASK_AGAIN), |snapshot| is_off(snapshot, vm_uuid)) => is_off,
            () = context.cancel.wait() => false,
        };
        if is_done {
            return Ok(true);
        }
    }
}
