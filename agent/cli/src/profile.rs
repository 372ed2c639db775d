//! Which node: what the command line says, what the environment says, or a profile of `~/.config/hvctl/config.toml`.
//!
//! The file is edited in place, so that comments stay; it holds no secret, and only its owner can read it all the same.

use crate::client::{Client, Endpoint, Session, TlsFiles};
use crate::error::{CliError, Kind, Result};
use crate::text;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item, Table, value};

/// Longest configuration read.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Longest token read.
const TOKEN_BYTES_MAX: u64 = 4096;

/// A node as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// Its name; the key of its table.
    #[serde(skip)]
    pub(crate) name: String,
    /// Where it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// Its unix socket; instead of `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) socket: Option<PathBuf>,
    /// Account to log in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// File that holds a token; no log-in is needed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    /// File with the certificates of those who may vouch for the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// File with the certificate that takes the place of a log-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_certificate: Option<PathBuf>,
    /// File with the key of that certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_key: Option<PathBuf>,
}

impl Profile {
    /// Where the node listens.
    ///
    /// # Errors
    /// Usage, if it says neither or both, or no address.
    pub(crate) fn endpoint(&self) -> Result<Endpoint> {
        let name = &self.name;
        match (&self.url, &self.socket) {
            (Some(url), None) => Endpoint::parse(url),
            (None, Some(path)) if path.is_absolute() => Ok(Endpoint::Unix(path.clone())),
            (None, Some(path)) => {
                let path = path.display();
                Err(CliError::usage(
                    text!("profile {name}: socket '{path}' is no absolute path"; "配置 {name}: 套接字 '{path}' 不是绝对路径"),
                ))
            }
            _ => Err(CliError::usage(text!("profile {name} needs either url or socket"; "配置 {name} 需要 url 或 socket 其中之一"))),
        }
    }

    /// The token in its token file, if it has one.
    ///
    /// # Errors
    /// Usage, if the file cannot be read, is empty, or can be read by others.
    pub(crate) fn token(&self) -> Result<Option<String>> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let shown = path.display();
        let mut token = String::new();
        let file = fs::File::open(path).map_err(|error| unreadable(path, &error))?;
        let mode = file.metadata().map_err(|error| unreadable(path, &error))?.mode();
        if mode & 0o077 != 0 {
            return Err(CliError::usage(text!("{shown} holds a token and can be read by others"; "{shown} 含有令牌, 但可被其他用户读取"))
                .hint(text!("make it yours alone: chmod 600 {shown}"; "请执行: chmod 600 {shown}")));
        }
        file.take(TOKEN_BYTES_MAX).read_to_string(&mut token).map_err(|error| unreadable(path, &error))?;
        match token.trim() {
            "" => Err(CliError::usage(text!("{shown} holds no token"; "{shown} 中没有令牌"))),
            token => Ok(Some(token.to_owned())),
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    let path = path.display();
    CliError::usage(text!("cannot read {path}: {error}"; "无法读取 {path}: {error}"))
}

/// What the file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default: Option<String>,
    #[serde(default)]
    profile: BTreeMap<String, Profile>,
}

/// The profiles there are, and the file they stand in.
pub(crate) struct Profiles {
    path: Option<PathBuf>,
    text: String,
    file: File,
}

impl Profiles {
    /// Reads them; without a file that may be read there are none.
    ///
    /// # Errors
    /// Usage, if the file cannot be read or says what it should not; with its line.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let path = config_path(&variable);
        let mut text = String::new();
        if let Some(path) = &path {
            match fs::File::open(path) {
                Ok(file) => {
                    file.take(CONFIG_BYTES_MAX).read_to_string(&mut text).map_err(|error| unreadable(path, &error))?;
                }
                // The home of somebody else, as after sudo or su: what stands there is not meant for us.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {}
                Err(error) => return Err(unreadable(path, &error)),
            }
        }
        let shown = path.as_deref().unwrap_or(Path::new("config.toml")).display();
        let mut file: File = toml_edit::de::from_str(&text).map_err(|error| {
            let reason = error.to_string();
            let reason = reason.trim();
            CliError::usage(text!("{shown} is wrong: {reason}"; "{shown} 有误: {reason}"))
        })?;
        for (name, profile) in &mut file.profile {
            profile.name.clone_from(name);
            profile.endpoint()?;
        }
        Ok(Self { path, text, file })
    }

    /// Every profile, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Profile> {
        self.file.profile.values()
    }

    /// The name of the default one.
    pub(crate) fn default_name(&self) -> Option<&str> {
        self.file.default.as_deref()
    }

    /// The one of that name.
    ///
    /// # Errors
    /// Not found, with the names there are.
    pub(crate) fn find(&self, name: &str) -> Result<&Profile> {
        self.file.profile.get(name).ok_or_else(|| {
            let error = CliError::new(Kind::NotFound, text!("there is no profile '{name}'"; "没有名为 '{name}' 的配置"));
            let names = self.file.profile.keys().cloned().collect::<Vec<_>>().join(", ");
            error.hint(if names.is_empty() {
                text!("make one: hvctl profile add {name} --url URL"; "添加: hvctl profile add {name} --url URL")
            } else {
                text!("there are: {names}"; "已有: {names}")
            })
        })
    }

    /// Adds or replaces one.
    pub(crate) fn put(&self, profile: &Profile) -> Result<()> {
        self.edit(|document| {
            let mut table = Table::new();
            let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
            let pairs = [
                ("url", profile.url.clone()),
                ("socket", path(&profile.socket)),
                ("user", profile.user.clone()),
                ("token_file", path(&profile.token_file)),
                ("ca_file", path(&profile.ca_file)),
                ("client_certificate", path(&profile.client_certificate)),
                ("client_key", path(&profile.client_key)),
            ];
            for (key, text) in pairs {
                if let Some(text) = text {
                    table.insert(key, value(text));
                }
            }
            let profiles = document.entry("profile").or_insert_with(|| {
                let mut all = Table::new();
                all.set_implicit(true);
                Item::Table(all)
            });
            if let Some(all) = profiles.as_table_like_mut() {
                all.insert(&profile.name, Item::Table(table));
            }
        })
    }

    /// Makes one the default; `None`: there is none any more.
    pub(crate) fn set_default(&self, name: Option<&str>) -> Result<()> {
        self.edit(|document| match name {
            // in place, so that the comment above it stays
            Some(name) => match document.get_mut("default") {
                Some(item) => *item = value(name),
                None => {
                    document.insert("default", value(name));
                }
            },
            None => {
                document.remove("default");
            }
        })
    }

    /// Removes one.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        self.edit(|document| {
            if let Some(profiles) = document.get_mut("profile").and_then(Item::as_table_like_mut) {
                profiles.remove(name);
            }
            if document.get("default").and_then(Item::as_str) == Some(name) {
                document.remove("default");
            }
        })
    }

    fn edit(&self, change: impl FnOnce(&mut DocumentMut)) -> Result<()> {
        let Some(path) = &self.path else {
            return Err(CliError::new(Kind::Failed, text!("no place to keep profiles"; "没有保存配置的位置"))
                .hint(text!("set HOME or XDG_CONFIG_HOME"; "请设置 HOME 或 XDG_CONFIG_HOME")));
        };
        let mut document: DocumentMut = self.text.parse().unwrap_or_default();
        change(&mut document);
        write(path, &document.to_string()).map_err(|error| {
            let path = path.display();
            CliError::new(Kind::Failed, text!("cannot write {path}: {error}"; "无法写入 {path}: {error}"))
        })
    }
}

/// `$XDG_CONFIG_HOME/hvctl/config.toml`, else below `~/.config`.
fn config_path(variable: &impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute()).or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(folder.join("hvctl/config.toml"))
}

/// Replaces the file as a whole, so that no reader and no crash sees half of it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let draft = folder.join(format!(".config.{}", std::process::id()));
    let outcome = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft).and_then(|mut out| {
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&draft, path)
    });
    if outcome.is_err() {
        let _ = fs::remove_file(&draft);
    }
    outcome
}

/// What the command line said about the node.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// `--url`.
    pub(crate) url: Option<String>,
    /// `--profile`.
    pub(crate) profile: Option<String>,
    /// `--ca-file`.
    pub(crate) ca_file: Option<PathBuf>,
    /// `--client-certificate`.
    pub(crate) client_certificate: Option<PathBuf>,
    /// `--client-key`.
    pub(crate) client_key: Option<PathBuf>,
}

/// A client of the node that is wanted, and the profile that said which, if one did. Files and token: the command line goes before the
/// environment, and that before the profile.
///
/// # Errors
/// Those of [`choose`]; usage: a certificate without its key, a token file that is not ours alone.
pub(crate) fn open(wanted: &Wanted, variable: impl Fn(&str) -> Option<String>) -> Result<(Client, Option<Profile>)> {
    let (endpoint, profile) = choose(wanted, &variable, |path| path.exists())?;
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let of_profile = |name: &str| {
        let profile = profile.as_ref()?;
        let path = match name {
            "HVNODE_CA_FILE" => &profile.ca_file,
            "HVNODE_CLIENT_CERTIFICATE" => &profile.client_certificate,
            "HVNODE_CLIENT_KEY" => &profile.client_key,
            _ => &None,
        };
        path.as_ref().map(|path| path.to_string_lossy().into_owned())
    };
    let (ca, certificate, key) = (wanted.ca_file.clone(), wanted.client_certificate.clone(), wanted.client_key.clone());
    let endpoint = endpoint.with_files(TlsFiles::choose(ca, certificate, key, |name| set(name).or_else(|| of_profile(name)))?);
    let mut session = Session::open(&endpoint, profile.as_ref(), &variable);
    if set("HVNODE_TOKEN").is_none()
        && let Some(token) = profile.as_ref().map(Profile::token).transpose()?.flatten()
    {
        session.use_token(token);
    }
    Ok((Client::new(endpoint, session), profile))
}

/// Where the node listens, and the profile that said so, if one did. The first that is said counts: `--url`, `--profile`, `HVNODE_URL`,
/// `HVNODE_NATIVE_URL`, `HVNODE_SOCKET`, `HVNODE_PROFILE`, the default profile, the usual socket if it exists, loopback TCP.
///
/// # Errors
/// Usage: no address, both options, a wrong file; not found: no such profile.
pub(crate) fn choose(
    wanted: &Wanted,
    variable: impl Fn(&str) -> Option<String>,
    exists: impl Fn(&Path) -> bool,
) -> Result<(Endpoint, Option<Profile>)> {
    if wanted.url.is_some() && wanted.profile.is_some() {
        return Err(CliError::usage(text!("--url and --profile both say which node"; "--url 与 --profile 不能同时使用")));
    }
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let is_in_environment = ["HVNODE_URL", "HVNODE_NATIVE_URL", "HVNODE_SOCKET"].iter().any(|name| set(name).is_some());
    if wanted.profile.is_none() && (wanted.url.is_some() || is_in_environment) {
        return Ok((Endpoint::choose(wanted.url.as_deref(), variable, exists)?, None));
    }
    let profiles = Profiles::read(&variable)?;
    let named = wanted.profile.clone().or_else(|| set("HVNODE_PROFILE"));
    let name = named.as_deref().or_else(|| profiles.default_name());
    match name {
        Some(name) => {
            let profile = profiles.find(name)?.clone();
            Ok((profile.endpoint()?, Some(profile)))
        }
        None => Ok((Endpoint::choose(None, variable, exists)?, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn home(text: &str) -> (tempfile::TempDir, impl Fn(&str) -> Option<String> + Clone) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("hvctl")).unwrap();
        if !text.is_empty() {
            fs::write(folder.path().join("hvctl/config.toml"), text).unwrap();
        }
        let path = folder.path().to_str().unwrap().to_owned();
        (folder, move |name: &str| (name == "XDG_CONFIG_HOME").then(|| path.clone()))
    }

    fn wanted(url: Option<&str>, profile: Option<&str>) -> Wanted {
        Wanted { url: url.map(str::to_owned), profile: profile.map(str::to_owned), ..Wanted::default() }
    }

    const TWO: &str = "# mine\ndefault = \"a\"\n\n[profile.a]\nurl = \"http://a:1\" # the first\nuser = \"admin\"\n[profile.b]\nsocket = \"/run/b.sock\"\n";

    fn where_to(wanted: &Wanted, variable: &impl Fn(&str) -> Option<String>, more: &[(&str, &str)]) -> Result<String> {
        let variable = |name: &str| more.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned()).or_else(|| variable(name));
        choose(wanted, variable, |_| false).map(|(endpoint, _)| endpoint.to_string())
    }

    #[test]
    fn options_beat_the_environment_and_the_environment_beats_the_default_profile() {
        let (_folder, variable) = home(TWO);
        let say = |url, profile, more: &[(&str, &str)]| where_to(&wanted(url, profile), &variable, more).unwrap();
        let environment = [("HVNODE_URL", "http://e:1"), ("HVNODE_PROFILE", "b")];
        assert_eq!(say(None, None, &[]), "http://a:1");
        assert_eq!(say(None, None, &environment[1..]), "unix:/run/b.sock");
        assert_eq!(say(None, None, &environment), "http://e:1");
        assert_eq!(say(None, Some("b"), &environment), "unix:/run/b.sock");
        assert_eq!(say(Some("http://u:1"), None, &environment), "http://u:1");
        let both = wanted(Some("http://u:1"), Some("a"));
        assert_eq!(where_to(&both, &variable, &[]).unwrap_err().kind(), Kind::Usage);
        let unknown = where_to(&wanted(None, Some("c")), &variable, &[]).unwrap_err();
        assert_eq!(unknown.kind(), Kind::NotFound);
        assert!(unknown.describe(crate::text::Language::En, false).contains("a, b"));
    }

    #[test]
    fn without_a_file_everything_is_as_before() {
        let (_folder, variable) = home("");
        assert_eq!(where_to(&Wanted::default(), &variable, &[]).unwrap(), "http://127.0.0.1:7070");
    }

    #[test]
    fn what_is_wrong_in_the_file_is_told_with_its_line() {
        for (text, said) in [
            ("[profile.a]\nurl = \"http://a\"\ncolour = 1\n", "colour"),
            ("defualt = \"a\"\n", "defualt"),
            ("[profile.a]\nuser = \"x\"\n", "either url or socket"),
            ("[profile.a]\nsocket = \"x\"\n", "absolute"),
            ("[profile.a]\nurl = \"x\"\n", "no address"),
            ("nonsense", "line 1"),
        ] {
            let (_folder, variable) = home(text);
            let error = where_to(&Wanted::default(), &variable, &[]).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{text}");
            assert!(error.text().en.contains(said), "{text}: {}", error.text().en);
        }
    }

    #[test]
    fn changes_keep_comments_and_the_file_is_its_owners_alone() {
        let (folder, variable) = home(TWO);
        let profiles = Profiles::read(&variable).unwrap();
        let new = Profile { name: "c".into(), url: Some("http://c:1".into()), ..Profile::default() };
        profiles.put(&new).unwrap();
        Profiles::read(&variable).unwrap().set_default(Some("c")).unwrap();
        Profiles::read(&variable).unwrap().remove("b").unwrap();
        let path = folder.path().join("hvctl/config.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("# mine") && text.contains("# the first") && text.contains("default = \"c\""), "{text}");
        let profiles = Profiles::read(&variable).unwrap();
        assert_eq!(profiles.all().map(|profile| profile.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        profiles.remove("c").unwrap();
        assert_eq!(Profiles::read(&variable).unwrap().default_name(), None, "the default went with it");
    }

    #[test]
    fn a_token_file_must_be_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "t0ken\n").unwrap();
        let profile = Profile { name: "a".into(), token_file: Some(path.clone()), ..Profile::default() };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(profile.token().unwrap_err().describe(crate::text::Language::En, false).contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(profile.token().unwrap().as_deref(), Some("t0ken"));
    }
}
