//! Events, the trash, adoption and dry runs on the command line.

use crate::fake::{Node, Reply, Request, refusal, run, success};
use crate::{JOB, VM, accepted, job, named_vm};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

fn event(cursor: u64, new: &str) -> Value {
    json!({"cursor": cursor, "time": 0, "kind": "vm_status", "resource_type": "vm", "resource_uuid": VM, "resource_name": "web",
        "old": "stopped", "new": new, "reason": "requested", "job_uuid": JOB, "request_id": null})
}

fn frame(cursor: u64, new: &str) -> String {
    format!("id: {cursor}\nevent: vm_status\ndata: {}\n\n", event(cursor, new))
}

fn page(list: &[Value]) -> Reply {
    success(&json!({"total_count": list.len(), "list": list, "next_cursor": 9, "has_gap": false}))
}

#[test]
fn events_are_listed_after_a_cursor() {
    let node = Node::tcp(|_| page(&[event(9, "running")]));
    let done = run(&node, &["event", "list", "--after", "8", "--limit", "1"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stdout.contains("vm_status") && done.stdout.contains("stopped") && done.stdout.contains("running"), "{}", done.stdout);
    assert!(done.stderr.contains("--after 9"), "{}", done.stderr);
    let request = &node.requests()[0];
    assert_eq!((request.query("cursor").as_deref(), request.query("limit").as_deref()), (Some("8"), Some("1")));
}

#[test]
fn a_stream_that_breaks_is_opened_again_after_the_last_event_that_was_seen() {
    let opened = AtomicUsize::new(0);
    let node = Node::tcp(move |request| match request.path.as_str() {
        "/v1/event/list" => page(&[]),
        "/v1/event/stream" => match opened.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::Stream(format!("retry: 1000\nid: 4\n\n{}id: 6\nevent: vm_status\ndata: {{", frame(5, "running"))),
            1 => Reply::Drop,
            2 => Reply::Stream(format!("id: 6\nevent: gap\ndata: {{\"next_cursor\":6}}\n\n{}", frame(7, "crashed"))),
            _ => refusal(10007, "Libvirt down", "libvirt 不可用"),
        },
        _ => Reply::NotFound,
    });
    let done = run(&node, &["event", "follow", "--after", "3"]);
    assert_eq!(done.code, 7, "{}", done.stderr);
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{}", done.stdout);
    assert!(lines[0].ends_with("vm_status  web: stopped -> running (requested)") && lines[1].contains("stopped -> crashed"), "{lines:?}");
    assert!(done.stderr.contains("not kept any more"), "{}", done.stderr);
    let streams: Vec<Request> = node.requests().into_iter().filter(|r| r.path == "/v1/event/stream").collect();
    let ids: Vec<_> = streams.iter().map(|r| r.last_event_id.as_deref()).collect();
    assert_eq!(ids, [Some("3"), Some("5"), Some("5"), Some("7")]);
}

#[test]
fn a_followed_stream_ends_with_the_users_patience_and_json_is_one_line_per_event() {
    let opened = AtomicUsize::new(0);
    let node = Node::tcp(move |request| match request.path.as_str() {
        "/v1/event/stream" if opened.fetch_add(1, Ordering::SeqCst) == 0 => Reply::Stream(frame(5, "running") + &frame(6, "stopped")),
        "/v1/event/stream" => Reply::Hang,
        _ => page(&[]),
    });
    let done = run(&node, &["event", "follow", "--json", "--timeout", "2"]);
    assert_eq!(done.code, 5, "{}", done.stderr);
    let seen: Vec<Value> = done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(seen, [event(5, "running"), event(6, "stopped")]);
}

/// A node on which every change of a VM succeeds.
fn willing_node() -> Node {
    Node::tcp(|request| match request.path.as_str() {
        "/v1/vm/list" => named_vm(request),
        "/v1/job/inspect" => job("succeeded"),
        _ => accepted(JOB),
    })
}

#[test]
fn the_trash_and_adoption_have_their_commands() {
    for (line, path, said, field) in [
        (&["vm", "recover", "web"][..], "/v1/vm/recover", "web: recovered\n", ("vm_name", json!("web"))),
        (&["vm", "expunge", "-y", "web"], "/v1/vm/expunge", "web: removed\n", ("vm_name", json!("web"))),
        (&["vm", "release", "-y", "web"], "/v1/vm/release", "web: released\n", ("vm_name", json!("web"))),
        (&["vm", "adopt", "web", "--new-name", "ours"], "/v1/vm/adopt", "web: adopted\n", ("new_name", json!("ours"))),
        (&["vm", "delete", "-y", "web", "--keep-days", "7"], "/v1/vm/delete", "web: in the trash\n", ("keep_days", json!(7))),
        (&["vm", "update", "web", "--restart-on-crash", "yes"], "/v1/vm/update", "web: updated\n", ("restart_on_crash", json!(true))),
    ] {
        let node = willing_node();
        let done = run(&node, line);
        assert_eq!((done.code, done.stdout.as_str()), (0, said), "{line:?} {}", done.stderr);
        let change = node.requests().into_iter().find(|request| request.path == path).unwrap();
        assert_eq!((&change.body["vm_uuid"], &change.body[field.0]), (&json!(VM), &field.1), "{line:?}");
    }
}

#[test]
fn a_resize_may_restart_keep_the_way_back_and_then_be_confirmed_or_reverted() {
    for (line, path, said, field) in [
        (&["vm", "resize", "web", "--cpus", "2", "--restart"][..], "/v1/vm/resize", "web: resized\n", ("restart", json!(true))),
        (&["vm", "resize", "web", "--memory", "1G", "--keep-previous"], "/v1/vm/resize", "web: resized\n", ("keep_previous", json!(true))),
        (&["vm", "resize", "web", "--cpus", "2"], "/v1/vm/resize", "web: resized\n", ("keep_previous", Value::Null)),
        (&["vm", "resize-confirm", "web"], "/v1/vm/resize/confirm", "web: resize confirmed\n", ("vm_name", json!("web"))),
        (&["vm", "resize-revert", "web"], "/v1/vm/resize/revert", "web: resize reverted\n", ("vm_name", json!("web"))),
    ] {
        let node = willing_node();
        let done = run(&node, line);
        assert_eq!((done.code, done.stdout.as_str()), (0, said), "{line:?} {}", done.stderr);
        let change = node.requests().into_iter().find(|request| request.path == path).unwrap();
        assert_eq!((&change.body["vm_uuid"], &change.body[field.0]), (&json!(VM), &field.1), "{line:?}");
    }
}

#[test]
fn a_dry_run_tells_the_verdict_with_every_reason_and_the_definition_on_request() {
    let possible = json!({"dry_run": true, "is_possible": true, "problems": [], "domain_xml": "<domain/>"});
    let problem = |code: u32, message: &str| json!({"status_code": code, "message": message, "message_cn": "中文"});
    let problems = [problem(13001, "Vm name already exist"), problem(12001, "Host resource insufficient: memory")];
    let refused = json!({"dry_run": true, "is_possible": false, "problems": problems, "domain_xml": null});
    let node_saying =
        |verdict: Value| Node::tcp(move |request| if request.path == "/v1/vm/list" { named_vm(request) } else { success(&verdict) });
    let resize = ["vm", "resize", "web", "--cpus", "2", "--dry-run"];
    let node = node_saying(possible.clone());
    let done = run(&node, &resize);
    assert_eq!((done.code, done.stdout.as_str()), (0, "web: possible; nothing was changed\n"), "{}", done.stderr);
    let sent = node.requests().into_iter().find(|request| request.path == "/v1/vm/resize").unwrap();
    assert_eq!((&sent.body["dry_run"], &sent.body["cpu_cores"]), (&json!(true), &json!(2)));
    let done = run(&node, &[&resize[..], &["--xml"]].concat());
    assert_eq!((done.code, done.stdout.as_str()), (0, "<domain/>\n"));

    let node = node_saying(refused);
    let done = run(&node, &resize);
    assert_eq!(done.code, 1);
    let expected =
        "web: not possible; nothing was changed\n  Vm name already exist [13001]\n  Host resource insufficient: memory [12001]\n";
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), (expected, ""));
    let done = run(&node, &[&resize[..], &["--json"]].concat());
    assert_eq!(serde_json::from_str::<Value>(&done.stdout).unwrap()["is_possible"], false);
}

/// A node that knows one image and says `verdict` to a dry run; anything that would change it is refused.
fn careful_node(verdict: Value) -> Node {
    Node::tcp(move |request| match request.path.as_str() {
        "/v1/repository/image/list" => success(&json!({"total_count": 1, "list": [{"image_uuid": VM, "image_name": "debian"}]})),
        "/v1/vm/create" if request.body["dry_run"] == true => success(&verdict),
        _ => Reply::NotFound,
    })
}

#[test]
fn a_dry_run_of_a_create_sends_the_whole_request_and_prints_the_verdict_or_the_definition() {
    let xml = "<domain type=\"kvm\">\n  <name>web</name>\n</domain>\n";
    let node = careful_node(json!({"dry_run": true, "is_possible": true, "problems": [], "domain_xml": xml}));
    let create = ["vm", "create", "web", "--image", "debian", "--cpus", "2", "--memory", "1G", "--no-start", "--dry-run"];
    let done = run(&node, &create);
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (0, "web: possible; nothing was changed\n", ""));
    let done = run(&node, &[&create[..], &["--xml"]].concat());
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (0, xml, ""));
    let done = run(&node, &[&create[..], &["--json"]].concat());
    assert_eq!(serde_json::from_str::<Value>(&done.stdout).unwrap()["domain_xml"], xml);
    let posts: Vec<Request> = node.requests().into_iter().filter(|request| request.method == "POST").collect();
    assert_eq!(posts.len(), 3, "one question each time, no job is asked for: {posts:?}");
    for post in posts {
        let wanted = json!({"vm_name": "web", "image_uuid": VM, "cpu_cores": 2, "memory_size": 1 << 30, "start": false, "dry_run": true});
        assert_eq!((post.path.as_str(), &post.body), ("/v1/vm/create", &wanted));
    }
    assert_eq!(run(&node, &["vm", "create", "web", "--image", "debian", "--xml"]).code, 2, "--xml alone would make it");
}

#[test]
fn a_dry_run_of_an_impossible_create_prints_every_reason_in_the_users_language_and_fails() {
    let problem = |code: u32, message: &str, message_cn: &str| json!({"status_code": code, "message": message, "message_cn": message_cn});
    let problems = [
        problem(13001, "Vm name already exist: web", "虚拟机名称已存在: web"),
        problem(12001, "Host resource insufficient: 8 GiB asked for, 2 GiB free", "物理机资源不足: 内存"),
        problem(16002, "Network does not exist", "网络不存在"),
    ];
    let node = careful_node(json!({"dry_run": true, "is_possible": false, "problems": problems, "domain_xml": null}));
    let create = ["vm", "create", "web", "--image", "debian", "--cpus", "2", "--memory", "8G", "--dry-run", "--xml"];
    let done = run(&node, &create);
    let expected = "web: not possible; nothing was changed\n  Vm name already exist: web [13001]\n  \
                    Host resource insufficient: 8 GiB asked for, 2 GiB free [12001]\n  Network does not exist [16002]\n";
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (1, expected, ""));
    let done = run(&node, &[&create[..], &["--language", "cn"]].concat());
    assert_eq!(done.code, 1, "{}", done.stderr);
    assert!(
        ["虚拟机名称已存在: web [13001]", "[12001]", "网络不存在 [16002]"].iter().all(|text| done.stdout.contains(text)),
        "{}",
        done.stdout
    );
    assert!(node.requests().iter().all(|request| request.method == "GET" || request.body["dry_run"] == true));
}
