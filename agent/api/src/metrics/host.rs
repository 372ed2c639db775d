//! Metrics of the host and of the sampling itself, from the last samples.

use super::exposition::{Exposition, Kind, label};
use super::vm::{float, seconds};
use Kind::{Counter, Gauge};
use hvnode_core::model::{ConnectionState, CpuTimes, HostSample, Pressure, Readings, SampleTime, Snapshot, Stall, Tier};
use hvnode_core::verb::{promised_cpu_cores, promised_memory_bytes};

/// Writes everything about the host.
pub(super) fn write(out: &mut Exposition, snapshot: &Snapshot, readings: &Readings, now: SampleTime) {
    let up = snapshot.connection == ConnectionState::Up;
    out.single(Gauge, "libvirt_up", "1 while libvirt answers.", Some(f64::from(u8::from(up))));
    write_sampling(out, readings, now);
    write_capacity(out, snapshot);
    let mut size = out.family(Gauge, "hvnode_pool_size_bytes", "Bytes of a storage pool.");
    snapshot.pools.iter().for_each(|pool| size.add("", &[("pool", &pool.pool_name)], Some(float(pool.capacity_bytes))));
    let mut available = out.family(Gauge, "hvnode_pool_available_bytes", "Bytes free in a storage pool.");
    snapshot.pools.iter().for_each(|pool| available.add("", &[("pool", &pool.pool_name)], Some(float(pool.available_bytes))));
    if let Some(host) = &readings.host {
        write_cpu(out, &host.sample);
        write_memory(out, &host.sample);
        write_pressure(out, &host.sample.pressure);
        write_file_systems(out, &host.sample);
        write_disks(out, &host.sample);
        write_nics(out, &host.sample);
    }
}

/// The three resources with their words.
pub(super) fn stalls(pressure: &Pressure) -> [(&'static str, Option<Stall>); 3] {
    [("cpu", pressure.cpu), ("memory", pressure.memory), ("io", pressure.io)]
}

fn write_sampling(out: &mut Exposition, readings: &Readings, now: SampleTime) {
    let mut age = out.family(Gauge, "hvnode_sample_age_seconds", "Time since the last sweep over all VMs that worked, by tier.");
    for tier in Tier::ALL {
        age.add("", &[("tier", tier.word())], readings.sweep(tier).end.map(|end| now.since(end).as_secs_f64()));
    }
    let mut duration = out.family(Gauge, "hvnode_sample_duration_seconds", "Time the last sweep took, by tier.");
    for tier in Tier::ALL {
        let sweep = readings.sweep(tier);
        duration.add("", &[("tier", tier.word())], sweep.end.map(|_| sweep.duration.as_secs_f64()));
    }
    let mut interval = out.family(Gauge, "hvnode_sample_interval_seconds", "Pause between sweeps now, by tier.");
    for tier in Tier::ALL {
        let sweep = readings.sweep(tier);
        interval.add("", &[("tier", tier.word())], sweep.end.map(|_| sweep.interval.as_secs_f64()));
    }
    let mut failures = out.family(Counter, "hvnode_sample_failures_total", "Sweeps that failed as a whole, by tier.");
    for tier in Tier::ALL {
        failures.add("", &[("tier", tier.word())], Some(float(readings.sweep(tier).failures)));
    }
}

/// What is promised to guests, and how much may be.
fn write_capacity(out: &mut Exposition, snapshot: &Snapshot) {
    let settings = &snapshot.settings;
    let threads = snapshot.capabilities.as_ref().map(|capabilities| f64::from(capabilities.cpu_threads));
    out.single(Gauge, "hvnode_host_cpu_threads", "Hardware threads.", threads);
    let cores = float(promised_cpu_cores(snapshot));
    out.single(Gauge, "hvnode_host_promised_cpu_cores", "Virtual processors of guests that run or start.", Some(cores));
    let bytes = float(promised_memory_bytes(snapshot));
    out.single(Gauge, "hvnode_host_promised_memory_bytes", "Memory of guests that run or start, QEMU's own included.", Some(bytes));
    let reserved = float(settings.reserved_memory_bytes);
    out.single(Gauge, "hvnode_host_reserved_memory_bytes", "Memory kept for the host itself.", Some(reserved));
    let ratio = "Most virtual processors promised per hardware thread.";
    out.single(Gauge, "hvnode_host_cpu_promise_ratio", ratio, Some(settings.cpu_ratio));
    let ratio = "Most bytes of guest memory promised per byte of host memory.";
    out.single(Gauge, "hvnode_host_memory_promise_ratio", ratio, Some(settings.memory_ratio));
    let boot = snapshot.facts.boot_time.0 as f64 / 1e9;
    out.single(Gauge, "hvnode_host_boot_time_seconds", "When the host booted, since the epoch.", Some(boot));
}

fn write_cpu(out: &mut Exposition, sample: &HostSample) {
    type Mode = (&'static str, fn(&CpuTimes) -> u64);
    let modes: [Mode; 8] = [
        ("user", |cpu| cpu.user_nanoseconds),
        ("nice", |cpu| cpu.nice_nanoseconds),
        ("system", |cpu| cpu.system_nanoseconds),
        ("idle", |cpu| cpu.idle_nanoseconds),
        ("iowait", |cpu| cpu.iowait_nanoseconds),
        ("irq", |cpu| cpu.irq_nanoseconds),
        ("softirq", |cpu| cpu.softirq_nanoseconds),
        ("steal", |cpu| cpu.steal_nanoseconds),
    ];
    let mut family = out.family(Counter, "hvnode_host_cpu_seconds_total", "Time of each hardware thread, by mode.");
    for (number, core) in sample.cores.iter().enumerate() {
        let ready = label("cpu", &number.to_string());
        modes.iter().for_each(|(mode, time)| family.add(&ready, &[("mode", mode)], Some(seconds(time(core)))));
    }
    let names = ["hvnode_host_load1", "hvnode_host_load5", "hvnode_host_load15"];
    let helps = ["Load average over 1 minute.", "Load average over 5 minutes.", "Load average over 15 minutes."];
    for ((name, help), load) in names.iter().zip(helps).zip(sample.load_average) {
        out.single(Gauge, name, help, Some(load));
    }
}

fn write_memory(out: &mut Exposition, sample: &HostSample) {
    let memory = &sample.memory;
    let gauges = [
        ("hvnode_host_memory_size_bytes", "Memory of the host.", memory.total_bytes),
        ("hvnode_host_memory_available_bytes", "Memory a new program could get without swapping.", memory.available_bytes),
        ("hvnode_host_memory_free_bytes", "Memory nobody uses.", memory.free_bytes),
        ("hvnode_host_memory_buffers_bytes", "Buffers of block devices.", memory.buffers_bytes),
        ("hvnode_host_memory_cached_bytes", "Page cache.", memory.cached_bytes),
        ("hvnode_host_swap_size_bytes", "Swap space.", memory.swap_total_bytes),
        ("hvnode_host_swap_free_bytes", "Swap space nobody uses.", memory.swap_free_bytes),
    ];
    for (name, help, bytes) in gauges {
        out.single(Gauge, name, help, Some(float(bytes)));
    }
    out.single(Counter, "hvnode_host_swap_in_bytes_total", "Memory swapped in.", Some(float(memory.swap_in_bytes)));
    out.single(Counter, "hvnode_host_swap_out_bytes_total", "Memory swapped out.", Some(float(memory.swap_out_bytes)));
    let mut pages = out.family(Gauge, "hvnode_host_huge_pages", "Huge pages, by size in bytes.");
    for huge in &memory.huge_pages {
        pages.add("", &[("page_bytes", &huge.page_bytes.to_string())], Some(float(huge.total_pages)));
    }
    let mut free = out.family(Gauge, "hvnode_host_huge_pages_free", "Huge pages nobody uses, by size in bytes.");
    for huge in &memory.huge_pages {
        free.add("", &[("page_bytes", &huge.page_bytes.to_string())], Some(float(huge.free_pages)));
    }
}

fn write_pressure(out: &mut Exposition, pressure: &Pressure) {
    let help = "Time in which some task of the host waited for the resource.";
    let mut waiting = out.family(Counter, "hvnode_host_pressure_waiting_seconds_total", help);
    for (resource, stall) in stalls(pressure) {
        waiting.add("", &[("resource", resource)], stall.map(|stall| stall.some_microseconds as f64 / 1e6));
    }
    let help = "Time in which all tasks of the host waited for the resource.";
    let mut stalled = out.family(Counter, "hvnode_host_pressure_stalled_seconds_total", help);
    for (resource, stall) in stalls(pressure) {
        stalled.add("", &[("resource", resource)], stall.map(|stall| stall.full_microseconds as f64 / 1e6));
    }
}

fn write_file_systems(out: &mut Exposition, sample: &HostSample) {
    let ready: Vec<String> = sample
        .file_systems
        .iter()
        .map(|fs| [label("mount_point", &fs.mount_point), label("device", &fs.device), label("type", &fs.kind)].join(","))
        .collect();
    let mut answering = out.family(Gauge, "hvnode_host_file_system_answering", "1 where the file system answers, 0 where it hangs.");
    for (fs, ready) in sample.file_systems.iter().zip(&ready) {
        answering.add(ready, &[], Some(f64::from(u8::from(fs.space.is_some()))));
    }
    let mut size = out.family(Gauge, "hvnode_host_file_system_size_bytes", "Bytes of a file system.");
    for (fs, ready) in sample.file_systems.iter().zip(&ready) {
        size.add(ready, &[], fs.space.map(|space| float(space.size_bytes)));
    }
    let mut available = out.family(Gauge, "hvnode_host_file_system_available_bytes", "Bytes free for users in a file system.");
    for (fs, ready) in sample.file_systems.iter().zip(&ready) {
        available.add(ready, &[], fs.space.map(|space| float(space.available_bytes)));
    }
}

fn write_disks(out: &mut Exposition, sample: &HostSample) {
    type Part = fn(&hvnode_core::model::DiskCounters) -> u64;
    let parts: [(&str, &str, Part); 4] = [
        ("hvnode_host_disk_read_bytes_total", "Bytes read from a disk.", |disk| disk.read_bytes),
        ("hvnode_host_disk_written_bytes_total", "Bytes written to a disk.", |disk| disk.write_bytes),
        ("hvnode_host_disk_reads_total", "Read requests to a disk.", |disk| disk.read_requests),
        ("hvnode_host_disk_writes_total", "Write requests to a disk.", |disk| disk.write_requests),
    ];
    for (name, help, part) in parts {
        let mut family = out.family(Counter, name, help);
        sample.disks.iter().for_each(|disk| family.add("", &[("device", &disk.device)], Some(float(part(disk)))));
    }
}

fn write_nics(out: &mut Exposition, sample: &HostSample) {
    type Part = fn(&hvnode_core::model::NicCounters) -> u64;
    let parts: [(&str, &str, Part); 8] = [
        ("hvnode_host_network_receive_bytes_total", "Bytes received.", |nic| nic.receive_bytes),
        ("hvnode_host_network_receive_packets_total", "Packets received.", |nic| nic.receive_packets),
        ("hvnode_host_network_receive_errors_total", "Receive errors.", |nic| nic.receive_errors),
        ("hvnode_host_network_receive_drops_total", "Received packets dropped.", |nic| nic.receive_drops),
        ("hvnode_host_network_transmit_bytes_total", "Bytes sent.", |nic| nic.send_bytes),
        ("hvnode_host_network_transmit_packets_total", "Packets sent.", |nic| nic.send_packets),
        ("hvnode_host_network_transmit_errors_total", "Send errors.", |nic| nic.send_errors),
        ("hvnode_host_network_transmit_drops_total", "Packets to send dropped.", |nic| nic.send_drops),
    ];
    for (name, help, part) in parts {
        let mut family = out.family(Counter, name, help);
        sample.nics.iter().for_each(|nic| family.add("", &[("interface", &nic.interface_name)], Some(float(part(nic)))));
    }
}
