//! A host whose counters grow with the clock.

use super::{FakeNode, Faults, Load, NodeOptions};
use crate::Result;
use crate::model::{CpuTimes, DiskCounters, HostFacts, HostMemory, HostSample, KernelSample, NicCounters, SampleTime, Timestamp, VmTarget};
use crate::port::{Clock, HostProbe};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// What the kernel tier is to say of a VM at a time; `None` where it has no process.
type Script = Arc<dyn Fn(&VmTarget, SampleTime) -> Option<KernelSample> + Send + Sync>;

/// A host whose counters grow with the clock: a quarter of its processors busy, three quarters of its memory free.
pub struct FakeProbe {
    clock: Arc<dyn Clock>,
    faults: Faults,
    boot_time: Timestamp,
    cpu_threads: u32,
    memory_bytes: u64,
    script: Mutex<Option<Script>>,
    load: Option<Load>,
}

impl std::fmt::Debug for FakeProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeProbe").field("boot_time", &self.boot_time).finish_non_exhaustive()
    }
}

impl FakeProbe {
    /// A host of the size that `options` say, booted an hour before now.
    pub fn new(options: &NodeOptions, clock: Arc<dyn Clock>, faults: Faults) -> Self {
        let boot_time = Timestamp(clock.now().0.saturating_sub(Timestamp::default().plus(Duration::from_secs(3600)).0));
        Self {
            clock,
            faults,
            boot_time,
            cpu_threads: options.cpu_threads,
            memory_bytes: options.memory_bytes,
            script: Mutex::new(None),
            load: None,
        }
    }

    /// What the kernel tier says of VMs from now on. Without a script no VM has a process. It may block.
    pub fn set_script(&self, script: impl Fn(&VmTarget, SampleTime) -> Option<KernelSample> + Send + Sync + 'static) {
        *self.script.lock() = Some(Arc::new(script));
    }

    /// The host of this world: its VMs have processes, and it is as busy as `load` says.
    pub fn of(node: &FakeNode, load: Load) -> Self {
        let mut probe = Self::new(&node.options, node.clock.clone(), Faults::new());
        probe.load = Some(load);
        let world = node.clone();
        probe.set_script(move |target, at| world.state.lock().domains.get(&target.vm_uuid).and_then(|domain| domain.kernel_sample(at)));
        probe
    }

    /// The same host, booted at another time.
    #[must_use]
    pub fn booted_at(self, boot_time: Timestamp) -> Self {
        Self { boot_time, ..self }
    }
}

impl HostProbe for FakeProbe {
    fn facts(&self) -> Result<HostFacts> {
        self.faults.enter_blocking("facts")?;
        Ok(HostFacts {
            host_name: "simulated".into(),
            ip_address: "127.0.0.1".into(),
            kernel_version: "0.0.0-simulated".into(),
            boot_time: self.boot_time,
            memory_bytes: self.memory_bytes,
        })
    }

    fn sample(&self) -> Result<HostSample> {
        self.faults.enter_blocking("sample")?;
        let at = self.clock.sample_time();
        // On the steady clock: a wall clock that is set moves no counter.
        let uptime = at.elapsed + Duration::from_secs(3600);
        let worked = self.load.map_or(uptime, |load| load.warp(uptime));
        let seconds = worked.as_secs();
        let all = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).saturating_mul(u64::from(self.cpu_threads));
        let total = all(uptime);
        let busy = if self.load.is_some() { (all(worked) / 5).min(total) } else { total / 4 };
        // a tenth of the memory for the host, more with its load
        let available = self.load.map_or(75, |load| 90 - (load.level(uptime) * 60.0) as u64);
        Ok(HostSample {
            at,
            cpu: CpuTimes { user_nanoseconds: busy, idle_nanoseconds: total - busy, ..CpuTimes::default() },
            memory: HostMemory {
                total_bytes: self.memory_bytes,
                available_bytes: self.memory_bytes / 100 * available,
                free_bytes: self.memory_bytes / 2,
                ..HostMemory::default()
            },
            load_average: [f64::from(self.cpu_threads) / 4.0; 3],
            disks: vec![DiskCounters {
                device: "sda".into(),
                read_bytes: seconds * 65_536,
                write_bytes: seconds * 131_072,
                read_requests: seconds * 16,
                write_requests: seconds * 32,
                ..DiskCounters::default()
            }],
            nics: vec![NicCounters {
                interface_name: "eth0".into(),
                mac_address: None,
                receive_bytes: seconds * 15_000,
                send_bytes: seconds * 30_000,
                receive_packets: seconds * 10,
                send_packets: seconds * 20,
                receive_errors: 0,
                send_errors: 0,
                receive_drops: 0,
                send_drops: 0,
            }],
            ..HostSample::default()
        })
    }

    fn sample_vms(&self, targets: &[VmTarget]) -> Result<Vec<KernelSample>> {
        self.faults.enter_blocking("sample_vms")?;
        let (script, at) = (self.script.lock().clone(), self.clock.sample_time());
        Ok(script.map_or_else(Vec::new, |script| targets.iter().filter_map(|target| script(target, at)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fail;
    use crate::fake::{Fault, ManualClock};

    #[test]
    fn counters_grow_with_the_clock_and_faults_reach_the_probe() {
        let clock = ManualClock::default();
        let faults = Faults::new();
        let probe = FakeProbe::new(&NodeOptions::default(), Arc::new(clock.clone()), faults.clone());
        let first = probe.sample().unwrap();
        clock.advance(Duration::from_secs(10));
        let second = probe.sample().unwrap();
        let busy = second.cpu.busy_nanoseconds() - first.cpu.busy_nanoseconds();
        assert_eq!(busy * 4, second.cpu.total_nanoseconds() - first.cpu.total_nanoseconds());
        assert!(probe.facts().unwrap().boot_time < first.at.time);
        faults.on("sample", 1, Fault::FailBefore(fail!(Internal)));
        assert!(probe.sample().is_err());
    }
}
