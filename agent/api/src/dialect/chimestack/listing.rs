//! Lists: filters, order and pages that every list route has, over the objects as they are shown.

use super::field::PAGE_SIZE_MAX;
use super::input::Input;
use super::route::{Resource, Type};
use hvnode_core::{Result, fail};
use serde_json::{Value, json};
use std::cmp::Ordering;

/// One page of a list, before it is put into its form.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) elements: Vec<Value>,
    pub(super) total: u64,
}

impl Page {
    /// As results show it.
    pub(super) fn into_result(self) -> Value {
        json!({ "size": self.elements.len(), "total": self.total, "elements": self.elements })
    }
}

/// Which rows of a log are asked for: offset and limit.
pub(super) fn window(input: &Input) -> (u64, u64) {
    let size = input.whole("size").unwrap_or(PAGE_SIZE_MAX);
    ((input.whole("page").unwrap_or(1) - 1) * size, size)
}

/// Filters, sorts and cuts `rows`.
///
/// # Errors
/// `ParameterInvalid` where the field to sort by is none.
pub(super) fn page(input: &Input, resource: &Resource, mut rows: Vec<Value>) -> Result<Page> {
    rows.retain(|row| is_wanted(input, resource, row));
    let is_descending = input.text("order") == Some("desc");
    match input.text("sort").filter(|name| !name.is_empty()) {
        Some(name) => {
            check_sort(resource, name)?;
            rows.sort_by(|a, b| {
                let order = compare(&a[name], &b[name]);
                if is_descending { order.reverse() } else { order }
            });
        }
        None => {
            rows.sort_by(|a, b| compare(&b["created_at"], &a["created_at"]).then_with(|| compare(&a["name"], &b["name"])));
            if input.text("order") == Some("asc") {
                rows.reverse();
            }
        }
    }
    let total = rows.len() as u64;
    let (skip, take) = window(input);
    let (skip, take) = (usize::try_from(skip).unwrap_or(usize::MAX), usize::try_from(take).unwrap_or(usize::MAX));
    Ok(Page { elements: rows.into_iter().skip(skip).take(take).collect(), total })
}

fn is_wanted(input: &Input, resource: &Resource, row: &Value) -> bool {
    let has_name = |part: &str| row["name"].as_str().is_some_and(|name| name.contains(part));
    let is_equal = |wanted: &Value, found: &Value| wanted == found || (wanted.as_i64().is_some() && wanted.as_i64() == found.as_i64());
    input.text("name").is_none_or(has_name)
        && resource.filters.iter().all(|field| input.value(field.name).is_none_or(|wanted| is_equal(wanted, &row[field.name])))
}

fn check_sort(resource: &Resource, name: &str) -> Result<()> {
    let is_scalar = |kind: Type| !matches!(kind, Type::List(_) | Type::Texts | Type::Any | Type::Null);
    if resource.shape.iter().any(|(field, kind)| *field == name && is_scalar(*kind)) {
        return Ok(());
    }
    let fields = resource.shape.iter().filter(|(_, kind)| is_scalar(*kind)).map(|(field, _)| *field).collect::<Vec<_>>().join(", ");
    Err(fail!(ParameterInvalid, "sort must be one of {fields}"))
}

/// Numbers by size, texts by their characters; what is absent comes first.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_f64(), b.as_f64(), a.as_str(), b.as_str()) {
        (Some(a), Some(b), ..) => a.total_cmp(&b),
        (_, _, Some(a), Some(b)) => a.cmp(b),
        _ => (!a.is_null()).cmp(&!b.is_null()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::field::{Field, Kind, LIST, query};
    use super::super::input::read;
    use super::*;
    use serde_json::Map;

    const FILTERS: &[Field] = &[query("state", Kind::Whole(0, 9))];
    const THING: Resource = Resource {
        key: "thing",
        title: "Thing",
        shape: &[("name", Type::Text), ("state", Type::Whole), ("created_at", Type::Time), ("parts", Type::Texts)],
        filters: FILTERS,
    };

    fn names(asked: &[(&str, &str)]) -> Result<(Vec<String>, u64)> {
        let rows = [("b", 1, Some("2024")), ("a", 10, Some("2025")), ("ab", 1, None)];
        let rows = rows.iter().map(|(name, state, time)| json!({"name": name, "state": state, "created_at": time})).collect();
        let fields = [LIST, FILTERS].concat();
        let asked = asked.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let page = page(&read(&fields, &[], asked, &Map::new())?, &THING, rows)?;
        Ok((page.elements.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect(), page.total))
    }

    #[test]
    fn newest_come_first_unless_said_otherwise() {
        for (asked, expected) in [
            (&[][..], &["a", "b", "ab"][..]),
            (&[("order", "asc")], &["ab", "b", "a"]),
            (&[("sort", "name")], &["a", "ab", "b"]),
            (&[("sort", "state"), ("order", "desc")], &["a", "b", "ab"]),
            (&[("name", "b")], &["b", "ab"]),
            (&[("state", "1"), ("name", "a")], &["ab"]),
        ] {
            assert_eq!(names(asked).unwrap().0, expected, "{asked:?}");
        }
    }

    #[test]
    fn a_page_tells_how_many_there_are_in_all() {
        assert_eq!(names(&[("page", "2"), ("size", "2")]).unwrap(), (vec!["ab".to_owned()], 3));
        assert_eq!(names(&[("page", "9"), ("size", "2")]).unwrap(), (Vec::new(), 3));
    }

    #[test]
    fn bad_parameters_are_refused_by_name() {
        for (name, value) in
            [("page", "0"), ("page", "-1"), ("size", "0"), ("size", "1001"), ("order", "up"), ("sort", "parts"), ("state", "x")]
        {
            let error = names(&[(name, value)]).unwrap_err();
            assert!(error.code().http_status() == 400 && error.message().contains(name), "{name}={value}: {error}");
        }
    }
}
