//! What tests of the engine may rely on.

use super::*;
use crate::error::ErrorCode;
use crate::fail;
use crate::model::{
    BootSource, ConnectionState, DhcpReservation, DomainMetadata, Firmware, MacAddress, PowerState, StateReason, Timestamp, VmOrigin,
    VmPhase, VmRecord,
};
use crate::port::{DomainDisk, DomainNic, DomainSpec, Hypervisor, HypervisorEvent, VOLUMES_POOL, VolumeSpec};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

fn spec(number: u128) -> DomainSpec {
    let vm_uuid = Uuid::from_u128(number);
    let name = format!("vm{number}");
    let record = VmRecord {
        vm_uuid,
        vm_name: name.clone(),
        domain_name: name.clone(),
        description: String::new(),
        cpu_cores: 2,
        memory_bytes: 1 << 30,
        specification: None,
        resized_from: None,
        image: None,
        tenant_uuid: Uuid::nil(),
        user_name: Default::default(),
        boot: BootSource::Disk,
        firmware: Firmware::Bios,
        architecture: "x86_64".into(),
        auto_start: false,
        locked: false,
        restart_on_crash: false,
        has_seed: false,
        desired_power: crate::model::DesiredPower::On,
        expire_time: None,
        volumes: vec![],
        nics: vec![],
        metadata: BTreeMap::new(),
        origin: VmOrigin::Created,
        phase: VmPhase::Ready,
        create_time: Timestamp::default(),
        update_time: Timestamp::default(),
        start_time: None,
        error: None,
    };
    DomainSpec {
        vm_uuid,
        domain_name: name.clone(),
        title: name,
        cpu_cores: 2,
        memory_bytes: 1 << 30,
        architecture: "x86_64".into(),
        firmware: Firmware::Bios,
        boot: BootSource::Disk,
        disks: vec![DomainDisk {
            path: format!("/var/lib/hvnode/volumes/{number}.qcow2"),
            format: "qcow2".into(),
            device: "vda".into(),
            bus: "virtio".into(),
            serial: String::new(),
        }],
        nics: vec![DomainNic { mac_address: mac(number), source: "default".into(), is_host_bridge: false, model: "virtio".into() }],
        auto_start: false,
        metadata: DomainMetadata { record },
    }
}

fn mac(number: u128) -> MacAddress {
    MacAddress::from_seed([0, 0, u8::try_from(number).unwrap()])
}

fn volume(number: u128) -> VolumeSpec {
    VolumeSpec { pool_name: VOLUMES_POOL.into(), file_name: format!("{number}.qcow2"), storage_bytes: 1 << 30, backing: None }
}

/// A session with VM 1 running and its clock.
async fn running() -> (Arc<FakeHypervisor>, Faults, ManualClock) {
    let clock = ManualClock::default();
    let faults = Faults::new();
    let hypervisor = FakeHypervisor::new(FakeNode::new(NodeOptions::default(), Arc::new(clock.clone())), faults.clone());
    hypervisor.ensure_pools().await.unwrap();
    hypervisor.ensure_volume(&volume(1)).await.unwrap();
    hypervisor.ensure_defined(&spec(1)).await.unwrap();
    hypervisor.ensure_started(ONE).await.unwrap();
    (hypervisor, faults, clock)
}

const ONE: Uuid = Uuid::from_u128(1);

fn power(hypervisor: &FakeHypervisor) -> Option<(PowerState, StateReason)> {
    hypervisor.node().domain(ONE).map(|domain| (domain.power, domain.reason))
}

#[tokio::test]
async fn a_domain_lives_from_definition_to_removal_and_every_change_is_told() {
    let (hypervisor, _, _) = running().await;
    let mut events = hypervisor.take_events().unwrap();
    assert!(hypervisor.take_events().is_none());
    assert_eq!(power(&hypervisor), Some((PowerState::Running, StateReason::Booted)));
    assert_eq!(hypervisor.ensure_undefined(ONE).await.unwrap_err().code(), ErrorCode::VmStateNotAllowed);
    hypervisor.ensure_paused(ONE).await.unwrap();
    hypervisor.ensure_resumed(ONE).await.unwrap();
    hypervisor.ensure_destroyed(ONE).await.unwrap();
    hypervisor.ensure_destroyed(ONE).await.unwrap();
    hypervisor.ensure_undefined(ONE).await.unwrap();
    hypervisor.ensure_undefined(ONE).await.unwrap();
    assert_eq!(hypervisor.observe(ONE).await.unwrap(), None);
    let mut told = 0;
    while let Ok(event) = events.try_recv() {
        assert_eq!(event, HypervisorEvent::DomainChanged(ONE));
        told += 1;
    }
    // Defined, started, paused, resumed, destroyed, undefined: doing nothing tells nothing.
    assert_eq!(told, 6);
}

#[tokio::test]
async fn a_domain_does_not_start_without_its_disk() {
    let (hypervisor, _, _) = running().await;
    hypervisor.ensure_defined(&spec(2)).await.unwrap();
    assert_eq!(hypervisor.ensure_started(Uuid::from_u128(2)).await.unwrap_err().code(), ErrorCode::VmStartFailed);
    assert_eq!(hypervisor.ensure_started(Uuid::from_u128(3)).await.unwrap_err().code(), ErrorCode::VmNotExist);
}

#[tokio::test(start_paused = true)]
async fn a_guest_shuts_down_after_its_delay_unless_it_does_not_listen() {
    let (hypervisor, _, _) = running().await;
    let mut events = hypervisor.take_events().unwrap();
    hypervisor.node().set_heeds_requests(ONE, false);
    hypervisor.request_shutdown(ONE).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(power(&hypervisor), Some((PowerState::Running, StateReason::Booted)));
    hypervisor.node().set_heeds_requests(ONE, true);
    while events.try_recv().is_ok() {}
    hypervisor.request_shutdown(ONE).await.unwrap();
    assert_eq!(power(&hypervisor), Some((PowerState::Running, StateReason::Booted)));
    assert_eq!(events.recv().await, Some(HypervisorEvent::DomainChanged(ONE)));
    assert_eq!(power(&hypervisor), Some((PowerState::Off, StateReason::GuestShutdown)));
    assert_eq!(hypervisor.request_shutdown(ONE).await.unwrap_err().code(), ErrorCode::VmStateNotAllowed);
}

#[tokio::test(start_paused = true)]
async fn a_late_shutdown_does_not_hit_the_next_run() {
    let (hypervisor, _, _) = running().await;
    hypervisor.request_shutdown(ONE).await.unwrap();
    hypervisor.ensure_destroyed(ONE).await.unwrap();
    hypervisor.ensure_started(ONE).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(power(&hypervisor), Some((PowerState::Running, StateReason::Booted)));
}

#[tokio::test]
async fn a_cut_connection_fails_calls_silences_events_and_tells_when_it_is_back() {
    let (hypervisor, faults, _) = running().await;
    let mut events = hypervisor.take_events().unwrap();
    while events.try_recv().is_ok() {}
    let connection = hypervisor.connection();
    faults.on("observe", 1, Fault::Disconnect);
    assert_eq!(hypervisor.observe(ONE).await.unwrap_err().code(), ErrorCode::HypervisorUnavailable);
    assert!(matches!(*connection.borrow(), ConnectionState::Down(_)));
    hypervisor.node().kill_qemu(ONE);
    assert!(events.try_recv().is_err());
    hypervisor.connect();
    assert_eq!(events.try_recv(), Ok(HypervisorEvent::Connected));
    assert_eq!(hypervisor.observe(ONE).await.unwrap().map(|d| d.power), Some(PowerState::Crashed));
}

#[tokio::test]
async fn a_fault_after_the_effect_leaves_the_effect() {
    let (hypervisor, faults, _) = running().await;
    faults.on("ensure_destroyed", 1, Fault::FailAfter(fail!(Timeout)));
    assert_eq!(hypervisor.ensure_destroyed(ONE).await.unwrap_err().code(), ErrorCode::Timeout);
    assert_eq!(power(&hypervisor), Some((PowerState::Off, StateReason::Destroyed)));
}

#[tokio::test]
async fn a_new_session_sees_the_world_that_the_dead_one_left() {
    let (hypervisor, faults, _) = running().await;
    faults.crash();
    let next = FakeHypervisor::new(hypervisor.node().clone(), Faults::new());
    assert_eq!(next.list_domains().await.unwrap().len(), 1);
    assert!(next.take_events().is_some());
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_told_once_that_it_lost_events() {
    let (hypervisor, _, _) = running().await;
    for _ in 0..3000 {
        hypervisor.node().change_outside(ONE, |_| {});
    }
    let mut events = hypervisor.take_events().unwrap();
    let mut received = Vec::new();
    while let Ok(event) = events.try_recv() {
        received.push(event);
    }
    assert_eq!(received.last(), Some(&HypervisorEvent::Lagged));
    assert_eq!(received.iter().filter(|e| **e == HypervisorEvent::Lagged).count(), 1);
    hypervisor.node().change_outside(ONE, |_| {});
    assert_eq!(events.try_recv(), Ok(HypervisorEvent::DomainChanged(ONE)));
}

#[tokio::test]
async fn addresses_are_reserved_leased_and_given_back() {
    let (hypervisor, _, _) = running().await;
    let networks = hypervisor.list_networks().await.unwrap();
    let network_uuid = networks.iter().find(|n| n.network_name == "default").unwrap().network_uuid;
    let leases = hypervisor.list_leases(network_uuid).await.unwrap();
    assert_eq!(leases[0].ip_address.to_string(), "192.168.122.2");
    let wanted = DhcpReservation { mac_address: mac(1), ip_address: "192.168.122.77".parse().unwrap(), host_name: "vm1".into() };
    hypervisor.ensure_reservation(network_uuid, &wanted).await.unwrap();
    hypervisor.ensure_reservation(network_uuid, &wanted).await.unwrap();
    assert_eq!(hypervisor.list_leases(network_uuid).await.unwrap()[0].ip_address, wanted.ip_address);
    let taken = DhcpReservation { mac_address: mac(2), ..wanted.clone() };
    assert_eq!(hypervisor.ensure_reservation(network_uuid, &taken).await.unwrap_err().code(), ErrorCode::DhcpFailed);
    let outside = DhcpReservation { ip_address: "10.0.0.1".parse().unwrap(), ..wanted.clone() };
    assert_eq!(hypervisor.ensure_reservation(network_uuid, &outside).await.unwrap_err().code(), ErrorCode::DhcpFailed);
    hypervisor.remove_reservation(network_uuid, &wanted).await.unwrap();
    assert!(hypervisor.node().reservations().is_empty());
}

#[tokio::test]
async fn volumes_are_made_once_and_space_is_finite() {
    let (hypervisor, _, _) = running().await;
    hypervisor.ensure_volume(&volume(1)).await.unwrap();
    let other = VolumeSpec { storage_bytes: 5, ..volume(1) };
    assert_eq!(hypervisor.ensure_volume(&other).await.unwrap_err().code(), ErrorCode::AlreadyExist);
    hypervisor.node().set_pool_bytes(1000);
    assert_eq!(hypervisor.ensure_volume(&volume(2)).await.unwrap_err().code(), ErrorCode::StorageFull);
    hypervisor.ensure_file(VOLUMES_POOL, "seed", vec![0; 10]).await.unwrap_err();
    hypervisor.remove_volume(VOLUMES_POOL, "1.qcow2").await.unwrap();
    hypervisor.remove_volume(VOLUMES_POOL, "1.qcow2").await.unwrap();
    hypervisor.ensure_file(VOLUMES_POOL, "seed", vec![0; 10]).await.unwrap();
    assert_eq!(hypervisor.list_volumes(VOLUMES_POOL).await.unwrap(), ["seed"]);
    assert!(hypervisor.remove_volume(VOLUMES_POOL, "../x").await.is_err());
}

#[tokio::test]
async fn counters_grow_with_the_clock_and_the_console_shows_the_boot() {
    let (hypervisor, _, clock) = running().await;
    let first = hypervisor.sample_vms(vec![ONE]).await.unwrap();
    clock.advance(Duration::from_secs(10));
    let second = hypervisor.sample_vms(vec![ONE]).await.unwrap();
    let used = second[0].cpu_time_nanoseconds.unwrap() - first[0].cpu_time_nanoseconds.unwrap();
    assert_eq!(used, 2 * 10_000_000_000 / 5);
    assert_eq!((second[0].disks.len(), second[0].nics.len()), (1, 1));
    let log = hypervisor.console_log(ONE, 1 << 20).await.unwrap();
    assert!(String::from_utf8(log).unwrap().contains("GUEST-READY"));
    assert_eq!(hypervisor.console_log(ONE, 3).await.unwrap().len(), 3);
    assert_eq!(hypervisor.display(ONE).await.unwrap().port, 5900);
}
