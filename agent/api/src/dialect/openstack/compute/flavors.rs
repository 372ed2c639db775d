//! Flavors: cpu and memory shapes in MiB and GiB.
//!
//! A server that was made elsewhere may have a shape of its own. Its flavor has an id that says the shape (`custom-2-512`: two processors,
//! 512 MiB), is answered when asked for by that id, and stands in no list.

use super::super::DIALECT;
use super::super::call::{Call, Outcome, Reply};
use super::super::convert::{gibibytes, mebibytes};
use super::super::decode::Fields;
use super::super::errors::Fault;
use super::super::paging::{next_links, page};
use super::super::version::since;
use super::view::shape as shape_of_vm;
use crate::records::{Records, value_of};
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{GIBIBYTE, MEBIBYTE, Specification, Vm};
use hvnode_core::verb::{ChangeInput, CreateSpecificationInput, DeleteSpecificationInput, Shape, UpdateSpecificationInput};
use serde_json::{Value, json};
use std::collections::HashMap;
use uuid::Uuid;

/// Kind of the records that keep an id of the caller's choice: by the specification's uuid.
const FLAVOR: &str = "flavor";
const CUSTOM: &str = "custom-";
const NUMBER_MAX: i64 = 1 << 31;

/// Ids that callers chose, by specification.
#[derive(Debug, Default)]
pub(in super::super) struct Names(HashMap<Uuid, String>);

impl Names {
    pub(in super::super) fn load(records: &Records) -> Self {
        let entry = |record: &std::sync::Arc<hvnode_core::model::DialectRecord>| {
            Some((Uuid::try_parse(&record.key.id).ok()?, value_of::<String>(record)?))
        };
        Self(records.list(DIALECT, FLAVOR).iter().filter_map(entry).collect())
    }

    fn id(&self, uuid: Uuid) -> String {
        self.0.get(&uuid).cloned().unwrap_or_else(|| uuid.to_string())
    }

    fn uuid(&self, id: &str) -> Option<Uuid> {
        let chosen = self.0.iter().find(|(_, name)| *name == id).map(|(uuid, _)| *uuid);
        chosen.or_else(|| Uuid::try_parse(id).ok())
    }

    /// The id of a server's flavor.
    pub(in super::super) fn of_vm(&self, vm: &Vm) -> String {
        match vm.record.as_ref().and_then(|record| record.specification.as_ref()) {
            Some(named) => self.id(named.uuid),
            None => {
                let (cpu_cores, memory_bytes) = shape_of_vm(vm);
                format!("{CUSTOM}{cpu_cores}-{}", mebibytes(memory_bytes))
            }
        }
    }
}

/// What an id stands for.
pub(in super::super) fn shape(records: &Records, snapshot: &Snapshot, id: &str) -> Option<Shape> {
    if let Some(uuid) = Names::load(records).uuid(id)
        && snapshot.specifications.contains_key(&uuid)
    {
        return Some(Shape::Specification(uuid));
    }
    custom(id).map(|(cpu_cores, memory_bytes)| Shape::Custom { cpu_cores, memory_bytes })
}

fn custom(id: &str) -> Option<(u32, u64)> {
    let (cores, mebibytes) = id.strip_prefix(CUSTOM)?.split_once('-')?;
    let (cores, mebibytes): (u32, u64) = (cores.parse().ok()?, mebibytes.parse().ok()?);
    Some((cores, mebibytes.checked_mul(MEBIBYTE)?))
}

fn links(call: &Call, id: &str) -> Value {
    json!([
        { "rel": "self", "href": format!("{}/flavors/{id}", call.compute_url()) },
        { "rel": "bookmark", "href": format!("{}/compute/flavors/{id}", call.base_url) },
    ])
}

fn brief(call: &Call, id: &str, specification: &Specification) -> Value {
    let mut flavor = json!({ "id": id, "name": specification.specification_name, "links": links(call, id) });
    if call.version >= since::FLAVOR_DESCRIPTION {
        flavor["description"] = description(specification);
    }
    flavor
}

fn description(specification: &Specification) -> Value {
    match specification.description.as_str() {
        "" => Value::Null,
        text => text.into(),
    }
}

fn whole(call: &Call, id: &str, specification: &Specification) -> Value {
    let mut flavor = brief(call, id, specification);
    let more = json!({
        "ram": mebibytes(specification.memory_bytes),
        "disk": gibibytes(specification.storage_bytes),
        "vcpus": specification.cpu_cores,
        "swap": "",
        "OS-FLV-EXT-DATA:ephemeral": 0,
        "OS-FLV-DISABLED:disabled": false,
        "os-flavor-access:is_public": true,
        "rxtx_factor": 1.0,
    });
    if let (Value::Object(flavor), Value::Object(more)) = (&mut flavor, more) {
        flavor.extend(more);
    }
    if call.version >= since::FLAVOR_EXTRA_SPECS {
        flavor["extra_specs"] = json!({});
    }
    flavor
}

/// The flavors that a query asks for.
fn listed(call: &Call, path: &str, view: fn(&Call, &str, &Specification) -> Value) -> Outcome {
    let snapshot = call.snapshot();
    let names = Names::load(&call.shared.context.records);
    let least = |name: &str| match call.query(name).map(str::parse::<u64>) {
        None => Ok(0),
        Some(Ok(number)) => Ok(number),
        Some(Err(_)) => Err(Fault::bad_request(format!("Invalid {name} filter: it must be a whole number."))),
    };
    let (ram, disk) = (least("minRam")?, least("minDisk")?);
    // Private flavors do not exist.
    let wants_public = !matches!(call.query("is_public").map(str::to_ascii_lowercase).as_deref(), Some("false" | "0" | "no"));
    let is_wanted =
        |s: &&std::sync::Arc<Specification>| wants_public && mebibytes(s.memory_bytes) >= ram && gibibytes(s.storage_bytes) >= disk;
    let mut flavors: Vec<_> =
        snapshot.specifications.values().filter(is_wanted).map(|s| (names.id(s.specification_uuid), s.clone())).collect();
    sort(call, &mut flavors)?;
    let page = page(call, flavors, |(id, _)| id.clone())?;
    let items: Vec<Value> = page.items.iter().map(|(id, specification)| view(call, id, specification)).collect();
    let mut body = json!({ "flavors": items });
    if let Some(marker) = page.next {
        body["flavors_links"] = next_links(call, &format!("{}{path}", call.compute_url()), &marker);
    }
    Reply::ok(&body)
}

type Listed = (String, std::sync::Arc<Specification>);

fn sort(call: &Call, flavors: &mut [Listed]) -> Result<(), Fault> {
    let compare: fn(&Listed, &Listed) -> std::cmp::Ordering = match call.query("sort_key").unwrap_or("flavorid") {
        "name" => |a, b| a.1.specification_name.cmp(&b.1.specification_name),
        "memory_mb" => |a, b| a.1.memory_bytes.cmp(&b.1.memory_bytes),
        "root_gb" => |a, b| a.1.storage_bytes.cmp(&b.1.storage_bytes),
        "vcpus" => |a, b| a.1.cpu_cores.cmp(&b.1.cpu_cores),
        "created_at" | "updated_at" => |a, b| a.1.create_time.cmp(&b.1.create_time),
        "flavorid" | "id" | "description" | "disabled" | "ephemeral_gb" | "is_public" | "rxtx_factor" | "swap" | "vcpu_weight" => {
            |a, b| a.0.cmp(&b.0)
        }
        _ => return Err(Fault::bad_request("Unknown sort_key: it must be one of flavorid, name, memory_mb, root_gb, vcpus, created_at.")),
    };
    flavors.sort_by(compare);
    match call.query("sort_dir") {
        None | Some("asc") => {}
        Some("desc") => flavors.reverse(),
        Some(_) => return Err(Fault::bad_request("Unknown sort direction, must be 'desc' or 'asc'.")),
    }
    Ok(())
}

pub(in super::super) async fn list(call: Call) -> Outcome {
    listed(&call, "/flavors", brief)
}

pub(in super::super) async fn detail(call: Call) -> Outcome {
    listed(&call, "/flavors/detail", whole)
}

/// The flavor that a path names.
fn find(call: &Call) -> Result<(String, Specification), Fault> {
    let id = call.param(0);
    let snapshot = call.snapshot();
    let found = Names::load(&call.shared.context.records).uuid(id).and_then(|uuid| snapshot.specifications.get(&uuid));
    if let Some(specification) = found {
        return Ok((id.to_owned(), Specification::clone(specification)));
    }
    let shown: String = id.chars().take(64).collect();
    let (cpu_cores, memory_bytes) = custom(id).ok_or_else(|| Fault::not_found(format!("Flavor {shown} could not be found.")))?;
    let specification = Specification {
        specification_uuid: Uuid::nil(),
        specification_name: id.to_owned(),
        description: String::new(),
        cpu_cores,
        memory_bytes,
        storage_bytes: 0,
        create_time: Default::default(),
    };
    Ok((id.to_owned(), specification))
}

pub(in super::super) async fn show(call: Call) -> Outcome {
    let (id, specification) = find(&call)?;
    Reply::ok(&json!({ "flavor": whole(&call, &id, &specification) }))
}

pub(in super::super) async fn extra_specs(call: Call) -> Outcome {
    find(&call)?;
    Reply::ok(&json!({ "extra_specs": {} }))
}

pub(in super::super) async fn access(call: Call) -> Outcome {
    find(&call)?;
    Err(Fault::not_found("Access list not available for public flavors."))
}

pub(in super::super) async fn create(call: Call) -> Outcome {
    let mut fields = Fields::wrapped(&call.body, "flavor", &[])?;
    let specification_name = fields.required("name")?.trim().to_owned();
    let mut number = |name: &'static str, least: i64| -> Result<u64, Fault> {
        let number = fields.integer(name, least, NUMBER_MAX)?;
        number
            .and_then(|number| u64::try_from(number).ok())
            .ok_or_else(|| Fault::bad_request(format!("Invalid input: '{name}' is a required property of flavor")))
    };
    let (memory_mib, vcpus, disk_gib) = (number("ram", 1)?, number("vcpus", 1)?, number("disk", 0)?);
    let id = match fields.value("id") {
        None => None,
        Some(Value::String(text)) if text == "auto" => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(_) => return Err(fields.wrong("id", "is not of type 'string'")),
    };
    check_what_is_not_here(&mut fields)?;
    let mut description = String::new();
    if call.version >= since::FLAVOR_DESCRIPTION {
        description = fields.text("description")?.unwrap_or_default().to_owned();
    }
    fields.end()?;
    let (specification_uuid, chosen) = chosen_id(&call, id)?;
    let input = CreateSpecificationInput {
        specification_uuid: Some(specification_uuid),
        specification_name,
        description,
        cpu_cores: u32::try_from(vcpus).unwrap_or(u32::MAX),
        memory_bytes: memory_mib.saturating_mul(MEBIBYTE),
        storage_bytes: disk_gib.saturating_mul(GIBIBYTE),
    };
    let records = &call.shared.context.records;
    if let Some(id) = &chosen {
        records.put(DIALECT, FLAVOR, &specification_uuid.to_string(), id).await?;
    }
    if let Err(fault) = call.submit_and_wait(ChangeInput::CreateSpecification(input)).await {
        records.delete(DIALECT, FLAVOR, &specification_uuid.to_string()).await?;
        return Err(fault);
    }
    let snapshot = call.snapshot();
    let specification = snapshot.specifications.get(&specification_uuid).ok_or_else(|| Fault::not_found("The flavor is gone already."))?;
    let id = chosen.unwrap_or_else(|| specification_uuid.to_string());
    Reply::ok(&json!({ "flavor": whole(&call, &id, specification) }))
}

/// A flavor does not change but for what is said about it.
pub(in super::super) async fn update(call: Call) -> Outcome {
    if call.version < since::FLAVOR_DESCRIPTION {
        return Err(Fault::not_found("The resource could not be found."));
    }
    let (id, specification) = find(&call)?;
    let specification_uuid = specification.specification_uuid;
    if specification_uuid.is_nil() {
        return Err(Fault::not_found(format!("Flavor {id} could not be found.")));
    }
    let mut fields = Fields::wrapped(&call.body, "flavor", &[])?;
    if !fields.has("description") {
        return Err(fields.missing("description"));
    }
    let description = fields.text("description")?.unwrap_or_default().to_owned();
    fields.end()?;
    let input = UpdateSpecificationInput { specification_uuid, description: Some(description), ..UpdateSpecificationInput::default() };
    call.submit_and_wait(ChangeInput::UpdateSpecification(input)).await?;
    let (id, specification) = find(&call)?;
    Reply::ok(&json!({ "flavor": whole(&call, &id, &specification) }))
}

fn check_what_is_not_here(fields: &mut Fields<'_>) -> Result<(), Fault> {
    for name in ["OS-FLV-EXT-DATA:ephemeral", "swap"] {
        if fields.integer(name, 0, NUMBER_MAX)?.is_some_and(|number| number > 0) {
            return Err(fields.wrong(name, "is not offered by this node: it must be 0"));
        }
    }
    if fields.boolean("os-flavor-access:is_public")? == Some(false) {
        return Err(fields.wrong("os-flavor-access:is_public", "is not offered by this node: all flavors are public"));
    }
    fields.ignore(&["rxtx_factor"]);
    Ok(())
}

/// A uuid for a new flavor, and the id to show in its place where the caller chose one that is no uuid.
fn chosen_id(call: &Call, id: Option<String>) -> Result<(Uuid, Option<String>), Fault> {
    let Some(id) = id else { return Ok((Uuid::new_v4(), None)) };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ');
    if id.is_empty() || id.len() > 255 || id.trim() != id || !id.chars().all(is_plain) || id.starts_with(CUSTOM) {
        return Err(Fault::bad_request(
            "Invalid input for field/attribute flavor.id. It takes letters, digits, '.', '-', '_' and inner spaces.",
        ));
    }
    let names = Names::load(&call.shared.context.records);
    if names.0.values().any(|known| *known == id) {
        return Err(Fault::new(409, format!("Flavor with ID {id} already exists.")));
    }
    match Uuid::try_parse(&id) {
        Ok(uuid) if uuid.to_string() == id => Ok((uuid, None)),
        _ => Ok((Uuid::new_v4(), Some(id))),
    }
}

pub(in super::super) async fn delete(call: Call) -> Outcome {
    let (_, specification) = find(&call)?;
    let specification_uuid = specification.specification_uuid;
    if specification_uuid.is_nil() {
        return Err(Fault::not_found(format!("Flavor {} could not be found.", specification.specification_name)));
    }
    call.submit_and_wait(ChangeInput::DeleteSpecification(DeleteSpecificationInput { specification_uuid })).await?;
    call.shared.context.records.delete(DIALECT, FLAVOR, &specification_uuid.to_string()).await?;
    Ok(Reply::empty(202))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_of_its_own_is_read_back_from_its_id() {
        assert_eq!(custom("custom-2-512"), Some((2, 512 << 20)));
        for id in ["custom-2", "custom-a-1", "custom--1", "small", "custom-1-99999999999999999999"] {
            assert_eq!(custom(id), None, "{id}");
        }
    }
}
