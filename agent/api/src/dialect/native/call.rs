//! What a handler is given and what it gives back.

use super::envelope::{Data, NativeOptions};
use crate::context::ApiContext;
use futures_util::future::BoxFuture;
use hvnode_core::AgentError;
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{Caller, Readings};
use serde_json::{Map, Value};
use std::sync::Arc;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Name of this dialect in callers, tokens and the operation log.
pub(super) const DIALECT: &str = "native";

/// One authenticated request.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// Engine, accounts, identity of the node.
    pub(super) context: ApiContext,
    /// How answers look.
    pub(super) options: NativeOptions,
    /// Who asks.
    pub(super) caller: Caller,
    /// The token it came with; none from trusted peers and at log-in.
    pub(super) token: Option<String>,
    /// The route, as in the operation log.
    pub(super) path: &'static str,
    /// Answers that may still wait for an event.
    pub(super) long_polls: Arc<Semaphore>,
}

impl Call {
    /// The current picture of the node.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.context.engine.snapshot()
    }

    /// The latest samples of host and VMs.
    pub(super) fn readings(&self) -> Arc<Readings> {
        self.context.engine.readings()
    }
}

/// An error on its way out, with what only the outermost layer needs.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) error: AgentError,
    /// True where the operation log has it already.
    pub(super) is_recorded: bool,
    /// The job that failed, where one was accepted.
    pub(super) job_uuid: Option<Uuid>,
}

impl Failure {
    /// An error that the engine has written into the operation log.
    pub(super) fn recorded(error: AgentError) -> Self {
        Self { error, is_recorded: true, job_uuid: None }
    }

    /// The end of an accepted job.
    pub(super) fn of_job(error: AgentError, job_uuid: Uuid) -> Self {
        Self { error, is_recorded: true, job_uuid: Some(job_uuid) }
    }
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        Self { error, is_recorded: false, job_uuid: None }
    }
}

/// What a handler ends with.
pub(super) type Outcome = std::result::Result<Data, Failure>;

/// A handler with its types worn off: the parameters come as one object.
pub(super) type Handler = Box<dyn Fn(Call, Map<String, Value>) -> BoxFuture<'static, Outcome> + Send + Sync>;
