//! Storage in memory, with the semantics of the port.

use super::faults::Faults;
use crate::Result;
use crate::model::{
    Account, DialectKey, DialectRecord, Event, EventKind, HostSettings, Image, Job, Operation, Specification, Timestamp, TokenRecord,
    VmRecord, Volume,
};
use crate::port::{Durability, JobFilter, Listing, OperationFilter, Page, SortOrder, Store, StoredState, Write};
use async_trait::async_trait;
use imbl::OrdMap;
use parking_lot::Mutex;
use std::ops::Bound;
use std::sync::Arc;
use uuid::Uuid;

/// Storage in memory. The data outlives the session: see [`FakeStore::reopen`].
#[derive(Debug)]
pub struct FakeStore {
    disk: Arc<Mutex<Disk>>,
    faults: Faults,
}

/// What was written, and what of it would survive power loss.
#[derive(Debug, Default)]
struct Disk {
    current: Tables,
    durable: Tables,
    durable_commits: u64,
    relaxed_commits: u64,
}

/// Clones share structure.
#[derive(Debug, Clone, Default)]
struct Tables {
    vms: OrdMap<Uuid, Arc<VmRecord>>,
    volumes: OrdMap<Uuid, Arc<Volume>>,
    images: OrdMap<Uuid, Arc<Image>>,
    specifications: OrdMap<Uuid, Arc<Specification>>,
    jobs: OrdMap<Uuid, Arc<Job>>,
    operations: OrdMap<Uuid, Arc<Operation>>,
    accounts: OrdMap<Uuid, Arc<Account>>,
    tokens: OrdMap<String, TokenRecord>,
    dialect_records: OrdMap<DialectKey, Arc<DialectRecord>>,
    host_settings: Option<HostSettings>,
    events: OrdMap<u64, Arc<Event>>,
    /// Outlives the events, so that no cursor is given twice.
    last_cursor: u64,
    /// What was announced last of each VM that is not gone; outlives the events.
    last_vm_events: OrdMap<Uuid, Arc<Event>>,
}

impl FakeStore {
    /// An empty store.
    pub fn new(faults: Faults) -> Arc<Self> {
        Arc::new(Self { disk: Arc::default(), faults })
    }

    /// A new session on the same data, as after a restart of the daemon.
    pub fn reopen(&self, faults: Faults) -> Arc<Self> {
        Arc::new(Self { disk: Arc::clone(&self.disk), faults })
    }

    /// Loses everything that was committed after the last durable commit, as power loss may.
    pub fn lose_power(&self) {
        let mut disk = self.disk.lock();
        disk.current = disk.durable.clone();
    }

    /// Durable and relaxed commits so far.
    pub fn commit_counts(&self) -> (u64, u64) {
        let disk = self.disk.lock();
        (disk.durable_commits, disk.relaxed_commits)
    }

    async fn call<T: Send>(&self, method: &'static str, about: String, effect: impl FnOnce(&mut Disk) -> T + Send) -> Result<T> {
        let pass = self.faults.enter(method, about).await?;
        if pass.is_disconnect {
            return Err(crate::fail!(HypervisorUnavailable));
        }
        let value = effect(&mut self.disk.lock());
        self.faults.leave(pass).await?;
        Ok(value)
    }
}

impl Tables {
    fn apply(&mut self, write: Write) {
        match write {
            Write::PutVm(vm) => drop(self.vms.insert(vm.vm_uuid, vm)),
            Write::DeleteVm(uuid) => drop(self.vms.remove(&uuid)),
            Write::PutVolume(volume) => drop(self.volumes.insert(volume.volume_uuid, volume)),
            Write::DeleteVolume(uuid) => drop(self.volumes.remove(&uuid)),
            Write::PutImage(image) => drop(self.images.insert(image.image_uuid, image)),
            Write::DeleteImage(uuid) => drop(self.images.remove(&uuid)),
            Write::PutSpecification(shape) => drop(self.specifications.insert(shape.specification_uuid, shape)),
            Write::DeleteSpecification(uuid) => drop(self.specifications.remove(&uuid)),
            Write::PutJob(job) => drop(self.jobs.insert(job.job_uuid, job)),
            Write::PutOperation(operation) => drop(self.operations.insert(operation.operation_uuid, operation)),
            Write::PutAccount(account) => drop(self.accounts.insert(account.user_uuid, account)),
            Write::DeleteAccount(uuid) => {
                self.accounts.remove(&uuid);
                retain(&mut self.tokens, |token| token.user_uuid != uuid);
            }
            Write::PutToken(token) => drop(self.tokens.insert(token.token_hash.clone(), token)),
            Write::DeleteToken(hash) => drop(self.tokens.remove(&hash)),
            Write::PutDialectRecord(record) => drop(self.dialect_records.insert(record.key.clone(), record)),
            Write::DeleteDialectRecord(key) => drop(self.dialect_records.remove(&key)),
            Write::PutHostSettings(settings) => self.host_settings = Some(settings),
            Write::PutEvent(event) => self.append(&event),
            Write::AdvanceEvents(cursor) => self.last_cursor = self.last_cursor.max(cursor),
            Write::Prune { jobs_before, operations_before, tokens_before, events_before } => {
                retain(&mut self.jobs, |job| !job.status.is_ended() || job.finish_time.is_none_or(|time| time >= jobs_before));
                retain(&mut self.operations, |operation| operation.create_time >= operations_before);
                retain(&mut self.tokens, |token| token.expire_time >= tokens_before);
                self.prune_events(events_before);
            }
        }
    }

    fn append(&mut self, event: &Event) {
        self.last_cursor += 1;
        let event = Arc::new(Event { cursor: self.last_cursor, ..event.clone() });
        if let (EventKind::VmStatus, Some(vm)) = (event.kind, event.resource) {
            match event.new.is_empty() {
                true => drop(self.last_vm_events.remove(&vm.uuid)),
                false => drop(self.last_vm_events.insert(vm.uuid, Arc::clone(&event))),
            }
        }
        self.events.insert(event.cursor, event);
    }

    /// Up to the last one that is too old, so that what is left has no holes even where the clock jumped.
    fn prune_events(&mut self, before: Timestamp) {
        if let Some(last) = self.events.values().filter(|event| event.time < before).map(|event| event.cursor).max() {
            retain(&mut self.events, |event| event.cursor > last);
        }
    }
}

fn retain<K: Ord + Clone, V: Clone>(map: &mut OrdMap<K, V>, keep: impl Fn(&V) -> bool) {
    let gone: Vec<K> = map.iter().filter(|(_, value)| !keep(value)).map(|(key, _)| key.clone()).collect();
    for key in gone {
        map.remove(&key);
    }
}

/// The word of a write in the call log.
fn word(write: &Write) -> String {
    let text = format!("{write:?}");
    text.split(['(', ' ']).next().unwrap_or_default().to_owned()
}

#[async_trait]
impl Store for FakeStore {
    async fn load(&self) -> Result<StoredState> {
        self.call("load", String::new(), |disk| {
            let tables = &disk.current;
            let mut open_jobs: Vec<Job> = tables.jobs.values().filter(|job| !job.status.is_ended()).map(|job| Job::clone(job)).collect();
            open_jobs.sort_by_key(|job| (job.create_time, job.job_uuid));
            StoredState {
                vms: tables.vms.values().map(|vm| VmRecord::clone(vm)).collect(),
                volumes: tables.volumes.values().map(|volume| Volume::clone(volume)).collect(),
                images: tables.images.values().map(|image| Image::clone(image)).collect(),
                specifications: tables.specifications.values().map(|shape| Specification::clone(shape)).collect(),
                open_jobs,
                accounts: tables.accounts.values().map(|account| Account::clone(account)).collect(),
                dialect_records: tables.dialect_records.values().map(|record| DialectRecord::clone(record)).collect(),
                tokens: tables.tokens.values().cloned().collect(),
                host_settings: tables.host_settings.clone(),
                last_vm_events: tables.last_vm_events.values().map(|event| Event::clone(event)).collect(),
            }
        })
        .await
    }

    async fn commit(&self, writes: Vec<Write>, durability: Durability) -> Result<()> {
        let about = writes.iter().map(word).collect::<Vec<_>>().join(" ");
        self.call("commit", about, |disk| {
            for write in writes {
                disk.current.apply(write);
            }
            match durability {
                Durability::Durable => {
                    disk.durable = disk.current.clone();
                    disk.durable_commits += 1;
                }
                Durability::Relaxed => disk.relaxed_commits += 1,
            }
        })
        .await
    }

    async fn job(&self, job_uuid: Uuid) -> Result<Option<Job>> {
        self.call("job", job_uuid.to_string(), |disk| disk.current.jobs.get(&job_uuid).map(|job| Job::clone(job))).await
    }

    async fn job_by_request(&self, request_uuid: Uuid, since: Timestamp) -> Result<Option<Job>> {
        self.call("job_by_request", request_uuid.to_string(), |disk| {
            let jobs = disk.current.jobs.values().filter(|job| job.request_uuid == Some(request_uuid) && job.create_time >= since);
            jobs.max_by_key(|job| (job.create_time, job.job_uuid)).map(|job| Job::clone(job))
        })
        .await
    }

    async fn list_jobs(&self, filter: JobFilter, page: Page) -> Result<Listing<Job>> {
        self.call("list_jobs", String::new(), |disk| {
            let rows = disk.current.jobs.values().filter(|job| {
                (filter.status.is_empty() || filter.status.contains(&job.status))
                    && filter.resource_uuid.is_none_or(|uuid| uuid == job.resource.uuid)
                    && filter.verb.is_none_or(|verb| verb == job.verb)
                    && filter.name.as_ref().is_none_or(|name| job.resource_name.contains(name.as_str()))
            });
            cut(rows.collect(), page, |job| (job.create_time, job.job_uuid))
        })
        .await
    }

    async fn operation(&self, operation_uuid: Uuid) -> Result<Option<Operation>> {
        self.call("operation", operation_uuid.to_string(), |disk| {
            disk.current.operations.get(&operation_uuid).map(|operation| Operation::clone(operation))
        })
        .await
    }

    async fn list_events(&self, after: u64, limit: u64) -> Result<Vec<Event>> {
        self.call("list_events", after.to_string(), |disk| {
            let take = usize::try_from(limit).unwrap_or(usize::MAX);
            let later = (Bound::Excluded(after), Bound::Unbounded);
            disk.current.events.range(later).take(take).map(|(_, event)| Event::clone(event)).collect()
        })
        .await
    }

    async fn event_bounds(&self) -> Result<(u64, u64)> {
        self.call("event_bounds", String::new(), |disk| {
            let tables = &disk.current;
            let first = tables.events.get_min().map_or(tables.last_cursor + 1, |(cursor, _)| *cursor);
            (first, tables.last_cursor)
        })
        .await
    }

    async fn list_operations(&self, filter: OperationFilter, page: Page) -> Result<Listing<Operation>> {
        self.call("list_operations", String::new(), |disk| {
            let rows = disk.current.operations.values().filter(|operation| {
                filter.start_time.is_none_or(|time| operation.create_time >= time)
                    && filter.end_time.is_none_or(|time| operation.create_time <= time)
                    && filter.user_name.as_ref().is_none_or(|name| *name == operation.caller.user_name)
                    && filter.resource_type.is_none_or(|kind| Some(kind) == operation.resource_type)
                    && filter.resource_uuid.is_none_or(|uuid| Some(uuid) == operation.resource_uuid)
                    && filter.is_success.is_none_or(|good| operation.finish_time.is_some() && operation.error.is_none() == good)
                    && filter.name.as_ref().is_none_or(|name| operation.resource_name.contains(name.as_str()))
            });
            cut(rows.collect(), page, |operation| (operation.create_time, operation.operation_uuid))
        })
        .await
    }
}

/// Sorts, counts and cuts out one page.
fn cut<T: Clone>(mut rows: Vec<&Arc<T>>, page: Page, key: impl Fn(&T) -> (Timestamp, Uuid)) -> Listing<T> {
    rows.sort_by_key(|row| key(row));
    if page.order == SortOrder::Descending {
        rows.reverse();
    }
    let total_count = rows.len() as u64;
    let skip = usize::try_from(page.offset).unwrap_or(usize::MAX);
    let take = usize::try_from(page.limit).unwrap_or(usize::MAX);
    Listing { total_count, rows: rows.into_iter().skip(skip).take(take).map(|row| T::clone(row)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fail;
    use crate::fake::Fault;
    use crate::model::{Caller, JobStatus, ResourceKey, ResourceType, VerbKind};
    use serde_json::Value;

    fn job(number: u128, status: JobStatus, name: &str) -> Arc<Job> {
        let time = Timestamp::from_seconds(i64::try_from(number).unwrap());
        Arc::new(Job {
            job_uuid: Uuid::from_u128(number),
            verb: VerbKind::StartVm,
            resource: ResourceKey { kind: ResourceType::Vm, uuid: Uuid::from_u128(99) },
            resource_name: name.into(),
            input: Value::Null,
            caller: Caller::system(),
            request_uuid: Some(Uuid::from_u128(7)),
            request_hash: None,
            operation_uuid: Uuid::nil(),
            status,
            progress_percent: 0,
            steps: vec![],
            is_cancel_requested: false,
            is_after_restart: false,
            error: None,
            result: None,
            create_time: time,
            start_time: None,
            finish_time: status.is_ended().then_some(time),
        })
    }

    const ALL: Page = Page { offset: 0, limit: u64::MAX, order: SortOrder::Descending };

    #[tokio::test]
    async fn pages_are_newest_first_and_count_every_row() {
        let store = FakeStore::new(Faults::new());
        let writes = (1..=5).map(|n| Write::PutJob(job(n, JobStatus::Succeeded, "web"))).collect();
        store.commit(writes, Durability::Durable).await.unwrap();
        let page = store.list_jobs(JobFilter::default(), Page { offset: 1, limit: 2, ..ALL }).await.unwrap();
        assert_eq!(page.total_count, 5);
        assert_eq!(page.rows.iter().map(|j| j.job_uuid.as_u128()).collect::<Vec<_>>(), [4, 3]);
        let newest = store.job_by_request(Uuid::from_u128(7), Timestamp::from_seconds(2)).await.unwrap();
        assert_eq!(newest.map(|job| job.job_uuid.as_u128()), Some(5));
        assert_eq!(store.job_by_request(Uuid::from_u128(7), Timestamp::from_seconds(6)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn pruning_spares_open_jobs() {
        let store = FakeStore::new(Faults::new());
        let writes = vec![Write::PutJob(job(1, JobStatus::Running, "a")), Write::PutJob(job(2, JobStatus::Failed, "b"))];
        store.commit(writes, Durability::Relaxed).await.unwrap();
        let later = Timestamp::from_seconds(100);
        let prune = Write::Prune { jobs_before: later, operations_before: later, tokens_before: later, events_before: later };
        store.commit(vec![prune], Durability::Relaxed).await.unwrap();
        let left = store.list_jobs(JobFilter::default(), ALL).await.unwrap().rows;
        assert_eq!(left.iter().map(|j| j.status).collect::<Vec<_>>(), [JobStatus::Running]);
        assert_eq!(store.load().await.unwrap().open_jobs.len(), 1);
    }

    fn put_event(vm: u128, new: &str, second: i64) -> Write {
        Write::PutEvent(Arc::new(Event {
            cursor: 77,
            time: Timestamp::from_seconds(second),
            kind: EventKind::VmStatus,
            resource: Some(ResourceKey { kind: ResourceType::Vm, uuid: Uuid::from_u128(vm) }),
            resource_name: "web".into(),
            old: String::new(),
            new: new.into(),
            reason: String::new(),
            job_uuid: None,
            request_id: String::new(),
        }))
    }

    #[tokio::test]
    async fn events_are_numbered_pruned_without_holes_and_never_numbered_again() {
        let store = FakeStore::new(Faults::new());
        assert_eq!(store.event_bounds().await.unwrap(), (1, 0));
        // The clock jumps back once.
        let writes = vec![put_event(1, "running", 1), put_event(2, "running", 9), put_event(3, "running", 2), put_event(1, "stopped", 10)];
        store.commit(writes, Durability::Durable).await.unwrap();
        let prune = |second| {
            let never = Timestamp(i64::MIN);
            let events_before = Timestamp::from_seconds(second);
            vec![Write::Prune { jobs_before: never, operations_before: never, tokens_before: never, events_before }]
        };
        store.commit(prune(5), Durability::Relaxed).await.unwrap();
        assert_eq!(store.event_bounds().await.unwrap(), (4, 4));
        store.commit(prune(50), Durability::Relaxed).await.unwrap();
        assert_eq!(store.event_bounds().await.unwrap(), (5, 4));
        store.commit(vec![put_event(2, "", 51), put_event(4, "running", 52)], Durability::Relaxed).await.unwrap();
        let reopened = store.reopen(Faults::new());
        let cursors = |events: Vec<Event>| events.iter().map(|event| event.cursor).collect::<Vec<_>>();
        assert_eq!(cursors(reopened.list_events(0, 9).await.unwrap()), [5, 6]);
        assert_eq!(cursors(reopened.list_events(5, 9).await.unwrap()), [6]);
        assert_eq!(cursors(reopened.list_events(0, 1).await.unwrap()), [5]);
        // Of VMs 1, 3 and 4; the second is gone.
        assert_eq!(cursors(reopened.load().await.unwrap().last_vm_events), [4, 3, 6]);
    }

    #[tokio::test]
    async fn a_failing_commit_writes_nothing_and_a_reopened_store_has_the_rest() {
        let faults = Faults::new();
        let store = FakeStore::new(faults.clone());
        store.commit(vec![Write::PutJob(job(1, JobStatus::Running, "a"))], Durability::Durable).await.unwrap();
        faults.on("commit", 1, Fault::FailBefore(fail!(StoreFailed)));
        assert!(store.commit(vec![Write::PutJob(job(2, JobStatus::Running, "b"))], Durability::Durable).await.is_err());
        let reopened = store.reopen(Faults::new());
        assert_eq!(reopened.load().await.unwrap().open_jobs.len(), 1);
        assert_eq!(faults.calls()[0].about, "PutJob");
    }

    #[tokio::test]
    async fn power_loss_takes_only_what_was_committed_after_the_last_durable_commit() {
        let store = FakeStore::new(Faults::new());
        store.commit(vec![Write::PutJob(job(1, JobStatus::Running, "a"))], Durability::Relaxed).await.unwrap();
        store.commit(vec![Write::PutJob(job(2, JobStatus::Running, "b"))], Durability::Durable).await.unwrap();
        store.commit(vec![Write::PutJob(job(3, JobStatus::Running, "c"))], Durability::Relaxed).await.unwrap();
        store.lose_power();
        assert_eq!(store.load().await.unwrap().open_jobs.len(), 2);
        assert_eq!(store.commit_counts(), (1, 2));
    }
}
