//! What happened on the node, in order: the rows of the event stream.

use super::{ResourceKey, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A VM's status changed; `old` is empty for a new VM, `new` for one that is gone. Only where a start of the host ended a VM and
    /// brought it up again may both be `running`: with the reason `host_restart` it is another run of the guest.
    VmStatus,
    /// A VM was reset and ran on: by its guest (`guest_reboot`) or its watchdog (`watchdog`). `old` and `new` are its status. What a job
    /// resets is told by `VmStatus` alone, and what happens while the daemon is away is not seen.
    VmReboot,
    /// A VM became managed, unmanaged or quarantined.
    VmManagement,
    /// An image's status changed.
    ImageStatus,
    /// A job was accepted, began or ended.
    JobStatus,
    /// libvirt was reached or lost.
    HypervisorConnection,
    /// A pool's space crossed the warning line.
    Capacity,
    /// The daemon started or began to stop.
    Daemon,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::VmStatus,
        Self::VmReboot,
        Self::VmManagement,
        Self::ImageStatus,
        Self::JobStatus,
        Self::HypervisorConnection,
        Self::Capacity,
        Self::Daemon,
    ];

    /// The word in APIs.
    pub fn word(self) -> &'static str {
        match self {
            Self::VmStatus => "vm_status",
            Self::VmReboot => "vm_reboot",
            Self::VmManagement => "vm_management",
            Self::ImageStatus => "image_status",
            Self::JobStatus => "job_status",
            Self::HypervisorConnection => "hypervisor_connection",
            Self::Capacity => "capacity",
            Self::Daemon => "daemon",
        }
    }
}

/// One event. Until the store has numbered it, `cursor` is 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the stream: grows, is never used twice.
    pub cursor: u64,
    /// When it happened.
    pub time: Timestamp,
    /// What kind.
    pub kind: EventKind,
    /// What it is about; absent for the node itself.
    pub resource: Option<ResourceKey>,
    /// Name of that, for people.
    pub resource_name: String,
    /// Word for what was before.
    pub old: String,
    /// Word for what is now.
    pub new: String,
    /// Why, as a word.
    pub reason: String,
    /// The job that did it, if one did.
    pub job_uuid: Option<Uuid>,
    /// The request that asked for it, if one did.
    pub request_id: String,
}
