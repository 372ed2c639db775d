//! A certificate authority for one test, and clients that trust it.

use crate::tls::{ClientCertificates, ClientRight, Source, TlsFiles, TlsSettings, TlsVersion};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// A certificate and its key, PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// An authority with a folder for the server's files.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: String,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let certificate = params.self_signed(&key).unwrap().pem();
        let authority = Self { issuer: Issuer::new(params, key), certificate, folder: tempfile::tempdir().unwrap() };
        authority.write("ca.crt", &authority.certificate, 0o644);
        authority.put(&authority.server());
        authority
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str, mode: u32) {
        // As careful tools do: nobody ever sees half of it.
        let draft = self.path("draft");
        std::fs::write(&draft, text).unwrap();
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::rename(draft, self.path(name)).unwrap();
    }

    /// Puts a pair where the server looks for it.
    pub(crate) fn put(&self, pair: &Pair) {
        self.write("server.crt", &pair.certificate, 0o644);
        self.write("server.key", &pair.key, 0o600);
    }

    /// A certificate valid from now on for so long, or one whose time is over.
    pub(crate) fn issue(&self, common_name: &str, names: &[&str], valid: Option<Duration>) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        (params.not_before, params.not_after) = match valid {
            Some(valid) => (epoch + (now - DAY), epoch + (now + valid)),
            None => (epoch + (now - 3 * DAY), epoch + (now - DAY)),
        };
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn server(&self) -> Pair {
        self.issue("node", &["localhost", "127.0.0.1"], Some(100 * DAY))
    }

    pub(crate) fn client(&self, name: &str) -> Pair {
        self.issue(name, &[], Some(100 * DAY))
    }

    pub(crate) fn settings(&self, demand: ClientCertificates, names: &[(&str, ClientRight)]) -> TlsSettings {
        TlsSettings {
            files: TlsFiles {
                certificate: Source::File(self.path("server.crt")),
                key: Source::File(self.path("server.key")),
                client_ca: (demand != ClientCertificates::None).then(|| Source::File(self.path("ca.crt"))),
            },
            client_certificates: demand,
            client_names: names.iter().map(|(name, right)| ((*name).to_owned(), *right)).collect(),
            minimum_version: TlsVersion::Tls12,
            expiry_warning: 14 * DAY,
        }
    }
}

/// A client that trusts this authority and shows a certificate, if it has one.
pub(crate) fn connector(authority: &str, own: Option<&Pair>, versions: &[&'static rustls::SupportedProtocolVersion]) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap().with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap()).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

/// Opens a connection.
pub(crate) async fn connect(address: SocketAddr, connector: &TlsConnector) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    connector.connect(name, TcpStream::connect(address).await?).await
}

/// The certificate that the server showed.
pub(crate) fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// The first certificate of a PEM text.
pub(crate) fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}
