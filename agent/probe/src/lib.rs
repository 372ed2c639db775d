//! The HostProbe port on `/proc`, `/sys` and control groups. Needs no privilege, asks neither libvirt nor QEMU.

mod cgroup;
#[cfg(test)]
mod fixture;
mod host;
mod mounts;
mod parse;
mod process;
mod read;
mod space;
mod threads;
mod vms;

use hvnode_core::model::{HostFacts, HostSample, KernelSample, VmTarget};
use hvnode_core::port::HostProbe;
use hvnode_core::{Result, fail};
use parking_lot::Mutex;
use std::path::PathBuf;

/// Reads the kernel's files, and remembers what makes the next reading cheap.
#[derive(Debug)]
pub struct ProcProbe {
    root: read::Root,
    vms: Mutex<vms::VmReader>,
    space: space::SpaceReader,
}

impl Default for ProcProbe {
    fn default() -> Self {
        Self::new("/")
    }
}

impl ProcProbe {
    /// A probe of the `proc` and `sys` below `root`: `/`, but in tests.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: read::Root::new(root.into()), vms: Mutex::default(), space: space::SpaceReader::default() }
    }
}

impl HostProbe for ProcProbe {
    fn facts(&self) -> Result<HostFacts> {
        host::facts(&self.root)
    }

    fn sample(&self) -> Result<HostSample> {
        host::sample(&self.root, &self.space)
    }

    fn sample_vms(&self, targets: &[VmTarget]) -> Result<Vec<KernelSample>> {
        let samples = self.vms.lock().read(&self.root, targets);
        samples.ok_or_else(|| fail!(Internal, "/proc cannot be read"; "无法读取 /proc"))
    }
}
