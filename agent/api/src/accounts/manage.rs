//! Making, changing and removing accounts. Every change of what an account may do ends its sessions, in every dialect at once.

use super::rules::check_password;
use super::{Accounts, Password};
use hvnode_core::model::{Account, NameFault, Role, check_name};
use hvnode_core::port::{Durability, Write};
use hvnode_core::{AgentError, Result, at, fail};
use std::sync::Arc;
use uuid::Uuid;

/// Most accounts.
const ACCOUNTS_MAX: usize = 1000;

/// What is to change of an account; absent fields stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// What it may do from now on.
    pub role: Option<Role>,
    /// May it log in?
    pub is_enabled: Option<bool>,
}

impl Accounts {
    /// Makes an account with a password that obeys the rules.
    ///
    /// # Errors
    /// `ParameterInvalid` (name, password), `UserAlreadyExist`, `TooManyRequests` (too many accounts), `StoreFailed`.
    pub async fn add_account(&self, user_name: &str, role: Role, password: &str) -> Result<Arc<Account>> {
        self.check_password("password", user_name, password)?;
        self.create_account(user_name, role, password).await
    }

    /// The same with any password, for the account that a first start makes.
    ///
    /// # Errors
    /// As [`Accounts::add_account`].
    pub async fn create_account(&self, user_name: &str, role: Role, password: &str) -> Result<Arc<Account>> {
        check_name(user_name).map_err(|fault| name_error(user_name, fault))?;
        if password.is_empty() {
            return Err(fail!(ParameterInvalid, "password: must not be empty"; "password: 不能为空"));
        }
        let password_hash = self.hasher.hash(password).await.map_err(at!())?;
        let _turn = self.turn.lock().await;
        let (is_taken, number) = {
            let directory = self.directory.read();
            (directory.by_name.contains_key(user_name), directory.by_uuid.len())
        };
        if is_taken {
            return Err(fail!(UserAlreadyExist));
        }
        if number >= ACCOUNTS_MAX {
            return Err(fail!(TooManyRequests, "there are {ACCOUNTS_MAX} accounts already"; "账号数已达上限 {ACCOUNTS_MAX}"));
        }
        let account = Account {
            user_uuid: Uuid::new_v4(),
            user_name: user_name.to_owned(),
            role,
            password_hash,
            create_time: self.clock.now(),
            is_enabled: true,
            update_time: None,
        };
        self.put(account, Vec::new()).await.map_err(at!())
    }

    /// Does this password obey the rules for this account?
    ///
    /// # Errors
    /// `ParameterInvalid` naming `field`.
    pub fn check_password(&self, field: &str, user_name: &str, password: &str) -> Result<()> {
        check_password(field, user_name, password, self.config.load().password_length_min)
    }

    /// Changes role or state. Less than before ends the account's sessions; tokens for programs can do no more than their account.
    ///
    /// # Errors
    /// `UserNotExist`, `UserLastAdmin`, `StoreFailed`.
    pub async fn change_account(&self, user_uuid: Uuid, change: AccountChange) -> Result<Arc<Account>> {
        let _turn = self.turn.lock().await;
        let former = self.account(user_uuid).ok_or_else(|| fail!(UserNotExist))?;
        let role = change.role.unwrap_or(former.role);
        let is_enabled = change.is_enabled.unwrap_or(former.is_enabled);
        if (role, is_enabled) == (former.role, former.is_enabled) {
            return Ok(former);
        }
        if role < Role::Admin || !is_enabled {
            self.check_not_last_admin(&former)?;
        }
        let ended = if role < former.role || !is_enabled { self.sessions_of(user_uuid, false) } else { Vec::new() };
        let account = Account { role, is_enabled, update_time: Some(self.clock.now()), ..Account::clone(&former) };
        self.put(account, ended).await.map_err(at!())
    }

    /// Sets another password and ends the account's sessions, with `ends_tokens` also its tokens for programs.
    ///
    /// # Errors
    /// `ParameterInvalid` (the rules), `UserNotExist`, `StoreFailed`.
    pub async fn set_password(&self, user_uuid: Uuid, password: &str, ends_tokens: bool) -> Result<()> {
        let former = self.account(user_uuid).ok_or_else(|| fail!(UserNotExist))?;
        self.check_password("password", &former.user_name, password)?;
        let password_hash = self.hasher.hash(password).await.map_err(at!())?;
        let _turn = self.turn.lock().await;
        let present = self.account(user_uuid).ok_or_else(|| fail!(UserNotExist))?;
        let account = Account { password_hash, update_time: Some(self.clock.now()), ..Account::clone(&present) };
        self.put(account, self.sessions_of(user_uuid, ends_tokens)).await.map(drop).map_err(at!())
    }

    /// Is this the password of the account? Wrong answers count like wrong log-ins from there.
    ///
    /// # Errors
    /// `PasswordWrong`, `UserNotExist`, `UserLocked`, `TooManyRequests`.
    pub async fn verify_password(&self, user_uuid: Uuid, client_address: &str, password: &str) -> Result<()> {
        let account = self.account(user_uuid).ok_or_else(|| fail!(UserNotExist))?;
        let attempt = self.begin_attempt(super::Attempt::new(&account.user_name, client_address, true))?;
        if self.hasher.verify(Password::Plain(password), Some(&account.password_hash)).await.map_err(at!())? {
            attempt.succeeded();
            return Ok(());
        }
        attempt.failed(self.clock.now());
        Err(fail!(PasswordWrong))
    }

    /// Removes an account and all its tokens.
    ///
    /// # Errors
    /// `UserNotExist`, `UserLastAdmin`, `StoreFailed`.
    pub async fn delete_account(&self, user_uuid: Uuid) -> Result<Arc<Account>> {
        let _turn = self.turn.lock().await;
        let account = self.account(user_uuid).ok_or_else(|| fail!(UserNotExist))?;
        self.check_not_last_admin(&account)?;
        self.store.commit(vec![Write::DeleteAccount(user_uuid)], Durability::Durable).await.map_err(at!())?;
        let ended = self.sessions_of(user_uuid, true);
        self.directory.write().remove(user_uuid);
        self.known.lock().remove(&user_uuid);
        let mut sessions = self.sessions.write();
        ended.iter().for_each(|hash| sessions.remove(hash));
        Ok(account)
    }

    /// Somebody must be left who may manage accounts.
    fn check_not_last_admin(&self, account: &Account) -> Result<()> {
        let is_admin = |account: &Account| account.role == Role::Admin && account.is_enabled;
        let is_other = |other: &Arc<Account>| other.user_uuid != account.user_uuid && is_admin(other);
        if !is_admin(account) || self.directory.read().by_uuid.values().any(is_other) {
            return Ok(());
        }
        let name = &account.user_name;
        Err(fail!(UserLastAdmin,
            "{name} stays: make another admin first"; "不能删除、降级或停用 {name}: 请先创建另一个管理员"))
    }

    fn sessions_of(&self, user_uuid: Uuid, with_api_tokens: bool) -> Vec<String> {
        let sessions = self.sessions.read();
        sessions.of(user_uuid).filter(|record| with_api_tokens || record.api.is_none()).map(|record| record.token_hash.clone()).collect()
    }

    /// Writes an account and the end of tokens in one commit, then into memory. The caller holds the turn.
    async fn put(&self, account: Account, ended: Vec<String>) -> Result<Arc<Account>> {
        let account = Arc::new(account);
        let mut writes = vec![Write::PutAccount(account.clone())];
        writes.extend(ended.iter().cloned().map(Write::DeleteToken));
        self.store.commit(writes, Durability::Durable).await.map_err(at!())?;
        self.directory.write().put(account.clone());
        let mut sessions = self.sessions.write();
        ended.iter().for_each(|hash| sessions.remove(hash));
        Ok(account)
    }
}

fn name_error(user_name: &str, fault: NameFault) -> AgentError {
    let length = user_name.chars().count();
    match fault {
        NameFault::Character(c) => fail!(ParameterInvalid, "user_name: character {c:?} is not allowed"; "user_name: 不允许字符 {c:?}"),
        _ => fail!(ParameterInvalid,
            "user_name: 1 to 128 characters, no white space at the ends, no leading '.' or '-'; it has {length}";
            "user_name: 1 到 128 个字符, 首尾不能是空白, 不能以 '.' 或 '-' 开头; 实际 {length} 个"),
    }
}
