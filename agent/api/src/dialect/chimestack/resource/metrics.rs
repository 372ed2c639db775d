//! Usage over time, from the node's own history. `range` is seconds back from now, `window` the seconds that one point stands for.

use super::{network, time, vm, volume};
use crate::dialect::chimestack::call::{Call, Outcome};
use crate::dialect::chimestack::errors::Failure;
use crate::dialect::chimestack::field::{Field, Kind, query};
use crate::dialect::chimestack::input::Input;
use hvnode_core::engine::HistoryQuery;
use hvnode_core::model::{DiskRates, MacAddress, NicRates, Timestamp, UsagePoint};
use hvnode_core::{at, fail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Longest range in seconds.
const RANGE_MAX: u64 = 31 * 24 * 3600;
const RANGE: Field = query("range", Kind::Whole(1, RANGE_MAX)).required().about("Seconds back from now.");
const WINDOW: Field = query("window", Kind::Whole(1, RANGE_MAX)).required().about("Seconds that one point stands for.");

pub(in super::super) const OF_NODE: &[Field] = &[RANGE, WINDOW];
pub(in super::super) const OF_VM: &[Field] = &[RANGE, WINDOW, query("vm_uuid", Kind::Uuid).required()];
pub(in super::super) const OF_HOST: &[Field] =
    &[RANGE, WINDOW, query("host_name", Kind::Text(256)).required(), query("host_uuid", Kind::Uuid)];
pub(in super::super) const OF_VOLUME: &[Field] = &[RANGE, WINDOW, query("volume_uuid", Kind::Uuid).required()];
pub(in super::super) const OF_INTERFACE: &[Field] = &[RANGE, WINDOW, query("interface_uuid", Kind::Uuid).required()];

/// What is measured.
#[derive(Debug, Clone)]
pub(in super::super) enum Figure {
    Cpu,
    Memory,
    /// All disks, or one.
    Disk(Option<String>),
    /// All NICs, or one.
    Net(Option<MacAddress>),
}

impl Figure {
    fn point(&self, point: &UsagePoint) -> Value {
        match self {
            Self::Cpu => json!({ "time": time(point.time), "usage": point.cpu_usage_percent }),
            Self::Memory => memory(point.time, point.memory_bytes, point.memory_used_bytes, point.memory_available_bytes),
            Self::Disk(device) => disk(point, device.as_deref()),
            Self::Net(mac_address) => net(point, *mac_address),
        }
    }
}

#[allow(clippy::cast_precision_loss)] // percent
fn memory(at: Timestamp, total: Option<u64>, used: Option<u64>, available: Option<u64>) -> Value {
    let usage = used.zip(total.filter(|total| *total > 0)).map(|(used, total)| used as f64 / total as f64 * 100.0);
    json!({ "time": time(at), "total": total, "used": used, "available": available, "usage": usage })
}

/// What is absent stays absent: a point without disks has null, not zero.
fn disk(point: &UsagePoint, device: Option<&str>) -> Value {
    let disks: Vec<&DiskRates> = point.disks.iter().filter(|disk| device.is_none_or(|device| disk.device == device)).collect();
    let sum = |rate: fn(&DiskRates) -> f64| (!disks.is_empty()).then(|| disks.iter().map(|disk| rate(disk)).sum::<f64>());
    json!({
        "time": time(point.time),
        "read_bytes": sum(|disk| disk.read_bytes),
        "write_bytes": sum(|disk| disk.write_bytes),
        "read_iops": sum(|disk| disk.read_requests),
        "write_iops": sum(|disk| disk.write_requests),
    })
}

fn net(point: &UsagePoint, mac_address: Option<MacAddress>) -> Value {
    let nics: Vec<&NicRates> = point.nics.iter().filter(|nic| mac_address.is_none() || nic.mac_address == mac_address).collect();
    let sum = |rate: fn(&NicRates) -> f64| (!nics.is_empty()).then(|| nics.iter().map(|nic| rate(nic)).sum::<f64>());
    json!({
        "time": time(point.time),
        "rx_bytes": sum(|nic| nic.receive_bytes),
        "tx_bytes": sum(|nic| nic.send_bytes),
        "rx_packets": sum(|nic| nic.receive_packets),
        "tx_packets": sum(|nic| nic.send_packets),
    })
}

/// The part of a history that is asked for.
fn question(input: &Input, subject_uuid: Uuid) -> HistoryQuery {
    let (range, window) = (input.whole("range").unwrap_or(1), input.whole("window").unwrap_or(1));
    let end = Timestamp::now();
    let start = Timestamp(end.0.saturating_sub(i64::try_from(Duration::from_secs(range).as_nanos()).unwrap_or(i64::MAX)));
    HistoryQuery { subject_uuid, start, end, period: Some(Duration::from_secs(window)) }
}

async fn of_subject(call: &Call, input: &Input, subject_uuid: Uuid, figure: Figure) -> Outcome {
    let history = call.context.engine.history(question(input, subject_uuid)).await.map_err(at!())?;
    Ok(json!({ "stats": history.points.iter().map(|point| figure.point(point)).collect::<Vec<_>>() }))
}

/// Of one VM.
pub(in super::super) async fn of_vm(call: Call, input: Input, figure: Figure) -> Outcome {
    let uuid = input.required_uuid("vm_uuid")?;
    vm::find(&call, uuid)?;
    of_subject(&call, &input, uuid, figure).await
}

/// Of this host, which must be named.
pub(in super::super) async fn of_host(call: Call, input: Input, figure: Figure) -> Outcome {
    if input.text("host_name") != Some(call.snapshot.facts.host_name.as_str()) {
        return Err(fail!(HostNotExist).into());
    }
    of_node(call, input, figure).await
}

/// Of the whole node.
pub(in super::super) async fn of_node(call: Call, input: Input, figure: Figure) -> Outcome {
    of_subject(&call, &input, call.snapshot.host_uuid(), figure).await
}

/// Of one disk of a VM.
pub(in super::super) async fn of_volume(call: Call, input: Input) -> Outcome {
    let found = volume::find(&call, input.required_uuid("volume_uuid")?)?;
    let (vm_uuid, device) = (found.vm_uuid.unwrap_or_default(), found.device.clone());
    of_subject(&call, &input, vm_uuid, Figure::Disk(Some(device))).await
}

/// Of one NIC of a VM.
pub(in super::super) async fn of_interface(call: Call, input: Input) -> Outcome {
    let (vm_uuid, mac_address) = network::find_nic(&call, input.required_uuid("interface_uuid")?)?;
    of_subject(&call, &input, vm_uuid, Figure::Net(Some(mac_address))).await
}

/// One moment of all VMs together.
#[derive(Default)]
struct Together {
    /// Percent times processors, and processors.
    cpu: (f64, f64),
    memory: [u64; 3],
}

impl Together {
    fn add(&mut self, point: &UsagePoint, cpu_cores: u32) {
        if let Some(percent) = point.cpu_usage_percent {
            self.cpu.0 += percent * f64::from(cpu_cores);
            self.cpu.1 += f64::from(cpu_cores);
        }
        let parts = [point.memory_bytes, point.memory_used_bytes, point.memory_available_bytes];
        for (sum, part) in self.memory.iter_mut().zip(parts) {
            *sum = sum.saturating_add(part.unwrap_or(0));
        }
    }

    fn view(&self, at: Timestamp, figure: &Figure) -> Value {
        let [total, used, available] = self.memory.map(Some);
        match figure {
            Figure::Cpu => json!({ "time": time(at), "usage": (self.cpu.1 > 0.0).then(|| self.cpu.0 / self.cpu.1) }),
            _ => memory(at, total, used, available),
        }
    }
}

/// Of the user's VMs together: all of the node's own, which has one tenant.
pub(in super::super) async fn of_user(call: Call, input: Input, figure: Figure) -> Outcome {
    let cores: BTreeMap<Uuid, u32> =
        call.snapshot.vms.values().filter_map(|vm| vm.record.as_ref()).map(|r| (r.vm_uuid, r.cpu_cores)).collect();
    let query = question(&input, Uuid::nil());
    let histories = call.context.engine.history_of_many(cores.keys().copied().collect(), query).await.map_err(at!())?;
    let window = i64::try_from(input.whole("window").unwrap_or(1)).unwrap_or(1);
    let mut moments: BTreeMap<i64, Together> = BTreeMap::new();
    for (uuid, history) in &histories {
        let cpu_cores = cores.get(uuid).copied().unwrap_or(0);
        for (moment, point) in last_of_each_moment(&history.points, window) {
            moments.entry(moment).or_default().add(point, cpu_cores);
        }
    }
    let stats: Vec<Value> = moments.iter().map(|(moment, sum)| sum.view(Timestamp::from_seconds(*moment), &figure)).collect();
    Ok::<_, Failure>(json!({ "stats": stats }))
}

/// VMs are not sampled at the same instant: one point of each for every window, under the window's start.
fn last_of_each_moment(points: &[Arc<UsagePoint>], window: i64) -> BTreeMap<i64, &UsagePoint> {
    points.iter().map(|point| (point.time.seconds().div_euclid(window) * window, point.as_ref())).collect()
}
