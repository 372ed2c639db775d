//! Makes records anew from what stands in the domains' own definitions: after a lost store the VMs are still ours.

use super::{Inner, inventory};
use crate::model::{DEFAULT_TENANT_UUID, ObservedDisk, Snapshot, Timestamp, VmOrigin, VmPhase, VmRecord, Volume, VolumeStatus};
use crate::port::{Durability, VOLUMES_POOL, Write};
use std::sync::Arc;
use uuid::Uuid;

/// Rebuilds the record of every domain that carries our metadata and has none.
pub(super) async fn rebuild_lost_records(inner: &Inner) {
    let snapshot = inner.world.load();
    let writes = lost(&snapshot, inner.now(), &inner.verb_settings.volumes_directory);
    if writes.is_empty() {
        return;
    }
    if let Err(error) = inner.ports.store.commit(writes.clone(), Durability::Durable).await {
        tracing::warn!(error = %error.chain(), "Records that were rebuilt from libvirt could not be stored");
        return;
    }
    inner.world.update(|snapshot| {
        for write in &writes {
            if let Write::PutVm(record) = write {
                tracing::warn!(vm_uuid = %record.vm_uuid, vm_name = %record.vm_name, "The record of a VM was rebuilt from its definition in libvirt");
            }
            inventory::apply(snapshot, write);
        }
    });
}

fn lost(snapshot: &Snapshot, now: Timestamp, volumes_directory: &str) -> Vec<Write> {
    let mut writes = Vec::new();
    for vm in snapshot.vms.values() {
        let (None, Some(observed), None) = (&vm.record, &vm.observed, &vm.job) else { continue };
        let Some(metadata) = &observed.metadata else { continue };
        if metadata.record.vm_uuid != observed.vm_uuid {
            continue;
        }
        let mut record = metadata.record.clone();
        record.origin = VmOrigin::Rebuilt;
        record.phase = VmPhase::Ready;
        record.cpu_cores = observed.cpu_cores;
        record.memory_bytes = observed.memory_bytes;
        record.desired_power = observed.power.as_desired();
        record.update_time = now;
        for disk in &observed.disks {
            let volume = own_volume(&record, disk, volumes_directory, now);
            writes.extend(volume.filter(|v| !snapshot.volumes.contains_key(&v.volume_uuid)).map(|v| Write::PutVolume(Arc::new(v))));
        }
        writes.push(Write::PutVm(Arc::new(record)));
    }
    writes
}

/// A disk of ours: a file in the volumes pool named by a uuid that the record lists.
fn own_volume(record: &VmRecord, disk: &ObservedDisk, volumes_directory: &str, now: Timestamp) -> Option<Volume> {
    let file_name = disk.path.strip_prefix(volumes_directory)?.strip_prefix('/')?;
    let volume_uuid = Uuid::parse_str(file_name.strip_suffix(".qcow2")?).ok()?;
    let position = record.volumes.iter().position(|uuid| *uuid == volume_uuid)?;
    let is_root = position == 0 && disk.device == "vda";
    Some(Volume {
        volume_uuid,
        volume_name: if is_root { format!("{}-root", record.vm_name) } else { format!("{}-data{position}", record.vm_name) },
        description: String::new(),
        status: VolumeStatus::InUse,
        // Not in the definition; known again once the disk is looked at.
        storage_bytes: 0,
        format: disk.format.to_string(),
        pool_name: VOLUMES_POOL.into(),
        file_name: file_name.to_owned(),
        path: disk.path.to_string(),
        image_uuid: if is_root { record.image.as_ref().map(|image| image.uuid) } else { None },
        is_root,
        vm_uuid: Some(record.vm_uuid),
        device: disk.device.to_string(),
        bus: disk.bus.to_string(),
        tenant_uuid: DEFAULT_TENANT_UUID,
        create_time: record.create_time,
        update_time: now,
    })
}
