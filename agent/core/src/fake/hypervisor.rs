//! A session on the fake world that answers like the libvirt adapter.

use super::domain::render;
use super::faults::Faults;
use super::node::{FakeNode, File, World};
use crate::model::{
    ConnectionState, DhcpLease, DhcpReservation, HostCapabilities, HypervisorSample, Network, ObservedVm, PoolSpace, PowerState,
    StateReason,
};
use crate::port::{DisplayAddress, DomainSpec, Hypervisor, HypervisorEvent, VolumeSpec};
use crate::{Result, fail};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// Events a session keeps for its reader.
const EVENTS_MAX: usize = 1024;

/// The writing end of a session's event queue. Its last place is kept for `Lagged`.
#[derive(Debug)]
pub(super) struct EventSink {
    sender: mpsc::Sender<HypervisorEvent>,
    /// Silent while the session is cut off: what happens then is learnt by re-reading.
    connection: watch::Receiver<ConnectionState>,
    is_lagging: bool,
}

impl EventSink {
    /// False once nobody can read it any more.
    pub(super) fn send(&mut self, event: HypervisorEvent) -> bool {
        if *self.connection.borrow() != ConnectionState::Up {
            return !self.sender.is_closed();
        }
        if self.sender.capacity() > 1 {
            self.is_lagging = false;
            return self.sender.try_send(event).is_ok();
        }
        if !self.is_lagging {
            self.is_lagging = true;
            return self.sender.try_send(HypervisorEvent::Lagged).is_ok();
        }
        !self.sender.is_closed()
    }
}

/// A session on a [`FakeNode`]. It is connected from the start.
#[derive(Debug)]
pub struct FakeHypervisor {
    node: FakeNode,
    faults: Faults,
    connection: watch::Sender<ConnectionState>,
    events_sender: mpsc::Sender<HypervisorEvent>,
    events: Mutex<Option<mpsc::Receiver<HypervisorEvent>>>,
}

impl FakeHypervisor {
    /// A session on `node`, connected.
    pub fn new(node: FakeNode, faults: Faults) -> Arc<Self> {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let connection = watch::Sender::new(ConnectionState::Up);
        let sink = EventSink { sender: sender.clone(), connection: connection.subscribe(), is_lagging: false };
        node.state.lock().subscribe(sink);
        Arc::new(Self { node, faults, connection, events_sender: sender, events: Mutex::new(Some(receiver)) })
    }

    /// The world it is on.
    pub fn node(&self) -> &FakeNode {
        &self.node
    }

    /// Cuts the connection: calls fail and no events come until [`FakeHypervisor::connect`].
    pub fn disconnect(&self, reason: &str) {
        self.connection.send_replace(ConnectionState::Down(reason.to_owned()));
    }

    /// Connects again.
    pub fn connect(&self) {
        self.connection.send_replace(ConnectionState::Up);
        // Full only if nobody reads: then `Lagged` is in the queue and says the same.
        let _ = self.events_sender.try_send(HypervisorEvent::Connected);
    }

    /// One call: faults, delay, connection, effect.
    async fn call<T: Send>(
        &self,
        method: &'static str,
        about: impl ToString + Send,
        effect: impl FnOnce(&mut World) -> Result<T> + Send,
    ) -> Result<T> {
        let pass = self.faults.enter(method, about.to_string()).await?;
        if self.node.options.call_delay > Duration::ZERO {
            tokio::time::sleep(self.node.options.call_delay).await;
        }
        if pass.is_disconnect {
            self.disconnect("cut by a fault");
        }
        if let ConnectionState::Down(reason) = &*self.connection.borrow() {
            return Err(fail!(HypervisorUnavailable, "{reason}"));
        }
        let result = effect(&mut self.node.state.lock());
        if pass.is_disconnect_after {
            self.disconnect("cut by a fault");
            return Err(fail!(HypervisorUnavailable, "the answer was lost"));
        }
        self.faults.leave(pass).await?;
        result
    }

    async fn ask_guest(&self, method: &'static str, vm_uuid: Uuid, act: fn(&mut World, Uuid)) -> Result<()> {
        let node = self.node.clone();
        let ask = move |world: &mut World| {
            let domain = world.find_running(vm_uuid)?;
            if domain.heeds_requests {
                tokio::spawn(guest_acts(node, vm_uuid, domain.run, act));
            }
            Ok(())
        };
        self.call(method, vm_uuid, ask).await
    }
}

/// What the guest does after its delay, unless it was restarted meanwhile.
async fn guest_acts(node: FakeNode, vm_uuid: Uuid, run: u64, act: fn(&mut World, Uuid)) {
    tokio::time::sleep(node.options.guest_delay).await;
    let mut world = node.state.lock();
    if world.find_running(vm_uuid).is_ok_and(|domain| domain.run == run && domain.observed.power == PowerState::Running) {
        act(&mut world, vm_uuid);
    }
}

#[async_trait]
impl Hypervisor for FakeHypervisor {
    fn connection(&self) -> watch::Receiver<ConnectionState> {
        self.connection.subscribe()
    }

    fn take_events(&self) -> Option<mpsc::Receiver<HypervisorEvent>> {
        self.events.lock().take()
    }

    async fn capabilities(&self) -> Result<HostCapabilities> {
        self.call("capabilities", "", |_| Ok(self.node.capabilities())).await
    }

    async fn ensure_pools(&self) -> Result<()> {
        let make = |world: &mut World| {
            world.are_pools_made = true;
            Ok(())
        };
        self.call("ensure_pools", "", make).await
    }

    async fn pool_space(&self) -> Result<Vec<PoolSpace>> {
        self.call("pool_space", "", |world| world.pool_space()).await
    }

    async fn list_domains(&self) -> Result<Vec<ObservedVm>> {
        self.call("list_domains", "", |world| Ok(world.domains.values().map(|d| d.observed.clone()).collect())).await
    }

    async fn observe(&self, vm_uuid: Uuid) -> Result<Option<ObservedVm>> {
        self.call("observe", vm_uuid, |world| Ok(world.domains.get(&vm_uuid).map(|d| d.observed.clone()))).await
    }

    async fn ensure_defined(&self, spec: &DomainSpec) -> Result<()> {
        let heeds_requests = self.node.options.guests_heed_requests;
        self.call("ensure_defined", spec.vm_uuid, |world| world.define(spec, heeds_requests)).await
    }

    async fn render(&self, spec: &DomainSpec) -> Result<String> {
        self.call("render", spec.vm_uuid, |_| Ok(render(spec))).await
    }

    async fn update_description(&self, spec: &DomainSpec) -> Result<()> {
        let describe = |world: &mut World| {
            world.find(spec.vm_uuid)?.describe(spec);
            world.tell(&HypervisorEvent::DomainChanged(spec.vm_uuid));
            Ok(())
        };
        self.call("update_description", spec.vm_uuid, describe).await
    }

    async fn remove_description(&self, vm_uuid: Uuid) -> Result<()> {
        let forget = |world: &mut World| {
            let domain = world.find(vm_uuid)?;
            domain.observed.metadata = None;
            domain.observed.metadata_is_broken = false;
            world.tell(&HypervisorEvent::DomainChanged(vm_uuid));
            Ok(())
        };
        self.call("remove_description", vm_uuid, forget).await
    }

    async fn resize(&self, spec: &DomainSpec) -> Result<()> {
        let resize = |world: &mut World| {
            let domain = world.find(spec.vm_uuid)?;
            if domain.is_on() {
                return Err(fail!(VmStateNotAllowed, "the domain is running"; "虚拟机正在运行"));
            }
            domain.observed.cpu_cores = spec.cpu_cores;
            domain.observed.memory_bytes = spec.memory_bytes;
            world.tell(&HypervisorEvent::DomainChanged(spec.vm_uuid));
            Ok(())
        };
        self.call("resize", spec.vm_uuid, resize).await
    }

    async fn ensure_undefined(&self, vm_uuid: Uuid) -> Result<()> {
        let undefine = |world: &mut World| {
            match world.domains.get(&vm_uuid) {
                None => return Ok(()),
                Some(domain) if domain.is_on() => return Err(fail!(VmStateNotAllowed, "the domain is running"; "虚拟机正在运行")),
                Some(_) => world.domains.remove(&vm_uuid),
            };
            world.tell(&HypervisorEvent::DomainChanged(vm_uuid));
            Ok(())
        };
        self.call("ensure_undefined", vm_uuid, undefine).await
    }

    async fn ensure_started(&self, vm_uuid: Uuid) -> Result<()> {
        self.call("ensure_started", vm_uuid, |world| world.start(vm_uuid, &*self.node.clock)).await
    }

    async fn request_shutdown(&self, vm_uuid: Uuid) -> Result<()> {
        self.ask_guest("request_shutdown", vm_uuid, |world, vm_uuid| {
            world.switch_off(vm_uuid, PowerState::Off, StateReason::GuestShutdown);
        })
        .await
    }

    async fn ensure_destroyed(&self, vm_uuid: Uuid) -> Result<()> {
        let destroy = |world: &mut World| {
            world.switch_off(vm_uuid, PowerState::Off, StateReason::Destroyed);
            Ok(())
        };
        self.call("ensure_destroyed", vm_uuid, destroy).await
    }

    async fn request_reboot(&self, vm_uuid: Uuid) -> Result<()> {
        self.ask_guest("request_reboot", vm_uuid, |world, vm_uuid| world.tell(&HypervisorEvent::DomainRebooted(vm_uuid))).await
    }

    async fn reset(&self, vm_uuid: Uuid) -> Result<()> {
        let reset = |world: &mut World| {
            world.find_running(vm_uuid)?.run += 1;
            world.tell(&HypervisorEvent::DomainRebooted(vm_uuid));
            Ok(())
        };
        self.call("reset", vm_uuid, reset).await
    }

    async fn ensure_paused(&self, vm_uuid: Uuid) -> Result<()> {
        let pause = |world: &mut World| {
            let domain = world.find_running(vm_uuid)?;
            if domain.observed.power != PowerState::Paused {
                domain.set_power(PowerState::Paused, StateReason::Paused);
                world.tell(&HypervisorEvent::DomainChanged(vm_uuid));
            }
            Ok(())
        };
        self.call("ensure_paused", vm_uuid, pause).await
    }

    async fn ensure_resumed(&self, vm_uuid: Uuid) -> Result<()> {
        let resume = |world: &mut World| {
            let domain = world.find_running(vm_uuid)?;
            if domain.observed.power == PowerState::Paused {
                domain.set_power(PowerState::Running, StateReason::Booted);
                world.tell(&HypervisorEvent::DomainChanged(vm_uuid));
            }
            Ok(())
        };
        self.call("ensure_resumed", vm_uuid, resume).await
    }

    async fn list_networks(&self) -> Result<Vec<Network>> {
        self.call("list_networks", "", |world| Ok(world.networks.values().cloned().collect())).await
    }

    async fn list_leases(&self, network_uuid: Uuid) -> Result<Vec<DhcpLease>> {
        self.call("list_leases", network_uuid, |world| world.leases(network_uuid)).await
    }

    async fn ensure_reservation(&self, network_uuid: Uuid, reservation: &DhcpReservation) -> Result<()> {
        self.call("ensure_reservation", reservation.ip_address, |world| world.reserve(network_uuid, reservation)).await
    }

    async fn remove_reservation(&self, network_uuid: Uuid, reservation: &DhcpReservation) -> Result<()> {
        let remove = |world: &mut World| {
            world.unreserve(network_uuid, reservation.mac_address);
            Ok(())
        };
        self.call("remove_reservation", reservation.ip_address, remove).await
    }

    async fn ensure_volume(&self, spec: &VolumeSpec) -> Result<()> {
        self.call("ensure_volume", &spec.file_name, |world| world.ensure_volume(spec)).await
    }

    async fn ensure_file(&self, pool_name: &str, file_name: &str, content: Vec<u8>) -> Result<()> {
        let bytes = content.len() as u64;
        let put = |world: &mut World| {
            let path = world.path_in(pool_name, file_name)?;
            world.put_file(pool_name, path, File { allocated_bytes: bytes, virtual_bytes: bytes, backing: None })
        };
        self.call("ensure_file", file_name, put).await
    }

    async fn remove_volume(&self, pool_name: &str, file_name: &str) -> Result<()> {
        let remove = |world: &mut World| {
            let path = world.path_in(pool_name, file_name)?;
            world.files.remove(&path);
            Ok(())
        };
        self.call("remove_volume", file_name, remove).await
    }

    async fn list_volumes(&self, pool_name: &str) -> Result<Vec<String>> {
        self.call("list_volumes", pool_name, |world| world.list_volumes(pool_name)).await
    }

    async fn console_log(&self, vm_uuid: Uuid, bytes_max: u64) -> Result<Vec<u8>> {
        let tail = |world: &mut World| {
            let console = world.domains.get(&vm_uuid).and_then(|domain| domain.console.as_ref());
            let console = console.ok_or_else(|| fail!(VmConsoleUnavailable, "it was never started"; "从未启动"))?;
            let skipped = console.len().saturating_sub(usize::try_from(bytes_max).unwrap_or(usize::MAX));
            Ok(console[skipped..].to_vec())
        };
        self.call("console_log", vm_uuid, tail).await
    }

    async fn display(&self, vm_uuid: Uuid) -> Result<DisplayAddress> {
        let find = |world: &mut World| {
            let index = world.domains.values().filter(|d| d.is_on()).position(|d| d.observed.vm_uuid == vm_uuid);
            let index = index.ok_or_else(|| fail!(VmConsoleUnavailable, "the domain is not running"; "虚拟机未运行"))?;
            let port = 5900u16.saturating_add(u16::try_from(index).unwrap_or(u16::MAX));
            Ok(DisplayAddress { kind: "vnc".into(), ip_address: "127.0.0.1".into(), port, socket: String::new() })
        };
        self.call("display", vm_uuid, find).await
    }

    async fn sample_vms(&self, vm_uuids: Vec<Uuid>) -> Result<Vec<HypervisorSample>> {
        let at = self.node.clock.sample_time();
        let wanted: std::collections::HashSet<Uuid> = vm_uuids.into_iter().collect();
        self.call("sample_vms", "", |world| {
            let on = world.domains.values().filter(|d| d.is_on() && wanted.contains(&d.observed.vm_uuid));
            Ok(on.filter_map(|d| d.sample(at)).collect())
        })
        .await
    }
}
