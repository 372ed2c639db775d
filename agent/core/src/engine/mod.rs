//! The engine: takes changes, journals and runs them, keeps the picture that everybody reads.
//!
//! ```text
//!   dialect ─▶ submit ─▶ plan (pure) ─▶ one durable commit ─▶ lane of the resource ─▶ runner: steps, undo ─▶ one durable commit
//!                                            │                                             │
//!                                            ▼                                             ▼
//!   readers ◀───────────────────────────── World: the current Snapshot ◀──────── observer: libvirt's events and listings
//! ```
//! Tasks: one per resource while it has a job (`runner`), one observer, those of `statistics`, one for old rows (`housekeeping`).

mod accept;
mod api;
mod events;
mod housekeeping;
mod inventory;
mod observer;
mod policy;
mod queue;
mod rebuild;
mod recovery;
mod runner;
mod statistics;
#[cfg(test)]
mod tests;

pub use api::*;
pub use policy::PolicySettings;
pub use statistics::{History, HistoryQuery, POINTS_MAX, POINTS_OF_MANY_MAX, StatisticsSettings};

pub use crate::model::Snapshot;

use crate::model::{ConnectionState, HostSettings, Job, Timestamp, VmMap};
use crate::port::{Clock, Durability, HistoryStore, HostProbe, Hypervisor, ImageTransfer, Store, StoredState, Write};
use crate::verb::{VerbSettings, World};
use crate::{Result, at};
use parking_lot::Mutex;
use queue::Lanes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use uuid::Uuid;

/// How the engine behaves; the daemon fills it from its configuration.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Limits and defaults of verbs.
    pub verb: VerbSettings,
    /// The node's identity; libvirt's host uuid if absent, which some machines change with every start of libvirtd.
    pub host_uuid: Option<Uuid>,
    /// What the operator set, where the store has nothing newer.
    pub host: HostSettings,
    /// Most jobs that have not ended.
    pub jobs_open_max: usize,
    /// Most steps at a time that are heavy on disks.
    pub disk_steps_max: usize,
    /// Most steps at a time that boot a guest.
    pub start_steps_max: usize,
    /// How often everything is read from libvirt again, events or not.
    pub relist_interval: Duration,
    /// How often networks, leases and pools are read.
    pub network_interval: Duration,
    /// How usage is sampled and kept.
    pub statistics: StatisticsSettings,
    /// How long a repeated `request_uuid` gives the first answer.
    pub idempotency_window: Duration,
    /// How long ended jobs are kept.
    pub job_retention: Duration,
    /// How long operation rows are kept.
    pub operation_retention: Duration,
    /// How long events are kept.
    pub event_retention: Duration,
    /// What the node does by itself.
    pub policy: PolicySettings,
    /// How long a job waits in all for a libvirt that went away, and after that each step of its undo.
    pub hypervisor_patience: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            verb: VerbSettings::default(),
            host_uuid: None,
            host: HostSettings { description: String::new(), cpu_ratio: 8.0, memory_ratio: 1.0, reserved_memory_bytes: 512 << 20 },
            jobs_open_max: 1000,
            disk_steps_max: 4,
            start_steps_max: 8,
            relist_interval: Duration::from_secs(60),
            network_interval: Duration::from_secs(15),
            statistics: StatisticsSettings::default(),
            idempotency_window: Duration::from_secs(24 * 3600),
            job_retention: Duration::from_secs(30 * 24 * 3600),
            operation_retention: Duration::from_secs(180 * 24 * 3600),
            event_retention: Duration::from_secs(7 * 24 * 3600),
            policy: PolicySettings::default(),
            hypervisor_patience: Duration::from_secs(600),
        }
    }
}

/// The outside, as the engine is given it.
#[derive(Clone)]
pub struct EnginePorts {
    /// The hypervisor.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// Durable storage.
    pub store: Arc<dyn Store>,
    /// Image transfer.
    pub images: Arc<dyn ImageTransfer>,
    /// The host's own counters.
    pub probe: Arc<dyn HostProbe>,
    /// Where history of usage is kept.
    pub history: Arc<dyn HistoryStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for EnginePorts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnginePorts").finish_non_exhaustive()
    }
}

/// Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    world: Arc<World>,
    ports: EnginePorts,
    config: EngineConfig,
    verb_settings: Arc<VerbSettings>,
    /// Locked inside `World::update` where both are needed, never the other way round.
    lanes: Mutex<Lanes>,
    /// Jobs that have not ended, for those who wait for them.
    waiting: Mutex<HashMap<Uuid, watch::Sender<Arc<Job>>>>,
    /// Idempotency keys of requests being accepted right now.
    keys: Mutex<HashMap<Uuid, watch::Receiver<()>>>,
    /// Order of reads from libvirt: a read that began later wins over one that began earlier.
    reads: Mutex<observer::ReadOrder>,
    events: events::Feed,
    statistics: statistics::Statistics,
    restarts: Mutex<policy::RestartCounts>,
    resuming: Mutex<policy::Resuming>,
    disk_slots: Semaphore,
    start_slots: Semaphore,
    stopping: watch::Sender<bool>,
}

impl Inner {
    fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }
}

impl Engine {
    /// Builds the picture from `stored`, takes up the jobs a former run left, and starts observing.
    ///
    /// # Errors
    /// `Internal` where the host's own facts cannot be read.
    pub async fn start(config: EngineConfig, ports: EnginePorts, stored: StoredState) -> Result<Self> {
        let probe = ports.probe.clone();
        let facts = tokio::task::spawn_blocking(move || probe.facts())
            .await
            .map_err(|e| crate::fail!(Internal, "reading the host's facts").caused_by(e))?
            .map_err(at!())?;
        let mut snapshot = Snapshot {
            vms: VmMap::default(),
            volumes: stored.volumes.into_iter().map(|v| (v.volume_uuid, Arc::new(v))).collect(),
            images: stored.images.into_iter().map(|i| (i.image_uuid, Arc::new(i))).collect(),
            specifications: stored.specifications.into_iter().map(|s| (s.specification_uuid, Arc::new(s))).collect(),
            networks: imbl::OrdMap::new(),
            open_jobs: imbl::OrdMap::new(),
            leased_addresses: imbl::OrdMap::new(),
            capabilities: None,
            facts: Arc::new(facts),
            settings: Arc::new(stored.host_settings.unwrap_or_else(|| config.host.clone())),
            pools: Arc::new(Vec::new()),
            connection: ConnectionState::Connecting,
            daemon_start_time: ports.clock.now(),
            event_drafts: Vec::new(),
            generation: 0,
        };
        for mut record in stored.vms {
            // Decoded with room for four.
            record.nics.shrink_to_fit();
            inventory::apply(&mut snapshot, &Write::PutVm(Arc::new(record)));
        }
        for event in &stored.last_vm_events {
            inventory::note_host_restart(&mut snapshot, event);
        }
        // What stood in the store is nothing new.
        snapshot.event_drafts.clear();
        let now = ports.clock.now();
        let era = Write::AdvanceEvents(u64::try_from(now.0 / 1_000_000).unwrap_or(0));
        ports.store.commit(vec![era], Durability::Durable).await.map_err(at!())?;
        let (_, last_cursor) = ports.store.event_bounds().await.map_err(at!())?;
        let started = Write::PutEvent(Arc::new(events::daemon("", "started", now)));
        ports.store.commit(vec![started], Durability::Relaxed).await.map_err(at!())?;
        let (drafts, draft_receiver) = mpsc::channel(events::DRAFTS_MAX);
        let inner = Arc::new(Inner {
            world: Arc::new(World::new(snapshot, drafts)),
            events: events::Feed::new(last_cursor),
            statistics: statistics::Statistics::default(),
            restarts: Mutex::new(HashMap::new()),
            resuming: Mutex::new(policy::Resuming::new()),
            verb_settings: Arc::new(config.verb.clone()),
            lanes: Mutex::new(Lanes::new(config.jobs_open_max)),
            waiting: Mutex::new(HashMap::new()),
            keys: Mutex::new(HashMap::new()),
            reads: Mutex::new(observer::ReadOrder::default()),
            disk_slots: Semaphore::new(config.disk_steps_max.max(1)),
            start_slots: Semaphore::new(config.start_steps_max.max(1)),
            stopping: watch::Sender::new(false),
            ports,
            config,
        });
        events::spawn(&inner, draft_receiver, stored.last_vm_events);
        recovery::take_up(&inner, stored.open_jobs).await;
        observer::spawn(&inner);
        statistics::spawn(&inner);
        housekeeping::spawn(&inner);
        Ok(Self { inner })
    }

    /// Accepts nothing more and waits for the jobs that run, at most `deadline`. Jobs that are left go on at the next start.
    /// True if none is left.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        if !self.inner.stopping.send_replace(true) {
            let stopping = Write::PutEvent(Arc::new(events::daemon("started", "stopping", self.inner.now())));
            if let Err(error) = self.inner.ports.store.commit(vec![stopping], Durability::Relaxed).await {
                tracing::warn!(error = %error.chain(), "The stop could not be written to the event stream");
            }
            self.inner.events.poke();
            statistics::flush(&self.inner).await;
        }
        self.inner.world.wait_until(deadline, |snapshot| snapshot.open_jobs.is_empty()).await
    }
}
