//! Tags of servers.

use super::super::call::{Call, Outcome, Reply};
use super::super::decode::Fields;
use super::super::errors::Fault;
use super::super::version::since;
use super::extras::Extras;
use super::find;
use serde_json::{Value, json};
use uuid::Uuid;

/// Most tags of a server.
const TAGS_MAX: usize = 50;
/// Most characters of a tag.
const TAG_LENGTH_MAX: usize = 60;

fn check_one(tag: &str) -> Result<(), Fault> {
    let length = tag.chars().count();
    if (1..=TAG_LENGTH_MAX).contains(&length) && !tag.contains(['/', ',']) && !tag.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Fault::bad_request(format!("Invalid tag: it must have 1 to {TAG_LENGTH_MAX} characters, without '/' and ','.")))
}

fn check_count(tags: &[String]) -> Result<(), Fault> {
    if tags.len() <= TAGS_MAX {
        Ok(())
    } else {
        Err(Fault::bad_request(format!("The number of tags exceeded the per-server limit {TAGS_MAX}")))
    }
}

/// The tags in a body, each once.
pub(super) fn read(fields: &mut Fields<'_>) -> Result<Option<Vec<String>>, Fault> {
    let Some(list) = fields.list("tags")? else { return Ok(None) };
    let mut tags: Vec<String> = Vec::new();
    for value in list {
        let tag = value.as_str().ok_or_else(|| fields.wrong("tags", "is not a list of texts"))?;
        check_one(tag)?;
        if !tags.iter().any(|known| known == tag) {
            tags.push(tag.to_owned());
        }
    }
    check_count(&tags)?;
    Ok(Some(tags))
}

/// The server, and what is known of it.
fn target(call: &Call) -> Result<(Uuid, Extras), Fault> {
    if call.version < since::TAGS {
        return Err(Fault::not_found("The resource could not be found."));
    }
    let vm_uuid = find(call, &call.snapshot())?.uuid();
    Ok((vm_uuid, Extras::of(&call.shared.context.records, vm_uuid)))
}

async fn put(call: &Call, vm_uuid: Uuid, extras: &Extras) -> Result<(), Fault> {
    super::super::errors::refuse_unmanaged(&call.snapshot(), vm_uuid)?;
    extras.put(&call.shared.context.records, vm_uuid).await?;
    call.record().await;
    Ok(())
}

pub(in super::super) async fn list(call: Call) -> Outcome {
    let (_, extras) = target(&call)?;
    Reply::ok(&json!({ "tags": extras.tags }))
}

pub(in super::super) async fn replace(call: Call) -> Outcome {
    let (vm_uuid, mut extras) = target(&call)?;
    let body = if call.body.is_null() { Value::Object(serde_json::Map::new()) } else { call.body.clone() };
    let mut fields = Fields::of("", &body)?;
    extras.tags = read(&mut fields)?.ok_or_else(|| fields.missing("tags"))?;
    fields.end()?;
    put(&call, vm_uuid, &extras).await?;
    Reply::ok(&json!({ "tags": extras.tags }))
}

pub(in super::super) async fn clear(call: Call) -> Outcome {
    let (vm_uuid, mut extras) = target(&call)?;
    extras.tags.clear();
    put(&call, vm_uuid, &extras).await?;
    Ok(Reply::empty(204))
}

fn no_tag(call: &Call) -> Fault {
    Fault::not_found(format!("Server {} has no tag '{}'", call.param(0), call.param(1).chars().take(TAG_LENGTH_MAX).collect::<String>()))
}

pub(in super::super) async fn check(call: Call) -> Outcome {
    let (_, extras) = target(&call)?;
    if extras.tags.iter().any(|tag| tag == call.param(1)) { Ok(Reply::empty(204)) } else { Err(no_tag(&call)) }
}

pub(in super::super) async fn add(call: Call) -> Outcome {
    let (vm_uuid, mut extras) = target(&call)?;
    check_one(call.param(1))?;
    if extras.tags.iter().any(|tag| tag == call.param(1)) {
        return Ok(Reply::empty(204));
    }
    extras.tags.push(call.param(1).to_owned());
    check_count(&extras.tags)?;
    put(&call, vm_uuid, &extras).await?;
    Ok(Reply::empty(201))
}

pub(in super::super) async fn remove(call: Call) -> Outcome {
    let (vm_uuid, mut extras) = target(&call)?;
    let before = extras.tags.len();
    extras.tags.retain(|tag| tag != call.param(1));
    if extras.tags.len() == before {
        return Err(no_tag(&call));
    }
    put(&call, vm_uuid, &extras).await?;
    Ok(Reply::empty(204))
}
