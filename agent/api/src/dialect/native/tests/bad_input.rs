//! Everything wrong that can be sent: each time a precise coded error in both languages, and nothing changed.

use super::super::route::{Method, Offer, Reply, Route};
use super::super::table::routes;
use super::bench::{BODY_BYTES_MAX, Bench, trusted};
use crate::accounts::AccountsConfig;
use axum::body::Body;
use http::{Request, StatusCode};
use hvnode_core::model::Role;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::time::Duration;
use uuid::Uuid;

/// Values that no field with a meaning takes.
fn hostile_texts() -> Vec<String> {
    let texts =
        ["", " ", "../../etc/passwd", "<domain/>", "a&b", "a\"b", "a'b", "a\\b", "a\nb", "a\u{0}b", "\u{202e}abc", "%s%s", "${x}", "-rf"];
    texts.iter().map(|text| (*text).to_owned()).chain(["x".repeat(100_000), "中".repeat(5_000)]).collect()
}

/// The body of a change with every field it knows and every value right.
fn whole_body(path: &str, bench: &Known) -> Value {
    let Known { vm, image, specification, usd, unknown } = bench;
    match path.rsplit_once('/').unwrap() {
        ("/v1/vm", "create") => json!({
            "vm_name": "new", "cpu_cores": 1, "memory_size": 256 << 20, "image_uuid": image, "storage_size": 2_u64 << 30, "description": "d",
            "interfaces": [{"network_uuid": unknown, "ip_address": "192.168.122.9", "mac_address": "52:54:00:00:00:09"}],
            "usds": [{"usd_name": "u", "storage_size": 1 << 30}], "password": "p", "ssh_key": "ssh-ed25519 AAAA", "user_data": "#cloud-config",
            "boot_type": "bios", "architecture": "x86_64", "auto_start": false, "restart_on_crash": false, "start": false, "tenant_uuid": unknown, "vm_uuid": unknown,
            "metadata": {"k": "v"},
        }),
        ("/v1/vm", "stop") => json!({"vm_uuid": vm, "vm_name": "web", "force": false, "timeout_seconds": 5}),
        ("/v1/vm", "reboot") => json!({"vm_uuid": vm, "force": false}),
        ("/v1/vm", "delete") => json!({"vm_uuid": vm, "force": false, "delete_usd": false, "keep_days": 0}),
        ("/v1/vm", "update") => {
            json!({"vm_uuid": vm, "new_name": "n", "description": "d", "auto_start": true, "locked": false, "restart_on_crash": true,
                "metadata": {"k": "v"}})
        }
        ("/v1/vm", "adopt") => json!({"vm_uuid": vm, "vm_name": "web", "new_name": "n", "dry_run": false}),
        ("/v1/vm", "resize") => {
            json!({"vm_uuid": vm, "cpu_cores": 2, "memory_size": 512 << 20, "restart": true, "keep_previous": true, "live": false})
        }
        ("/v1/vm" | "/v1/vm/resize", _) => json!({"vm_uuid": vm, "vm_name": "web"}),
        ("/v1/specification", "create") => {
            json!({"specification_name": "n", "cpu_cores": 1, "memory_size": 1 << 30, "storage_size": 0, "description": "d", "specification_uuid": unknown})
        }
        ("/v1/specification", "update") => json!({
            "specification_uuid": specification, "new_name": "n", "description": "d", "cpu_cores": 1, "memory_size": 1 << 30, "storage_size": 0,
        }),
        ("/v1/specification", _) => json!({"specification_uuid": specification, "specification_name": "s"}),
        ("/v1/usd" | "/v1/volume", _) => json!({"usd_uuid": usd, "usd_name": "u"}),
        (_, "create") => json!({
            "image_name": "n", "url": "http://h/x", "format": "raw", "checksum": "a".repeat(64), "boot_type": "bios", "os_type": "linux",
            "os_version": "13", "architecture": "x86_64", "description": "d", "image_uuid": unknown,
        }),
        (_, "update") => {
            json!({"image_uuid": image, "new_name": "n", "description": "d", "boot_type": "bios", "os_type": "linux", "os_version": "13"})
        }
        _ => json!({"image_uuid": image, "image_name": "i"}),
    }
}

/// What is on the node of these tests.
struct Known {
    vm: String,
    image: String,
    specification: String,
    usd: String,
    unknown: String,
}

async fn node() -> (Bench, Known) {
    let bench = Bench::new().await;
    let vm = bench.vm("web").await;
    let image = bench.image("spare").await;
    let body = json!({"specification_name": "s", "cpu_cores": 1, "memory_size": 1 << 30});
    let specification = bench.post("/v1/specification/create", body).await.data()["specification"]["specification_uuid"].clone();
    let usd = bench.get("/v1/usd/list").await.data()["list"][0]["usd_uuid"].clone();
    let text = |value: Value| value.as_str().unwrap().to_owned();
    let known = Known { vm, image, specification: text(specification), usd: text(usd), unknown: Uuid::from_u128(0xbad).to_string() };
    (bench, known)
}

fn changes() -> impl Iterator<Item = Route> {
    routes().into_iter().filter(|route| matches!(route.offer, Offer::Change(_)))
}

fn fields(body: &Value) -> Vec<String> {
    body.as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn a_name_that_only_the_log_would_hold_is_bounded_too() {
    let (bench, known) = node().await;
    let before = bench.everything();
    let long = "x".repeat(129);
    for field in ["specification_name", "image_name", "root_usd_name", "network_name", "tenant_name"] {
        for name in [long.as_str(), "a\u{0}b", "a\nb"] {
            let mut body = whole_body("/v1/vm/create", &known);
            body[field] = json!(name);
            refused(&bench, "/v1/vm/create", body, &[10003], field).await;
        }
    }
    let mut body = whole_body("/v1/vm/create", &known);
    body["interfaces"][0]["network_name"] = json!(long);
    refused(&bench, "/v1/vm/create", body, &[10003], "interfaces[0].network_name").await;
    assert_eq!(bench.everything(), before);
}

/// Sends a change that must be refused, naming `field`.
async fn refused(bench: &Bench, path: &str, body: Value, codes: &[u64], field: &str) {
    let answer = bench.post(path, body.clone()).await;
    let shown: String = body.to_string().chars().take(300).collect();
    assert_eq!(answer.status, StatusCode::OK);
    assert!(codes.contains(&answer.code()), "{path} {shown} gave {}", answer.body);
    assert!(answer.message().contains(field), "{path} {shown} does not name {field}: {}", answer.message());
    assert!(answer.body["message_cn"].as_str().unwrap().contains(field), "{path} {shown}: {}", answer.body);
    assert!(answer.text.len() < 4096, "{path} {shown} gave {} bytes", answer.text.len());
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_named() {
    let (bench, known) = node().await;
    let before = bench.everything();
    for route in changes() {
        let body = whole_body(route.path, &known);
        for field in fields(&body) {
            let wrong = match &body[&field] {
                Value::String(_) => [json!(7), json!(true), json!([]), json!({})],
                Value::Number(_) => [json!("7"), json!(true), json!([]), json!(1.5)],
                Value::Bool(_) => [json!("true"), json!(1), json!([]), json!({})],
                Value::Array(_) => [json!("a"), json!(1), json!({}), json!([1])],
                _ => [json!("a"), json!(1), json!([]), json!({"k": 1})],
            };
            for value in wrong {
                let mut body = body.clone();
                body[&field] = value;
                refused(&bench, route.path, body, &[10001], &field).await;
            }
        }
    }
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn an_unknown_field_is_named_and_the_right_one_suggested() {
    let (bench, known) = node().await;
    let before = bench.everything();
    for route in changes() {
        let body = whole_body(route.path, &known);
        let mut unknown = body.clone();
        unknown["zzz"] = json!(1);
        refused(&bench, route.path, unknown, &[10003], "zzz").await;
        let field = route.resource.unwrap().uuid_field;
        let mut misspelt = body.clone();
        misspelt[field.replace("uuid", "uid")] = json!("x");
        refused(&bench, route.path, misspelt, &[10003], field).await;
        let mut misspelt = body;
        misspelt["wait_second"] = json!(1);
        refused(&bench, route.path, misspelt, &[10003], "wait_seconds").await;
    }
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn a_missing_field_is_named() {
    let (bench, _) = node().await;
    let before = bench.everything();
    for route in changes() {
        let resource = route.resource.unwrap();
        let field = if matches!(route.reply, Reply::Created(..)) { resource.name_field } else { resource.uuid_field };
        refused(&bench, route.path, json!({}), &[10002], field).await;
    }
    for (path, body, field) in [
        ("/v1/vm/create", json!({"vm_name": "a"}), "specification_uuid"),
        ("/v1/vm/create", json!({"vm_name": "a", "cpu_cores": 1}), "memory_size"),
        ("/v1/vm/create", json!({"vm_name": "a", "memory_size": 1}), "cpu_cores"),
        ("/v1/vm/create", json!({"vm_name": "a", "cpu_cores": 1, "memory_size": 1024}), "image_uuid"),
        ("/v1/vm/create", json!({"vm_name": "a", "interfaces": [{}]}), "interfaces[0].network_uuid"),
        ("/v1/vm/create", json!({"vm_name": "a", "usds": [{"usd_name": "x"}]}), "usds[0].storage_size"),
        ("/v1/image/create", json!({"image_name": "a", "url": "http://h/x"}), "format"),
        ("/v1/job/cancel", json!({}), "job_uuid"),
    ] {
        refused(&bench, path, body, &[10002], field).await;
    }
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn hostile_texts_and_wrong_uuids_are_refused_field_by_field() {
    let (bench, known) = node().await;
    let before = bench.everything();
    // These may hold what names, uuids and words may not.
    let free = ["description", "password", "ssh_key", "user_data", "os_type", "os_version", "checksum"];
    for route in changes() {
        let body = whole_body(route.path, &known);
        let spoken = if matches!(route.reply, Reply::Created(..)) { "" } else { route.resource.unwrap().name_field };
        let is_checked = |field: &&String| body[*field].is_string() && !free.contains(&field.as_str()) && *field != spoken;
        for field in fields(&body).iter().filter(is_checked) {
            let is_name = field.ends_with("_name");
            for text in hostile_texts().into_iter().filter(|text| !is_name || hvnode_core::model::check_name(text).is_err()) {
                let mut body = body.clone();
                body[field] = text.into();
                refused(&bench, route.path, body, &[10003], field).await;
            }
        }
        for field in fields(&body).iter().filter(|field| free.contains(&field.as_str()) || *field == spoken) {
            for text in ["a\u{0}b".to_owned(), "x".repeat(100_000)] {
                let mut body = body.clone();
                body[field] = text.into();
                refused(&bench, route.path, body, &[10003], field).await;
            }
        }
    }
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn numbers_out_of_range_are_refused_field_by_field() {
    let (bench, known) = node().await;
    let before = bench.everything();
    for route in changes() {
        let body = whole_body(route.path, &known);
        for field in fields(&body).iter().filter(|field| body[*field].is_number()) {
            for number in ["-1", "-9223372036854775808", "99999999999999999999999999", "18446744073709551615", "1e300"] {
                let text = body.to_string().replacen(&format!("\"{field}\":{}", body[field]), &format!("\"{field}\":{number}"), 1);
                let answer = bench.post_raw(route.path, "application/json", text).await;
                assert!([10003, 10005].contains(&answer.code()), "{} {field} {number}: {}", route.path, answer.body);
                assert!(answer.message().contains(field.as_str()), "{} {field} {number}: {}", route.path, answer.message());
            }
        }
        for (field, value) in
            [("wait_seconds", json!(301)), ("wait_seconds", json!(-1)), ("request_uuid", json!("x")), ("request_uuid", json!(""))]
        {
            let mut body = body.clone();
            body[field] = value;
            refused(&bench, route.path, body, &[10003], field).await;
        }
    }
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn fields_that_contradict_each_other_are_refused() {
    let (bench, known) = node().await;
    let before = bench.everything();
    let base = json!({"vm_name": "a", "cpu_cores": 1, "memory_size": 256 << 20, "image_uuid": known.image});
    let with = |field: &str, value: Value| {
        let mut body = base.clone();
        body[field] = value;
        body
    };
    let unknown = &known.unknown;
    for (body, codes, field) in [
        (with("specification_uuid", json!(known.specification)), &[10003][..], "specification_uuid"),
        (with("root_usd_uuid", json!(unknown)), &[10003], "root_usd_uuid"),
        (with("kernel_image_uuid", json!(unknown)), &[10003], "kernel_image_uuid"),
        (with("initrd_image_uuid", json!(unknown)), &[10002], "kernel_image_uuid"),
        (with("kernel_command_line", json!("quiet")), &[10002], "kernel_image_uuid"),
        (with("interfaces", json!([{"network_uuid": "x"}])), &[10003], "interfaces[0].network_uuid"),
        (with("interfaces", json!([{"network_uuid": unknown, "mac_address": "01:00:5e:00:00:01"}])), &[10003], "interfaces[0].mac_address"),
        (with("interfaces", json!([{"network_uuid": unknown, "ip_address": "300.1.1.1"}])), &[10003], "interfaces[0].ip_address"),
        (
            with("interfaces", json!([{"network_uuid": unknown, "security_group_uuid": unknown}])),
            &[10005],
            "interfaces[0].security_group_uuid",
        ),
        (with("interfaces", json!(vec![json!({"network_uuid": unknown}); 33])), &[10003], "interfaces"),
        (with("usds", json!([{"storage_size": 0}])), &[10003], "usds[0].storage_size"),
        (with("usds", json!([{"storage_size": 1 << 30, "usd_name": "a/b"}])), &[10003], "usds[0].usd_name"),
        (with("boot_type", json!("coreboot")), &[10003], "boot_type"),
    ] {
        refused(&bench, "/v1/vm/create", body, codes, field).await;
    }
    let mut both = with("network_uuid", json!(unknown));
    both["interfaces"] = json!([]);
    refused(&bench, "/v1/vm/create", both, &[10003], "network_uuid").await;
    refused(&bench, "/v1/vm/update", json!({"vm_uuid": known.vm}), &[10002], "new_name").await;
    refused(&bench, "/v1/vm/delete", json!({"vm_uuid": known.vm, "keep_days": 3651}), &[10003], "keep_days").await;
    refused(&bench, "/v1/vm/resize", json!({"vm_uuid": known.vm, "cpu_cores": 2, "live": true}), &[10005], "live").await;
    refused(&bench, "/v1/image/create", json!({"image_name": "a", "url": "ftp://h/x", "format": "raw"}), &[10003], "url").await;
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn unknown_objects_and_taken_names_have_their_own_codes() {
    let (bench, known) = node().await;
    let before = bench.everything();
    let unknown = &known.unknown;
    for (path, body, code) in [
        ("/v1/vm/start", json!({"vm_uuid": unknown}), 13000),
        ("/v1/image/delete", json!({"image_uuid": unknown}), 14010),
        ("/v1/specification/delete", json!({"specification_uuid": unknown}), 17000),
        ("/v1/usd/delete", json!({"usd_uuid": unknown}), 16000),
        ("/v1/job/cancel", json!({"job_uuid": unknown}), 20000),
        ("/v1/vm/create", json!({"vm_name": "web", "cpu_cores": 1, "memory_size": 256 << 20, "image_uuid": known.image}), 13001),
        ("/v1/vm/create", json!({"vm_name": "w", "cpu_cores": 1, "memory_size": 256 << 20, "image_uuid": unknown}), 14010),
        ("/v1/vm/create", json!({"vm_name": "w", "specification_uuid": unknown, "image_uuid": known.image}), 17000),
        ("/v1/specification/create", json!({"specification_name": "s", "cpu_cores": 1, "memory_size": 1 << 30}), 17001),
        ("/v1/image/create", json!({"image_name": "spare", "url": "http://h/x", "format": "raw"}), 14011),
    ] {
        assert_eq!(bench.post(path, body).await.code(), code, "{path}");
    }
    for (path, code) in [
        ("/v1/vm/inspect?vm_uuid=", 13000),
        ("/v1/image/inspect?image_uuid=", 14010),
        ("/v1/repository/inspect?repository_uuid=", 14000),
        ("/v1/network/inspect?network_uuid=", 15000),
        ("/v1/usd/inspect?usd_uuid=", 16000),
        ("/v1/volume/inspect?usd_uuid=", 16000),
        ("/v1/specification/inspect?specification_uuid=", 17000),
        ("/v1/host/inspect?host_uuid=", 12000),
        ("/v1/job/inspect?job_uuid=", 20000),
        ("/v1/operation_log/inspect?operation_log_uuid=", 20003),
        ("/v1/vm/statistics?vm_uuid=", 13000),
    ] {
        assert_eq!(bench.get(&format!("{path}{unknown}")).await.code(), code, "{path}");
        assert_eq!(bench.get(&format!("{path}nonsense")).await.code(), 10003, "{path}");
        assert_eq!(bench.get(path).await.code(), 10003, "{path}");
    }
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn every_read_refuses_unknown_and_repeated_parameters() {
    let bench = Bench::new().await;
    for route in routes().iter().filter(|route| route.method == Method::Get && !matches!(route.reply, Reply::Never)) {
        let answer = bench.get(&format!("{}?zzz=1", route.path)).await;
        assert_eq!(answer.code(), 10003, "{} {}", route.path, answer.body);
        assert!(answer.message().contains("zzz"), "{}", route.path);
        if route.common.is_some() {
            for (query, code, field) in [
                ("page_number=0", 10003, "page_number"),
                ("page_number=one", 10001, "page_number"),
                ("page_size=-1", 10003, "page_size"),
                ("page_size=1001", 10003, "page_size"),
                ("page_size=1&page_size=2", 10001, "page_size"),
                ("sort_by=color", 10003, "sort_by"),
                ("sort_order=", 10003, "sort_order"),
                ("tenant_uuid=x", 10003, "tenant_uuid"),
                ("status=flying", 10003, "status"),
                ("nane=x", 10003, "name?"),
            ] {
                let answer = bench.get(&format!("{}?{query}", route.path)).await;
                assert_eq!(answer.code(), code, "{} {query}", route.path);
                assert!(answer.message().contains(field), "{} {query} {}", route.path, answer.message());
            }
        }
        assert_eq!(bench.get(&format!("{}?a=%zz", route.path)).await.code(), 10001);
    }
}

#[tokio::test]
async fn every_route_refuses_the_wrong_method_with_status_200() {
    let bench = Bench::new().await;
    for route in routes() {
        let wrong = if route.method == Method::Get { ["POST", "PUT", "DELETE"] } else { ["GET", "PATCH", "DELETE"] };
        for method in wrong {
            let answer = bench.with_token(method, route.path, "", json!({})).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::OK, 10004), "{method} {}", route.path);
            assert!(answer.message().contains(route.method.word()));
        }
    }
}

#[tokio::test]
async fn every_change_refuses_bodies_that_are_no_json_object() {
    let (bench, known) = node().await;
    let before = bench.everything();
    for route in changes() {
        for body in ["{", "[]", "null", "\"x\"", "1", "{\"a\":1,}", "{\"vm_uuid\":\"a\",\"vm_uuid\":\"b\"}", "\u{feff}{}", "<xml/>", "{}{}"]
        {
            let answer = bench.post_raw(route.path, "application/json", body).await;
            assert_eq!(answer.code(), 10001, "{} {body}", route.path);
        }
        let whole = whole_body(route.path, &known).to_string();
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/xml", ""] {
            let answer = bench.post_raw(route.path, content_type, whole.clone()).await;
            assert_eq!(answer.code(), 10001, "{} {content_type}", route.path);
            assert!(answer.message().contains("Content-Type"));
        }
        let answer = bench.post_raw(route.path, "application/json", vec![b'{', 0xff, b'}']).await;
        assert_eq!(answer.code(), 10001);
        let answer = bench.post(&format!("{}?vm_uuid=1", route.path), whole_body(route.path, &known)).await;
        assert_eq!(answer.code(), 10003);
    }
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let bench = Bench::new().await;
    let body = json!({"vm_name": "x".repeat(10 << 20)}).to_string();
    let answer = bench.post_raw("/v1/vm/create", "application/json", body).await;
    assert_eq!(answer.code(), 10011);
    assert!(answer.message().contains(&BODY_BYTES_MAX.to_string()));
    let deep = format!("{{\"metadata\":{}1{}}}", "{\"a\":".repeat(50_000), "}".repeat(50_000));
    assert_eq!(bench.post_raw("/v1/vm/create", "application/json", deep).await.code(), 10001);
}

#[tokio::test]
async fn an_unknown_route_is_404_with_the_envelope() {
    let bench = Bench::new().await;
    for path in ["/", "/v1", "/v1/vm", "/v1/vm/", "/v1/vm/list/", "/v2/vm/list", "/v1/vm/%2e%2e/list", "/v1/VM/list", "//v1/vm/list"] {
        let answer = bench.get(path).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, 10005), "{path}");
    }
    let answer = bench.get("/v1/vm/lst").await;
    assert!(answer.message().ends_with("did you mean /v1/vm/list?"), "{}", answer.message());
    assert_eq!(bench.post("/v1/nothing/here", json!({})).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_refused_change_is_in_the_operation_log() {
    let (bench, known) = node().await;
    bench.post("/v1/vm/stop", json!({"vm_uuid": known.vm, "vm_name": "web", "force": 7, "password": "hunter2"})).await;
    bench.post_raw("/v1/vm/stop", "application/json", "{").await;
    bench.post("/v1/vm/create", json!({"vm_name": "x".repeat(100_000)})).await;
    let log = bench.log().await;
    assert_eq!((&log[0]["status_code"], &log[0]["request"]["omitted_bytes"].is_u64()), (&json!(10003), &true));
    assert_eq!((&log[1]["status_code"], &log[1]["action"], &log[1]["request"]), (&json!(10001), &json!("/v1/vm/stop"), &json!({})));
    assert_eq!(
        (&log[2]["status_code"], &log[2]["resource_uuid"], &log[2]["resource_name"]),
        (&json!(10001), &json!(known.vm), &json!("web"))
    );
    assert_eq!(log[2]["request"]["password"], "***");
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        Just(json!("00000000-0000-4000-8000-000000000001")),
    ];
    let name = "list|vm_uuid|vm_name|network_uuid|storage_size|usd_name|mac_address|.{0,8}";
    leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Parameter names of a route, as its own document has them.
fn known_names(route: &Route) -> Vec<String> {
    let schemas = [Some(route.request), route.common].into_iter().flatten().map(|kind| serde_json::to_value((kind.schema)()).unwrap());
    schemas.flat_map(|schema| schema["properties"].as_object().cloned().unwrap_or_default().into_iter().map(|(name, _)| name)).collect()
}

#[test]
fn no_input_makes_an_internal_error_or_a_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = runtime.block_on(Bench::new());
    let before = bench.everything();
    // A stream has no end to wait for.
    let table: Vec<_> = routes().into_iter().filter(|route| route.offer != Offer::Stream).collect();
    let strategy = (
        0..table.len(),
        prop::collection::vec((any::<prop::sample::Index>(), any_value()), 0..6),
        prop::collection::vec((".{0,8}", any_value()), 0..2),
        any::<bool>(),
        ".{0,12}",
    );
    proptest!(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() }, |((number, named, extra, is_raw, raw) in strategy)| {
        let route = &table[number];
        let names = known_names(route);
        let mut body: Map<String, Value> = extra.into_iter().collect();
        for (index, value) in named {
            if !names.is_empty() {
                body.insert(index.get(&names).clone(), value);
            }
        }
        let query = body.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(&value.to_string()))).collect::<Vec<_>>().join("&");
        let answer = runtime.block_on(async {
            match (route.method, is_raw) {
                (Method::Get, _) => bench.get(&format!("{}?{query}", route.path)).await,
                (Method::Post, true) => bench.post_raw(route.path, "application/json", raw).await,
                (Method::Post, false) => bench.post(route.path, Value::Object(body)).await,
            }
        });
        prop_assert_eq!(answer.status, StatusCode::OK);
        prop_assert!(answer.code() != 10000, "{} {}", route.path, answer.body);
    });
    assert_eq!(bench.everything(), before);
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[tokio::test]
async fn head_is_answered_like_get() {
    let bench = Bench::new().await;
    let request = trusted(Request::head("/v1/vm/list")).body(Body::empty()).unwrap();
    assert_eq!(bench.send_unread(request).await, StatusCode::OK);
}

#[tokio::test]
async fn tokens_that_ended_or_are_of_another_api_open_no_route() {
    let (bench, _) = node().await;
    bench.account("olga", Role::Operator, "hunter2").await;
    let foreign = bench.accounts.log_in("chimestack", "198.51.100.7", "olga", "hunter2").await.unwrap().token;
    bench.accounts.reconfigure(AccountsConfig { token_lifetime: Duration::ZERO, ..AccountsConfig::default() });
    let expired = bench.accounts.log_in("native", "198.51.100.7", "olga", "hunter2").await.unwrap().token;
    let before = bench.everything();
    for route in routes().iter().filter(|route| route.offer != Offer::LogIn) {
        for (token, code) in [("", 10100), ("nonsense", 10101), (foreign.as_str(), 10101), (expired.as_str(), 10102)] {
            let answer = bench.with_token(route.method.word(), route.path, token, json!({})).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::OK, code), "{}", route.path);
        }
    }
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn what_does_not_fit_what_runs_and_what_is_busy_are_refused_and_nothing_changes() {
    let (bench, known) = node().await;
    let huge = json!({"vm_name": "huge", "cpu_cores": 1, "memory_size": 1_u64 << 50, "image_uuid": known.image});
    let before = bench.everything();
    assert_eq!(bench.post("/v1/vm/create", huge).await.code(), 12001);
    assert_eq!(bench.post("/v1/vm/start", json!({"vm_uuid": known.vm})).await.code(), 13002);
    assert_eq!(bench.post("/v1/vm/expunge", json!({"vm_uuid": known.vm})).await.code(), 13002);
    assert_eq!(bench.post("/v1/usd/delete", json!({"usd_uuid": known.usd})).await.code(), 16002);
    assert_eq!(bench.everything(), before);
    bench.node.set_heeds_requests(Uuid::try_parse(&known.vm).unwrap(), false);
    let answer = bench.post("/v1/vm/stop", json!({"vm_uuid": known.vm, "wait_seconds": 0})).await;
    assert_eq!(answer.data()["job_status"], "running");
    let busy = bench.post("/v1/vm/reboot", json!({"vm_uuid": known.vm})).await;
    assert_eq!(busy.code(), 13010);
    assert!(busy.message().starts_with("Vm busy: ") && busy.body["message_cn"].as_str().unwrap().starts_with("虚拟机忙"), "{}", busy.body);
    bench.post("/v1/vm/stop", json!({"vm_uuid": known.vm, "force": true})).await.data();
}
