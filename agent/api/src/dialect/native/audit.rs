//! Rows of the operation log for what the engine does not see: sessions, cancels, and changes refused before they reached it.
//!
//! Requests nobody vouches for (no token, a wrong one) leave no row, and other refusals only within a budget: nobody must be able to fill
//! the disk. Every refusal is counted and told in the log.

use super::call::Call;
use super::resource::Resource;
use super::route::Route;
use crate::access::Access;
use crate::accounts::RefusedCall;
use crate::context::ApiContext;
use hvnode_core::AgentError;
use hvnode_core::model::{Caller, Operation, Timestamp};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Most bytes of a refused request that a row keeps.
const REQUEST_BYTES_MAX: usize = 16 << 10;
/// Most characters of a name that a row keeps.
const NAME_LENGTH_MAX: usize = 128;

/// Writes one row. A store that cannot write is told in the log; the answer stays what it is.
pub(super) async fn record(call: &Call, resource: Option<&Resource>, object: &Map<String, Value>, error: Option<&AgentError>) {
    if error.is_some_and(|error| !call.context.accounts.may_have_row(&call.caller, error)) {
        return;
    }
    let now = Timestamp::now();
    let text = |field: fn(&Resource) -> &'static str| object.get(field(resource?)).and_then(Value::as_str);
    let resource_uuid = text(|resource| resource.uuid_field).and_then(|text| Uuid::try_parse(text).ok());
    let stored_name =
        resource.zip(resource_uuid).and_then(|(resource, uuid)| call.snapshot().name_of(resource.kind, uuid)).unwrap_or_default();
    let operation = Operation {
        operation_uuid: Uuid::now_v7(),
        caller: call.caller.clone(),
        action: call.path.to_owned(),
        resource_type: resource.map(|resource| resource.kind),
        resource_uuid,
        resource_name: text(|resource| resource.name_field).map_or(stored_name, |name| name.chars().take(NAME_LENGTH_MAX).collect()),
        request: bounded(super::redact::for_log(object)),
        error: error.map(AgentError::record),
        job_uuid: None,
        create_time: now,
        finish_time: Some(now),
    };
    if let Err(failure) = call.context.engine.record_operation(operation).await {
        tracing::warn!(request_id = %call.caller.request_id, error = %failure.chain(), "the operation log could not be written");
    }
}

/// Counts a refusal and tells it in the log; passes over what is none.
pub(super) fn refused(context: &ApiContext, caller: &Caller, route: &Route, error: &AgentError) {
    let Caller { dialect, client_address, user_name, request_id, .. } = caller;
    let is_log_in = route.access == Access::Public;
    context.accounts.refused(RefusedCall { dialect, client_address, user_name, action: route.path, request_id, is_log_in }, error);
}

fn bounded(request: Value) -> Value {
    let length = request.to_string().len();
    if length <= REQUEST_BYTES_MAX { request } else { json!({ "omitted_bytes": length }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_refused_request_is_not_kept() {
        assert_eq!(bounded(json!({"a": 1})), json!({"a": 1}));
        assert!(bounded(json!({"a": "x".repeat(100_000)})).to_string().len() < 100);
    }
}
