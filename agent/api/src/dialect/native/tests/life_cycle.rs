//! Changes: what a client that does everything right gets.

use super::bench::Bench;
use crate::test_support::SOON;
use hvnode_core::fake::Fault;
use hvnode_core::model::VmStatus;
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn a_vm_lives_from_create_to_delete() {
    let bench = Bench::new().await;
    let image = bench.image("debian").await;
    let specification = json!({"specification_name": "small", "cpu_cores": 2, "memory_size": 512 << 20});
    let specification = bench.post("/v1/specification/create", specification).await;
    let specification_uuid = specification.data()["specification"]["specification_uuid"].clone();
    assert!(specification.data()["job_uuid"].is_string());

    let body = json!({
        "vm_name": "web", "specification_uuid": specification_uuid, "image_uuid": image, "password": "hunter2", "metadata": {"a": "b"},
        "usds": [{"usd_name": "data", "storage_size": 1 << 30}],
    });
    let created = bench.post("/v1/vm/create", body).await;
    let vm = &created.data()["vm"];
    assert_eq!((&vm["status"], &vm["cpu_cores"], &vm["specification_name"]), (&json!("running"), &json!(2), &json!("small")));
    assert_eq!(vm["metadata"], json!({"a": "b"}));
    assert_eq!(vm["usds"].as_array().unwrap().len(), 2);
    assert_eq!(vm["interfaces"].as_array().unwrap().len(), 1);
    assert!(!created.text.contains("hunter2"));
    let vm_uuid = vm["vm_uuid"].clone();

    for (action, status) in
        [("pause", "paused"), ("resume", "running"), ("reboot", "running"), ("reset", "running"), ("stop", "stopped"), ("start", "running")]
    {
        let answer = bench.post(&format!("/v1/vm/{action}"), json!({"vm_uuid": vm_uuid, "vm_name": "web"})).await;
        assert_eq!((&answer.data()["vm_uuid"], &answer.data()["vm_name"]), (&vm_uuid, &json!("web")), "{action}");
        let inspected = bench.get(&format!("/v1/vm/inspect?vm_uuid={}", vm_uuid.as_str().unwrap())).await;
        assert_eq!(inspected.data()["vm"]["status"], status, "after {action}");
    }

    let update = json!({"vm_uuid": vm_uuid, "new_name": "db", "description": "d", "metadata": {}, "auto_start": true});
    assert!(bench.post("/v1/vm/update", update).await.data()["job_uuid"].is_string());
    assert_eq!(bench.post("/v1/vm/resize", json!({"vm_uuid": vm_uuid, "cpu_cores": 4})).await.code(), 13002);
    bench.post("/v1/vm/stop", json!({"vm_uuid": vm_uuid, "force": true})).await.data();
    bench.post("/v1/vm/resize", json!({"vm_uuid": vm_uuid, "cpu_cores": 4})).await.data();
    let list = bench.get("/v1/vm/list?name=db").await;
    assert_eq!(list.data()["list"][0]["cpu_cores"], 4);

    let deleted = bench.post("/v1/vm/delete", json!({"vm_uuid": vm_uuid, "delete_usd": true})).await;
    assert_eq!(deleted.data()["delete_usd"], true);
    assert_eq!(bench.get("/v1/vm/list").await.data(), &json!({"total_count": 0, "list": []}));
    assert_eq!(bench.node.domain_count(), 0);
}

#[tokio::test]
async fn a_vm_is_resized_with_a_restart_and_goes_back_or_keeps_its_shape() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    let inspect = || async { bench.get(&format!("/v1/vm/inspect?vm_uuid={vm_uuid}")).await.data()["vm"].clone() };
    let before = inspect().await;
    assert_eq!(before["resized_from"], Value::Null);
    let resize = json!({"vm_uuid": vm_uuid, "cpu_cores": 4, "restart": true, "keep_previous": true});
    for action in ["revert", "confirm"] {
        bench.post("/v1/vm/resize", resize.clone()).await.data();
        let resized = inspect().await;
        let former = json!({
            "cpu_cores": before["cpu_cores"], "memory_size": before["memory_size"], "specification_uuid": null, "specification_name": null,
        });
        assert_eq!((&resized["resized_from"], &resized["cpu_cores"], &resized["status"]), (&former, &json!(4), &json!("running")));
        assert_eq!(bench.post("/v1/vm/resize", resize.clone()).await.code(), 13002);
        bench.post(&format!("/v1/vm/resize/{action}"), json!({"vm_uuid": vm_uuid})).await.data();
        let expected = if action == "revert" { &before["cpu_cores"] } else { &json!(4) };
        let after = inspect().await;
        assert_eq!(
            (&after["cpu_cores"], &after["resized_from"], &after["status"]),
            (expected, &Value::Null, &json!("running")),
            "{action}"
        );
        assert_eq!(bench.post(&format!("/v1/vm/resize/{action}"), json!({"vm_uuid": vm_uuid})).await.code(), 13002, "{action}");
    }
}

#[tokio::test]
async fn an_answer_does_not_wait_longer_than_the_caller_wants() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    bench.post("/v1/vm/stop", json!({"vm_uuid": vm_uuid})).await.data();
    bench.faults.on("ensure_started", 1, Fault::HoldBefore);
    let answer = bench.post("/v1/vm/start", json!({"vm_uuid": vm_uuid, "wait_seconds": 0})).await;
    let data = answer.data();
    assert_eq!((&data["job_status"], &data["vm_uuid"]), (&json!("running"), &json!(vm_uuid)));
    let job = data["job_uuid"].as_str().unwrap();
    let busy = bench.post("/v1/vm/reboot", json!({"vm_uuid": vm_uuid})).await;
    assert_eq!(busy.code(), 13010);
    bench.faults.wait_for_calls("ensure_started", 2).await;
    bench.faults.release();
    assert!(bench.engine.wait_until(SOON, |snapshot| snapshot.open_jobs.is_empty()).await);
    let inspected = bench.get(&format!("/v1/job/inspect?job_uuid={job}")).await;
    let job = &inspected.data()["job"];
    assert_eq!((&job["status"], &job["action"], &job["progress"]), (&json!("succeeded"), &json!("start_vm"), &json!(100)));
}

#[tokio::test]
async fn a_failed_job_is_its_error_and_can_be_found() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    bench.post("/v1/vm/stop", json!({"vm_uuid": vm_uuid})).await.data();
    bench.faults.on_every("ensure_started", Fault::FailBefore(hvnode_core::fail!(VmStartFailed, "no memory"; "内存不足")));
    let answer = bench.post("/v1/vm/start", json!({"vm_uuid": vm_uuid})).await;
    assert_eq!((answer.code(), &answer.body["data"]), (13004, &Value::Null));
    assert_eq!(answer.body["message_cn"], "虚拟机启动失败: 内存不足");
    let job = answer.headers["x-job-uuid"].to_str().unwrap();
    let inspected = bench.get(&format!("/v1/job/inspect?job_uuid={job}")).await;
    let job = &inspected.data()["job"];
    assert_eq!((&job["status"], &job["status_code"], &job["resource_uuid"]), (&json!("failed"), &json!(13004), &json!(vm_uuid)));
    assert!(job["stack"][0].as_str().unwrap().starts_with("ip:"));
}

#[tokio::test]
async fn the_same_request_uuid_gives_the_same_job() {
    let bench = Bench::new().await;
    let key = Uuid::new_v4();
    let body = |cores: u32| json!({"specification_name": "s", "cpu_cores": cores, "memory_size": 1 << 30, "request_uuid": key});
    let first = bench.post("/v1/specification/create", body(1)).await;
    let again = bench.post("/v1/specification/create", body(1)).await;
    assert_eq!(first.data(), again.data());
    let other = bench.post("/v1/specification/create", body(2)).await;
    assert_eq!(other.code(), 10013);
    assert_eq!(bench.engine.snapshot().specifications.len(), 1);
}

#[tokio::test]
async fn what_waits_may_differ_between_retries() {
    let bench = Bench::new().await;
    let body = |wait: u32| {
        let key = "c7e3ffe3-b072-477e-a92b-8d01243530a9";
        json!({"specification_name": "s", "cpu_cores": 1, "memory_size": 1 << 30, "request_uuid": key, "wait_seconds": wait})
    };
    bench.post("/v1/specification/create", body(0)).await.data();
    bench.post("/v1/specification/create", body(5)).await.data();
}

#[tokio::test]
async fn an_image_is_changed_and_removed_under_both_paths() {
    let bench = Bench::new().await;
    let image_uuid = bench.image("debian").await;
    let update = json!({"image_uuid": image_uuid, "new_name": "debian-13", "os_type": "linux", "boot_type": "uefi"});
    bench.post("/v1/repository/image/update", update).await.data();
    for base in ["/v1/image", "/v1/repository/image"] {
        let image = bench.get(&format!("{base}/inspect?image_uuid={image_uuid}")).await;
        let image = &image.data()["image"];
        assert_eq!((&image["image_name"], &image["boot_type"], &image["status"]), (&json!("debian-13"), &json!("uefi"), &json!("ready")));
    }
    let deleted = bench.post("/v1/repository/image/delete", json!({"image_uuid": image_uuid})).await;
    assert_eq!(deleted.data()["image_uuid"], image_uuid);
    assert_eq!(bench.get(&format!("/v1/image/inspect?image_uuid={image_uuid}")).await.code(), 14010);
}

#[tokio::test]
async fn credentials_in_a_url_are_shown_nowhere() {
    let bench = Bench::new().await;
    let body = json!({"image_name": "a", "url": "https://me:hunter2@images.test/a.qcow2", "format": "qcow2", "wait_seconds": 0});
    let answer = bench.post("/v1/image/create", body).await;
    assert!(!answer.text.contains("hunter2"), "{}", answer.text);
    assert!(bench.engine.wait_until(SOON, |snapshot| snapshot.open_jobs.is_empty()).await);
    for path in ["/v1/image/list", "/v1/operation_log/list", "/v1/job/list"] {
        assert!(!bench.get(path).await.text.contains("hunter2"), "{path}");
    }
}

#[tokio::test]
async fn a_disk_that_a_vm_left_behind_can_be_removed_under_both_names() {
    let bench = Bench::new().await;
    let image = bench.image("debian").await;
    let body = json!({
        "vm_name": "web", "cpu_cores": 1, "memory_size": 256 << 20, "image_uuid": image, "start": false,
        "usds": [{"usd_name": "one", "storage_size": 1 << 30}, {"usd_name": "two", "storage_size": 1 << 30}],
    });
    let vm_uuid = bench.post("/v1/vm/create", body).await.data()["vm"]["vm_uuid"].clone();
    bench.post("/v1/vm/delete", json!({"vm_uuid": vm_uuid})).await.data();
    let left = bench.get("/v1/usd/list?is_root=false&status=available&sort_by=name").await;
    assert_eq!(left.data()["total_count"], 2);
    let (one, two) = (&left.data()["list"][0]["usd_uuid"], &left.data()["list"][1]["usd_uuid"]);
    let volume = bench.get(&format!("/v1/volume/inspect?usd_uuid={}", one.as_str().unwrap())).await;
    let volume = &volume.data()["volume"];
    assert_eq!((&volume["uuid"], &volume["name"], &volume["capacity"], &volume["flag"]), (one, &json!("one"), &json!(1 << 30), &json!(0)));
    bench.post("/v1/usd/delete", json!({"usd_uuid": one})).await.data();
    bench.post("/v1/volume/delete", json!({"usd_uuid": two})).await.data();
    assert_eq!(bench.get("/v1/volume/list").await.data()["total_count"], 0);
}

#[tokio::test]
async fn a_kernel_and_initrd_boot_without_a_disk() {
    let bench = Bench::new().await;
    let mut uuids = Vec::new();
    for format in ["kernel", "initrd"] {
        let body = json!({"image_name": format, "url": "http://images.test/x", "format": format});
        uuids.push(bench.post("/v1/image/create", body).await.data()["image"]["image_uuid"].clone());
    }
    let body = json!({
        "vm_name": "direct", "cpu_cores": 1, "memory_size": 256 << 20, "kernel_image_uuid": uuids[0], "initrd_image_uuid": uuids[1],
        "kernel_command_line": "console=ttyS0 quiet", "interfaces": [],
    });
    let answer = bench.post("/v1/vm/create", body).await;
    let vm = &answer.data()["vm"];
    assert_eq!((&vm["interfaces"], &vm["usds"], &vm["status"]), (&json!([]), &json!([]), &json!("running")));
}

#[tokio::test]
async fn a_running_job_is_canceled_and_that_is_logged() {
    let bench = Bench::new().await;
    bench.images.set_chunk_delay(std::time::Duration::from_millis(50));
    let body = json!({"image_name": "a", "url": "http://images.test/a", "format": "raw", "wait_seconds": 0});
    let job_uuid = bench.post("/v1/image/create", body).await.data()["job_uuid"].clone();
    let answer = bench.post("/v1/job/cancel", json!({"job_uuid": job_uuid})).await;
    assert_eq!(answer.data()["job_uuid"], job_uuid);
    assert!(bench.engine.wait_until(SOON, |snapshot| snapshot.open_jobs.is_empty()).await);
    let job = bench.get(&format!("/v1/job/inspect?job_uuid={}", job_uuid.as_str().unwrap())).await;
    assert_eq!((&job.data()["job"]["status"], &job.data()["job"]["status_code"]), (&json!("canceled"), &json!(20001)));
    assert_eq!(bench.post("/v1/job/cancel", json!({"job_uuid": job_uuid})).await.code(), 20002);
    let log = bench.log().await;
    let cancels: Vec<_> = log.iter().filter(|row| row["action"] == "/v1/job/cancel").map(|row| &row["status_code"]).collect();
    assert_eq!(cancels, [&json!(20002), &json!(0)]);
}

#[tokio::test]
async fn a_wrong_name_never_changes_the_target_and_is_what_the_log_says() {
    let bench = Bench::new().await;
    let (web, _) = (bench.vm("web").await, bench.vm("db").await);
    bench.post("/v1/vm/stop", json!({"vm_uuid": web, "vm_name": "db", "force": true})).await.data();
    let uuid: Uuid = web.parse().unwrap();
    assert_eq!(bench.engine.snapshot().vms[&uuid].status, VmStatus::Stopped);
    assert_eq!(bench.log().await[0]["resource_name"], "db");
}
