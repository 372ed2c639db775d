//! The changes a node can make: one file per change, with its plan, its steps and their undo.
//!
//! ```text
//!   ChangeInput ──plan()──▶ Planned { change, writes }      checked against the picture, every uuid, path and address chosen
//!                                │ committed with the job
//!                                ▼
//!              step 1 ─▶ step 2 ─▶ … ─▶ succeed() writes    each step ensures; running it twice is the same as once
//!                 ◀─ undo 1 ◀─ undo 2 ◀─ fail() writes      the undo of a step that never ran does nothing
//! ```
//! A plan holds all that its steps and their undo need. That is why a job cut off by a crash can be run again or undone from its
//! stored plan alone.

mod address;
mod adopt_vm;
mod capacity;
mod check;
mod confirm_resize;
mod create_image;
mod create_specification;
mod create_vm;
mod delete_image;
mod delete_specification;
mod delete_vm;
mod delete_volume;
mod domain;
mod findings;
mod input;
mod pause_vm;
mod reboot_vm;
mod recover_vm;
mod resize_vm;
mod seed;
mod settings;
mod start_vm;
mod step;
mod stop_vm;
mod trash_vm;
mod update_image;
mod update_specification;
mod update_vm;
mod world;

pub use capacity::{check_capacity, check_storage, promised_cpu_cores, promised_memory_bytes};
pub(crate) use check::busy_detail;
pub(crate) use domain::domain_of;
pub use domain::domain_spec;
pub use input::*;
pub use settings::VerbSettings;
pub use step::*;
pub use world::World;

use crate::error::ErrorRecord;
use crate::model::{Job, ResourceKey, Snapshot, Timestamp, VerbKind};
use crate::port::{DomainSpec, Write};
use crate::{AgentError, Result};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a plan may look at.
#[derive(Debug, Clone, Copy)]
pub struct PlanView<'a> {
    /// The node as it is.
    pub snapshot: &'a Snapshot,
    /// Limits and defaults of this node.
    pub settings: &'a VerbSettings,
    /// Time of the request.
    pub now: Timestamp,
    /// Who asks.
    pub caller: &'a crate::model::Caller,
}

/// A change that was checked and whose every choice is made.
#[derive(Debug)]
pub struct Planned {
    /// What will be done.
    pub change: Change,
    /// Name of its resource, for people.
    pub resource_name: String,
    /// Records that change with the acceptance: reservations others must see.
    pub writes: Vec<Write>,
    /// True if the world is so already: the job ends at once.
    pub is_already_so: bool,
}

impl Planned {
    fn new(change: impl Into<Change>, resource_name: &str) -> Self {
        Self { change: change.into(), resource_name: resource_name.to_owned(), writes: Vec::new(), is_already_so: false }
    }

    fn with_writes(mut self, writes: Vec<Write>) -> Self {
        self.writes = writes;
        self
    }

    fn already_so(mut self, is_already_so: bool) -> Self {
        self.is_already_so = is_already_so;
        self
    }
}

/// What becomes of a job that a restart of the daemon cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterRestart {
    /// Its steps run again from the first.
    Resume,
    /// Its steps are undone and it fails.
    Undo,
}

/// One kind of change. The steps act on the outside only; records change through the writes of the plan, of `succeed` and of `fail`.
#[async_trait]
pub trait Verb: Send + Sync {
    /// Which kind.
    fn kind(&self) -> VerbKind;

    /// What it changes.
    fn resource(&self) -> ResourceKey;

    /// Its steps in order.
    fn steps(&self) -> &'static [Step];

    /// Makes one step so. Its value is kept for [`Verb::succeed`].
    ///
    /// # Errors
    /// Whatever the outside answers; the job is then undone.
    async fn run(&self, step: &'static str, context: &StepContext) -> Result<Value>;

    /// Takes one step back; fine if it never ran.
    ///
    /// # Errors
    /// Whatever the outside answers.
    async fn undo(&self, _step: &'static str, _context: &StepContext) -> Result<()> {
        Ok(())
    }

    /// Records once every step is done.
    fn succeed(&self, snapshot: &Snapshot, outputs: &Outputs, now: Timestamp) -> Vec<Write>;

    /// Records once every step is taken back.
    fn fail(&self, _snapshot: &Snapshot, _error: &ErrorRecord, _now: Timestamp) -> Vec<Write> {
        Vec::new()
    }

    /// Records where a step could not be taken back: as after `fail`, unless the verb must keep track of what is left.
    fn fail_incompletely(&self, snapshot: &Snapshot, error: &ErrorRecord, now: Timestamp) -> Vec<Write> {
        self.fail(snapshot, error, now)
    }

    /// What becomes of it after a restart.
    fn after_restart(&self) -> AfterRestart {
        AfterRestart::Resume
    }

    /// True if a person may still cancel it while it runs.
    fn is_cancelable(&self) -> bool {
        false
    }
}

macro_rules! registry {
    (inputs { $($input:ident => $plan:path,)* } plans { $($module:ident::$change:ident,)* }) => {
        /// Every planned change: the registry. It is what a job stores.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case", tag = "verb", content = "plan")]
        #[allow(missing_docs)]
        pub enum Change { $($change($module::$change),)* }

        $(impl From<$module::$change> for Change {
            fn from(change: $module::$change) -> Self { Self::$change(change) }
        })*

        impl Change {
            /// The change as what it does.
            pub fn verb(&self) -> &dyn Verb { match self { $(Self::$change(change) => change,)* } }
        }

        /// Checks a change against the node and makes its every choice. Changes nothing.
        ///
        /// # Errors
        /// The first thing that is wrong: fields, targets, locks, state, names, capacity.
        pub fn plan(input: &ChangeInput, view: PlanView<'_>) -> Result<Planned> {
            match input { $(ChangeInput::$input(input) => $plan(input, view),)* }
        }

        impl ChangeInput {
            /// Which kind of change it is.
            pub fn kind(&self) -> VerbKind { match self { $(Self::$input(_) => VerbKind::$input,)* } }
        }
    };
}

registry! {
    inputs {
        CreateVm => create_vm::plan,
        StartVm => start_vm::plan,
        StopVm => stop_vm::plan,
        RebootVm => reboot_vm::plan_reboot,
        ResetVm => reboot_vm::plan_reset,
        PauseVm => pause_vm::plan_pause,
        ResumeVm => pause_vm::plan_resume,
        UpdateVm => update_vm::plan,
        ResizeVm => resize_vm::plan,
        ConfirmResize => confirm_resize::plan,
        RevertResize => resize_vm::plan_revert,
        DeleteVm => delete_vm::plan_delete,
        RecoverVm => recover_vm::plan,
        ExpungeVm => delete_vm::plan_expunge,
        AdoptVm => adopt_vm::plan_adopt,
        ReleaseVm => adopt_vm::plan_release,
        CreateImage => create_image::plan,
        UpdateImage => update_image::plan,
        DeleteImage => delete_image::plan,
        CreateSpecification => create_specification::plan,
        UpdateSpecification => update_specification::plan,
        DeleteSpecification => delete_specification::plan,
        DeleteVolume => delete_volume::plan,
    }
    plans {
        create_vm::CreateVm,
        start_vm::StartVm,
        stop_vm::StopVm,
        reboot_vm::RebootVm,
        reboot_vm::ResetVm,
        pause_vm::PauseVm,
        pause_vm::ResumeVm,
        update_vm::UpdateVm,
        resize_vm::ResizeVm,
        confirm_resize::ConfirmResize,
        delete_vm::DeleteVm,
        trash_vm::TrashVm,
        recover_vm::RecoverVm,
        adopt_vm::AdoptVm,
        adopt_vm::ReleaseVm,
        create_image::CreateImage,
        update_image::UpdateImage,
        delete_image::DeleteImage,
        create_specification::CreateSpecification,
        update_specification::UpdateSpecification,
        delete_specification::DeleteSpecification,
        delete_volume::DeleteVolume,
    }
}

/// Would the change be accepted now? Every reason against it, and where it makes or changes a definition, that.
pub fn assess(input: &ChangeInput, view: PlanView<'_>) -> (Vec<AgentError>, Option<Planned>) {
    let mut findings = findings::Findings::default();
    let planned = match input {
        ChangeInput::CreateVm(input) => create_vm::assess(input, &view, &mut findings),
        other => findings.take(plan(other, view)),
    };
    (findings.into_errors(), planned)
}

impl Change {
    /// The definition that the change would give to the hypervisor, where it gives one.
    pub fn domain(&self, snapshot: &Snapshot) -> Option<DomainSpec> {
        match self {
            Self::CreateVm(change) => Some(change.domain()),
            Self::ResizeVm(change) => Some(domain_spec(change.record(), snapshot)),
            _ => None,
        }
    }

    /// Reads the change back from a stored job.
    ///
    /// # Errors
    /// `Internal` if the plan is not one this version can read.
    pub fn from_job(job: &Job) -> Result<Self> {
        serde_json::from_value(job.input.clone())
            .map_err(|e| crate::fail!(Internal, "the plan of the job cannot be read"; "无法读取任务计划").caused_by(e))
    }
}
