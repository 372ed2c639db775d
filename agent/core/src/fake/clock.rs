//! A clock that stands still until it is told to move.

use crate::model::{SampleTime, Timestamp};
use crate::port::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A clock that stands still until it is told to move. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Hands>);

#[derive(Debug)]
struct Hands {
    wall_nanoseconds: AtomicI64,
    elapsed_nanoseconds: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(Hands { wall_nanoseconds: AtomicI64::new(now.0), elapsed_nanoseconds: AtomicU64::new(0) }))
    }

    /// Moves it forward.
    pub fn advance(&self, duration: Duration) {
        let step = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        self.0.wall_nanoseconds.fetch_add(step, Ordering::SeqCst);
        self.0.elapsed_nanoseconds.fetch_add(step.unsigned_abs(), Ordering::SeqCst);
    }

    /// Sets the wall clock, backwards too; the steady one stays.
    pub fn set(&self, now: Timestamp) {
        self.0.wall_nanoseconds.store(now.0, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::new(Timestamp::from_seconds(1_767_225_600))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.wall_nanoseconds.load(Ordering::SeqCst))
    }

    fn sample_time(&self) -> SampleTime {
        SampleTime { time: self.now(), elapsed: Duration::from_nanos(self.0.elapsed_nanoseconds.load(Ordering::SeqCst)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_only_when_told() {
        let clock = ManualClock::default();
        let start = clock.now();
        assert_eq!(clock.now(), start);
        clock.clone().advance(Duration::from_secs(3));
        assert_eq!(clock.now().since(start), Duration::from_secs(3));
        clock.set(start);
        assert_eq!(clock.now(), start);
    }
}
