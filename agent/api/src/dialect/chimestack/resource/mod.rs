//! What each object looks like here, and what its routes do.

pub(super) mod host;
pub(super) mod image;
pub(super) mod metrics;
pub(super) mod network;
pub(super) mod session;
pub(super) mod spec;
pub(super) mod statistic;
pub(super) mod vm;
pub(super) mod vm_change;
pub(super) mod volume;
pub(super) mod zone;

use super::call::{Call, Outcome};
use super::input::Input;
use super::listing::{self, Page};
use super::route::Resource;
use hvnode_core::model::Timestamp;
use serde_json::{Map, Value, json};

/// The time of objects that are only on their way, in the answer to the request that makes them.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// RFC 3339 with nine digits of fraction, so that texts sort as times do; null for a time nobody knows.
pub(super) fn time(time: Timestamp) -> Value {
    if time == Timestamp::default() {
        return Value::Null;
    }
    jiff::Timestamp::from_nanosecond(i128::from(time.0)).map_or(Value::Null, |time| format!("{time:.9}").into())
}

/// `{"<key>": value}`.
pub(super) fn keyed(key: &str, value: impl Into<Value>) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value.into())]))
}

/// `{"<key>": "ok"}`.
pub(super) fn done(key: &str) -> Outcome {
    Ok(keyed(key, "ok"))
}

/// One page of `rows`.
pub(super) fn list(input: &Input, resource: &Resource, rows: Vec<Value>) -> Outcome {
    Ok(listing::page(input, resource, rows)?.into_result())
}

/// A list that is always empty here.
pub(super) async fn empty(_: Call, _: Input) -> Outcome {
    Ok(Page { elements: Vec::new(), total: 0 }.into_result())
}

/// For routes that never get as far.
pub(super) async fn refused(_: Call, _: Input) -> Outcome {
    Err(hvnode_core::fail!(NotSupported).into())
}

/// The fields of an object that tell of its changes, empty.
fn no_operations() -> Value {
    json!({
        "operation": "", "last_operation_name": "", "last_operation_state": 0, "last_operation_created_at": null,
        "last_operation_finished_at": null,
    })
}

/// Puts the fields of `more` into `object`.
fn merge(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}

/// An object as the answer to the request that makes it shows it.
fn as_new(mut object: Value) -> Value {
    object["created_at"] = NO_TIME.into();
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_and_sort_as_texts() {
        assert_eq!(time(Timestamp(1_713_734_788_279_496_741)), "2024-04-21T21:26:28.279496741Z");
        assert_eq!(time(Timestamp::from_seconds(1_713_734_788)), "2024-04-21T21:26:28.000000000Z");
        assert_eq!(time(Timestamp::default()), Value::Null);
    }
}
