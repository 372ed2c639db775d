//! `hvctl top`, and curves of what VMs and the host use.

use super::{VM, VM_TWO, fake, named_vm, vm_list};
use fake::{Node, Reply, Request, refusal, run, success};
use serde_json::{Value, json};
use std::process::Stdio;

fn host() -> Value {
    json!({"host_name": "node-1", "load_average": [0.5, 1.0, 1.25], "period": 10,
        "cpu_statistics": [{"time": 1, "cpu_usage": 40.0, "user_usage": 30.0, "system_usage": 10.0, "iowait_usage": 2.0, "steal_usage": 0.0}],
        "mem_statistics": [{"time": 1, "memory_size": 8_u64 << 30, "used_memory_size": 2_u64 << 30}]})
}

fn load(uuid: &str, name: &str, cpu: f64, used: u64) -> Value {
    json!({"vm_uuid": uuid, "vm_name": name, "freshness": "fresh", "period": 10,
        "cpu_statistics": [{"time": 1, "cpu_usage": cpu, "cpu_delay": 1.5}],
        "mem_statistics": [{"time": 1, "memory_size": 1 << 30, "used_memory_size": used}],
        "disk_statistics": [{"time": 1, "device": "vda", "read_bytes": 1024.0, "write_bytes": 0.0}], "network_statistics": []})
}

fn busy_node(request: &Request) -> Reply {
    match request.path.as_str() {
        "/v1/host/statistics" => success(&host()),
        "/v1/vm/list" => vm_list(),
        "/v1/host/vm/statistics" => {
            success(&json!({"total_count": 2, "list": [load(VM, "web", 5.0, 512 << 20), load(VM_TWO, "db", 50.0, 256 << 20)]}))
        }
        _ => Reply::NotFound,
    }
}

#[test]
fn top_prints_plain_tables_once_per_interval_where_output_is_no_terminal() {
    let node = Node::tcp(busy_node);
    let done = run(&node, &["top", "--interval", "1s", "--count", "2"]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert!(!done.stdout.contains('\x1b'), "{}", done.stdout);
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(lines.len(), 13, "{}", done.stdout);
    assert!(lines[0].starts_with("node-1") && lines[0].contains("load 0.50 1.00 1.25"), "{}", lines[0]);
    assert!(lines[1].contains("user 30.0%") && lines[1].contains("iowait 2.0%"), "{}", lines[1]);
    assert!(lines[3].starts_with("NAME") && lines[4].starts_with("db") && lines[5].starts_with("web"), "{}", done.stdout);
    assert!(lines[4].contains("50.0%") && lines[4].contains("1 KiB/s") && lines[4].contains("fresh"), "{}", lines[4]);
    assert_eq!(&lines[8..], &lines[1..6], "the second look is like the first");
    let asked: Vec<String> = node.requests().into_iter().map(|r| r.path).collect();
    assert_eq!(asked.len(), 6, "three requests a look, however many VMs there are: {asked:?}");
}

#[test]
fn top_sorts_as_told_and_shows_no_more_rows_than_told() {
    let node = Node::tcp(busy_node);
    for (order, first) in [("cpu", "db"), ("memory", "web"), ("name", "db"), ("disk", "db"), ("network", "db")] {
        let done = run(&node, &["top", "--count", "1", "--sort", order, "-n", "1"]);
        let rows: Vec<&str> = done.stdout.lines().skip(4).collect();
        assert_eq!((rows.len(), rows[0].split(' ').next()), (1, Some(first)), "{order}: {}", done.stdout);
    }
    let wrong = run(&node, &["top", "--sort", "size"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("memory"), "{}", wrong.stderr);
    assert_eq!(run(&node, &["top", "--interval", "0"]).code, 2);
}

#[test]
fn top_gives_one_json_document_a_look() {
    let node = Node::tcp(busy_node);
    let done = run(&node, &["top", "--count", "2", "--interval", "1s", "--json", "--sort", "memory"]);
    let documents: Vec<Value> = done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(documents.len(), 2);
    let list = &documents[0]["list"];
    assert_eq!((&list[0]["vm_name"], &list[0]["cpu_usage"], &list[0]["receive_bytes"]), (&json!("web"), &json!(5.0), &Value::Null));
    assert_eq!((&documents[1]["host"]["host_name"], &documents[1]["total_count"]), (&json!("node-1"), &json!(2)));
    assert!(documents[0]["time"].as_i64().unwrap() > 1_700_000_000);
}

#[test]
fn an_interrupted_top_is_no_failure_and_a_refused_one_is() {
    let node = Node::tcp(busy_node);
    let child = fake::spawn(&node, &["top", "--interval", "1m"], Stdio::piped());
    node.wait_until(|requests| requests.iter().any(|r| r.path == "/v1/host/vm/statistics"));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    let node = Node::tcp(|_| refusal(10100, "Token missing", "缺少令牌"));
    let done = run(&node, &["top"]);
    assert!(done.code == 4 && done.stderr.contains("hvctl login"), "{}", done.stderr);
}

fn hour(request: &Request) -> Reply {
    let start: i64 = request.query("start_time").unwrap().parse().unwrap();
    let points = |key: &str, values: [f64; 3]| -> Value {
        // the last half of the hour is missing
        let times = [0, 600, 1200];
        times.iter().zip(values).map(|(time, value)| json!({"time": start + time, key: value, "memory_size": 1024})).collect()
    };
    success(&json!({"vm_name": "web", "host_name": "node-1", "period": 600, "cpu_statistics": points("cpu_usage", [0.0, 50.0, 100.0]),
        "mem_statistics": points("used_memory_size", [1024.0, 1024.0, 512.0]), "disk_statistics": [], "network_statistics": []}))
}

#[test]
fn a_span_of_time_is_shown_as_curves_with_gaps_and_extremes() {
    let node = Node::tcp(|request| match request.path.as_str() {
        "/v1/vm/statistics" | "/v1/host/statistics" => hour(request),
        _ => named_vm(request),
    });
    let done = run(&node, &["vm", "stats", "web", "--since", "1h", "--period", "10m"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert!(lines[0].starts_with("web: ") && lines[0].ends_with("a point every 10 min"), "{}", lines[0]);
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["FIGURE", "CURVE", "MIN", "AVG", "MAX", "LAST"]);
    assert_eq!(lines[2], "cpu          ▁▅█      0.0%  50.0%  100.0%  100.0%");
    assert_eq!(lines[3], "memory used  ██▅     512 B  853 B   1 KiB   512 B");
    assert_eq!(lines.len(), 4, "what is not known has no line: {}", done.stdout);
    let asked = node.requests().into_iter().find(|r| r.path == "/v1/vm/statistics").unwrap();
    let time = |name: &str| asked.query(name).unwrap().parse::<i64>().unwrap();
    assert!((3599..=3601).contains(&(time("end_time") - time("start_time"))));
    assert_eq!(asked.query("period").as_deref(), Some("600"));
    let host = run(&node, &["host", "stats", "--since", "1h"]);
    assert!(host.stdout.starts_with("node-1: ") && host.stdout.contains('█'), "{}", host.stdout);
    let rows = run(&node, &["vm", "stats", "web", "--since", "1h", "--table"]);
    assert_eq!(rows.stdout.lines().count(), 4, "{}", rows.stdout);
    let json = run(&node, &["vm", "stats", "web", "--since", "1h", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&json.stdout).unwrap()["period"], 600);
}

#[test]
fn curves_need_a_span_that_makes_sense() {
    let node = Node::tcp(|request| match request.path.as_str() {
        "/v1/vm/statistics" => {
            refusal(10003, "Parameter invalid: period must be at least the sampling interval, now 10 seconds", "参数无效")
        }
        _ => named_vm(request),
    });
    let wrong = run(&node, &["vm", "stats", "web", "--since", "10m", "--until", "1h"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("--until"), "{}", wrong.stderr);
    assert_eq!(run(&node, &["vm", "stats", "web", "--period", "1m"]).code, 2, "a period needs a span");
    let short = run(&node, &["vm", "stats", "web", "--since", "10m", "--period", "1s"]);
    assert!(short.code == 1 && short.stderr.contains("now 10 seconds [10003]"), "{}", short.stderr);
}

#[test]
fn the_newest_sample_is_asked_for_as_such() {
    let node = Node::tcp(|request| match request.path.as_str() {
        "/v1/vm/statistics" => success(&load(VM, "web", 5.0, 1 << 20)),
        "/v1/host/statistics" => success(&host()),
        _ => named_vm(request),
    });
    let done = run(&node, &["vm", "stats", "web"]);
    assert!(done.stdout.contains("5.0%") && done.stdout.contains("fresh"), "{}", done.stdout);
    assert_eq!(run(&node, &["host", "stats"]).code, 0);
    let asked = node.requests();
    assert!(asked.iter().filter(|r| r.path.ends_with("statistics")).all(|r| r.query("latest").as_deref() == Some("true")));
}
