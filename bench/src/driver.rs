//! hvnoded as it is in service, on libvirt's test driver behind a real libvirtd, at ten to five thousand VMs.
//!
//! What the groups on the simulation cannot tell: the real adapter and the real protocol are in every figure, and the domains are in
//! libvirtd's memory and not in ours. The VMs are made by hand over libvirt and adopted through the API, because the test driver takes no
//! definition of a QEMU: so each has a record of this node, as one that was created here, but owns no disk.

mod libvirtd;

use crate::daemon::{Backend, Daemon, vm_name};
use crate::http::{Connection, Native, get};
use crate::process::{Split, memory};
use crate::report::{Row, Samples, Target};
use crate::stage::{self, Stage, hypervisor_calls, wait_for_samples};
use crate::{Outcome, Settings, pause};
use libvirtd::{TestLibvirtd, vm_uuid};
use serde_json::json;
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use virt::domain::Domain;
use virt::error::Error;

/// Numbers of VMs; the last not in a quick run.
const SIZES: [usize; 4] = [10, 100, 1000, 5000];
/// Before the names of the rows: other groups have the same ones.
const PREFIX: &str = "test driver: ";
/// Which every VM has once it was sampled: the test driver tells no processor time.
const SAMPLE_SERIES: &str = "libvirt_domain_info_virtual_cpus";
/// Longest wait for the list to show something.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at the list.
const LOOK: Duration = Duration::from_millis(10);
/// Without a call to libvirt for so long, nothing is being read.
const CALM: Duration = Duration::from_secs(1);
/// A connection to libvirt that lived so long is opened again at once; tries after a shorter one are put off.
const STABLE: Duration = Duration::from_secs(11);

/// Every row of this group.
pub(crate) fn measure(settings: &Settings, rows: &mut Vec<Row>) -> Outcome<()> {
    virt::error::clear_error_callback();
    let Some(program) = find_program("libvirtd") else {
        rows.push(Row::missing(format!("{PREFIX}all rows"), "there is no libvirtd in PATH"));
        return Ok(());
    };
    let mut world = World::start(settings, program)?;
    let empty = world.memory()?;
    let sizes = if settings.is_quick { &SIZES[..3] } else { &SIZES[..] };
    let (mut stages, mut grown) = (Vec::new(), empty);
    for size in sizes {
        world.grow(*size, rows)?;
        stages.push(Stage::measure(settings, &world.daemon, *size)?);
        grown = world.memory()?;
        world.restarts(settings, rows)?;
    }
    stage::tell(PREFIX, &stages, rows);
    world.tell_memory(empty, grown, rows)?;
    world.storms(settings, rows)?;
    world.reconnections(settings, rows)
}

fn find_program(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// hvnoded, its libvirtd, and what is in there.
struct World {
    daemon: Daemon,
    libvirtd: TestLibvirtd,
    program: PathBuf,
    folder: PathBuf,
    size: usize,
}

impl World {
    fn start(settings: &Settings, program: PathBuf) -> Outcome<Self> {
        let folder = settings.folder("driver")?;
        let libvirtd = TestLibvirtd::start(&program, &folder.join("libvirtd.log"))?;
        let socket = folder.join("libvirt.sock");
        lead_to(&socket, &libvirtd)?;
        let processors = Split::of_this_machine().server_list();
        let daemon = Daemon::start(&settings.daemon, &folder, &processors, Backend::Libvirt(libvirtd::uri(&socket)))?;
        Ok(Self { daemon, libvirtd, program, folder, size: 0 })
    }

    /// A target for the largest number of VMs. With fewer, what does not grow with them counts most.
    fn at_most(&self, limit: f64) -> Target {
        if self.size < SIZES[3] { Target::None } else { Target::AtMost(limit) }
    }

    /// Waits until hvnoded has read again what events told it to, and is not sampling.
    fn wait_for_calm(&self) -> Outcome<()> {
        let (start, mut scraper) = (Instant::now(), Connection::open(&self.daemon.metrics())?);
        let mut calls = hypervisor_calls(&mut scraper)?;
        loop {
            pause(CALM);
            let now = hypervisor_calls(&mut scraper)?;
            if now == calls {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("calls to libvirt do not come to rest within {PATIENCE:?}").into());
            }
            calls = now;
        }
    }

    /// Anonymous memory of hvnoded in KiB, a while after the last that happened.
    fn memory(&self) -> Outcome<f64> {
        self.wait_for_calm()?;
        Ok(memory(self.daemon.pid())?.anonymous)
    }

    /// Brings the number of VMs to `size`, all running, adopted and sampled.
    fn grow(&mut self, size: usize, rows: &mut Vec<Row>) -> Outcome<()> {
        let new = self.size..size;
        let start = Instant::now();
        self.libvirtd.make(new.clone())?;
        self.wait_for("running", size)?;
        let seen = start.elapsed();
        let start = Instant::now();
        self.adopt(new.clone())?;
        let adopted = start.elapsed();
        self.size = size;
        wait_for_samples(&self.daemon, SAMPLE_SERIES, size)?;
        self.wait_for_calm()?;
        if new.len() >= 1000 {
            let rate = |time: Duration| Samples::one(new.len() as f64 / time.as_secs_f64());
            let row = Row::new(format!("{PREFIX}VMs defined and started by hand until listed, to {size}"), "1/s", rate(seen));
            rows.push(row.note("two events each"));
            let row = Row::new(format!("{PREFIX}VMs adopted, 32 clients, to {size}"), "1/s", rate(adopted));
            rows.push(row.note("two durable commits each"));
        }
        Ok(())
    }

    fn adopt(&self, numbers: Range<usize>) -> Outcome<()> {
        let body = |number| json!({"vm_uuid": vm_uuid(number), "new_name": vm_name(number), "wait_seconds": 120});
        self.daemon.post_all("/v1/vm/adopt", numbers, body).map(drop)
    }

    /// Waits until so many VMs are listed with this status.
    fn wait_for(&self, status: &str, count: usize) -> Outcome<()> {
        let (start, mut native) = (Instant::now(), Native::open(&self.daemon.native())?);
        let path = format!("/v1/vm/list?page_size=1&status={status}");
        loop {
            let have = native.get(&path)?["total_count"].as_u64().unwrap_or(0);
            if have == count as u64 {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("only {have} of {count} VMs are {status} after {PATIENCE:?}").into());
            }
            pause(LOOK);
        }
    }

    fn wait_until_ready(&self) -> Outcome<()> {
        let (start, mut connection) = (Instant::now(), Connection::open(&self.daemon.native())?);
        while connection.exchange(&get("/readyz", ""))?.status != 200 {
            if start.elapsed() > PATIENCE {
                return Err(format!("not ready after {PATIENCE:?}").into());
            }
            pause(LOOK);
        }
        Ok(())
    }

    /// From exec on, with all VMs running and known.
    fn restarts(&mut self, settings: &Settings, rows: &mut Vec<Row>) -> Outcome<()> {
        let (mut first_answer, mut everything_read) = (Samples::default(), Samples::default());
        for _ in 0..if settings.is_quick { 3 } else { 7 } {
            self.daemon.stop();
            let times = self.daemon.run()?;
            self.wait_for("running", self.size)?;
            first_answer.push_milliseconds(times.first_answer);
            everything_read.push_milliseconds(times.everything_read);
        }
        let size = self.size;
        rows.push(Row::new(format!("{PREFIX}{size} VMs: exec to the first answer"), "ms", first_answer).target(self.at_most(150.0)));
        let row = Row::new(format!("{PREFIX}{size} VMs: exec until everything is read"), "ms", everything_read);
        rows.push(row.note("until /readyz says so"));
        Ok(())
    }

    /// Of one VM more. `grown` is after changes, lists and scrapes; now hvnoded was started anew and has only read.
    fn tell_memory(&self, empty: f64, grown: f64, rows: &mut Vec<Row>) -> Outcome<()> {
        wait_for_samples(&self.daemon, SAMPLE_SERIES, self.size)?;
        let read = self.memory()?;
        let what = "adopted, with a disk, a NIC and a sample of its state: the test driver tells no more";
        for (when, now, note) in [
            ("running", grown, format!("{what}; after lists, scrapes and changes; the last list as it is kept for readers is in it")),
            ("running, after a restart", read, what.to_owned()),
        ] {
            let name = format!("{PREFIX}memory of one VM more, {} {when}", self.size);
            let row = Row::new(name, "KiB", Samples::one((now - empty) / self.size as f64)).target(self.at_most(6.0));
            rows.push(row.note(format!("{note}; {empty:.0} KiB without VMs")));
        }
        Ok(())
    }

    /// Every VM changes in one moment, by hand over libvirt.
    fn storms(&self, settings: &Settings, rows: &mut Vec<Row>) -> Outcome<()> {
        type Change = fn(&Domain) -> Result<(), Error>;
        let changes: [(&str, &str, Change); 4] = [
            ("suspended", "paused", |domain| domain.suspend().map(drop)),
            ("resumed", "running", |domain| domain.resume().map(drop)),
            ("destroyed", "stopped", |domain| domain.destroy().map(drop)),
            ("started", "running", |domain| domain.create().map(drop)),
        ];
        let mut times: [[Samples; 2]; 4] = Default::default();
        for _ in 0..if settings.is_quick { 1 } else { 3 } {
            for ((_, status, change), [listed, by_hand]) in changes.iter().zip(&mut times) {
                let start = Instant::now();
                by_hand.push_milliseconds(self.libvirtd.change_all(change)?);
                self.wait_for(status, self.size)?;
                listed.push_milliseconds(start.elapsed());
            }
        }
        for ((what, ..), [listed, by_hand]) in changes.iter().zip(times) {
            let row = Row::new(format!("{PREFIX}storm: {} VMs {what}, until listed", self.size), "ms", listed).floor(by_hand);
            rows.push(row.target(Target::AtMost(10_000.0)).note("floor: until the calls by hand have returned, over 4 connections"));
        }
        Ok(())
    }

    /// Another libvirtd with the same VMs in another state takes the place of the one that is killed.
    fn reconnections(&mut self, settings: &Settings, rows: &mut Vec<Row>) -> Outcome<()> {
        let mut times = Samples::default();
        let mut since = Instant::now();
        for round in 0..if settings.is_quick { 1 } else { 4 } {
            let next = TestLibvirtd::start(&self.program, &self.folder.join("libvirtd.log"))?;
            next.copy(&self.libvirtd)?;
            // What was read anew can be told from what was known before.
            let status = if round % 2 == 0 { "paused" } else { "running" };
            if status == "paused" {
                next.change_all(|domain| domain.suspend().map(drop))?;
            }
            pause(STABLE.saturating_sub(since.elapsed()));
            lead_to(&self.folder.join("libvirt.sock"), &next)?;
            let start = Instant::now();
            std::mem::replace(&mut self.libvirtd, next).kill();
            self.wait_for(status, self.size)?;
            self.wait_until_ready()?;
            times.push_milliseconds(start.elapsed());
            since = Instant::now();
        }
        let row = Row::new(format!("{PREFIX}reconnection with {} VMs: until all was read again", self.size), "ms", times);
        rows.push(row.note("libvirtd is killed and another one answers at its socket; up to 100 ms are the rest before the first try"));
        Ok(())
    }
}

/// Makes the path that hvnoded knows lead to this libvirtd, at once.
fn lead_to(path: &Path, libvirtd: &TestLibvirtd) -> Outcome<()> {
    let new = path.with_extension("new");
    symlink(libvirtd.socket(), &new)?;
    Ok(std::fs::rename(new, path)?)
}
