//! What each dialect offers: every verb of the engine is either behind one of its routes or is not in that API, with the reason.

use crate::access::Access;
use hvnode_core::model::VerbKind;

/// One route or message as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// `GET`, `POST`, …
    pub method: &'static str,
    /// Path, or the name of a message.
    pub path: &'static str,
    /// The verb of the engine behind it, for changes.
    pub verb: Option<VerbKind>,
    /// False where it always answers that this node does not do it.
    pub is_built: bool,
    /// Who may use it.
    pub access: Access,
    /// What it does.
    pub summary: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{chimestack, native, openstack, zstack};
    use std::collections::BTreeSet;

    type Missing = &'static [(VerbKind, &'static str)];

    /// Dialect, what it offers, and the verbs that its API has no word for.
    fn dialects() -> Vec<(&'static str, Vec<Offered>, Missing)> {
        vec![
            ("native", native::offered(), native::NOT_IN_THIS_API),
            ("openstack", openstack::offered(), openstack::NOT_IN_THIS_API),
            ("zstack", zstack::offered(), zstack::NOT_IN_THIS_API),
            ("chimestack", chimestack::offered(), chimestack::NOT_IN_THIS_API),
        ]
    }

    #[test]
    fn every_verb_is_offered_by_every_dialect_or_said_not_to_be_in_its_api() {
        for (dialect, offered, missing) in dialects() {
            let behind: BTreeSet<&str> = offered.iter().filter(|o| o.is_built).filter_map(|o| o.verb).map(VerbKind::word).collect();
            let missing: BTreeSet<&str> = missing.iter().map(|(verb, _)| verb.word()).collect();
            let both: Vec<_> = behind.intersection(&missing).collect();
            assert!(both.is_empty(), "{dialect} offers what it says is not in its API: {both:?}");
            let all: BTreeSet<&str> = VerbKind::ALL.iter().map(|verb| verb.word()).collect();
            let neither: Vec<_> = all.iter().filter(|verb| !behind.contains(*verb) && !missing.contains(*verb)).collect();
            assert!(neither.is_empty(), "{dialect} neither offers nor excludes {neither:?}");
        }
    }

    /// `docs/roles.md` between its head, which people write, and its end.
    fn roles() -> String {
        let mut text = String::new();
        for (dialect, offered, _) in dialects() {
            text.push_str(&format!("\n## {dialect}\n| least role | route or message | what it does |\n|---|---|---|\n"));
            let mut rows: Vec<_> = offered.iter().filter(|row| row.is_built).collect();
            rows.sort_by_key(|row| (row.access, row.path, row.method));
            rows.dedup_by_key(|row| (row.path, row.method));
            for row in rows {
                let role = row.access.least_role().map_or("none, no token", crate::access::role_word);
                let method = if dialect == "zstack" { String::new() } else { format!("{} ", row.method) };
                text.push_str(&format!("| {role} | `{method}{}` | {} |\n", row.path, row.summary));
            }
        }
        text
    }

    #[test]
    fn the_table_of_roles_in_the_docs_is_true() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/roles.md");
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        let head = golden.split("\n## ").next().unwrap_or_default().trim_end();
        let text = format!("{head}\n{}", roles());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let command = "UPDATE_GOLDEN=1 cargo nextest run -p hvnode-api table_of_roles";
        assert!(
            golden == text || std::env::var_os("UPDATE_GOLDEN").is_some(),
            "docs/roles.md is not true any more; {command} writes it anew"
        );
    }

    #[test]
    fn every_verb_of_the_engine_needs_the_same_role_in_every_dialect() {
        for (dialect, offered, _) in dialects() {
            for row in offered.iter().filter(|row| row.verb.is_some()) {
                assert_eq!(row.access, Access::Change, "{dialect} {}", row.path);
            }
        }
    }
}
