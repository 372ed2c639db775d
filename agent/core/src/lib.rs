//! What a node is made of and every change it can make.
//!
//! No HTTP, no libvirt and no SQL in here: the outside is reached through the traits in [`port`]. Imports point one way:
//! `model` ← `error` ← `port` ← `verb` ← `engine`; a test of the workspace holds that true.

pub mod engine;
pub mod error;
pub mod fake;
pub mod model;
pub mod port;
pub mod verb;

pub use error::{AgentError, ErrorCode};

/// The result of nearly everything in this workspace.
pub type Result<T, E = AgentError> = std::result::Result<T, E>;
