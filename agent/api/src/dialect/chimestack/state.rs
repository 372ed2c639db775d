//! The one table from states to this API's numbers. Its documents give numbers without a legend, so an operator may set others.

use hvnode_core::model::{ImageStatus, JobStatus, Vm, VmStatus, VolumeStatus, status_of};
use std::collections::BTreeMap;

/// Largest number of a state.
const NUMBER_MAX: i64 = 9999;

/// Number of a state; `None` where a VM keeps the number of what it does meanwhile.
fn built_in(status: VmStatus) -> Option<i64> {
    use VmStatus as S;
    match status {
        S::Creating => Some(0),
        S::Running | S::Stopping | S::Rebooting | S::Pausing => Some(1),
        S::Crashed | S::Error => Some(2),
        S::Paused | S::Resuming => Some(3),
        S::Stopped | S::Starting | S::Suspended => Some(4),
        S::Unknown => Some(5),
        S::Resizing | S::Deleting | S::Deleted => None,
    }
}

/// Numbers of VM states, those of the configuration in place of the built-in ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct VmStates(BTreeMap<VmStatus, i64>);

impl VmStates {
    /// From the configuration: the native API's words and their numbers.
    ///
    /// # Errors
    /// What is wrong, in words for the operator.
    fn new(numbers: &BTreeMap<String, i64>) -> Result<Self, String> {
        let mut states = Self::default();
        for (word, number) in numbers {
            let known = || VmStatus::ALL.into_iter().filter(|status| *status != VmStatus::Deleted);
            let Some(status) = known().find(|status| status.word() == word) else {
                let words = known().map(VmStatus::word).collect::<Vec<_>>().join(", ");
                return Err(format!("{word:?} is no state of this API; known are {words}"));
            };
            check_number(word, *number)?;
            states.0.insert(status, *number);
        }
        states.check_unique()?;
        Ok(states)
    }

    /// Only states that share a number in the built-in table may share one.
    fn check_unique(&self) -> Result<(), String> {
        for (index, first) in VmStatus::ALL.into_iter().enumerate() {
            for second in VmStatus::ALL.into_iter().skip(index + 1) {
                let (one, other) = (self.set_or_built_in(first), self.set_or_built_in(second));
                let is_shared = one.is_some() && one == other;
                if is_shared && (built_in(first).is_none() || built_in(first) != built_in(second)) {
                    let (first, second, number) = (first.word(), second.word(), one.unwrap_or_default());
                    return Err(format!("{first} and {second} would both be {number}: clients could not tell them apart"));
                }
            }
        }
        Ok(())
    }

    fn set_or_built_in(&self, status: VmStatus) -> Option<i64> {
        self.0.get(&status).copied().or_else(|| built_in(status))
    }

    /// The number of a state that is not on its way to another.
    pub(super) fn of_status(&self, status: VmStatus) -> i64 {
        let stopped = || self.set_or_built_in(VmStatus::Stopped).unwrap_or_default();
        self.set_or_built_in(status).unwrap_or_else(stopped)
    }

    /// The number of a VM's state.
    pub(super) fn of(&self, vm: &Vm) -> i64 {
        let meanwhile = || {
            let power = vm.observed.as_ref().map(|observed| observed.power);
            status_of(None, power, vm.record.as_ref().map(|record| record.phase), false)
        };
        self.set_or_built_in(vm.status).unwrap_or_else(|| self.of_status(meanwhile()))
    }
}

/// Things beside VMs whose state is a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    Volume,
    Nic,
    Image,
    Network,
    Host,
    Monitor,
    Task,
}

impl Of {
    const ALL: [Self; 7] = [Self::Volume, Self::Nic, Self::Image, Self::Network, Self::Host, Self::Monitor, Self::Task];

    /// Its key in the configuration.
    fn key(self) -> &'static str {
        match self {
            Self::Volume => "volume_states",
            Self::Nic => "nic_states",
            Self::Image => "image_states",
            Self::Network => "network_states",
            Self::Host => "host_states",
            Self::Monitor => "monitor_states",
            Self::Task => "task_states",
        }
    }

    /// As pages call it.
    fn title(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Nic => "nic",
            Self::Image => "image",
            Self::Network => "network, subnet",
            Self::Host => "host, client",
            Self::Monitor => "`monitor_state` of a host",
            Self::Task => "task, `last_operation_state`",
        }
    }
}

/// Key of the numbers of VM states in the configuration.
const VM_KEY: &str = "vm_states";

/// The rest of the table: what, its state, the number.
const OTHERS: [(Of, &str, i64); 20] = [
    (Of::Volume, "creating", 0),
    (Of::Volume, "available", 1),
    (Of::Volume, "deleting", 1),
    (Of::Volume, "in_use", 2),
    (Of::Volume, "error", 3),
    (Of::Nic, "creating", 0),
    (Of::Nic, "in_use", 2),
    (Of::Image, "creating", 0),
    (Of::Image, "downloading", 0),
    (Of::Image, "ready", 1),
    (Of::Image, "deleting", 1),
    (Of::Image, "error", 2),
    (Of::Network, "active", 1),
    (Of::Network, "inactive", 2),
    (Of::Host, "enabled", 1),
    (Of::Monitor, "healthy", 0),
    (Of::Monitor, "unhealthy", 1),
    (Of::Task, "running", 0),
    (Of::Task, "succeeded", 1),
    (Of::Task, "failed", 2),
];

/// Numbers of every state, those of the configuration in place of the built-in ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct States {
    /// Of VMs.
    pub(super) vm: VmStates,
    others: BTreeMap<(Of, &'static str), i64>,
}

impl States {
    /// From the configuration: its keys (with their section, or without) and, for each, states and their numbers.
    ///
    /// # Errors
    /// The key, and what is wrong, in words for the operator.
    pub fn new<'a>(numbers: impl IntoIterator<Item = (&'static str, &'a BTreeMap<String, i64>)>) -> Result<Self, (&'static str, String)> {
        let mut states = Self::default();
        for (key, numbers) in numbers {
            let outcome = match Of::ALL.into_iter().find(|of| key.rsplit('.').next() == Some(of.key())) {
                Some(of) => states.set(of, numbers),
                None => VmStates::new(numbers).map(|vm| states.vm = vm),
            };
            outcome.map_err(|problem| (key, problem))?;
        }
        Ok(states)
    }

    fn set(&mut self, of: Of, numbers: &BTreeMap<String, i64>) -> Result<(), String> {
        let rows = || OTHERS.into_iter().filter(move |(other, ..)| *other == of);
        for (word, number) in numbers {
            let Some((_, known, _)) = rows().find(|(_, known, _)| known == word) else {
                let words = rows().map(|(_, known, _)| known).collect::<Vec<_>>().join(", ");
                return Err(format!("{word:?} is no state of this API; known are {words}"));
            };
            check_number(word, *number)?;
            self.others.insert((of, known), *number);
        }
        // Only states that share a number in the built-in table may share one.
        for (_, first, one) in rows() {
            for (_, second, _) in rows().filter(|(_, second, other)| *second > first && one != *other) {
                let number = self.of(of, first);
                if number == self.of(of, second) {
                    return Err(format!("{first} and {second} would both be {number}: clients could not tell them apart"));
                }
            }
        }
        Ok(())
    }

    fn of(&self, of: Of, word: &'static str) -> i64 {
        let built_in = || OTHERS.iter().find(|(other, known, _)| (*other, *known) == (of, word)).map_or(0, |(.., number)| *number);
        self.others.get(&(of, word)).copied().unwrap_or_else(built_in)
    }

    pub(super) fn image(&self, status: ImageStatus) -> i64 {
        let word = match status {
            ImageStatus::Creating => "creating",
            ImageStatus::Downloading => "downloading",
            ImageStatus::Ready => "ready",
            ImageStatus::Deleting => "deleting",
            ImageStatus::Error => "error",
        };
        self.of(Of::Image, word)
    }

    pub(super) fn volume(&self, status: VolumeStatus) -> i64 {
        let word = match status {
            VolumeStatus::Creating => "creating",
            VolumeStatus::Available => "available",
            VolumeStatus::Deleting => "deleting",
            VolumeStatus::InUse => "in_use",
            VolumeStatus::Error => "error",
        };
        self.of(Of::Volume, word)
    }

    /// A NIC is in use as soon as its VM is there.
    pub(super) fn nic(&self, is_in_use: bool) -> i64 {
        self.of(Of::Nic, if is_in_use { "in_use" } else { "creating" })
    }

    pub(super) fn network(&self, is_active: bool) -> i64 {
        self.of(Of::Network, if is_active { "active" } else { "inactive" })
    }

    pub(super) fn host(&self) -> i64 {
        self.of(Of::Host, "enabled")
    }

    pub(super) fn monitor(&self, is_healthy: bool) -> i64 {
        self.of(Of::Monitor, if is_healthy { "healthy" } else { "unhealthy" })
    }

    /// Of a change.
    pub(super) fn task(&self, status: JobStatus) -> i64 {
        let word = match status {
            JobStatus::Queued | JobStatus::Running => "running",
            JobStatus::Succeeded => "succeeded",
            JobStatus::Failed | JobStatus::Canceled => "failed",
        };
        self.of(Of::Task, word)
    }
}

fn check_number(word: &str, number: i64) -> Result<(), String> {
    if (0..=NUMBER_MAX).contains(&number) { Ok(()) } else { Err(format!("{word} must be from 0 to {NUMBER_MAX}, is {number}")) }
}

/// A row of the table of states, for pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateRow {
    /// What has the state.
    pub of: &'static str,
    /// The key of the configuration that holds its numbers.
    pub key: &'static str,
    /// The state.
    pub word: &'static str,
    /// Its built-in number; none where the former one stays.
    pub number: Option<i64>,
}

/// The whole table.
pub fn state_rows() -> Vec<StateRow> {
    let vms = VmStatus::ALL.into_iter().filter(|status| *status != VmStatus::Deleted);
    let vms = vms.map(|status| StateRow { of: "vm", key: VM_KEY, word: status.word(), number: built_in(status) });
    let others = OTHERS.into_iter().map(|(of, word, number)| StateRow { of: of.title(), key: of.key(), word, number: Some(number) });
    vms.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(numbers: &[(&str, i64)]) -> Result<VmStates, String> {
        VmStates::new(&numbers.iter().map(|(word, number)| ((*word).to_owned(), *number)).collect())
    }

    #[test]
    fn an_operator_may_set_other_numbers() {
        let states = states(&[("stopped", 6), ("suspended", 6), ("resizing", 7)]).unwrap();
        assert_eq!((states.of_status(VmStatus::Stopped), states.of_status(VmStatus::Resizing)), (6, 7));
        assert_eq!((states.of_status(VmStatus::Running), states.of_status(VmStatus::Deleting)), (1, 6));
    }

    #[test]
    fn unknown_words_and_numbers_that_two_states_would_share_are_refused() {
        for (numbers, words) in [
            (&[("flying", 1)][..], "\"flying\" is no state"),
            (&[("deleted", 8)], "\"deleted\" is no state"),
            (&[("running", -1)], "from 0 to 9999"),
            (&[("stopped", 1)], "would both be 1"),
            (&[("resizing", 4)], "would both be 4"),
            (&[("running", 9), ("paused", 9)], "running and paused would both be 9"),
        ] {
            let problem = states(numbers).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn only_states_that_mean_the_same_to_a_client_share_a_number() {
        assert_eq!(states(&[]), Ok(VmStates::default()));
        assert_eq!(VmStates::default().of_status(VmStatus::Creating), 0);
        assert_eq!(VmStates::default().of_status(VmStatus::Running), 1);
        assert_eq!(VmStates::default().of_status(VmStatus::Stopped), 4);
    }

    #[test]
    fn numbers_of_everything_else_are_set_and_checked_likewise() {
        let numbers = |pairs: &[(&str, i64)]| pairs.iter().map(|(word, number)| ((*word).to_owned(), *number)).collect::<BTreeMap<_, _>>();
        let (volumes, tasks) = (numbers(&[("in_use", 7)]), numbers(&[("failed", 9)]));
        let states = States::new([("volume_states", &volumes), ("task_states", &tasks)]).unwrap();
        assert_eq!((states.volume(VolumeStatus::InUse), states.volume(VolumeStatus::Available)), (7, 1));
        assert_eq!((states.task(JobStatus::Canceled), states.task(JobStatus::Running), states.image(ImageStatus::Ready)), (9, 0, 1));
        for (key, pairs, words) in [
            ("volume_states", &[("flying", 1)][..], "known are creating, available"),
            ("volume_states", &[("in_use", 1)], "would both be 1"),
            ("image_states", &[("error", -1)], "from 0 to 9999"),
            ("monitor_states", &[("unhealthy", 0)], "healthy and unhealthy would both be 0"),
            ("vm_states", &[("stopped", 1)], "would both be 1"),
        ] {
            let numbers = numbers(pairs);
            let (found, problem) = States::new([(key, &numbers)]).unwrap_err();
            assert!(found == key && problem.contains(words), "{found}: {problem}");
        }
    }

    #[test]
    fn every_state_has_one_row() {
        let rows = state_rows();
        let names: std::collections::BTreeSet<_> = rows.iter().map(|row| (row.key, row.word)).collect();
        assert_eq!((names.len(), rows.len()), (rows.len(), OTHERS.len() + VmStatus::ALL.len() - 1));
    }
}
