//! Which change is offered by which API.

use crate::dialect::{Offered, chimestack, native, openstack, zstack};
use hvnode_core::model::VerbKind;
use std::collections::BTreeMap;
use std::fmt::Write as _;

type Missing = &'static [(VerbKind, &'static str)];

fn dialects() -> [(&'static str, Vec<Offered>, Missing); 4] {
    [
        ("native", native::offered(), native::NOT_IN_THIS_API),
        ("OpenStack", openstack::offered(), openstack::NOT_IN_THIS_API),
        ("ZStack", zstack::offered(), zstack::NOT_IN_THIS_API),
        ("ChimeStack", chimestack::offered(), chimestack::NOT_IN_THIS_API),
    ]
}

/// A row for each verb, a column for each API.
pub(super) fn table() -> String {
    let dialects = dialects();
    let mut table = String::from("| verb |");
    for (name, ..) in &dialects {
        let _ = write!(table, " {name} |");
    }
    table.push_str("\n|---|---|---|---|---|\n");
    for verb in VerbKind::ALL {
        let _ = write!(table, "| `{}` |", verb.word());
        for (_, offered, _) in &dialects {
            let _ = write!(table, " {} |", cell(offered, verb));
        }
        table.push('\n');
    }
    table
}

/// The first route or message behind which a verb stands.
fn cell(offered: &[Offered], verb: VerbKind) -> String {
    let mut rows = offered.iter().filter(|row| row.is_built && row.verb == Some(verb));
    let Some(row) = rows.next() else { return "–".to_owned() };
    let name = row.path.rsplit(".API").next().unwrap_or_default().trim_end_matches("Msg");
    if row.path.contains(".API") || !row.path.starts_with('/') {
        return format!("`{name}`");
    }
    format!("{} `{}`", row.method, row.path)
}

/// What is not in an API, and why.
pub(super) fn reasons() -> String {
    let mut text = String::new();
    for (name, _, missing) in dialects() {
        let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (verb, reason) in missing {
            by_reason.entry(reason).or_default().push(verb.word());
        }
        for (reason, verbs) in by_reason {
            let _ = writeln!(text, "- {name}, {}: {reason}.", verbs.join(", "));
        }
    }
    text
}
