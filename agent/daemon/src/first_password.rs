//! The first account: `admin`, made when there is none. No default password exists.

use crate::compose::reason;
use crate::config::Auth;
use hvnode_api::accounts::{Accounts, FIRST_ACCOUNT_NAME};
use hvnode_core::model::Role;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Name of the systemd credential.
const CREDENTIAL: &str = "hvnode-admin-password";
/// File in the state folder that a password made here is written to.
const FILE_NAME: &str = "initial-password";

/// Makes the account `admin` if there is no account at all. The password comes from the systemd credential, the configured file, or is
/// made here and written to a file that only the daemon's user can read.
pub(crate) async fn ensure_first_account(accounts: &Accounts, auth: &Auth, state_dir: &Path) -> Result<(), String> {
    if !accounts.list().is_empty() {
        return Ok(());
    }
    let (auth, file) = (auth.clone(), state_dir.join(FILE_NAME));
    let found = tokio::task::spawn_blocking(move || given_password(&auth).unwrap_or_else(|| make_password(&file)))
        .await
        .map_err(|error| format!("the first password: {error}"))?;
    let (password, place) = found?;
    let checked = accounts.check_password("password", FIRST_ACCOUNT_NAME, &password);
    checked.map_err(|error| format!("the first password: {}: {}", place.display(), reason(&error)))?;
    accounts.create_account(FIRST_ACCOUNT_NAME, Role::Admin, &password).await.map_err(|error| reason(&error))?;
    tracing::info!(account = FIRST_ACCOUNT_NAME, password_is_in = %place.display(), "first start: made an account");
    Ok(())
}

/// A password from outside, if one is meant to be used.
fn given_password(auth: &Auth) -> Option<Result<(String, PathBuf), String>> {
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join(CREDENTIAL));
    let path = credential.filter(|path| path.exists()).or_else(|| {
        let configured = &auth.admin_password_file;
        (!configured.as_os_str().is_empty()).then(|| configured.clone())
    })?;
    Some(read_password(&path).map(|password| (password, path)))
}

fn read_password(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("the first password: {shown} cannot be read: {error}"))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    match password.chars().count() {
        0 => Err(format!("the first password: {shown} is empty")),
        1..=1024 => Ok(password.to_owned()),
        length => Err(format!("the first password: {shown} has {length} characters, 1024 are allowed")),
    }
}

/// The file comes first: a crash in between leaves a password without an account, which the next start replaces.
fn make_password(path: &Path) -> Result<(String, PathBuf), String> {
    let password = Accounts::random_password();
    let write = || -> std::io::Result<()> {
        let new = path.with_extension("new");
        let _left_by_a_crash = std::fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        writeln!(file, "{password}")?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(|error| format!("the first password: {} cannot be written: {error}", path.display()))?;
    Ok((password, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hvnode_api::accounts::AccountsConfig;
    use hvnode_core::fake::{FakeStore, Faults, ManualClock};
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    fn no_accounts() -> Arc<Accounts> {
        let (store, clock) = (FakeStore::new(Faults::new()), Arc::new(ManualClock::default()));
        Accounts::start(store, Vec::new(), Vec::new(), AccountsConfig::default(), clock).unwrap()
    }

    #[tokio::test]
    async fn a_first_start_makes_a_password_that_only_the_daemon_can_read() {
        let (accounts, folder) = (no_accounts(), tempfile::tempdir().unwrap());
        ensure_first_account(&accounts, &Auth::default(), folder.path()).await.unwrap();
        let path = folder.path().join(FILE_NAME);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.trim().len() >= 24);
        accounts.log_in("native", "unix", "admin", text.trim()).await.unwrap();
        ensure_first_account(&accounts, &Auth::default(), folder.path()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "a second start makes nothing");
    }

    #[tokio::test]
    async fn a_configured_password_is_used_and_not_written_anywhere() {
        let (accounts, folder) = (no_accounts(), tempfile::tempdir().unwrap());
        let given = folder.path().join("given");
        std::fs::write(&given, "own secret\n").unwrap();
        let auth = Auth { admin_password_file: given, ..Auth::default() };
        ensure_first_account(&accounts, &auth, folder.path()).await.unwrap();
        accounts.log_in("native", "unix", "admin", "own secret").await.unwrap();
        assert!(!folder.path().join(FILE_NAME).exists());
    }

    #[tokio::test]
    async fn a_configured_password_that_cannot_be_used_stops_the_start() {
        let (accounts, folder) = (no_accounts(), tempfile::tempdir().unwrap());
        let given = folder.path().join("given");
        let auth = Auth { admin_password_file: given.clone(), ..Auth::default() };
        assert!(ensure_first_account(&accounts, &auth, folder.path()).await.unwrap_err().contains("cannot be read"));
        std::fs::write(&given, "\n").unwrap();
        assert!(ensure_first_account(&accounts, &auth, folder.path()).await.unwrap_err().contains("is empty"));
        assert!(accounts.list().is_empty());
    }
}
