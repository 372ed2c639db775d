//! Storage pools and volumes.

use super::network::element_text;
use super::{bytes_of, child, child_attribute, descend, parse, text_of, to_xml};
use hvnode_core::Result;
use serde::Serialize;
use std::path::Path;

/// Who a pool's directory belongs to, and who may do what in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolOwner {
    /// Octal mode.
    pub(crate) mode: u32,
    /// User.
    pub(crate) user: u32,
    /// Group.
    pub(crate) group: u32,
}

#[derive(Serialize)]
struct Pool<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    name: &'a str,
    target: PoolTarget,
}

#[derive(Serialize)]
struct PoolTarget {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<Permissions>,
}

#[derive(Serialize)]
struct Permissions {
    mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<u32>,
}

/// A directory pool.
///
/// # Errors
/// `Internal` if it cannot be written.
pub(crate) fn pool_xml(name: &str, path: &Path, owner: Option<PoolOwner>) -> Result<String> {
    let permissions =
        owner.map(|owner| Permissions { mode: format!("{:04o}", owner.mode), owner: Some(owner.user), group: Some(owner.group) });
    to_xml("pool", &Pool { kind: "dir", name, target: PoolTarget { path: path.to_string_lossy().into_owned(), permissions } })
}

/// The directory of a pool.
///
/// # Errors
/// `Internal` if it is not XML.
pub(crate) fn pool_target_path(xml: &str) -> Result<Option<String>> {
    element_text(xml, &["target", "path"])
}

/// A volume to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VolumeXml<'a> {
    /// File name.
    pub(crate) name: &'a str,
    /// Bytes the guest sees.
    pub(crate) capacity_bytes: u64,
    /// `qcow2` or `raw`.
    pub(crate) format: &'a str,
    /// Path and format of the image below it.
    pub(crate) backing: Option<(&'a str, &'a str)>,
}

#[derive(Serialize)]
struct Volume<'a> {
    name: &'a str,
    capacity: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocation: Option<Bytes>,
    target: VolumeTarget<'a>,
    #[serde(rename = "backingStore", skip_serializing_if = "Option::is_none")]
    backing: Option<Backing<'a>>,
}

#[derive(Serialize)]
struct Bytes {
    #[serde(rename = "@unit")]
    unit: &'static str,
    #[serde(rename = "$text")]
    count: u64,
}

#[derive(Serialize)]
struct VolumeTarget<'a> {
    format: Format<'a>,
    permissions: Permissions,
    #[serde(skip_serializing_if = "Option::is_none")]
    compat: Option<&'static str>,
}

#[derive(Serialize)]
struct Backing<'a> {
    path: &'a str,
    format: Format<'a>,
}

#[derive(Serialize)]
struct Format<'a> {
    #[serde(rename = "@type")]
    kind: &'a str,
}

/// The definition of a volume: readable by its owner only; nothing allocated in advance.
///
/// # Errors
/// `Internal` if it cannot be written.
pub(crate) fn volume_xml(volume: &VolumeXml<'_>) -> Result<String> {
    let is_raw = volume.format == "raw";
    to_xml(
        "volume",
        &Volume {
            name: volume.name,
            capacity: Bytes { unit: "bytes", count: volume.capacity_bytes },
            allocation: is_raw.then_some(Bytes { unit: "bytes", count: 0 }),
            target: VolumeTarget {
                format: Format { kind: volume.format },
                permissions: Permissions { mode: "0600".into(), owner: None, group: None },
                compat: (!is_raw).then_some("1.1"),
            },
            backing: volume.backing.map(|(path, kind)| Backing { path, format: Format { kind } }),
        },
    )
}

/// What we compare an existing volume by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParsedVolume {
    /// Bytes the guest sees.
    pub(crate) capacity_bytes: u64,
    /// Path of the image below it.
    pub(crate) backing_path: Option<String>,
    /// `qcow2`, `raw`, …
    pub(crate) format: String,
}

/// Reads a volume.
///
/// # Errors
/// `Internal` if it is not XML.
pub(crate) fn parse_volume(xml: &str) -> Result<ParsedVolume> {
    let document = parse(xml)?;
    let root = document.root_element();
    Ok(ParsedVolume {
        capacity_bytes: child(root, "capacity").and_then(|n| bytes_of(n, "bytes")).unwrap_or(0),
        backing_path: descend(root, &["backingStore", "path"]).map(text_of).filter(|path| !path.is_empty()),
        format: child(root, "target").and_then(|t| child_attribute(t, "format", "type")).unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linked_clone_names_its_image() {
        let backing = Some(("/images/a&b.qcow2", "qcow2"));
        let xml = volume_xml(&VolumeXml { name: "x.qcow2", capacity_bytes: 5 << 30, format: "qcow2", backing }).unwrap();
        insta::assert_snapshot!(xml, @r#"
        <volume>
          <name>x.qcow2</name>
          <capacity unit="bytes">5368709120</capacity>
          <target>
            <format type="qcow2"/>
            <permissions>
              <mode>0600</mode>
            </permissions>
            <compat>1.1</compat>
          </target>
          <backingStore>
            <path>/images/a&amp;b.qcow2</path>
            <format type="qcow2"/>
          </backingStore>
        </volume>
        "#);
        let back = parse_volume(&xml).unwrap();
        assert_eq!((back.capacity_bytes, back.backing_path.as_deref()), (5 << 30, Some("/images/a&b.qcow2")));
    }

    #[test]
    fn a_pool_says_where_it_is() {
        let owner = Some(PoolOwner { mode: 0o711, user: 5, group: 6 });
        let xml = pool_xml("p", Path::new("/a<b/c"), owner).unwrap();
        assert!(xml.contains("<mode>0711</mode>"), "{xml}");
        assert_eq!(pool_target_path(&xml).unwrap().as_deref(), Some("/a<b/c"));
    }
}
