//! What is refused on a real node, and that a refusal changes nothing.

use crate::support::Node;
use crate::support::node::light_vm;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn a_vm_made_by_hand_is_shown_as_unmanaged_and_cannot_be_changed() {
    let (node, _) = Node::with_images().await;
    let xml = "<domain type='qemu'><name>by-hand</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type arch='x86_64'>hvm</type></os></domain>";
    std::fs::write(node.host.directory.join("run/by-hand.xml"), xml).unwrap();
    node.host.virsh(&["define", "/run/by-hand.xml"]);
    let uuid = node.host.virsh(&["domuuid", "by-hand"]).trim().to_owned();
    node.wait_for_status(&uuid, "stopped", std::time::Duration::from_secs(10)).await;
    let vm = node.vm(&uuid).await;
    assert_eq!((&vm["vm_name"], &vm["management"]), (&json!("by-hand"), &json!("unmanaged")));
    for action in ["start", "stop", "reboot", "reset", "pause", "resume", "delete"] {
        node.act(action, &uuid).await.refused(13015);
    }
    node.client.post("/v1/vm/update", json!({"vm_uuid": uuid, "new_name": "mine"})).await.refused(13015);
    assert_eq!(node.host.virsh(&["dumpxml", "--inactive", "by-hand"]).matches("<name>by-hand</name>").count(), 1);
}

#[tokio::test]
async fn bad_requests_get_a_precise_answer_in_both_languages_and_change_nothing() {
    let (node, uuids) = Node::with_images().await;
    let with = |change: &[(&str, Value)]| {
        let mut body = light_vm(&uuids, "bad");
        for (key, value) in change {
            body[*key] = value.clone();
        }
        body
    };
    let long = "x".repeat(200);
    let unknown = "11111111-2222-4333-8444-555555555555";
    let cases: Vec<(Value, i64, &str)> = vec![
        (with(&[("vm_name", json!(""))]), 10003, "vm_name"),
        (with(&[("vm_name", json!("../../etc/passwd"))]), 10003, "vm_name"),
        (with(&[("vm_name", json!("<b>&"))]), 10003, "vm_name"),
        (with(&[("vm_name", json!("a\u{0}b"))]), 10003, "vm_name"),
        (with(&[("vm_name", json!(long))]), 10003, "vm_name"),
        (with(&[("vm_name", json!(7))]), 10001, "vm_name"),
        (with(&[("vm_nmae", json!("typo"))]), 10003, "vm_nmae"),
        (with(&[("vm_uuid", json!("not-a-uuid"))]), 10003, "vm_uuid"),
        (with(&[("specification_uuid", json!(unknown))]), 17000, ""),
        (with(&[("kernel_image_uuid", json!(unknown))]), 14010, ""),
        (with(&[("kernel_image_uuid", uuids["demo"].clone())]), 14012, "kernel_image_uuid"),
        (with(&[("network_uuid", json!(unknown))]), 15000, ""),
        (with(&[("storage_size", json!(-1))]), 10003, "storage_size"),
        (with(&[("storage_size", json!(u64::MAX))]), 10003, "storage_size"),
        (with(&[("tenant_uuid", json!(unknown))]), 10200, ""),
        (with(&[("wait_seconds", json!(100_000))]), 10003, "wait_seconds"),
    ];
    for (body, code, field) in cases {
        let answer = node.client.post("/v1/vm/create", body.clone()).await.refused(code);
        assert!(answer.message().contains(field), "{body}: {}", answer.message());
        assert!(!answer.0["message_cn"].as_str().unwrap().is_ascii(), "no Chinese: {}", answer.0);
    }
    let too_large = json!({"vm_name": "bad", "cpu_cores": 1, "memory_size": 1_u64 << 50, "image_uuid": uuids["demo"]});
    node.client.post("/v1/vm/create", too_large).await.refused(12001);
    assert_eq!(node.client.get("/v1/vm/list").await.ok()["total_count"], 0);
    node.assert_nothing_is_left();
}

#[tokio::test]
async fn names_uuids_and_addresses_that_are_taken_are_refused() {
    let (node, uuids) = Node::with_images().await;
    let network = node.client.get("/v1/network/list").await.ok()["list"][0]["network_uuid"].clone();
    let mut body = light_vm(&uuids, "first");
    body["start"] = json!(false);
    body["interfaces"] = json!([{"network_uuid": network, "mac_address": "52:54:00:aa:bb:cc", "ip_address": "192.168.122.77"}]);
    let first = node.client.post("/v1/vm/create", body.clone()).await.ok()["vm"].clone();
    assert_eq!(first["ip_address"], "192.168.122.77");
    node.client.post("/v1/vm/create", body.clone()).await.refused(13001);
    body["vm_name"] = json!("second");
    node.client.post("/v1/vm/create", body.clone()).await.refused(15005);
    body["interfaces"][0]["mac_address"] = json!("52:54:00:aa:bb:cd");
    node.client.post("/v1/vm/create", body.clone()).await.refused(15003);
    body["interfaces"][0]["ip_address"] = json!("10.9.9.9");
    node.client.post("/v1/vm/create", body.clone()).await.refused(15003);
    body["interfaces"] = json!([]);
    body["vm_uuid"] = first["vm_uuid"].clone();
    node.client.post("/v1/vm/create", body).await.refused(10010);
    assert_eq!(node.domains(), ["first"]);
}

#[tokio::test]
async fn the_transport_is_guarded() {
    let node = Node::start().await;
    let client = &node.client;
    let (status, _) = client.raw(Method::GET, "/v1/no/such/route", None, vec![]).await.unwrap();
    assert_eq!(status, StatusCode::NOT_FOUND);
    let code = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap()["status_code"].as_i64().unwrap();
    let cases = [
        (Method::DELETE, Some("application/json"), b"{}".to_vec(), 10004),
        (Method::POST, Some("application/json"), b"{".to_vec(), 10001),
        (Method::POST, Some("application/json"), b"[1]".to_vec(), 10001),
        (Method::POST, Some("application/json"), b"\xff\xfe".to_vec(), 10001),
        (Method::POST, Some("text/xml"), b"<a/>".to_vec(), 10001),
        (Method::POST, Some("application/json"), vec![b' '; 10 << 20], 10011),
    ];
    for (method, content_type, body, expected) in cases {
        let (status, bytes) = client.raw(method.clone(), "/v1/vm/start", content_type, body).await.unwrap();
        assert_eq!((status, code(&bytes)), (StatusCode::OK, expected), "{method} {content_type:?}: {}", String::from_utf8_lossy(&bytes));
    }
}

#[tokio::test]
async fn a_token_is_needed_where_the_peer_is_not_trusted() {
    let node = Node::start().await;
    let password = std::fs::read_to_string(node.host.directory.join("hvnode/state/initial-password")).unwrap();
    let wrong = json!({"user_name": "admin", "password": "wrong"});
    node.client.post("/v1/user/login", wrong).await.refused(10180);
    let unknown = json!({"user_name": "nobody", "password": "wrong"});
    node.client.post("/v1/user/login", unknown).await.refused(10183);
    let login = json!({"user_name": "admin", "password": password.trim()});
    let session = node.client.post("/v1/user/login", login).await.ok();
    let mut with_token = node.client.clone();
    with_token.token = Some(session["token"].as_str().unwrap().to_owned());
    with_token.get("/v1/vm/list").await.ok();
    with_token.post("/v1/user/logout", json!({})).await.ok();
    with_token.get("/v1/vm/list").await.refused(10101);
    with_token.token = Some("nonsense".into());
    with_token.get("/v1/vm/list").await.refused(10101);
    assert!(!node.log().contains(password.trim()), "the password stands in the log");
}
