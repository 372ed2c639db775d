//! `GET /v1/event/stream`: events as they happen, as server-sent events.
//!
//! Each event has its cursor as `id`, so a client that comes back with `Last-Event-ID` misses none. Where events it has not seen are not
//! kept any more, an event `gap` says so. A stream has no deadline; it ends with its client, its token or the daemon.

use super::call::{Call, DIALECT};
use super::check::{self, SIZE_MAX};
use super::decode::from_query;
use super::resource::event::{EventStreamQuery, EventView};
use crate::context::{LongAnswer, ResultCode};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, header};
use hvnode_core::engine::EventPage;
use hvnode_core::{Result, at, fail};
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Streams at the same time.
pub(super) const STREAMS_MAX: usize = 64;
/// Longest silence of a stream; then a comment shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Milliseconds after which a client should come back.
const RETRY_MILLISECONDS: u32 = 1000;
/// Events that are read at once.
const PAGE_EVENTS: usize = 256;
/// Where a client that comes back says what it has seen.
pub(super) const LAST_EVENT_ID: &str = "last-event-id";

/// Opens a stream. `slots` bounds how many there are.
///
/// # Errors
/// `ParseParameter` and `ParameterInvalid` for a wrong cursor, `TooManyRequests`.
pub(super) fn open(call: Call, slots: &Arc<Semaphore>, headers: &HeaderMap, query: &Map<String, Value>) -> Result<Response> {
    let query: EventStreamQuery = from_query(query, &[]).map_err(at!())?;
    let asked = query.cursor.map(|cursor| check::within("cursor", cursor, 0, SIZE_MAX)).transpose()?;
    let cursor = last_event_id(headers)?.or(asked).unwrap_or_else(|| call.context.engine.last_event_cursor());
    let slot = slots.clone().try_acquire_owned().map_err(|_| {
        fail!(TooManyRequests, "{STREAMS_MAX} event streams are open already, try again later"; "已有 {STREAMS_MAX} 个事件流，请稍后重试")
    })?;
    let reader = Reader { call, cursor, has_begun: false, _slot: slot };
    let mut response = Response::new(Body::from_stream(stream::unfold(reader, Reader::next)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.extensions_mut().insert(ResultCode(0));
    response.extensions_mut().insert(LongAnswer);
    Ok(response)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(None) };
    let cursor = value.to_str().ok().and_then(|text| text.parse().ok()).filter(|cursor| *cursor <= SIZE_MAX);
    cursor.map(Some).ok_or_else(
        || fail!(ParameterInvalid, "the header Last-Event-ID must be the cursor of an event"; "请求头 Last-Event-ID 必须是事件的 cursor"),
    )
}

/// One client's place in the stream.
struct Reader {
    call: Call,
    cursor: u64,
    has_begun: bool,
    _slot: OwnedSemaphorePermit,
}

impl Reader {
    /// What to send next; `None` ends the stream.
    async fn next(mut self) -> Option<(std::result::Result<Bytes, Infallible>, Self)> {
        let text = if self.has_begun { self.wait().await? } else { self.begin() };
        Some((Ok(Bytes::from(text)), self))
    }

    /// An `id` without data is no event, and is what the client comes back with if it loses us before the first.
    fn begin(&mut self) -> String {
        self.has_begun = true;
        format!("retry: {RETRY_MILLISECONDS}\nid: {}\n\n", self.cursor)
    }

    async fn wait(&mut self) -> Option<String> {
        let engine = &self.call.context.engine;
        let page = engine.events(self.cursor, PAGE_EVENTS, HEARTBEAT).await;
        let page = page.inspect_err(|error| tracing::warn!(error = %error.chain(), "an event stream ends early")).ok()?;
        if !self.may_go_on() || (page.events.is_empty() && !page.has_gap && !engine.is_accepting()) {
            return None;
        }
        self.cursor = page.next_cursor;
        Some(told(&page))
    }

    /// A stream lives no longer than the token it was opened with.
    fn may_go_on(&self) -> bool {
        let Call { context, caller, token, .. } = &self.call;
        token.as_ref().is_none_or(|token| context.accounts.authenticate(DIALECT, token, &caller.client_address, &caller.request_id).is_ok())
    }
}

fn told(page: &EventPage) -> String {
    let mut text = String::new();
    if page.has_gap {
        // What is still kept follows, so the client goes on right before it.
        let next = page.events.first().map_or(page.next_cursor, |event| event.cursor.saturating_sub(1));
        text.push_str(&frame(next, "gap", &json!({ "next_cursor": next }).to_string()));
    }
    for event in &page.events {
        // Strings and numbers only: encoding cannot fail.
        let data = serde_json::to_string(&EventView::of(event)).unwrap_or_default();
        text.push_str(&frame(event.cursor, event.kind.word(), &data));
    }
    if text.is_empty() { ":\n\n".to_owned() } else { text }
}

fn frame(cursor: u64, kind: &str, data: &str) -> String {
    format!("id: {cursor}\nevent: {kind}\ndata: {data}\n\n")
}
