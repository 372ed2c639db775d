//! Listening sockets: those that the service manager hands over, and those that are bound here.

use crate::config::Config;
use crate::tls::{Listener, listeners, may_be_plain, plain_refusal};
use hvnode_api::listener::BoundSocket;
use hvnode_core::Result;
use listenfd::ListenFd;
use nix::unistd::Gid;
use std::net::SocketAddr;
use std::path::Path;

/// Sockets handed over at start (systemd's `LISTEN_FDS`), by the name of their `FileDescriptorName=`.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<(String, BoundSocket)>);

/// Where a listener is to be reached, from the configuration.
pub(crate) struct Wanted<'a> {
    /// `native`, …: name of the listener and, alone or with `-…` after it, of its handed-over sockets.
    pub(crate) name: &'static str,
    pub(crate) tcp: &'a [SocketAddr],
    pub(crate) unix: Option<&'a Path>,
    /// Group of a unix socket made here.
    pub(crate) group: Option<Gid>,
}

impl Inherited {
    /// Takes what was handed over. Call it once, before threads are started: it also cleans the environment.
    pub(crate) fn take() -> std::result::Result<Self, String> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut handed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..handed.len() {
            let name = names.next().unwrap_or_default().to_owned();
            let socket = match handed.take_tcp_listener(index) {
                Ok(Some(listener)) => BoundSocket::Tcp(listener),
                Ok(None) => continue,
                Err(_) => match handed.take_unix_listener(index) {
                    Ok(Some(listener)) => BoundSocket::Unix { listener, owned_path: None },
                    Ok(None) => continue,
                    Err(error) => return Err(format!("socket {name:?} handed over by the service manager cannot be used: {error}")),
                },
            };
            sockets.push((name, socket));
        }
        Ok(Self(sockets))
    }

    /// The sockets of one listener. Handed-over sockets, known by name or address, replace the configured addresses of their kind
    /// (TCP, unix); the rest is bound here.
    ///
    /// # Errors
    /// As [`BoundSocket::bind_tcp`] and [`BoundSocket::bind_unix`].
    pub(crate) fn open(&mut self, wanted: &Wanted<'_>) -> Result<Vec<BoundSocket>> {
        let (mut sockets, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.0).into_iter().partition(|entry| belongs(entry, wanted));
        self.0 = others;
        let has_tcp = sockets.iter().any(|(_, socket)| matches!(socket, BoundSocket::Tcp(_)));
        let has_unix = sockets.iter().any(|(_, socket)| matches!(socket, BoundSocket::Unix { .. }));
        if !has_tcp {
            for address in wanted.tcp {
                sockets.push((String::new(), BoundSocket::bind_tcp(*address)?));
            }
        }
        if let (false, Some(path)) = (has_unix, wanted.unix) {
            sockets.push((String::new(), BoundSocket::bind_unix(path, wanted.group)?));
        }
        Ok(sockets.into_iter().map(|(_, socket)| socket).collect())
    }

    /// Checks that no handed-over socket speaks plain HTTP to other machines unless that is meant.
    pub(crate) fn check(&self, config: &Config) -> std::result::Result<(), String> {
        let mut problems = Vec::new();
        for entry @ (name, socket) in &self.0 {
            let belongs_to =
                |listener: &Listener<'_>| belongs(entry, &Wanted { name: listener.name, tcp: listener.tcp, unix: None, group: None });
            let Some(listener) = listeners(config).into_iter().find(belongs_to) else { continue };
            if socket.is_reachable_from_outside() && !may_be_plain(config, &listener) {
                let refusal = plain_refusal(&listener, &socket.describe());
                problems.push(format!("socket {name:?} handed over by the service manager: {refusal}"));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }

    /// What nobody wanted: name and address of each.
    pub(crate) fn left(&self) -> Vec<String> {
        self.0.iter().map(|(name, socket)| format!("{name} ({})", socket.describe())).collect()
    }
}

fn belongs((name, socket): &(String, BoundSocket), wanted: &Wanted<'_>) -> bool {
    let is_named = name.strip_prefix(wanted.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    is_named
        || match socket {
            BoundSocket::Tcp(listener) => listener.local_addr().is_ok_and(|address| wanted.tcp.contains(&address)),
            BoundSocket::Unix { .. } => wanted.unix.is_some_and(|path| socket.describe() == path.display().to_string()),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp() -> (SocketAddr, BoundSocket) {
        let socket = BoundSocket::bind_tcp(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let BoundSocket::Tcp(listener) = &socket else { unreachable!() };
        (listener.local_addr().unwrap(), socket)
    }

    fn unix(path: &Path) -> BoundSocket {
        BoundSocket::Unix { listener: std::os::unix::net::UnixListener::bind(path).unwrap(), owned_path: None }
    }

    fn wanted<'a>(tcp: &'a [SocketAddr], unix: Option<&'a Path>) -> Wanted<'a> {
        Wanted { name: "native", tcp, unix, group: None }
    }

    #[test]
    fn a_named_socket_replaces_the_configured_address_of_its_kind_only() {
        let folder = tempfile::tempdir().unwrap();
        let (address, socket) = tcp();
        let mut inherited = Inherited(vec![("native".into(), socket)]);
        let path = folder.path().join("own.sock");
        // The configured TCP address is taken; binding it would fail.
        let (taken, _held) = tcp();
        let opened = inherited.open(&wanted(&[taken], Some(&path))).unwrap();
        let places: Vec<_> = opened.iter().map(BoundSocket::describe).collect();
        assert_eq!(places, [address.to_string(), path.display().to_string()]);
        assert!(inherited.left().is_empty());
    }

    #[test]
    fn sockets_without_a_known_name_are_matched_by_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handed.sock");
        let ((address, socket), (_, stranger)) = (tcp(), tcp());
        let mut inherited =
            Inherited(vec![("unknown".into(), socket), ("hvnoded.socket".into(), unix(&path)), ("nativeish".into(), stranger)]);
        let opened = inherited.open(&wanted(&[address], Some(&path))).unwrap();
        assert_eq!(opened.len(), 2);
        assert_eq!(inherited.left().len(), 1, "the stranger is reported, not served");
        assert!(inherited.left()[0].starts_with("nativeish (127.0.0.1:"));
    }

    #[test]
    fn a_handed_over_socket_that_others_can_reach_needs_tls_or_a_word_that_it_need_not() {
        let outside = || BoundSocket::bind_tcp(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
        let inherited = Inherited(vec![("native-tcp".into(), outside()), ("metrics".into(), outside()), ("stranger".into(), outside())]);
        let mut config = Config::default();
        let problems = inherited.check(&config).unwrap_err();
        assert_eq!(problems.lines().count(), 2, "{problems}");
        assert!(problems.contains("\"native-tcp\"") && problems.contains("set listen.native.tls = true"), "{problems}");
        config.listen.native.tls = true;
        config.tls.insecure_plain_http_off_loopback = vec!["metrics".into()];
        inherited.check(&config).unwrap();
        let (_, inside) = tcp();
        Inherited(vec![("native".into(), inside)]).check(&Config::default()).unwrap();
    }

    #[test]
    fn names_may_say_more_after_a_dash() {
        let ((first, one), (second, two)) = (tcp(), tcp());
        let mut inherited = Inherited(vec![("native-tcp".into(), one), ("native-admin".into(), two)]);
        let opened = inherited.open(&wanted(&[], None)).unwrap();
        let places: Vec<_> = opened.iter().map(BoundSocket::describe).collect();
        assert_eq!(places, [first.to_string(), second.to_string()]);
    }
}
