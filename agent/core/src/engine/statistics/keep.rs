//! History: points and averages in memory, averages in the store.
//!
//! The host is kept under the nil uuid, so that its history stays where the machine's own uuid changes.

use super::average::{Average, bucket_of, nanoseconds};
use super::live::NewPoint;
use super::ring::Ring;
use super::{Statistics, StatisticsSettings};
use crate::engine::Inner;
use crate::model::{Resolution, SampleTime, Timestamp, UsagePoint};
use crate::port::HistoryPoint;
use crate::{Result, fail};
use futures_util::StreamExt as _;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Most subjects of which history is held in memory; more than a host has VMs (`vm.vms_max` is 5000), those of the last minutes included.
pub(super) const SUBJECTS_MAX: usize = 8192;
/// Averages of a subject that wait for the store: minutes, coarse ones. Older ones are dropped.
const WAITING_MAX: [usize; 2] = [5, 2];
/// How often the keeper looks.
const TICK: Duration = Duration::from_secs(1);
/// Between the end of a bucket and its way into the store, so that all subjects go together.
const GRACE: Duration = Duration::from_secs(2);
/// Before the store is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(15);
/// A call to the store that takes longer has failed.
const STORE_DEADLINE: Duration = Duration::from_secs(30);
/// Time for the last averages at the end of the daemon.
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);
/// After the start, before history is pruned: until then a clock that was wrong at boot has been set.
const FIRST_PRUNE: Duration = Duration::from_secs(60);
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);
/// An unfinished coarse bucket goes into the store this often, so that a crash costs little of it.
const COARSE_INTERVAL: Duration = Duration::from_secs(300);
/// A clock that shows less was never set: nothing is judged by it.
const CLOCK_MIN: Timestamp = Timestamp(1_600_000_000_000_000_000);
/// A clock that goes back by more was set; less is the keeper's own unpunctuality.
const STEP_MIN: Duration = Duration::from_secs(5);
/// Subjects that are read from the store at a time after the start.
const SEEDS_AT_A_TIME: usize = 4;

/// Averages of one resolution being made, and those that wait for the store.
#[derive(Debug, Default)]
struct Track {
    bucket: Timestamp,
    current: Average,
    finished: VecDeque<Arc<UsagePoint>>,
}

impl Track {
    fn add(&mut self, resolution: Resolution, point: &UsagePoint) {
        let bucket = bucket_of(point.time, resolution.period());
        if bucket != self.bucket {
            self.close(resolution);
            self.bucket = bucket;
        }
        self.current.add(point, 1.0);
    }

    /// Ends the bucket.
    fn close(&mut self, resolution: Resolution) {
        let Some(point) = std::mem::take(&mut self.current).point(self.bucket) else { return };
        self.finished.retain(|other| other.time != point.time);
        if self.finished.len() >= WAITING_MAX[resolution as usize] {
            self.finished.pop_front();
        }
        self.finished.push_back(Arc::new(point));
    }

    fn close_if_over(&mut self, resolution: Resolution, now: Timestamp) {
        if bucket_of(now, resolution.period()) != self.bucket {
            self.close(resolution);
        }
    }

    /// Drops what the store did not take for so long that as many newer ones could have come.
    fn forget(&mut self, resolution: Resolution, now: Timestamp) {
        let most = u32::try_from(WAITING_MAX[resolution as usize]).unwrap_or(u32::MAX);
        let patience = resolution.period().saturating_mul(most.saturating_add(1));
        self.finished.retain(|point| now.since(point.time) <= patience);
    }

    fn is_empty(&self) -> bool {
        self.current.is_empty() && self.finished.is_empty()
    }

    /// What the store does not have yet, the unfinished bucket last.
    fn points(&self) -> impl Iterator<Item = Arc<UsagePoint>> {
        self.finished.iter().cloned().chain(self.current.point(self.bucket).map(Arc::new))
    }
}

/// What is held of the host or a VM.
#[derive(Debug, Default)]
pub(super) struct Subject {
    ring: Ring,
    tracks: [Track; 2],
    /// The store may have a part of the unfinished buckets, from before a restart.
    wants_seed: bool,
}

/// What is held of all.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    /// Boxed, for a table has room for up to twice what is in it.
    map: HashMap<Uuid, Box<Subject>>,
    is_full: bool,
    /// First time that was kept.
    begin: Option<SampleTime>,
}

impl Subjects {
    /// Takes new points.
    fn push(&mut self, settings: &StatisticsSettings, now: SampleTime, points: &[NewPoint]) {
        let begin = *self.begin.get_or_insert(now);
        for (uuid, at, point) in points {
            if !self.map.contains_key(uuid) {
                if self.map.len() >= SUBJECTS_MAX {
                    if !std::mem::replace(&mut self.is_full, true) {
                        tracing::warn!(subjects = SUBJECTS_MAX, "Too many VMs: no history is kept of some");
                    }
                    continue;
                }
                let coarse = |time| bucket_of(time, Resolution::Coarse.period());
                let wants_seed = coarse(begin.time) == coarse(at.time);
                self.map.insert(*uuid, Box::new(Subject { wants_seed, ..Subject::default() }));
            }
            let Some(subject) = self.map.get_mut(uuid) else { continue };
            subject.ring.push(*at, point, settings.fine_points_max());
            subject.ring.expire(*at, settings.fine_retention);
            for resolution in Resolution::ALL {
                subject.tracks[resolution as usize].add(resolution, point);
            }
        }
    }

    /// Lets go what is too old, and subjects of which nothing is left.
    fn tidy(&mut self, settings: &StatisticsSettings, now: SampleTime) {
        self.map.retain(|_, subject| {
            subject.ring.expire(now, settings.fine_retention);
            for resolution in Resolution::ALL {
                subject.tracks[resolution as usize].forget(resolution, now.time);
            }
            !(subject.ring.is_empty() && subject.tracks.iter().all(Track::is_empty))
        });
        self.is_full &= self.map.len() >= SUBJECTS_MAX;
    }

    /// What the store is to have. With `is_unfinished` the bucket that is being made too.
    fn waiting(&mut self, resolution: Resolution, now: Timestamp, is_unfinished: bool) -> Vec<HistoryPoint> {
        let mut points = Vec::with_capacity(self.map.len());
        for (uuid, subject) in &mut self.map {
            let track = &mut subject.tracks[resolution as usize];
            track.close_if_over(resolution, now);
            // From a clock that ran ahead and was set back since.
            track.finished.retain(|point| point.time <= now);
            let unfinished = is_unfinished.then(|| track.current.point(track.bucket).map(Arc::new)).flatten();
            let all = track.finished.iter().cloned().chain(unfinished);
            points.extend(all.map(|point| HistoryPoint { subject_uuid: *uuid, point }));
        }
        points
    }

    /// The store has these.
    fn stored(&mut self, resolution: Resolution, points: &[HistoryPoint]) {
        for row in points {
            if let Some(subject) = self.map.get_mut(&row.subject_uuid) {
                subject.tracks[resolution as usize].finished.retain(|point| !Arc::ptr_eq(point, &row.point));
            }
        }
    }

    /// Adds what the store has of the unfinished buckets; each of its minutes stands for `weight` points.
    fn seed(&mut self, uuid: Uuid, minutes: &[UsagePoint], weight: f64) {
        let Some(subject) = self.map.get_mut(&uuid) else { return };
        for minute in minutes {
            for resolution in Resolution::ALL {
                let track = &mut subject.tracks[resolution as usize];
                if bucket_of(minute.time, resolution.period()) == track.bucket {
                    track.current.add(minute, weight);
                }
            }
        }
    }

    /// Points of the ring.
    pub(super) fn fine(&self, uuid: Uuid, start: Timestamp, end: Timestamp) -> Vec<UsagePoint> {
        self.map.get(&uuid).map_or_else(Vec::new, |subject| subject.ring.range(start, end))
    }

    /// Averages that the store does not have yet.
    pub(super) fn unstored(&self, uuid: Uuid, resolution: Resolution, start: Timestamp, end: Timestamp) -> Vec<Arc<UsagePoint>> {
        let Some(subject) = self.map.get(&uuid) else { return Vec::new() };
        subject.tracks[resolution as usize].points().filter(|point| (start..=end).contains(&point.time)).collect()
    }

    /// Since when all points are in memory, at most as long as they are kept.
    pub(super) fn fine_begin(&self, settings: &StatisticsSettings, now: SampleTime) -> Timestamp {
        let kept = self.begin.map_or(Duration::ZERO, |begin| now.since(begin)).min(settings.fine_retention);
        Timestamp(now.time.0.saturating_sub(nanoseconds(kept)))
    }

    #[cfg(test)]
    pub(super) fn ring_bytes(&self, uuid: Uuid) -> usize {
        self.map.get(&uuid).map_or(0, |subject| subject.ring.bytes())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }
}

impl Statistics {
    /// Takes new points into the history.
    pub(super) fn keep(&self, inner: &Inner, points: &[NewPoint]) {
        self.subjects.lock().push(&inner.config.statistics, inner.ports.clock.sample_time(), points);
    }
}

/// Starts the keeper.
pub(super) fn spawn(inner: &Arc<Inner>) {
    let inner = inner.clone();
    tokio::spawn(async move {
        let mut stopping = inner.stopping.subscribe();
        let mut keeper = Keeper::new(&inner);
        loop {
            tokio::select! {
                biased;
                _ = stopping.wait_for(|is_stopping| *is_stopping) => return,
                () = tokio::time::sleep(TICK) => {}
            }
            keeper.tick(&inner).await;
        }
    });
}

/// What the keeper is about to do.
#[derive(Debug)]
struct Keeper {
    minute: Timestamp,
    flush_at: Option<Instant>,
    prune_at: Instant,
    /// Wall clock less steady clock.
    offset: i64,
    is_failing: bool,
}

impl Keeper {
    fn new(inner: &Inner) -> Self {
        let now = inner.ports.clock.sample_time();
        Self {
            minute: bucket_of(now.time, Resolution::Minute.period()),
            flush_at: None,
            prune_at: Instant::now() + FIRST_PRUNE,
            offset: offset(now),
            is_failing: false,
        }
    }

    async fn tick(&mut self, inner: &Inner) {
        let now = inner.ports.clock.sample_time();
        seed(inner).await;
        let minute = bucket_of(now.time, Resolution::Minute.period());
        if minute != self.minute {
            self.minute = minute;
            self.flush_at.get_or_insert(Instant::now() + GRACE);
            inner.statistics.subjects.lock().tidy(&inner.config.statistics, now);
        }
        if self.flush_at.is_some_and(|at| at <= Instant::now()) {
            self.flush_at = None;
            self.flush(inner, now.time).await;
        }
        let offset = offset(now);
        if offset < self.offset.saturating_sub(nanoseconds(STEP_MIN)) {
            tracing::info!("The clock was set back; history from its future is removed");
            self.prune_at = Instant::now();
        }
        self.offset = offset;
        if self.prune_at <= Instant::now() {
            self.prune_at = Instant::now() + PRUNE_INTERVAL;
            prune(inner, now.time).await;
        }
    }

    /// Gives the store what is finished. What it does not take waits, a few buckets long.
    async fn flush(&mut self, inner: &Inner, now: Timestamp) {
        let is_coarse_due = bucket_of(now, COARSE_INTERVAL) == bucket_of(now, Resolution::Minute.period());
        for (resolution, is_unfinished) in [(Resolution::Minute, false), (Resolution::Coarse, is_coarse_due)] {
            match append(inner, resolution, now, is_unfinished).await {
                Ok(()) => {
                    if std::mem::take(&mut self.is_failing) {
                        tracing::info!("History of usage is kept again");
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        tracing::warn!(error = %error.chain(), "History of usage could not be kept; what waits too long is dropped");
                    }
                    self.flush_at = Some(Instant::now() + RETRY_PAUSE);
                    return;
                }
            }
        }
    }
}

fn offset(now: SampleTime) -> i64 {
    now.time.0.saturating_sub(nanoseconds(now.elapsed))
}

async fn append(inner: &Inner, resolution: Resolution, now: Timestamp, is_unfinished: bool) -> Result<()> {
    let points = inner.statistics.subjects.lock().waiting(resolution, now, is_unfinished);
    if points.is_empty() {
        return Ok(());
    }
    in_time(inner.ports.history.append(resolution, points.clone())).await?;
    inner.statistics.subjects.lock().stored(resolution, &points);
    Ok(())
}

/// A call to the store, within its deadline.
async fn in_time<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    let result = tokio::time::timeout(STORE_DEADLINE, call).await;
    result.unwrap_or_else(|_| Err(fail!(StoreFailed, "the history did not answer in time"; "历史数据存储未及时响应")))
}

/// After a restart: goes on with the buckets that the former run left unfinished.
async fn seed(inner: &Inner) {
    let wanting: Vec<(Uuid, Timestamp)> = {
        let mut subjects = inner.statistics.subjects.lock();
        let wanting = subjects.map.iter_mut().filter(|(_, subject)| subject.wants_seed);
        let wanting = wanting.map(|(uuid, subject)| {
            subject.wants_seed = false;
            (*uuid, subject.tracks[Resolution::Coarse as usize].bucket)
        });
        wanting.collect()
    };
    let seconds = inner.config.statistics.kernel_interval.as_secs_f64().max(0.1);
    let weight = Resolution::Minute.period().as_secs_f64() / seconds;
    let read = |(uuid, start): (Uuid, Timestamp)| async move {
        let end = start.plus(Resolution::Coarse.period());
        (uuid, in_time(inner.ports.history.read(uuid, Resolution::Minute, start, end, 16)).await)
    };
    let mut reads = futures_util::stream::iter(wanting).map(read).buffer_unordered(SEEDS_AT_A_TIME);
    while let Some((uuid, minutes)) = reads.next().await {
        match minutes {
            Ok(minutes) => inner.statistics.subjects.lock().seed(uuid, &minutes, weight),
            Err(error) => return tracing::warn!(error = %error.chain(), "History before the restart could not be read"),
        }
    }
}

async fn prune(inner: &Inner, now: Timestamp) {
    if now < CLOCK_MIN {
        return tracing::warn!("The clock is not set; history is not pruned by it");
    }
    let settings = &inner.config.statistics;
    for (resolution, retention) in [(Resolution::Minute, settings.minute_retention), (Resolution::Coarse, settings.coarse_retention)] {
        let before = Timestamp(now.0.saturating_sub(nanoseconds(retention)));
        if let Err(error) = in_time(inner.ports.history.prune(resolution, before, now)).await {
            tracing::warn!(error = %error.chain(), "Old history could not be removed");
        }
    }
}

/// At the end of the daemon: what is unfinished goes into the store.
pub(super) async fn flush_all(inner: &Inner) {
    let now = inner.now();
    let flush = async {
        for resolution in Resolution::ALL {
            append(inner, resolution, now, true).await?;
        }
        Ok(())
    };
    let result: Result<()> =
        tokio::time::timeout(FLUSH_DEADLINE, flush).await.unwrap_or_else(|_| Err(fail!(Timeout, "the store of history"; "历史数据存储")));
    if let Err(error) = result {
        tracing::warn!(error = %error.chain(), "The last minutes of history could not be kept");
    }
}
