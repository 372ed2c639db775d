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
    let path = "/compute/v2.1/flavors/42";
    for body in [json!({}), json!({"flavor": {}}), json!({"flavor": {"name": "b"}}), json!({"flavor": {"description": 1}})] {
        bench.call("PUT", path, Some(body)).await.fault(400, "badRequest");
    }
    let described = bench.call("PUT", path, Some(json!({"flavor": {"description": "mine"}}))).await;
    assert_eq!((&described.is(200)["flavor"]["description"], &described.body["flavor"]["id"]), (&json!("mine"), &json!("42")));
    assert_eq!(bench.call("PUT", path, Some(json!({"flavor": {"description": null}}))).await.is(200)["flavor"]["description"], Value::Null);
    bench.call_at("2.54", "PUT", path, Some(json!({"flavor": {"description": "x"}}))).await.fault(404, "itemNotFound");
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

/// The form that a service gives its faults, by the path it stands at.
fn assert_form(path: &str, status: u16, body: &Value) {
    let keys = |value: &Value| value.as_object().map(|object| object.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    if status == 401 || path.starts_with("/identity") || path.starts_with("/v3") || path.starts_with("/v1/") {
        assert_eq!(keys(&body["error"]), ["code", "message", "title"], "{path}: {body}");
        assert_eq!(body["error"]["code"], status, "{path}: {body}");
        assert_eq!(body.get("RequestId").is_some(), path.starts_with("/v1/"), "{path}: {body}");
    } else if path.starts_with("/networking") {
        assert_eq!(keys(&body["NeutronError"]), ["detail", "message", "type"], "{path}: {body}");
    } else if path.starts_with("/image") {
        assert_eq!(keys(body), ["code", "message", "title"], "{path}: {body}");
    } else {
        let name = keys(body);
        assert_eq!(name.len(), 1, "{path}: {body}");
        assert_eq!(keys(&body[&name[0]]), ["code", "message"], "{path}: {body}");
        assert_eq!(body[&name[0]]["code"], status, "{path}: {body}");
    }
}

/// Every route at every path, with something that does not exist in the place of its names.
fn everywhere() -> Vec<(String, super::super::table::Mounted)> {
    let fill = |mounted: super::super::table::Mounted| {
        let path = mounted.path.replace("{project_id}", &super::super::convert::project_id());
        let path = path.split('/').map(|part| if part.starts_with('{') { "00000000-0000-0000-0000-000000000007" } else { part });
        (path.collect::<Vec<_>>().join("/"), mounted)
    };
    super::super::table::mounted().into_iter().map(fill).collect()
}

#[tokio::test]
async fn without_a_valid_token_of_this_api_every_route_is_401_in_one_form_and_says_where_to_get_one() {
    let bench = Bench::new().await;
    let foreign = bench.accounts.log_in("native", "198.51.100.7", "admin", "right").await.unwrap().token;
    bench.accounts.reconfigure(crate::accounts::AccountsConfig { token_lifetime: std::time::Duration::ZERO, ..Default::default() });
    let expired = bench.accounts.log_in("openstack", "198.51.100.7", "admin", "right").await.unwrap().token;
    let before = (bench.everything(), bench.log().await.len());
    for (path, mounted) in everywhere() {
        if mounted.route.access == crate::access::Access::Public {
            continue;
        }
        for token in ["", "nonsense", &foreign, &expired] {
            let headers = [("x-auth-token", token)];
            let headers = if token.is_empty() { &[][..] } else { &headers[..] };
            let answer = bench.bytes_of(mounted.route.method, &path, headers).await;
            let (status, headers, body) = answer;
            assert_eq!(status, 401, "{} {path}", mounted.route.method);
            assert_eq!(headers["www-authenticate"], "Keystone uri=\"http://localhost/identity\"", "{path}");
            if mounted.route.method != "HEAD" {
                let body = serde_json::from_slice(&body).unwrap();
                assert_form(&path, 401, &body);
                assert_eq!(body["error"]["message"], "The request you have made requires authentication.");
            }
        }
    }
    // Strangers must not be able to fill the log.
    assert_eq!((bench.everything(), bench.log().await.len()), before);
}

#[tokio::test]
async fn what_does_not_exist_and_what_is_no_json_is_told_in_each_services_form_and_never_as_a_fault_of_the_node() {
    let bench = Bench::new().await;
    let before = bench.everything();
    for (path, mounted) in everywhere() {
        let kind = if path.ends_with("/file") { "application/octet-stream" } else { "application/json" };
        for body in ["", "{", "[1]", "{\"x\": 1}", "{\"server\": null}", "null"] {
            let takes_body = mounted.route.body != super::super::table::BodyKind::None;
            if !body.is_empty() && !takes_body {
                continue;
            }
            if path.contains("/auth/tokens") && mounted.route.method == "DELETE" {
                continue;
            }
            let headers = [("x-auth-token", bench.token.as_str()), ("content-type", kind), ("x-subject-token", "nonsense")];
            let (status, _, text) = bench.bytes_with(mounted.route.method, &path, &headers, body).await;
            assert!(status < 500 || status == 501, "{} {path} {body}: {status}", mounted.route.method);
            if status >= 400 && mounted.route.method != "HEAD" {
                assert_form(&path, status, &serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{path}: {e}")));
            }
        }
    }
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn readers_change_nothing_in_any_service() {
    let bench = Bench::new().await;
    let reader = bench.account("r", hvnode_core::model::Role::Reader).await;
    let before = bench.everything();
    for (path, mounted) in everywhere() {
        if mounted.route.is_change() {
            let headers = [("x-auth-token", reader.as_str()), ("content-type", "application/json")];
            let (status, _, body) = bench.bytes_with(mounted.route.method, &path, &headers, "{}").await;
            assert_eq!(status, 403, "{} {path}", mounted.route.method);
            assert_form(&path, 403, &serde_json::from_slice(&body).unwrap());
        }
    }
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn pages_before_the_first_and_after_what_is_not_there_are_refused_by_every_list() {
    let bench = Bench::new().await;
    for path in [
        SERVERS,
        "/compute/v2.1/servers/detail",
        "/compute/v2.1/flavors",
        "/compute/v2.1/flavors/detail",
        "/compute/v2.1/os-hypervisors",
        "/compute/v2.1/os-keypairs",
        "/image/v2/images",
        "/networking/v2.0/networks",
        "/networking/v2.0/subnets",
        "/networking/v2.0/ports",
        "/volume/v3/volumes",
        "/volume/v3/volumes/detail",
    ] {
        for query in ["limit=-1", "limit=x", "limit=1.5", "marker=00000000-0000-0000-0000-000000000007"] {
            let answer = bench.get(&format!("{path}?{query}")).await;
            assert_eq!(answer.status, 400, "{path}?{query}: {}", answer.body);
            assert_form(path, 400, &answer.body);
        }
    }
}

#[tokio::test]
async fn what_the_node_has_no_room_for_is_refused_and_nothing_is_left_of_it() {
    let bench = Bench::new().await;
    let wish = bench.wish("a").await;
    let huge = bench.flavor("huge", 1 << 20).await;
    let before = bench.everything();
    let mut body = wish.clone();
    body["server"]["flavorRef"] = json!(huge);
    let message = bench.post(SERVERS, body).await.fault(403, "forbidden").to_owned();
    assert!(message.contains("memory"), "{message}");
    let mut body = wish;
    body["server"]["max_count"] = json!(100);
    body["server"]["min_count"] = json!(100);
    body["server"]["flavorRef"] = json!(bench.flavor("large", 8 << 10).await);
    bench.post(SERVERS, body).await.fault(403, "forbidden");
    let is_empty = |snapshot: &hvnode_core::engine::Snapshot| snapshot.vms.is_empty() && snapshot.open_jobs.is_empty();
    assert!(bench.engine.wait_until(crate::test_support::SOON, is_empty).await, "a part of a request that is refused stays");
    let id = bench.server("b").await;
    bench.act(&id, json!({"resize": {"flavorRef": huge}})).await.fault(403, "forbidden");
    bench.until(&id, "ACTIVE").await;
    assert!(before.contains("image of a"));
}
