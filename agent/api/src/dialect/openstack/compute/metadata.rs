//! Metadata of servers.

use super::super::call::{Call, Outcome, Reply};
use super::super::decode::{Fields, pairs};
use super::super::errors::Fault;
use super::find;
use hvnode_core::verb::{ChangeInput, UpdateVmInput};
use serde_json::json;
use std::collections::BTreeMap;
use uuid::Uuid;

type Pairs = BTreeMap<String, String>;

fn target(call: &Call) -> Result<(Uuid, Pairs), Fault> {
    let snapshot = call.snapshot();
    let vm = find(call, &snapshot)?;
    Ok((vm.uuid(), vm.record.as_ref().map(|record| record.metadata.clone()).unwrap_or_default()))
}

async fn put(call: &Call, vm_uuid: Uuid, metadata: Pairs) -> Result<(), Fault> {
    let input = UpdateVmInput { vm_uuid, metadata: Some(metadata), ..UpdateVmInput::default() };
    call.submit_and_wait(ChangeInput::UpdateVm(input)).await?;
    Ok(())
}

fn sent(call: &Call) -> Result<Pairs, Fault> {
    let mut fields = Fields::of("", &call.body)?;
    let pairs = fields.pairs("metadata")?.ok_or_else(|| fields.missing("metadata"))?;
    fields.end()?;
    Ok(pairs)
}

pub(in super::super) async fn list(call: Call) -> Outcome {
    let (_, metadata) = target(&call)?;
    Reply::ok(&json!({ "metadata": metadata }))
}

pub(in super::super) async fn add(call: Call) -> Outcome {
    let (vm_uuid, mut metadata) = target(&call)?;
    metadata.extend(sent(&call)?);
    put(&call, vm_uuid, metadata.clone()).await?;
    Reply::ok(&json!({ "metadata": metadata }))
}

pub(in super::super) async fn replace(call: Call) -> Outcome {
    let (vm_uuid, _) = target(&call)?;
    let metadata = sent(&call)?;
    put(&call, vm_uuid, metadata.clone()).await?;
    Reply::ok(&json!({ "metadata": metadata }))
}

fn no_key() -> Fault {
    Fault::not_found("Metadata item was not found")
}

pub(in super::super) async fn show(call: Call) -> Outcome {
    let (_, metadata) = target(&call)?;
    let value = metadata.get(call.param(1)).ok_or_else(no_key)?;
    Reply::ok(&json!({ "meta": { call.param(1): value } }))
}

pub(in super::super) async fn set(call: Call) -> Outcome {
    let (vm_uuid, mut metadata) = target(&call)?;
    let mut fields = Fields::of("", &call.body)?;
    let meta = fields.value("meta").ok_or_else(|| fields.missing("meta"))?;
    fields.end()?;
    let meta = pairs("meta", meta)?;
    if meta.len() != 1 || !meta.contains_key(call.param(1)) {
        return Err(Fault::bad_request("Request body and URI mismatch"));
    }
    metadata.extend(meta.clone());
    put(&call, vm_uuid, metadata).await?;
    Reply::ok(&json!({ "meta": meta }))
}

pub(in super::super) async fn remove(call: Call) -> Outcome {
    let (vm_uuid, mut metadata) = target(&call)?;
    metadata.remove(call.param(1)).ok_or_else(no_key)?;
    put(&call, vm_uuid, metadata).await?;
    Ok(Reply::empty(204))
}
