//! Whatever counters do, a point of usage stays possible.

use super::usage::{Known, hypervisor_rates, kernel_rates, of_host, of_vm};
use crate::model::*;
use proptest::prelude::*;
use std::time::Duration;
use uuid::Uuid;

const FRESH: Duration = Duration::from_secs(90);

pub(super) fn at(seconds: u64) -> SampleTime {
    SampleTime { time: Timestamp::from_seconds(1_700_000_000 + seconds.cast_signed()), elapsed: Duration::from_secs(seconds) }
}

pub(super) fn hypervisor(seconds: u64, cpu: Option<u64>) -> HypervisorSample {
    HypervisorSample {
        vm_uuid: Uuid::nil(),
        at: at(seconds),
        run_id: 1,
        is_complete: true,
        cpu_time_nanoseconds: cpu,
        cpu_user_nanoseconds: None,
        cpu_system_nanoseconds: None,
        cpu_cores: 2,
        cpu_cores_max: 2,
        vcpus: vec![],
        memory: MemorySample { actual_bytes: Some(1000), resident_bytes: Some(400), ..MemorySample::default() },
        disks: vec![],
        nics: vec![],
    }
}

/// Two processors; the first ran all the time, the second none of it.
pub(super) fn kernel(seconds: u64) -> KernelSample {
    let vcpu = |index, time_nanoseconds| VcpuThread { index, time_nanoseconds, delay_nanoseconds: 0 };
    KernelSample {
        vm_uuid: Uuid::nil(),
        at: at(seconds),
        process_id: 7,
        run_id: 1,
        cpu_time_nanoseconds: seconds * 1_500_000_000,
        vcpus: vec![vcpu(0, seconds * 1_000_000_000), vcpu(1, 0)],
        memory_resident_bytes: 600,
        memory_swapped_bytes: None,
        disk_read_bytes: None,
        disk_write_bytes: None,
        pressure: Pressure::default(),
        oom_kills: None,
        nics: vec![],
    }
}

fn disk(device: &str, path: &str, bytes: u64) -> DiskCounters {
    DiskCounters { device: device.into(), path: Some(path.into()), read_bytes: bytes, ..DiskCounters::default() }
}

fn nic(name: &str, last: u8, bytes: u64) -> NicCounters {
    let mac_address = Some(MacAddress([0x52, 0x54, 0, 0, 0, last]));
    NicCounters { interface_name: name.into(), mac_address, receive_bytes: bytes, ..NicCounters::default() }
}

fn by_hypervisor(before: Option<&HypervisorSample>, after: &HypervisorSample) -> UsagePoint {
    let rates = before.and_then(|before| hypervisor_rates(before, after));
    of_vm(&Known { at: after.at, kernel: None, hypervisor: Some((after, rates.as_ref())), stale_after: FRESH, memory_bytes: None })
}

fn by_kernel(before: Option<&KernelSample>, after: &KernelSample) -> UsagePoint {
    let rates = before.and_then(|before| kernel_rates(before, after, 2));
    of_vm(&Known { at: after.at, kernel: Some((after, rates.as_ref())), hypervisor: None, stale_after: FRESH, memory_bytes: Some(1000) })
}

#[test]
fn one_busy_processor_of_two_is_fifty_percent() {
    let point = by_hypervisor(Some(&hypervisor(10, Some(0))), &hypervisor(20, Some(10_000_000_000)));
    assert_eq!(point.cpu_usage_percent, Some(50.0));
    let point = by_kernel(Some(&kernel(10)), &kernel(20));
    assert_eq!((point.cpu_usage_percent, point.core_usage_percents), (Some(50.0), vec![100.0, 0.0]));
}

#[test]
fn without_named_threads_the_process_counts() {
    let bare = |seconds| KernelSample { vcpus: vec![], ..kernel(seconds) };
    assert_eq!(by_kernel(Some(&bare(10)), &bare(20)).cpu_usage_percent, Some(75.0));
}

#[test]
fn a_processor_that_waits_for_the_host_shows_as_delay() {
    let mut after = kernel(20);
    after.vcpus[1].delay_nanoseconds = 5_000_000_000;
    assert_eq!(by_kernel(Some(&kernel(10)), &after).cpu_delay_percent, Some(25.0));
}

#[test]
fn the_first_sample_says_not_yet_and_a_reset_counter_gives_no_rate() {
    assert_eq!(by_hypervisor(None, &hypervisor(10, Some(5))).cpu_usage_percent, None);
    assert_eq!(by_hypervisor(Some(&hypervisor(10, Some(5))), &hypervisor(20, Some(1))).cpu_usage_percent, None);
    let mut before = kernel(10);
    before.vcpus[1].time_nanoseconds = 1;
    let point = by_kernel(Some(&before), &kernel(20));
    assert_eq!((point.cpu_usage_percent, point.core_usage_percents), (None, vec![]));
}

#[test]
fn another_run_gives_no_rates() {
    let after = KernelSample { run_id: 2, ..kernel(20) };
    assert!(kernel_rates(&kernel(10), &after, 2).is_none());
    let after = HypervisorSample { run_id: 2, ..hypervisor(20, Some(9)) };
    assert!(hypervisor_rates(&hypervisor(10, Some(1)), &after).is_none());
}

#[test]
fn another_file_or_address_under_the_same_name_gives_no_rate() {
    let before = HypervisorSample { disks: vec![disk("vda", "/a", 0), disk("vdb", "/b", 0)], ..hypervisor(10, None) };
    let after = HypervisorSample { disks: vec![disk("vda", "/other", 1 << 40), disk("vdb", "/b", 100)], ..hypervisor(20, None) };
    let disks = by_hypervisor(Some(&before), &after).disks;
    assert_eq!(disks.iter().map(|d| (d.device.as_str(), d.read_bytes)).collect::<Vec<_>>(), [("vdb", 10.0)]);
    let before = KernelSample { nics: vec![nic("vnet0", 1, 0), nic("vnet1", 2, 0)], ..kernel(10) };
    let after = KernelSample { nics: vec![nic("vnet0", 9, 1 << 40), nic("vnet1", 2, 100)], ..kernel(20) };
    let nics = by_kernel(Some(&before), &after).nics;
    assert_eq!(nics.iter().map(|n| (n.interface_name.as_str(), n.receive_bytes)).collect::<Vec<_>>(), [("vnet1", 10.0)]);
}

#[test]
fn without_a_balloon_driver_memory_is_what_the_host_pays() {
    let point = by_hypervisor(None, &hypervisor(1, None));
    assert_eq!((point.memory_bytes, point.memory_used_bytes, point.memory_available_bytes), (Some(1000), Some(400), Some(600)));
    assert_eq!(point.memory_view, MemoryView::Host);
}

#[test]
fn the_guests_view_counts_only_while_it_is_fresh() {
    let memory = |last_update| MemorySample {
        actual_bytes: Some(1000),
        available_bytes: Some(950),
        usable_bytes: Some(700),
        last_update,
        ..MemorySample::default()
    };
    let point = |said: &HypervisorSample, now| {
        let kernel = kernel(now);
        let known =
            Known { at: at(now), kernel: Some((&kernel, None)), hypervisor: Some((said, None)), stale_after: FRESH, memory_bytes: None };
        of_vm(&known)
    };
    let said = HypervisorSample { memory: memory(None), ..hypervisor(100, None) };
    let fresh = point(&said, 190);
    assert_eq!((fresh.memory_view, fresh.memory_used_bytes, fresh.memory_available_bytes), (MemoryView::Guest, Some(250), Some(700)));
    let stale = point(&said, 191);
    assert_eq!((stale.memory_view, stale.memory_used_bytes, stale.memory_resident_bytes), (MemoryView::Host, Some(600), Some(600)));
    // The balloon driver stopped reporting, although QEMU answers.
    let frozen = HypervisorSample { memory: memory(Some(at(9).time)), ..hypervisor(100, None) };
    assert_eq!(point(&frozen, 100).memory_view, MemoryView::Host);
}

#[test]
fn disk_rates_are_carried_while_fresh_and_absent_then() {
    let before = HypervisorSample { disks: vec![disk("vda", "/a", 0)], ..hypervisor(10, None) };
    let after = HypervisorSample { disks: vec![disk("vda", "/a", 100)], ..hypervisor(20, None) };
    let rates = hypervisor_rates(&before, &after).unwrap();
    let point = |now| {
        let (kernel, hypervisor) = (kernel(now), Some((&after, Some(&rates))));
        of_vm(&Known { at: at(now), kernel: Some((&kernel, None)), hypervisor, stale_after: FRESH, memory_bytes: None })
    };
    assert_eq!(point(50).disks[0].read_bytes, 10.0);
    assert!(point(111).disks.is_empty());
}

#[test]
fn the_host_shows_modes_and_cores_and_an_idle_counter_that_steps_back_is_no_reset() {
    let times = |user, system, idle, iowait| CpuTimes {
        user_nanoseconds: user,
        system_nanoseconds: system,
        idle_nanoseconds: idle,
        iowait_nanoseconds: iowait,
        ..CpuTimes::default()
    };
    let before = HostSample { at: at(1), cpu: times(0, 0, 100, 50), cores: vec![times(0, 0, 100, 50)], ..HostSample::default() };
    let after = HostSample { at: at(2), cpu: times(20, 20, 160, 49), cores: vec![times(30, 0, 170, 49)], ..HostSample::default() };
    let point = of_host(Some(&before), &after);
    let modes = point.cpu_modes.unwrap();
    assert_eq!((point.cpu_usage_percent, modes.user_percent, modes.system_percent), (Some(40.0), 20.0, 20.0));
    assert_eq!((modes.iowait_percent, point.core_usage_percents), (0.0, vec![30.0]));
}

fn check(point: &UsagePoint, rate_max: f64) {
    let is_percent = |percent: &f64| (0.0..=100.0).contains(percent);
    let is_rate = |rate: f64| rate.is_finite() && (0.0..=rate_max).contains(&rate);
    assert!(point.cpu_usage_percent.iter().chain(&point.core_usage_percents).chain(&point.cpu_delay_percent).all(is_percent), "{point:?}");
    if let Some(modes) = point.cpu_modes {
        assert!([modes.user_percent, modes.system_percent, modes.iowait_percent, modes.steal_percent].iter().all(is_percent), "{point:?}");
    }
    for part in [point.memory_used_bytes, point.memory_available_bytes].into_iter().flatten() {
        assert!(point.memory_bytes.is_some_and(|total| part <= total), "{point:?}");
    }
    assert!(point.disks.iter().all(|disk| is_rate(disk.read_bytes)), "{point:?}");
    assert!(point.nics.iter().all(|nic| is_rate(nic.receive_bytes)), "{point:?}");
    assert!(point.swap_in_bytes.is_none_or(is_rate), "{point:?}");
}

proptest! {
    #[test]
    fn no_counters_give_an_impossible_point(
        times in prop::array::uniform2(0u64..1000), numbers in prop::array::uniform12(any::<u64>()), runs in prop::array::uniform2(0u64..2),
        options in prop::array::uniform6(any::<Option<u64>>()),
    ) {
        let memory = |swap| MemorySample {
            actual_bytes: options[0], available_bytes: options[1], unused_bytes: options[2], usable_bytes: options[3],
            resident_bytes: options[4], swap_in_bytes: Some(swap), last_update: options[5].map(|t| Timestamp(t.cast_signed())), ..MemorySample::default()
        };
        let said = |i: usize| HypervisorSample {
            run_id: runs[i], memory: memory(numbers[i]), disks: vec![disk("vda", "/a", numbers[2 + i])],
            nics: vec![nic("vnet0", 1, numbers[4 + i])], ..hypervisor(times[i], Some(numbers[6 + i]))
        };
        let seen = |i: usize| {
            let mut sample = KernelSample { run_id: runs[i], memory_resident_bytes: numbers[i], nics: vec![nic("vnet0", 1, numbers[4 + i])], ..kernel(times[i]) };
            sample.vcpus[0].time_nanoseconds = numbers[8 + i];
            sample.vcpus[1].delay_nanoseconds = numbers[10 + i];
            sample
        };
        let kernel_rates = kernel_rates(&seen(0), &seen(1), 2);
        let hypervisor_rates = hypervisor_rates(&said(0), &said(1));
        for has_kernel in [true, false] {
            let (seen, said) = (seen(1), said(1));
            let kernel = has_kernel.then_some((&seen, kernel_rates.as_ref()));
            let known = Known { at: seen.at, kernel, hypervisor: Some((&said, hypervisor_rates.as_ref())), stale_after: FRESH, memory_bytes: options[5] };
            check(&of_vm(&known), f64::MAX);
        }
        let host = |i: usize| {
            let cpu = CpuTimes { user_nanoseconds: numbers[i], idle_nanoseconds: numbers[2 + i], iowait_nanoseconds: numbers[4 + i], steal_nanoseconds: numbers[6 + i], ..CpuTimes::default() };
            let memory = HostMemory { total_bytes: numbers[8], available_bytes: numbers[9], ..HostMemory::default() };
            HostSample { at: at(times[i]), cpu, cores: vec![cpu, cpu], memory, ..HostSample::default() }
        };
        check(&of_host(Some(&host(0)), &host(1)), f64::MAX);
    }

    /// Counters that grow by at most 1000 a second, are reset at any time with another run, or go back: never more than 1000 a second.
    #[test]
    fn no_reset_or_wrap_gives_a_spike(steps in prop::collection::vec((1u64..60, 0u64..=1000, 0u8..10), 2..40)) {
        let (mut now, mut bytes, mut run_id) = (0u64, u64::MAX - 20_000, 0u64);
        let mut before: Option<HypervisorSample> = None;
        for (pause, speed, event) in steps {
            now += pause;
            match event {
                0 => { bytes = speed; run_id += 1; }       // restarted
                1 => bytes /= 2,                            // device plugged anew
                _ => bytes = bytes.wrapping_add(speed * pause), // wraps
            }
            let after = HypervisorSample { run_id, disks: vec![disk("vda", "/a", bytes)], nics: vec![nic("vnet0", 1, bytes)], ..hypervisor(now, Some(0)) };
            check(&by_hypervisor(before.as_ref(), &after), 1000.0);
            before = Some(after);
        }
    }
}
