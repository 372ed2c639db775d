//! Series, encoded straight from the points of a history.

use super::point::{DiskPoint, HostCpuPoint, MemoryPoint, NetworkPoint, VmCpuPoint, VmMemoryPoint};
use crate::dialect::native::resource::vm_view::freshness_word;
use hvnode_core::model::{Readings, SampleTime, UsagePoint};
use serde::{Serialize, Serializer};
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

type Points<'a> = &'a [Arc<UsagePoint>];

/// One entry for each point.
#[derive(Debug)]
pub(super) struct Series<'a, P> {
    points: Points<'a>,
    view: fn(&'a UsagePoint) -> P,
}

impl<P: Serialize> Serialize for Series<'_, P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.points.iter().map(|point| (self.view)(point)))
    }
}

/// One entry for each point and disk.
#[derive(Debug)]
pub(super) struct DiskSeries<'a>(pub(super) Points<'a>);

impl Serialize for DiskSeries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let disks = self.0.iter().flat_map(|point| point.disks.iter().map(|rates| DiskPoint::of(point.time.seconds(), rates)));
        serializer.collect_seq(disks)
    }
}

/// One entry for each point and NIC.
#[derive(Debug)]
pub(super) struct NetworkSeries<'a>(pub(super) Points<'a>);

impl Serialize for NetworkSeries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nics = self.0.iter().flat_map(|point| point.nics.iter().map(|rates| NetworkPoint::of(point.time.seconds(), rates)));
        serializer.collect_seq(nics)
    }
}

/// Processors and memory of a VM over time, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VmLoadSeries<'a> {
    #[schema(value_type = Vec<VmCpuPoint<'a>>)]
    cpu_statistics: Series<'a, VmCpuPoint<'a>>,
    #[schema(value_type = Vec<VmMemoryPoint>)]
    mem_statistics: Series<'a, VmMemoryPoint>,
}

impl<'a> VmLoadSeries<'a> {
    /// For one VM.
    pub(super) fn whole(points: Points<'a>) -> Self {
        Self { cpu_statistics: Series { points, view: VmCpuPoint::whole }, mem_statistics: Series { points, view: VmMemoryPoint::of } }
    }

    /// For lists.
    pub(super) fn short(points: Points<'a>) -> Self {
        Self { cpu_statistics: Series { points, view: VmCpuPoint::short }, ..Self::whole(points) }
    }
}

/// Processors and memory of the host over time, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HostLoadSeries<'a> {
    #[schema(value_type = Vec<HostCpuPoint<'a>>)]
    cpu_statistics: Series<'a, HostCpuPoint<'a>>,
    #[schema(value_type = Vec<MemoryPoint>)]
    mem_statistics: Series<'a, MemoryPoint>,
}

impl<'a> HostLoadSeries<'a> {
    pub(super) fn of(points: Points<'a>) -> Self {
        Self { cpu_statistics: Series { points, view: HostCpuPoint::of }, mem_statistics: Series { points, view: MemoryPoint::of } }
    }
}

/// Disks and NICs over time, oldest first; one entry for each time and device.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Traffic<'a> {
    #[schema(value_type = Vec<DiskPoint<'a>>)]
    disk_statistics: DiskSeries<'a>,
    #[schema(value_type = Vec<NetworkPoint<'a>>)]
    network_statistics: NetworkSeries<'a>,
}

impl<'a> Traffic<'a> {
    pub(super) fn of(points: Points<'a>) -> Self {
        Self { disk_statistics: DiskSeries(points), network_statistics: NetworkSeries(points) }
    }
}

/// How old the newest figures of a VM are, and whether it still answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VmSampleSource)]
pub(super) struct Source {
    /// fresh; stale: the VM did not answer when last asked, or a sample is older than three intervals; unavailable: it does not run,
    /// or was not sampled yet.
    freshness: &'static str,
    /// Unix seconds of the last sample that the host's kernel gave: processors, resident memory, NICs.
    kernel_sample_time: Option<i64>,
    /// Unix seconds of the last sample that hypervisor and guest gave: memory as the guest sees it, disks.
    hypervisor_sample_time: Option<i64>,
}

impl Source {
    pub(super) fn of(readings: &Readings, vm_uuid: Uuid, now: SampleTime) -> Self {
        let reading = readings.vms.get(&vm_uuid);
        let kernel = reading.and_then(|reading| reading.kernel.as_ref()).map(|sample| sample.at);
        let hypervisor = reading.and_then(|reading| reading.hypervisor.as_ref()).map(|sample| sample.at);
        Self {
            freshness: freshness_word(readings.freshness(vm_uuid, now)),
            kernel_sample_time: kernel.map(|at| at.time.seconds()),
            hypervisor_sample_time: hypervisor.map(|at| at.time.seconds()),
        }
    }
}
