//! Certificate, key and client authority on disk: reading them, saying what is wrong with them, seeing that they changed.

use super::ClientCertificates;
use super::clients::describe;
use hvnode_core::model::Timestamp;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Most bytes of one file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Bits of the mode that let everybody read or write.
const WORLD_BITS: u32 = 0o006;

/// Where one of the files is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In the configuration.
    File(PathBuf),
    /// A credential that the service manager handed over.
    Credential(PathBuf),
}

impl Source {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Credential(path) => path,
        }
    }
}

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, then those between it and the authority; PEM.
    pub certificate: Source,
    /// Its private key; PEM.
    pub key: Source,
    /// Authorities of client certificates; PEM.
    pub client_ca: Option<Source>,
}

/// One of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsPart {
    /// The certificate.
    Certificate,
    /// Its key.
    Key,
    /// The authority of clients.
    ClientCa,
}

impl TlsPart {
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Certificate => "the certificate",
            Self::Key => "the key",
            Self::ClientCa => "the client authority",
        }
    }
}

/// A file that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsProblem {
    /// Which.
    pub part: TlsPart,
    /// The file and what is wrong with it.
    pub text: String,
}

impl fmt::Display for TlsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part.what(), self.text)
    }
}

impl std::error::Error for TlsProblem {}

/// Whose a certificate is and when it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity {
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// Its first name.
    pub subject: String,
}

/// What the files hold.
pub(super) struct Material {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) client_roots: Vec<CertificateDer<'static>>,
    pub(super) validity: Validity,
}

/// Which files were there. The time of change tells a new mode as well.
pub(super) type Fingerprint = Vec<Option<(u64, u64, i64, i64, u64)>>;

impl TlsFiles {
    pub(super) fn problem(&self, part: TlsPart, text: impl fmt::Display) -> TlsProblem {
        let source = match (part, &self.client_ca) {
            (TlsPart::Certificate, _) => &self.certificate,
            (TlsPart::ClientCa, Some(source)) => source,
            (TlsPart::Key | TlsPart::ClientCa, _) => &self.key,
        };
        TlsProblem { part, text: format!("{} {text}", source.path().display()) }
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let look = |source: &Source| {
            let seen = std::fs::metadata(source.path()).ok()?;
            Some((seen.dev(), seen.ino(), seen.ctime(), seen.ctime_nsec(), seen.size()))
        };
        [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten().map(look).collect()
    }
}

/// Reads and understands all of them.
pub(super) fn load(files: &TlsFiles, clients: ClientCertificates) -> Result<Material, TlsProblem> {
    let chain = certificates(files, TlsPart::Certificate, files.certificate.path())?;
    let validity = chain.first().ok_or_else(|| "holds no certificate".to_owned()).and_then(describe);
    let validity = validity.map_err(|text| files.problem(TlsPart::Certificate, text))?;
    let key = key(files)?;
    let client_roots = match (&files.client_ca, clients) {
        (Some(source), ClientCertificates::Optional | ClientCertificates::Required) => {
            certificates(files, TlsPart::ClientCa, source.path())?
        }
        _ => Vec::new(),
    };
    Ok(Material { chain, key, client_roots, validity })
}

fn certificates(files: &TlsFiles, part: TlsPart, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let (bytes, _mode) = read(path).map_err(|text| files.problem(part, text))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(files.problem(part, "holds no certificate: expected -----BEGIN CERTIFICATE-----")),
        Err(error) => Err(files.problem(part, format!("is no certificate in PEM form: {error}"))),
    }
}

fn key(files: &TlsFiles) -> Result<PrivateKeyDer<'static>, TlsProblem> {
    let problem = |text: String| files.problem(TlsPart::Key, text);
    let (bytes, mode) = read(files.key.path()).map_err(problem)?;
    if mode & WORLD_BITS != 0 {
        return Err(problem(format!(
            "may be read or written by everybody (mode {:04o}): chmod 0600, or 0640 with group hvnode",
            mode & 0o7777
        )));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        problem(match error {
            pem::Error::NoItemsFound if bytes.windows(9).any(|word| word == b"ENCRYPTED") => {
                "is locked with a passphrase: hvnoded takes keys without one".to_owned()
            }
            pem::Error::NoItemsFound => "holds no private key: expected -----BEGIN PRIVATE KEY-----".to_owned(),
            // Nothing of the content: the text goes to the log.
            _ => "is no private key in PEM form".to_owned(),
        })
    })
}

fn read(path: &Path) -> Result<(Vec<u8>, u32), String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("has more than {FILE_BYTES_MAX} bytes"));
    }
    Ok((bytes, metadata.mode()))
}

/// As people write it: `2027-01-31 12:00:00 UTC`.
pub(super) fn utc(time: Timestamp) -> String {
    let text = |time: jiff::Timestamp| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    jiff::Timestamp::from_second(time.seconds()).map_or_else(|_| format!("@{}", time.seconds()), text)
}
