//! A node that answers what a test says, over TCP or a unix socket, and remembers what it was asked; and how to run `hvctl` against it.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `GET` or `POST`.
    pub(crate) method: String,
    /// Path without query.
    pub(crate) path: String,
    query: String,
    /// The `Authorization` header.
    pub(crate) token: Option<String>,
    /// The `Last-Event-ID` header.
    pub(crate) last_event_id: Option<String>,
    /// The body, `null` if there was none.
    pub(crate) body: Value,
}

impl Request {
    /// A query parameter, decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.replace("%20", " "))
    }
}

/// What to answer.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// 200 with this body.
    Json(String),
    /// This status with this text.
    Text(u16, String),
    /// 200 with these server-sent events; then the connection ends.
    Stream(String),
    /// 404.
    NotFound,
    /// Nothing: the connection breaks.
    Drop,
    /// Nothing: the connection stays open.
    Hang,
}

/// An envelope with `data`.
pub(crate) fn success(data: &Value) -> Reply {
    Reply::Json(json!({"status_code": 0, "message": "Success", "message_cn": "成功", "stack": null, "data": data}).to_string())
}

/// An envelope with a refusal.
pub(crate) fn refusal(code: u32, message: &str, message_cn: &str) -> Reply {
    Reply::Json(json!({"status_code": code, "message": message, "message_cn": message_cn, "stack": ["s"], "data": null}).to_string())
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Request>>,
    grown: Condvar,
}

/// The fake node. Its threads end with the test's process.
pub(crate) struct Node {
    url: String,
    seen: Arc<Seen>,
    _folder: Option<TempDir>,
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

impl Node {
    /// On a free port.
    pub(crate) fn tcp(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, answer): (Arc<Seen>, Arc<Answer>) = (Arc::default(), Arc::new(answer));
        let shared = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let writer = stream.try_clone().unwrap();
                serve(stream, writer, &answer, &shared);
            }
        });
        Self { url, seen, _folder: None }
    }

    /// On a unix socket.
    pub(crate) fn unix(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (seen, answer): (Arc<Seen>, Arc<Answer>) = (Arc::default(), Arc::new(answer));
        let shared = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let writer = stream.try_clone().unwrap();
                serve(stream, writer, &answer, &shared);
            }
        });
        Self { url: format!("unix:{}", path.display()), seen, _folder: Some(folder) }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Everything asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().unwrap().clone()
    }

    /// Waits until what was asked satisfies `is_enough`.
    pub(crate) fn wait_until(&self, is_enough: impl Fn(&[Request]) -> bool) {
        let requests = self.seen.requests.lock().unwrap();
        let limit = Duration::from_secs(20);
        let (_requests, wait) = self.seen.grown.wait_timeout_while(requests, limit, |requests| !is_enough(requests)).unwrap();
        assert!(!wait.timed_out(), "the node was not asked what the test waits for");
    }
}

/// Serves one connection on a thread of its own, request after request.
fn serve(reader: impl Read + Send + 'static, mut writer: impl Write + Send + 'static, answer: &Arc<Answer>, seen: &Arc<Seen>) {
    let (answer, seen) = (answer.clone(), seen.clone());
    std::thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        while let Some(request) = read_request(&mut reader) {
            seen.requests.lock().unwrap().push(request.clone());
            seen.grown.notify_all();
            let mut kind = "application/json";
            let (status, body) = match answer(&request) {
                Reply::Json(body) => ("200 OK", body),
                Reply::Text(503, body) => ("503 Service Unavailable", body),
                Reply::Text(_, body) => ("200 OK", body),
                Reply::Stream(body) => {
                    kind = "text/event-stream";
                    ("200 OK", body)
                }
                Reply::NotFound => ("404 Not Found", String::new()),
                Reply::Drop => return,
                Reply::Hang => {
                    // until the client gives up
                    let _ = reader.read(&mut [0]);
                    return;
                }
            };
            let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
            if writer.write_all((head + &body).as_bytes()).is_err() {
                return;
            }
        }
    });
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut token, mut last_event_id) = (0, None, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "last-event-id" => last_event_id = Some(value.to_owned()),
            "authorization" => token = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Request { method, path: path.to_owned(), query: query.to_owned(), token, last_event_id, body })
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// Exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// Runs `hvctl` against `node`, with nothing kept from earlier runs.
pub(crate) fn run(node: &Node, line: &[&str]) -> Done {
    run_with(line, &[("HVNODE_URL", &node.url)], None)
}

/// Runs it with `input` on its standard input.
pub(crate) fn run_fed(node: &Node, line: &[&str], input: &str) -> Done {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(line, &[("HVNODE_URL", &node.url)], folder.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Done {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs it with `home` as its state folder.
pub(crate) fn run_in(home: &Path, node: &Node, line: &[&str], environment: &[(&str, &str)]) -> Done {
    let mut environment = environment.to_vec();
    environment.push(("HVNODE_URL", &node.url));
    run_with(line, &environment, Some(home))
}

/// Runs it with this environment and no other.
pub(crate) fn run_with(line: &[&str], environment: &[(&str, &str)], home: Option<&Path>) -> Done {
    let folder = tempfile::tempdir().unwrap();
    let output = command(line, environment, home.unwrap_or(folder.path())).output().unwrap();
    Done {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Starts it and does not wait for it.
pub(crate) fn spawn(node: &Node, line: &[&str], stdout: Stdio) -> Child {
    let home = std::env::temp_dir().join("hvctl-test-without-home");
    command(line, &[("HVNODE_URL", &node.url)], &home).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn command(line: &[&str], environment: &[(&str, &str)], home: &Path) -> Command {
    // the program under test, not a foreign one
    #[allow(clippy::disallowed_methods)]
    let mut command = Command::new(env!("CARGO_BIN_EXE_hvctl"));
    command
        .args(line)
        .stdin(Stdio::null())
        .env_clear()
        .env("XDG_STATE_HOME", home)
        .env("XDG_CONFIG_HOME", home)
        .envs(environment.iter().copied());
    command
}
