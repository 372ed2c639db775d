//! What a handler is given and what it gives back.

use super::errors::Fault;
use super::serve::Shared;
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hvnode_core::engine::Snapshot;
use hvnode_core::fail;
use hvnode_core::model::{Caller, Readings};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// The outward service of a route: decides links, faults and headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Style {
    /// Keystone.
    Identity,
    /// Nova.
    Compute,
    /// Nova under `/v1/{project_id}`.
    Seed,
    /// Glance.
    Image,
    /// Neutron.
    Network,
    /// Cinder.
    Volume,
}

/// A token as it came.
#[derive(Debug, Clone)]
pub(super) struct Token {
    /// Without the mark of its scope.
    pub(super) secret: String,
    /// False for one that opens the identity service only.
    pub(super) is_scoped: bool,
}

/// One request, authenticated where its route asks for it.
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) style: Style,
    /// Who asks.
    pub(super) caller: Caller,
    /// None from trusted peers and where none is needed.
    pub(super) token: Option<Token>,
    /// Minor number of the negotiated version.
    pub(super) version: u16,
    /// `http://host:port`, as the client reaches this listener.
    pub(super) base_url: String,
    /// `METHOD /path` of the route, for the operation log.
    pub(super) action: String,
    /// Values of the path's names, in order.
    pub(super) params: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    /// The body as JSON; null where there is none.
    pub(super) body: Value,
    /// The body where the route takes bytes. A lock only because a body cannot be shared; nobody waits for it.
    pub(super) stream: parking_lot::Mutex<Body>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("action", &self.action).field("params", &self.params).finish_non_exhaustive()
    }
}

impl Call {
    /// The current picture of the node.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.context.engine.snapshot()
    }

    /// The latest samples of host and VMs.
    pub(super) fn readings(&self) -> Arc<Readings> {
        self.shared.context.engine.readings()
    }

    /// A value of the path; the table names as many as the handler asks for.
    pub(super) fn param(&self, index: usize) -> &str {
        self.params.get(index).map_or("", String::as_str)
    }

    /// A value of the path as a UUID. A name in its place is nothing that exists: clients look names up that way.
    pub(super) fn uuid(&self, index: usize) -> Option<Uuid> {
        Uuid::try_parse(self.param(index)).ok()
    }

    /// The first value of a query parameter.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a query parameter.
    pub(super) fn queries<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A JSON patch is the one body that is a list.
    pub(super) fn route_takes_list(&self) -> bool {
        self.action.starts_with("PATCH ")
    }

    /// Where compute answers, for links.
    pub(super) fn compute_url(&self) -> String {
        match self.style {
            Style::Seed => format!("{}/v1/{}", self.base_url, super::convert::project_id()),
            _ => format!("{}/compute/v2.1", self.base_url),
        }
    }
}

/// What a handler ends with.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Option<Bytes>,
    /// In its place a body that comes as fast as the client takes it.
    pub(super) stream: Option<Body>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    /// JSON.
    pub(super) fn json(status: u16, body: &impl Serialize) -> Result<Self, Fault> {
        let body =
            serde_json::to_vec(body).map_err(|error| Fault::from(fail!(Internal, "an answer cannot be written").caused_by(error)))?;
        Ok(Self { body: Some(body.into()), ..Self::empty(status) })
    }

    /// 200 with JSON.
    pub(super) fn ok(body: &impl Serialize) -> Result<Self, Fault> {
        Self::json(200, body)
    }

    /// Without a body.
    pub(super) fn empty(status: u16) -> Self {
        Self { status: status_code(status), body: None, stream: None, headers: Vec::new() }
    }

    /// With a body that is made while the client takes it.
    pub(super) fn stream(status: u16, body: Body) -> Self {
        Self { stream: Some(body), ..Self::empty(status) }
    }

    /// 200 with JSON that was written before.
    pub(super) fn again(body: Bytes) -> Self {
        Self { body: Some(body), ..Self::empty(200) }
    }

    /// With one more header; left out where its text cannot stand in one.
    pub(super) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (HeaderName::from_static(name), value)));
        self
    }
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

pub(super) type Outcome = Result<Reply, Fault>;

/// A handler with its types worn off.
pub(super) type Handler = fn(Call) -> BoxFuture<'static, Outcome>;
