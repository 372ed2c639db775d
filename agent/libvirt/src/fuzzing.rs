//! What a fuzzer may reach: the readers of XML that others write. Only with the feature `fuzzing`, which no build of hvnode has.

use crate::xml::{parse_domain, parse_network, parse_volume, pool_target_path, reservations_of, resized};
use uuid::Uuid;

/// Memory of the resized domain.
const MEMORY_BYTES: u64 = 5 << 30;

/// Reads a text as everything that libvirt describes in XML. Whatever it is, none may panic; and a domain that can be resized must then
/// have the new size, and all else as before.
///
/// # Panics
/// Where that does not hold.
pub fn read_xml(xml: &str) {
    let before = parse_domain(xml);
    let _ = parse_network(xml, Uuid::nil(), "network".to_owned(), true);
    let _ = reservations_of(xml);
    let _ = pool_target_path(xml);
    let _ = parse_volume(xml);
    let (Ok(mut expected), Ok(text)) = (before, resized(xml, 3, MEMORY_BYTES)) else { return };
    let after = parse_domain(&text);
    assert!(after.is_ok(), "{after:?}\n{text}");
    let Ok(after) = after else { return };
    // A definition need not say its size.
    assert!(expected.memory_bytes == 0 || after.memory_bytes == MEMORY_BYTES, "{text}");
    (expected.cpu_cores, expected.memory_bytes) = (after.cpu_cores, after.memory_bytes);
    assert_eq!(after, expected, "{text}");
}
