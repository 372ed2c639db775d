//! From SQLite's errors to `StoreFailed` with a cause that an operator can act on.

use hvnode_core::error::Detail;
use hvnode_core::{AgentError, fail};
use rusqlite::ErrorCode;

/// What went wrong, in words that say what to do about it.
pub(crate) fn failed(error: rusqlite::Error) -> AgentError {
    let detail = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Detail::both("the disk is full", "磁盘已满"),
        Some(ErrorCode::ReadOnly) => Detail::both("the database is read-only", "数据库只读"),
        Some(ErrorCode::DatabaseCorrupt) => Detail::both("the database is damaged, restore a backup", "数据库已损坏, 请恢复备份"),
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

/// A document that does not decode: damaged, or written by a program that is not ours.
pub(crate) fn undecodable(table: &str, key: &str, error: serde_json::Error) -> AgentError {
    fail!(StoreFailed, "row {key} of table {table} cannot be read"; "表 {table} 的行 {key} 无法读取").caused_by(error)
}
