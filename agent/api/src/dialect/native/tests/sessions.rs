//! Who may do what: log-in, tokens, roles, trusted peers, and the rows they leave.

use super::bench::Bench;
use hvnode_core::model::Role;
use serde_json::{Value, json};

#[tokio::test]
async fn a_session_is_opened_used_refreshed_and_ended() {
    let bench = Bench::new().await;
    let token = bench.account("anna", Role::Operator, "hunter2").await;
    for form in [token.clone(), format!("Bearer {token}"), format!("\"{token}\"")] {
        let me = bench.with_token("GET", "/v1/user/inspect", &form, Value::Null).await;
        let user = &me.data()["user"];
        assert_eq!((&user["user_name"], &user["role"], &user["tenant_name"]), (&json!("anna"), &json!("operator"), &json!("default")));
    }
    let refreshed = bench.with_token("POST", "/v1/user/refresh", &token, json!({})).await;
    let newer = refreshed.data()["token"].as_str().unwrap().to_owned();
    assert!(refreshed.data()["expire_time"].as_i64() > refreshed.data()["create_time"].as_i64());
    assert_eq!(bench.with_token("GET", "/v1/vm/list", &token, Value::Null).await.code(), 10101);
    assert_eq!(bench.with_token("POST", "/v1/user/logout", &newer, json!({})).await.data(), &json!({}));
    assert_eq!(bench.with_token("GET", "/v1/vm/list", &newer, Value::Null).await.code(), 10101);
}

#[tokio::test]
async fn without_a_token_nothing_but_log_in_answers() {
    let bench = Bench::new().await;
    for (token, code) in [("", 10100), ("nonsense", 10101), ("中", 10101)] {
        assert_eq!(bench.with_token("GET", "/v1/vm/list", token, Value::Null).await.code(), code);
        assert_eq!(bench.with_token("POST", "/v1/vm/start", token, json!({})).await.code(), code);
    }
    assert!(bench.log().await.is_empty(), "strangers must not fill the log");
}

#[tokio::test]
async fn wrong_log_ins_are_refused_and_logged_without_the_password() {
    let bench = Bench::new().await;
    bench.account("anna", Role::Reader, "hunter2").await;
    let log_in = |body: Value| bench.with_token("POST", "/v1/user/login", "", body);
    assert_eq!(log_in(json!({"user_name": "anna", "password": "hunter3"})).await.code(), 10180);
    assert_eq!(log_in(json!({"user_name": "nobody", "password": "hunter3"})).await.code(), 10183);
    assert_eq!(log_in(json!({"user_name": "anna"})).await.code(), 10002);
    assert_eq!(log_in(json!({"user_name": "anna", "password": ""})).await.code(), 10003);
    assert_eq!(log_in(json!({"user_name": "", "password": "x"})).await.code(), 10003);
    assert_eq!(log_in(json!({"user_name": 1, "password": "x"})).await.code(), 10001);
    let answer = bench.get("/v1/operation_log/list?sort_order=asc").await;
    assert!(!answer.text.contains("hunter"), "{}", answer.text);
    let rows = answer.data()["list"].as_array().unwrap();
    let codes: Vec<_> = rows.iter().map(|row| row["status_code"].as_u64().unwrap()).collect();
    assert_eq!(codes, [0, 10180, 10183, 10002, 10003, 10003, 10001]);
    assert_eq!((&rows[1]["user_name"], &rows[1]["client_address"]), (&json!("anna"), &json!("198.51.100.7")));
    assert_eq!(rows[1]["request"], json!({"user_name": "anna", "password": "***"}));
}

#[tokio::test]
async fn a_reader_reads_and_changes_nothing() {
    let bench = Bench::new().await;
    let vm_uuid = bench.vm("web").await;
    let token = bench.account("rita", Role::Reader, "hunter2").await;
    bench.with_token("GET", "/v1/vm/list", &token, Value::Null).await.data();
    let before = bench.everything();
    for path in ["/v1/vm/stop", "/v1/vm/delete", "/v1/job/cancel", "/v1/network/create"] {
        assert_eq!(bench.with_token("POST", path, &token, json!({"vm_uuid": vm_uuid})).await.code(), 10103, "{path}");
    }
    assert_eq!(bench.everything(), before);
    let log = bench.log().await;
    assert_eq!((&log[0]["status_code"], &log[0]["user_name"]), (&json!(10103), &json!("rita")));
}

#[tokio::test]
async fn a_trusted_peer_is_an_admin_without_a_token() {
    let bench = Bench::new().await;
    let me = bench.get("/v1/user/inspect").await;
    assert_eq!((&me.data()["user"]["user_name"], &me.data()["user"]["role"]), (&json!("root"), &json!("admin")));
    assert_eq!(bench.post("/v1/user/logout", json!({})).await.data(), &json!({}));
    assert_eq!(bench.post("/v1/user/refresh", json!({})).await.code(), 10100);
}

#[tokio::test]
async fn users_and_the_one_tenant_are_listed() {
    let bench = Bench::new().await;
    bench.account("anna", Role::Operator, "hunter2").await;
    let users = bench.get("/v1/user/list?name=nn").await;
    assert_eq!((&users.data()["total_count"], &users.data()["list"][0]["user_name"]), (&json!(1), &json!("anna")));
    assert!(!users.text.contains("argon2"));
    assert_eq!(bench.get("/v1/tenant/list").await.data()["list"][0]["tenant_name"], "default");
    assert_eq!(bench.get("/v1/tenant/inspect").await.code(), 10005);
}
