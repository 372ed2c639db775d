//! Downloading over HTTP(S): resumes where the server allows it, tries again while tries bring bytes.

use crate::address::{Guard, Refused, redirects};
use crate::config::ImageConfig;
use crate::part::{Part, report, writer};
use crate::watch::{Stop, Watch, on_thread};
use hvnode_core::{AgentError, Result, fail};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Client, Response, StatusCode, Url};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A client for one transfer: transfers are rare, and its certificates would stay in memory.
pub(crate) async fn client(config: &Arc<ImageConfig>) -> Result<Client> {
    let config = Arc::clone(config);
    // On a thread: it reads the system's certificates.
    on_thread("image-client", move || {
        // An error says that one was installed before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            Client::builder()
                .user_agent(concat!("hvnoded/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(config.connect_timeout)
                .redirect(redirects(&config))
                .referer(false)
                // A proxy would resolve names for us, past the guard.
                .no_proxy()
                .dns_resolver(Arc::new(Guard { allow_private_addresses: config.allow_private_addresses }))
        };
        builder().build().or_else(|error| {
            tracing::warn!(%error, "No certificates of this system can be used, https: images will be refused");
            builder()
                .tls_certs_only([])
                .build()
                .map_err(|error| fail!(ImageDownloadFailed, "no HTTP client"; "无法创建HTTP客户端").caused_by(error))
        })
    })
    .await
}

/// One transfer.
pub(crate) struct Download<'a> {
    pub(crate) config: &'a Arc<ImageConfig>,
    pub(crate) client: &'a Client,
    pub(crate) url: &'a Url,
    pub(crate) watch: Watch<'a>,
}

impl Download<'_> {
    /// Brings `part` to its end.
    pub(crate) async fn run(&self, mut part: Part) -> Result<Part> {
        let mut tries = 1;
        let mut pause = self.config.retry_delay;
        loop {
            let before = part.bytes();
            let error = match self.attempt(part).await {
                (part, Ok(())) => return part,
                (_, Err(Stop::Final(error))) => return Err(error),
                (kept, Err(Stop::Retry(error))) => {
                    part = kept.map_err(|_| error.clone())?;
                    error
                }
            };
            if part.bytes() > before {
                (tries, pause) = (1, self.config.retry_delay);
            } else if tries >= self.config.tries_max {
                return Err(error);
            } else {
                tries += 1;
                pause *= 2;
            }
            tracing::info!(error = %error.chain(), bytes = part.bytes(), tries, "Image transfer broke off and is tried again");
            self.rest(pause).await?;
        }
    }

    /// A pause that cancel and deadline end.
    async fn rest(&self, pause: Duration) -> Result<()> {
        let watch = Watch { idle_timeout: Duration::MAX / 4, ..self.watch };
        watch.on(tokio::time::sleep(pause)).await.map_err(|stop| match stop {
            Stop::Retry(error) | Stop::Final(error) => error,
        })
    }

    /// One request. The part comes back unless its thread was lost.
    async fn attempt(&self, part: Part) -> (Result<Part>, Result<(), Stop>) {
        let response = match self.ask(&part).await {
            Ok(response) => response,
            Err(stop) => return (Ok(part), Err(stop)),
        };
        let (part, plan) = match on_thread("image-prepare", {
            let (config, head) = (Arc::clone(self.config), Head::of(&response));
            move || {
                let mut part = part;
                let plan = prepare(&config, &mut part, &head);
                Ok((part, plan))
            }
        })
        .await
        {
            Ok(prepared) => prepared,
            Err(error) => return (Err(error.clone()), Err(error.into())),
        };
        match plan {
            Err(stop) => (Ok(part), Err(stop)),
            Ok(Plan::IsWhole) => (Ok(part), Ok(())),
            Ok(Plan::Read { total_bytes }) => {
                self.watch.control.total_bytes.store(total_bytes.unwrap_or(0), Ordering::Relaxed);
                let (part, outcome) = self.pump(response, part).await;
                let outcome = outcome.and_then(|()| match (&part, total_bytes) {
                    (Ok(part), Some(total)) if part.bytes() != total => {
                        Err(Stop::Retry(fail!(ImageDownloadFailed, "the server ended the answer early"; "服务器提前结束了响应")))
                    }
                    _ => Ok(()),
                });
                (part, outcome)
            }
        }
    }

    async fn ask(&self, part: &Part) -> Result<Response, Stop> {
        // Compressed bytes would have another length and another checksum.
        let mut request = self.client.get(self.url.clone()).header(ACCEPT_ENCODING, "identity");
        if part.bytes() > 0
            && let Some(validator) = part.note.validator()
        {
            request = request.header(RANGE, format!("bytes={}-", part.bytes())).header(IF_RANGE, validator);
        }
        self.watch.on(request.send()).await?.map_err(network)
    }

    /// Moves the body into the file: received here, written and hashed on a thread.
    async fn pump(&self, mut response: Response, part: Part) -> (Result<Part>, Result<(), Stop>) {
        let mut done_bytes = part.bytes();
        let (chunks, writing) = writer(self.config, part);
        let received = loop {
            report(self.watch.control, done_bytes);
            let chunk = match self.watch.on(response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break Ok(()),
                Ok(Err(error)) => break Err(network(error)),
                Err(stop) => break Err(stop),
            };
            done_bytes += chunk.len() as u64;
            if done_bytes > self.config.size_max_bytes {
                break Err(too_large(done_bytes, self.config.size_max_bytes).into());
            }
            match self.watch.on(chunks.send(chunk)).await {
                Ok(Ok(())) => {}
                // The thread has ended: its own error comes out below.
                Ok(Err(_)) => break Ok(()),
                Err(stop) => break Err(stop),
            }
        };
        drop(chunks);
        match writing.await {
            Ok((part, written)) => (Ok(part), received.and(written.map_err(Stop::Final))),
            Err(error) => (Err(error.clone()), Err(error.into())),
        }
    }
}

/// What of an answer decides how it is read.
#[derive(Debug, Clone)]
struct Head {
    status: StatusCode,
    content_length: Option<u64>,
    /// First byte and, where known, bytes in all.
    content_range: Option<(u64, Option<u64>)>,
    /// Bytes in all as an answer "416" tells them.
    whole_bytes: Option<u64>,
    etag: Option<String>,
    last_modified: Option<String>,
}

impl Head {
    fn of(response: &Response) -> Self {
        let headers = response.headers();
        let range = text(headers, &CONTENT_RANGE).and_then(|text| text.trim().strip_prefix("bytes ").map(str::to_owned));
        Self {
            status: response.status(),
            content_length: response.content_length(),
            content_range: range.as_deref().and_then(parse_range),
            whole_bytes: range.as_deref().and_then(|range| range.strip_prefix("*/")).and_then(|total| total.parse().ok()),
            // A weak tag does not promise the same bytes.
            etag: text(headers, &ETAG).filter(|tag| tag.starts_with('"')),
            last_modified: text(headers, &LAST_MODIFIED),
        }
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// `5-9/10` or `5-9/*`.
fn parse_range(range: &str) -> Option<(u64, Option<u64>)> {
    let (first_last, total) = range.split_once('/')?;
    let (first, last) = first_last.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse::<u64>().ok()?);
    let total = total.parse::<u64>().ok();
    (first <= last && total.is_none_or(|total| last < total)).then_some((first, total))
}

/// How to go on with an answer.
enum Plan {
    /// Everything was there already.
    IsWhole,
    /// The body goes to the end of the part.
    Read { total_bytes: Option<u64> },
}

/// Brings the part to where the answer begins. Blocks.
fn prepare(config: &ImageConfig, part: &mut Part, head: &Head) -> Result<Plan, Stop> {
    let total_bytes = match (head.status, head.content_range) {
        (StatusCode::PARTIAL_CONTENT, Some((first, total))) if first == part.bytes() => {
            total.or_else(|| head.content_length.map(|more| part.bytes() + more))
        }
        (StatusCode::OK, _) => {
            // All of it: the first try, or the server ignores ranges, or the content is another one by now.
            part.restart()?;
            part.note.etag.clone_from(&head.etag);
            part.note.last_modified.clone_from(&head.last_modified);
            part.write_note()?;
            head.content_length
        }
        (StatusCode::RANGE_NOT_SATISFIABLE, _) if part.bytes() > 0 && head.whole_bytes == Some(part.bytes()) => return Ok(Plan::IsWhole),
        (StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT, _) => {
            part.restart()?;
            return Err(Stop::Retry(fail!(ImageDownloadFailed, "the server sent another range than asked for"; "服务器返回了错误的范围")));
        }
        (status, _) => return Err(unexpected(status)),
    };
    if let Some(total) = total_bytes {
        if total > config.size_max_bytes {
            return Err(too_large(total, config.size_max_bytes).into());
        }
        part.check_space(config, total.saturating_sub(part.bytes()))?;
    }
    Ok(Plan::Read { total_bytes })
}

fn unexpected(status: StatusCode) -> Stop {
    if status.is_redirection() {
        // One that was not followed: without a place, or to something that is no server.
        return Stop::Final(
            fail!(ImageDownloadFailed, "the server redirects to where nothing is fetched from"; "服务器重定向到不支持的地址"),
        );
    }
    let error = fail!(ImageDownloadFailed, "the server answers {status}"; "服务器返回 {status}");
    if status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) {
        Stop::Retry(error)
    } else {
        Stop::Final(error)
    }
}

fn too_large(bytes: u64, limit: u64) -> AgentError {
    fail!(RequestTooLarge, "the image has at least {bytes} bytes, the limit is {limit}"; "镜像至少有 {bytes} 字节, 上限为 {limit}")
}

/// Our own refusals and bad certificates are final; anything else of the network may pass.
fn network(error: reqwest::Error) -> Stop {
    // The URL may hold secrets.
    let error = error.without_url();
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(current) = cause {
        if let Some(refused) = current.downcast_ref::<Refused>() {
            return Stop::Final(fail!(ImageDownloadFailed, refused.detail("url")));
        }
        if current.is::<rustls::Error>() {
            return Stop::Final(
                fail!(ImageDownloadFailed, "no trusted TLS connection to the server"; "无法与服务器建立可信的TLS连接").caused_by(error),
            );
        }
        // An io::Error gives its inner error only this way.
        let inner = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref).map(|inner| inner as &(dyn Error + 'static));
        cause = inner.or_else(|| current.source());
    }
    let is_connect = error.is_connect();
    let error = if is_connect {
        fail!(ImageDownloadFailed, "the server cannot be reached"; "无法连接服务器").caused_by(error)
    } else {
        fail!(ImageDownloadFailed, "the connection broke"; "连接中断").caused_by(error)
    };
    Stop::Retry(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_strictly() {
        assert_eq!(parse_range("5-9/10"), Some((5, Some(10))));
        assert_eq!(parse_range("5-9/*"), Some((5, None)));
        for wrong in ["", "5-", "9-5/10", "5-10/10", "x-9/10", "*/10", "5-9"] {
            assert_eq!(parse_range(wrong), None, "{wrong}");
        }
    }
}
