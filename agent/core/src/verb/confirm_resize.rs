//! Forget the shape from before a resize: from now on there is no way back.

use super::{Outputs, PlanView, Planned, Step, StepContext, Verb, VmOnlyInput, check, resize_vm};
use crate::Result;
use crate::model::{ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind, VmRecord};
use crate::port::Write;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The plan of a confirmation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConfirmResize {
    before: Arc<VmRecord>,
    after: Arc<VmRecord>,
}

pub(super) fn plan(input: &VmOnlyInput, view: PlanView<'_>) -> Result<Planned> {
    let target = check::vm(&view, input.vm_uuid, VerbKind::ConfirmResize)?;
    resize_vm::former_shape(target.record)?;
    let after = VmRecord { resized_from: None, update_time: view.now, ..VmRecord::clone(target.record) };
    Ok(Planned::new(ConfirmResize { before: target.record.clone(), after: Arc::new(after) }, target.vm.name()))
}

#[async_trait]
impl Verb for ConfirmResize {
    fn kind(&self) -> VerbKind {
        VerbKind::ConfirmResize
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
}
