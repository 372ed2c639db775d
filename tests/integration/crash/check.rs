//! Compares what must be there with what is there.

use super::model::{Model, Power, Vm};
use super::world::{Outside, Told};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Something is there that nobody asked for, or that should be gone.
    Leak(String),
    /// Something is not there, or not as it was acknowledged.
    Lost(String),
}

/// What is found wrong.
#[derive(Debug, Default)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl Faults {
    pub(super) fn leak(&mut self, text: impl Into<String>) {
        self.0.push(Fault::Leak(text.into()));
    }

    pub(super) fn lost(&mut self, text: impl Into<String>) {
        self.0.push(Fault::Lost(text.into()));
    }

    /// What is there must be what must be there.
    fn compare<T: Ord + std::fmt::Debug>(&mut self, what: &str, must: &BTreeSet<T>, is: &BTreeSet<T>) {
        for extra in is.difference(must) {
            self.leak(format!("{what}: {extra:?} is there and should not be"));
        }
        for missing in must.difference(is) {
            self.lost(format!("{what}: {missing:?} should be there and is not"));
        }
    }

    fn equal(&mut self, what: &str, must: &Value, is: &Value) {
        if must != is {
            self.lost(format!("{what} is {is} and should be {must}"));
        }
    }
}

/// Everything at once.
pub(super) fn check(model: &Model, outside: &Outside, told: &Told) -> Faults {
    let mut faults = Faults::default();
    check_vms(model, outside, told, &mut faults);
    check_disks(model, outside, told, &mut faults);
    check_images(model, outside, told, &mut faults);
    check_specifications(model, told, &mut faults);
    check_addresses(model, outside, told, &mut faults);
    faults
}

fn check_vms(model: &Model, outside: &Outside, told: &Told, faults: &mut Faults) {
    let all: BTreeSet<Uuid> = model.vms.keys().copied().collect();
    faults.compare("VMs of the node", &all, &told.vms.keys().copied().collect());
    faults.compare("domains of libvirt", &all, &outside.domains.keys().copied().collect());
    let active: BTreeSet<Uuid> = outside.domains.iter().filter(|(_, domain)| !is_off(&domain.state)).map(|(uuid, _)| *uuid).collect();
    faults.compare("QEMUs", &active, &outside.qemus.keys().copied().collect());
    if outside.sockets.len() != active.len() {
        faults.leak(format!("{} domains are on and these are the folders of their sockets: {:?}", active.len(), outside.sockets));
    }
    let with_nic = active.iter().filter(|uuid| model.vms.get(uuid).is_some_and(|vm| vm.has_nic)).count();
    if outside.taps.len() != with_nic {
        faults.leak(format!("{with_nic} domains with a NIC are on and these are their network devices: {:?}", outside.taps));
    }
    for (uuid, vm) in &model.vms {
        let (Some(domain), Some(view)) = (outside.domains.get(uuid), told.vms.get(uuid)) else { continue };
        let what = |field: &str| format!("vm {uuid}: {field}");
        check_record(uuid, vm, view, faults);
        faults.equal(&what("title in libvirt"), &json!(vm.vm_name), &json!(domain.title()));
        faults.equal(&what("memory in libvirt"), &json!(vm.memory_bytes), &json!(domain.memory_bytes()));
        faults.equal(&what("cpus in libvirt"), &json!(vm.cpu_cores), &json!(domain.cpu_cores()));
        let starts_with_host = outside.started_with_host.contains(domain.part("<name>", "</name>"));
        faults.equal(&what("start with the host in libvirt"), &json!(vm.auto_start && !vm.is_trashed), &json!(starts_with_host));
        if !domain.xml.contains(&format!("&quot;vm_name&quot;:&quot;{}&quot;", vm.vm_name))
            && !domain.xml.contains(&format!("\"vm_name\":\"{}\"", vm.vm_name))
        {
            faults.lost(format!("vm {uuid}: the metadata in libvirt have not the name {}", vm.vm_name));
        }
        check_power(uuid, vm, &domain.state, view, faults);
        if let (Some(before), false) = (vm.qemu, vm.may_have_new_qemu)
            && outside.qemus.get(uuid) != Some(&before)
        {
            faults.lost(format!("vm {uuid}: its QEMU was {before} and is {:?}, though nobody asked for that", outside.qemus.get(uuid)));
        }
    }
}

fn check_record(uuid: &Uuid, vm: &Vm, view: &Value, faults: &mut Faults) {
    let musts = json!({
        "vm_name": vm.vm_name, "description": vm.description, "cpu_cores": vm.cpu_cores, "memory_size": vm.memory_bytes,
        "auto_start": vm.auto_start, "management": "managed", "freshness": "fresh", "job_uuid": null,
    });
    for (field, must) in musts.as_object().unwrap() {
        faults.equal(&format!("vm {uuid}: {field}"), must, &view[field]);
    }
}

fn is_off(state: &str) -> bool {
    matches!(state, "shut off" | "crashed")
}

fn check_power(uuid: &Uuid, vm: &Vm, state: &str, view: &Value, faults: &mut Faults) {
    let must = match vm.power {
        Power::On => "running",
        Power::Paused => "paused",
        Power::Off => "shut off",
    };
    if state != must {
        faults.lost(format!("vm {uuid}: it is {state} in libvirt and should be {must}"));
    }
    let word = match state {
        "shut off" if vm.is_trashed => "deleted",
        "shut off" => "stopped",
        other => other,
    };
    faults.equal(&format!("vm {uuid}: status"), &json!(word), &view["status"]);
}

fn check_disks(model: &Model, outside: &Outside, told: &Told, faults: &mut Faults) {
    faults.compare("disks", &model.disks.keys().collect(), &told.disks.keys().collect());
    for (name, disk) in &model.disks {
        let Some(view) = told.disks.get(name) else { continue };
        let mut musts = json!({
            "vm_uuid": disk.owner, "status": if disk.owner.is_some() { "in_use" } else { "available" }, "is_root": disk.owner.is_some() && disk.is_root,
        });
        if let Some(bytes) = disk.storage_bytes {
            musts["storage_size"] = json!(bytes);
        }
        for (field, must) in musts.as_object().unwrap() {
            faults.equal(&format!("disk {name}: {field}"), must, &view[field]);
        }
    }
    let of_disks = told.disks.values().map(|view| view["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned());
    let seeds = model.vms.iter().filter(|(_, vm)| vm.has_seed).map(|(uuid, _)| format!("{uuid}-seed.img"));
    let must: BTreeSet<String> = of_disks.chain(seeds).collect();
    let is: BTreeSet<String> = outside.files["volumes"].keys().cloned().collect();
    faults.compare("files in volumes", &must, &is);
    faults.compare("volumes that libvirt lists", &is, &outside.listed);
    let attached: BTreeSet<&str> = outside
        .domains
        .values()
        .flat_map(|domain| domain.xml.split("<source file='").skip(1))
        .filter_map(|rest| rest.split('\'').next())
        .collect();
    for (name, view) in &told.disks {
        let path = view["path"].as_str().unwrap();
        if attached.contains(path) != (view["status"] == "in_use") {
            faults.lost(format!(
                "disk {name}: its status is {} and its file is {}in a definition",
                view["status"],
                if attached.contains(path) { "" } else { "not " }
            ));
        }
    }
    let logs: BTreeSet<String> = model.vms.keys().map(|uuid| format!("{uuid}.log")).collect();
    // A log that has grown is rotated; those belong to it.
    let is_rotated = |name: &&String| name.rsplit_once(".log.").is_some_and(|(uuid, _)| logs.contains(&format!("{uuid}.log")));
    faults.compare("console logs", &logs, &outside.files["console"].keys().filter(|name| !is_rotated(name)).cloned().collect());
}

fn check_images(model: &Model, outside: &Outside, told: &Told, faults: &mut Faults) {
    faults.compare("images", &model.images.keys().collect(), &told.images.keys().collect());
    let files: BTreeSet<(String, u64)> =
        model.images.iter().map(|(uuid, image)| (format!("{uuid}.{}", image.format), image.storage_bytes)).collect();
    faults.compare("files in images", &files, &outside.files["images"].iter().map(|(name, size)| (name.clone(), *size)).collect());
    for (uuid, image) in &model.images {
        let Some(view) = told.images.get(uuid) else { continue };
        faults.equal(&format!("image {uuid}: name"), &json!(image.image_name), &view["image_name"]);
        faults.equal(&format!("image {uuid}: status"), &json!("ready"), &view["status"]);
        faults.equal(&format!("image {uuid}: size"), &json!(image.storage_bytes), &view["storage_size"]);
    }
}

fn check_specifications(model: &Model, told: &Told, faults: &mut Faults) {
    faults.compare("specifications", &model.specifications.keys().collect(), &told.specifications.keys().collect());
    for (uuid, specification) in &model.specifications {
        let Some(view) = told.specifications.get(uuid) else { continue };
        let musts = json!({
            "specification_name": specification.specification_name, "description": specification.description,
            "cpu_cores": specification.cpu_cores, "memory_size": specification.memory_bytes,
        });
        for (field, must) in musts.as_object().unwrap() {
            faults.equal(&format!("specification {uuid}: {field}"), must, &view[field]);
        }
    }
}

fn check_addresses(model: &Model, outside: &Outside, told: &Told, faults: &mut Faults) {
    let mut reserved = BTreeSet::new();
    for (uuid, view) in &told.vms {
        let has_nic = model.vms.get(uuid).is_some_and(|vm| vm.has_nic);
        match (view["mac_address"].as_str(), view["ip_address"].as_str()) {
            (Some(mac), Some(ip)) if has_nic => {
                reserved.insert((mac.to_owned(), ip.to_owned()));
            }
            (None, None) if !has_nic => {}
            (mac, ip) => faults.lost(format!("vm {uuid}: its address is {mac:?} {ip:?}, has_nic is {has_nic}")),
        }
    }
    faults.compare("reservations of the running network", &reserved, &outside.live);
    faults.compare("reservations of the network's definition", &reserved, &outside.stored);
}
