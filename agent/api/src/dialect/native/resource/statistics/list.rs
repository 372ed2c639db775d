//! Many VMs at once: those of the host by page, and the busiest ones.

use super::VMS_MAX;
use super::gather;
use super::point::{DiskPoint, NetworkPoint};
use super::series::{DiskSeries, NetworkSeries, Source, VmLoadSeries};
use super::span::{Range, Span, Times};
use crate::dialect::native::call::Call;
use crate::dialect::native::check::{self, TimeInput};
use crate::dialect::native::envelope::Data;
use crate::dialect::native::listing::{ListData, ListOptions};
use crate::dialect::native::resource::host::this_host;
use crate::dialect::native::resource::vm::{find, row, statuses};
use hvnode_core::Result;
use hvnode_core::engine::History;
use hvnode_core::model::{Readings, SampleTime, UsagePoint, Vm};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// Processors and memory of a VM, for lists.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VmLoad)]
pub(in crate::dialect::native) struct VmLoad<'a> {
    vm_uuid: Uuid,
    vm_name: &'a str,
    #[serde(flatten)]
    source: Source,
    /// Seconds that a point stands for.
    period: u64,
    #[serde(flatten)]
    load: VmLoadSeries<'a>,
    /// One entry for each time and disk. Only with `with_traffic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<DiskPoint<'a>>, required = false)]
    disk_statistics: Option<DiskSeries<'a>>,
    /// One entry for each time and NIC. Only with `with_traffic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<NetworkPoint<'a>>, required = false)]
    network_statistics: Option<NetworkSeries<'a>>,
}

impl<'a> VmLoad<'a> {
    fn of(readings: &Readings, now: SampleTime, vm: &'a Vm, history: &'a History, has_traffic: bool) -> Self {
        Self {
            vm_uuid: vm.uuid(),
            vm_name: vm.name(),
            source: Source::of(readings, vm.uuid(), now),
            period: history.period.as_secs(),
            load: VmLoadSeries::short(&history.points),
            disk_statistics: has_traffic.then_some(DiskSeries(&history.points)),
            network_statistics: has_traffic.then_some(NetworkSeries(&history.points)),
        }
    }
}

/// Statistics of the VMs of a host.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::dialect::native) struct HostVmStatisticsQuery {
    /// This host if absent.
    #[schema(format = Uuid)]
    host_uuid: Option<String>,
    /// Only this VM; every VM if absent.
    #[schema(format = Uuid)]
    vm_uuid: Option<String>,
    /// An hour before `end_time` if absent. Without `start_time`, `end_time` and `period`, each VM has its newest point.
    #[schema(value_type = Option<String>)]
    start_time: Option<TimeInput>,
    /// Now if absent.
    #[schema(value_type = Option<String>)]
    end_time: Option<TimeInput>,
    /// Seconds to average over, at least the sampling interval. If absent, each VM has one point: its average over the range.
    period: Option<u64>,
    /// Also `disk_statistics` and `network_statistics`.
    with_traffic: Option<bool>,
}

/// `/v1/host/vm/statistic`: every VM, unless a page is asked for.
pub(in crate::dialect::native) async fn of_host_vms(call: Call, options: ListOptions, query: HostVmStatisticsQuery) -> Result<Data> {
    let (snapshot, readings) = (call.snapshot(), call.readings());
    this_host(&snapshot, query.host_uuid.as_deref())?;
    let times = Times { start: query.start_time.as_ref(), end: query.end_time.as_ref(), period: query.period, is_latest: false };
    let only = check::optional_uuid("vm_uuid", query.vm_uuid.as_deref())?.map(|uuid| find(&snapshot, uuid)).transpose()?;
    let plan = options.plan_all(Some(&statuses()))?;
    let is_wanted = |vm: &&Vm| plan.admits(vm.name(), vm.status.word()) && only.is_none_or(|only| only.uuid() == vm.uuid());
    let rows = snapshot.vms.values().map(AsRef::as_ref).filter(is_wanted).map(row).collect();
    let page = plan.page(rows, |vm| *vm);
    let uuids: Vec<Uuid> = page.list.iter().map(|vm| vm.uuid()).collect();
    let (engine, has_traffic) = (&call.context.engine, query.with_traffic.unwrap_or(false));
    let histories = if times.is_empty() {
        gather::each(engine, &readings, &uuids, Span::Latest).await?
    } else {
        let range = times.range(engine.sampling_interval())?;
        match range.period {
            Some(_) => gather::each(engine, &readings, &uuids, Span::Range(range)).await?,
            None => gather::means(engine, &uuids, range).await?.into_iter().map(|mean| averaged(range, mean)).collect(),
        }
    };
    let now = SampleTime::now();
    let entries = page.list.iter().zip(&histories);
    let list = entries.map(|(vm, history)| VmLoad::of(&readings, now, vm, history, has_traffic)).collect();
    Data::of(&ListData { total_count: page.total_count, list })
}

/// The average over a range as a history of one point.
fn averaged(range: Range, mean: Option<UsagePoint>) -> History {
    History { period: range.length(), points: mean.map(Arc::new).into_iter().collect() }
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
pub(in crate::dialect::native) struct BusiestQuery {
    /// An hour before `end_time` if absent.
    #[schema(value_type = Option<String>)]
    start_time: Option<TimeInput>,
    /// Now if absent.
    #[schema(value_type = Option<String>)]
    end_time: Option<TimeInput>,
    /// Seconds to average over, at least the sampling interval. If absent, each VM has one point: its average over the range.
    period: Option<u64>,
    /// At most so many; all if absent.
    #[schema(minimum = 1, maximum = 1000)]
    top_count: Option<u64>,
    /// cpu if absent. Either way by the average over the range.
    sort_by: Option<LoadKind>,
}

impl LoadKind {
    /// What VMs are compared by; what is not known comes last.
    fn of(self, mean: &UsagePoint) -> f64 {
        let figure = match self {
            Self::Cpu => mean.cpu_usage_percent,
            Self::Memory => mean.memory_used_bytes.map(|bytes| bytes as f64),
        };
        figure.unwrap_or(-1.0)
    }
}

/// `/v1/statistics/vm/list`: VMs with a point in the range, the busiest first.
pub(in crate::dialect::native) async fn list_vms(call: Call, query: BusiestQuery) -> Result<Data> {
    let (snapshot, readings) = (call.snapshot(), call.readings());
    let times = Times { start: query.start_time.as_ref(), end: query.end_time.as_ref(), period: query.period, is_latest: false };
    let range = times.range(call.context.engine.sampling_interval())?;
    let top_count = query.top_count.map(|count| check::within("top_count", count, 1, VMS_MAX as u64)).transpose()?;
    let kind = query.sort_by.unwrap_or(LoadKind::Cpu);
    let uuids: Vec<Uuid> = snapshot.vms.keys().copied().collect();
    let means = gather::means(&call.context.engine, &uuids, range).await?;
    let mut busy: Vec<(&Vm, UsagePoint)> = snapshot.vms.values().zip(means).filter_map(|(vm, mean)| Some((vm.as_ref(), mean?))).collect();
    busy.sort_by(|(left, a), (right, b)| {
        let by_load = kind.of(b).total_cmp(&kind.of(a));
        by_load.then_with(|| left.name().cmp(right.name())).then_with(|| left.uuid().cmp(&right.uuid()))
    });
    let total_count = busy.len() as u64;
    busy.truncate(top_count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX)));
    let (vms, means): (Vec<&Vm>, Vec<UsagePoint>) = busy.into_iter().unzip();
    let histories = if range.period.is_some() {
        let uuids: Vec<Uuid> = vms.iter().map(|vm| vm.uuid()).collect();
        gather::each(&call.context.engine, &readings, &uuids, Span::Range(range)).await?
    } else {
        means.into_iter().map(|mean| averaged(range, Some(mean))).collect()
    };
    let now = SampleTime::now();
    let list = vms.iter().zip(&histories).map(|(vm, history)| VmLoad::of(&readings, now, vm, history, false)).collect();
    Data::of(&ListData { total_count, list })
}
