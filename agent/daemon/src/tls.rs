//! From the configuration to TLS: which listeners speak it, where certificate and key are, and who may do without.

use crate::compose::{METRICS, NATIVE};
use crate::config::{ClientCertificates, ClientRole, Config, TlsVersion};
use hvnode_api::dialect::{chimestack, openstack, zstack};
use hvnode_api::tls::{self, ClientRight, Source, TlsFiles, TlsPart, TlsSettings};
use hvnode_core::model::Role;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Names of the systemd credentials. Each goes before the file that the configuration names.
const CERTIFICATE_CREDENTIAL: &str = "hvnode-tls-certificate";
const KEY_CREDENTIAL: &str = "hvnode-tls-key";
const CLIENT_CA_CREDENTIAL: &str = "hvnode-tls-client-ca";
/// Where the service manager puts credentials.
pub(crate) const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// One listener's part of the configuration.
pub(crate) struct Listener<'a> {
    pub(crate) name: &'static str,
    /// Its key for addresses.
    pub(crate) tcp_key: &'static str,
    pub(crate) tcp: &'a [SocketAddr],
    /// Its switch.
    pub(crate) tls_key: &'static str,
    pub(crate) speaks_tls: bool,
}

/// All of them, whether they have an address or not.
pub(crate) fn listeners(config: &Config) -> [Listener<'_>; 5] {
    let (listen, metrics) = (&config.listen, &config.metrics);
    let one = |name, tcp_key, tcp, tls_key, speaks_tls| Listener { name, tcp_key, tcp, tls_key, speaks_tls };
    [
        one(NATIVE, "listen.native.tcp", listen.native.tcp.as_slice(), "listen.native.tls", listen.native.tls),
        one(openstack::DIALECT, "listen.openstack.tcp", &listen.openstack.tcp, "listen.openstack.tls", listen.openstack.tls),
        one(zstack::DIALECT, "listen.zstack.tcp", &listen.zstack.tcp, "listen.zstack.tls", listen.zstack.tls),
        one(chimestack::DIALECT, "listen.chimestack.tcp", &listen.chimestack.tcp, "listen.chimestack.tls", listen.chimestack.tls),
        one(METRICS, "metrics.listen", &metrics.listen, "metrics.tls", metrics.tls),
    ]
}

/// Where the service manager put this process's credentials.
pub(crate) fn credentials_directory() -> Option<PathBuf> {
    std::env::var_os(CREDENTIALS_VARIABLE).map(PathBuf::from)
}

/// A credential, else the configured file, if there is either.
fn source(credentials: Option<&Path>, name: &str, configured: &Path) -> Option<Source> {
    let credential = credentials.map(|folder| folder.join(name)).filter(|path| path.exists());
    let file = || (!configured.as_os_str().is_empty()).then(|| Source::File(configured.to_owned()));
    credential.map(Source::Credential).or_else(file)
}

/// What is wrong: key and text.
pub(crate) type Problem = (&'static str, String);

/// What the TLS listeners need; `None` where no listener speaks TLS.
///
/// # Errors
/// What is missing.
pub(crate) fn settings(config: &Config, credentials: Option<&Path>) -> Result<Option<TlsSettings>, Problem> {
    let Some(first) = listeners(config).into_iter().find(|listener| listener.speaks_tls) else { return Ok(None) };
    let tls = &config.tls;
    let need = |found: Option<Source>, key: &'static str, credential: &str| {
        let text = || format!("{} needs it: name a file, or hand over the systemd credential {credential}", first.tls_key);
        found.ok_or_else(|| (key, text()))
    };
    let certificate = source(credentials, CERTIFICATE_CREDENTIAL, &tls.certificate_file);
    let key = source(credentials, KEY_CREDENTIAL, &tls.key_file);
    let client_ca = source(credentials, CLIENT_CA_CREDENTIAL, &tls.client_ca_file);
    let client_ca = match tls.client_certificates {
        ClientCertificates::None => None,
        _ => Some(client_ca.ok_or_else(|| {
            let text = format!("tls.client_certificates needs it: name a file, or hand over the systemd credential {CLIENT_CA_CREDENTIAL}");
            ("tls.client_ca_file", text)
        })?),
    };
    let files = TlsFiles {
        certificate: need(certificate, "tls.certificate_file", CERTIFICATE_CREDENTIAL)?,
        key: need(key, "tls.key_file", KEY_CREDENTIAL)?,
        client_ca,
    };
    Ok(Some(TlsSettings {
        files,
        client_certificates: match tls.client_certificates {
            ClientCertificates::None => tls::ClientCertificates::None,
            ClientCertificates::Optional => tls::ClientCertificates::Optional,
            ClientCertificates::Required => tls::ClientCertificates::Required,
        },
        client_names: tls.client_names.iter().map(|(name, role)| (name.clone(), right(*role))).collect(),
        minimum_version: match tls.minimum_version {
            TlsVersion::Tls12 => tls::TlsVersion::Tls12,
            TlsVersion::Tls13 => tls::TlsVersion::Tls13,
        },
        expiry_warning: Duration::from_secs(tls.expiry_warning_days * 86_400),
    }))
}

fn right(role: ClientRole) -> ClientRight {
    match role {
        ClientRole::Admin => ClientRight::Role(Role::Admin),
        ClientRole::Operator => ClientRight::Role(Role::Operator),
        ClientRole::Reader => ClientRight::Role(Role::Reader),
        ClientRole::Login => ClientRight::LogIn,
    }
}

/// The key of the configuration that names this file.
pub(crate) fn key_of(part: TlsPart) -> &'static str {
    match part {
        TlsPart::Certificate => "tls.certificate_file",
        TlsPart::Key => "tls.key_file",
        TlsPart::ClientCa => "tls.client_ca_file",
    }
}

/// May this listener speak plain HTTP to other machines?
pub(crate) fn may_be_plain(config: &Config, listener: &Listener<'_>) -> bool {
    listener.speaks_tls || config.tls.insecure_plain_http_off_loopback.iter().any(|name| name == listener.name)
}

/// What is said where it may not, but would.
pub(crate) fn plain_refusal(listener: &Listener<'_>, address: &dyn std::fmt::Display) -> String {
    let name = listener.name;
    let what = if name == METRICS { "what the node runs" } else { "passwords, tokens and consoles" };
    format!(
        "{address} can be reached by other machines, and {what} would cross the network in clear text: set {} = true, stay on loopback, \
         or accept the risk with tls.insecure_plain_http_off_loopback = [\"{name}\"]",
        listener.tls_key
    )
}
