//! Prints what a libvirtd tells on its own: connection changes and events, each with the time since the start.
//!
//! `cargo run -p hvnode-libvirt --example watch -- URI [SECONDS]`. Beside each event about a domain stands what a new look at it finds.
//! Every few seconds it takes a sample of all VMs and says how long that took: stop a QEMU or libvirtd and see who notices.
#![allow(clippy::print_stdout, clippy::panic, reason = "a tool for developers")]

use hvnode_core::port::{Hypervisor, HypervisorEvent};
use hvnode_libvirt::{LibvirtConfig, LibvirtHypervisor, PoolDirectories};
use std::time::{Duration, Instant};

const SAMPLE_PERIOD: Duration = Duration::from_secs(4);

#[tokio::main(flavor = "current_thread")]
async fn main() -> hvnode_core::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(uri) = arguments.next() else { panic!("usage: watch URI [SECONDS]") };
    let seconds = arguments.next().and_then(|seconds| seconds.parse().ok()).unwrap_or(60);
    let pools =
        PoolDirectories { images: "/nowhere/images".into(), volumes: "/nowhere/volumes".into(), console: "/nowhere/console".into() };
    let start = Instant::now();
    let config = LibvirtConfig { call_deadline: SAMPLE_PERIOD, ..LibvirtConfig::new(uri, pools) };
    let hypervisor = LibvirtHypervisor::start(config)?;
    let sampled = hypervisor.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SAMPLE_PERIOD).await;
            let vm_uuids = sampled.list_domains().await.map(|all| all.iter().map(|vm| vm.vm_uuid).collect());
            let from = Instant::now();
            let count = sampled.sample_vms(vm_uuids.unwrap_or_default()).await.map(|all| all.len());
            let (now, took) = (start.elapsed().as_secs_f64(), from.elapsed().as_secs_f64() * 1e3);
            println!("{now:>8.3} s  sample: {count:?} in {took:.1} ms; {:?}", sampled.counts());
        }
    });
    let Some(mut events) = hypervisor.take_events() else { return Ok(()) };
    let mut state = hypervisor.connection();
    let end = tokio::time::sleep(Duration::from_secs(seconds));
    tokio::pin!(end);
    loop {
        let text = tokio::select! {
            () = &mut end => return Ok(()),
            changed = state.changed() => match changed {
                Ok(()) => format!("{:?}", state.borrow_and_update().clone()),
                Err(_) => return Ok(()),
            },
            event = events.recv() => match event {
                Some(HypervisorEvent::DomainChanged(uuid)) => {
                    let seen = hypervisor.observe(uuid).await;
                    format!("{uuid} changed: {:?}", seen.map(|vm| vm.map(|vm| (vm.power, vm.reason, vm.metadata_is_broken))))
                }
                Some(event) => format!("{event:?}"),
                None => return Ok(()),
            },
        };
        println!("{:>8.3} s  {text}", start.elapsed().as_secs_f64());
    }
}
