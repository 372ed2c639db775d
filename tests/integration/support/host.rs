//! A private compute host; see `tests/privatehost`.

use nix::sched::{CloneFlags, setns};
use std::fs::File;
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
        power_on(&name);
        let directory = PathBuf::from(privatehost(&["dir", &name]).trim());
        Self { name, directory }
    }

    /// A power cut, and the machine comes back: every process is gone, and everything below /run; the disks are as they were.
    pub(crate) fn power_cycle(&self) {
        privatehost(&["stop", &self.name, "--keep"]);
        power_on(&self.name);
    }

    /// Runs `make` in the host's network: a socket belongs to the network of the thread that made it, wherever it is used afterwards.
    pub(crate) fn in_network<T: Send + 'static>(&self, make: impl FnOnce() -> T + Send + 'static) -> T {
        let network = format!("/proc/{}/ns/net", privatehost(&["pid", &self.name]).trim());
        let inside = move || {
            setns(File::open(network).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            make()
        };
        std::thread::spawn(inside).join().unwrap()
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

    /// Lets libvirtd hang (`STOP`), or go on (`CONT`).
    pub(crate) fn signal_libvirtd(&self, signal: &str) {
        self.run(&["sh", "-c", &format!("kill -{signal} $(cat /run/libvirtd.pid)")]);
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

fn power_on(name: &str) {
    privatehost(&["start", name, "--owner", &std::process::id().to_string()]);
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
