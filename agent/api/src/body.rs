//! The one reader of request bodies: bounded in bytes and in time, with precise errors.
//!
//! The listener wraps every request body in a [`GuardedBody`]; handlers read it with [`read_body`].

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hvnode_core::{AgentError, Result, fail};
use hyper::body::{Body, Frame, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes of an unwanted body that are read and thrown away, so that a client that is still sending sees the answer.
const DRAIN_BYTES_MAX: usize = 64 << 20;
/// Longest time spent on that.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Why a guarded body ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFault {
    /// It did not arrive within its time.
    TooSlow {
        /// Seconds it had.
        seconds: u64,
    },
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSlow { seconds } => write!(f, "the body did not arrive within {seconds} seconds"),
        }
    }
}

impl std::error::Error for BodyFault {}

/// A request body that must have arrived within its time; after that, reading it fails with [`BodyFault::TooSlow`]. One that is paced may
/// take longer, as long as none of its pieces does.
pub struct GuardedBody<B> {
    inner: B,
    time_limit: Duration,
    is_paced: bool,
    deadline: Pin<Box<Sleep>>,
}

impl<B> fmt::Debug for GuardedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedBody").field("time_limit", &self.time_limit).finish_non_exhaustive()
    }
}

impl<B> GuardedBody<B> {
    /// The time starts now.
    pub fn new(inner: B, time_limit: Duration) -> Self {
        Self { inner, time_limit, is_paced: false, deadline: Box::pin(sleep_until(Instant::now() + time_limit)) }
    }

    /// The time starts now, and anew with every piece that comes.
    pub fn paced(inner: B, time_limit: Duration) -> Self {
        Self { is_paced: true, ..Self::new(inner, time_limit) }
    }
}

impl<B> Body for GuardedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<std::result::Result<Frame<Bytes>, axum::BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            if this.is_paced {
                this.deadline.as_mut().reset(Instant::now() + this.time_limit);
            }
            return Poll::Ready(frame.map(|result| result.map_err(Into::into)));
        }
        if this.deadline.poll_unpin(cx).is_ready() {
            return Poll::Ready(Some(Err(BodyFault::TooSlow { seconds: this.time_limit.as_secs() }.into())));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Reads a whole request body of at most `bytes_max` bytes. A longer one is read on and thrown away for a while, so that the client
/// is there to see the answer.
///
/// # Errors
/// `RequestTooLarge`; `Timeout` where it did not arrive in time; `ParseParameter` where the connection broke or the framing is wrong.
pub async fn read_body(mut body: axum::body::Body, bytes_max: usize) -> Result<Bytes> {
    let announced = Body::size_hint(&body).lower();
    if announced > bytes_max as u64 {
        drain(&mut body).await;
        return Err(too_large(bytes_max));
    }
    let mut collected = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| read_fault(&error))?.into_data() else { continue };
        if collected.len() + data.len() > bytes_max {
            drain(&mut body).await;
            return Err(too_large(bytes_max));
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

/// The error of a body of more than `bytes_max` bytes.
pub fn too_large(bytes_max: usize) -> AgentError {
    fail!(RequestTooLarge, "the body may have at most {bytes_max} bytes"; "请求体最多 {bytes_max} 字节")
}

pub(crate) fn read_fault(error: &axum::Error) -> AgentError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(BodyFault::TooSlow { seconds }) = current.downcast_ref() {
            return fail!(Timeout, "the body did not arrive within {seconds} seconds"; "请求体未在 {seconds} 秒内到达");
        }
        cause = current.source();
    }
    fail!(ParseParameter, "the body could not be read to its end"; "无法完整读取请求体")
}

/// Reads on and throws away, within bounds. A client that closes, or is too slow, ends it.
pub(crate) async fn drain(body: &mut axum::body::Body) {
    let discard = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > DRAIN_BYTES_MAX {
                break;
            }
        }
    };
    let _ended_or_given_up = tokio::time::timeout(DRAIN_TIME, discard).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use hvnode_core::ErrorCode;

    #[tokio::test]
    async fn a_body_up_to_the_limit_is_read_whole() {
        let body = axum::body::Body::from(vec![7_u8; 10]);
        assert_eq!(read_body(body, 10).await.unwrap().len(), 10);
    }

    #[tokio::test]
    async fn a_longer_body_is_refused_whether_announced_or_not() {
        let announced = axum::body::Body::from(vec![7_u8; 11]);
        assert_eq!(read_body(announced, 10).await.unwrap_err().code(), ErrorCode::RequestTooLarge);
        let chunks = futures_util::stream::iter((0..3).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"12345"))));
        let unannounced = axum::body::Body::from_stream(chunks);
        assert_eq!(read_body(unannounced, 10).await.unwrap_err().code(), ErrorCode::RequestTooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_comes_is_a_timeout() {
        let silent = axum::body::Body::from_stream(futures_util::stream::pending::<std::io::Result<Bytes>>());
        let guarded = axum::body::Body::new(GuardedBody::new(silent, Duration::from_secs(30)));
        assert_eq!(read_body(guarded, 10).await.unwrap_err().code(), ErrorCode::Timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn a_paced_body_has_its_time_for_every_piece() {
        let slow = |pause: u64| {
            let pieces = futures_util::stream::unfold(0, move |count| async move {
                tokio::time::sleep(Duration::from_secs(pause)).await;
                (count < 10).then(|| (Ok::<_, std::io::Error>(Bytes::from_static(b"x")), count + 1))
            });
            Body::from_stream(Box::pin(pieces))
        };
        let patient = Body::new(GuardedBody::paced(slow(20), Duration::from_secs(30)));
        assert_eq!(read_body(patient, 10).await.unwrap().len(), 10);
        let too_slow = Body::new(GuardedBody::paced(slow(40), Duration::from_secs(30)));
        assert_eq!(read_body(too_slow, 10).await.unwrap_err().code(), ErrorCode::Timeout);
    }

    #[tokio::test]
    async fn a_broken_body_is_a_parse_error() {
        let broken = axum::body::Body::from_stream(futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("reset"))]));
        assert_eq!(read_body(broken, 10).await.unwrap_err().code(), ErrorCode::ParseParameter);
    }
}
