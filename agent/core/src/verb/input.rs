//! What callers ask for, in model types. Dialects convert to these; a verb's plan is made from one of these.

use crate::model::{Firmware, ImageFormat, MacAddress};
use crate::port::UploadSource;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use uuid::Uuid;

/// How much cpu and memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// As a specification says.
    Specification(Uuid),
    /// As said here.
    Custom {
        /// Virtual processors.
        cpu_cores: u32,
        /// Bytes of memory.
        memory_bytes: u64,
    },
}

/// What a new VM boots from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootSource {
    /// A disk image gives a linked clone; an ISO image is put into the optical drive, with an empty root disk beside it if a size is given.
    Image(Uuid),
    /// A disk that no VM owns.
    Volume(Uuid),
    /// Kernel and initial RAM disk images; an empty root disk if a size is given.
    Kernel {
        /// Image of format `kernel`.
        kernel_image_uuid: Uuid,
        /// Image of format `initrd`.
        initrd_image_uuid: Option<Uuid>,
        /// Kernel command line.
        command_line: String,
    },
}

/// A NIC to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicInput {
    /// Network it is on.
    pub network_uuid: Uuid,
    /// Wanted address; chosen where DHCP is ours and none is wanted.
    pub ip_address: Option<Ipv4Addr>,
    /// Wanted Ethernet address; chosen if absent.
    pub mac_address: Option<MacAddress>,
}

/// A data disk to make with a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewVolumeInput {
    /// Name; chosen from the VM's if empty.
    pub volume_name: String,
    /// Bytes.
    pub storage_bytes: u64,
}

/// What a change has beside its plan: in memory only, and gone after a restart.
#[derive(Debug, Clone, Default)]
pub struct Carried {
    /// For the guest of a new VM.
    pub seed: GuestSeed,
    /// The bytes of a new image.
    pub upload: UploadSource,
}

impl ChangeInput {
    /// What must not be stored.
    pub fn carried(&self) -> Carried {
        match self {
            Self::CreateVm(input) => Carried { seed: input.seed.clone(), ..Carried::default() },
            Self::CreateImage(CreateImageInput { source: ImageSource::Upload(upload), .. }) => {
                Carried { upload: upload.clone(), ..Carried::default() }
            }
            _ => Carried::default(),
        }
    }
}

/// What the guest's cloud-init is told. Kept in memory only: a create that a crash interrupts is undone, so nothing of it needs storing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct GuestSeed {
    /// Password for the image's default account.
    pub password: Option<String>,
    /// Public key for the image's default account.
    pub ssh_key: Option<String>,
    /// Given to cloud-init as it is.
    pub user_data: Option<String>,
}

impl std::fmt::Debug for GuestSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GuestSeed(…)")
    }
}

impl GuestSeed {
    /// True if there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.password.is_none() && self.ssh_key.is_none() && self.user_data.is_none()
    }
}

/// Make a VM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreateVmInput {
    /// Wanted identity.
    pub vm_uuid: Option<Uuid>,
    /// Name.
    pub vm_name: String,
    /// Free text.
    pub description: String,
    /// Cpu and memory.
    pub shape: Shape,
    /// What it boots from.
    pub root: RootSource,
    /// Bytes of the root disk; the image's (or specification's) own if absent.
    pub root_storage_bytes: Option<u64>,
    /// NICs; absent puts one NIC on the node's default network.
    pub nics: Option<Vec<NicInput>>,
    /// Data disks.
    pub volumes: Vec<NewVolumeInput>,
    /// Firmware; the image's wish or BIOS if absent.
    pub firmware: Option<Firmware>,
    /// Architecture; the host's if absent.
    pub architecture: Option<String>,
    /// Start with the host.
    pub auto_start: bool,
    /// Start again when its QEMU died.
    pub restart_on_crash: bool,
    /// Start once created.
    pub is_started: bool,
    /// Tenant; the default one if absent.
    pub tenant_uuid: Option<Uuid>,
    /// The caller's own key-value pairs.
    pub metadata: BTreeMap<String, String>,
    /// For the guest's cloud-init.
    #[serde(skip)]
    pub seed: GuestSeed,
}

/// Changes that need only to know which VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmOnlyInput {
    /// Which VM.
    pub vm_uuid: Uuid,
}

/// Switch a VM off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopVmInput {
    /// Which VM.
    pub vm_uuid: Uuid,
    /// Without asking the guest.
    pub is_forced: bool,
    /// How long the guest may take before it is switched off without asking; the node's default if absent.
    pub timeout_seconds: Option<u32>,
}

/// Restart a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebootVmInput {
    /// Which VM.
    pub vm_uuid: Uuid,
    /// Reset instead of asking the guest.
    pub is_forced: bool,
}

/// Change what is said about a VM; absent fields stay.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UpdateVmInput {
    /// Which VM.
    pub vm_uuid: Uuid,
    /// New name.
    pub new_name: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// Start with the host.
    pub auto_start: Option<bool>,
    /// Refuse stop and delete.
    pub locked: Option<bool>,
    /// Start again when its QEMU died.
    pub restart_on_crash: Option<bool>,
    /// Replaces all pairs.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Change cpu and memory of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResizeVmInput {
    /// Which VM.
    pub vm_uuid: Uuid,
    /// New specification.
    pub specification_uuid: Option<Uuid>,
    /// New number of virtual processors.
    pub cpu_cores: Option<u32>,
    /// New bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Restart a VM that runs; without it such a VM is refused.
    pub is_restarting: bool,
    /// Remember the former shape until the resize is confirmed or reverted.
    pub keeps_previous: bool,
}

/// Remove a VM and its root disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVmInput {
    /// Which VM.
    pub vm_uuid: Uuid,
    /// Also if it runs or is paused: switched off first.
    pub is_forced: bool,
    /// Remove its data disks too; else they become available. Not looked at where the VM goes into the trash: everything is kept then.
    pub is_deleting_volumes: bool,
    /// Days to keep it in the trash; 0 removes at once, absent takes the node's default.
    pub keep_days: Option<u32>,
}

/// Take over somebody else's VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptVmInput {
    /// Which VM.
    pub vm_uuid: Uuid,
    /// Name it gets; its domain's name if absent.
    pub new_name: Option<String>,
}

/// Where the bytes of a new image come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSource {
    /// The node fetches them.
    Url(String),
    /// The caller sends them. In memory only: an upload that a crash interrupts is undone.
    Upload(#[serde(skip)] UploadSource),
}

/// Fetch an image, or take it from the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateImageInput {
    /// Wanted identity.
    pub image_uuid: Option<Uuid>,
    /// Name.
    pub image_name: String,
    /// Free text.
    pub description: String,
    /// Where from.
    pub source: ImageSource,
    /// What its bytes are.
    pub format: ImageFormat,
    /// `sha256:<hex>`, `sha512:<hex>` or bare hex; empty for no check.
    pub checksum: String,
    /// Firmware it wants.
    pub firmware: Option<Firmware>,
    /// As the caller says.
    pub os_type: String,
    /// As the caller says.
    pub os_version: String,
    /// The host's if absent.
    pub architecture: Option<String>,
}

/// Change what is said about an image; absent fields stay.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UpdateImageInput {
    /// Which image.
    pub image_uuid: Uuid,
    /// New name.
    pub new_name: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New firmware wish.
    pub firmware: Option<Firmware>,
    /// New os type.
    pub os_type: Option<String>,
    /// New os version.
    pub os_version: Option<String>,
}

/// Remove an image no VM's disk depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteImageInput {
    /// Which image.
    pub image_uuid: Uuid,
}

/// Make a cpu and memory shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateSpecificationInput {
    /// Wanted identity.
    pub specification_uuid: Option<Uuid>,
    /// Name.
    pub specification_name: String,
    /// Free text.
    pub description: String,
    /// Virtual processors.
    pub cpu_cores: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of root disk; 0 takes the image's.
    pub storage_bytes: u64,
}

/// Change a shape; VMs made from it stay as they are. Absent fields stay.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UpdateSpecificationInput {
    /// Which one.
    pub specification_uuid: Uuid,
    /// New name.
    pub new_name: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New number of virtual processors.
    pub cpu_cores: Option<u32>,
    /// New bytes of memory.
    pub memory_bytes: Option<u64>,
    /// New bytes of root disk.
    pub storage_bytes: Option<u64>,
}

/// Remove a shape no VM was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteSpecificationInput {
    /// Which one.
    pub specification_uuid: Uuid,
}

/// Remove a disk no VM owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteVolumeInput {
    /// Which one.
    pub volume_uuid: Uuid,
}

/// Everything a caller can ask to change: the one way into the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // each variant is its verb; see `VerbKind`
pub enum ChangeInput {
    CreateVm(Box<CreateVmInput>),
    StartVm(VmOnlyInput),
    StopVm(StopVmInput),
    RebootVm(RebootVmInput),
    ResetVm(VmOnlyInput),
    PauseVm(VmOnlyInput),
    ResumeVm(VmOnlyInput),
    UpdateVm(UpdateVmInput),
    ResizeVm(ResizeVmInput),
    ConfirmResize(VmOnlyInput),
    RevertResize(VmOnlyInput),
    DeleteVm(DeleteVmInput),
    RecoverVm(VmOnlyInput),
    ExpungeVm(VmOnlyInput),
    AdoptVm(AdoptVmInput),
    ReleaseVm(VmOnlyInput),
    CreateImage(CreateImageInput),
    UpdateImage(UpdateImageInput),
    DeleteImage(DeleteImageInput),
    CreateSpecification(CreateSpecificationInput),
    UpdateSpecification(UpdateSpecificationInput),
    DeleteSpecification(DeleteSpecificationInput),
    DeleteVolume(DeleteVolumeInput),
}
