//! Look-ups and lists, on a reader's connection.

use crate::error::{failed, undecodable};
use hvnode_core::model::{Event, Job, Operation, Timestamp};
use hvnode_core::port::{JobFilter, Listing, OperationFilter, Page, SortOrder, StoredState};
use hvnode_core::{Result, at};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// Everything in memory, from one point in time.
pub(crate) fn load(connection: &Connection) -> Result<StoredState> {
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    let open = "SELECT job_uuid, document FROM job WHERE status IN ('queued', 'running') ORDER BY create_time, job_uuid";
    let state = StoredState {
        vms: all(&transaction, "vm", "SELECT vm_uuid, document FROM vm ORDER BY 1")?,
        volumes: all(&transaction, "volume", "SELECT volume_uuid, document FROM volume ORDER BY 1")?,
        images: all(&transaction, "image", "SELECT image_uuid, document FROM image ORDER BY 1")?,
        specifications: all(&transaction, "specification", "SELECT specification_uuid, document FROM specification ORDER BY 1")?,
        open_jobs: all(&transaction, "job", open)?,
        accounts: all(&transaction, "account", "SELECT user_uuid, document FROM account ORDER BY 1")?,
        tokens: all(&transaction, "token", "SELECT token_hash, document FROM token ORDER BY 1")?,
        dialect_records: all(
            &transaction,
            "dialect_record",
            "SELECT dialect || '/' || kind || '/' || id, document FROM dialect_record ORDER BY dialect, kind, id",
        )?,
        host_settings: one(
            &transaction,
            "host_settings",
            "SELECT 'the only one', document FROM host_settings WHERE id = ?",
            vec![1.into()],
        )?,
        last_vm_events: events(&transaction, "last_vm_event", "SELECT cursor, document FROM last_vm_event ORDER BY vm_uuid", &[])?,
    };
    Ok(state)
}

pub(crate) fn job(connection: &Connection, job_uuid: Uuid) -> Result<Option<Job>> {
    one(connection, "job", "SELECT job_uuid, document FROM job WHERE job_uuid = ?", vec![job_uuid.to_string().into()])
}

pub(crate) fn job_by_request(connection: &Connection, request_uuid: Uuid, since: Timestamp) -> Result<Option<Job>> {
    let sql =
        "SELECT job_uuid, document FROM job WHERE request_uuid = ? AND create_time >= ? ORDER BY create_time DESC, job_uuid DESC LIMIT 1";
    one(connection, "job", sql, vec![request_uuid.to_string().into(), since.0.into()])
}

pub(crate) fn operation(connection: &Connection, operation_uuid: Uuid) -> Result<Option<Operation>> {
    let sql = "SELECT operation_uuid, document FROM operation WHERE operation_uuid = ?";
    one(connection, "operation", sql, vec![operation_uuid.to_string().into()])
}

pub(crate) fn list_jobs(connection: &Connection, filter: &JobFilter, page: Page) -> Result<Listing<Job>> {
    let mut conditions = Conditions::default();
    if !filter.status.is_empty() {
        let words = filter.status.iter().map(|status| format!("'{}'", status.word())).collect::<Vec<_>>().join(", ");
        conditions.parts.push(format!("status IN ({words})"));
    }
    conditions.add("resource_uuid = ?", filter.resource_uuid.map(|uuid| uuid.to_string()));
    conditions.add("verb = ?", filter.verb.map(|verb| verb.word().to_owned()));
    conditions.add("instr(resource_name, ?) > 0", filter.name.clone());
    list(connection, "job", "job_uuid", conditions, page)
}

pub(crate) fn list_operations(connection: &Connection, filter: &OperationFilter, page: Page) -> Result<Listing<Operation>> {
    let mut conditions = Conditions::default();
    conditions.add("create_time >= ?", filter.start_time.map(|time| time.0));
    conditions.add("create_time <= ?", filter.end_time.map(|time| time.0));
    conditions.add("user_name = ?", filter.user_name.clone());
    conditions.add("resource_type = ?", filter.resource_type.map(|kind| kind.word().to_owned()));
    conditions.add("resource_uuid = ?", filter.resource_uuid.map(|uuid| uuid.to_string()));
    conditions.add("is_success = ?", filter.is_success);
    conditions.add("instr(resource_name, ?) > 0", filter.name.clone());
    list(connection, "operation", "operation_uuid", conditions, page)
}

pub(crate) fn list_events(connection: &Connection, after: u64, limit: u64) -> Result<Vec<Event>> {
    let sql = "SELECT cursor, document FROM event WHERE cursor > ? ORDER BY cursor LIMIT ?";
    events(connection, "event", sql, &[bounded(after), bounded(limit)])
}

pub(crate) fn event_bounds(connection: &Connection) -> Result<(u64, u64)> {
    // SQLite keeps the highest cursor ever given; it has no row for it before the first one. One statement: both numbers fit together.
    let sql = "SELECT coalesce((SELECT min(cursor) FROM event), last + 1), last \
               FROM (SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0) AS last)";
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    statement.query_row([], |row| Ok((cursor(row, 0)?, cursor(row, 1)?))).map_err(failed).map_err(at!())
}

/// Problems that SQLite finds in the file; none is good.
pub(crate) fn check_integrity(connection: &Connection) -> Result<Vec<String>> {
    let mut statement = connection.prepare("PRAGMA integrity_check").map_err(failed)?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).map_err(failed)?;
    let mut problems = rows.collect::<rusqlite::Result<Vec<_>>>().map_err(failed)?;
    problems.retain(|problem| problem != "ok");
    Ok(problems)
}

/// Conditions that all must hold, with their values in order. Texts of conditions are constants of this file: values are always bound.
#[derive(Default)]
struct Conditions {
    parts: Vec<String>,
    values: Vec<Value>,
}

impl Conditions {
    fn add(&mut self, condition: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.parts.push(condition.to_owned());
            self.values.push(value.into());
        }
    }
}

/// Count and page come from one read transaction, so that they fit.
fn list<T: DeserializeOwned>(connection: &Connection, table: &str, key: &str, conditions: Conditions, page: Page) -> Result<Listing<T>> {
    let Conditions { parts, mut values } = conditions;
    let condition = if parts.is_empty() { String::new() } else { format!("WHERE {}", parts.join(" AND ")) };
    let direction = match page.order {
        SortOrder::Ascending => "ASC",
        SortOrder::Descending => "DESC",
    };
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    let count: i64 = transaction
        .prepare_cached(&format!("SELECT count(*) FROM {table} {condition}"))
        .and_then(|mut statement| statement.query_row(params_from_iter(&values), |row| row.get(0)))
        .map_err(failed)
        .map_err(at!())?;
    values.push(bounded(page.limit));
    values.push(bounded(page.offset));
    let sql =
        format!("SELECT {key}, document FROM {table} {condition} ORDER BY create_time {direction}, {key} {direction} LIMIT ? OFFSET ?");
    let rows = decode(&transaction, table, &sql, &values)?;
    Ok(Listing { total_count: u64::try_from(count).unwrap_or(0), rows })
}

fn bounded(count: u64) -> Value {
    i64::try_from(count).unwrap_or(i64::MAX).into()
}

fn all<T: DeserializeOwned>(connection: &Connection, table: &str, sql: &str) -> Result<Vec<T>> {
    decode(connection, table, sql, &[])
}

fn decode<T: DeserializeOwned>(connection: &Connection, table: &str, sql: &str, values: &[Value]) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params_from_iter(values)).map_err(failed)?;
    let mut decoded = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        decoded.push(decode_row(table, row)?);
    }
    Ok(decoded)
}

/// First column: cursor; second: document, whose own cursor means nothing.
fn events(connection: &Connection, table: &str, sql: &str, values: &[Value]) -> Result<Vec<Event>> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query(params_from_iter(values)).map_err(failed)?;
    let mut decoded = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let cursor = cursor(row, 0).map_err(failed)?;
        decoded.push(Event { cursor, ..parse(table, &cursor.to_string(), row)? });
    }
    Ok(decoded)
}

fn cursor(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn one<T: DeserializeOwned>(connection: &Connection, table: &str, sql: &str, values: Vec<Value>) -> Result<Option<T>> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let row = statement.query_row(params_from_iter(values), |row| Ok(decode_row(table, row))).optional().map_err(failed)?;
    row.transpose()
}

/// First column: key for the error message; second: document.
fn decode_row<T: DeserializeOwned>(table: &str, row: &Row<'_>) -> Result<T> {
    let key: String = row.get(0).map_err(failed)?;
    parse(table, &key, row)
}

fn parse<T: DeserializeOwned>(table: &str, key: &str, row: &Row<'_>) -> Result<T> {
    let document = row.get_ref(1).and_then(|value| value.as_str().map_err(Into::into)).map_err(failed)?;
    serde_json::from_str(document).map_err(|error| undecodable(table, key, error))
}
