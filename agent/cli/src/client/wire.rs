//! One HTTP connection to the node: kept open between requests, opened anew when lost, with a deadline on everything.

use super::endpoint::Endpoint;
use super::secure;
use crate::error::{CliError, Kind, Result};
use crate::text;
use crate::text::Text;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Longest answer read: far above a list of ten thousand VMs.
const BODY_BYTES_MAX: usize = 256 << 20;
/// How long one request may take. Changes are submitted without waiting, so none is slow on a healthy node.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to go on trying to get a lost connection back: time enough for the node to restart.
const RECONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// A request that can be sent more than once.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// GET or POST.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    /// JSON, empty for GET.
    pub(crate) body: Bytes,
    /// True where sending it twice does the same as sending it once.
    pub(crate) is_repeatable: bool,
}

/// How one attempt failed.
enum Fault {
    /// No connection; nothing was sent.
    Connect(io::Error),
    /// The connection broke; whether the node acted on the request is not known. Why, and what may help.
    Lost(String, Option<Text>),
    /// No answer in time; whether the node acted on the request is not known.
    Slow,
}

fn lost(error: &(dyn std::error::Error + 'static)) -> Fault {
    Fault::Lost(secure::chain(error), secure::advice(error))
}

/// One connection and what is needed to open it again.
pub(crate) struct Wire {
    endpoint: Endpoint,
    connection: Option<SendRequest<Full<Bytes>>>,
    deadline: Option<Instant>,
}

impl Wire {
    /// Connects when first used.
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, connection: None, deadline: None }
    }

    /// After `deadline` every call fails.
    pub(crate) fn limit(&mut self, deadline: Instant) {
        self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
    }

    /// Where it leads.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// When the user's patience ends.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Sends and gives status and body. A repeatable call whose connection breaks is sent once more.
    pub(crate) async fn exchange(&mut self, call: &Call, token: Option<&str>) -> Result<(StatusCode, Bytes)> {
        let fault = match self.attempt(call, token).await {
            Ok(done) => return Ok(done),
            Err(Fault::Lost(..)) if call.is_repeatable => {
                self.reconnect().await?;
                match self.attempt(call, token).await {
                    Ok(done) => return Ok(done),
                    Err(fault) => fault,
                }
            }
            Err(fault) => fault,
        };
        Err(self.explain(&fault, call))
    }

    async fn attempt(&mut self, call: &Call, token: Option<&str>) -> std::result::Result<(StatusCode, Bytes), Fault> {
        let limit = self.remaining().min(REQUEST_TIMEOUT);
        let outcome = timeout(limit, async {
            self.ensure_connection().await?;
            self.send(call, token).await
        })
        .await
        .unwrap_or(Err(Fault::Slow));
        if outcome.is_err() {
            self.connection = None;
        }
        outcome
    }

    async fn ensure_connection(&mut self) -> std::result::Result<(), Fault> {
        if self.connection.as_ref().is_some_and(|connection| !connection.is_closed()) {
            return Ok(());
        }
        let stream = self.endpoint.connect().await.map_err(Fault::Connect)?;
        let (sender, driver) = http1::handshake(stream).await.map_err(|error| lost(&error))?;
        // its error, if any, reaches us through the request it breaks
        tokio::spawn(async move { drop(driver.await) });
        self.connection = Some(sender);
        Ok(())
    }

    async fn send(&mut self, call: &Call, token: Option<&str>) -> std::result::Result<(StatusCode, Bytes), Fault> {
        let connection = self.connection.as_mut().ok_or_else(|| Fault::Lost("closed".into(), None))?;
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(&call.target)
            .header(HOST, self.endpoint.host())
            .header(USER_AGENT, concat!("hvctl/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(call.body.clone()))
            .map_err(|error| lost(&error))?;
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token).map_err(|error| lost(&error))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        connection.ready().await.map_err(|error| lost(&error))?;
        let response = connection.send_request(request).await.map_err(|error| lost(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await.map_err(|error| lost(error.as_ref()))?;
        Ok((status, body.to_bytes()))
    }

    /// Opens a connection after one was lost, giving the node time to come back.
    async fn reconnect(&mut self) -> Result<()> {
        let give_up = Instant::now() + RECONNECT_PATIENCE.min(self.remaining());
        let mut pause = Duration::from_millis(50);
        loop {
            match timeout(REQUEST_TIMEOUT.min(self.remaining()), self.ensure_connection()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Fault::Connect(error))) if secure::is_final(&error) || Instant::now() + pause >= give_up => {
                    return Err(self.endpoint.explain(&error));
                }
                _ if Instant::now() + pause >= give_up => return Err(self.too_slow()),
                _ => sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    fn remaining(&self) -> Duration {
        self.deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn too_slow(&self) -> CliError {
        let endpoint = &self.endpoint;
        CliError::new(Kind::Timeout, text!("no answer from {endpoint} in time"; "{endpoint} 未在规定时间内应答"))
    }

    fn explain(&self, fault: &Fault, call: &Call) -> CliError {
        let endpoint = &self.endpoint;
        let failure = match fault {
            Fault::Connect(error) => return endpoint.explain(error),
            Fault::Slow => self.too_slow(),
            Fault::Lost(reason, advice) => {
                let text = text!("the connection to {endpoint} broke: {reason}"; "与 {endpoint} 的连接中断: {reason}");
                let failure = CliError::new(Kind::Unreachable, text);
                match advice {
                    // It concerns the handshake, so nothing was done.
                    Some(advice) => return failure.hint(advice.clone()),
                    None => failure,
                }
            }
        };
        let is_change = call.method == Method::POST && !call.target.starts_with("/v1/user/");
        if is_change {
            failure.hint(text!("it is not known whether the node acted on it: see hvctl job list"; "不确定节点是否已执行该操作, 请查看: hvctl job list"))
        } else {
            failure
        }
    }
}
