//! Samples: counters as the source gives them, with the time they were read at.

use crate::model::{MacAddress, Timestamp};
use smol_str::SmolStr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// When a sample was read, on two clocks: the wall clock names the point, the steady one measures rates, so that a clock that is set
/// never makes a spike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SampleTime {
    /// Wall clock.
    pub time: Timestamp,
    /// Steady clock: time since this process began.
    pub elapsed: Duration,
}

static PROCESS_START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl SampleTime {
    /// Now, on the machine's clocks.
    pub fn now() -> Self {
        Self { time: Timestamp::now(), elapsed: PROCESS_START.elapsed() }
    }

    /// Time from `earlier` to this one on the steady clock; zero where they are the wrong way round.
    pub fn since(self, earlier: Self) -> Duration {
        self.elapsed.saturating_sub(earlier.elapsed)
    }
}

/// Counters of one disk: of a VM since its QEMU started, of the host since boot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiskCounters {
    /// `vda`, …
    pub device: SmolStr,
    /// What is behind it: another file is another disk, even under the same name.
    pub path: Option<SmolStr>,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Read requests.
    pub read_requests: u64,
    /// Write requests.
    pub write_requests: u64,
    /// Time spent on reads, nanoseconds.
    pub read_time_nanoseconds: Option<u64>,
    /// Time spent on writes, nanoseconds.
    pub write_time_nanoseconds: Option<u64>,
    /// Flush requests.
    pub flush_requests: Option<u64>,
    /// Time spent on flushes, nanoseconds.
    pub flush_time_nanoseconds: Option<u64>,
    /// Bytes of the disk as its user sees it.
    pub capacity_bytes: Option<u64>,
    /// Highest byte in use inside its file.
    pub allocation_bytes: Option<u64>,
    /// Bytes its file takes on the host.
    pub physical_bytes: Option<u64>,
}

/// Counters of one NIC, seen from the guest (of a host's NIC: from the host).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NicCounters {
    /// Device name on the host (of the host's NIC, or the VM's tap).
    pub interface_name: SmolStr,
    /// Address of the NIC, where known. Another address is another NIC, even under the same name.
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

/// What the kernel tier is to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmTarget {
    /// Which VM.
    pub vm_uuid: Uuid,
    /// Its NICs: device on the host, address in the guest.
    pub nics: Vec<(SmolStr, MacAddress)>,
}

/// Counters of the thread that runs one virtual processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VcpuThread {
    /// Number of the virtual processor.
    pub index: u32,
    /// Time it ran, nanoseconds.
    pub time_nanoseconds: u64,
    /// Time it could have run and waited for a processor of the host (the guest sees it as steal), nanoseconds.
    pub delay_nanoseconds: u64,
}

/// Time that work waited for a resource (pressure stall information): microseconds in all since the group began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stall {
    /// Some of the tasks waited.
    pub some_microseconds: u64,
    /// All of the tasks waited.
    pub full_microseconds: u64,
}

/// Pressure on the three resources; each absent where the kernel does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pressure {
    /// Waiting for a processor.
    pub cpu: Option<Stall>,
    /// Waiting for memory.
    pub memory: Option<Stall>,
    /// Waiting for disks.
    pub io: Option<Stall>,
}

/// One reading of a VM by the kernel tier: what the host's kernel knows of its QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSample {
    /// Which VM.
    pub vm_uuid: Uuid,
    /// When it was read.
    pub at: SampleTime,
    /// Process of its QEMU.
    pub process_id: u32,
    /// Start of that process, in ticks since boot: with another one all counters began anew.
    pub run_id: u64,
    /// Processor time of the whole process, nanoseconds.
    pub cpu_time_nanoseconds: u64,
    /// Its virtual processors in order; empty where QEMU does not name their threads.
    pub vcpus: Vec<VcpuThread>,
    /// Host memory the process holds, bytes.
    pub memory_resident_bytes: u64,
    /// Memory of the process that the host has swapped out, bytes.
    pub memory_swapped_bytes: Option<u64>,
    /// Bytes the process had read from disks; absent where the kernel does not let this daemon see it.
    pub disk_read_bytes: Option<u64>,
    /// Bytes the process had written to disks; absent as above.
    pub disk_write_bytes: Option<u64>,
    /// Pressure inside its control group, where it has one of its own.
    pub pressure: Pressure,
    /// Times the kernel killed something in its control group for want of memory.
    pub oom_kills: Option<u64>,
    /// Its NICs, by the taps on the host.
    pub nics: Vec<NicCounters>,
}

/// One virtual processor as libvirt tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VcpuCounters {
    /// Number of the virtual processor.
    pub index: u32,
    /// libvirt's state: 0 offline, 1 running, 2 blocked.
    pub state: u32,
    /// Time it ran, nanoseconds.
    pub time_nanoseconds: Option<u64>,
    /// Time it waited for I/O, nanoseconds.
    pub wait_nanoseconds: Option<u64>,
    /// Time it waited for a processor of the host, nanoseconds.
    pub delay_nanoseconds: Option<u64>,
}

/// Memory of a VM as libvirt and the guest's balloon driver tell it, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemorySample {
    /// What the guest has now (balloon).
    pub actual_bytes: Option<u64>,
    /// What it may have at most.
    pub maximum_bytes: Option<u64>,
    /// What the guest's kernel sees in all; this and all below but `resident_bytes` need the guest's balloon driver.
    pub available_bytes: Option<u64>,
    /// What nobody in the guest uses.
    pub unused_bytes: Option<u64>,
    /// What the guest could give to a new program without swapping.
    pub usable_bytes: Option<u64>,
    /// Page cache in the guest.
    pub disk_cache_bytes: Option<u64>,
    /// Host memory that QEMU holds.
    pub resident_bytes: Option<u64>,
    /// Swapped in by the guest since it booted.
    pub swap_in_bytes: Option<u64>,
    /// Swapped out by the guest since it booted.
    pub swap_out_bytes: Option<u64>,
    /// Page faults in the guest that needed a disk.
    pub major_faults: Option<u64>,
    /// Page faults in the guest that did not.
    pub minor_faults: Option<u64>,
    /// Huge pages allocated in the guest.
    pub hugetlb_allocations: Option<u64>,
    /// Huge pages the guest could not allocate.
    pub hugetlb_failures: Option<u64>,
    /// When the guest reported these figures.
    pub last_update: Option<Timestamp>,
}

/// One reading of a VM by the hypervisor tier: what libvirt, QEMU and the guest know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HypervisorSample {
    /// Which VM.
    pub vm_uuid: Uuid,
    /// When it was read.
    pub at: SampleTime,
    /// libvirt's number of this run of the domain: with another one all counters began anew.
    pub run_id: u64,
    /// False where the VM's monitor was busy: then memory and disks are missing, and the sample counts as no answer of the VM.
    pub is_complete: bool,
    /// Processor time, nanoseconds.
    pub cpu_time_nanoseconds: Option<u64>,
    /// The part of it in user mode of the host.
    pub cpu_user_nanoseconds: Option<u64>,
    /// The part of it in kernel mode of the host.
    pub cpu_system_nanoseconds: Option<u64>,
    /// Virtual processors online.
    pub cpu_cores: u32,
    /// Virtual processors it may have.
    pub cpu_cores_max: u32,
    /// Each virtual processor.
    pub vcpus: Vec<VcpuCounters>,
    /// Memory.
    pub memory: MemorySample,
    /// Disks.
    pub disks: Vec<DiskCounters>,
    /// NICs.
    pub nics: Vec<NicCounters>,
}

/// Processor time by mode, nanoseconds since boot. Guest time is part of user time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuTimes {
    /// Programs.
    pub user_nanoseconds: u64,
    /// Programs that gave way to others.
    pub nice_nanoseconds: u64,
    /// The kernel.
    pub system_nanoseconds: u64,
    /// Nothing to do.
    pub idle_nanoseconds: u64,
    /// Nothing to do but waiting for disks.
    pub iowait_nanoseconds: u64,
    /// Hardware interrupts.
    pub irq_nanoseconds: u64,
    /// Software interrupts.
    pub softirq_nanoseconds: u64,
    /// Taken by a hypervisor below this host.
    pub steal_nanoseconds: u64,
}

impl CpuTimes {
    /// Time spent working.
    pub fn busy_nanoseconds(&self) -> u64 {
        let parts = [
            self.user_nanoseconds,
            self.nice_nanoseconds,
            self.system_nanoseconds,
            self.irq_nanoseconds,
            self.softirq_nanoseconds,
            self.steal_nanoseconds,
        ];
        parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
    }

    /// All time. Waiting for disks is idle time.
    pub fn total_nanoseconds(&self) -> u64 {
        self.busy_nanoseconds().saturating_add(self.idle_nanoseconds).saturating_add(self.iowait_nanoseconds)
    }
}

/// Huge pages of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HugePages {
    /// Bytes of one page.
    pub page_bytes: u64,
    /// Pages in all.
    pub total_pages: u64,
    /// Pages free.
    pub free_pages: u64,
}

/// Memory of the host, bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostMemory {
    /// In all.
    pub total_bytes: u64,
    /// What a new program could get without swapping.
    pub available_bytes: u64,
    /// Used by nobody.
    pub free_bytes: u64,
    /// Buffers of block devices.
    pub buffers_bytes: u64,
    /// Page cache.
    pub cached_bytes: u64,
    /// Swap space in all.
    pub swap_total_bytes: u64,
    /// Swap space free.
    pub swap_free_bytes: u64,
    /// Swapped in since boot.
    pub swap_in_bytes: u64,
    /// Swapped out since boot.
    pub swap_out_bytes: u64,
    /// Huge pages, one entry per size the kernel offers.
    pub huge_pages: Vec<HugePages>,
}

/// Space of one file system of the host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileSystem {
    /// Where it is mounted.
    pub mount_point: String,
    /// What is mounted.
    pub device: String,
    /// `ext4`, `nfs4`, …
    pub kind: String,
    /// Bytes in all and bytes free for users; absent while it does not answer (a server that is gone).
    pub space: Option<FileSystemSpace>,
}

/// Bytes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileSystemSpace {
    /// In all.
    pub size_bytes: u64,
    /// Free for users.
    pub available_bytes: u64,
}

/// One reading of the host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HostSample {
    /// When it was read.
    pub at: SampleTime,
    /// Processor time of all hardware threads together.
    pub cpu: CpuTimes,
    /// Processor time of each hardware thread.
    pub cores: Vec<CpuTimes>,
    /// Memory.
    pub memory: HostMemory,
    /// Load averages over 1, 5 and 15 minutes.
    pub load_average: [f64; 3],
    /// Pressure on the whole host.
    pub pressure: Pressure,
    /// Local file systems, and remote ones that answer or did once.
    pub file_systems: Vec<FileSystem>,
    /// Disks.
    pub disks: Vec<DiskCounters>,
    /// NICs.
    pub nics: Vec<NicCounters>,
}
