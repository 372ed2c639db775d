//! Says what the probe sees of this machine and every QEMU on it, and what a look costs.
//!
//! `cargo run --release -p hvnode-probe --example measure -- [SWEEPS]`: run it where the QEMUs are, in their namespaces, to see their taps.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool for developers")]

use hvnode_core::model::{MacAddress, VmTarget};
use hvnode_core::port::HostProbe;
use hvnode_probe::ProcProbe;
use std::time::{Duration, Instant};
use uuid::Uuid;

fn targets() -> Vec<VmTarget> {
    let uuid = |entry: std::fs::DirEntry| {
        let bytes = std::fs::read(entry.path().join("cmdline")).ok()?;
        let mut arguments = bytes.split(|byte| *byte == 0);
        arguments.find(|argument| *argument == b"-uuid")?;
        Uuid::try_parse_ascii(arguments.next()?).ok()
    };
    let mut uuids: Vec<Uuid> = std::fs::read_dir("/proc").unwrap().filter_map(|entry| uuid(entry.ok()?)).collect();
    uuids.sort_unstable();
    uuids.dedup();
    let interfaces = std::fs::read_dir("/sys/class/net").unwrap();
    let mut taps = interfaces.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(|name| name.starts_with("vnet"));
    let nics = |tap: Option<String>| tap.map(|tap| (tap.into(), MacAddress::from_seed([0, 0, 1]))).into_iter().collect();
    uuids.into_iter().map(|vm_uuid| VmTarget { vm_uuid, nics: nics(taps.next()) }).collect()
}

/// Processor time of this thread so far.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// Mean processor time, mean time and least time of a call: on a busy machine the first says what the call costs.
fn timed(count: u32, mut call: impl FnMut()) -> [Duration; 3] {
    let mut least = Duration::MAX;
    let (start, cpu_start) = (Instant::now(), cpu_time());
    for _ in 0..count {
        let start = Instant::now();
        call();
        least = least.min(start.elapsed());
    }
    [(cpu_time() - cpu_start) / count, start.elapsed() / count, least]
}

fn main() {
    let sweeps = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(200);
    let probe = ProcProbe::default();
    println!("{:#?}", probe.sample().unwrap());
    let [cpu, mean, least] = timed(sweeps, || drop(probe.sample().unwrap()));
    println!("host: {cpu:?} of a processor per sample, takes {mean:?}, at best {least:?}");

    let targets = targets();
    let start = Instant::now();
    let samples = probe.sample_vms(&targets).unwrap();
    println!("{samples:#?}\n{} of {} VMs found; first sweep {:?}", samples.len(), targets.len(), start.elapsed());
    let times = timed(sweeps, || drop(probe.sample_vms(&targets).unwrap()));
    let count = u32::try_from(samples.len()).unwrap().max(1);
    let [cpu, mean, least] = times.map(|time| time / count);
    println!("VMs: {cpu:?} of a processor per VM and sweep, takes {mean:?}, at best {least:?}");
}
