//! Opening a database file: whose it is, which version its tables have, how connections are set up.

use crate::backup;
use crate::error::failed;
use hvnode_core::{Result, at, fail};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

/// What makes a file one of ours.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Marks the file.
    pub(crate) application_id: i32,
    /// Entry N leads from schema version N to N + 1. Entries are never changed, only added.
    pub(crate) migrations: &'static [&'static str],
    /// Whether free pages can be given back to the file system; counts when the file is made.
    pub(crate) can_shrink: bool,
}

/// The node's state, `hvnd`.
pub(crate) const STATE: Layout = Layout {
    application_id: 0x6876_6e64,
    migrations: &[include_str!("schema_1.sql"), include_str!("schema_2.sql"), include_str!("schema_3.sql")],
    can_shrink: false,
};

/// What a file is.
#[derive(Debug)]
pub(crate) enum Identity {
    /// Ours, with this schema version; 0 for an empty file.
    Version(usize),
    /// Ours, of a program that is newer than this one.
    Newer(i32),
    /// A database of another program.
    Foreign,
}

/// How long SQLite waits for a lock of a reader that recovers the log, before it reports "busy".
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages that a connection keeps for itself, KiB. The kernel keeps them too, so more than what most commits touch again is only memory:
/// SQLite's own limit of 2000 is reached by each of the five connections within a few thousand changes.
const CACHE_KIB: i32 = 512;

/// Prepared statements kept per connection.
const STATEMENTS_MAX: usize = 64;

/// Takes the lock that keeps a second daemon away from this database; dropping the file gives it back.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let shown = path.display();
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&lock_path)
        .map_err(|error| fail!(StoreFailed, "the lock file of {shown} cannot be made"; "无法创建 {shown} 的锁文件").caused_by(error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(error) => Err(fail!(StoreFailed, "{shown} is in use by another hvnoded"; "{shown} 正被另一个hvnoded使用").caused_by(error)),
    }
}

/// Opens the database for writing; makes or upgrades it where needed, an upgrade only after a copy was made. Refuses what is not ours and what a newer version wrote.
pub(crate) fn open_writer(path: &Path, layout: &Layout) -> Result<Connection> {
    let connection = connect_writer(path)?;
    let shown = path.display();
    match identify(&connection, layout)? {
        Identity::Version(version) => {
            // An empty file has nothing to lose.
            if (1..layout.migrations.len()).contains(&version) {
                backup::before_upgrade(&connection, path, version)?;
            }
            prepare(connection, version, layout)
        }
        Identity::Newer(version) => {
            let known = layout.migrations.len();
            Err(fail!(
                StoreFailed,
                "{shown} has schema version {version}, this hvnoded knows up to {known}: install the newer hvnoded again, or put the copy that it made before its upgrade ({shown}.backup-v{known} or older) in the place of {shown}";
                "{shown} 的结构版本为 {version}, 此hvnoded最高支持 {known}: 请重新安装新版hvnoded, 或用其升级前的备份 ({shown}.backup-v{known} 或更早) 替换 {shown}"
            ))
        }
        Identity::Foreign => Err(fail!(StoreFailed, "{shown} is a database of another program"; "{shown} 是其他程序的数据库")),
    }
}

/// Makes the file where there is none and connects to it; changes nothing in it.
pub(crate) fn connect_writer(path: &Path) -> Result<Connection> {
    create_private(path)?;
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .and_then(set_up)
        .map_err(failed)
        .map_err(at!())
}

/// Brings a file of ours to the newest version.
pub(crate) fn prepare(mut connection: Connection, version: usize, layout: &Layout) -> Result<Connection> {
    // The writer says when the log is moved into the database: never by chance, while closing one that turned out to be damaged.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    if layout.can_shrink && version == 0 {
        // Before anything else: the first page says it.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(failed)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20).map_err(failed)?;
    migrate(&mut connection, version, layout)?;
    Ok(connection)
}

/// Opens it for reading only.
pub(crate) fn open_reader(path: &Path) -> Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .and_then(set_up)
        .map_err(failed)
        .map_err(at!())
}

fn set_up(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// Makes the file before SQLite does, so that it is never readable by others: it holds password hashes.
fn create_private(path: &Path) -> Result<()> {
    let shown = path.display();
    let refused = |error| fail!(StoreFailed, "{shown} cannot be opened"; "无法打开 {shown}").caused_by(error);
    match OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path) {
        Ok(file) => {
            let mode = file.metadata().map_err(refused)?.permissions().mode();
            if mode & 0o077 != 0 {
                file.set_permissions(Permissions::from_mode(0o600)).map_err(refused)?;
            }
            Ok(())
        }
        // SQLite opens it read-only then: readers are served, commits fail.
        Err(_) if path.exists() => Ok(()),
        Err(error) => Err(refused(error)),
    }
}

/// Looks whose file it is.
pub(crate) fn identify(connection: &Connection, layout: &Layout) -> Result<Identity> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(failed);
    let (application_id, version) = (pragma("application_id")?, pragma("user_version")?);
    if application_id != layout.application_id {
        let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)).map_err(failed)?;
        if application_id != 0 || version != 0 || tables != 0 {
            return Ok(Identity::Foreign);
        }
    }
    match usize::try_from(version) {
        Ok(version) if version <= layout.migrations.len() => Ok(Identity::Version(version)),
        _ => Ok(Identity::Newer(version)),
    }
}

/// Each step is one transaction: a crash leaves the version before or the version after it.
fn migrate(connection: &mut Connection, version: usize, layout: &Layout) -> Result<()> {
    for (index, sql) in layout.migrations.iter().enumerate().skip(version) {
        let step = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "application_id", layout.application_id)?;
            transaction.pragma_update(None, "user_version", i32::try_from(index + 1).unwrap_or(i32::MAX))?;
            transaction.commit()
        };
        step(connection).map_err(failed).map_err(at!())?;
        tracing::info!(schema_version = index + 1, "Database schema is at a new version");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_that_fails_leaves_the_version_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        let layout = |migrations| Layout { migrations, ..STATE };
        let steps = layout(&["CREATE TABLE a (x) ", "CREATE TABLE b (x); CREATE TABLE a (x)"]);
        assert!(migrate(&mut connection, 0, &steps).is_err());
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        let tables: i32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!((version, tables), (1, 1));
        migrate(&mut connection, 1, &layout(&["", "CREATE TABLE c (x)"])).unwrap();
    }
}
