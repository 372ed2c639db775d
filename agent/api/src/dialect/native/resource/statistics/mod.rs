//! Statistics: history of host and VMs as series, from the engine's memory and store; no request ever takes a sample.
//!
//! A time at which nothing was measured has no point; a figure that is not known is null, never zero. An answer is bounded: one that
//! would have too many points is refused with the page or the period that would do.

mod gather;
mod host;
mod list;
mod point;
mod series;
mod span;
mod vm;

pub(in crate::dialect::native) use host::{HostStatistics, inspect_host, of_host};
pub(in crate::dialect::native) use list::{VmLoad, list_vms, of_host_vms};
pub(in crate::dialect::native) use vm::{VmStatistics, inspect_vm, of_vm};

use serde::Serialize;

/// Most VMs asked for by name, or listed as the busiest, in one request.
const VMS_MAX: usize = 1000;

/// The object of an inspection.
#[derive(Debug, Serialize)]
struct Inspected<T> {
    statistics: T,
}
