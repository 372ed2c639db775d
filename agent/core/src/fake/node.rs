//! The fake world: domains, files in pools, networks. It survives its sessions, as libvirt survives the daemon.

use super::domain::{Domain, FakeMonitor};
use super::hypervisor::EventSink;
use crate::model::{
    DhcpLease, DhcpReservation, HostCapabilities, Ipv4Subnet, MacAddress, Network, NetworkType, ObservedVm, PoolSpace, PowerState,
    StateReason, VirtType,
};
use crate::port::{CONSOLE_POOL, Clock, DomainSpec, HypervisorEvent, IMAGES_POOL, VOLUMES_POOL, VolumeSpec};
use crate::{Result, fail};
use ipnet::Ipv4Net;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How the fake world is made.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// How long each call takes.
    pub call_delay: Duration,
    /// How long a guest takes to shut down or reboot when asked.
    pub guest_delay: Duration,
    /// Whether guests act on shutdown and reboot requests at all; see also [`FakeNode::set_heeds_requests`].
    pub guests_heed_requests: bool,
    /// Hardware threads of the host.
    pub cpu_threads: u32,
    /// Memory of the host.
    pub memory_bytes: u64,
    /// Capacity of each pool.
    pub pool_bytes: u64,
    /// Directory that the pools' paths start with; nothing is ever written there.
    pub directory: String,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            call_delay: Duration::ZERO,
            guest_delay: Duration::from_millis(20),
            guests_heed_requests: true,
            cpu_threads: 16,
            memory_bytes: 64 << 30,
            pool_bytes: 1 << 40,
            directory: "/var/lib/hvnode".into(),
        }
    }
}

/// The fake world. Clones are the same world.
#[derive(Clone)]
pub struct FakeNode {
    pub(super) options: Arc<NodeOptions>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) state: Arc<Mutex<World>>,
}

impl std::fmt::Debug for FakeNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeNode").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A file in a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// Bytes it takes on the disk.
    pub(super) allocated_bytes: u64,
    /// Bytes a guest sees.
    pub(super) virtual_bytes: u64,
    /// Image below it.
    pub(super) backing: Option<(String, String)>,
}

/// Bytes a fresh copy-on-write disk takes.
const EMPTY_DISK_BYTES: u64 = 196_616;

/// What the mutex of a [`FakeNode`] guards.
#[derive(Debug)]
pub(super) struct World {
    pub(super) domains: BTreeMap<Uuid, Domain>,
    /// By absolute path.
    pub(super) files: BTreeMap<String, File>,
    pub(super) networks: BTreeMap<Uuid, Network>,
    pub(super) are_pools_made: bool,
    pub(super) pool_bytes: u64,
    directory: String,
    sinks: Vec<EventSink>,
}

impl FakeNode {
    /// A host with two networks (`default` with NAT, `isolated`), no pools yet and no domains.
    pub fn new(options: NodeOptions, clock: Arc<dyn Clock>) -> Self {
        let networks = [default_network(), isolated_network()].map(|network| (network.network_uuid, network));
        let state = World {
            domains: BTreeMap::new(),
            files: BTreeMap::new(),
            networks: networks.into(),
            are_pools_made: false,
            pool_bytes: options.pool_bytes,
            directory: options.directory.clone(),
            sinks: Vec::new(),
        };
        Self { options: Arc::new(options), clock, state: Arc::new(Mutex::new(state)) }
    }

    /// What libvirt would show of a domain.
    pub fn domain(&self, vm_uuid: Uuid) -> Option<ObservedVm> {
        self.state.lock().domains.get(&vm_uuid).map(|domain| domain.observed.clone())
    }

    /// How many domains there are.
    pub fn domain_count(&self) -> usize {
        self.state.lock().domains.len()
    }

    /// Absolute paths of every file in the pools.
    pub fn files(&self) -> Vec<String> {
        self.state.lock().files.keys().cloned().collect()
    }

    /// Every reservation of every network.
    pub fn reservations(&self) -> Vec<DhcpReservation> {
        let state = self.state.lock();
        state.networks.values().filter_map(|n| n.ipv4.as_ref()).flat_map(|ipv4| ipv4.reservations.clone()).collect()
    }

    /// Somebody else defines a domain, on or off as `observed` says.
    pub fn define_outside(&self, observed: ObservedVm) {
        let vm_uuid = observed.vm_uuid;
        let mut state = self.state.lock();
        state.domains.insert(vm_uuid, Domain::foreign(observed));
        state.tell(&HypervisorEvent::DomainChanged(vm_uuid));
    }

    /// Somebody else changes what libvirt shows of a domain.
    pub fn change_outside(&self, vm_uuid: Uuid, change: impl FnOnce(&mut ObservedVm)) {
        let mut state = self.state.lock();
        if let Some(domain) = state.domains.get_mut(&vm_uuid) {
            change(&mut domain.observed);
            state.tell(&HypervisorEvent::DomainChanged(vm_uuid));
        }
    }

    /// Somebody else removes a domain, running or not.
    pub fn remove_outside(&self, vm_uuid: Uuid) {
        let mut state = self.state.lock();
        if state.domains.remove(&vm_uuid).is_some() {
            state.tell(&HypervisorEvent::DomainChanged(vm_uuid));
        }
    }

    /// Removes a file behind everybody's back.
    pub fn remove_file_outside(&self, path: &str) {
        self.state.lock().files.remove(path);
    }

    /// The guest powers itself off.
    pub fn power_off_guest(&self, vm_uuid: Uuid) {
        self.stop_outside(vm_uuid, PowerState::Off, StateReason::GuestShutdown);
    }

    /// Somebody else destroys it.
    pub fn destroy_outside(&self, vm_uuid: Uuid) {
        self.stop_outside(vm_uuid, PowerState::Off, StateReason::Destroyed);
    }

    /// Its QEMU is killed.
    pub fn kill_qemu(&self, vm_uuid: Uuid) {
        self.stop_outside(vm_uuid, PowerState::Crashed, StateReason::QemuDied);
    }

    /// The guest's kernel panics.
    pub fn panic_guest(&self, vm_uuid: Uuid) {
        self.stop_outside(vm_uuid, PowerState::Crashed, StateReason::GuestPanic);
        self.state.lock().tell(&HypervisorEvent::DomainPanicked(vm_uuid));
    }

    /// The guest reboots itself.
    pub fn reboot_guest(&self, vm_uuid: Uuid) {
        self.state.lock().tell(&HypervisorEvent::DomainRebooted(vm_uuid));
    }

    /// Its watchdog resets it.
    pub fn fire_watchdog(&self, vm_uuid: Uuid) {
        self.state.lock().tell(&HypervisorEvent::DomainWatchdogReset(vm_uuid));
        self.reboot_guest(vm_uuid);
    }

    /// A disk error holds its processors.
    pub fn fail_disk(&self, vm_uuid: Uuid) {
        let mut state = self.state.lock();
        if let Some(domain) = state.domains.get_mut(&vm_uuid) {
            domain.set_power(PowerState::Paused, StateReason::IoError);
            state.tell(&HypervisorEvent::DomainChanged(vm_uuid));
            state.tell(&HypervisorEvent::DomainIoError(vm_uuid));
        }
    }

    /// Whether the guest of this domain acts on shutdown and reboot requests.
    pub fn set_heeds_requests(&self, vm_uuid: Uuid, heeds_requests: bool) {
        if let Some(domain) = self.state.lock().domains.get_mut(&vm_uuid) {
            domain.heeds_requests = heeds_requests;
        }
    }

    /// What the QEMU of this domain says to the hypervisor tier from now on, until it is started again.
    pub fn set_monitor(&self, vm_uuid: Uuid, monitor: FakeMonitor) {
        if let Some(domain) = self.state.lock().domains.get_mut(&vm_uuid) {
            domain.monitor = monitor;
        }
    }

    /// Changes the capacity of each pool, to run out of space.
    pub fn set_pool_bytes(&self, pool_bytes: u64) {
        self.state.lock().pool_bytes = pool_bytes;
    }

    pub(super) fn capabilities(&self) -> HostCapabilities {
        HostCapabilities {
            host_uuid: Uuid::from_u128(0x51e0_1a7e_d000_4000_8000_0000_0000_0001),
            virt_type: VirtType::Qemu,
            emulation_reason: Some("this node is simulated".into()),
            hypervisor_type: "QEMU".into(),
            hypervisor_version: "10.0.0".into(),
            libvirt_version: "11.0.0".into(),
            architecture: "x86_64".into(),
            cpu_model: "simulated".into(),
            cpu_sockets: 1,
            cpu_cores: self.options.cpu_threads,
            cpu_threads: self.options.cpu_threads,
            has_uefi: true,
            vcpus_max: 255,
        }
    }

    pub(super) fn stop_outside(&self, vm_uuid: Uuid, power: PowerState, reason: StateReason) {
        self.state.lock().switch_off(vm_uuid, power, reason);
    }
}

impl World {
    pub(super) fn subscribe(&mut self, sink: EventSink) {
        self.sinks.push(sink);
    }

    pub(super) fn tell(&mut self, event: &HypervisorEvent) {
        self.sinks.retain_mut(|sink| sink.send(event.clone()));
    }

    /// Fine if it is off; a transient domain vanishes.
    pub(super) fn switch_off(&mut self, vm_uuid: Uuid, power: PowerState, reason: StateReason) {
        let Some(domain) = self.domains.get_mut(&vm_uuid).filter(|domain| domain.is_on()) else { return };
        domain.set_power(power, reason);
        if !domain.observed.is_persistent {
            self.domains.remove(&vm_uuid);
        }
        self.tell(&HypervisorEvent::DomainChanged(vm_uuid));
    }

    pub(super) fn find(&mut self, vm_uuid: Uuid) -> Result<&mut Domain> {
        self.domains.get_mut(&vm_uuid).ok_or_else(|| fail!(VmNotExist))
    }

    /// The domain, if it is on.
    pub(super) fn find_running(&mut self, vm_uuid: Uuid) -> Result<&mut Domain> {
        let domain = self.find(vm_uuid)?;
        if domain.is_on() { Ok(domain) } else { Err(fail!(VmStateNotAllowed, "the domain is not running"; "虚拟机未运行")) }
    }

    pub(super) fn define(&mut self, spec: &DomainSpec, heeds_requests: bool) -> Result<()> {
        let name_owner = self.domains.values().find(|d| d.observed.domain_name == spec.domain_name && d.observed.vm_uuid != spec.vm_uuid);
        if let Some(owner) = name_owner {
            let (name, owner) = (&spec.domain_name, owner.observed.vm_uuid);
            return Err(fail!(AlreadyExist, "domain {name} has uuid {owner}"; "虚拟机 {name} 的uuid为 {owner}"));
        }
        match self.domains.get_mut(&spec.vm_uuid) {
            // The running definition is left alone: it can only be the one asked for, or the state rules were not kept.
            Some(domain) if domain.is_on() => return Ok(()),
            Some(domain) => domain.redefine(spec),
            None => {
                self.domains.insert(spec.vm_uuid, Domain::new(spec, heeds_requests));
            }
        }
        self.tell(&HypervisorEvent::DomainChanged(spec.vm_uuid));
        Ok(())
    }

    pub(super) fn start(&mut self, vm_uuid: Uuid, clock: &dyn Clock) -> Result<()> {
        let directory = format!("{}/", self.directory);
        let domain = self.domains.get(&vm_uuid).ok_or_else(|| fail!(VmNotExist))?;
        if domain.is_on() {
            return Ok(());
        }
        // Files outside the pools are somebody else's, and are taken to be there.
        if let Some(missing) = domain.files().find(|path| path.starts_with(&directory) && !self.files.contains_key(*path)) {
            return Err(fail!(VmStartFailed, "file {missing} does not exist"; "文件 {missing} 不存在"));
        }
        self.find(vm_uuid)?.start(clock.sample_time());
        self.tell(&HypervisorEvent::DomainChanged(vm_uuid));
        Ok(())
    }

    pub(super) fn path_in(&self, pool_name: &str, file_name: &str) -> Result<String> {
        if file_name.is_empty() || file_name.contains('/') {
            return Err(fail!(Internal, "{file_name} is no file name"));
        }
        Ok(format!("{}/{file_name}", self.pool_path(pool_name)?))
    }

    fn pool_path(&self, pool_name: &str) -> Result<String> {
        let folder = match pool_name {
            IMAGES_POOL => "images",
            VOLUMES_POOL => "volumes",
            CONSOLE_POOL => "console",
            _ => return Err(fail!(Internal, "no storage pool {pool_name}"; "没有存储池 {pool_name}")),
        };
        if !self.are_pools_made {
            return Err(fail!(Internal, "storage pool {pool_name} was never made"; "存储池 {pool_name} 未创建"));
        }
        Ok(format!("{}/{folder}", self.directory))
    }

    pub(super) fn pool_space(&self) -> Result<Vec<PoolSpace>> {
        let spaces = [IMAGES_POOL, VOLUMES_POOL, CONSOLE_POOL].map(|pool_name| {
            Ok(PoolSpace {
                pool_name: pool_name.into(),
                path: self.pool_path(pool_name)?,
                capacity_bytes: self.pool_bytes,
                available_bytes: self.available_bytes(pool_name)?,
            })
        });
        spaces.into_iter().collect()
    }

    fn available_bytes(&self, pool_name: &str) -> Result<u64> {
        let prefix = format!("{}/", self.pool_path(pool_name)?);
        let used: u64 = self.files.iter().filter(|(path, _)| path.starts_with(&prefix)).map(|(_, file)| file.allocated_bytes).sum();
        Ok(self.pool_bytes.saturating_sub(used))
    }

    pub(super) fn ensure_volume(&mut self, spec: &VolumeSpec) -> Result<()> {
        let path = self.path_in(&spec.pool_name, &spec.file_name)?;
        if let Some((backing, _)) = &spec.backing
            && !self.files.contains_key(backing)
        {
            return Err(fail!(Internal, "backing file {backing} does not exist"; "后端文件 {backing} 不存在"));
        }
        let file = File { allocated_bytes: EMPTY_DISK_BYTES, virtual_bytes: spec.storage_bytes, backing: spec.backing.clone() };
        match self.files.get(&path) {
            Some(existing) if *existing == file => Ok(()),
            Some(_) => Err(fail!(AlreadyExist, "{path} is another disk"; "{path} 是另一块硬盘")),
            None => self.put_file(&spec.pool_name, path, file),
        }
    }

    pub(super) fn put_file(&mut self, pool_name: &str, path: String, file: File) -> Result<()> {
        let replaced = self.files.get(&path).map_or(0, |file| file.allocated_bytes);
        if self.available_bytes(pool_name)? + replaced < file.allocated_bytes {
            return Err(fail!(StorageFull));
        }
        self.files.insert(path, file);
        Ok(())
    }

    pub(super) fn list_volumes(&self, pool_name: &str) -> Result<Vec<String>> {
        let prefix = format!("{}/", self.pool_path(pool_name)?);
        Ok(self.files.keys().filter_map(|path| path.strip_prefix(&prefix)).map(str::to_owned).collect())
    }

    /// Running NICs of a network have their reservation, else the next free address.
    pub(super) fn leases(&self, network_uuid: Uuid) -> Result<Vec<DhcpLease>> {
        let network = self.networks.get(&network_uuid).ok_or_else(|| fail!(NetworkNotExist))?;
        let Some(ipv4) = &network.ipv4 else { return Ok(Vec::new()) };
        let mut leases: Vec<DhcpLease> = Vec::new();
        let mut free = ipv4.dhcp_ranges.iter().flat_map(|(first, last)| (u32::from(*first)..=u32::from(*last)).map(Ipv4Addr::from));
        let nics = self.domains.values().filter(|d| d.is_on()).flat_map(|d| &d.observed.nics);
        for nic in nics.filter(|nic| nic.source == network.network_name) {
            let reserved = ipv4.reservations.iter().find(|r| r.mac_address == nic.mac_address).map(|r| r.ip_address);
            let address = reserved.or_else(|| free.find(|ip| ipv4.reservations.iter().all(|r| r.ip_address != *ip)));
            leases.extend(address.map(|ip_address| DhcpLease { mac_address: nic.mac_address, ip_address }));
        }
        Ok(leases)
    }

    pub(super) fn reserve(&mut self, network_uuid: Uuid, reservation: &DhcpReservation) -> Result<()> {
        let network = self.networks.get_mut(&network_uuid).ok_or_else(|| fail!(NetworkNotExist))?;
        let ip_address = reservation.ip_address;
        let Some(ipv4) = network.ipv4.as_mut().filter(|ipv4| ipv4.gateway.contains(&ip_address)) else {
            return Err(fail!(DhcpFailed, "{ip_address} is outside the network"; "{ip_address} 不在网络范围内"));
        };
        if ipv4.reservations.iter().any(|r| r.ip_address == ip_address && r.mac_address != reservation.mac_address) {
            return Err(fail!(DhcpFailed, "{ip_address} is reserved for another NIC"; "{ip_address} 已为其他网卡保留"));
        }
        ipv4.reservations.retain(|r| r.mac_address != reservation.mac_address);
        ipv4.reservations.push(reservation.clone());
        Ok(())
    }

    pub(super) fn unreserve(&mut self, network_uuid: Uuid, mac_address: MacAddress) {
        if let Some(ipv4) = self.networks.get_mut(&network_uuid).and_then(|network| network.ipv4.as_mut()) {
            ipv4.reservations.retain(|r| r.mac_address != mac_address);
        }
    }
}

fn default_network() -> Network {
    network(0xd1, "default", NetworkType::Nat, "virbr0", Ipv4Addr::new(192, 168, 122, 1))
}

fn isolated_network() -> Network {
    network(0xd2, "isolated", NetworkType::Isolated, "virbr1", Ipv4Addr::new(192, 168, 130, 1))
}

pub(super) fn network(id: u128, name: &str, network_type: NetworkType, bridge_name: &str, gateway: Ipv4Addr) -> Network {
    let [a, b, c, _] = gateway.octets();
    Network {
        network_uuid: Uuid::from_u128(0x51e0_1a7e_d000_4000_8000_0000_0000_0000 + id),
        network_name: name.into(),
        network_type,
        bridge_name: bridge_name.into(),
        is_active: true,
        is_host_bridge: false,
        mtu: None,
        ipv4: Some(Ipv4Subnet {
            // 24 is always a right prefix length; the fallback is never taken.
            gateway: Ipv4Net::new(gateway, 24).unwrap_or_default(),
            dhcp_ranges: vec![(Ipv4Addr::new(a, b, c, 2), Ipv4Addr::new(a, b, c, 254))],
            reservations: Vec::new(),
        }),
    }
}
