//! Our element in a domain's metadata: a few lines for people, and the whole record as JSON for us.

use super::{is_xml_character, text_of, to_xml};
use hvnode_core::model::DomainMetadata;
use hvnode_core::{Result, fail};
use roxmltree::Node;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// Namespace of our element.
pub const METADATA_NAMESPACE: &str = "https://hvnode.dev/xmlns/domain/1";
/// Its prefix.
pub(crate) const METADATA_PREFIX: &str = "hvnode";
/// Local name of our element.
const ELEMENT: &str = "vm";

/// Our element. libvirt adds the namespace itself when metadata is set on its own, and wants it spelt out in a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetadataElement {
    is_spelt_out: bool,
    uuid: String,
    name: String,
    owner: String,
    create_time: String,
    record: String,
}

impl MetadataElement {
    /// For a whole definition: with namespace and prefixes.
    ///
    /// # Errors
    /// `Internal` if the record has no JSON form.
    pub(crate) fn new(metadata: &DomainMetadata) -> Result<Self> {
        let record = &metadata.record;
        let json = serde_json::to_string(metadata).map_err(|e| fail!(Internal, "cannot write metadata"; "无法生成元数据").caused_by(e))?;
        Ok(Self {
            is_spelt_out: true,
            uuid: record.vm_uuid.to_string(),
            name: readable(&record.vm_name),
            owner: readable(&record.user_name),
            create_time: record.create_time.seconds().to_string(),
            record: without_foreign_characters(&json),
        })
    }
}

impl Serialize for MetadataElement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [uuid, name, owner, created, record] = if self.is_spelt_out {
            ["hvnode:uuid", "hvnode:name", "hvnode:owner", "hvnode:create_time_seconds", "hvnode:record"]
        } else {
            ["uuid", "name", "owner", "create_time_seconds", "record"]
        };
        let mut element = serializer.serialize_struct(ELEMENT, 6)?;
        if self.is_spelt_out {
            element.serialize_field("@xmlns:hvnode", METADATA_NAMESPACE)?;
        }
        element.serialize_field(uuid, &self.uuid)?;
        element.serialize_field(name, &self.name)?;
        element.serialize_field(owner, &self.owner)?;
        element.serialize_field(created, &self.create_time)?;
        element.serialize_field(record, &self.record)?;
        element.end()
    }
}

/// Our element alone, as `virDomainSetMetadata` wants it.
///
/// # Errors
/// `Internal` if it cannot be written.
pub(crate) fn metadata_xml(metadata: &DomainMetadata) -> Result<String> {
    to_xml(ELEMENT, &MetadataElement { is_spelt_out: false, ..MetadataElement::new(metadata)? })
}

/// A domain title: one line, as libvirt demands.
pub(crate) fn title_of(text: &str) -> String {
    readable(text)
}

/// One line without characters that XML cannot carry.
fn readable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || !is_xml_character(c) { ' ' } else { c }).collect()
}

/// JSON in which the two characters that JSON may carry raw and XML may not are written as escapes. They only occur inside strings.
fn without_foreign_characters(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        // C1 controls and line separators are legal but get normalised by some XML tools.
        if is_xml_character(c) && !c.is_control() && c != '\u{2028}' {
            text.push(c);
        } else {
            let mut units = [0u16; 2];
            for unit in c.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

/// What a definition says about us.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FoundMetadata {
    /// Nothing: somebody else's VM.
    None,
    /// Ours.
    Valid(Box<DomainMetadata>),
    /// Ours, but not readable.
    Broken,
}

/// Looks for our element below `<domain>`.
pub(super) fn find(domain: Node<'_, '_>) -> FoundMetadata {
    let Some(element) = super::child(domain, "metadata")
        .and_then(|metadata| metadata.children().find(|n| n.is_element() && n.tag_name().namespace() == Some(METADATA_NAMESPACE)))
    else {
        return FoundMetadata::None;
    };
    let record = element.children().find(|n| n.is_element() && n.tag_name().name() == "record");
    match record.map(|n| serde_json::from_str(&text_of(n))) {
        Some(Ok(metadata)) => FoundMetadata::Valid(Box::new(metadata)),
        _ => FoundMetadata::Broken,
    }
}
