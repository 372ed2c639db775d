//! The node itself.

use super::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How guests' instructions are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VirtType {
    /// In hardware.
    Kvm,
    /// Emulated by QEMU: right, but many times slower.
    Qemu,
}

/// What does not change while the hypervisor connection lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCapabilities {
    /// The node's identity: libvirt's host uuid.
    pub host_uuid: Uuid,
    /// How guests will run.
    pub virt_type: VirtType,
    /// Why it is not KVM, if it is not.
    pub emulation_reason: Option<String>,
    /// `QEMU`.
    pub hypervisor_type: String,
    /// `10.0.2`.
    pub hypervisor_version: String,
    /// `11.3.0`.
    pub libvirt_version: String,
    /// `x86_64`, …
    pub architecture: String,
    /// As libvirt or /proc/cpuinfo name it.
    pub cpu_model: String,
    /// Sockets.
    pub cpu_sockets: u32,
    /// Cores over all sockets.
    pub cpu_cores: u32,
    /// Hardware threads over all cores.
    pub cpu_threads: u32,
    /// True where UEFI firmware for guests is installed.
    pub has_uefi: bool,
    /// Most virtual processors one VM may have.
    pub vcpus_max: u32,
}

/// Facts about the host that are read from the kernel, not from libvirt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Host name.
    pub host_name: String,
    /// Address other machines reach it at; loopback if there is none.
    pub ip_address: String,
    /// `uname -r`.
    pub kernel_version: String,
    /// When the machine booted.
    pub boot_time: Timestamp,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

/// What an operator may set on the node; stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostSettings {
    /// Free text.
    pub description: String,
    /// Virtual processors promised per hardware thread, at most.
    pub cpu_ratio: f64,
    /// Bytes of guest memory promised per byte of host memory, at most.
    pub memory_ratio: f64,
    /// Memory kept for the host itself.
    pub reserved_memory_bytes: u64,
}

/// Space of one storage pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSpace {
    /// Pool name.
    pub pool_name: String,
    /// Directory.
    pub path: String,
    /// Bytes in all.
    pub capacity_bytes: u64,
    /// Bytes free.
    pub available_bytes: u64,
}

/// Whether the hypervisor answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectionState {
    /// Not reached yet since the daemon started.
    Connecting,
    /// Answers.
    Up,
    /// Does not answer; the text says why and is for people.
    Down(String),
}
