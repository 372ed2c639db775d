//! Tests of the kernel tier on trees of files, and on a real process.

use super::*;
use crate::fixture::Tree;
use hvnode_core::model::{MacAddress, Stall};
use std::time::Duration;

const VM: Uuid = Uuid::from_u128(0x5a0c_e000_0000_4000_8000_0000_0000_0001);
const OTHER: Uuid = Uuid::from_u128(0x5a0c_e000_0000_4000_8000_0000_0000_0002);
const ADDRESS: MacAddress = MacAddress([0x52, 0x54, 0, 0, 0, 1]);
const SCOPE: &str = r"/machine.slice/machine-qemu\x2d1\x2da.scope";
const PRESSURE: &str = "some avg10=0 avg60=0 avg300=0 total=50\nfull avg10=0 avg60=0 avg300=0 total=5\n";

fn target(vm_uuid: Uuid, taps: &[&str]) -> VmTarget {
    VmTarget { vm_uuid, nics: taps.iter().map(|tap| ((*tap).into(), ADDRESS)).collect() }
}

/// A tree, its reader and the one VM that is looked at.
struct Scene {
    tree: Tree,
    reader: VmReader,
}

impl Scene {
    fn new() -> Self {
        let tree = Tree::new();
        tree.qemu(100, VM, 5000);
        Self { tree, reader: VmReader::default() }
    }

    fn read(&mut self) -> Option<KernelSample> {
        self.read_with(&[])
    }

    fn read_with(&mut self, taps: &[&str]) -> Option<KernelSample> {
        self.reader.read(&self.tree.root(), &[target(VM, taps)]).unwrap().pop()
    }
}

#[test]
fn a_vm_is_read_from_its_process() {
    let sample = Scene::new().read().unwrap();
    assert_eq!((sample.vm_uuid, sample.process_id, sample.run_id), (VM, 100, 5000));
    assert_eq!(sample.cpu_time_nanoseconds, 500 * (1_000_000_000 / procfs::ticks_per_second()));
    assert_eq!(sample.memory_resident_bytes, 10 * procfs::page_size());
    assert_eq!(sample.memory_swapped_bytes, Some(0));
    assert_eq!((sample.disk_read_bytes, sample.disk_write_bytes), (Some(4096), Some(8192)));
    let vcpus: Vec<_> = sample.vcpus.iter().map(|vcpu| (vcpu.index, vcpu.time_nanoseconds, vcpu.delay_nanoseconds)).collect();
    assert_eq!(vcpus, [(0, 1000, 100), (1, 2000, 200)]);
    assert_eq!((sample.pressure, sample.oom_kills, sample.nics.len()), (Pressure::default(), None, 0));
}

#[test]
fn without_proc_nothing_can_be_told_and_without_targets_there_is_nothing_to_tell() {
    let folder = tempfile::tempdir().unwrap();
    assert!(VmReader::default().read(&Root::new(folder.path().into()), &[target(VM, &[])]).is_none());
    let mut scene = Scene::new();
    assert!(scene.reader.read(&scene.tree.root(), &[]).unwrap().is_empty());
    assert_eq!(scene.reader.scans(), 0);
}

#[test]
fn a_process_is_looked_for_once() {
    let mut scene = Scene::new();
    for _ in 0..10 {
        scene.read().unwrap();
    }
    assert_eq!(scene.reader.scans(), 1);
}

#[test]
fn a_process_that_is_gone_is_absence_and_its_successor_is_found_at_once() {
    let mut scene = Scene::new();
    scene.read().unwrap();
    scene.tree.remove("proc/100");
    assert_eq!(scene.read(), None);

    let mut scene = Scene::new();
    scene.read().unwrap();
    scene.tree.remove("proc/100");
    scene.tree.qemu(200, VM, 6000);
    let sample = scene.read().unwrap();
    assert_eq!((sample.process_id, sample.run_id), (200, 6000));
}

#[test]
fn a_process_that_only_has_the_same_number_is_another_one() {
    let mut scene = Scene::new();
    scene.read().unwrap();
    scene.tree.qemu(100, OTHER, 7000);
    assert_eq!(scene.read(), None, "the number belongs to another VM now");
    scene.tree.qemu(100, VM, 8000);
    let mut scene = Scene { reader: VmReader::default(), ..scene };
    scene.read().unwrap();
    scene.tree.stat(100, 9000, 4);
    assert_eq!(scene.read().unwrap().run_id, 9000, "the VM was started anew under the same number");
}

#[test]
fn a_zombie_is_no_process() {
    let mut scene = Scene::new();
    scene.read().unwrap();
    let line = std::fs::read_to_string(scene.tree.path("proc/100/stat")).unwrap();
    scene.tree.write("proc/100/stat", line.replace(") S 1 1", ") Z 1 1"));
    assert_eq!(scene.read(), None);
}

#[test]
fn only_a_qemu_with_that_uuid_counts_and_the_oldest_wins() {
    let mut scene = Scene::new();
    scene.tree.qemu(50, VM, 9999);
    scene.tree.qemu(60, VM, 1);
    scene.tree.write("proc/60/comm", "impostor\n");
    scene.tree.qemu(70, OTHER, 1);
    scene.tree.write("proc/80/comm", b"qemu\xff\n");
    scene.tree.write("proc/81/comm", "qemu-ga\n");
    scene.tree.write("proc/81/cmdline", "qemu-ga\0");
    assert_eq!(scene.read().unwrap().process_id, 100);
}

#[test]
fn a_vm_without_a_process_does_not_cost_a_scan_in_every_sweep() {
    let mut scene = Scene::new();
    for _ in 0..50 {
        let samples = scene.reader.read(&scene.tree.root(), &[target(OTHER, &[]), target(VM, &[])]).unwrap();
        assert_eq!(samples.len(), 1);
    }
    assert!(scene.reader.scans() <= 2, "{} scans", scene.reader.scans());
}

#[test]
fn pauses_between_scans_double_up_to_a_bound() {
    let (tree, mut finder, mut buffer) = (Tree::new(), Finder::default(), Buffer::default());
    let mut scans_at = Vec::new();
    for second in 0..1000 {
        let before = finder.scans;
        finder.find(&tree.root(), &[VM], Duration::from_secs(second), &mut buffer);
        if finder.scans > before {
            scans_at.push(second);
        }
    }
    assert_eq!(scans_at[..8], [0, 2, 6, 14, 30, 62, 126, 246]);
    assert_eq!(scans_at[8..].iter().zip(&scans_at[7..]).map(|(later, earlier)| later - earlier).max(), Some(120));
    finder.retain(&HashSet::new());
    assert!(finder.find(&tree.root(), &[VM], Duration::from_secs(1000), &mut buffer).is_empty());
    assert_eq!(finder.scans, scans_at.len() as u64 + 1, "one that was forgotten is new");
}

#[test]
fn threads_that_come_and_go_are_noticed() {
    let mut scene = Scene::new();
    let indexes = |sample: Option<KernelSample>| sample.unwrap().vcpus.iter().map(|vcpu| vcpu.index).collect::<Vec<_>>();
    assert_eq!(indexes(scene.read()), [0, 1]);
    scene.tree.thread(100, 110, "CPU 2/KVM", "3000 300 30");
    scene.tree.stat(100, 5000, 5);
    assert_eq!(indexes(scene.read()), [0, 1, 2]);
    scene.tree.remove("proc/100/task/102");
    assert_eq!(indexes(scene.read()), [0, 2], "the count did not change");
    scene.tree.thread(100, 111, "CPU 1/TCG", "1 1 1");
    assert_eq!(indexes(scene.read()), [0, 1, 2]);
}

#[test]
fn a_thread_that_has_no_name_of_its_own_yet_is_looked_at_again() {
    let mut scene = Scene::new();
    scene.tree.thread(100, 110, "qemu-system-x86", "1 1 1");
    scene.tree.stat(100, 5000, 5);
    assert_eq!(scene.read().unwrap().vcpus.len(), 2);
    scene.tree.thread(100, 110, "CPU 2/KVM", "1 1 1");
    scene.tree.thread(100, 111, "worker", "1 1 1");
    scene.tree.stat(100, 5000, 6);
    assert_eq!(scene.read().unwrap().vcpus.len(), 3);
}

#[test]
fn processors_are_empty_where_threads_have_no_names_or_nothing_is_counted() {
    let mut scene = Scene::new();
    scene.tree.thread(100, 101, "qemu-system-x86", "1 1 1");
    scene.tree.thread(100, 102, "CPU 0/KVM", "0 0 0");
    assert!(scene.read().unwrap().vcpus.is_empty());
}

#[test]
fn swapped_and_huge_memory_is_asked_for_only_where_the_host_has_any() {
    let mut scene = Scene::new();
    scene.tree.write("proc/swaps", "Filename Type Size Used Priority\n/swap file 100 8 -2\n");
    let sample = scene.read().unwrap();
    assert_eq!(sample.memory_swapped_bytes, Some(3 << 10));
    assert_eq!(sample.memory_resident_bytes, 10 * procfs::page_size() + (2 << 20));
    scene.tree.remove("proc/100/status");
    let known: Vec<bool> = (0..DEAR_SWEEPS).map(|_| scene.read().unwrap().memory_swapped_bytes.is_some()).collect();
    assert!(known[0] && !known[known.len() - 1], "kept until its turn: {known:?}");

    let mut scene = Scene::new();
    scene.tree.write("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "8\n");
    scene.tree.write("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "8\n");
    assert_eq!(scene.read().unwrap().memory_resident_bytes, 10 * procfs::page_size() + (2 << 20));
}

#[test]
fn what_the_process_does_on_disks_is_absent_where_it_cannot_be_read() {
    let mut scene = Scene::new();
    scene.tree.remove("proc/100/io");
    let sample = scene.read().unwrap();
    assert_eq!((sample.disk_read_bytes, sample.disk_write_bytes), (None, None));
}

#[test]
fn taps_are_seen_from_the_guest_and_macvtaps_are_not_turned() {
    let mut scene = Scene::new();
    scene.tree.write(
        "proc/net/dev",
        "Inter-|\n face |\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n vnet0:11 12 13 14 0 0 0 0 21 22 23 24 0 0 0 0\n  own0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\nmacvtap0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n",
    );
    scene.tree.write("sys/class/net/own0/tun_flags", "0x1002\n");
    let nics = scene.read_with(&["vnet0", "own0", "macvtap0", "vnet9"]).unwrap().nics;
    let shown: Vec<_> = nics.iter().map(|nic| (nic.interface_name.as_str(), nic.receive_bytes, nic.send_bytes)).collect();
    assert_eq!(shown, [("vnet0", 21, 11), ("own0", 5, 1), ("macvtap0", 1, 5)], "one that is gone is absent");
    let tap = &nics[0];
    assert_eq!((tap.receive_packets, tap.receive_errors, tap.receive_drops), (22, 23, 24));
    assert_eq!((tap.send_packets, tap.send_errors, tap.send_drops, tap.mac_address), (12, 13, 14, Some(ADDRESS)));
    scene.tree.remove("proc/net/dev");
    assert!(scene.read_with(&["vnet0"]).unwrap().nics.is_empty());
}

#[test]
fn version_2_groups_tell_pressure_and_kills() {
    let mut scene = Scene::new();
    scene.tree.write("proc/self/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    assert_eq!(scene.read().unwrap().oom_kills, None, "it shares its group");
    scene.tree.write("proc/100/cgroup", format!("0::{SCOPE}/libvirt/emulator\n"));
    scene.tree.write(&format!("sys/fs/cgroup{SCOPE}/cpu.pressure"), PRESSURE);
    scene.tree.write(&format!("sys/fs/cgroup{SCOPE}/memory.events"), "low 0\noom 1\noom_kill 2\noom_group_kill 0\n");
    let sample = scene.read().unwrap();
    assert_eq!(sample.pressure.cpu, Some(Stall { some_microseconds: 50, full_microseconds: 5 }));
    assert_eq!((sample.pressure.memory, sample.pressure.io, sample.oom_kills), (None, None, Some(2)));

    scene.tree.remove("sys/fs/cgroup/machine.slice");
    let sample = scene.read().unwrap();
    assert_eq!((sample.pressure, sample.oom_kills), (Pressure::default(), None), "a group that is gone is absence");
}

#[test]
fn version_1_groups_tell_kills() {
    let mut scene = Scene::new();
    scene.tree.write(
        "proc/self/mountinfo",
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
    );
    scene.tree.write("proc/100/cgroup", "4:memory:/machine/qemu-6-a.libvirt-qemu\n1:cpu:/machine/qemu-6-a.libvirt-qemu/emulator\n0::/\n");
    let file = "sys/fs/cgroup/memory/machine/qemu-6-a.libvirt-qemu/memory.oom_control";
    scene.tree.write(file, "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
    let sample = scene.read().unwrap();
    assert_eq!((sample.pressure, sample.oom_kills), (Pressure::default(), Some(4)));
}

#[test]
fn both_versions_side_by_side_each_tell_their_part() {
    let mut scene = Scene::new();
    scene.tree.write(
        "proc/self/mountinfo",
        "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
    );
    scene.tree.write("proc/100/cgroup", format!("4:memory:{SCOPE}/libvirt\n1:name=systemd:{SCOPE}\n0::{SCOPE}\n"));
    scene.tree.write(&format!("sys/fs/cgroup/unified{SCOPE}/io.pressure"), PRESSURE);
    scene.tree.write(&format!("sys/fs/cgroup/memory{SCOPE}/libvirt/memory.oom_control"), "oom_kill 1\n");
    let sample = scene.read().unwrap();
    assert_eq!((sample.pressure.io.map(|stall| stall.some_microseconds), sample.oom_kills), (Some(50), Some(1)));
}

#[test]
fn no_file_stays_open_and_vms_that_are_gone_are_forgotten() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let tree = Tree::new();
    let uuids: Vec<Uuid> = (0..200).map(Uuid::from_u128).collect();
    for (number, vm_uuid) in (1000..).step_by(10).zip(&uuids) {
        tree.qemu(number, *vm_uuid, 1);
    }
    let targets: Vec<VmTarget> = uuids.iter().map(|vm_uuid| target(*vm_uuid, &[])).collect();
    let mut reader = VmReader::default();
    let before = open();
    assert_eq!(reader.read(&tree.root(), &targets).unwrap().len(), 200);
    // other tests of this process may have files open: far fewer than VMs
    assert!(open() < before + 100);
    assert_eq!(reader.read(&tree.root(), &targets[..3]).unwrap().len(), 3);
    assert_eq!((reader.processes.len(), reader.scans()), (3, 1));
}

#[test]
fn a_real_process_is_read_from_the_real_kernel() {
    // not a QEMU, but under the eyes of the same kernel: this very process, put in place by hand
    let mut buffer = Buffer::default();
    let root = Root::new("/".into());
    let name = std::process::id().to_string();
    let own = Dir::open(&root.path("proc")).unwrap().open_in(&name).unwrap();
    let stat = parse::process_stat(own.read_small("stat", &mut buffer).unwrap()).unwrap();
    let mut reader = VmReader::default();
    reader.processes.insert(VM, Process::new(std::process::id(), stat.start_ticks));
    let first = reader.read(&root, &[target(VM, &["lo"])]).unwrap().pop().unwrap();
    assert!(first.memory_resident_bytes > 1 << 20 && first.disk_read_bytes.is_some() && first.nics.len() == 1);
    let mut later = first.clone();
    while later.cpu_time_nanoseconds == first.cpu_time_nanoseconds {
        later = reader.read(&root, &[target(VM, &["lo"])]).unwrap().pop().unwrap();
    }
    assert!(later.cpu_time_nanoseconds > first.cpu_time_nanoseconds && later.at.since(first.at) > Duration::ZERO);
    assert_eq!(reader.scans(), 0);
}
