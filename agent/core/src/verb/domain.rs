//! From our record of a VM to the domain libvirt is to have.

use crate::model::{BootSource, DomainMetadata, Snapshot, VmRecord, Volume};
use crate::port::{DomainDisk, DomainNic, DomainSpec};
use std::sync::Arc;

/// The domain of a record whose disks are `volumes`, in device order.
pub(crate) fn domain_of(record: &VmRecord, volumes: &[Arc<Volume>], seed_path: Option<&str>) -> DomainSpec {
    let mut disks: Vec<DomainDisk> = volumes
        .iter()
        .map(|volume| DomainDisk {
            path: volume.path.clone(),
            format: volume.format.clone(),
            device: volume.device.clone(),
            bus: volume.bus.clone(),
            serial: volume.volume_uuid.simple().to_string(),
        })
        .collect();
    if let Some(path) = seed_path {
        disks.push(DomainDisk {
            path: path.to_owned(),
            format: "raw".into(),
            device: device_name(volumes.len()),
            bus: "virtio".into(),
            serial: "seed".into(),
        });
    }
    let nics = record
        .nics
        .iter()
        .map(|nic| DomainNic {
            mac_address: nic.mac_address,
            source: nic.network_name.to_string(),
            is_host_bridge: nic.is_host_bridge,
            model: nic.model.to_string(),
        })
        .collect();
    DomainSpec {
        vm_uuid: record.vm_uuid,
        domain_name: record.domain_name.clone(),
        title: record.vm_name.clone(),
        cpu_cores: record.cpu_cores,
        memory_bytes: record.memory_bytes,
        architecture: record.architecture.to_string(),
        firmware: record.firmware,
        boot: record.boot.clone(),
        disks,
        nics,
        auto_start: record.auto_start,
        metadata: DomainMetadata { record: record.clone() },
    }
}

/// The domain of a record, with its disks taken from the picture.
pub fn domain_spec(record: &VmRecord, snapshot: &Snapshot) -> DomainSpec {
    let volumes: Vec<_> = record.volumes.iter().filter_map(|uuid| snapshot.volumes.get(uuid).cloned()).collect();
    domain_of(record, &volumes, None)
}

/// `vda`, `vdb`, … `vdz`, `vdaa`, ….
pub(super) fn device_name(index: usize) -> String {
    let mut letters = Vec::new();
    let mut rest = index + 1;
    while rest > 0 {
        rest -= 1;
        letters.push(char::from(b'a' + u8::try_from(rest % 26).unwrap_or(0)));
        rest /= 26;
    }
    format!("vd{}", letters.iter().rev().collect::<String>())
}

/// The files of a VM that are images: they must not be deleted under it.
pub(super) fn uses_path(record: &VmRecord, path: &str) -> bool {
    match &record.boot {
        BootSource::Disk => false,
        BootSource::Iso { path: iso } => iso == path,
        BootSource::Kernel { kernel_path, initrd_path, .. } => kernel_path == path || initrd_path.as_deref() == Some(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_as_the_kernel_names_them() {
        assert_eq!(device_name(0), "vda");
        assert_eq!(device_name(25), "vdz");
        assert_eq!(device_name(26), "vdaa");
        assert_eq!(device_name(51), "vdaz");
        assert_eq!(device_name(52), "vdba");
    }
}
