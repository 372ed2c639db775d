//! A private compute host; see `tests/privatehost`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

static HOSTS: AtomicU32 = AtomicU32::new(0);

/// The checkout.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A private host; stops when dropped, and by itself when this process ends otherwise.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
}

impl Host {
    pub(crate) fn start() -> Self {
        let number = HOSTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}-{number}", std::process::id());
        let owner = std::process::id().to_string();
        privatehost(&["start", &name, "--owner", &owner]);
        let directory = PathBuf::from(privatehost(&["dir", &name]).trim());
        Self { name, directory }
    }

    /// A command that runs inside.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(script());
        command.args(["exec", &self.name]).args(arguments);
        command
    }

    /// Runs a command inside; it must succeed. Gives what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        checked(self.command(arguments).stdin(Stdio::null()).output(), &format!("{arguments:?}"))
    }

    pub(crate) fn virsh(&self, arguments: &[&str]) -> String {
        self.run(&[&["virsh", "-q", "-c", "qemu:///system"], arguments].concat())
    }

    pub(crate) fn kill_libvirtd(&self) {
        privatehost(&["kill9-libvirtd", &self.name]);
    }

    pub(crate) fn restart_libvirtd(&self) {
        privatehost(&["restart-libvirtd", &self.name]);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new(script()).args(["stop", &self.name]).status();
    }
}

fn script() -> PathBuf {
    repository().join("tests/privatehost")
}

fn privatehost(arguments: &[&str]) -> String {
    checked(Command::new(script()).args(arguments).stdin(Stdio::null()).output(), &format!("privatehost {arguments:?}"))
}

fn checked(output: std::io::Result<Output>, what: &str) -> String {
    let output = output.unwrap_or_else(|e| panic!("{what}: {e}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}
