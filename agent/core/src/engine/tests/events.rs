//! The event stream, the trash, adoption, and what the node does by itself.

use super::*;
use crate::fake::Fault;
use crate::model::{Event, EventKind, Management, StateReason, VmPhase};

/// Everything told so far, in order.
pub(super) async fn all_events(bench: &Bench) -> Vec<Arc<Event>> {
    let mut events = Vec::new();
    loop {
        let cursor = events.last().map_or(0, |e: &Arc<Event>| e.cursor);
        let page = bench.engine.events(cursor, 100, Duration::from_millis(100)).await.unwrap();
        assert!(!page.has_gap);
        if page.events.is_empty() {
            return events;
        }
        events.extend(page.events);
    }
}

/// The statuses a VM was told to have, one after the other.
fn told(events: &[Arc<Event>], vm_uuid: Uuid) -> Vec<(String, String)> {
    let of_vm = |e: &&Arc<Event>| e.kind == EventKind::VmStatus && e.resource.is_some_and(|r| r.uuid == vm_uuid);
    events.iter().filter(of_vm).map(|e| (e.old.clone(), e.new.clone())).collect()
}

/// The same with the reason of each, without what was before.
pub(super) fn told_with_reasons(events: &[Arc<Event>], vm_uuid: Uuid) -> Vec<(String, String)> {
    let of_vm = |e: &&Arc<Event>| e.kind == EventKind::VmStatus && e.resource.is_some_and(|r| r.uuid == vm_uuid);
    events.iter().filter(of_vm).map(|e| (e.new.clone(), e.reason.clone())).collect()
}

fn assert_chained(changes: &[(String, String)]) {
    for pair in changes.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "each event begins where the last one ended: {changes:?}");
    }
}

#[tokio::test]
async fn a_life_is_told_in_order_with_job_and_reason() {
    let bench = bench().await;
    let vm = bench.vm("told").await;
    bench.node.kill_qemu(vm);
    bench.wait_for_status(vm, VmStatus::Crashed).await;
    bench.run(delete(vm)).await.unwrap();
    let events = all_events(&bench).await;
    let changes = told(&events, vm);
    assert_chained(&changes);
    let statuses: Vec<_> = changes.iter().map(|(_, new)| new.as_str()).collect();
    assert_eq!(statuses, ["creating", "running", "crashed", "deleting", ""]);
    let crash = events.iter().find(|e| e.new == "crashed").unwrap();
    assert_eq!((crash.reason.as_str(), crash.job_uuid), ("qemu_died", None));
    let deleting = events.iter().find(|e| e.new == "deleting").unwrap();
    assert!(deleting.job_uuid.is_some());
    let cursors: Vec<_> = events.iter().map(|e| e.cursor).collect();
    assert!(cursors.windows(2).all(|pair| pair[0] < pair[1]), "{cursors:?}");
    let jobs: Vec<_> =
        events.iter().filter(|e| e.kind == EventKind::JobStatus && e.reason == "delete_vm").map(|e| e.new.as_str()).collect();
    assert_eq!(jobs, ["queued", "running", "succeeded"]);
}

#[tokio::test]
async fn a_reader_that_comes_back_after_a_crash_of_the_daemon_sees_every_change_once() {
    let bench = bench().await;
    let (stays, dies, goes) = (bench.vm("stays").await, bench.vm("dies").await, bench.vm("goes").await);
    let before = all_events(&bench).await;
    let cursor = before.last().unwrap().cursor;
    bench.faults.crash();
    // What happens while no daemon is there.
    bench.node.kill_qemu(dies);
    bench.node.remove_outside(goes);
    let bench = bench.restart().await;
    assert!(bench.engine.wait_until(SOON, |s| s.vms[&goes].status == VmStatus::Error).await);
    let all = all_events(&bench).await;
    for vm in [stays, dies, goes] {
        assert_chained(&told(&all, vm));
    }
    let after: Vec<_> = all.iter().filter(|e| e.cursor > cursor).cloned().collect();
    assert_eq!(told(&after, stays), []);
    assert_eq!(told(&after, dies), [("running".to_owned(), "crashed".to_owned())]);
    assert_eq!(told(&after, goes), [("running".to_owned(), "error".to_owned())]);
}

#[tokio::test]
async fn a_reader_waits_for_the_next_event_and_is_told_of_gaps() {
    let bench = bench().await;
    let vm = bench.vm("awaited").await;
    let cursor = all_events(&bench).await.last().unwrap().cursor;
    let engine = bench.engine.clone();
    let waiting = tokio::spawn(async move { engine.events(cursor, 10, SOON).await });
    bench.node.power_off_guest(vm);
    let page = waiting.await.unwrap().unwrap();
    assert_eq!(page.events[0].new, "stopped");
    assert_eq!(page.next_cursor, page.events.last().unwrap().cursor);
    let ahead = bench.engine.events(u64::MAX, 10, Duration::ZERO).await.unwrap();
    assert!(ahead.has_gap && ahead.events.is_empty());
    let ancient = bench.engine.events(7, 10, Duration::ZERO).await.unwrap();
    assert!(ancient.has_gap && !ancient.events.is_empty(), "a cursor from before this stream began");
}

#[tokio::test]
async fn events_that_cannot_be_stored_at_once_are_stored_later_and_none_is_lost() {
    let bench = bench().await;
    let vm = bench.vm("persistent").await;
    bench.faults.on_every("commit", Fault::FailBefore(crate::fail!(StoreFailed, "injected")));
    bench.node.kill_qemu(vm);
    bench.wait_for_status(vm, VmStatus::Crashed).await;
    bench.faults.clear();
    let cursor = bench.engine.last_event_cursor();
    let page = bench.engine.events(cursor, 10, SOON).await.unwrap();
    assert!(page.events.iter().any(|e| e.new == "crashed"), "{page:?}");
}

#[tokio::test]
async fn a_vm_in_the_trash_keeps_everything_and_comes_back() {
    let bench = bench().await;
    let vm = bench.vm("regretted").await;
    let files = bench.node.files();
    let trash = ChangeInput::DeleteVm(DeleteVmInput { vm_uuid: vm, is_forced: true, is_deleting_volumes: true, keep_days: Some(7) });
    assert_eq!(bench.run(trash).await.unwrap().status, JobStatus::Succeeded);
    assert_eq!(bench.status(vm), Some(VmStatus::Deleted));
    assert_eq!(bench.node.files(), files);
    for change in [ChangeInput::StartVm(VmOnlyInput { vm_uuid: vm }), delete(vm)] {
        assert_eq!(code(bench.run(change).await), ErrorCode::VmStateNotAllowed);
    }
    let bench = bench.restart().await;
    assert_eq!(bench.status(vm), Some(VmStatus::Deleted));
    bench.run(ChangeInput::RecoverVm(VmOnlyInput { vm_uuid: vm })).await.unwrap();
    assert_eq!(bench.status(vm), Some(VmStatus::Stopped));
    assert_eq!(bench.run(ChangeInput::StartVm(VmOnlyInput { vm_uuid: vm })).await.unwrap().status, JobStatus::Succeeded);
}

#[tokio::test]
async fn what_is_expunged_leaves_nothing_and_only_trash_can_be() {
    let bench = bench().await;
    let vm = bench.vm("gone").await;
    let expunge = || ChangeInput::ExpungeVm(VmOnlyInput { vm_uuid: vm });
    assert_eq!(code(bench.run(expunge()).await), ErrorCode::VmStateNotAllowed);
    let trash = ChangeInput::DeleteVm(DeleteVmInput { vm_uuid: vm, is_forced: true, is_deleting_volumes: false, keep_days: Some(1) });
    bench.run(trash).await.unwrap();
    assert_eq!(bench.run(expunge()).await.unwrap().status, JobStatus::Succeeded);
    bench.assert_no_vm_is_left();
}

#[tokio::test]
async fn a_vm_of_somebody_else_can_be_adopted_and_released_and_its_disk_is_never_touched() {
    let bench = bench().await;
    let mine = bench.vm("mine").await;
    let mut foreign = bench.node.domain(mine).unwrap();
    foreign.vm_uuid = Uuid::new_v4();
    foreign.domain_name = "foreign".into();
    foreign.metadata = None;
    foreign.nics.clear();
    foreign.disks.clear();
    let vm = foreign.vm_uuid;
    bench.node.define_outside(foreign);
    assert!(bench.engine.wait_until(SOON, |s| s.vms.contains_key(&vm)).await);
    let management = |bench: &Bench| bench.engine.snapshot().vms[&vm].management;
    let adopt = |name: &str| ChangeInput::AdoptVm(AdoptVmInput { vm_uuid: vm, new_name: Some(name.into()) });
    assert_eq!(code(bench.run(adopt("mine")).await), ErrorCode::VmNameExist);
    assert_eq!(bench.run(adopt("ours")).await.unwrap().status, JobStatus::Succeeded);
    assert_eq!(management(&bench), Management::Managed);
    assert_eq!(code(bench.run(adopt("again")).await), ErrorCode::AlreadyExist);
    let bench = bench.restart().await;
    assert_eq!(management(&bench), Management::Managed);
    bench.run(ChangeInput::ReleaseVm(VmOnlyInput { vm_uuid: vm })).await.unwrap();
    assert_eq!(management(&bench), Management::Unmanaged);
    assert!(bench.node.domain(vm).is_some());
    assert_eq!(code(bench.run(delete(vm)).await), ErrorCode::VmUnmanaged);
}

#[tokio::test]
async fn a_contradictory_vm_is_quarantined_until_an_operator_releases_it() {
    let bench = bench().await;
    let vm = bench.vm("odd").await;
    bench.node.change_outside(vm, |observed| {
        observed.metadata = None;
        observed.metadata_is_broken = true;
    });
    let is_quarantined = |s: &Snapshot| s.vms[&vm].management == Management::Quarantined;
    assert!(bench.engine.wait_until(SOON, is_quarantined).await);
    assert_eq!(code(bench.run(stop(vm, true, None)).await), ErrorCode::VmQuarantined);
    assert!(all_events(&bench).await.iter().any(|e| e.kind == EventKind::VmManagement && e.new == "quarantined"));
    assert_eq!(bench.run(ChangeInput::ReleaseVm(VmOnlyInput { vm_uuid: vm })).await.unwrap().status, JobStatus::Succeeded);
    assert_eq!(bench.engine.snapshot().vms[&vm].management, Management::Unmanaged);
    assert!(bench.node.domain(vm).is_some());
}

#[tokio::test]
async fn a_definition_changed_outside_is_shown_as_drift_and_left_as_it_is() {
    let bench = bench().await;
    let vm = bench.vm("drifted").await;
    bench.node.change_outside(vm, |observed| observed.cpu_cores = 7);
    assert!(bench.engine.wait_until(SOON, |s| !s.vms[&vm].drift.is_empty()).await);
    assert_eq!(bench.engine.snapshot().vms[&vm].drift, ["cpu_cores: 1 asked for, 7 in libvirt"]);
    assert_eq!(bench.node.domain(vm).unwrap().cpu_cores, 7);
}

#[tokio::test]
async fn a_crashed_vm_whose_owner_asked_for_it_is_started_again() {
    let bench = bench().await;
    let vm = bench.vm("phoenix").await;
    let update = UpdateVmInput { vm_uuid: vm, restart_on_crash: Some(true), ..UpdateVmInput::default() };
    bench.run(ChangeInput::UpdateVm(update)).await.unwrap();
    bench.node.kill_qemu(vm);
    bench.wait_for_status(vm, VmStatus::Crashed).await;
    bench.wait_for_status(vm, VmStatus::Running).await;
}

#[tokio::test]
async fn a_vm_that_a_full_pool_stopped_goes_on_once_there_is_space() {
    let bench = bench().await;
    let vm = bench.vm("thirsty").await;
    bench.node.set_pool_bytes(1);
    bench.node.fail_disk(vm);
    bench.wait_for_status(vm, VmStatus::Paused).await;
    assert_eq!(bench.engine.snapshot().vms[&vm].reason, StateReason::IoError);
    bench.node.set_pool_bytes(1 << 40);
    bench.wait_for_status(vm, VmStatus::Running).await;
}

#[tokio::test]
async fn a_dry_run_gives_every_reason_at_once_and_changes_nothing() {
    let bench = bench().await;
    bench.vm("taken").await;
    let bad = CreateVmInput {
        shape: Shape::Custom { cpu_cores: 1, memory_bytes: 1 << 40 },
        nics: Some(vec![NicInput { network_uuid: Uuid::new_v4(), ip_address: None, mac_address: None }]),
        ..create_input("taken")
    };
    let verdict = bench.engine.dry_run(&caller(), &ChangeInput::CreateVm(Box::new(bad))).await.unwrap();
    let codes: Vec<_> = verdict.problems.iter().map(crate::AgentError::code).collect();
    for expected in [ErrorCode::VmNameExist, ErrorCode::ImageNotExist, ErrorCode::HostInsufficient, ErrorCode::NetworkNotExist] {
        assert!(codes.contains(&expected), "{codes:?}");
    }
    assert!(verdict.domain_xml.is_none());
    let good = CreateVmInput { root: RootSource::Image(bench.image().await), ..create_input("fresh") };
    let before = bench.engine.snapshot().vms.len();
    let verdict = bench.engine.dry_run(&caller(), &ChangeInput::CreateVm(Box::new(good))).await.unwrap();
    assert!(verdict.problems.is_empty() && verdict.domain_xml.is_some());
    assert_eq!(bench.engine.snapshot().vms.len(), before);
}

#[tokio::test]
async fn a_trashed_vm_that_expired_is_removed() {
    let bench = bench().await;
    let vm = bench.vm("expired").await;
    let trash = ChangeInput::DeleteVm(DeleteVmInput { vm_uuid: vm, is_forced: true, is_deleting_volumes: false, keep_days: Some(1) });
    bench.run(trash).await.unwrap();
    let record = bench.engine.snapshot().vms[&vm].record.clone().unwrap();
    assert_eq!(record.phase, VmPhase::Trashed);
    // The record as it will be when its time is over; the next start of the daemon looks at once.
    let mut old = crate::model::VmRecord::clone(&record);
    old.expire_time = Some(Timestamp::from_seconds(1));
    bench.store.commit(vec![Write::PutVm(Arc::new(old))], Durability::Durable).await.unwrap();
    let bench = bench.restart().await;
    assert!(bench.engine.wait_until(SOON, |s| s.vms.is_empty() && s.open_jobs.is_empty()).await);
    bench.assert_no_vm_is_left();
}
