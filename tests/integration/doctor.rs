//! `hvctl doctor` on a real node: it tells emulation from hardware, and is otherwise content; it works while the daemon is down, too.

use crate::support::{Node, PATIENCE, wait_for};
use serde_json::Value;
use std::path::Path;

/// Runs the hvctl that was built beside this test on the node's host.
fn hvctl(node: &Node, words: &[&str]) -> (Option<i32>, String) {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("hvctl");
    std::fs::copy(&program, node.host.directory.join("run/bin/hvctl")).unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let mut line = vec!["/run/bin/hvctl"];
    line.extend(words);
    let output = node.host.command(&line).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
}

fn verdict_of(report: &Value, name: &str) -> String {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("no check {name} in {report}"));
    found["verdict"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn doctor_tells_emulation_from_hardware_and_a_dead_daemon_from_a_living_one() {
    let mut node = Node::start().await;
    let host = node.client.get("/v1/host/inspect").await.ok()["host"].clone();
    let is_emulated = host["virtualization_type"] == "qemu";
    let (code, told) = hvctl(&node, &["doctor", "--json"]);
    let report: Value = serde_json::from_str(&told).unwrap_or_else(|e| panic!("{e}: {told}"));
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(verdict_of(&report, "kvm"), if is_emulated { "warn" } else { "ok" });
    for name in
        ["config", "daemon", "ready", "clock", "libvirt", "pools", "networks", "vms", "images", "jobs", "listeners", "state", "permissions"]
    {
        assert_eq!(verdict_of(&report, name), "ok", "{name}: {report:#}");
    }
    assert_eq!(report["warn"], u64::from(is_emulated), "{report:#}");

    let ended = node.end_daemon("TERM");
    assert_eq!(ended, Some(0));
    let (code, told) = hvctl(&node, &["doctor", "--json"]);
    let report: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, verdict_of(&report, "daemon").as_str()), (Some(1), "fail"), "{report:#}");
    for name in ["config", "libvirt", "listeners"] {
        assert_eq!(verdict_of(&report, name), "ok", "{name}: {report:#}");
    }

    node.host.kill_libvirtd();
    node.spawn_daemon();
    wait_for("doctor to say that libvirt does not answer", PATIENCE, || async {
        let (code, told) = hvctl(&node, &["doctor", "--json"]);
        let report: Value = serde_json::from_str(&told).ok()?;
        (code == Some(1)
            && report["checks"].as_array()?.iter().any(|check| check["check"] == "daemon" && check["verdict"] == "ok")
            && verdict_of(&report, "libvirt") == "fail")
            .then_some(())
    })
    .await;
}
