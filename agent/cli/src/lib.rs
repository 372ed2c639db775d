//! `hvctl`: the command line of a hvnode. It talks to the native API and to nothing else.
//!
//! One command goes: arguments ([`args`]) → what names mean ([`resolve`]) → requests ([`client`]) → what is shown ([`output`]).
//! Each noun of the command line has its file in [`noun`].

mod args;
mod client;
mod complete;
mod context;
mod error;
mod json_text;
mod noun;
mod output;
mod profile;
mod progress;
mod resolve;
mod sparkline;
mod terminal;
mod text;
mod units;
mod view;

use args::{Cli, Command, Global, Shared};
use context::Context;
use error::{CliError, Kind, Result};
use noun::{
    account, api, disk, doctor, event, host, image, job, log, network, profile as profile_noun, repository, specification, tls, token, top,
    user, vm,
};
use output::Output;
use profile::Wanted;
use std::process::ExitCode;
use text::Language;

/// The whole command line, for what is generated from it: man pages.
pub fn command() -> clap::Command {
    args::command()
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    // Where a shell asks for completions, they are printed and that is all.
    if let Some(code) = complete::answer() {
        return code;
    }
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
    if let Command::Completions { shell } = cli.command {
        return out.raw(&complete::script(shell)?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            biased;
            outcome = carry_out(cli, shared, out) => outcome,
            _ = tokio::signal::ctrl_c() => Err(CliError::new(Kind::Interrupted, text!("interrupted"; "已中断"))),
        }
    });
    // a question nobody answered may still hold a thread
    runtime.shutdown_background();
    outcome
}

async fn carry_out(cli: Cli, shared: &Shared, out: Output) -> Result<()> {
    let command = match cli.command {
        Command::Profile(command) => return profile_noun::run(&out, command, variable).await,
        Command::Tls(command) => return tls::run(&command, &out),
        command => command,
    };
    let Global { ca_file, client_certificate, client_key, verbose: is_verbose, .. } = cli.global;
    let wanted = Wanted { url: shared.url.clone(), profile: shared.profile.clone(), ca_file, client_certificate, client_key };
    let (client, profile) = profile::open(&wanted, variable)?;
    let mut context = Context { client, out, is_verbose, profile };
    context.client.limit(shared.timeout);
    dispatch(&mut context, command).await
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
        Command::User(command) => user::run(context, command).await,
        Command::Token(command) => token::run(context, command).await,
        Command::Api(args) => api::run(context, args).await,
        Command::Repository(command) => repository::run(context, command).await,
        Command::Doctor(args) => doctor::run(context, &args).await,
        // they need no node and were answered before
        Command::Completions { .. } | Command::Profile(_) | Command::Tls(_) => Ok(()),
    }
}

/// An environment variable, if it is set and is text.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
