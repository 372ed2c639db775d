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

const PASSWORD: &str = "a long enough password";

/// An administrator's token, for requests that must not come from a trusted peer.
async fn admin(bench: &Bench) -> String {
    bench.account("root", Role::Admin, PASSWORD).await
}

#[tokio::test]
async fn an_admin_makes_changes_and_removes_users_and_every_step_is_in_the_log_without_a_password() {
    let bench = Bench::new().await;
    let admin = admin(&bench).await;
    let post = |path: &'static str, body: Value| bench.with_token("POST", path, &admin, body);
    let made = post("/v1/user/create", json!({"user_name": "anna", "role": "operator", "password": "correct horse"})).await;
    let user = made.data()["user"].clone();
    assert_eq!(
        (&user["user_name"], &user["role"], &user["enabled"], &user["update_time"]),
        (&json!("anna"), &json!("operator"), &json!(true), &Value::Null)
    );
    let uuid = user["user_uuid"].as_str().unwrap();
    let body = json!({"user_name": "anna", "password": "correct horse"});
    let anna = bench.with_token("POST", "/v1/user/login", "", body.clone()).await.data()["token"].as_str().unwrap().to_owned();
    let shown = bench.with_token("GET", &format!("/v1/user/inspect?user_uuid={uuid}"), &admin, Value::Null).await;
    assert_eq!(shown.data()["user"], user);
    let changed = post("/v1/user/update", json!({"user_uuid": uuid, "user_name": "anna", "role": "reader"})).await;
    assert_eq!(changed.data(), &json!({"user_uuid": uuid, "user_name": "anna", "role": "reader", "enabled": true}));
    assert_eq!(bench.with_token("GET", "/v1/vm/list", &anna, Value::Null).await.code(), 10101, "less rights end the session");
    post("/v1/user/password/update", json!({"user_uuid": uuid, "password": "battery staple"})).await.data();
    assert_eq!(bench.with_token("POST", "/v1/user/login", "", body).await.code(), 10180);
    post("/v1/user/update", json!({"user_uuid": uuid, "enabled": false})).await.data();
    let body = json!({"user_name": "anna", "password": "battery staple"});
    assert_eq!(bench.with_token("POST", "/v1/user/login", "", body).await.code(), 10182);
    assert_eq!(post("/v1/user/delete", json!({"user_uuid": uuid})).await.data()["user_name"], "anna");
    assert_eq!(post("/v1/user/delete", json!({"user_uuid": uuid})).await.code(), 10183);
    let log = bench.get("/v1/operation_log/list?page_size=0&sort_order=asc").await;
    let actions: Vec<_> =
        log.data()["list"].as_array().unwrap().iter().map(|row| (row["action"].clone(), row["status_code"].clone())).collect();
    for (action, code) in [("create", 0), ("update", 0), ("password/update", 0), ("login", 10182), ("delete", 0), ("delete", 10183)] {
        assert!(actions.contains(&(json!(format!("/v1/user/{action}")), json!(code))), "{action} {code}: {actions:?}");
    }
    assert!(!["horse", "staple", "argon2"].iter().any(|secret| log.text.contains(secret)), "{}", log.text);
}

#[tokio::test]
async fn wrong_users_are_refused_with_the_field_and_what_would_be_right() {
    let bench = Bench::new().await;
    let admin = admin(&bench).await;
    let uuid = bench.accounts.list()[0].user_uuid;
    let good = json!({"user_name": "anna", "role": "reader", "password": "correct horse"});
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (path, body, code, word) in [
        ("create", with("user_name", json!("a/b")), 10003, "user_name"),
        ("create", with("user_name", json!("root")), 10184, "exist"),
        ("create", with("role", json!("root")), 10003, "reader, operator, admin"),
        ("create", with("password", json!("short")), 10003, "at least 8 characters"),
        ("create", with("password", json!("anna")), 10003, "password"),
        ("create", with("rolle", json!("x")), 10003, "rolle"),
        ("update", json!({"user_uuid": uuid}), 10002, "role or enabled"),
        ("update", json!({"user_uuid": "x", "role": "reader"}), 10003, "user_uuid"),
        ("update", json!({"user_uuid": uuid, "role": "reader"}), 10185, "make another admin first"),
        ("update", json!({"user_uuid": uuid, "enabled": false}), 10185, "root"),
        ("delete", json!({"user_uuid": uuid}), 10185, "root"),
        ("password/update", json!({"password": "correct horse"}), 10002, "old_password"),
        ("password/update", json!({"password": "correct horse", "old_password": "wrong"}), 10180, "Password"),
    ] {
        let answer = bench.with_token("POST", &format!("/v1/user/{path}"), &admin, body.clone()).await;
        assert_eq!(answer.code(), code, "{path} {body}: {}", answer.body);
        assert!(answer.message().contains(word), "{path} {body}: {}", answer.message());
    }
    assert_eq!(bench.accounts.list().len(), 1);
}

#[tokio::test]
async fn everybody_changes_his_own_password_with_the_old_one_and_nobody_elses() {
    let bench = Bench::new().await;
    let admin_uuid = bench.account("root", Role::Admin, PASSWORD).await;
    let admin_uuid = bench.with_token("GET", "/v1/user/inspect", &admin_uuid, Value::Null).await.data()["user"]["user_uuid"].clone();
    let token = bench.account("rita", Role::Reader, PASSWORD).await;
    let update = |body: Value| bench.with_token("POST", "/v1/user/password/update", &token, body);
    assert_eq!(update(json!({"user_uuid": admin_uuid, "password": "correct horse"})).await.code(), 10103);
    assert_eq!(
        bench.with_token("GET", &format!("/v1/user/inspect?user_uuid={}", admin_uuid.as_str().unwrap()), &token, Value::Null).await.code(),
        10103
    );
    update(json!({"old_password": PASSWORD, "password": "correct horse"})).await.data();
    assert_eq!(bench.with_token("GET", "/v1/vm/list", &token, Value::Null).await.code(), 10101, "its own session ended too");
    bench.with_token("POST", "/v1/user/login", "", json!({"user_name": "rita", "password": "correct horse"})).await.data();
}

#[tokio::test]
async fn a_trusted_peer_sets_a_forgotten_password_without_the_old_one() {
    let bench = Bench::new().await;
    admin(&bench).await;
    let uuid = bench.accounts.list()[0].user_uuid;
    assert_eq!(bench.post("/v1/user/password/update", json!({"password": "correct horse"})).await.code(), 10002);
    bench.post("/v1/user/password/update", json!({"user_uuid": uuid, "password": "correct horse"})).await.data();
    bench.with_token("POST", "/v1/user/login", "", json!({"user_name": "root", "password": "correct horse"})).await.data();
}

#[tokio::test]
async fn tokens_for_programs_are_made_used_listed_without_their_secret_and_revoked() {
    let bench = Bench::new().await;
    let token = bench.account("otto", Role::Operator, PASSWORD).await;
    let other = bench.account("rita", Role::Reader, PASSWORD).await;
    let post = |path: &'static str, token: &str, body: Value| {
        let token = token.to_owned();
        let bench = &bench;
        async move { bench.with_token("POST", path, &token, body).await }
    };
    let made = post("/v1/token/create", &token, json!({"token_name": "ci", "role": "operator", "lifetime_seconds": 600})).await;
    let made = made.data()["token"].clone();
    let secret = made["secret"].as_str().unwrap();
    let (uuid, end) = (made["token_uuid"].as_str().unwrap(), made["expire_time"].as_i64().unwrap());
    assert_eq!((&made["dialects"], end - made["create_time"].as_i64().unwrap()), (&json!(["native"]), 600));
    for form in [secret.to_owned(), format!("Bearer {secret}")] {
        bench.with_token("GET", "/v1/vm/list", &form, Value::Null).await.data();
    }
    assert_eq!(post("/v1/user/logout", secret, json!({})).await.code(), 10103);
    assert_eq!(post("/v1/user/refresh", secret, json!({})).await.code(), 10103);
    assert_eq!(post("/v1/token/create", secret, json!({"token_name": "child"})).await.code(), 10103, "a token makes no tokens");
    let list = bench.with_token("GET", "/v1/token/list", &token, Value::Null).await;
    assert!(!list.text.contains(secret) && list.data()["total_count"] == 1);
    let listed = &list.data()["list"][0];
    assert_eq!(
        (&listed["last_used_address"], &listed["status"], &listed["user_name"]),
        (&json!("198.51.100.7"), &json!("valid"), &json!("otto"))
    );
    assert!(listed["last_used_time"].is_i64());
    assert_eq!(bench.with_token("GET", "/v1/token/list", &other, Value::Null).await.data()["total_count"], 0);
    assert_eq!(bench.get("/v1/token/list").await.data()["total_count"], 1, "an admin sees all");
    assert_eq!(post("/v1/token/delete", &other, json!({"token_uuid": uuid})).await.code(), 10104);
    assert_eq!(post("/v1/token/delete", &token, json!({"token_uuid": uuid, "token_name": "ci"})).await.data()["token_name"], "ci");
    assert_eq!(bench.with_token("GET", "/v1/vm/list", secret, Value::Null).await.code(), 10101);
    let log = bench.get("/v1/operation_log/list?page_size=0").await;
    assert!(!log.text.contains("hvn_") && log.text.contains(uuid), "{}", log.text);
}

#[tokio::test]
async fn wrong_tokens_for_programs_are_refused_with_the_field() {
    let bench = Bench::new().await;
    let token = bench.account("rita", Role::Reader, PASSWORD).await;
    let rita = bench.accounts.list()[0].user_uuid;
    for (body, code, word) in [
        (json!({}), 10002, "token_name"),
        (json!({"token_name": "a/b"}), 10003, "token_name"),
        (json!({"token_name": "a", "role": "operator"}), 10103, "role"),
        (json!({"token_name": "a", "role": "root"}), 10003, "role"),
        (json!({"token_name": "a", "dialects": []}), 10003, "dialects"),
        (json!({"token_name": "a", "dialects": ["native", "aws"]}), 10003, "dialects"),
        (json!({"token_name": "a", "lifetime_seconds": 0}), 10003, "lifetime_seconds"),
        (json!({"token_name": "a", "lifetime_seconds": 400_u64 * 86_400}), 10003, "lifetime_seconds"),
        (json!({"token_name": "a", "user_uuid": uuid::Uuid::from_u128(7)}), 10103, "admin"),
    ] {
        let answer = bench.with_token("POST", "/v1/token/create", &token, body.clone()).await;
        assert_eq!(answer.code(), code, "{body}: {}", answer.body);
        assert!(answer.message().contains(word), "{body}: {}", answer.message());
    }
    assert_eq!(bench.post("/v1/token/create", json!({"token_name": "a"})).await.code(), 10002, "root has no account");
    bench.post("/v1/token/create", json!({"token_name": "a", "user_uuid": rita})).await.data();
}
