//! TLS to the node: whom we trust, who we are, and what it means when it fails.
//!
//! Trusted are the authorities of `--ca-file`, else those that the operating system trusts.

use crate::error::{CliError, Kind, Result};
use crate::text;
use crate::text::Text;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The files that a TLS connection is made with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Authorities to trust in place of the operating system's.
    pub(crate) ca: Option<PathBuf>,
    /// Our own certificate and its key.
    pub(crate) own: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// From options, else `HVNODE_CA_FILE`, `HVNODE_CLIENT_CERTIFICATE` and `HVNODE_CLIENT_KEY`.
    pub(crate) fn choose(
        ca: Option<PathBuf>,
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let certificate = certificate.or_else(|| set("HVNODE_CLIENT_CERTIFICATE"));
        let own = match (certificate, key.or_else(|| set("HVNODE_CLIENT_KEY"))) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                return Err(CliError::usage(text!("a client certificate and its key belong together"; "客户端证书和私钥必须同时给出"))
                    .hint(text!("give both --client-certificate and --client-key"; "请同时给出 --client-certificate 和 --client-key")));
            }
        };
        Ok(Self { ca: ca.or_else(|| set("HVNODE_CA_FILE")), own })
    }

    fn config(&self) -> io::Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let builder = builder.with_root_certificates(self.roots()?);
        let mut config = match &self.own {
            None => builder.with_no_client_auth(),
            Some((certificate, key_path)) => {
                let key = PrivateKeyDer::from_pem_file(key_path).map_err(|error| unusable(key_path, &error))?;
                builder.with_client_auth_cert(certificates(certificate)?, key).map_err(|error| unusable(certificate, &error))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    fn roots(&self) -> io::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| unusable(path, &error))?;
                }
            }
            // One that cannot be read is not worth a word: others are there, and if ours is not among them, the connection fails.
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        Ok(roots)
    }
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(unusable(path, &"it holds no certificate")),
        Err(error) => Err(unusable(path, &error)),
    }
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{} cannot be used: {error}", path.display()))
}

/// Shakes hands with the node at `authority` (`HOST:PORT`).
pub(super) async fn shake_hands(stream: TcpStream, authority: &str, files: &TlsFiles) -> io::Result<TlsStream<TcpStream>> {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _port)| host).trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    TlsConnector::from(Arc::new(files.config()?)).connect(name, stream).await
}

/// Advice for a connection that failed for reasons of TLS, if it did.
pub(super) fn advice(error: &(dyn Error + 'static)) -> Option<Text> {
    match cause(error)? {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            Some(text!("its authority is not known here: --ca-file FILE or HVNODE_CA_FILE (on the node: /etc/hvnode/tls/ca.crt)";
                       "本机不信任其签发机构: 请使用 --ca-file 文件 或 HVNODE_CA_FILE (节点上为 /etc/hvnode/tls/ca.crt)"))
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            Some(text!("its certificate is for other names: use one of them in --url, or on the node: hvctl tls renew --name NAME";
                       "证书中没有该名称: 请在 --url 中使用证书中的名称, 或在节点上执行: hvctl tls renew --name 名称"))
        }
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            Some(text!("its certificate has expired; on the node: hvctl tls renew"; "节点证书已过期; 在节点上执行: hvctl tls renew"))
        }
        rustls::Error::InvalidMessage(_) => {
            Some(text!("does it speak plain HTTP? Then use http:// in --url"; "该端口是否为明文 HTTP? 请在 --url 中使用 http://"))
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure) => {
            Some(text!("it wants a client certificate: --client-certificate FILE --client-key FILE";
                       "节点要求客户端证书: --client-certificate 文件 --client-key 文件"))
        }
        rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::BadCertificate
            | AlertDescription::DecryptError,
        ) => Some(text!("it does not accept our client certificate: see hvctl tls show FILE, and tls.client_ca_file on the node";
                        "节点不接受该客户端证书: 请查看 hvctl tls show 文件, 以及节点的 tls.client_ca_file")),
        _ => None,
    }
}

/// Is this a failure that trying again does not mend?
pub(super) fn is_final(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput || cause(error).is_some()
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An io::Error does not give what it wraps as its source, but the source of that.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        current = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

/// An error for people, with all its causes.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut current = error.source();
    while let Some(cause) = current {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        current = cause.source();
    }
    text
}

/// The kind of a failure to connect.
pub(super) fn kind(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Kind::Denied,
        io::ErrorKind::InvalidInput => Kind::Usage,
        _ => Kind::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_beat_variables_and_a_certificate_needs_its_key() {
        let variable = |name: &str| (name == "HVNODE_CA_FILE").then(|| "/v".to_owned());
        assert_eq!(TlsFiles::choose(None, None, None, variable).unwrap().ca, Some("/v".into()));
        assert_eq!(TlsFiles::choose(Some("/o".into()), None, None, variable).unwrap().ca, Some("/o".into()));
        assert_eq!(TlsFiles::choose(None, Some("/c".into()), None, variable).unwrap_err().kind(), Kind::Usage);
        let own = |name: &str| match name {
            "HVNODE_CLIENT_CERTIFICATE" => Some("/c".to_owned()),
            "HVNODE_CLIENT_KEY" => Some("/k".to_owned()),
            _ => None,
        };
        assert_eq!(TlsFiles::choose(None, None, None, own).unwrap().own, Some(("/c".into(), "/k".into())));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let files = TlsFiles { ca: Some("/no/such/ca.crt".into()), own: None };
        let error = files.config().unwrap_err();
        assert!(error.to_string().starts_with("/no/such/ca.crt cannot be used: ") && is_final(&error), "{error}");
    }

    #[test]
    fn the_reason_is_found_below_other_errors() {
        let alert = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, alert));
        assert!(advice(&wrapped).unwrap().en.contains("--client-certificate"));
        assert!(advice(&io::Error::other("else")).is_none());
    }
}
