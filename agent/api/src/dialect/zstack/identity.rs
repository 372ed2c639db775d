//! Identifiers: 32 hexadecimal digits, and the fixed ones of what a node has exactly one of.

use crate::accounts::FIRST_ACCOUNT_NAME;
use hvnode_core::model::Account;
use uuid::Uuid;

/// What a stock management node calls its built-in administrator.
const ADMIN_ACCOUNT_UUID: Uuid = Uuid::from_u128(0x36c2_7e8f_f05c_4780_bf6d_2fa6_5700_f22e);
/// The zone that this node stands in.
pub(super) const ZONE_UUID: Uuid = Uuid::from_u128(0x7d5a_2f1e_0000_4000_8000_0000_0000_0011);
/// The cluster that this node is the one host of.
pub(super) const CLUSTER_UUID: Uuid = Uuid::from_u128(0x7d5a_2f1e_0000_4000_8000_0000_0000_0012);
/// The pool of disks.
pub(super) const PRIMARY_STORAGE_UUID: Uuid = Uuid::from_u128(0x7d5a_2f1e_0000_4000_8000_0000_0000_0013);
/// The pool of images.
pub(super) const BACKUP_STORAGE_UUID: Uuid = Uuid::from_u128(0x7d5a_2f1e_0000_4000_8000_0000_0000_0014);

/// The form on the wire.
pub(super) fn hex(uuid: Uuid) -> String {
    uuid.simple().to_string()
}

/// An identity for a part of something that has none of its own; the same each time.
pub(super) fn part_of(uuid: Uuid, part: u64) -> Uuid {
    // Odd multiples of one odd number: different for each part, and never zero.
    let mask = u128::from(part.wrapping_mul(2).wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    Uuid::from_u128(uuid.as_u128() ^ mask)
}

/// The first account is the built-in administrator that clients know by its uuid.
pub(super) fn account_uuid(account: &Account) -> Uuid {
    if account.user_name == FIRST_ACCOUNT_NAME { ADMIN_ACCOUNT_UUID } else { account.user_uuid }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_identities_of_their_own() {
        let uuid = Uuid::from_u128(7);
        let mut all: Vec<Uuid> = (0..100).map(|part| part_of(uuid, part)).collect();
        all.push(uuid);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 101);
        assert_eq!(hex(ADMIN_ACCOUNT_UUID), "36c27e8ff05c4780bf6d2fa65700f22e");
    }
}
