//! Runs the real `hvctl` against a fake node and looks at what a person and a script would see.

#![allow(clippy::unwrap_used)] // a test that cannot go on stops

mod completions;
mod doctor;
mod events;
mod fake;
mod profiles;
mod routes;
mod terminal;
mod tls;
mod usage;
mod users;

use fake::{Node, Reply, Request, refusal, run, success};
use serde_json::{Value, json};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

const VM: &str = "8d3b1f5e-0000-4000-8000-000000000001";
const VM_TWO: &str = "8d3b1f5e-0000-4000-8000-000000000002";
const JOB: &str = "019c0000-0000-7000-8000-000000000001";
const JOB_TWO: &str = "019c0000-0000-7000-8000-000000000002";

fn vm_list() -> Reply {
    success(&json!({"total_count": 2, "list": [
        {"vm_uuid": VM, "vm_name": "web", "status": "running", "cpu_cores": 2, "memory_size": 512 << 20, "ip_address": "10.0.0.5"},
        {"vm_uuid": VM_TWO, "vm_name": "db", "status": "stopped", "cpu_cores": 4, "memory_size": 4_u64 << 30, "ip_address": null},
    ]}))
}

/// The list is filtered by the node, as the real one does.
fn named_vm(request: &Request) -> Reply {
    let entry = |uuid: &str, name: &str| json!({"vm_uuid": uuid, "vm_name": name, "status": "stopped"});
    let found = match request.query("name").as_deref() {
        Some("web") => vec![entry(VM, "web")],
        Some("db") => vec![entry(VM_TWO, "db")],
        Some("twin") => vec![entry(VM, "twin"), entry(VM_TWO, "twin")],
        _ => vec![],
    };
    success(&json!({"total_count": found.len(), "list": found}))
}

fn accepted(job: &str) -> Reply {
    success(&json!({"vm_uuid": VM, "job_uuid": job, "job_status": "running"}))
}

fn job(status: &str) -> Reply {
    success(&json!({"job": {"job_uuid": JOB, "action": "start_vm", "resource_type": "vm", "resource_uuid": VM, "resource_name": "web",
        "status": status, "progress": 50, "status_code": 0, "message": "Success", "message_cn": "成功"}}))
}

fn failed_job() -> Reply {
    success(&json!({"job": {"job_uuid": JOB, "action": "start_vm", "resource_uuid": VM, "resource_name": "web",
        "status": "failed", "progress": 50,
        "status_code": 13004, "message": "Vm start failed: no memory", "message_cn": "虚拟机启动失败: 内存不足", "stack": ["ip:127.0.0.1,pid:1"]}}))
}

/// A node whose VM starts in three looks.
fn starting_node() -> Node {
    let looks = AtomicUsize::new(0);
    Node::tcp(move |request| match request.path.as_str() {
        "/v1/vm/list" => named_vm(request),
        "/v1/vm/start" => accepted(JOB),
        "/v1/job/inspect" => job(if looks.fetch_add(1, Ordering::SeqCst) < 2 { "running" } else { "succeeded" }),
        _ => Reply::NotFound,
    })
}

#[test]
fn a_list_is_a_plain_table_where_output_is_no_terminal() {
    let node = Node::tcp(|_| vm_list());
    let done = run(&node, &["vm", "list"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let expected = format!(
        "NAME  STATUS   CPU   MEMORY  ADDRESS   IMAGE  CREATED  UUID\n\
         web   running    2  512 MiB  10.0.0.5  -      -        {VM}\n\
         db    stopped    4    4 GiB  -         -      -        {VM_TWO}\n"
    );
    assert_eq!(done.stdout, expected);
    assert_eq!(done.stderr, "");
}

#[test]
fn json_is_what_the_node_sent_in_its_order() {
    let node =
        Node::tcp(|_| Reply::Json(r#"{"status_code":0,"message":"Success","stack":null,"data":{"z":1.50,"list":[],"a":"数"}}"#.into()));
    let done = run(&node, &["vm", "list", "--json"]);
    assert_eq!(done.stdout, "{\n  \"z\": 1.50,\n  \"list\": [],\n  \"a\": \"数\"\n}\n");
}

#[test]
fn a_list_that_was_cut_says_so_outside_the_table() {
    let node = Node::tcp(|_| success(&json!({"total_count": 70, "list": [{"vm_name": "web"}]})));
    let done = run(&node, &["vm", "list", "--limit", "1"]);
    assert_eq!(node.requests()[0].query("page_size").as_deref(), Some("1"));
    assert!(done.stderr.contains("1 of 70 shown"), "{}", done.stderr);
    assert_eq!(done.stdout.lines().count(), 2);
}

#[test]
fn the_unix_socket_serves_as_well_as_tcp() {
    let node = Node::unix(|_| vm_list());
    assert_eq!(run(&node, &["vm", "list"]).code, 0);
    assert_eq!(node.requests().len(), 1);
}

#[test]
fn a_change_is_followed_until_it_has_ended() {
    let node = starting_node();
    let done = run(&node, &["vm", "start", "web"]);
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (0, "web: started\n", ""));
    let start = node.requests().into_iter().find(|r| r.path == "/v1/vm/start").unwrap();
    assert_eq!((start.method.as_str(), &start.body["vm_uuid"], &start.body["vm_name"]), ("POST", &json!(VM), &json!("web")));
    assert_eq!(start.body["wait_seconds"], 0);
    assert!(start.body["request_uuid"].as_str().is_some_and(|uuid| uuid.len() == 36));
}

#[test]
fn a_change_that_is_not_waited_for_prints_its_job() {
    let node = starting_node();
    let done = run(&node, &["vm", "start", "web", "--no-wait"]);
    assert_eq!((done.code, done.stdout), (0, format!("{JOB}\n")));
    assert!(node.requests().iter().all(|r| r.path != "/v1/job/inspect"));
}

#[test]
fn a_change_whose_connection_is_lost_is_sent_once_more_with_the_same_request_uuid() {
    let sent = AtomicUsize::new(0);
    let node = Node::tcp(move |request| match request.path.as_str() {
        "/v1/vm/start" if sent.fetch_add(1, Ordering::SeqCst) == 0 => Reply::Drop,
        "/v1/vm/start" => accepted(JOB),
        "/v1/job/inspect" => job("succeeded"),
        _ => named_vm(request),
    });
    let done = run(&node, &["vm", "start", "web"]);
    assert_eq!((done.code, done.stdout.as_str()), (0, "web: started\n"), "{}", done.stderr);
    let starts: Vec<Request> = node.requests().into_iter().filter(|r| r.path == "/v1/vm/start").collect();
    assert_eq!(starts.len(), 2);
    assert_eq!(starts[0].body, starts[1].body);
}

#[test]
fn a_change_whose_connection_is_lost_twice_is_given_up() {
    let node = Node::tcp(|request| if request.path == "/v1/vm/start" { Reply::Drop } else { named_vm(request) });
    let done = run(&node, &["vm", "start", "web"]);
    assert_eq!(done.code, 3);
    assert_eq!(node.requests().iter().filter(|r| r.path == "/v1/vm/start").count(), 2);
    assert!(done.stderr.contains("hvctl job list"), "{}", done.stderr);
}

#[test]
fn a_raw_post_is_never_sent_twice() {
    let node = Node::tcp(|_| Reply::Drop);
    let done = run(&node, &["api", "post", "/v1/vm/start", "vm_uuid=x"]);
    assert_eq!((done.code, node.requests().len()), (3, 1));
}

#[test]
fn a_raw_request_carries_what_was_said_and_prints_the_data() {
    let node = Node::tcp(|_| success(&json!({"ok": true})));
    let done = run(&node, &["api", "POST", "/v1/vm/stop", "vm_uuid=x", "force:=true"]);
    assert_eq!(done.stdout, "{\n  \"ok\": true\n}\n");
    assert_eq!(node.requests()[0].body, json!({"vm_uuid": "x", "force": true}));
    run(&node, &["api", "get", "/v1/vm/list", "name=a b"]);
    assert_eq!(node.requests()[1].query("name").as_deref(), Some("a b"));
}

#[test]
fn a_node_that_goes_away_while_a_job_is_followed_is_waited_for() {
    let looks = AtomicUsize::new(0);
    let node = Node::tcp(move |request| match request.path.as_str() {
        "/v1/vm/start" => accepted(JOB),
        "/v1/job/inspect" if looks.fetch_add(1, Ordering::SeqCst) < 5 => Reply::Drop,
        "/v1/job/inspect" => job("succeeded"),
        _ => named_vm(request),
    });
    let done = run(&node, &["vm", "start", "web"]);
    assert_eq!((done.code, done.stdout.as_str()), (0, "web: started\n"), "{}", done.stderr);
}

#[test]
fn a_failed_job_tells_why_in_the_chosen_language_and_exits_1() {
    let node = Node::tcp(|request| match request.path.as_str() {
        "/v1/vm/start" => accepted(JOB),
        "/v1/job/inspect" => failed_job(),
        _ => named_vm(request),
    });
    let english = run(&node, &["vm", "start", "web"]);
    assert_eq!((english.code, english.stderr.as_str()), (1, "hvctl: web: Vm start failed: no memory [13004]\n"));
    let chinese = run(&node, &["vm", "start", "web", "--language", "cn", "--verbose"]);
    assert_eq!(chinese.stderr, "hvctl: web: 虚拟机启动失败: 内存不足 [13004]\n  at ip:127.0.0.1,pid:1\n");
}

#[test]
fn a_job_that_does_not_end_in_time_exits_5_and_goes_on() {
    let node = Node::tcp(|request| match request.path.as_str() {
        "/v1/vm/start" => accepted(JOB),
        "/v1/job/inspect" => job("running"),
        _ => named_vm(request),
    });
    let done = run(&node, &["vm", "start", "web", "--timeout", "1"]);
    assert_eq!(done.code, 5);
    assert!(done.stderr.contains(&format!("hvctl job wait {JOB}")), "{}", done.stderr);
    assert!(node.requests().iter().all(|r| r.path != "/v1/job/cancel"));
}

#[test]
fn a_node_that_never_answers_is_given_up_in_time() {
    let node = Node::tcp(|_| Reply::Hang);
    assert_eq!(run(&node, &["vm", "list", "--timeout", "1"]).code, 5);
}

#[test]
fn an_interruption_leaves_the_job_running_and_says_how_to_follow_it() {
    let node = Node::tcp(|request| match request.path.as_str() {
        "/v1/vm/start" => accepted(JOB),
        "/v1/job/inspect" => job("running"),
        _ => named_vm(request),
    });
    let child = fake::spawn(&node, &["vm", "start", "web"], Stdio::piped());
    node.wait_until(|requests| requests.iter().any(|r| r.path == "/v1/job/inspect"));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains(&format!("hvctl job wait {JOB}")), "{stderr}");
}

#[test]
fn of_several_vms_each_is_reported_and_one_failure_decides_the_exit_code() {
    let node = Node::tcp(|request| match request.path.as_str() {
        "/v1/vm/start" if request.body["vm_uuid"] == VM_TWO => accepted(JOB_TWO),
        "/v1/vm/start" => accepted(JOB),
        "/v1/job/inspect" if request.query("job_uuid").as_deref() == Some(JOB) => failed_job(),
        "/v1/job/inspect" => job("succeeded"),
        _ => named_vm(request),
    });
    let done = run(&node, &["vm", "start", "web", "ghost", "db", "db"]);
    assert_eq!((done.code, done.stdout.as_str()), (1, "db: started\n"));
    assert!(done.stderr.contains("hvctl: web: Vm start failed: no memory [13004]"), "{}", done.stderr);
    assert!(done.stderr.contains("there is no VM named 'ghost'"), "{}", done.stderr);
    let paths: Vec<String> = node.requests().into_iter().map(|r| r.path).filter(|path| path != "/v1/vm/list").collect();
    assert_eq!(&paths[..2], ["/v1/vm/start", "/v1/vm/start"], "all are submitted before any is followed");
    let done = run(&node, &["--json", "vm", "start", "web", "db"]);
    let all: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&all["success"], &all["fail"], &all["results"][0]["status_code"]), (&json!(1), &json!(1), &json!(13004)));
    assert_eq!(all["results"][1]["data"]["job_status"], "succeeded");
}

#[test]
fn a_created_vm_is_shown_with_its_address() {
    let node = Node::tcp(|request| match request.path.as_str() {
        "/v1/repository/image/list" => success(&json!({"list": [{"image_uuid": "i-1", "image_name": "debian", "format": "qcow2"}]})),
        "/v1/vm/create" => success(&json!({"vm_name": "web", "job_uuid": JOB, "job_status": "queued"})),
        "/v1/job/inspect" => job("succeeded"),
        "/v1/vm/inspect" => success(&json!({"vm": {"vm_uuid": VM, "vm_name": "web", "status": "running", "ip_address": "10.0.0.5"}})),
        _ => Reply::NotFound,
    });
    let line = ["vm", "create", "web", "--image", "debian", "--cpus", "1", "--memory", "512M", "--no-network"];
    let done = run(&node, &line);
    assert_eq!((done.code, done.stdout), (0, format!("web: created, running 10.0.0.5 {VM}\n")), "{}", done.stderr);
    let create = node.requests().into_iter().find(|r| r.path == "/v1/vm/create").unwrap();
    assert_eq!((&create.body["image_uuid"], &create.body["interfaces"]), (&json!("i-1"), &json!([])));
}

#[test]
fn names_that_fit_nothing_or_several_things_change_nothing() {
    let node = Node::tcp(named_vm);
    let unknown = run(&node, &["vm", "start", "ghost"]);
    assert_eq!(unknown.code, 6);
    let ambiguous = run(&node, &["vm", "start", "twin"]);
    assert_eq!(ambiguous.code, 2);
    assert!(ambiguous.stderr.contains(VM) && ambiguous.stderr.contains(VM_TWO), "{}", ambiguous.stderr);
    assert!(node.requests().iter().all(|r| r.method == "GET"));
}

#[test]
fn nothing_is_deleted_without_a_yes() {
    let node = Node::tcp(named_vm);
    let done = run(&node, &["vm", "delete", "web"]);
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("--yes"), "{}", done.stderr);
    assert!(node.requests().iter().all(|r| r.method == "GET"));
}

#[test]
fn where_nothing_listens_the_exit_code_is_3_and_the_address_is_named() {
    let done = fake::run_with(&["vm", "list", "--url", "http://127.0.0.1:1"], &[], None);
    assert_eq!(done.code, 3);
    assert!(done.stderr.contains("http://127.0.0.1:1") && done.stderr.contains("systemctl status hvnoded"), "{}", done.stderr);
    assert_eq!(fake::run_with(&["vm", "list", "--url", "/nowhere/x.sock"], &[], None).code, 3);
}

#[test]
fn what_answers_but_is_no_hvnode_is_told() {
    let node = Node::tcp(|_| Reply::Json("<html></html>".into()));
    let done = run(&node, &["vm", "list"]);
    assert_eq!(done.code, 3);
    assert!(done.stderr.contains("not a hvnode"), "{}", done.stderr);
    let node = Node::tcp(|_| Reply::NotFound);
    assert_eq!(run(&node, &["vm", "list"]).code, 1);
}

#[test]
fn without_a_login_the_exit_code_is_4_and_the_remedy_is_named() {
    let node = Node::tcp(|_| refusal(10100, "Token missing", "缺少令牌"));
    let done = run(&node, &["vm", "list"]);
    assert_eq!((done.code, done.stderr.as_str()), (4, "hvctl: Token missing [10100]\n  log in first: hvctl login\n"));
}

fn guarded(request: &Request) -> Reply {
    match (request.path.as_str(), request.token.as_deref()) {
        ("/v1/user/login", _) if request.body["password"] == "s3cret" => {
            success(&json!({"user": {"user_name": "admin"}, "token": "t0ken", "expire_time": 4_000_000_000_u64}))
        }
        ("/v1/user/login", _) => refusal(10180, "Password error", "密码错误"),
        ("/v1/user/logout", Some("t0ken")) => success(&json!({})),
        (_, Some("t0ken")) => vm_list(),
        _ => refusal(10100, "Token missing", "缺少令牌"),
    }
}

#[test]
fn credentials_in_the_environment_log_in_once_and_the_token_is_kept() {
    let node = Node::tcp(guarded);
    let environment = [("HVNODE_USER", "admin"), ("HVNODE_PASSWORD", "s3cret")];
    let home = tempfile::tempdir().unwrap();
    let first = fake::run_in(home.path(), &node, &["vm", "list"], &environment);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let second = fake::run_in(home.path(), &node, &["vm", "list"], &[]);
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert_eq!(node.requests().iter().filter(|r| r.path == "/v1/user/login").count(), 1);
    let mode = std::fs::metadata(home.path().join("hvnode/token.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_login_never_shows_password_or_token_and_a_logout_forgets_both() {
    let node = Node::tcp(guarded);
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("password");
    std::fs::write(&file, "s3cret\n").unwrap();
    let line = ["login", "--user", "admin", "--password-file", file.to_str().unwrap(), "--json", "--verbose"];
    let login = fake::run_in(home.path(), &node, &line, &[]);
    assert_eq!(login.code, 0, "{}", login.stderr);
    for secret in ["s3cret", "t0ken"] {
        assert!(!login.stdout.contains(secret) && !login.stderr.contains(secret), "{}{}", login.stdout, login.stderr);
    }
    assert_eq!(fake::run_in(home.path(), &node, &["logout"], &[]).code, 0);
    assert_eq!(fake::run_in(home.path(), &node, &["vm", "list"], &[]).code, 4);
    assert!(!std::fs::read_to_string(home.path().join("hvnode/token.json")).unwrap().contains("t0ken"));
}

#[test]
fn a_wrong_password_exits_4_and_keeps_nothing() {
    let node = Node::tcp(guarded);
    let home = tempfile::tempdir().unwrap();
    let environment = [("HVNODE_USER", "admin"), ("HVNODE_PASSWORD", "wrong")];
    let done = fake::run_in(home.path(), &node, &["login"], &environment);
    assert_eq!((done.code, done.stderr.as_str()), (4, "hvctl: Password error [10180]\n"));
    assert!(!home.path().join("hvnode/token.json").exists());
}

#[test]
fn a_login_without_terminal_and_password_is_a_usage_error() {
    let node = Node::tcp(guarded);
    let done = run(&node, &["login", "--user", "admin"]);
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("--password-file"), "{}", done.stderr);
}

#[test]
fn a_reader_that_stops_reading_is_no_failure() {
    let list: Vec<Value> = (0..20_000).map(|n| json!({"vm_name": format!("vm-{n}")})).collect();
    let node = Node::tcp(move |_| success(&json!({"total_count": list.len(), "list": list})));
    let mut child = fake::spawn(&node, &["vm", "list"], Stdio::piped());
    let mut first = [0; 16];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn help_and_completion_need_no_node() {
    let help = fake::run_with(&["--help"], &[], None);
    assert!(help.code == 0 && help.stdout.contains("Exit codes:"));
    for shell in ["bash", "zsh", "fish"] {
        let done = fake::run_with(&["completions", shell], &[], None);
        assert!(done.code == 0 && done.stdout.contains("HVCTL_COMPLETE"), "{shell}");
    }
    assert_eq!(fake::run_with(&["vm", "strat", "web"], &[], None).code, 2);
}

#[test]
fn a_console_is_followed_without_repeating_or_losing_lines() {
    let looks = AtomicUsize::new(0);
    let node = Node::tcp(move |request| match request.path.as_str() {
        "/v1/vm/console/log" => match looks.fetch_add(1, Ordering::SeqCst) {
            0 => success(&json!({"output": "one\ntwo\n"})),
            1 => success(&json!({"output": "one\ntwo\nthree\n"})),
            2 => refusal(13000, "Vm not exist", "虚拟机不存在"),
            _ => Reply::NotFound,
        },
        _ => named_vm(request),
    });
    let done = run(&node, &["vm", "console-log", "web", "--follow", "--lines", "1"]);
    assert_eq!((done.code, done.stdout.as_str()), (6, "two\nthree\n"));
}

#[test]
fn an_interrupted_console_is_no_failure() {
    let node = Node::tcp(|request| match request.path.as_str() {
        "/v1/vm/console/log" => success(&json!({"output": "one\n"})),
        _ => named_vm(request),
    });
    let child = fake::spawn(&node, &["vm", "console-log", "web", "--follow"], Stdio::piped());
    node.wait_until(|requests| requests.iter().filter(|r| r.path == "/v1/vm/console/log").count() > 1);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice(), output.stderr.as_slice()), (Some(0), &b"one\n\n"[..], &b""[..]));
}

#[test]
fn statistics_of_several_vms_are_one_request_and_one_table() {
    let usage = |name: &str| json!({"vm_name": name, "cpu_statistics": [{"time": 1, "cpu_usage": 7.0}], "mem_statistics": []});
    let node = Node::tcp(move |request| match request.path.as_str() {
        "/v1/vm/statistics" => success(&json!({"total_count": 2, "list": [usage("web"), usage("db")]})),
        "/v1/host/vm/statistics" => success(&json!({"total_count": 1, "list": [usage("web")]})),
        _ => named_vm(request),
    });
    let done = run(&node, &["vm", "stats", "web", "db"]);
    assert_eq!((done.code, done.stdout.lines().count()), (0, 3), "{}", done.stderr);
    assert!(done.stdout.contains("7.0%") && !done.stdout.contains("NET IN"), "{}", done.stdout);
    let asked = node.requests().into_iter().find(|r| r.path == "/v1/vm/statistics").unwrap();
    assert_eq!(asked.query("vm_uuid").unwrap(), format!("{VM}%2C{VM_TWO}"));
    assert_eq!(run(&node, &["vm", "stats"]).stdout.lines().count(), 2);
}

#[test]
fn json_is_json_from_every_command_that_tells_something() {
    let node = Node::tcp(|request| match request.path.as_str() {
        "/readyz" => Reply::Text(200, "{}".into()),
        "/v1/job/inspect" => job("succeeded"),
        "/v1/vm/list" if request.query("name").is_some() => named_vm(request),
        _ => success(&json!({"total_count": 0, "list": [], "next_cursor": 1, "output": "x", "job": {}, "vm": {}, "host": {}})),
    });
    let uuid = VM;
    for line in [
        "whoami",
        "vm list",
        "vm show UUID",
        "vm stats",
        "vm stats web",
        "vm busiest",
        "vm console UUID",
        "vm create x --image UUID --specification UUID",
        "vm start web",
        "vm stop web",
        "vm reboot web",
        "vm reset web",
        "vm pause web",
        "vm resume web",
        "vm update web --lock",
        "vm resize web --cpus 2",
        "vm resize-confirm web",
        "vm resize-revert web",
        "vm delete web --yes",
        "vm recover web",
        "vm expunge web --yes",
        "vm adopt web",
        "vm release web --yes",
        "host show",
        "host summary",
        "host stats",
        "image list",
        "image show UUID",
        "image create x --url http://x/x.iso",
        "image update UUID --os-type linux",
        "image delete UUID --yes",
        "repository list",
        "repository show UUID",
        "spec list",
        "spec show UUID",
        "spec create x --cpus 1 --memory 1G",
        "spec update UUID --description x",
        "spec delete UUID --yes",
        "network list",
        "network show UUID",
        "disk list",
        "disk show UUID",
        "disk delete UUID --yes",
        "job list",
        "job show UUID",
        "job wait UUID",
        "job cancel UUID",
        "event list",
        "log list",
        "log show UUID",
        "profile list",
        "top --count 1",
        "api get /v1/vm/list",
        "logout",
        "vm console-log UUID",
    ] {
        let line = line.replace("UUID", uuid);
        let mut words: Vec<&str> = line.split(' ').collect();
        words.push("--json");
        let done = run(&node, &words);
        assert_eq!(done.code, 0, "{line}: {}{}", done.stdout, done.stderr);
        assert!(serde_json::from_str::<Value>(&done.stdout).is_ok(), "{line}: {}", done.stdout);
    }
}
