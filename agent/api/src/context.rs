//! What every handler of every dialect is given: the engine, the accounts, and who is at the other end of the connection.

use crate::accounts::Accounts;
use crate::records::Records;
use hvnode_core::AgentError;
use hvnode_core::engine::Engine;
use hvnode_core::model::Role;
use std::sync::Arc;

/// Shared by all handlers; cheap to clone.
#[derive(Debug, Clone)]
pub struct ApiContext {
    /// The engine.
    pub engine: Engine,
    /// Accounts, sessions, log-in limits.
    pub accounts: Arc<Accounts>,
    /// What only single dialects know.
    pub records: Arc<Records>,
    /// Who answers, for the `stack` field of the native dialect and the like.
    pub node: Arc<NodeIdentity>,
    /// Most bytes of a request body.
    pub body_bytes_max: usize,
}

/// Who answers.
#[derive(Debug, Clone)]
pub struct NodeIdentity {
    /// Address of the node.
    pub ip_address: String,
    /// Process id of the daemon.
    pub process_id: u32,
    /// `hvnoded`.
    pub program: String,
}

/// Who is at the other end of a connection; a request extension put there by the listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// `192.0.2.1`, or `unix`.
    pub address: String,
    /// Set for peers that the configuration lets in without a token: on the unix socket root and group `hvnode`, over TLS the holders of
    /// listed client certificates.
    pub trusted: Option<TrustedPeer>,
    /// Names of a client certificate that is of our authority, and that the configuration does not list: it gets refusals only.
    pub unlisted_certificate: Option<String>,
    /// Did it come over TLS?
    pub is_encrypted: bool,
}

impl Peer {
    /// A peer that is known by its address only.
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: address.into(), trusted: None, unlisted_certificate: None, is_encrypted: false }
    }
}

/// A peer that needs no token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedPeer {
    /// What the operation log calls it: `uid:0`, `cert:controller.example`.
    pub user_name: String,
    /// What it may do.
    pub role: Role,
}

/// The identity of one request; a request extension put there by the frame and echoed in every answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

/// What a dialect wants its result to be counted as, in place of the HTTP status: a response extension that a dialect may set.
/// Dialects that answer HTTP 200 always put their own status number here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultCode(pub u32);

/// The answer is a stream without an end: a response extension that tells the connection to look at what the client takes, not at how
/// long the answer lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongAnswer;

/// How a dialect words what goes wrong outside its handlers: a panic (`Internal`), overload (`TooManyRequests`), a request past its
/// deadline (`Timeout`) or with a body that is too large (`RequestTooLarge`). The frame asks it for the whole answer.
pub trait FrameErrors: Send + Sync + 'static {
    /// The answer to a request that ended in `error`. Must not panic.
    fn respond(&self, error: &AgentError, request_id: &str) -> axum::response::Response;
}
