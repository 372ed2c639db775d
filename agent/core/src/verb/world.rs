//! The one cell that holds the current picture of the node, and waiting for it to change.

use crate::model::{Event, Snapshot};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Holds the current [`Snapshot`]. Readers load it without a lock; writers take turns.
#[derive(Debug)]
pub struct World {
    current: ArcSwap<Snapshot>,
    writing: Mutex<()>,
    events: mpsc::Sender<Event>,
    lost_events: AtomicU64,
    generation: watch::Sender<u64>,
}

impl World {
    /// A cell that holds `snapshot` and sends what its changes have to tell to `events`, in order.
    pub fn new(snapshot: Snapshot, events: mpsc::Sender<Event>) -> Self {
        let generation = watch::Sender::new(snapshot.generation);
        Self { current: ArcSwap::from_pointee(snapshot), writing: Mutex::new(()), events, lost_events: AtomicU64::new(0), generation }
    }

    /// How many events did not fit since the last call. Whoever takes events must then look at the whole picture.
    pub fn take_lost_events(&self) -> u64 {
        self.lost_events.swap(0, Ordering::Relaxed)
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
        for event in std::mem::take(&mut next.event_drafts) {
            // Never waits: a full queue is counted, and made good from the whole picture.
            if self.events.try_send(event).is_err() {
                self.lost_events.fetch_add(1, Ordering::Relaxed);
            }
        }
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
