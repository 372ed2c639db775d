//! The native dialect: `/v1/<resource>/…/<action>`, one envelope, HTTP 200 for everything but an unknown route.
//!
//! ```text
//!   request ─▶ serve ─▶ input, decode ─▶ resource/* ─▶ change ─▶ Engine
//!                 ▲                          │ read ─▶ Snapshot
//!   answer  ◀─ envelope ◀────────────────────┘
//! ```
//! One table (`table.rs`) says which routes exist; router, OpenAPI document and the table of what is offered come from it.
//! A handler decides no legality: it checks the shape of what came and turns it into a `ChangeInput`, or shows what the picture holds.

mod audit;
mod batch;
mod call;
mod change;
mod check;
mod decode;
mod dry_run;
mod envelope;
mod event_stream;
mod input;
mod listing;
mod openapi;
mod redact;
mod resource;
mod route;
mod serve;
mod table;
#[cfg(test)]
mod tests;
mod upload;

pub use envelope::NativeOptions;
pub use openapi::{offered, openapi};
pub use serve::NativeErrors;
pub use upload::is_upload;

use crate::context::ApiContext;
use crate::list_cache::ListCache;
use axum::extract::Request;
use axum::routing::any;
use hvnode_core::model::VerbKind;
use serve::{Shared, serve, unknown_route};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Verbs that this API has no word for, with the reason: none.
pub const NOT_IN_THIS_API: &[(VerbKind, &str)] = &[];

/// The native API over an engine.
pub fn router(context: ApiContext, options: NativeOptions) -> axum::Router {
    let routes: Vec<_> = table::routes().into_iter().map(Arc::new).collect();
    let paths = routes.iter().map(|route| route.path).collect();
    let shared = Arc::new(Shared {
        context,
        options,
        cache: ListCache::default(),
        paths,
        streams: Arc::new(Semaphore::new(event_stream::STREAMS_MAX)),
        long_polls: Arc::new(Semaphore::new(resource::event::LONG_POLLS_MAX)),
    });
    let mut router = axum::Router::new();
    for route in routes {
        let shared = shared.clone();
        router = router.route(route.path, any(move |request: Request| serve(shared.clone(), route.clone(), request)));
    }
    router.fallback(move |request: Request| unknown_route(shared.clone(), request))
}
