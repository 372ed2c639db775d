//! Completions in the shell that know the names on the node. The shell runs hvctl again with `HVCTL_COMPLETE` set and the words typed
//! so far; what can be asked of the node within a moment is offered, and where it does not answer nothing is said.

use crate::error::{CliError, Kind, Result};
use crate::profile::{self, Profiles, Wanted};
use crate::resolve::{self, DISK, IMAGE, NETWORK, SPECIFICATION, VM};
use crate::text;
use crate::view::{entries, text};
use crate::{args, variable};
use clap::ValueEnum;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Set by the script in the shell.
const VARIABLE: &str = "HVCTL_COMPLETE";
/// How long the node may take: a person waits.
const PATIENCE: Duration = Duration::from_millis(800);
/// Most names asked for.
const NAMES_MAX: u32 = 1000;

/// Shells there is a script for. They have no doc comments, as with `Language`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// The script that makes `shell` ask.
pub(crate) fn script(shell: Shell) -> Result<String> {
    let name = match shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let mut script = Vec::new();
    let written =
        Shells::builtins().completer(name).map(|completer| completer.write_registration(VARIABLE, "hvctl", "hvctl", "hvctl", &mut script));
    match written {
        Some(Ok(())) => Ok(String::from_utf8_lossy(&script).into_owned()),
        _ => Err(CliError::new(Kind::Failed, text!("there is no script for {name}"; "没有 {name} 的补全脚本"))),
    }
}

/// Answers a shell that asks for completions; `None` where none does.
pub(crate) fn answer() -> Option<ExitCode> {
    variable(VARIABLE)?;
    let here = std::env::current_dir().ok();
    match CompleteEnv::with_factory(args::command).var(VARIABLE).bin("hvctl").try_complete(std::env::args_os(), here.as_deref()) {
        Ok(false) => None,
        // words that make no sense have no completions; there is nobody to be told
        Ok(true) | Err(_) => Some(ExitCode::SUCCESS),
    }
}

/// Names of what the noun on the command line stands for: `hvctl image delete …` offers images.
pub(crate) fn named() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| {
        let words = words();
        let is_noun = |noun: &str| words.iter().any(|word| word == noun);
        match () {
            () if is_noun("image") => names_of(&IMAGE, begun),
            () if is_noun("spec") || is_noun("specification") => names_of(&SPECIFICATION, begun),
            () if is_noun("network") => names_of(&NETWORK, begun),
            () if is_noun("disk") || is_noun("usd") => names_of(&DISK, begun),
            () => names_of(&VM, begun),
        }
    })
}

/// Names of VMs.
pub(crate) fn vms() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| names_of(&VM, begun))
}

/// Names of images.
pub(crate) fn images() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| names_of(&IMAGE, begun))
}

/// Names of networks.
pub(crate) fn networks() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| names_of(&NETWORK, begun))
}

/// Names of specifications.
pub(crate) fn specifications() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| names_of(&SPECIFICATION, begun))
}

/// Uuids of jobs, the newest first, with what they do.
pub(crate) fn jobs() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| {
        let query = [("page_size", "100".to_owned())];
        let list = ask("/v1/job/list", &query).unwrap_or_default();
        let candidates = entries(&list).map(|job| {
            let about = format!("{} {} {}", text(job, "action"), text(job, "resource_name"), text(job, "status"));
            (text(job, "job_uuid"), about)
        });
        fitting(candidates, begun)
    })
}

/// Names of profiles; they need no node.
pub(crate) fn profiles() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| {
        let Ok(profiles) = Profiles::read(variable) else { return Vec::new() };
        let all = profiles.all().map(|profile| {
            let node = profile.endpoint().map(|endpoint| endpoint.to_string()).unwrap_or_default();
            (profile.name.clone(), node)
        });
        fitting(all, begun)
    })
}

fn names_of(kind: &resolve::Kind, begun: &OsStr) -> Vec<CompletionCandidate> {
    // the node gives those that contain what was begun; the shell wants those that begin with it
    let mut query = vec![("page_size", NAMES_MAX.to_string()), ("sort_by", "name".to_owned()), ("sort_order", "asc".to_owned())];
    query.extend(begun.to_str().filter(|begun| !begun.is_empty()).map(|begun| ("name", begun.to_owned())));
    let list = ask(kind.list_path, &query).unwrap_or_default();
    fitting(entries(&list).map(|entry| (text(entry, kind.name_key), text(entry, "status"))), begun)
}

fn fitting(candidates: impl Iterator<Item = (String, String)>, begun: &OsStr) -> Vec<CompletionCandidate> {
    let begun = begun.to_string_lossy();
    let fits = candidates.filter(|(name, _)| name.starts_with(&*begun) && !name.chars().any(char::is_control));
    fits.map(|(name, about)| CompletionCandidate::new(name).help((!about.is_empty()).then(|| about.into()))).collect()
}

/// The words typed so far: what stands behind the `--` of the script.
fn words() -> Vec<OsString> {
    std::env::args_os().skip_while(|word| word != "--").skip(1).collect()
}

/// The value of an option among the words, the last one of several.
fn option(words: &[OsString], name: &str) -> Option<String> {
    let with_equals = format!("{name}=");
    let mut found = None;
    for (index, word) in words.iter().filter_map(|word| word.to_str()).enumerate() {
        if let Some(value) = word.strip_prefix(&with_equals) {
            found = Some(value.to_owned());
        } else if word == name {
            found = words.get(index + 1).and_then(|value| value.to_str()).map(str::to_owned).or(found);
        }
    }
    found
}

/// Asks the node that the words mean for a list. Nothing, where anything stands in the way.
fn ask(path: &str, query: &[(&str, String)]) -> Option<serde_json::Value> {
    let words = words();
    // `image create --url` is where the image comes from
    let url = option(&words, "--url").filter(|_| !words.iter().any(|word| word == "create" || word == "add"));
    let profile = option(&words, "--profile");
    let path_of = |name: &str| option(&words, name).map(PathBuf::from);
    let (ca_file, client_certificate, client_key) = (path_of("--ca-file"), path_of("--client-certificate"), path_of("--client-key"));
    let wanted = Wanted { url, profile, ca_file, client_certificate, client_key };
    let (mut client, _) = profile::open(&wanted, variable).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, client.get(path, query)).await.ok()?.ok() });
    runtime.shutdown_background();
    answer.map(|mut answer| answer.value["list"].take())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_an_option_counts_in_both_spellings() {
        let words: Vec<OsString> =
            ["hvctl", "--url", "http://a:1", "vm", "--url=http://b:1", "show", "--profile"].map(OsString::from).into();
        assert_eq!(option(&words, "--url").as_deref(), Some("http://b:1"));
        assert_eq!(option(&words, "--profile"), None);
    }

    #[test]
    fn names_with_control_characters_never_reach_the_shell() {
        let all = [("web".to_owned(), String::new()), ("we\u{1b}[2J".to_owned(), String::new()), ("db".to_owned(), String::new())];
        let offered = fitting(all.into_iter(), OsStr::new("we"));
        assert_eq!(offered.iter().map(|c| c.get_value().to_owned()).collect::<Vec<_>>(), ["web"]);
    }

    #[test]
    fn there_is_a_script_for_each_shell() {
        for shell in Shell::value_variants() {
            assert!(script(*shell).unwrap().contains(VARIABLE), "{shell:?}");
        }
    }
}
