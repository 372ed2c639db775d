//! The file of the history: opening it, and setting aside one that is of no use.

use super::LAYOUT;
use crate::error::is_damage;
use crate::reader::Readers;
use crate::schema::{self, Identity};
use crate::writer::Writer;
use hvnode_core::model::Timestamp;
use hvnode_core::{Result, at, fail};
use rusqlite::Connection;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What an old file is called: the name, this, and the second.
const DAMAGED: &str = ".damaged-";

/// An open file.
#[derive(Debug)]
pub(super) struct Open {
    /// Tells this one from a later one.
    pub(super) since: Instant,
    // Before the writer: its connections are gone when the writer moves the log into the database.
    pub(super) readers: Readers,
    pub(super) writer: Writer,
}

/// Opens it. One that is damaged, newer than this program or not ours is set aside for a new one.
pub(super) fn open(path: &Path) -> Result<Open> {
    let connection = match open_writer(path) {
        Ok(Ok(connection)) => connection,
        Ok(Err(reason)) => replace(path, &reason)?,
        Err(error) if is_damage(&error) => replace(path, &error.chain())?,
        Err(error) => return Err(error),
    };
    let writer = Writer::start("history-write", connection, None, None)?;
    Ok(Open { since: Instant::now(), readers: Readers::start("history-read", path, None)?, writer })
}

/// The inner error says in words why the file is not for us.
fn open_writer(path: &Path) -> Result<std::result::Result<Connection, String>> {
    let connection = schema::connect_writer(path)?;
    match schema::identify(&connection, &LAYOUT)? {
        Identity::Version(version) => schema::prepare(connection, version, &LAYOUT).map(Ok),
        Identity::Newer(version) => Ok(Err(format!("schema version {version} is of a newer hvnoded"))),
        Identity::Foreign => Ok(Err("it is a database of another program".to_owned())),
    }
}

fn replace(path: &Path, reason: &str) -> Result<Connection> {
    set_aside(path, reason)?;
    schema::open_writer(path, &LAYOUT).map_err(at!())
}

/// Gives the file another name, that of its log too. What was set aside before is removed. Nobody may have the file open.
pub(super) fn set_aside(path: &Path, reason: &str) -> Result<()> {
    let shown = path.display();
    let refused = |error| fail!(StoreFailed, "{shown} cannot be set aside"; "无法移开 {shown}").caused_by(error);
    for old in set_aside_before(path).map_err(refused)? {
        fs::remove_file(old).map_err(refused)?;
    }
    let target = beside(path, &format!("{DAMAGED}{}", Timestamp::now().seconds()));
    // The log goes first: without its database it is nothing, but the next database must not find it.
    let log = beside(path, "-wal");
    if log.exists() {
        fs::rename(log, beside(&target, "-wal")).map_err(refused)?;
    }
    match fs::remove_file(beside(path, "-shm")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(refused(error)),
        _ => {}
    }
    fs::rename(path, &target).map_err(refused)?;
    tracing::warn!(file = %target.display(), reason, "The history of usage cannot be used: the file is set aside, a new one begins");
    Ok(())
}

fn set_aside_before(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let start = beside(Path::new(path.file_name().unwrap_or(OsStr::new(""))), DAMAGED).into_os_string();
    let is_old = |name: &OsString| name.as_encoded_bytes().starts_with(start.as_encoded_bytes());
    let entries = fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    Ok(entries.into_iter().filter(|entry| is_old(&entry.file_name())).map(|entry| entry.path()).collect())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
