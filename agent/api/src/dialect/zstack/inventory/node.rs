//! This node: the one host, its zone and cluster beside those that are mere records, its two stores, accounts, settings.

use super::super::identity::{BACKUP_STORAGE_UUID, CLUSTER_UUID, PRIMARY_STORAGE_UUID, ZONE_UUID, account_uuid, hex};
use super::super::record::{CLUSTER, ZONE};
use super::super::{date, read};
use super::{Scene, dated, of_record, of_records, text};
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{ConnectionState, PoolSpace, Role, Timestamp};
use hvnode_core::port::{IMAGES_POOL, VOLUMES_POOL};
use serde_json::{Value, json};
use uuid::Uuid;

/// Name of the zone and of the cluster of this node.
const OWN_NAME: &str = "default";

fn since_start(scene: &Scene, value: Value) -> Value {
    let time = scene.snapshot.daemon_start_time;
    dated(value, time, time)
}

pub(in super::super) fn zones(scene: &Scene) -> Vec<Value> {
    let own = json!({"uuid": hex(ZONE_UUID), "name": OWN_NAME, "state": "Enabled", "type": "zstack"});
    std::iter::once(since_start(scene, own)).chain(of_records(scene, ZONE)).collect()
}

pub(in super::super) fn clusters(scene: &Scene) -> Vec<Value> {
    let own = json!({
        "uuid": hex(CLUSTER_UUID), "name": OWN_NAME, "state": "Enabled", "hypervisorType": "KVM", "zoneUuid": hex(ZONE_UUID), "type": "zstack",
    });
    std::iter::once(since_start(scene, own)).chain(of_records(scene, CLUSTER)).collect()
}

/// One zone, if it exists.
pub(in super::super) fn zone_of(scene: &Scene, uuid: Uuid) -> Option<Value> {
    find(scene, zones, ZONE, ZONE_UUID, uuid)
}

/// One cluster, if it exists.
pub(in super::super) fn cluster_of(scene: &Scene, uuid: Uuid) -> Option<Value> {
    find(scene, clusters, CLUSTER, CLUSTER_UUID, uuid)
}

fn find(scene: &Scene, all: fn(&Scene) -> Vec<Value>, kind: &str, own: Uuid, uuid: Uuid) -> Option<Value> {
    if uuid == own {
        return all(scene).into_iter().next();
    }
    scene.context.records.get(super::super::DIALECT, kind, &hex(uuid)).map(|record| of_record(&record))
}

pub(in super::super) fn hosts(scene: &Scene) -> Vec<Value> {
    let snapshot = &scene.snapshot;
    let capabilities = snapshot.capabilities.as_deref();
    let room = read::Room::of(snapshot);
    let status = match snapshot.connection {
        ConnectionState::Up => "Connected",
        ConnectionState::Connecting => "Connecting",
        ConnectionState::Down(_) => "Disconnected",
    };
    let value = json!({
        "uuid": hex(snapshot.host_uuid()),
        "name": snapshot.facts.host_name,
        "description": text(&snapshot.settings.description),
        "zoneUuid": hex(ZONE_UUID),
        "clusterUuid": hex(CLUSTER_UUID),
        "managementIp": snapshot.facts.ip_address,
        "hypervisorType": "KVM",
        "state": "Enabled",
        "status": status,
        "totalCpuCapacity": room.total_cpu,
        "availableCpuCapacity": room.available_cpu,
        "cpuNum": capabilities.map(|c| c.cpu_threads),
        "cpuSockets": capabilities.map(|c| c.cpu_sockets),
        "totalMemoryCapacity": room.total_memory_bytes,
        "availableMemoryCapacity": room.available_memory_bytes,
        "architecture": capabilities.map(|c| c.architecture.as_str()),
    });
    vec![since_start(scene, value)]
}

/// The pool of disks or of images.
fn pool<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a PoolSpace> {
    snapshot.pools.iter().find(|pool| pool.pool_name == name)
}

/// Bytes of the pool of disks: all and free.
pub(in super::super) fn pool_capacity(snapshot: &Snapshot) -> (u64, u64) {
    pool(snapshot, VOLUMES_POOL).map_or((0, 0), |pool| (pool.capacity_bytes, pool.available_bytes))
}

pub(in super::super) fn primary_storages(scene: &Scene) -> Vec<Value> {
    let Some(pool) = pool(&scene.snapshot, VOLUMES_POOL) else { return Vec::new() };
    let value = json!({
        "uuid": hex(PRIMARY_STORAGE_UUID),
        "name": pool.pool_name,
        "url": pool.path,
        "zoneUuid": hex(ZONE_UUID),
        "type": "LocalStorage",
        "totalCapacity": pool.capacity_bytes,
        "availableCapacity": pool.available_bytes,
        "totalPhysicalCapacity": pool.capacity_bytes,
        "availablePhysicalCapacity": pool.available_bytes,
        "systemUsedCapacity": 0,
        "mountPath": pool.path,
        "state": "Enabled",
        "status": "Connected",
        "attachedClusterUuids": [hex(CLUSTER_UUID)],
    });
    vec![since_start(scene, value)]
}

pub(in super::super) fn backup_storages(scene: &Scene) -> Vec<Value> {
    let Some(pool) = pool(&scene.snapshot, IMAGES_POOL) else { return Vec::new() };
    let value = json!({
        "uuid": hex(BACKUP_STORAGE_UUID),
        "name": pool.pool_name,
        "url": pool.path,
        "type": "ImageStoreBackupStorage",
        "totalCapacity": pool.capacity_bytes,
        "availableCapacity": pool.available_bytes,
        "state": "Enabled",
        "status": "Connected",
        "attachedZoneUuids": [hex(ZONE_UUID)],
    });
    vec![since_start(scene, value)]
}

pub(in super::super) fn accounts(scene: &Scene) -> Vec<Value> {
    let account = |account: &std::sync::Arc<hvnode_core::model::Account>| {
        let kind = if account.role == Role::Admin { "SystemAdmin" } else { "Normal" };
        let value = json!({"uuid": hex(account_uuid(account)), "name": account.user_name, "type": kind});
        dated(value, account.create_time, account.create_time)
    };
    scene.context.accounts.list().iter().map(account).collect()
}

pub(in super::super) fn management_nodes(scene: &Scene) -> Vec<Value> {
    vec![json!({
        "uuid": hex(read::management_node_uuid(&scene.snapshot)),
        "hostName": scene.snapshot.facts.ip_address,
        "joinDate": date::show(scene.snapshot.daemon_start_time),
        "heartBeat": date::show(Timestamp::now()),
    })]
}

/// The settings that clients look at to know what a destroy means. They are read only here: the daemon has a configuration file.
pub(in super::super) fn global_configs(_: &Scene) -> Vec<Value> {
    let config = |category: &str, name: &str, description: &str, value: &str| json!({"category": category, "name": name, "description": description, "defaultValue": value, "value": value});
    vec![
        config("vm", "deletionPolicy", "A destroyed VM is kept until it is expunged or its time is over", "Delay"),
        config("image", "deletionPolicy", "A deleted image is gone at once", "Direct"),
        config("volume", "deletionPolicy", "A deleted disk is gone at once", "Direct"),
    ]
}
