//! The one form of every answer: `{"requestId", "result"}`, or `{"error", "requestId", "result": null}`.

use super::errors::Failure;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Does a success carry `"error": null`? The samples of sessions do, all others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorKey {
    Absent,
    Null,
}

/// The identity of a request as answers show it: the frame's if it is a uuid, as clients expect one.
pub(super) fn request_uuid(frame_id: Option<&str>) -> String {
    frame_id.and_then(|id| Uuid::try_parse(id).ok()).unwrap_or_else(Uuid::new_v4).to_string()
}

pub(super) fn ok(request_id: &str, result: Value, error_key: ErrorKey) -> Response {
    let mut body = Map::new();
    body.insert("requestId".into(), request_id.into());
    if error_key == ErrorKey::Null {
        body.insert("error".into(), Value::Null);
    }
    body.insert("result".into(), result);
    respond(StatusCode::OK, &Value::Object(body))
}

pub(super) fn failed(request_id: &str, failure: &Failure) -> Response {
    let error = json!({ "code": failure.code, "message": failure.message, "status": failure.status });
    let status = StatusCode::from_u16(failure.http_status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond(status, &json!({ "error": error, "requestId": request_id, "result": null }))
}

fn respond(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
