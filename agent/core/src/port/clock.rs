//! Time, so that tests can hold it.

use crate::model::{SampleTime, Timestamp};

/// The machine's clocks.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Now, on the wall clock and on the steady one.
    fn sample_time(&self) -> SampleTime;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sample_time(&self) -> SampleTime {
        SampleTime::now()
    }
}
