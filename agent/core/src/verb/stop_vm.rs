//! Switch a VM off: ask the guest, wait, then switch off without asking.

use super::{Outputs, PlanView, Planned, Step, StepContext, StopVmInput, Verb, check};
use crate::error::ErrorRecord;
use crate::model::{DesiredPower, PowerState, ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind, VmRecord, VmStatus};
use crate::port::Write;
use crate::{ErrorCode, Result, fail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
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
    /// For a stop that is canceled.
    #[serde(default)]
    desired_before: DesiredPower,
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
    let desired_before = target.record.desired_power;
    // At once: from now on nobody may start it again by himself, however far this gets.
    let writes = with_desired_power(view.snapshot, input.vm_uuid, DesiredPower::Off);
    let change = StopVm { vm_uuid: input.vm_uuid, is_forced: input.is_forced, timeout_seconds, desired_before };
    Ok(Planned::new(change, target.vm.name()).with_writes(writes))
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

    fn succeed(&self, snapshot: &Snapshot, _outputs: &Outputs, _now: Timestamp) -> Vec<Write> {
        with_desired_power(snapshot, self.vm_uuid, DesiredPower::Off)
    }

    fn fail(&self, snapshot: &Snapshot, error: &ErrorRecord, _now: Timestamp) -> Vec<Write> {
        // Only who cancels a stop takes the wish back. One that fails half-way may have reached the guest already.
        let desired = if error.code == ErrorCode::JobCanceled { self.desired_before } else { DesiredPower::Off };
        with_desired_power(snapshot, self.vm_uuid, desired)
    }

    fn is_cancelable(&self) -> bool {
        !self.is_forced
    }
}

/// The VM's record with what it should do; nothing where it says so already.
pub(super) fn with_desired_power(snapshot: &Snapshot, vm_uuid: Uuid, desired_power: DesiredPower) -> Vec<Write> {
    let Some(record) = snapshot.vms.get(&vm_uuid).and_then(|vm| vm.record.as_ref()) else { return Vec::new() };
    if record.desired_power == desired_power {
        return Vec::new();
    }
    vec![Write::PutVm(Arc::new(VmRecord { desired_power, ..VmRecord::clone(record) }))]
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
