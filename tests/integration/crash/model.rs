//! What must be there: the accepted changes, applied one after the other in the order in which they were accepted.

use super::request::{Fixed, Guess, Known, Request};
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

/// What a VM must be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    On,
    Paused,
    Off,
}

#[derive(Debug, Clone)]
pub(super) struct Vm {
    pub(super) vm_name: String,
    pub(super) description: String,
    pub(super) cpu_cores: u64,
    pub(super) memory_bytes: u64,
    pub(super) auto_start: bool,
    pub(super) power: Power,
    pub(super) is_trashed: bool,
    pub(super) has_nic: bool,
    pub(super) has_seed: bool,
    specification: Option<Uuid>,
    image: Option<Uuid>,
    /// Something that starts or stops it was accepted in this round.
    pub(super) may_have_new_qemu: bool,
    /// Its QEMU at the end of the last round.
    pub(super) qemu: Option<u32>,
}

/// By name: uuids are the node's choice.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) uuid: Option<Uuid>,
    pub(super) owner: Option<Uuid>,
    pub(super) is_root: bool,
    /// It was there before the VM that has it, and outlives it like a data disk.
    is_given: bool,
    /// `None` for a root disk as large as its image.
    pub(super) storage_bytes: Option<u64>,
}

#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) image_name: String,
    pub(super) format: &'static str,
    pub(super) storage_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Specification {
    pub(super) specification_name: String,
    pub(super) description: String,
    pub(super) cpu_cores: u64,
    pub(super) memory_bytes: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) vms: BTreeMap<Uuid, Vm>,
    pub(super) disks: BTreeMap<String, Disk>,
    pub(super) images: BTreeMap<Uuid, Image>,
    pub(super) specifications: BTreeMap<Uuid, Specification>,
}

impl Model {
    /// A round begins.
    pub(super) fn begin(&mut self) {
        for vm in self.vms.values_mut() {
            vm.may_have_new_qemu = false;
        }
    }

    /// What the askers of the next round know.
    pub(super) fn known(&self, fixed: &Fixed) -> Known {
        let guess = |vm: &Vm| match vm.power {
            _ if vm.is_trashed => Guess::Trashed,
            Power::On => Guess::On,
            Power::Paused => Guess::Paused,
            Power::Off => Guess::Off,
        };
        let is_own = |uuid: &&Uuid| ![fixed.kernel, fixed.initrd, fixed.boot, fixed.tiny].contains(uuid);
        Known {
            vms: self.vms.iter().map(|(uuid, vm)| (*uuid, guess(vm))).collect(),
            images: self.images.keys().filter(is_own).copied().collect(),
            specifications: self.specifications.keys().filter(is_own).copied().collect(),
            disks: self.disks.values().filter(|disk| disk.owner.is_none()).filter_map(|disk| disk.uuid).collect(),
        }
    }

    /// Applies an accepted change that ended. One that did not succeed has changed nothing.
    ///
    /// # Errors
    /// What cannot be, such as the creation of something that is there.
    pub(super) fn apply(&mut self, request: &Request, has_succeeded: bool, large_bytes: u64) -> Result<(), String> {
        if !has_succeeded {
            return Ok(());
        }
        match request.path {
            "/v1/vm/create" => self.create_vm(request),
            "/v1/vm/delete" | "/v1/vm/expunge" => self.delete_vm(request),
            path if path.starts_with("/v1/vm/") => self.change_vm(request),
            "/v1/repository/image/create" => {
                let image_name = text(&request.body, "image_name");
                self.images.insert(request.uuid("image_uuid"), Image { image_name, format: "raw", storage_bytes: large_bytes });
                Ok(())
            }
            "/v1/repository/image/delete" => {
                let uuid = request.uuid("image_uuid");
                if self.vms.values().any(|vm| vm.image == Some(uuid)) {
                    return Err(format!("image {uuid} was deleted while a VM depends on it"));
                }
                // None if the removal cut the import short.
                self.images.remove(&uuid);
                Ok(())
            }
            "/v1/usd/delete" => self.delete_disk(request),
            path if path.starts_with("/v1/specification/") => self.change_specification(request),
            _ => Ok(()),
        }
    }

    fn create_vm(&mut self, request: &Request) -> Result<(), String> {
        let (vm_uuid, body) = (request.uuid("vm_uuid"), &request.body);
        if self.vms.contains_key(&vm_uuid) {
            return Err(format!("vm {vm_uuid} was created twice"));
        }
        let (specification, cpu_cores, memory_bytes) = match body["specification_uuid"].as_str() {
            Some(_) => {
                let uuid = request.uuid("specification_uuid");
                let shape =
                    self.specifications.get(&uuid).ok_or_else(|| format!("vm {vm_uuid} was made from a specification that is gone"))?;
                (Some(uuid), shape.cpu_cores, shape.memory_bytes)
            }
            None => (None, body["cpu_cores"].as_u64().unwrap(), body["memory_size"].as_u64().unwrap()),
        };
        let image = ["image_uuid", "kernel_image_uuid"].into_iter().find(|field| body[field].is_string()).map(|field| request.uuid(field));
        if let Some(image) = image.filter(|image| !self.images.contains_key(image)) {
            return Err(format!("vm {vm_uuid} was made from the image {image} that is gone"));
        }
        let vm_name = text(body, "vm_name");
        if body["root_usd_uuid"].is_string() {
            let root = request.uuid("root_usd_uuid");
            let disk = self.disks.values_mut().find(|disk| disk.uuid == Some(root) && disk.owner.is_none());
            let disk = disk.ok_or_else(|| format!("vm {vm_uuid} was made from the disk {root} that is gone or another VM's"))?;
            (disk.owner, disk.is_root, disk.is_given) = (Some(vm_uuid), true, true);
        } else if body["image_uuid"].is_string() {
            let root = Disk { uuid: None, owner: Some(vm_uuid), is_root: true, is_given: false, storage_bytes: None };
            self.disks.insert(format!("{vm_name}-root"), root);
        }
        for disk in body["usds"].as_array().into_iter().flatten() {
            let storage_bytes = disk["storage_size"].as_u64();
            self.disks
                .insert(text(disk, "usd_name"), Disk { uuid: None, owner: Some(vm_uuid), is_root: false, is_given: false, storage_bytes });
        }
        let vm = Vm {
            vm_name,
            description: text(body, "description"),
            cpu_cores,
            memory_bytes,
            auto_start: false,
            power: if body["start"] == false { Power::Off } else { Power::On },
            is_trashed: false,
            has_nic: !body["interfaces"].is_array(),
            has_seed: body["password"].is_string(),
            specification,
            image,
            may_have_new_qemu: true,
            qemu: None,
        };
        self.vms.insert(vm_uuid, vm);
        Ok(())
    }

    fn delete_vm(&mut self, request: &Request) -> Result<(), String> {
        let vm_uuid = request.uuid("vm_uuid");
        let vm = self.vms.get_mut(&vm_uuid).ok_or_else(|| format!("vm {vm_uuid} was deleted after it was gone"))?;
        if request.body["keep_days"].is_number() {
            (vm.is_trashed, vm.power, vm.may_have_new_qemu) = (true, Power::Off, true);
            return Ok(());
        }
        self.vms.remove(&vm_uuid);
        let takes_all = request.body["delete_usd"] == true || request.path == "/v1/vm/expunge";
        self.disks.retain(|_, disk| disk.owner != Some(vm_uuid) || !(disk.is_root && !disk.is_given || takes_all));
        for disk in self.disks.values_mut().filter(|disk| disk.owner == Some(vm_uuid)) {
            disk.owner = None;
        }
        Ok(())
    }

    fn change_vm(&mut self, request: &Request) -> Result<(), String> {
        let (vm_uuid, body) = (request.uuid("vm_uuid"), &request.body);
        let vm = self.vms.get_mut(&vm_uuid).ok_or_else(|| format!("{} of vm {vm_uuid} was accepted after it was gone", request.path))?;
        let power = match request.path {
            "/v1/vm/start" | "/v1/vm/resume" => Some(Power::On),
            "/v1/vm/stop" => Some(Power::Off),
            "/v1/vm/pause" => Some(Power::Paused),
            _ => None,
        };
        if let Some(power) = power {
            vm.power = power;
            vm.may_have_new_qemu |= matches!(request.path, "/v1/vm/start" | "/v1/vm/stop");
        }
        match request.path {
            "/v1/vm/recover" => vm.is_trashed = false,
            "/v1/vm/update" => {
                vm.vm_name = body["new_name"].as_str().map_or(vm.vm_name.clone(), str::to_owned);
                vm.description = text(body, "description");
                vm.auto_start = body["auto_start"].as_bool().unwrap_or(vm.auto_start);
            }
            "/v1/vm/resize" if body["specification_uuid"].is_string() => {
                let uuid = request.uuid("specification_uuid");
                let shape = self.specifications.get(&uuid).ok_or_else(|| format!("vm {vm_uuid} got a specification that is gone"))?;
                (vm.specification, vm.cpu_cores, vm.memory_bytes) = (Some(uuid), shape.cpu_cores, shape.memory_bytes);
            }
            "/v1/vm/resize" => {
                vm.specification = None;
                vm.cpu_cores = body["cpu_cores"].as_u64().unwrap();
                vm.memory_bytes = body["memory_size"].as_u64().unwrap();
            }
            _ => {}
        }
        Ok(())
    }

    fn delete_disk(&mut self, request: &Request) -> Result<(), String> {
        let uuid = request.uuid("usd_uuid");
        let name = self.disks.iter().find(|(_, disk)| disk.uuid == Some(uuid) && disk.owner.is_none()).map(|(name, _)| name.clone());
        let name = name.ok_or_else(|| format!("the disk {uuid} was deleted though it is gone or a VM's"))?;
        self.disks.remove(&name);
        Ok(())
    }

    fn change_specification(&mut self, request: &Request) -> Result<(), String> {
        let (uuid, body) = (request.uuid("specification_uuid"), &request.body);
        match request.path {
            "/v1/specification/create" => {
                let specification = Specification {
                    specification_name: text(body, "specification_name"),
                    description: text(body, "description"),
                    cpu_cores: body["cpu_cores"].as_u64().unwrap(),
                    memory_bytes: body["memory_size"].as_u64().unwrap(),
                };
                self.specifications.insert(uuid, specification);
            }
            "/v1/specification/update" => {
                let known =
                    self.specifications.get_mut(&uuid).ok_or_else(|| format!("specification {uuid} was changed after it was gone"))?;
                known.description = text(body, "description");
            }
            _ => {
                if self.vms.values().any(|vm| vm.specification == Some(uuid)) {
                    return Err(format!("specification {uuid} was deleted while a VM has it"));
                }
                self.specifications.remove(&uuid).ok_or_else(|| format!("specification {uuid} was deleted twice"))?;
            }
        }
        Ok(())
    }
}

fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_default().to_owned()
}
