//! The VMs of the private host, changed through the API and by hand.

use super::node::{URI, native};
use crate::Outcome;
use crate::daemon::{text_of, vm_request};
use crate::http::Native;
use serde_json::{Value, json};
use std::cell::RefCell;
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt_sys as sys;

/// Who makes a change.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    Api,
    Raw,
}

/// VMs with a disk that has no system: they find nothing to boot and are idle. One is changed through the API, its twin by hand.
pub(crate) struct Guests {
    native: RefCell<Native>,
    pub(crate) raw: Connect,
    disk_image: String,
    kernel_image: String,
    api_vm: String,
    raw_vm: Domain,
    /// Definition of a VM without disk, to define by hand.
    pub(crate) definition: String,
}

impl Guests {
    pub(crate) fn make() -> Outcome<Self> {
        let mut native = Native::open(&native())?;
        let mut import = |name: &str, file: &str, format: &str| -> Outcome<String> {
            let body = json!({"image_name": name, "url": format!("file:///run/images/{file}"), "format": format, "wait_seconds": 120});
            Ok(text_of(&native.post("/v1/repository/image/create", &body)?["image"]["image_uuid"]))
        };
        let disk_image = import("empty", "empty.qcow2", "qcow2")?;
        let kernel_image = import("kernel", "kernel", "kernel")?;
        let api_vm = text_of(&native.post("/v1/vm/create", &vm_request("api", &disk_image, false))?["vm"]["vm_uuid"]);
        native.post("/v1/vm/create", &vm_request("raw", &disk_image, false))?;
        let model = native.post("/v1/vm/create", &kernel_request("model", &kernel_image, false))?;
        let raw = Connect::open(Some(URI))?;
        let raw_vm = raw.lookup_domain_by_name("raw")?;
        let definition = foreign(&raw.lookup_domain_by_name("model")?.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE)?);
        native.post("/v1/vm/delete", &json!({"vm_uuid": model["vm"]["vm_uuid"], "wait_seconds": 60}))?;
        Ok(Self { native: RefCell::new(native), raw, disk_image, kernel_image, api_vm, raw_vm, definition })
    }

    fn post(&self, path: &str, body: &Value) -> Outcome<Value> {
        Ok(self.native.borrow_mut().post(path, body)?)
    }

    pub(crate) fn start(&self, side: Side) -> Outcome<()> {
        match side {
            Side::Api => self.post("/v1/vm/start", &body_of("/v1/vm/start", &self.api_vm)).map(drop),
            Side::Raw => Ok(self.raw_vm.create()?),
        }
    }

    pub(crate) fn destroy(&self, side: Side) -> Outcome<()> {
        match side {
            Side::Api => self.post("/v1/vm/stop", &body_of("/v1/vm/stop", &self.api_vm)).map(drop),
            Side::Raw => Ok(self.raw_vm.destroy()?),
        }
    }

    /// A VM that boots a kernel and has no disk. Gives its uuid.
    pub(crate) fn create(&self, vm_name: &str, is_started: bool) -> Outcome<String> {
        let made = self.post("/v1/vm/create", &kernel_request(vm_name, &self.kernel_image, is_started))?;
        Ok(text_of(&made["vm"]["vm_uuid"]))
    }

    pub(crate) fn delete(&self, vm_uuid: &str) -> Outcome<()> {
        self.post("/v1/vm/delete", &json!({"vm_uuid": vm_uuid, "force": true, "wait_seconds": 120})).map(drop)
    }

    pub(crate) fn define_raw(&self) -> Outcome<Domain> {
        Ok(self.raw.define_domain_xml(&self.definition)?)
    }

    /// VMs of these names, off where they are new. Gives their uuids.
    pub(crate) fn ensure(&self, names: &[String]) -> Outcome<Vec<String>> {
        let have = self.native.borrow_mut().get("/v1/vm/list?page_size=0")?;
        let uuid_of = |name: &str| have["list"].as_array()?.iter().find(|vm| vm["vm_name"] == name)?["vm_uuid"].as_str().map(str::to_owned);
        let ensure = |name: &String| match uuid_of(name) {
            Some(vm_uuid) => Ok(vm_uuid),
            None => Ok(text_of(&self.post("/v1/vm/create", &vm_request(name, &self.disk_image, false))?["vm"]["vm_uuid"])),
        };
        names.iter().map(ensure).collect()
    }

    /// Starts VMs until `count` run, four at a time, and waits until the daemon has statistics of them.
    pub(crate) fn run(&self, count: usize) -> Outcome<()> {
        let names: Vec<String> = (0..count).map(|number| format!("run-{number}")).collect();
        let vm_uuids = self.ensure(&names)?;
        vm_uuids.chunks(4).try_for_each(|some| self.act_all(some, "/v1/vm/start"))
    }

    /// One change of each VM, all at the same time, waiting for all.
    pub(crate) fn act_all(&self, vm_uuids: &[String], path: &str) -> Outcome<()> {
        let act = |vm_uuid: &String| -> Outcome<()> { Ok(Native::open(&native())?.post(path, &body_of(path, vm_uuid)).map(drop)?) };
        together(vm_uuids, act)
    }

    /// The same by hand: each on a connection of its own.
    pub(crate) fn raw_all(&self, names: &[String], act: impl Fn(&Domain) -> Result<(), Error> + Sync) -> Outcome<()> {
        let act = |name: &String| -> Outcome<()> { Ok(act(&Connect::open(Some(URI))?.lookup_domain_by_name(name)?)?) };
        together(names, act)
    }
}

fn together<T: Sync>(items: &[T], act: impl Fn(&T) -> Outcome<()> + Sync) -> Outcome<()> {
    std::thread::scope(|scope| {
        let act = &act;
        let workers: Vec<_> = items.iter().map(|item| scope.spawn(move || act(item))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("a client broke off".into())))
    })
}

fn body_of(path: &str, vm_uuid: &str) -> Value {
    if path.ends_with("/stop") {
        json!({"vm_uuid": vm_uuid, "force": true, "wait_seconds": 120})
    } else {
        json!({"vm_uuid": vm_uuid, "wait_seconds": 120})
    }
}

fn kernel_request(vm_name: &str, kernel: &str, is_started: bool) -> Value {
    json!({
        "vm_name": vm_name, "kernel_image_uuid": kernel, "kernel_command_line": "panic=0", "cpu_cores": 1, "memory_size": 64 << 20,
        "interfaces": [], "start": is_started, "wait_seconds": 120,
    })
}

/// A definition under another name and uuid, without our metadata: nobody takes it for a VM of the node.
fn foreign(definition: &str) -> String {
    let cut = |text: &str, begin: &str, end: &str, new: &str| match (text.find(begin), text.find(end)) {
        (Some(from), Some(to)) if from < to => format!("{}{new}{}", &text[..from], &text[to + end.len()..]),
        _ => text.to_owned(),
    };
    let text = cut(definition, "<metadata>", "</metadata>", "");
    let text = cut(&text, "<name>", "</name>", "<name>by-hand</name>");
    // Its console log is named by the uuid too, and is as much work for libvirt as the model's.
    let uuid = text.find("<uuid>").and_then(|from| text.get(from + 6..from + 42)).unwrap_or_default().to_owned();
    if uuid.is_empty() { text } else { text.replace(&uuid, &Uuid::new_v4().to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_to_define_by_hand_has_nothing_of_its_model_left() {
        let uuid = "6f1c1f5e-0000-4000-8000-000000000001";
        let model = format!(
            "<domain><name>model</name><uuid>{uuid}</uuid><metadata><hv:vm/></metadata><serial><log file='/x/{uuid}.log'/></serial></domain>"
        );
        let text = foreign(&model);
        assert!(text.starts_with("<domain><name>by-hand</name><uuid>"), "{text}");
        assert!(!text.contains("model") && !text.contains("hv:vm") && !text.contains(uuid), "{text}");
        assert!(text.contains("<log file='/x/") && text.ends_with(".log'/></serial></domain>"), "{text}");
    }
}
