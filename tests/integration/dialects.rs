//! Clients of the other APIs on real VMs: the flows that their own documents show, in Python, as such clients send them.

use crate::support::Node;
use std::path::Path;

/// A node with every dialect on a port of its private host, and the password of its first account.
async fn node_with_all_dialects() -> (Node, String) {
    let settings = [
        r#"HVNODE__LISTEN__OPENSTACK__TCP=["127.0.0.1:5000"]"#,
        r#"HVNODE__LISTEN__ZSTACK__TCP=["127.0.0.1:8080"]"#,
        r#"HVNODE__LISTEN__CHIMESTACK__TCP=["127.0.0.1:8801"]"#,
    ];
    let node = Node::start_with(&settings, |_| {}).await;
    node.import_images().await;
    let password = node.host.run(&["cat", "/var/lib/hvnode/initial-password"]).trim().to_owned();
    (node, password)
}

fn client(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name).to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_zstack_and_chimestack_run_the_life_of_a_vm_and_leave_nothing() {
    let (node, password) = node_with_all_dialects().await;
    let zstack = client("zstack_flow.py");
    let said = node.host.run(&["env", "ZSTACK_IMAGE=demo", "python3", &zstack, "http://127.0.0.1:8080", "admin", &password]);
    assert!(said.contains("ok: the life of a VM"), "{said}");
    // Destroyed is not gone: it can be recovered for a day.
    let trash = node.client.get("/v1/vm/list?status=deleted").await.ok();
    for vm in trash["list"].as_array().unwrap() {
        node.client.post("/v1/vm/expunge", serde_json::json!({"vm_uuid": vm["vm_uuid"]})).await.ok();
    }
    let chimestack = client("chimestack_flow.py");
    let url = "http://127.0.0.1:8801";
    let words = ["python3", &chimestack, "--url", url, "--user", "admin", "--password", &password, "--image", "demo"];
    let said = node.host.run(&words);
    assert!(said.contains("every answer was as documented"), "{said}");
    node.assert_nothing_is_left();
}
