//! Measures how long it takes to sample every running VM of a libvirtd, against one bulk call of libvirt's own on one connection.
//!
//! `cargo run -p hvnode-libvirt --release --example sample -- URI [ROUNDS]`: both take turns; the medians are printed at the end.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, reason = "a tool for developers")]

use hvnode_core::port::{ConnectionState, Hypervisor};
use hvnode_libvirt::{LibvirtConfig, LibvirtHypervisor, PoolDirectories};
use std::time::{Duration, Instant};
use virt::connect::Connect;
use virt_sys as sys;

const GROUPS: u32 = sys::VIR_DOMAIN_STATS_STATE
    | sys::VIR_DOMAIN_STATS_CPU_TOTAL
    | sys::VIR_DOMAIN_STATS_BALLOON
    | sys::VIR_DOMAIN_STATS_VCPU
    | sys::VIR_DOMAIN_STATS_INTERFACE
    | sys::VIR_DOMAIN_STATS_BLOCK;
const FLAGS: u32 = sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let uri = arguments.next().unwrap_or_else(|| "qemu:///system".into());
    let rounds = arguments.next().and_then(|rounds| rounds.parse().ok()).unwrap_or(20);
    let pools =
        PoolDirectories { images: "/nowhere/images".into(), volumes: "/nowhere/volumes".into(), console: "/nowhere/console".into() };
    let hypervisor = LibvirtHypervisor::start(LibvirtConfig::new(&uri, pools)).unwrap();
    hypervisor.connection().wait_for(|state| *state == ConnectionState::Up).await.unwrap();
    let raw = Connect::open(Some(&uri)).unwrap();
    let domains = raw.list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE).unwrap();
    let vm_uuids: Vec<_> = domains.iter().map(|domain| domain.uuid().unwrap()).collect();
    let (mut bulk, mut sweeps, mut lookups) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let start = Instant::now();
        let count = raw.all_domain_stats(GROUPS, FLAGS).unwrap().len();
        let bulk_time = start.elapsed();
        let start = Instant::now();
        let samples = hypervisor.sample_vms(vm_uuids.clone()).await.unwrap();
        let sweep_time = start.elapsed();
        let start = Instant::now();
        assert!(vm_uuids.iter().all(|vm_uuid| raw.lookup_domain_by_uuid(*vm_uuid).is_ok()));
        let lookup_time = start.elapsed();
        let complete = samples.iter().filter(|sample| sample.is_complete).count();
        println!(
            "{round:>3}: bulk {count} VMs in {bulk_time:.1?}, sweep {complete} complete in {sweep_time:.1?}, look-ups in {lookup_time:.1?}"
        );
        // The first round opens threads and reads definitions.
        if round > 0 {
            bulk.push(bulk_time);
            sweeps.push(sweep_time);
            lookups.push(lookup_time);
        }
    }
    let (bulk, sweep, lookup) = (median(bulk), median(sweeps), median(lookups));
    println!("medians: bulk {bulk:.1} ms, sweep {sweep:.1} ms ({:.2} of bulk), look-ups {lookup:.1} ms", sweep / bulk);
    println!("{:?}", hypervisor.counts());
}
