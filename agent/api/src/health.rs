//! Is the process alive (`/healthz`), and can it do its work (`/readyz`)? Answered on every listener, without authentication, so
//! without any detail that is not for everybody.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL};
use http::{HeaderValue, Method, StatusCode};
use hvnode_core::model::{ConnectionState, Snapshot};
use parking_lot::RwLock;
use serde_json::json;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Gives the current picture of the node; never blocks.
pub type SnapshotSource = Arc<dyn Fn() -> Arc<Snapshot> + Send + Sync>;

/// What the two health paths tell.
pub struct Health {
    snapshot: SnapshotSource,
    is_store_up: AtomicBool,
    is_draining: AtomicBool,
    others: RwLock<Vec<ComponentSource>>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("is_store_up", &self.is_store_up).field("is_draining", &self.is_draining).finish_non_exhaustive()
    }
}

/// One thing the daemon needs for its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// `store`, `hypervisor`, `inventory`, `daemon`, `tls`.
    pub name: &'static str,
    /// Does it work?
    pub is_ready: bool,
    /// One word for its state.
    pub state: &'static str,
    /// What somebody should look at although it works.
    pub warning: Option<String>,
}

/// Tells how a part is that not every node has.
pub type ComponentSource = Arc<dyn Fn() -> Component + Send + Sync>;

impl Health {
    /// Everything up until told otherwise.
    pub fn new(snapshot: SnapshotSource) -> Arc<Self> {
        Arc::new(Self { snapshot, is_store_up: AtomicBool::new(true), is_draining: AtomicBool::new(false), others: RwLock::default() })
    }

    /// One more part to tell about.
    pub fn add(&self, source: ComponentSource) {
        self.others.write().push(source);
    }

    /// Told by whoever last used the store.
    pub fn set_store_up(&self, is_up: bool) {
        self.is_store_up.store(is_up, Ordering::Relaxed);
    }

    /// The daemon is on its way out: send work elsewhere.
    pub fn set_draining(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Every component and how it is.
    pub fn components(&self) -> Vec<Component> {
        let snapshot = (self.snapshot)();
        let is_store_up = self.is_store_up.load(Ordering::Relaxed);
        let is_draining = self.is_draining.load(Ordering::Relaxed);
        let hypervisor = match snapshot.connection {
            ConnectionState::Up => "up",
            ConnectionState::Connecting => "connecting",
            ConnectionState::Down(_) => "down",
        };
        let is_loaded = snapshot.capabilities.is_some();
        let part = |name, is_ready, state| Component { name, is_ready, state, warning: None };
        let mut components = vec![
            part("daemon", !is_draining, if is_draining { "draining" } else { "up" }),
            part("store", is_store_up, if is_store_up { "up" } else { "down" }),
            part("hypervisor", hypervisor == "up", hypervisor),
            part("inventory", is_loaded, if is_loaded { "loaded" } else { "loading" }),
        ];
        components.extend(self.others.read().iter().map(|source| source()));
        components
    }

    /// The answer if `path` is one of the two health paths.
    pub fn answer(&self, method: &Method, path: &str) -> Option<Response> {
        let path = health_path(path)?;
        if method != Method::GET && method != Method::HEAD {
            return Some((StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")], "only GET and HEAD\n").into_response());
        }
        let mut response = if path == "/healthz" { "ok\n".into_response() } else { self.readiness() };
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }

    fn readiness(&self) -> Response {
        let components = self.components();
        let is_ready = components.iter().all(|component| component.is_ready);
        let parts: serde_json::Map<_, _> =
            components.iter().map(|c| (c.name.to_owned(), json!({ "ready": c.is_ready, "state": c.state }))).collect();
        let warnings: Vec<_> = components.iter().filter_map(|c| Some(format!("{}: {}", c.name, c.warning.as_ref()?))).collect();
        let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(json!({ "ready": is_ready, "warnings": warnings, "components": parts }))).into_response()
    }
}

/// The same path as a constant if it is `/healthz` or `/readyz`.
pub(crate) fn health_path(path: &str) -> Option<&'static str> {
    ["/healthz", "/readyz"].into_iter().find(|known| *known == path)
}
