//! Accounts, sessions and log-in limits.
//!
//! Everything that a request needs is in memory; the store is written before a change counts. Tokens are kept as SHA-256 only, passwords
//! as `argon2id(sha512_hex(password))`: one store serves clients that send plain and clients that send hashed passwords.

mod lockout;
mod password;
mod sessions;

use crate::context::TrustedPeer;
use arc_swap::ArcSwap;
use argon2::Params;
use hvnode_core::model::{Account, Caller, DEFAULT_TENANT_UUID, NameFault, Role, Timestamp, TokenRecord, check_name};
use hvnode_core::port::{Clock, Durability, Store, Write};
use hvnode_core::{Result, at, fail};
use lockout::{AttemptKey, LockOut, Refusal};
use parking_lot::{Mutex, RwLock};
pub use password::Password;
use password::{PasswordHasherPool, random_text, sha256_hex};
use sessions::{EXPIRED_KEPT, Session, Sessions};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;
/// Random bytes of a password that the daemon makes.
const PASSWORD_BYTES: usize = 18;
/// Longest token text that is looked at.
const TOKEN_LENGTH_MAX: usize = 256;
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
    /// For how long.
    pub login_lock_time: Duration,
}

impl Default for AccountsConfig {
    fn default() -> Self {
        Self {
            token_lifetime: Duration::from_secs(12 * 3600),
            token_lifetime_of: BTreeMap::new(),
            tokens_per_user_max: 64,
            login_failures_max: 5,
            login_lock_time: Duration::from_secs(300),
        }
    }
}

/// Accounts, sessions and log-in limits.
pub struct Accounts {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    config: ArcSwap<AccountsConfig>,
    hasher: PasswordHasherPool,
    /// By name. Few, and written almost never.
    accounts: RwLock<BTreeMap<String, Arc<Account>>>,
    sessions: RwLock<Sessions>,
    lock_out: Mutex<LockOut>,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").field("accounts", &self.accounts.read().len()).field("sessions", &self.sessions.read().len()).finish()
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
        let accounts: Vec<Arc<Account>> = accounts.into_iter().map(Arc::new).collect();
        let sessions = Sessions::new(tokens, |uuid| accounts.iter().find(|account| account.user_uuid == uuid).cloned());
        let mut by_name = BTreeMap::new();
        for account in accounts {
            let name = account.user_name.clone();
            if by_name.insert(name.clone(), account).is_some() {
                return Err(fail!(StoreFailed, "two accounts are named {name:?}"; "存在两个名为 {name:?} 的账号"));
            }
        }
        Ok(Arc::new(Self {
            store,
            clock,
            config: ArcSwap::from_pointee(config),
            hasher: PasswordHasherPool::new(params),
            accounts: RwLock::new(by_name),
            sessions: RwLock::new(sessions),
            lock_out: Mutex::default(),
        }))
    }

    /// Other limits from now on; tokens already issued keep their time.
    pub fn reconfigure(&self, config: AccountsConfig) {
        self.config.store(Arc::new(config));
    }

    /// A password nobody can guess, for an account that the daemon makes.
    pub fn random_password() -> String {
        random_text(PASSWORD_BYTES)
    }

    /// Makes an account.
    ///
    /// # Errors
    /// `ParameterInvalid` (name, empty password), `UserAlreadyExist`, `StoreFailed`.
    pub async fn create_account(&self, user_name: &str, role: Role, password: &str) -> Result<Arc<Account>> {
        check_name(user_name).map_err(|fault| name_error(user_name, fault))?;
        if password.is_empty() {
            return Err(fail!(ParameterInvalid, "password: must not be empty"; "password: 不能为空"));
        }
        if self.accounts.read().contains_key(user_name) {
            return Err(fail!(UserAlreadyExist));
        }
        let account = Arc::new(Account {
            user_uuid: Uuid::new_v4(),
            user_name: user_name.to_owned(),
            role,
            password_hash: self.hasher.hash(password).await.map_err(at!())?,
            create_time: self.clock.now(),
        });
        self.store.commit(vec![Write::PutAccount(account.clone())], Durability::Durable).await.map_err(at!())?;
        self.accounts.write().insert(account.user_name.clone(), account.clone());
        Ok(account)
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
        let key = AttemptKey::new(user_name, client);
        let attempt = self.begin_attempt(key)?;
        let account = self.accounts.read().get(user_name).cloned();
        let is_right = self.hasher.verify(password, account.as_deref().map(|a| a.password_hash.as_str())).await.map_err(at!())?;
        let account = match account {
            Some(account) if is_right => account,
            known => {
                attempt.failed();
                return Err(if known.is_some() { fail!(PasswordWrong) } else { fail!(UserNotExist) });
            }
        };
        let issued = self.issue(dialect, account, form, None).await.map_err(at!())?;
        attempt.succeeded();
        Ok(issued)
    }

    /// What is known of a valid token.
    ///
    /// # Errors
    /// `TokenInvalid`, `TokenExpired`.
    pub fn token(&self, dialect: &str, token: &str) -> Result<IssuedToken> {
        let Session { account, record } = self.session(dialect, token)?;
        Ok(IssuedToken { token: token.to_owned(), account, create_time: record.create_time, expire_time: record.expire_time })
    }

    /// Exchanges a valid token for a new one; the old one ends.
    ///
    /// # Errors
    /// `TokenInvalid`, `TokenExpired`, `StoreFailed`.
    pub async fn refresh(&self, dialect: &str, token: &str) -> Result<IssuedToken> {
        let session = self.session(dialect, token)?;
        self.issue(dialect, session.account, TokenForm::Text, Some(&session.record.token_hash)).await.map_err(at!())
    }

    /// Ends a token; fine if it is not known.
    ///
    /// # Errors
    /// `StoreFailed`.
    pub async fn log_out(&self, dialect: &str, token: &str) -> Result<()> {
        let hash = sha256_hex(token);
        if self.sessions.read().get(&hash).is_none_or(|session| session.record.dialect != dialect) {
            return Ok(());
        }
        self.store.commit(vec![Write::DeleteToken(hash.clone())], Durability::Durable).await.map_err(at!())?;
        self.sessions.write().remove(&hash);
        Ok(())
    }

    /// Who holds this token. Never blocks.
    ///
    /// # Errors
    /// `TokenInvalid`, `TokenExpired`.
    pub fn authenticate(&self, dialect: &str, token: &str, client_address: &str, request_id: &str) -> Result<Caller> {
        let Session { account, .. } = self.session(dialect, token)?;
        Ok(Caller {
            user_uuid: account.user_uuid,
            user_name: account.user_name.clone(),
            role: account.role,
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
        let mut accounts: Vec<_> = self.accounts.read().values().cloned().collect();
        accounts.sort_by_key(|account| (account.create_time, account.user_uuid));
        accounts
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

    fn session(&self, dialect: &str, token: &str) -> Result<Session> {
        if token.is_empty() || token.len() > TOKEN_LENGTH_MAX {
            return Err(fail!(TokenInvalid));
        }
        let session = self.sessions.read().get(&sha256_hex(token)).cloned();
        let Some(session) = session.filter(|session| session.record.dialect == dialect) else {
            return Err(fail!(TokenInvalid));
        };
        if session.record.expire_time <= self.clock.now() {
            return Err(fail!(TokenExpired));
        }
        Ok(session)
    }

    async fn issue(&self, dialect: &str, account: Arc<Account>, form: TokenForm, replaced: Option<&str>) -> Result<IssuedToken> {
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
        };
        let mut ended = self.sessions.read().surplus(account.user_uuid, config.tokens_per_user_max.max(1));
        ended.extend(replaced.map(str::to_owned));
        let mut writes: Vec<Write> = ended.iter().cloned().map(Write::DeleteToken).collect();
        writes.push(Write::PutToken(record.clone()));
        self.store.commit(writes, Durability::Relaxed).await.map_err(at!())?;
        let mut sessions = self.sessions.write();
        for hash in ended {
            sessions.remove(&hash);
        }
        sessions.insert(Session { account: account.clone(), record: Arc::new(record) });
        Ok(IssuedToken { token, account, create_time, expire_time })
    }

    fn begin_attempt(&self, key: AttemptKey) -> Result<Attempt<'_>> {
        let config = self.config.load();
        let outcome = self.lock_out.lock().begin(key, self.clock.now(), config.login_failures_max, config.login_lock_time);
        match outcome {
            Ok(()) => Ok(Attempt { lock_out: &self.lock_out, key, is_judged: false }),
            Err(Refusal::Locked) => Err(fail!(UserLocked)),
            Err(Refusal::TableFull) => Err(fail!(TooManyRequests, "too many failed log-ins"; "登录失败次数过多")),
        }
    }
}

/// An attempt under way. Dropped without a verdict (overload, store failure, client gone) it does not count.
struct Attempt<'a> {
    lock_out: &'a Mutex<LockOut>,
    key: AttemptKey,
    is_judged: bool,
}

impl Attempt<'_> {
    fn succeeded(mut self) {
        self.is_judged = true;
        self.lock_out.lock().succeed(self.key);
    }

    /// It was counted when it began.
    fn failed(mut self) {
        self.is_judged = true;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_judged {
            self.lock_out.lock().withdraw(self.key);
        }
    }
}

fn name_error(user_name: &str, fault: NameFault) -> hvnode_core::AgentError {
    let length = user_name.chars().count();
    match fault {
        NameFault::Character(c) => fail!(ParameterInvalid, "user_name: character {c:?} is not allowed"; "user_name: 不允许字符 {c:?}"),
        _ => fail!(ParameterInvalid,
            "user_name: 1 to 128 characters, no white space at the ends, no leading '.' or '-'; it has {length}";
            "user_name: 1 到 128 个字符, 首尾不能是空白, 不能以 '.' 或 '-' 开头; 实际 {length} 个"),
    }
}

#[cfg(test)]
mod tests;
