//! Every request line and code sample of the ChimeStack document on how to use its API, replayed; only host, port and identities differ.

use super::bench::{Bench, text};
use axum::body::Body;
use http::{Request, header};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

/// The answer to a log-in, as the document prints it.
const LOGIN_SAMPLE: &str = r#"{
  "requestId": "8e6a050d-7476-4d80-a6bc-b2aada27dd76",
  "error": null,
  "result": {
    "user": {
      "uuid": "d820ef87-8fab-434a-9129-d9f1b53e5820",
      "user_uuid": "9c15f4cb-5f6d-4e45-818f-a4315c54240c",
      "created_at": "2024-04-21T21:26:28.279496741+08:00",
      "expired_at": "2024-04-22T09:26:28.279496943+08:00"
    }
  }
}"#;

/// The answer to making a cluster.
const CLUSTER_SAMPLE: &str = r#"{
  "requestId": "8e3592e3-6581-4923-8292-e57418d128ad",
  "result": {
    "cluster": {
      "arch": "x86",
      "az_uuid": "cbd2819b-b49a-47ad-9fa4-307774d97865",
      "created_at": "2024-04-17T08:46:42.227101717Z",
      "description": "",
      "hypervisor_type": "kvm",
      "name": "test-cluster",
      "state": 1,
      "type": 1,
      "uuid": "e359211d-a882-4609-baad-db57557fdf2e"
    }
  }
}"#;

/// The form of a failure.
const FAILURE_SAMPLE: &str =
    r#"{"error": {"code": 1, "message": "", "status": ""}, "requestId": "8e3592e3-6581-4923-8292-e57418d128ad", "result": null}"#;

/// Every field of the sample is there, of the same kind; what may be more stands in `more`.
fn fits(sample: &Value, found: &Value, more: &[&str], place: &str) {
    match (sample, found) {
        (Value::Object(sample), Value::Object(found)) => {
            let names = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<BTreeSet<_>>();
            let unknown: Vec<_> = names(found).difference(&names(sample)).filter(|name| !more.contains(&name.as_str())).cloned().collect();
            let missing: Vec<_> = names(sample).difference(&names(found)).cloned().collect();
            assert!(missing.is_empty() && unknown.is_empty(), "{place}: missing {missing:?}, not in the sample {unknown:?}");
            sample.iter().for_each(|(name, value)| fits(value, &found[name], more, &format!("{place}.{name}")));
        }
        (Value::String(sample), Value::String(found)) => {
            assert_eq!(Uuid::try_parse(sample).is_ok(), Uuid::try_parse(found).is_ok(), "{place}: {found}");
            let is_time = |text: &str| text.parse::<jiff::Timestamp>().is_ok();
            assert_eq!(is_time(sample), is_time(found), "{place}: {found}");
        }
        (Value::String(_), Value::Null) => assert!(place.ends_with("created_at"), "{place}: a time that nobody knows is the only null"),
        (Value::Number(_), Value::Number(_)) | (Value::Null, Value::Null) => {}
        _ => panic!("{place}: {found} in place of {sample}"),
    }
}

fn sample(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// `curl -H "Content-Type: application/json" -X POST '…/v1/login' -d '{"user_name":"admin","password":"admin"}'`
async fn log_in(bench: &Bench) -> Value {
    let request = Request::post("/v1/login").header("Content-Type", "application/json");
    let answer = bench.send(request.body(Body::from(r#"{"user_name":"admin","password":"admin"}"#)).unwrap()).await;
    fits(&sample(LOGIN_SAMPLE), &answer.body, &[], "login");
    answer.body
}

#[tokio::test]
async fn the_log_in_line_gives_a_token_for_twelve_hours() {
    let bench = Bench::new().await;
    let body = log_in(&bench).await;
    let time = |name: &str| text(&body["result"]["user"][name]).parse::<jiff::Timestamp>().unwrap();
    assert_eq!(time("expired_at").as_second() - time("created_at").as_second(), 12 * 3600);
    let token = text(&body["result"]["user"]["uuid"]);
    assert_eq!(bench.with_token("GET", "/v1/az", &token, Value::Null).await.result()["size"], 1);
}

#[tokio::test]
async fn the_log_out_line_ends_the_token_it_names_without_a_header() {
    let bench = Bench::new().await;
    let token = text(&log_in(&bench).await["result"]["user"]["uuid"]);
    // curl -H "Content-Type: application/json" -X POST '…/v1/logout' -d '{"token":"d820ef87-8fab-434a-9129-d9f1b53e5820"}'
    let line = || {
        let body = format!(r#"{{"token":"{token}"}}"#);
        Request::post("/v1/logout").header("Content-Type", "application/json").body(Body::from(body)).unwrap()
    };
    let answer = bench.send(line()).await;
    assert_eq!((answer.result(), &answer.body["error"]), (&json!({"user": "ok"}), &Value::Null));
    assert_eq!(bench.with_token("GET", "/v1/az", &token, Value::Null).await.failure(), (401, 10101, "UNAUTHENTICATED"));
    assert_eq!(bench.send(line()).await.failure(), (401, 10101, "UNAUTHENTICATED"));
    assert_eq!(bench.get("/v1/az").await.result()["size"], 1, "another token stays valid");
}

#[tokio::test]
async fn the_cluster_line_is_understood_and_refused_in_the_documented_form() {
    let bench = Bench::new().await;
    let az = bench.az().await;
    let line = |az: &str| {
        let body = r#"{"name":"mycluster","description":"test cluster","hypervisor_type":"kvm", "arch":"x86_64"}"#;
        let request = Request::post(format!("/v1/az/{az}/cluster")).header("Content-Type", "application/json");
        request.header(header::AUTHORIZATION, format!("Bearer {}", bench.token)).body(Body::from(body)).unwrap()
    };
    let answer = bench.send(line(&az)).await;
    fits(&sample(FAILURE_SAMPLE), &answer.body, &[], "failure");
    assert_eq!(answer.failure(), (403, 403, "PERMISSION_DENIED"));
    assert!(answer.message().contains("single-node"), "{}", answer.message());
    let answer = bench.send(line("cbd2819b-b49a-47ad-9fa4-307774d97865")).await;
    assert_eq!(answer.failure(), (404, 404, "NOT_FOUND"));
}

/// The prototype of a request with all its headers, before the samples.
#[tokio::test]
async fn the_prototype_with_every_header_is_understood_and_refused_too() {
    let bench = Bench::new().await;
    let body = r#"{"arch": "x86", "description": "d", "hypervisor_type": "kvm", "name": "test-cluster", "type": 1}"#;
    let request = Request::post(format!("/v1/az/{}/cluster", bench.az().await)).header("Content-Type", "application/json");
    let request = request.header("Accept", "application/json").header("Host", "api.yourchimestack.com:8801");
    let request = request.header(header::AUTHORIZATION, format!("Bearer {}", bench.token)).body(Body::from(body)).unwrap();
    let answer = bench.send(request).await;
    fits(&sample(FAILURE_SAMPLE), &answer.body, &[], "failure");
    assert_eq!(answer.failure(), (403, 403, "PERMISSION_DENIED"));
}

#[tokio::test]
async fn the_cluster_that_is_there_has_the_fields_of_the_sample() {
    let bench = Bench::new().await;
    let answer = bench.get(&bench.cluster().await).await;
    fits(&sample(CLUSTER_SAMPLE), &answer.body, &["az_name"], "cluster");
}

#[tokio::test]
async fn parameters_in_path_query_and_body_work_together() {
    let bench = Bench::new().await;
    let cluster = bench.cluster().await;
    assert_eq!(bench.get(&format!("{cluster}/host?name=nothing")).await.result()["total"], 0);
    let name = text(&bench.only(&format!("{cluster}/host?state=1")).await["name"]);
    assert_eq!(bench.only(&format!("{cluster}/host?name={name}")).await["name"], name);
    assert_eq!(bench.call("PATCH", &cluster, json!({"name": "rack one"})).await.result(), &json!({"cluster": "ok"}));
    assert_eq!(bench.get(&cluster).await.result()["cluster"]["name"], "rack one");
}

#[tokio::test]
async fn the_documented_statuses_are_the_ones_that_are_sent() {
    let bench = Bench::new().await;
    assert_eq!(bench.get("/v1/az").await.status, 200);
    assert_eq!(bench.get("/v1/az?page=0").await.status, 400);
    assert_eq!(bench.with_token("GET", "/v1/az", "", Value::Null).await.status, 401);
    assert_eq!(bench.call("POST", "/v1/az", json!({})).await.status, 403);
    assert_eq!(bench.get("/v1/nothing").await.status, 404);
}
