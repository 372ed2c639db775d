//! From an HTTP request to an HTTP answer: the path every request takes, whatever its route.

use super::auth;
use super::call::{Call, Outcome, Reply, Style, Token};
use super::errors::{self, Fault};
use super::table::{BodyKind, Mounted};
use super::{OpenStackOptions, change, convert, identity, version};
use crate::answer_cache::AnswerCache;
use crate::body::{drain, read_body};
use crate::context::{ApiContext, LongAnswer, Peer, RequestId};
use crate::strict;
use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use hvnode_core::model::{Caller, VmRecord};
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use uuid::Uuid;

/// Most parameters of one query.
const QUERY_PAIRS_MAX: usize = 1100;

/// What all routes share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) context: ApiContext,
    pub(super) options: OpenStackOptions,
    /// Servers whose create has not ended, as they were asked for: they are shown while a create that failed becomes a server in error.
    pub(super) creating: Mutex<HashMap<Uuid, Arc<VmRecord>>>,
    /// Lists as they were written last.
    pub(super) lists: AnswerCache,
}

/// Answers a request to a known path.
pub(super) async fn serve(shared: Arc<Shared>, rows: Arc<[Mounted]>, request: Request) -> Response {
    let (mut parts, mut body) = request.into_parts();
    let style = rows.first().map_or(Style::Identity, |row| row.style);
    let request_id = request_id(&parts);
    let base_url = base_url(&shared.options, &parts);
    let versioned = match style {
        Style::Compute | Style::Seed => Some(version::COMPUTE),
        Style::Volume => Some(version::VOLUME),
        _ => None,
    };
    let minor = versioned.map_or(Ok(0), |versioned| versioned.of(&parts.headers));
    let outcome = match (&minor, row_of(&rows, &parts.method)) {
        (Err(fault), _) => Err(fault.clone()),
        (_, None) => Err(Fault::new(405, format!("The method {} is not allowed for this resource.", parts.method))),
        (Ok(minor), Some(row)) => run(&shared, row, &mut parts, &mut body, *minor, &base_url).await,
    };
    drain(&mut body).await;
    let mut response = match outcome {
        Ok(reply) => success(reply),
        Err(fault) => errors::response(&fault, style, &request_id, &format!("{base_url}/identity")),
    };
    if response.status() == http::StatusCode::METHOD_NOT_ALLOWED {
        allow(&rows, response.headers_mut());
    }
    if let (Some(versioned), Ok(minor)) = (versioned, minor) {
        versioned.echo(minor, response.headers_mut());
    }
    mark(&mut response, &request_id, style);
    response
}

/// Answers a request to a path that does not exist.
pub(super) async fn unknown_route(shared: Arc<Shared>, request: Request) -> Response {
    let (parts, mut body) = request.into_parts();
    drain(&mut body).await;
    let (request_id, base_url) = (request_id(&parts), base_url(&shared.options, &parts));
    let path = parts.uri.path();
    let style = [
        ("/compute", Style::Compute),
        ("/v1/", Style::Seed),
        ("/image", Style::Image),
        ("/networking", Style::Network),
        ("/volume", Style::Volume),
    ]
    .iter()
    .find(|(prefix, _)| path.starts_with(prefix))
    .map_or(Style::Identity, |(_, style)| *style);
    let mut response = errors::response(&Fault::not_found("The resource could not be found."), style, &request_id, &base_url);
    mark(&mut response, &request_id, style);
    response
}

fn row_of<'a>(rows: &'a [Mounted], method: &Method) -> Option<&'a Mounted> {
    let find = |word: &str| rows.iter().find(|row| row.route.method == word);
    find(method.as_str()).or_else(|| if *method == Method::HEAD { find("GET") } else { None })
}

fn allow(rows: &[Mounted], headers: &mut HeaderMap) {
    let words: Vec<_> = rows.iter().map(|row| row.route.method).collect();
    if let Ok(value) = HeaderValue::from_str(&words.join(", ")) {
        headers.insert(header::ALLOW, value);
    }
}

async fn run(shared: &Arc<Shared>, row: &Mounted, parts: &mut Parts, body: &mut Body, version: u16, base_url: &str) -> Outcome {
    let mut params = path_values(parts).await?;
    let (caller, token) = auth::open(shared, row, parts)?;
    if row.has_project {
        check_project(params.first())?;
        params.remove(0);
    }
    check_project(parts.headers.get("x-project-id").and_then(|value| value.to_str().ok()).map(str::to_owned).as_ref())?;
    let mut call = Call {
        shared: shared.clone(),
        style: row.style,
        caller,
        token,
        version,
        base_url: base_url.to_owned(),
        action: format!("{} {}", row.route.method, row.path),
        params,
        query: strict::query_pairs(parts.uri.query().unwrap_or(""), QUERY_PAIRS_MAX)?,
        headers: std::mem::take(&mut parts.headers),
        body: Value::Null,
        stream: Body::empty().into(),
    };
    let caller = call.caller.clone();
    if let Err(fault) = auth::check(row.route.access, &caller) {
        auth::refused(shared, row, &caller, &fault);
        if row.route.is_change() {
            change::Note::of(&call).record(&shared.context, Some(&fault.as_error())).await;
        }
        return Err(fault);
    }
    match row.route.body {
        BodyKind::None => {}
        BodyKind::Json => call.body = json_body(&call, body).await?,
        BodyKind::Stream => call.stream = std::mem::take(body).into(),
    }
    if row.route.is_cached {
        return cached(row, call, parts.uri.query().unwrap_or("")).await;
    }
    let note = row.route.is_change().then(|| change::Note::of(&call));
    let caller = Caller { user_name: identity::claimed_name(&call), ..caller };
    let outcome = (row.route.handler)(call).await;
    if let Err(fault) = &outcome {
        auth::refused(shared, row, &caller, fault);
    }
    let refused = outcome.as_ref().err().filter(|fault| !fault.is_recorded).map(Fault::as_error);
    if let (Some(note), Some(error)) = (note, refused) {
        note.record(&shared.context, Some(&error)).await;
    }
    outcome
}

/// A list is written anew only when something that stands in it may have changed: it is polled by many.
async fn cached(row: &Mounted, call: Call, query: &str) -> Outcome {
    let (shared, context) = (call.shared.clone(), &call.shared.context);
    // Before the list is made: what it shows may be newer than its key says, never older.
    let generation = call.snapshot().generation;
    let mut users = DefaultHasher::new();
    for account in context.accounts.list() {
        (account.user_uuid, &account.user_name).hash(&mut users);
    }
    let (users, records, version) = (users.finish(), context.records.generation(), call.version);
    let key = format!("{users:x} {records} {version} {} {}?{query}", call.base_url, row.path);
    if let Some(body) = shared.lists.get(generation, row.route.path, &key) {
        return Ok(Reply::again(body));
    }
    let reply = (row.route.handler)(call).await?;
    if let (http::StatusCode::OK, Some(body)) = (reply.status, &reply.body) {
        shared.lists.put(generation, row.route.path, &key, body);
    }
    Ok(reply)
}

async fn path_values(parts: &mut Parts) -> Result<Vec<String>, Fault> {
    let params = RawPathParams::from_request_parts(parts, &()).await;
    let params = params.map_err(|_| Fault::bad_request("The path is not valid percent-encoded UTF-8."))?;
    Ok(params.iter().map(|(_, value)| value.to_owned()).collect())
}

/// Only the one project of this node may be named.
fn check_project(id: Option<&String>) -> Result<(), Fault> {
    match id {
        Some(id) if !convert::is_project(id) => {
            let shown: String = id.chars().take(64).collect();
            let right = convert::project_id();
            Err(Fault::bad_request(format!("Malformed request URL: project_id '{shown}' doesn't match the token's project_id '{right}'.")))
        }
        _ => Ok(()),
    }
}

async fn json_body(call: &Call, body: &mut Body) -> Result<Value, Fault> {
    let bytes = read_body(std::mem::take(body), call.shared.context.body_bytes_max).await?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let kind = call.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if kind != "application/json" && !kind.ends_with("+json") && !kind.ends_with("json-patch") {
        return Err(Fault::new(415, "Unsupported Content-Type: it must be application/json."));
    }
    if call.route_takes_list() {
        return serde_json::from_slice(&bytes).map_err(|_| Fault::bad_request("Malformed request body: it is not valid JSON."));
    }
    Ok(Value::Object(strict::json_object(&bytes)?))
}

fn success(reply: Reply) -> Response {
    let is_long = reply.stream.is_some();
    let mut response = Response::new(reply.stream.unwrap_or_else(|| reply.body.map_or_else(Body::empty, Body::from)));
    *response.status_mut() = reply.status;
    if is_long {
        response.extensions_mut().insert(LongAnswer);
    }
    let has_body = axum::body::HttpBody::size_hint(response.body()).upper() != Some(0);
    let headers = response.headers_mut();
    headers.extend(reply.headers);
    if has_body && !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

/// What every answer of every service carries.
pub(super) fn mark(response: &mut Response, request_id: &str, style: Style) {
    let Ok(value) = HeaderValue::from_str(request_id) else { return };
    let headers = response.headers_mut();
    headers.insert("x-openstack-request-id", value.clone());
    if matches!(style, Style::Compute | Style::Seed | Style::Volume) {
        headers.insert("x-compute-request-id", value.clone());
    }
    headers.insert(HeaderName::from_static("requestid"), value);
}

fn request_id(parts: &Parts) -> String {
    let id = parts.extensions.get::<RequestId>().map_or_else(|| Uuid::new_v4().to_string(), |id| id.0.clone());
    convert::request_id(&id)
}

/// Where this client reaches us: as configured, else as it says itself.
fn base_url(options: &OpenStackOptions, parts: &Parts) -> String {
    if !options.public_url.is_empty() {
        return options.public_url.trim_end_matches('/').to_owned();
    }
    let is_host = |text: &&str| {
        (1..=255).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']'))
    };
    let host = parts.headers.get(header::HOST).and_then(|value| value.to_str().ok()).or_else(|| parts.uri.host());
    let scheme = if parts.extensions.get::<Peer>().is_some_and(|peer| peer.is_encrypted) { "https" } else { "http" };
    format!("{scheme}://{}", host.filter(is_host).unwrap_or("localhost"))
}

/// Who asks, before it is known.
pub(super) fn peer_of(parts: &Parts) -> Peer {
    parts.extensions.get::<Peer>().cloned().unwrap_or_else(|| Peer::at("unknown"))
}

/// The caller and its token, where there is one.
pub(super) type Opened = (Caller, Option<Token>);
