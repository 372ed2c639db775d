//! In-memory stand-ins for the outside, with fault injection: for tests and for `hvnoded --simulate`.
//!
//! A [`FakeNode`] is the world: domains, files, networks. [`FakeHypervisor`] and [`FakeImageTransfer`] are sessions on it, [`FakeStore`]
//! is a session on its own data. A test that wants to see a restart drops the engine and opens new sessions on the same world.
//! Every session carries a [`Faults`], where a test says which call fails, hangs or is the last one before the process "dies".

mod clock;
mod domain;
mod faults;
mod history;
mod hypervisor;
mod image;
mod load;
mod node;
mod population;
mod probe;
mod store;

#[cfg(test)]
mod hypervisor_tests;

pub use clock::ManualClock;
pub use domain::{FakeMonitor, plain_domain};
pub use faults::{Call, Fault, Faults};
pub use history::FakeHistory;
pub use hypervisor::FakeHypervisor;
pub use image::FakeImageTransfer;
pub use load::Load;
pub use node::{FakeNode, NodeOptions};
pub use population::Population;
pub use probe::FakeProbe;
pub use store::FakeStore;
