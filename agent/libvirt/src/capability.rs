//! Facts about host and hypervisor, and the choice between hardware and emulation.

use crate::config::VirtPreference;
use crate::fault::refused;
use crate::ffi;
use hvnode_core::Result;
use hvnode_core::model::{HostCapabilities, VirtType};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use uuid::Uuid;
use virt::connect::Connect;

/// Virtual processors per VM if libvirt names no limit.
const VCPUS_MAX_FALLBACK: u32 = 64;

/// Reads everything that does not change while a connection lasts.
///
/// # Errors
/// libvirt's, for what every driver must be able to say.
pub(crate) fn read(connect: &Connect, preference: VirtPreference) -> Result<HostCapabilities> {
    let xml = connect.capabilities().map_err(refused!(HypervisorUnavailable))?;
    let host = HostFacts::parse(&xml)?;
    let evidence = Evidence::collect(connect, &host.architecture);
    let (virt_type, emulation_reason) = decide(preference, &evidence);
    if let Some(reason) = &emulation_reason {
        tracing::warn!(reason, "guests will be emulated: right, but many times slower than in hardware");
    }
    let guest = evidence.guest(virt_type);
    Ok(HostCapabilities {
        host_uuid: host.uuid,
        virt_type,
        emulation_reason,
        hypervisor_type: connect.driver_type().map_err(refused!(HypervisorUnavailable))?,
        hypervisor_version: connect.hyp_version().map(version_text).unwrap_or_default(),
        libvirt_version: connect.lib_version().map(version_text).unwrap_or_default(),
        cpu_model: model_in_cpuinfo(&evidence.cpuinfo).unwrap_or(host.cpu_model),
        architecture: host.architecture,
        cpu_sockets: host.sockets,
        cpu_cores: host.cores,
        cpu_threads: host.threads,
        has_uefi: guest.is_some_and(|guest| guest.has_uefi),
        vcpus_max: guest.and_then(|guest| guest.vcpus_max).unwrap_or(VCPUS_MAX_FALLBACK),
    })
}

/// libvirt packs versions into one number.
fn version_text(number: u32) -> String {
    format!("{}.{}.{}", number / 1_000_000, number / 1000 % 1000, number % 1000)
}

/// What libvirt says about the host.
#[derive(Debug, PartialEq, Eq)]
struct HostFacts {
    uuid: Uuid,
    architecture: String,
    cpu_model: String,
    sockets: u32,
    cores: u32,
    threads: u32,
}

impl HostFacts {
    /// Counts sockets and cores from the list of processors: `<topology sockets=…>` counts per NUMA node, and in virtual machines and
    /// containers it often disagrees with the processors that are there.
    fn parse(xml: &str) -> Result<Self> {
        let document = crate::xml::parse(xml)?;
        let root = document.root_element();
        let text = |path: &[&str]| crate::xml::descend(root, path).map(crate::xml::text_of).unwrap_or_default();
        let cpus: Vec<_> = crate::xml::descend(root, &["host", "topology", "cells"])
            .map(|cells| cells.descendants().filter(|n| n.has_tag_name("cpu")).collect())
            .unwrap_or_default();
        let sockets: BTreeSet<_> = cpus.iter().map(|cpu| cpu.attribute("socket_id")).collect();
        let cores: BTreeSet<_> = cpus.iter().map(|cpu| ["socket_id", "die_id", "core_id"].map(|name| cpu.attribute(name))).collect();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).max(1);
        Ok(Self {
            uuid: text(&["host", "uuid"]).trim().parse().unwrap_or_default(),
            architecture: text(&["host", "cpu", "arch"]),
            cpu_model: text(&["host", "cpu", "model"]),
            sockets: count(sockets.len()),
            cores: count(cores.len()),
            threads: count(cpus.len()),
        })
    }
}

/// What libvirt says about guests of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GuestFacts {
    has_uefi: bool,
    vcpus_max: Option<u32>,
}

impl GuestFacts {
    /// `None` if libvirt offers no such guests.
    fn read(connect: &Connect, architecture: &str, virt_type: &str) -> Option<Self> {
        let machine = match architecture {
            "x86_64" => Some("q35"),
            "aarch64" => Some("virt"),
            _ => None,
        };
        let xml = connect.domain_capabilities(None, Some(architecture), machine, Some(virt_type), 0).ok()?;
        Self::parse(&xml)
    }

    fn parse(xml: &str) -> Option<Self> {
        let document = crate::xml::parse(xml).ok()?;
        let root = document.root_element();
        let firmwares = crate::xml::child(root, "os").map(|os| {
            let named = crate::xml::children(os, "enum").filter(|n| n.attribute("name") == Some("firmware"));
            named.flat_map(|n| n.descendants()).filter(|n| n.has_tag_name("value")).map(crate::xml::text_of).collect::<Vec<_>>()
        });
        Some(Self {
            has_uefi: firmwares.is_some_and(|all| all.iter().any(|name| name == "efi")),
            vcpus_max: crate::xml::child(root, "vcpu").and_then(|n| n.attribute("max")).and_then(|max| max.parse().ok()),
        })
    }
}

/// What the kernel says when asked for a virtual machine.
#[derive(Debug, Clone, PartialEq, Eq)]
enum KvmTrial {
    /// It made one.
    Works,
    /// It made none; the text says why.
    Fails(String),
    /// We may not ask: /dev/kvm is not for this user or not in this sandbox.
    Unknown,
}

impl KvmTrial {
    fn run() -> Self {
        match OpenOptions::new().read(true).write(true).open("/dev/kvm") {
            Ok(file) => Self::with(&file),
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => Self::Unknown,
            Err(error) => Self::Fails(format!("/dev/kvm cannot be opened: {error}")),
        }
    }

    fn with(file: &File) -> Self {
        match ffi::create_empty_kvm_machine(file) {
            Ok(()) => Self::Works,
            Err(error) => Self::Fails(format!("/dev/kvm cannot make a machine: {error}")),
        }
    }
}

/// Everything the choice rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Evidence {
    architecture: String,
    kvm: Option<GuestFacts>,
    emulated: Option<GuestFacts>,
    cpuinfo: String,
    trial: KvmTrial,
}

impl Evidence {
    fn collect(connect: &Connect, architecture: &str) -> Self {
        Self {
            architecture: architecture.to_owned(),
            kvm: GuestFacts::read(connect, architecture, "kvm"),
            emulated: GuestFacts::read(connect, architecture, "qemu"),
            cpuinfo: std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default(),
            trial: KvmTrial::run(),
        }
    }

    fn guest(&self, virt_type: VirtType) -> Option<&GuestFacts> {
        match virt_type {
            VirtType::Kvm => self.kvm.as_ref(),
            VirtType::Qemu => self.emulated.as_ref(),
        }
    }
}

/// Hardware only where all three agree: libvirt offers it, the processor has it, the kernel makes a machine. A /dev/kvm alone proves
/// nothing: there are machines where it exists and guests hang.
fn decide(preference: VirtPreference, evidence: &Evidence) -> (VirtType, Option<String>) {
    match preference.fixed() {
        Some(VirtType::Kvm) => return (VirtType::Kvm, None),
        Some(VirtType::Qemu) => return (VirtType::Qemu, Some("the configuration says so".into())),
        None => {}
    }
    if evidence.kvm.is_none() {
        return (VirtType::Qemu, Some("libvirt offers no KVM on this host".into()));
    }
    let is_x86 = matches!(evidence.architecture.as_str(), "x86_64" | "i686");
    if is_x86 && !has_virtualisation_flag(&evidence.cpuinfo) {
        return (VirtType::Qemu, Some("the processor shows neither vmx nor svm".into()));
    }
    match &evidence.trial {
        KvmTrial::Fails(why) => (VirtType::Qemu, Some(why.clone())),
        KvmTrial::Works | KvmTrial::Unknown => (VirtType::Kvm, None),
    }
}

fn has_virtualisation_flag(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().filter(|line| line.starts_with("flags"));
    flags.flat_map(str::split_whitespace).any(|flag| matches!(flag, "vmx" | "svm"))
}

fn model_in_cpuinfo(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned()).filter(|model| !model.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(flags: &str, trial: KvmTrial) -> Evidence {
        let guest = GuestFacts { has_uefi: true, vcpus_max: Some(288) };
        Evidence {
            architecture: "x86_64".into(),
            kvm: Some(guest.clone()),
            emulated: Some(guest),
            cpuinfo: format!("model name\t: Some CPU\nflags\t\t: fpu {flags} sse"),
            trial,
        }
    }

    #[test]
    fn hardware_needs_libvirt_processor_and_kernel_to_agree() {
        assert_eq!(decide(VirtPreference::Auto, &evidence("vmx", KvmTrial::Works)), (VirtType::Kvm, None));
        assert_eq!(decide(VirtPreference::Auto, &evidence("svm", KvmTrial::Unknown)), (VirtType::Kvm, None));
        for refused in [
            evidence("", KvmTrial::Works),
            evidence("vmxnet", KvmTrial::Works),
            evidence("vmx", KvmTrial::Fails("no".into())),
            Evidence { kvm: None, ..evidence("vmx", KvmTrial::Works) },
        ] {
            let (virt_type, reason) = decide(VirtPreference::Auto, &refused);
            assert_eq!(virt_type, VirtType::Qemu, "{refused:?}");
            assert!(reason.is_some());
        }
    }

    #[test]
    fn other_architectures_have_no_flag_to_look_for() {
        let arm = Evidence { architecture: "aarch64".into(), ..evidence("", KvmTrial::Works) };
        assert_eq!(decide(VirtPreference::Auto, &arm).0, VirtType::Kvm);
    }

    #[test]
    fn the_configuration_has_the_last_word() {
        assert_eq!(decide(VirtPreference::Kvm, &evidence("", KvmTrial::Fails("no".into()))).0, VirtType::Kvm);
        assert_eq!(decide(VirtPreference::Qemu, &evidence("vmx", KvmTrial::Works)).0, VirtType::Qemu);
    }

    #[test]
    fn processors_are_counted_over_all_numa_nodes() {
        let cpu =
            |id: u32, socket: u32, core: u32| format!("<cpu id='{id}' socket_id='{socket}' die_id='0' core_id='{core}' siblings='0'/>");
        let cells = format!(
            "<cell id='0'><cpus num='4'>{}{}{}{}</cpus></cell><cell id='1'><cpus num='2'>{}{}</cpus></cell>",
            cpu(0, 0, 0),
            cpu(1, 0, 0),
            cpu(2, 0, 1),
            cpu(3, 0, 1),
            cpu(4, 1, 0),
            cpu(5, 1, 0),
        );
        let xml = format!(
            "<capabilities><host><uuid>11111111-2222-3333-4444-555555555555</uuid><cpu><arch>x86_64</arch><model>EPYC</model>\
             <topology sockets='1' dies='1' cores='2' threads='2'/></cpu><topology><cells num='2'>{cells}</cells></topology></host></capabilities>"
        );
        let host = HostFacts::parse(&xml).unwrap();
        assert_eq!((host.sockets, host.cores, host.threads), (2, 3, 6));
        assert_eq!(host.uuid.to_string(), "11111111-2222-3333-4444-555555555555");
    }

    #[test]
    fn uefi_is_what_libvirt_can_choose_by_itself() {
        let xml = "<domainCapabilities><vcpu max='288'/><os supported='yes'><enum name='firmware'><value>bios</value><value>efi</value></enum></os></domainCapabilities>";
        assert_eq!(GuestFacts::parse(xml), Some(GuestFacts { has_uefi: true, vcpus_max: Some(288) }));
        assert_eq!(GuestFacts::parse("<domainCapabilities/>"), Some(GuestFacts { has_uefi: false, vcpus_max: None }));
    }

    #[test]
    fn versions_are_unpacked() {
        assert_eq!(version_text(11_003_000), "11.3.0");
        assert_eq!(version_text(10_000_002), "10.0.2");
    }
}
