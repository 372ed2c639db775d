//! Where history of usage is kept. It is not precious: losing it loses curves, never a VM.

use crate::Result;
use crate::model::{Resolution, Timestamp, UsagePoint};
use async_trait::async_trait;
use std::sync::Arc;
use uuid::Uuid;

/// Averages of one bucket of time.
#[derive(Debug, Clone)]
pub struct HistoryPoint {
    /// Host or VM.
    pub subject_uuid: Uuid,
    /// Averages; `time` is the start of the bucket.
    pub point: Arc<UsagePoint>,
}

/// Keeps averages over restarts. `StoreFailed` where it cannot.
#[async_trait]
pub trait HistoryStore: Send + Sync + 'static {
    /// Keeps averages of many subjects at once. A bucket that is there already is replaced.
    async fn append(&self, resolution: Resolution, points: Vec<HistoryPoint>) -> Result<()>;

    /// Averages of one subject whose buckets start in `start..=end`, oldest first, at most `limit`.
    async fn read(
        &self,
        subject_uuid: Uuid,
        resolution: Resolution,
        start: Timestamp,
        end: Timestamp,
        limit: usize,
    ) -> Result<Vec<UsagePoint>>;

    /// Removes buckets that start before `before`, and those that start after `after`: what a clock that ran ahead left.
    async fn prune(&self, resolution: Resolution, before: Timestamp, after: Timestamp) -> Result<()>;
}
