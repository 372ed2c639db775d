//! Takes a real libvirtd through the life of one small guest and says what happened and how long it took.
//!
//! `cargo run -p hvnode-libvirt --example smoke -- URI DIRECTORY KERNEL INITRD [NETWORK]`: the pools are made below DIRECTORY, the guest
//! boots KERNEL and INITRD with its console on ttyS0 and must say `GUEST-READY` there. Everything it makes is removed again, but the
//! pools. Exits with 1 at the first thing that is not as it should be.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a tool for developers")]

use hvnode_core::model::{
    BootSource, DhcpReservation, DomainMetadata, Firmware, MacAddress, PowerState, StateReason, Timestamp, VmOrigin, VmPhase, VmRecord,
};
use hvnode_core::port::{
    CONSOLE_POOL, ConnectionState, DomainDisk, DomainNic, DomainSpec, Hypervisor, HypervisorEvent, IMAGES_POOL, VOLUMES_POOL, VolumeSpec,
};
use hvnode_libvirt::{LibvirtConfig, LibvirtHypervisor, PoolDirectories};
use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use uuid::Uuid;

const VM: Uuid = Uuid::from_u128(0x5a0c_e000_0000_4000_8000_0000_0000_0001);
const PATIENCE: Duration = Duration::from_secs(120);

async fn timed<T>(what: &str, work: impl Future<Output = hvnode_core::Result<T>>) -> T {
    let start = Instant::now();
    let result = work.await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    println!("{:>9.1} ms  {what}", start.elapsed().as_secs_f64() * 1e3);
    result
}

async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut check: impl FnMut() -> F) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = check().await {
            println!("{:>9.1} ms  until {what}", start.elapsed().as_secs_f64() * 1e3);
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "gave up waiting until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn spec(kernel: String, initrd: String, disk: String, network: Option<String>) -> DomainSpec {
    let boot = BootSource::Kernel { kernel_path: kernel, initrd_path: Some(initrd), command_line: "console=ttyS0 loglevel=4".into() };
    let record = VmRecord {
        vm_uuid: VM,
        vm_name: "smoke 烟".into(),
        domain_name: "smoke".into(),
        description: "made by <smoke>".into(),
        cpu_cores: 1,
        memory_bytes: 256 << 20,
        specification: None,
        resized_from: None,
        image: None,
        tenant_uuid: Uuid::nil(),
        user_name: "smoke".into(),
        boot: boot.clone(),
        firmware: Firmware::Bios,
        architecture: "x86_64".into(),
        auto_start: false,
        locked: false,
        restart_on_crash: false,
        has_seed: false,
        desired_power: hvnode_core::model::DesiredPower::On,
        expire_time: None,
        volumes: vec![],
        nics: vec![],
        metadata: BTreeMap::new(),
        origin: VmOrigin::Created,
        phase: VmPhase::Ready,
        create_time: Timestamp::now(),
        update_time: Timestamp::now(),
        start_time: None,
        error: None,
    };
    let nic = |source| DomainNic { mac_address: MacAddress::from_seed([9, 9, 9]), source, is_host_bridge: false, model: "virtio".into() };
    DomainSpec {
        vm_uuid: VM,
        domain_name: "smoke".into(),
        title: "smoke 烟".into(),
        cpu_cores: 1,
        memory_bytes: 256 << 20,
        architecture: "x86_64".into(),
        firmware: Firmware::Bios,
        boot,
        disks: vec![DomainDisk { path: disk, format: "qcow2".into(), device: "vda".into(), bus: "virtio".into(), serial: VM.to_string() }],
        nics: network.map(nic).into_iter().collect(),
        auto_start: true,
        metadata: DomainMetadata { record },
    }
}

async fn power(hypervisor: &LibvirtHypervisor) -> Option<(PowerState, StateReason)> {
    hypervisor.observe(VM).await.unwrap().map(|vm| (vm.power, vm.reason))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next();
    let (Some(uri), Some(directory), Some(kernel), Some(initrd)) = (next(), next(), next(), next()) else {
        panic!("usage: smoke URI DIRECTORY KERNEL INITRD [NETWORK]");
    };
    let network_name = next();
    let directory = PathBuf::from(directory);
    let pools =
        PoolDirectories { images: directory.join("images"), volumes: directory.join("volumes"), console: directory.join("console") };
    let disk = pools.volumes.join("smoke.qcow2").to_string_lossy().into_owned();
    let base = pools.images.join("base.raw").to_string_lossy().into_owned();

    let hypervisor = LibvirtHypervisor::start(LibvirtConfig::new(uri, pools)).unwrap();
    let mut events = hypervisor.take_events().unwrap();
    let mut state = hypervisor.connection();
    let connected = async {
        state.wait_for(|state| *state == ConnectionState::Up).await.unwrap();
        Ok(())
    };
    timed("connect", connected).await;
    assert_eq!(events.recv().await, Some(HypervisorEvent::Connected));
    println!("{:#?}", timed("capabilities", hypervisor.capabilities()).await);

    timed("pools", hypervisor.ensure_pools()).await;
    timed("pools again", hypervisor.ensure_pools()).await;
    println!("{:?}", timed("pool space", hypervisor.pool_space()).await);
    timed("file", hypervisor.ensure_file(IMAGES_POOL, "base.raw", vec![7; 3 << 20])).await;
    timed("file again", hypervisor.ensure_file(IMAGES_POOL, "base.raw", vec![7; 3 << 20])).await;
    let volume = |storage_bytes| VolumeSpec {
        pool_name: VOLUMES_POOL.into(),
        file_name: "smoke.qcow2".into(),
        storage_bytes,
        backing: Some((base.clone(), "raw".into())),
    };
    timed("linked clone", hypervisor.ensure_volume(&volume(1 << 30))).await;
    timed("linked clone again", hypervisor.ensure_volume(&volume(1 << 30))).await;
    println!("another size: {:?}", hypervisor.ensure_volume(&volume(2 << 30)).await.unwrap_err());
    assert_eq!(timed("volumes", hypervisor.list_volumes(VOLUMES_POOL)).await, ["smoke.qcow2"]);

    let mut spec = spec(kernel, initrd, disk, network_name.clone());
    timed("define", hypervisor.ensure_defined(&spec)).await;
    timed("define again", hypervisor.ensure_defined(&spec)).await;
    assert_eq!(power(&hypervisor).await.map(|(power, _)| power), Some(PowerState::Off));
    spec.cpu_cores = 2;
    spec.memory_bytes = 300 << 20;
    timed("resize", hypervisor.resize(&spec)).await;
    let networks = timed("networks", hypervisor.list_networks()).await;
    let network = networks.iter().find(|network| Some(&network.network_name) == network_name.as_ref());
    if let Some(network) = network {
        let subnet = network.ipv4.as_ref().expect("a network with IPv4");
        let ip_address = subnet.dhcp_ranges[0].0;
        let reservation = DhcpReservation { mac_address: spec.nics[0].mac_address, ip_address, host_name: "smoke 烟".into() };
        timed("reserve", hypervisor.ensure_reservation(network.network_uuid, &reservation)).await;
        timed("reserve again", hypervisor.ensure_reservation(network.network_uuid, &reservation)).await;
    }

    while events.try_recv().is_ok() {}
    timed("start", hypervisor.ensure_started(VM)).await;
    timed("start again", hypervisor.ensure_started(VM)).await;
    assert_eq!(events.recv().await, Some(HypervisorEvent::DomainChanged(VM)));
    spec.title = "renamed".into();
    spec.metadata.record.vm_name = "renamed".into();
    timed("rename while running", hypervisor.update_description(&spec)).await;
    let observed = timed("observe", hypervisor.observe(VM)).await.unwrap();
    assert_eq!((observed.cpu_cores, observed.memory_bytes, observed.auto_start), (2, 300 << 20, true));
    assert_eq!(observed.metadata.as_ref().unwrap().record.vm_name, "renamed");
    println!("{:?}", timed("display", hypervisor.display(VM)).await);
    assert_eq!(timed("list", hypervisor.list_domains()).await.iter().filter(|vm| vm.vm_uuid == VM).count(), 1);
    until("the guest says GUEST-READY", || async {
        let log = hypervisor.console_log(VM, 64 << 10).await.unwrap();
        String::from_utf8_lossy(&log).contains("GUEST-READY").then_some(())
    })
    .await;
    timed("console log", hypervisor.console_log(VM, 64 << 10)).await;
    timed("rotated log", hypervisor.ensure_file(CONSOLE_POOL, &format!("{VM}.log.0"), b"older words\n".to_vec())).await;
    let log = timed("console log with its older part", hypervisor.console_log(VM, 4 << 20)).await;
    assert!(log.starts_with(b"older words\n") && log.len() > 100);
    assert_eq!(hypervisor.console_log(VM, 7).await.unwrap(), log[log.len() - 7..]);
    if let Some(network) = network {
        let lease = until("it has a lease", || async { hypervisor.list_leases(network.network_uuid).await.unwrap().pop() }).await;
        println!("{lease:?}");
        assert_eq!(Some(lease.ip_address), network.ipv4.as_ref().map(|subnet| subnet.dhcp_ranges[0].0));
    }
    println!("{:#?}", timed("sample", hypervisor.sample_vms(vec![VM])).await);
    timed("pause", hypervisor.ensure_paused(VM)).await;
    timed("pause again", hypervisor.ensure_paused(VM)).await;
    assert_eq!(power(&hypervisor).await.map(|(power, _)| power), Some(PowerState::Paused));
    timed("resume", hypervisor.ensure_resumed(VM)).await;
    println!("undefine while running: {:?}", hypervisor.ensure_undefined(VM).await.unwrap_err());
    timed("ask to shut down", hypervisor.request_shutdown(VM)).await;
    until("it is off by its own will", || async {
        (power(&hypervisor).await == Some((PowerState::Off, StateReason::GuestShutdown))).then_some(())
    })
    .await;
    timed("start", hypervisor.ensure_started(VM)).await;
    timed("destroy", hypervisor.ensure_destroyed(VM)).await;
    timed("destroy again", hypervisor.ensure_destroyed(VM)).await;
    println!("{:?}", power(&hypervisor).await);

    if let Some(network) = network {
        let ip_address = network.ipv4.as_ref().unwrap().dhcp_ranges[0].0;
        let reservation = DhcpReservation { mac_address: spec.nics[0].mac_address, ip_address, host_name: String::new() };
        timed("release", hypervisor.remove_reservation(network.network_uuid, &reservation)).await;
        timed("release again", hypervisor.remove_reservation(network.network_uuid, &reservation)).await;
    }
    timed("undefine", hypervisor.ensure_undefined(VM)).await;
    timed("undefine again", hypervisor.ensure_undefined(VM)).await;
    timed("remove volume", hypervisor.remove_volume(VOLUMES_POOL, "smoke.qcow2")).await;
    timed("remove volume again", hypervisor.remove_volume(VOLUMES_POOL, "smoke.qcow2")).await;
    timed("remove file", hypervisor.remove_volume(IMAGES_POOL, "base.raw")).await;
    for pool in [IMAGES_POOL, VOLUMES_POOL, CONSOLE_POOL] {
        assert_eq!(hypervisor.list_volumes(pool).await.unwrap(), Vec::<String>::new(), "{pool}");
    }
    println!("all as it should be; {:?}", hypervisor.counts());
}
