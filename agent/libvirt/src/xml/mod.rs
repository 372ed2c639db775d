//! XML in and out. Out: typed structs, so that no value can break out of its place. In: tolerant look-ups, because others write XML too.

mod device;
mod domain;
mod edit;
mod metadata;
mod network;
mod read;
mod storage;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use device::MEMORY_REPORT_SECONDS;
pub(crate) use domain::{RenderContext, domain_xml};
pub(crate) use edit::resized;
pub use metadata::METADATA_NAMESPACE;
pub(crate) use metadata::{FoundMetadata, METADATA_PREFIX, MetadataElement, metadata_xml, title_of};
pub(crate) use network::{Reservations, dns_label, host_xml, parse_network, reservations_of};
pub(crate) use read::{ParsedDomain, parse_domain};
pub(crate) use storage::{PoolOwner, VolumeXml, parse_volume, pool_target_path, pool_xml, volume_xml};

use hvnode_core::{Result, fail};
use roxmltree::Node;
use serde::Serialize;

/// True for characters that XML 1.0 can carry, escaped or not.
pub(crate) fn is_xml_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Serialises one of our structs.
fn to_xml(root: &str, value: &impl Serialize) -> Result<String> {
    let mut text = String::new();
    let mut serializer = quick_xml::se::Serializer::with_root(&mut text, Some(root))
        .map_err(|e| fail!(Internal, "no XML root"; "XML 根元素错误").caused_by(e))?;
    serializer.indent(' ', 2);
    value.serialize(serializer).map_err(|e| fail!(Internal, "cannot write XML"; "无法生成 XML").caused_by(e))?;
    Ok(text)
}

/// Parses XML that libvirt gave us.
pub(crate) fn parse(xml: &str) -> Result<roxmltree::Document<'_>> {
    roxmltree::Document::parse(xml).map_err(|e| fail!(Internal, "libvirt's XML cannot be read"; "无法解析 libvirt 的 XML").caused_by(e))
}

/// First child element of that name.
pub(crate) fn child<'a, 'd>(node: Node<'a, 'd>, name: &str) -> Option<Node<'a, 'd>> {
    node.children().find(|n| n.has_tag_name(name))
}

/// Every child element of that name.
pub(crate) fn children<'a, 'd>(node: Node<'a, 'd>, name: &'static str) -> impl Iterator<Item = Node<'a, 'd>> {
    node.children().filter(move |n| n.has_tag_name(name))
}

/// The element at the end of a path of child names.
pub(crate) fn descend<'a, 'd>(node: Node<'a, 'd>, path: &[&str]) -> Option<Node<'a, 'd>> {
    path.iter().try_fold(node, |node, name| child(node, name))
}

/// All the text directly in an element, also where comments split it.
pub(crate) fn text_of(node: Node<'_, '_>) -> String {
    node.children().filter(|n| n.is_text()).filter_map(|n| n.text()).collect()
}

/// An attribute of a child element.
fn child_attribute<'a>(node: Node<'a, '_>, name: &str, attribute: &str) -> Option<&'a str> {
    child(node, name).and_then(|n| n.attribute(attribute))
}

/// Bytes in a libvirt size element such as `<memory unit='KiB'>`; `default_unit` where it says none.
fn bytes_of(node: Node<'_, '_>, default_unit: &str) -> Option<u64> {
    let number: u64 = text_of(node).trim().parse().ok()?;
    number.checked_mul(unit_bytes(node.attribute("unit").unwrap_or(default_unit))?)
}

fn unit_bytes(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    if matches!(unit.as_str(), "b" | "byte" | "bytes") {
        return Some(1);
    }
    let power = "kmgtpe".find(unit.chars().next()?)? + 1;
    let base: u64 = match &unit[1..] {
        "" | "ib" => 1024,
        "b" => 1000,
        _ => return None,
    };
    base.checked_pow(u32::try_from(power).ok()?)
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn units_are_read_as_libvirt_documents_them() {
        for (unit, bytes) in
            [("b", 1), ("bytes", 1), ("KB", 1000), ("k", 1024), ("KiB", 1024), ("M", 1 << 20), ("MB", 1_000_000), ("GiB", 1 << 30)]
        {
            assert_eq!(unit_bytes(unit), Some(bytes), "{unit}");
        }
        assert_eq!(unit_bytes("parsec"), None);
        assert_eq!(unit_bytes(""), None);
        assert_eq!(unit_bytes("é"), None);
    }
}
