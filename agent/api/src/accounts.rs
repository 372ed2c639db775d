//! Accounts, sessions, tokens for programs, and log-in limits.
//!
//! Everything that a request needs is in memory; the store is written before a change counts. Tokens are kept as SHA-256 only, passwords
//! as `argon2id(sha512_hex(password))`: one store serves clients that send plain and clients that send hashed passwords. What an account
//! may do is looked up with every request, so that a change of it counts at once and in every dialect.

mod lockout;
mod manage;
mod password;
mod refusals;
mod rules;
mod sessions;
mod tokens;

use crate::context::TrustedPeer;
use arc_swap::ArcSwap;
use argon2::Params;
use hvnode_core::model::{Account, Caller, DEFAULT_TENANT_UUID, Role, Timestamp, TokenRecord};
use hvnode_core::port::{Clock, Durability, Store, Write};
use hvnode_core::{Result, at, fail};
use lockout::{Attempt, AttemptKey, Limits, LockOut, Refusal as Slowed};
pub use manage::AccountChange;
use parking_lot::{Mutex, RwLock};
pub use password::Password;
use password::{PasswordHasherPool, random_text, sha256_hex};
pub use refusals::{Refusal, Refusals, RefusedCall};
pub use rules::{PASSWORD_BYTES_MAX, check_password};
use sessions::{EXPIRED_KEPT, Sessions};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
pub use tokens::{NewToken, TokenDetail};
use uuid::Uuid;

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// Random bytes of a password that the daemon makes.
const PASSWORD_BYTES: usize = 18;
/// Longest token text that is looked at.
const TOKEN_LENGTH_MAX: usize = 256;
/// Places that an account is known to log in from.
const KNOWN_PLACES_MAX: usize = 16;
/// Name of the account that a first start makes.
pub const FIRST_ACCOUNT_NAME: &str = "admin";

/// How the text of a token looks: some APIs promise their clients a uuid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenForm {
    /// Random bytes as text.
    Text,
    /// A random uuid with dashes.
    Uuid,
    /// A random uuid without dashes.
    Hex,
}

impl TokenForm {
    fn token(self) -> String {
        match self {
            Self::Text => random_text(TOKEN_BYTES),
            Self::Uuid => Uuid::new_v4().to_string(),
            Self::Hex => Uuid::new_v4().simple().to_string(),
        }
    }
}

/// A token just issued. The only place its text exists outside the client.
#[derive(Clone)]
pub struct IssuedToken {
    /// The text the client sends from now on.
    pub token: String,
    /// Whose it is.
    pub account: Arc<Account>,
    /// What its holder may do.
    pub role: Role,
    /// Issued.
    pub create_time: Timestamp,
    /// Valid until.
    pub expire_time: Timestamp,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken").field("account", &self.account).finish_non_exhaustive()
    }
}

/// What an operator may set about sessions and log-ins; can change while running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountsConfig {
    /// How long a token is valid.
    pub token_lifetime: Duration,
    /// The same for dialects whose clients expect another time.
    pub token_lifetime_of: BTreeMap<String, Duration>,
    /// Most tokens of one account; the oldest ends when one more is issued.
    pub tokens_per_user_max: usize,
    /// Failures after which a user is locked out for a client address.
    pub login_failures_max: u32,
    /// For how long at first; doubled with every further failure.
    pub login_lock_time: Duration,
    /// Longest lock.
    pub login_lock_time_max: Duration,
    /// Least characters of a password that is set from now on.
    pub password_length_min: usize,
    /// Most tokens for programs of one account.
    pub api_tokens_per_user_max: usize,
    /// How long a token for programs may be valid.
    pub api_token_lifetime_max: Duration,
    /// May one be valid for ever?
    pub has_endless_api_tokens: bool,
}

impl Default for AccountsConfig {
    fn default() -> Self {
        Self {
            token_lifetime: Duration::from_secs(12 * 3600),
            token_lifetime_of: BTreeMap::new(),
            tokens_per_user_max: 64,
            login_failures_max: 5,
            login_lock_time: Duration::from_secs(300),
            login_lock_time_max: Duration::from_secs(3600),
            password_length_min: 8,
            api_tokens_per_user_max: 32,
            api_token_lifetime_max: Duration::from_secs(366 * 86_400),
            has_endless_api_tokens: false,
        }
    }
}

/// Accounts by name and by identity. Few, and written almost never.
#[derive(Debug, Default)]
struct Directory {
    by_name: BTreeMap<String, Arc<Account>>,
    by_uuid: HashMap<Uuid, Arc<Account>>,
}

impl Directory {
    fn put(&mut self, account: Arc<Account>) {
        self.by_name.insert(account.user_name.clone(), account.clone());
        self.by_uuid.insert(account.user_uuid, account);
    }

    fn remove(&mut self, user_uuid: Uuid) {
        if let Some(account) = self.by_uuid.remove(&user_uuid) {
            self.by_name.remove(&account.user_name);
        }
    }
}

/// Accounts, sessions, tokens and log-in limits.
pub struct Accounts {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    config: ArcSwap<AccountsConfig>,
    hasher: PasswordHasherPool,
    directory: RwLock<Directory>,
    sessions: RwLock<Sessions>,
    lock_out: Mutex<LockOut>,
    /// When and from where tokens for programs were used, not yet in the store. As many entries as there are such tokens at most.
    uses: Mutex<HashMap<Uuid, (Timestamp, String)>>,
    /// Where accounts logged in from, beside what their sessions tell; the newest last.
    known: Mutex<HashMap<Uuid, Vec<AttemptKey>>>,
    refusals: Refusals,
    /// Held while an account or its tokens change: each change reads, checks and writes. They are few.
    turn: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let accounts = self.directory.read().by_uuid.len();
        f.debug_struct("Accounts").field("accounts", &accounts).field("sessions", &self.sessions.read().len()).finish()
    }
}

/// A valid token and whose it is.
#[derive(Debug, Clone)]
struct Holder {
    account: Arc<Account>,
    record: Arc<TokenRecord>,
}

impl Holder {
    /// A token for programs may do no more than its account.
    fn role(&self) -> Role {
        self.record.api.as_ref().map_or(self.account.role, |api| api.role.min(self.account.role))
    }
}

impl Accounts {
    /// Takes over what the store holds.
    ///
    /// # Errors
    /// `StoreFailed` where two stored accounts have the same name.
    pub fn start(
        store: Arc<dyn Store>,
        accounts: Vec<Account>,
        tokens: Vec<TokenRecord>,
        config: AccountsConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        Self::start_with(store, accounts, tokens, config, clock, Params::default())
    }

    fn start_with(
        store: Arc<dyn Store>,
        accounts: Vec<Account>,
        tokens: Vec<TokenRecord>,
        config: AccountsConfig,
        clock: Arc<dyn Clock>,
        params: Params,
    ) -> Result<Arc<Self>> {
        let mut directory = Directory::default();
        for account in accounts {
            let name = account.user_name.clone();
            if directory.by_name.contains_key(&name) {
                return Err(fail!(StoreFailed, "two accounts are named {name:?}"; "存在两个名为 {name:?} 的账号"));
            }
            directory.put(Arc::new(account));
        }
        let sessions = Sessions::new(tokens, |uuid| directory.by_uuid.contains_key(&uuid));
        Ok(Arc::new(Self {
            store,
            clock,
            config: ArcSwap::from_pointee(config),
            hasher: PasswordHasherPool::new(params),
            directory: RwLock::new(directory),
            sessions: RwLock::new(sessions),
            lock_out: Mutex::default(),
            uses: Mutex::default(),
            known: Mutex::default(),
            refusals: Refusals::default(),
            turn: tokio::sync::Mutex::default(),
        }))
    }

    /// Who was refused.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Notes that a request was refused; errors that are no refusal are passed over.
    pub fn refused(&self, call: RefusedCall<'_>, error: &hvnode_core::AgentError) {
        self.refusals.note(call, error, self.clock.now());
    }

    /// May this error of a request have a row of its own in the operation log? See [`Refusals::may_have_row`].
    pub fn may_have_row(&self, caller: &Caller, error: &hvnode_core::AgentError) -> bool {
        self.refusals.may_have_row(caller.role, error, self.clock.now())
    }

    /// Other limits from now on; tokens already issued keep their time.
    pub fn reconfigure(&self, config: AccountsConfig) {
        self.config.store(Arc::new(config));
    }

    /// A password nobody can guess, for an account that the daemon makes.
    pub fn random_password() -> String {
        random_text(PASSWORD_BYTES)
    }

    /// Checks name and plain password and issues a token valid in `dialect` only.
    ///
    /// # Errors
    /// `UserNotExist`, `PasswordWrong`, `UserLocked` (too many failures), `TooManyRequests`, `StoreFailed`.
    pub async fn log_in(&self, dialect: &str, client_address: &str, user_name: &str, password: &str) -> Result<IssuedToken> {
        self.log_in_with(dialect, client_address, user_name, Password::Plain(password)).await
    }

    /// The same with a password as the dialect's clients send it.
    ///
    /// # Errors
    /// As [`Accounts::log_in`].
    pub async fn log_in_with(&self, dialect: &str, client: &str, user_name: &str, password: Password<'_>) -> Result<IssuedToken> {
        self.log_in_for(dialect, client, user_name, password, TokenForm::Text).await
    }

    /// The same with a token of the form that the dialect's clients expect.
    ///
    /// # Errors
    /// As [`Accounts::log_in`].
    pub async fn log_in_for(
        &self,
        dialect: &str,
        client: &str,
        user_name: &str,
        password: Password<'_>,
        form: TokenForm,
    ) -> Result<IssuedToken> {
        let account = self.directory.read().by_name.get(user_name).cloned();
        let is_known = account.as_ref().is_some_and(|account| self.is_known(account.user_uuid, client));
        let attempt = self.begin_attempt(Attempt::new(user_name, client, is_known))?;
        let is_right = self.hasher.verify(password, account.as_deref().map(|a| a.password_hash.as_str())).await.map_err(at!())?;
        let account = match account {
            Some(account) if is_right => account,
            known => {
                attempt.failed(self.clock.now());
                return Err(if known.is_some() { fail!(PasswordWrong) } else { fail!(UserNotExist) });
            }
        };
        // Only who knows the password is told.
        if !account.is_enabled {
            return Err(fail!(UserDisabled));
        }
        let issued = self.issue(dialect, client, account, form, None).await.map_err(at!())?;
        attempt.succeeded();
        self.remember(issued.account.user_uuid, client);
        Ok(issued)
    }

    /// What is known of a valid token.
    ///
    /// # Errors
    /// `TokenInvalid`, `TokenExpired`.
    pub fn token(&self, dialect: &str, token: &str) -> Result<IssuedToken> {
        let holder = self.holder(dialect, token)?;
        let role = holder.role();
        let Holder { account, record } = holder;
        Ok(IssuedToken { token: token.to_owned(), account, role, create_time: record.create_time, expire_time: record.expire_time })
    }

    /// Exchanges a valid token of a session for a new one; the old one ends.
    ///
    /// # Errors
    /// `TokenInvalid`, `TokenExpired`, `PermissionDenied` (a token for programs), `StoreFailed`.
    pub async fn refresh(&self, dialect: &str, token: &str, client_address: &str) -> Result<IssuedToken> {
        let Holder { account, record } = self.holder(dialect, token)?;
        refuse_api_token(&record)?;
        self.issue(dialect, client_address, account, TokenForm::Text, Some(&record.token_hash)).await.map_err(at!())
    }

    /// Ends the token of a session; fine if it is not known.
    ///
    /// # Errors
    /// `PermissionDenied` (a token for programs), `StoreFailed`.
    pub async fn log_out(&self, dialect: &str, token: &str) -> Result<()> {
        let hash = sha256_hex(token);
        let Some(record) = self.sessions.read().get(&hash).filter(|record| record.is_for(dialect)).cloned() else { return Ok(()) };
        refuse_api_token(&record)?;
        self.store.commit(vec![Write::DeleteToken(hash.clone())], Durability::Durable).await.map_err(at!())?;
        self.sessions.write().remove(&hash);
        Ok(())
    }

    /// Who holds this token. Never blocks.
    ///
    /// # Errors
    /// `TokenInvalid`, `TokenExpired`, `UserDisabled`.
    pub fn authenticate(&self, dialect: &str, token: &str, client_address: &str, request_id: &str) -> Result<Caller> {
        let holder = self.holder(dialect, token)?;
        if let Some(api) = &holder.record.api {
            self.uses.lock().insert(api.token_uuid, (self.clock.now(), client_address.to_owned()));
        }
        let role = holder.role();
        let account = holder.account;
        Ok(Caller {
            user_uuid: account.user_uuid,
            user_name: account.user_name.clone(),
            role,
            tenant_uuid: DEFAULT_TENANT_UUID,
            dialect: dialect.to_owned(),
            client_address: client_address.to_owned(),
            request_id: request_id.to_owned(),
        })
    }

    /// A caller for a peer that is let in without a token, by its unix credentials or its client certificate.
    pub fn trusted_caller(&self, dialect: &str, peer: &TrustedPeer, client_address: &str, request_id: &str) -> Caller {
        Caller {
            user_uuid: Uuid::nil(),
            user_name: peer.user_name.clone(),
            role: peer.role,
            tenant_uuid: DEFAULT_TENANT_UUID,
            dialect: dialect.to_owned(),
            client_address: client_address.to_owned(),
            request_id: request_id.to_owned(),
        }
    }

    /// Every account, for listings; oldest first.
    pub fn list(&self) -> Vec<Arc<Account>> {
        let mut accounts: Vec<_> = self.directory.read().by_uuid.values().cloned().collect();
        accounts.sort_by_key(|account| (account.create_time, account.user_uuid));
        accounts
    }

    /// One account.
    pub fn account(&self, user_uuid: Uuid) -> Option<Arc<Account>> {
        self.directory.read().by_uuid.get(&user_uuid).cloned()
    }

    /// Tokens held in memory, valid and recently expired ones.
    pub fn session_count(&self) -> usize {
        self.sessions.read().len()
    }

    /// Forgets tokens that expired some time ago, in memory and in the store. Gives how many.
    ///
    /// # Errors
    /// `StoreFailed`; memory is cleaned all the same.
    pub async fn prune_expired(&self) -> Result<usize> {
        let before = Timestamp(self.clock.now().0.saturating_sub(i64::try_from(EXPIRED_KEPT.as_nanos()).unwrap_or(i64::MAX)));
        let count = self.sessions.write().prune(before);
        if count > 0 {
            let never = Timestamp(i64::MIN);
            let prune = Write::Prune { jobs_before: never, operations_before: never, tokens_before: before, events_before: never };
            self.store.commit(vec![prune], Durability::Relaxed).await.map_err(at!())?;
        }
        Ok(count)
    }

    fn holder(&self, dialect: &str, token: &str) -> Result<Holder> {
        if token.is_empty() || token.len() > TOKEN_LENGTH_MAX {
            return Err(fail!(TokenInvalid));
        }
        let record = self.sessions.read().get(&sha256_hex(token)).filter(|record| record.is_for(dialect)).cloned();
        let account = record.as_ref().and_then(|record| self.account(record.user_uuid));
        let (Some(record), Some(account)) = (record, account) else { return Err(fail!(TokenInvalid)) };
        if record.expire_time <= self.clock.now() {
            return Err(fail!(TokenExpired));
        }
        if !account.is_enabled {
            return Err(fail!(UserDisabled));
        }
        Ok(Holder { account, record })
    }

    async fn issue(
        &self,
        dialect: &str,
        client_address: &str,
        account: Arc<Account>,
        form: TokenForm,
        replaced: Option<&str>,
    ) -> Result<IssuedToken> {
        let config = self.config.load_full();
        let token = form.token();
        let create_time = self.clock.now();
        let lifetime = config.token_lifetime_of.get(dialect).copied().unwrap_or(config.token_lifetime);
        let expire_time = create_time.plus(lifetime);
        let record = TokenRecord {
            token_hash: sha256_hex(&token),
            user_uuid: account.user_uuid,
            dialect: dialect.to_owned(),
            create_time,
            expire_time,
            client_address: client_address.to_owned(),
            api: None,
        };
        let _turn = self.turn.lock().await;
        // While the password was checked, or the turn waited for, the account may have changed: what ended its sessions ends this one.
        let present = self.account(account.user_uuid).filter(|present| Arc::ptr_eq(present, &account));
        if present.is_none() || replaced.is_some_and(|hash| self.sessions.read().get(hash).is_none()) {
            return Err(fail!(TokenInvalid));
        }
        let mut ended = self.sessions.read().surplus(account.user_uuid, config.tokens_per_user_max.max(1));
        ended.extend(replaced.map(str::to_owned));
        let mut writes: Vec<Write> = ended.iter().cloned().map(Write::DeleteToken).collect();
        writes.push(Write::PutToken(record.clone()));
        self.store.commit(writes, Durability::Relaxed).await.map_err(at!())?;
        let mut sessions = self.sessions.write();
        for hash in ended {
            sessions.remove(&hash);
        }
        sessions.insert(Arc::new(record));
        let role = account.role;
        Ok(IssuedToken { token, account, role, create_time, expire_time })
    }

    /// Has this account logged in from there before?
    fn is_known(&self, user_uuid: Uuid, client_address: &str) -> bool {
        let place = AttemptKey::new("", client_address);
        self.known.lock().get(&user_uuid).is_some_and(|places| places.contains(&place))
            || self.sessions.read().is_known(user_uuid, client_address)
    }

    fn remember(&self, user_uuid: Uuid, client_address: &str) {
        let place = AttemptKey::new("", client_address);
        let mut known = self.known.lock();
        let places = known.entry(user_uuid).or_default();
        places.retain(|known| *known != place);
        places.push(place);
        let surplus = places.len().saturating_sub(KNOWN_PLACES_MAX);
        places.drain(..surplus);
    }

    fn begin_attempt(&self, attempt: Attempt) -> Result<Trial<'_>> {
        let config = self.config.load();
        let limits = Limits {
            failures_max: config.login_failures_max,
            lock_time: config.login_lock_time,
            lock_time_max: config.login_lock_time_max,
        };
        let outcome = self.lock_out.lock().begin(attempt, self.clock.now(), limits);
        match outcome {
            Ok(()) => Ok(Trial { lock_out: &self.lock_out, attempt, is_judged: false }),
            Err(Slowed::Locked) => Err(fail!(UserLocked)),
            Err(Slowed::Busy) => Err(fail!(TooManyRequests,
                "too many log-ins of this account are under way, try again"; "该账号正在进行的登录过多, 请重试")),
        }
    }
}

/// Only sessions are refreshed and logged out of; a token for programs is made and revoked by name.
fn refuse_api_token(record: &TokenRecord) -> Result<()> {
    if record.api.is_none() {
        return Ok(());
    }
    Err(fail!(PermissionDenied,
        "an API token is no session: it is revoked by its uuid"; "API 令牌不是会话: 请按其 uuid 吊销"))
}

/// An attempt under way. Dropped without a verdict (overload, store failure, client gone) it does not count.
struct Trial<'a> {
    lock_out: &'a Mutex<LockOut>,
    attempt: Attempt,
    is_judged: bool,
}

impl Trial<'_> {
    fn succeeded(mut self) {
        self.is_judged = true;
        self.lock_out.lock().succeeded(self.attempt);
    }

    fn failed(mut self, now: Timestamp) {
        self.is_judged = true;
        self.lock_out.lock().failed(self.attempt, now);
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if !self.is_judged {
            self.lock_out.lock().withdrawn(self.attempt);
        }
    }
}

#[cfg(test)]
mod tests;
