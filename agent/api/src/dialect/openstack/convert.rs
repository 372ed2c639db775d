//! Units, identifiers and times as this API writes them.

use hvnode_core::model::{DEFAULT_TENANT_UUID, GIBIBYTE, MEBIBYTE, Timestamp};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Name of the only project.
pub(super) const PROJECT_NAME: &str = "admin";
/// The only domain.
pub(super) const DOMAIN_ID: &str = "default";
/// Its name.
pub(super) const DOMAIN_NAME: &str = "Default";
/// The only region.
pub(super) const REGION: &str = "RegionOne";
/// The only availability zone.
pub(super) const ZONE: &str = "nova";

/// The only project: 32 hexadecimal digits, as all identifiers of the identity service.
pub(super) fn project_id() -> String {
    simple(DEFAULT_TENANT_UUID)
}

/// 32 hexadecimal digits.
pub(super) fn simple(uuid: Uuid) -> String {
    uuid.simple().to_string()
}

/// Whole mebibytes, rounded down.
pub(super) fn mebibytes(bytes: u64) -> u64 {
    bytes / MEBIBYTE
}

/// Whole gibibytes, rounded down.
pub(super) fn gibibytes(bytes: u64) -> u64 {
    bytes / GIBIBYTE
}

/// Whole gibibytes, rounded up: what a disk needs at least.
pub(super) fn gibibytes_up(bytes: u64) -> u64 {
    bytes.div_ceil(GIBIBYTE)
}

/// `2026-02-03T04:05:06Z`.
pub(super) fn zulu(time: Timestamp) -> String {
    jiff::Timestamp::from_second(time.seconds()).map_or_else(|_| "1970-01-01T00:00:00Z".to_owned(), |time| time.to_string())
}

/// `2026-02-03T04:05:06.000007`, without a zone.
pub(super) fn micro(time: Timestamp) -> String {
    let text = zulu(time);
    let microseconds = time.0.rem_euclid(1_000_000_000) / 1000;
    format!("{}.{microseconds:06}", text.trim_end_matches('Z'))
}

/// `2026-02-03T04:05:06.000007Z`.
pub(super) fn micro_zulu(time: Timestamp) -> String {
    micro(time) + "Z"
}

/// `req-<uuid>` from the identity that the frame gave.
pub(super) fn request_id(id: &str) -> String {
    if id.starts_with("req-") { id.to_owned() } else { format!("req-{id}") }
}

/// What Nova calls the host of a project: the same for all servers of this node, told apart from other hosts and not naming it.
pub(super) fn host_id(host_name: &str) -> String {
    let digest = Sha256::digest(format!("{}{host_name}", project_id()).as_bytes());
    digest.iter().take(28).map(|byte| format!("{byte:02x}")).collect()
}

/// The number that libvirt makes of `10.0.2`: 10000002.
pub(super) fn version_number(version: &str) -> u64 {
    let mut parts =
        version.split('.').map(|part| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0).min(999);
    next() * 1_000_000 + next() * 1000 + next()
}

/// Is this the project that a path or header names?
pub(super) fn is_project(id: &str) -> bool {
    Uuid::try_parse(id).is_ok_and(|uuid| uuid == DEFAULT_TENANT_UUID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_form_of_their_service() {
        let time = Timestamp(1_600_000_000_000_007_000);
        assert_eq!(zulu(time), "2020-09-13T12:26:40Z");
        assert_eq!(micro(time), "2020-09-13T12:26:40.000007");
        assert_eq!(micro_zulu(time), "2020-09-13T12:26:40.000007Z");
    }

    #[test]
    fn a_version_is_a_number_that_sorts() {
        assert_eq!(version_number("10.0.2"), 10_000_002);
        assert_eq!(version_number("8.2.2-debian"), 8_002_002);
        assert_eq!(version_number(""), 0);
    }

    #[test]
    fn sizes_round_down_for_display_and_up_for_what_is_needed() {
        assert_eq!((gibibytes(GIBIBYTE * 2 - 1), gibibytes_up(GIBIBYTE + 1), mebibytes(MEBIBYTE * 3 - 1)), (1, 2, 2));
    }
}
