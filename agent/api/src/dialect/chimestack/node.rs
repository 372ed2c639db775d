//! The one availability zone, cluster, host and pool: this node. Their identities are derived from the host's, so they never change.

use super::errors::Failure;
use super::input::Input;
use hvnode_core::engine::Snapshot;
use hvnode_core::fail;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Identities of what a single node has one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) az: Uuid,
    pub(super) cluster: Uuid,
    pub(super) host: Uuid,
    pub(super) pool: Uuid,
    pub(super) volume_spec: Uuid,
    pub(super) security_group: Uuid,
}

/// An identity made from another one and a word; always the same for the same two.
pub(super) fn derived(from: Uuid, word: &str) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(from.as_bytes());
    hash.update(word.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_sha1_bytes(bytes).into_uuid()
}

impl Node {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let host = snapshot.host_uuid();
        Self {
            az: derived(host, "az"),
            cluster: derived(host, "cluster"),
            host,
            pool: derived(host, "storage_pool"),
            volume_spec: derived(host, "volume_spec"),
            security_group: derived(host, "securitygroup"),
        }
    }

    /// What the path names must be of this node.
    ///
    /// # Errors
    /// 404 naming what does not exist.
    pub(super) fn check_path(&self, input: &Input) -> Result<(), Failure> {
        self.check(input, |names| names.0)
    }

    /// What the parameters name must be of this node.
    ///
    /// # Errors
    /// 404 naming what does not exist.
    pub(super) fn check_parameters(&self, input: &Input) -> Result<(), Failure> {
        self.check(input, |names| names.1)
    }

    fn check(&self, input: &Input, name_of: fn((&'static str, &'static str)) -> &'static str) -> Result<(), Failure> {
        let named = [
            ("Az", self.az, ("AzUuid", "az_uuid")),
            ("Cluster", self.cluster, ("ClusterUuid", "cluster_uuid")),
            ("Host", self.host, ("HostUuid", "host_uuid")),
            ("Volume spec", self.volume_spec, ("VolumeSpecUuid", "volume_spec_uuid")),
            ("Securitygroup", self.security_group, ("SgUuid", "sg_uuid")),
        ];
        let foreign = named.into_iter().find(|(_, own, names)| input.uuid(name_of(*names)).is_some_and(|uuid| uuid != *own));
        foreign.map_or(Ok(()), |(title, ..)| Err(Failure::no_such(title, fail!(HostNotExist))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_derived_is_stable_and_different_for_every_word() {
        let host = Uuid::from_u128(7);
        assert_eq!(derived(host, "az"), derived(host, "az"));
        assert_ne!(derived(host, "az"), derived(host, "cluster"));
        assert_ne!(derived(host, "az"), derived(Uuid::from_u128(8), "az"));
        assert_eq!(derived(host, "az").get_version_num(), 5);
    }
}
