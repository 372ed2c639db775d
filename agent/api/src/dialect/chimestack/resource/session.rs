//! Sessions, accounts, and the operation log.

use super::{keyed, list as listed, time};
use crate::access::Access;
use crate::accounts::{IssuedToken, Password, TokenForm};
use crate::dialect::chimestack::DIALECT;
use crate::dialect::chimestack::call::{Call, Outcome};
use crate::dialect::chimestack::errors::Failure;
use crate::dialect::chimestack::field::{Field, Kind, body};
use crate::dialect::chimestack::input::Input;
use crate::dialect::chimestack::listing::{self, Page};
use crate::dialect::chimestack::shape::USER;
use hvnode_core::model::{Account, Operation, Role};
use hvnode_core::port::{OperationFilter, Page as Rows, SortOrder};
use hvnode_core::{AgentError, at, fail};
use serde_json::{Value, json};

/// Longest password in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;
/// Longest token in bytes.
const TOKEN_BYTES_MAX: usize = 256;

/// Body of `POST /v1/login`.
pub(in super::super) const LOGIN: &[Field] =
    &[body("user_name", Kind::Text(128)).required(), body("password", Kind::Secret(PASSWORD_BYTES_MAX)).required()];

/// Body of `POST /v1/logout` and `/v1/auth`.
pub(in super::super) const TOKEN: &[Field] = &[body("token", Kind::Secret(TOKEN_BYTES_MAX)).required()];

/// The token stands as the uuid.
fn session(issued: &IssuedToken) -> Value {
    json!({
        "uuid": issued.token,
        "user_uuid": issued.account.user_uuid,
        "created_at": time(issued.create_time),
        "expired_at": time(issued.expire_time),
    })
}

pub(in super::super) async fn log_in(call: Call, input: Input) -> Outcome {
    let (name, password) = (input.text("user_name").unwrap_or_default(), input.text("password").unwrap_or_default());
    let (accounts, address) = (&call.context.accounts, call.caller.client_address.as_str());
    let issued = accounts.log_in_for(DIALECT, address, name, Password::Plain(password), TokenForm::Uuid).await;
    let issued = issued.map_err(AgentError::without_user_hint).map_err(at!())?;
    Ok(keyed("user", session(&issued)))
}

pub(in super::super) async fn check_token(call: Call, input: Input) -> Outcome {
    let issued = call.context.accounts.token(DIALECT, input.text("token").unwrap_or_default()).map_err(at!())?;
    Ok(keyed("user", session(&issued)))
}

pub(in super::super) async fn log_out(call: Call, input: Input) -> Outcome {
    let token = input.text("token").unwrap_or_default();
    call.context.accounts.token(DIALECT, token).map_err(at!())?;
    call.context.accounts.log_out(DIALECT, token).await.map_err(at!())?;
    Ok(keyed("user", "ok"))
}

/// 1 may only read, 2 may change VMs, 3 may do everything. 0, a user with a share of his own, does not exist here.
fn role(role: Role) -> u64 {
    match role {
        Role::Reader => 1,
        Role::Operator => 2,
        Role::Admin => 3,
    }
}

fn user(account: &Account) -> Value {
    json!({
        "uuid": account.user_uuid, "name": account.user_name, "description": "", "role": role(account.role), "state": if account.is_enabled { 1 } else { 2 },
        "created_at": time(account.create_time),
    })
}

/// Who is no administrator sees himself alone.
fn is_shown(call: &Call, account: &Account) -> bool {
    account.user_uuid == call.caller.user_uuid || Access::Administer.check(&call.caller).is_ok()
}

pub(in super::super) async fn list_users(call: Call, input: Input) -> Outcome {
    let accounts = call.context.accounts.list();
    listed(&input, &USER, accounts.iter().filter(|account| is_shown(&call, account)).map(|account| user(account)).collect())
}

fn find(call: &Call, input: &Input) -> Result<Value, Failure> {
    let uuid = input.required_uuid("UserUuid")?;
    let account = call.context.accounts.account(uuid).filter(|account| is_shown(call, account));
    account.map(|account| user(&account)).ok_or_else(|| Failure::no_such("User", fail!(UserNotExist)))
}

pub(in super::super) async fn show_user(call: Call, input: Input) -> Outcome {
    Ok(keyed("user", find(&call, &input)?))
}

/// Where a user's VMs go: there is one place.
pub(in super::super) async fn show_default(call: Call, input: Input) -> Outcome {
    find(&call, &input)?;
    let node = call.node();
    Ok(json!({ "az_uuid": node.az, "clusters_uuid": [node.cluster] }))
}

fn operation(row: &Operation) -> Value {
    // Other APIs have a path or a message alone.
    let is_method = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
    let (method, path) = row.action.split_once(' ').filter(|(method, _)| is_method(method)).unwrap_or(("", &row.action));
    json!({
        "id": row.operation_uuid,
        "user_uuid": row.caller.user_uuid,
        "user_name": row.caller.user_name,
        "ip": row.caller.client_address,
        "method": method,
        "path": path,
        "input": row.request,
        "created_at": time(row.create_time),
    })
}

/// The operation log of all APIs. It is sorted by time only.
pub(in super::super) async fn list_operations(call: Call, input: Input) -> Outcome {
    if input.text("sort").is_some_and(|name| name != "created_at") {
        return Err(fail!(ParameterInvalid, "sort must be created_at here").into());
    }
    let order = if input.text("order") == Some("asc") { SortOrder::Ascending } else { SortOrder::Descending };
    let (offset, limit) = listing::window(&input);
    let filter = OperationFilter { user_name: input.owned("user_name"), name: input.owned("name"), ..OperationFilter::default() };
    let rows = call.context.engine.list_operations(filter, Rows { offset, limit, order }).await.map_err(at!())?;
    Ok(Page { elements: rows.rows.iter().map(operation).collect(), total: rows.total_count }.into_result())
}
