//! Disks: `usd`, and `volume` as another name for the same.

use super::super::call::Call;
use super::super::change::ChangeBody;
use super::super::check;
use super::super::envelope::Data;
use super::super::listing::{ListOptions, Plan, Row};
use super::{Resource, USD};
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{DEFAULT_TENANT_NAME, VerbKind, Volume, VolumeStatus};
use hvnode_core::verb::{ChangeInput, DeleteVolumeInput};
use hvnode_core::{Result, fail};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

const STATUSES: [&str; 6] = ["creating", "available", "in_use", "resizing", "deleting", "error"];

/// A disk.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Usd)]
pub(in super::super) struct UsdView<'a> {
    usd_uuid: Uuid,
    usd_name: &'a str,
    description: &'a str,
    /// creating, available, in_use, resizing, deleting or error.
    status: &'static str,
    /// Bytes the guest sees.
    storage_size: u64,
    /// Bytes it takes on the host; null where not measured.
    used_size: Option<u64>,
    format: &'a str,
    bus: &'a str,
    pool_name: &'a str,
    path: &'a str,
    image_uuid: Option<Uuid>,
    is_root: bool,
    vm_uuid: Option<Uuid>,
    vm_name: Option<&'a str>,
    device: &'a str,
    /// Per second; null for no limit. So the next three.
    read_request_limit: Option<u64>,
    write_request_limit: Option<u64>,
    read_bytes_limit: Option<u64>,
    write_bytes_limit: Option<u64>,
    snapshot_count: u64,
    tenant_uuid: Uuid,
    /// Unix seconds.
    create_time: i64,
    /// Unix seconds.
    update_time: i64,
}

/// A disk with the older names of its fields beside the present ones.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Volume)]
pub(in super::super) struct VolumeView<'a> {
    #[serde(flatten)]
    usd: UsdView<'a>,
    /// Tenant name.
    tenant: &'static str,
    /// As `usd_name`.
    name: &'a str,
    /// As `usd_uuid`.
    uuid: Uuid,
    /// As `pool_name`.
    pool: &'a str,
    /// Always empty: pools of a node have no namespaces.
    namespace: &'static str,
    /// As `storage_size`.
    capacity: u64,
    /// Bytes taken by snapshots.
    snap_capacity: u64,
    /// As `create_time`.
    ctime: i64,
    flag: u64,
}

impl<'a> UsdView<'a> {
    fn of(snapshot: &'a Snapshot, volume: &'a Volume) -> Self {
        Self {
            usd_uuid: volume.volume_uuid,
            usd_name: &volume.volume_name,
            description: &volume.description,
            status: status_word(volume.status),
            storage_size: volume.storage_bytes,
            used_size: None,
            format: &volume.format,
            bus: &volume.bus,
            pool_name: &volume.pool_name,
            path: &volume.path,
            image_uuid: volume.image_uuid,
            is_root: volume.is_root,
            vm_uuid: volume.vm_uuid,
            vm_name: volume.vm_uuid.and_then(|uuid| snapshot.vms.get(&uuid)).map(|vm| vm.name()),
            device: &volume.device,
            read_request_limit: None,
            write_request_limit: None,
            read_bytes_limit: None,
            write_bytes_limit: None,
            snapshot_count: 0,
            tenant_uuid: volume.tenant_uuid,
            create_time: volume.create_time.seconds(),
            update_time: volume.update_time.seconds(),
        }
    }
}

impl<'a> VolumeView<'a> {
    fn of(snapshot: &'a Snapshot, volume: &'a Volume) -> Self {
        Self {
            usd: UsdView::of(snapshot, volume),
            tenant: DEFAULT_TENANT_NAME,
            name: &volume.volume_name,
            uuid: volume.volume_uuid,
            pool: &volume.pool_name,
            namespace: "",
            capacity: volume.storage_bytes,
            snap_capacity: 0,
            ctime: volume.create_time.seconds(),
            flag: 0,
        }
    }
}

fn status_word(status: VolumeStatus) -> &'static str {
    match status {
        VolumeStatus::Creating => "creating",
        VolumeStatus::Available => "available",
        VolumeStatus::InUse => "in_use",
        VolumeStatus::Deleting => "deleting",
        VolumeStatus::Error => "error",
    }
}

/// Which disks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct UsdFilter {
    /// Only disks of this VM.
    #[schema(format = Uuid)]
    vm_uuid: Option<String>,
    /// Only disks that a VM boots from, or only others.
    is_root: Option<bool>,
}

/// Which disk.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct UsdTarget {
    #[schema(format = Uuid)]
    usd_uuid: String,
}

pub(in super::super) async fn list(call: Call, options: ListOptions, filter: UsdFilter) -> Result<Data> {
    let snapshot = call.snapshot();
    let (plan, rows) = select(&snapshot, options, &filter)?;
    Data::of(&plan.page(rows, |volume| UsdView::of(&snapshot, volume)))
}

/// [`list`] under the other name.
pub(in super::super) async fn list_volumes(call: Call, options: ListOptions, filter: UsdFilter) -> Result<Data> {
    let snapshot = call.snapshot();
    let (plan, rows) = select(&snapshot, options, &filter)?;
    Data::of(&plan.page(rows, |volume| VolumeView::of(&snapshot, volume)))
}

fn select<'a>(snapshot: &'a Snapshot, options: ListOptions, filter: &UsdFilter) -> Result<(Plan, Vec<Row<'a, &'a Volume>>)> {
    let plan = options.plan(Some(&STATUSES))?;
    let vm_uuid = check::optional_uuid("vm_uuid", filter.vm_uuid.as_deref())?;
    let is_wanted = |volume: &&Arc<Volume>| {
        plan.admits(&volume.volume_name, status_word(volume.status))
            && (vm_uuid.is_none() || vm_uuid == volume.vm_uuid)
            && filter.is_root.is_none_or(|is_root| is_root == volume.is_root)
    };
    let volumes = snapshot.volumes.values().filter(is_wanted);
    let row = |volume: &'a Arc<Volume>| Row {
        create_time: volume.create_time,
        name: volume.volume_name.as_str(),
        uuid: volume.volume_uuid,
        item: volume.as_ref(),
    };
    let rows = volumes.map(row).collect();
    Ok((plan, rows))
}

pub(in super::super) async fn inspect(call: Call, target: UsdTarget) -> Result<Data> {
    let snapshot = call.snapshot();
    Data::of(&InspectedUsd { usd: UsdView::of(&snapshot, find(&snapshot, &target)?) })
}

/// [`inspect`] under the other name.
pub(in super::super) async fn inspect_volume(call: Call, target: UsdTarget) -> Result<Data> {
    let snapshot = call.snapshot();
    Data::of(&InspectedVolume { volume: VolumeView::of(&snapshot, find(&snapshot, &target)?) })
}

fn find<'a>(snapshot: &'a Snapshot, target: &UsdTarget) -> Result<&'a Arc<Volume>> {
    let uuid = check::uuid("usd_uuid", &target.usd_uuid)?;
    snapshot.volumes.get(&uuid).ok_or_else(|| fail!(VolumeNotExist))
}

#[derive(Debug, Serialize)]
struct InspectedUsd<'a> {
    usd: UsdView<'a>,
}

#[derive(Debug, Serialize)]
struct InspectedVolume<'a> {
    volume: VolumeView<'a>,
}

/// Remove a disk that no VM owns.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct DeleteUsd {
    #[schema(format = Uuid)]
    usd_uuid: String,
    /// For the operation log only.
    #[serde(rename = "usd_name")]
    _usd_name: Option<String>,
}

impl ChangeBody for DeleteUsd {
    const RESOURCE: &'static Resource = &USD;
    const VERB: VerbKind = VerbKind::DeleteVolume;

    fn into_change(self) -> Result<ChangeInput> {
        Ok(ChangeInput::DeleteVolume(DeleteVolumeInput { volume_uuid: check::uuid("usd_uuid", &self.usd_uuid)? }))
    }
}
