//! From the port's writes to SQL statements with their values. Done by the caller, so that the writer thread only executes.

use hvnode_core::model::{DialectRecord, Event, EventKind, HostSettings, Job, Operation, TokenRecord};
use hvnode_core::port::Write;
use hvnode_core::{Result, fail};
use rusqlite::types::Value;
use serde::Serialize;
use std::borrow::Cow;
use uuid::Uuid;

/// One statement with its values.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) sql: &'static str,
    pub(crate) values: Vec<Value>,
}

/// Deepest nesting of a stored request. What comes back from the database must still be readable: the JSON reader stops at 128.
const REQUEST_DEPTH_MAX: usize = 64;

/// SQLite makes the row with the first event only.
const FIRST_SEQUENCE: &str =
    "INSERT INTO sqlite_sequence (name, seq) SELECT 'event', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'event')";

/// Up to the last one that is too old, so that what is left has no holes even where the clock jumped. Without the hint SQLite would walk
/// the whole table backwards.
const PRUNE_EVENTS: &str = "DELETE FROM event WHERE cursor <= (SELECT max(cursor) FROM event INDEXED BY event_by_time WHERE time < ?)";

/// The statements of one write.
pub(crate) fn statements(write: &Write) -> Result<Vec<Statement>> {
    let statement = match write {
        Write::PutVm(vm) => put("INSERT OR REPLACE INTO vm VALUES (?, ?)", vm.vm_uuid, &**vm)?,
        Write::DeleteVm(uuid) => delete("DELETE FROM vm WHERE vm_uuid = ?", *uuid),
        Write::PutVolume(volume) => put("INSERT OR REPLACE INTO volume VALUES (?, ?)", volume.volume_uuid, &**volume)?,
        Write::DeleteVolume(uuid) => delete("DELETE FROM volume WHERE volume_uuid = ?", *uuid),
        Write::PutImage(image) => put("INSERT OR REPLACE INTO image VALUES (?, ?)", image.image_uuid, &**image)?,
        Write::DeleteImage(uuid) => delete("DELETE FROM image WHERE image_uuid = ?", *uuid),
        Write::PutSpecification(shape) => put("INSERT OR REPLACE INTO specification VALUES (?, ?)", shape.specification_uuid, &**shape)?,
        Write::DeleteSpecification(uuid) => delete("DELETE FROM specification WHERE specification_uuid = ?", *uuid),
        Write::PutJob(job) => put_job(job)?,
        Write::PutOperation(operation) => put_operation(operation)?,
        Write::PutAccount(account) => put("INSERT OR REPLACE INTO account VALUES (?, ?)", account.user_uuid, &**account)?,
        Write::DeleteAccount(uuid) => {
            return Ok(vec![
                delete("DELETE FROM token WHERE user_uuid = ?", *uuid),
                delete("DELETE FROM account WHERE user_uuid = ?", *uuid),
            ]);
        }
        Write::PutToken(token) => put_token(token)?,
        Write::DeleteToken(hash) => Statement { sql: "DELETE FROM token WHERE token_hash = ?", values: vec![hash.clone().into()] },
        Write::PutDialectRecord(record) => put_dialect_record(record)?,
        Write::DeleteDialectRecord(key) => Statement {
            sql: "DELETE FROM dialect_record WHERE dialect = ? AND kind = ? AND id = ?",
            values: vec![key.dialect.clone().into(), key.kind.clone().into(), key.id.clone().into()],
        },
        Write::PutHostSettings(settings) => put_host_settings(settings)?,
        Write::PutEvent(event) => return put_event(event),
        Write::AdvanceEvents(cursor) => {
            let cursor = i64::try_from(*cursor).unwrap_or(i64::MAX);
            return Ok(vec![
                Statement { sql: FIRST_SEQUENCE, values: Vec::new() },
                Statement { sql: "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'event'", values: vec![cursor.into()] },
            ]);
        }
        Write::Prune { jobs_before, operations_before, tokens_before, events_before } => {
            return Ok(vec![
                Statement {
                    sql: "DELETE FROM job WHERE finish_time < ? AND status NOT IN ('queued', 'running')",
                    values: vec![jobs_before.0.into()],
                },
                Statement { sql: "DELETE FROM operation WHERE create_time < ?", values: vec![operations_before.0.into()] },
                Statement { sql: "DELETE FROM token WHERE expire_time < ?", values: vec![tokens_before.0.into()] },
                Statement { sql: PRUNE_EVENTS, values: vec![events_before.0.into()] },
            ]);
        }
    };
    Ok(vec![statement])
}

fn put(sql: &'static str, uuid: Uuid, object: &impl Serialize) -> Result<Statement> {
    Ok(Statement { sql, values: vec![text(uuid), document(object)?] })
}

fn delete(sql: &'static str, uuid: Uuid) -> Statement {
    Statement { sql, values: vec![text(uuid)] }
}

fn put_job(job: &Job) -> Result<Statement> {
    Ok(Statement {
        sql: "INSERT OR REPLACE INTO job (job_uuid, status, verb, resource_uuid, resource_name, request_uuid, create_time, finish_time, \
              document) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        values: vec![
            text(job.job_uuid),
            job.status.word().to_owned().into(),
            job.verb.word().to_owned().into(),
            text(job.resource.uuid),
            job.resource_name.clone().into(),
            job.request_uuid.map(|uuid| uuid.to_string()).into(),
            job.create_time.0.into(),
            job.finish_time.map(|time| time.0).into(),
            document(job)?,
        ],
    })
}

fn put_operation(operation: &Operation) -> Result<Statement> {
    let operation = match is_deeper(&operation.request, REQUEST_DEPTH_MAX) {
        false => Cow::Borrowed(operation),
        true => Cow::Owned(Operation { request: pruned(&operation.request, REQUEST_DEPTH_MAX), ..operation.clone() }),
    };
    let is_success = operation.finish_time.map(|_| operation.error.is_none());
    Ok(Statement {
        sql: "INSERT OR REPLACE INTO operation (operation_uuid, user_name, resource_type, resource_uuid, resource_name, is_success, \
              create_time, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        values: vec![
            text(operation.operation_uuid),
            operation.caller.user_name.clone().into(),
            operation.resource_type.map(|kind| kind.word().to_owned()).into(),
            operation.resource_uuid.map(|uuid| uuid.to_string()).into(),
            operation.resource_name.clone().into(),
            is_success.into(),
            operation.create_time.0.into(),
            document(&*operation)?,
        ],
    })
}

fn put_token(token: &TokenRecord) -> Result<Statement> {
    Ok(Statement {
        sql: "INSERT OR REPLACE INTO token (token_hash, user_uuid, expire_time, document) VALUES (?, ?, ?, ?)",
        values: vec![token.token_hash.clone().into(), text(token.user_uuid), token.expire_time.0.into(), document(token)?],
    })
}

/// The second statement takes its cursor from the first.
fn put_event(event: &Event) -> Result<Vec<Statement>> {
    let sql = "INSERT INTO event (time, document) VALUES (?, ?)";
    let mut batch = vec![Statement { sql, values: vec![event.time.0.into(), document(event)?] }];
    if let (EventKind::VmStatus, Some(vm)) = (event.kind, event.resource) {
        batch.push(match event.new.is_empty() {
            true => delete("DELETE FROM last_vm_event WHERE vm_uuid = ?", vm.uuid),
            false => {
                let sql = "INSERT OR REPLACE INTO last_vm_event (vm_uuid, cursor, document) VALUES (?, last_insert_rowid(), ?)";
                put(sql, vm.uuid, event)?
            }
        });
    }
    Ok(batch)
}

fn put_dialect_record(record: &DialectRecord) -> Result<Statement> {
    let key = &record.key;
    let values = vec![key.dialect.clone().into(), key.kind.clone().into(), key.id.clone().into(), document(record)?];
    Ok(Statement { sql: "INSERT OR REPLACE INTO dialect_record VALUES (?, ?, ?, ?)", values })
}

fn put_host_settings(settings: &HostSettings) -> Result<Statement> {
    // JSON has no word for these: they would be written as null and never be read again.
    if !settings.cpu_ratio.is_finite() || !settings.memory_ratio.is_finite() {
        return Err(fail!(StoreFailed, "a ratio of the host settings is no finite number"; "宿主机设置中的比率不是有限数"));
    }
    Ok(Statement { sql: "INSERT OR REPLACE INTO host_settings VALUES (1, ?)", values: vec![document(settings)?] })
}

fn text(uuid: Uuid) -> Value {
    uuid.to_string().into()
}

fn document(object: &impl Serialize) -> Result<Value> {
    let json = serde_json::to_string(object);
    json.map(Value::from).map_err(|error| fail!(StoreFailed, "an object cannot be encoded"; "对象无法编码").caused_by(error))
}

fn is_deeper(value: &serde_json::Value, depth: usize) -> bool {
    match value {
        serde_json::Value::Array(items) => depth == 0 || items.iter().any(|item| is_deeper(item, depth - 1)),
        serde_json::Value::Object(fields) => depth == 0 || fields.values().any(|field| is_deeper(field, depth - 1)),
        _ => false,
    }
}

/// The same value with everything below `depth` levels replaced by `…`.
fn pruned(value: &serde_json::Value, depth: usize) -> serde_json::Value {
    match value {
        serde_json::Value::Array(_) | serde_json::Value::Object(_) if depth == 0 => "…".into(),
        serde_json::Value::Array(items) => items.iter().map(|item| pruned(item, depth - 1)).collect(),
        serde_json::Value::Object(fields) => {
            serde_json::Value::Object(fields.iter().map(|(key, field)| (key.clone(), pruned(field, depth - 1))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_too_deep_to_be_read_again_is_cut_and_others_are_not_touched() {
        let nest = |depth: usize| (0..depth).fold(serde_json::Value::from(1), |inner, _| serde_json::json!([inner]));
        assert!(!is_deeper(&nest(REQUEST_DEPTH_MAX), REQUEST_DEPTH_MAX));
        let deep = nest(REQUEST_DEPTH_MAX + 1);
        assert!(is_deeper(&deep, REQUEST_DEPTH_MAX));
        let cut = pruned(&deep, REQUEST_DEPTH_MAX);
        assert!(!is_deeper(&cut, REQUEST_DEPTH_MAX));
        assert!(cut.to_string().contains('…'));
        assert_eq!(pruned(&nest(3), REQUEST_DEPTH_MAX), nest(3));
    }
}
