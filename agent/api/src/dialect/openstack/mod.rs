//! The OpenStack dialect: Keystone v3, Nova v2.1, Glance v2, Neutron v2.0 and Cinder v3 on one listener.
//!
//! ```text
//!   request ─▶ serve ─▶ auth, version, decode ─▶ identity | compute | image | network | volume ─▶ change ─▶ Engine
//!                ▲                                                   │ read ─▶ Snapshot
//!   answer  ◀─ errors ◀──────────────────────────────────────────────┘
//! ```
//! One table (`table.rs`) says which routes exist. Nova stands under `/compute/v2.1` with stock faults and under `/v1/{project_id}` with
//! the error form of the identity service. Units (MiB, GiB) and time formats are converted here and nowhere else.

mod auth;
mod call;
mod change;
mod compute;
mod convert;
mod decode;
mod errors;
mod identity;
mod image;
mod network;
mod openapi;
mod paging;
mod pattern;
mod serve;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod version;
mod volume;

pub use errors::OpenStackErrors;
pub use openapi::openapi;

use crate::context::ApiContext;
use crate::dialect::Offered;
use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use hvnode_core::model::VerbKind;
use serve::{Shared, serve, unknown_route};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Name of this dialect in configuration, tokens, metrics and the operation log.
pub const DIALECT: &str = "openstack";

/// Verbs that this API has no word for, with the reason.
pub const NOT_IN_THIS_API: &[(VerbKind, &str)] = &[
    (VerbKind::RecoverVm, "restoring a soft-deleted server is an action of the native API only: a delete here removes at once"),
    (VerbKind::ExpungeVm, "what is in the trash is not shown here"),
    (VerbKind::AdoptVm, "servers of others are read only here"),
    (VerbKind::ReleaseVm, "servers of others are read only here"),
];

/// What an operator may set.
#[derive(Debug, Clone, Default)]
pub struct OpenStackOptions {
    /// Where clients reach this listener, for the catalog and links; empty: as each client says in its Host header.
    pub public_url: String,
}

/// What this dialect offers.
pub fn offered() -> Vec<Offered> {
    let routes = table::routes().into_iter().map(|route| route.offered());
    routes.chain(compute::actions::offered()).collect()
}

/// Does this request bring the bytes of an image?
pub fn is_upload(method: &http::Method, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    *method == http::Method::PUT && path.starts_with("/image/v2/images/") && path.ends_with("/file")
}

/// Name, what it does and the verbs behind it, of each action on servers; none of the last where this node does not do it.
pub fn actions() -> impl Iterator<Item = (&'static str, &'static str, Option<Vec<&'static str>>)> {
    compute::actions::shown()
}

/// The OpenStack API over an engine.
pub fn router(context: ApiContext, options: OpenStackOptions) -> Router {
    let shared = Arc::new(Shared { context, options, creating: Default::default(), lists: Default::default() });
    let mut by_path: BTreeMap<String, Vec<table::Mounted>> = BTreeMap::new();
    for mounted in table::mounted() {
        by_path.entry(mounted.path.clone()).or_default().push(mounted);
    }
    let mut router = Router::new();
    for (path, rows) in by_path {
        let (shared, rows): (_, Arc<[table::Mounted]>) = (shared.clone(), rows.into());
        router = router.route(&path, any(move |request: Request| serve(shared.clone(), rows.clone(), request)));
    }
    router.fallback(move |request: Request| unknown_route(shared.clone(), request))
}
