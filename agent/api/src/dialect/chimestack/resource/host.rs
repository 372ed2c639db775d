//! This node as a host, as a bare client, and its one storage pool.

use super::zone::cluster_name;
use super::{keyed, list, merge, no_operations, time};
use crate::dialect::chimestack::call::{Call, Outcome};
use crate::dialect::chimestack::input::Input;
use crate::dialect::chimestack::shape::{CLIENT, HOSTS, POOL};
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{ConnectionState, PoolSpace, PowerState, Vm, VmStatus};
use hvnode_core::port::VOLUMES_POOL;
use hvnode_core::verb::{promised_cpu_cores, promised_memory_bytes};
use serde_json::{Value, json};

/// VMs that this API shows: those in the trash are gone.
pub(in super::super) fn shown_vms(snapshot: &Snapshot) -> impl Iterator<Item = &Vm> {
    snapshot.vms.values().map(AsRef::as_ref).filter(|vm| vm.status != VmStatus::Deleted)
}

fn is_on(vm: &Vm) -> bool {
    let is_off = |power| matches!(power, PowerState::Off | PowerState::Crashed | PowerState::Saved);
    vm.observed.as_ref().is_some_and(|observed| !is_off(observed.power))
}

/// VMs whose guests run.
pub(in super::super) fn running_count(snapshot: &Snapshot) -> usize {
    snapshot.vms.values().filter(|vm| vm.status == VmStatus::Running).count()
}

/// What may be promised to guests: processors and bytes.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // a ratio of bytes; `as` saturates
pub(in super::super) fn capacity(snapshot: &Snapshot) -> (u64, u64) {
    let settings = &snapshot.settings;
    let threads = snapshot.capabilities.as_ref().map_or(0, |host| host.cpu_threads);
    let memory_bytes = snapshot.facts.memory_bytes.saturating_sub(settings.reserved_memory_bytes);
    ((f64::from(threads) * settings.cpu_ratio) as u64, (memory_bytes as f64 * settings.memory_ratio) as u64)
}

/// What host and client have in common.
fn machine(call: &Call) -> Value {
    let snapshot = &call.snapshot;
    let (facts, (total_vcpus, total_memory)) = (&snapshot.facts, capacity(snapshot));
    let readings = call.context.engine.readings();
    json!({
        "uuid": snapshot.host_uuid(),
        "name": facts.host_name,
        "description": snapshot.settings.description,
        "manage_ip": facts.ip_address,
        "node_ip": facts.ip_address,
        "storage_ip": "",
        "reserved_ip1": "",
        "reserved_ip2": "",
        "rack_name": "",
        "state": call.options.states.host(),
        "monitor_state": call.options.states.monitor(snapshot.connection == ConnectionState::Up),
        "heartbeat_at": readings.host.as_ref().map(|host| time(host.sample.at.time)),
        "physical_vcpus": snapshot.capabilities.as_ref().map_or(0, |host| host.cpu_threads),
        "physical_memory": facts.memory_bytes,
        "total_vcpus": total_vcpus,
        "total_memory": total_memory,
        "used_vcpus": promised_cpu_cores(snapshot),
        "used_memory": promised_memory_bytes(snapshot),
        "reserved_vcpus": 0,
        "reserved_memory": snapshot.settings.reserved_memory_bytes,
        "domains": snapshot.vms.values().filter(|vm| vm.observed.is_some()).count(),
        "active_domains": snapshot.vms.values().filter(|vm| is_on(vm)).count(),
        "created_at": null,
    })
}

fn host(call: &Call) -> Value {
    let node = call.node();
    let mut host = machine(call);
    merge(&mut host, no_operations());
    let more = json!({
        "az_uuid": node.az,
        "cluster_uuid": node.cluster,
        "cluster_name": cluster_name(call),
        "vm_count": shown_vms(&call.snapshot).count(),
        "vm_running_count": running_count(&call.snapshot),
        "networks": [],
        "storage_pools": [],
        "vms": [],
        "tasks": [],
    });
    merge(&mut host, more);
    host
}

pub(in super::super) async fn list_hosts(call: Call, input: Input) -> Outcome {
    list(&input, &HOSTS, vec![host(&call)])
}

pub(in super::super) async fn show(call: Call, _: Input) -> Outcome {
    let mut host = host(&call);
    let networks = call.snapshot.networks.values().map(|network| named(network.network_uuid, &network.network_name));
    host["networks"] = networks.collect();
    host["storage_pools"] = json!([named(call.node().pool, VOLUMES_POOL)]);
    host["vms"] = shown_vms(&call.snapshot).map(|vm| named(vm.uuid(), vm.name())).collect();
    Ok(keyed("host", host))
}

/// A reference to an object.
pub(super) fn named(uuid: uuid::Uuid, name: &str) -> Value {
    json!({ "uuid": uuid, "name": name })
}

pub(in super::super) async fn list_clients(call: Call, input: Input) -> Outcome {
    let mut client = machine(&call);
    let more = json!({ "active_used_vcpus": client["used_vcpus"], "active_used_memory": client["used_memory"] });
    merge(&mut client, more);
    list(&input, &CLIENT, vec![client])
}

/// The pool that disks are made in.
pub(in super::super) fn pool_space(snapshot: &Snapshot) -> Option<&PoolSpace> {
    snapshot.pools.iter().find(|pool| pool.pool_name == VOLUMES_POOL)
}

fn pool(call: &Call, space: &PoolSpace) -> Value {
    let node = call.node();
    json!({
        "uuid": node.pool,
        "name": space.pool_name,
        "description": "",
        "az_uuid": node.az,
        "cluster_uuid": node.cluster,
        "cluster_name": cluster_name(call),
        "type": 0,
        "meta": json!({ "path": space.path }).to_string(),
        "physical_size": space.capacity_bytes,
        "reserved_size": 0,
        "total_size": space.capacity_bytes,
        "used_size": space.capacity_bytes.saturating_sub(space.available_bytes),
        "state": 1,
        "created_at": null,
    })
}

pub(in super::super) async fn list_pools(call: Call, input: Input) -> Outcome {
    list(&input, &POOL, pool_space(&call.snapshot).map(|space| pool(&call, space)).into_iter().collect())
}
