use super::*;
use hvnode_core::ErrorCode;
use hvnode_core::fake::{FakeStore, Fault, Faults, ManualClock};
use hvnode_core::model::ApiToken;

const DIALECT: &str = "native";
const CLIENT: &str = "192.0.2.1";

struct World {
    store: Arc<FakeStore>,
    faults: Faults,
    clock: ManualClock,
    accounts: Arc<Accounts>,
}

/// A store with one admin, as after a first start.
async fn world(config: AccountsConfig) -> World {
    let (faults, clock) = (Faults::new(), ManualClock::default());
    let store = FakeStore::new(faults.clone());
    let accounts = reopen(&store, &clock, config).await;
    accounts.create_account("admin", Role::Admin, "right").await.unwrap();
    World { store, faults, clock, accounts }
}

/// What a restart of the daemon does.
async fn reopen(store: &Arc<FakeStore>, clock: &ManualClock, config: AccountsConfig) -> Arc<Accounts> {
    let stored = store.load().await.unwrap();
    let quick = Params::new(8, 1, 1, None).unwrap();
    Accounts::start_with(store.clone(), stored.accounts, stored.tokens, config, Arc::new(clock.clone()), quick).unwrap()
}

async fn log_in(world: &World, password: &str) -> Result<IssuedToken> {
    world.accounts.log_in(DIALECT, CLIENT, "admin", password).await
}

fn who(accounts: &Accounts, token: &str) -> Result<Caller> {
    accounts.authenticate(DIALECT, token, CLIENT, "r1")
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> ErrorCode {
    result.unwrap_err().code()
}

#[tokio::test]
async fn a_token_tells_who_asks_and_what_they_may_do() {
    let world = world(AccountsConfig::default()).await;
    let issued = log_in(&world, "right").await.unwrap();
    let caller = who(&world.accounts, &issued.token).unwrap();
    assert_eq!((caller.user_name.as_str(), caller.role), ("admin", Role::Admin));
    assert_eq!((caller.dialect.as_str(), caller.client_address.as_str(), caller.request_id.as_str()), (DIALECT, CLIENT, "r1"));
    assert_eq!(issued.expire_time.since(issued.create_time), Duration::from_secs(12 * 3600));
    assert!(!format!("{issued:?} {:?}", world.accounts).contains(&issued.token));
}

#[tokio::test]
async fn the_store_holds_no_token_and_no_password() {
    let world = world(AccountsConfig::default()).await;
    let issued = log_in(&world, "right").await.unwrap();
    let stored = world.store.load().await.unwrap();
    assert_eq!(stored.tokens[0].token_hash, sha256_hex(&issued.token));
    assert!(stored.accounts[0].password_hash.starts_with("$argon2id$"));
}

#[tokio::test]
async fn wrong_password_unknown_user_and_unknown_token_are_told_apart() {
    let world = world(AccountsConfig::default()).await;
    assert_eq!(code(log_in(&world, "wrong").await), ErrorCode::PasswordWrong);
    assert_eq!(code(world.accounts.log_in(DIALECT, CLIENT, "nobody", "right").await), ErrorCode::UserNotExist);
    assert_eq!(code(who(&world.accounts, "no such token")), ErrorCode::TokenInvalid);
    assert_eq!(code(who(&world.accounts, "")), ErrorCode::TokenInvalid);
    assert_eq!(code(who(&world.accounts, &"x".repeat(100_000))), ErrorCode::TokenInvalid);
}

#[tokio::test]
async fn a_token_of_one_dialect_is_not_valid_in_another() {
    let world = world(AccountsConfig::default()).await;
    let issued = log_in(&world, "right").await.unwrap();
    assert_eq!(code(world.accounts.authenticate("openstack", &issued.token, CLIENT, "r")), ErrorCode::TokenInvalid);
    world.accounts.log_out("openstack", &issued.token).await.unwrap();
    assert!(who(&world.accounts, &issued.token).is_ok(), "nor ended from there");
}

#[tokio::test]
async fn a_token_expires_and_is_forgotten_later() {
    let world = world(AccountsConfig { token_lifetime: Duration::from_secs(60), ..Default::default() }).await;
    let issued = log_in(&world, "right").await.unwrap();
    world.clock.advance(Duration::from_secs(59));
    assert!(who(&world.accounts, &issued.token).is_ok());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(code(who(&world.accounts, &issued.token)), ErrorCode::TokenExpired);
    assert_eq!(code(world.accounts.refresh(DIALECT, &issued.token, CLIENT).await), ErrorCode::TokenExpired);
    world.clock.advance(EXPIRED_KEPT + Duration::from_secs(1));
    assert_eq!(world.accounts.prune_expired().await.unwrap(), 1);
    assert_eq!(code(who(&world.accounts, &issued.token)), ErrorCode::TokenInvalid);
    assert!(world.store.load().await.unwrap().tokens.is_empty());
    assert_eq!(world.store.load().await.unwrap().accounts.len(), 1, "nothing else is pruned");
}

#[tokio::test]
async fn tokens_and_accounts_survive_a_restart() {
    let world = world(AccountsConfig::default()).await;
    let issued = log_in(&world, "right").await.unwrap();
    let again = reopen(&world.store, &world.clock, AccountsConfig::default()).await;
    assert!(who(&again, &issued.token).is_ok());
    assert!(again.log_in(DIALECT, CLIENT, "admin", "right").await.is_ok());
}

#[tokio::test]
async fn log_out_ends_a_token_for_good_and_twice_is_fine() {
    let world = world(AccountsConfig::default()).await;
    let issued = log_in(&world, "right").await.unwrap();
    world.accounts.log_out(DIALECT, &issued.token).await.unwrap();
    world.accounts.log_out(DIALECT, &issued.token).await.unwrap();
    assert_eq!(code(who(&world.accounts, &issued.token)), ErrorCode::TokenInvalid);
    let again = reopen(&world.store, &world.clock, AccountsConfig::default()).await;
    assert_eq!(code(who(&again, &issued.token)), ErrorCode::TokenInvalid);
}

#[tokio::test]
async fn refresh_gives_a_new_token_and_ends_the_old_one() {
    let world = world(AccountsConfig::default()).await;
    let old = log_in(&world, "right").await.unwrap();
    let new = world.accounts.refresh(DIALECT, &old.token, CLIENT).await.unwrap();
    assert_ne!(old.token, new.token);
    assert_eq!(code(who(&world.accounts, &old.token)), ErrorCode::TokenInvalid);
    assert!(who(&world.accounts, &new.token).is_ok());
    assert_eq!(world.store.load().await.unwrap().tokens.len(), 1);
}

#[tokio::test]
async fn the_oldest_token_of_an_account_gives_way() {
    let world = world(AccountsConfig { tokens_per_user_max: 2, ..Default::default() }).await;
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(log_in(&world, "right").await.unwrap().token);
        world.clock.advance(Duration::from_secs(1));
    }
    let valid: Vec<bool> = tokens.iter().map(|token| who(&world.accounts, token).is_ok()).collect();
    assert_eq!(valid, [false, false, true, true]);
    assert_eq!(world.store.load().await.unwrap().tokens.len(), 2);
}

#[tokio::test]
async fn failures_lock_a_user_out_for_one_client_and_for_a_while() {
    let world = world(AccountsConfig { login_failures_max: 3, ..Default::default() }).await;
    for _ in 0..3 {
        assert_eq!(code(log_in(&world, "wrong").await), ErrorCode::PasswordWrong);
    }
    assert_eq!(code(log_in(&world, "right").await), ErrorCode::UserLocked);
    assert!(world.accounts.log_in(DIALECT, "192.0.2.2", "admin", "right").await.is_ok(), "from elsewhere");
    world.clock.advance(Duration::from_secs(300));
    assert!(log_in(&world, "right").await.is_ok());
    assert_eq!(code(log_in(&world, "wrong").await), ErrorCode::PasswordWrong, "success cleared the count");
}

#[tokio::test]
async fn many_attempts_at_once_get_no_more_tries_than_one_after_the_other() {
    let world = world(AccountsConfig { login_failures_max: 3, ..Default::default() }).await;
    let attempts = (0..20).map(|_| log_in(&world, "wrong"));
    let outcomes = futures_util::future::join_all(attempts).await;
    let judged = outcomes.into_iter().filter(|outcome| outcome.as_ref().is_err_and(|e| e.code() == ErrorCode::PasswordWrong)).count();
    assert_eq!(judged, 3);
}

#[tokio::test]
async fn a_store_that_fails_issues_nothing_and_counts_no_failure() {
    let world = world(AccountsConfig { login_failures_max: 1, ..Default::default() }).await;
    world.faults.on("commit", 1, Fault::FailBefore(fail!(StoreFailed)));
    assert_eq!(code(log_in(&world, "right").await), ErrorCode::StoreFailed);
    assert_eq!(world.accounts.session_count(), 0);
    assert!(log_in(&world, "right").await.is_ok());
}

#[tokio::test]
async fn limits_change_while_running() {
    let world = world(AccountsConfig::default()).await;
    world.accounts.reconfigure(AccountsConfig { token_lifetime: Duration::from_secs(5), ..Default::default() });
    let issued = log_in(&world, "right").await.unwrap();
    assert_eq!(issued.expire_time.since(issued.create_time), Duration::from_secs(5));
}

#[tokio::test]
async fn accounts_have_proper_names_and_passwords_and_are_unique() {
    let world = world(AccountsConfig::default()).await;
    assert_eq!(code(world.accounts.create_account("admin", Role::Reader, "x").await), ErrorCode::UserAlreadyExist);
    assert_eq!(code(world.accounts.create_account("a/b", Role::Reader, "x").await), ErrorCode::ParameterInvalid);
    assert_eq!(code(world.accounts.create_account("", Role::Reader, "x").await), ErrorCode::ParameterInvalid);
    assert_eq!(code(world.accounts.create_account("bob", Role::Reader, "").await), ErrorCode::ParameterInvalid);
    world.clock.advance(Duration::from_secs(1));
    world.accounts.create_account("aaa", Role::Reader, "x").await.unwrap();
    let names: Vec<_> = world.accounts.list().iter().map(|account| account.user_name.clone()).collect();
    assert_eq!(names, ["admin", "aaa"], "oldest first");
}

#[tokio::test]
async fn a_trusted_peer_has_its_role_without_an_account() {
    let world = world(AccountsConfig::default()).await;
    let peer = TrustedPeer { user_name: "cert:viewer".into(), role: Role::Reader };
    let caller = world.accounts.trusted_caller(DIALECT, &peer, CLIENT, "r9");
    assert_eq!((caller.user_name.as_str(), caller.role, caller.user_uuid), ("cert:viewer", Role::Reader, Uuid::nil()));
    assert_eq!((caller.client_address.as_str(), caller.request_id.as_str()), (CLIENT, "r9"));
}

const DIALECTS: [&str; 4] = ["native", "openstack", "zstack", "chimestack"];
const NEW_PASSWORD: &str = "a new password";

/// A second account with a session in every dialect.
async fn second(world: &World, name: &str, role: Role) -> (Uuid, Vec<(&'static str, String)>) {
    let account = world.accounts.create_account(name, role, "right").await.unwrap();
    let mut tokens = Vec::new();
    for dialect in DIALECTS {
        tokens.push((dialect, world.accounts.log_in(dialect, CLIENT, name, "right").await.unwrap().token));
    }
    (account.user_uuid, tokens)
}

fn valid(accounts: &Accounts, tokens: &[(&'static str, String)]) -> usize {
    tokens.iter().filter(|(dialect, token)| accounts.authenticate(dialect, token, CLIENT, "r").is_ok()).count()
}

fn new_token(name: &str, role: Role) -> NewToken {
    NewToken { token_name: name.into(), role, dialects: vec![DIALECT.into()], lifetime: Some(Duration::from_secs(600)) }
}

#[tokio::test]
async fn less_rights_a_new_password_and_the_end_of_an_account_end_its_sessions_in_every_dialect_also_after_a_restart() {
    let less = |role| AccountChange { role: Some(role), is_enabled: None };
    let off = AccountChange { role: None, is_enabled: Some(false) };
    for case in 0..4 {
        let world = world(AccountsConfig::default()).await;
        let (uuid, tokens) = second(&world, "bob", Role::Operator).await;
        assert_eq!(valid(&world.accounts, &tokens), 4);
        match case {
            0 => drop(world.accounts.change_account(uuid, less(Role::Reader)).await.unwrap()),
            1 => drop(world.accounts.change_account(uuid, off).await.unwrap()),
            2 => world.accounts.set_password(uuid, NEW_PASSWORD, false).await.unwrap(),
            _ => drop(world.accounts.delete_account(uuid).await.unwrap()),
        }
        assert_eq!(valid(&world.accounts, &tokens), 0, "case {case}");
        assert!(world.store.load().await.unwrap().tokens.is_empty(), "case {case}");
        let again = reopen(&world.store, &world.clock, AccountsConfig::default()).await;
        assert_eq!(valid(&again, &tokens), 0, "case {case}");
    }
}

#[tokio::test]
async fn more_rights_count_at_once_for_sessions_that_are_open() {
    let world = world(AccountsConfig::default()).await;
    let (uuid, tokens) = second(&world, "bob", Role::Reader).await;
    world.accounts.change_account(uuid, AccountChange { role: Some(Role::Admin), is_enabled: None }).await.unwrap();
    assert_eq!(valid(&world.accounts, &tokens), 4);
    assert_eq!(who(&world.accounts, &tokens[0].1).unwrap().role, Role::Admin);
}

#[tokio::test]
async fn the_last_admin_stays_whatever_is_asked() {
    let world = world(AccountsConfig::default()).await;
    let admin = world.accounts.list()[0].user_uuid;
    let (bob, _) = second(&world, "bob", Role::Admin).await;
    let change = |role, is_enabled| AccountChange { role, is_enabled };
    world.accounts.change_account(bob, change(None, Some(false))).await.unwrap();
    assert_eq!(code(world.accounts.delete_account(admin).await), ErrorCode::UserLastAdmin, "a disabled admin is none");
    assert_eq!(code(world.accounts.change_account(admin, change(Some(Role::Operator), None)).await), ErrorCode::UserLastAdmin);
    assert_eq!(code(world.accounts.change_account(admin, change(None, Some(false))).await), ErrorCode::UserLastAdmin);
    world.accounts.change_account(bob, change(None, Some(true))).await.unwrap();
    world.accounts.change_account(admin, change(Some(Role::Reader), None)).await.unwrap();
    assert_eq!(code(world.accounts.delete_account(bob).await), ErrorCode::UserLastAdmin);
    assert_eq!(code(world.accounts.delete_account(Uuid::nil()).await), ErrorCode::UserNotExist);
}

#[tokio::test]
async fn two_admins_that_remove_each_other_at_the_same_time_leave_one() {
    let world = world(AccountsConfig::default()).await;
    let admin = world.accounts.list()[0].user_uuid;
    let (bob, _) = second(&world, "bob", Role::Admin).await;
    let (one, other) = tokio::join!(world.accounts.delete_account(admin), world.accounts.delete_account(bob));
    assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1);
    assert_eq!(world.accounts.list().len(), 1);
}

#[tokio::test]
async fn only_who_knows_the_password_is_told_that_an_account_is_disabled() {
    let world = world(AccountsConfig::default()).await;
    let (bob, _) = second(&world, "bob", Role::Reader).await;
    world.accounts.change_account(bob, AccountChange { is_enabled: Some(false), role: None }).await.unwrap();
    let log_in = |password| world.accounts.log_in(DIALECT, CLIENT, "bob", password);
    assert_eq!(code(log_in("wrong").await), ErrorCode::PasswordWrong);
    assert_eq!(code(log_in("right").await), ErrorCode::UserDisabled);
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one_obeys_the_rules_and_survives_a_restart() {
    let world = world(AccountsConfig::default()).await;
    let admin = world.accounts.list()[0].user_uuid;
    assert_eq!(code(world.accounts.set_password(admin, "short", false).await), ErrorCode::ParameterInvalid);
    assert_eq!(code(world.accounts.add_account("carl", Role::Reader, "password").await), ErrorCode::ParameterInvalid);
    world.accounts.set_password(admin, NEW_PASSWORD, false).await.unwrap();
    let again = reopen(&world.store, &world.clock, AccountsConfig::default()).await;
    assert_eq!(code(again.log_in(DIALECT, CLIENT, "admin", "right").await), ErrorCode::PasswordWrong);
    assert!(again.log_in(DIALECT, CLIENT, "admin", NEW_PASSWORD).await.is_ok());
    assert!(again.list()[0].update_time.is_some());
}

#[tokio::test]
async fn asking_for_the_old_password_is_no_way_around_the_limits() {
    let world = world(AccountsConfig { login_failures_max: 3, ..Default::default() }).await;
    let admin = world.accounts.list()[0].user_uuid;
    for _ in 0..3 {
        assert_eq!(code(world.accounts.verify_password(admin, CLIENT, "wrong").await), ErrorCode::PasswordWrong);
    }
    assert_eq!(code(world.accounts.verify_password(admin, CLIENT, "right").await), ErrorCode::UserLocked);
}

#[tokio::test]
async fn a_store_that_fails_leaves_accounts_as_they_were() {
    let world = world(AccountsConfig::default()).await;
    let (bob, tokens) = second(&world, "bob", Role::Operator).await;
    world.faults.on("commit", 1, Fault::FailBefore(fail!(StoreFailed)));
    assert_eq!(code(world.accounts.delete_account(bob).await), ErrorCode::StoreFailed);
    assert_eq!((valid(&world.accounts, &tokens), world.accounts.list().len()), (4, 2));
}

#[tokio::test]
async fn an_api_token_has_its_own_role_never_more_than_its_account_and_survives_a_restart_and_a_new_password() {
    let world = world(AccountsConfig::default()).await;
    let (bob, _) = second(&world, "bob", Role::Operator).await;
    let (secret, detail) = world.accounts.create_token(bob, new_token("ci", Role::Operator)).await.unwrap();
    assert!(secret.starts_with("hvn_") && secret.len() == 47, "{}", secret.len());
    assert_eq!(who(&world.accounts, &secret).unwrap().role, Role::Operator);
    assert_eq!(code(world.accounts.create_token(bob, new_token("more", Role::Admin)).await), ErrorCode::PermissionDenied);
    world.accounts.set_password(bob, NEW_PASSWORD, false).await.unwrap();
    let again = reopen(&world.store, &world.clock, AccountsConfig::default()).await;
    assert_eq!(who(&again, &secret).unwrap().user_name, "bob");
    again.change_account(bob, AccountChange { role: Some(Role::Reader), is_enabled: None }).await.unwrap();
    assert_eq!(who(&again, &secret).unwrap().role, Role::Reader);
    assert_eq!(again.list_tokens(None)[0].role, Role::Reader);
    again.set_password(bob, "another password", true).await.unwrap();
    assert_eq!(code(who(&again, &secret)), ErrorCode::TokenInvalid, "asked to end tokens too");
    let stored = format!("{:?} {:?}", world.store.load().await.unwrap(), detail);
    assert!(!stored.contains(&secret));
}

#[tokio::test]
async fn an_api_token_is_valid_in_the_dialects_it_names_and_until_it_expires_or_is_revoked() {
    let world = world(AccountsConfig::default()).await;
    let admin = world.accounts.list()[0].user_uuid;
    let both = NewToken { dialects: vec!["native".into(), "zstack".into()], ..new_token("both", Role::Reader) };
    let (secret, _) = world.accounts.create_token(admin, both).await.unwrap();
    let valid = DIALECTS.map(|dialect| world.accounts.authenticate(dialect, &secret, CLIENT, "r").is_ok());
    assert_eq!(valid, [true, false, true, false]);
    assert_eq!(code(world.accounts.refresh(DIALECT, &secret, CLIENT).await), ErrorCode::PermissionDenied);
    assert_eq!(code(world.accounts.log_out(DIALECT, &secret).await), ErrorCode::PermissionDenied);
    let (other, detail) = world.accounts.create_token(admin, new_token("other", Role::Reader)).await.unwrap();
    let uuid = detail.api.token_uuid;
    assert_eq!(code(world.accounts.delete_token(uuid, Some(Uuid::nil())).await), ErrorCode::TokenNotExist, "somebody else's");
    world.accounts.delete_token(uuid, Some(admin)).await.unwrap();
    assert_eq!(code(who(&world.accounts, &other)), ErrorCode::TokenInvalid);
    assert_eq!(code(world.accounts.delete_token(uuid, None).await), ErrorCode::TokenNotExist);
    world.clock.advance(Duration::from_secs(600));
    assert_eq!(code(who(&world.accounts, &secret)), ErrorCode::TokenExpired);
}

#[tokio::test]
async fn api_tokens_are_bounded_named_once_and_endless_only_where_that_is_configured() {
    let world = world(AccountsConfig { api_tokens_per_user_max: 2, ..Default::default() }).await;
    let admin = world.accounts.list()[0].user_uuid;
    let make = |new| world.accounts.create_token(admin, new);
    let for_ever = || NewToken { lifetime: None, ..new_token("for ever", Role::Reader) };
    let long = NewToken { lifetime: Some(Duration::from_secs(400 * 86_400)), ..new_token("long", Role::Reader) };
    assert_eq!(code(make(for_ever()).await), ErrorCode::ParameterInvalid);
    assert_eq!(code(make(long).await), ErrorCode::ParameterInvalid);
    assert_eq!(code(make(new_token("a/b", Role::Reader)).await), ErrorCode::ParameterInvalid);
    make(new_token("ci", Role::Reader)).await.unwrap();
    assert_eq!(code(make(new_token("ci", Role::Reader)).await), ErrorCode::AlreadyExist);
    world.accounts.reconfigure(AccountsConfig { api_tokens_per_user_max: 2, has_endless_api_tokens: true, ..Default::default() });
    let (endless, detail) = make(for_ever()).await.unwrap();
    assert_eq!(detail.expire_time, None);
    assert_eq!(code(make(new_token("third", Role::Reader)).await), ErrorCode::TooManyRequests);
    world.clock.advance(Duration::from_secs(100 * 366 * 86_400));
    assert_eq!(world.accounts.prune_expired().await.unwrap(), 1, "the other one");
    assert!(who(&world.accounts, &endless).is_ok());
}

#[tokio::test]
async fn many_log_ins_push_out_no_api_token() {
    let world = world(AccountsConfig { tokens_per_user_max: 1, ..Default::default() }).await;
    let admin = world.accounts.list()[0].user_uuid;
    let (secret, _) = world.accounts.create_token(admin, new_token("ci", Role::Reader)).await.unwrap();
    for _ in 0..3 {
        log_in(&world, "right").await.unwrap();
    }
    assert!(who(&world.accounts, &secret).is_ok());
}

#[tokio::test]
async fn when_and_from_where_a_token_was_used_is_listed_and_written_down_now_and_then() {
    let world = world(AccountsConfig::default()).await;
    let admin = world.accounts.list()[0].user_uuid;
    let (secret, _) = world.accounts.create_token(admin, new_token("ci", Role::Reader)).await.unwrap();
    assert_eq!(world.accounts.list_tokens(Some(admin))[0].api.last_used_time, None);
    world.clock.advance(Duration::from_secs(5));
    who(&world.accounts, &secret).unwrap();
    let seen = (Some(world.clock.now()), Some(CLIENT.to_owned()));
    let used = |accounts: &Accounts| accounts.list_tokens(None).remove(0).api;
    let shown = |api: ApiToken| (api.last_used_time, api.last_used_address);
    assert_eq!(shown(used(&world.accounts)), seen);
    world.faults.on("commit", 1, Fault::FailBefore(fail!(StoreFailed)));
    assert_eq!(code(world.accounts.flush_uses().await), ErrorCode::StoreFailed);
    world.accounts.flush_uses().await.unwrap();
    let again = reopen(&world.store, &world.clock, AccountsConfig::default()).await;
    assert_eq!(shown(used(&again)), seen);
    assert!(who(&again, &secret).is_ok());
}

#[tokio::test]
async fn an_attack_from_everywhere_locks_nobody_out_of_places_he_logged_in_from_also_after_a_restart() {
    let world = world(AccountsConfig { login_failures_max: 1, ..Default::default() }).await;
    log_in(&world, "right").await.unwrap();
    let attack = async |accounts: &Accounts| {
        for n in 0..10 {
            let address = format!("203.0.113.{n}");
            assert_eq!(code(accounts.log_in(DIALECT, &address, "admin", "guess").await), ErrorCode::PasswordWrong);
        }
    };
    attack(&world.accounts).await;
    let from = async |accounts: &Accounts, address: &str| accounts.log_in("zstack", address, "admin", "right").await;
    assert_eq!(code(from(&world.accounts, "198.51.100.1").await), ErrorCode::UserLocked, "new places wait");
    for address in [CLIENT, "unix", "127.0.0.1"] {
        assert!(from(&world.accounts, address).await.is_ok(), "{address}");
    }
    let again = reopen(&world.store, &world.clock, AccountsConfig { login_failures_max: 1, ..Default::default() }).await;
    attack(&again).await;
    assert_eq!(code(from(&again, "198.51.100.1").await), ErrorCode::UserLocked);
    assert!(from(&again, CLIENT).await.is_ok());
}
