//! `APIGetMetricDataMsg`: usage over time, from the node's own history.

use super::call::{Call, Outcome, Waiting, one};
use super::fields::{Fields, fault};
use super::identity::hex;
use hvnode_core::engine::HistoryQuery;
use hvnode_core::model::{Timestamp, UsagePoint};
use hvnode_core::{Result, at, fail};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// Seconds that are told where the caller names no start.
const SPAN_SECONDS: i64 = 3600;
/// A greater time is in milliseconds.
const SECONDS_MAX: i64 = 100_000_000_000;
const NAMESPACES: [&str; 2] = ["ZStack/VM", "ZStack/Host"];

type Metric = fn(&UsagePoint) -> Option<f64>;

/// Names and what they are of a point. The host's names differ for the processor.
const METRICS: [(&str, Metric); 16] = [
    ("CPUUsedUtilization", |p| p.cpu_usage_percent),
    ("CPUIdleUtilization", |p| p.cpu_usage_percent.map(|used| 100.0 - used)),
    ("CPUAverageUsedUtilization", |p| p.cpu_usage_percent),
    ("CPUAllUsedUtilization", |p| p.cpu_usage_percent),
    ("CPUAllIdleUtilization", |p| p.cpu_usage_percent.map(|used| 100.0 - used)),
    ("MemoryUsedBytes", |p| p.memory_used_bytes.map(float)),
    ("MemoryFreeBytes", |p| p.memory_available_bytes.map(float)),
    ("MemoryUsedInPercent", |p| percent(p.memory_used_bytes?, p.memory_bytes?)),
    ("MemoryFreeInPercent", |p| percent(p.memory_available_bytes?, p.memory_bytes?)),
    ("DiskReadBytes", |p| Some(p.disks.iter().map(|disk| disk.read_bytes).sum())),
    ("DiskWriteBytes", |p| Some(p.disks.iter().map(|disk| disk.write_bytes).sum())),
    ("DiskReadOps", |p| Some(p.disks.iter().map(|disk| disk.read_requests).sum())),
    ("DiskWriteOps", |p| Some(p.disks.iter().map(|disk| disk.write_requests).sum())),
    ("NetworkInBytes", |p| Some(p.nics.iter().map(|nic| nic.receive_bytes).sum())),
    ("NetworkOutBytes", |p| Some(p.nics.iter().map(|nic| nic.send_bytes).sum())),
    ("MemoryResidentBytes", |p| p.memory_resident_bytes.map(float)),
];

#[allow(clippy::cast_precision_loss)] // a measured size
fn float(number: u64) -> f64 {
    number as f64
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| float(part) * 100.0 / float(whole))
}

pub(super) fn get(call: Call, fields: Fields) -> Waiting {
    Box::pin(async move { data(&call, &fields).await })
}

async fn data(call: &Call, fields: &Fields) -> Outcome {
    let namespace = fields.need_word("namespace", &NAMESPACES)?;
    let name = fields.need_text("metricName")?;
    let known = METRICS.iter().find(|(word, _)| *word == name);
    let (_, metric) = known.ok_or_else(|| fault("metricName", &name, &names(), &names()))?;
    if fields.texts("functions")?.is_some_and(|functions| !functions.is_empty()) {
        return Err(fail!(NotSupported, "functions must be empty"; "不支持 functions").into());
    }
    let label = if namespace == NAMESPACES[0] { "VMUuid" } else { "HostUuid" };
    let subjects = subjects(call, fields, label)?;
    let query = span(fields)?;
    let histories = call.context.engine.history_of_many(subjects, query).await.map_err(at!())?;
    let mut data: Vec<Value> = Vec::new();
    for (uuid, history) in &histories {
        let points = history.points.iter().filter_map(|point| Some((point.time.seconds(), metric(point)?)));
        data.extend(points.map(|(time, value)| json!({"value": value, "time": time, "labels": {label: hex(*uuid)}})));
    }
    Ok(one("data", data))
}

fn names() -> String {
    METRICS.map(|(name, _)| name).join(", ")
}

/// The VMs or the host that `labels` name; all of them where it names none.
fn subjects(call: &Call, fields: &Fields, label: &str) -> Result<Vec<Uuid>> {
    let snapshot = call.snapshot();
    let host = snapshot.host_uuid();
    let mut named = Vec::new();
    for text in fields.texts("labels")?.unwrap_or_default() {
        let value = text.split_once('=').filter(|(name, _)| name.trim() == label).map(|(_, value)| value.trim());
        let uuid = value.and_then(|value| Uuid::try_parse(value).ok());
        let uuid = uuid.ok_or_else(|| fault("labels", &text, &format!("{label}=<uuid>"), &format!("{label}=<uuid>")))?;
        let is_known = if label == "VMUuid" { snapshot.vms.contains_key(&uuid) } else { uuid == host };
        if !is_known {
            return Err(if label == "VMUuid" { fail!(VmNotExist) } else { fail!(HostNotExist) });
        }
        named.push(uuid);
    }
    let all = || if label == "VMUuid" { snapshot.vms.keys().copied().collect() } else { vec![host] };
    Ok(if named.is_empty() { all() } else { named })
}

fn span(fields: &Fields) -> Result<HistoryQuery> {
    let seconds = |time: i64| if time > SECONDS_MAX { time / 1000 } else { time };
    let end = fields.number("endTime")?.map_or_else(|| Timestamp::now().seconds(), seconds);
    let start = fields.number("startTime")?.map_or(end.saturating_sub(SPAN_SECONDS), seconds);
    if start > end {
        return Err(fail!(TimeRangeInvalid, "startTime must not be after endTime"; "startTime 不能晚于 endTime"));
    }
    let period = fields.number("period")?.map(Duration::from_secs);
    Ok(HistoryQuery { subject_uuid: Uuid::nil(), start: Timestamp::from_seconds(start), end: Timestamp::from_seconds(end), period })
}
