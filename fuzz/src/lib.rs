//! What the targets of the dialects share: a node in memory, and one request to one dialect.
//!
//! A request goes through everything that a real one does behind its listener: path, log-in, decoding, the engine's answer. It must be
//! answered, and never with words for a fault of the node's own: what a caller sends is the caller's fault.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hvnode_api::accounts::{Accounts, AccountsConfig};
use hvnode_api::context::{ApiContext, NodeIdentity, Peer, RequestId};
use hvnode_api::records::Records;
use hvnode_core::engine::{Engine, EngineConfig, EnginePorts};
use hvnode_core::fake::{FakeHistory, FakeHypervisor, FakeImageTransfer, FakeNode, FakeProbe, FakeStore, Faults, NodeOptions};
use hvnode_core::model::Role;
use hvnode_core::port::{Clock, Store, SystemClock};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

/// The administrator's password on the node in memory.
pub const PASSWORD: &str = "password";
/// The same as clients of ZStack send it: its SHA-512.
pub const PASSWORD_SHA512: &str =
    "b109f3bbbc244eb82441917ed06d618b9008dd09b3befd1b5e07394c706a8bb980b1d7785e5976ec049b46df5f1326af5a2ea6d103fd07c95385ffab0cacbc86";

/// Requests that wait for something (a job, an event) may do so; the target does not.
const WAIT_MAX: Duration = Duration::from_millis(250);

/// A node in memory behind one dialect, with an administrator.
pub struct Bench {
    runtime: tokio::runtime::Runtime,
    router: Router,
    peer: Peer,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Bench {
    /// Starts the node.
    pub fn new(router: fn(ApiContext) -> Router) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let router = router(runtime.block_on(context()));
        Self { runtime, router, peer: Peer { address: "198.51.100.7".into(), trusted_user: None }, header: None }
    }

    /// Whoever asks is let in without a token, as on the unix socket.
    pub fn trusted(mut self) -> Self {
        self.peer = Peer { address: "unix".into(), trusted_user: Some("root".into()) };
        self
    }

    /// Every request has this header.
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.header = Some((HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        self
    }

    /// Sends a request that must be answered at once, and gives its headers and body.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> (Response<()>, Value) {
        let request =
            Request::builder().method(method).uri(path).header("content-type", "application/json").body(Body::from(body.to_string()));
        let response = self.runtime.block_on(self.router.clone().oneshot(self.dressed(request.unwrap()))).unwrap();
        let (parts, body) = response.into_parts();
        let bytes = self.runtime.block_on(body.collect()).unwrap().to_bytes();
        (Response::from_parts(parts, ()), serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Sends what the fuzzer made: `METHOD path` in the first line, the body behind it.
    pub fn send_raw(&self, input: &[u8]) {
        let (line, body) = match input.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&input[..end], &input[end + 1..]),
            None => (input, &[][..]),
        };
        let Some((method, path)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(' ')) else { return };
        // What is no request at all is the HTTP library's to refuse.
        let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
        let Ok(request) =
            Request::builder().method(method).uri(path).header("content-type", "application/json").body(Body::from(body.to_vec()))
        else {
            return;
        };
        self.send(request);
    }

    /// Sends a request and looks at the answer.
    pub fn send(&self, request: Request<Body>) {
        let request = self.dressed(request);
        let is_head = request.method() == Method::HEAD;
        let answering = async { tokio::time::timeout(WAIT_MAX, self.router.clone().oneshot(request)).await };
        let Ok(response) = self.runtime.block_on(answering) else { return };
        let response = response.unwrap();
        let status = response.status();
        let is_json = response.headers().get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        let reading = async { tokio::time::timeout(WAIT_MAX, response.into_body().collect()).await };
        let Ok(Ok(body)) = self.runtime.block_on(reading) else { return };
        let bytes = body.to_bytes();
        if is_json && !is_head && !bytes.is_empty() {
            let value: Value = serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("an answer that is no JSON: {error}"));
            let is_fault = status == StatusCode::INTERNAL_SERVER_ERROR && !bytes.windows(11).any(|word| word == b"UNAVAILABLE");
            assert!(!is_fault, "{value}");
        }
        // Some dialects answer everything with 200: the words of a fault of the node's own are in the text.
        assert!(!bytes.windows(20).any(|words| words == b"Manager server error"), "{}", String::from_utf8_lossy(&bytes));
    }

    fn dressed(&self, mut request: Request<Body>) -> Request<Body> {
        request.extensions_mut().insert(RequestId("fuzz".into()));
        request.extensions_mut().insert(self.peer.clone());
        if let Some((name, value)) = self.header.clone() {
            request.headers_mut().insert(name, value);
        }
        request
    }
}

/// A node with the administrator `admin`.
async fn context() -> ApiContext {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = NodeOptions { guest_delay: Duration::from_millis(1), ..NodeOptions::default() };
    let node = FakeNode::new(options.clone(), clock.clone());
    let faults = Faults::new();
    let store = FakeStore::new(faults.clone());
    let ports = EnginePorts {
        hypervisor: FakeHypervisor::new(node.clone(), faults.clone()),
        store: store.clone(),
        images: FakeImageTransfer::new(node, faults.clone()),
        probe: Arc::new(FakeProbe::new(&options, clock.clone(), faults.clone())),
        history: FakeHistory::new(faults),
        clock: clock.clone(),
    };
    let stored = store.load().await.unwrap();
    let engine = Engine::start(EngineConfig::default(), ports, stored).await.unwrap();
    assert!(engine.wait_until_ready(Duration::from_secs(60)).await);
    let accounts = Accounts::start(store.clone(), Vec::new(), Vec::new(), AccountsConfig::default(), clock.clone()).unwrap();
    accounts.create_account("admin", Role::Admin, PASSWORD).await.unwrap();
    ApiContext {
        records: Records::start(store, Vec::new(), clock),
        engine,
        accounts,
        node: Arc::new(NodeIdentity { ip_address: "192.0.2.1".into(), process_id: 42, program: "hvnoded".into() }),
        body_bytes_max: 1 << 20,
    }
}

/// A log-in that Keystone's clients send.
pub fn keystone_log_in() -> Value {
    json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {"name": "admin", "domain": {"id": "default"}, "password": PASSWORD}}},
        "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
    }})
}
