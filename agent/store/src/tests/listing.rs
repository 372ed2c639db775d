//! Pages, order and filters.

use super::{ALL, account, job, operation, store, time, token};
use hvnode_core::fail;
use hvnode_core::model::{JobStatus, ResourceKey, ResourceType, VerbKind};
use hvnode_core::port::{Durability, JobFilter, OperationFilter, Page, SortOrder, Store, Write};
use std::sync::Arc;
use uuid::Uuid;

fn jobs(jobs: impl IntoIterator<Item = hvnode_core::model::Job>) -> Vec<Write> {
    jobs.into_iter().map(|job| Write::PutJob(Arc::new(job))).collect()
}

#[tokio::test]
async fn pages_do_not_overlap_and_equal_times_are_ordered_by_uuid() {
    let (_folder, store) = store();
    let mut rows: Vec<_> = (1..=10).map(|number| job(number, JobStatus::Succeeded)).collect();
    rows.iter_mut().for_each(|job| job.create_time = time(job.job_uuid.as_u128() / 5));
    store.commit(jobs(rows), Durability::Durable).await.unwrap();
    let mut seen = Vec::new();
    for offset in [0, 4, 8, 12] {
        let page = Page { offset, limit: 4, order: SortOrder::Ascending };
        let listing = store.list_jobs(JobFilter::default(), page).await.unwrap();
        assert_eq!(listing.total_count, 10);
        seen.extend(listing.rows.iter().map(|job| job.job_uuid.as_u128()));
    }
    assert_eq!(seen, (1..=10).collect::<Vec<_>>());
    let newest = store.list_jobs(JobFilter::default(), Page { limit: 2, ..ALL }).await.unwrap().rows;
    assert_eq!(newest.iter().map(|job| job.job_uuid.as_u128()).collect::<Vec<_>>(), [10, 9]);
    assert_eq!(store.list_jobs(JobFilter::default(), Page { offset: u64::MAX, ..ALL }).await.unwrap().rows, []);
}

#[tokio::test]
async fn names_are_searched_for_as_they_are_written() {
    let (_folder, store) = store();
    let names = ["50%", "50x", "a_b", "axb", "it's", "back\\slash", "数据库", "Web", "web"];
    let rows = names.iter().zip(1..).map(|(name, number)| {
        let mut job = job(number, JobStatus::Succeeded);
        job.resource_name = (*name).to_owned();
        job
    });
    store.commit(jobs(rows), Durability::Durable).await.unwrap();
    for (wanted, found) in [
        ("0%", vec!["50%"]),
        ("_", vec!["a_b"]),
        ("'", vec!["it's"]),
        ("\\", vec!["back\\slash"]),
        ("据", vec!["数据库"]),
        ("web", vec!["web"]),
    ] {
        let filter = JobFilter { name: Some(wanted.into()), ..JobFilter::default() };
        let rows = store.list_jobs(filter, ALL).await.unwrap().rows;
        assert_eq!(rows.iter().map(|job| job.resource_name.as_str()).collect::<Vec<_>>(), found, "{wanted}");
    }
}

#[tokio::test]
async fn jobs_are_found_by_state_resource_and_kind() {
    let (_folder, store) = store();
    let mut other = job(3, JobStatus::Failed);
    other.resource = ResourceKey { kind: ResourceType::Image, uuid: Uuid::from_u128(5) };
    other.verb = VerbKind::CreateImage;
    store.commit(jobs([job(1, JobStatus::Queued), job(2, JobStatus::Running), other]), Durability::Durable).await.unwrap();
    let count = |filter| async { store.list_jobs(filter, ALL).await.unwrap().total_count };
    assert_eq!(count(JobFilter { status: vec![JobStatus::Queued, JobStatus::Failed], ..JobFilter::default() }).await, 2);
    assert_eq!(count(JobFilter { resource_uuid: Some(Uuid::from_u128(5)), ..JobFilter::default() }).await, 1);
    assert_eq!(count(JobFilter { verb: Some(VerbKind::StartVm), ..JobFilter::default() }).await, 2);
    assert_eq!(count(JobFilter { verb: Some(VerbKind::StopVm), ..JobFilter::default() }).await, 0);
    assert_eq!(store.load().await.unwrap().open_jobs.len(), 2);
    assert_eq!(store.job(Uuid::from_u128(2)).await.unwrap(), Some(job(2, JobStatus::Running)));
    assert_eq!(store.job(Uuid::from_u128(99)).await.unwrap(), None);
}

#[tokio::test]
async fn the_newest_job_of_a_request_is_found_unless_it_is_too_old() {
    let (_folder, store) = store();
    let key = Uuid::from_u128(77);
    let rows = (1..=3).map(|number| hvnode_core::model::Job { request_uuid: Some(key), ..job(number, JobStatus::Succeeded) });
    store.commit(jobs(rows), Durability::Durable).await.unwrap();
    assert_eq!(store.job_by_request(key, time(0)).await.unwrap().map(|job| job.job_uuid.as_u128()), Some(3));
    assert_eq!(store.job_by_request(key, time(4)).await.unwrap(), None);
    assert_eq!(store.job_by_request(Uuid::nil(), time(0)).await.unwrap(), None);
}

#[tokio::test]
async fn operations_are_found_by_time_caller_target_and_outcome() {
    let (_folder, store) = store();
    let mut failed = operation(2);
    failed.finish_time = Some(time(2));
    failed.error = Some(fail!(VmBusy).record());
    let mut good = operation(3);
    good.finish_time = Some(time(3));
    good.caller.user_name = "anna".into();
    good.resource_type = None;
    good.resource_uuid = None;
    let writes = [operation(1), failed.clone(), good.clone()].map(|operation| Write::PutOperation(Arc::new(operation)));
    store.commit(writes.into(), Durability::Durable).await.unwrap();
    let find = |filter| async {
        let rows = store.list_operations(filter, ALL).await.unwrap().rows;
        rows.iter().map(|operation| operation.operation_uuid.as_u128()).collect::<Vec<_>>()
    };
    let filter = OperationFilter::default;
    assert_eq!(find(filter()).await, [3, 2, 1]);
    assert_eq!(find(OperationFilter { start_time: Some(time(2)), end_time: Some(time(2)), ..filter() }).await, [2]);
    assert_eq!(find(OperationFilter { user_name: Some("anna".into()), ..filter() }).await, [3]);
    assert_eq!(find(OperationFilter { resource_type: Some(ResourceType::Vm), ..filter() }).await, [2, 1]);
    assert_eq!(find(OperationFilter { resource_uuid: Some(Uuid::from_u128(1000)), ..filter() }).await, [2, 1]);
    assert_eq!(find(OperationFilter { is_success: Some(true), ..filter() }).await, [3]);
    assert_eq!(find(OperationFilter { is_success: Some(false), ..filter() }).await, [2]);
    assert_eq!(store.operation(failed.operation_uuid).await.unwrap(), Some(failed));
}

#[tokio::test]
async fn pruning_takes_what_is_old_and_spares_open_jobs() {
    let (_folder, store) = store();
    let mut writes = jobs([job(1, JobStatus::Running), job(2, JobStatus::Failed), job(30, JobStatus::Succeeded)]);
    writes.extend([2, 30].map(|number| Write::PutOperation(Arc::new(operation(number)))));
    writes.extend([Write::PutAccount(Arc::new(account(1))), Write::PutToken(token(2, 1)), Write::PutToken(token(30, 1))]);
    store.commit(writes, Durability::Durable).await.unwrap();
    let before = time(10);
    let prune = Write::Prune { jobs_before: before, operations_before: before, tokens_before: before, events_before: before };
    store.commit(vec![prune], Durability::Relaxed).await.unwrap();
    let left = store.list_jobs(JobFilter::default(), ALL).await.unwrap().rows;
    assert_eq!(left.iter().map(|job| job.job_uuid.as_u128()).collect::<Vec<_>>(), [30, 1]);
    assert_eq!(store.list_operations(OperationFilter::default(), ALL).await.unwrap().total_count, 1);
    assert_eq!(store.load().await.unwrap().tokens, [token(30, 1)]);
    store.commit(vec![Write::DeleteAccount(Uuid::from_u128(1))], Durability::Durable).await.unwrap();
    assert_eq!(store.load().await.unwrap().tokens, []);
}
