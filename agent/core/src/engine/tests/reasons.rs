//! Why a VM is as it is: what the guest, the disk or the host did is never shown as something that somebody asked for.

use super::events::{all_events, told_with_reasons};
use super::*;
use crate::fake::Fault;
use crate::model::{Event, EventKind, PowerState, StateReason};

fn reason(bench: &Bench, vm_uuid: Uuid) -> &'static str {
    bench.engine.snapshot().vms[&vm_uuid].reason.word()
}

async fn wait_for_resumes(bench: &Bench, count: u64) {
    let wait = bench.faults.wait_for_calls("ensure_resumed", count);
    tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("resumed {} times", bench.faults.count("ensure_resumed")));
}

#[tokio::test]
async fn a_vm_that_the_disk_pauses_again_while_it_is_resumed_says_so_and_is_resumed_again() {
    let bench = bench().await;
    let vm = bench.vm("full").await;
    bench.faults.on("ensure_resumed", 1, Fault::HoldAfter);
    bench.node.fail_disk(vm);
    wait_for_resumes(&bench, 1).await;
    bench.node.fail_disk(vm);
    bench.faults.release();
    wait_for_resumes(&bench, 2).await;
    bench.wait_for_status(vm, VmStatus::Running).await;
    let told = told_with_reasons(&all_events(&bench).await, vm);
    let told: Vec<_> = told.iter().map(|(status, reason)| (status.as_str(), reason.as_str())).skip(2).collect();
    let paused = ("paused", "io_error");
    assert_eq!(told, [paused, ("resuming", "requested"), paused, ("resuming", "requested"), ("running", "requested")]);
}

#[tokio::test]
async fn what_a_change_asked_for_is_its_reason_only_where_it_came_to_be() {
    let bench = bench().await;
    let vm = bench.vm("asked").await;
    assert_eq!(reason(&bench, vm), "requested");
    for (change, expected) in [
        (ChangeInput::PauseVm(VmOnlyInput { vm_uuid: vm }), "requested"),
        (ChangeInput::ResumeVm(VmOnlyInput { vm_uuid: vm }), "requested"),
        (ChangeInput::ResetVm(VmOnlyInput { vm_uuid: vm }), "requested"),
        (stop(vm, true, None), "requested"),
        (ChangeInput::StartVm(VmOnlyInput { vm_uuid: vm }), "requested"),
    ] {
        let verb = change.kind();
        bench.run(change).await.unwrap();
        assert_eq!(reason(&bench, vm), expected, "{verb:?}");
    }
    // Its guest is gone before the reset is over: nobody asked for that.
    bench.faults.on("reset", 1, Fault::HoldAfter);
    let job = bench.engine.submit(request(ChangeInput::ResetVm(VmOnlyInput { vm_uuid: vm }))).await.unwrap().job;
    bench.faults.wait_for_calls("reset", 2).await;
    bench.node.kill_qemu(vm);
    bench.faults.release();
    bench.engine.wait_for_job(job.job_uuid, SOON).await.unwrap();
    bench.wait_for_status(vm, VmStatus::Crashed).await;
    assert_eq!(reason(&bench, vm), "qemu_died");
}

#[tokio::test(start_paused = true)]
async fn a_vm_whose_disk_is_full_again_after_each_resume_is_tried_ever_more_rarely() {
    let faults = Faults::new();
    let node = FakeNode::new(NodeOptions::default(), Arc::new(SystemClock));
    let config = EngineConfig { policy: PolicySettings::default(), ..config() };
    let bench = open_with(config, node.clone(), FakeStore::new(faults.clone()), faults).await;
    assert!(bench.engine.wait_until_ready(SOON).await);
    let vm = bench.vm("greedy").await;
    let engine = bench.engine.clone();
    let writes = tokio::spawn(async move {
        loop {
            let is_running = |s: &Snapshot| s.vms[&vm].status == VmStatus::Running && s.vms[&vm].job.is_none();
            if engine.wait_until(SOON, is_running).await {
                node.fail_disk(vm);
                engine.wait_until(SOON, |s| !is_running(s)).await;
            }
        }
    });
    tokio::time::sleep(Duration::from_secs(3600)).await;
    // After 5, 15, 35, 75, 155, 315 seconds, then every 300.
    let tries = bench.faults.count("ensure_resumed");
    assert!((12..=18).contains(&tries), "{tries} in an hour");
    writes.abort();
    bench.wait_for_status(vm, VmStatus::Paused).await;
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert_eq!(bench.status(vm), Some(VmStatus::Running));
    let tries = bench.faults.count("ensure_resumed");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(bench.faults.count("ensure_resumed"), tries, "it runs");
    // What happens to it later begins with the first pause.
    bench.node.fail_disk(vm);
    bench.wait_for_status(vm, VmStatus::Paused).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(bench.status(vm), Some(VmStatus::Running));
}

#[tokio::test]
async fn a_vm_that_a_full_pool_stopped_is_resumed_also_by_the_next_run_of_the_daemon() {
    let bench = bench().await;
    let vm = bench.vm("patient").await;
    bench.node.set_pool_bytes(1);
    bench.node.fail_disk(vm);
    bench.wait_for_status(vm, VmStatus::Paused).await;
    all_events(&bench).await;
    let bench = bench.restart().await;
    assert_eq!(bench.status(vm), Some(VmStatus::Paused));
    bench.node.set_pool_bytes(1 << 40);
    bench.wait_for_status(vm, VmStatus::Running).await;
}

#[tokio::test]
async fn a_job_that_a_restart_interrupts_is_told_to_run_once() {
    let bench = bench().await;
    let vm = bench.vm("interrupted").await;
    bench.faults.on("ensure_destroyed", 1, Fault::CrashBefore);
    let job = bench.engine.submit(request(stop(vm, true, None))).await.unwrap().job;
    bench.faults.wait_for_crash().await;
    let bench = bench.restart().await;
    assert!(bench.engine.wait_until(SOON, |s| s.open_jobs.is_empty()).await);
    let events = all_events(&bench).await;
    let of_job = events.iter().filter(|e| e.kind == EventKind::JobStatus && e.job_uuid == Some(job.job_uuid));
    let statuses: Vec<_> = of_job.map(|e| (e.old.as_str(), e.new.as_str())).collect();
    assert_eq!(statuses, [("", "queued"), ("queued", "running"), ("running", "succeeded")]);
}

#[tokio::test]
async fn the_first_event_of_a_created_vm_says_who_asked_for_it() {
    let bench = bench().await;
    let input = CreateVmInput { root: RootSource::Image(bench.image().await), ..create_input("new") };
    let caller = Caller { request_id: "request-7".into(), ..caller() };
    let request = ChangeRequest { caller, ..request(ChangeInput::CreateVm(Box::new(input))) };
    let job = bench.engine.submit(request).await.unwrap().job;
    bench.wait_for_status(job.resource.uuid, VmStatus::Running).await;
    let events = all_events(&bench).await;
    let of_vm: Vec<_> = events.iter().filter(|e| e.kind == EventKind::VmStatus).collect();
    assert_eq!(of_vm.len(), 2, "{of_vm:?}");
    for event in of_vm {
        let source = (event.reason.as_str(), event.job_uuid, event.request_id.as_str());
        assert_eq!(source, ("requested", Some(job.job_uuid), "request-7"), "{event:?}");
    }
}

/// The host goes down and starts again, and the daemon with it. libvirt starts `auto` and knows nothing of how the other VMs ended.
async fn restart_host(bench: Bench, auto: &[Uuid]) -> Bench {
    bench.faults.crash();
    let vms: Vec<Uuid> = bench.engine.snapshot().vms.keys().copied().collect();
    for vm in vms {
        let power = if auto.contains(&vm) { PowerState::Running } else { PowerState::Off };
        let reason = if auto.contains(&vm) { StateReason::Booted } else { StateReason::Unknown };
        bench.node.change_outside(vm, |observed| (observed.power, observed.reason) = (power, reason));
    }
    let boot_time = Timestamp::now();
    reopen(bench, boot_time).await
}

/// The next run of the daemon, on a host that booted then.
async fn reopen(bench: Bench, boot_time: Timestamp) -> Bench {
    bench.faults.crash();
    let faults = Faults::new();
    let store = bench.store.reopen(faults.clone());
    let bench = open_booted(config(), bench.node, store, faults, Some(boot_time)).await;
    assert!(bench.engine.wait_until_ready(SOON).await);
    bench
}

#[tokio::test]
async fn after_a_start_of_the_host_every_vm_says_why_it_is_off_or_that_it_runs_again() {
    let bench = bench().await;
    let (auto, manual, idle) = (bench.vm("auto").await, bench.vm("manual").await, bench.vm("idle").await);
    bench.run(stop(idle, true, None)).await.unwrap();
    let cursor = all_events(&bench).await.last().unwrap().cursor;
    let bench = restart_host(bench, &[auto]).await;
    let host_start = bench.engine.snapshot().facts.boot_time;
    assert_eq!((bench.status(manual), reason(&bench, manual)), (Some(VmStatus::Stopped), "host_restart"));
    assert_eq!((bench.status(idle), reason(&bench, idle)), (Some(VmStatus::Stopped), "requested"));
    let told_since = |events: &[Arc<Event>], vm: Uuid| {
        let since: Vec<_> = events.iter().filter(|e| e.cursor > cursor).cloned().collect();
        told_with_reasons(&since, vm).into_iter().map(|(new, reason)| format!("{new} {reason}")).collect::<Vec<_>>().join(", ")
    };
    let events = all_events(&bench).await;
    assert_eq!(told_since(&events, auto), "running host_restart");
    assert_eq!(told_since(&events, manual), "stopped host_restart");
    assert_eq!(told_since(&events, idle), "");
    let again = events.iter().find(|e| e.cursor > cursor && e.resource.is_some_and(|r| r.uuid == auto)).unwrap();
    assert_eq!((again.old.as_str(), again.job_uuid), ("running", None));

    // The next run of the daemon on the same run of the host says the same, and tells nothing twice.
    let bench = reopen(bench, host_start).await;
    assert_eq!(reason(&bench, manual), "host_restart");
    let events = all_events(&bench).await;
    assert_eq!(told_since(&events, auto), "running host_restart");
    assert_eq!(told_since(&events, manual), "stopped host_restart");
    bench.run(ChangeInput::StartVm(VmOnlyInput { vm_uuid: manual })).await.unwrap();
    assert_eq!(reason(&bench, manual), "requested");
    bench.node.change_outside(manual, |observed| (observed.power, observed.reason) = (PowerState::Off, StateReason::Unknown));
    bench.wait_for_status(manual, VmStatus::Stopped).await;
    assert_eq!(reason(&bench, manual), "unknown", "this time it was not the host");
}

#[tokio::test]
async fn a_vm_that_ends_while_the_host_runs_on_does_not_blame_the_host() {
    let bench = bench().await;
    let (lost, off) = (bench.vm("lost").await, bench.vm("off").await);
    bench.node.power_off_guest(off);
    bench.wait_for_status(off, VmStatus::Stopped).await;
    all_events(&bench).await;
    let host_start = bench.engine.snapshot().facts.boot_time;
    bench.faults.crash();
    bench.node.change_outside(lost, |observed| (observed.power, observed.reason) = (PowerState::Off, StateReason::Unknown));
    let bench = reopen(bench, host_start).await;
    assert_eq!((bench.status(lost), reason(&bench, lost)), (Some(VmStatus::Stopped), "unknown"));
    // One that was off already does not blame it after a start of the host either.
    let bench = restart_host(bench, &[]).await;
    assert_eq!((bench.status(off), reason(&bench, off)), (Some(VmStatus::Stopped), "unknown"));
}

#[tokio::test(start_paused = true)]
async fn a_reboot_of_the_guest_and_a_reset_by_the_watchdog_are_told_once_each_and_one_that_was_asked_for_is_not() {
    let bench = bench().await;
    let vm = bench.vm("restless").await;
    let counts = |s: &Snapshot| (s.vms[&vm].reboot_count, s.vms[&vm].reset_count);
    let acts: [&dyn Fn(); 3] = [&|| bench.node.reboot_guest(vm), &|| bench.node.fire_watchdog(vm), &|| bench.node.reboot_guest(vm)];
    for act in acts {
        act();
        // Its firmware resets it once more.
        tokio::time::sleep(Duration::from_millis(50)).await;
        bench.node.reboot_guest(vm);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(counts(&bench.engine.snapshot()), (3, 6));
    for change in [
        ChangeInput::ResetVm(VmOnlyInput { vm_uuid: vm }),
        ChangeInput::RebootVm(RebootVmInput { vm_uuid: vm, is_forced: false }),
        ChangeInput::RebootVm(RebootVmInput { vm_uuid: vm, is_forced: true }),
    ] {
        bench.run(change).await.unwrap();
        bench.node.reboot_guest(vm);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(counts(&bench.engine.snapshot()), (6, 12));
    let bench = bench.restart().await;
    let events = all_events(&bench).await;
    let of_vm = events.iter().filter(|e| e.kind == EventKind::VmReboot && e.resource.is_some_and(|r| r.uuid == vm));
    let told: Vec<_> = of_vm.map(|e| (e.old.as_str(), e.new.as_str(), e.reason.as_str(), e.job_uuid)).collect();
    let reboot = |reason: &'static str| ("running", "running", reason, None);
    assert_eq!(told, [reboot("guest_reboot"), reboot("watchdog"), reboot("guest_reboot")]);
}
