//! What a node is made of: plain data, checked names and units, no behaviour that reaches outside.
//!
//! Sizes are bytes, times are UTC nanoseconds ([`Timestamp`]), identifiers are UUIDs. Dialects convert at their edge. Short texts that each
//! of thousands of VMs has are [`SmolStr`](smol_str::SmolStr): up to 23 bytes lie where the text is held, longer ones are shared.

mod account;
mod dialect_record;
mod event;
mod host;
mod image;
mod job;
mod mac;
mod name;
mod network;
mod snapshot;
mod statistics;
mod time;
mod vm;
mod vm_map;
mod vm_state;
mod volume;

pub use account::*;
pub use dialect_record::*;
pub use event::*;
pub use host::*;
pub use image::*;
pub use job::*;
pub use mac::MacAddress;
pub use name::*;
pub use network::*;
pub use snapshot::Snapshot;
pub use statistics::*;
pub use time::Timestamp;
pub use vm::*;
pub use vm_map::*;
pub use vm_state::*;
pub use volume::*;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One mebibyte in bytes.
pub const MEBIBYTE: u64 = 1 << 20;
/// One gibibyte in bytes.
pub const GIBIBYTE: u64 = 1 << 30;

/// A reference to another object, with the name it had when the reference was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Identity; the name is for people.
    pub uuid: Uuid,
    /// Name at the time of the reference.
    pub name: String,
}

/// The kinds of things a change can be about; also the word in job and operation-log rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceType {
    /// A virtual machine.
    Vm,
    /// An image file.
    Image,
    /// A cpu and memory shape.
    Specification,
    /// A disk.
    Volume,
    /// A network.
    Network,
    /// This node.
    Host,
    /// An account or a session.
    User,
    /// A job.
    Job,
}

impl ResourceType {
    /// The lower-case word used in records and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Vm => "vm",
            Self::Image => "image",
            Self::Specification => "specification",
            Self::Volume => "volume",
            Self::Network => "network",
            Self::Host => "host",
            Self::User => "user",
            Self::Job => "job",
        }
    }
}

/// One resource: the unit that changes are serialised on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResourceKey {
    /// Kind of the resource.
    pub kind: ResourceType,
    /// Its identity.
    pub uuid: Uuid,
}
