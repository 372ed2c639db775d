//! Disks.

use super::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where a disk is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeStatus {
    /// Being made.
    Creating,
    /// Whole and attached to no VM.
    Available,
    /// Belongs to a VM.
    InUse,
    /// Being deleted.
    Deleting,
    /// Its file is gone or wrong.
    Error,
}

/// A disk as stored. Native word: usd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Identity.
    pub volume_uuid: Uuid,
    /// Name; unique among the disks that no VM owns.
    pub volume_name: String,
    /// Free text.
    pub description: String,
    /// Where it is in its life.
    pub status: VolumeStatus,
    /// Bytes the guest sees.
    pub storage_bytes: u64,
    /// Always `qcow2` for disks this node makes.
    pub format: String,
    /// libvirt pool it lies in.
    pub pool_name: String,
    /// File name in the pool.
    pub file_name: String,
    /// Absolute path of the file.
    pub path: String,
    /// Image it is a copy-on-write child of.
    pub image_uuid: Option<Uuid>,
    /// True for the disk a VM boots from.
    pub is_root: bool,
    /// VM that owns it.
    pub vm_uuid: Option<Uuid>,
    /// `vda`, `vdb`, … while attached.
    pub device: String,
    /// `virtio`, `sata`, …
    pub bus: String,
    /// Tenant it belongs to.
    pub tenant_uuid: Uuid,
    /// When it was made.
    pub create_time: Timestamp,
    /// Last change.
    pub update_time: Timestamp,
}
