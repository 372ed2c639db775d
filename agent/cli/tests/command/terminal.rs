//! What is different on a terminal: colours, progress, widths, questions. A pseudo-terminal stands for one.

use crate::fake::{self, Node, Reply, success};
use nix::pty::{Winsize, openpty};
use serde_json::json;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs hvctl on a terminal so wide, with this typed in, and gives its exit code and everything the terminal showed.
fn on_terminal(node: &Node, width: u16, line: &[&str], environment: &[(&str, &str)], typed: &str) -> (i32, String) {
    let size = Winsize { ws_row: 40, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut environment = environment.to_vec();
    environment.extend([("HVNODE_URL", node.url()), ("TERM", "xterm-256color")]);
    let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
    let mut command = fake::command(line, &environment, home.path());
    let mut child = command.stdin(end(&pty.slave)).stdout(end(&pty.slave)).stderr(end(&pty.slave)).spawn().unwrap();
    drop((command, pty.slave));
    let mut master = std::fs::File::from(pty.master);
    master.write_all(typed.as_bytes()).unwrap();
    let (mut shown, mut piece) = (Vec::new(), [0; 4096]);
    // the terminal's end fails once nobody holds the other one
    while let Ok(length @ 1..) = master.read(&mut piece) {
        shown.extend_from_slice(&piece[..length]);
    }
    (child.wait().unwrap().code().unwrap(), String::from_utf8_lossy(&shown).into_owned())
}

fn some_vms() -> Node {
    Node::tcp(|request| match request.path.as_str() {
        "/v1/vm/list" => success(&json!({"total_count": 2, "list": [
            {"vm_uuid": "8d3b1f5e-0000-4000-8000-000000000001", "vm_name": "数据分析-0495", "status": "running", "cpu_cores": 2, "memory_size": 512 << 20},
            {"vm_uuid": "8d3b1f5e-0000-4000-8000-000000000002", "vm_name": "db", "status": "crashed", "cpu_cores": 4, "memory_size": 4_u64 << 30},
        ]})),
        _ => Reply::NotFound,
    })
}

/// A text as the terminal shows it: without colours.
fn bare(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character == '\x1b' {
            let _ = rest.find(char::is_ascii_alphabetic);
        } else {
            out.push(character);
        }
    }
    out
}

#[test]
fn colours_are_for_terminals_and_for_those_who_want_them() {
    let node = some_vms();
    let (code, shown) = on_terminal(&node, 120, &["vm", "list"], &[], "");
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("\x1b["), "{shown:?}");
    let (_, shown) = on_terminal(&node, 120, &["vm", "list"], &[("NO_COLOR", "1")], "");
    assert!(!shown.contains('\x1b'), "{shown:?}");
    assert!(!fake::run(&node, &["vm", "list"]).stdout.contains('\x1b'));
}

#[test]
fn a_table_fits_the_width_of_the_terminal() {
    let node = some_vms();
    for width in [30, 60, 80, 120] {
        let (_, shown) = on_terminal(&node, width, &["vm", "list"], &[], "");
        for line in bare(&shown).lines() {
            let wide: usize = line.chars().map(|c| if ('\u{4e00}'..'\u{9fff}').contains(&c) { 2 } else { 1 }).sum();
            assert!(wide <= usize::from(width), "{width}: {line:?}");
        }
        assert_eq!(bare(&shown).contains("8d3b1f5e-0000"), width >= 100, "{width}: {shown}");
    }
}

#[test]
fn progress_is_shown_on_a_terminal_and_nowhere_else() {
    let node = || {
        let looks = AtomicUsize::new(0);
        Node::tcp(move |request| match request.path.as_str() {
            "/v1/repository/image/create" => {
                success(&json!({"image_name": "debian", "job_uuid": "019c0000-0000-7000-8000-000000000001", "job_status": "running"}))
            }
            "/v1/job/inspect" => {
                let look = looks.fetch_add(1, Ordering::SeqCst);
                let status = if look < 20 { "running" } else { "succeeded" };
                success(&json!({"job": {"status": status, "progress": (look * 5).min(100), "status_code": 0}}))
            }
            _ => Reply::NotFound,
        })
    };
    let line = ["image", "create", "debian", "--url", "http://images/debian.qcow2"];
    let (code, shown) = on_terminal(&node(), 100, &line, &[], "");
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("debian: fetching") && shown.contains('%'), "{shown:?}");
    let done = fake::run(&node(), &line);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("debian: ready\n", ""));
}

/// What hvctl does with this answer to its question. A process of its own session is needed for `/dev/tty`: `script` makes one.
fn answered(node: &Node, answer: &str) -> (Option<i32>, String) {
    let line = format!("{} vm delete web", env!("CARGO_BIN_EXE_hvctl"));
    let home = tempfile::tempdir().unwrap();
    // the terminal that is to be tried out
    #[allow(clippy::disallowed_methods)]
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env_clear().env("PATH", "/usr/bin:/bin");
    command.env("HVNODE_URL", node.url()).env("XDG_STATE_HOME", home.path()).env("XDG_CONFIG_HOME", home.path()).env("SHELL", "/bin/sh");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    node.wait_until(|requests| !requests.is_empty());
    stdin.write_all(answer.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn what_destroys_is_asked_for_on_a_terminal_and_only_yes_is_yes() {
    let node = || {
        Node::tcp(|request| match request.path.as_str() {
            "/v1/vm/list" => {
                success(&json!({"total_count": 1, "list": [{"vm_uuid": "8d3b1f5e-0000-4000-8000-000000000001", "vm_name": "web"}]}))
            }
            "/v1/vm/delete" => success(&json!({"vm_uuid": "8d3b1f5e-0000-4000-8000-000000000001"})),
            _ => Reply::NotFound,
        })
    };
    let is_deleted = |node: &Node| node.requests().iter().any(|request| request.path == "/v1/vm/delete");
    let yes = node();
    let (code, shown) = answered(&yes, "y\n");
    assert!(shown.contains("Delete web with the root disk, for ever? [y/N]"), "{shown}");
    assert!(is_deleted(&yes) && code == Some(0), "{shown}");
    for answer in ["n\n", "\n", "yess\n"] {
        let no = node();
        let (code, shown) = answered(&no, answer);
        assert!(!is_deleted(&no) && code == Some(1), "{answer:?}: {shown}");
    }
}
