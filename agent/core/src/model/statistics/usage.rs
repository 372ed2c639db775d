//! Points of usage: what is computed from samples, and what history is made of.

use crate::model::{MacAddress, Timestamp};
use smol_str::SmolStr;
use std::time::Duration;

/// Rates per second of one disk between two samples.
#[derive(Debug, Clone, PartialEq)]
pub struct DiskRates {
    /// `vda`, …
    pub device: SmolStr,
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
#[derive(Debug, Clone, PartialEq)]
pub struct NicRates {
    /// Device name on the host.
    pub interface_name: SmolStr,
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

/// Whose view of a VM's memory a point gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemoryView {
    /// The guest's kernel, through its balloon driver.
    Guest,
    /// The host: what QEMU holds. It never shrinks as the guest frees memory.
    #[default]
    Host,
}

/// Percent of time by mode, over all hardware threads of the host.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CpuModes {
    /// Programs, those that give way included.
    pub user_percent: f64,
    /// The kernel, interrupts included.
    pub system_percent: f64,
    /// Waiting for disks.
    pub iowait_percent: f64,
    /// Taken by a hypervisor below this host.
    pub steal_percent: f64,
}

/// One point, computed from two samples or averaged over a bucket of time. "Not available" is absence, never zero.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UsagePoint {
    /// Time of the later sample; of an average, the start of its bucket.
    pub time: Timestamp,
    /// Processor time since start (VM) or boot (host), nanoseconds; of an average, at its end.
    pub cpu_time_nanoseconds: Option<u64>,
    /// Percent of all (virtual) processors, 0-100; absent until two samples exist.
    pub cpu_usage_percent: Option<f64>,
    /// Percent of each (virtual) processor in order; empty where it is not known.
    pub core_usage_percents: Vec<f64>,
    /// Percent of all virtual processors' time in which they could have run and waited for the host. VMs only.
    pub cpu_delay_percent: Option<f64>,
    /// By mode. Host only.
    pub cpu_modes: Option<CpuModes>,
    /// Bytes of memory in all.
    pub memory_bytes: Option<u64>,
    /// Bytes in use, as `memory_view` says; never more than there is.
    pub memory_used_bytes: Option<u64>,
    /// Bytes free for use.
    pub memory_available_bytes: Option<u64>,
    /// Whose view of memory that is.
    pub memory_view: MemoryView,
    /// Host memory that QEMU holds: what the host pays. VMs only.
    pub memory_resident_bytes: Option<u64>,
    /// Bytes swapped in per second, by the guest (VM) or the host.
    pub swap_in_bytes: Option<f64>,
    /// Bytes swapped out per second.
    pub swap_out_bytes: Option<f64>,
    /// Disks; empty until two samples exist.
    pub disks: Vec<DiskRates>,
    /// NICs; empty until two samples exist.
    pub nics: Vec<NicRates>,
}

/// How finely stored history is spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resolution {
    /// Averages of one minute.
    Minute,
    /// Averages of fifteen minutes.
    Coarse,
}

impl Resolution {
    /// All, finest first.
    pub const ALL: [Self; 2] = [Self::Minute, Self::Coarse];

    /// Length of a bucket. Buckets begin at whole multiples of it since 1970.
    pub const fn period(self) -> Duration {
        match self {
            Self::Minute => Duration::from_secs(60),
            Self::Coarse => Duration::from_secs(15 * 60),
        }
    }
}
