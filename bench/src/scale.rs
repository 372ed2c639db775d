//! The simulated node at ten to five thousand VMs: what a read, a list, a scrape, a change, a start and a VM in memory cost.

use crate::daemon::{Daemon, Floor};
use crate::process::{Split, memory};
use crate::report::{Row, Samples, Target};
use crate::stage::{self, Stage, wait_for_samples};
use crate::{Outcome, Settings, pause};
use std::time::{Duration, Instant};

/// Numbers of VMs.
const SIZES: [usize; 4] = [10, 100, 1000, 5000];
/// Which every VM has once it was sampled.
const SAMPLE_SERIES: &str = "libvirt_domain_info_cpu_time_seconds_total";

/// Every row of this group.
pub(crate) fn measure(settings: &Settings, rows: &mut Vec<Row>) -> Outcome<()> {
    let split = Split::of_this_machine();
    let folder = settings.folder("scale")?;
    let mut daemon = Daemon::simulated(&settings.daemon, &folder, &split.server_list())?;
    first_answer(settings, &mut daemon, &split, "nothing known", Target::AtMost(40.0), rows)?;
    let empty = memory(daemon.pid())?;
    let mut have = 0;
    let mut stages = Vec::new();
    let mut filling = Samples::default();
    for size in SIZES {
        let start = Instant::now();
        daemon.fill(have, size)?;
        filling.push((size - have) as f64 / start.elapsed().as_secs_f64());
        have = size;
        wait_for_samples(&daemon, SAMPLE_SERIES, size)?;
        stages.push(Stage::measure(settings, &daemon, size)?);
    }
    let full = memory(daemon.pid())?;
    rows.push(Row::new("VMs created and started, 32 clients", "1/s", filling).note("simulated; two durable commits each"));
    stage::tell("", &stages, rows);
    let bytes = (full.anonymous - empty.anonymous) / have as f64;
    // What the simulator itself takes, and makes anew at each start, is in these: the targets are with the group on libvirt's test driver.
    let note = "simulated, all running and sampled; the simulator's own record of each domain is in it; target: test driver";
    rows.push(Row::new("memory of one VM more, 5000 running", "KiB", Samples::one(bytes)).note(note));
    first_answer(settings, &mut daemon, &split, "5000 VMs known", Target::None, rows)?;
    pause(Duration::from_secs(2));
    let known = memory(daemon.pid())?;
    let bytes = (known.anonymous - empty.anonymous) / have as f64;
    let row = Row::new("memory of one VM more, 5000 known after a restart", "KiB", Samples::one(bytes));
    rows.push(row.note("the simulator has made its domains anew from the records, and they are in it; target: test driver"));
    Ok(())
}

/// From exec to the first answer, against a bare server's.
fn first_answer(settings: &Settings, daemon: &mut Daemon, split: &Split, what: &str, target: Target, rows: &mut Vec<Row>) -> Outcome<()> {
    let rounds = if settings.is_quick { 3 } else { 10 };
    let folder = settings.folder("scale")?;
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        daemon.stop();
        ours.push_milliseconds(daemon.run()?.first_answer);
        let program = settings.program("floor-http")?;
        let floor = Floor::start(&program, &folder, "start", b"{}", &split.server_list(), split.server_threads())?;
        theirs.push_milliseconds(floor.start_time);
    }
    let row = Row::new(format!("exec to the first answer, {what}"), "ms", ours).floor(theirs).target(target);
    rows.push(row.note("simulated; the answer is a list of VMs"));
    Ok(())
}
