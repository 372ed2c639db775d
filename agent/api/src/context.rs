//! What every handler of every dialect is given: the engine, the accounts, and who is at the other end of the connection.

use crate::accounts::Accounts;
use crate::records::Records;
use hvnode_core::AgentError;
use hvnode_core::engine::Engine;
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
    /// Set on the unix socket for peers that the configuration lets in without a token (root, group `hvnode`).
    pub trusted_user: Option<String>,
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
