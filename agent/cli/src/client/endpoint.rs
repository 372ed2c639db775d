//! Where the node listens, and how to open a connection to it.

use super::secure::{self, TlsFiles};
use crate::error::{CliError, Result};
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
    /// `HOST:PORT`, over TLS.
    Tls(String, TlsFiles),
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

    /// The same with the files that TLS is spoken with, where it is.
    #[must_use]
    pub(crate) fn with_files(self, files: TlsFiles) -> Self {
        match self {
            Self::Tls(authority, _) => Self::Tls(authority, files),
            other => other,
        }
    }

    /// Reads `http://HOST[:PORT]`, `https://HOST[:PORT]`, `unix:/PATH`, `unix:///PATH` or `/PATH`.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let wrong = || {
            CliError::usage(text!("'{url}' is no address of a node"; "'{url}' 不是节点地址"))
                .hint(text!("write https://HOST:PORT, http://HOST:PORT or unix:/PATH"; "请写成 https://主机:端口, http://主机:端口 或 unix:/路径"))
        };
        if let Some(path) =
            url.strip_prefix("unix://").or_else(|| url.strip_prefix("unix:")).or_else(|| url.starts_with('/').then_some(url))
        {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(wrong()) };
        }
        let secure = url.strip_prefix("https://");
        let authority = secure.or_else(|| url.strip_prefix("http://")).ok_or_else(wrong)?.trim_end_matches('/');
        let uri: hyper::Uri = format!("http://{authority}/").parse().map_err(|_| wrong())?;
        let parsed =
            uri.authority().filter(|a| uri.path() == "/" && !a.host().is_empty() && !a.as_str().contains('@')).ok_or_else(wrong)?;
        let full = match parsed.port_u16() {
            Some(port) => format!("{}:{port}", parsed.host()),
            None if authority == parsed.host() => format!("{authority}:{}", if secure.is_some() { 443 } else { 80 }),
            None => return Err(wrong()),
        };
        Ok(if secure.is_some() { Self::Tls(full, TlsFiles::default()) } else { Self::Tcp(full) })
    }

    /// For whom a log-in is kept: the address, and the certificate that is shown there. A token goes before a certificate, so one that
    /// somebody got without it must not speak for who comes with it.
    pub(crate) fn identity(&self) -> String {
        match self {
            Self::Tls(_, TlsFiles { own: Some((certificate, _)), .. }) => format!("{self} {}", certificate.display()),
            _ => self.to_string(),
        }
    }

    /// The `Host` header.
    pub(crate) fn host(&self) -> &str {
        match self {
            Self::Unix(_) => "localhost",
            Self::Tcp(authority) | Self::Tls(authority, _) => authority,
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
            Self::Tls(authority, files) => {
                let stream = TcpStream::connect(authority).await?;
                stream.set_nodelay(true)?;
                Box::new(secure::shake_hands(stream, authority, files).await?)
            }
        };
        Ok(TokioIo::new(stream))
    }

    /// Why [`connect`](Self::connect) failed, for people.
    pub(crate) fn explain(&self, error: &io::Error) -> CliError {
        let failure = CliError::new(secure::kind(error), text!("cannot connect to {self}: {error}"; "无法连接 {self}: {error}"));
        if let Some(advice) = secure::advice(error) {
            return failure.hint(advice);
        }
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
            Self::Tls(authority, _) => write!(f, "https://{authority}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn tcp(authority: &str) -> Endpoint {
        Endpoint::Tcp(authority.into())
    }

    #[test]
    fn addresses_are_read_in_all_their_spellings() {
        assert_eq!(Endpoint::parse("http://10.0.0.1:7070").unwrap(), tcp("10.0.0.1:7070"));
        assert_eq!(Endpoint::parse("http://node/").unwrap(), tcp("node:80"));
        assert_eq!(Endpoint::parse("http://[::1]:7070/").unwrap(), tcp("[::1]:7070"));
        let tls = |authority: &str| Endpoint::Tls(authority.into(), TlsFiles::default());
        assert_eq!(Endpoint::parse("https://node:7070/").unwrap(), tls("node:7070"));
        assert_eq!(Endpoint::parse("https://[::1]").unwrap(), tls("[::1]:443"));
        for url in ["unix:/run/x.sock", "unix:///run/x.sock", "/run/x.sock"] {
            assert_eq!(Endpoint::parse(url).unwrap(), Endpoint::Unix("/run/x.sock".into()), "{url}");
        }
    }

    #[test]
    fn a_log_in_without_the_certificate_is_not_used_with_it() {
        let plain = Endpoint::parse("https://n:1").unwrap();
        let own = Some(("/c.crt".into(), "/c.key".into()));
        assert_eq!(plain.identity(), "https://n:1");
        assert_eq!(plain.with_files(TlsFiles { ca: None, own }).identity(), "https://n:1 /c.crt");
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
            "https://",
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
