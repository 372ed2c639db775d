//! Lists: paging, filters and order that every `…/list` route has.

use super::check;
use super::decode::from_query;
use hvnode_core::model::{DEFAULT_TENANT_UUID, Timestamp};
use hvnode_core::port::{Page, SortOrder};
use hvnode_core::{Result, fail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::cmp::Ordering;
use utoipa::ToSchema;
use uuid::Uuid;

/// Entries of a page where the caller does not say.
const PAGE_SIZE_DEFAULT: u64 = 50;
/// Most entries of a page, unless all are asked for.
const PAGE_SIZE_MAX: u64 = 1000;
/// Most rows of a log that "all" gives; `total_count` tells how many there are.
const LOG_ROWS_MAX: u64 = 10_000;

/// Names of the parameters in [`ListOptions`].
pub(super) const LIST_FIELDS: [&str; 7] = ["page_number", "page_size", "name", "status", "tenant_uuid", "sort_by", "sort_order"];

/// Parameters of every list.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListOptions {
    /// Page, from 1.
    #[schema(minimum = 1, default = 1)]
    page_number: Option<u64>,
    /// Entries of a page; 0 for all.
    #[schema(maximum = 1000, default = 50)]
    page_size: Option<u64>,
    /// Only entries whose name contains this.
    #[schema(max_length = 128)]
    name: Option<String>,
    /// Only entries in this state.
    status: Option<String>,
    /// Only entries of this tenant.
    #[schema(format = Uuid)]
    tenant_uuid: Option<String>,
    /// What to sort by.
    sort_by: Option<SortBy>,
    /// Descending for `create_time` and ascending for `name` unless said otherwise. Ties: name, then uuid.
    sort_order: Option<Direction>,
}

/// What a list can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SortBy {
    CreateTime,
    Name,
}

/// Direction of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Direction {
    Asc,
    Desc,
}

/// A list as an answer.
#[derive(Debug, Serialize)]
pub(super) struct ListData<T> {
    pub(super) total_count: u64,
    pub(super) list: Vec<T>,
}

impl<T> ListData<T> {
    /// All there is.
    pub(super) fn whole(list: Vec<T>) -> Self {
        Self { total_count: list.len() as u64, list }
    }
}

/// Takes the list parameters out of a query.
///
/// # Errors
/// `ParseParameter`, `ParameterInvalid`.
pub(super) fn take_options(query: &mut Map<String, Value>) -> Result<ListOptions> {
    let taken = LIST_FIELDS.iter().filter_map(|name| query.remove_entry(*name)).collect();
    from_query(&taken, &[])
}

/// Checked list parameters.
#[derive(Debug)]
pub(super) struct Plan {
    number: u64,
    /// `None` for all.
    size: Option<u64>,
    name: Option<String>,
    status: Option<String>,
    is_other_tenant: bool,
    sort_by: SortBy,
    direction: Direction,
}

impl ListOptions {
    /// Checks them. `statuses` are the words the resource knows; `None` where it has no status.
    ///
    /// # Errors
    /// `ParameterInvalid` naming the parameter.
    pub(super) fn plan(self, statuses: Option<&[&str]>) -> Result<Plan> {
        let number = check::within("page_number", self.page_number.unwrap_or(1), 1, u64::from(u32::MAX))?;
        let size = check::within("page_size", self.page_size.unwrap_or(PAGE_SIZE_DEFAULT), 0, PAGE_SIZE_MAX)?;
        if let Some(name) = &self.name {
            check::spoken_name("name", name)?;
        }
        if let Some(status) = &self.status {
            check_status(status, statuses)?;
        }
        let tenant = check::optional_uuid("tenant_uuid", self.tenant_uuid.as_deref())?;
        let sort_by = self.sort_by.unwrap_or(SortBy::CreateTime);
        let natural = if sort_by == SortBy::Name { Direction::Asc } else { Direction::Desc };
        Ok(Plan {
            number,
            size: (size > 0).then_some(size),
            name: self.name,
            status: self.status,
            is_other_tenant: tenant.is_some_and(|uuid| uuid != DEFAULT_TENANT_UUID),
            sort_by,
            direction: self.sort_order.unwrap_or(natural),
        })
    }

    /// [`ListOptions::plan`] where all entries are given unless a page is asked for.
    pub(super) fn plan_all(mut self, statuses: Option<&[&str]>) -> Result<Plan> {
        self.page_size = self.page_size.or(Some(0));
        self.plan(statuses)
    }
}

fn check_status(status: &str, statuses: Option<&[&str]>) -> Result<()> {
    match statuses {
        None => Err(fail!(ParameterInvalid, "status: these entries have no status"; "status: 此类资源没有状态")),
        Some(words) if !words.contains(&status) => {
            let words = words.join(", ");
            Err(fail!(ParameterInvalid, "status must be one of {words}"; "status 必须是其中之一: {words}"))
        }
        Some(_) => Ok(()),
    }
}

/// One candidate of a list.
#[derive(Debug)]
pub(super) struct Row<'a, T> {
    /// Zero where nobody knows.
    pub(super) create_time: Timestamp,
    pub(super) name: &'a str,
    pub(super) uuid: Uuid,
    pub(super) item: T,
}

impl Plan {
    /// Does the caller want an entry of this name and status? A node has one tenant, so any other one has no entries.
    pub(super) fn admits(&self, name: &str, status: &str) -> bool {
        !self.is_other_tenant
            && self.name.as_deref().is_none_or(|part| name.contains(part))
            && self.status.as_deref().is_none_or(|wanted| wanted == status)
    }

    /// Sorts the candidates and gives the page asked for.
    pub(super) fn page<T, V>(&self, mut rows: Vec<Row<'_, T>>, view: impl Fn(&T) -> V) -> ListData<V> {
        rows.sort_unstable_by(|a, b| self.compare(a, b));
        let (skip, take) = self.window();
        let list = rows.iter().skip(skip).take(take).map(|row| view(&row.item)).collect();
        ListData { total_count: rows.len() as u64, list }
    }

    fn compare<T>(&self, a: &Row<'_, T>, b: &Row<'_, T>) -> Ordering {
        let directed = |order: Ordering| if self.direction == Direction::Asc { order } else { order.reverse() };
        let by_name = || a.name.as_bytes().cmp(b.name.as_bytes());
        match self.sort_by {
            SortBy::CreateTime => directed(a.create_time.cmp(&b.create_time)).then_with(by_name),
            SortBy::Name => directed(by_name()).then_with(|| b.create_time.cmp(&a.create_time)),
        }
        .then_with(|| a.uuid.cmp(&b.uuid))
    }

    fn window(&self) -> (usize, usize) {
        match self.size {
            None if self.number == 1 => (0, usize::MAX),
            None => (usize::MAX, 0),
            Some(size) => (usize::try_from((self.number - 1) * size).unwrap_or(usize::MAX), usize::try_from(size).unwrap_or(usize::MAX)),
        }
    }

    /// The page of a log that the store reads; `None` where it is surely empty.
    ///
    /// # Errors
    /// `ParameterInvalid`: logs are sorted by time only.
    pub(super) fn log_page(&self) -> Result<Page> {
        if self.sort_by == SortBy::Name {
            return Err(fail!(ParameterInvalid, "sort_by must be create_time here"; "此处 sort_by 必须是 create_time"));
        }
        let limit = self.size.unwrap_or(LOG_ROWS_MAX);
        let order = if self.direction == Direction::Asc { SortOrder::Ascending } else { SortOrder::Descending };
        Ok(Page { offset: (self.number - 1) * limit, limit: if self.is_other_tenant { 0 } else { limit }, order })
    }

    /// Part of a name that is looked for.
    pub(super) fn name(&self) -> Option<String> {
        self.name.clone()
    }

    /// State that is looked for.
    pub(super) fn status(&self) -> Option<&str> {
        self.status.as_deref()
    }

    /// True where the caller asks for a tenant this node does not have.
    pub(super) fn is_other_tenant(&self) -> bool {
        self.is_other_tenant
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn plan(query: &Value) -> Result<Plan> {
        let mut query = query.as_object().unwrap().clone();
        take_options(&mut query)?.plan(Some(&["running", "stopped"]))
    }

    fn row(seconds: i64, name: &str, uuid: u128) -> Row<'_, u128> {
        Row { create_time: Timestamp::from_seconds(seconds), name, uuid: Uuid::from_u128(uuid), item: uuid }
    }

    fn order(query: &Value, rows: Vec<Row<'_, u128>>) -> Vec<u128> {
        plan(query).unwrap().page(rows, |item| *item).list
    }

    #[test]
    fn newest_come_first_then_name_then_uuid() {
        let rows = || vec![row(1, "b", 1), row(2, "b", 4), row(2, "a", 3), row(2, "a", 2), row(3, "z", 5)];
        assert_eq!(order(&json!({}), rows()), [5, 2, 3, 4, 1]);
        assert_eq!(order(&json!({"sort_order": "asc"}), rows()), [1, 2, 3, 4, 5]);
        assert_eq!(order(&json!({"sort_by": "name"}), rows()), [2, 3, 4, 1, 5]);
        assert_eq!(order(&json!({"sort_by": "name", "sort_order": "desc"}), rows()), [5, 4, 1, 2, 3]);
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        for (query, field) in [
            (json!({"page_number": "0"}), "page_number"),
            (json!({"page_number": "-1"}), "page_number"),
            (json!({"page_size": "1001"}), "page_size"),
            (json!({"page_size": "99999999999999999999999999"}), "page_size"),
            (json!({"status": "flying"}), "status"),
            (json!({"status": ""}), "status"),
            (json!({"tenant_uuid": "x"}), "tenant_uuid"),
            (json!({"sort_by": "size"}), "sort_by"),
            (json!({"sort_order": "up"}), "sort_order"),
            (json!({"name": "x".repeat(129)}), "name"),
        ] {
            let error = plan(&query).unwrap_err();
            assert_eq!((error.code().number(), error.detail().en.starts_with(field)), (10003, true), "{error}");
        }
    }

    #[test]
    fn another_tenant_has_nothing() {
        let other = plan(&json!({"tenant_uuid": Uuid::from_u128(7).to_string()})).unwrap();
        assert!(!other.admits("web", "running"));
        let own = plan(&json!({"tenant_uuid": DEFAULT_TENANT_UUID.to_string(), "name": "e"})).unwrap();
        assert!(own.admits("web", "running") && !own.admits("db", "running"));
    }

    proptest! {
        #[test]
        fn pages_put_together_are_the_whole_list(count in 0_usize..60, size in 1_u64..20, times in prop::collection::vec(0_i64..5, 60)) {
            let rows = || (0..count).map(|n| row(times[n], "x", n as u128)).collect::<Vec<_>>();
            let whole = order(&json!({"page_size": "0"}), rows());
            let mut joined = Vec::new();
            for number in 1..=(count as u64 / size + 1) {
                let page = plan(&json!({"page_size": size.to_string(), "page_number": number.to_string()})).unwrap().page(rows(), |item| *item);
                prop_assert_eq!(page.total_count, count as u64);
                joined.extend(page.list);
            }
            prop_assert_eq!(whole, joined);
        }
    }
}
