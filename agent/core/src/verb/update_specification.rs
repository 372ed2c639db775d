//! Change a cpu and memory shape. VMs made from it stay as they are.

use super::{Outputs, PlanView, Planned, Step, StepContext, UpdateSpecificationInput, Verb, check};
use crate::model::{ResourceKey, ResourceType, Snapshot, Specification, Timestamp, VerbKind};
use crate::port::Write;
use crate::{Result, fail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The plan: all of it is in the record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpdateSpecification {
    after: Arc<Specification>,
}

pub(super) fn plan(input: &UpdateSpecificationInput, view: PlanView<'_>) -> Result<Planned> {
    if let Some(name) = &input.new_name {
        check::name("new_name", name)?;
    }
    if let Some(description) = &input.description {
        check::description(description)?;
    }
    let uuid = input.specification_uuid;
    if *input == (UpdateSpecificationInput { specification_uuid: uuid, ..UpdateSpecificationInput::default() }) {
        return Err(fail!(ParameterMissing,
            "one of new_name, description, cpu_cores, memory_size, storage_size"; "new_name、description、cpu_cores、memory_size、storage_size 至少一项"));
    }
    let before = check::specification(&view, uuid)?;
    if let Some(name) = &input.new_name {
        check::specification_name_is_free(&view, name, Some(uuid))?;
    }
    let mut after = Specification::clone(before);
    after.specification_name = input.new_name.clone().unwrap_or(after.specification_name);
    after.description = input.description.clone().unwrap_or(after.description);
    after.cpu_cores = input.cpu_cores.unwrap_or(after.cpu_cores);
    after.memory_bytes = input.memory_bytes.unwrap_or(after.memory_bytes);
    after.storage_bytes = input.storage_bytes.unwrap_or(after.storage_bytes);
    check::shape(&view, after.cpu_cores, after.memory_bytes)?;
    if after.storage_bytes > 0 {
        check::disk_size(&view, "storage_size", after.storage_bytes)?;
    }
    Ok(Planned::new(UpdateSpecification { after: Arc::new(after) }, &before.specification_name))
}

#[async_trait]
impl Verb for UpdateSpecification {
    fn kind(&self) -> VerbKind {
        VerbKind::UpdateSpecification
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Specification, uuid: self.after.specification_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        &[]
    }

    async fn run(&self, _step: &'static str, _context: &StepContext) -> Result<Value> {
        Ok(Value::Null)
    }

    fn succeed(&self, _snapshot: &Snapshot, _outputs: &Outputs, _now: Timestamp) -> Vec<Write> {
        vec![Write::PutSpecification(self.after.clone())]
    }
}
