//! Removes what is too old: ended jobs, operation rows, events, expired tokens, VMs whose time in the trash is over, partial files that no
//! image knows any more.

use super::{Inner, policy};
use crate::model::{Timestamp, VmPhase};
use crate::port::{ConnectionState, Durability, Write};
use crate::verb::{ChangeInput, VmOnlyInput};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(600);

/// The time by which things are old. It follows the host's clock back at once, but forward at most twice as fast as time really passes:
/// a clock that jumps ahead by days, and is put right later, must not empty the trash in between. A start takes the clock as it is.
struct AgeClock {
    time: Timestamp,
    looked: Instant,
}

impl AgeClock {
    fn new(now: Timestamp) -> Self {
        Self { time: now, looked: Instant::now() }
    }

    fn follow(&mut self, now: Timestamp) -> Timestamp {
        let reachable = self.time.plus(self.looked.elapsed().saturating_mul(2));
        if now > reachable {
            tracing::warn!(behind = ?now.since(reachable), "The clock jumped ahead; old rows and trash are kept as long as time really passes");
        }
        self.time = now.min(reachable);
        self.looked = Instant::now();
        self.time
    }
}

/// Starts the regular clean-up.
pub(super) fn spawn(inner: &Arc<Inner>) {
    let inner = inner.clone();
    tokio::spawn(async move {
        // The first look comes once everything was read, so that what expired meanwhile goes at once.
        inner.world.wait_until(INTERVAL, |snapshot| snapshot.connection == ConnectionState::Up).await;
        let mut ticks = tokio::time::interval(INTERVAL);
        let mut age_clock = AgeClock::new(inner.now());
        loop {
            ticks.tick().await;
            let now = age_clock.follow(inner.now());
            let before = |age: Duration| Timestamp(now.0.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)));
            let prune = Write::Prune {
                jobs_before: before(inner.config.job_retention),
                operations_before: before(inner.config.operation_retention),
                tokens_before: now,
                events_before: before(inner.config.event_retention),
            };
            if let Err(error) = inner.ports.store.commit(vec![prune], Durability::Relaxed).await {
                tracing::warn!(error = %error.chain(), "Old rows could not be removed");
            }
            empty_trash(&inner, now).await;
            remove_strays(&inner).await;
        }
    });
}

/// Removes for good the VMs whose time in the trash is over.
async fn empty_trash(inner: &Arc<Inner>, now: Timestamp) {
    let snapshot = inner.world.load();
    if snapshot.connection != ConnectionState::Up {
        return;
    }
    let is_over = |record: &crate::model::VmRecord| record.phase == VmPhase::Trashed && record.expire_time.is_some_and(|time| time <= now);
    let expired = snapshot.vms.values().filter_map(|vm| vm.record.as_ref()).filter(|record| is_over(record));
    for record in expired {
        tracing::info!(vm_uuid = %record.vm_uuid, vm_name = %record.vm_name, "A VM's time in the trash is over");
        policy::act(inner, ChangeInput::ExpungeVm(VmOnlyInput { vm_uuid: record.vm_uuid }), "policy/empty_trash").await;
    }
}

async fn remove_strays(inner: &Inner) {
    let known: Vec<_> = inner.world.load().images.keys().copied().collect();
    match inner.ports.images.remove_strays(&inner.verb_settings.images_directory, &known).await {
        Ok(names) if names.is_empty() => {}
        Ok(names) => tracing::info!(?names, "Partial image files of forgotten transfers were removed"),
        Err(error) => tracing::warn!(error = %error.chain(), "The images folder could not be searched for partial files"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn age_follows_time_and_not_a_clock_that_jumps_ahead() {
        let start = Timestamp::from_seconds(1_767_225_600);
        let mut clock = AgeClock::new(start);
        tokio::time::advance(HOUR).await;
        assert_eq!(clock.follow(start.plus(HOUR)), start.plus(HOUR));
        tokio::time::advance(HOUR).await;
        assert_eq!(clock.follow(start.plus(1000 * HOUR)), start.plus(3 * HOUR), "a thousand hours in one");
        tokio::time::advance(HOUR).await;
        assert_eq!(clock.follow(start.plus(3 * HOUR)), start.plus(3 * HOUR), "put right again");
    }

    #[tokio::test(start_paused = true)]
    async fn age_goes_back_with_the_clock_and_catches_up_afterwards() {
        let start = Timestamp::from_seconds(1_767_225_600);
        let mut clock = AgeClock::new(start);
        tokio::time::advance(HOUR).await;
        assert_eq!(clock.follow(Timestamp(0)), Timestamp(0));
        clock.follow(start);
        assert!(clock.follow(start) < start, "that was a jump ahead too");
        clock = AgeClock::new(start);
        clock.follow(Timestamp(start.0 - 7_200_000_000_000));
        tokio::time::advance(HOUR).await;
        assert_eq!(clock.follow(start.plus(HOUR)), start, "two hours behind, so two steps in one");
        tokio::time::advance(HOUR).await;
        assert_eq!(clock.follow(start.plus(2 * HOUR)), start.plus(2 * HOUR));
    }
}
