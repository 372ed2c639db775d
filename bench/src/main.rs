//! `hvnode-bench`: what the node does, as ratios to what the machine and raw libvirt can do, both measured in the same run, by turns.
//!
//! `bench/run` (`make bench`) builds everything, starts the private host that real VMs live in, and calls this program once outside and
//! once inside of it. Absolute times mean little on shared machines: each row has its floor beside it.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::cast_precision_loss, reason = "a tool for developers")]

mod daemon;
mod driver;
mod http;
mod load;
mod peers;
mod process;
mod reads;
mod real;
mod report;
mod scale;
mod soak;
mod stage;
mod world;

use clap::{Parser, Subcommand};
use report::Row;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Anything that stops a measurement.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
/// What a measurement gives.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Groups of rows that need no private host.
const OUTSIDE: [&str; 5] = ["reads", "scale", "world", "soak", "driver"];
/// The group that needs one.
const REAL: &str = "real";

#[derive(Debug, Parser)]
#[command(about = "Measures hvnoded against its floors; see bench/run")]
struct Arguments {
    /// The hvnoded to measure
    #[arg(long)]
    daemon: PathBuf,
    /// Where files of the run go
    #[arg(long)]
    work: PathBuf,
    /// Fewer rounds, smaller numbers
    #[arg(long)]
    quick: bool,
    /// Measure what people run today too
    #[arg(long)]
    peers: bool,
    /// Only these groups: reads, scale, world, soak, driver, real
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Running VMs for statistics
    #[arg(long)]
    running_vms: Option<usize>,
    /// Lives in the soak
    #[arg(long)]
    soak_cycles: Option<usize>,
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// What needs no private host
    Outside,
    /// What needs one: inside a private host, as root
    Real {
        /// A Linux kernel for VMs without a disk
        #[arg(long)]
        kernel: PathBuf,
    },
    /// The table of what the steps before measured; ends with 3 where a row misses its target
    Report,
}

/// How to measure.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) daemon: PathBuf,
    pub(crate) is_quick: bool,
    pub(crate) has_peers: bool,
    pub(crate) running_vms: Option<usize>,
    pub(crate) soak_cycles: Option<usize>,
    work: PathBuf,
}

impl Settings {
    /// A folder for files of one group.
    pub(crate) fn folder(&self, name: &str) -> Outcome<PathBuf> {
        let folder = self.work.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// A program that was built with this one.
    pub(crate) fn program(&self, name: &str) -> Outcome<PathBuf> {
        let own = std::env::current_exe()?;
        Ok(own.parent().ok_or("no folder of programs")?.join(name))
    }
}

/// Lets time pass. Only where time itself is what is measured, or between two looks.
#[allow(clippy::disallowed_methods, reason = "no async code waits here")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hvnode-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<ExitCode> {
    std::fs::create_dir_all(&arguments.work)?;
    let settings = Settings {
        daemon: arguments.daemon.canonicalize()?,
        is_quick: arguments.quick,
        has_peers: arguments.peers,
        running_vms: arguments.running_vms,
        soak_cycles: arguments.soak_cycles,
        work: arguments.work.canonicalize()?,
    };
    let is_wanted = |group: &str| arguments.only.is_empty() || arguments.only.iter().any(|wanted| wanted == group);
    match &arguments.step {
        Step::Outside => {
            for group in OUTSIDE.into_iter().filter(|group| is_wanted(group)) {
                let measure = match group {
                    "reads" => reads::measure,
                    "scale" => scale::measure,
                    "world" => world::measure,
                    "driver" => driver::measure,
                    _ => soak::measure,
                };
                measure_group(&settings, group, |rows| measure(&settings, rows))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Step::Real { kernel } => {
            if is_wanted(REAL) {
                measure_group(&settings, REAL, |rows| real::measure(&settings, kernel, rows))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Step::Report => report_all(&settings),
    }
}

/// Measures a group and keeps its rows. A group that breaks off keeps what it has, and says so in the table.
fn measure_group(settings: &Settings, group: &str, measure: impl FnOnce(&mut Vec<Row>) -> Outcome<()>) -> Outcome<()> {
    let start = Instant::now();
    let mut rows = Vec::new();
    if let Err(error) = measure(&mut rows) {
        eprintln!("{group}: {error}");
        rows.push(Row::missing(format!("{group}: broke off"), error.to_string()));
    }
    eprintln!("{group}: {} rows in {:.0?}", rows.len(), start.elapsed());
    Ok(report::write_json(&rows_file(settings, group), &report::to_json(&rows))?)
}

fn rows_file(settings: &Settings, group: &str) -> PathBuf {
    settings.work.join(format!("rows-{group}.json"))
}

/// Joins what the steps measured into `results.json` and prints the table.
fn report_all(settings: &Settings) -> Outcome<ExitCode> {
    let mut rows = Vec::new();
    for group in [REAL].into_iter().chain(OUTSIDE) {
        let path = rows_file(settings, group);
        if Path::exists(&path) {
            let values: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)?;
            rows.extend(values.as_array().cloned().unwrap_or_default());
        }
    }
    let results = settings.work.join("results.json");
    report::write_json(&results, &rows)?;
    print!("{}", report::table(&rows));
    let missed = rows.iter().filter(|row| row["ok"] == false).count();
    println!("\n{} rows, {missed} miss their target; {}", rows.len(), results.display());
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::from(3) })
}
