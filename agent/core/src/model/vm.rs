//! Virtual machines: as asked for ([`VmRecord`]), as libvirt has them ([`ObservedVm`]), and both together ([`Vm`]).

use super::{Job, MacAddress, Named, Nic, PowerState, StateReason, Timestamp, VmStatus, status_of};
use crate::error::ErrorRecord;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// Firmware a VM boots with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Firmware {
    /// SeaBIOS.
    #[default]
    Bios,
    /// OVMF or AAVMF.
    Uefi,
}

/// What a VM boots from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum BootSource {
    /// Its root disk.
    Disk,
    /// An optical disc; a root disk may exist beside it.
    Iso {
        /// Absolute path of the disc image.
        path: String,
    },
    /// A kernel given to QEMU directly; a root disk may exist beside it.
    Kernel {
        /// Absolute path of the kernel.
        kernel_path: String,
        /// Absolute path of the initial RAM disk.
        initrd_path: Option<String>,
        /// Kernel command line.
        command_line: String,
    },
}

/// How the node came to manage a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmOrigin {
    /// Created through this node.
    Created,
    /// Record rebuilt from the metadata in its libvirt definition after the store was lost.
    Rebuilt,
    /// Taken over from somebody else.
    Adopted,
}

/// Where a record is in its own life, apart from what libvirt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VmPhase {
    /// The create job has not ended.
    Creating,
    /// Created.
    Ready,
    /// The delete job has not ended.
    Deleting,
    /// Deleted, kept until its time is over or it is recovered.
    Trashed,
}

/// Whether a VM should run. A stop or delete counts from its acceptance, also where it fails half-way; a start once it has succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DesiredPower {
    /// It should run or be paused; what ends it otherwise is a crash.
    #[default]
    On,
    /// It should be off; nobody but a person starts it.
    Off,
}

/// The shape of a VM before a resize that may still be reverted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerShape {
    /// Virtual processors.
    pub cpu_cores: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Specification it had then.
    pub specification: Option<Named>,
    /// Whether it ran then.
    pub was_running: bool,
}

fn perhaps() -> bool {
    true
}

/// A VM as asked for and stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmRecord {
    /// Identity; also libvirt's domain uuid.
    pub vm_uuid: Uuid,
    /// Name, unique on this node.
    pub vm_name: String,
    /// Name of the libvirt domain: the VM's name when it was created, or that with part of the uuid if it was taken.
    pub domain_name: String,
    /// Free text.
    pub description: String,
    /// Virtual processors.
    pub cpu_cores: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Shape it was made from.
    pub specification: Option<Named>,
    /// The shape from before the last resize, until that is confirmed or reverted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resized_from: Option<Box<FormerShape>>,
    /// Image it was made from.
    pub image: Option<Named>,
    /// Tenant.
    pub tenant_uuid: Uuid,
    /// Who created it.
    pub user_name: SmolStr,
    /// What it boots from.
    pub boot: BootSource,
    /// Firmware.
    pub firmware: Firmware,
    /// `x86_64`, `aarch64`, …
    pub architecture: SmolStr,
    /// Start with the host.
    pub auto_start: bool,
    /// Refuses delete and stop while set.
    pub locked: bool,
    /// Start again, after a growing pause, when its QEMU died.
    #[serde(default)]
    pub restart_on_crash: bool,
    /// A disk for cloud-init was made for it, which goes with it. True where that was not written down.
    #[serde(default = "perhaps")]
    pub has_seed: bool,
    /// Whether it should run.
    #[serde(default)]
    pub desired_power: DesiredPower,
    /// When it is removed for good, while it is in the trash.
    #[serde(default)]
    pub expire_time: Option<Timestamp>,
    /// Disks in device order; the rest of each is in its `Volume`.
    pub volumes: Vec<Uuid>,
    /// NICs in device order.
    pub nics: Vec<Nic>,
    /// The caller's own key-value pairs.
    pub metadata: BTreeMap<String, String>,
    /// How it came to be ours.
    pub origin: VmOrigin,
    /// Where the record is in its life.
    pub phase: VmPhase,
    /// When it was asked for.
    pub create_time: Timestamp,
    /// Last change through an API.
    pub update_time: Timestamp,
    /// Last time it was started.
    pub start_time: Option<Timestamp>,
    /// Why it is in state `error`, if it is.
    pub error: Option<Box<ErrorRecord>>,
}

/// A disk of a domain as libvirt has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedDisk {
    /// `vda`, `sda`, …
    pub device: SmolStr,
    /// `virtio`, `sata`, …
    pub bus: SmolStr,
    /// `disk` or `cdrom`.
    pub kind: SmolStr,
    /// File or block device, empty for an empty drive.
    pub path: SmolStr,
    /// `qcow2`, `raw`, …
    pub format: SmolStr,
}

/// A NIC of a domain as libvirt has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedNic {
    /// Its address.
    pub mac_address: MacAddress,
    /// libvirt network or host bridge.
    pub source: SmolStr,
    /// Tap device on the host while running.
    pub target_device: Option<SmolStr>,
    /// Device model.
    pub model: SmolStr,
}

/// What we write into a domain's definition so that a lost store can be rebuilt from libvirt alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainMetadata {
    /// The record as it was when last written.
    pub record: VmRecord,
}

/// A domain as libvirt has it.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedVm {
    /// Identity.
    pub vm_uuid: Uuid,
    /// Domain name.
    pub domain_name: SmolStr,
    /// What it does.
    pub power: PowerState,
    /// Why.
    pub reason: StateReason,
    /// False for a domain that vanishes when it stops.
    pub is_persistent: bool,
    /// libvirt's own autostart flag.
    pub auto_start: bool,
    /// Virtual processors.
    pub cpu_cores: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// `x86_64`, …
    pub architecture: SmolStr,
    /// Firmware.
    pub firmware: Firmware,
    /// Disks in definition order.
    pub disks: Vec<ObservedDisk>,
    /// NICs in definition order.
    pub nics: Vec<ObservedNic>,
    /// Our metadata, if the definition carries readable one.
    pub metadata: Option<Box<DomainMetadata>>,
    /// True if the definition carries our metadata element but we cannot read it.
    pub metadata_is_broken: bool,
}

/// Whose a VM is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Management {
    /// Created, rebuilt or adopted by this node.
    Managed,
    /// Somebody else's: listed, readable, never changed.
    Unmanaged,
    /// Ours but contradictory: shown, left alone.
    Quarantined,
}

impl Management {
    /// The word in APIs and events.
    pub fn word(self) -> &'static str {
        match self {
            Self::Managed => "managed",
            Self::Unmanaged => "unmanaged",
            Self::Quarantined => "quarantined",
        }
    }
}

/// How far the observed part of an answer can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// Read from libvirt within the re-listing period or told by an event since.
    Fresh,
    /// Last good value; libvirt has not confirmed it since.
    Stale,
    /// Never read.
    Unavailable,
}

/// A VM as readers see it: record, observation and running job together.
#[derive(Debug, Clone, PartialEq)]
pub struct Vm {
    /// What was asked for; absent for an unmanaged VM.
    pub record: Option<Arc<VmRecord>>,
    /// What libvirt has; absent before the definition and after an outside undefine.
    pub observed: Option<Arc<ObservedVm>>,
    /// Whose it is.
    pub management: Management,
    /// The one state shown everywhere, from the table in `vm_state`.
    pub status: VmStatus,
    /// Why it is in that state.
    pub reason: StateReason,
    /// The change in flight.
    pub job: Option<Arc<Job>>,
    /// When `observed` was read.
    pub observed_time: Timestamp,
    /// How far `observed` can be trusted.
    pub freshness: Freshness,
    /// Changes with every reset that is seen, also with those that firmware makes on its own.
    pub reset_count: u32,
    /// Reboots of the guest and resets seen by this run of the daemon.
    pub reboot_count: u32,
    /// What the last change through this node left it doing; forgotten once it does something else.
    pub requested_power: Option<PowerState>,
    /// Its watchdog fired; the reset that follows is its doing.
    pub is_reset_by_watchdog: bool,
    /// The guest's kernel panicked since it was last seen running.
    pub has_panicked: bool,
    /// It was on when the host went down and has not been seen on since.
    pub has_host_restarted: bool,
    /// Where libvirt's definition differs from what was asked for, in words. Shown, never overwritten.
    pub drift: Vec<String>,
}

impl Vm {
    /// A VM of which only the record is known.
    pub fn from_record(record: Arc<VmRecord>) -> Self {
        let mut vm = Self {
            record: Some(record),
            observed: None,
            management: Management::Managed,
            status: VmStatus::Unknown,
            reason: StateReason::Unknown,
            job: None,
            observed_time: Timestamp::default(),
            freshness: Freshness::Unavailable,
            reset_count: 0,
            reboot_count: 0,
            requested_power: None,
            is_reset_by_watchdog: false,
            has_panicked: false,
            has_host_restarted: false,
            drift: Vec::new(),
        };
        vm.settle();
        vm
    }

    /// A VM of which only libvirt's side is known.
    pub fn from_observed(observed: Arc<ObservedVm>, now: Timestamp) -> Self {
        let mut vm = Self {
            record: None,
            observed: Some(observed),
            management: Management::Unmanaged,
            status: VmStatus::Unknown,
            reason: StateReason::Unknown,
            job: None,
            observed_time: now,
            freshness: Freshness::Fresh,
            reset_count: 0,
            reboot_count: 0,
            requested_power: None,
            is_reset_by_watchdog: false,
            has_panicked: false,
            has_host_restarted: false,
            drift: Vec::new(),
        };
        vm.settle();
        vm
    }

    /// Computes management, status and reason anew from record, observation and job. Called after every change of one of them.
    pub fn settle(&mut self) {
        let phase = self.record.as_ref().map(|r| r.phase);
        let contradiction = self.contradiction();
        self.management = match (&self.record, contradiction) {
            (None, _) => Management::Unmanaged,
            (Some(_), Some(StateReason::Contradiction)) => Management::Quarantined,
            (Some(_), _) => Management::Managed,
        };
        self.status = status_of(self.job.as_ref().map(|j| j.verb), self.power(), phase, contradiction.is_some());
        self.drift = self.find_drift();
        self.reason = contradiction.unwrap_or_else(|| self.observed_reason());
    }

    /// What libvirt says it does. What should be off and is off has stopped: where libvirt was away when QEMU ended, it says "crashed" of it.
    fn power(&self) -> Option<PowerState> {
        let power = self.observed.as_ref()?.power;
        let should_be_off = self.record.as_ref().is_some_and(|r| r.desired_power == DesiredPower::Off);
        Some(if should_be_off && power == PowerState::Crashed { PowerState::Off } else { power })
    }

    fn find_drift(&self) -> Vec<String> {
        let (Some(record), Some(observed)) = (&self.record, &self.observed) else { return Vec::new() };
        if self.job.is_some() || !matches!(record.phase, VmPhase::Ready | VmPhase::Trashed) {
            return Vec::new();
        }
        let mut drift = Vec::new();
        if record.cpu_cores != observed.cpu_cores {
            drift.push(format!("cpu_cores: {} asked for, {} in libvirt", record.cpu_cores, observed.cpu_cores));
        }
        if record.memory_bytes != observed.memory_bytes {
            drift.push(format!("memory_size: {} asked for, {} in libvirt", record.memory_bytes, observed.memory_bytes));
        }
        for uuid in &record.volumes {
            let name = uuid.to_string();
            if !observed.disks.iter().any(|disk| disk.path.contains(&name)) {
                drift.push(format!("usds: {name} is not attached in libvirt"));
            }
        }
        for nic in &record.nics {
            if !observed.nics.iter().any(|o| o.mac_address == nic.mac_address) {
                drift.push(format!("interfaces: {} is not in libvirt", nic.mac_address));
            }
        }
        drift
    }

    fn observed_reason(&self) -> StateReason {
        match &self.observed {
            None => StateReason::Unknown,
            // libvirt ends the QEMU of a panicked guest and then only knows that it ended.
            Some(observed) if self.has_panicked && observed.power != PowerState::Running => StateReason::GuestPanic,
            Some(observed) if self.requested_power == Some(observed.power) && !observed.reason.is_fault() => StateReason::Requested,
            Some(observed) if observed.power == PowerState::Off && observed.reason == StateReason::Unknown => self.reason_of_off(),
            Some(observed) => observed.reason,
        }
    }

    /// Why it is off, where libvirt has forgotten: it does when the host starts.
    fn reason_of_off(&self) -> StateReason {
        match self.record.as_ref().map(|record| record.desired_power) {
            Some(DesiredPower::Off) => StateReason::Requested,
            Some(DesiredPower::On) if self.has_host_restarted => StateReason::HostRestart,
            _ => StateReason::Unknown,
        }
    }

    /// Why record and observation do not fit each other, if they do not. Never during a create or delete: then they differ by design.
    fn contradiction(&self) -> Option<StateReason> {
        let record = self.record.as_ref()?;
        if !matches!(record.phase, VmPhase::Ready | VmPhase::Trashed) || self.freshness == Freshness::Unavailable {
            return None;
        }
        match &self.observed {
            None => Some(StateReason::DomainMissing),
            Some(observed) if observed.metadata_is_broken => Some(StateReason::Contradiction),
            Some(_) => None,
        }
    }

    /// The shape that it can go back to: it was resized and awaits that somebody confirms or reverts that.
    pub fn resized_from(&self) -> Option<&FormerShape> {
        self.record.as_ref()?.resized_from.as_deref()
    }

    /// Identity. Every VM has a record or an observation.
    pub fn uuid(&self) -> Uuid {
        match (&self.record, &self.observed) {
            (Some(record), _) => record.vm_uuid,
            (None, Some(observed)) => observed.vm_uuid,
            (None, None) => Uuid::nil(),
        }
    }

    /// The name people know it by.
    pub fn name(&self) -> &str {
        match (&self.record, &self.observed) {
            (Some(record), _) => &record.vm_name,
            (None, Some(observed)) => &observed.domain_name,
            (None, None) => "",
        }
    }
}
