//! Messages that read one thing.

use super::call::{Call, Outcome, Reply, Waiting, inventory, one};
use super::errors::Fault;
use super::fields::{Fields, missing};
use super::identity::part_of;
use super::inventory::{self as view, Scene};
use hvnode_core::engine::Snapshot;
use hvnode_core::model::Timestamp;
use hvnode_core::port::DisplayAddress;
use hvnode_core::verb::{promised_cpu_cores, promised_memory_bytes};
use hvnode_core::{Result, at, fail};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Cpu and memory of the node: what it may promise, and what of that is free.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) total_cpu: u64,
    pub(super) available_cpu: u64,
    pub(super) total_memory_bytes: u64,
    pub(super) available_memory_bytes: u64,
    pub(super) threads: u64,
}

impl Room {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)] // ratios of counts; `as` saturates
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let settings = &snapshot.settings;
        let threads = snapshot.capabilities.as_ref().map_or(0, |c| u64::from(c.cpu_threads));
        let total_cpu = (threads as f64 * settings.cpu_ratio) as u64;
        let memory = snapshot.facts.memory_bytes.saturating_sub(settings.reserved_memory_bytes);
        let total_memory_bytes = (memory as f64 * settings.memory_ratio) as u64;
        Self {
            total_cpu,
            available_cpu: total_cpu.saturating_sub(promised_cpu_cores(snapshot)),
            total_memory_bytes,
            available_memory_bytes: total_memory_bytes.saturating_sub(promised_memory_bytes(snapshot)),
            threads,
        }
    }
}

fn object(value: Value) -> Reply {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

pub(super) fn hypervisor_types(_: &Call, _: &Fields) -> Outcome {
    Ok(one("hypervisorTypes", vec!["KVM"]))
}

/// Of the places asked for; another place than this node has nothing.
pub(super) fn capacity(call: &Call, fields: &Fields) -> Outcome {
    let snapshot = call.snapshot();
    let places =
        [("zoneUuids", super::identity::ZONE_UUID), ("clusterUuids", super::identity::CLUSTER_UUID), ("hostUuids", snapshot.host_uuid())];
    let mut has_place = fields.flag("all")?;
    let mut is_here = true;
    for (field, own) in places {
        if let Some(uuids) = fields.uuids(field)?.filter(|uuids| !uuids.is_empty()) {
            (has_place, is_here) = (true, is_here && uuids.contains(&own));
        }
    }
    if !has_place {
        return Err(fail!(ParameterMissing, "zoneUuids, clusterUuids, hostUuids or all is mandatory"; "zoneUuids、clusterUuids、hostUuids、all 至少一项").into());
    }
    let room = Room::of(&snapshot);
    let part = |number: u64| if is_here { number } else { 0 };
    Ok(object(json!({
        "totalCpu": part(room.total_cpu),
        "availableCpu": part(room.available_cpu),
        "totalMemory": part(room.total_memory_bytes),
        "availableMemory": part(room.available_memory_bytes),
        "managedCpuNum": part(room.threads),
    })))
}

pub(super) fn primary_storage_capacity(call: &Call, _: &Fields) -> Outcome {
    let (total, available) = view::pool_capacity(&call.snapshot());
    Ok(object(json!({
        "totalCapacity": total, "availableCapacity": available, "totalPhysicalCapacity": total, "availablePhysicalCapacity": available,
    })))
}

pub(super) fn dhcp_address(call: &Call, fields: &Fields) -> Outcome {
    let uuid = fields.need_uuid("l3NetworkUuid")?;
    let address = view::dhcp_address(&Scene::of(&call.context), uuid).ok_or_else(|| fail!(NetworkNotExist))?;
    Ok(address.map_or_else(Reply::new, |address| one("ip", address.to_string())))
}

pub(super) fn version(_: &Call, _: &Fields) -> Outcome {
    Ok(one("version", env!("CARGO_PKG_VERSION")))
}

pub(super) fn current_time(_: &Call, _: &Fields) -> Outcome {
    let now = Timestamp::now();
    Ok(one("currentTime", json!({"MillionSeconds": now.0.div_euclid(1_000_000), "Seconds": now.seconds()})))
}

/// The daemon beside the host it manages.
pub(super) fn management_node_uuid(snapshot: &Snapshot) -> Uuid {
    part_of(snapshot.host_uuid(), 1)
}

pub(super) fn is_ready(call: &Call, _: &Fields) -> Outcome {
    Ok(one("managementNodeId", super::identity::hex(management_node_uuid(&call.snapshot()))))
}

pub(super) fn global_config(call: &Call, fields: &Fields) -> Outcome {
    let (category, name) = (fields.need_text("category")?, fields.need_text("name")?);
    let configs = view::global_configs(&Scene::of(&call.context));
    let found = configs.into_iter().find(|config| config["category"] == category.as_str() && config["name"] == name.as_str());
    found.map(inventory).ok_or_else(|| Fault::not_found("there is no such setting", "没有此配置项"))
}

async fn display(call: &Call, vm_uuid: Uuid) -> Result<DisplayAddress> {
    let display = call.context.engine.display(vm_uuid).await.map_err(at!())?;
    if display.port == 0 {
        return Err(fail!(VmConsoleUnavailable, "the screen is a unix socket of the host"; "屏幕是主机上的 unix 套接字"));
    }
    Ok(display)
}

pub(super) fn console_address(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move {
        let vm_uuid = fields.uuid("uuid")?.ok_or_else(|| missing("uuid"))?;
        let display = display(&call, vm_uuid).await?;
        Ok(object(json!({"hostIp": display.ip_address, "port": display.port, "protocol": display.kind})))
    })
}

/// There is no proxy in between: the address is the screen's own, and no token is needed.
pub(super) fn console_access(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move {
        let display = display(&call, fields.need_uuid("vmInstanceUuid")?).await?;
        Ok(inventory(json!({"scheme": display.kind, "hostname": display.ip_address, "port": display.port, "token": ""})))
    })
}
