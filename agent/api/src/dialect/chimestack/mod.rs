//! The ChimeStack dialect: `/v1/<resource>`, GET POST PATCH PUT DELETE, one envelope, bearer tokens that are uuids.
//!
//! ```text
//!   request ─▶ serve ─▶ input (checked against field lists) ─▶ resource/* ─▶ call ─▶ Engine
//!                 ▲                                               │ read ─▶ Snapshot
//!   answer  ◀─ envelope ◀─────────────────────────────────────────┘
//! ```
//! One table (`table.rs`) says which routes exist and which parameters they take, `shape.rs` what objects look like; router, OpenAPI
//! document and the table of what is offered come from them. States and their numbers stand in `state.rs`, errors in `errors.rs`.

mod call;
mod envelope;
mod errors;
mod field;
mod input;
mod label;
mod listing;
mod node;
mod openapi;
mod resource;
mod route;
mod serve;
mod shape;
mod state;
mod table;
mod task;
#[cfg(test)]
mod tests;

pub use errors::ChimeStackErrors;
pub use openapi::{offered, openapi};
pub use state::{StateRow, States, state_rows};

use crate::context::ApiContext;
use axum::Router;
use axum::extract::RawPathParams;
use axum::extract::Request;
use axum::extract::rejection::RawPathParamsRejection;
use axum::routing::any;
use hvnode_core::model::VerbKind;
use route::Route;
use serve::{Shared, serve, unknown_route};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Name of this dialect in configuration, tokens, metrics and the operation log.
pub const DIALECT: &str = "chimestack";

/// Verbs that this API has no word for, with the reason.
pub const NOT_IN_THIS_API: &[(VerbKind, &str)] = &[
    (VerbKind::RebootVm, "clients stop and start"),
    (VerbKind::ResetVm, "clients stop and start"),
    (VerbKind::PauseVm, "a paused VM is only shown"),
    (VerbKind::ResumeVm, "a paused VM is only shown"),
    (VerbKind::ResizeVm, "a VM keeps its instance specification"),
    (VerbKind::ConfirmResize, "a VM keeps its instance specification"),
    (VerbKind::RevertResize, "a VM keeps its instance specification"),
    (VerbKind::RecoverVm, "a deleted VM is gone"),
    (VerbKind::ExpungeVm, "a deleted VM is gone"),
    (VerbKind::AdoptVm, "a VM of somebody else is only shown"),
    (VerbKind::ReleaseVm, "a VM of somebody else is only shown"),
];

/// What an operator may set.
#[derive(Debug, Clone, Default)]
pub struct ChimeStackOptions {
    /// Numbers of states.
    pub states: States,
}

/// The ChimeStack API over an engine.
pub fn router(context: ApiContext, options: ChimeStackOptions) -> Router {
    let shared = Arc::new(Shared { context, options: Arc::new(options) });
    let mut paths: BTreeMap<&'static str, Vec<Arc<Route>>> = BTreeMap::new();
    for route in table::routes() {
        paths.entry(route.path).or_default().push(Arc::new(route));
    }
    let mut router = Router::new();
    for (path, routes) in paths {
        let (shared, routes): (_, Arc<[Arc<Route>]>) = (shared.clone(), routes.into());
        let answer = any(move |path: Result<RawPathParams, RawPathParamsRejection>, request: Request| {
            serve(shared.clone(), routes.clone(), path.ok(), request)
        });
        router = router.route(path, answer);
    }
    router.fallback(unknown_route)
}
