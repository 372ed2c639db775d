//! Accounts, sessions and log-in limits.

use hvnode_core::Result;
use hvnode_core::model::{Account, Caller, Timestamp};
use std::sync::Arc;

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

/// Accounts, sessions and log-in limits.
#[derive(Debug)]
pub struct Accounts {}

impl Accounts {
    /// Checks name and plain password and issues a token valid in `dialect` only.
    ///
    /// # Errors
    /// `UserNotExist`, `PasswordWrong`, `UserLocked` (too many failures), `TooManyRequests`, `StoreFailed`.
    pub async fn log_in(&self, _dialect: &str, _client_address: &str, _user_name: &str, _password: &str) -> Result<IssuedToken> {
        unreachable!()
    }

    /// Exchanges a valid token for a new one; the old one ends.
    ///
    /// # Errors
    /// `TokenInvalid`, `TokenExpired`, `StoreFailed`.
    pub async fn refresh(&self, _dialect: &str, _token: &str) -> Result<IssuedToken> {
        unreachable!()
    }

    /// Ends a token; fine if it is not known.
    ///
    /// # Errors
    /// `StoreFailed`.
    pub async fn log_out(&self, _dialect: &str, _token: &str) -> Result<()> {
        unreachable!()
    }

    /// Who holds this token. Never blocks.
    ///
    /// # Errors
    /// `TokenInvalid`, `TokenExpired`.
    pub fn authenticate(&self, _dialect: &str, _token: &str, _client_address: &str, _request_id: &str) -> Result<Caller> {
        unreachable!()
    }

    /// A caller for a peer that the unix socket lets in without a token.
    pub fn trusted_caller(&self, _dialect: &str, _user: &str, _request_id: &str) -> Caller {
        unreachable!()
    }

    /// Every account, for listings.
    pub fn list(&self) -> Vec<Arc<Account>> {
        unreachable!()
    }
}
