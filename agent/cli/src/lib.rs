//! `hvctl`: the command line of a hvnode. It talks to the native API and to nothing else.
//!
//! One command goes: arguments ([`args`]) → what names mean ([`resolve`]) → requests ([`client`]) → what is shown ([`output`]).
//! Each noun of the command line has its file in [`noun`].

mod args;
mod client;
mod context;
mod error;
mod json_text;
mod noun;
mod output;
mod progress;
mod resolve;
mod sparkline;
mod terminal;
mod text;
mod units;
mod view;

use args::{Cli, Command, Shared};
use client::{Client, Endpoint, Session};
use context::Context;
use error::{CliError, Kind, Result};
use noun::{account, api, disk, event, host, image, job, log, network, specification, top, vm};
use output::Output;
use std::process::ExitCode;
use text::Language;

/// The whole command line, for what is generated from it: man pages.
pub fn command() -> clap::Command {
    args::command()
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let (cli, shared) = args::parse();
    let language = cli.global.language.unwrap_or_else(|| Language::from_locale(variable));
    let out = Output::new(cli.global.json, language, variable("NO_COLOR").is_some_and(|value| !value.is_empty()));
    let is_verbose = cli.global.verbose;
    match run(cli, &shared, out.clone()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_silent() {
                out.failure(&error, is_verbose);
            }
            ExitCode::from(error.kind().exit_code())
        }
    }
}

/// Runs one command; Ctrl-C ends it, whatever it waits for.
fn run(cli: Cli, shared: &Shared, out: Output) -> Result<()> {
    if let Command::Completion { shell } = cli.command {
        return print_completion(shell, &out);
    }
    let endpoint = Endpoint::choose(shared.url.as_deref(), variable, |path| path.exists())?;
    let session = Session::open(&endpoint, variable);
    let mut context = Context { client: Client::new(endpoint, session), out, is_verbose: cli.global.verbose };
    context.client.limit(shared.timeout);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            biased;
            outcome = dispatch(&mut context, cli.command) => outcome,
            _ = tokio::signal::ctrl_c() => Err(CliError::new(Kind::Interrupted, text!("interrupted"; "已中断"))),
        }
    });
    // a question nobody answered may still hold a thread
    runtime.shutdown_background();
    outcome
}

async fn dispatch(context: &mut Context, command: Command) -> Result<()> {
    match command {
        Command::Login(args) => account::login(context, args).await,
        Command::Logout => account::logout(context).await,
        Command::Whoami => account::whoami(context).await,
        Command::Vm(command) => vm::run(context, command).await,
        Command::Host(command) => host::run(context, command).await,
        Command::Top(args) => top::run(context, &args).await,
        Command::Image(command) => image::run(context, command).await,
        Command::Spec(command) => specification::run(context, command).await,
        Command::Network(command) => network::run(context, command).await,
        Command::Disk(command) => disk::run(context, command).await,
        Command::Job(command) => job::run(context, command).await,
        Command::Event(command) => event::run(context, command).await,
        Command::Log(command) => log::run(context, command).await,
        Command::Api(args) => api::run(context, args).await,
        // it needs no node and was answered before
        Command::Completion { .. } => Ok(()),
    }
}

fn print_completion(shell: clap_complete::Shell, out: &Output) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "hvctl", &mut script);
    out.raw(&String::from_utf8_lossy(&script))
}

/// An environment variable, if it is set and is text.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
