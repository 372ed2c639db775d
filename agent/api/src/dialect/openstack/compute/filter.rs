//! Which servers a listing shows, and in what order.

use super::super::call::Call;
use super::super::errors::Fault;
use super::super::pattern::NamePattern;
use super::super::state::ServerState;
use super::view::{Scene, addresses};
use hvnode_core::model::{Timestamp, Vm};
use std::cmp::Ordering;

/// What a query asks for. Keys that are not known here are left alone, as this version of the API does.
pub(in super::super) struct Filter<'a> {
    call: &'a Call,
    name: Option<NamePattern>,
    address: Option<NamePattern>,
    changes_since: Option<Timestamp>,
    changes_before: Option<Timestamp>,
}

impl<'a> Filter<'a> {
    /// # Errors
    /// 400 for a time that is none.
    pub(in super::super) fn of(call: &'a Call) -> Result<Self, Fault> {
        Ok(Self {
            call,
            name: call.query("name").or_else(|| call.query("display_name")).map(NamePattern::new),
            address: call.query("ip").map(NamePattern::new),
            changes_since: time(call, "changes-since")?,
            changes_before: time(call, "changes-before")?,
        })
    }

    pub(in super::super) fn admits(&self, scene: &Scene, vm: &Vm) -> bool {
        // Only administrators' clients ask; what is deleted is not kept.
        if self.call.query("deleted").is_some_and(is_true) {
            return false;
        }
        if self.name.as_ref().is_some_and(|pattern| !pattern.matches(vm.name())) {
            return false;
        }
        let update_time = vm.record.as_ref().map_or(vm.observed_time, |record| record.update_time);
        if self.changes_since.is_some_and(|since| update_time < since) || self.changes_before.is_some_and(|before| update_time > before) {
            return false;
        }
        self.admits_words(scene, vm) && self.admits_address(scene, vm) && self.admits_tags(scene, vm)
    }

    fn admits_words(&self, scene: &Scene, vm: &Vm) -> bool {
        let state = ServerState::of(vm);
        let extras = scene.extras.of(vm.uuid());
        let host = scene.snapshot.facts.host_name.as_str();
        let is_same = |name: &str, value: &dyn Fn(&str) -> bool| {
            let mut asked = self.call.queries(name).peekable();
            asked.peek().is_none() || asked.any(value)
        };
        is_same("status", &|asked| asked.eq_ignore_ascii_case(state.status))
            && is_same("vm_state", &|asked| asked == state.vm_state)
            && is_same("task_state", &|asked| state.task_state.unwrap_or("") == asked)
            && is_same("power_state", &|asked| asked == state.power_state.to_string())
            && is_same("uuid", &|asked| asked == vm.uuid().to_string())
            && is_same("host", &|asked| asked == host)
            && is_same("node", &|asked| asked == host)
            && is_same("hypervisor_hostname", &|asked| asked == host)
            && is_same("key_name", &|asked| asked == extras.text("key_name"))
            && is_same("image", &|asked| {
                let image = vm.record.as_ref().and_then(|record| record.image.as_ref());
                image.is_some_and(|image| asked.ends_with(&image.uuid.to_string()))
            })
            && is_same("flavor", &|asked| asked.rsplit('/').next() == Some(&scene.flavor_id(vm)))
    }

    fn admits_address(&self, scene: &Scene, vm: &Vm) -> bool {
        let Some(pattern) = &self.address else { return true };
        addresses(&scene.snapshot, vm).iter().any(|(_, _, address)| pattern.matches(&address.to_string()))
    }

    fn admits_tags(&self, scene: &Scene, vm: &Vm) -> bool {
        let tags = scene.extras.of(vm.uuid()).tags();
        let has = |tag: &str| tags.iter().any(|own| own == tag);
        let query = |name: &str| self.call.query(name).map(|text| text.split(',').collect::<Vec<_>>());
        query("tags").is_none_or(|wanted| wanted.iter().all(|tag| has(tag)))
            && query("tags-any").is_none_or(|wanted| wanted.iter().any(|tag| has(tag)))
            && query("not-tags").is_none_or(|wanted| !wanted.iter().all(|tag| has(tag)))
            && query("not-tags-any").is_none_or(|wanted| !wanted.iter().any(|tag| has(tag)))
    }

    /// Puts servers into the order asked for; the newest first where none is.
    ///
    /// # Errors
    /// 400 for a key or direction that is none.
    pub(in super::super) fn sort(&self, servers: &mut [&Vm]) -> Result<(), Fault> {
        let mut directions = self.call.queries("sort_dir");
        let mut order: Vec<(SortKey, bool)> = Vec::new();
        for key in self.call.queries("sort_key").take(8) {
            let is_descending = match directions.next() {
                None | Some("desc") => true,
                Some("asc") => false,
                Some(_) => return Err(Fault::bad_request("Unknown sort direction, must be 'desc' or 'asc'.")),
            };
            order.push((sort_key(key)?, is_descending));
        }
        if order.is_empty() {
            order.push((SortKey::Created, true));
        }
        servers.sort_by(|a, b| {
            let compared = order.iter().map(|(key, is_descending)| {
                let compared = compare(*key, a, b);
                if *is_descending { compared.reverse() } else { compared }
            });
            compared.fold(Ordering::Equal, Ordering::then).then_with(|| a.uuid().cmp(&b.uuid()))
        });
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
enum SortKey {
    Created,
    Updated,
    Launched,
    Name,
    Id,
    State,
    /// The same for all servers.
    Constant,
}

fn sort_key(text: &str) -> Result<SortKey, Fault> {
    match text {
        "created_at" => Ok(SortKey::Created),
        "updated_at" => Ok(SortKey::Updated),
        "launched_at" => Ok(SortKey::Launched),
        "display_name" | "name" | "hostname" => Ok(SortKey::Name),
        "uuid" | "id" => Ok(SortKey::Id),
        "vm_state" | "task_state" | "power_state" | "status" => Ok(SortKey::State),
        "host"
        | "node"
        | "project_id"
        | "user_id"
        | "availability_zone"
        | "image_ref"
        | "instance_type_id"
        | "key_name"
        | "locked_by"
        | "access_ip_v4"
        | "access_ip_v6"
        | "auto_disk_config"
        | "config_drive"
        | "display_description"
        | "kernel_id"
        | "launch_index"
        | "progress"
        | "ramdisk_id"
        | "root_device_name"
        | "terminated_at" => Ok(SortKey::Constant),
        other => {
            let shown: String = other.chars().take(32).collect();
            Err(Fault::bad_request(format!(
                "Sort key '{shown}' is not one of created_at, updated_at, launched_at, display_name, uuid, vm_state."
            )))
        }
    }
}

fn compare(key: SortKey, a: &Vm, b: &Vm) -> Ordering {
    let time =
        |vm: &Vm, of: fn(&hvnode_core::model::VmRecord) -> Timestamp| vm.record.as_ref().map_or(vm.observed_time, |record| of(record));
    match key {
        SortKey::Created => time(a, |r| r.create_time).cmp(&time(b, |r| r.create_time)),
        SortKey::Updated => time(a, |r| r.update_time).cmp(&time(b, |r| r.update_time)),
        SortKey::Launched => time(a, |r| r.start_time.unwrap_or_default()).cmp(&time(b, |r| r.start_time.unwrap_or_default())),
        SortKey::Name => a.name().cmp(b.name()),
        SortKey::Id => a.uuid().cmp(&b.uuid()),
        SortKey::State => ServerState::of(a).vm_state.cmp(ServerState::of(b).vm_state),
        SortKey::Constant => Ordering::Equal,
    }
}

fn time(call: &Call, name: &str) -> Result<Option<Timestamp>, Fault> {
    let Some(text) = call.query(name) else { return Ok(None) };
    let parsed = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    });
    let shown: String = text.chars().take(40).collect();
    let parsed = parsed
        .ok_or_else(|| Fault::bad_request(format!("Invalid input for query parameters {name}. Value: {shown}. It is not a 'date-time'")))?;
    Ok(Some(Timestamp::from_seconds(parsed.as_second())))
}

/// Is this one of the words for yes?
pub(in super::super) fn is_true(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on" | "t" | "y")
}
