//! Resizing: with a restart, with a way back, and what others see and may do meanwhile.

use super::*;
use crate::fake::Fault;
use crate::model::{DesiredPower, FormerShape, Named, StateReason, VmRecord};

fn resize(vm_uuid: Uuid, cpu_cores: u32) -> ResizeVmInput {
    ResizeVmInput { vm_uuid, cpu_cores: Some(cpu_cores), is_restarting: true, ..ResizeVmInput::default() }
}

fn resize_with_way_back(vm_uuid: Uuid, cpu_cores: u32) -> ChangeInput {
    ChangeInput::ResizeVm(ResizeVmInput { keeps_previous: true, ..resize(vm_uuid, cpu_cores) })
}

fn confirm(vm_uuid: Uuid) -> ChangeInput {
    ChangeInput::ConfirmResize(VmOnlyInput { vm_uuid })
}

fn revert(vm_uuid: Uuid) -> ChangeInput {
    ChangeInput::RevertResize(VmOnlyInput { vm_uuid })
}

impl Bench {
    async fn succeed(&self, change: ChangeInput) -> Arc<Job> {
        let job = self.run(change).await.unwrap();
        assert_eq!(job.status, JobStatus::Succeeded, "{job:?}");
        job
    }

    fn record(&self, vm_uuid: Uuid) -> Arc<VmRecord> {
        self.engine.snapshot().vms[&vm_uuid].record.clone().unwrap()
    }

    /// Processors: as asked for, as libvirt has them, and as the domain says of itself.
    fn cores(&self, vm_uuid: Uuid) -> [u32; 3] {
        let domain = self.node.domain(vm_uuid).unwrap();
        [self.record(vm_uuid).cpu_cores, domain.cpu_cores, domain.metadata.unwrap().record.cpu_cores]
    }

    /// How often its guest has booted.
    async fn boots(&self, vm_uuid: Uuid) -> usize {
        let log = self.hypervisor.console_log(vm_uuid, 1 << 20).await.unwrap();
        String::from_utf8(log).unwrap().matches("boots (run").count()
    }

    async fn specification(&self, specification_name: &str, cpu_cores: u32) -> Uuid {
        let input = CreateSpecificationInput {
            specification_uuid: None,
            specification_name: specification_name.into(),
            description: String::new(),
            cpu_cores,
            memory_bytes: 256 << 20,
            storage_bytes: 0,
        };
        self.succeed(ChangeInput::CreateSpecification(input)).await.resource.uuid
    }
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_runs_is_refused_unless_it_may_be_restarted() {
    let bench = bench().await;
    let vm = bench.vm("web").await;
    let refused = bench.run(ChangeInput::ResizeVm(ResizeVmInput { is_restarting: false, ..resize(vm, 4) })).await;
    assert_eq!(code(refused), ErrorCode::VmStateNotAllowed);
    assert_eq!((bench.cores(vm), bench.boots(vm).await), ([1; 3], 1));
    let started = bench.record(vm).start_time;
    let job = bench.succeed(ChangeInput::ResizeVm(resize(vm, 4))).await;
    assert_eq!(job.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["shutdown", "switch_off", "resize", "start"]);
    assert_eq!((bench.cores(vm), bench.boots(vm).await, bench.status(vm)), ([4; 3], 2, Some(VmStatus::Running)));
    let (record, shown) = (bench.record(vm), bench.engine.snapshot().vms[&vm].clone());
    assert!(record.start_time > started && record.desired_power == DesiredPower::On);
    assert_eq!((shown.reason, shown.resized_from()), (StateReason::Requested, None));
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_does_not_answer_is_switched_off_for_its_resize_after_the_nodes_time() {
    let bench = bench().await;
    let vm = bench.vm("deaf").await;
    bench.node.set_heeds_requests(vm, false);
    let start = tokio::time::Instant::now();
    let job_uuid = bench.engine.submit(request(ChangeInput::ResizeVm(resize(vm, 2)))).await.unwrap().job.job_uuid;
    bench.wait_for_status(vm, VmStatus::Resizing).await;
    assert_eq!(code(bench.run(stop(vm, true, None)).await), ErrorCode::VmBusy);
    let job = bench.engine.wait_for_job(job_uuid, 20 * SOON).await.unwrap();
    assert_eq!((job.status, bench.cores(vm), bench.boots(vm).await), (JobStatus::Succeeded, [2; 3], 2));
    let timeout = VerbSettings::default().stop_timeout;
    assert!((timeout..timeout + SOON).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_is_off_stays_off_and_one_that_has_the_shape_runs_on() {
    let bench = bench().await;
    let vm = bench.vm("web").await;
    let specification = bench.specification("same", 1).await;
    let as_specified = ResizeVmInput { cpu_cores: None, specification_uuid: Some(specification), ..resize(vm, 0) };
    bench.succeed(ChangeInput::ResizeVm(as_specified)).await;
    assert_eq!((bench.boots(vm).await, bench.record(vm).specification.clone().unwrap().uuid), (1, specification));
    bench.succeed(stop(vm, true, None)).await;
    bench.succeed(ChangeInput::ResizeVm(resize(vm, 2))).await;
    assert_eq!((bench.cores(vm), bench.status(vm), bench.boots(vm).await), ([2; 3], Some(VmStatus::Stopped), 1));
}

#[tokio::test(start_paused = true)]
async fn a_resize_with_a_way_back_is_confirmed_or_reverted_before_the_next_one() {
    let bench = bench().await;
    let vm = bench.vm("web").await;
    for way_out in [confirm(vm), revert(vm)] {
        assert_eq!(code(bench.run(way_out).await), ErrorCode::VmStateNotAllowed, "nothing to confirm or revert");
    }
    let (small, big) = (bench.specification("small", 1).await, bench.specification("big", 4).await);
    bench.succeed(ChangeInput::ResizeVm(ResizeVmInput { cpu_cores: None, specification_uuid: Some(small), ..resize(vm, 0) })).await;
    let before = bench.record(vm);
    let to_big =
        || ChangeInput::ResizeVm(ResizeVmInput { cpu_cores: None, specification_uuid: Some(big), keeps_previous: true, ..resize(vm, 0) });
    bench.succeed(to_big()).await;
    let named = Named { uuid: small, name: "small".into() };
    let former = FormerShape { cpu_cores: 1, memory_bytes: 256 << 20, specification: Some(named), was_running: true };
    assert_eq!(bench.engine.snapshot().vms[&vm].resized_from(), Some(&former));
    for next in [to_big(), ChangeInput::ResizeVm(resize(vm, 2))] {
        assert_eq!(code(bench.run(next).await), ErrorCode::VmStateNotAllowed);
    }
    for specification_uuid in [small, big] {
        let delete = ChangeInput::DeleteSpecification(DeleteSpecificationInput { specification_uuid });
        assert_eq!(code(bench.run(delete).await), ErrorCode::SpecificationInUse);
    }
    bench.succeed(revert(vm)).await;
    let after = bench.record(vm);
    assert_eq!((&after.specification, after.cpu_cores, &after.resized_from), (&before.specification, 1, &None));
    assert_eq!((bench.cores(vm), bench.status(vm), bench.boots(vm).await), ([1; 3], Some(VmStatus::Running), 3));

    bench.succeed(to_big()).await;
    bench.succeed(confirm(vm)).await;
    assert_eq!((bench.cores(vm), bench.record(vm).resized_from.clone(), bench.boots(vm).await), ([4; 3], None, 4));
    assert_eq!(bench.node.domain(vm).unwrap().metadata.unwrap().record.resized_from, None);
    for way_out in [confirm(vm), revert(vm)] {
        assert_eq!(code(bench.run(way_out).await), ErrorCode::VmStateNotAllowed, "confirmed already");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_revert_runs_what_ran_before_and_was_not_stopped_since() {
    type Spoil = fn(&Bench, Uuid);
    let cases: [(bool, Spoil, VmStatus, VmStatus); 3] = [
        (true, |bench, vm| bench.node.kill_qemu(vm), VmStatus::Crashed, VmStatus::Running),
        (false, |_, _| {}, VmStatus::Stopped, VmStatus::Stopped),
        (true, |_, _| {}, VmStatus::Running, VmStatus::Running),
    ];
    for (runs_before, spoil, between, after) in cases {
        let bench = bench().await;
        let vm = bench.vm("web").await;
        if !runs_before {
            bench.succeed(stop(vm, true, None)).await;
        }
        bench.succeed(resize_with_way_back(vm, 2)).await;
        spoil(&bench, vm);
        bench.wait_for_status(vm, between).await;
        bench.succeed(revert(vm)).await;
        assert_eq!((bench.cores(vm), bench.status(vm)), ([1; 3], Some(after)), "{between:?}");
    }
    let bench = bench().await;
    let vm = bench.vm("stopped since").await;
    bench.succeed(resize_with_way_back(vm, 2)).await;
    bench.succeed(stop(vm, true, None)).await;
    bench.succeed(revert(vm)).await;
    assert_eq!((bench.cores(vm), bench.status(vm)), ([1; 3], Some(VmStatus::Stopped)));
}

#[tokio::test(start_paused = true)]
async fn a_vm_that_does_not_start_with_its_new_shape_runs_with_the_old_one() {
    let bench = bench().await;
    let vm = bench.vm("web").await;
    bench.faults.on("ensure_started", 1, Fault::FailBefore(crate::fail!(VmStartFailed, "injected")));
    let job = bench.run(resize_with_way_back(vm, 8)).await.unwrap();
    assert_eq!((job.status, job.error.as_ref().map(|e| e.code)), (JobStatus::Failed, Some(ErrorCode::VmStartFailed)));
    assert_eq!((bench.cores(vm), bench.status(vm), bench.boots(vm).await), ([1; 3], Some(VmStatus::Running), 2));
    assert_eq!(bench.engine.snapshot().vms[&vm].resized_from(), None);
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_goes_down_late_although_its_shutdown_failed_is_started_again() {
    let bench = bench().await;
    let vm = bench.vm("web").await;
    bench.faults.on("request_shutdown", 1, Fault::FailAfter(crate::fail!(VmStopFailed, "injected")));
    assert_eq!(bench.run(ChangeInput::ResizeVm(resize(vm, 8))).await.unwrap().status, JobStatus::Failed);
    tokio::time::sleep(SOON).await;
    assert_eq!((bench.cores(vm), bench.status(vm), bench.boots(vm).await), ([1; 3], Some(VmStatus::Running), 2));
}

#[tokio::test(start_paused = true)]
async fn nobody_takes_the_room_of_a_vm_that_is_off_for_a_moment() {
    let bench = bench().await;
    let (vm, image) = (bench.vm("grows").await, bench.image().await);
    bench.faults.on("resize", 1, Fault::HoldBefore);
    let bigger = ResizeVmInput { memory_bytes: Some(40 << 30), ..resize(vm, 1) };
    let job_uuid = bench.engine.submit(request(ChangeInput::ResizeVm(bigger))).await.unwrap().job.job_uuid;
    bench.faults.wait_for_calls("resize", 1).await;
    let shape = Shape::Custom { cpu_cores: 1, memory_bytes: 30 << 30 };
    let input = CreateVmInput { root: RootSource::Image(image), shape, ..create_input("greedy") };
    assert_eq!(code(bench.run(ChangeInput::CreateVm(Box::new(input))).await), ErrorCode::HostInsufficient);
    bench.faults.release();
    assert_eq!(bench.engine.wait_for_job(job_uuid, SOON).await.unwrap().status, JobStatus::Succeeded);
    let back = bench.run(ChangeInput::ResizeVm(ResizeVmInput { memory_bytes: Some(70 << 30), ..resize(vm, 1) })).await;
    assert_eq!(code(back), ErrorCode::HostInsufficient);
}

#[tokio::test(start_paused = true)]
async fn a_locked_vm_is_neither_resized_nor_reverted_but_may_be_confirmed() {
    let bench = bench().await;
    let vm = bench.vm("web").await;
    bench.succeed(resize_with_way_back(vm, 2)).await;
    let lock = UpdateVmInput { vm_uuid: vm, locked: Some(true), ..UpdateVmInput::default() };
    bench.succeed(ChangeInput::UpdateVm(lock)).await;
    for change in [ChangeInput::ResizeVm(resize(vm, 4)), revert(vm)] {
        assert_eq!(code(bench.run(change).await), ErrorCode::VmLocked);
    }
    bench.succeed(confirm(vm)).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_the_daemon_does_not_restart_a_guest_that_has_its_new_shape() {
    let bench = bench().await;
    let vm = bench.vm("web").await;
    bench.faults.on("ensure_started", 1, Fault::CrashAfter);
    let engine = bench.engine.clone();
    tokio::spawn(async move { engine.submit(request(resize_with_way_back(vm, 2))).await });
    bench.faults.wait_for_crash().await;
    let bench = bench.restart().await;
    assert!(bench.engine.wait_until(SOON, |s| s.open_jobs.is_empty()).await);
    assert_eq!((bench.cores(vm), bench.status(vm), bench.boots(vm).await), ([2; 3], Some(VmStatus::Running), 2));
    assert!(bench.record(vm).resized_from.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_way_back_outlasts_the_loss_of_the_store() {
    let bench = bench().await;
    let vm = bench.vm("web").await;
    bench.succeed(resize_with_way_back(vm, 2)).await;
    bench.faults.crash();
    let faults = Faults::new();
    let bench = open(bench.node, FakeStore::new(faults.clone()), faults).await;
    assert!(bench.engine.wait_until_ready(SOON).await);
    assert!(bench.engine.wait_until(SOON, |s| s.vms[&vm].record.is_some()).await);
    bench.succeed(revert(vm)).await;
    assert_eq!((bench.cores(vm), bench.status(vm)), ([1; 3], Some(VmStatus::Running)));
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_an_earlier_version_stored_is_read_as_the_plain_resize_that_it_was() {
    let bench = bench().await;
    let vm = bench.vm("web").await;
    bench.succeed(stop(vm, true, None)).await;
    bench.faults.on("resize", 1, Fault::HoldBefore);
    let job_uuid = bench.engine.submit(request(resize_with_way_back(vm, 2))).await.unwrap().job.job_uuid;
    let mut job = Job::clone(&bench.engine.snapshot().open_jobs[&job_uuid]);
    let plan = job.input["plan"].as_object_mut().unwrap();
    plan.retain(|field, _| field == "before" || field == "after");
    assert_eq!(plan.len(), 2);
    let change = Change::from_job(&job).unwrap();
    assert_eq!((change.verb().kind(), change.verb().steps().len()), (crate::model::VerbKind::ResizeVm, 1));
    bench.faults.release();
    assert_eq!(bench.engine.wait_for_job(job_uuid, SOON).await.unwrap().status, JobStatus::Succeeded);
}
