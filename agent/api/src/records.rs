//! What only one dialect knows (zones, key pairs, tags), kept over restarts. Everything is in memory; the store is written first.

use hvnode_core::model::{DialectKey, DialectRecord};
use hvnode_core::port::{Clock, Durability, Store, Write};
use hvnode_core::{Result, at, fail};
use parking_lot::RwLock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most records of one kind of one dialect.
const RECORDS_MAX: usize = 10_000;

/// The records of all dialects.
pub struct Records {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    all: RwLock<BTreeMap<DialectKey, Arc<DialectRecord>>>,
    generation: AtomicU64,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("count", &self.all.read().len()).finish_non_exhaustive()
    }
}

impl Records {
    /// Takes over what the store holds.
    pub fn start(store: Arc<dyn Store>, stored: Vec<DialectRecord>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let all = stored.into_iter().map(|record| (record.key.clone(), Arc::new(record))).collect();
        Arc::new(Self { store, clock, all: RwLock::new(all), generation: AtomicU64::new(0) })
    }

    /// Inserts or replaces, durably.
    ///
    /// # Errors
    /// `TooManyRequests` where there are too many of this kind, `StoreFailed`.
    pub async fn put<T: Serialize + Sync>(&self, dialect: &str, kind: &str, id: &str, value: &T) -> Result<Arc<DialectRecord>> {
        let key = DialectKey { dialect: dialect.to_owned(), kind: kind.to_owned(), id: id.to_owned() };
        let now = self.clock.now();
        let former = self.all.read().get(&key).cloned();
        if former.is_none() && self.list(dialect, kind).len() >= RECORDS_MAX {
            return Err(fail!(TooManyRequests, "there are {RECORDS_MAX} of kind {kind} already"; "{kind} 已达上限 {RECORDS_MAX}"));
        }
        let value = serde_json::to_value(value).map_err(|error| fail!(Internal, "a record cannot be written").caused_by(error))?;
        let create_time = former.map_or(now, |former| former.create_time);
        let record = Arc::new(DialectRecord { key: key.clone(), value, create_time, update_time: now });
        self.store.commit(vec![Write::PutDialectRecord(record.clone())], Durability::Durable).await.map_err(at!())?;
        self.all.write().insert(key, record.clone());
        self.changed();
        Ok(record)
    }

    /// Removes, durably. False where there was none.
    ///
    /// # Errors
    /// `StoreFailed`.
    pub async fn delete(&self, dialect: &str, kind: &str, id: &str) -> Result<bool> {
        let key = DialectKey { dialect: dialect.to_owned(), kind: kind.to_owned(), id: id.to_owned() };
        if !self.all.read().contains_key(&key) {
            return Ok(false);
        }
        self.store.commit(vec![Write::DeleteDialectRecord(key.clone())], Durability::Durable).await.map_err(at!())?;
        let was_there = self.all.write().remove(&key).is_some();
        self.changed();
        Ok(was_there)
    }

    /// Always after the change: what was made from the records under a number is never older than that number says.
    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Grows with every change of any record.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// One record.
    pub fn get(&self, dialect: &str, kind: &str, id: &str) -> Option<Arc<DialectRecord>> {
        let key = DialectKey { dialect: dialect.to_owned(), kind: kind.to_owned(), id: id.to_owned() };
        self.all.read().get(&key).cloned()
    }

    /// All records of a kind, by id.
    pub fn list(&self, dialect: &str, kind: &str) -> Vec<Arc<DialectRecord>> {
        let first = DialectKey { dialect: dialect.to_owned(), kind: kind.to_owned(), id: String::new() };
        let all = self.all.read();
        all.range(first..).take_while(|(key, _)| key.dialect == dialect && key.kind == kind).map(|(_, record)| record.clone()).collect()
    }
}

/// What a record holds, where it can be read.
pub fn value_of<T: DeserializeOwned>(record: &DialectRecord) -> Option<T> {
    serde_json::from_value(record.value.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hvnode_core::fake::{FakeStore, Faults};
    use hvnode_core::port::SystemClock;

    #[tokio::test]
    async fn records_are_kept_apart_by_dialect_and_kind_and_outlive_a_restart() {
        let store = FakeStore::new(Faults::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let records = Records::start(store.clone(), Vec::new(), clock.clone());
        for (dialect, kind, id) in [("zstack", "zone", "1"), ("zstack", "zone", "2"), ("zstack", "zones", "3"), ("openstack", "zone", "4")]
        {
            records.put(dialect, kind, id, &id).await.unwrap();
        }
        assert!(records.delete("zstack", "zone", "2").await.unwrap() && !records.delete("zstack", "zone", "2").await.unwrap());
        let stored = store.reopen(Faults::new()).load().await.unwrap().dialect_records;
        let again = Records::start(store, stored, clock);
        let ids: Vec<String> = again.list("zstack", "zone").iter().filter_map(|record| value_of(record)).collect();
        assert_eq!(ids, ["1"]);
        assert!(again.get("openstack", "zone", "4").is_some() && again.get("openstack", "zone", "1").is_none());
    }
}
