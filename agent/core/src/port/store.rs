//! What the core asks of durable storage.

use crate::Result;
use crate::model::{
    Account, DialectKey, DialectRecord, Event, HostSettings, Image, Job, JobStatus, Operation, ResourceType, Specification, Timestamp,
    TokenRecord, VerbKind, VmRecord, Volume,
};
use async_trait::async_trait;
use std::sync::Arc;
use uuid::Uuid;

/// One write. A list of them is committed whole or not at all.
#[derive(Debug, Clone)]
pub enum Write {
    /// Insert or replace.
    PutVm(Arc<VmRecord>),
    /// Remove, fine if absent.
    DeleteVm(Uuid),
    /// Insert or replace.
    PutVolume(Arc<Volume>),
    /// Remove, fine if absent.
    DeleteVolume(Uuid),
    /// Insert or replace.
    PutImage(Arc<Image>),
    /// Remove, fine if absent.
    DeleteImage(Uuid),
    /// Insert or replace.
    PutSpecification(Arc<Specification>),
    /// Remove, fine if absent.
    DeleteSpecification(Uuid),
    /// Insert or replace.
    PutJob(Arc<Job>),
    /// Insert or replace.
    PutOperation(Arc<Operation>),
    /// Insert or replace.
    PutAccount(Arc<Account>),
    /// Remove, its tokens too; fine if absent.
    DeleteAccount(Uuid),
    /// Insert or replace.
    PutToken(TokenRecord),
    /// Remove by hash, fine if absent.
    DeleteToken(String),
    /// Insert or replace.
    PutDialectRecord(Arc<DialectRecord>),
    /// Remove, fine if absent.
    DeleteDialectRecord(DialectKey),
    /// Replace.
    PutHostSettings(HostSettings),
    /// Appends to the event stream. The store numbers events 1, 2, 3, … in the order of commits and of the writes in one; what the event
    /// says as its cursor is ignored. No number is given twice, also not after pruning or a restart. The one exception: power loss may
    /// take an event of a relaxed commit, and the next one gets its number.
    PutEvent(Arc<Event>),
    /// Makes the next event's cursor greater than this one. Each start does so with its time in milliseconds: then cursors grow also over
    /// a lost database, and over a power loss that took rows which readers had seen already.
    AdvanceEvents(u64),
    /// Removes ended jobs that finished before, operation rows created before, tokens expired before, and events up to the last one from
    /// before the given times: where the clock jumped, younger events in between go too, so that the stream never has a hole.
    Prune {
        /// For jobs.
        jobs_before: Timestamp,
        /// For operation rows.
        operations_before: Timestamp,
        /// For tokens.
        tokens_before: Timestamp,
        /// For events.
        events_before: Timestamp,
    },
}

/// How sure a commit must be before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On the disk: survives power loss.
    Durable,
    /// With the kernel: survives the death of this process. For progress and steps.
    Relaxed,
}

/// Everything that readers need in memory.
#[derive(Debug, Clone, Default)]
pub struct StoredState {
    /// VMs.
    pub vms: Vec<VmRecord>,
    /// Disks.
    pub volumes: Vec<Volume>,
    /// Images.
    pub images: Vec<Image>,
    /// Shapes.
    pub specifications: Vec<Specification>,
    /// Jobs that have not ended.
    pub open_jobs: Vec<Job>,
    /// Accounts.
    pub accounts: Vec<Account>,
    /// Tokens that have not been removed.
    pub tokens: Vec<TokenRecord>,
    /// What only single dialects know.
    pub dialect_records: Vec<DialectRecord>,
    /// Settings, if any were ever stored.
    pub host_settings: Option<HostSettings>,
    /// The newest `VmStatus` event of each VM, unless it said that the VM is gone (`new` is empty): what readers of the stream were told
    /// last. In order of the VMs' uuids. Pruning does not touch these: they may be older than the first event of the stream.
    pub last_vm_events: Vec<Event>,
}

/// Order of a listing by creation time, then uuid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortOrder {
    /// Oldest first.
    Ascending,
    /// Newest first.
    #[default]
    Descending,
}

/// A part of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Rows to skip.
    pub offset: u64,
    /// Most rows to give.
    pub limit: u64,
    /// Order.
    pub order: SortOrder,
}

/// Which jobs.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// In one of these states; empty for all.
    pub status: Vec<JobStatus>,
    /// About this resource.
    pub resource_uuid: Option<Uuid>,
    /// Of this kind.
    pub verb: Option<VerbKind>,
    /// Resource name contains this.
    pub name: Option<String>,
}

/// Which operation rows.
#[derive(Debug, Clone, Default)]
pub struct OperationFilter {
    /// Created at or after.
    pub start_time: Option<Timestamp>,
    /// Created at or before.
    pub end_time: Option<Timestamp>,
    /// By this caller.
    pub user_name: Option<String>,
    /// About this kind.
    pub resource_type: Option<ResourceType>,
    /// About this one.
    pub resource_uuid: Option<Uuid>,
    /// `Some(true)`: ended well; `Some(false)`: ended badly.
    pub is_success: Option<bool>,
    /// Resource name contains this.
    pub name: Option<String>,
}

/// Rows of one page and how many there are in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// Matching rows over all pages.
    pub total_count: u64,
    /// This page.
    pub rows: Vec<T>,
}

/// Durable storage. `StoreFailed` where it cannot; nothing is then written.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads what readers need in memory.
    async fn load(&self) -> Result<StoredState>;

    /// Commits all of `writes` or none. Commits that wait at the same time share one disk flush.
    async fn commit(&self, writes: Vec<Write>, durability: Durability) -> Result<()>;

    /// One job.
    async fn job(&self, job_uuid: Uuid) -> Result<Option<Job>>;

    /// The newest job accepted with this idempotency key at or after `since`.
    async fn job_by_request(&self, request_uuid: Uuid, since: Timestamp) -> Result<Option<Job>>;

    /// Jobs.
    async fn list_jobs(&self, filter: JobFilter, page: Page) -> Result<Listing<Job>>;

    /// One operation row.
    async fn operation(&self, operation_uuid: Uuid) -> Result<Option<Operation>>;

    /// Events with a cursor greater than `after`, oldest first, at most `limit`. Never with a hole between two of them; where the first
    /// one is not `after + 1`, those between were pruned.
    async fn list_events(&self, after: u64, limit: u64) -> Result<Vec<Event>>;

    /// First and last cursor that the stream can still give: it has every event from the first to the last. `(next, next - 1)` where it
    /// holds nothing, `(1, 0)` before the first event. So a reader that has seen `after` has missed some where `after + 1 < first`, and
    /// comes from another stream, one lost with its store, where `after > last`.
    async fn event_bounds(&self) -> Result<(u64, u64)>;

    /// Operation rows.
    async fn list_operations(&self, filter: OperationFilter, page: Page) -> Result<Listing<Operation>>;
}
