//! `GET /metrics`: the daemon itself, the host and its VMs, answered from memory on a listener of its own. A scrape asks nobody.
//!
//! Names follow Prometheus' conventions (base units, `_total` on counters); label values come from closed sets or from things that exist
//! on the node, so that no client can make series.

mod exposition;
mod host;
mod process;
mod vm;

use crate::health::SnapshotSource;
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use exposition::{Exposition, Format};
use http::header::{CONTENT_TYPE, VARY};
use http::{HeaderValue, Method, StatusCode};
use hvnode_core::model::{ConnectionState, Job, JobStatus, Readings, SampleTime, Snapshot, Timestamp, VmStatus};
use hvnode_core::{AgentError, Result, fail};
use process::ProcessCollector;
use prometheus::{Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower_http::compression::CompressionLayer;

/// Gives the latest samples; never blocks.
pub type ReadingsSource = Arc<dyn Fn() -> Arc<Readings> + Send + Sync>;

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
    refusals: IntCounterVec,
    connections: IntGaugeVec,
    connections_refused: IntCounterVec,
    store_commits: IntCounterVec,
    store_commit_duration: HistogramVec,
    hypervisor_calls: IntCounterVec,
    hypervisor_call_duration: HistogramVec,
    jobs_open: IntGaugeVec,
    jobs_ended: IntCounterVec,
    job_duration: HistogramVec,
    certificate_expiry: GaugeVec,
    handshake_failures: IntCounterVec,
    tls_reloads: IntCounterVec,
    tls_reload_failed: IntGauge,
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
            refusals: counter(
                "hvnode_api_refusals_total",
                "Requests refused for who asked: no or a wrong token, too little a role, a wrong log-in; by reason.",
                &["dialect", "reason"],
            )?,
            connections: gauges("hvnode_api_connections", "Open connections.", &["dialect"])?,
            connections_refused: counter("hvnode_api_connections_refused_total", "Connections refused for their number.", &["dialect"])?,
            store_commits: counter("hvnode_store_commits_total", "Commits asked of the store.", &["durability", "outcome"])?,
            store_commit_duration: histogram("hvnode_store_commit_duration_seconds", "Time of a commit.", &["durability"])?,
            hypervisor_calls: counter("hvnode_hypervisor_calls_total", "Calls to libvirt.", &["call", "outcome"])?,
            hypervisor_call_duration: histogram(
                "hvnode_hypervisor_call_duration_seconds",
                "Time of a call to libvirt, waiting for a thread included.",
                &["call"],
            )?,
            jobs_open: gauges("hvnode_jobs_open", "Jobs that have not ended.", &["status"])?,
            jobs_ended: counter("hvnode_jobs_total", "Jobs that have ended.", &["verb", "status"])?,
            job_duration: histogram("hvnode_job_duration_seconds", "Time from a job's acceptance to its end.", &["verb"])?,
            certificate_expiry: GaugeVec::new(
                Opts::new("hvnode_tls_certificate_expiry_timestamp_seconds", "When a listener's certificate expires, since the epoch."),
                &["listener"],
            )?,
            handshake_failures: counter(
                "hvnode_tls_handshake_failures_total",
                "Connections to a TLS listener that never got as far as a request, by reason.",
                &["listener", "reason"],
            )?,
            tls_reloads: counter("hvnode_tls_reloads_total", "Times that certificate and key were read again.", &["outcome"])?,
            tls_reload_failed: IntGauge::new(
                "hvnode_tls_reload_failed",
                "1 while the certificate, key or client authority on disk cannot be used and the old ones stay in force.",
            )?,
            vms: gauges("hvnode_vms", "Virtual machines, unmanaged ones included.", &["status"])?,
            hypervisor_up: IntGauge::new("hvnode_hypervisor_up", "1 while libvirt answers.")?,
            build_info: GaugeVec::new(Opts::new("hvnode_build_info", "Always 1; the version is in the label."), &["version"])?,
        };
        metrics.build_info.with_label_values(&[version]).set(1.0);
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> prometheus::Result<()> {
        let all: [Box<dyn prometheus::core::Collector>; 23] = [
            Box::new(self.uptime.clone()),
            Box::new(self.requests.clone()),
            Box::new(self.request_duration.clone()),
            Box::new(self.requests_in_flight.clone()),
            Box::new(self.panics.clone()),
            Box::new(self.refusals.clone()),
            Box::new(self.connections.clone()),
            Box::new(self.connections_refused.clone()),
            Box::new(self.store_commits.clone()),
            Box::new(self.store_commit_duration.clone()),
            Box::new(self.hypervisor_calls.clone()),
            Box::new(self.hypervisor_call_duration.clone()),
            Box::new(self.jobs_open.clone()),
            Box::new(self.jobs_ended.clone()),
            Box::new(self.job_duration.clone()),
            Box::new(self.certificate_expiry.clone()),
            Box::new(self.handshake_failures.clone()),
            Box::new(self.tls_reloads.clone()),
            Box::new(self.tls_reload_failed.clone()),
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

    /// Counts a call to libvirt. `call` and `outcome` are words of the program, never values.
    pub fn observe_hypervisor_call(&self, call: &str, outcome: &str, duration: Duration) {
        self.hypervisor_calls.with_label_values(&[call, outcome]).inc();
        self.hypervisor_call_duration.with_label_values(&[call]).observe(duration.as_secs_f64());
    }

    /// Counts a job that has ended.
    pub fn observe_job(&self, job: &Job) {
        self.jobs_ended.with_label_values(&[job.verb.word(), job.status.word()]).inc();
        if let Some(finish_time) = job.finish_time {
            self.job_duration.with_label_values(&[job.verb.word()]).observe(finish_time.since(job.create_time).as_secs_f64());
        }
    }

    /// Tells when the certificate of a listener expires.
    pub fn set_certificate_expiry(&self, listener: &str, expiry: Timestamp) {
        self.certificate_expiry.with_label_values(&[listener]).set(expiry.0 as f64 / 1e9);
    }

    /// Counts a handshake that failed. `reason` is a word of the program.
    pub(crate) fn handshake_failed(&self, listener: &str, reason: &str) {
        self.handshake_failures.with_label_values(&[listener, reason]).inc();
    }

    /// Counts a reading of the TLS files while running.
    pub(crate) fn tls_reloaded(&self, is_success: bool) {
        self.tls_reloads.with_label_values(&[if is_success { "success" } else { "failure" }]).inc();
        self.tls_reload_failed.set(i64::from(!is_success));
    }

    /// Where refusals are counted, by dialect and reason.
    pub fn refusals(&self) -> IntCounterVec {
        self.refusals.clone()
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

    /// Everything as text.
    fn render(&self, format: Format, snapshot: &Snapshot, readings: &Readings, now: SampleTime) -> String {
        self.refresh(snapshot);
        let mut out = Exposition::new(format, (32 << 10) + snapshot.vms.len() * (8 << 10));
        self.registry.gather().iter().for_each(|family| out.registered(family));
        host::write(&mut out, snapshot, readings, now);
        vm::write(&mut out, snapshot, readings, now);
        out.finish()
    }

    /// The page as text, for tests.
    #[cfg(test)]
    pub(crate) fn page(&self, snapshot: &Snapshot, readings: &Readings) -> String {
        self.render(Format::Text, snapshot, readings, SampleTime::default())
    }

    /// What is counted only when asked.
    fn refresh(&self, snapshot: &Snapshot) {
        self.uptime.set(self.start.elapsed().as_secs_f64());
        self.hypervisor_up.set(i64::from(snapshot.connection == ConnectionState::Up));
        for status in [JobStatus::Queued, JobStatus::Running] {
            let number = snapshot.open_jobs.values().filter(|job| job.status == status).count();
            self.jobs_open.with_label_values(&[status.word()]).set(count(number));
        }
        for status in VmStatus::ALL {
            let number = snapshot.vms.values().filter(|vm| vm.status == status).count();
            self.vms.with_label_values(&[status.word()]).set(count(number));
        }
    }
}

/// `GET /metrics`, as text or OpenMetrics, compressed for those who take it.
pub fn router(metrics: Arc<Metrics>, snapshot: SnapshotSource, readings: ReadingsSource) -> Router {
    let scrape = move |request: Request| {
        let format = Format::of(request.headers());
        let (metrics, snapshot, readings) = (metrics.clone(), snapshot(), readings());
        async move {
            // Some milliseconds of work on a node with thousands of VMs: not on the threads that serve everybody.
            let work = move || metrics.render(format, &snapshot, &readings, SampleTime::now());
            match tokio::task::spawn_blocking(work).await {
                Ok(text) => {
                    let headers = [(CONTENT_TYPE, format.content_type()), (VARY, HeaderValue::from_static("accept"))];
                    (headers, text).into_response()
                }
                Err(error) => plain(&fail!(Internal, "the metrics cannot be written").caused_by(error)),
            }
        }
    };
    Router::new().route("/metrics", get(scrape)).layer(CompressionLayer::new())
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
mod tests;
