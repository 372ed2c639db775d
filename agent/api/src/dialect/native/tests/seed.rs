//! Every rule, route and sample of the naming and request rules that this API follows, replayed. Where they contradict each other the
//! API's own decision is what is tried: both spellings, both names of the English message.

use super::super::openapi;
use super::super::table::routes;
use super::bench::{Answer, Bench};
use http::StatusCode;
use hvnode_core::ErrorCode;
use hvnode_core::model::Role;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The object of the success sample.
const VOLUME_SAMPLE: [&str; 10] = ["tenant", "name", "uuid", "pool", "namespace", "capacity", "snap_capacity", "status", "ctime", "flag"];

/// Abbreviations and proper names: all that parameters and fields use. Anything else is written out.
const ABBREVIATIONS: [&str; 22] = [
    "cn", "cpu", "ctime", "dhcp", "dns", "en", "id", "initrd", "ip", "libvirt", "mac", "mem", "mtu", "os", "ssh", "url", "usd", "usds",
    "uuid", "vlan", "vm", "xml",
];
/// Short words that are no abbreviations.
const SHORT_WORDS: [&str; 47] = [
    "auto", "boot", "bus", "by", "code", "core", "data", "days", "disk", "dry", "end", "fail", "flag", "from", "gap", "has", "host", "in",
    "is", "job", "keep", "key", "kind", "line", "list", "live", "load", "log", "name", "new", "next", "old", "on", "out", "page", "path",
    "pool", "port", "read", "role", "root", "run", "send", "size", "snap", "sort", "swap",
];
const SHORT_WORDS_TOO: [&str; 10] = ["last", "open", "time", "top", "type", "used", "user", "view", "wait", "with"];

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.split('_').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Every parameter and field of the document: where it stands, its name, its schema.
fn documented() -> Vec<(String, String, Value)> {
    fn walk(value: &Value, place: &str, found: &mut Vec<(String, String, Value)>) {
        match value {
            Value::Object(object) => {
                for (name, schema) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
                    found.push((place.to_owned(), name.clone(), schema.clone()));
                }
                if object.get("in").is_some_and(|place| place == "query") {
                    found.push((place.to_owned(), text(&object["name"]).to_owned(), object["schema"].clone()));
                }
                object.iter().for_each(|(key, value)| walk(value, &format!("{place}/{key}"), found));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, place, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(&openapi(), "", &mut found);
    assert!(found.len() > 500);
    found
}

#[tokio::test]
async fn the_routes_of_the_rules_exist() {
    let bench = Bench::new().await;
    for (method, path) in [("POST", "/v1/host/delete"), ("GET", "/v1/host/vm/statistic"), ("POST", "/v1/network/switch/gateway/disconnect")]
    {
        assert_eq!(bench.with_token(method, path, "", json!({})).await.status, StatusCode::OK, "{path}");
    }
    // A noun where an action belongs: both spellings of the resource are served.
    for (one, other) in [("/v1/host/vm/statistic", "/v1/host/vm/statistics"), ("/v1/host/statistic", "/v1/host/statistics")] {
        assert_eq!(bench.get(one).await.code(), bench.get(other).await.code(), "{one}");
    }
    assert_eq!(bench.get("/v1/host/nothing").await.status, StatusCode::NOT_FOUND);
}

#[test]
fn resources_and_actions_have_the_words_of_the_rules() {
    let table = routes();
    let paths: Vec<Vec<&str>> = table.iter().map(|route| route.path.split('/').skip(2).collect()).collect();
    for resource in ["vm", "host", "repository", "network", "specification", "usm", "vsm", "statistics", "security_group", "load_balancer"]
    {
        assert!(paths.iter().any(|path| path[0] == resource), "{resource}");
    }
    for action in ["inspect", "list", "delete", "update", "create", "enable", "disable"] {
        assert!(paths.iter().any(|path| path.last() == Some(&action)), "{action}");
    }
    let dhcp: Vec<_> = table.iter().map(|route| route.path).filter(|path| path.contains("/dhcp/")).collect();
    assert!(dhcp.contains(&"/v1/network/dhcp/enable") && dhcp.contains(&"/v1/network/dhcp/disable"));
    // version/resource/action or version/resource/…/action.
    for route in &table {
        let words: Vec<&str> = route.path.split('/').collect();
        assert!(words.len() >= 4 && words[1] == "v1" && words[2..].iter().all(|word| is_name(word)), "{}", route.path);
    }
}

#[test]
fn common_parameters_have_the_names_of_the_rules() {
    let names: BTreeSet<String> = documented().into_iter().map(|(_, name, _)| name).collect();
    for name in [
        "cpu_cores",
        "storage_size",
        "available_storage_size",
        "memory_size",
        "tenant_name",
        "tenant_uuid",
        "user_name",
        "usd",
        "mac_address",
        "create_time",
        "update_time",
        "mem_statistics",
        "cpu_statistics",
        "start_time",
        "end_time",
    ] {
        assert!(names.contains(name), "{name}");
    }
    assert!(routes().iter().any(|route| route.path == "/v1/network/vip/list"));
}

#[test]
fn every_name_is_lower_case_words_joined_by_underscores_and_written_out() {
    let known: BTreeSet<&str> = ABBREVIATIONS.into_iter().chain(SHORT_WORDS).chain(SHORT_WORDS_TOO).collect();
    for (place, name, _) in documented() {
        assert!(is_name(&name), "{place}: {name}");
        for word in name.split('_') {
            let has_vowel = word.contains(['a', 'e', 'i', 'o', 'u', 'y']);
            assert!(
                (word.len() > 4 && has_vowel) || known.contains(word),
                "{place}: {word} in {name} is an abbreviation that is not on the list"
            );
        }
    }
}

#[test]
fn an_identity_has_one_name_and_times_and_sizes_are_whole_numbers() {
    // Every `…_uuid` is named after one of these; nothing is only `uuid` or `id` but the object of the success sample.
    let subjects = [
        "host",
        "image",
        "initrd_image",
        "interface",
        "job",
        "kernel_image",
        "network",
        "operation_log",
        "repository",
        "request",
        "resource",
        "root_usd",
        "security_group",
        "specification",
        "tenant",
        "token",
        "usd",
        "user",
        "vm",
    ];
    for (place, name, schema) in documented() {
        let is_of_sample = place.contains("/Volume") && VOLUME_SAMPLE.contains(&name.as_str());
        if let Some(subject) = name.strip_suffix("_uuid") {
            assert!(subjects.contains(&subject), "{place}: {name}");
        }
        assert!(is_of_sample || !["uuid", "id", "ctime", "capacity"].contains(&name.as_str()), "{place}: {name}");
        let kinds = schema["type"].to_string();
        let is_answer = !place.contains("/parameters");
        if is_answer && (name.ends_with("_time") || name.ends_with("_size")) {
            assert!(kinds.contains("integer"), "{place}: {name} is {kinds}");
        }
    }
}

#[test]
fn descriptions_begin_with_a_capital_and_go_on_in_lower_case() {
    for code in ErrorCode::ALL {
        let words = code.text().trim_end_matches(": %s");
        let mut letters = words.chars();
        assert!(letters.next().is_some_and(|c| c.is_ascii_uppercase()), "{words}");
        assert!(letters.all(|c| c.is_ascii_lowercase() || c == ' '), "{words}");
        assert!(code.text().ends_with(": %s") == code.text_cn().ends_with(": %s"), "{words}");
    }
    assert_eq!(
        (ErrorCode::Internal.number(), ErrorCode::Internal.text(), ErrorCode::Internal.text_cn()),
        (10000, "Manager server error: %s", "服务器出错: %s")
    );
    let parse = ErrorCode::ParseParameter;
    assert_eq!((parse.number(), parse.text(), parse.text_cn()), (10001, "Parse parameter error: %s", "参数解析出错: %s"));
}

#[test]
fn entries_of_lists_hold_nothing_that_grows_without_bound() {
    // At most 16 places; a handful of servers; of a token at most the APIs there are; points of a range that the caller names.
    let bounded = ["stack", "dns_servers", "dialects", "cpu_statistics", "mem_statistics", "disk_statistics", "network_statistics"];
    let document = openapi();
    let mut lists = 0;
    for route in routes().iter().filter(|route| route.path.ends_with("/list")) {
        let answer = &document["paths"][route.path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["anyOf"][0];
        let Some(reference) = answer.pointer("/properties/data/properties/list/items/$ref").and_then(Value::as_str) else { continue };
        lists += 1;
        let entry = document.pointer(reference.trim_start_matches('#')).unwrap();
        for (name, schema) in entry["properties"].as_object().into_iter().flatten() {
            assert!(!schema["type"].to_string().contains("array") || bounded.contains(&name.as_str()), "{}: {name}", route.path);
        }
    }
    assert!(lists > 15, "{lists}");
}

/// `{"status_code": 0, "message_en": "success", "message_cn": "成功", "stack": null, "data": {"volume": {…}}}`
#[tokio::test]
async fn a_success_has_the_fields_of_the_sample() {
    let bench = Bench::new().await;
    bench.vm("web").await;
    let usd_uuid = bench.get("/v1/volume/list").await.data()["list"][0]["usd_uuid"].clone();
    let answer = bench.get(&format!("/v1/volume/inspect?usd_uuid={}", text(&usd_uuid))).await;
    let volume = &answer.data()["volume"];
    for name in VOLUME_SAMPLE {
        // The sample's state is a number; here it is a word, as everywhere in this API.
        let is_text = ["tenant", "name", "uuid", "pool", "namespace", "status"].contains(&name);
        let kind = if is_text { volume[name].is_string() } else { volume[name].is_i64() };
        assert!(kind, "{name}: {volume}");
    }
    assert_eq!(volume["uuid"], usd_uuid);
    // The sample writes message_en, the definition message: both are sent, in the case of the rule.
    assert_eq!(
        (&answer.body["message"], &answer.body["message_en"], &answer.body["message_cn"]),
        (&json!("Success"), &json!("Success"), &json!("成功"))
    );
}

/// `{"status_code": 10183, "message": "user not exist", "message_cn": "用户不存在", "stack": ["ip:…,pid:…,…"], "data": null}`
#[tokio::test]
async fn a_failure_has_the_fields_of_the_sample() {
    let bench = Bench::new().await;
    let answer = bench.with_token("POST", "/v1/user/login", "", json!({"user_name": "nobody", "password": "x"})).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::OK, 10183));
    assert_eq!(
        (&answer.body["message"], &answer.body["message_cn"], &answer.body["data"]),
        (&json!("User not exist"), &json!("用户不存在"), &Value::Null)
    );
    let line = text(&answer.body["stack"][0]).to_owned();
    let parts: Vec<(&str, &str)> = line.split(',').map(|part| part.split_once(':').unwrap()).collect();
    let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["ip", "pid", "bin", "code", "filename", "func", "line"], "{line}");
    assert_eq!(parts[3].1, "10183");
    assert!(parts[5].1.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':'), "{line}");
    assert!(parts[6].1.parse::<u32>().is_ok() && parts[4].1.ends_with(".rs"), "{line}");
}

#[tokio::test]
async fn reads_are_get_changes_are_post_and_the_bare_token_is_the_header() {
    let bench = Bench::new().await;
    let token = bench.account("olga", Role::Operator, "hunter2").await;
    assert_eq!(bench.with_token("GET", "/v1/vm/list", &token, Value::Null).await.code(), 0);
    assert_eq!(bench.with_token("POST", "/v1/vm/list", &token, json!({})).await.code(), 10004);
    let body = json!({"specification_name": "s", "cpu_cores": 1, "memory_size": 1 << 30});
    assert_eq!(bench.with_token("GET", "/v1/specification/create", &token, Value::Null).await.code(), 10004);
    assert_eq!(bench.with_token("POST", "/v1/specification/create", &token, body).await.code(), 0);
}

#[tokio::test]
async fn a_list_has_a_count_and_is_ordered_by_creation_and_then_by_characters() {
    let bench = Bench::new().await;
    for name in ["b", "a", "c"] {
        bench.post("/v1/specification/create", json!({"specification_name": name, "cpu_cores": 1, "memory_size": 1 << 30})).await.data();
    }
    let answer = bench.get("/v1/specification/list").await;
    let data = answer.data().as_object().unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["list", "total_count"]);
    let list = data["list"].as_array().unwrap();
    assert_eq!(data["total_count"], list.len());
    // To the nanosecond; what was made at the same time by name, as a test of lists tries.
    let names: Vec<&str> = list.iter().map(|entry| text(&entry["specification_name"])).collect();
    assert_eq!(names, ["c", "a", "b"]);
    assert!(list.iter().map(|entry| -entry["create_time"].as_i64().unwrap()).is_sorted());
}

/// `{"success": 8, "fail": 2, "results": [{"status_code": 0, …, "data": {"host": "…"}}, {"status_code": 11000, …}]}`
#[tokio::test]
async fn a_batch_says_success_and_tells_of_each_entry() {
    let bench = Bench::new().await;
    let right = bench.vm("web").await;
    let wrong = uuid::Uuid::from_u128(9).to_string();
    let answer = bench.post("/v1/vm/stop", json!({"list": [{"vm_uuid": right, "force": true}, {"vm_uuid": wrong}]})).await;
    let data = answer.data();
    assert_eq!((&data["success"], &data["fail"]), (&json!(1), &json!(1)));
    let results = data["results"].as_array().unwrap();
    for (result, (code, uuid)) in results.iter().zip([(0, &right), (13000, &wrong)]) {
        let fields: BTreeSet<&str> = result.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, BTreeSet::from(["data", "message", "message_cn", "message_en", "stack", "status_code"]));
        assert_eq!((&result["status_code"], &result["data"]["vm_uuid"]), (&json!(code), &json!(uuid)));
        assert_eq!(result["stack"].is_null(), code == 0);
    }
}

#[tokio::test]
async fn a_delete_and_an_update_repeat_their_parameters() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    let body = json!({"vm_uuid": vm_uuid, "vm_name": "web", "description": "d", "locked": false});
    for (path, body) in [("/v1/vm/update", body), ("/v1/vm/delete", json!({"vm_uuid": vm_uuid, "force": true}))] {
        let answer = bench.post(path, body.clone()).await;
        for (name, value) in body.as_object().unwrap() {
            assert_eq!(&answer.data()[name], value, "{path} {name}");
        }
    }
}

#[tokio::test]
async fn a_name_is_for_the_log_and_the_uuid_decides() {
    let bench = Bench::new().await;
    let (one, other) = (bench.vm("one").await, bench.vm("other").await);
    bench.post("/v1/vm/stop", json!({"vm_uuid": one, "vm_name": "other", "force": true})).await.data();
    let status = |answer: &Answer| answer.data()["vm"]["status"].clone();
    assert_eq!(status(&bench.get(&format!("/v1/vm/inspect?vm_uuid={one}")).await), "stopped");
    assert_eq!(status(&bench.get(&format!("/v1/vm/inspect?vm_uuid={other}")).await), "running");
    assert_eq!(bench.log().await[0]["resource_name"], "other");
}

/// What is the caller's own, where any key may stand.
const FREE: [&str; 3] = ["metadata", "request", "result"];

fn lint(object: &Map<String, Value>, place: &str) {
    for (name, value) in object {
        assert!(is_name(name), "{place}: {name}");
        let place = format!("{place}.{name}");
        let is_time = name.ends_with("_time") && !place.contains("query");
        assert!(!is_time || value.is_null() || value.is_i64(), "{place}: {value}");
        assert!(!name.ends_with("_size") || value.is_null() || value.is_u64(), "{place}: {value}");
        if name.ends_with("_uuid") && value.is_string() {
            assert!(uuid::Uuid::try_parse(text(value)).is_ok_and(|uuid| uuid.to_string() == text(value)), "{place}: {value}");
        }
        match value {
            _ if FREE.contains(&name.as_str()) => {}
            Value::Object(inner) => lint(inner, &place),
            Value::Array(items) => items.iter().filter_map(Value::as_object).for_each(|item| lint(item, &place)),
            _ => {}
        }
    }
}

#[tokio::test]
async fn real_answers_follow_the_rules_for_names_too() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    bench.measured(uuid::Uuid::try_parse(&vm_uuid).unwrap()).await;
    bench.post("/v1/vm/stop", json!({"vm_uuid": vm_uuid, "force": true})).await.data();
    for route in routes().iter().filter(|route| route.path.ends_with("/list") || route.path.ends_with("statistics")) {
        let query = if route.path == "/v1/vm/statistics" { format!("?vm_uuid={vm_uuid}") } else { String::new() };
        let answer = bench.get(&format!("{}{query}", route.path)).await;
        lint(answer.body.as_object().unwrap(), route.path);
    }
    for path in ["/v1/vm/inspect", "/v1/statistics/vm/inspect"] {
        lint(bench.get(&format!("{path}?vm_uuid={vm_uuid}")).await.body.as_object().unwrap(), path);
    }
    for path in ["/v1/host/inspect", "/v1/statistics/summary/inspect", "/v1/statistics/host/inspect", "/v1/user/inspect"] {
        lint(bench.get(path).await.body.as_object().unwrap(), path);
    }
}
