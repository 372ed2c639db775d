//! What the node does by itself for a VM whose owner asked for it: start it again when its QEMU died, let it go on when a disk error that
//! stopped it was only a full pool. Each goes through the same door as a request, as the daemon's own job.

use super::api::ChangeRequest;
use super::{Inner, accept, inventory};
use crate::model::{Caller, DesiredPower, Management, PoolSpace, StateReason, Vm, VmPhase, VmRecord, VmStatus};
use crate::port::{Durability, VOLUMES_POOL, Write};
use crate::verb::{ChangeInput, VmOnlyInput};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// How the engine acts by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySettings {
    /// Let VMs go on that a full pool stopped, once there is space.
    pub resumes_after_full_pool: bool,
    /// Space that must be free for that.
    pub resume_free_bytes: u64,
    /// First and longest pause before the pool is looked at for that; it doubles with each resume that did not help.
    pub resume_pauses: (Duration, Duration),
    /// First and longest pause before a crashed VM is started again; it doubles with each crash.
    pub restart_pauses: (Duration, Duration),
    /// A VM that ran this long starts with the first pause again.
    pub restart_forgiven_after: Duration,
    /// After so many crashes in a row the VM is left alone.
    pub restarts_max: u32,
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self {
            resumes_after_full_pool: true,
            resume_free_bytes: 256 << 20,
            resume_pauses: (Duration::from_secs(5), Duration::from_secs(300)),
            restart_pauses: (Duration::from_secs(1), Duration::from_secs(300)),
            restart_forgiven_after: Duration::from_secs(600),
            restarts_max: 10,
        }
    }
}

/// Restarts of a VM in a row, and when the last one was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Restarts {
    count: u32,
    last: Instant,
}

/// Restarts by VM; VMs that are gone are forgotten with their record.
pub(super) type RestartCounts = HashMap<Uuid, Restarts>;

/// VMs that a full pool stopped and that a task looks after.
pub(super) type Resuming = HashSet<Uuid>;

/// Looks whether something is to be done for a VM whose status just changed from `old`.
pub(super) fn consider(inner: &Arc<Inner>, vm_uuid: Uuid, old: &str) {
    let snapshot = inner.world.load();
    let Some(vm) = snapshot.vms.get(&vm_uuid) else { return };
    if is_stopped_by_full_pool(vm) {
        return plan_resume(inner, vm_uuid);
    }
    if vm.management != Management::Managed || vm.job.is_some() {
        return;
    }
    if is_started_outside(vm) && OFF.iter().any(|status| status.word() == old) {
        tokio::spawn(accept_start_outside(inner.clone(), vm_uuid));
    } else if wants_restart(vm) {
        plan_restart(inner, vm_uuid, vm.name());
    }
}

/// Takes up what a former run of the daemon left: readers know the state of these VMs, so no change calls [`consider`].
pub(super) fn take_up(inner: &Arc<Inner>) {
    let snapshot = inner.world.load();
    for (vm_uuid, _) in snapshot.vms.iter().filter(|(_, vm)| is_stopped_by_full_pool(vm)) {
        plan_resume(inner, *vm_uuid);
    }
}

/// States that only a start leads out of, ours (which has a state of its own) or somebody else's.
const OFF: [VmStatus; 3] = [VmStatus::Stopped, VmStatus::Crashed, VmStatus::Suspended];

/// It runs although nothing of ours started it.
fn is_started_outside(vm: &Vm) -> bool {
    let should_be_off = vm.record.as_ref().is_some_and(|r| r.phase == VmPhase::Ready && r.desired_power == DesiredPower::Off);
    should_be_off && vm.job.is_none() && matches!(vm.status, VmStatus::Running | VmStatus::Paused)
}

/// Whoever starts a VM with another tool wants it to run, as if he had asked us.
async fn accept_start_outside(inner: Arc<Inner>, vm_uuid: Uuid) {
    let write = inner.world.update(|snapshot| {
        let vm = snapshot.vms.get(&vm_uuid).filter(|vm| is_started_outside(vm))?;
        let record = VmRecord { desired_power: DesiredPower::On, ..VmRecord::clone(vm.record.as_ref()?) };
        let write = Write::PutVm(Arc::new(record));
        inventory::apply(snapshot, &write);
        Some(write)
    });
    let Some(write) = write else { return };
    tracing::info!(%vm_uuid, "A VM that was off was started by somebody else");
    if let Err(error) = inner.ports.store.commit(vec![write], Durability::Relaxed).await {
        tracing::warn!(%vm_uuid, error = %error.chain(), "That a VM should run could not be stored");
    }
}

fn wants_restart(vm: &Vm) -> bool {
    // A VM that should be off never counts as crashed.
    let asks = vm.record.as_ref().is_some_and(|r| r.restart_on_crash && r.phase == VmPhase::Ready);
    asks && vm.status == VmStatus::Crashed
}

fn is_stopped_by_full_pool(vm: &Vm) -> bool {
    vm.management == Management::Managed && vm.status == VmStatus::Paused && vm.reason == StateReason::IoError
}

fn plan_restart(inner: &Arc<Inner>, vm_uuid: Uuid, vm_name: &str) {
    let policy = &inner.config.policy;
    let count = {
        let mut counts = inner.restarts.lock();
        let known = inner.world.load();
        counts.retain(|uuid, _| known.vms.contains_key(uuid));
        let restarts = counts.entry(vm_uuid).or_insert(Restarts { count: 0, last: Instant::now() });
        if restarts.last.elapsed() > policy.restart_forgiven_after {
            restarts.count = 0;
        }
        restarts.count += 1;
        restarts.count
    };
    if count > policy.restarts_max {
        tracing::error!(%vm_uuid, vm_name, crashes = count, "A VM crashed too often in a row and is left alone");
        return;
    }
    let pause = policy.restart_pauses.0.saturating_mul(1 << (count - 1).min(16)).min(policy.restart_pauses.1);
    tracing::warn!(%vm_uuid, vm_name, crashes = count, ?pause, "A VM crashed and is started again after a pause");
    let inner = inner.clone();
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        let is_still_so = inner.world.load().vms.get(&vm_uuid).is_some_and(|vm| wants_restart(vm));
        if is_still_so {
            act(&inner, ChangeInput::StartVm(VmOnlyInput { vm_uuid }), "policy/restart_on_crash").await;
            if let Some(restarts) = inner.restarts.lock().get_mut(&vm_uuid) {
                restarts.last = Instant::now();
            }
        }
    });
}

fn plan_resume(inner: &Arc<Inner>, vm_uuid: Uuid) {
    // One task for each: the one that is there sees this pause too.
    if inner.config.policy.resumes_after_full_pool && inner.resuming.lock().insert(vm_uuid) {
        tokio::spawn(resume_when_there_is_space(inner.clone(), vm_uuid));
    }
}

async fn resume_when_there_is_space(inner: Arc<Inner>, vm_uuid: Uuid) {
    let policy = &inner.config.policy;
    let has_space =
        |pools: &[PoolSpace]| pools.iter().any(|pool| pool.pool_name == VOLUMES_POOL && pool.available_bytes >= policy.resume_free_bytes);
    let (mut pause, pause_max) = policy.resume_pauses;
    loop {
        tokio::time::sleep(pause).await;
        if !goes_on(&inner, vm_uuid) {
            return;
        }
        match inner.ports.hypervisor.pool_space().await {
            Ok(pools) if has_space(&pools) => {
                act(&inner, ChangeInput::ResumeVm(VmOnlyInput { vm_uuid }), "policy/resume_after_full_pool").await;
                // The pool may have space where its disk still has none: whoever is paused again by the next look waits longer.
                pause = (pause * 2).min(pause_max);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%vm_uuid, error = %error.chain(), "The pool's space could not be read"),
        }
    }
}

/// Is the VM still stopped? If not, its task is over; said under the lock, so that the next pause finds this task or begins another.
fn goes_on(inner: &Inner, vm_uuid: Uuid) -> bool {
    let mut resuming = inner.resuming.lock();
    let is_still_so = inner.world.load().vms.get(&vm_uuid).is_some_and(|vm| is_stopped_by_full_pool(vm)) && !inner.is_stopping();
    if !is_still_so {
        resuming.remove(&vm_uuid);
    }
    is_still_so
}

/// Asks the engine, as anybody would.
pub(super) async fn act(inner: &Arc<Inner>, change: ChangeInput, action: &str) {
    let request = ChangeRequest {
        caller: Caller::system(),
        change,
        request_uuid: None,
        action: action.to_owned(),
        resource_name: None,
        request: json!({}),
    };
    if let Err(error) = accept::submit(inner.clone(), request).await {
        tracing::warn!(action, error = %error.chain(), "What the node wanted to do by itself was refused");
    }
}
