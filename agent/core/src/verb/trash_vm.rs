//! Put a VM into the trash: it is switched off and does not start with the host, everything else of it stays as it is.

use super::delete_vm::{GraceInput, shut_down_or_switch_off, wished_again};
use super::stop_vm::with_desired_power;
use super::{Outputs, Step, StepContext, Verb, domain_spec};
use crate::error::ErrorRecord;
use crate::model::{DesiredPower, ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind, VmPhase, VmRecord};
use crate::port::{DomainSpec, Write};
use crate::{ErrorCode, Result};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// The plan of a delete that keeps everything for a while.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrashVm {
    before: Arc<VmRecord>,
    after: Arc<VmRecord>,
    is_forced: bool,
}

impl TrashVm {
    pub(super) fn new(record: &Arc<VmRecord>, expire_time: Timestamp, is_forced: bool, now: Timestamp) -> Self {
        let mut after = VmRecord::clone(record);
        after.phase = VmPhase::Trashed;
        after.desired_power = DesiredPower::Off;
        after.expire_time = Some(expire_time);
        after.update_time = now;
        Self { before: record.clone(), after: Arc::new(after), is_forced }
    }

    fn spec(record: &VmRecord, context: &StepContext, is_started_with_host: bool) -> DomainSpec {
        let mut spec = domain_spec(record, &context.world.load());
        spec.auto_start = is_started_with_host;
        spec
    }
}

const SWITCH_OFF: Step = Step::light("switch_off");
const DESCRIBE: Step = Step::light("describe");

#[async_trait]
impl Verb for TrashVm {
    fn kind(&self) -> VerbKind {
        VerbKind::DeleteVm
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Vm, uuid: self.after.vm_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        &[SWITCH_OFF, DESCRIBE]
    }

    async fn run(&self, step: &'static str, context: &StepContext) -> Result<Value> {
        if step == SWITCH_OFF.name {
            let grace = GraceInput { vm_uuid: self.after.vm_uuid, is_forced: self.is_forced };
            shut_down_or_switch_off(&grace, context).await?;
        } else if step == DESCRIBE.name {
            context.hypervisor.update_description(&Self::spec(&self.after, context, false)).await?;
        }
        Ok(Value::Null)
    }

    async fn undo(&self, step: &'static str, context: &StepContext) -> Result<()> {
        if step == DESCRIBE.name {
            context.hypervisor.update_description(&Self::spec(&self.before, context, self.before.auto_start)).await?;
        }
        Ok(())
    }

    fn succeed(&self, _snapshot: &Snapshot, _outputs: &Outputs, _now: Timestamp) -> Vec<Write> {
        vec![Write::PutVm(self.after.clone())]
    }

    fn fail(&self, snapshot: &Snapshot, error: &ErrorRecord, _now: Timestamp) -> Vec<Write> {
        let vm_uuid = self.after.vm_uuid;
        let desired = snapshot.vms.get(&vm_uuid).and_then(|vm| vm.record.as_ref()).map_or(DesiredPower::Off, |r| r.desired_power);
        match error.code {
            ErrorCode::JobCanceled => with_desired_power(snapshot, vm_uuid, wished_again(desired, self.before.desired_power)),
            _ => Vec::new(),
        }
    }
}
