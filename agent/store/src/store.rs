//! The store as the rest of the daemon sees it.

use crate::backup;
use crate::check::Checker;
use crate::encode::statements;
use crate::error::DamageGuard;
use crate::reader::Readers;
use crate::writer::{StoreStatistics, Writer};
use crate::{query, schema};
use async_trait::async_trait;
use hvnode_core::model::{Event, Job, Operation, Timestamp};
use hvnode_core::port::{Durability, JobFilter, Listing, OperationFilter, Page, Store, StoredState, Write};
use hvnode_core::{Result, at};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// The Store port on one SQLite file. Dropping it writes what waits, ends its threads and gives the file free.
#[derive(Debug)]
pub struct SqliteStore {
    _checker: Checker,
    // Before the writer: its connections are gone when the writer moves the log into the database.
    readers: Readers,
    writer: Writer,
    guard: DamageGuard,
}

impl SqliteStore {
    /// Opens the database, makes it (mode 0600) where there is none, brings its tables to this version; what is upgraded is copied to
    /// `….backup-vN` first. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// `StoreFailed`: not reachable, in use by another daemon, damaged, of another program, or written by a newer version.
    pub fn open(path: impl AsRef<Path>) -> Result<Arc<Self>> {
        let path = path.as_ref();
        let lock = schema::lock(path)?;
        let guard = DamageGuard::new(path);
        let connection = schema::open_writer(path, &schema::STATE).map_err(|error| guard.examine(error)).map_err(at!())?;
        let writer = Writer::start("store-write", connection, Some(lock), Some(guard.clone()))?;
        let checker = Checker::start(path, guard.clone())?;
        let readers = Readers::start("store-read", path, Some(guard.clone()))?;
        Ok(Arc::new(Self { _checker: checker, readers, writer, guard }))
    }

    /// What was written since the store was opened.
    pub fn statistics(&self) -> StoreStatistics {
        self.writer.statistics()
    }

    /// Problems that SQLite finds in the file, in its own words; an empty list is good news. Reads the whole file.
    ///
    /// # Errors
    /// `StoreFailed`, `Timeout`.
    pub async fn check_integrity(&self) -> Result<Vec<String>> {
        self.readers.run(query::check_integrity).await
    }

    /// Writes a consistent copy (mode 0600) to `path`, replacing what is there, while work goes on.
    ///
    /// # Errors
    /// `StoreFailed`, `Timeout`.
    pub async fn backup_to(&self, path: impl Into<PathBuf>) -> Result<()> {
        // A copy of what is damaged must not replace a good one.
        self.guard.check()?;
        let path = path.into();
        self.readers.run(move |connection| backup::copy_to(connection, &path)).await
    }

    #[cfg(test)]
    pub(crate) fn guard(&self) -> &DamageGuard {
        &self.guard
    }

    #[cfg(test)]
    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&self) -> Result<StoredState> {
        self.readers.run(query::load).await
    }

    async fn commit(&self, writes: Vec<Write>, durability: Durability) -> Result<()> {
        let mut batch = Vec::with_capacity(writes.len());
        for write in &writes {
            batch.extend(statements(write)?);
        }
        self.writer.commit(batch, durability).await.map(drop)
    }

    async fn job(&self, job_uuid: Uuid) -> Result<Option<Job>> {
        self.readers.run(move |connection| query::job(connection, job_uuid)).await
    }

    async fn job_by_request(&self, request_uuid: Uuid, since: Timestamp) -> Result<Option<Job>> {
        self.readers.run(move |connection| query::job_by_request(connection, request_uuid, since)).await
    }

    async fn list_jobs(&self, filter: JobFilter, page: Page) -> Result<Listing<Job>> {
        self.readers.run(move |connection| query::list_jobs(connection, &filter, page)).await
    }

    async fn operation(&self, operation_uuid: Uuid) -> Result<Option<Operation>> {
        self.readers.run(move |connection| query::operation(connection, operation_uuid)).await
    }

    async fn list_events(&self, after: u64, limit: u64) -> Result<Vec<Event>> {
        self.readers.run(move |connection| query::list_events(connection, after, limit)).await
    }

    async fn event_bounds(&self) -> Result<(u64, u64)> {
        self.readers.run(query::event_bounds).await
    }

    async fn list_operations(&self, filter: OperationFilter, page: Page) -> Result<Listing<Operation>> {
        self.readers.run(move |connection| query::list_operations(connection, &filter, page)).await
    }
}
