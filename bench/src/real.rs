//! Real VMs on real libvirt, inside a private host: changes through the API against the same calls by hand, statistics, idle memory.
#![allow(clippy::disallowed_methods, reason = "a tool for developers: it runs programs, and the floor is the plain bulk call")]

pub(crate) mod guests;
pub(crate) mod node;

use crate::http::{Connection, Native, get};
use crate::load::latency;
use crate::process::{memory, peak_memory};
use crate::report::{Row, Samples, Target};
use crate::stage::hypervisor_calls;
use crate::{Outcome, Settings, pause, peers};
use guests::{Guests, Side};
use hvnode_core::model::VmTarget;
use hvnode_core::port::{ConnectionState, HostProbe, Hypervisor};
use hvnode_libvirt::{LibvirtConfig, LibvirtHypervisor, PoolDirectories};
use hvnode_probe::ProcProbe;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use node::{METRICS, Node, URI};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use uuid::Uuid;
use virt::connect::Connect;
use virt_sys as sys;

/// Statistics that the plain bulk call is asked for: those that hvnoded reads.
const GROUPS: u32 = sys::VIR_DOMAIN_STATS_STATE
    | sys::VIR_DOMAIN_STATS_CPU_TOTAL
    | sys::VIR_DOMAIN_STATS_BALLOON
    | sys::VIR_DOMAIN_STATS_VCPU
    | sys::VIR_DOMAIN_STATS_INTERFACE
    | sys::VIR_DOMAIN_STATS_BLOCK;
const FLAGS: u32 = sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;
/// Between two measured changes: what the first one still causes is over.
pub(crate) const REST: Duration = Duration::from_millis(150);
/// VMs that are started at once.
const AT_ONCE: usize = 8;

/// Every row of this group. Runs inside the private host, as root.
pub(crate) fn measure(settings: &Settings, kernel: &Path, rows: &mut Vec<Row>) -> Outcome<()> {
    virt::error::clear_error_callback();
    let mut node = Node::install(settings, kernel)?;
    idle(settings, &mut node, rows)?;
    let guests = Guests::make()?;
    starts(settings, &guests, rows)?;
    definitions(settings, &guests, rows)?;
    cycles(settings, &guests, rows)?;
    at_once(settings, &guests, rows)?;
    let count = settings.running_vms.unwrap_or(if settings.is_quick { 20 } else { 100 });
    guests.run(count)?;
    statistics(settings, count, rows)?;
    beside_a_hanging_one(settings, &guests, rows)?;
    if settings.has_peers {
        peers::inside(settings, &guests, count, rows)?;
    }
    Ok(())
}

/// Start and memory of a node without VMs, against a program that only holds a connection.
fn idle(settings: &Settings, node: &mut Node, rows: &mut Vec<Row>) -> Outcome<()> {
    let rounds = if settings.is_quick { 3 } else { 7 };
    let (mut answer, mut resident, mut private) = (Samples::default(), Samples::default(), Samples::default());
    let (mut floor_resident, mut floor_private) = (Samples::default(), Samples::default());
    let (mut anonymous, mut floor_anonymous) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        answer.push_milliseconds(node.run()?);
        pause(Duration::from_secs(2));
        let ours = memory(node.pid())?;
        let floor = node.floor(&settings.program("floor-libvirt")?)?;
        let theirs = memory(floor.pid())?;
        resident.push(ours.resident / 1024.0);
        private.push(ours.private / 1024.0);
        floor_resident.push(theirs.resident / 1024.0);
        floor_private.push(theirs.private / 1024.0);
        anonymous.push(ours.anonymous / 1024.0);
        floor_anonymous.push(theirs.anonymous / 1024.0);
    }
    let row = Row::new("exec to the first answer, on libvirt, no VMs", "ms", answer).target(Target::AtMost(40.0));
    rows.push(row.note("the answer is a list of VMs"));
    let note = "2 s after the start; floor: a program that holds one connection to libvirt";
    let row = Row::new("idle memory, resident", "MiB", resident).floor(floor_resident).target(Target::AtMost(28.0));
    rows.push(row.note(note));
    let row = Row::new("idle memory, private", "MiB", private).floor(floor_private).target(Target::AtMost(8.0));
    rows.push(row.note(format!("{note}; pages of the program that can be read from its file again included")));
    let row = Row::new("idle memory, private, in no file", "MiB", anonymous).floor(floor_anonymous).target(Target::AtMost(8.0));
    rows.push(row.note(note));
    let mut native = Native::open(&node.native())?;
    let password = node.password()?;
    for _ in 0..4 {
        native.post("/v1/user/login", &json!({"user_name": "admin", "password": password}))?;
    }
    pause(Duration::from_secs(1));
    let after = memory(node.pid())?;
    let peak = peak_memory(node.pid())? / 1024.0;
    let row = Row::new("memory after four log-ins, private, in no file", "MiB", Samples::one(after.anonymous / 1024.0))
        .target(Target::AtMost(8.0));
    rows.push(row.note(format!(
        "resident {:.1} MiB, at most {peak:.1}: a log-in takes 19 MiB for some tens of milliseconds",
        after.resident / 1024.0
    )));
    Ok(())
}

/// A row against the calls by hand, and one for the difference.
fn against_raw(name: &str, ours: &Samples, raw: &Samples, extra: &Samples, note: &str, rows: &mut Vec<Row>) {
    let row = Row::new(format!("{name}, through the API"), "ms", ours.clone()).floor(raw.clone()).target(Target::RatioAtMost(1.03));
    rows.push(row.note(note));
    let row = Row::new(format!("{name}: own overhead"), "ms", extra.clone()).target(Target::AtMost(5.0));
    rows.push(row.note("difference of neighbours in the run"));
}

fn starts(settings: &Settings, guests: &Guests, rows: &mut Vec<Row>) -> Outcome<()> {
    let mut times = [[Samples::default(), Samples::default()], [Samples::default(), Samples::default()]];
    let mut extras = [Samples::default(), Samples::default()];
    for _ in 0..if settings.is_quick { 5 } else { 20 } {
        let mut round = [[0.0; 2]; 2];
        for (side, figures) in [Side::Api, Side::Raw].into_iter().zip(&mut round) {
            figures[0] = milliseconds(|| guests.start(side))?;
            pause(REST);
            figures[1] = milliseconds(|| guests.destroy(side))?;
            pause(REST);
        }
        for change in 0..2 {
            times[0][change].push(round[0][change]);
            times[1][change].push(round[1][change]);
            extras[change].push(round[0][change] - round[1][change]);
        }
    }
    let [ours, raw] = times;
    for (change, name) in ["start", "destroy"].into_iter().enumerate() {
        against_raw(name, &ours[change], &raw[change], &extras[change], "same definition, waiting for the end state", rows);
    }
    Ok(())
}

fn definitions(settings: &Settings, guests: &Guests, rows: &mut Vec<Row>) -> Outcome<()> {
    let mut times: [Samples; 4] = Default::default();
    for round in 0..if settings.is_quick { 10 } else { 40 } {
        let vm_name = format!("define-{round}");
        let mut vm_uuid = String::new();
        times[0].push(milliseconds(|| guests.create(&vm_name, false).map(|made| vm_uuid = made))?);
        pause(REST / 3);
        times[2].push(milliseconds(|| guests.delete(&vm_uuid))?);
        pause(REST / 3);
        let mut domain = None;
        times[1].push(milliseconds(|| guests.define_raw().map(|made| domain = Some(made)))?);
        pause(REST / 3);
        let domain = domain.ok_or("nothing was defined")?;
        times[3].push(milliseconds(|| Ok(domain.undefine()?))?);
        pause(REST / 3);
    }
    let [create, define, delete, undefine] = times;
    let note = "a VM without disk and NIC; ours is create and delete: two durable commits each";
    let row = Row::new("define, through the API", "ms", create).floor(define).target(Target::OverheadAtMost(1.5));
    rows.push(row.note(note));
    let row = Row::new("undefine, through the API", "ms", delete).floor(undefine).target(Target::OverheadAtMost(1.5));
    rows.push(row.note(note));
    Ok(())
}

fn cycles(settings: &Settings, guests: &Guests, rows: &mut Vec<Row>) -> Outcome<()> {
    let (mut ours, mut raw, mut extra) = (Samples::default(), Samples::default(), Samples::default());
    for round in 0..if settings.is_quick { 3 } else { 12 } {
        let vm_name = format!("cycle-{round}");
        let api = milliseconds(|| guests.create(&vm_name, true).and_then(|vm_uuid| guests.delete(&vm_uuid)))?;
        pause(REST);
        let by_hand = milliseconds(|| {
            let domain = guests.define_raw()?;
            domain.create()?;
            domain.destroy()?;
            Ok(domain.undefine()?)
        })?;
        pause(REST);
        ours.push(api);
        raw.push(by_hand);
        extra.push(api - by_hand);
    }
    against_raw("whole cycle", &ours, &raw, &extra, "define, start, destroy, undefine; no disk, no NIC", rows);
    Ok(())
}

fn at_once(settings: &Settings, guests: &Guests, rows: &mut Vec<Row>) -> Outcome<()> {
    let names: Vec<String> = (0..AT_ONCE).map(|number| format!("run-{number}")).collect();
    let vm_uuids = guests.ensure(&names)?;
    let mut rates: [Samples; 4] = Default::default();
    for _ in 0..if settings.is_quick { 2 } else { 6 } {
        let rate = |time: f64| AT_ONCE as f64 * 1000.0 / time;
        rates[0].push(rate(milliseconds(|| guests.act_all(&vm_uuids, "/v1/vm/start"))?));
        pause(REST);
        rates[2].push(rate(milliseconds(|| guests.act_all(&vm_uuids, "/v1/vm/stop"))?));
        pause(REST);
        rates[1].push(rate(milliseconds(|| guests.raw_all(&names, |domain| domain.create()))?));
        pause(REST);
        rates[3].push(rate(milliseconds(|| guests.raw_all(&names, |domain| domain.destroy()))?));
        pause(REST);
    }
    let [start, raw_start, destroy, raw_destroy] = rates;
    let note = "8 clients; floor: 8 connections to libvirt";
    rows.push(Row::new("8 VMs at once: starts", "1/s", start).floor(raw_start).target(Target::RatioAtLeast(0.9)).note(note));
    rows.push(Row::new("8 VMs at once: destroys", "1/s", destroy).floor(raw_destroy).target(Target::RatioAtLeast(0.9)).note(note));
    Ok(())
}

/// Scrapes and both tiers, with `count` VMs running.
fn statistics(settings: &Settings, count: usize, rows: &mut Vec<Row>) -> Outcome<()> {
    let rounds = if settings.is_quick { 7 } else { 30 };
    let raw = Connect::open(Some(URI))?;
    let domains = raw.list_all_domains(sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE)?;
    let vm_uuids: Vec<Uuid> = domains.iter().map(virt::domain::Domain::uuid).collect::<Result<_, _>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let hypervisor = adapter(&runtime)?;
    let probe = ProcProbe::default();
    let targets: Vec<VmTarget> = vm_uuids.iter().map(|vm_uuid| VmTarget { vm_uuid: *vm_uuid, nics: Vec::new() }).collect();
    let mut scraper = Connection::open(&METRICS.address())?;
    let scrape = get("/metrics", "");
    let (mut page, mut bulk, mut sweep, mut kernel) = (Samples::default(), Samples::default(), Samples::default(), Samples::default());
    for round in 0..=rounds {
        let bulk_time = milliseconds(|| raw.all_domain_stats(GROUPS, FLAGS).map(drop).map_err(Into::into))?;
        let sweep_time = milliseconds(|| Ok(runtime.block_on(hypervisor.sample_vms(vm_uuids.clone())).map(drop)?))?;
        let mut found = 0;
        let kernel_time = milliseconds(|| {
            found = probe.sample_vms(&targets)?.len();
            Ok(())
        })?;
        let scrapes = latency(&mut scraper, &scrape, 10)?;
        // The first round opens connections and reads definitions.
        if round > 0 {
            bulk.push(bulk_time);
            sweep.push(sweep_time);
            kernel.push(kernel_time * 1e3 / found.max(1) as f64);
            page.push(scrapes.median());
        }
    }
    let row = Row::new(format!("GET /metrics, {count} running VMs"), "ms", page).floor(bulk.clone()).target(Target::AtMost(5.0));
    rows.push(row.note(format!("floor: libvirt's bulk call, {} VMs without a system in them", vm_uuids.len())));
    rows.push(Row::new("libvirt calls during 20 scrapes", "", calls(&mut scraper)?).target(Target::AtMost(0.0)));
    let name = format!("refreshing the statistics of {count} VMs");
    rows.push(Row::new(name, "ms", sweep).floor(bulk).target(Target::RatioAtMost(0.65)).note("floor: libvirt's bulk call, one thread"));
    rows.push(Row::new("kernel tier, per VM", "us", kernel).target(Target::AtMost(60.0)));
    Ok(())
}

/// Calls to libvirt that the daemon counts while it is scraped; the least of a few, for it has work of its own.
fn calls(scraper: &mut Connection) -> Outcome<Samples> {
    let mut least = f64::INFINITY;
    for _ in 0..5 {
        let before = hypervisor_calls(scraper)?;
        for _ in 0..18 {
            hypervisor_calls(scraper)?;
        }
        least = least.min(hypervisor_calls(scraper)? - before);
    }
    Ok(Samples::one(least))
}

fn adapter(runtime: &tokio::runtime::Runtime) -> Outcome<std::sync::Arc<LibvirtHypervisor>> {
    runtime.block_on(async {
        let nowhere = |name: &str| Path::new("/nowhere").join(name);
        let pools = PoolDirectories { images: nowhere("images"), volumes: nowhere("volumes"), console: nowhere("console") };
        let hypervisor = LibvirtHypervisor::start(LibvirtConfig::new(URI, pools))?;
        hypervisor.connection().wait_for(|state| *state == ConnectionState::Up).await?;
        Ok(hypervisor)
    })
}

/// A VM whose QEMU is stopped: the others are started as fast as without it.
fn beside_a_hanging_one(settings: &Settings, guests: &Guests, rows: &mut Vec<Row>) -> Outcome<()> {
    let pid: i32 = std::fs::read_to_string("/run/libvirt/qemu/run-0.pid")?.trim().parse()?;
    let (mut beside, mut without) = (Samples::default(), Samples::default());
    for _ in 0..if settings.is_quick { 3 } else { 10 } {
        for (signal, samples) in [(Signal::SIGSTOP, &mut beside), (Signal::SIGCONT, &mut without)] {
            kill(Pid::from_raw(pid), signal)?;
            pause(REST);
            let time = milliseconds(|| guests.start(Side::Api));
            let stopped = guests.destroy(Side::Api);
            kill(Pid::from_raw(pid), Signal::SIGCONT)?;
            samples.push(time?);
            stopped?;
            pause(REST);
        }
    }
    let row = Row::new("start beside a VM that hangs", "ms", beside).floor(without).target(Target::RatioAtMost(1.1));
    rows.push(row.note("floor: the same start without it"));
    Ok(())
}

/// How long something takes, in milliseconds.
pub(crate) fn milliseconds(work: impl FnOnce() -> Outcome<()>) -> Outcome<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}
