//! A connection's bytes, and when the first of a request came in.

use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

/// A TCP, TLS or unix connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// What a connection is doing, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Between requests.
    Idle(Instant),
    /// The head of a request has begun to arrive.
    Head(Instant),
    /// A request is being answered; it has its own deadline.
    Busy,
    /// An answer without an end is on its way; when the client last took some of it.
    Streaming(Instant),
}

/// Shared by the bytes, the service and the watchdog of one connection; never contended: all run in one task.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<Phase>>);

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Phase::Idle(Instant::now()))))
    }

    pub(super) fn phase(&self) -> Phase {
        *self.0.lock()
    }

    pub(super) fn set_busy(&self) {
        *self.0.lock() = Phase::Busy;
    }

    pub(super) fn set_idle(&self) {
        *self.0.lock() = Phase::Idle(Instant::now());
    }

    pub(super) fn set_streaming(&self) {
        *self.0.lock() = Phase::Streaming(Instant::now());
    }

    fn bytes_went(&self) {
        let mut phase = self.0.lock();
        if matches!(*phase, Phase::Streaming(_)) {
            *phase = Phase::Streaming(Instant::now());
        }
    }

    /// Notes what a write has come to.
    fn written(&self, outcome: Poll<std::io::Result<usize>>) -> Poll<std::io::Result<usize>> {
        if matches!(outcome, Poll::Ready(Ok(count)) if count > 0) {
            self.bytes_went();
        }
        outcome
    }

    fn bytes_came(&self) {
        let mut phase = self.0.lock();
        if matches!(*phase, Phase::Idle(_)) {
            *phase = Phase::Head(Instant::now());
        }
    }
}

/// A stream that tells the [`Activity`] when bytes come in or go out.
#[derive(Debug)]
pub(super) struct WatchedStream {
    pub(super) stream: Stream,
    pub(super) activity: Activity,
}

macro_rules! each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($inner) => $call,
            Stream::Tls($inner) => $call,
            Stream::Unix($inner) => $call,
        }
    };
}

impl AsyncRead for WatchedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = each!(&mut self.stream, inner => Pin::new(inner).poll_read(cx, buffer));
        if buffer.filled().len() > before {
            self.activity.bytes_came();
        }
        outcome
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let outcome = each!(&mut self.stream, inner => Pin::new(inner).poll_write(cx, bytes));
        self.activity.written(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        each!(&mut self.stream, inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        each!(&mut self.stream, inner => Pin::new(inner).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let outcome = each!(&mut self.stream, inner => Pin::new(inner).poll_write_vectored(cx, slices));
        self.activity.written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        each!(&self.stream, inner => inner.is_write_vectored())
    }
}
