//! Completions: what a real shell offers once it has read our script.

use crate::fake::{Node, Reply, success};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn node() -> Node {
    Node::tcp(|request| match request.path.as_str() {
        "/v1/vm/list" => success(
            &json!({"list": [{"vm_name": "web-1", "status": "running"}, {"vm_name": "web-2"}, {"vm_name": "db"}, {"vm_name": "数据库"}]}),
        ),
        "/v1/repository/image/list" => success(&json!({"list": [{"image_name": "debian-12"}, {"image_name": "debian-13"}]})),
        "/v1/network/list" => success(&json!({"list": [{"network_name": "lan"}]})),
        "/v1/specification/list" => success(&json!({"list": [{"specification_name": "small"}]})),
        "/v1/job/list" => success(&json!({"list": [{"job_uuid": "019c0000-0000-7000-8000-000000000001", "action": "start_vm"}]})),
        _ => Reply::NotFound,
    })
}

/// What bash offers for the last of these words.
fn offered(url: &str, home: &Path, words: &[&str]) -> Vec<String> {
    let bin = Path::new(env!("CARGO_BIN_EXE_hvctl")).parent().unwrap().display().to_string();
    let list = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let last = words.last().unwrap();
    let script = format!(
        "source <(hvctl completions bash)\nCOMP_WORDS=({list}); COMP_CWORD={}; COMP_TYPE=9\n\
         _clap_complete_hvctl hvctl '{last}' ''\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.len() - 1
    );
    // bash is what is to be tried out
    #[allow(clippy::disallowed_methods)]
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-c", &script]).stdin(Stdio::null()).env_clear();
    bash.env("PATH", format!("{bin}:/usr/bin:/bin")).env("HVNODE_URL", url).env("HOME", home).env("LANG", "C.UTF-8");
    let output = bash.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "nothing disturbs the line being typed");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn bash_offers_commands_options_and_the_names_on_the_node() {
    let (node, home) = (node(), tempfile::tempdir().unwrap());
    let of = |words: &[&str]| offered(node.url(), home.path(), words);
    assert!(of(&["hvctl", "v"]).contains(&"vm".to_owned()));
    assert!(of(&["hvctl", "vm", "start", "--no"]).contains(&"--no-wait".to_owned()));
    assert_eq!(of(&["hvctl", "vm", "start", "web"]), ["web-1", "web-2"]);
    assert_eq!(of(&["hvctl", "vm", "start", "web-1", "d"]), ["db"]);
    assert_eq!(of(&["hvctl", "vm", "show", "数"]), ["数据库"]);
    assert_eq!(of(&["hvctl", "image", "delete", "deb"]), ["debian-12", "debian-13"]);
    assert_eq!(of(&["hvctl", "vm", "create", "x", "--image", "debian-13"]), ["debian-13"]);
    assert_eq!(of(&["hvctl", "vm", "create", "x", "--network", "l"]), ["lan"]);
    assert_eq!(of(&["hvctl", "vm", "resize", "db", "--specification", "s"]), ["small"]);
    assert_eq!(of(&["hvctl", "job", "show", "019"]), ["019c0000-0000-7000-8000-000000000001"]);
}

#[test]
fn profiles_are_offered_without_a_node() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".config/hvctl");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.toml"), "[profile.rack7]\nurl = \"http://127.0.0.1:1\"\n").unwrap();
    assert_eq!(offered("", home.path(), &["hvctl", "vm", "list", "--profile", "ra"]), ["rack7"]);
    assert_eq!(offered("", home.path(), &["hvctl", "profile", "use", ""])[0], "rack7");
}

#[test]
fn a_node_that_does_not_answer_costs_a_moment_and_says_nothing() {
    let home = tempfile::tempdir().unwrap();
    let silent = Node::tcp(|_| Reply::Hang);
    let begin = Instant::now();
    let names = offered(silent.url(), home.path(), &["hvctl", "vm", "start", "web"]);
    assert!(names.is_empty(), "{names:?}");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(offered("http://127.0.0.1:1", home.path(), &["hvctl", "vm", "start", "web"]).is_empty());
}
