//! The least an HTTP server of this make can do: bare hyper, as many threads as hvnoded has, the same bytes for every request.
//!
//! `floor-http THREADS FILE ADDRESS...`: answers with the file's bytes on each address, `ip:port` or the path of a unix socket.
#![allow(clippy::disallowed_methods, reason = "a tool for developers")]

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::error::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: floor-http THREADS FILE ADDRESS...";
    let threads = arguments.next().and_then(|text| text.parse().ok()).ok_or(usage)?;
    let body = Bytes::from(std::fs::read(arguments.next().ok_or(usage)?)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(async {
        for address in arguments {
            if address.starts_with('/') {
                let listener = UnixListener::bind(&address)?;
                let body = body.clone();
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        serve(stream, body.clone());
                    }
                });
            } else {
                let listener = TcpListener::bind(&address).await?;
                let body = body.clone();
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        let _without = stream.set_nodelay(true);
                        serve(stream, body.clone());
                    }
                });
            }
        }
        std::future::pending::<()>().await;
        Ok(())
    })
}

fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, body: Bytes) {
    let answer = service_fn(move |_: Request<hyper::body::Incoming>| {
        let mut response = Response::new(Full::new(body.clone()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        async { Ok::<_, Infallible>(response) }
    });
    tokio::spawn(async move {
        // A client that goes away is no error here.
        let _gone = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
    });
}
