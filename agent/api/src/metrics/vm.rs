//! Metrics of VMs, from the last samples. Series come and go with their VM.
//!
//! `libvirt_*` are the names, labels and units that the libvirt exporters in use agree on, so that dashboards made for them work here.
//! What the kernel tier knows comes from there: it is fresh also while a VM's monitor hangs.

use super::exposition::{Exposition, Kind, label};
use hvnode_core::model::{
    DiskCounters, HypervisorSample, KernelSample, MemorySample, NicCounters, Pressure, Readings, SampleTime, Snapshot, Stall, Tier, Vm,
    VmReading,
};
use std::sync::Arc;

/// One VM with its label text ready.
struct Row<'a> {
    domain: String,
    vm: &'a Vm,
    reading: Option<&'a VmReading>,
}

impl Row<'_> {
    fn kernel(&self) -> Option<&KernelSample> {
        self.reading?.kernel.as_deref()
    }

    fn hypervisor(&self) -> Option<&HypervisorSample> {
        self.reading?.hypervisor.as_deref()
    }

    fn memory(&self) -> Option<&MemorySample> {
        self.hypervisor().map(|sample| &sample.memory)
    }

    fn pressure(&self) -> Option<&Pressure> {
        self.kernel().map(|sample| &sample.pressure)
    }
}

/// Kind, name, help and value.
type Metric<T> = (Kind, &'static str, &'static str, fn(&T) -> Option<f64>);
type VmMetric = (Kind, &'static str, &'static str, fn(&Row<'_>) -> Option<f64>);

use Kind::{Counter, Gauge};

/// One value per VM.
const VM_METRICS: &[VmMetric] = &[
    (Gauge, "libvirt_domain_info_maximum_memory_bytes", "Memory the domain may have at most.", |row| {
        row.memory()?.maximum_bytes.or(row.memory()?.actual_bytes).map(float)
    }),
    (Gauge, "libvirt_domain_info_memory_usage_bytes", "Memory the domain has now (balloon).", |row| row.memory()?.actual_bytes.map(float)),
    (Gauge, "libvirt_domain_info_virtual_cpus", "Virtual processors of the domain.", |row| {
        row.hypervisor().map(|sample| f64::from(sample.cpu_cores))
    }),
    (Counter, "libvirt_domain_info_cpu_time_seconds_total", "Processor time the domain used.", |row| {
        let kernel = row.kernel().map(|sample| sample.cpu_time_nanoseconds);
        kernel.or(row.hypervisor().and_then(|sample| sample.cpu_time_nanoseconds)).map(seconds)
    }),
    (Gauge, "libvirt_domain_vcpu_current", "Virtual processors online.", |row| row.hypervisor().map(|sample| f64::from(sample.cpu_cores))),
    (Gauge, "libvirt_domain_vcpu_maximum", "Virtual processors the domain may have.", |row| {
        row.hypervisor().map(|sample| f64::from(sample.cpu_cores_max))
    }),
    (Gauge, "libvirt_domain_memory_stats_actual_balloon_bytes", "Memory the guest has now (balloon).", |row| {
        row.memory()?.actual_bytes.map(float)
    }),
    (Gauge, "libvirt_domain_memory_stats_available_bytes", "Memory the guest's kernel sees in all.", |row| {
        row.memory()?.available_bytes.map(float)
    }),
    (Gauge, "libvirt_domain_memory_stats_unused_bytes", "Memory nobody in the guest uses.", |row| row.memory()?.unused_bytes.map(float)),
    (Gauge, "libvirt_domain_memory_stats_usable_bytes", "Memory the guest could use without swapping.", |row| {
        row.memory()?.usable_bytes.map(float)
    }),
    (Gauge, "libvirt_domain_memory_stats_disk_cache_bytes", "Page cache of the guest.", |row| row.memory()?.disk_cache_bytes.map(float)),
    (Gauge, "libvirt_domain_memory_stats_rss_bytes", "Host memory the domain's process holds.", |row| {
        let kernel = row.kernel().map(|sample| sample.memory_resident_bytes);
        kernel.or(row.memory().and_then(|memory| memory.resident_bytes)).map(float)
    }),
    (Gauge, "libvirt_domain_memory_stats_swap_in_bytes", "Memory the guest swapped in since it booted.", |row| {
        row.memory()?.swap_in_bytes.map(float)
    }),
    (Gauge, "libvirt_domain_memory_stats_swap_out_bytes", "Memory the guest swapped out since it booted.", |row| {
        row.memory()?.swap_out_bytes.map(float)
    }),
    (Counter, "libvirt_domain_memory_stats_major_fault_total", "Page faults in the guest that needed a disk.", |row| {
        row.memory()?.major_faults.map(float)
    }),
    (Counter, "libvirt_domain_memory_stats_minor_fault_total", "Page faults in the guest that needed no disk.", |row| {
        row.memory()?.minor_faults.map(float)
    }),
    (Counter, "libvirt_domain_memory_stats_hugetlb_pgalloc_total", "Huge pages allocated in the guest.", |row| {
        row.memory()?.hugetlb_allocations.map(float)
    }),
    (Counter, "libvirt_domain_memory_stats_hugetlb_pgfail_total", "Huge pages the guest could not allocate.", |row| {
        row.memory()?.hugetlb_failures.map(float)
    }),
    (Gauge, "libvirt_domain_memory_stats_last_update_timestamp_seconds", "When the guest reported its memory.", |row| {
        row.memory()?.last_update.map(|time| time.0 as f64 / 1e9)
    }),
    (Gauge, "hvnode_vm_answering", "1 where the VM's monitor answered the last time it was asked.", |row| {
        row.reading.map(|reading| f64::from(u8::from(reading.is_answering)))
    }),
    (Gauge, "hvnode_vm_cpu_usage_ratio", "Part of all its virtual processors that the VM used, 0-1.", |row| {
        row.reading?.point.as_ref()?.cpu_usage_percent.map(|percent| percent / 100.0)
    }),
    (Gauge, "hvnode_vm_memory_size_bytes", "Memory of the VM.", |row| row.reading?.point.as_ref()?.memory_bytes.map(float)),
    (
        Gauge,
        "hvnode_vm_memory_used_bytes",
        "Memory in use: as the guest sees it, or as the host pays where the guest does not tell.",
        |row| row.reading?.point.as_ref()?.memory_used_bytes.map(float),
    ),
    (Gauge, "hvnode_vm_memory_swapped_bytes", "Memory of the VM's process that the host has swapped out.", |row| {
        row.kernel()?.memory_swapped_bytes.map(float)
    }),
    (Counter, "hvnode_vm_process_read_bytes_total", "Bytes the VM's process had read from disks of the host.", |row| {
        row.kernel()?.disk_read_bytes.map(float)
    }),
    (Counter, "hvnode_vm_process_written_bytes_total", "Bytes the VM's process had written to disks of the host.", |row| {
        row.kernel()?.disk_write_bytes.map(float)
    }),
    (Counter, "hvnode_vm_oom_kills_total", "Times the kernel killed a process of the VM's control group for want of memory.", |row| {
        row.kernel()?.oom_kills.map(float)
    }),
];

/// One value per virtual processor: what both tiers have of it.
struct VcpuRow {
    time_nanoseconds: Option<u64>,
    delay_nanoseconds: Option<u64>,
    wait_nanoseconds: Option<u64>,
    state: Option<u32>,
}

const VCPU_METRICS: &[Metric<VcpuRow>] = &[
    (Counter, "libvirt_domain_vcpu_time_seconds_total", "Time the virtual processor ran.", |vcpu| vcpu.time_nanoseconds.map(seconds)),
    (Counter, "libvirt_domain_vcpu_delay_seconds_total", "Time the virtual processor waited for one of the host (steal).", |vcpu| {
        vcpu.delay_nanoseconds.map(seconds)
    }),
    (Counter, "libvirt_domain_vcpu_wait_seconds_total", "Time the virtual processor waited for I/O.", |vcpu| {
        vcpu.wait_nanoseconds.map(seconds)
    }),
    (Gauge, "libvirt_domain_vcpu_state", "State of the virtual processor: 0 offline, 1 running, 2 blocked.", |vcpu| {
        vcpu.state.map(f64::from)
    }),
];

/// One value per disk.
const DISK_METRICS: &[Metric<DiskCounters>] = &[
    (Counter, "libvirt_domain_block_stats_read_bytes_total", "Bytes read from the disk.", |disk| Some(float(disk.read_bytes))),
    (Counter, "libvirt_domain_block_stats_read_requests_total", "Read requests.", |disk| Some(float(disk.read_requests))),
    (Counter, "libvirt_domain_block_stats_read_time_seconds_total", "Time spent on reads.", |disk| disk.read_time_nanoseconds.map(seconds)),
    (Counter, "libvirt_domain_block_stats_write_bytes_total", "Bytes written to the disk.", |disk| Some(float(disk.write_bytes))),
    (Counter, "libvirt_domain_block_stats_write_requests_total", "Write requests.", |disk| Some(float(disk.write_requests))),
    (Counter, "libvirt_domain_block_stats_write_time_seconds_total", "Time spent on writes.", |disk| {
        disk.write_time_nanoseconds.map(seconds)
    }),
    (Counter, "libvirt_domain_block_stats_flush_requests_total", "Flush requests.", |disk| disk.flush_requests.map(float)),
    (Counter, "libvirt_domain_block_stats_flush_time_seconds_total", "Time spent on flushes.", |disk| {
        disk.flush_time_nanoseconds.map(seconds)
    }),
    (Gauge, "libvirt_domain_block_stats_allocation", "Highest byte in use inside the disk's file.", |disk| {
        disk.allocation_bytes.map(float)
    }),
    (Gauge, "libvirt_domain_block_stats_capacity_bytes", "Bytes of the disk as the guest sees it.", |disk| disk.capacity_bytes.map(float)),
    (Gauge, "libvirt_domain_block_stats_physicalsize_bytes", "Bytes the disk's file takes on the host.", |disk| {
        disk.physical_bytes.map(float)
    }),
];

/// One value per NIC.
const NIC_METRICS: &[Metric<NicCounters>] = &[
    (Counter, "libvirt_domain_interface_stats_receive_bytes_total", "Bytes the guest received.", |nic| Some(float(nic.receive_bytes))),
    (Counter, "libvirt_domain_interface_stats_receive_packets_total", "Packets the guest received.", |nic| {
        Some(float(nic.receive_packets))
    }),
    (Counter, "libvirt_domain_interface_stats_receive_errors_total", "Errors on the way to the guest.", |nic| {
        Some(float(nic.receive_errors))
    }),
    (Counter, "libvirt_domain_interface_stats_receive_drops_total", "Packets to the guest that were dropped.", |nic| {
        Some(float(nic.receive_drops))
    }),
    (Counter, "libvirt_domain_interface_stats_transmit_bytes_total", "Bytes the guest sent.", |nic| Some(float(nic.send_bytes))),
    (Counter, "libvirt_domain_interface_stats_transmit_packets_total", "Packets the guest sent.", |nic| Some(float(nic.send_packets))),
    (Counter, "libvirt_domain_interface_stats_transmit_errors_total", "Errors on the way from the guest.", |nic| {
        Some(float(nic.send_errors))
    }),
    (Counter, "libvirt_domain_interface_stats_transmit_drops_total", "Packets from the guest that were dropped.", |nic| {
        Some(float(nic.send_drops))
    }),
];

/// Writes everything about VMs.
pub(super) fn write(out: &mut Exposition, snapshot: &Snapshot, readings: &Readings, now: SampleTime) {
    let rows: Vec<Row<'_>> = snapshot.vms.values().map(|vm| row(vm, readings)).collect();
    write_identity(out, &rows);
    for (kind, name, help, value) in VM_METRICS {
        let mut family = out.family(*kind, name, help);
        rows.iter().for_each(|row| family.add(&row.domain, &[], value(row)));
    }
    write_ages(out, &rows, now);
    write_pressure(out, &rows);
    write_vcpus(out, &rows);
    for (kind, name, help, value) in DISK_METRICS {
        let mut family = out.family(*kind, name, help);
        for row in &rows {
            let disks = row.hypervisor().map_or(&[][..], |sample| &sample.disks);
            disks.iter().for_each(|disk| family.add(&row.domain, &[("target_device", &disk.device)], value(disk)));
        }
    }
    for (kind, name, help, value) in NIC_METRICS {
        let mut family = out.family(*kind, name, help);
        for row in &rows {
            nics(row).iter().for_each(|nic| family.add(&row.domain, &[("target_device", &nic.interface_name)], value(nic)));
        }
    }
}

fn row<'a>(vm: &'a Arc<Vm>, readings: &'a Readings) -> Row<'a> {
    let recorded = vm.record.as_ref().map(|record| record.domain_name.as_str());
    let domain = vm.observed.as_ref().map(|observed| observed.domain_name.as_str()).or(recorded).unwrap_or_default();
    Row { domain: label("domain", domain), vm, reading: readings.vms.get(&vm.uuid()).map(AsRef::as_ref) }
}

/// The taps are the fresher source; libvirt knows NICs that are no taps.
fn nics<'a>(row: &'a Row<'_>) -> &'a [NicCounters] {
    match (row.kernel(), row.hypervisor()) {
        (Some(kernel), _) if !kernel.nics.is_empty() => &kernel.nics,
        (_, Some(hypervisor)) => &hypervisor.nics,
        _ => &[],
    }
}

/// Who a domain is: to join with everything else on `domain`. VMs that are off are here too.
fn write_identity(out: &mut Exposition, rows: &[Row<'_>]) {
    let mut info = out.family(Gauge, "hvnode_vm_info", "Always 1: names and owners of a domain, to join on its label.");
    for row in rows {
        let (record, uuid) = (row.vm.record.as_ref(), row.vm.uuid().to_string());
        let tenant = record.map(|record| record.tenant_uuid.to_string()).unwrap_or_default();
        let named = |named: Option<&hvnode_core::model::Named>| named.map(|named| named.name.clone()).unwrap_or_default();
        let labels = [
            ("vm_uuid", uuid.as_str()),
            ("vm_name", row.vm.name()),
            ("tenant_uuid", &tenant),
            ("user_name", record.map_or("", |record| &record.user_name)),
            ("specification_name", &named(record.and_then(|record| record.specification.as_ref()))),
            ("image_name", &named(record.and_then(|record| record.image.as_ref()))),
            ("management", row.vm.management.word()),
        ];
        info.add(&row.domain, &labels, Some(1.0));
    }
    let mut status = out.family(Gauge, "hvnode_vm_status", "Always 1: the VM's status is in the label.");
    rows.iter().for_each(|row| status.add(&row.domain, &[("status", row.vm.status.word())], Some(1.0)));
}

fn write_ages(out: &mut Exposition, rows: &[Row<'_>], now: SampleTime) {
    let mut age = out.family(Gauge, "hvnode_vm_sample_age_seconds", "Age of the last sample of a running VM, by tier.");
    for row in rows {
        for tier in Tier::ALL {
            let since = row.reading.and_then(|reading| reading.age(tier, now));
            age.add(&row.domain, &[("tier", tier.word())], since.map(|age| age.as_secs_f64()));
        }
    }
}

fn write_pressure(out: &mut Exposition, rows: &[Row<'_>]) {
    type Part = fn(Stall) -> u64;
    let parts: [(&str, &str, Part); 2] = [
        ("hvnode_vm_pressure_waiting_seconds_total", "Time in which some task of the VM waited for the resource.", |stall| {
            stall.some_microseconds
        }),
        ("hvnode_vm_pressure_stalled_seconds_total", "Time in which all tasks of the VM waited for the resource.", |stall| {
            stall.full_microseconds
        }),
    ];
    for (name, help, part) in parts {
        let mut family = out.family(Counter, name, help);
        for row in rows {
            let Some(pressure) = row.pressure() else { continue };
            for (resource, stall) in super::host::stalls(pressure) {
                family.add(&row.domain, &[("resource", resource)], stall.map(|stall| part(stall) as f64 / 1e6));
            }
        }
    }
}

fn write_vcpus(out: &mut Exposition, rows: &[Row<'_>]) {
    let all: Vec<(&str, Vec<(String, VcpuRow)>)> = rows.iter().map(|row| (row.domain.as_str(), vcpus(row))).collect();
    for (kind, name, help, value) in VCPU_METRICS {
        let mut family = out.family(*kind, name, help);
        for (domain, vcpus) in &all {
            vcpus.iter().for_each(|(number, vcpu)| family.add(domain, &[("vcpu", number)], value(vcpu)));
        }
    }
}

fn vcpus(row: &Row<'_>) -> Vec<(String, VcpuRow)> {
    let threads = row.kernel().map_or(&[][..], |sample| &sample.vcpus);
    let told = row.hypervisor().map_or(&[][..], |sample| &sample.vcpus);
    let mut indices: Vec<u32> = threads.iter().map(|t| t.index).chain(told.iter().map(|t| t.index)).collect();
    indices.sort_unstable();
    indices.dedup();
    let one = |index: u32| {
        let thread = threads.iter().find(|thread| thread.index == index);
        let told = told.iter().find(|vcpu| vcpu.index == index);
        let vcpu = VcpuRow {
            time_nanoseconds: thread.map(|t| t.time_nanoseconds).or(told.and_then(|t| t.time_nanoseconds)),
            delay_nanoseconds: thread.map(|t| t.delay_nanoseconds).or(told.and_then(|t| t.delay_nanoseconds)),
            wait_nanoseconds: told.and_then(|t| t.wait_nanoseconds),
            state: told.map(|t| t.state),
        };
        (index.to_string(), vcpu)
    };
    indices.into_iter().map(one).collect()
}

pub(super) fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

pub(super) fn float(number: u64) -> f64 {
    number as f64
}
