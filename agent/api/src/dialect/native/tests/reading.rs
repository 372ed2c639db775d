//! Reads: lists, filters, consoles, and routes that only say why not.

use super::super::route::{Method, Offer};
use super::super::table::routes;
use super::bench::Bench;
use http::StatusCode;
use hvnode_core::fake::plain_domain;
use hvnode_core::model::ObservedVm;
use serde_json::{Value, json};
use uuid::Uuid;

fn outsider(vm_uuid: Uuid) -> ObservedVm {
    ObservedVm { cpu_cores: 3, ..plain_domain(vm_uuid, "somebody's") }
}

#[tokio::test]
async fn somebody_elses_vm_is_shown_and_cannot_be_changed() {
    let bench = Bench::new().await;
    let vm_uuid = Uuid::from_u128(9);
    bench.node.define_outside(outsider(vm_uuid));
    assert!(bench.engine.wait_until(crate::test_support::SOON, |snapshot| snapshot.vms.contains_key(&vm_uuid)).await);
    let list = bench.get("/v1/vm/list").await;
    let vm = &list.data()["list"][0];
    assert_eq!((&vm["management"], &vm["vm_name"], &vm["cpu_cores"]), (&json!("unmanaged"), &json!("somebody's"), &json!(3)));
    assert_eq!((&vm["create_time"], &vm["freshness"]), (&Value::Null, &json!("fresh")));
    assert_eq!(bench.get(&format!("/v1/vm/inspect?vm_uuid={vm_uuid}")).await.data()["vm"]["metadata"], json!({}));
    for action in ["start", "stop", "reboot", "reset", "pause", "resume", "delete"] {
        assert_eq!(bench.post(&format!("/v1/vm/{action}"), json!({"vm_uuid": vm_uuid})).await.code(), 13015, "{action}");
    }
}

#[tokio::test]
async fn every_list_pages_filters_and_sorts() {
    let bench = Bench::new().await;
    for name in ["b", "a", "c"] {
        bench.post("/v1/specification/create", json!({"specification_name": name, "cpu_cores": 1, "memory_size": 1 << 30})).await.data();
    }
    let names = |answer: &super::bench::Answer| -> Vec<String> {
        let list = answer.data()["list"].as_array().unwrap();
        list.iter().map(|item| item["specification_name"].as_str().unwrap().to_owned()).collect()
    };
    let base = "/v1/specification/list";
    assert_eq!(names(&bench.get(&format!("{base}?sort_by=name")).await), ["a", "b", "c"]);
    assert_eq!(names(&bench.get(&format!("{base}?sort_order=asc")).await), ["b", "a", "c"]);
    let page = bench.get(&format!("{base}?sort_by=name&page_size=2&page_number=2")).await;
    assert_eq!((names(&page), &page.data()["total_count"]), (vec!["c".to_owned()], &json!(3)));
    assert_eq!(names(&bench.get(&format!("{base}?name=b&page_size=0")).await), ["b"]);
    assert_eq!(bench.get(&format!("{base}?tenant_uuid={}", Uuid::from_u128(5))).await.data()["total_count"], 0);
    for route in routes().iter().filter(|route| route.path.ends_with("/list") && !matches!(route.offer, Offer::NotBuilt)) {
        let answer = bench.get(&format!("{}?{}", route.path, if route.common.is_some() { "page_size=1&name=x" } else { "" })).await;
        assert!(answer.data()["list"].is_array() && answer.data()["total_count"].is_u64(), "{}", route.path);
    }
}

#[tokio::test]
async fn a_cached_list_is_never_older_than_the_node() {
    let bench = Bench::new().await;
    assert_eq!(bench.get("/v1/vm/list").await.data()["total_count"], 0);
    let vm_uuid = bench.vm("web").await;
    for status in ["running", "stopped"] {
        let list = bench.get("/v1/vm/list").await;
        assert_eq!((&list.data()["total_count"], &list.data()["list"][0]["status"]), (&json!(1), &json!(status)));
        assert_eq!(bench.get("/v1/vm/list").await.text, list.text);
        let _stopped_or_not = bench.post("/v1/vm/stop", json!({"vm_uuid": vm_uuid})).await;
    }
}

#[tokio::test]
async fn vms_are_filtered_by_what_they_are_made_of() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    let inspected = bench.get(&format!("/v1/vm/inspect?vm_uuid={vm_uuid}")).await;
    let vm = &inspected.data()["vm"];
    let network = vm["interfaces"][0]["network_uuid"].as_str().unwrap();
    let other = Uuid::from_u128(77).to_string();
    for (field, value) in
        [("image_uuid", vm["image_uuid"].as_str().unwrap()), ("network_uuid", network), ("host_uuid", vm["host_uuid"].as_str().unwrap())]
    {
        assert_eq!(bench.get(&format!("/v1/vm/list?{field}={value}")).await.data()["total_count"], 1, "{field}");
        assert_eq!(bench.get(&format!("/v1/vm/list?{field}={other}")).await.data()["total_count"], 0, "{field}");
    }
    assert_eq!(bench.get(&format!("/v1/host/vm/list?host_uuid={other}")).await.code(), 12000);
    assert_eq!(bench.get("/v1/host/vm/list").await.data()["total_count"], 1);
    assert!(vm["ip_address"].is_string() && vm["interfaces"][0]["netmask"].is_string(), "{vm}");
}

#[tokio::test]
async fn host_repository_and_networks_are_shown() {
    let bench = Bench::new().await;
    let host = bench.get("/v1/host/inspect").await;
    assert_eq!(host.data()["host"]["status"], "up");
    assert_eq!(bench.get("/v1/host/list").await.data()["list"][0], host.data()["host"]);
    let repository = bench.get("/v1/repository/list").await;
    let uuid = repository.data()["list"][0]["repository_uuid"].as_str().unwrap();
    assert!(bench.get(&format!("/v1/repository/inspect?repository_uuid={uuid}")).await.data()["repository"]["storage_size"].is_u64());
    assert!(bench.engine.wait_until(crate::test_support::SOON, |snapshot| !snapshot.networks.is_empty()).await);
    let networks = bench.get("/v1/network/list?sort_by=name").await;
    let network = &networks.data()["list"][0];
    assert_eq!((&network["network_type"], &network["dhcp_enabled"]), (&json!("nat"), &json!(true)));
    let inspected = bench.get(&format!("/v1/network/inspect?network_uuid={}", network["network_uuid"].as_str().unwrap())).await;
    assert_eq!(&inspected.data()["network"], network);
}

#[tokio::test]
async fn consoles_are_read_and_found() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    assert!(bench.get(&format!("/v1/vm/console/log?vm_uuid={vm_uuid}&line_count=5")).await.data()["output"].is_string());
    let console = bench.get(&format!("/v1/vm/console/inspect?vm_uuid={vm_uuid}&console_type=vnc")).await;
    assert!(console.data()["console"]["url"].as_str().unwrap().starts_with("vnc"));
    assert_eq!(bench.get(&format!("/v1/vm/console/inspect?vm_uuid={vm_uuid}&console_type=serial")).await.code(), 13013);
    assert_eq!(bench.get(&format!("/v1/vm/console/inspect?vm_uuid={vm_uuid}&console_type=spice")).await.code(), 13013);
    assert_eq!(bench.get(&format!("/v1/vm/console/log?vm_uuid={}", Uuid::nil())).await.code(), 13000);
    bench.post("/v1/vm/stop", json!({"vm_uuid": vm_uuid, "force": true})).await.data();
    assert_eq!(bench.get(&format!("/v1/vm/console/inspect?vm_uuid={vm_uuid}")).await.code(), 13002);
}

#[tokio::test]
async fn jobs_and_log_rows_are_found_by_what_they_are_about() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    bench.post("/v1/vm/stop", json!({"vm_uuid": vm_uuid, "force": true})).await.data();
    let jobs = bench.get(&format!("/v1/job/list?resource_uuid={vm_uuid}&status=succeeded")).await;
    let actions: Vec<_> = jobs.data()["list"].as_array().unwrap().iter().map(|job| job["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["stop_vm", "create_vm"]);
    assert_eq!(bench.get("/v1/job/list?status=failed").await.data()["total_count"], 0);
    assert_eq!(bench.get("/v1/job/list?sort_by=name").await.code(), 10003);
    let log = bench.get(&format!("/v1/operation_log/list?resource_uuid={vm_uuid}&resource_type=vm&user_name=root&status=succeeded")).await;
    assert_eq!(log.data()["total_count"], 2);
    let row = &log.data()["list"][0];
    assert_eq!((&row["action"], &row["dialect"], &row["request_id"]), (&json!("/v1/vm/stop"), &json!("native"), &json!("request-1")));
    let uuid = row["operation_log_uuid"].as_str().unwrap();
    assert_eq!(&bench.get(&format!("/v1/operation_log/inspect?operation_log_uuid={uuid}")).await.data()["operation_log"], row);
    assert_eq!(bench.get("/v1/operation_log/list?start_time=2&end_time=1").await.code(), 19000);
    assert_eq!(bench.get("/v1/operation_log/list?resource_type=cow").await.code(), 10003);
}

#[tokio::test]
async fn routes_that_are_not_built_say_so_and_change_nothing() {
    let bench = Bench::new().await;
    let before = bench.everything();
    let is_refusing = |offer| matches!(offer, Offer::NotBuilt | Offer::NotOnOneNode);
    for route in routes().iter().filter(|route| is_refusing(route.offer) && route.common.is_none()) {
        let answer = match route.method {
            Method::Get => bench.get(route.path).await,
            Method::Post => bench.post(route.path, json!({"x": 1})).await,
        };
        assert_eq!((answer.status, answer.code()), (StatusCode::OK, 10005), "{}", route.path);
    }
    for path in ["/v1/usm/list", "/v1/vsm/list", "/v1/load_balancer/list"] {
        assert_eq!(bench.get(path).await.data(), &json!({"total_count": 0, "list": []}));
    }
    assert_eq!(bench.everything(), before);
}
