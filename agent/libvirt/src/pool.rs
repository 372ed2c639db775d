//! Blocking calls on a bounded number of threads, each call with a deadline.
//!
//! A caller waits at most its deadline. A call that is still waiting by then is taken out of the queue. A call that is running cannot
//! be stopped: its thread is left behind as *stuck*, another takes its place when there is work, and when it comes back one thread too
//! many ends. The number of threads left behind is bounded too; once it is reached, calls are served by those that are left.

use hvnode_core::{AgentError, ErrorCode, Result, fail};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Stack of a worker: libvirt's client keeps its large buffers on the heap.
const STACK_BYTES: usize = 1 << 20;

/// Size of a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolSize {
    /// Threads that serve, made when first needed.
    pub(crate) threads: usize,
    /// Calls that may wait.
    pub(crate) queue_max: usize,
    /// Threads that may be stuck beside those that serve.
    pub(crate) stuck_max: usize,
}

/// Counts for the daemon's own metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallCounts {
    /// Calls accepted since the start.
    pub calls: u64,
    /// Calls past their deadline since the start.
    pub timeouts: u64,
    /// Calls refused because the queue was full.
    pub refusals: u64,
    /// Calls waiting now.
    pub waiting: u64,
    /// Threads stuck now in a call nobody waits for any more.
    pub stuck: u64,
    /// Times that libvirt was lost and found again since the start.
    pub reconnects: u64,
}

impl std::ops::Add for CallCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            timeouts: self.timeouts + other.timeouts,
            refusals: self.refusals + other.refusals,
            waiting: self.waiting + other.waiting,
            stuck: self.stuck + other.stuck,
            reconnects: self.reconnects + other.reconnects,
        }
    }
}

/// Told of every call: what it was, how it ended (`success`, `failure`, `timeout`, `refused`) and how long its caller waited.
pub type CallObserver = Arc<dyn Fn(&'static str, &'static str, Duration) + Send + Sync>;

/// Hands a call's result to its caller.
type Deliver = Box<dyn FnOnce() + Send>;
/// A call; it gives its result to hand over, because the books are closed in between.
type Work = Box<dyn FnOnce() -> Deliver + Send>;

/// What has become of a call; guarded by the pool's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Running,
    Done,
    Abandoned,
}

struct Call {
    phase: Mutex<Phase>,
    work: Mutex<Option<Work>>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Arc<Call>>,
    /// Threads that serve.
    serving: usize,
    /// Of those, how many have nothing to do.
    idle: usize,
    stuck: usize,
    is_closed: bool,
}

struct Inner {
    name: &'static str,
    size: PoolSize,
    state: Mutex<State>,
    wake: Condvar,
    calls: AtomicU64,
    timeouts: AtomicU64,
    refusals: AtomicU64,
    observer: OnceLock<CallObserver>,
}

/// A pool of worker threads; they end when it is dropped.
pub(crate) struct WorkerPool(Arc<Inner>);

impl WorkerPool {
    /// A pool without threads yet. `name` names the threads.
    pub(crate) fn new(name: &'static str, size: PoolSize) -> Self {
        Self(Arc::new(Inner {
            name,
            size,
            state: Mutex::default(),
            wake: Condvar::new(),
            calls: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            observer: OnceLock::new(),
        }))
    }

    /// What it has done so far.
    pub(crate) fn counts(&self) -> CallCounts {
        let state = self.0.state.lock();
        CallCounts {
            calls: self.0.calls.load(Ordering::Relaxed),
            timeouts: self.0.timeouts.load(Ordering::Relaxed),
            refusals: self.0.refusals.load(Ordering::Relaxed),
            waiting: state.queue.len() as u64,
            stuck: state.stuck as u64,
            reconnects: 0,
        }
    }

    /// Runs `work` on a thread of the pool and waits for it at most `deadline`. `what` names the call for people.
    ///
    /// # Errors
    /// Those of `work`; `Timeout` past the deadline; `ResourceBusy` if too many calls wait; `Internal` if `work` panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        what: &'static str,
        deadline: Duration,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let start = Instant::now();
        let result = self.run_unobserved(what, deadline, work).await;
        if let Some(observer) = self.0.observer.get() {
            let outcome = match result.as_ref().map_err(AgentError::code) {
                Ok(_) => "success",
                Err(ErrorCode::Timeout) => "timeout",
                Err(ErrorCode::ResourceBusy) => "refused",
                Err(_) => "failure",
            };
            observer(what, outcome, start.elapsed());
        }
        result
    }

    /// From now on every call is told to `observer`; the first one stays.
    pub(crate) fn observe(&self, observer: CallObserver) {
        let _the_first_stays = self.0.observer.set(observer);
    }

    async fn run_unobserved<T: Send + 'static>(
        &self,
        what: &'static str,
        deadline: Duration,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let work: Work = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(work))
                .unwrap_or_else(|_| Err(fail!(Internal, "a libvirt call panicked: {what}"; "libvirt 调用崩溃: {what}")));
            Box::new(move || drop(sender.send(result)))
        });
        let call = Arc::new(Call { phase: Mutex::new(Phase::Waiting), work: Mutex::new(Some(work)) });
        self.0.submit(&call, what)?;
        // Also when the caller goes away: then nobody waits for the call any more, and its thread must not be counted on.
        let _watch = Watch { pool: &self.0, call: &call };
        match tokio::time::timeout(deadline, receiver).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(fail!(HypervisorUnavailable, "this node is shutting down"; "本节点正在关闭")),
            Err(_) => {
                self.0.timeouts.fetch_add(1, Ordering::Relaxed);
                let seconds = deadline.as_secs_f64();
                tracing::warn!(call = what, seconds, "libvirt did not answer in time");
                Err(fail!(Timeout, "libvirt did not answer within {seconds} s: {what}"; "libvirt 未在 {seconds} 秒内应答: {what}"))
            }
        }
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.is_closed = true;
        state.queue.clear();
        self.0.wake.notify_all();
    }
}

/// Leaves a call behind when its caller stops waiting.
struct Watch<'a> {
    pool: &'a Arc<Inner>,
    call: &'a Arc<Call>,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.pool.abandon(self.call);
    }
}

impl Inner {
    fn submit(self: &Arc<Self>, call: &Arc<Call>, what: &'static str) -> Result<()> {
        let mut state = self.state.lock();
        if state.queue.len() >= self.size.queue_max {
            self.refusals.fetch_add(1, Ordering::Relaxed);
            return Err(fail!(ResourceBusy, "too many calls wait for libvirt: {what}"; "等待 libvirt 的调用过多: {what}"));
        }
        state.queue.push_back(call.clone());
        self.calls.fetch_add(1, Ordering::Relaxed);
        if state.idle < state.queue.len() {
            self.add_thread(&mut state);
        }
        if state.serving == 0 && state.stuck == 0 {
            state.queue.clear();
            return Err(fail!(Internal, "no thread can be made for libvirt calls"; "无法创建 libvirt 调用线程"));
        }
        self.wake.notify_one();
        Ok(())
    }

    /// One more thread, unless there are enough that serve or too many in all.
    fn add_thread(self: &Arc<Self>, state: &mut State) {
        let is_enough = state.serving >= self.size.threads;
        if is_enough || state.is_closed || state.serving + state.stuck >= self.size.threads + self.size.stuck_max {
            return;
        }
        let inner = self.clone();
        let builder = std::thread::Builder::new().name(self.name.into()).stack_size(STACK_BYTES);
        match builder.spawn(move || inner.serve()) {
            Ok(_) => state.serving += 1,
            Err(error) => tracing::warn!(%error, "no more threads for libvirt calls"),
        }
    }

    fn serve(&self) {
        let mut state = self.state.lock();
        loop {
            if state.is_closed {
                return;
            }
            let Some(call) = state.queue.pop_front() else {
                state.idle += 1;
                self.wake.wait(&mut state);
                state.idle -= 1;
                continue;
            };
            *call.phase.lock() = Phase::Running;
            drop(state);
            let work = call.work.lock().take();
            let deliver = work.map(|work| work());
            let may_stay = self.finish(&call);
            // A result nobody waits for is dropped in here, and things of libvirt's panic when they cannot be dropped.
            let _ = catch_unwind(AssertUnwindSafe(|| deliver.map(|deliver| deliver())));
            if !may_stay {
                return;
            }
            state = self.state.lock();
        }
    }

    /// Closes the books on a call before its caller hears of it. False if this thread is one too many.
    fn finish(&self, call: &Call) -> bool {
        let mut state = self.state.lock();
        let phase = std::mem::replace(&mut *call.phase.lock(), Phase::Done);
        if phase != Phase::Abandoned {
            return true;
        }
        state.stuck -= 1;
        let may_stay = state.serving < self.size.threads;
        if may_stay {
            state.serving += 1;
        }
        may_stay
    }

    fn abandon(self: &Arc<Self>, call: &Arc<Call>) {
        let mut state = self.state.lock();
        let mut phase = call.phase.lock();
        match *phase {
            Phase::Done | Phase::Abandoned => {}
            Phase::Waiting => {
                *phase = Phase::Abandoned;
                state.queue.retain(|other| !Arc::ptr_eq(other, call));
            }
            Phase::Running => {
                *phase = Phase::Abandoned;
                state.serving -= 1;
                state.stuck += 1;
                if state.idle < state.queue.len() {
                    self.add_thread(&mut state);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hvnode_core::ErrorCode;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(30);

    fn pool(threads: usize, queue_max: usize, stuck_max: usize) -> WorkerPool {
        WorkerPool::new("test", PoolSize { threads, queue_max, stuck_max })
    }

    async fn until(mut condition: impl FnMut() -> bool) {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_call_past_its_deadline_does_not_hold_up_the_next() {
        let pool = pool(1, 8, 4);
        let (release, hold) = mpsc::channel::<()>();
        let stuck = pool.run("stuck", SHORT, move || Ok(hold.recv().is_ok())).await;
        assert_eq!(stuck.unwrap_err().code(), ErrorCode::Timeout);
        assert_eq!(pool.run("next", LONG, || Ok(7)).await.unwrap(), 7);
        assert_eq!((pool.counts().stuck, pool.counts().timeouts), (1, 1));
        release.send(()).unwrap();
        until(|| pool.counts().stuck == 0).await;
        assert_eq!(pool.run("after", LONG, || Ok(8)).await.unwrap(), 8);
        assert_eq!(pool.0.state.lock().serving, 1);
    }

    #[tokio::test]
    async fn stuck_threads_are_bounded_and_waiting_calls_leave_the_queue_at_their_deadline() {
        let pool = pool(1, 8, 1);
        let (release, hold) = mpsc::channel::<()>();
        let hold = Arc::new(Mutex::new(hold));
        for _ in 0..5 {
            let hold = hold.clone();
            let error = pool.run("stuck", SHORT, move || Ok(hold.lock().recv().is_ok())).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::Timeout);
        }
        assert_eq!((pool.counts().stuck, pool.counts().waiting), (2, 0));
        drop(release);
        until(|| pool.counts().stuck == 0).await;
        assert_eq!(pool.run("after", LONG, || Ok(8)).await.unwrap(), 8);
        assert_eq!(pool.0.state.lock().serving, 1);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let pool = Arc::new(pool(1, 1, 0));
        let (release, hold) = mpsc::channel::<()>();
        let first = {
            let pool = pool.clone();
            tokio::spawn(async move { pool.run("one", LONG, move || Ok(hold.recv().is_ok())).await })
        };
        until(|| pool.0.state.lock().serving == 1 && pool.counts().waiting == 0).await;
        let second = {
            let pool = pool.clone();
            tokio::spawn(async move { pool.run("two", LONG, || Ok(2)).await })
        };
        until(|| pool.counts().waiting == 1).await;
        assert_eq!(pool.run("three", LONG, || Ok(3)).await.unwrap_err().code(), ErrorCode::ResourceBusy);
        release.send(()).unwrap();
        assert!(first.await.unwrap().unwrap());
        assert_eq!(second.await.unwrap().unwrap(), 2);
    }

    #[tokio::test]
    async fn a_panicking_call_costs_no_thread() {
        let pool = pool(1, 8, 0);
        let error = pool.run::<()>("bad", LONG, || panic!("on purpose")).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Internal);
        assert_eq!(pool.run("good", LONG, || Ok(1)).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_leaves_nothing_in_the_queue() {
        let pool = Arc::new(pool(1, 8, 0));
        let (release, hold) = mpsc::channel::<()>();
        let first = {
            let pool = pool.clone();
            tokio::spawn(async move { pool.run("one", LONG, move || Ok(hold.recv().is_ok())).await })
        };
        until(|| pool.0.state.lock().serving == 1 && pool.counts().waiting == 0).await;
        let second = {
            let pool = pool.clone();
            tokio::spawn(async move { pool.run("two", LONG, || Ok(2)).await })
        };
        until(|| pool.counts().waiting == 1).await;
        second.abort();
        until(|| pool.counts().waiting == 0).await;
        release.send(()).unwrap();
        assert!(first.await.unwrap().unwrap());
    }
}
