//! Tests of the host's counters, on this machine and on trees of files.

use super::*;
use crate::fixture::Tree;
use hvnode_core::model::Stall;

fn own() -> Root {
    Root::new("/".into())
}

#[test]
fn facts_are_about_this_machine() {
    let facts = facts(&own()).unwrap();
    assert!(!facts.host_name.is_empty() && facts.kernel_version.contains('.'));
    assert!(facts.memory_bytes > 64 << 20);
    assert!(facts.boot_time > Timestamp::from_seconds(1_500_000_000) && facts.boot_time < Timestamp::now());
    assert!(facts.ip_address.parse::<Ipv4Addr>().is_ok());
}

#[test]
fn counters_grow_and_fit_each_other() {
    let space = SpaceReader::default();
    let take = || sample(&own(), &space).unwrap();
    let first = take();
    let mut later = take();
    while later.cpu.total_nanoseconds() == first.cpu.total_nanoseconds() {
        later = take();
    }
    assert!(later.cpu.total_nanoseconds() > first.cpu.total_nanoseconds() && later.cpu.busy_nanoseconds() >= first.cpu.busy_nanoseconds());
    assert!(later.cpu.busy_nanoseconds() <= later.cpu.total_nanoseconds());
    assert!(later.memory.available_bytes <= later.memory.total_bytes && later.memory.swap_free_bytes <= later.memory.swap_total_bytes);
    assert!(later.memory.cached_bytes > 0);
    assert!(later.nics.iter().all(|nic| nic.interface_name != "lo"));
}

#[test]
fn this_machine_has_cores_loads_and_a_root_with_space() {
    let sample = sample(&own(), &SpaceReader::default()).unwrap();
    let online = sample.cores.iter().filter(|core| core.total_nanoseconds() > 0).count();
    assert!(online >= std::thread::available_parallelism().unwrap().get());
    let sum: u64 = sample.cores.iter().map(|core| core.user_nanoseconds).sum();
    assert!(sum <= sample.cpu.user_nanoseconds + 1_000_000_000, "{sum} {}", sample.cpu.user_nanoseconds);
    assert!(sample.load_average.iter().all(|load| (0.0..10_000.0).contains(load)));
    let root = sample.file_systems.iter().find(|file_system| file_system.mount_point == "/").unwrap();
    assert!(root.space.is_some_and(|space| space.size_bytes > 0 && space.available_bytes <= space.size_bytes), "{root:?}");
    assert!(sample.file_systems.iter().all(|file_system| !["proc", "sysfs", "cgroup2", "devpts"].contains(&file_system.kind.as_str())));
}

fn tree() -> Tree {
    let tree = Tree::new();
    tree.write("proc/stat", "cpu  10 0 5 100 2 0 0 0 0 0\ncpu0 10 0 5 100 2 0 0 0 0 0\nbtime 1795329999\n");
    tree.write("proc/meminfo", "MemTotal: 100 kB\nMemFree: 20 kB\nBuffers: 3 kB\nCached: 30 kB\nSwapTotal: 50 kB\nSwapFree: 40 kB\n");
    tree
}

fn sample_of(tree: &Tree) -> HostSample {
    sample(&tree.root(), &SpaceReader::default()).unwrap()
}

#[test]
fn memory_is_told_with_swap_and_huge_pages_of_all_sizes() {
    let tree = tree();
    tree.write("proc/vmstat", "nr_free_pages 1\npswpin 7\npswpout 9\n");
    for (name, total, free) in [("hugepages-1048576kB", "4\n", "1\n"), ("hugepages-2048kB", "8\n", "8\n"), ("other", "1", "1")] {
        tree.write(&format!("sys/kernel/mm/hugepages/{name}/nr_hugepages"), total);
        tree.write(&format!("sys/kernel/mm/hugepages/{name}/free_hugepages"), free);
    }
    let memory = sample_of(&tree).memory;
    assert_eq!((memory.total_bytes, memory.free_bytes, memory.available_bytes), (100 << 10, 20 << 10, 20 << 10));
    assert_eq!((memory.buffers_bytes, memory.cached_bytes), (3 << 10, 30 << 10));
    assert_eq!((memory.swap_total_bytes, memory.swap_free_bytes), (50 << 10, 40 << 10));
    assert_eq!((memory.swap_in_bytes, memory.swap_out_bytes), (7 * procfs::page_size(), 9 * procfs::page_size()));
    let expected = [(2 << 20, 8, 8), (1 << 30, 4, 1)];
    assert_eq!(memory.huge_pages.iter().map(|pages| (pages.page_bytes, pages.total_pages, pages.free_pages)).collect::<Vec<_>>(), expected);
}

#[test]
fn pressure_is_absent_on_kernels_without_it() {
    let tree = tree();
    assert_eq!(sample_of(&tree).pressure, Pressure::default());
    tree.write("proc/pressure/io", "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=8\n");
    let expected = Pressure { io: Some(Stall { some_microseconds: 9, full_microseconds: 8 }), ..Pressure::default() };
    assert_eq!(sample_of(&tree).pressure, expected);
}

#[test]
fn disks_are_neither_partitions_nor_stacked() {
    let tree = tree();
    let numbers = "1 2 3 4 5 6 7 8 9 10 11";
    let names = ["sda", "sda1", "dm-0", "loop0", "cciss/c0d0"];
    tree.write("proc/diskstats", names.map(|name| format!("8 0 {name} {numbers}\n")).concat());
    tree.write("sys/block/sda/device/model", "");
    tree.write("sys/block/cciss!c0d0/device/model", "");
    tree.write("sys/block/dm-0/size", "1");
    assert_eq!(sample_of(&tree).disks.iter().map(|disk| disk.device.as_str()).collect::<Vec<_>>(), ["sda", "cciss/c0d0"]);
}

#[test]
fn the_hosts_nics_are_cards_or_else_all_that_is_not_a_guests() {
    let tree = tree();
    let line = |name: &str| format!("{name}: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n");
    let names = ["lo", "eth1", "eth0", "br0", "vnet0", "mytap"];
    tree.write("proc/net/dev", format!("head\nhead\n{}", names.map(line).concat()));
    tree.write("sys/class/net/mytap/tun_flags", "0x1002\n");
    let found = || sample_of(&tree).nics.into_iter().map(|nic| nic.interface_name).collect::<Vec<_>>();
    assert_eq!(found(), ["br0", "eth0", "eth1"]);
    tree.write("sys/class/net/eth0/device/vendor", "");
    tree.write("sys/class/net/eth0/address", "52:54:00:12:34:56\n");
    assert_eq!(found(), ["eth0"]);
    let nic = &sample_of(&tree).nics[0];
    assert_eq!((nic.receive_bytes, nic.send_bytes, nic.send_drops), (1, 5, 8));
    assert_eq!(nic.mac_address.map(|address| address.to_string()).as_deref(), Some("52:54:00:12:34:56"));
}

#[test]
fn interfaces_of_guests_are_not_the_hosts() {
    assert!(is_inner_name("lo") && is_inner_name("vnet12") && is_inner_name("virbr0"));
    assert!(!is_inner_name("eth0") && !is_inner_name("enp1s0") && !is_inner_name("br0"));
}

#[test]
fn a_kernel_that_tells_nothing_is_an_error_not_a_panic() {
    let tree = Tree::new();
    assert!(sample(&tree.root(), &SpaceReader::default()).is_err() && facts(&tree.root()).is_err());
    tree.write("proc/stat", b"cpu \xff\xfe");
    tree.write("proc/meminfo", "MemTotal: many kB\n");
    assert!(sample(&tree.root(), &SpaceReader::default()).is_err());
}
