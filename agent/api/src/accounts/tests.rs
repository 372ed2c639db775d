use super::*;
use hvnode_core::ErrorCode;
use hvnode_core::fake::{FakeStore, Fault, Faults, ManualClock};

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
    assert_eq!(code(world.accounts.refresh(DIALECT, &issued.token).await), ErrorCode::TokenExpired);
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
    let new = world.accounts.refresh(DIALECT, &old.token).await.unwrap();
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
