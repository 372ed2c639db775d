//! Instance specifications.

use super::{done, keyed, list as listed, time};
use crate::dialect::chimestack::call::{Call, Outcome};
use crate::dialect::chimestack::field::{Field, Kind, body};
use crate::dialect::chimestack::input::Input;
use crate::dialect::chimestack::shape::INSTANCE_SPEC;
use hvnode_core::fail;
use hvnode_core::model::Specification;
use hvnode_core::verb::{ChangeInput, CreateSpecificationInput, DeleteSpecificationInput, UpdateSpecificationInput};
use serde_json::{Value, json};

const NAME: Field = body("name", Kind::Text(128));
const DESCRIPTION: Field = body("description", Kind::Text(1024));
const VCPUS: Field = body("vcpus", Kind::Whole(1, u32::MAX as u64));
const MEMORY: Field = body("memory", Kind::Whole(1, i64::MAX as u64)).about("Bytes.");

/// Body of `POST /v1/instance_spec`.
pub(in super::super) const CREATE: &[Field] = &[
    NAME.required(),
    VCPUS.required(),
    MEMORY.required(),
    body("type", Kind::Whole(0, 1)).about("0, shared; 1, dedicated, is not in this version."),
    DESCRIPTION,
];

/// Body of `PATCH /v1/instance_spec/{InstanceSpecUuid}`.
pub(in super::super) const UPDATE: &[Field] = &[NAME, DESCRIPTION, VCPUS, MEMORY];

fn view(spec: &Specification) -> Value {
    json!({
        "uuid": spec.specification_uuid,
        "name": spec.specification_name,
        "description": spec.description,
        "vcpus": spec.cpu_cores,
        "memory": spec.memory_bytes,
        "type": 0,
        "state": 1,
        "cluster_count": 1,
        "created_at": time(spec.create_time),
    })
}

pub(in super::super) async fn list(call: Call, input: Input) -> Outcome {
    listed(&input, &INSTANCE_SPEC, call.snapshot.specifications.values().map(|spec| view(spec)).collect())
}

pub(in super::super) async fn show(call: Call, input: Input) -> Outcome {
    let uuid = input.required_uuid("InstanceSpecUuid")?;
    let spec = call.snapshot.specifications.get(&uuid).ok_or_else(|| fail!(SpecificationNotExist))?;
    Ok(keyed("instance_spec", view(spec)))
}

fn cpu_cores(input: &Input) -> Option<u32> {
    input.whole("vcpus").and_then(|number| u32::try_from(number).ok())
}

pub(in super::super) async fn create(call: Call, input: Input) -> Outcome {
    if input.whole("type") == Some(1) {
        return Err(fail!(NotSupported, "type: dedicated processors are not in this version").into());
    }
    let change = CreateSpecificationInput {
        specification_uuid: None,
        specification_name: input.owned("name").unwrap_or_default(),
        description: input.owned("description").unwrap_or_default(),
        cpu_cores: cpu_cores(&input).unwrap_or_default(),
        memory_bytes: input.whole("memory").unwrap_or_default(),
        storage_bytes: 0,
    };
    let job = call.submit_short(ChangeInput::CreateSpecification(change), &input).await?;
    let snapshot = call.context.engine.snapshot();
    let spec = snapshot.specifications.get(&job.resource.uuid).ok_or_else(|| fail!(SpecificationNotExist))?;
    Ok(keyed("instance_spec", view(spec)))
}

pub(in super::super) async fn update(call: Call, input: Input) -> Outcome {
    let change = UpdateSpecificationInput {
        specification_uuid: input.required_uuid("InstanceSpecUuid")?,
        new_name: input.owned("name"),
        description: input.owned("description"),
        cpu_cores: cpu_cores(&input),
        memory_bytes: input.whole("memory"),
        storage_bytes: None,
    };
    call.submit_short(ChangeInput::UpdateSpecification(change), &input).await?;
    done("instance_spec")
}

pub(in super::super) async fn delete(call: Call, input: Input) -> Outcome {
    let specification_uuid = input.required_uuid("InstanceSpecUuid")?;
    call.submit_short(ChangeInput::DeleteSpecification(DeleteSpecificationInput { specification_uuid }), &input).await?;
    done("instance_spec")
}
