//! From readings of counters to points of usage. Pure.
//!
//! Rates are measured on the steady clock. A counter that went back, another run of the VM, another file or address under the same name:
//! there is no rate for that interval, never a spike. What no source knows is absent, never zero; memory in use is never negative and
//! never more than there is.

use crate::model::{
    CpuModes, CpuTimes, DiskCounters, DiskRates, HostSample, HypervisorSample, KernelSample, MemorySample, MemoryView, NicCounters,
    NicRates, SampleTime, UsagePoint, VcpuThread,
};
use std::time::Duration;

/// How busy the virtual processors were between two samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct CpuRates {
    usage_percent: Option<f64>,
    core_percents: Vec<f64>,
    delay_percent: Option<f64>,
}

/// What two samples of the kernel tier give.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct KernelRates {
    cpu: CpuRates,
    nics: Vec<NicRates>,
}

/// What two samples of the hypervisor tier give.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct HypervisorRates {
    cpu: CpuRates,
    disks: Vec<DiskRates>,
    nics: Vec<NicRates>,
    swap_in_bytes: Option<f64>,
    swap_out_bytes: Option<f64>,
}

/// A sample of the kernel tier, and rates where there was one before.
pub(super) type Kernel<'a> = (&'a KernelSample, Option<&'a KernelRates>);
/// A sample of the hypervisor tier, and rates where there was one before.
pub(super) type Hypervisor<'a> = (&'a HypervisorSample, Option<&'a HypervisorRates>);

/// What is known of a VM when a point is to be made of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// Time of the point.
    pub(super) at: SampleTime,
    /// Kernel tier, of this run of the VM.
    pub(super) kernel: Option<Kernel<'a>>,
    /// Hypervisor tier, of this run of the VM.
    pub(super) hypervisor: Option<Hypervisor<'a>>,
    /// Age from which on what the hypervisor tier said is not true any more.
    pub(super) stale_after: Duration,
    /// Memory of its definition.
    pub(super) memory_bytes: Option<u64>,
}

#[allow(clippy::cast_precision_loss)] // rates need no more than 53 bits
fn float(number: u64) -> f64 {
    number as f64
}

/// Growth per second of a counter; `None` if it went back or no time passed.
fn rate(before: u64, after: u64, seconds: f64) -> Option<f64> {
    let growth = after.checked_sub(before)?;
    (seconds > 0.0).then(|| float(growth) / seconds)
}

/// Part of `whole` nanoseconds in percent, at most 100.
fn percent(busy: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (float(busy) / float(whole) * 100.0).min(100.0))
}

/// Steady time between two samples, nanoseconds.
fn span(before: SampleTime, after: SampleTime) -> u64 {
    u64::try_from(after.since(before).as_nanos()).unwrap_or(u64::MAX)
}

/// A list without room for more: it is kept, and what is collected from an unknown number gets room for four.
fn exact<T>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut list: Vec<T> = items.collect();
    list.shrink_to_fit();
    list
}

/// Rates between two samples of the kernel tier. `cpu_cores` counts where QEMU does not name its threads.
pub(super) fn kernel_rates(before: &KernelSample, after: &KernelSample, cpu_cores: u32) -> Option<KernelRates> {
    let nanoseconds = span(before.at, after.at);
    if (before.run_id, before.process_id) != (after.run_id, after.process_id) || nanoseconds == 0 {
        return None;
    }
    let cpu = vcpu_rates(&before.vcpus, &after.vcpus, nanoseconds).unwrap_or_else(|| {
        let cores = u64::try_from(after.vcpus.len()).ok().filter(|count| *count > 0).unwrap_or(u64::from(cpu_cores.max(1)));
        let busy = after.cpu_time_nanoseconds.checked_sub(before.cpu_time_nanoseconds);
        let usage_percent = busy.and_then(|busy| percent(busy, nanoseconds.saturating_mul(cores)));
        CpuRates { usage_percent, ..CpuRates::default() }
    });
    Some(KernelRates { cpu, nics: nic_rates(&before.nics, &after.nics, float(nanoseconds) / 1e9) })
}

/// From the processors' own threads; `None` where they are not known, or not the same ones as before.
fn vcpu_rates(before: &[VcpuThread], after: &[VcpuThread], nanoseconds: u64) -> Option<CpuRates> {
    let is_same = before.len() == after.len() && before.iter().zip(after).all(|(b, a)| b.index == a.index);
    if after.is_empty() || !is_same {
        return None;
    }
    let pairs = || before.iter().zip(after);
    let growth = |pick: fn(&VcpuThread) -> u64| -> Option<Vec<u64>> { pairs().map(|(b, a)| pick(a).checked_sub(pick(b))).collect() };
    let whole = nanoseconds.saturating_mul(after.len() as u64);
    let sum = |parts: &[u64]| parts.iter().fold(0u64, |sum, part| sum.saturating_add(*part));
    let busy = growth(|vcpu| vcpu.time_nanoseconds);
    let delay = growth(|vcpu| vcpu.delay_nanoseconds);
    Some(CpuRates {
        usage_percent: busy.as_ref().and_then(|busy| percent(sum(busy), whole)),
        core_percents: exact(busy.iter().flatten().filter_map(|busy| percent(*busy, nanoseconds))),
        delay_percent: delay.and_then(|delay| percent(sum(&delay), whole)),
    })
}

/// Rates between two samples of the hypervisor tier.
pub(super) fn hypervisor_rates(before: &HypervisorSample, after: &HypervisorSample) -> Option<HypervisorRates> {
    let nanoseconds = span(before.at, after.at);
    if before.run_id != after.run_id || nanoseconds == 0 {
        return None;
    }
    let seconds = float(nanoseconds) / 1e9;
    let swap = |pick: fn(&MemorySample) -> Option<u64>| rate(pick(&before.memory)?, pick(&after.memory)?, seconds);
    let threads = vcpu_threads(before).zip(vcpu_threads(after));
    let cpu = threads.and_then(|(before, after)| vcpu_rates(&before, &after, nanoseconds)).map(|mut cpu| {
        let has_delay = after.vcpus.iter().all(|vcpu| vcpu.time_nanoseconds.is_none() || vcpu.delay_nanoseconds.is_some());
        cpu.delay_percent = cpu.delay_percent.filter(|_| has_delay);
        cpu
    });
    Some(HypervisorRates {
        cpu: cpu.unwrap_or_else(|| {
            let busy = after.cpu_time_nanoseconds.zip(before.cpu_time_nanoseconds).and_then(|(after, before)| after.checked_sub(before));
            let whole = nanoseconds.saturating_mul(u64::from(after.cpu_cores.max(1)));
            CpuRates { usage_percent: busy.and_then(|busy| percent(busy, whole)), ..CpuRates::default() }
        }),
        disks: disk_rates(&before.disks, &after.disks, seconds),
        nics: nic_rates(&before.nics, &after.nics, seconds),
        swap_in_bytes: swap(|memory| memory.swap_in_bytes),
        swap_out_bytes: swap(|memory| memory.swap_out_bytes),
    })
}

/// The processors that are online, if libvirt told the time of each.
fn vcpu_threads(sample: &HypervisorSample) -> Option<Vec<VcpuThread>> {
    let threads = sample.vcpus.iter().filter_map(|vcpu| {
        let (index, delay_nanoseconds) = (vcpu.index, vcpu.delay_nanoseconds.unwrap_or(0));
        Some(VcpuThread { index, time_nanoseconds: vcpu.time_nanoseconds?, delay_nanoseconds })
    });
    let threads: Vec<_> = threads.collect();
    (threads.len() == usize::try_from(sample.cpu_cores).unwrap_or(usize::MAX)).then_some(threads)
}

/// Oldest report of a guest about its memory that counts as fresh, however often the VM is asked: guests report every 10 s.
const REPORT_AGE_MAX: Duration = Duration::from_secs(35);

/// A point of both tiers: processors and NICs as the kernel sees them where it does, disks and memory as the hypervisor tier last said
/// while that is fresh, else memory as the host pays for it.
pub(super) fn of_vm(known: &Known<'_>) -> UsagePoint {
    let fresh = known.hypervisor.filter(|(sample, _)| known.at.since(sample.at) <= known.stale_after);
    let hypervisor_rates = fresh.and_then(|(_, rates)| rates);
    let kernel_rates = known.kernel.and_then(|(_, rates)| rates);
    let cpu = match known.kernel {
        Some(_) => kernel_rates.map(|rates| &rates.cpu),
        None => hypervisor_rates.map(|rates| &rates.cpu),
    };
    let cpu = cpu.cloned().unwrap_or_default();
    let resident = known.kernel.map(|(sample, _)| sample.memory_resident_bytes);
    let resident = resident.or_else(|| fresh.and_then(|(sample, _)| sample.memory.resident_bytes));
    let memory = vm_memory(known, fresh.map(|(sample, _)| sample), resident);
    let nics = match known.kernel {
        Some((sample, _)) if !sample.nics.is_empty() => kernel_rates.map(|rates| &rates.nics),
        _ => hypervisor_rates.map(|rates| &rates.nics),
    };
    let cpu_time = known.kernel.map(|(sample, _)| sample.cpu_time_nanoseconds);
    UsagePoint {
        time: known.at.time,
        cpu_time_nanoseconds: cpu_time.or_else(|| fresh.and_then(|(sample, _)| sample.cpu_time_nanoseconds)),
        cpu_usage_percent: cpu.usage_percent,
        core_usage_percents: cpu.core_percents,
        cpu_delay_percent: cpu.delay_percent,
        cpu_modes: None,
        memory_bytes: memory.total,
        memory_used_bytes: memory.used,
        memory_available_bytes: memory.available,
        memory_view: memory.view,
        memory_resident_bytes: resident,
        swap_in_bytes: hypervisor_rates.and_then(|rates| rates.swap_in_bytes),
        swap_out_bytes: hypervisor_rates.and_then(|rates| rates.swap_out_bytes),
        disks: hypervisor_rates.map_or_else(Vec::new, |rates| rates.disks.clone()),
        nics: nics.cloned().unwrap_or_default(),
    }
}

#[derive(Debug, Default)]
struct Memory {
    total: Option<u64>,
    used: Option<u64>,
    available: Option<u64>,
    view: MemoryView,
}

/// With a balloon driver that reports, as the guest sees it; else as the host pays for it.
fn vm_memory(known: &Known<'_>, fresh: Option<&HypervisorSample>, resident: Option<u64>) -> Memory {
    // How much it has changes so seldom that an old answer is better than the definition.
    let actual = known.hypervisor.and_then(|(sample, _)| sample.memory.actual_bytes);
    let total = actual.or(known.memory_bytes);
    let reported = fresh.filter(|sample| {
        let report = sample.memory.last_update;
        report.is_none_or(|report| sample.at.time.since(report) <= known.stale_after.max(REPORT_AGE_MAX))
    });
    let guest = reported.and_then(|sample| {
        let memory = &sample.memory;
        let seen = memory.available_bytes.filter(|seen| *seen > 0)?;
        Some((seen, memory.usable_bytes.or(memory.unused_bytes)?.min(seen)))
    });
    if let Some((seen, free)) = guest {
        let total = total.unwrap_or(seen);
        let (used, available) = (Some((seen - free).min(total)), Some(free.min(total)));
        return Memory { total: Some(total), used, available, view: MemoryView::Guest };
    }
    // QEMU's own memory is in there too, so it may exceed what the guest has.
    let used = resident.zip(total).map(|(resident, total)| resident.min(total));
    let available = total.zip(used).map(|(total, used)| total - used);
    Memory { total, used, available, view: MemoryView::Host }
}

/// The usage of the host from its last two samples.
pub(super) fn of_host(before: Option<&HostSample>, after: &HostSample) -> UsagePoint {
    let before = before.filter(|before| span(before.at, after.at) > 0);
    let seconds = before.map_or(0.0, |before| float(span(before.at, after.at)) / 1e9);
    let cores = before.filter(|before| before.cores.len() == after.cores.len()).and_then(|before| {
        let usage = |(before, after): (&CpuTimes, &CpuTimes)| cpu_percent(before, after);
        before.cores.iter().zip(&after.cores).map(usage).collect::<Option<Vec<f64>>>()
    });
    let available = after.memory.available_bytes.min(after.memory.total_bytes);
    UsagePoint {
        time: after.at.time,
        cpu_time_nanoseconds: Some(after.cpu.busy_nanoseconds()),
        cpu_usage_percent: before.and_then(|before| cpu_percent(&before.cpu, &after.cpu)),
        core_usage_percents: cores.unwrap_or_default(),
        cpu_modes: before.and_then(|before| cpu_modes(&before.cpu, &after.cpu)),
        memory_bytes: Some(after.memory.total_bytes),
        memory_used_bytes: Some(after.memory.total_bytes - available),
        memory_available_bytes: Some(available),
        swap_in_bytes: before.and_then(|b| rate(b.memory.swap_in_bytes, after.memory.swap_in_bytes, seconds)),
        swap_out_bytes: before.and_then(|b| rate(b.memory.swap_out_bytes, after.memory.swap_out_bytes, seconds)),
        disks: before.map_or_else(Vec::new, |b| disk_rates(&b.disks, &after.disks, seconds)),
        nics: before.map_or_else(Vec::new, |b| nic_rates(&b.nics, &after.nics, seconds)),
        ..UsagePoint::default()
    }
}

/// All time between two readings. The kernel's idle counters may step back a little, which is no reset.
fn cpu_whole(before: &CpuTimes, after: &CpuTimes) -> Option<u64> {
    let busy = after.busy_nanoseconds().checked_sub(before.busy_nanoseconds())?;
    let idle = after.idle_nanoseconds.saturating_sub(before.idle_nanoseconds);
    let waiting = after.iowait_nanoseconds.saturating_sub(before.iowait_nanoseconds);
    Some(busy.saturating_add(idle).saturating_add(waiting))
}

fn cpu_percent(before: &CpuTimes, after: &CpuTimes) -> Option<f64> {
    percent(after.busy_nanoseconds().checked_sub(before.busy_nanoseconds())?, cpu_whole(before, after)?)
}

fn cpu_modes(before: &CpuTimes, after: &CpuTimes) -> Option<CpuModes> {
    let whole = cpu_whole(before, after)?;
    let part = |picks: &[fn(&CpuTimes) -> u64]| {
        let sum = |times| picks.iter().fold(0u64, |sum, pick| sum.saturating_add(pick(times)));
        percent(sum(after).checked_sub(sum(before))?, whole)
    };
    Some(CpuModes {
        user_percent: part(&[|t| t.user_nanoseconds, |t| t.nice_nanoseconds])?,
        system_percent: part(&[|t| t.system_nanoseconds, |t| t.irq_nanoseconds, |t| t.softirq_nanoseconds])?,
        iowait_percent: percent(after.iowait_nanoseconds.saturating_sub(before.iowait_nanoseconds), whole)?,
        steal_percent: part(&[|t| t.steal_nanoseconds])?,
    })
}

fn disk_rates(before: &[DiskCounters], after: &[DiskCounters], seconds: f64) -> Vec<DiskRates> {
    let rates = |after: &DiskCounters| {
        let before = before.iter().find(|b| b.device == after.device && b.path == after.path)?;
        Some(DiskRates {
            device: after.device.clone(),
            read_bytes: rate(before.read_bytes, after.read_bytes, seconds)?,
            write_bytes: rate(before.write_bytes, after.write_bytes, seconds)?,
            read_requests: rate(before.read_requests, after.read_requests, seconds)?,
            write_requests: rate(before.write_requests, after.write_requests, seconds)?,
        })
    };
    exact(after.iter().filter_map(rates))
}

fn nic_rates(before: &[NicCounters], after: &[NicCounters], seconds: f64) -> Vec<NicRates> {
    let rates = |after: &NicCounters| {
        let is_same = |b: &&NicCounters| b.interface_name == after.interface_name && b.mac_address == after.mac_address;
        let before = before.iter().find(is_same)?;
        Some(NicRates {
            interface_name: after.interface_name.clone(),
            mac_address: after.mac_address,
            receive_bytes: rate(before.receive_bytes, after.receive_bytes, seconds)?,
            send_bytes: rate(before.send_bytes, after.send_bytes, seconds)?,
            receive_packets: rate(before.receive_packets, after.receive_packets, seconds)?,
            send_packets: rate(before.send_packets, after.send_packets, seconds)?,
            receive_errors: rate(before.receive_errors, after.receive_errors, seconds)?,
            send_errors: rate(before.send_errors, after.send_errors, seconds)?,
            receive_drops: rate(before.receive_drops, after.receive_drops, seconds)?,
            send_drops: rate(before.send_drops, after.send_drops, seconds)?,
        })
    };
    exact(after.iter().filter_map(rates))
}
