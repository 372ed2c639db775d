//! The one image repository of a node.

use super::super::call::Call;
use super::super::check;
use super::super::envelope::Data;
use super::super::listing::{ListOptions, Row};
use super::Nothing;
use hvnode_core::engine::Snapshot;
use hvnode_core::model::{DEFAULT_REPOSITORY_NAME, DEFAULT_REPOSITORY_UUID, PoolSpace, Timestamp};
use hvnode_core::port::IMAGES_POOL;
use hvnode_core::{Result, fail};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

const STATUSES: [&str; 2] = ["available", "unavailable"];

/// An image repository.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Repository)]
pub(in super::super) struct RepositoryView<'a> {
    repository_uuid: Uuid,
    repository_name: &'static str,
    description: &'static str,
    /// available or unavailable.
    status: &'static str,
    path: &'a str,
    /// Bytes.
    storage_size: Option<u64>,
    /// Bytes.
    available_storage_size: Option<u64>,
    image_count: usize,
    create_time: Option<i64>,
    update_time: Option<i64>,
}

impl<'a> RepositoryView<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let pool = pool(snapshot, IMAGES_POOL);
        Self {
            repository_uuid: DEFAULT_REPOSITORY_UUID,
            repository_name: DEFAULT_REPOSITORY_NAME,
            description: "",
            status: STATUSES[usize::from(pool.is_none())],
            path: pool.map_or("", |pool| &pool.path),
            storage_size: pool.map(|pool| pool.capacity_bytes),
            available_storage_size: pool.map(|pool| pool.available_bytes),
            image_count: snapshot.images.len(),
            create_time: None,
            update_time: None,
        }
    }
}

/// One of our pools, once its space is known.
pub(super) fn pool<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a PoolSpace> {
    snapshot.pools.iter().find(|pool| pool.pool_name == name)
}

/// Is it the node's repository? Absent means it is.
///
/// # Errors
/// `ParameterInvalid`.
pub(super) fn check_repository(repository_uuid: Option<&str>) -> Result<bool> {
    let uuid = check::optional_uuid("repository_uuid", repository_uuid)?;
    Ok(uuid.is_none_or(|uuid| uuid == DEFAULT_REPOSITORY_UUID))
}

/// Which repository.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RepositoryTarget {
    #[schema(format = Uuid)]
    repository_uuid: String,
}

pub(in super::super) async fn list(call: Call, options: ListOptions, _: Nothing) -> Result<Data> {
    let plan = options.plan(Some(&STATUSES))?;
    let snapshot = call.snapshot();
    let view = RepositoryView::of(&snapshot);
    let (name, status) = (view.repository_name, view.status);
    let row = Row { create_time: Timestamp::default(), name, uuid: view.repository_uuid, item: () };
    let rows = if plan.admits(name, status) { vec![row] } else { Vec::new() };
    Data::of(&plan.page(rows, |()| RepositoryView::of(&snapshot)))
}

pub(in super::super) async fn inspect(call: Call, target: RepositoryTarget) -> Result<Data> {
    if !check_repository(Some(&target.repository_uuid))? {
        return Err(fail!(RepositoryNotExist));
    }
    let snapshot = call.snapshot();
    Data::of(&InspectedRepository { repository: RepositoryView::of(&snapshot) })
}

#[derive(Debug, Serialize)]
struct InspectedRepository<'a> {
    repository: RepositoryView<'a>,
}
