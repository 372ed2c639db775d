//! What a node costs at one number of VMs, all of which run: a read, a list, a scrape, a change. And how that grows with the number.

use crate::daemon::{Daemon, text_of, vm_name};
use crate::http::{Connection, Native, get};
use crate::load::latency;
use crate::report::{Row, Samples, Target};
use crate::{Outcome, Settings, pause};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Longest wait for the statistics of all VMs.
const SAMPLED: Duration = Duration::from_secs(60);
/// Bursts of reads of one VM, and the rest between two of them.
const BURSTS: usize = 20;
const BURST_REST: Duration = Duration::from_millis(100);
/// Most that a figure may grow with the number of VMs.
const GROWTH_MAX: f64 = 1.3;

/// What was measured at one number of VMs, in milliseconds.
pub(crate) struct Stage {
    pub(crate) size: usize,
    pub(crate) one: Samples,
    pub(crate) list: Samples,
    pub(crate) fresh_list: Samples,
    pub(crate) metrics: Samples,
    pub(crate) change: Samples,
}

impl Stage {
    /// Measures a node that has `size` VMs and statistics of all.
    pub(crate) fn measure(settings: &Settings, daemon: &Daemon, size: usize) -> Outcome<Self> {
        let count = if settings.is_quick { 1 } else { 4 };
        let mut native = Native::open(&daemon.native())?;
        let mut connection = Connection::open(&daemon.native())?;
        let mut scraper = Connection::open(&daemon.metrics())?;
        let first = native.get(&format!("/v1/vm/list?page_size=1&name={}", vm_name(0)))?;
        let vm_uuid = text_of(&first["list"][0]["vm_uuid"]);
        let request = get(&format!("/v1/vm/inspect?vm_uuid={vm_uuid}"), "");
        let mut one = Samples::default();
        // All at once they would take less time than the sampling of all VMs, which may run beside them or not.
        for _ in 0..if settings.is_quick { BURSTS / 4 } else { BURSTS } {
            one.extend(&latency(&mut connection, &request, 25 * count)?);
            pause(BURST_REST);
        }
        let metrics = latency(&mut scraper, &get("/metrics", ""), 10 * count)?;
        let request = get("/v1/vm/list?page_size=0", "");
        latency(&mut connection, &request, 1)?;
        let list = latency(&mut connection, &request, 20 * count)?;
        let (mut change, mut fresh_list) = (Samples::default(), Samples::default());
        for _ in 0..10 * count {
            for (path, extra) in [("/v1/vm/stop", json!({"force": true})), ("/v1/vm/start", json!({}))] {
                let mut body = json!({"vm_uuid": vm_uuid, "wait_seconds": 60});
                merge(&mut body, extra);
                let start = Instant::now();
                native.post(path, &body)?;
                change.push_milliseconds(start.elapsed());
            }
            fresh_list.push(latency(&mut connection, &request, 1)?.median());
        }
        Ok(Self { size, one, list, fresh_list, metrics, change })
    }

    /// A median per VM, in microseconds.
    fn per_vm(&self, of: fn(&Self) -> &Samples) -> Samples {
        Samples::one(of(self).median() * 1000.0 / self.size as f64)
    }
}

fn merge(body: &mut Value, extra: Value) {
    if let (Value::Object(body), Value::Object(extra)) = (body, extra) {
        body.extend(extra);
    }
}

/// Waits until the page of metrics has a series of this name for every VM.
pub(crate) fn wait_for_samples(daemon: &Daemon, series: &str, size: usize) -> Outcome<()> {
    let (start, begin) = (Instant::now(), format!("{series}{{"));
    let mut scraper = Connection::open(&daemon.metrics())?;
    loop {
        let page = String::from_utf8_lossy(scraper.exchange(&get("/metrics", ""))?.body).into_owned();
        let count = page.lines().filter(|line| line.starts_with(&begin)).count();
        if count >= size {
            return Ok(());
        }
        if start.elapsed() > SAMPLED {
            return Err(format!("only {count} of {size} VMs were sampled within {SAMPLED:?}").into());
        }
        pause(Duration::from_millis(200));
    }
}

/// Calls to libvirt that the daemon has counted so far.
pub(crate) fn hypervisor_calls(scraper: &mut Connection) -> Outcome<f64> {
    let page = String::from_utf8_lossy(scraper.exchange(&get("/metrics", ""))?.body).into_owned();
    let lines = page.lines().filter(|line| line.starts_with("hvnode_hypervisor_calls_total{"));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// The figures of each stage, then how they grew from the first to the last. What is told per VM starts from the second stage: with few
/// VMs the fixed part of an answer counts most. `prefix` stands before the names of the rows.
pub(crate) fn tell(prefix: &str, stages: &[Stage], rows: &mut Vec<Row>) {
    for stage in stages {
        let size = stage.size;
        rows.push(Row::new(format!("{prefix}{size} VMs: list, from the cache"), "ms", stage.list.clone()));
        rows.push(Row::new(format!("{prefix}{size} VMs: list after a change"), "ms", stage.fresh_list.clone()));
        rows.push(Row::new(format!("{prefix}{size} VMs: metrics"), "ms", stage.metrics.clone()));
    }
    let (Some(small), Some(second), Some(large)) = (stages.first(), stages.get(1), stages.last()) else { return };
    let grows = |name: &str, unit, ours: Samples, floor: Samples, from: &Stage| {
        let row = Row::new(format!("{prefix}growth: {name}, {} VMs", large.size), unit, ours).floor(floor);
        row.target(Target::RatioAtMost(GROWTH_MAX)).note(format!("floor: {} VMs", from.size))
    };
    rows.push(grows("GET one VM", "ms", large.one.clone(), small.one.clone(), small));
    rows.push(grows("start or stop", "ms", large.change.clone(), small.change.clone(), small));
    for (name, of) in [("list after a change", (|s| &s.fresh_list) as fn(&Stage) -> &Samples), ("metrics", |s| &s.metrics)] {
        rows.push(grows(&format!("{name} per VM"), "us", large.per_vm(of), second.per_vm(of), second));
    }
}
