//! The host's own facts and counters, from `/proc` and `/sys`.

use crate::mounts;
use crate::parse;
use crate::read::Root;
use crate::space::SpaceReader;
use hvnode_core::model::{
    DiskCounters, HostFacts, HostMemory, HostSample, HugePages, MacAddress, NicCounters, Pressure, SampleTime, Timestamp,
};
use hvnode_core::{AgentError, Result, fail};
use std::net::{Ipv4Addr, UdpSocket};

/// An address of the documentation range: the route to it is the default route. Nothing is ever sent.
const FAR_ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

pub(crate) fn facts(root: &Root) -> Result<HostFacts> {
    let names = nix::sys::utsname::uname().map_err(|error| fail!(Internal, "uname failed").caused_by(error))?;
    let boot_seconds = need(root, "proc/stat", |text| parse::keyed(text, "btime"))?;
    Ok(HostFacts {
        host_name: names.nodename().to_string_lossy().into_owned(),
        ip_address: own_address().unwrap_or(Ipv4Addr::LOCALHOST).to_string(),
        kernel_version: names.release().to_string_lossy().into_owned(),
        boot_time: Timestamp::from_seconds(i64::try_from(boot_seconds).unwrap_or(i64::MAX)),
        memory_bytes: need(root, "proc/meminfo", |text| parse::keyed_kib(text, "MemTotal"))?,
    })
}

/// All counters. What this kernel does not have is absent; an error where not even processors and memory can be read.
pub(crate) fn sample(root: &Root, space: &SpaceReader) -> Result<HostSample> {
    let at = SampleTime::now();
    let (cpu, cores) = need(root, "proc/stat", |text| parse::cpu_times(text, procfs::ticks_per_second()))?;
    let mounts = mounts::parse(&root.read("proc/self/mountinfo").unwrap_or_default());
    Ok(HostSample {
        at,
        cpu,
        cores,
        memory: memory(root)?,
        load_average: root.read("proc/loadavg").and_then(|text| parse::load_average(&text)).unwrap_or_default(),
        pressure: pressure(root),
        disks: disks(root),
        nics: nics(root),
        file_systems: space.read(&mounts::file_systems(&mounts)),
    })
}

fn need<T>(root: &Root, file: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T> {
    root.read(file).and_then(|text| parse(&text)).ok_or_else(|| unreadable(file))
}

fn unreadable(file: &str) -> AgentError {
    fail!(Internal, "the kernel's counters cannot be read: /{file}"; "无法读取内核计数器: /{file}")
}

/// The address that the default route leaves from.
fn own_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(FAR_ADDRESS).ok()?;
    match socket.local_addr().ok()?.ip() {
        std::net::IpAddr::V4(address) if !address.is_unspecified() => Some(address),
        _ => None,
    }
}

fn memory(root: &Root) -> Result<HostMemory> {
    let text = root.read("proc/meminfo").ok_or_else(|| unreadable("proc/meminfo"))?;
    let bytes = |key| parse::keyed_kib(&text, key);
    let events = root.read("proc/vmstat").unwrap_or_default();
    let swapped = |key| parse::keyed(&events, key).unwrap_or(0).saturating_mul(procfs::page_size());
    let total_bytes = bytes("MemTotal").ok_or_else(|| unreadable("proc/meminfo"))?;
    let free_bytes = bytes("MemFree").unwrap_or(0);
    Ok(HostMemory {
        total_bytes,
        available_bytes: bytes("MemAvailable").unwrap_or(free_bytes).min(total_bytes),
        free_bytes,
        buffers_bytes: bytes("Buffers").unwrap_or(0),
        cached_bytes: bytes("Cached").unwrap_or(0),
        swap_total_bytes: bytes("SwapTotal").unwrap_or(0),
        swap_free_bytes: bytes("SwapFree").unwrap_or(0),
        swap_in_bytes: swapped("pswpin"),
        swap_out_bytes: swapped("pswpout"),
        huge_pages: huge_pages(root),
    })
}

/// Huge pages of every size, smallest first.
pub(crate) fn huge_pages(root: &Root) -> Vec<HugePages> {
    const FOLDER: &str = "sys/kernel/mm/hugepages";
    let Ok(entries) = std::fs::read_dir(root.path(FOLDER)) else { return Vec::new() };
    let size = |name: String| {
        let page_kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let number = |file: &str| root.read(&format!("{FOLDER}/{name}/{file}"))?.trim().parse().ok();
        Some(HugePages {
            page_bytes: page_kib.checked_mul(1024)?,
            total_pages: number("nr_hugepages")?,
            free_pages: number("free_hugepages")?,
        })
    };
    let mut sizes: Vec<HugePages> = entries.filter_map(|entry| size(entry.ok()?.file_name().into_string().ok()?)).collect();
    sizes.sort_unstable_by_key(|pages| pages.page_bytes);
    sizes
}

fn pressure(root: &Root) -> Pressure {
    let stall = |name: &str| parse::stall(&root.read(&format!("proc/pressure/{name}"))?);
    Pressure { cpu: stall("cpu"), memory: stall("memory"), io: stall("io") }
}

/// Real disks: no partitions, and nothing that is stacked on other disks and would count their work twice.
fn disks(root: &Root) -> Vec<DiskCounters> {
    let blocks = root.path("sys/block");
    let text = root.read("proc/diskstats").unwrap_or_default();
    // a slash in a device's name is an exclamation mark in sysfs
    text.lines().filter_map(parse::disk).filter(|disk| blocks.join(disk.device.replace('/', "!")).join("device").exists()).collect()
}

/// Network cards; where there is none (a container), every interface but loopback and those of guests.
fn nics(root: &Root) -> Vec<NicCounters> {
    let classes = root.path("sys/class/net");
    let text = root.read("proc/net/dev").unwrap_or_default();
    let mut nics: Vec<NicCounters> = parse::interfaces(&text).filter_map(|(name, counters)| parse::interface(name, counters)).collect();
    nics.sort_by(|a, b| a.interface_name.cmp(&b.interface_name));
    let is_card = |name: &str| classes.join(name).join("device").exists();
    let is_inner = |name: &str| is_inner_name(name) || classes.join(name).join("tun_flags").exists();
    let has_card = nics.iter().any(|nic| is_card(&nic.interface_name));
    nics.retain(|nic| if has_card { is_card(&nic.interface_name) } else { !is_inner(&nic.interface_name) });
    for nic in &mut nics {
        nic.mac_address = mac_address(root, &nic.interface_name);
    }
    nics
}

fn is_inner_name(name: &str) -> bool {
    name == "lo" || ["vnet", "tap", "macvtap", "virbr"].iter().any(|prefix| name.starts_with(prefix))
}

fn mac_address(root: &Root, name: &str) -> Option<MacAddress> {
    root.read(&format!("sys/class/net/{name}/address"))?.trim().parse().ok()
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
