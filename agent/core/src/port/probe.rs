//! What the host's kernel knows: of the host, and of the QEMU processes on it.

use crate::Result;
use crate::model::{HostFacts, HostSample, KernelSample, VmTarget};

/// Reads the kernel's files; fast, never blocks on anything remote. Called on threads where blocking is allowed, one call at a time.
pub trait HostProbe: Send + Sync + 'static {
    /// What does not change while the machine runs.
    ///
    /// # Errors
    /// `Internal` where the kernel's files cannot be read.
    fn facts(&self) -> Result<HostFacts>;

    /// Counters of the host now.
    ///
    /// # Errors
    /// `Internal` where the kernel's files cannot be read.
    fn sample(&self) -> Result<HostSample>;

    /// Counters of those of `targets` that have a QEMU process now; others are left out. Asks neither libvirt nor QEMU.
    ///
    /// # Errors
    /// `Internal` where the kernel's files cannot be read at all.
    fn sample_vms(&self, targets: &[VmTarget]) -> Result<Vec<KernelSample>>;
}
