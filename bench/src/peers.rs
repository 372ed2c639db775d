//! What people run today, on the same VMs in the same run. What is not installed is said, never skipped.
#![allow(clippy::disallowed_methods, reason = "a tool for developers: running programs is what it does")]

use crate::daemon::{Running, free_port};
use crate::http::{Address, Connection, get};
use crate::load::latency;
use crate::process::memory;
use crate::real::guests::Guests;
use crate::real::node::{METRICS, URI, native, run};
use crate::real::{REST, milliseconds};
use crate::report::{Row, Samples};
use crate::{Outcome, Settings, pause};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a peer may take to be there.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every peer. One that fails is a line in the table.
pub(crate) fn inside(settings: &Settings, guests: &Guests, count: usize, rows: &mut Vec<Row>) -> Outcome<()> {
    let rounds = if settings.is_quick { 3 } else { 10 };
    let peers = [
        ("peer: whole cycle with virsh", virsh(guests, rounds)),
        ("peer: scrape with prometheus-libvirt-exporter", exporter(rounds, count)),
        ("peer: reads and memory of Incus", incus(rounds)),
    ];
    for (name, measured) in peers {
        match measured {
            Ok(measured) => rows.extend(measured),
            Err(error) => rows.push(Row::missing(name, error.to_string())),
        }
    }
    Ok(())
}

/// Folders of programs: the path, and what `bench/run` unpacked.
fn program_folders() -> Vec<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let unpacked = unpacked().into_iter().flat_map(|root| ["usr/bin", "usr/sbin", "usr/libexec/incus"].map(|folder| root.join(folder)));
    path.split(':').map(PathBuf::from).chain(unpacked).collect()
}

/// Where packages were unpacked that are not installed.
fn unpacked() -> Option<PathBuf> {
    std::env::var_os("BENCH_PEERS").map(PathBuf::from).filter(|root| root.is_dir())
}

fn find(program: &str) -> Outcome<PathBuf> {
    let found = program_folders().into_iter().map(|folder| folder.join(program)).find(|path| path.exists());
    found.ok_or_else(|| format!("{program} is not installed here").into())
}

/// A program that finds its libraries and helpers where it was unpacked.
fn command(program: &str) -> Outcome<Command> {
    let mut command = Command::new(find(program)?);
    command.env("PATH", std::env::join_paths(program_folders())?);
    if let Some(root) = unpacked() {
        command.env("LD_LIBRARY_PATH", std::env::join_paths(["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|l| root.join(l)))?);
    }
    Ok(command)
}

/// A script that calls virsh for each step, as operators have them.
fn virsh(guests: &Guests, rounds: usize) -> Outcome<Vec<Row>> {
    find("virsh")?;
    std::fs::write("/run/by-hand.xml", &guests.definition)?;
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    for round in 0..rounds {
        let vm_name = format!("peer-{round}");
        ours.push(milliseconds(|| guests.create(&vm_name, true).and_then(|vm_uuid| guests.delete(&vm_uuid)))?);
        pause(REST);
        theirs.push(milliseconds(|| {
            for words in [["define", "/run/by-hand.xml"], ["start", "by-hand"], ["destroy", "by-hand"], ["undefine", "by-hand"]] {
                run(Command::new("virsh").args(["-q", "-c", URI]).args(words))?;
            }
            Ok(())
        })?);
        pause(REST);
    }
    Ok(vec![Row::new("peer: whole cycle with virsh", "ms", ours).floor(theirs).note("in place of the floor: four calls of virsh")])
}

/// Debian's exporter asks libvirt in each scrape.
fn exporter(rounds: usize, count: usize) -> Outcome<Vec<Row>> {
    let port = free_port()?;
    let log = File::create("/run/exporter.log")?;
    let mut command = command("prometheus-libvirt-exporter")?;
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg(format!("--libvirt.uri={URI}"));
    let start = Instant::now();
    let mut running = Running::spawn(command.stdout(log.try_clone()?).stderr(log))?;
    let theirs = Address::Tcp(format!("127.0.0.1:{port}"));
    // It sends pages in pieces, unless they are asked for as HTTP/1.0: then the connection's end is the page's end.
    running.wait_until(start, PATIENCE, || std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok())?;
    let mut connection = Connection::open(&METRICS.address())?;
    let (mut scrape, mut floor) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        scrape.push(latency(&mut connection, &get("/metrics", ""), 1)?.median());
        let start = Instant::now();
        let page = crate::http::page(&theirs, "/metrics")?;
        floor.push_milliseconds(start.elapsed());
        if !page.contains("libvirt_") {
            return Err(format!("its page has no VM: {}", page.lines().next().unwrap_or_default()).into());
        }
    }
    let note = format!("in place of the floor: Debian's exporter, {count} VMs");
    let ours = memory(daemon_pid()?)?;
    let theirs = memory(running.pid())?;
    Ok(vec![
        Row::new("peer: scrape with prometheus-libvirt-exporter", "ms", scrape).floor(floor).note(note),
        Row::new("peer: memory of prometheus-libvirt-exporter, private", "MiB", Samples::one(ours.private / 1024.0))
            .floor(Samples::one(theirs.private / 1024.0))
            .note(format!("ours drives {count} VMs; in place of the floor: the exporter alone")),
    ])
}

fn daemon_pid() -> Outcome<u32> {
    let text = run(Command::new("pidof").args(["-s", "hvnoded"]))?;
    Ok(text.trim().parse()?)
}

/// Incus without instances: its own reads, and its memory.
fn incus(rounds: usize) -> Outcome<Vec<Row>> {
    let folder = Path::new("/run/incus");
    std::fs::create_dir_all(folder)?;
    let log = File::create("/run/incusd.log")?;
    let mut command = command("incusd")?;
    command.env("INCUS_DIR", folder).env("INCUS_SOCKET", folder.join("unix.socket")).stdout(log.try_clone()?).stderr(log.try_clone()?);
    let start = Instant::now();
    let mut running = Running::spawn(command.stdin(Stdio::null()))?;
    let address = Address::Unix(folder.join("unix.socket"));
    let time = running.wait_for_answer(&address, "/1.0/instances", start)?;
    pause(Duration::from_secs(3));
    let (mut theirs, mut ours) = (Connection::open(&address)?, Connection::open(&native())?);
    let (mut reads, mut floor) = (Samples::default(), Samples::default());
    for _ in 0..rounds * 10 {
        reads.push(latency(&mut ours, &get("/v1/vm/list?page_size=0", ""), 1)?.median());
        floor.push(latency(&mut theirs, &get("/1.0/instances?recursion=1", ""), 1)?.median());
    }
    let (ours, theirs) = (memory(daemon_pid()?)?, memory(running.pid())?);
    Ok(vec![
        Row::new("peer: list, against Incus", "ms", reads).floor(floor).note("ours lists all VMs of this run, Incus has none"),
        Row::new("peer: memory against Incus, private", "MiB", Samples::one(ours.private / 1024.0))
            .floor(Samples::one(theirs.private / 1024.0))
            .note(format!("incusd without instances; it took {} ms to its first answer", time.as_millis())),
    ])
}
