//! Who asks: the token of a request, and what its holder may do.

use super::DIALECT;
use super::call::Token;
use super::errors::Fault;
use super::serve::{Opened, Shared, peer_of};
use super::table::Mounted;
use crate::access::Access;
use crate::accounts::RefusedCall;
use crate::context::Peer;
use http::HeaderMap;
use http::request::Parts;
use hvnode_core::fail;
use hvnode_core::model::{Caller, DEFAULT_TENANT_UUID, Role};
use uuid::Uuid;

/// Before the secret of a token that opens the identity service only.
const UNSCOPED: &str = "unscoped.";

impl Token {
    /// From what a client sends.
    pub(super) fn read(text: &str) -> Self {
        match text.strip_prefix(UNSCOPED) {
            Some(secret) => Self { secret: secret.to_owned(), is_scoped: false },
            None => Self { secret: text.to_owned(), is_scoped: true },
        }
    }

    /// As a client gets it.
    pub(super) fn text(secret: &str, is_scoped: bool) -> String {
        if is_scoped { secret.to_owned() } else { format!("{UNSCOPED}{secret}") }
    }
}

/// Finds out who asks, and whether he may use this route.
///
/// # Errors
/// 401 for a missing, wrong, expired or foreign token, and for an unscoped one where a project is needed; 403 for too little a role.
pub(super) fn open(shared: &Shared, row: &Mounted, parts: &Parts) -> Result<Opened, Fault> {
    let peer = peer_of(parts);
    let id = parts.extensions.get::<crate::context::RequestId>().map_or_else(|| Uuid::new_v4().to_string(), |id| id.0.clone());
    let stranger = stranger(&peer.address, id);
    if row.route.access == Access::Public {
        return Ok((stranger, None));
    }
    let id = stranger.request_id.clone();
    let opened = identify(shared, row, parts, &peer, &id);
    opened.inspect_err(|fault| refused(shared, row, &stranger, fault))
}

fn identify(shared: &Shared, row: &Mounted, parts: &Parts, peer: &Peer, id: &str) -> Result<Opened, Fault> {
    let accounts = &shared.context.accounts;
    match (token(&parts.headers), &peer.trusted) {
        (Some(token), _) => {
            let caller = accounts.authenticate(DIALECT, &token.secret, &peer.address, id)?;
            if !token.is_scoped && !row.route.is_identity {
                return Err(Fault::unauthorized());
            }
            Ok((caller, Some(token)))
        }
        (None, Some(trusted)) => Ok((accounts.trusted_caller(DIALECT, trusted, &peer.address, id), None)),
        (None, None) => Err(fail!(TokenMissing).into()),
    }
}

/// Counts a refusal and tells it in the log; passes over what is none.
pub(super) fn refused(shared: &Shared, row: &Mounted, caller: &Caller, fault: &Fault) {
    let Caller { dialect, client_address, user_name, request_id, .. } = caller;
    let (action, is_log_in) = (row.path.as_str(), row.route.access == Access::Public);
    let call = RefusedCall { dialect, client_address, user_name, action, request_id, is_log_in };
    shared.context.accounts.refused(call, &fault.as_error());
}

fn token(headers: &HeaderMap) -> Option<Token> {
    let text = headers.get("x-auth-token")?.to_str().unwrap_or("");
    Some(Token::read(text.trim()))
}

/// Somebody who has not logged in yet.
fn stranger(address: &str, request_id: String) -> Caller {
    Caller {
        user_uuid: Uuid::nil(),
        user_name: String::new(),
        role: Role::Reader,
        tenant_uuid: DEFAULT_TENANT_UUID,
        dialect: DIALECT.to_owned(),
        client_address: address.to_owned(),
        request_id,
    }
}

/// May this caller?
///
/// # Errors
/// 403.
pub(super) fn check(access: Access, caller: &Caller) -> Result<(), Fault> {
    access.check(caller).map_err(|error| Fault {
        message: format!("Policy doesn't allow this to be performed: {}.", error.detail().en),
        ..Fault::from(error)
    })
}

/// Names of the roles that an account has here: what it may do, and all that is less.
pub(super) fn role_names(role: Role) -> &'static [&'static str] {
    match role {
        Role::Admin => &["admin", "member", "reader"],
        Role::Operator => &["member", "reader"],
        Role::Reader => &["reader"],
    }
}
