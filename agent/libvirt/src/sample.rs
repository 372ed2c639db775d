//! Samples of running VMs: one question to libvirt about a few of them, and what its answer means.

use crate::fault::refused;
use crate::ffi::{DomainStats, StatValue, domain_stats};
use crate::link::LaneUse;
use crate::observe::find;
use crate::state::RawState;
use hvnode_core::Result;
use hvnode_core::model::{DiskCounters, HypervisorSample, MemorySample, NicCounters, SampleTime, Timestamp, VcpuCounters};
use parking_lot::Mutex;
use std::collections::HashMap;
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt_sys as sys;

const GROUPS: u32 = sys::VIR_DOMAIN_STATS_STATE
    | sys::VIR_DOMAIN_STATS_CPU_TOTAL
    | sys::VIR_DOMAIN_STATS_BALLOON
    | sys::VIR_DOMAIN_STATS_VCPU
    | sys::VIR_DOMAIN_STATS_INTERFACE
    | sys::VIR_DOMAIN_STATS_BLOCK;
/// A domain whose monitor is busy gives what it can without it, so that it holds up none that is asked after it. The first question to a
/// monitor that hangs does wait: libvirt cannot know.
const FLAGS: u32 = sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;
/// Most virtual processors, disks or NICs read of one VM, whatever its record claims.
const DEVICES_MAX: u64 = 1024;
/// Most handles kept per connection.
const HANDLES_MAX: usize = 8192;

/// Handles to domains on one connection. A look-up is a round trip; libvirt goes by the uuid in a handle, so an old one is as good as new.
#[derive(Debug, Default)]
pub(crate) struct Handles(Mutex<HashMap<Uuid, Domain>>);

impl Handles {
    /// Handles of those of `vm_uuids` that exist.
    fn get(&self, connect: &Connect, vm_uuids: &[Uuid]) -> Result<Vec<Domain>> {
        let mut domains = Vec::with_capacity(vm_uuids.len());
        for vm_uuid in vm_uuids {
            let known = self.0.lock().get(vm_uuid).cloned();
            let domain = if known.is_some() { known } else { find(connect, *vm_uuid)?.inspect(|domain| self.add(*vm_uuid, domain)) };
            domains.extend(domain);
        }
        Ok(domains)
    }

    fn add(&self, vm_uuid: Uuid, domain: &Domain) {
        let mut handles = self.0.lock();
        // Nobody tells which domains are gone for good: once in a while all are looked up anew.
        if handles.len() >= HANDLES_MAX {
            handles.clear();
        }
        handles.insert(vm_uuid, domain.clone());
    }
}

/// One reading of each of these VMs that is on.
///
/// # Errors
/// libvirt's as `Internal`.
pub(crate) fn read(lane: &LaneUse<'_>, vm_uuids: &[Uuid]) -> Result<Vec<HypervisorSample>> {
    let domains = lane.handles().get(lane.connect(), vm_uuids)?;
    let all = domain_stats(&domains, GROUPS, FLAGS).map_err(refused!(Internal))?;
    let at = SampleTime::now();
    Ok(all.iter().filter(|stats| is_active(stats)).map(|stats| sample(stats, at)).collect())
}

/// Some drivers ignore the filter.
fn is_active(stats: &DomainStats) -> bool {
    let state = stats.number("state.state").and_then(|n| u32::try_from(n).ok());
    state.is_none_or(|state| RawState { state, reason: 0 }.is_active())
}

pub(crate) fn sample(stats: &DomainStats, at: SampleTime) -> HypervisorSample {
    let cores = |name: &str| stats.number(name).and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    HypervisorSample {
        vm_uuid: stats.uuid,
        at,
        run_id: stats.run_id.map_or(0, u64::from),
        is_complete: is_complete(stats),
        cpu_time_nanoseconds: stats.number("cpu.time"),
        cpu_user_nanoseconds: stats.number("cpu.user"),
        cpu_system_nanoseconds: stats.number("cpu.system"),
        cpu_cores: cores("vcpu.current"),
        cpu_cores_max: cores("vcpu.maximum"),
        vcpus: stats.numbered("vcpu.maximum", "vcpu").filter_map(|(index, prefix)| vcpu(stats, index, &prefix)).collect(),
        memory: memory(stats),
        disks: stats.numbered("block.count", "block").filter_map(|(_, prefix)| disk(stats, &prefix)).collect(),
        nics: stats.numbered("net.count", "net").filter_map(|(_, prefix)| nic(stats, &prefix)).collect(),
    }
}

/// Without the monitor a domain still tells its balloon's size and its disks' names, but neither the memory QEMU holds nor a counter of a
/// disk. A driver that knows nothing of balloons tells all it ever will.
fn is_complete(stats: &DomainStats) -> bool {
    let has_counters = |(_, prefix): (u32, String)| stats.number(&format!("{prefix}.rd.bytes")).is_some();
    stats.number("balloon.rss").is_some()
        || stats.number("balloon.current").is_none()
        || stats.numbered("block.count", "block").any(has_counters)
}

fn vcpu(stats: &DomainStats, index: u32, prefix: &str) -> Option<VcpuCounters> {
    let number = |name: &str| stats.number(&format!("{prefix}.{name}"));
    Some(VcpuCounters {
        index,
        // A processor that is not plugged in has no entry.
        state: number("state").and_then(|n| u32::try_from(n).ok())?,
        time_nanoseconds: number("time"),
        wait_nanoseconds: number("wait"),
        delay_nanoseconds: number("delay"),
    })
}

fn memory(stats: &DomainStats) -> MemorySample {
    MemorySample {
        actual_bytes: stats.kibibytes("balloon.current"),
        maximum_bytes: stats.kibibytes("balloon.maximum"),
        available_bytes: stats.kibibytes("balloon.available"),
        unused_bytes: stats.kibibytes("balloon.unused"),
        usable_bytes: stats.kibibytes("balloon.usable"),
        disk_cache_bytes: stats.kibibytes("balloon.disk_caches"),
        resident_bytes: stats.kibibytes("balloon.rss"),
        swap_in_bytes: stats.kibibytes("balloon.swap_in"),
        swap_out_bytes: stats.kibibytes("balloon.swap_out"),
        major_faults: stats.number("balloon.major_fault"),
        minor_faults: stats.number("balloon.minor_fault"),
        hugetlb_allocations: stats.number("balloon.hugetlb_pgalloc"),
        hugetlb_failures: stats.number("balloon.hugetlb_pgfail"),
        // Zero until the guest's driver has reported once.
        last_update: stats.number("balloon.last-update").filter(|seconds| *seconds != 0).map(timestamp),
    }
}

fn timestamp(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}

fn disk(stats: &DomainStats, prefix: &str) -> Option<DiskCounters> {
    let number = |name: &str| stats.number(&format!("{prefix}.{name}"));
    let counter = |name: &str| number(name).unwrap_or(0);
    Some(DiskCounters {
        device: stats.text(&format!("{prefix}.name"))?.into(),
        path: stats.text(&format!("{prefix}.path")).map(Into::into),
        // A drive that is empty, or whose VM's monitor is busy, has a name and no counters: absence, not zero.
        read_bytes: number("rd.bytes")?,
        write_bytes: counter("wr.bytes"),
        read_requests: counter("rd.reqs"),
        write_requests: counter("wr.reqs"),
        read_time_nanoseconds: number("rd.times"),
        write_time_nanoseconds: number("wr.times"),
        flush_requests: number("fl.reqs"),
        flush_time_nanoseconds: number("fl.times"),
        capacity_bytes: number("capacity"),
        allocation_bytes: number("allocation"),
        physical_bytes: number("physical"),
    })
}

fn nic(stats: &DomainStats, prefix: &str) -> Option<NicCounters> {
    let counter = |name: &str| stats.number(&format!("{prefix}.{name}")).unwrap_or(0);
    stats.number(&format!("{prefix}.rx.bytes"))?;
    Some(NicCounters {
        interface_name: stats.text(&format!("{prefix}.name"))?.into(),
        mac_address: None,
        receive_bytes: counter("rx.bytes"),
        send_bytes: counter("tx.bytes"),
        receive_packets: counter("rx.pkts"),
        send_packets: counter("tx.pkts"),
        receive_errors: counter("rx.errs"),
        send_errors: counter("tx.errs"),
        receive_drops: counter("rx.drop"),
        send_drops: counter("tx.drop"),
    })
}

impl DomainStats {
    fn number(&self, name: &str) -> Option<u64> {
        match self.values.get(name)? {
            StatValue::Number(number) => Some(*number),
            StatValue::Text(_) => None,
        }
    }

    fn kibibytes(&self, name: &str) -> Option<u64> {
        self.number(name).map(|n| n.saturating_mul(1024))
    }

    fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name)? {
            StatValue::Text(text) => Some(text),
            StatValue::Number(_) => None,
        }
    }

    /// `0` and `block.0`, `1` and `block.1`, … as many as the record says under `count`.
    fn numbered(&self, count: &str, group: &'static str) -> impl Iterator<Item = (u32, String)> {
        let count = u32::try_from(self.number(count).unwrap_or(0).min(DEVICES_MAX)).unwrap_or(0);
        (0..count).map(move |index| (index, format!("{group}.{index}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record from lines as `virsh domstats` prints them.
    fn stats(lines: &str) -> DomainStats {
        let value = |text: &str| text.parse().map_or_else(|_| StatValue::Text(text.to_owned()), StatValue::Number);
        let pair = |line: &str| line.trim().split_once('=').map(|(name, text)| (name.to_owned(), value(text)));
        DomainStats { uuid: Uuid::from_u128(1), run_id: Some(7), values: lines.lines().filter_map(pair).collect() }
    }

    const WITHOUT_MONITOR: &str = "state.state=1
        state.reason=1
        cpu.time=412235328
        cpu.user=190000000
        cpu.system=210000000
        balloon.current=65536
        balloon.maximum=131072
        vcpu.current=2
        vcpu.maximum=3
        vcpu.0.state=1
        vcpu.0.time=170000000
        vcpu.0.wait=0
        vcpu.0.delay=333899522
        vcpu.2.state=2
        net.count=1
        net.0.name=vnet2
        net.0.rx.bytes=90
        net.0.rx.pkts=1
        net.0.tx.drop=3
        block.count=2
        block.0.name=vda
        block.0.path=/run/d3.qcow2
        block.1.name=sda";

    const WITH_MONITOR: &str = "balloon.last-update=1790000000
        balloon.rss=50860
        balloon.available=50000
        balloon.unused=30000
        balloon.usable=40000
        balloon.disk_caches=5000
        balloon.swap_in=0
        balloon.swap_out=1
        balloon.major_fault=12
        balloon.minor_fault=345
        balloon.hugetlb_pgalloc=6
        balloon.hugetlb_pgfail=7
        block.0.backingIndex=1
        block.0.rd.reqs=1
        block.0.rd.bytes=512
        block.0.rd.times=24266
        block.0.wr.reqs=2
        block.0.wr.bytes=1024
        block.0.wr.times=99
        block.0.fl.reqs=3
        block.0.fl.times=77
        block.0.allocation=0
        block.0.capacity=67108864
        block.0.physical=200704";

    #[test]
    fn what_a_busy_vm_does_not_tell_is_absent_and_not_zero() {
        let sample = sample(&stats(WITHOUT_MONITOR), SampleTime::now());
        assert!(!sample.is_complete);
        assert_eq!((sample.run_id, sample.cpu_time_nanoseconds), (7, Some(412_235_328)));
        let known = MemorySample { actual_bytes: Some(64 << 20), maximum_bytes: Some(128 << 20), ..MemorySample::default() };
        assert_eq!((sample.memory, sample.disks.len()), (known, 0));
        assert_eq!((sample.cpu_cores, sample.cpu_cores_max), (2, 3));
        let first = VcpuCounters {
            index: 0,
            state: 1,
            time_nanoseconds: Some(170_000_000),
            wait_nanoseconds: Some(0),
            delay_nanoseconds: Some(333_899_522),
        };
        assert_eq!(sample.vcpus, [first, VcpuCounters { index: 2, state: 2, ..VcpuCounters::default() }]);
        let nic =
            NicCounters { interface_name: "vnet2".into(), receive_bytes: 90, receive_packets: 1, send_drops: 3, ..NicCounters::default() };
        assert_eq!(sample.nics, [nic]);
    }

    #[test]
    fn a_vm_that_answers_tells_its_memory_and_its_disks() {
        let sample = sample(&stats(&format!("{WITHOUT_MONITOR}\n{WITH_MONITOR}")), SampleTime::now());
        assert!(sample.is_complete);
        let memory = MemorySample {
            actual_bytes: Some(64 << 20),
            maximum_bytes: Some(128 << 20),
            available_bytes: Some(50_000 << 10),
            unused_bytes: Some(30_000 << 10),
            usable_bytes: Some(40_000 << 10),
            disk_cache_bytes: Some(5_000 << 10),
            resident_bytes: Some(50_860 << 10),
            swap_in_bytes: Some(0),
            swap_out_bytes: Some(1 << 10),
            major_faults: Some(12),
            minor_faults: Some(345),
            hugetlb_allocations: Some(6),
            hugetlb_failures: Some(7),
            last_update: Some(Timestamp::from_seconds(1_790_000_000)),
        };
        assert_eq!(sample.memory, memory);
        let disk = DiskCounters {
            device: "vda".into(),
            path: Some("/run/d3.qcow2".into()),
            read_bytes: 512,
            write_bytes: 1024,
            read_requests: 1,
            write_requests: 2,
            read_time_nanoseconds: Some(24_266),
            write_time_nanoseconds: Some(99),
            flush_requests: Some(3),
            flush_time_nanoseconds: Some(77),
            capacity_bytes: Some(64 << 20),
            allocation_bytes: Some(0),
            physical_bytes: Some(200_704),
        };
        assert_eq!(sample.disks, [disk]);
    }

    #[test]
    fn a_vm_answers_also_where_its_guest_or_its_driver_has_little_to_tell() {
        let without_report = stats("balloon.current=65536\nballoon.last-update=0\nballoon.rss=50860\nblock.count=0");
        assert!(is_complete(&without_report) && memory(&without_report).last_update.is_none());
        assert!(is_complete(&stats("state.state=1\nstate.reason=1")));
        assert!(is_complete(&stats("balloon.current=65536\nblock.count=1\nblock.0.name=vda\nblock.0.rd.bytes=0")));
    }

    #[test]
    fn a_record_that_claims_too_much_is_cut() {
        let huge = stats("net.count=18446744073709551615\nvcpu.maximum=18446744073709551615\nblock.count=x");
        assert_eq!(huge.numbered("net.count", "net").count(), 1024);
        assert!(sample(&huge, SampleTime::now()).vcpus.is_empty());
    }

    #[test]
    fn vms_that_are_off_are_not_sampled() {
        assert!(!is_active(&stats("state.state=5")));
        assert!(is_active(&stats("state.state=3")));
    }
}
