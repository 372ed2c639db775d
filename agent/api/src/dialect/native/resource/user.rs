//! Sessions, users and the one tenant.

use super::super::call::{Call, DIALECT};
use super::super::check;
use super::super::envelope::Data;
use super::super::listing::{ListOptions, Row};
use super::Nothing;
use crate::access::{Access, role_word};
use crate::accounts::{IssuedToken, PASSWORD_BYTES_MAX};
use hvnode_core::model::{Account, DEFAULT_TENANT_NAME, DEFAULT_TENANT_UUID, NAME_LENGTH_MAX, Timestamp};
use hvnode_core::{Result, at, fail};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// A user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(in super::super) struct UserView<'a> {
    /// All zeros for a peer known by its unix user.
    user_uuid: Uuid,
    user_name: &'a str,
    /// reader, operator or admin.
    role: &'static str,
    tenant_uuid: Uuid,
    tenant_name: &'static str,
    /// False: it cannot log in, and none of its tokens is valid.
    enabled: bool,
    /// Unix seconds; null for a peer known by its unix user.
    create_time: Option<i64>,
    /// When role, state or password were changed last, Unix seconds; null where they never were.
    update_time: Option<i64>,
}

impl<'a> UserView<'a> {
    pub(super) fn of(account: &'a Account) -> Self {
        Self {
            user_uuid: account.user_uuid,
            user_name: &account.user_name,
            role: role_word(account.role),
            tenant_uuid: DEFAULT_TENANT_UUID,
            tenant_name: DEFAULT_TENANT_NAME,
            enabled: account.is_enabled,
            create_time: Some(account.create_time.seconds()),
            update_time: account.update_time.map(Timestamp::seconds),
        }
    }
}

/// Open a session.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct LogIn {
    #[schema(min_length = 1, max_length = 128)]
    user_name: String,
    #[schema(write_only, min_length = 1, max_length = 1024)]
    password: String,
}

/// An open session.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(in super::super) struct SessionView<'a> {
    user: UserView<'a>,
    /// To be sent as `Authorization: <token>`.
    token: &'a str,
    /// Unix seconds.
    create_time: i64,
    /// Unix seconds.
    expire_time: i64,
}

impl<'a> SessionView<'a> {
    fn of(issued: &'a IssuedToken) -> Self {
        Self {
            user: UserView::of(&issued.account),
            token: &issued.token,
            create_time: issued.create_time.seconds(),
            expire_time: issued.expire_time.seconds(),
        }
    }
}

pub(in super::super) async fn log_in(call: Call, request: LogIn) -> Result<Data> {
    if request.user_name.is_empty() {
        return Err(fail!(ParameterInvalid, "user_name must not be empty"; "user_name 不能为空"));
    }
    check::short("user_name", &request.user_name, NAME_LENGTH_MAX)?;
    check::secret("password", &request.password, PASSWORD_BYTES_MAX, false)?;
    let accounts = &call.context.accounts;
    let address = &call.caller.client_address;
    let issued = accounts.log_in(DIALECT, address, &request.user_name, &request.password).await.map_err(at!())?;
    Data::of(&SessionView::of(&issued))
}

pub(in super::super) async fn refresh(call: Call, _: Nothing) -> Result<Data> {
    let token = call.token.as_deref().ok_or_else(|| fail!(TokenMissing))?;
    let issued = call.context.accounts.refresh(DIALECT, token, &call.caller.client_address).await.map_err(at!())?;
    Data::of(&SessionView::of(&issued))
}

/// Nothing to tell.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct Empty {}

pub(in super::super) async fn log_out(call: Call, _: Nothing) -> Result<Data> {
    if let Some(token) = &call.token {
        call.context.accounts.log_out(DIALECT, token).await.map_err(at!())?;
    }
    Data::of(&Empty {})
}

/// Which user; absent: the caller.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct UserQuery {
    /// Another than the caller: for admins.
    #[schema(format = Uuid)]
    user_uuid: Option<String>,
}

pub(in super::super) async fn inspect(call: Call, query: UserQuery) -> Result<Data> {
    let wanted = check::optional_uuid("user_uuid", query.user_uuid.as_deref())?.unwrap_or(call.caller.user_uuid);
    let is_own = wanted == call.caller.user_uuid;
    if !is_own {
        Access::Administer.check(&call.caller).map_err(at!())?;
    }
    match call.context.accounts.account(wanted) {
        Some(account) => Data::of(&InspectedUser { user: UserView::of(&account) }),
        None if is_own => Data::of(&InspectedUser { user: known_by_peer(&call) }),
        None => Err(fail!(UserNotExist)),
    }
}

/// A caller that no account stands behind: the unix socket let it in.
fn known_by_peer(call: &Call) -> UserView<'_> {
    UserView {
        user_uuid: call.caller.user_uuid,
        user_name: &call.caller.user_name,
        role: role_word(call.caller.role),
        tenant_uuid: DEFAULT_TENANT_UUID,
        tenant_name: DEFAULT_TENANT_NAME,
        enabled: true,
        create_time: None,
        update_time: None,
    }
}

#[derive(Debug, Serialize)]
struct InspectedUser<'a> {
    user: UserView<'a>,
}

pub(in super::super) async fn list(call: Call, options: ListOptions, _: Nothing) -> Result<Data> {
    let plan = options.plan(None)?;
    let accounts = call.context.accounts.list();
    let wanted = accounts.iter().filter(|account| plan.admits(&account.user_name, ""));
    let rows = wanted.map(|account: &Arc<Account>| Row {
        create_time: account.create_time,
        name: &account.user_name,
        uuid: account.user_uuid,
        item: account,
    });
    Data::of(&plan.page(rows.collect(), |account| UserView::of(account)))
}

/// A tenant.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(in super::super) struct TenantView {
    tenant_uuid: Uuid,
    tenant_name: &'static str,
    description: &'static str,
}

pub(in super::super) async fn list_tenants(_: Call, options: ListOptions, _: Nothing) -> Result<Data> {
    let plan = options.plan(None)?;
    let tenant = TenantView { tenant_uuid: DEFAULT_TENANT_UUID, tenant_name: DEFAULT_TENANT_NAME, description: "" };
    let row = Row { create_time: Timestamp::default(), name: tenant.tenant_name, uuid: tenant.tenant_uuid, item: tenant };
    let rows = plan.admits(tenant.tenant_name, "").then_some(row).into_iter().collect();
    Data::of(&plan.page(rows, |tenant| *tenant))
}
