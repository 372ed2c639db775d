use super::bench::Bench;
use serde_json::{Value, json};

const SERVERS: &str = "/compute/v2.1/servers";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here";

#[tokio::test]
async fn a_server_is_made_stopped_started_rebooted_held_and_removed() {
    let bench = Bench::new().await;
    let id = bench.server("a").await;
    bench.act(&id, json!({"os-stop": null})).await.is(202);
    bench.until(&id, "SHUTOFF").await;
    bench.act(&id, json!({"os-start": null})).await.is(202);
    bench.until(&id, "ACTIVE").await;
    bench.act(&id, json!({"reboot": {"type": "SOFT"}})).await.is(202);
    bench.until(&id, "ACTIVE").await;
    bench.act(&id, json!({"reboot": {"type": "HARD"}})).await.is(202);
    bench.until(&id, "ACTIVE").await;
    bench.act(&id, json!({"pause": null})).await.is(202);
    bench.until(&id, "PAUSED").await;
    bench.act(&id, json!({"unpause": null})).await.is(202);
    bench.until(&id, "ACTIVE").await;
    bench.call("DELETE", &format!("{SERVERS}/{id}"), None).await.is(204);
    bench.until_gone(&id).await;
    assert_eq!(bench.node.domain_count(), 0);
    let actions: Vec<String> = bench.log().await.into_iter().map(|(action, ..)| action).collect();
    for wanted in ["POST /compute/v2.1/servers", "POST /compute/v2.1/servers/{id}/action os-stop", "DELETE /compute/v2.1/servers/{id}"] {
        assert!(actions.iter().any(|action| action == wanted), "{wanted}: {actions:?}");
    }
}

#[tokio::test]
async fn a_resize_waits_to_be_confirmed_or_reverted() {
    let bench = Bench::new().await;
    let (id, big) = (bench.server("a").await, bench.flavor("big", 512).await);
    bench.act(&id, json!({"confirmResize": null})).await.fault(409, "conflictingRequest");
    bench.act(&id, json!({"resize": {"flavorRef": big}})).await.is(202);
    let server = bench.until(&id, "VERIFY_RESIZE").await;
    assert_eq!((server["OS-EXT-STS:vm_state"].as_str(), server["flavor"]["ram"].as_u64()), (Some("resized"), Some(512)));
    bench.act(&id, json!({"revertResize": null})).await.is(202);
    assert_eq!(bench.until(&id, "ACTIVE").await["flavor"]["ram"], 256);
    bench.act(&id, json!({"resize": {"flavorRef": big}})).await.is(202);
    bench.until(&id, "VERIFY_RESIZE").await;
    bench.act(&id, json!({"confirmResize": null})).await.is(204);
    assert_eq!(bench.until(&id, "ACTIVE").await["flavor"]["ram"], 512);
}

#[tokio::test]
async fn the_address_is_known_once_a_server_is_active() {
    let bench = Bench::new().await;
    let networks = bench.get("/networking/v2.0/networks?name=default").await;
    let mut wish = bench.wish("a").await;
    wish["server"]["networks"] = json!([{"uuid": networks.is(200)["networks"][0]["id"]}]);
    let id = bench.post(SERVERS, wish).await.is(202)["server"]["id"].as_str().unwrap().to_owned();
    let server = bench.until(&id, "ACTIVE").await;
    let address = &server["addresses"]["default"][0];
    let mut keys: Vec<_> = address.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["OS-EXT-IPS-MAC:mac_addr", "OS-EXT-IPS:type", "addr", "version"]);
    let found = bench.get(&format!("/networking/v2.0/ports?device_id={id}")).await;
    assert_eq!(found.is(200)["ports"][0]["fixed_ips"][0]["ip_address"], address["addr"]);
    let interfaces = bench.get(&format!("{SERVERS}/{id}/os-interface")).await;
    assert_eq!(interfaces.is(200)["interfaceAttachments"][0]["port_id"], found.body["ports"][0]["id"]);
    let one = bench.get(&format!("{SERVERS}/{id}/ips/default")).await;
    assert_eq!(one.is(200)["default"][0], *address);
}

#[tokio::test]
async fn a_server_that_cannot_be_made_stays_as_one_in_error_until_it_is_deleted() {
    let bench = Bench::new().await;
    let error = hvnode_core::fail!(VmStartFailed, "no room");
    bench.faults.on_every("ensure_started", hvnode_core::fake::Fault::FailBefore(error));
    let wish = bench.wish("a").await;
    let id = bench.post(SERVERS, wish).await.is(202)["server"]["id"].as_str().unwrap().to_owned();
    let server = bench.until(&id, "ERROR").await;
    assert!(server["fault"]["message"].as_str().unwrap().contains("no room"), "{server}");
    assert_eq!(server["fault"]["code"], 500);
    assert_eq!(bench.get(&format!("{SERVERS}?status=ERROR")).await.is(200)["servers"][0]["id"], id);
    bench.call("DELETE", &format!("{SERVERS}/{id}"), None).await.is(204);
    bench.get(&format!("{SERVERS}/{id}")).await.fault(404, "itemNotFound");
}

#[tokio::test]
async fn name_metadata_tags_lock_and_access_addresses_are_changed() {
    let bench = Bench::new().await;
    let id = bench.server("a").await;
    let path = format!("{SERVERS}/{id}");
    let body = json!({"server": {"name": "b", "accessIPv6": "0000:0000:0000:0000:0000:babe:220.12.22.2", "description": "mine"}});
    let changed = bench.call("PUT", &path, Some(body)).await;
    let server = &changed.is(200)["server"];
    assert_eq!(
        (server["name"].as_str(), server["accessIPv6"].as_str(), server["description"].as_str()),
        (Some("b"), Some("::babe:dc0c:1602"), Some("mine"))
    );
    bench.post(&format!("{path}/metadata"), json!({"metadata": {"a": "1"}})).await.is(200);
    bench.call("PUT", &format!("{path}/metadata/b"), Some(json!({"meta": {"b": "2"}}))).await.is(200);
    bench.call("DELETE", &format!("{path}/metadata/a"), None).await.is(204);
    assert_eq!(bench.get(&format!("{path}/metadata")).await.is(200), &json!({"metadata": {"b": "2"}}));
    bench.call("PUT", &format!("{path}/tags"), Some(json!({"tags": ["x", "y", "x"]}))).await.is(200);
    bench.call("PUT", &format!("{path}/tags/z"), None).await.is(201);
    bench.call("DELETE", &format!("{path}/tags/y"), None).await.is(204);
    bench.get(&format!("{path}/tags/y")).await.is(404);
    assert_eq!(bench.get(&path).await.is(200)["server"]["tags"], json!(["x", "z"]));
    assert_eq!(bench.get(&format!("{SERVERS}?tags=x,z")).await.is(200)["servers"].as_array().unwrap().len(), 1);
    bench.act(&id, json!({"lock": null})).await.is(202);
    assert_eq!(bench.get(&path).await.is(200)["server"]["locked"], true);
    let message = bench.act(&id, json!({"os-stop": null})).await.fault(409, "conflictingRequest").to_owned();
    assert_eq!(message, format!("Instance {id} is locked"));
    bench.act(&id, json!({"unlock": null})).await.is(202);
    bench.act(&id, json!({"os-stop": null})).await.is(202);
}

#[tokio::test]
async fn a_key_pair_and_a_password_reach_the_guest_beside_user_data() {
    let bench = Bench::new().await;
    bench.post("/compute/v2.1/os-keypairs", json!({"keypair": {"name": "k", "public_key": KEY}})).await.is(201);
    bench.post("/compute/v2.1/os-keypairs", json!({"keypair": {"name": "k", "public_key": KEY}})).await.fault(409, "conflictingRequest");
    let mut wish = bench.wish("a").await;
    wish["server"]["key_name"] = "k".into();
    wish["server"]["user_data"] = "IyEvYmluL3NoCg==".into();
    let answer = bench.post(SERVERS, wish).await;
    let password = answer.is(202)["server"]["adminPass"].as_str().unwrap().to_owned();
    let id = answer.body["server"]["id"].as_str().unwrap().to_owned();
    assert_eq!(bench.until(&id, "ACTIVE").await["key_name"], "k");
    assert!(
        bench
            .log()
            .await
            .iter()
            .all(|(_, request, _)| !request.to_string().contains(&password) && !request.to_string().contains("IyEvYmlu"))
    );
    assert_eq!(bench.get("/compute/v2.1/os-keypairs/k").await.is(200)["keypair"]["public_key"], KEY);
    bench.call("DELETE", "/compute/v2.1/os-keypairs/k", None).await.is(204);
    bench.get("/compute/v2.1/os-keypairs/k").await.fault(404, "itemNotFound");
}

#[tokio::test]
async fn several_servers_of_one_request_have_numbers_and_one_reservation() {
    let bench = Bench::new().await;
    let mut wish = bench.wish("a").await;
    wish["server"]["max_count"] = 3.into();
    let id = bench.post(SERVERS, wish).await.is(202)["server"]["id"].as_str().unwrap().to_owned();
    bench.until(&id, "ACTIVE").await;
    let list = bench.get(&format!("{SERVERS}/detail?sort_key=display_name&sort_dir=asc")).await;
    let servers = list.is(200)["servers"].as_array().unwrap();
    assert_eq!(servers.iter().map(|s| s["name"].as_str().unwrap()).collect::<Vec<_>>(), ["a-1", "a-2", "a-3"]);
    assert_eq!(servers[0]["OS-EXT-SRV-ATTR:reservation_id"], servers[2]["OS-EXT-SRV-ATTR:reservation_id"]);
}

#[tokio::test]
async fn what_was_done_is_listed_with_the_requests_identity() {
    let bench = Bench::new().await;
    let id = bench.server("a").await;
    bench.act(&id, json!({"os-stop": null})).await.is(202);
    bench.until(&id, "SHUTOFF").await;
    let list = bench.get(&format!("{SERVERS}/{id}/os-instance-actions")).await;
    let actions: Vec<&Value> = list.is(200)["instanceActions"].as_array().unwrap().iter().collect();
    assert_eq!(actions.iter().map(|action| action["action"].as_str().unwrap()).collect::<Vec<_>>(), ["stop", "create"]);
    let request = actions[0]["request_id"].as_str().unwrap();
    assert!(request.starts_with("req-"));
    let one = bench.get(&format!("{SERVERS}/{id}/os-instance-actions/{request}")).await;
    assert_eq!(one.is(200)["instanceAction"]["events"][0]["result"], "Success");
}

#[tokio::test]
async fn data_disks_are_volumes_and_outlive_their_server_unless_it_was_said() {
    let bench = Bench::new().await;
    for (name, is_deleted, left) in [("a", false, 1), ("b", true, 1)] {
        let mut wish = bench.wish(name).await;
        let data = json!({"boot_index": -1, "source_type": "blank", "destination_type": "volume", "volume_size": 1, "delete_on_termination": is_deleted});
        let root = json!({"boot_index": 0, "source_type": "image", "destination_type": "local", "uuid": wish["server"]["imageRef"], "delete_on_termination": true});
        wish["server"]["block_device_mapping_v2"] = json!([root, data]);
        let id = bench.post(SERVERS, wish).await.is(202)["server"]["id"].as_str().unwrap().to_owned();
        let server = bench.until(&id, "ACTIVE").await;
        assert_eq!(server["os-extended-volumes:volumes_attached"].as_array().unwrap().len(), 1);
        let volume = server["os-extended-volumes:volumes_attached"][0]["id"].as_str().unwrap().to_owned();
        let shown = bench.get(&format!("/volume/v3/volumes/{volume}")).await;
        assert_eq!(
            (&shown.is(200)["volume"]["status"], &shown.body["volume"]["attachments"][0]["server_id"]),
            (&json!("in-use"), &json!(id))
        );
        bench.call("DELETE", &format!("/volume/v3/volumes/{volume}"), None).await.fault(400, "badRequest");
        bench.call("DELETE", &format!("{SERVERS}/{id}"), None).await.is(204);
        bench.until_gone(&id).await;
        assert_eq!(bench.get("/volume/v3/volumes/detail").await.is(200)["volumes"].as_array().unwrap().len(), left);
    }
    let volumes = bench.get("/volume/v3/volumes").await;
    let volume = volumes.is(200)["volumes"][0]["id"].as_str().unwrap().to_owned();
    bench.call("DELETE", &format!("/volume/v3/volumes/{volume}"), None).await.is(202);
}

#[tokio::test]
async fn consoles_and_counters_of_a_running_server_are_shown() {
    let bench = Bench::new().await;
    let id = bench.server("a").await;
    assert!(bench.act(&id, json!({"os-getConsoleOutput": {"length": 5}})).await.is(200)["output"].is_string());
    let body = json!({"remote_console": {"protocol": "vnc", "type": "novnc"}});
    let console = bench.post(&format!("{SERVERS}/{id}/remote-consoles"), body).await;
    assert!(console.is(200)["remote_console"]["url"].as_str().unwrap().starts_with("vnc://127.0.0.1:"));
    bench.act(&id, json!({"os-getVNCConsole": {"type": "novnc"}})).await.is(404);
    let old = bench.call_at("2.5", "POST", &format!("{SERVERS}/{id}/action"), Some(json!({"os-getVNCConsole": {"type": "novnc"}}))).await;
    assert_eq!(old.is(200)["console"]["type"], "novnc");
    let diagnostics = bench.get(&format!("{SERVERS}/{id}/diagnostics")).await;
    assert_eq!(diagnostics.is(200)["state"], "running");
    let flat = bench.call_at("2.1", "GET", &format!("{SERVERS}/{id}/diagnostics"), None).await;
    assert_eq!(flat.is(200)["memory"], 256 * 1024);
    bench.act(&id, json!({"os-stop": null})).await.is(202);
    bench.until(&id, "SHUTOFF").await;
    bench.get(&format!("{SERVERS}/{id}/diagnostics")).await.fault(409, "conflictingRequest");
}
