//! Which versions of compute there are.

use super::super::call::{Call, Outcome, Reply};
use super::super::version::{COMPUTE_MAX, COMPUTE_MIN};
use serde_json::{Value, json};

/// The version before microversions; some clients look for it first.
fn legacy(call: &Call) -> Value {
    json!({
        "id": "v2.0", "status": "SUPPORTED", "version": "", "min_version": "", "updated": "2011-01-21T11:33:21Z",
        "links": [{ "rel": "self", "href": format!("{}/compute/v2/", call.base_url) }],
    })
}

fn current(call: &Call) -> Value {
    json!({
        "id": "v2.1", "status": "CURRENT", "version": format!("2.{COMPUTE_MAX}"), "min_version": format!("2.{COMPUTE_MIN}"),
        "updated": "2013-07-23T11:33:21Z", "links": [{ "rel": "self", "href": format!("{}/compute/v2.1/", call.base_url) }],
    })
}

pub(in super::super) async fn versions(call: Call) -> Outcome {
    Reply::ok(&json!({ "versions": [legacy(&call), current(&call)] }))
}

pub(in super::super) async fn version(call: Call) -> Outcome {
    let mut version = current(&call);
    version["media-types"] = json!([{ "base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1" }]);
    Reply::ok(&json!({ "version": version }))
}
