//! Change what is said about a VM: name, description, flags, metadata. Its domain keeps its name.

use super::{Outputs, PlanView, Planned, Step, StepContext, UpdateVmInput, Verb, check};
use crate::model::{ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind, VmRecord};
use crate::port::Write;
use crate::{Result, fail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The plan of an update.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpdateVm {
    before: Arc<VmRecord>,
    after: Arc<VmRecord>,
}

pub(super) fn plan(input: &UpdateVmInput, view: PlanView<'_>) -> Result<Planned> {
    if let Some(name) = &input.new_name {
        check::name("new_name", name)?;
    }
    if let Some(description) = &input.description {
        check::description(description)?;
    }
    if let Some(metadata) = &input.metadata {
        check::metadata(metadata)?;
    }
    if *input == (UpdateVmInput { vm_uuid: input.vm_uuid, ..UpdateVmInput::default() }) {
        return Err(fail!(ParameterMissing,
            "one of new_name, description, auto_start, restart_on_crash, locked, metadata";
            "new_name、description、auto_start、restart_on_crash、locked、metadata 至少一项"));
    }
    let target = check::vm(&view, input.vm_uuid, VerbKind::UpdateVm)?;
    if let Some(name) = &input.new_name {
        check::vm_name_is_free(&view, name, Some(input.vm_uuid))?;
    }
    let mut after = VmRecord::clone(target.record);
    after.vm_name = input.new_name.clone().unwrap_or(after.vm_name);
    after.description = input.description.clone().unwrap_or(after.description);
    after.auto_start = input.auto_start.unwrap_or(after.auto_start);
    after.restart_on_crash = input.restart_on_crash.unwrap_or(after.restart_on_crash);
    after.locked = input.locked.unwrap_or(after.locked);
    after.metadata = input.metadata.clone().unwrap_or(after.metadata);
    after.update_time = view.now;
    let after = Arc::new(after);
    // The new record is taken at once, so that nobody else can take its name meanwhile; a failure puts the old one back.
    let writes = vec![Write::PutVm(after.clone())];
    let change = UpdateVm { before: target.record.clone(), after };
    Ok(Planned::new(change, target.vm.name()).with_writes(writes))
}

#[async_trait]
impl Verb for UpdateVm {
    fn kind(&self) -> VerbKind {
        VerbKind::UpdateVm
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Vm, uuid: self.after.vm_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        const { &[Step::light("describe")] }
    }

    async fn run(&self, _step: &'static str, context: &StepContext) -> Result<Value> {
        context.describe(&self.after).await?;
        Ok(Value::Null)
    }

    async fn undo(&self, _step: &'static str, context: &StepContext) -> Result<()> {
        context.describe(&self.before).await
    }

    fn succeed(&self, _snapshot: &Snapshot, _outputs: &Outputs, _now: Timestamp) -> Vec<Write> {
        vec![Write::PutVm(self.after.clone())]
    }

    fn fail(&self, _snapshot: &Snapshot, _error: &crate::error::ErrorRecord, _now: Timestamp) -> Vec<Write> {
        vec![Write::PutVm(self.before.clone())]
    }
}
