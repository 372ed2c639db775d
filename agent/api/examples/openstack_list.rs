//! What `openstack server list` costs the node, held against the native list: 500 VMs in memory, both answered by the same process in turns.
//!
//! The client's command asks for servers, their images and flavors (its log-in is apart). "Unchanged" is a node that is polled and at rest;
//! "changed" is one where something has changed between two polls, so that every list is written anew. Medians, in microseconds.
//!
//!     cargo run --release -p hvnode-api --example openstack_list -- [VMS] [ROUNDS]

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a program that measures")]

use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use hvnode_api::accounts::{Accounts, AccountsConfig};
use hvnode_api::context::{ApiContext, NodeIdentity, Peer, RequestId};
use hvnode_api::dialect::{native, openstack};
use hvnode_api::records::Records;
use hvnode_core::engine::{Engine, EngineConfig, EnginePorts};
use hvnode_core::fake::{FakeHistory, FakeHypervisor, FakeImageTransfer, FakeNode, FakeProbe, FakeStore, Faults, NodeOptions};
use hvnode_core::model::Role;
use hvnode_core::port::{Clock, Store, SystemClock};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower::ServiceExt;

const PASSWORD: &str = "a password of the bench";
const OPENSTACK_PATHS: [&str; 3] =
    ["/compute/v2.1/servers/detail?deleted=False", "/image/v2/images", "/compute/v2.1/flavors/detail?is_public=None"];
const NATIVE_PATH: &str = "/v1/vm/list?page_size=0";

struct Bench {
    native: Router,
    openstack: Router,
    native_token: String,
    openstack_token: String,
}

impl Bench {
    async fn new(vms: usize) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let options = NodeOptions { memory_bytes: 1 << 42, cpu_threads: 1024, pool_bytes: 1 << 50, ..NodeOptions::default() };
        let node = FakeNode::new(options.clone(), clock.clone());
        let store = FakeStore::new(Faults::new());
        let ports = EnginePorts {
            hypervisor: FakeHypervisor::new(node.clone(), Faults::new()),
            store: store.clone(),
            images: FakeImageTransfer::new(node, Faults::new()),
            probe: Arc::new(FakeProbe::new(&options, clock.clone(), Faults::new())),
            history: FakeHistory::new(Faults::new()),
            clock: clock.clone(),
        };
        let engine = Engine::start(EngineConfig::default(), ports, store.load().await.unwrap()).await.unwrap();
        assert!(engine.wait_until_ready(Duration::from_secs(60)).await);
        let records = Records::start(store.clone(), Vec::new(), clock.clone());
        let accounts = Accounts::start(store, Vec::new(), Vec::new(), AccountsConfig::default(), clock).unwrap();
        accounts.create_account("admin", Role::Admin, PASSWORD).await.unwrap();
        let log_in = async |dialect: &str| accounts.log_in(dialect, "192.0.2.9", "admin", PASSWORD).await.unwrap().token;
        let (native_token, openstack_token) = (log_in("native").await, log_in("openstack").await);
        let identity = NodeIdentity { ip_address: "192.0.2.1".into(), process_id: 1, program: "hvnoded".into() };
        let context = ApiContext { engine, accounts, records, node: Arc::new(identity), body_bytes_max: 1 << 20 };
        let native = native::router(context.clone(), native::NativeOptions::default());
        let openstack = openstack::router(context, openstack::OpenStackOptions::default());
        let bench = Self { native, openstack, native_token, openstack_token };
        bench.fill(vms).await;
        bench
    }

    async fn fill(&self, vms: usize) {
        let image = json!({"image_name": "disk", "url": "http://images.test/a.qcow2", "format": "qcow2"});
        let image = self.change("/v1/image/create", image).await["image"]["image_uuid"].clone();
        let shape = json!({"specification_name": "small", "cpu_cores": 1, "memory_size": 256 << 20});
        let shape = self.change("/v1/specification/create", shape).await["specification"]["specification_uuid"].clone();
        let network = self.ask(&self.native, "authorization", &self.native_token, "/v1/network/list", None).await;
        let network = serde_json::from_slice::<Value>(&network).unwrap()["data"]["list"][0]["network_uuid"].clone();
        for number in 0..vms {
            // A part of them on a network, as many as have addresses there.
            let interfaces = if number < 100 { json!([{"network_uuid": network}]) } else { json!([]) };
            let body =
                json!({"vm_name": format!("vm-{number}"), "image_uuid": image, "specification_uuid": shape, "interfaces": interfaces});
            self.change("/v1/vm/create", body).await;
        }
    }

    async fn change(&self, path: &str, body: Value) -> Value {
        let answer = self.ask(&self.native, "authorization", &self.native_token, path, Some(body)).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["status_code"], 0, "{answer}");
        answer["data"].clone()
    }

    async fn ask(&self, router: &Router, header: &str, token: &str, path: &str, body: Option<Value>) -> bytes::Bytes {
        let method = if body.is_some() { "POST" } else { "GET" };
        let mut request = Request::builder().method(method).uri(path).header(header, token).header("host", "node:5000");
        request = request.header("content-type", "application/json").header("openstack-api-version", "compute 2.72");
        let mut request = request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap();
        request.extensions_mut().insert(Peer::at("192.0.2.9"));
        request.extensions_mut().insert(RequestId("bench".into()));
        let answer = router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.into_body().collect().await.unwrap().to_bytes()
    }

    async fn native(&self) -> (Duration, usize) {
        let begin = Instant::now();
        let answer = self.ask(&self.native, "authorization", &self.native_token, NATIVE_PATH, None).await;
        (begin.elapsed(), answer.len())
    }

    /// Time of the first answer, which has the servers; of all; bytes of all.
    async fn openstack(&self) -> (Duration, Duration, usize) {
        let begin = Instant::now();
        let (mut first, mut bytes) = (None, 0);
        for path in OPENSTACK_PATHS {
            bytes += self.ask(&self.openstack, "x-auth-token", &self.openstack_token, path, None).await.len();
            first.get_or_insert(begin.elapsed());
        }
        (first.unwrap(), begin.elapsed(), bytes)
    }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse().unwrap());
    let (vms, rounds) = (numbers.next().unwrap_or(500), numbers.next().unwrap_or(100));
    let bench = Bench::new(vms).await;
    let (native_bytes, openstack_bytes) = (bench.native().await.1, bench.openstack().await.2);
    println!(
        "{vms} VMs: native list {native_bytes} bytes, openstack server list {openstack_bytes} bytes in {} answers",
        OPENSTACK_PATHS.len()
    );
    for is_changed in [false, true] {
        let (mut native, mut servers, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            if is_changed {
                let name = format!("shape-{round}");
                bench
                    .change("/v1/specification/create", json!({"specification_name": name, "cpu_cores": 1, "memory_size": 256 << 20}))
                    .await;
            }
            native.push(bench.native().await.0);
            let (first, whole, _) = bench.openstack().await;
            servers.push(first);
            all.push(whole);
        }
        let (native, servers, all) = (median(native), median(servers), median(all));
        let word = if is_changed { "changed" } else { "unchanged" };
        let (of_servers, of_all) = (servers / native, all / native);
        println!(
            "{word}: native {native:.0} us; servers {servers:.0} us, ratio {of_servers:.2}; all answers {all:.0} us, ratio {of_all:.2}"
        );
    }
}
