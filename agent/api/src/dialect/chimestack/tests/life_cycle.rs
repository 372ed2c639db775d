//! A VM from its making to its end, and what other APIs see of it.

use super::bench::{Bench, text};
use crate::test_support::SOON;
use hvnode_core::engine::ChangeRequest;
use hvnode_core::model::VmStatus;
use hvnode_core::verb::{ChangeInput, VmOnlyInput};
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn a_vm_is_made_stopped_started_renamed_and_deleted() {
    let bench = Bench::new().await;
    let answer = bench.call("POST", "/v1/vm", bench.vm_body("web-1").await).await;
    let vm = &answer.result()["vm"];
    assert_eq!((&vm["state"], &vm["created_at"]), (&json!(0), &json!("0001-01-01T00:00:00Z")));
    let uuid = text(&vm["uuid"]);
    let path = format!("/v1/vm/{uuid}");
    let made = bench.settled(&uuid, 1).await;
    let task = &made["tasks"][0];
    assert_eq!(
        (&task["operation_name"], &task["state"], &task["description"]),
        (&json!("create"), &json!(1), &json!("create-vm-flowchain"))
    );
    assert_eq!(task["request_id"], answer.body["requestId"]);
    for (verb, state, name) in [("stop", 4, "stop"), ("start", 1, "start"), ("stop", 4, "stop")] {
        assert_eq!(bench.call("PUT", &format!("{path}/{verb}"), Value::Null).await.result(), &json!({"vm": "ok"}));
        bench.settled(&uuid, state).await;
        let listed = bench.only("/v1/vm").await;
        assert_eq!((&listed["last_operation_name"], &listed["last_operation_state"]), (&json!(name), &json!(1)));
        assert!(listed["last_operation_finished_at"].is_string());
    }
    let change = json!({"name": "web-2", "description": "second"});
    assert_eq!(bench.call("PATCH", &path, change).await.result(), &json!({"vm": "ok"}));
    let renamed = bench.get(&path).await.result()["vm"].clone();
    assert_eq!((&renamed["name"], &renamed["description"]), (&json!("web-2"), &json!("second")));
    assert_eq!(bench.call("DELETE", &path, Value::Null).await.result(), &json!({"vm": "ok"}));
    assert_eq!(bench.gone(&path).await.failure(), (404, 13000, "NOT_FOUND"));
    let cluster = bench.cluster().await;
    let left = bench.only(&format!("{cluster}/volume")).await;
    assert_eq!((&left["name"], &left["state"]), (&json!("data-1"), &json!(1)), "data volumes outlive their VM");
    bench.call("DELETE", &format!("{cluster}/volume/{}", text(&left["uuid"])), Value::Null).await.result();
    bench.gone(&format!("{cluster}/volume/{}", text(&left["uuid"]))).await;
}

#[tokio::test]
async fn what_was_said_about_nics_and_volumes_is_shown() {
    let bench = Bench::new().await;
    let uuid = bench.vm("web-1").await;
    let vm = bench.get(&format!("/v1/vm/{uuid}")).await.result()["vm"].clone();
    let (nic, volumes) = (&vm["nics"][0], &vm["volumes"]);
    assert_eq!((&nic["name"], &nic["description"], &nic["primary"]), (&json!("eth-main"), &json!("front"), &json!(1)));
    assert_eq!((&volumes[0]["root"], &volumes[0]["size"]), (&json!(1), &json!(10_u64 << 30)));
    assert_eq!((&volumes[1]["name"], &volumes[1]["description"], &volumes[1]["root"]), (&json!("data-1"), &json!("rows"), &json!(0)));
    let path = format!("/v1/nic/{}", text(&nic["uuid"]));
    assert_eq!(bench.call("PATCH", &path, json!({"name": "eth-2"})).await.result(), &json!({"vm": "ok"}));
    let nic = bench.get(&path).await.result()["nic"].clone();
    assert_eq!((&nic["name"], &nic["description"], &nic["attached_vms"][0]["name"]), (&json!("eth-2"), &json!("front"), &json!("web-1")));
    assert_eq!(bench.only("/v1/vm").await["nics"], json!([]), "lists show no parts");
}

#[tokio::test]
async fn a_running_vm_is_deleted_only_by_force_and_then_with_its_volumes() {
    let bench = Bench::new().await;
    let uuid = bench.vm("web-1").await;
    let path = format!("/v1/vm/{uuid}");
    assert_eq!(bench.call("DELETE", &path, Value::Null).await.failure(), (400, 13002, "FAILED_PRECONDITION"));
    assert_eq!(bench.call("DELETE", &format!("{path}?force_del=false"), Value::Null).await.failure().0, 400);
    bench.call("DELETE", &format!("{path}?force_del=true"), Value::Null).await.result();
    bench.gone(&path).await;
    assert_eq!(bench.get(&format!("{}/volume", bench.cluster().await)).await.result()["total"], 0);
}

#[tokio::test]
async fn a_change_through_another_api_shows_while_it_runs_and_makes_the_vm_busy() {
    let bench = Bench::new().await;
    let uuid = bench.vm("web-1").await;
    let vm_uuid = Uuid::try_parse(&uuid).unwrap();
    bench.node.set_heeds_requests(vm_uuid, false);
    let mut caller = hvnode_core::model::Caller::system();
    caller.dialect = "native".into();
    let stop = hvnode_core::verb::StopVmInput { vm_uuid, is_forced: false, timeout_seconds: Some(3) };
    let submit = |change| ChangeRequest {
        caller: caller.clone(),
        change,
        request_uuid: None,
        action: "/v1/vm/stop".into(),
        resource_name: None,
        request: json!({}),
    };
    let job = bench.engine.submit(submit(ChangeInput::StopVm(stop))).await.unwrap().job;
    let shown = bench.get(&format!("/v1/vm/{uuid}")).await.result()["vm"].clone();
    assert_eq!((&shown["operation"], &shown["state"]), (&json!(format!("Stopping#{}", job.job_uuid)), &json!(1)));
    let busy = bench.call("PUT", &format!("/v1/vm/{uuid}/start"), Value::Null).await;
    assert_eq!(busy.failure(), (400, 13010, "FAILED_PRECONDITION"));
    bench.settled(&uuid, 4).await;
    bench.engine.submit(submit(ChangeInput::StartVm(VmOnlyInput { vm_uuid }))).await.unwrap();
    bench.settled(&uuid, 1).await;
    let log = bench.get("/v1/operation_log?name=web").await.result()["elements"].clone();
    let rows: Vec<_> = log.as_array().unwrap().iter().map(|row| (text(&row["method"]), text(&row["path"]))).collect();
    assert!(rows.contains(&(String::new(), "/v1/vm/stop".into())) && rows.contains(&("POST".into(), "/v1/vm".into())), "{rows:?}");
}

#[tokio::test]
async fn an_operator_may_set_the_numbers_of_states() {
    let numbers = [("stopped".to_owned(), 6), ("suspended".to_owned(), 6), ("starting".to_owned(), 6)].into();
    let states = super::super::States::new([("vm_states", &numbers)]).unwrap();
    let bench = Bench::with(super::super::ChimeStackOptions { states }).await;
    let uuid = bench.vm("web-1").await;
    bench.call("PUT", &format!("/v1/vm/{uuid}/stop"), Value::Null).await.result();
    bench.settled(&uuid, 6).await;
}

#[tokio::test]
async fn a_vm_in_the_trash_is_gone_here() {
    let bench = Bench::new().await;
    let uuid = bench.vm("web-1").await;
    let vm_uuid = Uuid::try_parse(&uuid).unwrap();
    let change = hvnode_core::verb::DeleteVmInput { vm_uuid, is_forced: true, is_deleting_volumes: false, keep_days: Some(1) };
    let request = ChangeRequest {
        caller: hvnode_core::model::Caller::system(),
        change: ChangeInput::DeleteVm(change),
        request_uuid: None,
        action: "test".into(),
        resource_name: None,
        request: json!({}),
    };
    bench.engine.submit(request).await.unwrap();
    assert!(
        bench.engine.wait_until(SOON, |s| s.vms.get(&vm_uuid).is_some_and(|vm| vm.status == VmStatus::Deleted && vm.job.is_none())).await
    );
    assert_eq!(bench.get(&format!("/v1/vm/{uuid}")).await.failure().0, 404);
    assert_eq!(
        (&bench.get("/v1/vm").await.result()["total"], &bench.get("/v1/vm_statistic").await.result()["total"]),
        (&json!(0), &json!(0))
    );
}

#[tokio::test]
async fn an_iso_boots_beside_an_empty_root_volume() {
    let bench = Bench::new().await;
    let disc = bench.image("disc", "http://images.test/install.iso").await;
    let mut body = bench.vm_body("web-1").await;
    let disk_image = body["volumes"][1]["image_uuid"].take();
    let spec = body["volumes"][0]["volume_spec_uuid"].clone();
    body["cdrom"] = json!({"name": "install", "image_uuid": disk_image, "volume_spec_uuid": spec, "bootable": 1});
    let refused = bench.call("POST", "/v1/vm", body.clone()).await;
    assert_eq!(refused.failure(), (400, 14012, "INVALID_ARGUMENT"));
    body["cdrom"]["image_uuid"] = disc.into();
    let uuid = text(&bench.call("POST", "/v1/vm", body).await.result()["vm"]["uuid"]);
    assert_eq!(bench.settled(&uuid, 1).await["image_name"], "disc");
}
