//! Who we are to a node: the token of an earlier log-in, kept per address in a file only its owner can read.

use super::Endpoint;
use crate::error::{CliError, Kind, Result};
use crate::profile::Profile;
use crate::text;
use crate::units::now_seconds;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What a log-in needs. Never shown, not even by `{:?}`.
pub(crate) struct Credentials {
    /// Account.
    pub(crate) user_name: String,
    /// Its password.
    pub(crate) password: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredToken {
    token: String,
    user_name: String,
    #[serde(default)]
    expire_time: i64,
}

#[derive(Default, Serialize, Deserialize)]
struct TokenFile {
    #[serde(default)]
    tokens: BTreeMap<String, StoredToken>,
}

/// The log-in at one address.
pub(crate) struct Session {
    key: String,
    path: Option<PathBuf>,
    current: Option<StoredToken>,
    credentials: Option<Credentials>,
}

impl Session {
    /// The stored token for `endpoint`, if there is one that has not expired, and the environment's credentials for when there is none.
    /// Each profile has a token of its own, so that two may be two users of one node; it is not sent to another address.
    pub(crate) fn open(endpoint: &Endpoint, profile: Option<&Profile>, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let address = endpoint.identity();
        let key = profile.map_or_else(|| address.clone(), |profile| format!("{} {address}", profile.name));
        let path = token_path(&set);
        if let Some(token) = set("HVNODE_TOKEN") {
            // a token for programs: used as it is, and never written anywhere
            let current = Some(StoredToken { token, user_name: String::new(), expire_time: 0 });
            return Self { key, path: None, current, credentials: None };
        }
        let user = set("HVNODE_USER").or_else(|| profile.and_then(|profile| profile.user.clone()));
        let current = path
            .as_deref()
            .and_then(|path| read(path).tokens.remove(&key))
            .filter(|stored| stored.expire_time == 0 || stored.expire_time > now_seconds())
            .filter(|stored| user.as_ref().is_none_or(|user| *user == stored.user_name));
        let credentials = match (user, set("HVNODE_PASSWORD")) {
            (Some(user_name), Some(password)) => Some(Credentials { user_name, password }),
            _ => None,
        };
        Self { key, path, current, credentials }
    }

    /// Sends this token instead of a stored one, and never logs in on the fly: somebody gave it on purpose.
    pub(crate) fn use_token(&mut self, token: String) {
        self.current = Some(StoredToken { token, user_name: String::new(), expire_time: 0 });
        self.credentials = None;
    }

    /// The token to send.
    pub(crate) fn token(&self) -> Option<&str> {
        self.current.as_ref().map(|stored| stored.token.as_str())
    }

    /// Whose token was kept; none where there is none, or it was not got by a log-in.
    pub(crate) fn user_name(&self) -> Option<&str> {
        self.current.as_ref().map(|stored| stored.user_name.as_str()).filter(|name| !name.is_empty())
    }

    /// The environment's credentials, once.
    pub(crate) fn take_credentials(&mut self) -> Option<Credentials> {
        self.credentials.take()
    }

    /// Puts back what [`take_credentials`](Self::take_credentials) gave and nobody used.
    pub(crate) fn give_back(&mut self, credentials: Option<Credentials>) {
        self.credentials = credentials;
    }

    /// Sends no token until the next log-in.
    pub(crate) fn forget_token(&mut self) {
        self.current = None;
    }

    /// Takes the token from a log-in's answer.
    pub(crate) fn accept(&mut self, data: &Value, user_name: &str) -> Result<()> {
        let token = data["token"].as_str().filter(|token| !token.is_empty()).ok_or_else(|| {
            CliError::new(Kind::Failed, text!("the node's answer to the log-in holds no token"; "节点的登录应答中没有令牌"))
        })?;
        let expire_time = data["expire_time"].as_i64().unwrap_or(0);
        self.current = Some(StoredToken { token: token.to_owned(), user_name: user_name.to_owned(), expire_time });
        Ok(())
    }

    /// Writes the current token, or its absence, to the file.
    ///
    /// # Errors
    /// The file cannot be written; its path stands in the message.
    pub(crate) fn store(&self) -> Result<()> {
        let Some(path) = self.path.as_deref() else {
            return Err(CliError::new(Kind::Failed, text!("no place to keep the token"; "没有保存令牌的位置"))
                .hint(text!("set HOME or XDG_STATE_HOME"; "请设置 HOME 或 XDG_STATE_HOME")));
        };
        let mut file = read(path);
        let now = now_seconds();
        file.tokens.retain(|_, stored| stored.expire_time == 0 || stored.expire_time > now);
        match &self.current {
            Some(stored) => file.tokens.insert(self.key.clone(), stored.clone()),
            None => file.tokens.remove(&self.key),
        };
        write(path, &file).map_err(|error| {
            let path = path.display();
            CliError::new(Kind::Failed, text!("cannot keep the token in {path}: {error}"; "无法将令牌保存到 {path}: {error}"))
        })
    }
}

/// `$XDG_STATE_HOME/hvnode/token.json`, else below `~/.local/state`.
fn token_path(set: &impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let state = set("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".local/state")))?;
    Some(state.join("hvnode/token.json"))
}

/// What the file holds; a missing or damaged file holds nothing, and the next log-in writes it anew.
fn read(path: &Path) -> TokenFile {
    fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Replaces the file as a whole, so that no reader and no crash sees half of it.
fn write(path: &Path, file: &TokenFile) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let draft = folder.join(format!(".token.{}", std::process::id()));
    let outcome = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft).and_then(|mut out| {
        out.write_all(&serde_json::to_vec_pretty(file)?)?;
        out.sync_all()?;
        fs::rename(&draft, path)
    });
    if outcome.is_err() {
        let _ = fs::remove_file(&draft);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt;

    fn session(folder: &Path, url: &str, extra: &[(&str, &str)]) -> Session {
        session_of(folder, url, None, extra)
    }

    fn session_of(folder: &Path, url: &str, profile: Option<&Profile>, extra: &[(&str, &str)]) -> Session {
        let home = folder.to_str().unwrap().to_owned();
        let extra: Vec<(String, String)> = extra.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Session::open(&Endpoint::parse(url).unwrap(), profile, |name| match name {
            "XDG_STATE_HOME" => Some(home.clone()),
            _ => extra.iter().find(|pair| pair.0 == name).map(|pair| pair.1.clone()),
        })
    }

    #[test]
    fn a_token_is_kept_per_address_and_readable_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = session(folder.path(), "http://a:1", &[]);
        first.accept(&json!({"token": "t1", "expire_time": now_seconds() + 60}), "admin").unwrap();
        first.store().unwrap();
        let mode = fs::metadata(folder.path().join("hvnode/token.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(session(folder.path(), "http://a:1", &[]).token(), Some("t1"));
        assert_eq!(session(folder.path(), "http://b:1", &[]).token(), None);
        first.forget_token();
        first.store().unwrap();
        assert_eq!(session(folder.path(), "http://a:1", &[]).token(), None);
    }

    #[test]
    fn a_token_that_expired_or_is_another_users_is_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = session(folder.path(), "http://a:1", &[]);
        one.accept(&json!({"token": "t1", "expire_time": now_seconds() + 60}), "admin").unwrap();
        one.store().unwrap();
        assert_eq!(session(folder.path(), "http://a:1", &[("HVNODE_USER", "bob")]).token(), None);
        assert_eq!(session(folder.path(), "http://a:1", &[("HVNODE_USER", "admin")]).token(), Some("t1"));
        one.accept(&json!({"token": "t2", "expire_time": now_seconds() - 1}), "admin").unwrap();
        one.store().unwrap();
        assert_eq!(session(folder.path(), "http://a:1", &[]).token(), None);
    }

    #[test]
    fn a_token_of_the_environment_goes_before_all_and_is_kept_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let mut own = session(folder.path(), "http://a:1", &[("HVNODE_TOKEN", "hvn_x"), ("HVNODE_USER", "a"), ("HVNODE_PASSWORD", "b")]);
        assert_eq!(own.token(), Some("hvn_x"));
        assert!(own.take_credentials().is_none() && own.store().is_err());
        assert!(!folder.path().join("hvnode").exists());
    }

    #[test]
    fn a_profiles_token_is_its_own_and_stays_with_its_address_and_user() {
        let folder = tempfile::tempdir().unwrap();
        let profile = |name: &str| Profile { name: name.into(), user: Some("admin".into()), ..Profile::default() };
        let (a, b) = (profile("a"), profile("b"));
        let mut one = session_of(folder.path(), "http://n:1", Some(&a), &[]);
        one.accept(&json!({"token": "t1"}), "admin").unwrap();
        one.store().unwrap();
        assert_eq!(session_of(folder.path(), "http://n:1", Some(&a), &[]).token(), Some("t1"));
        assert_eq!(session_of(folder.path(), "http://n:1", Some(&b), &[]).token(), None);
        assert_eq!(session_of(folder.path(), "http://elsewhere:1", Some(&a), &[]).token(), None);
        let other = Profile { user: Some("reader".into()), ..a };
        assert_eq!(session_of(folder.path(), "http://n:1", Some(&other), &[]).token(), None);
    }

    #[test]
    fn a_damaged_file_counts_as_empty() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("hvnode")).unwrap();
        fs::write(folder.path().join("hvnode/token.json"), b"{ nonsense").unwrap();
        let mut one = session(folder.path(), "http://a:1", &[]);
        assert_eq!(one.token(), None);
        one.accept(&json!({"token": "t"}), "admin").unwrap();
        one.store().unwrap();
        assert_eq!(session(folder.path(), "http://a:1", &[]).token(), Some("t"));
    }
}
