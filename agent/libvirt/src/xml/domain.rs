//! The definition we give to libvirt.

use super::device::Devices;
use super::{MetadataElement, is_xml_character, title_of, to_xml};
use crate::config::{DiskCache, Display};
use hvnode_core::model::{BootSource, Firmware, VirtType};
use hvnode_core::port::DomainSpec;
use hvnode_core::{Result, fail};
use serde::Serialize;
use std::path::Path;

/// What a definition depends on besides its spec.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RenderContext<'a> {
    /// How guests run on this host.
    pub(crate) virt_type: VirtType,
    /// How screens are offered.
    pub(crate) display: &'a Display,
    /// How disks are cached.
    pub(crate) disk_cache: DiskCache,
    /// Directory of the console pool.
    pub(crate) console_directory: &'a Path,
}

/// The definition of `spec`.
///
/// # Errors
/// `NotSupported` for an architecture we have no machine for; `ParameterInvalid` for text that XML cannot carry.
pub(crate) fn domain_xml(spec: &DomainSpec, context: &RenderContext<'_>) -> Result<String> {
    check_texts(spec)?;
    let machine = Machine::of(&spec.architecture)?;
    let domain = Domain {
        kind: match context.virt_type {
            VirtType::Kvm => "kvm",
            VirtType::Qemu => "qemu",
        },
        name: &spec.domain_name,
        uuid: spec.vm_uuid.to_string(),
        title: Some(title_of(&spec.title)).filter(|t| !t.is_empty()),
        metadata: Metadata { vm: MetadataElement::new(&spec.metadata)? },
        memory: Size::kibibytes(spec.memory_bytes),
        current_memory: Size::kibibytes(spec.memory_bytes),
        vcpu: Vcpu { placement: "static", count: spec.cpu_cores },
        os: Os::new(spec, machine),
        features: Features { acpi: Empty {}, apic: (machine == Machine::Q35).then_some(Empty {}) },
        cpu: Cpu::new(spec.cpu_cores, context.virt_type),
        clock: Clock::new(machine, context.virt_type),
        on_poweroff: "destroy",
        on_reboot: "restart",
        on_crash: "destroy",
        pm: (machine == Machine::Q35).then_some(Pm { to_mem: Enabled { enabled: "no" }, to_disk: Enabled { enabled: "no" } }),
        devices: Devices::new(spec, context, machine),
    };
    to_xml("domain", &domain)
}

/// Refuses what no XML document can say; everything else is escaped by the writer.
fn check_texts(spec: &DomainSpec) -> Result<()> {
    let boot: Vec<&str> = match &spec.boot {
        BootSource::Disk => vec![],
        BootSource::Iso { path } => vec![path],
        BootSource::Kernel { kernel_path, initrd_path, command_line } => {
            [kernel_path, command_line].into_iter().chain(initrd_path).map(String::as_str).collect()
        }
    };
    let disks = spec.disks.iter().flat_map(|d| [&d.path, &d.format, &d.device, &d.bus, &d.serial]);
    let nics = spec.nics.iter().flat_map(|n| [&n.source, &n.model]);
    let texts = disks.chain(nics).chain([&spec.domain_name]).map(String::as_str).chain(boot);
    if texts.flat_map(str::chars).all(|c| is_xml_character(c) && c != '\r') {
        return Ok(());
    }
    Err(
        fail!(ParameterInvalid, "names, paths and kernel command line must be without control characters"; "名称、路径和内核命令行不得含控制字符"),
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    Q35,
    Virt,
}

impl Machine {
    fn of(architecture: &str) -> Result<Self> {
        match architecture {
            "x86_64" => Ok(Self::Q35),
            "aarch64" => Ok(Self::Virt),
            other => Err(fail!(NotSupported, "architecture {other}; x86_64 and aarch64 are"; "架构 {other};支持 x86_64 和 aarch64")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Q35 => "q35",
            Self::Virt => "virt",
        }
    }
}

#[derive(Serialize)]
pub(super) struct Empty {}

#[derive(Serialize)]
struct Domain<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    name: &'a str,
    uuid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    metadata: Metadata,
    memory: Size,
    #[serde(rename = "currentMemory")]
    current_memory: Size,
    vcpu: Vcpu,
    os: Os<'a>,
    features: Features,
    cpu: Cpu,
    clock: Clock,
    on_poweroff: &'static str,
    on_reboot: &'static str,
    on_crash: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pm: Option<Pm>,
    devices: Devices<'a>,
}

#[derive(Serialize)]
struct Metadata {
    #[serde(rename = "hvnode:vm")]
    vm: MetadataElement,
}

#[derive(Serialize)]
struct Size {
    #[serde(rename = "@unit")]
    unit: &'static str,
    #[serde(rename = "$text")]
    count: u64,
}

impl Size {
    fn kibibytes(bytes: u64) -> Self {
        Self { unit: "KiB", count: bytes.div_ceil(1024) }
    }
}

#[derive(Serialize)]
struct Vcpu {
    #[serde(rename = "@placement")]
    placement: &'static str,
    #[serde(rename = "$text")]
    count: u32,
}

#[derive(Serialize)]
struct Os<'a> {
    #[serde(rename = "@firmware", skip_serializing_if = "Option::is_none")]
    firmware: Option<&'static str>,
    #[serde(rename = "type")]
    kind: OsType<'a>,
    #[serde(rename = "firmware", skip_serializing_if = "Option::is_none")]
    features: Option<FirmwareFeatures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    initrd: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmdline: Option<&'a str>,
}

#[derive(Serialize)]
struct OsType<'a> {
    #[serde(rename = "@arch")]
    arch: &'a str,
    #[serde(rename = "@machine")]
    machine: &'static str,
    #[serde(rename = "$text")]
    kind: &'static str,
}

#[derive(Serialize)]
struct FirmwareFeatures {
    feature: FirmwareFeature,
}

#[derive(Serialize)]
struct FirmwareFeature {
    #[serde(rename = "@enabled")]
    enabled: &'static str,
    #[serde(rename = "@name")]
    name: &'static str,
}

impl<'a> Os<'a> {
    fn new(spec: &'a DomainSpec, machine: Machine) -> Self {
        let is_uefi = spec.firmware == Firmware::Uefi;
        let mut this = Self {
            firmware: is_uefi.then_some("efi"),
            kind: OsType { arch: &spec.architecture, machine: machine.name(), kind: "hvm" },
            // Without this libvirt may choose firmware that boots only what Microsoft signed.
            features: is_uefi.then_some(FirmwareFeatures { feature: FirmwareFeature { enabled: "no", name: "secure-boot" } }),
            kernel: None,
            initrd: None,
            cmdline: None,
        };
        if let BootSource::Kernel { kernel_path, initrd_path, command_line } = &spec.boot {
            this.kernel = Some(kernel_path);
            this.initrd = initrd_path.as_deref();
            this.cmdline = Some(command_line.as_str()).filter(|line| !line.is_empty());
        }
        this
    }
}

#[derive(Serialize)]
struct Features {
    acpi: Empty,
    #[serde(skip_serializing_if = "Option::is_none")]
    apic: Option<Empty>,
}

#[derive(Serialize)]
struct Cpu {
    #[serde(rename = "@mode")]
    mode: &'static str,
    topology: Topology,
}

#[derive(Serialize)]
struct Topology {
    #[serde(rename = "@sockets")]
    sockets: u32,
    #[serde(rename = "@cores")]
    cores: u32,
    #[serde(rename = "@threads")]
    threads: u32,
}

impl Cpu {
    /// One socket: some guests are licensed by sockets or refuse more than two.
    ///
    /// Under emulation `maximum` is everything QEMU can emulate, so that distributions built for newer processors run too.
    fn new(cores: u32, virt_type: VirtType) -> Self {
        let mode = match virt_type {
            VirtType::Kvm => "host-passthrough",
            VirtType::Qemu => "maximum",
        };
        Self { mode, topology: Topology { sockets: 1, cores, threads: 1 } }
    }
}

#[derive(Serialize)]
struct Clock {
    #[serde(rename = "@offset")]
    offset: &'static str,
    timer: Vec<Timer>,
}

#[derive(Serialize)]
struct Timer {
    #[serde(rename = "@name")]
    name: &'static str,
    #[serde(rename = "@tickpolicy", skip_serializing_if = "Option::is_none")]
    tickpolicy: Option<&'static str>,
    #[serde(rename = "@present", skip_serializing_if = "Option::is_none")]
    present: Option<&'static str>,
}

impl Clock {
    fn new(machine: Machine, virt_type: VirtType) -> Self {
        let timer = if machine == Machine::Q35 && virt_type == VirtType::Kvm {
            vec![
                Timer { name: "rtc", tickpolicy: Some("catchup"), present: None },
                Timer { name: "pit", tickpolicy: Some("delay"), present: None },
                Timer { name: "hpet", tickpolicy: None, present: Some("no") },
            ]
        } else {
            Vec::new()
        };
        Self { offset: "utc", timer }
    }
}

#[derive(Serialize)]
struct Pm {
    #[serde(rename = "suspend-to-mem")]
    to_mem: Enabled,
    #[serde(rename = "suspend-to-disk")]
    to_disk: Enabled,
}

#[derive(Serialize)]
struct Enabled {
    #[serde(rename = "@enabled")]
    enabled: &'static str,
}
