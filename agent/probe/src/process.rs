//! Which process is the QEMU of a VM: remembered, proved anew by its start time, and looked for in `/proc` only when it must be.

use crate::cgroup::{Group, Hierarchies};
use crate::mounts;
use crate::parse;
use crate::read::{Buffer, Dir, Root};
use crate::threads::Threads;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use uuid::Uuid;

/// Pause before a VM without a process is looked for again: the first, and the longest after doubling.
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(120);

/// What is known of the QEMU of one VM.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) process_id: u32,
    /// The same as the name of its directory.
    pub(crate) name: String,
    pub(crate) start_ticks: u64,
    pub(crate) threads: Threads,
    pub(crate) group: Option<Group>,
    /// The kernel does not let this daemon read what the process reads and writes.
    pub(crate) is_io_denied: bool,
    /// Memory that is dear to ask for: swapped out, in huge pages. As of the sweep that last asked.
    pub(crate) dear_memory: Option<DearMemory>,
    /// Sweeps since the process was found.
    pub(crate) sweeps: u64,
}

/// Memory of a process that only its `status` tells, which costs more than all the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct DearMemory {
    pub(crate) swapped_bytes: u64,
    pub(crate) huge_bytes: u64,
}

impl Process {
    pub(crate) fn new(process_id: u32, start_ticks: u64) -> Self {
        Self {
            process_id,
            name: process_id.to_string(),
            start_ticks,
            threads: Threads::default(),
            group: None,
            is_io_denied: false,
            dear_memory: None,
            sweeps: 0,
        }
    }
}

/// Finds processes, with patience for VMs that have none.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    absent: HashMap<Uuid, Pause>,
    /// Scans of `/proc` so far.
    pub(crate) scans: u64,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    length: Duration,
    end: Duration,
}

impl Finder {
    /// Forgets VMs that are no longer asked for.
    pub(crate) fn retain(&mut self, targets: &HashSet<Uuid>) {
        self.absent.retain(|vm_uuid, _| targets.contains(vm_uuid));
    }

    /// Looks for the processes of `missing`, in one pass over `/proc`, unless all of them were looked for in vain a short while ago.
    pub(crate) fn find(&mut self, root: &Root, missing: &[Uuid], now: Duration, buffer: &mut Buffer) -> HashMap<Uuid, Process> {
        let is_due = |vm_uuid: &Uuid| self.absent.get(vm_uuid).is_none_or(|pause| pause.end <= now);
        if !missing.iter().any(is_due) {
            return HashMap::new();
        }
        self.scans += 1;
        let wanted: HashSet<Uuid> = missing.iter().copied().collect();
        let found = scan(root, &wanted, buffer);
        for vm_uuid in missing {
            if found.contains_key(vm_uuid) {
                self.absent.remove(vm_uuid);
                continue;
            }
            // a scan for another VM's sake does not lengthen the pause of this one
            let pause = self.absent.entry(*vm_uuid).or_insert(Pause { length: PAUSE_MIN / 2, end: now });
            if pause.end <= now {
                pause.length = (pause.length * 2).min(PAUSE_MAX);
                pause.end = now + pause.length;
            }
        }
        found
    }
}

/// One pass over all processes. Of several with the same UUID the oldest is taken, so that a later one cannot take its place.
fn scan(root: &Root, wanted: &HashSet<Uuid>, buffer: &mut Buffer) -> HashMap<Uuid, Process> {
    let mut found: HashMap<Uuid, Process> = HashMap::new();
    let Ok(entries) = std::fs::read_dir(root.path("proc")) else { return found };
    let Some(all) = Dir::open(&root.path("proc")) else { return found };
    for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let Ok(process_id) = name.parse::<u32>() else { continue };
        let Some((vm_uuid, start_ticks)) = all.open_in(&name).and_then(|dir| qemu(&dir, buffer)) else { continue };
        let is_older = found.get(&vm_uuid).is_none_or(|other| (start_ticks, process_id) < (other.start_ticks, other.process_id));
        if is_older && wanted.contains(&vm_uuid) {
            found.insert(vm_uuid, Process::new(process_id, start_ticks));
        }
    }
    found
}

/// The VM and the start time of a process, if it is a QEMU.
fn qemu(dir: &Dir, buffer: &mut Buffer) -> Option<(Uuid, u64)> {
    let comm = dir.text("comm", buffer)?;
    if !comm.contains("qemu") && !comm.contains("kvm") {
        return None;
    }
    let vm_uuid = parse::uuid_argument(dir.read("cmdline", buffer).ok()?)?;
    let stat = parse::process_stat(dir.read_small("stat", buffer).ok()?)?;
    (!stat.is_dead).then_some((vm_uuid, stat.start_ticks))
}

/// Where the control groups are mounted now.
pub(crate) fn hierarchies(root: &Root) -> Hierarchies {
    Hierarchies::new(&mounts::parse(&root.read("proc/self/mountinfo").unwrap_or_default()))
}
