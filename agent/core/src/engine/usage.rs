//! From two readings of counters to one point of usage. Pure.
//!
//! A counter that went back was reset (its QEMU restarted): there is no rate for that interval, never a spike. What the source does not
//! know is absent, never zero; memory in use is never negative and never more than there is.

use crate::model::{DiskCounters, DiskRates, HostSample, NicCounters, NicRates, Timestamp, UsagePoint, VmSample};
use std::time::Duration;

/// Growth per second of a counter; `None` if it went back or no time passed.
fn rate(before: u64, after: u64, seconds: f64) -> Option<f64> {
    #[allow(clippy::cast_precision_loss)] // rates need no more than 53 bits
    let growth = after.checked_sub(before)? as f64;
    (seconds > 0.0).then(|| growth / seconds)
}

fn seconds_between(before: Timestamp, after: Timestamp) -> f64 {
    after.since(before).as_secs_f64()
}

fn percent(busy: Duration, whole: Duration) -> Option<f64> {
    (!whole.is_zero()).then(|| (busy.as_secs_f64() / whole.as_secs_f64() * 100.0).clamp(0.0, 100.0))
}

/// The usage of a VM from its last two samples.
pub(crate) fn of_vm(before: Option<&VmSample>, after: &VmSample) -> UsagePoint {
    let seconds = before.map_or(0.0, |b| seconds_between(b.time, after.time));
    let cpu_usage_percent = before.and_then(|before| {
        let busy = after.cpu_time_nanoseconds?.checked_sub(before.cpu_time_nanoseconds?)?;
        let whole = after.time.since(before.time) * after.cpu_cores.max(1);
        percent(Duration::from_nanos(busy), whole)
    });
    let (memory_bytes, memory_used_bytes, memory_available_bytes) = vm_memory(after);
    let swap = |pick: fn(&VmSample) -> Option<u64>| before.and_then(|b| rate(pick(b)?, pick(after)?, seconds));
    UsagePoint {
        time: after.time,
        cpu_time_nanoseconds: after.cpu_time_nanoseconds,
        cpu_usage_percent,
        memory_bytes,
        memory_used_bytes,
        memory_available_bytes,
        swap_in_bytes: swap(|s| s.swap_in_bytes),
        swap_out_bytes: swap(|s| s.swap_out_bytes),
        disks: before.map_or_else(Vec::new, |b| disk_rates(&b.disks, &after.disks, seconds)),
        nics: before.map_or_else(Vec::new, |b| nic_rates(&b.nics, &after.nics, seconds)),
    }
}

/// Total, used and available memory. With a balloon driver as the guest sees it, else as the host pays for it.
fn vm_memory(sample: &VmSample) -> (Option<u64>, Option<u64>, Option<u64>) {
    let total = sample.memory_actual_bytes;
    let seen = sample.memory_available_bytes;
    let free = sample.memory_usable_bytes.or(sample.memory_unused_bytes);
    match (seen, free) {
        (Some(seen), Some(free)) => {
            let total = total.unwrap_or(seen);
            let free = free.min(seen);
            (Some(total), Some((seen - free).min(total)), Some(free.min(total)))
        }
        _ => {
            let used = match (sample.memory_rss_bytes, total) {
                // QEMU's own memory is in there too, so it may exceed what the guest has.
                (Some(rss), Some(total)) => Some(rss.min(total)),
                _ => None,
            };
            (total, used, total.zip(used).map(|(total, used)| total - used))
        }
    }
}

/// The usage of the host from its last two samples.
pub(crate) fn of_host(before: Option<&HostSample>, after: &HostSample) -> UsagePoint {
    let seconds = before.map_or(0.0, |b| seconds_between(b.time, after.time));
    let cpu_usage_percent = before.and_then(|before| {
        let busy = after.cpu_busy_nanoseconds.checked_sub(before.cpu_busy_nanoseconds)?;
        let whole = after.cpu_total_nanoseconds.checked_sub(before.cpu_total_nanoseconds)?;
        percent(Duration::from_nanos(busy), Duration::from_nanos(whole))
    });
    let available = after.memory_available_bytes.min(after.memory_bytes);
    UsagePoint {
        time: after.time,
        cpu_time_nanoseconds: Some(after.cpu_busy_nanoseconds),
        cpu_usage_percent,
        memory_bytes: Some(after.memory_bytes),
        memory_used_bytes: Some(after.memory_bytes - available),
        memory_available_bytes: Some(available),
        swap_in_bytes: before.and_then(|b| rate(b.swap_in_bytes, after.swap_in_bytes, seconds)),
        swap_out_bytes: before.and_then(|b| rate(b.swap_out_bytes, after.swap_out_bytes, seconds)),
        disks: before.map_or_else(Vec::new, |b| disk_rates(&b.disks, &after.disks, seconds)),
        nics: before.map_or_else(Vec::new, |b| nic_rates(&b.nics, &after.nics, seconds)),
    }
}

fn disk_rates(before: &[DiskCounters], after: &[DiskCounters], seconds: f64) -> Vec<DiskRates> {
    let rates = |after: &DiskCounters| {
        let before = before.iter().find(|b| b.device == after.device)?;
        Some(DiskRates {
            device: after.device.clone(),
            read_bytes: rate(before.read_bytes, after.read_bytes, seconds)?,
            write_bytes: rate(before.write_bytes, after.write_bytes, seconds)?,
            read_requests: rate(before.read_requests, after.read_requests, seconds)?,
            write_requests: rate(before.write_requests, after.write_requests, seconds)?,
        })
    };
    after.iter().filter_map(rates).collect()
}

fn nic_rates(before: &[NicCounters], after: &[NicCounters], seconds: f64) -> Vec<NicRates> {
    let rates = |after: &NicCounters| {
        let before = before.iter().find(|b| b.interface_name == after.interface_name)?;
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
    after.iter().filter_map(rates).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn sample(seconds: i64, cpu: Option<u64>) -> VmSample {
        VmSample {
            vm_uuid: Uuid::nil(),
            time: Timestamp::from_seconds(seconds),
            cpu_time_nanoseconds: cpu,
            cpu_cores: 2,
            memory_actual_bytes: Some(1000),
            memory_available_bytes: None,
            memory_unused_bytes: None,
            memory_usable_bytes: None,
            memory_rss_bytes: Some(400),
            swap_in_bytes: None,
            swap_out_bytes: None,
            disks: vec![],
            nics: vec![],
        }
    }

    #[test]
    fn one_busy_processor_of_two_is_fifty_percent() {
        let point = of_vm(Some(&sample(10, Some(0))), &sample(20, Some(10_000_000_000)));
        assert_eq!(point.cpu_usage_percent, Some(50.0));
    }

    #[test]
    fn the_first_sample_says_not_yet_and_a_reset_counter_gives_no_rate() {
        assert_eq!(of_vm(None, &sample(10, Some(5))).cpu_usage_percent, None);
        assert_eq!(of_vm(Some(&sample(10, Some(5))), &sample(20, Some(1))).cpu_usage_percent, None);
    }

    #[test]
    fn without_a_balloon_driver_memory_is_what_the_host_pays() {
        let point = of_vm(None, &sample(1, None));
        assert_eq!((point.memory_bytes, point.memory_used_bytes, point.memory_available_bytes), (Some(1000), Some(400), Some(600)));
    }

    proptest! {
        #[test]
        fn no_reading_gives_negative_or_impossible_memory(actual: Option<u64>, seen: Option<u64>, unused: Option<u64>, usable: Option<u64>, rss: Option<u64>) {
            let mut s = sample(1, None);
            (s.memory_actual_bytes, s.memory_available_bytes, s.memory_unused_bytes, s.memory_usable_bytes, s.memory_rss_bytes) =
                (actual, seen, unused, usable, rss);
            let (total, used, free) = vm_memory(&s);
            if let Some(used) = used { prop_assert!(total.is_some_and(|total| used <= total)); }
            if let Some(free) = free { prop_assert!(total.is_some_and(|total| free <= total)); }
        }

        #[test]
        fn cpu_percent_stays_between_zero_and_a_hundred(t1 in 0i64..1000, t2 in 0i64..1000, c1: u64, c2: u64) {
            let percent = of_vm(Some(&sample(t1, Some(c1))), &sample(t2, Some(c2))).cpu_usage_percent;
            prop_assert!(percent.is_none_or(|p| (0.0..=100.0).contains(&p)));
        }
    }
}
