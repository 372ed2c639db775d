//! Where the node listens, and how to open a connection to it.

use crate::error::{CliError, Kind, Result};
use crate::text;
use hyper_util::rt::TokioIo;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Socket of a node installed in the usual way.
const DEFAULT_SOCKET: &str = "/run/hvnode/hvnode.sock";
/// Where a node listens on TCP if its configuration says nothing else.
const DEFAULT_AUTHORITY: &str = "127.0.0.1:7070";

/// Either kind of stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A unix socket on this machine.
    Unix(PathBuf),
    /// `HOST:PORT`.
    Tcp(String),
}

impl Endpoint {
    /// `--url`, else `HVNODE_URL`, `HVNODE_NATIVE_URL`, `HVNODE_SOCKET`, else the usual socket if it exists, else loopback TCP.
    pub(crate) fn choose(url: Option<&str>, variable: impl Fn(&str) -> Option<String>, exists: impl Fn(&Path) -> bool) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        if let Some(url) = url.map(str::to_owned).or_else(|| set("HVNODE_URL")).or_else(|| set("HVNODE_NATIVE_URL")) {
            return Self::parse(&url);
        }
        if let Some(path) = set("HVNODE_SOCKET") {
            return Ok(Self::Unix(path.into()));
        }
        let socket = Path::new(DEFAULT_SOCKET);
        Ok(if exists(socket) { Self::Unix(socket.to_owned()) } else { Self::Tcp(DEFAULT_AUTHORITY.into()) })
    }

    /// Reads `http://HOST[:PORT]`, `unix:/PATH`, `unix:///PATH` or `/PATH`.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let wrong = || {
            CliError::usage(text!("'{url}' is no address of a node"; "'{url}' 不是节点地址"))
                .hint(text!("write http://HOST:PORT or unix:/PATH"; "请写成 http://主机:端口 或 unix:/路径"))
        };
        if let Some(path) =
            url.strip_prefix("unix://").or_else(|| url.strip_prefix("unix:")).or_else(|| url.starts_with('/').then_some(url))
        {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(wrong()) };
        }
        if url.starts_with("https://") {
            return Err(CliError::usage(text!("hvctl does not speak TLS"; "hvctl 不支持 TLS"))
                .hint(text!("use the node's unix socket or its loopback port, through ssh if need be"; "请使用节点的 unix 套接字或本地端口, 必要时通过 ssh")));
        }
        let authority = url.strip_prefix("http://").ok_or_else(wrong)?.trim_end_matches('/');
        let uri: hyper::Uri = format!("http://{authority}/").parse().map_err(|_| wrong())?;
        let parsed =
            uri.authority().filter(|a| uri.path() == "/" && !a.host().is_empty() && !a.as_str().contains('@')).ok_or_else(wrong)?;
        Ok(Self::Tcp(match parsed.port_u16() {
            Some(port) => format!("{}:{port}", parsed.host()),
            None if authority == parsed.host() => format!("{authority}:80"),
            None => return Err(wrong()),
        }))
    }

    /// The `Host` header.
    pub(crate) fn host(&self) -> &str {
        match self {
            Self::Unix(_) => "localhost",
            Self::Tcp(authority) => authority,
        }
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> io::Result<TokioIo<Box<dyn Stream>>> {
        let stream: Box<dyn Stream> = match self {
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Self::Tcp(authority) => {
                let stream = TcpStream::connect(authority).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        };
        Ok(TokioIo::new(stream))
    }

    /// Why [`connect`](Self::connect) failed, for people.
    pub(crate) fn explain(&self, error: &io::Error) -> CliError {
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied => Kind::Denied,
            _ => Kind::Unreachable,
        };
        let failure = CliError::new(kind, text!("cannot connect to {self}: {error}"; "无法连接 {self}: {error}"));
        failure.hint(match (self, error.kind()) {
            (Self::Unix(_), io::ErrorKind::PermissionDenied) => {
                text!("use sudo, or join the group of that socket (sudo usermod -aG hvnode $USER, then log in anew); or log in over TCP with --url http://{DEFAULT_AUTHORITY}";
                      "请使用 sudo, 或加入该套接字所属的组 (sudo usermod -aG hvnode $USER, 然后重新登录); 或通过 TCP 登录: --url http://{DEFAULT_AUTHORITY}")
            }
            (_, io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
                text!("is hvnoded running there? On the node: systemctl status hvnoded. Another address: --url or HVNODE_URL";
                      "hvnoded 是否在运行? 在节点上执行: systemctl status hvnoded. 指定其他地址: --url 或 HVNODE_URL")
            }
            _ => text!("another address: --url or HVNODE_URL"; "指定其他地址: --url 或 HVNODE_URL"),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(authority) => write!(f, "http://{authority}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(authority: &str) -> Endpoint {
        Endpoint::Tcp(authority.into())
    }

    #[test]
    fn addresses_are_read_in_all_their_spellings() {
        assert_eq!(Endpoint::parse("http://10.0.0.1:7070").unwrap(), tcp("10.0.0.1:7070"));
        assert_eq!(Endpoint::parse("http://node/").unwrap(), tcp("node:80"));
        assert_eq!(Endpoint::parse("http://[::1]:7070/").unwrap(), tcp("[::1]:7070"));
        for url in ["unix:/run/x.sock", "unix:///run/x.sock", "/run/x.sock"] {
            assert_eq!(Endpoint::parse(url).unwrap(), Endpoint::Unix("/run/x.sock".into()), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_a_usage_error() {
        for url in [
            "",
            "node",
            "node:7070",
            "ftp://x",
            "http://",
            "unix:x",
            "https://node",
            "http://a b",
            "http://n:99999",
            "http://n/v1",
            "http://u@n",
        ] {
            assert_eq!(Endpoint::parse(url).unwrap_err().kind(), Kind::Usage, "{url}");
        }
    }

    #[test]
    fn the_option_beats_the_environment_and_the_environment_beats_the_defaults() {
        let none = |_: &str| None;
        let both = |name: &str| match name {
            "HVNODE_NATIVE_URL" => Some("http://b:2".to_owned()),
            "HVNODE_SOCKET" => Some("/s".to_owned()),
            _ => None,
        };
        let socket = |name: &str| (name == "HVNODE_SOCKET").then(|| "/s".to_owned());
        assert_eq!(Endpoint::choose(Some("http://a:1"), both, |_| true).unwrap(), tcp("a:1"));
        assert_eq!(Endpoint::choose(None, both, |_| true).unwrap(), tcp("b:2"));
        assert_eq!(Endpoint::choose(None, socket, |_| true).unwrap(), Endpoint::Unix("/s".into()));
        assert_eq!(Endpoint::choose(None, none, |_| true).unwrap(), Endpoint::Unix(DEFAULT_SOCKET.into()));
        assert_eq!(Endpoint::choose(None, none, |_| false).unwrap(), tcp(DEFAULT_AUTHORITY));
    }
}
