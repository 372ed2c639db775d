//! `hvctl user …` and `hvctl token …`.

use super::fake::{Node, Reply, Request, refusal, run, run_fed, run_in, success};
use serde_json::{Value, json};

const ANNA: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const CI: &str = "bbbbbbbb-0000-4000-8000-000000000001";
const SECRET: &str = "hvn_0123456789abcdef";

fn user() -> Value {
    json!({"user_uuid": ANNA, "user_name": "anna", "role": "operator", "enabled": false, "create_time": 1_700_000_000, "update_time": null})
}

fn token() -> Value {
    json!({
        "token_uuid": CI, "token_name": "ci", "user_uuid": ANNA, "user_name": "anna", "role": "reader", "dialects": ["native", "zstack"],
        "status": "valid", "create_time": 1_700_000_000, "expire_time": null, "last_used_time": null, "last_used_address": null,
    })
}

/// A node with one user and one token, who is that user.
fn node() -> Node {
    Node::tcp(|request: &Request| match request.path.as_str() {
        "/v1/user/list" => success(&json!({"total_count": 1, "list": [user()]})),
        "/v1/user/inspect" => success(&json!({"user": user()})),
        "/v1/user/create" => success(&json!({"user": user()})),
        "/v1/user/update" | "/v1/user/delete" | "/v1/user/password/update" => success(&request.body),
        "/v1/user/refusal/list" => success(&json!({"total_count": 1, "list": [
            {"dialect": "native", "client_address": "192.0.2.7", "user_name": "admin", "action": "/v1/user/login", "reason": "password",
             "count": 41, "create_time": 1_700_000_000, "update_time": 1_700_000_000, "request_id": "r"}]})),
        "/v1/token/list" => success(&json!({"total_count": 1, "list": [token()]})),
        "/v1/token/create" => {
            let mut made = token();
            made["secret"] = SECRET.into();
            success(&json!({ "token": made }))
        }
        "/v1/token/delete" => success(&json!({"token_uuid": CI, "token_name": "ci", "user_name": "anna"})),
        _ => Reply::NotFound,
    })
}

fn sent(node: &Node, path: &str) -> Value {
    node.requests().into_iter().find(|request| request.path == path).unwrap().body
}

#[test]
fn users_are_listed_with_role_and_state() {
    let done = run(&node(), &["user", "list"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let mut lines = done.stdout.lines();
    assert!(lines.next().unwrap().starts_with("NAME  ROLE      STATE"), "{}", done.stdout);
    assert!(lines.next().unwrap().starts_with("anna  operator  disabled"), "{}", done.stdout);
}

#[test]
fn a_password_comes_from_standard_input_and_is_shown_nowhere() {
    let node = node();
    let done = run_fed(&node, &["user", "add", "anna", "--role", "operator", "--password-stdin"], "correct horse\n");
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (0, "anna: created\n", ""));
    assert_eq!(sent(&node, "/v1/user/create"), json!({"user_name": "anna", "role": "operator", "password": "correct horse"}));
    let empty = run_fed(&node, &["user", "add", "anna", "--password-stdin"], "\n");
    assert_eq!(empty.code, 2);
    assert!(empty.stderr.contains("standard input holds no line"), "{}", empty.stderr);
}

#[test]
fn a_password_is_never_an_argument() {
    for line in [&["user", "add", "anna", "--password", "x"][..], &["user", "passwd", "anna", "secret"]] {
        let node = node();
        assert_eq!(run(&node, line).code, 2, "{line:?}");
        assert!(node.requests().is_empty());
    }
}

#[test]
fn without_a_terminal_and_without_saying_where_it_comes_from_nothing_is_made() {
    let node = node();
    let done = run(&node, &["user", "add", "anna"]);
    assert_eq!(done.code, 2);
    assert!(node.requests().is_empty());
    assert!(done.stderr.contains("--generate") || done.stderr.contains("terminal"), "{}", done.stderr);
}

#[test]
fn a_password_that_is_made_here_is_long_and_shown_once() {
    let node = node();
    let done = run(&node, &["user", "passwd", "anna", "--generate", "--revoke-tokens"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let body = sent(&node, "/v1/user/password/update");
    let password = body["password"].as_str().unwrap();
    assert_eq!(password.len(), 20);
    assert!(done.stdout.contains(&format!("shown this once: {password}")), "{}", done.stdout);
    assert_eq!((&body["user_uuid"], &body["revoke_tokens"]), (&json!(ANNA), &json!(true)));
    assert!(body.get("old_password").is_none(), "an admin needs none");
    let json = run(&node, &["user", "add", "bob", "--generate", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&json.stdout).unwrap()["generated_password"].as_str().map(str::len), Some(20));
}

#[test]
fn the_own_password_needs_the_old_one() {
    let node = node();
    let done = run_fed(&node, &["user", "passwd", "--password-stdin"], "old one here\nnew one here\n");
    assert_eq!(done.code, 0, "{}", done.stderr);
    let expected = json!({"user_uuid": ANNA, "old_password": "old one here", "password": "new one here"});
    assert_eq!(sent(&node, "/v1/user/password/update"), expected);
    assert!(!done.stdout.contains("one here") && !done.stderr.contains("one here"));
    assert_eq!(run_fed(&node, &["user", "passwd", "--password-stdin"], "only one\n").code, 2);
}

#[test]
fn who_has_no_account_must_say_whose_password() {
    let nil = json!({"user": {"user_uuid": "00000000-0000-0000-0000-000000000000", "user_name": "uid:0", "role": "admin"}});
    let node = Node::tcp(move |_| success(&nil));
    let done = run(&node, &["user", "passwd", "--generate"]);
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("hvctl user passwd NAME"), "{}", done.stderr);
}

#[test]
fn a_user_is_changed_by_name_and_deleted_only_when_that_is_meant() {
    let node = node();
    assert_eq!(run(&node, &["user", "set", "anna", "--role", "reader", "--disable"]).stdout, "anna: updated\n");
    let expected = json!({"user_uuid": ANNA, "user_name": "anna", "role": "reader", "enabled": false});
    assert_eq!(sent(&node, "/v1/user/update"), expected);
    assert_eq!(run(&node, &["user", "set", "anna"]).code, 2);
    let asked = run(&node, &["user", "delete", "anna"]);
    assert_eq!(asked.code, 2);
    assert!(asked.stderr.contains("--yes") && node.requests().iter().all(|request| request.path != "/v1/user/delete"));
    assert_eq!(run(&node, &["user", "delete", "anna", "--yes"]).stdout, "anna: deleted\n");
    assert_eq!(sent(&node, "/v1/user/delete")["user_uuid"], ANNA);
}

#[test]
fn a_refusal_names_the_user_and_says_what_would_be_right() {
    let node = Node::tcp(|request: &Request| match request.path.as_str() {
        "/v1/user/list" => success(&json!({"total_count": 1, "list": [user()]})),
        _ => refusal(10185, "Last administrator: anna stays: make another admin first", "最后一个管理员"),
    });
    let done = run(&node, &["user", "delete", "anna", "--yes"]);
    assert_eq!((done.code, done.stderr.as_str()), (1, "hvctl: anna: Last administrator: anna stays: make another admin first [10185]\n"));
}

#[test]
fn who_was_refused_is_a_table() {
    let done = run(&node(), &["user", "refusals"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(["192.0.2.7", "admin", "password", "41", "/v1/user/login"].iter().all(|word| done.stdout.contains(word)), "{}", done.stdout);
}

#[test]
fn the_secret_of_a_new_token_stands_alone_on_standard_output() {
    let node = node();
    let line =
        ["token", "create", "ci", "--role", "operator", "--api", "native", "--api", "openstack", "--expires", "30d", "--user", "anna"];
    let done = run(&node, &line);
    assert_eq!((done.code, done.stdout), (0, format!("{SECRET}\n")));
    let expected = json!({
        "token_name": "ci", "role": "operator", "dialects": ["native", "openstack"], "lifetime_seconds": 2_592_000, "user_uuid": ANNA,
    });
    assert_eq!(sent(&node, "/v1/token/create"), expected);
    let other = self::node();
    run(&other, &["token", "create", "ci", "--never-expires"]);
    let body = sent(&other, "/v1/token/create");
    assert_eq!((&body["lifetime_seconds"], &body["role"], &body["dialects"]), (&json!(0), &json!("reader"), &json!(["native"])));
}

#[test]
fn tokens_are_listed_and_revoked_by_name() {
    let node = node();
    let list = run(&node, &["token", "list"]);
    assert!(["ci", "anna", "native, zstack", "never", "valid"].iter().all(|word| list.stdout.contains(word)), "{}", list.stdout);
    assert_eq!(run(&node, &["token", "delete", "ci", "--yes"]).stdout, "ci: revoked\n");
    assert_eq!(sent(&node, "/v1/token/delete"), json!({"token_uuid": CI, "token_name": "ci"}));
}

#[test]
fn a_token_of_the_environment_is_sent_and_no_log_in_is_tried() {
    let node = Node::tcp(|_| refusal(10101, "Token invalid", "令牌无效"));
    let home = tempfile::tempdir().unwrap();
    let environment = [("HVNODE_TOKEN", SECRET), ("HVNODE_USER", "anna"), ("HVNODE_PASSWORD", "x")];
    let done = run_in(home.path(), &node, &["vm", "list"], &environment);
    assert_ne!(done.code, 0);
    let requests = node.requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0].token.as_deref(), Some(SECRET));
    assert!(!done.stderr.contains(SECRET));
}
