//! Tokens for programs: made by name with a role, dialects and an expiry, listed without their secret, revoked one by one.

use super::password::{random_text, sha256_hex};
use super::{Accounts, TOKEN_BYTES};
use hvnode_core::model::{Account, ApiToken, NAME_LENGTH_MAX, Role, Timestamp, TokenRecord, check_name};
use hvnode_core::port::{Durability, Write};
use hvnode_core::{AgentError, Result, at, fail};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Begins every token for programs, so that programs that look for secrets in the wrong places find it.
const PREFIX: &str = "hvn_";

/// What a token for programs is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Name, unique among the tokens of its account.
    pub token_name: String,
    /// What it may do; at most what its account may.
    pub role: Role,
    /// Dialects it is valid in.
    pub dialects: Vec<String>,
    /// How long it is valid; `None`: for ever, where the configuration has that.
    pub lifetime: Option<Duration>,
}

/// A token for programs as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenDetail {
    /// Whose it is.
    pub user_uuid: Uuid,
    /// Name of that account.
    pub user_name: String,
    /// What it may do now: its own role, or that of its account where that is less.
    pub role: Role,
    /// When it was made.
    pub create_time: Timestamp,
    /// When it stops being valid; `None`: never.
    pub expire_time: Option<Timestamp>,
    /// The rest, with the newest use.
    pub api: ApiToken,
}

impl Accounts {
    /// Makes a token. The text is given once and kept nowhere.
    ///
    /// # Errors
    /// `ParameterInvalid` naming the field, `UserNotExist`, `UserDisabled`, `PermissionDenied` (more than the account may), `AlreadyExist`,
    /// `TooManyRequests` (too many), `StoreFailed`.
    pub async fn create_token(&self, user_uuid: Uuid, new: NewToken) -> Result<(String, TokenDetail)> {
        let config = self.config.load_full();
        check_token_name(&new.token_name)?;
        if new.dialects.is_empty() {
            return Err(fail!(ParameterInvalid, "dialects must name at least one"; "dialects 至少需要一项"));
        }
        match new.lifetime {
            None if !config.has_endless_api_tokens => return Err(endless()),
            Some(lifetime) if lifetime > config.api_token_lifetime_max || lifetime.is_zero() => {
                return Err(lifetime_error(config.api_token_lifetime_max));
            }
            _ => {}
        }
        let _turn = self.turn.lock().await;
        let account = self.account(user_uuid).ok_or_else(|| fail!(UserNotExist))?;
        if !account.is_enabled {
            return Err(fail!(UserDisabled));
        }
        if new.role > account.role {
            return Err(fail!(PermissionDenied, "role must not be more than that of its account"; "role 不能高于所属账号的角色"));
        }
        let (number, is_taken) = {
            let sessions = self.sessions.read();
            let own = || sessions.of(user_uuid).filter_map(|record| record.api.as_ref());
            (own().count(), own().any(|api| api.token_name == new.token_name))
        };
        if is_taken {
            return Err(fail!(AlreadyExist, "token_name is taken by another token of this account"; "token_name 已被该账号的其他令牌使用"));
        }
        let most = config.api_tokens_per_user_max;
        if number >= most {
            return Err(
                fail!(TooManyRequests, "the account has {most} tokens already, revoke one first"; "该账号已有 {most} 个令牌, 请先吊销"),
            );
        }
        let secret = format!("{PREFIX}{}", random_text(TOKEN_BYTES));
        let create_time = self.clock.now();
        let record = TokenRecord {
            token_hash: sha256_hex(&secret),
            user_uuid,
            dialect: String::new(),
            create_time,
            expire_time: new.lifetime.map_or(TokenRecord::NEVER, |lifetime| create_time.plus(lifetime)),
            client_address: String::new(),
            api: Some(ApiToken {
                token_uuid: Uuid::new_v4(),
                token_name: new.token_name,
                role: new.role,
                dialects: new.dialects,
                last_used_time: None,
                last_used_address: None,
            }),
        };
        self.store.commit(vec![Write::PutToken(record.clone())], Durability::Durable).await.map_err(at!())?;
        let detail = self.detail(&record, &account).ok_or_else(|| fail!(Internal))?;
        self.sessions.write().insert(Arc::new(record));
        Ok((secret, detail))
    }

    /// Every token for programs, of one account or of all.
    pub fn list_tokens(&self, user_uuid: Option<Uuid>) -> Vec<TokenDetail> {
        let sessions = self.sessions.read();
        let wanted = sessions.for_programs().filter(|record| user_uuid.is_none_or(|uuid| uuid == record.user_uuid));
        wanted.filter_map(|record| self.detail(record, &*self.account(record.user_uuid)?)).collect()
    }

    /// Revokes a token. Gives what it was.
    ///
    /// # Errors
    /// `TokenNotExist`, also where it belongs to another than `owner`; `StoreFailed`.
    pub async fn delete_token(&self, token_uuid: Uuid, owner: Option<Uuid>) -> Result<TokenDetail> {
        let _turn = self.turn.lock().await;
        let is_it = |record: &&Arc<TokenRecord>| {
            record.api.as_ref().is_some_and(|api| api.token_uuid == token_uuid) && owner.is_none_or(|owner| owner == record.user_uuid)
        };
        let record = self.sessions.read().for_programs().find(is_it).cloned().ok_or_else(|| fail!(TokenNotExist))?;
        let detail = self.account(record.user_uuid).and_then(|account| self.detail(&record, &account));
        let detail = detail.ok_or_else(|| fail!(TokenNotExist))?;
        self.store.commit(vec![Write::DeleteToken(record.token_hash.clone())], Durability::Durable).await.map_err(at!())?;
        self.sessions.write().remove(&record.token_hash);
        self.uses.lock().remove(&token_uuid);
        Ok(detail)
    }

    /// Is this the text of a token for programs?
    pub fn is_api_token(&self, token: &str) -> bool {
        self.sessions.read().get(&sha256_hex(token)).is_some_and(|record| record.api.is_some())
    }

    /// Writes down when tokens were used last. Called now and then, and at the end.
    ///
    /// # Errors
    /// `StoreFailed`; the uses stay for the next time.
    pub async fn flush_uses(&self) -> Result<()> {
        let _turn = self.turn.lock().await;
        let uses = std::mem::take(&mut *self.uses.lock());
        if uses.is_empty() {
            return Ok(());
        }
        let used = |record: &Arc<TokenRecord>| {
            let mut record = TokenRecord::clone(record);
            let api = record.api.as_mut()?;
            let (time, address) = uses.get(&api.token_uuid)?.clone();
            (api.last_used_time, api.last_used_address) = (Some(time), Some(address));
            Some(record)
        };
        let records: Vec<TokenRecord> = self.sessions.read().for_programs().filter_map(used).collect();
        let outcome = self.store.commit(records.iter().cloned().map(Write::PutToken).collect(), Durability::Relaxed).await;
        if let Err(error) = outcome {
            let mut kept = self.uses.lock();
            for (token_uuid, seen) in uses {
                kept.entry(token_uuid).or_insert(seen);
            }
            return Err(error.passing(hvnode_core::here!()));
        }
        let mut sessions = self.sessions.write();
        records.into_iter().for_each(|record| sessions.insert(Arc::new(record)));
        Ok(())
    }

    fn detail(&self, record: &TokenRecord, account: &Account) -> Option<TokenDetail> {
        let mut api = record.api.clone()?;
        if let Some((time, address)) = self.uses.lock().get(&api.token_uuid) {
            (api.last_used_time, api.last_used_address) = (Some(*time), Some(address.clone()));
        }
        Some(TokenDetail {
            user_uuid: account.user_uuid,
            user_name: account.user_name.clone(),
            role: api.role.min(account.role),
            create_time: record.create_time,
            expire_time: (record.expire_time != TokenRecord::NEVER).then_some(record.expire_time),
            api,
        })
    }
}

fn check_token_name(name: &str) -> Result<()> {
    check_name(name).map_err(|_| {
        fail!(ParameterInvalid,
            "token_name must have 1 to {NAME_LENGTH_MAX} letters, digits, spaces and _ - . + @ : ( ), none of . - and space at its start";
            "token_name 须为 1 到 {NAME_LENGTH_MAX} 个字母、数字、空格或 _ - . + @ : ( ), 且不能以 . - 或空格开头")
    })
}

fn endless() -> AgentError {
    fail!(ParameterInvalid,
        "lifetime_seconds must not be 0: tokens without an end are off (auth.api_tokens_without_expiry)";
        "lifetime_seconds 不能为 0: 未启用永久令牌 (auth.api_tokens_without_expiry)")
}

fn lifetime_error(longest: Duration) -> AgentError {
    let seconds = longest.as_secs();
    fail!(ParameterInvalid,
        "lifetime_seconds must be from 1 to {seconds} (auth.api_token_days_max)";
        "lifetime_seconds 须在 1 到 {seconds} 之间 (auth.api_token_days_max)")
}
