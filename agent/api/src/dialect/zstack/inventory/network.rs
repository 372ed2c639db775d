//! Networks: one of layer 3 and one of layer 2 for each of the node's.

use super::super::identity::{CLUSTER_UUID, ZONE_UUID, hex, part_of};
use super::{Scene, dated};
use hvnode_core::model::{Ipv4Subnet, Network, NetworkType};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use uuid::Uuid;

/// Part of a network's identity that its layer 2 is.
const LAYER_2: u64 = 1 << 32;

pub(in super::super) fn l3_networks(scene: &Scene) -> Vec<Value> {
    scene.snapshot.networks.values().map(|network| l3_network(scene, network)).collect()
}

pub(in super::super) fn l2_networks(scene: &Scene) -> Vec<Value> {
    scene.snapshot.networks.values().map(|network| l2_network(scene, network)).collect()
}

pub(in super::super) fn ip_ranges(scene: &Scene) -> Vec<Value> {
    scene.snapshot.networks.values().flat_map(|network| ranges_of(scene, network)).collect()
}

/// Where a network's DHCP server is, if it has one.
pub(in super::super) fn dhcp_address(scene: &Scene, network_uuid: Uuid) -> Option<Option<Ipv4Addr>> {
    let network = scene.snapshot.networks.get(&network_uuid)?;
    Some(network.ipv4.as_ref().filter(|subnet| !subnet.dhcp_ranges.is_empty()).map(|subnet| subnet.gateway.addr()))
}

pub(super) fn netmask(subnet: &Ipv4Subnet) -> String {
    subnet.gateway.netmask().to_string()
}

fn l3_network(scene: &Scene, network: &Network) -> Value {
    let dns: Vec<String> = network.ipv4.iter().map(|subnet| subnet.gateway.addr().to_string()).collect();
    let value = json!({
        "uuid": hex(network.network_uuid),
        "name": network.network_name,
        "type": "L3BasicNetwork",
        "zoneUuid": hex(ZONE_UUID),
        "l2NetworkUuid": hex(part_of(network.network_uuid, LAYER_2)),
        "state": if network.is_active { "Enabled" } else { "Disabled" },
        "system": false,
        "category": if network.network_type == NetworkType::Bridge { "Public" } else { "Private" },
        "dns": dns,
        "ipRanges": ranges_of(scene, network),
        "networkServices": [],
        "hostRoute": [],
    });
    since_start(scene, value)
}

fn l2_network(scene: &Scene, network: &Network) -> Value {
    let value = json!({
        "uuid": hex(part_of(network.network_uuid, LAYER_2)),
        "name": network.network_name,
        "zoneUuid": hex(ZONE_UUID),
        "physicalInterface": network.bridge_name,
        "type": "L2NoVlanNetwork",
        "attachedClusterUuids": [hex(CLUSTER_UUID)],
    });
    since_start(scene, value)
}

fn ranges_of(scene: &Scene, network: &Network) -> Vec<Value> {
    let Some(subnet) = &network.ipv4 else { return Vec::new() };
    let range = |(index, (first, last)): (usize, &(Ipv4Addr, Ipv4Addr))| {
        let value = json!({
            "uuid": hex(part_of(network.network_uuid, index as u64)),
            "l3NetworkUuid": hex(network.network_uuid),
            "name": format!("{}-{index}", network.network_name),
            "startIp": first.to_string(),
            "endIp": last.to_string(),
            "netmask": netmask(subnet),
            "gateway": subnet.gateway.addr().to_string(),
            "networkCidr": subnet.gateway.trunc().to_string(),
        });
        since_start(scene, value)
    };
    subnet.dhcp_ranges.iter().enumerate().map(range).collect()
}

/// libvirt does not tell when a network was made.
fn since_start(scene: &Scene, value: Value) -> Value {
    let time = scene.snapshot.daemon_start_time;
    dated(value, time, time)
}
