//! Tests of the formats: real lines, odd ones, and arbitrary text.

use super::*;
use proptest::prelude::*;

const STAT: &str = "10465 (qemu-system-x86) S 1 10464 10464 0 -1 138412416 66091 0 7 0 812 303 0 0 20 0 5 0 1390212 1822388224 66286 \
    18446744073709551615 1 1 0 0 0 0 268444224 4096 16963 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0";

#[test]
fn a_process_is_read_whatever_its_name() {
    let expected = ProcessStat { is_dead: false, cpu_ticks: 1115, thread_count: 5, start_ticks: 1_390_212, resident_pages: 66_286 };
    assert_eq!(process_stat(STAT.as_bytes()), Some(expected));
    for name in [b"a b) S 1 (c".as_slice(), b")", b"", b"\xff\xfe", b"\n) R ("] {
        let odd = [b"10465 (", name, &STAT.as_bytes()[STAT.find(')').unwrap()..]].concat();
        assert_eq!(process_stat(&odd), Some(expected), "{name:?}");
    }
    assert!(process_stat(STAT.replace(" S ", " Z ").as_bytes()).unwrap().is_dead);
    for short in ["", "1", "1 (x)", "1 (x) S 1 2 3", "1 x S 1"] {
        assert_eq!(process_stat(short.as_bytes()), None, "{short}");
    }
}

#[test]
fn threads_of_virtual_processors_are_known_by_name() {
    assert_eq!(vcpu_index("CPU 0/KVM"), Some(0));
    assert_eq!(vcpu_index("CPU 127/TCG"), Some(127));
    for other in
        ["ALL CPUs/TCG", "CPU 0", "CPU 0/", "CPU /KVM", "CPU x/KVM", "CPU -1/KVM", "worker", "qemu-system-x86", "IO mon_iothread", ""]
    {
        assert_eq!(vcpu_index(other), None, "{other}");
    }
    assert_eq!(schedstat("5369557056 8352025301 23548\n"), Some((5_369_557_056, 8_352_025_301)));
    assert_eq!(schedstat("0 0 0\n"), None, "a kernel that does not count");
    assert_eq!(schedstat("1"), None);
}

#[test]
fn the_uuid_of_a_command_line_is_its_own_argument() {
    let vm_uuid = Uuid::from_u128(0x9f8e_4386_7394_4e3d_873b_1519_7b3e_1801);
    let line = format!("/usr/bin/qemu-system-x86_64\0-name\0guest=a -uuid b\0-uuid\0{vm_uuid}\0-S\0");
    assert_eq!(uuid_argument(line.as_bytes()), Some(vm_uuid));
    assert_eq!(uuid_argument(line.to_uppercase().replace("-UUID", "-uuid").as_bytes()), Some(vm_uuid));
    for other in ["", "-uuid", "-uuid\0", "-uuid\0x\0", &format!("-smbios\0uuid={vm_uuid}\0"), &format!("-uuid {vm_uuid}\0")] {
        assert_eq!(uuid_argument(other.as_bytes()), None, "{other}");
    }
}

#[test]
fn keyed_numbers_are_found_by_their_whole_key() {
    let text = "MemTotal:       24684084 kB\nSwapCached: 1 kB\nCached: 7 kB\noom_kill_disable 0\noom_kill 3\n";
    assert_eq!(keyed(text, "oom_kill"), Some(3));
    assert_eq!(keyed(text, "oom"), None);
    assert_eq!(keyed_kib(text, "Cached"), Some(7 << 10));
    assert_eq!(keyed_kib("x: 18446744073709551615 kB", "x"), Some(u64::MAX));
    assert_eq!(keyed("write_bytes: 5\ncancelled_write_bytes: 1\n", "write_bytes"), Some(5));
}

#[test]
fn pressure_is_told_in_total_times() {
    let text = "some avg10=6.29 avg60=11.59 avg300=22.77 total=3322349769\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=12\n";
    assert_eq!(stall(text), Some(Stall { some_microseconds: 3_322_349_769, full_microseconds: 12 }));
    assert_eq!(stall("some avg10=0 total=1\n"), Some(Stall { some_microseconds: 1, full_microseconds: 0 }));
    assert_eq!(stall(""), None);
}

#[test]
fn processors_keep_their_number_while_others_are_offline() {
    let text = "cpu  10 1 5 100 2 3 4 6 7 0\ncpu0 4 0 2 50 1 0 0 0 0 0\ncpu3 6 1 3 50 1 3 4 6 7 0\nintr 1 2\nctxt 5\n";
    let (all, cores) = cpu_times(text, 100).unwrap();
    assert_eq!((all.user_nanoseconds, all.steal_nanoseconds), (100_000_000, 60_000_000));
    assert_eq!(all.total_nanoseconds(), 131 * 10_000_000);
    assert_eq!(cores.len(), 4);
    assert_eq!((cores[1], cores[2]), (CpuTimes::default(), CpuTimes::default()));
    assert_eq!(cores[3].irq_nanoseconds, 30_000_000);
    assert!(cpu_times("cpu0 1 2", 100).is_none() && cpu_times("cpu 1\ncpu99999999999 1\ncpu70000 1\n", 0).unwrap().1.is_empty());
}

#[test]
fn disks_have_bytes_requests_and_times() {
    let line = " 254       0 vda 3951001 154634 244748802 7101874 1131030 369533 367964776 1688027 0 449296 8916926 376735 37 283209512 86705 254737 40318";
    let counters = disk(line).unwrap();
    assert_eq!((counters.device.as_str(), counters.read_requests, counters.write_requests), ("vda", 3_951_001, 1_131_030));
    assert_eq!((counters.read_bytes, counters.write_bytes), (244_748_802 * 512, 367_964_776 * 512));
    assert_eq!((counters.read_time_nanoseconds, counters.write_time_nanoseconds), (Some(7_101_874_000_000), Some(1_688_027_000_000)));
    assert_eq!((counters.flush_requests, counters.flush_time_nanoseconds), (Some(254_737), Some(40_318_000_000)));
    let older = disk("8 0 sda 1 2 3 4 5 6 7 8 9 10 11").unwrap();
    assert_eq!((older.write_requests, older.flush_requests), (5, None));
    assert!(disk("8 0 sda 1 2 3").is_none() && disk("").is_none());
}

#[test]
fn interfaces_are_read_with_or_without_a_blank_after_the_name() {
    let text = "Inter-|   Receive\n face |bytes\n    lo: 1 2 0 0 0 0 0 0 1 2 0 0 0 0 0 0\n vnet0:11 12 13 14 15 16 17 18 21 22 23 24 0 0 0 0\neth0:1: 1\n";
    let all: Vec<_> = interfaces(text).collect();
    assert_eq!(all.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["lo", "vnet0", "eth0:1"]);
    let tap = interface("vnet0", all[1].1).unwrap();
    assert_eq!((tap.receive_bytes, tap.receive_packets, tap.receive_errors, tap.receive_drops), (11, 12, 13, 14));
    assert_eq!((tap.send_bytes, tap.send_packets, tap.send_errors, tap.send_drops), (21, 22, 23, 24));
    assert!(interface("eth0:1", all[2].1).is_none());
}

#[test]
fn use_of_swap_is_seen() {
    let head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
    assert!(!is_swap_used(head) && !is_swap_used(""));
    assert!(!is_swap_used(&format!("{head}/dev/sda2   partition\t1000\t\t0\t\t-2\n")));
    assert!(is_swap_used(&format!("{head}/dev/sda2   partition\t1000\t\t0\t\t-2\n/swap file  file\t1000\t\t8\t\t-3\n")));
}

#[test]
fn loads_are_numbers() {
    assert_eq!(load_average("0.50 1.25 2.00 3/123 4567\n"), Some([0.5, 1.25, 2.0]));
    assert!(load_average("NaN 1 2").is_none() && load_average("1 2").is_none() && load_average("").is_none());
}

fn read_everything(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    process_stat(bytes);
    uuid_argument(bytes);
    schedstat(&text);
    vcpu_index(&text);
    keyed_kib(&text, "a");
    stall(&text);
    cpu_times(&text, 100);
    load_average(&text);
    disk(&text);
    for (name, counters) in interfaces(&text) {
        interface(name, counters);
    }
    is_swap_used(&text);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_everything(&bytes);
    }

    #[test]
    fn text_like_the_kernels_is_read_without_panic(text in "((cpu|some|full|a|CPU |1 \\(x\\) S|vda|eth0)?[0-9:/ =\\-]{0,60}\n){0,8}") {
        read_everything(text.as_bytes());
    }

    #[test]
    fn numbers_of_a_process_come_back(user in 0u64..1 << 60, system in 0u64..1 << 60, start in any::<u64>(), name in "\\PC{0,15}") {
        let line = format!("1 ({name}) R 1 1 1 0 -1 0 0 0 0 0 {user} {system} 0 0 20 0 3 0 {start} 0 9 0");
        let stat = process_stat(line.as_bytes()).unwrap();
        prop_assert_eq!((stat.cpu_ticks, stat.thread_count, stat.start_ticks, stat.resident_pages), (user + system, 3, start, 9));
    }
}
