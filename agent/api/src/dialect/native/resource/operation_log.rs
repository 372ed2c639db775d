//! The operation log: every change anybody asked for.

use super::super::call::Call;
use super::super::check::{self, TimeInput};
use super::super::envelope::{Data, SUCCESS, SUCCESS_CN};
use super::super::listing::{ListData, ListOptions};
use super::job::end_message;
use super::{kind_of_word, kind_word};
use hvnode_core::model::{NAME_LENGTH_MAX, Operation, Timestamp};
use hvnode_core::port::OperationFilter;
use hvnode_core::{AgentError, Result, at, fail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

const STATUSES: [&str; 3] = ["running", "succeeded", "failed"];

/// One row.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OperationLog)]
pub(in super::super) struct OperationView<'a> {
    operation_log_uuid: Uuid,
    user_name: &'a str,
    user_uuid: Uuid,
    tenant_uuid: Uuid,
    client_address: &'a str,
    /// native, openstack, …
    dialect: &'a str,
    /// Path or action.
    action: &'a str,
    resource_type: Option<&'static str>,
    resource_uuid: Option<Uuid>,
    resource_name: &'a str,
    /// The request, secrets replaced.
    request: &'a Value,
    /// Stands in the answer's headers and in the log lines too.
    request_id: &'a str,
    /// running, succeeded or failed.
    status: &'static str,
    /// 0 unless it failed.
    status_code: u32,
    /// Null until it has ended.
    message: Option<String>,
    /// Null until it has ended.
    message_cn: Option<String>,
    job_uuid: Option<Uuid>,
    /// Unix seconds.
    create_time: i64,
    /// Unix seconds.
    finish_time: Option<i64>,
}

impl<'a> OperationView<'a> {
    fn of(operation: &'a Operation) -> Self {
        let error = operation.error.clone().map(AgentError::from);
        let status = match (&error, operation.finish_time) {
            (Some(_), _) => "failed",
            (None, Some(_)) => "succeeded",
            (None, None) => "running",
        };
        Self {
            operation_log_uuid: operation.operation_uuid,
            user_name: &operation.caller.user_name,
            user_uuid: operation.caller.user_uuid,
            tenant_uuid: operation.caller.tenant_uuid,
            client_address: &operation.caller.client_address,
            dialect: &operation.caller.dialect,
            action: &operation.action,
            resource_type: operation.resource_type.map(kind_word),
            resource_uuid: operation.resource_uuid,
            resource_name: &operation.resource_name,
            request: &operation.request,
            request_id: &operation.caller.request_id,
            status,
            status_code: error.as_ref().map_or(0, |error| error.code().number()),
            message: end_message(error.as_ref(), operation.finish_time.is_some(), AgentError::message, SUCCESS),
            message_cn: end_message(error.as_ref(), operation.finish_time.is_some(), AgentError::message_cn, SUCCESS_CN),
            job_uuid: operation.job_uuid,
            create_time: operation.create_time.seconds(),
            finish_time: operation.finish_time.map(Timestamp::seconds),
        }
    }
}

/// Which rows. `status` is succeeded or failed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct OperationFilterQuery {
    /// Asked at or after.
    #[schema(value_type = Option<String>)]
    start_time: Option<TimeInput>,
    /// Asked at or before.
    #[schema(value_type = Option<String>)]
    end_time: Option<TimeInput>,
    /// By this user.
    user_name: Option<String>,
    /// vm, image, specification, usd, network, host, user or job.
    resource_type: Option<String>,
    /// About this.
    #[schema(format = Uuid)]
    resource_uuid: Option<String>,
}

impl OperationFilterQuery {
    fn filter(self, name: Option<String>, status: Option<&str>) -> Result<OperationFilter> {
        let start_time = self.start_time.map(|time| check::time("start_time", &time)).transpose()?;
        let end_time = self.end_time.map(|time| check::time("end_time", &time)).transpose()?;
        if start_time.zip(end_time).is_some_and(|(start, end)| start > end) {
            return Err(fail!(TimeRangeInvalid, "start_time must not be after end_time"; "start_time 不能晚于 end_time"));
        }
        if let Some(user_name) = &self.user_name {
            check::short("user_name", user_name, NAME_LENGTH_MAX)?;
        }
        let kind = |word: &String| {
            kind_of_word(word).ok_or_else(|| {
                fail!(ParameterInvalid,
                    "resource_type must be one of vm, image, specification, usd, network, host, user, job";
                    "resource_type 必须是其中之一: vm, image, specification, usd, network, host, user, job")
            })
        };
        Ok(OperationFilter {
            start_time,
            end_time,
            user_name: self.user_name,
            resource_type: self.resource_type.as_ref().map(kind).transpose()?,
            resource_uuid: check::optional_uuid("resource_uuid", self.resource_uuid.as_deref())?,
            is_success: status.map(|status| status == "succeeded"),
            name,
        })
    }
}

pub(in super::super) async fn list(call: Call, options: ListOptions, query: OperationFilterQuery) -> Result<Data> {
    let plan = options.plan(Some(&STATUSES[1..]))?;
    let page = plan.log_page()?;
    let filter = query.filter(plan.name(), plan.status())?;
    if plan.is_other_tenant() {
        return Data::of(&ListData::<OperationView<'_>>::whole(Vec::new()));
    }
    let listing = call.context.engine.list_operations(filter, page).await.map_err(at!())?;
    let list = listing.rows.iter().map(OperationView::of).collect();
    Data::of(&ListData { total_count: listing.total_count, list })
}

/// Which row.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct OperationTarget {
    #[schema(format = Uuid)]
    operation_log_uuid: String,
}

pub(in super::super) async fn inspect(call: Call, target: OperationTarget) -> Result<Data> {
    let uuid = check::uuid("operation_log_uuid", &target.operation_log_uuid)?;
    let operation = call.context.engine.operation(uuid).await.map_err(at!())?;
    Data::of(&InspectedOperation { operation_log: OperationView::of(&operation) })
}

#[derive(Debug, Serialize)]
struct InspectedOperation<'a> {
    operation_log: OperationView<'a>,
}
