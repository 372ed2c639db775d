//! Changes: what was asked, how far it got, how it ended.

use super::{Caller, ResourceKey, ResourceType, Timestamp};
use crate::error::ErrorRecord;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The kinds of changes. The registry of what each does is `verb::Change`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerbKind {
    /// Make a VM.
    CreateVm,
    /// Switch it on.
    StartVm,
    /// Switch it off.
    StopVm,
    /// Restart it through the guest.
    RebootVm,
    /// Press its reset button.
    ResetVm,
    /// Hold its processors.
    PauseVm,
    /// Let them run.
    ResumeVm,
    /// Change name, description, flags, metadata.
    UpdateVm,
    /// Change cpu and memory.
    ResizeVm,
    /// Give up the way back from a resize.
    ConfirmResize,
    /// Go back to the cpu and memory from before a resize.
    RevertResize,
    /// Remove it, or put it into the trash.
    DeleteVm,
    /// Take it out of the trash.
    RecoverVm,
    /// Remove what is in the trash for good.
    ExpungeVm,
    /// Take over somebody else's VM.
    AdoptVm,
    /// Give a VM up without touching it.
    ReleaseVm,
    /// Fetch an image.
    CreateImage,
    /// Change what is said about an image.
    UpdateImage,
    /// Remove an image.
    DeleteImage,
    /// Make a cpu and memory shape.
    CreateSpecification,
    /// Change one.
    UpdateSpecification,
    /// Remove one.
    DeleteSpecification,
    /// Remove a disk no VM owns.
    DeleteVolume,
}

impl VerbKind {
    /// Every verb.
    pub const ALL: [Self; 23] = [
        Self::CreateVm,
        Self::StartVm,
        Self::StopVm,
        Self::RebootVm,
        Self::ResetVm,
        Self::PauseVm,
        Self::ResumeVm,
        Self::UpdateVm,
        Self::ResizeVm,
        Self::ConfirmResize,
        Self::RevertResize,
        Self::DeleteVm,
        Self::RecoverVm,
        Self::ExpungeVm,
        Self::AdoptVm,
        Self::ReleaseVm,
        Self::CreateImage,
        Self::UpdateImage,
        Self::DeleteImage,
        Self::CreateSpecification,
        Self::UpdateSpecification,
        Self::DeleteSpecification,
        Self::DeleteVolume,
    ];

    /// The word in jobs, logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::CreateVm => "create_vm",
            Self::StartVm => "start_vm",
            Self::StopVm => "stop_vm",
            Self::RebootVm => "reboot_vm",
            Self::ResetVm => "reset_vm",
            Self::PauseVm => "pause_vm",
            Self::ResumeVm => "resume_vm",
            Self::UpdateVm => "update_vm",
            Self::ResizeVm => "resize_vm",
            Self::ConfirmResize => "confirm_resize",
            Self::RevertResize => "revert_resize",
            Self::DeleteVm => "delete_vm",
            Self::RecoverVm => "recover_vm",
            Self::ExpungeVm => "expunge_vm",
            Self::AdoptVm => "adopt_vm",
            Self::ReleaseVm => "release_vm",
            Self::CreateImage => "create_image",
            Self::UpdateImage => "update_image",
            Self::DeleteImage => "delete_image",
            Self::CreateSpecification => "create_specification",
            Self::UpdateSpecification => "update_specification",
            Self::DeleteSpecification => "delete_specification",
            Self::DeleteVolume => "delete_volume",
        }
    }

    /// What it changes.
    pub fn resource_type(self) -> ResourceType {
        match self {
            Self::CreateVm
            | Self::StartVm
            | Self::StopVm
            | Self::RebootVm
            | Self::ResetVm
            | Self::PauseVm
            | Self::ResumeVm
            | Self::UpdateVm
            | Self::ResizeVm
            | Self::ConfirmResize
            | Self::RevertResize
            | Self::DeleteVm
            | Self::RecoverVm
            | Self::ExpungeVm
            | Self::AdoptVm
            | Self::ReleaseVm => ResourceType::Vm,
            Self::CreateImage | Self::UpdateImage | Self::DeleteImage => ResourceType::Image,
            Self::CreateSpecification | Self::UpdateSpecification | Self::DeleteSpecification => ResourceType::Specification,
            Self::DeleteVolume => ResourceType::Volume,
        }
    }
}

/// Where a job is in its life: `queued → running → succeeded | failed | canceled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Accepted, waits for its turn.
    Queued,
    /// Its steps run.
    Running,
    /// Everything asked for is so.
    Succeeded,
    /// Nothing of it is left.
    Failed,
    /// Ended by request; nothing of it is left.
    Canceled,
}

impl JobStatus {
    /// The word in APIs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// True once it cannot change any more.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }
}

/// How far a step of a job got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// Begun; after a crash it may be half done.
    Started,
    /// libvirt went away in the middle of it; it runs again once libvirt is back.
    Waiting,
    /// Done.
    Done,
    /// Taken back.
    Undone,
}

/// One journaled step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Name, unique in its verb.
    pub name: String,
    /// How far it got.
    pub status: StepStatus,
    /// When that was written.
    pub time: Timestamp,
}

/// One change, as stored. Its plan (uuids, paths, addresses chosen) is inside `input`, fixed before the first step runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Identity, version 7: sorts by creation.
    pub job_uuid: Uuid,
    /// What kind of change.
    pub verb: VerbKind,
    /// What it changes.
    pub resource: ResourceKey,
    /// Name of that, for people.
    pub resource_name: String,
    /// The verb's plan, until the job ends; then nothing, because a plan may hold a URL with credentials.
    pub input: Value,
    /// Who asked.
    pub caller: Caller,
    /// The caller's idempotency key.
    pub request_uuid: Option<Uuid>,
    /// Hash of the request body that came with the key.
    pub request_hash: Option<String>,
    /// Operation-log row that belongs to it.
    pub operation_uuid: Uuid,
    /// Where it is in its life.
    pub status: JobStatus,
    /// 0-100.
    pub progress_percent: u8,
    /// Journal.
    pub steps: Vec<StepRecord>,
    /// Set if cancel was asked for.
    pub is_cancel_requested: bool,
    /// True if it was finished or undone by a later run of the daemon.
    pub is_after_restart: bool,
    /// Why it failed.
    pub error: Option<ErrorRecord>,
    /// What it gave, verb-specific.
    pub result: Option<Value>,
    /// When it was accepted.
    pub create_time: Timestamp,
    /// When its first step ran.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub finish_time: Option<Timestamp>,
}

/// One row of the operation log: every change anybody asked for, also the refused ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Identity, version 7.
    pub operation_uuid: Uuid,
    /// Who asked and through what.
    pub caller: Caller,
    /// Path or action of the dialect.
    pub action: String,
    /// What it was about.
    pub resource_type: Option<ResourceType>,
    /// Which one.
    pub resource_uuid: Option<Uuid>,
    /// Name the caller sent, else the stored one.
    pub resource_name: String,
    /// The request, secrets replaced.
    pub request: Value,
    /// 0 while unfinished or successful: see `finish_time`.
    pub error: Option<ErrorRecord>,
    /// Job it led to.
    pub job_uuid: Option<Uuid>,
    /// When it was asked.
    pub create_time: Timestamp,
    /// When it ended; refused ones end at once.
    pub finish_time: Option<Timestamp>,
}
