//! Several things that are wrong with one request, for callers that want all of them at once.

use crate::{AgentError, Result};

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<AgentError>);

impl Findings {
    /// Keeps the error, or gives the value.
    pub(super) fn take<T>(&mut self, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(error);
                None
            }
        }
    }

    pub(super) fn add(&mut self, error: AgentError) {
        self.0.push(error);
    }

    pub(super) fn into_errors(self) -> Vec<AgentError> {
        self.0
    }

    /// The first error, or what was asked for.
    pub(super) fn first_or<T>(self, value: Option<T>) -> Result<T> {
        match (self.0.into_iter().next(), value) {
            (None, Some(value)) => Ok(value),
            (Some(error), _) => Err(error),
            (None, None) => Err(crate::fail!(Internal, "nothing was planned and nothing is wrong"; "未生成计划，也未发现问题")),
        }
    }
}
