use super::bench::{Bench, seed_path};
use axum::body::Body;
use http::{Request, header};
use serde_json::{Value, json};

const SERVERS: &str = "/compute/v2.1/servers";

#[tokio::test]
async fn a_create_that_is_wrong_names_the_field_and_changes_nothing() {
    let bench = Bench::new().await;
    let wish = bench.wish("a").await;
    let before = bench.everything();
    let with = |key: &str, value: Value| {
        let mut wish = wish.clone();
        wish["server"][key] = value;
        wish
    };
    let missing = uuid::Uuid::from_u128(7);
    let cases: Vec<(Value, &str)> = vec![
        (json!({}), "server"),
        (json!({"server": {}}), "name"),
        (json!({"server": [], "x": 1}), "server"),
        (json!({"error": {"name": "a"}}), "server"),
        (with("nmae", json!(1)), "'nmae' was unexpected"),
        (with("name", json!(5)), "server.name"),
        (with("name", json!("a/b")), "vm_name"),
        (with("flavorRef", json!("nothing")), "Flavor nothing"),
        (with("imageRef", json!("nothing")), "imageRef"),
        (with("imageRef", json!(missing)), "image"),
        (with("networks", json!("all")), "server.networks"),
        (with("networks", json!([{"uuid": missing}])), "Network"),
        (with("networks", json!([{"port": missing}])), "Port id"),
        (with("networks", json!([{"uuid": "x"}])), "server.networks[0].uuid"),
        (with("min_count", json!(0)), "minimum"),
        (with("max_count", json!("x")), "server.max_count"),
        (with("metadata", json!({"a": 1})), "server.metadata.a"),
        (with("user_data", json!("%%%")), "user_data"),
        (with("key_name", json!("nobody's")), "key_name"),
        (with("security_groups", json!([{"name": "mine"}])), "mine"),
        (with("availability_zone", json!("moon")), "availability zone"),
        (with("availability_zone", json!("nova:elsewhere")), "No valid host"),
        (with("accessIPv4", json!("1.2.3")), "accessIPv4"),
        (with("tags", json!(["a,b"])), "tag"),
        (with("block_device_mapping_v2", json!([{"source_type": "snapshot", "boot_index": 0}])), "Block Device Mapping"),
        (with("block_device_mapping_v2", json!([{"source_type": "blank"}])), "volume_size"),
    ];
    for (body, part) in cases {
        let answer = bench.post(SERVERS, body.clone()).await;
        let message = answer.fault(400, "badRequest");
        assert!(message.contains(part), "{part} is not in {message:?} for {body}");
    }
    let mut without = wish.clone();
    without["server"].as_object_mut().unwrap().remove("networks");
    assert!(bench.post(SERVERS, without).await.fault(400, "badRequest").contains("networks"));
    assert_eq!(bench.everything(), before);
    assert!(bench.log().await.iter().filter(|(action, _, code)| action == "POST /compute/v2.1/servers" && *code != 0).count() > 20);
}

#[tokio::test]
async fn what_is_no_json_or_of_another_type_is_told_so() {
    let bench = Bench::new().await;
    let post = |kind: &'static str, body: &'static str| {
        let request = Request::post(SERVERS).header("x-auth-token", &bench.token).header(header::CONTENT_TYPE, kind);
        bench.raw(request.body(Body::from(body)).unwrap())
    };
    post("application/json", "{\"server\": ").await.fault(400, "badRequest");
    post("application/json", "{\"server\": {}, \"server\": {}}").await.fault(400, "badRequest");
    post("text/plain", "{}").await.fault(415, "badMediaType");
    let huge: &'static str = Box::leak("x".repeat((1 << 20) + 1).into_boxed_str());
    post("application/json", huge).await.fault(413, "overLimit");
}

#[tokio::test]
async fn versions_that_are_not_served_are_refused() {
    let bench = Bench::new().await;
    bench.call_at("2.73", "GET", SERVERS, None).await.fault(406, "computeFault");
    bench.call_at("3.1", "GET", SERVERS, None).await.fault(406, "computeFault");
    bench.call_at("two", "GET", SERVERS, None).await.fault(400, "badRequest");
    bench.call_at("latest", "GET", SERVERS, None).await.is(200);
    let headers = [("x-auth-token", bench.token.as_str()), ("openstack-api-version", "volume 3.99")];
    bench.send("GET", "/volume/v3/volumes", &headers, None).await.is(406);
}

#[tokio::test]
async fn a_wrong_state_a_busy_and_an_unknown_server_have_novas_words() {
    let bench = Bench::new().await;
    let id = bench.server("a").await;
    let message = bench.act(&id, json!({"os-start": null})).await.fault(409, "conflictingRequest").to_owned();
    assert_eq!(message, format!("Cannot 'os-start' instance {id} while it is in vm_state active"));
    bench.act(&id, json!({"unpause": null})).await.fault(409, "conflictingRequest");
    bench.node.set_heeds_requests(id.parse().unwrap(), false);
    bench.act(&id, json!({"os-stop": null})).await.is(202);
    let message = bench.act(&id, json!({"pause": null})).await.fault(409, "conflictingRequest").to_owned();
    assert_eq!(message, format!("Cannot 'pause' instance {id} while it is in task_state powering-off"));
    let busy = bench.post(&seed_path(&format!("/servers/{id}/action")), json!({"pause": null})).await;
    assert_eq!(busy.is(409)["error"]["title"], "Conflict");
    for id in ["nobody", "00000000-0000-0000-0000-000000000007"] {
        bench.get(&format!("{SERVERS}/{id}")).await.fault(404, "itemNotFound");
        bench.act(id, json!({"os-start": null})).await.fault(404, "itemNotFound");
        bench.call("DELETE", &format!("{SERVERS}/{id}"), None).await.fault(404, "itemNotFound");
    }
}

#[tokio::test]
async fn actions_are_one_known_name_with_its_argument() {
    let bench = Bench::new().await;
    let id = bench.server("a").await;
    let before = bench.everything();
    for body in [
        json!({}),
        json!({"os-stop": null, "pause": null}),
        json!({"os-stpo": null}),
        json!({"os-stop": 1}),
        json!({"reboot": {}}),
        json!({"reboot": {"type": "x"}}),
        json!({"resize": {"flavorRef": "x"}}),
        json!([]),
    ] {
        bench.act(&id, body).await.fault(400, "badRequest");
    }
    for action in ["suspend", "createImage", "rebuild", "shelve", "rescue", "os-resetState"] {
        bench.act(&id, json!({action: {}})).await.fault(501, "notImplemented");
    }
    bench.act(&id, json!({"os-migrateLive": {"host": null}})).await.fault(400, "badRequest");
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn queries_that_are_wrong_are_refused() {
    let bench = Bench::new().await;
    for query in ["limit=-1", "limit=x", "marker=nobody", "sort_dir=up&sort_key=uuid", "sort_key=color", "changes-since=yesterday", "a=%zz"]
    {
        bench.get(&format!("{SERVERS}?{query}")).await.fault(400, "badRequest");
    }
    bench.get("/compute/v2.1/flavors?minRam=x").await.fault(400, "badRequest");
    bench.get("/image/v2/images?limit=x").await.is(400);
    bench.get("/image/v2/images?sort=color").await.is(400);
    bench.get("/networking/v2.0/networks?marker=x").await.is(400);
}

#[tokio::test]
async fn flavors_are_made_of_whole_numbers_and_of_what_this_node_has() {
    let bench = Bench::new().await;
    let before = bench.everything();
    let flavor = |key: &str, value: Value| {
        let mut body = json!({"flavor": {"name": "f", "ram": 256, "vcpus": 1, "disk": 1}});
        body["flavor"][key] = value;
        body
    };
    for (key, value) in [
        ("ram", json!(0)),
        ("ram", json!(1.5)),
        ("vcpus", json!(-1)),
        ("disk", json!("x")),
        ("swap", json!(1)),
        ("OS-FLV-EXT-DATA:ephemeral", json!(1)),
        ("id", json!("a/b")),
        ("os-flavor-access:is_public", json!(false)),
        ("extra", json!(1)),
    ] {
        bench.post("/compute/v2.1/flavors", flavor(key, value)).await.fault(400, "badRequest");
    }
    assert_eq!(bench.everything(), before);
    bench.post("/compute/v2.1/flavors", flavor("id", json!("42"))).await.is(200);
    bench.post("/compute/v2.1/flavors", flavor("id", json!("42"))).await.fault(409, "conflictingRequest");
    bench.get("/compute/v2.1/flavors/42").await.is(200);
    bench.call("DELETE", "/compute/v2.1/flavors/42", None).await.is(202);
    bench.get("/compute/v2.1/flavors/42").await.fault(404, "itemNotFound");
}

#[tokio::test]
async fn services_word_faults_in_their_own_form() {
    let bench = Bench::new().await;
    let answer = bench.post("/networking/v2.0/networks", json!({"network": {}})).await;
    assert_eq!(answer.is(501)["NeutronError"]["type"], "HTTPNotImplemented");
    let answer = bench.get("/networking/v2.0/networks/x").await;
    assert_eq!(answer.is(404)["NeutronError"]["message"], "Network x could not be found.");
    bench.post("/volume/v3/volumes", json!({"volume": {"size": 1}})).await.fault(501, "notImplemented");
    let answer = bench.get("/image/v2/images/x").await;
    assert_eq!(answer.is(404)["title"], "Not Found");
    bench.get("/compute/v2.1/nothing").await.fault(404, "itemNotFound");
    let answer = bench.call("DELETE", SERVERS, None).await;
    answer.fault(405, "badMethod");
    assert_eq!(answer.header("allow"), "GET, POST");
}
