//! Which change may run on a resource when another one is there already. Pure: no clock, no lock, no I/O.
//!
//! One change runs at a time per resource. A second one is refused as busy, with one exception: a change that makes the running one
//! pointless (a forced stop while a graceful one waits for the guest, a delete while an image is still being fetched) cancels it and
//! runs next. So a lane never holds more than two.

use crate::model::{ResourceKey, VerbKind};
use crate::verb::{Cancel, ChangeInput};
use std::collections::HashMap;
use uuid::Uuid;

/// What the rules need to know of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChangeTraits {
    pub(crate) verb: VerbKind,
    pub(crate) is_forced: bool,
}

impl ChangeTraits {
    pub(crate) fn of(change: &ChangeInput) -> Self {
        let is_forced = match change {
            ChangeInput::StopVm(input) => input.is_forced,
            ChangeInput::RebootVm(input) => input.is_forced,
            ChangeInput::DeleteVm(input) => input.is_forced,
            _ => false,
        };
        Self { verb: change.kind(), is_forced }
    }
}

/// A change in a lane.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) job_uuid: Uuid,
    pub(crate) traits: ChangeTraits,
    pub(crate) cancel: Cancel,
}

/// The changes of one resource.
#[derive(Debug)]
struct Lane {
    running: Entry,
    next: Option<Entry>,
}

/// What the rules say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nothing is there: run.
    Run,
    /// Cancel this job and run next.
    Preempt(Uuid),
    /// Refuse: this job is there.
    Busy(Uuid),
    /// Refuse: the node has as many open jobs as it takes.
    Full,
}

/// Does `new` make `running` pointless?
fn preempts(new: ChangeTraits, running: ChangeTraits) -> bool {
    match (new.verb, running.verb) {
        (VerbKind::StopVm | VerbKind::DeleteVm, VerbKind::StopVm | VerbKind::RebootVm) => new.is_forced && !running.is_forced,
        (VerbKind::DeleteVm, VerbKind::DeleteVm) => false,
        (VerbKind::DeleteImage, VerbKind::CreateImage) => true,
        _ => false,
    }
}

/// All lanes of a node.
#[derive(Debug)]
pub(crate) struct Lanes {
    lanes: HashMap<ResourceKey, Lane>,
    jobs_max: usize,
}

impl Lanes {
    pub(crate) fn new(jobs_max: usize) -> Self {
        Self { lanes: HashMap::new(), jobs_max }
    }

    /// What may a change of `resource` do now?
    pub(crate) fn decide(&self, resource: ResourceKey, new: ChangeTraits) -> Decision {
        match self.lanes.get(&resource) {
            None if self.len() >= self.jobs_max => Decision::Full,
            None => Decision::Run,
            Some(lane) => match &lane.next {
                Some(next) => Decision::Busy(next.job_uuid),
                None if preempts(new, lane.running.traits) => Decision::Preempt(lane.running.job_uuid),
                None => Decision::Busy(lane.running.job_uuid),
            },
        }
    }

    /// Puts an accepted change in its lane. True if it is the one to run now; else the running one was told to end.
    pub(crate) fn enter(&mut self, resource: ResourceKey, entry: Entry) -> bool {
        match self.lanes.get_mut(&resource) {
            None => {
                self.lanes.insert(resource, Lane { running: entry, next: None });
                true
            }
            Some(lane) => {
                lane.running.cancel.set();
                lane.next = Some(entry);
                false
            }
        }
    }

    /// Puts a job of a former run in its lane without disturbing one that is there.
    pub(crate) fn enter_quietly(&mut self, resource: ResourceKey, entry: Entry) {
        match self.lanes.get_mut(&resource) {
            None => {
                self.lanes.insert(resource, Lane { running: entry, next: None });
            }
            Some(lane) => lane.next = Some(entry),
        }
    }

    /// Takes a change out, ended or never committed. Gives the one to run now, if there is one.
    pub(crate) fn leave(&mut self, resource: ResourceKey, job_uuid: Uuid) -> Option<Uuid> {
        let lane = self.lanes.get_mut(&resource)?;
        if lane.running.job_uuid != job_uuid {
            lane.next.take_if(|next| next.job_uuid == job_uuid);
            return None;
        }
        match lane.next.take() {
            Some(next) => {
                let job_uuid = next.job_uuid;
                lane.running = next;
                Some(job_uuid)
            }
            None => {
                self.lanes.remove(&resource);
                None
            }
        }
    }

    /// Is it this job's turn?
    pub(crate) fn is_running(&self, resource: ResourceKey, job_uuid: Uuid) -> bool {
        self.lanes.get(&resource).is_some_and(|lane| lane.running.job_uuid == job_uuid)
    }

    /// The cancel flag of a job that is in a lane.
    pub(crate) fn cancel_of(&self, job_uuid: Uuid) -> Option<Cancel> {
        let entries = self.lanes.values().flat_map(|lane| std::iter::once(&lane.running).chain(&lane.next));
        entries.into_iter().find(|e| e.job_uuid == job_uuid).map(|e| e.cancel.clone())
    }

    /// Jobs in all lanes.
    pub(crate) fn len(&self) -> usize {
        self.lanes.values().map(|lane| 1 + usize::from(lane.next.is_some())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ResourceType;
    use proptest::prelude::*;

    fn entry(number: u128, verb: VerbKind, is_forced: bool) -> Entry {
        Entry { job_uuid: Uuid::from_u128(number), traits: ChangeTraits { verb, is_forced }, cancel: Cancel::default() }
    }

    fn vm(number: u128) -> ResourceKey {
        ResourceKey { kind: ResourceType::Vm, uuid: Uuid::from_u128(number) }
    }

    #[test]
    fn a_second_change_of_one_vm_is_busy_and_of_another_vm_runs() {
        let mut lanes = Lanes::new(10);
        assert!(lanes.enter(vm(1), entry(1, VerbKind::StartVm, false)));
        let pause = ChangeTraits { verb: VerbKind::PauseVm, is_forced: false };
        assert_eq!(lanes.decide(vm(1), pause), Decision::Busy(Uuid::from_u128(1)));
        assert_eq!(lanes.decide(vm(2), pause), Decision::Run);
    }

    #[test]
    fn a_forced_stop_cancels_a_graceful_one_and_runs_next() {
        let mut lanes = Lanes::new(10);
        let graceful = entry(1, VerbKind::StopVm, false);
        let flag = graceful.cancel.clone();
        lanes.enter(vm(1), graceful);
        let forced = entry(2, VerbKind::StopVm, true);
        assert_eq!(lanes.decide(vm(1), forced.traits), Decision::Preempt(Uuid::from_u128(1)));
        assert!(!lanes.enter(vm(1), forced));
        assert!(flag.is_set());
        assert_eq!(lanes.leave(vm(1), Uuid::from_u128(1)), Some(Uuid::from_u128(2)));
        assert_eq!(lanes.leave(vm(1), Uuid::from_u128(2)), None);
        assert_eq!(lanes.len(), 0);
    }

    #[test]
    fn a_full_node_refuses_at_once() {
        let mut lanes = Lanes::new(1);
        lanes.enter(vm(1), entry(1, VerbKind::StartVm, false));
        assert_eq!(lanes.decide(vm(2), ChangeTraits { verb: VerbKind::StartVm, is_forced: false }), Decision::Full);
    }

    fn verbs() -> impl Strategy<Value = VerbKind> {
        proptest::sample::select(VerbKind::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn a_lane_never_holds_more_than_two_and_every_job_that_enters_leaves(
            script in proptest::collection::vec((0u128..4, verbs(), any::<bool>(), any::<bool>()), 0..200)
        ) {
            let mut lanes = Lanes::new(5);
            let mut running: HashMap<ResourceKey, Uuid> = HashMap::new();
            let mut waiting: HashMap<ResourceKey, Uuid> = HashMap::new();
            for (number, (resource, verb, is_forced, is_end)) in script.into_iter().enumerate() {
                let resource = vm(resource);
                if is_end {
                    if let Some(job) = running.remove(&resource) {
                        let next = lanes.leave(resource, job);
                        prop_assert_eq!(next, waiting.remove(&resource));
                        if let Some(next) = next { running.insert(resource, next); }
                    }
                    continue;
                }
                let new = entry(1000 + number as u128, verb, is_forced);
                match lanes.decide(resource, new.traits) {
                    Decision::Run => {
                        prop_assert!(!running.contains_key(&resource));
                        let job_uuid = new.job_uuid;
                        prop_assert!(lanes.enter(resource, new));
                        running.insert(resource, job_uuid);
                    }
                    Decision::Preempt(other) => {
                        prop_assert_eq!(running.get(&resource), Some(&other));
                        prop_assert!(!waiting.contains_key(&resource));
                        let job_uuid = new.job_uuid;
                        prop_assert!(!lanes.enter(resource, new));
                        waiting.insert(resource, job_uuid);
                    }
                    Decision::Busy(other) => prop_assert!(running.values().chain(waiting.values()).any(|j| *j == other)),
                    Decision::Full => prop_assert!(lanes.len() >= 5),
                }
                prop_assert_eq!(lanes.len(), running.len() + waiting.len());
            }
        }
    }
}
