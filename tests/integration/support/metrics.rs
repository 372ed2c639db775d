//! A scraper of `GET /metrics`, and the page it reads.

use super::host::Host;
use super::{Node, PATIENCE};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Where the daemon listens for scrapes, unless told otherwise.
pub(crate) const METRICS: &str = "127.0.0.1:9177";

/// Connections to an address of the host that stand already.
pub(crate) fn connections(host: &Host, address: &str, count: usize) -> Vec<TcpStream> {
    let address: SocketAddr = address.parse().unwrap();
    let connect = move || (0..count).map(|_| std::net::TcpStream::connect_timeout(&address, PATIENCE).unwrap()).collect::<Vec<_>>();
    let streams = host.in_network(connect);
    let ready = |stream: std::net::TcpStream| {
        stream.set_nonblocking(true).unwrap();
        TcpStream::from_std(stream).unwrap()
    };
    streams.into_iter().map(ready).collect()
}

/// Scrapes over one connection, as Prometheus does.
#[derive(Debug)]
pub(crate) struct Scraper(SendRequest<Empty<Bytes>>);

impl Scraper {
    pub(crate) async fn connect(node: &Node) -> Self {
        Self::connect_to(node, METRICS).await
    }

    pub(crate) async fn connect_to(node: &Node, address: &str) -> Self {
        let stream = connections(&node.host, address, 1).pop().unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// One scrape, and how long it took.
    pub(crate) async fn scrape(&mut self) -> (Page, Duration) {
        let request = Request::get("/metrics").header("host", "node").body(Empty::new()).unwrap();
        let start = Instant::now();
        self.0.ready().await.unwrap();
        let (head, body) = self.0.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(head.status, StatusCode::OK);
        (Page(String::from_utf8(body.to_vec()).unwrap()), start.elapsed())
    }

    pub(crate) async fn page(&mut self) -> Page {
        self.scrape().await.0
    }
}

/// What a scrape gave, as text.
#[derive(Debug, Clone)]
pub(crate) struct Page(pub(crate) String);

impl Page {
    /// The series of a metric: labels as text, and the value.
    pub(crate) fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            (labels.is_empty() || labels.starts_with('{')).then(|| (labels, value.parse().unwrap()))
        })
    }

    /// The only series of a metric that has all these `label="value"`.
    #[track_caller]
    pub(crate) fn find(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let mut found = self.series(name).filter(|(text, _)| labels.iter().all(|label| text.contains(label))).map(|(_, value)| value);
        let first = found.next();
        assert!(found.next().is_none(), "more than one {name} with {labels:?}");
        first
    }

    /// As [`Page::find`]; it must be there.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &[&str]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("no {name} with {labels:?} in\n{}", self.0))
    }

    /// A metric of a VM.
    #[track_caller]
    pub(crate) fn of_vm(&self, name: &str, vm_name: &str) -> f64 {
        self.value(name, &[&format!("domain=\"{vm_name}\"")])
    }
}
