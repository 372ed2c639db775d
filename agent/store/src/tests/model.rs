//! Any sequence of commits leaves SQLite and the in-memory store with the same answers.

use super::{account, folder, image, job, operation, settings, specification, time, token, vm, vm_event, volume};
use crate::SqliteStore;
use hvnode_core::fake::{FakeStore, Faults};
use hvnode_core::model::{Event, EventKind, Job, JobStatus, Operation, ResourceType, VerbKind};
use hvnode_core::port::{Durability, JobFilter, OperationFilter, Page, SortOrder, Store, StoredState, Write};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::sync::Arc;
use uuid::Uuid;

const STATUSES: [JobStatus; 5] = [JobStatus::Queued, JobStatus::Running, JobStatus::Succeeded, JobStatus::Failed, JobStatus::Canceled];

fn number() -> std::ops::Range<u128> {
    0..6
}

/// Few letters, so that searches hit; the awkward ones among them.
fn name() -> impl Strategy<Value = String> {
    "[a%_'\\\\库]{0,3}"
}

fn some_job() -> impl Strategy<Value = Job> {
    (number(), select(&STATUSES[..]), number(), number(), option::of(number()), name(), any::<bool>()).prop_map(
        |(uuid, status, created, resource, request, resource_name, is_create)| {
            let mut row = job(uuid, status);
            row.create_time = time(created);
            row.resource.uuid = Uuid::from_u128(resource);
            row.request_uuid = request.map(Uuid::from_u128);
            row.resource_name = resource_name;
            row.verb = if is_create { VerbKind::CreateVm } else { VerbKind::StopVm };
            row
        },
    )
}

fn some_operation() -> impl Strategy<Value = Operation> {
    (number(), number(), name(), name(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(uuid, created, resource_name, user, is_ended, is_failed, has_target)| {
            let mut row = operation(uuid);
            row.create_time = time(created);
            row.resource_name = resource_name;
            row.caller.user_name = user;
            row.finish_time = is_ended.then_some(time(created));
            row.error = is_failed.then(|| hvnode_core::fail!(VmBusy).record());
            row.resource_uuid = has_target.then_some(Uuid::from_u128(created));
            row.resource_type = has_target.then_some(ResourceType::Image);
            row
        },
    )
}

/// At any time: clocks jump.
fn some_event() -> impl Strategy<Value = Event> {
    (number(), select(&["running", "stopped", ""][..]), number(), any::<bool>(), any::<bool>(), any::<u64>()).prop_map(
        |(vm, new, second, is_status, has_target, cursor)| {
            let mut row = vm_event(vm, new, second);
            row.cursor = cursor;
            row.kind = if is_status { EventKind::VmStatus } else { EventKind::JobStatus };
            row.resource = row.resource.filter(|_| has_target);
            row
        },
    )
}

fn some_write() -> impl Strategy<Value = Write> {
    prop_oneof![
        4 => some_job().prop_map(|row| Write::PutJob(Arc::new(row))),
        4 => some_operation().prop_map(|row| Write::PutOperation(Arc::new(row))),
        1 => number().prop_map(|n| Write::PutVm(Arc::new(vm(n)))),
        1 => number().prop_map(|n| Write::DeleteVm(Uuid::from_u128(n))),
        1 => number().prop_map(|n| Write::PutVolume(Arc::new(volume(n)))),
        1 => number().prop_map(|n| Write::DeleteVolume(Uuid::from_u128(n))),
        1 => number().prop_map(|n| Write::PutImage(Arc::new(image(n)))),
        1 => number().prop_map(|n| Write::DeleteImage(Uuid::from_u128(n))),
        1 => number().prop_map(|n| Write::PutSpecification(Arc::new(specification(n)))),
        1 => number().prop_map(|n| Write::DeleteSpecification(Uuid::from_u128(n))),
        1 => number().prop_map(|n| Write::PutAccount(Arc::new(account(n)))),
        1 => number().prop_map(|n| Write::DeleteAccount(Uuid::from_u128(n))),
        2 => (number(), number()).prop_map(|(n, user)| Write::PutToken(token(n, user))),
        1 => number().prop_map(|n| Write::DeleteToken(token(n, 0).token_hash)),
        1 => (1..9i32).prop_map(|ratio| Write::PutHostSettings(settings(f64::from(ratio)))),
        4 => some_event().prop_map(|row| Write::PutEvent(Arc::new(row))),
        1 => (number(), number(), number(), number()).prop_map(|(jobs, operations, tokens, events)| Write::Prune {
            jobs_before: time(jobs),
            operations_before: time(operations),
            tokens_before: time(tokens),
            events_before: time(events),
        }),
    ]
}

fn some_page() -> impl Strategy<Value = Page> {
    (0..4u64, prop_oneof![0..5u64, Just(u64::MAX)], any::<bool>()).prop_map(|(offset, limit, is_ascending)| Page {
        offset,
        limit,
        order: if is_ascending { SortOrder::Ascending } else { SortOrder::Descending },
    })
}

fn some_job_filter() -> impl Strategy<Value = JobFilter> {
    (vec(select(&STATUSES[..]), 0..3), option::of(number()), any::<bool>(), option::of(name())).prop_map(
        |(status, resource, of_kind, name)| JobFilter {
            status,
            resource_uuid: resource.map(Uuid::from_u128),
            verb: of_kind.then_some(VerbKind::StopVm),
            name,
        },
    )
}

fn some_operation_filter() -> impl Strategy<Value = OperationFilter> {
    (
        option::of(number()),
        option::of(number()),
        option::of(name()),
        any::<bool>(),
        option::of(number()),
        any::<Option<bool>>(),
        option::of(name()),
    )
        .prop_map(|(start, end, user_name, of_kind, resource, is_success, name)| OperationFilter {
            start_time: start.map(time),
            end_time: end.map(time),
            user_name,
            resource_type: of_kind.then_some(ResourceType::Image),
            resource_uuid: resource.map(Uuid::from_u128),
            is_success,
            name,
        })
}

/// Accounts have no equality, on purpose; their printed form will do.
fn comparable(state: &StoredState) -> String {
    format!("{state:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn sqlite_and_memory_give_the_same_answers(
        commits in vec((vec(some_write(), 0..6), any::<bool>()), 1..12),
        queries in vec((some_job_filter(), some_operation_filter(), some_page(), number()), 1..8),
        reopened_before: [bool; 12],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (_folder, path) = folder();
            let mut sqlite = SqliteStore::open(&path).unwrap();
            let memory = FakeStore::new(Faults::new());
            for ((writes, is_durable), is_reopened) in commits.into_iter().zip(reopened_before) {
                if is_reopened {
                    drop(sqlite);
                    sqlite = SqliteStore::open(&path).unwrap();
                }
                let durability = if is_durable { Durability::Durable } else { Durability::Relaxed };
                sqlite.commit(writes.clone(), durability).await.unwrap();
                memory.commit(writes, durability).await.unwrap();
            }
            prop_assert_eq!(sqlite.event_bounds().await.unwrap(), memory.event_bounds().await.unwrap());
            prop_assert_eq!(comparable(&sqlite.load().await.unwrap()), comparable(&memory.load().await.unwrap()));
            for (jobs, operations, page, n) in queries {
                let expected = memory.list_jobs(jobs.clone(), page).await.unwrap();
                prop_assert_eq!(sqlite.list_jobs(jobs, page).await.unwrap(), expected);
                let expected = memory.list_operations(operations.clone(), page).await.unwrap();
                prop_assert_eq!(sqlite.list_operations(operations, page).await.unwrap(), expected);
                let (after, limit) = (page.offset * 3, page.limit);
                let expected = memory.list_events(after, limit).await.unwrap();
                prop_assert_eq!(sqlite.list_events(after, limit).await.unwrap(), expected);
                let (uuid, since) = (Uuid::from_u128(n), time(n / 2));
                prop_assert_eq!(sqlite.job(uuid).await.unwrap(), memory.job(uuid).await.unwrap());
                prop_assert_eq!(sqlite.operation(uuid).await.unwrap(), memory.operation(uuid).await.unwrap());
                prop_assert_eq!(sqlite.job_by_request(uuid, since).await.unwrap(), memory.job_by_request(uuid, since).await.unwrap());
            }
            Ok(())
        })?;
    }
}
