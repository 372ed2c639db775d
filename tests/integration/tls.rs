//! TLS as an operator meets it: certificates by `hvctl tls`, clients with and without them, new files while connections are open.

use crate::support::metrics::connections;
use crate::support::{Node, PATIENCE, wait_for};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const NATIVE: &str = "127.0.0.1:7443";
const NATIVE_URL: &str = "https://127.0.0.1:7443";
const METRICS_URL: &str = "https://127.0.0.1:9443";
const FOLDER: &str = "/etc/hvnode/tls";
const HVCTL: &str = "/run/bin/hvctl";
const CA: &str = "/etc/hvnode/tls/ca.crt";

/// The part of the configuration that `hvctl tls` says to write, with other ports than the usual ones.
fn configuration(client_names: &str) -> String {
    format!(
        "[libvirt]\nuri = \"qemu:///system\"\n[listen.native]\ntcp = [\"{NATIVE}\"]\ntls = true\n[metrics]\nlisten = [\"127.0.0.1:9443\"]\n\
         tls = true\n[log]\nlevel = \"debug\"\nformat = \"text\"\n[tls]\ncertificate_file = \"{FOLDER}/server.crt\"\n\
         key_file = \"{FOLDER}/server.key\"\nclient_ca_file = \"{CA}\"\nclient_certificates = \"optional\"\n\
         client_names = {{ {client_names} }}\n"
    )
}

/// A node that speaks TLS with certificates of its own authority, and clients `boss`, `viewer` and `stranger`.
async fn node_with_tls(client_names: &str) -> Node {
    let mut node = Node::start().await;
    let program = std::env::current_exe().unwrap().parent().and_then(Path::parent).unwrap().join("hvctl");
    std::fs::copy(&program, node.host.directory.join("run/bin/hvctl")).unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let made = node.host.run(&[HVCTL, "tls", "init", "--days", "100"]);
    assert!(made.contains("certificate_file = \"/etc/hvnode/tls/server.crt\"") && made.contains("tls = true"), "{made}");
    for (name, role) in [("boss", "admin"), ("viewer", "reader"), ("stranger", "operator")] {
        let made = node.host.run(&[HVCTL, "tls", "client", name, "--role", role]);
        assert!(made.contains(&format!("client_names = {{ \"{name}\" = \"{role}\" }}")), "{made}");
    }
    configure(&node, client_names);
    node.end_daemon("TERM");
    node.start_daemon().await;
    node
}

fn configure(node: &Node, client_names: &str) {
    std::fs::write(node.host.directory.join("hvnode/etc/hvnode.toml"), configuration(client_names)).unwrap();
}

const ALL_NAMES: &str = "boss = \"admin\", viewer = \"reader\"";

/// Runs a command in the host; it may fail. Exit code, and both streams as one text.
fn try_run(node: &Node, words: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = node.host.command(words).stdin(Stdio::null()).output().unwrap();
    (status.code().unwrap_or(-1), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

/// hvctl over TLS, as the holder of a certificate.
fn as_client(node: &Node, name: &str, words: &[&str]) -> (i32, String) {
    let (certificate, key) = (format!("{FOLDER}/clients/{name}.crt"), format!("{FOLDER}/clients/{name}.key"));
    let options = ["--url", NATIVE_URL, "--ca-file", CA, "--client-certificate", &certificate, "--client-key", &key];
    try_run(node, &[&[HVCTL], words, &options].concat())
}

fn curl(node: &Node, url: &str) -> String {
    node.host.run(&["curl", "-sS", "--cacert", CA, url])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_get_in_by_password_or_certificate_and_are_told_why_where_they_do_not() {
    let node = node_with_tls(ALL_NAMES).await;
    let mode = node.host.run(&["stat", "-c", "%n %a %U", "/etc/hvnode/tls/ca.key", "/etc/hvnode/tls/server.key"]);
    assert_eq!(mode, "/etc/hvnode/tls/ca.key 600 root\n/etc/hvnode/tls/server.key 600 hvnode\n");
    let (code, said) = try_run(&node, &[HVCTL, "tls", "init"]);
    assert!(code == 1 && said.contains("/etc/hvnode/tls/ca.crt is there already") && said.contains("--force"), "{said}");
    let shown = node.host.run(&[HVCTL, "tls", "show"]);
    assert!(shown.contains("localhost, 127.0.0.1") && shown.contains("authority") && shown.contains("clients/boss.crt"), "{shown}");

    // With a password.
    let password = node.host.run(&["cat", "/var/lib/hvnode/initial-password"]).trim().to_owned();
    let credentials = ["env", "HVNODE_USER=admin", &format!("HVNODE_PASSWORD={password}"), "HVNODE_CA_FILE=/etc/hvnode/tls/ca.crt"];
    let (code, said) = try_run(&node, &[&credentials[..], &[HVCTL, "--url", NATIVE_URL, "vm", "list"]].concat());
    assert_eq!(code, 0, "{said}");
    let (code, said) = try_run(&node, &[HVCTL, "--url", NATIVE_URL, "vm", "list"]);
    assert!(code == 3 && said.contains("UnknownIssuer") && said.contains("--ca-file"), "the authority is not known: {said}");
    let (code, said) = try_run(&node, &[HVCTL, "--url", "http://127.0.0.1:7443", "vm", "list"]);
    assert!(code == 3 && said.contains("that port speaks https"), "{said}");

    // With a certificate.
    let (code, said) = as_client(&node, "boss", &["whoami"]);
    assert!(code == 0 && said.contains("cert:boss") && said.contains("admin"), "{said}");
    let (code, said) = as_client(&node, "boss", &["spec", "create", "small", "--cpus", "1", "--memory", "64M"]);
    assert_eq!(code, 0, "{said}");
    let log = node.client.get("/v1/operation_log/list").await.ok();
    assert!(log["list"].as_array().unwrap().iter().any(|row| row.to_string().contains("cert:boss")), "{log:#}");
    let (code, said) = as_client(&node, "viewer", &["spec", "list"]);
    assert!(code == 0 && said.contains("small"), "{said}");
    let (code, said) = as_client(&node, "viewer", &["spec", "delete", "small", "--yes"]);
    assert!(code == 4 && said.contains("10103"), "{said}");
    let (code, said) = as_client(&node, "stranger", &["spec", "list"]);
    assert!(code == 4 && said.contains("the client certificate (stranger) is not listed in tls.client_names"), "{said}");
    let metrics = curl(&node, &format!("{METRICS_URL}/metrics"));
    assert!(metrics.contains("hvnode_tls_certificate_expiry_timestamp_seconds{listener=\"metrics\"}"), "{metrics}");

    // Old versions are not spoken, silent clients delay nobody.
    let _silent = connections(&node.host, NATIVE, 200);
    for (version, is_spoken) in [("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
        let (code, said) = try_run(&node, &["openssl", "s_client", "-connect", NATIVE, "-CAfile", CA, version]);
        assert_eq!(code == 0 && said.contains("Verify return code: 0"), is_spoken, "{version}: {said}");
    }
    assert_eq!(as_client(&node, "viewer", &["vm", "list"]).0, 0);
}

async fn open(node: &Node) -> TlsStream<TcpStream> {
    let authority = node.host.run(&["cat", CA]);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()));
    let stream = connections(&node.host, NATIVE, 1).pop().unwrap();
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
}

async fn certificate(node: &Node) -> Vec<u8> {
    open(node).await.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// Waits until new connections are shown another certificate than this.
async fn wait_for_another(node: &Node, old: &[u8]) -> Vec<u8> {
    let ask = || async { Some(certificate(node).await).filter(|shown| shown != old) };
    wait_for("another certificate", PATIENCE, ask).await.0
}

async fn log_in(node: &Node) -> String {
    let password = node.host.run(&["cat", "/var/lib/hvnode/initial-password"]).trim().to_owned();
    let body = serde_json::json!({"user_name": "admin", "password": password}).to_string();
    let mut stream = open(node).await;
    let head = "POST /v1/user/login HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Type: application/json";
    stream.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let answer: Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    answer["data"]["token"].as_str().unwrap().to_owned()
}

/// Reads the stream until the next sign of life.
async fn sign_of_life(stream: &mut BufReader<TlsStream<TcpStream>>) {
    let mut line = String::new();
    while line.trim() != ":" {
        line.clear();
        let read = tokio::time::timeout(PATIENCE, stream.read_line(&mut line)).await.expect("a sign of life in time").unwrap();
        assert!(read > 0, "the stream ended");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_certificates_are_taken_up_while_streams_stay_open_and_broken_ones_are_not() {
    let node = node_with_tls(ALL_NAMES).await;
    let token = log_in(&node).await;
    let mut stream = BufReader::new(open(&node).await);
    let request = format!("GET /v1/event/stream HTTP/1.1\r\nHost: node\r\nAuthorization: {token}\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).await.unwrap();
    sign_of_life(&mut stream).await;
    let ready = || curl(&node, &format!("{NATIVE_URL}/readyz"));
    let metrics = || curl(&node, &format!("{METRICS_URL}/metrics"));
    assert!(ready().contains("\"warnings\":[]") && ready().contains("\"tls\":{"), "{}", ready());

    // By itself.
    let first = certificate(&node).await;
    node.host.run(&[HVCTL, "tls", "renew", "--days", "5"]);
    let second = wait_for_another(&node, &first).await;
    let text = ready();
    assert!(text.contains("\"ready\":true") && text.contains("tls: the certificate expires in 4 days"), "{text}");

    // What cannot be used.
    node.host.run(&["sh", "-c", "cp -a /etc/hvnode/tls /etc/hvnode/good && echo broken > /etc/hvnode/tls/server.key"]);
    let failed = || async { metrics().contains("\nhvnode_tls_reload_failed 1\n").then_some(()) };
    wait_for("the broken key to be noticed", PATIENCE, failed).await;
    assert!(ready().contains("tls: the key on disk cannot be used"), "{}", ready());
    node.signal_daemon("HUP");
    let told = || async { node.log().contains("the configuration is wrong, the old one stays").then_some(()) };
    wait_for("the reload to be refused", PATIENCE, told).await;
    assert_eq!(certificate(&node).await, second);
    node.host.run(&["sh", "-c", "cp -a /etc/hvnode/good/server.key /etc/hvnode/tls/server.key"]);
    let mended = || async { metrics().contains("\nhvnode_tls_reload_failed 0\n").then_some(()) };
    wait_for("the key to be taken up", PATIENCE, mended).await;

    // With a signal, and other rules.
    assert_eq!(as_client(&node, "viewer", &["vm", "list"]).0, 0);
    configure(&node, "boss = \"admin\"");
    node.signal_daemon("HUP");
    let refused = || async { (as_client(&node, "viewer", &["vm", "list"]).0 == 4).then_some(()) };
    wait_for("the viewer to be refused", PATIENCE, refused).await;
    assert_eq!(as_client(&node, "boss", &["vm", "list"]).0, 0);
    sign_of_life(&mut stream).await;
}
