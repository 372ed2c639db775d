//! Glance v2: images of the repository, and those that were announced and have no bytes yet.

pub(super) mod change;
pub(super) mod data;
mod properties;
pub(super) mod tags;

use super::DIALECT;
use super::call::{Call, Outcome, Reply};
use super::convert::{gibibytes_up, project_id, zulu};
use super::errors::Fault;
use super::paging::{limit, next_url};
use crate::records::Records;
use hvnode_core::model::{Firmware, Image, ImageFormat, ImageStatus, Timestamp};
use properties::{Announced, IMAGE, Properties};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Images of one page where the caller does not say.
const PAGE_DEFAULT: usize = 25;
/// Most images of one page.
const PAGE_MAX: usize = 1000;

pub(super) async fn versions(call: Call) -> Outcome {
    let version = |minor: u8| {
        let status = if minor == 9 { "CURRENT" } else { "SUPPORTED" };
        json!({ "id": format!("v2.{minor}"), "status": status, "links": [{ "rel": "self", "href": format!("{}/image/v2/", call.base_url) }] })
    };
    let minors = [9, 7, 6, 5, 4, 3, 2, 1, 0];
    Reply::json(300, &json!({ "versions": minors.map(version) }))
}

/// The word of an image's state.
fn status_of(image: &Image) -> &'static str {
    match image.status {
        ImageStatus::Creating => "queued",
        ImageStatus::Downloading if image.url.is_empty() => "saving",
        ImageStatus::Downloading => "importing",
        ImageStatus::Ready => "active",
        ImageStatus::Error => "killed",
        ImageStatus::Deleting => "pending_delete",
    }
}

/// Disk format and container format.
fn format_words(format: ImageFormat) -> (&'static str, &'static str) {
    match format {
        ImageFormat::Qcow2 => ("qcow2", "bare"),
        ImageFormat::Raw => ("raw", "bare"),
        ImageFormat::Iso => ("iso", "bare"),
        ImageFormat::Kernel => ("aki", "aki"),
        ImageFormat::Initrd => ("ari", "ari"),
    }
}

/// What an image shows whether it has bytes or not.
struct Common<'a> {
    id: Uuid,
    name: &'a str,
    status: &'static str,
    times: (Timestamp, Timestamp),
    properties: &'a Properties,
}

fn common(common: &Common<'_>) -> Map<String, Value> {
    let Common { id, name, status, times: (created, updated), properties } = common;
    let mut view = Map::new();
    // What the caller said goes first: no key of his replaces one of ours.
    view.extend(properties.custom.iter().map(|(key, value)| (key.clone(), value.clone().into())));
    let own = json!({
        "id": id, "name": name, "status": status, "visibility": properties.visibility, "protected": properties.is_protected,
        "os_hidden": properties.is_hidden, "min_disk": properties.min_disk, "min_ram": properties.min_ram, "owner": project_id(),
        "tags": properties.tags, "created_at": zulu(*created), "updated_at": zulu(*updated), "self": format!("/v2/images/{id}"),
        "file": format!("/v2/images/{id}/file"), "schema": "/v2/schemas/image",
    });
    if let Value::Object(own) = own {
        view.extend(own);
    }
    view
}

fn of_image(records: &Records, image: &Image) -> Map<String, Value> {
    let announced = Announced::of(records, image.image_uuid);
    let md5 = announced.as_ref().map(|announced| announced.checksum.clone()).filter(|md5| !md5.is_empty());
    let mut properties = announced.map_or_else(Properties::of_others, |announced| announced.properties);
    let said = [
        ("architecture", image.architecture.as_str()),
        ("os_type", image.os_type.as_str()),
        ("os_version", image.os_version.as_str()),
        ("description", image.description.as_str()),
        (
            "hw_firmware_type",
            match image.firmware {
                Some(Firmware::Uefi) => "uefi",
                Some(Firmware::Bios) => "bios",
                None => "",
            },
        ),
    ];
    properties
        .custom
        .extend(said.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    if properties.min_disk == 0 {
        properties.min_disk = gibibytes_up(image.virtual_bytes);
    }
    let times = (image.create_time, image.update_time);
    let mut view =
        common(&Common { id: image.image_uuid, name: &image.image_name, status: status_of(image), times, properties: &properties });
    let (disk_format, container_format) = format_words(image.format);
    let (algorithm, digest) = image.checksum.split_once(':').unwrap_or(("", ""));
    let is_known = !digest.is_empty();
    let known = |bytes: u64| if bytes > 0 { json!(bytes) } else { Value::Null };
    view.insert("disk_format".into(), disk_format.into());
    view.insert("container_format".into(), container_format.into());
    view.insert("size".into(), known(image.storage_bytes));
    view.insert("virtual_size".into(), known(image.virtual_bytes));
    // MD5 is known of what came in through this API; the digest that is known of all stands beside it.
    view.insert("checksum".into(), md5.into());
    view.insert("os_hash_algo".into(), if is_known { algorithm.into() } else { Value::Null });
    view.insert("os_hash_value".into(), if is_known { digest.into() } else { Value::Null });
    view
}

fn of_announced(id: Uuid, announced: &Announced) -> Map<String, Value> {
    let times = (announced.create_time, announced.create_time);
    let mut view = common(&Common { id, name: &announced.name, status: "queued", times, properties: &announced.properties });
    view.insert("disk_format".into(), announced.disk_format.clone().into());
    view.insert("container_format".into(), announced.container_format.clone().into());
    for key in ["size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value"] {
        view.insert(key.into(), Value::Null);
    }
    view
}

/// Every image as it is shown.
fn all(call: &Call) -> Vec<Map<String, Value>> {
    let records = &call.shared.context.records;
    let snapshot = call.snapshot();
    let mut views: Vec<_> = snapshot.images.values().map(|image| of_image(records, image)).collect();
    for record in records.list(DIALECT, IMAGE) {
        let announced = Uuid::try_parse(&record.key.id).ok().filter(|uuid| !snapshot.images.contains_key(uuid));
        views.extend(announced.and_then(|uuid| Some(of_announced(uuid, &crate::records::value_of(&record)?))));
    }
    views
}

/// One image as it is shown.
fn one(call: &Call, id: &str) -> Result<Map<String, Value>, Fault> {
    let records = &call.shared.context.records;
    let shown: String = id.chars().take(64).collect();
    let missing = || Fault::not_found(format!("No image found with ID {shown}"));
    let uuid = Uuid::try_parse(id).map_err(|_| missing())?;
    if let Some(image) = call.snapshot().images.get(&uuid) {
        return Ok(of_image(records, image));
    }
    Announced::of(records, uuid).map(|announced| of_announced(uuid, &announced)).ok_or_else(missing)
}

pub(super) async fn list(call: Call) -> Outcome {
    let mut views = all(&call);
    for (key, asked) in &call.query {
        if !matches!(key.as_str(), "limit" | "marker" | "sort" | "sort_key" | "sort_dir" | "member_status" | "tag") {
            views.retain(|view| is_wanted(view, key, asked));
        }
    }
    views.retain(|view| call.queries("tag").all(|tag| view["tags"].as_array().is_some_and(|tags| tags.iter().any(|own| own == tag))));
    if call.query("os_hidden").is_none() {
        views.retain(|view| view["os_hidden"] != true);
    }
    sort(&call, &mut views)?;
    let size = limit(&call)?.unwrap_or(PAGE_DEFAULT).min(PAGE_MAX);
    let start = match call.query("marker") {
        None => 0,
        Some(marker) => {
            views
                .iter()
                .position(|view| view["id"] == marker)
                .ok_or_else(|| Fault::bad_request("Invalid marker. Image could not be found."))?
                + 1
        }
    };
    let has_more = size > 0 && views.len() > start + size;
    let images: Vec<_> = views.into_iter().skip(start).take(size).collect();
    let last = images.last().and_then(|view| view["id"].as_str()).unwrap_or("").to_owned();
    let mut body = json!({ "images": images, "first": first_url(&call), "schema": "/v2/schemas/images" });
    if has_more {
        body["next"] = next_url(&call, "/v2/images", &last).into();
    }
    Reply::ok(&body)
}

fn first_url(call: &Call) -> String {
    let kept: Vec<_> = call.query.iter().filter(|(key, _)| key != "marker").map(|(key, value)| format!("{key}={value}")).collect();
    if kept.is_empty() { "/v2/images".to_owned() } else { format!("/v2/images?{}", kept.join("&")) }
}

/// Does the image have what a query asks for? `in:a,b` asks for one of several.
fn is_wanted(view: &Map<String, Value>, key: &str, asked: &str) -> bool {
    if let Some(bound) = key.strip_prefix("size_") {
        let (size, asked) = (view["size"].as_u64().unwrap_or(0), asked.parse().unwrap_or(0));
        return if bound == "min" { size >= asked } else { size <= asked };
    }
    let asked = asked.strip_prefix("eq:").unwrap_or(asked);
    let wanted: BTreeSet<&str> =
        asked.strip_prefix("in:").map_or_else(|| [asked].into(), |list| list.split(',').map(|word| word.trim_matches('"')).collect());
    match view.get(key) {
        Some(Value::String(text)) => wanted.contains(text.as_str()) || (key == "visibility" && asked == "all"),
        Some(other) => wanted.iter().any(|word| word.eq_ignore_ascii_case(&other.to_string())),
        None => false,
    }
}

fn sort(call: &Call, views: &mut [Map<String, Value>]) -> Result<(), Fault> {
    let mut order: Vec<(String, bool)> = Vec::new();
    for part in call.query("sort").unwrap_or("").split(',').filter(|part| !part.is_empty()) {
        let (key, direction) = part.split_once(':').unwrap_or((part, "desc"));
        order.push((key.to_owned(), direction == "asc"));
    }
    let mut directions = call.queries("sort_dir");
    for key in call.queries("sort_key") {
        order.push((key.to_owned(), directions.next() == Some("asc")));
    }
    const KEYS: [&str; 9] = ["name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at", "min_disk"];
    if let Some((key, _)) = order.iter().find(|(key, _)| !KEYS.contains(&key.as_str())) {
        let shown: String = key.chars().take(32).collect();
        return Err(Fault::bad_request(format!("Unable to sort by '{shown}'.")));
    }
    order.push(("created_at".to_owned(), false));
    order.push(("id".to_owned(), false));
    views.sort_by(|a, b| {
        let compare = |(key, is_ascending): &(String, bool)| {
            let compared = match (a[key].as_u64(), b[key].as_u64()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => a[key].as_str().cmp(&b[key].as_str()),
            };
            if *is_ascending { compared } else { compared.reverse() }
        };
        order.iter().map(compare).find(|compared| compared.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    });
    Ok(())
}

pub(super) async fn show(call: Call) -> Outcome {
    Reply::ok(&one(&call, call.param(0))?)
}

pub(super) async fn members(call: Call) -> Outcome {
    one(&call, call.param(0))?;
    Reply::ok(&json!({ "members": [], "schema": "/v2/schemas/members" }))
}

pub(super) async fn import_info(_: Call) -> Outcome {
    Reply::ok(&json!({ "import-methods": { "description": "Import methods available.", "type": "array", "value": ["web-download"] } }))
}

pub(super) async fn stores(_: Call) -> Outcome {
    Reply::ok(&json!({ "stores": [{ "id": "default", "default": "true" }] }))
}

/// Names and types of what every image has.
fn properties_schema() -> Value {
    let text = json!({ "type": ["null", "string"] });
    let number = json!({ "type": ["null", "integer"] });
    let mut schema = Map::new();
    for key in [
        "id",
        "name",
        "status",
        "visibility",
        "disk_format",
        "container_format",
        "checksum",
        "os_hash_algo",
        "os_hash_value",
        "owner",
        "created_at",
        "updated_at",
        "self",
        "file",
        "schema",
    ] {
        schema.insert(key.into(), text.clone());
    }
    for key in ["size", "virtual_size", "min_disk", "min_ram"] {
        schema.insert(key.into(), number.clone());
    }
    for key in ["protected", "os_hidden"] {
        schema.insert(key.into(), json!({ "type": "boolean" }));
    }
    schema.insert("tags".into(), json!({ "type": "array", "items": { "type": "string" } }));
    Value::Object(schema)
}

fn image_schema() -> Value {
    json!({ "name": "image", "properties": properties_schema(), "additionalProperties": { "type": "string" }, "links": [{ "rel": "self", "href": "{self}" }] })
}

pub(super) async fn schema(_: Call) -> Outcome {
    Reply::ok(&image_schema())
}

pub(super) async fn schema_of_list(_: Call) -> Outcome {
    let text = json!({ "type": "string" });
    let properties = json!({ "images": { "type": "array", "items": image_schema() }, "first": text, "next": text, "schema": text });
    Reply::ok(&json!({ "name": "images", "properties": properties, "links": [] }))
}
