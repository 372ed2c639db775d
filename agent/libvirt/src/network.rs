//! Networks, leases and reservations.

use crate::fault::refused;
use crate::ffi;
use crate::xml::{self, Reservations, dns_label};
use hvnode_core::model::{DhcpLease, DhcpReservation, Network, NetworkType};
use hvnode_core::{Result, fail};
use std::path::Path;
use uuid::Uuid;
use virt::connect::Connect;
use virt::error::{Error, ErrorNumber};
use virt_sys as sys;

/// Every libvirt network, then every bridge of the configuration that the host or the operator knows.
///
/// # Errors
/// libvirt's as `Internal`.
pub(crate) fn list(connect: &Connect, bridges: &[String]) -> Result<Vec<Network>> {
    let mut networks = Vec::new();
    for network in connect.list_all_networks(0).map_err(refused!(Internal))? {
        match read(&network) {
            Ok(network) => networks.push(network?),
            Err(error) if error.code().is(ErrorNumber::NoNetwork) => {}
            Err(error) => return Err(refused!(Internal)(error)),
        }
    }
    networks.extend(bridges.iter().map(|bridge| host_bridge(bridge)));
    Ok(networks)
}

fn read(network: &virt::network::Network) -> Result<Result<Network>, Error> {
    let (name, uuid) = (network.name()?, network.uuid()?);
    let is_active = network.is_active()?;
    let xml = network.xml_desc(0)?;
    Ok(xml::parse_network(&xml, uuid, name, is_active))
}

fn host_bridge(name: &str) -> Network {
    // A plain name: the configuration's word, but it must not lead elsewhere.
    let is_plain = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    Network {
        network_uuid: bridge_uuid(name),
        network_name: name.to_owned(),
        network_type: NetworkType::Bridge,
        bridge_name: name.to_owned(),
        is_active: is_plain && Path::new("/sys/class/net").join(name).join("bridge").exists(),
        is_host_bridge: true,
        mtu: None,
        ipv4: None,
    }
}

/// An identity for a bridge that is the same after every restart: FNV-1a of its name in a version 8 uuid.
fn bridge_uuid(name: &str) -> Uuid {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let text = b"hvnode host bridge ".iter().chain(name.as_bytes());
    let hash = text.fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME));
    uuid::Builder::from_custom_bytes(hash.to_be_bytes()).into_uuid()
}

fn find(connect: &Connect, network_uuid: Uuid) -> Result<Option<virt::network::Network>> {
    match connect.lookup_network_by_uuid(network_uuid) {
        Ok(network) => Ok(Some(network)),
        Err(error) if error.code().is(ErrorNumber::NoNetwork) => Ok(None),
        Err(error) => Err(refused!(DhcpFailed)(error)),
    }
}

/// Current IPv4 leases.
///
/// # Errors
/// `NetworkNotExist`, `DhcpFailed`.
pub(crate) fn leases(connect: &Connect, network_uuid: Uuid) -> Result<Vec<DhcpLease>> {
    let network = find(connect, network_uuid)?.ok_or_else(|| fail!(NetworkNotExist))?;
    // libvirt keeps leases of active networks only, and says so with an error.
    if !network.is_active().map_err(refused!(DhcpFailed))? {
        return Ok(Vec::new());
    }
    let leases = ffi::dhcp_leases(&network).map_err(refused!(DhcpFailed))?;
    let lease = |(mac, ip): (String, String)| Some(DhcpLease { mac_address: mac.parse().ok()?, ip_address: ip.parse().ok()? });
    Ok(leases.into_iter().filter_map(lease).collect())
}

/// One of the two places where a network keeps its reservations. They can differ, so each is looked at and changed on its own.
#[derive(Debug, Clone, Copy)]
struct Side {
    xml_flags: u32,
    update_flags: u32,
}

/// The running network and its definition, as far as they exist.
fn sides(network: &virt::network::Network) -> Result<Vec<Side>> {
    let mut sides = Vec::new();
    if network.is_active().map_err(refused!(DhcpFailed))? {
        sides.push(Side { xml_flags: 0, update_flags: sys::VIR_NETWORK_UPDATE_AFFECT_LIVE });
    }
    if network.is_persistent().map_err(refused!(DhcpFailed))? {
        sides.push(Side { xml_flags: sys::VIR_NETWORK_XML_INACTIVE, update_flags: sys::VIR_NETWORK_UPDATE_AFFECT_CONFIG });
    }
    Ok(sides)
}

/// Gives an address to a NIC, now and after restarts.
///
/// Takes libvirt about half a second on a running network: it writes the firewall rules of the network anew for every such change.
///
/// # Errors
/// `NetworkNotExist`; `DhcpFailed`, also where the network has no DHCP or the address is another NIC's.
pub(crate) fn ensure_reservation(connect: &Connect, network_uuid: Uuid, wanted: &DhcpReservation) -> Result<()> {
    let network = find(connect, network_uuid)?.ok_or_else(|| fail!(NetworkNotExist))?;
    for side in sides(&network)? {
        let xml = network.xml_desc(side.xml_flags).map_err(refused!(DhcpFailed))?;
        let Some(current) = xml::reservations_of(&xml)? else {
            return Err(fail!(DhcpFailed, "libvirt runs no DHCP for IPv4 on this network"; "libvirt 未在该网络上提供 IPv4 DHCP"));
        };
        for (command, xml) in plan(&current, wanted)? {
            update(&network, side, command, current.index, &xml)?;
        }
    }
    Ok(())
}

/// Takes a reservation back.
///
/// # Errors
/// `DhcpFailed`.
pub(crate) fn remove_reservation(connect: &Connect, network_uuid: Uuid, unwanted: &DhcpReservation) -> Result<()> {
    let Some(network) = find(connect, network_uuid)? else { return Ok(()) };
    for side in sides(&network)? {
        let xml = network.xml_desc(side.xml_flags).map_err(refused!(DhcpFailed))?;
        let Some(current) = xml::reservations_of(&xml)? else { continue };
        // Only exactly this one: the address may be another NIC's by now.
        if current.hosts.iter().any(|host| is_same(host, unwanted)) {
            update(&network, side, sys::VIR_NETWORK_UPDATE_COMMAND_DELETE, current.index, &xml::host_xml(unwanted, false)?)?;
        }
    }
    Ok(())
}

fn update(network: &virt::network::Network, side: Side, command: u32, index: i32, xml: &str) -> Result<()> {
    let section = sys::VIR_NETWORK_SECTION_IP_DHCP_HOST;
    network.update(command, section, index, xml, side.update_flags).map_err(refused!(DhcpFailed))
}

fn is_same(a: &DhcpReservation, b: &DhcpReservation) -> bool {
    a.mac_address == b.mac_address && a.ip_address == b.ip_address
}

/// The updates that lead from `current` to a state with `wanted`.
fn plan(current: &Reservations, wanted: &DhcpReservation) -> Result<Vec<(u32, String)>> {
    if current.hosts.iter().any(|host| is_same(host, wanted)) {
        return Ok(Vec::new());
    }
    if let Some(holder) = current.hosts.iter().find(|host| host.ip_address == wanted.ip_address) {
        let (ip, mac) = (wanted.ip_address, holder.mac_address);
        return Err(fail!(DhcpFailed, "{ip} is reserved for {mac}; choose another address"; "{ip} 已为 {mac} 保留,请选择其他地址"));
    }
    let mut updates = Vec::new();
    let stale = current.hosts.iter().filter(|host| host.mac_address == wanted.mac_address);
    for host in stale {
        updates.push((sys::VIR_NETWORK_UPDATE_COMMAND_DELETE, xml::host_xml(host, false)?));
    }
    // libvirt refuses two reservations of one name; the name is a nicety, the address is not.
    let name = dns_label(&wanted.host_name);
    let is_taken = current.hosts.iter().any(|host| host.mac_address != wanted.mac_address && host.host_name == name);
    updates.push((sys::VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, xml::host_xml(wanted, !is_taken)?));
    Ok(updates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hvnode_core::ErrorCode;

    fn host(mac: u8, ip: u8, name: &str) -> DhcpReservation {
        DhcpReservation {
            mac_address: hvnode_core::model::MacAddress::from_seed([0, 0, mac]),
            ip_address: [10, 0, 0, ip].into(),
            host_name: name.into(),
        }
    }

    #[test]
    fn a_bridge_keeps_its_uuid_and_shares_it_with_no_other() {
        assert_eq!(bridge_uuid("br0").to_string(), "488c3125-ca5c-8cab-9b80-69d3d5fe1ef8");
        assert_ne!(bridge_uuid("br0"), bridge_uuid("br1"));
    }

    #[test]
    fn a_bridge_name_cannot_lead_out_of_sysfs() {
        assert!(!host_bridge("../../../tmp").is_active);
        assert!(!host_bridge("").is_active);
    }

    #[test]
    fn a_reservation_that_is_there_needs_no_update() {
        let current = Reservations { index: 0, hosts: vec![host(1, 1, "a")] };
        assert_eq!(plan(&current, &host(1, 1, "b")).unwrap(), []);
    }

    #[test]
    fn a_new_address_for_a_nic_replaces_the_old_one() {
        let current = Reservations { index: 0, hosts: vec![host(1, 1, "a"), host(2, 2, "b")] };
        let commands: Vec<u32> = plan(&current, &host(1, 9, "a")).unwrap().into_iter().map(|(command, _)| command).collect();
        assert_eq!(commands, [sys::VIR_NETWORK_UPDATE_COMMAND_DELETE, sys::VIR_NETWORK_UPDATE_COMMAND_ADD_LAST]);
    }

    #[test]
    fn the_address_of_another_nic_is_not_taken_away() {
        let current = Reservations { index: 0, hosts: vec![host(2, 9, "b")] };
        assert_eq!(plan(&current, &host(1, 9, "a")).unwrap_err().code(), ErrorCode::DhcpFailed);
    }

    #[test]
    fn a_taken_name_is_left_out() {
        let current = Reservations { index: 0, hosts: vec![host(2, 2, "web")] };
        let updates = plan(&current, &host(1, 1, "web")).unwrap();
        assert!(!updates[0].1.contains("name="), "{}", updates[0].1);
    }
}
