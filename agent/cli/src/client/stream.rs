//! The node's event stream (server-sent events): read line by line, opened again with the last event's id when it breaks.

use super::Client;
use super::envelope::Envelope;
use crate::error::{CliError, Kind, Result};
use crate::text;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Response};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Route of the stream.
const PATH: &str = "/v1/event/stream";
/// A stream that is silent for so long is dead: the node shows a sign of life every 15 seconds.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How long the node may take to open a stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the node may be away, and the pauses between two tries.
const ABSENCE_MAX: Duration = Duration::from_secs(120);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Longest line taken; the node's are below 2 KiB.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Longest refusal read.
const REFUSAL_BYTES_MAX: usize = 1 << 20;

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StreamEvent {
    /// `gap`, or the kind of the event.
    pub(crate) kind: String,
    /// JSON text.
    pub(crate) data: String,
}

impl Client {
    /// Tells `seen` every event after `cursor`, or from now on, until the user's patience ends or `seen` fails.
    ///
    /// # Errors
    /// Those of `seen`; a node that stays away; a refusal; the end of `--timeout`.
    pub(crate) async fn follow_events(&mut self, cursor: Option<u64>, seen: &mut dyn FnMut(&StreamEvent) -> Result<()>) -> Result<()> {
        let deadline = self.deadline();
        let endless = self.follow_through_breaks(cursor, seen);
        match deadline {
            None => endless.await,
            Some(deadline) => tokio::time::timeout_at(deadline, endless)
                .await
                .unwrap_or_else(|_| Err(CliError::new(Kind::Timeout, text!("the time is over"; "时间已到")))),
        }
    }

    async fn follow_through_breaks(&mut self, cursor: Option<u64>, seen: &mut dyn FnMut(&StreamEvent) -> Result<()>) -> Result<()> {
        let mut parser = Parser { last_id: cursor.map(|cursor| cursor.to_string()), ..Parser::default() };
        let (mut last_contact, mut pause, mut has_been_open) = (Instant::now(), PAUSE_MIN, false);
        loop {
            match self.open_stream(parser.last_id.as_deref()).await {
                Ok(response) => {
                    (pause, has_been_open) = (PAUSE_MIN, true);
                    read(response, &mut parser, seen).await?;
                    last_contact = Instant::now();
                }
                Err(error) => {
                    let may_come_back = matches!(error.kind(), Kind::Unreachable | Kind::Timeout) && has_been_open;
                    if !may_come_back || last_contact.elapsed() > ABSENCE_MAX {
                        return Err(error);
                    }
                }
            }
            parser.forget_the_unfinished();
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn open_stream(&mut self, last_id: Option<&str>) -> Result<Response<Incoming>> {
        // Anything the stream would refuse for want of a log-in is refused here first, where one can be made.
        self.get("/v1/event/list", &[("limit", "1".to_owned())]).await?;
        let endpoint = self.wire.endpoint().clone();
        let broken = |reason: &dyn std::fmt::Display| {
            CliError::new(Kind::Unreachable, text!("the connection to {endpoint} broke: {reason}"; "与 {endpoint} 的连接中断: {reason}"))
        };
        let mut request = Request::get(PATH)
            .header(HOST, endpoint.host())
            .header(USER_AGENT, concat!("hvctl/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "text/event-stream");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let mut request = request.body(Empty::<Bytes>::new()).map_err(|error| broken(&error))?;
        if let Some(token) = self.session.token() {
            let mut value = HeaderValue::from_str(token).map_err(|error| broken(&error))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let opening = async {
            let stream = endpoint.connect().await.map_err(|error| endpoint.explain(&error))?;
            let (mut sender, driver) = http1::handshake(stream).await.map_err(|error| broken(&error))?;
            tokio::spawn(async move { drop(driver.await) });
            sender.send_request(request).await.map_err(|error| broken(&error))
        };
        let response = timeout(OPEN_TIMEOUT, opening).await.map_err(|_| broken(&"no answer in time"))??;
        let is_stream = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if is_stream {
            return Ok(response);
        }
        let status = response.status();
        let body = Limited::new(response.into_body(), REFUSAL_BYTES_MAX).collect().await.map_err(|error| broken(&error))?;
        Envelope::read(status, &body.to_bytes(), PATH)?.into_answer()?;
        Err(broken(&"the answer is no stream"))
    }
}

/// Reads one stream until it ends or is silent for too long.
async fn read(response: Response<Incoming>, parser: &mut Parser, seen: &mut dyn FnMut(&StreamEvent) -> Result<()>) -> Result<()> {
    let mut body = response.into_body();
    while let Ok(Some(Ok(frame))) = timeout(SILENCE_MAX, body.frame()).await {
        let Ok(data) = frame.into_data() else { continue };
        for event in parser.take(&data) {
            seen(&event)?;
        }
    }
    Ok(())
}

/// Puts events together from pieces of any size.
#[derive(Debug, Default)]
struct Parser {
    /// What to come back with.
    last_id: Option<String>,
    line: Vec<u8>,
    id: Option<String>,
    event: StreamEvent,
}

impl Parser {
    fn take(&mut self, bytes: &[u8]) -> Vec<StreamEvent> {
        let mut events = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.line(String::from_utf8_lossy(&line).trim_end_matches('\r')));
                }
                byte if self.line.len() < LINE_BYTES_MAX => self.line.push(*byte),
                _ => {}
            }
        }
        events
    }

    /// An event ends with an empty line. Its id counts from then on, also where there is no data.
    fn line(&mut self, line: &str) -> Option<StreamEvent> {
        if line.is_empty() {
            self.last_id = self.id.take().or(self.last_id.take());
            let event = std::mem::take(&mut self.event);
            return (!event.data.is_empty()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "id" => self.id = Some(value),
            "event" => self.event.kind = value,
            "data" => self.event.data = value,
            _ => {}
        }
        None
    }

    fn forget_the_unfinished(&mut self) {
        *self = Self { last_id: self.last_id.take(), ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "retry: 1000\nid: 4\n\nid: 5\nevent: vm_status\ndata: {\"a\":1}\n\n:\n\nid: 6\nevent: gap\ndata: {}\n\nid: 7\nevent: lost";

    #[test]
    fn events_are_put_together_from_pieces_of_any_size() {
        for size in [1, 2, 7, TEXT.len()] {
            let mut parser = Parser::default();
            let events: Vec<_> = TEXT.as_bytes().chunks(size).flat_map(|piece| parser.take(piece)).collect();
            let pairs: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.data.as_str())).collect();
            assert_eq!(pairs, [("vm_status", "{\"a\":1}"), ("gap", "{}")]);
            assert_eq!(parser.last_id.as_deref(), Some("6"), "what came only in part was not seen");
            parser.forget_the_unfinished();
            assert_eq!((parser.last_id.as_deref(), parser.line.len()), (Some("6"), 0));
        }
    }

    #[test]
    fn the_first_id_counts_before_any_event() {
        let mut parser = Parser::default();
        assert!(parser.take(b"retry: 1000\nid: 4\n\n").is_empty());
        assert_eq!(parser.last_id.as_deref(), Some("4"));
    }
}
