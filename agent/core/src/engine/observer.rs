//! Keeps the picture true: libvirt's events, re-listing, networks, leases, pools, the connection itself.
//!
//! An event only says "read this again". Reads may end in another order than they began; [`ReadOrder`] lets a read that began later win.

use super::{Inner, events, inventory, rebuild};
use crate::model::{ConnectionState, ObservedVm, Snapshot, VerbKind, Vm};
use crate::port::HypervisorEvent;
use crate::{ErrorCode, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

/// Most single reads at a time.
const READS_AT_A_TIME: usize = 4;
/// How long a read after an event leaves it to a job of the same VM to read it at its end.
const JOB_READ_WAIT: Duration = Duration::from_millis(25);
/// VMs that are gone and still remembered: their last events may come yet, and need no read. So a node that makes and deletes many VMs does
/// not remember them all until the next whole listing.
const GONE_MAX: usize = 256;
/// Firmware may answer a reset with one more, to begin with a clean machine: so soon after the first it is none of its own.
const RESET_ECHO: Duration = Duration::from_secs(2);
/// Pause before a failed first reading is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Which read of a VM counts.
#[derive(Debug, Default)]
pub(crate) struct ReadOrder {
    last: u64,
    applied: HashMap<Uuid, u64>,
    /// Reads that have begun and not ended.
    running: BTreeSet<u64>,
    /// VMs that libvirt was seen not to have, by the read that saw it.
    gone: BTreeMap<u64, Uuid>,
}

impl ReadOrder {
    /// A number for a read that begins now.
    fn begin(&mut self) -> u64 {
        self.last += 1;
        self.running.insert(self.last);
        self.last
    }

    /// A read has ended, whatever it gave. A VM that is gone may be forgotten once no read runs that began before the one that saw it:
    /// nothing older can come any more.
    fn end(&mut self, number: u64) {
        self.running.remove(&number);
        let oldest = self.running.first().copied().unwrap_or(u64::MAX);
        while self.gone.len() > GONE_MAX
            && let Some(entry) = self.gone.first_entry().filter(|entry| *entry.key() <= oldest)
        {
            let (number, vm_uuid) = entry.remove_entry();
            if self.applied.get(&vm_uuid) == Some(&number) {
                self.applied.remove(&vm_uuid);
            }
        }
    }

    /// The read of this number, which was admitted, found that libvirt does not have this VM.
    fn note_gone(&mut self, vm_uuid: Uuid, number: u64) {
        self.gone.insert(number, vm_uuid);
    }

    /// The number of the newest read that has begun.
    fn newest(&self) -> u64 {
        self.last
    }

    /// Has this VM been shown as a read found it that began after the one of this number?
    fn is_shown_since(&self, vm_uuid: Uuid, number: u64) -> bool {
        self.applied.get(&vm_uuid).is_some_and(|applied| *applied > number)
    }

    /// May this read be applied to this VM? Not if one that began later was.
    fn admit(&mut self, vm_uuid: Uuid, number: u64) -> bool {
        let applied = self.applied.entry(vm_uuid).or_insert(0);
        if *applied > number {
            return false;
        }
        *applied = number;
        true
    }

    /// Forgets VMs that are gone since before a whole listing began; nothing older can come any more.
    fn forget(&mut self, number: u64, is_known: impl Fn(&Uuid) -> bool) {
        self.applied.retain(|uuid, applied| *applied >= number || is_known(uuid));
    }
}

/// A read that runs; it has ended when this is dropped, also where its task was.
struct Read<'a> {
    inner: &'a Inner,
    number: u64,
}

impl<'a> Read<'a> {
    fn begin(inner: &'a Inner) -> Self {
        Self { inner, number: inner.reads.lock().begin() }
    }
}

impl Drop for Read<'_> {
    fn drop(&mut self) {
        self.inner.reads.lock().end(self.number);
    }
}

/// VMs of which events say that they are to be read again, each with the newest read that had begun when its last event came.
#[derive(Debug, Default)]
struct Dirty {
    ready: HashMap<Uuid, u64>,
    /// A job works on these, and reads its VM at its end anyway: until this moment their own reads wait for that.
    waiting: HashMap<Uuid, (u64, Instant)>,
}

impl Dirty {
    /// An event came while read number `newest` was the last that had begun.
    fn add(&mut self, vm_uuid: Uuid, newest: u64, has_job: bool) {
        if has_job && !self.ready.contains_key(&vm_uuid) {
            let due = Instant::now() + JOB_READ_WAIT;
            self.waiting.entry(vm_uuid).and_modify(|(read, _)| *read = newest).or_insert((newest, due));
        } else {
            self.waiting.remove(&vm_uuid);
            self.ready.insert(vm_uuid, newest);
        }
    }

    /// The next VM to read. A VM that is being read stays dirty until that read ends: what it saw may be older than the event. What a
    /// read that began after the event has shown needs none.
    fn take(&mut self, order: &ReadOrder, reading: &HashSet<Uuid>) -> Option<Uuid> {
        let now = Instant::now();
        let is_due = |_: &Uuid, (_, due): &mut (u64, Instant)| *due <= now;
        self.ready.extend(self.waiting.extract_if(is_due).map(|(vm_uuid, (read, _))| (vm_uuid, read)));
        loop {
            let vm_uuid = self.ready.keys().find(|vm_uuid| !reading.contains(*vm_uuid)).copied()?;
            let read = self.ready.remove(&vm_uuid)?;
            if !order.is_shown_since(vm_uuid, read) {
                return Some(vm_uuid);
            }
        }
    }

    /// When one that waits is due.
    fn next_due(&self) -> Option<Instant> {
        self.waiting.values().map(|(_, due)| *due).min()
    }
}

/// When VMs were reset last.
#[derive(Debug, Default)]
struct Resets(HashMap<Uuid, Instant>);

impl Resets {
    /// Is this reset an echo of the last one? If not, it is the last one from now on.
    fn is_echo(&mut self, vm_uuid: Uuid, is_surely_another: bool) -> bool {
        self.0.retain(|_, time| time.elapsed() < RESET_ECHO);
        let is_echo = !is_surely_another && self.0.contains_key(&vm_uuid);
        if !is_echo {
            self.0.insert(vm_uuid, Instant::now());
        }
        is_echo
    }
}

/// Starts the observer's tasks.
pub(super) fn spawn(inner: &Arc<Inner>) {
    let Some(events) = inner.ports.hypervisor.take_events() else {
        tracing::error!("The hypervisor's events are taken already; the picture is kept by re-listing alone");
        return;
    };
    tokio::spawn(follow_connection(inner.clone()));
    tokio::spawn(follow_events(inner.clone(), events));
    tokio::spawn(re_read_regularly(inner.clone()));
}

/// Reads one VM again and shows what was read. A failure leaves the last good picture, marked stale, and is logged.
pub(super) async fn refresh(inner: &Inner, vm_uuid: Uuid) {
    let read = Read::begin(inner);
    match inner.ports.hypervisor.observe(vm_uuid).await {
        Ok(observed) => show(inner, read.number, vm_uuid, observed),
        Err(error) => {
            tracing::warn!(%vm_uuid, error = %error.chain(), "A VM could not be read");
            inner.world.update(|snapshot| inventory::mark_vm_stale(snapshot, vm_uuid));
        }
    }
}

fn show(inner: &Inner, number: u64, vm_uuid: Uuid, observed: Option<ObservedVm>) {
    let now = inner.now();
    inner.world.update(|snapshot| {
        let mut reads = inner.reads.lock();
        if reads.admit(vm_uuid, number) {
            if observed.is_none() {
                reads.note_gone(vm_uuid, number);
            }
            inventory::observe(snapshot, vm_uuid, observed, now);
        }
    });
}

/// Reads every domain and shows them; VMs that libvirt has no longer lose their observed side.
async fn relist(inner: &Inner) -> Result<()> {
    let read = Read::begin(inner);
    let number = read.number;
    let domains = inner.ports.hypervisor.list_domains().await?;
    let now = inner.now();
    let seen: HashSet<Uuid> = domains.iter().map(|d| d.vm_uuid).collect();
    inner.world.update(|snapshot| {
        let mut reads = inner.reads.lock();
        let gone: Vec<Uuid> = snapshot.vms.keys().filter(|uuid| !seen.contains(uuid)).copied().collect();
        for domain in domains {
            if reads.admit(domain.vm_uuid, number) {
                inventory::observe(snapshot, domain.vm_uuid, Some(domain), now);
            }
        }
        for uuid in gone {
            if reads.admit(uuid, number) {
                inventory::observe(snapshot, uuid, None, now);
            }
        }
        reads.forget(number, |uuid| snapshot.vms.contains_key(uuid));
    });
    rebuild::rebuild_lost_records(inner).await;
    Ok(())
}

/// Everything that is read when the connection is new.
async fn read_everything(inner: &Inner) -> Result<()> {
    inner.ports.hypervisor.ensure_pools().await?;
    let mut capabilities = inner.ports.hypervisor.capabilities().await?;
    capabilities.host_uuid = inner.config.host_uuid.unwrap_or(capabilities.host_uuid);
    let capabilities = Arc::new(capabilities);
    inner.world.update(|snapshot| snapshot.capabilities = Some(capabilities));
    read_networks(inner).await?;
    relist(inner).await
}

pub(super) async fn read_networks(inner: &Inner) -> Result<()> {
    let networks = inner.ports.hypervisor.list_networks().await?;
    let mut leases = Vec::new();
    for network in networks.iter().filter(|n| n.is_active && n.ipv4.as_ref().is_some_and(|s| !s.dhcp_ranges.is_empty())) {
        match inner.ports.hypervisor.list_leases(network.network_uuid).await {
            Ok(some) => leases.extend(some),
            // A driver without leases, or a network that went away since it was listed.
            Err(error) if matches!(error.code(), ErrorCode::NotSupported | ErrorCode::NetworkNotExist) => {}
            Err(error) => return Err(error),
        }
    }
    let pools = inner.ports.hypervisor.pool_space().await?;
    inner.world.update(|snapshot| {
        snapshot.networks = networks.into_iter().map(|n| (n.network_uuid, Arc::new(n))).collect();
        snapshot.leased_addresses = leases.into_iter().map(|l| (l.mac_address, l.ip_address)).collect();
        snapshot.event_drafts.extend(events::capacity(&snapshot.pools, &pools));
        snapshot.pools = Arc::new(pools);
    });
    Ok(())
}

/// The connection's state reaches the picture here and nowhere else: `Up` only once everything was read.
async fn follow_connection(inner: Arc<Inner>) {
    let mut states = inner.ports.hypervisor.connection();
    loop {
        let state = states.borrow_and_update().clone();
        match &state {
            ConnectionState::Up => {
                if let Err(error) = read_everything(&inner).await {
                    tracing::warn!(error = %error.chain(), "Reading everything from libvirt failed, trying again");
                    let _ = tokio::time::timeout(RETRY_PAUSE, states.changed()).await;
                    continue;
                }
                tracing::info!(vms = inner.world.load().vms.len(), "Connected to libvirt, everything is read");
                set_connection(&inner, state);
            }
            ConnectionState::Down(reason) => {
                tracing::warn!(reason, "The connection to libvirt is lost");
                set_connection(&inner, state);
                inner.world.update(inventory::mark_stale);
            }
            ConnectionState::Connecting => set_connection(&inner, state),
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

fn set_connection(inner: &Inner, state: ConnectionState) {
    inner.world.update(|snapshot: &mut Snapshot| {
        snapshot.event_drafts.extend(events::connection(&snapshot.connection, &state));
        snapshot.connection = state;
    });
}

async fn follow_events(inner: Arc<Inner>, mut events: mpsc::Receiver<HypervisorEvent>) {
    let mut dirty = Dirty::default();
    let mut reading: HashSet<Uuid> = HashSet::new();
    let mut reads: JoinSet<Uuid> = JoinSet::new();
    let mut resets = Resets::default();
    loop {
        while reads.len() < READS_AT_A_TIME {
            let next = dirty.take(&inner.reads.lock(), &reading);
            let Some(vm_uuid) = next else { break };
            reading.insert(vm_uuid);
            let inner = inner.clone();
            reads.spawn(async move {
                refresh(&inner, vm_uuid).await;
                vm_uuid
            });
        }
        // With all reads taken, the end of one of them is what to wait for.
        let due = dirty.next_due().filter(|_| reads.len() < READS_AT_A_TIME);
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => take_event(&inner, event, &mut dirty, &mut resets).await,
                None => return,
            },
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            Some(done) = reads.join_next(), if !reads.is_empty() => match done {
                Ok(vm_uuid) => { reading.remove(&vm_uuid); }
                Err(error) => {
                    tracing::error!(%error, "A read of a VM panicked");
                    reading.clear();
                }
            },
        }
    }
}

async fn take_event(inner: &Inner, event: HypervisorEvent, dirty: &mut Dirty, resets: &mut Resets) {
    tracing::debug!(?event, "Event");
    match event {
        HypervisorEvent::DomainChanged(vm_uuid) | HypervisorEvent::DomainIoError(vm_uuid) => {
            mark_dirty(inner, dirty, vm_uuid);
        }
        HypervisorEvent::DomainPanicked(vm_uuid) => {
            change_seen(inner, vm_uuid, |vm| vm.has_panicked = true);
            mark_dirty(inner, dirty, vm_uuid);
        }
        HypervisorEvent::DomainWatchdogReset(vm_uuid) => change_seen(inner, vm_uuid, |vm| vm.is_reset_by_watchdog = true),
        HypervisorEvent::DomainRebooted(vm_uuid) => {
            see_reset(inner, vm_uuid, resets);
            mark_dirty(inner, dirty, vm_uuid);
        }
        HypervisorEvent::NetworksChanged => {
            if let Err(error) = read_networks(inner).await {
                tracing::warn!(error = %error.chain(), "Networks could not be read");
            }
        }
        // `follow_connection` reads everything, and whatever happened since the listing has its own event.
        HypervisorEvent::Connected => {}
        HypervisorEvent::Lagged => {
            if let Err(error) = relist(inner).await {
                tracing::warn!(error = %error.chain(), "Listing all VMs failed");
            }
        }
    }
}

fn mark_dirty(inner: &Inner, dirty: &mut Dirty, vm_uuid: Uuid) {
    let has_job = inner.world.load().vms.get(&vm_uuid).is_some_and(|vm| vm.job.is_some());
    dirty.add(vm_uuid, inner.reads.lock().newest(), has_job);
}

async fn re_read_regularly(inner: Arc<Inner>) {
    let mut lists = tokio::time::interval(inner.config.relist_interval);
    let mut networks = tokio::time::interval(inner.config.network_interval);
    lists.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    networks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let result = tokio::select! {
            _ = lists.tick() => if is_up(&inner) { relist(&inner).await } else { Ok(()) },
            _ = networks.tick() => if is_up(&inner) { read_networks(&inner).await } else { Ok(()) },
        };
        if let Err(error) = result {
            tracing::warn!(error = %error.chain(), "A regular reading failed");
        }
    }
}

/// Notes something that an event says and no read can tell.
fn change_seen(inner: &Inner, vm_uuid: Uuid, change: impl FnOnce(&mut Vm)) {
    inner.world.update(|snapshot| {
        inventory::change_vm(snapshot, vm_uuid, |vm| {
            if let Some(vm) = vm {
                change(vm);
            }
        });
    });
}

/// Counts a reset of a VM, and tells it unless a job of ours asked for it: that one is told by the VM's status.
fn see_reset(inner: &Inner, vm_uuid: Uuid, resets: &mut Resets) {
    inner.world.update(|snapshot| {
        let mut told = None;
        inventory::change_vm(snapshot, vm_uuid, |vm| {
            let Some(vm) = vm else { return };
            vm.reset_count = vm.reset_count.wrapping_add(1);
            let is_by_watchdog = std::mem::take(&mut vm.is_reset_by_watchdog);
            if resets.is_echo(vm_uuid, is_by_watchdog) {
                return;
            }
            vm.reboot_count = vm.reboot_count.wrapping_add(1);
            let is_requested = vm.job.as_ref().is_some_and(|job| matches!(job.verb, VerbKind::RebootVm | VerbKind::ResetVm));
            told = (is_by_watchdog || !is_requested).then(|| events::vm_reboot(vm, is_by_watchdog));
        });
        snapshot.event_drafts.extend(told);
    });
}

fn is_up(inner: &Inner) -> bool {
    inner.world.load().connection == ConnectionState::Up
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_began_earlier_never_replaces_one_that_began_later() {
        let (vm, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut order = ReadOrder::default();
        let (first, second) = (order.begin(), order.begin());
        assert!(order.admit(vm, second));
        assert!(!order.admit(vm, first));
        assert!(order.admit(other, first));
    }

    #[test]
    fn the_read_after_an_event_waits_for_the_job_of_its_vm_and_is_left_out_where_that_read_it_since() {
        let (vm, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (mut order, mut dirty, none) = (ReadOrder::default(), Dirty::default(), HashSet::new());
        order.begin();
        dirty.add(vm, order.newest(), true);
        dirty.add(other, order.newest(), false);
        assert_eq!(dirty.take(&order, &none), Some(other));
        assert_eq!(dirty.take(&order, &none), None, "it waits for the job");
        let due = dirty.next_due().unwrap();
        assert!(due > Instant::now() && due <= Instant::now() + JOB_READ_WAIT);
        let by_the_job = order.begin();
        assert!(order.admit(vm, by_the_job));
        dirty.waiting.insert(vm, (order.newest() - 1, Instant::now()));
        assert_eq!(dirty.take(&order, &none), None, "the job has read it after the event");
        // An event that came after that read began is not answered by it.
        dirty.add(vm, order.newest(), true);
        dirty.add(vm, order.newest(), false);
        assert_eq!(dirty.next_due(), None);
        assert_eq!(dirty.take(&order, &HashSet::from([vm])), None, "it is being read");
        assert_eq!(dirty.take(&order, &none), Some(vm));
    }

    #[test]
    fn of_vms_that_are_gone_the_last_ones_are_remembered_and_those_that_an_older_read_may_still_tell_of() {
        let mut order = ReadOrder::default();
        let old = order.begin();
        for number in 0..1000 {
            let (vm, read) = (Uuid::from_u128(number), order.begin());
            assert!(order.admit(vm, read));
            order.note_gone(vm, read);
            order.end(read);
        }
        assert_eq!(order.applied.len(), 1000);
        assert!(!order.admit(Uuid::from_u128(0), old), "an old read must not bring it back");
        order.end(old);
        assert_eq!((order.applied.len(), order.gone.len(), order.running.len()), (GONE_MAX, GONE_MAX, 0));
        assert!(order.applied.contains_key(&Uuid::from_u128(999)));
    }

    #[test]
    fn a_vm_that_came_back_is_not_forgotten_with_the_one_that_was_gone() {
        let (vm, mut order) = (Uuid::from_u128(1), ReadOrder::default());
        let gone = order.begin();
        assert!(order.admit(vm, gone));
        order.note_gone(vm, gone);
        let back = order.begin();
        assert!(order.admit(vm, back));
        for number in 2..1000 {
            let read = order.begin();
            order.note_gone(Uuid::from_u128(number), read);
            order.end(read);
        }
        [gone, back].into_iter().for_each(|read| order.end(read));
        assert_eq!(order.applied.get(&vm), Some(&back));
    }

    #[test]
    fn a_vm_that_is_gone_is_forgotten_only_after_a_later_listing() {
        let vm = Uuid::from_u128(1);
        let mut order = ReadOrder::default();
        let early = order.begin();
        let gone = order.begin();
        assert!(order.admit(vm, gone));
        order.forget(gone, |_| false);
        assert!(!order.admit(vm, early), "an old listing must not bring it back");
        let listing = order.begin();
        order.forget(listing, |_| false);
        assert!(order.applied.is_empty());
    }
}
