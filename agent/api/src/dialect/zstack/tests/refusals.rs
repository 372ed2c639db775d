//! Who may send which message: every row of the table, so that a new one cannot escape.

use super::super::table::{Act, MESSAGES};
use super::bench::{Bench, result};
use crate::access::Access;
use crate::test_support::{bad_tokens, standing};
use hvnode_core::model::Role;
use serde_json::json;

#[test]
fn sessions_version_and_readiness_are_the_only_messages_without_a_session() {
    let public: Vec<_> = MESSAGES
        .iter()
        .filter(|message| message.access() == Access::Public)
        .map(|message| message.class.rsplit('.').next().unwrap())
        .collect();
    let expected = ["APILogInByAccountMsg", "APILogOutMsg", "APIValidateSessionMsg", "APIGetVersionMsg", "APIIsReadyToGoMsg"];
    assert_eq!(public, expected);
}

#[test]
fn what_changes_something_is_closed_to_readers() {
    for message in MESSAGES {
        let reads = ["Query", "Get", "Is", "Validate", "Request"].iter().any(|word| message.class.contains(&format!(".API{word}")));
        let is_session = matches!(message.class.rsplit('.').next().unwrap(), "APILogInByAccountMsg" | "APILogOutMsg");
        assert!(reads || is_session || message.access() == Access::Change, "{}", message.class);
        assert!(!matches!(message.act, Act::Change(..) | Act::Record(_)) || message.access() == Access::Change, "{}", message.class);
    }
}

#[tokio::test]
async fn no_message_is_answered_without_a_valid_session_and_nothing_changes() {
    let bench = Bench::new().await;
    let uuid = bench.vm("web").await;
    let mut bad = bad_tokens(&bench.accounts, "zstack").await;
    bad.push(("no session", String::new(), hvnode_core::ErrorCode::TokenMissing));
    let before = (bench.everything(), standing(&bench.engine, &bench.accounts).await);
    for message in MESSAGES.iter().filter(|message| message.access() != Access::Public) {
        for (what, token, code) in &bad {
            let job = bench.post(message.class, json!({"uuid": uuid, "session": {"uuid": token}})).await;
            let (_, content) = result(&job);
            let expected = super::super::errors::code_of(*code);
            assert_eq!(content["error"]["code"], expected, "{what}: {}", message.class);
        }
    }
    assert_eq!((bench.everything(), standing(&bench.engine, &bench.accounts).await), before);
}

#[tokio::test]
async fn no_message_may_be_sent_by_less_than_its_least_role_and_nothing_changes() {
    let mut bench = Bench::new().await;
    let uuid = bench.vm("web").await;
    for (name, role) in [("rita", Role::Reader), ("otto", Role::Operator)] {
        bench.accounts.create_account(name, role, "password").await.unwrap();
    }
    let sessions = [(Role::Reader, bench.log_in("rita").await), (Role::Operator, bench.log_in("otto").await)];
    let before = (bench.everything(), standing(&bench.engine, &bench.accounts).await);
    for (role, session) in sessions {
        bench.session = session;
        let closed: Vec<_> = MESSAGES.iter().filter(|message| message.access().least_role() > Some(role)).collect();
        assert!(!closed.is_empty());
        for message in closed {
            assert_eq!(bench.refused(message.class, json!({ "uuid": uuid })).await.0, "ID.1002", "{}", message.class);
        }
    }
    assert_eq!((bench.everything(), standing(&bench.engine, &bench.accounts).await), before);
}

#[tokio::test]
async fn an_api_token_for_this_dialect_stands_in_the_place_of_a_session_and_outlives_a_log_out() {
    let mut bench = Bench::new().await;
    let account = bench.accounts.list()[0].clone();
    let new = crate::accounts::NewToken {
        token_name: "billing".into(),
        role: Role::Reader,
        dialects: vec!["zstack".into()],
        lifetime: Some(std::time::Duration::from_secs(60)),
    };
    let (secret, _) = bench.accounts.create_token(account.user_uuid, new).await.unwrap();
    bench.session = secret.clone();
    bench.query("org.zstack.header.vm.APIQueryVmInstanceMsg", json!([])).await;
    assert_eq!(bench.refused("org.zstack.header.zone.APICreateZoneMsg", json!({"name": "z"})).await.0, "ID.1002");
    bench.post("org.zstack.header.identity.APILogOutMsg", json!({ "sessionUuid": secret })).await;
    bench.query("org.zstack.header.vm.APIQueryVmInstanceMsg", json!([])).await;
}

#[tokio::test]
async fn too_many_wrong_passwords_lock_out_and_an_unknown_account_is_answered_as_a_wrong_password() {
    let bench = Bench::new().await;
    bench.accounts.create_account("bob", Role::Reader, "password").await.unwrap();
    let log_in = async |name: &str, password: &str| {
        let fields = json!({"accountName": name, "password": password, "session": {}});
        let (_, content) = result(&bench.post("org.zstack.header.identity.APILogInByAccountMsg", fields).await);
        content["error"].clone()
    };
    let wrong = "0".repeat(128);
    let unknown = log_in("nobody", &wrong).await;
    for _ in 0..5 {
        assert_eq!(log_in("bob", &wrong).await, unknown);
    }
    assert_eq!(unknown["code"], "ID.1000");
    assert_eq!(log_in("bob", super::bench::HASH).await["code"], "ID.1007");
}
