//! Log in, log out, and is a session still valid.

use super::call::{Call, Waiting, inventory, one};
use super::fields::Fields;
use super::identity::{account_uuid, hex};
use super::{DIALECT, audit, date};
use crate::accounts::{Password, TokenForm};
use hvnode_core::{AgentError, at};
use serde_json::json;

pub(super) fn log_in(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move {
        let name = fields.need_text("accountName")?;
        let password = fields.need_text("password")?;
        let (accounts, address) = (&call.context.accounts, &call.caller.client_address);
        let issued = accounts.log_in_for(DIALECT, address, &name, Password::Sha512Hex(&password), TokenForm::Hex).await;
        let issued = issued.map_err(AgentError::without_user_hint).map_err(at!())?;
        let account = hex(account_uuid(&issued.account));
        audit::record(&call, &fields, None).await;
        Ok(inventory(json!({
            "uuid": issued.token,
            "accountUuid": account,
            "userUuid": account,
            "createDate": date::show(issued.create_time),
            "expiredDate": date::show(issued.expire_time),
        })))
    })
}

/// Always succeeds: clients log out with whatever they hold.
pub(super) fn log_out(mut call: Call, fields: Fields) -> Waiting {
    Box::pin(async move {
        let session = fields.need_text("sessionUuid")?;
        let accounts = call.context.accounts.clone();
        if let Ok(caller) = accounts.authenticate(DIALECT, &session, &call.caller.client_address, &call.caller.request_id) {
            call.caller = caller;
            // A token for programs is no session: it stays.
            if accounts.is_api_token(&session) {
                return Ok(super::call::Reply::new());
            }
            accounts.log_out(DIALECT, &session).await.map_err(at!())?;
            audit::record(&call, &fields, None).await;
        }
        Ok(super::call::Reply::new())
    })
}

pub(super) fn validate(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move {
        let session = fields.need_text("sessionUuid")?;
        let is_valid = call.context.accounts.token(DIALECT, &session).is_ok();
        Ok(one("validSession", is_valid))
    })
}
