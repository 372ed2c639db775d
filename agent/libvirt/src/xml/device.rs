//! The devices of a definition.

use super::domain::{Empty, Machine, RenderContext};
use crate::config::{DiskCache, Display};
use hvnode_core::model::BootSource;
use hvnode_core::port::{DomainDisk, DomainNic, DomainSpec};
use serde::Serialize;

/// PCIe slots kept free for disks and NICs attached later.
const SPARE_PORTS: usize = 8;
/// Root ports libvirt fills by itself: virtio-serial, balloon, random numbers, USB, SCSI.
const BUILT_IN_PORTS: usize = 5;
/// Longest serial number of a virtio disk.
const SERIAL_LENGTH_MAX: usize = 20;
/// Seconds between two reports of a guest about its memory.
pub(crate) const MEMORY_REPORT_SECONDS: u32 = 10;

#[derive(Serialize)]
pub(super) struct Devices<'a> {
    disk: Vec<Disk<'a>>,
    controller: Vec<Controller>,
    interface: Vec<Interface<'a>>,
    serial: Serial,
    console: Console,
    channel: Channel,
    input: Vec<Input>,
    #[serde(skip_serializing_if = "Option::is_none")]
    graphics: Option<Graphics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    video: Option<Video>,
    memballoon: Balloon,
    rng: Rng,
    // No watchdog: since libvirt 9.1 every q35 machine has that of its chipset, which resets the guest. Any other would cost a PCI bridge.
    #[serde(skip_serializing_if = "Option::is_none")]
    panic: Option<Model>,
}

impl<'a> Devices<'a> {
    pub(super) fn new(spec: &'a DomainSpec, context: &RenderContext<'_>, machine: Machine) -> Self {
        let has_display = *context.display != Display::None;
        let input = match machine {
            _ if !has_display => vec![],
            Machine::Q35 => vec![Input { kind: "tablet", bus: "usb" }],
            Machine::Virt => vec![Input { kind: "tablet", bus: "usb" }, Input { kind: "keyboard", bus: "usb" }],
        };
        Self {
            disk: disks(spec, context.disk_cache),
            controller: controllers(spec),
            interface: spec.nics.iter().map(Interface::new).collect(),
            serial: Serial {
                kind: "pty",
                log: Log {
                    file: context.console_directory.join(crate::console::log_name(spec.vm_uuid)).to_string_lossy().into_owned(),
                    append: "on",
                },
                target: SerialTarget { port: 0 },
            },
            console: Console { kind: "pty", target: ConsoleTarget { kind: "serial", port: 0 } },
            channel: Channel { kind: "unix", target: ChannelTarget { kind: "virtio", name: "org.qemu.guest_agent.0" } },
            input,
            graphics: Graphics::new(spec, context.display),
            // Plain VGA needs no driver in firmware, boot loader or guest; aarch64 has no VGA.
            video: has_display.then_some(Video { model: VideoModel { kind: if machine == Machine::Q35 { "vga" } else { "virtio" } } }),
            memballoon: Balloon { model: "virtio", stats: Stats { period: MEMORY_REPORT_SECONDS } },
            rng: Rng { model: "virtio", backend: RngBackend { model: "random", path: "/dev/urandom" } },
            panic: (machine == Machine::Q35).then_some(Model { model: "isa" }),
        }
    }
}

#[derive(Serialize)]
struct Disk<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@device")]
    device: &'static str,
    driver: Driver<'a>,
    source: Source<'a>,
    target: Target<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    readonly: Option<Empty>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot: Option<Boot>,
}

#[derive(Serialize)]
struct Driver<'a> {
    #[serde(rename = "@name")]
    name: &'static str,
    #[serde(rename = "@type")]
    kind: &'a str,
    #[serde(rename = "@cache", skip_serializing_if = "Option::is_none")]
    cache: Option<&'static str>,
    #[serde(rename = "@discard", skip_serializing_if = "Option::is_none")]
    discard: Option<&'static str>,
}

#[derive(Serialize)]
struct Source<'a> {
    #[serde(rename = "@file")]
    file: &'a str,
}

#[derive(Serialize)]
struct Target<'a> {
    #[serde(rename = "@dev")]
    dev: &'a str,
    #[serde(rename = "@bus")]
    bus: &'a str,
}

#[derive(Serialize)]
struct Boot {
    #[serde(rename = "@order")]
    order: u32,
}

/// The optical drive, if any, then the disks; the boot order is the same, and only the first disk is booted from.
fn disks(spec: &DomainSpec, cache: DiskCache) -> Vec<Disk<'_>> {
    let mut all = Vec::with_capacity(spec.disks.len() + 1);
    let boots_from_disk = !matches!(spec.boot, BootSource::Kernel { .. });
    if let BootSource::Iso { path } = &spec.boot {
        const DRIVES: [&str; 8] = ["sda", "sdb", "sdc", "sdd", "sde", "sdf", "sdg", "sdh"];
        let free = DRIVES.iter().find(|name| !spec.disks.iter().any(|disk| disk.device == **name));
        all.push(Disk {
            kind: "file",
            device: "cdrom",
            driver: Driver { name: "qemu", kind: "raw", cache: None, discard: None },
            source: Source { file: path },
            target: Target { dev: free.copied().unwrap_or("sdz"), bus: "sata" },
            readonly: Some(Empty {}),
            serial: None,
            boot: Some(Boot { order: 1 }),
        });
    }
    let first_order = 1 + u32::from(!all.is_empty());
    for (index, disk) in spec.disks.iter().enumerate() {
        let boot = (boots_from_disk && index == 0).then_some(Boot { order: first_order });
        all.push(Disk::new(disk, boot, cache));
    }
    all
}

impl<'a> Disk<'a> {
    fn new(disk: &'a DomainDisk, boot: Option<Boot>, cache: DiskCache) -> Self {
        let serial: String = disk.serial.chars().filter(|c| *c != '-').take(SERIAL_LENGTH_MAX).collect();
        let cache = match cache {
            DiskCache::Writeback => "writeback",
            DiskCache::None => "none",
        };
        Self {
            kind: "file",
            device: "disk",
            driver: Driver { name: "qemu", kind: &disk.format, cache: Some(cache), discard: Some("unmap") },
            source: Source { file: &disk.path },
            target: Target { dev: &disk.device, bus: &disk.bus },
            readonly: None,
            serial: Some(serial).filter(|s| !s.is_empty()),
            boot,
        }
    }
}

#[derive(Serialize)]
struct Controller {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@index", skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(rename = "@model")]
    model: &'static str,
}

/// A fixed number of root ports beyond what the definition uses: libvirt makes no new ones while a VM runs.
fn controllers(spec: &DomainSpec) -> Vec<Controller> {
    let used = spec.nics.len() + spec.disks.iter().filter(|disk| disk.bus == "virtio").count() + BUILT_IN_PORTS;
    let mut all = vec![Controller { kind: "pci", index: Some(0), model: "pcie-root" }];
    all.extend((0..used + SPARE_PORTS).map(|_| Controller { kind: "pci", index: None, model: "pcie-root-port" }));
    if spec.disks.iter().any(|disk| disk.bus == "scsi") {
        all.push(Controller { kind: "scsi", index: Some(0), model: "virtio-scsi" });
    }
    all
}

#[derive(Serialize)]
struct Interface<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    mac: Mac,
    source: InterfaceSource<'a>,
    model: InterfaceModel<'a>,
}

#[derive(Serialize)]
struct Mac {
    #[serde(rename = "@address")]
    address: String,
}

#[derive(Serialize)]
struct InterfaceSource<'a> {
    #[serde(rename = "@network", skip_serializing_if = "Option::is_none")]
    network: Option<&'a str>,
    #[serde(rename = "@bridge", skip_serializing_if = "Option::is_none")]
    bridge: Option<&'a str>,
}

#[derive(Serialize)]
struct InterfaceModel<'a> {
    #[serde(rename = "@type")]
    kind: &'a str,
}

impl<'a> Interface<'a> {
    fn new(nic: &'a DomainNic) -> Self {
        let source: &str = &nic.source;
        Self {
            kind: if nic.is_host_bridge { "bridge" } else { "network" },
            mac: Mac { address: nic.mac_address.to_string() },
            source: InterfaceSource { network: (!nic.is_host_bridge).then_some(source), bridge: nic.is_host_bridge.then_some(source) },
            model: InterfaceModel { kind: &nic.model },
        }
    }
}

#[derive(Serialize)]
struct Serial {
    #[serde(rename = "@type")]
    kind: &'static str,
    log: Log,
    target: SerialTarget,
}

#[derive(Serialize)]
struct Log {
    #[serde(rename = "@file")]
    file: String,
    #[serde(rename = "@append")]
    append: &'static str,
}

#[derive(Serialize)]
struct SerialTarget {
    #[serde(rename = "@port")]
    port: u32,
}

#[derive(Serialize)]
struct Console {
    #[serde(rename = "@type")]
    kind: &'static str,
    target: ConsoleTarget,
}

#[derive(Serialize)]
struct ConsoleTarget {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@port")]
    port: u32,
}

#[derive(Serialize)]
struct Channel {
    #[serde(rename = "@type")]
    kind: &'static str,
    target: ChannelTarget,
}

#[derive(Serialize)]
struct ChannelTarget {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@name")]
    name: &'static str,
}

#[derive(Serialize)]
struct Input {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@bus")]
    bus: &'static str,
}

#[derive(Serialize)]
struct Graphics {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@port", skip_serializing_if = "Option::is_none")]
    port: Option<i32>,
    #[serde(rename = "@autoport", skip_serializing_if = "Option::is_none")]
    autoport: Option<&'static str>,
    listen: Listen,
}

#[derive(Serialize)]
struct Listen {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@address", skip_serializing_if = "Option::is_none")]
    address: Option<&'static str>,
    #[serde(rename = "@socket", skip_serializing_if = "Option::is_none")]
    socket: Option<String>,
}

impl Graphics {
    fn new(spec: &DomainSpec, display: &Display) -> Option<Self> {
        match display {
            Display::None => None,
            Display::Loopback => Some(Self {
                kind: "vnc",
                port: Some(-1),
                autoport: Some("yes"),
                listen: Listen { kind: "address", address: Some("127.0.0.1"), socket: None },
            }),
            Display::UnixSocket { directory } => {
                let path = directory.as_ref().map(|d| d.join(spec.vm_uuid.to_string()).with_extension("vnc"));
                let socket = path.map(|p| p.to_string_lossy().into_owned());
                Some(Self { kind: "vnc", port: None, autoport: None, listen: Listen { kind: "socket", address: None, socket } })
            }
        }
    }
}

#[derive(Serialize)]
struct Video {
    model: VideoModel,
}

#[derive(Serialize)]
struct VideoModel {
    #[serde(rename = "@type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct Balloon {
    #[serde(rename = "@model")]
    model: &'static str,
    stats: Stats,
}

#[derive(Serialize)]
struct Stats {
    #[serde(rename = "@period")]
    period: u32,
}

#[derive(Serialize)]
struct Rng {
    #[serde(rename = "@model")]
    model: &'static str,
    backend: RngBackend,
}

#[derive(Serialize)]
struct RngBackend {
    #[serde(rename = "@model")]
    model: &'static str,
    #[serde(rename = "$text")]
    path: &'static str,
}

#[derive(Serialize)]
struct Model {
    #[serde(rename = "@model")]
    model: &'static str,
}
