use super::*;
use crate::body::read_body;
use crate::context::{FrameErrors, LongAnswer};
use crate::frame::FrameLimits;
use crate::test_support::{NumberErrors, frame};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use futures_util::stream;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

/// A listener on a free port, and the means to end it.
struct Running {
    address: SocketAddr,
    frame: Arc<Frame>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<()>>,
}

fn start(router: Router, limits: FrameLimits) -> Running {
    let socket = BoundSocket::bind_tcp(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let BoundSocket::Tcp(listener) = &socket else { unreachable!() };
    let (address, frame, stop) = (listener.local_addr().unwrap(), frame(router, limits), watch::Sender::new(false));
    let task = tokio::spawn(serve(socket, frame.clone(), Admission::plain(PeerTrust::new("")), stop.subscribe()));
    Running { address, frame, stop, task }
}

fn router() -> Router {
    async fn length(body: axum::body::Body) -> Response {
        match read_body(body, 1 << 16).await {
            Ok(bytes) => bytes.len().to_string().into_response(),
            Err(error) => NumberErrors.respond(&error, "r"),
        }
    }
    Router::new().route("/", get(|| async { "fine" })).route("/length", post(length)).route(
        "/peer",
        get(|Extension(peer): Extension<Peer>| async move {
            format!("{} {}", peer.address, peer.trusted.map(|trusted| trusted.user_name).unwrap_or_default())
        }),
    )
}

/// Sends `request` and reads until the server closes.
async fn talk<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(stream: &mut S, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    read_to_end(stream).await
}

async fn read_to_end<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is as good an end as any.
    let _ended = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn get_path(running: &Running, path: &str) -> String {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    talk(&mut stream, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn a_request_over_tcp_is_answered_and_knows_its_peer() {
    let running = start(router(), FrameLimits::default());
    assert!(get_path(&running, "/").await.ends_with("\r\n\r\nfine"));
    assert!(get_path(&running, "/peer").await.ends_with("127.0.0.1 "), "no user over TCP");
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let running = start(router(), FrameLimits::default());
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let keep = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let text = talk(&mut stream, &format!("{keep}{keep}{}", keep.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"))).await;
    assert_eq!(text.matches("200 OK").count(), 3);
}

#[tokio::test]
async fn a_client_that_sends_its_head_too_slowly_is_cut_off() {
    let running = start(router(), FrameLimits { header_timeout: Duration::from_millis(50), ..Default::default() });
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(talk(&mut stream, "GET / HTTP/1.1\r\nHost:").await, "", "closed without an answer");
    assert!(get_path(&running, "/").await.contains("fine"), "others are served");
}

#[tokio::test]
async fn a_slow_second_request_on_a_connection_is_cut_off_too() {
    let running = start(router(), FrameLimits { header_timeout: Duration::from_millis(50), ..Default::default() });
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 4096];
    assert!(stream.read(&mut answer).await.unwrap() > 0);
    assert_eq!(talk(&mut stream, "GET / HT").await.matches("200 OK").count(), 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let running = start(router(), FrameLimits { idle_timeout: Duration::from_millis(50), ..Default::default() });
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, "");
    let text = talk(&mut TcpStream::connect(running.address).await.unwrap(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(text.ends_with("fine"), "answered, then closed");
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_a_timeout() {
    let running = start(router(), FrameLimits { body_timeout: Duration::from_millis(50), ..Default::default() });
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"POST /length HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\n123").await.unwrap();
    assert!(read_to_end(&mut stream).await.contains("10006 "));
}

#[tokio::test]
async fn a_client_that_sends_ten_mebibytes_still_sees_the_refusal() {
    let running = start(router(), FrameLimits::default());
    let size = 10 << 20;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = format!("POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; size]).await.unwrap();
    let text = read_to_end(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.contains("10011 "), "{text}");
}

#[tokio::test]
async fn a_chunked_body_cannot_hide_its_size() {
    let running = start(router(), FrameLimits::default());
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let body = format!("{}0\r\n\r\n", chunk.repeat(8));
    let request = format!("POST /length HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    assert!(talk(&mut stream, &request).await.contains("10011 "));
}

#[tokio::test]
async fn a_client_that_asks_before_sending_is_refused_before_sending() {
    let running = start(router(), FrameLimits { body_bytes_max: 100, ..Default::default() });
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let text = talk(&mut stream, "POST /length HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 101\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.contains("10011 "), "no 100 Continue: {text}");
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let running = start(router(), FrameLimits::default());
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "y".repeat(200_000));
    let _reset_while_writing = stream.write_all(request.as_bytes()).await;
    let text = read_to_end(&mut stream).await;
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 431"), "{text}");
}

#[tokio::test]
async fn connections_above_the_limit_are_told_so_and_the_rest_go_on() {
    let running = start(router(), FrameLimits { connections_max: 1, ..Default::default() });
    let mut first = TcpStream::connect(running.address).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut line = String::new();
    BufReader::new(&mut first).read_line(&mut line).await.unwrap();
    assert!(line.contains("200 OK"));
    assert!(get_path(&running, "/").await.contains("10012 "));
    drop(first);
    while !get_path(&running, "/").await.contains("fine") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn draining_finishes_the_running_request_and_takes_no_new_one() {
    let (begun, may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (begun.clone(), may_end.clone());
    let slow = move || async move {
        tell.notify_one();
        wait.notified().await;
        "finished"
    };
    let running = start(Router::new().route("/slow", get(slow)), FrameLimits::default());
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    let mut busy = TcpStream::connect(running.address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    begun.notified().await;
    running.stop.send_replace(true);
    assert_eq!(read_to_end(&mut idle).await, "", "an idle connection is closed soon");
    assert!(TcpStream::connect(running.address).await.is_err(), "no new connection");
    assert!(!running.task.is_finished());
    may_end.notify_one();
    assert!(read_to_end(&mut busy).await.ends_with("finished"));
    running.task.await.unwrap().unwrap();
    assert_eq!(running.frame.connections.get(), 0);
}

#[tokio::test]
async fn a_request_on_a_connection_that_was_just_accepted_when_draining_began_is_answered() {
    let running = start(Router::new().route("/quick", get(|| async { "answered" })), FrameLimits::default());
    let mut fresh = TcpStream::connect(running.address).await.unwrap();
    while running.frame.connections.get() == 0 {
        tokio::task::yield_now().await;
    }
    running.stop.send_replace(true);
    while TcpStream::connect(running.address).await.is_ok() {}
    fresh.write_all(b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(read_to_end(&mut fresh).await.ends_with("answered"));
    running.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn giving_up_on_a_drain_closes_what_is_left() {
    let begun = Arc::new(Notify::new());
    let tell = begun.clone();
    let never = move || async move {
        tell.notify_one();
        std::future::pending::<&'static str>().await
    };
    let running = start(Router::new().route("/never", get(never)), FrameLimits::default());
    let mut busy = TcpStream::connect(running.address).await.unwrap();
    busy.write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    begun.notified().await;
    running.stop.send_replace(true);
    running.task.abort();
    assert_eq!(read_to_end(&mut busy).await, "");
}

#[tokio::test]
async fn a_unix_peer_is_known_by_its_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hvnode.sock");
    let socket = BoundSocket::bind_unix(&path, None).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let stop = watch::Sender::new(false);
    let frame = frame(router(), FrameLimits::default());
    let task = tokio::spawn(serve(socket, frame, Admission::plain(PeerTrust::new("")), stop.subscribe()));
    let mut stream = UnixStream::connect(&path).await.unwrap();
    let text = talk(&mut stream, "GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(text.ends_with(&format!("unix uid:{}", nix::unistd::geteuid())), "{text}");
    stop.send_replace(true);
    task.await.unwrap().unwrap();
    assert!(!path.exists(), "the file goes with the listener");
}

#[test]
fn a_stale_socket_is_replaced_and_a_living_one_or_a_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hvnode.sock");
    drop(StdUnixListener::bind(&path).unwrap());
    let living = BoundSocket::bind_unix(&path, None).unwrap();
    assert_eq!(living.describe(), path.display().to_string());
    let taken = BoundSocket::bind_unix(&path, None).unwrap_err();
    assert!(taken.message().contains("another process listens"), "{taken}");
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(BoundSocket::bind_unix(&file, None).unwrap_err().message().contains("is not a socket"));
    assert!(file.exists());
}

#[test]
fn a_taken_port_is_named_in_the_error() {
    let first = BoundSocket::bind_tcp(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let BoundSocket::Tcp(listener) = &first else { unreachable!() };
    let address = listener.local_addr().unwrap();
    let error = BoundSocket::bind_tcp(address).unwrap_err();
    assert!(error.chain().contains(&address.to_string()) && error.chain().contains("in use"), "{}", error.chain());
}

/// A route whose answer has no end: it says `word` every `pause`, and tells when it is dropped.
fn endless(word: Bytes, pause: Duration, dropped: mpsc::Sender<()>) -> Router {
    struct Tell(mpsc::Sender<()>);
    impl Drop for Tell {
        fn drop(&mut self) {
            let _nobody_waits = self.0.try_send(());
        }
    }
    let answer = move || async move {
        let words = stream::unfold((Tell(dropped), word), move |(tell, word)| async move {
            tokio::time::sleep(pause).await;
            Some((Ok::<_, std::convert::Infallible>(word.clone()), (tell, word)))
        });
        let mut response = Response::new(axum::body::Body::from_stream(words));
        response.extensions_mut().insert(LongAnswer);
        response
    };
    Router::new().route("/endless", get(answer))
}

const WORD: &[u8] = b"still here\n";
const ENDLESS: &[u8] = b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n";

/// Reads lines until the answer has said `count` words more; gives false if the server closed before.
async fn hears(stream: &mut (impl tokio::io::AsyncBufRead + Unpin), count: usize) -> bool {
    let (mut heard, mut line) = (0, String::new());
    while heard < count {
        line.clear();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return false;
        }
        heard += usize::from(line.starts_with("still here"));
    }
    true
}

#[tokio::test]
async fn an_answer_without_an_end_outlives_every_time_limit_while_its_client_takes_it() {
    let second = Duration::from_secs(1);
    let limits = FrameLimits { idle_timeout: second, header_timeout: second, request_timeout: 2 * second, ..Default::default() };
    let (dropped, _alive) = mpsc::channel(1);
    let running = start(endless(Bytes::from_static(WORD), 15 * second, dropped), limits);
    // From here on the clock jumps from timer to timer, so that minutes pass at once.
    tokio::time::pause();
    let (mut stream, begin) = (BufReader::new(TcpStream::connect(running.address).await.unwrap()), tokio::time::Instant::now());
    stream.write_all(ENDLESS).await.unwrap();
    assert!(hears(&mut stream, 40).await, "closed after {:?}", begin.elapsed());
    assert!(begin.elapsed() >= 600 * second);
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_an_answer_without_an_end_is_cut_off() {
    let (dropped, mut is_dropped) = mpsc::channel(1);
    // It speaks so fast that it soon fills every buffer between.
    let running = start(endless(Bytes::from(vec![b'x'; 64 << 10]), Duration::ZERO, dropped), FrameLimits::default());
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(ENDLESS).await.unwrap();
    tokio::time::pause();
    is_dropped.recv().await.unwrap();
    while running.frame.connections.get() != 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_answer_without_an_end_ends_when_its_client_vanishes() {
    let (dropped, mut is_dropped) = mpsc::channel(1);
    // So long a pause that no write can find out.
    let running = start(endless(Bytes::from_static(WORD), Duration::from_secs(3600), dropped), FrameLimits::default());
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(ENDLESS).await.unwrap();
    let mut line = String::new();
    BufReader::new(&mut stream).read_line(&mut line).await.unwrap();
    assert!(line.contains("200 OK"), "{line}");
    drop(stream);
    is_dropped.recv().await.unwrap();
    while running.frame.connections.get() != 0 {
        tokio::task::yield_now().await;
    }
}
