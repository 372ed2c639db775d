//! Whole bodies, identities and times replaced.

use super::bench::Bench;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Identities become their kind, so that only the form is compared.
fn normal(value: &Value) -> Value {
    match value {
        Value::String(text) if Uuid::try_parse(text).is_ok() => "<uuid>".into(),
        Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() && !text.starts_with("0001") => "<time>".into(),
        Value::String(text) if text.split_once('#').is_some_and(|(_, id)| Uuid::try_parse(id).is_ok()) => {
            format!("{}#<uuid>", text.split('#').next().unwrap_or_default()).into()
        }
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Object(object) => object.iter().map(|(name, value)| (name.clone(), named(name, value))).collect::<Map<_, _>>().into(),
        other => other.clone(),
    }
}

/// Addresses are chosen at random.
fn named(name: &str, value: &Value) -> Value {
    match name {
        "mac" | "ip" if value.as_str().is_some_and(|text| !text.is_empty()) => format!("<{name}>").into(),
        _ => normal(value),
    }
}

#[tokio::test]
async fn bodies_of_a_vm() {
    let bench = Bench::new().await;
    let made = bench.call("POST", "/v1/vm", bench.vm_body("web-1").await).await;
    let uuid = made.result()["vm"]["uuid"].as_str().unwrap().to_owned();
    insta::assert_json_snapshot!("vm_made", normal(&made.body));
    bench.settled(&uuid, 1).await;
    insta::assert_json_snapshot!("vm_shown", normal(&bench.get(&format!("/v1/vm/{uuid}")).await.body));
    insta::assert_json_snapshot!("vm_listed", normal(&bench.get("/v1/vm").await.body));
}

#[tokio::test]
async fn bodies_of_the_node() {
    let bench = Bench::new().await;
    let cluster = bench.cluster().await;
    let mut bodies = Map::new();
    for path in ["/v1/az", "/v1/volume_spec", "/v1/securitygroup", "/v1/imagebucket", "/v1/storage_pool", "/v1/nothing"] {
        bodies.insert(path.into(), normal(&bench.get(path).await.body));
    }
    for rest in ["", "/network"] {
        bodies.insert(format!("C{rest}"), normal(&bench.get(&format!("{cluster}{rest}")).await.body));
    }
    bodies.insert("POST /v1/az".into(), normal(&bench.call("POST", "/v1/az", json!({})).await.body));
    insta::assert_json_snapshot!("node", bodies);
}
