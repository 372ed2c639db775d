//! Removes what is too old: ended jobs, operation rows, events, expired tokens, VMs whose time in the trash is over, partial files that no
//! image knows any more.

use super::{Inner, policy};
use crate::model::{Timestamp, VmPhase};
use crate::port::{ConnectionState, Durability, Write};
use crate::verb::{ChangeInput, VmOnlyInput};
use std::sync::Arc;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(600);

/// Starts the regular clean-up.
pub(super) fn spawn(inner: &Arc<Inner>) {
    let inner = inner.clone();
    tokio::spawn(async move {
        // The first look comes once everything was read, so that what expired meanwhile goes at once.
        inner.world.wait_until(INTERVAL, |snapshot| snapshot.connection == ConnectionState::Up).await;
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            let now = inner.now();
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
            empty_trash(&inner).await;
            remove_strays(&inner).await;
        }
    });
}

/// Removes for good the VMs whose time in the trash is over.
async fn empty_trash(inner: &Arc<Inner>) {
    let (snapshot, now) = (inner.world.load(), inner.now());
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
