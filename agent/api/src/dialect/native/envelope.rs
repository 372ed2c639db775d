//! The one shape of every answer: `{status_code, message, message_en, message_cn, stack, data}`, HTTP 200 but for unknown routes.
//!
//! The documents this API follows show the English message under two names, `message` and `message_en`; both are there and equal, unless
//! the configuration drops the second.

use crate::context::{NodeIdentity, ResultCode};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use hvnode_core::error::Place;
use hvnode_core::{AgentError, Result, fail};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// Header that names the job of a change that was accepted and then failed, where `data` is null.
pub(super) const JOB_HEADER: &str = "x-job-uuid";

const SUCCESS_HEAD: &str = r#"{"status_code":0,"message":"Success","message_en":"Success","message_cn":"成功","stack":null,"data":"#;
const SUCCESS_HEAD_SHORT: &str = r#"{"status_code":0,"message":"Success","message_cn":"成功","stack":null,"data":"#;

/// The English message of a success.
pub(super) const SUCCESS: &str = "Success";
/// The Chinese one.
pub(super) const SUCCESS_CN: &str = "成功";

/// How answers look where the documents of this API leave a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NativeOptions {
    /// Is `message_en` sent beside `message`?
    pub has_message_en: bool,
}

impl Default for NativeOptions {
    fn default() -> Self {
        Self { has_message_en: true }
    }
}

/// What a handler gives: JSON text, made once, straight from the objects.
#[derive(Debug, Clone)]
pub(super) struct Data(Vec<u8>);

impl Data {
    /// Encodes `value`.
    ///
    /// # Errors
    /// `Internal` where the value has no JSON form.
    pub(super) fn of(value: &impl Serialize) -> Result<Self> {
        serde_json::to_vec(value).map(Self).map_err(|e| fail!(Internal, "the answer could not be encoded"; "无法编码响应").caused_by(e))
    }

    /// The whole answer around it.
    pub(super) fn into_envelope(self, options: NativeOptions) -> Bytes {
        let head = if options.has_message_en { SUCCESS_HEAD } else { SUCCESS_HEAD_SHORT };
        let mut text = Vec::with_capacity(head.len() + self.0.len() + 1);
        text.extend_from_slice(head.as_bytes());
        text.extend_from_slice(&self.0);
        text.push(b'}');
        Bytes::from(text)
    }
}

/// Every answer; also one entry of a batch answer, where `data` always names the entry's object.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Envelope)]
pub(super) struct Envelope {
    /// 0 for success, else a number of the error table. Clients decide by this alone.
    status_code: u32,
    /// English message.
    message: String,
    /// The same as `message`; absent where the node is configured so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    message_en: Option<String>,
    /// Chinese message.
    message_cn: String,
    /// Where the error was made and what it passed on its way up, innermost first:
    /// `ip:…,pid:…,bin:…,code:…,filename:…,func:…,line:…`. Null on success.
    #[schema(required)]
    stack: Option<Vec<String>>,
    /// What was asked for; null on failure.
    #[schema(required)]
    data: Option<Value>,
}

impl Envelope {
    /// Success around `data`.
    pub(super) fn success(data: Value, options: NativeOptions) -> Self {
        Self {
            status_code: 0,
            message: SUCCESS.to_owned(),
            message_en: options.has_message_en.then(|| SUCCESS.to_owned()),
            message_cn: SUCCESS_CN.to_owned(),
            stack: None,
            data: Some(data),
        }
    }

    /// Failure; `data` only inside a batch.
    pub(super) fn failure(error: &AgentError, node: &NodeIdentity, options: NativeOptions, data: Option<Value>) -> Self {
        Self {
            status_code: error.code().number(),
            message: error.message(),
            message_en: options.has_message_en.then(|| error.message()),
            message_cn: error.message_cn(),
            stack: Some(stack(error.places(), error.code().number(), node)),
            data,
        }
    }

    pub(super) fn is_success(&self) -> bool {
        self.status_code == 0
    }
}

/// The `stack` field: no spaces, no value from the request.
pub(super) fn stack(places: &[Place], number: u32, node: &NodeIdentity) -> Vec<String> {
    let NodeIdentity { ip_address, process_id, program } = node;
    places
        .iter()
        .map(|Place { file, function, line }| {
            format!("ip:{ip_address},pid:{process_id},bin:{program},code:{number},filename:{file},func:{function},line:{line}")
        })
        .collect()
}

/// HTTP 200 around a whole envelope.
pub(super) fn ok(envelope: Bytes) -> Response {
    response(StatusCode::OK, envelope, 0)
}

/// HTTP 200 around an error.
pub(super) fn failed(error: &AgentError, node: &NodeIdentity, options: NativeOptions, job_uuid: Option<Uuid>) -> Response {
    let mut response = response(StatusCode::OK, encode_failure(error, node, options), error.code().number());
    if let Some(value) = job_uuid.and_then(|uuid| HeaderValue::from_str(&uuid.to_string()).ok()) {
        response.headers_mut().insert(JOB_HEADER, value);
    }
    response
}

/// HTTP 404 around an error: the answer to an unknown route, and only to that.
pub(super) fn unknown_route(error: &AgentError, node: &NodeIdentity, options: NativeOptions) -> Response {
    response(StatusCode::NOT_FOUND, encode_failure(error, node, options), error.code().number())
}

fn encode_failure(error: &AgentError, node: &NodeIdentity, options: NativeOptions) -> Bytes {
    // Strings and numbers only: encoding cannot fail, and if it did, an empty object still ends the request.
    serde_json::to_vec(&Envelope::failure(error, node, options, None)).map_or_else(|_| Bytes::from_static(b"{}"), Bytes::from)
}

fn response(status: StatusCode, body: Bytes, number: u32) -> Response {
    let mut response = Response::new(axum::body::Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(ResultCode(number));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::borrow::Cow;

    fn node() -> NodeIdentity {
        NodeIdentity { ip_address: "192.0.2.5".into(), process_id: 31823, program: "hvnoded".into() }
    }

    fn error() -> AgentError {
        let place = Place { file: Cow::Borrowed("lifecycle.rs"), function: Cow::Borrowed("stop"), line: 226 };
        AgentError::at(place, hvnode_core::ErrorCode::VmStateNotAllowed, hvnode_core::error::Detail::both("stopped", "已停止"))
    }

    #[test]
    fn a_failure_has_both_languages_and_the_exact_stack_form() {
        insta::assert_json_snapshot!(Envelope::failure(&error(), &node(), NativeOptions::default(), None), @r#"
        {
          "status_code": 13002,
          "message": "Vm state not allowed: stopped",
          "message_en": "Vm state not allowed: stopped",
          "message_cn": "虚拟机状态不允许: 已停止",
          "stack": [
            "ip:192.0.2.5,pid:31823,bin:hvnoded,code:13002,filename:lifecycle.rs,func:stop,line:226"
          ],
          "data": null
        }
        "#);
    }

    #[test]
    fn both_ways_to_write_a_success_give_the_same_text() {
        let data = json!({"vm": {"vm_name": "数据库"}});
        for has_message_en in [true, false] {
            let options = NativeOptions { has_message_en };
            let fast = Data::of(&data).unwrap().into_envelope(options);
            assert_eq!(fast, serde_json::to_vec(&Envelope::success(data.clone(), options)).unwrap());
        }
    }

    #[test]
    fn the_second_english_message_is_dropped_where_it_is_not_wanted() {
        let options = NativeOptions { has_message_en: false };
        let failure = serde_json::to_value(Envelope::failure(&error(), &node(), options, None)).unwrap();
        let keys: Vec<_> = failure.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["data", "message", "message_cn", "stack", "status_code"]);
    }

    #[test]
    fn a_deep_stack_stays_within_its_bound() {
        let mut error = error();
        for _ in 0..40 {
            error = error.passing(hvnode_core::here!());
        }
        assert_eq!(stack(error.places(), 1, &node()).len(), 16);
    }
}
