//! Nova.

pub(super) mod actions;
pub(super) mod actions_log;
pub(super) mod console;
pub(super) mod create;
pub(super) mod diagnostics;
pub(super) mod discovery;
pub(super) mod extras;
pub(super) mod filter;
pub(super) mod flavors;
pub(super) mod hypervisors;
pub(super) mod keypairs;
pub(super) mod limits;
pub(super) mod metadata;
pub(super) mod mime;
pub(super) mod parts;
pub(super) mod servers;
pub(super) mod tags;
pub(super) mod usage;
pub(super) mod view;

use super::call::Call;
use super::errors::Fault;
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{Vm, VmPhase};
use std::sync::Arc;

/// Is this one of the servers that this API shows? What is in the trash counts as deleted.
pub(super) fn is_shown(vm: &Vm) -> bool {
    vm.record.as_ref().is_none_or(|record| record.phase != VmPhase::Trashed)
}

/// The server that a path names.
///
/// # Errors
/// 404, also for what is no UUID: clients try names that way.
pub(super) fn find<'a>(call: &Call, snapshot: &'a Snapshot) -> Result<&'a Arc<Vm>, Fault> {
    let vm = call.uuid(0).and_then(|uuid| snapshot.vms.get(&uuid)).filter(|vm| is_shown(vm));
    vm.ok_or_else(|| no_server(call.param(0)))
}

pub(super) fn no_server(id: &str) -> Fault {
    let id: String = id.chars().take(64).collect();
    Fault::not_found(format!("Instance {id} could not be found."))
}
