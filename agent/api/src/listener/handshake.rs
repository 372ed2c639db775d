//! From an accepted TCP connection to a TLS one: with a deadline, in turns, and with an answer for who speaks plain HTTP by mistake.

use crate::context::{Peer, TrustedPeer};
use crate::frame::Frame;
use crate::tls::{Standing, Tls};
use rustls::{CertificateError, Error as TlsError};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// After a refusal: how long, and how many bytes, are read from the client so that it sees the refusal and not a reset.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: u64 = 64 << 10;

/// What a client gets that speaks plain HTTP here.
const SPEAKS_HTTPS: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 52\r\n\
    Connection: close\r\n\r\nthis port speaks https: use https:// in the address\n";

/// Why there is no TLS connection. The words are label values of a metric.
struct Failure {
    reason: &'static str,
    text: String,
}

impl Failure {
    fn new(reason: &'static str, text: &dyn std::fmt::Display) -> Self {
        Self { reason, text: text.to_string() }
    }
}

/// Shakes hands within `limit`, the client's first byte included. A failure is counted and logged here.
pub(super) async fn shake_hands(
    stream: TcpStream,
    tls: &Tls,
    frame: &Frame,
    client: &str,
    limit: Duration,
) -> Option<TlsStream<TcpStream>> {
    let late = || Err(Failure::new("timeout", &"no handshake in time"));
    let failure = match tokio::time::timeout(limit, handshake(stream, tls)).await.unwrap_or_else(|_| late()) {
        Ok(stream) => return Some(stream),
        Err(failure) => failure,
    };
    let Failure { reason, text } = failure;
    tls.metrics.handshake_failed(frame.name(), reason);
    // Anybody can make the others happen as often as he likes.
    if reason.starts_with("client_certificate") {
        tracing::info!(client, listener = frame.name(), reason, "TLS: no connection: {text}");
    } else {
        tracing::debug!(client, listener = frame.name(), reason, "TLS: no connection: {text}");
    }
    None
}

async fn handshake(mut stream: TcpStream, tls: &Tls) -> Result<TlsStream<TcpStream>, Failure> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(0) => return Err(Failure::new("closed", &"closed by the client before its first byte")),
        Ok(_) => {}
        Err(error) => return Err(Failure::new("closed", &error)),
    }
    // A TLS record begins with 22, a request with its method.
    if first[0].is_ascii_alphabetic() {
        let _gone_already = stream.write_all(SPEAKS_HTTPS.as_bytes()).await;
        linger(stream).await;
        return Err(Failure::new("plain_http", &"the client speaks plain HTTP"));
    }
    match in_turns(TlsAcceptor::from(tls.config()).accept(stream).into_fallible(), tls).await {
        Ok(stream) => Ok(stream),
        Err((error, stream)) => {
            let failure = Failure::new(reason(&error), &error);
            linger(stream).await;
            Err(failure)
        }
    }
}

/// Runs a handshake so that only some of all handshakes compute at the same time. Waiting for the client takes nobody's turn.
async fn in_turns<F: Future>(future: F, tls: &Tls) -> F::Output {
    let mut future = pin!(future);
    loop {
        let turn = tls.turns.acquire().await;
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        drop(turn);
        if let Poll::Ready(output) = polled {
            return output;
        }
        let mut is_woken = false;
        poll_fn(|_| if std::mem::replace(&mut is_woken, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

/// Closing with unread bytes resets the connection, and a reset can overtake the refusal.
async fn linger(mut stream: TcpStream) {
    let last = async {
        let _gone_already = stream.shutdown().await;
        let _ended = tokio::io::copy(&mut stream.take(LINGER_BYTES_MAX), &mut tokio::io::sink()).await;
    };
    let _enough = tokio::time::timeout(LINGER, last).await;
}

fn reason(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(TlsError::NoCertificatesPresented) => "client_certificate_missing",
        Some(TlsError::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            "client_certificate_expired"
        }
        Some(TlsError::InvalidCertificate(_)) => "client_certificate_refused",
        Some(TlsError::PeerIncompatible(_) | TlsError::NoApplicationProtocol) => "incompatible",
        Some(TlsError::AlertReceived(_)) => "client_refused",
        Some(_) => "not_tls",
        None => "closed",
    }
}

/// Who is at the other end, by the client's certificate. `None`: it is not to be answered at all.
pub(super) fn peer_of(standing: &Standing, address: String, frame: &Frame) -> Option<Peer> {
    let peer = Peer { is_encrypted: true, ..Peer::at(address) };
    match standing {
        Standing::Anonymous | Standing::LogIn => Some(peer),
        Standing::Trusted { name, role } => {
            Some(Peer { trusted: Some(TrustedPeer { user_name: format!("cert:{name}"), role: *role }), ..peer })
        }
        Standing::Unlisted(names) => {
            let (client, listener) = (&peer.address, frame.name());
            tracing::info!(client, listener, names, "TLS: a certificate of our authority that tls.client_names does not list is refused");
            Some(Peer { unlisted_certificate: Some(names.clone()), ..peer })
        }
        Standing::Refused(why) => {
            tracing::info!(client = peer.address, listener = frame.name(), why, "TLS: the client certificate is not accepted");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_plain_http_says_its_own_length() {
        let (head, body) = SPEAKS_HTTPS.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
