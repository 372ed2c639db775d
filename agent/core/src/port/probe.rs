//! The host's own counters, read from the kernel.

use crate::Result;
use crate::model::{HostFacts, HostSample};

/// Reads the kernel's files; fast, never blocks on anything remote.
pub trait HostProbe: Send + Sync + 'static {
    /// What does not change while the machine runs.
    ///
    /// # Errors
    /// `Internal` where the kernel's files cannot be read.
    fn facts(&self) -> Result<HostFacts>;

    /// Counters now.
    ///
    /// # Errors
    /// `Internal` where the kernel's files cannot be read.
    fn sample(&self) -> Result<HostSample>;
}
