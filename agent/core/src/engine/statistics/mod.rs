//! Statistics: samples host and VMs in the background, computes usage, keeps history. Never in a request.
//!
//! ```text
//!   kernel tier ─────▶ sweep ─▶ live ─▶ usage ─▶ Readings (one atomic load for readers)
//!   hypervisor tier ─▶ sweep ─▶  │               │
//!   picture: who is on ─▶ follow ┘               ▼
//!                                      keep: ring ─▶ averages ─▶ HistoryStore
//!                                               ◀── query ───────────┘
//! ```

mod average;
mod keep;
mod live;
mod query;
mod ring;
mod sweep;
#[cfg(test)]
mod tests;
mod usage;
#[cfg(test)]
mod usage_tests;

pub use query::{History, HistoryQuery, POINTS_MAX, POINTS_OF_MANY_MAX};

use super::{Engine, Inner};
use crate::model::{Readings, Tier};
use arc_swap::ArcSwap;
use keep::Subjects;
use live::Live;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

/// What the host is kept under, in memory and in the store.
const HOST: Uuid = Uuid::nil();

/// How statistics are taken and kept.
#[derive(Debug, Clone)]
pub struct StatisticsSettings {
    /// Pause between sweeps of the kernel tier, and between samples of the host. Longer where there are many VMs.
    pub kernel_interval: Duration,
    /// Pause between sweeps of the hypervisor tier. Longer where there are many VMs.
    pub hypervisor_interval: Duration,
    /// How long every point is kept, in memory.
    pub fine_retention: Duration,
    /// How long averages of a minute are kept.
    pub minute_retention: Duration,
    /// How long averages of fifteen minutes are kept.
    pub coarse_retention: Duration,
}

impl Default for StatisticsSettings {
    fn default() -> Self {
        Self {
            kernel_interval: Duration::from_secs(10),
            hypervisor_interval: Duration::from_secs(30),
            fine_retention: Duration::from_secs(300),
            minute_retention: Duration::from_secs(24 * 3600),
            coarse_retention: Duration::from_secs(31 * 24 * 3600),
        }
    }
}

impl StatisticsSettings {
    /// Most points of one subject in memory: some more than the intervals give, for early samples.
    fn fine_points_max(&self) -> usize {
        let interval = self.kernel_interval.as_secs_f64().max(0.001);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // positive, and the cast saturates
        let points = (self.fine_retention.as_secs_f64() / interval * 1.1) as usize;
        points.saturating_add(8).min(FINE_POINTS_MAX)
    }
}

/// Most points of one subject in memory, whatever the settings say.
const FINE_POINTS_MAX: usize = 10_000;

/// What the engine knows of usage.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    readings: ArcSwap<Readings>,
    /// Whoever holds it may write `readings`.
    live: Mutex<Live>,
    subjects: Mutex<Subjects>,
    /// Wakes the loop of a [`Tier`] for VMs that are new.
    wake: [Notify; Tier::ALL.len()],
}

impl Engine {
    /// The latest samples and points. Never blocks.
    pub fn readings(&self) -> Arc<Readings> {
        self.inner.statistics.readings.load_full()
    }
}

/// Starts the loops.
pub(super) fn spawn(inner: &Arc<Inner>) {
    sweep::spawn(inner);
    keep::spawn(inner);
}

/// At the end of the daemon: what is not kept yet goes into the store.
pub(super) async fn flush(inner: &Inner) {
    keep::flush_all(inner).await;
}
