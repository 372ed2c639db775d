//! A failure, or the death of the daemon, at every single call that every verb makes: each job ends, what succeeded is as asked, what failed
//! left nothing, and records, domains, files and reservations agree with each other.

use super::*;
use crate::fake::Fault;
use crate::model::{ResourceType, VerbKind, VmPhase, VmRecord};
use std::collections::BTreeSet;

/// More calls than any verb makes; a run without a fault ends the search earlier.
const CALLS_MAX: u64 = 60;

/// A verb, the state it starts from, and the state it should reach.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// Built before any fault is set; gives the change to be tried.
    change: fn(Uuid, Uuid) -> ChangeInput,
    /// Whether a VM is to run, to be off, or not to be there at the start; or what was done to one that runs.
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
    Resized,
    ResizedAndCrashed,
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
        change: |vm_uuid, _| ChangeInput::ResizeVm(ResizeVmInput { vm_uuid, cpu_cores: Some(3), ..ResizeVmInput::default() }),
        start: Start::Off,
        expected: Some(VmStatus::Stopped),
    },
    Scenario {
        name: "resize with a restart",
        change: |vm_uuid, _| resize_with_restart(vm_uuid),
        start: Start::On,
        expected: Some(VmStatus::Running),
    },
    Scenario {
        name: "confirm resize",
        change: |vm_uuid, _| ChangeInput::ConfirmResize(VmOnlyInput { vm_uuid }),
        start: Start::Resized,
        expected: Some(VmStatus::Running),
    },
    Scenario {
        name: "revert resize",
        change: |vm_uuid, _| ChangeInput::RevertResize(VmOnlyInput { vm_uuid }),
        start: Start::Resized,
        expected: Some(VmStatus::Running),
    },
    Scenario {
        name: "revert resize after a crash",
        change: |vm_uuid, _| ChangeInput::RevertResize(VmOnlyInput { vm_uuid }),
        start: Start::ResizedAndCrashed,
        expected: Some(VmStatus::Running),
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

/// A bench whose guests are given little time: an undo may have to wait for one that was asked to shut down.
async fn impatient_bench() -> Bench {
    let node = FakeNode::new(NodeOptions::default(), Arc::new(SystemClock));
    let faults = Faults::new();
    let verb = VerbSettings { stop_timeout: Duration::from_secs(1), delete_grace: Duration::from_secs(1), ..VerbSettings::default() };
    let bench = open_with(EngineConfig { verb, ..config() }, node, FakeStore::new(faults.clone()), faults).await;
    assert!(bench.engine.wait_until_ready(SOON).await);
    bench
}

pub(super) async fn prepare(scenario: &Scenario) -> (Bench, Uuid, ChangeInput) {
    let bench = impatient_bench().await;
    let mut vm = Uuid::nil();
    if scenario.start != Start::NoVm {
        vm = bench.vm("old").await;
    }
    match scenario.start {
        Start::Off => drop(bench.run(stop(vm, true, None)).await.unwrap()),
        Start::Trashed => drop(bench.run(trash(vm)).await.unwrap()),
        Start::Paused => drop(bench.run(ChangeInput::PauseVm(VmOnlyInput { vm_uuid: vm })).await.unwrap()),
        Start::Resized => drop(bench.run(resize_with_restart(vm)).await.unwrap()),
        Start::ResizedAndCrashed => {
            bench.run(resize_with_restart(vm)).await.unwrap();
            bench.node.kill_qemu(vm);
            bench.wait_for_status(vm, VmStatus::Crashed).await;
        }
        Start::NoVm | Start::On => {}
    }
    let image = bench.image().await;
    let change = (scenario.change)(vm, image);
    (bench, vm, change)
}

fn trash(vm_uuid: Uuid) -> ChangeInput {
    ChangeInput::DeleteVm(DeleteVmInput { vm_uuid, is_forced: true, is_deleting_volumes: false, keep_days: Some(3) })
}

fn resize_with_restart(vm_uuid: Uuid) -> ChangeInput {
    let input = ResizeVmInput { vm_uuid, cpu_cores: Some(3), is_restarting: true, keeps_previous: true, ..ResizeVmInput::default() };
    ChangeInput::ResizeVm(input)
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
        let described = &domain.metadata.as_ref().unwrap_or_else(|| panic!("{what}: domain without metadata")).record;
        let says = |r: &VmRecord| (r.specification.clone(), r.resized_from.clone());
        assert_eq!(says(described), says(record), "{what}: what the domain says of itself");
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
    let resized_to = match scenario.name {
        "resize" | "confirm resize" => Some((3, false)),
        "resize with a restart" => Some((3, true)),
        "revert resize" | "revert resize after a crash" => Some((1, false)),
        _ => None,
    };
    if let Some((cpu_cores, has_way_back)) = resized_to {
        assert_eq!(bench.node.domain(vm_uuid).unwrap().cpu_cores, cpu_cores, "{what}");
        assert_eq!(awaits_confirmation(bench, vm_uuid), has_way_back, "{what}");
    }
}

fn awaits_confirmation(bench: &Bench, vm_uuid: Uuid) -> bool {
    bench.engine.snapshot().vms.get(&vm_uuid).is_some_and(|vm| vm.resized_from().is_some())
}

/// One run with one fault. False if the fault never struck: the verb makes fewer calls.
async fn run_with_failure(scenario: &Scenario, nth: u64, fault: &Fault) -> bool {
    let (bench, vm, change) = prepare(scenario).await;
    let what = format!("{}, call {nth}, {fault:?}", scenario.name);
    let (before, had_way_back) = (bench.status(vm), awaits_confirmation(&bench, vm));
    let calls_before = bench.faults.count("*");
    bench.faults.on("*", nth, fault.clone());
    let result = bench.run(change).await;
    let has_struck = bench.faults.count("*") >= calls_before + nth;
    bench.faults.clear();
    if let Ok(job) = &result {
        match job.status {
            JobStatus::Succeeded => assert_reached(&bench, scenario, job.resource.uuid, &what),
            JobStatus::Failed if matches!(scenario.name, "create" | "update" | "start") || scenario.name.contains("resize") => {
                // What was started and switched off again has not crashed any more.
                let is_off = |status| matches!(status, Some(VmStatus::Stopped | VmStatus::Crashed));
                let is_as_before = bench.status(vm) == before || (is_off(before) && is_off(bench.status(vm)));
                assert!(is_as_before, "{what}: {:?}", bench.status(vm));
                assert_eq!(awaits_confirmation(&bench, vm), had_way_back, "{what}");
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

#[test]
fn every_verb_on_a_vm_of_ours_is_tried() {
    let tried: BTreeSet<_> = SCENARIOS.iter().map(|scenario| (scenario.change)(Uuid::nil(), Uuid::nil()).kind()).collect();
    // Whose VM it is changes with these two; they are tried elsewhere.
    let is_elsewhere = |verb: &VerbKind| matches!(verb, VerbKind::AdoptVm | VerbKind::ReleaseVm);
    let on_vms = VerbKind::ALL.into_iter().filter(|verb| verb.resource_type() == ResourceType::Vm && !is_elsewhere(verb));
    assert_eq!(tried, on_vms.collect());
}

#[tokio::test(start_paused = true)]
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

#[tokio::test(start_paused = true)]
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
