//! A few threads with read-only connections, fed by one bounded queue.

use crate::error::{DamageGuard, examined};
use crate::schema::open_reader;
use hvnode_core::{Result, fail};
use rusqlite::Connection;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Threads.
const READERS: usize = 2;
/// Reads that may wait.
const QUEUE_MAX: usize = 256;
/// Longest time a caller waits for its answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

type Task = Box<dyn FnOnce(&Result<Connection>) + Send>;

/// The pool. Dropping it ends its threads once their current reads have ended.
#[derive(Debug)]
pub(crate) struct Readers {
    queue: Option<SyncSender<Task>>,
    threads: Vec<JoinHandle<()>>,
    guard: Option<DamageGuard>,
}

impl Readers {
    pub(crate) fn start(name: &str, path: &Path, guard: Option<DamageGuard>) -> Result<Self> {
        let (queue, tasks) = sync_channel(QUEUE_MAX);
        let tasks = Arc::new(Mutex::new(tasks));
        let mut threads = Vec::with_capacity(READERS);
        for index in 0..READERS {
            let (path, tasks) = (path.to_owned(), Arc::clone(&tasks));
            let thread = std::thread::Builder::new().name(format!("{name}-{index}")).spawn(move || serve(&path, &tasks));
            threads.push(thread.map_err(|error| fail!(StoreFailed, "no thread for reading"; "无法创建读取线程").caused_by(error))?);
        }
        Ok(Self { queue: Some(queue), threads, guard })
    }

    /// Runs `read` on one of the threads.
    pub(crate) async fn run<T: Send + 'static>(&self, read: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let task: Task = Box::new(move |connection| {
            // Nobody waits any more: do not spend time on it.
            if !answer.is_closed() {
                let _ = answer.send(connection.as_ref().map_err(Clone::clone).and_then(read));
            }
        });
        let Some(queue) = &self.queue else { return Err(ended()) };
        match queue.try_send(task) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(fail!(StoreFailed, "too many reads wait, try again"; "等待的读取过多, 请重试")),
            Err(TrySendError::Disconnected(_)) => return Err(ended()),
        }
        match tokio::time::timeout(READ_TIMEOUT, answered).await {
            Ok(Ok(result)) => result.map_err(|error| examined(self.guard.as_ref(), error)),
            Ok(Err(_)) => Err(ended()),
            Err(_) => Err(fail!(Timeout, "reading the database"; "读取数据库")),
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A panic in there was logged by the panic hook; there is nothing to add.
            let _ = thread.join();
        }
    }
}

fn ended() -> hvnode_core::AgentError {
    fail!(StoreFailed, "the reader thread has ended"; "读取线程已结束")
}

fn serve(path: &Path, tasks: &Mutex<Receiver<Task>>) {
    let mut connection = open_reader(path);
    loop {
        // The guard lives for this one statement: the other thread takes the next task while this one reads.
        let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = task else { return };
        if connection.is_err() {
            connection = open_reader(path);
        }
        task(&connection);
    }
}
