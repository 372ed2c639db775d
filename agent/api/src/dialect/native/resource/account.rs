//! Managing users: make, change, remove, passwords; and who was refused.

use super::super::call::Call;
use super::super::check;
use super::super::envelope::Data;
use super::super::listing::{ListOptions, Row};
use super::Nothing;
use super::user::UserView;
use crate::access::{Access, role_of, role_word};
use crate::accounts::{AccountChange, PASSWORD_BYTES_MAX, Refusal};
use hvnode_core::model::{Account, NAME_LENGTH_MAX, Role};
use hvnode_core::{Result, at, fail};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// Make a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct CreateUser {
    #[schema(min_length = 1, max_length = 128)]
    user_name: String,
    /// reader, operator or admin.
    role: String,
    #[schema(write_only, min_length = 1, max_length = 1024)]
    password: String,
}

/// Change role or state of a user. Less than before ends its sessions.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct UpdateUser {
    #[schema(format = Uuid)]
    user_uuid: String,
    /// For the operation log only.
    user_name: Option<String>,
    /// reader, operator or admin.
    role: Option<String>,
    /// False: it cannot log in, and none of its tokens is valid.
    enabled: Option<bool>,
}

/// Set a password. The user's sessions end, this one too.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct UpdatePassword {
    /// Absent: the caller. Another: for admins.
    #[schema(format = Uuid)]
    user_uuid: Option<String>,
    /// For the operation log only.
    user_name: Option<String>,
    /// The present one; needed for the caller's own.
    #[schema(write_only, max_length = 1024)]
    old_password: Option<String>,
    #[schema(write_only, min_length = 1, max_length = 1024)]
    password: String,
    /// Do the user's tokens for programs end too?
    #[serde(default)]
    revoke_tokens: bool,
}

/// Remove a user.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct DeleteUser {
    #[schema(format = Uuid)]
    user_uuid: String,
    /// For the operation log only.
    user_name: Option<String>,
}

/// A user after a change.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct ChangedUser {
    user_uuid: Uuid,
    user_name: String,
    /// reader, operator or admin.
    role: &'static str,
    enabled: bool,
}

impl ChangedUser {
    fn of(account: &Account) -> Self {
        let Account { user_uuid, user_name, role, is_enabled, .. } = account;
        Self { user_uuid: *user_uuid, user_name: user_name.clone(), role: role_word(*role), enabled: *is_enabled }
    }
}

/// The role that a parameter names.
pub(super) fn role(word: &str) -> Result<Role> {
    role_of(word).ok_or_else(
        || fail!(ParameterInvalid, "role must be one of reader, operator, admin"; "role 必须是其中之一: reader, operator, admin"),
    )
}

pub(in super::super) async fn create(call: Call, request: CreateUser) -> Result<Data> {
    let user_name = check::name("user_name", request.user_name)?;
    let role = role(&request.role)?;
    check::secret("password", &request.password, PASSWORD_BYTES_MAX, false)?;
    let account = call.context.accounts.add_account(&user_name, role, &request.password).await.map_err(at!())?;
    Data::of(&Created { user: UserView::of(&account) })
}

#[derive(Debug, Serialize)]
struct Created<'a> {
    user: UserView<'a>,
}

pub(in super::super) async fn update(call: Call, request: UpdateUser) -> Result<Data> {
    let user_uuid = target(&request.user_uuid, request.user_name.as_deref())?;
    let change = AccountChange { role: request.role.as_deref().map(role).transpose()?, is_enabled: request.enabled };
    if change == AccountChange::default() {
        return Err(fail!(ParameterMissing, "role or enabled: one of them must be given"; "role 或 enabled: 至少需要一项"));
    }
    let account = call.context.accounts.change_account(user_uuid, change).await.map_err(at!())?;
    Data::of(&ChangedUser::of(&account))
}

pub(in super::super) async fn delete(call: Call, request: DeleteUser) -> Result<Data> {
    let user_uuid = target(&request.user_uuid, request.user_name.as_deref())?;
    let account = call.context.accounts.delete_account(user_uuid).await.map_err(at!())?;
    Data::of(&ChangedUser::of(&account))
}

fn target(user_uuid: &str, user_name: Option<&str>) -> Result<Uuid> {
    user_name.map_or(Ok(()), |name| check::short("user_name", name, NAME_LENGTH_MAX))?;
    check::uuid("user_uuid", user_uuid)
}

pub(in super::super) async fn set_password(call: Call, request: UpdatePassword) -> Result<Data> {
    if let Some(name) = &request.user_name {
        check::short("user_name", name, NAME_LENGTH_MAX)?;
    }
    check::secret("password", &request.password, PASSWORD_BYTES_MAX, false)?;
    let own = (!call.caller.user_uuid.is_nil()).then_some(call.caller.user_uuid);
    let wanted = check::optional_uuid("user_uuid", request.user_uuid.as_deref())?.or(own);
    let wanted = wanted
        .ok_or_else(|| fail!(ParameterMissing, "user_uuid: no account stands behind the caller"; "user_uuid: 调用者没有对应的账号"))?;
    let accounts = &call.context.accounts;
    if own == Some(wanted) {
        // A token alone, stolen or left behind, must not be enough to keep its holder out.
        let old = request.old_password.as_deref();
        let old =
            old.ok_or_else(|| fail!(ParameterMissing, "old_password: needed for the own password"; "old_password: 修改自己的密码时必填"))?;
        check::secret("old_password", old, PASSWORD_BYTES_MAX, false)?;
        accounts.verify_password(wanted, &call.caller.client_address, old).await.map_err(at!())?;
    } else {
        Access::Administer.check(&call.caller).map_err(at!())?;
    }
    accounts.set_password(wanted, &request.password, request.revoke_tokens).await.map_err(at!())?;
    let account = accounts.account(wanted).ok_or_else(|| fail!(UserNotExist))?;
    Data::of(&ChangedUser::of(&account))
}

/// Refusals of one kind since the daemon started: from one client, for one reason.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refusal)]
pub(in super::super) struct RefusalView {
    /// native, openstack, …
    dialect: String,
    client_address: String,
    /// As far as is known or claimed; * for many.
    user_name: String,
    /// Route or message; * for many.
    action: String,
    /// token_missing, token_invalid, token_expired, permission, disabled, password, user, locked or overload.
    reason: &'static str,
    /// How many.
    count: u64,
    /// Of the first, Unix seconds.
    create_time: i64,
    /// Of the newest, Unix seconds.
    update_time: i64,
    /// Of the newest; stands in its log line too.
    request_id: String,
}

impl RefusalView {
    fn of(refusal: &Refusal) -> Self {
        let Refusal { dialect, client_address, user_name, action, reason, count, first_time, last_time, request_id } = refusal.clone();
        let (create_time, update_time) = (first_time.seconds(), last_time.seconds());
        Self { dialect, client_address, user_name, action, reason, count, create_time, update_time, request_id }
    }
}

/// The newest first; `name` looks into user names.
pub(in super::super) async fn list_refusals(call: Call, options: ListOptions, _: Nothing) -> Result<Data> {
    let plan = options.plan(None)?;
    let refusals: Vec<Arc<Refusal>> = call.context.accounts.refusals().list().into_iter().map(Arc::new).collect();
    let wanted = refusals.iter().filter(|refusal| plan.admits(&refusal.user_name, ""));
    let rows = wanted.map(|refusal| Row { create_time: refusal.last_time, name: &refusal.user_name, uuid: Uuid::nil(), item: refusal });
    Data::of(&plan.page(rows.collect(), |refusal| RefusalView::of(refusal)))
}
