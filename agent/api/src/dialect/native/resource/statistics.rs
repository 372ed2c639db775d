//! Statistics: the latest point of host and VMs as series of at most one element.
//!
//! A point outside the asked time range, or that was never taken, is simply absent; a figure that is not known is null, never zero.

use super::super::call::Call;
use super::super::check::{self, TimeInput};
use super::super::envelope::Data;
use super::super::listing::{ListData, ListOptions};
use super::host::this_host;
use super::vm::{find, row, statuses};
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{DiskRates, MacAddress, NicRates, Timestamp, UsagePoint, Vm};
use hvnode_core::{Result, fail};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;
use uuid::Uuid;

/// Range where the caller does not say.
const RANGE_DEFAULT: Duration = Duration::from_secs(3600);
/// Longest range in seconds.
const RANGE_SECONDS_MAX: u64 = 31 * 24 * 3600;
/// Most VMs asked for by name in one request.
const VMS_MAX: usize = 1000;

/// Processors at one time.
#[derive(Debug, Serialize, ToSchema)]
struct CpuPoint {
    /// Unix seconds.
    time: i64,
    /// Percent of all (virtual) processors, 0-100; null until two samples exist.
    cpu_usage: Option<f64>,
    /// Nanoseconds since start (VM) or boot (host).
    cpu_time: Option<u64>,
}

/// Memory at one time.
#[derive(Debug, Serialize, ToSchema)]
struct MemoryPoint {
    /// Unix seconds.
    time: i64,
    /// Bytes.
    memory_size: Option<u64>,
    /// Bytes.
    used_memory_size: Option<u64>,
    /// Bytes.
    available_memory_size: Option<u64>,
    /// Percent, 0-100.
    memory_usage: Option<f64>,
    /// Bytes per second.
    swap_in: Option<f64>,
    /// Bytes per second.
    swap_out: Option<f64>,
}

/// One disk at one time, per second.
#[derive(Debug, Serialize, ToSchema)]
struct DiskPoint<'a> {
    /// Unix seconds.
    time: i64,
    device: &'a str,
    read_bytes: f64,
    write_bytes: f64,
    read_requests: f64,
    write_requests: f64,
}

/// One NIC at one time, per second.
#[derive(Debug, Serialize, ToSchema)]
struct NetworkPoint<'a> {
    /// Unix seconds.
    time: i64,
    interface_name: &'a str,
    #[schema(value_type = Option<String>)]
    mac_address: Option<MacAddress>,
    receive_bytes: f64,
    send_bytes: f64,
    receive_packets: f64,
    send_packets: f64,
    receive_errors: f64,
    send_errors: f64,
    receive_drops: f64,
    send_drops: f64,
}

/// Processors and memory over time.
#[derive(Debug, Serialize, ToSchema)]
struct Load {
    cpu_statistics: Vec<CpuPoint>,
    mem_statistics: Vec<MemoryPoint>,
}

/// Disks and NICs over time.
#[derive(Debug, Serialize, ToSchema)]
struct Traffic<'a> {
    disk_statistics: Vec<DiskPoint<'a>>,
    network_statistics: Vec<NetworkPoint<'a>>,
}

/// All series of a VM.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VmStatistics)]
pub(in super::super) struct VmStatistics<'a> {
    vm_uuid: Uuid,
    vm_name: &'a str,
    #[serde(flatten)]
    load: Load,
    #[serde(flatten)]
    traffic: Traffic<'a>,
}

/// Processors and memory of a VM, for lists.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VmLoad)]
pub(in super::super) struct VmLoad<'a> {
    vm_uuid: Uuid,
    vm_name: &'a str,
    #[serde(flatten)]
    load: Load,
}

/// All series of the host.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HostStatistics)]
pub(in super::super) struct HostStatistics<'a> {
    host_uuid: Uuid,
    host_name: &'a str,
    #[serde(flatten)]
    load: Load,
    #[serde(flatten)]
    traffic: Traffic<'a>,
}

impl Load {
    fn of(point: Option<&UsagePoint>) -> Self {
        Self {
            cpu_statistics: point.map(CpuPoint::of).into_iter().collect(),
            mem_statistics: point.map(MemoryPoint::of).into_iter().collect(),
        }
    }
}

impl CpuPoint {
    fn of(point: &UsagePoint) -> Self {
        Self { time: point.time.seconds(), cpu_usage: point.cpu_usage_percent, cpu_time: point.cpu_time_nanoseconds }
    }
}

impl MemoryPoint {
    fn of(point: &UsagePoint) -> Self {
        let usage = point.memory_used_bytes.zip(point.memory_bytes).filter(|(_, all)| *all > 0);
        Self {
            time: point.time.seconds(),
            memory_size: point.memory_bytes,
            used_memory_size: point.memory_used_bytes,
            available_memory_size: point.memory_available_bytes,
            memory_usage: usage.map(|(used, all)| used as f64 * 100.0 / all as f64),
            swap_in: point.swap_in_bytes,
            swap_out: point.swap_out_bytes,
        }
    }
}

impl<'a> Traffic<'a> {
    fn of(point: Option<&'a UsagePoint>) -> Self {
        let Some(point) = point else { return Self { disk_statistics: Vec::new(), network_statistics: Vec::new() } };
        let time = point.time.seconds();
        Self {
            disk_statistics: point.disks.iter().map(|rates| DiskPoint::of(time, rates)).collect(),
            network_statistics: point.nics.iter().map(|rates| NetworkPoint::of(time, rates)).collect(),
        }
    }
}

impl<'a> DiskPoint<'a> {
    fn of(time: i64, rates: &'a DiskRates) -> Self {
        let DiskRates { device, read_bytes, write_bytes, read_requests, write_requests } = rates;
        Self {
            time,
            device,
            read_bytes: *read_bytes,
            write_bytes: *write_bytes,
            read_requests: *read_requests,
            write_requests: *write_requests,
        }
    }
}

impl<'a> NetworkPoint<'a> {
    fn of(time: i64, rates: &'a NicRates) -> Self {
        Self {
            time,
            interface_name: &rates.interface_name,
            mac_address: rates.mac_address,
            receive_bytes: rates.receive_bytes,
            send_bytes: rates.send_bytes,
            receive_packets: rates.receive_packets,
            send_packets: rates.send_packets,
            receive_errors: rates.receive_errors,
            send_errors: rates.send_errors,
            receive_drops: rates.receive_drops,
            send_drops: rates.send_drops,
        }
    }
}

/// A checked time range.
#[derive(Debug, Clone, Copy)]
struct Range {
    start: Timestamp,
    end: Timestamp,
}

impl Range {
    /// The last hour where nothing is said. `period` has nothing to average over while a series has one point.
    fn of(start: Option<&TimeInput>, end: Option<&TimeInput>, period: Option<u64>) -> Result<Self> {
        let end = end.map(|time| check::time("end_time", time)).transpose()?.unwrap_or_else(Timestamp::now);
        let default = || Timestamp(end.0.saturating_sub(RANGE_DEFAULT.as_nanos() as i64));
        let start = start.map(|time| check::time("start_time", time)).transpose()?.unwrap_or_else(default);
        if let Some(seconds) = period {
            check::within("period", seconds, 1, RANGE_SECONDS_MAX)?;
        }
        if start > end {
            return Err(fail!(TimeRangeInvalid, "start_time must not be after end_time"; "start_time 不能晚于 end_time"));
        }
        if end.since(start) > Duration::from_secs(RANGE_SECONDS_MAX) {
            return Err(
                fail!(TimeRangeInvalid, "end_time must be at most 31 days after start_time"; "end_time 最多比 start_time 晚 31 天"),
            );
        }
        Ok(Self { start, end })
    }

    fn admits(self, point: &UsagePoint) -> bool {
        (self.start..=self.end).contains(&point.time)
    }

    fn vm_point(self, snapshot: &Snapshot, vm_uuid: Uuid) -> Option<&UsagePoint> {
        snapshot.vm_usage.get(&vm_uuid).map(AsRef::as_ref).filter(|point| self.admits(point))
    }
}

impl<'a> VmStatistics<'a> {
    fn of(snapshot: &'a Snapshot, vm: &'a Vm, range: Range) -> Self {
        let point = range.vm_point(snapshot, vm.uuid());
        Self { vm_uuid: vm.uuid(), vm_name: vm.name(), load: Load::of(point), traffic: Traffic::of(point) }
    }
}

impl<'a> VmLoad<'a> {
    fn of(snapshot: &Snapshot, vm: &'a Vm, range: Range) -> Self {
        Self { vm_uuid: vm.uuid(), vm_name: vm.name(), load: Load::of(range.vm_point(snapshot, vm.uuid())) }
    }
}

impl<'a> HostStatistics<'a> {
    fn of(snapshot: &'a Snapshot, range: Range) -> Self {
        let point = snapshot.host_usage.as_deref().filter(|point| range.admits(point));
        let host_name = &snapshot.facts.host_name;
        Self { host_uuid: snapshot.host_uuid(), host_name, load: Load::of(point), traffic: Traffic::of(point) }
    }
}

/// Statistics of one VM, or of several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct VmStatisticsQuery {
    /// One uuid gives one object; several, repeated or separated by commas, give a list of such objects.
    vm_uuid: Vec<String>,
    #[schema(value_type = Option<String>)]
    start_time: Option<TimeInput>,
    #[schema(value_type = Option<String>)]
    end_time: Option<TimeInput>,
    /// Seconds to average over.
    period: Option<u64>,
}

/// `/v1/vm/statistics`.
pub(in super::super) async fn of_vm(call: Call, query: VmStatisticsQuery) -> Result<Data> {
    let range = Range::of(query.start_time.as_ref(), query.end_time.as_ref(), query.period)?;
    check::count("vm_uuid", query.vm_uuid.len(), VMS_MAX)?;
    let uuids: Vec<Uuid> = query.vm_uuid.iter().map(|text| check::uuid("vm_uuid", text)).collect::<Result<_>>()?;
    let snapshot = call.snapshot();
    if let [uuid] = uuids[..] {
        return Data::of(&VmStatistics::of(&snapshot, find(&snapshot, uuid)?, range));
    }
    let list = uuids.iter().map(|uuid| Ok(VmStatistics::of(&snapshot, find(&snapshot, *uuid)?, range))).collect::<Result<_>>()?;
    Data::of(&ListData::whole(list))
}

/// Statistics of one VM.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct OneVmStatisticsQuery {
    #[schema(format = Uuid)]
    vm_uuid: String,
    #[schema(value_type = Option<String>)]
    start_time: Option<TimeInput>,
    #[schema(value_type = Option<String>)]
    end_time: Option<TimeInput>,
    /// Seconds to average over.
    period: Option<u64>,
}

/// `/v1/statistics/vm/inspect`.
pub(in super::super) async fn inspect_vm(call: Call, query: OneVmStatisticsQuery) -> Result<Data> {
    let range = Range::of(query.start_time.as_ref(), query.end_time.as_ref(), query.period)?;
    let uuid = check::uuid("vm_uuid", &query.vm_uuid)?;
    let snapshot = call.snapshot();
    Data::of(&Inspected { statistics: VmStatistics::of(&snapshot, find(&snapshot, uuid)?, range) })
}

#[derive(Debug, Serialize)]
struct Inspected<T> {
    statistics: T,
}

/// Statistics of the host.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct HostStatisticsQuery {
    /// This host if absent.
    #[schema(format = Uuid)]
    host_uuid: Option<String>,
    #[schema(value_type = Option<String>)]
    start_time: Option<TimeInput>,
    #[schema(value_type = Option<String>)]
    end_time: Option<TimeInput>,
    /// Seconds to average over.
    period: Option<u64>,
}

impl HostStatisticsQuery {
    fn check(&self, snapshot: &Snapshot) -> Result<Range> {
        this_host(snapshot, self.host_uuid.as_deref())?;
        Range::of(self.start_time.as_ref(), self.end_time.as_ref(), self.period)
    }
}

/// `/v1/host/statistics`.
pub(in super::super) async fn of_host(call: Call, query: HostStatisticsQuery) -> Result<Data> {
    let snapshot = call.snapshot();
    let range = query.check(&snapshot)?;
    Data::of(&HostStatistics::of(&snapshot, range))
}

/// `/v1/statistics/host/inspect`.
pub(in super::super) async fn inspect_host(call: Call, query: HostStatisticsQuery) -> Result<Data> {
    let snapshot = call.snapshot();
    let range = query.check(&snapshot)?;
    Data::of(&Inspected { statistics: HostStatistics::of(&snapshot, range) })
}

/// Statistics of the VMs of a host.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct HostVmStatisticsQuery {
    /// This host if absent.
    #[schema(format = Uuid)]
    host_uuid: Option<String>,
    /// Only this VM; every VM if absent.
    #[schema(format = Uuid)]
    vm_uuid: Option<String>,
    #[schema(value_type = Option<String>)]
    start_time: Option<TimeInput>,
    #[schema(value_type = Option<String>)]
    end_time: Option<TimeInput>,
    /// Seconds to average over.
    period: Option<u64>,
}

/// `/v1/host/vm/statistic`: every VM, unless a page is asked for.
pub(in super::super) async fn of_host_vms(call: Call, options: ListOptions, query: HostVmStatisticsQuery) -> Result<Data> {
    let snapshot = call.snapshot();
    this_host(&snapshot, query.host_uuid.as_deref())?;
    let range = Range::of(query.start_time.as_ref(), query.end_time.as_ref(), query.period)?;
    let only = check::optional_uuid("vm_uuid", query.vm_uuid.as_deref())?.map(|uuid| find(&snapshot, uuid)).transpose()?;
    let plan = options.plan_all(Some(&statuses()))?;
    let is_wanted = |vm: &&Vm| plan.admits(vm.name(), vm.status.word()) && only.is_none_or(|only| only.uuid() == vm.uuid());
    let rows = snapshot.vms.values().map(AsRef::as_ref).filter(is_wanted).map(row).collect();
    Data::of(&plan.page(rows, |vm| VmLoad::of(&snapshot, vm, range)))
}

/// What the busiest VMs are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum LoadKind {
    Cpu,
    Memory,
}

/// The busiest VMs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct BusiestQuery {
    #[schema(value_type = Option<String>)]
    start_time: Option<TimeInput>,
    #[schema(value_type = Option<String>)]
    end_time: Option<TimeInput>,
    /// Seconds to average over.
    period: Option<u64>,
    /// At most so many; all if absent.
    #[schema(minimum = 1, maximum = 1000)]
    top_count: Option<u64>,
    /// cpu if absent.
    sort_by: Option<LoadKind>,
}

/// `/v1/statistics/vm/list`: VMs with a point in the range, the busiest first.
pub(in super::super) async fn list_vms(call: Call, query: BusiestQuery) -> Result<Data> {
    let range = Range::of(query.start_time.as_ref(), query.end_time.as_ref(), query.period)?;
    let top_count = query.top_count.map(|count| check::within("top_count", count, 1, VMS_MAX as u64)).transpose()?;
    let snapshot = call.snapshot();
    let load = |point: &UsagePoint| match query.sort_by {
        Some(LoadKind::Memory) => point.memory_used_bytes.map(|bytes| bytes as f64),
        _ => point.cpu_usage_percent,
    };
    let measured = |vm| range.vm_point(&snapshot, Vm::uuid(vm)).map(|point| (load(point).unwrap_or(-1.0), vm));
    let mut busy: Vec<(f64, &Vm)> = snapshot.vms.values().map(AsRef::as_ref).filter_map(measured).collect();
    busy.sort_by(|(a, left), (b, right)| {
        b.total_cmp(a).then_with(|| left.name().cmp(right.name())).then_with(|| left.uuid().cmp(&right.uuid()))
    });
    let total_count = busy.len() as u64;
    let most = top_count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
    let list = busy.into_iter().take(most).map(|(_, vm)| VmLoad::of(&snapshot, vm, range)).collect();
    Data::of(&ListData { total_count, list })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &str, end: &str) -> Result<Range> {
        let time = |text: &str| -> Option<TimeInput> { (!text.is_empty()).then(|| serde_json::from_value(text.into()).unwrap()) };
        Range::of(time(start).as_ref(), time(end).as_ref(), None)
    }

    #[test]
    fn a_range_is_the_last_hour_unless_said_otherwise() {
        let range = range("", "7200").unwrap();
        assert_eq!((range.start.seconds(), range.end.seconds()), (3600, 7200));
    }

    #[test]
    fn a_range_that_ends_before_it_starts_or_is_too_long_is_refused() {
        assert_eq!(range("2", "1").unwrap_err().code().number(), 19000);
        assert_eq!(range("0", "2678401").unwrap_err().code().number(), 19000);
        assert!(range("0", "2678400").is_ok() && range("5", "5").is_ok());
        assert_eq!(range("x", "1").unwrap_err().code().number(), 10003);
    }
}
