//! Tokens in memory: who holds which, bounded per account.

use super::lockout::AttemptKey;
use hvnode_core::model::{Timestamp, TokenRecord};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long an expired token is remembered, so that its holder is told "expired" and not "invalid".
pub(super) const EXPIRED_KEPT: Duration = Duration::from_secs(3600);

/// All tokens, of sessions and for programs, by their hash.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_hash: HashMap<String, Arc<TokenRecord>>,
    /// Oldest first.
    hashes_of: HashMap<Uuid, Vec<String>>,
}

impl Sessions {
    /// From the store; tokens of accounts that are gone are left out.
    pub(super) fn new(tokens: Vec<TokenRecord>, is_account: impl Fn(Uuid) -> bool) -> Self {
        let mut sessions = Self::default();
        let mut tokens = tokens;
        tokens.sort_by_key(|token| token.create_time);
        for record in tokens.into_iter().filter(|record| is_account(record.user_uuid)) {
            sessions.insert(Arc::new(record));
        }
        sessions
    }

    pub(super) fn get(&self, token_hash: &str) -> Option<&Arc<TokenRecord>> {
        self.by_hash.get(token_hash)
    }

    /// Inserts, or replaces what has the same hash.
    pub(super) fn insert(&mut self, record: Arc<TokenRecord>) {
        let hash = record.token_hash.clone();
        let user_uuid = record.user_uuid;
        if self.by_hash.insert(hash.clone(), record).is_none() {
            self.hashes_of.entry(user_uuid).or_default().push(hash);
        }
    }

    pub(super) fn remove(&mut self, token_hash: &str) {
        let Some(record) = self.by_hash.remove(token_hash) else { return };
        if let Some(hashes) = self.hashes_of.get_mut(&record.user_uuid) {
            hashes.retain(|hash| hash != token_hash);
            if hashes.is_empty() {
                self.hashes_of.remove(&record.user_uuid);
            }
        }
    }

    /// Every token of an account, oldest first.
    pub(super) fn of(&self, user_uuid: Uuid) -> impl Iterator<Item = &Arc<TokenRecord>> {
        self.hashes_of.get(&user_uuid).into_iter().flatten().filter_map(|hash| self.by_hash.get(hash))
    }

    /// Every token for programs.
    pub(super) fn for_programs(&self) -> impl Iterator<Item = &Arc<TokenRecord>> {
        self.by_hash.values().filter(|record| record.api.is_some())
    }

    /// Has this account a session that was opened from there?
    pub(super) fn is_known(&self, user_uuid: Uuid, client_address: &str) -> bool {
        let place = AttemptKey::new("", client_address);
        let is_from_there = |record: &Arc<TokenRecord>| {
            record.api.is_none() && !record.client_address.is_empty() && AttemptKey::new("", &record.client_address) == place
        };
        self.of(user_uuid).any(is_from_there)
    }

    /// Hashes of the oldest sessions that must go so that the account can have one more.
    pub(super) fn surplus(&self, user_uuid: Uuid, sessions_max: usize) -> Vec<String> {
        let sessions: Vec<_> = self.of(user_uuid).filter(|record| record.api.is_none()).collect();
        let surplus = (sessions.len() + 1).saturating_sub(sessions_max);
        sessions.into_iter().take(surplus).map(|record| record.token_hash.clone()).collect()
    }

    /// Forgets what expired before `before`.
    pub(super) fn prune(&mut self, before: Timestamp) -> usize {
        let gone: Vec<String> =
            self.by_hash.values().filter(|record| record.expire_time < before).map(|record| record.token_hash.clone()).collect();
        for hash in &gone {
            self.remove(hash);
        }
        gone.len()
    }

    pub(super) fn len(&self) -> usize {
        self.by_hash.len()
    }
}
