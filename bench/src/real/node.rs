//! hvnoded inside the private host, as the unprivileged user that runs it in service.
#![allow(clippy::disallowed_methods, reason = "a tool for developers: running programs is what it does")]

use crate::daemon::Running;
use crate::http::Address;
use crate::{Outcome, Settings};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// libvirt as it is inside.
pub(crate) const URI: &str = "qemu:///system";
/// Where the daemon listens for scrapes.
pub(crate) const METRICS: Listener = Listener("127.0.0.1:9177");

/// A TCP address of the daemon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listener(&'static str);

impl Listener {
    pub(crate) fn address(self) -> Address {
        Address::Tcp(self.0.to_owned())
    }
}

const CONFIGURATION: &str = r#"
[node]
cpu_ratio = 1000.0
memory_ratio = 100.0

[images]
allowed_folders = ["/run/images"]

[log]
format = "text"
"#;

/// Runs a program as the daemon's user.
const AS_DAEMON: [&str; 4] = ["--reuid=hvnode", "--regid=hvnode", "--init-groups", "--no-new-privs"];

/// The daemon, installed; running or not.
pub(crate) struct Node(Option<Running>);

impl Node {
    /// Puts the daemon, its configuration and two images onto the host: a disk with nothing on it and a kernel.
    pub(crate) fn install(settings: &Settings, kernel: &Path) -> Outcome<Self> {
        std::fs::copy(&settings.daemon, "/run/bin/hvnoded")?;
        std::fs::create_dir_all("/run/images")?;
        std::fs::set_permissions("/run/images", std::fs::Permissions::from_mode(0o755))?;
        std::fs::copy(kernel, "/run/images/kernel")?;
        run(Command::new("qemu-img").args(["create", "-q", "-f", "qcow2", "/run/images/empty.qcow2", "1M"]))?;
        for file in ["kernel", "empty.qcow2"] {
            std::fs::set_permissions(Path::new("/run/images").join(file), std::fs::Permissions::from_mode(0o644))?;
        }
        std::fs::write("/etc/hvnode/hvnode.toml", CONFIGURATION)?;
        Ok(Self(None))
    }

    /// Runs it anew. Gives the time from exec to the first answer of a read of VMs.
    pub(crate) fn run(&mut self) -> Outcome<Duration> {
        self.0 = None;
        let log = File::options().create(true).append(true).open("/run/hvnoded.log")?;
        let mut command = Command::new("setpriv");
        command.args(AS_DAEMON).args(["/run/bin/hvnoded", "--config", "/etc/hvnode/hvnode.toml"]);
        command.stdout(log.try_clone()?).stderr(log);
        let start = Instant::now();
        let mut running = Running::spawn(&mut command)?;
        let time = running.wait_for_answer(&self.native(), "/v1/vm/list?page_size=1", start)?;
        running.wait_for_answer(&self.native(), "/readyz", start)?;
        self.0 = Some(running);
        Ok(time)
    }

    /// The program that holds one connection to libvirt, once it has it.
    pub(crate) fn floor(&self, program: &Path) -> Outcome<Running> {
        let copy = "/run/bin/floor-libvirt";
        std::fs::copy(program, copy)?;
        let mut command = Command::new("setpriv");
        let mut running = Running::spawn(command.args(AS_DAEMON).args([copy, URI]).stdout(Stdio::piped()))?;
        running.stdout().ok_or("no output")?.read_exact(&mut [0; 9])?;
        Ok(running)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.as_ref().map_or(0, Running::pid)
    }

    pub(crate) fn native(&self) -> Address {
        native()
    }

    pub(crate) fn password(&self) -> Outcome<String> {
        Ok(std::fs::read_to_string("/var/lib/hvnode/initial-password")?.trim().to_owned())
    }
}

/// The daemon's unix socket.
pub(crate) fn native() -> Address {
    Address::Unix("/run/hvnode/hvnode.sock".into())
}

/// Runs a command to its end; it must succeed. Gives what it printed.
pub(crate) fn run(command: &mut Command) -> Outcome<String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{:?}: {}: {}", command.get_program(), output.status, String::from_utf8_lossy(&output.stderr)).into())
}
