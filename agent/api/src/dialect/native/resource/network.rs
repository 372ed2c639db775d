//! Networks.

use super::super::call::Call;
use super::super::check;
use super::super::envelope::Data;
use super::super::listing::{ListOptions, Row};
use super::Nothing;
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{Ipv4Subnet, Network, NetworkType, Timestamp};
use hvnode_core::{Result, fail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

const STATUSES: [&str; 2] = ["active", "inactive"];

/// A network.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Network)]
pub(in super::super) struct NetworkView<'a> {
    network_uuid: Uuid,
    network_name: &'a str,
    description: &'static str,
    /// active or inactive.
    status: &'static str,
    /// bridge, nat, routed or isolated.
    network_type: &'static str,
    bridge_name: &'a str,
    /// Uplink of the bridge; null where not known.
    interface_name: Option<&'a str>,
    vlan_id: Option<u16>,
    /// As `192.0.2.0/24`.
    address_range: Option<String>,
    #[schema(value_type = Option<String>)]
    gateway: Option<Ipv4Addr>,
    #[schema(value_type = Option<String>)]
    netmask: Option<Ipv4Addr>,
    #[schema(value_type = Vec<String>)]
    dns_servers: Vec<Ipv4Addr>,
    dhcp_enabled: bool,
    mtu: Option<u32>,
    /// Addresses that DHCP may hand out.
    address_count: u64,
    /// Of these, reserved or leased.
    used_address_count: u64,
    /// Not known for networks that this node did not make.
    create_time: Option<i64>,
    update_time: Option<i64>,
}

impl<'a> NetworkView<'a> {
    fn of(snapshot: &Snapshot, network: &'a Network) -> Self {
        let subnet = network.ipv4.as_ref();
        let dhcp = subnet.filter(|subnet| !subnet.dhcp_ranges.is_empty());
        Self {
            network_uuid: network.network_uuid,
            network_name: &network.network_name,
            description: "",
            status: status_word(network),
            network_type: type_word(network.network_type),
            bridge_name: &network.bridge_name,
            interface_name: None,
            vlan_id: None,
            address_range: subnet.map(|subnet| subnet.gateway.trunc().to_string()),
            gateway: subnet.map(|subnet| subnet.gateway.addr()),
            netmask: subnet.map(|subnet| subnet.gateway.netmask()),
            dns_servers: dhcp.map(|subnet| subnet.gateway.addr()).into_iter().collect(),
            dhcp_enabled: dhcp.is_some(),
            mtu: network.mtu,
            address_count: dhcp.map_or(0, address_count),
            used_address_count: dhcp.map_or(0, |subnet| used_address_count(snapshot, network.network_uuid, subnet)),
            create_time: None,
            update_time: None,
        }
    }
}

fn status_word(network: &Network) -> &'static str {
    if network.is_active { "active" } else { "inactive" }
}

fn type_word(network_type: NetworkType) -> &'static str {
    match network_type {
        NetworkType::Nat => "nat",
        NetworkType::Routed => "routed",
        NetworkType::Isolated => "isolated",
        NetworkType::Bridge => "bridge",
    }
}

fn address_count(subnet: &Ipv4Subnet) -> u64 {
    let size = |(first, last): &(Ipv4Addr, Ipv4Addr)| (u64::from(last.to_bits()) + 1).saturating_sub(u64::from(first.to_bits()));
    subnet.dhcp_ranges.iter().map(size).sum()
}

/// Addresses of our NICs count from the moment they are promised, others from when they are seen.
fn used_address_count(snapshot: &Snapshot, network_uuid: Uuid, subnet: &Ipv4Subnet) -> u64 {
    let is_handed_out = |address: &&Ipv4Addr| subnet.dhcp_ranges.iter().any(|(first, last)| (first..=last).contains(address));
    let reserved = subnet.reservations.iter().map(|reservation| &reservation.ip_address);
    let records = snapshot.vms.values().filter_map(|vm| vm.record.as_ref());
    let nics = records.flat_map(|record| &record.nics).filter(|nic| nic.network_uuid == network_uuid);
    let promised = nics.filter_map(|nic| nic.ip_address.as_ref());
    let used: BTreeSet<_> = reserved.chain(promised).chain(snapshot.leased_addresses.values()).filter(is_handed_out).collect();
    used.len() as u64
}

/// Which network.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct NetworkTarget {
    #[schema(format = Uuid)]
    network_uuid: String,
}

pub(in super::super) async fn list(call: Call, options: ListOptions, _: Nothing) -> Result<Data> {
    let plan = options.plan(Some(&STATUSES))?;
    let snapshot = call.snapshot();
    let wanted = snapshot.networks.values().filter(|network| plan.admits(&network.network_name, status_word(network)));
    let rows = wanted.map(|network: &Arc<Network>| Row {
        create_time: Timestamp::default(),
        name: &network.network_name,
        uuid: network.network_uuid,
        item: network,
    });
    Data::of(&plan.page(rows.collect(), |network| NetworkView::of(&snapshot, network)))
}

pub(in super::super) async fn inspect(call: Call, target: NetworkTarget) -> Result<Data> {
    let uuid = check::uuid("network_uuid", &target.network_uuid)?;
    let snapshot = call.snapshot();
    let network = snapshot.networks.get(&uuid).ok_or_else(|| fail!(NetworkNotExist))?;
    Data::of(&InspectedNetwork { network: NetworkView::of(&snapshot, network) })
}

#[derive(Debug, Serialize)]
struct InspectedNetwork<'a> {
    network: NetworkView<'a>,
}
