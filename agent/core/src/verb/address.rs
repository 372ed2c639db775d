//! Which Ethernet and IPv4 addresses a new NIC gets. Pure: looks at the picture only.

use super::PlanView;
use crate::model::{Ipv4Subnet, MacAddress, Network, Nic, Snapshot};
use crate::verb::NicInput;
use crate::{Result, fail};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use uuid::Uuid;

/// NICs for a new VM, each with addresses nobody else has.
pub(super) fn plan_nics(view: &PlanView<'_>, inputs: &[NicInput]) -> Result<Vec<Nic>> {
    let mut macs = used_macs(view.snapshot);
    let mut addresses = used_addresses(view.snapshot);
    let holders: BTreeMap<Ipv4Addr, MacAddress> = view.snapshot.leased_addresses.iter().map(|(mac, address)| (*address, *mac)).collect();
    let mut nics = Vec::with_capacity(inputs.len());
    for input in inputs {
        let network = view.snapshot.networks.get(&input.network_uuid).ok_or_else(|| fail!(NetworkNotExist))?;
        if !network.is_active {
            let name = &network.network_name;
            return Err(fail!(ResourceBusy, "network {name} is not active; start it first"; "网络 {name} 未启动，请先启动"));
        }
        let mac_address = plan_mac(input.mac_address, &macs)?;
        macs.insert(mac_address);
        // A lease of another interface: what its guest was given must expire before anybody else gets it.
        let is_leased = |address: Ipv4Addr| holders.get(&address).is_some_and(|holder| *holder != mac_address);
        let is_used = |address: Ipv4Addr| addresses.contains(&(network.network_uuid, address)) || is_leased(address);
        let ip_address = plan_address(network, input.ip_address, is_used)?;
        if let Some(address) = ip_address {
            addresses.insert((network.network_uuid, address));
        }
        nics.push(Nic {
            interface_uuid: Uuid::new_v4(),
            network_uuid: network.network_uuid,
            network_name: network.network_name.as_str().into(),
            is_host_bridge: network.is_host_bridge,
            mac_address,
            ip_address,
            model: "virtio".into(),
        });
    }
    Ok(nics)
}

fn used_macs(snapshot: &Snapshot) -> BTreeSet<MacAddress> {
    let recorded = snapshot.vms.values().filter_map(|vm| vm.record.as_ref()).flat_map(|r| r.nics.iter().map(|n| n.mac_address));
    let observed = snapshot.vms.values().filter_map(|vm| vm.observed.as_ref()).flat_map(|o| o.nics.iter().map(|n| n.mac_address));
    let reserved = snapshot.networks.values().filter_map(|n| n.ipv4.as_ref()).flat_map(|s| s.reservations.iter().map(|r| r.mac_address));
    recorded.chain(observed).chain(reserved).collect()
}

fn used_addresses(snapshot: &Snapshot) -> BTreeSet<(Uuid, Ipv4Addr)> {
    let mut used = BTreeSet::new();
    for nic in snapshot.vms.values().filter_map(|vm| vm.record.as_ref()).flat_map(|r| r.nics.iter()) {
        used.extend(nic.ip_address.map(|address| (nic.network_uuid, address)));
    }
    for network in snapshot.networks.values() {
        let Some(subnet) = &network.ipv4 else { continue };
        used.extend(subnet.reservations.iter().map(|r| (network.network_uuid, r.ip_address)));
    }
    used
}

fn plan_mac(wanted: Option<MacAddress>, used: &BTreeSet<MacAddress>) -> Result<MacAddress> {
    if let Some(mac) = wanted {
        if !mac.is_unicast() {
            return Err(fail!(AddressInvalid, "mac_address {mac} is not a unicast address"; "mac_address {mac} 不是单播地址"));
        }
        if used.contains(&mac) {
            return Err(fail!(MacConflict, "{mac} is used by another interface"; "{mac} 已被其他网卡使用"));
        }
        return Ok(mac);
    }
    // 24 random bits: with a few thousand NICs a collision is rare, many in a row are not possible.
    (0..64)
        .map(|_| {
            let bytes = *Uuid::new_v4().as_bytes();
            MacAddress::from_seed([bytes[0], bytes[1], bytes[2]])
        })
        .find(|mac| !used.contains(mac))
        .ok_or_else(|| fail!(AddressExhausted))
}

fn plan_address(network: &Network, wanted: Option<Ipv4Addr>, is_used: impl Fn(Ipv4Addr) -> bool) -> Result<Option<Ipv4Addr>> {
    let name = &network.network_name;
    let Some(subnet) = network.ipv4.as_ref().filter(|s| !s.dhcp_ranges.is_empty()) else {
        return match wanted {
            None => Ok(None),
            Some(address) => Err(fail!(AddressInvalid,
                "ip_address {address}: network {name} has no DHCP of this node, so no address can be given";
                "ip_address {address}: 网络 {name} 没有本节点的 DHCP，无法分配地址")),
        };
    };
    match wanted {
        Some(address) => {
            check_wanted(subnet, name, address)?;
            if is_used(address) {
                return Err(
                    fail!(AddressInvalid, "ip_address {address} is used by another interface"; "ip_address {address} 已被其他网卡使用"),
                );
            }
            Ok(Some(address))
        }
        None => subnet
            .dhcp_ranges
            .iter()
            .flat_map(|(first, last)| (u32::from(*first)..=u32::from(*last)).map(Ipv4Addr::from))
            .find(|address| *address != subnet.gateway.addr() && !is_used(*address))
            .map(Some)
            .ok_or_else(|| fail!(AddressExhausted)),
    }
}

fn check_wanted(subnet: &Ipv4Subnet, network_name: &str, address: Ipv4Addr) -> Result<()> {
    let block = subnet.gateway.trunc();
    let is_host =
        block.contains(&address) && address != block.network() && address != block.broadcast() && address != subnet.gateway.addr();
    if is_host {
        return Ok(());
    }
    Err(fail!(AddressInvalid,
        "ip_address {address} is not a free host address of network {network_name} ({block})";
        "ip_address {address} 不是网络 {network_name} ({block}) 的可用主机地址"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NetworkType;
    use proptest::prelude::*;

    fn network(first: u8, last: u8) -> Network {
        Network {
            network_uuid: Uuid::from_u128(1),
            network_name: "n".into(),
            network_type: NetworkType::Nat,
            bridge_name: "b".into(),
            is_active: true,
            is_host_bridge: false,
            mtu: None,
            ipv4: Some(Ipv4Subnet {
                gateway: "10.0.0.1/24".parse().unwrap(),
                dhcp_ranges: vec![(Ipv4Addr::new(10, 0, 0, first), Ipv4Addr::new(10, 0, 0, last))],
                reservations: vec![],
            }),
        }
    }

    proptest! {
        #[test]
        fn a_chosen_address_is_in_the_range_and_free(first in 1u8..200, length in 0u8..50, used in proptest::collection::btree_set(1u8..250, 0..60)) {
            let network = network(first, first + length);
            let used: BTreeSet<_> = used.into_iter().map(|n| Ipv4Addr::new(10, 0, 0, n)).collect();
            match plan_address(&network, None, |address| used.contains(&address)) {
                Ok(Some(address)) => {
                    prop_assert!(!used.contains(&address));
                    prop_assert!((first..=first + length).contains(&address.octets()[3]));
                    prop_assert_ne!(address, Ipv4Addr::new(10, 0, 0, 1));
                }
                Ok(None) => prop_assert!(false, "a network with DHCP always gives an address"),
                Err(error) => prop_assert_eq!(error.code(), crate::ErrorCode::AddressExhausted),
            }
        }
    }

    #[test]
    fn network_broadcast_gateway_and_foreign_addresses_are_refused() {
        let network = network(2, 254);
        for wanted in ["10.0.0.0", "10.0.0.255", "10.0.0.1", "10.0.1.5", "0.0.0.0"] {
            let result = plan_address(&network, Some(wanted.parse().unwrap()), |_| false);
            assert_eq!(result.unwrap_err().code(), crate::ErrorCode::AddressInvalid, "{wanted}");
        }
        assert_eq!(plan_address(&network, Some(Ipv4Addr::new(10, 0, 0, 9)), |_| false).unwrap(), Some(Ipv4Addr::new(10, 0, 0, 9)));
    }

    #[test]
    fn multicast_addresses_are_no_mac_for_a_nic() {
        assert!(plan_mac(Some(MacAddress([1, 0, 0x5e, 0, 0, 1])), &BTreeSet::new()).is_err());
    }
}
