//! Inventories: what the picture holds, in this API's words. Fields that would be null are left out.

mod image;
mod network;
mod node;
mod vm;

pub(super) use image::{disk_offerings, images, offerings};
pub(super) use network::{dhcp_address, ip_ranges, l2_networks, l3_networks};
pub(super) use node::{
    accounts, backup_storages, cluster_of, clusters, global_configs, hosts, management_nodes, pool_capacity, primary_storages, zone_of,
    zones,
};
pub(super) use vm::{nics, vms, volumes};

use super::{date, tag};
use crate::context::ApiContext;
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{DialectRecord, ResourceType, Timestamp};
use serde_json::{Map, Value};
use std::sync::Arc;
use uuid::Uuid;

/// What inventories are made from: one picture for a whole answer.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) context: ApiContext,
}

impl Scene {
    pub(super) fn of(context: &ApiContext) -> Self {
        Self { snapshot: context.engine.snapshot(), context: context.clone() }
    }
}

/// What this version has none of.
pub(super) fn none(_: &Scene) -> Vec<Value> {
    Vec::new()
}

pub(super) fn system_tags(scene: &Scene) -> Vec<Value> {
    tag::rows(scene, tag::SYSTEM)
}

pub(super) fn user_tags(scene: &Scene) -> Vec<Value> {
    tag::rows(scene, tag::USER)
}

/// The object that a job was about, as it is now.
pub(super) fn object(context: &ApiContext, kind: ResourceType, uuid: Uuid) -> Option<Value> {
    let scene = Scene::of(context);
    let snapshot = &scene.snapshot;
    match kind {
        ResourceType::Vm => snapshot.vms.get(&uuid).map(|found| vm::vm(&scene, found)),
        ResourceType::Image => snapshot.images.get(&uuid).map(|found| image::image(found)),
        ResourceType::Specification => snapshot.specifications.get(&uuid).map(|found| image::offering(found)),
        ResourceType::Volume => snapshot.volumes.get(&uuid).map(|found| vm::volume(&scene, found)),
        ResourceType::Network | ResourceType::Host | ResourceType::User | ResourceType::Job => None,
    }
}

/// A record as an inventory: what it holds and its dates.
pub(super) fn of_record(record: &DialectRecord) -> Value {
    let mut object = record.value.as_object().cloned().unwrap_or_default();
    object.insert("uuid".into(), record.key.id.as_str().into());
    put_dates(&mut object, record.create_time, record.update_time);
    Value::Object(object)
}

/// The records of a kind, oldest first.
fn of_records(scene: &Scene, kind: &str) -> Vec<Value> {
    let mut records = scene.context.records.list(super::DIALECT, kind);
    records.sort_by_key(|record| record.create_time);
    records.iter().map(|record| of_record(record)).collect()
}

fn put_dates(object: &mut Map<String, Value>, create_time: Timestamp, update_time: Timestamp) {
    object.insert("createDate".into(), date::show(create_time).into());
    object.insert("lastOpDate".into(), date::show(update_time).into());
}

/// An object with its dates and without its nulls.
fn dated(value: Value, create_time: Timestamp, update_time: Timestamp) -> Value {
    let mut value = super::call::pruned(value);
    if let Value::Object(object) = &mut value {
        put_dates(object, create_time, update_time);
    }
    value
}

/// A text, absent where it is empty.
fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

/// Items of a picture, oldest first.
fn by_age<T>(items: impl Iterator<Item = Arc<T>>, age: impl Fn(&T) -> (Timestamp, Uuid)) -> Vec<Arc<T>> {
    let mut items: Vec<Arc<T>> = items.collect();
    items.sort_by_key(|item| age(item));
    items
}
