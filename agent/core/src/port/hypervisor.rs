//! What the core asks of libvirt.

use crate::Result;
use crate::model::{
    BootSource, DhcpLease, DhcpReservation, DomainMetadata, Firmware, HostCapabilities, HypervisorSample, MacAddress, Network, ObservedVm,
    PoolSpace,
};
use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

pub use crate::model::ConnectionState;

/// Name of the libvirt pool that holds image files.
pub const IMAGES_POOL: &str = "hvnode-images";
/// Name of the libvirt pool that holds disks.
pub const VOLUMES_POOL: &str = "hvnode-volumes";
/// Name of the libvirt pool that holds serial console logs.
pub const CONSOLE_POOL: &str = "hvnode-console";

/// What the hypervisor tells on its own. A receiver treats each as "read this again": order never matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HypervisorEvent {
    /// A domain was defined, undefined, started, stopped, paused, resumed, rebooted, … or changed otherwise.
    DomainChanged(Uuid),
    /// A domain's guest panicked; comes beside `DomainChanged`.
    DomainPanicked(Uuid),
    /// A disk error stopped a domain's processors; comes beside `DomainChanged`.
    DomainIoError(Uuid),
    /// A domain's watchdog resets it; `DomainRebooted` follows.
    DomainWatchdogReset(Uuid),
    /// A domain was reset: by its guest, its watchdog or a request.
    DomainRebooted(Uuid),
    /// Networks changed.
    NetworksChanged,
    /// Connected or connected again: everything may have changed.
    Connected,
    /// Events were lost: everything may have changed.
    Lagged,
}

/// A disk of a domain to define.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainDisk {
    /// Absolute path of the file.
    pub path: String,
    /// `qcow2` or `raw`.
    pub format: String,
    /// `vda`, …
    pub device: String,
    /// `virtio`, …
    pub bus: String,
    /// Identity of the volume; becomes the disk's serial number (first 20 characters, without dashes).
    pub serial: String,
}

/// A NIC of a domain to define.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainNic {
    /// Its address.
    pub mac_address: MacAddress,
    /// libvirt network name, or host bridge name.
    pub source: String,
    /// True where `source` is a host bridge.
    pub is_host_bridge: bool,
    /// Device model.
    pub model: String,
}

/// A domain to define.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainSpec {
    /// Identity.
    pub vm_uuid: Uuid,
    /// Domain name.
    pub domain_name: String,
    /// Title for people: the VM's name.
    pub title: String,
    /// Virtual processors.
    pub cpu_cores: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// `x86_64`, …
    pub architecture: String,
    /// Firmware.
    pub firmware: Firmware,
    /// What it boots from.
    pub boot: BootSource,
    /// Disks in device order.
    pub disks: Vec<DomainDisk>,
    /// NICs in device order.
    pub nics: Vec<DomainNic>,
    /// Start with the host.
    pub auto_start: bool,
    /// Written into the definition.
    pub metadata: DomainMetadata,
}

/// A disk to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Pool.
    pub pool_name: String,
    /// File name in it.
    pub file_name: String,
    /// Bytes the guest sees.
    pub storage_bytes: u64,
    /// Absolute path and format (`qcow2`, `raw`) of the image it is a copy-on-write child of.
    pub backing: Option<(String, String)>,
}

/// Where a VM's screen can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisplayAddress {
    /// `vnc` or `spice`.
    pub kind: String,
    /// Loopback address; empty for a unix socket.
    pub ip_address: String,
    /// TCP port; 0 for a unix socket.
    pub port: u16,
    /// Path of the unix socket; empty for TCP.
    pub socket: String,
}

/// The hypervisor. All methods are safe to call at the same time; none blocks an async thread.
///
/// Errors common to all: `HypervisorUnavailable` (no connection), `Timeout` (past its deadline), `Internal` (anything not mapped).
#[async_trait]
pub trait Hypervisor: Send + Sync + 'static {
    /// Whether it answers, and changes of that.
    fn connection(&self) -> watch::Receiver<ConnectionState>;

    /// The event stream. Bounded; on overflow one `Lagged` takes the place of what was lost. Only the first call gets it.
    fn take_events(&self) -> Option<mpsc::Receiver<HypervisorEvent>>;

    /// Facts about host and hypervisor.
    async fn capabilities(&self) -> Result<HostCapabilities>;

    /// Makes sure our three storage pools exist and are active, and their directories too.
    async fn ensure_pools(&self) -> Result<()>;

    /// Space of our pools.
    async fn pool_space(&self) -> Result<Vec<PoolSpace>>;

    /// Every domain.
    async fn list_domains(&self) -> Result<Vec<ObservedVm>>;

    /// One domain, `None` if there is none. Its reason does not know who asked: what this node destroyed is `Destroyed` too.
    async fn observe(&self, vm_uuid: Uuid) -> Result<Option<ObservedVm>>;

    /// Defines the domain, or redefines it to exactly `spec` where it is defined and off; a running one is left as it is. Also makes its console log volume.
    async fn ensure_defined(&self, spec: &DomainSpec) -> Result<()>;

    /// The XML that [`Hypervisor::ensure_defined`] would give to libvirt.
    async fn render(&self, spec: &DomainSpec) -> Result<String>;

    /// Changes title, autostart flag and our metadata of a domain, running or not.
    async fn update_description(&self, spec: &DomainSpec) -> Result<()>;

    /// Removes our metadata and the title from a domain, running or not: it is nobody's then. Fine if they are not there.
    async fn remove_description(&self, vm_uuid: Uuid) -> Result<()>;

    /// Changes cpu and memory of a domain that is off, leaving everything else of its definition as it is.
    async fn resize(&self, spec: &DomainSpec) -> Result<()>;

    /// Removes the definition (firmware variables, saved memory, snapshots' metadata included) and the console log.
    /// Refuses a running domain with `VmStateNotAllowed`; a domain that is not there is fine.
    async fn ensure_undefined(&self, vm_uuid: Uuid) -> Result<()>;

    /// Switches on; fine if it is on. `VmNotExist`, `VmStartFailed`, `HostInsufficient`.
    async fn ensure_started(&self, vm_uuid: Uuid) -> Result<()>;

    /// Asks the guest to shut down (ACPI, or its agent) and returns at once.
    async fn request_shutdown(&self, vm_uuid: Uuid) -> Result<()>;

    /// Switches off without asking the guest; fine if it is off or not there.
    async fn ensure_destroyed(&self, vm_uuid: Uuid) -> Result<()>;

    /// Asks the guest to reboot and returns at once.
    async fn request_reboot(&self, vm_uuid: Uuid) -> Result<()>;

    /// Presses the reset button.
    async fn reset(&self, vm_uuid: Uuid) -> Result<()>;

    /// Holds the processors; fine if they are held.
    async fn ensure_paused(&self, vm_uuid: Uuid) -> Result<()>;

    /// Lets the processors run; fine if they do.
    async fn ensure_resumed(&self, vm_uuid: Uuid) -> Result<()>;

    /// Every network, host bridges of the configuration included.
    async fn list_networks(&self) -> Result<Vec<Network>>;

    /// Current leases of a libvirt network.
    async fn list_leases(&self, network_uuid: Uuid) -> Result<Vec<DhcpLease>>;

    /// Makes DHCP of a libvirt network give this address to this NIC, now and after restarts.
    async fn ensure_reservation(&self, network_uuid: Uuid, reservation: &DhcpReservation) -> Result<()>;

    /// Takes that back; fine if network or reservation are not there.
    async fn remove_reservation(&self, network_uuid: Uuid, reservation: &DhcpReservation) -> Result<()>;

    /// Makes the disk; fine if one of that name, size and backing is there. `StorageFull`.
    async fn ensure_volume(&self, spec: &VolumeSpec) -> Result<()>;

    /// Makes a raw file with exactly this content in one of our pools, replacing one of that name.
    async fn ensure_file(&self, pool_name: &str, file_name: &str, content: Vec<u8>) -> Result<()>;

    /// Removes a file from one of our pools; fine if it is not there.
    async fn remove_volume(&self, pool_name: &str, file_name: &str) -> Result<()>;

    /// File names in one of our pools.
    async fn list_volumes(&self, pool_name: &str) -> Result<Vec<String>>;

    /// The last `bytes_max` bytes of the serial console log, oldest first. `VmConsoleUnavailable` if there is none.
    async fn console_log(&self, vm_uuid: Uuid, bytes_max: u64) -> Result<Vec<u8>>;

    /// Where the screen of a running VM is. `VmConsoleUnavailable` if it has none.
    async fn display(&self, vm_uuid: Uuid) -> Result<DisplayAddress>;

    /// One reading of each of these VMs that is on, within a deadline for the whole, spread over a few connections. A VM that does not
    /// answer in time, or is off, is left out and holds up no other; one whose monitor is busy gives an incomplete sample.
    async fn sample_vms(&self, vm_uuids: Vec<Uuid>) -> Result<Vec<HypervisorSample>>;
}
