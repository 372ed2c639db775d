//! Names and descriptions that only this API has: of the az, the cluster, NICs, and descriptions of volumes.

use super::DIALECT;
use super::call::Call;
use super::input::Input;
use crate::records::value_of;
use hvnode_core::{Result, at};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

const KIND: &str = "label";

/// What was said about an object; empty where nothing was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Label {
    pub(super) name: String,
    pub(super) description: String,
}

impl Label {
    /// Of an object.
    pub(super) fn of(call: &Call, uuid: Uuid) -> Self {
        call.context.records.get(DIALECT, KIND, &uuid.to_string()).and_then(|record| value_of(&record)).unwrap_or_default()
    }

    /// The name, or another one where none was given.
    pub(super) fn name_or(&self, other: impl FnOnce() -> String) -> String {
        if self.name.is_empty() { other() } else { self.name.clone() }
    }

    /// What a request says of it, the rest as it is.
    pub(super) fn changed(mut self, input: &Input) -> Self {
        self.name = input.owned("name").unwrap_or(self.name);
        self.description = input.owned("description").unwrap_or(self.description);
        self
    }

    /// Keeps it.
    ///
    /// # Errors
    /// `StoreFailed`, `TooManyRequests`.
    pub(super) async fn keep(&self, call: &Call, uuid: Uuid) -> Result<()> {
        call.context.records.put(DIALECT, KIND, &uuid.to_string(), self).await.map(drop).map_err(at!())
    }
}

/// Forgets what was said about objects that are gone; `kept` are those that no picture shows.
///
/// # Errors
/// `StoreFailed`.
pub(super) async fn forget_gone(call: &Call, kept: &[Uuid]) -> Result<()> {
    // First the labels, then the picture: what has a label was in the picture before.
    let labels = call.context.records.list(DIALECT, KIND);
    let snapshot = call.context.engine.snapshot();
    let records = snapshot.vms.values().filter_map(|vm| vm.record.as_ref());
    let nics = records.flat_map(|record| record.nics.iter().map(|nic| nic.interface_uuid));
    let present: BTreeSet<String> =
        nics.chain(snapshot.volumes.keys().copied()).chain(kept.iter().copied()).map(|uuid| uuid.to_string()).collect();
    for record in labels.iter().filter(|record| !present.contains(&record.key.id)) {
        call.context.records.delete(DIALECT, KIND, &record.key.id).await.map_err(at!())?;
    }
    Ok(())
}
