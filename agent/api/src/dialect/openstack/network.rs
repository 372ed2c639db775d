//! Neutron v2.0, read only: networks of the node, their subnets, NICs of servers as ports.

use super::call::{Call, Outcome, Reply};
use super::convert::{project_id, zulu};
use super::errors::Fault;
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{Network, NetworkType, Nic, PowerState, Vm};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Sizes of frames where a network does not say.
const MTU_DEFAULT: u32 = 1500;

/// An identity made from another: the same every time.
fn derived(kind: &str, uuid: Uuid) -> Uuid {
    let digest = Sha256::digest(format!("{kind}:{uuid}"));
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// The one security group.
pub(super) fn security_group_id() -> Uuid {
    derived("security group", hvnode_core::model::DEFAULT_TENANT_UUID)
}

pub(super) async fn versions(call: Call) -> Outcome {
    let links = json!([{ "rel": "self", "href": format!("{}/networking/v2.0/", call.base_url) }]);
    Reply::ok(&json!({ "versions": [{ "id": "v2.0", "status": "CURRENT", "links": links }] }))
}

pub(super) async fn resources(call: Call) -> Outcome {
    let resource = |name: &str, collection: &str| {
        let href = format!("{}/networking/v2.0/{collection}", call.base_url);
        json!({ "name": name, "collection": collection, "links": [{ "rel": "self", "href": href }] })
    };
    let all = [resource("subnet", "subnets"), resource("network", "networks"), resource("port", "ports")];
    Reply::ok(&json!({ "resources": all }))
}

fn network_object(network: &Network) -> Value {
    let physical = if network.is_host_bridge { Value::from(network.bridge_name.as_str()) } else { Value::Null };
    let subnets: Vec<Uuid> = network.ipv4.iter().map(|_| subnet_id(network)).collect();
    json!({
        "id": network.network_uuid, "name": network.network_name, "description": "", "status": if network.is_active { "ACTIVE" } else { "DOWN" },
        "admin_state_up": true, "shared": true, "project_id": project_id(), "tenant_id": project_id(), "subnets": subnets,
        "router:external": false, "is_default": false, "mtu": network.mtu.unwrap_or(MTU_DEFAULT), "port_security_enabled": false,
        "provider:network_type": if network.network_type == NetworkType::Bridge { "flat" } else { "local" },
        "provider:physical_network": physical, "provider:segmentation_id": null, "availability_zone_hints": [], "availability_zones": [],
        "ipv4_address_scope": null, "ipv6_address_scope": null, "tags": [], "revision_number": 1,
    })
}

fn subnet_id(network: &Network) -> Uuid {
    derived("subnet", network.network_uuid)
}

fn subnet_object(network: &Network) -> Option<Value> {
    let subnet = network.ipv4.as_ref()?;
    let pools: Vec<Value> = subnet.dhcp_ranges.iter().map(|(start, end)| json!({ "start": start, "end": end })).collect();
    Some(json!({
        "id": subnet_id(network), "name": network.network_name, "description": "", "network_id": network.network_uuid,
        "cidr": subnet.gateway.trunc().to_string(), "ip_version": 4, "gateway_ip": subnet.gateway.addr(), "enable_dhcp": !subnet.dhcp_ranges.is_empty(),
        "allocation_pools": pools, "dns_nameservers": [], "host_routes": [], "project_id": project_id(), "tenant_id": project_id(),
        "ipv6_address_mode": null, "ipv6_ra_mode": null, "subnetpool_id": null, "service_types": [], "segment_id": null, "tags": [],
        "revision_number": 1,
    }))
}

/// `[{subnet_id, ip_address}]` of a NIC.
pub(super) fn fixed_addresses(snapshot: &Snapshot, nic: &Nic) -> Value {
    let subnet = snapshot.networks.get(&nic.network_uuid).map(|network| subnet_id(network));
    snapshot.address_of(nic).iter().map(|address| json!({ "subnet_id": subnet, "ip_address": address })).collect()
}

fn port_object(snapshot: &Snapshot, vm: &Vm, nic: &Nic) -> Value {
    let host_name = &snapshot.facts.host_name;
    let is_on = matches!(
        vm.observed.as_ref().map(|observed| observed.power),
        Some(PowerState::Running | PowerState::Paused | PowerState::ShuttingDown)
    );
    let created = vm.record.as_ref().map(|record| zulu(record.create_time));
    json!({
        "id": nic.interface_uuid, "name": "", "description": "", "network_id": nic.network_uuid, "mac_address": nic.mac_address,
        "fixed_ips": fixed_addresses(snapshot, nic), "device_id": vm.uuid(), "device_owner": "compute:nova", "status": if is_on { "ACTIVE" } else { "DOWN" },
        "admin_state_up": true, "security_groups": [security_group_id()], "project_id": project_id(), "tenant_id": project_id(),
        "binding:host_id": host_name, "binding:vif_type": "bridge", "binding:vnic_type": "normal", "binding:vif_details": {}, "binding:profile": {},
        "allowed_address_pairs": [], "extra_dhcp_opts": [], "port_security_enabled": false, "dns_name": "", "dns_assignment": [],
        "tags": [], "revision_number": 1, "created_at": created, "updated_at": created,
    })
}

fn security_group_object() -> Value {
    json!({
        "id": security_group_id(), "name": "default", "description": "Default security group", "security_group_rules": [], "stateful": true,
        "shared": false, "project_id": project_id(), "tenant_id": project_id(), "tags": [], "revision_number": 1,
    })
}

/// Does an object have what a query asks for? Several values of a key ask for one of them.
fn is_wanted(call: &Call, object: &Value) -> bool {
    const CONTROL: [&str; 6] = ["fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"];
    call.query.iter().all(|(key, _)| {
        let Some(value) = object.get(key).filter(|_| !CONTROL.contains(&key.as_str())) else { return true };
        call.queries(key).any(|asked| match value {
            Value::String(text) => text == asked,
            Value::Array(items) => items.iter().any(|item| item == asked),
            Value::Null => asked.is_empty(),
            other => other.to_string().eq_ignore_ascii_case(asked),
        })
    }) && call.queries("fixed_ips").all(|asked| has_address(object, asked))
}

/// `ip_address=10.0.0.1` or `subnet_id=…`.
fn has_address(object: &Value, asked: &str) -> bool {
    let Some((key, value)) = asked.split_once('=') else { return false };
    object["fixed_ips"].as_array().is_some_and(|addresses| addresses.iter().any(|address| address[key] == value))
}

/// Only what `fields=` names.
fn narrowed(call: &Call, object: Value) -> Value {
    let mut fields = call.queries("fields").peekable();
    match object {
        Value::Object(object) if fields.peek().is_some() => {
            let wanted: Vec<&str> = fields.collect();
            Value::Object(object.into_iter().filter(|(key, _)| wanted.contains(&key.as_str())).collect::<Map<_, _>>())
        }
        other => other,
    }
}

/// A list in the order asked for, by name and id where none is.
fn list(call: &Call, word: &str, objects: Vec<Value>) -> Outcome {
    let mut objects: Vec<Value> = objects.into_iter().filter(|object| is_wanted(call, object)).collect();
    let keys: Vec<&str> = call.queries("sort_key").chain(["name", "id"]).collect();
    let is_descending = call.query("sort_dir") == Some("desc");
    objects.sort_by(|a, b| {
        let compared = keys.iter().map(|key| a[*key].to_string().cmp(&b[*key].to_string())).find(|compared| compared.is_ne());
        let compared = compared.unwrap_or(std::cmp::Ordering::Equal);
        if is_descending { compared.reverse() } else { compared }
    });
    let page = super::paging::page(call, objects, |object| object["id"].as_str().unwrap_or("").to_owned())?;
    let items: Vec<Value> = page.items.into_iter().map(|object| narrowed(call, object)).collect();
    let mut body = json!({ word: items });
    if let Some(marker) = page.next {
        body[format!("{word}_links")] = super::paging::next_links(call, &format!("{}/networking/v2.0/{word}", call.base_url), &marker);
    }
    Reply::ok(&body)
}

fn one(call: &Call, word: &str, title: &str, objects: Vec<Value>) -> Outcome {
    let id: String = call.param(0).chars().take(64).collect();
    let object = objects.into_iter().find(|object| object["id"] == id.as_str());
    let object = object.ok_or_else(|| Fault::not_found(format!("{title} {id} could not be found.")))?;
    Reply::ok(&json!({ word: narrowed(call, object) }))
}

fn all_networks(call: &Call) -> Vec<Value> {
    call.snapshot().networks.values().map(|network| network_object(network)).collect()
}

fn all_subnets(call: &Call) -> Vec<Value> {
    call.snapshot().networks.values().filter_map(|network| subnet_object(network)).collect()
}

fn all_ports(call: &Call) -> Vec<Value> {
    let snapshot = call.snapshot();
    let shown = snapshot.vms.values().filter(|vm| super::compute::is_shown(vm));
    shown.flat_map(|vm| vm.record.iter().flat_map(|record| &record.nics).map(|nic| port_object(&snapshot, vm, nic))).collect()
}

pub(super) async fn networks(call: Call) -> Outcome {
    list(&call, "networks", all_networks(&call))
}

pub(super) async fn network(call: Call) -> Outcome {
    one(&call, "network", "Network", all_networks(&call))
}

pub(super) async fn subnets(call: Call) -> Outcome {
    list(&call, "subnets", all_subnets(&call))
}

pub(super) async fn subnet(call: Call) -> Outcome {
    one(&call, "subnet", "Subnet", all_subnets(&call))
}

pub(super) async fn ports(call: Call) -> Outcome {
    list(&call, "ports", all_ports(&call))
}

pub(super) async fn port(call: Call) -> Outcome {
    one(&call, "port", "Port", all_ports(&call))
}

pub(super) async fn security_groups(call: Call) -> Outcome {
    list(&call, "security_groups", vec![security_group_object()])
}

pub(super) async fn security_group(call: Call) -> Outcome {
    one(&call, "security_group", "Security group", vec![security_group_object()])
}

pub(super) async fn security_group_rules(call: Call) -> Outcome {
    list(&call, "security_group_rules", Vec::new())
}

pub(super) async fn extensions(call: Call) -> Outcome {
    list(&call, "extensions", Vec::new())
}

pub(super) async fn extension(call: Call) -> Outcome {
    let alias: String = call.param(0).chars().take(64).collect();
    Err(Fault::not_found(format!("Extension with alias {alias} does not exist")))
}

pub(super) async fn availability_zones(call: Call) -> Outcome {
    list(&call, "availability_zones", Vec::new())
}

pub(super) async fn agents(call: Call) -> Outcome {
    list(&call, "agents", Vec::new())
}

pub(super) async fn routers(call: Call) -> Outcome {
    list(&call, "routers", Vec::new())
}

pub(super) async fn floating_addresses(call: Call) -> Outcome {
    list(&call, "floatingips", Vec::new())
}

fn quota_set(call: &Call, view: impl Fn(i64, usize) -> Value) -> Outcome {
    if !super::convert::is_project(call.param(0)) {
        return Err(Fault::not_found("The project could not be found."));
    }
    let rows = [
        ("network", 0, call.snapshot().networks.len()),
        ("subnet", 0, all_subnets(call).len()),
        ("port", -1, all_ports(call).len()),
        ("router", 0, 0),
        ("floatingip", 0, 0),
        ("security_group", 1, 1),
        ("security_group_rule", 0, 0),
        ("rbac_policy", 0, 0),
        ("subnetpool", 0, 0),
    ];
    let set: Map<String, Value> = rows.into_iter().map(|(name, limit, used)| (name.to_owned(), view(limit, used))).collect();
    Reply::ok(&json!({ "quota": set }))
}

pub(super) async fn quotas(call: Call) -> Outcome {
    quota_set(&call, |limit, _| limit.into())
}

pub(super) async fn quotas_detail(call: Call) -> Outcome {
    quota_set(&call, |limit, used| json!({ "limit": limit, "used": used, "reserved": 0 }))
}
