//! The state folder: made where it is missing, used by one daemon at a time. And the pid file.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Makes a folder with mode 0750, parents too. An existing one is left as it is.
pub(crate) fn ensure_folder(path: &Path, key: &str) -> Result<(), String> {
    let made = DirBuilder::new().recursive(true).mode(0o750).create(path);
    made.map_err(|error| format!("{key}: the folder {} cannot be made: {error}", path.display()))
}

/// Held while the daemon runs; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct StateLock {
    _file: File,
}

/// Makes sure no other daemon uses this state folder.
pub(crate) fn lock(state_dir: &Path) -> Result<StateLock, String> {
    let path = state_dir.join("lock");
    let shown = path.display();
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o640).open(&path);
    let mut file = opened.map_err(|error| {
        format!("node.state_dir: {shown} cannot be written: {error}; run the daemon as the owner of the folder, or choose another one")
    })?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _only_for_the_message = file.read_to_string(&mut owner);
            let owner = owner.trim();
            let owner = if owner.is_empty() { "another process".to_owned() } else { format!("process {owner}") };
            return Err(format!("node.state_dir: {} is in use by {owner}: stop it, or choose another folder", state_dir.display()));
        }
        Err(TryLockError::Error(error)) => return Err(format!("node.state_dir: {shown} cannot be locked: {error}")),
    }
    let write_own = |file: &mut File| -> std::io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write_own(&mut file).map_err(|error| format!("node.state_dir: {shown} cannot be written: {error}"))?;
    Ok(StateLock { _file: file })
}

/// Removed when the daemon ends.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

/// Writes the process id.
pub(crate) fn write_pid(path: &Path) -> Result<PidFile, String> {
    let written = std::fs::write(path, format!("{}\n", std::process::id()));
    written.map_err(|error| format!("--pid-file: {} cannot be written: {error}", path.display()))?;
    Ok(PidFile(path.to_owned()))
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_told_who_uses_the_folder_and_may_have_it_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let refusal = lock(folder.path()).unwrap_err();
        assert!(refusal.contains(&format!("in use by process {}", std::process::id())), "{refusal}");
        drop(first);
        lock(folder.path()).unwrap();
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("a/b");
        assert!(lock(&missing).unwrap_err().starts_with("node.state_dir: "));
        ensure_folder(&missing, "node.state_dir").unwrap();
        lock(&missing).unwrap();
    }

    #[test]
    fn the_pid_file_goes_with_the_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let held = write_pid(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().trim(), std::process::id().to_string());
        drop(held);
        assert!(!path.exists());
    }
}
