//! The event stream, the trash, adoption and a lost store, with real guests.

use crate::support::{Node, PATIENCE, Reader, is_told, wait_for};
use serde_json::json;

#[tokio::test]
async fn a_reader_that_comes_back_after_a_kill_of_the_daemon_sees_every_change_once_and_in_order() {
    let (mut node, uuids) = Node::with_images().await;
    let (steady, dies) = (node.create_light_vm(&uuids, "steady").await, node.create_light_vm(&uuids, "dies").await);
    let mut reader = Reader::default();
    reader.read_until(&node, "the VM to run", is_told(&dies, "running")).await;
    node.end_daemon("KILL");
    node.host.run(&["pkill", "-9", "-f", "guest=dies"]);
    node.start_daemon().await;
    reader.read_until(&node, "the crash", is_told(&dies, "crashed")).await;
    node.client.post("/v1/vm/delete", json!({"vm_uuid": dies, "force": true})).await.ok();
    reader.read_until(&node, "the end", is_told(&dies, "")).await;

    reader.assert_once_and_in_order(&[&steady, &dies]);
    let ends = |vm: &str| reader.told(vm).into_iter().map(|(status, _)| status).collect::<Vec<_>>();
    assert_eq!(ends(&steady), ["creating", "running"]);
    assert_eq!(ends(&dies), ["creating", "running", "crashed", "deleting", ""]);
}

#[tokio::test]
async fn what_is_in_the_trash_can_be_recovered_and_what_is_expunged_leaves_nothing() {
    let (node, uuids) = Node::with_images().await;
    let vm = node.create_light_vm(&uuids, "regretted").await;
    let (trash, target) = (json!({"vm_uuid": vm, "force": true, "keep_days": 1}), json!({ "vm_uuid": vm }));
    node.client.post("/v1/vm/delete", trash.clone()).await.ok();
    assert_eq!(node.vm(&vm).await["status"], "deleted");
    assert!(node.vm(&vm).await["expire_time"].is_i64());
    assert_eq!(node.domains(), ["regretted"]);
    node.act("start", &vm).await.refused(13002);
    node.client.post("/v1/vm/recover", target.clone()).await.ok();
    node.act("start", &vm).await.ok();
    assert_eq!(node.host.virsh(&["domstate", "regretted"]).trim(), "running");
    node.client.post("/v1/vm/delete", trash).await.ok();
    node.client.post("/v1/vm/expunge", target).await.ok();
    node.client.get(&format!("/v1/vm/inspect?vm_uuid={vm}")).await.refused(13000);
    node.assert_nothing_is_left();
}

#[tokio::test]
async fn a_vm_defined_by_hand_is_adopted_started_and_released_as_it_was() {
    let (node, _) = Node::with_images().await;
    let virt_type = if node.host.virsh(&["domcapabilities"]).contains("<domain>kvm</domain>") { "kvm" } else { "qemu" };
    let xml = format!(
        "<domain type='{virt_type}'><name>foreign</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64'>hvm</type></os></domain>"
    );
    std::fs::write(node.host.directory.join("run/foreign.xml"), xml).unwrap();
    node.host.virsh(&["define", "/run/foreign.xml"]);
    let find = || async { node.client.get("/v1/vm/list?name=foreign").await.ok()["list"].get(0).cloned() };
    let (found, _) = wait_for("the domain to be seen", PATIENCE, find).await;
    let vm = found["vm_uuid"].as_str().unwrap().to_owned();
    assert_eq!(found["management"], "unmanaged");
    node.act("start", &vm).await.refused(13015);
    node.client.post("/v1/vm/adopt", json!({"vm_uuid": vm, "new_name": "ours"})).await.ok();
    node.act("start", &vm).await.ok();
    let adopted = node.vm(&vm).await;
    assert_eq!((&adopted["vm_name"], &adopted["status"], &adopted["management"]), (&json!("ours"), &json!("running"), &json!("managed")));
    node.client.post("/v1/vm/release", json!({ "vm_uuid": vm })).await.ok();
    assert_eq!(node.vm(&vm).await["management"], "unmanaged");
    assert_eq!(node.host.virsh(&["domstate", "foreign"]).trim(), "running");
    let left = node.host.virsh(&["dumpxml", "--inactive", "foreign"]);
    assert!(!left.contains("<metadata>"), "{left}");
    node.host.virsh(&["destroy", "foreign"]);
}

#[tokio::test]
async fn running_vms_are_managed_again_after_the_store_was_lost() {
    let (mut node, uuids) = Node::with_images().await;
    let vm = node.create_light_vm(&uuids, "steady").await;
    let qemu = node.host.run(&["pgrep", "-f", "guest=steady"]);
    let before = node.vm(&vm).await;
    node.end_daemon("KILL");
    node.host.run(&["sh", "-c", "rm /var/lib/hvnode/state.db*"]);
    node.start_daemon().await;
    let managed = || async {
        let answer = node.client.get(&format!("/v1/vm/inspect?vm_uuid={vm}")).await;
        (answer.data()["vm"]["management"] == "managed").then(|| answer.data()["vm"].clone())
    };
    let (after, _) = wait_for("the VM to be managed again", PATIENCE, managed).await;
    for field in ["vm_name", "status", "cpu_cores", "memory_size", "mac_address", "ip_address"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(node.host.run(&["pgrep", "-f", "guest=steady"]), qemu);
    node.client.post("/v1/vm/delete", json!({"vm_uuid": vm, "force": true})).await.ok();
    node.assert_nothing_is_left();
}
