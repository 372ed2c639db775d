//! Counters of a running server, from the last samples: nothing is measured for a request.

use super::super::call::{Call, Outcome, Reply};
use super::super::convert::mebibytes;
use super::super::errors::Fault;
use super::super::state::ServerState;
use super::super::version::since;
use super::extras::Extras;
use super::find;
use super::view::shape;
use hvnode_core::model::{DiskCounters, NicCounters, PowerState, Timestamp, Vm, VmReading};
use serde_json::{Map, Value, json};

pub(in super::super) async fn show(call: Call) -> Outcome {
    let snapshot = call.snapshot();
    let vm = find(&call, &snapshot)?;
    let power = vm.observed.as_ref().map(|observed| observed.power);
    if !matches!(power, Some(PowerState::Running | PowerState::Paused | PowerState::ShuttingDown)) {
        let (uuid, state) = (vm.uuid(), ServerState::of(vm).vm_state);
        return Err(Fault::new(409, format!("Cannot 'get_diagnostics' instance {uuid} while it is in vm_state {state}")));
    }
    let readings = call.readings();
    let reading = readings.vms.get(&vm.uuid()).map(AsRef::as_ref);
    let counters = Counters { vm, reading };
    Reply::ok(&if call.version >= since::STANDARD_DIAGNOSTICS { counters.standard(&call) } else { counters.flat() })
}

struct Counters<'a> {
    vm: &'a Vm,
    reading: Option<&'a VmReading>,
}

impl Counters<'_> {
    fn disks(&self) -> &[DiskCounters] {
        self.reading.and_then(|reading| reading.hypervisor.as_ref()).map_or(&[], |sample| sample.disks.as_slice())
    }

    fn nics(&self) -> &[NicCounters] {
        let hypervisor = self.reading.and_then(|reading| reading.hypervisor.as_ref()).map(|sample| sample.nics.as_slice());
        let kernel = self.reading.and_then(|reading| reading.kernel.as_ref()).map(|sample| sample.nics.as_slice());
        kernel.filter(|nics| !nics.is_empty()).or(hypervisor).unwrap_or(&[])
    }

    /// Nanoseconds of each virtual processor, where known.
    fn vcpus(&self) -> Vec<(u32, Option<u64>)> {
        let kernel = self.reading.and_then(|reading| reading.kernel.as_ref());
        if let Some(sample) = kernel.filter(|sample| !sample.vcpus.is_empty()) {
            return sample.vcpus.iter().map(|vcpu| (vcpu.index, Some(vcpu.time_nanoseconds))).collect();
        }
        let hypervisor = self.reading.and_then(|reading| reading.hypervisor.as_ref());
        match hypervisor {
            Some(sample) if !sample.vcpus.is_empty() => sample.vcpus.iter().map(|vcpu| (vcpu.index, vcpu.time_nanoseconds)).collect(),
            _ => (0..shape(self.vm).0).map(|index| (index, None)).collect(),
        }
    }

    fn standard(&self, call: &Call) -> Value {
        let point = self.reading.and_then(|reading| reading.point.as_ref());
        let memory = self.reading.and_then(|reading| reading.hypervisor.as_ref()).map(|sample| sample.memory).unwrap_or_default();
        let usage = |index: u32| {
            let percents = point.map_or(&[][..], |point| point.core_usage_percents.as_slice());
            #[allow(clippy::cast_possible_truncation)] // a percentage
            usize::try_from(index).ok().and_then(|index| percents.get(index)).map(|percent| percent.round() as i64)
        };
        let cpu_details: Vec<Value> =
            self.vcpus().into_iter().map(|(index, time)| json!({ "id": index, "time": time, "utilisation": usage(index) })).collect();
        let rates = |nic: &NicCounters| point.and_then(|point| point.nics.iter().find(|rates| rates.interface_name == nic.interface_name));
        #[allow(clippy::cast_possible_truncation)] // bytes per second
        let nic_detail = |nic: &NicCounters| {
            let rates = rates(nic);
            json!({
                "mac_address": nic.mac_address,
                "rx_octets": nic.receive_bytes, "rx_packets": nic.receive_packets, "rx_drop": nic.receive_drops, "rx_errors": nic.receive_errors,
                "rx_rate": rates.map(|rates| rates.receive_bytes.round() as i64),
                "tx_octets": nic.send_bytes, "tx_packets": nic.send_packets, "tx_drop": nic.send_drops, "tx_errors": nic.send_errors,
                "tx_rate": rates.map(|rates| rates.send_bytes.round() as i64),
            })
        };
        let disk_detail = |disk: &DiskCounters| {
            json!({
                "read_bytes": disk.read_bytes, "read_requests": disk.read_requests, "write_bytes": disk.write_bytes,
                "write_requests": disk.write_requests, "errors_count": -1,
            })
        };
        let (num_nics, num_disks) = self.vm.observed.as_ref().map_or((0, 0), |observed| (observed.nics.len(), observed.disks.len()));
        let used = point.and_then(|point| point.memory_used_bytes).or(memory.resident_bytes);
        let started = self.vm.record.as_ref().and_then(|record| record.start_time);
        let has_config_drive = Extras::of(&call.shared.context.records, self.vm.uuid()).has_config_drive;
        json!({
            "state": match ServerState::of(self.vm).power_state { 3 => "paused", _ => "running" },
            "driver": "libvirt", "hypervisor": "qemu", "hypervisor_os": "linux",
            "uptime": started.map(|started| Timestamp::now().since(started).as_secs()),
            "config_drive": has_config_drive,
            "num_cpus": cpu_details.len(), "num_nics": num_nics, "num_disks": num_disks,
            "memory_details": { "maximum": mebibytes(memory.maximum_bytes.unwrap_or(shape(self.vm).1)), "used": used.map(mebibytes) },
            "cpu_details": cpu_details,
            "disk_details": self.disks().iter().map(disk_detail).collect::<Vec<_>>(),
            "nic_details": self.nics().iter().map(nic_detail).collect::<Vec<_>>(),
        })
    }

    /// As libvirt's driver gave it before there was one form: KiB of memory, names of devices in the keys.
    fn flat(&self) -> Value {
        let mut flat = Map::new();
        for (index, time) in self.vcpus() {
            flat.insert(format!("cpu{index}_time"), json!(time.unwrap_or(0)));
        }
        let memory = self.reading.and_then(|reading| reading.hypervisor.as_ref()).map(|sample| sample.memory).unwrap_or_default();
        flat.insert("memory".into(), json!(shape(self.vm).1 / 1024));
        for (name, bytes) in
            [("memory-actual", memory.actual_bytes), ("memory-rss", memory.resident_bytes), ("memory-available", memory.available_bytes)]
        {
            flat.extend(bytes.map(|bytes| (name.to_owned(), json!(bytes / 1024))));
        }
        for disk in self.disks() {
            let device = &disk.device;
            let counters = [
                ("read_req", disk.read_requests),
                ("read", disk.read_bytes),
                ("write_req", disk.write_requests),
                ("write", disk.write_bytes),
            ];
            flat.extend(counters.map(|(word, value)| (format!("{device}_{word}"), json!(value))));
            flat.insert(format!("{device}_errors"), json!(-1));
        }
        for nic in self.nics() {
            let name = &nic.interface_name;
            let counters = [
                ("rx", nic.receive_bytes),
                ("rx_packets", nic.receive_packets),
                ("rx_errors", nic.receive_errors),
                ("rx_drop", nic.receive_drops),
                ("tx", nic.send_bytes),
                ("tx_packets", nic.send_packets),
                ("tx_errors", nic.send_errors),
                ("tx_drop", nic.send_drops),
            ];
            flat.extend(counters.map(|(word, value)| (format!("{name}_{word}"), json!(value))));
        }
        Value::Object(flat)
    }
}
