//! Key pairs: public keys that a server's guest is given. Private keys are made by the clients.

use super::super::DIALECT;
use super::super::call::{Call, Outcome, Reply};
use super::super::convert::{micro, simple};
use super::super::decode::Fields;
use super::super::errors::Fault;
use super::super::paging::{next_links, page};
use super::super::version::since;
use crate::records::value_of;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hvnode_core::model::DialectRecord;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

const KEYPAIR: &str = "keypair";
/// Most characters of a name.
const NAME_LENGTH_MAX: usize = 255;
/// Most bytes of a key.
const KEY_BYTES_MAX: usize = 16 << 10;
/// Most key pairs of one user.
const KEYPAIRS_MAX: usize = 1000;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct KeyPair {
    name: String,
    public_key: String,
    user_id: String,
}

impl KeyPair {
    /// The fingerprint as today's tools write it.
    fn fingerprint(&self) -> String {
        let blob = self.public_key.split_whitespace().nth(1).and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&blob)))
    }
}

/// A user's records begin with this.
fn record_id(user_id: &str, name: &str) -> String {
    format!("{user_id}/{name}")
}

/// Whose key pairs a request is about: the caller's, or another's where an administrator says so.
fn user_of(call: &Call) -> Result<String, Fault> {
    let own = simple(call.caller.user_uuid);
    match call.query("user_id").filter(|_| call.version >= since::KEYPAIR_USER) {
        Some(id) if id != own && call.caller.role < hvnode_core::model::Role::Admin => {
            Err(Fault::new(403, "Policy doesn't allow os_compute_api:os-keypairs to be performed."))
        }
        Some(id) => Ok(id.to_owned()),
        None => Ok(own),
    }
}

/// The key of a name, for a server that is made.
pub(super) fn public_key(call: &Call, name: &str) -> Option<String> {
    let id = record_id(&simple(call.caller.user_uuid), name);
    let record = call.shared.context.records.get(DIALECT, KEYPAIR, &id)?;
    value_of::<KeyPair>(&record).map(|pair| pair.public_key)
}

fn of_user(call: &Call, user_id: &str) -> Vec<(KeyPair, Arc<DialectRecord>)> {
    let records = call.shared.context.records.list(DIALECT, KEYPAIR);
    let own = records.into_iter().filter(|record| record.key.id.starts_with(&format!("{user_id}/")));
    own.filter_map(|record| Some((value_of::<KeyPair>(&record)?, record))).collect()
}

fn brief(call: &Call, pair: &KeyPair) -> Value {
    let mut view = json!({ "name": pair.name, "public_key": pair.public_key, "fingerprint": pair.fingerprint() });
    if call.version >= since::KEYPAIR_TYPE {
        view["type"] = "ssh".into();
    }
    view
}

pub(in super::super) async fn list(call: Call) -> Outcome {
    let pairs = of_user(&call, &user_of(&call)?);
    let page = page(&call, pairs, |(pair, _)| pair.name.clone())?;
    let items: Vec<Value> = page.items.iter().map(|(pair, _)| json!({ "keypair": brief(&call, pair) })).collect();
    let mut body = json!({ "keypairs": items });
    if let Some(marker) = page.next {
        body["keypairs_links"] = next_links(&call, &format!("{}/os-keypairs", call.compute_url()), &marker);
    }
    Reply::ok(&body)
}

pub(in super::super) async fn show(call: Call) -> Outcome {
    let user_id = user_of(&call)?;
    let record = call.shared.context.records.get(DIALECT, KEYPAIR, &record_id(&user_id, call.param(0)));
    let found = record.as_ref().and_then(|record| Some((value_of::<KeyPair>(record)?, record)));
    let (pair, record) = found.ok_or_else(|| no_pair(&call))?;
    let mut view = brief(&call, &pair);
    view["user_id"] = pair.user_id.clone().into();
    view["created_at"] = micro(record.create_time).into();
    view["updated_at"] = Value::Null;
    view["deleted_at"] = Value::Null;
    view["deleted"] = false.into();
    view["id"] = number(&record.key.id).into();
    Reply::ok(&json!({ "keypair": view }))
}

/// Nova's own number of a record; here made from what identifies it.
fn number(id: &str) -> u32 {
    let digest = Sha256::digest(id.as_bytes());
    u32::from_be_bytes([digest[0] & 0x7f, digest[1], digest[2], digest[3]])
}

fn no_pair(call: &Call) -> Fault {
    let name: String = call.param(0).chars().take(64).collect();
    Fault::not_found(format!("Keypair {name} not found for user {}", simple(call.caller.user_uuid)))
}

pub(in super::super) async fn create(call: Call) -> Outcome {
    let mut fields = Fields::wrapped(&call.body, "keypair", &[])?;
    let name = fields.required("name")?.trim().to_owned();
    let is_name =
        (1..=NAME_LENGTH_MAX).contains(&name.chars().count()) && name.chars().all(|c| c.is_ascii_alphanumeric() || " _-@.".contains(c));
    if !is_name {
        return Err(fields.wrong("name", "is no key pair name: 1 to 255 letters, digits, spaces and _ - @ ."));
    }
    let Some(public_key) = fields.text("public_key")? else {
        return Err(Fault::bad_request("public_key is a required property: this node makes no private keys."));
    };
    let public_key = check_key(public_key)?;
    if call.version >= since::KEYPAIR_TYPE && fields.text("type")?.is_some_and(|kind| kind != "ssh") {
        return Err(fields.wrong("type", "is not one of ['ssh']"));
    }
    let own = simple(call.caller.user_uuid);
    let mut user_id = own.clone();
    if call.version >= since::KEYPAIR_USER
        && let Some(id) = fields.text("user_id")?
    {
        if id != own && call.caller.role < hvnode_core::model::Role::Admin {
            return Err(Fault::new(403, "Policy doesn't allow os_compute_api:os-keypairs:create to be performed."));
        }
        user_id = id.chars().take(64).collect();
    }
    fields.end()?;
    let records = &call.shared.context.records;
    let id = record_id(&user_id, &name);
    if records.get(DIALECT, KEYPAIR, &id).is_some() {
        return Err(Fault::new(409, format!("Key pair '{name}' already exists.")));
    }
    if of_user(&call, &user_id).len() >= KEYPAIRS_MAX {
        return Err(Fault::new(403, "Quota exceeded, too many key pairs."));
    }
    let pair = KeyPair { name, public_key, user_id };
    records.put(DIALECT, KEYPAIR, &id, &pair).await?;
    call.record().await;
    let mut view = brief(&call, &pair);
    view["user_id"] = pair.user_id.clone().into();
    // Before types, a create was answered 200.
    Reply::json(if call.version >= since::KEYPAIR_TYPE { 201 } else { 200 }, &json!({ "keypair": view }))
}

/// One line: type, base64, comment.
fn check_key(text: &str) -> Result<String, Fault> {
    let key = text.trim();
    let mut parts = key.split_whitespace();
    let kind = parts.next().unwrap_or("");
    let is_kind = kind.starts_with("ssh-") || kind.starts_with("ecdsa-sha2-") || kind.starts_with("sk-");
    let blob = parts.next().and_then(|blob| STANDARD.decode(blob).ok()).filter(|blob| blob.len() > 16);
    if key.len() <= KEY_BYTES_MAX && !key.chars().any(char::is_control) && is_kind && blob.is_some() {
        return Ok(key.to_owned());
    }
    Err(Fault::bad_request("Keypair data is invalid: failed to generate fingerprint. It must be one line of an OpenSSH public key."))
}

pub(in super::super) async fn delete(call: Call) -> Outcome {
    let user_id = user_of(&call)?;
    if !call.shared.context.records.delete(DIALECT, KEYPAIR, &record_id(&user_id, call.param(0))).await? {
        return Err(no_pair(&call));
    }
    call.record().await;
    Ok(Reply::empty(if call.version >= since::KEYPAIR_TYPE { 204 } else { 202 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here";

    #[test]
    fn only_one_line_of_a_public_key_is_taken() {
        assert_eq!(check_key(&format!("{KEY}\n")).unwrap(), KEY);
        for key in ["", "ssh-rsa", "ssh-rsa !!!!", "hello AAAA", "ssh-ed25519 AAAA", &format!("{KEY}\n{KEY}")] {
            assert_eq!(check_key(key).unwrap_err().status, 400, "{key}");
        }
    }

    #[test]
    fn the_fingerprint_is_the_one_that_tools_show() {
        let pair = KeyPair { name: "a".into(), public_key: KEY.into(), user_id: String::new() };
        assert_eq!(pair.fingerprint(), "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
    }
}
