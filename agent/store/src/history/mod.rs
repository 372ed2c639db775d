//! The HistoryStore port on a SQLite file of its own.
//!
//! History is not precious: a file that is damaged, or of a newer program, is set aside and a new one begun, at the start as well as later.
//! Where no file can be had (full disk, no permission), calls fail and opening is tried again from time to time. No commit waits for the
//! disk. Points are in the compact form of `hvnode_core::model::codec`; one row takes about as much as an idle VM has figures.

mod file;
mod sql;
#[cfg(test)]
mod tests;

use crate::encode::Statement;
use crate::error::is_damage;
use crate::schema::{self, Layout};
use async_trait::async_trait;
use file::Open;
use hvnode_core::model::{Resolution, Timestamp, UsagePoint};
use hvnode_core::port::{Durability, HistoryPoint, HistoryStore};
use hvnode_core::{AgentError, Result, fail};
use sql::Range;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// The node's history, `hvnh`.
const LAYOUT: Layout = Layout { application_id: 0x6876_6e68, migrations: &[include_str!("schema_1.sql")], can_shrink: true };

/// Pause between attempts to open the file.
const REOPEN_INTERVAL: Duration = Duration::from_secs(60);
/// Longest time a call waits for the file while that is opened or set aside.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// Pages that one pruning gives back at most: 16 MiB.
const SHRINK_PAGES_MAX: u32 = 4096;

/// History on one SQLite file. Dropping it writes what waits, ends its threads and gives the file free.
#[derive(Debug)]
pub struct SqliteHistory {
    path: PathBuf,
    state: RwLock<State>,
}

/// Whoever uses the file holds the lock for reading; whoever replaces it, for writing.
#[derive(Debug, Default)]
struct State {
    open: Option<Open>,
    /// Keeps another daemon away. Outlives the open file: it is the same before and after a replacement.
    lock: Option<File>,
    retry_at: Option<Instant>,
}

impl State {
    /// Blocks for as long as the disk takes.
    fn open(&mut self, path: &Path) -> Result<()> {
        if self.lock.is_none() {
            self.lock = Some(schema::lock(path)?);
        }
        self.open = Some(file::open(path)?);
        Ok(())
    }
}

impl SqliteHistory {
    /// Opens the file, makes it (mode 0600) where there is none. Blocks for as long as the disk takes. Where it cannot be opened, that is
    /// tried again later: a node without history is better than no node.
    pub fn open(path: impl Into<PathBuf>) -> Arc<Self> {
        let path = path.into();
        let mut state = State::default();
        if let Err(error) = state.open(&path) {
            tracing::warn!(error = %error.chain(), "The history of usage cannot be opened, it is tried again every minute");
        }
        Arc::new(Self { path, state: RwLock::new(state) })
    }

    /// The open file; opens it where it is not and the last attempt is long ago.
    async fn opened(&self) -> Result<RwLockReadGuard<'_, Open>> {
        let state = timeout(OPEN_TIMEOUT, self.state.read()).await.map_err(|_| silent())?;
        if let Ok(open) = RwLockReadGuard::try_map(state, |state| state.open.as_ref()) {
            return Ok(open);
        }
        let mut state = timeout(OPEN_TIMEOUT, self.state.write()).await.map_err(|_| silent())?;
        if state.open.is_none() {
            if state.retry_at.is_some_and(|at| Instant::now() < at) {
                return Err(closed());
            }
            state.retry_at = Some(Instant::now() + REOPEN_INTERVAL);
            self.change(&mut state, |mut state, path| {
                let outcome = state.open(path);
                (state, outcome)
            })
            .await?;
            tracing::info!("The history of usage is open");
        }
        RwLockReadGuard::try_map(RwLockWriteGuard::downgrade(state), |state| state.open.as_ref()).map_err(|_| closed())
    }

    /// Runs what blocks on the state, away from the async threads.
    async fn change(
        &self,
        state: &mut RwLockWriteGuard<'_, State>,
        work: impl FnOnce(State, &Path) -> (State, Result<()>) + Send + 'static,
    ) -> Result<()> {
        let (taken, path) = (std::mem::take(&mut **state), self.path.clone());
        let retry_at = taken.retry_at;
        match timeout(OPEN_TIMEOUT, tokio::task::spawn_blocking(move || work(taken, &path))).await {
            Ok(Ok((changed, outcome))) => {
                **state = changed;
                outcome
            }
            // The lock file went with the state: the next attempt takes it again, once what hangs has let go of it.
            Ok(Err(_)) | Err(_) => {
                state.retry_at = retry_at;
                Err(silent())
            }
        }
    }

    /// Ends a use of the file. Where that found it damaged, the file is replaced.
    async fn settle<T>(&self, open: RwLockReadGuard<'_, Open>, outcome: Result<T>) -> Result<T> {
        let since = open.since;
        drop(open);
        match outcome {
            Err(error) if is_damage(&error) => {
                self.replace(since, &error).await?;
                Err(fail!(StoreFailed, "the history was damaged, a new one begins"; "历史数据已损坏, 已重新开始").caused_by(error))
            }
            outcome => outcome,
        }
    }

    async fn replace(&self, since: std::time::Instant, damage: &AgentError) -> Result<()> {
        let mut state = timeout(OPEN_TIMEOUT, self.state.write()).await.map_err(|_| silent())?;
        // Several calls may have found the same damage; the first one that comes here sees to it.
        if state.open.as_ref().is_none_or(|open| open.since != since) {
            return Ok(());
        }
        state.retry_at = Some(Instant::now() + REOPEN_INTERVAL);
        let reason = damage.chain();
        let replace = move |mut state: State, path: &Path| {
            // Joins the threads: nobody may have the file open when it is renamed.
            state.open = None;
            let outcome = file::set_aside(path, &reason).and_then(|()| state.open(path));
            (state, outcome)
        };
        self.change(&mut state, replace).await
    }
}

fn closed() -> AgentError {
    fail!(StoreFailed, "the history is not open, see the log"; "历史数据未打开, 请查看日志")
}

fn silent() -> AgentError {
    fail!(Timeout, "opening the history"; "打开历史数据")
}

#[async_trait]
impl HistoryStore for SqliteHistory {
    async fn append(&self, resolution: Resolution, points: Vec<HistoryPoint>) -> Result<()> {
        if points.is_empty() {
            return Ok(());
        }
        let open = self.opened().await?;
        let outcome = open.writer.commit(sql::append(resolution, &points), Durability::Relaxed).await.map(drop);
        self.settle(open, outcome).await
    }

    async fn read(
        &self,
        subject_uuid: Uuid,
        resolution: Resolution,
        start: Timestamp,
        end: Timestamp,
        limit: usize,
    ) -> Result<Vec<UsagePoint>> {
        let open = self.opened().await?;
        let range = Range { subject_uuid, resolution, start, end, limit };
        let outcome = open.readers.run(move |connection| sql::read(connection, &range)).await;
        self.settle(open, outcome).await
    }

    async fn prune(&self, resolution: Resolution, before: Timestamp, after: Timestamp) -> Result<()> {
        let open = self.opened().await?;
        let outcome = prune(&open, resolution, before, after).await;
        self.settle(open, outcome).await
    }
}

/// In parts: what is appended meanwhile comes in between.
async fn prune(open: &Open, resolution: Resolution, before: Timestamp, after: Timestamp) -> Result<()> {
    let remove = async |statement: &Statement| open.writer.commit(vec![statement.clone()], Durability::Relaxed).await;
    for statement in sql::prune(resolution, before, after) {
        while remove(&statement).await? == sql::PRUNE_ROWS_MAX {}
    }
    remove(&sql::prune_subjects()).await?;
    open.writer.shrink(SHRINK_PAGES_MAX)
}
