//! A whole node for one test: a private libvirtd, the real daemon in its namespaces as an unprivileged user, a client over its unix socket.

pub(crate) mod client;
pub(crate) mod guest;
pub(crate) mod host;
pub(crate) mod metrics;
pub(crate) mod node;
pub(crate) mod reader;

pub(crate) use client::{Answer, Client};
pub(crate) use node::Node;
pub(crate) use reader::{Reader, is_told, times_told};

use std::future::Future;
use std::time::{Duration, Instant};

/// Long enough for anything that is going to happen at all, on a slow and busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again and again until there is an answer; panics with `what` when it takes longer than `limit`. Gives how long it took.
pub(crate) async fn wait_for<T, F: Future<Output = Option<T>>>(what: &str, limit: Duration, mut ask: impl FnMut() -> F) -> (T, Duration) {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return (answer, start.elapsed());
        }
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
