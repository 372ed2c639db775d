//! Networks and the NICs on them.

use super::MacAddress;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::net::Ipv4Addr;
use uuid::Uuid;

/// How a network reaches the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkType {
    /// libvirt routes and masquerades.
    Nat,
    /// libvirt routes.
    Routed,
    /// Guests and host only.
    Isolated,
    /// Guests sit on a bridge of the host; addresses are somebody else's matter.
    Bridge,
}

/// An address that libvirt's DHCP server always gives to one MAC address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpReservation {
    /// Who gets it.
    pub mac_address: MacAddress,
    /// What it gets.
    pub ip_address: Ipv4Addr,
    /// Host name in DNS, may be empty.
    pub host_name: String,
}

/// The IPv4 side of a network whose DHCP server is ours (libvirt's dnsmasq).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv4Subnet {
    /// Address of the host on the network, with prefix.
    pub gateway: Ipv4Net,
    /// Inclusive ranges handed out by DHCP; empty where DHCP is off.
    pub dhcp_ranges: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// Static reservations.
    pub reservations: Vec<DhcpReservation>,
}

/// A network VMs can have NICs on: a libvirt network, or a host bridge named in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// libvirt's uuid, or one derived from the bridge's name.
    pub network_uuid: Uuid,
    /// libvirt's name, or the bridge's.
    pub network_name: String,
    /// How it reaches the world.
    pub network_type: NetworkType,
    /// Bridge device on the host, may be empty.
    pub bridge_name: String,
    /// False for a libvirt network that is defined but not started.
    pub is_active: bool,
    /// True for a host bridge that libvirt has no network for.
    pub is_host_bridge: bool,
    /// Maximum transmission unit, where set.
    pub mtu: Option<u32>,
    /// First IPv4 block, where there is one.
    pub ipv4: Option<Ipv4Subnet>,
}

/// A current DHCP lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpLease {
    /// Who has it.
    pub mac_address: MacAddress,
    /// What it has.
    pub ip_address: Ipv4Addr,
}

/// A NIC of a VM as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Identity.
    pub interface_uuid: Uuid,
    /// Network it is on.
    pub network_uuid: Uuid,
    /// Name of that network when the NIC was made.
    pub network_name: SmolStr,
    /// True where the network is a host bridge and not a libvirt network.
    pub is_host_bridge: bool,
    /// Its own address, unique on this node.
    pub mac_address: MacAddress,
    /// Address reserved for it, where DHCP is ours.
    pub ip_address: Option<Ipv4Addr>,
    /// Device model, `virtio` unless asked otherwise.
    pub model: SmolStr,
}
