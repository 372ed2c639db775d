//! What readers get: the last samples of both tiers and the point computed from them, all from memory.

use super::{HostSample, HypervisorSample, KernelSample, SampleTime, UsagePoint};
use crate::model::Freshness;
use imbl::OrdMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Intervals without a new sample after which the old one is stale.
pub(crate) const STALE_INTERVALS: u32 = 3;

/// The latest of one running VM.
#[derive(Debug, Clone)]
pub struct VmReading {
    /// Which VM.
    pub vm_uuid: Uuid,
    /// Last sample of the kernel tier.
    pub kernel: Option<Arc<KernelSample>>,
    /// Last complete sample of the hypervisor tier; kept, and growing old, while the VM does not answer.
    pub hypervisor: Option<Arc<HypervisorSample>>,
    /// False where the VM did not answer the last sweep of the hypervisor tier; true until it was asked once.
    pub is_answering: bool,
    /// Usage, from the last samples of both.
    pub point: Option<Arc<UsagePoint>>,
}

impl VmReading {
    /// Time since the last sample of a tier.
    pub fn age(&self, tier: Tier, now: SampleTime) -> Option<Duration> {
        let at = match tier {
            Tier::Kernel => self.kernel.as_ref().map(|sample| sample.at),
            Tier::Hypervisor => self.hypervisor.as_ref().map(|sample| sample.at),
        };
        at.map(|at| now.since(at))
    }
}

/// The latest of the host.
#[derive(Debug, Clone)]
pub struct HostReading {
    /// Counters.
    pub sample: Arc<HostSample>,
    /// Usage.
    pub point: Arc<UsagePoint>,
}

/// One of the two ways to look at VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// The host's kernel.
    Kernel,
    /// libvirt, QEMU and the guest.
    Hypervisor,
}

impl Tier {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Kernel, Self::Hypervisor];

    /// The word in metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Hypervisor => "hypervisor",
        }
    }
}

/// How the last sweep of a tier over all VMs went.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sweep {
    /// When the last sweep that worked ended; absent before the first.
    pub end: Option<SampleTime>,
    /// How long it took.
    pub duration: Duration,
    /// Pause between sweeps now; grows with the number of VMs.
    pub interval: Duration,
    /// Sweeps that failed as a whole since the daemon started.
    pub failures: u64,
}

/// The latest of everything. Immutable; taking it costs one atomic load.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    /// The host; absent before its first sample.
    pub host: Option<HostReading>,
    /// Every running VM that was sampled.
    pub vms: OrdMap<Uuid, Arc<VmReading>>,
    /// The kernel tier.
    pub kernel: Sweep,
    /// The hypervisor tier.
    pub hypervisor: Sweep,
}

impl Readings {
    /// How far the figures of a VM can be trusted: stale where it did not answer the last sweep or a sample is older than three
    /// intervals, unavailable where it does not run or was never sampled.
    pub fn freshness(&self, vm_uuid: Uuid, now: SampleTime) -> Freshness {
        let Some(reading) = self.vms.get(&vm_uuid) else { return Freshness::Unavailable };
        let is_late = |tier: Tier| {
            let patience = self.sweep(tier).interval * STALE_INTERVALS;
            !patience.is_zero() && reading.age(tier, now).is_some_and(|age| age > patience)
        };
        let is_fresh = reading.is_answering && !Tier::ALL.into_iter().any(is_late);
        if is_fresh { Freshness::Fresh } else { Freshness::Stale }
    }

    /// The last point of a VM.
    pub fn vm_point(&self, vm_uuid: Uuid) -> Option<&Arc<UsagePoint>> {
        self.vms.get(&vm_uuid).and_then(|reading| reading.point.as_ref())
    }

    /// The last point of the host.
    pub fn host_point(&self) -> Option<&Arc<UsagePoint>> {
        self.host.as_ref().map(|host| &host.point)
    }

    /// How the last sweep of a tier went.
    pub fn sweep(&self, tier: Tier) -> Sweep {
        match tier {
            Tier::Kernel => self.kernel,
            Tier::Hypervisor => self.hypervisor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn at(seconds: u64) -> SampleTime {
        SampleTime { time: Timestamp::default(), elapsed: Duration::from_secs(seconds) }
    }

    fn readings(is_answering: bool, sampled_at: u64) -> Readings {
        let sample = KernelSample {
            vm_uuid: Uuid::nil(),
            at: at(sampled_at),
            process_id: 1,
            run_id: 1,
            cpu_time_nanoseconds: 0,
            vcpus: Vec::new(),
            memory_resident_bytes: 0,
            memory_swapped_bytes: None,
            disk_read_bytes: None,
            disk_write_bytes: None,
            pressure: crate::model::Pressure::default(),
            oom_kills: None,
            nics: Vec::new(),
        };
        let reading = VmReading { vm_uuid: Uuid::nil(), kernel: Some(Arc::new(sample)), hypervisor: None, is_answering, point: None };
        let kernel = Sweep { interval: Duration::from_secs(10), ..Sweep::default() };
        Readings { vms: OrdMap::unit(Uuid::nil(), Arc::new(reading)), kernel, ..Readings::default() }
    }

    #[test]
    fn a_vm_is_stale_where_it_does_not_answer_or_its_sample_is_older_than_three_intervals() {
        let of = |readings: Readings, now| readings.freshness(Uuid::nil(), at(now));
        assert_eq!(of(readings(true, 100), 130), Freshness::Fresh);
        assert_eq!(of(readings(true, 100), 131), Freshness::Stale);
        assert_eq!(of(readings(false, 100), 100), Freshness::Stale);
        assert_eq!(of(Readings::default(), 100), Freshness::Unavailable);
    }
}
