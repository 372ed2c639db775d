//! A node in memory, and a client that sends what the command line of this API sends.

use super::super::{DIALECT, ZStackOptions, router};
use crate::accounts::{Accounts, AccountsConfig};
use crate::context::{ApiContext, NodeIdentity, Peer, RequestId};
use crate::records::Records;
use crate::test_support::{SOON, wait_for};
use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hvnode_core::engine::{Engine, EngineConfig, EnginePorts};
use hvnode_core::fake::{FakeHistory, FakeHypervisor, FakeImageTransfer, FakeNode, FakeProbe, FakeStore, Faults, NodeOptions};
use hvnode_core::model::{DialectRecord, Role};
use hvnode_core::port::{Clock, Store, SystemClock};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tower::ServiceExt;

pub(super) const BODY_BYTES_MAX: usize = 1 << 20;
/// SHA-512 of "password", as in the documents.
pub(super) const HASH: &str =
    "b109f3bbbc244eb82441917ed06d618b9008dd09b3befd1b5e07394c706a8bb980b1d7785e5976ec049b46df5f1326af5a2ea6d103fd07c95385ffab0cacbc86";

/// A node and its API, with a session of the administrator.
pub(super) struct Bench {
    pub(super) node: FakeNode,
    pub(super) engine: Engine,
    pub(super) accounts: Arc<Accounts>,
    pub(super) store: Arc<FakeStore>,
    pub(super) faults: Faults,
    pub(super) router: Router,
    pub(super) session: String,
}

/// An answer as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Answer {
    /// The job in it.
    pub(super) fn job(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        let job: Value = serde_json::from_str(&self.text).unwrap();
        let is_done = job["state"] == "Done";
        assert!(is_done || job["state"] == "Processing", "{job}");
        assert_eq!(is_done, job["result"].is_string() && job["finishedDate"].is_string(), "{job}");
        assert!(job["createdDate"].is_string() && (is_done || job["uuid"].is_string()), "{job}");
        job
    }
}

/// The result of a job: its class and what is in it.
pub(super) fn result(job: &Value) -> (String, Map<String, Value>) {
    let result: Map<String, Value> = serde_json::from_str(job["result"].as_str().unwrap()).unwrap();
    assert_eq!(result.len(), 1);
    let (class, content) = result.into_iter().next().unwrap();
    let content = content.as_object().unwrap().clone();
    assert_eq!(content["success"] == true, !content.contains_key("error"), "{content:?}");
    if let Some(error) = content.get("error") {
        let is_text = |name: &str| error[name].as_str().is_some_and(|text| !text.is_empty());
        assert!(["code", "description", "details", "elaboration"].into_iter().all(is_text), "{error}");
    }
    (class, content)
}

/// Every scalar as text, as the command line sends it.
pub(super) fn as_text(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.to_string().into(),
        Value::Bool(flag) => flag.to_string().into(),
        Value::Array(items) => items.iter().map(as_text).collect(),
        Value::Object(object) => object.iter().map(|(name, value)| (name.clone(), as_text(value))).collect::<Map<_, _>>().into(),
        other => other.clone(),
    }
}

impl Bench {
    pub(super) async fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let faults = Faults::new();
        let store = FakeStore::new(faults.clone());
        let node = FakeNode::new(NodeOptions::default(), clock);
        let mut bench = Self::over(node, store, faults, Vec::new()).await;
        bench.accounts.create_account("admin", Role::Admin, "password").await.unwrap();
        bench.session = bench.log_in("admin").await;
        bench
    }

    /// The daemon ends and starts again over the same world and store.
    pub(super) async fn restarted(self) -> Self {
        self.engine.shutdown(SOON).await;
        let faults = Faults::new();
        let store = self.store.reopen(faults.clone());
        let stored = store.load().await.unwrap().dialect_records;
        let mut bench = Self::over(self.node.clone(), store, faults, stored).await;
        bench.session = self.session;
        bench
    }

    async fn over(node: FakeNode, store: Arc<FakeStore>, faults: Faults, records: Vec<DialectRecord>) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ports = EnginePorts {
            hypervisor: FakeHypervisor::new(node.clone(), faults.clone()),
            store: store.clone(),
            images: FakeImageTransfer::new(node.clone(), faults.clone()),
            probe: Arc::new(FakeProbe::new(&NodeOptions::default(), clock.clone(), Faults::new())),
            history: FakeHistory::new(faults.clone()),
            clock: clock.clone(),
        };
        let stored = store.load().await.unwrap();
        let (accounts, tokens) = (stored.accounts.clone(), stored.tokens.clone());
        let engine = Engine::start(EngineConfig::default(), ports, stored).await.unwrap();
        assert!(engine.wait_until_ready(SOON).await);
        let accounts = Accounts::start(store.clone(), accounts, tokens, AccountsConfig::default(), clock.clone()).unwrap();
        let context = ApiContext {
            records: Records::start(store.clone(), records, clock),
            engine: engine.clone(),
            accounts: accounts.clone(),
            node: Arc::new(NodeIdentity { ip_address: "192.0.2.1".into(), process_id: 42, program: "hvnoded".into() }),
            body_bytes_max: BODY_BYTES_MAX,
        };
        let router = router(context, ZStackOptions::default());
        Self { node, engine, accounts, store, faults, router, session: String::new() }
    }

    pub(super) async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        request.extensions_mut().insert(RequestId("request-1".into()));
        request.extensions_mut().insert(Peer::at("198.51.100.7"));
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert!(response.extensions().get::<crate::context::ResultCode>().is_some() || response.status() == StatusCode::NOT_FOUND);
        let status = response.status();
        let text = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status, text }
    }

    /// Sends one message as it is, and gives the job.
    pub(super) async fn post(&self, class: &str, fields: Value) -> Value {
        self.send("POST", "/zstack/api", json!({ class: fields }).to_string()).await.job()
    }

    /// Sends one message in the session, typed as the command line does, and asks until it is done.
    pub(super) async fn run(&self, class: &str, fields: Value) -> (String, Map<String, Value>) {
        let mut fields = as_text(&fields);
        fields["session"] = json!({"uuid": self.session});
        let job = self.post(class, fields).await;
        if job["state"] == "Done" {
            return result(&job);
        }
        let uuid = job["uuid"].as_str().unwrap();
        let ask = async || Some(self.poll(uuid).await).filter(|job| job["state"] == "Done");
        result(&wait_for(class, SOON, ask).await)
    }

    pub(super) async fn poll(&self, uuid: &str) -> Value {
        self.send("GET", &format!("/zstack/api/result/{uuid}"), Body::empty()).await.job()
    }

    /// The content of a success.
    pub(super) async fn ok(&self, class: &str, fields: Value) -> Map<String, Value> {
        let (reply_class, content) = self.run(class, fields).await;
        assert_eq!(content["success"], true, "{class}: {content:?}");
        assert!(reply_class.starts_with(class.strip_suffix("Msg").unwrap()), "{reply_class}");
        content
    }

    /// The error of a failure.
    pub(super) async fn refused(&self, class: &str, fields: Value) -> (String, String) {
        let (_, content) = self.run(class, fields).await;
        assert_eq!(content["success"], false, "{class}: {content:?}");
        let text = |name: &str| content["error"][name].as_str().unwrap().to_owned();
        (text("code"), text("details"))
    }

    /// The inventories that a query finds.
    pub(super) async fn query(&self, class: &str, conditions: Value) -> Vec<Value> {
        self.ok(class, json!({ "conditions": conditions })).await["inventories"].as_array().unwrap().clone()
    }

    pub(super) async fn log_in(&self, account: &str) -> String {
        let fields = json!({"accountName": account, "password": HASH, "session": {}});
        let (_, content) = result(&self.post("org.zstack.header.identity.APILogInByAccountMsg", fields).await);
        content["inventory"]["uuid"].as_str().unwrap_or_else(|| panic!("{content:?}")).to_owned()
    }

    pub(super) async fn image(&self, name: &str) -> String {
        let fields = json!({"name": name, "url": "http://images.test/a.qcow2", "format": "qcow2", "backupStorageUuids": []});
        let content = self.ok("org.zstack.header.image.APIAddImageMsg", fields).await;
        content["inventory"]["uuid"].as_str().unwrap().to_owned()
    }

    pub(super) async fn vm(&self, name: &str) -> String {
        let image = self.image(&format!("image of {name}")).await;
        let fields = json!({"name": name, "imageUuid": image, "cpuNum": 1, "memorySize": 256_u32 << 20});
        let content = self.ok("org.zstack.header.vm.APICreateVmInstanceMsg", fields).await;
        content["inventory"]["uuid"].as_str().unwrap().to_owned()
    }

    /// What a refused message must leave as it was.
    pub(super) fn everything(&self) -> String {
        let snapshot = self.engine.snapshot();
        let vms: Vec<_> = snapshot.vms.values().map(|vm| (vm.record.clone(), vm.status)).collect();
        let records: Vec<_> = ["zone", "cluster", "disk_offering", "system_tag", "user_tag"].map(|kind| (kind, DIALECT)).to_vec();
        format!("{:?}", (vms, &snapshot.volumes, &snapshot.images, &snapshot.specifications, self.node.domain_count(), records))
    }

    /// The newest rows of the operation log.
    pub(super) async fn log(&self) -> Vec<hvnode_core::model::Operation> {
        let page = hvnode_core::port::Page { offset: 0, limit: 100, order: hvnode_core::port::SortOrder::Descending };
        self.engine.list_operations(hvnode_core::port::OperationFilter::default(), page).await.unwrap().rows
    }
}
