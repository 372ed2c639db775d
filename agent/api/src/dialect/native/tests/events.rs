//! Events: pages by cursor, waiting for the next one, the stream and its resumption.

use super::super::event_stream::STREAMS_MAX;
use super::bench::{Bench, SOON};
use axum::body::Body;
use axum::response::Response;
use http::header;
use http_body_util::BodyExt;
use hvnode_core::model::Role;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn page(bench: &Bench, query: &str) -> Value {
    bench.get(&format!("/v1/event/list?{query}")).await.data().clone()
}

async fn all(bench: &Bench) -> Vec<Value> {
    page(bench, "limit=1000").await["list"].as_array().unwrap().clone()
}

/// An open stream, read frame by frame.
struct Stream {
    body: Body,
    text: String,
}

/// One server-sent event: id, kind, data.
type Frame = (u64, String, Value);

impl Stream {
    async fn open(bench: &Bench, path: &str, last_event_id: Option<&str>) -> Self {
        let response: Response = bench.open(path, last_event_id).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { body: response.into_body(), text: String::new() }
    }

    /// The next block of lines; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let frame = tokio::time::timeout(SOON, self.body.frame()).await.expect("the stream says nothing")?;
            self.text.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        }
    }

    /// The next event; `None` at the end.
    async fn event(&mut self) -> Option<Frame> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            if let Some(data) = field("data: ") {
                let id = field("id: ").unwrap().parse().unwrap();
                return Some((id, field("event: ").unwrap().to_owned(), serde_json::from_str(data).unwrap()));
            }
        }
    }
}

#[tokio::test]
async fn pages_by_cursor_give_every_event_once_and_in_order() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    assert!(bench.engine.wait_until(SOON, |snapshot| snapshot.open_jobs.is_empty()).await);
    let whole = all(&bench).await;
    let (mut cursor, mut found) = (0, Vec::new());
    while found.len() < whole.len() {
        let page = page(&bench, &format!("cursor={cursor}&limit=2&wait_seconds=5")).await;
        let list = page["list"].as_array().unwrap();
        assert!((1..=2).contains(&list.len()) && page["total_count"] == list.len() && page["has_gap"] == false);
        cursor = page["next_cursor"].as_u64().unwrap();
        assert_eq!(list.last().unwrap()["cursor"], cursor);
        found.extend(list.iter().cloned());
    }
    assert_eq!(found[..whole.len()], whole);
    let running = found.iter().find(|event| event["kind"] == "vm_status" && event["new"] == "running").unwrap();
    let mut keys: Vec<_> = running.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected =
        ["cursor", "job_uuid", "kind", "new", "old", "reason", "request_id", "resource_name", "resource_type", "resource_uuid", "time"];
    assert_eq!(keys, expected);
    assert_eq!((&running["resource_uuid"], &running["resource_type"]), (&json!(vm_uuid), &json!("vm")));
    assert_eq!((&running["resource_name"], &running["request_id"]), (&json!("web"), &json!("request-1")));
    assert!(running["cursor"].as_u64().unwrap() < 1 << 53);
}

#[tokio::test]
async fn a_reader_that_waits_is_woken_by_the_next_event() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    let mut cursor = bench.engine.last_event_cursor();
    let start = Instant::now();
    let waiting = async {
        loop {
            let page = page(&bench, &format!("cursor={cursor}&wait_seconds=60")).await;
            cursor = page["next_cursor"].as_u64().unwrap();
            if page["list"].as_array().unwrap().iter().any(|event| event["new"] == "crashed") {
                return;
            }
        }
    };
    let killing = async { bench.node.kill_qemu(vm_uuid.parse().unwrap()) };
    tokio::join!(waiting, killing);
    assert!(start.elapsed() < SOON);
}

#[tokio::test]
async fn a_cursor_that_is_not_of_this_node_is_a_gap() {
    let bench = Bench::new().await;
    let foreign = bench.engine.last_event_cursor() + 1_000_000;
    let page = page(&bench, &format!("cursor={foreign}&wait_seconds=60")).await;
    assert_eq!((&page["has_gap"], &page["total_count"]), (&json!(true), &json!(0)));
    assert!(page["next_cursor"].as_u64().unwrap() < foreign);
    let mut stream = Stream::open(&bench, "/v1/event/stream", Some(&foreign.to_string())).await;
    let (id, kind, data) = stream.event().await.unwrap();
    assert_eq!((kind.as_str(), &data["next_cursor"]), ("gap", &json!(id)));
    assert!(id < foreign);
}

#[tokio::test]
async fn wrong_cursors_limits_and_waits_are_refused() {
    let bench = Bench::new().await;
    for (query, code, field) in [
        ("cursor=-1", 10003, "cursor"),
        ("cursor=x", 10001, "cursor"),
        ("cursor=9007199254740992", 10003, "cursor"),
        ("limit=0", 10003, "limit"),
        ("limit=1001", 10003, "limit"),
        ("wait_seconds=61", 10003, "wait_seconds"),
        ("page_size=1", 10003, "page_size"),
    ] {
        let answer = bench.get(&format!("/v1/event/list?{query}")).await;
        assert_eq!(answer.code(), code, "{query}");
        assert!(answer.message().contains(field), "{query}: {}", answer.message());
    }
    assert_eq!(bench.get("/v1/event/stream?cursor=x").await.code(), 10001);
    assert_eq!(bench.get("/v1/event/stream?limit=1").await.code(), 10003);
    for wrong in ["x", "-1", "9007199254740992"] {
        let answer = bench.open("/v1/event/stream", Some(wrong)).await.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["status_code"], 10003);
        assert!(answer["message"].as_str().unwrap().contains("Last-Event-ID"), "{answer}");
    }
}

#[tokio::test]
async fn a_stream_goes_on_after_the_last_event_that_was_seen() {
    let bench = Bench::new().await;
    bench.vm("web").await;
    let whole = all(&bench).await;
    let mut stream = Stream::open(&bench, "/v1/event/stream?cursor=0", None).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(stream.event().await.unwrap());
    }
    drop(stream);
    let last = seen[2].0;
    // The header goes before the query, as a browser repeats the address it was given.
    let mut stream = Stream::open(&bench, "/v1/event/stream?cursor=0", Some(&last.to_string())).await;
    while seen.len() < whole.len() {
        seen.push(stream.event().await.unwrap());
    }
    for ((id, kind, data), event) in seen.iter().zip(&whole) {
        assert_eq!((json!(id), json!(kind), data), (event["cursor"].clone(), event["kind"].clone(), event));
    }
}

#[tokio::test]
async fn a_stream_without_a_cursor_begins_now_and_says_where_that_is() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    let mut last = bench.engine.last_event_cursor();
    let mut stream = Stream::open(&bench, "/v1/event/stream", None).await;
    let first = stream.block().await.unwrap();
    let id: u64 = first.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().parse().unwrap();
    assert!(first.starts_with("retry: ") && id >= last, "{first}");
    bench.node.kill_qemu(vm_uuid.parse().unwrap());
    loop {
        let (cursor, _, event) = stream.event().await.unwrap();
        assert!(cursor > last);
        last = cursor;
        if event["new"] == "crashed" {
            break;
        }
    }
}

#[tokio::test]
async fn a_stream_ends_when_the_daemon_stops() {
    let bench = Bench::new().await;
    let mut stream = Stream::open(&bench, "/v1/event/stream", None).await;
    stream.block().await.unwrap();
    assert!(bench.engine.shutdown(Duration::from_secs(5)).await);
    while stream.event().await.is_some() {}
}

#[tokio::test]
async fn a_stream_needs_a_token_and_ends_with_it() {
    let bench = Bench::new().await;
    assert_eq!(bench.with_token("GET", "/v1/event/stream", "", json!({})).await.code(), 10100);
    assert_eq!(bench.with_token("GET", "/v1/event/list", "", json!({})).await.code(), 10100);
    let token = bench.account("reader", Role::Reader, "a long enough password").await;
    let vm_uuid = bench.vm("web").await;
    let request = http::Request::get("/v1/event/stream").header(header::AUTHORIZATION, &token).body(Body::empty()).unwrap();
    let mut stream = Stream { body: bench.respond(request).await.into_body(), text: String::new() };
    stream.block().await.unwrap();
    bench.with_token("POST", "/v1/user/logout", &token, json!({})).await.data();
    bench.node.kill_qemu(vm_uuid.parse().unwrap());
    while stream.event().await.is_some() {}
}

#[tokio::test]
async fn there_are_only_so_many_streams_and_a_closed_one_makes_room() {
    let bench = Bench::new().await;
    let mut open = Vec::new();
    for _ in 0..STREAMS_MAX {
        open.push(Stream::open(&bench, "/v1/event/stream", None).await);
    }
    assert_eq!(bench.get("/v1/event/stream").await.code(), 10012);
    open.pop();
    open.push(Stream::open(&bench, "/v1/event/stream", None).await);
}
