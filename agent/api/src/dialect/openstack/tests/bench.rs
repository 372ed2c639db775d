//! A node in memory, and a client of its OpenStack API.

use super::super::convert::project_id;
use super::super::{OpenStackErrors, OpenStackOptions, openapi, router};
use crate::accounts::{Accounts, AccountsConfig};
use crate::context::{ApiContext, FrameErrors, NodeIdentity, Peer, RequestId};
use crate::test_document::Document;
use crate::test_support::{SOON, wait_for};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use hvnode_core::engine::{Engine, EngineConfig, EnginePorts};
use hvnode_core::fake::{FakeHistory, FakeHypervisor, FakeImageTransfer, FakeNode, FakeProbe, FakeStore, Faults, NodeOptions};
use hvnode_core::model::Role;
use hvnode_core::port::{Clock, OperationFilter, Page, SortOrder, Store, SystemClock};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use tower::ServiceExt;

static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::new(openapi(), None));
const REQUEST_UUID: &str = "0192f0c0-0000-7000-8000-000000000001";

pub(super) struct Bench {
    pub(super) node: FakeNode,
    pub(super) engine: Engine,
    pub(super) accounts: Arc<Accounts>,
    pub(super) faults: Faults,
    pub(super) context: ApiContext,
    router: Router,
    pub(super) token: String,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The body of an answer with this status.
    pub(super) fn is(&self, status: u16) -> &Value {
        assert_eq!(self.status, status, "{}", self.body);
        &self.body
    }

    /// The message of a fault of this status and name.
    pub(super) fn fault(&self, status: u16, name: &str) -> &str {
        self.is(status);
        let keys: Vec<_> = self.body.as_object().unwrap().keys().collect();
        assert_eq!(keys, [name], "{}", self.body);
        let keys: Vec<_> = self.body[name].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["code", "message"], "{}", self.body);
        assert_eq!(self.body[name]["code"], status);
        self.body[name]["message"].as_str().unwrap()
    }
}

impl Bench {
    pub(super) async fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let node = FakeNode::new(NodeOptions::default(), clock.clone());
        let faults = Faults::new();
        let store = FakeStore::new(Faults::new());
        let ports = EnginePorts {
            hypervisor: FakeHypervisor::new(node.clone(), faults.clone()),
            store: store.clone(),
            images: FakeImageTransfer::new(node.clone(), Faults::new()),
            probe: Arc::new(FakeProbe::new(&NodeOptions::default(), clock.clone(), Faults::new())),
            history: FakeHistory::new(Faults::new()),
            clock: clock.clone(),
        };
        let stored = store.load().await.unwrap();
        let engine = Engine::start(EngineConfig::default(), ports, stored).await.unwrap();
        assert!(engine.wait_until_ready(SOON).await);
        let records = crate::records::Records::start(store.clone(), Vec::new(), clock.clone());
        let accounts = Accounts::start(store, Vec::new(), Vec::new(), AccountsConfig::default(), clock).unwrap();
        let context = ApiContext {
            records,
            engine: engine.clone(),
            accounts: accounts.clone(),
            node: Arc::new(NodeIdentity { ip_address: "192.0.2.1".into(), process_id: 42, program: "hvnoded".into() }),
            body_bytes_max: 1 << 20,
        };
        let router = router(context.clone(), OpenStackOptions::default());
        let mut bench = Self { node, engine, accounts, faults, context, router, token: String::new() };
        bench.token = bench.account("admin", Role::Admin).await;
        bench
    }

    /// A new account with its token for the project; its password is `right`.
    pub(super) async fn account(&self, name: &str, role: Role) -> String {
        self.accounts.create_account(name, role, "right").await.unwrap();
        let answer = self.send("POST", "/identity/v3/auth/tokens", &[], Some(log_in(name, "right"))).await;
        answer.is(201);
        answer.header("x-subject-token").to_owned()
    }

    /// Sends a request as it is; every answer is held against the OpenAPI document.
    pub(super) async fn raw(&self, mut request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), documented_path(request.uri().path()));
        request.extensions_mut().insert(RequestId(REQUEST_UUID.into()));
        request.extensions_mut().insert(Peer::at("198.51.100.7"));
        request.headers_mut().insert(header::HOST, "cloud.test:5000".parse().unwrap());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{e}: {bytes:?}")) };
        let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, body };
        assert_ne!(parts.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", answer.body);
        assert_eq!(answer.header("x-openstack-request-id"), format!("req-{REQUEST_UUID}"));
        assert_eq!(answer.header("requestid"), format!("req-{REQUEST_UUID}"));
        let minor = answer.header("openstack-api-version").rsplit_once('.').and_then(|(_, minor)| minor.parse().ok());
        DOCUMENT.check_answer(&method, &path, answer.status, &answer.body, minor);
        answer
    }

    /// Status, headers and bytes of an answer that may be no JSON. Of the administrator, unless a header says otherwise.
    pub(super) async fn bytes(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, Bytes) {
        let all: Vec<_> = [("x-auth-token", self.token.as_str())].iter().chain(headers).copied().collect();
        self.bytes_of(method, path, &all).await
    }

    /// The same, of whom the headers say.
    pub(super) async fn bytes_of(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, Bytes) {
        self.bytes_with(method, path, headers, "").await
    }

    /// The same with a body.
    pub(super) async fn bytes_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, HeaderMap, Bytes) {
        let mut request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        (parts.status.as_u16(), parts.headers, body.collect().await.unwrap().to_bytes())
    }

    pub(super) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if body.is_some() {
            let kind = if method == "PATCH" { "application/openstack-images-v2.1-json-patch" } else { "application/json" };
            request = request.header(header::CONTENT_TYPE, kind);
        }
        self.raw(request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap()).await
    }

    /// A request of the administrator, of the newest version.
    pub(super) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.call_at("2.72", method, path, body).await
    }

    pub(super) async fn call_at(&self, version: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let version = format!("compute {version}");
        self.send(method, path, &[("x-auth-token", &self.token), ("openstack-api-version", &version)], body).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body)).await
    }

    pub(super) async fn act(&self, server: &str, body: Value) -> Answer {
        self.post(&format!("/compute/v2.1/servers/{server}/action"), body).await
    }

    /// An image with bytes.
    pub(super) async fn image(&self, name: &str) -> String {
        let body = json!({"name": name, "disk_format": "qcow2", "container_format": "bare"});
        let id = self.post("/image/v2/images", body).await.is(201)["id"].as_str().unwrap().to_owned();
        let method = json!({"method": {"name": "web-download", "uri": "http://images.test/a.qcow2"}});
        self.post(&format!("/image/v2/images/{id}/import"), method).await.is(202);
        let uuid: uuid::Uuid = id.parse().unwrap();
        let is_ready = move |s: &hvnode_core::engine::Snapshot| {
            s.images.get(&uuid).is_some_and(|image| image.status == hvnode_core::model::ImageStatus::Ready)
        };
        assert!(self.engine.wait_until(SOON, is_ready).await);
        id
    }

    pub(super) async fn flavor(&self, name: &str, ram: u64) -> String {
        let body = json!({"flavor": {"name": name, "ram": ram, "vcpus": 1, "disk": 1}});
        self.post("/compute/v2.1/flavors", body).await.is(200)["flavor"]["id"].as_str().unwrap().to_owned()
    }

    /// What a server is made from.
    pub(super) async fn wish(&self, name: &str) -> Value {
        let (image, flavor) = (self.image(&format!("image of {name}")).await, self.flavor(&format!("flavor of {name}"), 256).await);
        json!({"server": {"name": name, "imageRef": image, "flavorRef": flavor, "networks": "none"}})
    }

    /// A server that runs.
    pub(super) async fn server(&self, name: &str) -> String {
        let wish = self.wish(name).await;
        let id = self.post("/compute/v2.1/servers", wish).await.is(202)["server"]["id"].as_str().unwrap().to_owned();
        self.until(&id, "ACTIVE").await;
        id
    }

    /// Waits until a server is in a settled state.
    pub(super) async fn until(&self, id: &str, status: &str) -> Value {
        let ask = async || {
            let server = self.get(&format!("/compute/v2.1/servers/{id}")).await.body["server"].clone();
            (server["status"] == status && server["OS-EXT-STS:task_state"].is_null()).then_some(server)
        };
        wait_for(&format!("server {id} to be {status}"), SOON, ask).await
    }

    /// Waits until a server is gone.
    pub(super) async fn until_gone(&self, id: &str) {
        let ask = async || (self.get(&format!("/compute/v2.1/servers/{id}")).await.status == 404).then_some(());
        wait_for(&format!("server {id} to go"), SOON, ask).await;
    }

    /// What a refused request must leave as it was.
    pub(super) fn everything(&self) -> String {
        let snapshot = self.engine.snapshot();
        let vms: Vec<_> = snapshot.vms.values().map(|vm| (vm.record.clone(), vm.status)).collect();
        let records: Vec<_> = ["server", "failed_server", "image", "flavor", "keypair"]
            .iter()
            .map(|kind| self.context.records.list("openstack", kind))
            .collect();
        format!("{:?}", (vms, &snapshot.volumes, &snapshot.images, &snapshot.specifications, self.node.domain_count(), records))
    }

    /// Action, request and error code of the newest rows of the operation log.
    pub(super) async fn log(&self) -> Vec<(String, Value, u32)> {
        let page = Page { offset: 0, limit: 50, order: SortOrder::Descending };
        let rows = self.engine.list_operations(OperationFilter::default(), page).await.unwrap().rows;
        rows.into_iter().map(|row| (row.action, row.request, row.error.map_or(0, |error| error.code.number()))).collect()
    }
}

/// The one spelling of a path that the document has: without a slash at its end, a project in it, or the prefix left out.
fn documented_path(path: &str) -> String {
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let project = format!("/{}", project_id());
    let path = path.replacen(&format!("/compute/v2.1{project}/"), "/compute/v2.1/", 1);
    let path = path.replacen(&format!("/volume/v3{project}/"), "/volume/v3/", 1);
    if path == "/v3" || path.starts_with("/v3/") { format!("/identity{path}") } else { path }
}

/// A request for a token for the project.
pub(super) fn log_in(name: &str, password: &str) -> Value {
    json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {"name": name, "password": password, "domain": {"name": "Default"}}}},
        "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
    }})
}

/// The seed's form of compute.
pub(super) fn seed_path(rest: &str) -> String {
    format!("/v1/{}{rest}", project_id())
}

#[test]
fn what_the_frame_reports_has_an_error_body() {
    let response = OpenStackErrors.respond(&hvnode_core::fail!(TooManyRequests, "later"), REQUEST_UUID);
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["x-openstack-request-id"], format!("req-{REQUEST_UUID}"));
}
