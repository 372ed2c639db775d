//! Clients of the other APIs on real VMs: the flows that their own documents show, and the OpenStack clients as they are.

use crate::support::Node;
use crate::support::host::repository;
use std::path::Path;
use std::process::{Command, Stdio};

/// A node with every dialect on a port of its private host, and the password of its first account.
pub(crate) async fn node_with_all_dialects() -> (Node, String) {
    let settings = [
        r#"HVNODE__LISTEN__NATIVE__TCP=["127.0.0.1:7070"]"#,
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

/// The folder with the OpenStack clients; made where it is not there yet.
pub(crate) fn openstack_clients() -> String {
    let made = Command::new(repository().join("tests/clients/environment")).stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    assert!(made.status.success(), "tests/clients/environment failed");
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// What the OpenStack clients want to know, as words for `env`.
pub(crate) fn openstack_credentials(password: &str) -> Vec<String> {
    let words = [
        "OS_AUTH_URL=http://127.0.0.1:5000/identity",
        "OS_USERNAME=admin",
        "OS_PROJECT_NAME=admin",
        "OS_USER_DOMAIN_ID=default",
        "OS_PROJECT_DOMAIN_ID=default",
        "OS_IDENTITY_API_VERSION=3",
        // Nothing of the machine's own.
        "HOME=/nonexistent",
        "OS_CLIENT_CONFIG_FILE=/nonexistent",
        "no_proxy=*",
    ];
    words.iter().map(|&word| word.to_owned()).chain([format!("OS_PASSWORD={password}")]).collect()
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openstack_clients_as_they_are_run_the_life_of_a_vm_and_leave_nothing() {
    let clients = openstack_clients();
    let (node, password) = node_with_all_dialects().await;
    let (python, flow, credentials) = (format!("{clients}/bin/python"), client("openstack_flow.py"), openstack_credentials(&password));
    let mut words = vec!["env"];
    words.extend(credentials.iter().map(String::as_str));
    words.extend([python.as_str(), &flow, "--image", "demo"]);
    let said = node.host.run(&words);
    assert!(said.contains("ok: everything is as the clients expect it"), "{said}");
    node.assert_nothing_is_left();
    let images = node.client.get("/v1/repository/image/list").await.ok();
    assert_eq!(images["total_count"], 3, "{images}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_vm_is_made_stopped_started_and_deleted_each_through_another_api() {
    let clients = openstack_clients();
    let (node, password) = node_with_all_dialects().await;
    let (python, flow, credentials) = (format!("{clients}/bin/python"), client("one_vm_flow.py"), openstack_credentials(&password));
    let mut words = vec!["env"];
    words.extend(credentials.iter().map(String::as_str));
    words.extend([python.as_str(), &flow, "--password", &password, "--image", "demo", "--seeds", "/var/lib/hvnode/volumes"]);
    let said = node.host.run(&words);
    assert!(said.contains("ok: one VM through all APIs"), "{said}");
    node.assert_nothing_is_left();
}
