//! libvirt goes away in the middle of a change and comes back: the change waits, is made so and succeeds. What does not come back in time
//! fails, and leaves nothing once libvirt is there again. Time is virtual: nothing here waits for real.

use super::faults::{SCENARIOS, Scenario, assert_consistent, assert_reached, prepare};
use super::*;
use crate::fake::Fault;
use crate::model::{DesiredPower, Management, ObservedVm, StepStatus};
use crate::port::Hypervisor;

/// Every call of the hypervisor that a verb may make.
const METHODS: [&str; 15] = [
    "observe",
    "ensure_reservation",
    "ensure_volume",
    "ensure_defined",
    "ensure_started",
    "request_shutdown",
    "ensure_destroyed",
    "request_reboot",
    "reset",
    "ensure_paused",
    "ensure_resumed",
    "update_description",
    "remove_description",
    "resize",
    "ensure_undefined",
];
/// Those that only verbs which remove something make.
const REMOVALS: [&str; 2] = ["remove_volume", "remove_reservation"];
/// How long libvirt is away: less than the patience of the bench's configuration.
const AWAY: Duration = Duration::from_millis(120);

/// Whenever the connection goes down, libvirt is there again after a while.
fn comes_back(bench: &Bench, away: Duration) {
    let hypervisor = bench.hypervisor.clone();
    let mut states = hypervisor.connection();
    tokio::spawn(async move {
        while states.wait_for(|state| matches!(state, ConnectionState::Down(_))).await.is_ok() {
            tokio::time::sleep(away).await;
            hypervisor.connect();
        }
    });
}

async fn is_settled(bench: &Bench) {
    assert!(bench.engine.wait_until_ready(SOON).await);
    assert!(bench.engine.wait_until(SOON, |s| s.open_jobs.is_empty()).await);
}

/// One run with one outage. False if it never came: the verb makes fewer calls.
async fn run_with_outage(scenario: &Scenario, method: &str, nth: u64, fault: &Fault) -> bool {
    let (bench, vm, change) = prepare(scenario).await;
    let what = format!("{}, {method} {nth}, {fault:?}", scenario.name);
    comes_back(&bench, AWAY);
    let calls_before = bench.faults.count(method);
    bench.faults.on(method, nth, fault.clone());
    let job = bench.run(change).await.unwrap();
    let has_struck = bench.faults.count(method) >= calls_before + nth;
    bench.faults.clear();
    assert_eq!(job.status, JobStatus::Succeeded, "{what}: {job:?}");
    assert!(job.steps.iter().all(|step| step.status == StepStatus::Done), "{what}: {:?}", job.steps);
    is_settled(&bench).await;
    let target = if vm.is_nil() { job.resource.uuid } else { vm };
    let is_so = |s: &Snapshot| s.vms.get(&target).map(|vm| vm.status) == scenario.expected;
    assert!(bench.engine.wait_until(SOON, is_so).await, "{what}: {:?}", bench.status(target));
    assert_reached(&bench, scenario, target, &what);
    assert_consistent(&bench, &what);
    has_struck
}

#[tokio::test(start_paused = true)]
async fn at_whatever_call_of_whatever_verb_libvirt_goes_away_the_change_is_made_once_it_is_back() {
    for scenario in SCENARIOS {
        let mut struck = 0;
        for method in METHODS.iter().chain(&REMOVALS) {
            for fault in [Fault::Disconnect, Fault::DisconnectAfter] {
                let mut nth = 1;
                while run_with_outage(scenario, method, nth, &fault).await {
                    nth += 1;
                    assert!(nth < 30, "{}: {method} is called for ever", scenario.name);
                }
                struck += nth - 1;
            }
        }
        assert!(struck >= 4, "{}: only {struck} outages", scenario.name);
    }
}

async fn foreign(bench: &Bench) -> Uuid {
    let mine = bench.vm("mine").await;
    let observed = bench.node.domain(mine).unwrap();
    let vm_uuid = Uuid::new_v4();
    bench.node.define_outside(ObservedVm {
        vm_uuid,
        domain_name: "foreign".into(),
        metadata: None,
        nics: Vec::new(),
        disks: Vec::new(),
        ..observed
    });
    assert!(bench.engine.wait_until(SOON, |s| s.vms.contains_key(&vm_uuid)).await);
    vm_uuid
}

#[tokio::test(start_paused = true)]
async fn adoption_and_release_outlast_an_outage_of_libvirt_too() {
    for fault in [Fault::Disconnect, Fault::DisconnectAfter] {
        let bench = bench().await;
        let vm_uuid = foreign(&bench).await;
        comes_back(&bench, AWAY);
        let adopt = ChangeInput::AdoptVm(AdoptVmInput { vm_uuid, new_name: None });
        let release = ChangeInput::ReleaseVm(VmOnlyInput { vm_uuid });
        for (method, change, expected) in
            [("update_description", adopt, Management::Managed), ("remove_description", release, Management::Unmanaged)]
        {
            bench.faults.on(method, 1, fault.clone());
            assert_eq!(bench.run(change).await.unwrap().status, JobStatus::Succeeded, "{method} {fault:?}");
            is_settled(&bench).await;
            assert!(bench.engine.wait_until(SOON, |s| s.vms[&vm_uuid].management == expected).await, "{method} {fault:?}");
            assert_eq!(bench.node.domain(vm_uuid).unwrap().metadata.is_some(), expected == Management::Managed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_vm_with_secrets_for_its_guest_is_made_in_spite_of_an_outage() {
    for fault in [Fault::Disconnect, Fault::DisconnectAfter] {
        let bench = bench().await;
        let seed = GuestSeed { password: Some("secret".into()), ..GuestSeed::default() };
        let input = CreateVmInput { root: RootSource::Image(bench.image().await), seed, ..create_input("told") };
        comes_back(&bench, AWAY);
        bench.faults.on("ensure_file", 1, fault);
        assert_eq!(bench.run(ChangeInput::CreateVm(Box::new(input))).await.unwrap().status, JobStatus::Succeeded);
        assert_eq!(bench.node.files().iter().filter(|file| file.contains("-seed")).count(), 1);
    }
}

async fn is_waiting(bench: &Bench, job_uuid: Uuid) {
    let is_waiting =
        |s: &Snapshot| s.open_jobs.get(&job_uuid).is_some_and(|job| job.steps.iter().any(|step| step.status == StepStatus::Waiting));
    assert!(bench.engine.wait_until(SOON, is_waiting).await, "{:?}", bench.engine.job(job_uuid).await);
}

/// Submits a change and waits until it waits for libvirt.
async fn waiting_job(bench: &Bench, change: ChangeInput) -> Uuid {
    let job_uuid = bench.engine.submit(request(change)).await.unwrap().job.job_uuid;
    is_waiting(bench, job_uuid).await;
    job_uuid
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_for_libvirt_says_so_and_is_canceled_at_once() {
    let bench = bench().await;
    let vm = bench.vm("waits").await;
    bench.faults.on("request_shutdown", 1, Fault::Disconnect);
    let job_uuid = waiting_job(&bench, stop(vm, false, None)).await;
    let start = tokio::time::Instant::now();
    bench.engine.cancel_job(&caller(), job_uuid).await.unwrap();
    let job = bench.engine.wait_for_job(job_uuid, SOON).await.unwrap();
    assert_eq!(job.status, JobStatus::Canceled);
    assert_eq!(start.elapsed(), Duration::ZERO, "libvirt is still away");
    assert_eq!(bench.engine.snapshot().vms[&vm].record.as_ref().unwrap().desired_power, DesiredPower::On);
    bench.hypervisor.connect();
    is_settled(&bench).await;
    assert_eq!(bench.status(vm), Some(VmStatus::Running));
}

#[tokio::test(start_paused = true)]
async fn a_create_canceled_while_it_waits_for_libvirt_is_undone_when_libvirt_is_back() {
    let bench = bench().await;
    let input = CreateVmInput { root: RootSource::Image(bench.image().await), ..create_input("unwanted") };
    bench.faults.on("ensure_defined", 1, Fault::DisconnectAfter);
    let job_uuid = waiting_job(&bench, ChangeInput::CreateVm(Box::new(input))).await;
    bench.engine.cancel_job(&caller(), job_uuid).await.unwrap();
    tokio::time::sleep(AWAY).await;
    assert!(!bench.engine.job(job_uuid).await.unwrap().status.is_ended(), "its domain is still there");
    bench.hypervisor.connect();
    assert_eq!(bench.engine.wait_for_job(job_uuid, SOON).await.unwrap().status, JobStatus::Canceled);
    is_settled(&bench).await;
    bench.assert_no_vm_is_left();
}

#[tokio::test(start_paused = true)]
async fn when_the_patience_is_over_the_job_fails_and_is_undone_once_libvirt_is_back() {
    let bench = bench().await;
    let input = CreateVmInput { root: RootSource::Image(bench.image().await), ..create_input("late") };
    bench.faults.on("ensure_started", 1, Fault::DisconnectAfter);
    let job_uuid = waiting_job(&bench, ChangeInput::CreateVm(Box::new(input))).await;
    let start = tokio::time::Instant::now();
    let patience = config().hypervisor_patience;
    // Longer than the job waits, and not as long as its undo does after that.
    tokio::time::sleep(patience + AWAY).await;
    assert!(!bench.engine.job(job_uuid).await.unwrap().status.is_ended(), "its domain is still there");
    bench.hypervisor.connect();
    let job = bench.engine.wait_for_job(job_uuid, SOON).await.unwrap();
    assert_eq!((job.status, job.error.as_ref().map(|e| e.code)), (JobStatus::Failed, Some(ErrorCode::HypervisorUnavailable)));
    assert!(start.elapsed() >= patience);
    is_settled(&bench).await;
    bench.assert_no_vm_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_called_an_outage_while_libvirt_answers_is_not_tried_for_ever() {
    let faults = Faults::new();
    let node = FakeNode::new(NodeOptions::default(), Arc::new(SystemClock));
    let bench = open_with(EngineConfig { hypervisor_patience: 100 * SOON, ..config() }, node, FakeStore::new(faults.clone()), faults).await;
    assert!(bench.engine.wait_until_ready(SOON).await);
    let vm = bench.vm("forbidden").await;
    bench.faults.on_every("ensure_destroyed", Fault::FailBefore(crate::fail!(HypervisorUnavailable, "access denied")));
    let accepted = bench.engine.submit(request(stop(vm, true, None))).await.unwrap();
    let job = bench.engine.wait_for_job(accepted.job.job_uuid, 6 * SOON).await.unwrap();
    assert_eq!((job.status, job.error.as_ref().map(|e| e.code)), (JobStatus::Failed, Some(ErrorCode::HypervisorUnavailable)));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_waited_out_only_while_libvirt_is_away() {
    let bench = bench().await;
    let vm = bench.vm("slow").await;
    let timeout = || Fault::FailBefore(crate::fail!(Timeout, "injected"));
    bench.faults.on("ensure_destroyed", 1, timeout());
    let job = bench.run(stop(vm, true, None)).await.unwrap();
    assert_eq!((job.status, job.error.as_ref().map(|e| e.code)), (JobStatus::Failed, Some(ErrorCode::Timeout)), "one VM is stuck");
    let vm = bench.vm("deaf").await;
    bench.node.set_heeds_requests(vm, false);
    let job_uuid = bench.engine.submit(request(stop(vm, false, None))).await.unwrap().job.job_uuid;
    bench.faults.wait_for_calls("request_shutdown", 1).await;
    bench.hypervisor.disconnect("hung");
    bench.faults.on("request_shutdown", 1, timeout());
    is_waiting(&bench, job_uuid).await;
    bench.hypervisor.connect();
    assert_eq!(bench.engine.wait_for_job(job_uuid, 10 * SOON).await.unwrap().status, JobStatus::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_lack_of_space_fails_at_once() {
    let bench = bench().await;
    bench.faults.on("ensure_volume", 1, Fault::FailBefore(crate::fail!(StorageFull)));
    let job = bench.create("fat").await.unwrap();
    assert_eq!((job.status, bench.faults.count("ensure_volume")), (JobStatus::Failed, 1));
    bench.assert_no_vm_is_left();
}

async fn restarting_vm(bench: &Bench) -> Uuid {
    let input = CreateVmInput { root: RootSource::Image(bench.image().await), restart_on_crash: true, ..create_input("eager") };
    bench.run(ChangeInput::CreateVm(Box::new(input))).await.unwrap().resource.uuid
}

/// It is off, says so, and stays so although its owner wants it started again after crashes.
async fn assert_stays_off(bench: &Bench, vm: Uuid) {
    is_settled(bench).await;
    bench.wait_for_status(vm, VmStatus::Stopped).await;
    tokio::time::sleep(Duration::from_secs(900)).await;
    assert_eq!(bench.status(vm), Some(VmStatus::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_ends_while_its_stop_waits_for_libvirt_is_stopped_and_not_started_again() {
    let bench = bench().await;
    let vm = restarting_vm(&bench).await;
    bench.node.set_heeds_requests(vm, false);
    bench.faults.on("request_shutdown", 1, Fault::DisconnectAfter);
    let job_uuid = waiting_job(&bench, stop(vm, false, None)).await;
    // libvirt was away when its QEMU ended, and calls that a crash.
    bench.node.kill_qemu(vm);
    bench.hypervisor.connect();
    assert_eq!(bench.engine.wait_for_job(job_uuid, SOON).await.unwrap().status, JobStatus::Succeeded);
    assert_stays_off(&bench, vm).await;
    let bench = bench.restart().await;
    assert_stays_off(&bench, vm).await;
    bench.run(ChangeInput::StartVm(VmOnlyInput { vm_uuid: vm })).await.unwrap();
    bench.node.kill_qemu(vm);
    bench.wait_for_status(vm, VmStatus::Crashed).await;
    bench.wait_for_status(vm, VmStatus::Running).await;
}

#[tokio::test(start_paused = true)]
async fn a_vm_whose_stop_or_delete_failed_half_way_is_not_started_again() {
    type Ask = fn(Uuid) -> ChangeInput;
    let changes: [Ask; 3] = [
        |vm| stop(vm, true, None),
        |vm_uuid| ChangeInput::DeleteVm(DeleteVmInput { vm_uuid, is_forced: true, is_deleting_volumes: true, keep_days: Some(1) }),
        delete,
    ];
    for change in changes {
        let bench = bench().await;
        let vm = restarting_vm(&bench).await;
        bench.faults.on("ensure_destroyed", 1, Fault::FailBefore(crate::fail!(VmStopFailed, "injected")));
        assert_eq!(bench.run(change(vm)).await.unwrap().status, JobStatus::Failed);
        bench.node.kill_qemu(vm);
        assert_stays_off(&bench, vm).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_somebody_else_started_after_a_stop_should_run_again() {
    let bench = bench().await;
    let vm = restarting_vm(&bench).await;
    bench.run(stop(vm, true, None)).await.unwrap();
    bench.node.change_outside(vm, |observed| observed.power = crate::model::PowerState::Running);
    let should_run = |s: &Snapshot| s.vms[&vm].record.as_ref().unwrap().desired_power == DesiredPower::On;
    assert!(bench.engine.wait_until(SOON, should_run).await);
    let bench = bench.restart().await;
    assert!(should_run(&bench.engine.snapshot()), "it is stored");
    bench.node.kill_qemu(vm);
    bench.wait_for_status(vm, VmStatus::Crashed).await;
    bench.wait_for_status(vm, VmStatus::Running).await;
}

#[tokio::test(start_paused = true)]
async fn everything_is_listed_once_for_each_new_connection() {
    let bench = bench().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        let before = bench.faults.count("list_domains");
        bench.hypervisor.disconnect("test");
        assert!(bench.engine.wait_until(SOON, |s| s.connection != ConnectionState::Up).await);
        bench.hypervisor.connect();
        assert!(bench.engine.wait_until_ready(SOON).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(bench.faults.count("list_domains") - before, 1);
    }
}
