//! Writes the man pages into a folder: `hvctl(1)` and one for each of its commands, `hvnoded(8)`, `hvnode.toml(5)`.
//!
//! Nothing is written twice: commands and options come from the programs' own command lines, the configuration from
//! `config/hvnode.toml`, which a test of the daemon holds true to its code. Part of building packages; not shipped itself.

mod configuration;
/// The daemon's own command line, which knows nothing else of the daemon.
#[allow(dead_code, reason = "the daemon uses the rest")]
#[path = "../../../agent/daemon/src/cli.rs"]
mod daemon;

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Shown at the head of every page.
const MANUAL: &str = "hvnode";

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return complain("usage: hvnode-manual FOLDER");
    };
    match write_all(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("the man pages cannot be written to {}: {error}", folder.display())),
    }
}

fn complain(problem: &str) -> ExitCode {
    let _closed = writeln!(std::io::stderr().lock(), "{problem}");
    ExitCode::FAILURE
}

fn write_all(folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(hvctl::command().disable_help_subcommand(true), folder)?;
    let mut command = daemon::Arguments::command().disable_help_subcommand(true);
    command.build();
    std::fs::write(folder.join("hvnoded.8"), hvnoded(&command)?)?;
    for sub in command.get_subcommands() {
        let title = format!("hvnoded-{}", sub.get_name());
        let mut page = Vec::new();
        Man::new(sub.clone()).title(&title).section("8").manual(MANUAL).render(&mut page)?;
        std::fs::write(folder.join(format!("{title}.8")), page)?;
    }
    std::fs::write(folder.join("hvnode.toml.5"), configuration::page(include_str!("../../../config/hvnode.toml")))?;
    Ok(())
}

/// The daemon's page: its command line, then what no option says.
fn hvnoded(command: &clap::Command) -> Result<Vec<u8>, Box<dyn Error>> {
    let man = Man::new(command.clone()).section("8").manual(MANUAL);
    let mut page = Vec::new();
    man.render(&mut page)?;
    let mut more = Roff::new();
    for (title, rows) in DAEMON_SECTIONS {
        more.control("SH", [*title]);
        for (term, text) in *rows {
            more.control("TP", []);
            more.text([bold(*term)]);
            more.text([roman(*text)]);
        }
    }
    more.control("SH", ["SEE ALSO"]);
    more.text([
        bold("hvctl"),
        roman("(1), "),
        bold("hvnode.toml"),
        roman("(5), "),
        bold("systemctl"),
        roman("(1), "),
        bold("virsh"),
        roman("(1)"),
    ]);
    more.to_writer(&mut page)?;
    Ok(page)
}

type Rows = &'static [(&'static str, &'static str)];

const DAEMON_SECTIONS: &[(&str, Rows)] = &[
    (
        "SIGNALS",
        &[
            ("SIGTERM, SIGINT", "End in order: running requests and jobs get engine.stop_timeout_seconds. VMs go on running."),
            ("SIGHUP", "Read the configuration again and apply what can be changed while running; the journal says what needs a restart."),
        ],
    ),
    (
        "EXIT STATUS",
        &[
            ("0", "It ended in order, or the configuration is right."),
            ("1", "It could not start or go on; the last line says why."),
            ("64", "The command line is wrong."),
            ("78", "The configuration is wrong; every problem has its line. systemd does not try again."),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            ("HVNODE__SECTION__KEY", "Overrides a key of the configuration, such as HVNODE__LOG__LEVEL=debug."),
            ("RUST_LOG", "Goes before log.level."),
            ("CREDENTIALS_DIRECTORY", "Where systemd puts the credential hvnode-admin-password, the first password of the account admin."),
        ],
    ),
    (
        "FILES",
        &[
            ("/etc/hvnode/hvnode.toml", "The configuration."),
            ("/var/lib/hvnode", "State: databases, images, disks of VMs, console logs. VMs stay when the daemon or its package goes."),
            (
                "/var/lib/hvnode/state.db.backup-vN",
                "The state as it was before an upgrade changed its form from version N; the newest three are kept.",
            ),
            ("/var/lib/hvnode/initial-password", "The first password of the account admin; can be removed once it was changed."),
            ("/run/hvnode/hvnode.sock", "The API for root and members of the group hvnode."),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_page_has_its_options_and_what_no_option_says() {
        let page = String::from_utf8(hvnoded(&daemon::Arguments::command()).unwrap()).unwrap();
        for expected in [".TH hvnoded 8", "\\-\\-check\\-config", "drives KVM guests", ".SH SIGNALS", "state.db.backup\\-vN"] {
            assert!(page.contains(expected), "{expected} is not in {page}");
        }
    }

    #[test]
    fn every_command_of_hvctl_has_a_page() {
        let mut command = hvctl::command();
        command.build();
        let pages = std::env::temp_dir().join(format!("hvnode-manual-{}", std::process::id()));
        write_all(&pages).unwrap();
        let vm = command.find_subcommand("vm").unwrap();
        for sub in vm.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
            let page = pages.join(format!("hvctl-vm-{}.1", sub.get_name()));
            assert!(page.exists(), "{}", page.display());
        }
        std::fs::remove_dir_all(pages).unwrap();
    }
}
