//! `APICreateVmInstanceMsg`: fields of all its versions.

use super::call::{Call, Decoded};
use super::errors::Fault;
use super::fields::{Fields, fault, missing};
use super::{change, record};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hvnode_core::verb::{ChangeInput, CreateVmInput, GuestSeed, NewVolumeInput, NicInput, RootSource, Shape};
use hvnode_core::{Result, fail};
use std::net::Ipv4Addr;
use uuid::Uuid;

/// Longest cloud-init text in bytes.
const USER_DATA_BYTES_MAX: usize = 64 << 10;
/// Longest public key in bytes.
const SSH_KEY_BYTES_MAX: usize = 16 << 10;
/// Most NICs or data disks of one message.
const DEVICES_MAX: usize = 32;

pub(super) fn decode(call: &Call, fields: &Fields) -> Decoded {
    let vm_name = fields.need_name()?;
    let image_uuid = fields.need_uuid("imageUuid")?;
    check_unused(fields)?;
    change::check_place(call, fields)?;
    let tags = Tags::read(&fields.texts("systemTags")?.unwrap_or_default())?;
    let strategy = fields.word("strategy", &["InstantStart", "JustCreate", "CreateStopped"])?;
    let input = CreateVmInput {
        vm_uuid: fields.uuid("resourceUuid")?,
        vm_name,
        description: fields.description()?.unwrap_or_default(),
        shape: shape(fields)?,
        root: RootSource::Image(image_uuid),
        root_storage_bytes: root_bytes(call, fields)?,
        nics: nics(fields, &tags)?,
        volumes: volumes(call, fields)?,
        firmware: None,
        architecture: fields.text("architecture")?,
        auto_start: false,
        restart_on_crash: false,
        is_started: strategy.unwrap_or("InstantStart") == "InstantStart",
        tenant_uuid: None,
        metadata: std::collections::BTreeMap::new(),
        seed: tags.seed,
    };
    Ok(ChangeInput::CreateVm(Box::new(input)))
}

/// Words that are known and can only be the ones that this node has.
fn check_unused(fields: &Fields) -> Result<()> {
    fields.word("type", &["UserVm"])?;
    fields.word("platform", &["Linux", "Windows", "Other", "Paravirtualization", "WindowsVirtio"])?;
    if fields.texts("sshKeyPairUuids")?.is_some_and(|uuids| !uuids.is_empty()) {
        return Err(fail!(NotSupported,
            "sshKeyPairUuids: there are no key pairs here, send the key as the system tag sshkey::<key>";
            "sshKeyPairUuids: 没有密钥对，请使用系统标签 sshkey::<公钥>"));
    }
    Ok(())
}

fn shape(fields: &Fields) -> Result<Shape> {
    let (cores, memory) = (fields.number("cpuNum")?, fields.number("memorySize")?);
    match (fields.uuid("instanceOfferingUuid")?, cores, memory) {
        (Some(uuid), None, None) => Ok(Shape::Specification(uuid)),
        (None, Some(cpu_cores), Some(memory_bytes)) => Ok(Shape::Custom { cpu_cores, memory_bytes }),
        (Some(_), ..) => Err(fail!(ParameterInvalid,
            "cpuNum and memorySize must not be sent with instanceOfferingUuid"; "cpuNum、memorySize 不能与 instanceOfferingUuid 同时发送")),
        (None, Some(_), None) => Err(missing("memorySize")),
        (None, None, Some(_)) => Err(missing("cpuNum")),
        (None, None, None) => Err(missing("instanceOfferingUuid")),
    }
}

fn root_bytes(call: &Call, fields: &Fields) -> std::result::Result<Option<u64>, Fault> {
    match (fields.uuid("rootDiskOfferingUuid")?, fields.number("rootDiskSize")?) {
        (Some(uuid), None) => record::disk_offering_bytes(&call.context, "rootDiskOfferingUuid", uuid).map(Some),
        (None, bytes) => Ok(bytes),
        (Some(_), Some(_)) => Err(fail!(ParameterInvalid,
            "rootDiskSize must not be sent with rootDiskOfferingUuid"; "rootDiskSize 不能与 rootDiskOfferingUuid 同时发送")
        .into()),
    }
}

fn nics(fields: &Fields, tags: &Tags) -> Result<Option<Vec<NicInput>>> {
    let Some(mut networks) = fields.uuids("l3NetworkUuids")? else {
        return if tags.addresses.is_empty() { Ok(None) } else { Err(missing("l3NetworkUuids")) };
    };
    check_count("l3NetworkUuids", networks.len())?;
    if let Some(default) = fields.uuid("defaultL3NetworkUuid")? {
        let Some(at) = networks.iter().position(|uuid| *uuid == default) else {
            return Err(
                fail!(ParameterInvalid, "defaultL3NetworkUuid must be one of l3NetworkUuids"; "defaultL3NetworkUuid 须在 l3NetworkUuids 中"),
            );
        };
        // The first NIC is the one of the default network.
        networks[..=at].rotate_right(1);
    }
    if let Some((network, _)) = tags.addresses.iter().find(|(network, _)| !networks.contains(network)) {
        let network = network.simple();
        return Err(
            fail!(ParameterInvalid, "systemTags: staticIp of {network}, which is not in l3NetworkUuids"; "systemTags: staticIp 的网络 {network} 不在 l3NetworkUuids 中"),
        );
    }
    let nic = |network_uuid| {
        let ip_address = tags.addresses.iter().find(|(network, _)| *network == network_uuid).map(|(_, address)| *address);
        NicInput { network_uuid, ip_address, mac_address: None }
    };
    Ok(Some(networks.into_iter().map(nic).collect()))
}

fn volumes(call: &Call, fields: &Fields) -> std::result::Result<Vec<NewVolumeInput>, Fault> {
    let offerings = fields.uuids("dataDiskOfferingUuids")?.unwrap_or_default();
    let mut sizes = Vec::new();
    for uuid in offerings {
        sizes.push(record::disk_offering_bytes(&call.context, "dataDiskOfferingUuids", uuid)?);
    }
    for text in fields.texts("dataDiskSizes")?.unwrap_or_default() {
        let bytes = text.parse().map_err(|_| fault("dataDiskSizes", &text, "whole numbers of bytes", "整数字节"))?;
        sizes.push(bytes);
    }
    check_count("dataDiskSizes", sizes.len())?;
    Ok(sizes.into_iter().map(|storage_bytes| NewVolumeInput { volume_name: String::new(), storage_bytes }).collect())
}

fn check_count(name: &str, count: usize) -> Result<()> {
    if count <= DEVICES_MAX {
        return Ok(());
    }
    Err(fail!(ParameterInvalid, "{name} must have at most {DEVICES_MAX} items"; "{name} 最多 {DEVICES_MAX} 项"))
}

/// What system tags tell the create; others are only kept.
#[derive(Debug, Default)]
struct Tags {
    seed: GuestSeed,
    addresses: Vec<(Uuid, Ipv4Addr)>,
}

impl Tags {
    fn read(tags: &[String]) -> Result<Self> {
        let mut read = Self::default();
        for tag in tags {
            let Some((word, value)) = tag.split_once("::") else { continue };
            match word {
                "userdata" => read.seed.user_data = Some(user_data(value)?),
                "sshkey" => read.seed.ssh_key = Some(ssh_key(value)?),
                "staticIp" => read.addresses.push(static_ip(value)?),
                _ => {}
            }
        }
        Ok(read)
    }
}

fn user_data(value: &str) -> Result<String> {
    let wrong = || {
        fail!(ParameterInvalid,
            "systemTags: userdata must be base64 of a text of at most {USER_DATA_BYTES_MAX} bytes";
            "systemTags: userdata 须为文本的 base64，文本最多 {USER_DATA_BYTES_MAX} 字节")
    };
    let bytes = STANDARD.decode(value.trim()).map_err(|_| wrong())?;
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.is_empty() && text.len() <= USER_DATA_BYTES_MAX && !text.contains('\0'))
        .ok_or_else(wrong)
}

fn ssh_key(value: &str) -> Result<String> {
    let key = value.trim();
    if key.is_empty() || key.len() > SSH_KEY_BYTES_MAX || key.chars().any(char::is_control) {
        return Err(fail!(ParameterInvalid, "systemTags: sshkey must be one line, as in a .pub file"; "systemTags: sshkey 须为一行公钥"));
    }
    Ok(key.to_owned())
}

fn static_ip(value: &str) -> Result<(Uuid, Ipv4Addr)> {
    let parsed = value.split_once("::").and_then(|(network, address)| Some((Uuid::try_parse(network).ok()?, address.parse().ok()?)));
    parsed.ok_or_else(|| fault("systemTags", value, "staticIp::<network uuid>::<IPv4 address>", "staticIp::<网络 uuid>::<IPv4 地址>"))
}
