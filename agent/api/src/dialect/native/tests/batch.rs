//! Batches: one envelope per entry, in their order, and no entry hurts another.

use super::bench::Bench;
use serde_json::{Value, json};

#[tokio::test]
async fn each_entry_has_its_own_envelope_in_its_own_place() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    let unknown = "00000000-0000-4000-8000-000000000009";
    let list = json!([
        {"vm_uuid": vm_uuid, "force": true},
        {"vm_uuid": unknown},
        {"vm_uuid": "nonsense"},
        {"vm_uid": vm_uuid},
        {},
        7,
    ]);
    let answer = bench.post("/v1/vm/stop", json!({ "list": list })).await;
    let data = answer.data();
    assert_eq!((&data["success"], &data["fail"]), (&json!(1), &json!(5)));
    let results = data["results"].as_array().unwrap();
    let codes: Vec<_> = results.iter().map(|result| result["status_code"].as_u64().unwrap()).collect();
    assert_eq!(codes, [0, 13000, 10003, 10003, 10002, 10001]);
    assert_eq!(results[0]["data"]["vm_uuid"], vm_uuid);
    assert!(results[0]["data"]["job_uuid"].is_string());
    assert_eq!(results[1]["data"], json!({"vm_uuid": unknown}));
    assert!(results.iter().all(|result| result["data"]["vm_uuid"].is_string() && result["message"] == result["message_en"]));
    assert!(results[1]["stack"].is_array() && results[0]["stack"].is_null());
}

#[tokio::test]
async fn many_entries_run_side_by_side_and_keep_their_order() {
    let bench = Bench::new().await;
    let entry = |n: usize| json!({"specification_name": format!("s{}", n % 100), "cpu_cores": 1, "memory_size": 1 << 30});
    let list: Vec<_> = (0..200).map(entry).collect();
    let answer = bench.post("/v1/specification/create", json!({ "list": list })).await;
    let results = answer.data()["results"].as_array().unwrap();
    assert_eq!((&answer.data()["success"], results.len()), (&json!(100), 200));
    for (n, result) in results.iter().enumerate().filter(|(_, result)| result["status_code"] == 0) {
        assert_eq!(result["data"]["specification"]["specification_name"], format!("s{}", n % 100));
        assert_eq!(result["data"]["specification_uuid"], result["data"]["specification"]["specification_uuid"]);
    }
}

#[tokio::test]
async fn a_batch_that_is_none_is_refused_as_a_whole() {
    let bench = Bench::new().await;
    let entry = json!({"vm_uuid": "00000000-0000-4000-8000-000000000009"});
    for (body, code) in [
        (json!({"list": []}), 10003),
        (json!({"list": {}}), 10001),
        (json!({"list": null}), 10001),
        (json!({"list": "x"}), 10001),
        (json!({"list": vec![entry.clone(); 201]}), 10003),
        (json!({"list": [entry], "wait_seconds": 1}), 10003),
    ] {
        let answer = bench.post("/v1/vm/start", body.clone()).await;
        assert_eq!((answer.code(), &answer.body["data"]), (code, &Value::Null), "{body}");
    }
}

#[tokio::test]
async fn secrets_of_entries_stay_out_of_answer_and_log() {
    let bench = Bench::new().await;
    let entry = json!({"vm_name": "a", "password": "hunter2", "cpu_cores": 1, "memory_size": 1 << 30, "image_uuid": "x"});
    let answer = bench.post("/v1/vm/create", json!({"list": [entry]})).await;
    assert_eq!(answer.data()["fail"], 1);
    assert!(!answer.text.contains("hunter2"));
    let log = bench.log().await;
    assert_eq!((&log[0]["status_code"], &log[0]["request"]["password"]), (&json!(10003), &json!("***")));
}
