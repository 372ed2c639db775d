//! One domain of the fake world.

use super::Load;
use crate::model::{
    BootSource, DiskCounters, DomainMetadata, Firmware, HypervisorSample, KernelSample, MemorySample, NicCounters, ObservedDisk,
    ObservedNic, ObservedVm, PowerState, Pressure, SampleTime, StateReason, VcpuThread,
};
use crate::port::DomainSpec;
use uuid::Uuid;

/// What the QEMU of a fake domain says to the hypervisor tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FakeMonitor {
    /// Everything.
    Answers,
    /// Its monitor is busy: the sample is incomplete.
    Busy,
    /// Nothing: it is left out.
    Hangs,
}

/// One domain of the fake world.
#[derive(Debug, Clone)]
pub(super) struct Domain {
    /// What a reader of libvirt sees.
    pub(super) observed: ObservedVm,
    /// What it boots from, for the check that the files are there.
    pub(super) boot: BootSource,
    /// Serial console log; `None` before the first start.
    pub(super) console: Option<Vec<u8>>,
    /// When it was last started.
    pub(super) start: SampleTime,
    /// What its QEMU says to the hypervisor tier.
    pub(super) monitor: FakeMonitor,
    /// Counts starts and resets, so that a delayed guest action never hits a later run.
    pub(super) run: u64,
    /// Whether its guest acts on shutdown and reboot requests.
    pub(super) heeds_requests: bool,
    /// How busy its guest is; absent: steadily a fifth of each processor.
    pub(super) load: Option<Load>,
}

impl Domain {
    pub(super) fn new(spec: &DomainSpec, heeds_requests: bool) -> Self {
        let observed = ObservedVm {
            vm_uuid: spec.vm_uuid,
            domain_name: spec.domain_name.as_str().into(),
            power: PowerState::Off,
            reason: StateReason::Unknown,
            is_persistent: true,
            auto_start: spec.auto_start,
            cpu_cores: spec.cpu_cores,
            memory_bytes: spec.memory_bytes,
            architecture: spec.architecture.as_str().into(),
            firmware: spec.firmware,
            disks: disks_of(spec),
            nics: nics_of(spec),
            metadata: Some(Box::new(spec.metadata.clone())),
            metadata_is_broken: false,
        };
        Self {
            observed,
            boot: spec.boot.clone(),
            console: None,
            start: SampleTime::default(),
            monitor: FakeMonitor::Answers,
            run: 0,
            heeds_requests,
            load: None,
        }
    }

    /// Somebody else's domain.
    pub(super) fn foreign(observed: ObservedVm) -> Self {
        let is_on = is_on(observed.power);
        Self {
            observed,
            boot: BootSource::Disk,
            console: None,
            start: SampleTime::default(),
            monitor: FakeMonitor::Answers,
            run: u64::from(is_on),
            heeds_requests: true,
            load: None,
        }
    }

    /// Makes the definition exactly `spec`.
    pub(super) fn redefine(&mut self, spec: &DomainSpec) {
        let fresh = Self::new(spec, self.heeds_requests);
        let ObservedVm { power, reason, .. } = self.observed;
        self.observed = ObservedVm { power, reason, ..fresh.observed };
        self.boot = fresh.boot;
    }

    pub(super) fn describe(&mut self, spec: &DomainSpec) {
        self.observed.auto_start = spec.auto_start;
        self.observed.metadata = Some(Box::new(DomainMetadata::clone(&spec.metadata)));
        self.observed.metadata_is_broken = false;
    }

    pub(super) fn is_on(&self) -> bool {
        is_on(self.observed.power)
    }

    pub(super) fn set_power(&mut self, power: PowerState, reason: StateReason) {
        self.observed.power = power;
        self.observed.reason = reason;
        for (index, nic) in self.observed.nics.iter_mut().enumerate() {
            let [.., a, b, c] = nic.mac_address.0;
            nic.target_device = is_on(power).then(|| format!("vnet{index}{a:02x}{b:02x}{c:02x}").into());
        }
    }

    pub(super) fn start(&mut self, now: SampleTime) {
        self.run += 1;
        self.start = now;
        self.monitor = FakeMonitor::Answers;
        let name = &self.observed.domain_name;
        let boot = format!("[    0.000000] Simulated guest {name} boots (run {})\r\n{name} login: GUEST-READY\r\n", self.run);
        self.console.get_or_insert_default().extend_from_slice(boot.as_bytes());
        self.set_power(PowerState::Running, StateReason::Booted);
    }

    /// Files that must be there for it to start.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        let boot: Vec<&str> = match &self.boot {
            BootSource::Disk | BootSource::Iso { .. } => Vec::new(),
            BootSource::Kernel { kernel_path, initrd_path, .. } => {
                std::iter::once(kernel_path.as_str()).chain(initrd_path.as_deref()).collect()
            }
        };
        self.observed.disks.iter().map(|disk| disk.path.as_str()).filter(|path| !path.is_empty()).chain(boot)
    }

    /// Time since start, as the guest's work counts it.
    fn worked(&self, at: SampleTime) -> std::time::Duration {
        // On the steady clock: a wall clock that is set moves no counter.
        let uptime = at.since(self.start);
        self.load.map_or(uptime, |load| load.warp(uptime))
    }

    /// Bytes of memory that its guest does not use: two thirds, or what its load leaves.
    fn unused_bytes(&self, at: SampleTime) -> u64 {
        let memory = self.observed.memory_bytes;
        match self.load {
            None => memory / 3 * 2,
            // whole percent are enough
            Some(load) => memory / 100 * (90 - (load.level(at.since(self.start)) * 70.0) as u64),
        }
    }

    fn nic_counters(&self, seconds: u64) -> Vec<NicCounters> {
        let nics = self.observed.nics.iter().map(|nic| NicCounters {
            interface_name: nic.target_device.clone().unwrap_or_default(),
            mac_address: Some(nic.mac_address),
            receive_bytes: seconds * 3_000,
            send_bytes: seconds * 1_500,
            receive_packets: seconds * 4,
            send_packets: seconds * 2,
            receive_errors: 0,
            send_errors: 0,
            receive_drops: 0,
            send_drops: 0,
        });
        nics.collect()
    }

    /// What the host's kernel would say of its QEMU; `None` where it is off.
    pub(super) fn kernel_sample(&self, at: SampleTime) -> Option<KernelSample> {
        if !self.is_on() {
            return None;
        }
        let worked = self.worked(at);
        let per_cpu = u64::try_from(worked.as_nanos()).unwrap_or(u64::MAX) / 5;
        let cores = self.observed.cpu_cores;
        let run_id = u64::try_from(self.start.elapsed.as_nanos()).unwrap_or(u64::MAX);
        Some(KernelSample {
            vm_uuid: self.observed.vm_uuid,
            at,
            // no process of this host: nobody may take it for one
            process_id: u32::MAX,
            run_id,
            cpu_time_nanoseconds: per_cpu.saturating_mul(u64::from(cores)),
            vcpus: (0..cores).map(|index| VcpuThread { index, time_nanoseconds: per_cpu, delay_nanoseconds: per_cpu / 200 }).collect(),
            memory_resident_bytes: self.observed.memory_bytes - self.unused_bytes(at) / 2,
            memory_swapped_bytes: Some(0),
            disk_read_bytes: Some(worked.as_secs() * 40_960),
            disk_write_bytes: Some(worked.as_secs() * 20_480),
            pressure: Pressure::default(),
            oom_kills: None,
            nics: self.nic_counters(worked.as_secs()),
        })
    }

    /// Counters that grow with the time since start: a fifth of each processor busy, a third of the memory used.
    pub(super) fn sample(&self, at: SampleTime) -> Option<HypervisorSample> {
        let mut sample = self.full_sample(at);
        match self.monitor {
            FakeMonitor::Answers => {}
            FakeMonitor::Busy => {
                sample.is_complete = false;
                sample.memory = MemorySample::default();
                sample.disks.clear();
            }
            FakeMonitor::Hangs => return None,
        }
        Some(sample)
    }

    fn full_sample(&self, at: SampleTime) -> HypervisorSample {
        let worked = self.worked(at);
        let seconds = worked.as_secs();
        let cores = self.observed.cpu_cores;
        let memory = self.observed.memory_bytes;
        let disks = self.observed.disks.iter().filter(|disk| disk.kind == "disk").map(|disk| DiskCounters {
            device: disk.device.clone(),
            read_bytes: seconds * 40_960,
            write_bytes: seconds * 20_480,
            read_requests: seconds * 10,
            write_requests: seconds * 5,
            ..DiskCounters::default()
        });
        let cpu_time_nanoseconds = Some(u64::try_from(worked.as_nanos()).unwrap_or(u64::MAX) / 5 * u64::from(cores));
        HypervisorSample {
            vm_uuid: self.observed.vm_uuid,
            at,
            run_id: u64::try_from(self.start.elapsed.as_nanos()).unwrap_or(u64::MAX),
            is_complete: true,
            cpu_time_nanoseconds,
            cpu_user_nanoseconds: None,
            cpu_system_nanoseconds: None,
            cpu_cores: cores,
            cpu_cores_max: cores,
            vcpus: Vec::new(),
            memory: MemorySample {
                actual_bytes: Some(memory),
                maximum_bytes: Some(memory),
                available_bytes: Some(memory / 100 * 98),
                unused_bytes: Some(self.unused_bytes(at)),
                usable_bytes: Some(self.unused_bytes(at)),
                resident_bytes: Some(memory / 2),
                swap_in_bytes: Some(0),
                swap_out_bytes: Some(0),
                ..MemorySample::default()
            },
            disks: disks.collect(),
            nics: self.nic_counters(seconds),
        }
    }
}

pub(super) fn is_on(power: PowerState) -> bool {
    matches!(power, PowerState::Running | PowerState::Paused | PowerState::ShuttingDown)
}

fn disks_of(spec: &DomainSpec) -> Vec<ObservedDisk> {
    let disks = spec.disks.iter().map(|disk| ObservedDisk {
        device: disk.device.as_str().into(),
        bus: disk.bus.as_str().into(),
        kind: "disk".into(),
        path: disk.path.as_str().into(),
        format: disk.format.as_str().into(),
    });
    let disc = match &spec.boot {
        BootSource::Iso { path } => {
            Some(ObservedDisk { device: "sda".into(), bus: "sata".into(), kind: "cdrom".into(), path: path.into(), format: "raw".into() })
        }
        BootSource::Disk | BootSource::Kernel { .. } => None,
    };
    disks.chain(disc).collect()
}

fn nics_of(spec: &DomainSpec) -> Vec<ObservedNic> {
    let nics = spec.nics.iter().map(|nic| ObservedNic {
        mac_address: nic.mac_address,
        source: nic.source.as_str().into(),
        target_device: None,
        model: nic.model.as_str().into(),
    });
    nics.collect()
}

/// The fake's idea of a definition; only for people to look at.
pub(super) fn render(spec: &DomainSpec) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<domain type='simulated'>\n  <name>{}</name>\n  <uuid>{}</uuid>\n  <title>{}</title>\n  <vcpu>{}</vcpu>\n  <memory unit='b'>{}</memory>\n</domain>\n",
        escape(&spec.domain_name),
        spec.vm_uuid,
        escape(&spec.title),
        spec.cpu_cores,
        spec.memory_bytes,
    )
}

/// A domain as anybody may have made it: it runs, has one processor, 1 GiB, no disk, no NIC and nothing of ours.
pub fn plain_domain(vm_uuid: Uuid, domain_name: &str) -> ObservedVm {
    ObservedVm {
        vm_uuid,
        domain_name: domain_name.into(),
        power: PowerState::Running,
        reason: StateReason::Booted,
        is_persistent: true,
        auto_start: false,
        cpu_cores: 1,
        memory_bytes: 1 << 30,
        architecture: "x86_64".into(),
        firmware: Firmware::Bios,
        disks: Vec::new(),
        nics: Vec::new(),
        metadata: None,
        metadata_is_broken: false,
    }
}
