//! A node full of VMs, for controllers that are to be tried against one: images, shapes, networks, disks, and VMs in every state.
//!
//! The same count always gives the same VMs with the same uuids.

use super::domain::is_on;
use super::node::{FakeNode, File, network};
use super::{Load, NodeOptions};
use crate::model::{
    BootSource, DEFAULT_TENANT_UUID, DesiredPower, DhcpReservation, Firmware, Image, ImageFormat, ImageStatus, MacAddress, Named,
    NetworkType, Nic, ObservedDisk, ObservedNic, ObservedVm, PowerState, Specification, StateReason, Timestamp, VmOrigin, VmPhase,
    VmRecord, Volume, VolumeStatus,
};
use crate::port::{StoredState, VOLUMES_POOL, Write};
use crate::verb::domain_of;
use crate::{Result, fail};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Name, processors, MiB of memory, GiB of disk.
const SHAPES: [(&str, u32, u64, u64); 6] = [
    ("tiny", 1, 512, 8),
    ("small", 1, 1024, 20),
    ("medium", 2, 4096, 40),
    ("large", 4, 8192, 80),
    ("xlarge", 8, 16_384, 160),
    ("memory-large", 4, 32_768, 80),
];

/// Name, operating system, its version, MiB of the file, GiB of the disk, firmware.
const IMAGES: [(&str, &str, &str, u64, u64, Firmware); 7] = [
    ("debian-12", "linux", "12", 420, 2, Firmware::Bios),
    ("debian-13", "linux", "13", 440, 3, Firmware::Bios),
    ("ubuntu-24.04", "linux", "24.04", 600, 4, Firmware::Uefi),
    ("openeuler-24.03", "linux", "24.03", 1700, 8, Firmware::Uefi),
    ("rocky-9", "linux", "9", 1100, 8, Firmware::Bios),
    ("alpine-3.22", "linux", "3.22", 120, 1, Firmware::Bios),
    ("windows-2025", "windows", "2025", 9000, 8, Firmware::Uefi),
];

/// What the VMs are for; with their number it makes their names.
const ROLES: [&str; 9] = ["web", "api", "db", "cache", "worker", "build", "gateway", "monitor", "数据分析"];

/// How a VM of the population is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Running,
    Stopped,
    Paused,
    Crashed,
    /// In the trash.
    Trashed,
    /// Recorded, but libvirt does not know it.
    Error,
    /// What libvirt has contradicts the record.
    Quarantined,
    /// Somebody else's: there is no record.
    Unmanaged,
}

impl Fate {
    /// Of a hundred VMs that follow each other 72 run, 18 are off, 4 are paused, 2 crashed, and there is one of each other kind.
    fn of(index: u32) -> Self {
        match index.wrapping_mul(37) % 100 {
            0..=71 => Self::Running,
            72..=89 => Self::Stopped,
            90..=93 => Self::Paused,
            94 | 95 => Self::Crashed,
            96 => Self::Trashed,
            97 => Self::Error,
            98 => Self::Quarantined,
            _ => Self::Unmanaged,
        }
    }
}

/// So many VMs and what belongs to them.
#[derive(Debug, Clone)]
pub struct Population {
    /// VMs, those of strangers included.
    pub count: u32,
    /// Directory of the pools.
    pub directory: String,
    /// The newest VM is a little older.
    pub now: Timestamp,
}

/// Kinds of identities, so that no two are the same.
#[derive(Clone, Copy)]
enum Of {
    Vm = 1,
    Disk,
    DataDisk,
    Nic,
    Image,
    Shape,
}

fn uuid(kind: Of, index: u32) -> Uuid {
    Uuid::from_u128(0x51e0_1a7e_0000_4000_8000_0000_0000_0000 | (kind as u128) << 40 | u128::from(index))
}

fn pick<T: Copy>(list: &[T], index: u32) -> (u32, T) {
    let place = index as usize % list.len();
    // the remainder is below the length, and the lists are short
    (u32::try_from(place).unwrap_or(0), list[place])
}

impl Population {
    /// The host it fits on: half of its processors, memory and space are left.
    pub fn host(&self) -> NodeOptions {
        let shapes = || (0..self.count).map(|index| pick(&SHAPES, shape_of(index)).1);
        let cores: u64 = shapes().map(|shape| u64::from(shape.1)).sum();
        let memory: u64 = shapes().map(|shape| shape.2 * MIB).sum();
        let disks: u64 = shapes().map(|shape| shape.3 * GIB).sum();
        NodeOptions {
            guest_delay: Duration::from_millis(800),
            // two virtual processors for each thread, in whole sockets
            cpu_threads: u32::try_from(cores / 2).unwrap_or(u32::MAX).next_multiple_of(16).max(16),
            memory_bytes: (memory * 2).next_multiple_of(64 * GIB).max(64 * GIB),
            pool_bytes: (disks * 2).max(1 << 40),
            directory: self.directory.clone(),
            ..NodeOptions::default()
        }
    }

    /// Adds the records to what was loaded, and gives the writes that store them: shapes, images, and those VMs that are not strangers',
    /// with their disks.
    pub fn settle(&self, stored: &mut StoredState) -> Vec<Write> {
        let writes = self.records();
        for write in &writes {
            match write {
                Write::PutVm(record) => stored.vms.push(VmRecord::clone(record)),
                Write::PutVolume(disk) => stored.volumes.push(Volume::clone(disk)),
                Write::PutImage(image) => stored.images.push(Image::clone(image)),
                Write::PutSpecification(shape) => stored.specifications.push(Specification::clone(shape)),
                _ => {}
            }
        }
        writes
    }

    fn records(&self) -> Vec<Write> {
        let shapes = (0..).zip(SHAPES).map(|(index, shape)| Write::PutSpecification(Arc::new(self.shape(index, shape))));
        let images = (0..).zip(IMAGES).map(|(index, image)| Write::PutImage(Arc::new(self.image(index, image))));
        let mut writes: Vec<Write> = shapes.chain(images).collect();
        for index in (0..self.count).filter(|index| Fate::of(*index) != Fate::Unmanaged) {
            let (record, disks) = self.vm(index);
            writes.extend(disks.into_iter().map(|disk| Write::PutVolume(Arc::new(disk))));
            writes.push(Write::PutVm(Arc::new(record)));
        }
        writes
    }

    fn ago(&self, seconds: u64) -> Timestamp {
        let nanoseconds = i64::try_from(Duration::from_secs(seconds).as_nanos()).unwrap_or(i64::MAX);
        Timestamp(self.now.0.saturating_sub(nanoseconds))
    }

    fn shape(&self, index: u32, (name, cpu_cores, memory, disk): (&str, u32, u64, u64)) -> Specification {
        Specification {
            specification_uuid: uuid(Of::Shape, index),
            specification_name: name.into(),
            description: String::new(),
            cpu_cores,
            memory_bytes: memory * MIB,
            storage_bytes: disk * GIB,
            create_time: self.ago(200 * 86_400),
        }
    }

    fn image(&self, index: u32, (name, os_type, os_version, file, disk, firmware): (&str, &str, &str, u64, u64, Firmware)) -> Image {
        let image_uuid = uuid(Of::Image, index);
        let create_time = self.ago((180 - u64::from(index)) * 86_400);
        Image {
            image_uuid,
            image_name: name.into(),
            description: String::new(),
            status: ImageStatus::Ready,
            format: ImageFormat::Qcow2,
            storage_bytes: file * MIB,
            virtual_bytes: disk * GIB,
            checksum: format!("sha256:{:064x}", image_uuid.as_u128()),
            firmware: Some(firmware),
            os_type: os_type.into(),
            os_version: os_version.into(),
            architecture: "x86_64".into(),
            url: format!("https://images.example/{name}.qcow2"),
            path: format!("{}/images/{image_uuid}.qcow2", self.directory),
            create_time,
            update_time: create_time,
            error: None,
        }
    }

    fn vm(&self, index: u32) -> (VmRecord, Vec<Volume>) {
        let (fate, (shape_index, shape), (image_index, image)) =
            (Fate::of(index), pick(&SHAPES, shape_of(index)), pick(&IMAGES, index / 3));
        let vm_name = name_of(index);
        let vm_uuid = uuid(Of::Vm, index);
        // the newest a few minutes old, the oldest about half a year
        let create_time = self.ago(300 + u64::from(self.count - index) * 86_400 * 150 / u64::from(self.count));
        let mut disks = vec![self.disk(index, &vm_name, create_time, true)];
        if index.is_multiple_of(5) {
            disks.push(self.disk(index, &vm_name, create_time, false));
        }
        let is_to_run = matches!(fate, Fate::Running | Fate::Paused | Fate::Crashed | Fate::Quarantined);
        let role = pick(&ROLES, index).1;
        let record = VmRecord {
            vm_uuid,
            domain_name: vm_name.clone(),
            vm_name,
            description: if index.is_multiple_of(7) { "simulated".into() } else { String::new() },
            cpu_cores: shape.1,
            memory_bytes: shape.2 * MIB,
            specification: Some(Named { uuid: uuid(Of::Shape, shape_index), name: shape.0.into() }),
            resized_from: None,
            image: Some(Named { uuid: uuid(Of::Image, image_index), name: image.0.into() }),
            tenant_uuid: DEFAULT_TENANT_UUID,
            user_name: "admin".into(),
            boot: BootSource::Disk,
            firmware: image.5,
            architecture: "x86_64".into(),
            auto_start: index.is_multiple_of(4),
            locked: index % 50 == 3,
            restart_on_crash: false,
            has_seed: false,
            desired_power: if is_to_run { DesiredPower::On } else { DesiredPower::Off },
            expire_time: (fate == Fate::Trashed).then(|| self.now.plus(Duration::from_secs(14 * 86_400))),
            volumes: disks.iter().map(|disk| disk.volume_uuid).collect(),
            nics: vec![nic(index)],
            metadata: BTreeMap::from([("role".to_owned(), role.to_owned()), ("rack".to_owned(), format!("r{}", index % 12))]),
            origin: VmOrigin::Created,
            phase: if fate == Fate::Trashed { VmPhase::Trashed } else { VmPhase::Ready },
            create_time,
            update_time: create_time,
            start_time: is_to_run.then(|| create_time.plus(Duration::from_secs(20))),
            error: None,
        };
        (record, disks)
    }

    fn disk(&self, index: u32, vm_name: &str, create_time: Timestamp, is_root: bool) -> Volume {
        let volume_uuid = uuid(if is_root { Of::Disk } else { Of::DataDisk }, index);
        let file_name = format!("{volume_uuid}.qcow2");
        let shape = pick(&SHAPES, shape_of(index)).1;
        Volume {
            volume_uuid,
            volume_name: if is_root { format!("{vm_name}-root") } else { format!("{vm_name}-data1") },
            description: String::new(),
            status: VolumeStatus::InUse,
            storage_bytes: if is_root { shape.3 * GIB } else { 10 * GIB },
            format: "qcow2".into(),
            pool_name: VOLUMES_POOL.into(),
            path: format!("{}/volumes/{file_name}", self.directory),
            file_name,
            image_uuid: is_root.then(|| uuid(Of::Image, pick(&IMAGES, index / 3).0)),
            is_root,
            vm_uuid: Some(uuid(Of::Vm, index)),
            device: if is_root { "vda".into() } else { "vdb".into() },
            bus: "virtio".into(),
            tenant_uuid: DEFAULT_TENANT_UUID,
            create_time,
            update_time: create_time,
        }
    }
}

/// Small ones are common, big ones are rare.
fn shape_of(index: u32) -> u32 {
    [0, 1, 1, 2, 0, 2, 1, 3, 0, 2, 1, 4, 2, 0, 3, 1, 2, 5].into_iter().nth(index as usize % 18).unwrap_or(0)
}

fn name_of(index: u32) -> String {
    format!("{}-{:04}", pick(&ROLES, index).1, index + 1)
}

/// The network of most VMs, big enough for all there can be.
const LAN: (u128, &str, Ipv4Addr) = (0xe1, "lan", Ipv4Addr::new(10, 32, 0, 1));

fn lan() -> crate::model::Network {
    let (id, name, gateway) = LAN;
    let mut lan = network(id, name, NetworkType::Nat, "virbr2", gateway);
    if let Some(ipv4) = &mut lan.ipv4 {
        // 16 is always a right prefix length
        ipv4.gateway = ipnet::Ipv4Net::new(gateway, 16).unwrap_or_default();
        ipv4.dhcp_ranges = vec![(Ipv4Addr::new(10, 32, 0, 2), Ipv4Addr::new(10, 32, 255, 254))];
    }
    lan
}

fn mac_of(index: u32) -> MacAddress {
    let [_, a, b, c] = index.to_be_bytes();
    MacAddress::from_seed([0x80 | a, b, c])
}

fn nic(index: u32) -> Nic {
    Nic {
        interface_uuid: uuid(Of::Nic, index),
        network_uuid: lan().network_uuid,
        network_name: LAN.1.into(),
        is_host_bridge: false,
        mac_address: mac_of(index),
        // two hundred to each third octet, so that none ends with 0 or 255
        ip_address: Some(Ipv4Addr::from(u32::from(LAN.2) + (index / 200) * 256 + 9 + index % 200)),
        model: "virtio".into(),
    }
}

/// The number of a VM of a population; `None` for any other VM.
fn index_of(vm_uuid: Uuid) -> Option<u32> {
    let index = u32::try_from(vm_uuid.as_u128() & 0xffff_ffff).ok()?;
    (uuid(Of::Vm, index) == vm_uuid).then_some(index)
}

impl FakeNode {
    /// Adds a network.
    pub fn add_network(&self, network: crate::model::Network) {
        self.state.lock().networks.insert(network.network_uuid, network);
    }

    /// Puts everything into this world that records say is there: files, domains, reservations. VMs that should run do; where the
    /// `population` is `Some`, its strangers are there too, and where it is new, its VMs are in the states that were drawn for them.
    ///
    /// # Errors
    /// `AlreadyExist`, where two records claim one domain name.
    pub fn furnish(&self, stored: &StoredState, population: Option<&Population>, is_new: bool) -> Result<()> {
        self.add_network(lan());
        let mut world = self.state.lock();
        world.are_pools_made = true;
        for image in stored.images.iter().filter(|image| image.status == ImageStatus::Ready) {
            let file = File { allocated_bytes: image.storage_bytes, virtual_bytes: image.virtual_bytes, backing: None };
            world.files.insert(image.path.clone(), file);
        }
        let disks: BTreeMap<Uuid, &Volume> = stored.volumes.iter().map(|disk| (disk.volume_uuid, disk)).collect();
        for disk in disks.values() {
            let image = disk.image_uuid.and_then(|uuid| stored.images.iter().find(|image| image.image_uuid == uuid));
            let backing = image.map(|image| (image.path.clone(), image.format.word().to_owned()));
            let file = File { allocated_bytes: disk.storage_bytes / 20, virtual_bytes: disk.storage_bytes, backing };
            world.files.insert(disk.path.clone(), file);
        }
        for record in stored.vms.iter().filter(|record| record.phase != VmPhase::Creating) {
            let fate = index_of(record.vm_uuid).map(Fate::of).filter(|_| is_new);
            if fate == Some(Fate::Error) {
                continue;
            }
            let own: Vec<Arc<Volume>> =
                record.volumes.iter().filter_map(|uuid| disks.get(uuid)).map(|disk| Arc::new((*disk).clone())).collect();
            world.define(&domain_of(record, &own, None), true)?;
            for nic in &record.nics {
                let Some(ip_address) = nic.ip_address else { continue };
                let reservation = DhcpReservation { mac_address: nic.mac_address, ip_address, host_name: record.vm_name.clone() };
                world.reserve(nic.network_uuid, &reservation)?;
            }
            if record.desired_power == DesiredPower::On && record.phase == VmPhase::Ready {
                world.start(record.vm_uuid, &*self.clock)?;
            }
            let Some(domain) = world.domains.get_mut(&record.vm_uuid) else { continue };
            domain.load = Some(Load::of(u64::try_from(record.vm_uuid.as_u128() & u128::from(u64::MAX)).unwrap_or_default()));
            match fate {
                Some(Fate::Paused) => domain.set_power(PowerState::Paused, StateReason::Paused),
                Some(Fate::Crashed) => domain.set_power(PowerState::Crashed, StateReason::QemuDied),
                Some(Fate::Quarantined) => domain.observed.metadata_is_broken = true,
                _ => {}
            }
        }
        drop(world);
        let strangers =
            population.into_iter().flat_map(|population| (0..population.count).filter(|index| Fate::of(*index) == Fate::Unmanaged));
        for index in strangers.filter(|index| stored.vms.iter().all(|record| record.vm_uuid != uuid(Of::Vm, *index))) {
            self.define_outside(stranger(index));
        }
        Ok(())
    }

    /// QEMU of the `nth` VM that runs, counted round and round, dies.
    ///
    /// # Errors
    /// `VmNotExist` where none runs.
    pub fn kill_some_qemu(&self, nth: usize) -> Result<Uuid> {
        let running: Vec<Uuid> =
            self.state.lock().domains.values().filter(|d| is_on(d.observed.power)).map(|d| d.observed.vm_uuid).collect();
        let vm_uuid = running.get(nth.checked_rem(running.len()).unwrap_or(0)).copied().ok_or_else(|| fail!(VmNotExist))?;
        self.kill_qemu(vm_uuid);
        Ok(vm_uuid)
    }
}

/// A VM that somebody else made on the same host.
fn stranger(index: u32) -> ObservedVm {
    let shape = pick(&SHAPES, shape_of(index)).1;
    ObservedVm {
        vm_uuid: uuid(Of::Vm, index),
        domain_name: format!("stranger-{:04}", index + 1).into(),
        power: if (index / 100).is_multiple_of(2) { PowerState::Running } else { PowerState::Off },
        reason: StateReason::Unknown,
        is_persistent: true,
        auto_start: false,
        cpu_cores: shape.1,
        memory_bytes: shape.2 * MIB,
        architecture: "x86_64".into(),
        firmware: Firmware::Bios,
        disks: vec![ObservedDisk {
            device: "vda".into(),
            bus: "virtio".into(),
            kind: "disk".into(),
            path: format!("/srv/vms/stranger-{index}.qcow2").into(),
            format: "qcow2".into(),
        }],
        nics: vec![ObservedNic { mac_address: mac_of(index), source: LAN.1.into(), target_device: None, model: "virtio".into() }],
        metadata: None,
        metadata_is_broken: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::ManualClock;

    fn furnished(count: u32) -> (FakeNode, StoredState) {
        let population = Population { count, directory: "/d".into(), now: Timestamp::from_seconds(1_800_000_000) };
        let node = FakeNode::new(population.host(), Arc::new(ManualClock::default()));
        let mut stored = StoredState::default();
        population.settle(&mut stored);
        node.furnish(&stored, Some(&population), true).unwrap();
        (node, stored)
    }

    #[test]
    fn of_five_hundred_vms_each_kind_has_its_share() {
        let (node, stored) = furnished(500);
        assert_eq!((stored.vms.len(), node.domain_count()), (495, 495), "5 strangers without record, 5 records without domain");
        let world = node.state.lock();
        let count = |power| world.domains.values().filter(|domain| domain.observed.power == power).count();
        assert_eq!((count(PowerState::Paused), count(PowerState::Crashed)), (20, 10));
        assert!(count(PowerState::Running) >= 360);
        let names: std::collections::BTreeSet<&str> = stored.vms.iter().map(|record| record.vm_name.as_str()).collect();
        assert_eq!(names.len(), 495);
    }

    #[test]
    fn a_second_start_finds_the_same_vms_where_they_should_be() {
        let (_, stored) = furnished(100);
        let population = Population { count: 100, directory: "/d".into(), now: Timestamp::from_seconds(1_800_000_000) };
        let node = FakeNode::new(population.host(), Arc::new(ManualClock::default()));
        node.furnish(&stored, Some(&population), false).unwrap();
        let world = node.state.lock();
        assert_eq!(world.domains.len(), 100);
        let wrong = stored.vms.iter().filter(|record| record.phase == VmPhase::Ready).find(|record| {
            let is_running = world.domains.get(&record.vm_uuid).is_some_and(|domain| domain.observed.power == PowerState::Running);
            is_running != (record.desired_power == DesiredPower::On)
        });
        assert!(wrong.is_none(), "{wrong:?}");
    }

    #[test]
    fn addresses_fit_the_network_of_the_biggest_population() {
        let last = nic(49_999).ip_address.unwrap();
        assert!(lan().ipv4.unwrap().gateway.contains(&last), "{last}");
        assert_eq!(index_of(uuid(Of::Vm, 49_999)), Some(49_999));
        assert_eq!(index_of(uuid(Of::Disk, 7)), None);
    }
}
