//! What the kernel tells of a process, and where processes run.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use std::io;
use std::time::Duration;

/// Memory of a process in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) resident: f64,
    /// Only this process has it, pages of its program that can be read from the file again included.
    pub(crate) private: f64,
    /// Of that, what is in no file: heap, stacks, tables. (What the kernel calls private and dirty has file pages not yet written back.)
    pub(crate) anonymous: f64,
}

fn read(pid: u32, file: &str) -> io::Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{file}"))
}

/// A line `Name:   12 kB` as a number.
fn figure(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

pub(crate) fn memory(pid: u32) -> io::Result<Memory> {
    let text = read(pid, "smaps_rollup")?;
    let private = figure(&text, "Private_Clean") + figure(&text, "Private_Dirty");
    Ok(Memory { resident: figure(&text, "Rss"), private, anonymous: figure(&text, "Anonymous") })
}

/// Most memory it ever had resident, in KiB.
pub(crate) fn peak_memory(pid: u32) -> io::Result<f64> {
    Ok(figure(&read(pid, "status")?, "VmHWM"))
}

pub(crate) fn thread_count(pid: u32) -> io::Result<f64> {
    Ok(figure(&read(pid, "status")?, "Threads"))
}

pub(crate) fn descriptor_count(pid: u32) -> io::Result<f64> {
    Ok(f64::from(u32::try_from(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count()).unwrap_or(u32::MAX)))
}

/// Processor time of a process so far, all threads that live.
pub(crate) fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        sum += text.split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
}

/// The machine's processors, split between servers and those who load them.
#[derive(Debug, Clone)]
pub(crate) struct Split {
    pub(crate) server: Vec<usize>,
    pub(crate) load: Vec<usize>,
}

impl Split {
    pub(crate) fn of_this_machine() -> Self {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let half = count / 2;
        if half == 0 {
            Self { server: vec![0], load: vec![0] }
        } else {
            Self { server: (0..half).collect(), load: (half..count).collect() }
        }
    }

    /// For `taskset -c`.
    pub(crate) fn server_list(&self) -> String {
        self.server.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
    }

    /// Threads that hvnoded takes there; the floor gets as many.
    pub(crate) fn server_threads(&self) -> usize {
        self.server.len().clamp(2, 4)
    }
}

/// Keeps the calling thread on these processors.
pub(crate) fn pin_this_thread(processors: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for processor in processors {
        set.set(*processor)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set)?;
    Ok(())
}
