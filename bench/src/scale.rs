//! The simulated node at ten to five thousand VMs: what a read, a list, a scrape, a change, a start and a VM in memory cost.

use crate::daemon::{Floor, Simulated, text_of};
use crate::http::{Connection, Native, get};
use crate::load::latency;
use crate::process::{Split, memory};
use crate::report::{Row, Samples, Target};
use crate::{Outcome, Settings, pause};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Numbers of VMs.
const SIZES: [usize; 4] = [10, 100, 1000, 5000];
/// Longest wait for the statistics of all VMs.
const SAMPLED: Duration = Duration::from_secs(60);

/// What was measured at one size, in milliseconds.
struct Stage {
    one: Samples,
    list: Samples,
    fresh_list: Samples,
    metrics: Samples,
    change: Samples,
}

/// Every row of this group.
pub(crate) fn measure(settings: &Settings, rows: &mut Vec<Row>) -> Outcome<()> {
    let split = Split::of_this_machine();
    let folder = settings.folder("scale")?;
    let mut daemon = Simulated::start(&settings.daemon, &folder, &split.server_list())?;
    first_answer(settings, &mut daemon, &split, "nothing known", 40.0, rows)?;
    let empty = memory(daemon.pid())?;
    let mut have = 0;
    let mut stages = Vec::new();
    let mut filling = Samples::default();
    for size in SIZES {
        let start = Instant::now();
        daemon.fill(have, size)?;
        filling.push((size - have) as f64 / start.elapsed().as_secs_f64());
        have = size;
        stages.push(stage(settings, &daemon, size)?);
    }
    let full = memory(daemon.pid())?;
    rows.push(Row::new("VMs created and started, 32 clients", "1/s", filling).note("simulated; two durable commits each"));
    tell_growth(&stages, rows);
    let bytes = (full.anonymous - empty.anonymous) / have as f64;
    let note = "simulated, all running and sampled; the simulator's own record of each domain is in it";
    rows.push(Row::new("memory of one VM more, 5000 running", "KiB", Samples::one(bytes)).target(Target::AtMost(6.0)).note(note));
    first_answer(settings, &mut daemon, &split, "5000 VMs known", 150.0, rows)?;
    pause(Duration::from_secs(2));
    let known = memory(daemon.pid())?;
    let bytes = (known.anonymous - empty.anonymous) / have as f64;
    let row = Row::new("memory of one VM more, 5000 known after a restart", "KiB", Samples::one(bytes)).target(Target::AtMost(6.0));
    rows.push(row.note("records only: a simulated world does not outlive its daemon"));
    Ok(())
}

fn stage(settings: &Settings, daemon: &Simulated, size: usize) -> Outcome<Stage> {
    let count = if settings.is_quick { 1 } else { 4 };
    let mut native = Native::open(&daemon.native())?;
    let mut connection = Connection::open(&daemon.native())?;
    let mut scraper = Connection::open(&daemon.metrics())?;
    wait_for_samples(&mut scraper, size)?;
    let vm_uuid = text_of(&native.get("/v1/vm/list?page_size=1&name=vm-00000")?["list"][0]["vm_uuid"]);
    let one = latency(&mut connection, &get(&format!("/v1/vm/inspect?vm_uuid={vm_uuid}"), ""), 500 * count)?;
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
    Ok(Stage { one, list, fresh_list, metrics, change })
}

fn merge(body: &mut Value, extra: Value) {
    if let (Value::Object(body), Value::Object(extra)) = (body, extra) {
        body.extend(extra);
    }
}

/// Waits until the page of metrics has every VM.
fn wait_for_samples(scraper: &mut Connection, size: usize) -> Outcome<()> {
    let start = Instant::now();
    loop {
        let page = String::from_utf8_lossy(scraper.exchange(&get("/metrics", ""))?.body).into_owned();
        let count = page.lines().filter(|line| line.starts_with("libvirt_domain_info_cpu_time_seconds_total{")).count();
        if count >= size {
            return Ok(());
        }
        if start.elapsed() > SAMPLED {
            return Err(format!("only {count} of {size} VMs were sampled within {SAMPLED:?}").into());
        }
        pause(Duration::from_millis(200));
    }
}

fn tell_growth(stages: &[Stage], rows: &mut Vec<Row>) {
    for (size, stage) in SIZES.iter().zip(stages) {
        rows.push(Row::new(format!("{size} VMs: list, from the cache"), "ms", stage.list.clone()));
        rows.push(Row::new(format!("{size} VMs: list after a change"), "ms", stage.fresh_list.clone()));
        rows.push(Row::new(format!("{size} VMs: metrics"), "ms", stage.metrics.clone()));
    }
    let (Some(small), Some(hundred), Some(large)) = (stages.first(), stages.get(1), stages.last()) else { return };
    let grows = |name: &str, large: &Samples, small: &Samples, note: &str| {
        Row::new(name, "ms", large.clone()).floor(small.clone()).target(Target::RatioAtMost(1.3)).note(note)
    };
    rows.push(grows("growth: GET one VM, 5000 VMs", &large.one, &small.one, "floor: 10 VMs"));
    rows.push(grows("growth: start or stop, 5000 VMs", &large.change, &small.change, "floor: 10 VMs"));
    let per_vm = |samples: &Samples, size: usize| Samples::one(samples.median() * 1000.0 / size as f64);
    for (name, of) in [("list after a change", (|s| &s.fresh_list) as fn(&Stage) -> &Samples), ("metrics", |s| &s.metrics)] {
        let (large, small) = (per_vm(of(large), SIZES[3]), per_vm(of(hundred), SIZES[1]));
        let row = Row::new(format!("growth: {name} per VM, 5000 VMs"), "us", large).floor(small).target(Target::RatioAtMost(1.3));
        rows.push(row.note("floor: 100 VMs"));
    }
}

/// From exec to the first answer, against a bare server's.
fn first_answer(settings: &Settings, daemon: &mut Simulated, split: &Split, what: &str, limit: f64, rows: &mut Vec<Row>) -> Outcome<()> {
    let rounds = if settings.is_quick { 3 } else { 10 };
    let folder = settings.folder("scale")?;
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        daemon.stop();
        ours.push_milliseconds(daemon.run()?);
        let program = settings.program("floor-http")?;
        let floor = Floor::start(&program, &folder, "start", b"{}", &split.server_list(), split.server_threads())?;
        theirs.push_milliseconds(floor.start_time);
    }
    let row = Row::new(format!("exec to the first answer, {what}"), "ms", ours).floor(theirs).target(Target::AtMost(limit));
    rows.push(row.note("simulated; the answer is a list of VMs"));
    Ok(())
}
