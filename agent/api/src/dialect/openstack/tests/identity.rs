use super::bench::{Bench, log_in};
use crate::accounts::Password;
use hvnode_core::model::Role;
use serde_json::{Value, json};

const TOKENS: &str = "/identity/v3/auth/tokens";

#[tokio::test]
async fn discovery_needs_no_token_and_says_where_to_go_on() {
    let bench = Bench::new().await;
    for (path, status) in [
        ("/", 300),
        ("/identity", 300),
        ("/identity/", 300),
        ("/image", 300),
        ("/compute", 200),
        ("/compute/", 200),
        ("/volume/v3/", 200),
        ("/networking", 200),
    ] {
        let answer = bench.send("GET", path, &[], None).await;
        answer.is(status);
    }
    let answer = bench.send("GET", "/compute", &[], None).await;
    let ids: Vec<_> = answer.body["versions"].as_array().unwrap().iter().map(|version| version["id"].clone()).collect();
    assert_eq!(ids, ["v2.0", "v2.1"]);
    assert_eq!(answer.body["versions"][0]["version"], "");
    let answer = bench.send("GET", "/compute/v2.1", &[], None).await;
    let version = &answer.is(200)["version"];
    assert_eq!((version["version"].as_str(), version["min_version"].as_str()), (Some("2.72"), Some("2.1")));
    let answer = bench.send("GET", "/identity/v3", &[], None).await;
    assert_eq!(answer.is(200)["version"]["links"][0]["href"], "http://cloud.test:5000/identity/v3/");
}

#[tokio::test]
async fn a_token_for_the_project_names_user_roles_and_every_service() {
    let bench = Bench::new().await;
    let answer = bench.send("POST", TOKENS, &[], Some(log_in("admin", "right"))).await;
    let token = &answer.is(201)["token"];
    let mut keys: Vec<_> = token.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["audit_ids", "catalog", "expires_at", "is_domain", "issued_at", "methods", "project", "roles", "user"]);
    let types: Vec<_> = token["catalog"].as_array().unwrap().iter().map(|service| service["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["identity", "compute", "image", "network", "block-storage", "volumev3"]);
    assert_eq!(token["catalog"][1]["endpoints"][0]["url"], "http://cloud.test:5000/compute/v2.1");
    assert_eq!(token["project"]["name"], "admin");
    assert!(token["issued_at"].as_str().unwrap().ends_with('Z') && token["user"]["id"].as_str().unwrap().len() == 32);
    let secret = answer.header("x-subject-token");
    assert!(!answer.body.to_string().contains(secret));
}

#[tokio::test]
async fn an_unscoped_token_opens_the_identity_service_only_and_can_be_scoped() {
    let bench = Bench::new().await;
    let mut body = log_in("admin", "right");
    body["auth"].as_object_mut().unwrap().remove("scope");
    let answer = bench.send("POST", TOKENS, &[], Some(body)).await;
    assert!(answer.is(201)["token"].get("catalog").is_none());
    let unscoped = answer.header("x-subject-token").to_owned();
    bench.send("GET", "/identity/v3/auth/projects", &[("x-auth-token", &unscoped)], None).await.is(200);
    bench.send("GET", "/compute/v2.1/servers", &[("x-auth-token", &unscoped)], None).await.is(401);
    let body = json!({"auth": {"identity": {"methods": ["token"], "token": {"id": unscoped}}, "scope": {"project": {"name": "admin", "domain": {"id": "default"}}}}});
    let answer = bench.send("POST", TOKENS, &[], Some(body)).await;
    assert_eq!(answer.is(201)["token"]["methods"], json!(["token"]));
    let scoped = answer.header("x-subject-token").to_owned();
    bench.send("GET", "/compute/v2.1/servers", &[("x-auth-token", &scoped)], None).await.is(200);
}

#[tokio::test]
async fn a_token_is_shown_checked_and_revoked() {
    let bench = Bench::new().await;
    let other = bench.account("other", Role::Operator).await;
    let headers = [("x-auth-token", bench.token.as_str()), ("x-subject-token", other.as_str())];
    assert_eq!(bench.send("GET", TOKENS, &headers, None).await.is(200)["token"]["user"]["name"], "other");
    bench.send("HEAD", TOKENS, &headers, None).await.is(200);
    bench.send("DELETE", TOKENS, &headers, None).await.is(204);
    bench.send("GET", TOKENS, &headers, None).await.is(404);
    bench.send("GET", "/compute/v2.1/servers", &[("x-auth-token", &other)], None).await.is(401);
}

#[tokio::test]
async fn only_an_administrator_sees_tokens_of_others() {
    let bench = Bench::new().await;
    let other = bench.account("other", Role::Reader).await;
    let headers = [("x-auth-token", other.as_str()), ("x-subject-token", bench.token.as_str())];
    bench.send("GET", TOKENS, &headers, None).await.is(403);
    bench.send("DELETE", TOKENS, &headers, None).await.is(403);
    bench.get("/compute/v2.1/servers").await.is(200);
}

#[tokio::test]
async fn every_service_answers_the_same_to_who_has_no_valid_token() {
    let bench = Bench::new().await;
    let foreign = bench.accounts.log_in_with("native", "198.51.100.7", "admin", Password::Plain("right")).await.unwrap().token;
    for path in ["/compute/v2.1/servers", "/image/v2/images", "/networking/v2.0/networks", "/volume/v3/volumes", "/identity/v3/projects"] {
        for token in ["", "nonsense", foreign.as_str()] {
            let headers: Vec<(&str, &str)> = if token.is_empty() { vec![] } else { vec![("x-auth-token", token)] };
            let answer = bench.send("GET", path, &headers, None).await;
            assert_eq!(
                answer.is(401),
                &json!({"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}})
            );
            assert_eq!(answer.header("www-authenticate"), "Keystone uri=\"http://cloud.test:5000/identity\"");
        }
    }
}

#[tokio::test]
async fn who_fails_to_log_in_is_told_nothing_more_and_it_stands_in_the_log() {
    let bench = Bench::new().await;
    for body in [log_in("admin", "wrong"), log_in("nobody", "right")] {
        bench.send("POST", TOKENS, &[], Some(body)).await.is(401);
    }
    let mut other_project = log_in("admin", "right");
    other_project["auth"]["scope"]["project"]["name"] = "theirs".into();
    bench.send("POST", TOKENS, &[], Some(other_project)).await.is(401);
    let log = bench.log().await;
    assert!(log.iter().filter(|(action, _, code)| action.starts_with("POST /identity") && *code != 0).count() >= 3, "{log:?}");
    assert!(log.iter().all(|(_, request, _)| !request.to_string().contains("right") && !request.to_string().contains("wrong")), "{log:?}");
}

#[tokio::test]
async fn a_log_in_that_is_malformed_is_a_bad_request() {
    let bench = Bench::new().await;
    let bad: [Value; 6] = [
        json!({}),
        json!({"auth": {}}),
        json!({"auth": {"identity": {}}}),
        json!({"auth": {"identity": {"methods": []}}}),
        json!({"auth": {"identity": {"methods": ["password"]}}}),
        json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": 1, "password": "x"}}}}}),
    ];
    for body in bad {
        let answer = bench.send("POST", TOKENS, &[], Some(body.clone())).await;
        assert_eq!(answer.is(400)["error"]["title"], "Bad Request", "{body}");
    }
}

#[tokio::test]
async fn readers_read_and_change_nothing() {
    let bench = Bench::new().await;
    let token = bench.account("reader", Role::Reader).await;
    let server = bench.server("a").await;
    let before = bench.everything();
    let path = format!("/compute/v2.1/servers/{server}");
    let headers = [("x-auth-token", token.as_str())];
    bench.send("GET", &path, &headers, None).await.is(200);
    bench.send("DELETE", &path, &headers, None).await.fault(403, "forbidden");
    bench.send("POST", &format!("{path}/action"), &headers, Some(json!({"os-stop": null}))).await.fault(403, "forbidden");
    bench.send("POST", &format!("{path}/action"), &headers, Some(json!({"os-getConsoleOutput": {}}))).await.fault(403, "forbidden");
    bench.send("POST", "/compute/v2.1/os-keypairs", &headers, Some(json!({"keypair": {"name": "k"}}))).await.fault(403, "forbidden");
    assert_eq!(bench.everything(), before);
}
