//! Statistics of one VM, or of several by name.

use super::gather;
use super::series::{Source, Traffic, VmLoadSeries};
use super::span::Times;
use super::{Inspected, VMS_MAX};
use crate::dialect::native::call::Call;
use crate::dialect::native::check::{self, TimeInput};
use crate::dialect::native::envelope::Data;
use crate::dialect::native::listing::ListData;
use crate::dialect::native::resource::vm::find;
use hvnode_core::Result;
use hvnode_core::engine::History;
use hvnode_core::model::{Readings, SampleTime, Vm};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// All series of a VM.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = VmStatistics)]
pub(in crate::dialect::native) struct VmStatistics<'a> {
    vm_uuid: Uuid,
    vm_name: &'a str,
    #[serde(flatten)]
    source: Source,
    /// Seconds between two points.
    period: u64,
    #[serde(flatten)]
    load: VmLoadSeries<'a>,
    #[serde(flatten)]
    traffic: Traffic<'a>,
}

impl<'a> VmStatistics<'a> {
    fn of(readings: &Readings, vm: &'a Vm, history: &'a History) -> Self {
        Self {
            vm_uuid: vm.uuid(),
            vm_name: vm.name(),
            source: Source::of(readings, vm.uuid(), SampleTime::now()),
            period: history.period.as_secs(),
            load: VmLoadSeries::whole(&history.points),
            traffic: Traffic::of(&history.points),
        }
    }
}

/// Statistics of one VM, or of several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::dialect::native) struct VmStatisticsQuery {
    /// One uuid gives one object; several, repeated or separated by commas, give a list of such objects.
    vm_uuid: Vec<String>,
    /// An hour before `end_time` if absent; at most 31 days before it.
    #[schema(value_type = Option<String>)]
    start_time: Option<TimeInput>,
    /// Now if absent.
    #[schema(value_type = Option<String>)]
    end_time: Option<TimeInput>,
    /// Seconds to average over, at least the sampling interval; the finest spacing that is kept for the whole range if absent.
    period: Option<u64>,
    /// Only the newest point; not with a range or a period.
    latest: Option<bool>,
}

/// `/v1/vm/statistics`.
pub(in crate::dialect::native) async fn of_vm(call: Call, query: VmStatisticsQuery) -> Result<Data> {
    let (snapshot, readings) = (call.snapshot(), call.readings());
    let is_latest = query.latest.unwrap_or(false);
    let span = Times { start: query.start_time.as_ref(), end: query.end_time.as_ref(), period: query.period, is_latest }
        .span(call.context.engine.sampling_interval())?;
    check::count("vm_uuid", query.vm_uuid.len(), VMS_MAX)?;
    let uuids: Vec<Uuid> = query.vm_uuid.iter().map(|text| check::uuid("vm_uuid", text)).collect::<Result<_>>()?;
    let vms: Vec<_> = uuids.iter().map(|uuid| find(&snapshot, *uuid)).collect::<Result<_>>()?;
    let histories = gather::each(&call.context.engine, &readings, &uuids, span).await?;
    let mut list: Vec<_> = vms.iter().zip(&histories).map(|(vm, history)| VmStatistics::of(&readings, vm, history)).collect();
    match list.len() {
        1 => Data::of(&list.remove(0)),
        _ => Data::of(&ListData::whole(list)),
    }
}

/// Statistics of one VM.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::dialect::native) struct OneVmStatisticsQuery {
    #[schema(format = Uuid)]
    vm_uuid: String,
    /// An hour before `end_time` if absent; at most 31 days before it.
    #[schema(value_type = Option<String>)]
    start_time: Option<TimeInput>,
    /// Now if absent.
    #[schema(value_type = Option<String>)]
    end_time: Option<TimeInput>,
    /// Seconds to average over, at least the sampling interval; the finest spacing that is kept for the whole range if absent.
    period: Option<u64>,
    /// Only the newest point; not with a range or a period.
    latest: Option<bool>,
}

/// `/v1/statistics/vm/inspect`.
pub(in crate::dialect::native) async fn inspect_vm(call: Call, query: OneVmStatisticsQuery) -> Result<Data> {
    let (snapshot, readings) = (call.snapshot(), call.readings());
    let is_latest = query.latest.unwrap_or(false);
    let span = Times { start: query.start_time.as_ref(), end: query.end_time.as_ref(), period: query.period, is_latest }
        .span(call.context.engine.sampling_interval())?;
    let vm = find(&snapshot, check::uuid("vm_uuid", &query.vm_uuid)?)?;
    let history = gather::one(&call.context.engine, &readings, vm.uuid(), span).await?;
    Data::of(&Inspected { statistics: VmStatistics::of(&readings, vm, &history) })
}
