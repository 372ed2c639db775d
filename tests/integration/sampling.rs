//! The sampler of the libvirt adapter alone, on real QEMUs, one of which is stopped: its monitor is open and does not answer.

use super::support::host::Host;
use super::support::{PATIENCE, wait_for};
use hvnode_core::model::{BootSource, DomainMetadata, Firmware, HypervisorSample, SampleTime, Timestamp, VmOrigin, VmPhase, VmRecord};
use hvnode_core::port::{ConnectionState, DomainSpec, Hypervisor};
use hvnode_libvirt::{LibvirtConfig, LibvirtHypervisor, PoolDirectories};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

const VMS: u128 = 12;
/// The one that hangs, in the middle of a shard.
const FROZEN: Uuid = uuid(5);
/// Questions at the same time: the usual number of connections.
const PARALLEL: usize = 4;
/// Deadline of a sweep: that of a shard, that of the VMs asked again, and some for a busy machine.
const SWEEP_MAX: Duration = Duration::from_secs(8);

const fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0x5a3b_0000_0000_4000_8000_0000_0000_0000 + number)
}

/// Starts small VMs without a system inside: QEMU and its monitor are all that is needed.
fn start_vms(host: &Host, count: u128) {
    std::fs::write(host.directory.join("run/disk"), vec![0; 1 << 20]).unwrap();
    for number in 1..=count {
        let xml = format!(
            "<domain type='qemu'><name>v{number}</name><uuid>{}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
             <os><type arch='x86_64' machine='q35'>hvm</type></os>
             <devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/run/disk'/><target dev='vda' bus='virtio'/>
             <readonly/></disk><memballoon model='virtio'/></devices></domain>",
            uuid(number)
        );
        std::fs::write(host.directory.join("run/vm.xml"), xml).unwrap();
        host.virsh(&["define", "/run/vm.xml"]);
        host.virsh(&["start", &format!("v{number}")]);
    }
}

async fn connect(host: &Host) -> Arc<LibvirtHypervisor> {
    let uri = format!("qemu+unix:///system?socket={}", host.directory.join("run/libvirt/libvirt-sock").display());
    let pools = PoolDirectories { images: "/run/images".into(), volumes: "/run/volumes".into(), console: "/run/console".into() };
    let hypervisor = LibvirtHypervisor::start(LibvirtConfig { connections: PARALLEL, ..LibvirtConfig::new(uri, pools) }).unwrap();
    let mut state = hypervisor.connection();
    tokio::time::timeout(PATIENCE, state.wait_for(|state| *state == ConnectionState::Up)).await.unwrap().unwrap();
    hypervisor
}

fn signal(host: &Host, signal: &str) {
    host.run(&["sh", "-c", &format!("kill -{signal} $(cat /run/libvirt/qemu/v5.pid)")]);
}

/// One sweep. Each complete sample must be of this sweep.
async fn sweep(hypervisor: &LibvirtHypervisor) -> Vec<HypervisorSample> {
    let (start, before) = (Instant::now(), SampleTime::now());
    let mut samples = hypervisor.sample_vms((1..=VMS).map(uuid).collect()).await.unwrap();
    assert!(start.elapsed() < SWEEP_MAX, "{:?}", start.elapsed());
    samples.retain(|sample| sample.is_complete);
    samples.sort_unstable_by_key(|sample| sample.vm_uuid);
    assert!(samples.iter().all(|sample| sample.at.elapsed >= before.elapsed));
    samples
}

fn threads() -> usize {
    let is_sampler = |name: std::io::Result<String>| name.is_ok_and(|name| name.trim() == "libvirt-sample");
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks.filter(|task| is_sampler(std::fs::read_to_string(task.as_ref().unwrap().path().join("comm")))).count()
}

#[tokio::test]
async fn a_vm_whose_monitor_hangs_is_missing_alone_and_comes_back() {
    let host = Host::start();
    start_vms(&host, VMS);
    let hypervisor = connect(&host).await;
    let all = sweep(&hypervisor).await;
    assert_eq!(all.len(), 12);
    for sample in &all {
        assert!(sample.run_id > 0 && sample.memory.resident_bytes.is_some_and(|bytes| bytes > 0), "{sample:?}");
        assert_eq!((sample.cpu_cores, sample.memory.actual_bytes, sample.memory.maximum_bytes), (1, Some(64 << 20), Some(64 << 20)));
        assert_eq!((sample.disks[0].device.as_str(), sample.disks[0].path.as_deref()), ("vda", Some("/run/disk")));
        assert_eq!((sample.disks[0].capacity_bytes, sample.vcpus.len()), (Some(1 << 20), 1));
    }

    signal(&host, "STOP");
    for _ in 0..5 {
        let others = sweep(&hypervisor).await;
        let wanted: Vec<_> = (1..=VMS).map(uuid).filter(|vm| *vm != FROZEN).collect();
        assert_eq!(others.iter().map(|sample| sample.vm_uuid).collect::<Vec<_>>(), wanted);
        assert_eq!(hypervisor.counts().stuck, 1);
    }
    assert_eq!(hypervisor.counts().timeouts, 1);
    assert!(threads() <= PARALLEL + 1, "those that serve, and the one that is stuck: {}", threads());

    signal(&host, "CONT");
    wait_for("the VM to answer again", PATIENCE, || async { (sweep(&hypervisor).await.len() == 12).then_some(()) }).await;
    wait_for("the stuck call to end", PATIENCE, || async { (hypervisor.counts().stuck == 0).then_some(()) }).await;

    host.virsh(&["destroy", "v5"]);
    host.virsh(&["start", "v5"]);
    let again = sweep(&hypervisor).await;
    assert_ne!(again[4].run_id, all[4].run_id);
    assert_eq!(again[3].run_id, all[3].run_id);
    assert_eq!(hypervisor.counts().reconnects, 0);
}

/// What the node would say of such a VM.
fn spec(vm_uuid: Uuid, origin: VmOrigin) -> DomainSpec {
    let now = Timestamp::now();
    let record = VmRecord {
        vm_uuid,
        vm_name: "taken".into(),
        domain_name: "v".into(),
        description: String::new(),
        cpu_cores: 1,
        memory_bytes: 64 << 20,
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
        metadata: Default::default(),
        origin,
        phase: VmPhase::Ready,
        create_time: now,
        update_time: now,
        start_time: None,
        error: None,
    };
    DomainSpec {
        vm_uuid,
        domain_name: "v".into(),
        title: "taken".into(),
        cpu_cores: 1,
        memory_bytes: 64 << 20,
        architecture: "x86_64".into(),
        firmware: Firmware::Bios,
        boot: BootSource::Disk,
        disks: vec![],
        nics: vec![],
        auto_start: false,
        metadata: DomainMetadata { record },
    }
}

/// Whether the guest is asked to report its memory: in this run, and in the next.
fn is_asked(host: &Host, name: &str) -> (bool, bool) {
    let has_period = |xml: String| xml.contains("<stats period='10'/>");
    (has_period(host.virsh(&["dumpxml", name])), has_period(host.virsh(&["dumpxml", "--inactive", name])))
}

#[tokio::test]
async fn guests_of_vms_that_are_ours_are_asked_to_report_their_memory_and_no_others() {
    let host = Host::start();
    start_vms(&host, 4);
    host.virsh(&["destroy", "v4"]);
    let hypervisor = connect(&host).await;
    for (number, origin) in [(1, VmOrigin::Adopted), (2, VmOrigin::Created), (4, VmOrigin::Adopted)] {
        hypervisor.update_description(&spec(uuid(number), origin)).await.unwrap();
    }
    assert_eq!(is_asked(&host, "v1"), (true, true), "adopted while it runs");
    assert_eq!(is_asked(&host, "v4"), (true, true), "adopted while it is off");
    assert_eq!(is_asked(&host, "v2"), (false, false), "somehow ours, and not asked yet");
    sweep(&hypervisor).await;
    assert_eq!(is_asked(&host, "v2"), (true, true));
    assert_eq!(is_asked(&host, "v3"), (false, false), "not ours");

    // Once per run: who takes it away again is not fought.
    host.virsh(&["dommemstat", "v2", "--period", "0", "--live"]);
    sweep(&hypervisor).await;
    assert!(!is_asked(&host, "v2").0);
}
