//! The daemon on a private host.

use super::client::Client;
use super::host::{Host, repository};
use super::{Answer, PATIENCE, wait_for};
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A node: private host, daemon, client.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) client: Client,
    daemon: Option<Child>,
    /// `HVNODE__SECTION__KEY=value` beside the configuration.
    settings: Vec<String>,
    // Last, so that it is stopped after the daemon.
    pub(crate) host: Host,
}

impl Node {
    /// A node with nothing on it, ready.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[], |_| {}).await
    }

    /// The same with other settings (`HVNODE__SECTION__KEY=value`), on a host that was prepared before the daemon starts.
    pub(crate) async fn start_with(settings: &[&str], prepare: impl FnOnce(&Host)) -> Self {
        let host = Host::start();
        install(&host);
        prepare(&host);
        std::fs::write(host.directory.join("hvnode/etc/hvnode.toml"), CONFIGURATION).unwrap();
        host.run(&["chown", "root:hvnode", "/etc/hvnode/hvnode.toml"]);
        let client = Client::new(&host.directory.join("run/hvnode/hvnode.sock"));
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let mut node = Self { client, daemon: None, settings, host };
        node.start_daemon().await;
        node
    }

    /// A node with the images `demo`, `kernel` and `initrd` and the specification `tiny`. Gives their uuids by name.
    pub(crate) async fn with_images() -> (Self, Value) {
        let node = Self::start().await;
        let uuids = node.import_images().await;
        (node, uuids)
    }

    /// Imports the images and makes the specification. Gives their uuids by name.
    pub(crate) async fn import_images(&self) -> Value {
        let node = self;
        let mut uuids = json!({});
        for (name, file, format) in [("demo", "demo.qcow2", "qcow2"), ("kernel", "vmlinuz", "kernel"), ("initrd", "initrd", "initrd")] {
            let body = json!({"image_name": name, "url": format!("file:///run/images/{file}"), "format": format});
            uuids[name] = node.client.post("/v1/repository/image/create", body).await.ok()["image"]["image_uuid"].clone();
        }
        let body = json!({"specification_name": "tiny", "cpu_cores": 1, "memory_size": 192 << 20});
        uuids["tiny"] = node.client.post("/v1/specification/create", body).await.ok()["specification"]["specification_uuid"].clone();
        uuids
    }

    /// A power cut, and the machine comes back with libvirtd and the daemon.
    pub(crate) async fn power_cycle(&mut self) {
        self.host.power_cycle();
        self.daemon.take().unwrap().wait().unwrap();
        install(&self.host);
        self.start_daemon().await;
    }

    /// Other values for settings, from the daemon's next start on.
    pub(crate) fn set(&mut self, settings: &[String]) {
        let name = |setting: &str| setting.split('=').next().map(str::to_owned);
        self.settings.retain(|old| settings.iter().all(|new| name(new) != name(old)));
        self.settings.extend_from_slice(settings);
    }

    pub(crate) async fn start_daemon(&mut self) {
        self.spawn_daemon();
        self.wait_until_ready().await;
    }

    /// Starts the daemon and does not wait for it.
    pub(crate) fn spawn_daemon(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut words = vec!["setpriv", "--reuid=hvnode", "--regid=hvnode", "--init-groups", "--no-new-privs", "env"];
        words.extend(self.settings.iter().map(String::as_str));
        words.extend(["/run/bin/hvnoded", "--config", "/etc/hvnode/hvnode.toml", "--pid-file", "/run/hvnode/hvnoded.pid"]);
        let mut command = self.host.command(&words);
        self.daemon = Some(command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    /// Waits until the daemon answers and has read everything from libvirt.
    pub(crate) async fn wait_until_ready(&self) {
        let client = self.client.clone();
        wait_for(&format!("the daemon to be ready; its log is {}", self.log_path().display()), PATIENCE, || async {
            let (status, _) = client.raw(hyper::Method::GET, "/readyz", None, Vec::new()).await?;
            (status == 200).then_some(())
        })
        .await;
    }

    /// A line of `/proc/PID/status` of the daemon, as a number.
    pub(crate) fn daemon_figure(&self, name: &str) -> u64 {
        let line = self.host.run(&["sh", "-c", &format!("grep ^{name}: /proc/$(cat /run/hvnode/hvnoded.pid)/status")]);
        line.split_whitespace().nth(1).and_then(|figure| figure.parse().ok()).unwrap_or_else(|| panic!("{name}: {line}"))
    }

    /// Waits until a daemon that cannot go on has ended. Gives its exit code.
    pub(crate) async fn wait_until_daemon_ends(&mut self) -> Option<i32> {
        let mut daemon = self.daemon.take().unwrap();
        let daemon = tokio::task::spawn_blocking(move || daemon.wait().unwrap());
        tokio::time::timeout(PATIENCE, daemon).await.expect("the daemon ends").unwrap().code()
    }

    /// Kills the daemon without mercy, however far its start got.
    pub(crate) fn kill_daemon(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        while daemon.try_wait().unwrap().is_none() {
            // By name: a daemon that was just started has not written its pid yet.
            self.host.run(&["sh", "-c", "pkill -KILL -x hvnoded || true"]);
        }
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.host.directory.join("hvnoded.log")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap()
    }

    /// Sends a signal to the daemon and waits until it is gone. Gives its exit code, if it had one.
    pub(crate) fn end_daemon(&mut self, signal: &str) -> Option<i32> {
        self.signal_daemon(signal);
        self.daemon.take().unwrap().wait().unwrap().code()
    }

    pub(crate) fn signal_daemon(&self, signal: &str) {
        self.host.run(&["sh", "-c", &format!("kill -{signal} $(cat /run/hvnode/hvnoded.pid)")]);
    }

    /// Creates a VM that boots the demo guest from kernel and initrd; it runs when this returns.
    pub(crate) async fn create_light_vm(&self, uuids: &Value, vm_name: &str) -> String {
        self.client.post("/v1/vm/create", light_vm(uuids, vm_name)).await.ok()["vm"]["vm_uuid"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn vm(&self, vm_uuid: &str) -> Value {
        self.client.get(&format!("/v1/vm/inspect?vm_uuid={vm_uuid}")).await.ok()["vm"].clone()
    }

    /// Waits until the VM has this status; gives how long that took.
    pub(crate) async fn wait_for_status(&self, vm_uuid: &str, status: &str, limit: Duration) -> Duration {
        let ask = || async { (self.vm(vm_uuid).await["status"] == status).then_some(()) };
        wait_for(&format!("vm {vm_uuid} to be {status}"), limit, ask).await.1
    }

    /// Waits until the guest's console shows this text.
    pub(crate) async fn wait_for_console(&self, vm_uuid: &str, text: &str) -> String {
        let path = format!("/v1/vm/console/log?vm_uuid={vm_uuid}&line_count=1000");
        let ask = || async {
            let answer = self.client.get(&path).await;
            let output = answer.data()["output"].as_str().unwrap_or_default().to_owned();
            output.contains(text).then_some(output)
        };
        wait_for(&format!("'{text}' on the console of {vm_uuid}"), PATIENCE, ask).await.0
    }

    /// What the node did by itself, from the operation log, newest first: action and name of the VM.
    pub(crate) async fn own_changes(&self) -> Vec<(String, String)> {
        let list = self.client.get("/v1/operation_log/list?page_size=0").await.ok()["list"].clone();
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let rows = list.as_array().unwrap().iter().map(|row| (word(&row["action"]), word(&row["resource_name"])));
        rows.filter(|(action, _)| action.starts_with("policy/")).collect()
    }

    pub(crate) async fn act(&self, action: &str, vm_uuid: &str) -> Answer {
        self.client.post(&format!("/v1/vm/{action}"), json!({"vm_uuid": vm_uuid})).await
    }

    /// Domains that libvirt has, by name.
    pub(crate) fn domains(&self) -> Vec<String> {
        self.host.virsh(&["list", "--all", "--name"]).split_whitespace().map(str::to_owned).collect()
    }

    /// Files in the pools of disks and console logs.
    pub(crate) fn files(&self) -> Vec<String> {
        let listed = self.host.run(&["sh", "-c", "ls /var/lib/hvnode/volumes /var/lib/hvnode/console 2>/dev/null | grep -v '^/' || true"]);
        listed.split_whitespace().map(str::to_owned).collect()
    }

    /// Nothing of any VM is left.
    pub(crate) fn assert_nothing_is_left(&self) {
        assert_eq!(self.domains(), Vec::<String>::new());
        assert_eq!(self.files(), Vec::<String>::new());
        let network = self.host.virsh(&["net-dumpxml", "default"]);
        assert!(!network.contains("<host "), "{network}");
        let qemus = self.host.run(&["sh", "-c", "pgrep -c qemu-system || true"]);
        assert_eq!(qemus.trim(), "0");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(80).collect();
            eprintln!("---- the daemon's last words ----");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

/// The request for a VM that boots the demo guest from kernel and initrd.
pub(crate) fn light_vm(uuids: &Value, vm_name: &str) -> Value {
    json!({
        "vm_name": vm_name,
        "specification_uuid": uuids["tiny"],
        "kernel_image_uuid": uuids["kernel"],
        "initrd_image_uuid": uuids["initrd"],
        "kernel_command_line": "console=ttyS0 loglevel=4",
        "wait_seconds": 300,
    })
}

/// The daemon as built beside this test.
fn daemon_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("hvnoded");
    assert!(program.exists(), "{} is not built; run: cargo build --workspace", program.display());
    program
}

/// Puts onto the host what lies below /run there.
fn install(host: &Host) {
    let program = daemon_program();
    std::fs::copy(&program, host.directory.join("run/bin/hvnoded")).unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    copy_images(host);
}

/// Puts the demo image's files where the unprivileged daemon of the private host can read them.
fn copy_images(host: &Host) {
    let built =
        Command::new(repository().join("packaging/demo-image/build")).stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    assert!(built.status.success(), "packaging/demo-image/build failed");
    let directory = PathBuf::from(String::from_utf8(built.stdout).unwrap().lines().last().unwrap_or_default().trim());
    let images = host.directory.join("run/images");
    std::fs::create_dir_all(&images).unwrap();
    for file in ["demo.qcow2", "vmlinuz", "initrd"] {
        std::fs::copy(directory.join(file), images.join(file)).unwrap_or_else(|e| panic!("{}/{file}: {e}", directory.display()));
    }
}

const CONFIGURATION: &str = r#"
[libvirt]
uri = "qemu:///system"

[images]
allowed_folders = ["/run/images"]

[listen.native]
tcp = []
unix = "/run/hvnode/hvnode.sock"

[log]
level = "debug"
format = "text"
"#;
