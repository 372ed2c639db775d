//! `hvnoded`: one daemon that turns a KVM host into a cloud node.
//!
//! Configuration in, exit code out. What it does in between is in `lifecycle`; how the parts fit together is in `compose`.

#![forbid(unsafe_code)]

mod cli;
mod compose;
mod config;
mod first_password;
mod identity;
mod journal;
mod lifecycle;
mod logging;
mod metered_store;
mod simulate;
mod sockets;
mod state_dir;
mod status;
mod systemd;
mod tls;

use cli::Simulation;
use cli::{Arguments, Command, Dialect, EXIT_CONFIG};
use config::{Config, ConfigError, Purpose};
use nix::sys::stat::{Mode, umask};
use sockets::Inherited;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Threads that run async code; calls that block have their own.
const ASYNC_THREADS_MAX: usize = 4;
/// Threads for calls that block.
const BLOCKING_THREADS_MAX: usize = 64;
/// How long calls that still block may delay the exit.
const BLOCKING_END: Duration = Duration::from_secs(1);

/// What one run is to do.
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) source: Source,
    pub(crate) simulation: Option<Simulation>,
    pub(crate) pid_file: Option<PathBuf>,
}

/// Where the configuration comes from, also for a reload.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    File(PathBuf),
    /// Simulation without a file: the defaults, with state and unix socket in this folder.
    Temporary(PathBuf),
}

impl Source {
    pub(crate) fn load(&self, purpose: Purpose) -> Result<Config, ConfigError> {
        let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        match self {
            Self::File(path) => config::load(path, environment, purpose),
            Self::Temporary(folder) => {
                let set = |key: &str, value: PathBuf| (format!("HVNODE__{key}"), value.to_string_lossy().into_owned());
                let own = [
                    set("NODE__STATE_DIR", folder.join("state")),
                    set("NODE__RUNTIME_DIR", folder.clone()),
                    set("LISTEN__NATIVE__UNIX", folder.join("hvnode.sock")),
                ];
                let given: Vec<_> = environment.collect();
                let own = own.into_iter().filter(|(name, _)| !given.iter().any(|(other, _)| other == name)).collect::<Vec<_>>();
                config::load_defaults(own.into_iter().chain(given.iter().cloned()), purpose)
            }
        }
    }
}

fn main() -> ExitCode {
    let arguments = match cli::parse() {
        Ok(arguments) => arguments,
        Err(ended) => return ExitCode::from(ended.0),
    };
    if let Some(Command::Openapi { dialect }) = arguments.command {
        return print_openapi(dialect);
    }
    umask(Mode::from_bits_truncate(0o027));
    hvnode_libvirt::keep_memory_small();
    match start(arguments) {
        Ok(code) => code,
        Err(Failure::Config(problems)) => complain(&problems, ExitCode::from(EXIT_CONFIG)),
        Err(Failure::Other(problem)) => complain(&problem, ExitCode::FAILURE),
    }
}

enum Failure {
    Config(String),
    Other(String),
}

impl From<String> for Failure {
    fn from(problem: String) -> Self {
        Self::Other(problem)
    }
}

fn start(arguments: Arguments) -> Result<ExitCode, Failure> {
    let (source, _temporary) = source(&arguments)?;
    let purpose = if arguments.check_config { Purpose::Check } else { Purpose::Run };
    let config = source.load(purpose).map_err(|error| Failure::Config(error.to_string()))?;
    if arguments.check_config {
        return Ok(say("the configuration is right\n"));
    }
    // Before any thread: it cleans the environment.
    let inherited = Inherited::take()?;
    inherited.check(&config).map_err(Failure::Config)?;
    let log = logging::start(&config.log).map_err(Failure::Config)?;
    state_dir::ensure_folder(&config.node.state_dir, "node.state_dir")?;
    state_dir::ensure_folder(&config.node.runtime_dir, "node.runtime_dir")?;
    let _lock = state_dir::lock(&config.node.state_dir)?;
    let settings = Settings { config, source, simulation: arguments.simulation(), pid_file: arguments.pid_file };
    let runtime = runtime().map_err(|error| format!("the async runtime cannot be started: {error}"))?;
    let outcome = runtime.block_on(lifecycle::run(settings, inherited, log));
    runtime.shutdown_timeout(BLOCKING_END);
    Ok(outcome?)
}

/// The configuration's source, and the folder to remove at the end if it is a temporary one.
fn source(arguments: &Arguments) -> Result<(Source, Option<tempfile::TempDir>), Failure> {
    match &arguments.config {
        Some(path) => Ok((Source::File(path.clone()), None)),
        None if arguments.simulate.is_some() => {
            let folder = tempfile::Builder::new().prefix("hvnode-").tempdir();
            let folder = folder.map_err(|error| format!("no folder for temporary state: {error}"))?;
            Ok((Source::Temporary(folder.path().to_owned()), Some(folder)))
        }
        None => Ok((Source::File(PathBuf::from(config::DEFAULT_PATH)), None)),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.clamp(2, ASYNC_THREADS_MAX))
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("hvnoded")
        .enable_all()
        .build()
}

fn print_openapi(dialect: Dialect) -> ExitCode {
    let document = match dialect {
        Dialect::Native => hvnode_api::dialect::native::openapi(),
        Dialect::Openstack => hvnode_api::dialect::openstack::openapi(),
        Dialect::Chimestack => hvnode_api::dialect::chimestack::openapi(),
    };
    match serde_json::to_string_pretty(&document) {
        Ok(text) => say(&format!("{text}\n")),
        Err(error) => complain(&format!("the document cannot be written: {error}"), ExitCode::FAILURE),
    }
}

/// Prints to standard output; a closed one is a failure.
fn say(text: &str) -> ExitCode {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Prints to standard error, where systemd and people look.
fn complain(problem: &str, code: ExitCode) -> ExitCode {
    for line in problem.lines() {
        let _closed = writeln!(std::io::stderr().lock(), "hvnoded: {line}");
    }
    code
}
