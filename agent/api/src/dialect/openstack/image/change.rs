//! Announcing, importing, changing and removing images.

use super::super::DIALECT;
use super::super::call::{Call, Outcome, Reply};
use super::super::decode::Fields;
use super::super::errors::Fault;
use super::one;
use super::properties::{Announced, IMAGE, Properties, take_text};
use hvnode_core::model::{Firmware, ImageFormat, NameFault, Timestamp, check_name};
use hvnode_core::verb::{ChangeInput, CreateImageInput, DeleteImageInput, ImageSource, UpdateImageInput};
use serde_json::Value;
use uuid::Uuid;

/// Most images that are announced and have no bytes.
const ANNOUNCED_MAX: usize = 1000;

/// Keys that may be null at the making of an image: then they are as if not said.
const NULLABLE: [&str; 6] = ["visibility", "protected", "os_hidden", "min_disk", "min_ram", "tags"];

/// Disk formats and what they are here.
fn format_of(disk_format: &str) -> Option<ImageFormat> {
    match disk_format {
        "qcow2" => Some(ImageFormat::Qcow2),
        "raw" => Some(ImageFormat::Raw),
        "iso" => Some(ImageFormat::Iso),
        "aki" => Some(ImageFormat::Kernel),
        "ari" => Some(ImageFormat::Initrd),
        _ => None,
    }
}

fn check_formats(announced: &Announced) -> Result<(), Fault> {
    if let Some(format) = &announced.disk_format
        && format_of(format).is_none()
    {
        return Err(Fault::bad_request("Invalid disk_format: this node takes qcow2, raw, iso, aki and ari."));
    }
    match announced.container_format.as_deref() {
        None | Some("bare" | "aki" | "ari") => Ok(()),
        Some(_) => Err(Fault::bad_request("Invalid container_format: this node takes bare, aki and ari.")),
    }
}

pub(in super::super) async fn create(mut call: Call) -> Outcome {
    let records = call.shared.context.records.clone();
    let Value::Object(mut object) = call.body.clone() else { return Err(Fault::bad_request("The body must be a JSON object.")) };
    let uuid = match take_text(&mut object, "id")? {
        None => Uuid::new_v4(),
        Some(text) => Uuid::try_parse(&text).map_err(|_| Fault::bad_request("Invalid image id format: it must be a UUID."))?,
    };
    if call.snapshot().images.contains_key(&uuid) || Announced::of(&records, uuid).is_some() {
        return Err(Fault::new(409, format!("Image ID {uuid} already exists!")));
    }
    let name = take_text(&mut object, "name")?.unwrap_or_else(|| uuid.to_string());
    check_image_name(&name)?;
    let disk_format = take_text(&mut object, "disk_format")?;
    let container_format = take_text(&mut object, "container_format")?;
    let mut properties = Properties::default();
    object.remove("owner");
    for (key, value) in &object {
        if value.is_null() && !NULLABLE.contains(&key.as_str()) {
            return Err(Fault::bad_request(format!(
                "Provided object does not match schema 'image': null is not of type 'string'. Property: {key}"
            )));
        }
        properties.set(key, Some(value).filter(|value| !value.is_null()))?;
    }
    let announced = Announced { name, disk_format, container_format, properties, create_time: Timestamp::now(), checksum: String::new() };
    check_formats(&announced)?;
    let snapshot = call.snapshot();
    let open = records
        .list(DIALECT, IMAGE)
        .iter()
        .filter(|record| Uuid::try_parse(&record.key.id).is_ok_and(|uuid| !snapshot.images.contains_key(&uuid)))
        .count();
    if open >= ANNOUNCED_MAX {
        return Err(Fault::new(413, format!("There are {ANNOUNCED_MAX} images without bytes already.")));
    }
    announced.put(&records, uuid).await?;
    call.record().await;
    let location = format!("{}/image/v2/images/{uuid}", call.base_url);
    call.params = vec![uuid.to_string()];
    let view = one(&call, call.param(0))?;
    Ok(Reply::json(201, &view)?.with_header("location", &location).with_header("openstack-image-import-methods", "web-download"))
}

/// The engine's rule, told before anything is kept.
fn check_image_name(name: &str) -> Result<(), Fault> {
    check_name(name).map_err(|fault| match fault {
        NameFault::Character(c) => Fault::bad_request(format!("Invalid image name: it must not contain {c:?}.")),
        _ => Fault::bad_request("Invalid image name: it must have 1 to 128 characters and not begin with a space, '.' or '-'."),
    })
}

pub(in super::super) async fn import(call: Call) -> Outcome {
    let records = &call.shared.context.records;
    one(&call, call.param(0))?;
    let uuid = call.uuid(0).unwrap_or_default();
    if call.snapshot().images.contains_key(&uuid) {
        return Err(Fault::new(409, "Image status transition from active to importing is not allowed."));
    }
    let announced = Announced::of(records, uuid).ok_or_else(|| Fault::not_found("The image is gone."))?;
    let mut fields = Fields::of("", &call.body)?;
    let mut method = fields.object("method")?.ok_or_else(|| fields.missing("method"))?;
    let name = method.required("name")?;
    if name != "web-download" {
        return Err(method.wrong("name", "is not an import method of this node: it has 'web-download'"));
    }
    let url = method.required("uri")?.to_owned();
    method.end()?;
    fields.ignore(&["all_stores", "all_stores_must_succeed", "stores"]);
    fields.end()?;
    call.submit(create_input(uuid, &announced, ImageSource::Url(url))?).await?;
    Ok(Reply::empty(202))
}

/// What was announced, as the engine takes it.
pub(super) fn create_input(uuid: Uuid, announced: &Announced, source: ImageSource) -> Result<ChangeInput, Fault> {
    let format = announced.disk_format.as_deref().and_then(format_of);
    let format =
        format.ok_or_else(|| Fault::bad_request("disk_format and container_format must be set before an image gets its bytes."))?;
    let custom = |key: &str| announced.properties.custom.get(key).cloned().unwrap_or_default();
    let firmware = match custom("hw_firmware_type").as_str() {
        "uefi" => Some(Firmware::Uefi),
        "bios" => Some(Firmware::Bios),
        _ => None,
    };
    Ok(ChangeInput::CreateImage(CreateImageInput {
        image_uuid: Some(uuid),
        image_name: announced.name.clone(),
        description: custom("description"),
        source,
        format,
        checksum: String::new(),
        firmware,
        os_type: custom("os_type"),
        os_version: custom("os_version"),
        architecture: Some(custom("architecture")).filter(|text| !text.is_empty()),
    }))
}

/// One step of a patch.
struct Step {
    key: String,
    value: Option<Value>,
}

fn steps(body: &Value) -> Result<Vec<Step>, Fault> {
    let list = body.as_array().ok_or_else(|| Fault::bad_request("Request body must be a JSON array of operation objects."))?;
    let step = |value: &Value| {
        let mut fields = Fields::of("", value)?;
        let operation = fields.required("op")?;
        let path = fields.required("path")?;
        let key = path.strip_prefix('/').filter(|key| !key.is_empty() && !key.contains('/'));
        let key = key.ok_or_else(|| Fault::bad_request("Invalid JSON pointer for this resource: a path is '/' and a key."))?;
        let key = key.replace("~1", "/").replace("~0", "~");
        let value = fields.value("value").cloned();
        match operation {
            "add" | "replace" => Ok(Step { key, value: Some(value.unwrap_or_default()) }),
            "remove" => Ok(Step { key, value: None }),
            _ => Err(fields.wrong("op", "is not one of ['add', 'replace', 'remove']")),
        }
    };
    list.iter().take(256).map(step).collect()
}

pub(in super::super) async fn patch(call: Call) -> Outcome {
    one(&call, call.param(0))?;
    let uuid = call.uuid(0).unwrap_or_default();
    let records = &call.shared.context.records;
    let snapshot = call.snapshot();
    let image = snapshot.images.get(&uuid);
    let mut announced = Announced::of_any(&call, uuid);
    let mut update = UpdateImageInput { image_uuid: uuid, ..UpdateImageInput::default() };
    for Step { key, value } in steps(&call.body)? {
        let text = || value.as_ref().and_then(Value::as_str).map(str::to_owned).unwrap_or_default();
        match key.as_str() {
            "name" => {
                check_image_name(&text())?;
                announced.name = text();
                update.new_name = Some(text());
            }
            "disk_format" | "container_format" if image.is_some() => {
                return Err(Fault::new(403, format!("Attribute {key} can be only replaced for a queued image.")));
            }
            "disk_format" => announced.disk_format = Some(text()),
            "container_format" => announced.container_format = Some(text()),
            "description" | "os_type" | "os_version" | "hw_firmware_type" if image.is_some() => set_said(&mut update, &key, text())?,
            _ => announced.properties.set(&key, value.as_ref().filter(|value| !value.is_null()))?,
        }
    }
    check_formats(&announced)?;
    let is_for_engine = image.is_some() && update != UpdateImageInput { image_uuid: uuid, ..UpdateImageInput::default() };
    if is_for_engine {
        call.submit_and_wait(ChangeInput::UpdateImage(update)).await?;
    }
    announced.put(records, uuid).await?;
    if !is_for_engine {
        call.record().await;
    }
    Reply::ok(&one(&call, call.param(0))?)
}

/// What the engine itself says of an image.
fn set_said(update: &mut UpdateImageInput, key: &str, text: String) -> Result<(), Fault> {
    match key {
        "description" => update.description = Some(text),
        "os_type" => update.os_type = Some(text),
        "os_version" => update.os_version = Some(text),
        _ => {
            update.firmware = Some(match text.as_str() {
                "uefi" => Firmware::Uefi,
                "bios" => Firmware::Bios,
                _ => return Err(Fault::bad_request("hw_firmware_type must be 'bios' or 'uefi'.")),
            });
        }
    }
    Ok(())
}

pub(in super::super) async fn delete(call: Call) -> Outcome {
    one(&call, call.param(0))?;
    let uuid = call.uuid(0).unwrap_or_default();
    let records = &call.shared.context.records;
    if Properties::of(records, uuid).is_protected {
        return Err(Fault::new(403, format!("Image {uuid} is protected and cannot be deleted.")));
    }
    if call.snapshot().images.contains_key(&uuid) {
        call.submit_and_wait(ChangeInput::DeleteImage(DeleteImageInput { image_uuid: uuid })).await?;
    } else {
        call.record().await;
    }
    records.delete(DIALECT, IMAGE, &uuid.to_string()).await?;
    Ok(Reply::empty(204))
}
