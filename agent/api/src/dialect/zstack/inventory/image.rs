//! Images and offerings.

use super::super::identity::{BACKUP_STORAGE_UUID, hex};
use super::super::record::DISK_OFFERING;
use super::super::state::image_status;
use super::{Scene, by_age, dated, of_records, text};
use hvnode_core::model::{Image, ImageFormat, Specification};
use serde_json::{Value, json};

/// The one way to choose among one host.
pub(in super::super) const ALLOCATOR: &str = "LeastVmPreferredHostAllocatorStrategy";

pub(in super::super) fn images(scene: &Scene) -> Vec<Value> {
    by_age(scene.snapshot.images.values().cloned(), |image| (image.create_time, image.image_uuid))
        .iter()
        .map(|found| image(found))
        .collect()
}

pub(in super::super) fn offerings(scene: &Scene) -> Vec<Value> {
    let all = by_age(scene.snapshot.specifications.values().cloned(), |shape| (shape.create_time, shape.specification_uuid));
    all.iter().map(|shape| offering(shape)).collect()
}

pub(in super::super) fn disk_offerings(scene: &Scene) -> Vec<Value> {
    of_records(scene, DISK_OFFERING)
}

/// What an image is for.
fn media_type(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Qcow2 | ImageFormat::Raw => "RootVolumeTemplate",
        ImageFormat::Iso => "ISO",
        ImageFormat::Kernel => "Kernel",
        ImageFormat::Initrd => "Initrd",
    }
}

pub(super) fn platform(os_type: &str) -> &'static str {
    if os_type.to_ascii_lowercase().contains("windows") { "Windows" } else { "Linux" }
}

pub(super) fn image(image: &Image) -> Value {
    let (uuid, status) = (hex(image.image_uuid), image_status(image.status));
    let store = hex(BACKUP_STORAGE_UUID);
    let value = json!({
        "uuid": uuid,
        "name": image.image_name,
        "description": text(&image.description),
        "state": "Enabled",
        "status": status,
        "size": image.virtual_bytes,
        "actualSize": image.storage_bytes,
        "url": text(&image.url),
        "mediaType": media_type(image.format),
        "guestOsType": text(&image.os_type),
        "type": "zstack",
        "platform": platform(&image.os_type),
        "architecture": text(&image.architecture),
        "format": image.format.word(),
        "system": false,
        "backupStorageRefs": [{"imageUuid": uuid, "backupStorageUuid": store, "installPath": image.path, "status": status}],
    });
    dated(value, image.create_time, image.update_time)
}

pub(super) fn offering(shape: &Specification) -> Value {
    let value = json!({
        "uuid": hex(shape.specification_uuid),
        "name": shape.specification_name,
        "description": text(&shape.description),
        "cpuNum": shape.cpu_cores,
        "cpuSpeed": 0,
        "memorySize": shape.memory_bytes,
        "type": "UserVm",
        "allocatorStrategy": ALLOCATOR,
        "sortKey": 0,
        "state": "Enabled",
    });
    dated(value, shape.create_time, shape.create_time)
}
