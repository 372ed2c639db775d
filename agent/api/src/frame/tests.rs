use super::*;
use crate::body::read_body;
use crate::test_support::{capabilities, empty_snapshot, frame, frame_parts, snapshot_source};
use axum::Extension;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use http_body_util::BodyExt;

fn peer() -> Peer {
    Peer::at("192.0.2.1")
}

fn router() -> Router {
    Router::new()
        .route("/v1/vm/{name}", get(|| async { "fine" }))
        .route("/panic", get(|| async { panic!("a defect") as &'static str }))
        .route("/never", get(std::future::pending::<&'static str>))
        .route(
            "/who",
            get(|Extension(id): Extension<RequestId>, Extension(peer): Extension<Peer>| async move { id.0 + " " + &peer.address }),
        )
        .route("/echo", post(|body: Body| async move { read_body(body, 1 << 30).await.map(|b| b.len().to_string()).unwrap_or_default() }))
}

async fn ask(frame: &Frame, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let response = frame.handle(&peer(), request, false).await;
    let (parts, body) = response.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    (parts.status, parts.headers, text)
}

fn request(path: &str) -> Request<Body> {
    Request::builder().uri(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_request_gets_an_identity_that_stands_in_the_answer() {
    let frame = frame(router(), FrameLimits::default());
    let (_, headers, text) = ask(&frame, request("/who")).await;
    let id = headers[REQUEST_ID_HEADER].to_str().unwrap();
    assert!(Uuid::parse_str(id).unwrap().get_version_num() == 7);
    assert_eq!(text, format!("{id} 192.0.2.1"));
}

#[tokio::test]
async fn a_harmless_identity_of_the_client_is_kept_and_any_other_replaced() {
    let frame = frame(router(), FrameLimits::default());
    for (sent, is_kept) in
        [("req-1_2.3", true), ("", false), ("a b", false), ("a\tb", false), (&"x".repeat(64), true), (&"x".repeat(65), false)]
    {
        let request = Request::builder().uri("/who").header(REQUEST_ID_HEADER, sent).body(Body::empty()).unwrap();
        let (_, headers, _) = ask(&frame, request).await;
        assert_eq!(headers[REQUEST_ID_HEADER] == sent, is_kept, "{sent:?}");
    }
}

#[tokio::test]
async fn a_panic_is_answered_in_the_dialects_words_and_counted() {
    let parts = frame_parts(router(), FrameLimits::default());
    let metrics = parts.metrics.clone();
    let frame = Frame::new(parts);
    let (status, headers, text) = ask(&frame, request("/panic")).await;
    assert_eq!((status, text), (StatusCode::OK, format!("10000 {}", headers[REQUEST_ID_HEADER].to_str().unwrap())));
    let page = metrics.page(&empty_snapshot(), &Default::default());
    assert!(page.contains(r#"hvnode_api_panics_total{dialect="native"} 1"#), "{page}");
    assert_eq!(ask(&frame, request("/v1/vm/a")).await.2, "fine", "others go on");
}

#[tokio::test(start_paused = true)]
async fn a_request_past_its_deadline_is_answered_as_such() {
    let frame = frame(router(), FrameLimits { request_timeout: Duration::from_secs(5), ..Default::default() });
    assert!(ask(&frame, request("/never")).await.2.starts_with("10006 "));
}

#[tokio::test]
async fn too_many_requests_at_once_are_refused_at_once() {
    let frame = frame(router(), FrameLimits { requests_max: 1, ..Default::default() });
    let (first, client) = (frame.clone(), peer());
    let mut running = Box::pin(first.handle(&client, request("/never"), false));
    assert!(running.as_mut().now_or_never().is_none());
    assert!(ask(&frame, request("/v1/vm/a")).await.2.starts_with("10012 "));
    assert_eq!(ask(&frame, request("/healthz")).await.2, "ok\n", "health is always answered");
    drop(running);
    assert_eq!(ask(&frame, request("/v1/vm/a")).await.2, "fine", "a client that went away counts no more");
}

#[tokio::test]
async fn changes_that_wait_leave_room_for_reads() {
    let router = router().route("/wait", post(std::future::pending::<&'static str>));
    let frame = frame(router, FrameLimits { requests_max: 8, ..Default::default() });
    let change = || Request::builder().method(Method::POST).uri("/wait").body(Body::empty()).unwrap();
    let client = peer();
    let mut waiting: Vec<_> = (0..6).map(|_| Box::pin(frame.handle(&client, change(), false))).collect();
    assert!(waiting.iter_mut().all(|change| change.as_mut().now_or_never().is_none()));
    assert!(ask(&frame, change()).await.2.starts_with("10012 "), "a quarter is not for changes");
    assert_eq!(ask(&frame, request("/v1/vm/a")).await.2, "fine");
    waiting.pop();
    let mut next = Box::pin(frame.handle(&client, change(), false));
    assert!(next.as_mut().now_or_never().is_none(), "a place that is free again is taken");
}

#[tokio::test]
async fn a_refused_request_takes_no_place_while_its_body_is_read() {
    let frame = frame(router(), FrameLimits { requests_max: 1, ..Default::default() });
    let client = peer();
    let mut running = Box::pin(frame.handle(&client, request("/never"), false));
    assert!(running.as_mut().now_or_never().is_none());
    let endless = Body::from_stream(futures_util::stream::pending::<std::io::Result<Bytes>>());
    let mut refused = Box::pin(frame.handle(&client, Request::builder().uri("/v1/vm/a").body(endless).unwrap(), false));
    assert!(refused.as_mut().now_or_never().is_none(), "its client is still sending");
    drop(running);
    assert_eq!(ask(&frame, request("/v1/vm/a")).await.2, "fine");
}

#[tokio::test]
async fn a_body_announced_as_too_large_is_refused_before_the_handler() {
    let frame = frame(router(), FrameLimits { body_bytes_max: 4, ..Default::default() });
    let post = |text: &'static str| {
        Request::builder().method(Method::POST).uri("/echo").header(CONTENT_LENGTH, text.len()).body(Body::from(text)).unwrap()
    };
    assert_eq!(ask(&frame, post("1234")).await.2, "4");
    let (_, headers, text) = ask(&frame, post("12345")).await;
    assert!(text.starts_with("10011 "));
    assert_eq!(headers[CONNECTION], "close");
}

#[tokio::test]
async fn a_connection_too_many_is_told_so() {
    let frame = frame(router(), FrameLimits::default());
    let response = frame.handle(&peer(), request("/v1/vm/a"), true).await;
    assert_eq!(response.headers()[CONNECTION], "close");
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert!(text.starts_with(b"10012 "));
}

#[tokio::test]
async fn requests_are_counted_by_template_and_result_code_and_never_by_path() {
    let parts = frame_parts(router(), FrameLimits::default());
    let metrics = parts.metrics.clone();
    let frame = Frame::new(parts);
    for path in ["/v1/vm/a", "/v1/vm/b", "/no/such/route", "/no/other", "/panic", "/readyz"] {
        ask(&frame, request(path)).await;
    }
    let page = metrics.page(&empty_snapshot(), &Default::default());
    for line in [
        r#"hvnode_api_requests_total{code="200",dialect="native",method="GET",route="/v1/vm/{name}"} 2"#,
        r#"hvnode_api_requests_total{code="404",dialect="native",method="GET",route="unmatched"} 2"#,
        r#"hvnode_api_requests_total{code="10000",dialect="native",method="GET",route="unmatched"} 1"#,
        r#"hvnode_api_requests_total{code="503",dialect="native",method="GET",route="/readyz"} 1"#,
        r#"hvnode_api_requests_in_flight{dialect="native"} 0"#,
        r#"hvnode_vms{status="running"} 0"#,
        r#"hvnode_hypervisor_up 0"#,
    ] {
        assert!(page.lines().any(|l| l == line), "{line} not in\n{page}");
    }
    assert!(page.contains("process_resident_memory_bytes ") && page.contains("hvnode_build_info{version=\"0.0.0\"} 1"));
}

#[tokio::test]
async fn ready_means_store_hypervisor_and_inventory() {
    let frame = frame(router(), FrameLimits::default());
    let (status, _, text) = ask(&frame, request("/readyz")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["ready"], false);
    assert_eq!(value["components"]["store"]["ready"], true);
    assert_eq!(value["components"]["hypervisor"]["state"], "connecting");
    assert_eq!(value["components"]["inventory"]["state"], "loading");

    let mut snapshot = empty_snapshot();
    snapshot.connection = hvnode_core::model::ConnectionState::Up;
    snapshot.capabilities = Some(Arc::new(capabilities()));
    let health = Health::new(snapshot_source(snapshot));
    let ready = |health: &Health| health.answer(&Method::GET, "/readyz").unwrap().status();
    assert_eq!(ready(&health), StatusCode::OK);
    health.set_store_up(false);
    assert_eq!(ready(&health), StatusCode::SERVICE_UNAVAILABLE);
    health.set_store_up(true);
    health.set_draining();
    assert_eq!(ready(&health), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(health.answer(&Method::GET, "/healthz").unwrap().status(), StatusCode::OK, "alive while it drains");
}

#[tokio::test]
async fn health_paths_take_get_and_head_only() {
    let frame = frame(router(), FrameLimits::default());
    let with = |method: Method| Request::builder().method(method).uri("/healthz").body(Body::empty()).unwrap();
    assert_eq!(ask(&frame, with(Method::HEAD)).await.0, StatusCode::OK);
    let (status, headers, _) = ask(&frame, with(Method::POST)).await;
    assert_eq!((status, &headers[http::header::ALLOW]), (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static("GET, HEAD")));
}

#[tokio::test]
async fn the_metrics_page_is_text_for_prometheus() {
    let mut parts = frame_parts(Router::new(), FrameLimits::default());
    parts.routes = routes_of(crate::metrics::router(parts.metrics.clone(), snapshot_source(empty_snapshot()), Arc::new(Arc::default)));
    let frame = Frame::new(parts);
    let (status, headers, text) = ask(&frame, request("/metrics")).await;
    assert_eq!(
        (status, headers[http::header::CONTENT_TYPE].to_str().unwrap()),
        (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8")
    );
    assert!(text.contains("# TYPE hvnode_uptime_seconds gauge"));
    let head = Request::builder().method(Method::HEAD).uri("/metrics").body(Body::empty()).unwrap();
    assert_eq!(ask(&frame, head).await.0, StatusCode::OK);
    let post = Request::builder().method(Method::POST).uri("/metrics").body(Body::empty()).unwrap();
    assert_eq!(ask(&frame, post).await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(ask(&frame, request("/")).await.0, StatusCode::NOT_FOUND);
}
