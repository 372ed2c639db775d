//! Asks about all VMs at the same time, a few per question, so that a VM that does not answer takes nobody's figures but its own.
//!
//! libvirt asks the VMs of one question one after the other, and its first question to a monitor that hangs waits for as long as that
//! hangs. So VMs are asked in small *shards*, each with a deadline. The VMs of a shard that is late are asked again at once, each alone:
//! the one that hangs is now known to libvirt as busy and is skipped or, if it is another, is late alone. The late question itself cannot
//! be taken back: it holds a thread, a place on its connection and one of libvirtd's own threads until the VM answers or dies. Until then
//! its VMs are asked alone, and one whose own question is late is not asked. So each VM that hangs costs about one such place, and at most
//! [`STUCK_MAX`] beside the threads that serve are ever given away.

use crate::config::LibvirtConfig;
use crate::pool::{CallCounts, CallObserver, PoolSize, WorkerPool};
use futures_util::stream::{self, StreamExt};
use hvnode_core::error::AgentError;
use hvnode_core::model::HypervisorSample;
use hvnode_core::{ErrorCode, Result};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Questions that may be stuck beside those that are asked. libvirtd has twenty threads for all its clients by default.
const STUCK_MAX: usize = 8;
/// Questions at the same time, however many connections there are.
const PARALLEL_MAX: usize = 8;
/// Questions per connection. libvirtd serves five, and while it does, it does not even hear that the connection is asked to show life.
const CALLS_PER_CONNECTION: usize = 4;
/// Questions that may wait for a thread.
const QUEUE_MAX: usize = 64;

/// How VMs are asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SampleLimits {
    /// Questions at the same time.
    pub(crate) parallel: usize,
    /// VMs per question.
    pub(crate) shard_vms: usize,
    /// Deadline of a question about several VMs; 10 ms per VM are usual, 80 ms on a host that is overloaded.
    pub(crate) shard_deadline: Duration,
    /// Deadline of a question about one VM.
    pub(crate) alone_deadline: Duration,
    /// Deadline of everything.
    pub(crate) sweep_deadline: Duration,
}

impl SampleLimits {
    /// Those that fit the configuration.
    pub(crate) fn new(config: &LibvirtConfig) -> Self {
        Self {
            parallel: config.connections.clamp(1, PARALLEL_MAX),
            shard_vms: 8,
            shard_deadline: Duration::from_secs(2),
            alone_deadline: Duration::from_secs(1),
            sweep_deadline: Duration::from_secs(10),
        }
    }

    /// Connections that have room for every question, stuck ones included.
    pub(crate) fn connections(&self) -> usize {
        (self.parallel + STUCK_MAX).div_ceil(CALLS_PER_CONNECTION)
    }
}

/// Questions on their way, by number: the VMs each is about.
#[derive(Default)]
struct Asked {
    questions: Mutex<HashMap<u64, Vec<Uuid>>>,
    next: AtomicU64,
}

impl Asked {
    fn begin(self: &Arc<Self>, vm_uuids: Vec<Uuid>) -> Question {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.questions.lock().insert(number, vm_uuids);
        Question { asked: self.clone(), number }
    }

    /// How to ask `vm_uuids` while earlier questions have not come back: shards of those without one, then one by one those that share
    /// theirs with others. Those with a question of their own are left out.
    fn shards(&self, mut vm_uuids: Vec<Uuid>, limits: &SampleLimits) -> Vec<Vec<Uuid>> {
        vm_uuids.sort_unstable();
        vm_uuids.dedup();
        let questions = self.questions.lock();
        let with = |is_alone: bool| -> HashSet<Uuid> {
            questions.values().filter(|vms| (vms.len() == 1) == is_alone).flatten().copied().collect()
        };
        let (alone, together) = (with(true), with(false));
        vm_uuids.retain(|vm| !alone.contains(vm));
        let (suspects, others): (Vec<_>, Vec<_>) = vm_uuids.into_iter().partition(|vm| together.contains(vm));
        // Few VMs are spread over all that can ask, too.
        let size = others.len().div_ceil(limits.parallel).clamp(1, limits.shard_vms);
        others.chunks(size).map(<[Uuid]>::to_vec).chain(suspects.into_iter().map(|vm| vec![vm])).collect()
    }
}

/// A question on its way; crossed out when it comes back.
struct Question {
    asked: Arc<Asked>,
    number: u64,
}

impl Drop for Question {
    fn drop(&mut self) {
        self.asked.questions.lock().remove(&self.number);
    }
}

/// What the shards gave so far.
#[derive(Default)]
struct Harvest {
    samples: Vec<HypervisorSample>,
    late: Vec<Vec<Uuid>>,
    error: Option<AgentError>,
}

impl Harvest {
    fn add(&mut self, shard: Vec<Uuid>, result: Result<Vec<HypervisorSample>>) {
        match result {
            Ok(samples) => self.samples.extend(samples),
            Err(error) if error.code() == ErrorCode::Timeout => self.late.push(shard),
            // Without a connection there is no other reason worth telling.
            Err(error) if error.code() == ErrorCode::HypervisorUnavailable => self.error = Some(error),
            Err(error) => self.error = self.error.take().or(Some(error)),
        }
    }

    /// What there is, unless that is nothing, or half of it because the connection broke.
    fn finish(self) -> Result<Vec<HypervisorSample>> {
        match self.error {
            Some(error) if self.samples.is_empty() || error.code() == ErrorCode::HypervisorUnavailable => Err(error),
            Some(error) => {
                tracing::warn!(error = %error.chain(), "The counters of some VMs could not be read");
                Ok(self.samples)
            }
            None => Ok(self.samples),
        }
    }
}

/// The threads that ask.
pub(crate) struct Sampler {
    limits: SampleLimits,
    pool: WorkerPool,
    asked: Arc<Asked>,
}

impl Sampler {
    /// Without threads yet.
    pub(crate) fn new(limits: SampleLimits) -> Self {
        let size = PoolSize { threads: limits.parallel, queue_max: QUEUE_MAX, stuck_max: STUCK_MAX };
        Self { limits, pool: WorkerPool::new("libvirt-sample", size), asked: Arc::default() }
    }

    /// What its threads have done so far.
    pub(crate) fn observe(&self, observer: CallObserver) {
        self.pool.observe(observer);
    }

    pub(crate) fn counts(&self) -> CallCounts {
        self.pool.counts()
    }

    /// Asks about all these VMs. Those that do not answer in time are left out.
    ///
    /// # Errors
    /// `HypervisorUnavailable`; another of `ask` where no VM gave an answer.
    pub(crate) async fn sweep<F>(&self, vm_uuids: Vec<Uuid>, ask: F) -> Result<Vec<HypervisorSample>>
    where
        F: Fn(&[Uuid]) -> Result<Vec<HypervisorSample>> + Clone + Send + 'static,
    {
        let end = Instant::now() + self.limits.sweep_deadline;
        let mut harvest = Harvest::default();
        let shards = self.asked.shards(vm_uuids, &self.limits);
        self.ask_shards(shards, self.limits.shard_deadline, end, &ask, &mut harvest).await;
        let late = std::mem::take(&mut harvest.late).into_iter().filter(|shard| shard.len() > 1);
        let again = late.flatten().map(|vm| vec![vm]).collect();
        self.ask_shards(again, self.limits.alone_deadline, end, &ask, &mut harvest).await;
        harvest.finish()
    }

    async fn ask_shards<F>(&self, shards: Vec<Vec<Uuid>>, deadline: Duration, end: Instant, ask: &F, harvest: &mut Harvest)
    where
        F: Fn(&[Uuid]) -> Result<Vec<HypervisorSample>> + Clone + Send + 'static,
    {
        let mut calls = Vec::with_capacity(shards.len());
        for shard in shards {
            let ask = ask.clone();
            calls.push(async move {
                let left = end.saturating_duration_since(Instant::now());
                let result = if left.is_zero() { Ok(Vec::new()) } else { self.ask(shard.clone(), deadline.min(left), ask).await };
                (shard, result)
            });
        }
        let mut answers = stream::iter(calls).buffer_unordered(self.limits.parallel);
        while let Some((shard, result)) = answers.next().await {
            harvest.add(shard, result);
        }
    }

    /// Does `work` with one VM, which is not sampled until it comes back.
    ///
    /// # Errors
    /// Those of `work`; `Timeout`.
    pub(crate) async fn ask_alone<T: Send + 'static>(
        &self,
        vm_uuid: Uuid,
        work: impl FnOnce(&[Uuid]) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.ask(vec![vm_uuid], self.limits.alone_deadline, work).await
    }

    /// One question about these VMs, which are looked after until it comes back.
    async fn ask<T: Send + 'static>(
        &self,
        vm_uuids: Vec<Uuid>,
        deadline: Duration,
        work: impl FnOnce(&[Uuid]) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let asked = self.asked.clone();
        let work = move || {
            let _question = asked.begin(vm_uuids.clone());
            work(&vm_uuids)
        };
        self.pool.run("sample domains", deadline, work).await
    }
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
