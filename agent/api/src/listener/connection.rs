//! One connection from its first byte to its last: HTTP/1.1, with a watchdog for clients that are slow or idle.

use super::stopping;
use super::stream::{Activity, Phase, Stream, WatchedStream};
use crate::context::{LongAnswer, Peer};
use crate::frame::{Frame, FrameLimits};
use crate::tls::{Standing, Tls};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use prometheus::IntGauge;
use rustls::pki_types::CertificateDer;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Most bytes of a request's head, and of what is buffered between us and the socket.
const BUFFER_BYTES_MAX: usize = 64 << 10;
/// After a connection was asked to end, how long its last answer may take to reach the client.
const CLOSE_TIME: Duration = Duration::from_secs(10);
/// How long a client may take nothing of an answer without an end; such answers speak up more often than that.
const STREAM_SILENCE_MAX: Duration = Duration::from_secs(60);
/// When the daemon stops, how old a connection must be to be closed without a request: the client of a new one has sent its request or is
/// about to, and cannot know that it was not read. One that uses an old connection again must expect that.
const FIRST_REQUEST_TIME: Duration = Duration::from_millis(500);

/// Serves one connection until either side ends it.
pub(super) async fn run_connection(stream: Stream, guest: Guest, frame: Arc<Frame>, is_surplus: bool, stop: watch::Receiver<bool>) {
    let Guest { peer, rules } = guest;
    let limits = frame.limits();
    let activity = Activity::new();
    let (peer, on_request) = (Arc::new(peer), activity.clone());
    let service = service_fn(|request| {
        on_request.set_busy();
        let (frame, peer, activity) = (frame.clone(), peer.clone(), on_request.clone());
        async move {
            let response = frame.handle(&peer, request, is_surplus).await;
            if response.extensions().get::<LongAnswer>().is_some() {
                activity.set_streaming();
            } else {
                activity.set_idle();
            }
            Ok::<_, Infallible>(response)
        }
    });
    let io = TokioIo::new(WatchedStream { stream, activity: activity.clone() });
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_buf_size(BUFFER_BYTES_MAX).keep_alive(!is_surplus);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut stopped = pin!(time_to_close(stop));
    let mut expelled = pin!(expelled(rules));
    let mut watchdog = Watchdog::new(limits, activity);
    let mut timer = pin!(sleep_until(watchdog.deadline()));
    let mut is_closing = false;
    let outcome = std::future::poll_fn(|cx| {
        if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
            return Poll::Ready(outcome.map_err(|error| error.to_string()));
        }
        if !is_closing && stopped.as_mut().poll(cx).is_ready() {
            is_closing = true;
            watchdog.is_closing = true;
            connection.as_mut().graceful_shutdown();
            cx.waker().wake_by_ref();
        }
        if expelled.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err("the client certificate no longer counts as it did".to_owned()));
        }
        // Set for a later moment only once it has run out: most requests come and go without touching it.
        if timer.is_elapsed() || watchdog.is_due_before(timer.deadline()) {
            timer.as_mut().reset(watchdog.deadline());
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        if watchdog.deadline() > Instant::now() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match watchdog.bite() {
            Bite::Wait => {}
            Bite::AskToEnd => connection.as_mut().graceful_shutdown(),
            Bite::CutOff(reason) => return Poll::Ready(Err(reason.to_owned())),
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    if let Err(reason) = outcome {
        tracing::debug!(client = peer.address, listener = frame.name(), reason, "connection cut off");
    }
}

/// Who is at the other end, and by which rules.
pub(super) struct Guest {
    pub(super) peer: Peer,
    pub(super) rules: Option<Rules>,
}

/// Why a client on a TLS connection may do what it may.
pub(super) struct Rules {
    pub(super) tls: Arc<Tls>,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) standing: Standing,
    pub(super) changes: watch::Receiver<()>,
}

/// Ends when the rules have changed so that the client's certificate counts otherwise than when it came: it may come again.
async fn expelled(rules: Option<Rules>) {
    let Some(Rules { tls, chain, standing, mut changes }) = rules else { return std::future::pending().await };
    while changes.changed().await.is_ok() {
        if tls.standing(&chain) != standing {
            return;
        }
    }
    std::future::pending().await
}

pub(super) async fn time_to_close(stop: watch::Receiver<bool>) {
    let accepted = Instant::now();
    stopping(stop).await;
    sleep_until(accepted + FIRST_REQUEST_TIME).await;
}

enum Bite {
    Wait,
    AskToEnd,
    CutOff(&'static str),
}

/// Decides from what a connection does how long it may go on doing it.
struct Watchdog {
    limits: Arc<FrameLimits>,
    activity: Activity,
    is_closing: bool,
}

impl Watchdog {
    fn new(limits: Arc<FrameLimits>, activity: Activity) -> Self {
        Self { limits, activity, is_closing: false }
    }

    fn deadline(&self) -> Instant {
        match self.activity.phase() {
            Phase::Head(since) => since + self.limits.header_timeout,
            Phase::Idle(since) if self.is_closing => since + self.limits.idle_timeout + CLOSE_TIME,
            Phase::Idle(since) => since + self.limits.idle_timeout,
            Phase::Streaming(since) => since + STREAM_SILENCE_MAX,
            // The request itself is stopped by the frame; this is for what the frame does not see.
            Phase::Busy => Instant::now() + self.limits.request_timeout + CLOSE_TIME,
        }
    }

    /// Must it look before this moment? While a request is answered it need not look at all.
    fn is_due_before(&self, moment: Instant) -> bool {
        self.activity.phase() != Phase::Busy && self.deadline() < moment
    }

    fn bite(&mut self) -> Bite {
        match self.activity.phase() {
            Phase::Head(_) => Bite::CutOff("the head of the request did not arrive in time"),
            Phase::Streaming(_) => Bite::CutOff("the client takes nothing of the stream"),
            Phase::Idle(_) if self.is_closing => Bite::CutOff("the client did not take the answer in time"),
            Phase::Idle(_) => {
                self.is_closing = true;
                Bite::AskToEnd
            }
            Phase::Busy => Bite::Wait,
        }
    }
}

/// Counts an open connection, also when its task is dropped.
pub(super) struct Counted<'a>(&'a IntGauge);

impl<'a> Counted<'a> {
    pub(super) fn new(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
