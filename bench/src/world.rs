//! The engine itself over a simulated world that outlives it: commits per change, a storm of events, a reconnection.

use crate::report::{Row, Samples, Target};
use crate::{Outcome, Settings};
use hvnode_core::engine::{ChangeRequest, Engine, EngineConfig, EnginePorts};
use hvnode_core::fake::{FakeHypervisor, FakeImageTransfer, FakeNode, Faults, NodeOptions};
use hvnode_core::model::{Caller, ConnectionState, Event, HostSettings, ImageFormat, JobStatus, Role, Timestamp, VmStatus};
use hvnode_core::port::{Clock, Durability, Store, SystemClock, Write};
use hvnode_core::verb::{
    ChangeInput, CreateImageInput, CreateVmInput, GuestSeed, ImageSource, RootSource, Shape, StopVmInput, VmOnlyInput,
};
use hvnode_probe::ProcProbe;
use hvnode_store::{SqliteHistory, SqliteStore};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// VMs of the world.
const VMS: usize = 5000;
/// Changes that are made at the same time.
const CONCURRENT: usize = 64;
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

struct World {
    node: FakeNode,
    hypervisor: Arc<FakeHypervisor>,
    store: Arc<SqliteStore>,
    engine: Engine,
}

/// Every row of this group.
pub(crate) fn measure(settings: &Settings, rows: &mut Vec<Row>) -> Outcome<()> {
    let folder = settings.folder("world")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(run(settings, &folder, rows));
    runtime.shutdown_timeout(Duration::from_secs(5));
    outcome
}

async fn run(settings: &Settings, folder: &Path, rows: &mut Vec<Row>) -> Outcome<()> {
    let world = World::open(folder).await?;
    let image = world.change(import()).await?;
    let vms = world.create(image, VMS).await?;
    world.commits(&vms, rows).await?;
    world.flush(rows).await?;
    world.all_are(VmStatus::Running).await?;
    world.storm(settings, rows).await?;
    world.reconnect(settings, rows).await?;
    world.engine.shutdown(PATIENCE).await;
    Ok(())
}

fn import() -> ChangeInput {
    ChangeInput::CreateImage(CreateImageInput {
        image_name: "disk".into(),
        source: ImageSource::Url("file:///simulated/disk.qcow2".into()),
        format: ImageFormat::Qcow2,
        image_uuid: None,
        description: String::new(),
        checksum: String::new(),
        firmware: None,
        os_type: String::new(),
        os_version: String::new(),
        architecture: None,
    })
}

impl World {
    async fn open(folder: &Path) -> Outcome<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let node = FakeNode::new(NodeOptions::default(), clock.clone());
        let hypervisor = FakeHypervisor::new(node.clone(), Faults::new());
        let store = SqliteStore::open(folder.join("state.db"))?;
        let ports = EnginePorts {
            hypervisor: hypervisor.clone(),
            store: store.clone(),
            images: FakeImageTransfer::new(node.clone(), Faults::new()),
            probe: Arc::new(ProcProbe::default()),
            history: SqliteHistory::open(folder.join("statistics.db")),
            clock,
        };
        let host = HostSettings { description: String::new(), cpu_ratio: 1000.0, memory_ratio: 100.0, reserved_memory_bytes: 0 };
        let mut config = EngineConfig { host, jobs_open_max: 2 * VMS, ..EngineConfig::default() };
        config.verb.storage_percent_max = 1_000_000;
        let engine = Engine::start(config, ports, store.load().await?).await?;
        if !engine.wait_until_ready(PATIENCE).await {
            return Err("the simulated node is not ready".into());
        }
        Ok(Self { node, hypervisor, store, engine })
    }

    /// Makes a change and waits for its end. Gives the uuid of what was changed.
    async fn change(&self, change: ChangeInput) -> Outcome<Uuid> {
        let caller = Caller { role: Role::Operator, dialect: "bench".into(), ..Caller::system() };
        let request =
            ChangeRequest { caller, change, request_uuid: None, action: "/bench".into(), resource_name: None, request: json!({}) };
        let job_uuid = self.engine.submit(request).await?.job.job_uuid;
        let job = self.engine.wait_for_job(job_uuid, PATIENCE).await?;
        if job.status == JobStatus::Succeeded { Ok(job.resource.uuid) } else { Err(format!("a job did not succeed: {job:?}").into()) }
    }

    /// Makes these changes, so many at a time.
    async fn change_all(self: &World, changes: Vec<ChangeInput>, at_once: usize) -> Outcome<Vec<Uuid>> {
        let queue = tokio::sync::Mutex::new(changes.into_iter());
        let work = || async {
            let mut uuids = Vec::new();
            loop {
                let Some(change) = queue.lock().await.next() else { return Ok::<_, crate::Failure>(uuids) };
                uuids.push(self.change(change).await?);
            }
        };
        let done = futures_util::future::try_join_all((0..at_once).map(|_| work())).await?;
        Ok(done.into_iter().flatten().collect())
    }

    async fn create(&self, image: Uuid, count: usize) -> Outcome<Vec<Uuid>> {
        let input = |number: usize| CreateVmInput {
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
        };
        let changes = (0..count).map(|number| ChangeInput::CreateVm(Box::new(input(number)))).collect();
        self.change_all(changes, CONCURRENT).await
    }

    /// Flushes to the disk per change, alone and with others.
    async fn commits(&self, vms: &[Uuid], rows: &mut Vec<Row>) -> Outcome<()> {
        const CHANGES: usize = 128;
        for (name, at_once, limit) in [("alone", 1, 2.0), ("64 at once", CONCURRENT, 2.0)] {
            let stops = vms[..CHANGES]
                .iter()
                .map(|vm_uuid| ChangeInput::StopVm(StopVmInput { vm_uuid: *vm_uuid, is_forced: true, timeout_seconds: None }));
            let starts = vms[..CHANGES].iter().map(|vm_uuid| ChangeInput::StartVm(VmOnlyInput { vm_uuid: *vm_uuid }));
            let before = self.store.statistics();
            self.change_all(stops.collect(), at_once).await?;
            self.change_all(starts.collect(), at_once).await?;
            let flushes = self.store.statistics().durable_flushes - before.durable_flushes;
            let row = Row::new(format!("durable commits per change, {name}"), "", Samples::one(flushes as f64 / (2 * CHANGES) as f64));
            rows.push(row.target(Target::AtMost(limit)).note("flushes of the database during starts and stops"));
        }
        Ok(())
    }

    /// What one durable commit costs on this disk: a change waits for two.
    async fn flush(&self, rows: &mut Vec<Row>) -> Outcome<()> {
        let mut times = Samples::default();
        for _ in 0..200 {
            let never = Timestamp(i64::MIN);
            let nothing = Write::Prune { jobs_before: never, operations_before: never, tokens_before: never, events_before: never };
            let start = Instant::now();
            let event = Write::PutEvent(Arc::new(self.last_event().await?));
            let read = start.elapsed();
            self.store.commit(vec![nothing, event], Durability::Durable).await?;
            times.push_milliseconds(start.elapsed().saturating_sub(read));
        }
        rows.push(Row::new("one durable commit on this disk", "ms", times).note("SQLite, WAL, FULL; a change waits for two"));
        Ok(())
    }

    /// An event to write once more.
    async fn last_event(&self) -> Outcome<Event> {
        let page = self.engine.events(self.engine.last_event_cursor().saturating_sub(1), 1, Duration::ZERO).await?;
        Ok(page.events.first().map(|event| Event::clone(event)).ok_or("no event yet")?)
    }

    async fn all_are(&self, status: VmStatus) -> Outcome<()> {
        let is_so = self.engine.wait_until(PATIENCE, |snapshot| snapshot.vms.values().all(|vm| vm.status == status)).await;
        if is_so { Ok(()) } else { Err(format!("not every VM became {status:?}").into()) }
    }

    /// Every guest powers itself off in the same moment: how long until the picture and the stream of events say so.
    async fn storm(&self, settings: &Settings, rows: &mut Vec<Row>) -> Outcome<()> {
        let (mut picture, mut stream) = (Samples::default(), Samples::default());
        for round in 0..if settings.is_quick { 1 } else { 5 } {
            let vm_uuids: Vec<Uuid> = self.engine.snapshot().vms.keys().copied().collect();
            let cursor = self.engine.last_event_cursor();
            let start = Instant::now();
            vm_uuids.iter().for_each(|vm_uuid| self.node.power_off_guest(*vm_uuid));
            self.all_are(VmStatus::Stopped).await?;
            picture.push_milliseconds(start.elapsed());
            self.read_events(cursor, vm_uuids.len()).await?;
            stream.push_milliseconds(start.elapsed());
            let starts = vm_uuids.into_iter().map(|vm_uuid| ChangeInput::StartVm(VmOnlyInput { vm_uuid })).collect();
            if round == 0 {
                let start = Instant::now();
                self.change_all(starts, CONCURRENT).await?;
                let rate = VMS as f64 / start.elapsed().as_secs_f64();
                rows.push(Row::new("starts through the engine, 64 at once", "1/s", Samples::one(rate)).note("simulated"));
            } else {
                self.change_all(starts, CONCURRENT).await?;
            }
        }
        let note = "all guests power off in one moment; simulated";
        rows.push(Row::new("storm of 5000 changes of state: picture", "ms", picture).target(Target::AtMost(10_000.0)).note(note));
        rows.push(Row::new("storm of 5000 changes of state: event stream", "ms", stream).target(Target::AtMost(10_000.0)).note(note));
        Ok(())
    }

    /// Reads the stream from `cursor` on until it had so many events.
    async fn read_events(&self, mut cursor: u64, count: usize) -> Outcome<()> {
        let (start, mut read) = (Instant::now(), 0);
        while read < count {
            if start.elapsed() > PATIENCE {
                return Err(format!("only {read} of {count} events came").into());
            }
            let page = self.engine.events(cursor, 1000, Duration::from_secs(1)).await?;
            read += page.events.len();
            cursor = page.next_cursor;
        }
        Ok(())
    }

    /// libvirt comes back: how long until everything was read again.
    async fn reconnect(&self, settings: &Settings, rows: &mut Vec<Row>) -> Outcome<()> {
        let mut times = Samples::default();
        for _ in 0..if settings.is_quick { 3 } else { 10 } {
            self.hypervisor.disconnect("cut by the bench");
            if !self.engine.wait_until(PATIENCE, |snapshot| matches!(snapshot.connection, ConnectionState::Down(_))).await {
                return Err("the lost connection was not seen".into());
            }
            let start = Instant::now();
            self.hypervisor.connect();
            if !self.engine.wait_until_ready(PATIENCE).await {
                return Err("the node did not reconnect".into());
            }
            times.push_milliseconds(start.elapsed());
        }
        rows.push(Row::new("reconnection with 5000 VMs: until all was read again", "ms", times).note("simulated"));
        Ok(())
    }
}
