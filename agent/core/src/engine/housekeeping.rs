//! Removes what is too old: ended jobs, operation rows, expired tokens.

use super::Inner;
use crate::model::Timestamp;
use crate::port::{Durability, Write};
use std::sync::Arc;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(3600);

/// Starts the hourly clean-up.
pub(super) fn spawn(inner: &Arc<Inner>) {
    let inner = inner.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            let now = inner.now();
            let before = |age: Duration| Timestamp(now.0.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)));
            let prune = Write::Prune {
                jobs_before: before(inner.config.job_retention),
                operations_before: before(inner.config.operation_retention),
                tokens_before: now,
            };
            if let Err(error) = inner.ports.store.commit(vec![prune], Durability::Relaxed).await {
                tracing::warn!(error = %error.chain(), "Old rows could not be removed");
            }
        }
    });
}
