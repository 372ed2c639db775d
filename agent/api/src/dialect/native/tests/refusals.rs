//! Who may use which route: every row of the table, so that a new route cannot escape.

use super::super::route::Method;
use super::super::table::routes;
use super::bench::{Answer, Bench};
use crate::access::Access;
use crate::test_support::{bad_tokens, standing};
use hvnode_core::model::Role;
use serde_json::{Value, json};

/// A body that every change of a VM could do something with.
fn body(vm_uuid: &str) -> Value {
    json!({"vm_uuid": vm_uuid, "image_uuid": vm_uuid, "user_uuid": vm_uuid, "token_uuid": vm_uuid, "job_uuid": vm_uuid})
}

async fn ask(bench: &Bench, method: Method, path: &str, token: &str, body: &Value) -> Answer {
    let path = if method == Method::Get { format!("{path}?vm_uuid={}", body["vm_uuid"].as_str().unwrap()) } else { path.to_owned() };
    bench.with_token(method.word(), &path, token, body.clone()).await
}

#[test]
fn log_in_is_the_only_route_without_a_token() {
    let public: Vec<_> = routes().iter().filter(|route| route.access == Access::Public).map(|route| route.path).collect();
    assert_eq!(public, ["/v1/user/login"]);
}

#[test]
fn what_changes_something_is_not_open_to_readers_but_for_what_is_their_own() {
    let own: Vec<_> = routes()
        .iter()
        .filter(|route| route.method == Method::Post && route.access.least_role() <= Some(Role::Reader))
        .map(|route| route.path)
        .collect();
    let expected = ["login", "logout", "refresh", "password/update"].map(|rest| format!("/v1/user/{rest}"));
    assert_eq!(own, [&expected[..], &["/v1/token/create".to_owned(), "/v1/token/delete".to_owned()]].concat());
}

#[tokio::test]
async fn no_route_answers_without_a_valid_token_and_nothing_changes() {
    let bench = Bench::new().await;
    let body = body(&bench.vm("web").await);
    let mut bad = bad_tokens(&bench.accounts, "native").await;
    bad.push(("no token", String::new(), hvnode_core::ErrorCode::TokenMissing));
    let before = (bench.everything(), standing(&bench.engine, &bench.accounts).await);
    for route in routes().iter().filter(|route| route.access != Access::Public) {
        for (what, token, code) in &bad {
            let answer = ask(&bench, route.method, route.path, token, &body).await;
            assert_eq!(answer.code(), u64::from(code.number()), "{what} at {}", route.path);
            assert_eq!(answer.body["data"], Value::Null);
        }
    }
    assert_eq!((bench.everything(), standing(&bench.engine, &bench.accounts).await), before);
}

#[tokio::test]
async fn no_route_is_open_to_less_than_its_least_role_and_nothing_changes() {
    let bench = Bench::new().await;
    let body = body(&bench.vm("web").await);
    let callers = [
        (Role::Reader, bench.account("rita", Role::Reader, "a long enough password").await),
        (Role::Operator, bench.account("otto", Role::Operator, "a long enough password").await),
    ];
    let before = (bench.everything(), standing(&bench.engine, &bench.accounts).await);
    let mut tried = 0;
    for route in routes() {
        for (_, token) in callers.iter().filter(|(role, _)| route.access.least_role() > Some(*role)) {
            let answer = ask(&bench, route.method, route.path, token, &body).await;
            assert_eq!(answer.code(), 10103, "{}: {}", route.path, answer.body);
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
    assert_eq!((bench.everything(), standing(&bench.engine, &bench.accounts).await), before);
}

#[tokio::test]
async fn an_operator_is_let_in_where_a_reader_is_not() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    let token = bench.account("otto", Role::Operator, "a long enough password").await;
    for path in ["/v1/vm/console/log", "/v1/vm/console/inspect", "/v1/operation_log/list"] {
        let query = if path.contains("vm") { format!("?vm_uuid={vm_uuid}") } else { String::new() };
        bench.with_token("GET", &format!("{path}{query}"), &token, Value::Null).await.data();
    }
}

#[tokio::test]
async fn a_flood_of_nonsense_from_strangers_fills_no_log() {
    let bench = Bench::new().await;
    for n in 0..400 {
        let body = if n % 2 == 0 { json!({}) } else { json!({"user_name": n, "password": "x"}) };
        assert_ne!(bench.with_token("POST", "/v1/user/login", "", body).await.code(), 0);
    }
    let rows = bench.get("/v1/operation_log/list?page_size=0").await.data()["total_count"].as_u64().unwrap();
    assert!((240..=250).contains(&rows), "{rows}");
}

#[tokio::test]
async fn a_flood_of_refusals_is_told_in_few_rows_and_in_one_list() {
    let bench = Bench::new().await;
    let admin = bench.account("root", Role::Admin, "a long enough password").await;
    let token = bench.account("rita", Role::Reader, "a long enough password").await;
    for n in 0..400 {
        assert_eq!(bench.with_token("POST", "/v1/vm/start", &token, json!({ "n": n })).await.code(), 10103);
        bench.with_token("GET", "/v1/vm/list", "nonsense", Value::Null).await;
    }
    let rows = bench.get("/v1/operation_log/list?page_size=0&status=failed").await.data()["total_count"].as_u64().unwrap();
    assert!((1..=240).contains(&rows), "{rows}");
    let list = bench.with_token("GET", "/v1/user/refusal/list", &admin, Value::Null).await;
    let entries = list.data()["list"].as_array().unwrap();
    let of = |reason: &str| entries.iter().find(|entry| entry["reason"] == reason).unwrap();
    assert_eq!((&of("permission")["count"], &of("permission")["user_name"]), (&json!(400), &json!("rita")));
    assert_eq!((&of("token_invalid")["count"], &of("token_invalid")["action"]), (&json!(400), &json!("/v1/vm/list")));
    assert_eq!(of("permission")["client_address"], "198.51.100.7");
    assert!(!list.text.contains("nonsense"));
}
