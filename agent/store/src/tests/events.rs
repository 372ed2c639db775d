//! The event stream: order, pages, numbers that are never given twice.

use super::durability::crash_copy;
use super::{folder, store, time, vm_event};
use crate::SqliteStore;
use hvnode_core::ErrorCode;
use hvnode_core::model::{Event, EventKind, Timestamp};
use hvnode_core::port::{Durability, Store, Write};
use std::sync::Arc;
use tokio::task::JoinSet;

fn put(event: Event) -> Write {
    Write::PutEvent(Arc::new(event))
}

/// An event about VM `second` at that second.
fn at(second: u128) -> Write {
    put(vm_event(second, "running", second))
}

fn prune(seconds: u128) -> Write {
    let never = Timestamp(i64::MIN);
    Write::Prune { jobs_before: never, operations_before: never, tokens_before: never, events_before: time(seconds) }
}

async fn commit(store: &SqliteStore, writes: impl IntoIterator<Item = Write>) {
    store.commit(writes.into_iter().collect(), Durability::Relaxed).await.unwrap();
}

async fn cursors(store: &SqliteStore) -> Vec<u64> {
    store.list_events(0, u64::MAX).await.unwrap().iter().map(|event| event.cursor).collect()
}

/// What the last events say: VM, status.
async fn announced(store: &SqliteStore) -> Vec<(u128, String)> {
    let events = store.load().await.unwrap().last_vm_events;
    events.into_iter().map(|event| (event.resource.unwrap().uuid.as_u128(), event.new)).collect()
}

#[tokio::test]
async fn events_come_back_whole_and_in_order_with_the_stores_own_numbers() {
    let (_folder, store) = store();
    let node = Event { kind: EventKind::Daemon, resource: None, job_uuid: None, ..vm_event(1, "started", 9) };
    let misleading = Event { cursor: 77, ..vm_event(2, "running", 3) };
    commit(&store, [put(node.clone()), put(misleading.clone())]).await;
    let expected = [Event { cursor: 1, ..node }, Event { cursor: 2, ..misleading }];
    assert_eq!(store.list_events(0, 10).await.unwrap(), expected);
    assert_eq!(store.load().await.unwrap().last_vm_events, expected[1..]);
}

#[tokio::test]
async fn pages_follow_each_other_without_loss_and_end() {
    let (_folder, store) = store();
    commit(&store, (1..=7).map(at)).await;
    let mut seen = Vec::new();
    loop {
        let page = store.list_events(seen.last().copied().unwrap_or(0), 3).await.unwrap();
        assert!(page.len() <= 3);
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|event| event.cursor));
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
    assert!(store.list_events(0, 0).await.unwrap().is_empty());
    assert!(store.list_events(u64::MAX, u64::MAX).await.unwrap().is_empty());
}

#[tokio::test]
async fn bounds_tell_what_can_still_be_given_also_when_there_is_nothing() {
    let (_folder, store) = store();
    assert_eq!(store.event_bounds().await.unwrap(), (1, 0));
    commit(&store, (1..=5).map(at)).await;
    assert_eq!(store.event_bounds().await.unwrap(), (1, 5));
    commit(&store, [prune(3)]).await;
    assert_eq!(store.event_bounds().await.unwrap(), (3, 5));
    commit(&store, [prune(100)]).await;
    assert_eq!(store.event_bounds().await.unwrap(), (6, 5));
    commit(&store, [at(200)]).await;
    assert_eq!(store.event_bounds().await.unwrap(), (6, 6));
}

#[tokio::test]
async fn no_number_is_given_twice_after_pruning_everything_reopening_or_dying() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    commit(&store, (1..=3).map(at)).await;
    commit(&store, [prune(100)]).await;
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.event_bounds().await.unwrap(), (4, 3));
    commit(&store, [at(4), prune(100), at(5), prune(100)]).await;
    // The files as a killed daemon leaves them: nothing closed, all in the log.
    let killed = folder.path().join("killed.db");
    crash_copy(&path, &killed);
    let store = SqliteStore::open(&killed).unwrap();
    assert_eq!(store.event_bounds().await.unwrap(), (6, 5));
    commit(&store, [at(6)]).await;
    assert_eq!(cursors(&store).await, [6]);
}

#[tokio::test]
async fn a_commit_that_fails_leaves_no_hole_in_the_numbers() {
    let (_folder, store) = store();
    store.writer().run(|connection| {
        let refuse = "CREATE TEMP TRIGGER no BEFORE INSERT ON main.vm BEGIN SELECT RAISE(ABORT, 'refused'); END";
        connection.execute_batch(refuse).unwrap();
    });
    commit(&store, [at(1)]).await;
    let bad = vec![at(2), at(3), Write::PutVm(Arc::new(super::vm(1)))];
    assert_eq!(store.commit(bad, Durability::Durable).await.unwrap_err().code(), ErrorCode::StoreFailed);
    assert_eq!(announced(&store).await, [(1, "running".into())]);
    commit(&store, [at(4)]).await;
    assert_eq!(cursors(&store).await, [1, 2]);
}

#[tokio::test]
async fn what_was_announced_last_of_a_vm_survives_pruning_until_the_vm_is_gone() {
    let (_folder, store) = store();
    let of_jobs = Event { kind: EventKind::JobStatus, ..vm_event(1, "succeeded", 4) };
    let events = [vm_event(1, "stopped", 1), vm_event(2, "running", 2), vm_event(1, "running", 3), of_jobs];
    commit(&store, events.map(put)).await;
    let before = store.load().await.unwrap().last_vm_events;
    assert_eq!(before.iter().map(|event| event.cursor).collect::<Vec<_>>(), [3, 2]);
    commit(&store, [prune(100)]).await;
    assert!(cursors(&store).await.is_empty());
    assert_eq!(store.load().await.unwrap().last_vm_events, before);
    commit(&store, [put(vm_event(1, "", 101))]).await;
    assert_eq!(announced(&store).await, [(2, "running".into())]);
    assert_eq!(cursors(&store).await, [5]);
}

#[tokio::test]
async fn pruning_leaves_no_hole_where_the_clock_jumped() {
    let (_folder, store) = store();
    commit(&store, [at(10), at(99), at(11), at(20), at(21)]).await;
    commit(&store, [prune(10)]).await;
    assert_eq!(cursors(&store).await, [1, 2, 3, 4, 5]);
    // The third is too old, the second pretends to be young.
    commit(&store, [prune(15)]).await;
    assert_eq!(cursors(&store).await, [4, 5]);
    assert_eq!(store.event_bounds().await.unwrap(), (4, 5));
}

#[tokio::test]
async fn events_of_commits_that_share_a_transaction_keep_the_order_of_the_commits() {
    let (_folder, store) = store();
    let release = store.writer().hold();
    let mut commits = JoinSet::new();
    for number in 0..100 {
        let of_store = Arc::clone(&store);
        let durability = if number % 7 == 0 { Durability::Durable } else { Durability::Relaxed };
        commits.spawn(async move { of_store.commit(vec![at(2 * number), at(2 * number + 1)], durability).await });
        // One thread: after this the commit waits in the queue.
        tokio::task::yield_now().await;
    }
    drop(release);
    assert!(commits.join_all().await.iter().all(Result::is_ok));
    assert_eq!(store.statistics().transactions, 1);
    let events = store.list_events(0, u64::MAX).await.unwrap();
    assert!(events.iter().map(|event| event.cursor).eq(1..=200));
    assert!(events.iter().map(|event| event.time).eq((0..200).map(time)));
}

#[tokio::test]
async fn readers_that_follow_while_others_write_see_every_event_once_and_in_order() {
    let (_folder, store) = store();
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            for number in 0..50 {
                commit(&store, [at(writer * 1000 + number)]).await;
            }
        });
    }
    let mut seen = Vec::new();
    while seen.len() < 200 {
        let (first, last) = store.event_bounds().await.unwrap();
        assert!(first == 1 && last >= seen.len() as u64);
        seen.extend(store.list_events(seen.len() as u64, 16).await.unwrap());
        tokio::task::yield_now().await;
    }
    writers.join_all().await;
    assert!(seen.iter().map(|event| event.cursor).eq(1..=200));
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_named() {
    let (_folder, path) = folder();
    drop(SqliteStore::open(&path).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("INSERT INTO event VALUES (8, 1, '{}')").unwrap();
    drop(connection);
    let error = SqliteStore::open(&path).unwrap().list_events(0, 1).await.unwrap_err();
    assert!(error.message().contains("row 8 of table event"), "{}", error.chain());
}

#[tokio::test]
async fn cursors_can_be_advanced_and_never_go_back() {
    let (_folder, store) = store();
    commit(&store, [Write::AdvanceEvents(1000), at(1)]).await;
    commit(&store, [Write::AdvanceEvents(5), at(2)]).await;
    assert_eq!(cursors(&store).await, [1001, 1002]);
    assert_eq!(store.event_bounds().await.unwrap(), (1001, 1002));
}
