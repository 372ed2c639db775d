//! `POST /v1/vm/create`.

use super::super::change::ChangeBody;
use super::super::check;
use super::vm_view::VmDetail;
use super::{Resource, VM};
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{Firmware, VerbKind};
use hvnode_core::verb::{ChangeInput, CreateVmInput, GuestSeed, NewVolumeInput, NicInput, RootSource, Shape};
use hvnode_core::{Result, fail};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// Most NICs of one request.
const INTERFACES_MAX: usize = 32;
/// Most data disks of one request.
const USDS_MAX: usize = 32;
/// Longest kernel command line that kernels take.
const COMMAND_LINE_MAX: usize = 2047;
/// Longest password in bytes.
const PASSWORD_BYTES_MAX: usize = 128;
/// Longest text of public keys in bytes.
const SSH_KEY_BYTES_MAX: usize = 16 << 10;
/// Longest cloud-init user data in bytes.
const USER_DATA_BYTES_MAX: usize = 64 << 10;

/// bios or uefi.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum BootType {
    Bios,
    Uefi,
}

impl From<BootType> for Firmware {
    fn from(boot_type: BootType) -> Self {
        match boot_type {
            BootType::Bios => Self::Bios,
            BootType::Uefi => Self::Uefi,
        }
    }
}

/// A NIC to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct InterfaceInput {
    #[schema(format = Uuid)]
    network_uuid: String,
    /// For the operation log only.
    #[serde(rename = "network_name")]
    _network_name: Option<String>,
    /// Wanted IPv4 address; chosen if absent.
    ip_address: Option<String>,
    /// Wanted address; chosen if absent.
    mac_address: Option<String>,
    /// Not in this version.
    #[schema(format = Uuid)]
    security_group_uuid: Option<String>,
}

/// A data disk to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UsdInput {
    /// Chosen from the VM's name if absent.
    #[schema(min_length = 1, max_length = 128)]
    usd_name: Option<String>,
    /// Bytes.
    #[schema(minimum = 1)]
    storage_size: u64,
}

/// Make a VM. Needs `specification_uuid`, or `cpu_cores` and `memory_size`; and one of `image_uuid`, `root_usd_uuid`, `kernel_image_uuid`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct CreateVm {
    #[schema(min_length = 1, max_length = 128)]
    vm_name: String,
    /// Wanted uuid; chosen if absent.
    #[schema(format = Uuid)]
    vm_uuid: Option<String>,
    #[schema(max_length = 1024)]
    description: Option<String>,
    #[schema(format = Uuid)]
    specification_uuid: Option<String>,
    /// For the operation log only.
    #[serde(rename = "specification_name")]
    _specification_name: Option<String>,
    #[schema(minimum = 1)]
    cpu_cores: Option<u32>,
    /// Bytes.
    #[schema(minimum = 1)]
    memory_size: Option<u64>,
    /// Disk image (the root disk becomes its linked clone) or ISO image.
    #[schema(format = Uuid)]
    image_uuid: Option<String>,
    /// For the operation log only.
    #[serde(rename = "image_name")]
    _image_name: Option<String>,
    /// A disk that no VM owns.
    #[schema(format = Uuid)]
    root_usd_uuid: Option<String>,
    /// For the operation log only.
    #[serde(rename = "root_usd_name")]
    _root_usd_name: Option<String>,
    /// Image of format `kernel` for direct boot.
    #[schema(format = Uuid)]
    kernel_image_uuid: Option<String>,
    /// Image of format `initrd`; only with `kernel_image_uuid`.
    #[schema(format = Uuid)]
    initrd_image_uuid: Option<String>,
    /// Only with `kernel_image_uuid`.
    #[schema(max_length = 2047)]
    kernel_command_line: Option<String>,
    /// Bytes of the root disk; the specification's or the image's own if absent.
    #[schema(minimum = 1)]
    storage_size: Option<u64>,
    /// Network of the one NIC; the node's default network where neither this nor `interfaces` is sent.
    #[schema(format = Uuid)]
    network_uuid: Option<String>,
    /// For the operation log only.
    #[serde(rename = "network_name")]
    _network_name: Option<String>,
    /// NICs in order; an empty list for a VM without a NIC.
    #[schema(max_items = 32)]
    interfaces: Option<Vec<InterfaceInput>>,
    /// Data disks in order.
    #[schema(max_items = 32)]
    usds: Option<Vec<UsdInput>>,
    /// For the image's default account, through cloud-init; one line. Never shown or stored.
    #[schema(write_only, min_length = 1, max_length = 128)]
    password: Option<String>,
    /// Public key for the image's default account, through cloud-init: one line, as in `id_ed25519.pub`.
    #[schema(min_length = 1, max_length = 16384)]
    ssh_key: Option<String>,
    /// Given to cloud-init as it is, in place of `password` and `ssh_key`. Never shown or stored.
    #[schema(write_only, min_length = 1, max_length = 65536)]
    user_data: Option<String>,
    /// The image's wish or bios if absent.
    boot_type: Option<BootType>,
    /// The host's if absent.
    architecture: Option<String>,
    /// Start with the host.
    #[schema(default = false)]
    auto_start: Option<bool>,
    /// Start again, after a growing pause, when its QEMU died.
    #[schema(default = false)]
    restart_on_crash: Option<bool>,
    /// Start once created.
    #[schema(default = true)]
    start: Option<bool>,
    #[schema(format = Uuid)]
    tenant_uuid: Option<String>,
    /// For the operation log only.
    #[serde(rename = "tenant_name")]
    _tenant_name: Option<String>,
    /// The caller's own key-value pairs.
    metadata: Option<BTreeMap<String, String>>,
}

impl ChangeBody for CreateVm {
    const RESOURCE: &'static Resource = &VM;
    const VERB: VerbKind = VerbKind::CreateVm;

    fn into_change(mut self) -> Result<ChangeInput> {
        let seed = self.take_seed()?;
        let input = CreateVmInput {
            vm_uuid: check::optional_uuid("vm_uuid", self.vm_uuid.as_deref())?,
            shape: self.shape()?,
            root: self.root()?,
            root_storage_bytes: self.storage_size.map(|bytes| check::size("storage_size", bytes)).transpose()?,
            nics: self.nics()?,
            volumes: volumes(self.usds.take().unwrap_or_default())?,
            vm_name: check::name("vm_name", self.vm_name)?,
            description: check::description(self.description)?,
            firmware: self.boot_type.map(Firmware::from),
            architecture: self.architecture.map(|text| check::word("architecture", text)).transpose()?,
            auto_start: self.auto_start.unwrap_or(false),
            restart_on_crash: self.restart_on_crash.unwrap_or(false),
            is_started: self.start.unwrap_or(true),
            tenant_uuid: check::optional_uuid("tenant_uuid", self.tenant_uuid.as_deref())?,
            metadata: self.metadata.unwrap_or_default(),
            seed,
        };
        Ok(ChangeInput::CreateVm(Box::new(input)))
    }

    fn created(snapshot: &Snapshot, uuid: Uuid) -> Option<Result<Value>> {
        snapshot.vms.get(&uuid).map(|vm| super::value_of(&VmDetail::of(snapshot, vm)))
    }
}

impl CreateVm {
    fn shape(&self) -> Result<Shape> {
        let specification = check::optional_uuid("specification_uuid", self.specification_uuid.as_deref())?;
        match (specification, self.cpu_cores, self.memory_size) {
            (Some(uuid), None, None) => Ok(Shape::Specification(uuid)),
            (Some(_), _, _) => Err(check::exclusive("specification_uuid", "cpu_cores, memory_size")),
            (None, Some(cores), Some(bytes)) => {
                Ok(Shape::Custom { cpu_cores: check::cpu_cores("cpu_cores", cores)?, memory_bytes: check::size("memory_size", bytes)? })
            }
            (None, Some(_), None) => Err(fail!(ParameterMissing, "memory_size"; "memory_size")),
            (None, None, Some(_)) => Err(fail!(ParameterMissing, "cpu_cores"; "cpu_cores")),
            (None, None, None) => Err(
                fail!(ParameterMissing, "specification_uuid, or cpu_cores and memory_size"; "specification_uuid，或 cpu_cores 和 memory_size"),
            ),
        }
    }

    fn root(&mut self) -> Result<RootSource> {
        let image = check::optional_uuid("image_uuid", self.image_uuid.as_deref())?;
        let usd = check::optional_uuid("root_usd_uuid", self.root_usd_uuid.as_deref())?;
        let kernel = check::optional_uuid("kernel_image_uuid", self.kernel_image_uuid.as_deref())?;
        let initrd = check::optional_uuid("initrd_image_uuid", self.initrd_image_uuid.as_deref())?;
        if kernel.is_none() && (initrd.is_some() || self.kernel_command_line.is_some()) {
            return Err(fail!(ParameterMissing,
                "kernel_image_uuid, which initrd_image_uuid and kernel_command_line belong to";
                "kernel_image_uuid (initrd_image_uuid 和 kernel_command_line 须与其同用)"));
        }
        match (image, usd, kernel) {
            (Some(image), None, None) => Ok(RootSource::Image(image)),
            (None, Some(usd), None) => Ok(RootSource::Volume(usd)),
            (None, None, Some(kernel_image_uuid)) => {
                let command_line = self.kernel_command_line.take().unwrap_or_default();
                check::short("kernel_command_line", &command_line, COMMAND_LINE_MAX)?;
                Ok(RootSource::Kernel { kernel_image_uuid, initrd_image_uuid: initrd, command_line })
            }
            (None, None, None) => Err(
                fail!(ParameterMissing, "image_uuid, or root_usd_uuid or kernel_image_uuid"; "image_uuid，或 root_usd_uuid 或 kernel_image_uuid"),
            ),
            (Some(_), Some(_), _) => Err(check::exclusive("image_uuid", "root_usd_uuid")),
            (Some(_), _, Some(_)) => Err(check::exclusive("image_uuid", "kernel_image_uuid")),
            (None, Some(_), Some(_)) => Err(check::exclusive("root_usd_uuid", "kernel_image_uuid")),
        }
    }

    fn nics(&mut self) -> Result<Option<Vec<NicInput>>> {
        match (&self.network_uuid, self.interfaces.take()) {
            (Some(_), Some(_)) => Err(check::exclusive("network_uuid", "interfaces")),
            (Some(network), None) => {
                let network_uuid = check::uuid("network_uuid", network)?;
                Ok(Some(vec![NicInput { network_uuid, ip_address: None, mac_address: None }]))
            }
            (None, Some(interfaces)) => {
                check::count("interfaces", interfaces.len(), INTERFACES_MAX)?;
                interfaces.iter().enumerate().map(|(index, interface)| interface.nic(index)).collect::<Result<_>>().map(Some)
            }
            (None, None) => Ok(None),
        }
    }

    fn take_seed(&mut self) -> Result<GuestSeed> {
        let seed = GuestSeed {
            password: self.password.take(),
            ssh_key: self.ssh_key.take().map(without_line_end),
            user_data: self.user_data.take(),
        };
        for (field, text, bytes_max, is_line) in [
            ("password", &seed.password, PASSWORD_BYTES_MAX, true),
            ("ssh_key", &seed.ssh_key, SSH_KEY_BYTES_MAX, true),
            ("user_data", &seed.user_data, USER_DATA_BYTES_MAX, false),
        ] {
            if let Some(text) = text {
                check::secret(field, text, bytes_max, is_line)?;
            }
        }
        Ok(seed)
    }
}

/// A key as a `.pub` file holds it ends its line.
fn without_line_end(mut text: String) -> String {
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    text
}

impl InterfaceInput {
    fn nic(&self, index: usize) -> Result<NicInput> {
        let path = |field: &str| format!("interfaces[{index}].{field}");
        if self.security_group_uuid.is_some() {
            let field = path("security_group_uuid");
            return Err(fail!(NotSupported, "{field}: this version has no security groups"; "{field}: 当前版本没有安全组"));
        }
        let ip_address = self.ip_address.as_deref().map(|text| check::ip_address(&path("ip_address"), text)).transpose()?;
        let mac_address = self.mac_address.as_deref().map(|text| check::mac_address(&path("mac_address"), text)).transpose()?;
        Ok(NicInput { network_uuid: check::uuid(&path("network_uuid"), &self.network_uuid)?, ip_address, mac_address })
    }
}

fn volumes(usds: Vec<UsdInput>) -> Result<Vec<NewVolumeInput>> {
    check::count("usds", usds.len(), USDS_MAX)?;
    let volume = |(index, usd): (usize, UsdInput)| {
        let name = usd.usd_name.map(|name| check::name(&format!("usds[{index}].usd_name"), name)).transpose()?;
        let storage_bytes = check::size(&format!("usds[{index}].storage_size"), usd.storage_size)?;
        Ok(NewVolumeInput { volume_name: name.unwrap_or_default(), storage_bytes })
    };
    usds.into_iter().enumerate().map(volume).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::decode::from_body;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn convert(body: &Value) -> Result<CreateVmInput> {
        match from_body::<CreateVm>(body.as_object().unwrap())?.into_change()? {
            ChangeInput::CreateVm(input) => Ok(*input),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_said_is_left_to_the_node() {
        let image = Uuid::from_u128(1);
        let input = convert(&json!({"vm_name": "a", "cpu_cores": 1, "memory_size": 1024, "image_uuid": image})).unwrap();
        assert_eq!((input.nics, input.firmware, input.architecture, input.root_storage_bytes), (None, None, None, None));
        assert!(input.is_started && !input.auto_start && input.seed.is_empty() && input.volumes.is_empty());
        assert_eq!(input.root, RootSource::Image(image));
    }

    #[test]
    fn a_key_may_end_its_line_as_in_its_file_and_has_no_second_one() {
        let body = |key: &str| {
            let root = Uuid::from_u128(1);
            json!({"vm_name": "a", "cpu_cores": 1, "memory_size": 1024, "root_usd_uuid": root, "ssh_key": key})
        };
        let seed = convert(&body("ssh-ed25519 AAAA me@here\n")).unwrap().seed;
        assert_eq!(seed.ssh_key.as_deref(), Some("ssh-ed25519 AAAA me@here"));
        for key in ["a\nb", "\n", ""] {
            assert_eq!(convert(&body(key)).unwrap_err().code().number(), 10003, "{key:?}");
        }
    }

    #[test]
    fn no_network_is_not_the_same_as_no_nic() {
        let body = json!({"vm_name": "a", "cpu_cores": 1, "memory_size": 1024, "root_usd_uuid": Uuid::from_u128(1), "interfaces": []});
        assert_eq!(convert(&body).unwrap().nics, Some(Vec::new()));
    }

    proptest! {
        #[test]
        fn every_field_arrives_as_it_was_sent(
            name in "[a-zA-Z0-9\u{4e00}-\u{4eff}]{1,128}",
            cores in 1_u32..,
            memory in 1..=check::SIZE_MAX,
            root in prop::option::of(1..=check::SIZE_MAX),
            usds in prop::collection::vec(1..=check::SIZE_MAX, 0..=USDS_MAX),
            networks in prop::option::of(prop::collection::vec((any::<u128>(), any::<u32>(), any::<[u8; 3]>()), 0..=INTERFACES_MAX)),
            uuid: u128,
            flags: (bool, bool),
            pairs in prop::collection::btree_map("[a-z]{1,9}", ".*", 0..4),
        ) {
            let interfaces = networks.as_ref().map(|list| list.iter().map(|(network, ip, mac)| json!({
                "network_uuid": Uuid::from_u128(*network),
                "ip_address": std::net::Ipv4Addr::from(*ip),
                "mac_address": hvnode_core::model::MacAddress::from_seed(*mac),
            })).collect::<Vec<_>>());
            let body = json!({
                "vm_name": name, "vm_uuid": Uuid::from_u128(uuid), "cpu_cores": cores, "memory_size": memory, "storage_size": root,
                "image_uuid": Uuid::from_u128(uuid), "interfaces": interfaces, "auto_start": flags.0, "start": flags.1, "metadata": pairs,
                "usds": usds.iter().map(|bytes| json!({ "storage_size": bytes })).collect::<Vec<_>>(), "boot_type": "uefi",
            });
            let input = convert(&body).unwrap();
            prop_assert_eq!(input.vm_name, name);
            prop_assert_eq!(input.vm_uuid, Some(Uuid::from_u128(uuid)));
            prop_assert_eq!(input.shape, Shape::Custom { cpu_cores: cores, memory_bytes: memory });
            prop_assert_eq!(input.root_storage_bytes, root);
            prop_assert_eq!(input.volumes.iter().map(|volume| volume.storage_bytes).collect::<Vec<_>>(), usds);
            prop_assert_eq!((input.auto_start, input.is_started, input.firmware), (flags.0, flags.1, Some(Firmware::Uefi)));
            prop_assert_eq!(input.metadata, pairs);
            let nics = networks.map(|list| list.into_iter().map(|(network, ip, mac)| NicInput {
                network_uuid: Uuid::from_u128(network),
                ip_address: Some(ip.into()),
                mac_address: Some(hvnode_core::model::MacAddress::from_seed(mac)),
            }).collect::<Vec<_>>());
            prop_assert_eq!(input.nics, nics);
        }
    }
}
