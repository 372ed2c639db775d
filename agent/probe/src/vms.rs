//! The kernel tier: counters of each VM from the files of its QEMU process, its control group and its taps.

use crate::cgroup::Hierarchies;
use crate::parse::{self, ProcessStat};
use crate::process::{self, DearMemory, Finder, Process};
use crate::read::{Buffer, Dir, Root};
use hvnode_core::model::{KernelSample, NicCounters, Pressure, SampleTime, VmTarget};
use nix::errno::Errno;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The dear part of memory is asked for in one of so many sweeps, another one for each VM.
const DEAR_SWEEPS: u64 = 8;

/// What is remembered from sweep to sweep. No file stays open.
#[derive(Debug, Default)]
pub(crate) struct VmReader {
    processes: HashMap<Uuid, Process>,
    finder: Finder,
    hierarchies: Hierarchies,
    buffer: Buffer,
    taps_buffer: Buffer,
}

/// What is the same for all VMs of a sweep.
struct Sweep<'a> {
    root: &'a Root,
    all: &'a Dir,
    hierarchies: &'a Hierarchies,
    taps: HashMap<&'a str, &'a str>,
    is_dear_memory_used: bool,
}

impl VmReader {
    /// Counters of those of `targets` that have a process. Absent where `/proc` itself cannot be read.
    pub(crate) fn read(&mut self, root: &Root, targets: &[VmTarget]) -> Option<Vec<KernelSample>> {
        let all = Dir::open(&root.path("proc"))?;
        self.forget_others(targets);
        let Self { processes, finder, hierarchies, buffer, taps_buffer } = self;
        let is_dear_memory_used = is_dear_memory_used(root, &all, buffer);
        let wanted: HashSet<&str> = targets.iter().flat_map(|target| &target.nics).map(|(name, _)| name.as_str()).collect();
        let text = if wanted.is_empty() { Ok(Default::default()) } else { all.read("net/dev", taps_buffer).map(String::from_utf8_lossy) };
        let text = text.unwrap_or_default();
        let taps = parse::interfaces(&text).filter(|(name, _)| wanted.contains(name)).collect();
        let mut sweep = Sweep { root, all: &all, hierarchies, taps, is_dear_memory_used };

        let mut samples = Vec::with_capacity(targets.len());
        let mut missing = Vec::new();
        for target in targets {
            match processes.get_mut(&target.vm_uuid).and_then(|process| sweep.read(process, target, buffer)) {
                Some(sample) => samples.push(sample),
                None => {
                    processes.remove(&target.vm_uuid);
                    missing.push(target);
                }
            }
        }
        let uuids: Vec<Uuid> = missing.iter().map(|target| target.vm_uuid).collect();
        let mut found = finder.find(root, &uuids, SampleTime::now().elapsed, buffer);
        if found.is_empty() {
            return Some(samples);
        }
        let now_mounted = process::hierarchies(root);
        sweep.hierarchies = &now_mounted;
        for target in missing {
            let Some(mut process) = found.remove(&target.vm_uuid) else { continue };
            if let Some(sample) = sweep.read(&mut process, target, buffer) {
                samples.push(sample);
                processes.insert(target.vm_uuid, process);
            }
        }
        *hierarchies = now_mounted;
        Some(samples)
    }

    fn forget_others(&mut self, targets: &[VmTarget]) {
        let targets: HashSet<Uuid> = targets.iter().map(|target| target.vm_uuid).collect();
        self.processes.retain(|vm_uuid, _| targets.contains(vm_uuid));
        self.finder.retain(&targets);
    }

    /// Scans of `/proc` so far.
    #[cfg(test)]
    pub(crate) fn scans(&self) -> u64 {
        self.finder.scans
    }
}

impl Sweep<'_> {
    /// One VM. Absent where its process is gone, or another one has its number now.
    fn read(&self, process: &mut Process, target: &VmTarget, buffer: &mut Buffer) -> Option<KernelSample> {
        let dir = self.all.open_in(&process.name)?;
        let at = SampleTime::now();
        let stat = parse::process_stat(dir.read_small("stat", buffer).ok()?)?;
        if stat.is_dead || stat.start_ticks != process.start_ticks {
            return None;
        }
        let vcpus = process.threads.read(|| self.root.path("proc").join(&process.name), &dir, stat.thread_count, buffer);
        let dear_memory = self.dear_memory(process, &dir, buffer);
        let (disk_read_bytes, disk_write_bytes) = disk_bytes(process, &dir, buffer).unzip();
        let (pressure, oom_kills) = self.group(process, &dir, buffer);
        process.sweeps += 1;
        Some(KernelSample {
            vm_uuid: target.vm_uuid,
            at,
            process_id: process.process_id,
            run_id: process.start_ticks,
            cpu_time_nanoseconds: cpu_time_nanoseconds(&stat),
            vcpus,
            memory_resident_bytes: resident_bytes(&stat).saturating_add(dear_memory.map_or(0, |memory| memory.huge_bytes)),
            memory_swapped_bytes: dear_memory.map(|memory| memory.swapped_bytes),
            disk_read_bytes,
            disk_write_bytes,
            pressure,
            oom_kills,
            nics: self.nics(target),
        })
    }

    /// Nothing where the host neither swaps nor has huge pages.
    fn dear_memory(&self, process: &mut Process, dir: &Dir, buffer: &mut Buffer) -> Option<DearMemory> {
        if !self.is_dear_memory_used {
            process.dear_memory = None;
            return Some(DearMemory::default());
        }
        let is_turn = (process.sweeps + u64::from(process.process_id)).is_multiple_of(DEAR_SWEEPS);
        if process.dear_memory.is_none() || is_turn {
            process.dear_memory = dir.text("status", buffer).and_then(|text| {
                let swapped_bytes = parse::keyed_kib(&text, "VmSwap")?;
                Some(DearMemory { swapped_bytes, huge_bytes: parse::keyed_kib(&text, "HugetlbPages").unwrap_or(0) })
            });
        }
        process.dear_memory
    }

    fn group(&self, process: &mut Process, dir: &Dir, buffer: &mut Buffer) -> (Pressure, Option<u64>) {
        // libvirt moves a new QEMU into its group only after it began: it is asked again until it is there
        if process.group.is_none() {
            process.group = dir.text("cgroup", buffer).and_then(|text| self.hierarchies.group(self.root, &text));
        }
        let read = process.group.as_ref().and_then(|group| group.read(buffer));
        if read.is_none() {
            process.group = None;
        }
        read.unwrap_or_default()
    }

    fn nics(&self, target: &VmTarget) -> Vec<NicCounters> {
        let nics = target.nics.iter().filter_map(|(name, mac_address)| {
            let counters = parse::interface(name, self.taps.get(name.as_str())?)?;
            let counters = NicCounters { mac_address: Some(*mac_address), ..counters };
            Some(if self.is_tap(name) { from_the_other_end(counters) } else { counters })
        });
        nics.collect()
    }

    /// A tap is a wire to the guest, so that what the host receives the guest has sent. A macvtap shares the host's view.
    fn is_tap(&self, name: &str) -> bool {
        name.starts_with("vnet") || self.root.path("sys/class/net").join(name).join("tun_flags").exists()
    }
}

fn from_the_other_end(nic: NicCounters) -> NicCounters {
    NicCounters {
        receive_bytes: nic.send_bytes,
        send_bytes: nic.receive_bytes,
        receive_packets: nic.send_packets,
        send_packets: nic.receive_packets,
        receive_errors: nic.send_errors,
        send_errors: nic.receive_errors,
        receive_drops: nic.send_drops,
        send_drops: nic.receive_drops,
        ..nic
    }
}

fn disk_bytes(process: &mut Process, dir: &Dir, buffer: &mut Buffer) -> Option<(u64, u64)> {
    if process.is_io_denied {
        return None;
    }
    match dir.read_small("io", buffer) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            Some((parse::keyed(&text, "read_bytes")?, parse::keyed(&text, "write_bytes")?))
        }
        Err(error) => {
            process.is_io_denied = matches!(error, Errno::EACCES | Errno::EPERM);
            None
        }
    }
}

fn cpu_time_nanoseconds(stat: &ProcessStat) -> u64 {
    stat.cpu_ticks.saturating_mul(1_000_000_000 / procfs::ticks_per_second().max(1))
}

fn resident_bytes(stat: &ProcessStat) -> u64 {
    stat.resident_pages.saturating_mul(procfs::page_size())
}

/// True where anything is swapped out or any huge page exists, or where that cannot be told.
fn is_dear_memory_used(root: &Root, all: &Dir, buffer: &mut Buffer) -> bool {
    let is_swap_used = all.read("swaps", buffer).map_or(true, |text| parse::is_swap_used(&String::from_utf8_lossy(text)));
    is_swap_used || crate::host::huge_pages(root).iter().any(|pages| pages.total_pages > 0)
}

#[cfg(test)]
#[path = "vms_tests.rs"]
mod tests;
