//! Who may use which route: every row of the table at every path, and every action, so that a new one cannot escape.

use super::super::call::Style;
use super::super::compute::actions;
use super::super::convert::project_id;
use super::super::table::{Mounted, mounted};
use super::bench::{Answer, Bench};
use crate::access::Access;
use crate::test_support::{bad_tokens, standing};
use hvnode_core::model::Role;
use serde_json::json;
use std::collections::BTreeSet;

/// The path of a row with values in the place of names.
fn path(row: &Mounted, server: &str) -> String {
    let parts = row.path.split('/').map(|part| match part {
        "{project_id}" => project_id(),
        part if part.starts_with('{') => server.to_owned(),
        part => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

async fn ask(bench: &Bench, row: &Mounted, server: &str, token: &str) -> Answer {
    let body = matches!(row.route.method, "POST" | "PUT" | "PATCH").then(|| json!({}));
    let headers = [("x-auth-token", token)];
    let headers = if token.is_empty() { &[][..] } else { &headers[..] };
    bench.send(row.route.method, &path(row, server), headers, body).await
}

/// A refusal of the role in the form of its service.
fn check_forbidden(row: &Mounted, answer: &Answer) {
    let place = format!("{} {}: {}", row.route.method, row.path, answer.body);
    assert_eq!(answer.status, 403, "{place}");
    let body = &answer.body;
    match row.style {
        Style::Compute | Style::Volume => assert_eq!(body["forbidden"]["code"], 403, "{place}"),
        Style::Identity | Style::Seed => assert_eq!((&body["error"]["code"], &body["error"]["title"]), (&json!(403), &json!("Forbidden"))),
        Style::Image => assert_eq!(body["code"], "403 Forbidden", "{place}"),
        Style::Network => assert_eq!(body["NeutronError"]["type"], "PolicyNotAuthorized", "{place}"),
    }
    assert!(body.to_string().contains("Policy doesn't allow this"), "{place}");
}

#[test]
fn versions_and_the_log_in_are_the_only_routes_without_a_token() {
    let public: BTreeSet<_> = mounted()
        .iter()
        .filter(|row| row.route.access == Access::Public)
        .map(|row| format!("{} {}", row.route.method, if row.path == "/" { "/" } else { row.path.trim_end_matches('/') }))
        .collect();
    let expected = [
        "GET /",
        "GET /compute",
        "GET /compute/v2.1",
        "GET /identity",
        "GET /identity/v3",
        "GET /image",
        "GET /image/versions",
        "GET /networking",
        "GET /networking/v2.0",
        "GET /v3",
        "GET /volume",
        "GET /volume/v3",
        "POST /identity/v3/auth/tokens",
        "POST /v3/auth/tokens",
    ];
    assert_eq!(public, expected.map(str::to_owned).into());
}

#[tokio::test]
async fn no_route_answers_without_a_valid_token_and_nothing_changes() {
    let bench = Bench::new().await;
    let server = bench.server("web").await;
    let mut bad = bad_tokens(&bench.accounts, "openstack").await;
    bad.push(("no token", String::new(), hvnode_core::ErrorCode::TokenMissing));
    let before = (bench.everything(), standing(&bench.engine, &bench.accounts).await);
    for row in mounted().iter().filter(|row| row.route.access != Access::Public) {
        for (what, token, _) in &bad {
            let answer = ask(&bench, row, &server, token).await;
            assert_eq!(answer.status, 401, "{what} at {} {}", row.route.method, row.path);
            // The answer to a HEAD has no body.
            if row.route.method != "HEAD" {
                assert_eq!((&answer.body["error"]["code"], &answer.body["error"]["title"]), (&json!(401), &json!("Unauthorized")));
            }
            assert!(answer.header("www-authenticate").starts_with("Keystone uri="));
        }
    }
    assert_eq!((bench.everything(), standing(&bench.engine, &bench.accounts).await), before);
}

#[tokio::test]
async fn no_route_is_open_to_less_than_its_least_role_and_nothing_changes() {
    let bench = Bench::new().await;
    let server = bench.server("web").await;
    let reader = bench.account("reader", Role::Reader).await;
    let before = (bench.everything(), standing(&bench.engine, &bench.accounts).await);
    let rows = mounted();
    let closed: Vec<_> = rows.iter().filter(|row| row.route.access.least_role() > Some(Role::Reader)).collect();
    assert!(closed.len() > 50);
    for row in closed {
        check_forbidden(row, &ask(&bench, row, &server, &reader).await);
    }
    assert_eq!((bench.everything(), standing(&bench.engine, &bench.accounts).await), before);
}

#[tokio::test]
async fn no_action_is_open_to_readers_and_nothing_changes() {
    let bench = Bench::new().await;
    let server = bench.server("web").await;
    let reader = bench.account("reader", Role::Reader).await;
    let before = (bench.everything(), standing(&bench.engine, &bench.accounts).await);
    for (name, access, _) in actions::names() {
        assert!(access.least_role() > Some(Role::Reader), "{name}");
        for (path, fault) in [
            (format!("/compute/v2.1/servers/{server}/action"), "forbidden"),
            (super::bench::seed_path(&format!("/servers/{server}/action")), "error"),
        ] {
            let answer = bench.send("POST", &path, &[("x-auth-token", &reader)], Some(json!({ name: null }))).await;
            assert_eq!((answer.status, &answer.body[fault]["code"]), (403, &json!(403)), "{name}: {}", answer.body);
        }
    }
    assert_eq!((bench.everything(), standing(&bench.engine, &bench.accounts).await), before);
}

#[tokio::test]
async fn everything_that_changes_is_closed_to_readers_but_for_what_is_their_own() {
    let open: BTreeSet<_> = mounted()
        .iter()
        .filter(|row| !matches!(row.route.method, "GET" | "HEAD") && row.route.access.least_role() <= Some(Role::Reader))
        .map(|row| format!("{} {}", row.route.method, row.route.path))
        .collect();
    let expected = ["DELETE /auth/tokens", "POST /auth/projects", "POST /auth/tokens", "POST /servers/{id}/action"];
    assert_eq!(open, expected.map(str::to_owned).into());
}

#[tokio::test]
async fn an_api_token_for_this_dialect_does_what_its_role_may_and_is_no_session() {
    let bench = Bench::new().await;
    let server = bench.server("web").await;
    let account = bench.accounts.list()[0].clone();
    let new = |name: &str, role| crate::accounts::NewToken {
        token_name: name.into(),
        role,
        dialects: vec!["openstack".into()],
        lifetime: Some(std::time::Duration::from_secs(60)),
    };
    let (reader, _) = bench.accounts.create_token(account.user_uuid, new("monitoring", Role::Reader)).await.unwrap();
    let (writer, _) = bench.accounts.create_token(account.user_uuid, new("deploy", Role::Operator)).await.unwrap();
    let action = format!("/compute/v2.1/servers/{server}/action");
    bench.send("GET", "/compute/v2.1/servers", &[("x-auth-token", &reader)], None).await.is(200);
    bench.send("POST", &action, &[("x-auth-token", &reader)], Some(json!({"os-stop": null}))).await.is(403);
    bench.send("POST", &action, &[("x-auth-token", &writer)], Some(json!({"os-stop": null}))).await.is(202);
    let shown = bench.send("GET", "/identity/v3/auth/tokens", &[("x-auth-token", &reader), ("x-subject-token", &reader)], None).await;
    let roles: Vec<_> = shown.is(200)["token"]["roles"].as_array().unwrap().iter().map(|role| role["name"].clone()).collect();
    assert_eq!(roles, [json!("reader")], "its own role, though its account is an administrator");
    let ended = bench.send("DELETE", "/identity/v3/auth/tokens", &[("x-auth-token", &reader), ("x-subject-token", &reader)], None).await;
    assert_eq!(ended.status, 403, "{}", ended.body);
    let refused = bench.accounts.refusals().list();
    let by = |action: &str| refused.iter().any(|r| r.action == action && r.dialect == "openstack" && r.user_name == "admin");
    assert!(by("/compute/v2.1/servers/{id}/action") && by("/identity/v3/auth/tokens"), "{refused:?}");
}

#[tokio::test]
async fn a_wrong_log_in_is_noted_with_the_name_that_was_claimed_and_never_the_password() {
    let bench = Bench::new().await;
    bench.send("POST", "/identity/v3/auth/tokens", &[], Some(super::bench::log_in("no\nbody", "hunter2hunter2"))).await.is(401);
    let noted = &bench.accounts.refusals().list()[0];
    assert_eq!((noted.user_name.as_str(), noted.reason, noted.client_address.as_str()), ("no\\nbody", "user", "198.51.100.7"));
    assert!(!format!("{noted:?}").contains("hunter2"));
}

#[tokio::test]
async fn too_many_wrong_passwords_lock_a_stranger_out_in_the_words_of_keystone_and_not_who_is_known() {
    let bench = Bench::new().await;
    bench.accounts.create_account("bob", Role::Reader, "right").await.unwrap();
    let log_in = |name: &'static str, password: &'static str| {
        bench.send("POST", "/identity/v3/auth/tokens", &[], Some(super::bench::log_in(name, password)))
    };
    for _ in 0..5 {
        log_in("bob", "wrong").await.is(401);
    }
    assert_eq!(log_in("bob", "right").await.is(401)["error"]["title"], "Unauthorized");
    assert_eq!(bench.accounts.refusals().list()[0].reason, "locked");
    log_in("admin", "right").await.is(201);
}
