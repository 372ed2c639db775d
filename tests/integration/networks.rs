//! NICs on networks that are not the default one: isolated, and a bridge of the host.

use crate::support::Node;
use crate::support::node::light_vm;
use serde_json::{Value, json};

const ISOLATED: &str = "<network><name>lonely</name><bridge name='virbr-lonely'/><ip address='10.55.0.1' netmask='255.255.255.0'>\
    <dhcp><range start='10.55.0.10' end='10.55.0.20'/></dhcp></ip></network>";

/// A node with the networks `default`, `lonely` (isolated, with DHCP) and `br-test` (a bridge of the host).
async fn node_with_networks() -> (Node, Value) {
    let (mut node, uuids) = Node::with_images().await;
    std::fs::write(node.host.directory.join("run/lonely.xml"), ISOLATED).unwrap();
    node.host.virsh(&["net-define", "/run/lonely.xml"]);
    node.host.virsh(&["net-start", "lonely"]);
    node.host.run(&["sh", "-c", "ip link add br-test type bridge && ip link set br-test up"]);
    let file = node.host.directory.join("hvnode/etc/hvnode.toml");
    let configuration = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{configuration}\n[network]\nbridges = [\"br-test\"]\n")).unwrap();
    node.end_daemon("TERM");
    node.start_daemon().await;
    (node, uuids)
}

#[tokio::test]
async fn a_vm_has_nics_on_an_isolated_network_and_on_a_bridge_of_the_host() {
    let (node, uuids) = node_with_networks().await;
    let listed = node.client.get("/v1/network/list?sort_by=name").await.ok();
    let of = |key: &str| listed["list"].as_array().unwrap().iter().map(|network| network[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("network_name"), ["br-test", "default", "lonely"]);
    assert_eq!(of("network_type"), ["bridge", "nat", "isolated"]);
    assert_eq!(of("address_range"), [json!(null), json!("192.168.122.0/24"), json!("10.55.0.0/24")]);
    let [bridge, _, lonely] = of("network_uuid").try_into().unwrap();

    let mut body = light_vm(&uuids, "linked");
    body["interfaces"] = json!([{"network_uuid": bridge, "ip_address": "10.44.0.9"}]);
    node.client.post("/v1/vm/create", body.clone()).await.refused(15003);
    body["interfaces"] = json!([
        {"network_uuid": lonely, "ip_address": "10.55.0.15"},
        {"network_uuid": lonely},
        {"network_uuid": bridge, "mac_address": "52:54:00:00:00:99"},
    ]);
    let vm = node.client.post("/v1/vm/create", body).await.ok()["vm"].clone();
    let vm_uuid = vm["vm_uuid"].as_str().unwrap();
    let nics = vm["interfaces"].as_array().unwrap();
    assert_eq!((&nics[0]["ip_address"], &nics[0]["gateway"]), (&json!("10.55.0.15"), &json!("10.55.0.1")));
    assert!(nics[1]["ip_address"].as_str().unwrap().starts_with("10.55.0.1"), "{nics:#?}");
    assert_eq!((&nics[2]["ip_address"], &nics[2]["mac_address"]), (&json!(null), &json!("52:54:00:00:00:99")));
    let interfaces = node.host.virsh(&["domiflist", "linked"]);
    assert!(interfaces.contains("br-test") && interfaces.contains("52:54:00:00:00:99"), "{interfaces}");
    assert!(node.host.run(&["ip", "-o", "link", "show", "master", "br-test"]).contains("vnet"));
    node.wait_for_console(vm_uuid, "guest ready, address 10.55.0.1").await;
    let inspected = node.client.get(&format!("/v1/network/inspect?network_uuid={}", lonely.as_str().unwrap())).await.ok();
    assert_eq!(inspected["network"]["used_address_count"], 2);

    node.client.post("/v1/vm/delete", json!({"vm_uuid": vm_uuid, "force": true})).await.ok();
    let definition = node.host.virsh(&["net-dumpxml", "lonely"]);
    assert!(!definition.contains("<host "), "a reservation is left: {definition}");
    node.assert_nothing_is_left();
}
