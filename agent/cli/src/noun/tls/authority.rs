//! The site's authority: a self-signed certificate and its key in a folder, and the certificates it makes.

use crate::error::{CliError, Kind as ErrorKind, Result};
use crate::text;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long an authority is valid.
const AUTHORITY_DAYS: u32 = 3650;
/// Certificates are valid from a little before now: clocks differ.
const BACKDATED: Duration = Duration::from_secs(3600);
const DAY_SECONDS: u64 = 86_400;
/// The user that the daemon runs as.
const DAEMON_USER: &str = "hvnode";

/// For whom a certificate is.
pub(super) enum Kind {
    /// The node, under these names and addresses.
    Server(Vec<String>),
    /// A client of this name.
    Client(String),
}

/// What can make certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes one in `folder` and writes it there.
    pub(super) fn make(folder: &Path, host: &str) -> Result<Self> {
        let key = new_key()?;
        let mut params = dated(CertificateParams::default(), AUTHORITY_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, format!("hvnode authority of {host}"));
        let certificate = params.self_signed(&key).map_err(|error| failed(&error))?;
        write_pair(folder, "ca", &certificate.pem(), &key.serialize_pem(), None)?;
        Ok(Self { issuer: Issuer::new(params, key) })
    }

    /// Reads the one that is there.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let (certificate, key) = (read(&folder.join("ca.crt"))?, read(&folder.join("ca.key"))?);
        let wrong = |name: &str| {
            let path = folder.join(name);
            let path = path.display();
            CliError::new(ErrorKind::Failed, text!("{path} cannot be used"; "{path} 无法使用"))
        };
        let key = KeyPair::from_pem(&key).map_err(|_| wrong("ca.key"))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key).map_err(|_| wrong("ca.crt"))?;
        Ok(Self { issuer })
    }

    /// Makes `NAME.crt` and `NAME.key` in `folder`; both are there before either takes its place.
    pub(super) fn issue(&self, kind: &Kind, days: u32, folder: &Path, file_name: &str) -> Result<()> {
        let key = new_key()?;
        let (names, common_name, purpose) = match kind {
            Kind::Server(names) => (names.clone(), names.first().cloned().unwrap_or_default(), ExtendedKeyUsagePurpose::ServerAuth),
            Kind::Client(name) => (Vec::new(), name.clone(), ExtendedKeyUsagePurpose::ClientAuth),
        };
        let params = CertificateParams::new(names.clone()).map_err(|error| {
            let (names, error) = (names.join(", "), error.to_string());
            CliError::usage(text!("a certificate cannot be made for {names}: {error}"; "无法为 {names} 生成证书: {error}"))
        })?;
        let mut params = dated(params, days);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name.push(DnType::CommonName, common_name);
        let certificate = params.signed_by(&key, &self.issuer).map_err(|error| failed(&error))?;
        let owner = if matches!(kind, Kind::Server(_)) { daemon_user() } else { None };
        write_pair(folder, file_name, &certificate.pem(), &key.serialize_pem(), owner)
    }
}

fn new_key() -> Result<KeyPair> {
    KeyPair::generate().map_err(|error| failed(&error))
}

fn failed(error: &dyn std::fmt::Display) -> CliError {
    CliError::new(ErrorKind::Failed, text!("the certificate cannot be made: {error}"; "无法生成证书: {error}"))
}

fn dated(mut params: CertificateParams, days: u32) -> CertificateParams {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + (now + Duration::from_secs(u64::from(days) * DAY_SECONDS));
    params
}

/// The daemon reads its key as its own user; where it is not installed, the key is ours.
fn daemon_user() -> Option<(u32, u32)> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let user = nix::unistd::User::from_name(DAEMON_USER).ok().flatten()?;
    Some((user.uid.as_raw(), user.gid.as_raw()))
}

/// Makes a folder, parents too, if it is not there.
pub(super) fn make_folder(folder: &Path, mode: u32) -> Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(folder).map_err(|error| cannot_write(folder, &error))
}

/// Refuses where one of these is there.
pub(super) fn must_be_absent(folder: &Path, names: &[&str]) -> Result<()> {
    match names.iter().map(|name| folder.join(name)).find(|path| path.symlink_metadata().is_ok()) {
        None => Ok(()),
        Some(path) => {
            let path = path.display();
            Err(CliError::new(ErrorKind::Failed, text!("{path} is there already"; "{path} 已存在"))
                .hint(text!("--force replaces it; a new certificate with the same authority: hvctl tls renew";
                            "--force 将覆盖它; 若只需用现有机构更新证书: hvctl tls renew")))
        }
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> CliError {
    let path = path.display();
    CliError::new(ErrorKind::Failed, text!("{path} cannot be written: {error}"; "无法写入 {path}: {error}"))
        .hint(text!("run it as root, or choose a folder with --directory"; "请以 root 运行, 或用 --directory 指定目录"))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        let path = path.display();
        CliError::new(ErrorKind::Failed, text!("{path} cannot be read: {error}"; "无法读取 {path}: {error}"))
            .hint(text!("the authority is made by hvctl tls init; another folder: --directory"; "签发机构由 hvctl tls init 生成; 其他目录: --directory"))
    })
}

fn write_pair(folder: &Path, name: &str, certificate: &str, key: &str, owner: Option<(u32, u32)>) -> Result<()> {
    let place = |extension: &str| folder.join(format!("{name}.{extension}"));
    let drafts = [(place("key"), key, 0o600), (place("crt"), certificate, 0o644)].map(|(path, text, mode)| {
        let draft = draft_of(&path);
        write(&draft, text, mode, owner).map(|()| (draft, path))
    });
    for prepared in drafts {
        let (draft, path) = prepared?;
        std::fs::rename(draft, &path).map_err(|error| cannot_write(&path, &error))?;
    }
    Ok(())
}

fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn write(path: &Path, text: &str, mode: u32, owner: Option<(u32, u32)>) -> Result<()> {
    let work = || -> std::io::Result<()> {
        let _left_by_a_crash = std::fs::remove_file(path);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        // Whatever the umask: a certificate is for everybody.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        if let Some((user, group)) = owner {
            std::os::unix::fs::fchown(&file, Some(user), Some(group))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    work().map_err(|error| cannot_write(path, &error))
}
