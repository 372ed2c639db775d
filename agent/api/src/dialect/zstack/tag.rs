//! Tags: texts that clients hang on objects. Records; what a create must know of them is read where it is decoded.

use super::call::{Call, Outcome, Reply, Waiting, inventory};
use super::errors::Fault;
use super::fields::Fields;
use super::identity::hex;
use super::inventory::{Scene, cluster_of, of_record, zone_of};
use super::record::DISK_OFFERING;
use super::{DIALECT, change};
use hvnode_core::{Result, at};
use serde_json::{Value, json};
use uuid::Uuid;

/// Kinds of records.
pub(super) const SYSTEM: &str = "system_tag";
pub(super) const USER: &str = "user_tag";
/// System tags that begin so are for the guest alone and hold secrets.
const NOT_KEPT: [&str; 3] = ["userdata::", "sshkey::", "rootPassword::"];
/// Most tags that one message hangs on.
const TAGS_MAX: usize = 64;

/// Every tag of objects that exist.
pub(super) fn rows(scene: &Scene, kind: &str) -> Vec<Value> {
    let mut records = scene.context.records.list(DIALECT, kind);
    records.sort_by_key(|record| record.create_time);
    let is_hanging = |record: &Value| record.get("resourceUuid").and_then(Value::as_str).is_some_and(|uuid| exists(scene, uuid));
    records.iter().filter(|record| is_hanging(&record.value)).map(|record| of_record(record)).collect()
}

fn exists(scene: &Scene, uuid: &str) -> bool {
    Uuid::try_parse(uuid).is_ok_and(|uuid| type_of(scene, uuid).is_some())
}

/// What an object is, in this API's words.
fn type_of(scene: &Scene, uuid: Uuid) -> Option<&'static str> {
    let snapshot = &scene.snapshot;
    let records = &scene.context.records;
    let found = [
        (snapshot.vms.contains_key(&uuid), "VmInstanceVO"),
        (snapshot.volumes.contains_key(&uuid), "VolumeVO"),
        (snapshot.images.contains_key(&uuid), "ImageVO"),
        (snapshot.specifications.contains_key(&uuid), "InstanceOfferingVO"),
        (snapshot.networks.contains_key(&uuid), "L3NetworkVO"),
        (snapshot.host_uuid() == uuid, "HostVO"),
        (zone_of(scene, uuid).is_some(), "ZoneVO"),
        (cluster_of(scene, uuid).is_some(), "ClusterVO"),
        (records.get(DIALECT, DISK_OFFERING, &hex(uuid)).is_some(), "DiskOfferingVO"),
    ];
    found.into_iter().find(|(is_it, _)| *is_it).map(|(_, word)| word)
}

/// Hangs the tags of a create on what it made. A tag that cannot be kept does not undo the create.
pub(super) async fn attach(call: &Call, fields: &Fields, uuid: Uuid) {
    if !call.class.contains(".APICreate") && !call.class.contains(".APIAdd") {
        return;
    }
    for (field, kind) in [("systemTags", SYSTEM), ("userTags", USER)] {
        let tags = fields.texts(field).ok().flatten().unwrap_or_default();
        let kept = tags.into_iter().take(TAGS_MAX).filter(|tag| !NOT_KEPT.iter().any(|secret| tag.starts_with(secret)));
        for tag in kept {
            if let Err(error) = put(call, kind, uuid, tag).await {
                tracing::warn!(request_id = %call.caller.request_id, error = %error.error.chain(), "a tag could not be kept");
                return;
            }
        }
    }
}

async fn put(call: &Call, kind: &str, resource_uuid: Uuid, tag: String) -> Outcome {
    forget_orphans(call, kind).await?;
    let known = type_of(&Scene::of(&call.context), resource_uuid);
    let known = known.ok_or_else(|| Fault::not_found("no object has the uuid of resourceUuid", "没有 resourceUuid 所指的对象"))?;
    let word = if kind == SYSTEM { "System" } else { "User" };
    let mut value = json!({"resourceUuid": hex(resource_uuid), "resourceType": known, "tag": tag, "type": word});
    if kind == SYSTEM {
        value["inherent"] = false.into();
    }
    let record = call.context.records.put(DIALECT, kind, &hex(Uuid::now_v7()), &value).await.map_err(at!())?;
    Ok(inventory(of_record(&record)))
}

/// Removes the tags of what is gone.
pub(super) async fn forget(call: &Call, resource_uuid: Uuid) -> Result<()> {
    let uuid = hex(resource_uuid);
    for kind in [SYSTEM, USER] {
        for record in call.context.records.list(DIALECT, kind) {
            if record.value.get("resourceUuid").and_then(Value::as_str) == Some(uuid.as_str()) {
                call.context.records.delete(DIALECT, kind, &record.key.id).await.map_err(at!())?;
            }
        }
    }
    Ok(())
}

/// Removes a few tags whose objects are gone, so that they do not fill the room for new ones.
async fn forget_orphans(call: &Call, kind: &str) -> Result<()> {
    let scene = Scene::of(&call.context);
    let gone = call.context.records.list(DIALECT, kind).into_iter().filter(|record| {
        let uuid = record.value.get("resourceUuid").and_then(Value::as_str);
        !uuid.is_some_and(|uuid| exists(&scene, uuid))
    });
    for record in gone.take(TAGS_MAX) {
        call.context.records.delete(DIALECT, kind, &record.key.id).await.map_err(at!())?;
    }
    Ok(())
}

async fn create(call: &Call, fields: &Fields, kind: &str) -> Outcome {
    fields.need_text("resourceType")?;
    let (uuid, tag) = (fields.need_uuid("resourceUuid")?, fields.need_text("tag")?);
    put(call, kind, uuid, tag).await
}

pub(super) fn create_system(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move { create(&call, &fields, SYSTEM).await })
}

pub(super) fn create_user(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move { create(&call, &fields, USER).await })
}

pub(super) fn delete(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move {
        change::check_delete_mode(&fields)?;
        let id = hex(fields.need_uuid("uuid")?);
        for kind in [SYSTEM, USER] {
            if call.context.records.delete(DIALECT, kind, &id).await.map_err(at!())? {
                return Ok(Reply::new());
            }
        }
        Err(Fault::not_found("no tag has this uuid", "没有此 uuid 的标签"))
    })
}
