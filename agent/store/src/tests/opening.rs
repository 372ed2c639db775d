//! Which files are opened, which are refused, and how they look afterwards.

use super::{ALL, account, beside, folder, image, job, operation, settings, specification, token, vm, vm_event, volume};
use crate::SqliteStore;
use hvnode_core::ErrorCode;
use hvnode_core::model::{JobStatus, TokenRecord};
use hvnode_core::port::{Durability, JobFilter, Store, Write};
use rusqlite::Connection;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

#[track_caller]
fn refused(result: hvnode_core::Result<Arc<SqliteStore>>, words: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), ErrorCode::StoreFailed);
    assert!(error.message().contains(words), "{}", error.chain());
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    let writes = vec![
        Write::PutVm(Arc::new(vm(1))),
        Write::PutJob(Arc::new(job(2, JobStatus::Running))),
        Write::PutAccount(Arc::new(account(3))),
        Write::PutToken(token(4, 3)),
        Write::PutHostSettings(settings(4.0)),
    ];
    store.commit(writes, Durability::Durable).await.unwrap();
    drop(store);
    let state = SqliteStore::open(&path).unwrap().load().await.unwrap();
    assert_eq!(state.vms, [vm(1)]);
    assert_eq!(state.open_jobs, [job(2, JobStatus::Running)]);
    assert_eq!(state.accounts[0].password_hash, "$argon2id$");
    assert_eq!(state.tokens, [token(4, 3)]);
    assert_eq!(state.host_settings, Some(settings(4.0)));
}

#[tokio::test]
async fn nobody_else_may_read_the_files() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    store.commit(vec![Write::PutVm(Arc::new(vm(1)))], Durability::Durable).await.unwrap();
    let modes: Vec<u32> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().permissions().mode() & 0o777).collect();
    // Database, log, shared memory, lock.
    assert_eq!(modes, [0o600; 4]);
    drop(store);
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let _store = SqliteStore::open(&path).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_second_daemon_is_kept_away_until_the_first_is_gone() {
    let (_folder, path) = folder();
    let first = SqliteStore::open(&path).unwrap();
    refused(SqliteStore::open(&path), "in use by another hvnoded");
    drop(first);
    assert!(SqliteStore::open(&path).is_ok());
}

#[test]
fn a_database_of_a_newer_version_is_refused_and_not_touched() {
    let (_folder, path) = folder();
    drop(SqliteStore::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 77).unwrap();
    let before = std::fs::read(&path).unwrap();
    refused(SqliteStore::open(&path), "schema version 77");
    refused(SqliteStore::open(&path), &format!("{}.backup-v3", path.display()));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// The database as the first release left it.
fn version_1(path: &Path) {
    let old = Connection::open(path).unwrap();
    old.pragma_update(None, "journal_mode", "WAL").unwrap();
    old.execute_batch(include_str!("version_1.sql")).unwrap();
}

fn version_of(path: &Path) -> i32 {
    Connection::open(path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

fn names(folder: &Path, part: &str) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.contains(part)).collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_upgrade_leaves_a_copy_of_what_was_there() {
    let (folder, path) = folder();
    version_1(&path);
    let copy = beside(&path, ".backup-v1");
    std::fs::write(&copy, "of an upgrade that was taken back long ago").unwrap();
    drop(SqliteStore::open(&path).unwrap());
    assert_eq!((version_of(&path), version_of(&copy)), (3, 1));
    assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(folder.path(), "backup"), ["state.db.backup-v1"]);
    // The way back: the copy in the place of the database is all that the older program needs, and can be upgraded again.
    std::fs::rename(&copy, &path).unwrap();
    assert_eq!(SqliteStore::open(&path).unwrap().load().await.unwrap().vms.len(), 2);
}

#[test]
fn without_an_upgrade_no_copy_is_made_and_of_old_copies_few_are_kept() {
    let (folder, path) = folder();
    drop(SqliteStore::open(&path).unwrap());
    drop(SqliteStore::open(&path).unwrap());
    assert_eq!(names(folder.path(), "backup"), Vec::<String>::new());
    let connection = Connection::open(&path).unwrap();
    let mine = "state.db.backup-vmine";
    for name in ["state.db.backup-v0", mine, "other.db.backup-v0"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    for version in 1..=11 {
        crate::backup::before_upgrade(&connection, &path, version).unwrap();
    }
    let kept = ["other.db.backup-v0", "state.db.backup-v10", "state.db.backup-v11", "state.db.backup-v9", mine];
    assert_eq!(names(folder.path(), "backup"), kept);
}

#[test]
fn what_cannot_be_copied_is_not_upgraded() {
    let (folder, path) = folder();
    version_1(&path);
    // In the way of the copy.
    std::fs::create_dir_all(beside(&path, ".backup-v1").join("full")).unwrap();
    refused(SqliteStore::open(&path), "state.db.backup-v1 cannot be written");
    assert_eq!(version_of(&path), 1);
    assert_eq!(names(folder.path(), ".part"), Vec::<String>::new());
}

#[tokio::test]
async fn a_database_of_version_1_is_upgraded_with_everything_in_it() {
    let (_folder, path) = folder();
    version_1(&path);
    let store = SqliteStore::open(&path).unwrap();
    assert!(store.check_integrity().await.unwrap().is_empty());
    let state = store.load().await.unwrap();
    assert_eq!(state.vms.iter().map(|vm| vm.vm_name.as_str()).collect::<Vec<_>>(), ["数据库 1", "数据库 2"]);
    assert_eq!(state.vms[0].boot, vm(1).boot);
    assert_eq!(state.vms[1].nics[0].mac_address.to_string(), "52:54:00:01:02:03");
    assert_eq!(state.volumes, [volume(7)]);
    assert_eq!(state.images, [image(3)]);
    assert_eq!(state.specifications, [specification(4)]);
    assert_eq!(state.open_jobs[0].steps[0].name, "define_domain");
    assert_eq!(state.accounts[0].password_hash, account(5).password_hash);
    assert!(state.accounts[0].is_enabled && state.accounts[0].update_time.is_none(), "what was not kept then has its default");
    assert_eq!(state.tokens, [TokenRecord { client_address: String::new(), ..token(6, 5) }]);
    assert_eq!(state.host_settings, Some(settings(4.0)));
    assert_eq!(store.list_jobs(JobFilter::default(), ALL).await.unwrap().total_count, 2);
    assert_eq!(store.operation(Uuid::from_u128(9)).await.unwrap(), Some(operation(9)));
    // What is new is there and empty.
    assert!(state.last_vm_events.is_empty());
    assert_eq!(store.event_bounds().await.unwrap(), (1, 0));
    store.commit(vec![Write::PutEvent(Arc::new(vm_event(1, "running", 1)))], Durability::Durable).await.unwrap();
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.event_bounds().await.unwrap(), (1, 1));
    assert_eq!(version_of(&path), 3);
}

#[test]
fn a_database_of_another_program_is_refused() {
    let (_folder, path) = folder();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    refused(SqliteStore::open(&path), "another program");
    let (_folder, path) = super::folder();
    Connection::open(&path).unwrap().pragma_update(None, "application_id", 5).unwrap();
    refused(SqliteStore::open(&path), "another program");
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let (_folder, path) = folder();
    std::fs::write(&path, "not a database, but long enough to hold a header".repeat(100)).unwrap();
    refused(SqliteStore::open(&path), "no database");
}

#[test]
fn a_path_that_does_not_exist_is_refused() {
    let (folder, _) = folder();
    refused(SqliteStore::open(folder.path().join("missing/state.db")), "lock file");
}

#[tokio::test]
async fn a_damaged_database_is_found_by_the_check() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    let writes = (1..=200).map(|number| Write::PutVm(Arc::new(vm(number)))).collect();
    store.commit(writes, Durability::Durable).await.unwrap();
    assert_eq!(store.check_integrity().await.unwrap(), Vec::<String>::new());
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    // Damage is either listed or makes the check itself fail; both are no silence.
    match store.check_integrity().await {
        Ok(problems) => assert!(!problems.is_empty()),
        Err(error) => assert_eq!(error.code(), ErrorCode::StoreFailed),
    }
    assert_eq!(store.load().await.unwrap_err().code(), ErrorCode::StoreFailed);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_named() {
    let (_folder, path) = folder();
    drop(SqliteStore::open(&path).unwrap());
    Connection::open(&path).unwrap().execute_batch("INSERT INTO vm VALUES ('the-key', '{}')").unwrap();
    let error = SqliteStore::open(&path).unwrap().load().await.unwrap_err();
    assert!(error.message().contains("row the-key of table vm"), "{}", error.chain());
}

#[tokio::test]
async fn a_backup_is_a_whole_database_and_replaces_an_older_one() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    store.commit(vec![Write::PutVm(Arc::new(vm(1)))], Durability::Relaxed).await.unwrap();
    let copy = folder.path().join("copy.db");
    std::fs::write(&copy, "old").unwrap();
    store.backup_to(&copy).await.unwrap();
    assert_eq!(copy.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(SqliteStore::open(&copy).unwrap().load().await.unwrap().vms, [vm(1)]);
    let error = store.backup_to(folder.path().join("missing/copy.db")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::StoreFailed);
}
