//! From SQLite's errors to `StoreFailed` with a cause that an operator can act on.

use hvnode_core::error::Detail;
use hvnode_core::{AgentError, Result, fail};
use rusqlite::ErrorCode;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Remembers that the file was found damaged. From then on nothing is written to it: what is left must not get worse, and what was
/// written on top of it could not be trusted.
#[derive(Debug, Clone)]
pub(crate) struct DamageGuard(Arc<Guarded>);

#[derive(Debug)]
struct Guarded {
    path: PathBuf,
    is_damaged: AtomicBool,
}

/// What a guard, where there is one, makes of an error.
pub(crate) fn examined(guard: Option<&DamageGuard>, error: AgentError) -> AgentError {
    match guard {
        Some(guard) => guard.examine(error),
        None => error,
    }
}

impl DamageGuard {
    pub(crate) fn new(path: &Path) -> Self {
        Self(Arc::new(Guarded { path: path.to_owned(), is_damaged: AtomicBool::new(false) }))
    }

    /// Refuses once damage was found.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_damaged() { Err(self.refusal("is damaged", "已损坏")) } else { Ok(()) }
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.0.is_damaged.load(Ordering::Relaxed)
    }

    /// Looks whether the error means damage, and then says which file and what to do.
    pub(crate) fn examine(&self, error: AgentError) -> AgentError {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<rusqlite::Error>());
        match cause.and_then(|cause| cause.sqlite_error_code().zip(Some(cause.to_string()))) {
            Some((ErrorCode::DatabaseCorrupt, cause)) => self.found(&cause),
            Some((ErrorCode::NotADatabase, cause)) => {
                self.note("is no database or has lost its beginning", "不是数据库或文件头已损坏", &cause)
            }
            _ => error,
        }
    }

    /// Damage was found; `cause` in SQLite's words.
    pub(crate) fn found(&self, cause: &str) -> AgentError {
        self.note("is damaged", "已损坏", cause)
    }

    fn note(&self, what: &str, what_cn: &str, cause: &str) -> AgentError {
        if !self.0.is_damaged.swap(true, Ordering::Relaxed) {
            tracing::error!(path = %self.0.path.display(), cause, "The database is damaged; nothing more is written to it");
        }
        self.refusal(what, what_cn).caused_by(std::io::Error::other(cause.to_owned()))
    }

    fn refusal(&self, what: &str, what_cn: &str) -> AgentError {
        let path = self.0.path.display();
        fail!(
            StoreFailed,
            "{path} {what} and is not written to: stop hvnoded, then restore a backup, or move the file and its -wal aside and the next start takes the VMs over from libvirt";
            "{path} {what_cn}, 不再写入: 请停止hvnoded, 恢复备份, 或将该文件及其 -wal 移走, 下次启动将从libvirt重新接管虚拟机"
        )
    }
}

/// What went wrong, in words that say what to do about it.
pub(crate) fn failed(error: rusqlite::Error) -> AgentError {
    let detail = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Detail::both("the disk is full", "磁盘已满"),
        Some(ErrorCode::ReadOnly) => Detail::both("the database is read-only", "数据库只读"),
        // Before it reaches anybody, DamageGuard says which file and what to do.
        Some(ErrorCode::DatabaseCorrupt) => Detail::both("the database is damaged", "数据库已损坏"),
        Some(ErrorCode::NotADatabase) => Detail::both("the file is no database", "文件不是数据库"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Detail::both("the database is locked by another program", "数据库被其他程序锁定")
        }
        Some(ErrorCode::SystemIoFailure) => Detail::both("the disk reports an error", "磁盘报告错误"),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            Detail::both("the database cannot be opened, check path and permissions", "无法打开数据库, 请检查路径和权限")
        }
        _ => Detail::both("SQLite refused", "SQLite拒绝执行"),
    };
    fail!(StoreFailed, detail).caused_by(error)
}

/// Whether the file itself is what is wrong.
pub(crate) fn is_damage(error: &AgentError) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<rusqlite::Error>());
    let code = cause.and_then(rusqlite::Error::sqlite_error_code);
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// A document that does not decode: damaged, or written by a program that is not ours.
pub(crate) fn undecodable(table: &str, key: &str, error: serde_json::Error) -> AgentError {
    fail!(StoreFailed, "row {key} of table {table} cannot be read"; "表 {table} 的行 {key} 无法读取").caused_by(error)
}
