//! Networks in, DHCP reservations out.

use super::{child, child_attribute, children, descend, parse, text_of, to_xml};
use hvnode_core::Result;
use hvnode_core::model::{DhcpReservation, Ipv4Subnet, Network, NetworkType};
use ipnet::Ipv4Net;
use roxmltree::Node;
use serde::Serialize;
use std::net::Ipv4Addr;
use uuid::Uuid;

/// Longest label of a DNS name.
const LABEL_LENGTH_MAX: usize = 63;

/// A network from its definition.
///
/// # Errors
/// `Internal` if it is not XML.
pub(crate) fn parse_network(xml: &str, network_uuid: Uuid, network_name: String, is_active: bool) -> Result<Network> {
    let document = parse(xml)?;
    let root = document.root_element();
    Ok(Network {
        network_uuid,
        network_name,
        network_type: type_of(root),
        bridge_name: child_attribute(root, "bridge", "name").unwrap_or_default().to_owned(),
        is_active,
        is_host_bridge: false,
        mtu: child_attribute(root, "mtu", "size").and_then(|size| size.parse().ok()),
        ipv4: ipv4_elements(root).next().and_then(|(_, ip)| subnet_of(ip)),
    })
}

fn type_of(root: Node<'_, '_>) -> NetworkType {
    match child(root, "forward").map(|forward| forward.attribute("mode").unwrap_or("nat")) {
        None => NetworkType::Isolated,
        Some("nat") => NetworkType::Nat,
        Some("route" | "open") => NetworkType::Routed,
        // bridge, private, vepa, passthrough, hostdev: guests sit on something outside.
        Some(_) => NetworkType::Bridge,
    }
}

/// IPv4 blocks with their index among all `<ip>` elements.
fn ipv4_elements<'a, 'd>(root: Node<'a, 'd>) -> impl Iterator<Item = (usize, Node<'a, 'd>)> {
    children(root, "ip").enumerate().filter(|(_, ip)| ip.attribute("family").is_none_or(|family| family == "ipv4"))
}

fn subnet_of(ip: Node<'_, '_>) -> Option<Ipv4Subnet> {
    let address: Ipv4Addr = ip.attribute("address")?.parse().ok()?;
    let gateway = match (ip.attribute("prefix"), ip.attribute("netmask")) {
        (Some(prefix), _) => Ipv4Net::new(address, prefix.parse().ok()?).ok()?,
        (None, Some(netmask)) => Ipv4Net::with_netmask(address, netmask.parse().ok()?).ok()?,
        // libvirt's own rule: the class of the address.
        (None, None) => Ipv4Net::new(address, class_prefix(address)).ok()?,
    };
    let dhcp = child(ip, "dhcp");
    let ranges = dhcp.map(|dhcp| children(dhcp, "range").filter_map(range_of).collect());
    Some(Ipv4Subnet { gateway, dhcp_ranges: ranges.unwrap_or_default(), reservations: dhcp.map(hosts_of).unwrap_or_default() })
}

fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}

fn range_of(range: Node<'_, '_>) -> Option<(Ipv4Addr, Ipv4Addr)> {
    Some((range.attribute("start")?.parse().ok()?, range.attribute("end")?.parse().ok()?))
}

fn hosts_of(dhcp: Node<'_, '_>) -> Vec<DhcpReservation> {
    let host = |node: Node<'_, '_>| {
        Some(DhcpReservation {
            mac_address: node.attribute("mac")?.parse().ok()?,
            ip_address: node.attribute("ip")?.parse().ok()?,
            host_name: node.attribute("name").unwrap_or_default().to_owned(),
        })
    };
    children(dhcp, "host").filter_map(host).collect()
}

/// Where reservations of a network live, and which there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reservations {
    /// Index of the `<ip>` element with DHCP.
    pub(crate) index: i32,
    /// Its hosts.
    pub(crate) hosts: Vec<DhcpReservation>,
}

/// The reservations in a definition; `None` where it has no DHCP for IPv4.
///
/// # Errors
/// `Internal` if it is not XML.
pub(crate) fn reservations_of(xml: &str) -> Result<Option<Reservations>> {
    let document = parse(xml)?;
    let found = ipv4_elements(document.root_element()).find_map(|(index, ip)| child(ip, "dhcp").map(|dhcp| (index, dhcp)));
    Ok(found.and_then(|(index, dhcp)| Some(Reservations { index: i32::try_from(index).ok()?, hosts: hosts_of(dhcp) })))
}

#[derive(Serialize)]
struct Host {
    #[serde(rename = "@mac")]
    mac: String,
    #[serde(rename = "@ip")]
    ip: String,
    #[serde(rename = "@name", skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// A reservation as libvirt wants it. `with_name` is false where the name is taken.
///
/// # Errors
/// `Internal` if it cannot be written.
pub(crate) fn host_xml(reservation: &DhcpReservation, with_name: bool) -> Result<String> {
    let name = Some(dns_label(&reservation.host_name)).filter(|name| with_name && !name.is_empty());
    to_xml("host", &Host { mac: reservation.mac_address.to_string(), ip: reservation.ip_address.to_string(), name })
}

/// What of a name can be a DNS label that libvirt accepts: letters, digits and dashes, a letter first.
pub(crate) fn dns_label(name: &str) -> String {
    let kept = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').skip_while(|c| !c.is_ascii_alphabetic());
    let label: String = kept.take(LABEL_LENGTH_MAX).collect();
    label.trim_end_matches('-').to_owned()
}

/// Text of an element, for tests and pools.
pub(super) fn element_text(xml: &str, path: &[&str]) -> Result<Option<String>> {
    let document = parse(xml)?;
    Ok(descend(document.root_element(), path).map(text_of))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: &str = "<network connections='1'><name>default</name><forward mode='nat'/><bridge name='virbr0' stp='on'/>
      <mtu size='1400'/><ip family='ipv6' address='fd00::1' prefix='64'/>
      <ip address='192.168.122.1' netmask='255.255.255.0'><dhcp><range start='192.168.122.2' end='192.168.122.254'/>
      <host mac='52:54:00:00:00:01' name='a' ip='192.168.122.10'/><host name='no-mac' ip='192.168.122.11'/></dhcp></ip></network>";

    #[test]
    fn a_nat_network_is_read_whole() {
        let network = parse_network(DEFAULT, Uuid::from_u128(1), "default".into(), true).unwrap();
        let ipv4 = network.ipv4.clone().unwrap();
        assert_eq!((network.network_type, network.bridge_name.as_str(), network.mtu), (NetworkType::Nat, "virbr0", Some(1400)));
        assert_eq!(ipv4.gateway.to_string(), "192.168.122.1/24");
        assert_eq!(ipv4.dhcp_ranges.len(), 1);
        assert_eq!(ipv4.reservations.len(), 1);
        assert_eq!(reservations_of(DEFAULT).unwrap().unwrap().index, 1);
    }

    #[test]
    fn kinds_of_networks_are_told_apart() {
        for (forward, expected) in [
            ("", NetworkType::Isolated),
            ("<forward/>", NetworkType::Nat),
            ("<forward mode='route'/>", NetworkType::Routed),
            ("<forward mode='open'/>", NetworkType::Routed),
            ("<forward mode='bridge'/>", NetworkType::Bridge),
            ("<forward mode='hostdev'/>", NetworkType::Bridge),
        ] {
            let network = parse_network(&format!("<network>{forward}</network>"), Uuid::nil(), String::new(), false).unwrap();
            assert_eq!(network.network_type, expected, "{forward}");
            assert_eq!(network.ipv4, None);
        }
    }

    #[test]
    fn a_name_becomes_a_dns_label_or_nothing() {
        assert_eq!(dns_label("web-01"), "web-01");
        assert_eq!(dns_label("1. 数据库 db_2 (copy)-"), "db2copy");
        assert_eq!(dns_label("数据库"), "");
        let host = DhcpReservation {
            mac_address: "52:54:00:00:00:01".parse().unwrap(),
            ip_address: Ipv4Addr::new(10, 0, 0, 2),
            host_name: "a\"b".into(),
        };
        assert_eq!(host_xml(&host, true).unwrap(), r#"<host mac="52:54:00:00:00:01" ip="10.0.0.2" name="ab"/>"#);
        assert_eq!(host_xml(&host, false).unwrap(), r#"<host mac="52:54:00:00:00:01" ip="10.0.0.2"/>"#);
    }
}
