//! Change cpu and memory of a VM that is off.

use super::{Outputs, PlanView, Planned, ResizeVmInput, Step, StepContext, Verb, check, domain_spec};
use crate::model::{Named, ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind, VmRecord};
use crate::port::Write;
use crate::{Result, fail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// The plan of a resize.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResizeVm {
    before: Arc<VmRecord>,
    after: Arc<VmRecord>,
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
    let mut after = VmRecord::clone(target.record);
    match input.specification_uuid {
        Some(uuid) => {
            let spec = check::specification(&view, uuid)?;
            after.specification = Some(Named { uuid, name: spec.specification_name.clone() });
            after.cpu_cores = spec.cpu_cores;
            after.memory_bytes = spec.memory_bytes;
        }
        None => {
            after.specification = None;
            after.cpu_cores = input.cpu_cores.unwrap_or(after.cpu_cores);
            after.memory_bytes = input.memory_bytes.unwrap_or(after.memory_bytes);
        }
    }
    check::shape(&view, after.cpu_cores, after.memory_bytes)?;
    super::check_capacity(&view, input.vm_uuid, after.cpu_cores, after.memory_bytes)?;
    after.update_time = view.now;
    Ok(Planned::new(ResizeVm { before: target.record.clone(), after: Arc::new(after) }, target.vm.name()))
}

impl ResizeVm {
    /// The VM as it will be.
    pub(super) fn record(&self) -> &VmRecord {
        &self.after
    }
}

#[async_trait]
impl Verb for ResizeVm {
    fn kind(&self) -> VerbKind {
        VerbKind::ResizeVm
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Vm, uuid: self.after.vm_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        const { &[Step::light("resize")] }
    }

    async fn run(&self, _step: &'static str, context: &StepContext) -> Result<Value> {
        context.hypervisor.resize(&domain_spec(&self.after, &context.world.load())).await?;
        Ok(Value::Null)
    }

    async fn undo(&self, _step: &'static str, context: &StepContext) -> Result<()> {
        context.hypervisor.resize(&domain_spec(&self.before, &context.world.load())).await
    }

    fn succeed(&self, _snapshot: &Snapshot, _outputs: &Outputs, _now: Timestamp) -> Vec<Write> {
        vec![Write::PutVm(self.after.clone())]
    }
}
