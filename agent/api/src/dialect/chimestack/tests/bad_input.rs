//! What is refused: in this API's form and words, and nothing has changed.

use super::super::table::routes;
use super::bench::{Bench, text};
use crate::accounts::AccountsConfig;
use axum::body::Body;
use http::{Request, header};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

#[tokio::test]
async fn without_a_valid_token_every_route_but_sessions_is_401() {
    let bench = Bench::new().await;
    let foreign = bench.accounts.log_in("native", "198.51.100.7", "admin", "admin").await.unwrap().token;
    for route in routes() {
        for (token, code) in [("", 10100), ("nonsense", 10101), (foreign.as_str(), 10101)] {
            let answer = bench.with_token(route.method.as_str(), route.path, token, Value::Null).await;
            if route.is_open() {
                assert_eq!(answer.failure(), (400, 10002, "INVALID_ARGUMENT"), "{}", route.path);
            } else {
                assert_eq!(answer.failure(), (401, code, "UNAUTHENTICATED"), "{} {}", route.method, route.path);
            }
        }
    }
    bench.accounts.reconfigure(AccountsConfig { token_lifetime: Duration::ZERO, ..AccountsConfig::default() });
    let expired = bench.accounts.log_in("chimestack", "198.51.100.7", "admin", "admin").await.unwrap().token;
    for (method, path) in [("GET", "/v1/vm"), ("POST", "/v1/vm"), ("DELETE", "/v1/vm/00000000-0000-0000-0000-000000000009")] {
        assert_eq!(bench.with_token(method, path, &expired, Value::Null).await.failure(), (401, 10102, "UNAUTHENTICATED"), "{path}");
    }
    let answer = bench.with_token("POST", "/v1/auth", "", json!({"token": expired})).await;
    assert_eq!(answer.failure(), (401, 10102, "UNAUTHENTICATED"));
    let request = Request::get("/v1/az").header(header::AUTHORIZATION, bench.token.as_str()).body(Body::empty()).unwrap();
    assert_eq!(bench.send(request).await.failure(), (401, 10101, "UNAUTHENTICATED"), "the scheme must be said");
}

#[tokio::test]
async fn a_wrong_name_or_password_is_401_and_then_locked_out() {
    let bench = Bench::new().await;
    let body = |name: &str, password: &str| json!({"user_name": name, "password": password});
    assert_eq!(bench.with_token("POST", "/v1/login", "", body("nobody", "x")).await.failure().0, 401);
    for _ in 0..5 {
        assert_eq!(bench.with_token("POST", "/v1/login", "", body("admin", "x")).await.failure(), (401, 10180, "UNAUTHENTICATED"));
    }
    assert_eq!(bench.with_token("POST", "/v1/login", "", body("admin", "admin")).await.failure(), (403, 10181, "PERMISSION_DENIED"));
}

#[tokio::test]
async fn auth_tells_whether_a_token_is_valid() {
    let bench = Bench::new().await;
    let answer = bench.with_token("POST", "/v1/auth", "", json!({"token": bench.token})).await;
    assert_eq!(answer.result()["user"]["uuid"], bench.token);
    assert_eq!(bench.with_token("POST", "/v1/auth", "", json!({"token": "x"})).await.failure(), (401, 10101, "UNAUTHENTICATED"));
}

#[tokio::test]
async fn every_wrong_body_of_a_create_is_refused_by_name_and_nothing_changes() {
    let bench = Bench::new().await;
    let right = bench.vm_body("web-1").await;
    let before = bench.everything();
    let other = Uuid::from_u128(9).to_string();
    let cases: Vec<(&str, Value, (u16, u64), &str)> = vec![
        ("/name", Value::Null, (400, 10002), "name"),
        ("/name", json!("a"), (400, 10003), "name"),
        ("/name", json!("a/b"), (400, 10003), "name"),
        ("/nics", json!({}), (400, 10001), "nics"),
        ("/nics", Value::from(vec![right["nics"][0].clone(); 17]), (400, 10003), "nics must have at most 16"),
        ("/volumes", Value::from(vec![right["volumes"][0].clone(); 129]), (400, 10003), "volumes must have at most 128"),
        ("/volumes", json!([]), (400, 10002), "volumes"),
        ("/volumes/1/root", json!(0), (400, 10002), "volumes"),
        ("/volumes/0/root", json!(1), (400, 10003), "root"),
        ("/volumes/0/size", json!(10), (400, 10003), "volumes[0].size"),
        ("/volumes/0/size", json!((1 << 20) + 1), (400, 10003), "volumes[0].size"),
        ("/volumes/0/image_uuid", right["volumes"][1]["image_uuid"].clone(), (403, 10005), "image_uuid"),
        ("/volumes/0/volume_spec_uuid", json!(other), (404, 404), "Volume spec not exist"),
        ("/volumes/1/image_uuid", json!(other), (404, 14010), "Image not exist"),
        ("/volumes/1/image_uuid", Value::Null, (400, 10002), "image_uuid"),
        ("/nics/0/subnet_uuid", json!(other), (404, 404), "Subnet not exist"),
        ("/nics/0/sg_uuid", json!(other), (404, 404), "Securitygroup not exist"),
        ("/nics/0/ip", json!("300.1.1.1"), (400, 15003), "nics[0].ip"),
        ("/az_uuid", json!(other), (404, 404), "Az not exist"),
        ("/cluster_uuid", json!(other), (404, 404), "Cluster not exist"),
        ("/instance_spec_uuid", json!(other), (404, 17000), "Instance spec not exist"),
        ("/host_uuid", json!(other), (404, 404), "Host not exist"),
        ("/vnc_password", json!("secret"), (403, 10005), "vnc_password"),
        ("/password", json!("a\nb"), (400, 10003), "password"),
        ("/flavour", json!(1), (400, 10003), "flavour is not known here"),
    ];
    for (pointer, value, (status, code), words) in cases {
        let mut body = right.clone();
        match body.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                body.pointer_mut(parent).unwrap()[name] = value;
            }
        }
        let answer = bench.call("POST", "/v1/vm", body).await;
        assert_eq!((answer.failure().0, answer.failure().1), (status, code), "{pointer}: {}", answer.body);
        assert!(answer.message().contains(words), "{pointer}: {}", answer.message());
    }
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn what_does_not_fit_the_node_is_403_in_this_apis_words() {
    let bench = Bench::new().await;
    let mut body = bench.vm_body("web-1").await;
    let spec = json!({"name": "huge", "vcpus": 1, "memory": 1_u64 << 50});
    let spec = bench.call("POST", "/v1/instance_spec", spec).await.result()["instance_spec"].clone();
    let small = std::mem::replace(&mut body["instance_spec_uuid"], spec["uuid"].clone());
    assert_eq!(bench.call("POST", "/v1/vm", body.clone()).await.failure(), (403, 12001, "RESOURCE_EXHAUSTED"));
    body["instance_spec_uuid"] = small;
    body["nics"] = vec![json!({"name": "eth0", "subnet_uuid": body["nics"][0]["subnet_uuid"]}); 16].into();
    let answer = bench.call("POST", "/v1/vm", body).await;
    assert_eq!(answer.failure(), (400, 10003, "INVALID_ARGUMENT"));
    assert!(answer.message().contains("nics must have at most 8"), "{}", answer.message());
}

#[tokio::test]
async fn wrong_states_names_in_use_and_unmanaged_vms_are_told() {
    let bench = Bench::new().await;
    let body = bench.vm_body("web-1").await;
    let uuid = text(&bench.call("POST", "/v1/vm", body.clone()).await.result()["vm"]["uuid"]);
    bench.settled(&uuid, 1).await;
    assert_eq!(bench.call("PUT", &format!("/v1/vm/{uuid}/start"), Value::Null).await.failure(), (400, 13002, "FAILED_PRECONDITION"));
    assert_eq!(bench.call("POST", "/v1/vm", body.clone()).await.failure(), (400, 13001, "FAILED_PRECONDITION"));
    let image = text(&body["volumes"][1]["image_uuid"]);
    assert_eq!(bench.call("DELETE", &format!("/v1/image/{image}"), Value::Null).await.failure(), (400, 14015, "FAILED_PRECONDITION"));
    let spec = text(&body["instance_spec_uuid"]);
    assert_eq!(
        bench.call("DELETE", &format!("/v1/instance_spec/{spec}"), Value::Null).await.failure(),
        (400, 17002, "FAILED_PRECONDITION")
    );
}

#[tokio::test]
async fn malformed_requests_are_400_and_unknown_routes_404() {
    let bench = Bench::new().await;
    let before = bench.everything();
    let post = |kind: &str, body: &str| {
        let request = Request::post("/v1/instance_spec").header(header::AUTHORIZATION, format!("Bearer {}", bench.token));
        request.header(header::CONTENT_TYPE, kind).body(Body::from(body.to_owned())).unwrap()
    };
    for (kind, body) in [
        ("application/json", "{"),
        ("application/json", "[]"),
        ("application/json", "null"),
        ("application/json", r#"{"name": "a", "name": "b"}"#),
        ("text/plain", "{}"),
        ("application/x-www-form-urlencoded", "name=a"),
        ("application/json", "\u{0}"),
    ] {
        assert_eq!(bench.send(post(kind, body)).await.failure(), (400, 10001, "INVALID_ARGUMENT"), "{body}");
    }
    let huge = format!(r#"{{"name": "{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(bench.send(post("application/json", &huge)).await.failure(), (400, 10011, "INVALID_ARGUMENT"));
    for (method, path) in [("GET", "/v1/nothing"), ("PUT", "/v1/vm"), ("TRACE", "/v1/az"), ("GET", "/"), ("GET", "/v1/vm/")] {
        assert_eq!(bench.call(method, path, Value::Null).await.failure(), (404, 10004, "NOT_FOUND"), "{method} {path}");
    }
    for path in [
        "/v1/vm/x",
        "/v1/vm/%ff",
        "/v1/az/%ff",
        "/v1/vm?pages=1",
        "/v1/vm?page=-1",
        "/v1/vm?page=1&page=2",
        "/v1/vm?name=%f",
        "/v1/vm?uuid=1",
    ] {
        assert_eq!(bench.get(path).await.failure().0, 400, "{path}");
    }
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn what_a_single_node_does_not_do_is_403_and_says_why() {
    let bench = Bench::new().await;
    let cluster = bench.cluster().await;
    let host = text(&bench.only(&format!("{cluster}/host")).await["uuid"]);
    let before = bench.everything();
    for (method, path) in [
        ("POST", "/v1/az".to_owned()),
        ("POST", format!("{cluster}/host")),
        ("PUT", format!("{cluster}/host/{host}/drain")),
        ("POST", format!("{cluster}/network")),
        ("POST", format!("{cluster}/volume")),
        ("POST", "/v1/securitygroup".to_owned()),
        ("POST", "/v1/nic".to_owned()),
        ("POST", "/v1/imagebucket".to_owned()),
        ("PUT", format!("/v1/vm/{}/migrate", Uuid::from_u128(1))),
    ] {
        let answer = bench.call(method, &path, json!({"name": "x", "anything": [1]})).await;
        assert_eq!(answer.failure(), (403, 403, "PERMISSION_DENIED"), "{method} {path}");
        assert!(answer.message().len() > 20, "{}", answer.message());
    }
    assert_eq!(bench.everything(), before);
}

#[tokio::test]
async fn refusals_and_sessions_are_in_the_operation_log_without_secrets() {
    let bench = Bench::new().await;
    bench.with_token("POST", "/v1/login", "", json!({"user_name": "admin", "password": "topsecret1"})).await;
    let mut body = bench.vm_body("web-1").await;
    body["password"] = "topsecret2".into();
    let token = bench.account("otto", hvnode_core::model::Role::Operator).await;
    bench.call("POST", "/v1/vm", body.clone()).await.result();
    body["vnc_password"] = "topsecret3".into();
    assert_eq!(bench.call("POST", "/v1/vm", body).await.failure().0, 403);
    bench.with_token("POST", "/v1/logout", "", json!({"token": token})).await.result();
    let log = bench.get("/v1/operation_log").await;
    let rows = log.result()["elements"].as_array().unwrap();
    let count = |path: &str| rows.iter().filter(|row| row["path"] == path).count();
    assert_eq!((count("/v1/login"), count("/v1/vm"), count("/v1/logout")), (1, 2, 1), "{}", log.body);
    assert!(!log.body.to_string().contains("topsecret") && !log.body.to_string().contains(&token), "{}", log.body);
    assert!(log.body.to_string().contains("***"));
    assert_eq!(bench.get("/v1/operation_log?sort=ip").await.failure().0, 400);
    assert_eq!(bench.get("/v1/operation_log?size=1&page=2").await.result()["size"], 1);
}

#[tokio::test]
async fn whoever_polls_for_what_could_not_be_made_is_told_why() {
    let bench = Bench::new().await;
    let url = "http://images.test/broken.qcow2";
    bench.images.set_outcome(url, Err(hvnode_core::fail!(ImageDownloadFailed, "the server said 404")));
    bench.faults.on("fetch", 1, hvnode_core::fake::Fault::HoldBefore);
    let body = json!({"name": "bad", "install_url": url});
    let answer = bench.call("POST", "/v1/image/public", body.clone()).await;
    let path = format!("/v1/image/{}", text(&answer.result()["image"]["uuid"]));
    assert_eq!(bench.get(&path).await.result()["image"]["state"], 0);
    bench.faults.wait_for_calls("fetch", 1).await;
    bench.faults.release();
    let gone = bench.gone(&path).await;
    assert!(gone.message().contains("the server said 404"), "{}", gone.message());
    let refused = bench.call("POST", "/v1/image/user", json!({"name": "sftp", "install_url": "sftp://host/a"})).await;
    assert_eq!(refused.failure(), (403, 10005, "UNIMPLEMENTED"));
    let refused = bench.call("POST", "/v1/image/user", json!({"name": "bad2", "install_url": "gopher://host/a"})).await;
    assert_eq!(refused.failure().0, 400, "{}", refused.body);
}
