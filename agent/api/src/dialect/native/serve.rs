//! From an HTTP request to an HTTP answer: the path every request takes, whatever its route.

use super::call::{Call, DIALECT, Failure};
use super::envelope::{self, Data, NativeOptions};
use super::route::{Method, Offer, Route};
use super::{audit, decode, event_stream, input, upload};
use crate::access::Access;
use crate::answer_cache::AnswerCache;
use crate::body::{drain, read_body};
use crate::context::{ApiContext, FrameErrors, NodeIdentity, Peer, RequestId};
use crate::frame::RouteLabel;
use crate::strict;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};
use hvnode_core::model::{Caller, DEFAULT_TENANT_UUID, Role};
use hvnode_core::{AgentError, Result, at, fail};
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio::sync::Semaphore;
use uuid::Uuid;

type Answer<T> = std::result::Result<T, Failure>;

/// What all routes share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) context: ApiContext,
    pub(super) options: NativeOptions,
    pub(super) cache: AnswerCache,
    /// Every path, to find the one that a wrong one most likely means.
    pub(super) paths: Vec<&'static str>,
    /// Event streams that may still be opened.
    pub(super) streams: Arc<Semaphore>,
    /// Answers that may still wait for an event.
    pub(super) long_polls: Arc<Semaphore>,
}

/// Answers a request to a known route.
pub(super) async fn serve(shared: Arc<Shared>, route: Arc<Route>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let mut response = answered(&shared, &route, &parts, &mut body).await;
    response.extensions_mut().insert(RouteLabel::Fixed(route.path));
    response
}

async fn answered(shared: &Shared, route: &Route, parts: &Parts, body: &mut Body) -> Response {
    let outcome = if route.offer == Offer::Stream {
        open_stream(shared, route, parts).map_err(Failure::from)
    } else {
        answer(shared, route, parts, body).await.map(envelope::ok)
    };
    match outcome {
        Ok(response) => response,
        Err(failure) => {
            // Ends at once where the body was read; else the client would not see the answer before it has sent all.
            drain(body).await;
            envelope::failed(&failure.error, &shared.context.node, shared.options, failure.job_uuid)
        }
    }
}

/// Answers a request to a route that does not exist: 10005, and the only HTTP status here that is not 200.
pub(super) async fn unknown_route(shared: Arc<Shared>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    drain(&mut body).await;
    let path = strict::shown(parts.uri.path());
    let error = match decode::closest(parts.uri.path(), shared.paths.iter().copied()) {
        Some(close) => fail!(NotSupported, "there is no route {path}, did you mean {close}?"; "没有路由 {path}，是否为 {close}？"),
        None => fail!(NotSupported, "there is no route {path}"; "没有路由 {path}"),
    };
    envelope::unknown_route(&error, &shared.context.node, shared.options)
}

async fn answer(shared: &Shared, route: &Route, parts: &Parts, body: &mut Body) -> Answer<Bytes> {
    check_method(route, &parts.method)?;
    let call = open_call(shared, route, parts).map_err(at!())?;
    match route.method {
        Method::Get => {
            let outcome = read(shared, route, &call, parts).await;
            outcome.inspect_err(|failure| audit::refused(&shared.context, &call.caller, route, &failure.error))
        }
        Method::Post => write(route, call, parts, body).await,
    }
}

fn open_stream(shared: &Shared, route: &Route, parts: &Parts) -> Result<Response> {
    check_method(route, &parts.method)?;
    let call = open_call(shared, route, parts).map_err(at!())?;
    route.access.check(&call.caller).inspect_err(|error| audit::refused(&shared.context, &call.caller, route, error))?;
    let query = input::query_object(parts.uri.query()).map_err(at!())?;
    event_stream::open(call, &shared.streams, &parts.headers, &query).map_err(at!())
}

fn check_method(route: &Route, method: &http::Method) -> Result<()> {
    let is_right = match route.method {
        Method::Get => method == http::Method::GET || method == http::Method::HEAD,
        Method::Post => method == http::Method::POST,
    };
    let (right, path) = (route.method.word(), route.path);
    if is_right { Ok(()) } else { Err(fail!(MethodNotAllowed, "{path} takes {right} only"; "{path} 只接受 {right}")) }
}

async fn read(shared: &Shared, route: &Route, call: &Call, parts: &Parts) -> Answer<Bytes> {
    route.access.check(&call.caller).map_err(at!())?;
    if route.offer != Offer::CachedRead {
        let query = input::query_object(parts.uri.query()).map_err(at!())?;
        return (route.handler)(call.clone(), query).await.map(|data| data.into_envelope(shared.options));
    }
    let (generation, query) = (call.snapshot().generation, parts.uri.query().unwrap_or(""));
    if let Some(answer) = shared.cache.get(generation, route.path, query) {
        return Ok(answer);
    }
    let object = input::query_object(Some(query)).map_err(at!())?;
    let answer = (route.handler)(call.clone(), object).await?.into_envelope(shared.options);
    shared.cache.put(generation, route.path, query, &answer);
    Ok(answer)
}

async fn write(route: &Route, mut call: Call, parts: &Parts, body: &mut Body) -> Answer<Bytes> {
    let mut object = Map::new();
    let result = match route.access.check(&call.caller).map_err(at!()) {
        Ok(()) => write_unlogged(route, &mut call, parts, body, &mut object).await,
        Err(error) => Err(error.into()),
    };
    if let Err(failure) = &result {
        audit::refused(&call.context, &call.caller, route, &failure.error);
    }
    let is_logged_here = matches!(route.offer, Offer::LogIn | Offer::Session | Offer::Action);
    match &result {
        Ok(_) if is_logged_here => audit::record(&call, route.resource, &object, None).await,
        Err(failure) if !failure.is_recorded => audit::record(&call, route.resource, &object, Some(&failure.error)).await,
        _ => {}
    }
    let options = call.options;
    result.map(|data| data.into_envelope(options))
}

/// `object` is filled as soon as the body is understood, so that a refusal can be logged with it.
async fn write_unlogged(route: &Route, call: &mut Call, parts: &Parts, body: &mut Body, object: &mut Map<String, Value>) -> Answer<Data> {
    if matches!(route.offer, Offer::NotBuilt | Offer::NotOnOneNode) {
        return (route.handler)(call.clone(), Map::new()).await;
    }
    if route.offer == Offer::Upload {
        *object = input::query_object(parts.uri.query()).map_err(at!())?;
        return upload::run(call, &parts.headers, body, object).await;
    }
    let bytes = read_body(std::mem::take(body), call.context.body_bytes_max).await.map_err(at!())?;
    input::check_content_type(&parts.headers, bytes.is_empty()).map_err(at!())?;
    *object = input::body_object(&bytes).map_err(at!())?;
    if let Some(name) = input::query_object(parts.uri.query()).map_err(at!())?.keys().next() {
        let name = strict::shown(name);
        return Err(fail!(ParameterInvalid, "{name} must stand in the body: a POST has no query parameters"; "{name} 应放在请求体中: POST 没有查询参数").into());
    }
    if route.offer == Offer::LogIn {
        call.caller.user_name = object.get("user_name").and_then(Value::as_str).map(strict::shown).unwrap_or_default();
    }
    (route.handler)(call.clone(), object.clone()).await
}

fn open_call(shared: &Shared, route: &Route, parts: &Parts) -> Result<Call> {
    let (context, options, long_polls) = (&shared.context, shared.options, shared.long_polls.clone());
    let unknown_peer = Peer::at("unknown");
    let peer = parts.extensions.get::<Peer>().unwrap_or(&unknown_peer);
    let request_id = parts.extensions.get::<RequestId>().map_or("", |id| &id.0);
    if route.access == Access::Public {
        let caller = stranger(peer, request_id);
        return Ok(Call { context: context.clone(), options, caller, token: None, path: route.path, long_polls });
    }
    let opened = token(&parts.headers).and_then(|token| {
        let caller = caller(context, peer, token.as_deref(), request_id)?;
        Ok(Call { context: context.clone(), options, caller, token, path: route.path, long_polls })
    });
    opened.inspect_err(|error| audit::refused(context, &stranger(peer, request_id), route, error))
}

fn caller(context: &ApiContext, peer: &Peer, token: Option<&str>, request_id: &str) -> Result<Caller> {
    match (token, &peer.trusted) {
        (Some(token), _) => context.accounts.authenticate(DIALECT, token, &peer.address, request_id).map_err(at!()),
        (None, Some(trusted)) => Ok(context.accounts.trusted_caller(DIALECT, trusted, &peer.address, request_id)),
        (None, None) => Err(fail!(TokenMissing)),
    }
}

/// Somebody who has not logged in yet.
fn stranger(peer: &Peer, request_id: &str) -> Caller {
    Caller {
        user_uuid: Uuid::nil(),
        user_name: String::new(),
        role: Role::Reader,
        tenant_uuid: DEFAULT_TENANT_UUID,
        dialect: DIALECT.to_owned(),
        client_address: peer.address.clone(),
        request_id: request_id.to_owned(),
    }
}

/// The token of `Authorization: <token>`; `Bearer <token>` and quotes around either are taken as well.
fn token(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().map_err(|_| fail!(TokenInvalid))?;
    let unquoted = |text: &str| text.trim().trim_matches('"').trim().to_owned();
    let text = unquoted(text);
    let token = match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => unquoted(token),
        _ => text,
    };
    Ok((!token.is_empty()).then_some(token))
}

/// How the frame words what goes wrong outside the handlers.
#[derive(Debug, Clone)]
pub struct NativeErrors {
    node: Arc<NodeIdentity>,
    options: NativeOptions,
}

impl NativeErrors {
    /// Needs to know who answers, for the `stack` field.
    pub fn new(node: Arc<NodeIdentity>, options: NativeOptions) -> Self {
        Self { node, options }
    }
}

impl FrameErrors for NativeErrors {
    fn respond(&self, error: &AgentError, _request_id: &str) -> Response {
        envelope::failed(error, &self.node, self.options, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_bare_with_bearer_and_in_quotes() {
        let read = |text: &str| token(&HeaderMap::from_iter([(header::AUTHORIZATION, text.parse().unwrap())])).unwrap();
        for text in ["abc", " abc ", "Bearer abc", "bearer  abc", "\"abc\"", "\"Bearer abc\"", "Bearer \"abc\""] {
            assert_eq!(read(text).as_deref(), Some("abc"), "{text}");
        }
        for text in ["", "\"\"", "Bearer "] {
            assert!(read(text).is_none_or(|token| token == "Bearer"), "{text}");
        }
        assert_eq!(token(&HeaderMap::new()).unwrap(), None);
    }
    #[test]
    fn what_the_frame_reports_has_the_envelope_and_is_counted_by_its_number() {
        let node = NodeIdentity { ip_address: "192.0.2.1".into(), process_id: 1, program: "hvnoded".into() };
        let response =
            NativeErrors::new(Arc::new(node), NativeOptions::default()).respond(&fail!(TooManyRequests, "later"; "稍后"), "request-1");
        assert_eq!(response.status(), http::StatusCode::OK);
        assert_eq!(response.extensions().get::<crate::context::ResultCode>().map(|code| code.0), Some(10012));
    }
}
