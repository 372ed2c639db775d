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

use crate::answer_cache::AnswerCache;
use crate::context::ApiContext;
use crate::frame::Routes;
use axum::extract::Request;
use axum::response::Response;
use futures_util::future::BoxFuture;
use hvnode_core::model::VerbKind;
use route::Route;
use serve::{Shared, serve, unknown_route};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Verbs that this API has no word for, with the reason: none.
pub const NOT_IN_THIS_API: &[(VerbKind, &str)] = &[];

/// The native API over an engine.
pub fn routes(context: ApiContext, options: NativeOptions) -> Arc<dyn Routes> {
    let routes: HashMap<_, _> = table::routes().into_iter().map(|route| (route.path, Arc::new(route))).collect();
    let shared = Shared {
        context,
        options,
        cache: AnswerCache::default(),
        paths: routes.keys().copied().collect(),
        streams: Arc::new(Semaphore::new(event_stream::STREAMS_MAX)),
        long_polls: Arc::new(Semaphore::new(resource::event::LONG_POLLS_MAX)),
    };
    Arc::new(Table { shared: Arc::new(shared), routes })
}

/// The routes by their path. No path has parameters, so finding one is a look into a map, on the hot path of every read.
struct Table {
    shared: Arc<Shared>,
    routes: HashMap<&'static str, Arc<Route>>,
}

impl Routes for Table {
    fn answer(&self, request: Request) -> BoxFuture<'static, Response> {
        let shared = self.shared.clone();
        match self.routes.get(request.uri().path()).cloned() {
            Some(route) => Box::pin(serve(shared, route, request)),
            None => Box::pin(unknown_route(shared, request)),
        }
    }
}
