//! Objects exactly as clients see them.

use super::super::resource::vm_view::{VmDetail, VmView};
use crate::test_support::empty_snapshot;
use hvnode_core::model::{
    BootSource, DEFAULT_TENANT_UUID, Firmware, Freshness, MacAddress, Management, Named, Network, NetworkType, Nic, Snapshot, StateReason,
    Timestamp, Vm, VmOrigin, VmPhase, VmRecord, VmStatus, Volume, VolumeStatus,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

fn nic() -> Nic {
    Nic {
        interface_uuid: Uuid::from_u128(4),
        network_uuid: Uuid::from_u128(5),
        network_name: "default".into(),
        is_host_bridge: false,
        mac_address: MacAddress::from_seed([1, 2, 3]),
        ip_address: Some([192, 0, 2, 10].into()),
        model: "virtio".into(),
    }
}

fn record() -> VmRecord {
    VmRecord {
        vm_uuid: Uuid::from_u128(1),
        vm_name: "数据库 主".into(),
        domain_name: "db".into(),
        description: "d".into(),
        cpu_cores: 2,
        memory_bytes: 1 << 30,
        specification: Some(Named { uuid: Uuid::from_u128(2), name: "small".into() }),
        resized_from: None,
        image: Some(Named { uuid: Uuid::from_u128(3), name: "debian".into() }),
        tenant_uuid: DEFAULT_TENANT_UUID,
        user_name: "anna".into(),
        boot: BootSource::Disk,
        firmware: Firmware::Uefi,
        architecture: "x86_64".into(),
        auto_start: true,
        locked: false,
        restart_on_crash: false,
        has_seed: false,
        desired_power: hvnode_core::model::DesiredPower::On,
        expire_time: None,
        volumes: vec![Uuid::from_u128(6)],
        nics: vec![nic()],
        metadata: BTreeMap::from([("role".into(), "db".into())]),
        origin: VmOrigin::Created,
        phase: VmPhase::Ready,
        create_time: Timestamp::from_seconds(1_763_798_400),
        update_time: Timestamp::from_seconds(1_763_798_401),
        start_time: Some(Timestamp::from_seconds(1_763_798_402)),
        error: None,
    }
}

fn volume() -> Volume {
    Volume {
        volume_uuid: Uuid::from_u128(6),
        volume_name: "db-root".into(),
        description: String::new(),
        status: VolumeStatus::InUse,
        storage_bytes: 8 << 30,
        format: "qcow2".into(),
        pool_name: "hvnode-volumes".into(),
        file_name: "6.qcow2".into(),
        path: "/var/lib/hvnode/volumes/6.qcow2".into(),
        image_uuid: Some(Uuid::from_u128(3)),
        is_root: true,
        vm_uuid: Some(Uuid::from_u128(1)),
        device: "vda".into(),
        bus: "virtio".into(),
        tenant_uuid: DEFAULT_TENANT_UUID,
        create_time: Timestamp::default(),
        update_time: Timestamp::default(),
    }
}

fn node() -> (Snapshot, Vm) {
    let mut snapshot = empty_snapshot();
    let network = Network {
        network_uuid: Uuid::from_u128(5),
        network_name: "default".into(),
        network_type: NetworkType::Nat,
        bridge_name: "virbr0".into(),
        is_active: true,
        is_host_bridge: false,
        mtu: None,
        ipv4: Some(hvnode_core::model::Ipv4Subnet {
            gateway: "192.0.2.1/24".parse().unwrap(),
            dhcp_ranges: Vec::new(),
            reservations: Vec::new(),
        }),
    };
    snapshot.networks.insert(network.network_uuid, Arc::new(network));
    snapshot.volumes.insert(Uuid::from_u128(6), Arc::new(volume()));
    let vm = Vm {
        status: VmStatus::Running,
        reason: StateReason::Requested,
        management: Management::Managed,
        freshness: Freshness::Fresh,
        observed_time: Timestamp::from_seconds(1_763_798_403),
        ..Vm::from_record(Arc::new(record()))
    };
    (snapshot, vm)
}

#[test]
fn a_vm_in_a_list() {
    let (snapshot, vm) = node();
    insta::assert_json_snapshot!(VmView::of(&snapshot, &vm));
}

#[test]
fn a_vm_inspected() {
    let (snapshot, vm) = node();
    insta::assert_json_snapshot!(VmDetail::of(&snapshot, &vm));
}
