//! What only one outward API knows: its zones, key pairs, tags. The node keeps it and understands nothing of it.

use super::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One object of a dialect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DialectRecord {
    /// Whose.
    pub key: DialectKey,
    /// What it is; the dialect alone reads it.
    pub value: Value,
    /// When it was made.
    pub create_time: Timestamp,
    /// When it was last written.
    pub update_time: Timestamp,
}

/// Identity of a [`DialectRecord`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DialectKey {
    /// `openstack`, `zstack`, `chimestack`.
    pub dialect: String,
    /// The dialect's word: `zone`, `keypair`, …
    pub kind: String,
    /// Unique among its kind.
    pub id: String,
}
