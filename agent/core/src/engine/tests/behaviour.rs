//! What a request does and what others see of it.

use super::*;
use crate::fake::Fault;
use crate::model::{DesiredPower, Freshness, ImageStatus, Management, StateReason, VmPhase, VolumeStatus};
use crate::port::{JobFilter, OperationFilter, Page, SortOrder};

#[tokio::test]
async fn a_vm_lives_its_whole_life_and_leaves_nothing() {
    let bench = bench().await;
    let vm = bench.vm("web").await;
    assert_eq!(bench.status(vm), Some(VmStatus::Running));
    let record = bench.engine.snapshot().vms[&vm].record.clone().unwrap();
    assert!(record.nics[0].ip_address.is_some(), "the address is known once it runs");
    for (change, expected) in [
        (ChangeInput::PauseVm(VmOnlyInput { vm_uuid: vm }), VmStatus::Paused),
        (ChangeInput::ResumeVm(VmOnlyInput { vm_uuid: vm }), VmStatus::Running),
        (ChangeInput::RebootVm(RebootVmInput { vm_uuid: vm, is_forced: false }), VmStatus::Running),
        (ChangeInput::ResetVm(VmOnlyInput { vm_uuid: vm }), VmStatus::Running),
        (stop(vm, false, None), VmStatus::Stopped),
        (
            ChangeInput::ResizeVm(ResizeVmInput {
                vm_uuid: vm,
                cpu_cores: Some(2),
                memory_bytes: Some(512 << 20),
                ..ResizeVmInput::default()
            }),
            VmStatus::Stopped,
        ),
        (ChangeInput::UpdateVm(UpdateVmInput { vm_uuid: vm, new_name: Some("db".into()), ..UpdateVmInput::default() }), VmStatus::Stopped),
        (ChangeInput::StartVm(VmOnlyInput { vm_uuid: vm }), VmStatus::Running),
    ] {
        let job = bench.run(change).await.unwrap();
        assert_eq!(job.status, JobStatus::Succeeded, "{job:?}");
        assert_eq!(bench.status(vm), Some(expected), "after {:?}", job.verb);
    }
    let domain = bench.node.domain(vm).unwrap();
    assert_eq!((domain.cpu_cores, domain.memory_bytes), (2, 512 << 20));
    assert_eq!(bench.engine.snapshot().vms[&vm].name(), "db");
    assert_eq!(bench.run(delete(vm)).await.unwrap().status, JobStatus::Succeeded);
    bench.assert_no_vm_is_left();
}

#[tokio::test]
async fn the_disk_for_cloud_init_goes_with_its_vm_and_is_looked_for_only_where_one_was_made() {
    let bench = bench().await;
    let plain = bench.vm("plain").await;
    let seed = GuestSeed { password: Some("secret".into()), ..GuestSeed::default() };
    let told = CreateVmInput { root: RootSource::Image(bench.image().await), seed, ..create_input("told") };
    let told = bench.run(ChangeInput::CreateVm(Box::new(told))).await.unwrap().resource.uuid;
    let removals = |bench: &Bench| bench.faults.count("remove_volume");
    for (vm_uuid, files) in [(plain, 2), (told, 3)] {
        let before = removals(&bench);
        assert_eq!(bench.run(delete(vm_uuid)).await.unwrap().status, JobStatus::Succeeded);
        assert_eq!(removals(&bench) - before, files, "two disks, and that for cloud-init where there is one");
    }
    assert!(bench.node.files().iter().all(|file| !file.contains("-seed")), "{:?}", bench.node.files());
    // A record from before this was written down.
    let old = bench.vm("old").await;
    let mut record = serde_json::to_value(&*bench.engine.snapshot().vms[&old].record.clone().unwrap()).unwrap();
    assert!(record.as_object_mut().unwrap().remove("has_seed").is_some());
    assert!(serde_json::from_value::<crate::model::VmRecord>(record).unwrap().has_seed, "it may have one");
}

#[tokio::test]
async fn a_second_change_of_a_busy_vm_is_refused_and_a_forced_stop_cuts_a_graceful_one_short() {
    let bench = bench().await;
    let vm = bench.vm("deaf").await;
    bench.node.set_heeds_requests(vm, false);
    let graceful = bench.engine.submit(request(stop(vm, false, Some(600)))).await.unwrap();
    bench.wait_for_status(vm, VmStatus::Stopping).await;
    assert_eq!(code(bench.engine.submit(request(ChangeInput::PauseVm(VmOnlyInput { vm_uuid: vm }))).await), ErrorCode::VmBusy);
    assert_eq!(bench.run(stop(vm, true, None)).await.unwrap().status, JobStatus::Succeeded);
    let graceful = bench.engine.wait_for_job(graceful.job.job_uuid, SOON).await.unwrap();
    assert_eq!(graceful.status, JobStatus::Canceled);
    assert_eq!(bench.status(vm), Some(VmStatus::Stopped));
}

#[tokio::test]
async fn a_guest_that_does_not_answer_is_switched_off_after_its_time() {
    let bench = bench().await;
    let vm = bench.vm("deaf").await;
    bench.node.set_heeds_requests(vm, false);
    assert_eq!(bench.run(stop(vm, false, Some(1))).await.unwrap().status, JobStatus::Succeeded);
    assert_eq!(bench.status(vm), Some(VmStatus::Stopped));
}

#[tokio::test]
async fn many_requests_for_one_vm_at_the_same_time_give_one_job_and_busy_for_the_rest() {
    let bench = bench().await;
    let vm = bench.vm("popular").await;
    let stops = (0..50).map(|_| bench.engine.submit(request(stop(vm, true, None))));
    let results = futures_util::future::join_all(stops).await;
    let accepted = results.iter().filter(|r| r.is_ok()).count();
    assert!(accepted >= 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert!(matches!(error.code(), ErrorCode::VmBusy | ErrorCode::VmStateNotAllowed), "{error}");
    }
    bench.wait_for_status(vm, VmStatus::Stopped).await;
}

#[tokio::test]
async fn of_many_vms_of_one_name_only_one_is_created() {
    let bench = bench().await;
    let image = bench.image().await;
    let creates = (0..20).map(|_| {
        let input = CreateVmInput { root: RootSource::Image(image), ..create_input("same") };
        bench.run(ChangeInput::CreateVm(Box::new(input)))
    });
    let results = futures_util::future::join_all(creates).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
    assert!(results.into_iter().filter_map(Result::err).all(|e| e.code() == ErrorCode::VmNameExist));
    assert_eq!(bench.node.domain_count(), 1);
}

#[tokio::test]
async fn vms_created_at_the_same_time_get_different_addresses() {
    let bench = bench().await;
    let image = bench.image().await;
    let creates = (0..20).map(|n| {
        let input = CreateVmInput { root: RootSource::Image(image), ..create_input(&format!("vm{n}")) };
        bench.run(ChangeInput::CreateVm(Box::new(input)))
    });
    futures_util::future::join_all(creates).await.into_iter().for_each(|r| assert!(r.is_ok()));
    let snapshot = bench.engine.snapshot();
    let nics: Vec<_> = snapshot.vms.values().filter_map(|vm| vm.record.as_ref()).flat_map(|r| r.nics.clone()).collect();
    let addresses: std::collections::BTreeSet<_> = nics.iter().map(|n| n.ip_address).collect();
    let macs: std::collections::BTreeSet<_> = nics.iter().map(|n| n.mac_address).collect();
    assert_eq!((addresses.len(), macs.len()), (20, 20));
}

#[tokio::test]
async fn the_addresses_of_a_deleted_vm_are_free_at_once_also_where_its_guest_had_a_lease() {
    let bench = bench().await;
    let network = *bench.engine.snapshot().networks.keys().next().unwrap();
    let (ip, mac) = ("192.168.122.77".parse().unwrap(), "52:54:00:77:77:77".parse().unwrap());
    let image = bench.image().await;
    let with = |vm_name: &str, mac_address| {
        let nics = Some(vec![NicInput { network_uuid: network, ip_address: Some(ip), mac_address }]);
        ChangeInput::CreateVm(Box::new(CreateVmInput { root: RootSource::Image(image), nics, ..create_input(vm_name) }))
    };
    for _ in 0..2 {
        let job = bench.run(with("again", Some(mac))).await.unwrap();
        assert_eq!(job.status, JobStatus::Succeeded, "{job:?}");
        observer::read_networks(&bench.engine.inner).await.unwrap();
        assert_eq!(code(bench.run(with("rival", None)).await), ErrorCode::AddressInvalid);
        bench.run(delete(job.resource.uuid)).await.unwrap();
        bench.engine.inner.world.update(|snapshot| {
            snapshot.leased_addresses.insert(mac, ip);
        });
    }
    assert_eq!(code(bench.run(with("other", None)).await), ErrorCode::AddressInvalid, "the lease is another interface's");
}

#[tokio::test]
async fn whatever_call_of_a_create_fails_nothing_is_left_of_it() {
    for method in ["ensure_reservation", "ensure_volume", "ensure_file", "ensure_defined", "ensure_started"] {
        for is_after in [false, true] {
            let bench = bench().await;
            let error = crate::fail!(Internal, "injected");
            let fault = if is_after { Fault::FailAfter(error) } else { Fault::FailBefore(error) };
            bench.faults.on(method, 1, fault);
            let seed = GuestSeed { password: Some("x".into()), ..GuestSeed::default() };
            let input = CreateVmInput { root: RootSource::Image(bench.image().await), seed, ..create_input("doomed") };
            let job = bench.run(ChangeInput::CreateVm(Box::new(input))).await.unwrap();
            assert_eq!(job.status, JobStatus::Failed, "{method}");
            bench.assert_no_vm_is_left();
        }
    }
}

#[tokio::test]
async fn a_disk_given_to_a_create_that_fails_is_afterwards_as_it_was() {
    let bench = bench().await;
    let vm_uuid = bench.vm("giver").await;
    let keep_disks = DeleteVmInput { vm_uuid, is_forced: true, is_deleting_volumes: false, keep_days: None };
    bench.run(ChangeInput::DeleteVm(keep_disks)).await.unwrap();
    let disk = || bench.engine.snapshot().volumes.values().next().cloned().unwrap();
    let before = disk();
    bench.faults.on("ensure_started", 1, Fault::FailBefore(crate::fail!(Internal, "injected")));
    let input = CreateVmInput { root: RootSource::Volume(before.volume_uuid), volumes: Vec::new(), ..create_input("doomed") };
    let job = bench.run(ChangeInput::CreateVm(Box::new(input))).await.unwrap();
    assert_eq!(job.status, JobStatus::Failed);
    let after = crate::model::Volume { update_time: before.update_time, ..disk().as_ref().clone() };
    assert_eq!(after, *before);
}

#[tokio::test]
async fn a_create_cut_off_by_a_crash_at_any_call_is_finished_after_the_restart() {
    for method in ["ensure_reservation", "ensure_volume", "ensure_defined", "ensure_started"] {
        for is_after in [false, true] {
            let bench = bench().await;
            let input = CreateVmInput { root: RootSource::Image(bench.image().await), ..create_input("phoenix") };
            bench.faults.on(method, 1, if is_after { Fault::CrashAfter } else { Fault::CrashBefore });
            let accepted = bench.engine.submit(request(ChangeInput::CreateVm(Box::new(input)))).await.unwrap();
            while !bench.faults.is_crashed() {
                tokio::task::yield_now().await;
            }
            let bench = bench.restart().await;
            let job = bench.engine.wait_for_job(accepted.job.job_uuid, SOON).await.unwrap();
            assert_eq!((job.status, job.is_after_restart), (JobStatus::Succeeded, true), "{method} {is_after}");
            assert_eq!(bench.status(job.resource.uuid), Some(VmStatus::Running));
        }
    }
}

#[tokio::test]
async fn a_create_that_told_cloud_init_secrets_is_undone_after_a_crash() {
    let bench = bench().await;
    let seed = GuestSeed { password: Some("secret".into()), ..GuestSeed::default() };
    let input = CreateVmInput { root: RootSource::Image(bench.image().await), seed, ..create_input("undone") };
    bench.faults.on("ensure_defined", 1, Fault::CrashAfter);
    let accepted = bench.engine.submit(request(ChangeInput::CreateVm(Box::new(input)))).await.unwrap();
    assert!(!accepted.job.input.to_string().contains("secret"));
    while !bench.faults.is_crashed() {
        tokio::task::yield_now().await;
    }
    let bench = bench.restart().await;
    let job = bench.engine.wait_for_job(accepted.job.job_uuid, SOON).await.unwrap();
    assert_eq!(job.status, JobStatus::Failed);
    bench.assert_no_vm_is_left();
}

#[tokio::test]
async fn running_vms_run_on_over_a_restart_and_are_managed_again() {
    let bench = bench().await;
    let vm = bench.vm("steady").await;
    let bench = bench.restart().await;
    assert_eq!(bench.status(vm), Some(VmStatus::Running));
    assert_eq!(bench.engine.snapshot().vms[&vm].management, Management::Managed);
    assert_eq!(bench.run(stop(vm, false, None)).await.unwrap().status, JobStatus::Succeeded);
}

#[tokio::test]
async fn a_lost_store_is_rebuilt_from_the_domains() {
    let bench = bench().await;
    let vm = bench.vm("survivor").await;
    bench.faults.crash();
    let faults = Faults::new();
    let bench = open(bench.node.clone(), FakeStore::new(faults.clone()), faults).await;
    let is_managed = bench.engine.wait_until(SOON, |s| s.vms.get(&vm).is_some_and(|vm| vm.management == Management::Managed)).await;
    assert!(is_managed);
    assert_eq!(bench.run(delete(vm)).await.unwrap().status, JobStatus::Succeeded);
    bench.assert_no_vm_is_left();
}

#[tokio::test]
async fn the_same_request_uuid_gives_the_same_job_and_another_body_is_refused() {
    let bench = bench().await;
    let image = bench.image().await;
    let input = CreateVmInput { root: RootSource::Image(image), ..create_input("once") };
    let mut first = request(ChangeInput::CreateVm(Box::new(input)));
    first.request_uuid = Some(Uuid::new_v4());
    first.request = json!({"vm_name": "once"});
    let both = futures_util::future::join(bench.engine.submit(first.clone()), bench.engine.submit(first.clone())).await;
    let (a, b) = (both.0.unwrap(), both.1.unwrap());
    assert_eq!(a.job.job_uuid, b.job.job_uuid);
    assert!(a.is_replay != b.is_replay);
    let other = ChangeRequest { request: json!({"vm_name": "twice"}), ..first };
    assert_eq!(code(bench.engine.submit(other).await), ErrorCode::RequestUuidReused);
}

#[tokio::test]
async fn what_the_guest_or_somebody_else_does_is_seen_with_its_reason() {
    let bench = bench().await;
    let vm = bench.vm("watched").await;
    let reason = |bench: &Bench| bench.engine.snapshot().vms[&vm].reason;
    assert_eq!(reason(&bench), StateReason::Requested);
    bench.run(stop(vm, true, None)).await.unwrap();
    assert_eq!(reason(&bench), StateReason::Requested);
    bench.run(ChangeInput::StartVm(VmOnlyInput { vm_uuid: vm })).await.unwrap();
    bench.node.power_off_guest(vm);
    bench.wait_for_status(vm, VmStatus::Stopped).await;
    assert_eq!(reason(&bench), StateReason::GuestShutdown);
    bench.run(ChangeInput::StartVm(VmOnlyInput { vm_uuid: vm })).await.unwrap();
    bench.node.kill_qemu(vm);
    bench.wait_for_status(vm, VmStatus::Crashed).await;
    assert_eq!(reason(&bench), StateReason::QemuDied);
    bench.run(ChangeInput::StartVm(VmOnlyInput { vm_uuid: vm })).await.unwrap();
    bench.node.panic_guest(vm);
    bench.wait_for_status(vm, VmStatus::Crashed).await;
    assert_eq!(reason(&bench), StateReason::GuestPanic);
    bench.node.remove_outside(vm);
    bench.wait_for_status(vm, VmStatus::Error).await;
    assert_eq!(reason(&bench), StateReason::DomainMissing);
    assert_eq!(bench.run(delete(vm)).await.unwrap().status, JobStatus::Succeeded);
    bench.assert_no_vm_is_left();
}

#[tokio::test]
async fn a_vm_of_somebody_else_is_shown_and_cannot_be_changed() {
    let bench = bench().await;
    let mine = bench.vm("mine").await;
    let mut foreign = bench.node.domain(mine).unwrap();
    foreign.vm_uuid = Uuid::new_v4();
    foreign.domain_name = "foreign".into();
    foreign.metadata = None;
    let uuid = foreign.vm_uuid;
    bench.node.define_outside(foreign);
    assert!(bench.engine.wait_until(SOON, |s| s.vms.contains_key(&uuid)).await);
    assert_eq!(bench.engine.snapshot().vms[&uuid].management, Management::Unmanaged);
    for change in [stop(uuid, true, None), delete(uuid), ChangeInput::StartVm(VmOnlyInput { vm_uuid: uuid })] {
        let error = bench.engine.submit(request(change)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::VmUnmanaged);
        assert!(error.message().contains("adopt it first") && error.message_cn().contains("请先纳管"), "{error}");
    }
}

#[tokio::test]
async fn while_libvirt_is_down_reads_go_on_as_stale_and_changes_are_refused() {
    let bench = bench().await;
    let vm = bench.vm("patient").await;
    bench.hypervisor.disconnect("test");
    assert!(bench.engine.wait_until(SOON, |s| s.vms[&vm].freshness == Freshness::Stale).await);
    assert_eq!(bench.status(vm), Some(VmStatus::Running));
    assert_eq!(code(bench.engine.submit(request(stop(vm, true, None))).await), ErrorCode::HypervisorUnavailable);
    bench.hypervisor.connect();
    assert!(bench.engine.wait_until_ready(SOON).await);
    assert_eq!(bench.run(stop(vm, true, None)).await.unwrap().status, JobStatus::Succeeded);
}

#[tokio::test]
async fn a_store_that_cannot_write_refuses_the_change_and_the_picture_is_as_before() {
    let bench = bench().await;
    let image = bench.image().await;
    bench.faults.on_every("commit", Fault::FailBefore(crate::fail!(StoreFailed, "injected")));
    let input = CreateVmInput { root: RootSource::Image(image), ..create_input("unwritten") };
    assert_eq!(code(bench.engine.submit(request(ChangeInput::CreateVm(Box::new(input)))).await), ErrorCode::StoreFailed);
    bench.faults.clear();
    bench.assert_no_vm_is_left();
    assert_eq!(bench.create("unwritten").await.unwrap().status, JobStatus::Succeeded);
}

#[tokio::test]
async fn an_image_that_a_disk_depends_on_cannot_be_deleted() {
    let bench = bench().await;
    let vm = bench.vm("child").await;
    let image = bench.engine.snapshot().vms[&vm].record.clone().unwrap().image.clone().unwrap().uuid;
    let delete_image = || ChangeInput::DeleteImage(DeleteImageInput { image_uuid: image });
    assert_eq!(code(bench.run(delete_image()).await), ErrorCode::ImageInUse);
    bench.run(delete(vm)).await.unwrap();
    assert_eq!(bench.run(delete_image()).await.unwrap().status, JobStatus::Succeeded);
    assert!(bench.node.files().is_empty());
}

#[tokio::test]
async fn data_disks_outlive_a_vm_unless_they_are_to_go_with_it() {
    let bench = bench().await;
    let vm = bench.vm("owner").await;
    let keep = ChangeInput::DeleteVm(DeleteVmInput { vm_uuid: vm, is_forced: false, is_deleting_volumes: false, keep_days: None });
    assert_eq!(bench.run(keep).await.unwrap().status, JobStatus::Succeeded);
    let volumes: Vec<_> = bench.engine.snapshot().volumes.values().cloned().collect();
    assert_eq!(volumes.len(), 1);
    assert_eq!((volumes[0].status, volumes[0].vm_uuid), (VolumeStatus::Available, None));
    let volume_uuid = volumes[0].volume_uuid;
    bench.run(ChangeInput::DeleteVolume(DeleteVolumeInput { volume_uuid })).await.unwrap();
    bench.assert_no_vm_is_left();
}

#[tokio::test]
async fn a_root_disk_that_was_given_to_a_vm_outlives_it_like_a_data_disk() {
    let bench = bench().await;
    let vm = bench.vm("web").await;
    let keep = |vm_uuid| ChangeInput::DeleteVm(DeleteVmInput { vm_uuid, is_forced: true, is_deleting_volumes: false, keep_days: None });
    bench.run(keep(vm)).await.unwrap();
    let disk = *bench.engine.snapshot().volumes.keys().next().unwrap();
    for vm_name in ["first", "second"] {
        let input = CreateVmInput { root: RootSource::Volume(disk), volumes: Vec::new(), ..create_input(vm_name) };
        let job = bench.run(ChangeInput::CreateVm(Box::new(input))).await.unwrap();
        assert_eq!(job.status, JobStatus::Succeeded, "{job:?}");
        assert!(bench.engine.snapshot().volumes[&disk].is_root);
        bench.run(keep(job.resource.uuid)).await.unwrap();
        let volume = bench.engine.snapshot().volumes[&disk].clone();
        assert_eq!((volume.status, volume.is_root), (VolumeStatus::Available, false));
    }
    let given = CreateVmInput { root: RootSource::Volume(disk), volumes: Vec::new(), ..create_input("third") };
    let job = bench.run(ChangeInput::CreateVm(Box::new(given))).await.unwrap();
    bench.run(delete(job.resource.uuid)).await.unwrap();
    bench.assert_no_vm_is_left();
}

#[tokio::test]
async fn a_refusal_because_of_the_state_says_which_one_is_needed() {
    let bench = bench().await;
    let vm = bench.vm("web").await;
    let error = bench.engine.submit(request(ChangeInput::StartVm(VmOnlyInput { vm_uuid: vm }))).await.unwrap_err();
    assert_eq!(error.message(), "Vm state not allowed: running; start_vm needs stopped or suspended or crashed");
    assert_eq!(error.message_cn(), "虚拟机状态不允许: 运行中；start_vm 要求已停止或已挂起或已崩溃");
}

#[tokio::test]
async fn a_locked_vm_refuses_stop_and_delete_until_it_is_unlocked() {
    let bench = bench().await;
    let vm = bench.vm("safe").await;
    let lock = |locked| ChangeInput::UpdateVm(UpdateVmInput { vm_uuid: vm, locked: Some(locked), ..UpdateVmInput::default() });
    bench.run(lock(true)).await.unwrap();
    assert_eq!(code(bench.run(delete(vm)).await), ErrorCode::VmLocked);
    assert_eq!(code(bench.run(stop(vm, true, None)).await), ErrorCode::VmLocked);
    bench.run(lock(false)).await.unwrap();
    assert_eq!(bench.run(delete(vm)).await.unwrap().status, JobStatus::Succeeded);
}

#[tokio::test]
async fn a_vm_that_does_not_fit_is_refused_with_what_is_free() {
    let bench = bench().await;
    let image = bench.image().await;
    let shape = Shape::Custom { cpu_cores: 1, memory_bytes: 1 << 40 };
    let input = CreateVmInput { root: RootSource::Image(image), shape, ..create_input("giant") };
    let error = bench.run(ChangeInput::CreateVm(Box::new(input))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::HostInsufficient);
    assert!(error.message().contains("are free"), "{error}");
}

#[tokio::test]
async fn every_request_stands_in_the_operation_log_the_refused_ones_too() {
    let bench = bench().await;
    let vm = bench.vm("logged").await;
    let _ = bench.run(ChangeInput::ResumeVm(VmOnlyInput { vm_uuid: Uuid::new_v4() })).await;
    let reader = ChangeRequest { caller: Caller { role: Role::Reader, ..caller() }, ..request(delete(vm)) };
    assert_eq!(code(bench.engine.submit(reader).await), ErrorCode::PermissionDenied);
    let page = Page { offset: 0, limit: 100, order: SortOrder::Ascending };
    let rows = bench.engine.list_operations(OperationFilter::default(), page).await.unwrap().rows;
    let codes: Vec<_> = rows.iter().map(|o| o.error.as_ref().map(|e| e.code)).collect();
    assert_eq!(codes, [None, None, Some(ErrorCode::VmNotExist), Some(ErrorCode::PermissionDenied)]);
    assert!(rows.iter().all(|o| o.finish_time.is_some()));
    assert_eq!(rows[3].resource_name, "logged", "a refused request that names no name is logged with the stored one");
}

#[tokio::test]
async fn a_change_costs_two_durable_commits() {
    let bench = bench().await;
    let vm = bench.vm("cheap").await;
    let (durable_before, _) = bench.store.commit_counts();
    bench.run(stop(vm, true, None)).await.unwrap();
    let (durable_after, _) = bench.store.commit_counts();
    assert_eq!(durable_after - durable_before, 2);
}

#[tokio::test]
async fn a_job_that_waits_for_a_guest_can_be_canceled_and_an_ended_one_cannot() {
    let bench = bench().await;
    let vm = bench.vm("waits").await;
    bench.node.set_heeds_requests(vm, false);
    let accepted = bench.engine.submit(request(stop(vm, false, Some(600)))).await.unwrap();
    bench.wait_for_status(vm, VmStatus::Stopping).await;
    bench.engine.cancel_job(&caller(), accepted.job.job_uuid).await.unwrap();
    let job = bench.engine.wait_for_job(accepted.job.job_uuid, SOON).await.unwrap();
    assert_eq!(job.status, JobStatus::Canceled);
    assert_eq!(bench.status(vm), Some(VmStatus::Running));
    assert_eq!(code(bench.engine.cancel_job(&caller(), job.job_uuid).await), ErrorCode::JobNotCancelable);
    let page = Page { offset: 0, limit: 100, order: SortOrder::Descending };
    let filter = JobFilter { status: vec![JobStatus::Canceled], ..JobFilter::default() };
    assert_eq!(bench.engine.list_jobs(filter, page).await.unwrap().total_count, 1);
}

#[tokio::test]
async fn a_delete_is_canceled_before_its_first_step_or_never() {
    let bench = bench().await;
    let vm = bench.vm("kept").await;
    bench.faults.on("request_shutdown", 1, Fault::HoldBefore);
    bench.engine.submit(request(stop(vm, false, Some(600)))).await.unwrap();
    bench.faults.wait_for_calls("request_shutdown", 1).await;
    // Its turn comes when the stop has ended; until then it waits.
    let waiting = bench.engine.submit(request(delete(vm))).await.unwrap().job.job_uuid;
    bench.engine.cancel_job(&caller(), waiting).await.unwrap();
    bench.faults.release();
    let job = bench.engine.wait_for_job(waiting, SOON).await.unwrap();
    assert_eq!((job.status, job.steps.len()), (JobStatus::Canceled, 0));
    assert_eq!(bench.status(vm), Some(VmStatus::Running));
    // And one that has begun goes through.
    bench.faults.on("ensure_undefined", 1, Fault::HoldBefore);
    let begun = bench.engine.submit(request(delete(vm))).await.unwrap().job.job_uuid;
    bench.faults.wait_for_calls("ensure_undefined", 1).await;
    assert_eq!(code(bench.engine.cancel_job(&caller(), begun).await), ErrorCode::JobNotCancelable);
    bench.faults.release();
    assert_eq!(bench.engine.wait_for_job(begun, SOON).await.unwrap().status, JobStatus::Succeeded);
    assert_eq!(bench.status(vm), None);
}

#[tokio::test]
async fn a_delete_of_an_image_that_is_canceled_leaves_what_the_import_left() {
    for import_ends_well in [false, true] {
        let bench = bench().await;
        let hold = if import_ends_well { Fault::HoldAfter } else { Fault::HoldBefore };
        bench.faults.on("fetch", 1, hold);
        let job = bench.engine.submit(request(import())).await.unwrap().job;
        bench.faults.wait_for_calls("fetch", 1).await;
        let delete = ChangeInput::DeleteImage(DeleteImageInput { image_uuid: job.resource.uuid });
        let waiting = bench.engine.submit(request(delete)).await.unwrap().job.job_uuid;
        bench.engine.cancel_job(&caller(), waiting).await.unwrap();
        bench.faults.release();
        assert_eq!(bench.engine.wait_for_job(waiting, SOON).await.unwrap().status, JobStatus::Canceled);
        let left = bench.engine.snapshot().images.get(&job.resource.uuid).map(|image| image.status);
        let import = bench.engine.wait_for_job(job.job_uuid, SOON).await.unwrap().status;
        let expected = (import == JobStatus::Succeeded).then_some(ImageStatus::Ready);
        assert_eq!(left, expected, "the import {import:?}");
    }
}

#[tokio::test]
async fn a_canceled_delete_leaves_a_vm_that_should_run() {
    for keep_days in [None, Some(3)] {
        let bench = bench().await;
        let vm = bench.vm("kept").await;
        bench.faults.on("request_shutdown", 1, Fault::HoldBefore);
        bench.engine.submit(request(stop(vm, false, Some(600)))).await.unwrap();
        bench.faults.wait_for_calls("request_shutdown", 1).await;
        let delete = DeleteVmInput { vm_uuid: vm, is_forced: true, is_deleting_volumes: true, keep_days };
        let waiting = bench.engine.submit(request(ChangeInput::DeleteVm(delete))).await.unwrap().job.job_uuid;
        bench.engine.cancel_job(&caller(), waiting).await.unwrap();
        bench.faults.release();
        bench.engine.wait_for_job(waiting, SOON).await.unwrap();
        let record = bench.engine.snapshot().vms[&vm].record.clone().unwrap();
        assert_eq!((record.phase, record.desired_power, record.error.is_none()), (VmPhase::Ready, DesiredPower::On, true));
    }
}

#[tokio::test]
async fn a_specification_cannot_go_while_a_vm_is_being_resized_to_it() {
    let bench = bench().await;
    let vm = bench.vm("grows").await;
    bench.run(stop(vm, true, None)).await.unwrap();
    let specification = CreateSpecificationInput {
        specification_uuid: None,
        specification_name: "large".into(),
        description: String::new(),
        cpu_cores: 2,
        memory_bytes: 256 << 20,
        storage_bytes: 0,
    };
    let large = bench.run(ChangeInput::CreateSpecification(specification)).await.unwrap().resource.uuid;
    bench.faults.on("resize", 1, Fault::HoldBefore);
    let resize = ResizeVmInput { vm_uuid: vm, specification_uuid: Some(large), ..ResizeVmInput::default() };
    let resizing = bench.engine.submit(request(ChangeInput::ResizeVm(resize))).await.unwrap().job.job_uuid;
    bench.faults.wait_for_calls("resize", 1).await;
    let delete = || ChangeInput::DeleteSpecification(DeleteSpecificationInput { specification_uuid: large });
    assert_eq!(code(bench.run(delete()).await), ErrorCode::SpecificationInUse);
    bench.faults.release();
    assert_eq!(bench.engine.wait_for_job(resizing, SOON).await.unwrap().status, JobStatus::Succeeded);
    assert_eq!(code(bench.run(delete()).await), ErrorCode::SpecificationInUse);
}

#[tokio::test]
async fn a_shutdown_waits_for_running_jobs_and_refuses_new_ones() {
    let bench = bench().await;
    let vm = bench.vm("last").await;
    let accepted = bench.engine.submit(request(stop(vm, false, None))).await.unwrap();
    assert!(bench.engine.shutdown(SOON).await);
    assert_eq!(bench.engine.job(accepted.job.job_uuid).await.unwrap().status, JobStatus::Succeeded);
    assert_eq!(code(bench.engine.submit(request(delete(vm))).await), ErrorCode::ResourceBusy);
}

#[tokio::test]
async fn room_is_taken_by_a_vm_that_runs_and_given_back_by_one_that_is_off_or_gone() {
    let bench = bench().await;
    let promised = || bench.engine.snapshot().vms.promised();
    let (vm, nothing) = (bench.vm("guest").await, crate::model::Promised::default());
    let running = promised();
    assert!(running.cpu_cores() > 0 && running.memory_bytes() > 0);
    bench.run(stop(vm, true, None)).await.unwrap();
    assert_eq!(promised(), nothing);
    bench.run(ChangeInput::StartVm(VmOnlyInput { vm_uuid: vm })).await.unwrap();
    assert_eq!(promised(), running);
    bench.run(stop(vm, true, None)).await.unwrap();
    assert_eq!(promised(), nothing);
}

#[tokio::test]
async fn what_is_read_again_as_it_was_stays_where_it_lies_in_memory() {
    let bench = bench().await;
    let vm = bench.vm("same").await;
    let observed = || bench.engine.snapshot().vms[&vm].observed.clone().unwrap();
    crate::engine::observer::refresh(&bench.engine.inner, vm).await;
    let before = observed();
    crate::engine::observer::refresh(&bench.engine.inner, vm).await;
    assert!(Arc::ptr_eq(&before, &observed()));
}
