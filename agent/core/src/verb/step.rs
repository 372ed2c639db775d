//! What a step is given and how heavy it is.

use super::{Carried, VerbSettings, World, domain_spec};
use crate::model::VmRecord;
use crate::port::{Hypervisor, ImageTransfer, TransferControl};
use crate::{Result, fail};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// What a step loads most: steps of one kind run at most so many at a time on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Weight {
    /// Nothing worth counting.
    Light,
    /// Disks, for long.
    Disk,
    /// Processors: a guest boots.
    Start,
}

/// One step of a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Name, unique in its verb; stands in the journal.
    pub name: &'static str,
    /// What it loads.
    pub weight: Weight,
}

impl Step {
    /// A light step.
    pub const fn light(name: &'static str) -> Self {
        Self { name, weight: Weight::Light }
    }

    /// A step heavy on disks.
    pub const fn disk(name: &'static str) -> Self {
        Self { name, weight: Weight::Disk }
    }

    /// A step that boots a guest.
    pub const fn start(name: &'static str) -> Self {
        Self { name, weight: Weight::Start }
    }
}

/// What the steps of one job gave, by step name.
pub type Outputs = HashMap<&'static str, Value>;

/// Set once; can be waited for.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Sender<CancelState>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum CancelState {
    #[default]
    Open,
    Set,
    Sealed,
}

impl Default for Cancel {
    fn default() -> Self {
        Self(watch::Sender::new(CancelState::default()))
    }
}

impl Cancel {
    /// Asks for the job to end. False where it is past the point.
    pub fn set(&self) -> bool {
        self.change(CancelState::Set)
    }

    /// The job is past the point where it can be canceled. False where somebody has asked for its end before.
    pub fn seal(&self) -> bool {
        self.change(CancelState::Sealed)
    }

    /// The first who changes it decides.
    fn change(&self, wanted: CancelState) -> bool {
        self.0.send_if_modified(|state| {
            let is_open = *state == CancelState::Open;
            if is_open {
                *state = wanted;
            }
            is_open
        }) || *self.0.borrow() == wanted
    }

    /// True once set.
    pub fn is_set(&self) -> bool {
        *self.0.borrow() == CancelState::Set
    }

    /// Returns once it is set.
    pub async fn wait(&self) {
        // The sender lives in `self`, so the only way this returns is that the flag was set.
        let _ = self.0.subscribe().wait_for(|state| *state == CancelState::Set).await;
    }
}

/// What a step is given.
#[derive(Clone)]
pub struct StepContext {
    /// The hypervisor.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// Image transfer.
    pub images: Arc<dyn ImageTransfer>,
    /// The current picture, to wait for it to change.
    pub world: Arc<World>,
    /// Limits and defaults.
    pub settings: Arc<VerbSettings>,
    /// Set when somebody asked for the job to end.
    pub cancel: Cancel,
    /// Progress of a long transfer, watched by the runner.
    pub transfer: Arc<TransferControl>,
    /// What is in memory only; empty after a restart.
    pub carried: Carried,
}

impl std::fmt::Debug for StepContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepContext").finish_non_exhaustive()
    }
}

impl StepContext {
    /// Writes title, autostart flag and our metadata of this record into its domain.
    ///
    /// # Errors
    /// Those of `Hypervisor::update_description`.
    pub(super) async fn describe(&self, record: &VmRecord) -> Result<()> {
        self.hypervisor.update_description(&domain_spec(record, &self.world.load())).await
    }

    /// Ends the step if somebody asked for the job to end.
    ///
    /// # Errors
    /// `JobCanceled`.
    pub fn check_cancel(&self) -> Result<()> {
        if self.cancel.is_set() { Err(fail!(JobCanceled)) } else { Ok(()) }
    }
}
