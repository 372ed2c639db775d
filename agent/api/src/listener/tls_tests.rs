//! TLS from a client's side: who gets in, who does not, and what it is told.

use super::*;
use crate::frame::FrameLimits;
use crate::metrics::Metrics;
use crate::test_support::authority::{Authority, Pair, connect, connector, der, shown};
use crate::test_support::{empty_snapshot, frame_parts, wait_for};
use crate::tls::{ClientCertificates, ClientRight, TlsSettings, TlsVersion};
use axum::routing::get;
use axum::{Extension, Router};
use hvnode_core::port::SystemClock;
use std::io;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    authority: Authority,
    address: SocketAddr,
    tls: Arc<Tls>,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<Result<()>>,
}

fn who() -> Router {
    let answer = |Extension(peer): Extension<Peer>| async move {
        let trusted = peer.trusted.map_or_else(|| "nobody".to_owned(), |trusted| format!("{} {:?}", trusted.user_name, trusted.role));
        format!("{} {trusted} {}", peer.address, if peer.is_encrypted { "encrypted" } else { "plain" })
    };
    Router::new().route("/", get(answer))
}

fn start(authority: Authority, settings: &TlsSettings, limits: FrameLimits) -> Running {
    let socket = BoundSocket::bind_tcp(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let BoundSocket::Tcp(listener) = &socket else { unreachable!() };
    let address = listener.local_addr().unwrap();
    let parts = frame_parts(who(), limits);
    let metrics = parts.metrics.clone();
    let tls = Tls::start(settings, vec!["native"], 2, metrics.clone(), Arc::new(SystemClock)).unwrap();
    let admission = Admission { trust: Arc::new(PeerTrust::new("")), tls: Some(tls.clone()) };
    let stop = watch::Sender::new(false);
    let task = tokio::spawn(serve(socket, Frame::new(parts), admission, stop.subscribe()));
    Running { authority, address, tls, metrics, stop, task }
}

fn started(demand: ClientCertificates, names: &[(&str, ClientRight)]) -> Running {
    let authority = Authority::new();
    let settings = authority.settings(demand, names);
    start(authority, &settings, FrameLimits::default())
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const LAST_GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

async fn talk(stream: &mut TlsStream<TcpStream>) -> io::Result<String> {
    stream.write_all(LAST_GET).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

impl Running {
    fn client(&self, own: Option<&Pair>) -> TlsConnector {
        connector(&self.authority.certificate, own, rustls::ALL_VERSIONS)
    }

    /// Asks over a new connection.
    async fn ask(&self, client: &TlsConnector) -> io::Result<String> {
        talk(&mut connect(self.address, client).await?).await
    }

    async fn failures(&self, reason: &str, count: usize) {
        let line = format!("hvnode_tls_handshake_failures_total{{listener=\"native\",reason=\"{reason}\"}} {count}");
        let ask = async || self.metrics.page(&empty_snapshot(), &Default::default()).contains(&line).then_some(());
        wait_for(&line, PATIENCE, ask).await;
    }
}

fn role(role: Role) -> ClientRight {
    ClientRight::Role(role)
}

#[tokio::test]
async fn a_request_over_tls_is_answered_by_whoever_trusts_the_authority_and_by_nobody_else() {
    let running = started(ClientCertificates::None, &[]);
    let text = running.ask(&running.client(None)).await.unwrap();
    assert!(text.ends_with("127.0.0.1 nobody encrypted"), "{text}");
    let distrustful = connector(&Authority::new().certificate, None, rustls::ALL_VERSIONS);
    let error = running.ask(&distrustful).await.unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer") || error.contains("BadSignature"), "{error}");
    running.failures("client_refused", 1).await;
}

#[tokio::test]
async fn plain_http_gets_a_word_in_plain_text_and_garbage_gets_none() {
    let running = started(ClientCertificates::None, &[]);
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET /v1/vm/list HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 400 ") && text.ends_with("this port speaks https: use https:// in the address\n"), "{text}");
    running.failures("plain_http", 1).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(&[0; 64]).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(!bytes.starts_with(b"HTTP"));
    running.failures("not_tls", 1).await;
    drop(TcpStream::connect(running.address).await.unwrap());
    running.failures("closed", 1).await;
}

#[tokio::test]
async fn clients_that_never_finish_their_handshake_are_cut_off_and_delay_nobody() {
    let authority = Authority::new();
    let settings = authority.settings(ClientCertificates::None, &[]);
    let limits = FrameLimits { handshake_timeout: Duration::from_millis(300), connections_max: 64, ..Default::default() };
    let running = start(authority, &settings, limits);
    let mut silent = Vec::new();
    for number in 0..40 {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        if number % 2 == 0 {
            // The beginning of a handshake that never comes to its end.
            stream.write_all(&[22, 3, 1, 1, 0, 1]).await.unwrap();
        }
        silent.push(stream);
    }
    assert!(running.ask(&running.client(None)).await.unwrap().contains("encrypted"));
    running.failures("timeout", 40).await;
    for mut stream in silent {
        let mut rest = Vec::new();
        let _closed_or_reset = stream.read_to_end(&mut rest).await;
    }
    assert!(running.ask(&running.client(None)).await.unwrap().contains("encrypted"));
}

#[tokio::test]
async fn unfinished_handshakes_count_as_connections() {
    let authority = Authority::new();
    let settings = authority.settings(ClientCertificates::None, &[]);
    let running = start(authority, &settings, FrameLimits { connections_max: 1, ..Default::default() });
    let silent = TcpStream::connect(running.address).await.unwrap();
    let client = running.client(None);
    let refused = async || running.ask(&client).await.ok().filter(|text| text.contains("10012 "));
    wait_for("the refusal of a second connection", PATIENCE, refused).await;
    drop(silent);
    let served = async || running.ask(&client).await.ok().filter(|text| text.contains("encrypted"));
    wait_for("the first connection to be gone", PATIENCE, served).await;
}

#[tokio::test]
async fn the_oldest_version_is_what_the_configuration_says() {
    let authority = Authority::new();
    let mut settings = authority.settings(ClientCertificates::None, &[]);
    let running = start(authority, &settings, FrameLimits::default());
    let only = |version| connector(&running.authority.certificate, None, &[version]);
    let (old, new) = (only(&rustls::version::TLS12), only(&rustls::version::TLS13));
    for client in [&old, &new] {
        running.ask(client).await.unwrap();
    }
    settings.minimum_version = TlsVersion::Tls13;
    running.tls.reload(Some(&settings)).unwrap();
    running.ask(&new).await.unwrap();
    let error = running.ask(&old).await.unwrap_err().to_string();
    assert!(error.contains("ProtocolVersion"), "{error}");
    running.failures("incompatible", 1).await;
}

#[tokio::test]
async fn a_listed_certificate_takes_the_place_of_a_token_and_an_unlisted_one_is_told_so() {
    let running = started(ClientCertificates::Optional, &[("boss", role(Role::Admin)), ("viewer", role(Role::Reader))]);
    let as_client = async |name: &str| running.ask(&running.client(Some(&running.authority.client(name)))).await.unwrap();
    assert!(as_client("boss").await.ends_with("127.0.0.1 cert:boss Admin encrypted"));
    assert!(as_client("viewer").await.ends_with("127.0.0.1 cert:viewer Reader encrypted"));
    assert!(running.ask(&running.client(None)).await.unwrap().ends_with("nobody encrypted"), "optional");
    let refusal = as_client("stranger").await;
    assert!(refusal.contains("10103 ") && !refusal.contains("encrypted"), "{refusal}");
    let foreign = running.client(Some(&Authority::new().client("boss")));
    let error = running.ask(&foreign).await.unwrap_err().to_string();
    assert!(error.contains("UnknownCA") || error.contains("DecryptError"), "{error}");
    running.failures("client_certificate_refused", 1).await;
}

#[tokio::test]
async fn without_a_required_certificate_there_is_no_connection() {
    let running = started(ClientCertificates::Required, &[("*", role(Role::Operator))]);
    let error = running.ask(&running.client(None)).await.unwrap_err().to_string();
    assert!(error.contains("CertificateRequired"), "the client is told why: {error}");
    running.failures("client_certificate_missing", 1).await;
    let expired = running.authority.issue("old", &[], None);
    let error = running.ask(&running.client(Some(&expired))).await.unwrap_err().to_string();
    assert!(error.contains("CertificateExpired"), "{error}");
    running.failures("client_certificate_expired", 1).await;
    let text = running.ask(&running.client(Some(&running.authority.client("any")))).await.unwrap();
    assert!(text.ends_with("cert:any Operator encrypted"), "{text}");
}

/// One request on a connection that stays open.
async fn ask_again(stream: &mut BufReader<TlsStream<TcpStream>>) -> io::Result<String> {
    stream.get_mut().write_all(GET).await?;
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let running = started(ClientCertificates::Optional, &[("boss", role(Role::Admin))]);
    let client = running.client(Some(&running.authority.client("boss")));
    let mut standing = BufReader::new(connect(running.address, &client).await.unwrap());
    assert!(ask_again(&mut standing).await.unwrap().contains("cert:boss"));
    let new = running.authority.server();
    running.authority.put(&new);
    running.tls.reload(None).unwrap();
    assert_eq!(shown(&connect(running.address, &client).await.unwrap()), der(&new.certificate));
    assert!(ask_again(&mut standing).await.unwrap().contains("cert:boss"), "the old connection stands");
}

#[tokio::test]
async fn a_client_that_is_no_longer_listed_loses_its_connections() {
    let running = started(ClientCertificates::Optional, &[("boss", role(Role::Admin)), ("viewer", role(Role::Reader))]);
    let open = async |name: &str| {
        let client = running.client(Some(&running.authority.client(name)));
        BufReader::new(connect(running.address, &client).await.unwrap())
    };
    let (mut boss, mut viewer) = (open("boss").await, open("viewer").await);
    assert!(ask_again(&mut boss).await.is_ok() && ask_again(&mut viewer).await.is_ok());
    let settings = running.authority.settings(ClientCertificates::Optional, &[("boss", role(Role::Admin))]);
    running.tls.reload(Some(&settings)).unwrap();
    let mut end = [0];
    let closed = tokio::time::timeout(PATIENCE, viewer.read(&mut end)).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    assert!(ask_again(&mut boss).await.is_ok());
}

#[tokio::test]
async fn draining_does_not_wait_for_handshakes() {
    let running = started(ClientCertificates::None, &[]);
    let _silent = TcpStream::connect(running.address).await.unwrap();
    let open = async || {
        running.metrics.page(&empty_snapshot(), &Default::default()).contains("hvnode_api_connections{dialect=\"native\"} 1").then_some(())
    };
    wait_for("the connection to be accepted", PATIENCE, open).await;
    running.stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(5), running.task).await.unwrap().unwrap().unwrap();
}
