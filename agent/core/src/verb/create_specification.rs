//! Make a cpu and memory shape.

use super::{CreateSpecificationInput, Outputs, PlanView, Planned, Step, StepContext, Verb, check};
use crate::model::{ResourceKey, ResourceType, Snapshot, Specification, Timestamp, VerbKind};
use crate::port::Write;
use crate::{Result, fail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The plan: all of it is in the record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateSpecification {
    specification: Arc<Specification>,
}

pub(super) fn plan(input: &CreateSpecificationInput, view: PlanView<'_>) -> Result<Planned> {
    check::name("specification_name", &input.specification_name)?;
    check::description(&input.description)?;
    check::shape(&view, input.cpu_cores, input.memory_bytes)?;
    if input.storage_bytes > 0 {
        check::disk_size(&view, "storage_size", input.storage_bytes)?;
    }
    let is_taken = |uuid| view.snapshot.specifications.contains_key(&uuid);
    let specification_uuid = check::chosen_uuid("specification_uuid", input.specification_uuid, is_taken)?;
    check::specification_name_is_free(&view, &input.specification_name, None)?;
    let most = view.settings.specifications_max;
    if view.snapshot.specifications.len() >= most {
        return Err(fail!(HostInsufficient, "this node holds at most {most} specifications"; "本节点最多 {most} 个规格"));
    }
    let specification = Specification {
        specification_uuid,
        specification_name: input.specification_name.clone(),
        description: input.description.clone(),
        cpu_cores: input.cpu_cores,
        memory_bytes: input.memory_bytes,
        storage_bytes: input.storage_bytes,
        create_time: view.now,
    };
    Ok(Planned::new(CreateSpecification { specification: Arc::new(specification) }, &input.specification_name))
}

#[async_trait]
impl Verb for CreateSpecification {
    fn kind(&self) -> VerbKind {
        VerbKind::CreateSpecification
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
        vec![Write::PutSpecification(self.specification.clone())]
    }
}
