//! The daemon as a process: what systemd, a shell and an operator see of it. Runs with a simulated node.
#![expect(clippy::disallowed_methods, reason = "starts the program under test")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Longest wait for anything the daemon should do.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with a configuration, and the service manager's end of the notification socket.
struct Place {
    folder: TempDir,
    manager: UnixDatagram,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        manager.set_read_timeout(Some(PATIENCE)).unwrap();
        let place = Self { folder, manager };
        place.configure("");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration: state and unix socket here, no TCP, and `more`.
    fn configure(&self, more: &str) {
        let (state, run, socket) = (self.path("state"), self.path("run"), self.path("run/hvnode.sock"));
        let text = format!(
            "[node]\nstate_dir = {state:?}\nruntime_dir = {run:?}\n[listen.native]\ntcp = []\nunix = {socket:?}\n[metrics]\nlisten = []\n{more}"
        );
        std::fs::write(self.path("hvnode.toml"), text).unwrap();
    }

    fn arguments(&self) -> [String; 3] {
        ["--simulate".into(), "--config".into(), self.path("hvnode.toml").display().to_string()]
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("NOTIFY_SOCKET", self.path("notify")).stdin(Stdio::null());
        command.stderr(std::fs::File::options().create(true).append(true).open(self.path("log")).unwrap());
        command
    }

    fn start(&self) -> Daemon {
        let mut command = self.command(env!("CARGO_BIN_EXE_hvnoded"));
        self.started(command.args(self.arguments()))
    }

    fn started(&self, command: &mut Command) -> Daemon {
        let daemon = Daemon(command.spawn().unwrap());
        self.expect("READY=1");
        daemon
    }

    /// Waits for a message to the service manager that has this line.
    fn expect(&self, line: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length = self.manager.recv(&mut buffer).unwrap_or_else(|error| panic!("no {line}: {error}; log:\n{}", self.log()));
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|found| found == line) {
                return text;
            }
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    fn post(&self, path: &str, body: &str) -> String {
        let head = "HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Type: application/json";
        let length = body.len();
        exchange(self.connect(), &format!("POST {path} {head}\r\nContent-Length: {length}\r\n\r\n{body}"))
    }

    fn get_with(&self, path: &str, token: &str) -> String {
        exchange(self.connect(), &format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nAuthorization: {token}\r\n\r\n"))
    }

    /// It serves before it has read what the hypervisor has.
    fn wait_until_ready(&self) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !self.get("/readyz").starts_with("HTTP/1.1 200") {
            assert!(std::time::Instant::now() < deadline, "not ready; log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.path("run/hvnode.sock")).unwrap()
    }

    fn get(&self, path: &str) -> String {
        get(UnixStream::connect(self.path("run/hvnode.sock")).unwrap(), path)
    }
}

/// Killed where a test fails.
struct Daemon(Child);

impl Daemon {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }

    fn wait(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn get(stream: impl Read + Write, path: &str) -> String {
    exchange(stream, &format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"))
}

fn exchange(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn it_says_when_it_is_ready_serves_and_leaves_when_told() {
    let place = Place::new();
    let daemon = place.start();
    assert!(place.get("/healthz").ends_with("\r\n\r\nok\n"));
    assert!(place.get("/v1/host/inspect").contains("\"status_code\":0,"), "the own user needs no token here");
    assert_eq!(mode(&place.path("run/hvnode.sock")), 0o660);
    assert_eq!(mode(&place.path("state")), 0o750);
    assert_eq!(mode(&place.path("state/initial-password")), 0o600);
    daemon.signal(Signal::SIGTERM);
    place.expect("STOPPING=1");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!place.path("run/hvnode.sock").exists());
}

#[test]
fn the_status_line_tells_what_there_is() {
    let place = Place::new();
    let _daemon = place.start();
    let text = place.expect("STATUS=0 VMs (0 running), 0 jobs, libvirt up");
    assert!(!text.contains("STOPPING"));
}

#[test]
fn the_watchdog_hears_from_it_again_and_again() {
    let place = Place::new();
    let mut command = place.command(env!("CARGO_BIN_EXE_hvnoded"));
    let _daemon = place.started(command.args(place.arguments()).env("WATCHDOG_USEC", "300000"));
    for _ in 0..3 {
        place.expect("WATCHDOG=1");
    }
}

#[test]
fn it_serves_on_the_sockets_that_the_service_manager_hands_over() {
    let place = Place::new();
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.local_addr().unwrap();
    // Waits in the socket until the daemon is there.
    let early = TcpStream::connect(address).unwrap();
    let mut command = place.command("/bin/sh");
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=native exec \"$0\" \"$@\" 3<&0 </dev/null";
    command.args(["-c", script, env!("CARGO_BIN_EXE_hvnoded")]).args(place.arguments());
    command.stdin(Stdio::from(OwnedFd::from(listener)));
    let daemon = place.started(&mut command);
    assert!(get(early, "/healthz").ends_with("ok\n"));
    assert!(place.get("/healthz").ends_with("ok\n"), "the configured unix socket is there too");
    daemon.signal(Signal::SIGINT);
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_reload_applies_what_it_can_and_says_what_it_cannot() {
    let place = Place::new();
    let daemon = place.start();
    place.configure("[log]\nlevel = \"debug\"\n[limits]\nidle_timeout_seconds = 9\n[vm]\nnics_max = 3\n");
    daemon.signal(Signal::SIGHUP);
    let text = place.expect("RELOADING=1");
    assert!(text.contains("MONOTONIC_USEC="), "{text}");
    place.expect("READY=1");
    let log = place.log();
    assert!(log.contains("reload: applied keys=\"limits.idle_timeout_seconds, log.level\""), "{log}");
    assert!(log.contains("these keys count from the next start on keys=\"vm.nics_max\""), "{log}");
    place.get("/healthz");
    assert!(place.log().contains("path=\"/healthz\""), "health is logged at debug");
}

#[test]
fn a_reload_of_a_wrong_file_changes_nothing() {
    let place = Place::new();
    let daemon = place.start();
    place.configure("[vm]\nnics = 3\n");
    daemon.signal(Signal::SIGHUP);
    place.expect("RELOADING=1");
    place.expect("READY=1");
    let log = place.log();
    assert!(log.contains("the old one stays") && log.contains("unknown field `nics`"), "{log}");
    assert!(place.get("/healthz").ends_with("ok\n"));
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused_by_name_of_the_first() {
    let place = Place::new();
    let daemon = place.start();
    let second = place.command(env!("CARGO_BIN_EXE_hvnoded")).args(place.arguments()).stderr(Stdio::piped()).output().unwrap();
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1));
    assert!(text.contains(&format!("is in use by process {}", daemon.0.id())), "{text}");
    assert!(place.get("/healthz").ends_with("ok\n"), "the first is not disturbed");
}

#[test]
fn a_restart_keeps_the_account_and_a_kill_leaves_no_lock() {
    let place = Place::new();
    let daemon = place.start();
    let password = std::fs::read_to_string(place.path("state/initial-password")).unwrap();
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    let _again = place.start();
    assert_eq!(std::fs::read_to_string(place.path("state/initial-password")).unwrap(), password);
    assert!(place.get("/healthz").ends_with("ok\n"), "the stale socket was replaced");
}

#[test]
fn a_history_that_is_damaged_or_out_of_reach_does_not_stop_it() {
    let place = Place::new();
    let history = place.path("state/statistics.db");
    drop(place.start());
    assert_eq!(mode(&history), 0o600);
    // The log holds every page yet: it would heal the file.
    std::fs::remove_file(place.path("state/statistics.db-wal")).unwrap();
    std::fs::write(&history, "no database".repeat(1000)).unwrap();
    drop(place.start());
    assert!(place.log().contains("the file is set aside, a new one begins"), "{}", place.log());
    let names = std::fs::read_dir(place.path("state")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("statistics.db.damaged-") && !name.ends_with("-wal")).count(), 1);
    std::fs::remove_file(&history).unwrap();
    std::fs::create_dir(&history).unwrap();
    let _daemon = place.start();
    assert!(place.get("/healthz").ends_with("ok\n"));
    assert!(place.log().contains("history of usage cannot be opened"), "{}", place.log());
}

#[test]
fn a_second_signal_leaves_at_once() {
    let place = Place::new();
    let daemon = place.start();
    let mut slow = UnixStream::connect(place.path("run/hvnode.sock")).unwrap();
    let head = "POST /v1/vm/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue";
    write!(slow, "{head}\r\nContent-Length: 99\r\n\r\n").unwrap();
    let mut go_ahead = [0; 25];
    slow.read_exact(&mut go_ahead).unwrap();
    assert_eq!(&go_ahead, b"HTTP/1.1 100 Continue\r\n\r\n", "the request is being answered");
    daemon.signal(Signal::SIGTERM);
    place.expect("STOPPING=1");
    daemon.signal(Signal::SIGINT);
    assert_eq!(daemon.wait().code(), Some(130));
}

#[test]
fn the_first_password_may_come_as_a_credential() {
    let place = Place::new();
    let credentials = place.path("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("hvnode-admin-password"), "given by systemd\n").unwrap();
    let mut command = place.command(env!("CARGO_BIN_EXE_hvnoded"));
    let _daemon = place.started(command.args(place.arguments()).env("CREDENTIALS_DIRECTORY", &credentials));
    assert!(!place.path("state/initial-password").exists());
    let text = place.post("/v1/user/login", r#"{"user_name":"admin","password":"given by systemd"}"#);
    assert!(text.contains("\"status_code\":0,"), "{text}");
}

#[test]
fn a_first_password_that_is_too_weak_stops_the_start_with_the_reason_and_without_itself() {
    let place = Place::new();
    let credentials = place.path("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("hvnode-admin-password"), "hunter2\n").unwrap();
    let mut command = place.command(env!("CARGO_BIN_EXE_hvnoded"));
    let status = command.args(place.arguments()).env("CREDENTIALS_DIRECTORY", &credentials).status().unwrap();
    assert_eq!(status.code(), Some(1));
    let log = place.log();
    assert!(log.contains("hvnode-admin-password: password must have at least 8 characters, it has 7"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn a_forgotten_password_is_set_through_the_unix_socket_and_tokens_survive_a_restart() {
    let place = Place::new();
    let mut daemon = place.start();
    let member = |text: &str, name: &str| -> String {
        let (_, rest) = text.split_once(&format!("\"{name}\":\"")).unwrap_or_else(|| panic!("no {name}: {text}"));
        rest.split('"').next().unwrap().to_owned()
    };
    let uuid = member(&place.get("/v1/user/list"), "user_uuid");
    let forgotten = std::fs::read_to_string(place.path("state/initial-password")).unwrap();
    let log_in = |password: &str| place.post("/v1/user/login", &format!(r#"{{"user_name":"admin","password":"{password}"}}"#));
    let session = member(&log_in(forgotten.trim()), "token");
    let body = format!(r#"{{"token_name":"ci","role":"operator","user_uuid":"{uuid}"}}"#);
    let secret = member(&place.post("/v1/token/create", &body), "secret");
    let set = place.post("/v1/user/password/update", &format!(r#"{{"user_uuid":"{uuid}","password":"a new password"}}"#));
    assert!(set.contains("\"status_code\":0,"), "{set}");
    assert!(log_in(forgotten.trim()).contains("\"status_code\":10180,"));
    let valid = |token: &str| place.get_with("/v1/user/inspect", token).contains("\"status_code\":0,");
    for is_killed in [false, true] {
        daemon.signal(if is_killed { Signal::SIGKILL } else { Signal::SIGTERM });
        daemon.wait();
        daemon = place.start();
        assert!(valid(&secret) && !valid(&session), "killed: {is_killed}");
        assert!(log_in("a new password").contains("\"status_code\":0,"));
    }
    let list = place.get("/v1/token/list");
    assert!(list.contains("\"last_used_address\":\"unix\"") && !list.contains(&secret), "{list}");
    drop(daemon);
    let log = place.log();
    assert!(log.contains("refused") && log.contains("reason=\"password\"") && log.contains("request_id"), "{log}");
    assert!(![&secret, "a new password", forgotten.trim(), &session].iter().any(|secret| log.contains(*secret)), "{log}");
}

/// SHA-512 of "correct horse", as ZStack's clients send it.
const HASH: &str = concat!(
    "56b698defedb5a435b634afe3320bbaf3fdcd920b6c503a446fc7b7a776b298d",
    "479d1ba6a8b617808eb0bf579ce9a95d668347bcab7149085ac93cb27995197b"
);

#[test]
fn a_user_that_is_disabled_is_out_of_every_api_at_once() {
    let place = Place::new();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (openstack, zstack, chimestack) = (free(), free(), free());
    place.configure(&format!(
        "[listen.openstack]\ntcp = [\"{openstack}\"]\n[listen.zstack]\ntcp = [\"{zstack}\"]\n[listen.chimestack]\ntcp = [\"{chimestack}\"]\n"
    ));
    let _daemon = place.start();
    place.wait_until_ready();
    let send = |to: SocketAddr, method: &str, path: &str, header: &str, body: &str| {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Type: application/json\r\n{header}");
        exchange(TcpStream::connect(to).unwrap(), &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
    };
    let between = |text: &str, begin: &str, end: &str| -> String {
        let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("no {begin}: {text}"));
        rest.split_once(end).unwrap().0.to_owned()
    };
    let made = place.post("/v1/user/create", r#"{"user_name":"anna","role":"reader","password":"correct horse"}"#);
    let uuid = between(&made, "\"user_uuid\":\"", "\"");

    let native = place.post("/v1/user/login", r#"{"user_name":"anna","password":"correct horse"}"#);
    let native = between(&native, "\"token\":\"", "\"");
    let user = r#"{"name":"anna","password":"correct horse","domain":{"id":"default"}}"#;
    let scope = r#"{"project":{"name":"admin","domain":{"id":"default"}}}"#;
    let body = format!(r#"{{"auth":{{"identity":{{"methods":["password"],"password":{{"user":{user}}}}},"scope":{scope}}}}}"#);
    let issued = send(openstack, "POST", "/identity/v3/auth/tokens", "", &body);
    let keystone = format!("X-Auth-Token: {}\r\n", between(&issued, "x-subject-token: ", "\r\n"));
    let body = format!(r#"{{"org.zstack.header.identity.APILogInByAccountMsg":{{"accountName":"anna","password":"{HASH}"}}}}"#);
    let session = between(&send(zstack, "POST", "/zstack/api", "", &body), "\\\"uuid\\\":\\\"", "\\\"");
    let query = format!(r#"{{"org.zstack.header.vm.APIQueryVmInstanceMsg":{{"conditions":[],"session":{{"uuid":"{session}"}}}}}}"#);
    let issued = send(chimestack, "POST", "/v1/login", "", r#"{"user_name":"anna","password":"correct horse"}"#);
    let bearer = format!("Authorization: Bearer {}\r\n", between(&issued, "\"uuid\":\"", "\""));

    let answers = || {
        [
            place.get_with("/v1/vm/list", &native).contains("\"status_code\":0,"),
            send(openstack, "GET", "/compute/v2.1/servers", &keystone, "").starts_with("HTTP/1.1 200"),
            send(zstack, "POST", "/zstack/api", "", &query).contains("\\\"success\\\":true"),
            send(chimestack, "GET", "/v1/vm", &bearer, "").starts_with("HTTP/1.1 200"),
        ]
    };
    assert_eq!(answers(), [true; 4]);
    place.post("/v1/user/update", &format!(r#"{{"user_uuid":"{uuid}","enabled":false}}"#));
    assert_eq!(answers(), [false; 4]);
    let refusals = place.get("/v1/user/refusal/list");
    assert!(
        ["native", "openstack", "zstack", "chimestack"].iter().all(|api| refusals.contains(&format!("\"dialect\":\"{api}\""))),
        "{refusals}"
    );
}

#[test]
fn wrong_command_lines_and_configurations_have_their_own_exit_codes() {
    let place = Place::new();
    let run = |arguments: &[&str]| {
        let output = place.command(env!("CARGO_BIN_EXE_hvnoded")).args(arguments).stderr(Stdio::piped()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    let file = place.path("hvnode.toml").display().to_string();
    assert_eq!(run(&["--config", &file, "--check-config"]), (Some(0), "the configuration is right\n".into()));
    place.configure("[nodes]\n");
    let (code, text) = run(&["--config", &file, "--check-config"]);
    assert_eq!(code, Some(78));
    assert!(text.starts_with(&format!("hvnoded: {file}:")) && text.contains("unknown field `nodes`"), "{text}");
    assert_eq!(run(&["--config", "/no/such/file"]).0, Some(78));
    assert_eq!(run(&["--no-such-option"]).0, Some(64));
    assert_eq!(run(&["--version"]), (Some(0), format!("hvnoded {}\n", env!("CARGO_PKG_VERSION"))));
    let (code, text) = run(&["openapi", "native"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("\"openapi\": \"3.1.0\"") && text.contains("/v1/vm/create"));
}

/// What a start that is refused says, and its exit code.
fn refused(command: &mut Command) -> (Option<i32>, String) {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn plain_http_where_others_reach_it_is_refused_unless_the_risk_is_taken() {
    let place = Place::new();
    place.configure("[listen.zstack]\ntcp = [\"0.0.0.0:0\"]\n");
    let (code, text) = refused(place.command(env!("CARGO_BIN_EXE_hvnoded")).args(place.arguments()));
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("listen.zstack.tcp: 0.0.0.0:0 can be reached by other machines"), "{text}");
    place.configure("[listen.zstack]\ntcp = [\"0.0.0.0:0\"]\n[tls]\ninsecure_plain_http_off_loopback = [\"zstack\"]\n");
    drop(place.start());
    assert!(place.log().contains("WARN") && place.log().contains("everything crosses the network in clear text"), "{}", place.log());
}

#[test]
fn a_handed_over_socket_that_others_reach_is_refused_without_tls() {
    let place = Place::new();
    let mut command = place.command("/bin/sh");
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=native exec \"$0\" \"$@\" 3<&0 </dev/null";
    command.args(["-c", script, env!("CARGO_BIN_EXE_hvnoded")]).args(place.arguments());
    command.stdin(Stdio::from(OwnedFd::from(TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap())));
    let (code, text) = refused(&mut command);
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("socket \"native\" handed over by the service manager: 0.0.0.0:"), "{text}");
}

/// How many of something the node says there are.
fn number_after(text: &str, key: &str) -> u64 {
    let rest = text.split_once(&format!("\"{key}\":")).unwrap_or_else(|| panic!("no {key} in {text}")).1;
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[test]
fn five_hundred_simulated_vms_are_there_on_every_dialect_and_after_a_restart() {
    let place = Place::new();
    let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (openstack, zstack, chimestack) = (port(), port(), port());
    place.configure(&format!(
        "[listen.openstack]\ntcp = [\"127.0.0.1:{openstack}\"]\n[listen.zstack]\ntcp = [\"127.0.0.1:{zstack}\"]\n[listen.chimestack]\ntcp = [\"127.0.0.1:{chimestack}\"]\n"
    ));
    let full = || {
        let mut command = place.command(env!("CARGO_BIN_EXE_hvnoded"));
        let daemon = place.started(command.args(["--simulate", "500", "--config"]).arg(place.path("hvnode.toml")));
        place.wait_until_ready();
        daemon
    };
    let daemon = full();
    let summary = place.get("/v1/statistics/summary/inspect");
    assert_eq!((number_after(&summary, "vm_count"), number_after(&summary, "vm_running_count")), (500, 363), "{summary}");
    assert_eq!(number_after(&place.get("/v1/vm/list?page_size=0"), "total_count"), 500);
    for (status, count) in [("paused", 20), ("crashed", 10), ("deleted", 5), ("error", 10)] {
        assert_eq!(number_after(&place.get(&format!("/v1/vm/list?status={status}")), "total_count"), count, "{status}");
    }
    for port in [openstack, zstack, chimestack] {
        let answer = get(TcpStream::connect(("127.0.0.1", port)).unwrap(), "/readyz");
        assert!(answer.starts_with("HTTP/1.1 200"), "{port}: {answer}");
    }
    daemon.signal(Signal::SIGKILL);
    daemon.wait();
    let daemon = full();
    assert_eq!(number_after(&place.get("/v1/vm/list?page_size=0"), "total_count"), 500);
    assert_eq!(number_after(&place.get("/v1/vm/list?status=error&page_size=0"), "total_count"), 0, "each record has its domain");
    drop(daemon);
}

#[test]
fn a_fault_that_was_asked_for_happens_and_a_wrong_one_is_refused() {
    let place = Place::new();
    let mut command = place.command(env!("CARGO_BIN_EXE_hvnoded"));
    let arguments = ["--simulate", "10", "--simulate-faults", "start=fail,disk=slow:0.1s", "--config"];
    let _daemon = place.started(command.args(arguments).arg(place.path("hvnode.toml")));
    place.wait_until_ready();
    let list = place.get("/v1/vm/list?status=stopped");
    let vm_uuid = list.split_once("\"vm_uuid\":\"").unwrap().1.get(..36).unwrap().to_owned();
    let body = format!("{{\"vm_uuid\":\"{vm_uuid}\"}}");
    let mut stream = UnixStream::connect(place.path("run/hvnode.sock")).unwrap();
    let head = "POST /v1/vm/start HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Type: application/json";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"status_code\":13004") && answer.contains("the simulation lets it fail"), "{answer}");

    let refused = place.command(env!("CARGO_BIN_EXE_hvnoded")).args(["--simulate", "--simulate-faults", "sing=fail"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
    assert!(place.log().contains("'sing=fail' is no fault"), "{}", place.log());
}
