//! Samples and what is computed from them. Counters are as the source gives them; rates are computed once, here in the core.

use super::{MacAddress, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Counters of one disk of a VM since its QEMU started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DiskCounters {
    /// `vda`, …
    pub device: String,
    /// Bytes read by the guest.
    pub read_bytes: u64,
    /// Bytes written by the guest.
    pub write_bytes: u64,
    /// Read requests.
    pub read_requests: u64,
    /// Write requests.
    pub write_requests: u64,
}

/// Counters of one NIC, seen from the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicCounters {
    /// Device name on the host (of the host's NIC, or the VM's tap).
    pub interface_name: String,
    /// Address of the guest's NIC, where known.
    pub mac_address: Option<MacAddress>,
    /// Bytes received.
    pub receive_bytes: u64,
    /// Bytes sent.
    pub send_bytes: u64,
    /// Packets received.
    pub receive_packets: u64,
    /// Packets sent.
    pub send_packets: u64,
    /// Receive errors.
    pub receive_errors: u64,
    /// Send errors.
    pub send_errors: u64,
    /// Received packets dropped.
    pub receive_drops: u64,
    /// Packets to send dropped.
    pub send_drops: u64,
}

/// One reading of a running VM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VmSample {
    /// Which VM.
    pub vm_uuid: Uuid,
    /// When it was read.
    pub time: Timestamp,
    /// Processor time used since its QEMU started, nanoseconds; absent where the hypervisor did not answer.
    pub cpu_time_nanoseconds: Option<u64>,
    /// Virtual processors online.
    pub cpu_cores: u32,
    /// Memory the guest has now (balloon), bytes.
    pub memory_actual_bytes: Option<u64>,
    /// Memory the guest's kernel sees in all, bytes; needs the guest's balloon driver.
    pub memory_available_bytes: Option<u64>,
    /// Memory nobody in the guest uses, bytes; needs the guest's balloon driver.
    pub memory_unused_bytes: Option<u64>,
    /// Memory the guest could give to a new program without swapping, bytes; needs the guest's balloon driver.
    pub memory_usable_bytes: Option<u64>,
    /// Host memory the QEMU process holds, bytes.
    pub memory_rss_bytes: Option<u64>,
    /// Bytes swapped in by the guest.
    pub swap_in_bytes: Option<u64>,
    /// Bytes swapped out by the guest.
    pub swap_out_bytes: Option<u64>,
    /// Disks.
    pub disks: Vec<DiskCounters>,
    /// NICs.
    pub nics: Vec<NicCounters>,
}

/// One reading of the host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HostSample {
    /// When it was read.
    pub time: Timestamp,
    /// Processor time spent working, all threads together, nanoseconds since boot.
    pub cpu_busy_nanoseconds: u64,
    /// Processor time in all, nanoseconds since boot.
    pub cpu_total_nanoseconds: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes a new program could get without swapping.
    pub memory_available_bytes: u64,
    /// Bytes swapped in since boot.
    pub swap_in_bytes: u64,
    /// Bytes swapped out since boot.
    pub swap_out_bytes: u64,
    /// Load averages over 1, 5 and 15 minutes.
    pub load_average: [f64; 3],
    /// Disks.
    pub disks: Vec<DiskCounters>,
    /// NICs.
    pub nics: Vec<NicCounters>,
}

/// Rates per second of one disk between two samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiskRates {
    /// `vda`, …
    pub device: String,
    /// Bytes read per second.
    pub read_bytes: f64,
    /// Bytes written per second.
    pub write_bytes: f64,
    /// Read requests per second.
    pub read_requests: f64,
    /// Write requests per second.
    pub write_requests: f64,
}

/// Rates per second of one NIC between two samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NicRates {
    /// Device name on the host.
    pub interface_name: String,
    /// Address, where known.
    pub mac_address: Option<MacAddress>,
    /// Bytes received per second.
    pub receive_bytes: f64,
    /// Bytes sent per second.
    pub send_bytes: f64,
    /// Packets received per second.
    pub receive_packets: f64,
    /// Packets sent per second.
    pub send_packets: f64,
    /// Receive errors per second.
    pub receive_errors: f64,
    /// Send errors per second.
    pub send_errors: f64,
    /// Received packets dropped per second.
    pub receive_drops: f64,
    /// Packets to send dropped per second.
    pub send_drops: f64,
}

/// What readers get: one point, computed from the last two samples. "Not available" is absence, never zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsagePoint {
    /// Time of the later sample.
    pub time: Timestamp,
    /// Processor time since start (VM) or boot (host), nanoseconds.
    pub cpu_time_nanoseconds: Option<u64>,
    /// Percent of all (virtual) processors, 0-100; absent until two samples exist.
    pub cpu_usage_percent: Option<f64>,
    /// Bytes of memory in all.
    pub memory_bytes: Option<u64>,
    /// Bytes in use. For a VM without a balloon driver: what QEMU holds of the guest's memory.
    pub memory_used_bytes: Option<u64>,
    /// Bytes free for use.
    pub memory_available_bytes: Option<u64>,
    /// Bytes swapped in per second.
    pub swap_in_bytes: Option<f64>,
    /// Bytes swapped out per second.
    pub swap_out_bytes: Option<f64>,
    /// Disks; empty until two samples exist.
    pub disks: Vec<DiskRates>,
    /// NICs; empty until two samples exist.
    pub nics: Vec<NicRates>,
}
