//! VMs, their NICs and their disks.

use super::super::call::{pruned, reference};
use super::super::identity::{CLUSTER_UUID, PRIMARY_STORAGE_UUID, ZONE_UUID, hex, part_of};
use super::super::state::{is_on, vm_state, volume_state};
use super::{Scene, by_age, dated, network, text};
use hvnode_core::model::{Nic, ObservedNic, Timestamp, Vm, VmRecord, Volume};
use serde_json::{Value, json};

pub(in super::super) fn vms(scene: &Scene) -> Vec<Value> {
    sorted(scene).iter().map(|found| vm(scene, found)).collect()
}

pub(in super::super) fn nics(scene: &Scene) -> Vec<Value> {
    sorted(scene).iter().flat_map(|vm| nics_of(scene, vm)).collect()
}

pub(in super::super) fn volumes(scene: &Scene) -> Vec<Value> {
    let all = by_age(scene.snapshot.volumes.values().cloned(), |volume| (volume.create_time, volume.volume_uuid));
    all.iter().map(|found| volume(scene, found)).collect()
}

fn sorted(scene: &Scene) -> Vec<std::sync::Arc<Vm>> {
    by_age(scene.snapshot.vms.values().cloned(), |vm| (vm.record.as_ref().map_or_else(Timestamp::default, |r| r.create_time), vm.uuid()))
}

pub(super) fn vm(scene: &Scene, vm: &Vm) -> Value {
    let (record, observed) = (vm.record.as_deref(), vm.observed.as_deref());
    let host = hex(scene.snapshot.host_uuid());
    let was_on = is_on(vm) || record.is_some_and(|record| record.start_time.is_some());
    let disks: Vec<_> = record.iter().flat_map(|r| &r.volumes).filter_map(|uuid| scene.snapshot.volumes.get(uuid)).collect();
    let root = disks.iter().find(|volume| volume.is_root).map(|volume| volume.volume_uuid);
    let networks = record.and_then(|record| record.nics.first()).map(|nic| nic.network_uuid);
    let value = json!({
        "uuid": hex(vm.uuid()),
        "name": vm.name(),
        "description": record.map_or(Value::Null, |r| text(&r.description)),
        "zoneUuid": hex(ZONE_UUID),
        "clusterUuid": hex(CLUSTER_UUID),
        "hostUuid": is_on(vm).then(|| host.clone()),
        "lastHostUuid": was_on.then_some(host),
        "imageUuid": reference(record.and_then(|r| r.image.as_ref()).map(|image| image.uuid)),
        "instanceOfferingUuid": reference(record.and_then(|r| r.specification.as_ref()).map(|shape| shape.uuid)),
        "rootVolumeUuid": reference(root),
        "defaultL3NetworkUuid": reference(networks),
        "platform": platform(scene, record),
        "architecture": record.map(|r| r.architecture.as_str()).or(observed.map(|o| o.architecture.as_str())),
        "type": "UserVm",
        "hypervisorType": "KVM",
        "cpuNum": record.map(|r| r.cpu_cores).or(observed.map(|o| o.cpu_cores)),
        "cpuSpeed": 0,
        "memorySize": record.map(|r| r.memory_bytes).or(observed.map(|o| o.memory_bytes)),
        "allocatorStrategy": super::image::ALLOCATOR,
        "state": vm_state(vm),
        "vmNics": nics_of(scene, vm),
        "allVolumes": disks.iter().map(|found| volume(scene, found)).collect::<Vec<_>>(),
    });
    let times = record.map_or((vm.observed_time, vm.observed_time), |record| (record.create_time, record.update_time));
    dated(value, times.0, times.1)
}

/// As its image says; Linux where nothing is known.
fn platform(scene: &Scene, record: Option<&VmRecord>) -> &'static str {
    let image = record.and_then(|record| record.image.as_ref()).and_then(|image| scene.snapshot.images.get(&image.uuid));
    image.map_or("Linux", |image| super::image::platform(&image.os_type))
}

fn nics_of(scene: &Scene, vm: &Vm) -> Vec<Value> {
    let observed = vm.observed.as_ref().map(|observed| observed.nics.as_slice()).unwrap_or_default();
    match &vm.record {
        Some(record) => record.nics.iter().enumerate().map(|(index, nic)| own_nic(scene, record, nic, index, observed)).collect(),
        None => observed.iter().enumerate().map(|(index, nic)| foreign_nic(vm, nic, index)).collect(),
    }
}

fn own_nic(scene: &Scene, record: &VmRecord, nic: &Nic, index: usize, observed: &[ObservedNic]) -> Value {
    let device = observed.iter().find(|found| found.mac_address == nic.mac_address).and_then(|found| found.target_device.clone());
    let ip = scene.snapshot.address_of(nic).map(|address| address.to_string());
    let subnet = scene.snapshot.networks.get(&nic.network_uuid).and_then(|found| found.ipv4.as_ref());
    let (netmask, gateway) = (subnet.map(network::netmask), subnet.map(|subnet| subnet.gateway.addr().to_string()));
    let used = ip.as_ref().map(|ip| {
        vec![pruned(json!({
            "uuid": hex(part_of(nic.interface_uuid, 1)),
            "ip": ip,
            "netmask": netmask,
            "gateway": gateway,
            "l3NetworkUuid": hex(nic.network_uuid),
            "vmNicUuid": hex(nic.interface_uuid),
            "ipVersion": 4,
        }))]
    });
    let value = json!({
        "uuid": hex(nic.interface_uuid),
        "vmInstanceUuid": hex(record.vm_uuid),
        "l3NetworkUuid": hex(nic.network_uuid),
        "ip": ip,
        "mac": nic.mac_address.to_string(),
        "netmask": netmask,
        "gateway": gateway,
        "deviceId": index,
        "internalName": device,
        "hypervisorType": "KVM",
        "driverType": nic.model,
        "type": "VNIC",
        "state": "enable",
        "usedIps": used.unwrap_or_default(),
    });
    dated(value, record.create_time, record.update_time)
}

/// The NIC of somebody else's VM; its identity is made from the VM's.
fn foreign_nic(vm: &Vm, nic: &ObservedNic, index: usize) -> Value {
    let value = json!({
        "uuid": hex(part_of(vm.uuid(), index as u64)),
        "vmInstanceUuid": hex(vm.uuid()),
        "mac": nic.mac_address.to_string(),
        "deviceId": index,
        "internalName": nic.target_device,
        "hypervisorType": "KVM",
        "driverType": nic.model,
        "type": "VNIC",
        "state": "enable",
        "usedIps": [],
    });
    dated(value, vm.observed_time, vm.observed_time)
}

pub(super) fn volume(scene: &Scene, volume: &Volume) -> Value {
    let (state, status) = volume_state(volume.status);
    let record = volume.vm_uuid.and_then(|uuid| scene.snapshot.vms.get(&uuid)).and_then(|vm| vm.record.as_ref());
    let position = record.and_then(|record| record.volumes.iter().position(|uuid| *uuid == volume.volume_uuid));
    let value = json!({
        "uuid": hex(volume.volume_uuid),
        "name": volume.volume_name,
        "description": text(&volume.description),
        "primaryStorageUuid": hex(PRIMARY_STORAGE_UUID),
        "vmInstanceUuid": reference(volume.vm_uuid),
        "rootImageUuid": reference(volume.image_uuid.filter(|_| volume.is_root)),
        "installPath": volume.path,
        "type": if volume.is_root { "Root" } else { "Data" },
        "format": volume.format,
        "size": volume.storage_bytes,
        "deviceId": position,
        "state": state,
        "status": status,
        "isShareable": false,
    });
    dated(value, volume.create_time, volume.update_time)
}
