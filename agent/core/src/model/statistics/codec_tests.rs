use super::*;
use proptest::option::of;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000_000);

/// As a VM with one disk, one NIC and two processors looks after a month.
fn vm(rates: [f64; 4]) -> UsagePoint {
    let [bytes, requests, percent, packets] = rates;
    UsagePoint {
        time: NOW,
        cpu_time_nanoseconds: Some(1_234_567_000_000_000),
        cpu_usage_percent: Some(percent),
        core_usage_percents: vec![percent, percent],
        cpu_delay_percent: Some(0.0),
        cpu_modes: None,
        memory_bytes: Some(4 << 30),
        memory_used_bytes: Some(1_717_986_304),
        memory_available_bytes: Some(2_576_980_992),
        memory_view: MemoryView::Guest,
        memory_resident_bytes: Some(3 << 30),
        swap_in_bytes: Some(0.0),
        swap_out_bytes: Some(0.0),
        disks: vec![DiskRates {
            device: "vda".into(),
            read_bytes: bytes,
            write_bytes: bytes,
            read_requests: requests,
            write_requests: requests,
        }],
        nics: vec![NicRates {
            interface_name: "vnet12".into(),
            mac_address: Some(MacAddress::from_seed([1, 2, 3])),
            receive_bytes: bytes,
            send_bytes: bytes,
            receive_packets: packets,
            send_packets: packets,
            receive_errors: 0.0,
            send_errors: 0.0,
            receive_drops: 0.0,
            send_drops: 0.0,
        }],
    }
}

#[test]
fn an_idle_vm_takes_49_bytes_and_a_busy_one_76() {
    assert_eq!(encode(&vm([0.0; 4])).len(), 49);
    assert_eq!(encode(&vm([123_456_789.0, 4321.5, 87.65, 98_765.4])).len(), 76);
    assert_eq!(encode(&UsagePoint::default()).len(), 6);
}

#[test]
fn what_was_put_in_comes_out() {
    for point in [UsagePoint { time: NOW, ..UsagePoint::default() }, vm([0.0; 4]), vm([12_345.0, 4321.5, 87.65, 0.001])] {
        assert_eq!(decode(&encode(&point), NOW), Some(point));
    }
}

#[test]
fn one_request_in_fifteen_minutes_is_not_lost() {
    let point = vm([1e-9, 1.0 / 900.0, 1e-9, 1.0 / 900.0]);
    let read = decode(&encode(&point), NOW).unwrap();
    assert_eq!((read.disks[0].write_bytes, read.disks[0].write_requests, read.cpu_usage_percent), (0.001, 0.001, Some(0.01)));
}

#[test]
fn what_is_no_sensible_number_becomes_one() {
    let point = vm([f64::INFINITY, -1.0, f64::NAN, f64::NAN]);
    let read = decode(&encode(&point), NOW).unwrap();
    assert_eq!((read.cpu_usage_percent, read.disks[0].read_requests, read.nics[0].receive_packets), (Some(0.0), 0.0, 0.0));
    assert!(read.disks[0].read_bytes > 1e15);
    assert_eq!(decode(&encode(&vm([0.0, 0.0, 250.0, 0.0])), NOW).unwrap().cpu_usage_percent, Some(100.0));
}

#[test]
fn another_version_is_not_read() {
    let mut bytes = encode(&vm([1.0; 4]));
    bytes[0] = VERSION + 1;
    assert_eq!(decode(&bytes, NOW), None);
}

#[test]
fn every_part_cut_off_and_every_byte_added_is_damage() {
    let bytes = encode(&vm([1.0; 4]));
    for length in 0..bytes.len() {
        assert_eq!(decode(&bytes[..length], NOW), None, "{length}");
    }
    assert_eq!(decode(&[bytes, vec![0]].concat(), NOW), None);
}

#[test]
fn counts_far_beyond_the_bytes_are_refused_at_once() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for lists_before in 0..3 {
        let bytes = [&[VERSION, 0, 0][..], &vec![0; lists_before], &huge].concat();
        assert_eq!(decode(&bytes, NOW), None);
    }
}

fn rate() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 1e-6..1.0, 1.0..1e6, 1e6..1e14]
}

fn percent() -> impl Strategy<Value = f64> {
    0.0..=100.0
}

prop_compose! {
    fn disk()(device in ".{0,12}", rates: [u32; 2], read_requests in rate(), write_requests in rate()) -> DiskRates {
        DiskRates { device: device.into(), read_bytes: rates[0].into(), write_bytes: rates[1].into(), read_requests, write_requests }
    }
}

prop_compose! {
    fn nic()(name in ".{0,15}", mac: Option<[u8; 6]>, rates in prop::array::uniform8(rate())) -> NicRates {
        let [receive_bytes, send_bytes, receive_packets, send_packets, receive_errors, send_errors, receive_drops, send_drops] = rates;
        NicRates {
            interface_name: name.into(), mac_address: mac.map(MacAddress), receive_bytes, send_bytes, receive_packets, send_packets,
            receive_errors, send_errors, receive_drops, send_drops,
        }
    }
}

prop_compose! {
    fn point()(
        integers: [Option<u64>; 5],
        swap in [of(rate()), of(rate())],
        usage in of(percent()),
        delay in of(percent()),
        cores in prop::collection::vec(percent(), 0..9),
        modes in of([percent(), percent(), percent(), percent()]),
        is_guest: bool,
        disks in prop::collection::vec(disk(), 0..4),
        nics in prop::collection::vec(nic(), 0..4),
    ) -> UsagePoint {
        UsagePoint {
            time: NOW,
            cpu_time_nanoseconds: integers[0],
            cpu_usage_percent: usage,
            core_usage_percents: cores,
            cpu_delay_percent: delay,
            cpu_modes: modes.map(|[user_percent, system_percent, iowait_percent, steal_percent]| {
                CpuModes { user_percent, system_percent, iowait_percent, steal_percent }
            }),
            memory_bytes: integers[1],
            memory_used_bytes: integers[2],
            memory_available_bytes: integers[3],
            memory_view: if is_guest { MemoryView::Guest } else { MemoryView::Host },
            memory_resident_bytes: integers[4],
            swap_in_bytes: swap[0],
            swap_out_bytes: swap[1],
            disks,
            nics,
        }
    }
}

/// As close as promised.
fn is_near(read: f64, given: f64) -> bool {
    (read - given).abs() <= 0.001_f64.max(given * 0.000_06) && (read > 0.0) == (given > 0.0)
}

proptest! {
    #[test]
    fn every_point_is_read_as_closely_as_promised(point in point()) {
        let read = decode(&encode(&point), NOW).unwrap();
        let floor = |value: Option<u64>, unit: u64| value.map(|value| value / unit * unit);
        prop_assert_eq!(read.cpu_time_nanoseconds, floor(point.cpu_time_nanoseconds, 1_000_000));
        prop_assert_eq!(read.memory_bytes, floor(point.memory_bytes, 1024));
        prop_assert_eq!(read.memory_resident_bytes, floor(point.memory_resident_bytes, 1024));
        prop_assert_eq!(read.memory_view, point.memory_view);
        prop_assert_eq!(read.cpu_modes.is_some(), point.cpu_modes.is_some());
        prop_assert_eq!(read.swap_in_bytes.is_some(), point.swap_in_bytes.is_some());
        for (read, given) in read.core_usage_percents.iter().zip(&point.core_usage_percents) {
            prop_assert!((read - given).abs() <= 0.01, "{} for {}", read, given);
        }
        for (read, given) in read.disks.iter().zip(&point.disks) {
            prop_assert_eq!(&read.device, &given.device);
            prop_assert!(is_near(read.read_bytes, given.read_bytes) && is_near(read.write_requests, given.write_requests));
        }
        for (read, given) in read.nics.iter().zip(&point.nics) {
            prop_assert_eq!((&read.interface_name, read.mac_address), (&given.interface_name, given.mac_address));
            prop_assert!(is_near(read.send_bytes, given.send_bytes) && is_near(read.send_drops, given.send_drops));
        }
        // What was read once stays as it is: the numbers do not creep when a point is kept again.
        prop_assert_eq!(decode(&encode(&read), NOW), Some(read));
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _may_be_none = decode(&bytes, NOW);
        let _also = decode(&[&[VERSION, 0xff, 0x07][..], &bytes].concat(), NOW);
    }

    #[test]
    fn a_flipped_bit_never_breaks_the_reader(point in point(), place: prop::sample::Index, bit in 0..8u32) {
        let mut bytes = encode(&point);
        let place = place.index(bytes.len());
        bytes[place] ^= 1u8 << bit;
        let _may_be_none = decode(&bytes, NOW);
    }
}
