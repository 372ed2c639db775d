//! VMs through this API from their making to their end.

use super::bench::{Bench, result};
use crate::test_support::SOON;
use hvnode_core::fake::{Fault, plain_domain};
use hvnode_core::model::{ObservedVm, VmStatus};
use serde_json::json;
use uuid::Uuid;

const V: &str = "org.zstack.header.vm.API";

fn vm(name: &str) -> String {
    format!("{V}{name}Msg")
}

async fn state(bench: &Bench, uuid: &str) -> String {
    let found = bench.query(&vm("QueryVmInstance"), json!([{"name": "uuid", "op": "=", "value": uuid}])).await;
    found[0]["state"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_vm_is_made_from_an_offering_and_goes_through_its_life() {
    let bench = Bench::new().await;
    let image = bench.image("image").await;
    let offering = json!({"name": "small", "cpuNum": 1, "memorySize": 512_u32 << 20});
    let offering = bench.ok("org.zstack.header.configuration.APICreateInstanceOfferingMsg", offering).await;
    let disk = json!({"name": "disk", "diskSize": 1_u64 << 30});
    let disk = bench.ok("org.zstack.header.configuration.APICreateDiskOfferingMsg", disk).await;
    let networks = bench.query("org.zstack.header.network.l3.APIQueryL3NetworkMsg", json!([])).await;
    let network = networks.iter().find(|network| network["name"] == "default").unwrap();
    let wanted = Uuid::new_v4().simple().to_string();
    let fields = json!({
        "name": "web-1", "imageUuid": image, "instanceOfferingUuid": offering["inventory"]["uuid"], "l3NetworkUuids": [network["uuid"]],
        "dataDiskOfferingUuids": [disk["inventory"]["uuid"]], "resourceUuid": wanted, "timeout": 1_800_000,
        "systemTags": ["hostname::web", "userdata::I2Nsb3VkLWNvbmZpZwo="],
    });
    let created = bench.ok(&vm("CreateVmInstance"), fields).await;
    let inventory = &created["inventory"];
    assert_eq!(inventory["uuid"], wanted.as_str());
    assert_eq!(
        (&inventory["state"], &inventory["cpuNum"], &inventory["memorySize"]),
        (&json!("Running"), &json!(1), &json!(512_u32 << 20))
    );
    assert_eq!(inventory["vmNics"].as_array().unwrap().len(), 1);
    assert_eq!(inventory["vmNics"][0]["l3NetworkUuid"], network["uuid"]);
    assert_eq!(inventory["allVolumes"].as_array().unwrap().len(), 2);
    let tags = bench.query("org.zstack.header.tag.APIQuerySystemTagMsg", json!([])).await;
    assert_eq!((tags.len(), &tags[0]["tag"]), (1, &json!("hostname::web")));

    let uuid = json!({ "uuid": wanted });
    for (message, expected) in [
        ("PauseVmInstance", "Paused"),
        ("ResumeVmInstance", "Running"),
        ("RebootVmInstance", "Running"),
        ("StopVmInstance", "Stopped"),
        ("StartVmInstance", "Running"),
    ] {
        let content = bench.ok(&vm(message), uuid.clone()).await;
        assert_eq!(content["inventory"]["state"], expected, "{message}");
    }
    let stopped = bench.ok(&vm("StopVmInstance"), json!({"uuid": wanted, "type": "cold"})).await;
    assert!(stopped["inventory"].get("hostUuid").is_none() && stopped["inventory"]["lastHostUuid"].is_string());
    let changed = bench.ok(&vm("UpdateVmInstance"), json!({"uuid": wanted, "name": "web-2", "description": "d"})).await;
    assert_eq!((&changed["inventory"]["name"], &changed["inventory"]["description"]), (&json!("web-2"), &json!("d")));
    let resized = bench.ok(&vm("UpdateVmInstance"), json!({"uuid": wanted, "cpuNum": 2})).await;
    assert_eq!(resized["inventory"]["cpuNum"], 2);
    let fields = json!({"vmInstanceUuid": wanted, "instanceOfferingUuid": offering["inventory"]["uuid"]});
    assert_eq!(bench.ok(&vm("ChangeInstanceOffering"), fields).await["inventory"]["cpuNum"], 1);

    let gone = bench.ok(&vm("DestroyVmInstance"), json!({"uuid": wanted, "deleteMode": "Enforcing"})).await;
    assert!(gone.get("inventory").is_none());
    assert_eq!(state(&bench, &wanted).await, "Destroyed");
    assert_eq!(bench.ok(&vm("RecoverVmInstance"), uuid.clone()).await["inventory"]["state"], "Stopped");
    bench.ok(&vm("DestroyVmInstance"), uuid.clone()).await;
    bench.ok(&vm("ExpungeVmInstance"), uuid.clone()).await;
    assert!(bench.query(&vm("QueryVmInstance"), json!([])).await.is_empty());
    assert_eq!((bench.node.domain_count(), bench.engine.snapshot().volumes.len()), (0, 0));
    assert_eq!(bench.refused(&vm("StartVmInstance"), uuid).await.0, "SYS.1003");
}

#[tokio::test]
async fn a_vm_busy_or_in_the_wrong_state_is_refused_with_this_apis_code() {
    let bench = Bench::new().await;
    let uuid = bench.vm("a").await;
    let vm_uuid = Uuid::try_parse(&uuid).unwrap();
    assert_eq!(bench.refused(&vm("StartVmInstance"), json!({ "uuid": uuid })).await.0, "VM.1010");
    bench.node.set_heeds_requests(vm_uuid, false);
    let fields = json!({"uuid": uuid, "session": {"uuid": bench.session}});
    let job = bench.post(&vm("StopVmInstance"), fields).await;
    assert_eq!(job["state"], "Processing");
    assert_eq!(state(&bench, &uuid).await, "Stopping");
    let (code, details) = bench.refused(&vm("RebootVmInstance"), json!({ "uuid": uuid })).await;
    assert_eq!(code, "VM.1010", "{details}");
    // A forced stop cuts a graceful one short.
    bench.ok(&vm("StopVmInstance"), json!({"uuid": uuid, "type": "cold"})).await;
    assert_eq!(state(&bench, &uuid).await, "Stopped");
    assert_eq!(bench.refused(&vm("RecoverVmInstance"), json!({ "uuid": uuid })).await.0, "VM.1010");
    assert_eq!(bench.refused(&vm("ExpungeVmInstance"), json!({ "uuid": uuid })).await.0, "VM.1010");
}

#[tokio::test]
async fn results_are_kept_over_a_restart_of_the_daemon() {
    let bench = Bench::new().await;
    let session = json!({ "uuid": bench.session });
    let uuid = bench.vm("a").await;
    let zone = bench.post("org.zstack.header.zone.APICreateZoneMsg", json!({"session": session, "name": "zone1"})).await;
    let stop = bench.post(&vm("StopVmInstance"), json!({"session": session, "uuid": uuid})).await;
    let stop_uuid = Uuid::try_parse(stop["uuid"].as_str().unwrap()).unwrap();
    assert!(bench.engine.wait_for_job(stop_uuid, SOON).await.unwrap().status.is_ended());
    let wrong = bench.post(&vm("StopVmInstance"), json!({"session": session, "uuid": uuid})).await;
    assert_eq!(result(&wrong).1["success"], false);

    let bench = bench.restarted().await;
    let (class, content) = result(&bench.poll(zone["uuid"].as_str().unwrap()).await);
    assert_eq!((class.as_str(), &content["inventory"]["name"]), ("org.zstack.header.zone.APICreateZoneEvent", &json!("zone1")));
    let (class, content) = result(&bench.poll(stop["uuid"].as_str().unwrap()).await);
    assert_eq!((class.as_str(), &content["inventory"]["state"]), ("org.zstack.header.vm.APIStopVmInstanceEvent", &json!("Stopped")));
    // The session is still good.
    bench.ok(&vm("StartVmInstance"), json!({ "uuid": uuid })).await;
    assert_eq!(bench.engine.snapshot().vms.values().next().unwrap().status, VmStatus::Running);
}

#[tokio::test]
async fn a_job_that_fails_says_why() {
    let bench = Bench::new().await;
    let uuid = bench.vm("a").await;
    bench.ok(&vm("StopVmInstance"), json!({"uuid": uuid, "type": "cold"})).await;
    bench.faults.on_every("ensure_started", Fault::FailBefore(hvnode_core::fail!(VmStartFailed, "no room")));
    let (code, details) = bench.refused(&vm("StartVmInstance"), json!({ "uuid": uuid })).await;
    assert_eq!(code, "VM.1001", "{details}");
}

#[tokio::test]
async fn somebody_elses_job_is_not_shown() {
    let bench = Bench::new().await;
    let uuid = bench.vm("a").await;
    let request = hvnode_core::engine::ChangeRequest {
        caller: hvnode_core::model::Caller::system(),
        change: hvnode_core::verb::ChangeInput::PauseVm(hvnode_core::verb::VmOnlyInput { vm_uuid: Uuid::try_parse(&uuid).unwrap() }),
        request_uuid: None,
        action: vm("PauseVmInstance"),
        resource_name: None,
        request: json!({}),
    };
    let job = bench.engine.submit(request).await.unwrap().job;
    let path = format!("/zstack/api/result/{}", job.job_uuid.simple());
    assert_eq!(bench.send("GET", &path, axum::body::Body::empty()).await.status, http::StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_screen_of_a_vm_that_is_on_has_an_address() {
    let bench = Bench::new().await;
    let uuid = bench.vm("a").await;
    let reply = bench.ok(&vm("GetVmConsoleAddress"), json!({ "uuid": uuid })).await;
    assert_eq!((&reply["protocol"], &reply["hostIp"]), (&json!("vnc"), &json!("127.0.0.1")));
    assert!(reply["port"].as_u64().unwrap() >= 5900);
    let access = "org.zstack.header.console.APIRequestConsoleAccessMsg";
    assert_eq!(bench.ok(access, json!({ "vmInstanceUuid": uuid })).await["inventory"]["port"], reply["port"]);
    bench.ok(&vm("StopVmInstance"), json!({"uuid": uuid, "type": "cold"})).await;
    assert_eq!(bench.refused(&vm("GetVmConsoleAddress"), json!({ "uuid": uuid })).await.0, "VM.1010");
}

#[tokio::test]
async fn usage_comes_from_the_history_of_the_node() {
    let bench = Bench::new().await;
    let uuid = bench.vm("a").await;
    let vm_uuid = Uuid::try_parse(&uuid).unwrap();
    let deadline = tokio::time::Instant::now() + SOON;
    while bench.engine.readings().vm_point(vm_uuid).is_none() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let class = "org.zstack.zwatch.api.APIGetMetricDataMsg";
    let fields = json!({"namespace": "ZStack/VM", "metricName": "MemoryUsedBytes", "labels": [format!("VMUuid={uuid}")]});
    let data = bench.ok(class, fields).await["data"].clone();
    assert!(data[0]["value"].as_f64().unwrap() > 0.0 && data[0]["time"].as_u64().unwrap() > 1_700_000_000, "{data}");
    assert_eq!(data[0]["labels"]["VMUuid"], uuid.as_str());
    bench.ok(class, json!({"namespace": "ZStack/Host", "metricName": "CPUUsedUtilization"})).await;
    for fields in [
        json!({"namespace": "ZStack/Nothing", "metricName": "MemoryUsedBytes"}),
        json!({"namespace": "ZStack/VM", "metricName": "Beauty"}),
        json!({"namespace": "ZStack/VM", "metricName": "MemoryUsedBytes", "labels": ["colour=red"]}),
        json!({"namespace": "ZStack/VM", "metricName": "MemoryUsedBytes", "startTime": 10, "endTime": 5}),
    ] {
        assert_eq!(bench.refused(class, fields).await.0, "SYS.1007");
    }
}

#[tokio::test]
async fn somebody_elses_vm_is_shown_and_cannot_be_changed() {
    let bench = Bench::new().await;
    let vm_uuid = Uuid::from_u128(9);
    bench.node.define_outside(ObservedVm { cpu_cores: 3, ..plain_domain(vm_uuid, "somebody's") });
    assert!(bench.engine.wait_until(SOON, |snapshot| snapshot.vms.contains_key(&vm_uuid)).await);
    let found = bench.query(&vm("QueryVmInstance"), json!([])).await;
    assert_eq!((&found[0]["name"], &found[0]["cpuNum"], &found[0]["state"]), (&json!("somebody's"), &json!(3), &json!("Running")));
    for message in ["Start", "Stop", "Reboot", "Pause", "Resume", "Destroy", "Expunge", "Recover"] {
        assert_eq!(bench.refused(&vm(&format!("{message}VmInstance")), json!({ "uuid": vm_uuid })).await.0, "VM.1010", "{message}");
    }
}

#[tokio::test]
async fn addresses_strategies_and_disk_sizes_arrive_as_they_were_sent() {
    let bench = Bench::new().await;
    let image = bench.image("image").await;
    let networks = bench.query("org.zstack.header.network.l3.APIQueryL3NetworkMsg", json!([])).await;
    let find = |name: &str| networks.iter().find(|network| network["name"] == name).unwrap()["uuid"].as_str().unwrap();
    let fields = json!({
        "name": "a", "imageUuid": image, "cpuNum": 1, "memorySize": 256_u32 << 20, "strategy": "CreateStopped",
        "l3NetworkUuids": [find("default"), find("isolated")], "defaultL3NetworkUuid": find("isolated"),
        "systemTags": [format!("staticIp::{}::192.168.122.77", find("default"))],
        "dataDiskSizes": [1_u64 << 30], "rootDiskSize": 4_u64 << 30,
    });
    let made = bench.ok(&vm("CreateVmInstance"), fields).await["inventory"].clone();
    assert_eq!((&made["state"], &made["defaultL3NetworkUuid"]), (&json!("Stopped"), &json!(find("isolated"))));
    assert_eq!(made["vmNics"][1]["ip"], "192.168.122.77");
    let sizes: Vec<_> =
        made["allVolumes"].as_array().unwrap().iter().map(|disk| (&disk["type"], &disk["size"], &disk["deviceId"])).collect();
    assert_eq!(sizes, [(&json!("Root"), &json!(4_u64 << 30), &json!(0)), (&json!("Data"), &json!(1_u64 << 30), &json!(1))]);
    let none = json!({"name": "b", "imageUuid": image, "cpuNum": 1, "memorySize": 256_u32 << 20, "l3NetworkUuids": []});
    assert_eq!(bench.ok(&vm("CreateVmInstance"), none).await["inventory"]["vmNics"], json!([]));
}
