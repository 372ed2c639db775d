//! The daemon's own metrics: Prometheus text on a listener of its own, answered from memory.
//!
//! Names follow Prometheus' conventions (base units, `_total` on counters); label values come from closed sets, so that no client can
//! make series.

mod process;

use crate::health::SnapshotSource;
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use hvnode_core::model::{ConnectionState, Snapshot, VmStatus};
use hvnode_core::{AgentError, Result, fail};
use process::ProcessCollector;
use prometheus::{
    Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Label values of a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestLabels<'a> {
    /// Dialect or listener.
    pub dialect: &'a str,
    /// Template of the route, never the path itself.
    pub route: &'a str,
    /// Method.
    pub method: &'a Method,
    /// The dialect's result number, or the HTTP status.
    pub code: u32,
}

/// All metrics of the daemon.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    start: Instant,
    uptime: Gauge,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    requests_in_flight: IntGaugeVec,
    panics: IntCounterVec,
    connections: IntGaugeVec,
    connections_refused: IntCounterVec,
    store_commits: IntCounterVec,
    store_commit_duration: HistogramVec,
    jobs_open: IntGauge,
    vms: IntGaugeVec,
    hypervisor_up: IntGauge,
    build_info: GaugeVec,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// `Internal` where a name is used twice.
    pub fn new(version: &str) -> Result<Arc<Self>> {
        Self::build(version).map(Arc::new).map_err(|error| fail!(Internal, "the metrics cannot be registered").caused_by(error))
    }

    fn build(version: &str) -> prometheus::Result<Self> {
        let quick = vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
        let counter = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let gauges = |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let histogram =
            |name: &str, help: &str, labels: &[&str]| HistogramVec::new(HistogramOpts::new(name, help).buckets(quick.clone()), labels);
        let metrics = Self {
            registry: Registry::new(),
            start: Instant::now(),
            uptime: Gauge::new("hvnode_uptime_seconds", "Time since the daemon started.")?,
            requests: counter(
                "hvnode_api_requests_total",
                "Requests answered, by route template and result code.",
                &["dialect", "route", "method", "code"],
            )?,
            request_duration: histogram("hvnode_api_request_duration_seconds", "Time to answer a request.", &["dialect", "route"])?,
            requests_in_flight: gauges("hvnode_api_requests_in_flight", "Requests being answered.", &["dialect"])?,
            panics: counter("hvnode_api_panics_total", "Requests that ended in a panic of their handler.", &["dialect"])?,
            connections: gauges("hvnode_api_connections", "Open connections.", &["dialect"])?,
            connections_refused: counter("hvnode_api_connections_refused_total", "Connections refused for their number.", &["dialect"])?,
            store_commits: counter("hvnode_store_commits_total", "Commits asked of the store.", &["durability", "outcome"])?,
            store_commit_duration: histogram("hvnode_store_commit_duration_seconds", "Time of a commit.", &["durability"])?,
            jobs_open: IntGauge::new("hvnode_jobs_open", "Jobs that have not ended.")?,
            vms: gauges("hvnode_vms", "Virtual machines, unmanaged ones included.", &["status"])?,
            hypervisor_up: IntGauge::new("hvnode_hypervisor_up", "1 while libvirt answers.")?,
            build_info: GaugeVec::new(Opts::new("hvnode_build_info", "Always 1; the version is in the label."), &["version"])?,
        };
        metrics.build_info.with_label_values(&[version]).set(1.0);
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> prometheus::Result<()> {
        let all: [Box<dyn prometheus::core::Collector>; 14] = [
            Box::new(self.uptime.clone()),
            Box::new(self.requests.clone()),
            Box::new(self.request_duration.clone()),
            Box::new(self.requests_in_flight.clone()),
            Box::new(self.panics.clone()),
            Box::new(self.connections.clone()),
            Box::new(self.connections_refused.clone()),
            Box::new(self.store_commits.clone()),
            Box::new(self.store_commit_duration.clone()),
            Box::new(self.jobs_open.clone()),
            Box::new(self.vms.clone()),
            Box::new(self.hypervisor_up.clone()),
            Box::new(self.build_info.clone()),
            Box::new(ProcessCollector::new()?),
        ];
        all.into_iter().try_for_each(|collector| self.registry.register(collector))
    }

    /// Counts an answered request.
    pub fn observe_request(&self, labels: RequestLabels<'_>, duration: Duration) {
        let mut digits = [0_u8; 10];
        let code = decimal(labels.code, &mut digits);
        self.requests.with_label_values(&[labels.dialect, labels.route, method_word(labels.method), code]).inc();
        self.request_duration.with_label_values(&[labels.dialect, labels.route]).observe(duration.as_secs_f64());
    }

    /// Counts a commit.
    pub fn observe_commit(&self, durability: &str, is_success: bool, duration: Duration) {
        self.store_commits.with_label_values(&[durability, if is_success { "success" } else { "failure" }]).inc();
        self.store_commit_duration.with_label_values(&[durability]).observe(duration.as_secs_f64());
    }

    pub(crate) fn panicked(&self, dialect: &str) {
        self.panics.with_label_values(&[dialect]).inc();
    }

    pub(crate) fn in_flight(&self, dialect: &str) -> IntGauge {
        self.requests_in_flight.with_label_values(&[dialect])
    }

    pub(crate) fn connections(&self, dialect: &str) -> IntGauge {
        self.connections.with_label_values(&[dialect])
    }

    pub(crate) fn connection_refused(&self, dialect: &str) {
        self.connections_refused.with_label_values(&[dialect]).inc();
    }

    /// Everything in Prometheus' text format.
    ///
    /// # Errors
    /// `Internal` where a metric cannot be written as text.
    pub fn render(&self, snapshot: &Snapshot) -> Result<Vec<u8>> {
        self.uptime.set(self.start.elapsed().as_secs_f64());
        self.jobs_open.set(count(snapshot.open_jobs.len()));
        self.hypervisor_up.set(i64::from(snapshot.connection == ConnectionState::Up));
        let mut by_status = [0_usize; VmStatus::ALL.len()];
        for vm in snapshot.vms.values() {
            if let Some(index) = VmStatus::ALL.iter().position(|status| *status == vm.status) {
                by_status[index] += 1;
            }
        }
        for (status, number) in VmStatus::ALL.iter().zip(by_status) {
            self.vms.with_label_values(&[status.word()]).set(count(number));
        }
        let mut text = Vec::with_capacity(16 << 10);
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .map_err(|error| fail!(Internal, "the metrics cannot be written").caused_by(error))?;
        Ok(text)
    }
}

/// `GET /metrics`.
pub fn router(metrics: Arc<Metrics>, snapshot: SnapshotSource) -> Router {
    let scrape = move || {
        let outcome = metrics.render(&snapshot());
        async move {
            match outcome {
                Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
                Err(error) => plain(&error),
            }
        }
    };
    Router::new().route("/metrics", get(scrape))
}

/// Answers of the metrics listener to what goes wrong: HTTP status and a line of text.
#[derive(Debug, Clone, Copy)]
pub struct PlainErrors;

impl crate::context::FrameErrors for PlainErrors {
    fn respond(&self, error: &AgentError, _request_id: &str) -> Response {
        plain(error)
    }
}

fn plain(error: &AgentError) -> Response {
    let status = StatusCode::from_u16(error.code().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, format!("{}\n", error.message())).into_response()
}

fn method_word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Decimal digits without an allocation: this runs for every request.
fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &str {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            return std::str::from_utf8(&digits[start..]).unwrap_or("0");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 7, 10, 200, 13010, u32::MAX] {
            assert_eq!(decimal(number, &mut [0; 10]), number.to_string());
        }
    }

    #[test]
    fn methods_nobody_knows_share_one_label() {
        assert_eq!(method_word(&Method::from_bytes(b"BREW").unwrap()), "other");
    }
}
