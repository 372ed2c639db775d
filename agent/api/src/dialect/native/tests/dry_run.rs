//! Dry runs: the verdict with every reason, and nothing else.

use super::bench::Bench;
use crate::test_support::SOON;
use serde_json::{Value, json};

async fn log_length(bench: &Bench) -> u64 {
    bench.get("/v1/operation_log/list").await.data()["total_count"].as_u64().unwrap()
}

async fn job_count(bench: &Bench) -> u64 {
    bench.get("/v1/job/list").await.data()["total_count"].as_u64().unwrap()
}

#[tokio::test]
async fn a_possible_create_shows_its_definition_and_changes_nothing() {
    let bench = Bench::new().await;
    let image = bench.image("debian").await;
    assert!(bench.engine.wait_until(SOON, |snapshot| snapshot.open_jobs.is_empty()).await);
    let (before, log, jobs) = (bench.everything(), log_length(&bench).await, job_count(&bench).await);
    let body =
        json!({"vm_name": "web", "cpu_cores": 1, "memory_size": 256 << 20, "image_uuid": image, "password": "hunter2", "dry_run": true});
    let answer = bench.post("/v1/vm/create", body).await;
    let data = answer.data();
    assert_eq!((&data["dry_run"], &data["is_possible"], &data["problems"]), (&json!(true), &json!(true), &json!([])));
    assert!(data["domain_xml"].is_string() && data.get("job_uuid").is_none(), "{data}");
    assert!(!answer.text.contains("hunter2"));
    assert_eq!((bench.everything(), log_length(&bench).await, job_count(&bench).await), (before, log, jobs));
}

#[tokio::test]
async fn an_impossible_create_has_every_reason_at_once() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    let image = bench.get(&format!("/v1/vm/inspect?vm_uuid={vm_uuid}")).await.data()["vm"]["image_uuid"].clone();
    let (before, log) = (bench.everything(), log_length(&bench).await);
    let body = json!({"vm_name": "web", "cpu_cores": 1, "memory_size": 1_u64 << 50, "image_uuid": image, "dry_run": true});
    let answer = bench.post("/v1/vm/create", body).await;
    let data = answer.data();
    assert_eq!((&data["is_possible"], &data["domain_xml"]), (&json!(false), &Value::Null));
    let problems = data["problems"].as_array().unwrap();
    assert!(problems.len() >= 2, "{data}");
    for problem in problems {
        assert!(problem["status_code"].as_u64().unwrap() > 0);
        assert!(!problem["message"].as_str().unwrap().is_empty() && !problem["message_cn"].as_str().unwrap().is_empty());
    }
    assert!(problems.iter().any(|problem| problem["status_code"] == 13001), "the name is taken: {data}");
    assert_eq!((bench.everything(), log_length(&bench).await), (before, log));
}

#[tokio::test]
async fn every_change_of_a_vm_can_be_tried() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    let before = bench.everything();
    for (action, is_possible) in
        [("stop", true), ("delete", true), ("start", false), ("adopt", false), ("expunge", false), ("reboot", true)]
    {
        let answer = bench.post(&format!("/v1/vm/{action}"), json!({"vm_uuid": vm_uuid, "dry_run": true})).await;
        assert_eq!(answer.data()["is_possible"], is_possible, "{action}: {}", answer.text);
    }
    let answer = bench.post("/v1/vm/resize", json!({"vm_uuid": vm_uuid, "cpu_cores": 2, "dry_run": true})).await;
    assert_eq!(answer.data()["problems"][0]["status_code"], 13002);
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn what_is_wrong_with_the_request_itself_is_an_error_and_is_not_logged() {
    let bench = Bench::new().await;
    let log = log_length(&bench).await;
    assert_eq!(bench.post("/v1/vm/create", json!({"vm_name": "web", "dry_run": true})).await.code(), 10002);
    assert_eq!(log_length(&bench).await, log);
    assert_eq!(bench.post("/v1/vm/start", json!({"vm_uuid": "x", "dry_run": "yes"})).await.code(), 10001);
    // Only changes of VMs can be tried.
    assert_eq!(bench.post("/v1/specification/create", json!({"specification_name": "s", "dry_run": true})).await.code(), 10003);
}
