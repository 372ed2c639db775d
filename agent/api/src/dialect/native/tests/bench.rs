//! A node in memory, and a client of its native API.

use super::super::{NativeOptions, openapi, routes};
use crate::accounts::{Accounts, AccountsConfig};
use crate::context::{ApiContext, NodeIdentity, Peer, RequestId, TrustedPeer};
use crate::frame::Routes;
use crate::test_document::Document;
use crate::test_support::{SOON, measured};
use axum::body::Body;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use hvnode_core::engine::{Engine, EngineConfig, EnginePorts};
use hvnode_core::fake::{FakeHistory, FakeHypervisor, FakeImageTransfer, FakeNode, FakeProbe, FakeStore, Faults, NodeOptions};
use hvnode_core::model::Role;
use hvnode_core::port::{Clock, Durability, Store, SystemClock, Write};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

pub(super) const BODY_BYTES_MAX: usize = 1 << 20;

static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::new(openapi(), Some("Envelope")));

/// A node and its API. Requests come from a trusted unix peer unless a token is sent.
pub(super) struct Bench {
    pub(super) node: FakeNode,
    pub(super) engine: Engine,
    pub(super) accounts: Arc<Accounts>,
    pub(super) images: Arc<FakeImageTransfer>,
    pub(super) history: Arc<FakeHistory>,
    pub(super) faults: Faults,
    pub(super) routes: Arc<dyn Routes>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: http::HeaderMap,
    pub(super) text: String,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn code(&self) -> u64 {
        self.body["status_code"].as_u64().unwrap()
    }

    /// The data of a success.
    pub(super) fn data(&self) -> &Value {
        assert_eq!(self.code(), 0, "{}", self.body);
        assert_eq!(self.body["stack"], Value::Null);
        &self.body["data"]
    }

    pub(super) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap()
    }

    /// Every answer has the envelope, whatever happened.
    fn check(&self) {
        let object = self.body.as_object().unwrap();
        let mut keys: Vec<_> = object.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["data", "message", "message_cn", "message_en", "stack", "status_code"]);
        assert_eq!(self.body["message"], self.body["message_en"]);
        assert!(!self.message().is_empty() && !self.body["message_cn"].as_str().unwrap().is_empty());
        assert!(self.message().starts_with(|c: char| c.is_ascii_uppercase()));
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/json");
        if self.code() == 0 {
            return assert_eq!(self.body["stack"], Value::Null);
        }
        let stack = self.body["stack"].as_array().unwrap();
        assert!((1..=16).contains(&stack.len()), "{}", self.body);
        for line in stack {
            let line = line.as_str().unwrap();
            let names: Vec<_> = line.split(',').map(|part| part.split_once(':').unwrap().0).collect();
            assert_eq!(names, ["ip", "pid", "bin", "code", "filename", "func", "line"], "{line}");
            assert!(line.starts_with("ip:192.0.2.1,pid:42,bin:hvnoded,") && !line.contains(' '), "{line}");
            assert!(line.contains(&format!(",code:{},", self.code())), "{line}");
        }
    }
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::with_past(Vec::new()).await
    }

    /// A node whose store already holds what `past` writes.
    pub(super) async fn with_past(past: Vec<Write>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let node = FakeNode::new(NodeOptions::default(), clock.clone());
        let faults = Faults::new();
        let store = FakeStore::new(faults.clone());
        let history = FakeHistory::new(faults.clone());
        if !past.is_empty() {
            store.commit(past, Durability::Durable).await.unwrap();
        }
        let images = FakeImageTransfer::new(node.clone(), faults.clone());
        let ports = EnginePorts {
            hypervisor: FakeHypervisor::new(node.clone(), faults.clone()),
            store: store.clone(),
            images: images.clone(),
            probe: Arc::new(FakeProbe::new(&NodeOptions::default(), clock.clone(), Faults::new())),
            history: history.clone(),
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
            body_bytes_max: BODY_BYTES_MAX,
        };
        Self { node, engine, accounts, images, history, faults, routes: routes(context, NativeOptions::default()) }
    }

    /// Waits until the host and a VM have a point of usage.
    pub(super) async fn measured(&self, vm_uuid: Uuid) {
        measured(&self.engine, vm_uuid).await;
    }

    /// Sends a request as it is; every answer is held against the envelope and the OpenAPI document.
    pub(super) async fn send(&self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(RequestId("request-1".into()));
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.routes.answer(request).await;
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let answer = Answer { status: parts.status, headers: parts.headers, text, body };
        answer.check();
        DOCUMENT.check_answer(&method, &path, answer.status.as_u16(), &answer.body, None);
        answer
    }

    /// Opens an answer that is no envelope and may have no end.
    pub(super) async fn open(&self, path: &str, last_event_id: Option<&str>) -> axum::response::Response {
        let mut request = trusted(Request::get(path));
        if let Some(id) = last_event_id {
            request = request.header("Last-Event-ID", id);
        }
        self.respond(request.body(Body::empty()).unwrap()).await
    }

    /// The response as it comes.
    pub(super) async fn respond(&self, request: Request<Body>) -> axum::response::Response {
        self.routes.answer(request).await
    }

    /// The status alone, for answers without a body.
    pub(super) async fn send_unread(&self, request: Request<Body>) -> StatusCode {
        self.routes.answer(request).await.status()
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(trusted(Request::get(path)).body(Body::empty()).unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        self.post_raw(path, "application/json", body.to_string()).await
    }

    pub(super) async fn post_raw(&self, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        self.send(trusted(Request::post(path)).header(header::CONTENT_TYPE, content_type).body(body.into()).unwrap()).await
    }

    /// A request of somebody with this token and no other rights.
    pub(super) async fn with_token(&self, method: &str, path: &str, token: &str, body: Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, token);
        }
        let mut request = request.body(if method == "GET" { Body::empty() } else { Body::from(body.to_string()) }).unwrap();
        request.extensions_mut().insert(Peer::at("198.51.100.7"));
        self.send(request).await
    }

    pub(super) async fn account(&self, user_name: &str, role: Role, password: &str) -> String {
        self.accounts.create_account(user_name, role, password).await.unwrap();
        let answer = self.with_token("POST", "/v1/user/login", "", json!({"user_name": user_name, "password": password})).await;
        answer.data()["token"].as_str().unwrap().to_owned()
    }

    pub(super) async fn image(&self, image_name: &str) -> String {
        let body = json!({"image_name": image_name, "url": "http://images.test/a.qcow2", "format": "qcow2"});
        let answer = self.post("/v1/image/create", body).await;
        answer.data()["image"]["image_uuid"].as_str().unwrap().to_owned()
    }

    pub(super) async fn vm(&self, vm_name: &str) -> String {
        let image = self.image(&format!("image of {vm_name}")).await;
        let body = json!({"vm_name": vm_name, "cpu_cores": 1, "memory_size": 256 << 20, "image_uuid": image});
        let answer = self.post("/v1/vm/create", body).await;
        answer.data()["vm"]["vm_uuid"].as_str().unwrap().to_owned()
    }

    /// What a refused request must leave as it was.
    pub(super) fn everything(&self) -> String {
        let snapshot = self.engine.snapshot();
        let vms: Vec<_> = snapshot.vms.values().map(|vm| (vm.record.clone(), vm.status)).collect();
        format!("{:?}", (vms, &snapshot.volumes, &snapshot.images, &snapshot.specifications, self.node.domain_count(), self.node.files()))
    }

    /// The newest rows of the operation log.
    pub(super) async fn log(&self) -> Vec<Value> {
        let answer = self.get("/v1/operation_log/list").await;
        answer.data()["list"].as_array().unwrap().clone()
    }
}

pub(super) fn trusted(builder: http::request::Builder) -> http::request::Builder {
    let root = TrustedPeer { user_name: "root".into(), role: Role::Admin };
    builder.extension(Peer { trusted: Some(root), ..Peer::at("unix") })
}
