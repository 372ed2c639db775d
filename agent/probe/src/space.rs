//! Space of file systems, asked for on threads of its own: a server that is gone holds one of them, never the caller.
//!
//! A file system that does not answer is not asked again until its call returns; meanwhile its space is unknown. Local and remote ones have
//! each their own few threads, so that dead servers cannot keep the local disks from being asked.

use crate::mounts::{Mount, Reach};
use hvnode_core::model::{FileSystem, FileSystemSpace};
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Asks one file system; may take forever.
pub(crate) type Ask = Arc<dyn Fn(&Path) -> Option<FileSystemSpace> + Send + Sync>;

/// Threads for each kind, stuck ones included.
const LOCAL_THREADS_MAX: usize = 2;
const REMOTE_THREADS_MAX: usize = 4;

/// How long is waited for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// The caller waits so long at most; later answers are for its next call.
    pub(crate) call: Duration,
    /// After this long without an end another thread helps.
    pub(crate) helper: Duration,
    /// A file system asked longer ago than this does not answer.
    pub(crate) answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { call: Duration::from_millis(100), helper: Duration::from_millis(10), answer: Duration::from_secs(1) }
    }
}

/// Knows the space of file systems.
pub(crate) struct SpaceReader {
    local: Arc<Pool>,
    remote: Arc<Pool>,
    patience: Patience,
}

impl Default for SpaceReader {
    fn default() -> Self {
        Self::new(&(Arc::new(statvfs) as Ask), Patience::default())
    }
}

impl std::fmt::Debug for SpaceReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpaceReader").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl SpaceReader {
    pub(crate) fn new(ask: &Ask, patience: Patience) -> Self {
        let pool = |threads_max| Arc::new(Pool { ask: ask.clone(), threads_max, state: Mutex::default(), answered: Condvar::new() });
        Self { local: pool(LOCAL_THREADS_MAX), remote: pool(REMOTE_THREADS_MAX), patience }
    }

    /// The file systems with their space, where they answer. Returns in time whatever they do.
    pub(crate) fn read(&self, mounts: &[(&Mount, Reach)]) -> Vec<FileSystem> {
        let deadline = Instant::now() + self.patience.call;
        let of = |wanted: Reach| mounts.iter().filter(move |(_, reach)| *reach == wanted).map(|(mount, _)| *mount);
        self.local.request(of(Reach::Local));
        self.remote.request(of(Reach::Remote));
        // both work while the first is waited for
        self.local.wait(deadline, self.patience);
        self.remote.wait(deadline, self.patience);
        let space = |mount: &Mount, reach| match reach {
            Reach::Local => self.local.space(mount, self.patience),
            Reach::Remote => self.remote.space(mount, self.patience),
        };
        mounts
            .iter()
            .map(|(mount, reach)| FileSystem {
                mount_point: mount.mount_point.clone(),
                device: mount.source.clone(),
                kind: mount.kind.clone(),
                space: space(mount, *reach),
            })
            .collect()
    }
}

/// Threads that come when there is something to ask and go when it is done.
struct Pool {
    ask: Ask,
    threads_max: usize,
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Default)]
struct State {
    answers: HashMap<Mount, Answer>,
    queue: VecDeque<Mount>,
    threads: usize,
}

#[derive(Default)]
struct Answer {
    /// Since when an answer is waited for; absent while none is.
    asked_at: Option<Instant>,
    space: Option<FileSystemSpace>,
}

impl Pool {
    /// Asks for every mount that is not being asked already; forgets those that are gone.
    fn request<'a>(self: &Arc<Self>, mounts: impl Iterator<Item = &'a Mount>) {
        let mounts: Vec<&Mount> = mounts.collect();
        let mut state = self.state.lock();
        let State { answers, queue, .. } = &mut *state;
        // one that is stuck is kept: forgotten, it would be asked by a second thread should it come back
        answers.retain(|mount, answer| mounts.contains(&mount) || (answer.asked_at.is_some() && !queue.contains(mount)));
        queue.retain(|mount| mounts.contains(&mount));
        for mount in mounts {
            let answer = answers.entry(mount.clone()).or_default();
            if answer.asked_at.is_none() {
                answer.asked_at = Some(Instant::now());
                queue.push_back(mount.clone());
            }
        }
        self.add_thread(&mut state);
    }

    /// Waits until nothing is asked that may yet answer in time.
    fn wait(self: &Arc<Self>, deadline: Instant, patience: Patience) {
        let mut state = self.state.lock();
        loop {
            let now = Instant::now();
            let is_open = |answer: &Answer| answer.asked_at.is_some_and(|at| now.saturating_duration_since(at) < patience.answer);
            if now >= deadline || !state.answers.values().any(is_open) {
                return;
            }
            if self.answered.wait_until(&mut state, deadline.min(now + patience.helper)).timed_out() {
                self.add_thread(&mut state);
            }
        }
    }

    fn space(&self, mount: &Mount, patience: Patience) -> Option<FileSystemSpace> {
        let state = self.state.lock();
        let answer = state.answers.get(mount)?;
        answer.space.filter(|_| answer.asked_at.is_none_or(|at| at.elapsed() < patience.answer))
    }

    fn add_thread(self: &Arc<Self>, state: &mut State) {
        if state.queue.is_empty() || state.threads >= self.threads_max {
            return;
        }
        let pool = self.clone();
        // without a thread the space stays unknown, and the next call tries again
        if std::thread::Builder::new().name("file-systems".into()).spawn(move || pool.work()).is_ok() {
            state.threads += 1;
        }
    }

    fn work(&self) {
        let mut state = self.state.lock();
        while let Some(mount) = state.queue.pop_front() {
            drop(state);
            let space = (self.ask)(Path::new(&mount.mount_point));
            state = self.state.lock();
            if let Some(answer) = state.answers.get_mut(&mount) {
                *answer = Answer { asked_at: None, space };
            }
            self.answered.notify_all();
        }
        state.threads -= 1;
    }
}

fn statvfs(path: &Path) -> Option<FileSystemSpace> {
    let found = nix::sys::statvfs::statvfs(path).ok()?;
    let block_bytes = found.fragment_size();
    Some(FileSystemSpace {
        size_bytes: found.blocks().saturating_mul(block_bytes),
        available_bytes: found.blocks_available().saturating_mul(block_bytes),
    })
}

#[cfg(test)]
#[path = "space_tests.rs"]
mod tests;
