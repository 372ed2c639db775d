//! Making and changing VMs.

use super::vm::{find, with_parts};
use super::{as_new, done, keyed, network};
use crate::dialect::chimestack::call::{Call, Outcome};
use crate::dialect::chimestack::errors::Failure;
use crate::dialect::chimestack::field::{Field, Kind, body};
use crate::dialect::chimestack::input::Input;
use crate::dialect::chimestack::label::{self, Label};
use hvnode_core::model::{ImageFormat, VmStatus};
use hvnode_core::verb::{
    ChangeInput, CreateVmInput, DeleteVmInput, GuestSeed, NewVolumeInput, NicInput, RootSource, Shape, StopVmInput, UpdateVmInput,
    VmOnlyInput,
};
use hvnode_core::{AgentError, Result, fail};
use serde_json::json;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Most volumes of a VM in this API.
const VOLUMES_MAX: usize = 128;
/// Most NICs of a VM in this API.
const NICS_MAX: usize = 16;
/// Longest password in bytes.
const PASSWORD_BYTES_MAX: usize = 128;
const DESCRIPTION: Field = body("description", Kind::Text(1024));
const BYTES: Kind = Kind::Whole(1 << 20, i64::MAX as u64);

const NIC_FIELDS: &[Field] = &[
    body("name", Kind::Name).required(),
    body("subnet_uuid", Kind::Uuid).required(),
    body("sg_uuid", Kind::Uuid).about("The group of GET /v1/securitygroup; a node has one, which lets everything pass."),
    body("ip", Kind::Address).about("Chosen if absent."),
    body("primary", Kind::Flag).about("The first one if no NIC says 1."),
    DESCRIPTION,
];

const VOLUME_FIELDS: &[Field] = &[
    body("name", Kind::Name).required(),
    body("size", BYTES).required().about("Bytes, at least 1 MiB."),
    body("volume_spec_uuid", Kind::Uuid).required(),
    body("root", Kind::Flag).about("1 for the volume that the VM boots from; exactly one must say so."),
    body("image_uuid", Kind::Uuid).about("Of the root volume; it becomes a linked clone."),
    body("host_uuid", Kind::Uuid),
    DESCRIPTION,
];

const CDROM_FIELDS: &[Field] = &[
    body("name", Kind::Name).required(),
    body("image_uuid", Kind::Uuid).required().about("An image of format iso."),
    body("volume_spec_uuid", Kind::Uuid).required(),
    body("bootable", Kind::Flag),
    body("host_uuid", Kind::Uuid),
];

/// Body of `POST /v1/vm`.
pub(in super::super) const CREATE: &[Field] = &[
    body("az_uuid", Kind::Uuid).required(),
    body("cluster_uuid", Kind::Uuid).required(),
    body("instance_spec_uuid", Kind::Uuid).required(),
    body("name", Kind::Name).required(),
    body("nics", Kind::List(NIC_FIELDS, NICS_MAX)).required(),
    body("volumes", Kind::List(VOLUME_FIELDS, VOLUMES_MAX)).required(),
    body("host_uuid", Kind::Uuid),
    body("cdrom", Kind::Object(CDROM_FIELDS)).about("Only beside a root volume without an image: the VM boots from it."),
    body("password", Kind::Secret(PASSWORD_BYTES_MAX)).about("For the image's default account, through cloud-init."),
    body("vnc_password", Kind::Secret(PASSWORD_BYTES_MAX)).about("Not in this version: screens are on loopback only."),
    DESCRIPTION,
];

/// Body of `PATCH /v1/vm/{VmUuid}`.
pub(in super::super) const RENAME: &[Field] = &[body("name", Kind::Name).required(), DESCRIPTION];

pub(in super::super) async fn create(call: Call, input: Input) -> Outcome {
    let (nics, volumes) = (ordered(input.list("nics"), "primary")?, ordered_volumes(input.list("volumes"))?);
    for part in nics.iter().chain(volumes.iter()).chain(input.object("cdrom").iter()) {
        call.node().check_parameters(part)?;
    }
    let change = create_input(&call, &input, &nics, &volumes)?;
    let job = call.submit(ChangeInput::CreateVm(Box::new(change)), &input).await?;
    let call = call.refreshed();
    let vm_uuid = job.resource.uuid;
    keep_labels(&call, vm_uuid, &nics, &volumes).await;
    match call.snapshot.vms.get(&vm_uuid) {
        Some(vm) => {
            let mut view = as_new(with_parts(&call, vm));
            view["state"] = call.options.states.vm.of_status(VmStatus::Creating).into();
            Ok(keyed("vm", view))
        }
        None => Err(call.failure_of(&job).await),
    }
}

/// The one that says 1 first, the others as they came; nothing else has an order of its own.
fn ordered(parts: Vec<Input>, flag: &'static str) -> Result<Vec<Input>> {
    let (mut first, others): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| part.is_set(flag));
    if first.len() > 1 {
        return Err(fail!(ParameterInvalid, "only one entry may say 1 as {flag}"));
    }
    first.extend(others);
    Ok(first)
}

fn ordered_volumes(volumes: Vec<Input>) -> Result<Vec<Input>> {
    let volumes = ordered(volumes, "root")?;
    if !volumes.first().is_some_and(|root| root.is_set("root")) {
        return Err(fail!(ParameterMissing, "volumes: one entry must say 1 as root"));
    }
    if let Some(index) = volumes.iter().skip(1).position(|volume| volume.uuid("image_uuid").is_some()) {
        let name = volumes[index + 1].owned("name").unwrap_or_default();
        return Err(fail!(NotSupported, "volumes: {name} has an image_uuid, which only the root volume may have here"));
    }
    Ok(volumes)
}

fn create_input(call: &Call, input: &Input, nics: &[Input], volumes: &[Input]) -> std::result::Result<CreateVmInput, Failure> {
    if input.text("vnc_password").is_some() {
        return Err(fail!(NotSupported, "vnc_password: screens have no passwords here, they are on loopback only").into());
    }
    let data = volumes.iter().skip(1);
    let seed = GuestSeed { password: input.owned("password"), ..GuestSeed::default() };
    Ok(CreateVmInput {
        vm_uuid: None,
        vm_name: input.owned("name").unwrap_or_default(),
        description: input.owned("description").unwrap_or_default(),
        shape: Shape::Specification(input.required_uuid("instance_spec_uuid")?),
        root: root(call, input, &volumes[0])?,
        root_storage_bytes: volumes[0].whole("size"),
        nics: Some(nics.iter().map(|nic| nic_input(call, nic)).collect::<std::result::Result<_, _>>()?),
        volumes: data
            .map(|volume| NewVolumeInput {
                volume_name: volume.owned("name").unwrap_or_default(),
                storage_bytes: volume.whole("size").unwrap_or_default(),
            })
            .collect(),
        firmware: None,
        architecture: None,
        auto_start: false,
        restart_on_crash: false,
        is_started: true,
        tenant_uuid: None,
        metadata: BTreeMap::new(),
        seed,
    })
}

fn root(call: &Call, input: &Input, root: &Input) -> Result<RootSource> {
    let cdrom = input.object("cdrom").and_then(|cdrom| cdrom.uuid("image_uuid"));
    match (root.uuid("image_uuid"), cdrom) {
        (Some(image), None) => Ok(RootSource::Image(image)),
        (None, Some(disc)) => {
            let image = call.snapshot.images.get(&disc).ok_or_else(|| fail!(ImageNotExist))?;
            if image.format == ImageFormat::Iso {
                return Ok(RootSource::Image(disc));
            }
            let word = image.format.word();
            Err(fail!(ImageFormatInvalid, "cdrom.image_uuid needs an image of format iso, this one is {word}"))
        }
        (Some(_), Some(_)) => Err(fail!(NotSupported, "cdrom: not beside a root volume that has an image_uuid")),
        (None, None) => Err(fail!(ParameterMissing, "image_uuid of the root volume, or cdrom")),
    }
}

fn nic_input(call: &Call, nic: &Input) -> std::result::Result<NicInput, Failure> {
    let subnet = nic.required_uuid("subnet_uuid")?;
    let network = network::network_of(&call.snapshot, subnet).ok_or_else(|| Failure::no_such("Subnet", fail!(NetworkNotExist)))?;
    Ok(NicInput { network_uuid: network.network_uuid, ip_address: nic.address("ip"), mac_address: None })
}

/// Keeps what was said about NICs and volumes. The VM is accepted already: a store that fails is told in the log.
async fn keep_labels(call: &Call, vm_uuid: Uuid, nics: &[Input], volumes: &[Input]) {
    let Some(record) = call.snapshot.vms.get(&vm_uuid).and_then(|vm| vm.record.clone()) else { return };
    let nics = record.nics.iter().map(|nic| nic.interface_uuid).zip(nics);
    let nics = nics.map(|(uuid, nic)| (uuid, Label::default().changed(nic)));
    let volumes = record.volumes.iter().copied().zip(volumes);
    // Volumes have their names from the engine.
    let volumes = volumes.map(|(uuid, volume)| (uuid, Label { name: String::new(), ..Label::default().changed(volume) }));
    let node = call.node();
    let keep = async {
        label::forget_gone(call, &[node.az, node.cluster]).await?;
        for (uuid, label) in nics.chain(volumes).filter(|(_, label)| *label != Label::default()) {
            label.keep(call, uuid).await?;
        }
        Ok::<_, AgentError>(())
    };
    if let Err(error) = keep.await {
        tracing::warn!(%vm_uuid, error = %error.chain(), "names and descriptions of NICs and volumes could not be kept");
    }
}

fn target(input: &Input) -> Result<Uuid> {
    input.required_uuid("VmUuid")
}

pub(in super::super) async fn start(call: Call, input: Input) -> Outcome {
    let vm_uuid = target(&input)?;
    call.submit(ChangeInput::StartVm(VmOnlyInput { vm_uuid }), &input).await?;
    done("vm")
}

pub(in super::super) async fn stop(call: Call, input: Input) -> Outcome {
    let vm_uuid = target(&input)?;
    call.submit(ChangeInput::StopVm(StopVmInput { vm_uuid, is_forced: false, timeout_seconds: None }), &input).await?;
    done("vm")
}

pub(in super::super) async fn rename(call: Call, input: Input) -> Outcome {
    let change = UpdateVmInput {
        vm_uuid: target(&input)?,
        new_name: input.owned("name"),
        description: input.owned("description"),
        ..Default::default()
    };
    call.submit_short(ChangeInput::UpdateVm(change), &input).await?;
    done("vm")
}

pub(in super::super) async fn delete(call: Call, input: Input) -> Outcome {
    let (vm_uuid, is_forced) = (target(&input)?, input.is_set("force_del"));
    let vm = find(&call, vm_uuid)?;
    // The engine would ask the guest to shut down; clients of this API expect a refusal. A busy VM is for the engine to refuse.
    if vm.record.is_some() && vm.job.is_none() && !is_forced && matches!(vm.status, VmStatus::Running | VmStatus::Paused) {
        let word = vm.status.word();
        return Err(fail!(VmStateNotAllowed, "{word}; delete needs a stopped VM, or force_del=true").into());
    }
    let change = DeleteVmInput { vm_uuid, is_forced, is_deleting_volumes: is_forced, keep_days: None };
    call.submit(ChangeInput::DeleteVm(change), &input).await?;
    done("vm")
}

pub(in super::super) async fn screen(call: Call, input: Input) -> Outcome {
    let vm_uuid = target(&input)?;
    find(&call, vm_uuid)?;
    let display = call.context.engine.display(vm_uuid).await?;
    let host = if display.socket.is_empty() { display.ip_address } else { format!("unix:{}", display.socket) };
    Ok(keyed("vnc", json!({ "host": host, "port": display.port, "password": "", "protocol": display.kind })))
}
