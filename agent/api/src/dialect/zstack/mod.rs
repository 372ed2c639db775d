//! The ZStack dialect: messages as JSON to one address, answered by jobs to be asked for.
//!
//! ```text
//!   {"<class>Msg": {…}} ─▶ serve ─▶ table ─▶ query ───────────▶ Snapshot, Records
//!                                     │  └─▶ change, create_vm ─▶ Engine     its job is the job
//!                                     └────▶ record, tag ───────▶ Records    the result is kept as a job
//!   GET …/result/{uuid} ─▶ job ─▶ {"state": "Done", "result": "{\"<class>Event\": {…}}"}
//! ```
//! Zones, clusters, disk offerings and tags are records of this dialect. This node is the only host, in a zone and a cluster of its own.

mod audit;
mod call;
mod change;
mod change_object;
mod create_vm;
mod date;
mod errors;
mod fields;
mod identity;
mod inventory;
mod job;
mod metric;
mod query;
mod read;
mod record;
mod serve;
mod session;
mod state;
mod table;
mod tag;
#[cfg(test)]
mod tests;

use crate::context::{ApiContext, FrameErrors};
use crate::dialect::Offered;
use axum::Router;
use axum::extract::{Path, Request};
use axum::response::Response;
use axum::routing::any;
use hvnode_core::AgentError;
use hvnode_core::model::VerbKind;
use serve::Shared;
use std::sync::Arc;
pub use table::{MessageRow, messages};

/// Name of this dialect in configuration, tokens, metrics and the operation log.
pub const DIALECT: &str = "zstack";

/// Verbs that this API has no word for, with the reason.
pub const NOT_IN_THIS_API: &[(VerbKind, &str)] = &[
    (VerbKind::ResetVm, "its reboot is the only one"),
    (VerbKind::AdoptVm, "it knows no VMs but its own"),
    (VerbKind::ReleaseVm, "it knows no VMs but its own"),
    (VerbKind::ConfirmResize, "a resize is final"),
    (VerbKind::RevertResize, "a resize is final"),
];

/// What an operator may set.
#[derive(Debug, Clone)]
pub struct ZStackOptions {
    /// Days that a destroyed VM can be recovered; at least one.
    pub trash_keep_days: u32,
}

impl Default for ZStackOptions {
    fn default() -> Self {
        Self { trash_keep_days: 1 }
    }
}

/// What this dialect offers.
pub fn offered() -> Vec<Offered> {
    table::offered()
}

/// The ZStack API over an engine.
pub fn router(context: ApiContext, options: ZStackOptions) -> Router {
    let shared = Arc::new(Shared { context, options, turn: Arc::default() });
    let mut router = Router::new();
    for path in ["/zstack/api", "/zstack/api/"] {
        let shared = shared.clone();
        router = router.route(path, any(move |request: Request| serve::post(shared.clone(), request)));
    }
    // One sentence of the documents leaves the prefix out.
    for path in ["/zstack/api/result/{uuid}", "/api/result/{uuid}"] {
        let shared = shared.clone();
        let answer = move |Path(uuid): Path<String>, request: Request| serve::result(shared.clone(), uuid, request);
        router = router.route(path, any(answer));
    }
    router.fallback(serve::unknown_path)
}

/// How this dialect words what goes wrong outside its handlers: an HTTP status and a line of text.
#[derive(Debug, Clone, Copy, Default)]
pub struct ZStackErrors;

impl FrameErrors for ZStackErrors {
    fn respond(&self, error: &AgentError, _request_id: &str) -> Response {
        serve::text(error)
    }
}
