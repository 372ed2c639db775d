//! Files that callers send: by the command line, and cut off by the death of the daemon.

use crate::support::{Node, PATIENCE, wait_for};
use std::process::{Command, Stdio};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

fn image_files(node: &Node) -> Vec<String> {
    let listed = node.host.run(&["sh", "-c", "ls /var/lib/hvnode/images"]);
    listed.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_sent_by_the_command_line_and_one_that_is_no_disk_leaves_nothing() {
    let node = Node::start().await;
    let test = std::env::current_exe().unwrap();
    let hvctl = test.parent().unwrap().parent().unwrap().join("hvctl");
    let socket = node.host.directory.join("run/hvnode/hvnode.sock");
    let images = node.host.directory.join("run/images");
    let upload = |file: &str, more: &[&str]| {
        let mut command = Command::new(&hvctl);
        command.env("HVNODE_SOCKET", &socket).args(["image", "upload"]).arg(images.join(file)).args(more);
        command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{}: {e}", hvctl.display()))
    };
    let sent = upload("demo.qcow2", &["--name", "sent", "--os-type", "linux"]);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let list = node.client.get("/v1/repository/image/list").await.ok();
    let image = &list["list"][0];
    let bytes = std::fs::metadata(images.join("demo.qcow2")).unwrap().len();
    assert_eq!((image["image_name"].as_str(), image["status"].as_str()), (Some("sent"), Some("ready")), "{image}");
    assert_eq!((image["storage_size"].as_u64(), image["os_type"].as_str()), (Some(bytes), Some("linux")), "{image}");
    std::fs::write(images.join("wrong.qcow2"), vec![7; 3_000_000]).unwrap();
    let refused = upload("wrong.qcow2", &[]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("format"), "{refused:?}");
    assert_eq!(image_files(&node).len(), 1, "{:?}", image_files(&node));
    assert_eq!(node.client.get("/v1/repository/image/list").await.ok()["total_count"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_the_death_of_the_daemon_cuts_off_leaves_nothing() {
    let mut node = Node::start().await;
    let mut stream = UnixStream::connect(node.host.directory.join("run/hvnode/hvnode.sock")).await.unwrap();
    let head = "POST /v1/repository/image/upload?image_name=half&format=raw HTTP/1.1\r\nhost: node\r\n\
        content-type: application/octet-stream\r\ncontent-length: 10000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![7; 4_000_000]).await.unwrap();
    let is_coming = || async {
        let size = node.host.run(&["sh", "-c", "stat -c %s /var/lib/hvnode/images/*.part 2>/dev/null || true"]);
        (size.trim() == "4000000").then_some(())
    };
    wait_for("the first part of the file to be on the disk", PATIENCE, is_coming).await;
    node.kill_daemon();
    node.start_daemon().await;
    let is_gone = || async {
        let list = node.client.get("/v1/repository/image/list").await.ok();
        (list["total_count"] == 0).then_some(())
    };
    wait_for("the half image to go", PATIENCE, is_gone).await;
    assert_eq!(image_files(&node), Vec::<String>::new());
    let jobs = node.client.get("/v1/job/list").await.ok();
    assert_eq!(jobs["list"][0]["status"], "failed", "{jobs}");
}
