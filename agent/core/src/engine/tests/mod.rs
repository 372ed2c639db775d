//! The engine on the fake world: what a request does, what a failure leaves, what a restart takes up.

mod behaviour;
mod events;
mod faults;
mod outage;
mod overload;
mod reasons;
mod resize;
mod uploads;

use super::*;
use crate::ErrorCode;
use crate::fake::{FakeHistory, FakeHypervisor, FakeImageTransfer, FakeNode, FakeProbe, FakeStore, Faults, NodeOptions};
use crate::model::{Caller, ImageFormat, JobStatus, Role, VmStatus};
use crate::port::SystemClock;
use crate::verb::*;
use serde_json::json;
use std::collections::BTreeMap;

const SOON: Duration = Duration::from_secs(10);

/// A node whose daemon can be restarted.
struct Bench {
    node: FakeNode,
    store: Arc<FakeStore>,
    faults: Faults,
    hypervisor: Arc<FakeHypervisor>,
    engine: Engine,
}

fn config() -> EngineConfig {
    let policy = PolicySettings {
        resume_pauses: (Duration::from_millis(20), Duration::from_millis(100)),
        restart_pauses: (Duration::from_millis(20), Duration::from_millis(100)),
        ..PolicySettings::default()
    };
    EngineConfig { hypervisor_patience: Duration::from_millis(300), policy, ..EngineConfig::default() }
}

async fn open(node: FakeNode, store: Arc<FakeStore>, faults: Faults) -> Bench {
    open_with(config(), node, store, faults).await
}

async fn open_with(config: EngineConfig, node: FakeNode, store: Arc<FakeStore>, faults: Faults) -> Bench {
    open_booted(config, node, store, faults, None).await
}

/// On a host that booted then; an hour ago without that.
async fn open_booted(config: EngineConfig, node: FakeNode, store: Arc<FakeStore>, faults: Faults, boot_time: Option<Timestamp>) -> Bench {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let hypervisor = FakeHypervisor::new(node.clone(), faults.clone());
    let probe = FakeProbe::new(&NodeOptions::default(), clock.clone(), Faults::new());
    let probe = match boot_time {
        Some(time) => probe.booted_at(time),
        None => probe,
    };
    let ports = EnginePorts {
        hypervisor: hypervisor.clone(),
        store: store.clone(),
        images: FakeImageTransfer::new(node.clone(), faults.clone()),
        probe: Arc::new(probe),
        history: FakeHistory::new(faults.clone()),
        clock,
    };
    let stored = store.load().await.unwrap();
    let engine = Engine::start(config, ports, stored).await.unwrap();
    Bench { node, store, faults, hypervisor, engine }
}

async fn bench() -> Bench {
    let node = FakeNode::new(NodeOptions::default(), Arc::new(SystemClock));
    let faults = Faults::new();
    let bench = open(node, FakeStore::new(faults.clone()), faults).await;
    assert!(bench.engine.wait_until_ready(SOON).await);
    bench
}

fn caller() -> Caller {
    Caller { role: Role::Operator, dialect: "test".into(), ..Caller::system() }
}

fn request(change: ChangeInput) -> ChangeRequest {
    ChangeRequest { caller: caller(), change, request_uuid: None, action: "/test".into(), resource_name: None, request: json!({}) }
}

fn create_input(vm_name: &str) -> CreateVmInput {
    CreateVmInput {
        vm_uuid: None,
        vm_name: vm_name.into(),
        description: String::new(),
        shape: Shape::Custom { cpu_cores: 1, memory_bytes: 256 << 20 },
        root: RootSource::Image(Uuid::nil()),
        root_storage_bytes: None,
        nics: None,
        volumes: vec![NewVolumeInput { volume_name: String::new(), storage_bytes: 1 << 30 }],
        firmware: None,
        architecture: None,
        auto_start: false,
        restart_on_crash: false,
        is_started: true,
        tenant_uuid: None,
        metadata: BTreeMap::new(),
        seed: GuestSeed::default(),
    }
}

impl Bench {
    async fn run(&self, change: ChangeInput) -> Result<Arc<Job>> {
        let accepted = self.engine.submit(request(change)).await?;
        let job = self.engine.wait_for_job(accepted.job.job_uuid, SOON).await?;
        assert!(job.status.is_ended(), "{job:?}");
        Ok(job)
    }

    async fn image(&self) -> Uuid {
        let job = self.run(import()).await.unwrap();
        assert_eq!(job.status, JobStatus::Succeeded, "{job:?}");
        job.resource.uuid
    }

    async fn create(&self, vm_name: &str) -> Result<Arc<Job>> {
        let input = CreateVmInput { root: RootSource::Image(self.image().await), ..create_input(vm_name) };
        self.run(ChangeInput::CreateVm(Box::new(input))).await
    }

    async fn vm(&self, vm_name: &str) -> Uuid {
        let job = self.create(vm_name).await.unwrap();
        assert_eq!(job.status, JobStatus::Succeeded, "{job:?}");
        job.resource.uuid
    }

    fn status(&self, vm_uuid: Uuid) -> Option<VmStatus> {
        self.engine.snapshot().vms.get(&vm_uuid).map(|vm| vm.status)
    }

    async fn wait_for_status(&self, vm_uuid: Uuid, status: VmStatus) {
        let is_so = self.engine.wait_until(SOON, |s| s.vms.get(&vm_uuid).is_some_and(|vm| vm.status == status)).await;
        assert!(is_so, "{:?} instead of {status:?}", self.status(vm_uuid));
    }

    /// Nothing of any VM is left: no domain, no record, no disk, no reservation. Image files may be there.
    fn assert_no_vm_is_left(&self) {
        assert_eq!(self.node.domain_count(), 0);
        assert!(self.node.reservations().is_empty());
        let left: Vec<_> = self.node.files().into_iter().filter(|f| !f.contains("/images/")).collect();
        assert!(left.is_empty(), "{left:?}");
        let snapshot = self.engine.snapshot();
        assert!(snapshot.vms.is_empty() && snapshot.volumes.is_empty() && snapshot.open_jobs.is_empty());
    }

    /// The daemon dies and another one starts on the same world.
    async fn restart(self) -> Bench {
        self.faults.crash();
        let faults = Faults::new();
        let store = self.store.reopen(faults.clone());
        let bench = open(self.node, store, faults).await;
        assert!(bench.engine.wait_until_ready(SOON).await);
        bench
    }
}

/// An import of an image with a name of its own.
fn import() -> ChangeInput {
    ChangeInput::CreateImage(CreateImageInput {
        image_uuid: None,
        image_name: format!("image-{}", Uuid::new_v4()),
        description: String::new(),
        source: ImageSource::Url("http://images.test/a.qcow2".into()),
        format: ImageFormat::Qcow2,
        checksum: String::new(),
        firmware: None,
        os_type: String::new(),
        os_version: String::new(),
        architecture: None,
    })
}

fn stop(vm_uuid: Uuid, is_forced: bool, timeout_seconds: Option<u32>) -> ChangeInput {
    ChangeInput::StopVm(StopVmInput { vm_uuid, is_forced, timeout_seconds })
}

fn delete(vm_uuid: Uuid) -> ChangeInput {
    ChangeInput::DeleteVm(DeleteVmInput { vm_uuid, is_forced: true, is_deleting_volumes: true, keep_days: None })
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> ErrorCode {
    result.unwrap_err().code()
}
