//! Profiles: which node a command asks, and as whom.

use crate::fake::{self, Node, Reply, refusal, run_with, success};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn named(name: &'static str) -> Node {
    Node::tcp(move |request| match request.path.as_str() {
        "/v1/user/login" => success(
            &json!({"user": {"user_name": request.body["user_name"]}, "token": format!("token-of-{name}"), "expire_time": 4_000_000_000_u64}),
        ),
        "/v1/user/inspect" if request.token.is_none() => refusal(10100, "Token missing", "缺少令牌"),
        "/v1/user/inspect" => success(&json!({"user": {"user_name": name}})),
        "/v1/vm/list" => success(&json!({"total_count": 1, "list": [{"vm_name": name}]})),
        _ => Reply::NotFound,
    })
}

fn hvctl(home: &Path, line: &[&str], environment: &[(&str, &str)]) -> fake::Done {
    run_with(line, environment, Some(home))
}

#[test]
fn profiles_are_added_chosen_shown_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let (one, two) = (named("one"), named("two"));
    let first = hvctl(home.path(), &["profile", "add", "one", "--url", one.url(), "--user", "admin"], &[]);
    assert_eq!((first.code, first.stdout.as_str()), (0, "one: added; it is the default\n"), "{}", first.stderr);
    assert_eq!(hvctl(home.path(), &["profile", "add", "two", "--url", two.url()], &[]).code, 0);
    assert_eq!(hvctl(home.path(), &["profile", "add", "two", "--url", two.url()], &[]).code, 1, "it is there already");
    let path = home.path().join("hvctl/config.toml");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let asked = |line: &[&str], environment: &[(&str, &str)]| {
        hvctl(home.path(), line, environment).stdout.lines().nth(1).map(|line| line.trim().to_owned())
    };
    let list = ["vm", "list"];
    assert!(asked(&list, &[]).unwrap().starts_with("one "));
    assert!(asked(&["vm", "list", "--profile", "two"], &[]).unwrap().starts_with("two "));
    assert!(asked(&list, &[("HVNODE_PROFILE", "two")]).unwrap().starts_with("two "));
    assert!(asked(&list, &[("HVNODE_PROFILE", "two"), ("HVNODE_URL", one.url())]).unwrap().starts_with("one "));
    assert!(asked(&["vm", "list", "--profile", "two"], &[("HVNODE_URL", one.url())]).unwrap().starts_with("two "));

    let all: Value = serde_json::from_str(&hvctl(home.path(), &["profile", "list", "--json"], &[]).stdout).unwrap();
    assert_eq!((&all["total_count"], &all["list"][0]["is_default"], &all["list"][0]["user"]), (&json!(2), &json!(true), &json!("admin")));
    assert_eq!(hvctl(home.path(), &["profile", "use", "two"], &[]).code, 0);
    assert!(asked(&list, &[]).unwrap().starts_with("two "));
    assert_eq!(hvctl(home.path(), &["profile", "remove", "two"], &[]).code, 2, "nobody confirmed it");
    assert_eq!(hvctl(home.path(), &["profile", "remove", "two", "--yes"], &[]).code, 0);
    assert!(hvctl(home.path(), &["profile", "show"], &[]).stderr.contains("no default profile"));
    let unknown = hvctl(home.path(), &["vm", "list", "--profile", "two"], &[]);
    assert!(unknown.code == 6 && unknown.stderr.contains("there are: one"), "{}", unknown.stderr);
}

#[test]
fn each_profile_keeps_its_own_log_in() {
    let home = tempfile::tempdir().unwrap();
    let node = named("n");
    for name in ["a", "b"] {
        assert_eq!(hvctl(home.path(), &["profile", "add", name, "--url", node.url(), "--user", name], &[]).code, 0);
    }
    let password = [("HVNODE_PASSWORD", "p")];
    assert_eq!(hvctl(home.path(), &["login", "--profile", "a"], &password).code, 0);
    assert_eq!(node.requests().last().unwrap().body["user_name"], "a", "the profile says who");
    assert_eq!(hvctl(home.path(), &["whoami", "--profile", "a"], &[]).code, 0);
    assert_eq!(hvctl(home.path(), &["whoami", "--profile", "b"], &[]).code, 4);
    assert!(!fs::read_to_string(home.path().join("hvctl/config.toml")).unwrap().contains("token-of"), "no secret in the configuration");
}

#[test]
fn a_token_file_stands_for_a_log_in_and_must_be_private() {
    let home = tempfile::tempdir().unwrap();
    let node = named("n");
    let token = home.path().join("token");
    fs::write(&token, "from-a-file\n").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let line = ["profile", "add", "a", "--url", node.url(), "--token-file", token.to_str().unwrap()];
    let refused = hvctl(home.path(), &line, &[]);
    assert!(refused.code == 2 && refused.stderr.contains("chmod 600"), "{}", refused.stderr);
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(hvctl(home.path(), &line, &[]).code, 0);
    assert_eq!(hvctl(home.path(), &["whoami"], &[]).code, 0);
    assert_eq!(node.requests().last().unwrap().token.as_deref(), Some("from-a-file"));
}

#[test]
fn a_wrong_configuration_is_told_with_its_line_and_asks_no_node() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("hvctl")).unwrap();
    fs::write(home.path().join("hvctl/config.toml"), "default = \"a\"\n[profile.a]\nurl = \"http://127.0.0.1:1\"\npassword = \"x\"\n")
        .unwrap();
    let done = hvctl(home.path(), &["vm", "list"], &[]);
    assert!(done.code == 2 && done.stderr.contains("password") && done.stderr.contains("line 4"), "{}", done.stderr);
}
