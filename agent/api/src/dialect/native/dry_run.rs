//! Dry runs: would this change of a VM be accepted now? Every reason at once, and nothing changes: no job, no row in the operation log.

use super::call::{Call, Failure};
use super::change::{CHANGE_FIELDS, ChangeBody, ChangeOptions};
use super::decode::from_body;
use super::resource::value_of;
use hvnode_core::engine::DryRun;
use hvnode_core::model::ResourceType;
use hvnode_core::verb::ChangeInput;
use hvnode_core::{Result, at};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The parameter that asks for one.
const DRY_RUN: &str = "dry_run";
/// Names of the parameters in [`VmChangeOptions`].
const VM_CHANGE_FIELDS: [&str; 3] = [CHANGE_FIELDS[0], CHANGE_FIELDS[1], DRY_RUN];

/// Parameters of every change of a VM.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VmChangeOptions {
    /// Seconds to wait for the end of the job, 0-300.
    #[schema(maximum = 300, default = 60)]
    wait_seconds: Option<u64>,
    /// Makes the request idempotent for 24 hours: sent again, it is answered with the job of the first.
    #[schema(format = Uuid)]
    request_uuid: Option<String>,
    /// Change nothing, only say whether the change would be accepted now, and every reason against it.
    #[schema(default = false)]
    #[serde(rename = "dry_run")]
    _dry_run: Option<bool>,
}

/// The answer to a dry run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DryRun)]
pub(super) struct DryRunData {
    /// Always true.
    dry_run: bool,
    /// Would it be accepted now?
    is_possible: bool,
    /// Every reason against it.
    problems: Vec<Problem>,
    /// The definition it would give to the hypervisor, where it gives one and is possible.
    domain_xml: Option<String>,
}

/// A reason against a change.
#[derive(Debug, Serialize, ToSchema)]
struct Problem {
    /// What the change would be refused with.
    status_code: u32,
    /// English message.
    message: String,
    /// Chinese message.
    message_cn: String,
}

impl DryRunData {
    fn of(dry_run: DryRun) -> Self {
        let problem = |error: &hvnode_core::AgentError| Problem {
            status_code: error.code().number(),
            message: error.message(),
            message_cn: error.message_cn(),
        };
        let problems: Vec<_> = dry_run.problems.iter().map(problem).collect();
        Self { dry_run: true, is_possible: problems.is_empty(), problems, domain_xml: dry_run.domain_xml }
    }
}

/// Can changes of this kind be tried?
pub(super) fn is_taken<B: ChangeBody>() -> bool {
    B::RESOURCE.kind == ResourceType::Vm
}

/// Is this request one?
pub(super) fn is_asked<B: ChangeBody>(object: &Map<String, Value>) -> bool {
    is_taken::<B>() && object.get(DRY_RUN) == Some(&Value::Bool(true))
}

/// Names of the parameters that stand beside those of the change itself.
pub(super) fn option_names<B: ChangeBody>() -> &'static [&'static str] {
    if is_taken::<B>() { &VM_CHANGE_FIELDS } else { &CHANGE_FIELDS }
}

/// Reads those parameters.
///
/// # Errors
/// `ParseParameter`, `ParameterInvalid`.
pub(super) fn options<B: ChangeBody>(object: &Map<String, Value>) -> Result<ChangeOptions> {
    if !is_taken::<B>() {
        return from_body(object);
    }
    let VmChangeOptions { wait_seconds, request_uuid, .. } = from_body(object)?;
    Ok(ChangeOptions { wait_seconds, request_uuid })
}

/// Tries the change.
pub(super) async fn run(call: &Call, change: &ChangeInput) -> std::result::Result<Value, Failure> {
    let outcome = call.context.engine.dry_run(&call.caller, change).await.map_err(at!()).map_err(Failure::recorded)?;
    value_of(&DryRunData::of(outcome)).map_err(Failure::recorded)
}
