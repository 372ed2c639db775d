//! A server as this API shows it: exactly the keys of the version that was negotiated.
//!
//! [`KEYS`] says since when each key is shown. Servers are written straight into the answer: a list of hundreds is polled every second.

use super::super::call::Call;
use super::super::convert::{ZONE, gibibytes, gibibytes_up, host_id, mebibytes, micro, project_id, simple, zulu};
use super::super::state::ServerState;
use super::super::version::since;
use super::extras::{AllExtras, ExtrasView, fault_of};
use super::flavors::Names;
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{ConnectionState, MacAddress, StateReason, Vm, VmStatus, Volume};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;
use uuid::Uuid;

/// What a server shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Key {
    Id,
    Name,
    Status,
    Image,
    Flavor,
    UserId,
    TenantId,
    Created,
    Updated,
    Metadata,
    Links,
    Addresses,
    HostId,
    AccessIpv4,
    AccessIpv6,
    DiskConfig,
    Progress,
    Fault,
    LoginPair,
    SecurityGroups,
    ConfigDrive,
    Zone,
    LaunchedAt,
    TerminatedAt,
    TaskState,
    VmState,
    PowerState,
    Host,
    InstanceName,
    HypervisorHostname,
    Volumes,
    ReservationId,
    LaunchIndex,
    Hostname,
    KernelId,
    RamdiskId,
    RootDevice,
    UserData,
    Locked,
    HostStatus,
    Description,
    Tags,
    TrustedCertificates,
    ServerGroups,
}

/// Key, its name, the version that it is shown since, and whether it also stands in the answer to a change.
pub(in super::super) const KEYS: &[(Key, &str, u16, bool)] = &[
    (Key::Id, "id", 1, true),
    (Key::Name, "name", 1, true),
    (Key::Status, "status", 1, true),
    (Key::Image, "image", 1, true),
    (Key::Flavor, "flavor", 1, true),
    (Key::UserId, "user_id", 1, true),
    (Key::TenantId, "tenant_id", 1, true),
    (Key::Created, "created", 1, true),
    (Key::Updated, "updated", 1, true),
    (Key::Metadata, "metadata", 1, true),
    (Key::Links, "links", 1, true),
    (Key::Addresses, "addresses", 1, true),
    (Key::HostId, "hostId", 1, true),
    (Key::AccessIpv4, "accessIPv4", 1, true),
    (Key::AccessIpv6, "accessIPv6", 1, true),
    (Key::DiskConfig, "OS-DCF:diskConfig", 1, true),
    (Key::Progress, "progress", 1, true),
    (Key::Fault, "fault", 1, true),
    (Key::LoginPair, "key_name", 1, false),
    (Key::SecurityGroups, "security_groups", 1, false),
    (Key::ConfigDrive, "config_drive", 1, false),
    (Key::Zone, "OS-EXT-AZ:availability_zone", 1, false),
    (Key::LaunchedAt, "OS-SRV-USG:launched_at", 1, false),
    (Key::TerminatedAt, "OS-SRV-USG:terminated_at", 1, false),
    (Key::TaskState, "OS-EXT-STS:task_state", 1, false),
    (Key::VmState, "OS-EXT-STS:vm_state", 1, false),
    (Key::PowerState, "OS-EXT-STS:power_state", 1, false),
    (Key::Host, "OS-EXT-SRV-ATTR:host", 1, false),
    (Key::InstanceName, "OS-EXT-SRV-ATTR:instance_name", 1, false),
    (Key::HypervisorHostname, "OS-EXT-SRV-ATTR:hypervisor_hostname", 1, false),
    (Key::Volumes, "os-extended-volumes:volumes_attached", 1, false),
    (Key::ReservationId, "OS-EXT-SRV-ATTR:reservation_id", since::EXTENDED_ATTRIBUTES, false),
    (Key::LaunchIndex, "OS-EXT-SRV-ATTR:launch_index", since::EXTENDED_ATTRIBUTES, false),
    (Key::Hostname, "OS-EXT-SRV-ATTR:hostname", since::EXTENDED_ATTRIBUTES, false),
    (Key::KernelId, "OS-EXT-SRV-ATTR:kernel_id", since::EXTENDED_ATTRIBUTES, false),
    (Key::RamdiskId, "OS-EXT-SRV-ATTR:ramdisk_id", since::EXTENDED_ATTRIBUTES, false),
    (Key::RootDevice, "OS-EXT-SRV-ATTR:root_device_name", since::EXTENDED_ATTRIBUTES, false),
    (Key::UserData, "OS-EXT-SRV-ATTR:user_data", since::EXTENDED_ATTRIBUTES, false),
    (Key::Locked, "locked", since::LOCKED, true),
    (Key::HostStatus, "host_status", since::HOST_STATUS, false),
    (Key::Description, "description", since::DESCRIPTION, true),
    (Key::Tags, "tags", since::TAGS, true),
    (Key::TrustedCertificates, "trusted_image_certificates", since::TRUSTED_CERTIFICATES, true),
    (Key::ServerGroups, "server_groups", since::SERVER_GROUPS, true),
];

/// What all servers of one answer share.
#[derive(Debug)]
pub(in super::super) struct Scene {
    pub(in super::super) snapshot: Arc<Snapshot>,
    version: u16,
    compute_url: String,
    bookmark_url: String,
    host_id: String,
    project_id: String,
    users: HashMap<String, String>,
    pub(in super::super) extras: AllExtras,
    flavors: Names,
}

impl Scene {
    pub(in super::super) fn of(call: &Call) -> Self {
        let snapshot = call.snapshot();
        let context = &call.shared.context;
        let users = context.accounts.list().iter().map(|account| (account.user_name.clone(), simple(account.user_uuid))).collect();
        Self {
            version: call.version,
            compute_url: call.compute_url(),
            bookmark_url: format!("{}/compute", call.base_url),
            host_id: host_id(&snapshot.facts.host_name),
            project_id: project_id(),
            users,
            extras: AllExtras::load(&context.records),
            flavors: Names::load(&context.records),
            snapshot,
        }
    }

    /// The server as `show` and `detail` have it.
    pub(in super::super) fn whole<'a>(&'a self, vm: &'a Vm) -> ServerView<'a> {
        ServerView { scene: self, vm, state: ServerState::of(vm), extras: self.extras.of(vm.uuid()), is_change: false }
    }

    /// The server as the answer to a change has it.
    pub(in super::super) fn changed<'a>(&'a self, vm: &'a Vm) -> ServerView<'a> {
        ServerView { is_change: true, ..self.whole(vm) }
    }

    /// `{id, name, links}`.
    pub(in super::super) fn brief(&self, vm: &Vm) -> Value {
        json!({ "id": vm.uuid(), "name": vm.name(), "links": self.links(vm.uuid()) })
    }

    /// Where a server is.
    pub(in super::super) fn links(&self, vm_uuid: Uuid) -> Value {
        json!(self.link_pair(vm_uuid))
    }

    /// The same, written without building it first.
    fn link_pair(&self, vm_uuid: Uuid) -> [Link; 2] {
        let link = |rel, url: &str| Link { rel, href: format!("{url}/servers/{vm_uuid}") };
        [link("self", &self.compute_url), link("bookmark", &self.bookmark_url)]
    }

    /// The flavor of a server as other resources name it.
    pub(in super::super) fn flavor_id(&self, vm: &Vm) -> String {
        self.flavors.of_vm(vm)
    }
}

/// Where something is.
#[derive(Debug, serde::Serialize)]
struct Link {
    rel: &'static str,
    href: String,
}

/// One server, written key by key.
#[derive(Debug)]
pub(in super::super) struct ServerView<'a> {
    scene: &'a Scene,
    vm: &'a Vm,
    state: ServerState,
    extras: ExtrasView<'a>,
    is_change: bool,
}

impl Serialize for ServerView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, name, since, is_in_change) in KEYS {
            if *since <= self.scene.version && (*is_in_change || !self.is_change) {
                self.write(*key, name, &mut map)?;
            }
        }
        map.end()
    }
}

impl ServerView<'_> {
    fn write<M: SerializeMap>(&self, key: Key, name: &str, map: &mut M) -> Result<(), M::Error> {
        let (vm, scene) = (self.vm, self.scene);
        let record = vm.record.as_deref();
        let host_name = scene.snapshot.facts.host_name.as_str();
        match key {
            Key::Id => map.serialize_entry(name, &vm.uuid()),
            Key::Name => map.serialize_entry(name, vm.name()),
            Key::Status => map.serialize_entry(name, self.state.status),
            Key::Image => map.serialize_entry(name, &self.image()),
            Key::Flavor => map.serialize_entry(name, &self.flavor()),
            Key::UserId => map.serialize_entry(name, self.user_id()),
            Key::TenantId => map.serialize_entry(name, &scene.project_id),
            Key::Created => map.serialize_entry(name, &zulu(record.map_or(vm.observed_time, |r| r.create_time))),
            Key::Updated => map.serialize_entry(name, &zulu(record.map_or(vm.observed_time, |r| r.update_time))),
            Key::Metadata => match record {
                Some(record) => map.serialize_entry(name, &record.metadata),
                None => map.serialize_entry(name, &json!({})),
            },
            Key::Links => map.serialize_entry(name, &scene.link_pair(vm.uuid())),
            Key::Addresses => map.serialize_entry(name, &addresses_value(&scene.snapshot, vm)),
            Key::HostId => map.serialize_entry(name, &scene.host_id),
            Key::AccessIpv4 => map.serialize_entry(name, self.extras.text("access_ipv4")),
            Key::AccessIpv6 => map.serialize_entry(name, self.extras.text("access_ipv6")),
            Key::DiskConfig => map.serialize_entry(name, if self.extras.is("is_manual_disk") { "MANUAL" } else { "AUTO" }),
            Key::Progress if self.state.has_progress() => map.serialize_entry(name, &self.progress()),
            Key::Fault => match self.fault() {
                Some(fault) => map.serialize_entry(name, &fault),
                None => Ok(()),
            },
            Key::LoginPair => map.serialize_entry(name, &Some(self.extras.text("key_name")).filter(|key| !key.is_empty())),
            Key::SecurityGroups => map.serialize_entry(name, &[BTreeMap::from([("name", "default")])]),
            Key::ConfigDrive => map.serialize_entry(name, if self.extras.is("has_config_drive") { "True" } else { "" }),
            Key::Zone => map.serialize_entry(name, ZONE),
            Key::LaunchedAt => map.serialize_entry(name, &record.and_then(|record| record.start_time).map(micro)),
            Key::TaskState => map.serialize_entry(name, &self.state.task_state),
            Key::VmState => map.serialize_entry(name, self.state.vm_state),
            Key::PowerState => map.serialize_entry(name, &self.state.power_state),
            Key::Host | Key::HypervisorHostname => map.serialize_entry(name, host_name),
            Key::InstanceName => map.serialize_entry(name, domain_name(vm)),
            Key::Volumes => map.serialize_entry(name, &self.volumes()),
            Key::ReservationId => map.serialize_entry(name, &self.reservation_id()),
            Key::LaunchIndex => map.serialize_entry(name, &0),
            Key::Hostname => map.serialize_entry(name, &host_label(vm.name())),
            Key::KernelId | Key::RamdiskId => map.serialize_entry(name, ""),
            Key::RootDevice => map.serialize_entry(name, "/dev/vda"),
            Key::Locked => map.serialize_entry(name, &record.is_some_and(|record| record.locked)),
            Key::HostStatus => map.serialize_entry(name, if scene.snapshot.connection == ConnectionState::Up { "UP" } else { "UNKNOWN" }),
            Key::Description => map.serialize_entry(name, &record.map(|r| r.description.as_str()).filter(|text| !text.is_empty())),
            Key::Tags => map.serialize_entry(name, self.extras.tags()),
            Key::ServerGroups => map.serialize_entry(name, &[(); 0]),
            Key::TerminatedAt | Key::UserData | Key::TrustedCertificates => map.serialize_entry(name, &()),
            Key::Progress => Ok(()),
        }
    }

    fn user_id(&self) -> &str {
        let name = self.vm.record.as_ref().map(|record| record.user_name.as_str());
        name.and_then(|name| self.scene.users.get(name)).map_or("00000000000000000000000000000000", String::as_str)
    }

    fn progress(&self) -> u8 {
        let is_building = self.vm.status == VmStatus::Creating;
        self.vm.job.as_ref().filter(|_| is_building).map_or(0, |job| job.progress_percent)
    }

    fn image(&self) -> Value {
        let Some(image) = self.vm.record.as_ref().and_then(|record| record.image.as_ref()) else { return "".into() };
        let uuid = image.uuid;
        json!({ "id": uuid, "links": [{ "rel": "bookmark", "href": format!("{}/images/{uuid}", self.scene.bookmark_url) }] })
    }

    fn flavor(&self) -> Value {
        let id = self.scene.flavor_id(self.vm);
        if self.scene.version < since::EMBEDDED_FLAVOR {
            return json!({ "links": [{ "rel": "bookmark", "href": format!("{}/flavors/{id}", self.scene.bookmark_url) }], "id": id });
        }
        let (cpu_cores, memory_bytes) = shape(self.vm);
        let named = self.vm.record.as_ref().and_then(|record| record.specification.as_ref());
        let name = named.map_or(id.as_str(), |named| named.name.as_str());
        let root = volumes_of(&self.scene.snapshot, self.vm).find(|volume| volume.is_root);
        json!({
            "vcpus": cpu_cores, "ram": mebibytes(memory_bytes), "disk": root.map_or(0, |volume| gibibytes(volume.storage_bytes)),
            "ephemeral": 0, "swap": 0, "original_name": name, "extra_specs": {},
        })
    }

    fn volumes(&self) -> Vec<Value> {
        let keeps = !self.extras.is("deletes_volumes");
        let volume = |volume: &Arc<Volume>| {
            if self.scene.version < since::EXTENDED_ATTRIBUTES {
                return json!({ "id": volume.volume_uuid });
            }
            json!({ "id": volume.volume_uuid, "delete_on_termination": !keeps })
        };
        volumes_of(&self.scene.snapshot, self.vm).filter(|volume| is_block_storage(volume)).map(volume).collect()
    }

    fn reservation_id(&self) -> String {
        match self.extras.text("reservation_id") {
            "" => reservation_id(self.vm.uuid()),
            id => id.to_owned(),
        }
    }

    fn fault(&self) -> Option<Value> {
        if self.state.status != "ERROR" {
            return None;
        }
        let error = self.vm.record.as_ref().and_then(|record| record.error.as_ref());
        let (code, message) = match error {
            Some(error) => fault_of(error),
            None if self.vm.reason == StateReason::DomainMissing => (500, "The hypervisor has lost its definition.".to_owned()),
            None => (500, "Its definition contradicts its record; it is left alone.".to_owned()),
        };
        let created = self.vm.record.as_ref().map_or(self.vm.observed_time, |record| record.update_time);
        Some(json!({ "code": code, "created": zulu(created), "message": message, "details": "" }))
    }
}

/// Made from a server's identity where the request that made it had none of its own.
pub(in super::super) fn reservation_id(vm_uuid: Uuid) -> String {
    format!("r-{}", &vm_uuid.simple().to_string()[..8])
}

fn domain_name(vm: &Vm) -> &str {
    match (&vm.record, &vm.observed) {
        (Some(record), _) => &record.domain_name,
        (None, Some(observed)) => &observed.domain_name,
        (None, None) => "",
    }
}

/// A name as DNS allows it in a label.
fn host_label(name: &str) -> String {
    let label: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(63).collect();
    let label = label.trim_matches('-');
    if label.is_empty() { "vm".to_owned() } else { label.to_owned() }
}

/// Processors and bytes of memory of a server, ours or not.
pub(in super::super) fn shape(vm: &Vm) -> (u32, u64) {
    match (&vm.record, &vm.observed) {
        (Some(record), _) => (record.cpu_cores, record.memory_bytes),
        (None, Some(observed)) => (observed.cpu_cores, observed.memory_bytes),
        (None, None) => (0, 0),
    }
}

/// Disks of a server.
pub(in super::super) fn volumes_of<'a>(snapshot: &'a Snapshot, vm: &'a Vm) -> impl Iterator<Item = &'a Arc<Volume>> {
    vm.record.iter().flat_map(|record| &record.volumes).filter_map(|uuid| snapshot.volumes.get(uuid))
}

/// Is this disk one of the volume service? The disk that a server got from its image is its own.
pub(in super::super) fn is_block_storage(volume: &Volume) -> bool {
    !volume.is_root || volume.image_uuid.is_none()
}

/// Bytes of the disk that belongs to a server itself, in whole gibibytes.
pub(in super::super) fn own_disk_gibibytes(snapshot: &Snapshot, vm: &Vm) -> u64 {
    volumes_of(snapshot, vm).find(|volume| volume.is_root).map_or(0, |volume| gibibytes_up(volume.storage_bytes))
}

/// Network name, hardware address and address of every NIC that has one.
pub(in super::super) fn addresses<'a>(snapshot: &'a Snapshot, vm: &'a Vm) -> Vec<(&'a str, MacAddress, Ipv4Addr)> {
    match (&vm.record, &vm.observed) {
        (Some(record), _) => {
            let of_nic = |nic: &'a hvnode_core::model::Nic| Some((nic.network_name.as_str(), nic.mac_address, snapshot.address_of(nic)?));
            record.nics.iter().filter_map(of_nic).collect()
        }
        (None, Some(observed)) => {
            let of_nic = |nic: &'a hvnode_core::model::ObservedNic| {
                Some((nic.source.as_str(), nic.mac_address, snapshot.leased_addresses.get(&nic.mac_address).copied()?))
            };
            observed.nics.iter().filter_map(of_nic).collect()
        }
        (None, None) => Vec::new(),
    }
}

/// `{network: [{addr, version, …}]}`.
pub(in super::super) fn addresses_value(snapshot: &Snapshot, vm: &Vm) -> Value {
    let mut by_network = BTreeMap::<&str, Vec<Value>>::new();
    for (network, mac, address) in addresses(snapshot, vm) {
        by_network.entry(network).or_default().push(json!({
            "version": 4, "addr": address, "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": mac,
        }));
    }
    json!(by_network)
}
