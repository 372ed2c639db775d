//! `POST /servers`.

use super::super::call::{Call, Outcome, Reply};
use super::super::convert::ZONE;
use super::super::decode::Fields;
use super::super::errors::Fault;
use super::super::version::since;
use super::extras::{self, Extras};
use super::servers::{created, take_access, take_disk_config};
use super::view::{Scene, reservation_id};
use super::{flavors, keypairs, mime, tags};
use crate::accounts::Accounts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hvnode_core::ErrorCode;
use hvnode_core::engine::Snapshot;
use hvnode_core::model::GIBIBYTE;
use hvnode_core::verb::{ChangeInput, CreateVmInput, DeleteVmInput, NewVolumeInput, NicInput, RootSource, Shape};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// Most servers of one request.
const COUNT_MAX: i64 = 100;
/// Most GiB of one disk that a request may name; the engine has its own bound.
const SIZE_MAX_GIB: i64 = 1 << 20;
/// How long a server that is given up is waited for where it can be canceled no more.
const GIVE_UP_WAIT: Duration = Duration::from_secs(120);
/// Most bytes of a password.
const PASSWORD_BYTES_MAX: usize = 128;

/// A request, understood.
struct Wanted {
    input: CreateVmInput,
    extras: Extras,
    password: String,
    count_min: usize,
    count_max: usize,
    wants_reservation: bool,
}

pub(in super::super) async fn create(call: Call) -> Outcome {
    let wanted = decode(&call)?;
    extras::sweep(&call).await;
    let made = make(&call, &wanted).await?;
    let scene = Scene::of(&call);
    let Some(first) = made.first() else { return Err(Fault::bad_request("max_count must be at least 1.")) };
    if wanted.wants_reservation {
        return Reply::json(202, &serde_json::json!({ "reservation_id": wanted.extras.reservation_id }));
    }
    let body = created(&scene, *first, wanted.extras.is_manual_disk, Some(&wanted.password));
    Ok(Reply::json(202, &body)?.with_header("location", &format!("{}/servers/{first}", call.compute_url())))
}

/// Hands in as many creates as are wanted. Where fewer than the least number are taken, those that were are given up.
async fn make(call: &Call, wanted: &Wanted) -> Result<Vec<Uuid>, Fault> {
    let mut made = Vec::new();
    for index in 0..wanted.count_max {
        let mut input = wanted.input.clone();
        if wanted.count_max > 1 {
            input.vm_name = format!("{}-{}", input.vm_name, index + 1);
        }
        match make_one(call, input, &wanted.extras).await {
            Ok((vm_uuid, job_uuid)) => made.push((vm_uuid, job_uuid)),
            Err(_) if made.len() >= wanted.count_min && !made.is_empty() => break,
            Err(fault) => {
                for (vm_uuid, job_uuid) in made {
                    give_up(call, vm_uuid, job_uuid).await?;
                }
                return Err(fault);
            }
        }
    }
    Ok(made.into_iter().map(|(vm_uuid, _)| vm_uuid).collect())
}

/// Takes back a server of a request that is refused as a whole: nothing of it may stay.
async fn give_up(call: &Call, vm_uuid: Uuid, job_uuid: Uuid) -> Result<(), Fault> {
    let engine = &call.shared.context.engine;
    if engine.cancel_job(&call.caller, job_uuid).await.is_err() {
        engine.wait_for_job(job_uuid, GIVE_UP_WAIT).await?;
        let delete = DeleteVmInput { vm_uuid, is_forced: true, is_deleting_volumes: true, keep_days: Some(0) };
        // One that could not be made is gone by itself.
        if engine.snapshot().vms.contains_key(&vm_uuid) {
            call.submit(ChangeInput::DeleteVm(delete)).await?;
        }
    }
    extras::forget_failed(&call.shared.context.records, vm_uuid).await?;
    extras::forget(&call.shared.context.records, vm_uuid).await
}

async fn make_one(call: &Call, mut input: CreateVmInput, extras: &Extras) -> Result<(Uuid, Uuid), Fault> {
    let records = &call.shared.context.records;
    let vm_uuid = Uuid::new_v4();
    input.vm_uuid = Some(vm_uuid);
    // First, so that no server is ever shown without them.
    let has_extras = *extras != Extras::default();
    if has_extras {
        extras.put(records, vm_uuid).await?;
    }
    match call.submit(ChangeInput::CreateVm(Box::new(input))).await {
        Ok(job) => {
            extras::watch_create(&call.shared, &job);
            Ok((vm_uuid, job.job_uuid))
        }
        Err(fault) => {
            if has_extras {
                extras::forget(records, vm_uuid).await?;
            }
            Err(reworded(fault))
        }
    }
}

/// What a request refers to and does not exist makes it a bad one here.
fn reworded(mut fault: Fault) -> Fault {
    let code = fault.error.as_ref().map(hvnode_core::AgentError::code);
    let message = match code {
        Some(ErrorCode::ImageNotExist) => "Can not find requested image",
        Some(ErrorCode::SpecificationNotExist) => "Flavor could not be found.",
        Some(ErrorCode::NetworkNotExist) => "Network could not be found.",
        Some(ErrorCode::VolumeNotExist) => "Volume could not be found.",
        Some(ErrorCode::ImageNotReady) => "Image is not active.",
        _ => return fault,
    };
    (fault.status, fault.message) = (400, message.to_owned());
    fault
}

fn decode(call: &Call) -> Result<Wanted, Fault> {
    let snapshot = call.snapshot();
    let mut fields = Fields::wrapped(&call.body, "server", &["os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"])?;
    let mut extras = Extras::default();
    let name = fields.required("name")?.trim().to_owned();
    let shape = flavor(call, &snapshot, &mut fields)?;
    let disks = disks(&mut fields)?;
    let nics = nics(call, &mut fields)?;
    let (count_min, count_max) = counts(&mut fields)?;
    take_access(&mut fields, &mut extras)?;
    take_disk_config(&mut fields, &mut extras)?;
    extras.has_config_drive = fields.boolean("config_drive")?.unwrap_or(false);
    extras.deletes_volumes = disks.deletes_volumes;
    let mut description = String::new();
    if call.version >= since::DESCRIPTION {
        description = fields.text("description")?.unwrap_or_default().to_owned();
    }
    if call.version >= since::TAGS_AT_CREATE {
        extras.tags = tags::read(&mut fields)?.unwrap_or_default();
    }
    let (password, seed) = seed(call, &mut fields, &mut extras)?;
    let metadata = fields.pairs("metadata")?.unwrap_or_default();
    check_place(&snapshot, &mut fields)?;
    refuse_what_is_not_here(call, &mut fields)?;
    let wants_reservation = fields.boolean("return_reservation_id")?.unwrap_or(false);
    fields.end()?;
    if wants_reservation || count_max > 1 {
        extras.reservation_id = Some(reservation_id(Uuid::new_v4()));
    }
    let input = CreateVmInput {
        vm_uuid: None,
        vm_name: name,
        description,
        shape,
        root: disks.root,
        root_storage_bytes: disks.root_storage_bytes,
        nics,
        volumes: disks.volumes,
        firmware: None,
        architecture: None,
        auto_start: false,
        restart_on_crash: false,
        is_started: true,
        tenant_uuid: None,
        metadata,
        seed,
    };
    Ok(Wanted { input, extras, password, count_min, count_max, wants_reservation })
}

fn flavor(call: &Call, snapshot: &Snapshot, fields: &mut Fields<'_>) -> Result<Shape, Fault> {
    let value = fields.value("flavorRef").ok_or_else(|| fields.missing("flavorRef"))?;
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(fields.wrong("flavorRef", "is not of type 'string'")),
    };
    let id = last_part(&text);
    flavors::shape(&call.shared.context.records, snapshot, id).ok_or_else(|| {
        let shown: String = id.chars().take(64).collect();
        Fault::bad_request(format!("Flavor {shown} could not be found."))
    })
}

/// A reference may be a whole address.
fn last_part(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or(reference)
}

fn counts(fields: &mut Fields<'_>) -> Result<(usize, usize), Fault> {
    let least = fields.integer("min_count", 1, COUNT_MAX)?;
    let most = fields.integer("max_count", 1, COUNT_MAX)?;
    let least = least.unwrap_or(1);
    let most = most.unwrap_or(least);
    if least > most {
        return Err(Fault::bad_request("min_count must be <= max_count"));
    }
    Ok((usize::try_from(least).unwrap_or(1), usize::try_from(most).unwrap_or(1)))
}

/// What a server boots from, and its data disks.
struct Disks {
    root: RootSource,
    root_storage_bytes: Option<u64>,
    volumes: Vec<NewVolumeInput>,
    deletes_volumes: bool,
}

fn disks(fields: &mut Fields<'_>) -> Result<Disks, Fault> {
    let image = match fields.text("imageRef")? {
        None | Some("") => None,
        Some(text) => Some(Uuid::try_parse(last_part(text)).map_err(|_| Fault::bad_request("Invalid imageRef provided."))?),
    };
    if fields.value("block_device_mapping").is_some() {
        return Err(Fault::bad_request("block_device_mapping is not taken by this node: use block_device_mapping_v2."));
    }
    let mut root = None;
    let (mut root_storage_bytes, mut volumes, mut endings) = (None, Vec::new(), Vec::new());
    for (index, value) in fields.list("block_device_mapping_v2")?.unwrap_or(&[]).iter().enumerate() {
        match mapping(&format!("server.block_device_mapping_v2[{index}]"), value)? {
            Mapping::Root(source, bytes) if root.is_none() => (root, root_storage_bytes) = (Some(source), bytes),
            Mapping::Root(..) => return Err(Fault::bad_request("Block Device Mapping is Invalid: more than one has boot_index 0.")),
            Mapping::Data(volume, is_deleted) => {
                volumes.push(volume);
                endings.push(is_deleted);
            }
        }
    }
    let root = match (root, image) {
        (None, Some(image)) => RootSource::Image(image),
        (Some(RootSource::Image(mapped)), Some(image)) if mapped != image => {
            return Err(Fault::bad_request(
                "Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping combination is not valid.",
            ));
        }
        (Some(root), _) => root,
        (None, None) => {
            return Err(Fault::bad_request(
                "Block Device Mapping is Invalid: You must specify a bootable device: imageRef, or block_device_mapping_v2 with boot_index 0.",
            ));
        }
    };
    let deletes_volumes = endings.first().copied().unwrap_or(false);
    if endings.iter().any(|ending| *ending != deletes_volumes) {
        return Err(Fault::bad_request("This node takes the same delete_on_termination for all data disks of a server only."));
    }
    Ok(Disks { root, root_storage_bytes, volumes, deletes_volumes })
}

enum Mapping {
    Root(RootSource, Option<u64>),
    Data(NewVolumeInput, bool),
}

fn mapping(path: &str, value: &Value) -> Result<Mapping, Fault> {
    let mut fields = Fields::of(path, value)?;
    let source = fields.required("source_type")?;
    let destination = fields.text("destination_type")?;
    let uuid = fields.uuid("uuid")?;
    let size = fields.integer("volume_size", 1, SIZE_MAX_GIB)?.and_then(|gib| u64::try_from(gib).ok()).map(|gib| gib * GIBIBYTE);
    let boot_index = fields.integer("boot_index", -1, 1000)?;
    let is_deleted = fields.boolean("delete_on_termination")?;
    fields.ignore(&["device_name", "disk_bus", "device_type", "tag", "guest_format", "volume_type", "no_device"]);
    let needs_uuid = || Fault::bad_request(format!("Block Device Mapping is Invalid: {path} needs a uuid."));
    let unsupported = |what: &str| Err(Fault::bad_request(format!("Block Device Mapping is Invalid: {path}: this node does not {what}.")));
    let mapping = match (source, destination, boot_index) {
        ("image", None | Some("local"), Some(0)) => Mapping::Root(RootSource::Image(uuid.ok_or_else(needs_uuid)?), size),
        ("image", Some("volume"), Some(0)) if is_deleted == Some(true) => {
            Mapping::Root(RootSource::Image(uuid.ok_or_else(needs_uuid)?), size)
        }
        ("image", Some("volume"), Some(0)) => {
            return unsupported("keep a disk made from an image beyond its server; set delete_on_termination to true");
        }
        ("volume", None | Some("volume"), Some(0)) => Mapping::Root(RootSource::Volume(uuid.ok_or_else(needs_uuid)?), None),
        ("blank", destination, None | Some(-1)) => {
            let bytes = size.ok_or_else(|| Fault::bad_request(format!("Block Device Mapping is Invalid: {path} needs a volume_size.")))?;
            // A local disk never outlives its server.
            let is_deleted = is_deleted.unwrap_or(destination != Some("volume"));
            Mapping::Data(NewVolumeInput { volume_name: String::new(), storage_bytes: bytes }, is_deleted)
        }
        ("volume", _, _) => return unsupported("attach volumes that exist while a server is made"),
        ("snapshot", _, _) => return unsupported("make disks from snapshots"),
        ("image", _, _) => return unsupported("make data disks from images"),
        ("blank", _, _) => return unsupported("boot from an empty disk"),
        _ => return Err(fields.wrong("source_type", "is not one of ['volume', 'image', 'snapshot', 'blank']")),
    };
    fields.end()?;
    Ok(mapping)
}

/// None leaves the choice to the node: its default network.
fn nics(call: &Call, fields: &mut Fields<'_>) -> Result<Option<Vec<NicInput>>, Fault> {
    let is_mandatory = call.version >= since::NETWORKS_MANDATORY;
    let list = match fields.value("networks") {
        None if is_mandatory => return Err(fields.missing("networks")),
        None => return Ok(None),
        Some(Value::String(word)) if is_mandatory && word == "none" => return Ok(Some(Vec::new())),
        Some(Value::String(word)) if is_mandatory && word == "auto" => return Ok(None),
        Some(Value::Array(list)) => list,
        Some(_) if is_mandatory => return Err(fields.wrong("networks", "is not a list, 'auto' or 'none'")),
        Some(_) => return Err(fields.wrong("networks", "is not of type 'array'")),
    };
    // Before the words, an empty list meant what "auto" means now.
    if list.is_empty() {
        return Ok(None);
    }
    list.iter().enumerate().map(|(index, value)| nic(&format!("server.networks[{index}]"), value)).collect::<Result<_, _>>().map(Some)
}

fn nic(path: &str, value: &Value) -> Result<NicInput, Fault> {
    let mut fields = Fields::of(path, value)?;
    if let Some(port) = fields.text("port")? {
        let shown: String = port.chars().take(64).collect();
        return Err(Fault::bad_request(format!(
            "Port id {shown} could not be found: this node makes a server's ports itself, name a network."
        )));
    }
    let network_uuid = fields.uuid("uuid")?.ok_or_else(|| fields.missing("uuid"))?;
    let ip_address = match fields.text("fixed_ip")? {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| fields.wrong("fixed_ip", "is not a 'ipv4'"))?),
    };
    fields.ignore(&["tag"]);
    fields.end()?;
    Ok(NicInput { network_uuid, ip_address, mac_address: None })
}

/// What the guest's cloud-init is told, and the password in it.
fn seed(call: &Call, fields: &mut Fields<'_>, extras: &mut Extras) -> Result<(String, hvnode_core::verb::GuestSeed), Fault> {
    let password = match fields.text("adminPass")? {
        Some(text) if text.is_empty() || text.len() > PASSWORD_BYTES_MAX || text.chars().any(char::is_control) => {
            return Err(Fault::bad_request(format!(
                "Invalid input for field/attribute adminPass. It must have 1 to {PASSWORD_BYTES_MAX} bytes on one line."
            )));
        }
        Some(text) => text.to_owned(),
        None => Accounts::random_password().chars().filter(char::is_ascii_alphanumeric).take(16).collect(),
    };
    let key = match fields.text("key_name")? {
        None => None,
        Some(name) => {
            let key = keypairs::public_key(call, name).ok_or_else(|| Fault::bad_request("Invalid key_name provided."))?;
            extras.key_name = Some(name.to_owned());
            Some(key)
        }
    };
    let user_data = match fields.text("user_data")? {
        None | Some("") => None,
        Some(text) => {
            let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            let bytes = STANDARD
                .decode(compact)
                .map_err(|_| Fault::bad_request("Invalid input for field/attribute user_data. It is not base64."))?;
            Some(
                String::from_utf8(bytes)
                    .map_err(|_| Fault::bad_request("Invalid input for field/attribute user_data. This node takes text only."))?,
            )
        }
    };
    Ok((password.clone(), mime::seed(Some(password), key, user_data)))
}

/// There is one place for servers.
fn check_place(snapshot: &Snapshot, fields: &mut Fields<'_>) -> Result<(), Fault> {
    let host_name = snapshot.facts.host_name.as_str();
    if let Some(text) = fields.text("availability_zone")? {
        let (zone, host) = text.split_once(':').map_or((text, ""), |(zone, rest)| (zone, rest.split(':').next().unwrap_or("")));
        if !["", ZONE].contains(&zone) {
            return Err(Fault::bad_request("The requested availability zone is not available"));
        }
        if !host.is_empty() && host != host_name {
            return Err(Fault::bad_request("No valid host was found. This node is the only one."));
        }
    }
    for value in fields.list("security_groups")?.unwrap_or(&[]) {
        let mut group = Fields::of("server.security_groups", value)?;
        let name = group.required("name")?;
        group.end()?;
        if name != "default" {
            let shown: String = name.chars().take(64).collect();
            return Err(Fault::bad_request(format!("Security group {shown} not found: this node has 'default' only.")));
        }
    }
    Ok(())
}

fn refuse_what_is_not_here(call: &Call, fields: &mut Fields<'_>) -> Result<(), Fault> {
    if call.version < since::NO_FLOATING_LIMITS && !fields.list("personality")?.unwrap_or(&[]).is_empty() {
        return Err(Fault::bad_request("personality is not taken by this node: use user_data."));
    }
    if call.version >= since::TRUSTED_CERTIFICATES && fields.value("trusted_image_certificates").is_some() {
        return Err(Fault::bad_request("trusted_image_certificates are not checked by this node."));
    }
    Ok(())
}
