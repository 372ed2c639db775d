//! A VM's whole life with a real guest, through the API alone.

use crate::support::node::light_vm;
use crate::support::{Node, PATIENCE, wait_for};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_guest_boots_from_a_cloned_disk_lives_its_whole_life_and_leaves_nothing() {
    let (node, uuids) = Node::with_images().await;
    let size = 1_u64 << 30;
    let body = json!({
        "vm_name": "web", "description": "<&'\"> 描述", "specification_uuid": uuids["tiny"], "image_uuid": uuids["demo"], "storage_size": size,
        "usds": [{"usd_name": "web-data", "storage_size": 64 << 20}], "metadata": {"role": "a <b> & 'c'"}, "wait_seconds": 300,
    });
    let created = node.client.post("/v1/vm/create", body).await.ok();
    let vm = created["vm"]["vm_uuid"].as_str().unwrap().to_owned();
    assert_eq!(created["vm"]["status"], "running");
    assert!(created["job_uuid"].is_string());

    // The address is known by the time it runs, and the guest really gets it.
    let address = node.vm(&vm).await["ip_address"].as_str().unwrap().to_owned();
    let console = node.wait_for_console(&vm, &format!("hvnode demo: guest ready, address {address}")).await;
    assert!(console.contains("disk vda 1024 MiB"), "the disk was grown to what was asked: {console}");
    assert!(console.contains("disk vdb 64 MiB"), "{console}");
    let fetch = format!(r"exec 3<>/dev/tcp/{address}/80; printf 'GET / HTTP/1.0\r\n\r\n' >&3; timeout 20 cat <&3");
    assert!(node.host.run(&["bash", "-c", &fetch]).contains("hello from hvnode-demo"));

    // What an inspect says is what libvirt has.
    let inspected = node.vm(&vm).await;
    assert_eq!(inspected["usds"].as_array().unwrap().len(), 2);
    assert_eq!(inspected["interfaces"][0]["ip_address"], address.as_str());
    assert_eq!(inspected["metadata"]["role"], "a <b> & 'c'");
    assert_eq!(node.domains(), ["web"]);
    node.client.post("/v1/repository/image/delete", json!({"image_uuid": uuids["demo"]})).await.refused(14015);

    node.act("pause", &vm).await.ok();
    assert_eq!(node.host.virsh(&["domstate", "web"]).trim(), "paused");
    node.act("pause", &vm).await.ok();
    node.act("stop", &vm).await.refused(13002);
    node.act("resume", &vm).await.ok();
    assert_eq!(node.host.virsh(&["domstate", "web"]).trim(), "running");

    node.act("reboot", &vm).await.ok();
    node.wait_for_console(&vm, "boot 2 of this disk").await;
    node.act("reset", &vm).await.ok();
    node.wait_for_console(&vm, "boot 3 of this disk").await;

    // The demo guest leaves at once when asked.
    let body = json!({"vm_uuid": vm, "timeout_seconds": 60, "wait_seconds": 100});
    let (_, took) =
        wait_for("a graceful stop", PATIENCE, || async { Some(node.client.post("/v1/vm/stop", body.clone()).await.ok()) }).await;
    assert!(took < Duration::from_secs(50), "the guest did not react to the power button: {took:?}");
    assert_eq!(node.vm(&vm).await["status"], "stopped");
    node.act("stop", &vm).await.refused(13002);
    node.act("pause", &vm).await.refused(13002);

    node.client.post("/v1/vm/resize", json!({"vm_uuid": vm, "cpu_cores": 2, "memory_size": 256 << 20})).await.ok();
    let update = json!({"vm_uuid": vm, "new_name": "renamed", "description": "new", "auto_start": true});
    node.client.post("/v1/vm/update", update).await.ok();
    node.act("start", &vm).await.ok();
    let console = node.wait_for_console(&vm, "boot 4 of this disk").await;
    assert!(console.contains("cpus 2"), "{console}");
    let inspected = node.vm(&vm).await;
    assert_eq!((&inspected["vm_name"], &inspected["cpu_cores"]), (&json!("renamed"), &json!(2)));

    let delete = json!({"vm_uuid": vm, "delete_usd": true, "wait_seconds": 100});
    node.client.post("/v1/vm/delete", delete).await.ok();
    node.client.get(&format!("/v1/vm/inspect?vm_uuid={vm}")).await.refused(13000);
    node.assert_nothing_is_left();
    for name in ["demo", "kernel", "initrd"] {
        node.client.post("/v1/repository/image/delete", json!({"image_uuid": uuids[name]})).await.ok();
    }
    assert_eq!(node.host.run(&["ls", "/var/lib/hvnode/images"]).trim(), "");
}

/// Waits until the guest has come up for the n-th time, and gives what it said from then on.
async fn boot(node: &Node, vm: &str, number: usize) -> String {
    let path = format!("/v1/vm/console/log?vm_uuid={vm}&line_count=1000");
    let ask = || async {
        let answer = node.client.get(&path).await;
        let said = answer.data()["output"].as_str().unwrap_or_default().to_owned();
        let mut boots = said.split_inclusive("guest ready").filter(|boot| boot.ends_with("guest ready"));
        boots.nth(number - 1).map(str::to_owned)
    };
    wait_for(&format!("boot {number} of {vm}"), PATIENCE, ask).await.0
}

#[tokio::test]
async fn a_guest_is_resized_with_a_restart_and_goes_back_to_what_it_was() {
    let (mut node, uuids) = Node::with_images().await;
    let vm = node.create_light_vm(&uuids, "grows").await;
    assert!(boot(&node, &vm, 1).await.contains("cpus 1,"));
    let mut resize = json!({"vm_uuid": vm, "cpu_cores": 2, "memory_size": 256 << 20, "keep_previous": true, "wait_seconds": 200});
    node.client.post("/v1/vm/resize", resize.clone()).await.refused(13002);
    resize["restart"] = json!(true);
    let ask = || async { Some(node.client.post("/v1/vm/resize", resize.clone()).await.ok()) };
    let (_, took) = wait_for("the resize", PATIENCE, ask).await;
    assert!(took < Duration::from_secs(50), "the guest did not react to the power button: {took:?}");
    assert!(boot(&node, &vm, 2).await.contains("cpus 2,"));
    let resized = node.vm(&vm).await;
    assert_eq!((&resized["status"], &resized["memory_size"], &resized["drift"]), (&json!("running"), &json!(256 << 20), &json!([])));
    assert_eq!((&resized["specification_uuid"], &resized["resized_from"]["specification_uuid"]), (&json!(null), &uuids["tiny"]));
    assert!(node.host.virsh(&["dominfo", "grows"]).contains(&format!("{} KiB", 256 << 10)));
    node.client.post("/v1/vm/resize", resize.clone()).await.refused(13002);

    // The way back outlasts the daemon, and leads back to the specification.
    node.end_daemon("TERM");
    node.start_daemon().await;
    node.client.post("/v1/vm/resize/revert", json!({"vm_uuid": vm, "wait_seconds": 200})).await.ok();
    assert!(boot(&node, &vm, 3).await.contains("cpus 1,"));
    let reverted = node.vm(&vm).await;
    assert_eq!((&reverted["specification_uuid"], &reverted["resized_from"]), (&uuids["tiny"], &json!(null)));
    assert_eq!((&reverted["memory_size"], &reverted["status"]), (&json!(192 << 20), &json!("running")));
    node.act("resize/revert", &vm).await.refused(13002);

    // Off, it only changes its definition.
    node.client.post("/v1/vm/stop", json!({"vm_uuid": vm, "force": true})).await.ok();
    node.client.post("/v1/vm/resize", resize).await.ok();
    assert_eq!(node.vm(&vm).await["status"], "stopped");
    node.act("resize/confirm", &vm).await.ok();
    node.act("resize/revert", &vm).await.refused(13002);
    node.act("start", &vm).await.ok();
    assert!(boot(&node, &vm, 4).await.contains("cpus 2,"));
    node.client.post("/v1/vm/delete", json!({"vm_uuid": vm, "force": true})).await.ok();
    node.assert_nothing_is_left();
}

#[tokio::test]
async fn statistics_of_host_and_vm_come_from_the_last_sample() {
    let (node, uuids) = Node::with_images().await;
    let vm = node.create_light_vm(&uuids, "measured").await;
    node.wait_for_console(&vm, "guest ready").await;
    let path = format!("/v1/vm/statistics?vm_uuid={vm}");
    let ask = || async {
        let answer = node.client.get(&path).await.ok();
        let of_vm = answer["list"].get(0).cloned().unwrap_or(answer);
        let point = of_vm["mem_statistics"].get(0)?.clone();
        let cpu = of_vm["cpu_statistics"].get(0)?.clone();
        (point["used_memory_size"].as_u64()? > 0 && cpu["cpu_usage"].is_number()).then_some((point, cpu))
    };
    let ((memory, cpu), _) = wait_for("a sample of the VM", PATIENCE, ask).await;
    assert!(memory["used_memory_size"].as_u64() <= memory["memory_size"].as_u64(), "{memory}");
    assert!((0.0..=100.0).contains(&cpu["cpu_usage"].as_f64().unwrap()), "{cpu}");
    let host = node.client.get("/v1/host/statistic").await.ok();
    assert!(host["mem_statistics"][0]["memory_size"].as_u64().unwrap() > 1 << 30, "{host}");
    let all = node.client.get("/v1/host/vm/statistic").await.ok();
    assert_eq!(all["total_count"], 1);
    let inspected = node.client.get("/v1/host/inspect").await.ok();
    assert_eq!((&inspected["host"]["vm_count"], &inspected["host"]["vm_running_count"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn many_changes_on_many_vms_at_the_same_time_all_end_as_asked() {
    let (node, uuids) = Node::with_images().await;
    let creates = (0..6).map(|n| {
        let body = light_vm(&uuids, &format!("vm{n}"));
        async { node.client.post("/v1/vm/create", body).await.ok()["vm"].clone() }
    });
    let vms = futures_util::future::join_all(creates).await;
    let addresses: std::collections::BTreeSet<_> = vms.iter().map(|vm| vm["ip_address"].to_string()).collect();
    assert_eq!(addresses.len(), 6, "{addresses:?}");

    // One VM, many callers: each is done or refused as busy or in the wrong state; the VM ends as one of them asked.
    let vm = vms[0]["vm_uuid"].as_str().unwrap();
    let changes = (0..20).map(|n| {
        let action = ["pause", "resume", "reset", "start"][n % 4];
        let node = &node;
        async move { (action, node.act(action, vm).await.code()) }
    });
    for (action, code) in futures_util::future::join_all(changes).await {
        assert!(matches!(code, 0 | 13002 | 13010), "{action}: {code}");
    }
    let status = node.vm(vm).await["status"].as_str().unwrap().to_owned();
    let state = node.host.virsh(&["domstate", "vm0"]);
    assert_eq!(status, state.trim(), "the picture is what libvirt has");

    let list: Vec<_> = vms.iter().map(|vm| json!({"vm_uuid": vm["vm_uuid"], "force": true})).collect();
    let batch = node.client.post("/v1/vm/delete", json!({ "list": list })).await.ok();
    assert_eq!((&batch["success"], &batch["fail"]), (&json!(6), &json!(0)), "{batch:#}");
    node.assert_nothing_is_left();
}

#[tokio::test]
async fn a_request_uuid_makes_a_create_idempotent() {
    let (node, uuids) = Node::with_images().await;
    let mut body = light_vm(&uuids, "once");
    body["request_uuid"] = json!("0197a000-0000-7000-8000-000000000001");
    body["start"] = json!(false);
    let first = node.client.post("/v1/vm/create", body.clone()).await.ok();
    let again = node.client.post("/v1/vm/create", body.clone()).await.ok();
    assert_eq!(first["job_uuid"], again["job_uuid"]);
    assert_eq!(first["vm"]["vm_uuid"], again["vm"]["vm_uuid"]);
    assert_eq!(node.domains(), ["once"]);
    body["vm_name"] = json!("twice");
    node.client.post("/v1/vm/create", body).await.refused(10013);
}
