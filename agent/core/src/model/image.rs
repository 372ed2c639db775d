//! Images that VMs boot from, and the cpu and memory shapes they take.

use super::{Firmware, Timestamp};
use crate::error::ErrorRecord;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The one image repository of a node.
pub const DEFAULT_REPOSITORY_UUID: Uuid = Uuid::from_u128(0x7d5a_2f1e_0000_4000_8000_0000_0000_0002);
/// Name of [`DEFAULT_REPOSITORY_UUID`].
pub const DEFAULT_REPOSITORY_NAME: &str = "default";

/// What the bytes of an image are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageFormat {
    /// A QEMU copy-on-write disk, version 2 or 3.
    Qcow2,
    /// A plain disk.
    Raw,
    /// An optical disc.
    Iso,
    /// A Linux kernel for direct boot.
    Kernel,
    /// An initial RAM disk for direct boot.
    Initrd,
}

impl ImageFormat {
    /// Every format, in the order they are documented.
    pub const ALL: [Self; 5] = [Self::Qcow2, Self::Raw, Self::Iso, Self::Kernel, Self::Initrd];

    /// The word in APIs and file names.
    pub fn word(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
            Self::Iso => "iso",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
        }
    }

    /// True where a VM's root disk can be a copy-on-write child of it.
    pub fn is_disk(self) -> bool {
        matches!(self, Self::Qcow2 | Self::Raw)
    }
}

/// Where an image is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageStatus {
    /// Accepted, nothing fetched yet.
    Creating,
    /// Being fetched.
    Downloading,
    /// Usable.
    Ready,
    /// Its file is gone or wrong; `error` says why.
    Error,
    /// Being deleted.
    Deleting,
}

impl ImageStatus {
    /// The word in APIs and events.
    pub fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Downloading => "downloading",
            Self::Ready => "ready",
            Self::Error => "error",
            Self::Deleting => "deleting",
        }
    }
}

/// An image as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Identity.
    pub image_uuid: Uuid,
    /// Unique name.
    pub image_name: String,
    /// Free text.
    pub description: String,
    /// Where it is in its life.
    pub status: ImageStatus,
    /// What its bytes are.
    pub format: ImageFormat,
    /// Bytes of the file; 0 until known.
    pub storage_bytes: u64,
    /// Bytes of the disk a guest sees; 0 until known.
    pub virtual_bytes: u64,
    /// `sha256:<hex>` of the file; empty until known.
    pub checksum: String,
    /// Firmware the image wants, if it was said.
    pub firmware: Option<Firmware>,
    /// `linux`, `windows`, … as the caller said.
    pub os_type: String,
    /// As the caller said.
    pub os_version: String,
    /// `x86_64`, `aarch64`, …
    pub architecture: String,
    /// Where it came from, without credentials.
    pub url: String,
    /// Absolute path of the file in the images pool.
    pub path: String,
    /// When it was asked for.
    pub create_time: Timestamp,
    /// Last change.
    pub update_time: Timestamp,
    /// Why `status` is `error`.
    pub error: Option<ErrorRecord>,
}

/// A cpu and memory shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Specification {
    /// Identity.
    pub specification_uuid: Uuid,
    /// Unique name.
    pub specification_name: String,
    /// Free text.
    pub description: String,
    /// Virtual processors.
    pub cpu_cores: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of the root disk; 0 takes the image's own size.
    pub storage_bytes: u64,
    /// When it was made.
    pub create_time: Timestamp,
}

/// A URL as it may be shown and logged: without user, password, query and fragment, all of which may hold secrets.
pub fn redact_url(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let shown = &url[..end];
    match shown.split_once("://") {
        None => shown.to_owned(),
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_holds_no_credentials_and_no_signature() {
        assert_eq!(redact_url("https://u:p@ss@host:8/a/b.qcow2?sig=1#x"), "https://host:8/a/b.qcow2");
        assert_eq!(redact_url("file:///srv/a@b.img"), "file:///srv/a@b.img");
        assert_eq!(redact_url("nonsense?x"), "nonsense");
    }
}
