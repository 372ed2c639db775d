//! The VMs that are on, their last samples, and what readers are shown of them. Pure but for the clocks' readings it is given.

use super::usage::{self, HypervisorRates, KernelRates, Known};
use crate::model::{
    HostReading, HostSample, HypervisorSample, KernelSample, NicCounters, ObservedVm, PowerState, Readings, STALE_INTERVALS, SampleTime,
    Snapshot, Tier, UsagePoint, VmMap, VmReading, VmTarget,
};
use imbl::ordmap::DiffItem;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Samples closer than this give no useful rate: the later one is left out.
const SPAN_MIN: Duration = Duration::from_millis(500);
/// How often a VM that has no rates yet is asked outside of the whole sweeps. One that does not answer costs no more than that.
const EARLY_TRIES_MAX: u8 = 3;

/// How long what each tier said is true.
#[derive(Debug, Clone, Copy)]
pub(super) struct Freshness {
    /// Kernel tier.
    pub(super) kernel: Duration,
    /// Hypervisor tier.
    pub(super) hypervisor: Duration,
}

impl Freshness {
    /// For tiers that look this often.
    pub(super) fn of(kernel_interval: Duration, hypervisor_interval: Duration) -> Self {
        Self { kernel: kernel_interval * STALE_INTERVALS, hypervisor: hypervisor_interval * STALE_INTERVALS }
    }
}

/// A point for the history of a VM.
pub(super) type NewPoint = (Uuid, SampleTime, Arc<UsagePoint>);

/// One VM that is on.
#[derive(Debug)]
struct LiveVm {
    observed: Arc<ObservedVm>,
    /// Its run began no later: samples from before are of another run.
    since: SampleTime,
    kernel: Option<Arc<KernelSample>>,
    kernel_rates: Option<KernelRates>,
    hypervisor: Option<Arc<HypervisorSample>>,
    hypervisor_rates: Option<HypervisorRates>,
    is_answering: bool,
    /// By tier: how often it was asked while it had no rates.
    tries: [u8; 2],
}

impl LiveVm {
    fn new(observed: Arc<ObservedVm>, since: SampleTime) -> Self {
        Self {
            observed,
            since,
            kernel: None,
            kernel_rates: None,
            hypervisor: None,
            hypervisor_rates: None,
            is_answering: true,
            tries: [0; 2],
        }
    }

    fn has_rates(&self, tier: Tier) -> bool {
        match tier {
            Tier::Kernel => self.kernel_rates.is_some(),
            Tier::Hypervisor => self.hypervisor_rates.is_some(),
        }
    }

    fn is_wanted_early(&self, tier: Tier) -> bool {
        !self.has_rates(tier) && self.tries[tier as usize] < EARLY_TRIES_MAX
    }

    /// Address of a NIC, by the definition where the source does not tell.
    fn name_nics(&self, nics: &mut [NicCounters]) {
        for nic in nics.iter_mut().filter(|nic| nic.mac_address.is_none()) {
            let defined = self.observed.nics.iter().find(|o| o.target_device.as_deref() == Some(&nic.interface_name));
            nic.mac_address = defined.map(|defined| defined.mac_address);
        }
    }

    fn take_kernel(&mut self, mut sample: KernelSample) -> bool {
        if sample.at.elapsed < self.since.elapsed {
            return false;
        }
        self.name_nics(&mut sample.nics);
        // Kept until the next one; collected from an unknown number they have room for four.
        sample.vcpus.shrink_to_fit();
        sample.nics.shrink_to_fit();
        if let Some(before) = self.kernel.take() {
            let is_same_run = (before.run_id, before.process_id) == (sample.run_id, sample.process_id);
            if is_same_run && sample.at.since(before.at) < SPAN_MIN {
                self.kernel = Some(before);
                return false;
            }
            if !is_same_run {
                // What the hypervisor tier said, and may be saying right now, is of the former run.
                *self = Self::new(self.observed.clone(), sample.at);
            }
            self.kernel_rates = usage::kernel_rates(&before, &sample, self.observed.cpu_cores);
        }
        self.kernel = Some(Arc::new(sample));
        true
    }

    fn take_hypervisor(&mut self, mut sample: HypervisorSample) -> bool {
        if sample.at.elapsed < self.since.elapsed {
            return false;
        }
        self.name_nics(&mut sample.nics);
        sample.vcpus.shrink_to_fit();
        sample.disks.shrink_to_fit();
        sample.nics.shrink_to_fit();
        if let Some(before) = self.hypervisor.take() {
            let is_same_run = before.run_id == sample.run_id;
            if is_same_run && sample.at.since(before.at) < SPAN_MIN {
                self.hypervisor = Some(before);
                return false;
            }
            if !is_same_run {
                // The kernel tier has not seen the new run yet, or it would have said so first.
                *self = Self::new(self.observed.clone(), sample.at);
            }
            self.hypervisor_rates = usage::hypervisor_rates(&before, &sample);
        }
        self.hypervisor = Some(Arc::new(sample));
        true
    }

    /// A point of what is known; `None` without any fresh sample. At the time of the kernel tier's sample, where that is fresh.
    fn point(&self, now: SampleTime, fresh: Freshness) -> Option<(SampleTime, UsagePoint)> {
        let kernel = self.kernel.as_deref().filter(|sample| now.since(sample.at) <= fresh.kernel);
        let hypervisor = self.hypervisor.as_deref();
        let at = kernel.map(|sample| sample.at).or_else(|| hypervisor.map(|sample| sample.at))?;
        let known = Known {
            at,
            kernel: kernel.map(|sample| (sample, self.kernel_rates.as_ref())),
            hypervisor: hypervisor.map(|sample| (sample, self.hypervisor_rates.as_ref())),
            stale_after: fresh.hypervisor,
            memory_bytes: Some(self.observed.memory_bytes),
        };
        Some((at, usage::of_vm(&known)))
    }

    fn reading(&self, point: Option<Arc<UsagePoint>>) -> Arc<VmReading> {
        Arc::new(VmReading {
            vm_uuid: self.observed.vm_uuid,
            kernel: self.kernel.clone(),
            hypervisor: self.hypervisor.clone(),
            is_answering: self.is_answering,
            point,
        })
    }
}

/// The host and every VM that is on.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Boxed, for a table has room for up to twice what is in it.
    vms: HashMap<Uuid, Box<LiveVm>>,
    host: Option<Arc<HostSample>>,
    host_has_rates: bool,
    /// The VMs as they were when they were last looked at: what both share is not looked at again.
    seen: VmMap,
}

fn is_on(power: PowerState) -> bool {
    matches!(power, PowerState::Running | PowerState::Paused | PowerState::ShuttingDown)
}

impl Live {
    /// Takes over which VMs are on; those that are not any more go from `readings` too. True if there is a new one.
    pub(super) fn follow(&mut self, snapshot: &Snapshot, now: SampleTime, readings: &mut Readings) -> bool {
        let before = std::mem::replace(&mut self.seen, snapshot.vms.clone());
        let mut has_new = false;
        for difference in before.diff(&snapshot.vms) {
            let (vm_uuid, vm) = match difference {
                DiffItem::Add(vm_uuid, vm) | DiffItem::Update { new: (vm_uuid, vm), .. } => (vm_uuid, Some(vm)),
                DiffItem::Remove(vm_uuid, _) => (vm_uuid, None),
            };
            if let Some(observed) = vm.and_then(|vm| vm.observed.as_ref()).filter(|observed| is_on(observed.power)) {
                let vm = self.vms.entry(*vm_uuid).or_insert_with(|| {
                    has_new = true;
                    Box::new(LiveVm::new(observed.clone(), now))
                });
                vm.observed = observed.clone();
            } else if self.vms.remove(vm_uuid).is_some() {
                readings.vms.remove(vm_uuid);
            }
        }
        has_new
    }

    /// VMs to be asked: all, or those that have no rates yet.
    pub(super) fn wanted(&self, tier: Tier, is_whole: bool) -> Vec<VmTarget> {
        let wanted = self.vms.values().filter(|vm| is_whole || vm.is_wanted_early(tier));
        let target = |vm: &LiveVm| {
            let nics = vm.observed.nics.iter().filter_map(|nic| Some((nic.target_device.clone()?, nic.mac_address))).collect();
            VmTarget { vm_uuid: vm.observed.vm_uuid, nics }
        };
        wanted.map(|vm| target(vm)).collect()
    }

    /// True if something should be asked again soon.
    pub(super) fn wants_early(&self, tier: Tier) -> bool {
        tier == Tier::Kernel && !self.host_has_rates || self.vms.values().any(|vm| vm.is_wanted_early(tier))
    }

    /// True if the host has no rates yet.
    pub(super) fn wants_host(&self) -> bool {
        !self.host_has_rates
    }

    /// Takes a sample of the host.
    pub(super) fn take_host(&mut self, sample: HostSample, readings: &mut Readings) -> Option<NewPoint> {
        if self.host.as_ref().is_some_and(|before| sample.at.since(before.at) < SPAN_MIN) {
            return None;
        }
        let point = Arc::new(usage::of_host(self.host.as_deref(), &sample));
        let sample = Arc::new(sample);
        self.host_has_rates = self.host.replace(sample.clone()).is_some();
        let at = sample.at;
        readings.host = Some(HostReading { sample, point: point.clone() });
        Some((super::HOST, at, point))
    }

    /// Takes what the kernel tier said of those that were asked.
    pub(super) fn take_kernel(
        &mut self,
        asked: &[VmTarget],
        samples: Vec<KernelSample>,
        fresh: Freshness,
        readings: &mut Readings,
    ) -> Vec<NewPoint> {
        let seen: HashSet<Uuid> = samples.iter().map(|sample| sample.vm_uuid).collect();
        for uuid in asked.iter().map(|target| target.vm_uuid) {
            let Some(vm) = self.vms.get_mut(&uuid) else { continue };
            vm.tries[Tier::Kernel as usize] = vm.tries[Tier::Kernel as usize].saturating_add(1);
            if !seen.contains(&uuid) && vm.kernel.is_some() {
                // Its process is gone, whatever libvirt still says; nothing that was read of it is true any more.
                **vm = LiveVm::new(vm.observed.clone(), vm.since);
                readings.vms.remove(&uuid);
            }
        }
        let mut points = Vec::with_capacity(samples.len());
        for sample in samples {
            let (vm_uuid, at) = (sample.vm_uuid, sample.at);
            let Some(vm) = self.vms.get_mut(&vm_uuid).filter(|_| seen.contains(&vm_uuid)) else { continue };
            if vm.take_kernel(sample) {
                points.extend(show(vm, at, fresh, readings));
            }
        }
        points
    }

    /// True if a few of the VMs that answered until now did not: the sweep waited for them, and the next one will not. Where most fall
    /// silent at once, it is the host that is slow.
    pub(super) fn is_held_up(&self, asked: &[Uuid], samples: &[HypervisorSample]) -> bool {
        let answered: HashSet<Uuid> = samples.iter().filter(|sample| sample.is_complete).map(|sample| sample.vm_uuid).collect();
        let is_silent = |uuid: &&Uuid| !answered.contains(*uuid) && self.vms.get(*uuid).is_some_and(|vm| vm.is_answering);
        let silent = asked.iter().filter(is_silent).count();
        silent > 0 && silent * 2 <= asked.len()
    }

    /// Takes what the hypervisor tier said of those that were asked. Gives points of VMs that the kernel tier does not see.
    pub(super) fn take_hypervisor(
        &mut self,
        asked: &[Uuid],
        samples: Vec<HypervisorSample>,
        now: SampleTime,
        fresh: Freshness,
        readings: &mut Readings,
    ) -> Vec<NewPoint> {
        let mut answers: HashMap<Uuid, HypervisorSample> =
            samples.into_iter().filter(|sample| sample.is_complete).map(|sample| (sample.vm_uuid, sample)).collect();
        let mut points = Vec::new();
        for uuid in asked {
            let Some(vm) = self.vms.get_mut(uuid) else { continue };
            vm.tries[Tier::Hypervisor as usize] = vm.tries[Tier::Hypervisor as usize].saturating_add(1);
            let answer = answers.remove(uuid);
            let is_answering = answer.is_some();
            let is_new = answer.is_some_and(|sample| vm.take_hypervisor(sample));
            vm.is_answering = is_answering;
            if is_new {
                let point = show(vm, now, fresh, readings);
                let is_by_kernel = vm.kernel.as_ref().is_some_and(|kernel| point.as_ref().is_some_and(|(_, at, _)| kernel.at == *at));
                points.extend(point.filter(|_| !is_by_kernel));
            } else {
                let point = readings.vms.get(uuid).and_then(|reading| reading.point.clone());
                readings.vms.insert(*uuid, vm.reading(point));
            }
        }
        points
    }
}

/// Puts what is known of a VM where readers find it.
fn show(vm: &LiveVm, now: SampleTime, fresh: Freshness, readings: &mut Readings) -> Option<NewPoint> {
    let point = vm.point(now, fresh).map(|(at, point)| (vm.observed.vm_uuid, at, Arc::new(point)));
    readings.vms.insert(vm.observed.vm_uuid, vm.reading(point.as_ref().map(|(_, _, point)| point.clone())));
    point
}
