//! The command line: what every command shares, and the list of nouns. Each noun keeps its own arguments beside its code.

use crate::complete::{self, Shell};
use crate::error::EXIT_CODES;
use crate::noun;
use crate::text::Language;
use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Create, run and look after the virtual machines of a hvnode
#[derive(Debug, Parser)]
#[command(name = "hvctl", version, after_help = EXIT_CODES, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options that may stand anywhere.
#[derive(Debug, Args)]
#[command(next_help_heading = EVERYWHERE)]
pub(crate) struct Global {
    /// Print the data object as the API gave it
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Language of messages: en or zh [default: from the locale]
    #[arg(long, global = true, value_name = "LANGUAGE")]
    pub(crate) language: Option<Language>,
    /// Trust the certificate authorities in this file, in place of the system's, with https:// [default: HVNODE_CA_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Show this client certificate to the node; it may take the place of a log-in [default: HVNODE_CLIENT_CERTIFICATE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) client_certificate: Option<PathBuf>,
    /// The private key of the client certificate [default: HVNODE_CLIENT_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) client_key: Option<PathBuf>,
    /// With a failure, also print where in the node it arose
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

/// Heading in every command's help.
const EVERYWHERE: &str = "Options of every command";

/// Options that may stand anywhere but behind a command with an option of that name of its own: `image create --url`, `vm stop --timeout`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shared {
    /// `--url`: where the node listens.
    pub(crate) url: Option<String>,
    /// `--profile`: a node by its name in the configuration.
    pub(crate) profile: Option<String>,
    /// `--timeout`: seconds after which hvctl gives up.
    pub(crate) timeout: Option<u32>,
}

/// Reads the command line; ends the process where it is wrong or asks for help.
pub(crate) fn parse() -> (Cli, Shared) {
    try_parse(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

fn try_parse(line: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> clap::error::Result<(Cli, Shared)> {
    let matches = command().try_get_matches_from(line)?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))?;
    Ok((
        cli,
        Shared { url: innermost(&matches, URL_ID), profile: innermost(&matches, PROFILE_ID), timeout: innermost(&matches, TIMEOUT_ID) },
    ))
}

const URL_ID: &str = "shared_url";
const PROFILE_ID: &str = "shared_profile";
const TIMEOUT_ID: &str = "shared_timeout";

/// The whole command line, with the shared options on every command that has none of that name itself.
pub(crate) fn command() -> clap::Command {
    let url = Arg::new(URL_ID).long("url").value_name("URL").help_heading(EVERYWHERE).help(
        "Where the node listens: https://HOST:PORT, http://HOST:PORT or unix:/PATH [default: HVNODE_URL, else the node's socket, else http://127.0.0.1:7070]",
    );
    let profile = Arg::new(PROFILE_ID)
        .long("profile")
        .value_name("NAME")
        .help_heading(EVERYWHERE)
        .add(complete::profiles())
        .help("Node by its name in ~/.config/hvctl/config.toml [default: HVNODE_PROFILE, else its default]");
    let timeout = Arg::new(TIMEOUT_ID)
        .long("timeout")
        .value_name("SECONDS")
        .help_heading(EVERYWHERE)
        .value_parser(clap::value_parser!(u32).range(1..=7 * 86400))
        .help("Give up after so long (exit code 5); a job that was started goes on");
    spread(Cli::command(), &[url, profile, timeout])
}

fn spread(mut command: clap::Command, options: &[Arg]) -> clap::Command {
    for option in options {
        if !command.get_arguments().any(|own| own.get_long() == option.get_long()) {
            command = command.arg(option.clone());
        }
    }
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    names.iter().fold(command, |command, name| command.mut_subcommand(name, |sub| spread(sub, options)))
}

/// What was said last, from left to right.
fn innermost<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, id: &str) -> Option<T> {
    let here = matches.try_get_one::<T>(id).ok().flatten().cloned();
    matches.subcommand().and_then(|(_, deeper)| innermost(deeper, id)).or(here)
}

/// The nouns, and the commands about hvctl itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log in; the token is kept for later commands
    Login(noun::account::LoginArgs),
    /// Forget the token, here and on the node
    Logout,
    /// Show who you are to the node
    Whoami,
    /// Virtual machines
    #[command(subcommand)]
    Vm(noun::vm::VmCommand),
    /// The machine the node runs on
    #[command(subcommand)]
    Host(noun::host::HostCommand),
    /// Watch what the host and its VMs do
    Top(noun::top::TopArgs),
    /// Images that VMs are made from
    #[command(subcommand)]
    Image(noun::image::ImageCommand),
    /// Specifications: cpu and memory shapes of VMs
    #[command(subcommand, alias = "specification")]
    Spec(noun::specification::SpecificationCommand),
    /// Networks that VMs can be on
    #[command(subcommand)]
    Network(noun::network::NetworkCommand),
    /// Disks of VMs
    #[command(subcommand, alias = "usd")]
    Disk(noun::disk::DiskCommand),
    /// Jobs: every change, while it runs and after
    #[command(subcommand)]
    Job(noun::job::JobCommand),
    /// Events: what happened on the node, in order
    #[command(subcommand)]
    Event(noun::event::EventCommand),
    /// The operation log: who asked for what, and how it ended
    #[command(subcommand)]
    Log(noun::log::LogCommand),
    /// Certificates for a small site: an authority, the node's certificate, and clients'
    #[command(subcommand)]
    Tls(noun::tls::TlsCommand),
    /// Users: who may log in, and what they may do
    #[command(subcommand)]
    User(noun::user::UserCommand),
    /// Tokens for programs
    #[command(subcommand)]
    Token(noun::token::TokenCommand),
    /// Repositories: where images lie
    #[command(subcommand)]
    Repository(noun::repository::RepositoryCommand),
    /// Look whether the node can do its work, and what to do where it cannot
    Doctor(noun::doctor::DoctorArgs),
    /// Profiles: nodes that have a name here
    #[command(subcommand)]
    Profile(noun::profile::ProfileCommand),
    /// Print a completion script that knows the node's names, such as: hvctl completions bash > ~/.local/share/bash-completion/completions/hvctl
    #[command(alias = "completion")]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Send one raw request to the API and print its data
    Api(noun::api::ApiArgs),
}

/// What to list and in which order.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// Only those in this state
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// In which order and how many.
#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// Sort by name (A to Z) or create-time (newest first, the default)
    #[arg(long, value_enum)]
    pub(crate) sort: Option<SortKey>,
    /// Sort the other way round
    #[arg(long)]
    pub(crate) reverse: bool,
    /// At most this many
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) limit: u16,
    /// All of them, however many
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
}

/// What a list can be sorted by: names from A to Z, times from the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortKey {
    Name,
    CreateTime,
}

impl PageArgs {
    /// As query parameters.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("page_size", if self.all { 0 } else { self.limit }.to_string())];
        let key = self.sort.unwrap_or(SortKey::CreateTime);
        if self.sort.is_some() || self.reverse {
            let is_ascending = (key == SortKey::Name) != self.reverse;
            query.push(("sort_by", if key == SortKey::Name { "name" } else { "create_time" }.into()));
            query.push(("sort_order", if is_ascending { "asc" } else { "desc" }.into()));
        }
        query
    }
}

impl ListArgs {
    /// As query parameters.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = self.page.query();
        query.extend(self.name.clone().map(|name| ("name", name)));
        query.extend(self.status.clone().map(|status| ("status", status)));
        query
    }
}

/// How to wait for a change.
#[derive(Debug, Clone, Args)]
pub(crate) struct WaitArgs {
    /// Do not wait: print the job's uuid
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// Several things to change.
#[derive(Debug, Args)]
pub(crate) struct ManyArgs {
    /// Names or uuids
    #[arg(required = true, value_name = "NAME", add = complete::named())]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Several things to delete.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) many: ManyArgs,
    /// Do not ask first
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Reads `key=value`.
///
/// # Errors
/// What would be right.
pub(crate) fn parse_pair(input: &str) -> Result<(String, String), String> {
    match input.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("'{input}' is no pair: write key=value")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_command_and_every_exit_code_stands_in_the_document() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/hvctl.md");
        let document = std::fs::read_to_string(path).unwrap();
        let rows: Vec<&str> = document.lines().filter(|line| line.starts_with('|')).collect();
        for noun in command().get_subcommands().filter(|noun| noun.get_name() != "help") {
            let name = noun.get_name();
            let row = rows.iter().find(|row| row.contains(&format!("`{name}`"))).unwrap_or_else(|| panic!("docs/hvctl.md lacks {name}"));
            for verb in noun.get_subcommands().filter(|verb| verb.get_name() != "help") {
                let verb = verb.get_name();
                assert!(row.split([' ', ',', ';', '|']).any(|word| word == verb), "docs/hvctl.md lacks {name} {verb}: {row}");
            }
        }
        let codes = EXIT_CODES.lines().skip(1).map_while(|line| line.split_whitespace().next()?.parse::<u8>().ok());
        for code in codes {
            assert!(rows.iter().any(|row| row.starts_with(&format!("| {code} |"))), "docs/hvctl.md lacks exit code {code}");
        }
    }

    fn shared(line: &str) -> Shared {
        try_parse(line.split(' ')).unwrap().1
    }

    #[test]
    fn the_shared_options_may_stand_before_and_behind_the_command() {
        let both = || Shared { url: Some("http://a:1".into()), profile: None, timeout: Some(5) };
        assert_eq!(shared("hvctl --url http://a:1 --timeout 5 vm list"), both());
        assert_eq!(shared("hvctl vm list --url http://a:1 --timeout 5"), both());
        assert_eq!(shared("hvctl vm --timeout 5 show web --url http://a:1"), both());
        assert_eq!(shared("hvctl vm list --profile a").profile.as_deref(), Some("a"));
        assert_eq!(shared("hvctl vm list"), Shared::default());
    }

    #[test]
    fn a_commands_own_option_is_not_taken_for_the_shared_one() {
        let stop = shared("hvctl --timeout 9 vm stop web --timeout 5");
        assert_eq!(stop.timeout, Some(9), "the guest's time is not ours");
        let create = shared("hvctl --url http://node:1 image create i --url http://images/i.qcow2");
        assert_eq!(create.url.as_deref(), Some("http://node:1"));
        assert_eq!(shared("hvctl image create i --url http://images/i.qcow2").url, None);
    }

    fn page(text: &[&str]) -> Vec<(&'static str, String)> {
        match try_parse(["hvctl", "vm", "list"].iter().chain(text)).unwrap().0.command {
            Command::Vm(noun::vm::VmCommand::List(args)) => args.query(),
            _ => panic!("not a list"),
        }
    }

    #[test]
    fn list_options_become_parameters_and_defaults_are_left_to_the_node() {
        assert_eq!(page(&[]), [("page_size", "50".into())]);
        assert_eq!(page(&["--all", "--name", "web"]), [("page_size", "0".into()), ("name", "web".into())]);
        assert_eq!(page(&["--sort", "name"]), [("page_size", "50".into()), ("sort_by", "name".into()), ("sort_order", "asc".to_owned())]);
        assert_eq!(page(&["--reverse"])[1..], [("sort_by", "create_time".to_owned()), ("sort_order", "asc".to_owned())]);
    }

    #[test]
    fn pairs_may_hold_equal_signs_in_their_value() {
        assert_eq!(parse_pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(parse_pair("=b").is_err() && parse_pair("ab").is_err());
    }
}
