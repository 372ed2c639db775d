//! Questions to the history: which data covers a range, and buckets made of it.

use super::average::{Average, averages, bucket_of, nanoseconds};
use super::{HOST, StatisticsSettings};
use crate::engine::{Engine, Inner};
use crate::model::{Resolution, SampleTime, Timestamp, UsagePoint};
use crate::{Result, at, fail};
use futures_util::{StreamExt as _, TryStreamExt as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Most points of one answer.
pub const POINTS_MAX: u64 = 10_000;
/// Most points of one answer about many.
pub const POINTS_OF_MANY_MAX: u64 = 100_000;
/// Most rows that are read from the store for one subject: minutes of the longest retention that can be set.
const ROWS_MAX: usize = 100_000;
/// Subjects that are read at a time.
const READS_AT_A_TIME: usize = 4;

/// Which part of whose history.
#[derive(Debug, Clone, Copy)]
pub struct HistoryQuery {
    /// A VM, or the host.
    pub subject_uuid: Uuid,
    /// First time; a bucket belongs to the range if its start does.
    pub start: Timestamp,
    /// Last time, included.
    pub end: Timestamp,
    /// Length of the buckets to average over; where absent, the finest spacing that is kept for the whole range.
    pub period: Option<Duration>,
}

/// A part of a history.
#[derive(Debug, Clone)]
pub struct History {
    /// Spacing of the points.
    pub period: Duration,
    /// Oldest first, no time twice. Times without data have no point.
    pub points: Vec<Arc<UsagePoint>>,
}

impl History {
    /// The mean of all points, as a point of `time`; `None` where there are none.
    pub fn mean(&self, time: Timestamp) -> Option<UsagePoint> {
        let mut average = Average::default();
        self.points.iter().for_each(|point| average.add(point, 1.0));
        average.point(time)
    }
}

/// Data that covers a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Every point, in memory.
    Fine,
    /// Averages.
    Stored(Resolution),
}

impl Level {
    fn spacing(self, settings: &StatisticsSettings) -> Duration {
        match self {
            Self::Fine => settings.kernel_interval,
            Self::Stored(resolution) => resolution.period(),
        }
    }
}

/// A question made answerable: where to look, from when to when, and how long the buckets are.
#[derive(Debug, Clone, Copy)]
struct Plan {
    level: Level,
    start: Timestamp,
    end: Timestamp,
    /// Absent where the points are given as they are.
    bucket: Option<Duration>,
    spacing: Duration,
}

impl Plan {
    fn of(settings: &StatisticsSettings, fine_begin: Timestamp, now: SampleTime, query: &HistoryQuery) -> Self {
        let back = |retention: Duration| Timestamp(now.time.0.saturating_sub(nanoseconds(retention)));
        let level = |start: Timestamp| match start {
            start if start >= fine_begin => Level::Fine,
            start if start >= back(settings.minute_retention) => Level::Stored(Resolution::Minute),
            _ => Level::Stored(Resolution::Coarse),
        };
        let period = query.period.filter(|period| !period.is_zero());
        let first = |period: Duration| {
            // A bucket belongs to the range if its start does.
            let floor = bucket_of(query.start, period);
            if floor < query.start { floor.plus(period) } else { floor }
        };
        let end = query.end.min(now.time);
        let plain = level(query.start);
        let by_period = period.map(|period| (period, level(first(period))));
        let (level, bucket) = match by_period {
            Some((period, level)) if period > level.spacing(settings) => (level, Some(period)),
            _ => (plain, None),
        };
        let oldest = back(match level {
            Level::Fine => settings.fine_retention,
            Level::Stored(Resolution::Minute) => settings.minute_retention,
            Level::Stored(Resolution::Coarse) => settings.coarse_retention,
        });
        let (start, end) = match bucket {
            Some(period) => (first(period), Timestamp(bucket_of(end, period).plus(period).0.saturating_sub(1))),
            None => (query.start, end),
        };
        let start = start.max(oldest.min(now.time));
        Self { level, start, end, bucket, spacing: bucket.unwrap_or(level.spacing(settings)) }
    }

    /// Refuses more than `most` points, and tells the smallest period that gives no more.
    fn check(&self, most: u64) -> Result<()> {
        let range = self.end.since(self.start);
        let points = range.as_nanos() / self.spacing.as_nanos().max(1) + 1;
        if self.start > self.end || points <= u128::from(most) {
            return Ok(());
        }
        // One less: a range may touch one bucket more than it is long.
        let smallest = range.as_secs() / most.saturating_sub(1).max(1) + 1;
        Err(fail!(ParameterInvalid,
            "period must be at least {smallest} seconds for this range: an answer has at most {most} points for each";
            "该时间范围的 period 至少须为 {smallest} 秒：每个对象的应答最多 {most} 个点"))
    }

    async fn run(&self, inner: &Inner, subject_uuid: Uuid) -> Result<History> {
        let points = match self.level {
            _ if self.start > self.end => Vec::new(),
            Level::Fine => inner.statistics.subjects.lock().fine(subject_uuid, self.start, self.end),
            Level::Stored(resolution) => self.read(inner, subject_uuid, resolution).await?,
        };
        let points = match self.bucket {
            Some(period) => averages(points, period),
            None => points,
        };
        Ok(History { period: self.spacing, points: points.into_iter().map(Arc::new).collect() })
    }

    /// From the store, and what has not got there yet.
    async fn read(&self, inner: &Inner, subject_uuid: Uuid, resolution: Resolution) -> Result<Vec<UsagePoint>> {
        // First what is in memory: it may go into the store in between, and then is told once all the same.
        let unstored = inner.statistics.subjects.lock().unstored(subject_uuid, resolution, self.start, self.end);
        let stored = inner.ports.history.read(subject_uuid, resolution, self.start, self.end, ROWS_MAX).await.map_err(at!())?;
        let mut points: BTreeMap<Timestamp, UsagePoint> = stored.into_iter().map(|point| (point.time, point)).collect();
        points.extend(unstored.iter().map(|point| (point.time, UsagePoint::clone(point))));
        Ok(points.into_values().collect())
    }
}

impl Engine {
    fn plan_history(&self, query: &HistoryQuery) -> Plan {
        let (settings, now) = (&self.inner.config.statistics, self.inner.ports.clock.sample_time());
        let fine_begin = self.inner.statistics.subjects.lock().fine_begin(settings, now);
        Plan::of(settings, fine_begin, now, query)
    }

    /// Time between two samples now: as configured, longer where sweeps over many VMs take their time.
    pub fn sampling_interval(&self) -> Duration {
        self.readings().kernel.interval.max(self.inner.config.statistics.kernel_interval)
    }

    /// What a subject is kept under.
    fn subject_key(&self, subject_uuid: Uuid) -> Uuid {
        if self.snapshot().host_uuid() == subject_uuid { HOST } else { subject_uuid }
    }

    /// A part of the history of a VM or the host. One that has none gives no points.
    ///
    /// # Errors
    /// `ParameterInvalid` (more points than one answer may have), `StoreFailed`.
    pub async fn history(&self, query: HistoryQuery) -> Result<History> {
        let plan = self.plan_history(&query);
        plan.check(POINTS_MAX)?;
        plan.run(&self.inner, self.subject_key(query.subject_uuid)).await
    }

    /// The same part of the history of many, in the order of `subject_uuids`. That of `query` itself does not count.
    ///
    /// # Errors
    /// `ParameterInvalid` (more points than one answer may have), `StoreFailed`.
    pub async fn history_of_many(&self, subject_uuids: Vec<Uuid>, query: HistoryQuery) -> Result<Vec<(Uuid, History)>> {
        let plan = self.plan_history(&query);
        let each = POINTS_OF_MANY_MAX / (subject_uuids.len() as u64).max(1);
        plan.check(each.clamp(2, POINTS_MAX))?;
        let read = |uuid| async move { Ok((uuid, plan.run(&self.inner, self.subject_key(uuid)).await?)) };
        futures_util::stream::iter(subject_uuids).map(read).buffered(READS_AT_A_TIME).try_collect().await
    }
}
