//! What the adapter must be told. The daemon converts its own configuration into this.

use hvnode_core::model::VirtType;
use std::path::PathBuf;
use std::time::Duration;

/// Which kind of execution guests get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VirtPreference {
    /// Hardware where it is proven to work, emulation otherwise.
    #[default]
    Auto,
    /// Hardware, even where the proof fails.
    Kvm,
    /// Emulation.
    Qemu,
}

impl VirtPreference {
    /// The fixed choice, if it is one.
    pub fn fixed(self) -> Option<VirtType> {
        match self {
            Self::Auto => None,
            Self::Kvm => Some(VirtType::Kvm),
            Self::Qemu => Some(VirtType::Qemu),
        }
    }
}

/// How a VM's screen is offered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Display {
    /// VNC on 127.0.0.1, port chosen by libvirt.
    #[default]
    Loopback,
    /// VNC on a unix socket.
    UnixSocket {
        /// Folder for the sockets, writable by QEMU's user; libvirt chooses one if absent.
        directory: Option<PathBuf>,
    },
    /// No screen at all.
    None,
}

/// How QEMU uses the host's page cache for disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DiskCache {
    /// Through the page cache, flushed when the guest flushes. The default because it works on every file system (`None` needs
    /// `O_DIRECT`, which tmpfs, some overlay and some network file systems refuse at start) and is as safe for the guest's data.
    #[default]
    Writeback,
    /// Past the page cache: no second copy of the guest's cache, safe to migrate live. For disks on ext4, XFS and the like.
    None,
}

/// Directories of our three storage pools. Absolute paths, as libvirtd sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolDirectories {
    /// Image files; made to belong to this process's user, who fetches images into it.
    pub images: PathBuf,
    /// Disks.
    pub volumes: PathBuf,
    /// Serial console logs.
    pub console: PathBuf,
}

/// Everything the adapter must be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibvirtConfig {
    /// `qemu:///system`, …
    pub uri: String,
    /// Connections that share the calls, besides one for events and a few for samples. libvirtd serves five requests per connection at a
    /// time. Also how many questions about statistics are asked at the same time, up to eight.
    pub connections: usize,
    /// Threads for changes. Further changes wait in a bounded queue.
    pub change_threads: usize,
    /// Threads for reads.
    pub read_threads: usize,
    /// Deadline of a change.
    pub call_deadline: Duration,
    /// Deadline of a read of one object.
    pub read_deadline: Duration,
    /// Which kind of execution guests get.
    pub virt_type: VirtPreference,
    /// Directories of our storage pools.
    pub pools: PoolDirectories,
    /// Host bridges offered as networks.
    pub bridges: Vec<String>,
    /// How screens are offered.
    pub display: Display,
    /// How disks are cached.
    pub disk_cache: DiskCache,
}

impl LibvirtConfig {
    /// The usual numbers for a libvirtd at `uri`.
    pub fn new(uri: impl Into<String>, pools: PoolDirectories) -> Self {
        Self {
            uri: uri.into(),
            connections: 4,
            change_threads: 8,
            read_threads: 4,
            call_deadline: Duration::from_secs(30),
            read_deadline: Duration::from_secs(5),
            virt_type: VirtPreference::Auto,
            pools,
            bridges: Vec::new(),
            display: Display::default(),
            disk_cache: DiskCache::default(),
        }
    }
}
