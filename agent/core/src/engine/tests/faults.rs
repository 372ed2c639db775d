//! A failure, or the death of the daemon, at every single call that every verb makes: each job ends, what succeeded is as asked, what failed
//! left nothing, and records, domains, files and reservations agree with each other.

use super::*;
use crate::fake::Fault;
use crate::model::VmPhase;
use std::collections::BTreeSet;

/// More calls than any verb makes; a run without a fault ends the search earlier.
const CALLS_MAX: u64 = 60;

/// A verb, the state it starts from, and the state it should reach.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// Built before any fault is set; gives the change to be tried.
    change: fn(Uuid, Uuid) -> ChangeInput,
    /// Whether a VM is to run, to be off, or not to be there at the start.
    start: Start,
    pub(super) expected: Option<VmStatus>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Start {
    NoVm,
    Off,
    On,
    Paused,
    Trashed,
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "create",
        change: |_, image| ChangeInput::CreateVm(Box::new(CreateVmInput { root: RootSource::Image(image), ..create_input("new") })),
        start: Start::NoVm,
        expected: Some(VmStatus::Running),
    },
    Scenario {
        name: "start",
        change: |vm_uuid, _| ChangeInput::StartVm(VmOnlyInput { vm_uuid }),
        start: Start::Off,
        expected: Some(VmStatus::Running),
    },
    Scenario { name: "stop", change: |vm, _| stop(vm, false, None), start: Start::On, expected: Some(VmStatus::Stopped) },
    Scenario { name: "forced stop", change: |vm, _| stop(vm, true, None), start: Start::On, expected: Some(VmStatus::Stopped) },
    Scenario {
        name: "reboot",
        change: |vm_uuid, _| ChangeInput::RebootVm(RebootVmInput { vm_uuid, is_forced: false }),
        start: Start::On,
        expected: Some(VmStatus::Running),
    },
    Scenario {
        name: "reset",
        change: |vm_uuid, _| ChangeInput::ResetVm(VmOnlyInput { vm_uuid }),
        start: Start::On,
        expected: Some(VmStatus::Running),
    },
    Scenario {
        name: "pause",
        change: |vm_uuid, _| ChangeInput::PauseVm(VmOnlyInput { vm_uuid }),
        start: Start::On,
        expected: Some(VmStatus::Paused),
    },
    Scenario {
        name: "resume",
        change: |vm_uuid, _| ChangeInput::ResumeVm(VmOnlyInput { vm_uuid }),
        start: Start::Paused,
        expected: Some(VmStatus::Running),
    },
    Scenario {
        name: "update",
        change: |vm_uuid, _| ChangeInput::UpdateVm(UpdateVmInput { vm_uuid, new_name: Some("renamed".into()), ..UpdateVmInput::default() }),
        start: Start::On,
        expected: Some(VmStatus::Running),
    },
    Scenario {
        name: "resize",
        change: |vm_uuid, _| {
            ChangeInput::ResizeVm(ResizeVmInput { vm_uuid, specification_uuid: None, cpu_cores: Some(3), memory_bytes: None })
        },
        start: Start::Off,
        expected: Some(VmStatus::Stopped),
    },
    Scenario { name: "trash", change: |vm, _| trash(vm), start: Start::On, expected: Some(VmStatus::Deleted) },
    Scenario {
        name: "recover",
        change: |vm_uuid, _| ChangeInput::RecoverVm(VmOnlyInput { vm_uuid }),
        start: Start::Trashed,
        expected: Some(VmStatus::Stopped),
    },
    Scenario {
        name: "expunge",
        change: |vm_uuid, _| ChangeInput::ExpungeVm(VmOnlyInput { vm_uuid }),
        start: Start::Trashed,
        expected: None,
    },
    Scenario { name: "delete", change: |vm, _| delete(vm), start: Start::On, expected: None },
    Scenario {
        name: "graceful delete that keeps data disks",
        change: |vm_uuid, _| {
            ChangeInput::DeleteVm(DeleteVmInput { vm_uuid, is_forced: false, is_deleting_volumes: false, keep_days: None })
        },
        start: Start::On,
        expected: None,
    },
];

pub(super) async fn prepare(scenario: &Scenario) -> (Bench, Uuid, ChangeInput) {
    let bench = bench().await;
    let mut vm = Uuid::nil();
    if scenario.start != Start::NoVm {
        vm = bench.vm("old").await;
    }
    match scenario.start {
        Start::Off => drop(bench.run(stop(vm, true, None)).await.unwrap()),
        Start::Trashed => drop(bench.run(trash(vm)).await.unwrap()),
        Start::Paused => drop(bench.run(ChangeInput::PauseVm(VmOnlyInput { vm_uuid: vm })).await.unwrap()),
        Start::NoVm | Start::On => {}
    }
    let image = bench.image().await;
    let change = (scenario.change)(vm, image);
    (bench, vm, change)
}

fn trash(vm_uuid: Uuid) -> ChangeInput {
    ChangeInput::DeleteVm(DeleteVmInput { vm_uuid, is_forced: true, is_deleting_volumes: false, keep_days: Some(3) })
}

/// Records, domains, files and reservations say the same.
pub(super) fn assert_consistent(bench: &Bench, what: &str) {
    let snapshot = bench.engine.snapshot();
    assert!(snapshot.open_jobs.is_empty(), "{what}: a job never ended");
    let records: Vec<_> = snapshot.vms.values().filter_map(|vm| vm.record.clone()).collect();
    assert_eq!(records.len(), bench.node.domain_count(), "{what}: domains and records");
    for record in &records {
        assert!(matches!(record.phase, VmPhase::Ready | VmPhase::Trashed), "{what}");
        let domain = bench.node.domain(record.vm_uuid).unwrap_or_else(|| panic!("{what}: record without domain"));
        assert_eq!((domain.cpu_cores, domain.memory_bytes), (record.cpu_cores, record.memory_bytes), "{what}");
    }
    let files: BTreeSet<_> = bench.node.files().into_iter().filter(|f| f.contains("/volumes/")).collect();
    let volumes: BTreeSet<_> = snapshot.volumes.values().map(|v| v.path.clone()).collect();
    assert_eq!(files, volumes, "{what}: files and volume records");
    let reserved: BTreeSet<_> = bench.node.reservations().into_iter().map(|r| r.mac_address).collect();
    let nics: BTreeSet<_> = records.iter().flat_map(|r| r.nics.iter().map(|n| n.mac_address)).collect();
    assert_eq!(reserved, nics, "{what}: reservations and NICs");
}

/// What a job that ended well promised.
pub(super) fn assert_reached(bench: &Bench, scenario: &Scenario, vm_uuid: Uuid, what: &str) {
    assert_eq!(bench.status(vm_uuid), scenario.expected, "{what}");
    if scenario.name == "update" {
        assert_eq!(bench.engine.snapshot().vms[&vm_uuid].name(), "renamed", "{what}");
    }
    if scenario.name == "resize" {
        assert_eq!(bench.node.domain(vm_uuid).unwrap().cpu_cores, 3, "{what}");
    }
}

/// One run with one fault. False if the fault never struck: the verb makes fewer calls.
async fn run_with_failure(scenario: &Scenario, nth: u64, fault: &Fault) -> bool {
    let (bench, vm, change) = prepare(scenario).await;
    let what = format!("{}, call {nth}, {fault:?}", scenario.name);
    let before = bench.status(vm);
    let calls_before = bench.faults.count("*");
    bench.faults.on("*", nth, fault.clone());
    let result = bench.run(change).await;
    let has_struck = bench.faults.count("*") >= calls_before + nth;
    bench.faults.clear();
    if let Ok(job) = &result {
        match job.status {
            JobStatus::Succeeded => assert_reached(&bench, scenario, job.resource.uuid, &what),
            JobStatus::Failed if scenario.expected.is_some() && matches!(scenario.name, "create" | "update" | "resize" | "start") => {
                assert_eq!(bench.status(vm), before, "{what}");
            }
            _ => {}
        }
    }
    // A delete only goes forward: one that failed is asked again and then leaves nothing.
    if scenario.expected.is_none() && bench.engine.snapshot().vms.contains_key(&vm) {
        assert_eq!(bench.run((scenario.change)(vm, vm)).await.unwrap().status, JobStatus::Succeeded, "{what}");
    }
    assert_consistent(&bench, &what);
    has_struck
}

async fn run_with_crash(scenario: &Scenario, nth: u64, fault: &Fault) -> bool {
    let (bench, vm, change) = prepare(scenario).await;
    let what = format!("{}, call {nth}, {fault:?}", scenario.name);
    bench.faults.on("*", nth, fault.clone());
    let engine = bench.engine.clone();
    let running = tokio::spawn(async move {
        let job = engine.submit(request(change)).await?.job;
        engine.wait_for_job(job.job_uuid, SOON).await
    });
    tokio::select! {
        () = bench.faults.wait_for_crash() => {}
        ended = running => {
            assert_eq!(ended.unwrap().unwrap().status, JobStatus::Succeeded, "{what}");
            return false;
        }
    }
    let bench = bench.restart().await;
    assert!(bench.engine.wait_until(SOON, |s| s.open_jobs.is_empty()).await, "{what}: a job never ended");
    let page = crate::port::Page { offset: 0, limit: 1, order: crate::port::SortOrder::Descending };
    let job = bench.engine.list_jobs(crate::port::JobFilter::default(), page).await.unwrap().rows.remove(0);
    if job.is_after_restart && job.status == JobStatus::Succeeded {
        let target = if scenario.start == Start::NoVm { job.resource.uuid } else { vm };
        assert_reached(&bench, scenario, target, &what);
    }
    assert_consistent(&bench, &what);
    true
}

#[tokio::test]
async fn whatever_single_call_of_whatever_verb_fails_the_node_stays_consistent() {
    for scenario in SCENARIOS {
        for is_after in [false, true] {
            let error = crate::fail!(Internal, "injected");
            let fault = if is_after { Fault::FailAfter(error) } else { Fault::FailBefore(error) };
            let mut nth = 1;
            while nth < CALLS_MAX && run_with_failure(scenario, nth, &fault).await {
                nth += 1;
            }
            assert!((3..CALLS_MAX).contains(&nth), "{}: the search did not reach the end: {nth}", scenario.name);
        }
    }
}

#[tokio::test]
async fn at_whatever_call_of_whatever_verb_the_daemon_dies_the_restart_makes_it_consistent() {
    for scenario in SCENARIOS {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            let mut nth = 1;
            while nth < CALLS_MAX && run_with_crash(scenario, nth, &fault).await {
                nth += 1;
            }
            assert!((3..CALLS_MAX).contains(&nth), "{}: the search did not reach the end: {nth}", scenario.name);
        }
    }
}
