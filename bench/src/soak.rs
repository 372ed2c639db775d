//! Thousands of lives of VMs on one simulated node: nothing may grow but the journal, and that by a known amount.

use crate::daemon::{Daemon, image, text_of, vm_request};
use crate::http::Native;
use crate::process::{Split, descriptor_count, memory, thread_count};
use crate::report::{Row, Samples, Target};
use crate::{Outcome, Settings};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Lives at the same time.
const CLIENTS: usize = 8;
/// Looks at the daemon in a run.
const LOOKS: usize = 20;
/// Looks at the beginning that do not count: pools, caches and history fill up.
const WARM: usize = 5;

/// What is looked at.
#[derive(Debug, Clone, Copy)]
struct Look {
    cycles: f64,
    private: f64,
    descriptors: f64,
    threads: f64,
    database: f64,
}

/// Every row of this group.
pub(crate) fn measure(settings: &Settings, rows: &mut Vec<Row>) -> Outcome<()> {
    let cycles = settings.soak_cycles.unwrap_or(if settings.is_quick { 1000 } else { 10_000 });
    let daemon = Daemon::simulated(&settings.daemon, &settings.folder("soak")?, &Split::of_this_machine().server_list())?;
    let image = image(&mut Native::open(&daemon.native())?)?;
    let mut looks = vec![look(&daemon, 0)?];
    let start = Instant::now();
    let step = cycles.div_ceil(LOOKS);
    for end in (step..=cycles).step_by(step) {
        live(&daemon, &image, end - step, end)?;
        looks.push(look(&daemon, end)?);
    }
    let rate = cycles as f64 / start.elapsed().as_secs_f64();
    let left = Native::open(&daemon.native())?.get("/v1/vm/list")?["total_count"].as_f64().unwrap_or(f64::NAN);
    let note = format!("{cycles} cycles: create and start, stop, start, delete; simulated");
    rows.push(Row::new("soak: whole lives", "1/s", Samples::one(rate)).note(note));
    rows.push(Row::new("soak: VMs left over", "", Samples::one(left)).target(Target::AtMost(0.0)));
    let looks = &looks[WARM.min(looks.len() / 4)..];
    let grows = |of: fn(&Look) -> f64| Samples::one(slope(looks, of) * 1000.0);
    rows.push(grown("soak: memory per 1000 lives", "KiB", grows(|l| l.private), looks, |l| l.private).target(Target::AtMost(64.0)));
    rows.push(
        grown("soak: descriptors per 1000 lives", "", grows(|l| l.descriptors), looks, |l| l.descriptors).target(Target::AtMost(0.5)),
    );
    rows.push(grown("soak: threads per 1000 lives", "", grows(|l| l.threads), looks, |l| l.threads).target(Target::AtMost(0.5)));
    let database = grown("soak: database per 1000 lives", "KiB", grows(|l| l.database), looks, |l| l.database);
    let note = format!("{}; jobs, operations and events are kept for days, then pruned", database.note);
    rows.push(database.target(Target::AtMost(24_576.0)).note(note));
    Ok(())
}

fn grown(name: &str, unit: &'static str, slope: Samples, looks: &[Look], of: fn(&Look) -> f64) -> Row {
    let (first, last) = (looks.first().map_or(f64::NAN, of), looks.last().map_or(f64::NAN, of));
    Row::new(name, unit, slope).note(format!("slope; from {first:.0} to {last:.0}"))
}

/// Least squares: by how much it grows with one more cycle.
fn slope(looks: &[Look], of: fn(&Look) -> f64) -> f64 {
    let count = looks.len() as f64;
    let mean = |of: &dyn Fn(&Look) -> f64| looks.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(&|l| l.cycles), mean(&of));
    let above: f64 = looks.iter().map(|l| (l.cycles - x) * (of(l) - y)).sum();
    let below: f64 = looks.iter().map(|l| (l.cycles - x).powi(2)).sum();
    if below > 0.0 { above / below } else { 0.0 }
}

fn look(daemon: &Daemon, cycles: usize) -> Outcome<Look> {
    let pid = daemon.pid();
    Ok(Look {
        cycles: cycles as f64,
        private: memory(pid)?.anonymous,
        descriptors: descriptor_count(pid)?,
        threads: thread_count(pid)?,
        database: daemon.database_bytes() / 1024.0,
    })
}

/// Cycles `begin..end`.
fn live(daemon: &Daemon, image: &str, begin: usize, end: usize) -> Outcome<()> {
    let next = AtomicUsize::new(begin);
    let work = || -> Outcome<()> {
        let mut native = Native::open(&daemon.native())?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= end {
                return Ok(());
            }
            let made = native.post("/v1/vm/create", &vm_request(&format!("life-{number}"), image, true))?;
            let vm_uuid = text_of(&made["vm"]["vm_uuid"]);
            native.post("/v1/vm/stop", &json!({"vm_uuid": vm_uuid, "force": true, "wait_seconds": 60}))?;
            native.post("/v1/vm/start", &json!({"vm_uuid": vm_uuid, "wait_seconds": 60}))?;
            native.post("/v1/vm/delete", &json!({"vm_uuid": vm_uuid, "force": true, "wait_seconds": 60}))?;
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(work)).collect();
        clients.into_iter().try_for_each(|client| client.join().unwrap_or_else(|_| Err("a client broke off".into())))
    })
}
