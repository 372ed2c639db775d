//! Remove a cpu and memory shape that no VM was made from or can go back to.

use super::{Change, DeleteSpecificationInput, Outputs, PlanView, Planned, Step, StepContext, Verb, check};
use crate::error::ErrorRecord;
use crate::model::{ResourceKey, ResourceType, Snapshot, Specification, Timestamp, VerbKind, Vm};
use crate::port::Write;
use crate::{Result, fail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// The plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteSpecification {
    specification: Arc<Specification>,
}

pub(super) fn plan(input: &DeleteSpecificationInput, view: PlanView<'_>) -> Result<Planned> {
    let specification_uuid = input.specification_uuid;
    let specification = check::specification(&view, specification_uuid)?;
    let is_user = |vm: &Vm| {
        let now = vm.record.as_ref().and_then(|record| record.specification.as_ref());
        let before = vm.resized_from().and_then(|former| former.specification.as_ref());
        now.into_iter().chain(before).any(|named| named.uuid == specification_uuid)
    };
    if view.snapshot.vms.values().any(|vm| is_user(vm)) || will_be_used(&view, specification_uuid) {
        return Err(fail!(SpecificationInUse));
    }
    // It goes with the acceptance, so that no VM can take it while the job ends.
    let writes = vec![Write::DeleteSpecification(specification_uuid)];
    let change = DeleteSpecification { specification: specification.clone() };
    Ok(Planned::new(change, &specification.specification_name).with_writes(writes))
}

/// A resize writes its VM's record only at its end.
fn will_be_used(view: &PlanView<'_>, specification_uuid: Uuid) -> bool {
    let resizes = view.snapshot.open_jobs.values().filter(|job| job.verb == VerbKind::ResizeVm);
    resizes.filter_map(|job| Change::from_job(job).ok()).any(|change| match change {
        Change::ResizeVm(resize) => resize.specification_uuid() == Some(specification_uuid),
        _ => false,
    })
}

#[async_trait]
impl Verb for DeleteSpecification {
    fn kind(&self) -> VerbKind {
        VerbKind::DeleteSpecification
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Specification, uuid: self.specification.specification_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        &[]
    }

    async fn run(&self, _step: &'static str, _context: &StepContext) -> Result<Value> {
        Ok(Value::Null)
    }

    fn succeed(&self, _snapshot: &Snapshot, _outputs: &Outputs, _now: Timestamp) -> Vec<Write> {
        Vec::new()
    }

    fn fail(&self, _snapshot: &Snapshot, _error: &ErrorRecord, _now: Timestamp) -> Vec<Write> {
        vec![Write::PutSpecification(self.specification.clone())]
    }
}
