//! The event stream: what happened, in order, each once, also over restarts.
//!
//! ```text
//!   a change of the picture ─▶ draft ─▶ this task: told already? ─▶ commit ─┐
//!   acceptance, step, end of a job ────────▶ in the job's own commit ───────┤ poke
//!                                                                           ▼
//!   readers ◀── ring ◀── rows after the last cursor, read back from the store
//! ```
//! The store numbers events, and readers see only what it has given back: so the death of this process never takes away what a reader has
//! seen. Power loss may; the cursors of each start begin above all former ones, so that even then none is used twice.
//! What readers were told last of each VM is known from the stream itself. After a restart, or when drafts were lost to a full queue, the
//! whole picture is compared with that and only the differences are told.

use super::{Inner, policy};
use crate::ErrorCode;
use crate::model::{
    ConnectionState, Event, EventKind, Image, ImageStatus, Job, PoolSpace, ResourceKey, ResourceType, StateReason, Timestamp, Vm, VmStatus,
};
use crate::port::{Durability, Write};
use parking_lot::Mutex;
use smol_str::SmolStr;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use uuid::Uuid;

/// Drafts that may wait to be committed.
pub(super) const DRAFTS_MAX: usize = 16 * 1024;
/// Events kept in memory for readers that follow closely.
const RING_MAX: usize = 4096;
/// Events of one commit, and of one read from the store.
const BATCH_MAX: usize = 512;
/// Pause before a failed commit is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// A pool with less than this part of its space free is worth an event.
const LOW_SPACE_PERCENT: u64 = 10;

/// What readers follow.
#[derive(Debug)]
pub(super) struct Feed {
    ring: Mutex<VecDeque<Arc<Event>>>,
    last: watch::Sender<u64>,
    poked: Notify,
}

impl Feed {
    /// A feed whose readers have seen everything up to `last`.
    pub(super) fn new(last: u64) -> Self {
        Self { ring: Mutex::new(VecDeque::new()), last: watch::Sender::new(last), poked: Notify::new() }
    }

    /// Says that a commit held events.
    pub(super) fn poke(&self) {
        self.poked.notify_one();
    }

    /// Cursor of the newest event that readers can see.
    pub(super) fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// Waits until there is an event after `cursor`, at most `timeout`.
    pub(super) async fn wait_for_more(&self, cursor: u64, timeout: Duration) {
        let mut last = self.last.subscribe();
        let _ = tokio::time::timeout(timeout, last.wait_for(|last| *last > cursor)).await;
    }

    /// Events after `cursor` if all of them are in memory.
    pub(super) fn recent(&self, cursor: u64, limit: usize) -> Option<Vec<Arc<Event>>> {
        let ring = self.ring.lock();
        if ring.front().is_none_or(|first| first.cursor > cursor + 1) {
            return None;
        }
        let start = ring.partition_point(|event| event.cursor <= cursor);
        Some(ring.iter().skip(start).take(limit).cloned().collect())
    }

    fn publish(&self, events: Vec<Event>) {
        let Some(newest) = events.last().map(|event| event.cursor) else { return };
        {
            let mut ring = self.ring.lock();
            ring.extend(events.into_iter().map(Arc::new));
            let surplus = ring.len().saturating_sub(RING_MAX);
            ring.drain(..surplus);
        }
        self.last.send_replace(newest);
    }
}

/// What readers were told last of a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    name: SmolStr,
    status: SmolStr,
    /// It was on when the host went down.
    was_on_before_boot: bool,
}

/// Starts the task. `last_vm_events` is what readers were told before this run.
pub(super) fn spawn(inner: &Arc<Inner>, drafts: mpsc::Receiver<Event>, last_vm_events: Vec<Event>) {
    let boot_time = inner.world.load().facts.boot_time;
    let told = last_vm_events.into_iter().filter_map(|event| {
        let was_on_before_boot = was_on_before_boot(&event, boot_time);
        let uuid = event.resource?.uuid;
        (!event.new.is_empty()).then_some((uuid, Told { name: event.resource_name.into(), status: event.new.into(), was_on_before_boot }))
    });
    tokio::spawn(Teller { inner: inner.clone(), told: told.collect(), is_complete: false }.run(drafts));
    tokio::spawn(publish(inner.clone()));
}

struct Teller {
    inner: Arc<Inner>,
    told: HashMap<Uuid, Told>,
    /// True once the whole picture was compared with what was told before.
    is_complete: bool,
}

impl Teller {
    async fn run(mut self, mut drafts: mpsc::Receiver<Event>) {
        let mut waiting = Vec::new();
        loop {
            if drafts.recv_many(&mut waiting, BATCH_MAX).await == 0 {
                return;
            }
            let mut events: Vec<Event> = waiting.drain(..).filter_map(|draft| self.admit(draft)).collect();
            let is_first_look = !self.is_complete && self.inner.world.load().connection == ConnectionState::Up;
            if is_first_look || self.inner.world.take_lost_events() > 0 {
                self.is_complete |= is_first_look;
                events.extend(self.compare_all());
                if is_first_look {
                    policy::take_up(&self.inner);
                }
            }
            self.commit(events).await;
        }
    }

    /// Stamps a draft, and drops it where readers know already.
    fn admit(&mut self, mut event: Event) -> Option<Event> {
        event.time = self.inner.now();
        if event.kind != EventKind::VmStatus {
            return Some(event);
        }
        let uuid = event.resource?.uuid;
        // "Unknown" only says that libvirt was not asked yet in this run.
        if event.new == VmStatus::Unknown.word() {
            return None;
        }
        let told = self.told.get(&uuid);
        let old = told.map_or("", |told| told.status.as_str());
        // Readers must learn that the guest they knew is gone, also where the host's start brought up another one.
        let is_on_again =
            told.is_some_and(|told| told.was_on_before_boot) && event.new == VmStatus::Running.word() && event.job_uuid.is_none();
        if old == event.new && !is_on_again {
            return None;
        }
        if is_on_again {
            event.reason = StateReason::HostRestart.word().to_owned();
        }
        event.old = old.to_owned();
        if event.new.is_empty() {
            self.told.remove(&uuid);
        } else {
            let told = Told { name: event.resource_name.as_str().into(), status: event.new.as_str().into(), was_on_before_boot: false };
            self.told.insert(uuid, told);
            policy::consider(&self.inner, uuid, &event.old);
        }
        Some(event)
    }

    /// Everything that readers were not told: VMs that are gone, and those that are different now.
    fn compare_all(&mut self) -> Vec<Event> {
        let snapshot = self.inner.world.load();
        let gone: Vec<_> =
            self.told.iter().filter(|(uuid, _)| !snapshot.vms.contains_key(*uuid)).map(|(u, t)| (*u, t.name.clone())).collect();
        let mut drafts: Vec<Event> = gone.into_iter().map(|(uuid, name)| vm_event(EventKind::VmStatus, uuid, &name, "", "", "")).collect();
        for vm in snapshot.vms.values() {
            compare_vms(&mut drafts, None, Some(vm));
        }
        drafts.into_iter().filter(|d| d.kind == EventKind::VmStatus).filter_map(|draft| self.admit(draft)).collect()
    }

    async fn commit(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let writes: Vec<Write> = events.into_iter().map(|event| Write::PutEvent(Arc::new(event))).collect();
        let store = &self.inner.ports.store;
        while let Err(error) = store.commit(writes.clone(), Durability::Relaxed).await {
            tracing::warn!(error = %error.chain(), "Events could not be stored, trying again");
            tokio::time::sleep(RETRY_PAUSE).await;
            // Past its deadline a commit may still have been made; telling twice would be a lie too.
            if error.code() == ErrorCode::Timeout && self.is_stored(&writes).await {
                break;
            }
        }
        self.inner.events.poke();
    }

    /// Is the last of these events in the store already?
    async fn is_stored(&self, writes: &[Write]) -> bool {
        let Some(Write::PutEvent(wanted)) = writes.last() else { return false };
        let since = self.inner.events.last().saturating_sub(RING_MAX as u64);
        let stored = self.inner.ports.store.list_events(since, u64::MAX).await.unwrap_or_default();
        stored.into_iter().any(|event| Event { cursor: 0, ..event } == **wanted)
    }
}

/// Hands what the store has numbered to readers.
async fn publish(inner: Arc<Inner>) {
    loop {
        match inner.ports.store.list_events(inner.events.last(), BATCH_MAX as u64).await {
            Ok(events) if events.is_empty() => inner.events.poked.notified().await,
            Ok(events) => inner.events.publish(events),
            Err(error) => {
                tracing::warn!(error = %error.chain(), "Events could not be read back, trying again");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

fn vm_event(kind: EventKind, uuid: Uuid, name: &str, old: &str, new: &str, reason: &str) -> Event {
    Event {
        cursor: 0,
        time: Timestamp::default(),
        kind,
        resource: Some(ResourceKey { kind: ResourceType::Vm, uuid }),
        resource_name: name.to_owned(),
        old: old.to_owned(),
        new: new.to_owned(),
        reason: reason.to_owned(),
        job_uuid: None,
        request_id: String::new(),
    }
}

/// Does this, the last that was told of a VM, say that it was on when the host went down? Then its QEMU went with the host.
pub(super) fn was_on_before_boot(event: &Event, boot_time: Timestamp) -> bool {
    event.time < boot_time && VmStatus::ALL.iter().any(|status| status.is_on() && status.word() == event.new)
}

/// A reset of a VM that nobody asked this node for.
pub(super) fn vm_reboot(vm: &Vm, is_by_watchdog: bool) -> Event {
    let reason = if is_by_watchdog { StateReason::Watchdog.word() } else { "guest_reboot" };
    vm_event(EventKind::VmReboot, vm.uuid(), vm.name(), vm.status.word(), vm.status.word(), reason)
}

/// Drafts for what is different between two pictures of a VM.
pub(super) fn compare_vms(drafts: &mut Vec<Event>, before: Option<&Vm>, after: Option<&Vm>) {
    let Some(vm) = after.or(before) else { return };
    let (old, new) = (before.map(|vm| vm.status), after.map(|vm| vm.status));
    let job = after.and_then(|vm| vm.job.as_ref()).or(before.and_then(|vm| vm.job.as_ref()));
    let attribute = |mut event: Event| {
        event.job_uuid = job.map(|job| job.job_uuid);
        event.request_id = job.map(|job| job.caller.request_id.clone()).unwrap_or_default();
        event
    };
    let word = |status: Option<VmStatus>| status.map_or("", VmStatus::word);
    if old != new {
        // While a job runs, what it asks for is the reason; once it has ended, not for what went wrong meanwhile.
        let is_requested = after.is_none_or(|vm| vm.job.is_some()) || !vm.reason.is_fault();
        let reason = if job.is_some() && is_requested { "requested" } else { vm.reason.word() };
        drafts.push(attribute(vm_event(EventKind::VmStatus, vm.uuid(), vm.name(), word(old), word(new), reason)));
    }
    let (old, new) = (before.map(|vm| vm.management), after.map(|vm| vm.management));
    if let (Some(old), Some(new)) = (old, new)
        && old != new
    {
        let (old, new) = (old.word(), new.word());
        drafts.push(attribute(vm_event(EventKind::VmManagement, vm.uuid(), vm.name(), old, new, vm.reason.word())));
    }
}

/// The event of a job that has now another status than `old`.
pub(super) fn job_status(job: &Job, old: &str, now: Timestamp) -> Event {
    Event {
        cursor: 0,
        time: now,
        kind: EventKind::JobStatus,
        resource: Some(job.resource),
        resource_name: job.resource_name.clone(),
        old: old.to_owned(),
        new: job.status.word().to_owned(),
        reason: job.verb.word().to_owned(),
        job_uuid: Some(job.job_uuid),
        request_id: job.caller.request_id.clone(),
    }
}

fn image_event(image: &Image, old: &str, new: &str) -> Event {
    Event {
        kind: EventKind::ImageStatus,
        resource: Some(ResourceKey { kind: ResourceType::Image, uuid: image.image_uuid }),
        ..vm_event(EventKind::ImageStatus, image.image_uuid, &image.image_name, old, new, "")
    }
}

/// The event of an image whose status changed.
pub(super) fn image_status(image: &Image, before: Option<ImageStatus>) -> Event {
    image_event(image, before.map_or("", ImageStatus::word), image.status.word())
}

/// The event of an image that is gone.
pub(super) fn image_gone(image: &Image) -> Event {
    image_event(image, image.status.word(), "")
}

fn node_event(kind: EventKind, name: &str, old: &str, new: &str, reason: &str) -> Event {
    Event { resource: None, ..vm_event(kind, Uuid::nil(), name, old, new, reason) }
}

/// The event of the daemon itself.
pub(super) fn daemon(old: &str, new: &str, now: Timestamp) -> Event {
    Event { time: now, ..node_event(EventKind::Daemon, "hvnoded", old, new, "") }
}

/// The event of a connection that came or went.
pub(super) fn connection(before: &ConnectionState, after: &ConnectionState) -> Option<Event> {
    let word = |state: &ConnectionState| match state {
        ConnectionState::Connecting => "connecting",
        ConnectionState::Up => "up",
        ConnectionState::Down(_) => "down",
    };
    let (old, new) = (word(before), word(after));
    (old != new).then(|| node_event(EventKind::HypervisorConnection, "libvirt", old, new, ""))
}

/// Events of pools that ran low, or are not any more.
pub(super) fn capacity(before: &[PoolSpace], after: &[PoolSpace]) -> Vec<Event> {
    let word = |pool: &PoolSpace| {
        let is_low = pool.available_bytes < pool.capacity_bytes / 100 * LOW_SPACE_PERCENT;
        if is_low { "low" } else { "enough" }
    };
    let mut events = Vec::new();
    for pool in after {
        let old = before.iter().find(|b| b.pool_name == pool.pool_name).map_or("enough", word);
        if old != word(pool) {
            events.push(node_event(EventKind::Capacity, &pool.pool_name, old, word(pool), "space"));
        }
    }
    events
}
