//! A libvirtd of our own whose domains are those of libvirt's test driver: nothing runs in them, but the daemon, its socket and its protocol
//! are the real ones.
//!
//! Only `test:///default` is one world for all who open it; a world from a file is each connection's own. It lasts as long as somebody has
//! it open, so a connection is held here. libvirtd runs as an unprivileged user with every folder its own: one that runs as root would
//! take the sockets and the networks of the machine's.
#![allow(clippy::disallowed_methods, reason = "a tool for developers: running programs is what it does")]

use crate::daemon::{Running, vm_name};
use crate::{Failure, Outcome};
use nix::unistd::{Gid, Uid, User, geteuid};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt_sys as sys;

/// Who libvirtd runs as where this program runs as root.
const USER: &str = "nobody";
/// Longest wait for libvirtd to listen.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections over which domains are changed by hand, each with a thread.
const HANDS: usize = 4;
/// Of the uuids of the domains; their number is added.
const UUID_BASE: u128 = 0x6f1c_1f5e_0000_4000_8000_0000_0000_0000;

/// A libvirtd with its world of domains. Both end when it is dropped.
pub(crate) struct TestLibvirtd {
    /// Before the process goes, so that nobody talks to the dead.
    hands: Vec<Connect>,
    running: Running,
    folder: TempDir,
}

impl TestLibvirtd {
    /// Starts one without domains. `log` is appended to.
    pub(crate) fn start(program: &Path, log: &Path) -> Outcome<Self> {
        // Not below the work folder: another user must reach it, and a socket's path may have 107 bytes.
        let folder = tempfile::Builder::new().prefix("hvnode-libvirtd-").tempdir()?;
        let user = unprivileged_user()?;
        write_configuration(folder.path(), user)?;
        let log = File::options().create(true).append(true).open(log)?;
        let running = Running::spawn(command(program, folder.path(), user).stdout(log.try_clone()?).stderr(log))?;
        let mut this = Self { hands: Vec::new(), running, folder };
        let socket = this.socket();
        this.running.wait_until(Instant::now(), PATIENCE, || UnixStream::connect(&socket).is_ok())?;
        let uri = uri(&socket);
        this.hands = (0..HANDS).map(|_| Connect::open(Some(&uri))).collect::<Result<_, _>>()?;
        // The driver begins with a domain.
        for domain in this.hands[0].list_all_domains(0)? {
            domain.destroy()?;
            domain.undefine()?;
        }
        Ok(this)
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        self.running.kill();
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("libvirt-sock")
    }

    /// Defines and starts the domains of these numbers.
    pub(crate) fn make(&self, numbers: Range<usize>) -> Outcome<()> {
        let numbers: Vec<usize> = numbers.collect();
        self.by_hand(&numbers, |connect, number| connect.define_domain_xml(&definition(*number))?.create())
    }

    /// Defines and starts what `other` has.
    pub(crate) fn copy(&self, other: &Self) -> Outcome<()> {
        let flags = sys::VIR_DOMAIN_XML_INACTIVE | sys::VIR_DOMAIN_XML_SECURE;
        let definitions: Vec<String> = other.domains()?.iter().map(|domain| domain.xml_desc(flags)).collect::<Result<_, _>>()?;
        self.by_hand(&definitions, |connect, definition| connect.define_domain_xml(definition)?.create())
    }

    /// Does this to every domain. Gives how long that took.
    pub(crate) fn change_all(&self, change: impl Fn(&Domain) -> Result<(), Error> + Sync) -> Outcome<Duration> {
        let domains = self.domains()?;
        let start = Instant::now();
        self.by_hand(&domains, |_, domain| change(domain))?;
        Ok(start.elapsed())
    }

    fn domains(&self) -> Result<Vec<Domain>, Error> {
        self.hands[0].list_all_domains(0)
    }

    /// Does something for each of `items`, so many at the same time as there are connections.
    fn by_hand<T: Sync>(&self, items: &[T], act: impl Fn(&Connect, &T) -> Result<(), Error> + Sync) -> Outcome<()> {
        let share = items.len().div_ceil(self.hands.len()).max(1);
        std::thread::scope(|scope| {
            let act = &act;
            let work = |(connect, items)| scope.spawn(move || <[T]>::iter(items).try_for_each(|item| act(connect, item)));
            let workers: Vec<_> = self.hands.iter().zip(items.chunks(share)).map(work).collect();
            let done =
                workers.into_iter().map(|worker| worker.join().map_err(|_| Failure::from("a hand broke off"))?.map_err(Failure::from));
            done.collect()
        })
    }
}

/// Identity of a domain by its number.
pub(crate) fn vm_uuid(number: usize) -> Uuid {
    Uuid::from_u128(UUID_BASE + number as u128)
}

/// The URI of the test driver behind a libvirtd that listens there.
pub(crate) fn uri(socket: &Path) -> String {
    format!("test+unix:///default?socket={}", socket.display())
}

/// Whom to become; `None` where this program is nobody special itself.
fn unprivileged_user() -> Outcome<Option<(Uid, Gid)>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let user = User::from_name(USER)?.ok_or_else(|| format!("no user {USER} to run libvirtd as"))?;
    Ok(Some((user.uid, user.gid)))
}

fn write_configuration(folder: &Path, user: Option<(Uid, Gid)>) -> Outcome<()> {
    let text = format!("unix_sock_dir = \"{}\"\nauth_unix_rw = \"none\"\nlog_outputs = \"3:stderr\"\n", folder.display());
    std::fs::write(folder.join("libvirtd.conf"), text)?;
    if let Some((uid, gid)) = user {
        chown(folder, Some(uid.as_raw()), Some(gid.as_raw()))?;
        chown(folder.join("libvirtd.conf"), Some(uid.as_raw()), Some(gid.as_raw()))?;
    }
    Ok(())
}

/// libvirtd, ended by the kernel should this program die.
fn command(program: &Path, folder: &Path, user: Option<(Uid, Gid)>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some((uid, gid)) = user {
        command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()]);
    }
    command.arg(program).arg("--config").arg(folder.join("libvirtd.conf")).arg("--pid-file").arg(folder.join("libvirtd.pid"));
    for name in ["HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"] {
        command.env(name, folder);
    }
    command.current_dir(folder);
    command
}

/// A VM as a node would have it: a disk, a NIC, a console, a balloon that reports. With the type that the test driver knows.
fn definition(number: usize) -> String {
    let (name, uuid) = (vm_name(number), vm_uuid(number));
    let [.., high, middle, low] = number.to_be_bytes();
    format!(
        "<domain type='test'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>\
         <os><type>hvm</type><boot dev='hd'/></os><devices>\
         <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/nowhere/volumes/{uuid}.qcow2'/>\
         <target dev='vda' bus='virtio'/></disk>\
         <interface type='network'><mac address='52:54:00:{high:02x}:{middle:02x}:{low:02x}'/><source network='default'/>\
         <model type='virtio'/></interface>\
         <serial type='pty'><target port='0'/></serial><graphics type='vnc' port='-1' autoport='yes'/>\
         <memballoon model='virtio'><stats period='10'/></memballoon></devices></domain>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_driver_takes_the_definition_and_runs_it() {
        let connect = Connect::open(Some("test:///default")).unwrap();
        for number in [70_000, 70_001] {
            let domain = connect.define_domain_xml(&definition(number)).unwrap();
            domain.create().unwrap();
            assert_eq!(domain.name().unwrap(), vm_name(number));
            assert!(domain.xml_desc(0).unwrap().contains(if number == 70_000 { "52:54:00:01:11:70" } else { "52:54:00:01:11:71" }));
            domain.destroy().unwrap();
            domain.undefine().unwrap();
        }
    }
}
