//! Random changes. What is asked is made up from what the asker knows, which may be out of date: refusals are part of the game.

use super::random::Random;
use serde_json::{Value, json};
use uuid::Uuid;

/// Most VMs at a time, those in the trash included.
const VMS_MAX: usize = 8;
/// Most images made during the campaign at a time.
const IMAGES_MAX: usize = 4;
/// Most specifications made during the campaign at a time.
const SPECIFICATIONS_MAX: usize = 3;

const MEBIBYTE: u64 = 1 << 20;

/// A change as it is sent.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) path: &'static str,
    /// With its `request_uuid`.
    pub(super) body: Value,
    pub(super) request_uuid: Uuid,
}

impl Request {
    fn new(random: &mut Random, path: &'static str, mut body: Value) -> Self {
        let request_uuid = random.uuid();
        body["request_uuid"] = json!(request_uuid);
        body["wait_seconds"] = json!(random.weighted(&[(5, 0), (2, 1), (5, 60)]));
        Self { path, body, request_uuid }
    }

    /// The uuid in a field of the body.
    pub(super) fn uuid(&self, field: &str) -> Uuid {
        self.body[field].as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{}: no {field} in {}", self.path, self.body))
    }
}

/// What the VM is believed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guess {
    On,
    Paused,
    Off,
    Trashed,
}

/// What the askers of a round believe there is.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) vms: Vec<(Uuid, Guess)>,
    pub(super) images: Vec<Uuid>,
    pub(super) specifications: Vec<Uuid>,
    /// Disks that no VM owns.
    pub(super) disks: Vec<Uuid>,
}

/// Images and specification that are there from the beginning and stay.
#[derive(Debug, Clone)]
pub(super) struct Fixed {
    pub(super) kernel: Uuid,
    pub(super) initrd: Uuid,
    pub(super) boot: Uuid,
    pub(super) tiny: Uuid,
    /// URL of an image that takes a while to import.
    pub(super) large_url: String,
}

impl Known {
    fn guess(&mut self, vm_uuid: Uuid, guess: Guess) {
        if let Some(vm) = self.vms.iter_mut().find(|(uuid, _)| *uuid == vm_uuid) {
            vm.1 = guess;
        }
    }

    /// Takes note of a change that may be accepted: what it makes can be asked for from now on.
    pub(super) fn expect(&mut self, request: &Request) {
        match request.path {
            "/v1/vm/create" => {
                let guess = if request.body["start"] == false { Guess::Off } else { Guess::On };
                self.vms.push((request.uuid("vm_uuid"), guess));
            }
            "/v1/repository/image/create" => self.images.push(request.uuid("image_uuid")),
            "/v1/specification/create" => self.specifications.push(request.uuid("specification_uuid")),
            _ => {}
        }
    }

    /// Takes note of a change that was accepted.
    pub(super) fn note(&mut self, request: &Request) {
        match request.path {
            "/v1/vm/start" | "/v1/vm/resume" => self.guess(request.uuid("vm_uuid"), Guess::On),
            "/v1/vm/stop" | "/v1/vm/recover" => self.guess(request.uuid("vm_uuid"), Guess::Off),
            "/v1/vm/pause" => self.guess(request.uuid("vm_uuid"), Guess::Paused),
            "/v1/vm/delete" if request.body["keep_days"].is_number() => self.guess(request.uuid("vm_uuid"), Guess::Trashed),
            "/v1/vm/delete" | "/v1/vm/expunge" => {
                let gone = request.uuid("vm_uuid");
                self.vms.retain(|(uuid, _)| *uuid != gone);
            }
            _ => {}
        }
    }

    /// The next thing to ask for.
    pub(super) fn next_request(&self, random: &mut Random, fixed: &Fixed) -> Request {
        loop {
            let kind = random.weighted(&[
                (if self.vms.len() < VMS_MAX { 1 + 4 * (VMS_MAX - self.vms.len()) as u64 } else { 0 }, "create_vm"),
                (12, "power"),
                (4, "update_vm"),
                (3, "resize_vm"),
                (5, "delete_vm"),
                (if self.images.len() < IMAGES_MAX { 3 } else { 0 }, "create_image"),
                (2, "delete_image"),
                (3, "specification"),
                (2, "delete_disk"),
            ]);
            let made = match kind {
                "create_vm" => Some(self.create_vm(random, fixed)),
                "power" => self.power(random),
                "update_vm" => self.update_vm(random),
                "resize_vm" => self.resize_vm(random, fixed),
                "delete_vm" => self.delete_vm(random),
                "create_image" => Some(create_image(random, fixed)),
                "delete_image" => {
                    random.pick(&self.images).copied().map(|uuid| ("/v1/repository/image/delete", json!({"image_uuid": uuid})))
                }
                "specification" => Some(self.specification(random)),
                _ => random.pick(&self.disks).copied().map(|uuid| ("/v1/usd/delete", json!({"usd_uuid": uuid}))),
            };
            if let Some((path, body)) = made {
                return Request::new(random, path, body);
            }
        }
    }

    fn create_vm(&self, random: &mut Random, fixed: &Fixed) -> (&'static str, Value) {
        let vm_uuid = random.uuid();
        let vm_name = format!("vm-{}", &vm_uuid.simple().to_string()[..8]);
        let mut body = json!({"vm_uuid": vm_uuid, "vm_name": vm_name, "description": "as created"});
        if random.chance(50) {
            let own = random.pick(&self.specifications).copied().unwrap_or(fixed.tiny);
            body["specification_uuid"] = json!(if random.chance(50) { own } else { fixed.tiny });
        } else {
            body["cpu_cores"] = json!(1 + random.below(2));
            body["memory_size"] = json!(some_memory(random));
        }
        match random.below(10) {
            0..4 => {
                body["kernel_image_uuid"] = json!(fixed.kernel);
                body["initrd_image_uuid"] = json!(fixed.initrd);
                body["kernel_command_line"] = json!("quiet <&'\">");
            }
            4..8 => body["image_uuid"] = json!(fixed.boot),
            8 => body["image_uuid"] = json!(random.pick(&self.images).copied().unwrap_or(fixed.boot)),
            _ => match random.pick(&self.disks) {
                Some(disk) => body["root_usd_uuid"] = json!(disk),
                None => body["image_uuid"] = json!(fixed.boot),
            },
        }
        let disks: Vec<Value> = (0..random.below(3))
            .map(|number| json!({"usd_name": format!("{vm_name}-data{}", number + 1), "storage_size": (1 + random.below(8)) * MEBIBYTE}))
            .collect();
        if !disks.is_empty() {
            body["usds"] = json!(disks);
        }
        if random.chance(30) {
            body["start"] = json!(false);
        }
        if random.chance(20) {
            body["interfaces"] = json!([]);
        }
        // Nothing here kills a QEMU that should run, so the node has nothing to start again; it may be misled to.
        body["restart_on_crash"] = json!(random.chance(50));
        if random.chance(20) {
            body["password"] = json!("not a secret");
        }
        ("/v1/vm/create", body)
    }

    fn power(&self, random: &mut Random) -> Option<(&'static str, Value)> {
        let (vm_uuid, guess) = *random.pick(&self.vms)?;
        // Mostly what fits, sometimes what does not.
        let guess = if random.chance(85) { guess } else { *random.pick(&[Guess::On, Guess::Paused, Guess::Off])? };
        let mut body = json!({"vm_uuid": vm_uuid});
        let path = match guess {
            Guess::On => random.weighted(&[(3, "/v1/vm/stop"), (4, "/v1/vm/pause"), (2, "/v1/vm/reset"), (1, "/v1/vm/reboot")]),
            Guess::Paused => random.weighted(&[(4, "/v1/vm/resume"), (1, "/v1/vm/stop")]),
            Guess::Off => "/v1/vm/start",
            Guess::Trashed => random.weighted(&[(1, "/v1/vm/recover"), (2, "/v1/vm/expunge")]),
        };
        match path {
            // The guests of this campaign never answer the power button, so a graceful stop takes its whole time.
            "/v1/vm/stop" if random.chance(25) => body["timeout_seconds"] = json!(1),
            "/v1/vm/stop" | "/v1/vm/reboot" => body["force"] = json!(true),
            _ => {}
        }
        Some((path, body))
    }

    fn update_vm(&self, random: &mut Random) -> Option<(&'static str, Value)> {
        let (vm_uuid, _) = *random.pick(&self.vms)?;
        let text = random.uuid().simple().to_string();
        let mut body = json!({"vm_uuid": vm_uuid, "description": format!("about {text} <&>")});
        if random.chance(50) {
            body["new_name"] = json!(format!("name-{}", &text[..8]));
        }
        if random.chance(30) {
            body["auto_start"] = json!(random.chance(50));
        }
        Some(("/v1/vm/update", body))
    }

    fn resize_vm(&self, random: &mut Random, fixed: &Fixed) -> Option<(&'static str, Value)> {
        let off: Vec<Uuid> = self.vms.iter().filter(|(_, guess)| *guess == Guess::Off).map(|(uuid, _)| *uuid).collect();
        let vm_uuid = *random.pick(&off)?;
        let body = if random.chance(30) {
            json!({"vm_uuid": vm_uuid, "specification_uuid": random.pick(&self.specifications).copied().unwrap_or(fixed.tiny)})
        } else {
            json!({"vm_uuid": vm_uuid, "cpu_cores": 1 + random.below(2), "memory_size": some_memory(random)})
        };
        Some(("/v1/vm/resize", body))
    }

    fn delete_vm(&self, random: &mut Random) -> Option<(&'static str, Value)> {
        let (vm_uuid, _) = *random.pick(&self.vms)?;
        let mut body = json!({"vm_uuid": vm_uuid, "force": true});
        let trashed = self.vms.iter().filter(|(_, guess)| *guess == Guess::Trashed).count();
        if random.chance(30) && trashed < VMS_MAX / 2 {
            body["keep_days"] = json!(1);
        } else if random.chance(60) {
            body["delete_usd"] = json!(true);
        }
        Some(("/v1/vm/delete", body))
    }

    fn specification(&self, random: &mut Random) -> (&'static str, Value) {
        let known = random.pick(&self.specifications).copied();
        match known {
            Some(uuid) if self.specifications.len() >= SPECIFICATIONS_MAX || random.chance(60) => {
                if random.chance(50) {
                    ("/v1/specification/delete", json!({"specification_uuid": uuid}))
                } else {
                    ("/v1/specification/update", json!({"specification_uuid": uuid, "description": random.uuid().to_string()}))
                }
            }
            _ => {
                let uuid = random.uuid();
                let name = format!("spec-{}", &uuid.simple().to_string()[..8]);
                let (cpu_cores, memory_size) = (1 + random.below(2), some_memory(random));
                let body = json!({
                    "specification_uuid": uuid, "specification_name": name, "cpu_cores": cpu_cores, "memory_size": memory_size, "description": "as created",
                });
                ("/v1/specification/create", body)
            }
        }
    }
}

fn create_image(random: &mut Random, fixed: &Fixed) -> (&'static str, Value) {
    let uuid = random.uuid();
    let name = format!("image-{}", &uuid.simple().to_string()[..8]);
    ("/v1/repository/image/create", json!({"image_uuid": uuid, "image_name": name, "url": fixed.large_url, "format": "raw"}))
}

fn some_memory(random: &mut Random) -> u64 {
    (64 + 16 * random.below(3)) * MEBIBYTE
}
