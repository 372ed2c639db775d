//! A client of the native API over the unix socket. It checks what holds for every answer: HTTP 200, the whole envelope, both languages.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// An answer's envelope.
#[derive(Debug, Clone)]
pub(crate) struct Answer(pub(crate) Value, HeaderMap);

impl Answer {
    pub(crate) fn code(&self) -> i64 {
        self.0["status_code"].as_i64().unwrap()
    }

    pub(crate) fn data(&self) -> &Value {
        &self.0["data"]
    }

    pub(crate) fn message(&self) -> &str {
        self.0["message"].as_str().unwrap()
    }

    /// The job of a change that was accepted, however it ended.
    pub(crate) fn job_uuid(&self) -> Option<&str> {
        self.data()["job_uuid"].as_str().or_else(|| self.1.get("x-job-uuid")?.to_str().ok())
    }

    /// The data of an answer that must be a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.code(), 0, "{:#}", self.0);
        self.0["data"].clone()
    }

    /// Checks that it is this refusal.
    #[track_caller]
    pub(crate) fn refused(self, code: i64) -> Self {
        assert_eq!(self.code(), code, "{:#}", self.0);
        self
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Client {
    socket: PathBuf,
    /// Sent where set; without it the peer's credentials count.
    pub(crate) token: Option<String>,
}

impl Client {
    pub(crate) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_path_buf(), token: None }
    }

    /// One request as it is; `None` if nobody answers at the socket.
    pub(crate) async fn raw(&self, method: Method, path: &str, content_type: Option<&str>, body: Vec<u8>) -> Option<(StatusCode, Bytes)> {
        let (head, body) = self.send(method, path, content_type, body).await?.into_parts();
        Some((head.status, body))
    }

    async fn send(&self, method: Method, path: &str, content_type: Option<&str>, body: Vec<u8>) -> Option<Response<Bytes>> {
        let stream = UnixStream::connect(&self.socket).await.ok()?;
        self.send_over(stream, method, path, content_type, body).await
    }

    async fn send_over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Vec<u8>,
    ) -> Option<Response<Bytes>> {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "node");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", token);
        }
        let response = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.ok()?;
        let (head, body) = response.into_parts();
        Some(Response::from_parts(head, body.collect().await.ok()?.to_bytes()))
    }

    async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> Option<Answer> {
        let response = self.send(method, path, Some("application/json"), body).await?;
        Some(Self::checked(path, response))
    }

    /// One request over a connection that stands already; `None` if it ends without an answer. Without a body it is a GET.
    pub(crate) async fn call_over(&self, stream: TcpStream, path: &str, body: Option<&Value>) -> Option<Answer> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let body = body.map(Value::to_string).unwrap_or_default().into_bytes();
        let response = self.send_over(stream, method, path, Some("application/json"), body).await?;
        Some(Self::checked(path, response))
    }

    /// One GET over a connection that stands already, as it is.
    pub(crate) async fn raw_over(&self, stream: TcpStream, path: &str) -> Option<(StatusCode, Bytes)> {
        let (head, body) = self.send_over(stream, Method::GET, path, None, Vec::new()).await?.into_parts();
        Some((head.status, body))
    }

    fn checked(path: &str, response: Response<Bytes>) -> Answer {
        let (head, bytes) = response.into_parts();
        let envelope: Value = serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{path}: {e}: {}", String::from_utf8_lossy(&bytes)));
        assert_eq!(head.status, StatusCode::OK, "{path}: {envelope:#}");
        for key in ["status_code", "message", "message_en", "message_cn", "stack", "data"] {
            assert!(envelope.get(key).is_some(), "{path}: no {key} in {envelope:#}");
        }
        assert_eq!(envelope["stack"].is_null(), envelope["status_code"] == 0, "{envelope:#}");
        Answer(envelope, head.headers)
    }

    pub(crate) async fn try_get(&self, path: &str) -> Option<Answer> {
        self.call(Method::GET, path, Vec::new()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_get(path).await.unwrap_or_else(|| panic!("GET {path}: no answer"))
    }

    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        self.call(Method::POST, path, body.to_string().into_bytes()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.try_post(path, &body).await.unwrap_or_else(|| panic!("POST {path}: no answer"))
    }
}
