//! Who may ask for what.

use super::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The only tenant of a node; every object belongs to it.
pub const DEFAULT_TENANT_UUID: Uuid = Uuid::from_u128(0x7d5a_2f1e_0000_4000_8000_0000_0000_0001);
/// Name of [`DEFAULT_TENANT_UUID`].
pub const DEFAULT_TENANT_NAME: &str = "default";

/// What an account may do. Ordered: a later role may do all that an earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything, changes nothing.
    Reader,
    /// Changes VMs and what belongs to them.
    Operator,
    /// Everything, accounts and host settings included.
    Admin,
}

/// A person or a controller that may log in.
#[derive(Clone, Serialize, Deserialize)]
pub struct Account {
    /// Identity.
    pub user_uuid: Uuid,
    /// Log-in name, unique.
    pub user_name: String,
    /// What it may do.
    pub role: Role,
    /// PHC string of `argon2id(sha512_hex(password))`: one store serves clients that send plain and clients that send hashed passwords.
    pub password_hash: String,
    /// When it was made.
    pub create_time: Timestamp,
    /// False: it cannot log in and none of its tokens is valid.
    #[serde(default = "enabled")]
    pub is_enabled: bool,
    /// When role, state or password were changed last; absent where they never were.
    #[serde(default)]
    pub update_time: Option<Timestamp>,
}

/// What accounts from before there was such a flag are.
fn enabled() -> bool {
    true
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("user_name", &self.user_name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// A token as stored: only its hash. One of a session is valid in the dialect that issued it, one for programs in those it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Hexadecimal SHA-256 of the token.
    pub token_hash: String,
    /// Whose it is.
    pub user_uuid: Uuid,
    /// The dialect it was issued by.
    pub dialect: String,
    /// When it was issued.
    pub create_time: Timestamp,
    /// When it stops being valid.
    pub expire_time: Timestamp,
    /// Where it was issued to; empty in records from before this was kept.
    #[serde(default)]
    pub client_address: String,
    /// Set for a token for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiToken>,
}

impl TokenRecord {
    /// The expiry of a token that never expires.
    pub const NEVER: Timestamp = Timestamp(i64::MAX);

    /// May it be used in this dialect?
    pub fn is_for(&self, dialect: &str) -> bool {
        match &self.api {
            Some(api) => api.dialects.iter().any(|own| own == dialect),
            None => self.dialect == dialect,
        }
    }
}

/// What a token for programs has beyond that of a session: it was made by name, for a purpose, and is listed and revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Identity, which is no secret.
    pub token_uuid: Uuid,
    /// Name, unique among the tokens of its account.
    pub token_name: String,
    /// What it may do, as long as its account may do as much.
    pub role: Role,
    /// Dialects it is valid in.
    pub dialects: Vec<String>,
    /// When it was used last.
    pub last_used_time: Option<Timestamp>,
    /// From where.
    pub last_used_address: Option<String>,
}

/// Who asks: carried by every change into its job, its log lines and the operation log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Account, nil for callers known by unix peer credentials.
    pub user_uuid: Uuid,
    /// Account name, or `uid:N` for peer credentials.
    pub user_name: String,
    /// What it may do.
    pub role: Role,
    /// The tenant it works in.
    pub tenant_uuid: Uuid,
    /// Which outward API the request came through.
    pub dialect: String,
    /// Network address, or `unix`.
    pub client_address: String,
    /// Stands in the response, the log lines, the job and the operation log.
    pub request_id: String,
}

impl Caller {
    /// The daemon itself, for changes nobody asked for over an API.
    pub fn system() -> Self {
        Self {
            user_uuid: Uuid::nil(),
            user_name: "hvnoded".into(),
            role: Role::Admin,
            tenant_uuid: DEFAULT_TENANT_UUID,
            dialect: "internal".into(),
            client_address: "internal".into(),
            request_id: String::new(),
        }
    }
}
