//! Networks, their one subnet each, NICs, and the one security group: nothing on this node filters what guests send.

use super::host::{named, shown_vms};
use super::vm::has_ended_well;
use super::zone::cluster_name;
use super::{done, keyed, list, merge, no_operations};
use crate::dialect::chimestack::call::{Call, Outcome};
use crate::dialect::chimestack::errors::Failure;
use crate::dialect::chimestack::input::Input;
use crate::dialect::chimestack::label::{self, Label};
use crate::dialect::chimestack::node::derived;
use crate::dialect::chimestack::shape::{NETWORK, NIC, SECURITY_GROUP, SUBNET};
use hvnode_core::engine::Snapshot;
use hvnode_core::fail;
use hvnode_core::model::{MacAddress, Network, Vm};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::sync::Arc;
use uuid::Uuid;

/// The subnet of a network. Each has one, also where addresses are somebody else's matter: a NIC is asked for by its subnet.
pub(in super::super) fn subnet_uuid(network: &Network) -> Uuid {
    derived(network.network_uuid, "subnet")
}

/// The network of a subnet.
pub(in super::super) fn network_of(snapshot: &Snapshot, subnet: Uuid) -> Option<&Arc<Network>> {
    snapshot.networks.values().find(|network| subnet_uuid(network) == subnet)
}

fn network_view(call: &Call, network: &Network) -> Value {
    let node = call.node();
    json!({
        "uuid": network.network_uuid,
        "name": network.network_name,
        "description": "",
        "interface_name": network.bridge_name,
        "type": 0,
        "vlan_id": "",
        "az_uuid": node.az,
        "cluster_uuid": node.cluster,
        "cluster_name": cluster_name(call),
        "state": call.options.states.network(network.is_active),
        "created_at": null,
    })
}

fn cidr(network: &Network) -> String {
    network.ipv4.as_ref().map(|subnet| subnet.gateway.trunc().to_string()).unwrap_or_default()
}

fn gateway(network: &Network) -> String {
    network.ipv4.as_ref().map(|subnet| subnet.gateway.addr().to_string()).unwrap_or_default()
}

fn subnet_view(call: &Call, network: &Network) -> Value {
    json!({
        "uuid": subnet_uuid(network),
        "name": network.network_name,
        "description": "",
        "cidr": cidr(network),
        "gateway": gateway(network),
        "reserved_ips": "",
        "type": 0,
        "state": call.options.states.network(network.is_active),
        "network_uuid": network.network_uuid,
        "network_name": network.network_name,
        "created_at": null,
    })
}

fn find<'a>(call: &'a Call, input: &Input) -> Result<&'a Arc<Network>, Failure> {
    let uuid = input.required_uuid("NetworkUuid")?;
    call.snapshot.networks.get(&uuid).ok_or_else(|| fail!(NetworkNotExist).into())
}

pub(in super::super) async fn list_networks(call: Call, input: Input) -> Outcome {
    list(&input, &NETWORK, call.snapshot.networks.values().map(|network| network_view(&call, network)).collect())
}

pub(in super::super) async fn show_network(call: Call, input: Input) -> Outcome {
    Ok(keyed("network", network_view(&call, find(&call, &input)?)))
}

pub(in super::super) async fn list_subnets(call: Call, input: Input) -> Outcome {
    list(&input, &SUBNET, vec![subnet_view(&call, find(&call, &input)?)])
}

pub(in super::super) async fn show_subnet(call: Call, input: Input) -> Outcome {
    let network = find(&call, &input)?;
    if input.required_uuid("SubnetUuid")? != subnet_uuid(network) {
        return Err(Failure::no_such("Subnet", fail!(NetworkNotExist)));
    }
    Ok(keyed("subnet", subnet_view(&call, network)))
}

/// A NIC of any VM, ours or not.
struct NicOf<'a> {
    vm: &'a Vm,
    uuid: Uuid,
    index: usize,
    mac_address: MacAddress,
    ip_address: Option<Ipv4Addr>,
    network: Option<&'a Arc<Network>>,
    network_name: &'a str,
}

fn nics_of<'a>(snapshot: &'a Snapshot, vm: &'a Vm) -> Vec<NicOf<'a>> {
    if let Some(record) = &vm.record {
        let nic = |(index, nic): (usize, &'a hvnode_core::model::Nic)| NicOf {
            vm,
            uuid: nic.interface_uuid,
            index,
            mac_address: nic.mac_address,
            ip_address: snapshot.address_of(nic),
            network: snapshot.networks.get(&nic.network_uuid),
            network_name: &nic.network_name,
        };
        return record.nics.iter().enumerate().map(nic).collect();
    }
    let nic = |(index, nic): (usize, &'a hvnode_core::model::ObservedNic)| NicOf {
        vm,
        uuid: derived(vm.uuid(), &nic.mac_address.to_string()),
        index,
        mac_address: nic.mac_address,
        ip_address: snapshot.leased_addresses.get(&nic.mac_address).copied(),
        network: snapshot.networks.values().find(|network| network.network_name == nic.source),
        network_name: &nic.source,
    };
    vm.observed.iter().flat_map(|observed| observed.nics.iter().enumerate().map(nic)).collect()
}

impl NicOf<'_> {
    fn view(&self, call: &Call, is_detail: bool) -> Value {
        let label = Label::of(call, self.uuid);
        let netmask = self.network.and_then(|network| network.ipv4.as_ref()).map(|subnet| subnet.gateway.netmask().to_string());
        let network = self.network.map(AsRef::as_ref);
        let mut view = json!({
            "uuid": self.uuid,
            "name": label.name_or(|| format!("{}-nic{}", self.vm.name(), self.index)),
            "description": label.description,
            "mac": self.mac_address.to_string(),
            "ip": self.ip_address.map(|address| address.to_string()).unwrap_or_default(),
            "gateway": network.map(gateway).unwrap_or_default(),
            "netmask": netmask.unwrap_or_default(),
            "primary": u64::from(self.index == 0),
            "state": call.options.states.nic(has_ended_well(self.vm)),
            "network_name": self.network_name,
            "network_type": 0,
            "subnet_uuid": network.map(subnet_uuid),
            "subnet_name": self.network_name,
            "subnet_cidr": network.map(cidr).unwrap_or_default(),
            "created_at": self.vm.record.as_ref().map(|record| super::time(record.create_time)),
            "attached_vms": [],
            "tasks": [],
        });
        merge(&mut view, no_operations());
        if is_detail {
            view["attached_vms"] = json!([named(self.vm.uuid(), self.vm.name())]);
        }
        view
    }
}

/// The NICs of one VM.
pub(super) fn nics_view(call: &Call, vm: &Vm) -> Vec<Value> {
    nics_of(&call.snapshot, vm).iter().map(|nic| nic.view(call, false)).collect()
}

/// The address by which history knows a NIC, and the VM it belongs to.
pub(super) fn find_nic(call: &Call, uuid: Uuid) -> Result<(Uuid, MacAddress), Failure> {
    let mut nics = shown_vms(&call.snapshot).flat_map(|vm| nics_of(&call.snapshot, vm));
    let nic = nics.find(|nic| nic.uuid == uuid).ok_or_else(|| fail!(InterfaceNotExist))?;
    Ok((nic.vm.uuid(), nic.mac_address))
}

pub(in super::super) async fn list_nics(call: Call, input: Input) -> Outcome {
    let nics = shown_vms(&call.snapshot).flat_map(|vm| nics_view(&call, vm));
    list(&input, &NIC, nics.collect())
}

pub(in super::super) async fn show_nic(call: Call, input: Input) -> Outcome {
    let uuid = input.required_uuid("NicUuid")?;
    let mut nics = shown_vms(&call.snapshot).flat_map(|vm| nics_of(&call.snapshot, vm));
    let nic = nics.find(|nic| nic.uuid == uuid).ok_or_else(|| fail!(InterfaceNotExist))?;
    Ok(keyed("nic", nic.view(&call, true)))
}

/// Only this API has names of NICs.
pub(in super::super) async fn rename_nic(call: Call, input: Input) -> Outcome {
    let uuid = input.required_uuid("NicUuid")?;
    let (vm_uuid, _) = find_nic(&call, uuid)?;
    if call.snapshot.vms.get(&vm_uuid).is_none_or(|vm| vm.record.is_none()) {
        return Err(fail!(VmUnmanaged, "its VM was not made by this node").into());
    }
    let node = call.node();
    label::forget_gone(&call, &[node.az, node.cluster]).await?;
    Label::of(&call, uuid).changed(&input).keep(&call, uuid).await?;
    // The documents answer with this key.
    done("vm")
}

fn rule(group: Uuid, direction: u64) -> Value {
    let word = if direction == 0 { "ingress" } else { "egress" };
    json!({
        "uuid": derived(group, word), "sg_uuid": group, "action": "ACCEPT", "protocol": "all", "direction": direction, "sip": "0.0.0.0/0",
        "sport": "", "dip": "0.0.0.0/0", "dport": "", "priority": 1, "description": "",
    })
}

fn security_group(call: &Call, is_detail: bool) -> Value {
    let group = call.node().security_group;
    let rules = |direction| if is_detail { json!([rule(group, direction)]) } else { json!([]) };
    let mut view = json!({
        "uuid": group,
        "name": "allow-all",
        "description": "Every NIC of this node: nothing is filtered.",
        "ingress_rules": rules(0),
        "egress_rules": rules(1),
        "nic_count": shown_vms(&call.snapshot).map(nic_count).sum::<usize>(),
        "rule_count": 2,
        "state": 1,
        "tasks": [],
        "created_at": null,
    });
    merge(&mut view, no_operations());
    view
}

pub(in super::super) async fn list_security_groups(call: Call, input: Input) -> Outcome {
    list(&input, &SECURITY_GROUP, vec![security_group(&call, false)])
}

pub(in super::super) async fn show_security_group(call: Call, _: Input) -> Outcome {
    Ok(keyed("securitygroup", security_group(&call, true)))
}

/// How many NICs a VM has.
pub(super) fn nic_count(vm: &Vm) -> usize {
    vm.record.as_ref().map(|record| record.nics.len()).or(vm.observed.as_ref().map(|observed| observed.nics.len())).unwrap_or(0)
}
