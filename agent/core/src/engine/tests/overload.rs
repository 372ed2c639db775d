//! Too much at once, a store that does not say whether it wrote, clocks that jump.

use super::*;
use crate::fake::{Fault, ManualClock};
use crate::model::{Event, EventKind, VmPhase};
use crate::port::{JobFilter, OperationFilter, Page, SortOrder};

const HOUR: Duration = Duration::from_secs(3600);
const ALL: Page = Page { offset: 0, limit: 1000, order: SortOrder::Descending };

/// A node with a clock that only moves when told, and few places for jobs.
async fn clock_bench(config: EngineConfig) -> (Bench, ManualClock) {
    let manual = ManualClock::default();
    let clock: Arc<dyn Clock> = Arc::new(manual.clone());
    let (node, faults) = (FakeNode::new(NodeOptions::default(), clock.clone()), Faults::new());
    let store = FakeStore::new(faults.clone());
    let hypervisor = FakeHypervisor::new(node.clone(), faults.clone());
    let ports = EnginePorts {
        hypervisor: hypervisor.clone(),
        store: store.clone(),
        images: FakeImageTransfer::new(node.clone(), faults.clone()),
        probe: Arc::new(FakeProbe::new(&NodeOptions::default(), clock.clone(), Faults::new())),
        history: FakeHistory::new(faults.clone()),
        clock,
    };
    let engine = Engine::start(config, ports, StoredState::default()).await.unwrap();
    assert!(engine.wait_until_ready(SOON).await);
    (Bench { node, store, faults, hypervisor, engine }, manual)
}

async fn events(bench: &Bench) -> Vec<Arc<Event>> {
    bench.engine.events(0, 1000, Duration::ZERO).await.unwrap().events
}

#[tokio::test]
async fn a_node_with_as_many_jobs_as_it_takes_refuses_at_once_and_goes_on_when_they_end() {
    let (bench, _) = clock_bench(EngineConfig { jobs_open_max: 2, ..config() }).await;
    let vms = [bench.vm("a").await, bench.vm("b").await, bench.vm("c").await];
    let rows = bench.engine.list_operations(OperationFilter::default(), ALL).await.unwrap().total_count;
    bench.faults.on_every("ensure_destroyed", Fault::HoldBefore);
    let accepted = [
        bench.engine.submit(request(stop(vms[0], true, None))).await.unwrap(),
        bench.engine.submit(request(stop(vms[1], true, None))).await.unwrap(),
    ];
    let error = bench.engine.submit(request(stop(vms[2], true, None))).await.unwrap_err();
    assert_eq!((error.code(), error.code().is_retryable()), (ErrorCode::TooManyRequests, true));
    assert!(error.message().contains("try again") && error.message_cn().contains("请重试"), "{} {}", error.message(), error.message_cn());
    let lane = bench.engine.submit(request(stop(vms[0], true, None))).await.unwrap_err();
    assert_eq!(lane.code(), ErrorCode::VmBusy, "a full node still says which VM is busy");
    // Of these four only the two accepted ones and the busy one left a row.
    assert_eq!(bench.engine.list_operations(OperationFilter::default(), ALL).await.unwrap().total_count, rows + 3);

    bench.faults.clear();
    bench.faults.release();
    for accepted in accepted {
        let job = bench.engine.wait_for_job(accepted.job.job_uuid, SOON).await.unwrap();
        assert_eq!(job.status, JobStatus::Succeeded);
    }
    assert_eq!(bench.run(stop(vms[2], true, None)).await.unwrap().status, JobStatus::Succeeded);
}

#[tokio::test]
async fn a_commit_that_nobody_knows_of_is_taken_back_whether_it_was_written_or_not() {
    let unknown = || crate::fail!(Timeout, "the disk does not answer");
    for fault in [Fault::FailBefore(unknown()), Fault::FailAfter(unknown())] {
        let bench = bench().await;
        let input = CreateVmInput { root: RootSource::Image(bench.image().await), ..create_input("doubtful") };
        bench.faults.on("commit", 1, fault.clone());
        let error = bench.engine.submit(request(ChangeInput::CreateVm(Box::new(input.clone())))).await.unwrap_err();
        assert_eq!((error.code(), error.code().is_retryable()), (ErrorCode::Timeout, true));
        assert!(bench.engine.wait_until(SOON, |s| s.vms.is_empty() && s.open_jobs.is_empty()).await, "{fault:?}");
        let jobs = bench.engine.list_jobs(JobFilter { name: Some("doubtful".into()), ..JobFilter::default() }, ALL).await.unwrap();
        assert_eq!(jobs.rows.iter().map(|job| job.status).collect::<Vec<_>>(), [JobStatus::Failed]);
        let stored = bench.store.load().await.unwrap();
        assert_eq!((stored.vms.len(), stored.volumes.len(), stored.open_jobs.len()), (0, 0, 0));
        // The name is free, and a restart takes nothing up.
        assert_eq!(bench.run(ChangeInput::CreateVm(Box::new(input))).await.unwrap().status, JobStatus::Succeeded);
        let bench = bench.restart().await;
        assert_eq!((bench.node.domain_count(), bench.engine.snapshot().vms.len()), (1, 1));
    }
}

#[tokio::test]
async fn a_store_that_fails_refuses_changes_at_once_and_lets_them_through_when_it_works_again() {
    let (bench, _) = clock_bench(config()).await;
    let vm = bench.vm("steady").await;
    let before = (bench.store.load().await.unwrap().vms, bench.faults.count("commit"));
    bench.faults.on_every("commit", Fault::FailBefore(crate::fail!(StoreFailed, "the disk is full"; "磁盘已满")));
    for _ in 0..50 {
        let error = bench.engine.submit(request(stop(vm, true, None))).await.unwrap_err();
        assert_eq!((error.code(), error.code().is_retryable()), (ErrorCode::StoreFailed, true));
        assert!(error.message_cn().contains("磁盘已满"));
    }
    // What the node tells by itself is tried again meanwhile.
    assert!(bench.faults.count("commit") < before.1 + 60, "one try each, none for the log");
    assert_eq!((bench.status(vm), bench.store.load().await.unwrap().vms), (Some(VmStatus::Running), before.0));
    bench.faults.clear();
    assert_eq!(bench.run(stop(vm, true, None)).await.unwrap().status, JobStatus::Succeeded);
}

#[tokio::test]
async fn a_clock_that_jumps_back_or_ahead_stops_nothing_and_leaves_events_in_order() {
    let quick = Duration::from_millis(5);
    let statistics = StatisticsSettings { kernel_interval: quick, hypervisor_interval: quick, ..StatisticsSettings::default() };
    let (bench, clock) = clock_bench(EngineConfig { relist_interval: quick, network_interval: quick, statistics, ..config() }).await;
    let vm = bench.vm("steady").await;
    let start = clock.now();
    let times = [
        start.plus(1000 * HOUR),
        Timestamp(start.0 - 5 * 3_600_000_000_000),
        Timestamp(0),
        Timestamp(i64::MIN),
        Timestamp(i64::MAX),
        start,
    ];
    for time in times {
        clock.set(time);
        // Everything that runs by itself goes on: it would not if it had panicked.
        for method in ["list_domains", "list_networks", "sample_vms"] {
            let seen = bench.faults.count(method);
            tokio::time::timeout(SOON, bench.faults.wait_for_calls(method, seen + 3))
                .await
                .unwrap_or_else(|_| panic!("{method} at {time:?}"));
        }
        assert_eq!(bench.run(stop(vm, true, None)).await.unwrap().status, JobStatus::Succeeded);
        assert_eq!(bench.run(ChangeInput::StartVm(VmOnlyInput { vm_uuid: vm })).await.unwrap().status, JobStatus::Succeeded);
        assert_eq!(bench.status(vm), Some(VmStatus::Running));
    }
    let events = events(&bench).await;
    assert!(events.windows(2).all(|pair| pair[0].cursor < pair[1].cursor));
    assert!(events.windows(2).any(|pair| pair[0].time > pair[1].time), "the jumps are in it");
    let starts = events.iter().filter(|event| event.kind == EventKind::VmStatus && event.new == "running");
    assert_eq!(starts.count(), 1 + times.len());
}

#[tokio::test]
async fn a_request_uuid_holds_over_a_jump_back_and_ends_with_its_time() {
    let (bench, clock) = clock_bench(config()).await;
    let vm = bench.vm("steady").await;
    let key = Uuid::new_v4();
    let ask = || async {
        let request = ChangeRequest { request_uuid: Some(key), ..request(stop(vm, true, None)) };
        bench.engine.submit(request).await
    };
    let first = ask().await.unwrap();
    bench.engine.wait_for_job(first.job.job_uuid, SOON).await.unwrap();
    let start = clock.now();
    for time in [Timestamp(start.0 - 5 * 3_600_000_000_000), Timestamp(0), start.plus(23 * HOUR)] {
        clock.set(time);
        let again = ask().await.unwrap();
        assert_eq!((again.is_replay, again.job.job_uuid), (true, first.job.job_uuid), "{time:?}");
    }
    clock.set(start.plus(25 * HOUR));
    assert_eq!(code(ask().await), ErrorCode::VmStateNotAllowed, "judged anew: it is stopped already");
}

#[tokio::test]
async fn a_crashed_vm_is_started_again_whatever_the_clock_says() {
    let (bench, clock) = clock_bench(config()).await;
    let input = CreateVmInput { root: RootSource::Image(bench.image().await), restart_on_crash: true, ..create_input("phoenix") };
    let vm = bench.run(ChangeInput::CreateVm(Box::new(input))).await.unwrap().resource.uuid;
    let start = clock.now();
    for time in [Timestamp(start.0 - 5 * 3_600_000_000_000), start.plus(1000 * HOUR)] {
        clock.set(time);
        bench.node.kill_qemu(vm);
        bench.wait_for_status(vm, VmStatus::Crashed).await;
        bench.wait_for_status(vm, VmStatus::Running).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ahead_does_not_empty_the_trash_and_time_that_passes_does() {
    // Nothing else that is regular, so that days pass quickly.
    let (relist_interval, network_interval) = (24 * HOUR, 24 * HOUR);
    let statistics = StatisticsSettings { kernel_interval: HOUR, hypervisor_interval: HOUR, ..StatisticsSettings::default() };
    let (bench, clock) = clock_bench(EngineConfig { relist_interval, network_interval, statistics, ..config() }).await;
    let vm = bench.vm("kept").await;
    let trash = ChangeInput::DeleteVm(DeleteVmInput { vm_uuid: vm, is_forced: true, is_deleting_volumes: true, keep_days: Some(7) });
    bench.run(trash).await.unwrap();
    let start = clock.now();
    clock.advance(10_000 * HOUR);
    tokio::time::sleep(HOUR).await;
    assert_eq!(bench.engine.snapshot().vms[&vm].record.as_ref().unwrap().phase, VmPhase::Trashed);
    clock.set(start.plus(HOUR));
    tokio::time::sleep(HOUR).await;
    assert_eq!(bench.engine.snapshot().vms[&vm].record.as_ref().unwrap().phase, VmPhase::Trashed);
    for _ in 0..8 {
        clock.advance(24 * HOUR);
        tokio::time::sleep(24 * HOUR).await;
    }
    assert!(bench.engine.wait_until(HOUR, |s| s.vms.is_empty() && s.open_jobs.is_empty()).await);
    bench.assert_no_vm_is_left();
}
