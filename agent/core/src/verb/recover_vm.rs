//! Take a VM out of the trash.

use super::{Outputs, PlanView, Planned, Step, StepContext, Verb, VmOnlyInput, check};
use crate::Result;
use crate::model::{ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind, VmPhase, VmRecord};
use crate::port::Write;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The plan of a recovery.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecoverVm {
    before: Arc<VmRecord>,
    after: Arc<VmRecord>,
}

pub(super) fn plan(input: &VmOnlyInput, view: PlanView<'_>) -> Result<Planned> {
    let target = check::vm(&view, input.vm_uuid, VerbKind::RecoverVm)?;
    let mut after = VmRecord::clone(target.record);
    after.phase = VmPhase::Ready;
    after.expire_time = None;
    after.update_time = view.now;
    Ok(Planned::new(RecoverVm { before: target.record.clone(), after: Arc::new(after) }, target.vm.name()))
}

#[async_trait]
impl Verb for RecoverVm {
    fn kind(&self) -> VerbKind {
        VerbKind::RecoverVm
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
