//! History in memory, with injected faults.

use super::Faults;
use crate::Result;
use crate::model::{Resolution, Timestamp, UsagePoint};
use crate::port::{HistoryPoint, HistoryStore};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

type Key = (Resolution, Uuid, Timestamp);

/// Keeps everything in memory.
#[derive(Default)]
pub struct FakeHistory {
    faults: Faults,
    points: Mutex<BTreeMap<Key, Arc<UsagePoint>>>,
}

impl std::fmt::Debug for FakeHistory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeHistory").field("points", &self.points.lock().len()).finish_non_exhaustive()
    }
}

impl FakeHistory {
    /// An empty one.
    pub fn new(faults: Faults) -> Arc<Self> {
        Arc::new(Self { faults, points: Mutex::default() })
    }
}

#[async_trait]
impl HistoryStore for FakeHistory {
    async fn append(&self, resolution: Resolution, points: Vec<HistoryPoint>) -> Result<()> {
        self.faults.enter_blocking("history_append")?;
        let rows = points.into_iter().map(|row| ((resolution, row.subject_uuid, row.point.time), row.point));
        self.points.lock().extend(rows);
        Ok(())
    }

    async fn read(
        &self,
        subject_uuid: Uuid,
        resolution: Resolution,
        start: Timestamp,
        end: Timestamp,
        limit: usize,
    ) -> Result<Vec<UsagePoint>> {
        self.faults.enter_blocking("history_read")?;
        if start > end {
            return Ok(Vec::new());
        }
        let points = self.points.lock();
        let range = points.range((resolution, subject_uuid, start)..=(resolution, subject_uuid, end));
        Ok(range.take(limit).map(|(_, point)| UsagePoint::clone(point)).collect())
    }

    async fn prune(&self, resolution: Resolution, before: Timestamp, after: Timestamp) -> Result<()> {
        self.faults.enter_blocking("history_prune")?;
        self.points.lock().retain(|(r, _, time), _| *r != resolution || (before..=after).contains(time));
        Ok(())
    }
}
