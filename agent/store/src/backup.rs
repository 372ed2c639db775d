//! Copies of a database, whole and durable: on request, and of every state file before its tables change.

use crate::error::failed;
use hvnode_core::{Result, at, fail};
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Copies made before an upgrade that are kept: a node can go back so many releases that changed the tables.
const UPGRADE_COPIES_MAX: usize = 3;

/// Between the name of the database and the version of the tables in the copy: `state.db.backup-v3`.
const UPGRADE_MARK: &str = ".backup-v";

/// Copies the database at `path`, whose tables have this version, to a file beside it before they change, then removes copies beyond the
/// newest few. An older copy of the same version is replaced: this one has all that happened since.
pub(crate) fn before_upgrade(source: &Connection, path: &Path, version: usize) -> Result<()> {
    let copy = upgrade_copy(path, version);
    copy_to(source, &copy).map_err(at!())?;
    tracing::info!(path = %copy.display(), schema_version = version, "The database was copied before its upgrade");
    forget_old(path);
    Ok(())
}

fn upgrade_copy(path: &Path, version: usize) -> PathBuf {
    with_suffix(path, &format!("{UPGRADE_MARK}{version}"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A copy that cannot be removed takes space and no more: it stops nothing.
fn forget_old(path: &Path) {
    let mut versions = upgrade_copies(path);
    versions.sort_unstable_by(|a, b| b.cmp(a));
    for version in versions.into_iter().skip(UPGRADE_COPIES_MAX) {
        let copy = upgrade_copy(path, version);
        match std::fs::remove_file(&copy) {
            Ok(()) => tracing::info!(path = %copy.display(), "An old copy of the database was removed"),
            Err(error) => tracing::warn!(path = %copy.display(), %error, "An old copy of the database cannot be removed"),
        }
    }
}

/// Versions of which there is a copy.
fn upgrade_copies(path: &Path) -> Vec<usize> {
    let mut start = path.file_name().unwrap_or_default().to_owned();
    start.push(UPGRADE_MARK);
    let version = |name: OsString| name.to_str()?.strip_prefix(start.to_str()?)?.parse().ok();
    let entries = std::fs::read_dir(folder_of(path)).into_iter().flatten().flatten();
    entries.filter_map(|entry| version(entry.file_name())).collect()
}

/// Writes a consistent copy (mode 0600), replacing what is there. Into a file beside it first: a half-made copy never carries the good name.
pub(crate) fn copy_to(source: &Connection, path: &Path) -> Result<()> {
    let partial = with_suffix(path, ".part");
    copy_whole(source, &partial, path).inspect_err(|_| {
        // What filled the disk must not go on filling it.
        let _was_not_made = std::fs::remove_file(&partial);
    })
}

fn copy_whole(source: &Connection, partial: &Path, path: &Path) -> Result<()> {
    let shown = path.display();
    let refused = |error| {
        let folder = folder_of(path).display().to_string();
        fail!(
            StoreFailed,
            "backup {shown} cannot be written: make room in {folder}, or make it writable";
            "无法写入备份 {shown}: 请确保 {folder} 可写且空间充足"
        )
        .caused_by(error)
    };
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(partial).map_err(refused)?;
    let mut target = Connection::open(partial).map_err(failed)?;
    let step = Backup::new(source, &mut target).and_then(|backup| backup.step(-1)).map_err(failed)?;
    if step != StepResult::Done {
        return Err(fail!(StoreFailed, "the database was busy, try the backup again"; "数据库忙, 请重试备份"));
    }
    target.close().map_err(|(_, error)| failed(error))?;
    file.sync_all().map_err(refused)?;
    std::fs::rename(partial, path).map_err(refused)?;
    File::open(folder_of(path)).and_then(|folder| folder.sync_all()).map_err(refused)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != OsStr::new("")).unwrap_or(Path::new("."))
}
