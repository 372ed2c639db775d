//! Zones, clusters and disk offerings: plain records. No host but this node stands in any zone, so they change nothing on it.

use super::call::{Call, Outcome, Reply, Waiting, inventory};
use super::errors::Fault;
use super::fields::Fields;
use super::identity::{CLUSTER_UUID, ZONE_UUID, hex};
use super::inventory::{Scene, of_record, zone_of};
use super::job::{self, Posted};
use super::serve::reply_class;
use super::{DIALECT, audit, change, tag};
use crate::context::ApiContext;
use hvnode_core::model::DialectRecord;
use hvnode_core::{Result, at, fail};
use serde_json::{Value, json};
use uuid::Uuid;

/// Kinds of records.
pub(super) const ZONE: &str = "zone";
pub(super) const CLUSTER: &str = "cluster";
pub(super) const DISK_OFFERING: &str = "disk_offering";

/// Writes the row of a change that was made, and keeps its result as a job.
pub(super) async fn finished(call: &Call, fields: &Fields, reply: Reply) -> Result<Posted> {
    audit::record(call, fields, None).await;
    let posted = job::keep(&call.context, job::result_text(&reply_class(call.class), Ok(reply))).await;
    posted.map_err(at!())
}

/// Makes one; its uuid may be wanted.
async fn create(call: &Call, fields: &Fields, kind: &str, value: Value) -> Outcome {
    let _turn = call.turn.lock().await;
    let uuid = fields.uuid("resourceUuid")?.unwrap_or_else(Uuid::new_v4);
    if is_own(uuid) || call.context.records.get(DIALECT, kind, &hex(uuid)).is_some() {
        return Err(fail!(AlreadyExist, "resourceUuid is taken"; "resourceUuid 已被使用").into());
    }
    let value = super::call::pruned(value);
    let record = call.context.records.put(DIALECT, kind, &hex(uuid), &value).await.map_err(at!())?;
    tag::attach(call, fields, uuid).await;
    Ok(inventory(of_record(&record)))
}

/// Changes one.
async fn edit(call: &Call, fields: &Fields, kind: &str, change: impl FnOnce(&mut Value)) -> Outcome {
    let _turn = call.turn.lock().await;
    let uuid = fields.need_uuid("uuid")?;
    check_not_own(uuid)?;
    let record = call.context.records.get(DIALECT, kind, &hex(uuid)).ok_or_else(|| not_found(kind))?;
    let mut value = record.value.clone();
    change(&mut value);
    let record = call.context.records.put(DIALECT, kind, &hex(uuid), &value).await.map_err(at!())?;
    Ok(inventory(of_record(&record)))
}

async fn update(call: &Call, fields: &Fields, kind: &str) -> Outcome {
    let (name, description) = (fields.name()?, fields.description()?);
    edit(call, fields, kind, |value| {
        if let Some(name) = name {
            value["name"] = name.into();
        }
        if let Some(description) = description {
            value["description"] = description.into();
        }
    })
    .await
}

async fn change_state(call: &Call, fields: &Fields, kind: &str) -> Outcome {
    let state = if fields.need_word("stateEvent", &["enable", "disable"])? == "enable" { "Enabled" } else { "Disabled" };
    edit(call, fields, kind, |value| value["state"] = state.into()).await
}

async fn delete(call: &Call, fields: &Fields, kind: &str) -> Outcome {
    change::check_delete_mode(fields)?;
    let _turn = call.turn.lock().await;
    let uuid = fields.need_uuid("uuid")?;
    check_not_own(uuid)?;
    if !call.context.records.delete(DIALECT, kind, &hex(uuid)).await.map_err(at!())? {
        return Err(not_found(kind));
    }
    tag::forget(call, uuid).await.map_err(at!())?;
    Ok(Reply::new())
}

fn is_own(uuid: Uuid) -> bool {
    uuid == ZONE_UUID || uuid == CLUSTER_UUID
}

fn check_not_own(uuid: Uuid) -> Result<()> {
    if is_own(uuid) {
        return Err(fail!(NotSupported, "this node stands in it: it stays as it is"; "本节点所在的区域和集群不可更改"));
    }
    Ok(())
}

fn not_found(kind: &str) -> Fault {
    Fault::not_found(&format!("no {kind} has this uuid"), &format!("没有此 uuid 的 {kind}"))
}

/// Bytes of a disk offering that a message names.
pub(super) fn disk_offering_bytes(context: &ApiContext, field: &str, uuid: Uuid) -> std::result::Result<u64, Fault> {
    let record = context.records.get(DIALECT, DISK_OFFERING, &hex(uuid));
    let bytes = record.and_then(|record| record.value.get("diskSize").and_then(Value::as_u64));
    bytes.ok_or_else(|| Fault::not_found(&format!("{field}: no disk offering has this uuid"), &format!("{field}: 没有此 uuid 的云盘规格")))
}

pub(super) fn create_zone(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move {
        let value = json!({"name": fields.need_name()?, "description": fields.description()?, "state": "Enabled", "type": "zstack"});
        create(&call, &fields, ZONE, value).await
    })
}

pub(super) fn update_zone(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move { update(&call, &fields, ZONE).await })
}

pub(super) fn change_zone_state(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move { change_state(&call, &fields, ZONE).await })
}

/// Its clusters go with it.
pub(super) fn delete_zone(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move {
        let reply = delete(&call, &fields, ZONE).await?;
        let zone = fields.need_uuid("uuid")?;
        let _turn = call.turn.lock().await;
        for cluster in call.context.records.list(DIALECT, CLUSTER).iter().filter(|cluster| is_in(cluster, zone)) {
            call.context.records.delete(DIALECT, CLUSTER, &cluster.key.id).await.map_err(at!())?;
        }
        Ok(reply)
    })
}

fn is_in(cluster: &DialectRecord, zone: Uuid) -> bool {
    cluster.value.get("zoneUuid").and_then(Value::as_str) == Some(hex(zone).as_str())
}

pub(super) fn create_cluster(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move {
        let zone = fields.need_uuid("zoneUuid")?;
        if zone_of(&Scene::of(&call.context), zone).is_none() {
            return Err(not_found(ZONE));
        }
        let value = json!({
            "name": fields.need_name()?,
            "description": fields.description()?,
            "state": "Enabled",
            "hypervisorType": fields.need_word("hypervisorType", &["KVM"])?,
            "zoneUuid": hex(zone),
            "type": "zstack",
        });
        create(&call, &fields, CLUSTER, value).await
    })
}

pub(super) fn update_cluster(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move { update(&call, &fields, CLUSTER).await })
}

pub(super) fn change_cluster_state(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move { change_state(&call, &fields, CLUSTER).await })
}

pub(super) fn delete_cluster(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move { delete(&call, &fields, CLUSTER).await })
}

pub(super) fn create_disk_offering(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move {
        let bytes: u64 = fields.need_number("diskSize")?;
        if bytes == 0 {
            return Err(fail!(ParameterInvalid, "diskSize must be at least 1"; "diskSize 至少为 1").into());
        }
        let value = json!({
            "name": fields.need_name()?,
            "description": fields.description()?,
            "diskSize": bytes,
            "type": "DefaultDiskOfferingType",
            "allocatorStrategy": "DefaultPrimaryStorageAllocationStrategy",
            "sortKey": fields.number::<u32>("sortKey")?.unwrap_or(0),
            "state": "Enabled",
        });
        create(&call, &fields, DISK_OFFERING, value).await
    })
}

pub(super) fn update_disk_offering(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move { update(&call, &fields, DISK_OFFERING).await })
}

pub(super) fn delete_disk_offering(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move { delete(&call, &fields, DISK_OFFERING).await })
}
