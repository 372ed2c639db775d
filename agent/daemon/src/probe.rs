//! The host's own facts and counters, from `/proc` and `/sys`. Needs no privilege.

use hvnode_core::model::{DiskCounters, HostFacts, HostSample, MacAddress, NicCounters, Timestamp};
use hvnode_core::port::HostProbe;
use hvnode_core::{Result, fail};
use procfs::{Current, CurrentSI};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;

/// Bytes of a sector in `/proc/diskstats`, whatever the disk's own sector size.
const SECTOR_BYTES: u64 = 512;
/// An address of the documentation range: the route to it is the default route. Nothing is ever sent.
const FAR_ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// Reads the kernel's files.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ProcProbe;

impl HostProbe for ProcProbe {
    fn facts(&self) -> Result<HostFacts> {
        let names = nix::sys::utsname::uname().map_err(|error| fail!(Internal, "uname failed").caused_by(error))?;
        let boot_seconds = procfs::boot_time_secs().map_err(unreadable)?;
        Ok(HostFacts {
            host_name: names.nodename().to_string_lossy().into_owned(),
            ip_address: own_address().unwrap_or(Ipv4Addr::LOCALHOST).to_string(),
            kernel_version: names.release().to_string_lossy().into_owned(),
            boot_time: Timestamp::from_seconds(i64::try_from(boot_seconds).unwrap_or(i64::MAX)),
            memory_bytes: procfs::Meminfo::current().map_err(unreadable)?.mem_total,
        })
    }

    fn sample(&self) -> Result<HostSample> {
        let cpu = procfs::KernelStats::current().map_err(unreadable)?.total;
        let memory = procfs::Meminfo::current().map_err(unreadable)?;
        let load = procfs::LoadAverage::current().map_err(unreadable)?;
        let events = procfs::vmstat().map_err(unreadable)?;
        let swapped = |key: &str| events.get(key).and_then(|pages| u64::try_from(*pages).ok()).unwrap_or(0) * procfs::page_size();
        let (busy, total) = cpu_nanoseconds(&cpu);
        Ok(HostSample {
            time: Timestamp::now(),
            cpu_busy_nanoseconds: busy,
            cpu_total_nanoseconds: total,
            memory_bytes: memory.mem_total,
            memory_available_bytes: memory.mem_available.unwrap_or(memory.mem_free),
            swap_in_bytes: swapped("pswpin"),
            swap_out_bytes: swapped("pswpout"),
            load_average: [f64::from(load.one), f64::from(load.five), f64::from(load.fifteen)],
            disks: disks()?,
            nics: nics()?,
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unreadable(error: procfs::ProcError) -> hvnode_core::AgentError {
    fail!(Internal, "the kernel's counters cannot be read: {error}"; "无法读取内核计数器: {error}")
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

/// Busy and total. Guest time is part of user time already; waiting for I/O is idle.
fn cpu_nanoseconds(cpu: &procfs::CpuTime) -> (u64, u64) {
    let busy = cpu.user + cpu.nice + cpu.system + cpu.irq.unwrap_or(0) + cpu.softirq.unwrap_or(0) + cpu.steal.unwrap_or(0);
    let total = busy + cpu.idle + cpu.iowait.unwrap_or(0);
    let tick_nanoseconds = 1_000_000_000 / procfs::ticks_per_second().max(1);
    (busy * tick_nanoseconds, total * tick_nanoseconds)
}

/// Real disks: no partitions, and nothing that is stacked on other disks and would count their work twice.
fn disks() -> Result<Vec<DiskCounters>> {
    let stats = procfs::diskstats().map_err(unreadable)?;
    let real = stats.into_iter().filter(|disk| Path::new("/sys/block").join(&disk.name).join("device").exists());
    Ok(real
        .map(|disk| DiskCounters {
            device: disk.name,
            read_bytes: disk.sectors_read.saturating_mul(SECTOR_BYTES),
            write_bytes: disk.sectors_written.saturating_mul(SECTOR_BYTES),
            read_requests: disk.reads,
            write_requests: disk.writes,
        })
        .collect())
}

/// Network cards; where there is none (a container), every interface but loopback and those of guests.
fn nics() -> Result<Vec<NicCounters>> {
    let mut devices: Vec<_> = procfs::net::InterfaceDeviceStatus::current().map_err(unreadable)?.0.into_values().collect();
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    let is_card = |name: &str| Path::new("/sys/class/net").join(name).join("device").exists();
    let has_card = devices.iter().any(|device| is_card(&device.name));
    devices.retain(|device| if has_card { is_card(&device.name) } else { !is_inner(&device.name) });
    Ok(devices
        .into_iter()
        .map(|device| NicCounters {
            mac_address: mac_address(&device.name),
            interface_name: device.name,
            receive_bytes: device.recv_bytes,
            send_bytes: device.sent_bytes,
            receive_packets: device.recv_packets,
            send_packets: device.sent_packets,
            receive_errors: device.recv_errs,
            send_errors: device.sent_errs,
            receive_drops: device.recv_drop,
            send_drops: device.sent_drop,
        })
        .collect())
}

fn is_inner(name: &str) -> bool {
    name == "lo" || ["vnet", "tap", "macvtap", "virbr"].iter().any(|prefix| name.starts_with(prefix))
}

fn mac_address(name: &str) -> Option<MacAddress> {
    let text = std::fs::read_to_string(Path::new("/sys/class/net").join(name).join("address")).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_about_this_machine() {
        let facts = ProcProbe.facts().unwrap();
        assert!(!facts.host_name.is_empty() && facts.kernel_version.contains('.'));
        assert!(facts.memory_bytes > 64 << 20);
        assert!(facts.boot_time > Timestamp::from_seconds(1_500_000_000) && facts.boot_time < Timestamp::now());
        assert!(facts.ip_address.parse::<Ipv4Addr>().is_ok());
    }

    #[test]
    fn counters_grow_and_fit_each_other() {
        let first = ProcProbe.sample().unwrap();
        let mut later = ProcProbe.sample().unwrap();
        while later.cpu_total_nanoseconds == first.cpu_total_nanoseconds {
            later = ProcProbe.sample().unwrap();
        }
        assert!(later.cpu_total_nanoseconds > first.cpu_total_nanoseconds && later.cpu_busy_nanoseconds >= first.cpu_busy_nanoseconds);
        assert!(later.cpu_busy_nanoseconds <= later.cpu_total_nanoseconds);
        assert!(later.memory_available_bytes <= later.memory_bytes);
        assert!(later.nics.iter().all(|nic| nic.interface_name != "lo"));
    }

    #[test]
    fn interfaces_of_guests_are_not_the_hosts() {
        assert!(is_inner("lo") && is_inner("vnet12") && is_inner("virbr0"));
        assert!(!is_inner("eth0") && !is_inner("enp1s0") && !is_inner("br0"));
    }
}
