//! Cinder v3: the disks that servers do not get from an image.

use super::call::{Call, Outcome, Reply};
use super::compute::view::is_block_storage;
use super::convert::{ZONE, gibibytes, gibibytes_up, is_project, micro, project_id};
use super::errors::Fault;
use super::paging::{next_links, page};
use super::version::VOLUME_MAX;
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{ConnectionState, Timestamp, Volume, VolumeStatus};
use hvnode_core::port::VOLUMES_POOL;
use hvnode_core::verb::{ChangeInput, DeleteVolumeInput};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// The one kind of volumes.
const TYPE_NAME: &str = "qcow2";
const TYPE_ID: Uuid = Uuid::from_u128(0x7d5a_2f1e_0000_4000_8000_0000_0000_0010);

fn version_object(call: &Call) -> Value {
    json!({
        "id": "v3.0", "status": "CURRENT", "version": format!("3.{VOLUME_MAX}"), "min_version": "3.0", "updated": "2018-07-17T00:00:00Z",
        "links": [{ "rel": "self", "href": format!("{}/volume/v3/", call.base_url) }],
        "media-types": [{ "base": "application/json", "type": "application/vnd.openstack.volume+json;version=3" }],
    })
}

pub(super) async fn versions(call: Call) -> Outcome {
    Reply::json(300, &json!({ "versions": [version_object(&call)] }))
}

pub(super) async fn version(call: Call) -> Outcome {
    Reply::ok(&json!({ "versions": [version_object(&call)] }))
}

/// The word of a volume's state.
fn status_word(status: VolumeStatus) -> &'static str {
    match status {
        VolumeStatus::Creating => "creating",
        VolumeStatus::Available => "available",
        VolumeStatus::InUse => "in-use",
        VolumeStatus::Deleting => "deleting",
        VolumeStatus::Error => "error",
    }
}

fn links(call: &Call, id: Uuid) -> Value {
    json!([
        { "rel": "self", "href": format!("{}/volume/v3/volumes/{id}", call.base_url) },
        { "rel": "bookmark", "href": format!("{}/volume/volumes/{id}", call.base_url) },
    ])
}

fn brief(call: &Call, _: &Snapshot, volume: &Volume) -> Value {
    json!({ "id": volume.volume_uuid, "name": volume.volume_name, "links": links(call, volume.volume_uuid) })
}

fn whole(call: &Call, snapshot: &Snapshot, volume: &Volume) -> Value {
    let host_name = &snapshot.facts.host_name;
    let id = volume.volume_uuid;
    let attachment = |server: Uuid| {
        json!({
            "id": id, "attachment_id": id, "volume_id": id, "server_id": server, "host_name": host_name,
            "device": format!("/dev/{}", volume.device), "attached_at": micro(volume.update_time),
        })
    };
    let attachments: Vec<Value> = volume.vm_uuid.into_iter().map(attachment).collect();
    let mut view = json!({
        "id": id, "name": volume.volume_name, "description": volume.description, "size": gibibytes_up(volume.storage_bytes),
        "status": status_word(volume.status), "attachments": attachments, "bootable": volume.is_root.to_string(), "availability_zone": ZONE,
        "volume_type": TYPE_NAME, "metadata": {}, "encrypted": false, "multiattach": false, "snapshot_id": null, "source_volid": null,
        "consistencygroup_id": null, "replication_status": null, "created_at": micro(volume.create_time), "updated_at": micro(volume.update_time),
        "user_id": "00000000000000000000000000000000", "links": links(call, id), "migration_status": null,
        "os-vol-host-attr:host": format!("{host_name}@{VOLUMES_POOL}"), "os-vol-mig-status-attr:migstat": null,
        "os-vol-mig-status-attr:name_id": null, "os-vol-tenant-attr:tenant_id": project_id(),
    });
    if call.version >= 13 {
        view["group_id"] = Value::Null;
    }
    if call.version >= 21 {
        view["provider_id"] = Value::Null;
    }
    if call.version >= 48 {
        view["shared_targets"] = false.into();
        view["service_uuid"] = Value::Null;
    }
    view
}

fn shown(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<Volume>> {
    snapshot.volumes.values().filter(|volume| is_block_storage(volume))
}

fn listed(call: &Call, path: &str, view: fn(&Call, &Snapshot, &Volume) -> Value) -> Outcome {
    let snapshot = call.snapshot();
    let is_wanted = |volume: &&Arc<Volume>| {
        let words = [
            ("name", volume.volume_name.clone()),
            ("display_name", volume.volume_name.clone()),
            ("status", status_word(volume.status).to_owned()),
            ("id", volume.volume_uuid.to_string()),
            ("bootable", volume.is_root.to_string()),
        ];
        words.iter().all(|(key, value)| call.query(key).is_none_or(|asked| asked == value))
    };
    let mut volumes: Vec<&Arc<Volume>> = shown(&snapshot).filter(is_wanted).collect();
    sort(call, &mut volumes)?;
    let page = page(call, volumes, |volume| volume.volume_uuid.to_string())?;
    let items: Vec<Value> = page.items.iter().map(|volume| view(call, &snapshot, volume)).collect();
    let mut body = json!({ "volumes": items });
    if let Some(marker) = page.next {
        body["volumes_links"] = next_links(call, &format!("{}/volume/v3{path}", call.base_url), &marker);
    }
    Reply::ok(&body)
}

fn sort(call: &Call, volumes: &mut [&Arc<Volume>]) -> Result<(), Fault> {
    let sort = call.query("sort").or_else(|| call.query("sort_key")).unwrap_or("created_at");
    let (key, direction) = sort.split_once(':').unwrap_or((sort, call.query("sort_dir").unwrap_or("desc")));
    match key {
        "created_at" => volumes.sort_by_key(|volume| (volume.create_time, volume.volume_uuid)),
        "name" | "display_name" => volumes.sort_by(|a, b| a.volume_name.cmp(&b.volume_name)),
        "id" => volumes.sort_by_key(|volume| volume.volume_uuid),
        "size" => volumes.sort_by_key(|volume| volume.storage_bytes),
        "status" => volumes.sort_by_key(|volume| status_word(volume.status)),
        "updated_at" => volumes.sort_by_key(|volume| volume.update_time),
        _ => return Err(Fault::bad_request("Invalid sort key: it must be one of created_at, updated_at, name, id, size, status.")),
    }
    match direction {
        "asc" => {}
        "desc" => volumes.reverse(),
        _ => return Err(Fault::bad_request("Unknown sort direction, must be 'desc' or 'asc'.")),
    }
    Ok(())
}

pub(super) async fn list(call: Call) -> Outcome {
    listed(&call, "/volumes", brief)
}

pub(super) async fn detail(call: Call) -> Outcome {
    listed(&call, "/volumes/detail", whole)
}

fn find<'a>(call: &Call, snapshot: &'a Snapshot) -> Result<&'a Volume, Fault> {
    let id: String = call.param(0).chars().take(64).collect();
    let volume = shown(snapshot).find(|volume| Some(volume.volume_uuid) == call.uuid(0));
    volume.map(AsRef::as_ref).ok_or_else(|| Fault::not_found(format!("Volume {id} could not be found.")))
}

pub(super) async fn show(call: Call) -> Outcome {
    let snapshot = call.snapshot();
    Reply::ok(&json!({ "volume": whole(&call, &snapshot, find(&call, &snapshot)?) }))
}

pub(super) async fn delete(call: Call) -> Outcome {
    let volume_uuid = find(&call, &call.snapshot())?.volume_uuid;
    match call.submit(ChangeInput::DeleteVolume(DeleteVolumeInput { volume_uuid })).await {
        Ok(_) => Ok(Reply::empty(202)),
        // Cinder calls it a bad request where a volume is in use.
        Err(mut fault) if fault.status == 409 => {
            fault.status = 400;
            fault.message = format!("Invalid volume: Volume status must be available or error, but it is not: {}", fault.message);
            Err(fault)
        }
        Err(fault) => Err(fault),
    }
}

pub(super) async fn snapshots(_: Call) -> Outcome {
    Reply::ok(&json!({ "snapshots": [] }))
}

pub(super) async fn backups(_: Call) -> Outcome {
    Reply::ok(&json!({ "backups": [] }))
}

fn type_object() -> Value {
    json!({
        "id": TYPE_ID, "name": TYPE_NAME, "description": null, "is_public": true, "os-volume-type-access:is_public": true, "qos_specs_id": null,
        "extra_specs": {},
    })
}

pub(super) async fn types(call: Call) -> Outcome {
    let is_wanted = call.query("name").is_none_or(|name| name == TYPE_NAME);
    let types: Vec<Value> = is_wanted.then(type_object).into_iter().collect();
    Reply::ok(&json!({ "volume_types": types }))
}

pub(super) async fn volume_type(call: Call) -> Outcome {
    let id: String = call.param(0).chars().take(64).collect();
    if id != "default" && call.uuid(0) != Some(TYPE_ID) {
        return Err(Fault::not_found(format!("Volume type {id} could not be found.")));
    }
    Reply::ok(&json!({ "volume_type": type_object() }))
}

/// Volumes, and GiB in them.
fn used(snapshot: &Snapshot) -> (usize, u64) {
    (shown(snapshot).count(), shown(snapshot).map(|volume| gibibytes(volume.storage_bytes)).sum())
}

pub(super) async fn limits(call: Call) -> Outcome {
    let (volumes, gib) = used(&call.snapshot());
    let absolute = json!({
        "maxTotalVolumes": -1, "maxTotalVolumeGigabytes": -1, "maxTotalSnapshots": 0, "maxTotalBackups": 0, "maxTotalBackupGigabytes": 0,
        "totalVolumesUsed": volumes, "totalGigabytesUsed": gib, "totalSnapshotsUsed": 0, "totalBackupsUsed": 0, "totalBackupGigabytesUsed": 0,
    });
    Reply::ok(&json!({ "limits": { "rate": [], "absolute": absolute } }))
}

pub(super) async fn zones(_: Call) -> Outcome {
    Reply::ok(&json!({ "availabilityZoneInfo": [{ "zoneName": ZONE, "zoneState": { "available": true } }] }))
}

pub(super) async fn services(call: Call) -> Outcome {
    let snapshot = call.snapshot();
    let state = if snapshot.connection == ConnectionState::Up { "up" } else { "down" };
    let service = json!({
        "binary": "cinder-volume", "host": format!("{}@{VOLUMES_POOL}", snapshot.facts.host_name), "zone": ZONE, "status": "enabled", "state": state,
        "updated_at": micro(Timestamp::now()), "disabled_reason": null,
    });
    Reply::ok(&json!({ "services": [service] }))
}

pub(super) async fn quotas(call: Call) -> Outcome {
    if !is_project(call.param(0)) {
        return Err(Fault::bad_request("Project ID is not a valid project."));
    }
    let (volumes, gib) = used(&call.snapshot());
    let rows = [
        ("volumes", -1_i64, volumes as u64),
        ("gigabytes", -1, gib),
        ("snapshots", 0, 0),
        ("backups", 0, 0),
        ("backup_gigabytes", 0, 0),
        ("per_volume_gigabytes", -1, 0),
        ("groups", 0, 0),
    ];
    let is_usage = call.query("usage").is_some_and(super::compute::filter::is_true);
    let mut set: serde_json::Map<String, Value> = rows
        .into_iter()
        .map(|(name, limit, used)| {
            (
                name.to_owned(),
                if is_usage { json!({ "limit": limit, "in_use": used, "reserved": 0, "allocated": 0 }) } else { json!(limit) },
            )
        })
        .collect();
    set.insert("id".into(), call.param(0).into());
    Reply::ok(&json!({ "quota_set": set }))
}
