//! What a handler is given, what it gives back, and how it asks the engine for changes.

use super::ChimeStackOptions;
use super::errors::Failure;
use super::input::Input;
use super::node::Node;
use super::route::Route;
use crate::context::ApiContext;
use hvnode_core::engine::{ChangeRequest, Snapshot};
use hvnode_core::model::{Caller, Job, JobStatus, Operation, Timestamp};
use hvnode_core::verb::ChangeInput;
use hvnode_core::{AgentError, at, fail};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Longest wait for a change whose answer is only "ok" and that takes no time of its own.
const SHORT_CHANGE_TIME: Duration = Duration::from_secs(20);

/// What a handler ends with.
pub(super) type Outcome = Result<Value, Failure>;

/// One request on its way.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) context: ApiContext,
    pub(super) options: Arc<ChimeStackOptions>,
    pub(super) route: Arc<Route>,
    pub(super) caller: Caller,
    /// The picture of the node when the request came.
    pub(super) snapshot: Arc<Snapshot>,
    /// The request as the operation log may hold it.
    pub(super) logged: Value,
}

impl Call {
    /// The identities that this node derives from its own.
    pub(super) fn node(&self) -> Node {
        Node::of(&self.snapshot)
    }

    /// The same call with the picture as it is now.
    pub(super) fn refreshed(&self) -> Self {
        Self { snapshot: self.context.engine.snapshot(), ..self.clone() }
    }

    fn action(&self) -> String {
        format!("{} {}", self.route.method, self.route.path)
    }

    /// Hands a change in; gives its job as soon as it is accepted.
    pub(super) async fn submit(&self, change: ChangeInput, input: &Input) -> Result<Arc<Job>, Failure> {
        let request = ChangeRequest {
            caller: self.caller.clone(),
            change,
            request_uuid: None,
            action: self.action(),
            resource_name: input.owned("name"),
            request: self.logged.clone(),
        };
        let accepted = self.context.engine.submit(request).await.map_err(at!()).map_err(Failure::recorded)?;
        Ok(accepted.job)
    }

    /// The same where the change takes no time: waits for its end.
    pub(super) async fn submit_short(&self, change: ChangeInput, input: &Input) -> Result<Arc<Job>, Failure> {
        let job = self.submit(change, input).await?;
        let job = self.context.engine.wait_for_job(job.job_uuid, SHORT_CHANGE_TIME).await.map_err(at!()).map_err(Failure::recorded)?;
        match (job.status, &job.error) {
            (JobStatus::Failed | JobStatus::Canceled, Some(error)) => Err(Failure::recorded(error.clone().into())),
            (JobStatus::Failed, None) => Err(Failure::recorded(fail!(Internal, "the job failed"))),
            (JobStatus::Canceled, None) => Err(Failure::recorded(fail!(JobCanceled))),
            _ => Ok(job),
        }
    }

    /// Why what an accepted job was to make is not there: it has failed already.
    pub(super) async fn failure_of(&self, job: &Job) -> Failure {
        match self.context.engine.job(job.job_uuid).await {
            Ok(job) => match &job.error {
                Some(error) => Failure::recorded(error.clone().into()),
                None => Failure::recorded(fail!(Internal, "what was made is gone already")),
            },
            Err(error) => Failure::recorded(error),
        }
    }

    /// A row of the operation log for what the engine does not see. A store that cannot write is told in the log.
    pub(super) async fn record(&self, error: Option<&AgentError>) {
        if error.is_some_and(|error| !self.context.accounts.may_have_row(&self.caller, error)) {
            return;
        }
        let now = Timestamp::now();
        let operation = Operation {
            operation_uuid: Uuid::now_v7(),
            caller: self.caller.clone(),
            action: self.action(),
            resource_type: None,
            resource_uuid: None,
            resource_name: self.logged.get("name").and_then(Value::as_str).unwrap_or_default().chars().take(128).collect(),
            request: self.logged.clone(),
            error: error.map(AgentError::record),
            job_uuid: None,
            create_time: now,
            finish_time: Some(now),
        };
        if let Err(failure) = self.context.engine.record_operation(operation).await {
            tracing::warn!(request_id = %self.caller.request_id, error = %failure.chain(), "the operation log could not be written");
        }
    }
}
