//! Statistics of the host.

use super::Inspected;
use super::gather;
use super::series::{HostLoadSeries, Traffic};
use super::span::Times;
use crate::dialect::native::call::Call;
use crate::dialect::native::check::TimeInput;
use crate::dialect::native::envelope::Data;
use crate::dialect::native::resource::host::this_host;
use hvnode_core::Result;
use hvnode_core::engine::{History, Snapshot};
use hvnode_core::model::Readings;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// All series of the host.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HostStatistics)]
pub(in crate::dialect::native) struct HostStatistics<'a> {
    host_uuid: Uuid,
    host_name: &'a str,
    /// Unix seconds of the last sample.
    sample_time: Option<i64>,
    /// Tasks that ran or waited, averaged over the last 1, 5 and 15 minutes; null before the first sample.
    load_average: Option<[f64; 3]>,
    /// Seconds between two points.
    period: u64,
    #[serde(flatten)]
    load: HostLoadSeries<'a>,
    #[serde(flatten)]
    traffic: Traffic<'a>,
}

impl<'a> HostStatistics<'a> {
    fn of(snapshot: &'a Snapshot, readings: &Readings, history: &'a History) -> Self {
        let sample = readings.host.as_ref().map(|host| &host.sample);
        Self {
            host_uuid: snapshot.host_uuid(),
            host_name: &snapshot.facts.host_name,
            sample_time: sample.map(|sample| sample.at.time.seconds()),
            load_average: sample.map(|sample| sample.load_average),
            period: history.period.as_secs(),
            load: HostLoadSeries::of(&history.points),
            traffic: Traffic::of(&history.points),
        }
    }
}

/// Statistics of the host.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::dialect::native) struct HostStatisticsQuery {
    /// This host if absent.
    #[schema(format = Uuid)]
    host_uuid: Option<String>,
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

impl HostStatisticsQuery {
    async fn read(&self, call: &Call, snapshot: &Snapshot, readings: &Readings) -> Result<History> {
        let host_uuid = this_host(snapshot, self.host_uuid.as_deref())?;
        let is_latest = self.latest.unwrap_or(false);
        let times = Times { start: self.start_time.as_ref(), end: self.end_time.as_ref(), period: self.period, is_latest };
        gather::one(&call.context.engine, readings, host_uuid, times.span(call.context.engine.sampling_interval())?).await
    }
}

/// `/v1/host/statistics`.
pub(in crate::dialect::native) async fn of_host(call: Call, query: HostStatisticsQuery) -> Result<Data> {
    let (snapshot, readings) = (call.snapshot(), call.readings());
    let history = query.read(&call, &snapshot, &readings).await?;
    Data::of(&HostStatistics::of(&snapshot, &readings, &history))
}

/// `/v1/statistics/host/inspect`.
pub(in crate::dialect::native) async fn inspect_host(call: Call, query: HostStatisticsQuery) -> Result<Data> {
    let (snapshot, readings) = (call.snapshot(), call.readings());
    let history = query.read(&call, &snapshot, &readings).await?;
    Data::of(&Inspected { statistics: HostStatistics::of(&snapshot, &readings, &history) })
}
