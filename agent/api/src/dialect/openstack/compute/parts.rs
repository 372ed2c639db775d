//! Parts of servers that are read only here, and what a single node has none of.

use super::super::call::{Call, Outcome, Reply};
use super::super::errors::Fault;
use super::super::network::{fixed_addresses, security_group_id};
use super::super::version::since;
use super::find;
use super::view::{addresses_value, is_block_storage, volumes_of};
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{Nic, Vm, Volume};
use serde_json::{Value, json};
use std::sync::Arc;

pub(in super::super) async fn addresses(call: Call) -> Outcome {
    let snapshot = call.snapshot();
    Reply::ok(&json!({ "addresses": addresses_value(&snapshot, find(&call, &snapshot)?) }))
}

pub(in super::super) async fn addresses_on(call: Call) -> Outcome {
    let snapshot = call.snapshot();
    let all = addresses_value(&snapshot, find(&call, &snapshot)?);
    let name = call.param(1);
    let some = all
        .get(name)
        .ok_or_else(|| Fault::not_found(format!("Network {} could not be found.", name.chars().take(64).collect::<String>())))?;
    Reply::ok(&json!({ name: some }))
}

fn nics(vm: &Vm) -> &[Nic] {
    vm.record.as_ref().map_or(&[], |record| record.nics.as_slice())
}

fn interface_object(call: &Call, snapshot: &Snapshot, nic: &Nic) -> Value {
    let mut interface = json!({
        "port_id": nic.interface_uuid, "net_id": nic.network_uuid, "mac_addr": nic.mac_address, "port_state": "ACTIVE",
        "fixed_ips": fixed_addresses(snapshot, nic),
    });
    if call.version >= since::ATTACHMENT_TAG {
        interface["tag"] = Value::Null;
    }
    interface
}

pub(in super::super) async fn interfaces(call: Call) -> Outcome {
    let snapshot = call.snapshot();
    let nics = nics(find(&call, &snapshot)?).iter().map(|nic| interface_object(&call, &snapshot, nic));
    Reply::ok(&json!({ "interfaceAttachments": nics.collect::<Vec<_>>() }))
}

pub(in super::super) async fn interface(call: Call) -> Outcome {
    let snapshot = call.snapshot();
    let nic = nics(find(&call, &snapshot)?).iter().find(|nic| Some(nic.interface_uuid) == call.uuid(1));
    let nic = nic.ok_or_else(|| Fault::not_found("The port is not attached to this instance."))?;
    Reply::ok(&json!({ "interfaceAttachment": interface_object(&call, &snapshot, nic) }))
}

fn attachment_object(call: &Call, vm: &Vm, volume: &Volume) -> Value {
    let mut attachment = json!({
        "id": volume.volume_uuid, "volumeId": volume.volume_uuid, "serverId": vm.uuid(), "device": format!("/dev/{}", volume.device),
    });
    if call.version >= since::ATTACHMENT_TAG {
        attachment["tag"] = Value::Null;
    }
    attachment
}

fn attached<'a>(snapshot: &'a Snapshot, vm: &'a Vm) -> impl Iterator<Item = &'a Arc<Volume>> {
    volumes_of(snapshot, vm).filter(|volume| is_block_storage(volume))
}

pub(in super::super) async fn attachments(call: Call) -> Outcome {
    let snapshot = call.snapshot();
    let vm = find(&call, &snapshot)?;
    let list: Vec<_> = attached(&snapshot, vm).map(|volume| attachment_object(&call, vm, volume)).collect();
    Reply::ok(&json!({ "volumeAttachments": list }))
}

pub(in super::super) async fn attachment(call: Call) -> Outcome {
    let snapshot = call.snapshot();
    let vm = find(&call, &snapshot)?;
    let volume = attached(&snapshot, vm).find(|volume| Some(volume.volume_uuid) == call.uuid(1));
    let volume = volume.ok_or_else(|| Fault::not_found("The volume is not attached to this instance."))?;
    Reply::ok(&json!({ "volumeAttachment": attachment_object(&call, vm, volume) }))
}

fn default_group() -> Value {
    json!({ "id": security_group_id(), "name": "default", "description": "Default security group", "tenant_id": super::super::convert::project_id(), "rules": [] })
}

pub(in super::super) async fn security_groups(call: Call) -> Outcome {
    find(&call, &call.snapshot())?;
    Reply::ok(&json!({ "security_groups": [default_group()] }))
}

pub(in super::super) async fn all_security_groups(call: Call) -> Outcome {
    if call.version >= since::NO_NETWORK_PROXY {
        return Err(Fault::not_found("The resource could not be found."));
    }
    Reply::ok(&json!({ "security_groups": [default_group()] }))
}

pub(in super::super) async fn migrations(_: Call) -> Outcome {
    Reply::ok(&json!({ "migrations": [] }))
}

pub(in super::super) async fn aggregates(_: Call) -> Outcome {
    Reply::ok(&json!({ "aggregates": [] }))
}

pub(in super::super) async fn server_groups(_: Call) -> Outcome {
    Reply::ok(&json!({ "server_groups": [] }))
}

pub(in super::super) async fn extensions(_: Call) -> Outcome {
    Reply::ok(&json!({ "extensions": [] }))
}
