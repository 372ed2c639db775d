//! What the seed document shows, replayed: its paths, headers, bodies and forms.

use super::bench::{Bench, log_in, seed_path};
use serde_json::json;

#[tokio::test]
async fn a_user_logs_in_by_id_as_the_document_shows() {
    let bench = Bench::new().await;
    let id = bench.accounts.list()[0].user_uuid.simple().to_string();
    let body = json!({"auth": {
        "scope": {"project": {"domain": {"name": "Default"}, "name": "admin"}},
        "identity": {"password": {"user": {"password": "right", "id": id}}, "methods": ["password"]},
    }});
    let answer = bench.send("POST", "/identity/v3/auth/tokens", &[], Some(body)).await;
    let project = answer.is(201)["token"]["project"]["id"].as_str().unwrap().to_owned();
    let token = answer.header("x-subject-token").to_owned();
    let headers = [("x-auth-token", token.as_str()), ("x-project-id", project.as_str())];
    bench.send("GET", &format!("/v1/{project}/servers"), &headers, None).await.is(200);
}

#[tokio::test]
async fn projects_are_answered_to_the_posted_form_too() {
    let bench = Bench::new().await;
    let answer =
        bench.send("POST", "/v3/auth/projects", &[("x-auth-token", &bench.token), ("content-type", "application/json")], None).await;
    assert_eq!(answer.is(200)["projects"][0]["name"], "admin");
}

#[tokio::test]
async fn a_create_is_answered_with_the_keys_of_the_sample() {
    let bench = Bench::new().await;
    let wish = bench.wish("a").await;
    let answer = bench.post(&seed_path("/servers"), wish).await;
    let server = answer.is(202)["server"].as_object().unwrap();
    let mut keys: Vec<_> = server.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["OS-DCF:diskConfig", "adminPass", "id", "links", "security_groups"]);
    assert_eq!(server["security_groups"], json!([{"name": "default"}]));
    let relations: Vec<_> = server["links"].as_array().unwrap().iter().map(|link| link["rel"].as_str().unwrap()).collect();
    assert_eq!(relations, ["self", "bookmark"]);
    let path = server["links"][0]["href"].as_str().unwrap().strip_prefix("http://cloud.test:5000").unwrap().to_owned();
    assert_eq!(bench.get(&path).await.is(200)["server"]["id"], server["id"]);
}

#[tokio::test]
async fn errors_have_the_form_of_the_sample_with_the_identity_of_the_request() {
    let bench = Bench::new().await;
    let expected = |code: u16, title: &str, message: &str| json!({"error": {"message": message, "code": code, "title": title}, "RequestId": "req-0192f0c0-0000-7000-8000-000000000001"});
    let answer = bench.send("GET", &seed_path("/servers"), &[], None).await;
    assert_eq!(answer.is(401), &expected(401, "Unauthorized", "The request you have made requires authentication."));
    let answer = bench.get(&seed_path("/servers/nobody")).await;
    assert_eq!(answer.is(404), &expected(404, "Not Found", "Instance nobody could not be found."));
    let answer = bench.call("PATCH", &seed_path("/servers"), Some(json!([]))).await;
    assert_eq!(answer.is(405)["error"]["title"], "Method Not Allowed");
    assert_eq!(bench.get(&seed_path("/nothing")).await.is(404)["error"]["code"], 404);
}

/// The table of statuses, as far as this node sends them.
#[tokio::test]
async fn the_statuses_of_the_table_are_sent_each_for_its_reason() {
    let bench = Bench::new().await;
    let reader = bench.account("rita", hvnode_core::model::Role::Reader).await;
    let server = bench.server("a").await;
    let version = |version: &'static str| [("openstack-api-version", version)];
    bench.send("GET", "/identity", &[], None).await.is(300);
    bench.get(&seed_path("/servers?limit=x")).await.is(400);
    bench.send("GET", &seed_path("/servers"), &[], None).await.is(401);
    let wish = json!({"server": {"name": "b"}});
    bench.send("POST", &seed_path("/servers"), &[("x-auth-token", &reader)], Some(wish)).await.is(403);
    bench.get(&seed_path("/servers/00000000-0000-0000-0000-000000000009")).await.is(404);
    bench.call("DELETE", &seed_path("/servers"), None).await.is(405);
    let headers = [("x-auth-token", bench.token.as_str()), version("compute 2.999")[0]];
    bench.send("GET", &seed_path("/servers"), &headers, None).await.is(406);
    bench.post(&seed_path(&format!("/servers/{server}/action")), json!({"os-start": null})).await.is(409);
    let answer = bench.post(&seed_path(&format!("/servers/{server}/action")), json!({"suspend": null})).await;
    assert_eq!(answer.is(501)["error"]["title"], "Not Implemented");
}

/// GET, PUT, POST, DELETE and HEAD; the last has headers and no body.
#[tokio::test]
async fn the_methods_of_the_document_are_served() {
    let bench = Bench::new().await;
    let server = bench.server("a").await;
    let path = seed_path(&format!("/servers/{server}"));
    bench.get(&path).await.is(200);
    let renamed = bench.call("PUT", &path, Some(json!({"server": {"name": "b"}}))).await;
    assert_eq!(renamed.is(200)["server"]["name"], "b");
    let head = bench.send("HEAD", "/v3/auth/tokens", &[("x-auth-token", &bench.token), ("x-subject-token", &bench.token)], None).await;
    assert!(head.is(200).is_null());
    assert!(bench.call("DELETE", &path, None).await.is(204).is_null());
    bench.until_gone(&server).await;
}

#[tokio::test]
async fn another_project_is_refused_in_path_and_header() {
    let bench = Bench::new().await;
    bench.get("/v1/6f70656e737461636b20342065766572/servers").await.is(400);
    let headers = [("x-auth-token", bench.token.as_str()), ("x-project-id", "6f70656e737461636b20342065766572")];
    bench.send("GET", "/compute/v2.1/servers", &headers, None).await.fault(400, "badRequest");
    bench.send("POST", "/v3/auth/tokens", &[], Some(log_in("admin", "right"))).await.is(201);
}
