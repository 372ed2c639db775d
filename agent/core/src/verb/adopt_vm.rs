//! Take over somebody else's VM, and give one up. Neither touches the guest, its disks or its addresses: only our metadata in its
//! definition and our record come and go.

use super::{AdoptVmInput, Outputs, PlanView, Planned, Step, StepContext, Verb, VmOnlyInput, check};
use crate::model::{
    BootSource, DEFAULT_TENANT_UUID, NAME_LENGTH_MAX, Nic, ObservedVm, ResourceKey, ResourceType, Snapshot, Timestamp, VerbKind, VmOrigin,
    VmPhase, VmRecord, check_name,
};
use crate::port::Write;
use crate::{Result, fail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// The plan of an adoption.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdoptVm {
    record: Arc<VmRecord>,
}

/// The plan of a release.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReleaseVm {
    record: Arc<VmRecord>,
}

pub(super) fn plan_adopt(input: &AdoptVmInput, view: PlanView<'_>) -> Result<Planned> {
    if let Some(name) = &input.new_name {
        check::name("new_name", name)?;
    }
    let vm = view.snapshot.vms.get(&input.vm_uuid).ok_or_else(|| fail!(VmNotExist))?;
    let Some(observed) = &vm.observed else { return Err(fail!(VmNotExist)) };
    if vm.record.is_some() {
        return Err(fail!(AlreadyExist, "this vm is managed by this node already"; "该虚拟机已由本节点管理"));
    }
    check::hypervisor_is_up(&view)?;
    if !observed.is_persistent {
        return Err(fail!(NotSupported, "a transient domain cannot be adopted; define it first"; "临时域无法纳管，请先定义"));
    }
    let vm_name = input.new_name.clone().unwrap_or_else(|| fitting_name(&observed.domain_name, observed.vm_uuid));
    check::vm_name_is_free(&view, &vm_name, Some(input.vm_uuid))?;
    let record = Arc::new(record_of(observed, vm_name, &view));
    let name = record.vm_name.clone();
    Ok(Planned::new(AdoptVm { record }, &name))
}

/// The domain's own name where it is one of ours too, else one made from its uuid.
fn fitting_name(domain_name: &str, vm_uuid: Uuid) -> String {
    if check_name(domain_name).is_ok() && domain_name.chars().count() <= NAME_LENGTH_MAX {
        domain_name.to_owned()
    } else {
        format!("vm-{vm_uuid}")
    }
}

/// A record that says of the domain what it is. It owns no disk: what we did not make we never remove.
fn record_of(observed: &ObservedVm, vm_name: String, view: &PlanView<'_>) -> VmRecord {
    let nic = |nic: &crate::model::ObservedNic| {
        let network = view.snapshot.networks.values().find(|n| n.network_name == nic.source);
        Nic {
            interface_uuid: Uuid::new_v4(),
            network_uuid: network.map_or(Uuid::nil(), |n| n.network_uuid),
            network_name: nic.source.clone(),
            is_host_bridge: network.is_none_or(|n| n.is_host_bridge),
            mac_address: nic.mac_address,
            ip_address: None,
            model: nic.model.clone(),
        }
    };
    VmRecord {
        vm_uuid: observed.vm_uuid,
        vm_name,
        domain_name: observed.domain_name.to_string(),
        description: String::new(),
        cpu_cores: observed.cpu_cores,
        memory_bytes: observed.memory_bytes,
        specification: None,
        resized_from: None,
        image: None,
        tenant_uuid: DEFAULT_TENANT_UUID,
        user_name: view.caller.user_name.as_str().into(),
        boot: BootSource::Disk,
        firmware: observed.firmware,
        architecture: observed.architecture.clone(),
        auto_start: observed.auto_start,
        locked: false,
        restart_on_crash: false,
        has_seed: false,
        desired_power: observed.power.as_desired(),
        expire_time: None,
        volumes: Vec::new(),
        nics: observed.nics.iter().map(nic).collect(),
        metadata: BTreeMap::new(),
        origin: VmOrigin::Adopted,
        phase: VmPhase::Ready,
        create_time: view.now,
        update_time: view.now,
        start_time: None,
        error: None,
    }
}

pub(super) fn plan_release(input: &VmOnlyInput, view: PlanView<'_>) -> Result<Planned> {
    let target = check::vm(&view, input.vm_uuid, VerbKind::ReleaseVm)?;
    Ok(Planned::new(ReleaseVm { record: target.record.clone() }, target.vm.name()))
}

const DESCRIBE: Step = Step::light("describe");
const FORGET: Step = Step::light("forget");

#[async_trait]
impl Verb for AdoptVm {
    fn kind(&self) -> VerbKind {
        VerbKind::AdoptVm
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Vm, uuid: self.record.vm_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        &[DESCRIBE]
    }

    async fn run(&self, _step: &'static str, context: &StepContext) -> Result<Value> {
        context.describe(&self.record).await?;
        Ok(Value::Null)
    }

    async fn undo(&self, _step: &'static str, context: &StepContext) -> Result<()> {
        context.hypervisor.remove_description(self.record.vm_uuid).await
    }

    fn succeed(&self, _snapshot: &Snapshot, _outputs: &Outputs, _now: Timestamp) -> Vec<Write> {
        vec![Write::PutVm(self.record.clone())]
    }
}

#[async_trait]
impl Verb for ReleaseVm {
    fn kind(&self) -> VerbKind {
        VerbKind::ReleaseVm
    }

    fn resource(&self) -> ResourceKey {
        ResourceKey { kind: ResourceType::Vm, uuid: self.record.vm_uuid }
    }

    fn steps(&self) -> &'static [Step] {
        &[FORGET]
    }

    async fn run(&self, _step: &'static str, context: &StepContext) -> Result<Value> {
        context.hypervisor.remove_description(self.record.vm_uuid).await?;
        Ok(Value::Null)
    }

    async fn undo(&self, _step: &'static str, context: &StepContext) -> Result<()> {
        context.describe(&self.record).await
    }

    fn succeed(&self, snapshot: &Snapshot, _outputs: &Outputs, _now: Timestamp) -> Vec<Write> {
        // Its disks go with it: their files stay where they are, in use by a VM that is not ours any more.
        let owned = snapshot.volumes.values().filter(|v| v.vm_uuid == Some(self.record.vm_uuid));
        let mut writes: Vec<Write> = owned.map(|v| Write::DeleteVolume(v.volume_uuid)).collect();
        writes.push(Write::DeleteVm(self.record.vm_uuid));
        writes
    }
}
