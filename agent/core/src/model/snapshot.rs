//! What readers see: one immutable picture of the node.

use super::{
    ConnectionState, Event, HostCapabilities, HostFacts, HostSettings, Image, Job, MacAddress, Network, Nic, PoolSpace, ResourceType,
    Specification, Timestamp, VmMap, Volume,
};
use imbl::OrdMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use uuid::Uuid;

/// One immutable picture of the node. Taking it costs one atomic load; maps share structure between pictures.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Every VM, unmanaged ones included.
    pub vms: VmMap,
    /// Every disk of ours.
    pub volumes: OrdMap<Uuid, Arc<Volume>>,
    /// Every image.
    pub images: OrdMap<Uuid, Arc<Image>>,
    /// Every cpu and memory shape.
    pub specifications: OrdMap<Uuid, Arc<Specification>>,
    /// Every network.
    pub networks: OrdMap<Uuid, Arc<Network>>,
    /// Jobs that have not ended.
    pub open_jobs: OrdMap<Uuid, Arc<Job>>,
    /// Addresses seen in DHCP leases, by VM; a NIC's reserved address stands in the NIC itself.
    pub leased_addresses: OrdMap<MacAddress, Ipv4Addr>,
    /// Facts from the hypervisor; absent until it was reached once.
    pub capabilities: Option<Arc<HostCapabilities>>,
    /// Facts from the kernel.
    pub facts: Arc<HostFacts>,
    /// What the operator set.
    pub settings: Arc<HostSettings>,
    /// Space of our pools.
    pub pools: Arc<Vec<PoolSpace>>,
    /// Whether the hypervisor answers.
    pub connection: ConnectionState,
    /// Start of this run of the daemon.
    pub daemon_start_time: Timestamp,
    /// What a change of the picture has to tell; taken out before readers see the picture.
    pub event_drafts: Vec<Event>,
    /// Grows by one with every change of the picture.
    pub generation: u64,
}

impl Snapshot {
    /// The address shown for a NIC: its reservation, else its lease.
    pub fn address_of(&self, nic: &Nic) -> Option<Ipv4Addr> {
        nic.ip_address.or_else(|| self.leased_addresses.get(&nic.mac_address).copied())
    }

    /// The stored name of something, for the operation log.
    pub fn name_of(&self, kind: ResourceType, uuid: Uuid) -> Option<String> {
        match kind {
            ResourceType::Vm => self.vms.get(&uuid).map(|vm| vm.name().to_owned()),
            ResourceType::Volume => self.volumes.get(&uuid).map(|volume| volume.volume_name.clone()),
            ResourceType::Image => self.images.get(&uuid).map(|image| image.image_name.clone()),
            ResourceType::Specification => self.specifications.get(&uuid).map(|shape| shape.specification_name.clone()),
            ResourceType::Network => self.networks.get(&uuid).map(|network| network.network_name.clone()),
            ResourceType::Host => (uuid == self.host_uuid()).then(|| self.facts.host_name.clone()),
            ResourceType::User | ResourceType::Job => None,
        }
    }

    /// The node's identity; nil until the hypervisor was reached once.
    pub fn host_uuid(&self) -> Uuid {
        self.capabilities.as_ref().map_or(Uuid::nil(), |c| c.host_uuid)
    }
}
