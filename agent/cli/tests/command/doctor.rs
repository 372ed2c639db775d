//! `hvctl doctor` against nodes in various states of health.

use crate::fake::{self, Node, Reply, refusal, run, success};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A node in good health, but for what `differs` answers.
fn node(differs: impl Fn(&str, &str) -> Option<Reply> + Send + Sync + 'static) -> Node {
    Node::tcp(move |request| {
        let status = request.query("status").unwrap_or_default();
        if let Some(reply) = differs(&request.path, &status) {
            return reply;
        }
        match request.path.as_str() {
            "/readyz" => Reply::Text(200, json!({"ready": true, "components": {}}).to_string()),
            "/v1/host/health/inspect" => success(&json!({"health": {
                "version": env!("CARGO_PKG_VERSION"), "time_milliseconds": now() * 1000, "connection": "up",
                "pools": [{"pool_name": "hvnode-volumes", "path": "/v", "storage_size": 100_u64 << 30, "available_storage_size": 60_u64 << 30}]}})),
            "/v1/host/inspect" => {
                success(&json!({"host": {"libvirt_version": "11.3.0", "hypervisor_version": "10.0.2", "virtualization_type": "kvm"}}))
            }
            "/v1/network/list" => success(&json!({"list": [{"network_name": "default", "status": "active"}]})),
            "/v1/vm/list" | "/v1/repository/image/list" | "/v1/job/list" => success(&json!({"total_count": 0, "list": []})),
            _ => Reply::NotFound,
        }
    })
}

fn verdicts(stdout: &str) -> Vec<(String, String)> {
    let report: Value = serde_json::from_str(stdout).unwrap();
    let word = |check: &Value, key: &str| check[key].as_str().unwrap().to_owned();
    report["checks"].as_array().unwrap().iter().map(|check| (word(check, "check"), word(check, "verdict"))).collect()
}

fn of(stdout: &str, name: &str) -> String {
    verdicts(stdout).into_iter().find(|(check, _)| check == name).map(|(_, verdict)| verdict).unwrap_or_default()
}

#[test]
fn a_healthy_node_has_one_line_for_each_check_and_exits_0() {
    let node = node(|_, _| None);
    let done = run(&node, &["doctor"]);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    for name in ["daemon", "ready", "clock", "libvirt", "kvm", "pools", "networks", "vms", "images", "jobs", "kernel", "hugepages"] {
        assert!(done.stdout.lines().any(|line| line.starts_with("ok") && line.contains(&format!("  {name} "))), "{name}:\n{}", done.stdout);
    }
    assert!(done.stdout.lines().last().unwrap().ends_with("0 failed"), "{}", done.stdout);
    let json = run(&node, &["doctor", "--json"]);
    assert_eq!((json.code, of(&json.stdout, "kvm").as_str()), (0, "ok"));
}

#[test]
fn what_does_not_work_is_a_failure_with_what_to_do_and_exits_1() {
    let node = node(|path, status| match (path, status) {
        ("/v1/host/health/inspect", _) => Some(success(&json!({"health": {"version": "0.0.1", "time_milliseconds": (now() - 600) * 1000,
            "connection": "down", "connection_message": "connection refused", "pools": []}}))),
        ("/readyz", _) => {
            Some(Reply::Text(503, json!({"ready": false, "components": {"hypervisor": {"ready": false, "state": "down"}}}).to_string()))
        }
        ("/v1/vm/list", "error") => Some(success(&json!({"list": [{"vm_name": "web"}]}))),
        ("/v1/vm/list", "crashed") => Some(success(&json!({"list": [{"vm_name": "db"}]}))),
        ("/v1/job/list", _) => {
            Some(success(&json!({"list": [{"action": "start_vm", "resource_name": "web", "message": "m", "finish_time": now() - 60}]})))
        }
        _ => None,
    });
    let done = run(&node, &["doctor", "--problems"]);
    assert_eq!(done.code, 1, "{}", done.stdout);
    for said in [
        "fail  ready",
        "hypervisor down",
        "fail  libvirt",
        "connection refused -> ",
        "fail  clock",
        "600 s behind",
        "fail  pools",
        "warn  vms",
        "warn  crashed",
        "warn  jobs",
        "warn  daemon",
    ] {
        assert!(done.stdout.contains(said), "{said}:\n{}", done.stdout);
    }
    assert!(!done.stdout.contains("\nok "), "{}", done.stdout);
    let chinese = run(&node, &["doctor", "--language", "zh"]);
    assert!(chinese.stdout.contains("libvirt 无应答"), "{}", chinese.stdout);
}

#[test]
fn emulation_is_told_and_is_no_failure() {
    let node = node(|path, _| {
        (path == "/v1/host/inspect").then(|| success(&json!({"host": {"libvirt_version": "11.3.0", "virtualization_type": "qemu", "emulation_reason": "the processor has no vmx"}})))
    });
    let done = run(&node, &["doctor"]);
    assert_eq!(done.code, 0);
    assert!(done.stdout.lines().any(|line| line.starts_with("warn  kvm") && line.contains("no vmx")), "{}", done.stdout);
}

#[test]
fn a_node_that_is_down_still_gets_the_checks_of_the_machine() {
    let done = fake::run_with(&["doctor", "--url", "http://127.0.0.1:1"], &[], None);
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(done.stdout.contains("fail  daemon") && done.stdout.contains("systemctl status hvnoded"), "{}", done.stdout);
    assert!(done.stdout.contains("kernel") && done.stdout.contains("hugepages"), "{}", done.stdout);
}

#[test]
fn a_stranger_is_told_to_log_in_and_an_old_node_to_be_upgraded() {
    let node = Node::tcp(|_| refusal(10100, "Token missing", "缺少令牌"));
    let done = run(&node, &["doctor"]);
    assert!(done.code == 1 && done.stdout.contains("hvctl login"), "{}", done.stdout);
    let old = Node::tcp(|_| Reply::NotFound);
    assert!(run(&old, &["doctor"]).stdout.contains("older than this hvctl"));
}
