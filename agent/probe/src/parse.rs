//! The formats of the kernel's files, without reading any. Text that is not as expected gives nothing, and never a panic.

use hvnode_core::model::{CpuTimes, DiskCounters, NicCounters, Stall};
use uuid::Uuid;

/// Bytes of a sector in `/proc/diskstats`, whatever the disk's own sector size.
const SECTOR_BYTES: u64 = 512;
const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;
/// More hardware threads than any machine has: a bound on what a line may ask for.
const CORES_MAX: usize = 1 << 16;
const KIB: u64 = 1024;

/// `/proc/<pid>/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    pub(crate) is_dead: bool,
    pub(crate) cpu_ticks: u64,
    pub(crate) thread_count: u64,
    pub(crate) start_ticks: u64,
    pub(crate) resident_pages: u64,
}

/// The second field is the program's name in parentheses, which may hold anything: blanks, parentheses, bytes that are no text.
pub(crate) fn process_stat(bytes: &[u8]) -> Option<ProcessStat> {
    let end = bytes.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(&bytes[end + 1..]).ok()?.split_ascii_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X" | "x");
    let mut number = |skip: usize| fields.nth(skip)?.parse::<u64>().ok();
    // fields 14, 15, 20, 22 and 24 of proc_pid_stat(5); the state above is the third
    let (user, system) = (number(10)?, number(0)?);
    let (thread_count, start_ticks, resident_pages) = (number(4)?, number(1)?, number(1)?);
    Some(ProcessStat { is_dead, cpu_ticks: user.saturating_add(system), thread_count, start_ticks, resident_pages })
}

/// `schedstat`: nanoseconds on a processor and waiting for one. A kernel that does not count writes zeros.
pub(crate) fn schedstat(text: &str) -> Option<(u64, u64)> {
    let mut numbers = text.split_ascii_whitespace().map(|field| field.parse::<u64>().ok());
    let (run, delay) = (numbers.next()??, numbers.next()??);
    let slices = numbers.next().flatten().unwrap_or(0);
    (run != 0 || delay != 0 || slices != 0).then_some((run, delay))
}

/// QEMU's name for the thread of a virtual processor: `CPU 3/KVM`, `CPU 0/TCG`.
pub(crate) fn vcpu_index(comm: &str) -> Option<u32> {
    let (number, accelerator) = comm.strip_prefix("CPU ")?.split_once('/')?;
    (!accelerator.is_empty()).then(|| number.parse().ok())?
}

/// The value of `-uuid` in a command line whose arguments end with NUL.
pub(crate) fn uuid_argument(command_line: &[u8]) -> Option<Uuid> {
    let mut arguments = command_line.split(|byte| *byte == 0);
    arguments.find(|argument| *argument == b"-uuid" || *argument == b"--uuid")?;
    Uuid::try_parse_ascii(arguments.next()?).ok()
}

/// The number after `key` in lines of `key number`, with or without a colon.
pub(crate) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(key)?;
        let rest = rest.strip_prefix(':').or_else(|| rest.starts_with([' ', '\t']).then_some(rest))?;
        rest.split_ascii_whitespace().next()?.parse().ok()
    })
}

/// The same of a file whose numbers are KiB, in bytes.
pub(crate) fn keyed_kib(text: &str, key: &str) -> Option<u64> {
    keyed(text, key).map(|kib| kib.saturating_mul(KIB))
}

/// A file of pressure stall information.
pub(crate) fn stall(text: &str) -> Option<Stall> {
    let total = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '))?;
        line.split_ascii_whitespace().find_map(|field| field.strip_prefix("total=")?.parse().ok())
    };
    // older kernels have no `full` for processors, newer ones write zero for the whole host
    Some(Stall { some_microseconds: total("some")?, full_microseconds: total("full").unwrap_or(0) })
}

/// `/proc/stat`: all hardware threads together, and each at its number. One that is not online has only zeros.
pub(crate) fn cpu_times(text: &str, ticks_per_second: u64) -> Option<(CpuTimes, Vec<CpuTimes>)> {
    let (mut all, mut cores) = (None, Vec::new());
    for (name, fields) in text.lines().filter_map(|line| line.strip_prefix("cpu")?.split_once(' ')) {
        if name.is_empty() {
            all = Some(mode_times(fields, ticks_per_second));
        } else if let Some(index) = name.parse().ok().filter(|index: &usize| *index < CORES_MAX) {
            cores.resize(cores.len().max(index + 1), CpuTimes::default());
            cores[index] = mode_times(fields, ticks_per_second);
        }
    }
    Some((all?, cores))
}

/// Guest time, which comes after these, is part of user time already.
fn mode_times(fields: &str, ticks_per_second: u64) -> CpuTimes {
    let tick_nanoseconds = 1_000_000_000 / ticks_per_second.max(1);
    let mut times = fields.split_ascii_whitespace().map(|field| field.parse::<u64>().unwrap_or(0).saturating_mul(tick_nanoseconds));
    let mut next = || times.next().unwrap_or(0);
    CpuTimes {
        user_nanoseconds: next(),
        nice_nanoseconds: next(),
        system_nanoseconds: next(),
        idle_nanoseconds: next(),
        iowait_nanoseconds: next(),
        irq_nanoseconds: next(),
        softirq_nanoseconds: next(),
        steal_nanoseconds: next(),
    }
}

/// `/proc/loadavg`.
pub(crate) fn load_average(text: &str) -> Option<[f64; 3]> {
    let mut loads = text.split_ascii_whitespace().map(|field| field.parse::<f64>().ok().filter(|load| load.is_finite()));
    Some([loads.next()??, loads.next()??, loads.next()??])
}

/// A line of `/proc/diskstats`.
pub(crate) fn disk(line: &str) -> Option<DiskCounters> {
    let mut fields = line.split_ascii_whitespace().skip(2);
    let device = fields.next()?;
    let numbers: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    let [reads, _, sectors_read, read_ms, writes, _, sectors_written, write_ms, ..] = numbers[..] else { return None };
    let nanoseconds = |milliseconds: u64| milliseconds.saturating_mul(NANOSECONDS_PER_MILLISECOND);
    Some(DiskCounters {
        device: device.into(),
        read_bytes: sectors_read.saturating_mul(SECTOR_BYTES),
        write_bytes: sectors_written.saturating_mul(SECTOR_BYTES),
        read_requests: reads,
        write_requests: writes,
        read_time_nanoseconds: Some(nanoseconds(read_ms)),
        write_time_nanoseconds: Some(nanoseconds(write_ms)),
        // since Linux 5.5
        flush_requests: numbers.get(15).copied(),
        flush_time_nanoseconds: numbers.get(16).copied().map(nanoseconds),
        ..DiskCounters::default()
    })
}

/// The lines of `/proc/net/dev`: name and counters as text, since most readers want few of them.
pub(crate) fn interfaces(text: &str) -> impl Iterator<Item = (&str, &str)> {
    // a name may hold a colon (an alias), the counters never do
    text.lines().skip(2).filter_map(|line| line.rsplit_once(':')).map(|(name, counters)| (name.trim(), counters))
}

/// The counters of such a line, seen from the host.
pub(crate) fn interface(name: &str, counters: &str) -> Option<NicCounters> {
    let mut fields = counters.split_ascii_whitespace();
    let mut numbers = [0; 12];
    for number in &mut numbers {
        *number = fields.next()?.parse().ok()?;
    }
    let [receive_bytes, receive_packets, receive_errors, receive_drops, _, _, _, _, send_bytes, send_packets, send_errors, send_drops] =
        numbers;
    Some(NicCounters {
        interface_name: name.into(),
        mac_address: None,
        receive_bytes,
        send_bytes,
        receive_packets,
        send_packets,
        receive_errors,
        send_errors,
        receive_drops,
        send_drops,
    })
}

/// True where `/proc/swaps` shows that something is swapped out.
pub(crate) fn is_swap_used(text: &str) -> bool {
    text.lines().skip(1).any(|line| line.split_ascii_whitespace().rev().nth(1).is_some_and(|used| used != "0"))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
