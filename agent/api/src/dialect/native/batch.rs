//! Batches: `{"list": [{…}, …]}` on the path of a change runs each entry as its own change.

use super::call::{Call, Failure, Outcome};
use super::change::{self, ChangeBody};
use super::check;
use super::envelope::{Data, Envelope};
use super::resource::Resource;
use hvnode_core::{Result, fail};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use uuid::Uuid;

/// The one field of a batch.
pub(super) const LIST_FIELD: &str = "list";
/// Most entries of a batch.
pub(super) const ENTRIES_MAX: usize = 200;
/// Entries handed to the engine at the same time.
const HANDED_IN_MAX: usize = 16;
/// Most bytes of an entry's own uuid text that its answer repeats.
const UUID_TEXT_MAX: usize = 64;

/// The answer to a batch: the envelope around it always says success.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchData {
    /// How many succeeded.
    success: usize,
    /// How many failed.
    fail: usize,
    /// One whole envelope per entry, in the order of the entries; `data` always names the entry's object.
    results: Vec<Envelope>,
}

/// Runs every entry; one that fails hurts no other.
pub(super) async fn run<B: ChangeBody>(call: &Call, object: &Map<String, Value>) -> Outcome {
    let entries = entries(object)?;
    let gate = Semaphore::new(HANDED_IN_MAX);
    let results = futures_util::future::join_all(entries.iter().map(|entry| one::<B>(call, entry, &gate))).await;
    let success = results.iter().filter(|envelope| envelope.is_success()).count();
    Ok(Data::of(&BatchData { success, fail: results.len() - success, results })?)
}

fn entries(object: &Map<String, Value>) -> Result<&[Value]> {
    if let Some(other) = object.keys().find(|name| *name != LIST_FIELD) {
        let other = crate::strict::shown(other);
        return Err(fail!(ParameterInvalid,
            "{other} must not stand beside list: parameters belong into its entries"; "{other} 不能与 list 并列，参数应放在各项中"));
    }
    match object.get(LIST_FIELD) {
        Some(Value::Array(entries)) if entries.is_empty() => Err(fail!(ParameterInvalid, "list must not be empty"; "list 不能为空")),
        Some(Value::Array(entries)) => check::count(LIST_FIELD, entries.len(), ENTRIES_MAX).map(|()| entries.as_slice()),
        _ => Err(fail!(ParseParameter, "list must be a list of objects"; "list 必须是对象数组")),
    }
}

async fn one<B: ChangeBody>(call: &Call, entry: &Value, gate: &Semaphore) -> Envelope {
    let result = match entry {
        Value::Object(object) => change::one::<B>(call, object.clone(), Some(gate)).await,
        _ => Err(fail!(ParseParameter, "each entry of list must be an object"; "list 的每一项必须是对象").into()),
    };
    let named = entry.get(B::RESOURCE.uuid_field).and_then(Value::as_str).unwrap_or("");
    match result {
        Ok(mut data) => {
            name_entry(&mut data, B::RESOURCE, named);
            Envelope::success(data, call.options)
        }
        Err(Failure { error, job_uuid, .. }) => {
            Envelope::failure(&error, &call.context.node, call.options, Some(failed_entry(B::RESOURCE, named, job_uuid)))
        }
    }
}

/// Puts the object's uuid on the top level of an entry's data, where a create has it only inside the object.
fn name_entry(data: &mut Value, resource: &Resource, named: &str) {
    let uuid = data[resource.word][resource.uuid_field].as_str().unwrap_or(named).to_owned();
    if let Value::Object(data) = data {
        data.entry(resource.uuid_field).or_insert(uuid.into());
    }
}

fn failed_entry(resource: &Resource, named: &str, job_uuid: Option<Uuid>) -> Value {
    let named: String = named.chars().take(UUID_TEXT_MAX).collect();
    match job_uuid {
        Some(job_uuid) => json!({ resource.uuid_field: named, "job_uuid": job_uuid }),
        None => json!({ resource.uuid_field: named }),
    }
}
