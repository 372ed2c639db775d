//! Reading histories: of one subject, or of many with a bound on what one answer may hold.

use super::span::{Range, Span};
use hvnode_core::engine::{Engine, History};
use hvnode_core::model::{Readings, UsagePoint};
use hvnode_core::{AgentError, Result, at, fail};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Most points of all VMs together in one answer: some 10 MB.
const POINTS_MAX: usize = 20_000;
/// Most points that are read for the averages of one answer.
const AVERAGED_POINTS_MAX: usize = 500_000;
/// VMs read at a time: of so many the engine gives the coarsest history as a whole.
const VMS_AT_A_TIME: usize = 32;

/// The history of one subject.
///
/// # Errors
/// `ParameterInvalid`, `StoreFailed`.
pub(super) async fn one(engine: &Engine, readings: &Readings, subject_uuid: Uuid, span: Span) -> Result<History> {
    match span {
        Span::Latest if engine.snapshot().host_uuid() == subject_uuid => Ok(newest(engine, readings.host_point())),
        Span::Latest => Ok(newest(engine, readings.vm_point(subject_uuid))),
        Span::Range(range) => engine.history(range.query(subject_uuid)).await.map_err(at!()),
    }
}

fn newest(engine: &Engine, point: Option<&Arc<UsagePoint>>) -> History {
    History { period: engine.sampling_interval(), points: point.cloned().into_iter().collect() }
}

/// The histories of several VMs, in their order.
///
/// # Errors
/// `ParameterInvalid` where the answer would be too large, `StoreFailed`.
pub(super) async fn each(engine: &Engine, readings: &Readings, vm_uuids: &[Uuid], span: Span) -> Result<Vec<History>> {
    let Span::Range(range) = span else {
        return Ok(vm_uuids.iter().map(|uuid| newest(engine, readings.vm_point(*uuid))).collect());
    };
    let (mut gathered, mut points) = (Vec::with_capacity(vm_uuids.len()), 0);
    for some in vm_uuids.chunks(VMS_AT_A_TIME) {
        for (_, history) in engine.history_of_many(some.to_vec(), range.query(Uuid::nil())).await.map_err(at!())? {
            points += history.points.len();
            if points > POINTS_MAX {
                return Err(too_many(gathered.len(), vm_uuids.len(), points, history.period));
            }
            gathered.push(history);
        }
    }
    Ok(gathered)
}

/// What would fit: so many VMs at a time, or points so far apart.
fn too_many(fitting: usize, asked: usize, points: usize, period: Duration) -> AgentError {
    let page = fitting.max(1);
    // as if the VMs that were not read had as many points as those that were
    let expected = points * asked / (fitting + 1);
    let period = period.as_secs().max(1) * (expected.div_ceil(POINTS_MAX) as u64);
    fail!(ParameterInvalid,
        "the answer for {asked} VMs would have more than {POINTS_MAX} points: ask for at most {page} VMs at a time, or for a period of at \
         least {period} seconds";
        "{asked} 台虚拟机的结果将超过 {POINTS_MAX} 个点：请每次最多查询 {page} 台虚拟机，或将 period 设为至少 {period} 秒")
}

/// The average of each VM over the range, in their order; none for those without a point in it.
///
/// # Errors
/// `ParameterInvalid` where too much would have to be read, `StoreFailed`.
pub(super) async fn means(engine: &Engine, vm_uuids: &[Uuid], range: Range) -> Result<Vec<Option<UsagePoint>>> {
    let finest = Range { period: None, ..range };
    let (mut means, mut points) = (Vec::with_capacity(vm_uuids.len()), 0);
    for some in vm_uuids.chunks(VMS_AT_A_TIME) {
        for (_, history) in engine.history_of_many(some.to_vec(), finest.query(Uuid::nil())).await.map_err(at!())? {
            points += history.points.len();
            if points > AVERAGED_POINTS_MAX {
                return Err(range_too_long(means.len(), vm_uuids.len(), range));
            }
            means.push(history.mean(range.start));
        }
    }
    Ok(means)
}

fn range_too_long(read: usize, asked: usize, range: Range) -> AgentError {
    let hours = range.length().as_secs() * (read.max(1) as u64) / (asked.max(1) as u64) / 3600;
    let hours = hours.max(1);
    fail!(ParameterInvalid,
        "averaging {asked} VMs over this range would read more than {AVERAGED_POINTS_MAX} points: a range of about {hours} hours would do";
        "在该时间范围内对 {asked} 台虚拟机求平均需读取超过 {AVERAGED_POINTS_MAX} 个点：请将范围缩短至约 {hours} 小时")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_page_and_the_period_that_would_do() {
        // a thousand VMs with one point a minute for an hour
        let error = too_many(333, 1000, 334 * 60, Duration::from_secs(60));
        assert_eq!(error.code().number(), 10003);
        let text = error.message();
        assert!(text.contains("at most 333 VMs") && text.contains("at least 180 seconds"), "{text}");
    }
}
