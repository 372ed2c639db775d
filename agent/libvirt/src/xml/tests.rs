//! Definitions as whole texts, and what comes back from them.

use super::*;
use crate::config::{DiskCache, Display};
use hvnode_core::ErrorCode;
use hvnode_core::model::{
    BootSource, DomainMetadata, Firmware, MacAddress, ObservedDisk, Timestamp, VirtType, VmOrigin, VmPhase, VmRecord, check_name,
    is_description,
};
use hvnode_core::port::{DisplayAddress, DomainDisk, DomainNic, DomainSpec};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use uuid::Uuid;

const VM: Uuid = Uuid::from_u128(0x1111_1111_2222_4333_8444_5555_5555_5555);

fn record() -> VmRecord {
    VmRecord {
        vm_uuid: VM,
        vm_name: "web <1>".into(),
        domain_name: "web".into(),
        description: "first line\nsecond & last".into(),
        cpu_cores: 2,
        memory_bytes: 1 << 30,
        specification: None,
        resized_from: None,
        image: None,
        tenant_uuid: Uuid::nil(),
        user_name: "admin".into(),
        boot: BootSource::Disk,
        firmware: Firmware::Bios,
        architecture: "x86_64".into(),
        auto_start: false,
        locked: false,
        restart_on_crash: false,
        has_seed: false,
        desired_power: hvnode_core::model::DesiredPower::On,
        expire_time: None,
        volumes: vec![],
        nics: vec![],
        metadata: BTreeMap::new(),
        origin: VmOrigin::Created,
        phase: VmPhase::Ready,
        create_time: Timestamp::from_seconds(1_790_000_000),
        update_time: Timestamp::from_seconds(1_790_000_000),
        start_time: None,
        error: None,
    }
}

pub(crate) fn spec() -> DomainSpec {
    let disk = |device: &str, n: u128| DomainDisk {
        path: format!("/var/lib/hvnode/volumes/{device}.qcow2"),
        format: "qcow2".into(),
        device: device.into(),
        bus: "virtio".into(),
        serial: Uuid::from_u128(n).to_string(),
    };
    let nic = |n: u8, source: &str, is_host_bridge| DomainNic {
        mac_address: MacAddress::from_seed([0, 0, n]),
        source: source.into(),
        is_host_bridge,
        model: "virtio".into(),
    };
    DomainSpec {
        vm_uuid: VM,
        domain_name: "web".into(),
        title: "web <1>".into(),
        cpu_cores: 2,
        memory_bytes: 1 << 30,
        architecture: "x86_64".into(),
        firmware: Firmware::Bios,
        boot: BootSource::Disk,
        disks: vec![disk("vda", 0xabcdef << 64), disk("vdb", 2)],
        nics: vec![nic(1, "default", false), nic(2, "br0", true)],
        auto_start: false,
        metadata: DomainMetadata { record: record() },
    }
}

fn render_with(spec: &DomainSpec, virt_type: VirtType, display: &Display) -> hvnode_core::Result<String> {
    let console_directory = Path::new("/var/lib/hvnode/console");
    domain_xml(spec, &RenderContext { virt_type, display, disk_cache: DiskCache::Writeback, console_directory })
}

fn render(spec: &DomainSpec) -> String {
    render_with(spec, VirtType::Qemu, &Display::Loopback).unwrap()
}

#[test]
fn a_vm_with_two_disks_and_two_nics_in_hardware() {
    insta::assert_snapshot!(render_with(&spec(), VirtType::Kvm, &Display::Loopback).unwrap());
}

#[test]
fn an_emulated_vm_that_boots_a_kernel_without_disks_and_screen() {
    let boot = BootSource::Kernel {
        kernel_path: "/images/vmlinuz".into(),
        initrd_path: Some("/images/initrd".into()),
        command_line: "console=ttyS0 quote=\"<&>\"".into(),
    };
    let spec = DomainSpec { boot, disks: vec![], nics: vec![], ..spec() };
    insta::assert_snapshot!(render_with(&spec, VirtType::Qemu, &Display::None).unwrap());
}

#[test]
fn a_vm_with_uefi_that_boots_a_disc_and_has_its_screen_on_a_socket() {
    let spec = DomainSpec { boot: BootSource::Iso { path: "/images/a.iso".into() }, firmware: Firmware::Uefi, ..spec() };
    let display = Display::UnixSocket { directory: Some("/run/hvnode/vnc".into()) };
    insta::assert_snapshot!(render_with(&spec, VirtType::Qemu, &display).unwrap());
}

#[test]
fn an_arm_vm() {
    let spec = DomainSpec { architecture: "aarch64".into(), firmware: Firmware::Uefi, ..spec() };
    insta::assert_snapshot!(render(&spec));
}

#[test]
fn an_architecture_without_a_machine_is_refused() {
    let spec = DomainSpec { architecture: "vax".into(), ..spec() };
    assert_eq!(render_with(&spec, VirtType::Qemu, &Display::None).unwrap_err().code(), ErrorCode::NotSupported);
}

#[test]
fn text_that_xml_cannot_carry_is_refused() {
    for bad in ["\0", "\u{b}", "\u{FFFE}", "\r"] {
        let boot = BootSource::Kernel { kernel_path: format!("/k{bad}"), initrd_path: None, command_line: String::new() };
        let spec = DomainSpec { boot, ..spec() };
        assert_eq!(render_with(&spec, VirtType::Qemu, &Display::None).unwrap_err().code(), ErrorCode::ParameterInvalid, "{bad:?}");
    }
}

#[test]
fn our_own_definition_reads_back_as_it_was_written() {
    let parsed = parse_domain(&render(&spec())).unwrap();
    assert_eq!((parsed.cpu_cores, parsed.memory_bytes, parsed.architecture.as_str()), (2, 1 << 30, "x86_64"));
    assert_eq!(parsed.disks.len(), 2);
    assert_eq!(parsed.disks[0].path, "/var/lib/hvnode/volumes/vda.qcow2");
    assert_eq!(parsed.nics.iter().map(|nic| nic.source.as_str()).collect::<Vec<_>>(), ["default", "br0"]);
    assert_eq!(parsed.metadata, FoundMetadata::Valid(Box::new(spec().metadata)));
    assert_eq!(parsed.display, None);
}

#[test]
fn metadata_set_on_its_own_has_no_prefix_because_libvirt_adds_it() {
    let text = metadata_xml(&spec().metadata).unwrap();
    assert!(text.starts_with("<vm>"), "{text}");
    assert!(!text.contains("hvnode:"), "{text}");
}

#[test]
fn a_title_is_one_line() {
    assert_eq!(title_of("a\nb\u{FFFF}c"), "a b c");
}

#[test]
fn what_is_read_has_no_room_for_more() {
    let parsed = parse_domain(
        "<domain><devices><disk><target dev='vda'/></disk>
         <interface type='network'><mac address='52:54:00:00:00:09'/><source network='default'/></interface></devices></domain>",
    )
    .unwrap();
    assert_eq!((parsed.disks.len(), parsed.disks.capacity()), (1, 1));
    assert_eq!((parsed.nics.len(), parsed.nics.capacity()), (1, 1));
}

#[test]
fn foreign_definitions_are_read_as_far_as_they_go() {
    let parsed = parse_domain(
        "<domain type='kvm' id='3'><name>x</name><memory>1048576</memory><vcpu current='2'>8</vcpu>
         <os><type arch='x86_64' machine='pc'>hvm</type><loader readonly='yes' type='pflash'>/OVMF.fd</loader></os>
         <metadata><other:app xmlns:other='urn:other'><other:vm/></other:app></metadata>
         <devices>
           <disk type='block'><source dev='/dev/vg/lv'/><target dev='vda' bus='virtio'/><driver type='raw'/></disk>
           <disk type='network' device='disk'><source protocol='rbd' name='pool/image'/><target dev='vdb'/></disk>
           <disk type='volume'><source pool='p' volume='v'/></disk>
           <disk device='cdrom'><target dev='sda' bus='sata'/></disk>
           <interface type='direct'><mac address='52:54:00:00:00:09'/><source dev='eth0'/><target dev='macvtap0'/></interface>
           <interface type='user'><mac address='nonsense'/></interface>
           <graphics type='sdl'/><graphics type='spice' port='5901'><listen type='address' address='127.0.0.1'/></graphics>
         </devices></domain>",
    )
    .unwrap();
    assert_eq!((parsed.cpu_cores, parsed.memory_bytes, parsed.firmware), (2, 1 << 30, Firmware::Uefi));
    assert_eq!(parsed.metadata, FoundMetadata::None);
    let paths: Vec<&str> = parsed.disks.iter().map(|disk: &ObservedDisk| disk.path.as_str()).collect();
    assert_eq!(paths, ["/dev/vg/lv", "rbd:pool/image", "p/v", ""]);
    assert_eq!(parsed.disks[3].kind, "cdrom");
    assert_eq!(parsed.nics.len(), 1);
    assert_eq!(parsed.nics[0].target_device.as_deref(), Some("macvtap0"));
    let display = DisplayAddress { kind: "spice".into(), ip_address: "127.0.0.1".into(), port: 5901, socket: String::new() };
    assert_eq!(parsed.display, Some(display));
}

#[test]
fn metadata_of_ours_that_cannot_be_read_is_broken_and_not_absent() {
    for inner in ["", "<h:record>{</h:record>", "<h:record>{\"record\":{}}</h:record>", "<h:other/>"] {
        let xml = format!("<domain><metadata><h:vm xmlns:h='{METADATA_NAMESPACE}'>{inner}</h:vm></metadata></domain>");
        assert_eq!(parse_domain(&xml).unwrap().metadata, FoundMetadata::Broken, "{inner}");
    }
}

#[test]
fn an_empty_definition_is_read_and_something_else_is_an_error() {
    assert_eq!(parse_domain("<domain/>").unwrap().cpu_cores, 1);
    assert!(parse_domain("not xml").is_err());
    assert!(parse_domain("<!DOCTYPE a [<!ENTITY b 'c'>]><domain/>").is_err());
}

fn name() -> impl Strategy<Value = String> {
    "[\\PC]{1,40}".prop_filter("a name", |name| check_name(name).is_ok())
}

fn description() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..60)
        .prop_map(|chars| chars.into_iter().collect::<String>())
        .prop_filter("a description", |text| is_description(text))
}

proptest! {
    #[test]
    fn any_name_description_and_metadata_survive_being_written_and_read(
        vm_name in name(), text in description(), key in ".{0,20}", value in ".*",
    ) {
        let mut spec = spec();
        spec.domain_name.clone_from(&vm_name);
        spec.title.clone_from(&vm_name);
        spec.metadata.record.vm_name = vm_name;
        spec.metadata.record.description = text;
        spec.metadata.record.metadata = BTreeMap::from([(key, value), ("odd".into(), "]]>\u{FFFE}\u{FFFF}\u{85}\r\n\0\u{1}".into())]);
        let parsed = parse_domain(&render(&spec)).unwrap();
        prop_assert_eq!(parsed.metadata, FoundMetadata::Valid(Box::new(spec.metadata)));
    }

    #[test]
    fn no_path_breaks_out_of_its_place(path in "/\\PC{0,40}") {
        let mut spec = spec();
        spec.disks[0].path.clone_from(&path);
        if let Ok(xml) = render_with(&spec, VirtType::Kvm, &Display::Loopback) {
            prop_assert_eq!(&parse_domain(&xml).unwrap().disks[0].path, &path);
        }
    }

    #[test]
    fn no_text_makes_the_readers_panic(text in "\\PC*") {
        let _ = parse_domain(&text);
        let _ = parse_network(&text, Uuid::nil(), String::new(), true);
        let _ = parse_volume(&text);
        let _ = resized(&text, 1, 1);
    }
}

#[test]
fn a_guest_that_could_report_its_memory_and_is_not_asked_to_is_told_from_the_others() {
    let lacks = |balloon: &str| parse_domain(&format!("<domain><devices>{balloon}</devices></domain>")).unwrap().lacks_memory_reports;
    for asked in ["", "<memballoon model='none'/>", "<memballoon model='virtio'><stats period='5'/></memballoon>"] {
        assert!(!lacks(asked), "{asked}");
    }
    for not_asked in ["<memballoon model='virtio'/>", "<memballoon model='virtio-non-transitional'><stats period='0'/></memballoon>"] {
        assert!(lacks(not_asked), "{not_asked}");
    }
}
