//! The query language: conditions over inventories, counts, order, pages.

mod condition;
mod kind;

pub(super) use kind::Kind;

use super::call::{Call, Outcome, Reply, one};
use super::fields::Fields;
use super::inventory::Scene;
use condition::{Condition, Key};
use hvnode_core::{Result, fail};
use kind::Others;
use serde_json::Value;

/// Objects of one answer where the caller does not say.
const LIMIT_DEFAULT: usize = 1000;
/// Most conditions of one query.
const CONDITIONS_MAX: usize = 64;

/// Answers a query over one kind.
pub(super) fn run(call: &Call, kind: Kind, fields: &Fields) -> Outcome {
    let plan = Plan::of(kind, fields)?;
    let scene = Scene::of(&call.context);
    let mut rows = kind.rows(&scene);
    let mut others = Others::new(&scene);
    for condition in &plan.conditions {
        condition.keep(&mut others, &mut rows);
    }
    let total = rows.len();
    if plan.is_count {
        return Ok(one("total", total));
    }
    plan.sort(&mut rows);
    let rows = rows.into_iter().skip(plan.start).take(plan.limit);
    let mut reply: Reply = one("inventories", rows.map(|row| plan.shown(row)).collect::<Vec<_>>());
    if plan.has_total {
        reply.insert("total".into(), total.into());
    }
    Ok(reply)
}

/// A query understood.
struct Plan {
    conditions: Vec<Condition>,
    limit: usize,
    start: usize,
    is_count: bool,
    has_total: bool,
    sort_by: Option<String>,
    is_descending: bool,
    fields: Option<Vec<String>>,
}

impl Plan {
    fn of(kind: Kind, fields: &Fields) -> Result<Self> {
        let sort_by = fields.text("sortBy")?;
        if let Some(name) = &sort_by {
            kind.check_scalar("sortBy", name)?;
        }
        let shown = fields.texts("fields")?.filter(|names| !names.is_empty());
        for name in shown.iter().flatten() {
            kind.check_field("fields", name)?;
        }
        Ok(Self {
            conditions: conditions(kind, fields)?,
            limit: fields.number("limit")?.unwrap_or(LIMIT_DEFAULT),
            start: fields.number("start")?.unwrap_or(0),
            is_count: fields.flag("count")?,
            has_total: fields.flag("replyWithCount")?,
            sort_by,
            is_descending: fields.word("sortDirection", &["asc", "desc"])? == Some("desc"),
            fields: shown,
        })
    }

    fn sort(&self, rows: &mut [Value]) {
        let Some(name) = &self.sort_by else { return };
        if self.is_descending {
            rows.sort_by_cached_key(|row| std::cmp::Reverse(Key::of(name, row.get(name))));
        } else {
            rows.sort_by_cached_key(|row| Key::of(name, row.get(name)));
        }
    }

    fn shown(&self, mut row: Value) -> Value {
        if let (Some(names), Value::Object(object)) = (&self.fields, &mut row) {
            object.retain(|name, _| names.contains(name));
        }
        row
    }
}

fn conditions(kind: Kind, fields: &Fields) -> Result<Vec<Condition>> {
    let wrong = || {
        fail!(ParameterInvalid,
        "conditions must be a list of {{name, op, value}}, empty for all"; "conditions 须为 {{name, op, value}} 列表，查询全部时为空列表")
    };
    let items = match fields.0.get("conditions") {
        Some(Value::Array(items)) => items,
        None | Some(Value::Null) => return Err(super::fields::missing("conditions")),
        Some(_) => return Err(wrong()),
    };
    if items.len() > CONDITIONS_MAX {
        return Err(fail!(ParameterInvalid, "conditions must have at most {CONDITIONS_MAX} items"; "conditions 最多 {CONDITIONS_MAX} 项"));
    }
    let read = |item: &Value| Condition::read(kind, &Fields(item.as_object().ok_or_else(wrong)?.clone()));
    items.iter().map(read).collect()
}
