//! Events: pages by cursor, waiting for the next one, the stream and its resumption.

use super::super::event_stream::STREAMS_MAX;
use super::bench::Bench;
use crate::frame::FrameLimits;
use crate::listener::{Admission, BoundSocket, PeerTrust, serve};
use crate::test_support::{SOON, frame_of};
use axum::body::Body;
use axum::response::Response;
use futures_util::FutureExt;
use http::header;
use http_body_util::BodyExt;
use hvnode_core::model::{Event, EventKind, ResourceKey, ResourceType, Role, Timestamp};
use hvnode_core::port::Write;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use uuid::Uuid;

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

/// Writes that leave the last two of five events of a former run, with cursors 4 and 5.
fn pruned_past() -> Vec<Write> {
    let event = |second: i64, old: &str, new: &str| {
        Write::PutEvent(Arc::new(Event {
            cursor: 0,
            time: Timestamp::from_seconds(second),
            kind: EventKind::ImageStatus,
            resource: Some(ResourceKey { kind: ResourceType::Image, uuid: Uuid::from_u128(7) }),
            resource_name: "old".into(),
            old: old.into(),
            new: new.into(),
            reason: String::new(),
            job_uuid: None,
            request_id: String::new(),
        }))
    };
    let never = Timestamp(i64::MIN);
    let events_before = Timestamp::from_seconds(4);
    let prune = Write::Prune { jobs_before: never, operations_before: never, tokens_before: never, events_before };
    vec![event(1, "", "a"), event(2, "a", "b"), event(3, "b", "c"), event(4, "c", "d"), event(5, "d", ""), prune]
}

#[tokio::test]
async fn a_list_after_a_cursor_older_than_what_is_kept_says_that_there_is_a_gap_once() {
    let bench = Bench::with_past(pruned_past()).await;
    for cursor in [1, 2] {
        let first = page(&bench, &format!("cursor={cursor}&limit=1")).await;
        assert_eq!((&first["has_gap"], &first["next_cursor"], &first["list"][0]["old"]), (&json!(true), &json!(4), &json!("c")));
    }
    let next = page(&bench, "cursor=4&limit=1").await;
    assert_eq!((&next["has_gap"], &next["next_cursor"]), (&json!(false), &json!(5)), "the gap was told");
    assert_eq!(page(&bench, "cursor=3&limit=1").await["has_gap"], false, "what follows 3 is all there");
    assert_eq!(page(&bench, "cursor=0&limit=1").await["has_gap"], false, "0 asks for all that is kept");
}

#[tokio::test]
async fn a_stream_after_a_cursor_older_than_what_is_kept_begins_with_a_gap() {
    let bench = Bench::with_past(pruned_past()).await;
    for (path, last_event_id) in [("/v1/event/stream", Some("1")), ("/v1/event/stream?cursor=1", None)] {
        let mut stream = Stream::open(&bench, path, last_event_id).await;
        assert_eq!(stream.event().await.unwrap(), (3, "gap".into(), json!({"next_cursor": 3})));
        let (id, kind, event) = stream.event().await.unwrap();
        assert_eq!((id, kind.as_str(), &event["old"]), (4, "image_status", &json!("c")));
        let kinds = [stream.event().await.unwrap().1, stream.event().await.unwrap().1];
        assert!(!kinds.contains(&"gap".to_owned()), "{kinds:?}");
    }
    // What the gap named is a place to go on from.
    let mut stream = Stream::open(&bench, "/v1/event/stream", Some("3")).await;
    assert_eq!(stream.event().await.unwrap().0, 4);
}

/// The node's API on a port of this machine, until this is dropped.
struct Listening {
    address: SocketAddr,
    token: String,
    _stop: watch::Sender<bool>,
}

impl Listening {
    async fn start(bench: &Bench, limits: FrameLimits) -> Self {
        let token = bench.account("reader", Role::Reader, "a long enough password").await;
        let socket = BoundSocket::bind_tcp(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let BoundSocket::Tcp(listener) = &socket else { unreachable!() };
        let (address, stop) = (listener.local_addr().unwrap(), watch::Sender::new(false));
        tokio::spawn(serve(socket, frame_of(bench.routes.clone(), limits), Admission::plain(PeerTrust::new("")), stop.subscribe()));
        Self { address, token, _stop: stop }
    }

    /// Asks for the stream and reads on until `text` comes. Gives the connection, or nothing if the server ended it before.
    async fn stream_until(&self, text: &str) -> Option<BufReader<TcpStream>> {
        let mut stream = BufReader::new(TcpStream::connect(self.address).await.unwrap());
        let head = format!("GET /v1/event/stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {}\r\n\r\n", self.token);
        stream.write_all(head.as_bytes()).await.unwrap();
        read_until(&mut stream, text).await.then_some(stream)
    }
}

async fn read_until(stream: &mut BufReader<TcpStream>, text: &str) -> bool {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return false;
        }
    }
    true
}

#[tokio::test]
async fn a_quiet_stream_outlives_the_listeners_time_limits_and_then_tells_what_happens() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    assert!(bench.engine.wait_until(SOON, |snapshot| snapshot.open_jobs.is_empty()).await);
    let second = Duration::from_secs(1);
    let limits = FrameLimits { idle_timeout: second, header_timeout: second, request_timeout: second, ..Default::default() };
    let listening = Listening::start(&bench, limits).await;
    let mut stream = listening.stream_until("retry: ").await.unwrap();
    // The clock jumps from timer to timer: ten minutes with nothing but signs of life.
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    while begin.elapsed() < 600 * second {
        assert!(read_until(&mut stream, "\n").await, "closed after {:?}", begin.elapsed());
    }
    tokio::time::resume();
    bench.node.kill_qemu(vm_uuid.parse().unwrap());
    assert!(read_until(&mut stream, "\"new\":\"crashed\"").await);
}

#[tokio::test]
async fn a_client_that_vanishes_frees_its_stream() {
    let bench = Bench::new().await;
    let listening = Listening::start(&bench, FrameLimits::default()).await;
    let mut open = Vec::new();
    for _ in 0..STREAMS_MAX {
        open.push(listening.stream_until("retry: ").await.unwrap());
    }
    assert!(listening.stream_until("retry: ").await.is_none(), "there is no place left");
    drop(open.pop());
    let again = async {
        while listening.stream_until("retry: ").await.is_none() {
            tokio::task::yield_now().await;
        }
    };
    // Sooner than the next sign of life could find out.
    tokio::time::timeout(SOON, again).await.unwrap();
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
async fn those_who_wait_for_events_are_bounded_and_leave_room_for_others() {
    let bench = Bench::new().await;
    let cursor = page(&bench, "").await["next_cursor"].clone();
    let path = format!("/v1/event/list?cursor={cursor}&wait_seconds=60");
    let mut waiting: Vec<_> = (0..64).map(|_| Box::pin(bench.get(&path))).collect();
    for one in &mut waiting {
        assert!(one.as_mut().now_or_never().is_none());
    }
    let refused = bench.get(&path).await;
    assert_eq!(refused.code(), 10012);
    assert!(refused.message().contains("try again"), "{}", refused.message());
    page(&bench, &format!("cursor={cursor}")).await;
    waiting.pop();
    let mut next = Box::pin(bench.get(&path));
    assert!(next.as_mut().now_or_never().is_none(), "a place that is free again is taken");
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
