//! What surrounds every request of every dialect: identity, access log, metrics, health paths, limits, deadline, panic barrier.
//!
//! One plain async function around the dialect's router: a request passes it once, on the hot path of every read.

use crate::body::{GuardedBody, drain, too_large};
use crate::context::{FrameErrors, Peer, RequestId, ResultCode};
use crate::health::{Health, health_path};
use crate::metrics::{Metrics, RequestLabels};
use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request};
use hvnode_core::{AgentError, fail};
use prometheus::IntGauge;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tower::{Layer, Service};
use tracing::{Instrument, Span};
use uuid::Uuid;

/// Response (and accepted request) header with the request's identity.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest identity taken over from a client.
const REQUEST_ID_LENGTH_MAX: usize = 64;
/// Longest time for a request that brings a file; whoever takes the file has a tighter bound.
const UPLOAD_TIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Route label of requests that no route matched.
const UNMATCHED: &str = "unmatched";

/// Bounds on what clients may take; can change while running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameLimits {
    /// Longest time for one request, waiting for jobs included.
    pub request_timeout: Duration,
    /// Requests answered at the same time; a quarter of them is kept for reads.
    pub requests_max: usize,
    /// Most bytes of a request body.
    pub body_bytes_max: usize,
    /// Time for a request body to arrive.
    pub body_timeout: Duration,
    /// Time for the head of a request to arrive once its first byte has.
    pub header_timeout: Duration,
    /// Time for a TLS handshake, the client's first byte included.
    pub handshake_timeout: Duration,
    /// Time a connection may stay without a request.
    pub idle_timeout: Duration,
    /// Connections at the same time.
    pub connections_max: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(330),
            requests_max: 512,
            body_bytes_max: 1 << 20,
            body_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            connections_max: 1024,
        }
    }
}

/// What a frame is made from.
#[derive(Clone)]
pub struct FrameParts {
    /// Name of the dialect or listener: label of metrics and log lines.
    pub dialect: &'static str,
    /// Its routes.
    pub routes: Arc<dyn Routes>,
    /// Its words for what goes wrong outside its handlers.
    pub errors: Arc<dyn FrameErrors>,
    /// Bounds, shared by all frames.
    pub limits: Arc<ArcSwap<FrameLimits>>,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
    /// What the health paths tell.
    pub health: Arc<Health>,
    /// Are requests worth a line at level info, or only debug?
    pub is_logged_at_info: bool,
    /// Which requests bring a file: as long as bytes come, neither their length nor their duration is bounded here. Their handlers do that.
    pub is_upload: fn(&Method, &str) -> bool,
}

impl std::fmt::Debug for FrameParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameParts").field("dialect", &self.dialect).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The surroundings of one dialect; shared by all its sockets.
pub struct Frame {
    parts: FrameParts,
    requests: IntGauge,
    /// Of these, those that change something.
    changes: AtomicUsize,
    pub(crate) connections: IntGauge,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Frame").field(&self.parts).finish()
    }
}

impl Frame {
    /// A frame around a router.
    pub fn new(parts: FrameParts) -> Arc<Self> {
        let requests = parts.metrics.in_flight(parts.dialect);
        let connections = parts.metrics.connections(parts.dialect);
        Arc::new(Self { parts, requests, changes: AtomicUsize::new(0), connections })
    }

    /// Name of the dialect or listener.
    pub fn name(&self) -> &'static str {
        self.parts.dialect
    }

    pub(crate) fn limits(&self) -> Arc<FrameLimits> {
        self.parts.limits.load_full()
    }

    pub(crate) fn connection_refused(&self) {
        self.parts.metrics.connection_refused(self.parts.dialect);
    }

    /// Answers one request. With `is_surplus` (one connection too many) the answer is a refusal.
    pub async fn handle<B>(&self, peer: &Peer, mut request: Request<B>, is_surplus: bool) -> Response
    where
        B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let start = Instant::now();
        let request_id = request_id(request.headers());
        let method = request.method().clone();
        let health_path = health_path(request.uri().path());
        // Reads are many and change nothing; what changes something is worth a line.
        let is_logged_at_info = self.parts.is_logged_at_info && health_path.is_none() && !is_read(&method);
        let span = request_span(&request, &request_id, peer, is_logged_at_info);
        request.extensions_mut().insert(peer.clone());
        request.extensions_mut().insert(RequestId(request_id.clone()));
        let unlisted = peer.unlisted_certificate.as_deref();
        let mut response = self.answer(request, &request_id, is_surplus, unlisted).instrument(span.clone()).await;
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert(REQUEST_ID_HEADER, value);
        }
        let duration = start.elapsed();
        let outcome = Outcome::of(&response, health_path);
        let labels = RequestLabels { dialect: self.parts.dialect, route: outcome.route, method: &method, code: outcome.code };
        self.parts.metrics.observe_request(labels, duration);
        span.in_scope(|| outcome.log(is_logged_at_info, duration));
        response
    }

    async fn answer<B>(&self, request: Request<B>, request_id: &str, is_surplus: bool, unlisted: Option<&str>) -> Response
    where
        B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<axum::BoxError>,
    {
        if let Some(response) = self.parts.health.answer(request.method(), request.uri().path()) {
            return response;
        }
        let limits = self.parts.limits.load_full();
        let is_upload = (self.parts.is_upload)(request.method(), request.uri().path());
        let mut request = request.map(|body| match body.is_end_stream() {
            true => Body::empty(),
            false if is_upload => Body::new(GuardedBody::paced(body, limits.body_timeout)),
            false => Body::new(GuardedBody::new(body, limits.body_timeout)),
        });
        let in_flight = InFlight::enter(self, request.method());
        if is_surplus || in_flight.is_too_many(limits.requests_max) {
            // Whoever is refused takes no place from others while its body is read.
            drop(in_flight);
            let error = fail!(TooManyRequests, "the node is at its limit, try again later"; "节点已达上限, 请稍后重试");
            return self.refuse(&mut request, request_id, &error).await;
        }
        if let Some(names) = unlisted {
            drop(in_flight);
            let error = fail!(PermissionDenied,
                "the client certificate ({names}) is not listed in tls.client_names of the node";
                "节点的 tls.client_names 中未列出该客户端证书 ({names})");
            return self.refuse(&mut request, request_id, &error).await;
        }
        if !is_upload && announced_length(request.headers()).is_some_and(|length| length > limits.body_bytes_max as u64) {
            drop(in_flight);
            return self.refuse(&mut request, request_id, &too_large(limits.body_bytes_max)).await;
        }
        self.run(request, request_id, if is_upload { UPLOAD_TIME_MAX } else { limits.request_timeout }).await
    }

    /// Runs the dialect's handler behind deadline and panic barrier.
    async fn run(&self, request: Request<Body>, request_id: &str, time_limit: Duration) -> Response {
        let handler = AssertUnwindSafe(async { self.parts.routes.answer(request).await }).catch_unwind();
        match tokio::time::timeout(time_limit, handler).await {
            Ok(Ok(response)) => response,
            Ok(Err(_panic)) => {
                self.parts.metrics.panicked(self.parts.dialect);
                let error =
                    fail!(Internal, "the request ended in a defect of the daemon, see its log"; "请求触发了守护进程缺陷, 请查看日志");
                self.parts.errors.respond(&error, request_id)
            }
            Err(_elapsed) => {
                let seconds = time_limit.as_secs();
                let error = fail!(Timeout, "no answer within {seconds} seconds"; "{seconds} 秒内没有结果");
                self.parts.errors.respond(&error, request_id)
            }
        }
    }

    /// Answers without running anything. A body that is on its way is read and thrown away, so that the client sees the answer;
    /// the connection is closed after it.
    async fn refuse(&self, request: &mut Request<Body>, request_id: &str, error: &AgentError) -> Response {
        let waits_for_go_ahead = request.headers().contains_key(EXPECT);
        if !waits_for_go_ahead {
            drain(request.body_mut()).await;
        }
        let mut response = self.parts.errors.respond(error, request_id);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

fn request_span<B>(request: &Request<B>, request_id: &str, peer: &Peer, is_logged_at_info: bool) -> Span {
    let (method, path) = (request.method().as_str(), request.uri().path());
    if is_logged_at_info {
        tracing::info_span!("request", request_id, method, path, client = peer.address)
    } else {
        tracing::debug_span!("request", request_id, method, path, client = peer.address)
    }
}

/// What is logged and counted of an answer.
struct Outcome<'a> {
    status: u16,
    code: u32,
    route: &'a str,
}

impl<'a> Outcome<'a> {
    fn of(response: &'a Response, health_path: Option<&'static str>) -> Self {
        let status = response.status().as_u16();
        let code = response.extensions().get::<ResultCode>().map_or(u32::from(status), |code| code.0);
        let matched = response.extensions().get::<RouteLabel>().map(RouteLabel::as_str);
        Self { status, code, route: health_path.or(matched).unwrap_or(UNMATCHED) }
    }

    fn log(&self, is_at_info: bool, duration: Duration) {
        let (status, code) = (self.status, self.code);
        let duration_microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if is_at_info {
            tracing::info!(status, code, duration_microseconds, "answered");
        } else {
            tracing::debug!(status, code, duration_microseconds, "answered");
        }
    }
}

/// The client's own identity for the request if it is harmless in logs and headers, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-');
    let sent = headers.get(&REQUEST_ID_HEADER).and_then(|value| value.to_str().ok());
    match sent.filter(|text| (1..=REQUEST_ID_LENGTH_MAX).contains(&text.len()) && text.bytes().all(is_plain)) {
        Some(text) => text.to_owned(),
        None => new_request_id(),
    }
}

/// A uuid of version 7, its random part from this thread's own generator: the system's would cost a call for each request.
fn new_request_id() -> String {
    let mut random = [0_u8; 10];
    rand::fill(&mut random);
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let milliseconds = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
    let uuid = uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid();
    uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The part of all requests that changes may be. They wait for jobs, some for minutes, and must leave room for reads, which never wait long.
fn changes_max(requests_max: usize) -> usize {
    (requests_max - requests_max / 4).max(1)
}

/// Counts a request while it is answered, also when its client goes away.
struct InFlight<'a> {
    frame: &'a Frame,
    is_change: bool,
}

impl<'a> InFlight<'a> {
    fn enter(frame: &'a Frame, method: &Method) -> Self {
        let is_change = !is_read(method);
        frame.requests.inc();
        frame.changes.fetch_add(usize::from(is_change), Ordering::Relaxed);
        Self { frame, is_change }
    }

    /// Is this one more than may be?
    fn is_too_many(&self, requests_max: usize) -> bool {
        usize::try_from(self.frame.requests.get()).is_ok_and(|number| number > requests_max)
            || (self.is_change && self.frame.changes.load(Ordering::Relaxed) > changes_max(requests_max))
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.frame.requests.dec();
        self.frame.changes.fetch_sub(usize::from(self.is_change), Ordering::Relaxed);
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// What answers requests inside a frame. It says in the response's extensions which route it took ([`RouteLabel`]).
pub trait Routes: Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, request: Request<Body>) -> BoxFuture<'static, Response>;
}

/// The route that answered, as it stands in metrics: a path or a pattern of the program, never what the client sent.
#[derive(Debug, Clone)]
pub enum RouteLabel {
    /// A pattern that axum matched.
    Matched(MatchedPath),
    /// A path of a table.
    Fixed(&'static str),
}

impl RouteLabel {
    fn as_str(&self) -> &str {
        match self {
            Self::Matched(path) => path.as_str(),
            Self::Fixed(path) => path,
        }
    }
}

/// The routes of an axum router.
pub fn routes_of(router: Router) -> Arc<dyn Routes> {
    // With its state given, axum builds each route once and not for each request.
    Arc::new(RoutesOfRouter(router.layer(KeepRoute).with_state(())))
}

struct RoutesOfRouter(Router);

impl Routes for RoutesOfRouter {
    fn answer(&self, request: Request<Body>) -> BoxFuture<'static, Response> {
        let answer = self.0.clone().call(request);
        Box::pin(async move { answer.await.unwrap_or_else(|never| match never {}) })
    }
}

#[derive(Clone, Copy)]
struct KeepRoute;

impl<S> Layer<S> for KeepRoute {
    type Service = KeepRouteService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        KeepRouteService(inner)
    }
}

#[derive(Clone)]
struct KeepRouteService<S>(S);

impl<S> Service<Request<Body>> for KeepRouteService<S>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let route = request.extensions().get::<MatchedPath>().cloned().map(RouteLabel::Matched);
        let answer = self.0.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            if let Some(route) = route {
                response.extensions_mut().insert(route);
            }
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests;
