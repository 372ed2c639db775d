//! What dies and what lives on: the daemon, libvirtd, a guest, a QEMU.

use crate::support::node::light_vm;
use crate::support::{Node, PATIENCE, Reader, is_told, times_told, wait_for};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn vms_run_on_while_the_daemon_dies_and_are_managed_again() {
    let (mut node, uuids) = Node::with_images().await;
    let vm = node.create_light_vm(&uuids, "steady").await;
    node.wait_for_console(&vm, "guest ready").await;
    let qemu = node.host.run(&["pgrep", "-f", "guest=steady"]);

    node.end_daemon("KILL");
    assert_eq!(node.host.run(&["pgrep", "-f", "guest=steady"]), qemu, "the guest's QEMU goes on");
    node.start_daemon().await;
    let after = node.vm(&vm).await;
    assert_eq!((&after["status"], &after["management"]), (&json!("running"), &json!("managed")));
    assert_eq!(node.host.run(&["pgrep", "-f", "guest=steady"]), qemu);

    // The polite way too.
    assert_eq!(node.end_daemon("TERM"), Some(0));
    node.start_daemon().await;
    node.client.post("/v1/vm/delete", json!({"vm_uuid": vm, "force": true})).await.ok();
    node.assert_nothing_is_left();
}

#[tokio::test]
async fn a_create_that_the_daemon_dies_in_has_an_end_after_the_restart() {
    let (mut node, uuids) = Node::with_images().await;
    let mut body = light_vm(&uuids, "interrupted");
    body["wait_seconds"] = json!(0);
    let job = node.client.post("/v1/vm/create", body).await.ok()["job_uuid"].as_str().unwrap().to_owned();
    node.end_daemon("KILL");
    node.start_daemon().await;
    let path = format!("/v1/job/inspect?job_uuid={job}");
    let ask = || async {
        let job = node.client.get(&path).await.ok()["job"].clone();
        matches!(job["status"].as_str(), Some("succeeded" | "failed")).then_some(job)
    };
    let (job, _) = wait_for("the job to end", PATIENCE, ask).await;
    let vms = node.client.get("/v1/vm/list").await.ok();
    let expected = i64::from(job["status"] == "succeeded");
    assert_eq!(vms["total_count"], expected, "{job:#}");
    assert_eq!(node.domains().len() as i64, expected);
    for vm in vms["list"].as_array().unwrap() {
        assert_eq!(vm["status"], "running");
        node.client.post("/v1/vm/delete", json!({"vm_uuid": vm["vm_uuid"], "force": true})).await.ok();
    }
    node.assert_nothing_is_left();
}

#[tokio::test]
async fn a_delete_that_the_daemon_dies_in_is_finished_after_the_restart() {
    let (mut node, uuids) = Node::with_images().await;
    let vm = node.create_light_vm(&uuids, "doomed").await;
    let body = json!({"vm_uuid": vm, "force": true, "wait_seconds": 0});
    let job = node.client.post("/v1/vm/delete", body).await.ok()["job_uuid"].as_str().unwrap().to_owned();
    node.end_daemon("KILL");
    node.start_daemon().await;
    let path = format!("/v1/job/inspect?job_uuid={job}");
    let ended = || async { Some(node.client.get(&path).await.ok()["job"].clone()).filter(|job| job["finish_time"].is_i64()) };
    let (job, _) = wait_for("the job to end", PATIENCE, ended).await;
    assert_eq!(job["status"], "succeeded", "{job:#}");
    node.client.get(&format!("/v1/vm/inspect?vm_uuid={vm}")).await.refused(13000);
    node.assert_nothing_is_left();
}

#[tokio::test]
async fn a_dying_libvirtd_under_load_costs_refusals_but_loses_nothing() {
    let (node, uuids) = Node::with_images().await;
    let steady = node.create_light_vm(&uuids, "steady").await;
    let load = (0..4).map(|n| {
        let mut body = light_vm(&uuids, &format!("load{n}"));
        body["wait_seconds"] = json!(0);
        async { node.client.post("/v1/vm/create", body).await }
    });
    let jobs: Vec<_> = futures_util::future::join_all(load).await.into_iter().filter(|a| a.code() == 0).collect();
    node.host.kill_libvirtd();

    // Reads go on, marked as stale; changes are refused, to be tried again.
    let stale = || async { (node.vm(&steady).await["freshness"] == "stale").then_some(()) };
    wait_for("stale marks", Duration::from_secs(20), stale).await;
    assert_eq!(node.vm(&steady).await["status"], "running");
    node.act("pause", &steady).await.refused(10007);

    node.host.restart_libvirtd();
    let fresh = || async { (node.vm(&steady).await["freshness"] == "fresh").then_some(()) };
    wait_for("the connection to come back", PATIENCE, fresh).await;
    for job in jobs {
        let uuid = job.data()["job_uuid"].as_str().unwrap().to_owned();
        let path = format!("/v1/job/inspect?job_uuid={uuid}");
        let ended = || async {
            let job = node.client.get(&path).await.ok()["job"].clone();
            matches!(job["status"].as_str(), Some("succeeded" | "failed")).then_some(job)
        };
        let (job, _) = wait_for("a job to end", PATIENCE, ended).await;
        let vm_uuid = job["resource_uuid"].as_str().unwrap().to_owned();
        let seen = node.client.get(&format!("/v1/vm/inspect?vm_uuid={vm_uuid}")).await.code();
        assert_eq!(seen == 0, job["status"] == "succeeded", "{job:#}");
    }
    assert_eq!(node.vm(&steady).await["status"], "running");
    for vm in node.client.get("/v1/vm/list?page_size=0").await.ok()["list"].as_array().unwrap() {
        node.client.post("/v1/vm/delete", json!({"vm_uuid": vm["vm_uuid"], "force": true})).await.ok();
    }
    node.assert_nothing_is_left();
}

#[tokio::test]
async fn a_guest_that_powers_off_and_a_qemu_that_is_killed_are_seen_with_their_reasons_within_two_seconds() {
    let (node, uuids) = Node::with_images().await;
    let vm = node.create_light_vm(&uuids, "watched").await;
    node.wait_for_console(&vm, "guest ready").await;
    // The guest itself leaves, told through its own agent.
    let poweroff = r#"{"execute":"guest-exec","arguments":{"path":"/bin/sh","arg":["-c","poweroff -f"]}}"#;
    node.host.run(&["sh", "-c", &format!("virsh -q -c qemu:///system qemu-agent-command watched '{poweroff}' || true")]);
    let off = || async { (node.host.virsh(&["domstate", "watched"]).trim() == "shut off").then_some(()) };
    wait_for("the guest to be off", PATIENCE, off).await;
    let took = node.wait_for_status(&vm, "stopped", PATIENCE).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(node.vm(&vm).await["status_reason"], "guest_shutdown");

    node.act("start", &vm).await.ok();
    node.host.run(&["pkill", "-9", "-f", "guest=watched"]);
    let took = node.wait_for_status(&vm, "crashed", PATIENCE).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(node.vm(&vm).await["status_reason"], "qemu_died");
    node.act("start", &vm).await.ok();
    assert_eq!(node.vm(&vm).await["status"], "running");
}

/// Three VMs that run: one that starts with the host, one that nobody starts, one that is started again when it crashed.
async fn three_vms(node: &Node, uuids: &Value, reader: &mut Reader) -> [String; 3] {
    let mut vms = Vec::new();
    for (name, flag) in [("auto", Some("auto_start")), ("manual", None), ("careful", Some("restart_on_crash"))] {
        let mut body = light_vm(uuids, name);
        if let Some(flag) = flag {
            body[flag] = json!(true);
        }
        vms.push(node.client.post("/v1/vm/create", body).await.ok()["vm"]["vm_uuid"].as_str().unwrap().to_owned());
    }
    reader.read_until(node, "all to run", |events| vms.iter().all(|vm| is_told(vm, "running")(events))).await;
    vms.try_into().unwrap()
}

#[tokio::test]
async fn after_a_power_cut_vms_with_auto_start_run_again_and_the_others_are_off() {
    let (mut node, uuids) = Node::with_images().await;
    let mut reader = Reader::default();
    let [auto, manual, careful] = three_vms(&node, &uuids, &mut reader).await;
    let address = node.vm(&auto).await["ip_address"].clone();

    node.power_cycle().await;
    reader.read_until(&node, "what is off", |events| [&manual, &careful].iter().all(|vm| is_told(vm, "stopped")(events))).await;
    node.wait_for_status(&auto, "running", PATIENCE).await;
    node.wait_for_console(&auto, &format!("guest ready, address {}", address.as_str().unwrap())).await;
    for vm in [&manual, &careful] {
        let vm = node.vm(vm).await;
        // Nobody asked for it, no guest left, no QEMU crashed: libvirt lost all it knew of the run with the power.
        assert_eq!((&vm["status"], &vm["status_reason"], &vm["management"]), (&json!("stopped"), &json!("unknown"), &json!("managed")));
    }
    assert_eq!(node.own_changes().await, [], "a host that starts is no crash of a VM");

    for vm in [&manual, &careful] {
        node.act("start", vm).await.ok();
    }
    reader.read_until(&node, "the last start", |events| times_told(events, &careful, "running") == 2).await;
    let vms: [&str; 3] = [&auto, &manual, &careful];
    reader.assert_once_and_in_order(&vms);
    for vm in vms {
        let off = reader.told(vm).into_iter().filter(|(status, _)| status == "stopped").count();
        assert!(if vm == auto { off <= 1 } else { off == 1 }, "{:?}", reader.told(vm));
        node.client.post("/v1/vm/delete", json!({"vm_uuid": vm, "force": true})).await.ok();
    }
    node.assert_nothing_is_left();
}

#[tokio::test]
async fn when_everything_but_the_host_dies_only_a_vm_that_asks_for_it_is_started_again_and_once() {
    let (mut node, uuids) = Node::with_images().await;
    let mut reader = Reader::default();
    let [auto, manual, careful] = three_vms(&node, &uuids, &mut reader).await;

    node.end_daemon("KILL");
    node.host.kill_libvirtd();
    node.host.run(&["pkill", "-9", "qemu-system"]);
    node.host.restart_libvirtd();
    node.start_daemon().await;
    let all_crashed = |events: &[Value]| [&auto, &manual, &careful].iter().all(|vm| is_told(vm, "crashed")(events));
    reader.read_until(&node, "the crashes", all_crashed).await;
    node.wait_for_status(&careful, "running", PATIENCE).await;
    reader.read_until(&node, "the start", |events| times_told(events, &careful, "running") == 2).await;
    reader.assert_once_and_in_order(&[&auto, &manual, &careful]);
    for vm in [&auto, &manual] {
        let vm = node.vm(vm).await;
        assert_eq!((&vm["status"], &vm["status_reason"]), (&json!("crashed"), &json!("qemu_died")));
    }
    assert_eq!(node.own_changes().await, [("policy/restart_on_crash".to_owned(), "careful".to_owned())]);
    for vm in [&auto, &manual, &careful] {
        node.client.post("/v1/vm/delete", json!({"vm_uuid": vm, "force": true})).await.ok();
    }
    node.assert_nothing_is_left();
}
