//! Looks through the whole file now and then. What SQLite reads is mostly in its caches and its log, so a file that was damaged below it
//! would otherwise be noticed weeks later, at the next start.

use crate::error::DamageGuard;
use crate::schema::open_reader;
use hvnode_core::{Result, fail};
use rusqlite::{Connection, InterruptHandle};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Before the first look: a start has better things to do.
const FIRST_AFTER: Duration = Duration::from_secs(5);
/// Between two looks, at least.
const INTERVAL: Duration = Duration::from_secs(600);
/// A look takes at most this part of the time.
const SHARE: u32 = 100;

/// The thread that looks. Dropping it ends it, in the middle of a look too.
pub(crate) struct Checker {
    stop: Option<SyncSender<()>>,
    running: Arc<Mutex<Option<InterruptHandle>>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker").field("thread", &self.thread).finish_non_exhaustive()
    }
}

impl Checker {
    pub(crate) fn start(path: &Path, guard: DamageGuard) -> Result<Self> {
        let (stop, stopped) = sync_channel(0);
        let running = Arc::<Mutex<Option<InterruptHandle>>>::default();
        let look = Look { path: path.to_owned(), guard, running: running.clone() };
        let thread = std::thread::Builder::new().name("store-check".into()).spawn(move || look.again_and_again(&stopped));
        let thread = thread.map_err(|error| fail!(StoreFailed, "no thread for checking"; "无法创建检查线程").caused_by(error))?;
        Ok(Self { stop: Some(stop), running, thread: Some(thread) })
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(running) = &*self.running.lock().unwrap_or_else(PoisonError::into_inner) {
            running.interrupt();
        }
        if let Some(thread) = self.thread.take() {
            // A panic in there was logged by the panic hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

struct Look {
    path: PathBuf,
    guard: DamageGuard,
    running: Arc<Mutex<Option<InterruptHandle>>>,
}

impl Look {
    fn again_and_again(&self, stopped: &Receiver<()>) {
        let mut pause = FIRST_AFTER;
        while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) && !self.guard.is_damaged() {
            let start = Instant::now();
            if let Err(error) = self.once() {
                tracing::debug!(error = %error.chain(), "The database could not be looked through");
            }
            pause = INTERVAL.max(start.elapsed() * SHARE);
        }
    }

    /// With a connection of its own, which has nothing in memory yet.
    fn once(&self) -> Result<()> {
        let connection = open_reader(&self.path).map_err(|error| self.guard.examine(error))?;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.get_interrupt_handle());
        let outcome = first_problem(&connection);
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
        match outcome {
            Ok(None) => Ok(()),
            Ok(Some(problem)) => Err(self.guard.found(&problem)),
            Err(error) => Err(self.guard.examine(crate::error::failed(error))),
        }
    }
}

/// The first thing that is wrong with the file, in SQLite's words.
fn first_problem(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let word: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((word != "ok").then_some(word))
}

#[cfg(test)]
pub(crate) fn look_once(path: &Path, guard: &DamageGuard) -> Result<()> {
    Look { path: path.to_owned(), guard: guard.clone(), running: Arc::default() }.once()
}
