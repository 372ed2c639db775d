//! The one cell that holds the current picture of the node, and waiting for it to change.

use crate::model::Snapshot;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Holds the current [`Snapshot`]. Readers load it without a lock; writers take turns.
#[derive(Debug)]
pub struct World {
    current: ArcSwap<Snapshot>,
    writing: Mutex<()>,
    generation: watch::Sender<u64>,
}

impl World {
    /// A cell that holds `snapshot`.
    pub fn new(snapshot: Snapshot) -> Self {
        let generation = watch::Sender::new(snapshot.generation);
        Self { current: ArcSwap::from_pointee(snapshot), writing: Mutex::new(()), generation }
    }

    /// The current picture.
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Replaces the picture by a changed one and wakes whoever waits. `change` must be quick: writers take turns.
    pub fn update<T>(&self, change: impl FnOnce(&mut Snapshot) -> T) -> T {
        let _turn = self.writing.lock();
        let mut next = Snapshot::clone(&self.current.load());
        next.generation += 1;
        let generation = next.generation;
        let result = change(&mut next);
        self.current.store(Arc::new(next));
        self.generation.send_replace(generation);
        result
    }

    /// Waits until `is_so` holds of the picture, at most `timeout`. True if it does.
    pub async fn wait_until(&self, timeout: Duration, mut is_so: impl FnMut(&Snapshot) -> bool) -> bool {
        let mut changes = self.generation.subscribe();
        let wait = async {
            loop {
                changes.borrow_and_update();
                if is_so(&self.load()) {
                    return;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(timeout, wait).await.is_ok()
    }
}
