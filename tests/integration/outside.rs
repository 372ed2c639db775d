//! What changes a VM without asking the daemon: its guest, its QEMU, a full disk, somebody with virsh.

use crate::support::node::light_vm;
use crate::support::{Node, PATIENCE, Reader, is_told, times_told, wait_for};
use serde_json::{Value, json};
use std::time::Duration;

/// How soon a change is seen.
const SOON: Duration = Duration::from_secs(2);

/// Lets the guest run this through its agent, and does not wait for it: it may be the guest's end.
async fn in_guest(node: &Node, domain: &str, command: &str) {
    let request = json!({"execute": "guest-exec", "arguments": {"path": "/bin/sh", "arg": ["-c", command]}}).to_string();
    let ask = |request: &str| {
        let script = r#"virsh -q -c qemu:///system qemu-agent-command "$0" "$1" 2>/dev/null || true"#;
        node.host.run(&["sh", "-c", script, domain, request]).contains("return")
    };
    wait_for("the guest's agent", PATIENCE, || async { ask(r#"{"execute":"guest-ping"}"#).then_some(()) }).await;
    ask(&request);
}

/// QEMU's own monitor, for what the guest has no driver for.
fn in_monitor(node: &Node, domain: &str, command: &str) -> String {
    node.host.virsh(&["qemu-monitor-command", "--hmp", domain, command])
}

/// Tells QEMU's panic device that the guest's kernel panicked.
fn panic_guest(node: &Node, domain: &str) {
    in_monitor(node, domain, "o /b 0x505 1");
}

/// Starts the watchdog of the q35 chipset and never feeds it: it fires about five seconds later.
async fn start_watchdog(node: &Node, domain: &str) {
    // The guest must allow it to act, and any access to its reload register starts it.
    in_guest(node, domain, "busybox devmem 0xfed1f410 32 0").await;
    let is_allowed = || async { in_monitor(node, domain, "xp /1wx 0xfed1f410").contains(": 0x00000000").then_some(()) };
    wait_for("the guest to allow its watchdog to act", PATIENCE, is_allowed).await;
    in_monitor(node, domain, "o /h 0x660 1");
}

/// Creates a light VM with more in its request.
async fn create(node: &Node, uuids: &Value, vm_name: &str, more: Value) -> String {
    let mut body = light_vm(uuids, vm_name);
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    node.client.post("/v1/vm/create", body).await.ok()["vm"]["vm_uuid"].as_str().unwrap().to_owned()
}

/// Waits until the VM has this status, at most `limit`; then it must have this reason.
async fn becomes(node: &Node, vm_uuid: &str, status: &str, reason: &str, limit: Duration) {
    node.wait_for_status(vm_uuid, status, limit).await;
    assert_eq!(node.vm(vm_uuid).await["status_reason"], reason);
}

/// Waits until the console said so often that the guest is up.
async fn wait_for_boot(node: &Node, vm_uuid: &str, count: usize) {
    let path = format!("/v1/vm/console/log?vm_uuid={vm_uuid}&line_count=1000");
    let ask = || async {
        let answer = node.client.get(&path).await;
        let output = answer.data()["output"].as_str().unwrap_or_default();
        (output.matches("guest ready").count() >= count).then_some(())
    };
    wait_for(&format!("boot {count} of the guest"), PATIENCE, ask).await;
}

/// What readers were told of the VM since it first ran, without states that last for a moment only: there libvirt may be read or not.
fn settled(reader: &Reader, vm_uuid: &str) -> Vec<(String, String)> {
    let is_passing = |status: &str, reason: &str| match status {
        "stopping" | "starting" | "resuming" => true,
        // QEMU is there and its processors do not run yet, or do not run any more: libvirt is about to end what panicked.
        "paused" => matches!(reason, "booted" | "saved" | "guest_panic"),
        _ => false,
    };
    let told = reader.told(vm_uuid).into_iter().skip_while(|(status, _)| status != "running");
    told.filter(|(status, reason)| !is_passing(status, reason)).collect()
}

fn words(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(status, reason)| ((*status).to_owned(), (*reason).to_owned())).collect()
}

#[tokio::test]
async fn what_somebody_does_with_virsh_is_seen_with_its_reason() {
    let (node, uuids) = Node::with_images().await;
    let vm = node.create_light_vm(&uuids, "touched").await;
    for (command, status, reason) in [
        ("suspend", "paused", "paused"),
        ("resume", "running", "booted"),
        ("destroy", "stopped", "destroyed"),
        ("start", "running", "booted"),
        ("managedsave", "suspended", "saved"),
        ("start", "running", "booted"),
    ] {
        node.host.virsh(&[command, "touched"]);
        becomes(&node, &vm, status, reason, SOON).await;
    }
    // Without a definition it goes on, and is gone when it ends.
    node.host.virsh(&["undefine", "touched"]);
    node.host.virsh(&["destroy", "touched"]);
    becomes(&node, &vm, "error", "domain_missing", SOON).await;

    let mut reader = Reader::default();
    reader.read_until(&node, "the end", is_told(&vm, "error")).await;
    reader.assert_once_and_in_order(&[&vm]);
    let expected = [
        ("running", "requested"),
        ("paused", "paused"),
        ("running", "booted"),
        ("stopped", "destroyed"),
        ("running", "booted"),
        ("suspended", "saved"),
        ("running", "booted"),
        ("error", "domain_missing"),
    ];
    assert_eq!(settled(&reader, &vm), words(&expected));
    node.client.post("/v1/vm/delete", json!({"vm_uuid": vm, "force": true})).await.ok();
    node.assert_nothing_is_left();
}

#[tokio::test]
async fn a_guest_that_reboots_panics_or_hangs_is_seen_with_its_reason() {
    let (node, uuids) = Node::with_images().await;
    let vm = node.create_light_vm(&uuids, "restless").await;
    wait_for_boot(&node, &vm, 1).await;
    let qemu = node.host.run(&["pgrep", "-f", "guest=restless"]);
    in_guest(&node, "restless", "reboot -f").await;
    wait_for_boot(&node, &vm, 2).await;
    // Every machine has a watchdog that resets it; the guest has to start it.
    start_watchdog(&node, "restless").await;
    wait_for_boot(&node, &vm, 3).await;
    assert_eq!(node.vm(&vm).await["status"], "running");
    assert_eq!(node.host.run(&["pgrep", "-f", "guest=restless"]), qemu, "the same QEMU all the time");
    assert_eq!(node.vm(&vm).await["reboot_count"], 2);

    // Its owner may want to look at a hanging guest instead.
    in_monitor(&node, "restless", "watchdog_action pause");
    start_watchdog(&node, "restless").await;
    becomes(&node, &vm, "paused", "watchdog", PATIENCE).await;
    node.act("resume", &vm).await.ok();

    panic_guest(&node, "restless");
    becomes(&node, &vm, "crashed", "guest_panic", SOON).await;
    let mut reader = Reader::default();
    reader.read_until(&node, "the panic", is_told(&vm, "crashed")).await;
    reader.assert_once_and_in_order(&[&vm]);
    let expected = [("running", "requested"), ("paused", "watchdog"), ("running", "requested"), ("crashed", "guest_panic")];
    assert_eq!(settled(&reader, &vm), words(&expected));
    assert_eq!(node.own_changes().await, [], "nobody asked to have it started again");
    let reboots: Vec<&Value> = reader.events.iter().filter(|event| event["kind"] == "vm_reboot").map(|event| &event["reason"]).collect();
    assert_eq!(reboots, ["guest_reboot", "watchdog"]);

    // What is asked for here is no reboot of the guest's own.
    node.act("start", &vm).await.ok();
    wait_for_boot(&node, &vm, 4).await;
    node.act("reset", &vm).await.ok();
    wait_for_boot(&node, &vm, 5).await;
    reader.read_until(&node, "the reset", |events| times_told(events, &vm, "rebooting") == 1).await;
    let after = node.vm(&vm).await;
    assert_eq!((&after["status"], &after["reboot_count"]), (&json!("running"), &json!(3)));
    assert_eq!(reader.events.iter().filter(|event| event["kind"] == "vm_reboot").count(), 2);
}

#[tokio::test]
async fn a_vm_that_asks_for_it_is_started_again_once_after_each_crash() {
    let (node, uuids) = Node::with_images().await;
    let vm = create(&node, &uuids, "phoenix", json!({"restart_on_crash": true})).await;
    let mut reader = Reader::default();
    node.host.run(&["pkill", "-9", "-f", "guest=phoenix"]);
    reader.read_until(&node, "the second run", |events| times_told(events, &vm, "running") == 2).await;
    panic_guest(&node, "phoenix");
    reader.read_until(&node, "the third run", |events| times_told(events, &vm, "running") == 3).await;
    reader.assert_once_and_in_order(&[&vm]);
    let expected = [
        ("running", "requested"),
        ("crashed", "qemu_died"),
        ("running", "requested"),
        ("crashed", "guest_panic"),
        ("running", "requested"),
    ];
    assert_eq!(settled(&reader, &vm), words(&expected));
    let restart = ("policy/restart_on_crash".to_owned(), "phoenix".to_owned());
    assert_eq!(node.own_changes().await, [restart.clone(), restart]);

    // One that its owner stopped stays off.
    node.client.post("/v1/vm/stop", json!({"vm_uuid": vm, "force": true})).await.ok();
    becomes(&node, &vm, "stopped", "requested", SOON).await;
    assert_eq!(node.own_changes().await.len(), 2);
}

#[tokio::test]
async fn a_vm_that_a_full_pool_stopped_goes_on_by_itself_once_there_is_space() {
    let (node, uuids) = Node::with_images().await;
    // The pool on a small file system of its own, with the same owner and mode.
    let mount = r#"set -e; pool=/var/lib/hvnode/volumes; owner=$(stat -c %u:%g $pool); mode=$(stat -c %a $pool)
        mount -t tmpfs -o size=1g tmpfs $pool; chown $owner $pool; chmod $mode $pool"#;
    node.host.run(&["sh", "-c", mount]);
    let resize = |size: &str| node.host.run(&["mount", "-o", &format!("remount,size={size}"), "/var/lib/hvnode/volumes"]);
    let vm = create(&node, &uuids, "writer", json!({"usds": [{"usd_name": "data", "storage_size": 64 << 20}]})).await;
    wait_for_boot(&node, &vm, 1).await;
    resize("16m");
    let write = "dd if=/dev/zero of=/dev/vda bs=1M count=48 conv=fsync && echo all is written >/dev/console";
    in_guest(&node, "writer", write).await;
    becomes(&node, &vm, "paused", "io_error", PATIENCE).await;
    assert_eq!(node.own_changes().await, [], "the pool is still full");
    resize("1g");
    node.wait_for_console(&vm, "all is written").await;
    let mut reader = Reader::default();
    reader.read_until(&node, "the resume", is_told(&vm, "resuming")).await;
    node.wait_for_status(&vm, "running", PATIENCE).await;
    reader.assert_once_and_in_order(&[&vm]);
    assert!(settled(&reader, &vm).contains(&("paused".into(), "io_error".into())), "{:?}", reader.told(&vm));
    let changes = node.own_changes().await;
    assert!(!changes.is_empty() && changes.iter().all(|(action, _)| action == "policy/resume_after_full_pool"), "{changes:?}");
}

#[tokio::test]
async fn a_vm_whose_disk_is_still_full_when_it_is_resumed_says_so_and_is_tried_again_ever_more_rarely() {
    let (node, uuids) = Node::with_images().await;
    let vm = create(&node, &uuids, "writer", json!({"start": false, "usds": [{"usd_name": "data", "storage_size": 64 << 20}]})).await;
    // The pool has space, the disk itself lies where there is none.
    let script = r#"set -e; mkdir /run/small; mount -t tmpfs -o size=16m tmpfs /run/small; cd /var/lib/hvnode/volumes
        file=$(ls); mv $file /run/small/; ln -s /run/small/$file $file; chmod 755 /run/small; chmod 666 /run/small/*"#;
    node.host.run(&["sh", "-c", script]);
    node.act("start", &vm).await.ok();
    wait_for_boot(&node, &vm, 1).await;
    let write = "dd if=/dev/zero of=/dev/vda bs=1M count=48 conv=fsync && echo all is written >/dev/console";
    in_guest(&node, "writer", write).await;
    becomes(&node, &vm, "paused", "io_error", PATIENCE).await;
    let mut reader = Reader::default();
    reader.read_until(&node, "the second try", |events| times_told(events, &vm, "resuming") == 2).await;
    becomes(&node, &vm, "paused", "io_error", PATIENCE).await;
    node.host.run(&["mount", "-o", "remount,size=1g", "/run/small"]);
    node.wait_for_console(&vm, "all is written").await;

    let is_try = |event: &&Value| event["kind"] == "vm_status" && event["new"] == "resuming";
    let tries: Vec<i64> = reader.events.iter().filter(is_try).map(|event| event["time"].as_i64().unwrap()).collect();
    assert!(tries[1] - tries[0] >= 9, "the pause grows: {tries:?}");
    reader.assert_once_and_in_order(&[&vm]);
    let told: Vec<_> = reader.told(&vm).into_iter().filter(|(status, _)| status == "paused").map(|(_, reason)| reason).collect();
    assert!(told.len() >= 2 && told.iter().all(|reason| reason == "io_error"), "{told:?}");
}
