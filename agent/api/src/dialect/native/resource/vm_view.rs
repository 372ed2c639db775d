//! A VM as this API shows it, ours or somebody else's, borrowed from the picture of the node.

use hvnode_core::engine::Snapshot;
use hvnode_core::model::{
    DEFAULT_TENANT_NAME, DEFAULT_TENANT_UUID, Firmware, FormerShape, Freshness, MacAddress, Named, Network, Nic, ObservedDisk, ObservedNic,
    Timestamp, Vm, Volume,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use utoipa::ToSchema;
use uuid::Uuid;

static NO_METADATA: BTreeMap<String, String> = BTreeMap::new();

/// A VM without anything that may grow without bound. What is not known is null.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Vm)]
pub(in super::super) struct VmView<'a> {
    vm_uuid: Uuid,
    vm_name: &'a str,
    description: &'a str,
    /// creating, stopped, starting, running, stopping, rebooting, pausing, paused, resuming, suspended, resizing, deleting, deleted,
    /// crashed, error or unknown.
    status: &'static str,
    /// Why it is in that state: requested, guest_shutdown, qemu_died, …
    status_reason: &'static str,
    /// managed; unmanaged: somebody else's, never changed; quarantined: ours but contradictory, left alone.
    management: &'static str,
    /// How far what was read from the hypervisor can be trusted: fresh, stale or unavailable.
    freshness: &'static str,
    /// When the hypervisor was last read.
    observed_time: Option<i64>,
    cpu_cores: u32,
    /// Bytes.
    memory_size: u64,
    specification_uuid: Option<Uuid>,
    specification_name: Option<&'a str>,
    image_uuid: Option<Uuid>,
    image_name: Option<&'a str>,
    host_uuid: Uuid,
    host_name: &'a str,
    tenant_uuid: Uuid,
    tenant_name: &'static str,
    /// Who created it.
    user_name: Option<&'a str>,
    /// bios or uefi.
    boot_type: &'static str,
    architecture: &'a str,
    auto_start: bool,
    /// True while stop, resize and delete are refused.
    locked: bool,
    console_type: Option<&'static str>,
    /// Address of the first NIC that has one.
    #[schema(value_type = Option<String>)]
    ip_address: Option<Ipv4Addr>,
    /// Address of the first NIC.
    #[schema(value_type = Option<String>)]
    mac_address: Option<MacAddress>,
    /// Unix seconds.
    create_time: Option<i64>,
    /// Unix seconds.
    update_time: Option<i64>,
    /// Last start, Unix seconds.
    start_time: Option<i64>,
    /// The change in flight.
    job_uuid: Option<Uuid>,
    error_message: Option<String>,
}

/// A VM with its NICs, disks and metadata.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VmDetail)]
pub(in super::super) struct VmDetail<'a> {
    #[serde(flatten)]
    vm: VmView<'a>,
    interfaces: Vec<InterfaceView<'a>>,
    usds: Vec<VmUsdView<'a>>,
    metadata: &'a BTreeMap<String, String>,
    /// True where it is started again, after a growing pause, when its QEMU died.
    restart_on_crash: bool,
    /// When it is removed for good, while it is in the trash. Unix seconds.
    expire_time: Option<i64>,
    /// What it was before its last resize, while that can still be confirmed or reverted.
    resized_from: Option<FormerShapeView<'a>>,
    /// Resets of the guest, by itself, its watchdog or a request, that were seen since the daemon started.
    reboot_count: u32,
    /// Where the hypervisor's definition differs from what was asked for, in words. Never overwritten.
    drift: &'a [String],
}

/// A shape that a VM can go back to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FormerShape)]
struct FormerShapeView<'a> {
    cpu_cores: u32,
    /// Bytes.
    memory_size: u64,
    specification_uuid: Option<Uuid>,
    specification_name: Option<&'a str>,
}

/// A NIC of a VM.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VmInterface)]
struct InterfaceView<'a> {
    interface_uuid: Option<Uuid>,
    network_uuid: Option<Uuid>,
    network_name: &'a str,
    #[schema(value_type = String)]
    mac_address: MacAddress,
    #[schema(value_type = Option<String>)]
    ip_address: Option<Ipv4Addr>,
    #[schema(value_type = Option<String>)]
    netmask: Option<Ipv4Addr>,
    #[schema(value_type = Option<String>)]
    gateway: Option<Ipv4Addr>,
    model: &'a str,
    security_group_uuid: Option<Uuid>,
}

/// A disk of a VM.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VmUsd)]
struct VmUsdView<'a> {
    usd_uuid: Option<Uuid>,
    usd_name: &'a str,
    /// Bytes.
    storage_size: Option<u64>,
    bus: &'a str,
    device: &'a str,
    is_root: bool,
}

impl<'a> VmView<'a> {
    pub(in super::super) fn of(snapshot: &'a Snapshot, vm: &'a Vm) -> Self {
        let record = vm.record.as_deref();
        let observed = vm.observed.as_deref();
        let specification = record.and_then(|r| r.specification.as_ref());
        let image = record.and_then(|r| r.image.as_ref());
        let (ip_address, mac_address) = addresses(snapshot, vm);
        Self {
            vm_uuid: vm.uuid(),
            vm_name: vm.name(),
            description: record.map_or("", |r| &r.description),
            status: vm.status.word(),
            status_reason: vm.reason.word(),
            management: vm.management.word(),
            freshness: freshness_word(vm.freshness),
            observed_time: (vm.freshness != Freshness::Unavailable).then(|| vm.observed_time.seconds()),
            cpu_cores: record.map(|r| r.cpu_cores).or(observed.map(|o| o.cpu_cores)).unwrap_or(0),
            memory_size: record.map(|r| r.memory_bytes).or(observed.map(|o| o.memory_bytes)).unwrap_or(0),
            specification_uuid: specification.map(|named| named.uuid),
            specification_name: specification.map(name_of),
            image_uuid: image.map(|named| named.uuid),
            image_name: image.map(name_of),
            host_uuid: snapshot.host_uuid(),
            host_name: &snapshot.facts.host_name,
            tenant_uuid: record.map_or(DEFAULT_TENANT_UUID, |r| r.tenant_uuid),
            tenant_name: DEFAULT_TENANT_NAME,
            user_name: record.map(|r| r.user_name.as_str()),
            boot_type: firmware_word(record.map(|r| r.firmware).or(observed.map(|o| o.firmware)).unwrap_or_default()),
            architecture: record.map(|r| &r.architecture).or(observed.map(|o| &o.architecture)).map_or("", |text| text),
            auto_start: record.map(|r| r.auto_start).or(observed.map(|o| o.auto_start)).unwrap_or(false),
            locked: record.is_some_and(|r| r.locked),
            console_type: record.map(|_| "vnc"),
            ip_address,
            mac_address,
            create_time: record.map(|r| r.create_time.seconds()),
            update_time: record.map(|r| r.update_time.seconds()),
            start_time: record.and_then(|r| r.start_time).map(Timestamp::seconds),
            job_uuid: vm.job.as_ref().map(|job| job.job_uuid),
            error_message: record.and_then(|r| r.error.clone()).map(|error| hvnode_core::AgentError::from(*error).message()),
        }
    }
}

impl<'a> VmDetail<'a> {
    pub(in super::super) fn of(snapshot: &'a Snapshot, vm: &'a Vm) -> Self {
        let (interfaces, usds) = match (&vm.record, &vm.observed) {
            (Some(record), _) => (
                record.nics.iter().map(|nic| InterfaceView::of(snapshot, nic)).collect(),
                record.volumes.iter().filter_map(|uuid| snapshot.volumes.get(uuid)).map(|volume| VmUsdView::of(volume)).collect(),
            ),
            (None, Some(observed)) => (
                observed.nics.iter().map(|nic| InterfaceView::of_observed(snapshot, nic)).collect(),
                observed.disks.iter().filter(|disk| disk.kind == "disk").map(VmUsdView::of_observed).collect(),
            ),
            (None, None) => (Vec::new(), Vec::new()),
        };
        let metadata = vm.record.as_ref().map_or(&NO_METADATA, |record| &record.metadata);
        Self {
            vm: VmView::of(snapshot, vm),
            interfaces,
            usds,
            metadata,
            restart_on_crash: vm.record.as_ref().is_some_and(|record| record.restart_on_crash),
            expire_time: vm.record.as_ref().and_then(|record| record.expire_time).map(Timestamp::seconds),
            resized_from: vm.resized_from().map(FormerShapeView::of),
            reboot_count: vm.reboot_count,
            drift: &vm.drift,
        }
    }
}

impl<'a> FormerShapeView<'a> {
    fn of(former: &'a FormerShape) -> Self {
        Self {
            cpu_cores: former.cpu_cores,
            memory_size: former.memory_bytes,
            specification_uuid: former.specification.as_ref().map(|named| named.uuid),
            specification_name: former.specification.as_ref().map(name_of),
        }
    }
}

impl<'a> InterfaceView<'a> {
    fn of(snapshot: &'a Snapshot, nic: &'a Nic) -> Self {
        let network = snapshot.networks.get(&nic.network_uuid);
        Self {
            interface_uuid: Some(nic.interface_uuid),
            network_uuid: Some(nic.network_uuid),
            network_name: &nic.network_name,
            mac_address: nic.mac_address,
            ip_address: snapshot.address_of(nic),
            netmask: network.and_then(|network| netmask(network)),
            gateway: network.and_then(|network| gateway(network)),
            model: &nic.model,
            security_group_uuid: None,
        }
    }

    fn of_observed(snapshot: &'a Snapshot, nic: &'a ObservedNic) -> Self {
        let network = snapshot.networks.values().find(|network| network.network_name == nic.source);
        Self {
            interface_uuid: None,
            network_uuid: network.map(|network| network.network_uuid),
            network_name: &nic.source,
            mac_address: nic.mac_address,
            ip_address: snapshot.leased_addresses.get(&nic.mac_address).copied(),
            netmask: network.and_then(|network| netmask(network)),
            gateway: network.and_then(|network| gateway(network)),
            model: &nic.model,
            security_group_uuid: None,
        }
    }
}

impl<'a> VmUsdView<'a> {
    fn of(volume: &'a Volume) -> Self {
        Self {
            usd_uuid: Some(volume.volume_uuid),
            usd_name: &volume.volume_name,
            storage_size: Some(volume.storage_bytes),
            bus: &volume.bus,
            device: &volume.device,
            is_root: volume.is_root,
        }
    }

    fn of_observed(disk: &'a ObservedDisk) -> Self {
        let usd_name = disk.path.rsplit('/').next().unwrap_or("");
        Self { usd_uuid: None, usd_name, storage_size: None, bus: &disk.bus, device: &disk.device, is_root: false }
    }
}

fn addresses(snapshot: &Snapshot, vm: &Vm) -> (Option<Ipv4Addr>, Option<MacAddress>) {
    match (&vm.record, &vm.observed) {
        (Some(record), _) => (record.nics.iter().find_map(|nic| snapshot.address_of(nic)), record.nics.first().map(|nic| nic.mac_address)),
        (None, Some(observed)) => {
            let leased = observed.nics.iter().find_map(|nic| snapshot.leased_addresses.get(&nic.mac_address).copied());
            (leased, observed.nics.first().map(|nic| nic.mac_address))
        }
        (None, None) => (None, None),
    }
}

fn name_of(named: &Named) -> &str {
    &named.name
}

fn netmask(network: &Network) -> Option<Ipv4Addr> {
    network.ipv4.as_ref().map(|subnet| subnet.gateway.netmask())
}

fn gateway(network: &Network) -> Option<Ipv4Addr> {
    network.ipv4.as_ref().map(|subnet| subnet.gateway.addr())
}

/// bios or uefi.
pub(super) fn firmware_word(firmware: Firmware) -> &'static str {
    match firmware {
        Firmware::Bios => "bios",
        Firmware::Uefi => "uefi",
    }
}

pub(super) fn freshness_word(freshness: Freshness) -> &'static str {
    match freshness {
        Freshness::Fresh => "fresh",
        Freshness::Stale => "stale",
        Freshness::Unavailable => "unavailable",
    }
}
