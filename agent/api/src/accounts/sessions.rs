//! Tokens in memory: who holds which, bounded per account.

use hvnode_core::model::{Account, Timestamp, TokenRecord};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long an expired token is remembered, so that its holder is told "expired" and not "invalid".
pub(super) const EXPIRED_KEPT: Duration = Duration::from_secs(3600);

/// One valid or recently expired token.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) account: Arc<Account>,
    pub(super) record: Arc<TokenRecord>,
}

/// All tokens by their hash.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_hash: HashMap<String, Session>,
    hashes_of: HashMap<Uuid, Vec<String>>,
}

impl Sessions {
    /// From the store; tokens of accounts that are gone are left out.
    pub(super) fn new(tokens: Vec<TokenRecord>, account_of: impl Fn(Uuid) -> Option<Arc<Account>>) -> Self {
        let mut sessions = Self::default();
        let mut tokens = tokens;
        tokens.sort_by_key(|token| token.create_time);
        for record in tokens {
            if let Some(account) = account_of(record.user_uuid) {
                sessions.insert(Session { account, record: Arc::new(record) });
            }
        }
        sessions
    }

    pub(super) fn get(&self, token_hash: &str) -> Option<&Session> {
        self.by_hash.get(token_hash)
    }

    pub(super) fn insert(&mut self, session: Session) {
        let hash = session.record.token_hash.clone();
        self.hashes_of.entry(session.record.user_uuid).or_default().push(hash.clone());
        self.by_hash.insert(hash, session);
    }

    pub(super) fn remove(&mut self, token_hash: &str) -> Option<Session> {
        let session = self.by_hash.remove(token_hash)?;
        if let Some(hashes) = self.hashes_of.get_mut(&session.record.user_uuid) {
            hashes.retain(|hash| hash != token_hash);
            if hashes.is_empty() {
                self.hashes_of.remove(&session.record.user_uuid);
            }
        }
        Some(session)
    }

    /// Hashes of the oldest tokens that must go so that the account can have one more.
    pub(super) fn surplus(&self, user_uuid: Uuid, tokens_max: usize) -> Vec<String> {
        let hashes = self.hashes_of.get(&user_uuid).map_or(&[][..], Vec::as_slice);
        let surplus = (hashes.len() + 1).saturating_sub(tokens_max);
        hashes[..surplus.min(hashes.len())].to_vec()
    }

    /// Forgets what expired before `before`.
    pub(super) fn prune(&mut self, before: Timestamp) -> usize {
        let gone: Vec<String> = self.by_hash.iter().filter(|(_, s)| s.record.expire_time < before).map(|(hash, _)| hash.clone()).collect();
        for hash in &gone {
            self.remove(hash);
        }
        gone.len()
    }

    pub(super) fn len(&self) -> usize {
        self.by_hash.len()
    }
}
