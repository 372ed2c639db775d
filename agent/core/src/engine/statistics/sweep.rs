//! The loops that sample: one a tier, so that neither waits for the other, and one that follows which VMs are on.

use super::Statistics;
use super::live::{Freshness, NewPoint};
use crate::engine::Inner;
use crate::model::{ConnectionState, HostSample, KernelSample, Readings, Sweep, Tier};
use crate::{Result, fail};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

/// Most part of the time that sweeps of the kernel tier take, in percent.
const KERNEL_SHARE_PERCENT: u32 = 5;
/// Most part of the time that sweeps of the hypervisor tier take, in percent.
const HYPERVISOR_SHARE_PERCENT: u32 = 20;
/// Between the appearance of a VM and its first sample; VMs that start together are sampled together.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Between the first sample and the one that gives the first rates.
const SECOND_PAUSE: Duration = Duration::from_secs(2);
/// Most time until the first sweep after the start.
const START_PAUSE_MAX: Duration = Duration::from_millis(500);
/// A call that takes longer is reported. One that blocks a thread cannot be ended; the loop waits for it.
const HANG_AFTER: Duration = Duration::from_secs(30);
/// The hypervisor port has deadlines of its own; this holds if they fail.
const HYPERVISOR_DEADLINE: Duration = Duration::from_secs(300);
/// How often the picture is looked at, at most, for VMs that came or went.
const FOLLOW_PAUSE: Duration = Duration::from_millis(100);
/// Longer than anybody waits.
const EVER: Duration = Duration::from_secs(365 * 86_400);

/// Starts the loops.
pub(super) fn spawn(inner: &Arc<Inner>) {
    tokio::spawn(follow(inner.clone()));
    tokio::spawn(kernel_loop(inner.clone()));
    tokio::spawn(hypervisor_loop(inner.clone()));
}

/// A number in 0..1, another one each time.
fn chance() -> f64 {
    let [low, ..] = Uuid::new_v4().into_bytes();
    f64::from(low) / 256.0
}

/// The pause that follows a sweep that took `duration`, so that sweeps take no more than `share_percent` of the time.
fn stretched(base: Duration, duration: Duration, share_percent: u32) -> Duration {
    base.max(duration * 100 / share_percent)
}

/// When a loop is to look again.
#[derive(Debug)]
struct Pace {
    base: Duration,
    share_percent: u32,
    interval: Duration,
    /// Next sweep over all.
    next: Instant,
    /// Sooner, for what has no rates yet.
    early: Option<Instant>,
}

impl Pace {
    fn new(base: Duration, share_percent: u32) -> Self {
        let base = base.max(Duration::from_millis(1));
        Self { base, share_percent, interval: base, next: Instant::now() + START_PAUSE_MAX.min(base).mul_f64(chance()), early: None }
    }

    /// Waits for the next turn. True if it is for all; `None` at the end of the daemon.
    async fn turn(&mut self, inner: &Inner, wake: &Notify) -> Option<bool> {
        let mut stopping = inner.stopping.subscribe();
        loop {
            let due = self.early.map_or(self.next, |early| early.min(self.next));
            tokio::select! {
                biased;
                _ = stopping.wait_for(|is_stopping| *is_stopping) => return None,
                () = tokio::time::sleep_until(due) => break,
                () = wake.notified() => {
                    let first = Instant::now() + FIRST_PAUSE;
                    self.early = Some(self.early.map_or(first, |early| early.min(first)));
                }
            }
        }
        self.early = None;
        Some(Instant::now() >= self.next)
    }

    /// A sweep over all that began at `start` has ended. One that is not `usual` says nothing of how long the next one takes.
    fn done(&mut self, start: Instant, is_usual: bool) -> Duration {
        let duration = start.elapsed();
        if is_usual {
            self.interval = stretched(self.base, duration, self.share_percent);
        }
        self.next = (start + self.interval.mul_f64(0.95 + chance() / 10.0)).max(Instant::now());
        duration
    }

    fn look_again(&mut self, is_wanted: bool) {
        self.early = is_wanted.then(|| Instant::now() + SECOND_PAUSE);
    }
}

/// Tells a failure once, and its end once.
#[derive(Debug, Default)]
struct Trouble(bool);

impl Trouble {
    fn note<T>(&mut self, result: Result<T>, what: &str) -> Option<T> {
        match result {
            Ok(value) => {
                if std::mem::take(&mut self.0) {
                    tracing::info!(what, "Sampling works again");
                }
                Some(value)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.0, true) {
                    tracing::warn!(what, error = %error.chain(), "Sampling failed; tried again at each sweep");
                }
                None
            }
        }
    }
}

/// Keeps the readings to the VMs that are on, and has new ones sampled soon.
async fn follow(inner: Arc<Inner>) {
    let mut seen = 0;
    let mut stopping = inner.stopping.subscribe();
    loop {
        tokio::select! {
            biased;
            _ = stopping.wait_for(|is_stopping| *is_stopping) => return,
            _ = inner.world.wait_until(EVER, |snapshot| snapshot.generation != seen) => {}
        }
        seen = inner.world.load().generation;
        inner.statistics.follow(&inner);
        tokio::time::sleep(FOLLOW_PAUSE).await;
    }
}

async fn kernel_loop(inner: Arc<Inner>) {
    let statistics = &inner.statistics;
    let mut pace = Pace::new(inner.config.statistics.kernel_interval, KERNEL_SHARE_PERCENT);
    // The host at once: readers that come first find it.
    pace.early = Some(Instant::now());
    let (mut host_trouble, mut trouble) = (Trouble::default(), Trouble::default());
    while let Some(is_whole) = pace.turn(&inner, &statistics.wake[Tier::Kernel as usize]).await {
        statistics.follow(&inner);
        let (targets, is_host_wanted) = {
            let live = statistics.live.lock();
            (live.wanted(Tier::Kernel, is_whole), is_whole || live.wants_host())
        };
        let (start, probe, asked) = (Instant::now(), inner.ports.probe.clone(), targets.clone());
        let read = move || {
            let vms = if asked.is_empty() { Ok(Vec::new()) } else { probe.sample_vms(&asked) };
            (vms, is_host_wanted.then(|| probe.sample()))
        };
        let (vms, host) = match blocking(read).await {
            Ok(read) => read,
            Err(error) => (Err(error), None),
        };
        let host: Option<HostSample> = host.and_then(|host| host_trouble.note(host, "the host's counters"));
        let vms: Option<Vec<KernelSample>> = trouble.note(vms, "the kernel's counters of the VMs");
        let duration = is_whole.then(|| pace.done(start, true));
        let fresh =
            Freshness::of(pace.interval, statistics.readings.load().hypervisor.interval.max(inner.config.statistics.hypervisor_interval));
        let points = statistics.publish(|live, readings| {
            let mut points: Vec<NewPoint> = host.and_then(|host| live.take_host(host, readings)).into_iter().collect();
            note_sweep(&inner, &mut readings.kernel, &pace, duration, vms.is_some());
            if let Some(vms) = vms {
                points.extend(live.take_kernel(&targets, vms, fresh, readings));
            }
            points
        });
        statistics.keep(&inner, &points);
        pace.look_again(statistics.live.lock().wants_early(Tier::Kernel));
    }
}

async fn hypervisor_loop(inner: Arc<Inner>) {
    let statistics = &inner.statistics;
    let mut pace = Pace::new(inner.config.statistics.hypervisor_interval, HYPERVISOR_SHARE_PERCENT);
    let mut trouble = Trouble::default();
    while let Some(is_whole) = pace.turn(&inner, &statistics.wake[Tier::Hypervisor as usize]).await {
        if inner.world.load().connection != ConnectionState::Up {
            if !wait_for_connection(&inner).await {
                return;
            }
            pace.next = Instant::now() + START_PAUSE_MAX.mul_f64(chance());
            continue;
        }
        statistics.follow(&inner);
        let asked: Vec<Uuid> = statistics.live.lock().wanted(Tier::Hypervisor, is_whole).into_iter().map(|target| target.vm_uuid).collect();
        let start = Instant::now();
        let samples = if asked.is_empty() {
            Ok(Vec::new())
        } else {
            let answers = tokio::time::timeout(HYPERVISOR_DEADLINE, inner.ports.hypervisor.sample_vms(asked.clone()));
            answers.await.unwrap_or_else(|_| Err(fail!(Timeout, "sampling the VMs"; "采样虚拟机")))
        };
        let samples = trouble.note(samples, "the hypervisor's counters of the VMs");
        let is_usual = samples.as_ref().is_none_or(|samples| !statistics.live.lock().is_held_up(&asked, samples));
        let duration = is_whole.then(|| pace.done(start, is_usual));
        let fresh = Freshness::of(statistics.readings.load().kernel.interval.max(inner.config.statistics.kernel_interval), pace.interval);
        let now = inner.ports.clock.sample_time();
        let points = statistics.publish(|live, readings| {
            note_sweep(&inner, &mut readings.hypervisor, &pace, duration, samples.is_some());
            samples.map(|samples| live.take_hypervisor(&asked, samples, now, fresh, readings)).unwrap_or_default()
        });
        statistics.keep(&inner, &points);
        pace.look_again(statistics.live.lock().wants_early(Tier::Hypervisor));
    }
}

/// False at the end of the daemon.
async fn wait_for_connection(inner: &Inner) -> bool {
    let mut stopping = inner.stopping.subscribe();
    tokio::select! {
        biased;
        _ = stopping.wait_for(|is_stopping| *is_stopping) => false,
        is_up = inner.world.wait_until(EVER, |snapshot| snapshot.connection == ConnectionState::Up) => is_up,
    }
}

/// `duration` of a sweep over all; what is done in between for single VMs does not count.
fn note_sweep(inner: &Inner, sweep: &mut Sweep, pace: &Pace, duration: Option<Duration>, is_done: bool) {
    sweep.interval = pace.interval;
    if !is_done {
        sweep.failures += 1;
    } else if let Some(duration) = duration {
        sweep.end = Some(inner.ports.clock.sample_time());
        sweep.duration = duration;
    }
}

/// Runs `call` on a thread where blocking is allowed. One that hangs is told once, and waited for: there is one at a time.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let mut task = tokio::task::spawn_blocking(call);
    let result = match tokio::time::timeout(HANG_AFTER, &mut task).await {
        Ok(result) => result,
        Err(_) => {
            tracing::error!(
                seconds = HANG_AFTER.as_secs(),
                "Reading the kernel's counters hangs; statistics of the kernel tier stand still"
            );
            let result = task.await;
            tracing::warn!("Reading the kernel's counters has ended after it hung");
            result
        }
    };
    result.map_err(|error| fail!(Internal, "reading the kernel's counters").caused_by(error))
}

impl Statistics {
    /// One writer at a time changes what is known and what readers see of it.
    fn publish<T>(&self, change: impl FnOnce(&mut super::live::Live, &mut Readings) -> T) -> T {
        let mut live = self.live.lock();
        let mut readings = Readings::clone(&self.readings.load());
        let result = change(&mut live, &mut readings);
        self.readings.store(Arc::new(readings));
        result
    }

    /// Takes over from the picture which VMs are on.
    fn follow(&self, inner: &Inner) {
        let now = inner.ports.clock.sample_time();
        let has_new = self.publish(|live, readings| live.follow(&inner.world.load(), now, readings));
        if has_new {
            self.wake.iter().for_each(Notify::notify_one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_take_no_more_than_their_share_of_the_time() {
        let (base, second) = (Duration::from_secs(10), Duration::from_secs(1));
        assert_eq!(stretched(base, second / 10, KERNEL_SHARE_PERCENT), base);
        assert_eq!(stretched(base, second, KERNEL_SHARE_PERCENT), Duration::from_secs(20));
        assert_eq!(stretched(base, second * 10, HYPERVISOR_SHARE_PERCENT), Duration::from_secs(50));
    }

    #[test]
    fn trouble_is_told_once() {
        let mut trouble = Trouble::default();
        assert!(trouble.note(Err::<(), _>(fail!(Internal)), "x").is_none());
        assert!(trouble.0);
        assert!(trouble.note(Ok(()), "x").is_some());
        assert!(!trouble.0);
    }
}
