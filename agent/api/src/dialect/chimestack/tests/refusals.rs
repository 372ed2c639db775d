//! Who may use which route: every row of the table, so that a new one cannot escape.

use super::super::route::Route;
use super::super::table::routes;
use super::bench::{Answer, Bench};
use crate::access::Access;
use crate::test_support::{bad_tokens, standing};
use http::Method;
use hvnode_core::ErrorCode;
use hvnode_core::model::Role;
use serde_json::{Value, json};

async fn ask(bench: &Bench, route: &Route, vm: &str, token: &str) -> Answer {
    let path: Vec<_> = route.path.split('/').map(|part| if part.starts_with('{') { vm } else { part }).collect();
    let body = if route.method == Method::GET { Value::Null } else { json!({}) };
    bench.with_token(route.method.as_str(), &path.join("/"), token, body).await
}

#[test]
fn sessions_are_the_only_routes_without_a_token() {
    let public: Vec<_> = routes().iter().filter(|route| route.access == Access::Public).map(|route| route.path).collect();
    assert_eq!(public, ["/v1/login", "/v1/logout", "/v1/auth"]);
}

#[test]
fn what_changes_something_is_closed_to_readers() {
    for route in routes().iter().filter(|route| route.method != Method::GET && route.access != Access::Public) {
        assert_eq!(route.access, Access::Change, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn no_route_answers_without_a_valid_token_and_nothing_changes() {
    let bench = Bench::new().await;
    let vm = bench.vm("web").await;
    let mut bad = bad_tokens(&bench.accounts, "chimestack").await;
    bad.push(("no token", String::new(), ErrorCode::TokenMissing));
    let before = (bench.everything(), standing(&bench.engine, &bench.accounts).await);
    for route in routes().iter().filter(|route| route.access != Access::Public) {
        for (what, token, code) in &bad {
            let answer = ask(&bench, route, &vm, token).await;
            let expected = match code {
                ErrorCode::UserDisabled => (403, u64::from(code.number()), "PERMISSION_DENIED"),
                code => (401, u64::from(code.number()), "UNAUTHENTICATED"),
            };
            assert_eq!(answer.failure(), expected, "{what} at {} {}", route.method, route.path);
        }
    }
    assert_eq!((bench.everything(), standing(&bench.engine, &bench.accounts).await), before);
}

#[tokio::test]
async fn no_route_is_open_to_less_than_its_least_role_and_nothing_changes() {
    let bench = Bench::new().await;
    let vm = bench.vm("web").await;
    let reader = bench.account("rita", Role::Reader).await;
    let before = (bench.everything(), standing(&bench.engine, &bench.accounts).await);
    let routes = routes();
    let closed: Vec<_> = routes.iter().filter(|route| route.access.least_role() > Some(Role::Reader)).collect();
    assert!(closed.len() > 40);
    for route in closed {
        let answer = ask(&bench, route, &vm, &reader).await;
        assert_eq!(answer.failure(), (403, 10103, "PERMISSION_DENIED"), "{} {}", route.method, route.path);
    }
    assert_eq!((bench.everything(), standing(&bench.engine, &bench.accounts).await), before);
}

#[tokio::test]
async fn who_is_no_administrator_sees_himself_alone_among_the_users() {
    let bench = Bench::new().await;
    let reader = bench.account("rita", Role::Reader).await;
    let list = bench.with_token("GET", "/v1/user", &reader, Value::Null).await;
    assert_eq!((&list.result()["total"], &list.result()["elements"][0]["name"]), (&json!(1), &json!("rita")));
    let admin = bench.accounts.list()[0].user_uuid;
    assert_eq!(bench.with_token("GET", &format!("/v1/user/{admin}"), &reader, Value::Null).await.failure().0, 404);
    assert_eq!(bench.get("/v1/user").await.result()["total"], 2);
}
