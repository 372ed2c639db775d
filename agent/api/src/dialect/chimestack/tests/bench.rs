//! A node in memory, and a client of this API.

use super::super::{ChimeStackOptions, DIALECT, openapi, router};
use crate::accounts::{Accounts, AccountsConfig};
use crate::context::{ApiContext, NodeIdentity, Peer, RequestId};
use crate::records::Records;
use crate::test_document::Document;
use crate::test_support::{SOON, wait_for};
use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use hvnode_core::engine::{Engine, EngineConfig, EnginePorts};
use hvnode_core::fake::{FakeHistory, FakeHypervisor, FakeImageTransfer, FakeNode, FakeProbe, FakeStore, Faults, NodeOptions};
use hvnode_core::model::Role;
use hvnode_core::port::{Clock, Store, SystemClock};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use tower::ServiceExt;
use uuid::Uuid;

pub(super) const PASSWORD: &str = "admin";

static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::new(openapi(), Some("Failure")));

/// A node and its API.
pub(super) struct Bench {
    pub(super) node: FakeNode,
    pub(super) engine: Engine,
    pub(super) accounts: Arc<Accounts>,
    pub(super) images: Arc<FakeImageTransfer>,
    pub(super) faults: Faults,
    pub(super) router: Router,
    /// Of an administrator.
    pub(super) token: String,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Answer {
    /// The result of a success.
    pub(super) fn result(&self) -> &Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        &self.body["result"]
    }

    /// HTTP status, number, status word.
    pub(super) fn failure(&self) -> (u16, u64, &str) {
        let error = &self.body["error"];
        (self.status.as_u16(), error["code"].as_u64().unwrap_or(0), error["status"].as_str().unwrap_or(""))
    }

    pub(super) fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    /// Every answer has the envelope, whatever happened.
    fn check(&self) {
        let object = self.body.as_object().unwrap();
        assert!(object["requestId"].as_str().is_some_and(|id| Uuid::try_parse(id).is_ok()), "{}", self.body);
        assert!(object.contains_key("result") && object.keys().all(|key| ["error", "requestId", "result"].contains(&key.as_str())));
        if self.status == StatusCode::OK {
            return assert!(object.get("error").is_none_or(Value::is_null), "{}", self.body);
        }
        assert!([400, 401, 403, 404, 500].contains(&self.status.as_u16()), "{}", self.status);
        assert_eq!(object["result"], Value::Null);
        assert!(!self.message().is_empty() && self.failure().1 > 0 && !self.failure().2.is_empty(), "{}", self.body);
    }
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::with(ChimeStackOptions::default()).await
    }

    pub(super) async fn with(options: ChimeStackOptions) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let node = FakeNode::new(NodeOptions::default(), clock.clone());
        let faults = Faults::new();
        let store = FakeStore::new(faults.clone());
        let images = FakeImageTransfer::new(node.clone(), faults.clone());
        let ports = EnginePorts {
            hypervisor: FakeHypervisor::new(node.clone(), faults.clone()),
            store: store.clone(),
            images: images.clone(),
            probe: Arc::new(FakeProbe::new(&NodeOptions::default(), clock.clone(), Faults::new())),
            history: FakeHistory::new(faults.clone()),
            clock: clock.clone(),
        };
        let engine = Engine::start(EngineConfig::default(), ports, store.load().await.unwrap()).await.unwrap();
        assert!(engine.wait_until_ready(SOON).await);
        let records = Records::start(store.clone(), Vec::new(), clock.clone());
        let accounts = Accounts::start(store, Vec::new(), Vec::new(), AccountsConfig::default(), clock).unwrap();
        let identity = NodeIdentity { ip_address: "192.0.2.1".into(), process_id: 42, program: "hvnoded".into() };
        let context =
            ApiContext { records, engine: engine.clone(), accounts: accounts.clone(), node: Arc::new(identity), body_bytes_max: 1 << 20 };
        let mut bench = Self { node, engine, accounts, images, faults, router: router(context, options), token: String::new() };
        bench.token = bench.account("admin", Role::Admin).await;
        bench
    }

    pub(super) async fn account(&self, name: &str, role: Role) -> String {
        self.accounts.create_account(name, role, PASSWORD).await.unwrap();
        self.accounts.log_in(DIALECT, "198.51.100.7", name, PASSWORD).await.unwrap().token
    }

    /// Sends a request as it is; every answer is held against the envelope and the OpenAPI document.
    pub(super) async fn send(&self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(RequestId("request-1".into()));
        request.extensions_mut().insert(Peer::at("198.51.100.7"));
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, kind) = (response.status(), response.headers()[header::CONTENT_TYPE].clone());
        assert_eq!(kind, "application/json");
        assert!(method != http::Method::HEAD, "its answer has no body: use `status`");
        let text = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let answer = Answer { status, body: serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")) };
        answer.check();
        DOCUMENT.check_answer(&method, &path, status.as_u16(), &answer.body, None);
        answer
    }

    /// The status alone, for answers without a body.
    pub(super) async fn status(&self, method: &str, path: &str) -> StatusCode {
        let request = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    }

    /// A request with this token; a body only where it is not null.
    pub(super) async fn with_token(&self, method: &str, path: &str, token: &str, body: Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Body::from(body.to_string())
        };
        self.send(request.body(body).unwrap()).await
    }

    pub(super) async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        self.with_token(method, path, &self.token, body).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, Value::Null).await
    }

    /// The only entry of a list.
    pub(super) async fn only(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!((&answer.result()["size"], &answer.result()["total"]), (&json!(1), &json!(1)), "{path}");
        answer.result()["elements"][0].clone()
    }

    pub(super) async fn az(&self) -> String {
        text(&self.only("/v1/az").await["uuid"])
    }

    /// The path of the cluster: `C` in the documents.
    pub(super) async fn cluster(&self) -> String {
        let az = self.az().await;
        let cluster = self.only(&format!("/v1/az/{az}/cluster")).await;
        format!("/v1/az/{az}/cluster/{}", text(&cluster["uuid"]))
    }

    /// Adds an image and waits until it is there.
    pub(super) async fn image(&self, name: &str, url: &str) -> String {
        let answer = self.call("POST", "/v1/image/public", json!({"name": name, "install_url": url})).await;
        let uuid = text(&answer.result()["image"]["uuid"]);
        self.until(&format!("/v1/image/{uuid}"), |image| image["image"]["state"] == 1 && image["image"]["operation"] == "").await;
        uuid
    }

    /// The body of a create with one NIC, an own root disk and one data disk.
    pub(super) async fn vm_body(&self, name: &str) -> Value {
        let cluster = self.cluster().await;
        let network = self.get(&format!("{cluster}/network?name=default")).await.result()["elements"][0].clone();
        let subnet = self.only(&format!("{cluster}/network/{}/subnet", text(&network["uuid"]))).await;
        let spec = json!({"name": format!("spec of {name}"), "vcpus": 1, "memory": 256 << 20});
        let spec = self.call("POST", "/v1/instance_spec", spec).await.result()["instance_spec"].clone();
        let image = self.image(&format!("image of {name}"), "http://images.test/a.qcow2").await;
        let disk_spec = self.only("/v1/volume_spec").await["uuid"].clone();
        let group = self.only("/v1/securitygroup").await["uuid"].clone();
        json!({
            "az_uuid": self.az().await, "cluster_uuid": cluster.rsplit('/').next().unwrap(), "instance_spec_uuid": spec["uuid"], "name": name,
            "nics": [{"name": "eth-main", "subnet_uuid": subnet["uuid"], "sg_uuid": group, "primary": 1, "description": "front"}],
            "volumes": [
                {"name": "data-1", "size": 1 << 30, "volume_spec_uuid": disk_spec, "root": 0, "description": "rows"},
                {"name": "root-1", "size": 10_u64 << 30, "volume_spec_uuid": disk_spec, "root": 1, "image_uuid": image},
            ],
        })
    }

    /// A running VM.
    pub(super) async fn vm(&self, name: &str) -> String {
        let answer = self.call("POST", "/v1/vm", self.vm_body(name).await).await;
        let uuid = text(&answer.result()["vm"]["uuid"]);
        self.settled(&uuid, 1).await;
        uuid
    }

    /// Waits until nothing is in flight and the VM has this state.
    pub(super) async fn settled(&self, vm: &str, state: i64) -> Value {
        let result = self.until(&format!("/v1/vm/{vm}"), |result| result["vm"]["operation"] == "" && result["vm"]["state"] == state).await;
        result["vm"].clone()
    }

    /// Waits until a GET answers 404.
    pub(super) async fn gone(&self, path: &str) -> Answer {
        let ask = async || Some(self.get(path).await).filter(|answer| answer.status == StatusCode::NOT_FOUND);
        wait_for(&format!("{path} to go"), SOON, ask).await
    }

    pub(super) async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let ask = async || Some(self.get(path).await.result().clone()).filter(&is_so);
        wait_for(path, SOON, ask).await
    }

    /// What a refused request must leave as it was.
    pub(super) fn everything(&self) -> String {
        let snapshot = self.engine.snapshot();
        let vms: Vec<_> = snapshot.vms.values().map(|vm| (vm.record.clone(), vm.status)).collect();
        format!("{:?}", (vms, &snapshot.volumes, &snapshot.images, &snapshot.specifications, self.node.domain_count(), self.node.files()))
    }
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
