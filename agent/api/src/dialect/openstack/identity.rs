//! Keystone v3: log in, tokens, the catalog, and the one project, domain and region that a node has.

use super::auth::role_names;
use super::call::{Call, Outcome, Reply, Token};
use super::convert::{DOMAIN_ID, DOMAIN_NAME, PROJECT_NAME, REGION, micro_zulu, project_id, simple};
use super::decode::Fields;
use super::errors::Fault;
use super::{DIALECT, change};
use crate::accounts::{IssuedToken, Password};
use hvnode_core::model::{Account, DEFAULT_TENANT_NAME, Role};
use serde_json::{Value, json};
use uuid::Uuid;

/// Type, name, path behind the listener's address.
const SERVICES: [(&str, &str, &str); 6] = [
    ("identity", "keystone", "/identity"),
    ("compute", "nova", "/compute/v2.1"),
    ("image", "glance", "/image"),
    ("network", "neutron", "/networking"),
    ("block-storage", "cinder", "/volume/v3"),
    ("volumev3", "cinderv3", "/volume/v3"),
];
const INTERFACES: [&str; 3] = ["public", "internal", "admin"];
/// Every role there is.
const ROLES: [&str; 3] = ["admin", "member", "reader"];

fn version_object(call: &Call) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{ "rel": "self", "href": format!("{}/identity/v3/", call.base_url) }],
        "media-types": [{ "base": "application/json", "type": "application/vnd.openstack.identity-v3+json" }],
    })
}

pub(super) async fn versions(call: Call) -> Outcome {
    let location = format!("{}/identity/v3/", call.base_url);
    Ok(Reply::json(300, &json!({ "versions": { "values": [version_object(&call)] } }))?.with_header("location", &location))
}

pub(super) async fn version(call: Call) -> Outcome {
    Reply::ok(&json!({ "version": version_object(&call) }))
}

/// What a request wants to log in as.
enum Method<'a> {
    Password { user: String, password: &'a str },
    Token(&'a str),
}

pub(super) async fn log_in(mut call: Call) -> Outcome {
    let body = std::mem::take(&mut call.body);
    let result = issue(&mut call, &body).await;
    call.body = body;
    let error = result.as_ref().err().map(Fault::as_error);
    change::Note::of(&call).record(&call.shared.context, error.as_ref()).await;
    let (issued, is_scoped, method) = result?;
    let token = token_body(&call, &issued, is_scoped, method, true);
    Ok(Reply::json(201, &token)?.with_header("x-subject-token", &Token::text(&issued.token, is_scoped)).with_header("vary", "X-Auth-Token"))
}

/// Who a request says he is, before anybody looked; else the caller.
pub(super) fn claimed_name(call: &Call) -> String {
    let user = call.body.pointer("/auth/identity/password/user").filter(|_| call.caller.user_name.is_empty());
    let name = user.and_then(|user| user.get("name").or_else(|| user.get("id"))).and_then(Value::as_str);
    name.map_or_else(|| call.caller.user_name.clone(), |name| name.chars().take(256).collect())
}

async fn issue(call: &mut Call, body: &Value) -> Result<(IssuedToken, bool, &'static str), Fault> {
    let mut auth = Fields::wrapped(body, "auth", &[])?;
    let mut identity = auth.object("identity")?.ok_or_else(|| auth.missing("identity"))?;
    let is_scoped = match auth.value("scope") {
        None => false,
        Some(Value::String(text)) if text == "unscoped" => false,
        Some(scope) => {
            check_scope(&mut Fields::of("auth.scope", scope)?)?;
            true
        }
    };
    auth.end()?;
    let accounts = call.shared.context.accounts.clone();
    match method(&mut identity, &accounts.list())? {
        Method::Password { user, password } => {
            call.caller.user_name.clone_from(&user);
            let issued = accounts.log_in_with(DIALECT, &call.caller.client_address, &user, Password::Plain(password)).await?;
            Ok((issued, is_scoped, "password"))
        }
        // The same secret for another scope: it lives no longer than the one that was shown.
        Method::Token(text) => Ok((accounts.token(DIALECT, &Token::read(text).secret)?, is_scoped, "token")),
    }
}

fn method<'a>(identity: &mut Fields<'a>, accounts: &[std::sync::Arc<Account>]) -> Result<Method<'a>, Fault> {
    let methods = identity.list("methods")?.ok_or_else(|| identity.missing("methods"))?;
    match methods {
        [Value::String(word)] if word == "password" => {
            let mut outer = identity.object("password")?.ok_or_else(|| identity.missing("password"))?;
            let mut user = outer.object("user")?.ok_or_else(|| outer.missing("user"))?;
            let password = user.required("password")?;
            let user = match user.text("id")? {
                // An id that nobody has is tried as a name that nobody has: it counts as a failure.
                Some(id) => account_by_id(accounts, id).map_or_else(|| id.to_owned(), |account| account.user_name.clone()),
                None => {
                    let name = user.required("name")?.to_owned();
                    check_domain(&mut user)?;
                    name
                }
            };
            Ok(Method::Password { user: user.chars().take(256).collect(), password })
        }
        [Value::String(word)] if word == "token" => {
            let mut token = identity.object("token")?.ok_or_else(|| identity.missing("token"))?;
            Ok(Method::Token(token.required("id")?))
        }
        [] => Err(Fault::bad_request("auth.identity.methods must name a method: 'password' or 'token'.")),
        _ => Err(Fault::unauthorized()),
    }
}

/// The project that a token is to be for: there is one.
fn check_scope(scope: &mut Fields<'_>) -> Result<(), Fault> {
    let Some(mut project) = scope.object("project")? else {
        return Err(Fault::bad_request("auth.scope must name a project: this node has no other scope."));
    };
    if let Some(id) = project.text("id")? {
        return if super::convert::is_project(id) { Ok(()) } else { Err(Fault::unauthorized()) };
    }
    let name = project.required("name")?;
    check_domain(&mut project)?;
    if [PROJECT_NAME, DEFAULT_TENANT_NAME].contains(&name) { Ok(()) } else { Err(Fault::unauthorized()) }
}

fn check_domain(holder: &mut Fields<'_>) -> Result<(), Fault> {
    let mut domain = holder.object("domain")?.ok_or_else(|| holder.missing("domain"))?;
    let is_ours = match (domain.text("id")?, domain.text("name")?) {
        (Some(id), _) => id == DOMAIN_ID,
        (None, Some(name)) => name.eq_ignore_ascii_case(DOMAIN_NAME),
        (None, None) => return Err(domain.missing("id")),
    };
    if is_ours { Ok(()) } else { Err(Fault::unauthorized()) }
}

fn account_by_id<'a>(accounts: &'a [std::sync::Arc<Account>], id: &str) -> Option<&'a Account> {
    let uuid = Uuid::try_parse(id).ok()?;
    accounts.iter().find(|account| account.user_uuid == uuid).map(AsRef::as_ref)
}

fn domain_object() -> Value {
    json!({ "id": DOMAIN_ID, "name": DOMAIN_NAME })
}

/// A role's id is its name, spread over 32 digits.
fn role_id(name: &str) -> String {
    name.bytes()
        .map(|byte| format!("{byte:02x}"))
        .chain(std::iter::repeat_n("0".to_owned(), 32))
        .collect::<String>()
        .chars()
        .take(32)
        .collect()
}

fn roles_of(role: Role) -> Vec<Value> {
    role_names(role).iter().map(|name| json!({ "id": role_id(name), "name": name })).collect()
}

fn token_body(call: &Call, issued: &IssuedToken, is_scoped: bool, method: &str, has_catalog: bool) -> Value {
    let account = &issued.account;
    let mut token = json!({
        "methods": [method],
        "user": { "id": simple(account.user_uuid), "name": account.user_name, "domain": domain_object(), "password_expires_at": null },
        "audit_ids": [audit_id(issued)],
        "issued_at": micro_zulu(issued.create_time),
        "expires_at": micro_zulu(issued.expire_time),
    });
    if is_scoped {
        token["project"] = json!({ "id": project_id(), "name": PROJECT_NAME, "domain": domain_object() });
        token["is_domain"] = false.into();
        token["roles"] = roles_of(issued.role).into();
        if has_catalog {
            token["catalog"] = catalog_list(&call.base_url).into();
        }
    }
    json!({ "token": token })
}

/// Names a token in logs without telling it.
fn audit_id(issued: &IssuedToken) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(format!("audit:{}", issued.token));
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&digest[..16])
}

fn endpoint_id(kind: &str, interface: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(format!("{kind}/{interface}")).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn catalog_list(base_url: &str) -> Vec<Value> {
    let endpoints = |kind: &str, path: &str| -> Vec<Value> {
        let endpoint = |interface: &&str| {
            let url = format!("{base_url}{path}");
            json!({ "id": endpoint_id(kind, interface), "interface": interface, "region": REGION, "region_id": REGION, "url": url })
        };
        INTERFACES.iter().map(endpoint).collect()
    };
    let service = |(kind, name, path): &(&str, &str, &str)| json!({ "id": endpoint_id(kind, ""), "type": kind, "name": name, "endpoints": endpoints(kind, path) });
    SERVICES.iter().map(service).collect()
}

/// The token that a request is about.
fn subject(call: &Call) -> Result<(IssuedToken, bool), Fault> {
    let text = call.headers.get("x-subject-token").and_then(|value| value.to_str().ok());
    let text = text.ok_or_else(|| Fault::bad_request("The header X-Subject-Token is missing."))?;
    let token = Token::read(text.trim());
    let issued = call.shared.context.accounts.token(DIALECT, &token.secret).map_err(|_| Fault::not_found("Could not find token."))?;
    let is_own = call.token.as_ref().is_some_and(|own| own.secret == token.secret) || issued.account.user_uuid == call.caller.user_uuid;
    if !is_own && call.caller.role < Role::Admin {
        return Err(Fault::new(403, "You are not authorized to perform the requested action: identity:validate_token."));
    }
    Ok((issued, token.is_scoped))
}

pub(super) async fn show_token(call: Call) -> Outcome {
    let (issued, is_scoped) = subject(&call)?;
    let has_catalog = call.query("nocatalog").is_none();
    let body = token_body(&call, &issued, is_scoped, "password", has_catalog);
    Ok(Reply::ok(&body)?.with_header("x-subject-token", &Token::text(&issued.token, is_scoped)))
}

pub(super) async fn check_token(call: Call) -> Outcome {
    subject(&call)?;
    Ok(Reply::empty(200))
}

pub(super) async fn revoke_token(call: Call) -> Outcome {
    let (issued, _) = subject(&call)?;
    call.shared.context.accounts.log_out(DIALECT, &issued.token).await?;
    call.record().await;
    Ok(Reply::empty(204))
}

pub(super) async fn catalog(call: Call) -> Outcome {
    let url = identity_url(&call, "/auth/catalog");
    Reply::ok(&json!({ "catalog": catalog_list(&call.base_url), "links": { "self": url } }))
}

fn identity_url(call: &Call, path: &str) -> String {
    format!("{}/identity/v3{path}", call.base_url)
}

fn list(call: &Call, word: &str, path: &str, items: &[Value]) -> Outcome {
    Reply::ok(&json!({ word: items, "links": { "self": identity_url(call, path), "previous": null, "next": null } }))
}

fn project_object(call: &Call) -> Value {
    let id = project_id();
    json!({
        "id": id, "name": PROJECT_NAME, "domain_id": DOMAIN_ID, "parent_id": DOMAIN_ID, "description": "", "enabled": true,
        "is_domain": false, "tags": [], "options": {}, "links": { "self": identity_url(call, &format!("/projects/{id}")) },
    })
}

fn domain_full(call: &Call) -> Value {
    json!({
        "id": DOMAIN_ID, "name": DOMAIN_NAME, "description": "", "enabled": true, "tags": [], "options": {},
        "links": { "self": identity_url(call, "/domains/default") },
    })
}

fn user_object(call: &Call, account: &Account) -> Value {
    let id = simple(account.user_uuid);
    json!({
        "id": id, "name": account.user_name, "domain_id": DOMAIN_ID, "enabled": account.is_enabled, "password_expires_at": null, "options": {},
        "links": { "self": identity_url(call, &format!("/users/{id}")) },
    })
}

fn role_object(call: &Call, name: &str) -> Value {
    let id = role_id(name);
    json!({ "id": id, "name": name, "domain_id": null, "description": null, "options": {}, "links": { "self": identity_url(call, &format!("/roles/{id}")) } })
}

/// Keeps what `?name=` asks for.
fn named(call: &Call, items: impl Iterator<Item = Value>) -> Vec<Value> {
    let wanted = call.query("name");
    items.filter(|item| wanted.is_none_or(|name| item["name"] == name)).collect()
}

/// Somebody who is not an administrator sees only what is his own.
fn is_shown(call: &Call, account: &Account) -> bool {
    call.caller.role == Role::Admin || account.user_uuid == call.caller.user_uuid
}

pub(super) async fn projects(call: Call) -> Outcome {
    let items = named(&call, std::iter::once(project_object(&call)));
    list(&call, "projects", "/projects", &items)
}

pub(super) async fn project(call: Call) -> Outcome {
    if !super::convert::is_project(call.param(0)) {
        return Err(missing("project", call.param(0)));
    }
    Reply::ok(&json!({ "project": project_object(&call) }))
}

fn missing(word: &str, id: &str) -> Fault {
    let id: String = id.chars().take(64).collect();
    Fault::not_found(format!("Could not find {word}: {id}."))
}

pub(super) async fn domains(call: Call) -> Outcome {
    let items = named(&call, std::iter::once(domain_full(&call)));
    list(&call, "domains", "/domains", &items)
}

pub(super) async fn domain(call: Call) -> Outcome {
    if call.param(0) != DOMAIN_ID {
        return Err(missing("domain", call.param(0)));
    }
    Reply::ok(&json!({ "domain": domain_full(&call) }))
}

pub(super) async fn users(call: Call) -> Outcome {
    let accounts = call.shared.context.accounts.list();
    let shown = accounts.iter().filter(|account| is_shown(&call, account)).map(|account| user_object(&call, account));
    let items = named(&call, shown);
    list(&call, "users", "/users", &items)
}

pub(super) async fn user(call: Call) -> Outcome {
    let accounts = call.shared.context.accounts.list();
    let account = account_by_id(&accounts, call.param(0)).filter(|account| is_shown(&call, account));
    let account = account.ok_or_else(|| missing("user", call.param(0)))?;
    Reply::ok(&json!({ "user": user_object(&call, account) }))
}

pub(super) async fn roles(call: Call) -> Outcome {
    let items = named(&call, ROLES.iter().map(|name| role_object(&call, name)));
    list(&call, "roles", "/roles", &items)
}

pub(super) async fn role(call: Call) -> Outcome {
    let name = ROLES.iter().find(|name| role_id(name) == call.param(0)).ok_or_else(|| missing("role", call.param(0)))?;
    Reply::ok(&json!({ "role": role_object(&call, name) }))
}

pub(super) async fn role_assignments(call: Call) -> Outcome {
    let accounts = call.shared.context.accounts.list();
    let of_account = |account: &std::sync::Arc<Account>| {
        let user = simple(account.user_uuid);
        let assignment = move |name: &&str| json!({ "role": { "id": role_id(name) }, "user": { "id": user }, "scope": { "project": { "id": project_id() } }, "links": {} });
        role_names(account.role).iter().map(assignment).collect::<Vec<_>>()
    };
    let items: Vec<Value> = accounts.iter().filter(|account| is_shown(&call, account)).flat_map(of_account).collect();
    list(&call, "role_assignments", "/role_assignments", &items)
}

fn service_objects() -> impl Iterator<Item = Value> {
    SERVICES.iter().map(|(kind, name, _)| json!({ "id": endpoint_id(kind, ""), "type": kind, "name": name, "enabled": true, "links": {} }))
}

pub(super) async fn services(call: Call) -> Outcome {
    let wanted = call.query("type");
    let services = service_objects().filter(|service| wanted.is_none_or(|kind| service["type"] == kind));
    let items = named(&call, services);
    list(&call, "services", "/services", &items)
}

pub(super) async fn service(call: Call) -> Outcome {
    let service = service_objects().find(|service| service["id"] == call.param(0)).ok_or_else(|| missing("service", call.param(0)))?;
    Reply::ok(&json!({ "service": service }))
}

pub(super) async fn endpoints(call: Call) -> Outcome {
    let mut items = Vec::new();
    for (kind, _, path) in SERVICES {
        items.extend(INTERFACES.iter().map(|interface| {
            json!({
                "id": endpoint_id(kind, interface), "interface": interface, "region": REGION, "region_id": REGION,
                "service_id": endpoint_id(kind, ""), "enabled": true, "url": format!("{}{path}", call.base_url), "links": {},
            })
        }));
    }
    list(&call, "endpoints", "/endpoints", &items)
}

fn region_object(call: &Call) -> Value {
    json!({ "id": REGION, "description": "", "parent_region_id": null, "links": { "self": identity_url(call, "/regions/RegionOne") } })
}

pub(super) async fn regions(call: Call) -> Outcome {
    let items = vec![region_object(&call)];
    list(&call, "regions", "/regions", &items)
}

pub(super) async fn region(call: Call) -> Outcome {
    if call.param(0) != REGION {
        return Err(missing("region", call.param(0)));
    }
    Reply::ok(&json!({ "region": region_object(&call) }))
}
