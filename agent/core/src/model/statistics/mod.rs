//! Statistics: samples as the sources give them, points of usage computed from them, and what readers get.
//!
//! Two tiers look at each VM. The *kernel tier* reads the host's own files about the QEMU process: it asks nobody and works while a VM's
//! monitor hangs. The *hypervisor tier* asks libvirt for what only QEMU and the guest know. What a source does not know is absent, never zero.

pub mod codec;
mod reading;
mod sample;
mod usage;

pub use reading::*;
pub use sample::*;
pub use usage::*;
