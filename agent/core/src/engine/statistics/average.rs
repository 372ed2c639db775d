//! Averages of points over buckets of time. Pure.

use crate::model::{CpuModes, DiskRates, MacAddress, MemoryView, NicRates, Timestamp, UsagePoint};
use smol_str::SmolStr;
use std::time::Duration;

/// Most disks, NICs and processors of one bucket; what comes on top is left out, so that no bucket grows without end.
const PARTS_MAX: usize = 1024;

/// Start of the bucket of length `period` that `time` lies in. Buckets begin at whole multiples of the period since 1970.
pub(super) fn bucket_of(time: Timestamp, period: Duration) -> Timestamp {
    let period = nanoseconds(period).max(1);
    Timestamp(time.0.saturating_sub(time.0.rem_euclid(period)))
}

/// A duration as the difference of two timestamps.
pub(super) fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Means of each bucket that has points. `points` may come in any order.
pub(super) fn averages(points: impl IntoIterator<Item = UsagePoint>, period: Duration) -> Vec<UsagePoint> {
    let mut buckets = std::collections::BTreeMap::<Timestamp, Average>::new();
    for point in points {
        buckets.entry(bucket_of(point.time, period)).or_default().add(&point, 1.0);
    }
    buckets.into_iter().filter_map(|(time, average)| average.point(time)).collect()
}

/// A weighted mean of what was there.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, value: Option<f64>, weight: f64) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.sum += value * weight;
            self.weight += weight;
        }
    }

    #[allow(clippy::cast_precision_loss)] // 53 bits tell memory to the byte up to 8 PiB
    fn add_bytes(&mut self, value: Option<u64>, weight: f64) {
        self.add(value.map(|value| value as f64), weight);
    }

    fn value(self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a mean of u64s, and the cast saturates
    fn bytes(self) -> Option<u64> {
        self.value().map(|value| value.round() as u64)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct MemoryMeans {
    weight: f64,
    total: Mean,
    used: Mean,
    available: Mean,
}

#[derive(Debug, Clone)]
struct DiskMeans {
    device: SmolStr,
    rates: [Mean; 4],
}

#[derive(Debug, Clone)]
struct NicMeans {
    interface_name: SmolStr,
    mac_address: Option<MacAddress>,
    rates: [Mean; 8],
}

/// What a bucket has taken in.
#[derive(Debug, Clone, Default)]
pub(super) struct Average {
    /// Time of the newest point, and the processor time it told.
    last: Option<(Timestamp, u64)>,
    weight: f64,
    cpu_usage: Mean,
    cores: Vec<Mean>,
    cpu_delay: Mean,
    /// The host's alone.
    modes: Option<Box<[Mean; 4]>>,
    /// Guest's view, host's view: they do not mix.
    memory: [MemoryMeans; 2],
    resident: Mean,
    swap: [Mean; 2],
    disks: Vec<DiskMeans>,
    nics: Vec<NicMeans>,
}

impl Average {
    /// True if nothing came in.
    pub(super) fn is_empty(&self) -> bool {
        self.weight <= 0.0
    }

    /// Takes in a point that stands for `weight` points.
    pub(super) fn add(&mut self, point: &UsagePoint, weight: f64) {
        self.weight += weight;
        if let Some(cpu_time) = point.cpu_time_nanoseconds
            && self.last.is_none_or(|(time, _)| time <= point.time)
        {
            self.last = Some((point.time, cpu_time));
        }
        self.cpu_usage.add(point.cpu_usage_percent, weight);
        self.cpu_delay.add(point.cpu_delay_percent, weight);
        self.add_cores(&point.core_usage_percents, weight);
        if let Some(modes) = point.cpu_modes {
            let parts = [modes.user_percent, modes.system_percent, modes.iowait_percent, modes.steal_percent];
            self.modes.get_or_insert_default().iter_mut().zip(parts).for_each(|(mean, part)| mean.add(Some(part), weight));
        }
        self.add_memory(point, weight);
        self.swap[0].add(point.swap_in_bytes, weight);
        self.swap[1].add(point.swap_out_bytes, weight);
        point.disks.iter().for_each(|disk| self.add_disk(disk, weight));
        point.nics.iter().for_each(|nic| self.add_nic(nic, weight));
    }

    fn add_cores(&mut self, percents: &[f64], weight: f64) {
        if percents.is_empty() {
            return;
        }
        if percents.len() != self.cores.len() {
            // Another number of processors: the older points do not tell about these.
            self.cores = vec![Mean::default(); percents.len().min(PARTS_MAX)];
        }
        self.cores.iter_mut().zip(percents).for_each(|(mean, percent)| mean.add(Some(*percent), weight));
    }

    fn add_memory(&mut self, point: &UsagePoint, weight: f64) {
        self.resident.add_bytes(point.memory_resident_bytes, weight);
        if point.memory_bytes.or(point.memory_used_bytes).is_none() {
            return;
        }
        let memory = &mut self.memory[usize::from(point.memory_view == MemoryView::Host)];
        memory.weight += weight;
        memory.total.add_bytes(point.memory_bytes, weight);
        memory.used.add_bytes(point.memory_used_bytes, weight);
        memory.available.add_bytes(point.memory_available_bytes, weight);
    }

    fn add_disk(&mut self, disk: &DiskRates, weight: f64) {
        let index = self.disks.iter().position(|means| means.device == disk.device).or_else(|| {
            let is_room = self.disks.len() < PARTS_MAX;
            is_room.then(|| {
                // Most have one; room for four would be a third of a history.
                self.disks.reserve_exact(1);
                self.disks.push(DiskMeans { device: disk.device.clone(), rates: [Mean::default(); 4] });
                self.disks.len() - 1
            })
        });
        let rates = [disk.read_bytes, disk.write_bytes, disk.read_requests, disk.write_requests];
        if let Some(index) = index {
            self.disks[index].rates.iter_mut().zip(rates).for_each(|(mean, rate)| mean.add(Some(rate), weight));
        }
    }

    fn add_nic(&mut self, nic: &NicRates, weight: f64) {
        let name = &nic.interface_name;
        let fresh = || NicMeans { interface_name: name.clone(), mac_address: nic.mac_address, rates: [Mean::default(); 8] };
        let index = match self.nics.iter().position(|means| means.interface_name == *name) {
            Some(index) => {
                if self.nics[index].mac_address != nic.mac_address {
                    // Another NIC under the same name.
                    self.nics[index] = fresh();
                }
                index
            }
            None if self.nics.len() < PARTS_MAX => {
                self.nics.reserve_exact(1);
                self.nics.push(fresh());
                self.nics.len() - 1
            }
            None => return,
        };
        let rates = [
            nic.receive_bytes,
            nic.send_bytes,
            nic.receive_packets,
            nic.send_packets,
            nic.receive_errors,
            nic.send_errors,
            nic.receive_drops,
            nic.send_drops,
        ];
        self.nics[index].rates.iter_mut().zip(rates).for_each(|(mean, rate)| mean.add(Some(rate), weight));
    }

    /// The mean, as a point of `time`; `None` if nothing came in.
    pub(super) fn point(&self, time: Timestamp) -> Option<UsagePoint> {
        if self.is_empty() {
            return None;
        }
        let percent = |mean: Mean| mean.value().map(|percent| percent.clamp(0.0, 100.0));
        let [guest, host] = self.memory;
        let (memory, memory_view) =
            if guest.weight > 0.0 && guest.weight >= host.weight { (guest, MemoryView::Guest) } else { (host, MemoryView::Host) };
        Some(UsagePoint {
            time,
            cpu_time_nanoseconds: self.last.map(|(_, cpu_time)| cpu_time),
            cpu_usage_percent: percent(self.cpu_usage),
            core_usage_percents: self.cores.iter().map(|mean| percent(*mean).unwrap_or(0.0)).collect(),
            cpu_delay_percent: percent(self.cpu_delay),
            cpu_modes: self.modes.as_ref().map(|modes| {
                let [user_percent, system_percent, iowait_percent, steal_percent] = modes.map(|mean| percent(mean).unwrap_or(0.0));
                CpuModes { user_percent, system_percent, iowait_percent, steal_percent }
            }),
            memory_bytes: memory.total.bytes(),
            memory_used_bytes: memory.used.bytes(),
            memory_available_bytes: memory.available.bytes(),
            memory_view,
            memory_resident_bytes: self.resident.bytes(),
            swap_in_bytes: self.swap[0].value(),
            swap_out_bytes: self.swap[1].value(),
            disks: self.disks.iter().map(DiskMeans::rates).collect(),
            nics: self.nics.iter().map(NicMeans::rates).collect(),
        })
    }
}

impl DiskMeans {
    fn rates(&self) -> DiskRates {
        let [read_bytes, write_bytes, read_requests, write_requests] = self.rates.map(|mean| mean.value().unwrap_or(0.0));
        DiskRates { device: self.device.clone(), read_bytes, write_bytes, read_requests, write_requests }
    }
}

impl NicMeans {
    fn rates(&self) -> NicRates {
        let rates = self.rates.map(|mean| mean.value().unwrap_or(0.0));
        let [receive_bytes, send_bytes, receive_packets, send_packets, receive_errors, send_errors, receive_drops, send_drops] = rates;
        NicRates {
            interface_name: self.interface_name.clone(),
            mac_address: self.mac_address,
            receive_bytes,
            send_bytes,
            receive_packets,
            send_packets,
            receive_errors,
            send_errors,
            receive_drops,
            send_drops,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(seconds: i64, percent: Option<f64>) -> UsagePoint {
        let (time, cpu_time_nanoseconds) = (Timestamp::from_seconds(seconds), Some(seconds.unsigned_abs()));
        UsagePoint { time, cpu_time_nanoseconds, cpu_usage_percent: percent, ..UsagePoint::default() }
    }

    #[test]
    fn a_bucket_has_the_mean_of_its_points_and_the_processor_time_at_its_end() {
        let points = [point(130, Some(30.0)), point(120, Some(10.0)), point(179, None), point(180, Some(99.0))];
        let averages = averages(points, Duration::from_secs(60));
        assert_eq!(averages.len(), 2);
        assert_eq!(averages[0].time, Timestamp::from_seconds(120));
        assert_eq!(averages[0].cpu_usage_percent, Some(20.0));
        assert_eq!(averages[0].cpu_time_nanoseconds, Some(179));
    }

    #[test]
    fn a_bucket_without_a_value_has_none() {
        assert_eq!(averages([point(1, None)], Duration::from_secs(60))[0].cpu_usage_percent, None);
        assert!(Average::default().point(Timestamp::default()).is_none());
    }

    #[test]
    fn the_views_of_memory_do_not_mix() {
        let of = |view, used| UsagePoint { memory_bytes: Some(100), memory_used_bytes: Some(used), memory_view: view, ..point(1, None) };
        let mut average = Average::default();
        average.add(&of(MemoryView::Host, 90), 1.0);
        average.add(&of(MemoryView::Guest, 20), 1.0);
        average.add(&of(MemoryView::Guest, 30), 1.0);
        let mean = average.point(Timestamp::default()).unwrap();
        assert_eq!((mean.memory_view, mean.memory_used_bytes), (MemoryView::Guest, Some(25)));
    }

    #[test]
    fn a_disk_counts_only_where_it_was_there_and_a_weight_counts_as_many() {
        let disk = |rate| DiskRates { device: "vda".into(), read_bytes: rate, write_bytes: 0.0, read_requests: 0.0, write_requests: 0.0 };
        let mut average = Average::default();
        average.add(&UsagePoint { disks: vec![disk(10.0)], ..point(1, None) }, 3.0);
        average.add(&point(2, None), 1.0);
        average.add(&UsagePoint { disks: vec![disk(50.0)], ..point(3, None) }, 1.0);
        assert_eq!(average.point(Timestamp::default()).unwrap().disks, [disk(20.0)]);
    }

    #[test]
    fn a_bucket_takes_no_room_for_disks_and_nics_that_are_not_there() {
        let disk = DiskRates { device: "vda".into(), read_bytes: 1.0, write_bytes: 0.0, read_requests: 0.0, write_requests: 0.0 };
        let mut average = Average::default();
        average.add(&UsagePoint { disks: vec![disk; 1], ..point(1, None) }, 1.0);
        assert_eq!((average.disks.capacity(), average.nics.capacity(), average.modes.is_none()), (1, 0, true));
    }

    #[test]
    fn buckets_before_1970_begin_before_their_points_too() {
        assert_eq!(bucket_of(Timestamp::from_seconds(-1), Duration::from_secs(60)), Timestamp::from_seconds(-60));
    }
}
