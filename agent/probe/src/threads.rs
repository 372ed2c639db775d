//! The threads of a QEMU that run its virtual processors, found by the names QEMU gives them and remembered.

use crate::parse;
use crate::read::{Buffer, Dir};
use hvnode_core::model::VcpuThread;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Even where nothing seems to have changed the threads are listed again after so many sweeps: one may have come as another went.
const SWEEPS_MAX: u32 = 32;

/// Which threads of one process are virtual processors.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    vcpus: Vec<Vcpu>,
    /// Threads that do something else.
    others: HashSet<u32>,
    /// Threads that the process had when they were listed.
    count: u64,
    /// Sweeps since then; absent before the first list.
    sweeps: Option<u32>,
}

#[derive(Debug)]
struct Vcpu {
    index: u32,
    thread_id: u32,
    /// Its file below the directory of the process.
    schedstat: String,
}

impl Threads {
    /// The counters of each virtual processor, in order. `path` and `dir` are those of the process, `count` is the number of threads it has
    /// now.
    pub(crate) fn read(&mut self, path: impl FnOnce() -> PathBuf, dir: &Dir, count: u64, buffer: &mut Buffer) -> Vec<VcpuThread> {
        if count != self.count || self.sweeps.is_none_or(|sweeps| sweeps >= SWEEPS_MAX) {
            self.list(&path(), dir, count, buffer);
        }
        self.sweeps = self.sweeps.map(|sweeps| sweeps + 1);
        let mut is_whole = true;
        let mut counters = Vec::with_capacity(self.vcpus.len());
        for vcpu in &self.vcpus {
            let Some(text) = dir.text(&vcpu.schedstat, buffer) else {
                is_whole = false;
                continue;
            };
            if let Some((time_nanoseconds, delay_nanoseconds)) = parse::schedstat(&text) {
                counters.push(VcpuThread { index: vcpu.index, time_nanoseconds, delay_nanoseconds });
            }
        }
        if !is_whole {
            // listed anew in the next sweep
            self.sweeps = None;
        }
        counters
    }

    fn list(&mut self, path: &Path, dir: &Dir, count: u64, buffer: &mut Buffer) {
        let Ok(entries) = std::fs::read_dir(path.join("task")) else { return };
        let process_name = dir.text("comm", buffer).unwrap_or_default().into_owned();
        let known = std::mem::take(&mut self.vcpus);
        let is_vcpu = |thread_id: u32| known.iter().any(|vcpu| vcpu.thread_id == thread_id);
        let others = std::mem::take(&mut self.others);
        for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            let Ok(thread_id) = name.parse::<u32>() else { continue };
            if others.contains(&thread_id) && !is_vcpu(thread_id) {
                self.others.insert(thread_id);
                continue;
            }
            let Some(comm) = dir.text(&format!("task/{thread_id}/comm"), buffer) else { continue };
            match parse::vcpu_index(comm.trim_end()) {
                Some(index) => self.vcpus.push(Vcpu { index, thread_id, schedstat: format!("task/{thread_id}/schedstat") }),
                // a thread bears the name of its process until it gives itself its own: not decided yet
                None if comm == process_name => {}
                None => drop(self.others.insert(thread_id)),
            }
        }
        self.vcpus.sort_unstable_by_key(|vcpu| (vcpu.index, vcpu.thread_id));
        self.vcpus.dedup_by_key(|vcpu| vcpu.index);
        (self.count, self.sweeps) = (count, Some(0));
    }
}
