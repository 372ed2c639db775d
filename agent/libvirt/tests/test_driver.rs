//! The adapter on libvirt's own mock driver: what needs a real connection and its events, but no QEMU.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use hvnode_core::ErrorCode;
use hvnode_core::model::{PowerState, StateReason};
use hvnode_core::port::{ConnectionState, Hypervisor, HypervisorEvent, IMAGES_POOL};
use hvnode_libvirt::{LibvirtConfig, LibvirtHypervisor, PoolDirectories, VirtPreference};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard, mpsc};
use tokio::time::timeout;
use uuid::Uuid;
use virt::connect::Connect;

const PATIENCE: Duration = Duration::from_secs(20);

fn config(uri: &str) -> LibvirtConfig {
    let pools = PoolDirectories { images: "/pools/images".into(), volumes: "/pools/volumes".into(), console: "/pools/console".into() };
    LibvirtConfig { virt_type: VirtPreference::Qemu, bridges: vec!["br-none".into()], ..LibvirtConfig::new(uri, pools) }
}

/// The mock has one state per process; a test has it alone where the runner has one process for all.
static ALONE: Mutex<()> = Mutex::const_new(());

struct Connected {
    hypervisor: Arc<LibvirtHypervisor>,
    events: mpsc::Receiver<HypervisorEvent>,
    _alone: MutexGuard<'static, ()>,
}

async fn connected() -> Connected {
    let alone = ALONE.lock().await;
    let hypervisor = LibvirtHypervisor::start(config("test:///default")).unwrap();
    let events = hypervisor.take_events().unwrap();
    let mut state = hypervisor.connection();
    timeout(PATIENCE, state.wait_for(|state| *state == ConnectionState::Up)).await.unwrap().unwrap();
    Connected { hypervisor, events, _alone: alone }
}

async fn until(events: &mut mpsc::Receiver<HypervisorEvent>, wanted: HypervisorEvent) {
    while timeout(PATIENCE, events.recv()).await.unwrap().unwrap() != wanted {}
}

fn uuid_of(name: &str) -> Uuid {
    Connect::open(Some("test:///default")).unwrap().lookup_domain_by_name(name).unwrap().uuid().unwrap()
}

#[tokio::test]
async fn a_connection_is_told_and_its_domains_are_listed() {
    let Connected { hypervisor, mut events, _alone } = connected().await;
    until(&mut events, HypervisorEvent::Connected).await;
    let all = hypervisor.list_domains().await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].domain_name.as_str(), all[0].power), ("test", PowerState::Running));
    assert!(all[0].metadata.is_none() && !all[0].metadata_is_broken && all[0].is_persistent);
    assert_eq!(hypervisor.observe(all[0].vm_uuid).await.unwrap().unwrap(), all[0]);
    assert_eq!(hypervisor.observe(Uuid::from_u128(1)).await.unwrap(), None);
    assert_eq!(hypervisor.capabilities().await.unwrap().hypervisor_type, "TEST");
    assert!(hypervisor.take_events().is_none());
}

#[tokio::test]
async fn what_happens_to_a_domain_outside_comes_as_an_event_and_is_seen() {
    let Connected { hypervisor, mut events, _alone } = connected().await;
    until(&mut events, HypervisorEvent::Connected).await;
    let uuid = uuid_of("test");
    Connect::open(Some("test:///default")).unwrap().lookup_domain_by_uuid(uuid).unwrap().suspend().unwrap();
    until(&mut events, HypervisorEvent::DomainChanged(uuid)).await;
    let seen = hypervisor.observe(uuid).await.unwrap().unwrap();
    assert_eq!((seen.power, seen.reason), (PowerState::Paused, StateReason::Paused));
    hypervisor.ensure_resumed(uuid).await.unwrap();
}

#[tokio::test]
async fn changes_done_twice_are_done_once() {
    let Connected { hypervisor, _alone, .. } = connected().await;
    let uuid = uuid_of("test");
    for _ in 0..2 {
        hypervisor.ensure_paused(uuid).await.unwrap();
    }
    for _ in 0..2 {
        hypervisor.ensure_resumed(uuid).await.unwrap();
    }
    assert_eq!(hypervisor.ensure_undefined(uuid).await.unwrap_err().code(), ErrorCode::VmStateNotAllowed);
    for _ in 0..2 {
        hypervisor.ensure_destroyed(uuid).await.unwrap();
    }
    assert_eq!(hypervisor.ensure_paused(uuid).await.unwrap_err().code(), ErrorCode::VmStateNotAllowed);
    for _ in 0..2 {
        hypervisor.ensure_started(uuid).await.unwrap();
    }
    assert_eq!(hypervisor.observe(uuid).await.unwrap().unwrap().power, PowerState::Running);
}

#[tokio::test]
async fn only_vms_that_are_asked_for_and_are_on_are_sampled_and_each_start_is_another_run() {
    let Connected { hypervisor, _alone, .. } = connected().await;
    let uuid = uuid_of("test");
    let first = hypervisor.sample_vms(vec![Uuid::from_u128(1), uuid, uuid]).await.unwrap();
    assert_eq!(first.iter().map(|sample| sample.vm_uuid).collect::<Vec<_>>(), [uuid]);
    assert!(hypervisor.sample_vms(vec![Uuid::from_u128(1)]).await.unwrap().is_empty());
    hypervisor.ensure_destroyed(uuid).await.unwrap();
    assert!(hypervisor.sample_vms(vec![uuid]).await.unwrap().is_empty());
    hypervisor.ensure_started(uuid).await.unwrap();
    let second = hypervisor.sample_vms(vec![uuid]).await.unwrap();
    assert!(second[0].run_id > 0 && second[0].run_id != first[0].run_id, "{first:?} {second:?}");
    assert_eq!(hypervisor.counts().reconnects, 0);
}

#[tokio::test]
async fn a_vm_that_is_not_there_can_be_destroyed_but_not_started() {
    let Connected { hypervisor, _alone, .. } = connected().await;
    let nobody = Uuid::from_u128(1);
    hypervisor.ensure_destroyed(nobody).await.unwrap();
    for result in [hypervisor.ensure_started(nobody).await, hypervisor.request_shutdown(nobody).await, hypervisor.reset(nobody).await] {
        assert_eq!(result.unwrap_err().code(), ErrorCode::VmNotExist);
    }
}

#[tokio::test]
async fn networks_are_listed_with_the_bridges_of_the_configuration() {
    let Connected { hypervisor, _alone, .. } = connected().await;
    let networks = hypervisor.list_networks().await.unwrap();
    let summary: Vec<_> =
        networks.iter().map(|network| (network.network_name.as_str(), network.is_active, network.is_host_bridge)).collect();
    assert_eq!(summary, [("default", true, false), ("br-none", false, true)]);
    assert_eq!(hypervisor.list_leases(Uuid::from_u128(1)).await.unwrap_err().code(), ErrorCode::NetworkNotExist);
}

#[tokio::test]
async fn pools_are_made_once_and_files_in_them_are_checked() {
    let Connected { hypervisor, _alone, .. } = connected().await;
    for _ in 0..2 {
        hypervisor.ensure_pools().await.unwrap();
    }
    assert_eq!(hypervisor.pool_space().await.unwrap().len(), 3);
    hypervisor.remove_volume(IMAGES_POOL, "none").await.unwrap();
    assert_eq!(hypervisor.remove_volume(IMAGES_POOL, "../x").await.unwrap_err().code(), ErrorCode::ParameterInvalid);
    assert_eq!(hypervisor.list_volumes("default-pool").await.unwrap_err().code(), ErrorCode::ParameterInvalid);
}

#[tokio::test]
async fn without_libvirt_it_starts_at_once_and_refuses_at_once() {
    let start = Instant::now();
    let hypervisor = LibvirtHypervisor::start(config("qemu+unix:///system?socket=/nonexistent/libvirt-sock")).unwrap();
    let mut state = hypervisor.connection();
    let down = timeout(PATIENCE, state.wait_for(|state| matches!(state, ConnectionState::Down(_)))).await.unwrap().unwrap().clone();
    assert!(matches!(down, ConnectionState::Down(why) if why.contains("/nonexistent/libvirt-sock")));
    for _ in 0..100 {
        assert_eq!(hypervisor.list_domains().await.unwrap_err().code(), ErrorCode::HypervisorUnavailable);
    }
    assert!(start.elapsed() < PATIENCE);
    assert_eq!(hypervisor.counts().calls, 0);
}

#[tokio::test]
async fn a_configuration_that_can_never_work_is_refused() {
    let mut wrong = config("test:///default");
    wrong.pools.images = "relative".into();
    assert_eq!(LibvirtHypervisor::start(wrong).unwrap_err().code(), ErrorCode::ParameterInvalid);
}
