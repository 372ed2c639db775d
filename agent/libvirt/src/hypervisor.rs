//! The port itself: one thin method per call, each on the right threads with the right deadline.

use crate::balloon::MemoryReports;
use crate::config::LibvirtConfig;
use crate::event::{EVENTS_MAX, EventSink};
use crate::link::{Link, Session};
use crate::observe::Listing;
use crate::pool::{CallCounts, CallObserver, PoolSize, WorkerPool};
use crate::storage::Pools;
use crate::sweep::{SampleLimits, Sampler};
use crate::xml::{RenderContext, domain_xml};
use crate::{balloon, console, domain, network, observe, sample};
use async_trait::async_trait;
use futures_util::future::try_join_all;
use hvnode_core::model::{DhcpLease, DhcpReservation, HostCapabilities, HypervisorSample, Network, ObservedVm, PoolSpace};
use hvnode_core::port::{ConnectionState, DisplayAddress, DomainSpec, Hypervisor, HypervisorEvent, VolumeSpec};
use hvnode_core::{Result, at, fail};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;
use virt::connect::Connect;

/// Calls that may wait for a thread.
const QUEUE_MAX: usize = 512;
/// Threads that may be stuck in libvirt beside those that serve.
const STUCK_MAX: usize = 16;
/// Domains read by one call of a listing; parts are read at the same time.
const LISTING_PART: usize = 64;

/// libvirt behind the [`Hypervisor`] port. Stops its threads when dropped; VMs do not notice.
pub struct LibvirtHypervisor {
    config: LibvirtConfig,
    link: Arc<Link>,
    pools: Arc<Pools>,
    /// Held while a network's reservations change: libvirt changes the running network and its definition one after the other.
    reservations: Arc<Mutex<()>>,
    reads: WorkerPool,
    changes: WorkerPool,
    sampler: Sampler,
    memory_reports: MemoryReports,
    events: Mutex<Option<mpsc::Receiver<HypervisorEvent>>>,
}

impl std::fmt::Debug for LibvirtHypervisor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LibvirtHypervisor").field("config", &self.config).field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Drop for LibvirtHypervisor {
    fn drop(&mut self) {
        self.link.stop();
    }
}

impl LibvirtHypervisor {
    /// Starts connecting in the background and returns at once, whether libvirt answers or not.
    ///
    /// # Errors
    /// `ParameterInvalid` for a configuration that can never work, `Internal` if no thread can be made.
    pub fn start(config: LibvirtConfig) -> Result<Arc<Self>> {
        let pools = Arc::new(Pools::new(&config.pools)?);
        let (sink, events) = EventSink::new(EVENTS_MAX);
        let pool =
            |name, threads: usize| WorkerPool::new(name, PoolSize { threads: threads.max(1), queue_max: QUEUE_MAX, stuck_max: STUCK_MAX });
        Ok(Arc::new(Self {
            link: Link::start(config.clone(), sink)?,
            pools,
            reservations: Arc::default(),
            reads: pool("libvirt-read", config.read_threads),
            changes: pool("libvirt-change", config.change_threads),
            sampler: Sampler::new(SampleLimits::new(&config)),
            memory_reports: MemoryReports::default(),
            events: Mutex::new(Some(events)),
            config,
        }))
    }

    /// Tells `observer` of every call from now on.
    pub fn observe_calls(&self, observer: &CallObserver) {
        self.reads.observe(observer.clone());
        self.changes.observe(observer.clone());
        self.sampler.observe(observer.clone());
    }

    /// Counts of calls and connections for the daemon's own metrics.
    pub fn counts(&self) -> CallCounts {
        let calls = self.reads.counts() + self.changes.counts() + self.sampler.counts();
        CallCounts { reconnects: self.link.reconnects(), ..calls }
    }

    async fn read<T: Send + 'static>(&self, what: &'static str, work: impl FnOnce(&Connect) -> Result<T> + Send + 'static) -> Result<T> {
        let session = self.link.session()?;
        self.reads.run(what, self.config.read_deadline, self.on_lane(session, work)).await
    }

    async fn change<T: Send + 'static>(&self, what: &'static str, work: impl FnOnce(&Connect) -> Result<T> + Send + 'static) -> Result<T> {
        let session = self.link.session()?;
        self.changes.run(what, self.config.call_deadline, self.on_lane(session, work)).await
    }

    /// One change of reservations at a time.
    async fn change_reservations(&self, what: &'static str, work: impl FnOnce(&Connect) -> Result<()> + Send + 'static) -> Result<()> {
        let (lock, patience) = (self.reservations.clone(), self.config.call_deadline);
        let alone = move |connect: &Connect| match lock.try_lock_for(patience) {
            Some(_guard) => work(connect),
            None => Err(fail!(ResourceBusy, "another change of reservations has not ended"; "另一地址保留操作尚未结束")),
        };
        self.change(what, alone).await
    }

    /// `work` with the least busy connection of the session; a broken one is reported.
    fn on_lane<T>(
        &self,
        session: Arc<Session>,
        work: impl FnOnce(&Connect) -> Result<T> + Send + 'static,
    ) -> impl FnOnce() -> Result<T> + Send + 'static {
        let link = self.link.clone();
        move || link.watched(session.lane().and_then(|lane| work(lane.connect())))
    }

    /// Makes those VMs report their memory that are ours and do not. What does not work is tried again when they run anew.
    async fn ensure_memory_reports(&self, session: &Arc<Session>, vm_uuids: &[Uuid], samples: &[HypervisorSample]) {
        for vm_uuid in self.memory_reports.due(vm_uuids, samples) {
            let session = session.clone();
            let work = move |_: &[Uuid]| balloon::ensure_reports(session.sample_lane()?.connect(), vm_uuid);
            match self.sampler.ask_alone(vm_uuid, work).await {
                Ok(true) => tracing::info!(%vm_uuid, "The guest is asked to report its memory from now on"),
                Ok(false) => {}
                Err(error) => tracing::warn!(%vm_uuid, error = %error.chain(), "The guest cannot be asked to report its memory"),
            }
        }
    }

    fn definition(&self, spec: &DomainSpec) -> Result<String> {
        let context = RenderContext {
            virt_type: self.link.session()?.capabilities().virt_type,
            display: &self.config.display,
            disk_cache: self.config.disk_cache,
            console_directory: &self.config.pools.console,
        };
        domain_xml(spec, &context)
    }
}

#[async_trait]
impl Hypervisor for LibvirtHypervisor {
    fn connection(&self) -> watch::Receiver<ConnectionState> {
        self.link.state()
    }

    fn take_events(&self) -> Option<mpsc::Receiver<HypervisorEvent>> {
        self.events.lock().take()
    }

    async fn capabilities(&self) -> Result<HostCapabilities> {
        Ok(self.link.session()?.capabilities().as_ref().clone())
    }

    async fn ensure_pools(&self) -> Result<()> {
        let pools = self.pools.clone();
        self.change("ensure pools", move |connect| pools.ensure_all(connect)).await.map_err(at!())
    }

    async fn pool_space(&self) -> Result<Vec<PoolSpace>> {
        let pools = self.pools.clone();
        self.read("pool space", move |connect| pools.space(connect)).await.map_err(at!())
    }

    async fn list_domains(&self) -> Result<Vec<ObservedVm>> {
        let listing = self.read("list domains", Listing::read).await.map_err(at!())?;
        // The parts queue behind each other on the read threads, so each has the long deadline.
        let parts = listing.parts(LISTING_PART).into_iter().map(|part| {
            let work = move || part.observe();
            self.reads.run("read domains", self.config.call_deadline, work)
        });
        Ok(try_join_all(parts).await.map_err(at!())?.into_iter().flatten().collect())
    }

    async fn observe(&self, vm_uuid: Uuid) -> Result<Option<ObservedVm>> {
        self.read("read domain", move |connect| observe::observe(connect, vm_uuid)).await.map_err(at!())
    }

    async fn ensure_defined(&self, spec: &DomainSpec) -> Result<()> {
        let (spec, xml, pools) = (spec.clone(), self.definition(spec)?, self.pools.clone());
        let work = move |connect: &Connect| {
            pools.ensure_log(connect, &console::log_name(spec.vm_uuid))?;
            domain::ensure_defined(connect, &spec, &xml)
        };
        self.change("define domain", work).await.map_err(at!())
    }

    async fn render(&self, spec: &DomainSpec) -> Result<String> {
        self.definition(spec)
    }

    async fn update_description(&self, spec: &DomainSpec) -> Result<()> {
        let spec = spec.clone();
        self.change("update description", move |connect| domain::update_description(connect, &spec)).await.map_err(at!())
    }

    async fn remove_description(&self, vm_uuid: Uuid) -> Result<()> {
        self.change("remove description", move |connect| domain::remove_description(connect, vm_uuid)).await.map_err(at!())
    }

    async fn resize(&self, spec: &DomainSpec) -> Result<()> {
        let spec = spec.clone();
        self.change("resize domain", move |connect| domain::resize(connect, &spec)).await.map_err(at!())
    }

    async fn ensure_undefined(&self, vm_uuid: Uuid) -> Result<()> {
        let pools = self.pools.clone();
        let work = move |connect: &Connect| {
            domain::ensure_undefined(connect, vm_uuid)?;
            console::remove_log(connect, &pools, vm_uuid)
        };
        self.change("undefine domain", work).await.map_err(at!())
    }

    async fn ensure_started(&self, vm_uuid: Uuid) -> Result<()> {
        self.change("start domain", move |connect| domain::ensure_started(connect, vm_uuid)).await.map_err(at!())
    }

    async fn request_shutdown(&self, vm_uuid: Uuid) -> Result<()> {
        self.change("shut down domain", move |connect| domain::request_shutdown(connect, vm_uuid)).await.map_err(at!())
    }

    async fn ensure_destroyed(&self, vm_uuid: Uuid) -> Result<()> {
        self.change("destroy domain", move |connect| domain::ensure_destroyed(connect, vm_uuid)).await.map_err(at!())
    }

    async fn request_reboot(&self, vm_uuid: Uuid) -> Result<()> {
        self.change("reboot domain", move |connect| domain::request_reboot(connect, vm_uuid)).await.map_err(at!())
    }

    async fn reset(&self, vm_uuid: Uuid) -> Result<()> {
        self.change("reset domain", move |connect| domain::reset(connect, vm_uuid)).await.map_err(at!())
    }

    async fn ensure_paused(&self, vm_uuid: Uuid) -> Result<()> {
        self.change("pause domain", move |connect| domain::ensure_paused(connect, vm_uuid)).await.map_err(at!())
    }

    async fn ensure_resumed(&self, vm_uuid: Uuid) -> Result<()> {
        self.change("resume domain", move |connect| domain::ensure_resumed(connect, vm_uuid)).await.map_err(at!())
    }

    async fn list_networks(&self) -> Result<Vec<Network>> {
        let bridges = self.config.bridges.clone();
        self.read("list networks", move |connect| network::list(connect, &bridges)).await.map_err(at!())
    }

    async fn list_leases(&self, network_uuid: Uuid) -> Result<Vec<DhcpLease>> {
        self.read("list leases", move |connect| network::leases(connect, network_uuid)).await.map_err(at!())
    }

    async fn ensure_reservation(&self, network_uuid: Uuid, reservation: &DhcpReservation) -> Result<()> {
        let reservation = reservation.clone();
        let work = move |connect: &Connect| network::ensure_reservation(connect, network_uuid, &reservation);
        self.change_reservations("reserve address", work).await.map_err(at!())
    }

    async fn remove_reservation(&self, network_uuid: Uuid, reservation: &DhcpReservation) -> Result<()> {
        let reservation = reservation.clone();
        let work = move |connect: &Connect| network::remove_reservation(connect, network_uuid, &reservation);
        self.change_reservations("release address", work).await.map_err(at!())
    }

    async fn ensure_volume(&self, spec: &VolumeSpec) -> Result<()> {
        let (spec, pools) = (spec.clone(), self.pools.clone());
        self.change("make volume", move |connect| pools.ensure_volume(connect, &spec)).await.map_err(at!())
    }

    async fn ensure_file(&self, pool_name: &str, file_name: &str, content: Vec<u8>) -> Result<()> {
        let (pool_name, file_name, pools) = (pool_name.to_owned(), file_name.to_owned(), self.pools.clone());
        self.change("make file", move |connect| pools.ensure_file(connect, &pool_name, &file_name, &content)).await.map_err(at!())
    }

    async fn remove_volume(&self, pool_name: &str, file_name: &str) -> Result<()> {
        let (pool_name, file_name, pools) = (pool_name.to_owned(), file_name.to_owned(), self.pools.clone());
        self.change("remove volume", move |connect| pools.remove(connect, &pool_name, &file_name)).await.map_err(at!())
    }

    async fn list_volumes(&self, pool_name: &str) -> Result<Vec<String>> {
        let (pool_name, pools) = (pool_name.to_owned(), self.pools.clone());
        self.read("list volumes", move |connect| pools.list(connect, &pool_name)).await.map_err(at!())
    }

    async fn console_log(&self, vm_uuid: Uuid, bytes_max: u64) -> Result<Vec<u8>> {
        let pools = self.pools.clone();
        self.read("read console log", move |connect| console::read_log(connect, &pools, vm_uuid, bytes_max)).await.map_err(at!())
    }

    async fn display(&self, vm_uuid: Uuid) -> Result<DisplayAddress> {
        self.read("read display", move |connect| domain::display(connect, vm_uuid)).await.map_err(at!())
    }

    async fn sample_vms(&self, vm_uuids: Vec<Uuid>) -> Result<Vec<HypervisorSample>> {
        let (session, link) = (self.link.session()?, self.link.clone());
        let ask = {
            let session = session.clone();
            move |vm_uuids: &[Uuid]| link.watched(session.sample_lane().and_then(|lane| sample::read(&lane, vm_uuids)))
        };
        let samples = self.sampler.sweep(vm_uuids.clone(), ask).await.map_err(at!())?;
        self.ensure_memory_reports(&session, &vm_uuids, &samples).await;
        Ok(samples)
    }
}
