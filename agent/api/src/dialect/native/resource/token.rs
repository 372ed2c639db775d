//! Tokens for programs: make, list, revoke.

use super::super::call::{Call, DIALECT};
use super::super::check;
use super::super::envelope::Data;
use super::super::listing::{ListOptions, Row};
use super::account::role;
use crate::access::{Access, role_word};
use crate::accounts::{NewToken, TokenDetail};
use hvnode_core::model::{NAME_LENGTH_MAX, Role, Timestamp};
use hvnode_core::{Result, at, fail};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;
use uuid::Uuid;

/// Dialects a token can be for.
const DIALECTS: [&str; 4] = [DIALECT, "openstack", "zstack", "chimestack"];
/// Seconds that a token is valid where the request does not say.
const LIFETIME_SECONDS: u64 = 90 * 86_400;
/// The two states of a token.
const STATUSES: [&str; 2] = ["valid", "expired"];

/// Make a token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct CreateToken {
    /// Unique among the tokens of its user.
    #[schema(min_length = 1, max_length = 128)]
    token_name: String,
    /// reader, operator or admin, at most the role of its user; absent: reader.
    role: Option<String>,
    /// native, openstack, zstack, chimestack; absent: native.
    dialects: Option<Vec<String>>,
    /// How long it is valid; absent: 90 days; 0: for ever, where the node allows that.
    #[schema(default = 7_776_000)]
    lifetime_seconds: Option<u64>,
    /// Whose it is to be; absent: the caller. Another: for admins.
    #[schema(format = Uuid)]
    user_uuid: Option<String>,
}

/// A token without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(in super::super) struct TokenView {
    token_uuid: Uuid,
    token_name: String,
    user_uuid: Uuid,
    user_name: String,
    /// What it may do now: its own role, or that of its user where that is less.
    role: &'static str,
    /// Dialects it is valid in.
    dialects: Vec<String>,
    /// valid or expired.
    status: &'static str,
    /// Unix seconds.
    create_time: i64,
    /// Unix seconds; null: never.
    expire_time: Option<i64>,
    /// Unix seconds; null: never used.
    last_used_time: Option<i64>,
    /// From where; null: never used.
    last_used_address: Option<String>,
}

impl TokenView {
    fn of(detail: TokenDetail) -> Self {
        let status = status(&detail);
        let TokenDetail { user_uuid, user_name, role, create_time, expire_time, api } = detail;
        Self {
            token_uuid: api.token_uuid,
            token_name: api.token_name,
            user_uuid,
            user_name,
            role: role_word(role),
            dialects: api.dialects,
            status,
            create_time: create_time.seconds(),
            expire_time: expire_time.map(Timestamp::seconds),
            last_used_time: api.last_used_time.map(Timestamp::seconds),
            last_used_address: api.last_used_address,
        }
    }
}

fn status(detail: &TokenDetail) -> &'static str {
    let is_over = detail.expire_time.is_some_and(|time| time <= Timestamp::now());
    if is_over { "expired" } else { "valid" }
}

/// A new token: the only answer with its secret.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct CreatedToken {
    #[serde(flatten)]
    token: TokenView,
    /// To be sent as `Authorization: <secret>`. It is not kept here and shown once.
    secret: String,
}

#[derive(Serialize)]
struct Created {
    token: CreatedToken,
}

/// Another account than the caller's own is for admins; the caller's own needs one behind it.
fn owner(call: &Call, user_uuid: Option<&str>) -> Result<Uuid> {
    let own = call.caller.user_uuid;
    let wanted = check::optional_uuid("user_uuid", user_uuid)?.unwrap_or(own);
    if wanted != own {
        Access::Administer.check(&call.caller).map_err(at!())?;
    }
    if wanted.is_nil() {
        return Err(fail!(ParameterMissing, "user_uuid: no account stands behind the caller"; "user_uuid: 调用者没有对应的账号"));
    }
    Ok(wanted)
}

pub(in super::super) async fn create(call: Call, request: CreateToken) -> Result<Data> {
    let user_uuid = owner(&call, request.user_uuid.as_deref())?;
    let accounts = &call.context.accounts;
    // Else revoking a token would not end what was made with it.
    if call.token.as_ref().is_some_and(|token| accounts.is_api_token(token)) {
        return Err(fail!(PermissionDenied, "a token makes no tokens: log in with the password"; "令牌不能创建令牌: 请用密码登录"));
    }
    let dialects = request.dialects.unwrap_or_else(|| vec![DIALECT.to_owned()]);
    check::count("dialects", dialects.len(), DIALECTS.len())?;
    if dialects.iter().any(|dialect| !DIALECTS.contains(&dialect.as_str())) {
        let words = DIALECTS.join(", ");
        return Err(fail!(ParameterInvalid, "dialects must be of {words}"; "dialects 必须取自 {words}"));
    }
    let seconds = request.lifetime_seconds.unwrap_or(LIFETIME_SECONDS);
    let new = NewToken {
        token_name: check::name("token_name", request.token_name)?,
        role: request.role.as_deref().map_or(Ok(Role::Reader), role)?,
        dialects,
        lifetime: (seconds > 0).then(|| Duration::from_secs(seconds)),
    };
    let (secret, detail) = accounts.create_token(user_uuid, new).await.map_err(at!())?;
    Data::of(&Created { token: CreatedToken { token: TokenView::of(detail), secret } })
}

/// Which tokens.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct TokenListQuery {
    /// Of this user; absent: the caller's own, for an admin all.
    #[schema(format = Uuid)]
    user_uuid: Option<String>,
}

pub(in super::super) async fn list(call: Call, options: ListOptions, query: TokenListQuery) -> Result<Data> {
    let plan = options.plan(Some(&STATUSES))?;
    let wanted = match &query.user_uuid {
        None if Access::Administer.check(&call.caller).is_ok() => None,
        user_uuid => Some(owner(&call, user_uuid.as_deref())?),
    };
    let tokens = call.context.accounts.list_tokens(wanted);
    let wanted = tokens.iter().filter(|detail| plan.admits(&detail.api.token_name, status(detail)));
    let rows = wanted.map(|detail| Row {
        create_time: detail.create_time,
        name: &detail.api.token_name,
        uuid: detail.api.token_uuid,
        item: detail,
    });
    Data::of(&plan.page(rows.collect(), |detail| TokenView::of((*detail).clone())))
}

/// Revoke a token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct DeleteToken {
    #[schema(format = Uuid)]
    token_uuid: String,
    /// For the operation log only.
    token_name: Option<String>,
}

/// A token that is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(in super::super) struct DeletedToken {
    token_uuid: Uuid,
    token_name: String,
    user_name: String,
}

pub(in super::super) async fn delete(call: Call, request: DeleteToken) -> Result<Data> {
    if let Some(name) = &request.token_name {
        check::short("token_name", name, NAME_LENGTH_MAX)?;
    }
    let token_uuid = check::uuid("token_uuid", &request.token_uuid)?;
    // Of others an account that is no admin learns nothing.
    let owner = Access::Administer.check(&call.caller).err().map(|_| call.caller.user_uuid);
    let TokenDetail { user_name, api, .. } = call.context.accounts.delete_token(token_uuid, owner).await.map_err(at!())?;
    Data::of(&DeletedToken { token_uuid, token_name: api.token_name, user_name })
}
