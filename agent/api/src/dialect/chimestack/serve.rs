//! From an HTTP request to an HTTP answer: the path every request takes, whatever its route.

use super::call::{Call, Outcome};
use super::envelope::{self, ErrorKey};
use super::errors::Failure;
use super::input::{self, Input};
use super::route::{Offer, Reply, Route};
use super::{ChimeStackOptions, DIALECT};
use crate::accounts::RefusedCall;
use crate::body::{drain, read_body};
use crate::context::{ApiContext, Peer, RequestId};
use crate::strict;
use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, Method, header};
use hvnode_core::model::{Caller, DEFAULT_TENANT_UUID, Role};
use hvnode_core::{AgentError, Result, at, fail};
use serde_json::{Map, Value};
use std::sync::Arc;
use uuid::Uuid;

/// Most parameters of one query.
const QUERY_PARAMETERS_MAX: usize = 100;

/// What all routes share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) context: ApiContext,
    pub(super) options: Arc<ChimeStackOptions>,
}

/// Answers a request to a known path; `routes` are its methods, `path` the parameters in it, absent where they are not UTF-8.
pub(super) async fn serve(shared: Arc<Shared>, routes: Arc<[Arc<Route>]>, path: Option<RawPathParams>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    let request_id = request_id(&parts);
    let method = if parts.method == Method::HEAD { &Method::GET } else { &parts.method };
    let outcome = match routes.iter().find(|route| route.method == *method) {
        Some(route) => answer(&shared, route, path.as_ref(), &parts, &mut body, &request_id).await,
        None => Err(unknown(&parts).into()),
    };
    match outcome {
        Ok((result, error_key)) => envelope::ok(&request_id, result, error_key),
        Err(failure) => {
            // Ends at once where the body was read; else the client would not see the answer before it has sent all.
            drain(&mut body).await;
            envelope::failed(&request_id, &failure)
        }
    }
}

/// Answers a request to a path that does not exist.
pub(super) async fn unknown_route(request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    drain(&mut body).await;
    envelope::failed(&request_id(&parts), &unknown(&parts).into())
}

fn unknown(parts: &Parts) -> hvnode_core::AgentError {
    let (method, path) = (strict::shown(parts.method.as_str()), strict::shown(parts.uri.path()));
    fail!(MethodNotAllowed, "there is no route {method} {path}"; "没有路由 {method} {path}")
}

fn request_id(parts: &Parts) -> String {
    envelope::request_uuid(parts.extensions.get::<RequestId>().map(|id| id.0.as_str()))
}

type Answer = std::result::Result<(Value, ErrorKey), Failure>;

async fn answer(
    shared: &Shared,
    route: &Arc<Route>,
    path: Option<&RawPathParams>,
    parts: &Parts,
    body: &mut Body,
    request_id: &str,
) -> Answer {
    let mut call = open_call(shared, route, parts, request_id).map_err(at!())?;
    let outcome = run(&mut call, path, parts, body).await;
    let error = outcome.as_ref().err();
    if let Some(failure) = error {
        refused(&call.context, route, &call.caller, &failure.error);
    }
    if is_logged_here(route, error) {
        call.record(error.map(|failure| &failure.error)).await;
    }
    let error_key = if route.offer == Offer::Session { ErrorKey::Null } else { ErrorKey::Absent };
    outcome.map(|result| (result, error_key))
}

/// The engine logs its changes. Of strangers only log-ins get a row, which are limited, and what they end: nobody may fill the disk.
fn is_logged_here(route: &Route, error: Option<&Failure>) -> bool {
    match (route.offer, error) {
        _ if route.method == Method::GET => false,
        (Offer::Session, None) => route.path != "/v1/auth",
        (Offer::Session, Some(_)) => route.path == "/v1/login",
        (Offer::Action, None) => true,
        (_, None) => false,
        (_, Some(failure)) => !failure.is_recorded,
    }
}

async fn run(call: &mut Call, path: Option<&RawPathParams>, parts: &Parts, body: &mut Body) -> Outcome {
    let route = call.route.clone();
    route.access.check(&call.caller).map_err(at!())?;
    if !route.is_open() && call.snapshot.capabilities.is_none() {
        return Err(fail!(HypervisorUnavailable, "not reached yet since the daemon started, try again").into());
    }
    let path = path.ok_or_else(|| fail!(ParameterInvalid, "the path is not UTF-8"))?;
    let path: Vec<(&str, &str)> = path.iter().collect();
    if let Offer::Refused(why) = route.offer {
        let input = input::read(&[], &path, Vec::new(), &Map::new()).map_err(at!())?;
        call.node().check_path(&input)?;
        return Err(Failure::single_node(fail!(NotSupported, "{why}")));
    }
    let sent = if route.method == Method::GET { Map::new() } else { read_object(call, parts, body).await? };
    call.logged = input::logged(&route.fields, &sent);
    if route.offer == Offer::Session {
        call.caller.user_name = sent.get("user_name").and_then(Value::as_str).map(strict::shown).unwrap_or_default();
    }
    let query = strict::query_pairs(parts.uri.query().unwrap_or(""), QUERY_PARAMETERS_MAX).map_err(at!())?;
    let input = input::read(&route.fields, &path, query, &sent).map_err(at!())?;
    if let Value::Object(logged) = &mut call.logged {
        logged.extend(path.iter().filter_map(|(name, _)| Some(((*name).to_owned(), input.value(name)?.clone()))));
    }
    check_node(call, &route, &input)?;
    (route.handler)(call.clone(), input).await
}

/// A list finds nothing elsewhere; everything else must name this node.
fn check_node(call: &Call, route: &Route, input: &Input) -> std::result::Result<(), Failure> {
    let node = call.node();
    node.check_path(input)?;
    if matches!(route.reply, Reply::List(_)) { Ok(()) } else { node.check_parameters(input) }
}

async fn read_object(call: &Call, parts: &Parts, body: &mut Body) -> Result<Map<String, Value>> {
    let bytes = read_body(std::mem::take(body), call.context.body_bytes_max).await.map_err(at!())?;
    if !bytes.is_empty() {
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        if !kind.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/json") {
            return Err(fail!(ParseParameter, "the header Content-Type must be application/json"));
        }
    }
    strict::json_object(&bytes).map_err(at!())
}

fn open_call(shared: &Shared, route: &Arc<Route>, parts: &Parts, request_id: &str) -> Result<Call> {
    let peer = parts.extensions.get::<Peer>();
    let address = peer.map_or("unknown", |peer| peer.address.as_str());
    let context = shared.context.clone();
    let stranger = stranger(address, request_id);
    let caller = if route.is_open() {
        stranger
    } else if let (Some(trusted), false) = (peer.and_then(|peer| peer.trusted.as_ref()), parts.headers.contains_key(header::AUTHORIZATION))
    {
        context.accounts.trusted_caller(DIALECT, trusted, address, request_id)
    } else {
        let caller =
            bearer(&parts.headers).and_then(|token| context.accounts.authenticate(DIALECT, &token, address, request_id).map_err(at!()));
        caller.inspect_err(|error| refused(&context, route, &stranger, error))?
    };
    let snapshot = context.engine.snapshot();
    let logged = Value::Object(Map::new());
    Ok(Call { context, options: shared.options.clone(), route: route.clone(), caller, snapshot, logged })
}

/// Counts a refusal and tells it in the log; passes over what is none.
fn refused(context: &ApiContext, route: &Route, caller: &Caller, error: &AgentError) {
    let Caller { dialect, client_address, user_name, request_id, .. } = caller;
    let is_log_in = route.offer == Offer::Session;
    context.accounts.refused(RefusedCall { dialect, client_address, user_name, action: route.path, request_id, is_log_in }, error);
}

/// Somebody who sends no token, or one in the body.
fn stranger(address: &str, request_id: &str) -> Caller {
    Caller {
        user_uuid: Uuid::nil(),
        user_name: String::new(),
        role: Role::Reader,
        tenant_uuid: DEFAULT_TENANT_UUID,
        dialect: DIALECT.to_owned(),
        client_address: address.to_owned(),
        request_id: request_id.to_owned(),
    }
}

/// The token of `Authorization: Bearer <token>`.
fn bearer(headers: &HeaderMap) -> Result<String> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Err(fail!(TokenMissing)) };
    let text = value.to_str().map_err(|_| fail!(TokenInvalid))?;
    match text.trim().split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => Ok(token.trim().to_owned()),
        _ => Err(fail!(TokenInvalid)),
    }
}
