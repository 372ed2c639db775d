//! Sending a file: over a connection of its own, piece by piece, with what is sent shown as it goes.

use super::envelope::{Answer, Envelope};
use super::{Client, with_query};
use crate::error::{CliError, Kind, Result};
use crate::text;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::Request;
use hyper::body::{Body, Frame, SizeHint};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes read from the file at a time.
const PIECE_BYTES: usize = 256 << 10;
/// Longest answer read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How long the way to the node may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Told how many bytes are on their way.
pub(crate) type Sent = Box<dyn FnMut(u64) + Send>;

/// A file as the body of a request.
struct FileBody {
    file: File,
    left: u64,
    done: u64,
    sent: Sent,
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = vec![0; usize::try_from(this.left).unwrap_or(usize::MAX).min(PIECE_BYTES)];
        let mut buffer = ReadBuf::new(&mut piece);
        match Pin::new(&mut this.file).poll_read(cx, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Ready(Ok(())) => {
                let count = buffer.filled().len();
                if count == 0 {
                    return Poll::Ready(Some(Err(io::Error::other("the file became shorter while it was sent"))));
                }
                piece.truncate(count);
                this.left -= count as u64;
                this.done += count as u64;
                (this.sent)(this.done);
                Poll::Ready(Some(Ok(Frame::data(Bytes::from(piece)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl Client {
    /// Posts a file. Never sent again by itself: where the connection breaks, nothing of it is kept by the node.
    ///
    /// # Errors
    /// A file that cannot be read, the node's refusal, a broken connection, the end of `--timeout`.
    pub(crate) async fn upload(&mut self, path: &str, query: &[(&str, String)], file: &Path, sent: Sent) -> Result<Answer> {
        let shown = file.display().to_string();
        let unreadable = |error: io::Error| CliError::usage(text!("{shown} cannot be read: {error}"; "无法读取 {shown}: {error}"));
        let file = File::open(file).await.map_err(unreadable)?;
        let metadata = file.metadata().await.map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(CliError::usage(text!("{shown} is not a regular file"; "{shown} 不是普通文件")));
        }
        // Anything the upload would be refused for want of a log-in is refused here first, where one can be made.
        self.get("/v1/repository/list", &[]).await?;
        let body = FileBody { file, left: metadata.len(), done: 0, sent };
        let exchange = self.send_file(with_query(path, query), body);
        match self.deadline() {
            None => exchange.await,
            Some(deadline) => tokio::time::timeout_at(deadline, exchange)
                .await
                .unwrap_or_else(|_| Err(CliError::new(Kind::Timeout, text!("the time is over"; "时间已到")))),
        }
    }

    async fn send_file(&self, target: String, body: FileBody) -> Result<Answer> {
        let endpoint = self.wire.endpoint().clone();
        let broken = |reason: &dyn std::fmt::Display| {
            CliError::new(Kind::Unreachable, text!("the connection to {endpoint} broke: {reason}"; "与 {endpoint} 的连接中断: {reason}"))
        };
        let path = target.split('?').next().unwrap_or_default().to_owned();
        let mut request = Request::post(&target)
            .header(HOST, endpoint.host())
            .header(USER_AGENT, concat!("hvctl/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, body.left)
            .body(body)
            .map_err(|error| broken(&error))?;
        if let Some(token) = self.session.token() {
            let mut value = HeaderValue::from_str(token).map_err(|error| broken(&error))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let connecting = async {
            let stream = endpoint.connect().await.map_err(|error| endpoint.explain(&error))?;
            http1::handshake(stream).await.map_err(|error| broken(&error))
        };
        let (mut sender, driver) = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| broken(&"no answer in time"))??;
        // Its error, if any, reaches us through the request it breaks.
        tokio::spawn(async move { drop(driver.await) });
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| broken(&error))?;
        Envelope::read(status, &answer.to_bytes(), &path)?.into_answer()
    }
}
