//! Messages that change VMs: each becomes one change of the engine.

use super::call::{Call, Decoded};
use super::fields::Fields;
use super::job::Posted;
use super::{audit, tag};
use hvnode_core::engine::ChangeRequest;
use hvnode_core::verb::{ChangeInput, DeleteVmInput, RebootVmInput, ResizeVmInput, StopVmInput, UpdateVmInput, VmOnlyInput};
use hvnode_core::{Result, at, fail};

/// Hands a change to the engine; its job is what the client asks for from now on.
pub(super) async fn submit(call: &Call, fields: &Fields, change: ChangeInput) -> Result<Posted> {
    let request = ChangeRequest {
        caller: call.caller.clone(),
        change,
        request_uuid: None,
        action: call.class.to_owned(),
        resource_name: audit::spoken_name(fields),
        request: audit::request(fields),
    };
    let accepted = call.context.engine.submit(request).await.map_err(at!())?;
    let job = accepted.job;
    tag::attach(call, fields, job.resource.uuid).await;
    Ok(Posted::processing(job.job_uuid, job.create_time))
}

fn target(fields: &Fields) -> Result<VmOnlyInput> {
    Ok(VmOnlyInput { vm_uuid: fields.need_uuid("uuid")? })
}

/// A host or a cluster to run on can only be this one.
pub(super) fn check_place(call: &Call, fields: &Fields) -> Result<()> {
    use super::identity::{CLUSTER_UUID, PRIMARY_STORAGE_UUID, ZONE_UUID};
    let own = [
        ("zoneUuid", ZONE_UUID),
        ("clusterUuid", CLUSTER_UUID),
        ("hostUuid", call.snapshot().host_uuid()),
        ("primaryStorageUuidForRootVolume", PRIMARY_STORAGE_UUID),
    ];
    for (field, own) in own {
        if fields.uuid(field)?.is_some_and(|uuid| uuid != own) {
            return Err(fail!(HostNotLocal, "{field}: this node is not there"; "{field}: 本节点不在其中"));
        }
    }
    Ok(())
}

pub(super) fn start(call: &Call, fields: &Fields) -> Decoded {
    let target = target(fields)?;
    check_place(call, fields)?;
    Ok(ChangeInput::StartVm(target))
}

pub(super) fn stop(_: &Call, fields: &Fields) -> Decoded {
    let is_forced = fields.word("type", &["grace", "cold"])? == Some("cold");
    Ok(ChangeInput::StopVm(StopVmInput { vm_uuid: target(fields)?.vm_uuid, is_forced, timeout_seconds: None }))
}

pub(super) fn reboot(_: &Call, fields: &Fields) -> Decoded {
    Ok(ChangeInput::RebootVm(RebootVmInput { vm_uuid: target(fields)?.vm_uuid, is_forced: false }))
}

pub(super) fn pause(_: &Call, fields: &Fields) -> Decoded {
    Ok(ChangeInput::PauseVm(target(fields)?))
}

pub(super) fn resume(_: &Call, fields: &Fields) -> Decoded {
    Ok(ChangeInput::ResumeVm(target(fields)?))
}

/// A destroyed VM is switched off at once and can be recovered, whatever the delete mode says.
pub(super) fn destroy(call: &Call, fields: &Fields) -> Decoded {
    check_delete_mode(fields)?;
    Ok(ChangeInput::DeleteVm(DeleteVmInput {
        vm_uuid: target(fields)?.vm_uuid,
        is_forced: true,
        is_deleting_volumes: false,
        keep_days: Some(call.options.trash_keep_days.max(1)),
    }))
}

/// The two words that deletes take.
pub(super) fn check_delete_mode(fields: &Fields) -> Result<()> {
    fields.word("deleteMode", &["Permissive", "Enforcing"]).map(drop)
}

pub(super) fn expunge(_: &Call, fields: &Fields) -> Decoded {
    Ok(ChangeInput::ExpungeVm(target(fields)?))
}

pub(super) fn recover(_: &Call, fields: &Fields) -> Decoded {
    Ok(ChangeInput::RecoverVm(target(fields)?))
}

/// Name and description, or cpu and memory: two changes of the engine, so one message has one of them.
pub(super) fn update(_: &Call, fields: &Fields) -> Decoded {
    let vm_uuid = target(fields)?.vm_uuid;
    fields.refuse(&["state", "defaultL3NetworkUuid", "platform"])?;
    let (new_name, description) = (fields.name()?, fields.description()?);
    let (cpu_cores, memory_bytes) = (fields.number("cpuNum")?, fields.number("memorySize")?);
    match (new_name.is_some() || description.is_some(), cpu_cores.is_some() || memory_bytes.is_some()) {
        (true, true) => Err(fail!(ParameterInvalid,
            "cpuNum and memorySize must be sent without name and description"; "cpuNum、memorySize 不能与 name、description 同时发送")
        .into()),
        (false, false) => Err(fail!(ParameterMissing,
            "one of name, description, cpuNum, memorySize is mandatory"; "name、description、cpuNum、memorySize 至少一项")
        .into()),
        (true, false) => Ok(ChangeInput::UpdateVm(UpdateVmInput { vm_uuid, new_name, description, ..UpdateVmInput::default() })),
        (false, true) => Ok(ChangeInput::ResizeVm(ResizeVmInput { vm_uuid, cpu_cores, memory_bytes, ..ResizeVmInput::default() })),
    }
}

pub(super) fn change_offering(_: &Call, fields: &Fields) -> Decoded {
    let vm_uuid = fields.need_uuid("vmInstanceUuid")?;
    let specification_uuid = Some(fields.need_uuid("instanceOfferingUuid")?);
    Ok(ChangeInput::ResizeVm(ResizeVmInput { vm_uuid, specification_uuid, ..ResizeVmInput::default() }))
}
