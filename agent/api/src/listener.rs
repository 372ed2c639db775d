//! Sockets and connections: binding or taking over a socket, accepting, cutting off slow clients, draining.

mod connection;
mod handshake;
mod peer;
mod stream;

use crate::context::{Peer, TrustedPeer};
use crate::frame::Frame;
use crate::tls::Tls;
use connection::{Counted, Guest, run_connection, time_to_close};
use handshake::{peer_of, shake_hands};
use hvnode_core::model::Role;
use hvnode_core::{Result, fail};
use nix::sys::socket::Backlog;
pub use peer::PeerTrust;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use stream::Stream;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Access mode of a unix socket that we make.
const UNIX_SOCKET_MODE: u32 = 0o660;
/// Pause after an accept that failed for want of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that the kernel keeps until they are accepted. The standard library asks for 128; beyond that clients lose a second or more
/// to repeated tries. The kernel takes no more than `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Connections above the limit that are told so; more are closed without a word.
const SURPLUS_CONNECTIONS_MAX: usize = 32;

/// A listening socket, bound here or handed over by the service manager.
#[derive(Debug)]
pub enum BoundSocket {
    /// TCP.
    Tcp(StdTcpListener),
    /// Unix.
    Unix {
        /// The socket.
        listener: StdUnixListener,
        /// Path of the socket file if it is ours to remove.
        owned_path: Option<PathBuf>,
    },
}

impl BoundSocket {
    /// Binds a TCP address.
    ///
    /// # Errors
    /// `Internal` with the system's reason.
    pub fn bind_tcp(address: SocketAddr) -> Result<Self> {
        let bound = StdTcpListener::bind(address).and_then(|listener| {
            // Again, with room for more.
            nix::sys::socket::listen(&listener, Backlog::new(BACKLOG)?)?;
            Ok(listener)
        });
        let listener = bound.map_err(|error| fail!(Internal, "cannot listen on {address}"; "无法监听 {address}").caused_by(error))?;
        Ok(Self::Tcp(listener))
    }

    /// Binds a unix socket with mode 0660 and, where that is allowed, the given group. A socket file that nobody listens on is
    /// replaced.
    ///
    /// # Errors
    /// `AlreadyExist` where somebody listens there or the path is no socket; `Internal` with the system's reason.
    pub fn bind_unix(path: &Path, group: Option<nix::unistd::Gid>) -> Result<Self> {
        let shown = path.display();
        remove_stale(path)?;
        let system = |error: std::io::Error| fail!(Internal, "cannot listen on {shown}"; "无法监听 {shown}").caused_by(error);
        let listener = StdUnixListener::bind(path).map_err(system)?;
        if let Some(group) = group
            && let Err(error) = std::os::unix::fs::chown(path, None, Some(group.as_raw()))
        {
            tracing::warn!(path = %shown, group = group.as_raw(), %error, "the unix socket keeps the daemon's own group");
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(UNIX_SOCKET_MODE)).map_err(system)?;
        Ok(Self::Unix { listener, owned_path: Some(path.to_owned()) })
    }

    /// Can other machines connect to it?
    pub fn is_reachable_from_outside(&self) -> bool {
        match self {
            Self::Tcp(listener) => listener.local_addr().is_ok_and(|address| !address.ip().is_loopback()),
            Self::Unix { .. } => false,
        }
    }

    /// Where it listens, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(|_| "tcp".to_owned(), |address| address.to_string()),
            Self::Unix { listener, .. } => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(std::os::unix::net::SocketAddr::as_pathname);
                path.map_or_else(|| "unix".to_owned(), |path| path.display().to_string())
            }
        }
    }
}

fn remove_stale(path: &Path) -> Result<()> {
    let shown = path.display();
    let kind = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail!(Internal, "cannot look at {shown}"; "无法访问 {shown}").caused_by(error)),
    };
    if !kind.is_socket() {
        return Err(fail!(AlreadyExist, "{shown} is not a socket; move it away"; "{shown} 不是套接字, 请移走"));
    }
    if StdUnixStream::connect(path).is_ok() {
        return Err(fail!(AlreadyExist, "another process listens on {shown}"; "另一个进程正在监听 {shown}"));
    }
    std::fs::remove_file(path).map_err(|error| fail!(Internal, "cannot replace {shown}"; "无法替换 {shown}").caused_by(error))
}

enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, owned_path: Option<PathBuf> },
}

impl Listener {
    fn new(socket: BoundSocket) -> std::io::Result<Self> {
        match socket {
            BoundSocket::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Ok(Self::Tcp(TcpListener::from_std(listener)?))
            }
            BoundSocket::Unix { listener, owned_path } => {
                listener.set_nonblocking(true)?;
                Ok(Self::Unix { listener: UnixListener::from_std(listener)?, owned_path })
            }
        }
    }

    async fn accept(&self) -> std::io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Self::Unix { listener, .. } => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix { owned_path: Some(path), .. } = self {
            let _gone_already = std::fs::remove_file(path);
        }
    }
}

/// Who is let in, and how.
#[derive(Debug, Clone)]
pub struct Admission {
    /// Peers of the unix socket that need no token.
    pub trust: Arc<PeerTrust>,
    /// TCP connections speak TLS by these rules; none: plain HTTP.
    pub tls: Option<Arc<Tls>>,
}

impl Admission {
    /// Without TLS.
    pub fn plain(trust: PeerTrust) -> Self {
        Self { trust: Arc::new(trust), tls: None }
    }
}

/// Accepts on `socket` and answers through `frame` until `stop` turns true; then lets running requests end and returns. Dropping the
/// future closes every connection at once.
///
/// # Errors
/// `Internal` where the socket cannot be used.
pub async fn serve(socket: BoundSocket, frame: Arc<Frame>, admission: Admission, stop: watch::Receiver<bool>) -> Result<()> {
    let shown = socket.describe();
    let listener =
        Listener::new(socket).map_err(|error| fail!(Internal, "cannot listen on {shown}"; "无法监听 {shown}").caused_by(error))?;
    let mut connections = JoinSet::new();
    let mut stopped = pin!(stopping(stop.clone()));
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(stream) => admit(stream, &frame, &admission, &stop, &mut connections),
                Err(error) if is_client_fault(&error) => {}
                Err(error) => {
                    tracing::warn!(listener = %shown, %error, "cannot accept connections, trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = &mut stopped => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Ends when `stop` turns true, or its sender is gone.
async fn stopping(mut stop: watch::Receiver<bool>) {
    let _sender_gone = stop.wait_for(|is_stopping| *is_stopping).await.is_err();
}

fn admit(stream: Stream, frame: &Arc<Frame>, admission: &Admission, stop: &watch::Receiver<bool>, connections: &mut JoinSet<()>) {
    let limit = frame.limits().connections_max;
    let open = connections.len();
    let is_surplus = open >= limit;
    if is_surplus {
        frame.connection_refused();
        if open >= limit + SURPLUS_CONNECTIONS_MAX {
            return;
        }
    }
    let (frame, admission, stop) = (frame.clone(), admission.clone(), stop.clone());
    connections.spawn(async move {
        let _counted = Counted::new(&frame.connections);
        let met = tokio::select! {
            met = meet(stream, &frame, &admission) => met,
            () = time_to_close(stop.clone()) => None,
        };
        if let Some((stream, guest)) = met {
            run_connection(stream, guest, frame.clone(), is_surplus, stop).await;
        }
    });
}

/// Finds out who is there; over TLS by shaking hands. `None`: somebody who is not to be answered.
async fn meet(stream: Stream, frame: &Frame, admission: &Admission) -> Option<(Stream, Guest)> {
    let peer = identify(&stream, &admission.trust).await;
    match (stream, &admission.tls) {
        (Stream::Tcp(stream), Some(tls)) => {
            let changes = tls.changes();
            let stream = shake_hands(stream, tls, frame, &peer.address, frame.limits().handshake_timeout).await?;
            let chain = stream.get_ref().1.peer_certificates().map(<[_]>::to_vec).unwrap_or_default();
            let standing = tls.standing(&chain);
            let peer = peer_of(&standing, peer.address, frame)?;
            let guest = Guest { peer, rules: Some(connection::Rules { tls: tls.clone(), chain, standing, changes }) };
            Some((Stream::Tls(Box::new(stream)), guest))
        }
        (stream, _) => Some((stream, Guest { peer, rules: None })),
    }
}

async fn identify(stream: &Stream, trust: &PeerTrust) -> Peer {
    match stream {
        Stream::Tcp(stream) => {
            let address = stream.peer_addr().map_or_else(|_| "unknown".to_owned(), |address| address.ip().to_canonical().to_string());
            Peer::at(address)
        }
        // Known by its certificate, not by its socket.
        Stream::Tls(_) => Peer::at("unknown"),
        Stream::Unix(stream) => {
            let user_name = match stream.peer_cred() {
                Ok(credentials) => trust.trusted_user(credentials.uid(), credentials.gid()).await,
                Err(_) => None,
            };
            // The group of the socket is the group of admins.
            let trusted = user_name.map(|user_name| TrustedPeer { user_name, role: Role::Admin });
            Peer { trusted, ..Peer::at("unix") }
        }
    }
}

/// The client was gone before it was accepted: nothing wrong here.
fn is_client_fault(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
        || matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotConnected)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
