//! What each dialect offers: every verb of the engine is either behind one of its routes or is not in that API, with the reason.

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
}
