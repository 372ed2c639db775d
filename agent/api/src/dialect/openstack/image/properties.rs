//! What this API knows of an image and the engine does not, and images that were announced only.

use super::super::DIALECT;
use super::super::call::Call;
use super::super::decode::shown;
use super::super::errors::Fault;
use crate::records::{Records, value_of};
use hvnode_core::model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Kind of the records.
pub(super) const IMAGE: &str = "image";
/// Most properties of the caller's own.
pub(super) const CUSTOM_MAX: usize = 128;
pub(super) const TEXT_LENGTH_MAX: usize = 255;

/// What is said about an image beside name and format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Properties {
    pub(super) visibility: String,
    pub(super) is_protected: bool,
    pub(super) is_hidden: bool,
    /// GiB.
    pub(super) min_disk: u64,
    /// MiB.
    pub(super) min_ram: u64,
    pub(super) tags: Vec<String>,
    /// Keys of the caller's own.
    pub(super) custom: BTreeMap<String, String>,
}

impl Default for Properties {
    fn default() -> Self {
        Self {
            visibility: "shared".into(),
            is_protected: false,
            is_hidden: false,
            min_disk: 0,
            min_ram: 0,
            tags: Vec::new(),
            custom: BTreeMap::new(),
        }
    }
}

/// An image without bytes; after its import, what is said about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Announced {
    pub(super) name: String,
    pub(super) disk_format: Option<String>,
    pub(super) container_format: Option<String>,
    pub(super) properties: Properties,
    pub(super) create_time: Timestamp,
    /// MD5 of the bytes, where they came in through this API: nobody else wants it.
    #[serde(default)]
    pub(super) checksum: String,
}

impl Announced {
    pub(super) fn of(records: &Records, uuid: Uuid) -> Option<Self> {
        records.get(DIALECT, IMAGE, &uuid.to_string()).and_then(|record| value_of(&record))
    }

    /// What is said about any image; of one that came another way, as a beginning.
    pub(super) fn of_any(call: &Call, uuid: Uuid) -> Self {
        let (records, snapshot) = (&call.shared.context.records, call.snapshot());
        let image = snapshot.images.get(&uuid);
        Self::of(records, uuid).unwrap_or_else(|| Self {
            name: image.map(|image| image.image_name.clone()).unwrap_or_default(),
            disk_format: None,
            container_format: None,
            properties: Properties::of_others(),
            create_time: image.map(|image| image.create_time).unwrap_or_default(),
            checksum: String::new(),
        })
    }

    pub(super) async fn put(&self, records: &Records, uuid: Uuid) -> Result<(), Fault> {
        records.put(DIALECT, IMAGE, &uuid.to_string(), self).await?;
        Ok(())
    }
}

impl Properties {
    /// Of an image that has bytes; images of other origin are everybody's.
    pub(super) fn of(records: &Records, uuid: Uuid) -> Self {
        let announced = Announced::of(records, uuid).map(|announced| announced.properties);
        announced.unwrap_or_else(Self::of_others)
    }

    pub(super) fn of_others() -> Self {
        Self { visibility: "public".into(), ..Self::default() }
    }

    /// Sets one key; null or absent takes it away.
    ///
    /// # Errors
    /// 400, 403 for a key that is not the caller's to set.
    pub(super) fn set(&mut self, key: &str, value: Option<&Value>) -> Result<(), Fault> {
        let wrong = |why: &str| {
            Fault::bad_request(format!(
                "Provided object does not match schema 'image': {} {why}. Property: {key}",
                shown(value.unwrap_or(&Value::Null))
            ))
        };
        let number =
            || value.map_or(Ok(0), |value| value.as_u64().filter(|n| *n <= 1 << 31).ok_or_else(|| wrong("is not a number of at least 0")));
        let truth = || value.map_or(Ok(false), |value| value.as_bool().ok_or_else(|| wrong("is not of type 'boolean'")));
        match key {
            "visibility" => {
                let word = value.and_then(Value::as_str).unwrap_or("shared");
                if !["public", "private", "shared", "community"].contains(&word) {
                    return Err(wrong("is not one of ['community', 'public', 'private', 'shared']"));
                }
                self.visibility = word.to_owned();
            }
            "protected" => self.is_protected = truth()?,
            "os_hidden" => self.is_hidden = truth()?,
            "min_disk" => self.min_disk = number()?,
            "min_ram" => self.min_ram = number()?,
            "tags" => self.tags = tags(value).ok_or_else(|| wrong("is not a list of texts of at most 255 characters"))?,
            "id" | "status" | "size" | "virtual_size" | "checksum" | "os_hash_algo" | "os_hash_value" | "created_at" | "updated_at"
            | "self" | "file" | "schema" | "owner" | "locations" | "direct_url" | "name" | "disk_format" | "container_format" => {
                return Err(Fault::new(403, format!("Attribute '{key}' is read-only.")));
            }
            _ => {
                let is_key = (1..=TEXT_LENGTH_MAX).contains(&key.chars().count()) && !key.chars().any(char::is_control);
                match value {
                    _ if !is_key => return Err(wrong("has a name that is too long")),
                    None => drop(self.custom.remove(key)),
                    Some(Value::String(text)) if text.len() <= 64 << 10 => drop(self.custom.insert(key.to_owned(), text.clone())),
                    Some(_) => return Err(wrong("is not of type 'string'")),
                }
                if self.custom.len() > CUSTOM_MAX {
                    return Err(Fault::new(
                        413,
                        format!("The limit has been exceeded on the number of allowed image properties: {CUSTOM_MAX}"),
                    ));
                }
            }
        }
        Ok(())
    }
}

fn tags(value: Option<&Value>) -> Option<Vec<String>> {
    let Some(value) = value else { return Some(Vec::new()) };
    let mut tags: Vec<String> = Vec::new();
    for tag in value.as_array()?.iter().take(CUSTOM_MAX) {
        let tag = tag.as_str().filter(|tag| tag.chars().count() <= TEXT_LENGTH_MAX)?;
        if !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
    }
    Some(tags)
}

/// Takes a key out of an object.
pub(super) fn take_text(object: &mut Map<String, Value>, key: &str) -> Result<Option<String>, Fault> {
    match object.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Fault::bad_request(format!(
            "Provided object does not match schema 'image': {} is not of type 'string'. Property: {key}",
            shown(&other)
        ))),
    }
}
