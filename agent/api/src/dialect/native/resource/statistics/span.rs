//! Which times are asked for.

use crate::dialect::native::check::{self, TimeInput};
use hvnode_core::engine::HistoryQuery;
use hvnode_core::model::Timestamp;
use hvnode_core::{Result, fail};
use std::time::Duration;
use uuid::Uuid;

/// Range where the caller does not say.
const RANGE_DEFAULT: Duration = Duration::from_secs(3600);
/// Longest range in seconds.
const RANGE_SECONDS_MAX: u64 = 31 * 24 * 3600;

/// The time parameters as they came.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Times<'a> {
    pub(super) start: Option<&'a TimeInput>,
    pub(super) end: Option<&'a TimeInput>,
    pub(super) period: Option<u64>,
    pub(super) is_latest: bool,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// Only the newest point, from memory.
    Latest,
    /// Points of a range of time.
    Range(Range),
}

/// A checked range of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) period: Option<Duration>,
}

impl Times<'_> {
    /// True where the caller says nothing about time.
    pub(super) fn is_empty(&self) -> bool {
        self.start.is_none() && self.end.is_none() && self.period.is_none()
    }

    /// Checks them; `interval` is the time between two samples. The last hour where nothing is said.
    ///
    /// # Errors
    /// `ParameterInvalid`, `TimeRangeInvalid`.
    pub(super) fn span(self, interval: Duration) -> Result<Span> {
        if !self.is_latest {
            return Ok(Span::Range(self.range(interval)?));
        }
        if self.is_empty() {
            return Ok(Span::Latest);
        }
        Err(fail!(ParameterInvalid,
            "latest excludes start_time, end_time and period"; "latest 不能与 start_time、end_time 或 period 同时使用"))
    }

    /// As [`Times::span`], where only a range makes sense.
    ///
    /// # Errors
    /// `ParameterInvalid`, `TimeRangeInvalid`.
    pub(super) fn range(self, interval: Duration) -> Result<Range> {
        let end = self.end.map(|time| check::time("end_time", time)).transpose()?.unwrap_or_else(Timestamp::now);
        let default = || Timestamp(end.0.saturating_sub(RANGE_DEFAULT.as_nanos() as i64));
        let start = self.start.map(|time| check::time("start_time", time)).transpose()?.unwrap_or_else(default);
        if start > end {
            return Err(fail!(TimeRangeInvalid, "start_time must not be after end_time"; "start_time 不能晚于 end_time"));
        }
        if end.since(start) > Duration::from_secs(RANGE_SECONDS_MAX) {
            return Err(
                fail!(TimeRangeInvalid, "end_time must be at most 31 days after start_time"; "end_time 最多比 start_time 晚 31 天"),
            );
        }
        Ok(Range { start, end, period: self.period.map(|seconds| check_period(seconds, interval)).transpose()? })
    }
}

/// Averages over less than the time between two samples would be made up.
fn check_period(seconds: u64, interval: Duration) -> Result<Duration> {
    let interval = interval.as_secs_f64().ceil() as u64;
    if seconds < interval {
        return Err(fail!(ParameterInvalid,
            "period must be at least the sampling interval, now {interval} seconds"; "period 不能小于采样间隔，当前为 {interval} 秒"));
    }
    check::within("period", seconds, 1, RANGE_SECONDS_MAX).map(Duration::from_secs)
}

impl Range {
    /// The range of one subject's history.
    pub(super) fn query(self, subject_uuid: Uuid) -> HistoryQuery {
        HistoryQuery { subject_uuid, start: self.start, end: self.end, period: self.period }
    }

    pub(super) fn length(self) -> Duration {
        self.end.since(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Option<TimeInput> {
        (!text.is_empty()).then(|| serde_json::from_value(text.into()).unwrap())
    }

    fn range(start: &str, end: &str) -> Result<Range> {
        Times { start: time(start).as_ref(), end: time(end).as_ref(), ..Times::default() }.range(Duration::from_secs(10))
    }

    #[test]
    fn a_range_is_the_last_hour_unless_said_otherwise() {
        let range = range("", "7200").unwrap();
        assert_eq!((range.start.seconds(), range.end.seconds()), (3600, 7200));
    }

    #[test]
    fn a_range_that_ends_before_it_starts_or_is_too_long_is_refused() {
        assert_eq!(range("2", "1").unwrap_err().code().number(), 19000);
        assert_eq!(range("0", "2678401").unwrap_err().code().number(), 19000);
        assert!(range("0", "2678400").is_ok() && range("5", "5").is_ok());
        assert_eq!(range("x", "1").unwrap_err().code().number(), 10003);
    }

    #[test]
    fn a_period_shorter_than_the_sampling_interval_is_refused_by_naming_it() {
        let period = |seconds| Times { period: Some(seconds), ..Times::default() }.range(Duration::from_millis(11_500));
        let error = period(11).unwrap_err();
        assert_eq!(error.code().number(), 10003);
        assert!(error.message().contains("period") && error.message().contains("12 seconds"), "{}", error.message());
        assert_eq!(period(12).unwrap().period, Some(Duration::from_secs(12)));
        assert_eq!(period(RANGE_SECONDS_MAX + 1).unwrap_err().code().number(), 10003);
    }

    #[test]
    fn the_newest_point_has_no_range() {
        let latest = Times { is_latest: true, ..Times::default() };
        assert_eq!(latest.span(Duration::from_secs(10)).unwrap(), Span::Latest);
        let both = Times { period: Some(60), ..latest }.span(Duration::from_secs(10));
        assert_eq!(both.unwrap_err().code().number(), 10003);
    }
}
