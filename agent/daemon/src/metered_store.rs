//! A store that counts its commits and the jobs that end, and tells the health page whether they work.

use async_trait::async_trait;
use hvnode_api::health::Health;
use hvnode_api::metrics::Metrics;
use hvnode_core::Result;
use hvnode_core::model::{Event, Job, Operation, Timestamp};
use hvnode_core::port::{Durability, JobFilter, Listing, OperationFilter, Page, Store, StoredState, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Longest wait for an answer to a probe.
const PROBE_TIME: Duration = Duration::from_secs(5);

/// Passes everything on to the store inside.
pub(crate) struct MeteredStore {
    inner: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    is_up: AtomicBool,
    /// Comes after the engine, which comes after the store.
    /// Held weakly: the health page reaches the engine, and that this store.
    health: OnceLock<Weak<Health>>,
}

impl MeteredStore {
    pub(crate) fn new(inner: Arc<dyn Store>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { inner, metrics, is_up: AtomicBool::new(true), health: OnceLock::new() })
    }

    /// Whom to tell from now on.
    pub(crate) fn report_to(&self, health: &Arc<Health>) {
        health.set_store_up(self.is_up.load(Ordering::Relaxed));
        let _set_once = self.health.set(Arc::downgrade(health));
    }

    /// Asks the store for something small; where commits fail, tries one that changes nothing. False where it does not answer at all
    /// within [`PROBE_TIME`]: an error is an answer, silence is not.
    pub(crate) async fn probe(&self) -> bool {
        let was_up = self.is_up.load(Ordering::Relaxed);
        let Ok(outcome) = tokio::time::timeout(PROBE_TIME, self.ask(was_up)).await else {
            tracing::error!("the store does not answer");
            self.set_up(false);
            return false;
        };
        match outcome {
            Ok(()) if !was_up => tracing::info!("the store works again"),
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(error = %error.chain(), "the store fails");
                self.set_up(false);
            }
        }
        true
    }

    async fn ask(&self, is_up: bool) -> Result<()> {
        if is_up {
            return self.inner.job(Uuid::nil()).await.map(drop);
        }
        let never = Timestamp(i64::MIN);
        let nothing = Write::Prune { jobs_before: never, operations_before: never, tokens_before: never, events_before: never };
        self.commit(vec![nothing], Durability::Durable).await
    }

    fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::Relaxed);
        if let Some(health) = self.health.get().and_then(Weak::upgrade) {
            health.set_store_up(is_up);
        }
    }
}

/// A job's end is written once.
fn ended_job(write: &Write) -> Option<Arc<Job>> {
    match write {
        Write::PutJob(job) if job.status.is_ended() => Some(job.clone()),
        _ => None,
    }
}

#[async_trait]
impl Store for MeteredStore {
    async fn load(&self) -> Result<StoredState> {
        self.inner.load().await
    }

    async fn commit(&self, writes: Vec<Write>, durability: Durability) -> Result<()> {
        let start = Instant::now();
        let ended: Vec<Arc<Job>> = writes.iter().filter_map(ended_job).collect();
        let outcome = self.inner.commit(writes, durability).await;
        if outcome.is_ok() {
            ended.iter().for_each(|job| self.metrics.observe_job(job));
        }
        let word = match durability {
            Durability::Durable => "durable",
            Durability::Relaxed => "relaxed",
        };
        self.metrics.observe_commit(word, outcome.is_ok(), start.elapsed());
        self.set_up(outcome.is_ok());
        outcome
    }

    async fn job(&self, job_uuid: Uuid) -> Result<Option<Job>> {
        self.inner.job(job_uuid).await
    }

    async fn job_by_request(&self, request_uuid: Uuid, since: Timestamp) -> Result<Option<Job>> {
        self.inner.job_by_request(request_uuid, since).await
    }

    async fn list_jobs(&self, filter: JobFilter, page: Page) -> Result<Listing<Job>> {
        self.inner.list_jobs(filter, page).await
    }

    async fn operation(&self, operation_uuid: Uuid) -> Result<Option<Operation>> {
        self.inner.operation(operation_uuid).await
    }

    async fn list_events(&self, after: u64, limit: u64) -> Result<Vec<Event>> {
        self.inner.list_events(after, limit).await
    }

    async fn event_bounds(&self) -> Result<(u64, u64)> {
        self.inner.event_bounds().await
    }

    async fn list_operations(&self, filter: OperationFilter, page: Page) -> Result<Listing<Operation>> {
        self.inner.list_operations(filter, page).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hvnode_core::fail;
    use hvnode_core::fake::{FakeStore, Fault, Faults};

    #[tokio::test]
    async fn a_failing_store_is_seen_and_its_recovery_too() {
        let faults = Faults::new();
        let store = MeteredStore::new(FakeStore::new(faults.clone()), Metrics::new("0").unwrap());
        faults.on_every("commit", Fault::FailBefore(fail!(StoreFailed)));
        assert!(store.commit(Vec::new(), Durability::Relaxed).await.is_err());
        assert!(store.probe().await, "an error is an answer");
        assert!(!store.is_up.load(Ordering::Relaxed), "a probe that fails changes nothing");
        faults.clear();
        assert!(store.probe().await);
        assert!(store.is_up.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_store_is_no_answer_until_it_speaks_again() {
        let faults = Faults::new();
        let store = MeteredStore::new(FakeStore::new(faults.clone()), Metrics::new("0").unwrap());
        faults.on("job", 1, Fault::HoldBefore);
        assert!(!store.probe().await);
        assert!(!store.is_up.load(Ordering::Relaxed));
        assert!(store.probe().await);
        assert!(store.is_up.load(Ordering::Relaxed));
    }
}
