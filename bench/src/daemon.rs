//! Programs under measurement: hvnoded (simulated or on libvirt) and the floors. Each ends when its handle is dropped.
#![allow(clippy::disallowed_methods, reason = "a tool for developers: running programs is what it does")]

use crate::http::{Address, Connection, Native, get};
use crate::{Outcome, pause};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs::File;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for a program to answer, or to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it answers: short against what is measured, long enough to leave the processors alone.
const LOOK: Duration = Duration::from_micros(300);

/// A child that is stopped, pass or fail.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn spawn(command: &mut Command) -> Outcome<Self> {
        let name = format!("{:?}", command.get_program());
        Ok(Self(command.stdin(Stdio::piped()).spawn().map_err(|error| format!("{name}: {error}"))?))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// What it prints, where that was piped.
    pub(crate) fn stdout(&mut self) -> Option<&mut ChildStdout> {
        self.0.stdout.as_mut()
    }

    /// Waits until something is so, as long as the program runs.
    pub(crate) fn wait_until(&mut self, start: Instant, limit: Duration, is_so: impl Fn() -> bool) -> Outcome<()> {
        while !is_so() {
            if let Some(status) = self.0.try_wait()? {
                return Err(format!("the program ended: {status}").into());
            }
            if start.elapsed() > limit {
                return Err(format!("nothing within {limit:?}").into());
            }
            pause(LOOK);
        }
        Ok(())
    }

    /// Asks it to end and waits.
    fn stop(&mut self) {
        let pid = Pid::from_raw(self.0.id().cast_signed());
        let _gone = kill(pid, Signal::SIGTERM);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            pause(Duration::from_millis(5));
        }
        self.kill();
    }

    /// Ends it without asking.
    pub(crate) fn kill(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }

    /// Waits until a request is answered with success. Gives the time since `start`.
    pub(crate) fn wait_for_answer(&mut self, address: &Address, path: &str, start: Instant) -> Outcome<Duration> {
        let request = get(path, "");
        loop {
            let answer = Connection::open(address).and_then(|mut connection| connection.exchange(&request).map(|reply| reply.status));
            if answer.is_ok_and(|status| status < 300) {
                return Ok(start.elapsed());
            }
            if let Some(status) = self.0.try_wait()? {
                return Err(format!("the program ended before it answered: {status}").into());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("no answer to {path} within {PATIENCE:?}").into());
            }
            pause(LOOK);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port of 127.0.0.1 that was free a moment ago.
pub(crate) fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// What hvnoded drives.
#[derive(Debug, Clone)]
pub(crate) enum Backend {
    /// Its own simulation.
    Simulated,
    /// The libvirt at this URI.
    Libvirt(String),
}

/// Times from exec on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartTimes {
    /// Until a read of VMs is answered.
    pub(crate) first_answer: Duration,
    /// Until `/readyz` says that everything was read.
    pub(crate) everything_read: Duration,
}

/// hvnoded outside of a private host, with room for thousands of VMs.
#[derive(Debug)]
pub(crate) struct Daemon {
    running: Option<Running>,
    backend: Backend,
    program: PathBuf,
    processors: String,
    folder: PathBuf,
    ports: [u16; 3],
}

impl Daemon {
    /// Starts a simulated one whose state lies in `folder`, on these processors (`taskset -c`).
    pub(crate) fn simulated(program: &Path, folder: &Path, processors: &str) -> Outcome<Self> {
        Self::start(program, folder, processors, Backend::Simulated)
    }

    /// Starts one whose state lies in `folder`, on these processors (`taskset -c`).
    pub(crate) fn start(program: &Path, folder: &Path, processors: &str, backend: Backend) -> Outcome<Self> {
        std::fs::create_dir_all(folder)?;
        let ports = [free_port()?, free_port()?, free_port()?];
        let (program, processors, folder) = (program.to_owned(), processors.to_owned(), folder.to_owned());
        let mut this = Self { running: None, backend, program, processors, folder, ports };
        this.run()?;
        Ok(this)
    }

    /// Runs it until it is ready.
    pub(crate) fn run(&mut self) -> Outcome<StartTimes> {
        let log = File::options().create(true).append(true).open(self.folder.join("hvnoded.log"))?;
        let [native, metrics, openstack] = self.ports.map(|port| format!("[\"127.0.0.1:{port}\"]"));
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let settings = [
            ("NODE__STATE_DIR", text(self.folder.join("state"))),
            ("NODE__RUNTIME_DIR", text(self.folder.clone())),
            ("NODE__CPU_RATIO", "1000.0".into()),
            ("NODE__MEMORY_RATIO", "100.0".into()),
            ("NODE__STORAGE_RATIO", "10000.0".into()),
            ("VM__VMS_MAX", "20000".into()),
            ("ENGINE__JOBS_OPEN_MAX", "20000".into()),
            ("LISTEN__NATIVE__UNIX", text(self.socket())),
            ("LISTEN__NATIVE__TCP", native),
            ("LISTEN__OPENSTACK__TCP", openstack),
            ("METRICS__LISTEN", metrics),
            ("LOG__FORMAT", "text".into()),
        ];
        let mut command = Command::new("taskset");
        command.args(["-c", &self.processors]).arg(&self.program);
        match &self.backend {
            Backend::Simulated => command.arg("--simulate"),
            // Everything is in the environment, but outside of a simulation it wants its file.
            Backend::Libvirt(uri) => command.env("HVNODE__LIBVIRT__URI", uri).arg("--config").arg(self.empty_configuration()?),
        };
        command.envs(settings.map(|(key, value)| (format!("HVNODE__{key}"), value)));
        command.stdout(log.try_clone()?).stderr(log);
        let start = Instant::now();
        let mut running = Running::spawn(&mut command)?;
        let mut wait = |path: &str| {
            let time = running.wait_for_answer(&self.native(), path, start);
            time.map_err(|error| format!("{error}; its log is {}", self.folder.join("hvnoded.log").display()))
        };
        let first_answer = wait("/v1/vm/list?page_size=1")?;
        let everything_read = wait("/readyz")?;
        self.running = Some(running);
        Ok(StartTimes { first_answer, everything_read })
    }

    fn empty_configuration(&self) -> Outcome<PathBuf> {
        let path = self.folder.join("hvnode.toml");
        std::fs::write(&path, "")?;
        Ok(path)
    }

    /// Stops it; its state stays.
    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("hvnode.sock")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.as_ref().map_or(0, Running::pid)
    }

    pub(crate) fn native(&self) -> Address {
        Address::Unix(self.socket())
    }

    pub(crate) fn native_tcp(&self) -> Address {
        Address::Tcp(format!("127.0.0.1:{}", self.ports[0]))
    }

    pub(crate) fn metrics(&self) -> Address {
        Address::Tcp(format!("127.0.0.1:{}", self.ports[1]))
    }

    pub(crate) fn openstack(&self) -> Address {
        Address::Tcp(format!("127.0.0.1:{}", self.ports[2]))
    }

    pub(crate) fn password(&self) -> Outcome<String> {
        Ok(std::fs::read_to_string(self.folder.join("state/initial-password"))?.trim().to_owned())
    }

    /// Bytes of the database and its log.
    pub(crate) fn database_bytes(&self) -> f64 {
        let size = |name: &str| std::fs::metadata(self.folder.join("state").join(name)).map_or(0, |data| data.len());
        (size("state.db") + size("state.db-wal")) as f64
    }

    /// Brings the number of simulated VMs to `count`, all running. Gives the uuids of the new ones.
    pub(crate) fn fill(&self, have: usize, count: usize) -> Outcome<Vec<String>> {
        let image = image(&mut Native::open(&self.native())?)?;
        let made = self.post_all("/v1/vm/create", have..count, |number| vm_request(&vm_name(number), &image, true))?;
        Ok(made.iter().map(|answer| text_of(&answer["vm"]["vm_uuid"])).collect())
    }

    /// Makes a change for each number, over several connections. Gives the answers, in no order.
    pub(crate) fn post_all(&self, path: &str, numbers: Range<usize>, body: impl Fn(usize) -> Value + Sync) -> Outcome<Vec<Value>> {
        const CONNECTIONS: usize = 32;
        let next = AtomicUsize::new(numbers.start);
        let work = || -> Outcome<Vec<Value>> {
            let mut native = Native::open(&self.native())?;
            let mut answers = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= numbers.end {
                    return Ok(answers);
                }
                answers.push(native.post(path, &body(number))?);
            }
        };
        let answers = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|_| Err("a client broke off".into())))
                .collect::<Outcome<Vec<_>>>()
        })?;
        Ok(answers.into_iter().flatten().collect())
    }
}

/// The simulated image, made where it is missing.
pub(crate) fn image(native: &mut Native) -> Outcome<String> {
    let found = native.get("/v1/repository/image/list?name=disk")?;
    if let Some(uuid) = found["list"][0]["image_uuid"].as_str() {
        return Ok(uuid.to_owned());
    }
    let body = json!({"image_name": "disk", "url": "file:///simulated/disk.qcow2", "format": "qcow2", "wait_seconds": 60});
    Ok(text_of(&native.post("/v1/repository/image/create", &body)?["image"]["image_uuid"]))
}

/// Name of one of many VMs.
pub(crate) fn vm_name(number: usize) -> String {
    format!("vm-{number:05}")
}

/// A small VM with a disk and no NIC.
pub(crate) fn vm_request(vm_name: &str, image: &str, is_started: bool) -> Value {
    json!({
        "vm_name": vm_name, "image_uuid": image, "cpu_cores": 1, "memory_size": 64 << 20, "interfaces": [], "start": is_started,
        "wait_seconds": 120,
    })
}

pub(crate) fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A bare hyper server, listening on TCP and on a unix socket.
pub(crate) struct Floor {
    running: Running,
    pub(crate) tcp: Address,
    pub(crate) unix: Address,
    /// From exec to the first answer.
    pub(crate) start_time: Duration,
}

impl Floor {
    /// Starts one that answers `body`.
    pub(crate) fn start(program: &Path, folder: &Path, name: &str, body: &[u8], processors: &str, threads: usize) -> Outcome<Self> {
        let (file, socket) = (folder.join(format!("{name}.body")), folder.join(format!("{name}.sock")));
        let _absent = std::fs::remove_file(&socket);
        std::fs::write(&file, body)?;
        let port = format!("127.0.0.1:{}", free_port()?);
        let mut command = Command::new("taskset");
        command.args(["-c", processors]).arg(program).arg(threads.to_string()).arg(&file).arg(&socket).arg(&port);
        let start = Instant::now();
        let mut running = Running::spawn(&mut command)?;
        let unix = Address::Unix(socket);
        let start_time = running.wait_for_answer(&unix, "/", start)?;
        let tcp = Address::Tcp(port);
        running.wait_for_answer(&tcp, "/", start)?;
        Ok(Self { running, tcp, unix, start_time })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }
}
