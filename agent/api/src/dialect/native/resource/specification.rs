//! Cpu and memory shapes.

use super::super::call::Call;
use super::super::change::ChangeBody;
use super::super::check;
use super::super::envelope::Data;
use super::super::listing::{ListOptions, Row};
use super::{Nothing, Resource, SPECIFICATION, value_of};
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{Specification, VerbKind};
use hvnode_core::verb::{ChangeInput, CreateSpecificationInput, DeleteSpecificationInput, UpdateSpecificationInput};
use hvnode_core::{Result, fail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// A cpu and memory shape.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Specification)]
pub(in super::super) struct SpecificationView<'a> {
    specification_uuid: Uuid,
    specification_name: &'a str,
    cpu_cores: u32,
    /// Bytes.
    memory_size: u64,
    /// Bytes of the root disk; 0 takes the image's own size.
    storage_size: u64,
    description: &'a str,
    /// Unix seconds.
    create_time: i64,
}

impl<'a> SpecificationView<'a> {
    fn of(specification: &'a Specification) -> Self {
        Self {
            specification_uuid: specification.specification_uuid,
            specification_name: &specification.specification_name,
            cpu_cores: specification.cpu_cores,
            memory_size: specification.memory_bytes,
            storage_size: specification.storage_bytes,
            description: &specification.description,
            create_time: specification.create_time.seconds(),
        }
    }
}

/// Which specification.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct SpecificationTarget {
    #[schema(format = Uuid)]
    specification_uuid: String,
}

pub(in super::super) async fn list(call: Call, options: ListOptions, _: Nothing) -> Result<Data> {
    let plan = options.plan(None)?;
    let snapshot = call.snapshot();
    let wanted = snapshot.specifications.values().filter(|item| plan.admits(&item.specification_name, ""));
    let rows =
        wanted.map(|item| Row { create_time: item.create_time, name: &item.specification_name, uuid: item.specification_uuid, item });
    Data::of(&plan.page(rows.collect(), |item| SpecificationView::of(item)))
}

pub(in super::super) async fn inspect(call: Call, target: SpecificationTarget) -> Result<Data> {
    let uuid = check::uuid("specification_uuid", &target.specification_uuid)?;
    let snapshot = call.snapshot();
    let specification = snapshot.specifications.get(&uuid).ok_or_else(|| fail!(SpecificationNotExist))?;
    Data::of(&InspectedSpecification { specification: SpecificationView::of(specification) })
}

#[derive(Debug, Serialize)]
struct InspectedSpecification<'a> {
    specification: SpecificationView<'a>,
}

/// Make a cpu and memory shape.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct CreateSpecification {
    #[schema(min_length = 1, max_length = 128)]
    specification_name: String,
    /// Wanted uuid; chosen if absent.
    #[schema(format = Uuid)]
    specification_uuid: Option<String>,
    #[schema(minimum = 1)]
    cpu_cores: u32,
    /// Bytes.
    #[schema(minimum = 1)]
    memory_size: u64,
    /// Bytes of the root disk; 0 or absent takes the image's own size.
    storage_size: Option<u64>,
    #[schema(max_length = 1024)]
    description: Option<String>,
}

impl ChangeBody for CreateSpecification {
    const RESOURCE: &'static Resource = &SPECIFICATION;
    const VERB: VerbKind = VerbKind::CreateSpecification;

    fn into_change(self) -> Result<ChangeInput> {
        Ok(ChangeInput::CreateSpecification(CreateSpecificationInput {
            specification_uuid: check::optional_uuid("specification_uuid", self.specification_uuid.as_deref())?,
            specification_name: check::name("specification_name", self.specification_name)?,
            description: check::description(self.description)?,
            cpu_cores: check::cpu_cores("cpu_cores", self.cpu_cores)?,
            memory_bytes: check::size("memory_size", self.memory_size)?,
            storage_bytes: check::within("storage_size", self.storage_size.unwrap_or(0), 0, check::SIZE_MAX)?,
        }))
    }

    fn created(snapshot: &Snapshot, uuid: Uuid) -> Option<Result<Value>> {
        snapshot.specifications.get(&uuid).map(|specification| value_of(&SpecificationView::of(specification)))
    }
}

/// Change a shape; VMs made from it stay as they are. Absent fields stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct UpdateSpecification {
    #[schema(format = Uuid)]
    specification_uuid: String,
    /// For the operation log only.
    #[serde(rename = "specification_name")]
    _specification_name: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    new_name: Option<String>,
    #[schema(max_length = 1024)]
    description: Option<String>,
    #[schema(minimum = 1)]
    cpu_cores: Option<u32>,
    /// Bytes.
    #[schema(minimum = 1)]
    memory_size: Option<u64>,
    /// Bytes of the root disk; 0 takes the image's own size.
    storage_size: Option<u64>,
}

impl ChangeBody for UpdateSpecification {
    const RESOURCE: &'static Resource = &SPECIFICATION;
    const VERB: VerbKind = VerbKind::UpdateSpecification;

    fn into_change(self) -> Result<ChangeInput> {
        let specification_uuid = check::uuid("specification_uuid", &self.specification_uuid)?;
        let is_empty = self.new_name.is_none() && self.description.is_none() && self.cpu_cores.is_none();
        if is_empty && self.memory_size.is_none() && self.storage_size.is_none() {
            return Err(fail!(ParameterMissing,
                "at least one of new_name, description, cpu_cores, memory_size, storage_size";
                "new_name、description、cpu_cores、memory_size、storage_size 至少一个"));
        }
        Ok(ChangeInput::UpdateSpecification(UpdateSpecificationInput {
            specification_uuid,
            new_name: self.new_name.map(|name| check::name("new_name", name)).transpose()?,
            description: self.description.map(|text| check::description(Some(text))).transpose()?,
            cpu_cores: self.cpu_cores.map(|cores| check::cpu_cores("cpu_cores", cores)).transpose()?,
            memory_bytes: self.memory_size.map(|bytes| check::size("memory_size", bytes)).transpose()?,
            storage_bytes: self.storage_size.map(|bytes| check::within("storage_size", bytes, 0, check::SIZE_MAX)).transpose()?,
        }))
    }
}

/// Remove a shape that no VM was made from.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct DeleteSpecification {
    #[schema(format = Uuid)]
    specification_uuid: String,
    /// For the operation log only.
    #[serde(rename = "specification_name")]
    _specification_name: Option<String>,
}

impl ChangeBody for DeleteSpecification {
    const RESOURCE: &'static Resource = &SPECIFICATION;
    const VERB: VerbKind = VerbKind::DeleteSpecification;

    fn into_change(self) -> Result<ChangeInput> {
        let specification_uuid = check::uuid("specification_uuid", &self.specification_uuid)?;
        Ok(ChangeInput::DeleteSpecification(DeleteSpecificationInput { specification_uuid }))
    }
}
