//! Volumes, their one specification, and snapshots, which this version does not make.

use super::host::named;
use super::vm::has_ended_well;
use super::{done, keyed, merge, no_operations, time};
use crate::dialect::chimestack::call::{Call, Outcome};
use crate::dialect::chimestack::errors::Failure;
use crate::dialect::chimestack::input::Input;
use crate::dialect::chimestack::label::Label;
use crate::dialect::chimestack::listing::{self, Page};
use crate::dialect::chimestack::node::derived;
use crate::dialect::chimestack::shape::{VOLUME, VOLUME_SPEC};
use crate::dialect::chimestack::task;
use hvnode_core::fail;
use hvnode_core::model::{ObservedDisk, Vm, Volume, VolumeStatus};
use hvnode_core::port::VOLUMES_POOL;
use hvnode_core::verb::{ChangeInput, DeleteVolumeInput};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// Name of the built-in specification.
const SPEC_NAME: &str = "default";

/// What all volumes of a node have in common.
fn common(call: &Call) -> Value {
    let (node, facts) = (call.node(), &call.snapshot.facts);
    let mut view = json!({
        "description": "",
        "az_uuid": node.az,
        "cluster_uuid": node.cluster,
        "host_uuid": node.host,
        "host_ip": facts.ip_address,
        "host_name": facts.host_name,
        "size": 0,
        "root": 0,
        "cdrom": 0,
        "type": 0,
        "image_uuid": null,
        "image_name": "",
        "iops": 0,
        "throughput": 0,
        "volume_spec_uuid": node.volume_spec,
        "spec_name": SPEC_NAME,
        "storage_pool_name": VOLUMES_POOL,
        "storage_pool_type": 0,
        "version": 0,
        "parent_version": -1,
        "snapshot_count": 0,
        "snapshots": [],
        "user_uuid": null,
        "created_at": null,
        "attached_vms": [],
        "tasks": [],
    });
    merge(&mut view, no_operations());
    view
}

fn view(call: &Call, volume: &Volume) -> Value {
    let image = volume.image_uuid.and_then(|uuid| call.snapshot.images.get(&uuid));
    let mut view = common(call);
    let own = json!({
        "uuid": volume.volume_uuid,
        "name": volume.volume_name,
        "description": if volume.description.is_empty() { Label::of(call, volume.volume_uuid).description } else { volume.description.clone() },
        "size": volume.storage_bytes,
        "format": volume.format,
        "root": u64::from(volume.is_root),
        "state": call.options.states.volume(volume.status),
        "image_uuid": volume.image_uuid,
        "image_name": image.map_or("", |image| image.image_name.as_str()),
        "storage_pool_name": volume.pool_name,
        "operation": task::operation(task::open_job(&call.snapshot, volume.volume_uuid)),
        "created_at": time(volume.create_time),
    });
    merge(&mut view, own);
    view
}

/// A disk of a VM that is not ours.
fn observed_view(call: &Call, vm: &Vm, disk: &ObservedDisk) -> Value {
    let mut view = common(call);
    let own = json!({
        "uuid": derived(vm.uuid(), &disk.device),
        "name": disk.path.rsplit('/').next().unwrap_or(""),
        "format": disk.format,
        "cdrom": u64::from(disk.kind == "cdrom"),
        "state": call.options.states.volume(if has_ended_well(vm) { VolumeStatus::InUse } else { VolumeStatus::Creating }),
        "storage_pool_name": "",
    });
    merge(&mut view, own);
    view
}

/// The volumes of one VM.
pub(super) fn volumes_view(call: &Call, vm: &Vm) -> Vec<Value> {
    match (&vm.record, &vm.observed) {
        (Some(record), _) => {
            let volumes = record.volumes.iter().filter_map(|uuid| call.snapshot.volumes.get(uuid));
            volumes.map(|volume| view(call, volume)).collect()
        }
        (None, Some(observed)) => observed.disks.iter().map(|disk| observed_view(call, vm, disk)).collect(),
        (None, None) => Vec::new(),
    }
}

/// A volume.
///
/// # Errors
/// `VolumeNotExist`.
pub(super) fn find(call: &Call, uuid: Uuid) -> Result<&Arc<Volume>, Failure> {
    call.snapshot.volumes.get(&uuid).ok_or_else(|| fail!(VolumeNotExist).into())
}

pub(in super::super) async fn list(call: Call, input: Input) -> Outcome {
    let mut page = listing::page(&input, &VOLUME, call.snapshot.volumes.values().map(|volume| view(&call, volume)).collect())?;
    page.elements = task::fill_last_operations(&call, page.elements).await?;
    Ok(page.into_result())
}

pub(in super::super) async fn show(call: Call, input: Input) -> Outcome {
    let uuid = input.required_uuid("VolumeUuid")?;
    let volume = find(&call, uuid)?;
    let mut view = view(&call, volume);
    let vm = volume.vm_uuid.and_then(|uuid| call.snapshot.vms.get(&uuid));
    view["attached_vms"] = vm.map(|vm| named(vm.uuid(), vm.name())).into_iter().collect();
    view["tasks"] = task::tasks(&call, uuid).await?.into();
    Ok(keyed("volume", view))
}

pub(in super::super) async fn delete(call: Call, input: Input) -> Outcome {
    let volume_uuid = input.required_uuid("VolumeUuid")?;
    call.submit(ChangeInput::DeleteVolume(DeleteVolumeInput { volume_uuid }), &input).await?;
    done("volume")
}

/// Snapshots of one volume: there are none.
pub(in super::super) async fn list_snapshots(call: Call, input: Input) -> Outcome {
    find(&call, input.required_uuid("VolumeUuid")?)?;
    Ok(Page { elements: Vec::new(), total: 0 }.into_result())
}

/// One snapshot: there are none.
pub(in super::super) async fn show_snapshot(call: Call, input: Input) -> Outcome {
    find(&call, input.required_uuid("VolumeUuid")?)?;
    Err(Failure::no_such("Snapshot", fail!(VolumeNotExist)))
}

fn spec(call: &Call) -> Value {
    let node = call.node();
    json!({
        "uuid": node.volume_spec,
        "name": SPEC_NAME,
        "description": "Disks of this node have no limits of their own.",
        "min_iops": 0,
        "max_iops": 0,
        "step_iops": 0,
        "min_throughput": 0,
        "max_throughput": 0,
        "step_throughput": 0,
        "storage_pool_uuid": node.pool,
        "storage_pool_name": VOLUMES_POOL,
        "state": 1,
        "cluster_count": 1,
        "created_at": null,
    })
}

pub(in super::super) async fn list_specs(call: Call, input: Input) -> Outcome {
    super::list(&input, &VOLUME_SPEC, vec![spec(&call)])
}

pub(in super::super) async fn show_spec(call: Call, _: Input) -> Outcome {
    Ok(keyed("volume_spec", spec(&call)))
}
