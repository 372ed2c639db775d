//! What stands in a certificate.

use crate::error::{CliError, Kind, Result};
use crate::output::plain;
use crate::text;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

/// The first certificate of a file.
pub(super) struct Certificate {
    pub(super) path: PathBuf,
    /// `authority`, `server`, `client`, or what else it is for.
    pub(super) purpose: &'static str,
    pub(super) common_name: String,
    /// Alternative names.
    pub(super) names: Vec<String>,
    pub(super) issuer: String,
    /// Unix seconds.
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

impl Certificate {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let wrong = |error: &dyn std::fmt::Display| {
            CliError::new(Kind::Failed, text!("{shown} is no certificate that can be read: {error}"; "{shown} 不是可读取的证书: {error}"))
        };
        let der = CertificateDer::from_pem_file(path).map_err(|error| wrong(&error))?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| wrong(&error))?;
        let names = match parsed.subject_alternative_name() {
            Ok(Some(extension)) => extension.value.general_names.iter().filter_map(name_of).collect(),
            _ => Vec::new(),
        };
        let usage = parsed.extended_key_usage().ok().flatten();
        let is_for =
            |wanted: fn(&x509_parser::extensions::ExtendedKeyUsage<'_>) -> bool| usage.as_ref().is_some_and(|found| wanted(found.value));
        let purpose = match (parsed.is_ca(), is_for(|usage| usage.server_auth), is_for(|usage| usage.client_auth)) {
            (true, ..) => "authority",
            (_, true, true) => "server, client",
            (_, true, false) => "server",
            (_, false, true) => "client",
            _ => "any",
        };
        Ok(Self {
            path: path.to_owned(),
            purpose,
            common_name: common_name(parsed.subject()),
            names,
            issuer: common_name(parsed.issuer()),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }

    /// Alternative names, else the common name.
    pub(super) fn shown_names(&self) -> String {
        if self.names.is_empty() { plain(&self.common_name) } else { plain(&self.names.join(", ")) }
    }

    /// The day of its end.
    pub(super) fn expires(&self) -> String {
        let day = |time: jiff::Timestamp| time.strftime("%Y-%m-%d").to_string();
        jiff::Timestamp::from_second(self.not_after).map_or_else(|_| self.not_after.to_string(), day)
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "file": self.path, "purpose": self.purpose, "common_name": self.common_name, "names": self.names, "issuer": self.issuer,
            "not_before": self.not_before, "not_after": self.not_after,
        })
    }
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => Some((*text).to_owned()),
        GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
            (Ok(four), _) => Some(IpAddr::from(four).to_string()),
            (_, Ok(sixteen)) => Some(IpAddr::from(sixteen).to_string()),
            _ => None,
        },
        _ => None,
    }
}

fn common_name(name: &X509Name<'_>) -> String {
    name.iter_common_name().find_map(|part| part.as_str().ok()).map(plain).unwrap_or_default()
}
