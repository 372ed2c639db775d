//! The one thread that writes: everything that waits becomes one transaction, each commit a savepoint in it.

use crate::encode::Statement;
use crate::error::{DamageGuard, examined, failed};
use hvnode_core::port::Durability;
use hvnode_core::{AgentError, Result, fail};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, params_from_iter};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Commits that may wait.
const QUEUE_MAX: usize = 1024;
/// Commits in one transaction.
const BATCH_MAX: usize = 256;
/// Longest time a commit waits to be begun, and then to be finished.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// What was written since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStatistics {
    /// Commits acknowledged.
    pub commits: u64,
    /// Commits refused or failed.
    pub failed_commits: u64,
    /// Transactions that carried them.
    pub transactions: u64,
    /// Transactions that waited for the disk.
    pub durable_flushes: u64,
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    failed_commits: AtomicU64,
    transactions: AtomicU64,
    durable_flushes: AtomicU64,
}

/// Who owns a waiting commit: its caller may give up only as long as the writer has not begun it.
#[derive(Debug, Default)]
struct Claim(AtomicU8);

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const ABANDONED: u8 = 2;

impl Claim {
    fn set(&self, owner: u8) -> bool {
        self.0.compare_exchange(WAITING, owner, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[derive(Debug)]
struct Commit {
    statements: Vec<Statement>,
    durability: Durability,
    claim: Arc<Claim>,
    answer: oneshot::Sender<Result<usize>>,
}

/// The queue to the writer thread. Dropping it writes what waits and ends the thread.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Option<SyncSender<Task>>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
    guard: Option<DamageGuard>,
}

#[derive(Debug)]
enum Task {
    Commit(Commit),
    /// Gives free pages back to the file system, at most so many.
    Shrink(u32),
    /// Runs between transactions; for tests that play with the connection.
    #[cfg(test)]
    Run(fn(&Connection)),
    /// Holds the thread until the sender is dropped; for tests of the queue.
    #[cfg(test)]
    Hold(std::sync::mpsc::Receiver<()>),
}

impl Writer {
    /// `lock` is kept until the thread has ended. With a guard nothing is written once damage was found. Linux shows 15 characters of the
    /// thread's name.
    pub(crate) fn start(name: &str, connection: Connection, lock: Option<File>, guard: Option<DamageGuard>) -> Result<Self> {
        let (queue, tasks) = sync_channel(QUEUE_MAX);
        let counters = Arc::<Counters>::default();
        let thread = std::thread::Builder::new().name(name.into()).spawn({
            let (counters, guard) = (Arc::clone(&counters), guard.clone());
            move || {
                serve(&connection, &tasks, &counters);
                end(&connection, guard.as_ref());
                drop(connection);
                drop(lock);
            }
        });
        let thread = thread.map_err(|error| fail!(StoreFailed, "no thread for writing"; "无法创建写入线程").caused_by(error))?;
        Ok(Self { queue: Some(queue), counters, thread: Some(thread), guard })
    }

    pub(crate) fn statistics(&self) -> StoreStatistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStatistics {
            commits: read(&self.counters.commits),
            failed_commits: read(&self.counters.failed_commits),
            transactions: read(&self.counters.transactions),
            durable_flushes: read(&self.counters.durable_flushes),
        }
    }

    /// Gives the number of rows that were changed.
    pub(crate) async fn commit(&self, statements: Vec<Statement>, durability: Durability) -> Result<usize> {
        let result = match self.guard.as_ref().map_or(Ok(()), DamageGuard::check) {
            Ok(()) => self.queue_and_wait(statements, durability).await.map_err(|error| examined(self.guard.as_ref(), error)),
            Err(refusal) => Err(refusal),
        };
        let counter = if result.is_ok() { &self.counters.commits } else { &self.counters.failed_commits };
        counter.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// Gives free pages back to the file system, some time later: at most so many, and only where a good part of the file is free.
    pub(crate) fn shrink(&self, pages_max: u32) -> Result<()> {
        self.send(Task::Shrink(pages_max))
    }

    async fn queue_and_wait(&self, statements: Vec<Statement>, durability: Durability) -> Result<usize> {
        let claim = Arc::<Claim>::default();
        let (answer, mut answered) = oneshot::channel();
        self.send(Task::Commit(Commit { statements, durability, claim: Arc::clone(&claim), answer }))?;
        if let Ok(answer) = tokio::time::timeout(COMMIT_TIMEOUT, &mut answered).await {
            return answer.unwrap_or_else(|_| Err(ended()));
        }
        if claim.set(ABANDONED) {
            return Err(fail!(StoreFailed, "the disk is too slow, nothing was written"; "磁盘过慢, 未写入任何内容"));
        }
        match tokio::time::timeout(COMMIT_TIMEOUT, answered).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(ended())),
            Err(_) => {
                Err(fail!(Timeout, "the disk does not answer, it is not known whether this was written"; "磁盘无响应, 不确定是否已写入"))
            }
        }
    }

    fn send(&self, task: Task) -> Result<()> {
        let Some(queue) = &self.queue else { return Err(ended()) };
        queue.try_send(task).map_err(|error| match error {
            TrySendError::Full(_) => fail!(StoreFailed, "too many writes wait, try again"; "等待的写入过多, 请重试"),
            TrySendError::Disconnected(_) => ended(),
        })
    }

    #[cfg(test)]
    pub(crate) fn run(&self, action: fn(&Connection)) {
        self.send(Task::Run(action)).unwrap();
    }

    /// The thread takes nothing more from the queue until the sender given back is dropped.
    #[cfg(test)]
    pub(crate) fn hold(&self) -> SyncSender<()> {
        let (release, held) = sync_channel(0);
        self.send(Task::Hold(held)).unwrap();
        release
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there was logged by the panic hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

fn ended() -> AgentError {
    fail!(StoreFailed, "the writer thread has ended"; "写入线程已结束")
}

fn serve(connection: &Connection, tasks: &Receiver<Task>, counters: &Counters) {
    // Not a real level: the first transaction sets its own.
    let mut synchronous = "";
    while let Ok(first) = tasks.recv() {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(task) = next.take() {
            match task {
                Task::Commit(commit) if commit.claim.set(TAKEN) => batch.push(commit),
                // Its caller was already told that nothing was written.
                Task::Commit(_) => {}
                Task::Shrink(pages_max) => shrink(connection, pages_max),
                #[cfg(test)]
                Task::Run(action) => action(connection),
                #[cfg(test)]
                Task::Hold(held) => drop(held.recv()),
            }
            if batch.len() < BATCH_MAX {
                next = tasks.try_recv().ok();
            }
        }
        if !batch.is_empty() {
            write(connection, &mut synchronous, batch, counters);
        }
    }
}

/// Moves the log into the database, so that the next start has nothing to recover; the log alone would be right too. A damaged database
/// and its log are left as they are, for whoever tries to save them.
fn end(connection: &Connection, guard: Option<&DamageGuard>) {
    if guard.is_some_and(DamageGuard::is_damaged) {
        return;
    }
    let moved = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    // Now SQLite may remove the empty log when it closes.
    if let Err(error) = moved.and_then(|()| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)) {
        tracing::warn!(%error, "Checkpoint at the end failed");
    }
}

/// Gives pages back where more than an eighth of the file is free: what is left is soon used again.
fn shrink(connection: &Connection, pages_max: u32) {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let given_back = || -> rusqlite::Result<u32> {
        let (free, all) = (pragma("freelist_count")?, pragma("page_count")?);
        let surplus = free.saturating_sub(all / 8).min(pages_max);
        if surplus > 0 {
            // A row, without a column, for every page.
            let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({surplus})"))?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
        }
        Ok(surplus)
    };
    match given_back() {
        Ok(pages) => tracing::debug!(pages, "Free pages were given back"),
        Err(error) => tracing::warn!(%error, "Free pages could not be given back"),
    }
}

/// Writes a batch and answers each of its callers.
fn write(connection: &Connection, synchronous: &mut &'static str, batch: Vec<Commit>, counters: &Counters) {
    let is_durable = batch.iter().any(|commit| commit.durability == Durability::Durable);
    let wanted = if is_durable { "FULL" } else { "NORMAL" };
    let outcome = set_synchronous(connection, synchronous, wanted).and_then(|()| write_transaction(connection, &batch));
    match outcome {
        Ok(results) => {
            counters.transactions.fetch_add(1, Ordering::Relaxed);
            counters.durable_flushes.fetch_add(u64::from(is_durable), Ordering::Relaxed);
            for (commit, result) in batch.into_iter().zip(results) {
                // The caller may have gone away; its commit stands.
                let _ = commit.answer.send(result);
            }
        }
        Err(error) => {
            let error = failed(error);
            tracing::error!(commits = batch.len(), error = %error.chain(), "Database transaction failed, nothing of it was written");
            for commit in batch {
                let _ = commit.answer.send(Err(error.clone()));
            }
        }
    }
}

fn set_synchronous(connection: &Connection, current: &mut &'static str, wanted: &'static str) -> rusqlite::Result<()> {
    if *current != wanted {
        connection.pragma_update(None, "synchronous", wanted)?;
        *current = wanted;
    }
    Ok(())
}

/// One result per commit, or the error that took the whole transaction down.
fn write_transaction(connection: &Connection, batch: &[Commit]) -> rusqlite::Result<Vec<Result<usize>>> {
    if !connection.is_autocommit() {
        // Left over from a rollback that failed.
        connection.execute_batch("ROLLBACK")?;
    }
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let written = batch.iter().map(|commit| write_one(connection, commit)).collect::<rusqlite::Result<Vec<_>>>();
    let outcome = written.and_then(|results| connection.execute_batch("COMMIT").map(|()| results));
    if outcome.is_err()
        && !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::warn!(%error, "Rollback failed, it is tried again before the next transaction");
    }
    outcome
}

/// The inner result is this commit's own; the outer error says that the transaction is gone with all of its commits.
fn write_one(connection: &Connection, commit: &Commit) -> rusqlite::Result<Result<usize>> {
    connection.prepare_cached("SAVEPOINT one")?.execute([])?;
    let execute = |statement: &Statement| connection.prepare_cached(statement.sql)?.execute(params_from_iter(&statement.values));
    let executed = commit.statements.iter().map(execute).sum::<rusqlite::Result<usize>>();
    match executed {
        Ok(rows) => {
            connection.prepare_cached("RELEASE one")?.execute([])?;
            Ok(Ok(rows))
        }
        // SQLite rolled everything back by itself: disk full, I/O error, no memory.
        Err(error) if connection.is_autocommit() => Err(error),
        Err(error) => {
            connection.execute_batch("ROLLBACK TO one; RELEASE one")?;
            Ok(Err(failed(error)))
        }
    }
}
