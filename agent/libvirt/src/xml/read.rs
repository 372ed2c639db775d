//! Domain definitions as others wrote them. Whatever is missing or strange is left out, never an error.

use super::metadata::{self, FoundMetadata};
use super::{bytes_of, child, child_attribute, children, descend, parse, text_of};
use hvnode_core::Result;
use hvnode_core::model::{Firmware, ObservedDisk, ObservedNic};
use hvnode_core::port::DisplayAddress;
use roxmltree::Node;

/// What we read from a definition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ParsedDomain {
    /// Virtual processors online.
    pub(crate) cpu_cores: u32,
    /// Bytes of memory.
    pub(crate) memory_bytes: u64,
    /// `x86_64`, …; empty if not said.
    pub(crate) architecture: String,
    /// Firmware.
    pub(crate) firmware: Firmware,
    /// Disks in definition order.
    pub(crate) disks: Vec<ObservedDisk>,
    /// NICs in definition order.
    pub(crate) nics: Vec<ObservedNic>,
    /// Our metadata.
    pub(crate) metadata: FoundMetadata,
    /// The first screen that can be reached.
    pub(crate) display: Option<DisplayAddress>,
    /// True if its guest could report its memory and is not asked to.
    pub(crate) lacks_memory_reports: bool,
}

/// Reads a definition.
///
/// # Errors
/// `Internal` if it is not XML at all.
pub(crate) fn parse_domain(xml: &str) -> Result<ParsedDomain> {
    let document = parse(xml)?;
    let root = document.root_element();
    let devices = child(root, "devices");
    let display = devices.and_then(|d| children(d, "graphics").find_map(display_of));
    Ok(ParsedDomain {
        cpu_cores: cpu_cores(root),
        memory_bytes: child(root, "memory").and_then(|n| bytes_of(n, "KiB")).unwrap_or(0),
        architecture: descend(root, &["os", "type"]).and_then(|n| n.attribute("arch")).unwrap_or_default().to_owned(),
        firmware: firmware(root),
        disks: devices.map(|d| exactly(children(d, "disk").map(disk_of))).unwrap_or_default(),
        nics: devices.map(|d| exactly(children(d, "interface").filter_map(nic_of))).unwrap_or_default(),
        metadata: metadata::find(root),
        display,
        lacks_memory_reports: devices.and_then(|d| child(d, "memballoon")).is_some_and(lacks_period),
    })
}

/// Without room for more: a list whose length is not known beforehand begins with room for four, most VMs have one disk and one NIC, and
/// the picture of the node keeps all of them.
fn exactly<T>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.shrink_to_fit();
    items
}

fn lacks_period(balloon: Node<'_, '_>) -> bool {
    let period = child_attribute(balloon, "stats", "period").and_then(|period| period.parse().ok()).unwrap_or(0u32);
    period == 0 && balloon.attribute("model").is_some_and(|model| model.starts_with("virtio"))
}

fn cpu_cores(root: Node<'_, '_>) -> u32 {
    let Some(vcpu) = child(root, "vcpu") else { return 1 };
    let current = vcpu.attribute("current").and_then(|n| n.parse().ok());
    current.or_else(|| text_of(vcpu).trim().parse().ok()).unwrap_or(1)
}

fn firmware(root: Node<'_, '_>) -> Firmware {
    let Some(os) = child(root, "os") else { return Firmware::Bios };
    let is_uefi = os.attribute("firmware") == Some("efi") || child_attribute(os, "loader", "type") == Some("pflash");
    if is_uefi { Firmware::Uefi } else { Firmware::Bios }
}

fn disk_of(disk: Node<'_, '_>) -> ObservedDisk {
    let attribute = |element, name| child_attribute(disk, element, name).unwrap_or_default().to_owned();
    ObservedDisk {
        device: attribute("target", "dev").into(),
        bus: attribute("target", "bus").into(),
        kind: disk.attribute("device").unwrap_or("disk").into(),
        path: child(disk, "source").map(disk_path).unwrap_or_default().into(),
        format: attribute("driver", "type").into(),
    }
}

/// A file, a device, or for anything else words that name it.
fn disk_path(source: Node<'_, '_>) -> String {
    let attribute = |name| source.attribute(name);
    if let Some(path) = attribute("file").or(attribute("dev")).or(attribute("dir")) {
        return path.to_owned();
    }
    match (attribute("pool"), attribute("volume"), attribute("protocol"), attribute("name")) {
        (Some(pool), Some(volume), ..) => format!("{pool}/{volume}"),
        (_, _, Some(protocol), name) => format!("{protocol}:{}", name.unwrap_or_default()),
        _ => String::new(),
    }
}

fn nic_of(nic: Node<'_, '_>) -> Option<ObservedNic> {
    let source = child(nic, "source");
    let source = source.and_then(|s| ["network", "bridge", "dev"].iter().find_map(|name| s.attribute(*name)));
    Some(ObservedNic {
        mac_address: child_attribute(nic, "mac", "address")?.parse().ok()?,
        source: source.unwrap_or_default().into(),
        target_device: child_attribute(nic, "target", "dev").map(Into::into),
        model: child_attribute(nic, "model", "type").unwrap_or_default().into(),
    })
}

fn display_of(graphics: Node<'_, '_>) -> Option<DisplayAddress> {
    let kind = graphics.attribute("type").filter(|kind| matches!(*kind, "vnc" | "spice"))?.to_owned();
    let listen = child(graphics, "listen");
    let socket = graphics.attribute("socket").or_else(|| listen.and_then(|l| l.attribute("socket")));
    if let Some(socket) = socket {
        return Some(DisplayAddress { kind, ip_address: String::new(), port: 0, socket: socket.to_owned() });
    }
    let port = graphics.attribute("port").and_then(|port| port.parse().ok()).filter(|port| *port != 0)?;
    let address = listen.and_then(|l| l.attribute("address")).or(graphics.attribute("listen")).unwrap_or("127.0.0.1");
    Some(DisplayAddress { kind, ip_address: address.to_owned(), port, socket: String::new() })
}
