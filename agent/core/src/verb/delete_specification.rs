//! Remove a cpu and memory shape that no VM was made from.

use super::{DeleteSpecificationInput, Outputs, PlanView, Planned, Step, StepContext, Verb, check};
use crate::model::{ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind};
use crate::port::Write;
use crate::{Result, fail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteSpecification {
    specification_uuid: Uuid,
}

pub(super) fn plan(input: &DeleteSpecificationInput, view: PlanView<'_>) -> Result<Planned> {
    let specification_uuid = input.specification_uuid;
    let specification = check::specification(&view, specification_uuid)?;
    let is_user =
        |vm: &crate::model::Vm| vm.record.as_ref().and_then(|r| r.specification.as_ref()).is_some_and(|s| s.uuid == specification_uuid);
    if view.snapshot.vms.values().any(|vm| is_user(vm)) {
        return Err(fail!(SpecificationInUse));
    }
    Ok(Planned::new(DeleteSpecification { specification_uuid }, &specification.specification_name))
}

#[async_trait]
impl Verb for DeleteSpecification {
    fn kind(&self) -> VerbKind {
        VerbKind::DeleteSpecification
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Specification, uuid: self.specification_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        &[]
    }

    async fn run(&self, _step: &'static str, _context: &StepContext) -> Result<Value> {
        Ok(Value::Null)
    }

    fn succeed(&self, _snapshot: &Snapshot, _outputs: &Outputs, _now: Timestamp) -> Vec<Write> {
        vec![Write::DeleteSpecification(self.specification_uuid)]
    }
}
