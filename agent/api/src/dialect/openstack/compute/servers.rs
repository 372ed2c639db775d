//! Listing, showing, changing and removing servers.

use super::super::call::{Call, Outcome, Reply};
use super::super::decode::Fields;
use super::super::errors::Fault;
use super::super::paging::{next_links, page};
use super::super::version::since;
use super::extras::{self, Extras};
use super::filter::Filter;
use super::view::Scene;
use super::{find, is_shown, no_server};
use hvnode_core::ErrorCode;
use hvnode_core::model::{Vm, VmStatus};
use hvnode_core::verb::{ChangeInput, DeleteVmInput, UpdateVmInput};
use serde::Serialize;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, Ipv6Addr};
use uuid::Uuid;

/// The answer of a listing.
#[derive(Serialize)]
struct Servers<T> {
    servers: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    servers_links: Option<Value>,
}

/// The servers that a query asks for, in its order, of its page; what they are shown as is `view`'s matter.
fn listed<T: Serialize>(call: &Call, path: &str, view: impl for<'a> Fn(&'a Scene, &'a Vm) -> Shown<'a, T>) -> Outcome {
    let scene = Scene::of(call);
    let failed = extras::failed(&call.shared.context.records);
    let filter = Filter::of(call)?;
    let all = scene.snapshot.vms.values().map(AsRef::as_ref).filter(|vm| is_shown(vm)).chain(failed.iter());
    let mut vms: Vec<&Vm> = all.filter(|vm| filter.admits(&scene, vm)).collect();
    filter.sort(&mut vms)?;
    let page = page(call, vms, |vm| vm.uuid().to_string())?;
    let url = format!("{}{path}", call.compute_url());
    let servers_links = page.next.map(|marker| next_links(call, &url, &marker));
    let servers: Vec<Shown<'_, T>> = page.items.into_iter().map(|vm| view(&scene, vm)).collect();
    Reply::ok(&Servers { servers, servers_links })
}

/// A server in one of its forms.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a, T> {
    Whole(super::view::ServerView<'a>),
    Brief(T),
}

pub(in super::super) async fn list(call: Call) -> Outcome {
    listed(&call, "/servers", |scene, vm| Shown::Brief(scene.brief(vm)))
}

pub(in super::super) async fn detail(call: Call) -> Outcome {
    listed::<Value>(&call, "/servers/detail", |scene, vm| Shown::Whole(scene.whole(vm)))
}

/// `{"server": …}`.
#[derive(Serialize)]
struct One<T> {
    server: T,
}

pub(in super::super) async fn show(call: Call) -> Outcome {
    let scene = Scene::of(&call);
    if let Ok(vm) = find(&call, &scene.snapshot) {
        return Reply::ok(&One { server: scene.whole(vm) });
    }
    let failed = call.uuid(0).and_then(|uuid| extras::failed_one(&call.shared, uuid));
    let vm = failed.ok_or_else(|| no_server(call.param(0)))?;
    Reply::ok(&One { server: scene.whole(&vm) })
}

pub(in super::super) async fn update(call: Call) -> Outcome {
    let vm_uuid = find(&call, &call.snapshot())?.uuid();
    let records = &call.shared.context.records;
    let before = Extras::of(records, vm_uuid);
    let mut after = before.clone();
    let mut fields = Fields::wrapped(&call.body, "server", &[])?;
    let new_name = fields.text("name")?.map(|name| name.trim().to_owned());
    let mut description = None;
    if call.version >= since::DESCRIPTION {
        let is_said = fields.has("description");
        description = fields.text("description")?.map(str::to_owned).or_else(|| is_said.then(String::new));
    }
    take_access(&mut fields, &mut after)?;
    take_disk_config(&mut fields, &mut after)?;
    fields.end()?;
    if new_name.is_some() || description.is_some() {
        let input = UpdateVmInput { vm_uuid, new_name, description, ..UpdateVmInput::default() };
        call.submit_and_wait(ChangeInput::UpdateVm(input)).await?;
    }
    if after != before {
        after.put(records, vm_uuid).await?;
        call.record().await;
    }
    let scene = Scene::of(&call);
    let vm = find(&call, &scene.snapshot)?;
    Reply::ok(&One { server: scene.changed(vm) })
}

/// The addresses that a client says a server is reached at.
pub(super) fn take_access(fields: &mut Fields<'_>, extras: &mut Extras) -> Result<(), Fault> {
    if let Some(text) = fields.text("accessIPv4")? {
        let address =
            if text.is_empty() { None } else { Some(text.parse::<Ipv4Addr>().map_err(|_| fields.wrong("accessIPv4", "is not a 'ipv4'"))?) };
        extras.access_ipv4 = address.map(|address| address.to_string()).unwrap_or_default();
    }
    if let Some(text) = fields.text("accessIPv6")? {
        let address =
            if text.is_empty() { None } else { Some(text.parse::<Ipv6Addr>().map_err(|_| fields.wrong("accessIPv6", "is not a 'ipv6'"))?) };
        extras.access_ipv6 = address.map(|address| address.to_string()).unwrap_or_default();
    }
    Ok(())
}

/// AUTO or MANUAL; shown again and no more.
pub(super) fn take_disk_config(fields: &mut Fields<'_>, extras: &mut Extras) -> Result<(), Fault> {
    match fields.text("OS-DCF:diskConfig")? {
        None => {}
        Some("AUTO") => extras.is_manual_disk = false,
        Some("MANUAL") => extras.is_manual_disk = true,
        Some(_) => return Err(fields.wrong("OS-DCF:diskConfig", "is not one of ['AUTO', 'MANUAL']")),
    }
    Ok(())
}

pub(in super::super) async fn delete(call: Call) -> Outcome {
    remove(&call).await?;
    Ok(Reply::empty(204))
}

/// Removes a server, at once and with the disk it got from its image. One that is being made is canceled.
pub(super) async fn remove(call: &Call) -> Result<(), Fault> {
    let records = &call.shared.context.records;
    let snapshot = call.snapshot();
    let vm = match find(call, &snapshot) {
        Ok(vm) => vm,
        Err(fault) => {
            let uuid = call.uuid(0).ok_or_else(|| fault.clone())?;
            if extras::forget_failed(records, uuid).await? {
                call.record().await;
                return Ok(());
            }
            return Err(fault);
        }
    };
    let vm_uuid = vm.uuid();
    if vm.status == VmStatus::Creating
        && let Some(job) = &vm.job
        && call.shared.context.engine.cancel_job(&call.caller, job.job_uuid).await.is_ok()
    {
        call.record().await;
        return extras::forget(records, vm_uuid).await;
    }
    let is_deleting_volumes = Extras::of(records, vm_uuid).deletes_volumes;
    let input = DeleteVmInput { vm_uuid, is_forced: true, is_deleting_volumes, keep_days: Some(0) };
    match call.submit(ChangeInput::DeleteVm(input)).await {
        // Deleting what is being deleted is no mistake.
        Err(fault) if vm.status == VmStatus::Deleting && is_busy(&fault) => Ok(()),
        Err(fault) => Err(in_the_way(fault, "delete", vm_uuid, vm)),
        Ok(_) => extras::forget(records, vm_uuid).await,
    }
}

fn is_busy(fault: &Fault) -> bool {
    fault.error.as_ref().is_some_and(|error| matches!(error.code(), ErrorCode::VmBusy | ErrorCode::ResourceBusy))
}

/// A refusal for the sake of a server's state, in Nova's words.
pub(super) fn in_the_way(mut fault: Fault, action: &str, vm_uuid: Uuid, vm: &Vm) -> Fault {
    let state = super::super::state::ServerState::of(vm);
    let code = fault.error.as_ref().map(hvnode_core::AgentError::code);
    fault.message = match code {
        Some(ErrorCode::VmBusy | ErrorCode::ResourceBusy) if state.task_state.is_some() => {
            format!("Cannot '{action}' instance {vm_uuid} while it is in task_state {}", state.task_state.unwrap_or(""))
        }
        Some(ErrorCode::VmBusy | ErrorCode::ResourceBusy) => {
            format!("Cannot '{action}' instance {vm_uuid} while another change is in progress")
        }
        Some(ErrorCode::VmStateNotAllowed) => format!("Cannot '{action}' instance {vm_uuid} while it is in vm_state {}", state.vm_state),
        Some(ErrorCode::VmLocked) => format!("Instance {vm_uuid} is locked"),
        _ => return fault,
    };
    fault
}

/// The answer of a create.
pub(super) fn created(scene: &Scene, vm_uuid: Uuid, is_manual_disk: bool, password: Option<&str>) -> Value {
    let mut server = json!({
        "id": vm_uuid,
        "links": scene.links(vm_uuid),
        "OS-DCF:diskConfig": if is_manual_disk { "MANUAL" } else { "AUTO" },
        "security_groups": [{ "name": "default" }],
    });
    if let Some(password) = password {
        server["adminPass"] = password.into();
    }
    json!({ "server": server })
}
