//! From an HTTP request to an HTTP answer: one message in, one job out.

use super::call::{Call, Reply};
use super::errors::{Fault, UNKNOWN_MESSAGE};
use super::fields::Fields;
use super::job::{self, Posted};
use super::table::{self, Act, Message};
use super::{DIALECT, ZStackOptions, audit, change, query, record};
use crate::accounts::RefusedCall;
use crate::body::{drain, read_body};
use crate::context::{ApiContext, Peer, RequestId, ResultCode};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Method, StatusCode, header};
use hvnode_core::model::{Caller, DEFAULT_TENANT_UUID, Role, Timestamp};
use hvnode_core::{AgentError, Result, at, fail};
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio::sync::Mutex;
use uuid::Uuid;

/// Longest class name that is echoed.
const CLASS_LENGTH_MAX: usize = 256;

/// What all requests share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) context: ApiContext,
    pub(super) options: ZStackOptions,
    /// See [`Call::turn`].
    pub(super) turn: Arc<Mutex<()>>,
}

/// `POST /zstack/api`.
pub(super) async fn post(shared: Arc<Shared>, request: Request) -> Response {
    let start = Timestamp::now();
    let (parts, mut body) = request.into_parts();
    if !matches!(parts.method, Method::POST | Method::PUT) {
        drain(&mut body).await;
        return text(&fail!(MethodNotAllowed, "send messages with POST or PUT"; "请用 POST 或 PUT 发送消息"));
    }
    let read = read_body(body, shared.context.body_bytes_max).await.map_err(at!());
    let (class, value) = match read.and_then(|bytes| one_message(&bytes)) {
        Ok(message) => message,
        Err(error) => return text(&error),
    };
    let outcome = dispatch(&shared, &parts, &class, value).await;
    let code = outcome.as_ref().err().map_or(0, |fault| fault.error.code().number());
    let posted = match outcome {
        Ok(Handled::Reply(reply)) => Posted::done(start, job::result_text(&reply_class(&class), Ok(reply))),
        Ok(Handled::Accepted(posted)) => posted,
        Err(fault) => Posted::done(start, job::result_text(&reply_class(&class), Err(&fault))),
    };
    json(StatusCode::OK, &posted.body(), code)
}

/// `GET /zstack/api/result/{uuid}`.
pub(super) async fn result(shared: Arc<Shared>, uuid: String, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    drain(&mut body).await;
    if !matches!(parts.method, Method::GET | Method::HEAD | Method::PUT) {
        return text(&fail!(MethodNotAllowed, "ask for results with GET"; "请用 GET 查询结果"));
    }
    match job::find(&shared.context, &uuid).await {
        Ok(posted) => json(StatusCode::OK, &posted.body(), posted.code),
        Err(error) => text(&error),
    }
}

/// Anything else.
pub(super) async fn unknown_path(request: Request) -> Response {
    let mut body = request.into_body();
    drain(&mut body).await;
    (StatusCode::NOT_FOUND, "there is no such page; messages go to /zstack/api\n").into_response()
}

/// An answer to what is no message: HTTP status and a line of text.
pub(super) fn text(error: &AgentError) -> Response {
    let status = StatusCode::from_u16(error.code().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, error.message() + "\n").into_response();
    response.extensions_mut().insert(ResultCode(error.code().number()));
    response
}

fn json(status: StatusCode, body: &Value, code: u32) -> Response {
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response();
    response.extensions_mut().insert(ResultCode(code));
    response
}

/// The one entry of the body.
fn one_message(bytes: &[u8]) -> Result<(String, Value)> {
    let parsed: std::result::Result<Map<String, Value>, _> = serde_json::from_slice(bytes);
    let object =
        parsed.map_err(|error| fail!(ParseParameter, "the body must be a JSON object: {error}"; "请求体须为 JSON 对象: {error}"))?;
    let count = object.len();
    match (object.into_iter().next(), count) {
        (Some((class, value)), 1) if class.len() <= CLASS_LENGTH_MAX => Ok((class, value)),
        (Some(_), 1) => Err(fail!(ParseParameter, "the name of the message is too long"; "消息名称过长")),
        _ => Err(fail!(ParseParameter,
            "the body must have one entry, the message, and has {count}"; "请求体须仅有一项 (消息)，实际有 {count} 项")),
    }
}

/// The class that answers a message.
pub(super) fn reply_class(class: &str) -> String {
    match table::find(class) {
        Some(message) => message.reply_class(),
        None => format!("{}Reply", class.strip_suffix("Msg").unwrap_or(class)),
    }
}

enum Handled {
    Reply(Reply),
    Accepted(Posted),
}

async fn dispatch(shared: &Shared, parts: &Parts, class: &str, value: Value) -> std::result::Result<Handled, Fault> {
    let Some(message) = table::find(class) else {
        let shown = class.escape_debug().to_string();
        let error = fail!(NotSupported, "there is no message {shown}"; "没有消息 {shown}");
        return Err(Fault::with_code(UNKNOWN_MESSAGE, error));
    };
    let Value::Object(object) = value else {
        return Err(fail!(ParameterInvalid, "the value of the message must be an object"; "消息内容须为 JSON 对象").into());
    };
    let fields = Fields(object);
    let mut call = open_call(shared, parts, message, &fields).map_err(at!())?;
    let outcome = act(&mut call, message, fields.clone()).await;
    if let Err((fault, _)) = &outcome {
        refused(&shared.context, message, &call.caller, &fault.error);
    }
    if let Err((fault, false)) = &outcome
        && (message.is_change() || matches!(message.act, Act::Session(_)))
    {
        audit::record(&call, &fields, Some(&fault.error)).await;
    }
    outcome.map_err(|(fault, _)| fault)
}

/// Runs the handler; an error tells whether the operation log has it.
async fn act(call: &mut Call, message: &'static Message, fields: Fields) -> std::result::Result<Handled, (Fault, bool)> {
    let unlogged = |fault: Fault| (fault, false);
    message.access().check(&call.caller).map_err(at!()).map_err(|error| unlogged(error.into()))?;
    match message.act {
        Act::Query(kind) => query::run(call, kind, &fields).map(Handled::Reply).map_err(unlogged),
        Act::Look(look) => look(call, &fields).map(Handled::Reply).map_err(unlogged),
        Act::Ask(ask) => ask(call.clone(), fields).await.map(Handled::Reply).map_err(unlogged),
        Act::Session(ask) => {
            call.caller.user_name = fields.text("accountName").ok().flatten().unwrap_or_default().chars().take(64).collect();
            ask(call.clone(), fields).await.map(Handled::Reply).map_err(unlogged)
        }
        Act::Change(_, decode, _) => {
            let input = decode(call, &fields).map_err(unlogged)?;
            // From here on the engine writes the operation log.
            change::submit(call, &fields, input).await.map(Handled::Accepted).map_err(|error| (error.into(), true))
        }
        Act::Record(ask) => {
            let reply = ask(call.clone(), fields.clone()).await.map_err(unlogged)?;
            let posted = record::finished(call, &fields, reply).await.map_err(|error| (error.into(), true))?;
            Ok(Handled::Accepted(posted))
        }
        Act::Missing(code, why, why_cn) => Err((Fault::with_code(code, fail!(NotSupported, "{why}"; "{why_cn}")), false)),
    }
}

fn open_call(shared: &Shared, parts: &Parts, message: &'static Message, fields: &Fields) -> Result<Call> {
    let unknown_peer = Peer::at("unknown");
    let peer = parts.extensions.get::<Peer>().unwrap_or(&unknown_peer);
    let request_id = parts.extensions.get::<RequestId>().map_or_else(|| Uuid::new_v4().to_string(), |id| id.0.clone());
    let stranger = stranger(peer, request_id);
    let caller = if message.needs_session() {
        let session = fields.0.get("session").and_then(|session| session.get("uuid")).and_then(Value::as_str);
        let token = session.map(str::trim).filter(|token| !token.is_empty());
        let accounts = &shared.context.accounts;
        let caller = match (token, &peer.trusted) {
            (Some(token), _) => accounts.authenticate(DIALECT, token, &peer.address, &stranger.request_id).map_err(at!()),
            (None, Some(trusted)) => Ok(accounts.trusted_caller(DIALECT, trusted, &peer.address, &stranger.request_id)),
            (None, None) => Err(fail!(TokenMissing)),
        };
        caller.inspect_err(|error| refused(&shared.context, message, &stranger, error))?
    } else {
        stranger
    };
    Ok(Call { context: shared.context.clone(), options: shared.options.clone(), caller, class: message.class, turn: shared.turn.clone() })
}

/// Counts a refusal and tells it in the log; passes over what is none.
fn refused(context: &ApiContext, message: &Message, caller: &Caller, error: &AgentError) {
    let Caller { dialect, client_address, user_name, request_id, .. } = caller;
    let is_log_in = matches!(message.act, Act::Session(_));
    context.accounts.refused(RefusedCall { dialect, client_address, user_name, action: message.class, request_id, is_log_in }, error);
}

/// Somebody who has not logged in.
fn stranger(peer: &Peer, request_id: String) -> Caller {
    Caller {
        user_uuid: Uuid::nil(),
        user_name: String::new(),
        role: Role::Reader,
        tenant_uuid: DEFAULT_TENANT_UUID,
        dialect: DIALECT.to_owned(),
        client_address: peer.address.clone(),
        request_id,
    }
}
