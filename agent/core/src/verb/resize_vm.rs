//! Change cpu and memory of a VM, or go back to those from before. A VM that runs is restarted for it.
//!
//! ```text
//!   off      resize                                  former shape kept: awaits confirm_resize or revert_resize
//!   running  shutdown ▸ switch_off ▸ resize ▸ start
//! ```

use super::stop_vm::{is_off, shut_down};
use super::{Outputs, PlanView, Planned, ResizeVmInput, Step, StepContext, Verb, VmOnlyInput, check, domain_spec};
use crate::error::ErrorRecord;
use crate::model::{
    DesiredPower, FormerShape, Named, ObservedVm, PowerState, ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind, VmRecord, VmStatus,
};
use crate::port::Write;
use crate::{Result, fail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The plan of a resize or of its revert.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResizeVm {
    /// Resize, or revert.
    #[serde(default = "resize_kind")]
    kind: VerbKind,
    before: Arc<VmRecord>,
    after: Arc<VmRecord>,
    /// It runs, and is switched off for it.
    #[serde(default)]
    is_stopped_first: bool,
    /// It is switched on at the end.
    #[serde(default)]
    is_started: bool,
    /// How long its guest may take to shut down before it is switched off.
    #[serde(default)]
    timeout_seconds: u64,
}

/// What a plan is that an earlier version stored: it knew no other kind.
fn resize_kind() -> VerbKind {
    VerbKind::ResizeVm
}

impl ResizeVm {
    /// The specification that the VM is to have.
    pub(super) fn specification_uuid(&self) -> Option<Uuid> {
        self.after.specification.as_ref().map(|named| named.uuid)
    }
}

pub(super) fn plan(input: &ResizeVmInput, view: PlanView<'_>) -> Result<Planned> {
    let has_shape = input.cpu_cores.is_some() || input.memory_bytes.is_some();
    if input.specification_uuid.is_some() == has_shape {
        return Err(fail!(ParameterMissing,
            "either specification_uuid, or cpu_cores and/or memory_size"; "须提供 specification_uuid，或 cpu_cores、memory_size"));
    }
    let target = check::vm(&view, input.vm_uuid, VerbKind::ResizeVm)?;
    let (is_running, record) = (target.vm.status == VmStatus::Running, target.record);
    if is_running && !input.is_restarting {
        return Err(fail!(VmStateNotAllowed,
            "running; stop it first, or let the resize restart it"; "运行中；请先停止，或允许在调整规格时重启"));
    }
    if record.resized_from.is_some() {
        return Err(fail!(VmStateNotAllowed,
            "resized already; confirm or revert that first"; "上一次规格调整尚未确认；请先确认或回退"));
    }
    let mut after = VmRecord::clone(record);
    set_shape(&mut after, input, &view)?;
    check::shape(&view, after.cpu_cores, after.memory_bytes)?;
    super::check_capacity(&view, input.vm_uuid, after.cpu_cores, after.memory_bytes)?;
    let former = || FormerShape {
        cpu_cores: record.cpu_cores,
        memory_bytes: record.memory_bytes,
        specification: record.specification.clone(),
        was_running: is_running,
    };
    after.resized_from = input.keeps_previous.then(|| Box::new(former()));
    Ok(planned(VerbKind::ResizeVm, &target, after, is_running, view))
}

fn set_shape(record: &mut VmRecord, input: &ResizeVmInput, view: &PlanView<'_>) -> Result<()> {
    if let Some(uuid) = input.specification_uuid {
        let spec = check::specification(view, uuid)?;
        record.specification = Some(Named { uuid, name: spec.specification_name.clone() });
        record.cpu_cores = spec.cpu_cores;
        record.memory_bytes = spec.memory_bytes;
    } else {
        record.specification = None;
        record.cpu_cores = input.cpu_cores.unwrap_or(record.cpu_cores);
        record.memory_bytes = input.memory_bytes.unwrap_or(record.memory_bytes);
    }
    Ok(())
}

/// The shape that a VM can go back to.
pub(super) fn former_shape(record: &VmRecord) -> Result<&FormerShape> {
    record
        .resized_from
        .as_deref()
        .ok_or_else(|| fail!(VmStateNotAllowed, "no resize of it awaits to be confirmed or reverted"; "没有待确认或待回退的规格调整"))
}

pub(super) fn plan_revert(input: &VmOnlyInput, view: PlanView<'_>) -> Result<Planned> {
    let target = check::vm(&view, input.vm_uuid, VerbKind::RevertResize)?;
    let former = former_shape(target.record)?.clone();
    // One that ran before and was not stopped since, but crashed with its new shape, runs again.
    let was_running = former.was_running && target.record.desired_power == DesiredPower::On;
    let runs = target.vm.status == VmStatus::Running || was_running;
    let mut after = VmRecord::clone(target.record);
    after.cpu_cores = former.cpu_cores;
    after.memory_bytes = former.memory_bytes;
    after.specification = former.specification;
    after.resized_from = None;
    if runs {
        super::check_capacity(&view, input.vm_uuid, after.cpu_cores, after.memory_bytes)?;
    }
    Ok(planned(VerbKind::RevertResize, &target, after, runs, view))
}

fn planned(kind: VerbKind, target: &check::Target<'_>, mut after: VmRecord, runs: bool, view: PlanView<'_>) -> Planned {
    let is_running = target.vm.status == VmStatus::Running;
    let is_so = target.vm.observed.as_ref().is_some_and(|observed| runs_as(observed, &after));
    let is_started = runs && !is_so;
    after.update_time = view.now;
    if is_started {
        after.desired_power = DesiredPower::On;
    }
    let after = Arc::new(after);
    // At once: from now on its new shape counts where others ask for room.
    let writes = vec![Write::PutVm(after.clone())];
    let change = ResizeVm {
        kind,
        before: target.record.clone(),
        after,
        is_stopped_first: is_running && !is_so,
        is_started,
        timeout_seconds: view.settings.stop_timeout.as_secs(),
    };
    Planned::new(change, target.vm.name()).with_writes(writes)
}

/// Does it run, with the shape of this record?
fn runs_as(observed: &ObservedVm, record: &VmRecord) -> bool {
    observed.power == PowerState::Running && (observed.cpu_cores, observed.memory_bytes) == (record.cpu_cores, record.memory_bytes)
}

const SHUTDOWN: Step = Step::light("shutdown");
const SWITCH_OFF: Step = Step::light("switch_off");
const RESIZE: Step = Step::light("resize");
const START: Step = Step::start("start");

impl ResizeVm {
    /// The VM as it will be.
    pub(super) fn record(&self) -> &VmRecord {
        &self.after
    }

    /// It runs as it should: a former run of the daemon got that far.
    fn is_so(&self, snapshot: &Snapshot) -> bool {
        let observed = snapshot.vms.get(&self.after.vm_uuid).and_then(|vm| vm.observed.as_ref());
        observed.is_some_and(|observed| runs_as(observed, &self.after))
    }

    async fn give_shape(&self, record: &VmRecord, context: &StepContext) -> Result<()> {
        context.hypervisor.resize(&domain_spec(record, &context.world.load())).await
    }

    /// Switches on what ran before.
    async fn run_again(&self, context: &StepContext) -> Result<()> {
        let vm_uuid = self.before.vm_uuid;
        let power = context.hypervisor.observe(vm_uuid).await?.map(|observed| observed.power);
        if matches!(power, Some(PowerState::Running | PowerState::ShuttingDown)) {
            // Its guest was asked and may still be on its way down.
            context.world.wait_until(Duration::from_secs(self.timeout_seconds), |snapshot| is_off(snapshot, vm_uuid)).await;
        }
        context.hypervisor.ensure_started(vm_uuid).await
    }
}

#[async_trait]
impl Verb for ResizeVm {
    fn kind(&self) -> VerbKind {
        self.kind
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Vm, uuid: self.after.vm_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        match (self.is_stopped_first, self.is_started) {
            (true, _) => &[SHUTDOWN, SWITCH_OFF, RESIZE, START],
            (false, true) => &[RESIZE, START],
            (false, false) => &[RESIZE],
        }
    }

    async fn run(&self, step: &'static str, context: &StepContext) -> Result<Value> {
        let vm_uuid = self.after.vm_uuid;
        let is_so = self.is_so(&context.world.load());
        if step == SHUTDOWN.name && !is_so {
            let is_off = shut_down(vm_uuid, Duration::from_secs(self.timeout_seconds), context).await?;
            return Ok(json!({ "guest_answered": is_off }));
        } else if step == SWITCH_OFF.name && !is_so {
            context.hypervisor.ensure_destroyed(vm_uuid).await?;
        } else if step == RESIZE.name {
            if !is_so {
                self.give_shape(&self.after, context).await?;
            }
            context.describe(&self.after).await?;
        } else if step == START.name {
            context.hypervisor.ensure_started(vm_uuid).await?;
        }
        Ok(Value::Null)
    }

    async fn undo(&self, step: &'static str, context: &StepContext) -> Result<()> {
        if step == START.name {
            context.hypervisor.ensure_destroyed(self.before.vm_uuid).await?;
        } else if step == RESIZE.name {
            let observed = context.hypervisor.observe(self.before.vm_uuid).await?;
            // One that ran with this shape before was not touched.
            if !observed.is_some_and(|observed| runs_as(&observed, &self.after)) {
                self.give_shape(&self.before, context).await?;
            }
            context.describe(&self.before).await?;
        } else if step == SHUTDOWN.name {
            self.run_again(context).await?;
        }
        Ok(())
    }

    fn succeed(&self, _snapshot: &Snapshot, _outputs: &Outputs, now: Timestamp) -> Vec<Write> {
        let mut record = VmRecord::clone(&self.after);
        if self.is_started {
            record.start_time = Some(now);
            record.error = None;
        }
        vec![Write::PutVm(Arc::new(record))]
    }

    fn fail(&self, _snapshot: &Snapshot, _error: &ErrorRecord, _now: Timestamp) -> Vec<Write> {
        vec![Write::PutVm(self.before.clone())]
    }
}
