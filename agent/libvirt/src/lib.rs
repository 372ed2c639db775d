//! The [`Hypervisor`](hvnode_core::port::Hypervisor) port on libvirt: connections, domain XML, storage, networks, events.
//!
//! ```text
//!   hypervisor ── one thin method per port call ──▶ pool (bounded threads, deadlines) ──▶ domain, storage, network, console, sample
//!        │                                            ▲ connections                         │ xml: typed out, tolerant in
//!        └── link: connect, watch, reconnect ─────────┘                                     ▼
//!               ▲ event: one loop thread, one bounded stream ◀── ffi: what the `virt` crate lacks or breaks
//! ```
//! Everything below `hypervisor` is plain blocking code that takes a connection; only `pool` knows threads and deadlines (and `sweep`, which
//! spreads a sample of all VMs over threads of its own so that none of them holds up another), only `link` knows that connections break, and only `ffi` is unsafe. Errors are told apart by libvirt's number, never by its words.

mod balloon;
mod capability;
mod config;
mod console;
mod domain;
mod event;
mod fault;
mod ffi;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hypervisor;
mod link;
#[cfg(feature = "micro-benchmarks")]
#[doc(hidden)]
pub mod micro_benchmarks;
mod network;
mod observe;
mod pool;
mod sample;
mod state;
mod storage;
mod sweep;
mod xml;

pub use config::{DiskCache, Display, LibvirtConfig, PoolDirectories, VirtPreference};
pub use ffi::{give_memory_back, keep_memory_small};
pub use hypervisor::LibvirtHypervisor;
pub use pool::{CallCounts, CallObserver};
pub use xml::METADATA_NAMESPACE;
