//! Client certificates: who may come with which, and what its holder may do.

use super::files::utc;
use hvnode_core::model::{Role, Timestamp};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// In the configuration: every certificate of the authority, whatever its names.
const ANY_NAME: &str = "*";
/// Names of one certificate that are looked at.
const NAMES_MAX: usize = 64;
/// Longest part of a certificate's own text that is shown.
const SHOWN_MAX: usize = 200;

/// Are clients asked for a certificate?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// No.
    None,
    /// Those who have none need a token.
    Optional,
    /// Those who have none are not let in.
    Required,
}

/// What the holder of a client certificate may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientRight {
    /// What an account of this role may, without a token.
    Role(Role),
    /// Connect; everything else needs a token as well.
    LogIn,
}

/// What a connection may do by its client certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// There is no certificate, and none is needed.
    Anonymous,
    /// It needs no token.
    Trusted {
        /// The name of the certificate that the configuration lists.
        name: String,
        /// Its role.
        role: Role,
    },
    /// It may connect, and needs a token.
    LogIn,
    /// A certificate of our authority that the configuration does not list; its names.
    Unlisted(String),
    /// No longer, or not yet, acceptable: closed without an answer.
    Refused(String),
}

/// The rules in force.
#[derive(Debug)]
pub(super) struct Clients {
    demand: ClientCertificates,
    rights: BTreeMap<String, ClientRight>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    pub(super) fn new(demand: ClientCertificates, rights: BTreeMap<String, ClientRight>, verifier: Arc<dyn ClientCertVerifier>) -> Self {
        Self { demand, rights, verifier }
    }

    /// Judges a chain, the client's own certificate first. It is verified here again: a resumed session skips that, and rules may have
    /// changed since the handshake.
    pub(super) fn standing(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Standing {
        let (own, others) = match (self.demand, chain.split_first()) {
            (ClientCertificates::None, _) | (ClientCertificates::Optional, None) => return Standing::Anonymous,
            (ClientCertificates::Required, None) => return Standing::Refused("a client certificate is required".to_owned()),
            (_, Some((own, others))) => (own, others),
        };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.seconds().try_into().unwrap_or(0)));
        if let Err(error) = self.verifier.verify_client_cert(own, others, now) {
            return Standing::Refused(error.to_string());
        }
        let names = names(own);
        let listed = names.iter().find_map(|name| Some((name.clone(), *self.rights.get(name)?)));
        let any = || self.rights.get(ANY_NAME).map(|right| (names.first().cloned().unwrap_or_else(|| "unnamed".to_owned()), *right));
        match listed.or_else(any) {
            Some((name, ClientRight::Role(role))) => Standing::Trusted { name, role },
            Some((_, ClientRight::LogIn)) => Standing::LogIn,
            None => Standing::Unlisted(shown(&names.join(", "))),
        }
    }
}

/// Names of a certificate, in the order in which they are looked for: the alternative names as they stand there, then common names.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let mut names: Vec<String> = Vec::new();
    if let Ok(Some(extension)) = parsed.subject_alternative_name() {
        names.extend(extension.value.general_names.iter().filter_map(alternative_name));
    }
    names.extend(parsed.subject().iter_common_name().filter_map(|name| Some(name.as_str().ok()?.to_owned())));
    names.truncate(NAMES_MAX);
    names
}

fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => Some((*text).to_owned()),
        GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
            (Ok(four), _) => Some(std::net::IpAddr::from(four).to_string()),
            (_, Ok(sixteen)) => Some(std::net::IpAddr::from(sixteen).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// Text of somebody else's making, fit for a log line and an answer.
fn shown(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect();
    if clean.is_empty() { "without a name".to_owned() } else { clean }
}

/// Subject and validity of a certificate.
pub(super) fn describe(certificate: &CertificateDer<'_>) -> Result<super::Validity, String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| format!("is no certificate: {error}"))?;
    let (from, until) = (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    let names = names(certificate);
    Ok(super::Validity {
        not_before: Timestamp::from_seconds(from),
        not_after: Timestamp::from_seconds(until),
        subject: shown(names.first().map_or("", String::as_str)),
    })
}

impl super::Validity {
    /// Why the certificate is no good at this time, if it is not.
    pub fn problem(&self, now: Timestamp) -> Option<String> {
        if now >= self.not_after {
            return Some(format!("the certificate expired on {}", utc(self.not_after)));
        }
        (now < self.not_before).then(|| format!("the certificate is not valid before {}: is the clock right?", utc(self.not_before)))
    }
}
