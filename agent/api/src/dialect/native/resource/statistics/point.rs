//! Points as clients see them.

use hvnode_core::model::{CpuModes, DiskRates, MacAddress, MemoryView, NicRates, UsagePoint};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// Three digits behind the point: finer ones are noise, and would make up half of an answer.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// Percents of processors, in order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Percents<'a>(&'a [f64]);

impl Serialize for Percents<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().copied().map(rounded))
    }
}

/// Processors at one time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CpuPoint<'a> {
    /// Unix seconds: end of the measurement; of an average, the start of its period.
    time: i64,
    /// Percent of all (virtual) processors, 0-100; null until two samples exist.
    cpu_usage: Option<f64>,
    /// Nanoseconds since start (VM) or boot (host).
    cpu_time: Option<u64>,
    /// Percent of each (virtual) processor in order; empty where it is not known. Not in lists of VMs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<f64>, required = false)]
    core_usage: Option<Percents<'a>>,
}

/// Virtual processors of a VM at one time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VmCpuPoint<'a> {
    #[serde(flatten)]
    cpu: CpuPoint<'a>,
    /// Percent of all virtual processors' time in which they could have run and waited for a processor of the host, 0-100.
    cpu_delay: Option<f64>,
}

/// Processors of the host at one time. Percents of all processors.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HostCpuPoint<'a> {
    #[serde(flatten)]
    cpu: CpuPoint<'a>,
    /// Programs, guests among them.
    user_usage: Option<f64>,
    /// The kernel, interrupts included.
    system_usage: Option<f64>,
    /// Idle, waiting for disks.
    iowait_usage: Option<f64>,
    /// Taken by a hypervisor below this host.
    steal_usage: Option<f64>,
}

/// Memory at one time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MemoryPoint {
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

/// Memory of a VM at one time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VmMemoryPoint {
    #[serde(flatten)]
    memory: MemoryPoint,
    /// Bytes of host memory that the VM holds: what it costs the host.
    resident_memory_size: Option<u64>,
    /// Who counted: guest, through its balloon driver; or host, which sees only what the guest ever touched.
    memory_view: &'static str,
}

/// One disk at one time, per second.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DiskPoint<'a> {
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
pub(super) struct NetworkPoint<'a> {
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

impl<'a> CpuPoint<'a> {
    fn of(point: &'a UsagePoint, has_cores: bool) -> Self {
        Self {
            time: point.time.seconds(),
            cpu_usage: point.cpu_usage_percent.map(rounded),
            cpu_time: point.cpu_time_nanoseconds,
            core_usage: has_cores.then_some(Percents(&point.core_usage_percents)),
        }
    }
}

impl<'a> VmCpuPoint<'a> {
    /// For one VM.
    pub(super) fn whole(point: &'a UsagePoint) -> Self {
        Self { cpu: CpuPoint::of(point, true), cpu_delay: point.cpu_delay_percent.map(rounded) }
    }

    /// For lists.
    pub(super) fn short(point: &'a UsagePoint) -> Self {
        Self { cpu: CpuPoint::of(point, false), cpu_delay: point.cpu_delay_percent.map(rounded) }
    }
}

impl<'a> HostCpuPoint<'a> {
    pub(super) fn of(point: &'a UsagePoint) -> Self {
        let mode = |pick: fn(CpuModes) -> f64| point.cpu_modes.map(|modes| rounded(pick(modes)));
        Self {
            cpu: CpuPoint::of(point, true),
            user_usage: mode(|modes| modes.user_percent),
            system_usage: mode(|modes| modes.system_percent),
            iowait_usage: mode(|modes| modes.iowait_percent),
            steal_usage: mode(|modes| modes.steal_percent),
        }
    }
}

impl MemoryPoint {
    pub(super) fn of(point: &UsagePoint) -> Self {
        let usage = point.memory_used_bytes.zip(point.memory_bytes).filter(|(_, all)| *all > 0);
        Self {
            time: point.time.seconds(),
            memory_size: point.memory_bytes,
            used_memory_size: point.memory_used_bytes,
            available_memory_size: point.memory_available_bytes,
            memory_usage: usage.map(|(used, all)| rounded(used as f64 * 100.0 / all as f64)),
            swap_in: point.swap_in_bytes.map(rounded),
            swap_out: point.swap_out_bytes.map(rounded),
        }
    }
}

impl VmMemoryPoint {
    pub(super) fn of(point: &UsagePoint) -> Self {
        let memory_view = match point.memory_view {
            MemoryView::Guest => "guest",
            MemoryView::Host => "host",
        };
        Self { memory: MemoryPoint::of(point), resident_memory_size: point.memory_resident_bytes, memory_view }
    }
}

impl<'a> DiskPoint<'a> {
    pub(super) fn of(time: i64, rates: &'a DiskRates) -> Self {
        Self {
            time,
            device: &rates.device,
            read_bytes: rounded(rates.read_bytes),
            write_bytes: rounded(rates.write_bytes),
            read_requests: rounded(rates.read_requests),
            write_requests: rounded(rates.write_requests),
        }
    }
}

impl<'a> NetworkPoint<'a> {
    pub(super) fn of(time: i64, rates: &'a NicRates) -> Self {
        Self {
            time,
            interface_name: &rates.interface_name,
            mac_address: rates.mac_address,
            receive_bytes: rounded(rates.receive_bytes),
            send_bytes: rounded(rates.send_bytes),
            receive_packets: rounded(rates.receive_packets),
            send_packets: rounded(rates.send_packets),
            receive_errors: rounded(rates.receive_errors),
            send_errors: rounded(rates.send_errors),
            receive_drops: rounded(rates.receive_drops),
            send_drops: rounded(rates.send_drops),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hvnode_core::model::Timestamp;
    use serde_json::json;

    #[test]
    fn what_is_not_known_is_null_and_never_zero() {
        let point = UsagePoint { time: Timestamp::from_seconds(5), ..UsagePoint::default() };
        let cpu = json!({"time": 5, "cpu_usage": null, "cpu_time": null, "core_usage": [], "cpu_delay": null});
        assert_eq!(serde_json::to_value(VmCpuPoint::whole(&point)).unwrap(), cpu);
        let host = serde_json::to_value(HostCpuPoint::of(&point)).unwrap();
        assert!(["user_usage", "system_usage", "iowait_usage", "steal_usage"].iter().all(|key| host[key].is_null()), "{host}");
        let memory = serde_json::to_value(VmMemoryPoint::of(&point)).unwrap();
        let null = ["memory_size", "used_memory_size", "memory_usage", "swap_in", "resident_memory_size"];
        assert!(null.iter().all(|key| memory[key].is_null()) && memory["memory_view"] == "host", "{memory}");
    }

    #[test]
    fn lists_have_no_figures_per_core() {
        let point = UsagePoint { cpu_usage_percent: Some(12.345_678), core_usage_percents: vec![1.0, 23.691_356], ..UsagePoint::default() };
        let whole = serde_json::to_value(VmCpuPoint::whole(&point)).unwrap();
        assert_eq!((&whole["cpu_usage"], &whole["core_usage"]), (&json!(12.346), &json!([1.0, 23.691])));
        assert!(serde_json::to_value(VmCpuPoint::short(&point)).unwrap().get("core_usage").is_none());
    }
}
