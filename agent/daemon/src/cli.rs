//! The command line.

// With its path, because the man page is made from this file, where it is a module of another crate.
#[path = "cli/simulation.rs"]
mod simulation;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand, ValueEnum};
pub(crate) use simulation::{Disturbance, Simulation};
use simulation::{FAULTS_HELP, VMS_MAX};
use std::path::PathBuf;

/// The node agent: drives KVM guests through libvirt and serves the API.
#[derive(Debug, Parser)]
#[command(name = "hvnoded", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    /// Configuration file [default: /etc/hvnode/hvnode.toml]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Read the configuration, say what is wrong with it, and end
    #[arg(long)]
    pub(crate) check_config: bool,

    /// Serve an in-memory node without libvirt, with so many VMs; without --config the state is temporary
    #[arg(long, value_name = "VMS", num_args = 0..=1, default_missing_value = "0", value_parser = clap::value_parser!(u32).range(0..=i64::from(VMS_MAX)))]
    pub(crate) simulate: Option<u32>,

    /// What goes wrong in the simulation: start=fail@10, disk=slow:2s, libvirt=down:20s/300s, vm=crash/60s, …
    #[arg(long, value_name = "FAULTS", value_delimiter = ',', requires = "simulate", long_help = format!("What goes wrong in the simulation: {FAULTS_HELP}"))]
    pub(crate) simulate_faults: Vec<Disturbance>,

    /// Write the process id here once the node is ready
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

impl Arguments {
    /// What to simulate, if anything.
    pub(crate) fn simulation(&self) -> Option<Simulation> {
        self.simulate.map(|vms| Simulation { vms, faults: self.simulate_faults.clone() })
    }
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Command {
    /// Print the OpenAPI document of a dialect
    Openapi {
        /// Which one
        dialect: Dialect,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Dialect {
    Native,
    Openstack,
    Chimestack,
}

/// Why the program ends without running: text was printed, this is the exit code.
pub(crate) struct Ended(pub(crate) u8);

/// Exit code for a wrong command line (`EX_USAGE`).
pub(crate) const EXIT_USAGE: u8 = 64;
/// Exit code for a wrong configuration (`EX_CONFIG`).
pub(crate) const EXIT_CONFIG: u8 = 78;

/// Reads the command line; prints help, version or what is wrong.
pub(crate) fn parse() -> Result<Arguments, Ended> {
    Arguments::try_parse().map_err(|error| {
        let is_asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        // A closed terminal is nothing to report to.
        let _closed = error.print();
        Ended(if is_asked_for { 0 } else { EXIT_USAGE })
    })
}
