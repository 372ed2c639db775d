//! From the port's calls to SQL, and from rows to points.

use crate::encode::Statement;
use crate::error::failed;
use hvnode_core::model::{Resolution, Timestamp, UsagePoint, codec};
use hvnode_core::port::HistoryPoint;
use hvnode_core::{Result, at};
use rusqlite::types::Value;
use rusqlite::{Connection, params};
use uuid::Uuid;

/// Rows that one statement removes at most, so that appending never waits long.
pub(super) const PRUNE_ROWS_MAX: usize = 4096;

const ADD_SUBJECT: &str = "INSERT INTO subject (uuid) VALUES (?) ON CONFLICT DO NOTHING";
const PUT_POINT: &str = "INSERT OR REPLACE INTO point SELECT ?, id, ?, ? FROM subject WHERE uuid = ?";
const READ: &str = "SELECT bucket, point FROM point \
    WHERE resolution = ? AND subject = (SELECT id FROM subject WHERE uuid = ?) AND bucket BETWEEN ? AND ? ORDER BY bucket LIMIT ?";
/// One seek per subject: the key begins with it.
const PRUNE_BEFORE: &str = "DELETE FROM point WHERE (resolution, subject, bucket) IN (SELECT p.resolution, p.subject, p.bucket \
    FROM subject AS s CROSS JOIN point AS p WHERE p.resolution = ? AND p.subject = s.id AND p.bucket < ? LIMIT ?)";
const PRUNE_AFTER: &str = "DELETE FROM point WHERE (resolution, subject, bucket) IN (SELECT p.resolution, p.subject, p.bucket \
    FROM subject AS s CROSS JOIN point AS p WHERE p.resolution = ? AND p.subject = s.id AND p.bucket > ? LIMIT ?)";
const PRUNE_SUBJECTS: &str = "DELETE FROM subject WHERE NOT EXISTS (SELECT 1 FROM point WHERE resolution = 0 AND subject = id) \
    AND NOT EXISTS (SELECT 1 FROM point WHERE resolution = 1 AND subject = id)";

fn number(resolution: Resolution) -> i64 {
    match resolution {
        Resolution::Minute => 0,
        Resolution::Coarse => 1,
    }
}

fn period_nanoseconds(resolution: Resolution) -> i64 {
    i64::try_from(resolution.period().as_nanos()).unwrap_or(i64::MAX)
}

/// The last bucket that starts at `time` or before it.
fn bucket_at(resolution: Resolution, time: Timestamp) -> i64 {
    time.0.div_euclid(period_nanoseconds(resolution))
}

/// The first bucket that starts at `time` or after it.
fn bucket_from(resolution: Resolution, time: Timestamp) -> i64 {
    bucket_at(resolution, time) + i64::from(time.0.rem_euclid(period_nanoseconds(resolution)) != 0)
}

fn key(uuid: Uuid) -> Value {
    uuid.as_bytes().to_vec().into()
}

fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Two statements per point.
pub(super) fn append(resolution: Resolution, points: &[HistoryPoint]) -> Vec<Statement> {
    let statements = |HistoryPoint { subject_uuid, point }: &HistoryPoint| {
        let bucket = bucket_at(resolution, point.time);
        let values = vec![number(resolution).into(), bucket.into(), codec::encode(point).into(), key(*subject_uuid)];
        [Statement { sql: ADD_SUBJECT, values: vec![key(*subject_uuid)] }, Statement { sql: PUT_POINT, values }]
    };
    points.iter().flat_map(statements).collect()
}

/// Each is run until it changes less than [`PRUNE_ROWS_MAX`] rows.
pub(super) fn prune(resolution: Resolution, before: Timestamp, after: Timestamp) -> [Statement; 2] {
    let statement = |sql, bucket: i64| {
        let values = vec![number(resolution).into(), bucket.into(), limit(PRUNE_ROWS_MAX).into()];
        Statement { sql, values }
    };
    [statement(PRUNE_BEFORE, bucket_from(resolution, before)), statement(PRUNE_AFTER, bucket_at(resolution, after))]
}

/// Forgets who has no points any more.
pub(super) fn prune_subjects() -> Statement {
    Statement { sql: PRUNE_SUBJECTS, values: Vec::new() }
}

/// What one call of the port asks for.
pub(super) struct Range {
    pub(super) subject_uuid: Uuid,
    pub(super) resolution: Resolution,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) limit: usize,
}

pub(super) fn read(connection: &Connection, range: &Range) -> Result<Vec<UsagePoint>> {
    let resolution = range.resolution;
    let (first, last) = (bucket_from(resolution, range.start), bucket_at(resolution, range.end));
    let values = params![number(resolution), range.subject_uuid.as_bytes().as_slice(), first, last, limit(range.limit)];
    let rows = || -> rusqlite::Result<(Vec<UsagePoint>, usize)> {
        let mut statement = connection.prepare_cached(READ)?;
        let mut rows = statement.query(values)?;
        let (mut points, mut unreadable) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let time = Timestamp(row.get::<_, i64>(0)?.saturating_mul(period_nanoseconds(resolution)));
            match codec::decode(row.get_ref(1)?.as_blob()?, time) {
                Some(point) => points.push(point),
                None => unreadable += 1,
            }
        }
        Ok((points, unreadable))
    };
    let (points, unreadable) = rows().map_err(failed).map_err(at!())?;
    if unreadable > 0 {
        tracing::warn!(subject_uuid = %range.subject_uuid, points = unreadable, "Points of the history cannot be read, they are left out");
    }
    Ok(points)
}
