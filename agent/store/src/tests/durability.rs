//! Atomicity, sharing of flushes, crashes, full disks.

use super::{ALL, beside, folder, job, operation, settings, store, vm};
use crate::check::look_once;
use crate::{SqliteStore, StoreStatistics};
use hvnode_core::ErrorCode;
use hvnode_core::model::JobStatus;
use hvnode_core::port::{Durability, JobFilter, OperationFilter, Store, Write};
use nix::unistd::{Uid, geteuid, setfsuid};
use std::fs::Permissions;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinSet;

fn put_job(number: u128) -> Write {
    Write::PutJob(Arc::new(job(number, JobStatus::Running)))
}

/// Starts `count` commits and waits until all of them are in the held writer's queue.
async fn queue_up(store: &Arc<SqliteStore>, count: u128, durability: impl Fn(u128) -> Durability) -> JoinSet<hvnode_core::Result<()>> {
    let mut commits = JoinSet::new();
    for number in 1..=count {
        let (store, durability) = (Arc::clone(store), durability(number));
        commits.spawn(async move { store.commit(vec![put_job(number)], durability).await });
    }
    // One thread: after a full round of yields every spawned task has queued its commit.
    for _ in 0..=count {
        tokio::task::yield_now().await;
    }
    commits
}

#[tokio::test]
async fn commits_that_wait_together_share_one_transaction_and_one_flush() {
    let (_folder, store) = store();
    let release = store.writer().hold();
    let commits = queue_up(&store, 100, |number| if number == 50 { Durability::Durable } else { Durability::Relaxed }).await;
    drop(release);
    assert!(commits.join_all().await.iter().all(Result::is_ok));
    assert_eq!(store.statistics(), StoreStatistics { commits: 100, failed_commits: 0, transactions: 1, durable_flushes: 1 });
    assert_eq!(store.load().await.unwrap().open_jobs.len(), 100);
    store.commit(vec![put_job(1)], Durability::Relaxed).await.unwrap();
    assert_eq!(store.statistics().durable_flushes, 1);
}

#[tokio::test]
async fn a_bad_commit_is_undone_whole_and_does_not_spoil_its_neighbours() {
    let (_folder, store) = store();
    // Makes the second write of the commit below fail inside SQLite.
    store.writer().run(|connection| {
        connection
            .execute_batch("CREATE TEMP TRIGGER no BEFORE INSERT ON main.operation BEGIN SELECT RAISE(ABORT, 'refused'); END")
            .unwrap();
    });
    let release = store.writer().hold();
    let mut commits = queue_up(&store, 2, |_| Durability::Durable).await;
    let bad = vec![put_job(8), Write::PutOperation(Arc::new(operation(9)))];
    commits.spawn({
        let store = Arc::clone(&store);
        async move { store.commit(bad, Durability::Durable).await }
    });
    tokio::task::yield_now().await;
    drop(release);
    let errors: Vec<_> = commits.join_all().await.into_iter().filter_map(Result::err).collect();
    assert_eq!(errors.iter().map(|error| error.code()).collect::<Vec<_>>(), [ErrorCode::StoreFailed]);
    assert!(errors[0].chain().contains("refused"));
    assert_eq!(store.load().await.unwrap().open_jobs.len(), 2);
    assert_eq!((store.statistics().transactions, store.statistics().failed_commits), (1, 1));
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_works_again_when_it_drains() {
    let (_folder, store) = store();
    let release = store.writer().hold();
    let mut commits = queue_up(&store, 2000, |_| Durability::Relaxed).await;
    // The refused ones have ended although nothing is written.
    let mut refused = 0;
    while let Some(ended) = commits.try_join_next() {
        assert!(ended.unwrap().unwrap_err().message().contains("too many writes"));
        refused += 1;
    }
    assert!(refused > 0);
    drop(release);
    assert!(commits.join_all().await.iter().all(Result::is_ok));
    assert_eq!(store.load().await.unwrap().open_jobs.len(), 2000 - refused);
    store.commit(vec![put_job(3000)], Durability::Relaxed).await.unwrap();
}

/// What a crash at this instant would leave: the files as the kernel has them.
pub(super) fn crash_copy(path: &Path, target: &Path) {
    for suffix in ["", "-wal"] {
        std::fs::copy(beside(path, suffix), beside(target, suffix)).unwrap();
    }
}

#[tokio::test]
async fn after_a_crash_everything_acknowledged_is_there_also_the_relaxed() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    for round in 1..=20 {
        let durability = if round % 2 == 0 { Durability::Durable } else { Durability::Relaxed };
        store.commit(vec![put_job(round), Write::PutOperation(Arc::new(operation(round)))], durability).await.unwrap();
        let target = folder.path().join(format!("crash{round}.db"));
        crash_copy(&path, &target);
        let after = SqliteStore::open(&target).unwrap();
        assert_eq!(after.load().await.unwrap().open_jobs.len() as u128, round);
        assert_eq!(u128::from(after.list_operations(OperationFilter::default(), ALL).await.unwrap().total_count), round);
        assert!(after.check_integrity().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_crash_in_the_middle_of_the_log_loses_whole_commits_only() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    for number in 1..=30 {
        store.commit(vec![put_job(number), Write::PutOperation(Arc::new(operation(number)))], Durability::Relaxed).await.unwrap();
    }
    let log_bytes = std::fs::metadata(beside(&path, "-wal")).unwrap().len();
    for cut in (0..log_bytes).step_by(9973) {
        let target = folder.path().join("cut.db");
        crash_copy(&path, &target);
        let log = std::fs::OpenOptions::new().write(true).open(beside(&target, "-wal")).unwrap();
        log.set_len(cut).unwrap();
        // Without its log nothing of the schema may be there either: then it is a fresh database.
        let after = SqliteStore::open(&target).unwrap();
        let jobs = after.list_jobs(JobFilter::default(), ALL).await.unwrap().total_count;
        let operations = after.list_operations(OperationFilter::default(), ALL).await.unwrap().total_count;
        assert_eq!(jobs, operations, "log cut at {cut}");
        drop(after);
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let _ = std::fs::remove_file(beside(&target, suffix));
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_commits_keeps_reads_and_heals_by_itself() {
    let (_folder, store) = store();
    store.commit(vec![put_job(1)], Durability::Durable).await.unwrap();
    // SQLite's own limit gives the same error, at the same places, as a full disk.
    store.writer().run(|connection| {
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        connection.pragma_update(None, "max_page_count", pages).unwrap();
    });
    let large = || (1..=200).map(|number| Write::PutVm(Arc::new(vm(number)))).collect::<Vec<_>>();
    let error = store.commit(large(), Durability::Durable).await.unwrap_err();
    assert_eq!(error.message(), "Database error: the disk is full");
    assert_eq!(error.message_cn(), "数据库出错: 磁盘已满");
    let state = store.load().await.unwrap();
    assert_eq!((state.open_jobs.len(), state.vms.len()), (1, 0));
    store.writer().run(|connection| connection.pragma_update(None, "max_page_count", 1_000_000).unwrap());
    store.commit(large(), Durability::Durable).await.unwrap();
    assert_eq!(store.load().await.unwrap().vms.len(), 200);
}

#[tokio::test]
async fn a_read_only_database_serves_reads_and_refuses_commits() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    store.commit(vec![put_job(1)], Durability::Durable).await.unwrap();
    drop(store);
    std::fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    // Permissions mean nothing to root: look at the files as nobody. Threads made below inherit that.
    let is_root = geteuid().is_root();
    if is_root {
        nix::unistd::chown(&beside(&path, ".lock"), Some(Uid::from_raw(65534)), None).unwrap();
        setfsuid(Uid::from_raw(65534));
    }
    let store = SqliteStore::open(&path).unwrap();
    let error = store.commit(vec![put_job(2)], Durability::Durable).await.unwrap_err();
    assert_eq!(error.message(), "Database error: the database is read-only");
    assert_eq!(store.load().await.unwrap().open_jobs.len(), 1);
    drop(store);
    if is_root {
        setfsuid(Uid::from_raw(0));
    }
}

#[tokio::test]
async fn what_could_not_be_read_again_is_not_written() {
    let (_folder, store) = store();
    let writes = vec![put_job(1), Write::PutHostSettings(settings(f64::NAN))];
    assert_eq!(store.commit(writes, Durability::Durable).await.unwrap_err().code(), ErrorCode::StoreFailed);
    assert_eq!(store.load().await.unwrap().open_jobs.len(), 0);
    // As deep as a request's JSON can be; the operation row wraps it once more.
    let mut deep = operation(1);
    deep.request = (0..126).fold(serde_json::Value::Null, |inner, _| serde_json::json!([inner]));
    store.commit(vec![Write::PutOperation(Arc::new(deep))], Durability::Relaxed).await.unwrap();
    assert_eq!(store.list_operations(OperationFilter::default(), ALL).await.unwrap().rows.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_commit_the_disk_never_takes_is_given_up_and_never_written() {
    let (_folder, store) = store();
    let release = store.writer().hold();
    let error = store.commit(vec![put_job(1)], Durability::Durable).await.unwrap_err();
    assert!(error.message().contains("nothing was written"), "{}", error.chain());
    tokio::time::resume();
    drop(release);
    store.commit(vec![put_job(2)], Durability::Durable).await.unwrap();
    let open = store.load().await.unwrap().open_jobs;
    assert_eq!(open.iter().map(|job| job.job_uuid.as_u128()).collect::<Vec<_>>(), [2]);
}

/// Overwrites every page after the first in place, as a failing disk or a stray program may.
fn overwrite_pages(path: &Path) {
    let length = std::fs::metadata(path).unwrap().len();
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0x5a; usize::try_from(length).unwrap() - 4096], 4096).unwrap();
}

#[tokio::test]
async fn damage_found_while_serving_ends_all_writing_and_spares_what_is_left() {
    let (folder, path) = folder();
    // Larger than what the writer keeps in memory, and all of it in the file.
    let store = SqliteStore::open(&path).unwrap();
    for start in (1..=4000).step_by(500) {
        store.commit((start..start + 500).map(|number| Write::PutVm(Arc::new(vm(number)))).collect(), Durability::Durable).await.unwrap();
    }
    store.writer().run(|connection| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap());
    store.commit(vec![put_job(1)], Durability::Durable).await.unwrap();
    overwrite_pages(&path);
    let error = store.load().await.unwrap_err();
    let shown = path.display().to_string();
    for error in [error, store.commit(vec![put_job(2)], Durability::Durable).await.unwrap_err()] {
        assert_eq!(error.code(), ErrorCode::StoreFailed);
        assert!(error.message().contains(&shown) && error.message().contains("is damaged"), "{}", error.chain());
        assert!(error.message_cn().contains(&shown) && error.message_cn().contains("已损坏"), "{}", error.message_cn());
    }
    let copy = folder.path().join("copy.db");
    assert!(store.backup_to(&copy).await.is_err() && !copy.exists(), "no copy of what is damaged");
    let before = [std::fs::read(&path).unwrap(), std::fs::read(beside(&path, "-wal")).unwrap()];
    assert!(!before[1].is_empty());
    drop(store);
    assert_eq!([std::fs::read(&path).unwrap(), std::fs::read(beside(&path, "-wal")).unwrap()], before, "left as it was found");
}

#[tokio::test]
async fn a_start_on_a_damaged_database_names_the_file_and_what_to_do_and_touches_nothing() {
    for keep in [4096, 0] {
        let (_folder, path) = folder();
        let store = SqliteStore::open(&path).unwrap();
        store.commit((1..=200).map(|number| Write::PutVm(Arc::new(vm(number)))).collect(), Durability::Durable).await.unwrap();
        drop(store);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[keep..].fill(0x5a);
        std::fs::write(&path, &bytes).unwrap();
        let error = match SqliteStore::open(&path) {
            Err(error) => error,
            Ok(store) => store.load().await.unwrap_err(),
        };
        assert_eq!(error.code(), ErrorCode::StoreFailed);
        for part in [path.display().to_string().as_str(), "restore a backup", "move the file", "takes the VMs over from libvirt"] {
            assert!(error.message().contains(part), "no {part} in {}", error.chain());
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[tokio::test]
async fn damage_below_the_caches_is_found_by_looking_through_the_file() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    store.commit((1..=200).map(|number| Write::PutVm(Arc::new(vm(number)))).collect(), Durability::Durable).await.unwrap();
    store.writer().run(|connection| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap());
    store.commit(vec![put_job(1)], Durability::Durable).await.unwrap();
    look_once(&path, store.guard()).unwrap();
    overwrite_pages(&path);
    store.commit(vec![put_job(2)], Durability::Durable).await.expect("what the writer has in memory hides it");
    assert!(look_once(&path, store.guard()).unwrap_err().message().contains("is damaged"));
    assert!(store.commit(vec![put_job(3)], Durability::Durable).await.unwrap_err().message().contains("is damaged"));
}

#[tokio::test]
async fn a_database_that_becomes_read_only_while_serving_refuses_commits_until_it_is_not() {
    let (_folder, store) = store();
    store.commit(vec![put_job(1)], Durability::Durable).await.unwrap();
    store.writer().run(|connection| connection.pragma_update(None, "query_only", true).unwrap());
    for durability in [Durability::Durable, Durability::Relaxed] {
        let error = store.commit(vec![put_job(2), put_job(3)], durability).await.unwrap_err();
        assert_eq!((error.message(), error.code().is_retryable()), ("Database error: the database is read-only".into(), true));
        assert_eq!(error.message_cn(), "数据库出错: 数据库只读");
        assert_eq!(store.load().await.unwrap().open_jobs.len(), 1);
    }
    store.writer().run(|connection| connection.pragma_update(None, "query_only", false).unwrap());
    store.commit(vec![put_job(2), put_job(3)], Durability::Durable).await.unwrap();
    assert_eq!(store.load().await.unwrap().open_jobs.len(), 3);
}
