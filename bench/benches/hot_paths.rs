//! What the hot paths cost alone: encoding, decoding, the picture of the node, definitions. `cargo bench -p hvnode-bench`.
#![allow(clippy::unwrap_used, reason = "a tool for developers")]

use axum::body::Body;
use divan::Bencher;
use http_body_util::BodyExt;
use hvnode_api::accounts::{Accounts, AccountsConfig};
use hvnode_api::context::{ApiContext, NodeIdentity, Peer, RequestId, TrustedPeer};
use hvnode_api::dialect::native::{NativeOptions, routes};
use hvnode_api::frame::{Routes, routes_of};
use hvnode_api::metrics::{Metrics, router as metrics_router};
use hvnode_api::records::Records;
use hvnode_core::engine::{ChangeRequest, Engine, EngineConfig, EnginePorts};
use hvnode_core::fake::{FakeHistory, FakeHypervisor, FakeImageTransfer, FakeNode, FakeProbe, FakeStore, Faults, NodeOptions};
use hvnode_core::model::{BootSource, Caller, HostSettings, ImageFormat, PowerState, Role, VmStatus};
use hvnode_core::port::{Clock, DomainSpec, SystemClock};
use hvnode_core::verb::{ChangeInput, CreateImageInput, CreateVmInput, GuestSeed, ImageSource, RootSource, Shape, domain_spec};
use hvnode_libvirt::micro_benchmarks::{Record, domain_xml, read_domain_xml};
use serde_json::json;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use uuid::Uuid;

fn main() {
    divan::main();
}

const SOON: Duration = Duration::from_secs(60);

/// A node in memory with VMs on it.
struct Node {
    runtime: Runtime,
    world: FakeNode,
    engine: Engine,
    native: Arc<dyn Routes>,
    metrics: Arc<dyn Routes>,
    vms: Vec<Uuid>,
}

impl Node {
    fn with_vms(count: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (world, engine, native, metrics, vms) = runtime.block_on(async {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let world = FakeNode::new(NodeOptions::default(), clock.clone());
            let store = FakeStore::new(Faults::new());
            let ports = EnginePorts {
                hypervisor: FakeHypervisor::new(world.clone(), Faults::new()),
                store: store.clone(),
                images: FakeImageTransfer::new(world.clone(), Faults::new()),
                probe: Arc::new(FakeProbe::new(&NodeOptions::default(), clock.clone(), Faults::new())),
                history: FakeHistory::new(Faults::new()),
                clock: clock.clone(),
            };
            let host = HostSettings { description: String::new(), cpu_ratio: 1000.0, memory_ratio: 100.0, reserved_memory_bytes: 0 };
            let config = EngineConfig { host, ..EngineConfig::default() };
            let engine = Engine::start(config, ports, Default::default()).await.unwrap();
            assert!(engine.wait_until_ready(SOON).await);
            let image = change(&engine, ChangeInput::CreateImage(image())).await;
            let mut vms = Vec::new();
            for number in 0..count {
                vms.push(change(&engine, ChangeInput::CreateVm(Box::new(vm(number, image)))).await);
            }
            let records = Records::start(store.clone(), Vec::new(), clock.clone());
            let accounts = Accounts::start(store, Vec::new(), Vec::new(), AccountsConfig::default(), clock).unwrap();
            let node = Arc::new(NodeIdentity { ip_address: "192.0.2.1".into(), process_id: 42, program: "hvnoded".into() });
            let context = ApiContext { records, engine: engine.clone(), accounts, node, body_bytes_max: 1 << 20 };
            let (snapshot, readings) = (engine.clone(), engine.clone());
            let metrics =
                metrics_router(Metrics::new("0").unwrap(), Arc::new(move || snapshot.snapshot()), Arc::new(move || readings.readings()));
            (world, engine, routes(context, NativeOptions::default()), routes_of(metrics), vms)
        });
        Self { runtime, world, engine, native, metrics, vms }
    }

    /// The whole path of a request but the socket.
    fn get(&self, routes: &Arc<dyn Routes>, path: &str) -> usize {
        let mut request = http::Request::get(path).body(Body::empty()).unwrap();
        let root = TrustedPeer { user_name: "root".to_owned(), role: Role::Admin };
        request.extensions_mut().insert(Peer { trusted: Some(root), ..Peer::at("unix") });
        request.extensions_mut().insert(RequestId("request".to_owned()));
        self.runtime.block_on(async {
            let response = routes.answer(request).await;
            response.into_body().collect().await.unwrap().to_bytes().len()
        })
    }

    fn spec(&self) -> DomainSpec {
        let snapshot = self.engine.snapshot();
        domain_spec(snapshot.vms[&self.vms[0]].record.as_ref().unwrap(), &snapshot)
    }
}

async fn change(engine: &Engine, change: ChangeInput) -> Uuid {
    let caller = Caller { role: Role::Operator, dialect: "bench".into(), ..Caller::system() };
    let request = ChangeRequest { caller, change, request_uuid: None, action: "/bench".into(), resource_name: None, request: json!({}) };
    let job_uuid = engine.submit(request).await.unwrap().job.job_uuid;
    let job = engine.wait_for_job(job_uuid, SOON).await.unwrap();
    assert!(job.error.is_none(), "{job:?}");
    job.resource.uuid
}

fn image() -> CreateImageInput {
    CreateImageInput {
        image_uuid: None,
        image_name: "disk".into(),
        description: String::new(),
        source: ImageSource::Url("file:///simulated/disk.qcow2".into()),
        format: ImageFormat::Qcow2,
        checksum: String::new(),
        firmware: None,
        os_type: String::new(),
        os_version: String::new(),
        architecture: None,
    }
}

fn vm(number: usize, image: Uuid) -> CreateVmInput {
    CreateVmInput {
        vm_uuid: None,
        vm_name: format!("vm-{number:05}"),
        description: String::new(),
        shape: Shape::Custom { cpu_cores: 1, memory_bytes: 64 << 20 },
        root: RootSource::Image(image),
        root_storage_bytes: None,
        nics: Some(Vec::new()),
        volumes: Vec::new(),
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

/// One VM, encoded, with the envelope around it.
#[divan::bench]
fn answer_one_vm(bencher: Bencher<'_, '_>) {
    let node = Node::with_vms(100);
    let path = format!("/v1/vm/inspect?vm_uuid={}", node.vms[7]);
    bencher.bench_local(|| node.get(&node.native, &path));
}

/// A list that was encoded before.
#[divan::bench(args = [100, 1000])]
fn answer_list_from_the_cache(bencher: Bencher<'_, '_>, count: usize) {
    let node = Node::with_vms(count);
    bencher.bench_local(|| node.get(&node.native, "/v1/vm/list?page_size=0"));
}

/// A list that must be encoded: each query is new.
#[divan::bench(args = [100, 1000])]
fn answer_list_encoded_anew(bencher: Bencher<'_, '_>, count: usize) {
    let node = Node::with_vms(count);
    let number = Cell::new(0_u64);
    bencher.bench_local(|| {
        number.set(number.get() + 1);
        // Leading zeros make it another query of the same meaning.
        let zeros = "0".repeat(usize::try_from(number.get() % 200).unwrap());
        node.get(
            &node.native,
            &format!("/v1/vm/list?page_size={zeros}0&page_number={}1", "0".repeat(usize::try_from(number.get() / 200).unwrap())),
        )
    });
}

/// The page of metrics.
#[divan::bench(args = [100, 1000])]
fn answer_metrics(bencher: Bencher<'_, '_>, count: usize) {
    let node = Node::with_vms(count);
    bencher.bench_local(|| node.get(&node.metrics, "/metrics"));
}

/// libvirt reports a change of one of a thousand VMs, until readers see it.
#[divan::bench]
fn update_the_inventory(bencher: Bencher<'_, '_>) {
    let node = Node::with_vms(1000);
    let vm_uuid = node.vms[500];
    let is_running = Cell::new(true);
    bencher.bench_local(|| {
        is_running.set(!is_running.get());
        let (power, status) =
            if is_running.get() { (PowerState::Running, VmStatus::Running) } else { (PowerState::Paused, VmStatus::Paused) };
        node.world.change_outside(vm_uuid, |observed| observed.power = power);
        let seen = node.engine.wait_until(SOON, move |snapshot| snapshot.vms[&vm_uuid].status == status);
        assert!(node.runtime.block_on(seen));
    });
}

/// libvirt's record of one VM becomes a sample.
#[divan::bench]
fn decode_statistics(bencher: Bencher<'_, '_>) {
    let record = Record::from_lines(RECORD);
    bencher.bench_local(|| record.decode());
}

/// A definition is written.
#[divan::bench]
fn build_a_definition(bencher: Bencher<'_, '_>) {
    let mut spec = Node::with_vms(1).spec();
    spec.boot = BootSource::Disk;
    bencher.bench_local(|| domain_xml(&spec).unwrap());
}

/// A definition is read.
#[divan::bench]
fn read_a_definition(bencher: Bencher<'_, '_>) {
    let xml = domain_xml(&Node::with_vms(1).spec()).unwrap();
    bencher.bench_local(|| read_domain_xml(&xml).unwrap());
}

const RECORD: &str = "state.state=1
    state.reason=1
    cpu.time=412235328
    cpu.user=190000000
    cpu.system=210000000
    balloon.current=65536
    balloon.maximum=131072
    balloon.last-update=1790000000
    balloon.rss=50860
    balloon.available=50000
    balloon.unused=30000
    balloon.usable=40000
    balloon.swap_in=0
    balloon.swap_out=1
    balloon.major_fault=12
    balloon.minor_fault=345
    vcpu.current=2
    vcpu.maximum=2
    vcpu.0.state=1
    vcpu.0.time=170000000
    vcpu.0.wait=0
    vcpu.0.delay=333899522
    vcpu.1.state=1
    vcpu.1.time=150000000
    vcpu.1.wait=0
    vcpu.1.delay=233899522
    net.count=1
    net.0.name=vnet2
    net.0.rx.bytes=90
    net.0.rx.pkts=1
    net.0.rx.errs=0
    net.0.rx.drop=0
    net.0.tx.bytes=190
    net.0.tx.pkts=3
    net.0.tx.errs=0
    net.0.tx.drop=0
    block.count=1
    block.0.name=vda
    block.0.path=/var/lib/hvnode/volumes/disk.qcow2
    block.0.rd.reqs=1
    block.0.rd.bytes=512
    block.0.rd.times=24266
    block.0.wr.reqs=2
    block.0.wr.bytes=1024
    block.0.wr.times=99
    block.0.fl.reqs=3
    block.0.fl.times=77
    block.0.allocation=0
    block.0.capacity=67108864
    block.0.physical=200704";
