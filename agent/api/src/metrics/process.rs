//! What the kernel says about this process, under the names that every Prometheus client library uses.

use procfs::process::{LimitValue, Process};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};

/// Reads `/proc/self` at each scrape.
pub(super) struct ProcessCollector {
    cpu: Counter,
    resident: Gauge,
    size: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    threads: Gauge,
    start: Gauge,
}

impl ProcessCollector {
    pub(super) fn new() -> prometheus::Result<Self> {
        Ok(Self {
            cpu: Counter::new("process_cpu_seconds_total", "User and system processor time spent.")?,
            resident: Gauge::new("process_resident_memory_bytes", "Resident memory.")?,
            size: Gauge::new("process_virtual_memory_bytes", "Virtual memory.")?,
            open_fds: Gauge::new("process_open_fds", "Open file descriptors.")?,
            max_fds: Gauge::new("process_max_fds", "Most file descriptors the process may open.")?,
            threads: Gauge::new("process_threads", "Threads.")?,
            start: Gauge::new("process_start_time_seconds", "Start of the process since the epoch.")?,
        })
    }

    /// Values that cannot be read keep what they had.
    fn refresh(&self) -> procfs::ProcResult<()> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        #[expect(clippy::cast_precision_loss, reason = "Prometheus values are floats")]
        {
            let ticks = procfs::ticks_per_second() as f64;
            let spent = (stat.utime + stat.stime) as f64 / ticks;
            self.cpu.inc_by((spent - self.cpu.get()).max(0.0));
            self.resident.set((stat.rss * procfs::page_size()) as f64);
            self.size.set(stat.vsize as f64);
            self.threads.set(stat.num_threads as f64);
            self.open_fds.set(process.fd_count()? as f64);
            if let LimitValue::Value(limit) = process.limits()?.max_open_files.soft_limit {
                self.max_fds.set(limit as f64);
            }
            if self.start.get() == 0.0 {
                let boot = procfs::boot_time_secs()? as f64;
                self.start.set(boot + stat.starttime as f64 / ticks);
            }
        }
        Ok(())
    }

    fn parts(&self) -> [&dyn Collector; 7] {
        [&self.cpu, &self.resident, &self.size, &self.open_fds, &self.max_fds, &self.threads, &self.start]
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Err(error) = self.refresh() {
            tracing::debug!(error = %error, "reading /proc/self failed");
        }
        self.parts().into_iter().flat_map(Collector::collect).collect()
    }
}
