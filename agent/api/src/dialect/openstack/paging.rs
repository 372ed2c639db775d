//! `limit` and `marker`, and the link to what follows.

use super::call::Call;
use super::errors::Fault;
use serde_json::{Value, json};

/// Most items of one answer.
pub(super) const ITEMS_MAX: usize = 1000;

/// A part of a listing.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// Marker of the next part, where there is one.
    pub(super) next: Option<String>,
}

/// The limit that a request asks for.
///
/// # Errors
/// 400.
pub(super) fn limit(call: &Call) -> Result<Option<usize>, Fault> {
    let Some(text) = call.query("limit") else { return Ok(None) };
    let shown: String = text.chars().take(32).collect();
    let fault = || {
        Fault::bad_request(format!("Invalid input for query parameters limit. Value: {shown}. It must be a whole number of at least 0."))
    };
    text.parse::<usize>().map(Some).map_err(|_| fault())
}

/// The part of `items` that a request asks for.
///
/// # Errors
/// 400 for a bad limit or a marker that is no item.
pub(super) fn page<T>(call: &Call, items: Vec<T>, id: impl Fn(&T) -> String) -> Result<Page<T>, Fault> {
    let asked = limit(call)?;
    // Nova's own clients send 0 for "as many as you like".
    let limit = asked.filter(|limit| *limit > 0).map_or(ITEMS_MAX, |limit| limit.min(ITEMS_MAX));
    let start = match call.query("marker") {
        None => 0,
        Some(marker) => {
            let shown: String = marker.chars().take(64).collect();
            let position = items.iter().position(|item| id(item) == marker);
            position.map(|at| at + 1).ok_or_else(|| Fault::bad_request(format!("marker [{shown}] not found")))?
        }
    };
    let has_more = items.len() > start + limit;
    let items: Vec<T> = items.into_iter().skip(start).take(limit).collect();
    let next = if has_more { items.last().map(&id) } else { None };
    Ok(Page { items, next })
}

/// The same address with another marker.
pub(super) fn next_url(call: &Call, path: &str, marker: &str) -> String {
    let kept = call.query.iter().filter(|(key, _)| key != "marker").map(|(key, value)| format!("{}={}&", escaped(key), escaped(value)));
    format!("{path}?{}marker={}", kept.collect::<String>(), escaped(marker))
}

/// `[{rel: next, href}]`.
pub(super) fn next_links(call: &Call, path: &str, marker: &str) -> Value {
    json!([{ "rel": "next", "href": next_url(call, path, marker) }])
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
