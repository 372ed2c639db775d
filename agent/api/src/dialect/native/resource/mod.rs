//! The resources of this API: per resource its object as shown, its requests, its handlers.

pub(super) mod account;
pub(super) mod event;
pub(super) mod health;
pub(super) mod host;
pub(super) mod image;
pub(super) mod job;
pub(super) mod network;
pub(super) mod operation_log;
pub(super) mod repository;
pub(super) mod specification;
pub(super) mod statistics;
pub(super) mod summary;
pub(super) mod token;
pub(super) mod usd;
pub(super) mod user;
pub(super) mod vm;
pub(super) mod vm_adopt;
pub(super) mod vm_change;
pub(super) mod vm_console;
pub(super) mod vm_create;
pub(super) mod vm_view;

use hvnode_core::model::ResourceType;
use hvnode_core::{Result, fail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// How a resource is spelt in this API.
#[derive(Debug)]
pub(super) struct Resource {
    /// The word in routes, and the key of one object in an answer.
    pub(super) word: &'static str,
    /// The parameter that names one.
    pub(super) uuid_field: &'static str,
    /// The parameter with its name, which decides nothing.
    pub(super) name_field: &'static str,
    /// Its kind in the operation log.
    pub(super) kind: ResourceType,
}

pub(super) const VM: Resource = Resource { word: "vm", uuid_field: "vm_uuid", name_field: "vm_name", kind: ResourceType::Vm };
pub(super) const IMAGE: Resource =
    Resource { word: "image", uuid_field: "image_uuid", name_field: "image_name", kind: ResourceType::Image };
pub(super) const SPECIFICATION: Resource = Resource {
    word: "specification",
    uuid_field: "specification_uuid",
    name_field: "specification_name",
    kind: ResourceType::Specification,
};
pub(super) const USD: Resource = Resource { word: "usd", uuid_field: "usd_uuid", name_field: "usd_name", kind: ResourceType::Volume };
pub(super) const NETWORK: Resource =
    Resource { word: "network", uuid_field: "network_uuid", name_field: "network_name", kind: ResourceType::Network };
pub(super) const HOST: Resource = Resource { word: "host", uuid_field: "host_uuid", name_field: "host_name", kind: ResourceType::Host };
pub(super) const USER: Resource = Resource { word: "user", uuid_field: "user_uuid", name_field: "user_name", kind: ResourceType::User };
/// Belongs to users, and counts as their kind in the operation log.
pub(super) const TOKEN: Resource = Resource { word: "token", uuid_field: "token_uuid", name_field: "token_name", kind: ResourceType::User };
pub(super) const JOB: Resource = Resource { word: "job", uuid_field: "job_uuid", name_field: "job_name", kind: ResourceType::Job };

/// A request without parameters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The word for a kind of resource in this API.
pub(super) fn kind_word(kind: ResourceType) -> &'static str {
    if kind == ResourceType::Volume { USD.word } else { kind.word() }
}

/// The kind a word stands for; `volume` is the other name of `usd`.
pub(super) fn kind_of_word(word: &str) -> Option<ResourceType> {
    use ResourceType as R;
    let kinds = [R::Vm, R::Image, R::Specification, R::Volume, R::Network, R::Host, R::User, R::Job];
    kinds.into_iter().find(|kind| kind.word() == word || kind_word(*kind) == word)
}

/// An object as a JSON value, for answers that are put together.
pub(super) fn value_of(view: &impl Serialize) -> Result<Value> {
    serde_json::to_value(view).map_err(|e| fail!(Internal, "the answer could not be encoded"; "无法编码响应").caused_by(e))
}
