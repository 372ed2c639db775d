//! VMs as this API shows them.

use super::host::shown_vms;
use super::{keyed, merge, network, no_operations, time, volume};
use crate::dialect::chimestack::call::{Call, Outcome};
use crate::dialect::chimestack::errors::Failure;
use crate::dialect::chimestack::input::Input;
use crate::dialect::chimestack::listing;
use crate::dialect::chimestack::shape::VM;
use crate::dialect::chimestack::task;
use hvnode_core::fail;
use hvnode_core::model::{Firmware, JobStatus, Vm, VmStatus};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// bios or uefi.
pub(super) fn boot_word(firmware: Firmware) -> &'static str {
    match firmware {
        Firmware::Bios => "bios",
        Firmware::Uefi => "uefi",
    }
}

/// False while it is being made.
pub(super) fn has_ended_well(vm: &Vm) -> bool {
    vm.status != VmStatus::Creating
}

/// A VM as lists show it: every field, nested ones empty.
pub(in super::super) fn view(call: &Call, vm: &Vm) -> Value {
    let (node, snapshot) = (call.node(), &call.snapshot);
    let (record, observed) = (vm.record.as_deref(), vm.observed.as_deref());
    let image_uuid = record.and_then(|record| record.image.as_ref()).map(|image| image.uuid);
    let image = image_uuid.and_then(|uuid| snapshot.images.get(&uuid));
    let firmware = record.map(|record| record.firmware).or(observed.map(|observed| observed.firmware)).unwrap_or_default();
    let architecture = record.map(|record| record.architecture.as_str()).or(observed.map(|observed| observed.architecture.as_str()));
    let mut view = json!({
        "uuid": vm.uuid(),
        "name": vm.name(),
        "description": record.map_or("", |record| record.description.as_str()),
        "az_uuid": node.az,
        "cluster_uuid": node.cluster,
        "host_uuid": node.host,
        "host_name": snapshot.facts.host_name,
        "host_ip": snapshot.facts.ip_address,
        "state": call.options.states.vm.of(vm),
        "vcpus": record.map(|record| record.cpu_cores).or(observed.map(|observed| observed.cpu_cores)).unwrap_or(0),
        "memory": record.map(|record| record.memory_bytes).or(observed.map(|observed| observed.memory_bytes)).unwrap_or(0),
        "spec_type": 0,
        "hyper_type": "kvm",
        "boot_type": boot_word(firmware),
        "image_name": record.and_then(|record| record.image.as_ref()).map_or("", |image| image.name.as_str()),
        "os_arch": architecture.unwrap_or(""),
        "os_type": image.map_or("", |image| image.os_type.as_str()),
        "os_detail": image.map_or("", |image| image.os_version.as_str()),
        "tags": null,
        "created_at": record.map(|record| time(record.create_time)),
        "nics": [],
        "volumes": [],
        "tasks": [],
    });
    merge(&mut view, no_operations());
    view["operation"] = task::operation(vm.job.as_deref()).into();
    view
}

/// A VM with its NICs and volumes.
pub(super) fn with_parts(call: &Call, vm: &Vm) -> Value {
    let mut view = view(call, vm);
    view["nics"] = network::nics_view(call, vm).into();
    view["volumes"] = volume::volumes_view(call, vm).into();
    view
}

/// A VM that this API shows.
///
/// # Errors
/// `VmNotExist`.
pub(super) fn find(call: &Call, uuid: Uuid) -> Result<&Arc<Vm>, Failure> {
    let vm = call.snapshot.vms.get(&uuid).filter(|vm| vm.status != VmStatus::Deleted);
    vm.ok_or_else(|| fail!(VmNotExist).into())
}

pub(in super::super) async fn list(call: Call, input: Input) -> Outcome {
    let mut page = listing::page(&input, &VM, shown_vms(&call.snapshot).map(|vm| view(&call, vm)).collect())?;
    page.elements = task::fill_last_operations(&call, page.elements).await?;
    Ok(page.into_result())
}

pub(in super::super) async fn show(call: Call, input: Input) -> Outcome {
    let uuid = input.required_uuid("VmUuid")?;
    let vm = match find(&call, uuid) {
        Ok(vm) => vm.clone(),
        Err(failure) => return Err(explained(&call, uuid, failure).await),
    };
    let mut view = with_parts(&call, &vm);
    view["tasks"] = task::tasks(&call, uuid).await?.into();
    Ok(keyed("vm", view))
}

/// What was asked for and could not be made is gone; whoever polls for it is told why.
pub(super) async fn explained(call: &Call, uuid: Uuid, failure: Failure) -> Failure {
    let job = task::last_ended(call, uuid).await.ok().flatten();
    match job.filter(|job| job.status == JobStatus::Failed).and_then(|job| job.error) {
        Some(error) => {
            let cause = Failure::from(hvnode_core::AgentError::from(error)).message;
            Failure { message: format!("{}; its last task failed: {cause}", failure.message), ..failure }
        }
        None => failure,
    }
}
