//! Reading VMs: list and inspect.

use super::super::call::Call;
use super::super::check;
use super::super::envelope::Data;
use super::super::listing::{ListOptions, Row};
use super::host::check_host;
use super::vm_view::{VmDetail, VmView};
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{Timestamp, Vm, VmStatus};
use hvnode_core::{Result, fail};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// Which VMs.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct VmFilter {
    /// Only VMs of this host.
    #[schema(format = Uuid)]
    host_uuid: Option<String>,
    /// Only VMs made from this specification.
    #[schema(format = Uuid)]
    specification_uuid: Option<String>,
    /// Only VMs made from this image.
    #[schema(format = Uuid)]
    image_uuid: Option<String>,
    /// Only VMs with a NIC on this network.
    #[schema(format = Uuid)]
    network_uuid: Option<String>,
}

/// Which VM.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct VmTarget {
    #[schema(format = Uuid)]
    vm_uuid: String,
}

/// Words of all states.
pub(super) fn statuses() -> [&'static str; VmStatus::ALL.len()] {
    VmStatus::ALL.map(VmStatus::word)
}

/// One VM of the picture.
///
/// # Errors
/// `VmNotExist`.
pub(super) fn find(snapshot: &Snapshot, vm_uuid: Uuid) -> Result<&Arc<Vm>> {
    snapshot.vms.get(&vm_uuid).ok_or_else(|| fail!(VmNotExist))
}

pub(in super::super) async fn list(call: Call, options: ListOptions, filter: VmFilter) -> Result<Data> {
    let snapshot = call.snapshot();
    let plan = options.plan(Some(&statuses()))?;
    let wanted = Wanted::of(&snapshot, &filter)?;
    let vms = snapshot.vms.values().filter(|vm| plan.admits(vm.name(), vm.status.word()) && wanted.admits(vm));
    let rows = vms.map(|vm| row(vm)).collect();
    Data::of(&plan.page(rows, |vm| VmView::of(&snapshot, vm)))
}

pub(in super::super) async fn inspect(call: Call, target: VmTarget) -> Result<Data> {
    let vm_uuid = check::uuid("vm_uuid", &target.vm_uuid)?;
    let snapshot = call.snapshot();
    let vm = VmDetail::of(&snapshot, find(&snapshot, vm_uuid)?);
    Data::of(&InspectedVm { vm })
}

#[derive(Debug, Serialize)]
struct InspectedVm<'a> {
    vm: VmDetail<'a>,
}

/// A VM as a candidate of a list.
pub(super) fn row(vm: &Vm) -> Row<'_, &Vm> {
    let create_time = vm.record.as_ref().map_or(Timestamp::default(), |record| record.create_time);
    Row { create_time, name: vm.name(), uuid: vm.uuid(), item: vm }
}

/// A checked [`VmFilter`].
struct Wanted {
    is_other_host: bool,
    specification: Option<Uuid>,
    image: Option<Uuid>,
    network: Option<(Uuid, String)>,
}

impl Wanted {
    fn of(snapshot: &Snapshot, filter: &VmFilter) -> Result<Self> {
        let uuid = check::optional_uuid("network_uuid", filter.network_uuid.as_deref())?;
        let network_name = |uuid: Uuid| snapshot.networks.get(&uuid).map_or(String::new(), |network| network.network_name.clone());
        Ok(Self {
            is_other_host: check_host(snapshot, filter.host_uuid.as_deref())?.is_none(),
            specification: check::optional_uuid("specification_uuid", filter.specification_uuid.as_deref())?,
            image: check::optional_uuid("image_uuid", filter.image_uuid.as_deref())?,
            network: uuid.map(|uuid| (uuid, network_name(uuid))),
        })
    }

    fn admits(&self, vm: &Vm) -> bool {
        let record = vm.record.as_deref();
        let made_from = |wanted: Option<Uuid>, used: Option<Uuid>| wanted.is_none() || wanted == used;
        !self.is_other_host
            && made_from(self.specification, record.and_then(|r| r.specification.as_ref()).map(|named| named.uuid))
            && made_from(self.image, record.and_then(|r| r.image.as_ref()).map(|named| named.uuid))
            && self.network.as_ref().is_none_or(|(uuid, name)| match (&vm.record, &vm.observed) {
                (Some(record), _) => record.nics.iter().any(|nic| nic.network_uuid == *uuid),
                (None, Some(observed)) => !name.is_empty() && observed.nics.iter().any(|nic| nic.source == *name),
                (None, None) => false,
            })
    }
}
