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
pub struct VmStates(BTreeMap<VmStatus, i64>);

impl VmStates {
    /// From the configuration: the native API's words and their numbers.
    ///
    /// # Errors
    /// What is wrong, in words for the operator.
    pub fn new(numbers: &BTreeMap<String, i64>) -> Result<Self, String> {
        let mut states = Self::default();
        for (word, number) in numbers {
            let known = || VmStatus::ALL.into_iter().filter(|status| *status != VmStatus::Deleted);
            let Some(status) = known().find(|status| status.word() == word) else {
                let words = known().map(VmStatus::word).collect::<Vec<_>>().join(", ");
                return Err(format!("{word:?} is no state of this API; known are {words}"));
            };
            if !(0..=NUMBER_MAX).contains(number) {
                return Err(format!("{word} must be from 0 to {NUMBER_MAX}, is {number}"));
            }
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

/// 0 being made, 1 usable, 2 not usable.
pub(super) fn image_state(status: ImageStatus) -> i64 {
    match status {
        ImageStatus::Creating | ImageStatus::Downloading => 0,
        ImageStatus::Ready | ImageStatus::Deleting => 1,
        ImageStatus::Error => 2,
    }
}

/// 0 being made, 1 available, 2 attached, 3 not usable.
pub(super) fn volume_state(status: VolumeStatus) -> i64 {
    match status {
        VolumeStatus::Creating => 0,
        VolumeStatus::Available | VolumeStatus::Deleting => 1,
        VolumeStatus::InUse => 2,
        VolumeStatus::Error => 3,
    }
}

/// 0 under way, 1 succeeded, 2 failed.
pub(super) fn task_state(status: JobStatus) -> i64 {
    match status {
        JobStatus::Queued | JobStatus::Running => 0,
        JobStatus::Succeeded => 1,
        JobStatus::Failed | JobStatus::Canceled => 2,
    }
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
}
